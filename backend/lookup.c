/* lookup.c - kernels that find slices by an index (gather, scatter_add,
 * scatter), sum along an axis (cumsum), or make numbers of nothing but numbers
 * (iota, random), for any unblocked layouts. */
#include <string.h>

#include "backend/vmath.h"

/* ---- cumsum ---------------------------------------------------------- */

typedef struct Sums {
  const Node *n;
  Elem e;
  Val dim;                 /* size of the axis */
  int64_t to, from;        /* bytes from element to element */
} Sums;

static void sums_line(Gen *g, const void *ctx, Val *p, int n) {
  const Sums *s = ctx;
  bool reverse = attr_bool(s->n, "reverse");
  bool exclusive = attr_bool(s->n, "exclusive");
  Val sum = LLVMConstNull(n ? elem_vec(g, s->e) : elem_type(g, s->e));
  Val to = p[0], from = p[1];
  if (reverse) {
    Val last = add64(g, s->dim, k64(g, -1));
    to = addr_at(g, to, last, s->to);
    from = addr_at(g, from, last, s->from);
  }
  Loop l;
  loop_begin(g, &l, k64(g, 0), s->dim, 1, LLVMIsConstant(s->dim), "sum");
  loop_carry(g, &l, &sum);
  Val at = addr_at(g, from, l.iv, reverse ? -s->from : s->from);
  Val x = n ? load_lanes_of(g, s->e, at, 0, n) : load_elem(g, s->e, at, 0);
  Val old = sum;
  sum = s->e == F32 ? LLVMBuildFAdd(g->b, sum, x, "")
                    : LLVMBuildAdd(g->b, sum, x, "");
  at = addr_at(g, to, l.iv, reverse ? -s->to : s->to);
  Val y = exclusive ? old : sum;
  if (n) store_lanes_of(g, s->e, y, at, 0, n);
  else store_elem(g, s->e, y, at, 0);
  loop_end(g, &l);
}

void emit_cumsum(Gen *g, const Node *n) {
  Nest t;
  int axis = (int)attr_int(n, "axis");
  if (axis < 0) axis += n->type.rank;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  Sums s = { n, n->type.elem, axis_size(g, &n->type, axis), 0, 0 };
  s.to = t.arg[0].stride[axis] * (int64_t)elem_size(s.e);
  s.from = t.arg[1].stride[axis] * (int64_t)elem_size(s.e);
  nest_lines(g, &t, axis, elem_size(s.e) == 4, sums_line, &s);
  clear_halo(g, n);
}

/* ---- gather, scatter_add, scatter ------------------------------------ */

/* The walk over all indices: the axes of x in front of the axis, then those
 * of the index; `slice` is the nest over the axes behind, arg 0 in the table
 * (x of gather, y of a scatter), arg 1 in the slices. */
typedef struct Lookup {
  const Node *n, *index;
  bool scatters, sets;        /* folds by op, or sets */
  Op op;
  Elem e;
  Val size;                   /* of the axis */
  int64_t axis_bytes;         /* of the table, from one to the next */
  int rank;                   /* of the walk */
  int64_t dim[MAX_RANK];
  Val count[MAX_RANK];        /* in place of dim, or NULL */
  int64_t table[MAX_RANK], slices[MAX_RANK], at[MAX_RANK];   /* bytes */
  Nest slice;
} Lookup;

static Val clamped(Gen *g, Val i, Val size) {
  Val zero = k64(g, 0), last = add64(g, size, k64(g, -1));
  i = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, i, zero, ""),
                      zero, i, "");
  return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, i, last, ""),
                         last, i, "");
}

static Val body_fold(Gen *g, const void *ctx, Val *in) {
  const Lookup *l = ctx;
  return l->e == F32 ? binary_math(g, l->op, in[0], in[1])
                     : binary_int(g, l->op, l->e, in[0], in[1]);
}

static void slice_copy(Gen *g, const Lookup *l, Val table, Val slice, Val i) {
  Nest t = l->slice;
  NestArg from = t.arg[0], to = t.arg[1];
  t.arg[0] = to, t.arg[1] = from;
  t.arg[0].at = slice;
  t.arg[1].at = addr_at(g, table, clamped(g, i, l->size), l->axis_bytes);
  nest_copy(g, &t);
}

/* Only what is in range, also where it is read. */
static void slice_put(Gen *g, const Lookup *l, Val table, Val slice, Val i) {
  Nest t = l->slice;
  If f;
  if_begin(g, &f, LLVMBuildICmp(g->b, LLVMIntULT, i, l->size, ""));
  t.arg[0].at = addr_at(g, table, i, l->axis_bytes);
  t.arg[1].at = slice;
  if (l->sets) {
    nest_copy(g, &t);
  } else {
    t.nargs = 3;
    t.arg[2] = t.arg[1], t.arg[1] = t.arg[0];
    nest_map(g, &t, body_fold, l);
  }
  if_end(g, &f);
}

