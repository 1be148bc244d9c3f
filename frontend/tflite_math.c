/* tflite_math.c - elementwise operators, reductions and softmax of a
 * TensorFlow Lite file. */
#include "frontend/tflite.h"

#include <string.h>

/* ---- elementwise ---------------------------------------------------- */

/* Whether all that is computed has rank 4, as constants may get. */
static Form broadcast_form(Tf *t) {
  if (tf_out(t, 0)->rank != 4)
    return FORM_FILE;
  for (int i = 0; i < t->op->nin; i++) {
    const TfTensor *x = tf_in(t, i);
    if (x->rank > 4 || (x->rank != 4 && !tf_const(t, x)))
      return FORM_FILE;
  }
  return tf_form(t);
}

static bool arity(Tf *t, int n) {
  if (t->op->nin < n || t->op->nout < 1)
    return tf_refuse(t, "expected %d operands, found %d", n, t->op->nin);
  for (int i = 0; i < n; i++)
    if (!tf_in(t, i))
      return tf_refuse(t, "operand %d is absent", i);
  return true;
}

/* `op` is a prefix of a call, "relu"; the other arguments follow. */
static const struct { int code; const char *op, *args; } unaries[] = {
  {8, "floor", ""}, {14, "sigmoid", ""}, {19, "relu", ""},
  {20, "clip", ", lo=-1.0, hi=1.0"}, {21, "relu6", ""}, {28, "tanh", ""},
  {47, "exp", ""}, {59, "neg", ""}, {66, "sin", ""}, {73, "log", ""},
  {75, "sqrt", ""}, {92, "square", ""}, {101, "abs", ""},
  {104, "ceil", ""}, {108, "cos", ""}, {111, "elu", ""},
  {116, "round", ""}, {117, "hardswish", ""},
  {152, "clip", ", lo=0.0, hi=1.0"}, {158, "sign", ""}
};

static bool write_unary(Tf *t) {
  enum { N = sizeof unaries / sizeof *unaries };
  Op op;
  int i = 0;
  while (i < N && unaries[i].code != t->op->code)
    i++;
  ensure(i < N);
  if (!op_parse(unaries[i].op, &op))
    return tf_refuse(t, "%s", "");
  if (!arity(t, 1))
    return false;
  Form f = tf_form(t);
  return tf_give(t, 0, f, "%s(%s%s)", unaries[i].op,
                 tf_value(t, tf_in(t, 0), f), unaries[i].args);
}

static const struct { int code; const char *op; } binaries[] = {
  {0, "add"}, {18, "mul"}, {41, "sub"}, {42, "div"}, {55, "maximum"},
  {57, "minimum"}
};

/* Sum, difference, product and quotient have a fused activation. */
static bool write_binary(Tf *t) {
  int i = 0, act = 0;
  while (binaries[i].code != t->op->code)
    i++;
  if (!arity(t, 2))
    return false;
  if (i < 4)
    act = (int)flat_int(t->op->options, 0, 1, 0);
  Form f = broadcast_form(t);
  const char *x = tf_value(t, tf_in(t, 0), f);
  return tf_give_act(t, f, act, "%s(%s, %s)", binaries[i].op, x,
                     tf_value(t, tf_in(t, 1), f));
}

static bool write_squared_difference(Tf *t) {
  if (!arity(t, 2))
    return false;
  Form f = broadcast_form(t);
  const char *x = tf_value(t, tf_in(t, 0), f);
  const char *y = tf_value(t, tf_in(t, 1), f);
  return tf_give(t, 0, f, "square(%s)", tf_temp(t, "sub(%s, %s)", x, y));
}

static bool write_add_n(Tf *t) {
  if (!arity(t, t->op->nin ? t->op->nin : 1))
    return false;
  Form f = broadcast_form(t);
  const char *sum = tf_value(t, tf_in(t, 0), f);
  if (t->op->nin == 1)
    return tf_give(t, 0, f, "add(%s, 0.0)", sum);
  for (int i = 1; i + 1 < t->op->nin; i++)
    sum = tf_temp(t, "add(%s, %s)", sum, tf_value(t, tf_in(t, i), f));
  return tf_give(t, 0, f, "add(%s, %s)", sum,
                 tf_value(t, tf_in(t, t->op->nin - 1), f));
}

static bool write_rsqrt(Tf *t) {
  if (!arity(t, 1))
    return false;
  Form f = tf_form(t);
  return tf_give(t, 0, f, "div(1.0, %s)",
                 tf_temp(t, "sqrt(%s)", tf_value(t, tf_in(t, 0), f)));
}

static bool write_leaky_relu(Tf *t) {
  if (!arity(t, 1))
    return false;
  Form f = tf_form(t);
  Text s = {0};
  text_float(&s, flat_float(t->op->options, 0, 0), true);
  tf_give(t, 0, f, "leaky_relu(%s, alpha=%s)",
          tf_value(t, tf_in(t, 0), f), s.s);
  text_free(&s);
  return true;
}

/* max(x, 0) + alpha min(x, 0); alpha broadcasts. */
static bool write_prelu(Tf *t) {
  if (!arity(t, 2))
    return false;
  Form f = broadcast_form(t);
  const char *x = tf_value(t, tf_in(t, 0), f);
  const char *alpha = tf_value(t, tf_in(t, 1), f);
  const char *neg = tf_temp(t, "minimum(%s, 0.0)", x);
  neg = tf_temp(t, "mul(%s, %s)", neg, alpha);
  return tf_give(t, 0, f, "add(%s, %s)", tf_temp(t, "relu(%s)", x), neg);
}

/* The approximation is x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
 * (Hendrycks and Gimpel, 2016). */
