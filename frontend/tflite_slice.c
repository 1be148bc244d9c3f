/* tflite_slice.c - operators that cut a part out of a value, or several. */
#include "frontend/tflite.h"

#include <string.h>

static const char *slice_call(Tf *t, const char *v, int axis, int64_t start,
                              int64_t stop, int64_t step) {
  const char *by = step == 1
    ? "" : arena_printf(t->a, ", step=%lld", (long long)step);
  return arena_printf(t->a, "slice(%s, axis=%d, start=%lld, stop=%lld%s)",
                      v, axis, (long long)start, (long long)stop, by);
}

/* What is taken of each axis of the file: [start,stop) by a step above 0,
 * after the axis was turned round where its bit in `flip` is set. */
typedef struct Slices {
  int64_t start[MAX_RANK], stop[MAX_RANK], step[MAX_RANK];
  unsigned flip;
  bool reshaped;           /* the result has other axes, some of one index */
} Slices;

static bool slices_write(Tf *t, const Slices *s) {
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  Form f = s->reshaped ? FORM_FILE : tf_form(t);
  const char *v = tf_value(t, x, f);
  for (int i = 0; i < x->rank; i++) {
    int axis = tf_axis(x, i, f);
    if (s->flip >> i & 1)
      v = tf_temp(t, "flip(%s, axes=[%d])", v, axis);
    if (s->start[i] != 0 || s->stop[i] != x->dim[i] || s->step[i] != 1)
      v = tf_temp(t, "%s", slice_call(t, v, axis, s->start[i], s->stop[i],
                                      s->step[i]));
  }
  if (s->reshaped)
    return tf_give(t, 0, f, "reshape(%s, shape=%s)", v,
                   tf_list(t, y->dim, y->rank));
  return tf_bind(t, 0, f, v);
}

/* Where a part of the size that the file says begins is computed. */
static bool slice_gather(Tf *t, TfTensor *x, TfTensor *begin) {
  TfTensor *y = tf_out(t, 0);
  const char *v = tf_value(t, x, FORM_FILE);
  const char *from = tf_places(t, begin);
  if (begin->rank != 1 || begin->dim[0] != x->rank || y->rank != x->rank)
    return tf_refuse(t, "a begin of shape %s of rank %d",
                     tf_list(t, begin->dim, begin->rank), x->rank);
  for (int i = 0; i < x->rank; i++) {
    if (y->dim[i] > x->dim[i])
      return tf_refuse(t, "%lld elements of axis %d, which has size %lld",
                       (long long)y->dim[i], i, (long long)x->dim[i]);
    if (y->dim[i] == x->dim[i])
      continue;
    const char *at = tf_temp(t, "select(%s, index=%d, axis=0)", from, i);
    at = tf_temp(t, "add(iota(shape=[%lld], axis=0), %s)",
                 (long long)y->dim[i], at);
    v = tf_temp(t, "gather(%s, %s, axis=%d)", v, at, i);
  }
  return tf_bind(t, 0, FORM_FILE, v);
}

bool tf_write_slice(Tf *t) {
  Slices s = {.flip = 0};
  if (!tf_arity(t, 3))
    return false;
  TfTensor *x = tf_in(t, 0);
  if (!tf_const(t, tf_in(t, 1)) && tf_elem(tf_in(t, 1)) >= 0)
    return slice_gather(t, x, tf_in(t, 1));
  if (tf_ints(t, 1, "begin", s.start, x->rank, x->rank) < 0 ||
      tf_ints(t, 2, "size", s.stop, x->rank, x->rank) < 0)
    return false;
  for (int i = 0; i < x->rank; i++) {
    int64_t start = s.start[i], size = s.stop[i];
    if (start < 0 || start > x->dim[i] || size < -1 ||
        size > x->dim[i] - start)
      return tf_refuse(t, "%lld elements from %lld of axis %d, which has "
                       "size %lld", (long long)size, (long long)start, i,
                       (long long)x->dim[i]);
    s.stop[i] = size < 0 ? x->dim[i] : start + size;
    s.step[i] = 1;
  }
  return slices_write(t, &s);
}

/* ---- strided slices ------------------------------------------------- */

/* Bounds as given, n of them, and masks of a bit each: begin and end that do
 * not count, an ellipsis, new axes, axes of which one index stays. */
typedef struct Strided {
  int n;
  int64_t begin[MAX_RANK], end[MAX_RANK], step[MAX_RANK];
  uint64_t no_begin, no_end, ellipsis, fresh, drop;
} Strided;

