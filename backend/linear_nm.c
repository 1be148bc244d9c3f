/* linear_nm.c - linear_nm: y = x w' for a few rows of x and weights with N
 * nonzeros in each run of 4 columns, with the permutations of AVX.
 *
 * As many outputs as have lanes lie in a vector.  A run of x, 4 values, is
 * spread over the vector, and a step picks for each output the one that its
 * next weight wants: the permutation within 4 lanes looks at 2 bits of a
 * lane, so that a word a lane holds the columns of 16 steps, which are
 * shifted there.  Every output has as many steps: nothing is sorted, and
 * what a group stores is dense. */
#include <string.h>

#include "backend/linear.h"

enum { RUN = RUN_COLUMNS, STEPS = 16, BITS = 2 };
enum { ROWS_MOST = 4, CHAINS = 4, COPY_MOST = 4096 };

typedef struct Runs {
  int n;                     /* values of a run */
  int64_t groups, chunks;    /* a chunk: runs of up to STEPS values */
  int64_t values, columns;   /* blob offsets */
  Elem elem;                 /* of values, and the bytes of a step of them */
  int64_t step;
} Runs;

/* ---- packing --------------------------------------------------------- */

static int chunk_runs(const Runs *p) { return STEPS / p->n; }

/* One output in lane `lane` of its group. */
static void lane_pack(const Linear *l, const Runs *p, int lanes, int64_t row,
                      float *values, uint32_t *columns) {
  const Param *w = l->w->param;
  const float *v = (const float *)(const void *)w->values->data;
  int64_t steps = l->k / RUN * p->n, chunk = chunk_runs(p) * p->n;
  int64_t group = row / lanes, lane = row % lanes;
  for (int64_t i = 0; i < steps; i++) {
    int64_t cell = (group * p->chunks + i / chunk) * lanes + lane;
    uint32_t column = (uint32_t)runs_column(w, row * steps + i);
    columns[cell] |= column << i % chunk * BITS;
    values[(group * steps + i) * lanes + lane] = v[row * steps + i];
  }
}

static Runs runs_lay(Gen *g, const Linear *l) {
  int lanes = g->t->lanes;
  Runs p = { .n = l->w->type.sparse->n };
  int64_t chunk = chunk_runs(&p) * RUN;
  p.groups = (l->m + lanes - 1) / lanes;
  p.chunks = (l->k + chunk - 1) / chunk;
  size_t n = (size_t)(p.groups * lanes * (l->k / RUN) * p.n);
  size_t words = (size_t)(p.groups * p.chunks * lanes);
  float *values = arena_array(g->a, float, n);
  uint32_t *columns = arena_array(g->a, uint32_t, words);
  for (int64_t i = 0; i < l->m; i++)
    lane_pack(l, &p, lanes, i, values, columns);
  p.elem = weight_elem(g, l->w, false);
  p.step = (int64_t)elem_size(p.elem) * lanes;
  p.values = blob_weights(g, p.elem, values, n, 64);
  p.columns = blob_add(g, columns, words * sizeof *columns, 64);
  return p;
}

/* ---- code ------------------------------------------------------------ */

/* Lane i: of the four lanes around it that of number index[i] mod 4. */
static Val permute4(Gen *g, Val v, Val index) {
  const char *name = g->t->lanes == 16 ? "llvm.x86.avx512.vpermilvar.ps.512"
                                       : "llvm.x86.avx.vpermilvar.ps.256";
  LLVMTypeRef in[] = { g->vec, g->veci };
  LLVMTypeRef type = LLVMFunctionType(g->vec, in, 2, false);
  Val fn = LLVMGetNamedFunction(g->m, name);
  if (!fn) fn = LLVMAddFunction(g->m, name, type);
  return LLVMBuildCall2(g->b, type, fn, (Val[]){ v, index }, 2, "");
}

/* A run of x, over and over. */
static Val run_load(Gen *g, Val x, int64_t off) {
  int lane[16];
  for (int i = 0; i < g->t->lanes; i++) lane[i] = i % RUN;
  Val v = load_n(g, x, off, RUN);
  return vshuffle(g, v, v, lane, g->t->lanes);
}

/* What is summed: `runs` of a chunk for all rows of x, in turn to chains. */
typedef struct Body {
  const Linear *l;
  const Runs *p;
  int rows, chains;
  Val x;                     /* its rows, dense along K, xrow bytes apart */
  int64_t xrow;
} Body;

static void runs_sum(Gen *g, const Body *b, int runs, Val columns, Val values,
                     const Val *x, Val *sum) {
  int lanes = g->t->lanes;
  Val word = load_vec(g, columns, 0, 64 > 4 * lanes ? 4 * lanes : 64);
  word = LLVMBuildBitCast(g->b, word, g->veci, "");
  for (int i = 0; i < runs; i++) {
    Val run[ROWS_MOST];
    for (int r = 0; r < b->rows; r++) run[r] = run_load(g, x[r], 4 * RUN * i);
    for (int k = i * b->p->n; k < (i + 1) * b->p->n; k++) {
      Val index = LLVMBuildLShr(g->b, word, const_like(g, word, BITS * k), "");
      Val w = load_weights(g, b->p->elem, values, k * b->p->step, lanes);
      Val *to = sum + k % b->chains * b->rows;
      for (int r = 0; r < b->rows; r++)
        to[r] = fma_(g, w, permute4(g, run[r], index), to[r]);
    }
  }
}

