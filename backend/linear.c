/* linear.c - linear_dense, linear_bsr, linear_csr: y = x w' on row-major x
 * [rows, K] (K may have a stride), w [M, K], y [rows, M].
 *
 * Dense: a register tile of R rows of x times T vectors of outputs; weights
 * packed per panel as [K][T*V], so that a k reads T vectors and R broadcast
 * values of x.  With few accumulators (R = 1: a matrix-vector product)
 * several k are summed side by side to hide the latency of the adds.
 * Sparse: one row of blocks at a time for R rows of x; a block of 4, 8 or 16
 * outputs is one vector of as many lanes (LLVM makes several of it where the
 * target's are shorter), again several blocks side by side.  With many
 * rows x and y lie as planes of tokens (layout_tokens), and the kernel is
 * that of a 1x1 convolution. */
#include "backend/linear.h"

/* Stride of the leading dimensions taken as one; ensures that they lie like
 * that. */
static int64_t row_stride(const Node *n, int64_t *last) {
  int64_t s[MAX_RANK], stride = 0, span = 0;
  const Type *t = &n->type;
  value_strides(n, s);
  *last = t->dim[t->rank - 1] == 1 ? 1 : s[t->rank - 1];
  for (int i = t->rank - 2; i >= 0; i--) {
    if (t->dim[i] == 1) continue;
    if (!span) stride = s[i], span = stride;
    ensure(s[i] == span);
    span *= t->dim[i];
  }
  return stride;
}

void linear_init(const Node *n, Linear *l, int block) {
  int64_t last;
  l->n = n;
  l->x = n->in[0];
  l->w = n->in[1];
  l->b = node_operand(n, "b");
  l->r = node_operand(n, "r");
  l->m = l->w->type.dim[0];
  l->k = l->w->type.dim[1];
  l->rows = type_elems(&n->type) / (l->m ? l->m : 1);
  l->xrow = row_stride(l->x, &l->xk);
  l->yrow = row_stride(n, &last);
  ensure(last == 1);
  if (l->r) l->rrow = row_stride(l->r, &last);
  ensure(last == 1);
  l->block = (int)(l->rows < block ? l->rows : block);
}

void linear_rows(Gen *g, const Linear *l, RowsBody *body, const void *ctx) {
  int64_t whole = l->rows / l->block * l->block;
  Val x = value_ptr(g, l->x), y = value_ptr(g, l->n);
  Val r = l->r ? value_ptr(g, l->r) : NULL;
  Rows at = { x, y, r, l->block };
  Once last;
  if (whole > l->block) {
    Loop rows;
    loop_either(g, &rows, l->by_rows, 0, whole, l->block, "rows");
    at.x = addr_at(g, x, rows.iv, 4 * l->xrow);
    at.y = addr_at(g, y, rows.iv, 4 * l->yrow);
    if (r) at.r = addr_at(g, r, rows.iv, 4 * l->rrow);
    body(g, l, ctx, &at);
    loop_end(g, &rows);
  } else {
    once_either(g, &last, l->by_rows);
    body(g, l, ctx, &at);
    once_end(g, &last);
  }
  if (whole == l->rows) return;
  once_either(g, &last, l->by_rows);
  at.x = addrk(g, x, whole * 4 * l->xrow);
  at.y = addrk(g, y, whole * 4 * l->yrow);
  if (r) at.r = addrk(g, r, whole * 4 * l->rrow);
  at.n = (int)(l->rows - whole);
  body(g, l, ctx, &at);
  once_end(g, &last);
}

/* ---- dense ----------------------------------------------------------- */

enum { CHAINS = 8 };   /* accumulators that hide an add's latency */

/* Equal panels of outputs. */
typedef struct Panel {
  int64_t first, count;  /* first output; how many panels */
  int t, last;           /* vectors; lanes of the last one */
  int64_t weights;       /* blob offset of the first panel */
  Elem elem;             /* of weights */
} Panel;

static int64_t panel_width(const Gen *g, const Panel *p) {
  return (int64_t)(p->t - 1) * g->t->lanes + p->last;
}

static void panel_pack(Gen *g, const Linear *l, Panel *p) {
  const float *w = operand_values(g, l->w);
  int64_t width = panel_width(g, p), at = 0;
  /* The last vector may be read whole: room behind. */
  size_t n = (size_t)(p->count * l->k * width + g->t->lanes);
  float *out = arena_array(g->a, float, n);
  for (int64_t i = 0; i < p->count; i++)
    for (int64_t k = 0; k < l->k; k++)
      for (int64_t j = 0; j < width; j++)
        out[at++] = w[(p->first + i * width + j) * l->k + k];
  p->weights = blob_weights(g, p->elem, out, n, 64);
}

