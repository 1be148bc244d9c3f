/* linear_dense.c - linear_dense: y = x w' on row-major x [rows, K] (K may
 * have a stride), w [M, K], y [rows, M].
 *
 * A register tile of R rows of x times T vectors of outputs; weights packed
 * per panel as [K][T*V], so that a k reads T vectors and R broadcast values
 * of x.  With few accumulators (R = 1: a matrix-vector product) several k are
 * summed side by side to hide the latency of the adds.
 *
 * With many rows a chunk of x stays in the second cache while panels go by,
 * and a block of a panel, DEPTH columns at most, while the tiles of a chunk
 * do, each of which asks for its share of the block that follows.  Between
 * blocks the sums of a chunk lie on the stack: y may be where r is.
 *
 * Weights that are indices become f32 on the stack, a block at a time, where
 * several tiles share them.
 *
 * Few outputs: linear_dots.c. */
#include "backend/linear.h"

enum {
  CHAINS = 8,          /* accumulators that hide an add's latency */
  LINE = 64,
  UNROLL = 4,          /* columns, where lines are asked for ahead */
  AHEAD_MOST = 64,     /* tiles that share in asking for a block */
  CHUNK_BYTES = 512 << 10, CHUNK_LEAST = 8,    /* of x; in tiles */
  DEPTH = 1024,
  STREAM_BYTES = 256 << 10                        /* of a layer's weights */
};

/* Equal panels of outputs. */
typedef struct Panel {
  int64_t first, count;  /* first output; how many panels */
  int t, last;           /* vectors; lanes of the last one */
  int64_t weights;       /* blob offset of the first panel */
  Elem elem;             /* of weights */
} Panel;

typedef struct Dense {
  Linear l;            /* its blocks of rows are the chunks */
  int rows, most;      /* of x a tile; that registers are for */
  int64_t depth;       /* columns of a block */
  int64_t before;      /* columns of all blocks but the last */
  Val sums;            /* of a chunk and a panel; NULL: one block */
  Val hold;            /* a tile's sums, for a long epilogue; or NULL */
  Val unpacked;        /* weights of a block as f32; NULL: they are read */
  int panels;
  Panel panel[2];
  Val count;           /* rows of the chunk at hand; NULL: known before */
  int64_t least;       /* of all that may be counted */
  Shares tiles;        /* of such a chunk */
} Dense;

/* ---- panels ---------------------------------------------------------- */

static int64_t panel_width(const Gen *g, const Panel *p) {
  return (int64_t)(p->t - 1) * g->t->lanes + p->last;
}

/* Weights of a column: of halves of bytes whole vectors, the rest zeros. */
static int64_t column_weights(const Gen *g, const Panel *p) {
  return p->elem == U4 ? (int64_t)p->t * g->t->lanes : panel_width(g, p);
}

static int64_t column_bytes(const Gen *g, const Panel *p) {
  return weights_bytes(p->elem, column_weights(g, p));
}

static int panel_lanes(const Gen *g, const Panel *p, int i) {
  return i + 1 < p->t ? g->t->lanes : p->last;
}

static void panel_pack(Gen *g, const Linear *l, Panel *p) {
  const float *w = operand_values(g, l->w);
  int64_t width = panel_width(g, p), at = 0;
  /* The last vector may be read whole: room behind. */
  int64_t room = column_weights(g, p);
  size_t n = (size_t)(p->count * l->k * room + g->t->lanes);
  float *out = arena_array(g->a, float, n);
  for (int64_t i = 0; i < p->count; i++)
    for (int64_t k = 0; k < l->k; k++)
      for (int64_t j = 0; j < room; j++)
        out[at++] = j < width ? w[(p->first + i * width + j) * l->k + k] : 0;
  p->weights = blob_weights(g, p->elem, out, n, 64);
}

/* ---- a tile ---------------------------------------------------------- */

/* `k` columns of a panel, from byte x of a row on; w is where their weights
 * are, `out` the panel's first output.  Sums begin with those on the stack, or
 * these are the first; they go there, or these are the last. */
typedef struct Block {
  const Panel *p;
  Val w, out, x;
  int64_t k;
  bool first, last;
  Val hold;
  int64_t ahead;       /* bytes a column that a tile asks for; 0: none */
} Block;

