/* lower.c - convolutions over one axis and over three become convolutions of
 * maps, which have the kernels.
 *
 * requires   a typed graph without encodings
 * preserves  every value up to rounding; zeros of weights, and the paths of
 *            params
 * before     a = conv1d(x, w, b=b, stride=[2], pad=[1,1]) as c;
 *            y = relu(a);
 * after      m = reshape(x, shape=[N,C,1,L]);
 *            v = reshape(w, shape=[O,C,1,k]);
 *            c = conv2d(m, v, b=b, stride=[1,2], pad=[0,1,0,1]) as c;
 *            r = relu(c);  y = reshape(r, shape=[N,O,1]);
 *
 * A volume [N,C,D,H,W] becomes N*D maps of C channels.  A convolution over
 * its depth reads, for each depth of the result, the kd slices under its
 * window side by side as kd*C channels; the weight [O,C,kd,kh,kw] is one of
 * [O,kd*C,kh,kw].  Where a window reaches outside, and where the stride of a
 * transposed convolution leaves a gap, a slice of zeros is read.
 *
 * Elementwise ops behind such a convolution are computed on its map, so that
 * they fuse, and the next convolution finds a map. */
#include <string.h>

#include "passes/passes.h"

typedef struct Lower {
  PassCtx *c;
  Module *m;
  Func *f;
  Node *at;        /* new nodes go before it, and have its places */
  Node **map;      /* by id: the maps [N*D,C,H,W] of a value, or NULL */
} Lower;

/* Entries of a table of slices. */
enum { SLICES_MOST = 1 << 28 };

/* ---- new nodes ------------------------------------------------------- */

static Node *add(Lower *l, Op op, Node *const *in, int nin) {
  Node *n = func_insert(l->m, l->f, l->at, op, in, nin);
  n->span = l->at->span;
  return n;
}

static Node *add_ints(Lower *l, Op op, Node *x, const char *name,
                      const int64_t *v, int count) {
  Node *n = add(l, op, &x, 1);
  attr_set_ints(l->m, n, name, v, count);
  node_retype(l->c, n);
  return n;
}

static Node *reshape(Lower *l, Node *x, int rank, const int64_t *dim) {
  return add_ints(l, OP_RESHAPE, x, "shape", dim, rank);
}

/* Dimensions from those of another type. */
static Node *regroup(Lower *l, Node *x, const Type *t, int rank,
                     const int (*axes)[2]) {
  Type to = type_regroup(l->m, t, rank, axes);
  Node *n = add(l, OP_RESHAPE, &x, 1);
  attr_set_shape(l->m, n, "shape", &to);
  node_retype(l->c, n);
  return n;
}

static Node *permute(Lower *l, Node *x, int rank, const int64_t *order) {
  return add_ints(l, OP_PERMUTE, x, "order", order, rank);
}

/* ---- slices looked up ------------------------------------------------ */

/* Room for a table of a * b slices of an axis; NULL: an error was given. */
static int32_t *table_new(Lower *l, int64_t axis_size, int64_t a, int64_t b) {
  int64_t n;
  if (!__builtin_mul_overflow(a, b, &n) && n <= SLICES_MOST &&
      axis_size < INT32_MAX)
    return arena_array(l->c->scratch, int32_t, (size_t)n + 1);
  diag_error(l->c->d, EXIT_MODEL, l->at->span, "%s: %lld times %lld slices "
             "along an axis of size %lld, at most 2^28 are supported",
             op_info(l->at->op)->name, (long long)a, (long long)b,
             (long long)axis_size);
  return NULL;
}

/* The slices index[0..] of x along an axis, their places as shape[0..1]; an
 * index of the axis's size stands for zeros.  NULL: an error was given. */
static Node *slices(Lower *l, Node *x, int axis, const int32_t *index,
                    const int64_t shape[2]) {
  int64_t count = shape[0] * shape[1], size = x->type.dim[axis];
  bool zeros = false;
  Type t = type_make(I32, 2, shape);
  Buffer *b = buffer_new(checked_mul((size_t)count, sizeof *index));
  if (count) memcpy(b->data, index, (size_t)count * sizeof *index);
  for (int64_t i = 0; i < count; i++) zeros |= index[i] == size;
  if (zeros) {
    int64_t none[MAX_RANK] = {0}, after[MAX_RANK] = {0};
    after[axis] = 1;
    Node *p = add(l, OP_PAD, &x, 1);
    attr_set_ints(l->m, p, "before", none, x->type.rank);
    attr_set_ints(l->m, p, "after", after, x->type.rank);
    if (!node_infer(l->m, p, l->c->d)) return NULL;
    x = p;
  }
  const char *path = l->at->path ? l->at->path : op_info(l->at->op)->name;
  Node *in[2] = {x};
  in[1] = func_values(l->m, l->f, arena_printf(l->m->arena, "%s.slices",
                                               path), t, b);
  Node *n = add(l, OP_GATHER, in, 2);
  attr_set_int(n, "axis", axis);
  return node_infer(l->m, n, l->c->d) ? n : NULL;
}

