/* follow.c - what belongs to an output channel beside its row of the weight:
 * the bias of its layer and the batch norm right behind, where they are the
 * channel's alone.  With them gone too the channel is zero, whatever x is.
 *
 * before     a = conv2d(x, w, b=b); y = batch_norm(a, gamma, beta, mean, var)
 * after      a group of units: w's row i, b[i], gamma[i], beta[i] */
#include "passes/prune.h"

/* ---- layers and their params ----------------------------------------- */

Param *operand_param(const Node *x) {
  while (x && (x->op == OP_MASK || x->op == OP_SLICE)) x = x->in[0];
  return x && x->op == OP_PARAM ? x->param : NULL;
}

Node *layer_weight(const Node *n) {
  switch (n->op) {
  case OP_CONV1D: case OP_CONV2D: case OP_CONV3D: case OP_LINEAR:
    return node_operand(n, "w");
  case OP_MATMUL: {
    const Node *w = n->in[1]->op == OP_MASK ? n->in[1]->in[0] : n->in[1];
    return w->op == OP_PARAM && w->type.rank == 2 &&
           !attr_bool(n, "transpose_a") ? n->in[1] : NULL;
  }
  default:
    return NULL;
  }
}

bool layer_is_transposed(const Node *n) {
  return n->op == OP_MATMUL && !attr_bool(n, "transpose_b");
}

bool layer_uses(const Node *n, const Param *p) {
  return operand_param(layer_weight(n)) == p;
}

static bool is_vector(const Param *p, int64_t n) {
  return p && p->type.elem == F32 && p->type.rank == 1 &&
         p->type.dim[0] == n && !p->trainable && (p->data || p->values);
}

const Node *only_user(const Func *f, const Node *n) {
  const Node *user = NULL;
  for (size_t i = 0; i < f->outputs.n; i++)
    if (f->outputs.at[i].node == n) return NULL;
  for (size_t i = 0; i < f->nexts.n; i++)
    if (f->nexts.at[i].node == n) return NULL;
  for (size_t i = 0; i < f->nodes.n; i++)
    for (int k = 0; k < f->nodes.at[i]->nin; k++) {
      if (f->nodes.at[i]->in[k] != n) continue;
      if (user) return NULL;
      user = f->nodes.at[i];
    }
  return user;
}

/* Output channels that p has as the weight of layer n. */
static int64_t channels_of(const Node *n, const Param *p) {
  return p->type.dim[layer_is_transposed(n)];
}

/* ---- biases ---------------------------------------------------------- */

/* Is x what row i of the bias is added for where row i of the weight counts:
 * both are whole, or the same slice of their first axes? */
static bool same_rows(const Node *w, const Node *b) {
  if (w->op == OP_MASK) w = w->in[0];
  if (w->op == OP_PARAM || b->op == OP_PARAM)
    return w->op == OP_PARAM && b->op == OP_PARAM;
  return w->op == OP_SLICE && b->op == OP_SLICE &&
         w->in[0]->op == OP_PARAM && b->in[0]->op == OP_PARAM &&
         attr_int(w, "axis") == 0 && attr_int(b, "axis") == 0 &&
         attr_int(w, "step") == attr_int(b, "step") &&
         attr_int(w, "start") == attr_int(b, "start");
}

/* The bias of a layer: its operand, or behind a product what is added. */
static const Node *bias_of(const Func *f, const Node *n) {
  if (n->op != OP_MATMUL) return node_operand(n, "b");
  const Node *user = only_user(f, n);
  if (!user || user->op != OP_ADD || user->in[0] == user->in[1]) return NULL;
  return user->in[user->in[0] == n];
}

/* Is n such a sum of a product with p and its bias x? */
static bool adds_bias(const Func *f, const Node *n, const Node *x,
                      const Param *p) {
  if (n->op != OP_ADD) return false;
  const Node *product = n->in[n->in[0] == x];
  return product->op == OP_MATMUL && layer_uses(product, p) &&
         bias_of(f, product) == x;
}

