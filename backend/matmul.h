/* matmul.h - inside backend/: products of matrices in any layout, with
 * something done to sums before and behind. */
#ifndef TAMIS_MATMUL_H
#define TAMIS_MATMUL_H

#include "backend/emit.h"

/* Addresses of the first elements: of a, b and y, and of what `first` and
 * `last` look at. */
typedef struct At { Val a, b, y, e; } At;

typedef struct Mat Mat;
/* Where n elements of y lie (those of a mask, where there is one), and what
 * belongs to them at `e`; 0: one. */
typedef struct MatSpot {
  Val y, e;
  int64_t yoff, eoff;
  int n;
  Val mask;
} MatSpot;
typedef Val MatFirst(Gen *g, const Mat *t, const MatSpot *s);
typedef Val MatLast(Gen *g, const Mat *t, const MatSpot *s, Val sum);

struct Mat {
  int64_t m, n, k;
  Val mc, nc, kc;                   /* of this call, where free; or NULL */
  int64_t am, ak, bk, bn, ym, yn;   /* strides in elements */
  int64_t em, en;                   /* likewise of e, 0 repeats */
  bool turned;                      /* a and b have changed places */
  int nbatch;
  int share;                        /* loop that parts share: a batch axis,
                                       then columns, rows; -1: none */
  struct { int64_t dim, a, b, y; Val count; } batch[MAX_RANK];
  MatFirst *first;                  /* what sums begin with; NULL: 0 */
  MatLast *last;                    /* what is stored; NULL: the sum */
  const void *ctx;                  /* of first and last */
};

/* y = a b, m and n above 0 (or counted). */
void mat_emit(Gen *g, Mat *t, At at);
/* What lies at e for the elements of a spot, `stride` apart (0: one,
 * spread). */
Val mat_beside(Gen *g, const MatSpot *s, int64_t stride);

#endif
