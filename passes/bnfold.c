/* bnfold.c - scale and shift around convolutions, transposed ones too, and
 * linear go into w and b.
 *
 * requires   canonical forms: constants stand second, batch_norm with known
 *            statistics is scale_shift
 * preserves  values up to rounding (products in double, rounded once);
 *            zeros of weights stay zeros, and what is finite stays so; bits
 *            below the smallest normal float are lost only beside a weight
 *            of the same output 2^24 times as large; trainable params stay
 * before     a = conv2d(x, c.w, pad=[1,1,1,1]) as c;
 *            y = scale_shift(a, s, t, axis=1) as bn;
 * after      y = conv2d(x, c.w, b=c.bias, pad=[1,1,1,1]) as c;
 *            (c.w has new values; had it another user, it would stay, and
 *            c.w.folded would be its scaled copy)
 * source     Jacob et al., 2018, section 3.2 (folding for inference); in
 *            front of a product a shift is folded only where all sums have
 *            the same terms: no zeros are padded, nothing is transposed */
#include <float.h>
#include <math.h>

#include "passes/passes.h"

/* y = x * scale[i] + shift[i], i the index along the channel axis. */
typedef struct Affine {
  int64_t n;
  double *scale, *shift;
} Affine;

static bool is_product(const Node *n) {
  return n->op == OP_CONV2D || n->op == OP_CONV2D_TRANSPOSE ||
         n->op == OP_LINEAR;
}

/* That of the product's result, or of an operand of this rank. */
static int channel_axis(const Node *product, int rank) {
  return product->op == OP_LINEAR ? rank - 1 : 1;
}

static void affine_init(PassCtx *c, Affine *a, int64_t n) {
  a->n = n;
  a->scale = arena_array(c->scratch, double, n ? n : 1);
  a->shift = arena_array(c->scratch, double, n ? n : 1);
  for (int64_t i = 0; i < n; i++) a->scale[i] = 1;
}

/* One constant operand v of an elementwise op, the other one being x. */
static bool affine_step(Affine *a, Op op, bool x_first, int64_t i, double v) {
  switch (op) {
  case OP_ADD:
    a->shift[i] = v;
    return true;
  case OP_SUB:
    a->shift[i] = x_first ? -v : v;
    a->scale[i] = x_first ? 1 : -1;
    return true;
  case OP_MUL:
    a->scale[i] = v;
    return true;
  case OP_DIV:
    a->scale[i] = 1 / v;
    return x_first;
  default:
    return false;
  }
}

static bool affine_binary(PassCtx *c, const Node *u, const Node *x, int axis,
                          Affine *a) {
  const float *v;
  int step;
  bool first = u->in[0] == x;
  const Node *other = u->in[first];
  if (other == x || !type_same_shape(&u->type, &x->type)) return false;
  if (!node_per_axis(c->m, other, &u->type, axis, &v, &step)) return false;
  affine_init(c, a, u->type.dim[axis]);
  for (int64_t i = 0; i < a->n; i++)
    if (!affine_step(a, u->op, first, i, v[i * step])) return false;
  return true;
}

static bool affine_read(PassCtx *c, const Node *u, const Node *x, int axis,
                        Affine *a) {
  if (op_info(u->op)->flags & FLAG_BINARY)
    return affine_binary(c, u, x, axis, a);
  if (u->op == OP_NEG) {
    affine_init(c, a, u->type.dim[axis]);
    for (int64_t i = 0; i < a->n; i++) a->scale[i] = -1;
    return true;
  }
  if (u->op != OP_SCALE_SHIFT || u->in[0] != x) return false;
  int64_t at = attr_int(u, "axis");
  if (at < 0) at += u->type.rank;
  if (at != axis || !node_is_const(c->m, u->in[1]) ||
      !node_is_const(c->m, u->in[2]))
    return false;
  const float *s = node_values(c->m, u->in[1]);
  const float *t = node_values(c->m, u->in[2]);
  affine_init(c, a, u->type.dim[axis]);
  for (int64_t i = 0; i < a->n; i++) {
    a->scale[i] = s[i];
    a->shift[i] = t[i];
  }
  return true;
}

/* Is u an affine map of its operand x along `axis`, by finite numbers?  A
 * scale of 0 would make zeros of weights that nobody pruned, which infinities
 * pass by. */
static bool affine_of(PassCtx *c, const Node *u, const Node *x, int axis,
                      Affine *a) {
  if (!affine_read(c, u, x, axis, a)) return false;
  for (int64_t i = 0; i < a->n; i++)
    if (!isfinite(a->scale[i]) || a->scale[i] == 0 || !isfinite(a->shift[i]))
      return false;
  return a->n > 0;   /* without channels, any op would pass */
}

