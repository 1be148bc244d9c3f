/* onnx_index.c - operators that look values up. */
#include "frontend/onnx_move.h"

#include <string.h>

/* ---- Gather --------------------------------------------------------- */

bool ox_write_gather(Ox *o) {
  int axis;
  Node *x = ox_in(o, 0), *index = ox_in(o, 1);
  if (!x || !index ||
      !ox_axis(o, ox_int(o, "axis", 0), x->type.rank, &axis) ||
      !ox_rank_fits(o, x->type.rank - 1 + index->type.rank))
    return false;
  int64_t d = x->type.dim[axis];
  index = ox_places(o, index, d, d > INT32_MAX ? I64 : index->type.elem);
  if (!index)
    return false;
  if (index->type.rank == 0 && ox_known(index))
    return ox_give(o, 0, ox_select(o, x, ox_values(o, index)->i[0], axis));
  return ox_give(o, 0, ox_gather(o, x, index, axis));
}

/* Zeros of a shape without elements. */
static bool give_empty(Ox *o, Elem e, int rank, const int64_t *dim) {
  return ox_give(o, 0, ox_filled(o, e, rank, dim, 0));
}

bool ox_write_gather_elements(Ox *o) {
  int axis;
  Node *x = ox_in(o, 0), *index = ox_in(o, 1);
  if (!x || !index ||
      !ox_axis(o, ox_int(o, "axis", 0), x->type.rank, &axis))
    return false;
  int rank = x->type.rank;
  int64_t all = ox_elems(x);
  if (index->type.rank != rank)
    return ox_malformed(o, "indices of rank %d, data of rank %d",
                        index->type.rank, rank);
  if (ox_elems(index) == 0)
    return give_empty(o, x->type.elem, rank, index->type.dim);
  if (all <= 0)
    return ox_malformed(o, "indices into no elements");
  Node *place = ox_element_places(o, x, index, axis);
  Node *y = ox_gather(o, ox_reshape(o, x, 1, &all), place, 0);
  return ox_give(o, 0, ox_reshape(o, y, rank, index->type.dim));
}

/* ---- GatherND -------------------------------------------------------- */

/* Of data behind b axes of batches, tuples of k; the shape of the result. */
static bool tuples_check(Ox *o, const Type *x, const Type *index, int b,
                         int *k, int *rank, int64_t *dim) {
  int last = index->rank - 1, n = 0;
  int64_t depth = last >= 0 ? index->dim[last] : 0;
  if (b < 0 || b >= x->rank || b > last || depth < 1 || depth > x->rank - b)
    return ox_malformed(o, "tuples of %lld indices behind %d batch axes of "
                        "data of rank %d", (long long)depth, b, x->rank);
  for (int i = 0; i < b; i++)
    if (x->dim[i] != index->dim[i])
      return ox_malformed(o, "batch axis %d has size %lld in the data, %lld "
                          "in the indices", i, (long long)x->dim[i],
                          (long long)index->dim[i]);
  *k = (int)depth;
  *rank = last + x->rank - b - *k;
  if (!ox_rank_fits(o, *rank))
    return false;
  for (int i = 0; i < last; i++)
    dim[n++] = index->dim[i];
  for (int i = b + *k; i < x->rank; i++)
    dim[n++] = x->dim[i];
  return true;
}

/* All batches are one table [batch * n, rest]. */
static Node *gather_tuples(Ox *o, Node *x, Node *index, int b, int k) {
  const int64_t *d = x->type.dim;
  int64_t batch = ox_span(d, 0, b), n = ox_span(d, b, b + k);
  int64_t rest = ox_span(d, b + k, x->type.rank);
  int64_t count = ox_span(index->type.dim, 0, index->type.rank - 1);
  Elem e = ox_place_elem(batch * n);
  Node *place = ox_tuple_places(o, index, d + b, k, e);
  if (batch > 1) {
    place = ox_reshape(o, place, 2, (int64_t[]){batch, count / batch});
    place = ox_plus(o, place, ox_times(o, ox_ruler(o, e, 2, 0, batch), n));
    place = ox_reshape(o, place, 1, &count);
  }
  x = ox_reshape(o, x, 2, (int64_t[]){batch * n, rest});
  return ox_gather(o, x, place, 0);
}

bool ox_write_gather_nd(Ox *o) {
  int64_t dim[MAX_RANK], b = ox_int(o, "batch_dims", 0);
  int k = 0, rank = 0;
  Node *x = ox_in(o, 0), *index = ox_in(o, 1);
  if (!x || !index)
    return false;
  if (b < 0 || b > MAX_RANK)
    return ox_malformed(o, "batch_dims is %lld", (long long)b);
  if (!tuples_check(o, &x->type, &index->type, (int)b, &k, &rank, dim))
    return false;
  int64_t all = ox_span(dim, 0, rank);
  if (all == 0)
    return give_empty(o, x->type.elem, rank, dim);
  if (all < 0 || ox_elems(x) <= 0)
    return ox_malformed(o, "indices into no elements");
  Node *y = gather_tuples(o, x, index, (int)b, k);
  return ox_give(o, 0, ox_reshape(o, y, rank, dim));
}

