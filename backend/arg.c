/* arg.c - kernels argmax, argmin and argsort, for any unblocked layouts.
 * Where other axes are dense, vectors run across lines, else along the line
 * where that is dense.
 *
 * Elements are compared by keys: integers in the order wanted, so that a NaN
 * has its place too.  argsort takes a few first ones by a pass each, which
 * finds the first element behind the one found before; all of them by
 * Batcher's merge exchange (Knuth, 1998, section 5.2.2, algorithm M), whose
 * comparisons do not depend on the data, on the result itself. */
#include <math.h>

#include "backend/vmath.h"

typedef struct Arg {
  const Node *n;
  Elem e;
  int64_t dim;         /* of the axis */
  int64_t from, to;    /* bytes from one element of a line to the next */
  int64_t count;       /* elements wanted; 0: argmax and argmin */
  bool reversed;       /* the greatest first */
} Arg;

/* n lanes of the line at p, or one element (0). */
static Val get(Gen *g, const Arg *a, Val p, int n) {
  return n ? load_lanes_of(g, a->e, p, 0, n) : load_elem(g, a->e, p, 0);
}

static Val less(Gen *g, bool is_unsigned, Val a, Val b) {
  return LLVMBuildICmp(g->b, is_unsigned ? LLVMIntULT : LLVMIntSLT, a, b, "");
}

static Val pick(Gen *g, Val c, Val yes, Val no) {
  return LLVMBuildSelect(g->b, c, yes, no, "");
}

/* ---- argmax, argmin -------------------------------------------------- */

typedef struct Best { Val v, at; } Best;

static Val arg_start(Gen *g, const Arg *a) {
  LLVMTypeRef t = elem_type(g, a->e);
  bool max = !a->reversed;
  if (a->e == F32) return kf(g, (double)NAN);
  unsigned bits = (unsigned)elem_bits(a->e);
  uint64_t low = a->e == U8 ? 0 : (uint64_t)1 << (bits - 1);
  return LLVMConstInt(t, max ? low : ~low, false);
}

/* x at place `at`, if it is better: than a NaN all but a NaN is. */
static void arg_step(Gen *g, const Arg *a, Val x, Val at, Best *b) {
  Val lo = a->reversed ? x : b->v, hi = a->reversed ? b->v : x, c;
  if (a->e == F32) {
    c = LLVMBuildFCmp(g->b, LLVMRealULT, lo, hi, "");
    Val real = LLVMBuildFCmp(g->b, LLVMRealORD, x, x, "");
    c = LLVMBuildAnd(g->b, c, real, "");
  } else {
    c = less(g, a->e == U8, lo, hi);
  }
  b->v = pick(g, c, x, b->v);
  b->at = pick(g, c, at, b->at);
}

/* Elements [from, to) of the line at p, n lanes side by side. */
static void arg_loop(Gen *g, const Arg *a, Val p, int64_t from, int64_t to,
                     int n, Best *b) {
  Loop l;
  loop_begin(g, &l, k64(g, from), k64(g, to), 1, true, "arg");
  loop_carry(g, &l, &b->v);
  loop_carry(g, &l, &b->at);
  Val at = LLVMBuildTrunc(g->b, l.iv, g->i32, "");
  if (n) at = vsplat(g, at);
  arg_step(g, a, get(g, a, addr_at(g, p, l.iv, a->from), n), at, b);
  loop_end(g, &l);
}

/* 0, 1, 2, ... in lanes. */
static Val lane_numbers(Gen *g) {
  Val at[64];
  for (int i = 0; i < g->t->lanes; i++) at[i] = k32(g, i);
  return LLVMConstVector(at, (unsigned)g->t->lanes);
}

/* The better of two, of equals the one that comes first. */
static Best arg_join(Gen *g, const Arg *a, Best x, Best y) {
  Best b = x;
  arg_step(g, a, y.v, y.at, &b);
  Val same = a->e == F32 ? LLVMBuildFCmp(g->b, LLVMRealOEQ, x.v, y.v, "")
                         : LLVMBuildICmp(g->b, LLVMIntEQ, x.v, y.v, "");
  Val low = pick(g, less(g, false, y.at, x.at), y.at, x.at);
  b.at = pick(g, same, low, b.at);
  return b;
}

