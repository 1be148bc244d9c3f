/* prune.c - the recipe's verb `prune`: zeros where least is lost.
 *
 *   prune SELECTORS with sparsity=0.9, pattern=4x1, method=magnitude,
 *                        scope=uniform, seed=0;
 *
 * A weight is the matrix [dim 0, product of the others].  It is cut into
 * units: single values, blocks of R rows by C columns, or (N:M) runs of M
 * columns of which N values stay.  The units with the least score go; the
 * score is the sum of absolute values (Han et al., 2015; for blocks
 * Narang et al., 2017; N:M as Mishra et al., 2021), or with method=random
 * a draw.  Counts are exact: round(sparsity * units), ties by position. */
#include <math.h>
#include <string.h>

#include "passes/passes.h"

typedef struct Prune {
  Pattern pattern;
  double sparsity;
  bool random, global;
  int64_t seed;
} Prune;

/* ---- arguments ------------------------------------------------------ */

static bool pattern_parse(const Attr *v, Pattern *p) {
  char sep, rest;
  *p = (Pattern){PATTERN_UNSTRUCTURED, 1, 1};
  if (v->kind != ATTR_STR) return false;
  if (strcmp(v->s, "unstructured") == 0) return true;
  if (sscanf(v->s, "%d%c%d%c", &p->a, &sep, &p->b, &rest) != 3) return false;
  if (sep == 'x') p->kind = PATTERN_BLOCK;
  else if (sep == ':') p->kind = PATTERN_NM;
  else return false;
  if (p->a < 1 || p->b < 1) return false;
  return p->kind == PATTERN_BLOCK || p->a <= p->b;
}

/* One of two words. */
static bool word_parse(const Attr *v, const char *no, const char *yes,
                       bool *out) {
  if (v->kind != ATTR_STR) return false;
  *out = strcmp(v->s, yes) == 0;
  return *out || strcmp(v->s, no) == 0;
}

static bool sparsity_parse(const Attr *v, double *out) {
  if (v->kind == ATTR_FLOAT) *out = v->f;
  else if (v->kind == ATTR_INT) *out = (double)v->i;
  else return false;
  return *out >= 0 && *out <= 1;
}

/* NULL when the argument is right, else what was expected. */
static const char *arg_parse(const RecipeArg *a, Prune *p) {
  const Attr *v = &a->value;
  if (strcmp(a->name, "sparsity") == 0)
    return sparsity_parse(v, &p->sparsity) ? NULL : "a number from 0 to 1";
  if (strcmp(a->name, "pattern") == 0)
    return pattern_parse(v, &p->pattern)
             ? NULL : "unstructured, a block as 4x1 or N:M as 2:4";
  if (strcmp(a->name, "method") == 0)
    return word_parse(v, "magnitude", "random", &p->random)
             ? NULL : "magnitude or random";
  if (strcmp(a->name, "scope") == 0)
    return word_parse(v, "uniform", "global", &p->global)
             ? NULL : "uniform or global";
  if (v->kind != ATTR_INT) return "a whole number";
  p->seed = v->i;
  return NULL;
}

static void value_print(Text *out, const Attr *v) {
  if (v->kind == ATTR_FLOAT) text_float(out, v->f, false);
  else if (v->kind == ATTR_STR) text_puts(out, v->s);
  else if (v->kind == ATTR_BOOL) text_puts(out, v->i ? "true" : "false");
  else if (v->kind == ATTR_INT) text_printf(out, "%lld", (long long)v->i);
  else text_puts(out, "a list");
}

static void arg_wrong(PassCtx *c, const RecipeStep *s, const RecipeArg *a,
                      const char *expected) {
  Text found = {0};
  value_print(&found, &a->value);
  diag_error(c->d, EXIT_MODEL, s->span, "prune: %s: expected %s, found %s",
             a->name, expected, found.s);
  text_free(&found);
}

