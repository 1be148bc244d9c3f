/* interleave.c - maps of phases side by side, row by row and column by
 * column.  Vectors of the columns of each phase become as many vectors of
 * the result by shuffles. */
#include "backend/emit.h"

typedef struct Inter {
  const Node *n;
  int sh, sw;
  int64_t ys[MAX_RANK];
  int64_t (*xs)[MAX_RANK];     /* of each map */
  int share;                   /* which of the loops n, c, h parts share */
} Inter;

/* n elements of a row of x, from column `at` on. */
static Val columns_load(Gen *g, Val row, int64_t stride, Val at, int64_t n) {
  Val p = addr_at(g, row, at, 4 * stride), v = vzero(g);
  if (n <= 0) return v;
  if (stride == 1) return load_lanes(g, p, 0, (int)n);
  for (int i = 0; i < n; i++)
    v = vinsert(g, v, load_f32(g, p, 4 * i * stride), i);
  return v;
}

/* n elements of a row of y. */
static void columns_store(Gen *g, Val v, Val p, int64_t stride, int64_t n) {
  if (stride == 1) {
    store_lanes(g, v, p, 0, (int)n);
    return;
  }
  for (int i = 0; i < n; i++)
    store_f32(g, vlane(g, v, i), p, 4 * i * stride);
}

/* Element i of v[j] becomes element i*n + j of the n vectors.  Of an even
 * number the even and the odd ones are interleaved first: two shuffles for
 * two vectors then. */
static void vectors_zip(Gen *g, Val *v, int n) {
  int lanes = g->t->lanes, lane[64];
  Val half[2][STEP_MOST], to[STEP_MOST];
  if (n == 1) return;
  if (n % 2 == 0) {
    for (int i = 0; i < n; i++) half[i % 2][i / 2] = v[i];
    for (int i = 0; i < 2; i++) vectors_zip(g, half[i], n / 2);
    for (int i = 0; i < n; i++) {
      for (int k = 0; k < lanes; k++)
        lane[k] = k % 2 * lanes + (i % 2 * lanes + k) / 2;
      v[i] = vshuffle(g, half[0][i / 2], half[1][i / 2], lane, lanes);
    }
    return;
  }
  for (int i = 0; i < n; i++) {
    to[i] = v[0];
    for (int j = 1; j < n; j++) {
      for (int k = 0; k < lanes; k++) {
        int from = (i * lanes + k) % n, at = (i * lanes + k) / n;
        lane[k] = from == j ? lanes + at : j == 1 ? at : k;
      }
      to[i] = vshuffle(g, to[i], v[j], lane, lanes);
    }
  }
  for (int i = 0; i < n; i++) v[i] = to[i];
}

/* Columns of all phases from `at` on; count[j] of phase j, `all` of y. */
static void columns_move(Gen *g, const Inter *t, int u, const Val *x, Val y,
                         Val at, const int64_t *count, int64_t all) {
  Val v[STEP_MOST];
  int lanes = g->t->lanes;
  for (int j = 0; j < t->sw; j++)
    v[j] = columns_load(g, x[j], t->xs[u * t->sw + j][3], at, count[j]);
  vectors_zip(g, v, t->sw);
  y = addr_at(g, y, at, 4 * t->ys[3] * t->sw);
  for (int i = 0; i < t->sw && i * lanes < all; i++) {
    int64_t left = all - i * lanes;
    columns_store(g, v[i], addrk(g, y, 4 * i * lanes * t->ys[3]), t->ys[3],
                  left < lanes ? left : lanes);
  }
}

static void row_move(Gen *g, const Inter *t, int u, const Val *x, Val y) {
  int64_t width = t->n->type.dim[3], count[STEP_MOST];
  int lanes = g->t->lanes;
  int64_t full = width / t->sw / lanes * lanes, rest = width - full * t->sw;
  if (full) {
    Loop l;
    for (int j = 0; j < t->sw; j++) count[j] = lanes;
    loop_begin(g, &l, k64(g, 0), k64(g, full), lanes, true, "w");
    columns_move(g, t, u, x, y, l.iv, count, (int64_t)lanes * t->sw);
    loop_end(g, &l);
  }
  if (!rest) return;
  for (int j = 0; j < t->sw; j++)
    count[j] = (rest - j + t->sw - 1) / t->sw;
  columns_move(g, t, u, x, y, k64(g, full), count, rest);
}

/* The rows of phase u of a channel. */
static void rows_move(Gen *g, const Inter *t, int u, const Val *x, Val y) {
  Loop l;
  Val row[STEP_MOST];
  int64_t rows = t->n->in[u * t->sw]->type.dim[2];
  if (rows == 0) return;
  loop_either(g, &l, t->share == 2, 0, rows, 1, "h");
  for (int j = 0; j < t->sw; j++)
    row[j] = addr_at(g, x[j], l.iv, 4 * t->xs[u * t->sw + j][2]);
  row_move(g, t, u, row,
           addr_at(g, addrk(g, y, 4 * u * t->ys[2]), l.iv,
                   4 * t->ys[2] * t->sh));
  loop_end(g, &l);
}

static void channel_move(Gen *g, const Inter *t, const Val *x, Val i,
                         Val c) {
  Val y = addr_in(g, value_ptr(g, t->n), i, 4 * t->ys[0], c, 4 * t->ys[1]);
  for (int u = 0; u < t->sh; u++) {
    Val at[STEP_MOST];
    for (int j = 0; j < t->sw; j++) {
      const int64_t *s = t->xs[u * t->sw + j];
      at[j] = addr_in(g, x[u * t->sw + j], i, 4 * s[0], c, 4 * s[1]);
    }
    rows_move(g, t, u, at, y);
  }
}

void copy_interleave(Gen *g, const Node *n) {
  const int64_t *step = attr_ints(n, "step", NULL), *d = n->type.dim;
  Inter t = {.n = n, .sh = (int)step[0], .sw = (int)step[1]};
  if (type_elems(&n->type) == 0) return;
  Val *x = arena_array(g->a, Val, (size_t)n->nin);
  t.xs = arena_alloc(g->a, checked_mul((size_t)n->nin, sizeof *t.xs));
  value_strides(n, t.ys);
  for (int k = 0; k < n->nin; k++) {
    bool empty = type_elems(&n->in[k]->type) == 0;
    x[k] = value_ptr(g, empty ? n : n->in[k]);
    value_strides(n->in[k], t.xs[k]);
  }
  Loop li, lc;
  t.share = parts_level(g, (int64_t[]){ d[0], d[1], d[2] / t.sh }, 3);
  loop_either(g, &li, t.share == 0, 0, d[0], 1, "n");
  loop_either(g, &lc, t.share == 1, 0, d[1], 1, "c");
  channel_move(g, &t, x, li.iv, lc.iv);
  loop_end(g, &lc);
  loop_end(g, &li);
}
