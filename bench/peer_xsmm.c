/* peer_xsmm.c - libxsmm on linear layers and pointwise convolutions, taken
 * as weights [o,c] by x [c,n], rows of x padded to whole vectors: code made
 * for dense tiles, and a table of nonzeros (spmdm).  Its code for fixed zeros
 * (fsspmdm of 1.17) takes a few distinct values, and is dense for others. */
#include <libxsmm.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peer.h"

enum { TILE = 64 };             /* columns a call of the dense code takes */

typedef struct Job {
  const Shape *s;
  const float *w;
  float *x, *y;
  libxsmm_blasint m, k, n, pitch;
  libxsmm_smmfunction tile;
  libxsmm_spmdm_handle table;
  libxsmm_CSR_sparseslice *slices;
} Job;

static const char *version(void) { return LIBXSMM_VERSION; }

static void release(void *job) {
  Job *j = job;
  if (j->slices) libxsmm_spmdm_destroy(&j->table);
  free(j->x);
  free(j->y);
  free(j);
}

/* Element (row, i) of a matrix of n columns; a linear layer's x and y have
 * them as rows. */
static long place(const Job *j, long rows, long row, long i) {
  return is_linear(j->s) ? i * rows + row : row * j->n + i;
}

static Job *begin(const Shape *s, const float *w, const float *x,
                  const char **why) {
  if (!is_linear(s) && !is_pointwise(s)) {
    *why = "a matrix library has no such convolution";
    return NULL;
  }
  Job *j = calloc(1, sizeof *j);
  j->s = s, j->w = w;
  j->m = (int)s->o, j->k = (int)s->c, j->n = (int)(s->h * s->w);
  j->pitch = (j->n + TILE - 1) / TILE * TILE;
  size_t xn = (size_t)(j->k * j->pitch) * 4;
  size_t yn = (size_t)(j->m * j->pitch) * 4;
  j->x = memset(aligned_alloc(64, xn), 0, xn);
  j->y = memset(aligned_alloc(64, yn), 0, yn);
  for (long c = 0; c < j->k; c++)
    for (long i = 0; i < j->n; i++)
      j->x[c * j->pitch + i] = x[place(j, j->k, c, i)];
  libxsmm_init();
  return j;
}

/* libxsmm counts rows first: ours transposed, so x is its first operand. */
static void *prepare_dense(const Shape *s, const float *w, const float *x,
                           const char **why) {
  Job *j = begin(s, w, x, why);
  if (!j) return NULL;
  float one = 1, zero = 0;
  int flags = 0, prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
  j->tile = libxsmm_smmdispatch(TILE, j->m, j->k, &j->pitch, &j->k,
                                &j->pitch, &one, &zero, &flags, &prefetch);
  if (j->tile) return j;
  *why = "libxsmm makes no code for this size";
  release(j);
  return NULL;
}

static void run_dense(void *job) {
  Job *j = job;
  for (int i = 0; i < j->pitch; i += TILE) j->tile(j->x + i, j->w, j->y + i);
}

static void *prepare_table(const Shape *s, const float *w, const float *x,
                           const char **why) {
  Job *j = begin(s, w, x, why);
  if (!j) return NULL;
  libxsmm_spmdm_init(j->m, j->pitch, j->k, 1, &j->table, &j->slices);
  int n = libxsmm_spmdm_get_num_createSparseSlice_blocks(&j->table);
  for (int i = 0; i < n; i++)
    libxsmm_spmdm_createSparseSlice_fp32_thread(&j->table, 'N', w, j->slices,
                                                i, 0, 1);
  return j;
}

static void run_table(void *job) {
  Job *j = job;
  float one = 1, zero = 0;
  int n = libxsmm_spmdm_get_num_compute_blocks(&j->table);
  for (int i = 0; i < n; i++)
    libxsmm_spmdm_compute_fp32_thread(&j->table, 'N', 'N', &one, j->slices,
                                      j->x, 'N', &zero, j->y, i, 0, 1);
}

static void result(void *job, float *y) {
  Job *j = job;
  for (long o = 0; o < j->m; o++)
    for (long i = 0; i < j->n; i++)
      y[place(j, j->m, o, i)] = j->y[o * j->pitch + i];
}

const Peer peers[] = {
  {"libxsmm", 0, version, prepare_dense, run_dense, result, NULL, release},
  {"libxsmm spmdm", 1, version, prepare_table, run_table, result, NULL,
   release},
  {0},
};
