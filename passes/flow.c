/* flow.c - a sum over the paths of a net, forward and backward (flow.h). */
#include <math.h>
#include <string.h>

#include "passes/flow.h"

/* ---- what flows ------------------------------------------------------ */

/* Rows of a table that integers choose are inputs like any other. */
static bool is_source(const Node *n) {
  if (n->op == OP_INPUT || n->op == OP_STATE)
    return elem_is_float(n->type.elem);
  return n->op == OP_GATHER && n->in[0]->op == OP_PARAM &&
         elem_is_float(n->type.elem);
}

static bool any_flows(const Flow *fl, const Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && fl->flows[n->in[i]->id]) return true;
  return false;
}

static bool no_rule(Flow *fl, const Node *n) {
  const PruneStep *s = fl->s;
  return diag_error(s->c->d, EXIT_UNSUPPORTED, s->s->span,
                    "prune: method=synflow: no rule for the op '%s'%s%s",
                    op_info(n->op)->name, n->path ? " of " : "",
                    n->path ? n->path : "");
}

bool flow_open(Flow *fl, PruneStep *s) {
  const Func *f = s->c->m->funcs.at[0];
  bool ok = true;
  *fl = (Flow){.s = s, .a = arena_new(), .f = f};
  func_uses(fl->a, f);               /* sets ids */
  fl->flows = arena_array(fl->a, bool, f->nodes.n + 1);
  fl->v = arena_array(fl->a, double *, f->nodes.n + 1);
  fl->g = arena_array(fl->a, double *, f->nodes.n + 1);
  fl->aside = arena_array(fl->a, double *, f->nodes.n + 1);
  fl->dw = arena_array(fl->a, double *, s->weights.n + 1);
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    fl->flows[i] = elem_is_float(n->type.elem) &&
                   (is_source(n) || any_flows(fl, n));
    if (fl->flows[i] && !is_source(n) && !flow_rule(fl, n))
      ok = no_rule(fl, n);
  }
  return ok;
}

void flow_free(Flow *fl) {
  arena_free(fl->a);
}

/* ---- once through ---------------------------------------------------- */

static void zero(double *v, int64_t n) {
  if (n) memset(v, 0, (size_t)n * sizeof *v);
}

static void arrays_clear(Flow *fl) {
  for (size_t i = 0; i < fl->f->nodes.n; i++) {
    int64_t n = type_elems(&fl->f->nodes.at[i]->type);
    if (!fl->flows[i]) continue;
    if (!fl->v[i]) {
      fl->v[i] = arena_array(fl->a, double, (size_t)n + 1);
      fl->g[i] = arena_array(fl->a, double, (size_t)n + 1);
    }
    zero(fl->v[i], n);
    zero(fl->g[i], n);
  }
  for (size_t i = 0; i < fl->s->nselected; i++) {
    const PruneWeight *w = fl->s->weights.at[i];
    if (!fl->dw[i])
      fl->dw[i] = arena_array(fl->a, double, (size_t)(w->rows * w->cols) + 1);
    zero(fl->dw[i], w->rows * w->cols);
  }
}

static void forward(Flow *fl) {
  for (size_t i = 0; i < fl->f->nodes.n; i++) {
    const Node *n = fl->f->nodes.at[i];
    if (!fl->flows[i]) continue;
    if (!is_source(n)) flow_rule(fl, n)->forward(fl, n);
    else
      for (int64_t k = 0; k < type_elems(&n->type); k++) fl->v[i][k] = 1;
  }
}

/* Each element of a result gives itself. */
static double result_open(Flow *fl, const Node *n) {
  double sum = 0;
  if (!fl->flows[n->id]) return 0;
  for (int64_t k = 0; k < type_elems(&n->type); k++) {
    sum += fl->v[n->id][k];
    fl->g[n->id][k] += 1;
  }
  return sum;
}

static double results_open(Flow *fl) {
  const Func *f = fl->f;
  double sum = 0;
  for (size_t i = 0; i < f->outputs.n; i++)
    sum += result_open(fl, f->outputs.at[i].node);
  for (size_t i = 0; i < f->nexts.n; i++)
    sum += result_open(fl, f->nexts.at[i].node);
  return sum;
}

static void backward(Flow *fl) {
  for (size_t i = fl->f->nodes.n; i-- > 0;) {
    const Node *n = fl->f->nodes.at[i];
    if (fl->flows[i] && !is_source(n)) flow_rule(fl, n)->backward(fl, n);
  }
}

bool flow_run(Flow *fl) {
  arrays_clear(fl);
  forward(fl);
  fl->sum = results_open(fl);
  if (!(fl->sum > 0) || !isfinite(fl->sum)) return false;
  backward(fl);
  for (size_t i = 0; i < fl->s->nselected; i++) {
    PruneWeight *w = fl->s->weights.at[i];
    const float *v = w->v ? w->v : w->old;
    int64_t n = w->rows * w->cols;
    if (!w->score) w->score = arena_array(fl->s->arena, double, (size_t)n + 1);
    for (int64_t k = 0; k < n; k++) {
      w->score[k] = fabs((double)v[k]) * (fl->dw[i][k] / fl->sum);
      if (!isfinite(w->score[k])) return false;
    }
  }
  return true;
}
