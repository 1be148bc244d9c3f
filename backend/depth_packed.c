/* depth_packed.c - a depthwise convolution on a small map, of which several
 * rows share a vector, where a vector is cheaply made of two others in
 * registers (AVX-512).
 *
 * A vector of y has 2 or 4 slots; slot s of vector j is row j + s*count, so
 * that the rows of x that one tap wants lie in slots the same way, and other
 * vectors of y want the same ones. With stride 2 even and odd columns are
 * separated as the rows are put together (the phases). Column taps whose
 * phase lies at the same distance from the output are summed up over their
 * rows first, and the sums are moved within the slots afterwards, those
 * furthest away first: nearer ones are added to them. What lies outside what
 * is loaded of a row is zero, rows above and below the map are left out.
 * The whole plane is in registers before anything is stored.
 *
 * 14x14 to 7x7 with stride 2: 9 pairs of rows, 22 shuffles, 36 products. */
#include "backend/depthwise.h"

enum { SLOTS_MOST = 4, PACKED_VECTORS = 8, PACKED_TILE = 2 };

/* Rows of x that share a vector, by their columns; NULL is zero. */
typedef struct Phases { bool known; Val v[2]; } Phases;

typedef struct Packed {
  const Depth *d;
  const Conv *cv;
  const Channel *ch;
  int slots, width;       /* of a vector; lanes of a slot */
  int piece;              /* columns of x that are loaded of a row, */
  int64_t from;           /* the first of them; 0 or in the halo */
  int count;              /* vectors of y */
  Phases *rows;           /* from row -top on */
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
    int64_t from = cv->wd - piece > -cv->left ? cv->wd - piece : -cv->left;
    if (!conv_reads(cv, from, (cv->h - 1) * cv->xs[2] + from + piece))
      continue;
    *p = (Packed){ .d = d, .cv = cv, .slots = slots, .width = width,
                   
                   .piece = (int)piece, .from = from, .count = (int)count };
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
    return load_n(g, p->ch->x, 4 * (row * cv->xs[2] + p->from), p->piece);
  }
  Val low = pieces(g, p, row, n / 2);
  Val high = pieces(g, p, row + n / 2 * step, n / 2);
  return join(g, low, high, n / 2 * p->piece);
}

/* Lane i + by of v, 0 where there is none in a block of so many lanes. */
static Val blocks_shift(Gen *g, Val v, int block, int by) {
  int lane[64], lanes = g->t->lanes;
  for (int i = 0; i < lanes; i++) {
    int to = i % block + by;
    lane[i] = to < 0 || to >= block ? lanes + i : i + by;
  }
  return vshuffle(g, v, vzero(g), lane, lanes);
}

/* Rows that are those of another vector but for its first slot, with none in
 * the last slot, are made of that where rows would have to be joined else. */
static bool row_moved(Gen *g, const Packed *p, int64_t row, Phases *ph) {
  int64_t step = p->count * p->cv->sy;
  const Phases *was = ph - step;
  if (p->slots <= p->cv->sx || row - step < -p->cv->top || !was->known ||
      row + (p->slots - 1) * step < p->cv->h)
    return false;
  for (int k = 0; k < 2; k++)
    if (was->v[k])
      ph->v[k] = blocks_shift(g, was->v[k], g->t->lanes, p->width);
  return true;
}

/* Rows `row` and those of the other slots: of columns f, f + stride, ... of
 * what is loaded. */
