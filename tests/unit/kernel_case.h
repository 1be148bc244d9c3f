/* kernel_case.h - a kernel on values that end at guard pages: what
 * test_kernels draws its cases with, and compares them by. */
#ifndef TESTS_UNIT_KERNEL_CASE_H
#define TESTS_UNIT_KERNEL_CASE_H

#include "ir/ir.h"

/* ---- random numbers -------------------------------------------------- */

void draw_seed(uint64_t seed);
int64_t pick(int64_t lo, int64_t hi);   /* both included */
bool chance(int percent);
/* Small integers, or multiples of 1/512. */
float draw_value(bool whole);

/* ---- values that end at a guard page --------------------------------- */

typedef struct Value {
  Node *n;
  float *base;
  size_t bytes;
  bool strided;                       /* has a layout of strides */
  int64_t strides[MAX_RANK], first;   /* these, in elements */
} Value;
typedef struct Space { char *at; size_t size, used; } Space;

Space space_new(size_t size);
/* Give n a place in the space; everything is NaN but the halo. */
void value_place(Space *s, Node *n, Value *v);
/* The element at index i of a tensor of rank 4 or less; halo positions
 * count as well. */
float *value_at(const Value *v, const int64_t *i);
/* Zero the halo, or check that it is zero. */
void value_halo(const Value *v, bool check);
void value_fill(const Value *v, bool whole);
/* Index number k of a shape, row-major. */
void type_index(const Type *t, int64_t k, int64_t *i);

/* ---- a case ---------------------------------------------------------- */

typedef struct Case {
  Module *m;
  Func *f;
  Node *x, *w, *b, *r, *y;
  Value vx, vr, vy;
  bool whole, in_place, computed;
  bool slice;              /* y is the middle of a longer axis of channels */
  int64_t above;           /* y has so many rows of a larger map above it */
  Node *given;             /* computed: the weight, an input */
  int64_t k;               /* products of an output */
  const char *kernel;
} Case;

/* A weight, so many percent of whose blocks of `block` rows are not zero. */
Node *param_node(Case *c, const char *name, Type t, int density, int block);
/* An activation and whether the residual comes last, at random. */
void epilogue_attrs(Case *c);
/* Run the kernel of c->y and hand over the residual as it was before, which
 * the caller frees. */
float *case_run(Case *c, Space *s, const Target *t);

/* Sum and bound of an output, before bias and residual. */
typedef struct Sum { double v, mag; } Sum;
void sum_add(Sum *s, double a, double b);
/* Bias, residual and activation; compare with what the kernel gave. */
void case_compare(const Case *c, Sum s, double bias, double r, float got);

#endif
