/* tflite_math.c - elementwise operators of a TensorFlow Lite file. */
#include "frontend/tflite.h"

#include <math.h>
#include <string.h>

/* ---- elementwise ---------------------------------------------------- */

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

bool tf_write_unary(Tf *t) {
  enum { N = sizeof unaries / sizeof *unaries };
  int i = 0;
  while (i < N && unaries[i].code != t->op->code)
    i++;
  ensure(i < N);
  if (!tf_arity(t, 1))
    return false;
  Form f = tf_form(t);
  return tf_give(t, 0, f, "%s(%s%s)", unaries[i].op,
                 tf_value(t, tf_in(t, 0), f), unaries[i].args);
}

static const struct { int code; const char *op; } binaries[] = {
  {0, "add"}, {18, "mul"}, {41, "sub"}, {55, "maximum"}, {57, "minimum"},
  {78, "pow"}, {90, "floor_div"}, {95, "floor_mod"}, {156, "atan2"}
};

/* A literal takes the type of the other operand, so that not both may be
 * one: a constant of rank 0 stays a scalar all the same. */
static const char *pair(Tf *t, Form f) {
  const char *x = tf_operand(t, tf_in(t, 0), f);
  return arena_printf(t->a, "%s, %s", x, tf_operand(t, tf_in(t, 1), f));
}

/* Sum, difference and product have a fused activation. */
bool tf_write_binary(Tf *t) {
  int i = 0, act = 0;
  while (binaries[i].code != t->op->code)
    i++;
  if (!tf_arity(t, 2))
    return false;
  if (i < 3)
    act = (int)flat_int(t->op->options, 0, 1, 0);
  Form f = tf_broadcast_form(t);
  return tf_give_act(t, f, act, "%s(%s)", binaries[i].op, pair(t, f));
}

/* Integers are divided towards zero: one more than the floor where the
 * quotient is negative and not whole. */
bool tf_write_div(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  Form f = tf_broadcast_form(t);
  Elem e = (Elem)tf_elem(tf_out(t, 0));
  int act = (int)flat_int(t->op->options, 0, 1, 0);
  if (e == F32)
    return tf_give_act(t, f, act, "div(%s)", pair(t, f));
  const char *zero = tf_scalar(t, e, 0);
  const char *x = tf_value(t, tf_in(t, 0), f);
  const char *y = tf_value(t, tf_in(t, 1), f);
  const char *below = tf_temp(t, "not_equal(less(%s, %s), less(%s, %s))", x,
                              zero, y, zero);
  const char *rest = tf_temp(t, "not_equal(floor_mod(%s, %s), %s)", x, y,
                             zero);
  const char *one = tf_temp(t, "cast(minimum(%s, %s), to=%s)", below, rest,
                            elem_name(e));
  return tf_give_act(t, f, act, "add(floor_div(%s, %s), %s)", x, y, one);
}

static const struct { int code; const char *op; } comparisons[] = {
  {58, "less"}, {61, "greater"}, {62, "greater_equal"}, {63, "less_equal"},
  {71, "equal"}, {72, "not_equal"}
};

bool tf_write_compare(Tf *t) {
  int i = 0;
  while (comparisons[i].code != t->op->code)
    i++;
  if (!tf_arity(t, 2))
    return false;
  Form f = tf_broadcast_form(t);
  return tf_give(t, 0, f, "%s(%s)", comparisons[i].op, pair(t, f));
}

bool tf_write_logical(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  Form f = tf_broadcast_form(t);
  return tf_give(t, 0, f, "%s(%s)",
                 t->op->code == 84 ? "maximum" : "minimum", pair(t, f));
}

bool tf_write_not(Tf *t) {
  if (!tf_arity(t, 1))
    return false;
  Form f = tf_form(t);
  return tf_give(t, 0, f, "equal(%s, b1(false))",
                 tf_value(t, tf_in(t, 0), f));
}

/* A condition of rank 1 that does not broadcast stands for rows. */
bool tf_write_select(Tf *t) {
  enum { SELECT = 64 };
  if (!tf_arity(t, 3))
    return false;
  TfTensor *c = tf_in(t, 0), *x = tf_in(t, 1);
  Form f = tf_broadcast_form(t);
  bool rows = t->op->code == SELECT && c->rank == 1 && x->rank > 1;
  if (rows)
    f = FORM_FILE;
  const char *cs = tf_operand(t, c, f);
  if (rows) {
    int64_t dim[MAX_RANK] = {c->dim[0], 1, 1, 1, 1, 1, 1, 1};
    cs = tf_temp(t, "reshape(%s, shape=%s)", cs, tf_list(t, dim, x->rank));
  }
  const char *a = tf_operand(t, x, f);
  return tf_give(t, 0, f, "where(%s, %s, %s)", cs, a,
                 tf_operand(t, tf_in(t, 2), f));
}

