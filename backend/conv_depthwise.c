/* conv_depthwise.c - conv2d_depthwise: one channel at a time on planes,
 * groups = C = O.
 *
 * Which form is taken depends on the map, see the files of the forms: the
 * plane as one line, small planes packed into registers, rows whose columns
 * are shifted in registers, and bands of rows for all others. */
#include "backend/depthwise.h"

/* Planes beyond L1 come in better by a few streams at a time. */
enum { PLANE_BYTES = 32 << 10 };

Val depth_weight(Gen *g, const Depth *d, const Channel *ch, int64_t tap) {
  if (ch->tap[tap]) return ch->tap[tap];
  return vsplat(g, load_weight(g, d->elem, ch->w, d->wbytes * tap));
}

int64_t depth_gap(const Conv *cv) {
  const Layout *y = cv->n->type.layout;
  return y && (y->halo[2] || y->halo[3]) ? cv->ys[2] - cv->ow : 0;
}

void depth_prefetch(Gen *g, Val plane, int64_t from, int64_t to,
                    bool write) {
  prefetch_lines(g, plane, 4 * from, 4 * to, write);
}

void depth_clear(Gen *g, const Depth *d, const Channel *ch, int half,
                 int64_t from) {
  const Layout *y = d->cv->n->type.layout;
  PlaneEnd e;
  if (!y) return;
  int64_t pitch = d->cv->ys[2], end = (d->cv->oh + y->halo[1]) * pitch;
  if (plane_end(g, d->cv->n, &e)) end = e.own;
  if (half <= 0) clear_run(g, ch->y, -y->halo[0] * pitch - y->halo[2], 0);
  if (half) clear_run(g, ch->y, from, end);
}

int depth_rows_cut(int64_t rows, int64_t most) {
  int64_t bands = (rows + most - 1) / most;
  return (int)((rows + bands - 1) / bands);
}

int depth_band(const Depth *d, int64_t most) {
  const Conv *cv = d->cv;
  int64_t band = d->taps <= 9 ? BAND_MAX : BAND_MAX / 2;
  if (4 * cv->h * cv->xs[2] > PLANE_BYTES) band = 2;
  return depth_rows_cut(cv->oh, most < band ? most : band);
}

void depth_bands_walk(Gen *g, int64_t rows, int band, int half,
                      BandBody *body, const void *ctx) {
  int64_t bands = rows / band, rest = rows % band;
  int64_t first = half > 0 ? bands / 2 : 0;
  int64_t end = half == 0 ? bands / 2 : bands;
  Loop l;
  loop_begin(g, &l, k64(g, first * band), k64(g, end * band), band, true,
             "row");
  body(g, ctx, l.iv, band);
  loop_end(g, &l);
  if (rest && half) body(g, ctx, k64(g, bands * band), (int)rest);
}

/* ---- all channels ---------------------------------------------------- */

typedef struct Whole { const Depth *d; const DepthForm *form; } Whole;

static void emit_channels(Gen *g, const Whole *w, int half, Val x, Val y,
                          Val r) {
  const Depth *d = w->d;
  const Conv *cv = d->cv;
  Channel ch = { 0 };
  Val weights = value_ptr(g, cv->w), b = cv->b ? value_ptr(g, cv->b) : NULL;
  Loop l;
  loop_share(g, &l, 0, cv->c, 1, "channel");
  ch.x = addr_at(g, x, l.iv, 4 * cv->xs[1]);
  ch.y = addr_at(g, y, l.iv, 4 * cv->ys[1]);
  if (r) ch.r = addr_at(g, r, l.iv, 4 * cv->rs[1]);
  ch.w = addr_at(g, weights, l.iv, d->wbytes * d->taps);
  if (b) ch.bias = vsplat(g, load_f32(g, addr_at(g, b, l.iv, 4), 0));
  for (int64_t i = 0; d->in_registers && i < d->taps; i++)
    ch.tap[i] = depth_weight(g, d, &ch, i);
  w->form->emit(g, d, &ch, half);
  loop_end(g, &l);
}

static void emit_image(Gen *g, void *ctx, Val x, Val y, Val r) {
  const Whole *w = ctx;
  bool halves = has_halves(g) && w->form->halves(g, w->d);
  Half half;
  for (int i = halves ? 0 : -1; i < (halves ? 2 : 0); i++) {
    half_begin(g, &half, i);
    emit_channels(g, w, i, x, y, r);
    half_end(g, &half);
  }
}

void emit_conv2d_depthwise(Gen *g, const Node *n) {
  static const DepthForm *const forms[] = { &depth_line, &depth_packed,
                                            &depth_rows, &depth_bands };
  Conv cv;
  conv_init(g, n, &cv);
  ensure(cv.groups == cv.c && cv.c == cv.o);
  Depth d = { .cv = &cv, .elem = weight_elem(g, cv.w, false),
              .taps = cv.kh * cv.kw };
  d.wbytes = (int64_t)elem_size(d.elem);
  Whole w = { &d, NULL };
  for (int i = 0; !w.form; i++) {
    d.in_registers = d.taps <= TAPS_UNROLLED &&
                     d.taps + forms[i]->wants <= g->t->vregs;
    if (forms[i]->fits(g, &d)) w.form = forms[i];
  }
  PlaneEnd e;
  if (plane_end(g, n, &e)) clear_tail(g, n, &e);
  conv_images(g, &cv, emit_image, &w);
}
