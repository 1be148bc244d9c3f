/* tool.c - see tool.h. */
#include "bench/tool.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
static void line_flush(const char *p) { _mm_clflush(p); }
void flush_wait(void) { _mm_mfence(); }
#else
static void line_flush(const char *p) { (void)p; }
void flush_wait(void) {}
#endif

double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double median_of(double *v, int n) {
  qsort(v, (size_t)n, sizeof *v, by_value);
  return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

const char *option(const char *arg, const char *name) {
  size_t n = strlen(name);
  return strncmp(arg, name, n) == 0 ? arg + n : NULL;
}

void flush_lines(const void *at, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) line_flush((const char *)at + i);
}

typedef struct Lines { uintptr_t in; Flush *flush; } Lines;

static int on_object(struct dl_phdr_info *info, size_t size, void *ctx) {
  const Lines *l = ctx;
  bool found = false;
  (void)size;
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < info->dlpi_phnum; i++) {
      const ElfW(Phdr) *p = &info->dlpi_phdr[i];
      uintptr_t at = info->dlpi_addr + p->p_vaddr;
      if (p->p_type != PT_LOAD) continue;
      if (pass == 0) found |= l->in >= at && l->in < at + p->p_memsz;
      else if (found) l->flush((const void *)at, p->p_memsz);
    }
  return found;
}

void object_flush(const void *in, Flush *flush) {
  Lines lines = { (uintptr_t)in, flush };
  dl_iterate_phdr(on_object, &lines);
}
