/* verify_arena.c - no value's bytes in the arena are written over while it
 * is still to be read.  Shared on purpose: a value and its views (kernel
 * alias, which puts the parts of a concat into the whole), and a result
 * computed in place over an operand that nothing needs behind it. */
#include "ir/names.h"

#include <string.h>

typedef struct Lives {
  const Func *f;
  uint32_t *last;    /* by id: the last node that reads the bytes */
  uint32_t *group;   /* by id: values that views join, by their first */
  /* By id: of a call the last item, of an item the one before. */
  const Node **item;
} Lives;

static uint32_t group_of(Lives *l, uint32_t i) {
  while (l->group[i] != i) i = l->group[i] = l->group[l->group[i]];
  return i;
}

static void lives_find(Lives *l, Arena *a) {
  size_t n = l->f->nodes.n;
  l->last = arena_array(a, uint32_t, n);
  l->group = arena_array(a, uint32_t, n);
  l->item = arena_array(a, const Node *, n);
  for (uint32_t i = 0; i < n; i++) {
    const Node *x = l->f->nodes.at[i];
    l->last[i] = l->group[i] = i;
    if (x->op != OP_ITEM) continue;
    l->item[i] = l->item[x->in[0]->id];
    l->item[x->in[0]->id] = x;
  }
  for (size_t i = 0; i < l->f->outputs.n; i++)
    l->last[l->f->outputs.at[i].node->id] = (uint32_t)n;
  for (size_t i = 0; i < l->f->nexts.n; i++)
    l->last[l->f->nexts.at[i].node->id] = (uint32_t)n;
  for (uint32_t i = (uint32_t)n; i-- > 0;) {
    const Node *x = l->f->nodes.at[i];
    uint32_t until = node_is_alias(x) ? l->last[i] : i;
    for (int k = 0; k < x->nin; k++) {
      if (!x->in[k]) continue;
      uint32_t id = x->in[k]->id;
      if (until > l->last[id]) l->last[id] = until;
      if (node_is_alias(x)) l->group[group_of(l, i)] = group_of(l, id);
    }
  }
}

/* Do the operands of a concat lie in it, one behind the other? */
static bool parts_lie(const Node *n) {
  int axis = (int)attr_int(n, "axis");
  int64_t stride[MAX_RANK], part[MAX_RANK], origin, from, at = n->type.at;
  bool fits = at >= 0 && layout_strides(&n->type, stride, &origin);
  if (axis < 0) axis += n->type.rank;
  for (int i = 0; i < axis; i++) fits &= n->type.dim[i] == 1;
  for (int k = 0; fits && k < n->nin; k++) {
    const Type *t = &n->in[k]->type;
    fits = layout_strides(t, part, &from) && from == origin && t->at == at;
    for (int i = axis; i < t->rank; i++) fits &= part[i] == stride[i];
    at += t->dim[axis] * stride[axis] * (int64_t)elem_size(t->elem);
  }
  return fits;
}

int64_t node_rows(const Node *n, int k, int64_t *step) {
  bool slice = n->op == OP_SLICE, parts = n->op == OP_CONCAT;
  if (n->type.rank != 4 || (!slice && !parts)) return -1;
  int64_t axis = attr_int(n, "axis"), at = 0;
  if (axis != 2 && axis != -2) return -1;
  *step = slice ? attr_int(n, "step") : 1;
  if (slice) at = attr_int(n, "start");
  if (at < 0) at += n->in[0]->type.dim[2];
  for (int i = 0; parts && i < k; i++) at += n->in[i]->type.dim[2];
  return at;
}

/* Rows that lie where the whole lies.  Those further down are computed later:
 * a vector may go over the end of a part. */
static bool rows_lie(const Node *n) {
  int64_t step;
  if (node_rows(n, 0, &step) < 0) return false;
  for (int k = 0; k < n->nin; k++) {
    const Node *x = n->in[k];
    const Node *part = n->op == OP_CONCAT ? x : n;
    const Node *whole = n->op == OP_CONCAT ? n : x;
    if (part->type.at != whole->type.at ||
        !type_is_rows(&part->type, &whole->type, node_rows(n, k, &step),
                      step) ||
        (k > 0 && x->id <= n->in[k - 1]->id))
      return false;
  }
  return true;
}

bool alias_lies(const Node *n) {
  if (rows_lie(n)) return true;
  if (n->op == OP_CONCAT) return parts_lie(n);
  const Type *x = n->op == OP_RESHAPE ? &n->in[0]->type : NULL;
  return x && !x->layout && !n->type.layout &&
         (n->type.at < 0 || n->type.at == x->at);
}

/* Whether m, the last reader of x's bytes, may write its result there. */
static bool in_place(Lives *l, const Node *x, const Node *m) {
  bool any = false;
  if (l->last[x->id] != m->id) return false;
  for (int k = 0; k < m->nin; k++) {
    const Node *y = m->in[k];
    if (!y || group_of(l, y->id) != group_of(l, x->id)) continue;
    if (y->type.at != m->type.at || !node_reads_in_step(m, k)) return false;
    any = true;
  }
  return any;
}

static bool overlap(const Type *a, const Type *b) {
  return a->at >= 0 && b->at >= 0 && a->at < b->at + type_bytes(b) &&
         b->at < a->at + type_bytes(a);
}

/* Does node m, a call, write a result over x? */
static const Node *result_over(const Lives *l, const Node *x,
                               const Node *m) {
  if (m->op != OP_CALL && m->op != OP_SCAN) return NULL;
  for (const Node *n = l->item[m->id]; n; n = l->item[n->id])
    if (overlap(&x->type, &n->type)) return n;
  return NULL;
}

bool arena_verify(const Func *f, Text *why) {
  Arena *a = arena_new();
  Lives l = {.f = f};
  bool ok = true;
  lives_find(&l, a);
  for (size_t i = 0; ok && i < f->nodes.n; i++) {
    const Node *x = f->nodes.at[i];
    if (x->type.at < 0) continue;
    for (size_t k = i + 1; ok && k <= l.last[i] && k < f->nodes.n; k++) {
      const Node *m = f->nodes.at[k], *over = result_over(&l, x, m);
      if (over) m = over;
      else if (node_is_alias(m) || !overlap(&x->type, &m->type) ||
          group_of(&l, x->id) == group_of(&l, m->id) || in_place(&l, x, m))
        continue;
      text_printf(why, "node %u at=%lld lies over node %u at=%lld, which "
                  "node %u reads", m->id, (long long)m->type.at, x->id,
                  (long long)x->type.at, l.last[i]);
      ok = false;
    }
  }
  arena_free(a);
  return ok;
}