static void lookup_walk(Gen *g, const Lookup *l, int k, Val table, Val slice,
                        Val index) {
  if (k == l->rank) {
    Val i = load_elem(g, l->index->type.elem, index, 0);
    if (l->index->type.elem == I32) i = LLVMBuildSExt(g->b, i, g->i64, "");
    (l->scatters ? slice_put : slice_copy)(g, l, table, slice, i);
    return;
  }
  Loop loop;
  Val end = l->count[k];
  loop_begin(g, &loop, k64(g, 0), end ? end : k64(g, l->dim[k]), 1, !end,
             "i");
  table = addr_at(g, table, loop.iv, l->table[k]);
  slice = addr_at(g, slice, loop.iv, l->slices[k]);
  index = addr_at(g, index, loop.iv, l->at[k]);
  lookup_walk(g, l, k + 1, table, slice, index);
  loop_end(g, &loop);
}

/* `table` and `slices` are two of x, the result and the updates. */
static Lookup lookup_of(Gen *g, const Node *n, const Node *table,
                        const Node *slices) {
  Lookup l = { .n = n, .index = n->in[1], .e = table->type.elem };
  int axis = (int)attr_int(n, "axis"), wide = l.index->type.rank;
  int64_t ts[MAX_RANK], ss[MAX_RANK], is[MAX_RANK];
  int64_t bytes = (int64_t)elem_size(l.e);
  if (axis < 0) axis += table->type.rank;
  value_strides(table, ts);
  value_strides(slices, ss);
  value_strides(l.index, is);
  l.size = axis_size(g, &table->type, axis);
  l.axis_bytes = bytes * ts[axis];
  l.rank = axis + wide;
  for (int k = 0; k < l.rank; k++) {
    l.dim[k] = slices->type.dim[k];
    l.count[k] = axis_count(g, &slices->type, k);
    l.slices[k] = bytes * ss[k];
    if (k < axis) l.table[k] = bytes * ts[k];
    else
      l.at[k] = is[k - axis] * (int64_t)elem_size(l.index->type.elem);
  }
  l.slice = (Nest){ .rank = table->type.rank - axis - 1, .nargs = 2 };
  l.slice.arg[0].elem = l.slice.arg[1].elem = l.e;
  for (int k = 0; k < l.slice.rank; k++) {
    l.slice.dim[k] = table->type.dim[axis + 1 + k];
    l.slice.count[k] = axis_count(g, &table->type, axis + 1 + k);
    l.slice.arg[0].stride[k] = ts[axis + 1 + k];
    l.slice.arg[1].stride[k] = ss[l.rank + k];
  }
  return l;
}

static bool lookup_any(const Lookup *l) {
  for (int k = 0; k < l->rank; k++)
    if (l->dim[k] == 0) return false;
  for (int k = 0; k < l->slice.rank; k++)
    if (l->slice.dim[k] == 0) return false;
  return true;
}

void emit_gather(Gen *g, const Node *n) {
  Lookup l = lookup_of(g, n, n->in[0], n);
  Val table = value_ptr(g, n->in[0]), slice = value_ptr(g, n);
  lookup_walk(g, &l, 0, table, slice, value_ptr(g, l.index));
  clear_halo(g, n);
}

static void scatter(Gen *g, const Node *n, bool sets, Op op) {
  Lookup l = lookup_of(g, n, n, n->in[2]);
  Nest t;
  l.scatters = true;
  l.sets = sets;
  l.op = op;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  nest_copy(g, &t);
  if (lookup_any(&l)) {
    Val table = value_ptr(g, n), slice = value_ptr(g, n->in[2]);
    lookup_walk(g, &l, 0, table, slice, value_ptr(g, l.index));
  }
  clear_halo(g, n);
}

void emit_scatter_add(Gen *g, const Node *n) { scatter(g, n, false, OP_ADD); }

void emit_scatter(Gen *g, const Node *n) {
  Op op = OP_ADD;
  bool folds = scatter_op(attr_str(n, "mode"), &op);
  scatter(g, n, !folds, op);
}

/* ---- iota ------------------------------------------------------------ */

void emit_iota(Gen *g, const Node *n) {
  Nest t;
  int axis = (int)attr_int(n, "axis");
  if (axis < 0) axis += n->type.rank;
  nest_over(g, &t, n);
  size_t count = (size_t)n->type.dim[axis];
  int32_t *table = arena_array(g->a, int32_t, count);
  for (size_t i = 0; i < count; i++) table[i] = (int32_t)i;
  NestArg *a = &t.arg[t.nargs++];
  a->at = blob_ptr(g, blob_add(g, table, count * sizeof *table, 64));
  a->elem = I32;
  a->stride[axis] = 1;
  nest_copy(g, &t);
}

/* ---- random ---------------------------------------------------------- */

