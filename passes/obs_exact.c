/* obs_exact.c - method=obs on small weights: single values go one after the
 * other.  In each row the value that costs least goes, the others make up for
 * it, and so on to the last; then of all rows together the least steps are
 * taken, each behind those before it in its row (E. Frantar, D. Alistarh:
 * Optimal brain compression, 2022, algorithms 1 and 2).
 *
 * With a = inv(H), value p costs w[p]^2 / a[p][p]; then w changes by
 * -w[p] / a[p][p] a[p], and a by -a[p]' a[p] / a[p][p]. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/calibrated.h"

/* More products than these take too long. */
static const double exact_most = 5e9;

/* `cost` is that of the step, `key` the largest of its row up to it. */
typedef struct Step { double key, cost; int64_t row; int32_t at, col; } Step;

/* A row on its way: what is left of it lies in front. */
typedef struct Row {
  int64_t n, left;
  double *a, *w;         /* [n][n], [n] */
  int32_t *col;          /* which column each is */
  const double *gram;
} Row;

bool obs_is_exact(const Calibrated *o, const WeightStats *s) {
  double sum = 0;
  for (size_t i = 0; i < s->inputs.n; i++) {
    const InputStats *in = &s->inputs.at[i];
    double n = (double)in->cols;
    sum += (double)(in->hi - in->lo) * n * n * n / 3;
  }
  return o->pattern.kind == PATTERN_UNSTRUCTURED && sum <= exact_most;
}

/* ---- a row ----------------------------------------------------------- */

/* Of a column that is always 0 nothing. */
static double cost(const Row *r, int64_t i) {
  if (r->gram[r->col[i] * r->n + r->col[i]] == 0) return 0;
  return r->w[i] * r->w[i] / r->a[i * r->n + i];
}

static int64_t cheapest(const Row *r) {
  int64_t best = 0;
  double least = cost(r, 0);
  for (int64_t i = 1; i < r->left; i++) {
    double c = cost(r, i);
    if (c > least || (c == least && r->col[i] > r->col[best])) continue;
    best = i;
    least = c;
  }
  return best;
}

/* Put what is at p last. */
static void to_end(Row *r, int64_t p) {
  int64_t n = r->n, q = r->left - 1;
  if (p == q) return;
  for (int64_t i = 0; i < r->left; i++) {
    double x = r->a[p * n + i];
    r->a[p * n + i] = r->a[q * n + i];
    r->a[q * n + i] = x;
  }
  for (int64_t i = 0; i < r->left; i++) {
    double x = r->a[i * n + p];
    r->a[i * n + p] = r->a[i * n + q];
    r->a[i * n + q] = x;
  }
  double w = r->w[p];
  r->w[p] = r->w[q];
  r->w[q] = w;
  int32_t c = r->col[p];
  r->col[p] = r->col[q];
  r->col[q] = c;
}

/* The last one goes. */
static void last_clear(Row *r) {
  int64_t n = r->n, q = --r->left;
  const double *line = r->a + q * n;
  double d = line[q], w = r->w[q] / d;
  for (int64_t i = 0; i < q; i++) {
    double f = line[i] / d, *to = r->a + i * n;
    r->w[i] -= w * line[i];
    for (int64_t k = 0; k < q; k++) to[k] -= f * line[k];
  }
}

static void row_steps(Row *r, int64_t row, Step *out) {
  double most = 0;
  for (int32_t i = 0; r->left; i++) {
    int64_t p = cheapest(r);
    double c = cost(r, p);
    if (c > most) most = c;
    out[i] = (Step){most, c, row, i, r->col[p]};
    to_end(r, p);
    last_clear(r);
  }
}

/* ---- a weight -------------------------------------------------------- */

static int by_key(const void *pa, const void *pb) {
  const Step *a = pa, *b = pb;
  if (a->key != b->key) return a->key < b->key ? -1 : 1;
  if (a->row != b->row) return a->row < b->row ? -1 : 1;
  return a->at < b->at ? -1 : a->at > b->at;
}

static void mirror(double *a, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < i; k++) a[i * n + k] = a[k * n + i];
}

