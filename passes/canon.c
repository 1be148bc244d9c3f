/* canon.c - canonical forms, so that later passes meet one spelling.
 *
 * requires   a typed graph without encodings
 * preserves  every value up to rounding; encodings stay absent
 * before     b = batch_norm(a, g, h, m, v, eps=0.001) as bn;
 *            c = clip(b, lo=0.0, hi=6.0);  d = reshape(c, shape=[1,8,4,4]);
 * after      b = scale_shift(a, bn.scale, bn.shift, axis=1) as bn;
 *            c = relu6(b);      (d was c's shape already)
 * source     scale and shift of a normalisation: Ioffe and Szegedy, 2015,
 *            section 3.1; computed in double and rounded once */
#include <math.h>
#include <stdlib.h>

#include "passes/passes.h"

/* A rule looks at one node.  It returns the node that has its value: the
 * node itself (changed or not), another one, or a new one. */
typedef struct Canon {
  PassCtx *c;
  Module *m;
  Func *f;
  bool changed;
} Canon;

static Node *become(Canon *k, Node *n, Op op, Node *const *in, int nin) {
  node_reset(k->m, n, op, in, nin);
  node_retype(k->c, n);
  k->changed = true;
  return n;
}

/* ---- batch_norm ----------------------------------------------------- */

/* Where the new params of a node go: beside its layer path or, without
 * one, beside the param `like`. */
static const char *param_wish(Canon *k, const Node *n, const Node *like,
                              const char *leaf) {
  if (n->path) return arena_printf(k->m->arena, "%s.%s", n->path, leaf);
  const char *p = like->op == OP_PARAM ? like->param->path : "const";
  return path_beside(k->m, p, leaf);
}

static Node *canon_batch_norm(Canon *k, Node *n) {
  const float *v[4];   /* gamma, beta, mean, var */
  if (n->op != OP_BATCH_NORM) return n;
  for (int i = 0; i < 4; i++) {
    if (!node_is_const(k->m, n->in[i + 1])) return n;
    v[i] = node_values(k->m, n->in[i + 1]);
  }
  int64_t count = n->type.dim[1];
  double eps = attr_float(n, "eps");
  Type t = type_make(F32, 1, &count);
  Buffer *scale = buffer_new(checked_mul(count, sizeof(float)));
  Buffer *shift = buffer_new(checked_mul(count, sizeof(float)));
  float *s = (float *)scale->data, *b = (float *)shift->data;
  bool finite = true;
  for (int64_t i = 0; i < count; i++) {
    double g = v[0][i] / sqrt(v[3][i] + eps);
    s[i] = (float)g;
    b[i] = (float)(v[1][i] - v[2][i] * g);
    finite = finite && isfinite(s[i]) && isfinite(b[i]);
  }
  if (!finite) {
    buffer_unref(scale);
    buffer_unref(shift);
    return n;
  }
  Node *like = n->in[1];
  Node *in[3] = {n->in[0]};
  in[1] = func_values(k->m, k->f, param_wish(k, n, like, "scale"), t, scale);
  in[2] = func_values(k->m, k->f, param_wish(k, n, like, "shift"), t, shift);
  return become(k, n, OP_SCALE_SHIFT, in, 3);
}

/* ---- views ---------------------------------------------------------- */

static bool order_is_identity(const Node *n) {
  int r;
  const int64_t *order = attr_ints(n, "order", &r);
  for (int i = 0; i < r; i++)
    if (order[i] != i) return false;
  return true;
}

/* Do only axes of one element change their place among the others? */
static bool order_keeps_rows(const Node *n) {
  int r, last = -1;
  const int64_t *order = attr_ints(n, "order", &r);
  for (int i = 0; i < r; i++) {
    if (n->in[0]->type.dim[order[i]] == 1) continue;
    if (order[i] < last) return false;
    last = (int)order[i];
  }
  return true;
}

static bool flips_nothing(const Node *n) {
  int count, rank = n->type.rank;
  const int64_t *axes = attr_ints(n, "axes", &count);
  for (int i = 0; i < count; i++)
    if (n->type.dim[axes[i] < 0 ? axes[i] + rank : axes[i]] > 1) return false;
  return true;
}

