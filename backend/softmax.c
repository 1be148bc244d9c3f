/* softmax.c - e^(x - max) over their sum along one axis, in three passes.
 * Vectors run along the axis where it is dense in both values, some of them
 * at once so that sums need not wait for one another; else across an axis
 * that is dense. */
#include <math.h>

#include "backend/softmax.h"

static Val max_step(Gen *g, Val acc, Val x) {
  return vm_select(g, LLVMRealOLT, acc, x, x, acc);
}

/* ---- rows ----------------------------------------------------------- */

/* Fold the lanes of a vector; every lane of the result is the fold. */
static Val fold_all(Gen *g, Val v, bool max) {
  int lane[64], lanes = g->t->lanes;
  for (int w = lanes / 2; w >= 1; w /= 2) {
    for (int i = 0; i < lanes; i++) lane[i] = i ^ w;
    Val o = vshuffle(g, v, v, lane, lanes);
    v = max ? max_step(g, v, o) : addf(g, v, o);
  }
  return v;
}

/* Vectors at once. */
enum { ROW_VECTORS = 4 };

/* One pass: what is done with n lanes at byte `at` of the row. */
typedef struct RowPass {
  const SoftRow *row;
  Val to, top;             /* of the second pass */
  bool padded;
} RowPass;
typedef Val RowStep(Gen *g, const RowPass *p, Val at, int n, Val acc);

/* Steps over all of the row, folded into the vector of `start`; further ones
 * begin with `neutral`. */
static Val row_walk(Gen *g, const RowPass *p, RowStep *step, Val start,
                    Val neutral, bool max) {
  int lanes = g->t->lanes, several = ROW_VECTORS;
  int64_t n = p->row->n, whole = n / lanes, i = 0;
  Val acc[ROW_VECTORS] = { start };
  if (several > whole) several = whole ? (int)whole : 1;
  for (int k = 1; k < several; k++) acc[k] = neutral;
  if (whole > 2 * several) {
    Loop l;
    i = whole / several * several;
    loop_begin(g, &l, k64(g, 0), k64(g, i * lanes), several * lanes, true,
               "row");
    for (int k = 0; k < several; k++) loop_carry(g, &l, &acc[k]);
    for (int k = 0; k < several; k++)
      acc[k] = step(g, p, mul64(g, add64(g, l.iv, k64(g, k * lanes)), 4),
                    lanes, acc[k]);
    loop_end(g, &l);
  }
  for (; i < whole; i++)
    acc[i % several] = step(g, p, k64(g, i * lanes * 4), lanes,
                            acc[i % several]);
  if (n % lanes)
    acc[0] = step(g, p, k64(g, whole * lanes * 4), (int)(n % lanes), acc[0]);
  for (int k = 1; k < several; k++)
    acc[0] = max ? max_step(g, acc[0], acc[k]) : addf(g, acc[0], acc[k]);
  return fold_all(g, acc[0], max);
}

/* x, or in lanes from n on v. */
static Val lanes_or(Gen *g, Val x, int n, double v) {
  int lane[64], lanes = g->t->lanes;
  if (n == lanes) return x;
  for (int i = 0; i < lanes; i++) lane[i] = i < n ? i : lanes + i;
  return vshuffle(g, x, const_like(g, x, v), lane, lanes);
}

static Val max_lanes(Gen *g, const RowPass *p, Val at, int n, Val acc) {
  Val from = addr(g, p->row->from, at), x = load_lanes(g, from, 0, n);
  if (p->row->first) {
    Val left = LLVMBuildNSWSub(g->b, p->row->first,
                               LLVMBuildLShr(g->b, at, k64(g, 2), ""), "");
    x = LLVMBuildSelect(g->b, lanes_below(g, left), x,
                        const_like(g, x, -INFINITY), "");
    store_lanes(g, x, from, 0, n);
  }
  return max_step(g, acc, lanes_or(g, x, n, -INFINITY));
}

static Val exp_lanes(Gen *g, const RowPass *p, Val at, int n, Val acc) {
  Val x = load_lanes(g, addr(g, p->row->from, at), 0, n);
  Val to = addr(g, p->to, at);
  Val e = vm_exp_neg(g, LLVMBuildFSub(g->b, x, p->top, ""));
  if (!p->padded) store_lanes(g, e, to, 0, n);
  e = lanes_or(g, e, n, 0);
  if (p->padded) store_vec(g, e, to, 0, 4);
  return addf(g, acc, e);
}

Val row_max(Gen *g, const SoftRow *r, Val low) {
  RowPass p = { .row = r };
  return row_walk(g, &p, max_lanes, low, low, true);
}

