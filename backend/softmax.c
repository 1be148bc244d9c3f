/* softmax.c - e^(x - max) over their sum along one axis, in three passes.
 * Vectors run along the axis where it is dense in both values, else across
 * an axis that is. */
#include <math.h>

#include "backend/vmath.h"

typedef struct Soft {
  int64_t dim, to, from;   /* the softmax axis and its strides */
  Val count;               /* its size in this call, where it is free */
} Soft;

/* How one line or bundle of lines is read: n lanes of a bundle, or a line
 * in vectors (n < 0), or in scalars (0). */
typedef struct Line { Val to, from; int n; } Line;

static Val max_step(Gen *g, Val acc, Val x) {
  return vm_select(g, LLVMRealOLT, acc, x, x, acc);
}

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
  Val x = get(g, from, n), neutral = NULL;
  int lanes = g->t->lanes, lane[64];
  if (n && n < lanes) {
    for (int i = 0; i < lanes; i++) lane[i] = i < n ? i : lanes + i;
    neutral = const_like(g, x, pass == PASS_MAX ? (double)-INFINITY : 0);
  }
  if (pass == PASS_MAX) {
    if (neutral) x = vshuffle(g, x, neutral, lane, lanes);
    return max_step(g, acc, x);
  }
  Val e = vm_exp(g, LLVMBuildFSub(g->b, x, k, ""));
  put(g, e, to, n);
  if (neutral) e = vshuffle(g, e, neutral, lane, lanes);
  return LLVMBuildFAdd(g->b, acc, e, "");
}

/* The lanes of a vector that the mask has. */
static Val soft_masked(Gen *g, SoftPass pass, Val to, Val from, Val mask,
                       Val k, Val acc) {
  if (pass == PASS_SCALE) {
    Val v = LLVMBuildFMul(g->b, load_words(g, F32, to, mask), k, "");
    store_words(g, v, to, mask);
    return acc;
  }
  Val x = load_words(g, F32, from, mask);
  if (pass == PASS_MAX) {
    x = LLVMBuildSelect(g->b, mask, x, const_like(g, x, (double)-INFINITY),
                        "");
    return max_step(g, acc, x);
  }
  Val e = vm_exp(g, LLVMBuildFSub(g->b, x, k, ""));
  store_words(g, e, to, mask);
  e = LLVMBuildSelect(g->b, mask, e, vzero(g), "");
  return LLVMBuildFAdd(g->b, acc, e, "");
}

/* A pass along an axis whose size is known at run time. */
static Val soft_counted(Gen *g, const Soft *s, const Line *l, SoftPass pass,
                        Val k, Val acc) {
  bool along = l->n < 0;
  int width = along ? g->t->lanes : 1, n = along ? width : l->n;
  Val full = along ? and64(g, s->count, -width) : s->count;
  Loop i;
  loop_begin(g, &i, k64(g, 0), full, width, false, "soft");
  loop_carry(g, &i, &acc);
  Val to = addr_at(g, l->to, i.iv, 4 * s->to);
  acc = soft_step(g, pass, to, addr_at(g, l->from, i.iv, 4 * s->from), n, k,
                  acc);
  loop_end(g, &i);
  if (!along) return acc;
  Val mask = lanes_below(g, LLVMBuildNSWSub(g->b, s->count, full, ""));
  return soft_masked(g, pass, addr_at(g, l->to, full, 4),
                     addr_at(g, l->from, full, 4), mask, k, acc);
}

/* A pass along the axis, in steps of `width` elements of it. */
static Val soft_loop(Gen *g, const Soft *s, const Line *l, SoftPass pass,
                     Val k, Val acc) {
  bool along = l->n < 0;
  int width = along ? g->t->lanes : 1, n = along ? width : l->n;
  int64_t full = s->dim / width * width;
  if (s->count) return soft_counted(g, s, l, pass, k, acc);
  if (full) {
    Loop i;
    loop_begin(g, &i, k64(g, 0), k64(g, full), width, true, "soft");
    loop_carry(g, &i, &acc);
    Val to = addr_at(g, l->to, i.iv, 4 * s->to);
    acc = soft_step(g, pass, to, addr_at(g, l->from, i.iv, 4 * s->from), n,
                    k, acc);
    loop_end(g, &i);
  }
  if (full == s->dim) return acc;
  Val to = addrk(g, l->to, 4 * full), from = addrk(g, l->from, 4 * full);
  return soft_step(g, pass, to, from, (int)(s->dim - full), k, acc);
}

/* Fold the lanes of a vector; every lane of the result is the fold. */
static Val fold_all(Gen *g, Val v, bool max) {
  int lane[64], lanes = g->t->lanes;
  for (int w = lanes / 2; w >= 1; w /= 2) {
    for (int i = 0; i < lanes; i++) lane[i] = i ^ w;
    Val o = vshuffle(g, v, v, lane, lanes);
    v = max ? max_step(g, v, o) : LLVMBuildFAdd(g->b, v, o, "");
  }
  return v;
}

static void soft_line(Gen *g, const Soft *s, Line l) {
  Val low = kf(g, -INFINITY), zero = kf(g, 0), one = kf(g, 1);
  if (l.n) low = vsplat(g, low), zero = vsplat(g, zero), one = vsplat(g, one);
  Val top = soft_loop(g, s, &l, PASS_MAX, NULL, low);
  if (l.n < 0) top = fold_all(g, top, true);
  Val sum = soft_loop(g, s, &l, PASS_EXP, top, zero);
  if (l.n < 0) sum = fold_all(g, sum, false);
  Val k = LLVMBuildFDiv(g->b, one, sum, "");
  soft_loop(g, s, &l, PASS_SCALE, k, zero);
}

static void soft_lines(Gen *g, const void *ctx, Val *p, int n) {
  const Soft *s = ctx;
  bool along = s->dim > 1 && s->to == 1 && s->from == 1;
  soft_line(g, s, (Line){ p[0], p[1], along ? -1 : n });
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
