/* onnx_math.c - elementwise arithmetic, comparisons and logic of an ONNX
 * file.  The IR computes with f32, i32 and i64: u8 is widened on the way in
 * and narrowed on the way out, and an uint64, which lies in an i64, is moved
 * by 2^63 where order matters. */
#include "frontend/onnx.h"

#include <math.h>
#include <string.h>

/* ---- operands and results ------------------------------------------- */

/* Operand i.  Before opset 7 the second one's first axis may be said to be
 * `axis` of the first operand. */
static Node *operand(Ox *o, int i) {
  Node *a = ox_in(o, 0), *x = ox_in(o, i);
  int64_t dim[MAX_RANK];
  int axis;
  if (!a || !x || i != 1 || o->opset >= 7 || !ox_has(o, "axis"))
    return x;
  if (!ox_axis(o, ox_int(o, "axis", 0), a->type.rank, &axis))
    return NULL;
  int rank = a->type.rank - axis;
  if (x->type.rank > rank) {
    ox_malformed(o, "operands of rank %d and, from axis %d on, %d",
                 a->type.rank, axis, x->type.rank);
    return NULL;
  }
  for (int k = 0; k < rank; k++)
    dim[k] = k < x->type.rank ? x->type.dim[k] : 1;
  return ox_reshape(o, x, rank, dim);
}

Node *ox_number(Ox *o, int i) {
  Node *x = operand(o, i);
  return x && x->type.elem == U8 ? ox_cast(o, x, I32) : x;
}

bool ox_give_number(Ox *o, Node *n) {
  int type = ox_in_type(o, 0);
  if (type == OX_UINT8)
    n = ox_cast(o, n, U8);
  return ox_give_as(o, 0, n, type);
}

/* The same where the result may be out of the type's range. */
static bool give_wrapped(Ox *o, Node *n) {
  return ox_give_number(o, ox_wrap(o, n, ox_in_type(o, 0)));
}

Node *ox_ordered(Ox *o, Node *x, int type) {
  if (!x || type != OX_UINT64)
    return x;
  return ox_op2(o, OP_ADD, x, ox_scalar_int(o, I64, INT64_MIN));
}

/* Operand i, for order. */
static Node *ordered(Ox *o, int i) {
  return ox_ordered(o, operand(o, i), ox_in_type(o, i));
}

/* Whether operand 1 is of operand 0's type, as most operators demand. */
static bool same_types(Ox *o) {
  int a = ox_in_type(o, 0), b = ox_in_type(o, 1);
  return a == b || !a || !b ||
         ox_malformed(o, "operands of types %s and %s", ox_type_name(a),
                      ox_type_name(b));
}

typedef struct Named { const char *name; Op op; } Named;

static Op op_named(const Ox *o, const Named *list) {
  while (strcmp(list->name, o->node->op_type))
    list++;
  return list->op;
}

/* ---- one operand ---------------------------------------------------- */

static const Named unaries[] = {
  {"Sqrt", OP_SQRT}, {"Exp", OP_EXP}, {"Log", OP_LOG}, {"Sin", OP_SIN},
  {"Cos", OP_COS}, {"Tanh", OP_TANH}, {"Erf", OP_ERF}, {"Floor", OP_FLOOR},
  {"Ceil", OP_CEIL}, {"Round", OP_ROUND}, {"Sigmoid", OP_SIGMOID},
  {"HardSwish", OP_HARDSWISH}
};

bool ox_write_unary(Ox *o) {
  Node *x = ox_in(o, 0);
  if (x && x->type.elem != F32)
    return ox_refuse(o, "an operand of type %s",
                     ox_type_name(ox_in_type(o, 0)));
  return ox_give(o, 0, ox_op1(o, op_named(o, unaries), x));
}

bool ox_write_reciprocal(Ox *o) {
  Node *one = ox_scalar(o, F32, 1);
  return ox_give(o, 0, ox_op2(o, OP_DIV, one, ox_in(o, 0)));
}

static const Named signs[] = {
  {"Neg", OP_NEG}, {"Abs", OP_ABS}, {"Sign", OP_SIGN}
};

