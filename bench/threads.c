/* threads.c - what a net gains from threads, beside what plain arithmetic
 * gains from them:
 *   threads [--threads=N] [--samples=S] [--rounds=R] LIB.so...
 * for artifacts built with --threads.  A round times each net on one thread
 * and then on N, with a chain of multiply-adds on as many threads before and
 * behind it.  A sample beside which one of the two is slow, because a
 * neighbour has a core or the threads have but one, is dropped.  Rounds go
 * on until each net has S samples of either kind (15), or R are done (300);
 * the medians of those are shown, and how many there are. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/built.h"
#include "bench/tool.h"
#include "runtime/tamis_pthreadpool.h"

enum { TURNS_MOST = 1000, LIBS_MOST = 16, CALLS = 5, WARM = 2 };
/* Chains that 16 registers hold. */
enum { CHAINS = 12, LANES = 8, STEPS = 400000, PROBE_PARTS = 8 };

/* In ns: a net, and the slower of the chains beside it. */
typedef struct Sample { double net, chain; } Sample;

/* On one thread and on many. */
typedef struct Lib { Built b; Sample t[2][TURNS_MOST]; } Lib;

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

static Sample sample(const Lib *l, tamis_pool *pool) {
  Sample s = { 0, 0 };
  double before = (probe(pool), probe(pool));
  s.net = lib_time(l, pool);
  s.chain = probe(pool);
  if (s.chain < before) s.chain = before;
  return s;
}

/* ---- all of it ------------------------------------------------------- */

static double chain_best(const Lib *lib, int libs, int many, int rounds) {
  double best = lib[0].t[many][0].chain;
  for (int i = 0; i < libs; i++)
    for (int r = 0; r < rounds; r++)
      if (lib[i].t[many][r].chain < best) best = lib[i].t[many][r].chain;
  return best;
}

/* The samples beside which the chain was fast; how many. */
static int kept(const Lib *l, int many, int rounds, double best, double *t) {
  int n = 0;
  for (int r = 0; r < rounds; r++)
    if (l->t[many][r].chain < 1.1 * best) t[n++] = l->t[many][r].net;
  return n;
}

static bool enough(const Lib *lib, int libs, int rounds, int samples) {
  double t[TURNS_MOST];
  for (int m = 0; m < 2; m++) {
    double best = chain_best(lib, libs, m, rounds);
    for (int i = 0; i < libs; i++)
      if (kept(&lib[i], m, rounds, best, t) < samples) return false;
  }
  return true;
}

static void report(const Lib *lib, int libs, int rounds, int threads) {
  double chain[2];
  for (int m = 0; m < 2; m++) chain[m] = chain_best(lib, libs, m, rounds);
  double gain = chain[0] / chain[1];
  printf("multiply-adds gain %.2f from %d threads\n", gain, threads);
  printf("%10s %5s %10s %5s %6s %8s\n", "one, ms", "of", "many, ms", "of",
         "gain", "of probe");
  for (int i = 0; i < libs; i++) {
    double t[2], all[TURNS_MOST];
    int n[2];
    for (int m = 0; m < 2; m++) {
      n[m] = kept(&lib[i], m, rounds, chain[m], all);
      t[m] = n[m] ? median_of(all, n[m]) : 0;
    }
    if (!n[0] || !n[1]) {
      printf("no sample was quiet  %s\n", lib[i].b.path);
      continue;
    }
    printf("%10.3f %5d %10.3f %5d %6.2f %8.2f  %s\n", t[0] / 1e6, n[0],
           t[1] / 1e6, n[1], t[0] / t[1], t[0] / t[1] / gain, lib[i].b.path);
  }
}

int main(int argc, char **argv) {
  static Lib lib[LIBS_MOST];
  const char *v;
  int n = 0, rounds = 300, samples = 15, threads = 2;
  for (int i = 1; i < argc; i++) {
    if ((v = option(argv[i], "--rounds="))) rounds = atoi(v);
    else if ((v = option(argv[i], "--samples="))) samples = atoi(v);
    else if ((v = option(argv[i], "--threads="))) threads = atoi(v);
    else if (n < LIBS_MOST) lib_open(&lib[n++], argv[i]);
  }
  if (n == 0 || rounds < 1 || rounds > TURNS_MOST || threads < 1)
    die("usage", "expected [--threads=N] [--samples=S] [--rounds=1..1000] "
        "LIB.so...");
  tamis_pool one = tamis_pthreadpool(pthreadpool_create(1));
  tamis_pool many = tamis_pthreadpool(pthreadpool_create((size_t)threads));
  int done = 0;
  while (done < rounds && (done == 0 || !enough(lib, n, done, samples))) {
    for (int i = 0; i < n; i++) {
      lib[i].t[0][done] = sample(&lib[i], &one);
      lib[i].t[1][done] = sample(&lib[i], &many);
    }
    done++;
  }
  report(lib, n, done, threads);
  return 0;
}
