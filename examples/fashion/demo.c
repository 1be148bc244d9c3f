/* demo.c - one network compiled twice, with dense and with pruned weights,
 * linked into one program and run on real pictures.
 *
 *   demo IMAGES.npy LABELS.npy [DENSE.npy SPARSE.npy [GRID.png]]
 *   demo --idx IMAGES.gz LABELS.gz
 *
 * Prints accuracy, size, arena, latency; with expected logits compares
 * against them; exits with 1 when something is not as it should be. */
#include "dense.h"
#include "fashion.h"
#include "sparse.h"
#include "tamis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What the two headers declare, side by side. */
typedef struct Net {
  const char *name;
  int (*run)(const float *x, float *p, void *arena);
  size_t arena_bytes;
  const tamis_model *model;
  uint8_t *predicted;
  double accuracy, error, us;
} Net;

static double now_us(void) {
  struct timespec t;
  timespec_get(&t, TIME_UTC);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void pixels_in(const uint8_t *from, float *to) {
  for (int i = 0; i < PIXELS; i++) to[i] = (float)from[i] / 255.0f;
}

/* Run all pictures; with `expect`, the largest error against max|r|. */
static int classify(Net *n, const Dataset *d, const float *expect,
                    void *arena) {
  size_t right = 0;
  double top = 0, worst = 0;
  float x[PIXELS], p[CLASSES];
  for (size_t i = 0; i < d->n; i++) {
    pixels_in(d->pixels + i * PIXELS, x);
    int code = n->run(x, p, arena);
    if (code != 0) {
      fprintf(stderr, "%s: run gave %d\n", n->name, code);
      return 0;
    }
    int best = 0;
    for (int k = 1; k < CLASSES; k++)
      if (p[k] > p[best]) best = k;
    n->predicted[i] = (uint8_t)best;
    right += best == d->labels[i];
    for (int k = 0; expect && k < CLASSES; k++) {
      double r = expect[i * CLASSES + (size_t)k];
      if (fabs(r) > top) top = fabs(r);
      if (!(fabs(p[k] - r) <= worst)) worst = fabs(p[k] - r);
    }
  }
  n->accuracy = 100.0 * (double)right / (double)d->n;
  n->error = expect ? worst / top : 0;
  return 1;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

enum { ROUNDS = 201, CALLS = 5 };

/* Median latencies, the two nets in turn so that both see the same noise. */
static void time_nets(Net *nets, const Dataset *d, void *arena) {
  static double t[2][ROUNDS];
  float x[PIXELS], p[CLASSES];
  for (int r = 0; r < ROUNDS; r++) {
    pixels_in(d->pixels + (size_t)r % d->n * PIXELS, x);
    for (int k = 0; k < 2; k++) {
      double begin = now_us();
      for (int c = 0; c < CALLS; c++) nets[k].run(x, p, arena);
      t[k][r] = (now_us() - begin) / CALLS;
    }
  }
  for (int k = 0; k < 2; k++) {
    qsort(t[k], ROUNDS, sizeof **t, by_value);
    nets[k].us = t[k][ROUNDS / 2];
  }
}

static void print_nets(const Net *nets, size_t n, int expected) {
  printf("%-8s %9s %12s %12s %12s%s\n", "", "accuracy", "weights, B",
         "arena, B", "median, us", expected ? "   max error" : "");
  for (int k = 0; k < 2; k++) {
    printf("%-8s %7.2f %% %12llu %12zu %12.1f", nets[k].name,
           nets[k].accuracy, (unsigned long long)nets[k].model->weight_bytes,
           nets[k].arena_bytes, nets[k].us);
    if (expected) printf("   %.1e of max|r|", nets[k].error);
    putchar('\n');
  }
  printf("on %zu test images; sparse takes %.2f of the dense time\n", n,
         nets[1].us / nets[0].us);
}

static int good(const Net *nets) {
  int ok = nets[0].accuracy >= 91 &&
           nets[1].accuracy >= nets[0].accuracy - 1.5 &&
           nets[0].error <= 1e-3 && nets[1].error <= 1e-3;
  if (!ok)
    fputs("demo: expected dense accuracy of at least 91 %, sparse within "
          "1.5 points,\nand errors of at most 1e-3 max|r|\n", stderr);
  return ok;
}

static int demo(const Dataset *d, int argc, char **argv) {
  Net nets[2] = {
    {"dense", dense_run, DENSE_ARENA_BYTES, &dense_model, NULL, 0, 0, 0},
    {"sparse", sparse_run, SPARSE_ARENA_BYTES, &sparse_model, NULL, 0, 0, 0},
  };
  size_t bytes = DENSE_ARENA_BYTES > SPARSE_ARENA_BYTES
                   ? DENSE_ARENA_BYTES : SPARSE_ARENA_BYTES;
  void *arena = aligned_alloc(DENSE_ALIGN, bytes);
  int expected = argc >= 5, ok = arena != NULL;
  for (int k = 0; ok && k < 2; k++) {
    float *want = expected ? logits_npy(argv[3 + k], d->n) : NULL;
    nets[k].predicted = calloc(d->n, 1);
    ok = nets[k].predicted && (want || !expected) &&
         classify(&nets[k], d, want, arena);
    free(want);
  }
  if (ok) {
    time_nets(nets, d, arena);
    print_nets(nets, d->n, expected);
    ok = good(nets);
  }
  if (ok && argc >= 6) {
    ok = picture_write(argv[5], d, nets[1].predicted, 16, 10);
    if (ok) printf("%s: 160 images with the sparse net's labels\n", argv[5]);
  }
  for (int k = 0; k < 2; k++) free(nets[k].predicted);
  free(arena);
  return ok;
}

int main(int argc, char **argv) {
  int idx = argc == 4 && strcmp(argv[1], "--idx") == 0;
  if (!idx && argc != 3 && argc != 5 && argc != 6) {
    fputs("usage: demo IMAGES.npy LABELS.npy [DENSE.npy SPARSE.npy "
          "[GRID.png]]\n       demo --idx IMAGES.gz LABELS.gz\n", stderr);
    return 2;
  }
  Dataset d = {0};
  int ok = idx ? dataset_idx(&d, argv[2], argv[3])
               : dataset_npy(&d, argv[1], argv[2]);
  if (ok && !d.n) {
    fprintf(stderr, "%s: expected images, found none\n", argv[1 + idx]);
    ok = 0;
  }
  ok = ok && demo(&d, argc, argv);
  dataset_free(&d);
  return ok ? 0 : 1;
}
