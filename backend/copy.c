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

/* The axes of a nest that is being made, from the outermost on. */
static void axis_push(Nest *t, int64_t dim, Val count, int64_t to,
                      int64_t from) {
  ensure(t->rank < MAX_RANK);
  t->dim[t->rank] = dim;
  t->count[t->rank] = count;
  t->arg[0].stride[t->rank] = to;
  t->arg[1].stride[t->rank++] = from;
}

/* Axes without gaps on either side: only the first can be free. */
static void group_plain(Gen *g, Nest *t, const Node *n, const Node *x,
                        const int from[2], const int to[2]) {
  int64_t size[2 * MAX_RANK], sx[MAX_RANK], sn[MAX_RANK], inner = 1;
  int ix[2 * MAX_RANK], in[2 * MAX_RANK], count;
  Val all = k64(g, 1);
  bool refined = shapes_refine(x->type.dim + from[0], to[0] - from[0],
                               n->type.dim + from[1], to[1] - from[1], size,
                               ix, in, &count);
  ensure(refined);
  value_strides(x, sx);
  value_strides(n, sn);
  bool free = false;
  for (int i = from[0]; i < to[0]; i++) {
    free |= axis_is_free(&x->type, i);
    all = LLVMBuildNSWMul(g->b, all, axis_size(g, &x->type, i), "");
  }
  int first = t->rank;
  t->rank += count;
  ensure(t->rank <= MAX_RANK);
  for (int k = 0; k < count; k++) {
    int at = first + count - 1 - k, a = from[0] + ix[k], b = from[1] + in[k];
    t->dim[at] = size[k];
    t->arg[0].stride[at] = sn[b];
    t->arg[1].stride[at] = sx[a];
    sn[b] *= size[k];
    sx[a] *= size[k];
    if (at == first && free)
      t->count[at] = LLVMBuildUDiv(g->b, all, k64(g, inner), "");
    inner *= size[k];
  }
}

/* One axis on the one side, those of `many` on the other (argument `arg`). */
static void group_split(Gen *g, Nest *t, const Node *many, int from, int to,
                        int64_t stride, int arg) {
  int64_t own[MAX_RANK], bound = stride;
  Val at = k64(g, stride);
  int first = t->rank;
  value_strides(many, own);
  for (int i = from; i < to; i++)
    if (many->type.dim[i] != 1 || axis_is_free(&many->type, i)) {
      axis_push(t, many->type.dim[i], axis_count(g, &many->type, i), 0, 0);
      t->arg[arg].stride[t->rank - 1] = own[i];
    }
  for (int k = t->rank; k-- > first;) {
    t->arg[!arg].stride[k] = bound;
    t->arg[!arg].packed[k] = at;
    bound *= t->dim[k];
    Val size = t->count[k] ? t->count[k] : k64(g, t->dim[k]);
    at = LLVMBuildNSWMul(g->b, at, size, "");
  }
}

/* The stride of the one axis of [from, to) that is not 1. */
static int64_t stride_of(const Node *n, int from, int to) {
  int64_t s[MAX_RANK];
  value_strides(n, s);
  for (int i = from; i < to; i++)
    if (n->type.dim[i] != 1 || axis_is_free(&n->type, i)) return s[i];
  return 1;
}

static int wide(const Type *t, int from, int to) {
  int n = 0;
  for (int i = from; i < to; i++)
    n += t->dim[i] != 1 || axis_is_free(t, i);
  return n;
}

/* Free dimensions that leave gaps are merged or split: group by group of axes
 * that have the same elements. */
static void reshape_free(Gen *g, const Node *n, const Node *x) {
  int from[2] = { 0, 0 }, to[2];
  Nest t;
  copy_begin(g, &t, n, x);
  for (int i = 0; i < MAX_RANK; i++) t.count[i] = NULL;
  t.rank = 0;
  while (reshape_group(&x->type, &n->type, from, to)) {
    int wx = wide(&x->type, from[0], to[0]);
    int wn = wide(&n->type, from[1], to[1]);
    if (wx > 1 && wn <= 1)
      group_split(g, &t, x, from[0], to[0], stride_of(n, from[1], to[1]), 1);
    else if (wn > 1 && wx <= 1)
      group_split(g, &t, n, from[1], to[1], stride_of(x, from[0], to[0]), 0);
    else
      group_plain(g, &t, n, x, from, to);
    from[0] = to[0], from[1] = to[1];
  }
  nest_copy(g, &t);
}

