/* ours.h - layers: their weights, the reference, artifacts of one layer. */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/peer.h"
#include "runtime/tamis.h"

/* Lines of `net op c h w o k stride groups`; # begins a comment. */
bool shape_read(FILE *f, Shape *s);
long weight_count(const Shape *s);
long x_count(const Shape *s);
long y_count(const Shape *s);
/* Weights and x are drawn by shape, pattern and zeros: the same each time.
 * The caller frees them. */
float *weights_draw(const Shape *s, const char *pattern, int zeros);
float *x_draw(const Shape *s);
float *reference(const Shape *s, const float *w, const float *x);
/* Largest difference, of the largest element of the reference. */
double error_of(const float *y, const float *reference, long n);

typedef struct Ours {
  void *handle;
  const tamis_model *m;
  const tamis_step *first, *step;   /* the layer, without copies around it */
  const char *kernel;               /* that computes it */
  const float *x;
  void *io[2];                      /* which all share, as the arena */
  char *arena;
} Ours;

/* What builds artifacts, where, and for which CPU (NULL: this one). */
typedef struct Maker { const char *tamis, *dir, *cpu; } Maker;

/* Build the artifact where there is none that is newer than the compiler.
 * off: zeros are compiled as dense weights.  False: it does not compile. */
bool ours_build(const Maker *b, const Shape *s, const char *pattern,
                int zeros, bool off);
/* x stays until the layer is closed. */
Ours *ours_open(const Maker *b, const Shape *s, const char *pattern,
                int zeros, bool off, const float *x);
/* x is where the layer wants it, until another one runs. */
void ours_ready(void *job);
void ours_run(void *job);
void ours_result(void *job, float *y);
void ours_flush(void *job, Flush *flush);
void ours_close(void *job);

#endif
