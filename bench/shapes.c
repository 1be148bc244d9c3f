/* shapes.c - layers of the bench: what is read, drawn and expected. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench/ours.h"

bool shape_read(FILE *f, Shape *s) {
  char line[256];
  while (fgets(line, sizeof line, f)) {
    memset(s, 0, sizeof *s);
    if (line[0] != '#' &&
        sscanf(line, "%15s %15s %ld %ld %ld %ld %ld %ld %ld", s->net, s->op,
               &s->c, &s->h, &s->w, &s->o, &s->k, &s->stride,
               &s->groups) == 9)
      return true;
  }
  return false;
}

long weight_count(const Shape *s) {
  return s->o * (s->c / s->groups) * s->k * s->k;
}

long x_count(const Shape *s) { return s->c * s->h * s->w; }

long y_count(const Shape *s) {
  return is_linear(s) ? s->o * s->h
                      : s->o * out_size(s, s->h) * out_size(s, s->w);
}

/* ---- draws ----------------------------------------------------------- */

static uint64_t draw_bits(uint64_t *state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static double draw(uint64_t *state) {
  return (double)(draw_bits(state) >> 11) * 0x1p-53;
}

static uint64_t seed_of(const Shape *s, int zeros) {
  uint64_t h = (uint64_t)zeros;
  long v[] = {s->c, s->h, s->w, s->o, s->k, s->stride, s->groups};
  for (int i = 0; i < 7; i++) h = h * 1000003 + (uint64_t)v[i];
  return h;
}

float *weights_draw(const Shape *s, const char *pattern, int zeros) {
  long rows = s->o, cols = weight_count(s) / rows;
  long taps = s->k * s->k, high = strcmp(pattern, "4x1") == 0 ? 4 : 1;
  bool half = strcmp(pattern, "2:4") == 0;
  uint64_t state = seed_of(s, zeros);
  float *w = calloc((size_t)(rows * cols), sizeof *w);
  for (long i = 0; i < rows; i += high)
    for (long k = 0; k < cols; k++) {
      /* 2:4: channels 4q and 4q + 1, or two others of their four. */
      long c = k / taps;
      bool out = half ? (c + (i * 7 + c / 4 * 3) % 4) % 4 > 1
                      : draw(&state) * 100 < zeros;
      if (out) continue;
      for (long r = i; r < i + high && r < rows; r++)
        w[r * cols + k] = (float)((0.1 + draw(&state)) *
                                  (draw(&state) < 0.5 ? -1 : 1) / 8);
    }
  return w;
}

float *x_draw(const Shape *s) {
  uint64_t state = seed_of(s, 1000);
  float *x = aligned_alloc(64, ((size_t)x_count(s) * 4 + 63) / 64 * 64);
  for (long i = 0; i < x_count(s); i++) x[i] = (float)(draw(&state) - 0.5);
  return x;
}

/* ---- reference ------------------------------------------------------- */

static void linear(const Shape *s, const float *w, const float *x,
                   double *y) {
  for (long r = 0; r < s->h; r++)
    for (long o = 0; o < s->o; o++)
      for (long c = 0; c < s->c; c++)
        y[r * s->o + o] += (double)w[o * s->c + c] * x[r * s->c + c];
}

/* Add weight v of tap (ky, kx) times plane x to plane y. */
static void tap_add(const Shape *s, double v, long ky, long kx,
                    const float *x, double *y) {
  long oh = out_size(s, s->h), ow = out_size(s, s->w), p = s->k / 2;
  for (long i = 0; i < oh; i++) {
    long r = i * s->stride + ky - p;
    if (r < 0 || r >= s->h) continue;
    for (long k = 0; k < ow; k++) {
      long c = k * s->stride + kx - p;
      if (c >= 0 && c < s->w) y[i * ow + k] += v * x[r * s->w + c];
    }
  }
}

/* Add weight v of tap (ky, kx) times plane x to what it reaches of y. */
static void tap_spread(const Shape *s, double v, long ky, long kx,
                       const float *x, double *y) {
  long oh = out_size(s, s->h), ow = out_size(s, s->w), p = cut_front(s);
  for (long i = 0; i < s->h; i++) {
    long r = i * s->stride + ky - p;
    if (r < 0 || r >= oh) continue;
    for (long k = 0; k < s->w; k++) {
      long c = k * s->stride + kx - p;
      if (c >= 0 && c < ow) y[r * ow + c] += v * x[i * s->w + k];
    }
  }
}

static void maps(const Shape *s, const float *w, const float *x, double *y) {
  long cg = s->c / s->groups, og = s->o / s->groups, taps = s->k * s->k;
  long plane = out_size(s, s->h) * out_size(s, s->w);
  for (long o = 0; o < s->o; o++)
    for (long c = 0; c < cg; c++)
      for (long t = 0; t < taps; t++) {
        float v = w[(o * cg + c) * taps + t];
        const float *from = x + (o / og * cg + c) * s->h * s->w;
        if (v != 0)
          (is_transposed(s) ? tap_spread : tap_add)(
              s, v, t / s->k, t % s->k, from, y + o * plane);
      }
}

float *reference(const Shape *s, const float *w, const float *x) {
  long n = y_count(s);
  double *sum = calloc((size_t)n, sizeof *sum);
  float *y = calloc((size_t)n, sizeof *y);
  (is_linear(s) ? linear : maps)(s, w, x, sum);
  for (long i = 0; i < n; i++) y[i] = (float)sum[i];
  free(sum);
  return y;
}

double error_of(const float *y, const float *reference, long n) {
  double most = 0, off = 0;
  for (long i = 0; i < n; i++) {
    double d = fabs((double)y[i] - reference[i]);
    if (!(d <= off)) off = d;           /* NaN too */
    if (fabsf(reference[i]) > most) most = fabsf(reference[i]);
  }
  return most > 0 ? off / most : off;
}
