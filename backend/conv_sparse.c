/* conv_sparse.c - conv2d_bsr and conv2d_csr: convolution with sparse weights
 * on planes, as loops over tables.
 *
 * A tile is T vectors of pixels times the rows of one head: for bsr rows of
 * blocks that share a column, for csr single rows, several of them in step.
 * Tiles are the outer loop (but see heads_outer); inside, the whole table is
 * read once a tile: for each block its column gives the offset of T vectors
 * of x, each used for as many multiply-adds as the block has values.  A
 * column of a k x k kernel is (channel, ky, kx); a small table maps it to its
 * offset, for 1x1 it is a product. */
#include "backend/tiles.h"

/* With so many times as many planes of y as of x, and y beyond a cache of so
 * many bytes, blocks write it plane by plane, though each head reads x again:
 * a little of each plane in turn costs more. */
enum { MANY_TIMES = 4, CACHE_BYTES = 2 << 20 };
/* Products for each vector of x from which on it pays to ask for it. */
enum { ASK_PRODUCTS = 20 };

typedef struct Sparse2d {
  const Conv *cv;
  Table table;
  int64_t offsets;      /* blob offset of u32 column offsets, or -1 */
  int tile, nvectors;
  Vectors vectors[VECTORS_MOST];
  Val slot;             /* where the values of a step become f32; or NULL */
  bool by_tile;         /* tiles are shared, else heads */
  bool heads_outer;     /* loop order */
  bool ahead_x;         /* asks for the x of the next tile */
  bool ahead_y;         /* and for the y of this one */
} Sparse2d;

int64_t conv_offsets(Gen *g, const Conv *cv) {
  int64_t taps = cv->kh * cv->kw, n = cv->cg * taps;
  if (taps == 1) return -1;
  uint32_t *t = arena_array(g->a, uint32_t, (size_t)n);
  for (int64_t i = 0; i < n; i++)
    t[i] = (uint32_t)(4 * (i / taps) * cv->xs[1] + conv_tap(cv, i % taps));
  return blob_add(g, t, (size_t)n * sizeof *t, 64);
}

Val conv_offset(Gen *g, const Conv *cv, int64_t offsets, Val column) {
  if (offsets < 0) return mul64(g, column, 4 * cv->xs[1]);
  Val at = addr_at(g, blob_ptr(g, offsets), column, 4);
  return load_index(g, at, 0, 4);
}

/* acc += the block of a unit whose values, f32, lie at w. */
static void emit_block(Gen *g, const Sparse2d *d, const Spots *s, int height,
                       Val column, Val w, Val *acc) {
  Val x[TILE_MAX], off = conv_offset(g, d->cv, d->offsets, column);
  for (int j = 0; j < s->t; j++) x[j] = spot_load(g, d->cv, s, j, off);
  for (int i = 0; i < height; i++) {
    Val v = vsplat(g, load_f32(g, w, 4 * i));
    for (int j = 0; j < s->t; j++)
      acc[i * s->t + j] = fma_(g, v, x[j], acc[i * s->t + j]);
  }
}

/* A tile at hand: where it lies, and its group's first row. */
typedef struct Tile { const Sparse2d *d; const Spots *s; Val first; } Tile;

/* A head: how many blocks its units have, and their rows. */
typedef struct Head {
  int units, height;
  Val count, row[TABLE_ROWS_MAX];
} Head;

static Head head_read(Gen *g, const Sparse2d *d, int units, int height,
                      Val first, Cursor *c) {
  Head h = { .units = units, .height = height };
  Val unit[TABLE_ROWS_MAX];
  h.count = table_head(g, &d->table, c, units, unit);
  for (int i = 0; i < units * height; i++) {
    Val row = add64(g, unit[i / height], k64(g, i % height));
    h.row[i] = add64(g, first, row);
  }
  return h;
}

/* Ask for what the next tile reads of each plane of x. */
static void ask_x(Gen *g, const Sparse2d *d, const Spots *s) {
  const Conv *cv = d->cv;
  int64_t last = conv_tap(cv, cv->kh * cv->kw - 1);
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, conv_x_bytes(cv)), 4 * cv->xs[1], true,
             "ask");
  spots_ask_x(g, s, l.iv, last);
  loop_end(g, &l);
}

/* Sum the blocks of a head for a tile, finish and store; the cursor goes on
 * to the next head's. */
static void head_sum(Gen *g, const Sparse2d *d, const Spots *s,
                     const Head *h, Cursor *c) {
  const Conv *cv = d->cv;
  int units = h->units, height = h->height;
  int rows = units * height, each = height * s->t;
  Val acc[LOOP_CARRY_MAX];
  for (int i = 0; i < rows; i++) {
    Val v = vzero(g);
    if (cv->b) {
      Val at = addr_at(g, value_ptr(g, cv->b), h->row[i], 4);
      v = vsplat(g, load_f32(g, at, 0));
    }
    for (int j = 0; j < s->t; j++) acc[i * s->t + j] = v;
  }
  for (int i = 0; d->ahead_y && i < rows; i++)
    spots_ask_y(g, cv, s, h->row[i]);
  Loop l;
  loop_begin(g, &l, k64(g, 0), h->count, 1, false, "block");
  loop_carry(g, &l, &c->value);
  loop_carry(g, &l, &c->index);
  for (int i = 0; i < rows * s->t; i++) loop_carry(g, &l, &acc[i]);
  Val column[TABLE_ROWS_MAX];
  Val w = c->value;
  table_columns(g, &d->table, c, units, column);
  if (d->slot) store_weights(g, d->table.elem, w, rows, d->slot), w = d->slot;
  for (int i = 0; i < units; i++)
    emit_block(g, d, s, height, column[i], addrk(g, w, 4 * i * height),
               acc + i * each);
  table_next(g, &d->table, c, units, height);
  loop_end(g, &l);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < s->t; j++)
      spot_store(g, cv, s, j, acc[i * s->t + j], h->row[i]);
}

