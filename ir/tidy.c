/* tidy.c - the canonical order of a function: inputs, states, then params and
 * scalars, each in the order of their first use (one node for one value),
 * then all other nodes, operands first and else as they stood.
 * A text that is parsed back has the same order, so nothing that follows can
 * depend on where a module came from. */
#include "ir/ir.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct Tidy {
  Func *f;
  Arena *a;           /* scratch */
  bool *live, *open, *done;  /* by id */
  Vec(Node *) stack;
  Vec(Node *) order;  /* everything but leaves, operands first */
  Vec(Node *) consts;
  Map const_of;       /* element type and value -> CONST node */
  Vec(Node *) states;
} Tidy;

static void ids_set(const Func *f) {
  for (size_t i = 0; i < f->nodes.n; i++) f->nodes.at[i]->id = (uint32_t)i;
}

static void node_reach(Tidy *t, Node *n) {
  if (!n) return;
  ensure(n->id < t->f->nodes.n && t->f->nodes.at[n->id] == n);
  if (t->live[n->id]) return;
  t->live[n->id] = true;
  vec_push(t->a, &t->stack, n);
}

static void live_mark(Tidy *t) {
  for (size_t i = 0; i < t->f->inputs.n; i++)
    node_reach(t, t->f->inputs.at[i]);
  for (size_t i = 0; i < t->f->outputs.n; i++)
    node_reach(t, t->f->outputs.at[i].node);
  for (size_t i = 0; i < t->f->nexts.n; i++)
    node_reach(t, t->f->nexts.at[i].node);
  while (t->stack.n) {
    Node *n = t->stack.at[--t->stack.n];
    for (int k = 0; k < n->nin; k++) node_reach(t, n->in[k]);
  }
}

/* Push the operands that are not placed yet, the first on top; true when
 * there are none. */
static bool operands_placed(Tidy *t, const Node *n) {
  bool all = true;
  for (int k = n->nin - 1; k >= 0; k--) {
    Node *x = n->in[k];
    if (!x || t->done[x->id]) continue;
    vec_push(t->a, &t->stack, x);
    all = false;
  }
  return all;
}

static void node_place(Tidy *t, Node *root) {
  vec_push(t->a, &t->stack, root);
  while (t->stack.n) {
    Node *n = t->stack.at[t->stack.n - 1];
    if (!t->done[n->id] && !operands_placed(t, n)) {
      ensure(!t->open[n->id]);   /* else it needs itself */
      t->open[n->id] = true;
      continue;
    }
    t->stack.n--;
    if (t->done[n->id]) continue;
    t->done[n->id] = true;
    if (!(op_info(n->op)->flags & FLAG_LEAF))
      vec_push(t->a, &t->order, n);
  }
}

/* The node that stands for the value of `c` from now on. */
static Node *const_unique(Tidy *t, Node *c) {
  if (!c || c->op != OP_CONST) return c;
  uint64_t bits;
  memcpy(&bits, &c->value, sizeof bits);
  const char *key = arena_printf(t->a, "%d %" PRIx64 " %" PRIx64,
                                 (int)c->type.elem, bits,
                                 (uint64_t)c->ivalue);
  Node *same = map_get(&t->const_of, key);
  if (same) return same;
  map_put(t->a, &t->const_of, key, c);
  vec_push(t->a, &t->consts, c);
  return c;
}

static void consts_merge(Tidy *t) {
  for (size_t i = 0; i < t->order.n; i++) {
    Node *n = t->order.at[i];
    for (int k = 0; k < n->nin; k++) n->in[k] = const_unique(t, n->in[k]);
  }
  for (size_t i = 0; i < t->f->outputs.n; i++) {
    Output *o = &t->f->outputs.at[i];
    o->node = const_unique(t, o->node);
  }
  for (size_t i = 0; i < t->f->nexts.n; i++)
    t->f->nexts.at[i].node = const_unique(t, t->f->nexts.at[i].node);
}

/* Params in the order of their first use, functions in turn; those that no
 * function uses are forgotten, in recipes too. */
typedef struct ParamList {
  Arena *a;
  bool *used;         /* by the old order */
  Vec(Param *) list;
} ParamList;

static void param_see(ParamList *l, const Node *n) {
  if (!n || n->op != OP_PARAM || l->used[n->param->order]) return;
  l->used[n->param->order] = true;
  vec_push(l->a, &l->list, n->param);
}

