/* onnx_move.c - operators that repeat, join and cut values. */
#include "frontend/onnx_move.h"

#include <string.h>

/* ---- Tile ----------------------------------------------------------- */

/* Repeat the axes in `set`, three at most: what lies between them goes
 * together as one axis, each of them gets one of its copies before it. */
static Node *tile_axes(Ox *o, Node *x, const int64_t *by, unsigned set) {
  int64_t from[MAX_RANK], to[MAX_RANK], dim[MAX_RANK];
  int n = 0, rank = x->type.rank;
  bool joins = false;
  for (int i = 0; i < rank; i++) {
    int64_t d = dim[i] = x->type.dim[i];
    if (set >> i & 1) {
      from[n] = 1;
      to[n++] = by[i];
      dim[i] *= by[i];
    } else if (joins) {
      from[n - 1] = to[n - 1] = d * to[n - 1];
      continue;
    }
    from[n] = to[n] = d;
    n++;
    joins = true;
  }
  x = ox_reshape(o, x, n, from);
  return ox_reshape(o, ox_expand(o, x, n, to), rank, dim);
}

/* Whether the sizes can be multiplied in any order. */
static bool tile_fits(Ox *o, const Type *t, const int64_t *by) {
  int64_t all = 1;
  for (int i = 0; i < t->rank; i++) {
    if (by[i] < 0)
      return ox_malformed(o, "%lld copies along axis %d", (long long)by[i],
                          i);
    int64_t d = t->dim[i] ? t->dim[i] : 1, k = by[i] ? by[i] : 1;
    if (__builtin_mul_overflow(all, d, &all) ||
        __builtin_mul_overflow(all, k, &all))
      return ox_malformed(o, "the sizes multiply to more than 2^63");
  }
  return true;
}

/* A count for each axis; up to version 5 one count, and its axis. */
static bool tile_counts(Ox *o, int rank, int64_t *by) {
  const int64_t *v;
  int64_t given, count;
  int axis;
  if (o->opset < 6) {
    if (!ox_const_int(o, 1, "tiles", &count) ||
        !ox_const_int(o, 2, "axis", &given) ||
        !ox_axis(o, given, rank, &axis))
      return false;
    for (int i = 0; i < rank; i++)
      by[i] = i == axis ? count : 1;
    return true;
  }
  int n = ox_const_ints(o, 1, "repeats", &v);
  if (n < 0)
    return false;
  if (n != rank)
    return ox_malformed(o, "%d repeats of a value of rank %d", n, rank);
  memcpy(by, v, (size_t)n * sizeof *v);
  return true;
}

bool ox_write_tile(Ox *o) {
  int64_t by[MAX_RANK];
  Node *x = ox_in(o, 0);
  if (!x || !tile_counts(o, x->type.rank, by) ||
      !tile_fits(o, &x->type, by))
    return false;
  int n = x->type.rank;
  unsigned set = 0;
  for (int i = 0; i < n; i++) {
    if (by[i] != 1)
      set |= 1u << i;
    if (x && set && (__builtin_popcount(set) == 3 || i == n - 1)) {
      x = tile_axes(o, x, by, set);
      set = 0;
    }
  }
  return ox_give(o, 0, x);
}

/* ---- Concat, Split -------------------------------------------------- */

bool ox_write_concat(Ox *o) {
  int n = ox_nin(o), axis;
  if (n < 1)
    return ox_malformed(o, "expected an operand");
  Node **xs = arena_array(o->a, Node *, (size_t)n);
  for (int i = 0; i < n; i++)
    if (!(xs[i] = ox_in(o, i)))
      return false;
  if (!ox_has(o, "axis") && o->opset >= 4)
    return ox_malformed(o, "expected the attribute axis");
  if (!ox_axis(o, ox_int(o, "axis", 1), xs[0]->type.rank, &axis))
    return false;
  return ox_give(o, 0, n == 1 ? xs[0] : ox_concat(o, xs, n, axis));
}

/* Sizes of the n results along an axis of size d: given as an attribute up to
 * version 12, as operand 1 from then on; or all the same but the last, which
 * may have less from version 18 on. */