static Val row_phase(Gen *g, const Packed *p, int64_t row, int64_t f) {
  const Conv *cv = p->cv;
  Phases *ph = &p->rows[row + cv->top];
  int lane[64], lanes = g->t->lanes, each = p->slots / (int)cv->sx;
  if (ph->known) return ph->v[f];
  ph->known = true;
  if (row_moved(g, p, row, ph)) return ph->v[f];
  ph->v[0] = pieces(g, p, row, each);
  if (cv->sx == 1) return ph->v[f];
  Val low = ph->v[0];
  Val high = pieces(g, p, row + each * p->count * cv->sy, each);
  if (!low && !high) return NULL;
  if (!low) low = zero_n(g, lanes);
  if (!high) high = zero_n(g, lanes);
  for (int k = 0; k < 2; k++) {
    for (int i = 0; i < lanes; i++) lane[i] = 2 * i + k;
    ph->v[k] = vshuffle(g, low, high, lane, lanes);
  }
  return ph->v[f];
}

/* The column of what is loaded that tap kx of a row's first pixel wants. */
static int64_t tap_column(const Packed *p, int64_t kx) {
  return kx * p->cv->dx - p->cv->left - p->from;
}

/* How many lanes to the right of its place the tap lies; left: below 0. */
static int64_t tap_lane(const Packed *p, int64_t kx) {
  int64_t at = tap_column(p, kx), s = p->cv->sx;
  return at >= 0 ? at / s : -((s - 1 - at) / s);
}

/* The taps that lie so many lanes away, added to the sums of n vectors of y
 * from j on; those of a lone vector are two chains of products. */
static void taps_sum(Gen *g, const Packed *p, int64_t j, int n, int64_t by,
                     Val *sum) {
  const Conv *cv = p->cv;
  Val odd = NULL;
  for (int64_t i = 0; i < cv->kh * cv->kw; i++) {
    int64_t ky = i / cv->kw, kx = i % cv->kw;
    int64_t f = tap_column(p, kx) - by * cv->sx;
    if (tap_lane(p, kx) != by) continue;
    for (int k = 0; k < n; k++) {
      int64_t row = (j + k) * cv->sy + ky * cv->dy - cv->top;
      Val x = row_phase(g, p, row, f), w = depth_weight(g, p->d, p->ch, i);
      Val *to = n == 1 && kx % 2 ? &odd : &sum[k];
      if (x) *to = fma_(g, w, x, *to ? *to : vzero(g));
    }
  }
  if (odd) sum[0] = addf(g, sum[0], odd);
}

/* Taps on one side of the place, from those furthest away, `by` lanes, on;
 * sum begins as zeros. */
static void side_sum(Gen *g, const Packed *p, int64_t j, int n, int64_t by,
                     Val *sum) {
  for (int step = by > 0 ? 1 : -1; by; by -= step) {
    taps_sum(g, p, j, n, by, sum);
    for (int k = 0; k < n; k++)
      sum[k] = blocks_shift(g, sum[k], p->width, step);
  }
}

/* n vectors of y from j on, without their epilogue: what is moved is summed
 * up apart, since chains of products are long. */
static void packed_sum(Gen *g, const Packed *p, int64_t j, int n, Val *sum) {
  Val side[2][PACKED_TILE];
  int64_t by[2] = { tap_lane(p, 0), tap_lane(p, p->cv->kw - 1) };
  for (int k = 0; k < n; k++) {
    side[0][k] = side[1][k] = vzero(g);
    sum[k] = p->ch->bias ? p->ch->bias : vzero(g);
  }
  if (by[0] < 0) side_sum(g, p, j, n, by[0], side[0]);
  if (by[1] > 0) side_sum(g, p, j, n, by[1], side[1]);
  taps_sum(g, p, j, n, 0, sum);
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < n; k++)
      if (i ? by[1] > 0 : by[0] < 0) sum[k] = addf(g, sum[k], side[i][k]);
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
  int64_t rows = (p.count - 1) * cv->sy + (cv->kh - 1) * cv->dy + 1;
  p.rows = arena_array(g->a, Phases, (size_t)rows);
  for (int j = 0; j < p.count; j += PACKED_TILE) {
    int n = p.count - j < PACKED_TILE ? p.count - j : PACKED_TILE;
    packed_sum(g, &p, j, n, acc + j);
  }
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
