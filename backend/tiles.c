/* tiles.c - geometry of convolutions on planes: which vectors cover an
 * output plane, where their operands lie, and how results are stored.
 *
 * When stride is 1 and all operands have one pitch, an output plane is one
 * line of vectors ("flat") and every tap is a constant offset; pad columns
 * are computed too and masked to zero where the output has a halo.
 * Otherwise vectors run along output rows and a table holds their places. */
#include "backend/tiles.h"

#include <string.h>

/* First and last element a buffer may be read at, from element 0. */
static void bounds(const Node *n, int64_t *lo, int64_t *hi) {
  const Layout *l = n->type.layout;
  *lo = l ? -l->origin : 0;
  *hi = (l ? l->size - l->origin : type_elems(&n->type)) - 1;
}

static void ensure_halo(const Conv *cv) {
  const Layout *l = cv->x->type.layout;
  int64_t none[4] = { 0 }, have[4];
  for (int i = 0; i < 4; i++) have[i] = l ? l->halo[i] : none[i];
  int64_t down = (cv->oh - 1) * cv->sy + (cv->kh - 1) * cv->dy - cv->top;
  int64_t right = (cv->ow - 1) * cv->sx + (cv->kw - 1) * cv->dx - cv->left;
  ensure(have[0] >= cv->top && have[1] >= down - (cv->h - 1));
  ensure(have[2] >= cv->left && have[3] >= right - (cv->wd - 1));
}

int64_t conv_tap(const Conv *cv, int64_t i) {
  int64_t ky = i / cv->kw, kx = i % cv->kw;
  return 4 * (ky * cv->dy * cv->xs[2] + kx * cv->dx);
}

int64_t conv_taps(Gen *g, const Conv *cv) {
  int64_t n = cv->kh * cv->kw;
  uint32_t *t = arena_array(g->a, uint32_t, (size_t)n);
  for (int64_t i = 0; i < n; i++) t[i] = (uint32_t)conv_tap(cv, i);
  return blob_add(g, t, (size_t)n * sizeof *t, 64);
}

/* Whether the plane can be walked as one line without reading outside. */
static bool flat_fits(const Gen *g, const Conv *cv) {
  int64_t pitch = cv->ys[2], lo, hi, lanes = g->t->lanes;
  if (cv->sy != 1 || cv->sx != 1 || cv->xs[2] != pitch) return false;
  if (cv->r && cv->rs[2] != pitch) return false;
  int64_t end = (cv->oh * pitch + lanes - 1) / lanes * lanes - 1;
  int64_t x0 = -cv->top * pitch - cv->left;
  bounds(cv->x, &lo, &hi);
  int64_t last = (cv->batch - 1) * cv->xs[0] + (cv->c - 1) * cv->xs[1];
  if (x0 < lo) return false;
  if (last + x0 + end + conv_tap(cv, cv->kh * cv->kw - 1) / 4 > hi)
    return false;
  if (!cv->r) return true;
  bounds(cv->r, &lo, &hi);
  return (cv->batch - 1) * cv->rs[0] + (cv->o - 1) * cv->rs[1] + end <= hi;
}

void conv_init(const Gen *g, const Node *n, Conv *cv) {
  memset(cv, 0, sizeof *cv);
  cv->n = n;
  cv->x = n->in[0];
  cv->w = n->in[1];
  cv->b = node_operand(n, "b");
  cv->r = node_operand(n, "r");
  const int64_t *xd = cv->x->type.dim, *wd = cv->w->type.dim;
  const int64_t *yd = n->type.dim;
  int count;
  const int64_t *stride = attr_ints(n, "stride", &count);
  const int64_t *pad = attr_ints(n, "pad", &count);
  const int64_t *dil = attr_ints(n, "dilation", &count);
  cv->batch = xd[0], cv->c = xd[1], cv->h = xd[2], cv->wd = xd[3];
  cv->o = yd[1], cv->oh = yd[2], cv->ow = yd[3];
  cv->groups = attr_int(n, "groups");
  cv->cg = cv->c / cv->groups, cv->og = cv->o / cv->groups;
  cv->kh = wd[2], cv->kw = wd[3];
  cv->sy = stride[0], cv->sx = stride[1];
  cv->dy = dil[0], cv->dx = dil[1];
  cv->top = pad[0], cv->left = pad[1];
  value_strides(cv->x, cv->xs);
  value_strides(n, cv->ys);
  if (cv->r) value_strides(cv->r, cv->rs);
  ensure(cv->xs[3] == 1 || cv->wd == 1);
  ensure(cv->ys[3] == 1 || cv->ow == 1);
  ensure(!cv->r || cv->rs[3] == 1 || cv->ow == 1);
  ensure_halo(cv);
  cv->flat = flat_fits(g, cv);
}

