/* peer.h - what the bench asks of a library that Tamis is compared with.
 *
 * A peer is a shared object with a table `peers` that ends with a NULL name.
 * Its source includes this header and that of its library, nothing else of
 * ours, so that a missing library costs one peer and no more. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stddef.h>

/* A layer.  conv: x [c,h,w], weights [o,c/groups,k,k], k/2 zeros on each
 * side.  transposed: the transposed convolution, y [o,h*stride,w*stride],
 * weights in the same order; cut_front off the front of y, cut_back off its
 * back.  linear: x [h,c], weights [o,c], y [h,o]; w, k, stride, groups 1. */
typedef struct Shape {
  char net[16], op[16];
  long c, h, w, o, k, stride, groups;
} Shape;

static inline int is_linear(const Shape *s) { return s->op[0] == 'l'; }

static inline int is_transposed(const Shape *s) { return s->op[0] == 't'; }

static inline long cut_front(const Shape *s) { return (s->k - 1) / 2; }

static inline long cut_back(const Shape *s) {
  return s->k - s->stride - cut_front(s);
}

static inline long out_size(const Shape *s, long x) {
  if (is_transposed(s)) return x * s->stride;
  return (x + s->k / 2 * 2 - s->k) / s->stride + 1;
}

/* Is it one matrix product, weights by the c x N matrix of pixels? */
static inline int is_pointwise(const Shape *s) {
  return s->op[0] == 'c' && s->k == 1 && s->stride == 1 && s->groups == 1;
}

typedef void Flush(const void *at, size_t bytes);

typedef struct Peer {
  const char *name;
  int sparse;                   /* leaves the zeros of the weights out */
  const char *(*version)(void);
  /* A job on row-major weights and x, which stay until its release; NULL,
   * and why in *why, where the library cannot. */
  void *(*prepare)(const Shape *s, const float *weights, const float *x,
                   const char **why);
  void (*run)(void *job);
  void (*result)(void *job, float *y);          /* row-major */
  void (*flush)(void *job, Flush *flush);       /* its data; may be NULL */
  void (*release)(void *job);
} Peer;

extern const Peer peers[];

#endif
