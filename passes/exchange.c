/* exchange.c - a matrix as sparse powers of two times a small basis, by
 * alternating least squares (Zhao et al., 2020, "SmartExchange"): from c = w
 * and b = 1, until the rounding of c changes nothing,
 *
 *   columns of c get norm 1, elements become the nearest powers of two;
 *   b fits w best with this c;  c fits w best with this b where it is not 0;
 *   small rows of c become 0;
 *
 * at last c is rounded and b fitted once more, and rounded to 8 bits. */
#include "passes/exchange.h"

#include <math.h>
#include <string.h>

enum { TURNS = 30 };
static const double tolerance = 1e-10;

typedef struct Fit {
  Arena *a;
  const ExchangeOpts *o;
  const double *w;
  int64_t m;
  int n;
  double *c, *b;
} Fit;

/* ---- small systems --------------------------------------------------- */

/* The pseudo-inverse of a symmetric g[n][n], in its place. */
static void invert(double *g, int n) {
  enum { N = EXCHANGE_MOST };
  double u[N * N], s[N], vt[N * N];
  bool ok = svd(g, n, n, u, s, vt);
  ensure(ok);
  for (int i = 0; i < n; i++)
    for (int k = 0; k < n; k++) {
      double sum = 0;
      for (int r = 0; r < n && s[r] > 1e-12 * s[0]; r++)
        sum += vt[r * n + i] * u[k * n + r] / s[r];
      g[i * n + k] = sum;
    }
}

static double error(const Fit *f) {
  double sum = 0;
  for (int64_t i = 0; i < f->m; i++)
    for (int k = 0; k < f->n; k++) {
      double d = f->w[i * f->n + k];
      for (int r = 0; r < f->n; r++)
        d -= f->c[i * f->n + r] * f->b[r * f->n + k];
      sum += d * d;
    }
  return sum;
}

static void say(const Fit *f, const char *step) {
  if (f->o->seen) f->o->seen(f->o->ctx, step, error(f));
}

/* b = (c'c)^-1 c'w */
static void fit_basis(Fit *f) {
  enum { N = EXCHANGE_MOST };
  int n = f->n;
  double g[N * N] = {0}, cw[N * N] = {0};
  say(f, "round");
  for (int64_t i = 0; i < f->m; i++)
    for (int r = 0; r < n; r++) {
      double c = f->c[i * n + r];
      for (int k = 0; c != 0 && k < n; k++) {
        g[r * n + k] += c * f->c[i * n + k];
        cw[r * n + k] += c * f->w[i * n + k];
      }
    }
  invert(g, n);
  for (int r = 0; r < n; r++)
    for (int k = 0; k < n; k++) {
      double sum = 0;
      for (int q = 0; q < n; q++) sum += g[r * n + q] * cw[q * n + k];
      f->b[r * n + k] = sum;
    }
  say(f, "basis");
}

/* The inverse of the products of the rows of b that a mask has, by number
 * among them. */
static void mask_inverse(const Fit *f, const int *row, int count, double *g) {
  int n = f->n;
  for (int i = 0; i < count; i++)
    for (int k = 0; k < count; k++) {
      double sum = 0;
      for (int q = 0; q < n; q++)
        sum += f->b[row[i] * n + q] * f->b[row[k] * n + q];
      g[i * count + k] = sum;
    }
  invert(g, count);
}

static int rows_of_mask(const double *c, int n, int *row) {
  int count = 0;
  for (int r = 0; r < n; r++)
    if (c[r] != 0) row[count++] = r;
  return count;
}

/* Each row of c, where it is not 0.  Rows with the same zeros share what is
 * inverted. */
static void fit_rows(Fit *f) {
  enum { N = EXCHANGE_MOST };
  int n = f->n, row[N];
  double *known[1 << N] = {0};
  for (int64_t i = 0; i < f->m; i++) {
    double *c = f->c + i * n, bw[N];
    int count = rows_of_mask(c, n, row), mask = 0;
    for (int r = 0; r < count; r++) mask |= 1 << row[r];
    if (!count) continue;
    if (!known[mask]) {
      known[mask] = arena_array(f->a, double, (size_t)(count * count));
      mask_inverse(f, row, count, known[mask]);
    }
    for (int r = 0; r < count; r++) {
      bw[r] = 0;
      for (int q = 0; q < n; q++)
        bw[r] += f->b[row[r] * n + q] * f->w[i * n + q];
    }
    for (int r = 0; r < count; r++) {
      c[row[r]] = 0;
      for (int q = 0; q < count; q++)
        c[row[r]] += known[mask][r * count + q] * bw[q];
    }
  }
  say(f, "rows");
}

