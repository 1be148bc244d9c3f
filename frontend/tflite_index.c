/* tflite_index.c - operators that look values up, scatter and select them by
 * computed places. */
#include "frontend/tflite.h"

#include <string.h>

static const char *shaped(Tf *t, const char *v, const int64_t *dim,
                          int rank) {
  return tf_temp(t, "reshape(%s, shape=%s)", v, tf_list(t, dim, rank));
}

/* [n,1] of 0, by, 2 by, ... */
static const char *multiples(Tf *t, int64_t n, int64_t by) {
  return tf_temp(t, "mul(iota(shape=[%lld,1], axis=0), i32(%lld))",
                 (long long)n, (long long)by);
}

static const char *swapped(Tf *t, const char *v) {
  return tf_temp(t, "permute(%s, order=[0,2,1,3])", v);
}

/* ---- gather --------------------------------------------------------- */

/* The first b axes of x and index are one batch: x [B,A,n,C], index [B,K],
 * in lines of x held as [B*n,A*C]. */
static bool gather_batches(Tf *t, TfTensor *x, TfTensor *index, int b,
                           int axis) {
  const TfTensor *y = tf_out(t, 0);
  int64_t batch = tf_product(x->dim, 0, b), n = x->dim[axis];
  int64_t before = tf_product(x->dim, b, axis);
  int64_t behind = tf_product(x->dim, axis + 1, x->rank);
  int64_t k = tf_product(index->dim, b, index->rank);
  if (!tf_fits_i32(t, x))
    return false;
  const char *v = shaped(t, tf_value(t, x, FORM_FILE),
                         (int64_t[]){batch, before, n, behind}, 4);
  v = shaped(t, before > 1 ? swapped(t, v) : v,
             (int64_t[]){batch * n, before * behind}, 2);
  const char *i = shaped(t, tf_places(t, index), (int64_t[]){batch, k}, 2);
  i = tf_temp(t, "add(%s, %s)", i, multiples(t, batch, n));
  v = shaped(t, tf_temp(t, "gather(%s, %s, axis=0)", v, i),
             (int64_t[]){batch, k, before, behind}, 4);
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)",
                 before > 1 ? swapped(t, v) : v,
                 tf_list(t, y->dim, y->rank));
}

bool tf_write_gather(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0), *index = tf_in(t, 1);
  int64_t b = flat_int(t->op->options, 1, 4, 0);
  int64_t given = flat_int(t->op->options, 0, 4, 0);
  int axis = tf_axis(x, given, FORM_FILE);
  if (b < 0)
    b += index->rank;
  if (axis < 0 || b < 0 || b > axis || b > index->rank)
    return tf_refuse(t, "axis %lld of rank %d with %lld axes of batches",
                     (long long)given, x->rank, (long long)b);
  if (b > 0)
    return gather_batches(t, x, index, (int)b, axis);
  const char *v = tf_value(t, x, FORM_FILE);
  return tf_give(t, 0, FORM_FILE, "gather(%s, %s, axis=%d)", v,
                 tf_value(t, index, FORM_FILE), axis);
}

bool tf_write_embedding(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  TfTensor *index = tf_in(t, 0), *x = tf_in(t, 1);
  if (x->rank < 1 || index->rank != 1)
    return tf_refuse(t, "a table of rank %d, places of rank %d", x->rank,
                     index->rank);
  const char *v = tf_value(t, x, FORM_FILE);
  return tf_give(t, 0, FORM_FILE, "gather(%s, %s, axis=0)", v,
                 tf_value(t, index, FORM_FILE));
}

/* Rows of k indices, index [...,k], as places among the product of the
 * first k sizes; of shape [K]. */
static const char *flat_places(Tf *t, TfTensor *index, const int64_t *dim,
                               int k) {
  int last = index->rank - 1;
  int64_t rows = tf_product(index->dim, 0, last);
  const char *v = tf_places(t, index), *sum = NULL;
  v = shaped(t, v, (int64_t[]){rows, k}, 2);
  for (int i = 0; i < k; i++) {
    const char *one = tf_temp(t, "select(%s, index=%d, axis=1)", v, i);
    one = tf_temp(t, "mul(%s, i32(%lld))", one,
                  (long long)tf_product(dim, i + 1, k));
    sum = sum ? tf_temp(t, "add(%s, %s)", sum, one) : one;
  }
  return sum;
}

