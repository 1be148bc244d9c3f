/* exchange.h - a matrix as sparse powers of two times a small basis. */
#ifndef TAMIS_EXCHANGE_H
#define TAMIS_EXCHANGE_H

#include "passes/passes.h"

/* Columns of a basis, at most. */
enum { EXCHANGE_MOST = 8 };
/* How a matrix is taken apart. */
typedef struct ExchangeOpts {
  int powers;            /* different exponents, at most */
  double threshold;      /* rows of c go whose norm is under this share of the
                            largest one */
  /* What is left of w - c b, squared, once c is rounded, and before and after
   * each fit (tests); or NULL. */
  void (*seen)(void *ctx, const char *step, double error);
  void *ctx;
} ExchangeOpts;
/* w[m][n] is about c[m][n] b[n][n]: each element of c is 0 or + or - a power
 * of two, of b a multiple, -127 to 127, of one number.  n is EXCHANGE_MOST at
 * most.  Bits that the two take, with one a row of c that says whether it is
 * zero. */
int64_t exchange(Arena *a, const ExchangeOpts *o, const double *w, int64_t m,
                 int64_t n, double *c, double *b);

#endif