/* Of unsigned types, each is without its sign, which is 0 or 1. */
bool ox_write_sign(Ox *o) {
  Op op = op_named(o, signs);
  int type = ox_in_type(o, 0);
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  if (!ox_unsigned(type) || op == OP_NEG)
    return give_wrapped(o, ox_op1(o, op, ox_number(o, 0)));
  if (op == OP_SIGN)
    x = ox_cast(o, ox_cast(o, x, B1), x->type.elem);
  return ox_give_as(o, 0, x, type);
}

bool ox_write_isnan(Ox *o) {
  Node *x = ox_in(o, 0);
  return ox_give(o, 0, ox_op2(o, OP_NOT_EQUAL, x, x));
}

bool ox_write_isinf(Ox *o) {
  bool below = ox_int(o, "detect_negative", 1);
  bool above = ox_int(o, "detect_positive", 1);
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  if (!below && !above)
    return ox_give(o, 0, ox_filled(o, B1, x->type.rank, x->type.dim, 0));
  if (below && above)
    x = ox_op1(o, OP_ABS, x);
  double v = above ? INFINITY : -INFINITY;
  return ox_give(o, 0, ox_with(o, OP_EQUAL, x, v));
}

/* ---- two operands --------------------------------------------------- */

static const Named binaries[] = {
  {"Add", OP_ADD}, {"Sub", OP_SUB}, {"Mul", OP_MUL}
};

bool ox_write_binary(Ox *o) {
  if (!same_types(o))
    return false;
  Op op = op_named(o, binaries);
  Node *a = ox_number(o, 0), *b = ox_number(o, 1);
  Node *y = op == OP_MUL ? ox_mish(o, a, b) : NULL;
  return give_wrapped(o, y ? y : ox_op2(o, op, a, b));
}

bool ox_write_div(Ox *o) {
  if (!same_types(o))
    return false;
  int type = ox_in_type(o, 0);
  Node *a = ox_number(o, 0), *b = ox_number(o, 1);
  if (a && a->type.elem == F32)
    return ox_give(o, 0, ox_op2(o, OP_DIV, a, b));
  return give_wrapped(o, ox_quotient(o, a, b, type));
}

/* Floats: the rest of what they are without signs, with the sign of a. */
static Node *rest_float(Ox *o, Node *a, Node *b) {
  Node *rest = ox_op2(o, OP_FLOOR_MOD, ox_op1(o, OP_ABS, a),
                      ox_op1(o, OP_ABS, b));
  return ox_op2(o, OP_MUL, ox_op1(o, OP_SIGN, a), rest);
}

/* A rest of zero has the sign of b, too. */
static Node *rest_floor(Ox *o, Node *a, Node *b) {
  Node *rest = ox_op2(o, OP_FLOOR_MOD, a, b);
  Node *zero = ox_op3(o, OP_WHERE, ox_with(o, OP_LESS, b, 0),
                      ox_scalar(o, F32, -0.0), ox_scalar(o, F32, 0));
  return ox_op3(o, OP_WHERE, ox_with(o, OP_EQUAL, rest, 0), zero, rest);
}

/* fmod: whether the rest has the sign of a, as C has it, or that of b. */
bool ox_write_mod(Ox *o) {
  bool fmod = ox_int(o, "fmod", 0);
  int type = ox_in_type(o, 0);
  if (!same_types(o))
    return false;
  Node *a = ox_number(o, 0), *b = ox_number(o, 1);
  if (!a || !b)
    return false;
  if (a->type.elem == F32)
    return ox_give(o, 0, fmod ? rest_float(o, a, b)
                              : rest_floor(o, a, b));
  if (!fmod && type != OX_UINT64)
    return ox_give_number(o, ox_op2(o, OP_FLOOR_MOD, a, b));
  Node *whole = ox_op2(o, OP_MUL, ox_quotient(o, a, b, type), b);
  return ox_give_number(o, ox_op2(o, OP_SUB, a, whole));
}

