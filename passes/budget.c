/* budget.c - `prune` to a budget: the least sparsity with which the net keeps
 * to it, found by halves.
 *
 *   macs      multiply-accumulates whose weight is not zero, as a share of
 *             all of the dense net (norms are folded, and do not count)
 *   bytes     of the weights as they are stored for the target
 *   latency   time by the model of costs, as a share of the dense net's */
#include "passes/prune.h"

/* Halves of the range of sparsities; a net is compiled for each of the last
 * two budgets. */
static const int halves[] = {
  [BUDGET_MACS] = 24, [BUDGET_BYTES] = 14, [BUDGET_LATENCY] = 14,
};

/* ---- what a net takes ------------------------------------------------ */

static Cost net_cost(Module *m) {
  const Func *f = m->funcs.at[0];
  Cost all = {0, 0, 0};
  for (size_t i = 0; i < f->nodes.n; i++) {
    Op op = f->nodes.at[i]->op;
    if (op == OP_BATCH_NORM || op == OP_SCALE_SHIFT) continue;
    Cost c = node_cost(m, f->nodes.at[i]);
    all.macs += c.macs;
    all.nonzero_macs += c.nonzero_macs;
  }
  return all;
}

static bool net_predict(PruneStep *s, bool dense, Prediction *out) {
  PassCtx *c = s->c;
  return c->predict(c->predict_ctx, c->m, dense, out);
}

/* What the budget is about, of the net as it is. */
static bool net_measure(PruneStep *s, double whole, double *out) {
  Prediction p;
  if (s->a.budget == BUDGET_MACS) {
    *out = (double)net_cost(s->c->m).nonzero_macs / whole;
    return true;
  }
  if (!net_predict(s, false, &p)) return false;
  *out = s->a.budget == BUDGET_BYTES ? (double)p.bytes : p.us / whole;
  return true;
}

/* What shares are shares of. */
static bool net_whole(PruneStep *s, double *whole) {
  Prediction p = {0};
  *whole = 1;
  if (s->a.budget == BUDGET_MACS) *whole = (double)net_cost(s->c->m).macs;
  if (s->a.budget == BUDGET_LATENCY) {
    if (!net_predict(s, true, &p)) return false;
    *whole = p.us;
  }
  return *whole > 0 ||
         diag_error(s->c->d, EXIT_MODEL, s->s->span,
                    "prune: %s: the net has nothing to save",
                    budget_name(s->a.budget));
}

/* ---- trying ---------------------------------------------------------- */

/* Exchange the values of all params that units have parts of. */
static void data_swap(PruneStep *s, Buffer **other) {
  for (size_t i = 0; i < s->weights.n; i++) {
    Param *p = s->weights.at[i]->p;
    if (!s->weights.at[i]->to) continue;
    Buffer *own = buffer_ref(p->data);
    param_set_data(p, other[i]);
    other[i] = own;
  }
}

/* What the net takes with so large a share of the units gone; its values
 * are as before. */
static bool share_measure(PruneStep *s, double sparsity, double whole,
                          double *out) {
  Buffer **other = arena_array(s->arena, Buffer *, s->weights.n + 1);
  prune_share(s, sparsity);
  for (size_t i = 0; i < s->weights.n; i++)
    other[i] = buffer_ref(s->weights.at[i]->to);
  data_swap(s, other);
  bool ok = net_measure(s, whole, out);
  data_swap(s, other);
  for (size_t i = 0; i < s->weights.n; i++) {
    PruneWeight *w = s->weights.at[i];
    buffer_unref(other[i]);
    w->old = param_values(s->c->m, w->p);
  }
  return ok;
}

static void limit_print(const PruneStep *s, Text *t, double v) {
  if (s->a.budget == BUDGET_BYTES) text_printf(t, "%.0f", v);
  else text_printf(t, "%.4g", v);
}

static bool out_of_reach(PruneStep *s, double best) {
  Text want = {0}, found = {0};
  limit_print(s, &want, s->a.limit);
  limit_print(s, &found, best);
  diag_error(s->c->d, EXIT_MODEL, s->s->span,
             "prune: %s=%s is out of reach: expected %s at least, which is "
             "what the net takes with all that is selected at zero",
             budget_name(s->a.budget), want.s, found.s);
  text_free(&want);
  text_free(&found);
  return false;
}

bool budget_sparsity(PruneStep *s, double *sparsity) {
  double whole, lo = 0, hi = 1, v;
  if (!net_whole(s, &whole) || !share_measure(s, 0, whole, &v)) return false;
  *sparsity = 0;
  if (v <= s->a.limit) return true;
  if (!share_measure(s, 1, whole, &v)) return false;
  if (!(v <= s->a.limit)) return out_of_reach(s, v);
  for (int i = 0; i < halves[s->a.budget]; i++) {
    double mid = (lo + hi) / 2;
    if (!share_measure(s, mid, whole, &v)) return false;
    if (v <= s->a.limit) hi = mid;
    else lo = mid;
  }
  *sparsity = hi;
  return true;
}
