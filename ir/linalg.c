/* linalg.c - products and factors of matrices by OpenBLAS and its LAPACK, for
 * recipes.  All matrices are row-major; of a symmetric one the upper
 * triangle counts, which LAPACK, column-major, calls the lower one. */
#include "ir/eval.h"

#include <cblas.h>
#include <limits.h>
#include <stdlib.h>

typedef __typeof__(cblas_dsyrk) Dsyrk;
typedef __typeof__(cblas_dgemm) Dgemm;
typedef void Factor(const char *uplo, const int *n, double *a, const int *lda,
                    int *info);
typedef void Solve(const char *uplo, const int *n, const int *nrhs, double *a,
                   const int *lda, double *b, const int *ldb, int *info);

typedef void Svd(const char *job, const int *m, const int *n, double *a,
                 const int *lda, double *s, double *u, const int *ldu,
                 double *vt, const int *ldvt, double *work, const int *lwork,
                 int *iwork, int *info);

void gram_add(double *g, int64_t n, const double *x, int64_t rows) {
  static Dsyrk *syrk;
  if (!syrk) *(void **)&syrk = blas_symbol("cblas_dsyrk");
  ensure(n <= INT_MAX && rows <= INT_MAX);
  if (n == 0 || rows == 0) return;
  syrk(CblasRowMajor, CblasUpper, CblasTrans, (int)n, (int)rows, 1.0, x,
       (int)n, 1.0, g, (int)n);
}

void product_subtract(double *c, int64_t ldc, const double *a, int64_t lda,
                      const double *b, int64_t ldb, int64_t m, int64_t n,
                      int64_t k) {
  static Dgemm *gemm;
  if (!gemm) *(void **)&gemm = blas_symbol("cblas_dgemm");
  if (m == 0 || n == 0 || k == 0) return;
  gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k,
       -1.0, a, (int)lda, b, (int)ldb, 1.0, c, (int)ldc);
}

static bool factor(const char *name, double *a, int64_t n) {
  Factor *f;
  int size = (int)n, info = 0;
  if (n == 0) return true;
  *(void **)&f = blas_symbol(name);
  f("L", &size, a, &size, &info);
  return info == 0;
}

bool cholesky(double *a, int64_t n) { return factor("dpotrf_", a, n); }

bool cholesky_inverse(double *a, int64_t n) {
  return factor("dpotri_", a, n);
}

bool symmetric_solve(double *a, int64_t n, double *b, int64_t count) {
  static Solve *solve;
  if (!solve) *(void **)&solve = blas_symbol("dposv_");
  int size = (int)n, columns = (int)count, info = 0;
  if (n == 0 || count == 0) return true;
  solve("L", &size, &columns, a, &size, b, &size, &info);
  return info == 0;
}

/* Column-major, a is its transpose v diag(s) u'. */
bool svd(double *a, int64_t m, int64_t n, double *u, double *s, double *vt) {
  static Svd *decompose;
  if (!decompose) *(void **)&decompose = blas_symbol("dgesdd_");
  ensure(m <= SVD_MOST || n <= SVD_MOST);
  int rows = (int)n, cols = (int)m, k = rows < cols ? rows : cols;
  int query = -1, info = 0;
  double size = 0;
  if (k == 0) return true;
  decompose("S", &rows, &cols, a, &rows, s, vt, &rows, u, &k, &size, &query,
            &k, &info);
  query = (int)size;
  double *work = malloc((size_t)query * sizeof *work);
  int *iwork = malloc(8 * (size_t)k * sizeof *iwork);
  ensure(work && iwork);
  decompose("S", &rows, &cols, a, &rows, s, vt, &rows, u, &k, work, &query,
            iwork, &info);
  free(work);
  free(iwork);
  return info == 0;
}