static void recipe_trim(Module *m, const bool *used) {
  for (size_t i = 0; i < m->recipe.n; i++) {
    RecipeStep *s = &m->recipe.at[i];
    size_t kept = 0;
    for (size_t k = 0; k < s->params.n; k++)
      if (used[s->params.at[k]->order])
        s->params.at[kept++] = s->params.at[k];
    s->params.n = kept;
  }
}

static void params_order(Module *m, Arena *a) {
  ParamList l = {.a = a, .used = arena_array(a, bool, m->params.n)};
  for (size_t i = 0; i < m->params.n; i++)
    m->params.at[i]->order = (uint32_t)i;
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++)
      for (int j = 0; j < f->nodes.at[k]->nin; j++)
        param_see(&l, f->nodes.at[k]->in[j]);
    for (size_t k = 0; k < f->outputs.n; k++)
      param_see(&l, f->outputs.at[k].node);
    for (size_t k = 0; k < f->nexts.n; k++)
      param_see(&l, f->nexts.at[k].node);
    for (size_t k = 0; k < f->nodes.n; k++) param_see(&l, f->nodes.at[k]);
  }
  recipe_trim(m, l.used);
  for (size_t i = 0; i < m->params.n; i++) {
    Param *p = m->params.at[i];
    if (l.used[i]) continue;
    param_set_data(p, NULL);
    map_put(m->arena, &m->param_of, p->path, NULL);
    m->next_suffix = (Map){0};   /* a path is free again */
  }
  for (size_t i = 0; i < l.list.n; i++) {
    m->params.at[i] = l.list.at[i];
    m->params.at[i]->order = (uint32_t)i;
  }
  m->params.n = l.list.n;
}

static int param_order(const void *a, const void *b) {
  const Node *x = *(Node *const *)a, *y = *(Node *const *)b;
  return (x->param->order > y->param->order) -
         (x->param->order < y->param->order);
}

static int state_order(const void *a, const void *b) {
  const Node *x = *(Node *const *)a, *y = *(Node *const *)b;
  return (x->state->order > y->state->order) -
         (x->state->order < y->state->order);
}

/* The states that are read, in the module's order. */
static void states_collect(Tidy *t, Module *m) {
  Func *f = t->f;
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *n = f->nodes.at[i];
    if (n->op != OP_STATE) continue;
    if (t->live[n->id]) vec_push(t->a, &t->states, n);
    else map_put(m->arena, &f->state_node, n->state->path, NULL);
  }
  if (t->states.n)
    qsort(t->states.at, t->states.n, sizeof *t->states.at, state_order);
}

/* Write the new order into f->nodes (never more nodes than there were). */
static void order_store(Tidy *t, Module *m) {
  Func *f = t->f;
  Vec(Node *) params = {0};
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *n = f->nodes.at[i];
    if (n->op != OP_PARAM) continue;
    if (t->live[n->id])
      vec_push(t->a, &params, n);
    else if (func_param_node(f, n->param) == n)
      map_put(m->arena, &f->param_node, n->param->path, NULL);
  }
  size_t k = 0;
  states_collect(t, m);
  for (size_t i = 0; i < f->inputs.n; i++) f->nodes.at[k++] = f->inputs.at[i];
  for (size_t i = 0; i < t->states.n; i++) f->nodes.at[k++] = t->states.at[i];
  size_t first = k;
  for (size_t i = 0; i < params.n; i++) f->nodes.at[k++] = params.at[i];
  for (size_t i = 0; i < t->consts.n; i++) f->nodes.at[k++] = t->consts.at[i];
  for (size_t i = 0; i < t->order.n; i++) f->nodes.at[k++] = t->order.at[i];
  ensure(k <= f->nodes.n);
  f->nodes.n = k;
  params_order(m, t->a);
  if (params.n)
    qsort(f->nodes.at + first, params.n, sizeof *params.at, param_order);
}

void func_tidy(Module *m, Func *f) {
  Tidy t = {.f = f, .a = arena_new()};
  ids_set(f);
  t.live = arena_array(t.a, bool, f->nodes.n);
  t.open = arena_array(t.a, bool, f->nodes.n);
  t.done = arena_array(t.a, bool, f->nodes.n);
  live_mark(&t);
  for (size_t i = 0; i < f->nodes.n; i++)
    if (t.live[i]) node_place(&t, f->nodes.at[i]);
  consts_merge(&t);
  order_store(&t, m);
  ids_set(f);
  arena_free(t.a);
}
