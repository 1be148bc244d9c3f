/* sweep.h - a layer with zeros of all densities against dense weights. */
#ifndef BENCH_SWEEP_H
#define BENCH_SWEEP_H

#include "bench/ours.h"

/* Print a JSON object for each pattern and density of 5 to 100 %: the time
 * of what the compiler chose, of that of dense weights, in paired rounds.
 * A cell that is more than 5 % slower is measured three times more and has
 * the median of the four.  build_only: make the artifacts.  False: one does
 * not compile. */
bool sweep(const Maker *b, const Shape *s, int rounds, bool build_only);

#endif
