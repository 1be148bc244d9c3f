/* choose.c - which format a weight takes: the one place that weighs dense,
 * blocks and single values against each other.
 *
 * Times are relative to one dense multiply-accumulate of the same op on the
 * same machine.  A table of 4x1 blocks reads one index and one column of x
 * for four rows; a table of single values reads both for each value.
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