static void token_strides(const Node *n, int64_t tokens, int64_t s[4]) {
  int64_t plane;
  ensure(type_is_tokens(&n->type, &plane));
  s[0] = s[2] = tokens, s[1] = plane, s[3] = 1;
}

void conv_init_tokens(const Gen *g, const Node *n, Conv *cv) {
  memset(cv, 0, sizeof *cv);
  cv->n = n;
  cv->x = n->in[0];
  cv->w = n->in[1];
  cv->b = node_operand(n, "b");
  cv->r = node_operand(n, "r");
  cv->o = cv->og = cv->w->type.dim[0], cv->c = cv->cg = cv->w->type.dim[1];
  cv->wd = cv->ow = type_elems(&n->type) / cv->o;
  cv->batch = cv->h = cv->oh = cv->groups = 1;
  cv->kh = cv->kw = cv->sy = cv->sx = cv->dy = cv->dx = 1;
  token_strides(cv->x, cv->wd, cv->xs);
  token_strides(n, cv->wd, cv->ys);
  if (cv->r) token_strides(cv->r, cv->wd, cv->rs);
  cv->flat = flat_fits(g, cv);
}

/* ---- covering the plane ---------------------------------------------- */

static bool has_halo(const Node *n) {
  const Layout *l = n->type.layout;
  return l && (l->halo[0] || l->halo[1] || l->halo[2] || l->halo[3]);
}

/* Masks of the lanes that are pixels, for `count` vectors of the line. */
static int64_t mask_table(Gen *g, const Conv *cv, int64_t count) {
  int lanes = g->t->lanes, bytes = mask_bytes(g);
  uint8_t *m = arena_array(g->a, uint8_t, (size_t)(count * bytes));
  for (int64_t q = 0; q < count * lanes; q++) {
    int lane = (int)(q % lanes);
    bool pixel = q % cv->ys[2] < cv->ow && q / cv->ys[2] < cv->oh;
    if (pixel) m[q / lanes * bytes + lane / 8] |= (uint8_t)(1 << lane % 8);
  }
  return blob_add(g, m, (size_t)(count * bytes), 64);
}

/* How far into its plane y begins, where it is some rows of it. */
static int64_t rows_above(const Gen *g, const Conv *cv) {
  const Layout *l = cv->n->type.layout;
  if (!l) return 0;
  int64_t lanes = g->t->lanes, halo = l->halo[0] * cv->ys[2] + l->halo[2];
  int64_t above = l->origin - (halo + lanes - 1) / lanes * lanes;
  return above < 0 ? 0 : above;
}

static int flat_vectors(Gen *g, const Conv *cv, Vectors out[2]) {
  int64_t lo, hi, lanes = g->t->lanes, line = cv->oh * cv->ys[2];
  int64_t whole = (line + lanes - 1) / lanes;
  bounds(cv->n, &lo, &hi);
  int64_t last = (cv->batch - 1) * cv->ys[0] + (cv->o - 1) * cv->ys[1];
  /* The last vector may lie over the end when nobody else's data is hit: the
   * gap behind the plane is ours, and rows of it that are computed later. */
  bool over = last + whole * lanes - 1 <= hi &&
              whole * lanes <= cv->ys[1] - rows_above(g, cv);
  int64_t full = over ? whole : line / lanes;
  bool masked = has_halo(cv->n);
  int64_t mask = masked ? mask_table(g, cv, whole) : -1;
  int n = 0;
  if (full)
    out[n++] = (Vectors){ full, (int)lanes, false, 0, -1, mask, -1 };
  if (full < whole)
    out[n++] = (Vectors){ 1, (int)(line - full * lanes), false,
                          full * lanes, -1,
                          masked ? mask + full * mask_bytes(g) : -1, -1 };
  return n;
}

