/* columns.c - what a layer multiplies its weight with, as rows of a matrix:
 * vectors of a linear layer, windows of a convolution; and their sums of
 * products. */
#include "driver/driver.h"

#include <math.h>
#include <string.h>

/* Doubles of a matrix that is made at once: 8 MB. */
enum { BLOCK_ELEMS = 1 << 20 };

/* The last axes of v; those that the op does not have are `none`. */
static void last_axes(int64_t to[3], const int64_t *v, int n, int64_t none) {
  for (int i = 0; i < 3; i++) to[i] = i < 3 - n ? none : v[i - 3 + n];
}

Columns columns_of(const Node *layer) {
  const Type *x = &layer->in[0]->type;
  Columns c = {.node = layer->in[0], .groups = layer_groups(layer),
               .linear = layer->op == OP_LINEAR || layer->op == OP_MATMUL};
  if (c.linear) {
    c.cols = x->dim[x->rank - 1];
    return c;
  }
  const Type *w = &node_operand(layer, "w")->type;
  int axes = x->rank - 2;
  c.channels = x->dim[1];
  last_axes(c.from, &x->dim[2], axes, 1);
  last_axes(c.at, &layer->type.dim[2], axes, 1);
  last_axes(c.k, &w->dim[2], axes, 1);
  last_axes(c.stride, attr_ints(layer, "stride", NULL), axes, 1);
  last_axes(c.dilation, attr_ints(layer, "dilation", NULL), axes, 1);
  last_axes(c.pad, attr_ints(layer, "pad", NULL), axes, 0);
  c.cols = w->dim[1] * c.k[0] * c.k[1] * c.k[2];
  return c;
}

bool columns_equal(const Columns *a, const Columns *b) {
  enum { LIST = 3 * sizeof(int64_t) };
  return a->node == b->node && a->linear == b->linear &&
         a->groups == b->groups && a->cols == b->cols &&
         memcmp(a->at, b->at, LIST) == 0 && memcmp(a->k, b->k, LIST) == 0 &&
         memcmp(a->stride, b->stride, LIST) == 0 &&
         memcmp(a->dilation, b->dilation, LIST) == 0 &&
         memcmp(a->pad, b->pad, LIST) == 0;
}

/* ---- windows --------------------------------------------------------- */

/* Element of the plane that tap t reads for the output position p, or -1:
 * it lies outside. */
static int64_t tap_index(const Columns *c, int64_t p, int64_t t) {
  int64_t index = 0, step = 1;
  for (int i = 2; i >= 0; i--) {
    int64_t at = p % c->at[i] * c->stride[i] +
                 t % c->k[i] * c->dilation[i] - c->pad[i];
    if (at < 0 || at >= c->from[i]) return -1;
    index += at * step;
    step *= c->from[i];
    p /= c->at[i];
    t /= c->k[i];
  }
  return index;
}

/* Windows p0 to p0 + n of one image's group, a row each; `at` has room for
 * the taps. */
static void windows_fill(const Columns *c, const float *x, int64_t p0,
                         int64_t n, int64_t *at, double *out) {
  int64_t taps = c->k[0] * c->k[1] * c->k[2];
  int64_t plane = c->from[0] * c->from[1] * c->from[2];
  for (int64_t p = 0; p < n; p++) {
    for (int64_t t = 0; t < taps; t++) at[t] = tap_index(c, p0 + p, t);
    for (int64_t k = 0; k < c->cols / taps; k++, out += taps)
      for (int64_t t = 0; t < taps; t++)
        out[t] = at[t] < 0 ? 0 : x[k * plane + at[t]];
  }
}

/* ---- sums ------------------------------------------------------------ */

static void rows_add(const Sums *s, int64_t cols, const double *x,
                     int64_t rows) {
  if (s->gram) gram_add(s->gram, cols, x, rows);
  for (int64_t r = 0; r < rows && !s->gram; r++)
    for (int64_t k = 0; k < cols; k++)
      s->square[k] += x[r * cols + k] * x[r * cols + k];
}

static void linear_add(const Columns *c, const Sums *s, const float *x,
                       int64_t rows, const uint8_t *counts, double *block,
                       int64_t most) {
  int64_t n = 0;
  for (int64_t r = 0; r < rows; r++) {
    if (counts && !counts[r]) continue;
    for (int64_t i = 0; i < c->cols; i++)
      block[n * c->cols + i] = x[r * c->cols + i];
    if (++n < most) continue;
    rows_add(s, c->cols, block, n);
    n = 0;
  }
  if (n) rows_add(s, c->cols, block, n);
}

static void conv_add(const Columns *c, const Sums *s, const float *x,
                     int64_t images, double *block, int64_t most) {
  Arena *a = arena_new();
  int64_t *taps = arena_array(a, int64_t, (size_t)(c->k[0] * c->k[1] *
                                                   c->k[2]) + 1);
  int64_t windows = c->at[0] * c->at[1] * c->at[2];
  int64_t plane = c->from[0] * c->from[1] * c->from[2];
  int64_t each = c->channels / c->groups * plane;
  for (int64_t i = 0; i < images * c->groups; i++)
    for (int64_t p = 0; p < windows; p += most) {
      int64_t n = windows - p < most ? windows - p : most;
      windows_fill(c, x + i * each, p, n, taps, block);
      rows_add(&s[i % c->groups], c->cols, block, n);
    }
  arena_free(a);
}

int64_t columns_rows(const Columns *c, const Type *t) {
  return c->linear && c->cols ? type_elems(t) / c->cols : 0;
}

void columns_add(const Columns *c, const Sums *s, const float *x,
                 const Type *t, const uint8_t *counts) {
  if (c->cols == 0 || type_elems(t) == 0) return;
  int64_t most = BLOCK_ELEMS / c->cols < 1 ? 1 : BLOCK_ELEMS / c->cols;
  Buffer *b = buffer_new(checked_mul((size_t)(most * c->cols),
                                     sizeof(double)));
  double *block = (double *)(void *)b->data;
  if (c->linear)
    linear_add(c, s, x, columns_rows(c, t), counts, block, most);
  else
    conv_add(c, s, x, t->dim[0], block, most);
  buffer_unref(b);
}