static bool write_gelu(Tf *t) {
  if (!arity(t, 1))
    return false;
  Form f = tf_form(t);
  const char *x = tf_value(t, tf_in(t, 0), f);
  if (!flat_bool(t->op->options, 0))
    return tf_give(t, 0, f, "gelu(%s)", x);
  const char *u = tf_temp(t, "square(%s)", x);
  u = tf_temp(t, "mul(%s, 0.035677408136300125)", u);
  u = tf_temp(t, "add(%s, 0.7978845608028654)", u);
  u = tf_temp(t, "tanh(%s)", tf_temp(t, "mul(%s, %s)", u, x));
  u = tf_temp(t, "add(%s, 1.0)", u);
  return tf_give(t, 0, f, "mul(%s, %s)", u, tf_temp(t, "mul(%s, 0.5)", x));
}

/* ---- reductions ----------------------------------------------------- */

static const struct { int code; const char *op; } reductions[] = {
  {40, "mean"}, {74, "sum"}, {82, "max"}, {89, "min"}
};

/* Axes that go leave the others in the file's order when the channels are
 * among them, or both planes' axes. */
static bool order_stays(const TfTensor *x, const int64_t *axes, int n,
                        bool keep) {
  unsigned gone = 0;
  for (int i = 0; i < n; i++)
    gone |= 1u << tf_axis(x, axes[i], FORM_FILE);
  return keep || (gone & 8) || (gone & 6) == 6;
}

static bool write_reduce(Tf *t) {
  int i = 0;
  int64_t axes[MAX_RANK], moved[MAX_RANK];
  while (reductions[i].code != t->op->code)
    i++;
  if (!arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0);
  int n = tf_ints(t, tf_in(t, 1), axes, MAX_RANK);
  if (n < 0)
    return tf_refuse(t, "axes that are computed");
  for (int k = 0; k < n; k++)
    if (tf_axis(x, axes[k], FORM_FILE) < 0)
      return tf_refuse(t, "axis %lld of rank %d", (long long)axes[k],
                       x->rank);
  bool keep = flat_bool(t->op->options, 0);
  Form f = tf_form(t);
  if (f == FORM_PLANES && !order_stays(x, axes, n, keep))
    f = FORM_FILE;
  for (int k = 0; k < n; k++)
    moved[k] = tf_axis(x, axes[k], f);
  const char *v = tf_value(t, x, f);
  Form to = tf_out(t, 0)->rank == 4 && keep ? f : FORM_FILE;
  if (n == 0)
    return tf_give(t, 0, f, "add(%s, 0.0)", v);
  return tf_give(t, 0, to, "%s(%s, axes=%s, keep=%s)", reductions[i].op, v,
                 tf_list(t, moved, n), keep ? "true" : "false");
}

static bool write_softmax(Tf *t) {
  if (!arity(t, 1))
    return false;
  TfTensor *x = tf_in(t, 0);
  Form f = tf_form(t);
  float beta = flat_float(t->op->options, 0, 1);
  const char *v = tf_value(t, x, f);
  if (x->rank < 1)
    return tf_refuse(t, "a scalar");
  if (beta != 1 && t->op->options.pos) {
    Text s = {0};
    text_float(&s, beta, true);
    v = tf_temp(t, "mul(%s, %s)", v, s.s);
    text_free(&s);
  }
  return tf_give(t, 0, f, "softmax(%s, axis=%d)", v, tf_axis(x, -1, f));
}

static bool write_log_softmax(Tf *t) {
  if (!arity(t, 1))
    return false;
  TfTensor *x = tf_in(t, 0);
  Form f = tf_form(t);
  int axis = tf_axis(x, -1, f);
  const char *v = tf_value(t, x, f);
  if (axis < 0)
    return tf_refuse(t, "a scalar");
  const char *top = tf_temp(t, "max(%s, axes=[%d], keep=true)", v, axis);
  v = tf_temp(t, "sub(%s, %s)", v, top);
  const char *sum = tf_temp(t, "exp(%s)", v);
  sum = tf_temp(t, "sum(%s, axes=[%d], keep=true)", sum, axis);
  return tf_give(t, 0, f, "sub(%s, %s)", v, tf_temp(t, "log(%s)", sum));
}

/* x over its length along the last axis, at least 1e-6. */
static bool write_l2_norm(Tf *t) {
  if (!arity(t, 1))
    return false;
  TfTensor *x = tf_in(t, 0);
  Form f = tf_form(t);
  int axis = tf_axis(x, -1, f);
  const char *v = tf_value(t, x, f);
  if (axis < 0)
    return tf_refuse(t, "a scalar");
  const char *len = tf_temp(t, "square(%s)", v);
  len = tf_temp(t, "sum(%s, axes=[%d], keep=true)", len, axis);
  len = tf_temp(t, "sqrt(%s)", len);
  len = tf_temp(t, "maximum(%s, 0.000001)", len);
  return tf_give_act(t, f, (int)flat_int(t->op->options, 0, 1, 0),
                     "div(%s, %s)", v, len);
}

TfWriter *tf_math_writer(int code) {
  for (size_t i = 0; i < sizeof unaries / sizeof *unaries; i++)
    if (unaries[i].code == code)
      return write_unary;
  for (size_t i = 0; i < sizeof binaries / sizeof *binaries; i++)
    if (binaries[i].code == code)
      return write_binary;
  for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
    if (reductions[i].code == code)
      return write_reduce;
  switch (code) {
  case 11: return write_l2_norm;
  case 25: return write_softmax;
  case 50: return write_log_softmax;
  case 54: return write_prelu;
  case 76: return write_rsqrt;
  case 98: return write_leaky_relu;
  case 99: return write_squared_difference;
  case 106: return write_add_n;
  case 150: return write_gelu;
  default: return NULL;
  }
}
