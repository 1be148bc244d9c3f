/* tokens_follow.c - what of a net has an entry for each token, and the sizes
 * that it gets when there are fewer.
 *
 * requires   a value with a token axis, of which all entries but the tokens
 *            stay in their places
 * preserves  all without tokens
 * before     q = reshape(x, shape=[197,3,64]); c = select(y, index=-1, axis=1)
 * after      q = reshape(x, shape=[99,3,64]); c = select(y, index=98, axis=1)
 *
 * An op says which axes of its operands are which of its result (labels); of
 * all that are one, either all have the tokens or they are 1.  Nothing is
 * changed before the whole net has been gone through. */
#include <stdarg.h>
#include <string.h>

#include "passes/tokens.h"

int64_t lot_size(const Lot *l) { return l->front + l->all + l->back; }

bool axis_is_lot(const TokenAxis *t) {
  return t->lot.all && t->outer == 1 && t->inner == 1;
}

const TokenAxis *axis_of(const Follow *w, const Node *n, int k, int axis) {
  static const TokenAxis none = {{0, 0, 0}, 1, 1};
  const TokenShape *s = w->of[n->in[k]->id];
  return s ? &s->axis[axis] : &none;
}

static bool axes_same(const TokenAxis *a, const TokenAxis *b) {
  return a->outer == b->outer && a->inner == b->inner &&
         a->lot.front == b->lot.front && a->lot.all == b->lot.all &&
         a->lot.back == b->lot.back;
}

bool follow_why(Follow *w, const Node *n, const char *fmt, ...) {
  char text[256];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  w->why.n = 0;
  text_printf(&w->why, "%s%s%s: %s", op_info(n->op)->name,
              n->path ? " as " : "", n->path ? n->path : "", text);
  return false;
}

/* ---- sizes ----------------------------------------------------------- */

static int64_t size_kept(const Follow *w, const TokenAxis *t, int64_t dim) {
  int64_t was = lot_size(&t->lot);
  if (!t->lot.all) return dim;
  return dim % was ? -1 : dim / was * (was - t->lot.all + w->kept);
}

bool type_kept(const Follow *w, const Type *t, const TokenShape *s,
               Type *out) {
  int64_t dim[SAMPLES_MOST][MAX_RANK] = {{0}};
  int count = t->free ? t->free->of->nsamples : 0;
  *out = type_make(t->elem, t->rank, t->dim);
  for (int i = 0; i < t->rank; i++) {
    out->dim[i] = size_kept(w, &s->axis[i], t->dim[i]);
    if (out->dim[i] < 0) return false;
    for (int k = 0; k < count; k++) {
      dim[k][i] = size_kept(w, &s->axis[i], t->free->dim[k][i]);
      if (dim[k][i] < 0) return false;
    }
  }
  if (count)
    out->free = free_shape(w->c->m, out, (const int64_t (*)[MAX_RANK])dim);
  return true;
}

/* Take d from the sizes, from plain[*at] on. */
static bool size_take(Sizes *z, int *at, int64_t d, TokenAxis *out) {
  *out = (TokenAxis){.outer = 1, .inner = 1};
  while (d > 1) {
    int64_t *p = &z->plain[*at];
    if (*p > 1) {
      int64_t take = d % *p == 0 ? *p : *p % d == 0 ? d : 0;
      if (!take) return false;
      *(out->lot.all ? &out->inner : &out->outer) *= take;
      *p /= take;
      d /= take;
      continue;
    }
    if (*at == z->n || out->lot.all) return false;
    out->lot = z->lot[(*at)++];
    if (d % lot_size(&out->lot)) return false;
    d /= lot_size(&out->lot);
  }
  return true;
}

bool sizes_cut(Sizes *z, const Type *t, TokenShape *out) {
  int at = 0;
  *out = (TokenShape){0};
  for (int i = 0; i < t->rank; i++)
    if (!size_take(z, &at, t->dim[i], &out->axis[i])) return false;
  return at == z->n && z->plain[at] == 1;
}

/* ---- operands without tokens ----------------------------------------- */

/* An operand that is expanded to one entry a token, or counts along another
 * axis, can be made anew with fewer. */
static bool operand_shrinks(const Node *x, const TokenShape *s) {
  if (x->op != OP_EXPAND && x->op != OP_IOTA) return false;
  for (int i = 0; i < x->type.rank; i++) {
    if (!s->axis[i].lot.all) continue;
    if (x->op == OP_IOTA && node_axis(x, x->type.rank) == i) return false;
    int k = x->op == OP_EXPAND ? i - (x->type.rank - x->in[0]->type.rank) : -1;
    if (k >= 0 && x->in[0]->type.dim[k] != 1) return false;
  }
  return true;
}

