/* tokens_embed.c - from a convolution over an image to its tokens: through a
 * chain of nodes, each of which is all that reads the one before it.
 *
 * before     a = conv2d(x, w, stride=[16,16]) as patch;    [N,D,14,14]
 *            b = permute(reshape(a, ...), order=[0,2,1]);  [N,196,D]
 *            c = concat(cls, b, axis=1); d = add(c, pos);  [N,197,D]
 * result     d: no value behind it has an entry of its own for each token */
#include <string.h>

#include "passes/prune.h"
#include "passes/tokens.h"

/* Where the chain has come to.  Rows and columns of patches are two axes of
 * `at` until a reshape makes one of them. */
typedef struct Chain {
  Follow w;
  Embed *e;
  Node *at;
  int row, column;       /* -1: they are one axis by now */
  int batch;             /* axis of samples; -1: merged with others */
} Chain;

static bool is_map(const Chain *h) { return h->row >= 0; }

/* ---- rows and columns ------------------------------------------------ */

static bool map_permute(Chain *h, const Node *n) {
  const int64_t *order = attr_ints(n, "order", NULL);
  int row = -1, column = -1;
  for (int i = 0; i < n->type.rank; i++) {
    if (order[i] == h->row) row = i;
    if (order[i] == h->column) column = i;
  }
  h->row = row;
  h->column = column;
  return true;
}

static bool map_merge(Chain *h, const Node *n) {
  const Type *x = &h->at->type;
  Sizes z = {.n = 0, .plain = {1}};
  TokenShape *y = arena_new_of(h->w.a, TokenShape);
  if (h->column != h->row + 1)
    return follow_why(&h->w, n, "expected patches in the order of rows, found "
                      "axes %d and %d of rows and columns", h->row, h->column);
  for (int i = 0; i < x->rank; i++) {
    if (i == h->row) z.lot[z.n++] = (Lot){0, h->e->all, 0};
    if (i == h->row) z.plain[z.n] = 1;
    if (i != h->row && i != h->column) z.plain[z.n] *= x->dim[i];
  }
  if (!sizes_cut(&z, &n->type, y))
    return follow_why(&h->w, n, "expected one axis of all patches in its "
                      "result");
  h->row = h->column = -1;
  h->w.of[n->id] = y;
  return true;
}

/* The other operand of an elementwise op: has it an entry for each patch? */
static bool map_even(Chain *h, const Node *n) {
  if (n->type.rank != h->at->type.rank)
    return follow_why(&h->w, n, "expected the rank of the patches");
  for (int k = 0; k < n->nin; k++) {
    const Type *x = &n->in[k]->type;
    if (n->in[k] == h->at) continue;
    int row = h->row - n->type.rank + x->rank;
    int column = h->column - n->type.rank + x->rank;
    h->w.placed |= (row >= 0 && x->dim[row] != 1) ||
                   (column >= 0 && x->dim[column] != 1);
  }
  return true;
}

static bool map_vectors(Chain *h, const Node *n, int axis) {
  return (axis != h->row && axis != h->column) ||
         follow_why(&h->w, n, "expected an axis of features, found one of "
                    "patches");
}

static bool map_step(Chain *h, const Node *n) {
  if (op_info(n->op)->flags & (FLAG_UNARY | FLAG_BINARY))
    return map_even(h, n);
  switch (n->op) {
  case OP_CAST: case OP_STOP_GRADIENT: return true;
  case OP_PERMUTE: return map_permute(h, n);
  case OP_RESHAPE: return map_merge(h, n);
  case OP_BATCH_NORM: return map_vectors(h, n, 1);
  case OP_SCALE_SHIFT:
    return map_vectors(h, n, node_axis(n, n->type.rank));
  case OP_LINEAR: case OP_NORMALIZE:
    return map_vectors(h, n, n->type.rank - 1);
  default:
    return follow_why(&h->w, n, "expected what makes a sequence of the "
                      "patches, as reshape and permute");
  }
}

/* ---- the chain ------------------------------------------------------- */

/* Ops that leave each token its own. */
static bool line_op(const Node *n) {
  if (op_info(n->op)->flags & (FLAG_UNARY | FLAG_BINARY)) return true;
  switch (n->op) {
  case OP_CAST: case OP_STOP_GRADIENT: case OP_PERMUTE: case OP_RESHAPE:
  case OP_SCALE_SHIFT: case OP_LINEAR: case OP_NORMALIZE: case OP_CONCAT:
    return true;
  default:
    return false;
  }
}

static bool line_step(Chain *h, Node *n) {
  if (!line_op(n))
    return follow_why(&h->w, n, "the tokens are mixed here");
  return follow_node(&h->w, n);
}

static void batch_step(Chain *h, const Node *n) {
  if (h->batch < 0) return;
  if (n->op == OP_PERMUTE) {
    const int64_t *order = attr_ints(n, "order", NULL);
    int to = 0;
    while (order[to] != h->batch) to++;
    h->batch = to;
  } else if (n->op == OP_RESHAPE) {
    bool first = h->batch == 0 && n->type.rank > 0 &&
                 axes_equal(&h->at->type, 0, &n->type, 0);
    h->batch = first ? 0 : -1;
  } else {
    h->batch += n->type.rank - h->at->type.rank;
  }
}

