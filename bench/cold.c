/* cold.c - the time of a call whose code, weights and buffers are in no cache,
 * beside that of one in which all are:
 *   cold [--rounds=N] LIB.so...
 * Artifacts are called in turn.  Before a cold call every line of the object
 * as it is mapped, of its inputs, outputs, state and arena is flushed; x86-64
 * alone has an instruction for that which a program may use. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/built.h"
#include "bench/tool.h"

enum { CALLS_MOST = 1000, LIBS_MOST = 32 };

typedef struct Lib {
  Built b;
  double cold[CALLS_MOST], warm[CALLS_MOST];    /* ns */
} Lib;

static void flush(const Built *b) {
  const tamis_model *m = b->m;
  uint32_t in = m->n_inputs, n = in + m->n_outputs;
  object_flush(m, flush_lines);
  for (uint32_t i = 0; i < n; i++)
    flush_lines(b->io[i], i < in ? m->inputs[i].bytes
                                 : m->outputs[i - in].bytes);
  if (m->reset) flush_lines(b->io[n], m->state_bytes);
  flush_lines(b->arena, m->arena_bytes);
  flush_wait();
}

static void times(Lib *l, int round) {
  flush(&l->b);
  l->cold[round] = built_call(&l->b);
  built_call(&l->b);
  l->warm[round] = built_call(&l->b);
}

int main(int argc, char **argv) {
  static Lib lib[LIBS_MOST];
  const char *v;
  int n = 0, rounds = 101;
  for (int i = 1; i < argc; i++) {
    if ((v = option(argv[i], "--rounds="))) rounds = atoi(v);
    else if (n < LIBS_MOST) lib[n++].b = built_open(argv[i]);
  }
  if (n == 0 || rounds < 1 || rounds > CALLS_MOST)
    die("usage", "expected [--rounds=1..1000] LIB.so...");
  for (int r = 0; r < rounds; r++)
    for (int i = 0; i < n; i++) times(&lib[i], r);
  printf("%10s %10s %10s  us: least cold, median cold, median warm\n",
         "min cold", "cold", "warm");
  for (int i = 0; i < n; i++) {
    double cold = median_of(lib[i].cold, rounds);
    printf("%10.1f %10.1f %10.1f  %s\n", lib[i].cold[0] / 1e3, cold / 1e3,
           median_of(lib[i].warm, rounds) / 1e3, lib[i].b.path);
  }
  return 0;
}
