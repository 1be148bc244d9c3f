/* attention.c - attention that exporters and the prelude spell out is one
 * node (pass recognise).
 *
 * before     s = matmul(q, k, transpose_b=true); t = mul(s, 0.125);
 *            u = add(t, mask);  p = softmax(u, axis=3);  y = matmul(p, v);
 * after      t = permute(k, order=[0,1,3,2]);
 *            y = attend(q, t, v, mask=mask, transpose_k=false, scale=0.125);
 * source     Vaswani et al., 2017, section 3.2.1
 *
 * Scores may be scaled by numbers, as may q and k; then masks are added, or
 * put in place of scores by `where` with a number so low that adding it is
 * the same.  A stored mask that leaves row i the columns 0 to i is `causal`.
 * Keys whose rows lie side by side are transposed where many rows of q want
 * them: the product runs along them.  Keys and values that were copied for
 * several heads of queries (Ainslie et al., 2023) broadcast instead. */
#include <math.h>

#include "passes/passes.h"

enum { MASKS_MOST = 4, FEW_ROWS = 8 };

/* What no score comes near, and what swallows every score. */
static const double lowest = -1e30;

/* Something added to scores: a value, or `fill` where `seen` is false (or,
 * hidden, where it is true). */
typedef struct Mask { Node *value, *seen; bool hidden; double fill; } Mask;

typedef struct Scores {
  PassCtx *c;
  Func *f;
  Uses uses;
  const Users *users;
  const Node *softmax;
  Node *product;           /* matmul of q and k */
  double scale;
  Mask mask[MASKS_MOST];
  int nmasks;
  bool scaled;             /* a factor was met on the way from softmax */
} Scores;

/* ---- matching ------------------------------------------------------- */

static bool once(const Scores *s, const Node *n) {
  return used_once(&s->uses, n);
}

static bool scores_find(Scores *s, Node *n);

/* n behind something of the same shape. */
static bool scores_behind(Scores *s, const Node *n, Node *x) {
  return type_same_shape(&n->type, &x->type) && scores_find(s, x);
}

static bool masked_by(Scores *s, const Node *n, Node *x, Mask m) {
  if (s->scaled || s->nmasks == MASKS_MOST) return false;
  int at = s->nmasks++;
  s->mask[at] = m;
  if (scores_behind(s, n, x)) return true;
  s->nmasks = at;
  return false;
}

static bool scores_added(Scores *s, const Node *n) {
  for (int i = 0; i < 2; i++) {
    const Node *other = n->in[1 - i];
    /* The same for all scores changes nothing. */
    if (other->op == OP_CONST) {
      if (isfinite(other->value)) return scores_behind(s, n, n->in[i]);
      return false;
    }
  }
  for (int i = 0; i < 2; i++)
    if (masked_by(s, n, n->in[i], (Mask){.value = n->in[1 - i]})) return true;
  return false;
}

static bool scores_chosen(Scores *s, const Node *n) {
  for (int i = 1; i < 3; i++) {
    Mask m = {.seen = n->in[0], .hidden = i == 2};
    if (node_scalar(s->c->m, n->in[3 - i], &m.fill) && m.fill <= lowest)
      return masked_by(s, n, n->in[i], m);
  }
  return false;
}

static bool scores_find(Scores *s, Node *n) {
  double v;
  if (n->nin < 2 || !once(s, n)) return false;
  if (n->op == OP_ADD) return scores_added(s, n);
  if (n->op == OP_WHERE) return scores_chosen(s, n);
  if ((n->op == OP_MUL || n->op == OP_DIV) &&
      node_scalar(s->c->m, n->in[1], &v)) {
    s->scale *= n->op == OP_MUL ? v : 1 / v;
    s->scaled = true;
    return scores_behind(s, n, n->in[0]);
  }
  s->product = n;
  return n->op == OP_MATMUL && !attr_bool(n, "transpose_a");
}

/* The softmax that n, of weights, is; zeros in rows without a key count for
 * nothing where n's product y gets them again. */
static const Node *weights_of(const Scores *s, const Node *y, const Node *n) {
  double v;
  if (!once(s, n)) return NULL;
  if (n->op == OP_WHERE) {
    const Node *user = once(s, y) ? users_only(s->users, y) : NULL;
    if (!user || user->op != OP_WHERE || user->in[0] != n->in[0] ||
        user->in[1] != y || !node_scalar(s->c->m, n->in[2], &v) || v != 0 ||
        !node_scalar(s->c->m, user->in[2], &v) || v != 0 ||
        !type_same_shape(&n->type, &n->in[1]->type) || !once(s, n->in[1]))
      return NULL;
    n = n->in[1];
  }
  return n->op == OP_SOFTMAX &&
         attr_int(n, "axis") == n->type.rank - 1 ? n : NULL;
}