/* The depths that each of `out` depths reads through each of k taps. */
static int32_t *depths(Lower *l, const Node *n, bool spread, int64_t size,
                       int64_t out, int64_t k) {
  int64_t stride = attr_ints(n, "stride", NULL)[0];
  int64_t dilation = attr_ints(n, "dilation", NULL)[0];
  int64_t front = attr_ints(n, "pad", NULL)[0];
  int32_t *index = table_new(l, size, out, k);
  for (int64_t i = 0; index && i < out * k; i++) {
    int64_t z = i / k, u = i % k;
    int64_t from = spread ? z + front - u * dilation
                          : z * stride + u * dilation - front;
    bool hit = !spread || from % stride == 0;
    if (spread) from /= stride;
    index[i] = (int32_t)(hit && from >= 0 && from < size ? from : size);
  }
  return index;
}

/* ---- values as maps -------------------------------------------------- */

/* x, [N,C,L] or [N,C,D,H,W], as [N,C,1,L] or [N*D,C,H,W]. */
static Node *to_map(Lower *l, Node *x, size_t known) {
  if (x->id < known && l->map[x->id]) return l->map[x->id];
  static const int line[][2] = {{0, -1}, {1, -1}, {-1, -1}, {2, -1}};
  static const int volume[][2] = {{0, 2}, {1, -1}, {3, -1}, {4, -1}};
  Node *n;
  if (x->type.rank == 3) {
    n = regroup(l, x, &x->type, 4, line);
  } else {
    n = permute(l, x, 5, (int64_t[]){0, 2, 1, 3, 4});
    n = regroup(l, n, &x->type, 4, volume);
  }
  if (x->id < known) l->map[x->id] = n;
  return n;
}

/* Make n, of rank 3 or 5, the value whose maps are `map`. */
static void from_map(Lower *l, Node *n, Node *map) {
  static const int turned[][2] = {{0, -1}, {2, -1}, {1, -1}, {3, -1},
                                  {4, -1}};
  Type t = n->type;
  l->map[n->id] = map;
  if (t.rank == 3) {
    node_reset(l->m, n, OP_RESHAPE, &map, 1);
    attr_set_shape(l->m, n, "shape", &t);
  } else {
    Node *v = regroup(l, map, &t, 5, turned);
    node_reset(l->m, n, OP_PERMUTE, &v, 1);
    attr_set_ints(l->m, n, "order", (int64_t[]){0, 2, 1, 3, 4}, 5);
  }
  node_retype(l->c, n);
}

static bool is_identity(const int32_t *index, int64_t n, int64_t size) {
  for (int64_t i = 0; i < n && n == size; i++)
    if (index[i] != i) return false;
  return n == size;
}

/* The maps of a volume with, for each of `out` depths, the k slices that n
 * reads there as channels: [N*out, groups*k*C/groups, H, W]. */
static Node *stack_depths(Lower *l, const Node *n, Node *x, size_t known,
                          bool spread, int64_t out, int64_t k) {
  const int64_t *d = x->type.dim;
  int64_t groups = attr_int(n, "groups"), each = d[1] / groups;
  Node *map = to_map(l, x, known);
  int32_t *index = depths(l, n, spread, d[2], out, k);
  if (!index) return NULL;
  if (k == 1 && is_identity(index, out, d[2])) return map;
  Node *v = reshape(l, map, 5, (int64_t[]){d[0], d[2], d[1], d[3], d[4]});
  v = slices(l, v, 1, index, (int64_t[]){out, k});
  if (!v) return NULL;
  if (groups > 1 && k > 1) {
    int64_t parts[] = {d[0] * out, k, groups, each, d[3], d[4]};
    v = reshape(l, v, 6, parts);
    v = permute(l, v, 6, (int64_t[]){0, 2, 1, 3, 4, 5});
  }
  return reshape(l, v, 4, (int64_t[]){d[0] * out, k * d[1], d[3], d[4]});
}

/* ---- attributes ------------------------------------------------------ */

/* The last two numbers of a list, `none` for what it has not. */
static void set_pair(Lower *l, Node *to, const Node *n, const char *name,
                     int64_t none) {
  int count;
  const int64_t *v = attr_ints(n, name, &count);
  int64_t pair[2] = {count > 1 ? v[count - 2] : none, v[count - 1]};
  attr_set_ints(l->m, to, name, pair, 2);
}