/* The language converts as the runtime does where that is defined. */
bool tf_write_cast(Tf *t) {
  if (!tf_arity(t, 1))
    return false;
  Form f = tf_form(t);
  return tf_give(t, 0, f, "cast(%s, to=%s)", tf_value(t, tf_in(t, 0), f),
                 elem_name((Elem)tf_elem(tf_out(t, 0))));
}
bool tf_write_squared_difference(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  Form f = tf_broadcast_form(t);
  return tf_give(t, 0, f, "square(%s)", tf_temp(t, "sub(%s)", pair(t, f)));
}

bool tf_write_add_n(Tf *t) {
  if (!tf_arity(t, t->op->nin ? t->op->nin : 1))
    return false;
  Form f = tf_broadcast_form(t);
  const char *sum = tf_value(t, tf_in(t, 0), f);
  if (t->op->nin == 1) {
    return tf_bind(t, 0, f, sum);
  }
  for (int i = 1; i + 1 < t->op->nin; i++)
    sum = tf_temp(t, "add(%s, %s)", sum, tf_operand(t, tf_in(t, i), f));
  return tf_give(t, 0, f, "add(%s, %s)", sum,
                 tf_operand(t, tf_in(t, t->op->nin - 1), f));
}

bool tf_write_rsqrt(Tf *t) {
  if (!tf_arity(t, 1))
    return false;
  Form f = tf_form(t);
  return tf_give(t, 0, f, "div(1.0, %s)",
                 tf_temp(t, "sqrt(%s)", tf_value(t, tf_in(t, 0), f)));
}

bool tf_write_leaky_relu(Tf *t) {
  if (!tf_arity(t, 1))
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
bool tf_write_prelu(Tf *t) {
  if (!tf_arity(t, 2))
    return false;
  Form f = tf_broadcast_form(t);
  const char *x = tf_value(t, tf_in(t, 0), f);
  const char *alpha = tf_operand(t, tf_in(t, 1), f);
  const char *neg = tf_temp(t, "minimum(%s, 0.0)", x);
  neg = tf_temp(t, "mul(%s, %s)", neg, alpha);
  return tf_give(t, 0, f, "add(%s, %s)", tf_temp(t, "relu(%s)", x), neg);
}

/* The approximation is x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
 * (Hendrycks and Gimpel, 2016). */
bool tf_write_gelu(Tf *t) {
  if (!tf_arity(t, 1))
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


/* ---- as if quantised ------------------------------------------------ */

/* Rounded to one of 2^bits values, spread over [min,max] such that 0 is one
 * of them. */
bool tf_write_fake_quant(Tf *t) {
  FlatTable o = t->op->options;
  if (!tf_arity(t, 1))
    return false;
  float min = flat_float(o, 0, 0), max = flat_float(o, 1, 0);
  int64_t bits = flat_int(o, 2, 4, 0);
  if (flat_bool(o, 3))
    return tf_refuse(t, "a narrow range");
  if (bits < 2 || bits > 16 || !(min <= 0) || !(max >= 0) || !(min < max))
    return tf_refuse(t, "%lld bits of [%g,%g]", (long long)bits, min, max);
  float top = (float)((1 << bits) - 1), scale = (max - min) / top;
  float zero = -min / scale;
  zero = zero > top ? top : roundf(zero);
  float from = -zero * scale, to = (top - zero) * scale;
  Form f = tf_form(t);
  const char *first = tf_scalar(t, F32, from);
  const char *step = tf_scalar(t, F32, scale);
  const char *v = tf_temp(t, "maximum(%s, %s)", tf_value(t, tf_in(t, 0), f),
                          first);
  v = tf_temp(t, "minimum(%s, %s)", v, tf_scalar(t, F32, to));
  v = tf_temp(t, "sub(%s, %s)", v, first);
  v = tf_temp(t, "mul(%s, %s)", v, tf_scalar(t, F32, 1 / scale));
  v = tf_temp(t, "floor(add(%s, 0.5))", v);
  return tf_give(t, 0, f, "add(mul(%s, %s), %s)", v, step, first);
}
