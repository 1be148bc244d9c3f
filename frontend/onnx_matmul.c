/* onnx_matmul.c - matrix products of an ONNX file. */
#include "frontend/onnx_matmul.h"

#include <math.h>
#include <string.h>

/* ---- integers ------------------------------------------------------- */

/* Products that are all held at once before they are summed. */
enum { PRODUCTS_MOST = 1 << 24 };

/* [..., M, K] and [..., K, N] by way of [..., M, K, N]: no kernel multiplies
 * matrices of integers. */
static Node *integer_product(Ox *o, Node *a, Node *b) {
  int rank = a->type.rank > b->type.rank ? a->type.rank : b->type.rank;
  if (rank >= MAX_RANK) {
    ox_refuse(o, "integers of rank %d", rank);
    return NULL;
  }
  Node *y = ox_op2(o, OP_MUL, ox_unsqueeze(o, a, a->type.rank),
                   ox_unsqueeze(o, b, b->type.rank - 2));
  int64_t axis = rank - 1, n = y ? ox_elems(y) : 0;
  if (n < 0 || n > PRODUCTS_MOST) {
    ox_refuse(o, "integers of so large matrices");
    return NULL;
  }
  return ox_reduce(o, OP_SUM, y, &axis, 1, false);
}

static Node *transposed(Ox *o, Node *x) {
  int64_t order[MAX_RANK];
  if (!x || x->type.rank < 2)
    return x;
  int r = x->type.rank;
  for (int i = 0; i < r; i++)
    order[i] = i;
  order[r - 2] = r - 1;
  order[r - 1] = r - 2;
  return ox_permute(o, x, order);
}

/* ---- products of any rank ------------------------------------------- */

Node *ox_matmul(Ox *o, Node *a, Node *b, bool ta, bool tb) {
  if (!a || !b)
    return NULL;
  if (a->type.elem != F32 && a->type.elem == b->type.elem) {
    a = ta ? transposed(o, a) : a;
    b = tb ? transposed(o, b) : b;
    return a && b ? integer_product(o, a, b) : NULL;
  }
  Node *n = ox_begin(o, OP_MATMUL, (Node *[]){a, b}, 2);
  if (!n)
    return NULL;
  attr_set_bool(n, "transpose_a", ta);
  attr_set_bool(n, "transpose_b", tb);
  return ox_end(o, n);
}

Node *ox_linear(Ox *o, Node *x, Node *w, Node *bias) {
  if (!x || !w)
    return NULL;
  return ox_end(o, ox_begin(o, OP_LINEAR, (Node *[]){x, w, bias},
                            bias ? 3 : 2));
}

bool ox_is_stored(const Node *n) {
  return n && (n->op == OP_PARAM || n->op == OP_CONST);
}

/* Without leading axes of size 1 beyond rank 2, so that a stored matrix is
 * seen as one. */
static Node *matrix(Ox *o, Node *x) {
  int extra = x->type.rank - 2;
  for (int i = 0; i < extra; i++)
    if (x->type.dim[i] != 1)
      return x;
  return extra > 0 ? ox_reshape(o, x, 2, x->type.dim + extra) : x;
}

/* As numpy.matmul: a vector is a row on the left, a column on the right, and
 * its axis of size 1 is not in the result. */
static Node *product(Ox *o, Node *a, Node *b, bool ta, bool tb) {
  bool row = a->type.rank == 1, column = b->type.rank == 1;
  bool rows_stored = ox_is_stored(a) && a->type.rank == 2 && !ta;
  if (column && rows_stored && a->type.elem == F32)
    return ox_linear(o, b, a, NULL);
  if (row)
    a = ox_unsqueeze(o, a, 0);
  if (column)
    b = ox_unsqueeze(o, b, 1);
  if (!a || !b)
    return NULL;
  if (ox_is_stored(b) && a->type.rank >= b->type.rank)
    b = matrix(o, b);
  Node *y = ox_matmul(o, a, b, ta && !row, tb && !column);
  if (y && column)
    y = ox_squeeze(o, y, y->type.rank - 1);
  return y && row ? ox_squeeze(o, y, y->type.rank - 1 - !column) : y;
}

bool ox_write_matmul(Ox *o) {
  Node *a = ox_in(o, 0), *b = ox_in(o, 1);
  if (!a || !b)
    return false;
  if (!a->type.rank || !b->type.rank)
    return ox_malformed(o, "an operand of rank 0, expected 1 or more");
  Node *y = product(o, a, b, false, false);
  return ox_give(o, 0, ox_wrap(o, y, ox_in_type(o, 0)));
}

/* ---- with a scale, transposed --------------------------------------- */

/* [A, batch..., B] as [batch..., A, B]. */
static Node *batch_moved(Ox *o, Node *x) {
  int64_t order[MAX_RANK];
  int r = x->type.rank;
  if (r < 3)
    return x;
  for (int i = 0; i < r - 2; i++)
    order[i] = i + 1;
  order[r - 2] = 0;
  order[r - 1] = r - 1;
  return ox_permute(o, x, order);
}

/* alpha a b of FusedMatMul. */
bool ox_write_fused_matmul(Ox *o) {
  Node *a = ox_in(o, 0), *b = ox_in(o, 1);
  if (!a || !b)
    return false;
  if (!a->type.rank || !b->type.rank)
    return ox_malformed(o, "an operand of rank 0, expected 1 or more");
  if (ox_int(o, "transBatchA", 0))
    a = batch_moved(o, a);
  if (ox_int(o, "transBatchB", 0))
    b = batch_moved(o, b);
  if (!a || !b)
    return false;
  Node *y = product(o, a, b, ox_int(o, "transA", 0), ox_int(o, "transB", 0));
  double alpha = ox_float(o, "alpha", 1);
  return ox_give(o, 0, alpha == 1 ? y : ox_with(o, OP_MUL, y, alpha));
}

