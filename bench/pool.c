/* pool.c - threads for the contestants of nets.py, a shared object:
 * bench_pool(n) makes a pool of n threads for Tamis' artifacts, and
 * bench_probe(pool, n) times plain arithmetic on all of them at once, in
 * seconds.  The probe is slow when a neighbour has one of the cores. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <time.h>

#include "runtime/tamis_pthreadpool.h"

enum { STEPS = 100000 };

tamis_pool *bench_pool(size_t threads);
double bench_probe(const tamis_pool *pool, size_t threads);

tamis_pool *bench_pool(size_t threads) {
  tamis_pool *p = malloc(sizeof *p);
  pthreadpool_t made = p ? pthreadpool_create(threads) : NULL;
  if (!made) return NULL;
  *p = tamis_pthreadpool(made);
  return p;
}

/* A chain in registers, each step of which waits for the one before. */
static void part(void *arg, size_t i) {
  volatile double *results = arg;
  double v = (double)i;
  for (int s = 0; s < STEPS; s++) v = v * 0.999 + 1;
  results[i] = v;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The first run wakes the threads. */
double bench_probe(const tamis_pool *pool, size_t threads) {
  double *results = calloc(threads, sizeof *results), begin;
  if (!results) return 0;
  pool->run(pool->ctx, part, results, threads);
  begin = now();
  pool->run(pool->ctx, part, results, threads);
  begin = now() - begin;
  free(results);
  return begin;
}