static bool strided_read(Tf *t, Strided *g) {
  FlatTable o = t->op->options;
  g->n = tf_ints(t, 1, "begin", g->begin, 0, MAX_RANK);
  if (g->n < 0 || tf_ints(t, 2, "end", g->end, g->n, g->n) < 0 ||
      tf_ints(t, 3, "steps", g->step, g->n, g->n) < 0)
    return false;
  uint64_t all = (1u << g->n) - 1;
  g->no_begin = flat_uint(o, 0, 4, 0);
  g->no_end = flat_uint(o, 1, 4, 0);
  g->ellipsis = flat_uint(o, 2, 4, 0) & all;
  g->fresh = flat_uint(o, 3, 4, 0) & all & ~g->ellipsis;
  g->drop = flat_uint(o, 4, 4, 0) & all & ~g->ellipsis & ~g->fresh;
  if (flat_bool(o, 5))
    return tf_refuse(t, "ends as sizes");
  return (g->ellipsis & (g->ellipsis - 1)) == 0 ||
         tf_refuse(t, "two ellipses");
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi) {
  return v < lo ? lo : v > hi ? hi : v;
}

/* Number i of the bounds, for an axis of size d. */
static bool strided_axis(Tf *t, const Strided *g, int i, int axis, int64_t d,
                         Slices *s) {
  int64_t step = g->step[i], lo = step < 0 ? -1 : 0, hi = d + lo;
  if (step == 0 || step == INT64_MIN)
    return tf_refuse(t, "a step of %lld", (long long)step);
  int64_t a = g->begin[i], b = g->end[i];
  a = clamp(a < 0 ? a + d : a, lo, hi);
  b = clamp(b < 0 ? b + d : b, lo, hi);
  if (g->no_begin >> i & 1)
    a = step < 0 ? hi : lo;
  if (g->no_end >> i & 1)
    b = step < 0 ? lo : hi;
  if (g->drop >> i & 1) {
    if (a < 0 || a >= d || step < 0)
      return tf_refuse(t, "index %lld of an axis of size %lld",
                       (long long)g->begin[i], (long long)d);
    b = a + 1;
  }
  if (step < 0) {
    s->flip |= 1u << axis;
    a = d - 1 - a;
    b = d - 1 - b;
    step = -step;
  }
  s->start[axis] = a;
  s->stop[axis] = b > a ? b : a;
  s->step[axis] = step;
  return true;
}

/* The axes that an ellipsis, or nothing, is said of stay whole. */
bool tf_write_strided_slice(Tf *t) {
  Strided g = {.n = 0};
  if (!tf_arity(t, 4) || !strided_read(t, &g))
    return false;
  TfTensor *x = tf_in(t, 0);
  Slices s = {.reshaped = g.drop || g.fresh};
  int axis = 0, left = g.n - __builtin_popcountll(g.fresh | g.ellipsis);
  if (left > x->rank)
    return tf_refuse(t, "%d bounds of rank %d", left, x->rank);
  for (int i = 0; i < x->rank; i++) {
    s.stop[i] = x->dim[i];
    s.step[i] = 1;
  }
  for (int i = 0; i < g.n; i++) {
    if (g.ellipsis >> i & 1) {
      axis = x->rank - left;
    } else if (!(g.fresh >> i & 1)) {
      if (!strided_axis(t, &g, i, axis, x->dim[axis], &s))
        return false;
      axis++;
      left--;
    }
  }
  return slices_write(t, &s);
}

/* ---- several parts -------------------------------------------------- */

/* Parts of the sizes given, where -1 leaves it to the result; NULL: of one
 * size.  The axis is operand `at`. */
static bool split_write(Tf *t, TfTensor *x, int at, const int64_t *sizes) {
  int64_t axis, from = 0;
  if (!tf_arity(t, 2) || tf_ints(t, at, "axis", &axis, 1, 1) < 0)
    return false;
  if (tf_axis(x, axis, FORM_FILE) < 0)
    return tf_refuse(t, "axis %lld of rank %d", (long long)axis, x->rank);
  Form f = tf_held(x);
  int k = tf_axis(x, axis, FORM_FILE);
  const char *v = tf_value(t, x, f);
  for (int i = 0; i < t->op->nout; i++) {
    const TfTensor *y = tf_out(t, i);
    int64_t size = sizes ? sizes[i] : x->dim[k] / t->op->nout;
    if (y->rank != x->rank || y->dim[k] > x->dim[k] - from ||
        (size != y->dim[k] && !(sizes && size == -1)))
      return tf_refuse(t, "part %d of shape %s behind %lld of axis %d", i,
                       tf_list(t, y->dim, y->rank), (long long)from, k);
    tf_give(t, i, f, "%s", slice_call(t, v, tf_axis(x, axis, f), from,
                                      from + y->dim[k], 1));
    from += y->dim[k];
  }
  return from == x->dim[k] ||
         tf_refuse(t, "parts of %lld in all along an axis of size %lld",
                   (long long)from, (long long)x->dim[k]);
}

/* The axis comes first in SPLIT and last in SPLIT_V. */
bool tf_write_split(Tf *t) {
  return split_write(t, tf_in(t, 1), 0, NULL);
}

bool tf_write_split_v(Tf *t) {
  int n = t->op->nout;
  int64_t *sizes = arena_array(t->a, int64_t, (size_t)n);
  if (tf_ints(t, 1, "sizes", sizes, n, n) < 0)
    return false;
  return split_write(t, tf_in(t, 0), 2, sizes);
}
