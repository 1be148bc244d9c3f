/* resize.c - resize of maps, nearest and bilinear, from and to any unblocked
 * layout.  A table says for each output row and column which ones of x it
 * comes from and with which weights; a vector of columns is gathered. */
#include <string.h>

#include "backend/emit.h"

typedef struct Resize {
  const Node *n;
  bool blend;
  int64_t xs[MAX_RANK], ys[MAX_RANK];
  int64_t cols;      /* output columns, rounded up to whole vectors */
  int64_t col[4];    /* blob offsets: lo, hi (i32), their weights (f32) */
  int64_t row[4];
  int share;         /* which of the loops n, c, oh parts share */
} Resize;

/* Tables of one axis, `count` entries each; those behind the last pixel
 * repeat it. */
static void tables_pack(Gen *g, const Resize *r, int axis, int64_t count,
                        int64_t at[4]) {
  int32_t *index[2];
  float *weight[2];
  int64_t size = r->n->type.dim[axis];
  for (int k = 0; k < 2; k++) {
    index[k] = arena_array(g->a, int32_t, (size_t)count);
    weight[k] = arena_array(g->a, float, (size_t)count);
  }
  for (int64_t i = 0; i < count; i++) {
    Sample s = resize_sample(r->n, axis, i < size ? i : size - 1);
    index[0][i] = (int32_t)s.lo, index[1][i] = (int32_t)s.hi;
    weight[0][i] = (float)(1 - s.part), weight[1][i] = (float)s.part;
  }
  size_t bytes = (size_t)count * 4;
  for (int k = 0; k < (r->blend ? 2 : 1); k++) {
    at[k] = blob_add(g, index[k], bytes, 64);
    if (r->blend) at[2 + k] = blob_add(g, weight[k], bytes, 64);
  }
}

/* a wa + b wb. */
static Val mix(Gen *g, Val a, Val b, Val wa, Val wb) {
  return fma_(g, b, wb, LLVMBuildFMul(g->b, a, wa, ""));
}

typedef struct Row {
  Val x[2], y;       /* addresses of the rows */
  Val w[2];          /* their weights, as vectors */
} Row;

/* Columns `at` on, n of them. */
static void columns(Gen *g, const Resize *r, const Row *row, Val at, int n) {
  Val off = mul64(g, at, 4), side[2], lo, hi, w[2];
  int64_t step = r->xs[3];
  lo = load_veci(g, addr(g, blob_ptr(g, r->col[0]), off));
  Val v = gather_f32(g, row->x[0], lo, step);
  if (r->blend) {
    hi = load_veci(g, addr(g, blob_ptr(g, r->col[1]), off));
    for (int k = 0; k < 2; k++)
      w[k] = load_vec(g, addr(g, blob_ptr(g, r->col[2 + k]), off), 0, 4);
    side[0] = mix(g, v, gather_f32(g, row->x[0], hi, step), w[0], w[1]);
    Val low = gather_f32(g, row->x[1], lo, step);
    side[1] = mix(g, low, gather_f32(g, row->x[1], hi, step), w[0], w[1]);
    v = mix(g, side[0], side[1], row->w[0], row->w[1]);
  }
  Val y = addr_at(g, row->y, at, 4 * r->ys[3]);
  if (r->ys[3] == 1) {
    store_lanes(g, v, y, 0, n);
    return;
  }
  for (int i = 0; i < n; i++)
    store_f32(g, vlane(g, v, i), y, 4 * i * r->ys[3]);
}

static void columns_all(Gen *g, const Resize *r, const Row *row) {
  int lanes = g->t->lanes;
  int64_t ow = r->n->type.dim[3], full = ow / lanes * lanes;
  if (full) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, full), lanes, true, "ow");
    columns(g, r, row, l.iv, lanes);
    loop_end(g, &l);
  }
  if (ow > full) columns(g, r, row, k64(g, full), (int)(ow - full));
}

static void rows_all(Gen *g, const Resize *r, Val x, Val y) {
  Loop l;
  Row row = {0};
  loop_either(g, &l, r->share == 2, 0, r->n->type.dim[2], 1, "oh");
  Val off = mul64(g, l.iv, 4);
  for (int k = 0; k < (r->blend ? 2 : 1); k++) {
    Val i = load_index(g, addr(g, blob_ptr(g, r->row[k]), off), 0, 4);
    row.x[k] = addr_at(g, x, i, 4 * r->xs[2]);
    if (r->blend)
      row.w[k] = vsplat(
          g, load_f32(g, addr(g, blob_ptr(g, r->row[2 + k]), off), 0));
  }
  row.y = addr_at(g, y, l.iv, 4 * r->ys[2]);
  columns_all(g, r, &row);
  loop_end(g, &l);
}

void emit_resize(Gen *g, const Node *n) {
  Resize r = {.n = n};
  const int64_t *d = n->type.dim;
  if (type_elems(&n->type) == 0) return;
  r.blend = strcmp(attr_str(n, "mode"), "bilinear") == 0;
  value_strides(n->in[0], r.xs);
  value_strides(n, r.ys);
  r.cols = (d[3] + g->t->lanes - 1) / g->t->lanes * g->t->lanes;
  tables_pack(g, &r, 2, d[2], r.row);
  tables_pack(g, &r, 3, r.cols, r.col);
  Val x = value_ptr(g, n->in[0]), y = value_ptr(g, n);
  Loop li, lc;
  r.share = parts_level(g, d, 3);
  loop_either(g, &li, r.share == 0, 0, d[0], 1, "n");
  Val xn = addr_at(g, x, li.iv, 4 * r.xs[0]);
  Val yn = addr_at(g, y, li.iv, 4 * r.ys[0]);
  loop_either(g, &lc, r.share == 1, 0, d[1], 1, "c");
  Val from = addr_at(g, xn, lc.iv, 4 * r.xs[1]);
  rows_all(g, &r, from, addr_at(g, yn, lc.iv, 4 * r.ys[1]));
  loop_end(g, &lc);
  loop_end(g, &li);
  clear_halo(g, n);
}
