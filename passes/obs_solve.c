/* obs_solve.c - method=obs, when it is known which weights stay: the values
 * for which the layer's outputs change least.  With the damped Gram matrix H
 * of a layer, rows S of it that stay and P that go, a row w becomes
 * w[S] + inv(H[S][S]) H[S][P] w[P]. */
#include "passes/calibrated.h"

/* Where solving all rows takes more products, what was worked out before
 * stays. */
static const double solve_most = 4e12;

typedef struct Solve {
  const double *h;
  int64_t n, count, k;     /* columns; rows that are alike; what stays */
  int64_t *kept;
  double *a, *b;           /* [k][k]; [count][k] */
} Solve;

static void sides_fill(Solve *s, const uint8_t *gone, const float *old) {
  for (int64_t i = 0; i < s->k; i++)
    for (int64_t j = 0; j < s->k; j++)
      s->a[i * s->k + j] = s->h[s->kept[i] * s->n + s->kept[j]];
  for (int64_t r = 0; r < s->count; r++)
    for (int64_t i = 0; i < s->k; i++) {
      const double *h = s->h + s->kept[i] * s->n;
      double sum = 0;
      for (int64_t j = 0; j < s->n; j++)
        if (gone[j]) sum += h[j] * old[r * s->n + j];
      s->b[r * s->k + i] = sum;
    }
}

/* `count` rows have gone[0..n) in common. */
static bool alike_solve(Solve *s, const uint8_t *gone, double *w,
                        const float *old) {
  s->k = 0;
  for (int64_t i = 0; i < s->n; i++)
    if (!gone[i]) s->kept[s->k++] = i;
  if (s->k == s->n) return true;
  sides_fill(s, gone, old);
  if (!symmetric_solve(s->a, s->k, s->b, s->count)) return false;
  for (int64_t r = 0; r < s->count; r++)
    for (int64_t i = 0; i < s->k; i++) {
      int64_t at = r * s->n + s->kept[i];
      w[at] = old[at] + s->b[r * s->k + i];
    }
  return true;
}

static double products(const uint8_t *gone, int64_t n, int64_t height,
                       int64_t rows) {
  double sum = 0;
  for (int64_t r = 0; r < rows; r += height) {
    double k = 0;
    for (int64_t i = 0; i < n; i++) k += !gone[r * n + i];
    sum += k * k * k / 3;
  }
  return sum;
}

bool rows_solve(Arena *a, const double *h, int64_t n, const uint8_t *gone,
                int64_t height, int64_t rows, double *w, float *v) {
  Solve s = {.h = h, .n = n, .count = height};
  bool whole = products(gone, n, height, rows) <= solve_most;
  s.kept = arena_array(a, int64_t, (size_t)n + 1);
  if (whole) {
    s.a = arena_array(a, double, checked_mul((size_t)n, (size_t)n) + 1);
    s.b = arena_array(a, double, checked_mul((size_t)n, (size_t)height) + 1);
  }
  for (int64_t r = 0; whole && r < rows; r += height)
    if (!alike_solve(&s, gone + r * n, w + r * n, v + r * n)) return false;
  for (int64_t i = 0; i < rows * n; i++) v[i] = gone[i] ? 0 : (float)w[i];
  return true;
}
