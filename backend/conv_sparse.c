/* conv_sparse.c - conv2d_bsr and conv2d_csr: convolution with sparse weights
 * on planes, as loops over tables.
 *
 * A tile is T vectors of pixels times the r rows of one block row (4 or 1).
 * Tiles are the outer loop; inside, the whole table is read once a tile: for
 * each block its column gives the offset of T vectors of x, each used for r
 * multiply-adds with the block's values.  A column of a k x k kernel is
 * (channel, ky, kx); a small table maps it to its offset, for 1x1 it is a
 * product. */
#include "backend/tiles.h"

typedef struct Sparse2d {
  const Conv *cv;
  Table table;
  int64_t offsets;      /* blob offset of u32 column offsets, or -1 */
  int tile, nvectors;
  Vectors vectors[2];
} Sparse2d;

static int64_t pack_offsets(Gen *g, const Conv *cv) {
  int64_t taps = cv->kh * cv->kw, n = cv->cg * taps;
  if (taps == 1) return -1;
  uint32_t *t = arena_array(g->a, uint32_t, (size_t)n);
  for (int64_t i = 0; i < n; i++)
    t[i] = (uint32_t)(4 * (i / taps) * cv->xs[1] + conv_tap(cv, i % taps));
  return blob_add(g, t, (size_t)n * sizeof *t, 64);
}

/* Byte offset in x of the column at the cursor. */
static Val column_offset(Gen *g, const Sparse2d *d, const Cursor *c) {
  Val col = table_column(g, &d->table, c);
  if (d->offsets < 0) return mul64(g, col, 4 * d->cv->xs[1]);
  Val at = addr(g, blob_ptr(g, d->offsets), mul64(g, col, 4));
  return load_index(g, at, 0, 4);
}

/* One block row of r rows: sum its blocks, finish and store.  `first` is
 * the group's first row. */
static void emit_block_row(Gen *g, const Sparse2d *d, const Spots *s, int r,
                           Val first, Cursor *c) {
  const Conv *cv = d->cv;
  Val count, row, acc[LOOP_CARRY_MAX], x[TILE_MAX];
  table_head(g, &d->table, c, &count, &row);
  row = add64(g, first, mul64(g, row, d->table.r));
  Val bias = cv->b ? addr(g, value_ptr(g, cv->b), mul64(g, row, 4)) : NULL;
  for (int i = 0; i < r; i++) {
    Val v = bias ? vsplat(g, load_f32(g, bias, 4 * i)) : vzero(g);
    for (int j = 0; j < s->t; j++) acc[i * s->t + j] = v;
  }
  Loop l;
  loop_begin(g, &l, k64(g, 0), count, 1, false, "block");
  loop_carry(g, &l, &c->value);
  loop_carry(g, &l, &c->index);
  for (int i = 0; i < r * s->t; i++) loop_carry(g, &l, &acc[i]);
  Val off = column_offset(g, d, c);
  for (int j = 0; j < s->t; j++) x[j] = spot_load(g, cv, s, j, off);
  for (int i = 0; i < r; i++) {
    Val v = vsplat(g, load_f32(g, c->value, 4 * i));
    for (int j = 0; j < s->t; j++)
      acc[i * s->t + j] = fma_(g, v, x[j], acc[i * s->t + j]);
  }
  table_next(g, &d->table, c, r);
  loop_end(g, &l);
  for (int i = 0; i < r; i++)
    for (int j = 0; j < s->t; j++)
      spot_store(g, cv, s, j, acc[i * s->t + j], add64(g, row, k64(g, i)));
}

/* All rows of group q at one tile. */
static void emit_group(Gen *g, const Sparse2d *d, const Spots *s, Val q,
                       Cursor *c) {
  const Conv *cv = d->cv;
  Spots at = *s;
  for (int i = 0; i < s->t; i++)
    at.x[i] = addr(g, s->x[i], mul64(g, q, 4 * cv->cg * cv->xs[1]));
  Val first = mul64(g, q, cv->og);
  if (d->table.rows) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, d->table.rows), 1, true, "row");
    cursor_carry(g, &l, c);
    emit_block_row(g, d, &at, d->table.r, first, c);
    loop_end(g, &l);
  }
  if (d->table.rest) emit_block_row(g, d, &at, d->table.rest, first, c);
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
    int64_t whole = v->count / d->tile * d->tile;
    int rest = (int)(v->count - whole);
    Spots s;
    if (whole) {
      Loop l;
      loop_begin(g, &l, k64(g, 0), k64(g, whole), d->tile, true, "tile");
      conv_spots(g, d->cv, v, l.iv, d->tile, x, y, r, &s);
      emit_tile(g, d, &s);
      loop_end(g, &l);
    }
    if (!rest) continue;
    conv_spots(g, d->cv, v, k64(g, whole), rest, x, y, r, &s);
    emit_tile(g, d, &s);
  }
}

static void emit_sparse(Gen *g, const Node *n, int r) {
  Conv cv;
  conv_init(g, n, &cv);
  Sparse2d d = { .cv = &cv };
  d.tile = n->tile[1] > 0 ? n->tile[1] : 2;
  d.table = table_pack(g, operand_values(g, cv.w), cv.groups, cv.og,
                       cv.cg * cv.kh * cv.kw, r);
  d.offsets = pack_offsets(g, &cv);
  d.nvectors = conv_vectors(g, &cv, d.vectors);
  conv_clear(g, &cv);
  conv_images(g, &cv, emit_image, &d);
}

void emit_conv2d_bsr(Gen *g, const Node *n) { emit_sparse(g, n, 4); }

void emit_conv2d_csr(Gen *g, const Node *n) { emit_sparse(g, n, 1); }
