/* calls.c - what passes do about functions that call others. */
#include "passes/passes.h"

void funcs_drop_unused(PassCtx *c) {
  Module *m = c->m;
  size_t n, kept = 0;
  Func **used = funcs_bottom_up(c->scratch, m, &n);
  for (size_t i = 0; i < m->funcs.n; i++) {
    size_t k = 0;
    while (k < n && used[k] != m->funcs.at[i]) k++;
    if (k < n) m->funcs.at[kept++] = m->funcs.at[i];
  }
  m->funcs.n = kept;
}

/* ---- scans along axis 0 ---------------------------------------------- */

/* x with `axis` before all others, or (back) the first axis at `axis`. */
static Node *axis_move(PassCtx *c, Func *f, Node *x, int axis, bool back) {
  int64_t order[MAX_RANK];
  int rank = x->type.rank;
  for (int i = 0; i < rank; i++) order[i] = i;
  for (int i = 0; i < axis; i++) order[back ? i : i + 1] = back ? i + 1 : i;
  order[back ? axis : 0] = back ? 0 : axis;
  Node *n = func_add(c->m, f, OP_PERMUTE, &x, 1);
  attr_set_ints(c->m, n, "order", order, rank);
  n->span = x->span;
  node_inherit(c->m, n, x);
  node_retype(c, n);
  return n;
}

static int axis_of(int64_t axis, int rank) {
  return (int)(axis < 0 ? axis + rank : axis);
}

static void items_move(PassCtx *c, Func *f, Node *scan, int64_t axis,
                       int64_t stacked, size_t nodes) {
  for (size_t i = 0; i < nodes; i++) {
    Node *n = f->nodes.at[i];
    if (n->op != OP_ITEM || n->in[0] != scan) continue;
    if (attr_int(n, "index") >= stacked) continue;
    int at = axis_of(axis, n->type.rank);
    node_retype(c, n);
    if (at == 0) continue;
    Node *to = axis_move(c, f, n, at, true);
    func_replace(f, n, to);
    to->in[0] = n;
  }
}

void scan_to_first_axis(PassCtx *c, Func *f, Node *n) {
  int64_t axis = attr_int(n, "axis");
  int64_t slices = attr_int(n, "slices"), carries = attr_int(n, "carries");
  size_t nodes = f->nodes.n;
  if (axis == 0) return;
  for (int i = 0; i < slices; i++) {
    int at = axis_of(axis, n->in[i]->type.rank);
    if (at > 0) n->in[i] = axis_move(c, f, n->in[i], at, false);
  }
  attr_set_int(n, "axis", 0);
  node_retype(c, n);
  size_t results = node_callee(c->m, n)->outputs.n;
  items_move(c, f, n, axis, (int64_t)results - carries, nodes);
}
