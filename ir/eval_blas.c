/* eval_blas.c - the evaluator's fast path for large products: OpenBLAS's
 * dgemm, on im2col'ed blocks of pixels for conv2d.  Sums in another order
 * than the plain loops; never used for folding.  The library starts threads
 * as soon as it is loaded, so the first such product loads it. */
#include "ir/eval.h"

#include <cblas.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>

#define BLAS_LIBRARY "libopenblas.so.0"

enum {
  BLAS_MIN_MACS = 1 << 15,   /* below, the call costs more than it saves */
  COL_ELEMS = 1 << 18        /* of an im2col block: 2 MB */
};

static bool worth_it(int64_t m, int64_t n, int64_t k) {
  if (m < 2 || k < 4 || m > INT_MAX || n > INT_MAX || k > INT_MAX)
    return false;
  return (double)m * (double)n * (double)k >= BLAS_MIN_MACS;
}

typedef __typeof__(cblas_dgemm) Dgemm;

void *blas_symbol(const char *name) {
  static void *lib;
  if (!lib) lib = dlopen(BLAS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  void *fn = lib ? dlsym(lib, name) : NULL;
  if (fn) return fn;
  fprintf(stderr, BLAS_LIBRARY ": error: cannot load: %s: install Debian's "
          "package libopenblas0\n", dlerror());
  exit(EXIT_FILE);
}

static Dgemm *dgemm(void) {
  static Dgemm *fn;
  if (!fn) *(void **)&fn = blas_symbol("cblas_dgemm");
  return fn;
}

/* col[k][p]: what tap k (channel, ky, kx) reads for output pixel p0 + p. */
static void im2col(const Window *s, const double *x, int64_t cg, int64_t p0,
                   int64_t np, double *col) {
  int64_t taps = s->kh * s->kw;
  for (int64_t k = 0; k < cg * taps; k++) {
    const double *plane = x + k / taps * s->h * s->w;
    int64_t dy = k % taps / s->kw * s->dh - s->top;
    int64_t dx = k % s->kw * s->dw - s->left;
    for (int64_t p = 0; p < np; p++) {
      int64_t iy = (p0 + p) / s->ow * s->sh + dy;
      int64_t ix = (p0 + p) % s->ow * s->sw + dx;
      bool in = iy >= 0 && iy < s->h && ix >= 0 && ix < s->w;
      col[k * np + p] = in ? plane[iy * s->w + ix] : 0;
    }
  }
}

bool conv2d_blas(const Window *s, const double *x, const double *w,
                 double *y) {
  int64_t cg = s->c / s->groups, og = s->o / s->groups;
  int64_t k = cg * s->kh * s->kw, pixels = s->oh * s->ow;
  if (!worth_it(og, pixels, k)) return false;
  int64_t block = COL_ELEMS / k < 1 ? 1 : COL_ELEMS / k;
  if (block > pixels) block = pixels;
  Buffer *buf = buffer_new(checked_mul((size_t)(block * k), sizeof(double)));
  double *col = (double *)(void *)buf->data;
  for (int64_t ng = 0; ng < s->n * s->groups; ng++)
    for (int64_t p = 0; p < pixels; p += block) {
      int64_t np = pixels - p < block ? pixels - p : block;
      im2col(s, x + ng * cg * s->h * s->w, cg, p, np, col);
      dgemm()(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)og, (int)np,
              (int)k, 1.0, w + ng % s->groups * og * k, (int)k, col, (int)np,
              0.0, y + ng * og * pixels + p, (int)pixels);
    }
  buffer_unref(buf);
  return true;
}

bool matmul_blas(const MatmulSizes *s, bool ta, bool tb, const double *a,
                 const double *b, double *y) {
  if (!worth_it(s->m, s->n, s->k)) return false;
  dgemm()(CblasRowMajor, ta ? CblasTrans : CblasNoTrans,
          tb ? CblasTrans : CblasNoTrans, (int)s->m, (int)s->n, (int)s->k,
          1.0, a, (int)(ta ? s->m : s->k), b, (int)(tb ? s->k : s->n), 0.0, y,
          (int)s->n);
  return true;
}

bool linear_blas(int64_t rows, int64_t k, int64_t m, const double *x,
                 const double *w, double *y) {
  if (!worth_it(m, rows, k)) return false;
  dgemm()(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)m, (int)k,
          1.0, x, (int)k, w, (int)k, 0.0, y, (int)m);
  return true;
}
