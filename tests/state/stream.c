/* stream.c - calls the streaming net of stream.tam 1,000 times:
 *   stream write|compare FILE
 * writes the outputs of all steps, or compares them with those in FILE to
 * 1e-4.  A reset in between must begin the same run anew, bit for bit, and
 * two streams must not know of each other. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

enum { STEPS = 1000, Y = 13, Z = 12 };

static float x[6], k[12], out[STEPS][Y + Z];

static void die(const char *what, int step) {
  fprintf(stderr, "stream: step %d: %s\n", step, what);
  exit(1);
}

/* The same numbers in -1..1 on every machine. */
static void draw(float *to, int n, unsigned *seed) {
  for (int i = 0; i < n; i++) {
    *seed = *seed * 1664525u + 1013904223u;
    to[i] = (float)(*seed >> 8) * 0x1p-23f - 1.0f;
  }
}

static void *memory(size_t n) {
  void *p = aligned_alloc(STREAM_ALIGN, n);
  if (!p) die("no memory", 0);
  memset(p, 0xff, n);
  return p;
}

/* Steps [from, to) of a run, whose outputs stay in `out`, or are compared
 * with it. */
static void steps(int from, int to, void *state, void *arena, int again) {
  unsigned seed = 1u + (unsigned)from * 7919u;
  for (int i = from; i < to; i++) {
    float row[Y + Z];
    int64_t t = -1;
    draw(x, 6, &seed);
    draw(k, 12, &seed);
    seed = 1u + (unsigned)(i + 1) * 7919u;
    if (stream_step(x, k, row, row + Y, &t, state, arena) != 0)
      die("does not return 0", i);
    if (t != i) die("the counter is wrong", i);
    if (!again) memcpy(out[i], row, sizeof row);
    else if (memcmp(out[i], row, sizeof row) != 0) die("another result", i);
  }
}

static void compare(FILE *f) {
  for (int i = 0; i < STEPS; i++) {
    float want[Y + Z];
    if (fread(want, sizeof want, 1, f) != 1) die("the file ends", i);
    for (int j = 0; j < Y + Z; j++)
      if (!(fabsf(want[j] - out[i][j]) <= 1e-4f)) die("results differ", i);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) die("expected write or compare, FILE", 0);
  void *a = memory(STREAM_STATE_BYTES), *b = memory(STREAM_STATE_BYTES);
  void *arena = memory(STREAM_ARENA_BYTES);
  stream_reset(a);
  stream_reset(NULL);
  steps(0, STEPS, a, arena, 0);
  stream_reset(a);                       /* again, and beside it another */
  stream_reset(b);
  for (int i = 0; i < STEPS; i += 50) {
    steps(i, i + 50, a, arena, 1);
    steps(i, i + 50, b, arena, 1);
  }
  int64_t n = 77, was = -1;
  if (stream_forget(&n, &was, b, arena) != 0 || was != STEPS)
    die("forget does not tell the count", STEPS);
  if (stream_forget(&n, &was, b, arena) != 0 || was != 77)
    die("forget does not set the count", STEPS);
  if (stream_step(x, k, out[0], out[1], &n, NULL, arena) != -1 ||
      stream_step(x, k, out[0], out[1], &n, (char *)a + 4, arena) != -2)
    die("a bad state is taken", STEPS);
  FILE *f = fopen(argv[2], *argv[1] == 'w' ? "wb" : "rb");
  if (!f) die("cannot open the file", 0);
  stream_reset(a);
  steps(0, STEPS, a, arena, 0);
  if (*argv[1] == 'w') fwrite(out, sizeof out, 1, f);
  else compare(f);
  if (fclose(f) != 0) die("cannot write", 0);
  free(a);
  free(b);
  free(arena);
  puts("1000 steps, the same after a reset");
  return 0;
}
