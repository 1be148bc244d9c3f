/* linear_dense.c - linear_dense: y = x w' on row-major x [rows, K] (K may
 * have a stride), w [M, K], y [rows, M].
 *
 * A register tile of R rows of x times T vectors of outputs; weights packed
 * per panel as [K][T*V], so that a k reads T vectors and R broadcast values
 * of x.  With few accumulators (R = 1: a matrix-vector product) several k are
 * summed side by side to hide the latency of the adds.
 *
 * With many rows a chunk of x and a block of a panel, DEPTH columns at most,
 * stay in the second cache while the tiles of the chunk go by; between blocks
 * their sums lie on the stack.  Each tile asks for its share of the block
 * that follows. */
#include "backend/linear.h"

enum {
  CHAINS = 8,          /* accumulators that hide an add's latency */
  LINE = 64,
  TURNS_LEAST = 3      /* tiles that share in asking for weights ahead */
};

#include <stdlib.h>
static int env(const char *n, int d) {
  const char *s = getenv(n);
  return s ? atoi(s) : d;
}

typedef struct Dense {
  Linear l;
  int64_t chunk;       /* rows of x */
  int64_t depth;       /* columns of a block */
  int64_t whole;       /* in blocks but for the last */
  Val sums;            /* of a chunk and a panel; NULL: one block */
} Dense;

/* ---- panels ---------------------------------------------------------- */

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

/* Bytes of a column. */
static int64_t column_bytes(const Gen *g, const Panel *p) {
  return (int64_t)elem_size(p->elem) * panel_width(g, p);
}

