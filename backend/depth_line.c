/* depth_line.c - a plane of a depthwise convolution of stride 1 as one line
 * of vectors, where a vector is cheaply made of two neighbours in registers
 * (AVX-512).
 *
 * Column kx of the kernel is summed up over its rows first, at the place of
 * the output, and the sums are shifted afterwards:
 *   A_kx[q] = sum over ky of w[ky][kx] * x[q + (ky*dy - top)*pitch]
 *   y[q]    = sum over kx of A_kx[q + kx*dx - left]
 * Rows of 3x3 take 3 loads, 9 products, 2 shifts and an addition a vector
 * in place of 9 loads, most of which cross a cache line; results lie on
 * lines of the cache.  A shift wants the sum of the vector before, which is
 * carried on, or of the one behind, which is computed one turn ahead.  What
 * a pixel's taps read beyond the line are pads, so zeros.
 *
 * A small plane is one tile, all of whose places are known: what lies above
 * and below it is not read. */
#include "backend/depthwise.h"

enum {
  LINE_WHOLE = 16,        /* vectors of a plane that is one tile */
  LINE_TILE = 8,          /* of a tile of others */
  LINE_PRODUCTS = 160,    /* most of a tile, so that code stays small */
  LINE_KNOWN = 128,
  /* How far ahead lines are fetched, in elements of the line: those of y to
   * be written, since stores wait for one another, and x. */
  AHEAD_X = 512, AHEAD_Y = 128, AHEAD_PLANES = 2
};

typedef struct Line {
  const Depth *d;
  const Conv *cv;
  const Channel *ch;
  int64_t vectors, mask;  /* mask: blob offset, or -1 */
  int lanes;              /* of the last vector */
  bool whole;             /* the plane is one tile */
  Val x, y, r, masks;     /* where the tile at hand begins */
  Val carry[TAPS_UNROLLED];   /* by column: its sum in the vector before, or
                                 here where the one behind is shifted in */
  int known;              /* vectors of x the tile has, by their place */
  int64_t place[LINE_KNOWN];
  Val loaded[LINE_KNOWN];
} Line;

/* ---- what fits ------------------------------------------------------- */

static int64_t shift_of(const Conv *cv, int64_t kx) {
  return kx * cv->dx - cv->left;
}

static int64_t vectors_of(const Gen *g, const Conv *cv) {
  return (cv->oh * cv->ys[2] + g->t->lanes - 1) / g->t->lanes;
}

static bool is_whole(const Gen *g, const Depth *d) {
  return vectors_of(g, d->cv) <= LINE_WHOLE;
}

static bool fits(const Gen *g, const Depth *d) {
  const Conv *cv = d->cv;
  int64_t lanes = g->t->lanes, pitch = cv->xs[2];
  if (lanes != 16 || !cv->flat || d->taps > TAPS_UNROLLED || cv->kw == 1)
    return false;
  int64_t right = shift_of(cv, cv->kw - 1), end = vectors_of(g, cv) * lanes;
  if (cv->left >= lanes || right >= lanes || right <= -lanes) return false;
  int64_t down = (cv->kh - 1) * cv->dy - cv->top;
  int64_t plane = (cv->h * pitch + lanes - 1) / lanes * lanes;
  if (down > 0) end += down * pitch;
  if (end < plane && is_whole(g, d)) end = plane;
  return conv_reads(cv, -cv->top * pitch, end);
}

/* ---- a tile ---------------------------------------------------------- */

static Val or_zero(Gen *g, Val v) { return v ? v : vzero(g); }

static Val line_load(Gen *g, Line *l, int64_t at) {
  for (int i = 0; i < l->known; i++)
    if (l->place[i] == at) return l->loaded[i];
  ensure(l->known < LINE_KNOWN);
  Val v = load_vec(g, l->x, 4 * at, 4);
  l->place[l->known] = at;
  return l->loaded[l->known++] = v;
}

/* The vector of x at an element of the line, counted from the tile; NULL
 * where it is zero in all lanes that count.  Halves of two vectors are taken
 * from those, since both are wanted by other rows. */
static Val line_x(Gen *g, Line *l, int64_t at) {
  int lanes = g->t->lanes, half = lanes / 2, lane[64];
  if (!l->whole) return line_load(g, l, at);
  if (at + lanes <= 0 || at >= l->cv->h * l->cv->xs[2]) return NULL;
  if (at % half || at % lanes == 0) return line_load(g, l, at);
  for (int i = 0; i < lanes; i++) lane[i] = half + i;
  Val low = line_x(g, l, at - half), high = line_x(g, l, at + half);
  return vshuffle(g, or_zero(g, low), or_zero(g, high), lane, lanes);
}

/* The sum of a column for vector i of the tile, added to `sum` (NULL: 0). */
static Val column(Gen *g, Line *l, int64_t i, int64_t kx, Val sum) {
  const Conv *cv = l->cv;
  for (int64_t ky = 0; ky < cv->kh; ky++) {
    int64_t row = (ky * cv->dy - cv->top) * cv->xs[2];
    Val v = line_x(g, l, i * g->t->lanes + row);
    if (!v) continue;
    Val w = depth_weight(g, l->d, l->ch, ky * cv->kw + kx);
    sum = sum ? fma_(g, w, v, sum) : LLVMBuildFMul(g->b, w, v, "");
  }
  return sum;
}

/* A column's sum from its beginning; the first column begins with the bias,
 * in all lanes and so beyond the line too. */
static Val column_begin(Gen *g, Line *l, int64_t i, int64_t kx) {
  return or_zero(g, column(g, l, i, kx, kx ? NULL : l->ch->bias));
}

