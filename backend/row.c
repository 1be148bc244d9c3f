/* row.c - rows of floats side by side, in vectors, some of them at once so
 * that sums need not wait for one another. */
#include "backend/row.h"

#include "backend/vmath.h"

/* Vectors at once. */
enum { ROW_VECTORS = 4 };

Val max_step(Gen *g, Val acc, Val x) {
  return vm_select(g, LLVMRealOLT, acc, x, x, acc);
}

/* Fold the lanes of a vector; every lane of the result is the fold. */
static Val fold_all(Gen *g, Val v, bool max) {
  int lane[64], lanes = g->t->lanes;
  for (int w = lanes / 2; w >= 1; w /= 2) {
    for (int i = 0; i < lanes; i++) lane[i] = i ^ w;
    Val o = vshuffle(g, v, v, lane, lanes);
    v = max ? max_step(g, v, o) : addf(g, v, o);
  }
  return v;
}

/* All of the row; vector i goes to acc[i % several], where there are any. */
static void row_walk(Gen *g, int64_t n, RowStep *step, const void *ctx,
                     Val *acc, int several) {
  int lanes = g->t->lanes;
  int64_t whole = n / lanes, i = 0;
  if (whole > 2 * several) {
    Loop l;
    i = whole / several * several;
    loop_begin(g, &l, k64(g, 0), k64(g, i * lanes), several * lanes, true,
               "row");
    for (int k = 0; k < several; k++)
      if (acc[k]) loop_carry(g, &l, &acc[k]);
    for (int k = 0; k < several; k++) {
      Val at = mul64(g, add64(g, l.iv, k64(g, k * lanes)), 4);
      acc[k] = step(g, ctx, at, lanes, acc[k]);
    }
    loop_end(g, &l);
  }
  for (; i < whole; i++)
    acc[i % several] = step(g, ctx, k64(g, i * lanes * 4), lanes,
                            acc[i % several]);
  if (n % lanes)
    acc[0] = step(g, ctx, k64(g, whole * lanes * 4), (int)(n % lanes),
                  acc[0]);
}

Val row_fold(Gen *g, int64_t n, RowStep *step, const void *ctx, Val start,
             Val neutral, bool max) {
  int64_t whole = n / g->t->lanes;
  int several = whole < 1 ? 1 : whole < ROW_VECTORS ? (int)whole : ROW_VECTORS;
  Val acc[ROW_VECTORS] = { start };
  for (int k = 1; k < several; k++) acc[k] = neutral;
  row_walk(g, n, step, ctx, acc, several);
  for (int k = 1; k < several; k++)
    acc[0] = max ? max_step(g, acc[0], acc[k]) : addf(g, acc[0], acc[k]);
  return fold_all(g, acc[0], max);
}

void row_each(Gen *g, int64_t n, RowStep *step, const void *ctx) {
  Val none[ROW_VECTORS] = { NULL };
  row_walk(g, n, step, ctx, none, ROW_VECTORS);
}

Val lanes_or(Gen *g, Val x, int n, double v) {
  int lane[64], lanes = g->t->lanes;
  if (n == lanes) return x;
  for (int i = 0; i < lanes; i++) lane[i] = i < n ? i : lanes + i;
  return vshuffle(g, x, const_like(g, x, v), lane, lanes);
}
