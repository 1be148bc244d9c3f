/* share.c - which units `prune` drops: those with the least scores, exactly
 * round(share * units) of them, ties by position.
 *
 *   uniform    the same share of each group
 *   global     of all groups together
 *   erk        Erdos-Renyi-kernel (Evci et al., 2020): see erk_densities */
#include <math.h>
#include <string.h>

#include "passes/prune.h"

/* ---- the least of many ----------------------------------------------- */

/* Scores are not negative, so their bits are ordered as they are. */
static uint32_t score_bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

/* Index of the bucket in which number k (from 0) falls; *k becomes its
 * number inside the bucket. */
static uint32_t bucket_find(const int64_t *count, int64_t *k) {
  uint32_t i = 0;
  for (; *k >= count[i]; i++) *k -= count[i];
  return i;
}

/* Bits of the score number k of those of n groups in ascending order, found
 * by halves of 16 bits; *k becomes its number among equal ones. */
static uint32_t score_number(const Group *g, size_t n, int64_t *k) {
  Arena *a = arena_new();
  int64_t *high = arena_array(a, int64_t, 1 << 16);
  int64_t *low = arena_array(a, int64_t, 1 << 16);
  for (size_t i = 0; i < n; i++)
    for (int64_t u = 0; u < g[i].units; u++)
      high[score_bits(g[i].score[u]) >> 16]++;
  uint32_t top = bucket_find(high, k);
  for (size_t i = 0; i < n; i++)
    for (int64_t u = 0; u < g[i].units; u++) {
      uint32_t bits = score_bits(g[i].score[u]);
      if (bits >> 16 == top) low[bits & 0xffff]++;
    }
  uint32_t found = top << 16 | bucket_find(low, k);
  arena_free(a);
  return found;
}

/* Drop so many of the units of n groups. */
static void groups_drop(const Group *g, size_t n, int64_t drop) {
  if (drop <= 0) return;
  int64_t ties = drop - 1;
  uint32_t last = score_number(g, n, &ties);
  for (size_t i = 0; i < n; i++)
    for (int64_t u = 0; u < g[i].units; u++) {
      uint32_t bits = score_bits(g[i].score[u]);
      if (bits < last || (bits == last && ties-- >= 0))
        unit_clear(&g[i], u);
    }
}

/* ---- Erdos-Renyi-kernel ---------------------------------------------- */

double erk_raw(const Type *t) {
  double sum = 0, product = 1;
  for (int i = 0; i < t->rank; i++) {
    sum += (double)t->dim[i];
    product *= (double)t->dim[i];
  }
  return product > 0 ? sum / product : 0;
}

void erk_densities(const Type *const *t, size_t n, double density,
                   double *out) {
  double want = 0;
  bool clipped = true;
  for (size_t i = 0; i < n; i++) {
    want += density * (double)type_elems(t[i]);
    out[i] = 0;
  }
  while (clipped) {
    double left = want, sum = 0;
    for (size_t i = 0; i < n; i++) {
      double all = (double)type_elems(t[i]);
      if (out[i] >= 1) left -= all;
      else sum += erk_raw(t[i]) * all;
    }
    clipped = false;
    for (size_t i = 0; i < n; i++) {
      if (out[i] >= 1) continue;
      out[i] = sum > 0 ? fmax(left, 0) / sum * erk_raw(t[i]) : 0;
      if (out[i] > 1) out[i] = 1, clipped = true;
    }
  }
}

static void erk_drop(PruneStep *s, double sparsity) {
  size_t n = s->groups.n;
  const Type **t = arena_array(s->arena, const Type *, n + 1);
  double *density = arena_array(s->arena, double, n + 1);
  for (size_t i = 0; i < n; i++)
    t[i] = &s->groups.at[i].parts.at[0].w->p->type;
  erk_densities(t, n, 1 - sparsity, density);
  for (size_t i = 0; i < n; i++) {
    const Group *g = &s->groups.at[i];
    groups_drop(g, 1, llround((1 - density[i]) * (double)g->units));
  }
}

/* ---- shares ---------------------------------------------------------- */

void prune_restore(PruneStep *s) {
  for (size_t i = 0; i < s->weights.n; i++) {
    const PruneWeight *w = s->weights.at[i];
    size_t bytes = (size_t)(w->rows * w->cols) * sizeof *w->v;
    if (w->to && bytes) memcpy(w->v, w->old, bytes);
  }
}

void prune_share(PruneStep *s, double sparsity) {
  const Group *g = s->groups.at;
  int64_t all = 0;
  prune_restore(s);
  if (s->a.scope == SCOPE_ERK) {
    erk_drop(s, sparsity);
    return;
  }
  for (size_t i = 0; i < s->groups.n; i++) {
    all += g[i].units;
    if (s->a.scope == SCOPE_UNIFORM)
      groups_drop(&g[i], 1, llround(sparsity * (double)g[i].units));
  }
  if (s->a.scope == SCOPE_GLOBAL)
    groups_drop(g, s->groups.n, llround(sparsity * (double)all));
}

/* ---- N:M ------------------------------------------------------------- */

/* How many values of the run of `of` around value k go before it does? */
static int run_number(const float *score, int of, int64_t k) {
  int less = 0;
  int64_t first = k / of * of;
  for (int64_t i = first; i < first + of; i++)
    less += score[i] < score[k] || (score[i] == score[k] && i < k);
  return less;
}

void prune_runs(PruneStep *s) {
  const Pattern *p = &s->a.pattern;
  prune_restore(s);
  for (size_t i = 0; i < s->groups.n; i++) {
    const Group *g = &s->groups.at[i];
    for (int64_t k = 0; k < g->units; k++)
      if (run_number(g->score, p->b, k) < p->b - p->a) unit_clear(g, k);
  }
}
