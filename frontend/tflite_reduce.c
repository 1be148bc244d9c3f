/* tflite_reduce.c - operators that fold, order or number the elements along
 * axes. */
#include "frontend/tflite.h"

#include <string.h>

/* ---- reductions ----------------------------------------------------- */

/* Whether any is set is the greatest, whether all are the least. */
static const struct { int code; const char *op; } reductions[] = {
  {40, "mean"}, {74, "sum"}, {81, "prod"}, {82, "max"}, {89, "min"},
  {91, "max"}, {140, "min"}
};

/* Axes that go leave the others in the file's order when the channels are
 * among them, or both planes' axes. */
static bool order_stays(const int64_t *axes, int n, bool keep) {
  unsigned gone = 0;
  for (int i = 0; i < n; i++)
    gone |= 1u << axes[i];
  return keep || (gone & 8) || (gone & 6) == 6;
}

bool tf_write_reduce(Tf *t) {
  int i = 0;
  int64_t axes[MAX_RANK], moved[MAX_RANK];
  while (reductions[i].code != t->op->code)
    i++;
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  int n = tf_axes(t, 1, x, axes);
  if (n < 0)
    return false;
  bool keep = flat_bool(t->op->options, 0);
  Form f = tf_held(x);
  if (f == FORM_PLANES && !order_stays(axes, n, keep && y->rank == 4))
    f = FORM_FILE;
  for (int k = 0; k < n; k++)
    moved[k] = tf_axis(x, axes[k], f);
  const char *v = tf_value(t, x, f);
  if (n == 0) {
    return tf_bind(t, 0, f, v);
  }
  Form to = y->rank == 4 && keep ? f : FORM_FILE;
  return tf_give(t, 0, to, "%s(%s, axes=%s, keep=%s)", reductions[i].op, v,
                 tf_list(t, moved, n), keep ? "true" : "false");
}

/* ---- shares of a sum ------------------------------------------------ */

/* The operand of an op along its last axis, and where that lies. */
static const char *last_axis(Tf *t, Form *f, int *axis) {
  if (!tf_arity(t, 1))
    return NULL;
  TfTensor *x = tf_in(t, 0);
  *f = tf_form(t);
  *axis = tf_axis(x, -1, *f);
  if (*axis >= 0)
    return tf_value(t, x, *f);
  tf_refuse(t, "a scalar");
  return NULL;
}

bool tf_write_softmax(Tf *t) {
  Form f;
  int axis;
  float beta = flat_float(t->op->options, 0, 0);
  const char *v = last_axis(t, &f, &axis);
  if (!v)
    return false;
  if (beta != 1) {
    Text s = {0};
    text_float(&s, beta, true);
    v = tf_temp(t, "mul(%s, %s)", v, s.s);
    text_free(&s);
  }
  return tf_give(t, 0, f, "softmax(%s, axis=%d)", v, axis);
}

bool tf_write_log_softmax(Tf *t) {
  Form f;
  int axis;
  const char *v = last_axis(t, &f, &axis);
  if (!v)
    return false;
  const char *top = tf_temp(t, "max(%s, axes=[%d], keep=true)", v, axis);
  v = tf_temp(t, "sub(%s, %s)", v, top);
  const char *sum = tf_temp(t, "exp(%s)", v);
  sum = tf_temp(t, "sum(%s, axes=[%d], keep=true)", sum, axis);
  return tf_give(t, 0, f, "sub(%s, %s)", v, tf_temp(t, "log(%s)", sum));
}

/* x over its length along the last axis, at least 1e-6. */
bool tf_write_l2_norm(Tf *t) {
  Form f;
  int axis;
  const char *v = last_axis(t, &f, &axis);
  if (!v)
    return false;
  const char *len = tf_temp(t, "square(%s)", v);
  len = tf_temp(t, "sum(%s, axes=[%d], keep=true)", len, axis);
  len = tf_temp(t, "sqrt(%s)", len);
  len = tf_temp(t, "maximum(%s, 0.000001)", len);
  return tf_give_act(t, f, (int)flat_int(t->op->options, 0, 1, 0),
                     "div(%s, %s)", v, len);
}

/* x (bias + alpha s)^-beta, s the sum of squares of the channels up to
 * `radius` away (Krizhevsky, Sutskever and Hinton, 2012).  With padding
 * counted, s is a mean times the size of its window. */
