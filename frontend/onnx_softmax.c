/* onnx_softmax.c - what an ONNX file makes of the elements along an axis by
 * their sum or their greatest: softmax and its kin, norms. */
#include "frontend/onnx_move.h"

#include <string.h>

/* ---- softmax -------------------------------------------------------- */

static Node *softmax(Ox *o, Node *x, int axis) {
  Node *y = x ? ox_begin(o, OP_SOFTMAX, &x, 1) : NULL;
  if (y)
    attr_set_int(y, "axis", axis);
  return ox_end(o, y);
}

Node *ox_log_softmax(Ox *o, Node *x, int axis) {
  int64_t a = axis;
  x = ox_op2(o, OP_SUB, x, ox_reduce(o, OP_MAX, x, &a, 1, true));
  Node *sum = ox_reduce(o, OP_SUM, ox_op1(o, OP_EXP, x), &a, 1, true);
  return ox_op2(o, OP_SUB, x, ox_op1(o, OP_LOG, sum));
}

/* 1 at the first of the greatest, else 0. */
static Node *hardmax(Ox *o, Node *x, int axis) {
  if (!x || x->type.dim[axis] == 0)
    return x;
  Node *top = ox_begin(o, OP_ARGMAX, &x, 1);
  if (top) {
    attr_set_int(top, "axis", axis);
    attr_set_bool(top, "keep", true);
  }
  top = ox_end(o, top);
  Node *place = ox_ruler(o, I32, x->type.rank, axis, x->type.dim[axis]);
  return ox_cast(o, ox_op2(o, OP_EQUAL, place, top), F32);
}

/* Before opset 13 the axes from `axis` on, which is 1 where nothing is said,
 * count as one. */
bool ox_write_softmax(Ox *o) {
  const char *name = o->node->op_type;
  Node *x = ox_in(o, 0);
  int axis;
  if (!x || !ox_axis(o, ox_int(o, "axis", o->opset < 13 ? 1 : -1),
                     x->type.rank, &axis))
    return false;
  Type whole = x->type;
  int64_t dim[MAX_RANK], rest = ox_span(whole.dim, axis, whole.rank);
  if (o->opset < 13 && rest != whole.dim[axis]) {
    memcpy(dim, whole.dim, sizeof dim);
    dim[axis] = rest;
    x = ox_reshape(o, x, axis + 1, dim);
  }
  Node *y = !strcmp(name, "Softmax")      ? softmax(o, x, axis)
            : !strcmp(name, "LogSoftmax") ? ox_log_softmax(o, x, axis)
                                          : hardmax(o, x, axis);
  return ox_give(o, 0, ox_reshape(o, y, whole.rank, whole.dim));
}

/* ---- norms ---------------------------------------------------------- */

/* x by its norm along an axis, 0 where that is 0. */
bool ox_write_lp_normalization(Ox *o) {
  int64_t p = ox_int(o, "p", 2), along;
  Node *x = ox_in(o, 0);
  int axis;
  if (!x || !ox_axis(o, ox_int(o, "axis", -1), x->type.rank, &axis))
    return false;
  if (p != 1 && p != 2)
    return ox_malformed(o, "p=%lld, expected 1 or 2", (long long)p);
  along = axis;
  Node *y = ox_op1(o, p == 1 ? OP_ABS : OP_SQUARE, x);
  y = ox_reduce(o, OP_SUM, y, &along, 1, true);
  if (p == 2)
    y = ox_op1(o, OP_SQRT, y);
  Node *none = ox_with(o, OP_EQUAL, y, 0);
  y = ox_op3(o, OP_WHERE, none, ox_scalar(o, F32, 1), y);
  return ox_give(o, 0, ox_op2(o, OP_DIV, x, y));
}
