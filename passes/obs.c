/* obs.c - method=obs: weights go where the layer's outputs miss them least,
 * and those that stay change to make up for it.
 *
 * With the Gram matrix H = x' x of what a layer reads, damped, clearing
 * weight j of a row w costs w[j]^2 / inv(H)[j][j], the best change of the
 * others is -w[j] / inv(H)[j][j] times row j of inv(H) (the optimal brain
 * surgeon of Hassibi and Stork, 1993; layer by layer E. Frantar, D. Alistarh:
 * Optimal brain compression, 2022).  Columns go from left to right, for which
 * row j of the Cholesky factor u of inv(H) = u' u has what is left of the
 * inverse; what goes is chosen in blocks of columns, over all rows (E.
 * Frantar, D. Alistarh: SparseGPT, 2023).
 *
 * A column only changes those behind it.  So at the end each row is solved
 * once more for the values that stay (obs_solve.c): those are the best there
 * are for what was chosen.  Small weights have a better choice, obs_exact.c.
 *
 * before   w 1 1, columns that are the same, sparsity 0.5
 * after    w 0 2 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/calibrated.h"

/* Columns of a block. */
enum { BLOCK = 128 };

typedef struct Obs {
  const Calibrated *o;
  int64_t rows, cols, height, width, block;
  double *h, *u;         /* damped Gram matrix, all of it; factor */
  const double *gram;
  const float *old;
  double *w, *err;       /* [rows][cols]; [rows][block] */
  uint8_t *gone;         /* [rows][cols] */
  int64_t *done, *cleared;
  double lost;           /* of the outputs squared, by the sweep */
} Obs;

/* ---- matrices -------------------------------------------------------- */

double *gram_damped(Arena *a, const InputStats *in, double damp) {
  int64_t n = in->cols;
  double *h = arena_array(a, double, checked_mul((size_t)n, (size_t)n) + 1);
  double mean = 0;
  for (int64_t i = 0; i < n; i++) mean += in->gram[i * n + i] / (double)n;
  if (mean == 0) mean = 1;         /* all columns are dead */
  for (int64_t i = 0; i < n; i++) {
    for (int64_t k = i; k < n; k++)
      h[i * n + k] = h[k * n + i] = in->gram[i * n + k];
    h[i * n + i] += damp * mean;
  }
  return h;
}

static bool factor_inverse(Obs *s) {
  size_t bytes = (size_t)(s->cols * s->cols) * sizeof(double);
  memcpy(s->u, s->h, bytes);
  return cholesky(s->u, s->cols) && cholesky_inverse(s->u, s->cols) &&
         cholesky(s->u, s->cols);
}

/* ---- what goes ------------------------------------------------------- */

/* Of a column that is always 0 nothing. */
static double cost(const Obs *s, int64_t row, int64_t col) {
  if (s->gram[col * s->cols + col] == 0) return 0;
  double d = s->u[col * s->cols + col], v = s->w[row * s->cols + col];
  return v * v / (d * d);
}

static void unit_mark(Obs *s, int64_t row, int64_t col) {
  for (int64_t r = row; r < row + s->height; r++)
    memset(s->gone + r * s->cols + col, 1, (size_t)s->width);
}

typedef struct Ranked { double score; int64_t at; } Ranked;

static int by_score(const void *pa, const void *pb) {
  const Ranked *a = pa, *b = pb;
  if (a->score != b->score) return a->score < b->score ? -1 : 1;
  return a->at < b->at ? -1 : a->at > b->at;
}

static double unit_cost(const Obs *s, int64_t row, int64_t col) {
  double sum = 0;
  for (int64_t r = row; r < row + s->height; r++)
    for (int64_t c = col; c < col + s->width; c++) sum += cost(s, r, c);
  return sum;
}

/* Mark the least units of columns [lo, hi): as many as bring those of all
 * seen so far to the share that is asked for. */
static void block_mark(Obs *s, Ranked *all, int64_t lo, int64_t hi) {
  int64_t across = (hi - lo) / s->width, n = s->rows / s->height * across;
  for (int64_t i = 0; i < n; i++)
    all[i] = (Ranked){unit_cost(s, i / across * s->height,
                                lo + i % across * s->width), i};
  qsort(all, (size_t)n, sizeof *all, by_score);
  *s->done += n;
  int64_t drop = llround(s->o->sparsity * (double)*s->done) - *s->cleared;
  *s->cleared += drop;
  for (int64_t i = 0; i < drop; i++)
    unit_mark(s, all[i].at / across * s->height,
              lo + all[i].at % across * s->width);
}

