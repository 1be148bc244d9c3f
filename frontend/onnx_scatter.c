/* onnx_scatter.c - operators that put values at places of another value. */
#include "frontend/onnx_move.h"

#include <string.h>

Node *ox_scatter(Ox *o, Node *x, Node *index, Node *updates, int axis,
                 const char *mode) {
  bool add = strcmp(mode, "add") == 0;
  if (!x || !index || !updates)
    return NULL;
  Elem e = x->type.elem;
  bool counts = strcmp(mode, "set") != 0 && (e == U8 || e == B1);
  if (counts) {
    x = ox_cast(o, x, I32);
    updates = ox_cast(o, updates, I32);
  }
  Node *in[] = {x, index, updates};
  Node *n = ox_begin(o, add ? OP_SCATTER_ADD : OP_SCATTER, in, 3);
  if (!n)
    return NULL;
  attr_set_int(n, "axis", axis);
  if (!add)
    attr_set_str(o->m, n, "mode", mode);
  n = ox_end(o, n);
  return counts ? ox_cast(o, n, e) : n;
}

/* What the node says of elements that are there already, in the words of the
 * IR; NULL and a report. */
static const char *reduction(Ox *o) {
  static const char *const names[] = {"none", "add", "mul", "max", "min"};
  const char *s = o->opset >= 16 ? ox_str(o, "reduction", "none") : "none";
  for (int i = 0; i < 5; i++)
    if (strcmp(s, names[i]) == 0)
      return i == 0 ? "set" : names[i];
  ox_malformed(o, "reduction %s", s);
  return NULL;
}

/* x's elements as [n,rest], of which rows are changed. */
static bool scatter_rows(Ox *o, Node *x, int64_t n, int64_t rest,
                         Node *place, int64_t count, Node *updates) {
  const char *mode = reduction(o);
  if (!mode)
    return false;
  int rank = rest == 1 ? 1 : 2;
  Node *v = ox_reshape(o, x, rank, (int64_t[]){n, rest});
  Node *u = ox_reshape(o, updates, rank, (int64_t[]){count, rest});
  v = ox_scatter(o, v, place, u, 0, mode);
  v = ox_reshape(o, v, x->type.rank, x->type.dim);
  return ox_give(o, 0, ox_wrap(o, v, ox_in_type(o, 0)));
}

static bool updates_check(Ox *o, const Node *x, const Node *updates,
                          int rank, const int64_t *dim) {
  if (updates->type.elem != x->type.elem)
    return ox_malformed(o, "updates of type %s, data of type %s",
                        elem_name(updates->type.elem),
                        elem_name(x->type.elem));
  Type t = type_make(x->type.elem, rank, dim);
  if (type_same_shape(&updates->type, &t))
    return true;
  Text s = {0};
  type_print(&s, &updates->type);
  text_puts(&s, ", expected ");
  type_print(&s, &t);
  ox_malformed(o, "updates are %s", s.s);
  text_free(&s);
  return false;
}

bool ox_write_scatter_elements(Ox *o) {
  int axis;
  Node *x = ox_in(o, 0), *index = ox_in(o, 1), *updates = ox_in(o, 2);
  if (!x || !index || !updates ||
      !ox_axis(o, ox_int(o, "axis", 0), x->type.rank, &axis))
    return false;
  if (index->type.rank != x->type.rank)
    return ox_malformed(o, "indices of rank %d, data of rank %d",
                        index->type.rank, x->type.rank);
  if (!updates_check(o, x, updates, index->type.rank, index->type.dim))
    return false;
  int64_t count = ox_elems(index), n = ox_elems(x);
  if (count == 0)
    return ox_give(o, 0, x);
  if (n <= 0)
    return ox_malformed(o, "indices into no elements");
  Node *place = ox_element_places(o, x, index, axis);
  return scatter_rows(o, x, n, 1, place, count, updates);
}