/* ---- powers of two --------------------------------------------------- */

/* Columns of c get norm 1; the rows of b take what they had. */
static void columns_scale(Fit *f) {
  int n = f->n;
  for (int r = 0; r < n; r++) {
    double norm = 0;
    for (int64_t i = 0; i < f->m; i++)
      norm += f->c[i * n + r] * f->c[i * n + r];
    norm = sqrt(norm);
    if (norm == 0) continue;
    for (int64_t i = 0; i < f->m; i++) f->c[i * n + r] /= norm;
    for (int k = 0; k < n; k++) f->b[r * n + k] *= norm;
  }
}

/* Of the power of two that is nearest to a number above 0. */
static int exponent_of(double x) {
  int e;
  return frexp(x, &e) < 0.75 ? e - 1 : e;
}

/* Elements become the nearest powers of two, of the largest one and the next
 * smaller ones, or 0; by how much, as a norm. */
static double elements_round(Fit *f) {
  double largest = 0, moved = 0;
  int64_t all = f->m * f->n;
  for (int64_t i = 0; i < all; i++) largest = fmax(largest, fabs(f->c[i]));
  if (largest == 0) return 0;
  int least = exponent_of(largest) - f->o->powers + 1;
  for (int64_t i = 0; i < all; i++) {
    double x = fabs(f->c[i]), to = 0;
    if (x >= ldexp(1, least - 1)) {
      int e = exponent_of(x);
      to = ldexp(1, e < least ? least : e);
    }
    moved += (x - to) * (x - to);
    f->c[i] = copysign(to, f->c[i]);
    if (to == 0) f->c[i] = 0;
  }
  return sqrt(moved);
}

static void rows_drop(Fit *f) {
  int n = f->n;
  double largest = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int64_t i = 0; i < f->m; i++) {
      double norm = 0, *c = f->c + i * n;
      for (int r = 0; r < n; r++) norm += c[r] * c[r];
      if (pass == 0) largest = fmax(largest, norm);
      else if (sqrt(norm) < f->o->threshold * sqrt(largest))
        memset(c, 0, (size_t)n * sizeof *c);
    }
}

static void basis_round(Fit *f) {
  double largest = 0;
  for (int i = 0; i < f->n * f->n; i++)
    largest = fmax(largest, fabs(f->b[i]));
  if (largest == 0) return;
  for (int i = 0; i < f->n * f->n; i++)
    f->b[i] = nearbyint(f->b[i] / largest * 127) * (largest / 127);
}

/* ---- all ------------------------------------------------------------- */

/* Codes of an element: 0, and each power with two signs. */
static int64_t bits_of(const Fit *f) {
  int64_t each = 0, rows = 0;
  while ((1 << each) < 2 * f->o->powers + 1) each++;
  for (int64_t i = 0; i < f->m; i++) {
    int any = 0;
    for (int r = 0; r < f->n; r++) any |= f->c[i * f->n + r] != 0;
    rows += any;
  }
  /* The largest exponent in 8 bits, the unit of b in 32. */
  return rows * f->n * each + f->m + 8 + (int64_t)f->n * f->n * 8 + 32;
}

int64_t exchange(Arena *a, const ExchangeOpts *o, const double *w, int64_t m,
                 int64_t n, double *c, double *b) {
  Fit f = {a, o, w, m, (int)n, c, b};
  ensure(n >= 1 && n <= EXCHANGE_MOST && o->powers >= 1);
  memcpy(c, w, (size_t)(m * n) * sizeof *c);
  for (int64_t i = 0; i < n * n; i++) b[i] = i % (n + 1) == 0;
  for (int turn = 0; turn < TURNS; turn++) {
    columns_scale(&f);
    if (elements_round(&f) < tolerance) break;
    fit_basis(&f);
    fit_rows(&f);
    rows_drop(&f);
  }
  columns_scale(&f);
  elements_round(&f);
  fit_basis(&f);
  basis_round(&f);
  return bits_of(&f);
}
