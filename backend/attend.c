/* attend.c - softmax(scale q k^T + mask) v, some rows of q at a time, so that
 * the scores of a matrix never exist as a whole.
 *
 * Scores of a tile of rows by a block of columns lie on the stack, in L1:
 * the product by k writes them there, scaled and masked, each row becomes
 * e^(x - max), and the product by v reads them.  With one block the sums of
 * the last product are divided by those of its row as they are stored.  With
 * several, the greatest so far and the sum of each row are carried from
 * block to block, and so are the sums of the product, which shrink where the
 * greatest grows (Milakov and Gimelshein, 2018; Rabe and Staats, 2021).
 *
 * With `causal` the blocks right of a tile's last row are left out.  Where the
 * number of rows is free, the last tile begins so early that it is whole. */
#include <float.h>
#include <math.h>

#include "backend/matmul.h"
#include "backend/softmax.h"

/* Columns a block, at most: all of a short row, and where some are left out
 * few, so that more can be. */
enum { BLOCK_MOST = 256, BLOCK_CAUSAL = 64 };

typedef struct Attend {
  AttendSizes z;
  Val rows_of, columns_of; /* l and s of this call, where they are free */
  double scale;
  bool causal, masked, several;
  int rows;                /* of a tile */
  int64_t block, pitch;    /* columns of a block; of a row on the stack */
  int64_t ql, qe, ks, ke, vs, ve, yl, ye, ml, ms;   /* strides */
  int nbatch, share;       /* share: a batch axis, or nbatch: rows */
  struct { int64_t dim, q, k, v, m, y; Val count; } batch[MAX_RANK];
  /* On the stack: scores; of each row the greatest score, the sum, and the
   * factor of what was there before; with several blocks the result. */
  Val score, top, sum, factor, y;
} Attend;

/* Columns of a block: `n`, or as many as `count` says. */
typedef RowSize Columns;

/* Where the rows of a tile are. */
typedef struct Tile { Val q, k, v, m, y, row; int n; } Tile;

/* ---- geometry -------------------------------------------------------- */

/* Strides of operand i of y's axis `b`, counted from the last batch axis. */
static int64_t batch_stride(const Node *x, int b) {
  int64_t s[MAX_RANK];
  int i = x->type.rank - 3 - b;
  if (i < 0 || x->type.dim[i] == 1) return 0;
  value_strides(x, s);
  return s[i];
}

static void last_strides(const Node *x, int64_t *row, int64_t *column) {
  int64_t s[MAX_RANK];
  int rank = x->type.rank;
  value_strides(x, s);
  *column = rank > 0 && x->type.dim[rank - 1] > 1 ? s[rank - 1] : 0;
  *row = rank > 1 && x->type.dim[rank - 2] > 1 ? s[rank - 2] : 0;
}

static void strides_find(Attend *a, const Node *n) {
  const Node *q = n->in[0], *k = n->in[1], *v = n->in[2];
  const Node *m = a->masked ? n->in[3] : NULL;
  last_strides(q, &a->ql, &a->qe);
  last_strides(v, &a->vs, &a->ve);
  last_strides(n, &a->yl, &a->ye);
  if (attr_bool(n, "transpose_k")) last_strides(k, &a->ks, &a->ke);
  else last_strides(k, &a->ke, &a->ks);
  if (m) last_strides(m, &a->ml, &a->ms);
  a->nbatch = n->type.rank - 2;
  for (int i = 0; i < a->nbatch; i++) {
    int b = a->nbatch - 1 - i;
    a->batch[i].dim = n->type.dim[i];
    a->batch[i].q = batch_stride(q, b), a->batch[i].k = batch_stride(k, b);
    a->batch[i].v = batch_stride(v, b), a->batch[i].y = batch_stride(n, b);
    a->batch[i].m = m ? batch_stride(m, b) : 0;
  }
}