static const Named comparisons[] = {
  {"Equal", OP_EQUAL}, {"Less", OP_LESS}, {"LessOrEqual", OP_LESS_EQUAL},
  {"Greater", OP_GREATER}, {"GreaterOrEqual", OP_GREATER_EQUAL}
};

bool ox_write_compare(Ox *o) {
  Op op = op_named(o, comparisons);
  if (!same_types(o))
    return false;
  Node *a = op == OP_EQUAL ? operand(o, 0) : ordered(o, 0);
  Node *b = op == OP_EQUAL ? operand(o, 1) : ordered(o, 1);
  return ox_give_as(o, 0, ox_op2(o, op, a, b), OX_BOOL);
}

/* ---- logic ---------------------------------------------------------- */

static const Named logicals[] = {
  {"And", OP_MINIMUM}, {"Or", OP_MAXIMUM}, {"Xor", OP_NOT_EQUAL}
};

/* An operand that has to be of type bool. */
static Node *truth(Ox *o, int i) {
  Node *x = operand(o, i);
  if (!x || x->type.elem == B1)
    return x;
  ox_malformed(o, "operand %d is of type %s, expected bool", i,
               ox_type_name(ox_in_type(o, i)));
  return NULL;
}

bool ox_write_logical(Ox *o) {
  Node *a = truth(o, 0), *b = truth(o, 1);
  return ox_give(o, 0, ox_op2(o, op_named(o, logicals), a, b));
}

bool ox_write_not(Ox *o) {
  return ox_give(o, 0, ox_with(o, OP_EQUAL, truth(o, 0), 0));
}

bool ox_write_where(Ox *o) {
  Node *c = truth(o, 0), *a = ox_in(o, 1), *b = ox_in(o, 2);
  return ox_give_as(o, 0, ox_op3(o, OP_WHERE, c, a, b), ox_in_type(o, 1));
}

/* ---- any number of operands ----------------------------------------- */

static const Named folds[] = {
  {"Max", OP_MAXIMUM}, {"Min", OP_MINIMUM}, {"Sum", OP_ADD}, {"Mean", OP_ADD}
};

bool ox_write_variadic(Ox *o) {
  Op op = op_named(o, folds);
  int n = ox_nin(o), type = ox_in_type(o, 0);
  Node *y = ordered(o, 0);
  for (int i = 1; i < n; i++)
    y = ox_op2(o, op, y, ordered(o, i));
  y = ox_ordered(o, y, type);
  if (!strcmp(o->node->op_type, "Mean") && n > 1)
    y = ox_with(o, OP_MUL, y, 1.0 / n);
  return ox_give_as(o, 0, y, type);
}

/* ---- clip ----------------------------------------------------------- */

/* What bounds x on that side; *v: the bound, where it is known, which leaves
 * *by NULL. */
static void bound(Ox *o, int i, const char *attr, Node **by, double *v) {
  *by = NULL;
  if (o->opset < 11) {
    *v = ox_float(o, attr, *v);
  } else if (ox_has_in(o, i)) {
    Node *n = ox_in(o, i);
    const Tensor *t = n && ox_known(n) ? ox_values(o, n) : NULL;
    if (t && n->type.elem == F32 && ox_elems(n) == 1 && !isnan(t->v[0]))
      *v = t->v[0];
    else
      *by = n;
  }
}

/* min(max, max(min, x)) */
bool ox_write_clip(Ox *o) {
  double lo = -INFINITY, hi = INFINITY;
  int type = ox_in_type(o, 0);
  Node *x = ox_in(o, 0), *least, *most;
  bound(o, 1, "min", &least, &lo);
  bound(o, 2, "max", &most, &hi);
  if (!x || o->said)
    return false;
  if (lo > hi)
    lo = hi;
  x = ox_ordered(o, x, type);
  if (least)
    x = ox_op2(o, OP_MAXIMUM, x, ox_ordered(o, least, type));
  if (lo > -INFINITY || hi < INFINITY)
    x = ox_clipped(o, x, lo, hi);
  if (most)
    x = ox_op2(o, OP_MINIMUM, x, ox_ordered(o, most, type));
  return ox_give_as(o, 0, ox_ordered(o, x, type), type);
}
