/* built.c - see built.h. */
#include "bench/built.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tool.h"

_Noreturn void die(const char *name, const char *what) {
  fprintf(stderr, "bench: %s: %s\n", name, what);
  exit(1);
}

static const tamis_model *model_of(const char *path) {
  char name[256];
  const char *base = strrchr(path, '/');
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) die(path, dlerror());
  base = base ? base + 1 : path;
  if (strncmp(base, "lib", 3) == 0) base += 3;
  snprintf(name, sizeof name, "%.*s_model", (int)strcspn(base, "."), base);
  const tamis_model *m = dlsym(handle, name);
  if (!m) die(path, "no descriptor of the file's name");
  if (m->abi != TAMIS_ABI_VERSION) die(path, "another ABI");
  if (m->check_cpu() != 0) die(path, "this CPU cannot run it");
  return m;
}

static void *buffer(const char *path, size_t n) {
  size_t size = (n + 127) / 64 * 64;
  float *p = aligned_alloc(64, size);
  if (!p) die(path, "no memory");
  for (size_t i = 0; i < size / 4; i++) p[i] = (float)(i % 7) / 4 - 0.75f;
  return p;
}

Built built_open(const char *path) {
  const tamis_model *m = model_of(path);
  uint32_t n = m->n_inputs + m->n_outputs, k = n;
  Built b = { .path = path, .m = m, .io = calloc(n + 2u, sizeof *b.io) };
  if (!b.io) die(path, "no memory");
  for (uint32_t i = 0; i < n; i++)
    b.io[i] = buffer(path, i < m->n_inputs
                               ? m->inputs[i].bytes
                               : m->outputs[i - m->n_inputs].bytes);
  if (m->reset) m->reset(b.io[k++] = buffer(path, m->state_bytes));
  b.pool = &b.io[k];
  b.arena = buffer(path, m->arena_bytes);
  return b;
}

double built_call(const Built *b) {
  double t = now_ns();
  if (b->m->run(b->io, b->arena) != 0) die(b->path, "run fails");
  return now_ns() - t;
}
