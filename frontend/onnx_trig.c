/* onnx_trig.c - trigonometric and hyperbolic functions of an ONNX file that
 * the IR has no op for, by formulas that lose no digits near 0 or where they
 * grow. */
#include "frontend/onnx.h"

#include <string.h>

/* ---- angles --------------------------------------------------------- */

bool ox_write_tan(Ox *o) {
  Node *x = ox_in(o, 0);
  return ox_give(o, 0, ox_op2(o, OP_DIV, ox_op1(o, OP_SIN, x),
                              ox_op1(o, OP_COS, x)));
}

/* sqrt((1 - x) (1 + x)): the other side of a triangle. */
static Node *cathetus(Ox *o, Node *x) {
  Node *one = ox_scalar(o, F32, 1);
  Node *y = ox_op2(o, OP_MUL, ox_op2(o, OP_SUB, one, x),
                   ox_op2(o, OP_ADD, x, one));
  return ox_op1(o, OP_SQRT, y);
}

bool ox_write_arc(Ox *o) {
  const char *name = o->node->op_type;
  Node *x = ox_in(o, 0), *one = ox_scalar(o, F32, 1), *y;
  if (!strcmp(name, "Atan"))
    y = ox_op2(o, OP_ATAN2, x, one);
  else if (!strcmp(name, "Asin"))
    y = ox_op2(o, OP_ATAN2, x, cathetus(o, x));
  else
    y = ox_op2(o, OP_ATAN2, cathetus(o, x), x);
  return ox_give(o, 0, y);
}

/* ---- hyperbolic ----------------------------------------------------- */

/* exp(|x|) overflows before sinh does, so that its root is multiplied
 * twice; u = exp(-|x|) - 1, which elu has, gives
 * sinh |x| = exp(|x|) (1 - (1 + u)^2) / 2 = exp(|x|) (-u (u + 2) / 2). */
bool ox_write_sinh(Ox *o) {
  Node *x = ox_in(o, 0), *a = ox_op1(o, OP_ABS, x);
  Node *u = ox_op1(o, OP_ELU, ox_op1(o, OP_NEG, a));
  Node *root = ox_op1(o, OP_EXP, ox_with(o, OP_MUL, a, 0.5));
  Node *y = ox_op2(o, OP_MUL, u, ox_with(o, OP_ADD, u, 2));
  y = ox_op2(o, OP_MUL, ox_with(o, OP_MUL, y, -0.5), root);
  y = ox_op2(o, OP_MUL, y, root);
  return ox_give(o, 0, ox_op2(o, OP_MUL, y, ox_op1(o, OP_SIGN, x)));
}

/* (r/2) r + (1/2)/r/r with r = exp(|x|/2). */
bool ox_write_cosh(Ox *o) {
  Node *x = ox_op1(o, OP_ABS, ox_in(o, 0));
  Node *r = ox_op1(o, OP_EXP, ox_with(o, OP_MUL, x, 0.5));
  Node *up = ox_op2(o, OP_MUL, ox_with(o, OP_MUL, r, 0.5), r);
  Node *down = ox_op2(o, OP_DIV, ox_scalar(o, F32, 0.5), r);
  down = ox_op2(o, OP_DIV, down, r);
  return ox_give(o, 0, ox_op2(o, OP_ADD, up, down));
}

/* log(1 + u), u >= 0: the logarithm of the rounded sum w, and what rounding
 * took off it, by w.  Of an infinity the second is 0. */
static Node *log1p_of(Ox *o, Node *u) {
  Node *v = ox_with(o, OP_MINIMUM, u, 0x1p126);
  Node *w = ox_with(o, OP_ADD, v, 1);
  Node *lost = ox_op2(o, OP_SUB, v, ox_with(o, OP_SUB, w, 1));
  Node *log = ox_op1(o, OP_LOG, ox_with(o, OP_ADD, u, 1));
  return ox_op2(o, OP_ADD, log, ox_op2(o, OP_DIV, lost, w));
}

/* With a = |x|: asinh a = log1p(a + a (a / (1 + sqrt(1 + a^2)))), where the
 * inner quotient is 1 for what has no square; acosh x = log1p(t + sqrt(t)
 * sqrt(x + 1)) with t = x - 1; atanh a = log1p(2a / (1 - a)) / 2. */
static Node *asinh_of(Ox *o, Node *a) {
  Node *b = ox_with(o, OP_MINIMUM, a, 0x1p60);
  Node *s = ox_with(o, OP_ADD, ox_op1(o, OP_SQUARE, b), 1);
  s = ox_with(o, OP_ADD, ox_op1(o, OP_SQRT, s), 1);
  Node *part = ox_op2(o, OP_MUL, a, ox_op2(o, OP_DIV, b, s));
  return log1p_of(o, ox_op2(o, OP_ADD, a, part));
}

static Node *acosh_of(Ox *o, Node *x) {
  Node *t = ox_with(o, OP_SUB, x, 1);
  Node *r = ox_op1(o, OP_SQRT, ox_with(o, OP_ADD, x, 1));
  r = ox_op2(o, OP_MUL, ox_op1(o, OP_SQRT, t), r);
  return log1p_of(o, ox_op2(o, OP_ADD, t, r));
}

static Node *atanh_of(Ox *o, Node *a) {
  Node *rest = ox_op2(o, OP_SUB, ox_scalar(o, F32, 1), a);
  Node *u = ox_op2(o, OP_DIV, ox_with(o, OP_MUL, a, 2), rest);
  return ox_with(o, OP_MUL, log1p_of(o, u), 0.5);
}

bool ox_write_area(Ox *o) {
  const char *name = o->node->op_type;
  Node *x = ox_in(o, 0);
  if (!strcmp(name, "Acosh"))
    return ox_give(o, 0, acosh_of(o, x));
  Node *a = ox_op1(o, OP_ABS, x);
  Node *y = !strcmp(name, "Asinh") ? asinh_of(o, a) : atanh_of(o, a);
  return ox_give(o, 0, ox_op2(o, OP_MUL, y, ox_op1(o, OP_SIGN, x)));
}
