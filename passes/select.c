/* select.c - the kernel of each node, its tile, and why.
 *
 * requires   layouts and sparse formats are set
 * preserves  everything but kernel and tile, and weights that turn out
 *            faster dense (the reason, node->why, is made from types and
 *            values, so a resumed dump has it too)
 * before     y = conv2d(p, w);              (w: <bsr 4x1, nnz=308, ...>)
 * after      y = conv2d(p, w, kernel="conv2d_bsr", tile=4x4);
 * source     ir/kernels.def; tiles: choose.c */
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"

/* ---- products ------------------------------------------------------- */

static int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* How vectors cover an output plane: along the whole plane when x and y
 * have one pitch and stride is 1, else row by row. */
typedef struct Cover {
  bool flat;
  int64_t vectors, pitch;    /* pitch of x */
  int xloads;                /* loads and shuffles for a vector of x */
} Cover;

static Cover plane_cover(const Target *t, const Node *n) {
  int64_t ys[MAX_RANK], xs[MAX_RANK], at;
  int count, lanes = t->lanes;
  const int64_t *s = attr_ints(n, "stride", &count);
  int64_t h = n->type.dim[2], w = n->type.dim[3];
  bool known = layout_strides(&n->type, ys, &at) &&
               layout_strides(&n->in[0]->type, xs, &at);
  Cover c = {false, h * ceil_div(w, lanes), w, s[1] == 1 ? 1 : 3};
  if (known) c.pitch = xs[2];
  c.flat = known && s[0] == 1 && s[1] == 1 && xs[2] == ys[2];
  if (c.flat) c.vectors = ceil_div(h * ys[2], lanes);
  return c;
}

static int by_size(const void *pa, const void *pb) {
  int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;
  return a < b ? 1 : a > b ? -1 : 0;
}

int64_t unit_counts(const float *w, int64_t rows, int64_t columns, int h,
                    int64_t *blocks) {
  int64_t all = 0, units = rows / h;
  for (int64_t i = 0; i < units; i++) {
    const float *row = w + i * h * columns;
    blocks[i] = 0;
    for (int64_t k = 0; k < columns; k++) {
      int r = 0;
      while (r < h && row[r * columns + k] == 0) r++;
      blocks[i] += r < h;
    }
    all += blocks[i];
  }
  qsort(blocks, (size_t)units, sizeof *blocks, by_size);
  return all;
}

/* The same of a weight that is packed. */
static int64_t *unit_blocks(Arena *a, const Param *p, int64_t units,
                            int height) {
  int64_t *n = arena_array(a, int64_t, (size_t)units);
  for (int64_t i = 0; i < units; i++)
    n[i] = sparse_row_count(p, i * height / p->type.sparse->br);
  qsort(n, (size_t)units, sizeof *n, by_size);
  return n;
}

/* All of it but what depends on the weight's zeros. */
static TableWork shape_work(const Target *t, const Node *n,
                            const Cover *cover, int height) {
  const Type *w = &n->in[1]->type;
  TableWork work = {.height = height, .family = family_of(t)};
  work.lanes = t->lanes;
  work.xloads = cover->xloads;
  /* Vectors that lie apart take an address each. */
  work.widest = cover->flat ? 16 : 8;
  work.folds = t->fma && strcmp(t->arch, "x86_64") == 0;
  work.units = w->dim[0] / work.height;
  work.channels = w->dim[1];
  work.taps = 1;
  work.vectors = cover->vectors;
  if (w->rank == 4) {
    work.taps = w->dim[2] * w->dim[3];
    work.span = ((w->dim[2] - 1) * cover->pitch + w->dim[3] - 1) / t->lanes;
  }
  return work;
}

static TableWork table_work(Arena *a, const Target *t, const Node *n,
                            const Cover *cover, int height) {
  TableWork work = shape_work(t, n, cover, height);
  work.blocks = unit_blocks(a, n->in[1]->param, work.units, work.height);
  return work;
}

/* A linear layer on tokens is a 1x1 convolution of a map of one row. */
static Cover token_cover(const Target *t, const Node *n) {
  int64_t tokens = type_elems(&n->type) / n->in[1]->type.dim[0];
  return (Cover){true, ceil_div(tokens, t->lanes), tokens, 1};
}

bool node_shape_work(const Target *t, const Node *n, TableWork *work,
                     bool *flat) {
  bool linear = n->op == OP_LINEAR;
  if ((!linear && n->op != OP_CONV2D) ||
      !(linear ? linear_on_tokens(n) : conv_on_planes(n)))
    return false;
  Cover cover = linear ? token_cover(t, n) : plane_cover(t, n);
  *work = shape_work(t, n, &cover, n->in[1]->type.sparse
                                      ? sparse_height(n->in[1]->type.sparse)
                                      : 1);
  *flat = cover.flat;
  return true;
}