static void counts_find(Gen *g, Attend *a, const Node *n) {
  const Type *k = &n->in[1]->type;
  a->rows_of = axis_count(g, &n->type, n->type.rank - 2);
  a->columns_of =
    axis_count(g, k, k->rank - (attr_bool(n, "transpose_k") ? 2 : 1));
  for (int i = 0; i < n->type.rank - 2; i++)
    a->batch[i].count = axis_count(g, &n->type, i);
}

/* n or more, in whole vectors. */
static int64_t whole_vectors(const Gen *g, int64_t n) {
  int64_t lanes = g->t->lanes;
  return (n + lanes - 1) / lanes * lanes;
}

static int64_t y_pitch(const Gen *g, const Attend *a) {
  return whole_vectors(g, a->z.v);
}

static void sizes_choose(Gen *g, Attend *a) {
  int64_t lanes = g->t->lanes, most = a->causal ? BLOCK_CAUSAL : BLOCK_MOST;
  int64_t blocks = (a->z.s + most - 1) / most;
  a->rows = g->t->vregs >= 32 ? 18 : 12;
  if (a->rows > a->z.l) a->rows = (int)a->z.l;
  a->several = blocks > 1;
  a->block = blocks > 1 ? whole_vectors(g, a->z.s / blocks) : a->z.s;
  if (a->block > a->z.s) a->block = a->z.s;
  /* An odd number of vectors: rows that are powers of two apart share sets
   * of the cache. */
  a->pitch = (whole_vectors(g, a->block) / lanes | 1) * lanes;
}

static void stack_reserve(Gen *g, Attend *a) {
  a->score = stack_array(g, g->f32, a->rows * a->pitch);
  a->factor = stack_array(g, g->f32, a->rows);
  if (!a->several) return;
  a->top = stack_array(g, g->f32, a->rows);
  a->sum = stack_array(g, g->f32, a->rows);
  a->y = stack_array(g, g->f32, a->rows * y_pitch(g, a));
}

/* ---- products -------------------------------------------------------- */

static Val scaled(Gen *g, const Mat *t, const MatSpot *s, Val sum) {
  const Attend *a = t->ctx;
  Val scale = const_like(g, sum, a->scale);
  if (!s->e) return LLVMBuildFMul(g->b, sum, scale, "");
  return fma_(g, sum, scale, mat_beside(g, s, t->en));
}

static void scores_emit(Gen *g, const Attend *a, const Tile *t, Val first,
                        Columns columns) {
  Mat mat = { .m = t->n, .n = columns.n, .nc = columns.count, .k = a->z.e,
              .am = a->ql, .ak = a->qe, .bk = a->ke, .bn = a->ks,
              .ym = a->pitch, .yn = 1, .em = a->ml, .en = a->ms,
              .share = -1, .ctx = a };
  At at = { t->q, addr_at(g, t->k, first, 4 * a->ks), a->score, NULL };
  if (a->masked) at.e = addr_at(g, t->m, first, 4 * a->ms);
  if (a->masked || a->scale != 1) mat.last = scaled;
  mat_emit(g, &mat, at);
}

/* Sums so far lie on the stack, side by side. */
static Val shrunk(Gen *g, const Mat *t, const MatSpot *s) {
  Val before = s->n ? load_lanes(g, s->y, s->yoff, s->n)
                    : load_f32(g, s->y, s->yoff);
  ensure(t->yn == 1);
  return LLVMBuildFMul(g->b, before, mat_beside(g, s, t->en), "");
}

static Val divided(Gen *g, const Mat *t, const MatSpot *s, Val sum) {
  return LLVMBuildFMul(g->b, sum, mat_beside(g, s, t->en),
                       "");
}

