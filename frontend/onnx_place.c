/* onnx_place.c - places of elements, as constants or computed at run time.
 * The IR takes an index out of range for the nearest in it; in an ONNX file a
 * negative one counts from the end. */
#include "frontend/onnx_move.h"

Elem ox_place_elem(int64_t n) {
  return n <= INT32_MAX ? I32 : I64;
}

Node *ox_iota(Ox *o, Elem e, int rank, const int64_t *dim, int axis) {
  Node *n = ox_begin(o, OP_IOTA, NULL, 0);
  if (!n)
    return NULL;
  attr_set_ints(o->m, n, "shape", dim, rank);
  attr_set_int(n, "axis", axis);
  return ox_cast(o, ox_end(o, n), e);
}

Node *ox_ruler(Ox *o, Elem e, int rank, int axis, int64_t n) {
  int64_t dim[MAX_RANK];
  for (int i = 0; i < rank; i++)
    dim[i] = i == axis ? n : 1;
  return ox_iota(o, e, rank, dim, axis);
}

Node *ox_times(Ox *o, Node *x, int64_t by) {
  if (!x || by == 1)
    return x;
  return ox_op2(o, OP_MUL, x, ox_scalar_int(o, x->type.elem, by));
}

Node *ox_plus(Ox *o, Node *a, Node *b) {
  return !a ? b : !b ? a : ox_op2(o, OP_ADD, a, b);
}

/* ---- along one axis ------------------------------------------------- */

static bool index_is_int(Ox *o, const Node *index) {
  return index->type.elem == I32 || index->type.elem == I64 ||
         ox_malformed(o, "an index of type %s, expected int32 or int64",
                      elem_name(index->type.elem));
}

/* Whether constants, k of them a tuple, are in range; *wraps: whether any
 * may be negative. */
static bool index_check(Ox *o, const Node *index, const int64_t *size, int k,
                        bool *wraps) {
  *wraps = true;
  if (!index_is_int(o, index))
    return false;
  const Tensor *t = ox_known(index) ? ox_values(o, index) : NULL;
  if (!t)
    return true;
  *wraps = false;
  int64_t n = ox_elems(index);
  for (int64_t i = 0; i < n; i++) {
    int64_t v = t->i[i], d = size[i % k];
    if (v < -d || v >= d)
      return ox_malformed(o, "index %lld of an axis of size %lld",
                          (long long)v, (long long)d);
    *wraps |= v < 0;
  }
  return true;
}

Node *ox_places(Ox *o, Node *index, int64_t size, Elem e) {
  bool wraps;
  if (!index || !index_check(o, index, &size, 1, &wraps))
    return NULL;
  index = ox_cast(o, index, e);
  if (!wraps)
    return index;
  return ox_op2(o, OP_FLOOR_MOD, index, ox_scalar_int(o, e, size));
}

/* ---- along one axis, beside the own place along the others ----------- */

/* Axes of x and of the index, those that go together as one. */
typedef struct Joined {
  int n, axis;
  int64_t x[MAX_RANK], index[MAX_RANK];
} Joined;

static bool axes_join(Ox *o, const Type *x, const Type *index, int axis,
                      Joined *j) {
  j->n = j->axis = 0;
  for (int i = 0; i < x->rank; i++) {
    if (i != axis && index->dim[i] > x->dim[i])
      return ox_malformed(o, "axis %d of the indices has size %lld, that of "
                          "the data %lld", i, (long long)index->dim[i],
                          (long long)x->dim[i]);
    if (j->n && i != axis && i - 1 != axis && x->dim[i] == index->dim[i]) {
      j->x[j->n - 1] *= x->dim[i];
      j->index[j->n - 1] *= index->dim[i];
      continue;
    }
    if (i == axis)
      j->axis = j->n;
    j->x[j->n] = x->dim[i];
    j->index[j->n++] = index->dim[i];
  }
  return true;
}

Node *ox_element_places(Ox *o, const Node *x, Node *index, int axis) {
  Joined j;
  int64_t count = ox_elems(index), by = 1, stride = 1;
  Node *base = NULL;
  Elem e = ox_place_elem(ox_elems(x));
  if (!axes_join(o, &x->type, &index->type, axis, &j))
    return NULL;
  Node *v = ox_places(o, index, x->type.dim[axis], e);
  v = ox_reshape(o, v, j.n, j.index);
  if (!v)
    return NULL;
  for (int i = j.n; i-- > 0; stride *= j.x[i])
    if (i == j.axis)
      by = stride;
    else if (j.index[i] > 1)
      base = ox_plus(o, base, ox_times(o, ox_ruler(o, e, j.n, i, j.index[i]),
                                       stride));
  return ox_reshape(o, ox_plus(o, ox_times(o, v, by), base), 1, &count);
}

/* ---- tuples --------------------------------------------------------- */

Node *ox_tuple_places(Ox *o, Node *index, const int64_t *dim, int k,
                      Elem e) {
  int64_t stride[MAX_RANK], rows = ox_span(index->type.dim, 0,
                                           index->type.rank - 1);
  bool wraps;
  if (k == 1)
    return ox_reshape(o, ox_places(o, index, dim[0], e), 1, &rows);
  if (!index_check(o, index, dim, k, &wraps))
    return NULL;
  for (int i = 0; i < k; i++)
    stride[i] = ox_span(dim, i + 1, k);
  Node *v = ox_reshape(o, ox_cast(o, index, e), 2, (int64_t[]){rows, k});
  if (wraps)
    v = ox_op2(o, OP_FLOOR_MOD, v, ox_list(o, e, dim, k));
  v = ox_op2(o, OP_MUL, v, ox_list(o, e, stride, k));
  return ox_reduce(o, OP_SUM, v, (int64_t[]){1}, 1, false);
}
