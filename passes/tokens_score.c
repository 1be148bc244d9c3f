/* tokens_score.c - scores of tokens, and nodes that take the best of them.
 *
 * before     d = add(c, pos);                  [N,front + T + back,D]
 * after      s = ...;                          [N,T], of the image
 *            o = argsort(s, axis=1, count=k, descending=true);
 *            p = ... o, rising;  i = pad(p) + places;
 *            y = gather(reshape(d, [N*P,D]), i + iota * P)
 *
 * objectness: the greatest difference of neighbours of an image, |gx| + |gy|,
 * over its channels; its mean in each patch; of squares of patches the mean
 * inside minus that of a ring around; of a patch the greatest of the squares
 * that it lies in.  A window that holds an object holds its edges (as in Cheng
 * et al., 2014, whose scores of windows are learnt; these are not). */
#include <string.h>

#include "passes/tokens.h"

typedef struct Build {
  PassCtx *c;
  Module *m;
  const Embed *e;
  Node *before;          /* new nodes stand before it; NULL: at the end */
  const char *path;      /* of the new nodes */
} Build;

/* ---- new nodes ------------------------------------------------------- */

static Node *add(Build *b, Op op, Node *const *in, int nin) {
  Func *f = b->e->f;
  Node *n = b->before ? func_insert(b->m, f, b->before, op, in, nin)
                      : func_add(b->m, f, op, in, nin);
  node_inherit(b->m, n, b->e->conv);
  n->path = b->path;
  n->span = b->e->conv->span;
  return n;
}

static Node *add_typed(Build *b, Op op, Node *x, Node *y) {
  Node *in[] = {x, y};
  Node *n = add(b, op, in, y ? 2 : 1);
  node_retype(b->c, n);
  return n;
}

static Node *regroup(Build *b, Node *x, int rank, const int (*axes)[2]) {
  Type to = type_regroup(b->m, &x->type, rank, axes);
  Node *n = add(b, OP_RESHAPE, &x, 1);
  attr_set_shape(b->m, n, "shape", &to);
  node_retype(b->c, n);
  return n;
}

static Node *cut(Build *b, Node *x, int axis, int64_t start, int64_t stop) {
  Node *n = add(b, OP_SLICE, &x, 1);
  attr_set_int(n, "axis", axis);
  attr_set_int(n, "start", start);
  attr_set_int(n, "stop", stop);
  node_retype(b->c, n);
  return n;
}

static Node *pad(Build *b, Node *x, int axis, int64_t before, int64_t after) {
  int64_t lo[MAX_RANK] = {0}, hi[MAX_RANK] = {0};
  Node *n = add(b, OP_PAD, &x, 1);
  lo[axis] = before;
  hi[axis] = after;
  attr_set_ints(b->m, n, "before", lo, x->type.rank);
  attr_set_ints(b->m, n, "after", hi, x->type.rank);
  node_retype(b->c, n);
  return n;
}

static Node *reduce(Build *b, Op op, Node *x, bool keep) {
  static const int64_t channels = 1;
  Node *n = add(b, op, &x, 1);
  attr_set_ints(b->m, n, "axes", &channels, 1);
  attr_set_bool(n, "keep", keep);
  node_retype(b->c, n);
  return n;
}

static Node *pool(Build *b, Op op, Node *x, const int64_t k[2],
                  const int64_t stride[2], const int64_t pads[4]) {
  Node *n = add(b, op, &x, 1);
  attr_set_ints(b->m, n, "k", k, 2);
  if (stride) attr_set_ints(b->m, n, "stride", stride, 2);
  attr_set_ints(b->m, n, "pad", pads, 4);
  node_retype(b->c, n);
  return n;
}

static Node *values(Build *b, const char *leaf, Elem e, int rank,
                    const int64_t *dim, Buffer **data) {
  Type t = type_make(e, rank, dim);
  size_t n = (size_t)type_elems(&t);
  *data = buffer_new(checked_mul(n, elem_size(e)));
  return func_values(b->m, b->e->f,
                     arena_printf(b->m->arena, "%s.%s", b->path, leaf), t,
                     *data);
}

/* ---- objectness ------------------------------------------------------ */

/* |x[i + 1] - x[i - 1]| along an axis, 0 at its ends. */
static Node *difference(Build *b, Node *x, int axis) {
  int64_t size = x->type.dim[axis];
  Node *next = cut(b, x, axis, 2, size), *last = cut(b, x, axis, 0, size - 2);
  Node *d = add_typed(b, OP_SUB, next, last);
  return pad(b, add_typed(b, OP_ABS, d, NULL), axis, 1, 1);
}