/* What the op on maps has of the attributes of n. */
static void set_window(Lower *l, Node *to, const Node *n) {
  int count;
  const int64_t *p = attr_ints(n, "pad", &count);
  int half = count / 2;
  int64_t pad[4] = {0, p[half - 1], 0, p[count - 1]};
  if (half > 1) pad[0] = p[half - 2], pad[2] = p[count - 2];
  set_pair(l, to, n, "stride", 1);
  set_pair(l, to, n, "dilation", 1);
  attr_set_ints(l->m, to, "pad", pad, 4);
  attr_set_int(to, "groups", attr_int(n, "groups"));
}

/* ---- convolutions ---------------------------------------------------- */

static bool is_spread(const Node *n) {
  return n->op == OP_CONV1D_TRANSPOSE || n->op == OP_CONV3D_TRANSPOSE ||
         n->op == OP_CONV2D_TRANSPOSE;
}

/* The weight of the convolution of maps.  Taps along the depth become input
 * channels, those of a group together. */
static Node *map_weight(Lower *l, const Node *n, Node *w) {
  const int64_t *d = w->type.dim;
  if (w->type.rank == 3)
    return reshape(l, w, 4, (int64_t[]){d[0], d[1], 1, d[2]});
  int64_t g = attr_int(n, "groups"), k = d[2], dim[4] = {0, 0, d[3], d[4]};
  if (is_spread(n)) {
    int64_t parts[] = {g, d[0] / g, d[1], k, d[3], d[4]};
    w = reshape(l, w, 6, parts);
    w = permute(l, w, 6, (int64_t[]){0, 3, 1, 2, 4, 5});
    dim[0] = k * d[0], dim[1] = d[1];
  } else {
    w = permute(l, w, 5, (int64_t[]){0, 2, 1, 3, 4});
    dim[0] = d[0], dim[1] = k * d[1];
  }
  return reshape(l, w, 4, dim);
}

static bool lower_conv(Lower *l, Node *n, size_t known) {
  bool spread = is_spread(n), flat = n->type.rank == 3;
  Node *in[4] = {NULL, NULL, node_operand(n, "b"), NULL};
  in[0] = flat ? to_map(l, n->in[0], known)
               : stack_depths(l, n, n->in[0], known, spread, n->type.dim[2],
                              n->in[1]->type.dim[2]);
  if (!in[0]) return false;
  in[1] = map_weight(l, n, n->in[1]);
  Node *c = add(l, spread ? OP_CONV2D_TRANSPOSE : OP_CONV2D, in, 4);
  set_window(l, c, n);
  if (spread) set_pair(l, c, n, "out_pad", 0);
  node_inherit(l->m, c, n);
  node_retype(l->c, c);
  from_map(l, n, c);
  return true;
}

static bool lower_grad(Lower *l, Node *n, size_t known) {
  const Type t = n->type;
  bool flat = t.rank == 3;
  Node *x = n->in[0], *dy = n->in[1];
  Node *in[2] = {flat ? to_map(l, x, known)
                      : stack_depths(l, n, x, known, false, dy->type.dim[2],
                                     t.dim[2])};
  if (!in[0]) return false;
  in[1] = to_map(l, dy, known);
  Node *c = add(l, OP_CONV2D_WEIGHT_GRAD, in, 2);
  set_window(l, c, n);
  set_pair(l, c, n, "k", 1);
  node_inherit(l->m, c, n);
  node_retype(l->c, c);
  if (!flat) {
    int64_t parts[] = {t.dim[0], t.dim[2], t.dim[1], t.dim[3], t.dim[4]};
    c = reshape(l, c, 5, parts);
    node_reset(l->m, n, OP_PERMUTE, &c, 1);
    attr_set_ints(l->m, n, "order", (int64_t[]){0, 2, 1, 3, 4}, 5);
  } else {
    node_reset(l->m, n, OP_RESHAPE, &c, 1);
    attr_set_ints(l->m, n, "shape", t.dim, 3);
  }
  node_retype(l->c, n);
  return true;
}

/* A stride with more phases than the kernel has parts for: zeros between
 * the pixels instead. */
