/* fuse.c - what surrounds a convolution or linear becomes a part of it.
 *
 * requires   canonical forms; scales are folded where they can be
 * preserves  values up to rounding; a fused node stands where the last of
 *            its parts stood, with the path of the product and all places
 * before     a = conv2d(p, w, b=b) as c;   (p a pad of x by zeros, a and p
 *            d = add(x, a);                 used once)
 *            y = relu(d);
 * after      y = conv2d(x, w, b=b, r=x, pad=[1,1,1,1], act="relu") as c;
 * source     epilogue fusion as in Chen et al., 2018 (TVM), section 3, for
 *            products with elementwise ops behind them */
#include <string.h>

#include "passes/passes.h"

typedef struct Fuse {
  PassCtx *c;
  Func *f;
  int *uses;
} Fuse;

static bool is_product(const Node *n) {
  return n->op == OP_CONV2D || n->op == OP_CONV2D_TRANSPOSE ||
         n->op == OP_LINEAR;
}

/* May n's computation move into its only user? */
static bool movable(const Fuse *k, const Node *n) {
  return is_product(n) && k->uses[n->id] == 1;
}

static bool fuse_activation(Fuse *k, Node *u) {
  if (!(op_info(u->op)->flags & FLAG_UNARY)) return false;
  Node *p = u->in[0];
  bool limits = u->op == OP_CLIP, slope = u->op == OP_LEAKY_RELU;
  if (!limits && !slope && op_info(u->op)->nattrs) return false;
  if (!movable(k, p) || attr_str(p, "act")[0]) return false;
  const char *act = op_info(u->op)->name;
  double lo = limits ? attr_float(u, "lo")
                     : slope ? attr_float(u, "alpha") : 0;
  double hi = limits ? attr_float(u, "hi") : 0;
  node_absorb(k->c->m, u, p);
  attr_set_str(k->c->m, u, "act", act);
  attr_set_bool(u, "add_last", false);   /* act comes behind r now */
  attr_set_float(u, "lo", lo);
  attr_set_float(u, "hi", hi);
  return true;
}

/* linear(x, w) + b where b is [M]; constants went into b before, what is
 * left is computed or trainable. */
static bool fuse_bias(Fuse *k, Node *u) {
  if (u->op != OP_ADD) return false;
  for (int i = 0; i < 2; i++) {
    Node *p = u->in[i], *b = u->in[1 - i];
    if (p->op != OP_LINEAR || !movable(k, p) || node_in(p, 2)) continue;
    if (attr_str(p, "act")[0] || node_in(p, 3)) continue;
    if (!type_same_shape(&u->type, &p->type)) continue;
    if (b->op != OP_PARAM || b->type.rank != 1 ||
        b->type.dim[0] != p->type.dim[p->type.rank - 1])
      continue;
    node_absorb(k->c->m, u, p);
    node_set_in(k->c->m, u, 2, b);
    return true;
  }
  return false;
}

static bool residual_fits(Fuse *k, const Node *u, const Node *p,
                          const Node *r) {
  if (!movable(k, p) || node_in(p, 3) || r == p) return false;
  /* A stored residual would have to be laid out anew at each call. */
  if (r->op == OP_PARAM && p->op != OP_LINEAR)
    return false;
  return r->op != OP_CONST && type_same_shape(&u->type, &p->type) &&
         type_same_shape(&u->type, &r->type);
}

/* Of two products the later one moves: it has less far to go. */
static bool fuse_residual(Fuse *k, Node *u) {
  if (u->op != OP_ADD) return false;
  int late = u->in[1]->id > u->in[0]->id;
  for (int i = 0; i < 2; i++) {
    Node *p = u->in[i ? 1 - late : late], *r = u->in[i ? late : 1 - late];
    if (!residual_fits(k, u, p, r)) continue;
    bool last = attr_str(p, "act")[0];
    node_absorb(k->c->m, u, p);
    node_set_in(k->c->m, u, 3, r);
    attr_set_bool(u, "add_last", last);
    return true;
  }
  return false;
}

/* Zeros padded in front of a convolution are its own padding. */
static bool fuse_pad(Fuse *k, Node *u) {
  if (u->op != OP_CONV2D) return false;
  Node *p = u->in[0];
  if (p->op != OP_PAD || k->uses[p->id] != 1) return false;
  int n;
  const int64_t *before = attr_ints(p, "before", &n);
  const int64_t *after = attr_ints(p, "after", &n);
  const int64_t *own = attr_ints(u, "pad", &n);
  if (attr_float(p, "value") != 0) return false;
  if (before[0] || before[1] || after[0] || after[1]) return false;
  int64_t pad[4] = {own[0] + before[2], own[1] + before[3],
                    own[2] + after[2], own[3] + after[3]};
  for (int i = 0; i < 4; i++)
    if (pad[i] > MAX_WINDOW) return false;
  attr_set_ints(k->c->m, u, "pad", pad, 4);
  u->in[0] = p->in[0];
  node_drop(p);
  const char *path = u->path;
  node_inherit(k->c->m, u, p);
  u->path = path ? path : p->path;
  return true;
}

static void fuse_func(PassCtx *c, Func *f) {
  func_tidy(c->m, f);
  /* A fused node takes over its operand's uses: the counts stay right. */
  Fuse k = {c, f, func_uses(c->scratch, f)};
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *u = f->nodes.at[i];
    if (node_is_leaf(u)) continue;
    if (fuse_pad(&k, u) || fuse_activation(&k, u) || fuse_bias(&k, u) ||
        fuse_residual(&k, u))
      node_retype(c, u);
  }
  func_tidy(c->m, f);
}

bool pass_fuse(PassCtx *c) {
  if (c->opt == 0) return true;
  for (size_t i = 0; i < c->m->funcs.n; i++) fuse_func(c, c->m->funcs.at[i]);
  return true;
}