Val row_exp(Gen *g, const SoftRow *r, Val to, Val top, bool padded) {
  RowPass p = { r, to, top, padded };
  return row_walk(g, &p, exp_lanes, vzero(g), vzero(g), false);
}

/* ---- the kernel ------------------------------------------------------ */

typedef struct Soft {
  int64_t dim, to, from;   /* the softmax axis and its strides */
} Soft;

/* How one line or bundle of lines is read: n lanes of a bundle; 0: a line in
 * scalars. */
typedef struct Line { Val to, from; int n; } Line;

static Val get(Gen *g, Val p, int n) {
  return n ? load_lanes(g, p, 0, n) : load_f32(g, p, 0);
}

static void put(Gen *g, Val v, Val p, int n) {
  if (n) store_lanes(g, v, p, 0, n);
  else store_f32(g, v, p, 0);
}

typedef enum { PASS_MAX, PASS_EXP, PASS_SCALE } SoftPass;

/* One pass over n lanes at `from`, `to`; k is the maximum or the factor. */
static Val soft_step(Gen *g, SoftPass pass, Val to, Val from, int n, Val k,
                     Val acc) {
  if (pass == PASS_SCALE) {
    put(g, LLVMBuildFMul(g->b, get(g, to, n), k, ""), to, n);
    return acc;
  }
  Val x = get(g, from, n);
  if (pass == PASS_MAX) return max_step(g, acc, x);
  Val e = vm_exp_neg(g, LLVMBuildFSub(g->b, x, k, ""));
  put(g, e, to, n);
  return addf(g, acc, e);
}

/* A pass along the axis. */
static Val soft_loop(Gen *g, const Soft *s, const Line *l, SoftPass pass,
                     Val k, Val acc) {
  Loop i;
  if (s->dim == 0) return acc;
  loop_begin(g, &i, k64(g, 0), k64(g, s->dim), 1, true, "soft");
  loop_carry(g, &i, &acc);
  Val to = addr_at(g, l->to, i.iv, 4 * s->to);
  acc = soft_step(g, pass, to, addr_at(g, l->from, i.iv, 4 * s->from), l->n,
                  k, acc);
  loop_end(g, &i);
  return acc;
}

static void soft_line(Gen *g, const Soft *s, Line l) {
  Val low = kf(g, -INFINITY), zero = kf(g, 0), one = kf(g, 1);
  if (l.n) low = vsplat(g, low), zero = vsplat(g, zero), one = vsplat(g, one);
  Val top = soft_loop(g, s, &l, PASS_MAX, NULL, low);
  Val sum = soft_loop(g, s, &l, PASS_EXP, top, zero);
  Val k = LLVMBuildFDiv(g->b, one, sum, "");
  soft_loop(g, s, &l, PASS_SCALE, k, zero);
}

static void soft_row(Gen *g, int64_t n, Val to, Val from) {
  SoftRow r = { from, n, NULL };
  Val top = row_max(g, &r, vsplat(g, kf(g, -INFINITY)));
  Val sum = row_exp(g, &r, to, top, false);
  Val k = LLVMBuildFDiv(g->b, vsplat(g, kf(g, 1)), sum, "");
  int lanes = g->t->lanes;
  int64_t whole = n / lanes * lanes;
  if (whole) {
    Loop i;
    loop_begin(g, &i, k64(g, 0), k64(g, whole), lanes, true, "scale");
    soft_step(g, PASS_SCALE, addr_at(g, to, i.iv, 4), NULL, lanes, k, NULL);
    loop_end(g, &i);
  }
  if (whole < n)
    soft_step(g, PASS_SCALE, addrk(g, to, 4 * whole), NULL, (int)(n - whole),
              k, NULL);
}

static void soft_lines(Gen *g, const void *ctx, Val *p, int n) {
  const Soft *s = ctx;
  bool along = s->dim > 1 && s->to == 1 && s->from == 1;
  if (along) soft_row(g, s->dim, p[0], p[1]);
  else soft_line(g, s, (Line){ p[0], p[1], n });
}

void emit_softmax(Gen *g, const Node *n) {
  Soft s;
  Nest t;
  int axis = (int)attr_int(n, "axis");
  if (axis < 0) axis += n->type.rank;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  s.dim = t.dim[axis];
  s.to = t.arg[0].stride[axis];
  s.from = t.arg[1].stride[axis];
  bool along = s.dim > 1 && s.to == 1 && s.from == 1;
  nest_lines(g, &t, axis, !along, soft_lines, &s);
  clear_halo(g, n);
}
