/* depth_bands.c - a depthwise convolution by bands of rows, for any shape.
 *
 * A band of R rows of y is computed at once (up to 8, of one height where
 * the map allows it): it takes (R-1)*sy + (kh-1)*dy + 1 rows of x, each
 * loaded once a column tap and used by every row of y that wants it, which
 * is stored as soon as it is complete.  The channel's weights stay in
 * registers where they fit.  With stride 2 and 8 lanes what is left of a
 * row, or all of a narrow one, shares a vector with that of another.
 * Planes much narrower than a vector are walked as one line when stride and
 * pitch allow it.  Kernels of many taps loop over the taps instead. */
#include "backend/depthwise.h"

enum { LINE = 16 };             /* elements of a line of the cache */

/* Equal vectors along a row of y (or along the line). */
typedef struct Cols {
  int64_t first, count;   /* start column; how many, `lanes` apart */
  int lanes;
  bool exact;             /* see Vectors */
  int64_t mask;           /* blob offset of masks, or -1 */
  bool pairs;             /* two rows of y may share a vector */
} Cols;

typedef struct Bands {
  const Depth *d;
  const Conv *cv;
  const Channel *ch;
  Val x;                  /* the first tap of pixel (0,0) */
  int64_t rows;           /* 1: the plane is one line */
  int ncols;
  Cols cols[2];
  int band;               /* output rows at once */
  int64_t taps;           /* blob offset of u32 tap offsets, or -1 */
  int64_t gap;            /* pad columns of y to zero behind each row */
} Bands;

/* ---- the plan -------------------------------------------------------- */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Whether the plane is walked as one line: a vector of it costs more, since
 * no row of x is shared, and two of three loads cross a cache line. */
static bool is_line(const Gen *g, const Conv *cv) {
  int64_t line = ceil_div(cv->oh * cv->ys[2], g->t->lanes);
  int64_t by_rows = cv->oh * ceil_div(cv->ow, g->t->lanes);
  return cv->flat && (cv->kh == 1 || line * 5 <= by_rows * 3);
}

static void plan_line(Gen *g, Bands *p) {
  Vectors v[2];
  p->ncols = conv_vectors(g, p->cv, v);
  p->rows = 1;
  for (int i = 0; i < p->ncols; i++)
    p->cols[i] = (Cols){ v[i].first, v[i].count, v[i].lanes, v[i].exact,
                         v[i].mask, false };
}

/* The rest of a row: with stride 2 half a vector of two rows each; or a
 * vector that overlaps the one before, but not where r may share memory with
 * y; or a part of one. */
static Cols plan_rest(const Gen *g, const Bands *p, int64_t full) {
  const Conv *cv = p->cv;
  int64_t lanes = g->t->lanes, rest = cv->ow - full * lanes;
  Cols co = { full * lanes, 1, (int)rest, conv_exact(g, cv, (int)rest), -1,
              false };
  co.pairs = lanes == 8 && cv->sx == 2 && 2 * rest <= lanes && !co.exact &&
             p->taps < 0;
  if (co.pairs || !full || cv->r) return co;
  return (Cols){ cv->ow - lanes, 1, (int)lanes,
                 conv_exact(g, cv, (int)lanes), -1, false };
}

static void plan_rows(const Gen *g, Bands *p) {
  const Conv *cv = p->cv;
  int64_t lanes = g->t->lanes, full = cv->ow / lanes;
  p->rows = cv->oh;
  p->gap = depth_gap(cv);
  if (full)
    p->cols[p->ncols++] = (Cols){ 0, full, (int)lanes,
                                  conv_exact(g, cv, (int)lanes), -1, false };
  if (cv->ow % lanes) p->cols[p->ncols++] = plan_rest(g, p, full);
}

/* Room for sums beside the weights and the row at hand: of a vector there
 * are as many at a time as rows of y want one row of x. */