static bool split_sizes(Ox *o, int n, int64_t d, int64_t *size) {
  const int64_t *v = NULL;
  int given = -1;
  if (o->opset < 13 && !ox_has_in(o, 1))
    given = ox_ints(o, "split", &v);
  else if (ox_has_in(o, 1) && (given = ox_const_ints(o, 1, "split", &v)) < 0)
    return false;
  if (given >= 0 && given != n)
    return ox_malformed(o, "%d sizes for %d results", given, n);
  int64_t each = d / n + (d % n != 0), left = d;
  if (given < 0 && ox_int(o, "num_outputs", n) != n)
    return ox_malformed(o, "num_outputs is %lld, the results are %d",
                        (long long)ox_int(o, "num_outputs", n), n);
  if (given < 0 && d % n && !ox_has(o, "num_outputs"))
    return ox_malformed(o, "an axis of size %lld in %d equal parts",
                        (long long)d, n);
  for (int i = 0; i < n; i++) {
    size[i] = given >= 0 ? v[i] : i < n - 1 ? each : left;
    if (size[i] < 0 || size[i] > left)
      return ox_malformed(o, "part %d of an axis of size %lld has size %lld, "
                          "%lld are left", i, (long long)d,
                          (long long)size[i], (long long)left);
    left -= size[i];
  }
  return left == 0 || ox_malformed(o, "parts that leave %lld of an axis of "
                                   "size %lld", (long long)left,
                                   (long long)d);
}

bool ox_write_split(Ox *o) {
  int n = ox_nout(o), axis;
  int64_t from = 0;
  Node *x = ox_in(o, 0);
  if (!x || !ox_axis(o, ox_int(o, "axis", 0), x->type.rank, &axis))
    return false;
  if (n < 1)
    return ox_malformed(o, "expected a result");
  int64_t d = x->type.dim[axis];
  int64_t *size = arena_array(o->a, int64_t, (size_t)n);
  if (!split_sizes(o, n, d, size))
    return false;
  for (int i = 0; i < n; from += size[i++]) {
    if (!ox_wants(o, i))
      continue;
    Node *y = size[i] == d
      ? x : ox_slice(o, x, axis, from, from + size[i], 1);
    if (!ox_give(o, i, y))
      return false;
  }
  return true;
}

/* ---- Slice ---------------------------------------------------------- */

/* What is said of the axes: attributes up to version 9, operands 1 to 4 from
 * version 10 on. */
typedef struct Cuts {
  int n;
  const int64_t *start, *stop, *axis, *step;   /* the last two may be NULL */
} Cuts;

static bool cuts_list(Ox *o, int i, const char *what, int want, int *n,
                      const int64_t **v) {
  if (o->opset >= 10) {
    *v = NULL;
    if (i > 2 && !ox_has_in(o, i))
      return true;
    *n = ox_const_ints(o, i, what, v);
    if (*n < 0)
      return false;
  } else if ((*n = ox_ints(o, what, v)) < 0) {
    *v = NULL;
    return i > 2 || ox_malformed(o, "expected the attribute %s", what);
  }
  return want < 0 || *n == want ||
         ox_malformed(o, "%d %s, expected %d", *n, what, want);
}

static bool cuts_read(Ox *o, Cuts *c) {
  int n;
  *c = (Cuts){.n = 0};
  if (!cuts_list(o, 1, "starts", -1, &c->n, &c->start) ||
      !cuts_list(o, 2, "ends", c->n, &n, &c->stop) ||
      !cuts_list(o, 3, "axes", c->n, &n, &c->axis))
    return false;
  return o->opset < 10 || cuts_list(o, 4, "steps", c->n, &n, &c->step);
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi) {
  return v < lo ? lo : v > hi ? hi : v;
}

/* Elements from `start` to before `stop`, by `step`.  Backwards these are
 * the ones from the last of them on, turned round. */
static Node *cut(Ox *o, Node *x, int axis, int64_t start, int64_t stop,
                 int64_t step) {
  int64_t d = x->type.dim[axis], back = step < 0;
  start = clamp(start < 0 ? start + d : start, 0, d - back);
  stop = clamp(stop < 0 ? stop + d : stop, -back, d - back);
  step = clamp(step, -INT64_MAX, INT64_MAX);
  if (!back) {
    stop = stop < start ? start : stop;
    return start == 0 && stop == d && step == 1
      ? x : ox_slice(o, x, axis, start, stop, step);
  }
  if (start <= stop)
    return ox_slice(o, x, axis, 0, 0, 1);
  int64_t last = start - (start - stop - 1) / -step * -step;
  x = ox_slice(o, x, axis, last, start + 1, -step);
  return ox_flip(o, x, axis);
}

bool ox_write_slice(Ox *o) {
  Cuts c;
  unsigned seen = 0;
  Node *x = ox_in(o, 0);
  if (!x || !cuts_read(o, &c))
    return false;
  for (int i = 0; i < c.n; i++) {
    int axis;
    int64_t step = c.step ? c.step[i] : 1;
    if (!ox_axis(o, c.axis ? c.axis[i] : i, x->type.rank, &axis))
      return false;
    if (seen >> axis & 1)
      return ox_malformed(o, "axis %d is named twice", axis);
    if (step == 0)
      return ox_malformed(o, "a step of 0");
    seen |= 1u << axis;
    x = cut(o, x, axis, c.start[i], c.stop[i], step);
    if (!x)
      return false;
  }
  return ox_give(o, 0, x);
}

