/* conv_depthwise.c - conv2d_depthwise: one channel at a time on planes,
 * groups = C = O.
 *
 * A band of R rows of y is computed at once (up to 8, of one height where
 * the map allows it): it takes (R-1)*sy + (kh-1)*dy + 1 rows of x, each
 * loaded once a column tap and used by every row of y that wants it.  The
 * channel's weights stay in registers where they fit.
 * Planes much narrower than a vector are walked as one line when stride and
 * pitch allow it.  Kernels of many taps loop over the taps instead. */
#include "backend/tiles.h"

/* Equal vectors along a row of y (or along the line). */
typedef struct Cols {
  int64_t first, count;   /* start column; how many, `lanes` apart */
  int lanes;
  bool exact;             /* see Vectors */
  int64_t mask;           /* blob offset of masks, or -1 */
} Cols;

typedef struct Depth {
  const Conv *cv;
  int64_t rows;           /* 1: the plane is one line */
  int ncols;
  Cols cols[2];
  int band;               /* output rows at once */
  bool unrolled;          /* taps unrolled, else a loop over them */
  bool in_registers;      /* the weights */
  int64_t taps;           /* blob offset of u32 tap offsets */
  int64_t gap;            /* pad columns of y to zero behind each row */
  Elem elem;              /* of the weights */
  int64_t wbytes;
} Depth;

enum { TAPS_UNROLLED = 25, BAND_MAX = 8, PLANE_BYTES = 32 << 10 };

/* A channel: its planes, weights and bias (NULL without). */
typedef struct Channel {
  Val x, y, r, w, bias;
  Val tap[TAPS_UNROLLED];
} Channel;

/* ---- the plan -------------------------------------------------------- */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static void plan_cols(Gen *g, Conv *cv, Depth *d) {
  int64_t lanes = g->t->lanes, full = cv->ow / lanes, rest = cv->ow % lanes;
  /* A vector of the line costs more: no row of x is shared, and two of
   * three loads cross a cache line. */
  int64_t line = ceil_div(cv->oh * cv->ys[2], lanes);
  int64_t by_rows = cv->oh * ceil_div(cv->ow, lanes);
  if (cv->kh > 1 && line * 5 > by_rows * 3) cv->flat = false;
  if (cv->flat) {
    Vectors v[2];
    d->ncols = conv_vectors(g, cv, v);
    d->rows = 1;
    for (int i = 0; i < d->ncols; i++)
      d->cols[i] = (Cols){ v[i].first, v[i].count, v[i].lanes, v[i].exact,
                           v[i].mask };
    return;
  }
  d->rows = cv->oh;
  const Layout *y = cv->n->type.layout;
  if (y && (y->halo[2] || y->halo[3])) d->gap = cv->ys[2] - cv->ow;
  bool exact = conv_exact(g, cv, (int)lanes);
  if (full) d->cols[d->ncols++] = (Cols){ 0, full, (int)lanes, exact, -1 };
  if (!rest) return;
  /* The rest overlaps the vector before; not where r may share memory
   * with y. */
  if (full && !cv->r)
    d->cols[d->ncols++] = (Cols){ cv->ow - lanes, 1, (int)lanes, exact, -1 };
  else
    d->cols[d->ncols++] = (Cols){ full * lanes, 1, (int)rest,
                                  conv_exact(g, cv, (int)rest), -1 };
}

static void plan_band(Gen *g, Depth *d) {
  const Conv *cv = d->cv;
  int64_t taps = cv->kh * cv->kw;
  d->unrolled = taps <= TAPS_UNROLLED;
  d->band = 1;
  if (d->unrolled) {
    /* Room for accumulators beside the weights and the row at hand. */
    int64_t room = g->t->vregs - taps - 4;
    d->in_registers = room >= 1;
    if (!d->in_registers) room = g->t->vregs - 6;
    int64_t most = taps <= 9 ? BAND_MAX : BAND_MAX / 2;
    /* A plane beyond L1 comes in better by a few streams at a time. */
    if (4 * cv->h * cv->xs[2] > PLANE_BYTES) most = 2;
    if (room < most) most = room;
    /* Bands of one height where the rows allow it. */
    d->band = (int)ceil_div(d->rows, ceil_div(d->rows, most));
    return;
  }
  uint32_t *t = arena_array(g->a, uint32_t, (size_t)taps);
  for (int64_t i = 0; i < taps; i++) t[i] = (uint32_t)conv_tap(cv, i);
  d->taps = blob_add(g, t, (size_t)taps * sizeof *t, 64);
}