bool conv_reads(const Conv *cv, int64_t first, int64_t end) {
  int64_t lo, hi;
  bounds(cv->x, &lo, &hi);
  int64_t last = (cv->batch - 1) * cv->xs[0] + (cv->c - 1) * cv->xs[1];
  return first >= lo && last + end - 1 <= hi;
}

bool conv_exact(const Gen *g, const Conv *cv, int lanes) {
  int64_t lo, hi, extra = g->t->lanes - lanes;
  int64_t over = cv->sx == 1 ? extra
                 : cv->sx == 2
                   ? (2 * lanes <= g->t->lanes ? g->t->lanes
                                               : 2 * g->t->lanes) -
                       (2 * lanes - 1)
                   : 0;
  bounds(cv->x, &lo, &hi);
  int64_t right = (cv->ow - 1) * cv->sx + (cv->kw - 1) * cv->dx - cv->left;
  int64_t down = (cv->oh - 1) * cv->sy + (cv->kh - 1) * cv->dy - cv->top;
  int64_t last = (cv->batch - 1) * cv->xs[0] + (cv->c - 1) * cv->xs[1] +
                 down * cv->xs[2] + right;
  return last + over > hi;
}

/* Vectors of one row starting at columns from, from+step, ... */
static Vectors row_vectors(Gen *g, const Conv *cv, int64_t per_row,
                           const int64_t *col, int lanes) {
  int64_t count = cv->oh * per_row;
  uint32_t *t = arena_array(g->a, uint32_t, (size_t)(3 * count));
  for (int64_t i = 0; i < count; i++) {
    int64_t y = i / per_row, x = col[i % per_row];
    t[3 * i] = (uint32_t)(4 * (y * cv->sy * cv->xs[2] + x * cv->sx));
    t[3 * i + 1] = (uint32_t)(4 * (y * cv->ys[2] + x));
    t[3 * i + 2] = (uint32_t)(4 * (y * cv->rs[2] + x));
  }
  int64_t at = blob_add(g, t, (size_t)count * 12, 64);
  return (Vectors){ count, lanes, conv_exact(g, cv, lanes), 0, at, -1, -1 };
}

int conv_vectors(Gen *g, const Conv *cv, Vectors out[2]) {
  if (cv->flat) return flat_vectors(g, cv, out);
  int64_t lanes = g->t->lanes, full = cv->ow / lanes, rest = cv->ow % lanes;
  int64_t *col = arena_array(g->a, int64_t, (size_t)full + 1);
  for (int64_t i = 0; i < full; i++) col[i] = i * lanes;
  /* The rest of a row as one more whole vector that overlaps the one
   * before; not with a residual, which may share y's memory. */
  if (full && rest && !cv->r) {
    col[full] = cv->ow - lanes;
    out[0] = row_vectors(g, cv, full + 1, col, (int)lanes);
    return 1;
  }
  int n = 0;
  if (full) out[n++] = row_vectors(g, cv, full, col, (int)lanes);
  if (rest) {
    int64_t at = full * lanes;
    out[n++] = row_vectors(g, cv, 1, &at, (int)rest);
  }
  return n;
}

/* Vectors [from, to) of v. */
static Vectors vectors_slice(const Gen *g, const Vectors *v, int64_t from,
                             int64_t to, int half) {
  Vectors s = *v;
  s.count = to - from;
  s.half = half;
  s.first += from * g->t->lanes;
  if (v->table >= 0) s.table += 12 * from;
  if (v->mask >= 0) s.mask += from * mask_bytes(g);
  return s;
}