static Node *gradient(Build *b, double scale) {
  Node *x = b->e->conv->in[0];
  Node *across = difference(b, x, 3), *down = difference(b, x, 2);
  Node *g = add_typed(b, OP_ADD, across, down);
  if (x->type.dim[1] != 1) g = reduce(b, OP_MAX, g, true);
  if (scale > 0) {
    g = add(b, OP_CLIP, &g, 1);
    attr_set_float(g, "lo", 0);
    attr_set_float(g, "hi", 255 * scale);
    node_retype(b->c, g);
  }
  return g;
}

void conv_reach(const Node *conv, int64_t k[2]) {
  const int64_t *dilation = attr_ints(conv, "dilation", NULL);
  for (int i = 0; i < 2; i++)
    k[i] = (conv->in[1]->type.dim[2 + i] - 1) * dilation[i] + 1;
}

/* Its mean in what the convolution reads for each patch. */
static Node *patch_means(Build *b, Node *g) {
  const Node *c = b->e->conv;
  int64_t k[2];
  conv_reach(c, k);
  return pool(b, OP_AVG_POOL, g, k, attr_ints(c, "stride", NULL),
              attr_ints(c, "pad", NULL));
}

static int64_t ring_width(int64_t side) { return side < 2 ? 1 : side / 2; }

/* How many of [at - ring, at + side + ring) lie in [0, size). */
static int64_t cut_off(int64_t at, int64_t side, int64_t ring, int64_t size) {
  int64_t lo = at - ring, hi = at + side + ring;
  return (hi < size ? hi : size) - (lo > 0 ? lo : 0);
}

/* Of a ring around each window, the sum and how many patches it has. */
static Node *ring_means(Build *b, Node *g, int64_t side) {
  int64_t ring = ring_width(side), wide = side + 2 * ring;
  int64_t h = g->type.dim[2], w = g->type.dim[3];
  int64_t k[4] = {1, 1, wide, wide};
  int64_t at[4] = {1, 1, h - side + 1, w - side + 1};
  int64_t pads[4] = {ring, ring, ring, ring};
  Buffer *ones, *counts;
  Node *in[] = {g, values(b, "weight", F32, 4, k, &ones)};
  Node *count = values(b, "count", F32, 4, at, &counts);
  float *v = (float *)(void *)ones->data, *n = (float *)(void *)counts->data;
  for (int64_t i = 0; i < wide * wide; i++) {
    int64_t y = i / wide - ring, x = i % wide - ring;
    v[i] = y < 0 || y >= side || x < 0 || x >= side;
  }
  for (int64_t i = 0; i < at[2] * at[3]; i++)
    n[i] = (float)(cut_off(i / at[3], side, ring, h) *
                   cut_off(i % at[3], side, ring, w) - side * side);
  Node *sum = add(b, OP_CONV2D, in, 2);
  attr_set_ints(b->m, sum, "pad", pads, 4);
  node_retype(b->c, sum);
  return add_typed(b, OP_DIV, sum, count);
}

/* Of each patch, by windows of one side. */
static Node *window_scores(Build *b, Node *g, int64_t side) {
  const int64_t k[2] = {side, side}, none[4] = {0};
  const int64_t over[4] = {side - 1, side - 1, side - 1, side - 1};
  const char *path = b->path;
  b->path = arena_printf(b->m->arena, "%s.window%lld", path, (long long)side);
  Node *inside = side > 1 ? pool(b, OP_AVG_POOL, g, k, NULL, none) : g;
  Node *s = add_typed(b, OP_SUB, inside, ring_means(b, g, side));
  if (side > 1) s = pool(b, OP_MAX_POOL, s, k, NULL, over);
  b->path = path;
  return s;
}

bool window_fits(const Embed *e, int64_t side) {
  int64_t h = e->conv->type.dim[2], w = e->conv->type.dim[3];
  return side <= h && side <= w && (side < h || side < w);
}

static Node *objectness(Build *b, const TokensArgs *t) {
  static const int64_t sides[] = {1, 2, 4};
  static const int rows[][2] = {{0, -1}, {2, 3}};
  const int64_t *side = t->windows ? t->windows : sides;
  int n = t->windows ? t->nwindows : 3;
  Node *g = patch_means(b, gradient(b, t->scale)), *best = NULL;
  for (int i = 0; i < n; i++) {
    if (!window_fits(b->e, side[i])) continue;
    Node *s = window_scores(b, g, side[i]);
    best = best ? add_typed(b, OP_MAXIMUM, best, s) : s;
  }
  return regroup(b, best, 2, rows);
}

/* ---- the others ------------------------------------------------------ */

/* Squares of norms, which are in the same order. */
static Node *norms(Build *b) {
  static const int rows[][2] = {{0, -1}, {1, 2}};
  Node *s = add_typed(b, OP_SQUARE, b->e->conv, NULL);
  return regroup(b, reduce(b, OP_SUM, s, false), 2, rows);
}

