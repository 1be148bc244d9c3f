/* conv_pair.c - conv2d_pair and linear_pair: convolution on planes and linear
 * layers on tokens, with weights of single nonzeros at densities where two
 * rows share columns, as 2:4.
 *
 * For a tile of T vectors of pixels the columns are cut into blocks, whose x
 * is copied so that it is dense and stays in the first cache.  In a block two
 * rows at a time are summed in registers (pairs.c): a column that both have
 * is loaded once for two products a vector.  Between blocks the sums of a
 * panel of rows lie on the stack, in the second cache. */
#include "backend/tiles.h"

typedef struct Pair2d {
  const Conv *cv;
  Pairs t;
  int tile, nvectors;
  Vectors vectors[VECTORS_MOST];
  int64_t offsets;        /* of columns, u32; -1: a product does */
  int64_t firsts;         /* first column of each block, u32 */
  bool by_panel;          /* panels are shared, else tiles */
  bool ahead;             /* asks for y: its rows come in any order */
  Val x;                  /* [column][tile] vectors of the block; 0: zeros */
  Val sums;               /* [row of a panel][tile] vectors; or NULL */
  Val slot;               /* where a step's weights become f32; or NULL */
} Pair2d;

/* Where the reading has got to. */
typedef struct At { Val value, index, head; } At;

/* A tile, a panel's first row, and what comes before and behind a block. */
typedef struct Place2d {
  const Pair2d *d;
  const Spots *s;
  Val row;
  bool first, last;
} Place2d;

static int64_t vec_bytes(const Gen *g) { return 4 * (int64_t)g->t->lanes; }

/* Copy columns [first, end) of x. */
static void block_copy(Gen *g, const Pair2d *d, const Spots *s, Val first,
                       Val end) {
  int64_t step = vec_bytes(g);
  Loop l;
  Val to = addrk(g, d->x, step * d->tile);
  loop_begin(g, &l, first, end, 1, true, "copy");
  loop_carry(g, &l, &to);
  Val off = conv_offset(g, d->cv, d->offsets, l.iv);
  for (int j = 0; j < s->t; j++)
    store_vec(g, spot_load(g, d->cv, s, j, off), to, j * step, (int)step);
  to = addrk(g, to, step * d->tile);
  loop_end(g, &l);
}

/* ---- a pair ----------------------------------------------------------- */

static Val sum_ptr(Gen *g, const Pair2d *d, Val row) {
  return addr_at(g, d->sums, row, vec_bytes(g) * d->tile);
}

/* The sums of a row begin: with its bias, or where the block before left
 * them. */
static void sums_begin(Gen *g, const Place2d *p, Val row, Val *sum) {
  const Conv *cv = p->d->cv;
  int64_t step = vec_bytes(g);
  Val b = vzero(g);
  if (p->first && cv->b) {
    Val at = value_ptr(g, cv->b);
    b = vsplat(g, load_f32(g, addr_at(g, at, add64(g, p->row, row), 4), 0));
  }
  for (int j = 0; j < p->s->t; j++)
    sum[j] = p->first ? b
                      : load_vec(g, sum_ptr(g, p->d, row), j * step,
                                 (int)step);
}

static void sums_end(Gen *g, const Place2d *p, Val row, const Val *sum) {
  int64_t step = vec_bytes(g);
  for (int j = 0; j < p->s->t; j++)
    if (p->last)
      spot_store(g, p->d->cv, p->s, j, sum[j], add64(g, p->row, row));
    else
      store_vec(g, sum[j], sum_ptr(g, p->d, row), j * step, (int)step);
}

/* Addresses of the x of a step's columns. */
static void step_columns(Gen *g, const Pair2d *d, Val index, Val *x) {
  int n = pair_columns(&d->t);
  Val word = load_index(g, index, 0, n > 4 ? 8 : 4);
  for (int i = 0; i < n; i++) {
    Val k = and64(g, shr64(g, word, 8 * i), 255);
    x[i] = addr_at(g, d->x, k, vec_bytes(g) * d->tile);
  }
}

/* Chains of sums: with few vectors the products of a step would wait for
 * each other.  As many in a tile's rest, whose vectors depend on the parts of
 * the step: sums are the same for any number of threads. */
static int chains_of(const Gen *g, const Pair2d *d) {
  enum { FEW = 6, OTHERS = 4 };
  return d->tile < FEW && 4 * d->tile + OTHERS <= g->t->vregs ? 2 : 1;
}

