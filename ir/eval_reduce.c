/* eval_reduce.c - reference evaluation of sums, means, extremes and softmax
 * along axes. */
#include "ir/eval.h"

#include <math.h>

static double reduce_start(Op op) {
  switch (op) {
    case OP_SUM:
    case OP_MEAN: return 0;
    case OP_PROD: return 1;
    case OP_MAX: return -INFINITY;
    case OP_MIN: return INFINITY;
    default: unreachable();
  }
}

/* Of no elements: the least and the greatest that the type has. */
int64_t reduce_start_int(Op op, Elem e) {
  int64_t least = e == I64 ? INT64_MIN : e == I32 ? INT32_MIN : 0;
  int64_t most = e == I64 ? INT64_MAX : e == I32 ? INT32_MAX
                 : e == U8 ? UINT8_MAX : 1;
  switch (op) {
    case OP_SUM: return 0;
    case OP_PROD: return 1;
    case OP_MAX: return least;
    case OP_MIN: return most;
    default: unreachable();
  }
}

static double reduce_step(Op op, double acc, double x) {
  switch (op) {
    case OP_SUM:
    case OP_MEAN: return acc + x;
    case OP_PROD: return acc * x;
    case OP_MAX: return acc < x ? x : acc;
    case OP_MIN: return x < acc ? x : acc;
    default: unreachable();
  }
}

static int64_t reduce_step_int(Op op, int64_t acc, int64_t x) {
  switch (op) {
    case OP_SUM: return binary_eval_int(OP_ADD, acc, x);
    case OP_PROD: return binary_eval_int(OP_MUL, acc, x);
    case OP_MAX: return acc < x ? x : acc;
    case OP_MIN: return x < acc ? x : acc;
    default: unreachable();
  }
}

/* Fold the elements of x from number `at` on, in order, into those of y at
 * strides ts, which are 0 along reduced axes; returns the next number. */
static int64_t reduce_walk(Op op, int rank, const int64_t *dim, Tensor *y,
                           int64_t to, const int64_t *ts, const Tensor *x,
                           int64_t at) {
  if (rank == 0) {
    if (elem_is_float(x->type.elem))
      y->v[to] = reduce_step(op, y->v[to], x->v[at]);
    else
      y->i[to] = reduce_step_int(op, y->i[to], x->i[at]);
    return at + 1;
  }
  for (int64_t i = 0; i < dim[0]; i++)
    at = reduce_walk(op, rank - 1, dim + 1, y, to + i * ts[0], ts + 1, x, at);
  return at;
}

void eval_reduce(EvalCtx *c) {
  const Type *x = &c->in[0]->type;
  Op op = c->n->op;
  int naxes;
  const int64_t *axes = attr_ints(c->n, "axes", &naxes);
  bool reduced[MAX_RANK] = {false};
  for (int i = 0; i < naxes; i++) reduced[eval_axis(axes[i], x->rank)] = true;
  int64_t stride[MAX_RANK], run = 1, folded = 1;
  for (int i = x->rank - 1; i >= 0; i--) {
    bool gone = naxes == 0 || reduced[i];
    stride[i] = gone ? 0 : run;
    if (gone) folded *= x->dim[i];
    else run *= x->dim[i];
  }
  int64_t count = type_elems(&c->n->type);
  ensure(count == run);
  for (int64_t i = 0; i < count; i++)
    if (elem_is_float(x->elem)) c->out->v[i] = reduce_start(op);
    else c->out->i[i] = reduce_start_int(op, x->elem);
  if (type_elems(x) > 0)
    reduce_walk(op, x->rank, x->dim, c->out, 0, stride, c->in[0], 0);
  if (op == OP_MEAN)
    for (int64_t i = 0; i < count; i++) c->out->v[i] /= (double)folded;
}

void softmax_line(const double *x, double *y, int64_t n, int64_t step) {
  double top = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; i++)
    if (top < x[i * step]) top = x[i * step];
  for (int64_t i = 0; i < n; i++) sum += y[i * step] = exp(x[i * step] - top);
  for (int64_t i = 0; i < n; i++) y[i * step] /= sum;
}

void eval_softmax(EvalCtx *c) {
  const Type *t = &c->n->type;
  int axis = eval_axis(attr_int(c->n, "axis"), t->rank);
  int64_t n = t->dim[axis], inner = 1, outer = 1;
  for (int i = 0; i < axis; i++) outer *= t->dim[i];
  for (int i = axis + 1; i < t->rank; i++) inner *= t->dim[i];
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < inner; i++)
      softmax_line(c->in[0]->v + o * n * inner + i,
                   c->out->v + o * n * inner + i, n, inner);
}