bool tf_write_lrn(Tf *t) {
  FlatTable o = t->op->options;
  int64_t r = flat_int(o, 0, 4, 0), k = 2 * r + 1;
  if (!tf_arity(t, 1))
    return false;
  TfTensor *x = tf_in(t, 0);
  if (x->rank != 4 || r < 0 || r > 1 << 16)
    return tf_refuse(t, "radius %lld of rank %d", (long long)r, x->rank);
  const char *v = tf_value(t, x, FORM_FILE);
  int64_t rows = x->dim[0] * x->dim[1] * x->dim[2];
  const char *s = tf_temp(t, "reshape(%s, shape=%s)",
                          tf_temp(t, "square(%s)", v),
                          tf_list(t, (int64_t[]){1, 1, rows, x->dim[3]}, 4));
  s = tf_temp(t, "avg_pool(%s, k=%s, pad=%s, count_pad=true)", s,
              tf_list(t, (int64_t[]){1, k}, 2),
              tf_list(t, (int64_t[]){0, r, 0, r}, 4));
  s = tf_temp(t, "reshape(%s, shape=%s)", s, tf_list(t, x->dim, 4));
  s = tf_temp(t, "mul(%s, %s)", s,
              tf_scalar(t, F32, flat_float(o, 2, 0) * (double)k));
  s = tf_temp(t, "add(%s, %s)", s, tf_scalar(t, F32, flat_float(o, 1, 0)));
  s = tf_temp(t, "pow(%s, %s)", s,
              tf_scalar(t, F32, -(double)flat_float(o, 3, 0)));
  return tf_give(t, 0, FORM_FILE, "mul(%s, %s)", v, s);
}

/* ---- order ---------------------------------------------------------- */

/* Operand 1 as an axis of x. */
static bool one_axis(Tf *t, const TfTensor *x, int64_t *axis) {
  return tf_ints(t, 1, "axis", axis, 1, 1) > 0 &&
         (tf_axis(x, *axis, FORM_FILE) >= 0 ||
          tf_refuse(t, "axis %lld of rank %d", (long long)*axis, x->rank));
}

/* The place of the greatest or least as i32, which the file may want
 * wider. */
bool tf_write_arg(Tf *t) {
  enum { ARG_MAX = 56 };
  int64_t axis;
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  if (!one_axis(t, x, &axis))
    return false;
  if (tf_elem(x) == B1)
    return tf_refuse(t, "an operand of type bool");
  axis = tf_axis(x, axis, FORM_FILE);
  const char *op = t->op->code == ARG_MAX ? "argmax" : "argmin";
  const char *v = tf_value(t, x, FORM_FILE);
  if (tf_elem(y) == I32)
    return tf_give(t, 0, FORM_FILE, "%s(%s, axis=%lld)", op, v,
                   (long long)axis);
  v = tf_temp(t, "%s(%s, axis=%lld)", op, v, (long long)axis);
  return tf_give(t, 0, FORM_FILE, "cast(%s, to=i64)", v);
}

bool tf_write_cumsum(Tf *t) {
  int64_t axis;
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0);
  if (!one_axis(t, x, &axis))
    return false;
  Form f = tf_form(t);
  return tf_give(t, 0, f, "cumsum(%s, axis=%d, exclusive=%s, reverse=%s)",
                 tf_value(t, x, f), tf_axis(x, axis, f),
                 flat_bool(t->op->options, 0) ? "true" : "false",
                 flat_bool(t->op->options, 1) ? "true" : "false");
}

/* The k greatest along the last axis, greatest first, and their places,
 * looked up in the lines one behind the other. */
bool tf_write_topk(Tf *t) {
  int64_t k;
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0), *at = tf_out(t, 1);
  if (tf_ints(t, 1, "count", &k, 1, 1) < 0)
    return false;
  if (!at || x->rank < 1)
    return tf_refuse(t, "%d results of rank %d", t->op->nout, x->rank);
  int64_t n = x->dim[x->rank - 1];
  if (k < 0 || k > n || tf_elem(at) < 0)
    return tf_refuse(t, "%lld of %lld", (long long)k, (long long)n);
  if (!tf_fits_i32(t, x))
    return false;
  int64_t lines = n ? tf_elems(x) / n : 0;
  const char *v = tf_value(t, x, FORM_FILE);
  const char *places = tf_temp(t, "argsort(%s, axis=-1, count=%lld, "
                               "descending=true)", v, (long long)k);
  const char *flat = tf_reshape(t, v, x, (int64_t[]){lines * n}, 1);
  const char *first = tf_temp(t, "mul(iota(shape=%s, axis=0), i32(%lld))",
                              tf_list(t, (int64_t[]){lines, 1}, 2),
                              (long long)n);
  const char *i = tf_temp(t, "reshape(%s, shape=%s)", places,
                          tf_list(t, (int64_t[]){lines, k}, 2));
  i = tf_temp(t, "reshape(add(%s, %s), shape=%s)", i, first,
              tf_list(t, y->dim, y->rank));
  tf_give(t, 0, FORM_FILE, "gather(%s, %s, axis=0)", flat, i);
  return tf_give(t, 1, FORM_FILE, "cast(%s, to=%s)", places,
                 elem_name((Elem)tf_elem(at)));
}
