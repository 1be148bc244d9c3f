/* onnx_unpool.c - what a maximum pool took put back at its places. */
#include "frontend/onnx_window.h"

#include <string.h>

/* What the windows reach over: of that the places speak. */
static bool reach(Ox *o, const Node *x, const OxWindow *w, int64_t *dim) {
  memcpy(dim, x->type.dim, 2 * sizeof *dim);
  for (int i = 0; i < w->n; i++) {
    dim[2 + i] = (w->in[i] - 1) * w->stride[i] + w->k[i] - w->before[i] -
                 w->after[i];
    if (dim[2 + i] < 0)
      return ox_malformed(o, "a result of size %lld",
                          (long long)dim[2 + i]);
  }
  return true;
}

/* The sizes that are asked for: zeros behind, or less. */
static Node *resized(Ox *o, Node *y) {
  const int64_t *size;
  int64_t before[MAX_RANK] = {0}, after[MAX_RANK] = {0};
  if (!y || !ox_has_in(o, 2))
    return y;
  int n = ox_const_ints(o, 2, "output_shape", &size), rank = y->type.rank;
  if (n != rank) {
    if (n >= 0)
      ox_malformed(o, "output_shape has %d sizes, expected %d", n, rank);
    return NULL;
  }
  for (int i = 0; i < n; i++) {
    int64_t d = y->type.dim[i];
    if (size[i] < 0 || (i < 2 && size[i] != d)) {
      ox_malformed(o, "output_shape: %lld", (long long)size[i]);
      return NULL;
    }
    after[i] = size[i] > d ? size[i] - d : 0;
  }
  y = ox_pad(o, y, before, after, 0);
  for (int i = 0; i < n; i++)
    y = ox_slice(o, y, i, 0, size[i], 1);
  return y;
}

/* Windows that overlap may have the same place, and then they have the same
 * value, which has to count once. */
static Node *once(Ox *o, Node *sum, Node *zero, Node *at, const Type *t) {
  Node *one = ox_filled(o, F32, t->rank, t->dim, 1);
  Node *n = ox_op3(o, OP_SCATTER_ADD, zero, at, one);
  return ox_op2(o, OP_DIV, sum, ox_with(o, OP_MAXIMUM, n, 1));
}

bool ox_write_max_unpool(Ox *o) {
  Node *x = ox_in(o, 0), *at = ox_in(o, 1);
  OxWindow w;
  int64_t dim[MAX_RANK], all = 1, n = x ? ox_elems(x) : 0;
  if (!x || !at || !ox_window_read(o, x, NULL, &w) ||
      !reach(o, x, &w, dim))
    return false;
  if (!type_same_shape(&x->type, &at->type))
    return ox_malformed(o, "the places have another shape than the values");
  for (int i = 0; i < x->type.rank; i++)
    all = ox_size_times(all, dim[i]);
  bool overlap = false;
  for (int i = 0; i < w.n; i++)
    overlap = overlap || w.stride[i] < w.k[i];
  x = ox_reshape(o, x, 1, &n);
  at = ox_reshape(o, at, 1, &n);
  Node *zero = ox_filled(o, F32, 1, &all, 0);
  Node *y = ox_op3(o, OP_SCATTER_ADD, zero, at, x);
  if (overlap && y)
    y = once(o, y, zero, at, &x->type);
  return ox_give(o, 0, resized(o, ox_reshape(o, y, w.n + 2, dim)));
}
