/* criteria.c - how much a unit matters to `prune`: the table of methods.
 *
 *   magnitude  sum of absolute values (Han et al., 2015; blocks: Narang et
 *              al., 2017; filters: Li et al., 2017; N:M: Mishra et al., 2021)
 *   l2         sum of squares
 *   random     a draw
 *   bn         of an output channel: its scale in the batch norm behind the
 *              layer (Liu et al., 2017)
 *
 *   synflow    what is lost of the sum over all paths (Tanaka et al., 2020)
 *
 * Where units are of different sizes the sums of the first two are means. */
#include <math.h>
#include <string.h>

#include "passes/prune.h"

/* ---- sums over a unit ------------------------------------------------ */

static double value_abs(const PruneWeight *w, int64_t i) {
  return fabs((double)w->old[i]);
}

static double value_square(const PruneWeight *w, int64_t i) {
  return (double)w->old[i] * (double)w->old[i];
}

static double unit_sum(const PruneStep *s, const Group *g, int64_t k,
                       double (*value)(const PruneWeight *, int64_t)) {
  double sum = 0;
  for (size_t i = 0; i < g->parts.n; i++) {
    const Part *p = &g->parts.at[i];
    int64_t at = part_offset(p, k);
    for (int64_t r = 0; !p->follows && at >= 0 && r < p->rows; r++)
      for (int64_t c = 0; c < p->cols; c++)
        sum += value(p->w, at + r * p->w->row_step + c * p->w->col_step);
  }
  return units_differ(&s->a.pattern) ? sum / (double)unit_values(g, k) : sum;
}

static double unit_magnitude(const PruneStep *s, const Group *g, int64_t k) {
  return unit_sum(s, g, k, value_abs);
}

static double unit_l2(const PruneStep *s, const Group *g, int64_t k) {
  return unit_sum(s, g, k, value_square);
}

static double unit_random(const PruneStep *s, const Group *g, int64_t k) {
  return random_unit(g->path, (uint64_t)s->a.seed, (uint64_t)k);
}

/* ---- scales of norms ------------------------------------------------- */

static bool check_norms(PruneStep *s) {
  bool ok = true;
  const Pattern *t = &s->a.pattern;
  if (t->kind != PATTERN_CHANNEL && t->kind != PATTERN_ROW) {
    Text name = {0};
    pattern_print(&name, t);
    diag_error(s->c->d, EXIT_MODEL, s->s->span,
               "prune: method=bn scores output channels: expected "
               "pattern=channel or row, found %s", name.s);
    text_free(&name);
    return false;
  }
  for (size_t i = 0; i < s->nselected; i++) {
    PruneWeight *w = s->weights.at[i];
    if (s->a.whole && w->going == 0) continue;
    const Param *scale = norm_scale(s->c->m, w->p);
    w->norm = scale ? param_values(s->c->m, scale) : NULL;
    if (!w->norm)
      ok = diag_error(s->c->d, EXIT_MODEL, s->s->span,
                      "prune: method=bn: expected a batch norm right behind "
                      "the layer of %s, found none", w->p->path);
  }
  return ok;
}

static double unit_norm(const PruneStep *s, const Group *g, int64_t k) {
  double sum = 0;
  int n = 0;
  (void)s;
  for (size_t i = 0; i < g->parts.n; i++) {
    const Part *p = &g->parts.at[i];
    int64_t at = part_offset(p, k);
    if (p->follows || at < 0) continue;
    sum += fabs((double)p->w->norm[at / p->w->row_step]);
    n++;
  }
  return sum / n;
}

/* ---- the table ------------------------------------------------------- */

static const Criterion criteria[] = {
  {"magnitude", NULL, NULL, unit_magnitude},
  {"l2", NULL, NULL, unit_l2},
  {"random", NULL, NULL, unit_random},
  {"bn", check_norms, NULL, unit_norm},
  {"synflow", check_synflow, prepare_synflow, unit_synflow},
};
enum { CRITERIA = sizeof criteria / sizeof *criteria };

const Criterion *criterion_find(const char *name) {
  for (size_t i = 0; i < CRITERIA; i++)
    if (strcmp(criteria[i].name, name) == 0) return &criteria[i];
  return NULL;
}

const char *criterion_names(Arena *a) {
  const char *all = criteria[0].name;
  for (size_t i = 1; i < CRITERIA; i++)
    all = arena_printf(a, "%s, %s", all, criteria[i].name);
  return arena_printf(a, "%s, wanda or obs", all);   /* calibrated.c */
}

void prune_scores(PruneStep *s) {
  for (size_t i = 0; i < s->groups.n; i++) {
    Group *g = &s->groups.at[i];
    if (!g->score)
      g->score = arena_array(s->arena, float, (size_t)g->units + 1);
    for (int64_t k = 0; k < g->units; k++)
      g->score[k] = (float)s->a.method->unit(s, g, k);
  }
}
