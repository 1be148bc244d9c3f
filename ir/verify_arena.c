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
} Lives;

static uint32_t group_of(Lives *l, uint32_t i) {
  while (l->group[i] != i) i = l->group[i] = l->group[l->group[i]];
  return i;
}

static void lives_find(Lives *l, Arena *a) {
  size_t n = l->f->nodes.n;
  l->last = arena_array(a, uint32_t, n);
  l->group = arena_array(a, uint32_t, n);
  for (uint32_t i = 0; i < n; i++) l->last[i] = l->group[i] = i;
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

/* Whether m, the last reader of x's bytes, may write its result there. */
static bool in_place(Lives *l, const Node *x, const Node *m) {
  if (l->last[x->id] != m->id) return false;
  for (int k = 0; k < m->nin; k++) {
    const Node *y = m->in[k];
    if (y && y->type.at == m->type.at &&
        group_of(l, y->id) == group_of(l, x->id))
      return true;
  }
  return false;
}

static bool overlap(const Type *a, const Type *b) {
  return a->at >= 0 && b->at >= 0 && a->at < b->at + type_bytes(b) &&
         b->at < a->at + type_bytes(a);
}

/* Does node m, a call, write a result over x? */
static const Node *result_over(const Func *f, const Node *x, const Node *m) {
  if (m->op != OP_CALL && m->op != OP_SCAN) return NULL;
  for (size_t i = m->id + 1; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    if (n->op == OP_ITEM && n->in[0] == m && overlap(&x->type, &n->type))
      return n;
  }
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
      const Node *m = f->nodes.at[k], *over = result_over(f, x, m);
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