/* How many axes of x an index names; 0: refused. */
static int64_t index_depth(Tf *t, const TfTensor *index, const TfTensor *x) {
  int64_t k = index->rank ? index->dim[index->rank - 1] : 0;
  if (k >= 1 && k <= x->rank)
    return tf_fits_i32(t, x) ? k : 0;
  tf_refuse(t, "%lld indices of rank %d", (long long)k, x->rank);
  return 0;
}

bool tf_write_gather_nd(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0), *index = tf_in(t, 1), *y = tf_out(t, 0);
  int64_t k = index_depth(t, index, x);
  if (k == 0)
    return false;
  int64_t n = tf_product(x->dim, 0, (int)k);
  const char *v = shaped(t, tf_value(t, x, FORM_FILE),
                         (int64_t[]){n, tf_product(x->dim, (int)k, x->rank)},
                         2);
  const char *i = flat_places(t, index, x->dim, (int)k);
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)",
                 tf_temp(t, "gather(%s, %s, axis=0)", v, i),
                 tf_list(t, y->dim, y->rank));
}

/* ---- scatter -------------------------------------------------------- */

static const char *zeros(Tf *t, Elem e, const int64_t *dim, int rank) {
  return tf_temp(t, "expand(%s, shape=%s)", tf_scalar(t, e, 0),
                 tf_list(t, dim, rank));
}

/* Result 0 as zeros, to which rows are added. */
bool tf_write_scatter_nd(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  TfTensor *index = tf_in(t, 0), *up = tf_in(t, 1), *y = tf_out(t, 0);
  int64_t k = index_depth(t, index, y);
  if (k == 0)
    return false;
  int64_t dim[] = {tf_product(y->dim, 0, (int)k),
                   tf_product(y->dim, (int)k, y->rank)};
  int64_t rows[] = {tf_product(index->dim, 0, index->rank - 1), dim[1]};
  const char *i = flat_places(t, index, y->dim, (int)k);
  const char *v = shaped(t, tf_value(t, up, FORM_FILE), rows, 2);
  v = tf_temp(t, "scatter_add(%s, %s, %s, axis=0)",
              zeros(t, (Elem)tf_elem(y), dim, 2), i, v);
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)", v,
                 tf_list(t, y->dim, y->rank));
}

static bool rows_ascend(Elem e, const uint8_t *v, int64_t rows, int k) {
  for (int64_t row = 1; row < rows; row++) {
    int order = 0;
    for (int i = 0; i < k && order == 0; i++) {
      int64_t now = elem_load_int(e, v, (size_t)(row * k + i));
      int64_t before = elem_load_int(e, v, (size_t)((row - 1) * k + i));
      order = (now > before) - (now < before);
    }
    if (order <= 0)
      return false;
  }
  return true;
}

/* Each place is given once: rows of constant indices in ascending order. */
static bool ascending(Tf *t, const TfTensor *index, int k) {
  const TfTensor *c = tf_const(t, index);
  Buffer *v = c ? tf_values(t, c) : NULL;
  bool ok = v && rows_ascend((Elem)tf_elem(c), v->data, tf_elems(c) / k, k);
  buffer_unref(v);
  return ok;
}

/* Operands: indices, a scalar, [n] or [n,k]; shape; values; the value of
 * all else. */
