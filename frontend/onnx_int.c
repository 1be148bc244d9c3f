/* onnx_int.c - integer operators of an ONNX file that the IR has no op for:
 * division towards zero, powers, shifts and bits.  Each is made of
 * floor_div, floor_mod and lookups in small tables; exact, modulo 2^bits. */
#include "frontend/onnx.h"

#include <math.h>
#include <string.h>

int ox_bits(int type) {
  switch (type) {
    case OX_UINT4: case OX_INT4: return 4;
    case OX_UINT8: case OX_INT8: return 8;
    case OX_UINT16: case OX_INT16: return 16;
    case OX_UINT32: case OX_INT32: return 32;
    case OX_UINT64: case OX_INT64: return 64;
    default: return 0;
  }
}

bool ox_unsigned(int type) {
  return type == OX_UINT4 || type == OX_UINT8 || type == OX_UINT16 ||
         type == OX_UINT32 || type == OX_UINT64 || type == OX_BOOL;
}

/* ---- division ------------------------------------------------------- */

static Node *negative(Ox *o, Node *x) {
  return ox_with(o, OP_LESS, x, 0);
}

/* Of an uint64: half of it, as a number that is not negative. */
static Node *halved(Ox *o, Node *x) {
  Node *top = ox_scalar_int(o, I64, INT64_MIN);
  Node *half = ox_with(o, OP_FLOOR_DIV, x, 2);
  return ox_op3(o, OP_WHERE, negative(o, x), ox_op2(o, OP_SUB, half, top),
                half);
}

/* Twice a/2 by b is the quotient or one less; by what is 2^63 or more it is
 * 0 or 1 (Warren, Hacker's Delight, 2013, section 9-3). */
static Node *quotient_u64(Ox *o, Node *a, Node *b) {
  Node *near = ox_op2(o, OP_FLOOR_DIV, halved(o, a), b);
  near = ox_with(o, OP_MUL, near, 2);
  Node *zero = ox_scalar_int(o, I64, 0);
  near = ox_op3(o, OP_WHERE, negative(o, b), zero, near);
  Node *rest = ox_op2(o, OP_SUB, a, ox_op2(o, OP_MUL, near, b));
  Node *more = ox_op2(o, OP_GREATER_EQUAL, ox_ordered(o, rest, OX_UINT64),
                      ox_ordered(o, b, OX_UINT64));
  return ox_op2(o, OP_ADD, near, ox_cast(o, more, I64));
}

/* Whether all values are known, and more than 0. */
static bool known_positive(Ox *o, const Node *x) {
  if (!x || !ox_known(x))
    return false;
  const Tensor *t = ox_values(o, x);
  int64_t n = t ? ox_elems(x) : 0, i = 0;
  while (i < n && t->i[i] > 0)
    i++;
  return n > 0 && i == n;
}

Node *ox_quotient(Ox *o, Node *a, Node *b, int type) {
  if (!a || !b)
    return NULL;
  if (type == OX_UINT64)
    return quotient_u64(o, a, b);
  if (ox_unsigned(type))
    return ox_op2(o, OP_FLOOR_DIV, a, b);
  Elem e = a->type.elem;
  if (known_positive(o, b)) {
    Node *up = ox_op3(o, OP_WHERE, negative(o, a), ox_with(o, OP_SUB, b, 1),
                      ox_scalar_int(o, e, 0));
    return ox_op2(o, OP_FLOOR_DIV, ox_op2(o, OP_ADD, a, up), b);
  }
  Node *below = ox_op2(o, OP_NOT_EQUAL, negative(o, a), negative(o, b));
  Node *rest = ox_with(o, OP_NOT_EQUAL, ox_op2(o, OP_FLOOR_MOD, a, b), 0);
  Node *one = ox_cast(o, ox_op2(o, OP_MINIMUM, below, rest), e);
  return ox_op2(o, OP_ADD, ox_op2(o, OP_FLOOR_DIV, a, b), one);
}

/* ---- powers --------------------------------------------------------- */

/* x^n by squaring. */
static Node *power_fixed(Ox *o, Node *x, int64_t n) {
  Node *y = NULL;
  for (; n; n >>= 1) {
    if (n & 1)
      y = y ? ox_op2(o, OP_MUL, y, x) : x;
    if (n > 1)
      x = ox_op1(o, OP_SQUARE, x);
  }
  return y;
}

/* x^n of integers; n below 0 leaves 1 and -1 of those that are so, else 0.
 * What is not 1, -1 or 0 overflows before n is 64. */
