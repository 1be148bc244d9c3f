/* random.c - params drawn at random, the same on every machine. */
#include "ir/ir.h"

#include <math.h>
#include <string.h>

double random_unit(const char *path, uint64_t seed, uint64_t i) {
  uint64_t z = hash_bytes(path, strlen(path)) ^ hash_mix(seed);
  z = hash_mix(z + (i + 1) * UINT64_C(0x9E3779B97F4A7C15));
  return (double)(z >> 40) * 0x1p-24;
}

/* A draw u of [0,1) between lo and hi; of integers, hi is one of them. */
static void draw_store(Elem e, void *at, size_t i, double u, double lo,
                       double hi) {
  if (elem_is_float(e)) elem_store(e, at, i, (float)(lo + u * (hi - lo)));
  else if (e == B1) elem_store(e, at, i, lo + u * (hi - lo) >= 0.5);
  else elem_store(e, at, i, floor(lo + u * (hi - lo + 1)));
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
    draw_store(p->type.elem, b->data, (size_t)i, u, lo, hi);
  }
  return b;
}
