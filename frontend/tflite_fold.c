/* tflite_fold.c - operators that are constants once the shapes are known,
 * or once their operands are. */
#include "frontend/tflite.h"

#include <math.h>
#include <string.h>

enum { MAX_FOLDED = 1 << 24 };   /* elements */

/* Integers as the constant value of result 0, whose type says how wide. */
static bool ints_fold(Tf *t, const int64_t *v, size_t n) {
  TfTensor *y = tf_out(t, 0);
  size_t size = elem_size((Elem)tf_elem(y));
  uint8_t *data = arena_alloc(t->a, n * size + 8);
  for (size_t i = 0; i < n; i++)
    elem_store_int((Elem)tf_elem(y), data, i, v[i]);
  tf_fold(y, data, n * size);
  return true;
}

bool tf_write_shape(Tf *t) {
  if (!tf_arity(t, 1))
    return false;
  const TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  if (y->rank != 1 || y->dim[0] != x->rank)
    return tf_refuse(t, "a result that does not fit rank %d", x->rank);
  return ints_fold(t, x->dim, (size_t)x->rank);
}

bool tf_write_rank(Tf *t) {
  if (!tf_arity(t, 1))
    return false;
  int64_t rank = tf_in(t, 0)->rank;
  if (tf_out(t, 0)->rank != 0)
    return tf_refuse(t, "a result that is no scalar");
  return ints_fold(t, &rank, 1);
}

/* The shape that two shapes broadcast to. */
bool tf_write_broadcast_args(Tf *t) {
  int64_t a[MAX_RANK], b[MAX_RANK], to[MAX_RANK];
  if (!tf_arity(t, 2))
    return false;
  int na = tf_ints(t, 0, "shape", a, 0, MAX_RANK);
  int nb = tf_ints(t, 1, "other shape", b, 0, MAX_RANK);
  int n = na > nb ? na : nb;
  if (na < 0 || nb < 0)
    return false;
  for (int i = 0; i < n; i++) {
    int64_t da = i < n - na ? 1 : a[i - (n - na)];
    int64_t db = i < n - nb ? 1 : b[i - (n - nb)];
    if (da != db && da != 1 && db != 1)
      return tf_refuse(t, "sizes %lld and %lld", (long long)da,
                       (long long)db);
    to[i] = da == 1 ? db : da;
  }
  if (tf_elems(tf_out(t, 0)) != n)
    return tf_refuse(t, "a result that does not fit rank %d", n);
  return ints_fold(t, to, (size_t)n);
}

/* ---- ranges --------------------------------------------------------- */

static bool range_fits(Tf *t, double n) {
  TfTensor *y = tf_out(t, 0);
  if (!(n >= 0 && n <= MAX_FOLDED))
    return tf_refuse(t, "bounds that are no range");
  if (y->rank != 1 || y->dim[0] != (int64_t)n)
    return tf_refuse(t, "a result of %lld elements, expected %.0f",
                     (long long)tf_elems(y), n);
  return tf_room(t, (int64_t)n) ||
         tf_refuse(t, "%.0f elements are too many for the file", n);
}

static bool range_floats(Tf *t, const double v[3]) {
  double n = ceil((v[1] - v[0]) / v[2]);
  n = n < 0 ? 0 : n;
  if (!range_fits(t, n))
    return false;
  float *out = arena_array(t->a, float, (size_t)n + 1);
  for (size_t i = 0; i < (size_t)n; i++)
    out[i] = (float)(v[0] + (double)i * v[2]);
  tf_fold(tf_out(t, 0), out, (size_t)n * sizeof *out);
  return true;
}

/* Start, limit and step; what a double holds. */
bool tf_write_range(Tf *t) {
  double v[3];
  if (!tf_arity(t, 3))
    return false;
  for (int i = 0; i < 3; i++) {
    if (!tf_const(t, tf_in(t, i)))
      return tf_refuse(t, "operand %d is computed", i);
    if (!tf_number(t, tf_in(t, i), &v[i]))
      return tf_refuse(t, "operand %d is no number of at most 2^53", i);
  }
  if (v[2] == 0)
    return tf_refuse(t, "a step of 0");
  if (tf_elem(tf_out(t, 0)) == F32)
    return range_floats(t, v);
  double n = ceil((v[1] - v[0]) / v[2]);
  n = n < 0 ? 0 : n;
  if (!range_fits(t, n))
    return false;
  int64_t *out = arena_array(t->a, int64_t, (size_t)n + 1);
  for (size_t i = 0; i < (size_t)n; i++)
    out[i] = (int64_t)v[0] + (int64_t)i * (int64_t)v[2];
  return ints_fold(t, out, (size_t)n);
}

/* ---- places of what is set ------------------------------------------ */

static bool is_set(Elem e, const uint8_t *v, size_t i) {
  return elem_is_float(e) ? elem_load(e, v, i) != 0
                          : elem_load_int(e, v, i) != 0;
}

/* The rows of indices of what is set in c, whose values are v. */
static bool places_fold(Tf *t, const TfTensor *c, const uint8_t *v) {
  const TfTensor *y = tf_out(t, 0);
  size_t n = (size_t)tf_elems(c), count = 0;
  Elem e = (Elem)tf_elem(c);
  for (size_t i = 0; i < n; i++)
    count += is_set(e, v, i);
  if (y->rank != 2 || y->dim[0] != (int64_t)count || y->dim[1] != c->rank)
    return tf_refuse(t, "a result that does not fit %zu places", count);
  if (!tf_room(t, tf_elems(y)))
    return tf_refuse(t, "%zu places are too many for the file", count);
  int64_t *out = arena_array(t->a, int64_t, count * (size_t)c->rank + 1);
  size_t k = 0;
  for (size_t i = 0; i < n; i++) {
    size_t rest = i;
    if (!is_set(e, v, i))
      continue;
    for (int axis = c->rank; axis-- > 0; rest /= (size_t)c->dim[axis])
      out[k * (size_t)c->rank + (size_t)axis] =
        (int64_t)(rest % (size_t)c->dim[axis]);
    k++;
  }
  return ints_fold(t, out, count * (size_t)c->rank);
}

/* How many there are is known of a constant alone. */
bool tf_write_where(Tf *t) {
  if (!tf_arity(t, 1))
    return false;
  const TfTensor *c = tf_const(t, tf_in(t, 0));
  if (!c || tf_elems(c) > MAX_FOLDED)
    return tf_refuse(t, "a condition that is computed");
  Buffer *v = tf_values(t, c);
  bool ok = v && places_fold(t, c, v->data);
  buffer_unref(v);
  return ok;
}