static void emit_head(Gen *g, const void *ctx, int units, int height,
                      Cursor *c) {
  const Tile *tile = ctx;
  Head h = head_read(g, tile->d, units, height, tile->first, c);
  head_sum(g, tile->d, tile->s, &h, c);
}

/* All rows of group q at one tile. */
static void emit_group(Gen *g, const Sparse2d *d, const Spots *s, Val q,
                       Cursor *c) {
  const Conv *cv = d->cv;
  Spots at = *s;
  for (int i = 0; i < s->t; i++)
    at.x[i] = addr_at(g, s->x[i], q, 4 * cv->cg * cv->xs[1]);
  Tile tile = { d, &at, mul64(g, q, cv->og) };
  table_walk(g, &d->table, c, emit_head, &tile);
}

static void emit_tile(Gen *g, const void *ctx, const Spots *s) {
  const Sparse2d *d = ctx;
  Cursor c = table_begin(g, &d->table);
  if (d->ahead_x) ask_x(g, d, s);
  if (d->cv->groups == 1) {
    emit_group(g, d, s, k64(g, 0), &c);
    return;
  }
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, d->cv->groups), 1, true, "group");
  cursor_carry(g, &l, &c);
  emit_group(g, d, s, l.iv, &c);
  loop_end(g, &l);
}

/* An image, whose tiles a head goes through. */
typedef struct Sheet { const Sparse2d *d; Image im; } Sheet;

/* A head on the way through an image, and where its blocks begin. */
typedef struct Pass { const Sparse2d *d; const Head *h; Cursor c; } Pass;

static void emit_pass(Gen *g, const void *ctx, const Spots *s) {
  const Pass *p = ctx;
  Cursor c = p->c;
  head_sum(g, p->d, s, p->h, &c);
}

static void emit_sheet(Gen *g, const void *ctx, int units, int height,
                       Cursor *c) {
  const Sheet *sheet = ctx;
  const Sparse2d *d = sheet->d;
  Head h = head_read(g, d, units, height, k64(g, 0), c);
  Pass pass = { d, &h, *c };
  for (int i = 0; i < d->nvectors; i++)
    conv_tiles(g, d->cv, &d->vectors[i], d->tile, false, &sheet->im,
               emit_pass, &pass);
  c->value = addr_at(g, c->value, h.count,
                     d->table.vbytes * units * height);
  c->index = addr_at(g, c->index, h.count, units * d->table.ibytes);
}

static void emit_image(Gen *g, void *ctx, Val x, Val y, Val r) {
  const Sparse2d *d = ctx;
  Image im = { x, y, r };
  if (d->heads_outer) {
    Sheet sheet = { d, im };
    Cursor c = table_begin(g, &d->table);
    table_walk(g, &d->table, &c, emit_sheet, &sheet);
    return;
  }
  for (int i = 0; i < d->nvectors; i++) {
    const Vectors *v = &d->vectors[i];
    Half half;
    half_begin(g, &half, v->half);
    conv_tiles(g, d->cv, v, half_tile(v, d->tile), d->by_tile, &im,
               emit_tile, d);
    half_end(g, &half);
  }
}

void conv_emit_table(Gen *g, const Conv *cv, int height) {
  const Node *n = cv->n;
  Sparse2d d = { .cv = cv };
  int units = n->tile[0] > height ? n->tile[0] / height : 1;
  d.tile = n->tile[1] > 0 ? n->tile[1] : 2;
  d.heads_outer = height > 1 && cv->groups == 1 &&
                  cv->o >= MANY_TIMES * cv->c &&
                  conv_y_bytes(cv) > CACHE_BYTES;
  d.nvectors = d.heads_outer ? conv_vectors(g, cv, d.vectors)
                             : conv_halves(g, cv, d.tile, d.vectors);
  bool halves = !d.heads_outer && d.vectors[0].half >= 0;
  if (halves) g->parts /= 2;
  d.table = table_pack(g, cv->w, cv->groups, cv->og,
                       cv->cg * cv->kh * cv->kw, height, units);
  if (halves) g->parts *= 2;
  if (d.table.elem != F32)
    d.slot = stack_array(g, g->f32, TABLE_ROWS_MAX);
  d.offsets = conv_offsets(g, cv);
  int64_t xbytes = conv_x_bytes(cv), ybytes = conv_y_bytes(cv);
  bool far = cv->flat && xbytes + ybytes > FAR_BYTES;
  d.ahead_x = far && !d.heads_outer && d.vectors[0].count > d.tile &&
              cv->w->type.sparse->nnz >= ASK_PRODUCTS * cv->c;
  d.ahead_y = far && 2 * ybytes >= xbytes;
  /* Heads are cut by what they cost. */
  d.by_tile = !halves && (d.table.starts < 0 || d.table.heads < 2 ||
              d.vectors[0].count / d.tile > 2 * (g->parts + d.table.heads));
  conv_clear(g, cv);
  conv_images(g, cv, emit_image, &d);
}

static void emit_sparse(Gen *g, const Node *n, int height) {
  Conv cv;
  conv_init(g, n, &cv);
  conv_emit_table(g, &cv, height);
}

void emit_conv2d_bsr(Gen *g, const Node *n) {
  const Sparse *s = n->in[1]->type.sparse;
  ensure(s);
  emit_sparse(g, n, sparse_tile_height(s, n->tile[0]));
}

void emit_conv2d_csr(Gen *g, const Node *n) { emit_sparse(g, n, 1); }
