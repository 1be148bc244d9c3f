/* reduce.c - sum, mean, max and min over axes, for any unblocked layouts.
 * Vectors run along the axis in which the operand is dense: across results
 * when that axis is kept, along the fold (and then together) when not. */
#include <math.h>

#include "backend/vmath.h"

enum { CHAINS = 4 };

typedef struct Fold {
  const Node *n;
  Elem e;
  Nest t;              /* arg 0 the result (stride 0: folded), arg 1 x */
  int kept;            /* axes of t that are kept come first */
  int64_t count;       /* elements folded into one */
  Val counted;         /* the same where free axes are folded, or NULL */
  int share;           /* the kept axis that parts of the step share */
} Fold;

/* What a fold of no elements is. */
static double fold_start(Op op, Elem e) {
  bool max = op == OP_MAX;
  if (op != OP_MAX && op != OP_MIN) return op == OP_PROD ? 1 : 0;
  switch (e) {
    case I64: return max ? -0x1p63 : 0x1p63;
    case I32: return max ? INT32_MIN : INT32_MAX;
    case U8: return max ? 0 : UINT8_MAX;
    case B1: return max ? 0 : 1;
    default: return max ? -INFINITY : INFINITY;
  }
}

static Val start_scalar(Gen *g, Op op, Elem e) {
  LLVMTypeRef t = elem_type(g, e);
  double v = fold_start(op, e);
  if (elem_is_float(e)) return LLVMConstReal(t, v);
  int64_t k = v == 0x1p63 ? INT64_MAX : (int64_t)v;
  return LLVMConstInt(t, (uint64_t)k, true);
}

/* As the evaluator does it: a NaN never becomes an extreme.  A b1 is a byte
 * of 0 or 1 here. */
static Val fold_step(Gen *g, Op op, Elem e, Val acc, Val x) {
  bool real = elem_is_float(e);
  if (op == OP_PROD)
    return real ? LLVMBuildFMul(g->b, acc, x, "")
                : LLVMBuildMul(g->b, acc, x, "");
  if (op != OP_MAX && op != OP_MIN)
    return real ? LLVMBuildFAdd(g->b, acc, x, "")
                : LLVMBuildAdd(g->b, acc, x, "");
  Val lo = op == OP_MAX ? acc : x, hi = op == OP_MAX ? x : acc;
  bool is_unsigned = e == U8 || e == B1;
  Val less = real ? LLVMBuildFCmp(g->b, LLVMRealOLT, lo, hi, "")
                  : LLVMBuildICmp(g->b, is_unsigned ? LLVMIntULT : LLVMIntSLT,
                                  lo, hi, "");
  return LLVMBuildSelect(g->b, less, x, acc, "");
}

static Val fold_end(Gen *g, const Fold *f, Val acc) {
  if (f->n->op != OP_MEAN) return acc;
  if (f->counted) {
    Val n = LLVMBuildSIToFP(g->b, f->counted, g->f32, "");
    return LLVMBuildFDiv(g->b, acc, is_vector(acc) ? vsplat(g, n) : n, "");
  }
  return LLVMBuildFDiv(g->b, acc, const_like(g, acc, (double)f->count), "");
}

/* One result from the lanes of a vector. */
static Val fold_lanes(Gen *g, const Fold *f, Val v) {
  int lane[64];
  for (int w = g->t->lanes / 2; w >= 1; w /= 2) {
    for (int i = 0; i < g->t->lanes; i++) lane[i] = i < w ? i + w : -1;
    v = fold_step(g, f->n->op, f->e, v,
                  vshuffle(g, v, v, lane, g->t->lanes));
  }
  return vlane(g, v, 0);
}

/* The first n lanes from memory, the others without effect. */
static Val load_neutral(Gen *g, const Fold *f, Val p, int64_t off, int n) {
  int lane[64], lanes = g->t->lanes;
  Val v = load_lanes_of(g, f->e, p, off, n);
  if (n == lanes || fold_start(f->n->op, f->e) == 0) return v;
  for (int i = 0; i < lanes; i++) lane[i] = i < n ? i : lanes + i;
  Val start = vsplat(g, start_scalar(g, f->n->op, f->e));
  return vshuffle(g, v, start, lane, lanes);
}

/* Fold a dense run of `dim` elements at p into the chains. */
static void fold_run(Gen *g, const Fold *f, Val p, int64_t dim, Val *acc) {
  Op op = f->n->op;
  int lanes = g->t->lanes;
  int64_t step = (int64_t)lanes * CHAINS, full = dim / step * step;
  if (full) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, full), step, true, "run");
    for (int c = 0; c < CHAINS; c++) loop_carry(g, &l, &acc[c]);
    Val at = addr_at(g, p, l.iv, 4);
    for (int c = 0; c < CHAINS; c++)
      acc[c] = fold_step(g, op, f->e, acc[c],
                         load_lanes_of(g, f->e, at, 4 * c * lanes, lanes));
    loop_end(g, &l);
  }
  for (int c = 0; full < dim; full += lanes, c++) {
    int n = dim - full < lanes ? (int)(dim - full) : lanes;
    acc[c % CHAINS] = fold_step(g, op, f->e, acc[c % CHAINS],
                                load_neutral(g, f, p, 4 * full, n));
  }
}

