/* conv_channels.c - conv2d_channels: convolution with dense weights on
 * planes, output channels in the lanes.
 *
 * A register tile of P pixels x V vectors of output channels; weights are
 * packed per panel of V vectors as [channel][tap][V * lanes], so that a step
 * reads V vectors of weights and P broadcast values of x for P*V
 * multiply-adds.  No lane is idle whatever the map is, and x is read at any
 * stride and dilation.  Results change places in registers, squares of
 * vectors, and are stored as rows of pixels.
 *
 * The pixels of a tile are whole rows of the map or a piece of one, so that
 * all of them lie at offsets known now from the first.
 *
 * A step of a 1x1 kernel reads a line of x and one or two of weights, more
 * than the second cache gives to the few products of narrow vectors.  There
 * channels of x are cut into blocks, whose weights stay in the first cache
 * while the patches go by; sums wait in an array on the stack. */
#include "backend/tiles.h"

/* An x of so many bytes stays in the second cache while panels go by. */
enum { CACHE_BYTES = 1 << 20 };
/* Where more patches share a panel its weights come often enough from there,
 * without asking. */
enum { AHEAD_MOST = 64, LINE = 64 };
enum { ROW_MOST = 8 };   /* taps in the body of a loop */
/* Channels of x in a block; the most bytes of sums. */
enum { BLOCK_MOST = 128, SUMS_BYTES = 32 << 10 };

/* Equal patches of pixels, `across` of them side by side, from (row, col)
 * of the map on. */
typedef struct Patches {
  int rows, cols;
  int64_t count, across, row, col, turn;
} Patches;

/* Equal panels of channels from vector `first` of a group on; the last
 * vector of the last panel has so many lanes. */
typedef struct Strip { int64_t first, count; int size, last; } Strip;

enum { PATCHES_MOST = 2, STRIPS_MOST = 3, POSITIONS_MOST = 8 };

typedef struct Wide {
  const Conv *cv;
  Patches patches[PATCHES_MOST];
  Strip strips[STRIPS_MOST];
  int npatches, nstrips;
  int64_t turns;        /* all patches */
  int64_t vectors;      /* of channels of a group */
  int64_t weights, taps;     /* blob offsets */
  Elem elem;            /* of the weights */
  bool panel_outer;     /* loop order */
  bool by_panel;        /* which of the two is shared */
  int64_t blocks, block;     /* of channels: how many, channels of all but
                                the last */
  Val sums;             /* of the patches, if there are several blocks */
} Wide;

/* ---- cutting --------------------------------------------------------- */

static void patches_cut(Wide *d, int pixels) {
  const Conv *cv = d->cv;
  bool whole = pixels >= cv->ow;
  int64_t all = whole ? cv->oh : cv->ow, done = 0;
  /* A residual with another pitch has its rows elsewhere. */
  int most = !whole ? pixels : cv->r && cv->rs[2] != cv->ys[2]
             ? 1 : pixels / (int)cv->ow;
  Panels p = panels_cut(all, most);
  for (int z = 0; z < 2 && p.n[z]; z++) {
    int size = p.size[z];
    d->patches[d->npatches++] =
      whole ? (Patches){ size, (int)cv->ow, p.n[z], 1, done, 0, 0 }
            : (Patches){ 1, size, p.n[z] * cv->oh, p.n[z], 0, done, 0 };
    d->patches[z].turn = d->turns;
    d->turns += d->patches[z].count;
    done += p.n[z] * size;
  }
}

static void strips_cut(Wide *d, int lanes, int most) {
  int rest = (int)(d->cv->og % lanes);
  Panels p = panels_cut(d->vectors, most);
  int64_t first = 0;
  for (int z = 0; z < 2; z++) {
    bool end = z || !p.n[1];
    int64_t n = p.n[z] - (end && rest && p.n[z]);
    if (n)
      d->strips[d->nstrips++] = (Strip){ first, n, p.size[z], lanes };
    first += n * p.size[z];
    if (n == p.n[z]) continue;
    d->strips[d->nstrips++] = (Strip){ first, 1, p.size[z], rest };
    first += p.size[z];
  }
}

/* ---- weights --------------------------------------------------------- */

