/* conv_dense.c - conv2d_dense: convolution with dense weights on planes,
 * without im2col.
 *
 * A register tile of R output channels x T vectors of pixels; weights are
 * packed per panel of R rows as [tap][channel][R], so that the inner loop
 * over channels reads R broadcast weights and T vectors of x for R*T
 * multiply-adds.  Strided convolutions read x by shuffles.
 *
 * Weights stored otherwise become f32 on the stack, so that the inner loop
 * stays what it is: those of a panel for all of its tiles, or, where these are
 * too many, for some channels at a time. */
#include "backend/tiles.h"

/* From so many planes of y on, writing a little of each in turn costs more
 * than reading x again from a cache of so many bytes; with narrow vectors,
 * whose machines have smaller caches, only after sums of so few products.  A
 * tile of an x near the size of L1 stays there while the weights go by.
 * Planes of so few bytes lie side by side in the lines that are read. */
enum { MANY_PLANES = 32, CACHE_BYTES = 2 << 20, NEAR_BYTES = 64 << 10 };
enum { FEW_PRODUCTS = 32, SMALL_PLANE = 512 };
enum { CHUNK = 32 };   /* channels whose weights become f32 at once */

typedef struct Dense {
  const Conv *cv;
  Panels panels;
  int tile;             /* vectors a tile */
  int64_t weights;      /* blob offset */
  int64_t taps;         /* blob offset of the u32 tap offsets */
  int nvectors;
  Vectors vectors[VECTORS_MOST];
  Elem elem;            /* of the weights */
  Val wide;             /* those of CHUNK channels as f32, else NULL */
  Val whole;            /* those of a panel, else NULL */
  bool panel_outer;     /* loop order */
  bool by_panel;        /* which of the two is shared */
  bool ahead;           /* asks for the x of the next tile, and for y */
} Dense;

/* Rows of panel p (of all panels of a group) and its first row. */
static int panel_rows(const Panels *p, int64_t i, int64_t *first) {
  bool small = i >= p->n[0];
  *first = small ? p->n[0] * p->size[0] + (i - p->n[0]) * p->size[1]
                 : i * p->size[0];
  return small ? p->size[1] : p->size[0];
}

static int64_t pack_weights(Gen *g, const Dense *d) {
  const Conv *cv = d->cv;
  const float *w = operand_values(g, cv->w);
  int64_t taps = cv->kh * cv->kw, k = cv->cg * taps, at = 0, first;
  /* Vectors of others than f32 are read whole. */
  int64_t room = d->elem != F32 ? g->t->lanes : 0;
  float *out = arena_array(g->a, float, (size_t)(cv->o * k + room));
  for (int64_t q = 0; q < cv->groups; q++)
    for (int64_t p = 0; p < d->panels.n[0] + d->panels.n[1]; p++) {
      int rows = panel_rows(&d->panels, p, &first);
      for (int64_t tap = 0; tap < taps; tap++)
        for (int64_t c = 0; c < cv->cg; c++)
          for (int r = 0; r < rows; r++)
            out[at++] = w[(q * cv->og + first + r) * k + c * taps + tap];
    }
  return blob_weights(g, d->elem, out, (size_t)(at + room), 64);
}

/* acc += the products over channels, whose planes begin at byte `off` and
 * take so many bytes; *w, of f32, advances. */
static void sum_planes(Gen *g, const Dense *d, const Spots *s, Val off,
                       Val bytes, int rows, Val *w, Val *acc) {
  Loop l;
  loop_begin(g, &l, k64(g, 0), bytes, 4 * d->cv->xs[1], d->cv->cg > 0, "c");
  loop_carry(g, &l, w);
  for (int i = 0; i < rows * s->t; i++) loop_carry(g, &l, &acc[i]);
  Val x[TILE_MAX], at = add64(g, off, l.iv);
  for (int i = 0; i < s->t; i++) x[i] = spot_load(g, d->cv, s, i, at);
  if (d->ahead) spots_ask_x(g, s, at, 0);
  for (int r = 0; r < rows; r++) {
    Val v = vsplat(g, load_f32(g, *w, 4 * r));
    for (int i = 0; i < s->t; i++)
      acc[r * s->t + i] = fma_(g, v, x[i], acc[r * s->t + i]);
  }
  *w = addrk(g, *w, 4 * rows);
  loop_end(g, &l);
}

/* n weights (a Val) at w as f32; whole vectors of them. */
static void widen(Gen *g, const Dense *d, Val w, Val n, Val to) {
  Loop l;
  loop_begin(g, &l, k64(g, 0), n, g->t->lanes, true, "widen");
  Val from = addr_at(g, w, l.iv, (int64_t)elem_size(d->elem));
  store_vec(g, load_weights(g, d->elem, from, 0, g->t->lanes),
            addr_at(g, to, l.iv, 4), 0, 4);
  loop_end(g, &l);
}