static bool view_is_identity(const Node *n) {
  switch (n->op) {
  case OP_CAST:
    return n->type.elem == n->in[0]->type.elem;
  case OP_STOP_GRADIENT:
    return true;
  case OP_CONVERT:
    return type_equal(&n->type, &n->in[0]->type);
  case OP_RESHAPE:
  case OP_EXPAND:
  case OP_PAD:
  case OP_SLICE:
    return type_same_shape(&n->type, &n->in[0]->type);
  case OP_PERMUTE:
    return order_is_identity(n);
  case OP_FLIP:
    return flips_nothing(n);
  case OP_CONCAT:
  case OP_INTERLEAVE:
    return n->nin == 1;
  default:
    return false;
  }
}

static Node *to_reshape(Canon *k, Node *n, Node *x) {
  Type t = n->type;
  node_reset(k->m, n, OP_RESHAPE, &x, 1);
  attr_set_shape(k->m, n, "shape", &t);
  node_retype(k->c, n);
  k->changed = true;
  return n;
}

static Node *canon_view(Canon *k, Node *n) {
  bool moves = op_info(n->op)->flags & FLAG_VIEW || n->op == OP_CAST;
  if (n->nin < 1 || !moves) return n;
  Node *x = n->in[0];
  if (view_is_identity(n)) {
    k->changed = true;
    return x;
  }
  if (n->op == OP_RESHAPE && x->op == OP_RESHAPE && reshapes_join(n, x))
    return to_reshape(k, n, x->in[0]);
  if (n->op == OP_RESHAPE && reshape_regroup(k->m, k->f, n))
    k->changed = true;
  if (n->op != OP_PERMUTE) return n;
  if (order_keeps_rows(n)) return to_reshape(k, n, x);
  if (x->op != OP_PERMUTE) return n;
  int r;
  const int64_t *outer = attr_ints(n, "order", &r);
  const int64_t *inner = attr_ints(x, "order", &r);
  int64_t both[MAX_RANK];
  for (int i = 0; i < r; i++) both[i] = inner[outer[i]];
  node_reset(k->m, n, OP_PERMUTE, x->in, 1);
  attr_set_ints(k->m, n, "order", both, r);
  node_retype(k->c, n);
  k->changed = true;
  return n;
}

/* ---- activations ---------------------------------------------------- */

/* 0, of which relu gives the sign. */
static bool is_zero(double v) {
  return v == 0 && !signbit(v);
}

static Node *canon_activation(Canon *k, Node *n) {
  double v;
  if (n->op == OP_CLIP && is_zero(attr_float(n, "lo"))) {
    double hi = attr_float(n, "hi");
    if (hi == 6) return become(k, n, OP_RELU6, n->in, 1);
    if (isinf(hi) && hi > 0) return become(k, n, OP_RELU, n->in, 1);
  }
  if (n->op == OP_MAXIMUM && n->type.elem == F32 &&
      node_scalar(k->m, n->in[1], &v) && is_zero(v) &&
      type_same_shape(&n->type, &n->in[0]->type))
    return become(k, n, OP_RELU, n->in, 1);
  bool twice = n->op == OP_RELU || n->op == OP_RELU6 || n->op == OP_ABS ||
               n->op == OP_SIGN;
  if (twice && n->in[0]->op == n->op) {
    k->changed = true;
    return n->in[0];
  }
  return n;
}

/* x * sigmoid(x) is silu, x * hardsigmoid(x) is hardswish. */
static Node *canon_gate(Canon *k, Node *n) {
  Op op;
  Node *x;
  return node_gated(n, &op, &x) ? become(k, n, op, &x, 1) : n;
}

/* ---- arithmetic ----------------------------------------------------- */

static Node *canon_neutral(Canon *k, Node *n) {
  double v;
  if (!(op_info(n->op)->flags & FLAG_BINARY)) return n;
  Node *x = n->in[0];
  if (!node_scalar(k->m, n->in[1], &v)) return n;
  bool none = v == 0 ? n->op == OP_ADD || n->op == OP_SUB
                     : v == 1 && (n->op == OP_MUL || n->op == OP_DIV);
  none = none || (v == 1 && n->op == OP_POW);
  if (!type_same_shape(&n->type, &x->type)) return n;
  if (n->op == OP_POW && v == 2) return become(k, n, OP_SQUARE, &x, 1);
  if (!none) return n;
  k->changed = true;
  return x;
}

