/* conv_sparse.c - conv2d_bsr and conv2d_csr: convolution with sparse weights
 * on planes, as loops over tables.
 *
 * A tile is T vectors of pixels times the rows of one head: for bsr rows of
 * blocks that share a column, for csr single rows, several of them in step.
 * Tiles are the outer loop; inside, the whole table is read once a tile: for
 * each block its column gives the offset of T vectors of x, each used for as
 * many multiply-adds as the block has values.  A column of a k x k kernel is
 * (channel, ky, kx); a small table maps it to its offset, for 1x1 it is a
 * product. */
#include "backend/tiles.h"

typedef struct Sparse2d {
  const Conv *cv;
  Table table;
  int64_t offsets;      /* blob offset of u32 column offsets, or -1 */
  int tile, nvectors;
  Vectors vectors[VECTORS_MOST];
  Val slot;             /* where the values of a step become f32; or NULL */
  bool by_tile;         /* tiles are shared, else heads */
} Sparse2d;

static int64_t pack_offsets(Gen *g, const Conv *cv) {
  int64_t taps = cv->kh * cv->kw, n = cv->cg * taps;
  if (taps == 1) return -1;
  uint32_t *t = arena_array(g->a, uint32_t, (size_t)n);
  for (int64_t i = 0; i < n; i++)
    t[i] = (uint32_t)(4 * (i / taps) * cv->xs[1] + conv_tap(cv, i % taps));
  return blob_add(g, t, (size_t)n * sizeof *t, 64);
}

/* Byte offset in x of a column. */
static Val column_offset(Gen *g, const Sparse2d *d, Val col) {
  if (d->offsets < 0) return mul64(g, col, 4 * d->cv->xs[1]);
  Val at = addr_at(g, blob_ptr(g, d->offsets), col, 4);
  return load_index(g, at, 0, 4);
}

/* acc += the block of a unit whose values, f32, lie at w. */
static void emit_block(Gen *g, const Sparse2d *d, const Spots *s, int height,
                       Val column, Val w, Val *acc) {
  Val x[TILE_MAX], off = column_offset(g, d, column);
  for (int j = 0; j < s->t; j++) x[j] = spot_load(g, d->cv, s, j, off);
  for (int i = 0; i < height; i++) {
    Val v = vsplat(g, load_f32(g, w, 4 * i));
    for (int j = 0; j < s->t; j++)
      acc[i * s->t + j] = fma_(g, v, x[j], acc[i * s->t + j]);
  }
}

/* A tile at hand: where it lies, and its group's first row. */
typedef struct Tile { const Sparse2d *d; const Spots *s; Val first; } Tile;

/* The units of one head: sum their blocks, finish and store. */
static void emit_head(Gen *g, const void *ctx, int units, int height,
                      Cursor *c) {
  const Tile *tile = ctx;
  const Sparse2d *d = tile->d;
  const Spots *s = tile->s;
  const Conv *cv = d->cv;
  int rows = units * height, each = height * s->t;
  Val unit[TABLE_ROWS_MAX], row[TABLE_ROWS_MAX], acc[LOOP_CARRY_MAX];
  Val count = table_head(g, &d->table, c, units, unit);
  for (int i = 0; i < rows; i++) {
    row[i] = add64(g, unit[i / height], k64(g, i % height));
    row[i] = add64(g, tile->first, row[i]);
    Val v = vzero(g);
    if (cv->b) {
      Val at = addr_at(g, value_ptr(g, cv->b), row[i], 4);
      v = vsplat(g, load_f32(g, at, 0));
    }
    for (int j = 0; j < s->t; j++) acc[i * s->t + j] = v;
  }
  Loop l;
  loop_begin(g, &l, k64(g, 0), count, 1, false, "block");
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
      spot_store(g, cv, s, j, acc[i * s->t + j], row[i]);
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

static void emit_tile(Gen *g, const Sparse2d *d, const Spots *s) {
  Cursor c = table_begin(g, &d->table);
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

static void emit_image(Gen *g, void *ctx, Val x, Val y, Val r) {
  const Sparse2d *d = ctx;
  for (int i = 0; i < d->nvectors; i++) {
    const Vectors *v = &d->vectors[i];
    int t = half_tile(v, d->tile);
    int64_t whole = v->count / t * t;
    int rest = (int)(v->count - whole);
    Spots s;
    Half half;
    if (v->half >= 0) half_begin(g, &half, v->half);
    if (whole) {
      Loop l;
      if (d->by_tile)
        loop_share(g, &l, 0, whole, t, "tile");
      else
        loop_begin(g, &l, k64(g, 0), k64(g, whole), t, true, "tile");
      conv_spots(g, d->cv, v, l.iv, t, x, y, r, &s);
      emit_tile(g, d, &s);
      loop_end(g, &l);
    }
    if (rest) {
      Once one;
      if (d->by_tile) once_begin(g, &one);
      conv_spots(g, d->cv, v, k64(g, whole), rest, x, y, r, &s);
      emit_tile(g, d, &s);
      if (d->by_tile) once_end(g, &one);
    }
    if (v->half >= 0) half_end(g, &half);
  }
}

void conv_emit_table(Gen *g, const Conv *cv, int height) {
  const Node *n = cv->n;
  Sparse2d d = { .cv = cv };
  int units = n->tile[0] > height ? n->tile[0] / height : 1;
  d.tile = n->tile[1] > 0 ? n->tile[1] : 2;
  d.nvectors = conv_halves(g, cv, d.tile, d.vectors);
  bool halves = d.vectors[0].half >= 0;
  if (halves) g->parts /= 2;
  d.table = table_pack(g, cv->w, cv->groups, cv->og,
                       cv->cg * cv->kh * cv->kw, height, units);
  if (halves) g->parts *= 2;
  if (d.table.elem != F32)
    d.slot = stack_array(g, g->f32, TABLE_ROWS_MAX);
  d.offsets = pack_offsets(g, cv);
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
  emit_sparse(g, n, sparse_height(s));
}

void emit_conv2d_csr(Gen *g, const Node *n) { emit_sparse(g, n, 1); }
