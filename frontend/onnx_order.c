/* onnx_order.c - places, orders and running sums along an axis of an ONNX
 * file. */
#include "frontend/onnx_move.h"

#include <string.h>

/* Operand 0 for order, and its axis by the attribute. */
static Node *along(Ox *o, int64_t def, int *axis) {
  Node *x = ox_ordered(o, ox_number(o, 0), ox_in_type(o, 0));
  if (!x || !ox_axis(o, ox_int(o, "axis", def), x->type.rank, axis))
    return NULL;
  return x;
}

/* ---- the greatest and the least ------------------------------------- */

/* The last of equals is the first from behind. */
bool ox_write_arg(Ox *o) {
  bool most = !strcmp(o->node->op_type, "ArgMax");
  bool last = ox_int(o, "select_last_index", 0);
  int axis;
  Node *x = along(o, 0, &axis);
  if (!x)
    return false;
  int64_t size = x->type.dim[axis];
  if (last)
    x = ox_flip(o, x, axis);
  Node *y = x ? ox_begin(o, most ? OP_ARGMAX : OP_ARGMIN, &x, 1) : NULL;
  if (y) {
    attr_set_int(y, "axis", axis);
    attr_set_bool(y, "keep", ox_int(o, "keepdims", 1));
  }
  y = ox_cast(o, ox_end(o, y), I64);
  if (last)
    y = ox_op2(o, OP_SUB, ox_scalar_int(o, I64, size - 1), y);
  return ox_give_as(o, 0, y, OX_INT64);
}

/* ---- the greatest k ------------------------------------------------- */

/* The values at places along an axis: those in x as one line, where the axis
 * begins between what lies before and behind it. */
static Node *looked_up(Ox *o, Node *x, Node *places, int axis) {
  const Type *t = &x->type, all = places->type;
  int64_t before = ox_span(t->dim, 0, axis), size = t->dim[axis];
  int64_t behind = ox_span(t->dim, axis + 1, t->rank), line = size * behind;
  int64_t dim[3] = {before, all.dim[axis], behind}, one = before * line;
  Node *at = ox_reshape(o, places, 3, dim);
  if (behind != 1) {
    at = ox_with(o, OP_MUL, at, (double)behind);
    at = ox_op2(o, OP_ADD, at, ox_ruler(o, I32, 3, 2, behind));
  }
  if (before != 1) {
    Node *first = ox_ruler(o, I32, 3, 0, before);
    first = ox_with(o, OP_MUL, first, (double)line);
    at = ox_op2(o, OP_ADD, at, first);
  }
  at = ox_reshape(o, at, all.rank, all.dim);
  return ox_gather(o, ox_reshape(o, x, 1, &one), at, 0);
}

static bool count_read(Ox *o, int64_t *k) {
  if (o->opset >= 10)
    return ox_const_int(o, 1, "K", k);
  *k = ox_int(o, "k", -1);
  return true;
}

bool ox_write_topk(Ox *o) {
  int axis, type = ox_in_type(o, 0);
  int64_t k;
  Node *x = along(o, -1, &axis), *kept = ox_in(o, 0);
  if (!x || !count_read(o, &k))
    return false;
  if (k < 0 || k > x->type.dim[axis])
    return ox_malformed(o, "K=%lld of %lld elements", (long long)k,
                        (long long)x->type.dim[axis]);
  if (ox_elems(x) > INT32_MAX)
    return ox_refuse(o, "more than 2^31 - 1 elements");
  Node *at = ox_begin(o, OP_ARGSORT, &x, 1);
  if (at) {
    attr_set_int(at, "axis", axis);
    attr_set_int(at, "count", k);
    attr_set_bool(at, "descending", ox_int(o, "largest", 1));
  }
  at = ox_end(o, at);
  if (!at)
    return false;
  Node *v = ox_elems(at) ? looked_up(o, kept, at, axis)
                         : ox_slice(o, kept, axis, 0, k, 1);
  return ox_give_as(o, 0, v, type) &&
         ox_give_as(o, 1, ox_cast(o, at, I64), OX_INT64);
}

/* ---- running sums and products -------------------------------------- */

static Node *cumsum(Ox *o, Node *x, int axis) {
  Node *y = ox_begin(o, OP_CUMSUM, &x, 1);
  if (y) {
    attr_set_int(y, "axis", axis);
    attr_set_bool(y, "exclusive", ox_int(o, "exclusive", 0));
    attr_set_bool(y, "reverse", ox_int(o, "reverse", 0));
  }
  return ox_end(o, y);
}

/* x moved by `by` places along an axis, ones behind it. */
static Node *moved(Ox *o, Node *x, int axis, int64_t by, bool back) {
  int64_t before[MAX_RANK] = {0}, after[MAX_RANK] = {0};
  if (!x)
    return NULL;
  int64_t n = x->type.dim[axis];
  x = back ? ox_slice(o, x, axis, by, n, 1)
           : ox_slice(o, x, axis, 0, n - by, 1);
  (back ? after : before)[axis] = by;
  return ox_pad(o, x, before, after, 1);
}

/* Each times the one 1, 2, 4, ... before it (Hillis and Steele, 1986). */
static Node *cumprod(Ox *o, Node *x, int axis) {
  bool back = ox_int(o, "reverse", 0);
  int64_t n = x->type.dim[axis];
  if (n > 0 && ox_int(o, "exclusive", 0))
    x = moved(o, x, axis, 1, back);
  for (int64_t by = 1; by < n; by *= 2)
    x = ox_op2(o, OP_MUL, x, moved(o, x, axis, by, back));
  return x;
}

bool ox_write_cumulative(Ox *o) {
  bool sum = !strcmp(o->node->op_type, "CumSum");
  int64_t at;
  int axis, type = ox_in_type(o, 0);
  Node *x = ox_number(o, 0);
  if (!x || !ox_const_int(o, 1, "axis", &at) ||
      !ox_axis(o, at, x->type.rank, &axis))
    return false;
  Node *y = sum ? cumsum(o, x, axis) : cumprod(o, x, axis);
  return ox_give_number(o, ox_wrap(o, y, type));
}
