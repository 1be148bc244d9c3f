/* onnx_blocks.c - operators between blocks of space and channels. */
#include "frontend/onnx_move.h"

#include <string.h>

/* ---- SpaceToDepth, DepthToSpace ------------------------------------- */

/* Operand 0, [N,C,H,W], whose sizes blocks of *b fit; NULL and a report. */
static Node *blocks_of(Ox *o, bool channels, int64_t *b) {
  Node *x = ox_in(o, 0);
  *b = ox_int(o, "blocksize", 0);
  if (!x)
    return NULL;
  const int64_t *d = x->type.dim;
  if (x->type.rank == 4 && *b >= 1 && *b <= 1 << 15 &&
      (channels ? d[1] % (*b * *b) == 0 : d[2] % *b == 0 && d[3] % *b == 0))
    return x;
  if (x->type.rank != 4)
    ox_malformed(o, "a value of rank %d, expected 4", x->type.rank);
  else
    ox_malformed(o, "blocks of %lld do not fit [%lld,%lld,%lld,%lld]",
                 (long long)*b, (long long)d[0], (long long)d[1],
                 (long long)d[2], (long long)d[3]);
  return NULL;
}

/* Channels of the deep side are [row of the block, column, rest], in mode CRD
 * [rest, row, column]. */
static bool blocks_mode(Ox *o, bool *rest_first) {
  const char *mode = ox_str(o, "mode", "DCR");
  *rest_first = strcmp(mode, "CRD") == 0;
  return *rest_first || strcmp(mode, "DCR") == 0 ||
         ox_malformed(o, "mode %s", mode);
}

bool ox_write_space_to_depth(Ox *o) {
  static const int64_t dcr[] = {0, 3, 5, 1, 2, 4};
  static const int64_t crd[] = {0, 1, 3, 5, 2, 4};
  int64_t b;
  bool rest_first;
  Node *x = blocks_of(o, false, &b);
  if (!x || !blocks_mode(o, &rest_first))
    return false;
  int64_t n = x->type.dim[0], c = x->type.dim[1], h = x->type.dim[2] / b;
  int64_t w = x->type.dim[3] / b, deep;
  if (__builtin_mul_overflow(c, b * b, &deep))
    return ox_malformed(o, "the sizes multiply to more than 2^63");
  Node *y = ox_reshape(o, x, 6, (int64_t[]){n, c, h, b, w, b});
  y = ox_permute(o, y, rest_first ? crd : dcr);
  return ox_give(o, 0, ox_reshape(o, y, 4, (int64_t[]){n, deep, h, w}));
}

bool ox_write_depth_to_space(Ox *o) {
  static const int64_t dcr[] = {0, 3, 4, 1, 5, 2};
  static const int64_t crd[] = {0, 1, 4, 2, 5, 3};
  int64_t b;
  bool rest_first;
  Node *x = blocks_of(o, true, &b);
  if (!x || !blocks_mode(o, &rest_first))
    return false;
  int64_t n = x->type.dim[0], c = x->type.dim[1] / (b * b);
  int64_t h = x->type.dim[2], w = x->type.dim[3], high, wide;
  if (__builtin_mul_overflow(h, b, &high) ||
      __builtin_mul_overflow(w, b, &wide))
    return ox_malformed(o, "the sizes multiply to more than 2^63");
  Node *y = rest_first
    ? ox_reshape(o, x, 6, (int64_t[]){n, c, b, b, h, w})
    : ox_reshape(o, x, 6, (int64_t[]){n, b, b, c, h, w});
  y = ox_permute(o, y, rest_first ? crd : dcr);
  return ox_give(o, 0, ox_reshape(o, y, 4, (int64_t[]){n, c, high, wide}));
}

/* ---- Col2Im ---------------------------------------------------------- */

typedef struct Window {
  int64_t image, block, stride, dilation, before, after;
  int64_t steps;               /* places of the block */
} Window;

static const int64_t *window_list(Ox *o, const char *name, int n) {
  const int64_t *v = NULL;
  int have = ox_ints(o, name, &v);
  if (have >= 0 && have != n)
    ox_malformed(o, "%d %s, expected %d", have, name, n);
  return have == n ? v : NULL;
}