static void values_emit(Gen *g, const Attend *a, const Tile *t, Val first,
                        Columns columns) {
  Mat mat = { .m = t->n, .n = a->z.v, .k = columns.n, .kc = columns.count,
              .am = a->pitch, .ak = 1, .bk = a->vs, .bn = a->ve,
              .ym = a->yl, .yn = a->ye, .em = 1, .en = 0, .share = -1,
              .ctx = a };
  At at = { a->score, addr_at(g, t->v, first, 4 * a->vs), t->y, a->factor };
  if (a->several) {
    mat.ym = y_pitch(g, a), mat.yn = 1;
    mat.first = shrunk;
    at.y = a->y;
  } else {
    mat.last = divided;
  }
  mat_emit(g, &mat, at);
}

/* ---- rows ------------------------------------------------------------ */

/* e^(x - max) of each row, its sum, and the factor of what was before. */
static void rows_soften(Gen *g, const Attend *a, const Tile *t, Val first,
                        Columns columns) {
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, t->n), 1, true, "soften");
  SoftRow r = { addr_at(g, a->score, l.iv, 4 * a->pitch), columns, NULL };
  if (a->causal) {
    Val seen = add64(g, add64(g, t->row, l.iv), k64(g, 1));
    r.first = LLVMBuildNSWSub(g->b, seen, first, "");
  }
  Val factor = addr_at(g, a->factor, l.iv, 4);
  if (!a->several) {
    Val top = row_max(g, &r, vsplat(g, kf(g, -INFINITY)));
    Val sum = row_exp(g, &r, r.from, top, true);
    store_f32(g, LLVMBuildFDiv(g->b, kf(g, 1), vlane(g, sum, 0), ""), factor,
              0);
  } else {
    Val old = load_f32(g, addr_at(g, a->top, l.iv, 4), 0);
    Val sum_at = addr_at(g, a->sum, l.iv, 4);
    Val top = row_max(g, &r, vsplat(g, old));
    Val sum = vlane(g, row_exp(g, &r, r.from, top, true), 0);
    top = vlane(g, top, 0);
    Val k = vm_exp_neg(g, LLVMBuildFSub(g->b, old, top, ""));
    store_f32(g, top, addr_at(g, a->top, l.iv, 4), 0);
    store_f32(g, k, factor, 0);
    store_f32(g, fma_(g, load_f32(g, sum_at, 0), k, sum), sum_at, 0);
  }
  loop_end(g, &l);
}

/* No score so far: the least float, since the difference of two infinities
 * would be NaN. */
static void rows_begin(Gen *g, const Attend *a, const Tile *t) {
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, t->n), 1, true, "begin");
  store_f32(g, kf(g, -FLT_MAX), addr_at(g, a->top, l.iv, 4), 0);
  store_f32(g, kf(g, 0), addr_at(g, a->sum, l.iv, 4), 0);
  loop_end(g, &l);
  int64_t lanes = g->t->lanes;
  loop_begin(g, &l, k64(g, 0), k64(g, t->n * y_pitch(g, a)), lanes, true,
             "clear");
  store_vec(g, vzero(g), addr_at(g, a->y, l.iv, 4), 0, (int)(4 * lanes));
  loop_end(g, &l);
}

static void row_end(Gen *g, const Attend *a, Val from, Val to, Val k, int n) {
  Val v = LLVMBuildFMul(g->b, load_lanes(g, from, 0, n), k, "");
  if (a->ye == 1) store_lanes(g, v, to, 0, n);
  else
    for (int i = 0; i < n; i++)
      store_f32(g, vlane(g, v, i), to, 4 * i * a->ye);
}

