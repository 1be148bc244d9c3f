/* eval_shape.c - reference evaluation of the ops that only move values: each
 * is one or two strided copies. */
#include "ir/eval.h"

#include <string.h>

void strided_move(int rank, const int64_t *dim, void *to, const int64_t *ts,
                  const void *from, const int64_t *fs) {
  if (rank == 0) {
    memcpy(to, from, sizeof(double));
    return;
  }
  for (int64_t i = 0; i < dim[0]; i++)
    strided_move(rank - 1, dim + 1, (double *)to + i * ts[0], ts + 1,
                 (const double *)from + i * fs[0], fs + 1);
}

/* Fill the result from elements `base` + strides of the operand. */
static void strided_fill(EvalCtx *c, int64_t base, const int64_t *stride) {
  const Type *t = &c->n->type;
  int64_t own[MAX_RANK];
  if (type_elems(t) == 0) return;
  strides_dense(t, own);
  strided_move(t->rank, t->dim, c->out->v, own, c->in[0]->v + base, stride);
}

void eval_permute(EvalCtx *c) {
  int64_t from[MAX_RANK], stride[MAX_RANK];
  int count;
  const int64_t *order = attr_ints(c->n, "order", &count);
  ensure(count == c->n->type.rank);
  strides_dense(&c->in[0]->type, from);
  for (int i = 0; i < count; i++)
    stride[i] = from[eval_axis(order[i], count)];
  strided_fill(c, 0, stride);
}

void eval_expand(EvalCtx *c) {
  const Type *x = &c->in[0]->type;
  int64_t from[MAX_RANK], stride[MAX_RANK];
  int lead = c->n->type.rank - x->rank;
  ensure(lead >= 0);
  strides_dense(x, from);
  for (int i = 0; i < c->n->type.rank; i++)
    stride[i] = i < lead || x->dim[i - lead] == 1 ? 0 : from[i - lead];
  strided_fill(c, 0, stride);
}

void eval_slice(EvalCtx *c) {
  const Type *x = &c->in[0]->type;
  int axis = eval_axis(attr_int(c->n, "axis"), x->rank);
  int64_t start = attr_int(c->n, "start"), stride[MAX_RANK];
  if (start < 0) start += x->dim[axis];
  if (start < 0) start = 0;
  strides_dense(x, stride);
  int64_t base = start * stride[axis];
  stride[axis] *= attr_int(c->n, "step");
  strided_fill(c, base, stride);
}

void eval_flip(EvalCtx *c) {
  const Type *x = &c->in[0]->type;
  int count;
  const int64_t *axes = attr_ints(c->n, "axes", &count);
  int64_t stride[MAX_RANK], base = 0;
  strides_dense(x, stride);
  for (int i = 0; i < count; i++) {
    int axis = eval_axis(axes[i], x->rank);
    base += (x->dim[axis] - 1) * stride[axis];
    stride[axis] = -stride[axis];
  }
  strided_fill(c, base, stride);
}

void eval_select(EvalCtx *c) {
  const Type *x = &c->in[0]->type;
  int axis = eval_axis(attr_int(c->n, "axis"), x->rank);
  int64_t index = attr_int(c->n, "index"), from[MAX_RANK], stride[MAX_RANK];
  if (index < 0) index += x->dim[axis];
  ensure(index >= 0 && index < x->dim[axis]);
  strides_dense(x, from);
  for (int i = 0, to = 0; i < x->rank; i++)
    if (i != axis) stride[to++] = from[i];
  strided_fill(c, index * from[axis], stride);
}

void eval_concat(EvalCtx *c) {
  const Type *t = &c->n->type;
  int axis = eval_axis(attr_int(c->n, "axis"), t->rank);
  int64_t to[MAX_RANK], from[MAX_RANK], at = 0;
  strides_dense(t, to);
  for (int i = 0; i < c->n->nin; i++) {
    const Type *x = &c->in[i]->type;
    strides_dense(x, from);
    if (type_elems(x) > 0)
      strided_move(x->rank, x->dim, c->out->v + at * to[axis], to,
                   c->in[i]->v, from);
    at += x->dim[axis];
  }
}

void eval_interleave(EvalCtx *c) {
  const int64_t *step = attr_ints(c->n, "step", NULL);
  int64_t to[MAX_RANK], from[MAX_RANK], width = c->n->type.dim[3];
  strides_dense(&c->n->type, to);
  to[2] *= step[0], to[3] *= step[1];
  for (int i = 0; i < c->n->nin; i++) {
    const Type *x = &c->in[i]->type;
    strides_dense(x, from);
    if (type_elems(x) > 0)
      strided_move(4, x->dim,
                   c->out->v + i / step[1] * width + i % step[1], to,
                   c->in[i]->v, from);
  }
}

void eval_pad(EvalCtx *c) {
  const Type *t = &c->n->type, *x = &c->in[0]->type;
  int count;
  const int64_t *before = attr_ints(c->n, "before", &count);
  int64_t to[MAX_RANK], from[MAX_RANK], base = 0, total = type_elems(t);
  double value = attr_float(c->n, "value");
  ensure(count == t->rank);
  for (int64_t i = 0; i < total; i++)
    if (elem_is_float(t->elem)) c->out->v[i] = value;
    else c->out->i[i] = (int64_t)value;
  strides_dense(t, to);
  strides_dense(x, from);
  for (int i = 0; i < t->rank; i++) base += before[i] * to[i];
  if (type_elems(x) > 0)
    strided_move(x->rank, x->dim, c->out->v + base, to, c->in[0]->v, from);
}