static bool args_parse(PassCtx *c, const RecipeStep *s, Prune *p) {
  static const char *const names[] = {
    "sparsity", "pattern", "method", "scope", "seed"
  };
  const size_t n = sizeof names / sizeof *names;
  bool ok = true;
  *p = (Prune){.pattern = {PATTERN_UNSTRUCTURED, 1, 1}, .sparsity = -1};
  for (size_t i = 0; i < s->args.n; i++) {
    const RecipeArg *a = &s->args.at[i];
    size_t k = 0;
    while (k < n && strcmp(names[k], a->name) != 0) k++;
    const char *expected = k < n ? arg_parse(a, p) : NULL;
    if (k < n && !expected) continue;
    ok = false;
    if (expected) {
      arg_wrong(c, s, a, expected);
      continue;
    }
    diag_error(c->d, EXIT_MODEL, s->span, "prune: no argument '%s'", a->name);
    const char *near = nearest_name(a->name, names, n);
    if (near) diag_note(c->d, s->span, "did you mean '%s'?", near);
  }
  if (!ok) return false;
  bool nm = p->pattern.kind == PATTERN_NM;
  if (nm && p->sparsity >= 0)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: pattern %d:%d sets the sparsity itself",
                      p->pattern.a, p->pattern.b);
  if (nm && p->global)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: scope=global has no meaning with %d:%d",
                      p->pattern.a, p->pattern.b);
  if (!nm && p->sparsity < 0)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: expected sparsity=, from 0 to 1");
  return true;
}

/* ---- units ---------------------------------------------------------- */

static int64_t rows_of(const Param *p) {
  return p->type.rank ? p->type.dim[0] : 1;
}

static int64_t cols_of(const Param *p) {
  int64_t rows = rows_of(p);
  return rows ? type_elems(&p->type) / rows : 0;
}

/* Rows and columns of a unit; an N:M run is a unit of 1 x M here. */
static void unit_size(const Pattern *t, int64_t *r, int64_t *c) {
  *r = t->kind == PATTERN_BLOCK ? t->a : 1;
  *c = t->kind == PATTERN_UNSTRUCTURED ? 1 : t->b;
}

static bool param_fits(PassCtx *c, const RecipeStep *s, const Param *p,
                       const Pattern *t) {
  int64_t r, w;
  unit_size(t, &r, &w);
  if (!param_values(c->m, p))
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: %s has no values to look at", p->path);
  if (rows_of(p) % r == 0 && cols_of(p) % w == 0) return true;
  char sep = t->kind == PATTERN_NM ? ':' : 'x';
  return diag_error(
    c->d, EXIT_MODEL, s->span,
    "prune: pattern %d%c%d does not divide %s: expected a multiple of "
    "%lldx%lld, found %lldx%lld",
    t->a, sep, t->b, p->path, (long long)r, (long long)w,
    (long long)rows_of(p), (long long)cols_of(p));
}

static float unit_score(const Prune *o, const Param *p, const float *v,
                        int64_t r, int64_t w, int64_t index) {
  if (o->random) return (float)random_unit(p->path, o->seed, index);
  int64_t cols = cols_of(p), across = cols / w;
  const float *at = v + index / across * r * cols + index % across * w;
  double sum = 0;
  for (int64_t i = 0; i < r; i++)
    for (int64_t k = 0; k < w; k++) sum += fabs(at[i * cols + k]);
  return (float)sum;
}

static void unit_clear(const Prune *o, const Param *p, float *v,
                       int64_t index) {
  int64_t r, w;
  unit_size(&o->pattern, &r, &w);
  int64_t cols = cols_of(p), across = cols / w;
  float *at = v + index / across * r * cols + index % across * w;
  for (int64_t i = 0; i < r; i++)
    memset(at + i * cols, 0, w * sizeof *at);
}

/* ---- the least of many ---------------------------------------------- */

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

/* Bits of the score number k of n in ascending order, found by halves of
 * 16 bits; *k becomes its number among equal ones. */
static uint32_t score_number(Arena *a, const float *s, int64_t n, int64_t *k) {
  int64_t *high = arena_array(a, int64_t, 1 << 16);
  int64_t *low = arena_array(a, int64_t, 1 << 16);
  for (int64_t i = 0; i < n; i++) high[score_bits(s[i]) >> 16]++;
  uint32_t top = bucket_find(high, k);
  for (int64_t i = 0; i < n; i++) {
    uint32_t bits = score_bits(s[i]);
    if (bits >> 16 == top) low[bits & 0xffff]++;
  }
  return top << 16 | bucket_find(low, k);
}

