/* choose.c - the one place that weighs alternatives: which format a weight
 * takes, and how large a register tile is.
 *
 * Times of formats are relative to one dense multiply-accumulate of the
 * same op on the same machine.  A table of 4x1 blocks reads one index and
 * one column of x for four rows; a table of single values reads both for
 * each value.
 * source     bench/ (rows of conv 1x1 and linear at several densities); the
 *            order of magnitude is that of the tables in doc/internals.md */
#include "passes/passes.h"

static const struct FormatCost {
  Op op;
  double bsr, csr;   /* a stored value, against 1 of dense */
} costs[] = {
  {OP_CONV2D, 1.5, 2.5},
  {OP_LINEAR, 1.6, 2.5},
};
/* Blocks fuller than this are left dense whatever the table says. */
static const double block_limit = 0.6;

Format format_choose(Op op, int64_t all, int64_t nonzero, int64_t blocked)
{
  const struct FormatCost *cost = &costs[op == OP_LINEAR];
  double dense = (double)all;
  double csr = cost->csr * (double)nonzero;
  double bsr = cost->bsr * (double)blocked;
  bool blocks = blocked >= 0 && (double)blocked <= block_limit * dense;
  if (blocks && bsr < dense && bsr <= csr) return FORMAT_BSR;
  return csr <= dense && all > 0 ? FORMAT_CSR : FORMAT_DENSE;
}

/* ---- tiles ---------------------------------------------------------- */

/* Time of one step of a tile of r rows x t vectors: two products a cycle,
 * two loads a cycle, four cycles until a sum can be added to; in 32nds of a
 * cycle, and one more for each load, so that the fewest loads win a tie. */
static int64_t tile_step(int64_t r, int64_t t)
{
  int64_t products = r * t, loads = r + t;
  int64_t most = products > loads ? products : loads;
  return 16 * (most > 8 ? most : 8) + loads;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
  return (a + b - 1) / b;
}

/* Time of all tiles for `rows` x `vectors`; rows are cut evenly. */
static int64_t tile_time(int64_t rows, int64_t vectors, int64_t r, int64_t t)
{
  int64_t panels = ceil_div(rows, r), each = ceil_div(rows, panels);
  int64_t rest = vectors % t;
  int64_t time = vectors / t * tile_step(each, t);
  if (rest) time += tile_step(each, rest);
  return panels * time;
}

void tile_choose(int64_t rows, int64_t vectors, int vregs, int tile[2])
{
  int64_t best = -1;
  for (int t = 1; t <= 8 && t <= vectors; t++) {
    /* Sums, a vector of x for each column and one weight at a time. */
    int r = (vregs - 1 - t) / t;
    if (r > rows) r = (int)rows;
    if (r < 1) break;
    int64_t time = tile_time(rows, vectors, r, t);
    if (best >= 0 && time >= best) continue;
    best = time;
    tile[0] = r;
    tile[1] = t;
  }
}

int tile_split(int64_t vectors, int most)
{
  if (vectors < 1) return 1;
  return (int)ceil_div(vectors, ceil_div(vectors, most));
}
