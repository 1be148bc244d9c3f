/* onnx_shape.c - operators that give a value another shape, or another order
 * of axes, and those that tell shapes. */
#include "frontend/onnx_move.h"

#include <string.h>

bool ox_rank_fits(Ox *o, int rank) {
  return rank <= MAX_RANK ||
         ox_refuse(o, "a value of rank %d, at most %d is supported", rank,
                   MAX_RANK);
}

int64_t ox_span(const int64_t *dim, int from, int to) {
  int64_t n = 1;
  for (int i = from; i < to; i++)
    if (__builtin_mul_overflow(n, dim[i], &n))
      return -1;
  return n;
}

Node *ox_axis_or_flat(Ox *o, Node *x, int *axis) {
  int64_t all = ox_elems(x);
  *axis = 0;
  if (!ox_has(o, "axis"))
    return ox_reshape(o, x, 1, &all);
  return ox_axis(o, ox_int(o, "axis", 0), x->type.rank, axis) ? x : NULL;
}

/* ---- Reshape, Flatten ----------------------------------------------- */

/* A size of 0 is that of x, where it has that axis and nothing else is
 * said.  Up to version 4 the shape is an attribute. */
bool ox_write_reshape(Ox *o) {
  const int64_t *want;
  int64_t dim[MAX_RANK];
  Node *x = ox_in(o, 0);
  int n = o->opset < 5 && !ox_has_in(o, 1)
    ? ox_ints(o, "shape", &want) : ox_const_ints(o, 1, "shape", &want);
  if (n < 0 && !o->said)
    return ox_malformed(o, "expected a shape");
  if (!x || n < 0 || !ox_rank_fits(o, n))
    return false;
  bool zeros = o->opset >= 14 && ox_int(o, "allowzero", 0) != 0;
  for (int i = 0; i < n; i++) {
    dim[i] = want[i];
    if (want[i] != 0 || zeros)
      continue;
    if (i >= x->type.rank)
      return ox_malformed(o, "size %d is 0, a value of rank %d has no axis "
                          "for it", i, x->type.rank);
    dim[i] = x->type.dim[i];
  }
  return ox_give(o, 0, ox_reshape(o, x, n, dim));
}

bool ox_write_flatten(Ox *o) {
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  int rank = x->type.rank;
  int64_t axis = ox_int(o, "axis", 1);
  if (axis < -rank || axis > rank)
    return ox_malformed(o, "axis %lld of a value of rank %d",
                        (long long)axis, rank);
  int at = (int)(axis < 0 ? axis + rank : axis);
  int64_t dim[] = {ox_span(x->type.dim, 0, at),
                   ox_span(x->type.dim, at, rank)};
  if (dim[0] < 0 || dim[1] < 0)
    return ox_malformed(o, "the sizes multiply to more than 2^63");
  return ox_give(o, 0, ox_reshape(o, x, 2, dim));
}

/* ---- Squeeze, Unsqueeze --------------------------------------------- */

/* The axes as bits: an attribute up to version 12, operand 1 from then on.
 * *n is how many, -1 when there are none at all. */
static bool axes_read(Ox *o, int *n, const int64_t **v) {
  if (o->opset < 13 && !ox_has_in(o, 1))
    *n = ox_ints(o, "axes", v);
  else if (!ox_has_in(o, 1))
    *n = -1;
  else if ((*n = ox_const_ints(o, 1, "axes", v)) < 0)
    return false;
  return true;
}

static bool axes_set(Ox *o, int n, const int64_t *v, int rank,
                     unsigned *set) {
  *set = 0;
  for (int i = 0; i < n; i++) {
    int axis;
    if (!ox_axis(o, v[i], rank, &axis))
      return false;
    if (*set >> axis & 1)
      return ox_malformed(o, "axis %d is named twice", axis);
    *set |= 1u << axis;
  }
  return true;
}