/* Mark all but the n dearest of the m values of a row from col on. */
static void run_mark(Obs *s, int64_t row, int64_t col) {
  int n = s->o->pattern.a, m = s->o->pattern.b;
  for (int64_t k = col; k < col + m; k++) {
    int less = 0;
    for (int64_t i = col; i < col + m; i++) {
      double a = cost(s, row, i), b = cost(s, row, k);
      less += a < b || (a == b && i < k);
    }
    s->gone[row * s->cols + k] = less < m - n;
  }
}

/* ---- the sweep ------------------------------------------------------- */

/* Clear what is marked of a row in columns [lo, hi), changing those behind in
 * the same block; err keeps what the columns behind the block need. */
static void row_sweep(Obs *s, int64_t row, int64_t lo, int64_t hi) {
  double *w = s->w + row * s->cols, *err = s->err + row * s->block;
  const uint8_t *gone = s->gone + row * s->cols;
  bool nm = s->o->pattern.kind == PATTERN_NM;
  for (int64_t i = lo; i < hi; i++) {
    const double *u = s->u + i * s->cols;
    if (nm && i % s->o->pattern.b == 0) run_mark(s, row, i);
    err[i - lo] = gone[i] ? w[i] / u[i] : 0;
    s->lost += err[i - lo] * err[i - lo];
    if (!gone[i]) continue;
    for (int64_t k = i + 1; k < hi; k++) w[k] -= err[i - lo] * u[k];
    w[i] = 0;
  }
}

static void sweep(Arena *a, Obs *s) {
  int64_t n = s->cols;
  size_t units = (size_t)(s->rows / s->height * (s->block / s->width));
  Ranked *all = arena_array(a, Ranked, units + 1);
  for (int64_t lo = 0; lo < n; lo += s->block) {
    int64_t hi = lo + s->block < n ? lo + s->block : n;
    if (s->o->pattern.kind != PATTERN_NM) block_mark(s, all, lo, hi);
    for (int64_t r = 0; r < s->rows; r++) row_sweep(s, r, lo, hi);
    product_subtract(s->w + hi, n, s->err, s->block, s->u + lo * n + hi, n,
                     s->rows, n - hi, hi - lo);
  }
}

/* ---- the whole ------------------------------------------------------- */

static void obs_room(Arena *a, Obs *s) {
  size_t n = (size_t)s->cols, rows = (size_t)s->rows;
  s->u = arena_array(a, double, checked_mul(n, n));
  s->w = arena_array(a, double, checked_mul(rows, n));
  s->gone = arena_array(a, uint8_t, checked_mul(rows, n));
  s->err = arena_array(a, double, checked_mul(rows, (size_t)s->block));
}

/* Room, the damped matrix and its factor. */
static bool obs_open(Arena *a, Obs *s, const Calibrated *o,
                     const InputStats *in, const Matrix *w) {
  const Pattern *p = &o->pattern;
  bool block = p->kind == PATTERN_BLOCK;
  int64_t step = p->kind == PATTERN_UNSTRUCTURED ? 1 : p->b;
  *s = (Obs){.o = o, .rows = in->hi - in->lo, .cols = w->cols,
             .gram = in->gram, .old = w->v + in->lo * w->cols,
             .height = block ? p->a : 1, .width = block ? p->b : 1};
  s->block = step > BLOCK ? step : BLOCK / step * step;
  obs_room(a, s);
  s->h = gram_damped(a, in, o->damp);
  return factor_inverse(s);
}

static void weights_load(Obs *s) {
  for (int64_t i = 0; i < s->rows * s->cols; i++) s->w[i] = s->old[i];
  memset(s->gone, 0, (size_t)(s->rows * s->cols));
}

bool obs_prune(Arena *a, const Calibrated *o, const InputStats *in, Matrix w,
               int64_t *done, int64_t *gone) {
  Obs s;
  if (in->hi == in->lo || w.cols == 0) return true;
  if (!obs_open(a, &s, o, in, &w)) return false;
  s.done = done;
  s.cleared = gone;
  weights_load(&s);
  sweep(a, &s);
  return rows_solve(a, s.h, s.cols, s.gone, s.height, s.rows, s.w,
                    w.v + in->lo * w.cols);
}

/* ---- what shares cost ------------------------------------------------ */

bool obs_curve(Arena *a, const Calibrated *o, const InputStats *in, Matrix w,
               Curve *out) {
  Obs s;
  if (in->hi == in->lo || w.cols == 0) return true;
  if (!obs_open(a, &s, o, in, &w)) return false;
  for (int i = 0; i < CURVE; i++) {
    Calibrated at = *o;
    at.sparsity = out->share[i];
    s.o = &at;
    s.done = &out->done[i];
    s.cleared = &out->gone[i];
    s.lost = 0;
    weights_load(&s);
    sweep(a, &s);
    out->lost[i] += s.lost;
  }
  return true;
}
