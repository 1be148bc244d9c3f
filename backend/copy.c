/* copy.c - kernels that move values: convert, reshape, permute, expand,
 * slice, select, flip, pad and concat, between any two unblocked layouts.
 * What already lies where it belongs is not moved. */
#include <string.h>

#include "backend/emit.h"

/* The nest of a copy from x into the whole of n, strides of x still 0. */
static NestArg *copy_begin(Gen *g, Nest *t, const Node *n, const Node *x) {
  nest_over(g, t, n);
  NestArg *a = &t->arg[t->nargs++];
  a->elem = x->type.elem;
  if (x->op == OP_CONST) a->scalar = const_of(g, x);
  else a->at = value_ptr(g, x);
  return a;
}

static int64_t size_of(const Node *n) {
  return (int64_t)elem_size(n->type.elem);
}

static int norm_axis(const Node *n, const char *name, int rank) {
  int64_t axis = attr_int(n, name);
  return (int)(axis < 0 ? axis + rank : axis);
}

/* Whether a copy reads and writes the same elements. */
static bool copy_idle(Gen *g, const Node *n, int64_t n_off, const Node *x,
                      const Nest *t) {
  if (x->op == OP_CONST) return false;
  Spot a = value_spot(g, n), b = value_spot(g, x);
  if (a.kind != b.kind || a.io != b.io) return false;
  int64_t at = a.offset + size_of(n) * (value_origin(n) + n_off);
  if (at != b.offset + size_of(n) * value_origin(x)) return false;
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i] > 1 && t->arg[0].stride[i] != t->arg[1].stride[i])
      return false;
  return true;
}

/* ---- reshape -------------------------------------------------------- */

/* Split axes of sizes a[] and b[] (equal products) into the sizes of a
 * common refinement; false when there is none. */
static bool shapes_refine(const int64_t *a, int na, const int64_t *b, int nb,
                          int64_t *size, int *ia, int *ib, int *count) {
  int i = na - 1, j = nb - 1, n = 0;
  int64_t ra = i >= 0 ? a[i] : 1, rb = j >= 0 ? b[j] : 1;
  while (i >= 0 || j >= 0) {
    if (i >= 0 && ra == 1) { ra = --i >= 0 ? a[i] : 1; continue; }
    if (j >= 0 && rb == 1) { rb = --j >= 0 ? b[j] : 1; continue; }
    int64_t s = ra < rb ? ra : rb;
    if (s == 0 || ra % s || rb % s || n == MAX_RANK) return false;
    size[n] = s, ia[n] = i, ib[n] = j, n++;
    ra /= s, rb /= s;
  }
  *count = n;
  return true;
}

/* Copy in row-major order of both shapes through their refinement, whose
 * axes come from the innermost to the outermost. */
static bool reshape_nest(Nest *t, const Node *n, const Node *x) {
  int64_t size[MAX_RANK], sx[MAX_RANK], sn[MAX_RANK];
  int ix[MAX_RANK], in[MAX_RANK], count;
  if (!shapes_refine(x->type.dim, x->type.rank, n->type.dim, n->type.rank,
                     size, ix, in, &count))
    return false;
  value_strides(x, sx);
  value_strides(n, sn);
  t->rank = count;
  for (int k = 0; k < count; k++) {
    int to = count - 1 - k;
    t->dim[to] = size[k];
    t->arg[1].stride[to] = sx[ix[k]];
    t->arg[0].stride[to] = sn[in[k]];
    sx[ix[k]] *= size[k];
    sn[in[k]] *= size[k];
  }
  return true;
}

/* Offset in elements of row-major index i of a strided value. */
static Val offset_of(Gen *g, const Node *n, Val i) {
  int64_t stride[MAX_RANK];
  value_strides(n, stride);
  Val off = k64(g, 0);
  for (int k = n->type.rank - 1; k >= 0; k--) {
    Val dim = k64(g, n->type.dim[k]);
    off = add64(g, off,
                mul64(g, LLVMBuildURem(g->b, i, dim, ""), stride[k]));
    i = LLVMBuildUDiv(g->b, i, dim, "");
  }
  return off;
}

/* Shapes that share no refinement: element by element. */
static void reshape_walk(Gen *g, const Node *n, const Node *x) {
  int64_t count = type_elems(&n->type);
  Val to = value_ptr(g, n), from = value_ptr(g, x);
  if (count <= 0) return;
  Loop l;
  loop_share(g, &l, 0, count, 1, "i");
  Val at = mul64(g, offset_of(g, x, l.iv), size_of(n));
  Val v = load_elem(g, n->type.elem, addr(g, from, at), 0);
  at = mul64(g, offset_of(g, n, l.iv), size_of(n));
  store_elem(g, n->type.elem, v, addr(g, to, at), 0);
  loop_end(g, &l);
}

static void copy_reshape(Gen *g, const Node *n) {
  Nest t;
  const Node *x = n->in[0];
  copy_begin(g, &t, n, x);
  if (!reshape_nest(&t, n, x)) reshape_walk(g, n, x);
  else if (!copy_idle(g, n, 0, x, &t)) nest_copy(g, &t);
}

/* ---- by strides ----------------------------------------------------- */

static void copy_permute(Gen *g, const Node *n) {
  Nest t;
  int count;
  int64_t own[MAX_RANK];
  const int64_t *order = attr_ints(n, "order", &count);
  NestArg *a = copy_begin(g, &t, n, n->in[0]);
  value_strides(n->in[0], own);
  for (int i = 0; i < count; i++) {
    int from = (int)(order[i] < 0 ? order[i] + count : order[i]);
    a->stride[i] = own[from];
  }
  if (!copy_idle(g, n, 0, n->in[0], &t)) nest_copy(g, &t);
}

