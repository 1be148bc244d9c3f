/* onnx_act.c - activations of an ONNX file. */
#include "frontend/onnx.h"

#include <math.h>
#include <string.h>

Node *ox_clipped(Ox *o, Node *x, double lo, double hi) {
  if (lo == 0 && hi == INFINITY)
    return ox_op1(o, OP_RELU, x);
  if (lo == -INFINITY && hi == INFINITY)
    return x;
  if (lo == -INFINITY)
    return ox_with(o, OP_MINIMUM, x, hi);
  if (hi == INFINITY)
    return ox_with(o, OP_MAXIMUM, x, lo);
  Node *y = x ? ox_begin(o, OP_CLIP, &x, 1) : NULL;
  if (y) {
    attr_set_float(y, "lo", lo);
    attr_set_float(y, "hi", hi);
  }
  return ox_end(o, y);
}

/* ---- rectifiers ----------------------------------------------------- */

/* Of integers too. */
bool ox_write_relu(Ox *o) {
  int type = ox_in_type(o, 0);
  Node *x = ox_in(o, 0);
  if (x && x->type.elem == F32)
    return ox_give(o, 0, ox_op1(o, OP_RELU, x));
  if (x && !ox_unsigned(type))
    x = ox_with(o, OP_MAXIMUM, x, 0);
  return ox_give_as(o, 0, x, type);
}

bool ox_write_leaky_relu(Ox *o) {
  double alpha = ox_float(o, "alpha", (double)0.01f);
  return ox_give(o, 0, ox_op_float(o, OP_LEAKY_RELU, ox_in(o, 0), "alpha",
                                 alpha));
}

/* x, or slope x below 0; slope broadcasts. */
bool ox_write_prelu(Ox *o) {
  int type = ox_in_type(o, 0);
  Node *x = ox_in(o, 0), *slope = ox_in(o, 1);
  if (!x || !slope)
    return false;
  const Tensor *t = ox_elems(slope) == 1 && slope->type.elem == F32 &&
                    slope->type.rank <= x->type.rank ? ox_values(o, slope)
                                                     : NULL;
  if (t)
    return ox_give(o, 0, ox_op_float(o, OP_LEAKY_RELU, x, "alpha", t->v[0]));
  if (ox_unsigned(type))
    return ox_give_as(o, 0, x, type);
  if (o->opset < 7 && slope->type.rank == 1 && x->type.rank > 1) {
    int64_t dim[MAX_RANK];         /* one a channel */
    for (int i = 1; i < x->type.rank; i++)
      dim[i - 1] = i == 1 ? slope->type.dim[0] : 1;
    slope = ox_reshape(o, slope, x->type.rank - 1, dim);
  }
  Node *y = ox_op2(o, OP_MUL, x, slope);
  y = ox_op3(o, OP_WHERE, ox_with(o, OP_LESS, x, 0), y, x);
  return ox_give_as(o, 0, y, type);
}

bool ox_write_thresholded_relu(Ox *o) {
  double alpha = ox_float(o, "alpha", 1);
  Node *x = ox_in(o, 0), *zero = ox_scalar(o, F32, 0);
  return ox_give(o, 0, ox_op3(o, OP_WHERE, ox_with(o, OP_GREATER, x, alpha),
                              x, zero));
}

/* x + bias below -lambd, x - bias above lambd, else 0. */
bool ox_write_shrink(Ox *o) {
  double bias = ox_float(o, "bias", 0), lambd = ox_float(o, "lambd", 0.5);
  int type = ox_in_type(o, 0);
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  if (ox_unsigned(type) || (x->type.elem != F32 && (lambd < 0 || bias != 0)))
    return ox_refuse(o, "an operand of type %s", ox_type_name(type));
  Node *zero = ox_scalar(o, x->type.elem, 0);
  if (x->type.elem != F32)
    lambd = floor(lambd);
  Node *below = ox_with(o, OP_LESS, x, -lambd);
  Node *above = ox_with(o, OP_GREATER, x, lambd);
  Node *more = bias ? ox_with(o, OP_ADD, x, bias) : x;
  Node *less = bias ? ox_with(o, OP_SUB, x, bias) : x;
  Node *y = ox_op3(o, OP_WHERE, above, less, zero);
  return ox_give_as(o, 0, ox_op3(o, OP_WHERE, below, more, y), type);
}

/* ---- exponential ---------------------------------------------------- */

bool ox_write_elu(Ox *o) {
  return ox_give(o, 0, ox_op_float(o, OP_ELU, ox_in(o, 0), "alpha",
                                 ox_float(o, "alpha", 1)));
}

bool ox_write_selu(Ox *o) {
  double alpha = ox_float(o, "alpha", 1.67326319217681884765625);
  double gamma = ox_float(o, "gamma", 1.05070102214813232421875);
  Node *y = ox_op_float(o, OP_ELU, ox_in(o, 0), "alpha", alpha);
  return ox_give(o, 0, ox_with(o, OP_MUL, y, gamma));
}

/* max(0, x) + min(0, alpha (exp(x / alpha) - 1)) */
bool ox_write_celu(Ox *o) {
  double alpha = ox_float(o, "alpha", 1);
  Node *x = ox_in(o, 0);
  if (!(alpha > 0))
    return ox_refuse(o, "alpha=%g", alpha);
  if (alpha != 1)
    x = ox_with(o, OP_DIV, x, alpha);
  Node *y = ox_op_float(o, OP_ELU, x, "alpha", 1);
  if (alpha != 1)
    y = ox_with(o, OP_MUL, y, alpha);
  return ox_give(o, 0, y);
}