/* The same of as many elements as there are. */
static void fold_counted(Gen *g, const Fold *f, Val p, Val count, Val *acc) {
  Op op = f->n->op;
  int64_t lanes = g->t->lanes, step = lanes * CHAINS;
  Val full = and64(g, count, -step), whole = and64(g, count, -lanes);
  Loop l;
  loop_begin(g, &l, k64(g, 0), full, step, false, "run");
  for (int c = 0; c < CHAINS; c++) loop_carry(g, &l, &acc[c]);
  Val at = addr_at(g, p, l.iv, 4);
  for (int c = 0; c < CHAINS; c++)
    acc[c] = fold_step(g, op, f->e, acc[c],
                       load_lanes_of(g, f->e, at, 4 * c * lanes, (int)lanes));
  loop_end(g, &l);
  loop_begin(g, &l, full, whole, lanes, false, "run");
  loop_carry(g, &l, &acc[0]);
  at = addr_at(g, p, l.iv, 4);
  acc[0] = fold_step(g, op, f->e, acc[0],
                     load_lanes_of(g, f->e, at, 0, (int)lanes));
  loop_end(g, &l);
  Val mask = lanes_below(g, LLVMBuildNSWSub(g->b, count, whole, ""));
  Val x = load_words(g, f->e, addr_at(g, p, whole, 4), mask);
  x = LLVMBuildSelect(g->b, mask, x,
                      vsplat(g, start_scalar(g, op, f->e)), "");
  acc[0] = fold_step(g, op, f->e, acc[0], x);
}

/* From an index of an axis to the next, in bytes. */
static int64_t fold_bytes(const Fold *f, int arg, int axis) {
  return (int64_t)elem_size(f->e) * f->t.arg[arg].stride[axis];
}

/* Vectors are made of words. */
static bool fold_in_vectors(const Fold *f) { return elem_size(f->e) == 4; }

/* The folded axes from `axis` on; the last one as a run when `along`, else
 * one load of n lanes (0: a scalar) an element. */
static void fold_axes(Gen *g, const Fold *f, int axis, Val p, bool along,
                      int n, Val *acc) {
  const Nest *t = &f->t;
  if (along && axis == t->rank - 1) {
    if (t->count[axis]) fold_counted(g, f, p, t->count[axis], acc);
    else fold_run(g, f, p, t->dim[axis], acc);
    return;
  }
  if (axis == t->rank) {
    Val x = n ? load_lanes_of(g, f->e, p, 0, n) : load_elem(g, f->e, p, 0);
    acc[0] = fold_step(g, f->n->op, f->e, acc[0], x);
    return;
  }
  Loop l;
  Val end = t->count[axis];
  loop_begin(g, &l, k64(g, 0), end ? end : k64(g, t->dim[axis]), 1, !end,
             "fold");
  for (int c = 0; c < (along ? CHAINS : 1); c++) loop_carry(g, &l, &acc[c]);
  Val at = addr_at(g, p, l.iv, fold_bytes(f, 1, axis));
  fold_axes(g, f, axis + 1, at, along, n, acc);
  loop_end(g, &l);
}

/* n results (0: one, as a scalar) from x on. */
static void fold_results(Gen *g, const Fold *f, Val to, Val x, int n) {
  const Nest *t = &f->t;
  Op op = f->n->op;
  bool along = n == 0 && t->rank > f->kept && fold_in_vectors(f) &&
               t->arg[1].stride[t->rank - 1] == 1;
  Val start = start_scalar(g, op, f->e), acc[CHAINS];
  for (int c = 0; c < CHAINS; c++)
    acc[c] = n || along ? vsplat(g, start) : start;
  fold_axes(g, f, f->kept, x, along, n, acc);
  if (along) {
    for (int w = CHAINS / 2; w >= 1; w /= 2)
      for (int c = 0; c < w; c++)
        acc[c] = fold_step(g, op, f->e, acc[c], acc[c + w]);
    acc[0] = fold_lanes(g, f, acc[0]);
  }
  Val v = fold_end(g, f, acc[0]);
  if (n) store_lanes_of(g, f->e, v, to, 0, n);
  else store_elem(g, f->e, v, to, 0);
}