/* Those of a panel, whose first channel has row number `row`; channels that
 * a group does not have are zeros. */
static int64_t pack_panel(const Wide *d, const float *w, int64_t have,
                          int64_t width, float *out) {
  int64_t taps = d->cv->kh * d->cv->kw, k = d->cv->cg * taps;
  for (int64_t i = 0; i < k; i++)
    for (int64_t j = 0; j < width; j++)
      *out++ = j < have ? w[j * k + i] : 0;
  return k * width;
}

static int64_t pack_weights(Gen *g, const Wide *d) {
  const Conv *cv = d->cv;
  const float *w = operand_values(g, cv->w);
  int64_t k = cv->cg * cv->kh * cv->kw, lanes = g->t->lanes, at = 0;
  size_t n = (size_t)(cv->groups * d->vectors * lanes * k);
  float *out = arena_array(g->a, float, n);
  for (int64_t q = 0; q < cv->groups; q++)
    for (int s = 0; s < d->nstrips; s++)
      for (int64_t p = 0; p < d->strips[s].count; p++) {
        int64_t width = d->strips[s].size * lanes;
        int64_t row = d->strips[s].first * lanes + p * width;
        at += pack_panel(d, w + (q * cv->og + row) * k, cv->og - row, width,
                         out + at);
      }
  return blob_weights(g, d->elem, out, n, 64);
}

/* ---- a tile ---------------------------------------------------------- */

/* Which channels of x are summed: so many from number `from` on; whether
 * these are the first and the last ones. */
typedef struct Block { Val from; int64_t n; bool first, last; } Block;

/* A tile: its pixels, its channels (vectors; lanes of the last), addresses
 * of its first pixel for channel 0 of the group (x) or its own first channel
 * (y, r), and of its weights. */
typedef struct Tile {
  const Patches *patch;
  const Block *block;
  int size, last;
  Val turn;             /* number of the patch */
  Val x, y, r, w, bias;
  Val next;             /* what it asks for of the next panel, or NULL */
} Tile;

static int tile_pixels(const Tile *t) {
  return t->patch->rows * t->patch->cols;
}

/* Of so many bytes of the next panel, those that each patch asks for: the
 * third cache gives less in the time of one than it wants. */
static int64_t ahead_bytes(const Wide *d, int64_t bytes) {
  return (bytes + d->turns - 1) / d->turns;
}

/* acc += a channel's products at one tap, which x is at; *w advances. */
static void step(Gen *g, const Wide *d, const Tile *t, Val x, Val *w,
                 Val *next, Val *acc) {
  const Conv *cv = d->cv;
  Val v[TILE_MAX];
  int64_t bytes = weights_bytes(d->elem, g->t->lanes);
  for (int i = 0; i < t->size; i++)
    v[i] = load_weights(g, d->elem, *w, i * bytes, g->t->lanes);
  for (int p = 0; p < tile_pixels(t); p++) {
    int64_t row = p / t->patch->cols * cv->sy;
    int64_t col = p % t->patch->cols * cv->sx;
    Val s = vsplat(g, load_f32(g, x, 4 * (row * cv->xs[2] + col)));
    for (int i = 0; i < t->size; i++)
      acc[p * t->size + i] = fma_(g, s, v[i], acc[p * t->size + i]);
  }
  *w = addrk(g, *w, t->size * bytes);
  int64_t ahead = *next ? ahead_bytes(d, t->size * bytes) : 0;
  for (int64_t i = 0; i < ahead; i += LINE) prefetch_second(g, *next, i);
  if (*next) *next = addrk(g, *next, ahead);
}

/* The same at all taps, rows of them in a loop.  Their offsets are read, so
 * that LLVM does not see that taps share pixels, which it would keep in too
 * few registers. */
