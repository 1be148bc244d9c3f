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

/* x for operator version `opset`, and its axis: before 13 that is 1 where
 * nothing is said, and the axes from it on count as one. */
static Node *softmax_operand(Ox *o, Node *x, int opset, int *axis) {
  int64_t dim[MAX_RANK];
  if (!x || !ox_axis(o, ox_int(o, "axis", opset < 13 ? 1 : -1),
                     x->type.rank, axis))
    return NULL;
  int64_t rest = ox_span(x->type.dim, *axis, x->type.rank);
  if (opset >= 13 || rest == x->type.dim[*axis])
    return x;
  memcpy(dim, x->type.dim, sizeof dim);
  dim[*axis] = rest;
  return ox_reshape(o, x, *axis + 1, dim);
}

Node *ox_softmax(Ox *o, Node *x, int opset) {
  int axis;
  Node *y = softmax_operand(o, x, opset, &axis);
  y = y ? softmax(o, y, axis) : NULL;
  return y ? ox_reshape(o, y, x->type.rank, x->type.dim) : NULL;
}

bool ox_write_softmax(Ox *o) {
  const char *name = o->node->op_type;
  Node *whole = ox_in(o, 0);
  int axis;
  Node *x = softmax_operand(o, whole, o->opset, &axis);
  if (!x)
    return false;
  Node *y = !strcmp(name, "Softmax")      ? softmax(o, x, axis)
            : !strcmp(name, "LogSoftmax") ? ox_log_softmax(o, x, axis)
                                          : hardmax(o, x, axis);
  return ox_give(o, 0, ox_reshape(o, y, whole->type.rank, whole->type.dim));
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