/* acc += the products over a group's channels at one tap; *w advances. */
static void sum_channels(Gen *g, const Dense *d, const Spots *s, Val off,
                         int rows, Val *w, Val *acc) {
  int64_t plane = 4 * d->cv->xs[1], cg = d->cv->cg;
  Loop l;
  if (!d->wide || !cg) {
    sum_planes(g, d, s, off, k64(g, cg * plane), rows, w, acc);
    return;
  }
  loop_begin(g, &l, k64(g, 0), k64(g, cg), CHUNK, true, "chunk");
  loop_carry(g, &l, w);
  for (int i = 0; i < rows * s->t; i++) loop_carry(g, &l, &acc[i]);
  Val n = k64(g, CHUNK), wide = d->wide;
  if (cg % CHUNK) {
    Val left = LLVMBuildSub(g->b, k64(g, cg), l.iv, "");
    Val last = LLVMBuildICmp(g->b, LLVMIntSLT, left, n, "");
    n = LLVMBuildSelect(g->b, last, left, n, "");
  }
  widen(g, d, *w, mul64(g, n, rows), wide);
  sum_planes(g, d, s, add64(g, off, mul64(g, l.iv, plane)),
             mul64(g, n, plane), rows, &wide, acc);
  *w = addr_at(g, *w, n, (int64_t)elem_size(d->elem) * rows);
  loop_end(g, &l);
}

/* One register tile: `rows` channels from `row` on, weights at w; off is
 * the byte offset of the group's channels in x. */
static void emit_tile(Gen *g, const Dense *d, const Spots *s, int rows,
                      Val row, Val w, Val off) {
  const Conv *cv = d->cv;
  Val acc[LOOP_CARRY_MAX], bias = NULL;
  if (cv->b) bias = addr_at(g, value_ptr(g, cv->b), row, 4);
  for (int r = 0; r < rows; r++) {
    Val v = bias ? vsplat(g, load_f32(g, bias, 4 * r)) : vzero(g);
    for (int i = 0; i < s->t; i++) acc[r * s->t + i] = v;
  }
  for (int r = 0; d->ahead && r < rows; r++)
    spots_ask_y(g, cv, s, add64(g, row, k64(g, r)));
  if (cv->kh * cv->kw == 1) {
    sum_channels(g, d, s, off, rows, &w, acc);
  } else {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, cv->kh * cv->kw), 1, true, "tap");
    loop_carry(g, &l, &w);
    for (int i = 0; i < rows * s->t; i++) loop_carry(g, &l, &acc[i]);
    Val tap = addr_at(g, blob_ptr(g, d->taps), l.iv, 4);
    Val at = add64(g, off, load_index(g, tap, 0, 4));
    sum_channels(g, d, s, at, rows, &w, acc);
    loop_end(g, &l);
  }
  for (int r = 0; r < rows; r++)
    for (int i = 0; i < s->t; i++)
      spot_store(g, cv, s, i, acc[r * s->t + i], add64(g, row, k64(g, r)));
}

/* The loop over the tiles of t vectors [first, first + n*t). */
typedef struct Run { const Vectors *v; int64_t first, n; int t; } Run;

static void run_begin(Gen *g, const Dense *d, const Run *run,
                      const Image *im, Loop *l, Spots *s) {
  loop_either(g, l, !d->by_panel, run->first, run->first + run->n * run->t,
              run->t, "tile");
  conv_spots(g, d->cv, run->v, l->iv, run->t, im->x, im->y, im->r, s);
}

/* All panels of group `q` (a Val); spots given, or (s NULL) the tiles of
 * the run inside each panel. */
static void emit_panels(Gen *g, const Dense *d, const Run *run,
                        const Image *im, const Spots *s, Val q) {
  const Conv *cv = d->cv;
  int64_t done = 0;
  int64_t k = (int64_t)elem_size(d->elem) * cv->cg * cv->kh * cv->kw;
  Val group = addr_at(g, blob_ptr(g, d->weights), q, cv->og * k);
  Val off = mul64(g, q, 4 * cv->cg * cv->xs[1]);
  for (int z = 0; z < 2; z++) {
    int rows = d->panels.size[z];
    if (!d->panels.n[z]) continue;
    Loop p, tile;
    Spots own;
    loop_either(g, &p, d->by_panel, 0, d->panels.n[z], 1, "panel");
    Val row = add64(g, mul64(g, p.iv, rows), k64(g, done));
    Val w = addr_at(g, group, row, k);
    row = add64(g, row, mul64(g, q, cv->og));
    if (d->whole) {
      widen(g, d, w, k64(g, rows * cv->cg * cv->kh * cv->kw), d->whole);
      w = d->whole;
    }
    if (!s) run_begin(g, d, run, im, &tile, &own);
    emit_tile(g, d, s ? s : &own, rows, row, w, off);
    if (!s) loop_end(g, &tile);
    loop_end(g, &p);
    done += d->panels.n[z] * rows;
  }
}

