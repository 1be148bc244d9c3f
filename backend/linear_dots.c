/* linear_dots.c - linear_dense with few outputs: y = x w' where a vector of
 * outputs would be part idle, and its weights lie over the ends of lines.
 *
 * The other way round: lanes are columns.  A step of a tile of R rows of x
 * and all M outputs loads a vector of each row and of each output's weights
 * for R*M products; the lanes of each sum are added up at the end.  Weights
 * are packed [block of columns][M][lanes], the last block filled up with
 * zeros: one stream, which begins at a line. */
#include "backend/linear.h"

enum {
  CHAINS = 8,          /* sums that hide an add's latency */
  ROWS_MOST = 8
};

typedef struct Dots {
  int64_t weights;     /* blob offset */
  Elem elem;
} Dots;

static int64_t blocks_of(const Gen *g, const Linear *l) {
  return (l->k + g->t->lanes - 1) / g->t->lanes;
}

static void dots_pack(Gen *g, const Linear *l, Dots *d) {
  const float *w = operand_values(g, l->w);
  int64_t lanes = g->t->lanes, blocks = blocks_of(g, l), at = 0;
  size_t n = (size_t)(blocks * l->m * lanes);
  float *out = arena_array(g->a, float, n);
  for (int64_t b = 0; b < blocks; b++)
    for (int64_t j = 0; j < l->m; j++)
      for (int64_t k = b * lanes; k < (b + 1) * lanes; k++)
        out[at++] = k < l->k ? w[j * l->k + k] : 0;
  d->elem = weight_elem(g, l->w, true);
  d->weights = blob_weights(g, d->elem, out, n, 64);
}

/* Bytes of a block's weights. */
static int64_t block_bytes(const Gen *g, const Linear *l, Elem e) {
  return weights_bytes(e, l->m * g->t->lanes);
}

/* acc += block i from x and w on, of which `n` columns are there. */
static void dots_step(Gen *g, const Linear *l, const Dots *d, int rows, Val x,
                      Val w, int64_t i, int n, Val *acc) {
  Val v[ROWS_MOST];
  int64_t lanes = g->t->lanes, at = i * block_bytes(g, l, d->elem);
  int64_t each = weights_bytes(d->elem, lanes);
  for (int r = 0; r < rows; r++)
    v[r] = load_lanes(g, x, 4 * (r * l->xrow + i * lanes), n);
  for (int j = 0; j < l->m; j++) {
    Val s = load_weights(g, d->elem, w, at + j * each, (int)lanes);
    for (int r = 0; r < rows; r++, acc++) *acc = fma_(g, s, v[r], *acc);
  }
}

static void dots_store(Gen *g, const Linear *l, const Rows *rows, Val *acc) {
  int lanes = g->t->lanes, m = (int)l->m;
  for (int r = 0; r < rows->n; r++)
    for (int first = 0; first < m; first += lanes) {
      int n = m - first < lanes ? m - first : lanes;
      Val v = vzero(g), rv = NULL;
      for (int j = 0; j < n; j++)
        v = vinsert(g, v, vsum(g, acc[(first + j) * rows->n + r]), j);
      if (l->b)
        v = addf(g, v, load_lanes(g, value_ptr(g, l->b), 4 * first, n));
      if (rows->r)
        rv = load_lanes(g, rows->r, 4 * (r * l->rrow + first), n);
      store_lanes(g, epilogue(g, l->n, v, rv), rows->y,
                  4 * (r * l->yrow + first), n);
    }
}

/* Sums of a tile side by side, while they are in registers. */
static int chains_of(const Gen *g, int rows, int n) {
  int chains = (CHAINS + n - 1) / n;
  while (chains > 1 && n * chains + rows + 1 > g->t->vregs) chains--;
  return chains;
}

static void dots_rows(Gen *g, const Linear *l, const void *ctx,
                      const Rows *rows) {
  const Dots *d = ctx;
  int n = rows->n * (int)l->m, chains = chains_of(g, rows->n, n);
  int lanes = g->t->lanes;
  int64_t full = l->k / lanes, whole = full / chains * chains;
  Val acc[LOOP_CARRY_MAX], x = rows->x, w = blob_ptr(g, d->weights);
  ensure(n * chains + 2 <= LOOP_CARRY_MAX && rows->n <= ROWS_MOST);
  for (int i = 0; i < n * chains; i++) acc[i] = vzero(g);
  Loop k;
  loop_begin(g, &k, k64(g, 0), k64(g, whole), chains, whole > 0, "k");
  loop_carry(g, &k, &w);
  loop_carry(g, &k, &x);
  for (int i = 0; i < n * chains; i++) loop_carry(g, &k, &acc[i]);
  for (int c = 0; c < chains; c++)
    dots_step(g, l, d, rows->n, x, w, c, lanes, acc + c * n);
  w = addrk(g, w, chains * block_bytes(g, l, d->elem));
  x = addrk(g, x, 4 * chains * lanes);
  loop_end(g, &k);
  for (int64_t i = whole; i < blocks_of(g, l); i++)
    dots_step(g, l, d, rows->n, x, w, i - whole,
              i < full ? lanes : (int)(l->k % lanes), acc);
  for (int i = n; i < n * chains; i++)
    acc[i % n] = addf(g, acc[i % n], acc[i]);
  dots_store(g, l, rows, acc);
}

/* Sums of a tile, its x and one vector of weights in registers. */
void linear_emit_dots(Gen *g, Linear *l) {
  int rows = (g->t->vregs - 2) / ((int)l->m + 1);
  Dots d;
  dots_pack(g, l, &d);
  if (rows > ROWS_MOST) rows = ROWS_MOST;
  l->block = (int)(l->rows < rows ? l->rows : rows);
  l->by_rows = true;
  linear_rows(g, l, dots_rows, &d);
}
