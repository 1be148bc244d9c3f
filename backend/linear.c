/* linear.c - linear_bsr, linear_csr: y = x w' on row-major x [rows, K] (K may
 * have a stride), w [M, K], y [rows, M].
 *
 * One row of blocks at a time for R rows of x; a block of 4, 8 or 16 outputs
 * is one vector of as many lanes (LLVM makes several of it where the target's
 * are shorter), several blocks side by side to hide the latency of the adds.
 * With many rows x and y lie as planes of tokens (layout_tokens), and the
 * kernel is that of a 1x1 convolution. */
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

Val rows_count(Gen *g, const Linear *l, int64_t *least) {
  return count_rows(g, &l->n->type, least);
}

Rows rows_from(Gen *g, const Linear *l, Val i, int n) {
  Rows at = { addr_at(g, value_ptr(g, l->x), i, 4 * l->xrow),
              addr_at(g, value_ptr(g, l->n), i, 4 * l->yrow), NULL, n };
  if (l->r) at.r = addr_at(g, value_ptr(g, l->r), i, 4 * l->rrow);
  return at;
}

typedef struct Counted {
  const Linear *l;
  RowsBody *body;
  const void *ctx;
} Counted;

static void counted_rows(Gen *g, Val first, int n, const void *ctx) {
  const Counted *c = ctx;
  Rows at = rows_from(g, c->l, first, n);
  c->body(g, c->l, c->ctx, &at);
}

/* Blocks, and what is left: of a batch each number of rows that fills no block
 * has its own code, of many rows powers of 2. */
static void rows_counted(Gen *g, const Linear *l, Val count, RowsBody *body,
                         const void *ctx) {
  Counted c = { l, body, ctx };
  Val done = counted_whole(g, count, l->block, counted_rows, &c);
  if (l->rows > 2 * l->block) {
    counted_rest(g, count, done, l->block, counted_rows, &c);
    return;
  }
  Val left = LLVMBuildNSWSub(g->b, count, done, "");
  for (int n = 1; n < l->block; n++) {
    If f;
    if_begin(g, &f, LLVMBuildICmp(g->b, LLVMIntEQ, left, k64(g, n), ""));
    counted_rows(g, done, n, &c);
    if_end(g, &f);
  }
}

void linear_rows(Gen *g, const Linear *l, RowsBody *body, const void *ctx) {
  Val count = rows_count(g, l, NULL);
  if (count) {
    rows_counted(g, l, count, body, ctx);
    return;
  }
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

enum { CHAINS = 8 };   /* blocks side by side at most */

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