static Node *power_int(Ox *o, Node *x, Node *n) {
  if (!x || !n)
    return NULL;
  Elem e = x->type.elem;
  Node *one = ox_scalar_int(o, e, 1), *y = one, *p = x;
  Node *m = ox_op1(o, OP_ABS, n);
  for (int bit = 0; bit < 6; bit++) {
    Node *odd = ox_with(o, OP_EQUAL, ox_with(o, OP_FLOOR_MOD, m, 2), 1);
    y = ox_op2(o, OP_MUL, y, ox_op3(o, OP_WHERE, odd, p, one));
    p = ox_op1(o, OP_SQUARE, p);
    m = ox_with(o, OP_FLOOR_DIV, m, 2);
  }
  Node *small = ox_with(o, OP_EQUAL, ox_op1(o, OP_ABS, x), 1);
  Node *kept = ox_op2(o, OP_MAXIMUM, small, ox_with(o, OP_GREATER_EQUAL, n,
                                                    0));
  return ox_op3(o, OP_WHERE, kept, y, ox_scalar_int(o, e, 0));
}

/* Integers to a power that is no integer type: exact where it is whole, else
 * that of a float towards zero. */
static Node *power_mixed(Ox *o, Node *x, Node *n) {
  if (!x || !n)
    return NULL;
  Elem e = x->type.elem;
  Node *y = ox_op2(o, OP_POW, ox_cast(o, x, F32), n);
  Node *whole = ox_op2(o, OP_EQUAL, n, ox_op1(o, OP_ROUND, n));
  return ox_op3(o, OP_WHERE, whole, power_int(o, x, ox_cast(o, n, e)),
                ox_cast(o, y, e));
}

/* Powers that are known, as products or roots; NULL: none of these. */
static Node *power_known(Ox *o, Node *x, double n) {
  bool f = x->type.elem == F32;
  if (n == 1 || n == 2 || n == 3 || (!f && n > 0 && n < 64 && n == floor(n)))
    return power_fixed(o, x, (int64_t)n);
  if (f && n == 0.5)
    return ox_op1(o, OP_SQRT, x);
  if (f && n == -0.5)
    return ox_op1(o, OP_RSQRT, x);
  if (f && n == -1)
    return ox_op2(o, OP_DIV, ox_scalar(o, F32, 1), x);
  return NULL;
}

bool ox_write_pow(Ox *o) {
  int type = ox_in_type(o, 0);
  Node *x = ox_number(o, 0), *n = ox_number(o, 1), *y = NULL;
  if (!x || !n)
    return false;
  const Tensor *t = ox_known(n) && ox_elems(n) == 1 &&
                    n->type.rank <= x->type.rank ? ox_values(o, n) : NULL;
  if (t)
    y = power_known(o, x, n->type.elem == F32 ? t->v[0] : (double)t->i[0]);
  if (!y && x->type.elem == F32)
    y = ox_op2(o, OP_POW, x, ox_cast(o, n, F32));
  else if (!y && n->type.elem != F32)
    y = power_int(o, x, n);
  else if (!y)
    y = power_mixed(o, x, n);
  return ox_give_number(o, ox_wrap(o, y, type));
}

/* ---- shifts --------------------------------------------------------- */

/* 0, 2^0, 2^1, ... 2^top, last: what shifts multiply or divide by, looked up
 * at one more than the distance. */
static Node *powers_at(Ox *o, Node *distance, Elem e, int top, int64_t first,
                       int64_t last) {
  int64_t v[66] = {first};
  ensure(top < 64);
  for (int i = 0; i <= top; i++)
    v[i + 1] = (int64_t)(UINT64_C(1) << i);
  v[top + 2] = last;
  Node *at = ox_with(o, OP_ADD, distance, 1);
  return ox_gather(o, ox_list(o, e, v, top + 3), at, 0);
}

static Node *shifted_left(Ox *o, Node *x, Node *by, int bits) {
  Node *f = powers_at(o, by, x->type.elem, bits - 1, 0, 0);
  return ox_op2(o, OP_MUL, x, f);
}

/* By a power of two, at most 2^(held - 2), as more is none of the type; a
 * second division does the rest where the distance is greater or, as another
 * reading has it, negative. */
