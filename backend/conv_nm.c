/* conv_nm.c - conv2d_nm: convolution on planes, and linear layers on tokens,
 * with weights that have N nonzeros in each run of 4 columns.
 *
 * Which N of the 4 columns a row wants is one of a few cases.  For a tile of
 * T vectors of pixels and a panel of rows, whose sums lie on the stack in the
 * first cache, each run takes the rows of one case after the other: the N
 * columns of x stay in registers for all of them, a row takes N weights, and
 * N products for each load and store of a sum.  Rows of a case are a counted
 * loop; the longer it is, the less its end costs, which is why a panel has
 * many rows. */
#include <string.h>

#include "backend/tiles.h"

enum { RUN = RUN_COLUMNS, CASES_MOST = 6, PANEL_MOST = 256 };
/* Of a panel's sums. */
enum { SUM_BYTES = 32 << 10 };

typedef struct Runs2d {
  const Conv *cv;
  int n, ncases, tile;
  uint8_t column[CASES_MOST][RUN];   /* of each case, ascending */
  Panels panels;
  int64_t values, rows, counts;      /* blob offsets: as the code reads them;
                                        numbers of rows in their panel, bytes;
                                        [panel][run][case], u16 */
  int64_t offsets;                   /* of columns, u32; -1: a product does */
  Val sums;
  Elem elem;                         /* of values */
  Val slot;                          /* where a row's become f32; or NULL */
} Runs2d;

/* ---- packing --------------------------------------------------------- */

static void cases_find(Runs2d *d) {
  for (int set = 0; set < 1 << RUN; set++) {
    if (__builtin_popcount((unsigned)set) != d->n) continue;
    for (int k = 0, i = 0; k < RUN; k++)
      if (set >> k & 1) d->column[d->ncases][i++] = (uint8_t)k;
    d->ncases++;
  }
}

static int case_of(const Runs2d *d, const Param *w, int64_t first) {
  for (int i = 0; i < d->ncases; i++) {
    int k = 0;
    while (k < d->n && runs_column(w, first + k) == d->column[i][k]) k++;
    if (k == d->n) return i;
  }
  unreachable();
}

/* Rows of panel number p; the first ones have one more. */
static int panel_rows(const Panels *p, int64_t i) {
  return p->size[i >= p->n[0]];
}

typedef struct Packer {
  float *values;
  uint8_t *rows;
  uint16_t *counts;
} Packer;

/* A run of a panel: rows of each case in turn. */
static void run_pack(const Runs2d *d, Packer *to, int64_t first, int rows,
                     int64_t run) {
  const Param *w = d->cv->w->param;
  const float *v = (const float *)(const void *)w->values->data;
  int64_t row_values = w->type.sparse->nnz / d->cv->o;
  for (int c = 0; c < d->ncases; c++, to->counts++)
    for (int i = 0; i < rows; i++) {
      int64_t at = (first + i) * row_values + run * d->n;
      if (case_of(d, w, at) != c) continue;
      memcpy(to->values, v + at, (size_t)d->n * sizeof *v);
      to->values += d->n;
      *to->rows++ = (uint8_t)i;
      ++*to->counts;
    }
}

static void weight_pack(Gen *g, Runs2d *d) {
  const Conv *cv = d->cv;
  int64_t runs = cv->cg * cv->kh * cv->kw / RUN, first = 0;
  int64_t panels = d->panels.n[0] + d->panels.n[1];
  size_t nrows = (size_t)(cv->o * runs), nvalues = nrows * (size_t)d->n;
  size_t ncounts = (size_t)(panels * runs * d->ncases);
  float *values = arena_array(g->a, float, nvalues);
  uint8_t *rows = arena_array(g->a, uint8_t, nrows);
  uint16_t *counts = arena_array(g->a, uint16_t, ncounts);
  Packer to = { values, rows, counts };
  for (int64_t p = 0; p < panels; p++) {
    for (int64_t run = 0; run < runs; run++)
      run_pack(d, &to, first, panel_rows(&d->panels, p), run);
    first += panel_rows(&d->panels, p);
  }
  d->values = blob_weights(g, d->elem, values, nvalues, 64);
  d->rows = blob_add(g, rows, nrows, 16);
  d->counts = blob_add(g, counts, ncounts * sizeof *counts, 16);
  d->offsets = conv_offsets(g, cv);
}

/* ---- code ------------------------------------------------------------ */

/* Where the reading has got to. */
typedef struct At { Val value, row; } At;

static Val sum_ptr(Gen *g, const Runs2d *d, Val row) {
  return addr_at(g, d->sums, row, 4 * (int64_t)g->t->lanes * d->tile);
}

