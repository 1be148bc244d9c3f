/* tflite_place.c - operators that ask of each element where it lies. */
#include "frontend/tflite.h"

#include <string.h>

/* The place along one of `rank` axes, 1 along the others. */
static const char *iota(Tf *t, int64_t n, int axis, int rank) {
  int64_t dim[MAX_RANK];
  for (int i = 0; i < rank; i++)
    dim[i] = i == axis ? n : 1;
  return tf_temp(t, "iota(shape=%s, axis=%d)", tf_list(t, dim, rank), axis);
}

/* Operands: places, depth, the value on and the value off; the new axis
 * stands last, or where the option says. */
bool tf_write_one_hot(Tf *t) {
  if (!tf_arity(t, 4))
    return false;
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  int axis = tf_axis(y, flat_int(t->op->options, 0, 4, 0), FORM_FILE);
  int64_t dim[MAX_RANK];
  if (axis < 0 || y->rank != x->rank + 1 || tf_in(t, 2)->rank ||
      tf_in(t, 3)->rank)
    return tf_refuse(t, "places of rank %d, a result of rank %d", x->rank,
                     y->rank);
  memcpy(dim, y->dim, sizeof dim);
  dim[axis] = 1;
  const char *at = tf_temp(t, "reshape(%s, shape=%s)", tf_places(t, x),
                           tf_list(t, dim, y->rank));
  at = tf_temp(t, "equal(%s, %s)", at,
               iota(t, y->dim[axis], axis, y->rank));
  const char *on = tf_value(t, tf_in(t, 2), FORM_FILE);
  return tf_give(t, 0, FORM_FILE, "where(%s, %s, %s)", at, on,
                 tf_value(t, tf_in(t, 3), FORM_FILE));
}

/* ---- sequences ------------------------------------------------------ */

/* Axes batch and seq first, the others as they stand. */
static void order_of(int rank, int batch, int seq, int64_t *order) {
  int k = 2;
  order[0] = batch;
  order[1] = seq;
  for (int i = 0; i < rank; i++)
    if (i != batch && i != seq)
      order[k++] = i;
}

/* Place s of a line of length l comes from l - 1 - s, behind it from s. */
static const char *reversed_places(Tf *t, TfTensor *len, int64_t b,
                                   int64_t s) {
  const char *l = tf_temp(t, "reshape(%s, shape=[%lld,1])", tf_places(t, len),
                          (long long)b);
  const char *at = iota(t, s, 1, 2);
  const char *from = tf_temp(t, "sub(%s, i32(1))", l);
  from = tf_temp(t, "sub(%s, %s)", from, at);
  from = tf_temp(t, "where(less(%s, %s), %s, %s)", at, l, from, at);
  return tf_temp(t, "add(%s, mul(%s, i32(%lld)))", from, iota(t, b, 0, 2),
                 (long long)s);
}

/* The first `length` elements of each line along an axis, back to front. */
bool tf_write_reverse_sequence(Tf *t) {
  int64_t order[MAX_RANK], back[MAX_RANK], dim[MAX_RANK];
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0), *len = tf_in(t, 1);
  int seq = tf_axis(x, flat_int(t->op->options, 0, 4, 0), FORM_FILE);
  int batch = tf_axis(x, flat_int(t->op->options, 1, 4, 0), FORM_FILE);
  if (seq < 0 || batch < 0 || seq == batch || tf_elems(x) > INT32_MAX ||
      len->rank != 1 || len->dim[0] != x->dim[batch])
    return tf_refuse(t, "axes %d and %d of rank %d", batch, seq, x->rank);
  order_of(x->rank, batch, seq, order);
  int64_t rows = x->dim[batch] * x->dim[seq], rest = 1;
  for (int i = 0; i < x->rank; i++) {
    dim[i] = x->dim[order[i]];
    back[order[i]] = i;
    rest *= i < 2 ? 1 : dim[i];
  }
  const char *v = tf_temp(t, "permute(%s, order=%s)",
                          tf_value(t, x, FORM_FILE),
                          tf_list(t, order, x->rank));
  v = tf_temp(t, "reshape(%s, shape=%s)", v,
              tf_list(t, (int64_t[]){rows, rest}, 2));
  v = tf_temp(t, "gather(%s, %s, axis=0)", v,
              reversed_places(t, len, x->dim[batch], x->dim[seq]));
  v = tf_temp(t, "reshape(%s, shape=%s)", v, tf_list(t, dim, x->rank));
  return tf_give(t, 0, FORM_FILE, "permute(%s, order=%s)", v,
                 tf_list(t, back, x->rank));
}