static bool is_stored(const Node *n) {
  return n->op == OP_PARAM || n->op == OP_CONST;
}

/* Modulo 2^bits. */
static int64_t negated(Elem e, int64_t v) {
  int64_t at;
  elem_store_int(e, &at, 0, (int64_t)(0 - (uint64_t)v));
  return elem_load_int(e, &at, 0);
}

/* x - c is x + -c, exactly; constants stand second where they may (not in
 * maximum and minimum, of which a NaN is the result only when it stands
 * first). */
static Node *canon_order(Canon *k, Node *n) {
  if (n->op == OP_SUB && n->in[1]->op == OP_CONST && !n->in[1]->free) {
    const Node *c = n->in[1];
    Elem e = c->type.elem;
    Node *in[2] = {n->in[0]};
    in[1] = e == F32 ? func_const(k->m, k->f, -c->value)
                     : func_const_int(k->m, k->f, e, negated(e, c->ivalue));
    return become(k, n, OP_ADD, in, 2);
  }
  if (n->op != OP_ADD && n->op != OP_MUL) return n;
  Node *a = n->in[0], *b = n->in[1];
  if (is_stored(a) && !is_stored(b)) {
    n->in[0] = b;
    n->in[1] = a;
    k->changed = true;
  }
  return n;
}

/* ---- products ------------------------------------------------------- */

/* A stored matrix on the right is the weight of a linear layer, whose zeros
 * pay; values that will still change stay where they are. */
static Node *canon_matmul(Canon *k, Node *n) {
  if (n->op != OP_MATMUL || attr_bool(n, "transpose_a")) return n;
  Node *in[2] = {n->in[0], n->in[1]};
  if (in[1]->op != OP_PARAM || in[1]->type.rank != 2) return n;
  if (!attr_bool(n, "transpose_b")) {
    if (!param_values(k->m, in[1]->param)) return n;
    in[1] = func_insert(k->m, k->f, n, OP_PERMUTE, &in[1], 1);
    attr_set_ints(k->m, in[1], "order", (int64_t[]){1, 0}, 2);
    in[1]->span = n->span;
    node_retype(k->c, in[1]);
  }
  return become(k, n, OP_LINEAR, in, 2);
}

/* ---- axes and reductions -------------------------------------------- */

static int axis_compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static Node *canon_reduce(Canon *k, Node *n) {
  if (!(op_info(n->op)->flags & FLAG_REDUCE)) return n;
  int count, rank = n->in[0]->type.rank;
  const int64_t *axes = attr_ints(n, "axes", &count);
  int64_t to[MAX_RANK];
  bool same = count > 0 || rank == 0;
  for (int i = 0; i < count; i++) {
    to[i] = axes[i] < 0 ? axes[i] + rank : axes[i];
    same = same && to[i] == axes[i] && (i == 0 || to[i] > to[i - 1]);
  }
  if (same) return n;
  if (count == 0)
    for (; count < rank; count++) to[count] = count;
  qsort(to, count, sizeof *to, axis_compare);
  attr_set_ints(k->m, n, "axes", to, count);
  k->changed = true;
  return n;
}

static Node *canon_axis(Canon *k, Node *n) {
  if (attr_index(n->op, "axis") < 0 || n->op == OP_SCAN) return n;
  int64_t axis = attr_int(n, "axis");
  if (axis >= 0) return n;
  const Type *t = n->nin ? &n->in[0]->type : &n->type;
  attr_set_int(n, "axis", axis + t->rank);
  k->changed = true;
  return n;
}

/* The first few are found one after the other; more of them by sorting all,
 * for which the result has to have room. */
