/* synflow.c - the criterion of SynFlow (Tanaka et al., 2020): what a weight
 * gives, times itself, of the sum over all paths of the net.  It needs no
 * data.
 *
 * A layer through which all paths go has as much in sum as any other, so that
 * none is emptied before the others, if the net is thinned in rounds: round k
 * of n leaves density^(k/n), scored on what the round before left. */
#include <math.h>

#include "passes/flow.h"

bool check_synflow(PruneStep *s) {
  Flow fl;
  bool ok = flow_open(&fl, s);
  flow_free(&fl);
  if (ok && s->a.budget)
    return diag_error(s->c->d, EXIT_MODEL, s->s->span,
                      "prune: method=synflow thins a net in rounds to a "
                      "density: expected sparsity=, found %s",
                      budget_name(s->a.budget));
  return ok;
}

bool prepare_synflow(PruneStep *s) {
  Flow fl;
  double density = 1 - s->a.sparsity;
  int64_t rounds = s->a.pattern.kind == PATTERN_NM || density <= 0
                     ? 1 : s->a.rounds;
  bool ok = flow_open(&fl, s) && flow_run(&fl);
  if (!ok)
    diag_error(s->c->d, EXIT_MODEL, s->s->span,
               "prune: method=synflow: expected a sum over the paths from "
               "inputs to outputs above 0 and finite, found %g",
               fl.sum);
  for (int64_t k = 1; ok && k < rounds; k++) {
    prune_scores(s);
    prune_share(s, 1 - pow(density, (double)k / (double)rounds));
    /* Where nothing flows any more the last scores hold. */
    if (!flow_run(&fl)) break;
  }
  flow_free(&fl);
  return ok;
}

double unit_synflow(const PruneStep *s, const Group *g, int64_t k) {
  double sum = 0;
  (void)s;
  for (size_t i = 0; i < g->parts.n; i++) {
    const Part *p = &g->parts.at[i];
    int64_t first = p->follows ? -1 : part_offset(p, k);
    const double *at = p->w->score + (first < 0 ? 0 : first);
    for (int64_t r = 0; first >= 0 && r < p->rows; r++)
      for (int64_t c = 0; c < p->cols; c++)
        sum += at[r * p->w->row_step + c * p->w->col_step];
  }
  return sum;
}
