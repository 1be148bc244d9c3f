/* eval.h - inside the reference evaluator: what an eval_<x>() of ops.def
 * gets, and the scalar functions that several of them (and the tests' error
 * bounds) share. */
#ifndef TAMIS_EVAL_H
#define TAMIS_EVAL_H

#include "ir/ir.h"

/* Folding must give the same bits on every machine: no a*b+c as one
 * rounding.  gcc does so by -std=c11, clang has to be told. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* One node to evaluate.  in[k] is NULL where an optional operand is absent;
 * out->v has room for all elements of n->type. */
typedef struct EvalCtx {
  Module *m;
  const Node *n;
  const Tensor *const *in;
  Tensor *out;
  const EvalOpts *o;
} EvalCtx;

/* Each fills c->out->v; rounding to the element type comes behind. */
#define OP(e, name, operands, attrs, elems, infer, eval, flags) \
  void eval_##eval(EvalCtx *c);
#include "ir/ops.def"
#undef OP

/* eval_math.c: a UNARY or BINARY op on scalars.  p and q are the op's
 * attributes in order (alpha; lo and hi), 0 where it has none. */
double unary_eval(Op op, double x, double p, double q);
double binary_eval(Op op, double a, double b);
/* The same on integers, in 64 bits: what overflows wraps. */
int64_t unary_eval_int(Op op, int64_t x);
int64_t binary_eval_int(Op op, int64_t a, int64_t b);
bool compare_eval(Op op, double a, double b);
/* The epilogue of a conv2d or linear node, read off its attributes; y from
 * the sum of products with bias in it, and the residual operand's element (0
 * when there is none). */
typedef struct Epilogue {
  bool act, last;   /* whether `op` is applied; r is added behind it */
  Op op;
  double lo, hi;
} Epilogue;
Epilogue epilogue_of(const Node *n);
double epilogue_eval(const Epilogue *e, double acc, double r);

/* eval_reduce.c: what a max or min of no integers is. */
int64_t reduce_start_int(Op op, Elem e);
/* eval.c: v as an element of type e holds it: nearest, ties to even; modulo
 * 2^bits. */
double elem_round(Elem e, double v);
int64_t elem_wrap(Elem e, int64_t v);
/* The operand's tensor by its name in ops.def, NULL when absent. */
const Tensor *eval_operand(const EvalCtx *c, const char *name);
/* An axis attribute, counted from the front. */
int eval_axis(int64_t axis, int rank);

/* eval_shape.c: to[sum i*ts] = from[sum i*fs] for all i below dim, elements
 * of 8 bytes. */
void strided_move(int rank, const int64_t *dim, void *to, const int64_t *ts,
                  const void *from, const int64_t *fs);

/* eval_index.c: Philox4x32-10 turns a counter into four words, in place. */
void philox(const uint32_t key[2], uint32_t word[4]);

/* eval_conv.c: sizes of a conv2d or pool node, read off its types. */
typedef struct Window {
  int64_t n, c, h, w;      /* x */
  int64_t o, oh, ow;       /* y */
  int64_t kh, kw, sh, sw, dh, dw, top, left, groups;
} Window;
Window window_of(const Node *n, const Type *x, const Type *y);
/* The outputs [*lo, *hi) along one axis whose input position
 * i*stride + shift lies in [0, size). */
void window_clip(int64_t size, int64_t outputs, int64_t stride,
                 int64_t shift, int64_t *lo, int64_t *hi);

/* eval_matmul.c: which matrix of an operand of type t belongs to matrix i of
 * y; a product of two of them. */
int64_t matrix_of(const Type *t, const Type *y, int64_t i);
void matrix_product(const EvalCtx *c, const MatmulSizes *s, bool ta, bool tb,
                    const double *a, const double *b, double *y);
/* eval_reduce.c: e^(x - max) over their sum, for n elements `step` apart. */
void softmax_line(const double *x, double *y, int64_t n, int64_t step);

/* eval_blas.c: a function of OpenBLAS; without it the program ends. */
void *blas_symbol(const char *name);
/* The same file: y = sums of products of a conv2d or linear, through OpenBLAS;
 * false when the sizes are not worth it (nothing is written then). */
bool conv2d_blas(const Window *s, const double *x, const double *w,
                 double *y);
bool matmul_blas(const MatmulSizes *s, bool ta, bool tb, const double *a,
                 const double *b, double *y);
bool linear_blas(int64_t rows, int64_t k, int64_t m, const double *x,
                 const double *w, double *y);

#endif