/* The same shape or one that broadcasts. */
static void copy_expand(Gen *g, const Node *n) {
  Nest t;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  if (!copy_idle(g, n, 0, n->in[0], &t)) nest_copy(g, &t);
}

static void copy_slice(Gen *g, const Node *n) {
  Nest t;
  const Node *x = n->in[0];
  int axis = norm_axis(n, "axis", x->type.rank);
  int64_t own[MAX_RANK], start = attr_int(n, "start");
  if (start < 0) start += x->type.dim[axis];
  if (start < 0) start = 0;
  NestArg *a = copy_begin(g, &t, n, x);
  value_strides(x, own);
  for (int i = 0; i < t.rank; i++) a->stride[i] = own[i];
  a->stride[axis] *= attr_int(n, "step");
  a->at = addrk(g, a->at, size_of(n) * start * own[axis]);
  /* In place where the two begin at one element. */
  if (!copy_idle(g, n, -start * own[axis], x, &t)) nest_copy(g, &t);
}

static void copy_select(Gen *g, const Node *n) {
  Nest t;
  const Node *x = n->in[0];
  int axis = norm_axis(n, "axis", x->type.rank);
  int64_t own[MAX_RANK], index = attr_int(n, "index");
  if (index < 0) index += x->type.dim[axis];
  NestArg *a = copy_begin(g, &t, n, x);
  value_strides(x, own);
  for (int i = 0; i < t.rank; i++) a->stride[i] = own[i + (i >= axis)];
  a->at = addrk(g, a->at, size_of(n) * index * own[axis]);
  if (!copy_idle(g, n, -index * own[axis], x, &t)) nest_copy(g, &t);
}

/* From the last element of each axis to the first. */
static void copy_flip(Gen *g, const Node *n) {
  Nest t;
  const Node *x = n->in[0];
  int count;
  int64_t off = 0;
  const int64_t *axes = attr_ints(n, "axes", &count);
  NestArg *a = copy_begin(g, &t, n, x);
  value_strides(x, a->stride);
  for (int i = 0; i < count; i++) {
    int axis = (int)(axes[i] < 0 ? axes[i] + t.rank : axes[i]);
    off += (t.dim[axis] - 1) * a->stride[axis];
    a->stride[axis] = -a->stride[axis];
  }
  a->at = addrk(g, a->at, size_of(n) * off);
  nest_copy(g, &t);
}

/* ---- pad and concat ------------------------------------------------- */

/* Fill, for each axis, the two slabs before and behind the operand; axes
 * already done keep to its extent, later ones go over all. */
static void pad_border(Gen *g, const Node *n, const int64_t *before,
                       const int64_t *dim, double value) {
  Nest t;
  nest_over(g, &t, n);
  int64_t all[MAX_RANK];
  for (int i = 0; i < t.rank; i++) all[i] = t.dim[i];
  Val base = t.arg[0].at;
  int64_t skip = 0;
  for (int i = 0; i < t.rank; i++) {
    int64_t s = t.arg[0].stride[i], behind = before[i] + dim[i];
    t.dim[i] = before[i];
    t.arg[0].at = addrk(g, base, size_of(n) * skip);
    nest_fill(g, &t, value);
    t.dim[i] = all[i] - behind;
    t.arg[0].at = addrk(g, base, size_of(n) * (skip + behind * s));
    nest_fill(g, &t, value);
    t.dim[i] = dim[i];
    skip += before[i] * s;
  }
}

static void copy_pad(Gen *g, const Node *n) {
  Nest t;
  int count;
  const Node *x = n->in[0];
  const int64_t *before = attr_ints(n, "before", &count);
  int64_t off = 0;
  NestArg *a = copy_begin(g, &t, n, x);
  value_strides(x, a->stride);
  for (int i = 0; i < t.rank; i++) {
    t.dim[i] = x->type.dim[i];
    off += before[i] * t.arg[0].stride[i];
  }
  t.arg[0].at = addrk(g, t.arg[0].at, size_of(n) * off);
  if (!copy_idle(g, n, off, x, &t)) nest_copy(g, &t);
  pad_border(g, n, before, x->type.dim, attr_float(n, "value"));
}

static void copy_concat(Gen *g, const Node *n) {
  int axis = norm_axis(n, "axis", n->type.rank);
  int64_t at = 0;
  for (int k = 0; k < n->nin; k++) {
    Nest t;
    const Node *x = n->in[k];
    NestArg *a = copy_begin(g, &t, n, x);
    int64_t off = at * t.arg[0].stride[axis];
    value_strides(x, a->stride);
    t.dim[axis] = x->type.dim[axis];
    t.arg[0].at = addrk(g, t.arg[0].at, size_of(n) * off);
    if (!copy_idle(g, n, off, x, &t)) nest_copy(g, &t);
    at += x->type.dim[axis];
  }
}

/* ---- the kernels ---------------------------------------------------- */

void emit_copy(Gen *g, const Node *n) {
  switch (n->op) {
    case OP_RESHAPE: copy_reshape(g, n); break;
    case OP_PERMUTE: copy_permute(g, n); break;
    case OP_SLICE: copy_slice(g, n); break;
    case OP_SELECT: copy_select(g, n); break;
    case OP_FLIP: copy_flip(g, n); break;
    case OP_PAD: copy_pad(g, n); break;
    case OP_CONCAT: copy_concat(g, n); break;
    case OP_INTERLEAVE: copy_interleave(g, n); break;
    default: copy_expand(g, n); break;
  }
  clear_halo(g, n);
}

/* Nothing to do: the value lies where its operand lies. */
void emit_alias(Gen *g, const Node *n) { (void)g, (void)n; }
