/* infer_convn.c - the types of convolutions over 1 to 3 axes, transposed
 * ones, and gradients by their weights. */
#include "ir/infer.h"

#include <string.h>

/* The axes behind batch and channels, and the attributes about them. */
typedef struct Spatial {
  int n;
  const char *const *axis;         /* names */
  const int64_t *stride, *pad, *dilation;
  int64_t groups;
} Spatial;

static const char *const axis_names[] = {"d", "h", "w"};
static const char *const line_name[] = {"l"};

static bool spatial_init(InferCtx *c, int n, Spatial *s) {
  s->n = n;
  s->axis = n == 1 ? line_name : axis_names + 3 - n;
  s->groups = attr_int(c->n, "groups");
  return infer_rank(c, 0, n + 2) && infer_rank(c, 1, n + 2) &&
         infer_list(c, "stride", n, 1, MAX_WINDOW, &s->stride) &&
         infer_list(c, "pad", 2 * n, 0, MAX_WINDOW, &s->pad) &&
         infer_list(c, "dilation", n, 1, MAX_WINDOW, &s->dilation);
}

static bool groups_divide(InferCtx *c, const Spatial *s, int64_t channels,
                          const char *which) {
  if (s->groups < 1)
    return infer_error(c, "groups=%lld, expected at least 1",
                       (long long)s->groups);
  if (channels % s->groups == 0) return true;
  return infer_error(c, "groups=%lld does not divide %s channels %lld",
                     (long long)s->groups, which, (long long)channels);
}

/* ---- convolutions ---------------------------------------------------- */

/* y = [N, O, positions of the window of sizes k]. */
static bool positions(InferCtx *c, const Spatial *s, const int64_t *k,
                      int64_t o, int64_t y[MAX_RANK]) {
  const Type *x = infer_in(c, 0);
  y[0] = x->dim[0];
  y[1] = o;
  for (int i = 0; i < s->n; i++)
    if (!infer_window(c, s->axis[i], x->dim[2 + i], s->pad[i],
                      s->pad[s->n + i], k[i], s->stride[i], s->dilation[i],
                      &y[2 + i]))
      return false;
  return true;
}

static bool conv(InferCtx *c, int n) {
  Spatial s;
  int64_t y[MAX_RANK];
  if (!spatial_init(c, n, &s)) return false;
  const Type *x = infer_in(c, 0), *w = infer_in(c, 1);
  if (!groups_divide(c, &s, x->dim[1], "input") ||
      !groups_divide(c, &s, w->dim[0], "output"))
    return false;
  if (w->dim[1] != x->dim[1] / s.groups)
    return infer_error(c, "weight has %lld input channels, expected %lld "
                       "(input channels %lld / groups %lld)",
                       (long long)w->dim[1],
                       (long long)(x->dim[1] / s.groups),
                       (long long)x->dim[1], (long long)s.groups);
  if (!positions(c, &s, &w->dim[2], w->dim[0], y)) return false;
  if (node_operand(c->n, "b") && !infer_shape(c, 2, 1, &w->dim[0]))
    return false;
  return infer_out(c, n + 2, y);
}

bool infer_conv1d(InferCtx *c) { return conv(c, 1); }
bool infer_conv2d(InferCtx *c) { return conv(c, 2) && infer_epilogue(c); }
bool infer_conv3d(InferCtx *c) { return conv(c, 3); }

/* ---- transposed ------------------------------------------------------ */

/* Size of the result along axis i. */
static bool spread_size(InferCtx *c, const Spatial *s, int i, int64_t more,
                        int64_t *out) {
  int64_t in = infer_in(c, 0)->dim[i + 2], k = infer_in(c, 1)->dim[i + 2];
  int64_t cut = s->pad[i] + s->pad[s->n + i];
  if (k < 1 || k > MAX_WINDOW || in > MAX_WINDOW)
    return infer_error(c, "size %lld, kernel %lld along %s, expected at most "
                       "2^30 and a kernel of 1 or more", (long long)in,
                       (long long)k, s->axis[i]);
  *out = 0;
  if (in == 0) return true;
  *out = (in - 1) * s->stride[i] + (k - 1) * s->dilation[i] + 1 + more - cut;
  if (*out >= 0) return true;
  return infer_error(c, "the padding cuts %lld off along %s, there are only "
                     "%lld", (long long)cut, s->axis[i],
                     (long long)(*out + cut));
}

static bool transpose(InferCtx *c, int n) {
  Spatial s;
  const int64_t *more;
  if (!spatial_init(c, n, &s) ||
      !infer_list(c, "out_pad", n, 0, MAX_WINDOW, &more))
    return false;
  const Type *x = infer_in(c, 0), *w = infer_in(c, 1);
  if (!groups_divide(c, &s, x->dim[1], "input")) return false;
  if (w->dim[0] != x->dim[1])
    return infer_error(c, "weight has %lld input channels, expected %lld",
                       (long long)w->dim[0], (long long)x->dim[1]);
  int64_t y[MAX_RANK] = {x->dim[0]};
  if (__builtin_mul_overflow(w->dim[1], s.groups, &y[1])) y[1] = -1;
  for (int i = 0; i < n; i++)
    if (!spread_size(c, &s, i, more[i], &y[i + 2])) return false;
  if (node_operand(c->n, "b") && !infer_shape(c, 2, 1, &y[1])) return false;
  return infer_out(c, n + 2, y);
}

bool infer_conv1d_transpose(InferCtx *c) { return transpose(c, 1); }
bool infer_conv2d_transpose(InferCtx *c) {
  return transpose(c, 2) && infer_epilogue(c);
}
bool infer_conv3d_transpose(InferCtx *c) { return transpose(c, 3); }

/* ---- gradients by the weight ----------------------------------------- */

static bool weight_grad(InferCtx *c, int n) {
  Spatial s;
  const int64_t *k;
  int64_t y[MAX_RANK], w[MAX_RANK];
  if (!spatial_init(c, n, &s) || !infer_list(c, "k", n, 1, MAX_WINDOW, &k))
    return false;
  const Type *x = infer_in(c, 0), *dy = infer_in(c, 1);
  if (!groups_divide(c, &s, x->dim[1], "input") ||
      !groups_divide(c, &s, dy->dim[1], "output") ||
      !positions(c, &s, k, dy->dim[1], y) || !infer_shape(c, 1, n + 2, y))
    return false;
  w[0] = dy->dim[1];
  w[1] = x->dim[1] / s.groups;
  memcpy(w + 2, k, (size_t)n * sizeof *k);
  return infer_out(c, n + 2, w);
}

bool infer_conv1d_weight_grad(InferCtx *c) { return weight_grad(c, 1); }
bool infer_conv2d_weight_grad(InferCtx *c) { return weight_grad(c, 2); }
bool infer_conv3d_weight_grad(InferCtx *c) { return weight_grad(c, 3); }