/* ---- Gemm ----------------------------------------------------------- */

/* c, which broadcasts to [m,n], as [n] where that is all it has. */
static Node *bias_row(Ox *o, Node *c, int64_t n) {
  int r = c->type.rank;
  int64_t last = r ? c->type.dim[r - 1] : 1;
  if (!ox_is_stored(c) || ox_elems(c) != last)
    return NULL;
  if (r != 1)
    c = ox_reshape(o, c, 1, &last);
  return last == n ? c : ox_expand(o, c, 1, &n);
}

static bool bias_fits(Ox *o, const Node *c, const int64_t dim[2]) {
  int r = c->type.rank;
  bool fits = r <= 2;
  for (int i = 0; fits && i < r; i++) {
    int64_t d = c->type.dim[i];
    fits = d == 1 || d == dim[2 - r + i];
  }
  return fits || ox_malformed(o, "C does not broadcast to [%lld,%lld]",
                              (long long)dim[0], (long long)dim[1]);
}

/* A scale of integers has to be one. */
static bool scale_fits(Ox *o, const Node *x, double v) {
  if (x->type.elem == F32 || (v == trunc(v) && fabs(v) < 1 << 30))
    return true;
  return ox_refuse(o, "integers times %g", v);
}

static Node *scaled(Ox *o, Node *x, double v) {
  return v == 1 ? x : ox_with(o, OP_MUL, x, v);
}

typedef struct Gemm {
  Node *a, *b, *c;         /* c: NULL where there is none */
  bool ta, tb;
  double alpha, beta;
  int64_t dim[2];          /* of the result */
} Gemm;

/* The node's attributes but the scales, and whether a and b fit. */
static bool gemm_fits(Ox *o, Gemm *g) {
  if (!g->a || !g->b)
    return false;
  if (g->a->type.rank != 2 || g->b->type.rank != 2)
    return ox_malformed(o, "operands of rank %d and %d, expected 2",
                        g->a->type.rank, g->b->type.rank);
  g->ta = ox_int(o, "transA", 0);
  g->tb = ox_int(o, "transB", 0);
  g->dim[0] = g->a->type.dim[g->ta];
  g->dim[1] = g->b->type.dim[!g->tb];
  return g->a->type.dim[!g->ta] == g->b->type.dim[g->tb] ||
         ox_malformed(o, "A has %lld columns, B has %lld rows",
                      (long long)g->a->type.dim[!g->ta],
                      (long long)g->b->type.dim[g->tb]);
}

static bool gemm_read(Ox *o, Gemm *g) {
  *g = (Gemm){.a = ox_in(o, 0), .b = ox_in(o, 1)};
  g->alpha = ox_float(o, "alpha", 1);
  g->beta = ox_float(o, "beta", 1);
  if (!gemm_fits(o, g) || !scale_fits(o, g->a, g->alpha) ||
      !scale_fits(o, g->a, g->beta))
    return false;
  if (!ox_has_in(o, 2) || g->beta == 0)
    return true;
  g->c = ox_in(o, 2);
  return g->c && bias_fits(o, g->c, g->dim);
}

/* A stored b is the weight of a linear layer. */
static Node *gemm_write(Ox *o, const Gemm *g) {
  Node *c = g->c ? scaled(o, g->c, g->beta) : NULL, *y;
  if (ox_is_stored(g->b) && g->b->type.elem == F32) {
    Node *x = g->ta ? transposed(o, g->a) : g->a;
    Node *w = scaled(o, g->tb ? g->b : transposed(o, g->b), g->alpha);
    Node *bias = c ? bias_row(o, c, g->dim[1]) : NULL;
    y = ox_linear(o, x, w, bias);
    c = bias ? NULL : c;
  } else {
    y = scaled(o, ox_matmul(o, g->a, g->b, g->ta, g->tb), g->alpha);
  }
  return c ? ox_op2(o, OP_ADD, y, c) : y;
}

Node *ox_gemm(Ox *o, Node *a, Node *b, Node *c) {
  Gemm g = {.a = a, .b = b, .c = c, .alpha = 1, .beta = 1};
  return gemm_fits(o, &g) && (!c || bias_fits(o, c, g.dim))
           ? gemm_write(o, &g) : NULL;
}

bool ox_write_gemm(Ox *o) {
  Gemm g;
  if (!gemm_read(o, &g))
    return false;
  return ox_give(o, 0, ox_wrap(o, gemm_write(o, &g), ox_in_type(o, 0)));
}

/* The activation that an optimiser put behind a product. */
static Node *activated(Ox *o, Node *y, const char *act) {
  static const struct { const char *name; Op op; } plain[] = {
    {"Relu", OP_RELU}, {"Sigmoid", OP_SIGMOID}, {"Tanh", OP_TANH}
  };
  if (!act || !act[0])
    return y;
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (strcmp(act, plain[i].name) == 0)
      return ox_op1(o, plain[i].op, y);
  if (strcmp(act, "LeakyRelu")) {
    ox_refuse(o, "activation %s", act);
    return NULL;
  }
  return ox_op_float(o, OP_LEAKY_RELU, y, "alpha",
                     ox_float(o, "activation_alpha", 0.01));
}

bool ox_write_fused_gemm(Ox *o) {
  Gemm g;
  if (!gemm_read(o, &g))
    return false;
  return ox_give(o, 0, activated(o, gemm_write(o, &g),
                                 ox_str(o, "activation", NULL)));
}
