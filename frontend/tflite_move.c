/* tflite_move.c - operators that repeat, mirror and interleave values, and
 * those that give constants another place. */
#include "frontend/tflite.h"

#include <string.h>

/* ---- one value everywhere ------------------------------------------- */

/* The file gives the shape. */
bool tf_write_fill(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  TfTensor *v = tf_in(t, 1), *y = tf_out(t, 0);
  if (v->rank != 0)
    return tf_refuse(t, "a value of rank %d, expected a scalar", v->rank);
  return tf_give(t, 0, FORM_FILE, "expand(%s, shape=%s)",
                 tf_value(t, v, FORM_FILE), tf_list(t, y->dim, y->rank));
}

bool tf_write_zeros_like(Tf *t) {
  TfTensor *y = tf_out(t, 0);
  return tf_give(t, 0, FORM_FILE, "expand(%s, shape=%s)",
                 tf_scalar(t, (Elem)tf_elem(y), 0),
                 tf_list(t, y->dim, y->rank));
}

/* ---- repeated and mirrored ------------------------------------------ */

/* Axis by axis from the last: what lies behind an axis, with it, is repeated
 * as one. */
bool tf_write_tile(Tf *t) {
  int64_t by[MAX_RANK], dim[MAX_RANK];
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  if (tf_ints(t, 1, "multiples", by, x->rank, x->rank) < 0)
    return false;
  if (y->rank != x->rank)
    return tf_malformed(t, "expected a result of rank %d, found %d", x->rank,
                        y->rank);
  const char *v = tf_value(t, x, FORM_FILE);
  memcpy(dim, x->dim, sizeof dim);
  for (int i = x->rank; i-- > 0;) {
    int64_t n;
    if (by[i] < 0 || __builtin_mul_overflow(x->dim[i], by[i], &n) ||
        y->dim[i] != n)
      return tf_refuse(t, "%lld times axis %d", (long long)by[i], i);
    if (by[i] == 1)
      continue;
    int64_t before = tf_product(dim, 0, i);
    n = tf_product(dim, i, x->rank);
    v = tf_temp(t, "reshape(%s, shape=%s)", v,
                tf_list(t, (int64_t[]){before, 1, n}, 3));
    v = tf_temp(t, "expand(%s, shape=%s)", v,
                tf_list(t, (int64_t[]){before, by[i], n}, 3));
    dim[i] *= by[i];
  }
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)", v,
                 tf_list(t, y->dim, y->rank));
}

/* Elements [start,stop) of an axis, back to front. */
static const char *mirrored(Tf *t, const char *v, int axis, int64_t start,
                            int64_t stop) {
  v = tf_temp(t, "slice(%s, axis=%d, start=%lld, stop=%lld)", v, axis,
              (long long)start, (long long)stop);
  return tf_temp(t, "flip(%s, axes=[%d])", v, axis);
}

/* Mode 0 leaves the element at the edge out, 1 repeats it. */
bool tf_write_mirror_pad(Tf *t) {
  int64_t by[2 * MAX_RANK], mode = flat_int(t->op->options, 0, 1, 0);
  int64_t edge = mode == 0;
  if (!tf_arity(t, 2))
    return false;
  if (mode != 0 && mode != 1)
    return tf_refuse(t, "mode %lld", (long long)mode);
  TfTensor *x = tf_in(t, 0);
  if (tf_ints(t, 1, "sizes", by, 2 * x->rank, 2 * x->rank) < 0)
    return false;
  const char *v = tf_value(t, x, FORM_FILE);
  for (int i = 0; i < x->rank; i++) {
    int64_t before = by[2 * i], after = by[2 * i + 1], d = x->dim[i];
    if (before < 0 || after < 0 || before > d - edge || after > d - edge)
      return tf_refuse(t, "%lld and %lld around an axis of size %lld",
                       (long long)before, (long long)after, (long long)d);
    const char *head = "", *tail = "";
    if (before)
      head = arena_printf(t->a, "%s, ", mirrored(t, v, i, edge,
                                                 edge + before));
    if (after)
      tail = arena_printf(t->a, ", %s", mirrored(t, v, i, d - edge - after,
                                                 d - edge));
    if (before || after)
      v = tf_temp(t, "concat(%s%s%s, axis=%d)", head, v, tail, i);
  }
  return tf_bind(t, 0, FORM_FILE, v);
}

