/* softmax.c - e^(x - max) over their sum along one axis, in three passes.
 * Vectors run along the axis where it is dense in both values, some of them
 * at once so that sums need not wait for one another; else across an axis
 * that is dense. */
#include <math.h>

#include "backend/softmax.h"

/* ---- rows ----------------------------------------------------------- */

/* What a pass over a row looks at. */
typedef struct RowPass {
  const SoftRow *row;
  Val to, top;             /* of the second pass */
  bool padded;
} RowPass;

static Val max_lanes(Gen *g, const void *ctx, Val at, Lanes l, Val acc) {
  const RowPass *p = ctx;
  Val from = addr(g, p->row->from, at), x = lanes_load(g, from, l);
  if (p->row->first) {
    Val left = LLVMBuildNSWSub(g->b, p->row->first,
                               LLVMBuildLShr(g->b, at, k64(g, 2), ""), "");
    x = LLVMBuildSelect(g->b, lanes_below(g, left), x,
                        const_like(g, x, -INFINITY), "");
    lanes_store(g, x, from, l);
  }
  return max_step(g, acc, lanes_or(g, x, l, -INFINITY));
}

static Val exp_lanes(Gen *g, const void *ctx, Val at, Lanes l, Val acc) {
  const RowPass *p = ctx;
  Val x = lanes_load(g, addr(g, p->row->from, at), l);
  Val to = addr(g, p->to, at);
  Val e = vm_exp_neg(g, LLVMBuildFSub(g->b, x, p->top, ""));
  bool whole = p->padded && !l.mask;
  if (!whole) lanes_store(g, e, to, l);
  e = lanes_or(g, e, l, 0);
  if (whole) store_vec(g, e, to, 0, 4);
  return addf(g, acc, e);
}

Val row_max(Gen *g, const SoftRow *r, Val low) {
  RowPass p = { .row = r };
  return row_fold(g, r->size, max_lanes, &p, low, low, true);
}

Val row_exp(Gen *g, const SoftRow *r, Val to, Val top, bool padded) {
  RowPass p = { r, to, top, padded };
  return row_fold(g, r->size, exp_lanes, &p, vzero(g), vzero(g), false);
}

/* ---- the kernel ------------------------------------------------------ */

typedef struct Soft {
  int64_t dim, to, from;   /* the softmax axis and its strides */
  Val count;               /* its size in this call, where it is free */
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
  loop_begin(g, &i, k64(g, 0), s->count ? s->count : k64(g, s->dim), 1,
             !s->count, "soft");
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

typedef struct Scale { Val to, by; } Scale;

static Val scale_lanes(Gen *g, const void *ctx, Val at, Lanes l, Val acc) {
  const Scale *s = ctx;
  Val to = addr(g, s->to, at);
  lanes_store(g, LLVMBuildFMul(g->b, lanes_load(g, to, l), s->by, ""), to, l);
  return acc;
}

static void soft_row(Gen *g, const Soft *s, Val to, Val from) {
  SoftRow r = { from, { s->dim, s->count }, NULL };
  Val top = row_max(g, &r, vsplat(g, kf(g, -INFINITY)));
  Val sum = row_exp(g, &r, to, top, false);
  Scale by = { to, LLVMBuildFDiv(g->b, vsplat(g, kf(g, 1)), sum, "") };
  row_each(g, r.size, scale_lanes, &by);
}

static void soft_lines(Gen *g, const void *ctx, Val *p, int n) {
  const Soft *s = ctx;
  bool along = s->dim > 1 && s->to == 1 && s->from == 1;
  if (along) soft_row(g, s, p[0], p[1]);
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
  s.count = t.count[axis];
  s.to = t.arg[0].stride[axis];
  s.from = t.arg[1].stride[axis];
  bool along = s.dim > 1 && s.to == 1 && s.from == 1;
  nest_lines(g, &t, axis, !along, soft_lines, &s);
  clear_halo(g, n);
}