static void emit_groups(Gen *g, const Dense *d, const Run *run,
                        const Image *im, const Spots *s) {
  if (d->cv->groups == 1) {
    emit_panels(g, d, run, im, s, k64(g, 0));
    return;
  }
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, d->cv->groups), 1, true, "group");
  emit_panels(g, d, run, im, s, l.iv);
  loop_end(g, &l);
}

static void emit_image(Gen *g, void *ctx, Val x, Val y, Val r) {
  const Dense *d = ctx;
  Image im = { x, y, r };
  for (int i = 0; i < d->nvectors; i++) {
    const Vectors *v = &d->vectors[i];
    int t = half_tile(v, d->tile);
    int64_t n = v->count / t, rest = v->count % t;
    Run runs[] = { { v, 0, n, t }, { v, n * t, 1, (int)rest } };
    Half half;
    half_begin(g, &half, v->half);
    for (int j = 0; j < 2; j++) {
      if (!runs[j].n || !runs[j].t) continue;
      Loop tile;
      Spots s;
      if (!d->panel_outer) run_begin(g, d, &runs[j], &im, &tile, &s);
      emit_groups(g, d, &runs[j], &im, d->panel_outer ? NULL : &s);
      if (!d->panel_outer) loop_end(g, &tile);
    }
    half_end(g, &half);
  }
}

/* With panels outside, y is written plane by plane and the weights are read
 * once; with tiles outside, x is read once. */
static bool panels_outside(const Gen *g, const Conv *cv, Elem elem) {
  int64_t products = cv->cg * cv->kh * cv->kw, x = conv_x_bytes(cv);
  int64_t weights = (int64_t)elem_size(elem) * cv->o * products;
  bool many = cv->og >= MANY_PLANES && x <= CACHE_BYTES;
  if (x <= NEAR_BYTES) return false;
  if (g->t->lanes == 16) return weights > x || many;
  return (weights > x && weights > 2 * CACHE_BYTES) ||
         (many && products <= FEW_PRODUCTS);
}

/* Where weights become f32. */
static void dense_unpack(Gen *g, Dense *d) {
  const Conv *cv = d->cv;
  int64_t panel = cv->cg * cv->kh * cv->kw * d->panels.size[0];
  if (d->elem == F32) return;
  bool tiles = d->vectors[0].count > d->tile;
  if (tiles && panel <= UNPACK_MOST)
    d->whole = stack_array(g, g->f32, panel + g->t->lanes);
  else
    d->wide = stack_array(g, g->f32, CHUNK * d->panels.size[0] +
                                       g->t->lanes);
}

void conv_emit_dense(Gen *g, const Conv *cv) {
  const Node *n = cv->n;
  Dense d = { .cv = cv, .elem = weight_elem(g, cv->w, false) };
  int rows = n->tile[0] > 0 ? n->tile[0] : 4;
  d.tile = n->tile[1] > 0 ? n->tile[1] : 2;
  d.panels = panels_cut(cv->og, rows);
  d.weights = pack_weights(g, &d);
  if (cv->kh * cv->kw > 1) d.taps = conv_taps(g, cv);
  d.nvectors = conv_halves(g, cv, d.tile, d.vectors);
  dense_unpack(g, &d);
  d.panel_outer = d.whole || panels_outside(g, cv, d.elem);
  int64_t turns[] = { d.vectors[0].count / d.tile,
                      d.panels.n[0] + d.panels.n[1] };
  d.by_panel = d.vectors[0].half >= 0 ||
               (cv->groups == 1 && parts_level(g, turns, 2) == 1);
  d.ahead = cv->flat && cv->kh * cv->kw == 1 &&
            conv_x_bytes(cv) > NEAR_BYTES &&
            (g->t->lanes == 16 || 4 * cv->xs[1] > SMALL_PLANE);
  conv_clear(g, cv);
  conv_images(g, cv, emit_image, &d);
}

void emit_conv2d_dense(Gen *g, const Node *n) {
  Conv cv;
  conv_init(g, n, &cv);
  conv_emit_dense(g, &cv);
}