/* Those of the least draws, and what stands beside the tokens. */
static Node *drawn(Build *b, const TokensArgs *t, int64_t kept) {
  const Embed *e = b->e;
  int64_t size = lot_size(&e->lot) - e->all + kept, at = 0;
  size_t n = (size_t)e->all;
  Buffer *data;
  Node *index = values(b, "index", I32, 1, &size, &data);
  double *u = arena_array(b->c->scratch, double, n);
  for (size_t i = 0; i < n; i++)
    u[i] = random_unit(b->path, (uint64_t)t->seed, i);
  for (int64_t i = 0; i < lot_size(&e->lot); i++) {
    int64_t token = i - e->lot.front, less = 0;
    bool is_token = token >= 0 && token < e->all;
    for (int64_t j = 0; is_token && j < e->all; j++)
      less += u[j] < u[token] || (u[j] == u[token] && j < token);
    if (!is_token || less < kept)
      elem_store_int(I32, data->data, (size_t)at++, i);
  }
  return index;
}

/* ---- taking them ----------------------------------------------------- */

/* Rows index[n,i] of x[n]: x [N,M,...], index [N,k]. */
static Node *take(Build *b, Node *x, Node *index) {
  static const int pairs[MAX_RANK][2] = {
    {0, 1}, {2, -1}, {3, -1}, {4, -1}, {5, -1}, {6, -1}, {7, -1}, {-1, -1}
  };
  static const int samples[][2] = {{0, -1}, {-1, -1}};
  Node *flat = regroup(b, x, x->type.rank - 1, pairs);
  if (x->type.dim[0] != 1 || axis_is_free(&x->type, 0)) {
    Type each = type_regroup(b->m, &x->type, 2, samples);
    Node *at = add(b, OP_IOTA, NULL, 0);
    attr_set_shape(b->m, at, "shape", &each);
    node_retype(b->c, at);
    at = add_typed(b, OP_MUL, at, func_const_int(b->m, b->e->f, I32,
                                                 x->type.dim[1]));
    index = add_typed(b, OP_ADD, index, at);
  }
  return add_typed(b, OP_GATHER, flat, index);
}

static Node *order(Build *b, Node *x, int64_t count, bool descending) {
  Node *n = add(b, OP_ARGSORT, &x, 1);
  attr_set_int(n, "axis", 1);
  attr_set_int(n, "count", count);
  attr_set_bool(n, "descending", descending);
  node_retype(b->c, n);
  return n;
}

/* Places of the best, rising, with those beside the tokens. */
static Node *best_places(Build *b, Node *score, int64_t kept) {
  const Lot *l = &b->e->lot;
  int64_t size = lot_size(l) - l->all + kept;
  Node *best = order(b, score, kept, true);
  best = take(b, best, order(b, best, -1, false));
  if (!l->front && !l->back) return best;
  Buffer *data;
  Node *offset = values(b, "offset", I32, 1, &size, &data);
  for (int64_t i = 0; i < size; i++) {
    int64_t v = i < l->front ? i : i < l->front + kept ? l->front
                                 : i - kept + l->all;
    elem_store_int(I32, data->data, (size_t)i, v);
  }
  return add_typed(b, OP_ADD, pad(b, best, 1, l->front, l->back), offset);
}

/* The first node that reads x, in the order of the function. */
static Node *first_user(const Func *f, const Node *x) {
  for (size_t i = 0; i < f->nodes.n; i++)
    for (int k = 0; k < f->nodes.at[i]->nin; k++)
      if (f->nodes.at[i]->in[k] == x) return f->nodes.at[i];
  return NULL;
}

Node *tokens_take(PassCtx *c, const Embed *e, const TokensArgs *t,
                  int64_t kept) {
  const char *path = e->conv->path ? e->conv->path : "tokens";
  Build b = {.c = c, .m = c->m, .e = e, .before = first_user(e->f, e->at)};
  b.path = arena_printf(c->m->arena, e->conv->path ? "%s.tokens" : "%s", path);
  Node *x = e->at, *own = NULL, *y;
  if (t->method == TOKENS_RANDOM) {
    own = y = add_typed(&b, OP_GATHER, x, drawn(&b, t, kept));
    attr_set_int(y, "axis", 1);
    node_retype(c, y);
  } else {
    Node *s = t->method == TOKENS_NORM ? norms(&b) : objectness(&b, t);
    y = take(&b, x, best_places(&b, s, kept));
    own = y->in[0];
  }
  func_replace(e->f, x, y);
  node_set_in(c->m, own, 0, x);
  return y;
}
