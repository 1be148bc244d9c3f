/* prune.c - the recipe's verb `prune`: zeros where least is lost.
 *
 *   prune SELECTORS with sparsity=0.9, pattern=4x1, method=magnitude,
 *                        scope=uniform, seed=0;
 *   prune SELECTORS with macs=0.25, scope=global;
 *
 * A weight is the matrix [dim 0, product of the others], which is cut into
 * units (units.c).  The units with the least scores (criteria.c) go, as many
 * as the scope says (share.c).  prune.h says how the parts fit. */
#include <math.h>
#include <string.h>

#include "passes/calibrated.h"
#include "passes/prune.h"

/* ---- what there is to prune ------------------------------------------ */

/* Where a value is no number, no score says what it is worth. */
static bool values_finite(PruneStep *s, const PruneWeight *w) {
  for (int64_t i = 0; i < w->rows * w->cols; i++)
    if (!isfinite(w->old[i]))
      return diag_error(s->c->d, EXIT_MODEL, s->s->span,
                        "%s: %s: expected finite values, found %s in row "
                        "%lld, column %lld", s->s->verb, w->p->path,
                        isnan(w->old[i]) ? "NaN" : "inf",
                        (long long)(i / w->row_step % w->rows),
                        (long long)(i / w->col_step % w->cols));
  return true;
}

bool prune_select(PruneStep *s) {
  bool ok = true;
  for (size_t i = 0; i < s->s->params.n; i++) {
    PruneWeight *w = prune_weight(s, s->s->params.at[i]);
    w->selected = true;
    if (w->old) ok &= values_finite(s, w);
    else
      ok = diag_error(s->c->d, EXIT_MODEL, s->s->span,
                      "%s: %s has no values to look at", s->s->verb,
                      w->p->path);
  }
  s->nselected = s->weights.n;
  return ok;
}

/* ---- carrying it out ------------------------------------------------- */

/* A copy of a weight that may be written. */
static void weight_copy(PruneWeight *w) {
  size_t n = checked_mul((size_t)w->rows, (size_t)w->cols);
  w->to = buffer_new(checked_mul(n, sizeof(float)));
  w->v = (float *)(void *)w->to->data;
}

void prune_copy(PruneStep *s) {
  for (size_t i = 0; i < s->groups.n; i++) {
    const Group *g = &s->groups.at[i];
    for (size_t k = 0; k < g->parts.n; k++)
      if (!g->parts.at[k].w->to) weight_copy(g->parts.at[k].w);
  }
}

void prune_store(PruneStep *s) {
  for (size_t i = 0; i < s->weights.n; i++)
    if (s->weights.at[i]->to)
      param_set_data(s->weights.at[i]->p, s->weights.at[i]->to);
}

void prune_drop(PruneStep *s) {
  for (size_t i = 0; i < s->weights.n; i++)
    buffer_unref(s->weights.at[i]->to);
}

/* What is right with a step whatever the steps before it do. */
static bool step_open(PruneStep *s, PassCtx *c, const RecipeStep *step) {
  *s = (PruneStep){.arena = arena_new(), .c = c, .s = step};
  return prune_args(c, step, &s->a) && prune_select(s) &&
         prune_groups(s) && (!s->a.method->check || s->a.method->check(s));
}

bool check_prune(PassCtx *c, const RecipeStep *step) {
  PruneStep s;
  if (step_is_calibrated(step)) return check_calibrated(c, step);
  bool ok = step_open(&s, c, step);
  arena_free(s.arena);
  return ok;
}

static bool step_run(PruneStep *s) {
  prune_copy(s);
  prune_restore(s);
  bool ok = !s->a.method->prepare || s->a.method->prepare(s);
  if (ok) prune_scores(s);
  double sparsity = s->a.sparsity;
  ok = ok && (!s->a.budget || budget_sparsity(s, &sparsity));
  if (!ok) prune_drop(s);
  else if (s->a.pattern.kind == PATTERN_NM) prune_runs(s);
  else prune_share(s, sparsity);
  if (ok) prune_store(s);
  return ok;
}

bool verb_prune(PassCtx *c, const RecipeStep *step) {
  PruneStep s;
  if (step_is_calibrated(step)) return prune_calibrated(c, step);
  bool ok = step_open(&s, c, step);
  if (ok && s.a.whole) coupled_warn(&s);
  ok = ok && step_run(&s);
  arena_free(s.arena);
  return ok;
}