/* ---- the product's side --------------------------------------------- */

/* Counts from before the pass: a node that was made since is not in them,
 * and no other gets more uses. */
/* A product whose weights are known: w, and b [outs] or NULL.  Each output
 * is a sum over `ins` channels of its group, of `taps` products each. */
typedef struct Product {
  Node *n;
  bool w_once, b_once;     /* only this node uses the param */
  const float *w, *b;
  int64_t groups, outs, ins, taps;
} Product;

/* Sizes of w [outs][ins][taps], of a transposed convolution
 * [groups * ins][outs / groups][taps]. */
static void product_sizes(Product *p) {
  const Type *w = &p->n->in[1]->type;
  bool turned = p->n->op == OP_CONV2D_TRANSPOSE;
  p->groups = p->n->op == OP_LINEAR ? 1 : attr_int(p->n, "groups");
  p->outs = turned ? w->dim[1] * p->groups : w->dim[0];
  p->ins = turned ? w->dim[0] / p->groups : w->dim[1];
  p->taps = p->n->op == OP_LINEAR ? 1 : w->dim[2] * w->dim[3];
}

/* The input channel that is the k-th of output i. */
static int64_t channel_in(const Product *p, int64_t i, int64_t k) {
  return i / (p->outs / p->groups) * p->ins + k;
}

/* Where the taps of output i by its k-th input channel stand in w. */
static int64_t taps_at(const Product *p, int64_t i, int64_t k) {
  int64_t each = p->outs / p->groups;
  if (p->n->op != OP_CONV2D_TRANSPOSE) return (i * p->ins + k) * p->taps;
  return (channel_in(p, i, k) * each + i % each) * p->taps;
}

static bool product_known(PassCtx *c, const Uses *u, Node *n, Product *p) {
  if (!is_product(n) || !node_is_const(c->m, n->in[1])) return false;
  Node *b = node_in(n, 2);
  if (b && !node_is_const(c->m, b)) return false;
  p->n = n;
  p->w_once = used_once(u, n->in[1]);
  p->b_once = b && used_once(u, b);
  p->w = node_values(c->m, n->in[1]);
  p->b = b ? node_values(c->m, b) : NULL;
  product_sizes(p);
  return true;
}

static bool shifts(const Affine *a) {
  for (int64_t i = 0; i < a->n; i++)
    if (a->shift[i] != 0) return true;
  return false;
}

/* New w and b (NULL: none is needed) for the product p, which is n now. */
static void product_write(PassCtx *c, Func *f, const Product *p, Node *n,
                          Buffer *w, Buffer *b) {
  Node *old_w = n->in[1], *old_b = node_in(n, 2), *new_b;
  const char *wpath = old_w->op == OP_PARAM ? old_w->param->path : "weight";
  Type t = type_make(F32, 1, &p->outs);
  n->in[1] = func_derive(c->m, f, old_w, p->w_once, old_w->type, w);
  if (!b) return;
  if (old_b) new_b = func_derive(c->m, f, old_b, p->b_once, t, b);
  else new_b = func_values(c->m, f, path_beside(c->m, wpath, "bias"), t, b);
  node_set_in(c->m, n, 2, new_b);
}

/* The weights of output i times scale[k * step], k being the input channel of
 * its group, rounded; false when floats are too small or too large for it. */
static bool output_scale(const Product *p, int64_t i, const double *scale,
                         int64_t step, float *to) {
  double most = 0;
  for (int64_t k = 0; k < p->ins; k++)
    for (int64_t t = taps_at(p, i, k), end = t + p->taps; t < end; t++)
      most = fmax(most, fabs(p->w[t] * scale[k * step]));
  bool tiny = most < 0x1p24 * FLT_MIN;
  for (int64_t k = 0; k < p->ins; k++)
    for (int64_t t = taps_at(p, i, k), end = t + p->taps; t < end; t++) {
      double v = p->w[t] * scale[k * step];
      to[t] = (float)v;
      if (isfinite(p->w[t]) && !isfinite(to[t])) return false;
      if (tiny && p->w[t] != 0 && fabs(v) < FLT_MIN) return false;
    }
  return true;
}

/* affine(product): scale all of an output's weights, and b. */
static bool behind_values(const Product *p, const Affine *a, float *w,
                          float *b) {
  for (int64_t i = 0; i < p->outs; i++) {
    if (!output_scale(p, i, &a->scale[i], 0, w)) return false;
    if (!b) continue;
    b[i] = (float)((p->b ? p->b[i] : 0) * a->scale[i] + a->shift[i]);
    if (!isfinite(b[i])) return false;
  }
  return true;
}