/* ---- masks ---------------------------------------------------------- */

/* A condition that is stored, as what is added; NULL: it is computed. */
static Node *mask_stored(Scores *s, const Mask *m) {
  const Node *c = m->seen;
  const void *from = c->op == OP_PARAM ? param_data(c->param) : NULL;
  if (!from) return NULL;
  int64_t n = type_elems(&c->type);
  Type t = c->type;
  t.elem = F32;
  Buffer *b = buffer_new((size_t)n * sizeof(float));
  float *to = (float *)(void *)b->data;
  for (int64_t i = 0; i < n; i++)
    to[i] = (elem_load_int(c->type.elem, from, i) != 0) != m->hidden
              ? 0 : (float)m->fill;
  return func_values(s->c->m, s->f, "mask", t, b);
}

static Node *number(Scores *s, double v) {
  return func_literal(s->c->m, s->f, func_const(s->c->m, s->f, v));
}

static Node *inserted(Scores *s, Node *at, Op op, Node **in, int nin) {
  Node *n = func_insert(s->c->m, s->f, at, op, in, nin);
  node_inherit(s->c->m, n, at);
  node_retype(s->c, n);
  return n;
}

static Node *mask_value(Scores *s, Node *y, const Mask *m) {
  if (m->value) return m->value;
  Node *stored = mask_stored(s, m);
  if (stored) return stored;
  Node *in[3] = {m->seen, number(s, 0), number(s, m->fill)};
  if (m->hidden) in[1] = number(s, m->fill), in[2] = number(s, 0);
  return inserted(s, y, OP_WHERE, in, 3);
}

/* Is it stored, and leaves row i the columns 0 to i? */
static bool mask_causal(Scores *s, const Node *m, const Type *scores) {
  const Type *t = &m->type;
  int64_t rows = scores->dim[scores->rank - 2],
          columns = scores->dim[scores->rank - 1];
  if (m->op != OP_PARAM || type_elems(t) != rows * columns || t->rank < 2 ||
      t->dim[t->rank - 1] != columns || t->dim[t->rank - 2] != rows)
    return false;
  const float *v = param_values(s->c->m, m->param);
  for (int64_t i = 0; v && i < rows; i++)
    for (int64_t k = 0; k < columns; k++) {
      float x = v[i * columns + k];
      if (k <= i ? x != 0 : !((double)x <= lowest)) return false;
    }
  return v != NULL;
}

/* All masks as one; NULL: none is left. */
static Node *masks_join(Scores *s, Node *y, bool *causal) {
  Node *all = NULL;
  for (int i = 0; i < s->nmasks; i++) {
    Node *m = mask_value(s, y, &s->mask[i]);
    if (!*causal && mask_causal(s, m, &s->product->type)) {
      *causal = true;
      continue;
    }
    all = all ? inserted(s, y, OP_ADD, (Node *[]){all, m}, 2) : m;
  }
  return all;
}

/* ---- the node ------------------------------------------------------- */

/* x with its last two axes changed. */
static Node *turned(Scores *s, Node *at, Node *x) {
  int64_t order[MAX_RANK];
  int rank = x->type.rank, n;
  bool permuted = x->op == OP_PERMUTE, same = true;
  for (int i = 0; i < rank; i++) order[i] = i;
  if (permuted) {
    const int64_t *was = attr_ints(x, "order", &n);
    for (int i = 0; i < rank; i++) order[i] = was[i];
    x = x->in[0];
  }
  int64_t last = order[rank - 1];
  order[rank - 1] = order[rank - 2], order[rank - 2] = last;
  for (int i = 0; i < rank; i++) same = same && order[i] == i;
  if (same) return x;
  return func_insert_list(s->c, s->f, at, OP_PERMUTE, x, "order", order, rank);
}

/* x without a factor, which the scores get. */
static Node *unscaled(Scores *s, Node *x) {
  double v;
  if (x->op == OP_PERMUTE && once(s, x)) {
    x->in[0] = unscaled(s, x->in[0]);
    return x;
  }
  if (x->op != OP_MUL || !once(s, x) ||
      !type_same_shape(&x->type, &x->in[0]->type) ||
      !node_scalar(s->c->m, x->in[1], &v) || !isfinite(s->scale * v))
    return x;
  s->scale *= v;
  return x->in[0];
}

/* ---- keys that heads share ------------------------------------------- */

/* x [B,G,1,...] of n = reshape(expand(x), [B,G*R,...]), R the same heads of
 * queries for each of G; NULL: something else. */
