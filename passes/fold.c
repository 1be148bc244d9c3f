/* fold.c - what depends on constants alone is computed now, and brought to
 * canonical forms, which may ask for constants.
 *
 * requires   canonical forms
 * preserves  values as `canon` does, and folds exactly: the reference
 *            evaluator rounds each op's result as the op itself would;
 *            trainable params are left
 * before     a = permute(w, order=[1,0]);  y = linear(x, a);
 * after      y = linear(x, w);          (w has the permuted values)
 * source     the evaluator of ir/eval.c, without BLAS; nothing that would
 *            grow the artifact much is folded */
#include <string.h>

#include "passes/passes.h"

enum { GROWTH = 4, FREE_BYTES = 1 << 20 };

static bool operands_const(Module *m, const Node *n, int64_t *bytes) {
  *bytes = 0;
  if (node_callee(m, n) || node_is_free(n)) return false;
  for (int i = 0; i < n->nin; i++) {
    if (!n->in[i]) continue;
    if (!node_is_const(m, n->in[i])) return false;
    *bytes += type_bytes(&n->in[i]->type);
  }
  return n->nin > 0 || n->op == OP_IOTA;
}

/* Stored bytes stay within GROWTH times what they were, or are few. */
static bool grows_little(const Node *n, int64_t in_bytes) {
  int64_t out = type_bytes(&n->type);
  return out <= FREE_BYTES || out / GROWTH <= in_bytes;
}

static Tensor *operand_tensor(Module *m, Arena *a, const Node *n) {
  Tensor *t = arena_new_of(a, Tensor);
  *t = tensor_new(a, &n->type);
  node_eval(m, n, NULL, t, &(EvalOpts){.round = true});
  return t;
}

/* ---- transposes ------------------------------------------------------- */

/* Elements of a param that change places; axes are those of the result. */
typedef struct Move {
  size_t size;                        /* of an element */
  int rank, near;                     /* near: neighbours in `from` */
  int64_t dim[MAX_RANK], from_step[MAX_RANK], to_step[MAX_RANK];
} Move;

enum { SQUARE = 16 };

/* A square of axis `near` and the last one, so that lines of both stay in the
 * first cache. */
static void square_move(const Move *v, const char *from, char *to,
                        int64_t rows, int64_t cols) {
  int64_t fr = v->from_step[v->near], fc = v->from_step[v->rank - 1];
  int64_t tr = v->to_step[v->near], tc = v->to_step[v->rank - 1];
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j++) {
      const char *x = from + i * fr + j * fc;
      char *y = to + i * tr + j * tc;
      if (v->size == 4) memcpy(y, x, 4);
      else memcpy(y, x, v->size);
    }
}

static void plane_move(const Move *v, const char *from, char *to) {
  int last = v->rank - 1;
  int64_t rows = v->near == last ? 1 : v->dim[v->near], cols = v->dim[last];
  for (int64_t i = 0; i < rows; i += SQUARE)
    for (int64_t j = 0; j < cols; j += SQUARE)
      square_move(v, from + i * v->from_step[v->near] + j * v->from_step[last],
                  to + i * v->to_step[v->near] + j * v->to_step[last],
                  rows - i < SQUARE ? rows - i : SQUARE,
                  cols - j < SQUARE ? cols - j : SQUARE);
}

static void axes_move(const Move *v, int axis, const char *from, char *to) {
  if (axis == v->rank - 1) {
    plane_move(v, from, to);
    return;
  }
  int64_t n = axis == v->near ? 1 : v->dim[axis];
  for (int64_t i = 0; i < n; i++)
    axes_move(v, axis + 1, from + i * v->from_step[axis],
              to + i * v->to_step[axis]);
}

/* A permuted param, from memory to memory; NULL where it is something else.
 * (The evaluator takes eight bytes an element, one by one.) */
static Buffer *node_permute(const Node *n) {
  if (n->op != OP_PERMUTE || n->in[0]->op != OP_PARAM) return NULL;
  const Node *x = n->in[0];
  const void *from = param_data(x->param);
  int64_t step[MAX_RANK];
  if (!from || n->type.rank < 2 || x->type.elem == I4) return NULL;
  const Attr *order = &n->attr[attr_index(n->op, "order")];
  Buffer *b = buffer_new((size_t)type_bytes(&n->type));
  Move v = {.size = elem_size(n->type.elem), .rank = n->type.rank};
  strides_dense(&x->type, step);
  strides_dense(&n->type, v.to_step);
  for (int i = 0; i < v.rank; i++) {
    v.dim[i] = n->type.dim[i];
    v.from_step[i] = step[order->ints[i]] * (int64_t)v.size;
    v.to_step[i] *= (int64_t)v.size;
    if (order->ints[i] == v.rank - 1) v.near = i;
  }
  axes_move(&v, 0, from, (char *)b->data);
  return b;
}

/* ---- the evaluator ----------------------------------------------------- */

/* The values of n, whose operands are constants; the tensors on the way,
 * several times as large, are freed. */
static Buffer *node_compute(Module *m, const Node *n) {
  Buffer *moved = node_permute(n);
  if (moved) return moved;
  Arena *a = arena_new();
  const Tensor **in = arena_array(a, const Tensor *, n->nin ? n->nin : 1);
  for (int i = 0; i < n->nin; i++)
    if (n->in[i]) in[i] = operand_tensor(m, a, n->in[i]);
  Tensor out = tensor_new(a, &n->type);
  node_eval(m, n, in, &out, &(EvalOpts){.round = true, .blas = false});
  Buffer *b = buffer_new((size_t)type_bytes(&n->type));
  tensor_write(&out, b->data);
  arena_free(a);
  return b;
}

/* The new param is named for the first param below the node. */
static Node *first_param(const Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && n->in[i]->op == OP_PARAM) return n->in[i];
  return NULL;
}

static Node *fold_node(PassCtx *c, Func *f, Node *n, int *uses, size_t known) {
  Buffer *b = node_compute(c->m, n);
  Type t = n->type;
  Node *first = first_param(n);
  bool once = first && first->id < known && uses[first->id] == 1;
  Node *made =
    first ? func_derive(c->m, f, first, once, t, b)
          : func_values(c->m, f, n->path ? n->path : "folded", t, b);
  if (made->id < known) uses[made->id] = uses[n->id];
  node_drop(n);
  return made;
}

/* Counts of uses never are too low: one means that it is the only one. */
static bool fold_func(PassCtx *c, Func *f) {
  bool folded = false;
  int *uses = func_uses(c->scratch, f);
  Users *users = users_new(c->scratch, f);
  for (size_t i = 0, n = f->nodes.n; i < n; i++) {
    Node *old = f->nodes.at[i];
    int64_t bytes;
    if (node_is_leaf(old) || !operands_const(c->m, old, &bytes)) continue;
    if (!grows_little(old, bytes)) continue;
    users_replace(users, old, fold_node(c, f, old, uses, n));
    folded = true;
  }
  func_tidy(c->m, f);
  return folded;
}

bool pass_fold(PassCtx *c) {
  for (size_t i = 0; i < c->m->funcs.n; i++) {
    Func *f = c->m->funcs.at[i];
    while (fold_func(c, f)) canon_func(c, f);
  }
  return true;
}