/* product(affine(x)): scale the weights of each input channel; what the shift
 * gives goes to b. */
static bool before_values(const Product *p, const Affine *a, float *w,
                          float *b) {
  for (int64_t i = 0; i < p->outs; i++) {
    int64_t first = channel_in(p, i, 0);
    double sum = p->b ? p->b[i] : 0;
    if (!output_scale(p, i, &a->scale[first], 1, w)) return false;
    for (int64_t k = 0; k < p->ins; k++)
      for (int64_t t = taps_at(p, i, k), end = t + p->taps; t < end; t++)
        sum += p->w[t] * a->shift[first + k];
    if (!b) continue;
    b[i] = (float)sum;
    if (!isfinite(b[i])) return false;
  }
  return true;
}

/* The new w, and b or NULL where none is needed; false when floats do not
 * hold them. */
static bool product_scale(const Product *p, const Affine *a, bool behind,
                          Buffer **w, Buffer **b) {
  bool biased = p->b || shifts(a);
  int64_t size = type_elems(&p->n->in[1]->type);
  *w = buffer_new(checked_mul(size, sizeof(float)));
  *b = biased ? buffer_new(checked_mul(p->outs, sizeof(float))) : NULL;
  float *to = (float *)(*w)->data;
  float *bias = biased ? (float *)(*b)->data : NULL;
  if (behind ? behind_values(p, a, to, bias) : before_values(p, a, to, bias))
    return true;
  buffer_unref(*w);
  buffer_unref(*b);
  return false;
}

static void fold_behind(PassCtx *c, Func *f, Node *u, const Product *p,
                        const Affine *a) {
  Buffer *w, *b;
  if (!product_scale(p, a, true, &w, &b)) return;
  node_absorb(c->m, u, p->n);
  product_write(c, f, p, u, w, b);
  node_retype(c, u);
}

static void fold_before(PassCtx *c, Func *f, const Product *p, const Affine *a,
                        Node *x) {
  Buffer *w, *b;
  if (!product_scale(p, a, false, &w, &b)) return;
  Node *n = p->n, *u = n->in[0];
  product_write(c, f, p, n, w, b);
  n->in[0] = x;
  node_drop(u);
  const char *path = n->path;
  node_inherit(c->m, n, u);
  n->path = path ? path : u->path;
}

/* Have all sums of n the same terms, so that a shift of its input adds the
 * same everywhere? */
static bool sums_alike(const Node *n) {
  if (n->op == OP_CONV2D_TRANSPOSE) return false;
  if (n->op == OP_LINEAR) return true;
  int count;
  const int64_t *pad = attr_ints(n, "pad", &count);
  for (int i = 0; i < count; i++)
    if (pad[i]) return false;
  return true;
}

/* The operand of an affine op that is not a constant. */
static Node *varying(PassCtx *c, const Node *u) {
  bool binary = op_info(u->op)->flags & FLAG_BINARY;
  if (!binary && u->op != OP_SCALE_SHIFT && u->op != OP_NEG) return NULL;
  return u->in[binary && node_is_const(c->m, u->in[0])];
}

static bool has_epilogue(const Node *n) {
  return node_in(n, 3) || attr_str(n, "act")[0];
}

static void bnfold_func(PassCtx *c, Func *f) {
  func_tidy(c->m, f);
  /* A folded node takes over its operand's uses: the counts stay right. */
  Uses uses = uses_new(c->scratch, f);
  for (size_t i = 0; i < uses.n; i++) {
    Node *u = f->nodes.at[i], *x = varying(c, u);
    Product p;
    Affine a;
    if (x && is_product(x) && used_once(&uses, x) && !has_epilogue(x) &&
        product_known(c, &uses, x, &p) &&
        affine_of(c, u, x, channel_axis(x, x->type.rank), &a))
      fold_behind(c, f, u, &p, &a);
    if (!is_product(u) || !product_known(c, &uses, u, &p)) continue;
    Node *before = u->in[0];
    x = varying(c, before);
    int axis = channel_axis(u, before->type.rank);
    if (!x || before->type.rank < 1 || !used_once(&uses, before) ||
        !affine_of(c, before, x, axis, &a))
      continue;
    if (sums_alike(u) || !shifts(&a)) fold_before(c, f, &p, &a, x);
  }
  func_tidy(c->m, f);
}

bool pass_bnfold(PassCtx *c) {
  if (c->opt == 0) return true;
  for (size_t i = 0; i < c->m->funcs.n; i++)
    bnfold_func(c, c->m->funcs.at[i]);
  return true;
}
