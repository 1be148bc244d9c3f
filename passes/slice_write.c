/* slice_write.c - take channels out: of the values of params, of attributes
 * that speak of sizes, and so of all types. */
#include <string.h>

#include "passes/slice.h"

/* ---- counts ---------------------------------------------------------- */

static bool stays(const Slice *s, const Node *n, int axis, int64_t i) {
  return s->live[cell_root(s->cells, cell_at(s->cells, n, axis, i))];
}

/* How many of the indices [from, to) stay. */
static int64_t count_live(const Slice *s, const Node *n, int axis,
                          int64_t from, int64_t to) {
  int64_t count = 0;
  for (int64_t i = from; i < to; i++) count += stays(s, n, axis, i);
  return count;
}

/* The dimensions of n behind the pass; whether any is another. */
static bool dims_left(const Slice *s, const Node *n, int64_t *dim) {
  bool changed = false;
  for (int k = 0; k < n->type.rank; k++) {
    dim[k] = count_live(s, n, k, 0, n->type.dim[k]);
    changed |= dim[k] != n->type.dim[k];
  }
  return changed;
}

/* ---- params ---------------------------------------------------------- */

/* From axis `axis` on, the elements that stay; returns the end of `to`. */
static char *copy_live(const Slice *s, const Node *n, int axis,
                       const char *from, int64_t inner, char *to) {
  int64_t size = n->type.dim[axis];
  int64_t each = size ? inner / size : 0;
  for (int64_t i = 0; i < size; i++) {
    const char *at = from + i * each;
    if (!stays(s, n, axis, i)) continue;
    if (axis + 1 < n->type.rank) {
      to = copy_live(s, n, axis + 1, at, each, to);
    } else {
      memcpy(to, at, (size_t)each);
      to += each;
    }
  }
  return to;
}

static void write_param(const Slice *s, Node *n, const int64_t *dim) {
  Param *p = n->param;
  Type t = type_make(p->type.elem, p->type.rank, dim);
  int64_t bytes = type_elems(&p->type) * (int64_t)elem_size(p->type.elem);
  const void *data = param_data(p);
  Buffer *b = buffer_new((size_t)type_bytes(&t));
  copy_live(s, n, 0, data, bytes, (char *)b->data);
  param_set_data(p, b);
  t.stored = p->type.stored;   /* they are some of its values */
  t.at = -1;
  p->type = t;
}

/* ---- attributes ------------------------------------------------------ */

static void write_shape(const Slice *s, Node *n, const int64_t *dim) {
  Module *m = s->c->m;
  Type t = n->type;
  int64_t at[SAMPLES_MOST][MAX_RANK];
  for (int i = 0; i < t.rank; i++) t.dim[i] = dim[i];
  for (int k = 0; n->type.free && k < n->type.free->of->nsamples; k++)
    for (int i = 0; i < t.rank; i++)
      at[k][i] = axis_is_free(&n->type, i) ? type_dim_at(&n->type, i, k)
                                           : dim[i];
  if (n->type.free)
    t.free = free_shape(m, &t, (const int64_t (*)[MAX_RANK])at);
  attr_set_shape(m, n, "shape", &t);
}

static void write_slice(const Slice *s, Node *n, const int64_t *dim) {
  const Node *x = n->in[0];
  int axis = node_axis(n, x->type.rank);
  int64_t start = attr_int(n, "start");
  if (count_live(s, x, axis, 0, x->type.dim[axis]) ==
      x->type.dim[axis])
    return;
  if (start < 0) start += x->type.dim[axis];
  start = count_live(s, x, axis, 0, start);
  attr_set_int(n, "start", start);
  attr_set_int(n, "stop", start + dim[axis]);
}

static void write_pad(const Slice *s, Node *n, const int64_t *dim) {
  int count;
  const int64_t *before = attr_ints(n, "before", &count);
  int64_t b[MAX_RANK], a[MAX_RANK];
  const Type *x = &n->in[0]->type;
  for (int i = 0; i < count; i++) {
    b[i] = count_live(s, n, i, 0, before[i]);
    a[i] = dim[i] - b[i] -
           count_live(s, n, i, before[i], before[i] + x->dim[i]);
  }
  attr_set_ints(s->c->m, n, "before", b, count);
  attr_set_ints(s->c->m, n, "after", a, count);
}

/* Types are those of before. */
static void write_groups(const Slice *s, Node *n) {
  int64_t groups = attr_int(n, "groups"), channels = n->in[0]->type.dim[1];
  if (groups == 1) return;
  int64_t left = count_live(s, n->in[0], 1, 0, channels);
  attr_set_int(n, "groups", left / (channels / groups));
}

static void write_attrs(const Slice *s, Node *n, const int64_t *dim,
                        bool changed) {
  switch (n->op) {
  case OP_RESHAPE: case OP_EXPAND:
    if (changed) write_shape(s, n, dim);
    break;
  case OP_SLICE:
    write_slice(s, n, dim);
    break;
  case OP_PAD:
    if (changed) write_pad(s, n, dim);
    break;
  case OP_CONV1D: case OP_CONV2D: case OP_CONV3D:
  case OP_CONV1D_TRANSPOSE: case OP_CONV2D_TRANSPOSE:
  case OP_CONV3D_TRANSPOSE:
    write_groups(s, n);
    break;
  default:
    break;
  }
}

/* ---- all ------------------------------------------------------------- */

void slice_write(Slice *s) {
  Func *f = s->f;
  size_t count = f->nodes.n;
  int64_t (*dim)[MAX_RANK] =
    arena_alloc(s->c->scratch, checked_mul(count + 1, sizeof *dim));
  for (size_t i = 0; i < count; i++) {
    bool changed = dims_left(s, f->nodes.at[i], dim[i]);
    write_attrs(s, f->nodes.at[i], dim[i], changed);
    if (changed && f->nodes.at[i]->op == OP_PARAM)
      write_param(s, f->nodes.at[i], dim[i]);
  }
  for (size_t i = 0; i < count; i++) {
    Node *n = f->nodes.at[i];
    if (n->op == OP_PARAM) n->type = n->param->type;
    else if (!node_is_leaf(n)) node_retype(s->c, n);
    for (int k = 0; k < n->type.rank; k++)
      ensure(n->type.dim[k] == dim[i][k]);
  }
}
