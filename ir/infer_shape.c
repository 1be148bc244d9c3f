/* infer_shape.c - the types of elementwise ops, reductions and of those that
 * move values. */
#include "ir/infer.h"

#include <string.h>

bool infer_same(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  if (c->n->op == OP_CLIP &&
      !(attr_float(c->n, "lo") <= attr_float(c->n, "hi")))
    return infer_error(c, "lo=%g is more than hi=%g",
                       attr_float(c->n, "lo"), attr_float(c->n, "hi"));
  return infer_out(c, x->rank, x->dim);
}

/* Widen y of rank *rank so that operand i broadcasts to it: shapes are
 * aligned at the last axis; a size of 1 stretches. */
static bool broadcast(InferCtx *c, int i, int *rank, int64_t *y) {
  const Type *b = infer_in(c, i);
  int wide = *rank > b->rank ? *rank : b->rank;
  int64_t to[MAX_RANK];
  for (int k = 0; k < wide; k++) {
    int iy = k - (wide - *rank), ib = k - (wide - b->rank);
    int64_t dy = iy < 0 ? 1 : y[iy], db = ib < 0 ? 1 : b->dim[ib];
    if (dy != db && dy != 1 && db != 1)
      return infer_error(c, "shapes %s and %s do not broadcast: axis %d has "
                         "%lld and %lld, expected equal or 1",
                         shape_text(*rank, y), shape_text(b->rank, b->dim),
                         k - wide, (long long)dy, (long long)db);
    to[k] = dy == 1 ? db : dy;
  }
  memcpy(y, to, sizeof to);
  *rank = wide;
  return true;
}

/* All operands, which broadcast. */
static bool broadcast_all(InferCtx *c) {
  int64_t y[MAX_RANK];
  int rank = 0;
  for (int i = 0; i < c->n->nin; i++)
    if (!broadcast(c, i, &rank, y)) return false;
  return infer_out(c, rank, y);
}

bool infer_binary(InferCtx *c) { return broadcast_all(c); }

bool infer_where(InferCtx *c) { return broadcast_all(c); }

bool infer_compare(InferCtx *c) {
  if (!broadcast_all(c)) return false;
  c->out.elem = B1;
  return true;
}

bool infer_mask(InferCtx *c) {
  const Type *w = infer_in(c, 0);
  return infer_shape(c, 1, w->rank, w->dim) && infer_out(c, w->rank, w->dim);
}

bool infer_cast(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  Elem to = attr_elem(c->n, "to");
  if (!(op_info(OP_CAST)->elems >> to & 1))
    return infer_error(c, "to=%s, expected %s", elem_name(to),
                       elems_text(op_info(OP_CAST)->elems));
  c->out = type_make(to, x->rank, x->dim);
  return true;
}

bool infer_reduce(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int n;
  const int64_t *axes = attr_ints(c->n, "axes", &n);
  bool gone[MAX_RANK] = {false};
  for (int i = 0; i < n; i++) {
    int axis;
    if (!infer_axis(c, axes[i], x->rank, &axis)) return false;
    if (gone[axis])
      return infer_error(c, "axis %lld is named twice", (long long)axes[i]);
    gone[axis] = true;
  }
  int64_t y[MAX_RANK];
  int rank = 0;
  for (int i = 0; i < x->rank; i++) {
    if (n && !gone[i])
      y[rank++] = x->dim[i];
    else if (attr_bool(c->n, "keep"))
      y[rank++] = 1;
  }
  return infer_out(c, rank, y);
}

bool infer_softmax(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int axis;
  return infer_axis(c, attr_int(c->n, "axis"), x->rank, &axis) &&
         infer_out(c, x->rank, x->dim);
}

/* The size that stands for the one -1 of a reshape. */
static bool reshape_rest(InferCtx *c, int64_t have, int n, int64_t *y,
                         int rest) {
  y[rest] = 1;
  Type t = type_make(F32, n, y);
  int64_t others = type_elems(&t);
  if (others <= 0 || have % others) {
    y[rest] = -1;
    return infer_error(c, "shape=%s: no size for -1 gives the %lld elements "
                       "of x", shape_text(n, y), (long long)have);
  }
  y[rest] = have / others;
  return true;
}

bool infer_reshape(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int n, rest = -1;
  const int64_t *shape = attr_ints(c->n, "shape", &n);
  if (n > MAX_RANK) return infer_out(c, n, shape);
  int64_t y[MAX_RANK], have = type_elems(x);
  for (int i = 0; i < n; i++) {
    y[i] = shape[i];
    if (y[i] < -1 || (y[i] == -1 && rest >= 0))
      return infer_error(c, "shape=%s, expected sizes and at most one -1",
                         shape_text(n, shape));
    if (y[i] == -1) rest = i;
  }
  if (rest >= 0 && !reshape_rest(c, have, n, y, rest)) return false;
  Type t = type_make(x->elem, n, y);
  if (type_elems(&t) != have)
    return infer_error(c, "shape=%s has %lld elements, x %s has %lld",
                       shape_text(n, y), (long long)type_elems(&t),
                       shape_text(x->rank, x->dim), (long long)have);
  return infer_out(c, n, y);
}

bool infer_permute(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  const int64_t *order;
  int64_t y[MAX_RANK];
  bool seen[MAX_RANK] = {false};
  if (!infer_list(c, "order", x->rank, 0, x->rank - 1, &order)) return false;
  for (int i = 0; i < x->rank; i++) {
    if (seen[order[i]])
      return infer_error(c, "order=%s names axis %lld twice",
                         shape_text(x->rank, order), (long long)order[i]);
    seen[order[i]] = true;
    y[i] = x->dim[order[i]];
  }
  return infer_out(c, x->rank, y);
}