bool ox_write_scatter_nd(Ox *o) {
  int64_t dim[MAX_RANK];
  int k = 0;
  Node *x = ox_in(o, 0), *index = ox_in(o, 1), *updates = ox_in(o, 2);
  if (!x || !index || !updates)
    return false;
  int last = index->type.rank - 1, rank = 0;
  int64_t depth = last >= 0 ? index->type.dim[last] : 0;
  if (depth < 1 || depth > x->type.rank)
    return ox_malformed(o, "tuples of %lld indices of data of rank %d",
                        (long long)depth, x->type.rank);
  k = (int)depth;
  if (!ox_rank_fits(o, last + x->type.rank - k))
    return false;
  for (int i = 0; i < last; i++)
    dim[rank++] = index->type.dim[i];
  for (int i = k; i < x->type.rank; i++)
    dim[rank++] = x->type.dim[i];
  if (!updates_check(o, x, updates, rank, dim))
    return false;
  int64_t count = ox_span(dim, 0, last);
  if (ox_elems(updates) == 0)
    return ox_give(o, 0, x);
  if (ox_elems(x) <= 0)
    return ox_malformed(o, "indices into no elements");
  int64_t n = ox_span(x->type.dim, 0, k);
  Node *place = ox_tuple_places(o, index, x->type.dim, k, ox_place_elem(n));
  return scatter_rows(o, x, n, ox_span(x->type.dim, k, x->type.rank), place,
                      count, updates);
}

/* ---- TensorScatter --------------------------------------------------- */

/* A cache [B,M,S,R] of which steps along S are written over, for each batch
 * from another one on: updates are [B,M,L,R]. */
static Node *cache_places(Ox *o, Node *from, int64_t b, int64_t m, int64_t s,
                          int64_t l, Elem e) {
  int64_t rows = b * m, all = rows * l;
  bool ring = strcmp(ox_str(o, "mode", "linear"), "circular") == 0;
  Node *at = ox_ruler(o, e, 3, 2, l);
  if (from)
    at = ox_plus(o, ox_reshape(o, ox_cast(o, from, e), 3,
                               (int64_t[]){b, 1, 1}), at);
  if (ring)
    at = ox_op2(o, OP_FLOOR_MOD, at, ox_scalar_int(o, e, s));
  Node *row = ox_ruler(o, e, 1, 0, rows);
  row = ox_reshape(o, ox_times(o, row, s), 3, (int64_t[]){b, m, 1});
  return ox_reshape(o, ox_plus(o, at, row), 1, &all);
}

bool ox_write_tensor_scatter(Ox *o) {
  int64_t dim[MAX_RANK];
  int axis;
  Node *x = ox_in(o, 0), *updates = ox_in(o, 1), *from = ox_opt(o, 2);
  if (!x || !updates || (ox_has_in(o, 2) && !from) ||
      !ox_axis(o, ox_int(o, "axis", -2), x->type.rank, &axis))
    return false;
  int rank = x->type.rank;
  memcpy(dim, x->type.dim, sizeof dim);
  int64_t s = dim[axis];
  if (axis == 0 || updates->type.rank != rank)
    return ox_malformed(o, "updates of rank %d along axis %d of rank %d",
                        updates->type.rank, axis, rank);
  int64_t l = dim[axis] = updates->type.dim[axis];
  if (!updates_check(o, x, updates, rank, dim))
    return false;
  if (l > s || (from && (from->type.rank != 1 ||
                         from->type.dim[0] != dim[0])))
    return ox_malformed(o, "%lld steps in a cache of %lld", (long long)l,
                        (long long)s);
  if (ox_elems(updates) == 0)
    return ox_give(o, 0, x);
  int64_t m = ox_span(dim, 1, axis), rest = ox_span(dim, axis + 1, rank);
  int64_t rows = dim[0] * m;
  Node *place = cache_places(o, from, dim[0], m, s, l,
                             ox_place_elem(rows * s));
  Node *v = ox_reshape(o, x, 2, (int64_t[]){rows * s, rest});
  updates = ox_reshape(o, updates, 2, (int64_t[]){rows * l, rest});
  v = ox_scatter(o, v, place, updates, 0, "set");
  return ox_give(o, 0, ox_reshape(o, v, rank, x->type.dim));
}