/* Sums of products by those of their rows. */
static void rows_end(Gen *g, const Attend *a, const Tile *t) {
  Loop l, c;
  int lanes = g->t->lanes;
  int64_t whole = a->z.v / lanes * lanes;
  loop_begin(g, &l, k64(g, 0), k64(g, t->n), 1, true, "end");
  Val k = LLVMBuildFDiv(g->b, kf(g, 1),
                        load_f32(g, addr_at(g, a->sum, l.iv, 4), 0), "");
  Val from = addr_at(g, a->y, l.iv, 4 * y_pitch(g, a));
  Val to = addr_at(g, t->y, l.iv, 4 * a->yl);
  k = vsplat(g, k);
  if (whole) {
    loop_begin(g, &c, k64(g, 0), k64(g, whole), lanes, true, "column");
    row_end(g, a, addr_at(g, from, c.iv, 4), addr_at(g, to, c.iv, 4 * a->ye),
            k, lanes);
    loop_end(g, &c);
  }
  if (whole < a->z.v)
    row_end(g, a, addrk(g, from, 4 * whole), addrk(g, to, 4 * whole * a->ye),
            k, (int)(a->z.v - whole));
  loop_end(g, &l);
}

/* ---- tiles ----------------------------------------------------------- */

static void block_emit(Gen *g, const Attend *a, const Tile *t, Val first,
                       Columns columns) {
  scores_emit(g, a, t, first, columns);
  rows_soften(g, a, t, first, columns);
  values_emit(g, a, t, first, columns);
}

static Val at_most(Gen *g, Val v, Val most) {
  return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, v, most, ""),
                         v, most, "");
}

/* Behind the last whole block that a tile sees. */
static Val blocks_end(Gen *g, const Attend *a, const Tile *t, Val whole) {
  if (!a->causal) return whole;
  Val end = add64(g, t->row, k64(g, t->n + a->block - 1));
  end = LLVMBuildUDiv(g->b, end, k64(g, a->block), "");
  return at_most(g, mul64(g, end, a->block), whole);
}

/* What is left behind the whole blocks. */
static void rest_emit(Gen *g, const Attend *a, const Tile *t, Val whole,
                      Columns rest) {
  If some, seen;
  if (!rest.count && rest.n == 0) return;
  if (rest.count)
    if_begin(g, &some,
             LLVMBuildICmp(g->b, LLVMIntSGT, rest.count, k64(g, 0), ""));
  if (a->causal)
    if_begin(g, &seen,
             LLVMBuildICmp(g->b, LLVMIntSGT, add64(g, t->row, k64(g, t->n)),
                           whole, ""));
  block_emit(g, a, t, whole, rest);
  if (a->causal) if_end(g, &seen);
  if (rest.count) if_end(g, &some);
}

static void tile_emit(Gen *g, const Attend *a, const Tile *t) {
  Columns rest = { a->z.s, a->columns_of };
  if (!a->several) {
    block_emit(g, a, t, k64(g, 0), rest);
    return;
  }
  Val whole = k64(g, a->z.s / a->block * a->block);
  rest.n = a->z.s % a->block;
  if (rest.count) {
    whole = LLVMBuildUDiv(g->b, rest.count, k64(g, a->block), "");
    whole = mul64(g, whole, a->block);
    rest = (Columns){ a->block,
                      LLVMBuildNSWSub(g->b, rest.count, whole, "") };
  }
  rows_begin(g, a, t);
  Loop l;
  loop_begin(g, &l, k64(g, 0), blocks_end(g, a, t, whole), a->block,
             !rest.count, "columns");
  block_emit(g, a, t, l.iv, (Columns){ a->block, NULL });
  loop_end(g, &l);
  rest_emit(g, a, t, whole, rest);
  rows_end(g, a, t);
}

/* n rows from `row` on. */
static void rows_emit(Gen *g, const Attend *a, const Tile *from, Val row,
                      int n) {
  Tile t = *from;
  t.q = addr_at(g, from->q, row, 4 * a->ql);
  t.y = addr_at(g, from->y, row, 4 * a->yl);
  if (a->masked) t.m = addr_at(g, from->m, row, 4 * a->ml);
  t.row = row, t.n = n;
  tile_emit(g, a, &t);
}

/* As many rows as this call has: tiles of which the last begins so early that
 * it is whole, or where there are less than a tile, one by one. */