int conv_halves(Gen *g, const Conv *cv, int t, Vectors out[VECTORS_MOST]) {
  int n = conv_vectors(g, cv, out), count = 0;
  int64_t few = 4, middle = out[0].count / 2;
  if (!has_halves(g) || cv->groups > 1 || out[0].count < few ||
      out[0].count / t >= 2 * g->parts)
    return n;
  Vectors all[2] = { out[0], out[1] };
  out[count++] = vectors_slice(g, &all[0], 0, middle, 0);
  out[count++] = vectors_slice(g, &all[0], middle, all[0].count, 1);
  if (n < 2) return count;
  /* Rests of rows, if there are several, or the end of the line. */
  middle = all[1].count / 2;
  if (middle) out[count++] = vectors_slice(g, &all[1], 0, middle, 0);
  out[count++] = vectors_slice(g, &all[1], middle, all[1].count, 1);
  return count;
}

int half_tile(const Vectors *v, int t) {
  if (v->half < 0) return t;
  int64_t tiles = (v->count + t - 1) / t;
  return (int)((v->count + tiles - 1) / tiles);
}

/* ---- clearing the halo ----------------------------------------------- */

/* The pads of the rows themselves are the masked lanes of the line.  What is
 * cleared here is the plane's own and not a pixel's of the next, which
 * another part may have written. */
static void clear_rows(Gen *g, const Conv *cv, int64_t from) {
  const Layout *l = cv->n->type.layout;
  PlaneEnd e;
  bool own = plane_end(g, cv->n, &e);
  if (!own && !has_halo(cv->n)) return;
  int64_t pitch = cv->ys[2], line = cv->oh * pitch;
  int64_t top = l->halo[0] * pitch + l->halo[2];
  int64_t end = own ? e.own : line + l->halo[1] * pitch;
  Loop image, plane;
  loop_begin(g, &image, k64(g, 0), k64(g, cv->batch), 1, true, "image");
  Val at = addr_at(g, value_ptr(g, cv->n), image.iv, 4 * cv->ys[0]);
  loop_share(g, &plane, 0, cv->o, 1, "plane");
  Val p = addr_at(g, at, plane.iv, 4 * cv->ys[1]);
  clear_run(g, p, -top, 0);
  clear_run(g, p, from, end);
  loop_end(g, &plane);
  loop_end(g, &image);
  if (own) clear_tail(g, cv->n, &e);
}

void conv_clear(Gen *g, const Conv *cv) {
  Vectors v[2];
  if (!cv->flat) {
    clear_halo(g, cv->n);
    return;
  }
  /* Behind the vectors' stores, over the end of the line or not. */
  int n = flat_vectors(g, cv, v);
  const Vectors *last = &v[n - 1];
  clear_rows(g, cv, last->first + (last->count - 1) * g->t->lanes +
                        last->lanes);
}

/* ---- tiles ----------------------------------------------------------- */

void conv_spots(Gen *g, const Conv *cv, const Vectors *vs, Val v, int t,
                Val x, Val y, Val r, Spots *s) {
  ensure(t <= TILE_MAX);
  s->t = t;
  s->v = vs;
  s->mask = NULL;
  x = addrk(g, x, -4 * (cv->top * cv->xs[2] + cv->left));
  if (vs->table >= 0) {
    Val row = addr_at(g, blob_ptr(g, vs->table), v, 12);
    for (int i = 0; i < t; i++) {
      s->x[i] = addr(g, x, load_index(g, row, 12 * i, 4));
      s->y[i] = addr(g, y, load_index(g, row, 12 * i + 4, 4));
      s->r[i] = r ? addr(g, r, load_index(g, row, 12 * i + 8, 4)) : NULL;
    }
    return;
  }
  int64_t step = 4 * g->t->lanes;
  Val off = add64(g, mul64(g, v, step), k64(g, 4 * vs->first));
  if (vs->mask >= 0)
    s->mask = addr_at(g, blob_ptr(g, vs->mask), v, mask_bytes(g));
  for (int i = 0; i < t; i++) {
    s->x[i] = addrk(g, addr(g, x, off), i * step);
    s->y[i] = addrk(g, addr(g, y, off), i * step);
    s->r[i] = r ? addrk(g, addr(g, r, off), i * step) : NULL;
  }
}

