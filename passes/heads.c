/* heads.c - the heads of attentions, as units of `prune`: rows of the weights
 * of q, k and v and columns of that of o.
 *
 * before     q, k, v = linear(x, w, b), reshaped and permuted to heads;
 *            a = matmul(softmax(matmul(q, k)), v); o = linear(a, u), likewise
 * after      a unit a head: rows of w and of b, columns of u
 *
 * Which rows belong to which head is found by sending the numbers of the
 * rows, in place of values, through what lies between the layer and the
 * product: whatever order exporters write it in, only views are there.
 * source     Michel et al., 2019: heads that a trained net can do without */
#include "passes/prune.h"

/* An attention as it stands in the graph. */
typedef struct Attention {
  const Func *f;
  const Node *in[3];     /* operands of the products: q, k, v */
  const Node *y;         /* the second product */
} Attention;

/* Rows (of q, k, v) or columns (of o) of a weight, `each` a head. */
typedef struct Side {
  const Node *layer;
  PruneWeight *w;        /* NULL: the layer's weight is no param */
  int64_t first, each;
} Side;

typedef struct Heads {
  PruneStep *s;
  Arena *a;              /* of this attention */
  Attention at;
  Side side[4];          /* q, k, v, o */
  int64_t n;             /* heads */
  int64_t *head;         /* of each index of the products' batch */
  int64_t batch;
  const char *why;       /* it is not known */
} Heads;
static const char *const side_names[] = {"q", "k", "v", "o"};

/* ---- finding attentions ---------------------------------------------- */

enum { DEPTH_MOST = 32 };

/* The product whose softmax n is, through scaling and masks. */
static const Node *scores_product(const Node *n, bool softmax, int depth) {
  if (depth > DEPTH_MOST) return NULL;
  if (n->op == OP_MATMUL) return softmax ? n : NULL;
  if (n->op != OP_SOFTMAX && n->op != OP_WHERE &&
      !(op_info(n->op)->flags & FLAG_BINARY))
    return NULL;
  softmax |= n->op == OP_SOFTMAX;
  for (int i = 0; i < n->nin; i++) {
    const Node *x = n->in[i];
    const Node *found = x && type_same_dims(&x->type, &n->type)
                          ? scores_product(x, softmax, depth + 1) : NULL;
    if (found) return found;
  }
  return NULL;
}

static bool attention_at(const Func *f, const Node *n, Attention *out) {
  *out = (Attention){.f = f, .y = n};
  const Node *product = NULL;
  if (n->op == OP_ATTEND) {
    for (int i = 0; i < 3; i++) out->in[i] = n->in[i];
    return true;
  }
  if (n->op == OP_MATMUL && !attr_bool(n, "transpose_a"))
    product = scores_product(n->in[0], false, 0);
  if (!product) return false;
  out->in[0] = product->in[0];
  out->in[1] = product->in[1];
  out->in[2] = n->in[1];
  return true;
}

/* ---- between layers and products ------------------------------------- */

typedef Vec(const Node *) Chain;

/* The operand that n hands on, element by element: what it views, or scales
 * or shifts by constants; behind keys and values of former calls those of
 * this one; NULL: it is none such. */
static const Node *handed_on(const Node *n) {
  uint32_t flags = op_info(n->op)->flags;
  if (n->op == OP_CONCAT) return n->in[n->nin - 1];
  if (flags & FLAG_VIEW) return n->nin == 1 ? n->in[0] : NULL;
  if (!(flags & FLAG_BINARY)) return NULL;
  for (int i = 0; i < 2; i++)
    if (type_same_dims(&n->in[i]->type, &n->type) &&
        op_info(n->in[1 - i]->op)->flags & FLAG_LEAF &&
        n->in[1 - i]->op != OP_INPUT)
      return n->in[i];
  return NULL;
}

/* What stands where no number is sent. */
enum { NONE = -1 };

/* Numbers through one node of a chain. */
static Tensor hand_on(Heads *h, const Node *n, const Tensor *x) {
  if (!(op_info(n->op)->flags & FLAG_VIEW)) return *x;
  Tensor y = tensor_new(h->a, &n->type);
  const Tensor **in = arena_array(h->a, const Tensor *, (size_t)n->nin);
  for (int i = 0; i + 1 < n->nin; i++) {
    Tensor *t = arena_new_of(h->a, Tensor);
    *t = tensor_new(h->a, &n->in[i]->type);
    for (int64_t k = 0; k < type_elems(&t->type); k++) t->v[k] = NONE;
    in[i] = t;
  }
  in[n->nin - 1] = x;
  const EvalOpts o = {0};
  node_eval(h->s->c->m, n, in, &y, &o);
  return y;
}

static bool is_layer(const Node *n) {
  return (n->op == OP_LINEAR || n->op == OP_MATMUL) && layer_weight(n);
}

/* The layer whose result x is, with the chain from behind it to x. */
static const Node *layer_before(Heads *h, const Node *x, Chain *chain) {
  while (x && !is_layer(x)) {
    vec_push(h->a, chain, x);
    x = handed_on(x);
  }
  return x;
}