/* acc[chain] += row k of the panel at w times x[k] of each row. */
static void dense_step(Gen *g, const Linear *l, const Panel *p,
                       const Rows *rows, Val x, int64_t k, Val w,
                       int64_t woff, Val *acc) {
  Val v[TILE_MAX];
  int64_t bytes = (int64_t)elem_size(p->elem) * g->t->lanes;
  for (int i = 0; i < p->t; i++)
    v[i] = load_weights(g, p->elem, w, woff + i * bytes, g->t->lanes);
  for (int r = 0; r < rows->n; r++) {
    Val s = vsplat(g, load_f32(g, x, 4 * (r * l->xrow + k * l->xk)));
    for (int i = 0; i < p->t; i++)
      acc[r * p->t + i] = fma_(g, s, v[i], acc[r * p->t + i]);
  }
}

static void dense_store(Gen *g, const Linear *l, const Panel *p,
                        const Rows *rows, Val out, Val *acc) {
  for (int r = 0; r < rows->n; r++)
    for (int i = 0; i < p->t; i++) {
      int lanes = i + 1 < p->t ? g->t->lanes : p->last;
      int64_t off = 4 * (int64_t)i * g->t->lanes;
      Val col = mul64(g, out, 4), rv = NULL;
      if (rows->r)
        rv = load_lanes(g, addr(g, rows->r, col), off + 4 * r * l->rrow,
                        lanes);
      Val v = epilogue(g, l->n, acc[r * p->t + i], rv);
      store_lanes(g, v, addr(g, rows->y, col), off + 4 * r * l->yrow,
                  lanes);
    }
}

/* One panel (weights at w, outputs from `out` on) for some rows of x. */
static void dense_tile(Gen *g, const Linear *l, const Panel *p,
                       const Rows *rows, Val w, Val out) {
  int n = rows->n * p->t, chains = CHAINS / n > 1 ? CHAINS / n : 1;
  int64_t width = (int64_t)elem_size(p->elem) * panel_width(g, p);
  if (chains > l->k) chains = 1;
  ensure(n * chains + 2 <= LOOP_CARRY_MAX && p->t <= TILE_MAX);
  Val acc[LOOP_CARRY_MAX], x = rows->x;
  for (int i = 0; i < n * chains; i++) acc[i] = vzero(g);
  int64_t whole = l->k / chains * chains;
  for (int i = 0; l->b && i < p->t; i++) {
    Val at = addr_at(g, value_ptr(g, l->b), out, 4);
    int lanes = i + 1 < p->t ? g->t->lanes : p->last;
    Val b = load_lanes(g, at, 4 * (int64_t)i * g->t->lanes, lanes);
    for (int r = 0; r < rows->n; r++) acc[r * p->t + i] = b;
  }
  Loop k;
  loop_begin(g, &k, k64(g, 0), k64(g, whole), chains, whole > 0, "k");
  loop_carry(g, &k, &w);
  loop_carry(g, &k, &x);
  for (int i = 0; i < n * chains; i++) loop_carry(g, &k, &acc[i]);
  for (int c = 0; c < chains; c++)
    dense_step(g, l, p, rows, x, c, w, c * width, acc + c * n);
  w = addrk(g, w, chains * width);
  x = addrk(g, x, 4 * chains * l->xk);
  loop_end(g, &k);
  for (int64_t i = whole; i < l->k; i++)
    dense_step(g, l, p, rows, x, i - whole, w, (i - whole) * width, acc);
  for (int c = 1; c < chains; c++)
    for (int i = 0; i < n; i++) acc[i] = addf(g, acc[i], acc[c * n + i]);
  dense_store(g, l, p, rows, out, acc);
}

typedef struct DenseCtx { const Panel *p; Val w, out; } DenseCtx;

static void dense_rows(Gen *g, const Linear *l, const void *ctx,
                       const Rows *rows) {
  const DenseCtx *d = ctx;
  dense_tile(g, l, d->p, rows, d->w, d->out);
}

static void emit_panels(Gen *g, const Linear *l, Panel *p) {
  p->elem = type_stored(&l->w->type);
  panel_pack(g, l, p);
  int64_t width = panel_width(g, p);
  Loop loop;
  loop_either(g, &loop, !l->by_rows, 0, p->count, 1, "panel");
  DenseCtx d = { p, NULL, NULL };
  d.w = addr_at(g, blob_ptr(g, p->weights), loop.iv,
                (int64_t)elem_size(p->elem) * width * l->k);
  d.out = add64(g, mul64(g, loop.iv, width), k64(g, p->first));
  linear_rows(g, l, dense_rows, &d);
  loop_end(g, &loop);
}