/* ---- a part replaced ------------------------------------------------ */

/* Where each index along an axis lies in the update, which is moved so that
 * it fits. */
static const char *place_in(Tf *t, const char *starts, const TfTensor *x,
                            const TfTensor *u, int axis) {
  const char *s = tf_temp(t, "select(%s, index=%d, axis=0)", starts, axis);
  s = tf_temp(t, "minimum(%s, i32(%lld))", s,
              (long long)(x->dim[axis] - u->dim[axis]));
  s = tf_temp(t, "maximum(%s, i32(0))", s);
  return tf_temp(t, "sub(%s, %s)", iota(t, x->dim[axis], axis, x->rank), s);
}

bool tf_write_update_slice(Tf *t) {
  if (!tf_arity(t, 3))
    return false;
  TfTensor *x = tf_in(t, 0), *u = tf_in(t, 1), *start = tf_in(t, 2);
  bool fits = u->rank == x->rank && tf_elems(start) == x->rank &&
              start->rank == 1 && x->rank > 0 && tf_elems(x) <= INT32_MAX;
  for (int i = 0; fits && i < x->rank; i++)
    fits = u->dim[i] <= x->dim[i];
  if (!fits || tf_elems(u) == 0)
    return tf_refuse(t, "an update of shape %s of a value of shape %s",
                     tf_list(t, u->dim, u->rank),
                     tf_list(t, x->dim, x->rank));
  const char *starts = tf_places(t, start), *from = NULL, *inside = NULL;
  int64_t stride = tf_elems(u);
  for (int i = 0; i < x->rank; i++) {
    const char *at = place_in(t, starts, x, u, i);
    const char *in = tf_temp(t, "minimum(greater_equal(%s, i32(0)), "
                             "less(%s, i32(%lld)))", at, at,
                             (long long)u->dim[i]);
    stride /= u->dim[i];
    at = tf_temp(t, "mul(%s, i32(%lld))", at, (long long)stride);
    from = from ? tf_temp(t, "add(%s, %s)", from, at) : at;
    inside = inside ? tf_temp(t, "minimum(%s, %s)", inside, in) : in;
  }
  const char *v = tf_reshape(t, tf_value(t, u, FORM_FILE), u,
                             (int64_t[]){tf_elems(u)}, 1);
  v = tf_temp(t, "gather(%s, %s, axis=0)", v, from);
  return tf_give(t, 0, FORM_FILE, "where(%s, %s, %s)", inside, v,
                 tf_value(t, x, FORM_FILE));
}

/* ---- buckets -------------------------------------------------------- */

/* How many of the boundaries, which ascend, are not above each element. */
bool tf_write_bucketize(Tf *t) {
  FlatVec b = flat_vec(t->op->options, 0, 4);
  if (!tf_arity(t, 1))
    return false;
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  int64_t dim[MAX_RANK], n = (int64_t)b.n;
  if (b.n < 1 || b.n > 1 << 20 || x->rank >= MAX_RANK)
    return tf_refuse(t, "%lld boundaries of rank %d", (long long)n, x->rank);
  uint32_t *bits = arena_array(t->a, uint32_t, b.n);
  for (size_t i = 0; i < b.n; i++)
    bits[i] = (uint32_t)flat_vec_uint(b, i);
  TfTensor *all = arena_new_of(t->a, TfTensor);
  *all = (TfTensor){.name = y->name, .path = y->path, .rank = 1, .dim = {n},
                    .producer = -1};
  tf_fold(all, bits, b.n * sizeof *bits);
  Type type = type_make(F32, 1, &n);
  const char *bounds = tf_param(t, "boundaries", all, &type, NULL, &type);
  memcpy(dim, x->dim, sizeof dim);
  dim[x->rank] = 1;
  const char *v = tf_value(t, x, FORM_FILE);
  if (tf_elem(x) != F32)
    v = tf_temp(t, "cast(%s, to=f32)", v);
  v = tf_temp(t, "reshape(%s, shape=%s)", v, tf_list(t, dim, x->rank + 1));
  v = tf_temp(t, "cast(greater_equal(%s, %s), to=%s)", v, bounds,
              elem_name((Elem)tf_elem(y)));
  return tf_give(t, 0, FORM_FILE, "sum(%s, axes=[-1])", v);
}