/* sum[row][t] of each chain in turn += the products of a step. */
static void step_emit(Gen *g, const Place2d *p, At *at, Val *sum) {
  const Pair2d *d = p->d;
  const Pairs *t = &d->t;
  int64_t step = vec_bytes(g);
  int vectors = p->s->t, n = pair_values(t), v = 0;
  int chains = chains_of(g, d);
  Val x[PAIR_VALUES_MAX], from = d->slot ? d->slot : at->value;
  step_columns(g, d, at->index, x);
  if (d->slot) store_weights(g, t->elem, at->value, n, d->slot);
  for (int i = 0; i < pair_columns(t); i++) {
    bool both = i < t->step.shared;
    int row = both ? 0 : (i - t->step.shared) % 2;
    int c = both ? 0 : (i + t->step.shared) / 2;
    Val w[2] = { vsplat(g, load_f32(g, from, 4 * v++)) };
    if (both) w[1] = vsplat(g, load_f32(g, from, 4 * v++));
    for (int j = 0; j < vectors; j++) {
      Val xv = load_vec(g, x[i], j * step, (int)step);
      for (int r = 0; r <= both; r++) {
        Val *to = &sum[(c % chains * 2 + row + r) * vectors + j];
        *to = fma_(g, w[r], xv, *to);
      }
    }
  }
  at->value = addrk(g, at->value, n * (int64_t)elem_size(t->elem));
  at->index = addrk(g, at->index, pair_columns(t));
}

static void pair_emit(Gen *g, const Place2d *p, At *at) {
  const Pair2d *d = p->d;
  int t = p->s->t;
  const Panels *cut = &d->t.panels;
  bool odd = cut->size[0] % 2 || cut->size[1] % 2;
  int sums = 2 * t, chains = chains_of(g, d);
  Val sum[4 * PAIR_TILE_MOST], row[2], steps = load_index(g, at->head, 0, 1);
  for (int r = 0; r < 2; r++) {
    row[r] = load_index(g, at->head, 1 + r, 1);
    sums_begin(g, p, row[r], sum + r * t);
  }
  for (int i = sums; i < chains * sums; i++) sum[i] = vzero(g);
  at->head = addrk(g, at->head, 4);
  for (int r = 0; d->ahead && p->last && r < 2; r++)
    spots_ask_y(g, d->cv, p->s, add64(g, p->row, row[r]));
  Loop l;
  loop_begin(g, &l, k64(g, 0), steps, 1, false, "step");
  loop_carry(g, &l, &at->value);
  loop_carry(g, &l, &at->index);
  for (int i = 0; i < chains * sums; i++) loop_carry(g, &l, &sum[i]);
  step_emit(g, p, at, sum);
  loop_end(g, &l);
  for (int i = sums; i < chains * sums; i++)
    sum[i - sums] = addf(g, sum[i - sums], sum[i]);
  sums_end(g, p, row[0], sum);
  /* A row that is paired with itself is not finished twice. */
  If two;
  if (odd)
    if_begin(g, &two, LLVMBuildICmp(g->b, LLVMIntNE, row[0], row[1], ""));
  sums_end(g, p, row[1], sum + t);
  if (odd) if_end(g, &two);
}

/* ---- all of it -------------------------------------------------------- */

static void block_emit(Gen *g, const Place2d *p, Val first, Val end, Val pairs,
                       At *at) {
  Loop l;
  block_copy(g, p->d, p->s, first, end);
  loop_begin(g, &l, k64(g, 0), pairs, 1, true, "pair");
  loop_carry(g, &l, &at->value);
  loop_carry(g, &l, &at->index);
  loop_carry(g, &l, &at->head);
  pair_emit(g, p, at);
  loop_end(g, &l);
}

/* The blocks between the first and the last. */
static void blocks_emit(Gen *g, const Place2d *p, int64_t n, Val pairs,
                        At *at) {
  Loop l;
  loop_begin(g, &l, k64(g, 1), k64(g, n - 1), 1, true, "block");
  loop_carry(g, &l, &at->value);
  loop_carry(g, &l, &at->index);
  loop_carry(g, &l, &at->head);
  Val from = addr_at(g, blob_ptr(g, p->d->firsts), l.iv, 4);
  block_emit(g, p, load_index(g, from, 0, 4), load_index(g, from, 4, 4),
             pairs, at);
  loop_end(g, &l);
}

/* Where a panel's weights and so on begin. */
static At panel_begin(Gen *g, const Pairs *t, Val panel) {
  Val start = addr_at(g, blob_ptr(g, t->starts), panel, 24);
  return (At){ addr(g, blob_ptr(g, t->values), load_index(g, start, 0, 8)),
               addr(g, blob_ptr(g, t->index), load_index(g, start, 8, 8)),
               addr(g, blob_ptr(g, t->heads), load_index(g, start, 16, 8)) };
}

/* First row of a panel, and its pairs. */
static Val panel_row(Gen *g, const Panels *p, Val panel, Val *pairs) {
  Val big = k64(g, p->n[0]);
  Val low = LLVMBuildICmp(g->b, LLVMIntSLT, panel, big, "");
  *pairs = LLVMBuildSelect(g->b, low, k64(g, (p->size[0] + 1) / 2),
                           k64(g, (p->size[1] + 1) / 2), "");
  Val row = mul64(g, panel, p->size[1]);
  if (p->size[0] == p->size[1]) return row;
  return add64(g, row, LLVMBuildSelect(g->b, low, panel, big, ""));
}