/* The layer that alone reads y, with the chain from behind y to it. */
static const Node *layer_behind(Heads *h, const Node *y, Chain *chain) {
  const Node *n = only_user(h->at.f, y);
  while (n && !is_layer(n)) {
    if (handed_on(n) != y) return NULL;
    vec_push(h->a, chain, n);
    y = n;
    n = only_user(h->at.f, y);
  }
  return n && n->in[0] == y ? n : NULL;
}

/* ---- rows of q, k and v ---------------------------------------------- */

static bool unknown(Heads *h, const char *why) {
  h->why = why;
  return false;
}

/* First row of the param that the layer's weight is; -1: it is none. */
static int64_t first_row(const Node *layer) {
  const Node *w = layer_weight(layer);
  if (w->op == OP_MASK) w = w->in[0];
  if (w->op == OP_PARAM) return 0;
  if (w->op != OP_SLICE || w->in[0]->op != OP_PARAM ||
      attr_int(w, "axis") != 0 || attr_int(w, "step") != 1)
    return -1;
  int64_t start = attr_int(w, "start");
  return start < 0 ? start + w->in[0]->type.dim[0] : start;
}

/* The numbers of outputs of the layer, as they reach the product. */
static Tensor outputs_sent(Heads *h, const Node *layer, const Chain *chain) {
  int64_t all = type_elems(&layer->type);
  int64_t last = layer->type.dim[layer->type.rank - 1];
  Tensor t = tensor_new(h->a, &layer->type);
  for (int64_t i = 0; i < all; i++) t.v[i] = (double)(i % last);
  for (size_t i = chain->n; i-- > 0;) t = hand_on(h, chain->at[i], &t);
  return t;
}

/* The least and the most of n numbers, and whether all between occur. */
static bool range_of(Heads *h, const double *v, int64_t n, int64_t outputs,
                     int64_t *lo, int64_t *count) {
  bool *there = arena_array(h->a, bool, (size_t)outputs);
  double least = (double)outputs;
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) {
    if (v[i] == NONE) continue;
    if (v[i] < least) least = v[i];
    found += !there[(int64_t)v[i]];
    there[(int64_t)v[i]] = true;
  }
  *lo = (int64_t)least;
  *count = found;
  for (int64_t i = *lo; i < *lo + found; i++)
    if (i >= outputs || !there[i]) return false;
  return found > 0;
}

/* Which outputs the matrices of the product's batch have: a run of as many
 * each, one behind the other. */
static bool runs_of(Heads *h, const Tensor *t, int64_t outputs, Side *side,
                    int64_t *head, int64_t batch) {
  int64_t matrix = type_elems(&t->type) / batch, most = 0;
  for (int64_t b = 0; b < batch; b++) {
    int64_t count;
    if (!range_of(h, t->v + b * matrix, matrix, outputs, &head[b], &count) ||
        (b && count != side->each))
      return unknown(h, "its heads are not rows side by side");
    side->each = count;
    if (b == 0 || head[b] < side->first) side->first = head[b];
    if (head[b] > most) most = head[b];
  }
  for (int64_t b = 0; b < batch; b++) {
    if ((head[b] - side->first) % side->each)
      return unknown(h, "its heads overlap");
    head[b] = (head[b] - side->first) / side->each;
  }
  int64_t n = (most - side->first) / side->each + 1;
  if (h->n && n != h->n)
    return unknown(h, "q, k and v have different numbers of heads");
  h->n = n;
  return true;
}

static bool side_find(Heads *h, int i) {
  const Node *x = h->at.in[i];
  Side *side = &h->side[i];
  Chain chain = {0};
  side->layer = layer_before(h, x, &chain);
  if (!side->layer) return unknown(h, "what computes it is not known");
  Param *p = operand_param(layer_weight(side->layer));
  int64_t row = first_row(side->layer), batch = 1;
  if (!p || row < 0) return unknown(h, "a weight of it is no param");
  side->w = prune_weight(h->s, p);
  if (type_elems(&x->type) <= 0 || type_elems(&side->layer->type) <= 0)
    return unknown(h, "it is empty");
  for (int k = 0; k < x->type.rank - 2; k++) batch *= x->type.dim[k];
  int64_t *head = arena_array(h->a, int64_t, (size_t)batch);
  Tensor t = outputs_sent(h, side->layer, &chain);
  int64_t outputs = side->layer->type.dim[side->layer->type.rank - 1];
  if (h->head && batch != h->batch)
    return unknown(h, "q, k and v have different numbers of heads");
  if (!runs_of(h, &t, outputs, side, head, batch)) return false;
  side->first += row;
  for (int64_t b = 0; h->head && b < batch; b++)
    if (head[b] != h->head[b])
      return unknown(h, "the heads of q, k and v are in different orders");
  h->head = head;
  h->batch = batch;
  return true;
}

/* ---- columns of o ---------------------------------------------------- */