bool ox_write_squeeze(Ox *o) {
  const int64_t *v = NULL;
  int64_t dim[MAX_RANK];
  unsigned set;
  int n, rank = 0;
  Node *x = ox_in(o, 0);
  if (!x || !axes_read(o, &n, &v) ||
      !axes_set(o, n, v, x->type.rank, &set))
    return false;
  for (int i = 0; i < x->type.rank; i++) {
    bool drop = n < 0 ? x->type.dim[i] == 1 : set >> i & 1;
    if (drop && x->type.dim[i] != 1)
      return ox_malformed(o, "axis %d has size %lld, expected 1", i,
                          (long long)x->type.dim[i]);
    if (!drop)
      dim[rank++] = x->type.dim[i];
  }
  return ox_give(o, 0, ox_reshape(o, x, rank, dim));
}

bool ox_write_unsqueeze(Ox *o) {
  const int64_t *v = NULL;
  int64_t dim[MAX_RANK];
  unsigned set;
  int n, from = 0;
  Node *x = ox_in(o, 0);
  if (!x || !axes_read(o, &n, &v))
    return false;
  if (n < 0)
    return ox_malformed(o, "expected axes");
  if (n > MAX_RANK || !ox_rank_fits(o, x->type.rank + n))
    return n > MAX_RANK ? ox_refuse(o, "%d axes", n) : false;
  int rank = x->type.rank + n;
  if (!axes_set(o, n, v, rank, &set))
    return false;
  for (int i = 0; i < rank; i++)
    dim[i] = set >> i & 1 ? 1 : x->type.dim[from++];
  return ox_give(o, 0, ox_reshape(o, x, rank, dim));
}

/* ---- Transpose, Expand ---------------------------------------------- */

bool ox_write_transpose(Ox *o) {
  const int64_t *given;
  int64_t order[MAX_RANK];
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  int rank = x->type.rank, n = ox_ints(o, "perm", &given);
  if (n >= 0 && n != rank)
    return ox_malformed(o, "perm has %d axes, the value %d", n, rank);
  for (int i = 0; i < rank; i++)
    order[i] = n < 0 ? rank - 1 - i : given[i];
  return ox_give(o, 0, ox_permute(o, x, order));
}

/* The result has the shape that x's and the given one broadcast to. */
bool ox_write_expand(Ox *o) {
  const int64_t *want;
  int64_t dim[MAX_RANK];
  Node *x = ox_in(o, 0);
  int n = ox_const_ints(o, 1, "shape", &want);
  if (!x || n < 0 || !ox_rank_fits(o, n))
    return false;
  int rank = n > x->type.rank ? n : x->type.rank;
  for (int i = 0; i < rank; i++) {
    int k = i - (rank - n), from = i - (rank - x->type.rank);
    int64_t have = from < 0 ? 1 : x->type.dim[from];
    dim[i] = k < 0 || want[k] == 1 ? have : want[k];
  }
  return ox_give(o, 0, ox_expand(o, x, rank, dim));
}

bool ox_write_identity(Ox *o) {
  return ox_give(o, 0, ox_in(o, 0));
}

/* ---- Shape, Size ---------------------------------------------------- */

static int shape_bound(int64_t v, int rank) {
  if (v < 0)
    v += rank;
  return v < 0 ? 0 : v > rank ? rank : (int)v;
}

bool ox_write_shape(Ox *o) {
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  int rank = x->type.rank, from = 0, to = rank;
  if (o->opset >= 15) {
    from = shape_bound(ox_int(o, "start", 0), rank);
    to = shape_bound(ox_int(o, "end", rank), rank);
  }
  int n = to > from ? to - from : 0;
  return ox_give_as(o, 0, ox_list(o, I64, x->type.dim + from, n), OX_INT64);
}

bool ox_write_size(Ox *o) {
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  int64_t n = ox_elems(x);
  if (n < 0)
    return ox_malformed(o, "a value of 2^63 elements or more");
  return ox_give_as(o, 0, ox_scalar_int(o, I64, n), OX_INT64);
}
