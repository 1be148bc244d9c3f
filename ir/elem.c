/* elem.c - numbers as elements of a type: what lies in memory (little
 * endian, two's complement, IEEE 754, bfloat16) and what it means. */
#include "ir/ir.h"

#include <math.h>
#include <string.h>

bool elem_is_float(Elem e) {
  return e == F64 || e == F32 || e == F16 || e == BF16;
}

bool elem_is_unsigned(Elem e) {
  return e == U8 || e == U4 || e == B1 || e == U16 || e == U32 || e == U64;
}

/* ---- narrow floats --------------------------------------------------- */

static float float_of_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static uint32_t bits_of_float(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

/* Every half is a float: a subnormal one is its mantissa times 2^-24. */
static float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16;
  uint32_t exp = h >> 10 & 31, man = h & 0x3ff;
  if (exp == 0) return (sign ? -0x1p-24f : 0x1p-24f) * (float)man;
  exp = exp == 31 ? 255 : exp + 112;
  return float_of_bits(sign | exp << 23 | man << 13);
}

/* Nearest, ties to even; below 2^-14 a half is subnormal. */
static uint16_t half_of(double v) {
  uint16_t sign = signbit(v) ? 0x8000 : 0;
  int exp;
  if (isnan(v)) return sign | 0x7e00;
  if (isinf(v)) return sign | 0x7c00;
  double m = frexp(fabs(v), &exp);   /* m in [1/2, 1) */
  if (m == 0) return sign;
  if (exp > 16) return sign | 0x7c00;
  if (exp < -13) return sign | (uint16_t)rint(ldexp(m, exp + 24));
  /* A carry out of the mantissa goes into the exponent, as it should. */
  return sign | (uint16_t)(((exp + 13) << 10) + (int)rint(ldexp(m, 11)));
}

/* A bfloat16 is the upper half of a float.  Rounding twice, to f32 first,
 * is no worse where v is a float already. */