bool node_table(Arena *scratch, const Target *t, const Node *n,
                TableWork *work, bool *flat) {
  const Sparse *s = node_reads_weight(n, 1) ? n->in[1]->type.sparse : NULL;
  if (!s || s->n || !node_shape_work(t, n, work, flat)) return false;
  work->blocks = unit_blocks(scratch, n->in[1]->param, work->units,
                             work->height);
  return true;
}

double strided_pairs(Arena *a, const Target *t, const Node *n,
                     const float *w, TableWork *work) {
  const int64_t *dim = n->in[1]->type.dim;
  int64_t columns = dim[1] * dim[2] * dim[3];
  int64_t *blocks = arena_array(a, int64_t, (size_t)dim[0]);
  Cover cover = plane_cover(t, n);
  int tile[2];
  unit_counts(w, dim[0], columns, 1, blocks);
  *work = shape_work(t, n, &cover, 1);
  work->blocks = blocks;
  return pair_tile(work, t->vregs, tile);
}

static void pair_take(Node *n, const int tile[2]) {
  n->kernel = n->op == OP_LINEAR ? "linear_pair" : "conv2d_pair";
  memcpy(n->tile, tile, 2 * sizeof *tile);
}

/* The kernel and tile of a sparse weight.  High blocks may be summed by 8 or
 * 4 of their rows, with more vectors to a tile. */
static void table_select(Arena *a, const Target *t, Node *n,
                         const Cover *cover) {
  int height = sparse_height(n->in[1]->type.sparse), tile[2];
  double best = -1;
  n->kernel = n->op == OP_LINEAR ? height > 1 ? "linear_bsr" : "linear_csr"
                                 : height > 1 ? "conv2d_bsr" : "conv2d_csr";
  for (int h = height; h == height || h >= 4; h /= 2) {
    TableWork work = table_work(a, t, n, cover, h);
    double time = table_tile(&work, t->vregs, tile);
    if (time < 0 || (best >= 0 && time >= best)) continue;
    best = time;
    memcpy(n->tile, tile, sizeof tile);
  }
  if (height > 1) return;
  TableWork work = table_work(a, t, n, cover, 1);
  double pairs = pair_tile(&work, t->vregs, tile);
  int other[2];
  table_cross(&work);
  if (pairs < table_tile(&work, t->vregs, other)) pair_take(n, tile);
}

static DenseWork dense_work(const Target *t, const Node *n,
                            const Cover *cover) {
  int64_t s[MAX_RANK], at, groups = attr_int(n, "groups");
  const Type *x = &n->in[0]->type, *w = &n->in[1]->type;
  DenseWork work = {.lanes = t->lanes, .vregs = t->vregs, .groups = groups};
  work.xregs = strcmp(t->arch, "aarch64") == 0 ? 3 : 1;
  work.pixels = (TileWork){w->dim[0] / groups, cover->vectors, cover->xloads};
  work.channels = w->dim[1];
  work.taps = w->dim[2] * w->dim[3];
  work.unpack = unpack_cycles(t, w);
  if (work.unpack > 0) work.xregs += 4;   /* the values, and an index */
  work.h = n->type.dim[2];
  work.w = work.pitch = n->type.dim[3];
  if (layout_strides(&n->type, s, &at)) work.pitch = s[2];
  if (layout_strides(x, s, &at)) work.plane = s[1] * (int64_t)sizeof(float);
  return work;
}

double node_gain(const Target *t, const Node *n) {
  int tile[2];
  if (n->op != OP_CONV2D || type_elems(&n->type) <= 0) return 1;
  int64_t pixels = n->type.dim[2] * n->type.dim[3];
  Cover flat = {true, ceil_div(pixels, t->lanes), n->type.dim[3], 1};
  DenseWork work = dense_work(t, n, &flat);
  double gain = pixels_tile(&work, tile) / channels_tile(&work, tile);
  return gain > 1 ? gain : 1;
}

double dense_tile(const Target *t, const Node *n, const char *kernel,
                  int tile[2]) {
  Cover cover = plane_cover(t, n);
  DenseWork work = dense_work(t, n, &cover);
  return strcmp(kernel, "conv2d_dense") == 0 ? pixels_tile(&work, tile)
                                             : channels_tile(&work, tile);
}

/* The faster of two kernels; the model does not know better than that. */
static void dense_select(const Target *t, Node *n) {
  int tile[2];
  n->kernel = "conv2d_dense";
  if (type_elems(&n->type) <= 0) return;
  double pixels = dense_tile(t, n, n->kernel, n->tile);
  if (1.03 * dense_tile(t, n, "conv2d_channels", tile) >= pixels) return;
  n->kernel = "conv2d_channels";
  memcpy(n->tile, tile, sizeof tile);
}

