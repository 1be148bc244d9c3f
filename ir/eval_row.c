/* eval_row.c - reference evaluation of ops on rows along the last axis. */
#include <math.h>

#include "ir/eval.h"

void eval_normalize(EvalCtx *c) {
  const Type *t = &c->n->type;
  const Tensor *gamma = eval_operand(c, "gamma");
  const Tensor *beta = eval_operand(c, "beta");
  double eps = attr_float(c->n, "eps");
  int64_t n = t->dim[t->rank - 1], rows = n ? type_elems(t) / n : 0;
  for (int64_t r = 0; r < rows; r++) {
    const double *x = c->in[0]->v + r * n;
    double *y = c->out->v + r * n, mean = 0, squares = 0;
    for (int64_t i = 0; attr_bool(c->n, "center") && i < n; i++) mean += x[i];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    double by = 1 / sqrt(squares / (double)n + eps);
    for (int64_t i = 0; i < n; i++)
      y[i] = (x[i] - mean) * by * (gamma ? gamma->v[i] : 1) +
             (beta ? beta->v[i] : 0);
  }
}

/* Where the row of an operand that broadcasts begins that belongs to row r
 * of t. */
static int64_t row_of(const Type *t, const Type *a, int64_t r) {
  int64_t at = 0, stride = a->dim[a->rank - 1];
  for (int k = 2; k <= a->rank; k++) {
    int64_t size = a->dim[a->rank - k], of = t->dim[t->rank - k];
    if (size > 1) at += r % of * stride;
    stride *= size;
    r /= of;
  }
  return at;
}

void eval_rotary(EvalCtx *c) {
  const Type *t = &c->n->type, *ct = &c->in[1]->type, *st = &c->in[2]->type;
  bool pairs = attr_bool(c->n, "pairs");
  int64_t n = t->dim[t->rank - 1], half = n / 2;
  int64_t rows = n ? type_elems(t) / n : 0;
  bool few_cos = ct->dim[ct->rank - 1] < n, few_sin = st->dim[st->rank - 1] < n;
  for (int64_t r = 0; r < rows; r++) {
    const double *x = c->in[0]->v + r * n;
    const double *cs = c->in[1]->v + row_of(t, ct, r);
    const double *sn = c->in[2]->v + row_of(t, st, r);
    double *y = c->out->v + r * n;
    for (int64_t i = 0; i < half; i++) {
      int64_t a = pairs ? 2 * i : i, b = pairs ? a + 1 : i + half;
      y[a] = x[a] * cs[few_cos ? i : a] - x[b] * sn[few_sin ? i : a];
      y[b] = x[b] * cs[few_cos ? i : b] + x[a] * sn[few_sin ? i : b];
    }
  }
}
