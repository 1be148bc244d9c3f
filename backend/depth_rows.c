/* depth_rows.c - a depthwise convolution of stride 1 or 2 by bands of rows,
 * where a vector is cheaply made of two others in registers (AVX-512).
 *
 * A row of x is loaded once, as far as a tile of vectors of y reaches, and
 * the vectors of all column taps are made of it: with stride 2 even and odd
 * columns are separated first (the phases of the row), then each tap is a
 * phase shifted by whole lanes.  All rows of the band that want the row of x
 * use them. */
#include "backend/depthwise.h"

#include <string.h>

enum {
  ROW_VECTORS = 4,
  ROW_LOADS = 2 * ROW_VECTORS + 4,
  ROW_AHEAD = 32          /* lines fetched ahead */
};

typedef struct Rows {
  const Depth *d;
  const Conv *cv;
  const Channel *ch;
  int64_t vectors;        /* of a row of y */
  int tile;               /* of them at once */
  int64_t gap;
} Rows;

/* Vectors of y at one place of several rows, and the row of x at hand. */
typedef struct RowTile {
  const Rows *p;
  int n, lanes;           /* vectors; lanes of the last that count */
  bool ends;              /* the row does */
  Val x;                  /* the first tap of the tile's first pixel */
  int64_t row;            /* byte offset of the row of x */
  Val load[ROW_LOADS], phase[2][ROW_VECTORS + 2];
} RowTile;

/* ---- what fits ------------------------------------------------------- */

static int64_t row_vectors(const Gen *g, const Conv *cv) {
  return (cv->ow + g->t->lanes - 1) / g->t->lanes;
}

static bool fits(const Gen *g, const Depth *d) {
  const Conv *cv = d->cv;
  int64_t lanes = g->t->lanes, reach = (cv->kw - 1) * cv->dx;
  if (lanes != 16 || cv->sx > 2 || d->taps > TAPS_UNROLLED ||
      reach / cv->sx >= lanes)
    return false;
  int64_t columns = (cv->ow - 1) * cv->sx + reach + 1;
  columns = (columns + lanes - 1) / lanes * lanes;
  int64_t down = (cv->oh - 1) * cv->sy + (cv->kh - 1) * cv->dy - cv->top;
  return conv_reads(cv, -cv->top * cv->xs[2] - cv->left,
                    down * cv->xs[2] - cv->left + columns);
}

/* A row is one tile where it is short. */
static int tile_of(const Gen *g, const Conv *cv) {
  int64_t n = row_vectors(g, cv);
  return n <= ROW_VECTORS ? (int)n : 2;
}

static int band_of(const Gen *g, const Depth *d) {
  int64_t held = d->in_registers ? d->taps : 2;
  int64_t most = (g->t->vregs - held - 6) / tile_of(g, d->cv);
  return depth_band(d, most > 0 ? most : 1);
}

/* ---- taps of a row --------------------------------------------------- */

static Val row_load(Gen *g, RowTile *t, int64_t i) {
  ensure(i < ROW_LOADS);
  if (!t->load[i])
    t->load[i] = load_vec(g, t->x, t->row + i * 4 * g->t->lanes, 4);
  return t->load[i];
}

/* Lanes of phase f that the tile wants. */
static int64_t phase_lanes(const Gen *g, const RowTile *t, int64_t f) {
  const Conv *cv = t->p->cv;
  int64_t most = 0;
  for (int64_t kx = 0; kx < cv->kw; kx++)
    if (kx * cv->dx % cv->sx == f) most = kx * cv->dx / cv->sx;
  return (t->n - 1) * g->t->lanes + t->lanes + most;
}

/* Vector j of columns f, f + stride, ... of the row. */
static Val row_phase(Gen *g, RowTile *t, int64_t f, int64_t j) {
  int lane[64], lanes = g->t->lanes;
  if (t->p->cv->sx == 1) return row_load(g, t, j);
  if (t->phase[f][j]) return t->phase[f][j];
  int64_t need = phase_lanes(g, t, f) - j * lanes;
  bool one = 2 * (need - 1) + f < lanes;
  for (int i = 0; i < lanes; i++)
    lane[i] = one && i >= need ? -1 : 2 * i + (int)f;
  Val low = row_load(g, t, 2 * j);
  Val high = one ? low : row_load(g, t, 2 * j + 1);
  return t->phase[f][j] = vshuffle(g, low, high, lane, lanes);
}

/* Column tap kx for vector i. */
static Val row_tap(Gen *g, RowTile *t, int64_t i, int64_t kx) {
  const Conv *cv = t->p->cv;
  int lane[64], lanes = g->t->lanes;
  int wanted = i == t->n - 1 ? t->lanes : lanes;
  int by = (int)(kx * cv->dx / cv->sx);
  int64_t f = kx * cv->dx % cv->sx;
  Val low = row_phase(g, t, f, i);
  if (!by) return low;
  for (int k = 0; k < lanes; k++) lane[k] = k < wanted ? k + by : -1;
  bool one = by + wanted <= lanes;
  return vshuffle(g, low, one ? low : row_phase(g, t, f, i + 1), lane,
                  lanes);
}

/* ---- a tile of a band ------------------------------------------------ */