/* ---- code ------------------------------------------------------------ */

/* The vector of x at byte `off` from p.  With stride 2 an odd column takes
 * the odd lanes of the two vectors of the even one, which are loaded once. */
static Val load_x(Gen *g, const Depth *d, const Cols *co, Val p,
                  int64_t off) {
  int s = (int)d->cv->sx, lanes = g->t->lanes, odd[64];
  if (s == 2 && !co->exact && off % 8 == 4 && 2 * co->lanes > lanes) {
    for (int i = 0; i < lanes; i++) odd[i] = 2 * i + 1;
    Val low = load_vec(g, p, off - 4, 4);
    return vshuffle(g, low, load_vec(g, p, off - 4 + 4 * lanes, 4), odd,
                    lanes);
  }
  if (!co->exact) return load_stride(g, p, off, s, co->lanes);
  if (s == 1) return load_lanes(g, p, off, co->lanes);
  Val v = vzero(g);
  for (int l = 0; l < co->lanes; l++)
    v = vinsert(g, v, load_f32(g, p, off + 4 * (int64_t)l * s), l);
  return v;
}

/* The weight of a tap in all lanes; w are those of the channel. */
static Val weight_splat(Gen *g, const Depth *d, Val w, int64_t tap) {
  return vsplat(g, load_weight(g, d->elem, w, d->wbytes * tap));
}

/* Products of a band, taps unrolled: x points at its first tap. */
static void sum_unrolled(Gen *g, const Depth *d, const Cols *co,
                         const Channel *ch, Val x, int band, Val *acc) {
  const Conv *cv = d->cv;
  int64_t last = (band - 1) * cv->sy + (cv->kh - 1) * cv->dy;
  for (int64_t row = 0; row <= last; row++)
    for (int64_t kx = 0; kx < cv->kw; kx++) {
      Val v = NULL;
      for (int64_t r = 0; r < band; r++) {
        int64_t at = row - r * cv->sy;
        if (at < 0 || at % cv->dy || at / cv->dy >= cv->kh) continue;
        int64_t tap = at / cv->dy * cv->kw + kx;
        if (!v)
          v = load_x(g, d, co, x, 4 * (row * cv->xs[2] + kx * cv->dx));
        Val w = d->in_registers ? ch->tap[tap]
                                : weight_splat(g, d, ch->w, tap);
        acc[r] = fma_(g, w, v, acc[r]);
      }
    }
}

/* Products of one row by a loop over the taps. */
static void sum_looped(Gen *g, const Depth *d, const Cols *co,
                       const Channel *ch, Val x, Val *acc) {
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, d->cv->kh * d->cv->kw), 1, true,
             "tap");
  loop_carry(g, &l, acc);
  Val off = load_index(g, addr_at(g, blob_ptr(g, d->taps), l.iv, 4), 0, 4);
  Val v = load_x(g, d, co, addr(g, x, off), 0);
  Val w = weight_splat(g, d, addr_at(g, ch->w, l.iv, d->wbytes), 0);
  *acc = fma_(g, w, v, *acc);
  loop_end(g, &l);
}

/* `band` rows of y from row `oh` on, at column `ow`. */
static void emit_band(Gen *g, const Depth *d, const Cols *co,
                      const Channel *ch, int band, Val oh, Val ow) {
  const Conv *cv = d->cv;
  Val acc[BAND_MAX];
  for (int i = 0; i < band; i++) acc[i] = ch->bias ? ch->bias : vzero(g);
  Val x = addr_in(g, ch->x, oh, 4 * cv->sy * cv->xs[2], ow, 4 * cv->sx);
  Val col = mul64(g, ow, 4);
  Val y = addr(g, ch->y, add64(g, mul64(g, oh, 4 * cv->ys[2]), col));
  Val r = NULL, mask = NULL;
  if (ch->r)
    r = addr(g, ch->r, add64(g, mul64(g, oh, 4 * cv->rs[2]), col));
  if (d->unrolled) sum_unrolled(g, d, co, ch, x, band, acc);
  else sum_looped(g, d, co, ch, x, acc);
  if (co->mask >= 0) {
    /* A mask has one bit a lane: column / 8 bytes. */
    Val at = add64(g, ow, k64(g, -co->first));
    at = g->t->lanes >= 8 ? shr64(g, at, 3) : shr64(g, at, 2);
    mask = addr(g, blob_ptr(g, co->mask), at);
  }
  for (int i = 0; i < band; i++) {
    Val rv = r ? load_lanes(g, r, i * 4 * cv->rs[2], co->lanes) : NULL;
    Val out = epilogue(g, cv->n, acc[i], rv);
    if (mask) out = vmask(g, mask, 0, out);
    store_lanes(g, out, y, i * 4 * cv->ys[2], co->lanes);
  }
}