/* The rows of one case: sums += their weights times x[n][t]. */
static void case_emit(Gen *g, const Runs2d *d, int t, Val count, const Val *x,
                      At *at) {
  int64_t step = 4 * g->t->lanes;
  Loop l;
  loop_begin(g, &l, k64(g, 0), count, 1, false, "row");
  loop_carry(g, &l, &at->value);
  loop_carry(g, &l, &at->row);
  Val to = sum_ptr(g, d, load_index(g, at->row, 0, 1)), w[RUN];
  Val from = d->slot ? d->slot : at->value;
  if (d->slot) store_weights(g, d->elem, at->value, d->n, d->slot);
  for (int k = 0; k < d->n; k++) w[k] = vsplat(g, load_f32(g, from, 4 * k));
  for (int j = 0; j < t; j++) {
    Val sum = load_vec(g, to, j * step, (int)step);
    for (int k = 0; k < d->n; k++) sum = fma_(g, w[k], x[k * t + j], sum);
    store_vec(g, sum, to, j * step, (int)step);
  }
  at->value = addrk(g, at->value, (int64_t)elem_size(d->elem) * d->n);
  at->row = addrk(g, at->row, 1);
  loop_end(g, &l);
}

/* One run of 4 columns for a panel. */
static void run_emit(Gen *g, const Runs2d *d, const Spots *s, Val run,
                     Val counts, At *at) {
  const Conv *cv = d->cv;
  Val x[RUN * TILE_MAX];
  for (int c = 0; c < d->ncases; c++) {
    for (int k = 0; k < d->n; k++) {
      int col = d->column[c][k];
      Val off = conv_offset(g, cv, d->offsets,
                            add64(g, mul64(g, run, RUN), k64(g, col)));
      for (int j = 0; j < s->t; j++)
        x[k * s->t + j] = spot_load(g, cv, s, j, off);
    }
    case_emit(g, d, s->t, load_index(g, counts, 2 * c, 2), x, at);
  }
}

/* Sums begin with the bias, or are finished and stored. */
static void panel_sums(Gen *g, const Runs2d *d, const Spots *s, Val first,
                       int rows, bool begin) {
  const Conv *cv = d->cv;
  int64_t step = 4 * g->t->lanes;
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, rows), 1, true, "sum");
  Val to = sum_ptr(g, d, l.iv), row = add64(g, first, l.iv), b = vzero(g);
  if (begin && cv->b)
    b = vsplat(g, load_f32(g, addr_at(g, value_ptr(g, cv->b), row, 4), 0));
  for (int j = 0; j < s->t; j++)
    if (begin) store_vec(g, b, to, j * step, (int)step);
    else spot_store(g, cv, s, j, load_vec(g, to, j * step, (int)step), row);
  loop_end(g, &l);
}

static void panel_emit(Gen *g, const Runs2d *d, const Spots *s, Val first,
                       int rows, Val *counts, At *at) {
  const Conv *cv = d->cv;
  int64_t runs = cv->cg * cv->kh * cv->kw / RUN;
  Loop l;
  panel_sums(g, d, s, first, rows, true);
  loop_begin(g, &l, k64(g, 0), k64(g, runs), 1, true, "run");
  loop_carry(g, &l, counts);
  loop_carry(g, &l, &at->value);
  loop_carry(g, &l, &at->row);
  run_emit(g, d, s, l.iv, *counts, at);
  *counts = addrk(g, *counts, 2 * d->ncases);
  loop_end(g, &l);
  panel_sums(g, d, s, first, rows, false);
}

static void emit_tile(Gen *g, const void *ctx, const Spots *s) {
  const Runs2d *d = ctx;
  At at = { blob_ptr(g, d->values), blob_ptr(g, d->rows) };
  Val counts = blob_ptr(g, d->counts);
  int64_t first = 0;
  for (int i = 0; i < 2; i++) {
    int rows = d->panels.size[i];
    int64_t n = d->panels.n[i];
    if (!n) continue;
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, n), 1, true, "panel");
    loop_carry(g, &l, &counts);
    loop_carry(g, &l, &at.value);
    loop_carry(g, &l, &at.row);
    panel_emit(g, d, s, add64(g, mul64(g, l.iv, rows), k64(g, first)), rows,
               &counts, &at);
    loop_end(g, &l);
    first += n * rows;
  }
}

static void emit_image(Gen *g, void *ctx, Val x, Val y, Val r) {
  const Runs2d *d = ctx;
  Image im = { x, y, r };
  Vectors v[2];
  int n = conv_vectors(g, d->cv, v);
  for (int i = 0; i < n; i++)
    conv_tiles(g, d->cv, &v[i], d->tile, true, &im, emit_tile, d);
}

void conv_emit_runs(Gen *g, const Conv *cv) {
  Runs2d d = { .cv = cv, .n = cv->w->type.sparse->n };
  d.tile = cv->n->tile[1] > 0 ? cv->n->tile[1] : 4;
  int most = SUM_BYTES / (4 * g->t->lanes * d.tile);
  if (cv->n->tile[0] > 0) most = cv->n->tile[0];
  d.panels = panels_cut(cv->o, most < PANEL_MOST ? most : PANEL_MOST);
  d.elem = type_stored(&cv->w->type);
  if (d.elem != F32) d.slot = stack_array(g, g->f32, RUN);
  cases_find(&d);
  weight_pack(g, &d);
  d.sums = stack_array(g, g->vec, (int64_t)d.panels.size[0] * d.tile);
  conv_clear(g, cv);
  conv_images(g, cv, emit_image, &d);
}

void emit_conv2d_nm(Gen *g, const Node *n) {
  Conv cv;
  conv_init(g, n, &cv);
  conv_emit_runs(g, &cv);
}