/* Products with one row of x, `row` of those of the band. */
static void row_sum(Gen *g, RowTile *t, int64_t row, int band,
                    Val acc[][ROW_VECTORS]) {
  const Conv *cv = t->p->cv;
  memset(t->load, 0, sizeof t->load);
  memset(t->phase, 0, sizeof t->phase);
  t->row = 4 * row * cv->xs[2];
  for (int64_t kx = 0; kx < cv->kw; kx++)
    for (int i = 0; i < t->n; i++)
      for (int64_t r = 0; r < band; r++) {
        int64_t at = row - r * cv->sy;
        if (at < 0 || at % cv->dy || at / cv->dy >= cv->kh) continue;
        Val w = depth_weight(g, t->p->d, t->p->ch, at / cv->dy * cv->kw + kx);
        acc[r][i] = fma_(g, w, row_tap(g, t, i, kx), acc[r][i]);
      }
}

/* Store a vector at byte offset `off`, with the pad columns behind it if it
 * ends the row. */
static void row_store(Gen *g, const RowTile *t, int i, Val out, Val y,
                      int64_t off) {
  int lane[64], lanes = g->t->lanes, n = lanes;
  bool end = t->ends && i == t->n - 1;
  int64_t gap = t->p->gap;
  if (end) n = t->lanes;
  if (end && gap) {
    int64_t both = n + gap < lanes ? n + gap : lanes;
    for (int k = 0; k < lanes; k++) lane[k] = k < n ? k : lanes + k;
    out = vshuffle(g, out, vzero(g), lane, lanes);
    gap -= both - n, n = (int)both;
  }
  store_lanes(g, out, y, off, n);
  if (end && gap) clear_run(g, y, off / 4 + n, off / 4 + n + gap);
}

/* The rows that the next band has and this one has not, unless there are more
 * lines of them than may be under way at once. */
static void row_prefetch(Gen *g, const RowTile *t, int band) {
  const Conv *cv = t->p->cv;
  int64_t rows = band * cv->sy, n = t->n * g->t->lanes * cv->sx;
  int64_t first = rows + (cv->kh - 1) * cv->dy;
  if (rows * t->n * cv->sx > ROW_AHEAD) return;
  for (int64_t row = first; row < first + rows; row++)
    depth_prefetch(g, t->x, row * cv->xs[2], row * cv->xs[2] + n, false);
}

static void emit_tile(Gen *g, RowTile *t, int band, Val oh, Val ow) {
  const Rows *p = t->p;
  const Conv *cv = p->cv;
  const Channel *ch = p->ch;
  Val acc[BAND_MAX][ROW_VECTORS], r = NULL;
  for (int i = 0; i < band * t->n; i++)
    acc[i / t->n][i % t->n] = ch->bias ? ch->bias : vzero(g);
  Val x = addrk(g, ch->x, -4 * (cv->top * cv->xs[2] + cv->left));
  t->x = addr_in(g, x, oh, 4 * cv->sy * cv->xs[2], ow, 4 * cv->sx);
  Val y = addr_in(g, ch->y, oh, 4 * cv->ys[2], ow, 4);
  if (ch->r) r = addr_in(g, ch->r, oh, 4 * cv->rs[2], ow, 4);
  int64_t last = (band - 1) * cv->sy + (cv->kh - 1) * cv->dy;
  row_prefetch(g, t, band);
  for (int64_t row = 0; row <= last; row++) row_sum(g, t, row, band, acc);
  for (int k = 0; k < band; k++)
    for (int i = 0; i < t->n; i++) {
      int64_t at = i * 4 * g->t->lanes;
      int lanes = i == t->n - 1 ? t->lanes : g->t->lanes;
      Val rv = r ? load_lanes(g, r, 4 * k * cv->rs[2] + at, lanes) : NULL;
      Val out = epilogue(g, cv->n, acc[k][i], rv);
      row_store(g, t, i, out, y, 4 * k * cv->ys[2] + at);
    }
}

static void emit_band(Gen *g, const void *ctx, Val oh, int band) {
  const Rows *p = ctx;
  int64_t lanes = g->t->lanes, whole = (p->vectors - 1) / p->tile * p->tile;
  RowTile t = { .p = p, .n = p->tile, .lanes = (int)lanes };
  if (whole) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, whole * lanes), p->tile * lanes,
               true, "col");
    emit_tile(g, &t, band, oh, l.iv);
    loop_end(g, &l);
  }
  t.n = (int)(p->vectors - whole), t.ends = true;
  t.lanes = (int)(p->cv->ow - (p->vectors - 1) * lanes);
  emit_tile(g, &t, band, oh, k64(g, whole * lanes));
}

static void emit(Gen *g, const Depth *d, const Channel *ch, int half) {
  Rows p = { .d = d, .cv = d->cv, .ch = ch, .gap = depth_gap(d->cv),
             .vectors = row_vectors(g, d->cv), .tile = tile_of(g, d->cv) };
  depth_clear(g, d, ch, half, d->cv->oh * d->cv->ys[2]);
  depth_bands_walk(g, d->cv->oh, band_of(g, d), half, emit_band, &p);
}

static bool halves(const Gen *g, const Depth *d) {
  return d->cv->oh / band_of(g, d) >= 2;
}

const DepthForm depth_rows = { 16, fits, emit, halves };
