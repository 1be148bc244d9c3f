/* call.c - the artifact of mlp.tam through its header: batches of each size,
 * which must not depend on one another, and sizes that are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlp.h"

static int fail(const char *what, long long n) {
  printf("%s with N = %lld\n", what, n);
  return 1;
}

int main(void) {
  float x[MLP_N_MOST * 20], all[MLP_N_MOST * 10], y[MLP_N_MOST * 10 + 1];
  void *arena = aligned_alloc(MLP_ALIGN, MLP_ARENA_BYTES + MLP_ALIGN);
  int64_t dims[1] = { MLP_N_MOST };
  for (int i = 0; i < MLP_N_MOST * 20; i++) x[i] = (float)(i * 37 % 19) - 9;
  if (mlp_run(x, all, dims, arena)) return fail("no result", dims[0]);
  for (dims[0] = MLP_N_LEAST; dims[0] <= MLP_N_MOST; dims[0]++) {
    for (int i = 0; i <= MLP_N_MOST * 10; i++) y[i] = -1;
    if (mlp_run(x, y, dims, arena)) return fail("no result", dims[0]);
    for (int i = 0; i < 10 * dims[0]; i++)
      if (y[i] - all[i] > 1e-6f || all[i] - y[i] > 1e-6f)
        return fail("another result", dims[0]);
    for (int64_t i = 10 * dims[0]; i <= MLP_N_MOST * 10; i++)
      if (y[i] != -1) return fail("writes too much", dims[0]);
  }
  static const int64_t bad[] = { 0, -1, MLP_N_MOST + 1, INT64_MAX, INT64_MIN };
  for (int i = 0; i < 5; i++)
    if (mlp_run(x, y, bad + i, arena) != -3) return fail("a call", bad[i]);
  if (mlp_run(x, y, NULL, arena) != -1) return fail("NULL", 0);
  free(arena);
  puts("all sizes");
  return 0;
}