bool tf_write_reverse(Tf *t) {
  int64_t axes[MAX_RANK];
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0);
  int n = tf_axes(t, 1, x, axes);
  if (n < 0)
    return false;
  Form f = tf_form(t);
  for (int i = 0; i < n; i++)
    axes[i] = tf_axis(x, axes[i], f);
  return tf_give(t, 0, f, "flip(%s, axes=%s)", tf_value(t, x, f),
                 tf_list(t, axes, n));
}

/* ---- blocks of space and the batch ---------------------------------- */

typedef struct Blocks {
  int n;                   /* axes, behind the first */
  int64_t size[MAX_RANK], edge[2 * MAX_RANK];
  int64_t all;             /* product of the sizes */
} Blocks;

static bool blocks_read(Tf *t, Blocks *b) {
  if (!tf_arity(t, 3))
    return false;
  TfTensor *x = tf_in(t, 0);
  b->n = tf_ints(t, 1, "blocks", b->size, 1, MAX_RANK);
  if (b->n < 0 || tf_ints(t, 2, "edges", b->edge, 2 * b->n, 2 * b->n) < 0)
    return false;
  if (x->rank < b->n + 1 || x->rank + b->n > MAX_RANK)
    return tf_refuse(t, "%d axes of blocks of rank %d", b->n, x->rank);
  b->all = 1;
  for (int i = 0; i < b->n; i++) {
    if (b->size[i] < 1 || b->size[i] > 1 << 20 || b->edge[2 * i] < 0 ||
        b->edge[2 * i + 1] < 0 || b->edge[2 * i] > 1 << 20 ||
        b->edge[2 * i + 1] > 1 << 20 || b->all > 1 << 20)
      return tf_refuse(t, "blocks of size %lld", (long long)b->size[i]);
    b->all *= b->size[i];
  }
  return true;
}

bool tf_write_space_to_batch(Tf *t) {
  Blocks b;
  int64_t before[MAX_RANK] = {0}, after[MAX_RANK] = {0};
  int64_t split[MAX_RANK], order[MAX_RANK];
  if (!blocks_read(t, &b))
    return false;
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  int rank = x->rank, k = 0;
  split[k++] = x->dim[0];
  for (int i = 0; i < b.n; i++) {
    before[i + 1] = b.edge[2 * i];
    after[i + 1] = b.edge[2 * i + 1];
    int64_t d = x->dim[i + 1] + before[i + 1] + after[i + 1];
    if (d % b.size[i])
      return tf_refuse(t, "blocks of %lld do not divide axis %d of %lld",
                       (long long)b.size[i], i + 1, (long long)d);
    split[k++] = d / b.size[i];
    split[k++] = b.size[i];
  }
  for (int i = b.n + 1; i < rank; i++)
    split[k++] = x->dim[i];
  for (int i = 0; i < b.n; i++) {
    order[i] = 2 + 2 * i;
    order[b.n + 1 + i] = 1 + 2 * i;
  }
  order[b.n] = 0;
  for (int i = 2 * b.n + 1; i < k; i++)
    order[i] = i;
  const char *v = tf_temp(t, "pad(%s, before=%s, after=%s)",
                          tf_value(t, x, FORM_FILE), tf_list(t, before, rank),
                          tf_list(t, after, rank));
  v = tf_temp(t, "reshape(%s, shape=%s)", v, tf_list(t, split, k));
  v = tf_temp(t, "permute(%s, order=%s)", v, tf_list(t, order, k));
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)", v,
                 tf_list(t, y->dim, y->rank));
}