/* A dense line in vectors, their lanes joined; what is left one by one. */
static void arg_along(Gen *g, const Arg *a, Val p, Best *b) {
  int lanes = g->t->lanes, lane[64];
  int64_t full = a->dim / lanes * lanes;
  Best v = { vsplat(g, b->v), vsplat(g, b->at) };
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, full), lanes, true, "arg");
  loop_carry(g, &l, &v.v);
  loop_carry(g, &l, &v.at);
  Val at = vsplat(g, LLVMBuildTrunc(g->b, l.iv, g->i32, ""));
  at = LLVMBuildAdd(g->b, at, lane_numbers(g), "");
  arg_step(g, a, get(g, a, addr_at(g, p, l.iv, a->from), lanes), at,
           &v);
  loop_end(g, &l);
  for (int w = lanes / 2; w >= 1; w /= 2) {
    for (int i = 0; i < lanes; i++) lane[i] = i < w ? i + w : -1;
    Best o = { vshuffle(g, v.v, v.v, lane, lanes),
               vshuffle(g, v.at, v.at, lane, lanes) };
    v = arg_join(g, a, v, o);
  }
  *b = (Best){ vlane(g, v.v, 0), vlane(g, v.at, 0) };
  if (full < a->dim) arg_loop(g, a, p, full, a->dim, 0, b);
}

static bool along(const Gen *g, const Arg *a, int n) {
  return n == 0 && elem_size(a->e) == 4 && a->from == 4 &&
         a->dim >= g->t->lanes;
}

static void arg_line(Gen *g, const void *ctx, Val *p, int n) {
  const Arg *a = ctx;
  Best b = { arg_start(g, a), k32(g, 0) };
  if (along(g, a, n)) {
    arg_along(g, a, p[1], &b);
  } else {
    if (n) b = (Best){ vsplat(g, b.v), vsplat(g, b.at) };
    arg_loop(g, a, p[1], 0, a->dim, n, &b);
  }
  if (n) store_lanes_of(g, I32, b.at, p[0], 0, n);
  else store_elem(g, I32, b.at, p[0], 0);
}

/* ---- keys ------------------------------------------------------------ */

/* An integer that is in order where the elements are; of floats, the bits,
 * those below the sign turned over for negative ones. */
static Val key_of(Gen *g, const Arg *a, Val x) {
  if (a->e == F32) {
    Val zero = const_like(g, x, 0);
    Val nan = LLVMBuildFCmp(g->b, LLVMRealUNO, x, x, "");
    Val plus = LLVMBuildFAdd(g->b, x, zero, "");   /* no -0 */
    LLVMTypeRef t = is_vector(x) ? g->veci : g->i32;
    Val bits = LLVMBuildBitCast(g->b, plus, t, "");
    Val sign = LLVMBuildAShr(g->b, bits, const_like(g, bits, 31), "");
    sign = LLVMBuildAnd(g->b, sign, const_like(g, bits, 0x7fffffff), "");
    x = LLVMBuildXor(g->b, bits, sign, "");
    x = pick(g, nan, const_like(g, x, 0x7fffffff), x);
  }
  return a->reversed ? LLVMBuildNot(g->b, x, "") : x;
}

/* Whether key and place x come before y. */
static Val before(Gen *g, Best x, Best y) {
  Val same = LLVMBuildICmp(g->b, LLVMIntEQ, x.v, y.v, "");
  Val first = LLVMBuildAnd(g->b, same, less(g, false, x.at, y.at), "");
  return LLVMBuildOr(g->b, less(g, false, x.v, y.v), first, "");
}

/* ---- a few by a pass each -------------------------------------------- */

/* x, if it comes behind `last` and before the best so far. */
static void few_step(Gen *g, Best x, Best last, Best *b) {
  Val c = before(g, last, x);
  c = LLVMBuildAnd(g->b, c, before(g, x, *b), "");
  b->v = pick(g, c, x.v, b->v);
  b->at = pick(g, c, x.at, b->at);
}

