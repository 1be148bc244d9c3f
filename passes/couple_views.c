/* couple_views.c - the coupling of ops that only move values.
 *
 * A reshape that merges or splits axes hands on what its outermost axis does:
 * channel i of maps of HW pixels is columns i*HW to (i+1)*HW-1 of a flattened
 * map, head i of E features is features i*E to (i+1)*E-1. */
#include "passes/couple.h"

/* ---- reshape --------------------------------------------------------- */

/* The first axis of [from, to) that is not 1; -1: all are. */
static int major_axis(const Type *t, int from, int to) {
  for (int i = from; i < to; i++)
    if (t->dim[i] != 1) return i;
  return -1;
}

static void couple_merged(Cells *c, const Node *n, int x, int y) {
  int64_t dx = n->in[0]->type.dim[x], dy = n->type.dim[y];
  int64_t step = dx < dy ? dy / dx : dx / dy;
  if (dx == dy) {
    cells_tie_axis(c, n, 0, x, y);
    return;
  }
  if (dx < dy ? dy % dx : dx % dy) return;
  for (int64_t i = 0; i < (dx < dy ? dy : dx); i++)
    cells_tie(c, n, 0, x, dx < dy ? i / step : i, y, dx < dy ? i : i / step);
}

static void couple_reshape(Cells *c, const Node *n) {
  int from[2] = {0, 0}, to[2];
  const Type *x = &n->in[0]->type, *y = &n->type;
  if (type_elems(x) <= 0) return;
  while (reshape_group(x, y, from, to)) {
    int i = major_axis(x, from[0], to[0]), j = major_axis(y, from[1], to[1]);
    if (i >= 0 && j >= 0) couple_merged(c, n, i, j);
    from[0] = to[0], from[1] = to[1];
  }
}

/* ---- the others ------------------------------------------------------ */

static void couple_concat(Cells *c, const Node *n) {
  int axis = node_axis(n, n->type.rank);
  int64_t at = 0;
  for (int k = 0; k < n->nin; k++) {
    int64_t size = n->in[k]->type.dim[axis];
    for (int i = 0; i < n->type.rank; i++)
      if (i != axis) cells_tie_axis(c, n, k, i, i);
    cells_free(c, n, k, axis);
    for (int64_t i = 0; i < size; i++)
      cells_tie(c, n, k, axis, i, axis, at + i);
    at += size;
  }
}

static void couple_slice(Cells *c, const Node *n) {
  int axis = node_axis(n, n->type.rank);
  int64_t start = attr_int(n, "start");
  if (start < 0) start += n->in[0]->type.dim[axis];
  for (int i = 0; i < n->type.rank; i++)
    if (i != axis) cells_tie_axis(c, n, 0, i, i);
  if (attr_int(n, "step") != 1 || axis_is_free(&n->type, axis)) return;
  cells_free(c, n, 0, axis);
  for (int64_t i = 0; i < n->type.dim[axis]; i++)
    cells_tie(c, n, 0, axis, start + i, axis, i);
}

static void couple_select(Cells *c, const Node *n) {
  int axis = node_axis(n, n->in[0]->type.rank);
  for (int i = 0; i < n->type.rank; i++)
    cells_tie_axis(c, n, 0, i < axis ? i : i + 1, i);
}

static void couple_flip(Cells *c, const Node *n) {
  int count, rank = n->type.rank;
  bool turned[MAX_RANK] = {false};
  const int64_t *axes = attr_ints(n, "axes", &count);
  for (int i = 0; i < count; i++)
    turned[axes[i] < 0 ? axes[i] + rank : axes[i]] = true;
  for (int i = 0; i < rank; i++) {
    int64_t size = n->type.dim[i];
    for (int64_t k = 0; k < size; k++)
      cells_tie(c, n, 0, i, turned[i] ? size - 1 - k : k, i, k);
  }
}

/* Indices that only padding has may go too. */
static void couple_pad(Cells *c, const Node *n) {
  int count;
  const int64_t *before = attr_ints(n, "before", &count);
  for (int i = 0; i < n->type.rank; i++) {
    cells_free(c, n, 0, i);
    cells_free(c, n, RESULT, i);
    for (int64_t k = 0; k < n->in[0]->type.dim[i]; k++)
      cells_tie(c, n, 0, i, k, i, before[i] + k);
  }
}

bool couple_view(Cells *c, const Node *n) {
  int count;
  const int64_t *order;
  switch (n->op) {
  case OP_RESHAPE:
    couple_reshape(c, n);
    return true;
  case OP_PERMUTE:
    order = attr_ints(n, "order", &count);
    for (int i = 0; i < n->type.rank; i++)
      cells_tie_axis(c, n, 0, (int)order[i], i);
    return true;
  case OP_EXPAND:
    couple_broadcast(c, n, 0, n->type.rank);
    return true;
  case OP_CONCAT:
    couple_concat(c, n);
    return true;
  case OP_SLICE:
    couple_slice(c, n);
    return true;
  case OP_SELECT:
    couple_select(c, n);
    return true;
  case OP_FLIP:
    couple_flip(c, n);
    return true;
  case OP_PAD:
    couple_pad(c, n);
    return true;
  default:
    return false;
  }
}