bool tf_write_batch_to_space(Tf *t) {
  Blocks b;
  int64_t split[MAX_RANK], order[MAX_RANK], wide[MAX_RANK];
  if (!blocks_read(t, &b))
    return false;
  TfTensor *x = tf_in(t, 0);
  int rank = x->rank, k = b.n + rank;
  if (x->dim[0] % b.all)
    return tf_refuse(t, "%lld blocks do not divide a batch of %lld",
                     (long long)b.all, (long long)x->dim[0]);
  for (int i = 0; i < b.n; i++) {
    split[i] = b.size[i];
    order[1 + 2 * i] = b.n + 1 + i;
    order[2 + 2 * i] = i;
  }
  order[0] = b.n;
  split[b.n] = wide[0] = x->dim[0] / b.all;
  for (int i = 1; i < rank; i++) {
    split[b.n + i] = x->dim[i];
    wide[i] = x->dim[i] * (i <= b.n ? b.size[i - 1] : 1);
  }
  for (int i = 2 * b.n + 1; i < k; i++)
    order[i] = i;
  const char *v = tf_temp(t, "reshape(%s, shape=%s)",
                          tf_value(t, x, FORM_FILE), tf_list(t, split, k));
  v = tf_temp(t, "permute(%s, order=%s)", v, tf_list(t, order, k));
  v = tf_temp(t, "reshape(%s, shape=%s)", v, tf_list(t, wide, rank));
  for (int i = 0; i < b.n; i++) {
    int64_t stop = wide[i + 1] - b.edge[2 * i + 1];
    if (b.edge[2 * i] > stop)
      return tf_refuse(t, "more cut off axis %d than it has", i + 1);
    if (b.edge[2 * i] || b.edge[2 * i + 1])
      v = tf_temp(t, "slice(%s, axis=%d, start=%lld, stop=%lld)", v, i + 1,
                  (long long)b.edge[2 * i], (long long)stop);
  }
  return tf_bind(t, 0, FORM_FILE, v);
}

/* ---- diagonals ------------------------------------------------------ */

/* diag [...,k] as a column of m rows, at the diagonal of [m,n], `else_`
 * around it. */
static bool diag_give(Tf *t, TfTensor *diag, int64_t m, int64_t n,
                      const char *else_) {
  int64_t dim[MAX_RANK], none[MAX_RANK] = {0}, more[MAX_RANK] = {0};
  int rank = diag->rank + 1;
  memcpy(dim, diag->dim, sizeof dim);
  dim[rank - 1] = 1;
  const char *v = tf_temp(t, "reshape(%s, shape=%s)",
                          tf_value(t, diag, FORM_FILE),
                          tf_list(t, dim, rank));
  more[rank - 2] = m - dim[rank - 2];
  if (more[rank - 2] > 0)
    v = tf_temp(t, "pad(%s, before=%s, after=%s)", v, tf_list(t, none, rank),
                tf_list(t, more, rank));
  const char *at = tf_temp(t, "equal(iota(shape=[%lld,1], axis=0), "
                           "iota(shape=[1,%lld], axis=1))", (long long)m,
                           (long long)n);
  return tf_give(t, 0, FORM_FILE, "where(%s, %s, %s)", at, v, else_);
}

bool tf_write_matrix_diag(Tf *t) {
  if (!tf_arity(t, 1))
    return false;
  TfTensor *x = tf_in(t, 0);
  if (x->rank < 1 || x->rank >= MAX_RANK)
    return tf_refuse(t, "an operand of rank %d", x->rank);
  int64_t n = x->dim[x->rank - 1];
  return diag_give(t, x, n, n, tf_scalar(t, (Elem)tf_elem(x), 0));
}

bool tf_write_matrix_set_diag(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0), *diag = tf_in(t, 1);
  int r = x->rank;
  if (r < 2 || diag->rank != r - 1)
    return tf_refuse(t, "a diagonal of rank %d of rank %d", diag->rank, r);
  int64_t m = x->dim[r - 2], n = x->dim[r - 1];
  if (diag->dim[r - 2] != (m < n ? m : n))
    return tf_refuse(t, "a diagonal of size %lld of [%lld,%lld]",
                     (long long)diag->dim[r - 2], (long long)m,
                     (long long)n);
  return diag_give(t, diag, m, n, tf_value(t, x, FORM_FILE));
}