static void emit_cols(Gen *g, const Depth *d, const Channel *ch, int band,
                      Val oh) {
  for (int i = 0; i < d->ncols; i++) {
    const Cols *co = &d->cols[i];
    Loop l;
    loop_begin(g, &l, k64(g, co->first),
               k64(g, co->first + co->count * g->t->lanes), g->t->lanes,
               true, "col");
    emit_band(g, d, co, ch, band, oh, l.iv);
    loop_end(g, &l);
  }
  if (!d->gap) return;
  /* The pad columns behind each row, and so before the next. */
  Val y = addr_at(g, ch->y, oh, 4 * d->cv->ys[2]);
  for (int i = 0; i < band; i++) {
    int64_t end = i * d->cv->ys[2] + d->cv->ow;
    clear_run(g, y, end, end + d->gap);
  }
}

/* All rows (half < 0), or a half of the bands. */
static void emit_channel(Gen *g, const Depth *d, Channel *ch, int half) {
  int64_t taps = d->cv->kh * d->cv->kw;
  if (d->in_registers)
    for (int64_t i = 0; i < taps; i++)
      ch->tap[i] = weight_splat(g, d, ch->w, i);
  int64_t bands = d->rows / d->band, rest = d->rows % d->band;
  int64_t first = half > 0 ? bands / 2 : 0;
  int64_t end = half == 0 ? bands / 2 : bands;
  Loop l;
  loop_begin(g, &l, k64(g, first * d->band), k64(g, end * d->band), d->band,
             true, "row");
  emit_cols(g, d, ch, d->band, l.iv);
  loop_end(g, &l);
  if (rest && half) emit_cols(g, d, ch, (int)rest, k64(g, bands * d->band));
}

static void emit_channels(Gen *g, const Depth *d, int half, Val x, Val y,
                          Val r) {
  const Conv *cv = d->cv;
  Channel ch = { 0 };
  x = addrk(g, x, -4 * (cv->top * cv->xs[2] + cv->left));
  Val w = value_ptr(g, cv->w), b = cv->b ? value_ptr(g, cv->b) : NULL;
  Loop l;
  loop_share(g, &l, 0, cv->c, 1, "channel");
  ch.x = addr_at(g, x, l.iv, 4 * cv->xs[1]);
  ch.y = addr_at(g, y, l.iv, 4 * cv->ys[1]);
  if (r) ch.r = addr_at(g, r, l.iv, 4 * cv->rs[1]);
  ch.w = addr_at(g, w, l.iv, d->wbytes * cv->kh * cv->kw);
  if (b) ch.bias = vsplat(g, load_f32(g, addr_at(g, b, l.iv, 4), 0));
  emit_channel(g, d, &ch, half);
  loop_end(g, &l);
}

static void emit_image(Gen *g, void *ctx, Val x, Val y, Val r) {
  const Depth *d = ctx;
  bool halves = has_halves(g) && d->rows / d->band >= 2;
  Half half;
  for (int i = halves ? 0 : -1; i < (halves ? 2 : 0); i++) {
    half_begin(g, &half, i);
    emit_channels(g, d, i, x, y, r);
    half_end(g, &half);
  }
}

void emit_conv2d_depthwise(Gen *g, const Node *n) {
  Conv cv;
  conv_init(g, n, &cv);
  ensure(cv.groups == cv.c && cv.c == cv.o);
  Depth d = { .cv = &cv, .elem = type_stored(&cv.w->type) };
  d.wbytes = (int64_t)elem_size(d.elem);
  plan_cols(g, &cv, &d);
  plan_band(g, &d);
  conv_clear_rows(g, &cv);
  conv_images(g, &cv, emit_image, &d);
}