static void steps(Gen *g, const Wide *d, const Tile *t, Val x, Val *w,
                  Val *next, Val *acc) {
  const Conv *cv = d->cv;
  int64_t taps = cv->kh * cv->kw, at_once = cv->kw <= ROW_MOST ? cv->kw : 1;
  Loop l;
  if (taps == 1) {
    step(g, d, t, x, w, next, acc);
    return;
  }
  loop_begin(g, &l, k64(g, 0), k64(g, taps), at_once, true, "tap");
  loop_carry(g, &l, w);
  if (*next) loop_carry(g, &l, next);
  for (int i = 0; i < tile_pixels(t) * t->size; i++)
    loop_carry(g, &l, &acc[i]);
  Val tap = addr_at(g, blob_ptr(g, d->taps), l.iv, 4);
  for (int64_t i = 0; i < at_once; i++)
    step(g, d, t, addr(g, x, load_index(g, tap, 4 * i, 4)), w, next, acc);
  loop_end(g, &l);
}

static void sum(Gen *g, const Wide *d, const Tile *t, Val *acc) {
  const Conv *cv = d->cv;
  int64_t n = tile_pixels(t) * t->size;
  int64_t bytes = weights_bytes(d->elem, g->t->lanes * t->size);
  Val from = t->block->from, next = t->next;
  Val w = addr_at(g, t->w, from, bytes * cv->kh * cv->kw);
  Val x = addr_at(g, t->x, from, 4 * cv->xs[1]);
  if (next) next = addr_at(g, next, from, ahead_bytes(d, bytes));
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, 4 * t->block->n * cv->xs[1]),
             4 * cv->xs[1], t->block->n > 0, "c");
  loop_carry(g, &l, &w);
  if (next) loop_carry(g, &l, &next);
  for (int64_t i = 0; i < n; i++) loop_carry(g, &l, &acc[i]);
  steps(g, d, t, addr(g, x, l.iv), &w, &next, acc);
  loop_end(g, &l);
}

/* Bytes of the sums of a patch. */
static int64_t sums_bytes(const Gen *g, const Wide *d) {
  const Patches *p = d->patches;     /* the first are the largest */
  return (int64_t)4 * p->rows * p->cols * d->strips[0].size * g->t->lanes;
}

/* Where the pixel in lane l of vector q of a line lies in the tile, or -1:
 * a line is the rows of the tile with what is between them. */
static int line_pixel(const Wide *d, const Tile *t, int64_t at) {
  int64_t pitch = d->cv->ys[2], row = 0, col = at;
  if (t->patch->rows > 1) row = at / pitch, col = at % pitch;
  if (row >= t->patch->rows || col >= t->patch->cols) return -1;
  return (int)(row * t->patch->cols + col);
}

/* Store vector q of the line for the channels of vector v. */
static void store_square(Gen *g, const Wide *d, const Tile *t, int v,
                         int64_t q, const Val *acc) {
  const Conv *cv = d->cv;
  Val m[64], none = LLVMGetPoison(g->vec);
  int lanes = g->t->lanes, n = v + 1 < t->size ? lanes : t->last;
  uint64_t bits = 0;
  for (int l = 0; l < lanes; l++) {
    int p = line_pixel(d, t, q * lanes + l);
    m[l] = p < 0 ? none : acc[p * t->size + v];
    if (p >= 0) bits |= (uint64_t)1 << l;
  }
  if (!bits) return;
  vtranspose(g, m);
  for (int i = 0; i < n; i++) {
    int64_t plane = v * lanes + i, off = 4 * q * lanes;
    if (cv->r) {
      Val r = load_mask(g, t->r, 4 * plane * cv->rs[1] + off, bits);
      m[i] = attr_bool(cv->n, "add_last") ? addf(g, m[i], r)
                                          : epilogue(g, cv->n, m[i], r);
    }
    store_mask(g, m[i], t->y, 4 * plane * cv->ys[1] + off, bits);
  }
}

static void finish(Gen *g, const Wide *d, const Tile *t, Val *acc) {
  const Conv *cv = d->cv;
  int64_t line = (t->patch->rows - 1) * cv->ys[2] + t->patch->cols;
  if (!cv->r || attr_bool(cv->n, "add_last"))
    for (int i = 0; i < tile_pixels(t) * t->size; i++)
      acc[i] = epilogue(g, cv->n, acc[i], NULL);
  for (int v = 0; v < t->size; v++)
    for (int64_t q = 0; q * g->t->lanes < line; q++)
      store_square(g, d, t, v, q, acc);
}