typedef struct Tile {
  Rows rows;
  Val sums;            /* its own on the stack */
  Val next;            /* what it asks for of the next block, or NULL */
  Val of;              /* how many tiles do, or NULL: as the block says */
} Tile;

/* acc += column k from x and w on. */
static void dense_step(Gen *g, const Linear *l, const Block *b,
                       const Rows *rows, Val x, Val w, int64_t k, Val *acc) {
  Val v[TILE_MAX];
  const Panel *p = b->p;
  int64_t bytes = weights_bytes(p->elem, g->t->lanes);
  int64_t at = k * column_bytes(g, p);
  for (int i = 0; i < p->t; i++)
    v[i] = load_weights(g, p->elem, w, at + i * bytes, g->t->lanes);
  for (int r = 0; r < rows->n; r++) {
    Val s = vsplat(g, load_f32(g, x, 4 * (r * l->xrow + k * l->xk)));
    for (int i = 0; i < p->t; i++)
      acc[r * p->t + i] = fma_(g, s, v[i], acc[r * p->t + i]);
  }
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

/* Bytes of a vector; of the sums of a row, on the stack. */
static int vector_bytes(const Gen *g) { return 4 * g->t->lanes; }

static int64_t sums_bytes(const Gen *g, const Block *b) {
  return (int64_t)b->p->t * vector_bytes(g);
}

static void tile_start(Gen *g, const Linear *l, const Block *b,
                       const Tile *t, Val *acc) {
  int n = t->rows.n * b->p->t;
  Val bias[TILE_MAX];
  if (b->first) bias_load(g, l, b, bias);
  for (int i = 0; i < n; i++)
    acc[i] = b->first ? bias[i % b->p->t]
                      : load_vec(g, t->sums, (int64_t)i * vector_bytes(g),
                                 vector_bytes(g));
}

/* What is long is there once, for a row at a time. */
static void tile_store_long(Gen *g, const Linear *l, const Block *b,
                            const Rows *rows, Val *acc) {
  int64_t bytes = vector_bytes(g);
  Loop row;
  for (int i = 0; i < rows->n * b->p->t; i++)
    store_vec(g, acc[i], b->hold, i * bytes, (int)bytes);
  loop_begin(g, &row, k64(g, 0), k64(g, rows->n), 1, true, "long");
  Val from = addr_at(g, b->hold, row.iv, sums_bytes(g, b));
  Val to = addr_at(g, rows->y, row.iv, 4 * l->yrow);
  Val r = rows->r ? addr_at(g, rows->r, row.iv, 4 * l->rrow) : NULL;
  for (int i = 0; i < b->p->t; i++) {
    int lanes = panel_lanes(g, b->p, i);
    Val v = load_vec(g, from, i * bytes, (int)bytes), rv = NULL;
    if (r) rv = load_lanes(g, addr_at(g, r, b->out, 4), i * bytes, lanes);
    store_lanes(g, epilogue(g, l->n, v, rv), addr_at(g, to, b->out, 4),
                i * bytes, lanes);
  }
  loop_end(g, &row);
}

static void tile_store(Gen *g, const Linear *l, const Block *b,
                       const Tile *t, Val *acc) {
  const Rows *rows = &t->rows;
  if (b->hold && rows->n > 1) {
    tile_store_long(g, l, b, rows, acc);
    return;
  }
  Val col = mul64(g, b->out, 4);
  for (int k = 0; k < rows->n * b->p->t; k++) {
    int r = k / b->p->t, i = k % b->p->t, lanes = panel_lanes(g, b->p, i);
    int64_t off = (int64_t)i * vector_bytes(g);
    Val rv = NULL;
    if (rows->r)
      rv = load_lanes(g, addr(g, rows->r, col), off + 4 * r * l->rrow, lanes);
    store_lanes(g, epilogue(g, l->n, acc[k], rv), addr(g, rows->y, col),
                off + 4 * r * l->yrow, lanes);
  }
}

static void tile_keep(Gen *g, const Block *b, const Tile *t, Val *acc) {
  for (int i = 0; i < t->rows.n * b->p->t; i++)
    store_vec(g, acc[i], t->sums, (int64_t)i * vector_bytes(g),
              vector_bytes(g));
}

/* Columns a turn: of each chain, or as many as ask for a line. */
static int tile_unroll(const Block *b, const Tile *t, int chains) {
  int n = chains;
  while (t->next && chains == 1 && n < UNROLL && 2 * n * b->ahead <= LINE)
    n *= 2;
  return n;
}

/* acc[chain] += all columns of the block. */
static void tile_sum(Gen *g, const Linear *l, const Block *b, const Tile *t,
                     int chains, Val *acc) {
  int n = t->rows.n * b->p->t, unroll = tile_unroll(b, t, chains);
  int64_t whole = b->k / unroll * unroll;
  Val x = t->rows.x, w = b->w, next = t->next;
  Val step = k64(g, unroll * b->ahead);
  if (t->of)
    step = LLVMBuildUDiv(g->b, k64(g, unroll * column_bytes(g, b->p)), t->of,
                         "");
  Loop k;
  loop_begin(g, &k, k64(g, 0), k64(g, whole), unroll, whole > 0, "k");
  loop_carry(g, &k, &w);
  loop_carry(g, &k, &x);
  if (next) loop_carry(g, &k, &next);
  for (int i = 0; i < n * chains; i++) loop_carry(g, &k, &acc[i]);
  for (int64_t i = 0; next && i < unroll * b->ahead; i += LINE)
    prefetch_second(g, next, i);
  for (int c = 0; c < unroll; c++)
    dense_step(g, l, b, &t->rows, x, w, c, acc + c % chains * n);
  w = addrk(g, w, unroll * column_bytes(g, b->p));
  x = addrk(g, x, 4 * unroll * l->xk);
  if (next) next = addr(g, next, step);
  loop_end(g, &k);
  for (int64_t i = whole; i < b->k; i++)
    dense_step(g, l, b, &t->rows, x, w, i - whole, acc);
}

static void tile_emit(Gen *g, const Linear *l, const Block *b,
                      const Tile *t) {
  int n = t->rows.n * b->p->t, chains = CHAINS / n > 1 ? CHAINS / n : 1;
  Val acc[LOOP_CARRY_MAX];
  if (chains > b->k) chains = 1;
  ensure(n * chains + 3 <= LOOP_CARRY_MAX && b->p->t <= TILE_MAX);
  for (int i = n; i < n * chains; i++) acc[i] = vzero(g);
  tile_start(g, l, b, t, acc);
  tile_sum(g, l, b, t, chains, acc);
  for (int i = n; i < n * chains; i++)
    acc[i % n] = addf(g, acc[i % n], acc[i]);
  if (b->last) tile_store(g, l, b, t, acc);
  else tile_keep(g, b, t, acc);
}

/* ---- loops ----------------------------------------------------------- */

/* Tiles that share in asking for the next block. */
static int64_t tiles_asking(const Dense *d, int64_t rows) {
  if (!d->count) return rows / d->rows;
  if (rows > d->least) rows = d->least;
  return (rows + d->most - 1) / d->most;
}

/* Of the next block a tile takes an even share. */
static void tile_asks(Gen *g, const Block *b, const Share *s, Tile *t) {
  int64_t all = b->k * column_bytes(g, b->p);
  if (!b->ahead) return;
  t->next = addr(g, addrk(g, b->w, all),
                 LLVMBuildNSWMul(g->b, s->turn, LLVMBuildUDiv(
                     g->b, k64(g, all), s->of, ""), ""));
  t->of = s->of;
}

/* Row i of a chunk and those behind it. */
static void tile_at(Gen *g, const Dense *d, const Block *b,
                    const Rows *chunk, Val i, int rows, Tile *t) {
  const Linear *l = &d->l;
  Val x = addr_at(g, chunk->x, i, 4 * l->xrow);
  t->rows = (Rows){ addr(g, x, b->x), addr_at(g, chunk->y, i, 4 * l->yrow),
                    NULL, rows };
  if (chunk->r) t->rows.r = addr_at(g, chunk->r, i, 4 * l->rrow);
  t->sums = d->sums ? addr_at(g, d->sums, i, sums_bytes(g, b)) : NULL;
  t->next = t->of = NULL;
  if (!b->ahead || d->count || rows < d->rows) return;
  Val turn = LLVMBuildUDiv(g->b, i, k64(g, d->rows), "");
  t->next = addrk(g, b->w, b->k * column_bytes(g, b->p));
  t->next = addr_at(g, t->next, turn, b->k * b->ahead);
}

/* Few rows take a stream of weights, which nothing need be told of: but with
 * 8 lanes two and more do, of weights that come from the third cache (Zen 3,
 * MiniLM's shapes: 2 rows 0.88 of the time, 3 rows 0.92; those of a layer that
 * stays in the second cache 1.05). */
static int rows_asking(const Gen *g, const Linear *l) {
  bool far = l->k * l->m * (int64_t)sizeof(float) >= STREAM_BYTES;
  return g->t->lanes == 8 && far ? 2 : g->t->lanes / 2;
}

/* Of each column of the next block, what one of the tiles of `rows` rows asks
 * for: the third cache gives less in the time of one than it wants. */
static int64_t ahead_bytes(const Gen *g, const Dense *d, const Block *b,
                           int rows) {
  int64_t turns = tiles_asking(d, rows);
  if (turns < 1 || turns > AHEAD_MOST || rows < rows_asking(g, &d->l))
    return 0;
  return (column_bytes(g, b->p) + turns - 1) / turns;
}

/* ... of a chunk that is counted at run time. */
typedef struct CountedChunk {
  const Dense *d;
  const Rows *chunk;
  Block *b;
} CountedChunk;

static void tile_counted(Gen *g, const Share *s, const void *ctx) {
  const CountedChunk *c = ctx;
  Tile t;
  tile_at(g, c->d, c->b, c->chunk, s->first, s->n, &t);
  tile_asks(g, c->b, s, &t);
  tile_emit(g, &c->d->l, c->b, &t);
}

/* Columns of a block as f32: vectors are written whole, those behind them over
 * what is too much. */
static void block_unpack(Gen *g, const Dense *d, const Block *b) {
  int64_t width = panel_width(g, b->p), lanes = g->t->lanes;
  int64_t bytes = weights_bytes(b->p->elem, lanes);
  Loop k;
  loop_begin(g, &k, k64(g, 0), k64(g, b->k), 1, b->k > 0, "unpack");
  Val from = addr_at(g, b->w, k.iv, column_bytes(g, b->p));
  Val to = addr_at(g, d->unpacked, k.iv, 4 * width);
  for (int i = 0; i < b->p->t; i++)
    store_vec(g, load_weights(g, b->p->elem, from, i * bytes, (int)lanes), to,
              4 * i * lanes, 4);
  loop_end(g, &k);
}

/* All rows of a chunk by a block. */
static void rows_emit(Gen *g, const Dense *d, const Rows *chunk, Block *b) {
  int whole = chunk->n / d->rows * d->rows;
  Tile t;
  b->ahead = d->unpacked ? 0 : ahead_bytes(g, d, b, chunk->n);
  if (d->count) {
    CountedChunk c = { d, chunk, b };
    shares_emit(g, &d->tiles, d->count, tile_counted, &c);
    return;
  }
  if (whole) {
    Loop rows;
    loop_begin(g, &rows, k64(g, 0), k64(g, whole), d->rows, true, "rows");
    tile_at(g, d, b, chunk, rows.iv, d->rows, &t);
    tile_emit(g, &d->l, b, &t);
    loop_end(g, &rows);
  }
  if (chunk->n == whole) return;
  tile_at(g, d, b, chunk, k64(g, whole), chunk->n - whole, &t);
  tile_emit(g, &d->l, b, &t);
}

static void block_emit(Gen *g, const Dense *d, const Rows *chunk, Block *b) {
  if (!d->unpacked) {
    rows_emit(g, d, chunk, b);
    return;
  }
  Panel wide = *b->p;
  Block own = *b;
  block_unpack(g, d, b);
  wide.elem = F32;
  own.p = &wide;
  own.w = d->unpacked;
  rows_emit(g, d, chunk, &own);
}

/* The sums of a chunk begin with the bias. */
static void sums_begin(Gen *g, const Dense *d, const Block *b, int rows) {
  Val bias[TILE_MAX];
  Loop l;
  bias_load(g, &d->l, b, bias);
  loop_begin(g, &l, k64(g, 0), d->count ? d->count : k64(g, rows), 1,
             !d->count, "sums");
  Val at = addr_at(g, d->sums, l.iv, sums_bytes(g, b));
  for (int i = 0; i < b->p->t; i++)
    store_vec(g, bias[i], at, (int64_t)i * vector_bytes(g), vector_bytes(g));
  loop_end(g, &l);
}

/* All blocks but the last. */
static void blocks_emit(Gen *g, const Dense *d, const Rows *chunk, Val w,
                        Block *b) {
  Loop k;
  sums_begin(g, d, b, chunk->n);
  b->k = d->depth;
  loop_begin(g, &k, k64(g, 0), k64(g, d->before), d->depth, true, "block");
  b->w = addr_at(g, w, k.iv, column_bytes(g, b->p));
  b->x = mul64(g, k.iv, 4 * d->l.xk);
  block_emit(g, d, chunk, b);
  loop_end(g, &k);
}

static void panel_emit(Gen *g, const Dense *d, const Rows *chunk,
                       const Panel *p, Val i) {
  const Linear *l = &d->l;
  Val w = addr_at(g, blob_ptr(g, p->weights), i, column_bytes(g, p) * l->k);
  Block b = { .p = p, .first = !d->sums, .hold = d->hold };
  b.out = add64(g, mul64(g, i, panel_width(g, p)), k64(g, p->first));
  if (d->sums) blocks_emit(g, d, chunk, w, &b);
  b.last = true;
  b.k = l->k - d->before;
  b.w = addrk(g, w, d->before * column_bytes(g, p));
  b.x = k64(g, 4 * d->before * l->xk);
  block_emit(g, d, chunk, &b);
}

static void chunk_emit(Gen *g, const Linear *l, const void *ctx,
                       const Rows *chunk) {
  const Dense *d = ctx;
  for (int i = 0; i < d->panels; i++) {
    Loop loop;
    const Panel *p = &d->panel[i];
    loop_either(g, &loop, !l->by_rows, 0, p->count, 1, "panel");
    panel_emit(g, d, chunk, p, loop.iv);
    loop_end(g, &loop);
  }
}

/* Chunks of as many rows as there are. */
static void chunks_counted(Gen *g, Dense *d, Val count) {
  Loop loop;
  int block = d->l.block;
  loop_begin(g, &loop, k64(g, 0), count, block, false, "chunk");
  Val left = LLVMBuildNSWSub(g->b, count, loop.iv, "");
  Val most = k64(g, block);
  Val less = LLVMBuildICmp(g->b, LLVMIntSLT, left, most, "");
  d->count = LLVMBuildSelect(g->b, less, left, most, "");
  Rows at = rows_from(g, &d->l, loop.iv, block);
  chunk_emit(g, &d->l, d, &at);
  loop_end(g, &loop);
}

/* Weights that the graph computes cannot be packed: plain loops. */
static void emit_computed(Gen *g, const Linear *l) {
  int64_t s[MAX_RANK];
  Loop row, col, k;
  value_strides(l->w, s);
  Val count = rows_count(g, l, NULL);
  if (count) loop_begin(g, &row, k64(g, 0), count, 1, false, "row");
  else loop_share(g, &row, 0, l->rows, 1, "row");
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

/* ---- cuts ------------------------------------------------------------ */

/* Panels of t vectors, and one of what is left. */
static void panels_make(Gen *g, Dense *d, int t) {
  const Linear *l = &d->l;
  int64_t full = l->m / g->t->lanes, rest = l->m % g->t->lanes;
  Panel *p = d->panel;
  if (full >= t) *p++ = (Panel){ 0, full / t, t, g->t->lanes, 0, F32 };
  if (full % t || rest)
    *p++ = (Panel){ full / t * t * g->t->lanes, 1,
                    (int)(full % t) + (rest > 0),
                    rest ? (int)rest : g->t->lanes, 0, F32 };
  d->panels = (int)(p - d->panel);
  for (p = d->panel; p < d->panel + d->panels; p++) {
    p->elem = weight_elem(g, l->w, true);
    panel_pack(g, l, p);
  }
}

/* Half cycles of a column in all tiles of r rows and t vectors: two products
 * a cycle, four until a sum can be added to, and something for a tile. */
static int64_t rows_time(int64_t rows, int r, int t) {
  int64_t rest = rows % r * t;
  return rows / r * (r * t + 1) + (rest ? (rest > 8 ? rest : 8) + 1 : 0);
}

/* Rows a tile, two thirds of `most` at least. */
static int rows_cut(int64_t rows, int most, int t) {
  int best = most;
  for (int r = most - 1; 3 * r >= 2 * most; r--)
    if (rows_time(rows, r, t) < rows_time(rows, best, t)) best = r;
  return best;
}

/* Chunks of whole tiles, cut evenly; with those a part has its own. */
static void chunks_cut(const Gen *g, Dense *d) {
  Linear *l = &d->l;
  int64_t row = 4 * d->rows * (l->k > 0 ? l->k : 1);
  int64_t tiles = (l->rows + d->rows - 1) / d->rows;
  int64_t most = CHUNK_BYTES / row;
  if (most < CHUNK_LEAST) most = CHUNK_LEAST;
  int64_t chunks = (tiles + most - 1) / most;
  if (l->by_rows && chunks < g->parts) chunks = g->parts;
  l->block = (int)((tiles + chunks - 1) / chunks * d->rows);
  if (l->block > l->rows) l->block = (int)l->rows;
}

/* Blocks of columns, where there are several tiles, whatever the chunks: the
 * sums of a tile's chains are added up block by block, to the same bits for
 * any number of parts. */
static void blocks_cut(Gen *g, Dense *d, int t) {
  const Linear *l = &d->l;
  bool wide = elem_clusters(type_stored(&l->w->type)) && l->rows > d->rows;
  int64_t width = (int64_t)t * g->t->lanes, most = DEPTH;
  if (wide && most > UNPACK_MOST / width) most = UNPACK_MOST / width;
  int64_t n = (l->k + most - 1) / most;
  if (wide)
    d->unpacked = stack_array(g, g->f32, ((l->k + n - 1) / n + 1) * width);
  if (n < 2 || l->rows <= d->rows) return;
  d->depth = (l->k + n - 1) / n;
  d->before = (n - 1) * d->depth;
  d->sums = stack_array(g, g->vec, (int64_t)l->block * t);
}

static void dense_init(Gen *g, const Node *n, Dense *d) {
  Linear *l = &d->l;
  bool many = type_elems(&n->type) > n->type.dim[n->type.rank - 1];
  int most = g->t->vregs >= 32 ? 9 : 6;   /* with 3 or 2 vectors */
  int t = n->tile[1] > 0 ? n->tile[1] : !many ? 8 : most / 3;
  linear_init(n, l, n->tile[0] > 0 ? n->tile[0] : many ? most : 1);
  d->most = l->block;
  d->rows = n->tile[0] > 0 ? l->block : rows_cut(l->rows, l->block, t);
  int64_t level[] = { l->m / g->t->lanes / t, l->rows / d->rows };
  l->by_rows = parts_level(g, level, 2) == 1;
  chunks_cut(g, d);
  if (d->most > 1 && epilogue_is_long(n))
    d->hold = stack_array(g, g->vec, (int64_t)d->most * t);
  blocks_cut(g, d, t);
  panels_make(g, d, t);
}

static void emit_packed(Gen *g, const Node *n, Dense *d) {
  Linear *l = &d->l;
  linear_init(n, l, 1);
  Val count = rows_count(g, l, &d->least);
  if (n->tile[0] < 1 && l->xk == 1 && !count &&
      linear_dots(g->t, l->rows, l->m, l->k)) {
    linear_emit_dots(g, l);
    return;
  }
  dense_init(g, n, d);
  if (!count) {
    linear_rows(g, l, chunk_emit, d);
    return;
  }
  d->tiles.size = d->most;
  shares_add(&d->tiles, d->least, l->rows < l->block ? l->rows : l->block);
  if (l->rows > l->block) shares_add(&d->tiles, 1, l->block);
  chunks_counted(g, d, count);
}

void emit_linear_dense(Gen *g, const Node *n) {
  int64_t plane;
  Dense d = { 0 };
  if (type_is_tokens(&n->type, &plane)) {
    Conv cv;
    conv_init_tokens(g, n, &cv);
    conv_emit_dense(g, &cv);
  } else if (n->in[1]->op != OP_PARAM) {
    linear_init(n, &d.l, 1);
    emit_computed(g, &d.l);
  } else {
    emit_packed(g, n, &d);
  }
}