static int band_of(const Gen *g, const Depth *d) {
  const Conv *cv = d->cv;
  if (d->taps > TAPS_UNROLLED) return 1;
  int64_t room = g->t->vregs - (d->in_registers ? d->taps + 4 : 6);
  int64_t live = (cv->kh - 1) * cv->dy / cv->sy + 1;
  int64_t most = d->taps > 9 ? BAND_MAX / 2 : BAND_MAX;
  return depth_rows_cut(cv->oh, live <= room || room > most ? most : room);
}

static int64_t tap_table(Gen *g, const Depth *d) {
  if (d->taps <= TAPS_UNROLLED) return -1;
  uint32_t *t = arena_array(g->a, uint32_t, (size_t)d->taps);
  for (int64_t i = 0; i < d->taps; i++) t[i] = (uint32_t)conv_tap(d->cv, i);
  return blob_add(g, t, (size_t)d->taps * sizeof *t, 64);
}

/* ---- code ------------------------------------------------------------ */

/* Vectors of y of a band, one below the other, and where they lie. */
typedef struct Spot {
  const Bands *p;
  const Cols *co;
  int64_t under;          /* a vector's upper half is the row so far below
                             that of its lower half; 0: it has one row */
  Val x, y, r, mask;      /* x: of the first tap */
} Spot;

/* With stride 2 and 8 lanes, which are two halves to most shuffles, vectors
 * of x have their lanes in such an order that they take one shuffle of two
 * vectors, and results are put right. */
static bool is_mixed(const Gen *g, const Spot *s) {
  return s->under || (g->t->lanes == 8 && s->p->cv->sx == 2 &&
                      !s->co->exact && s->co->lanes > 4);
}

static const int mixed[8] = { 0, 1, 4, 5, 2, 3, 6, 7 };

/* The vector of x at byte `off` from p.  With stride 2 an odd column takes
 * the odd lanes of the two vectors of the even one, which are loaded once;
 * those of two rows of y are from two rows of x. */
static Val load_x(Gen *g, const Spot *spot, Val p, int64_t off) {
  const Cols *co = spot->co;
  const Conv *cv = spot->p->cv;
  int s = (int)cv->sx, lanes = g->t->lanes, lane[64];
  if (spot->under || (s == 2 && !co->exact && 2 * co->lanes > lanes)) {
    bool mix = is_mixed(g, spot), odd = off % 8 == 4;
    for (int i = 0; i < lanes; i++)
      lane[i] = 2 * (mix ? mixed[i] : i) + odd;
    off -= 4 * odd;
    int64_t next = spot->under ? spot->under * cv->sy * cv->xs[2] : lanes;
    Val low = load_vec(g, p, off, 4);
    Val high = load_vec(g, p, off + 4 * next, 4);
    return vshuffle(g, low, high, lane, lanes);
  }
  if (!co->exact) return load_stride(g, p, off, s, co->lanes);
  if (s == 1) return load_lanes(g, p, off, co->lanes);
  Val v = vzero(g);
  for (int l = 0; l < co->lanes; l++)
    v = vinsert(g, v, load_f32(g, p, off + 4 * (int64_t)l * s), l);
  return v;
}

/* A vector of r; with two rows of y of two. */
static Val load_r(Gen *g, const Spot *s, int64_t row) {
  const Conv *cv = s->p->cv;
  int lane[64], lanes = g->t->lanes, half = lanes / 2;
  Val low = load_lanes(g, s->r, 4 * row * cv->rs[2], s->co->lanes);
  if (!s->under) return low;
  row += s->under;
  Val high = load_lanes(g, s->r, 4 * row * cv->rs[2], s->co->lanes);
  for (int i = 0; i < lanes; i++) lane[i] = i < half ? i : half + i;
  return vshuffle(g, low, high, lane, lanes);
}

static void store_halves(Gen *g, const Spot *s, int64_t row, Val v) {
  const Conv *cv = s->p->cv;
  int lane[64], lanes = g->t->lanes, half = lanes / 2;
  for (int h = 0; h < 2; h++, row += s->under) {
    int64_t at = 4 * row * cv->ys[2];
    for (int i = 0; i < lanes; i++) lane[i] = i < half ? h * half + i : -1;
    if (s->co->lanes == half)
      store_vec(g, vshuffle(g, v, v, lane, half), s->y, at, 4);
    else
      store_lanes(g, vshuffle(g, v, v, lane, lanes), s->y, at, s->co->lanes);
  }
}