/* ---- carrying it out ------------------------------------------------ */

/* A copy of the values that may be written. */
static float *param_copy(PassCtx *c, const Param *p, Buffer **b) {
  size_t bytes = checked_mul(type_elems(&p->type), sizeof(float));
  *b = buffer_new(bytes);
  if (bytes) memcpy((*b)->data, param_values(c->m, p), bytes);
  return (float *)(*b)->data;
}

/* Units of a param. */
static int64_t unit_count(const Prune *o, const Param *p) {
  int64_t r, w;
  unit_size(&o->pattern, &r, &w);
  return type_elems(&p->type) / (r * w);
}

/* Drop the least of the units of params [lo, hi) of the step. */
static void prune_units(PassCtx *c, const RecipeStep *s, const Prune *o,
                        Buffer **to, size_t lo, size_t hi) {
  int64_t r, w, n = 0, at = 0;
  unit_size(&o->pattern, &r, &w);
  for (size_t i = lo; i < hi; i++) n += unit_count(o, s->params.at[i]);
  int64_t drop = llround(o->sparsity * (double)n), ties = drop - 1;
  if (drop == 0) return;
  Buffer *scores = buffer_new(checked_mul(n, sizeof(float)));
  float *score = (float *)scores->data;
  for (size_t i = lo; i < hi; i++) {
    const Param *p = s->params.at[i];
    int64_t units = unit_count(o, p);
    for (int64_t k = 0; k < units; k++)
      score[at++] = unit_score(o, p, (const float *)to[i]->data, r, w, k);
  }
  uint32_t last = score_number(c->scratch, score, n, &ties);
  at = 0;
  for (size_t i = lo; i < hi; i++) {
    const Param *p = s->params.at[i];
    int64_t units = unit_count(o, p);
    for (int64_t k = 0; k < units; k++, at++) {
      uint32_t bits = score_bits(score[at]);
      if (bits < last || (bits == last && ties-- >= 0))
        unit_clear(o, p, (float *)to[i]->data, k);
    }
  }
  buffer_unref(scores);
}

/* How many of the run of `of` values around `at` go before it does? */
static int run_number(const Prune *o, const Param *p, const float *old,
                      int64_t at) {
  int of = o->pattern.b, less = 0;
  int64_t first = at / of * of;
  float own = unit_score(o, p, old, 1, 1, at);
  for (int64_t k = first; k < first + of; k++) {
    float other = unit_score(o, p, old, 1, 1, k);
    less += other < own || (other == own && k < at);
  }
  return less;
}

/* Keep a of each b values along the columns. */
static void prune_nm(PassCtx *c, const Param *p, const Prune *o, float *v) {
  const float *old = param_values(c->m, p);
  int64_t n = type_elems(&p->type);
  for (int64_t at = 0; at < n; at++)
    if (run_number(o, p, old, at) < o->pattern.b - o->pattern.a) v[at] = 0;
}

bool verb_prune(PassCtx *c, const RecipeStep *s) {
  Prune o;
  if (!args_parse(c, s, &o)) return false;
  bool ok = true;
  for (size_t i = 0; i < s->params.n; i++)
    if (!param_fits(c, s, s->params.at[i], &o.pattern)) ok = false;
  if (!ok) return false;
  size_t n = s->params.n;
  Buffer **to = arena_array(c->scratch, Buffer *, n ? n : 1);
  for (size_t i = 0; i < n; i++) {
    float *v = param_copy(c, s->params.at[i], &to[i]);
    if (o.pattern.kind == PATTERN_NM) prune_nm(c, s->params.at[i], &o, v);
    else if (!o.global) prune_units(c, s, &o, to, i, i + 1);
  }
  if (o.pattern.kind != PATTERN_NM && o.global)
    prune_units(c, s, &o, to, 0, n);
  for (size_t i = 0; i < n; i++) param_set_data(s->params.at[i], to[i]);
  return true;
}
