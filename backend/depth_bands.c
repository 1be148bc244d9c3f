/* depth_bands.c - a depthwise convolution by bands of rows, for any shape.
 *
 * A band of R rows of y is computed at once (up to 8, of one height where
 * the map allows it): it takes (R-1)*sy + (kh-1)*dy + 1 rows of x, each
 * loaded once a column tap and used by every row of y that wants it.  The
 * channel's weights stay in registers where they fit.
 * Planes much narrower than a vector are walked as one line when stride and
 * pitch allow it.  Kernels of many taps loop over the taps instead. */
#include "backend/depthwise.h"

/* Equal vectors along a row of y (or along the line). */
typedef struct Cols {
  int64_t first, count;   /* start column; how many, `lanes` apart */
  int lanes;
  bool exact;             /* see Vectors */
  int64_t mask;           /* blob offset of masks, or -1 */
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
                         v[i].mask };
}

static void plan_rows(Gen *g, Bands *p) {
  const Conv *cv = p->cv;
  int64_t lanes = g->t->lanes, full = cv->ow / lanes, rest = cv->ow % lanes;
  p->rows = cv->oh;
  p->gap = depth_gap(cv);
  bool exact = conv_exact(g, cv, (int)lanes);
  if (full) p->cols[p->ncols++] = (Cols){ 0, full, (int)lanes, exact, -1 };
  if (!rest) return;
  /* The rest overlaps the vector before; not where r may share memory
   * with y. */
  if (full && !cv->r)
    p->cols[p->ncols++] = (Cols){ cv->ow - lanes, 1, (int)lanes, exact, -1 };
  else
    p->cols[p->ncols++] = (Cols){ full * lanes, 1, (int)rest,
                                  conv_exact(g, cv, (int)rest), -1 };
}

/* Room for accumulators beside the weights and the row at hand. */
static int band_of(const Gen *g, const Depth *d) {
  if (d->taps > TAPS_UNROLLED) return 1;
  int64_t held = d->in_registers ? d->taps + 4 : 6;
  return depth_band(d, g->t->vregs - held);
}

static int64_t tap_table(Gen *g, const Depth *d) {
  if (d->taps <= TAPS_UNROLLED) return -1;
  uint32_t *t = arena_array(g->a, uint32_t, (size_t)d->taps);
  for (int64_t i = 0; i < d->taps; i++) t[i] = (uint32_t)conv_tap(d->cv, i);
  return blob_add(g, t, (size_t)d->taps * sizeof *t, 64);
}

/* ---- code ------------------------------------------------------------ */

/* With stride 2 and 8 lanes, which are two halves to most shuffles, vectors
 * of x have their lanes in such an order that they take one shuffle of two
 * vectors, and results are put right. */
static bool is_mixed(const Gen *g, const Conv *cv, const Cols *co) {
  return g->t->lanes == 8 && cv->sx == 2 && !co->exact && co->lanes > 4;
}

static const int mixed[8] = { 0, 1, 4, 5, 2, 3, 6, 7 };

/* The vector of x at byte `off` from p.  With stride 2 an odd column takes
 * the odd lanes of the two vectors of the even one, which are loaded once. */
static Val load_x(Gen *g, const Bands *b, const Cols *co, Val p,
                  int64_t off) {
  int s = (int)b->cv->sx, lanes = g->t->lanes, lane[64];
  if (s == 2 && !co->exact && 2 * co->lanes > lanes) {
    bool mix = is_mixed(g, b->cv, co), odd = off % 8 == 4;
    for (int i = 0; i < lanes; i++)
      lane[i] = 2 * (mix ? mixed[i] : i) + odd;
    Val low = load_vec(g, p, off - 4 * odd, 4);
    Val high = load_vec(g, p, off - 4 * odd + 4 * lanes, 4);
    return vshuffle(g, low, high, lane, lanes);
  }
  if (!co->exact) return load_stride(g, p, off, s, co->lanes);
  if (s == 1) return load_lanes(g, p, off, co->lanes);
  Val v = vzero(g);
  for (int l = 0; l < co->lanes; l++)
    v = vinsert(g, v, load_f32(g, p, off + 4 * (int64_t)l * s), l);
  return v;
}

/* Products of a band, taps unrolled: x points at its first tap. */
static void sum_unrolled(Gen *g, const Bands *p, const Cols *co, Val x,
                         int band, Val *acc) {
  const Conv *cv = p->cv;
  int64_t last = (band - 1) * cv->sy + (cv->kh - 1) * cv->dy;
  for (int64_t row = 0; row <= last; row++)
    for (int64_t kx = 0; kx < cv->kw; kx++) {
      Val v = NULL;
      for (int64_t r = 0; r < band; r++) {
        int64_t at = row - r * cv->sy;
        if (at < 0 || at % cv->dy || at / cv->dy >= cv->kh) continue;
        if (!v)
          v = load_x(g, p, co, x, 4 * (row * cv->xs[2] + kx * cv->dx));
        Val w = depth_weight(g, p->d, p->ch, at / cv->dy * cv->kw + kx);
        acc[r] = fma_(g, w, v, acc[r]);
      }
    }
}

/* Products of one row by a loop over the taps. */
static void sum_looped(Gen *g, const Bands *p, const Cols *co, Val x,
                       Val *acc) {
  const Depth *d = p->d;
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, d->taps), 1, true, "tap");
  loop_carry(g, &l, acc);
  Val off = load_index(g, addr_at(g, blob_ptr(g, p->taps), l.iv, 4), 0, 4);
  Val v = load_x(g, p, co, addr(g, x, off), 0);
  Val w = addr_at(g, p->ch->w, l.iv, d->wbytes);
  *acc = fma_(g, vsplat(g, load_weight(g, d->elem, w, 0)), v, *acc);
  loop_end(g, &l);
}

/* `band` rows of y from row `oh` on, at column `ow`. */
static void emit_band(Gen *g, const Bands *p, const Cols *co, int band,
                      Val oh, Val ow) {
  const Conv *cv = p->cv;
  const Channel *ch = p->ch;
  Val acc[BAND_MAX];
  for (int i = 0; i < band; i++) acc[i] = ch->bias ? ch->bias : vzero(g);
  Val x = addr_in(g, p->x, oh, 4 * cv->sy * cv->xs[2], ow, 4 * cv->sx);
  Val col = mul64(g, ow, 4);
  Val y = addr(g, ch->y, add64(g, mul64(g, oh, 4 * cv->ys[2]), col));
  Val r = NULL, mask = NULL;
  if (ch->r)
    r = addr(g, ch->r, add64(g, mul64(g, oh, 4 * cv->rs[2]), col));
  if (p->taps < 0) sum_unrolled(g, p, co, x, band, acc);
  else sum_looped(g, p, co, x, acc);
  if (co->mask >= 0) {
    /* A mask has one bit a lane: column / 8 bytes. */
    Val at = add64(g, ow, k64(g, -co->first));
    at = g->t->lanes >= 8 ? shr64(g, at, 3) : shr64(g, at, 2);
    mask = addr(g, blob_ptr(g, co->mask), at);
  }
  for (int i = 0; i < band; i++) {
    Val rv = r ? load_lanes(g, r, i * 4 * cv->rs[2], co->lanes) : NULL;
    if (is_mixed(g, cv, co))
      acc[i] = vshuffle(g, acc[i], acc[i], mixed, g->t->lanes);
    Val out = epilogue(g, cv->n, acc[i], rv);
    if (mask) out = vmask(g, mask, 0, out);
    store_lanes(g, out, y, i * 4 * cv->ys[2], co->lanes);
  }
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