/* Does n read `bias` for anything but rows of p, as their bias? */
static bool reads_otherwise(const Func *f, const Node *n, const Param *bias,
                            const Param *p) {
  for (int k = 0; k < n->nin; k++) {
    const Node *x = n->in[k];
    if (!x || operand_param(x) != bias) continue;
    if (n->op == OP_SLICE) continue;      /* its users are looked at */
    if (adds_bias(f, n, x, p)) continue;
    if (!layer_uses(n, p) || x != bias_of(f, n) ||
        !same_rows(layer_weight(n), x))
      return true;
  }
  for (size_t i = 0; i < f->outputs.n; i++)
    if (operand_param(f->outputs.at[i].node) == bias) return true;
  return false;
}

static bool bias_is_own(const Module *m, const Param *bias, const Param *p) {
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++)
      if (reads_otherwise(f, f->nodes.at[k], bias, p)) return false;
  }
  return true;
}

Param *layer_bias(const Module *m, const Func *f, const Node *n,
                  const Param *p) {
  Param *bias = operand_param(bias_of(f, n));
  return is_vector(bias, channels_of(n, p)) && bias_is_own(m, bias, p)
           ? bias : NULL;
}

/* ---- norms ----------------------------------------------------------- */

/* The batch norm over the channels of layer n right behind it, or NULL. */
static const Node *norm_behind(const Func *f, const Node *n) {
  const Node *user = only_user(f, n);
  bool channels = (n->op != OP_LINEAR && n->op != OP_MATMUL) ||
                  n->type.rank == 2;
  if (!user || !channels || user->in[0] != n) return NULL;
  if (user->op == OP_BATCH_NORM) return user;
  return user->op == OP_SCALE_SHIFT && attr_int(user, "axis") == 1
           ? user : NULL;
}

/* A scale or shift of n channels that nothing else reads, or NULL. */
static Param *norm_param(const Module *m, const Node *x, int64_t n) {
  int uses = 0;
  if (x->op != OP_PARAM || !is_vector(x->param, n)) return NULL;
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++)
      for (int j = 0; j < f->nodes.at[k]->nin; j++) {
        const Node *in = f->nodes.at[k]->in[j];
        uses += in && in->op == OP_PARAM && in->param == x->param;
      }
  }
  return uses == 1 ? x->param : NULL;
}

Param *norm_scale(Module *m, const Param *p) {
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++) {
      const Node *n = f->nodes.at[k];
      if (!layer_uses(n, p) || layer_weight(n)->op == OP_SLICE) continue;
      const Node *norm = norm_behind(f, n);
      if (norm && norm->in[1]->op == OP_PARAM &&
          is_vector(norm->in[1]->param, channels_of(n, p)))
        return norm->in[1]->param;
    }
  }
  return NULL;
}

/* ---- all that follows ------------------------------------------------ */

static void follow(PruneStep *s, Group *g, Param *p) {
  PruneWeight *w = prune_weight(s, p);
  for (size_t i = 0; i < g->parts.n; i++)
    if (g->parts.at[i].w == w) return;
  vec_push(s->arena, &g->parts,
           ((Part){.w = w, .rows = 1, .cols = 1, .across = 1,
                   .follows = true}));
}

static void layer_follow(PruneStep *s, Group *g, const Func *f,
                         const Node *n, const Param *p) {
  Module *m = s->c->m;
  Param *bias = layer_bias(m, f, n, p);
  if (bias) follow(s, g, bias);
  const Node *norm = layer_weight(n)->op != OP_SLICE
                       ? norm_behind(f, n) : NULL;
  if (!norm) return;
  Param *scale = norm_param(m, norm->in[1], channels_of(n, p));
  Param *shift = norm_param(m, norm->in[2], channels_of(n, p));
  if (!scale || !shift) return;
  follow(s, g, scale);
  follow(s, g, shift);
}

void channel_follow(PruneStep *s, Group *g) {
  const Param *p = g->parts.at[0].w->p;
  const Module *m = s->c->m;
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++)
      if (layer_uses(f->nodes.at[k], p))
        layer_follow(s, g, f, f->nodes.at[k], p);
  }
}
