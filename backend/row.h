/* row.h - inside backend/: rows of floats side by side, in vectors. */
#ifndef TAMIS_ROW_H
#define TAMIS_ROW_H

#include "backend/emit.h"

/* n elements, or as many as `count` says. */
typedef struct RowSize { int64_t n; Val count; } RowSize;
/* The first n lanes of a vector, or those of a mask. */
typedef struct Lanes { int n; Val mask; } Lanes;
/* What is done with some lanes (all, or at the end fewer) from byte `at` of
 * the row on; gives what `acc` is then. */
typedef Val RowStep(Gen *g, const void *ctx, Val at, Lanes l, Val acc);
/* Steps over a row, some vectors at once; all lanes folded into the vector of
 * `start`, by the greatest or by sums, in all lanes.  What is folded apart
 * begins with `neutral`. */
Val row_fold(Gen *g, RowSize size, RowStep *step, const void *ctx, Val start,
             Val neutral, bool max);
/* Steps whose acc is NULL. */
void row_each(Gen *g, RowSize size, RowStep *step, const void *ctx);
/* These lanes, in memory; x, or v in the others. */
Val lanes_load(Gen *g, Val p, Lanes l);
void lanes_store(Gen *g, Val v, Val p, Lanes l);
Val lanes_or(Gen *g, Val x, Lanes l, double v);
/* The greater of two, x where acc is less. */
Val max_step(Gen *g, Val acc, Val x);

#endif