static void select_conv(Arena *a, const Target *t, Node *n) {
  int64_t groups = attr_int(n, "groups"), o = n->type.dim[1];
  if (!conv_on_planes(n)) {
    n->kernel = "conv2d_plain";
    return;
  }
  Cover cover = plane_cover(t, n);
  if (n->in[1]->type.sparse) {
    table_select(a, t, n, &cover);
  } else if (groups > 1 && groups == o && groups == n->in[0]->type.dim[1]) {
    n->kernel = "conv2d_depthwise";
  } else {
    dense_select(t, n);
  }
}

/* Outputs in lanes: a group of them has something to share. */
bool perm_takes(const Target *t, const Node *n) {
  return linear_permutes(t, n) && !n->type.layout &&
         n->type.dim[n->type.rank - 1] >= t->lanes;
}

static void select_linear(Arena *a, const Target *t, Node *n) {
  const Sparse *w = n->in[1]->type.sparse;
  bool tokens = linear_on_tokens(n);
  n->kernel = !w ? "linear_dense"
                 : w->n ? "linear_nm"
                 : sparse_height(w) > 1 ? "linear_bsr"
                 : perm_takes(t, n) ? "linear_perm" : "linear_csr";
  if (!tokens || n->in[1]->op != OP_PARAM) return;
  Cover cover = token_cover(t, n);
  if (w) {
    table_select(a, t, n, &cover);
  } else {
    TileWork work = {n->in[1]->type.dim[0], cover.vectors, cover.xloads};
    tile_choose(&work, t->vregs, n->tile);
  }
}

/* ---- the others ----------------------------------------------------- */