static void row_store(Gen *g, const Spot *s, int64_t row, Val sum) {
  const Conv *cv = s->p->cv;
  if (is_mixed(g, s)) sum = vshuffle(g, sum, sum, mixed, g->t->lanes);
  Val out = epilogue(g, cv->n, sum, s->r ? load_r(g, s, row) : NULL);
  if (s->mask) out = vmask(g, s->mask, 0, out);
  if (s->under) store_halves(g, s, row, out);
  else store_lanes(g, out, s->y, 4 * row * cv->ys[2], s->co->lanes);
}

static Val sum_begin(Gen *g, const Bands *p) {
  return p->ch->bias ? p->ch->bias : vzero(g);
}

/* Products with one row of x, `row` of those of the band. */
static void row_sum(Gen *g, const Spot *s, int64_t row, int band, Val *acc) {
  const Bands *p = s->p;
  const Conv *cv = p->cv;
  for (int64_t kx = 0; kx < cv->kw; kx++) {
    Val v = NULL;
    for (int64_t r = 0; r < band; r++) {
      int64_t at = row - r * cv->sy;
      if (at < 0 || at % cv->dy || at / cv->dy >= cv->kh) continue;
      if (!v)
        v = load_x(g, s, s->x, 4 * (row * cv->xs[2] + kx * cv->dx));
      Val w = depth_weight(g, p->d, p->ch, at / cv->dy * cv->kw + kx);
      acc[r] = fma_(g, w, v, acc[r]);
    }
  }
}

/* A band, taps unrolled.  A row of y is stored with the last row of x that
 * it wants, so that few sums are kept at a time. */
static void band_unrolled(Gen *g, const Spot *s, int band) {
  const Conv *cv = s->p->cv;
  Val acc[BAND_MAX];
  int64_t reach = (cv->kh - 1) * cv->dy, last = (band - 1) * cv->sy + reach;
  for (int i = 0; i < band; i++) acc[i] = sum_begin(g, s->p);
  for (int64_t row = 0; row <= last; row++) {
    row_sum(g, s, row, band, acc);
    int64_t done = row - reach;
    if (done < 0 || done % cv->sy) continue;
    row_store(g, s, done / cv->sy, acc[done / cv->sy]);
  }
}

/* One row by a loop over the taps. */
static void row_looped(Gen *g, const Spot *s) {
  const Bands *p = s->p;
  const Depth *d = p->d;
  Val acc = sum_begin(g, p);
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, d->taps), 1, true, "tap");
  loop_carry(g, &l, &acc);
  Val off = load_index(g, addr_at(g, blob_ptr(g, p->taps), l.iv, 4), 0, 4);
  Val v = load_x(g, s, addr(g, s->x, off), 0);
  Val w = addr_at(g, p->ch->w, l.iv, d->wbytes);
  acc = fma_(g, vsplat(g, load_weight(g, d->elem, w, 0)), v, acc);
  loop_end(g, &l);
  row_store(g, s, 0, acc);
}

/* ---- what comes into L1 ahead ---------------------------------------- */

/* At a column, the rows that the next band has and this one has not: planes
 * lie close to one another, so that behind the last come those of the next
 * channel.  With stride 1 as much is written as is read, and stores wait for
 * one another; with stride 2 rows shorter than a line come in fast enough by
 * themselves, but for the smallest planes. */
static void band_prefetch(Gen *g, const Bands *p, int band, Val oh, Val ow) {
  const Conv *cv = p->cv;
  int64_t rows = band * cv->sy, n = g->t->lanes * cv->sx;
  int64_t first = rows + (cv->kh - 1) * cv->dy;
  if (cv->sx > 2 || cv->sy > 2 || (cv->sy == 2 && cv->xs[2] < LINE)) return;
  Val x = addr_in(g, p->x, oh, 4 * cv->sy * cv->xs[2], ow, 4 * cv->sx);
  Val y = addr_in(g, p->ch->y, oh, 4 * cv->ys[2], ow, 4);
  for (int64_t row = first; row < first + rows; row++)
    depth_prefetch(g, x, row * cv->xs[2], row * cv->xs[2] + n, false);
  for (int64_t row = band; row < 2 * band && cv->sy == 1; row++)
    depth_prefetch(g, y, row * cv->ys[2], row * cv->ys[2] + 1, true);
}