static int panel_lanes(const Gen *g, const Panel *p, int i) {
  return i + 1 < p->t ? g->t->lanes : p->last;
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

/* ---- a tile ---------------------------------------------------------- */

/* A block of a panel: `k` columns from byte x of a row on; w is where its
 * weights are and `out` the panel's first output.  Its sums begin with those
 * on the stack, or are the first; they are the last or go there. */
typedef struct Block {
  const Panel *p;
  Val w, out, x;
  int64_t k;
  bool first, last;
  int64_t turns;       /* tiles that ask for the next block; 0: none does */
} Block;

/* Of a tile: its number in the chunk, its sums on the stack. */
typedef struct Tile {
  Rows rows;
  Val next, sums;
} Tile;

/* Bytes of each column of the next block that a tile asks for. */
static int64_t ahead_bytes(const Gen *g, const Block *b) {
  return (column_bytes(g, b->p) + b->turns - 1) / b->turns;
}

/* acc += column k of the block at w times x[k] of each row. */
static void dense_step(Gen *g, const Linear *l, const Block *b,
                       const Rows *rows, Val x, int64_t k, Val w,
                       int64_t woff, Val *acc) {
  Val v[TILE_MAX];
  const Panel *p = b->p;
  int64_t bytes = (int64_t)elem_size(p->elem) * g->t->lanes;
  for (int i = 0; i < p->t; i++)
    v[i] = load_weights(g, p->elem, w, woff + i * bytes, g->t->lanes);
  for (int r = 0; r < rows->n; r++) {
    Val s = vsplat(g, load_f32(g, x, 4 * (r * l->xrow + k * l->xk)));
    for (int i = 0; i < p->t; i++)
      acc[r * p->t + i] = fma_(g, s, v[i], acc[r * p->t + i]);
  }
}

static int64_t sum_at(const Gen *g, const Panel *p, int r, int i) {
  return (int64_t)(r * p->t + i) * g->t->lanes * 4;
}

static void bias_load(Gen *g, const Linear *l, const Block *b, Val *v) {
  for (int i = 0; i < b->p->t; i++) {
    v[i] = vzero(g);
    if (!l->b) continue;
    Val at = addr_at(g, value_ptr(g, l->b), b->out, 4);
    v[i] = load_lanes(g, at, 4 * (int64_t)i * g->t->lanes,
                      panel_lanes(g, b->p, i));
  }
}

static void dense_start(Gen *g, const Linear *l, const Block *b,
                        const Tile *t, Val *acc) {
  Val bias[TILE_MAX];
  if (b->first) bias_load(g, l, b, bias);
  for (int r = 0; r < t->rows.n; r++)
    for (int i = 0; i < b->p->t; i++)
      acc[r * b->p->t + i] =
        b->first ? bias[i]
                 : load_vec(g, t->sums, sum_at(g, b->p, r, i),
                            4 * g->t->lanes);
}

static void dense_store(Gen *g, const Linear *l, const Block *b,
                        const Tile *t, Val *acc) {
  const Rows *rows = &t->rows;
  Val col = mul64(g, b->out, 4);
  for (int k = 0; k < rows->n * b->p->t; k++) {
    int r = k / b->p->t, i = k % b->p->t, lanes = panel_lanes(g, b->p, i);
    int64_t off = 4 * (int64_t)i * g->t->lanes;
    if (!b->last) {
      store_vec(g, acc[k], t->sums, sum_at(g, b->p, r, i), 4 * g->t->lanes);
      continue;
    }
    Val rv = NULL;
    if (rows->r)
      rv = load_lanes(g, addr(g, rows->r, col), off + 4 * r * l->rrow, lanes);
    store_lanes(g, epilogue(g, l->n, acc[k], rv), addr(g, rows->y, col),
                off + 4 * r * l->yrow, lanes);
  }
}

static void dense_tile(Gen *g, const Linear *l, const Block *b,
                       const Tile *t) {
  const Rows *rows = &t->rows;
  int n = rows->n * b->p->t, chains = CHAINS / n > 1 ? CHAINS / n : 1;
  int64_t width = column_bytes(g, b->p);
  if (chains > b->k) chains = 1;
  ensure(n * chains + 3 <= LOOP_CARRY_MAX && b->p->t <= TILE_MAX);
  Val acc[LOOP_CARRY_MAX], x = rows->x, w = b->w, next = t->next;
  int64_t ahead = next ? ahead_bytes(g, b) : 0;
  int64_t unroll = chains;
  if (next && chains == 1)
    while (unroll < env("TU",4) && 2 * unroll * ahead <= LINE) unroll *= 2;
  int64_t whole = b->k / unroll * unroll;
  for (int i = 0; i < n * chains; i++) acc[i] = vzero(g);
  dense_start(g, l, b, t, acc);
  Loop k;
  loop_begin(g, &k, k64(g, 0), k64(g, whole), unroll, whole > 0, "k");
  loop_carry(g, &k, &w);
  loop_carry(g, &k, &x);
  if (next) loop_carry(g, &k, &next);
  for (int i = 0; i < n * chains; i++) loop_carry(g, &k, &acc[i]);
  for (int64_t i = 0; next && i < unroll * ahead; i += LINE)
    prefetch_second(g, next, i);
  for (int64_t c = 0; c < unroll; c++)
    dense_step(g, l, b, rows, x, c, w, c * width, acc + c % chains * n);
  w = addrk(g, w, unroll * width);
  x = addrk(g, x, 4 * unroll * l->xk);
  if (next) next = addrk(g, next, unroll * ahead);
  loop_end(g, &k);
  for (int64_t i = whole; i < b->k; i++)
    dense_step(g, l, b, rows, x, i - whole, w, (i - whole) * width, acc);
  for (int c = 1; c < chains; c++)
    for (int i = 0; i < n; i++) acc[i] = addf(g, acc[i], acc[c * n + i]);
  dense_store(g, l, b, t, acc);
}

/* ---- loops ----------------------------------------------------------- */

/* Rows of x whose addresses are at `from`, from row i on. */
static void tile_at(Gen *g, const Dense *d, const Block *b, const Rows *from,
                    Val i, Tile *t) {
  const Linear *l = &d->l;
  int64_t ahead = b->turns ? ahead_bytes(g, b) * b->k : 0;
  t->rows.x = addr(g, addr_at(g, from->x, i, 4 * l->xrow), b->x);
  t->rows.y = addr_at(g, from->y, i, 4 * l->yrow);
  t->rows.r = from->r ? addr_at(g, from->r, i, 4 * l->rrow) : NULL;
  t->sums = d->sums ? addr_at(g, d->sums, i, sum_at(g, b->p, 1, 0)) : NULL;
  t->next = NULL;
  if (!b->turns) return;
  Val turn = LLVMBuildUDiv(g->b, i, k64(g, l->block), "");
  int64_t bytes = column_bytes(g, b->p) * b->k;
  t->next = addr_at(g, b->w, turn, ahead);
  Val off = k64(g, bytes);
  t->next = LLVMBuildGEP2(g->b, g->i8, t->next, &off, 1, "");
}

/* All rows of a chunk by a block. */
static void block_emit(Gen *g, const Dense *d, const Rows *chunk, Block *b) {
  const Linear *l = &d->l;
  int64_t whole = chunk->n / l->block * l->block;
  Tile t = { .rows = { .n = l->block } };
  Loop rows;
  b->turns = chunk->n / l->block;
  if (b->turns < env("TT",TURNS_LEAST) || !env("TA",1)) b->turns = 0;
  if (whole) {
    loop_begin(g, &rows, k64(g, 0), k64(g, whole), l->block, true, "rows");
    tile_at(g, d, b, chunk, rows.iv, &t);
    dense_tile(g, l, b, &t);
    loop_end(g, &rows);
  }
  t.rows.n = (int)(chunk->n - whole);
  b->turns = 0;
  if (!t.rows.n) return;
  tile_at(g, d, b, chunk, k64(g, whole), &t);
  dense_tile(g, l, b, &t);
}

static void sums_clear(Gen *g, const Dense *d, const Block *b, int64_t n) {
  Val bias[TILE_MAX];
  Loop l;
  bias_load(g, &d->l, b, bias);
  loop_begin(g, &l, k64(g, 0), k64(g, n), 1, true, "sums");
  Val at = addr_at(g, d->sums, l.iv, sum_at(g, b->p, 1, 0));
  for (int i = 0; i < b->p->t; i++)
    store_vec(g, bias[i], at, sum_at(g, b->p, 0, i), 4 * g->t->lanes);
  loop_end(g, &l);
}

static void panel_emit(Gen *g, const Dense *d, const Rows *chunk, Block *b) {
  const Linear *l = &d->l;
  Val w = b->w;
  if (d->sums) {
    Loop k;
    sums_clear(g, d, b, chunk->n);
    b->first = b->last = false;
    b->k = d->depth;
    loop_begin(g, &k, k64(g, 0), k64(g, d->whole), d->depth, true, "block");
    b->w = addr_at(g, w, k.iv, column_bytes(g, b->p));
    b->x = mul64(g, k.iv, 4 * l->xk);
    block_emit(g, d, chunk, b);
    loop_end(g, &k);
  }
  b->first = !d->sums;
  b->last = true;
  b->k = l->k - d->whole;
  b->w = addrk(g, w, d->whole * column_bytes(g, b->p));
  b->x = k64(g, 4 * d->whole * l->xk);
  block_emit(g, d, chunk, b);
}

static void panels_emit(Gen *g, const Dense *d, const Panel *p, int n,
                        const Rows *chunk) {
  const Linear *l = &d->l;
  for (int i = 0; i < n; i++, p++) {
    Loop loop;
    int64_t width = panel_width(g, p);
    Block b = { .p = p };
    loop_either(g, &loop, !l->by_rows, 0, p->count, 1, "panel");
    b.w = addr_at(g, blob_ptr(g, p->weights), loop.iv,
                  column_bytes(g, p) * l->k);
    b.out = add64(g, mul64(g, loop.iv, width), k64(g, p->first));
    panel_emit(g, d, chunk, &b);
    loop_end(g, &loop);
  }
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

static int panels_make(Gen *g, const Linear *l, int tile, Panel out[2]) {
  int lanes = g->t->lanes, n = 0;
  int64_t full = l->m / lanes, rest = l->m % lanes;
  if (full >= tile)
    out[n++] = (Panel){ 0, full / tile, tile, lanes, 0, F32 };
  if (full % tile || rest)
    out[n++] = (Panel){ full / tile * tile * lanes, 1,
                        (int)(full % tile) + (rest > 0),
                        rest ? (int)rest : lanes, 0, F32 };
  for (int i = 0; i < n; i++) {
    out[i].elem = type_stored(&l->w->type);
    panel_pack(g, l, &out[i]);
  }
  return n;
}

static void dense_cut(Gen *g, Dense *d, int tile) {
  Linear *l = &d->l;
  int64_t tiles = (l->rows + l->block - 1) / l->block;
  int64_t most = env("TC", 512 << 10) / 4 / (l->k > 0 ? l->k : 1) / l->block;
  if (most < 8) most = 8;
  if (l->by_rows && g->parts > 1 && most > (tiles + g->parts - 1) / g->parts)
    most = (tiles + g->parts - 1) / g->parts;
  int64_t chunks = (tiles + most - 1) / most;
  d->chunk = (tiles + chunks - 1) / chunks * l->block;
  int64_t depth = env("TD", 768);
  int64_t blocks = (l->k + depth - 1) / depth;
  d->depth = blocks > 1 ? (l->k + blocks - 1) / blocks : l->k;
  if (tiles < 2) d->depth = l->k;
  d->whole = blocks > 1 && tiles >= 2 ? (blocks - 1) * d->depth : 0;
  d->sums = d->whole ? stack_array(g, g->vec, d->chunk * tile) : NULL;
}

static void chunks_emit(Gen *g, const Dense *d, const Panel *p, int n) {
  const Linear *l = &d->l;
  int64_t whole = l->rows / d->chunk * d->chunk;
  Val x = value_ptr(g, l->x), y = value_ptr(g, l->n);
  Val r = l->r ? value_ptr(g, l->r) : NULL;
  Rows at = { x, y, r, (int)d->chunk };
  Once last;
  if (whole) {
    Loop rows;
    loop_either(g, &rows, l->by_rows, 0, whole, d->chunk, "chunk");
    at.x = addr_at(g, x, rows.iv, 4 * l->xrow);
    at.y = addr_at(g, y, rows.iv, 4 * l->yrow);
    if (r) at.r = addr_at(g, r, rows.iv, 4 * l->rrow);
    panels_emit(g, d, p, n, &at);
    loop_end(g, &rows);
  }
  if (whole == l->rows) return;
  once_either(g, &last, l->by_rows);
  at.x = addrk(g, x, whole * 4 * l->xrow);
  at.y = addrk(g, y, whole * 4 * l->yrow);
  if (r) at.r = addrk(g, r, whole * 4 * l->rrow);
  at.n = (int)(l->rows - whole);
  panels_emit(g, d, p, n, &at);
  once_end(g, &last);
}

void emit_linear_dense(Gen *g, const Node *n) {
  Dense d = { 0 };
  Linear *l = &d.l;
  Panel p[2];
  int64_t plane;
  if (type_is_tokens(&n->type, &plane)) {
    Conv cv;
    conv_init_tokens(g, n, &cv);
    conv_emit_dense(g, &cv);
    return;
  }
  bool many = type_elems(&n->type) > n->type.dim[n->type.rank - 1];
  int rows = g->t->vregs >= 32 ? env("TB",9) : 6;   /* with 3 or 2 vectors */
  int tile = n->tile[1] > 0 ? n->tile[1] : !many ? 8 : g->t->vregs >= 32 ? 3 : rows / 3;
  linear_init(n, l, n->tile[0] > 0 ? n->tile[0] : many ? rows : 1);
  if (l->w->op != OP_PARAM) {
    emit_computed(g, l);
    return;
  }
  int64_t level[] = { l->m / g->t->lanes / tile, l->rows / l->block };
  l->by_rows = parts_level(g, level, 2) == 1;
  dense_cut(g, &d, tile);
  chunks_emit(g, &d, p, panels_make(g, l, tile, p));
}