/* A reshape of rows is another look at the same memory. */
static const char *kernel_of(const Node *n) {
  uint32_t flags = op_info(n->op)->flags;
  if (n->op == OP_RESHAPE && !n->type.layout && !n->in[0]->type.layout &&
      reshape_lies(n))
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
  case OP_SCATTER:
    return "scatter";
  case OP_IOTA:
    return "iota";
  case OP_RANDOM:
    return "random";
  case OP_CALL:
    return "call";
  case OP_SCAN:
    return "scan";
  case OP_ITEM:
    return "item";
  case OP_CAST:
    return "cast";
  case OP_MASK:
    return "mask";
  case OP_MATMUL:
    return "matmul";
  case OP_ATTEND:
    return "attend";
  case OP_NORMALIZE:
    return "normalize";
  case OP_ROTARY:
    return "rotary";
  case OP_CONV2D_TRANSPOSE:
    return "conv2d_transpose";
  case OP_CONV2D_WEIGHT_GRAD:
    return "conv2d_weight_grad";
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

void node_select(Arena *scratch, const Target *t, Node *n) {
  n->kernel = NULL;
  n->tile[0] = n->tile[1] = 0;
  if (node_is_leaf(n)) return;
  if (n->op == OP_CONV2D) select_conv(scratch, t, n);
  else if (n->op == OP_LINEAR) select_linear(scratch, t, n);
  else n->kernel = kernel_of(n);
}

/* Ops that the pass `lower` left none of, but a dump by hand may have. */
static bool is_lowered(const Node *n) {
  switch (n->op) {
  case OP_CONV1D:
  case OP_CONV3D:
  case OP_CONV1D_TRANSPOSE:
  case OP_CONV3D_TRANSPOSE:
  case OP_CONV1D_WEIGHT_GRAD:
  case OP_CONV3D_WEIGHT_GRAD:
    return true;
  default:
    return false;
  }
}

static bool is_dense(const Node *n) {
  return n->kernel && (strstr(n->kernel, "_dense") ||
                       strstr(n->kernel, "_channels"));
}

/* The kernel and tile of a dense product over planes that was asked for. */
static void tile_told(PassCtx *c, Node *n) {
  const Choice *told = choice_of(c->choices, n);
  TableWork work;
  bool flat;
  if (!told || told->height || !is_dense(n) ||
      !node_shape_work(c->target, n, &work, &flat))
    return;
  if (n->op == OP_CONV2D) {
    n->kernel = told->channels ? "conv2d_channels" : "conv2d_dense";
    dense_tile(c->target, n, n->kernel, n->tile);
  }
  if (told->tile[0] < 1) return;
  n->tile[0] = told->tile[0], n->tile[1] = told->tile[1];
}

/* A table of single values or pairs of rows, as it was asked for. */
static void singles_told(PassCtx *c, Node *n) {
  const Choice *told = choice_of(c->choices, n);
  TableWork work;
  bool flat;
  int tile[2];
  if (!told || (told->height != 1 && told->height != PAIRS) || told->code ||
      !node_table(c->scratch, c->target, n, &work, &flat) || work.height > 1)
    return;
  if (told->height == PAIRS) {
    pair_tile(&work, c->target->vregs, tile);
    pair_take(n, tile);
  } else {
    table_tile(&work, c->target->vregs, n->tile);
    n->kernel = n->op == OP_LINEAR ? "linear_csr" : "conv2d_csr";
  }
}

static bool select_func(PassCtx *c, Func *f) {
  for (size_t k = 0; k < f->nodes.n; k++) {
    Node *n = f->nodes.at[k];
    if (is_lowered(n))
      return diag_error(c->d, EXIT_MODEL, n->span, "%s: no kernel computes "
                        "it; the dump comes behind pass lower, which makes "
                        "others of it", op_info(n->op)->name);
    node_select(c->scratch, c->target, n);
    tile_told(c, n);
    singles_told(c, n);
  }
  return true;
}

bool pass_select(PassCtx *c) {
  for (size_t i = 0; i < c->m->funcs.n; i++)
    if (!select_func(c, c->m->funcs.at[i])) return false;
  patterns_select(c);
  bool ok = true;
  for (size_t i = 0; i < c->m->funcs.n; i++)
    ok &= kernels_fit(c->m->funcs.at[i], c->d);
  return ok;
}

/* ---- why ------------------------------------------------------------ */

static const char *density_text(Module *m, const Node *n) {
  const Param *p = n->in[1]->param;
  int64_t all = type_elems(&p->type), set = param_nonzeros(m, p);
  double part = all ? 100.0 * (double)set / (double)all : 0;
  const Sparse *s = p->type.sparse;
  if (!s && part > 99.95) return "no zeros: dense";
  if (!s && m->dump.sparsity && strcmp(m->dump.sparsity, "off") == 0)
    return arena_printf(m->arena, "density %.1f %%: dense by --sparsity=off",
                        part);
  if (!s)
    return arena_printf(m->arena, "density %.1f %%: dense is faster", part);
  double kept = all ? 100.0 * (double)s->nnz / (double)all : 0;
  if (s->n)
    return arena_printf(m->arena, "%d:%d: %s", s->n, RUN_COLUMNS,
                        strstr(n->kernel, "_nm") ? "a few of each run"
                        : strstr(n->kernel, "_pair") ? "rows in pairs"
                                                 : "table of single values");
  if (s->br == 1 && s->bc == 1)
    return arena_printf(m->arena, "density %.1f %%: %s", kept,
                        strstr(n->kernel, "_code") ? "code for its pattern"
                        : strstr(n->kernel, "_pair") ? "rows in pairs"
                                                   : "table of single values");
  return arena_printf(m->arena, "%dx%d blocks %.1f %% full: table of blocks",
                      s->br, s->bc, kept);
}

/* Why a weight that --weight-type is for is stored as f32, or that it is
 * not. */
static const char *stored_why(const Module *m, const Node *n) {
  bool weight = node_in(n, 1) && n->in[1]->op == OP_PARAM &&
                node_reads_weight(n, 1);
  if (weight && elem_clusters(n->in[1]->type.stored))
    return n->in[1]->type.stored == U4 ? "16 values" : "256 values";
  if (!m->dump.weight_type || !node_in(n, 1) || n->in[1]->op != OP_PARAM ||
      !node_reads_weight(n, 1))
    return NULL;
  const Param *p = n->in[1]->param;
  if (p->type.stored == F16) return "stored as f16";
  if (p->type.stored == BF16) return "stored as bf16";
  return p->trainable ? "f32: it is trained"
                      : "f32: something else reads it, too";
}

static const char *node_why(Module *m, const Node *n) {
  if (n->op == OP_CALL) return attr_str(n, "callee");
  if (n->op == OP_SCAN)
    return arena_printf(m->arena, "%lld steps of %s",
                        (long long)scan_steps(n), attr_str(n, "callee"));
  if (n->op != OP_CONV2D && n->op != OP_LINEAR) return NULL;
  if (n->in[1]->op != OP_PARAM) return "the weight is computed";
  if (strcmp(n->kernel, "conv2d_plain") == 0)
    return type_elems(&n->in[0]->type) ? "too large for planes"
                                       : "no values to read";
  if (strcmp(n->kernel, "conv2d_depthwise") == 0)
    return "depthwise: one channel at a time";
  if (n->op == OP_CONV2D && attr_int(n, "groups") > 1)
    return "groups: dense";
  return density_text(m, n);
}

void module_why(Module *m) {
  for (size_t i = 0; i < m->funcs.n; i++) {
    Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++) {
      Node *n = f->nodes.at[k];
      n->why = n->kernel ? node_why(m, n) : NULL;
      const char *stored = n->kernel ? stored_why(m, n) : NULL;
      if (stored && n->why)
        stored = arena_printf(m->arena, "%s; %s", n->why, stored);
      if (stored) n->why = stored;
    }
  }
}