static bool operand_fits(Follow *w, Node *n, int k, const int *label,
                         const TokenAxis *to) {
  const Node *x = n->in[k];
  const TokenShape *have = w->of[x->id];
  TokenShape want = {0};
  Edit e = {.n = n, .copy = k, .name = "shape", .is_shape = true};
  int axis = -1;
  for (int i = 0; i < x->type.rank; i++) {
    const TokenAxis *t = label[i] < 0 ? NULL : &to[label[i]];
    if (!t || !t->lot.all || x->type.dim[i] == 1 ||
        (have && have->axis[i].lot.all))
      continue;
    want.axis[i] = *t;
    axis = i;
  }
  if (axis < 0) return true;
  if (w->before) {
    w->placed = true;
    return true;
  }
  if (!have && operand_shrinks(x, &want) &&
      type_kept(w, &x->type, &want, &e.shape)) {
    vec_push(w->a, &w->edits, e);
    return true;
  }
  return follow_why(w, n, "expected operands that have the tokens or no entry "
                    "for each, found %s%s with %lld entries along axis %d",
                    x->param ? "the constant " : "operand ",
                    x->param ? x->param->path
                             : arena_printf(w->a, "%d", k + 1),
                    (long long)x->type.dim[axis], axis);
}

/* ---- labels ---------------------------------------------------------- */

Labels *labels_new(Follow *w, const Node *n) {
  Labels *l = arena_alloc(w->a, checked_mul((size_t)n->nin + 1, sizeof *l));
  for (int k = 0; k < n->nin; k++)
    for (int i = 0; i < MAX_RANK; i++) l[k][i] = LABEL_NONE;
  return l;
}

static bool label_take(Follow *w, const Node *n, int k, int i, int label,
                       TokenAxis *to) {
  const TokenAxis *t = axis_of(w, n, k, i);
  if (!t->lot.all) return true;
  if (label < 0)
    return follow_why(w, n, "it goes over the tokens, axis %d of operand %d",
                      i, k + 1);
  if (to[label].lot.all && !axes_same(&to[label], t))
    return follow_why(w, n, "two lots of tokens meet, at axis %d of operand "
                      "%d", i, k + 1);
  to[label] = *t;
  return true;
}

bool labels_join(Follow *w, Node *n, const Labels *l, TokenShape *y) {
  TokenAxis to[LABELS] = {{{0, 0, 0}, 0, 0}};
  for (int k = 0; k < n->nin; k++)
    for (int i = 0; n->in[k] && i < n->in[k]->type.rank; i++)
      if (!label_take(w, n, k, i, l[k][i], to)) return false;
  for (int k = 0; k < n->nin; k++)
    if (n->in[k] && !operand_fits(w, n, k, l[k], to)) return false;
  memcpy(y->axis, to, (size_t)n->type.rank * sizeof *to);
  return true;
}

/* Axes belong together from the last one on. */
static void label_last(Labels *l, const Node *n, int k, int skip) {
  int rank = n->in[k]->type.rank;
  for (int i = 0; i < rank - skip; i++)
    l[k][i] = i + n->type.rank - rank;
}

static bool follow_linear(Follow *w, Node *n, TokenShape *y) {
  Labels *l = labels_new(w, n);
  int last = n->type.rank - 1;
  label_last(l, n, 0, 1);
  l[0][last] = l[1][1] = LABELS - 1;
  l[1][0] = last;
  for (int k = 2; k < n->nin; k++)
    if (n->in[k]) label_last(l, n, k, 0);
  return labels_join(w, n, l, y);
}

/* Of operand k, whose last two axes are these. */
static void label_matrix(Labels *l, const Node *n, int k, bool turned,
                         int rows, int cols) {
  int rank = n->in[k]->type.rank;
  label_last(l, n, k, 2);
  l[k][rank - 2 + turned] = rows;
  l[k][rank - 1 - turned] = cols;
}

static bool follow_matmul(Follow *w, Node *n, TokenShape *y) {
  Labels *l = labels_new(w, n);
  int rank = n->type.rank, sum = LABELS - 1;
  label_matrix(l, n, 0, attr_bool(n, "transpose_a"), rank - 2, sum);
  label_matrix(l, n, 1, attr_bool(n, "transpose_b"), sum, rank - 1);
  return labels_join(w, n, l, y);
}

static bool follow_attend(Follow *w, Node *n, TokenShape *y) {
  Labels *l = labels_new(w, n);
  int rank = n->type.rank, cols = LABELS - 1, keys = LABELS - 2;
  label_matrix(l, n, 0, false, rank - 2, cols);
  label_matrix(l, n, 1, attr_bool(n, "transpose_k"), cols, keys);
  label_matrix(l, n, 2, false, keys, rank - 1);
  if (n->nin > 3 && n->in[3]) {
    int m = n->in[3]->type.rank;
    label_last(l, n, 3, 0);
    if (m > 0) l[3][m - 1] = keys;
  }
  return labels_join(w, n, l, y);
}

/* The others are vectors along one axis. */
static bool follow_vectors(Follow *w, Node *n, int axis, TokenShape *y) {
  Labels *l = labels_new(w, n);
  label_last(l, n, 0, 0);
  for (int k = 1; k < n->nin; k++) l[k][0] = axis;
  return labels_join(w, n, l, y);
}