static void copy_reshape(Gen *g, const Node *n) {
  Nest t;
  const Node *x = n->in[0];
  if (node_is_free(n)) {
    reshape_free(g, n, x);
    return;
  }
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

/* Does an index of an axis of the operand depend on the sizes of the call? */
static bool index_moves(const Node *n, const char *name, int axis) {
  return n->attr[attr_index(n->op, name)].free ||
         (attr_int(n, name) < 0 && axis_is_free(&n->in[0]->type, axis));
}

/* Such an index, negative ones counted from the end. */
static Val index_val(Gen *g, const Node *n, const char *name, int axis) {
  Val at = attr_size(g, n, name), zero = k64(g, 0);
  Val end = add64(g, at, axis_size(g, &n->in[0]->type, axis));
  Val less = LLVMBuildICmp(g->b, LLVMIntSLT, at, zero, "");
  at = LLVMBuildSelect(g->b, less, end, at, "");
  less = LLVMBuildICmp(g->b, LLVMIntSLT, at, zero, "");
  return LLVMBuildSelect(g->b, less, zero, at, "");
}

static void copy_slice(Gen *g, const Node *n) {
  Nest t;
  const Node *x = n->in[0];
  int axis = norm_axis(n, "axis", x->type.rank);
  int64_t own[MAX_RANK], start = attr_int(n, "start");
  bool moves = index_moves(n, "start", axis);
  if (start < 0) start += x->type.dim[axis];
  if (start < 0) start = 0;
  NestArg *a = copy_begin(g, &t, n, x);
  value_strides(x, own);
  for (int i = 0; i < t.rank; i++) a->stride[i] = own[i];
  a->stride[axis] *= attr_int(n, "step");
  if (moves) {
    Val at = index_val(g, n, "start", axis);
    a->at = addr_at(g, a->at, at, size_of(n) * own[axis]);
    nest_copy(g, &t);
    return;
  }
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
  if (index_moves(n, "index", axis)) {
    a->at = addr_at(g, a->at, index_val(g, n, "index", axis),
                    size_of(n) * own[axis]);
    nest_copy(g, &t);
    return;
  }
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
    if (t.count[axis])
      a->at = addr_at(g, a->at, add64(g, t.count[axis], k64(g, -1)),
                      size_of(n) * a->stride[axis]);
    else
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
                       const Type *x, double value) {
  Nest t;
  nest_over(g, &t, n);
  int64_t all[MAX_RANK];
  for (int i = 0; i < t.rank; i++) all[i] = t.dim[i];
  Val base = t.arg[0].at;
  int64_t skip = 0;
  for (int i = 0; i < t.rank; i++) {
    int64_t s = t.arg[0].stride[i], behind = before[i] + x->dim[i];
    Val count = axis_count(g, x, i);
    t.dim[i] = before[i];
    t.count[i] = NULL;
    t.arg[0].at = addrk(g, base, size_of(n) * skip);
    nest_fill(g, &t, value);
    t.dim[i] = all[i] - behind;
    t.arg[0].at = addrk(g, base, size_of(n) * (skip + behind * s));
    if (count)
      t.arg[0].at = addr_at(g, addrk(g, base, size_of(n) *
                                              (skip + before[i] * s)),
                            count, size_of(n) * s);
    nest_fill(g, &t, value);
    t.dim[i] = x->dim[i];
    t.count[i] = count;
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
    t.count[i] = axis_count(g, &x->type, i);
    off += before[i] * t.arg[0].stride[i];
  }
  t.arg[0].at = addrk(g, t.arg[0].at, size_of(n) * off);
  if (!copy_idle(g, n, off, x, &t)) nest_copy(g, &t);
  pad_border(g, n, before, &x->type, attr_float(n, "value"));
}

static void copy_concat(Gen *g, const Node *n) {
  int axis = norm_axis(n, "axis", n->type.rank);
  int64_t at = 0;
  Val moved = NULL;     /* where operands lie behind one of a free size */
  for (int k = 0; k < n->nin; k++) {
    Nest t;
    const Node *x = n->in[k];
    NestArg *a = copy_begin(g, &t, n, x);
    int64_t off = at * t.arg[0].stride[axis];
    value_strides(x, a->stride);
    t.dim[axis] = x->type.dim[axis];
    t.count[axis] = axis_count(g, &x->type, axis);
    if (moved) {
      Val to = addr_at(g, t.arg[0].at, moved,
                       size_of(n) * t.arg[0].stride[axis]);
      t.arg[0].at = to;
      nest_copy(g, &t);
    } else {
      t.arg[0].at = addrk(g, t.arg[0].at, size_of(n) * off);
      if (!copy_idle(g, n, off, x, &t)) nest_copy(g, &t);
    }
    if (t.count[axis] && !moved) moved = k64(g, at);
    if (moved) moved = add64(g, moved, axis_size(g, &x->type, axis));
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
