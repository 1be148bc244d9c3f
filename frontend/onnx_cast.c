/* onnx_cast.c - one ONNX type to another, between what holds them. */
#include "frontend/onnx.h"

#include <math.h>
#include <strings.h>

static bool is_float(int type) {
  return type == OX_FLOAT || type == OX_DOUBLE || type == OX_FLOAT16 ||
         type == OX_BFLOAT16;
}

/* Rounded to the values of a 16-bit float. */
static Node *rounded(Ox *o, Node *x, int to) {
  if (to != OX_FLOAT16 && to != OX_BFLOAT16)
    return x;
  return ox_cast(o, ox_cast(o, x, to == OX_FLOAT16 ? F16 : BF16), F32);
}

/* Whether each value of an integer type is one of another. */
static bool within(int from, int to) {
  bool sign = !ox_unsigned(from);
  int bits = from == OX_BOOL ? 1 : ox_bits(from);
  if (sign)
    return !ox_unsigned(to) && bits <= ox_bits(to);
  return bits <= ox_bits(to) - !ox_unsigned(to);
}

/* Between a float and a uint64, whose bits i64 holds. */
static Node *u64_cast(Ox *o, Node *x, Elem to) {
  return ox_cast(o, ox_cast(o, x, U64), to);
}

static Node *int_of_int(Ox *o, Node *x, int from, int to);

/* Out of range the nearest, but of 4 bits the lowest ones, as ONNX's tests
 * have it. */
static Node *int_of_float(Ox *o, Node *x, int to) {
  Elem held = (Elem)ox_held(to);
  int bits = ox_bits(to);
  if (to == OX_UINT64)
    return u64_cast(o, x, I64);
  if (bits == 4)
    return int_of_int(o, ox_cast(o, x, I32), OX_INT32, to);
  if (bits == elem_bits(held))
    return ox_cast(o, x, held);
  if (bits == 32) {
    Node *y = ox_with(o, OP_MAXIMUM, ox_cast(o, x, held), 0);
    return ox_with(o, OP_MINIMUM, y, (double)UINT32_MAX);
  }
  double lo = ox_unsigned(to) ? 0 : -ldexp(1, bits - 1);
  return ox_cast(o, ox_clipped(o, x, lo, lo + ldexp(1, bits) - 1), held);
}

/* Modulo 2^bits. */
static Node *int_of_int(Ox *o, Node *x, int from, int to) {
  Elem held = (Elem)ox_held(to);
  if (ox_bits(to) == 4 && !within(from, to)) {
    int64_t lo = to == OX_INT4 ? 8 : 0;
    x = ox_with(o, OP_ADD, ox_cast(o, x, I32), (double)lo);
    x = ox_with(o, OP_FLOOR_MOD, x, 16);
    return ox_cast(o, ox_with(o, OP_SUB, x, (double)lo), held);
  }
  x = ox_cast(o, x, held);
  return within(from, to) ? x : ox_wrap(o, x, to);
}

Node *ox_converted(Ox *o, Node *x, int from, int to) {
  Elem held = (Elem)ox_held(to);
  if (!x || from == to)
    return x;
  if (to == OX_BOOL)
    return ox_cast(o, x, B1);
  if (!is_float(to))
    return is_float(from) ? int_of_float(o, x, to)
                          : int_of_int(o, x, from, to);
  if (!is_float(from))
    x = from == OX_UINT64 ? u64_cast(o, x, F32) : ox_cast(o, x, held);
  return rounded(o, x, to);
}

static bool cast_to(Ox *o, int to) {
  int from = ox_in_type(o, 0);
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  if (ox_held(to) < 0)
    return ox_refuse(o, "values of type %s", ox_type_name(to));
  return ox_give_as(o, 0, ox_converted(o, x, from, to), to);
}

/* Before opset 6 a type is given by its name, "FLOAT16". */
static int64_t target(Ox *o) {
  if (o->opset >= 6)
    return ox_int(o, "to", 0);
  const char *name = ox_str(o, "to", "");
  int type = OX_BFLOAT16;
  while (type > 0 && strcasecmp(name, ox_type_name(type)))
    type--;
  return type;
}

bool ox_write_cast(Ox *o) {
  int64_t to = target(o);
  if (o->said)
    return false;
  if (to < 1 || to > 1000)
    return ox_malformed(o, "to=%lld, expected an element type",
                        (long long)to);
  return cast_to(o, (int)to);
}

bool ox_write_cast_like(Ox *o) {
  int to = ox_in_type(o, 1);
  return to ? cast_to(o, to) : ox_in(o, 1) != NULL;
}

/* The bits stay, so that integers of one size differ by a multiple of 2 to
 * its power; those of floats the IR does not see. */
bool ox_write_bit_cast(Ox *o) {
  int from = ox_in_type(o, 0), to = (int)ox_int(o, "to", 0);
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  if (from == OX_BOOL && to == OX_UINT8)
    return ox_give_as(o, 0, ox_cast(o, x, U8), to);
  if (from != to && (ox_bits(from) == 0 || ox_bits(from) != ox_bits(to)))
    return ox_refuse(o, "%s as %s", ox_type_name(from), ox_type_name(to));
  return ox_give_as(o, 0, ox_converted(o, x, from, to), to);
}
