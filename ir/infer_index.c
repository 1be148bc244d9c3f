/* infer_index.c - the types of ops that count, order and look up elements. */
#include "ir/infer.h"

#include <string.h>

/* The axis attribute; its elements are numbered by an i32. */
static bool numbered_axis(InferCtx *c, int *axis) {
  const Type *x = infer_in(c, 0);
  if (!infer_axis(c, attr_int(c->n, "axis"), x->rank, axis)) return false;
  if (x->dim[*axis] <= INT32_MAX) return true;
  return infer_error(c, "axis %d has size %lld, more than 2^31 - 1", *axis,
                     (long long)x->dim[*axis]);
}

bool infer_arg(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int axis, rank = 0;
  int64_t y[MAX_RANK];
  if (!numbered_axis(c, &axis)) return false;
  for (int i = 0; i < x->rank; i++)
    if (i != axis) y[rank++] = x->dim[i];
    else if (attr_bool(c->n, "keep")) y[rank++] = 1;
  c->out = type_make(I32, rank, y);
  if (x->dim[axis] == 0 && type_elems(&c->out) != 0)
    return infer_error(c, "axis %d has size 0, expected 1 or more", axis);
  return true;
}

bool infer_argsort(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int axis;
  if (!numbered_axis(c, &axis)) return false;
  int64_t count = attr_int(c->n, "count"), size = x->dim[axis];
  if (count < -1 || count > size)
    return infer_error(c, "count=%lld, expected at most %lld (axis %d), or "
                       "-1 for all", (long long)count, (long long)size, axis);
  int64_t y[MAX_RANK];
  memcpy(y, x->dim, sizeof y);
  if (count >= 0) y[axis] = count;
  c->out = type_make(I32, x->rank, y);
  return true;
}

bool infer_cumsum(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int axis;
  return infer_axis(c, attr_int(c->n, "axis"), x->rank, &axis) &&
         infer_out(c, x->rank, x->dim);
}

/* x's shape with the index's in place of the axis. */
static bool looked_up(InferCtx *c, int axis, int *rank, int64_t *y) {
  const Type *x = infer_in(c, 0), *index = infer_in(c, 1);
  *rank = x->rank - 1 + index->rank;
  if (*rank > MAX_RANK)
    return infer_error(c, "x of rank %d and index of rank %d make rank %d, "
                       "at most %d is supported", x->rank, index->rank, *rank,
                       MAX_RANK);
  int k = 0;
  for (int i = 0; i < axis; i++) y[k++] = x->dim[i];
  for (int i = 0; i < index->rank; i++) y[k++] = index->dim[i];
  for (int i = axis + 1; i < x->rank; i++) y[k++] = x->dim[i];
  return true;
}

bool infer_gather(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int axis, rank;
  int64_t y[MAX_RANK];
  if (!infer_axis(c, attr_int(c->n, "axis"), x->rank, &axis) ||
      !looked_up(c, axis, &rank, y))
    return false;
  if (x->dim[axis] == 0 && type_elems(infer_in(c, 1)) != 0)
    return infer_error(c, "axis %d has size 0: there is nothing to look up",
                       axis);
  return infer_out(c, rank, y);
}

bool scatter_op(const char *mode, Op *op) {
  static const struct { const char *mode; Op op; } ops[] = {
    {"mul", OP_MUL}, {"max", OP_MAXIMUM}, {"min", OP_MINIMUM}
  };
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (strcmp(mode, ops[i].mode) == 0) {
      *op = ops[i].op;
      return true;
    }
  return false;
}

bool infer_scatter_add(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int axis, rank;
  int64_t y[MAX_RANK];
  return infer_axis(c, attr_int(c->n, "axis"), x->rank, &axis) &&
         looked_up(c, axis, &rank, y) && infer_shape(c, 2, rank, y) &&
         infer_out(c, x->rank, x->dim);
}

bool infer_scatter(InferCtx *c) {
  const char *mode = attr_str(c->n, "mode");
  Elem e = infer_in(c, 0)->elem;
  Op op;
  if (strcmp(mode, "set") != 0 && !scatter_op(mode, &op))
    return infer_error(c, "mode=\"%s\", expected \"set\", \"mul\", \"max\" or "
                       "\"min\"", mode);
  if (strcmp(mode, "set") != 0 && !(op_info(op)->elems >> e & 1))
    return infer_error(c, "x is %s, expected %s with mode=\"%s\"",
                       elem_name(e), elems_text(op_info(op)->elems), mode);
  return infer_scatter_add(c);
}

/* The attribute shape, sizes of at least 0. */
static bool shape_attr(InferCtx *c, int *rank, const int64_t **shape) {
  *shape = attr_ints(c->n, "shape", rank);
  if (*rank > MAX_RANK)
    return infer_error(c, "the result has rank %d, at most %d is supported",
                       *rank, MAX_RANK);
  return infer_list(c, "shape", *rank, 0, INT64_MAX, shape);
}

bool infer_iota(InferCtx *c) {
  const int64_t *shape;
  int rank, axis;
  if (!shape_attr(c, &rank, &shape) ||
      !infer_axis(c, attr_int(c->n, "axis"), rank, &axis))
    return false;
  if (shape[axis] > INT32_MAX)
    return infer_error(c, "axis %d has size %lld, more than 2^31 - 1", axis,
                       (long long)shape[axis]);
  c->out = type_make(I32, rank, shape);
  return true;
}

bool infer_random(InferCtx *c) {
  static const int64_t two = 2;
  const int64_t *shape;
  int rank;
  if (!infer_shape(c, 0, 1, &two) || !shape_attr(c, &rank, &shape))
    return false;
  c->out = type_make(F32, rank, shape);
  return true;
}

bool infer_flip(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int n;
  const int64_t *axes = attr_ints(c->n, "axes", &n);
  bool seen[MAX_RANK] = {false};
  for (int i = 0; i < n; i++) {
    int axis;
    if (!infer_axis(c, axes[i], x->rank, &axis)) return false;
    if (seen[axis])
      return infer_error(c, "axis %lld is named twice", (long long)axes[i]);
    seen[axis] = true;
  }
  return infer_out(c, x->rank, x->dim);
}
