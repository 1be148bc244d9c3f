/* couple_products.c - the coupling of convolutions, linear layers, products
 * of matrices and attentions: rows of a weight with the channels of the
 * result, columns with those that are summed over.
 *
 * Of a convolution in groups, depthwise ones too, each group goes as a whole:
 * its channels of x, its rows of the weight, its channels of the result. */
#include "passes/couple.h"

/* Where a weight has the channels that are summed, and those of the result. */
typedef struct Sides { int in, out; } Sides;

static bool conv_sides(Op op, Sides *s) {
  switch (op) {
  case OP_CONV1D: case OP_CONV2D: case OP_CONV3D:
    *s = (Sides){1, 0};
    return true;
  case OP_CONV1D_TRANSPOSE: case OP_CONV2D_TRANSPOSE:
  case OP_CONV3D_TRANSPOSE:
    *s = (Sides){0, 1};
    return true;
  default:
    return false;
  }
}

/* Group g of a convolution in groups. */
static void couple_group(Cells *c, const Node *n, int64_t g, int64_t groups) {
  int64_t ins = n->in[0]->type.dim[1] / groups;
  int64_t outs = n->type.dim[1] / groups;
  int64_t rows = n->in[1]->type.dim[0] / groups;
  for (int64_t i = 0; i < ins; i++)
    cells_tie(c, n, 0, 1, g * ins + i, 1, g * outs);
  for (int64_t o = 0; o < outs; o++)
    cells_tie(c, n, 1, 0, g * rows, 1, g * outs + o);
  for (int64_t r = 0; r < rows; r++)
    cells_tie(c, n, 1, 0, g * rows + r, 1, g * outs);
}

static void couple_conv(Cells *c, Node *n, Sides s) {
  int64_t groups = attr_int(n, "groups");
  cells_tie_axis(c, n, 0, 0, 0);
  if (groups == 1) {
    cells_cross(c, n, 0, 1, 1, s.in);
    cells_tie_axis(c, n, 1, s.out, 1);
  } else if (n->in[0]->type.dim[1] && n->type.dim[1]) {
    for (int64_t g = 0; g < groups; g++) couple_group(c, n, g, groups);
  }
  if (node_in(n, 2)) cells_tie_axis(c, n, 2, 0, 1);
  if (node_in(n, 3)) couple_broadcast(c, n, 3, 2);
}

static void couple_linear(Cells *c, Node *n) {
  int last = n->type.rank - 1;
  couple_broadcast(c, n, 0, last);
  cells_cross(c, n, 0, last, 1, 1);
  cells_tie_axis(c, n, 1, 0, last);
  if (node_in(n, 2)) cells_tie_axis(c, n, 2, 0, last);
  if (node_in(n, 3)) couple_broadcast(c, n, 3, n->type.rank);
}

/* All but the last two axes. */
static void couple_batch(Cells *c, const Node *n, int k) {
  const Type *x = &n->in[k]->type;
  int skip = n->type.rank - x->rank;
  for (int i = 0; i < x->rank - 2; i++)
    if (x->dim[i] == n->type.dim[i + skip])
      cells_tie_axis(c, n, k, i, i + skip);
    else cells_hold_one(c, n, k, i);
}

static void couple_matmul(Cells *c, Node *n) {
  int a = n->in[0]->type.rank, b = n->in[1]->type.rank, y = n->type.rank;
  bool ta = attr_bool(n, "transpose_a"), tb = attr_bool(n, "transpose_b");
  couple_batch(c, n, 0);
  couple_batch(c, n, 1);
  cells_tie_axis(c, n, 0, ta ? a - 1 : a - 2, y - 2);
  cells_tie_axis(c, n, 1, tb ? b - 2 : b - 1, y - 1);
  cells_cross(c, n, 0, ta ? a - 2 : a - 1, 1, tb ? b - 1 : b - 2);
}

static void couple_attend(Cells *c, Node *n) {
  int q = n->in[0]->type.rank, k = n->in[1]->type.rank;
  int v = n->in[2]->type.rank, y = n->type.rank;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i]) couple_batch(c, n, i);
  cells_cross(c, n, 0, q - 1, 1, attr_bool(n, "transpose_k") ? k - 1 : k - 2);
  cells_tie_axis(c, n, 2, v - 1, y - 1);
}

bool couple_product(Cells *c, Node *n) {
  Sides s;
  if (conv_sides(n->op, &s)) couple_conv(c, n, s);
  else if (n->op == OP_LINEAR) couple_linear(c, n);
  else if (n->op == OP_MATMUL) couple_matmul(c, n);
  else if (n->op == OP_ATTEND) couple_attend(c, n);
  else return false;
  return true;
}
