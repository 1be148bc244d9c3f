/* threads.c - what a net gains from threads, beside what plain arithmetic
 * gains from them:
 *   threads [--threads=N] [--rounds=R] LIB.so...
 * for artifacts built with --threads.  A round times, one after the other,
 * a chain of multiply-adds and then each net, first on one thread and then
 * on N.  Rounds in which the chain is slow, because a neighbour has a core,
 * are dropped; the others give medians. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/built.h"
#include "bench/tool.h"
#include "runtime/tamis_pthreadpool.h"

enum { TURNS_MOST = 1000, LIBS_MOST = 16, CALLS = 5, WARM = 2 };
/* Chains that 16 registers hold. */
enum { CHAINS = 12, LANES = 8, STEPS = 800000, PROBE_PARTS = 8 };

/* In ns. */
typedef struct Times { double one[TURNS_MOST], many[TURNS_MOST]; } Times;

typedef struct Lib { Built b; Times t; } Lib;

/* ---- plain arithmetic ------------------------------------------------ */

typedef float Vec __attribute__((vector_size(4 * LANES)));
static volatile float sink[PROBE_PARTS];   /* or all would be left out */

#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("arch=x86-64-v3", "default"),
               optimize("fp-contract=fast")))
#endif
static void probe_part(void *arg, size_t i) {
  Vec v[CHAINS], a, b;
  (void)arg;
  for (int k = 0; k < LANES; k++) a[k] = 0.9999f, b[k] = (float)i;
  for (int c = 0; c < CHAINS; c++) v[c] = a * (float)c;
  for (int s = 0; s < STEPS / PROBE_PARTS; s++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) v[c] = v[c] * a + b;
  }
  for (int c = 1; c < CHAINS; c++) v[0] += v[c];
  sink[i] = v[0][0];
}

static double probe(const tamis_pool *p) {
  double t = now_ns();
  p->run(p->ctx, probe_part, NULL, PROBE_PARTS);
  return now_ns() - t;
}

/* ---- nets ------------------------------------------------------------ */

static void lib_open(Lib *l, const char *path) {
  l->b = built_open(path);
  if (!l->b.m->threads) die(path, "was built without --threads");
}

/* The first calls bring the data to the threads that use them. */
static double lib_time(const Lib *l, tamis_pool *pool) {
  double t[CALLS];
  *l->b.pool = pool;
  for (int i = 0; i < WARM; i++) built_call(&l->b);
  for (int i = 0; i < CALLS; i++) t[i] = built_call(&l->b);
  return median_of(t, CALLS);
}

/* ---- all of it ------------------------------------------------------- */

/* Drop the rounds in which the probe was slow; how many stay. */
static int rounds_keep(const Times *probe, Lib *lib, int libs, Times *kept,
                       int rounds) {
  double one = probe->one[0], many = probe->many[0];
  int n = 0;
  for (int r = 0; r < rounds; r++) {
    if (probe->one[r] < one) one = probe->one[r];
    if (probe->many[r] < many) many = probe->many[r];
  }
  for (int r = 0; r < rounds; r++) {
    if (probe->many[r] > 1.15 * many || probe->one[r] > 1.15 * one) continue;
    kept->one[n] = probe->one[r], kept->many[n] = probe->many[r];
    for (int i = 0; i < libs; i++) {
      lib[i].t.one[n] = lib[i].t.one[r];
      lib[i].t.many[n] = lib[i].t.many[r];
    }
    n++;
  }
  return n;
}

int main(int argc, char **argv) {
  static Lib lib[LIBS_MOST];
  static Times all, kept;
  const char *v;
  int n = 0, rounds = 60, threads = 2;
  for (int i = 1; i < argc; i++) {
    if ((v = option(argv[i], "--rounds="))) rounds = atoi(v);
    else if ((v = option(argv[i], "--threads="))) threads = atoi(v);
    else if (n < LIBS_MOST) lib_open(&lib[n++], argv[i]);
  }
  if (n == 0 || rounds < 1 || rounds > TURNS_MOST || threads < 1)
    die("usage", "expected [--threads=N] [--rounds=1..1000] LIB.so...");
  tamis_pool one = tamis_pthreadpool(pthreadpool_create(1));
  tamis_pool many = tamis_pthreadpool(pthreadpool_create((size_t)threads));
  for (int r = 0; r < rounds; r++) {
    probe(&many);
    all.one[r] = probe(&one);
    all.many[r] = probe(&many);
    for (int i = 0; i < n; i++) {
      lib[i].t.one[r] = lib_time(&lib[i], &one);
      lib[i].t.many[r] = lib_time(&lib[i], &many);
    }
  }
  int keep = rounds_keep(&all, lib, n, &kept, rounds);
  if (keep == 0) die("no round was quiet", "the machine is too busy");
  double gain = median_of(kept.one, keep) / median_of(kept.many, keep);
  printf("%d of %d rounds kept; multiply-adds gain %.2f from %d threads\n",
         keep, rounds, gain, threads);
  printf("%10s %10s %6s %8s\n", "one, ms", "many, ms", "gain", "of probe");
  for (int i = 0; i < n; i++) {
    double a = median_of(lib[i].t.one, keep);
    double b = median_of(lib[i].t.many, keep);
    printf("%10.3f %10.3f %6.2f %8.2f  %s\n", a / 1e6, b / 1e6, a / b,
           a / b / gain, lib[i].b.path);
  }
  return 0;
}