static bool window_fits(Ox *o, Window *w) {
  bool ok = w->image >= 1 && w->block >= 1 && w->stride >= 1 &&
            w->dilation >= 1 && w->before >= 0 && w->after >= 0 &&
            w->image <= MAX_WINDOW && w->block <= MAX_WINDOW &&
            w->stride <= MAX_WINDOW && w->dilation <= MAX_WINDOW &&
            w->before <= MAX_WINDOW && w->after <= MAX_WINDOW;
  int64_t free = -1;
  if (ok)
    free = w->image + w->before + w->after - w->dilation * (w->block - 1) - 1;
  if (free < 0)
    return ox_malformed(o, "a block of %lld, dilation %lld, stride %lld, "
                        "pads %lld and %lld over %lld",
                        (long long)w->block, (long long)w->dilation,
                        (long long)w->stride, (long long)w->before,
                        (long long)w->after, (long long)w->image);
  w->steps = free / w->stride + 1;
  return true;
}

static int windows_read(Ox *o, Window *w) {
  const int64_t *image, *block;
  int n = ox_const_ints(o, 1, "image_shape", &image);
  int k = ox_const_ints(o, 2, "block_shape", &block);
  if (n < 0 || k < 0)
    return -1;
  if (n != k || n < 1 || n > MAX_RANK - 2) {
    ox_malformed(o, "an image of rank %d, blocks of rank %d", n, k);
    return -1;
  }
  const int64_t *stride = window_list(o, "strides", n);
  const int64_t *dilation = window_list(o, "dilations", n);
  const int64_t *pad = window_list(o, "pads", 2 * n);
  for (int i = 0; i < n; i++) {
    w[i] = (Window){image[i], block[i], stride ? stride[i] : 1,
                    dilation ? dilation[i] : 1, pad ? pad[i] : 0,
                    pad ? pad[n + i] : 0, 0};
    if (!window_fits(o, &w[i]))
      return -1;
  }
  return o->said ? -1 : n;
}

/* Where in the image element `cell` of the block lies at its place `step`;
 * -1: in the padding. */
static int64_t window_place(const Window *w, int n, int64_t cell,
                            int64_t step) {
  int64_t at = 0, by = 1;
  for (int i = n; i-- > 0; by *= w[i].image) {
    int64_t k = cell % w[i].block, s = step % w[i].steps;
    int64_t p = s * w[i].stride + k * w[i].dilation - w[i].before;
    if (p < 0 || p >= w[i].image)
      return -1;
    at += p * by;
    cell /= w[i].block;
    step /= w[i].steps;
  }
  return at;
}

/* x [N,C*cells,steps] is added to an image of zeros. */
bool ox_write_col2im(Ox *o) {
  Window w[MAX_RANK];
  int64_t pixels = 1, cells = 1, steps = 1, n, shape[MAX_RANK];
  Node *x = ox_in(o, 0);
  int k = x ? windows_read(o, w) : -1;
  if (k < 0)
    return false;
  for (int i = 0; i < k; i++)
    if (__builtin_mul_overflow(pixels, w[i].image, &pixels) ||
        __builtin_mul_overflow(cells, w[i].block, &cells) ||
        __builtin_mul_overflow(steps, w[i].steps, &steps) ||
        pixels > INT32_MAX)
      return ox_malformed(o, "the sizes multiply to more than 2^31");
  const int64_t *d = x->type.dim;
  if (x->type.rank != 3 || d[1] % cells || d[2] != steps)
    return ox_malformed(o, "%lld blocks of %lld elements do not fit the "
                        "operand", (long long)steps, (long long)cells);
  if (__builtin_mul_overflow(cells, steps, &n) || n > INT32_MAX ||
      !ox_room(o, n))
    return ox_refuse(o, "%lld blocks of %lld elements are too many",
                     (long long)steps, (long long)cells);
  int64_t *place = arena_array(o->a, int64_t, (size_t)n);
  for (int64_t i = 0; i < n; i++)
    place[i] = window_place(w, k, i / steps, i % steps);
  shape[0] = d[0];
  shape[1] = d[1] / cells;
  for (int i = 0; i < k; i++)
    shape[2 + i] = w[i].image;
  int64_t planes = ox_span(shape, 0, 2);
  Node *y = ox_filled(o, x->type.elem, 2, (int64_t[]){planes, pixels}, 0);
  Node *v = ox_reshape(o, x, 2, (int64_t[]){planes, n});
  y = ox_scatter(o, y, ox_list(o, I32, place, (int)n), v, 1, "add");
  return ox_give(o, 0, ox_reshape(o, y, k + 2, shape));
}