static void panel_emit(Gen *g, const Pair2d *d, const Spots *s, Val panel) {
  const Panels *cut = &d->t.blocks;
  int64_t n = cut->n[0] + cut->n[1];
  int64_t all = cut->n[0] * cut->size[0] + cut->n[1] * cut->size[1];
  Val pairs, row = panel_row(g, &d->t.panels, panel, &pairs);
  At at = panel_begin(g, &d->t, panel);
  Place2d p = { d, s, row, true, n == 1 };
  block_emit(g, &p, k64(g, 0), k64(g, cut->size[0]), pairs, &at);
  p.first = false;
  if (n > 2) blocks_emit(g, &p, n, pairs, &at);
  p.last = true;
  if (n > 1)
    block_emit(g, &p, k64(g, all - cut->size[1]), k64(g, all), pairs, &at);
}

static void emit_tile(Gen *g, const void *ctx, const Spots *s) {
  const Pair2d *d = ctx;
  Loop l;
  loop_either(g, &l, d->by_panel, 0, d->t.panels.n[0] + d->t.panels.n[1], 1,
              "panel");
  panel_emit(g, d, s, l.iv);
  loop_end(g, &l);
}

static void emit_image(Gen *g, void *ctx, Val x, Val y, Val r) {
  const Pair2d *d = ctx;
  Image im = { x, y, r };
  for (int i = 0; i < d->nvectors; i++) {
    const Vectors *v = &d->vectors[i];
    Half half;
    half_begin(g, &half, v->half);
    conv_tiles(g, d->cv, v, half_tile(v, d->tile), !d->by_panel, &im,
               emit_tile, d);
    half_end(g, &half);
  }
}

static int64_t firsts_pack(Gen *g, const Panels *b) {
  int64_t n = b->n[0] + b->n[1];
  uint32_t *at = arena_array(g->a, uint32_t, (size_t)n + 1);
  for (int64_t i = 0; i < n; i++)
    at[i + 1] = at[i] + (uint32_t)b->size[i >= b->n[0]];
  return blob_add(g, at, ((size_t)n + 1) * sizeof *at, 16);
}

static int least(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

/* Vectors a tile: sums of two rows, their weights and one of x. */
static int tile_of(const Gen *g, const Node *n) {
  int most = n->tile[1] > 0 ? n->tile[1] : (g->t->vregs - 3) / 2;
  return least(most, PAIR_TILE_MOST);
}

/* Room for x, whose column 0 is zeros, for sums and for weights. */
static void rooms(Gen *g, Pair2d *d) {
  const Panels *blocks = &d->t.blocks;
  int64_t step = vec_bytes(g);
  d->x = stack_array(g, g->vec, (blocks->size[0] + 1) * d->tile);
  for (int j = 0; j < d->tile; j++)
    store_vec(g, vzero(g), d->x, j * step, (int)step);
  if (blocks->n[0] + blocks->n[1] > 1)
    d->sums = stack_array(g, g->vec, (int64_t)d->t.panels.size[0] * d->tile);
  if (d->t.elem != F32) d->slot = stack_array(g, g->f32, PAIR_VALUES_MAX);
}

void conv_emit_pairs(Gen *g, const Conv *cv) {
  Pair2d d = { .cv = cv, .tile = tile_of(g, cv->n) };
  int64_t vector = vec_bytes(g) * d.tile;
  d.t = pairs_pack(g, cv->w, cv->o, cv->cg * cv->kh * cv->kw,
                   least(PAIR_SUM_BYTES / vector, PAIR_ROWS_MOST),
                   least(PAIR_X_BYTES / vector, PAIR_COLUMNS_MOST));
  d.nvectors = conv_halves(g, cv, d.tile, d.vectors);
  d.offsets = conv_offsets(g, cv);
  d.firsts = firsts_pack(g, &d.t.blocks);
  rooms(g, &d);
  int64_t turns[] = { d.vectors[0].count / d.tile,
                      d.t.panels.n[0] + d.t.panels.n[1] };
  d.by_panel = d.vectors[0].half >= 0 || parts_level(g, turns, 2) == 1;
  d.ahead = cv->flat && conv_x_bytes(cv) + conv_y_bytes(cv) > FAR_BYTES;
  conv_clear(g, cv);
  conv_images(g, cv, emit_image, &d);
}

void emit_conv2d_pair(Gen *g, const Node *n) {
  Conv cv;
  conv_init(g, n, &cv);
  conv_emit_pairs(g, &cv);
}

void emit_linear_pair(Gen *g, const Node *n) {
  Conv cv;
  conv_init_tokens(g, n, &cv);
  conv_emit_pairs(g, &cv);
}