static bool follow_reduce(Follow *w, Node *n, TokenShape *y) {
  int count, rank = n->in[0]->type.rank, at = 0;
  const int64_t *axes = attr_ints(n, "axes", &count);
  bool gone[MAX_RANK] = {false}, keep = attr_bool(n, "keep");
  for (int i = 0; i < count; i++)
    gone[axes[i] < 0 ? axes[i] + rank : axes[i]] = true;
  for (int i = 0; i < rank; i++) {
    bool out = gone[i] || count == 0;
    if (!out) y->axis[at] = *axis_of(w, n, 0, i);
    at += keep || !out;
  }
  return true;
}

/* Places along the token axis would be others. */
static bool follow_along(Follow *w, Node *n, TokenShape *y) {
  Labels *l = labels_new(w, n);
  int rank = n->in[0]->type.rank, axis = node_axis(n, rank);
  for (int i = 0; i < rank; i++)
    l[0][i] = i - (i > axis && n->type.rank < rank);
  l[0][axis] = LABEL_NONE;
  return labels_join(w, n, l, y);
}

static bool follow_even(Follow *w, Node *n, TokenShape *y) {
  Labels *l = labels_new(w, n);
  for (int k = 0; k < n->nin; k++)
    if (n->in[k]) label_last(l, n, k, 0);
  return labels_join(w, n, l, y);
}

/* ---- ops ------------------------------------------------------------- */

static bool follow_op(Follow *w, Node *n, TokenShape *y) {
  bool known = true;
  bool ok = follow_view(w, n, y, &known);
  if (known) return ok;
  if (op_info(n->op)->flags & (FLAG_UNARY | FLAG_BINARY))
    return follow_even(w, n, y);
  if (op_info(n->op)->flags & FLAG_REDUCE) return follow_reduce(w, n, y);
  switch (n->op) {
  case OP_WHERE: case OP_MASK: case OP_CAST: case OP_CONVERT:
  case OP_STOP_GRADIENT: case OP_SOFTMAX: case OP_ROTARY:
    return follow_even(w, n, y);
  case OP_LINEAR: return follow_linear(w, n, y);
  case OP_MATMUL: return follow_matmul(w, n, y);
  case OP_ATTEND: return follow_attend(w, n, y);
  case OP_NORMALIZE:
    return follow_vectors(w, n, n->type.rank - 1, y);
  case OP_BATCH_NORM:
    return follow_vectors(w, n, 1, y);
  case OP_SCALE_SHIFT:
    return follow_vectors(w, n, node_axis(n, n->type.rank), y);
  case OP_ARGMAX: case OP_ARGMIN: case OP_ARGSORT: case OP_CUMSUM:
    return follow_along(w, n, y);
  default:
    return follow_why(w, n, "how it deals with fewer tokens is not known");
  }
}

bool follow_node(Follow *w, Node *n) {
  TokenShape *y = arena_new_of(w->a, TokenShape);
  Type t;
  *y = (TokenShape){0};
  if (!follow_op(w, n, y)) return false;
  if (!type_kept(w, &n->type, y, &t))
    return follow_why(w, n, "a size is no multiple of that of the tokens");
  vec_push(w->a, &w->nodes, n);
  for (int i = 0; i < n->type.rank; i++)
    if (y->axis[i].lot.all) w->of[n->id] = y;
  return true;
}

/* ---- a whole function ------------------------------------------------ */

static bool reads_tokens(const Follow *w, const Node *n) {
  for (int k = 0; k < n->nin; k++)
    if (n->in[k] && w->of[n->in[k]->id]) return true;
  return false;
}

bool follow_all(Follow *w, Func *f, const Node *from) {
  for (size_t i = 0; i < f->nodes.n; i++)
    if (f->nodes.at[i] != from && reads_tokens(w, f->nodes.at[i]) &&
        !follow_node(w, f->nodes.at[i]))
      return false;
  for (size_t i = 0; i < f->nexts.n; i++)
    if (w->of[f->nexts.at[i].node->id])
      return follow_why(w, f->nexts.at[i].node, "the state %s becomes it, "
                        "which keeps its size", f->nexts.at[i].state->path);
  return true;
}

static void edit_apply(Follow *w, Func *f, const Edit *e) {
  Module *m = w->c->m;
  Node *n = e->n;
  if (e->copy >= 0) {
    Node *x = n->in[e->copy];
    n = func_copy(m, f, e->n, x, x->in, x->nin);
    node_set_in(m, e->n, e->copy, n);
  }
  if (e->is_shape) attr_set_shape(m, n, e->name, &e->shape);
  else attr_set_int(n, e->name, e->v);
  if (e->copy >= 0) node_retype(w->c, n);
}

void follow_apply(Follow *w, Func *f) {
  for (size_t i = 0; i < w->edits.n; i++)
    edit_apply(w, f, &w->edits.at[i]);
  for (size_t i = 0; i < w->nodes.n; i++)
    node_retype(w->c, w->nodes.at[i]);
}