static Node *canon_sort(Canon *k, Node *n) {
  enum { FEW = 64 };
  if (n->op != OP_ARGSORT) return n;
  int axis = (int)attr_int(n, "axis");
  int64_t size = n->in[0]->type.dim[axis], count = attr_int(n, "count");
  if (count < 0 || (count <= FEW && count < size)) return n;
  attr_set_int(n, "count", -1);
  k->changed = true;
  if (count == size) return n;
  Node *all = func_insert(k->m, k->f, n, OP_ARGSORT, n->in, 1);
  for (int i = 0; i < op_info(OP_ARGSORT)->nattrs; i++)
    all->attr[i] = n->attr[i];
  node_inherit(k->m, all, n);
  node_retype(k->c, all);
  node_reset(k->m, n, OP_SLICE, &all, 1);
  attr_set_int(n, "axis", axis);
  attr_set_int(n, "start", 0);
  attr_set_int(n, "stop", count);
  node_retype(k->c, n);
  return n;
}

/* An average over the whole map is a mean that keeps its axes. */
static Node *canon_pool(Canon *k, Node *n) {
  if (n->op != OP_AVG_POOL || n->type.dim[2] != 1 || n->type.dim[3] != 1)
    return n;
  int count, npad;
  const int64_t *win = attr_ints(n, "k", &count);
  const int64_t *pad = attr_ints(n, "pad", &npad);
  for (int i = 0; i < npad; i++)
    if (pad[i]) return n;
  const Type *x = &n->in[0]->type;
  if (count != 2 || win[0] != x->dim[2] || win[1] != x->dim[3]) return n;
  static const int64_t axes[2] = {2, 3};
  node_reset(k->m, n, OP_MEAN, n->in, 1);
  attr_set_ints(k->m, n, "axes", axes, 2);
  attr_set_bool(n, "keep", true);
  node_retype(k->c, n);
  k->changed = true;
  return n;
}

static Node *literal_param(Canon *k, const Node *n) {
  k->changed = true;
  return func_literal(k->m, k->f, n);
}

/* Kernels take a literal only as an operand of a binary op; elsewhere it
 * becomes a param of one value. */
static Node *canon_literal(Canon *k, Node *n) {
  if (op_info(n->op)->flags & FLAG_BINARY) return n;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && n->in[i]->op == OP_CONST && !n->in[i]->free)
      n->in[i] = literal_param(k, n->in[i]);
  return n;
}

static Node *(*const rules[])(Canon *, Node *) = {
  canon_order,      canon_axis, canon_sort,   canon_reduce,
  canon_batch_norm, canon_view, canon_matmul, canon_activation,
  canon_gate,       canon_neutral, canon_pool, canon_literal,
};

static void canon_scans(Canon *k) {
  for (size_t i = 0, n = k->f->nodes.n; i < n; i++)
    if (k->f->nodes.at[i]->op == OP_SCAN)
      scan_to_first_axis(k->c, k->f, k->f->nodes.at[i]);
  func_tidy(k->m, k->f);
}

/* What leaves the function lies somewhere. */
static Node *canon_end(Canon *k, Node *n) {
  return n->op == OP_CONST && !n->free ? literal_param(k, n) : n;
}

static void canon_round(Canon *k) {
  Func *f = k->f;
  Users *users = users_new(k->c->scratch, f);
  /* New leaves are appended behind; they need no visit. */
  for (size_t i = 0, n = f->nodes.n; i < n; i++) {
    Node *old = f->nodes.at[i];
    if (node_is_leaf(old)) continue;
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
      Node *to = rules[r](k, old);
      if (to == old) continue;
      users_replace(users, old, to);
      break;
    }
  }
  for (size_t i = 0; i < f->outputs.n; i++)
    f->outputs.at[i].node = canon_end(k, f->outputs.at[i].node);
  for (size_t i = 0; i < f->nexts.n; i++)
    f->nexts.at[i].node = canon_end(k, f->nexts.at[i].node);
  func_tidy(k->m, f);
}

void canon_func(PassCtx *c, Func *f) {
  Canon k = {c, c->m, f, false};
  canon_scans(&k);
  do {
    k.changed = false;
    canon_round(&k);
  } while (k.changed);
}

bool pass_canon(PassCtx *c) {
  for (size_t i = 0; i < c->m->funcs.n; i++)
    canon_func(c, c->m->funcs.at[i]);
  return true;
}
