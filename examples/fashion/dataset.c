/* dataset.c - Fashion-MNIST images and labels from .npy or IDX files. */
#include "fashion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* A whole file, gunzipped if need be. */
static uint8_t *slurp(const char *path, size_t *n) {
  gzFile f = gzopen(path, "rb");
  size_t cap = 1 << 20;
  uint8_t *p = f ? malloc(cap) : NULL;
  int got = 1;
  *n = 0;
  while (p && (got = gzread(f, p + *n, (unsigned)(cap - *n))) > 0) {
    *n += (size_t)got;
    if (*n == cap) {
      uint8_t *q = realloc(p, cap *= 2);
      if (!q) free(p);
      p = q;
    }
  }
  if (f) gzclose(f);
  if (!p || got < 0) {
    fprintf(stderr, "%s: cannot read\n", path);
    free(p);
    return NULL;
  }
  return p;
}

/* The data of a version 1 .npy whose header holds `descr` and `shape`. */
static uint8_t *npy(const char *path, const char *descr, const char *shape,
                    size_t bytes) {
  size_t n;
  uint8_t *p = slurp(path, &n);
  if (!p) return NULL;
  size_t head = n > 10 ? 10 + (p[8] | (size_t)p[9] << 8) : 0;
  char header[256] = "";
  if (head && head <= n && head - 10 < sizeof header) {
    memcpy(header, p + 10, head - 10);
    header[head - 10] = 0;
  }
  if (!strstr(header, descr) || !strstr(header, shape) ||
      n - head != bytes) {
    fprintf(stderr, "%s: expected a .npy of %s %s\n", path, descr, shape);
    free(p);
    return NULL;
  }
  memmove(p, p + head, bytes);
  return p;
}

int dataset_npy(Dataset *d, const char *images, const char *labels) {
  d->n = 1000;
  d->pixels = npy(images, "|u1", "(1000, 28, 28)", d->n * PIXELS);
  d->labels = npy(labels, "|u1", "(1000,)", d->n);
  return d->pixels && d->labels;
}

static uint32_t big_endian(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
         p[3];
}

static uint8_t *idx(const char *path, uint32_t magic, size_t head,
                    size_t item, size_t *count) {
  size_t n;
  uint8_t *p = slurp(path, &n);
  if (!p) return NULL;
  if (n < head || big_endian(p) != magic ||
      (n - head) / item != big_endian(p + 4)) {
    fprintf(stderr, "%s: not the expected IDX file\n", path);
    free(p);
    return NULL;
  }
  *count = big_endian(p + 4);
  memmove(p, p + head, n - head);
  return p;
}

int dataset_idx(Dataset *d, const char *images, const char *labels) {
  size_t n = 0;
  d->pixels = idx(images, 0x803, 16, PIXELS, &d->n);
  d->labels = idx(labels, 0x801, 8, 1, &n);
  if (!d->pixels || !d->labels) return 0;
  if (n != d->n)
    fprintf(stderr, "%s: expected a label for each of %zu images, found "
            "%zu\n", labels, d->n, n);
  return n == d->n;
}

float *logits_npy(const char *path, size_t n) {
  char shape[32];
  snprintf(shape, sizeof shape, "(%zu, 10)", n);
  return (float *)npy(path, "<f4", shape, n * CLASSES * sizeof(float));
}

void dataset_free(Dataset *d) {
  free(d->pixels);
  free(d->labels);
}