static void rows_counted(Gen *g, const Attend *a, const Tile *t) {
  Val count = a->rows_of, few = NULL, none = k64(g, 0);
  Val last = LLVMBuildNSWSub(g->b, count, k64(g, a->rows), "");
  few = LLVMBuildICmp(g->b, LLVMIntSLT, last, none, "");
  Loop l;
  loop_begin(g, &l, none, LLVMBuildSelect(g->b, few, none, count, ""),
             a->rows, false, "rows");
  rows_emit(g, a, t, at_most(g, l.iv, last), a->rows);
  loop_end(g, &l);
  if (a->rows == 1) return;
  loop_begin(g, &l, none, LLVMBuildSelect(g->b, few, count, none, ""), 1,
             false, "row");
  rows_emit(g, a, t, l.iv, 1);
  loop_end(g, &l);
}

static void matrix_emit(Gen *g, const Attend *a, const Tile *t) {
  if (a->rows_of) {
    rows_counted(g, a, t);
    return;
  }
  bool share = a->share == a->nbatch;
  int64_t whole = a->z.l / a->rows * a->rows;
  Loop l;
  loop_either(g, &l, share, 0, whole, a->rows, "rows");
  rows_emit(g, a, t, l.iv, a->rows);
  loop_end(g, &l);
  if (whole == a->z.l) return;
  Once last;
  once_either(g, &last, share);
  rows_emit(g, a, t, k64(g, whole), (int)(a->z.l - whole));
  once_end(g, &last);
}

static void batch_emit(Gen *g, const Attend *a, int axis, const Tile *from) {
  if (axis == a->nbatch) {
    matrix_emit(g, a, from);
    return;
  }
  Loop l;
  Tile t = *from;
  if (a->batch[axis].count)
    loop_begin(g, &l, k64(g, 0), a->batch[axis].count, 1, false, "batch");
  else
    loop_either(g, &l, a->share == axis, 0, a->batch[axis].dim, 1, "batch");
  t.q = addr_at(g, from->q, l.iv, 4 * a->batch[axis].q);
  t.k = addr_at(g, from->k, l.iv, 4 * a->batch[axis].k);
  t.v = addr_at(g, from->v, l.iv, 4 * a->batch[axis].v);
  t.y = addr_at(g, from->y, l.iv, 4 * a->batch[axis].y);
  if (a->masked) t.m = addr_at(g, from->m, l.iv, 4 * a->batch[axis].m);
  batch_emit(g, a, axis + 1, &t);
  loop_end(g, &l);
}

static int share_level(const Gen *g, const Attend *a) {
  int64_t count[MAX_RANK];
  for (int i = 0; i < a->nbatch; i++) count[i] = a->batch[i].dim;
  count[a->nbatch] = a->z.l / a->rows;
  return parts_level(g, count, a->nbatch + 1);
}

void emit_attend(Gen *g, const Node *n) {
  Attend a = { .z = attend_sizes(n), .scale = attr_float(n, "scale"),
               .causal = attr_bool(n, "causal"),
               .masked = n->nin > 3 && n->in[3] };
  if (type_elems(&n->type) == 0) return;
  if (a.z.s == 0) {   /* no score: 0 by 0 */
    Nest y;
    nest_over(g, &y, n);
    nest_fill(g, &y, 0);
    clear_halo(g, n);
    return;
  }
  counts_find(g, &a, n);
  strides_find(&a, n);
  sizes_choose(g, &a);
  stack_reserve(g, &a);
  a.share = share_level(g, &a);
  Tile t = { .q = value_ptr(g, n->in[0]), .k = value_ptr(g, n->in[1]),
             .v = value_ptr(g, n->in[2]), .y = value_ptr(g, n),
             .m = a.masked ? value_ptr(g, n->in[3]) : NULL };
  batch_emit(g, &a, 0, &t);
  clear_halo(g, n);
}