bool infer_expand(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int n;
  const int64_t *shape = attr_ints(c->n, "shape", &n);
  if (n > MAX_RANK) return infer_out(c, n, shape);
  if (n < x->rank)
    return infer_error(c, "shape=%s has rank %d, less than %d of x",
                       shape_text(n, shape), n, x->rank);
  if (!infer_list(c, "shape", n, 0, INT64_MAX, &shape)) return false;
  for (int i = 0; i < n; i++) {
    int k = i - (n - x->rank);
    int64_t have = k < 0 ? 1 : x->dim[k];
    if (have != 1 && have != shape[i])
      return infer_error(c, "x of shape %s does not expand to %s: axis %d "
                         "has %lld, expected %lld or 1",
                         shape_text(x->rank, x->dim), shape_text(n, shape),
                         i - n, (long long)have, (long long)shape[i]);
  }
  return infer_out(c, n, shape);
}

bool infer_concat(InferCtx *c) {
  const Type *first = infer_in(c, 0);
  int axis;
  if (!infer_axis(c, attr_int(c->n, "axis"), first->rank, &axis))
    return false;
  int64_t y[MAX_RANK];
  memcpy(y, first->dim, sizeof y);
  for (int i = 1; i < c->n->nin; i++) {
    const Type *t = infer_in(c, i);
    if (!infer_rank(c, i, first->rank)) return false;
    for (int k = 0; k < t->rank; k++) {
      if (k == axis || t->dim[k] == y[k]) continue;
      return infer_error(c, "operand %d has shape %s, the first %s: axis %d "
                         "has %lld, expected %lld", i + 1,
                         shape_text(t->rank, t->dim),
                         shape_text(first->rank, first->dim), k,
                         (long long)t->dim[k], (long long)y[k]);
    }
    if (__builtin_add_overflow(y[axis], t->dim[axis], &y[axis]))
      return infer_error(c, "the size along axis %d overflows", axis);
  }
  return infer_out(c, first->rank, y);
}

/* Sizes of y along an axis are the sums over the phases beside the first one
 * of the other axis; each map has what is left to its phase. */
bool infer_interleave(InferCtx *c) {
  const int64_t *step;
  if (!infer_list(c, "step", 2, 1, STEP_MOST, &step)) return false;
  int64_t need = step[0] * step[1];
  if (c->n->nin != need)
    return infer_error(c, "step=[%lld,%lld] takes %lld maps, found %d",
                       (long long)step[0], (long long)step[1],
                       (long long)need, c->n->nin);
  for (int i = 0; i < c->n->nin; i++)
    if (!infer_rank(c, i, 4)) return false;
  const Type *first = infer_in(c, 0);
  int64_t y[4] = {first->dim[0], first->dim[1], 0, 0};
  for (int i = 0; i < 2; i++)
    for (int64_t u = 0; u < step[i]; u++) {
      const Type *t = infer_in(c, (int)(i ? u : u * step[1]));
      if (__builtin_add_overflow(y[2 + i], t->dim[2 + i], &y[2 + i]))
        return infer_error(c, "the size along axis %d overflows", 2 + i);
    }
  for (int k = 0; k < c->n->nin; k++) {
    int64_t at[2] = {k / step[1], k % step[1]}, want[4] = {y[0], y[1]};
    for (int i = 0; i < 2; i++)
      want[2 + i] = y[2 + i] / step[i] + (at[i] < y[2 + i] % step[i]);
    if (!infer_shape(c, k, 4, want)) return false;
  }
  return infer_out(c, 4, y);
}

bool infer_slice(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int axis;
  if (!infer_axis(c, attr_int(c->n, "axis"), x->rank, &axis)) return false;
  int64_t size = x->dim[axis], step = attr_int(c->n, "step");
  int64_t start = attr_int(c->n, "start"), stop = attr_int(c->n, "stop");
  int64_t lo = start < 0 ? start + size : start;
  int64_t hi = stop < 0 ? stop + size : stop;
  if (step < 1)
    return infer_error(c, "step=%lld, expected at least 1", (long long)step);
  if (lo < 0 || hi > size || lo > hi)
    return infer_error(c, "start=%lld, stop=%lld is no range of axis %d, "
                       "which has size %lld", (long long)start,
                       (long long)stop, axis, (long long)size);
  int64_t y[MAX_RANK];
  memcpy(y, x->dim, sizeof y);
  y[axis] = hi > lo ? (hi - lo - 1) / step + 1 : 0;
  return infer_out(c, x->rank, y);
}

bool infer_select(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int axis;
  if (!infer_axis(c, attr_int(c->n, "axis"), x->rank, &axis)) return false;
  int64_t size = x->dim[axis], index = attr_int(c->n, "index");
  if (index < -size || index >= size)
    return infer_error(c, "index=%lld is out of range of axis %d, which has "
                       "size %lld", (long long)index, axis, (long long)size);
  int64_t y[MAX_RANK];
  int rank = 0;
  for (int i = 0; i < x->rank; i++)
    if (i != axis) y[rank++] = x->dim[i];
  return infer_out(c, rank, y);
}

bool infer_pad(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  const int64_t *before, *after;
  int64_t y[MAX_RANK];
  if (!infer_list(c, "before", x->rank, 0, MAX_WINDOW, &before) ||
      !infer_list(c, "after", x->rank, 0, MAX_WINDOW, &after))
    return false;
  for (int i = 0; i < x->rank; i++) y[i] = x->dim[i] + before[i] + after[i];
  double v = attr_float(c->n, "value");
  uint8_t room[8] = {0};
  elem_store(x->elem, room, 0, v);
  if (!elem_is_float(x->elem) && elem_load(x->elem, room, 0) != v)
    return infer_error(c, "value=%g is no %s", v, elem_name(x->elem));
  return infer_out(c, x->rank, y);
}