/* log(1 + e), e = exp(x): the logarithm of the rounded sum w, and what
 * rounding took off it, by w, without which nothing is left where x is far
 * below 0; from 80 on it is x. */
Node *ox_softplus(Ox *o, Node *x) {
  Node *e = ox_op1(o, OP_EXP, ox_with(o, OP_MINIMUM, x, 80));
  Node *w = ox_with(o, OP_ADD, e, 1);
  Node *lost = ox_op2(o, OP_SUB, e, ox_with(o, OP_SUB, w, 1));
  lost = ox_op2(o, OP_DIV, lost, w);
  Node *y = ox_op2(o, OP_ADD, ox_op1(o, OP_LOG, w), lost);
  return ox_op2(o, OP_MAXIMUM, y, x);
}

bool ox_write_softplus(Ox *o) {
  return ox_give(o, 0, ox_softplus(o, ox_in(o, 0)));
}

bool ox_write_softsign(Ox *o) {
  Node *x = ox_in(o, 0);
  Node *y = ox_with(o, OP_ADD, ox_op1(o, OP_ABS, x), 1);
  return ox_give(o, 0, ox_op2(o, OP_DIV, x, y));
}

/* x tanh(log(1 + e)) with e = exp(x) is x n / (n + 2) with n = e (e + 2); of
 * 20 and more the quotient is 1. */
static Node *mish(Ox *o, Node *x) {
  Node *e = ox_op1(o, OP_EXP, ox_with(o, OP_MINIMUM, x, 20));
  Node *n = ox_op2(o, OP_MUL, e, ox_with(o, OP_ADD, e, 2));
  Node *part = ox_op2(o, OP_DIV, n, ox_with(o, OP_ADD, n, 2));
  return ox_op2(o, OP_MUL, x, part);
}

bool ox_write_mish(Ox *o) {
  return ox_give(o, 0, mish(o, ox_in(o, 0)));
}

/* Whether y is what softplus makes of x; a graph that computes the same
 * otherwise is not known. */
static bool is_softplus(const Node *y, const Node *x) {
  const Node *sum = y->op == OP_MAXIMUM && y->in[1] == x ? y->in[0] : NULL;
  if (!sum || sum->op != OP_ADD || sum->in[0]->op != OP_LOG ||
      sum->in[1]->op != OP_DIV)
    return false;
  const Node *w = sum->in[0]->in[0], *lost = sum->in[1]->in[0];
  if (sum->in[1]->in[1] != w || w->op != OP_ADD || w->in[0]->op != OP_EXP ||
      lost->op != OP_SUB || lost->in[0] != w->in[0] ||
      lost->in[1]->op != OP_SUB || lost->in[1]->in[0] != w)
    return false;
  const Node *least = w->in[0]->in[0], *one = w->in[1];
  return least->op == OP_MINIMUM && least->in[0] == x &&
         one->op == OP_CONST && one->value == 1;
}

Node *ox_mish(Ox *o, Node *a, Node *b) {
  for (int i = 0; a && b && i < 2; i++) {
    Node *x = i ? b : a, *gate = i ? a : b;
    if (gate->op == OP_TANH && is_softplus(gate->in[0], x))
      return mish(o, x);
  }
  return NULL;
}

/* ---- gates ---------------------------------------------------------- */

bool ox_write_hard_sigmoid(Ox *o) {
  double alpha = ox_float(o, "alpha", (double)0.2f);
  double beta = ox_float(o, "beta", 0.5);
  Node *x = ox_in(o, 0);
  if ((float)alpha == (float)(1.0 / 6) && beta == 0.5)
    return ox_give(o, 0, ox_op1(o, OP_HARDSIGMOID, x));
  x = ox_with(o, OP_ADD, ox_with(o, OP_MUL, x, alpha), beta);
  return ox_give(o, 0, ox_clipped(o, x, 0, 1));
}

/* x sigmoid(alpha x) */
static Node *swish(Ox *o, Node *x, double alpha) {
  if (alpha == 1)
    return ox_op1(o, OP_SILU, x);
  Node *gate = ox_op1(o, OP_SIGMOID, ox_with(o, OP_MUL, x, alpha));
  return ox_op2(o, OP_MUL, x, gate);
}

bool ox_write_swish(Ox *o) {
  double alpha = ox_float(o, "alpha", 1);
  return ox_give(o, 0, swish(o, ox_in(o, 0), alpha));
}

bool ox_write_swiglu(Ox *o) {
  double alpha = ox_float(o, "alpha", 1);
  Node *gate = swish(o, ox_in(o, 0), alpha);
  return ox_give(o, 0, ox_op2(o, OP_MUL, gate, ox_in(o, 1)));
}

/* The approximation is x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3)
 * (Hendrycks and Gimpel, 2016), which is x sigmoid(2u). */
bool ox_write_gelu(Ox *o) {
  const char *kind = ox_str(o, "approximate", "none");
  Node *x = ox_in(o, 0);
  if (!strcmp(kind, "none"))
    return ox_give(o, 0, ox_op1(o, OP_GELU, x));
  if (strcmp(kind, "tanh"))
    return ox_malformed(o, "approximate \"%s\", expected none or tanh", kind);
  Node *u = ox_with(o, OP_MUL, ox_op1(o, OP_SQUARE, x),
                    2 * 0.035677408136300125);
  u = ox_op2(o, OP_MUL, ox_with(o, OP_ADD, u, 2 * 0.7978845608028654), x);
  return ox_give(o, 0, ox_op2(o, OP_MUL, x, ox_op1(o, OP_SIGMOID, u)));
}
