/* depth_packed.c - a depthwise convolution on a small map, of which several
 * rows share a vector, where a vector is cheaply made of two others in
 * registers (AVX-512).
 *
 * A vector of y has 2 or 4 slots; slot s of vector j is row j + s*count, so
 * that the rows of x that one tap wants lie in slots the same way, and other
 * vectors of y want the same ones. With stride 2 even and odd columns are
 * separated as the rows are put together (the phases). The vector of a
 * column tap is a phase whose lanes are moved within the slots; what lies
 * left and right of the map comes in as zeros, rows above and below are left
 * out. The whole plane is in registers before anything is stored.
 *
 * 14x14 to 7x7 with stride 2: 9 pairs of rows, 27 shuffles, 36 products. */
#include "backend/depthwise.h"

enum { SLOTS_MOST = 4, PACKED_VECTORS = 8 };

typedef struct Packed {
  const Depth *d;
  const Conv *cv;
  const Channel *ch;
  int slots, width;       /* of a vector; lanes of a slot */
  int piece;              /* columns of x that are loaded of a row */
  int count;              /* vectors of y */
} Packed;

/* ---- what fits ------------------------------------------------------- */

/* With as many slots as fit. */
static bool plan(const Gen *g, const Depth *d, Packed *p) {
  const Conv *cv = d->cv;
  int64_t held = d->in_registers ? d->taps : 2;
  for (int slots = SLOTS_MOST; slots > 1; slots /= 2) {
    int width = g->t->lanes / slots;
    int64_t piece = width * cv->sx, count = (cv->oh + slots - 1) / slots;
    if (cv->ow > width || cv->wd > piece) continue;
    if (count > PACKED_VECTORS || count + 8 + held > g->t->vregs) continue;
    if (!conv_reads(cv, 0, (cv->h - 1) * cv->xs[2] + piece)) continue;
    *p = (Packed){ .d = d, .cv = cv, .slots = slots, .width = width,
                   .piece = (int)piece, .count = (int)count };
    return true;
  }
  return false;
}

static bool fits(const Gen *g, const Depth *d) {
  Packed p;
  return g->t->lanes == 16 && d->cv->sx <= 2 && d->taps <= TAPS_UNROLLED &&
         !d->cv->r && plan(g, d, &p);
}

/* ---- rows of x ------------------------------------------------------- */

/* Two vectors of n lanes as one; NULL is zero. */
static Val join(Gen *g, Val low, Val high, int n) {
  int lane[64];
  if (!low && !high) return NULL;
  for (int i = 0; i < 2 * n; i++) lane[i] = i;
  return vshuffle(g, low ? low : zero_n(g, n), high ? high : zero_n(g, n),
                  lane, 2 * n);
}

/* The pieces of rows `row` and n - 1 more in order of slots, side by side. */
static Val pieces(Gen *g, const Packed *p, int64_t row, int n) {
  const Conv *cv = p->cv;
  int64_t step = p->count * cv->sy;
  if (n == 1) {
    if (row < 0 || row >= cv->h) return NULL;
    return load_n(g, p->ch->x, 4 * row * cv->xs[2], p->piece);
  }
  Val low = pieces(g, p, row, n / 2);
  Val high = pieces(g, p, row + n / 2 * step, n / 2);
  return join(g, low, high, n / 2 * p->piece);
}

/* Rows `row` and those of the other slots: columns f, f + stride, ... in
 * phase[f], NULL where all are zero. */
static void row_phases(Gen *g, const Packed *p, int64_t row, Val phase[2]) {
  const Conv *cv = p->cv;
  int lane[64], lanes = g->t->lanes, each = p->slots / (int)cv->sx;
  phase[0] = pieces(g, p, row, each), phase[1] = NULL;
  if (cv->sx == 1) return;
  Val low = phase[0];
  Val high = pieces(g, p, row + each * p->count * cv->sy, each);
  if (!low && !high) return;
  if (!low) low = vzero(g);
  if (!high) high = vzero(g);
  for (int f = 0; f < 2; f++) {
    for (int i = 0; i < lanes; i++) lane[i] = 2 * i + f;
    phase[f] = vshuffle(g, low, high, lane, lanes);
  }
}