static void few_loop(Gen *g, const Arg *a, Val p, int64_t from, int64_t to,
                     int n, Best last, Best *b) {
  Loop l;
  loop_begin(g, &l, k64(g, from), k64(g, to), 1, true, "few");
  loop_carry(g, &l, &b->v);
  loop_carry(g, &l, &b->at);
  Val at = LLVMBuildTrunc(g->b, l.iv, g->i32, "");
  if (n) at = vsplat(g, at);
  Val x = get(g, a, addr_at(g, p, l.iv, a->from), n);
  few_step(g, (Best){ key_of(g, a, x), at }, last, b);
  loop_end(g, &l);
}

static void few_along(Gen *g, const Arg *a, Val p, Best last, Best *b) {
  int lanes = g->t->lanes, lane[64];
  int64_t full = a->dim / lanes * lanes;
  Best v = { vsplat(g, b->v), vsplat(g, b->at) };
  Best after = { vsplat(g, last.v), vsplat(g, last.at) };
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, full), lanes, true, "few");
  loop_carry(g, &l, &v.v);
  loop_carry(g, &l, &v.at);
  Val at = vsplat(g, LLVMBuildTrunc(g->b, l.iv, g->i32, ""));
  at = LLVMBuildAdd(g->b, at, lane_numbers(g), "");
  Val x = get(g, a, addr_at(g, p, l.iv, a->from), lanes);
  few_step(g, (Best){ key_of(g, a, x), at }, after, &v);
  loop_end(g, &l);
  for (int w = lanes / 2; w >= 1; w /= 2) {
    for (int i = 0; i < lanes; i++) lane[i] = i < w ? i + w : -1;
    Best o = { vshuffle(g, v.v, v.v, lane, lanes),
               vshuffle(g, v.at, v.at, lane, lanes) };
    Val c = before(g, o, v);
    v = (Best){ pick(g, c, o.v, v.v), pick(g, c, o.at, v.at) };
  }
  *b = (Best){ vlane(g, v.v, 0), vlane(g, v.at, 0) };
  if (full < a->dim) few_loop(g, a, p, full, a->dim, 0, last, b);
}

static void few_line(Gen *g, const Arg *a, Val *p, int n) {
  LLVMTypeRef t = a->e == I64 ? g->i64 : g->i32;
  unsigned bits = a->e == I64 ? 64 : 32;
  uint64_t low = (uint64_t)1 << (bits - 1);
  Best last = { LLVMConstInt(t, low, false), k32(g, -1) };
  Best none = { LLVMConstInt(t, low - 1, false), k32(g, INT32_MAX) };
  if (n) {
    last = (Best){ vsplat(g, last.v), vsplat(g, last.at) };
    none = (Best){ vsplat(g, none.v), vsplat(g, none.at) };
  }
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, a->count), 1, true, "first");
  loop_carry(g, &l, &last.v);
  loop_carry(g, &l, &last.at);
  Best b = none;
  if (along(g, a, n)) few_along(g, a, p[1], last, &b);
  else few_loop(g, a, p[1], 0, a->dim, n, last, &b);
  Val to = addr_at(g, p[0], l.iv, a->to);
  if (n) store_lanes_of(g, I32, b.at, to, 0, n);
  else store_elem(g, I32, b.at, to, 0);
  last = b;
  loop_end(g, &l);
}

/* ---- all by merge exchange ------------------------------------------- */

/* Places i and i + d of the result, in order. */
static void exchange(Gen *g, const Arg *a, Val *p, Val i, Val d) {
  Val at[2], word[2];
  Best b[2];
  at[0] = addr_at(g, p[0], i, a->to);
  at[1] = addr_at(g, at[0], d, a->to);
  for (int k = 0; k < 2; k++) {
    word[k] = load_elem(g, I32, at[k], 0);
    Val wide = LLVMBuildZExt(g->b, word[k], g->i64, "");
    Val x = get(g, a, addr_at(g, p[1], wide, a->from), 0);
    b[k] = (Best){ key_of(g, a, x), word[k] };
  }
  Val swap = before(g, b[1], b[0]);
  store_elem(g, I32, pick(g, swap, word[1], word[0]), at[0], 0);
  store_elem(g, I32, pick(g, swap, word[0], word[1]), at[1], 0);
}