static bool rows_steps(const Calibrated *o, const InputStats *in, Matrix w,
                       Step *out) {
  Arena *a = arena_new();
  size_t n = (size_t)w.cols;
  double *h = gram_damped(a, in, o->damp);
  Row r = {.n = w.cols, .a = arena_array(a, double, n * n + 1),
           .w = arena_array(a, double, n + 1),
           .col = arena_array(a, int32_t, n + 1), .gram = in->gram};
  bool ok = cholesky(h, w.cols) && cholesky_inverse(h, w.cols);
  mirror(h, w.cols);
  for (int64_t row = in->lo; ok && row < in->hi; row++) {
    memcpy(r.a, h, n * n * sizeof *h);
    r.left = w.cols;
    for (int32_t i = 0; i < w.cols; i++) {
      r.w[i] = w.v[row * w.cols + i];
      r.col[i] = i;
    }
    row_steps(&r, row, out + row * w.cols);
  }
  arena_free(a);
  return ok;
}

/* All steps in the order in which they are taken; rows that no layer uses
 * cost nothing. */
static Buffer *steps_make(const Calibrated *o, const WeightStats *s,
                          Matrix w) {
  size_t n = (size_t)(w.rows * w.cols);
  Buffer *b = buffer_new(checked_mul(n, sizeof(Step)));
  Step *steps = (Step *)(void *)b->data;
  bool ok = true;
  for (size_t i = 0; i < n; i++)
    steps[i] = (Step){0, 0, (int64_t)i / w.cols, (int32_t)((int64_t)i % w.cols),
                      (int32_t)((int64_t)i % w.cols)};
  for (size_t i = 0; i < s->inputs.n && ok; i++)
    ok = rows_steps(o, &s->inputs.at[i], w, steps);
  if (n) qsort(steps, n, sizeof *steps, by_key);
  if (ok) return b;
  buffer_unref(b);
  return NULL;
}

static bool rows_write(const Calibrated *o, const InputStats *in, Matrix w,
                       const uint8_t *gone) {
  Arena *a = arena_new();
  int64_t at = in->lo * w.cols, rows = in->hi - in->lo;
  double *h = gram_damped(a, in, o->damp);
  double *v = arena_array(a, double, (size_t)(rows * w.cols) + 1);
  for (int64_t i = 0; i < rows * w.cols; i++) v[i] = w.v[at + i];
  bool ok = rows_solve(a, h, w.cols, gone + at, 1, rows, v, w.v + at);
  arena_free(a);
  return ok;
}

static bool rows_used(const WeightStats *s, int64_t row) {
  for (size_t i = 0; i < s->inputs.n; i++)
    if (row >= s->inputs.at[i].lo && row < s->inputs.at[i].hi) return true;
  return false;
}

bool exact_prune(Arena *a, const Calibrated *o, const WeightStats *s,
                 Matrix w) {
  Buffer *b = steps_make(o, s, w);
  if (!b) return false;
  const Step *steps = (const Step *)(const void *)b->data;
  int64_t n = w.rows * w.cols, drop = llround(o->sparsity * (double)n);
  uint8_t *gone = arena_array(a, uint8_t, (size_t)n + 1);
  bool ok = true;
  for (int64_t i = 0; i < drop; i++)
    gone[steps[i].row * w.cols + steps[i].col] = 1;
  for (int64_t i = 0; i < n; i++)   /* rows that no layer uses, too */
    if (gone[i] && !rows_used(s, i / w.cols)) w.v[i] = 0;
  for (size_t i = 0; i < s->inputs.n && ok; i++)
    ok = rows_write(o, &s->inputs.at[i], w, gone);
  buffer_unref(b);
  return ok;
}

bool exact_curve(const Calibrated *o, const WeightStats *s, Matrix w,
                 Curve *out) {
  Buffer *b = steps_make(o, s, w);
  if (!b) return false;
  const Step *steps = (const Step *)(const void *)b->data;
  double n = (double)(w.rows * w.cols), sum = 0;
  int64_t at = 0;
  for (int i = 0; i < CURVE; i++) {
    for (int64_t to = llround(out->share[i] * n); at < to; at++)
      sum += steps[at].cost;
    out->lost[i] = sum;
  }
  buffer_unref(b);
  return true;
}
