/* onnx_unique.c - operators of which the values decide how large a result is:
 * they are done here, where the values are known. */
#include "frontend/onnx_move.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const Tensor *values_known(Ox *o, Node *x) {
  const Tensor *t = x ? ox_values(o, x) : NULL;
  if (x && !t)
    ox_refuse(o, "the shape of its result depends on the values of '%s', "
              "which must be a constant; an input that determines a shape is "
              "fixed with --const NAME=FILE.npy", o->node->input[0]);
  return t;
}

/* ---- NonZero --------------------------------------------------------- */

static bool is_set(const Tensor *t, int64_t i) {
  return elem_is_float(t->type.elem) ? t->v[i] != 0 : t->i[i] != 0;
}

bool ox_write_non_zero(Ox *o) {
  Node *x = ox_in(o, 0);
  const Tensor *t = values_known(o, x);
  if (!t)
    return false;
  int rank = x->type.rank;
  int64_t all = ox_elems(x), n = 0, k = 0;
  for (int64_t i = 0; i < all; i++)
    n += is_set(t, i);
  int64_t *place = arena_array(o->a, int64_t, (size_t)(n * rank) + 1);
  for (int64_t i = 0; i < all; i++) {
    int64_t rest = i;
    if (!is_set(t, i))
      continue;
    for (int axis = rank; axis-- > 0; rest /= x->type.dim[axis])
      place[axis * n + k] = rest % x->type.dim[axis];
    k++;
  }
  Type type = type_make(I64, 2, (int64_t[]){rank, n});
  return ox_give_as(o, 0, ox_constant(o, &type, place), OX_INT64);
}

/* ---- Unique ---------------------------------------------------------- */

/* Slices along an axis, or single elements: `outer` runs of `inner` elements
 * each, of which slice i has the i-th. */
typedef struct Slices {
  const Tensor *t;
  int64_t n, outer, inner;
} Slices;

typedef struct Slice { const Slices *s; int64_t at; } Slice;

/* A NaN is like any other, and more than all else. */
static int floats_order(double a, double b) {
  if (isnan(a) || isnan(b))
    return !!isnan(a) - !!isnan(b);
  return (a > b) - (a < b);
}

static int slices_order(const Slice *a, const Slice *b) {
  const Slices *s = a->s;
  bool real = elem_is_float(s->t->type.elem);
  int order = 0;
  for (int64_t i = 0; i < s->outer * s->inner && !order; i++) {
    int64_t row = i / s->inner * s->n, k = i % s->inner;
    int64_t p = (row + a->at) * s->inner + k;
    int64_t q = (row + b->at) * s->inner + k;
    order = real ? floats_order(s->t->v[p], s->t->v[q])
                 : (s->t->i[p] > s->t->i[q]) - (s->t->i[p] < s->t->i[q]);
  }
  return order;
}

static int slices_qsort(const void *pa, const void *pb) {
  const Slice *a = pa, *b = pb;
  int order = slices_order(a, b);
  return order ? order : (a->at > b->at) - (a->at < b->at);
}

/* Of each group of equals the first slice, how many they are, and of each
 * slice its group. */
typedef struct Groups { int64_t n, *first, *count, *of; } Groups;

static int firsts_qsort(const void *pa, const void *pb) {
  const int64_t *a = pa, *b = pb;
  return (*a > *b) - (*a < *b);
}

/* Number the groups by where they come first. */
static void groups_by_place(Ox *o, Groups *g, int64_t n) {
  int64_t *to = arena_array(o->a, int64_t, (size_t)n + 1);
  int64_t *count = arena_array(o->a, int64_t, (size_t)n + 1);
  int64_t *of = arena_array(o->a, int64_t, (size_t)n + 1);
  qsort(g->first, (size_t)g->n, sizeof *g->first, firsts_qsort);
  for (int64_t i = 0; i < g->n; i++)
    to[g->of[g->first[i]]] = i;
  for (int64_t i = 0; i < n; i++)
    of[i] = to[g->of[i]];
  for (int64_t i = 0; i < g->n; i++)
    count[to[i]] = g->count[i];
  g->count = count;
  g->of = of;
}

static Groups groups_of(Ox *o, const Slices *s, bool sorted) {
  size_t room = (size_t)s->n + 1;
  Slice *at = arena_array(o->a, Slice, room);
  Groups g = {0, arena_array(o->a, int64_t, room),
              arena_array(o->a, int64_t, room),
              arena_array(o->a, int64_t, room)};
  for (int64_t i = 0; i < s->n; i++)
    at[i] = (Slice){s, i};
  qsort(at, (size_t)s->n, sizeof *at, slices_qsort);
  for (int64_t i = 0; i < s->n; i++) {
    if (i == 0 || slices_order(&at[i - 1], &at[i]))
      g.first[g.n++] = at[i].at;
    g.of[at[i].at] = g.n - 1;
    g.count[g.n - 1]++;
  }
  if (!sorted)
    groups_by_place(o, &g, s->n);
  return g;
}

static bool give_list(Ox *o, int i, const int64_t *v, int64_t n) {
  return !ox_wants(o, i) ||
         ox_give_as(o, i, ox_list(o, I64, v, (int)n), OX_INT64);
}

bool ox_write_unique(Ox *o) {
  int axis;
  Node *x = ox_in(o, 0);
  const Tensor *t = values_known(o, x);
  if (!t)
    return false;
  int64_t all = ox_elems(x);
  x = ox_axis_or_flat(o, x, &axis);
  if (!x)
    return false;
  const int64_t *d = x->type.dim;
  Slices s = {t, d[axis], ox_span(d, 0, axis),
              ox_span(d, axis + 1, x->type.rank)};
  if (all == 0 && s.n > 0)
    return ox_refuse(o, "slices without elements");
  Groups g = groups_of(o, &s, ox_int(o, "sorted", 1) != 0);
  Node *y = ox_gather(o, x, ox_list(o, I32, g.first, (int)g.n), axis);
  return ox_give(o, 0, y) && give_list(o, 1, g.first, g.n) &&
         give_list(o, 2, g.of, s.n) && give_list(o, 3, g.count, g.n);
}

/* ---- NonMaxSuppression ----------------------------------------------- */

/* Nothing is selected where no most is given, or 0. */
bool ox_write_non_max_suppression(Ox *o) {
  Node *most = ox_opt(o, 2);
  const Tensor *t = most ? ox_values(o, most) : NULL;
  if (ox_has_in(o, 2) && !most)
    return false;
  if ((!most || (t && ox_elems(most) == 1 && t->i[0] <= 0)))
    return ox_give_as(o, 0, ox_filled(o, I64, 2, (int64_t[]){0, 3}, 0),
                      OX_INT64);
  return ox_refuse(o, "the values decide how many boxes are selected, but "
                   "shapes must be known; leave it to the caller, who has "
                   "boxes and scores as outputs");
}