static void bias_load(Gen *g, const Tile *t, Val *acc) {
  for (int i = 0; i < t->size; i++) {
    int lanes = i + 1 < t->size ? g->t->lanes : t->last;
    Val b = t->bias ? load_lanes(g, t->bias, 4 * i * g->t->lanes, lanes)
                    : vzero(g);
    for (int p = 0; p < tile_pixels(t); p++) acc[p * t->size + i] = b;
  }
}

static void emit_tile(Gen *g, const Wide *d, const Tile *t) {
  int n = tile_pixels(t) * t->size, bytes = 4 * g->t->lanes;
  Val acc[LOOP_CARRY_MAX], sums = NULL;
  if (d->sums) sums = addr_at(g, d->sums, t->turn, sums_bytes(g, d));
  if (t->block->first) bias_load(g, t, acc);
  for (int i = 0; i < n && !t->block->first; i++)
    acc[i] = load_vec(g, sums, i * bytes, bytes);
  sum(g, d, t, acc);
  for (int i = 0; i < n && !t->block->last; i++)
    store_vec(g, acc[i], sums, i * bytes, bytes);
  if (t->block->last) finish(g, d, t, acc);
}

/* ---- loops ----------------------------------------------------------- */

/* Addresses of patch i. */
static void patch_at(Gen *g, const Wide *d, const Patches *p, Val i,
                     const Image *im, Tile *t) {
  const Conv *cv = d->cv;
  Val n = k64(g, p->across);
  Val row = LLVMBuildUDiv(g->b, i, n, ""), col = LLVMBuildURem(g->b, i, n, "");
  row = add64(g, mul64(g, row, p->rows), k64(g, p->row));
  col = add64(g, mul64(g, col, p->cols), k64(g, p->col));
  t->patch = p;
  t->turn = add64(g, i, k64(g, p->turn));
  t->x = addr_in(g, im->x, row, 4 * cv->sy * cv->xs[2], col, 4 * cv->sx);
  t->x = addrk(g, t->x, -4 * (cv->top * cv->xs[2] + cv->left));
  t->y = addr_in(g, im->y, row, 4 * cv->ys[2], col, 4);
  t->r = im->r ? addr_in(g, im->r, row, 4 * cv->rs[2], col, 4) : NULL;
}

/* The channels of panel i of a strip, in group q. */
static void panel_at(Gen *g, const Wide *d, const Strip *s, Val i, Val q,
                     Tile *t) {
  const Conv *cv = d->cv;
  int64_t k = weights_bytes(d->elem, g->t->lanes * cv->cg * cv->kh * cv->kw);
  Val vector = add64(g, mul64(g, i, s->size), k64(g, s->first));
  Val row = add64(g, mul64(g, vector, g->t->lanes), mul64(g, q, cv->og));
  Val at = add64(g, vector, mul64(g, q, d->vectors));
  t->size = s->size;
  t->last = s->last;
  t->w = addr_at(g, blob_ptr(g, d->weights), at, k);
  t->next = NULL;
  if (d->panel_outer && d->turns <= AHEAD_MOST)
    t->next = addr_at(g, addrk(g, t->w, s->size * k),
                      t->turn, ahead_bytes(d, s->size * k));
  t->bias = cv->b ? addr_at(g, value_ptr(g, cv->b), row, 4) : NULL;
  t->x = addr_at(g, t->x, q, 4 * cv->cg * cv->xs[1]);
  t->y = addr_at(g, t->y, row, 4 * cv->ys[1]);
  if (t->r) t->r = addr_at(g, t->r, row, 4 * cv->rs[1]);
}

/* A turn of the two loops: which patch and which panel. */
typedef struct Turn {
  const Patches *patch;
  const Strip *strip;
  Block block;
  Val patch_iv, panel_iv, group;
} Turn;

static void emit_turn(Gen *g, const Wide *d, const Turn *at,
                      const Image *im) {
  Tile t = { .block = &at->block };
  patch_at(g, d, at->patch, at->patch_iv, im, &t);
  panel_at(g, d, at->strip, at->panel_iv, at->group, &t);
  emit_tile(g, d, &t);
}

