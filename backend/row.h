/* row.h - inside backend/: rows of floats side by side, in vectors. */
#ifndef TAMIS_ROW_H
#define TAMIS_ROW_H

#include "backend/emit.h"

/* What is done with n lanes (a vector, or at the end fewer) from byte `at`
 * of the row on; gives what `acc` is then. */
typedef Val RowStep(Gen *g, const void *ctx, Val at, int n, Val acc);
/* Steps over n elements, some vectors at once; all lanes folded into the
 * vector of `start`, by the greatest or by sums, in all lanes.  What is
 * folded apart begins with `neutral`. */
Val row_fold(Gen *g, int64_t n, RowStep *step, const void *ctx, Val start,
             Val neutral, bool max);
/* Steps whose acc is NULL. */
void row_each(Gen *g, int64_t n, RowStep *step, const void *ctx);
/* x, or in lanes from n on v. */
Val lanes_or(Gen *g, Val x, int n, double v);
/* The greater of two, x where acc is less. */
Val max_step(Gen *g, Val acc, Val x);

#endif