/* Both halves of 32-bit products. */
static void wide_mul(Gen *g, Val a, uint32_t m, Val *hi, Val *lo) {
  LLVMTypeRef t64 = is_vector(a) ? elem_vec(g, I64) : g->i64;
  LLVMTypeRef t32 = LLVMTypeOf(a);
  Val wide = LLVMBuildZExt(g->b, a, t64, "");
  wide = LLVMBuildMul(g->b, wide, const_like(g, wide, m), "");
  *lo = LLVMBuildTrunc(g->b, wide, t32, "");
  wide = LLVMBuildLShr(g->b, wide, const_like(g, wide, 32), "");
  *hi = LLVMBuildTrunc(g->b, wide, t32, "");
}

/* The rounds of ir/eval_index.c on a block, or a vector of blocks. */
static void philox_rounds(Gen *g, Val c[4], Val k0, Val k1) {
  for (int round = 0; round < 10; round++) {
    Val ahi, alo, bhi, blo;
    wide_mul(g, c[0], PHILOX_M0, &ahi, &alo);
    wide_mul(g, c[2], PHILOX_M1, &bhi, &blo);
    c[0] = LLVMBuildXor(g->b, LLVMBuildXor(g->b, bhi, c[1], ""), k0, "");
    c[2] = LLVMBuildXor(g->b, LLVMBuildXor(g->b, ahi, c[3], ""), k1, "");
    c[1] = blo, c[3] = alo;
    k0 = LLVMBuildAdd(g->b, k0, const_like(g, k0, PHILOX_W0), "");
    k1 = LLVMBuildAdd(g->b, k1, const_like(g, k1, PHILOX_W1), "");
  }
}

/* Numbers in [0,1) of the words of the blocks from `block` on (i64). */
static void blocks(Gen *g, Val block, bool vector, const Val key[2],
                   Val out[4]) {
  Val lo, hi, n = block;
  if (vector) {
    Val at[64];
    for (int i = 0; i < g->t->lanes; i++) at[i] = k64(g, i);
    n = LLVMBuildAdd(g->b, vsplat(g, block),
                     LLVMConstVector(at, (unsigned)g->t->lanes), "");
  }
  LLVMTypeRef t32 = vector ? g->veci : g->i32;
  LLVMTypeRef real = vector ? g->vec : g->f32;
  lo = LLVMBuildTrunc(g->b, n, t32, "");
  hi = LLVMBuildLShr(g->b, n, const_like(g, n, 32), "");
  hi = LLVMBuildTrunc(g->b, hi, t32, "");
  Val c[4] = { lo, hi, LLVMConstNull(t32), LLVMConstNull(t32) };
  Val low = vector ? vsplat(g, key[0]) : key[0];
  philox_rounds(g, c, low, vector ? vsplat(g, key[1]) : key[1]);
  for (int k = 0; k < 4; k++) {
    Val top = LLVMBuildLShr(g->b, c[k], const_like(g, c[k], 8), "");
    Val f = LLVMBuildSIToFP(g->b, top, real, "");
    out[k] = LLVMBuildFMul(g->b, f, const_like(g, f, 0x1p-24), "");
  }
}

/* a0 b0 a1 b1 ..., twice as long. */
static Val interleave(Gen *g, Val a, Val b) {
  int lane[64], n = (int)LLVMGetVectorSize(LLVMTypeOf(a));
  ensure(2 * n <= 64);
  for (int i = 0; i < n; i++) lane[2 * i] = i, lane[2 * i + 1] = n + i;
  return vshuffle(g, a, b, lane, 2 * n);
}

void emit_random(Gen *g, const Node *n) {
  int64_t count = type_elems(&n->type), each = 4 * (int64_t)g->t->lanes;
  int64_t full = count / each * each, whole = count / 4 * 4;
  Val to = value_ptr(g, n), key[2], w[4];
  int64_t stride[MAX_RANK];
  ensure(value_is_dense(n));
  value_strides(n->in[0], stride);
  for (int k = 0; k < 2; k++)
    key[k] = load_elem(g, I32, value_ptr(g, n->in[0]), 4 * k * stride[0]);
  Loop l;
  if (full) {
    loop_begin(g, &l, k64(g, 0), k64(g, full / 4), g->t->lanes, true, "b");
    blocks(g, l.iv, true, key, w);
    Val even = interleave(g, w[0], w[2]);
    Val all = interleave(g, even, interleave(g, w[1], w[3]));
    LLVMSetAlignment(LLVMBuildStore(g->b, all,
                                    addr_at(g, to, l.iv, 16)), 4);
    loop_end(g, &l);
  }
  if (full < whole) {
    loop_begin(g, &l, k64(g, full / 4), k64(g, whole / 4), 1, true, "b");
    blocks(g, l.iv, false, key, w);
    for (int k = 0; k < 4; k++)
      store_f32(g, w[k], addr_at(g, to, l.iv, 16), 4 * k);
    loop_end(g, &l);
  }
  if (whole == count) return;
  blocks(g, k64(g, whole / 4), false, key, w);
  for (int64_t k = whole; k < count; k++)
    store_f32(g, w[k - whole], to, 4 * k);
}