/* ---- Compress -------------------------------------------------------- */

/* How many elements are taken is known of a constant condition alone. */
bool ox_write_compress(Ox *o) {
  int axis;
  const int64_t *c;
  Node *x = ox_in(o, 0);
  int n = ox_const_ints(o, 1, "condition", &c), count = 0;
  if (!x || n < 0)
    return false;
  x = ox_axis_or_flat(o, x, &axis);
  if (!x)
    return false;
  int64_t *place = arena_array(o->a, int64_t, (size_t)n + 1);
  for (int i = 0; i < n; i++)
    if (c[i])
      place[count++] = i;
  if (count && place[count - 1] >= x->type.dim[axis])
    return ox_malformed(o, "element %lld of an axis of size %lld",
                        (long long)place[count - 1],
                        (long long)x->type.dim[axis]);
  return ox_give(o, 0, ox_gather(o, x, ox_list(o, I32, place, count), axis));
}

/* ---- OneHot ---------------------------------------------------------- */

/* Negative indices count from the end, those out of range match nothing. */
static Node *one_hot_places(Ox *o, Node *index, int64_t depth) {
  Elem e = index->type.elem == I32 && depth <= INT32_MAX ? I32 : I64;
  index = ox_cast(o, index, e);
  Node *below = ox_op2(o, OP_LESS, index, ox_scalar_int(o, e, 0));
  Node *above = ox_plus(o, index, ox_scalar_int(o, e, depth));
  return ox_op3(o, OP_WHERE, below, above, index);
}

bool ox_write_one_hot(Ox *o) {
  int axis;
  double depth;
  Node *index = ox_in(o, 0), *values = ox_in(o, 2);
  if (!index || !values || !ox_const_float(o, 1, "depth", &depth))
    return false;
  int rank = index->type.rank + 1;
  if (!ox_rank_fits(o, rank) ||
      !ox_axis(o, ox_int(o, "axis", -1), rank, &axis))
    return false;
  if (!(depth >= 0 && depth <= INT32_MAX))
    return ox_malformed(o, "a depth of %g", depth);
  if (values->type.rank != 1 || values->type.dim[0] != 2)
    return ox_malformed(o, "expected two values, off and on");
  index = ox_unsqueeze(o, one_hot_places(o, index, (int64_t)depth),
                       axis);
  if (!index)
    return false;
  Node *hit = ox_op2(o, OP_EQUAL, index, ox_ruler(o, index->type.elem, rank,
                                                  axis, (int64_t)depth));
  Node *on = ox_select(o, values, 1, 0);
  Node *off = ox_select(o, values, 0, 0);
  return ox_give_as(o, 0, ox_op3(o, OP_WHERE, hit, on, off),
                    ox_in_type(o, 2));
}

/* ---- ReverseSequence ------------------------------------------------- */

/* Step t of a sequence of n is that of step n - 1 - t, or its own behind
 * the end. */
bool ox_write_reverse_sequence(Ox *o) {
  int64_t batch_axis = ox_int(o, "batch_axis", 1);
  int64_t time_axis = ox_int(o, "time_axis", 0), by[2];
  Node *x = ox_in(o, 0), *n = ox_in(o, 1);
  if (!x || !n)
    return false;
  if (x->type.rank < 2 || batch_axis + time_axis != 1 ||
      (batch_axis != 0 && time_axis != 0))
    return ox_malformed(o, "batch axis %lld and time axis %lld of rank %d",
                        (long long)batch_axis, (long long)time_axis,
                        x->type.rank);
  int b = (int)batch_axis, t = (int)time_axis;
  const int64_t *d = x->type.dim;
  if (n->type.rank != 1 || n->type.dim[0] != d[b])
    return ox_malformed(o, "expected %lld lengths", (long long)d[b]);
  if (ox_elems(x) == 0)
    return ox_give(o, 0, x);
  int64_t rows = d[0] * d[1], rest = ox_span(d, 2, x->type.rank);
  Elem e = ox_place_elem(rows);
  int64_t lengths[] = {b == 0 ? d[0] : 1, b == 0 ? 1 : d[1]};
  by[0] = d[1];
  by[1] = 1;
  n = ox_reshape(o, ox_cast(o, n, e), 2, lengths);
  Node *step = ox_ruler(o, e, 2, t, d[t]);
  Node *from = ox_op2(o, OP_SUB, n, ox_plus(o, step, ox_scalar_int(o, e, 1)));
  from = ox_op3(o, OP_WHERE, ox_op2(o, OP_LESS, step, n), from, step);
  from = ox_plus(o, ox_times(o, from, by[t]),
                 ox_times(o, ox_ruler(o, e, 2, b, d[b]), by[b]));
  from = ox_reshape(o, from, 1, &rows);
  Node *y = ox_reshape(o, x, 2, (int64_t[]){rows, rest});
  y = ox_gather(o, y, from, 0);
  return ox_give(o, 0, ox_reshape(o, y, x->type.rank, d));
}