/* ---- bands and columns ----------------------------------------------- */

/* `band` vectors, one below the other, from row `oh` and column `ow` on. */
static void emit_spot(Gen *g, Spot *s, int band, Val oh, Val ow) {
  const Cols *co = s->co;
  const Conv *cv = s->p->cv;
  const Channel *ch = s->p->ch;
  s->x = addr_in(g, s->p->x, oh, 4 * cv->sy * cv->xs[2], ow, 4 * cv->sx);
  s->y = addr_in(g, ch->y, oh, 4 * cv->ys[2], ow, 4);
  if (ch->r) s->r = addr_in(g, ch->r, oh, 4 * cv->rs[2], ow, 4);
  if (co->mask >= 0) {
    /* A mask has one bit a lane: column / 8 bytes. */
    Val at = add64(g, ow, k64(g, -co->first));
    at = g->t->lanes >= 8 ? shr64(g, at, 3) : shr64(g, at, 2);
    s->mask = addr(g, blob_ptr(g, co->mask), at);
  }
  if (s->p->taps < 0) band_unrolled(g, s, band);
  else row_looped(g, s);
}

/* `band` rows of y from row `oh` on, at column `ow`. */
static void emit_band(Gen *g, const Bands *p, const Cols *co, int band,
                      Val oh, Val ow) {
  int pairs = co->pairs ? band / 2 : 0;
  Spot s = { .p = p, .co = co, .under = pairs };
  band_prefetch(g, p, band, oh, ow);
  if (pairs) emit_spot(g, &s, pairs, oh, ow);
  s.under = 0;
  oh = add64(g, oh, k64(g, 2 * pairs));
  if (band > 2 * pairs) emit_spot(g, &s, band - 2 * pairs, oh, ow);
}

static void emit_cols(Gen *g, const void *ctx, Val oh, int band) {
  const Bands *p = ctx;
  for (int i = 0; i < p->ncols; i++) {
    const Cols *co = &p->cols[i];
    Loop l;
    loop_begin(g, &l, k64(g, co->first),
               k64(g, co->first + co->count * g->t->lanes), g->t->lanes,
               true, "col");
    emit_band(g, p, co, band, oh, l.iv);
    loop_end(g, &l);
  }
  if (!p->gap) return;
  /* The pad columns behind each row, and so before the next. */
  Val y = addr_at(g, p->ch->y, oh, 4 * p->cv->ys[2]);
  for (int i = 0; i < band; i++) {
    int64_t end = i * p->cv->ys[2] + p->cv->ow;
    clear_run(g, y, end, end + p->gap);
  }
}

static void emit(Gen *g, const Depth *d, const Channel *ch, int half) {
  const Conv *cv = d->cv;
  bool line = is_line(g, cv);
  Bands p = { .d = d, .cv = cv, .ch = ch, .band = line ? 1 : band_of(g, d),
              .taps = tap_table(g, d) };
  if (line) plan_line(g, &p);
  else plan_rows(g, &p);
  depth_clear(g, d, ch, half, cv->oh * cv->ys[2]);
  int64_t next = cv->xs[1];
  if (p.cols[0].pairs)
    depth_prefetch(g, ch->x, next, next + cv->h * cv->xs[2], false);
  p.x = addrk(g, ch->x, -4 * (cv->top * cv->xs[2] + cv->left));
  depth_bands_walk(g, p.rows, p.band, half, emit_cols, &p);
}

static bool halves(const Gen *g, const Depth *d) {
  return !is_line(g, d->cv) && d->cv->oh / band_of(g, d) >= 2;
}

static bool fits(const Gen *g, const Depth *d) {
  (void)g, (void)d;
  return true;
}

const DepthForm depth_bands = { 5, fits, emit, halves };