static bool lower_stride(Lower *l, Node *n) {
  int64_t stride[2];
  memcpy(stride, attr_ints(n, "stride", NULL), sizeof stride);
  for (int i = 0; i < 2; i++) {
    Node *x = n->in[0];
    int64_t dim[4], size = x->type.dim[2 + i], out = 1;
    if (stride[i] <= PHASES_MOST) continue;
    memcpy(dim, x->type.dim, sizeof dim);
    if (size > 1) {
      dim[2 + i] = out = (size - 1) * stride[i] + 1;
      int32_t *index = table_new(l, size, 1, out);
      for (int64_t k = 0; index && k < out; k++)
        index[k] = (int32_t)(k % stride[i] ? size : k / stride[i]);
      x = index ? slices(l, x, 2 + i, index, (int64_t[]){1, out}) : NULL;
      if (!x) return false;
      n->in[0] = reshape(l, x, 4, dim);
    }
    stride[i] = 1;
  }
  attr_set_ints(l->m, n, "stride", stride, 2);
  node_retype(l->c, n);
  return true;
}

/* ---- what comes behind ----------------------------------------------- */

/* Operand x of an elementwise op whose result has the shape `t`, as an op on
 * maps takes it; NULL: it does not. */
static Node *map_operand(Lower *l, Node *x, const Type *t, size_t known) {
  if (type_same_shape(&x->type, t)) return to_map(l, x, known);
  if (x->type.rank == 0) return x;
  int channel = x->type.rank - (t->rank - 1);
  if (channel < 0 || type_elems(&x->type) != x->type.dim[channel])
    return NULL;
  return reshape(l, x, 3, (int64_t[]){x->type.dim[channel], 1, 1});
}

/* How many operands of n take part elementwise; 0: n is no op that could be
 * computed on maps. */
static int elementwise(const Node *n) {
  uint32_t flags = op_info(n->op)->flags;
  if (n->type.elem != F32) return 0;
  if (flags & FLAG_UNARY) return 1;
  if (flags & FLAG_BINARY) return 2;
  if (n->op == OP_BATCH_NORM) return 1;
  if (n->op != OP_SCALE_SHIFT) return 0;
  int64_t axis = attr_int(n, "axis");
  return axis == 1 || axis + n->type.rank == 1 ? 1 : 0;
}

/* An elementwise op, one of whose operands is there as maps. */
static void lower_elementwise(Lower *l, Node *n, size_t known) {
  int count = elementwise(n);
  bool mapped = false;
  Node *in[MAX_OPERANDS];
  for (int i = 0; i < count; i++)
    mapped |= n->in[i]->id < known && l->map[n->in[i]->id] &&
              type_same_shape(&n->in[i]->type, &n->type);
  if (!mapped) return;
  for (int i = 0; i < n->nin; i++) {
    in[i] = i < count ? map_operand(l, n->in[i], &n->type, known) : n->in[i];
    if (!in[i]) return;
  }
  Node *c = add(l, n->op, in, n->nin);
  for (int i = 0; i < op_info(n->op)->nattrs; i++) c->attr[i] = n->attr[i];
  if (n->op == OP_SCALE_SHIFT) attr_set_int(c, "axis", 1);
  node_inherit(l->m, c, n);
  node_retype(l->c, c);
  from_map(l, n, c);
}

static bool lower_node(Lower *l, Node *n, size_t known) {
  l->at = n;
  switch (n->op) {
  case OP_CONV1D:
  case OP_CONV3D:
  case OP_CONV1D_TRANSPOSE:
  case OP_CONV3D_TRANSPOSE:
    return lower_conv(l, n, known);
  case OP_CONV1D_WEIGHT_GRAD:
  case OP_CONV3D_WEIGHT_GRAD:
    return lower_grad(l, n, known);
  default:
    lower_elementwise(l, n, known);
    return true;
  }
}

static bool lower_func(PassCtx *c, Func *f) {
  func_tidy(c->m, f);
  size_t known = f->nodes.n;
  Lower l = {.c = c, .m = c->m, .f = f};
  l.map = arena_array(c->scratch, Node *, known ? known : 1);
  Node **all = arena_array(c->scratch, Node *, known ? known : 1);
  for (size_t i = 0; i < known; i++) all[i] = f->nodes.at[i];
  for (size_t i = 0; i < known; i++)
    if (!node_is_leaf(all[i]) && !lower_node(&l, all[i], known)) return false;
  for (size_t i = 0; i < f->nodes.n; i++) {
    l.at = f->nodes.at[i];
    if (l.at->op != OP_CONV2D_TRANSPOSE) continue;
    const int64_t *stride = attr_ints(l.at, "stride", NULL);
    if ((stride[0] > PHASES_MOST || stride[1] > PHASES_MOST) &&
        !lower_stride(&l, l.at))
      return false;
  }
  func_tidy(c->m, f);
  return true;
}

bool pass_lower(PassCtx *c) {
  for (size_t i = 0; i < c->m->funcs.n; i++)
    if (!lower_func(c, c->m->funcs.at[i])) return false;
  return true;
}