/* Weights that the graph computes cannot be packed: plain loops. */
static void emit_computed(Gen *g, const Linear *l) {
  int64_t s[MAX_RANK];
  Loop row, col, k;
  value_strides(l->w, s);
  loop_share(g, &row, 0, l->rows, 1, "row");
  Val x = addr_at(g, value_ptr(g, l->x), row.iv, 4 * l->xrow);
  Val y = addr_at(g, value_ptr(g, l->n), row.iv, 4 * l->yrow);
  loop_begin(g, &col, k64(g, 0), k64(g, l->m), 1, true, "col");
  Val w = addr_at(g, value_ptr(g, l->w), col.iv, 4 * s[0]);
  Val at = mul64(g, col.iv, 4), acc = kf(g, 0), r = NULL;
  if (l->b) acc = load_f32(g, addr(g, value_ptr(g, l->b), at), 0);
  loop_begin(g, &k, k64(g, 0), k64(g, l->k), 1, l->k > 0, "k");
  loop_carry(g, &k, &acc);
  Val xk = load_f32(g, addr_at(g, x, k.iv, 4 * l->xk), 0);
  acc = fma_(g, xk, load_f32(g, addr_at(g, w, k.iv, 4 * s[1]), 0), acc);
  loop_end(g, &k);
  if (l->r) {
    r = addr_at(g, value_ptr(g, l->r), row.iv, 4 * l->rrow);
    r = load_f32(g, addr(g, r, at), 0);
  }
  acc = epilogue(g, l->n, acc, r);
  store_f32(g, acc, addr(g, y, at), 0);
  loop_end(g, &col);
  loop_end(g, &row);
}

void emit_linear_dense(Gen *g, const Node *n) {
  Linear l = { 0 };
  int64_t plane;
  if (type_is_tokens(&n->type, &plane)) {
    Conv cv;
    conv_init_tokens(g, n, &cv);
    conv_emit_dense(g, &cv);
    return;
  }
  int lanes = g->t->lanes;
  bool many = type_elems(&n->type) > n->type.dim[n->type.rank - 1];
  int rows = g->t->vregs >= 32 ? 9 : 6;   /* with 3 or 2 vectors */
  int tile = n->tile[1] > 0 ? n->tile[1] : !many ? 8 : rows / 3;
  linear_init(n, &l, n->tile[0] > 0 ? n->tile[0] : many ? rows : 1);
  if (l.w->op != OP_PARAM) {
    emit_computed(g, &l);
    return;
  }
  int64_t full = l.m / lanes, rest = l.m % lanes;
  l.by_rows = parts_level(g, (int64_t[]){ full / tile, l.rows / l.block },
                          2) == 1;
  if (full >= tile) {
    Panel p = { 0, full / tile, tile, lanes, 0, F32 };
    emit_panels(g, &l, &p);
  }
  if (full % tile == 0 && !rest) return;
  Panel p = { full / tile * tile * lanes, 1,
              (int)(full % tile) + (rest > 0),
              rest ? (int)rest : lanes, 0, F32 };
  emit_panels(g, &l, &p);
}

/* ---- sparse ---------------------------------------------------------- */

/* acc[block] += the next n blocks for each row of x. */
static void sparse_step(Gen *g, const Linear *l, const Table *t, int r, int n,
                        const Rows *rows, Cursor *c, Val *acc) {
  Val column[CHAINS];
  table_columns(g, t, c, n, column);
  for (int k = 0; k < n; k++, acc += rows->n) {
    Val x = addr_at(g, rows->x, column[k], 4 * l->xk);
    Val w = load_weights(g, t->elem, c->value, t->vbytes * k * r, r);
    for (int i = 0; i < rows->n; i++) {
      Val s = splat_n(g, load_f32(g, x, 4 * i * l->xrow), r);
      acc[i] = fma_(g, w, s, acc[i]);
    }
  }
  table_next(g, t, c, n, r);
}

/* The first r lanes of a whole vector, as the epilogue takes it. */
static Val widen(Gen *g, Val v, int r) {
  int lane[64], lanes = g->t->lanes;
  if (r == 1 || r == lanes) return v;
  for (int i = 0; i < lanes; i++) lane[i] = i < r ? i : r;
  return vshuffle(g, v, zero_n(g, r), lane, lanes);
}

/* Lanes [from, from + r) of v, which has `all`, as the epilogue takes them. */
static Val piece(Gen *g, Val v, int all, int from, int r) {
  int lane[64];
  if (r == all) return widen(g, v, r);
  for (int i = 0; i < r; i++) lane[i] = from + i;
  return vshuffle(g, v, v, lane, r);
}