bool tf_write_sparse_to_dense(Tf *t) {
  if (!tf_arity(t, 4))
    return false;
  TfTensor *index = tf_in(t, 0), *up = tf_in(t, 2), *y = tf_out(t, 0);
  int k = index->rank == 2 ? (int)index->dim[1] : 1;
  if (k != y->rank || k < 1 || index->rank > 2 || up->rank > 1 ||
      !ascending(t, index, k))
    return tf_refuse(t, "indices that are not constant and ascending");
  if (!tf_fits_i32(t, y))
    return false;
  int64_t n = tf_elems(index) / k, all = tf_elems(y);
  TfTensor rows = *index;
  rows.rank = 2;
  rows.dim[0] = n;
  rows.dim[1] = k;
  rows.value[FORM_FILE] = tf_value(t, index, FORM_FILE);
  const char *i = flat_places(t, &rows, y->dim, k);
  const char *v = tf_temp(t, "expand(%s, shape=[%lld])",
                          tf_value(t, up, FORM_FILE), (long long)n);
  v = tf_temp(t, "scatter_add(%s, %s, %s, axis=0)",
              zeros(t, (Elem)tf_elem(y), &all, 1), i, v);
  const char *hit = tf_temp(t, "scatter_add(%s, %s, expand(i32(1), "
                            "shape=[%lld]), axis=0)",
                            zeros(t, I32, &all, 1), i, (long long)n);
  hit = tf_temp(t, "greater(%s, i32(0))", hit);
  v = tf_temp(t, "where(%s, %s, %s)", hit, v,
              tf_value(t, tf_in(t, 3), FORM_FILE));
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)", v,
                 tf_list(t, y->dim, y->rank));
}

/* ---- segments ------------------------------------------------------- */

/* Data [K,R], segments [K], result [S,R]; false: the shapes lie. */
static bool segments(Tf *t, int64_t *s, int64_t *k, int64_t *r) {
  if (!tf_arity(t, 2))
    return false;
  const TfTensor *x = tf_in(t, 0), *ids = tf_in(t, 1), *y = tf_out(t, 0);
  if (ids->rank < 1 || ids->rank > x->rank || y->rank < 1 ||
      memcmp(ids->dim, x->dim, (size_t)ids->rank * sizeof *ids->dim) != 0)
    return tf_refuse(t, "segments of rank %d of rank %d", ids->rank,
                     x->rank);
  *s = y->dim[0];
  *k = tf_elems(ids);
  *r = tf_product(x->dim, ids->rank, x->rank);
  return true;
}

/* Segments out of range are left out. */
bool tf_write_segment_sum(Tf *t) {
  int64_t s, k, r;
  if (!segments(t, &s, &k, &r))
    return false;
  const TfTensor *y = tf_out(t, 0);
  const char *v = shaped(t, tf_value(t, tf_in(t, 0), FORM_FILE),
                         (int64_t[]){k, r}, 2);
  const char *i = shaped(t, tf_value(t, tf_in(t, 1), FORM_FILE), &k, 1);
  v = tf_temp(t, "scatter_add(%s, %s, %s, axis=0)",
              zeros(t, (Elem)tf_elem(y), (int64_t[]){s, r}, 2), i, v);
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)", v,
                 tf_list(t, y->dim, y->rank));
}

/* What a product, a maximum and a minimum begin with. */
static const char *fold_start(Tf *t, Elem e, bool max) {
  static const char *const least[] = {
    "sub(i64(-9223372036854775807), i64(1))", "i64(9223372036854775807)"
  };
  if (e == I64)
    return least[!max];
  double v = e == F32 ? 0x1.fffffep127 : max ? 0x1p31 : 0x1p31 - 1;
  return tf_scalar(t, e, max ? -v : v);
}

/* Each segment goes through all of the data: [S,K,R]. */
bool tf_write_segment_fold(Tf *t) {
  enum { PROD = 153, MAX = 154 };
  int64_t s, k, r;
  if (!segments(t, &s, &k, &r))
    return false;
  const TfTensor *y = tf_out(t, 0);
  bool max = t->op->code == MAX, prod = t->op->code == PROD;
  Elem e = (Elem)tf_elem(y);
  if (k == 0 || s > INT32_MAX)
    return tf_refuse(t, "%lld segments of %lld rows", (long long)s,
                     (long long)k);
  const char *v = shaped(t, tf_value(t, tf_in(t, 0), FORM_FILE),
                         (int64_t[]){1, k, r}, 3);
  const char *i = shaped(t, tf_places(t, tf_in(t, 1)),
                         (int64_t[]){1, k, 1}, 3);
  i = tf_temp(t, "equal(iota(shape=[%lld,1,1], axis=0), %s)", (long long)s,
              i);
  v = tf_temp(t, "where(%s, %s, %s)", i, v,
              prod ? tf_scalar(t, e, 1) : fold_start(t, e, max));
  v = tf_temp(t, "%s(%s, axes=[1])", prod ? "prod" : max ? "max" : "min", v);
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)", v,
                 tf_list(t, y->dim, y->rank));
}
