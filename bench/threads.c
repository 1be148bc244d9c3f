/* threads.c - what a net gains from threads, beside what plain arithmetic
 * gains from them:
 *   threads [--threads=N] [--rounds=R] LIB.so...
 * for artifacts built with --threads.  A round times, one after the other,
 * a chain of multiply-adds and then each net, first on one thread and then
 * on N.  Rounds in which the chain is slow, because a neighbour has a core,
 * are dropped; the others give medians. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/tamis_pthreadpool.h"

enum { ROUNDS_MOST = 1000, LIBS_MOST = 16, CALLS = 5, WARM = 2 };
enum { CHAINS = 24, LANES = 16, STEPS = 200000, PROBE_PARTS = 8 };

typedef struct Times { double one[ROUNDS_MOST], many[ROUNDS_MOST]; } Times;

typedef struct Lib {
  const char *path;
  const tamis_model *m;
  void **io, **pool, *arena;
  Times t;
} Lib;

static void die(const char *what, const char *name) {
  fprintf(stderr, "threads: %s: %s\n", name, what);
  exit(1);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- plain arithmetic ------------------------------------------------ */

typedef float Vec __attribute__((vector_size(4 * LANES)));
static float sink[PROBE_PARTS];

#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
static void probe_part(void *arg, size_t i) {
  Vec v[CHAINS], a, b;
  (void)arg;
  for (int k = 0; k < LANES; k++) a[k] = 0.9999f, b[k] = (float)i;
  for (int c = 0; c < CHAINS; c++) v[c] = a * (float)c;
  for (int s = 0; s < STEPS / PROBE_PARTS; s++) {
#pragma GCC unroll 24
    for (int c = 0; c < CHAINS; c++) v[c] = v[c] * a + b;
  }
  for (int c = 1; c < CHAINS; c++) v[0] += v[c];
  sink[i] = v[0][0];
}

static double probe(const tamis_pool *p) {
  double t = seconds();
  p->run(p->ctx, probe_part, NULL, PROBE_PARTS);
  return seconds() - t;
}

/* ---- nets ------------------------------------------------------------ */

static void *buffer(const char *path, size_t n) {
  size_t size = (n + 127) / 64 * 64;
  float *p = aligned_alloc(64, size);
  if (!p) die("no memory", path);
  for (size_t i = 0; i < size / 4; i++) p[i] = (float)(i % 7) / 4 - 0.75f;
  return p;
}

/* lib/NAME.so or lib/libNAME.so has NAME_model. */
static void lib_open(Lib *l, const char *path) {
  char name[256];
  const char *base = strrchr(path, '/');
  base = base ? base + 1 : path;
  if (strncmp(base, "lib", 3) == 0) base += 3;
  snprintf(name, sizeof name, "%.*s_model", (int)strcspn(base, "."), base);
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) die(dlerror(), path);
  const tamis_model *m = dlsym(handle, name);
  if (!m) die("no descriptor of the file's name", path);
  if (m->abi != TAMIS_ABI_VERSION) die("another ABI", path);
  if (!m->threads) die("was built without --threads", path);
  if (m->check_cpu() != 0) die("this CPU cannot run it", path);
  uint32_t n = m->n_inputs + m->n_outputs, k = n;
  *l = (Lib){ .path = path, .m = m };
  l->io = calloc(n + 2u, sizeof *l->io);
  if (!l->io) die("no memory", path);
  for (uint32_t i = 0; i < n; i++)
    l->io[i] = buffer(path, i < m->n_inputs
                                ? m->inputs[i].bytes
                                : m->outputs[i - m->n_inputs].bytes);
  if (m->reset) m->reset(l->io[k++] = buffer(path, m->state_bytes));
  l->pool = &l->io[k];
  l->arena = buffer(path, m->arena_bytes);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *v, int n) {
  qsort(v, (size_t)n, sizeof *v, by_value);
  return v[n / 2];
}

/* The first calls bring the data to the threads that use them. */
static double lib_time(Lib *l, tamis_pool *pool) {
  double t[CALLS];
  *l->pool = pool;
  for (int i = 0; i < WARM + CALLS; i++) {
    double from = seconds();
    if (l->m->run(l->io, l->arena) != 0) die("run fails", l->path);
    if (i >= WARM) t[i - WARM] = seconds() - from;
  }
  return median(t, CALLS);
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
  int n = 0, rounds = 60, threads = 2;
  for (int i = 1; i < argc; i++) {
    if (strncmp(argv[i], "--rounds=", 9) == 0) rounds = atoi(argv[i] + 9);
    else if (strncmp(argv[i], "--threads=", 10) == 0)
      threads = atoi(argv[i] + 10);
    else if (n < LIBS_MOST) lib_open(&lib[n++], argv[i]);
  }
  if (n == 0 || rounds < 1 || rounds > ROUNDS_MOST || threads < 1)
    die("expected [--threads=N] [--rounds=1..1000] LIB.so...", "usage");
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
  if (keep == 0) die("the machine is too busy", "no round was quiet");
  double gain = median(kept.one, keep) / median(kept.many, keep);
  printf("%d of %d rounds kept; multiply-adds gain %.2f from %d threads\n",
         keep, rounds, gain, threads);
  printf("%10s %10s %6s %8s\n", "one, ms", "many, ms", "gain", "of probe");
  for (int i = 0; i < n; i++) {
    double a = median(lib[i].t.one, keep), b = median(lib[i].t.many, keep);
    printf("%10.3f %10.3f %6.2f %8.2f  %s\n", 1e3 * a, 1e3 * b, a / b,
           a / b / gain, lib[i].path);
  }
  return 0;
}
