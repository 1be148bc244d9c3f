/* embed.c - call a compiled network from C: its header is all it takes.
 *
 *   tamis build ../fashion/fashion.tam -o libfashion.so
 *   cc embed.c -I. libfashion.so -Wl,-rpath,. -o embed && ./embed
 */
#include "fashion.h"

#include <stdio.h>

/* One arena per thread that calls; no allocation anywhere else. */
static _Alignas(FASHION_ALIGN) unsigned char arena[FASHION_ARENA_BYTES];

int main(void) {
  static float x[28 * 28], p[10];
  for (int i = 0; i < 28; i++)       /* a white square: is it a bag? */
    for (int j = 0; j < 28; j++)
      x[28 * i + j] = i >= 8 && i < 24 && j >= 4 && j < 24 ? 0.8f : 0.0f;
  int code = fashion_run(x, p, arena);
  if (code != 0) {
    fprintf(stderr, "fashion_run: %d\n", code);
    return 1;
  }
  int best = 0;
  for (int k = 1; k < 10; k++)
    if (p[k] > p[best]) best = k;
  printf("class %d, logit %.3f\n", best, p[best]);
  /* Errors are codes, never a crash. */
  printf("without an input: %d\n", fashion_run(NULL, p, arena));
  printf("arena off by one: %d\n", fashion_run(x, p, arena + 1));
  return 0;
}
