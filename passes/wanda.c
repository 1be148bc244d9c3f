/* wanda.c - method=wanda: the score of a weight is its absolute value times
 * the norm of the column it is multiplied with, compared within each output
 * (M. Sun, Z. Liu, A. Bair, J. Z. Kolter: A simple and effective pruning
 * approach for large language models, 2023).
 *
 * before   row 3 1, columns of norms 1 and 10, sparsity 0.5
 * after    row 0 1 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/calibrated.h"

typedef struct Unit { double score; int64_t at; } Unit;

static int by_score(const void *pa, const void *pb) {
  const Unit *a = pa, *b = pb;
  if (a->score != b->score) return a->score < b->score ? -1 : 1;
  return a->at < b->at ? -1 : a->at > b->at;
}

static const InputStats *stats_of_row(const WeightStats *s, int64_t row) {
  for (size_t i = 0; i < s->inputs.n; i++)
    if (row >= s->inputs.at[i].lo && row < s->inputs.at[i].hi)
      return &s->inputs.at[i];
  return NULL;   /* no layer uses the row */
}

/* scores[k] += those of the row's values in unit k, of `width` columns. */
static void row_score(const InputStats *in, const float *row, int64_t cols,
                      int64_t width, Unit *units) {
  for (int64_t i = 0; in && i < cols; i++)
    units[i / width].score += fabs(row[i]) * sqrt(in->square[i]);
}

/* Clear the `drop` least of n units, each `height` rows by `width`. */
static void units_clear(Unit *units, int64_t n, int64_t drop, float *v,
                        int64_t cols, int64_t height, int64_t width) {
  qsort(units, (size_t)n, sizeof *units, by_score);
  for (int64_t i = 0; i < drop; i++)
    for (int64_t r = 0; r < height; r++)
      memset(v + r * cols + units[i].at * width, 0,
             (size_t)width * sizeof *v);
}

void wanda_prune(Arena *a, const Calibrated *o, const WeightStats *stats,
                 Matrix w) {
  const Pattern *p = &o->pattern;
  bool nm = p->kind == PATTERN_NM, block = p->kind == PATTERN_BLOCK;
  int64_t height = block ? p->a : 1, width = block ? p->b : 1;
  int64_t units = w.cols / width, run = nm ? p->b : units;
  int64_t drop = nm ? p->b - p->a : llround(o->sparsity * (double)units);
  Unit *u = arena_array(a, Unit, (size_t)units + 1);
  for (int64_t row = 0; row < w.rows && w.cols; row += height) {
    float *v = w.v + row * w.cols;
    for (int64_t i = 0; i < units; i++) u[i] = (Unit){0, i};
    for (int64_t r = 0; r < height; r++)
      row_score(stats_of_row(stats, row + r), v + r * w.cols, w.cols, width,
                u);
    for (int64_t at = 0; at < units; at += run)
      units_clear(u + at, run, drop, v, w.cols, height, width);
  }
}