static Node *shifted_right(Ox *o, Node *x, Node *by, int type) {
  Elem e = x->type.elem;
  int held = elem_bits(e), top = held - 2;
  int64_t most = (int64_t)1 << top;
  Node *y = x, *d = by;
  if (type == OX_UINT64) {
    y = halved(o, x);
    d = ox_with(o, OP_SUB, by, 1);
  }
  Node *f = powers_at(o, d, e, top, most, most);
  y = ox_op2(o, OP_FLOOR_DIV, y, f);
  Node *in = ox_op2(o, OP_MINIMUM, ox_with(o, OP_GREATER_EQUAL, d, 0),
                    ox_with(o, OP_LESS_EQUAL, d, top));
  Node *rest = ox_op3(o, OP_WHERE, in, ox_scalar_int(o, e, 1),
                      ox_scalar_int(o, e, 4));
  y = ox_op2(o, OP_FLOOR_DIV, y, rest);
  if (type != OX_UINT64)
    return y;
  return ox_op3(o, OP_WHERE, ox_with(o, OP_EQUAL, by, 0), x, y);
}

/* Distances that are negative or no less than the bits leave copies of the
 * sign. */
bool ox_write_bitshift(Ox *o) {
  const char *to = ox_str(o, "direction", "");
  int type = ox_in_type(o, 0), bits = ox_bits(type);
  bool left = !strcmp(to, "LEFT");
  Node *x = ox_number(o, 0), *by = ox_number(o, 1);
  if (!x || !by)
    return false;
  if (!left && strcmp(to, "RIGHT"))
    return ox_malformed(o, "direction \"%s\", expected LEFT or RIGHT", to);
  if (!bits || by->type.elem != x->type.elem)
    return ox_malformed(o, "operands of types %s and %s", ox_type_name(type),
                        ox_type_name(ox_in_type(o, 1)));
  Node *y = left ? ox_wrap(o, shifted_left(o, x, by, bits), type)
                 : shifted_right(o, x, by, type);
  return ox_give_number(o, y);
}

/* ---- bits ----------------------------------------------------------- */

/* The bits of x along a new last axis, each 0 or 1: x by 2^i modulo 2, and
 * by 2^(i-1) and 2 where 2^i is more than the type holds. */
static Node *bits_of(Ox *o, Node *x, int bits) {
  Elem e = x->type.elem;
  int64_t by[64], two[64];
  for (int i = 0; i < bits; i++) {
    bool high = i + 1 == elem_bits(e);
    by[i] = (int64_t)1 << (high ? i - 1 : i);
    two[i] = high ? 2 : 1;
  }
  Node *y = ox_unsqueeze(o, x, x->type.rank);
  y = ox_op2(o, OP_FLOOR_DIV, y, ox_list(o, e, by, bits));
  if (bits == elem_bits(e))
    y = ox_op2(o, OP_FLOOR_DIV, y, ox_list(o, e, two, bits));
  return ox_with(o, OP_FLOOR_MOD, y, 2);
}

bool ox_write_bitwise(Ox *o) {
  char what = o->node->op_type[strlen("Bitwise")];
  int type = ox_in_type(o, 0), bits = ox_bits(type);
  Node *a = ox_number(o, 0), *b = ox_number(o, 1);
  if (!a || !b)
    return false;
  if (!bits || a->type.elem != b->type.elem)
    return ox_malformed(o, "operands of types %s and %s", ox_type_name(type),
                        ox_type_name(ox_in_type(o, 1)));
  if (a->type.rank == MAX_RANK || b->type.rank == MAX_RANK)
    return ox_refuse(o, "operands of rank %d", MAX_RANK);
  a = bits_of(o, a, bits);
  b = bits_of(o, b, bits);
  Node *y = what == 'A' ? ox_op2(o, OP_MUL, a, b)
            : what == 'O' ? ox_op2(o, OP_MAXIMUM, a, b)
                          : ox_op1(o, OP_SQUARE, ox_op2(o, OP_SUB, a, b));
  if (!y)
    return false;
  int64_t weight[64], axis = -1;
  for (int i = 0; i < bits; i++)
    weight[i] = (int64_t)(UINT64_C(1) << i);
  y = ox_op2(o, OP_MUL, y, ox_list(o, y->type.elem, weight, bits));
  y = ox_reduce(o, OP_SUM, y, &axis, 1, false);
  return ox_give_number(o, ox_wrap(o, y, type));
}

/* -1 - x, or what is all ones less x. */
bool ox_write_bitwise_not(Ox *o) {
  int type = ox_in_type(o, 0), bits = ox_bits(type);
  Node *x = ox_number(o, 0);
  if (!x)
    return false;
  if (!bits)
    return ox_malformed(o, "an operand of type %s", ox_type_name(type));
  int64_t ones = -1;
  if (ox_unsigned(type) && bits < 64)
    ones = ((int64_t)1 << bits) - 1;
  Node *all = ox_scalar_int(o, x->type.elem, ones);
  return ox_give_number(o, ox_op2(o, OP_SUB, all, x));
}
