/* peer_openblas.c - OpenBLAS: linear layers and pointwise convolutions. */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/peer.h"

typedef struct Job {
  const Shape *s;
  const float *w, *x;
  float *y;
  long n;                       /* of y */
} Job;

/* "OpenBLAS 0.3.21 ..." without its options, and the kernels it took. */
static const char *version(void) {
  static char text[64];
  char number[24] = "";
  sscanf(openblas_get_config(), "OpenBLAS %23s", number);
  snprintf(text, sizeof text, "%s, %s kernels", number,
           openblas_get_corename());
  return text;
}

static void *prepare(const Shape *s, const float *w, const float *x,
                     const char **why) {
  if (!is_linear(s) && !is_pointwise(s)) {
    *why = "a BLAS has no such convolution";
    return NULL;
  }
  openblas_set_num_threads(1);
  Job *j = calloc(1, sizeof *j);
  j->s = s, j->w = w, j->x = x;
  j->n = s->o * s->h * s->w;
  j->y = aligned_alloc(64, ((size_t)j->n * 4 + 63) / 64 * 64);
  return j;
}

static void run(void *job) {
  Job *j = job;
  const Shape *s = j->s;
  int c = (int)s->c, o = (int)s->o, n = (int)(s->h * s->w);
  if (is_linear(s) && n == 1)
    cblas_sgemv(CblasRowMajor, CblasNoTrans, o, c, 1, j->w, c, j->x, 1, 0,
                j->y, 1);
  else if (is_linear(s))
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, o, c, 1, j->x, c,
                j->w, c, 0, j->y, o);
  else
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, o, n, c, 1, j->w,
                c, j->x, n, 0, j->y, n);
}

static void result(void *job, float *y) {
  Job *j = job;
  for (long i = 0; i < j->n; i++) y[i] = j->y[i];
}

static void flush(void *job, Flush *line) {
  Job *j = job;
  const Shape *s = j->s;
  line(j->w, (size_t)(s->c * s->o) * 4);
  line(j->x, (size_t)(s->c * s->h * s->w) * 4);
  line(j->y, (size_t)j->n * 4);
}

static void release(void *job) {
  Job *j = job;
  free(j->y);
  free(j);
}

const Peer peers[] = {
  {"OpenBLAS", 0, version, prepare, run, result, flush, release},
  {0},
};