/* Is it [N,tokens,...]? */
static bool is_sequence(const Chain *h, const Node *n) {
  const TokenShape *s = is_map(h) ? NULL : h->w.of[n->id];
  return s && h->batch == 0 && n->type.rank > 1 && axis_is_lot(&s->axis[1]);
}

static bool chain_step(Chain *h, Node *n) {
  bool was = is_map(h);
  h->w.placed = n->op == OP_CONCAT;
  if (!(was ? map_step(h, n) : line_step(h, n))) return false;
  if (!was && !h->w.of[n->id])
    return follow_why(&h->w, n, "its result has no tokens");
  batch_step(h, n);
  h->at = n;
  if (h->w.placed) h->e->at = NULL;
  if (!h->e->at && is_sequence(h, n)) {
    h->e->at = n;
    h->e->lot = h->w.of[n->id]->axis[1].lot;
  }
  return true;
}

/* As far as it goes. */
static void chain_walk(Chain *h) {
  for (;;) {
    Node *n = (Node *)only_user(h->e->f, h->at);
    if (!n) {
      follow_why(&h->w, h->at, "expected one reader of its result, found "
                 "none or several");
      return;
    }
    if (!chain_step(h, n)) return;
  }
}

static bool embed_error(PassCtx *c, const RecipeStep *s, const char *layer,
                        const char *what) {
  return diag_error(c->d, EXIT_MODEL, s->span, "tokens: %s: %s", layer, what);
}

/* ---- the convolution ------------------------------------------------- */

/* Sizes of rows and columns are known. */
static bool patches_fixed(const Node *n) {
  const Type *x = &n->in[0]->type;
  for (int i = 2; i < 4; i++)
    if (axis_is_free(x, i) || axis_is_free(&n->type, i)) return false;
  return !node_pad_is_free(n);
}

/* One weight, of no other step's parts, and the first time. */
static bool one_selected(PassCtx *c, const RecipeStep *s) {
  if (s->parts.n)
    return diag_error(c->d, EXIT_MODEL, s->span, "tokens: expected a layer as "
                      "it is in the model, found a part of one that a step "
                      "before takes apart: tokens come first");
  if (s->params.n != 1)
    return diag_error(c->d, EXIT_MODEL, s->span, "tokens: expected one layer, "
                      "the convolution that makes patches of an image, found "
                      "%zu", s->params.n);
  for (const RecipeStep *t = c->m->recipe.at; t < s; t++)
    if (t->params.n && t->params.at[0] == s->params.at[0] &&
        strcmp(t->verb, s->verb) == 0)
      return embed_error(c, s, s->params.at[0]->path, "a step before takes "
                         "some of its tokens: expected one such step");
  return true;
}

static bool conv_find(PassCtx *c, const RecipeStep *s, Arena *a, Embed *e) {
  LayerUses uses;
  if (!one_selected(c, s)) return false;
  const Param *p = s->params.at[0];
  const char *why = layer_uses_of(a, c->m, p, &uses);
  if (why) return embed_error(c, s, p->path, why);
  const LayerUse *u = &uses.at[0];
  if (uses.n != 1)
    return embed_error(c, s, p->path, "expected one layer with this weight, "
                       "found several");
  if (u->n->op != OP_CONV2D)
    return embed_error(c, s, p->path, arena_printf(a, "expected a conv2d, "
                       "which makes patches of an image, found %s",
                       op_info(u->n->op)->name));
  if (u->f != c->m->funcs.at[0])
    return embed_error(c, s, p->path, "expected a layer of the model's own "
                       "function, found one that is called");
  if (!patches_fixed(u->n))
    return embed_error(c, s, p->path, "expected an image of a fixed size, "
                       "found a free one");
  *e = (Embed){.f = u->f, .conv = u->n};
  e->all = u->n->type.dim[2] * u->n->type.dim[3];
  return true;
}

bool embed_find(PassCtx *c, const RecipeStep *s, Arena *a, Embed *e) {
  if (!conv_find(c, s, a, e)) return false;
  const char *path = s->params.at[0]->path;
  if (e->all < 2)
    return embed_error(c, s, path, arena_printf(a, "expected two patches or "
                       "more, found %lld", (long long)e->all));
  Chain h = {.e = e, .at = e->conv, .row = 2, .column = 3};
  h.w = (Follow){.c = c, .a = a, .kept = 1, .before = true};
  h.w.of = arena_array(a, TokenShape *, e->f->nodes.n + 1);
  chain_walk(&h);
  bool ok = e->at || embed_error(c, s, path, arena_printf(a, "expected a "
                       "sequence of tokens, [N,tokens,features], behind it: "
                       "%s", h.w.why.s));
  text_free(&h.w.why);
  return ok;
}
