/* select.c - the kernel of each node, its tile, and why.
 *
 * requires   layouts and sparse formats are set
 * preserves  everything but kernel and tile (the reason, node->why, is made
 *            from types and values, so a resumed dump has it too)
 * before     y = conv2d(p, w);              (w: <bsr 4x1, nnz=308, ...>)
 * after      y = conv2d(p, w, kernel="conv2d_bsr", tile=4x4);
 * source     ir/kernels.def; tiles: choose.c */
#include <string.h>

#include "passes/passes.h"

/* ---- products ------------------------------------------------------- */

/* Vectors that cover an output plane: along the whole plane when x and y
 * have one pitch and stride is 1, else row by row. */
static int64_t plane_vectors(const PassCtx *c, const Node *n) {
  int64_t ys[MAX_RANK], xs[MAX_RANK], at;
  int count, lanes = c->target->lanes;
  const int64_t *s = attr_ints(n, "stride", &count);
  int64_t h = n->type.dim[2], w = n->type.dim[3];
  if (layout_strides(&n->type, ys, &at) &&
      layout_strides(&n->in[0]->type, xs, &at) && s[0] == 1 && s[1] == 1 &&
      xs[2] == ys[2])
    return (h * ys[2] + lanes - 1) / lanes;
  return h * ((w + lanes - 1) / lanes);
}

static int64_t column_step(const Node *n) {
  int count;
  return attr_ints(n, "stride", &count)[1];
}

/* Planes throughout, and zeros wherever a window reaches outside x. */
static bool on_planes(const Node *n) {
  const Node *r = node_in(n, 3);
  const Layout *x = n->in[0]->type.layout;
  int32_t reach[4];
  if (!x || !n->type.layout || n->in[1]->op != OP_PARAM ||
      (r && !r->type.layout))
    return false;
  window_reach(n, reach);
  for (int i = 0; i < 4; i++)
    if (reach[i] > x->halo[i]) return false;
  return true;
}

static void select_conv(PassCtx *c, Node *n) {
  const Sparse *w = n->in[1]->type.sparse;
  int64_t groups = attr_int(n, "groups"), o = n->type.dim[1];
  int most = c->target->vregs >= 32 ? 4 : 3;
  if (!on_planes(n)) {
    n->kernel = "conv2d_plain";
    return;
  }
  int64_t vectors = plane_vectors(c, n);
  if (w && w->br > 1) {
    n->kernel = "conv2d_bsr";
    n->tile[0] = w->br;
    n->tile[1] = tile_split(vectors, most);
  } else if (w) {
    n->kernel = "conv2d_csr";
    n->tile[0] = 1;
    /* One load a product: wide tiles spread the rest of a row. */
    n->tile[1] = tile_split(vectors, c->target->vregs >= 32 ? 16 : 13);
  } else if (groups > 1 && groups == o && groups == n->in[0]->type.dim[1]) {
    n->kernel = "conv2d_depthwise";
  } else {
    n->kernel = "conv2d_dense";
    TileWork work = {o / groups, vectors, column_step(n) == 1 ? 1 : 3};
    tile_choose(&work, c->target->vregs, n->tile);
  }
}

static const char *linear_kernel(const Node *n) {
  const Sparse *w = n->in[1]->type.sparse;
  return w ? w->br > 1 ? "linear_bsr" : "linear_csr" : "linear_dense";
}

/* ---- the others ----------------------------------------------------- */

/* A reshape of rows is another look at the same memory. */
static const char *kernel_of(const Node *n) {
  uint32_t flags = op_info(n->op)->flags;
  if (n->op == OP_RESHAPE && !n->type.layout && !n->in[0]->type.layout)
    return "alias";
  if (flags & FLAG_VIEW) return "copy";
  if (flags & FLAG_UNARY) return "unary";
  if (flags & FLAG_BINARY) return "binary";
  if (flags & FLAG_REDUCE) return "reduce";
  switch (n->op) {
  case OP_SCALE_SHIFT:
  case OP_BATCH_NORM:
    return "scale_shift";
  case OP_WHERE:
    return "where";
  case OP_ARGMAX:
  case OP_ARGMIN:
    return "arg";
  case OP_ARGSORT:
    return "argsort";
  case OP_CUMSUM:
    return "cumsum";
  case OP_GATHER:
    return "gather";
  case OP_SCATTER_ADD:
    return "scatter_add";
  case OP_IOTA:
    return "iota";
  case OP_RANDOM:
    return "random";
  case OP_CAST:
    return "cast";
  case OP_MASK:
    return "mask";
  case OP_CONV2D_TRANSPOSE:
    return "conv2d_transpose";
  case OP_SOFTMAX:
    return "softmax";
  case OP_RESIZE:
    return "resize";
  case OP_MAX_POOL:
  case OP_AVG_POOL:
    return "pool";
  default:
    unreachable();
  }
}

static void select_node(PassCtx *c, Node *n) {
  n->kernel = NULL;
  n->tile[0] = n->tile[1] = 0;
  if (node_is_leaf(n)) return;
  if (n->op == OP_CONV2D) select_conv(c, n);
  else if (n->op == OP_LINEAR) n->kernel = linear_kernel(n);
  else n->kernel = kernel_of(n);
}

bool pass_select(PassCtx *c) {
  for (size_t i = 0; i < c->m->funcs.n; i++) {
    Func *f = c->m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++) select_node(c, f->nodes.at[k]);
  }
  return true;
}

/* ---- why ------------------------------------------------------------ */

static const char *density_text(Module *m, const Param *p) {
  int64_t all = type_elems(&p->type), set = param_nonzeros(m, p);
  double part = all ? 100.0 * (double)set / (double)all : 0;
  const Sparse *s = p->type.sparse;
  if (!s && part > 99.95) return "no zeros: dense";
  if (!s)
    return arena_printf(m->arena, "density %.1f %%: dense is faster", part);
  double kept = all ? 100.0 * (double)s->nnz / (double)all : 0;
  if (s->br == 1 && s->bc == 1)
    return arena_printf(m->arena, "density %.1f %%: table of single values",
                        kept);
  return arena_printf(m->arena, "%dx%d blocks %.1f %% full: table of blocks",
                      s->br, s->bc, kept);
}

static const char *node_why(Module *m, const Node *n) {
  if (n->op != OP_CONV2D && n->op != OP_LINEAR) return NULL;
  if (n->in[1]->op != OP_PARAM) return "the weight is computed";
  if (strcmp(n->kernel, "conv2d_plain") == 0)
    return "padding far larger than the map";
  if (strcmp(n->kernel, "conv2d_depthwise") == 0)
    return "depthwise: one channel at a time";
  if (n->op == OP_CONV2D && attr_int(n, "groups") > 1)
    return "groups: dense";
  return density_text(m, n->in[1]->param);
}

void module_why(Module *m) {
  for (size_t i = 0; i < m->funcs.n; i++) {
    Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++) {
      Node *n = f->nodes.at[k];
      n->why = n->kernel ? node_why(m, n) : NULL;
    }
  }
}