static void emit_blocks(Gen *g, const Wide *d, Turn *at, const Image *im);

/* The loops over all panels or all patches, and the other ones inside. */
static void emit_loops(Gen *g, const Wide *d, Turn *at, const Image *im,
                       bool panels, bool outer) {
  for (int i = 0; i < (panels ? d->nstrips : d->npatches); i++) {
    Loop l;
    int64_t n = panels ? d->strips[i].count : d->patches[i].count;
    loop_either(g, &l, panels == d->by_panel, 0, n, 1,
                panels ? "panel" : "patch");
    if (panels) at->strip = &d->strips[i], at->panel_iv = l.iv;
    else at->patch = &d->patches[i], at->patch_iv = l.iv;
    if (outer) emit_blocks(g, d, at, im);
    else emit_turn(g, d, at, im);
    loop_end(g, &l);
  }
}

/* The inner loops, for each block of channels. */
static void emit_blocks(Gen *g, const Wide *d, Turn *at, const Image *im) {
  int64_t n = d->blocks, before = (n - 1) * d->block;
  if (n > 1) {
    at->block = (Block){ k64(g, 0), d->block, .first = true };
    emit_loops(g, d, at, im, !d->panel_outer, false);
  }
  if (n > 2) {
    Loop l;
    loop_begin(g, &l, k64(g, d->block), k64(g, before), d->block, true,
               "block");
    at->block = (Block){ l.iv, d->block, .first = false };
    emit_loops(g, d, at, im, !d->panel_outer, false);
    loop_end(g, &l);
  }
  at->block = (Block){ k64(g, before), d->cv->cg - before, n == 1, true };
  emit_loops(g, d, at, im, !d->panel_outer, false);
}

/* Whether and how channels are cut. */
static void blocks_cut(Gen *g, Wide *d) {
  const Conv *cv = d->cv;
  int64_t bytes = d->turns * sums_bytes(g, d);
  d->blocks = 1;
  d->block = cv->cg;
  if (g->t->lanes == 16 || cv->kh * cv->kw > 1 || !d->panel_outer ||
      bytes > SUMS_BYTES || cv->cg <= BLOCK_MOST)
    return;
  d->blocks = (cv->cg + BLOCK_MOST - 1) / BLOCK_MOST;
  d->block = (cv->cg + d->blocks - 1) / d->blocks;
  d->blocks = (cv->cg + d->block - 1) / d->block;
  if (d->blocks > 1) d->sums = stack_array(g, g->f32, bytes / 4);
}

static void emit_image(Gen *g, void *ctx, Val x, Val y, Val r) {
  const Wide *d = ctx;
  Image im = { x, y, r };
  Loop group;
  loop_begin(g, &group, k64(g, 0), k64(g, d->cv->groups), 1, true, "group");
  Turn at = { .group = group.iv };
  emit_loops(g, d, &at, &im, d->panel_outer, true);
  loop_end(g, &group);
}

void emit_conv2d_channels(Gen *g, const Node *n) {
  Conv cv;
  conv_init(g, n, &cv);
  cv.flat = false;   /* of the halo nothing is written here */
  int lanes = g->t->lanes, pixels = n->tile[0], most = n->tile[1];
  Wide d = { .cv = &cv, .elem = weight_elem(g, cv.w, true) };
  d.vectors = (cv.og + lanes - 1) / lanes;
  patches_cut(&d, pixels > 0 ? pixels : 4);
  strips_cut(&d, lanes, most > 0 ? most : 2);
  d.weights = pack_weights(g, &d);
  if (cv.kh * cv.kw > 1) d.taps = conv_taps(g, &cv);
  int64_t xbytes = conv_x_bytes(&cv);
  int64_t wbytes = (int64_t)elem_size(d.elem) * cv.o * cv.cg * cv.kh * cv.kw;
  d.panel_outer = wbytes > xbytes || xbytes <= CACHE_BYTES;
  int64_t turns[] = { d.patches[0].count, d.strips[0].count };
  d.by_panel = parts_level(g, turns, 2) == 1;
  blocks_cut(g, &d);
  conv_clear(g, &cv);
  conv_images(g, &cv, emit_image, &d);
}