static void sparse_store(Gen *g, const Linear *l, const Rows *rows, Val out,
                         int r, const Val *acc) {
  int part = r < g->t->lanes ? r : g->t->lanes;
  for (int k = 0; k < rows->n * (r / part); k++) {
    int i = k / (r / part), from = k % (r / part) * part;
    Val rv = NULL, y = addr(g, rows->y, out);
    Val v = piece(g, acc[i], r, from, part);
    if (rows->r) {
      rv = load_n(g, addr(g, rows->r, out), 4 * (i * l->rrow + from), part);
      rv = widen(g, rv, part);
    }
    v = epilogue(g, l->n, v, rv);
    if (r == 1) store_f32(g, v, y, 4 * i * l->yrow);
    else store_lanes(g, v, y, 4 * (i * l->yrow + from), part);
  }
}

/* What the walk over the table hands on. */
typedef struct SparseCtx {
  const Linear *l;
  const Table *t;
  const Rows *rows;
} SparseCtx;

/* Vectors of the target in a block of r outputs. */
static int vectors_in(const Gen *g, int r) {
  return (r + g->t->lanes - 1) / g->t->lanes;
}

/* Blocks side by side, whose sums hide the latency of the adds. */
static int chains_of(const Gen *g, int rows, int r) {
  int sums = rows * vectors_in(g, r);
  return sums < 4 ? 4 : sums < 8 ? 2 : 1;
}

/* One block row of r outputs. */
static void sparse_row(Gen *g, const void *ctx, int units, int r,
                       Cursor *c) {
  const SparseCtx *s = ctx;
  const Linear *l = s->l;
  int n = s->rows->n, chains = chains_of(g, n, r);
  Val row, acc[LOOP_CARRY_MAX];
  Val count = table_head(g, s->t, c, units, &row);
  Val out = mul64(g, row, 4);
  ensure(units == 1 && n * chains + 2 <= LOOP_CARRY_MAX);
  for (int i = 0; i < n * chains; i++) acc[i] = zero_n(g, r);
  if (l->b) {
    Val b = load_n(g, addr(g, value_ptr(g, l->b), out), 0, r);
    for (int i = 0; i < n; i++) acc[i] = b;
  }
  Val whole = and64(g, count, -chains);
  Loop k;
  for (int step = chains; step; step = step > 1 ? 1 : 0) {
    bool first = step == chains;
    loop_begin(g, &k, first ? k64(g, 0) : whole, first ? whole : count,
               step, false, "block");
    loop_carry(g, &k, &c->value);
    loop_carry(g, &k, &c->index);
    for (int i = 0; i < n * chains; i++) loop_carry(g, &k, &acc[i]);
    sparse_step(g, l, s->t, r, step, s->rows, c, acc);
    loop_end(g, &k);
  }
  for (int i = n; i < n * chains; i++)
    acc[i % n] = addf(g, acc[i % n], acc[i]);
  sparse_store(g, l, s->rows, out, r, acc);
}

static void sparse_rows(Gen *g, const Linear *l, const void *ctx,
                        const Rows *rows) {
  SparseCtx s = { l, ctx, rows };
  Cursor c = table_begin(g, s.t);
  table_walk(g, s.t, &c, sparse_row, &s);
}

/* Rows of x whose sums for a block are in registers. */
static int rows_most(const Gen *g, int r) {
  bool many = g->t->vregs >= 32;
  int rows = (many ? 24 : 8) / vectors_in(g, r);
  return many && rows > 12 ? 12 : rows;
}

static void emit_sparse(Gen *g, const Node *n, int r) {
  Linear l = { 0 };
  int64_t plane;
  if (type_is_tokens(&n->type, &plane)) {
    Conv cv;
    conv_init_tokens(g, n, &cv);
    conv_emit_table(g, &cv, r);
    return;
  }
  linear_init(n, &l, n->tile[0] > 0 ? n->tile[0] : rows_most(g, r));
  Table t = table_pack(g, l.w, 1, l.m, l.k, r, 1);
  l.by_rows = t.starts < 0 || l.rows / l.block > t.heads;
  linear_rows(g, &l, sparse_rows, &t);
}

void emit_linear_bsr(Gen *g, const Node *n) {
  const Sparse *s = n->in[1]->type.sparse;
  ensure(s);
  int64_t plane;
  bool tokens = type_is_tokens(&n->type, &plane);
  emit_sparse(g, n, tokens ? sparse_tile_height(s, n->tile[0])
                           : sparse_height(s));
}

void emit_linear_csr(Gen *g, const Node *n) { emit_sparse(g, n, 1); }