static void group_store(Gen *g, const Body *b, const Rows *rows, Val out,
                        int lanes, Val *sum) {
  const Linear *l = b->l;
  Val at = mul64(g, out, 4), bias = NULL;
  if (l->b) bias = load_lanes(g, addr(g, value_ptr(g, l->b), at), 0, lanes);
  for (int r = 0; r < b->rows; r++) {
    Val v = sum[r], other = NULL;
    for (int c = 1; c < b->chains; c++) v = addf(g, v, sum[c * b->rows + r]);
    if (bias) v = addf(g, v, bias);
    if (rows->r)
      other = load_lanes(g, addr(g, rows->r, at), 4 * r * l->rrow, lanes);
    v = epilogue(g, l->n, v, other);
    store_lanes(g, v, addr(g, rows->y, at), 4 * r * l->yrow, lanes);
  }
}

/* Group number `group`, of `lanes` outputs. */
static void group_emit(Gen *g, const Body *b, const Rows *rows, Val group,
                       int lanes) {
  const Linear *l = b->l;
  const Runs *p = b->p;
  int runs = chunk_runs(p), all = g->t->lanes, sums = b->rows * b->chains;
  int64_t whole = l->k / RUN / runs, step = 4 * (int64_t)all;
  Val sum[ROWS_MOST * CHAINS], x[ROWS_MOST];
  Val values = addr_at(g, blob_ptr(g, p->values), group,
                       p->step * (l->k / RUN) * p->n);
  Val columns = addr_at(g, blob_ptr(g, p->columns), group, step * p->chunks);
  for (int i = 0; i < sums; i++) sum[i] = vzero(g);
  for (int r = 0; r < b->rows; r++)
    x[r] = addrk(g, b->x, r * b->xrow);
  Loop c;
  if (whole) {
    loop_begin(g, &c, k64(g, 0), k64(g, whole), 1, true, "chunk");
    for (int i = 0; i < sums; i++) loop_carry(g, &c, &sum[i]);
    Val at[ROWS_MOST];
    for (int r = 0; r < b->rows; r++)
      at[r] = addr_at(g, x[r], c.iv, 4 * RUN * runs);
    runs_sum(g, b, runs, addr_at(g, columns, c.iv, step),
             addr_at(g, values, c.iv, p->step * runs * p->n), at, sum);
    loop_end(g, &c);
  }
  int rest = (int)(l->k / RUN % runs);
  for (int r = 0; r < b->rows; r++)
    x[r] = addrk(g, x[r], whole * 4 * RUN * runs);
  if (rest)
    runs_sum(g, b, rest, addrk(g, columns, whole * step),
             addrk(g, values, whole * p->step * runs * p->n), x, sum);
  group_store(g, b, rows, mul64(g, group, all), lanes, sum);
}

/* x with a stride along K, as it comes from a pooled map, is copied. */
static void x_gather(Gen *g, Body *b, const Rows *rows) {
  const Linear *l = b->l;
  b->xrow = 4 * l->k;
  b->x = stack_array(g, g->f32, l->k * rows->n);
  Loop k;
  loop_begin(g, &k, k64(g, 0), k64(g, l->k), 1, true, "copy");
  Val from = addr_at(g, rows->x, k.iv, 4 * l->xk);
  Val to = addr_at(g, b->x, k.iv, 4);
  for (int r = 0; r < rows->n; r++)
    store_f32(g, load_f32(g, from, 4 * r * l->xrow), to, r * b->xrow);
  loop_end(g, &k);
}

static void rows_emit(Gen *g, const Linear *l, const void *ctx,
                      const Rows *rows) {
  Body b = { l, ctx, rows->n, rows->n > 1 ? CHAINS / 2 : CHAINS, rows->x,
             4 * l->xrow };
  if (l->xk != 1) x_gather(g, &b, rows);
  int64_t whole = l->m / g->t->lanes;
  int rest = (int)(l->m % g->t->lanes);
  if (whole) {
    Loop group;
    loop_share(g, &group, 0, whole, 1, "group");
    group_emit(g, &b, rows, group.iv, g->t->lanes);
    loop_end(g, &group);
  }
  if (!rest) return;
  Once last;
  once_begin(g, &last);
  group_emit(g, &b, rows, k64(g, whole), rest);
  once_end(g, &last);
}

void emit_linear_nm(Gen *g, const Node *n) {
  Linear l = { 0 };
  linear_init(n, &l, ROWS_MOST);
  if (g->t->lanes < 8 || strcmp(g->t->arch, "x86_64") != 0 ||
      (l.xk != 1 && l.k > COPY_MOST)) {
    emit_linear_csr(g, n);
    return;
  }
  Runs p = runs_lay(g, &l);
  linear_rows(g, &l, rows_emit, &p);
}
