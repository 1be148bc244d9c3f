/* cold.c - the time of a call whose code, weights and buffers are in no cache,
 * beside that of one in which all are:
 *   cold [--rounds=N] LIB.so...
 * Artifacts are called in turn.  Before a cold call every line of the object
 * as it is mapped, of its inputs, outputs, state and arena is flushed; x86-64
 * alone has an instruction for that which a program may use. */
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/tamis.h"

#if defined(__x86_64__)
#include <immintrin.h>
static void line_flush(const char *p) { _mm_clflush(p); }
static void fence(void) { _mm_mfence(); }
#else
static void line_flush(const char *p) { (void)p; }
static void fence(void) {}
#endif

enum { ROUNDS_MOST = 1000, LIBS_MOST = 32, RANGES_MOST = 64 };

typedef struct Range { const char *at; size_t n; } Range;

typedef struct Lib {
  const char *path;
  const tamis_model *m;
  void **io, *arena;
  Range range[RANGES_MOST];
  int ranges;
  double cold[ROUNDS_MOST], warm[ROUNDS_MOST];
} Lib;

static void die(const char *what, const char *name) {
  fprintf(stderr, "cold: %s: %s\n", name, what);
  exit(1);
}

static void range_add(Lib *l, const void *at, size_t n) {
  if (l->ranges == RANGES_MOST) die("too many buffers", l->path);
  l->range[l->ranges++] = (Range){ at, n };
}

/* The descriptor: the one symbol that ends in _model. */
static const tamis_model *model_of(void *handle, const char *path) {
  char name[256];
  const char *base = strrchr(path, '/'), *end = strrchr(path, '.');
  base = base ? base + 1 : path;
  if (strncmp(base, "lib", 3) == 0) base += 3;
  if (!end || end < base) end = base + strlen(base);
  snprintf(name, sizeof name, "%.*s_model", (int)(end - base), base);
  const tamis_model *m = dlsym(handle, name);
  if (!m) die("no descriptor of the file's name", path);
  if (m->abi != TAMIS_ABI_VERSION) die("another ABI", path);
  return m;
}

static void *buffer(Lib *l, size_t n) {
  size_t size = (n + 127) / 64 * 64;
  float *p = aligned_alloc(64, size);
  if (!p) die("no memory", l->path);
  for (size_t i = 0; i < size / 4; i++) p[i] = (float)(i % 7) / 4 - 0.75f;
  range_add(l, p, size);
  return p;
}

/* The segments of the object that has the descriptor. */
static int on_object(struct dl_phdr_info *info, size_t size, void *ctx) {
  Lib *l = ctx;
  bool ours = false;
  (void)size;
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < info->dlpi_phnum; i++) {
      const ElfW(Phdr) *p = &info->dlpi_phdr[i];
      const char *at = (const char *)(uintptr_t)(info->dlpi_addr + p->p_vaddr);
      if (p->p_type != PT_LOAD) continue;
      if (pass == 0)
        ours |= (const char *)l->m >= at &&
                (const char *)l->m < at + p->p_memsz;
      else if (ours)
        range_add(l, at, p->p_memsz);
    }
  return ours;
}

static void open_lib(Lib *l, const char *path) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  l->path = path;
  if (!handle) die(dlerror(), path);
  l->m = model_of(handle, path);
  const tamis_model *m = l->m;
  if (m->check_cpu() != 0) die("this CPU cannot run it", path);
  uint32_t n = m->n_inputs + m->n_outputs;
  l->io = calloc(n + 2u, sizeof *l->io);
  if (!l->io) die("no memory", path);
  for (uint32_t i = 0; i < n; i++)
    l->io[i] = buffer(l, i < m->n_inputs ? m->inputs[i].bytes
                                         : m->outputs[i - m->n_inputs].bytes);
  if (m->reset) m->reset(l->io[n] = buffer(l, m->state_bytes));
  l->arena = buffer(l, m->arena_bytes);
  dl_iterate_phdr(on_object, l);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double call(const Lib *l) {
  double t = seconds();
  if (l->m->run(l->io, l->arena) != 0) die("run fails", l->path);
  return 1e6 * (seconds() - t);
}

static void flush(const Lib *l) {
  for (int i = 0; i < l->ranges; i++)
    for (size_t k = 0; k < l->range[i].n; k += 64)
      line_flush(l->range[i].at + k);
  fence();
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *v, int n) {
  qsort(v, (size_t)n, sizeof *v, by_value);
  return v[n / 2];
}

int main(int argc, char **argv) {
  static Lib lib[LIBS_MOST];
  int n = 0, rounds = 101;
  for (int i = 1; i < argc; i++) {
    if (strncmp(argv[i], "--rounds=", 9) == 0) rounds = atoi(argv[i] + 9);
    else if (n < LIBS_MOST) open_lib(&lib[n++], argv[i]);
  }
  if (n == 0 || rounds < 1 || rounds > ROUNDS_MOST)
    die("expected [--rounds=1..1000] LIB.so...", "usage");
  for (int r = 0; r < rounds; r++)
    for (int i = 0; i < n; i++) {
      flush(&lib[i]);
      lib[i].cold[r] = call(&lib[i]);
      call(&lib[i]);
      lib[i].warm[r] = call(&lib[i]);
    }
  printf("%10s %10s %10s  us: least cold, median cold, median warm\n",
         "min cold", "cold", "warm");
  for (int i = 0; i < n; i++) {
    double cold = median(lib[i].cold, rounds);
    printf("%10.1f %10.1f %10.1f  %s\n", lib[i].cold[0], cold,
           median(lib[i].warm, rounds), lib[i].path);
  }
  return 0;
}