/* The rounds of the network: p, r, d; returns how many. */
static int64_t network(Gen *g, int64_t n, int64_t *blob) {
  int64_t top = 1, count = 0;
  while (2 * top < n) top *= 2;
  int64_t *round = arena_array(g->a, int64_t, 3 * 32 * 32);
  for (int64_t p = top; p > 0; p /= 2) {
    int64_t q = top, r = 0, d = p;
    for (;;) {
      round[3 * count] = p, round[3 * count + 1] = r;
      round[3 * count++ + 2] = d;
      if (q == p) break;
      d = q - p, q /= 2, r = p;
    }
  }
  *blob = blob_add(g, round, (size_t)count * 3 * sizeof *round, 8);
  return count;
}

static void all_line(Gen *g, const Arg *a, Val *p) {
  int64_t blob, rounds = network(g, a->dim, &blob);
  Loop l, i;
  loop_begin(g, &l, k64(g, 0), k64(g, a->dim), 1, true, "i");
  Val at = LLVMBuildTrunc(g->b, l.iv, g->i32, "");
  store_elem(g, I32, at, addr_at(g, p[0], l.iv, a->to), 0);
  loop_end(g, &l);
  if (a->dim < 2) return;
  loop_begin(g, &l, k64(g, 0), k64(g, rounds), 1, true, "round");
  Val row = addr_at(g, blob_ptr(g, blob), l.iv, 24), v[3];
  for (int k = 0; k < 3; k++) v[k] = load_elem(g, I64, row, 8 * k);
  Val end = LLVMBuildSub(g->b, k64(g, a->dim), v[2], "");
  loop_begin(g, &i, k64(g, 0), end, 1, false, "i");
  Val part = LLVMBuildAnd(g->b, i.iv, v[0], "");
  If f;
  if_begin(g, &f, LLVMBuildICmp(g->b, LLVMIntEQ, part, v[1], ""));
  exchange(g, a, p, i.iv, v[2]);
  if_end(g, &f);
  loop_end(g, &i);
  loop_end(g, &l);
}

static void sort_line(Gen *g, const void *ctx, Val *p, int n) {
  const Arg *a = ctx;
  if (a->count < a->dim) few_line(g, a, p, n);
  else all_line(g, a, p);
}

/* ---- the kernels ----------------------------------------------------- */

/* The lines of x, and where their results go. */
static Arg arg_begin(Gen *g, const Node *n, Nest *t, int *axis) {
  const Node *x = n->in[0];
  Arg a = { .n = n, .e = x->type.elem };
  *axis = (int)attr_int(n, "axis");
  if (*axis < 0) *axis += x->type.rank;
  a.dim = x->type.dim[*axis];
  *t = (Nest){ .rank = x->type.rank, .nargs = 2 };
  for (int i = 0; i < t->rank; i++) t->dim[i] = x->type.dim[i];
  t->arg[0] = (NestArg){ .at = value_ptr(g, n), .elem = I32 };
  t->arg[1] = (NestArg){ .at = value_ptr(g, x), .elem = a.e };
  value_strides(x, t->arg[1].stride);
  a.from = t->arg[1].stride[*axis] * (int64_t)elem_size(a.e);
  return a;
}

void emit_arg(Gen *g, const Node *n) {
  Nest t;
  int axis;
  int64_t own[MAX_RANK];
  Arg a = arg_begin(g, n, &t, &axis);
  a.reversed = n->op == OP_ARGMIN;
  value_strides(n, own);
  bool keep = attr_bool(n, "keep");
  for (int i = 0; i < t.rank; i++)
    if (i != axis) t.arg[0].stride[i] = own[keep || i < axis ? i : i - 1];
  nest_lines(g, &t, axis, elem_size(a.e) == 4, arg_line, &a);
}

void emit_argsort(Gen *g, const Node *n) {
  Nest t;
  int axis;
  Arg a = arg_begin(g, n, &t, &axis);
  a.reversed = attr_bool(n, "descending");
  a.count = n->type.dim[axis];
  value_strides(n, t.arg[0].stride);
  a.to = 4 * t.arg[0].stride[axis];
  bool few = a.count < a.dim;
  nest_lines(g, &t, axis, few && elem_size(a.e) == 4, sort_line, &a);
}
