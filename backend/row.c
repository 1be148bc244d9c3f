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

/* Several vectors at once, from element `from` to `to`, multiples of them. */
static void row_loop(Gen *g, Val from, Val to, bool nonempty, RowStep *step,
                     const void *ctx, Val *acc, int several) {
  int lanes = g->t->lanes;
  Loop l;
  loop_begin(g, &l, from, to, several * lanes, nonempty, "row");
  for (int k = 0; k < several; k++)
    if (acc[k]) loop_carry(g, &l, &acc[k]);
  for (int k = 0; k < several; k++) {
    Val at = mul64(g, add64(g, l.iv, k64(g, k * lanes)), 4);
    acc[k] = step(g, ctx, at, (Lanes){ lanes, NULL }, acc[k]);
  }
  loop_end(g, &l);
}

/* A row whose size is known at run time. */
static void row_counted(Gen *g, Val count, RowStep *step, const void *ctx,
                        Val *acc, int several) {
  int lanes = g->t->lanes;
  Val most = LLVMBuildUDiv(g->b, count, k64(g, several * lanes), "");
  most = mul64(g, most, several * lanes);
  Val whole = and64(g, count, -lanes);
  row_loop(g, k64(g, 0), most, false, step, ctx, acc, several);
  row_loop(g, most, whole, false, step, ctx, acc, 1);
  Val mask = lanes_below(g, LLVMBuildNSWSub(g->b, count, whole, ""));
  acc[0] = step(g, ctx, mul64(g, whole, 4), (Lanes){ lanes, mask }, acc[0]);
}

/* All of the row; vector i goes to acc[i % several], where there are any. */
static void row_walk(Gen *g, RowSize size, RowStep *step, const void *ctx,
                     Val *acc, int several) {
  int lanes = g->t->lanes;
  int64_t n = size.n, whole = n / lanes, i = 0;
  if (size.count) {
    row_counted(g, size.count, step, ctx, acc, several);
    return;
  }
  if (whole > 2 * several) {
    i = whole / several * several;
    row_loop(g, k64(g, 0), k64(g, i * lanes), true, step, ctx, acc, several);
  }
  for (; i < whole; i++)
    acc[i % several] = step(g, ctx, k64(g, i * lanes * 4),
                            (Lanes){ lanes, NULL }, acc[i % several]);
  if (n % lanes)
    acc[0] = step(g, ctx, k64(g, whole * lanes * 4),
                  (Lanes){ (int)(n % lanes), NULL }, acc[0]);
}

Val row_fold(Gen *g, RowSize size, RowStep *step, const void *ctx, Val start,
             Val neutral, bool max) {
  int64_t whole = size.n / g->t->lanes;
  int several = whole < 1 ? 1 : whole < ROW_VECTORS ? (int)whole : ROW_VECTORS;
  Val acc[ROW_VECTORS] = { start };
  for (int k = 1; k < several; k++) acc[k] = neutral;
  row_walk(g, size, step, ctx, acc, several);
  for (int k = 1; k < several; k++)
    acc[0] = max ? max_step(g, acc[0], acc[k]) : addf(g, acc[0], acc[k]);
  return fold_all(g, acc[0], max);
}

void row_each(Gen *g, RowSize size, RowStep *step, const void *ctx) {
  Val none[ROW_VECTORS] = { NULL };
  row_walk(g, size, step, ctx, none, ROW_VECTORS);
}

Val lanes_load(Gen *g, Val p, Lanes l) {
  return l.mask ? load_words(g, F32, p, l.mask) : load_lanes(g, p, 0, l.n);
}

void lanes_store(Gen *g, Val v, Val p, Lanes l) {
  if (l.mask) store_words(g, v, p, l.mask);
  else store_lanes(g, v, p, 0, l.n);
}

Val lanes_or(Gen *g, Val x, Lanes l, double v) {
  int lane[64], lanes = g->t->lanes;
  if (l.mask) return LLVMBuildSelect(g->b, l.mask, x, const_like(g, x, v), "");
  if (l.n == lanes) return x;
  for (int i = 0; i < lanes; i++) lane[i] = i < l.n ? i : lanes + i;
  return vshuffle(g, x, const_like(g, x, v), lane, lanes);
}