/* The same where its size is known at run time. */
static void fold_across_counted(Gen *g, const Fold *f, Val to, Val x,
                                Val count) {
  int lanes = g->t->lanes;
  Val whole = and64(g, count, -lanes);
  Loop l;
  for (int n = lanes; n >= 0; n -= lanes) {
    loop_begin(g, &l, n ? k64(g, 0) : whole, n ? whole : count, n ? n : 1,
               false, "v");
    Val off = mul64(g, l.iv, 4);
    Val at = addr(g, to, off);
    fold_results(g, f, at, addr(g, x, off), n);
    loop_end(g, &l);
  }
}

/* The last kept axis in vectors. */
static void fold_across(Gen *g, const Fold *f, Val to, Val x) {
  int lanes = g->t->lanes;
  int64_t dim = f->t.dim[f->kept - 1], full = dim / lanes * lanes;
  if (f->t.count[f->kept - 1]) {
    fold_across_counted(g, f, to, x, f->t.count[f->kept - 1]);
    return;
  }
  if (full) {
    Loop l;
    loop_either(g, &l, f->share == f->kept - 1, 0, full, lanes, "v");
    Val off = mul64(g, l.iv, 4);
    Val at = addr(g, to, off);
    fold_results(g, f, at, addr(g, x, off), lanes);
    loop_end(g, &l);
  }
  if (full == dim) return;
  Once last;
  once_begin(g, &last);
  to = addrk(g, to, 4 * full);
  fold_results(g, f, to, addrk(g, x, 4 * full), (int)(dim - full));
  once_end(g, &last);
}

static void fold_kept(Gen *g, const Fold *f, int axis, Val to, Val x) {
  const Nest *t = &f->t;
  if (axis == f->kept) {
    Once one;
    once_begin(g, &one);
    fold_results(g, f, to, x, 0);
    once_end(g, &one);
    return;
  }
  if (axis == f->kept - 1 && t->arg[0].stride[axis] == 1 &&
      t->arg[1].stride[axis] == 1 && fold_in_vectors(f)) {
    fold_across(g, f, to, x);
    return;
  }
  Loop l;
  if (t->count[axis])
    loop_begin(g, &l, k64(g, 0), t->count[axis], 1, false, "i");
  else
    loop_either(g, &l, axis == f->share, 0, t->dim[axis], 1, "i");
  to = addr_at(g, to, l.iv, fold_bytes(f, 0, axis));
  fold_kept(g, f, axis + 1, to,
            addr_at(g, x, l.iv, fold_bytes(f, 1, axis)));
  loop_end(g, &l);
}

/* The axes of x, with the strides of the result along those kept. */
static void fold_begin(Gen *g, const Node *n, Fold *f) {
  const Node *x = n->in[0];
  int count, at = 0, rank = x->type.rank;
  const int64_t *axes = attr_ints(n, "axes", &count);
  bool gone[MAX_RANK] = { false }, keep = attr_bool(n, "keep");
  int64_t own[MAX_RANK];
  for (int i = 0; i < count; i++)
    gone[axes[i] < 0 ? axes[i] + rank : axes[i]] = true;
  *f = (Fold){ .n = n, .e = n->type.elem, .count = 1,
               .t = { .rank = rank, .nargs = 2 } };
  value_strides(n, own);
  value_strides(x, f->t.arg[1].stride);
  for (int i = 0; i < rank; i++) {
    bool folded = count == 0 || gone[i];
    f->t.dim[i] = x->type.dim[i];
    f->t.count[i] = axis_count(g, &x->type, i);
    if (folded && f->t.count[i]) f->counted = k64(g, 1);
    if (folded) f->count *= x->type.dim[i];
    else f->t.arg[0].stride[i] = own[keep ? i : at];
    at += !folded;
  }
  for (int i = 0; f->counted && i < rank; i++)
    if (count == 0 || gone[i])
      f->counted = LLVMBuildNSWMul(g->b, f->counted,
                                   axis_size(g, &x->type, i), "");
  f->t.arg[0].at = value_ptr(g, n);
  f->t.arg[1].at = value_ptr(g, x);
  f->t.arg[0].elem = f->t.arg[1].elem = f->e;
}

void emit_reduce(Gen *g, const Node *n) {
  Fold f;
  fold_begin(g, n, &f);
  if (type_elems(&n->type) == 0) return;
  if (f.count == 0) {
    Nest t;
    nest_over(g, &t, n);
    t.arg[t.nargs++] = (NestArg){ .elem = f.e, .scalar =
        n->op == OP_MEAN ? kf(g, NAN) : start_scalar(g, n->op, f.e) };
    nest_copy(g, &t);
    return;
  }
  nest_simplify(g, &f.t);
  while (f.kept < f.t.rank && f.t.arg[0].stride[f.kept]) f.kept++;
  f.share = parts_level(g, f.t.dim, f.kept);
  fold_kept(g, &f, 0, f.t.arg[0].at, f.t.arg[1].at);
  clear_halo(g, n);
}