/* The numbers of heads, in place of what the second product gives. */
static Tensor heads_sent(Heads *h, const Chain *chain) {
  Tensor t = tensor_new(h->a, &h->at.y->type);
  int64_t all = type_elems(&h->at.y->type), matrix = all / h->batch;
  for (int64_t i = 0; i < all; i++) t.v[i] = (double)h->head[i / matrix];
  for (size_t i = 0; i < chain->n; i++) t = hand_on(h, chain->at[i], &t);
  return t;
}

static bool output_find(Heads *h) {
  Chain chain = {0};
  Side *side = &h->side[3];
  side->layer = layer_behind(h, h->at.y, &chain);
  if (!side->layer) return unknown(h, "no layer alone reads its result");
  Param *p = operand_param(layer_weight(side->layer));
  if (!p || first_row(side->layer) < 0)
    return unknown(h, "a weight of it is no param");
  side->w = prune_weight(h->s, p);
  int64_t columns = side->w->cols;
  side->each = columns / h->n;
  Tensor t = heads_sent(h, &chain);
  for (int64_t i = 0; i < type_elems(&t.type); i++)
    if (columns % h->n || (int64_t)t.v[i] != i % columns / side->each)
      return unknown(h, "its heads are not columns of o side by side");
  return true;
}

static bool heads_find(Heads *h) {
  for (int i = 0; i < 3; i++)
    if (!side_find(h, i)) return false;
  return output_find(h);
}

/* ---- groups ---------------------------------------------------------- */

/* Is the group there, of another use of the same weights? */
static bool group_known(const PruneStep *s, const Heads *h) {
  for (size_t i = 0; i < s->groups.n; i++) {
    const Part *p = &s->groups.at[i].parts.at[0];
    if (p->w == h->side[0].w && p->row == h->side[0].first) return true;
  }
  return false;
}

static void rows_add(PruneStep *s, Group *g, const Func *f,
                     const Side *side) {
  Part p = {.w = side->w, .row = side->first, .rows = side->each,
            .cols = side->w->cols, .across = 1};
  vec_push(s->arena, &g->parts, p);
  Param *bias = layer_bias(s->c->m, f, side->layer, side->w->p);
  if (!bias) return;
  p.w = prune_weight(s, bias);
  p.cols = 1;
  p.follows = true;
  vec_push(s->arena, &g->parts, p);
}

static void group_add(PruneStep *s, const Heads *h) {
  const Side *o = &h->side[3];
  Group g = {.path = h->side[0].w->p->path, .units = h->n};
  for (int i = 0; i < 3; i++) rows_add(s, &g, h->at.f, &h->side[i]);
  vec_push(s->arena, &g.parts,
           ((Part){.w = o->w, .rows = o->w->rows, .cols = o->each,
                   .across = h->n}));
  vec_push(s->arena, &s->groups, g);
}

static bool all_selected(PruneStep *s, const Heads *h) {
  bool any = false, ok = true;
  for (int i = 0; i < 4; i++) any |= h->side[i].w->selected;
  for (int i = 0; any && i < 4; i++)
    if (!h->side[i].w->selected)
      ok = diag_error(s->c->d, EXIT_MODEL, s->s->span,
                      "prune: pattern head: expected all weights of an "
                      "attention, found none for its %s: select %s too",
                      side_names[i], h->side[i].w->p->path);
  if (any && ok && !group_known(s, h)) group_add(s, h);
  return ok;
}

/* What was found of an attention whose heads are not known. */
static void keep_why(const Heads *h) {
  for (int i = 0; i < 4; i++)
    if (h->side[i].w && !h->side[i].w->why) h->side[i].w->why = h->why;
}

static bool func_groups(PruneStep *s, const Func *f) {
  bool ok = true;
  for (size_t i = 0; i < f->nodes.n; i++) {
    Heads h = {.s = s};
    if (!attention_at(f, f->nodes.at[i], &h.at)) continue;
    h.a = arena_new();
    if (!heads_find(&h)) keep_why(&h);
    else ok &= all_selected(s, &h);
    arena_free(h.a);
  }
  return ok;
}

static bool weight_cut(const PruneStep *s, const PruneWeight *w) {
  for (size_t i = 0; i < s->groups.n; i++)
    for (size_t k = 0; k < s->groups.at[i].parts.n; k++)
      if (s->groups.at[i].parts.at[k].w == w) return true;
  return false;
}

bool head_groups(PruneStep *s) {
  const Module *m = s->c->m;
  bool found = true, ok = true;
  for (size_t i = 0; i < m->funcs.n; i++)
    found &= func_groups(s, m->funcs.at[i]);
  for (size_t i = 0; found && i < s->nselected; i++) {
    const PruneWeight *w = s->weights.at[i];
    if (!weight_cut(s, w))
      ok = diag_error(s->c->d, EXIT_MODEL, s->s->span,
                      "prune: pattern head: the heads of %s are not known: "
                      "%s", w->p->path, w->why ? w->why
                      : "expected the q, k, v or o of an attention");
  }
  return found && ok;
}