static Node *repeated(const Node *n) {
  if (n->op != OP_RESHAPE || n->type.rank != 4) return NULL;
  const Node *e = n->in[0];
  if (e->op != OP_EXPAND || e->type.rank != 5) return NULL;
  Node *x = e->in[0];
  const int64_t *d = e->type.dim, *own = x->type.dim, *to = n->type.dim;
  bool fits = x->type.rank == 5 && own[2] == 1 && d[2] > 1 &&
              to[0] == d[0] && to[1] == d[1] * d[2];
  for (int i = 0; i < 5; i++) fits = fits && (i == 2 || own[i] == d[i]);
  for (int i = 2; i < 4; i++) fits = fits && to[i] == d[i + 1];
  return fits ? x : NULL;
}

/* [B,H,...] as [B,G,H/G,...]; what has one head for all as [B,1,1,...]. */
static Node *grouped(Scores *s, Node *at, Node *x, int64_t groups) {
  const int64_t *d = x->type.dim;
  int rank = x->type.rank;
  if (rank < 3) return x;
  int64_t dim[MAX_RANK], heads = d[rank - 3];
  bool all = heads == 1;
  for (int i = 0; i < rank - 3; i++) dim[i] = d[i];
  dim[rank - 3] = all ? 1 : groups;
  dim[rank - 2] = all ? 1 : heads / groups;
  dim[rank - 1] = d[rank - 2];
  dim[rank] = d[rank - 1];
  return func_insert_list(s->c, s->f, at, OP_RESHAPE, x, "shape", dim,
                          rank + 1);
}

/* Keys and values that were copied for each of the queries' heads broadcast
 * instead; gives the node that takes the place of y, with y behind it. */
static Node *unrepeated(Scores *s, Node *y, Node *in[4], bool *side) {
  Node *k = in[1], *v = repeated(in[2]);
  if (node_is_free(y)) return y;   /* sizes of reshapes would be, too */
  bool turn = !*side && k->op == OP_PERMUTE && k->type.rank == 4;
  if (turn) {
    int n;
    const int64_t *o = attr_ints(k, "order", &n);
    if (o[0] != 0 || o[1] != 1 || o[2] != 3) return y;
    k = k->in[0];
  } else if (!*side) {
    return y;
  }
  k = repeated(k);
  if (!k || !v || in[0]->type.rank != 4 ||
      k->type.dim[1] != v->type.dim[1] ||
      in[0]->type.dim[1] % k->type.dim[1] != 0 ||
      in[0]->type.dim[1] != in[1]->type.dim[1])
    return y;
  int64_t groups = k->type.dim[1];
  in[0] = grouped(s, y, in[0], groups);
  in[1] = k, in[2] = v, *side = true;
  if (in[3]) in[3] = grouped(s, y, in[3], groups);
  Node *to = func_insert(s->c->m, s->f, y, OP_ATTEND, in, in[3] ? 4 : 3);
  node_inherit(s->c->m, to, y);
  int64_t dim[MAX_RANK];
  for (int i = 0; i < y->type.rank; i++) dim[i] = y->type.dim[i];
  node_reset(s->c->m, y, OP_RESHAPE, &to, 1);
  attr_set_ints(s->c->m, y, "shape", dim, 4);
  return to;
}

static bool recognise_product(PassCtx *c, Scores s, Node *y) {
  if (y->op != OP_MATMUL || attr_bool(y, "transpose_a") ||
      attr_bool(y, "transpose_b"))
    return false;
  s.softmax = weights_of(&s, y, y->in[0]);
  if (!s.softmax || !scores_find(&s, s.softmax->in[0]) ||
      !isfinite(s.scale))
    return false;
  Node *in[4] = {unscaled(&s, s.product->in[0]),
                 unscaled(&s, s.product->in[1]), y->in[1], NULL};
  bool causal = false, side = attr_bool(s.product, "transpose_b");
  in[3] = masks_join(&s, y, &causal);
  Node *to = unrepeated(&s, y, in, &side);
  int64_t rows = s.product->type.dim[s.product->type.rank - 2];
  if (side == (rows >= FEW_ROWS) && (side || in[1]->op == OP_PERMUTE)) {
    in[1] = turned(&s, to, in[1]);
    side = !side;
  }
  const Node *part[2] = {s.product, s.softmax};
  node_reset(c->m, to, OP_ATTEND, in, in[3] ? 4 : 3);
  attr_set_bool(to, "transpose_k", side);
  attr_set_bool(to, "causal", causal);
  attr_set_float(to, "scale", s.scale);
  for (int i = 0; i < 2; i++) node_inherit(c->m, to, part[i]);
  node_retype(c, to);
  if (to != y) node_retype(c, y);
  return true;
}

void attention_recognise(PassCtx *c, Func *f) {
  func_tidy(c->m, f);
  Scores s = {c, f, uses_new(c->scratch, f),
              users_new(c->scratch, f), .scale = 1};
  bool found = false;
  for (size_t i = 0; i < f->nodes.n; i++)
    found |= recognise_product(c, s, f->nodes.at[i]);
  if (found) func_tidy(c->m, f);
}
