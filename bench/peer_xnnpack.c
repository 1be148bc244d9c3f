/* peer_xnnpack.c - XNNPACK: its f32 operators on pixels whose channels are
 * side by side, and the sparse one on planes where the machine has it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xnnpack.h>

#include "bench/peer.h"

typedef struct Job {
  xnn_operator_t op;
  float *x, *y;
  long o, pixels;
  int planes;                   /* x and y are [c,h,w] */
} Job;

static const char *version(void) { return "as Debian has it"; }

static float *room(long n) {
  size_t bytes = ((size_t)n * 4 + 2 * XNN_EXTRA_BYTES + 127) / 64 * 64;
  return memset(aligned_alloc(64, bytes), 0, bytes);
}

/* [a,b] to [b,a] */
static void transpose(const float *from, float *to, long a, long b) {
  for (long i = 0; i < a; i++)
    for (long k = 0; k < b; k++) to[k * a + i] = from[i * b + k];
}

static enum xnn_status linear(Job *j, const Shape *s, const float *w,
                              const float *x) {
  memcpy(j->x, x, (size_t)(s->c * s->h) * 4);
  enum xnn_status bad = xnn_create_fully_connected_nc_f32(
      (size_t)s->c, (size_t)s->o, (size_t)s->c, (size_t)s->o, w, NULL,
      -INFINITY, INFINITY, 0, &j->op);
  return bad ? bad : xnn_setup_fully_connected_nc_f32(
                         j->op, (size_t)s->h, j->x, j->y, NULL);
}

/* x and w with channels last; the caller frees w. */
static float *channels_last(Job *j, const Shape *s, const float *w,
                            const float *x) {
  long c = s->c / s->groups, taps = s->k * s->k;
  float *packed = room(s->o * c * taps);
  for (long i = 0; i < s->o; i++)
    transpose(w + i * c * taps, packed + i * c * taps, c, taps);
  transpose(x, j->x, s->c, s->h * s->w);
  return packed;
}

static enum xnn_status conv(Job *j, const Shape *s, const float *w,
                            const float *x) {
  long c = s->c / s->groups;
  uint32_t p = (uint32_t)s->k / 2, k = (uint32_t)s->k;
  uint32_t step = (uint32_t)s->stride;
  float *packed = channels_last(j, s, w, x);
  enum xnn_status bad = xnn_create_convolution2d_nhwc_f32(
      p, p, p, p, k, k, step, step, 1, 1, (uint32_t)s->groups, (size_t)c,
      (size_t)(s->o / s->groups), (size_t)s->c, (size_t)s->o, packed, NULL,
      -INFINITY, INFINITY, 0, &j->op);
  free(packed);
  return bad ? bad : xnn_setup_convolution2d_nhwc_f32(
                         j->op, 1, (size_t)s->h, (size_t)s->w, j->x, j->y,
                         NULL);
}

/* What is cut off in front is cut off behind too, but for an adjustment. */
static enum xnn_status transposed(Job *j, const Shape *s, const float *w,
                                  const float *x) {
  uint32_t p = (uint32_t)cut_front(s), k = (uint32_t)s->k;
  uint32_t step = (uint32_t)s->stride, more = p - (uint32_t)cut_back(s);
  float *packed = channels_last(j, s, w, x);
  enum xnn_status bad = xnn_create_deconvolution2d_nhwc_f32(
      p, p, p, p, k, k, step, step, 1, 1, (uint32_t)s->groups,
      (size_t)(s->c / s->groups), (size_t)(s->o / s->groups), (size_t)s->c,
      (size_t)s->o, packed, NULL, -INFINITY, INFINITY, 0, &j->op);
  free(packed);
  return bad ? bad : xnn_setup_deconvolution2d_nhwc_f32(
                         j->op, 1, (size_t)s->h, (size_t)s->w, more, more,
                         j->x, j->y, NULL);
}

static enum xnn_status sparse(Job *j, const Shape *s, const float *w,
                              const float *x) {
  if (!is_pointwise(s)) return xnn_status_unsupported_parameter;
  j->planes = 1;
  memcpy(j->x, x, (size_t)(s->c * s->h * s->w) * 4);
  enum xnn_status bad = xnn_create_convolution2d_nchw_f32(
      0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, (size_t)s->c, (size_t)s->o,
      (size_t)s->c, (size_t)s->o, w, NULL, -INFINITY, INFINITY, 0, &j->op);
  return bad ? bad : xnn_setup_convolution2d_nchw_f32(
                         j->op, 1, (size_t)s->h, (size_t)s->w, j->x, j->y,
                         NULL);
}

static void release(void *job) {
  Job *j = job;
  if (j->op) xnn_delete_operator(j->op);
  free(j->x);
  free(j->y);
  free(j);
}

typedef enum xnn_status Create(Job *, const Shape *, const float *,
                               const float *);

static void *begin(const Shape *s, const float *w, const float *x,
                   const char **why, Create *create) {
  if (xnn_initialize(NULL) != xnn_status_success) {
    *why = "XNNPACK does not support this CPU";
    return NULL;
  }
  Job *j = calloc(1, sizeof *j);
  j->o = s->o;
  j->pixels = is_linear(s) ? s->h : out_size(s, s->h) * out_size(s, s->w);
  j->planes = is_linear(s);
  j->x = room(s->c * s->h * s->w);
  j->y = room(j->o * j->pixels);
  enum xnn_status bad = create(j, s, w, x);
  if (!bad) return j;
  *why = bad == xnn_status_unsupported_hardware
             ? "XNNPACK has no such operator for this CPU"
             : "XNNPACK has no such operator";
  release(j);
  return NULL;
}

static void *prepare(const Shape *s, const float *w, const float *x,
                     const char **why) {
  return begin(s, w, x, why, is_linear(s)       ? linear
                             : is_transposed(s) ? transposed
                                                : conv);
}

static void *prepare_sparse(const Shape *s, const float *w, const float *x,
                            const char **why) {
  return begin(s, w, x, why, sparse);
}

static void run(void *job) { xnn_run_operator(((Job *)job)->op, NULL); }

static void result(void *job, float *y) {
  Job *j = job;
  if (j->planes) memcpy(y, j->y, (size_t)(j->o * j->pixels) * 4);
  else transpose(j->y, y, j->pixels, j->o);
}

const Peer peers[] = {
  {"XNNPACK", 0, version, prepare, run, result, NULL, release},
  {"XNNPACK sparse", 1, version, prepare_sparse, run, result, NULL, release},
  {0},
};
