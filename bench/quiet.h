/* quiet.h - contestants, and samples taken while the core was ours. */
#ifndef BENCH_QUIET_H
#define BENCH_QUIET_H

#include <stdbool.h>

#include "bench/peer.h"

enum { ROUNDS_MOST = 240 };

typedef struct Contestant {
  const char *who, *pattern;    /* "dense", "unstructured", "4x1", "2:4" */
  char kernel[40];              /* ours: what the compiler chose */
  int zeros;                    /* in percent */
  void *job;                    /* NULL: not run, see why */
  void (*ready)(void *job);     /* before samples; may be NULL */
  void (*run)(void *job);
  void (*flush)(void *job, Flush *flush);
  char why[96];
  double error;                 /* largest, of the largest element of y */
  long reps;                    /* runs of a sample */
  int rounds, kept;
  double median, least;         /* ns a run, of the kept samples */
  double cold;                  /* median after flushes, 0: not measured */
  double ns[ROUNDS_MOST], slow[ROUNDS_MOST];
} Contestant;

/* Contestants in turn until each has `rounds` quiet samples, or four times
 * as many have been taken of each. */
void measure(Contestant *c, int n, int rounds);
/* Then: the first runs after a flush, in turn. */
void measure_cold(Contestant *c, int n, int rounds);

#endif