static uint16_t bf16_of(double v) {
  uint32_t bits = bits_of_float((float)v);
  if (isnan(v)) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* ---- integers -------------------------------------------------------- */

/* Towards zero, the nearest one in range; NaN is 0.  A u64 comes as its
 * bits. */
static int64_t int_of(Elem e, double v) {
  double lo = 0, hi = ldexp(1, elem_bits(e)) - 1;
  if (isnan(v)) return 0;
  v = trunc(v);
  if (e == U64)
    return (int64_t)(v >= 0x1p64 ? UINT64_MAX : v < 0 ? 0 : (uint64_t)v);
  if (e == I64 && v >= 0x1p63) return INT64_MAX;
  if (!elem_is_unsigned(e)) {
    lo = -ldexp(1, elem_bits(e) - 1);
    hi = -lo - 1;
  }
  return (int64_t)(v < lo ? lo : v > hi ? hi : v);
}

int64_t elem_load_int(Elem e, const void *at, size_t i) {
  int64_t wide;
  int32_t word;
  int16_t half;
  switch (e) {
  case I64: case U64:
    memcpy(&wide, (const char *)at + 8 * i, 8);
    return wide;
  case I32: case U32:
    memcpy(&word, (const char *)at + 4 * i, 4);
    return e == U32 ? (int64_t)(uint32_t)word : word;
  case I16: case U16:
    memcpy(&half, (const char *)at + 2 * i, 2);
    return e == U16 ? (uint16_t)half : half;
  case I8: case I4: return ((const int8_t *)at)[i];
  case U8: case U4: return ((const uint8_t *)at)[i];
  case B1: return ((const uint8_t *)at)[i] != 0;
  default: unreachable();
  }
}

void elem_store_int(Elem e, void *at, size_t i, int64_t v) {
  int32_t word = (int32_t)(uint32_t)(uint64_t)v;
  int16_t half = (int16_t)(uint16_t)(uint64_t)v;
  switch (e) {
  case I64: case U64:
    memcpy((char *)at + 8 * i, &v, 8);
    return;
  case I32: case U32:
    memcpy((char *)at + 4 * i, &word, 4);
    return;
  case I16: case U16:
    memcpy((char *)at + 2 * i, &half, 2);
    return;
  case I8: case U8:
    ((uint8_t *)at)[i] = (uint8_t)(uint64_t)v;
    return;
  case I4:
    ((int8_t *)at)[i] = (int8_t)(((v & 15) ^ 8) - 8);
    return;
  case U4:
    ((uint8_t *)at)[i] = (uint8_t)(v & 15);
    return;
  case B1:
    ((uint8_t *)at)[i] = v != 0;
    return;
  default: unreachable();
  }
}

/* ---- any ------------------------------------------------------------- */

double elem_load(Elem e, const void *at, size_t i) {
  uint16_t h;
  float f;
  double d;
  switch (e) {
  case F64:
    memcpy(&d, (const char *)at + 8 * i, 8);
    return d;
  case F32:
    memcpy(&f, (const char *)at + 4 * i, 4);
    return (double)f;
  case F16: case BF16:
    memcpy(&h, (const char *)at + 2 * i, 2);
    return (double)(e == F16 ? half_to_float(h)
                             : float_of_bits((uint32_t)h << 16));
  case U64:
    return (double)(uint64_t)elem_load_int(e, at, i);
  default:
    return (double)elem_load_int(e, at, i);
  }
}

void elem_store(Elem e, void *at, size_t i, double v) {
  uint16_t h;
  float f;
  switch (e) {
  case F64:
    memcpy((char *)at + 8 * i, &v, 8);
    return;
  case F32:
    f = (float)v;
    memcpy((char *)at + 4 * i, &f, 4);
    return;
  case F16: case BF16:
    h = e == F16 ? half_of(v) : bf16_of(v);
    memcpy((char *)at + 2 * i, &h, 2);
    return;
  case B1:
    elem_store_int(e, at, i, v != 0);
    return;
  default:
    elem_store_int(e, at, i, int_of(e, v));
  }
}

/* The bits of a NaN stay, which a way over doubles would not promise. */
void elems_widen(Elem e, const void *from, size_t n, float *to) {
  for (size_t i = 0; i < n; i++) {
    uint16_t h;
    if (e == F32) {
      memcpy(&to[i], (const char *)from + 4 * i, 4);
    } else if (e == F16 || e == BF16) {
      memcpy(&h, (const char *)from + 2 * i, 2);
      to[i] = e == F16 ? half_to_float(h) : float_of_bits((uint32_t)h << 16);
    } else if (elem_is_float(e)) {
      to[i] = (float)elem_load(e, from, i);
    } else {
      int64_t v = elem_load_int(e, from, i);
      to[i] = e == U64 ? (float)(uint64_t)v : (float)v;
    }
  }
}

void elems_narrow(Elem e, const float *from, size_t n, void *to) {
  ensure(e == F16 || e == BF16);
  for (size_t i = 0; i < n; i++) elem_store(e, to, i, (double)from[i]);
}

/* Is v a half, or a NaN that one may stand for?  The normal ones, most of
 * all, have a mantissa of 10 bits. */
static bool half_exact(float v) {
  uint32_t bits = bits_of_float(v), size = bits & 0x7fffffff;
  if (size >= 0x38800000 && size < 0x47800000) return !(bits & 0x1fff);
  return isnan(v) || half_to_float(half_of((double)v)) == v;
}

size_t elems_exact(Elem e, const float *v, size_t n) {
  ensure(e == F16 || e == BF16);
  size_t i = 0;
  while (i < n && (e == F16 ? half_exact(v[i])
                            : isnan(v[i]) || !(bits_of_float(v[i]) & 0xffff)))
    i++;
  return i;
}

/* ---- tensors of the evaluator ---------------------------------------- */

Tensor tensor_new(Arena *a, const Type *t) {
  int64_t n = type_elems(t);
  ensure(n >= 0);
  return (Tensor){*t, {arena_array(a, double, (size_t)n + 1)}};
}

void tensor_read(Tensor *t, const void *from) {
  size_t n = (size_t)type_elems(&t->type);
  Elem e = t->type.elem;
  if (elem_is_float(e))
    for (size_t i = 0; i < n; i++) t->v[i] = elem_load(e, from, i);
  else
    for (size_t i = 0; i < n; i++) t->i[i] = elem_load_int(e, from, i);
}

void tensor_write(const Tensor *t, void *to) {
  size_t n = (size_t)type_elems(&t->type);
  Elem e = t->type.elem;
  if (elem_is_float(e))
    for (size_t i = 0; i < n; i++) elem_store(e, to, i, t->v[i]);
  else
    for (size_t i = 0; i < n; i++) elem_store_int(e, to, i, t->i[i]);
}