/* Column tap kx of rows whose phases are given; NULL is zero. */
static Val packed_tap(Gen *g, const Packed *p, const Val phase[2],
                      int64_t kx) {
  const Conv *cv = p->cv;
  int lane[64], lanes = g->t->lanes, inside = 0;
  int64_t at = kx * cv->dx - cv->left;
  int64_t f = (at % cv->sx + cv->sx) % cv->sx;
  for (int i = 0; i < lanes; i++) {
    int64_t slot = i / p->width, column = i % p->width;
    int64_t from = column * cv->sx + at;
    bool in = from >= 0 && from < p->piece && column < cv->ow;
    lane[i] = column >= cv->ow ? -1 : lanes;
    if (in) lane[i] = (int)(slot * p->width + (from - f) / cv->sx);
    inside += in;
  }
  if (!inside || !phase[f]) return NULL;
  return vshuffle(g, phase[f], vzero(g), lane, lanes);
}

/* Products with the rows of x that begin at `row`. */
static void packed_sum(Gen *g, const Packed *p, int64_t row, Val *acc) {
  const Conv *cv = p->cv;
  Val phase[2];
  row_phases(g, p, row, phase);
  if (!phase[0]) return;
  for (int64_t kx = 0; kx < cv->kw; kx++) {
    Val v = packed_tap(g, p, phase, kx);
    for (int64_t j = 0; v && j < p->count; j++) {
      int64_t at = row + cv->top - j * cv->sy;
      if (at < 0 || at % cv->dy || at / cv->dy >= cv->kh) continue;
      Val w = depth_weight(g, p->d, p->ch, at / cv->dy * cv->kw + kx);
      acc[j] = fma_(g, w, v, acc[j]);
    }
  }
}

/* ---- rows of y ------------------------------------------------------- */

/* Lanes behind a slot's pixels are zeros. */
static Val clear_pads(Gen *g, const Packed *p, Val v) {
  int lane[64], lanes = g->t->lanes;
  for (int i = 0; i < lanes; i++)
    lane[i] = i % p->width < p->cv->ow ? i : lanes + i;
  return vshuffle(g, v, vzero(g), lane, lanes);
}

/* Row `row` of y is slot s of v.  A slot is stored whole where its last
 * lanes are pads of the row, or pixels of the next, which comes later. */
static void store_row(Gen *g, const Packed *p, int64_t row, int s, Val v) {
  const Conv *cv = p->cv;
  int lane[64], lanes = g->t->lanes, width = p->width, ow = (int)cv->ow;
  int64_t gap = depth_gap(cv), at = row * cv->ys[2];
  int64_t space = row + 1 < cv->oh ? cv->ys[2] + cv->ow : cv->ow + gap;
  bool whole = gap ? ow + gap >= width : width <= space;
  for (int i = 0; i < lanes; i++)
    lane[i] = i < width ? s * width + i : -1;
  if (whole)
    store_vec(g, vshuffle(g, v, v, lane, width), p->ch->y, 4 * at, 4);
  else
    store_lanes(g, vshuffle(g, v, v, lane, lanes), p->ch->y, 4 * at, ow);
  int64_t done = at + (whole && gap ? width : ow);
  if (gap) clear_run(g, p->ch->y, done, at + ow + gap);
}

static void emit(Gen *g, const Depth *d, const Channel *ch, int half) {
  Packed p;
  Val acc[PACKED_VECTORS];
  const Conv *cv = d->cv;
  ensure(plan(g, d, &p));
  p.ch = ch;
  depth_clear(g, d, ch, half, cv->oh * cv->ys[2]);
  /* Where a channel is more than what the CPU looks ahead. */
  int64_t next = cv->xs[1];
  if (p.count > 1)
    depth_prefetch(g, ch->x, next, next + cv->h * cv->xs[2], false);
  for (int j = 0; j < p.count; j++) acc[j] = ch->bias ? ch->bias : vzero(g);
  int64_t end = (p.count - 1) * cv->sy + (cv->kh - 1) * cv->dy - cv->top;
  for (int64_t row = -cv->top; row <= end; row++)
    packed_sum(g, &p, row, acc);
  for (int j = 0; j < p.count; j++) {
    acc[j] = epilogue(g, cv->n, acc[j], NULL);
    if (depth_gap(cv)) acc[j] = clear_pads(g, &p, acc[j]);
  }
  bool line = p.count == 1 && cv->ys[2] == p.width;
  if (line) {
    int64_t n = (cv->oh - 1) * p.width + cv->ow + depth_gap(cv);
    store_lanes(g, acc[0], ch->y, 0, (int)n);
  }
  for (int64_t row = 0; !line && row < cv->oh; row++)
    store_row(g, &p, row, (int)(row / p.count), acc[row % p.count]);
}

static bool halves(const Gen *g, const Depth *d) {
  (void)g, (void)d;
  return false;
}

const DepthForm depth_packed = { 16, fits, emit, halves };