static Val column_beyond(Gen *g, const Line *l, int64_t kx) {
  return or_zero(g, kx ? NULL : l->ch->bias);
}

/* Lanes by, by + 1, ... of a vector and the one behind. */
static Val shift(Gen *g, Val a, Val b, int64_t by) {
  int lane[64], lanes = g->t->lanes;
  for (int i = 0; i < lanes; i++) lane[i] = (int)by + i;
  return vshuffle(g, a, b, lane, lanes);
}

/* The column at the output's place for vector i; `last`: of the plane. */
static Val shifted(Gen *g, Line *l, int64_t i, int64_t kx, bool last) {
  int64_t by = shift_of(l->cv, kx);
  Val was = l->carry[kx];
  if (by < 0) {
    l->carry[kx] = column_begin(g, l, i, kx);
    return shift(g, was, l->carry[kx], g->t->lanes + by);
  }
  l->carry[kx] = last ? column_beyond(g, l, kx)
                      : column_begin(g, l, i + 1, kx);
  return shift(g, was, l->carry[kx], by);
}

static void store(Gen *g, const Line *l, int64_t i, int lanes, Val sum) {
  int64_t at = i * 4 * g->t->lanes;
  Val r = l->r ? load_lanes(g, l->r, at, lanes) : NULL;
  Val out = epilogue(g, l->cv->n, sum, r);
  if (l->masks) out = vmask(g, l->masks, i * mask_bytes(g), out);
  store_lanes(g, out, l->y, at, lanes);
}

/* n vectors; `ends`: with the last of the plane. */
static void tile(Gen *g, Line *l, int64_t n, bool ends) {
  const Conv *cv = l->cv;
  for (int64_t i = 0; i < n; i++) {
    bool last = ends && i == n - 1;
    Val sum = l->ch->bias;
    for (int64_t kx = 0; kx < cv->kw; kx++) {
      if (shift_of(cv, kx) == 0) {
        sum = or_zero(g, column(g, l, i, kx, sum));
        continue;
      }
      Val v = shifted(g, l, i, kx, last);
      sum = kx ? addf(g, sum, v) : v;
    }
    store(g, l, i, last ? l->lanes : g->t->lanes, sum);
  }
}

/* ---- tiles of a plane ------------------------------------------------ */

/* The next tile begins with vector v. */
static void tile_at(Gen *g, Line *l, Val v) {
  int64_t step = 4 * g->t->lanes;
  l->known = 0;
  l->x = addr_at(g, l->ch->x, v, step);
  l->y = addr_at(g, l->ch->y, v, step);
  if (l->ch->r) l->r = addr_at(g, l->ch->r, v, step);
  if (l->mask >= 0)
    l->masks = addr_at(g, blob_ptr(g, l->mask), v, mask_bytes(g));
}

/* What vector number `first` is handed over. */
static void carry_begin(Gen *g, Line *l, int64_t first) {
  for (int64_t kx = 0; kx < l->cv->kw; kx++) {
    int64_t by = shift_of(l->cv, kx);
    if (by == 0) continue;
    l->carry[kx] = by < 0 && first == 0
                     ? column_beyond(g, l, kx)
                     : column_begin(g, l, by < 0 ? -1 : 0, kx);
  }
}

static void line_prefetch(Gen *g, const Line *l, int64_t n) {
  depth_prefetch(g, l->x, AHEAD_X, AHEAD_X + n, false);
  depth_prefetch(g, l->y, AHEAD_Y, AHEAD_Y + n, true);
}

/* Vectors [first, end): tiles in a loop, and the last one. */
static void span(Gen *g, Line *l, int64_t first, int64_t end) {
  int64_t size = LINE_PRODUCTS / l->d->taps;
  if (size > LINE_TILE) size = LINE_TILE;
  if (l->whole) size = end;
  int64_t rest = (end - first - 1) / size * size;
  tile_at(g, l, k64(g, first));
  carry_begin(g, l, first);
  if (rest) {
    Loop loop;
    loop_begin(g, &loop, k64(g, first), k64(g, first + rest), size, true,
               "tile");
    for (int64_t kx = 0; kx < l->cv->kw; kx++)
      if (l->carry[kx]) loop_carry(g, &loop, &l->carry[kx]);
    tile_at(g, l, loop.iv);
    line_prefetch(g, l, size * g->t->lanes);
    tile(g, l, size, false);
    loop_end(g, &loop);
    tile_at(g, l, k64(g, first + rest));
  }
  tile(g, l, end - first - rest, end == l->vectors);
}

static void emit(Gen *g, const Depth *d, const Channel *ch, int half) {
  Vectors v[2];
  int kinds = conv_vectors(g, d->cv, v);
  Line l = { .d = d, .cv = d->cv, .ch = ch, .mask = v[0].mask,
             .vectors = vectors_of(g, d->cv), .lanes = v[kinds - 1].lanes,
             .whole = is_whole(g, d) };
  /* A last vector that is whole has zeros of the halo. */
  bool over = l.lanes == g->t->lanes;
  depth_clear(g, d, ch, half, over ? l.vectors * g->t->lanes
                                   : d->cv->oh * d->cv->ys[2]);
  if (l.whole)
    depth_prefetch(g, ch->y, AHEAD_PLANES * d->cv->ys[1],
                   AHEAD_PLANES * d->cv->ys[1] + l.vectors * g->t->lanes,
                   true);
  int64_t middle = l.vectors / 2;
  span(g, &l, half > 0 ? middle : 0, half == 0 ? middle : l.vectors);
}

static bool halves(const Gen *g, const Depth *d) { return !is_whole(g, d); }

const DepthForm depth_line = { 12, fits, emit, halves };