void conv_tiles(Gen *g, const Conv *cv, const Vectors *v, int t, bool share,
                const Image *im, TileBody *body, const void *ctx) {
  int64_t whole = v->count / t * t;
  Spots s;
  if (whole) {
    Loop l;
    loop_either(g, &l, share, 0, whole, t, "tile");
    conv_spots(g, cv, v, l.iv, t, im->x, im->y, im->r, &s);
    body(g, ctx, &s);
    loop_end(g, &l);
  }
  if (whole == v->count) return;
  Once last;
  once_either(g, &last, share);
  conv_spots(g, cv, v, k64(g, whole), (int)(v->count - whole), im->x, im->y,
             im->r, &s);
  body(g, ctx, &s);
  once_end(g, &last);
}

Val spot_load(Gen *g, const Conv *cv, const Spots *s, int i, Val off) {
  Val p = addr(g, s->x[i], off);
  if (!s->v->exact) return load_stride(g, p, 0, (int)cv->sx, s->v->lanes);
  if (cv->sx == 1) return load_lanes(g, p, 0, s->v->lanes);
  Val v = vzero(g);
  for (int l = 0; l < s->v->lanes; l++)
    v = vinsert(g, v, load_f32(g, p, 4 * l * cv->sx), l);
  return v;
}

void spot_store(Gen *g, const Conv *cv, const Spots *s, int i, Val acc,
                Val plane) {
  Val r = NULL;
  if (cv->r)
    r = load_lanes(g, addr_at(g, s->r[i], plane, 4 * cv->rs[1]), 0,
                   s->v->lanes);
  Val out = epilogue(g, cv->n, acc, r);
  if (s->mask) out = vmask(g, s->mask, i * mask_bytes(g), out);
  store_lanes(g, out, addr_at(g, s->y[i], plane, 4 * cv->ys[1]), 0,
              s->v->lanes);
}

int64_t conv_x_bytes(const Conv *cv) { return 4 * cv->c * cv->xs[1]; }

int64_t conv_y_bytes(const Conv *cv) { return 4 * cv->o * cv->ys[1]; }

static int64_t tile_bytes(const Gen *g, const Spots *s) {
  return 4 * (int64_t)g->t->lanes * s->t;
}

void spots_ask_x(Gen *g, const Spots *s, Val off, int64_t more) {
  int64_t next = more + tile_bytes(g, s);
  prefetch_lines(g, addr(g, s->x[0], off), next, next + tile_bytes(g, s),
                 false);
}

void spots_ask_y(Gen *g, const Conv *cv, const Spots *s, Val plane) {
  prefetch_lines(g, addr_at(g, s->y[0], plane, 4 * cv->ys[1]), 0,
                 tile_bytes(g, s), true);
}

Panels panels_cut(int64_t rows, int most) {
  Panels p = { { 0, 0 }, { 0, 0 } };
  int64_t count = (rows + most - 1) / most;
  int64_t small = rows / count, big = rows % count;
  p.size[0] = (int)(big ? small + 1 : small);
  p.n[0] = big ? big : count;
  p.size[1] = (int)small;
  p.n[1] = count - p.n[0];
  return p;
}

void conv_images(Gen *g, const Conv *cv, ImageBody *body, void *ctx) {
  Val x = value_ptr(g, cv->x), y = value_ptr(g, cv->n);
  Val r = cv->r ? value_ptr(g, cv->r) : NULL;
  if (cv->batch == 1) {
    body(g, ctx, x, y, r);
    return;
  }
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, cv->batch), 1, true, "image");
  x = addr_at(g, x, l.iv, 4 * cv->xs[0]);
  y = addr_at(g, y, l.iv, 4 * cv->ys[0]);
  if (r) r = addr_at(g, r, l.iv, 4 * cv->rs[0]);
  body(g, ctx, x, y, r);
  loop_end(g, &l);
}
