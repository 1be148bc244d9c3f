/* random.c - params drawn at random, the same on every machine. */
#include "ir/ir.h"

#include <math.h>
#include <string.h>

double random_unit(const char *path, uint64_t seed, uint64_t i) {
  uint64_t z = hash_bytes(path, strlen(path)) ^ hash_mix(seed);
  z = hash_mix(z + (i + 1) * UINT64_C(0x9E3779B97F4A7C15));
  return (double)(z >> 40) * 0x1p-24;
}

/* Float to bfloat16 and to IEEE half, nearest, ties to even. Draws are
 * finite and far from overflow; below 2^-14 a half is subnormal. */
static uint16_t float_to_bf16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t float_to_half(float f) {
  uint16_t sign = signbit(f) ? 0x8000 : 0;
  int exp;
  double m = frexp(fabs((double)f), &exp);   /* m in [1/2, 1) */
  if (m == 0) return sign;
  if (exp > 16) return sign | 0x7c00;
  if (exp < -13) return sign | (uint16_t)rint(ldexp(m, exp + 24));
  /* A carry out of the mantissa goes into the exponent, as it should. */
  return sign | (uint16_t)(((exp + 13) << 10) + (int)rint(ldexp(m, 11)));
}

static void elem_narrow(Elem e, uint8_t *at, size_t i, double v) {
  float f = (float)v;
  uint16_t h;
  switch (e) {
  case F32:
    memcpy(at + 4 * i, &f, 4);
    return;
  case F64:
    memcpy(at + 8 * i, &v, 8);
    return;
  case F16:
    h = float_to_half(f);
    memcpy(at + 2 * i, &h, 2);
    return;
  case BF16:
    h = float_to_bf16(f);
    memcpy(at + 2 * i, &h, 2);
    return;
  case B1:
    at[i] = v >= 0.5;
    return;
  default:
    unreachable();
  }
}

Buffer *param_random(const Param *p, uint64_t seed) {
  int64_t n = type_elems(&p->type), fan_in = 1;
  ensure(n >= 0);
  for (int i = 1; i < p->type.rank; i++) fan_in *= p->type.dim[i];
  double lo = p->init.lo, hi = p->init.hi;
  if (p->init.kind == INIT_HE) {
    hi = sqrt(6.0 / (double)(fan_in > 0 ? fan_in : 1));
    lo = -hi;
  }
  Buffer *b = buffer_new(checked_mul((size_t)n, elem_size(p->type.elem)));
  for (int64_t i = 0; i < n; i++) {
    double u = random_unit(p->path, seed, (uint64_t)i);
    elem_narrow(p->type.elem, b->data, (size_t)i, lo + u * (hi - lo));
  }
  return b;
}
