/* func.c - functions that are called, and the states of a module. */
#include "ir/ir.h"

#include <ctype.h>
#include <string.h>

/* ---- states ---------------------------------------------------------- */

State *module_state(const Module *m, const char *path) {
  return map_get(&m->state_of, path);
}

State *module_add_state(Module *m, const char *path, Type t) {
  ensure(!module_state(m, path));
  State *s = arena_new_of(m->arena, State);
  s->path = arena_strdup(m->arena, path);
  s->type = t;
  s->order = (uint32_t)m->states.n;
  vec_push(m->arena, &m->states, s);
  map_put(m->arena, &m->state_of, s->path, s);
  return s;
}

Node *func_state(Module *m, Func *f, State *s) {
  Node *n = map_get(&f->state_node, s->path);
  if (n) return n;
  n = func_add(m, f, OP_STATE, NULL, 0);
  n->state = s;
  n->type = s->type;
  map_put(m->arena, &f->state_node, s->path, n);
  return n;
}

void func_next(Module *m, Func *f, State *s, Node *n) {
  Next x = {s, n};
  vec_push(m->arena, &f->nexts, x);
}

/* ---- functions ------------------------------------------------------- */

Func *module_func(const Module *m, const char *name) {
  for (size_t i = 0; i < m->funcs.n; i++)
    if (strcmp(m->funcs.at[i]->name, name) == 0) return m->funcs.at[i];
  return NULL;
}

bool func_is_entry(const Module *m, const Func *f) {
  return f == m->funcs.at[0] || f->name[0] != '_';
}

Func *node_callee(const Module *m, const Node *n) {
  if (n->op != OP_CALL && n->op != OP_SCAN) return NULL;
  const char *name = attr_str(n, "callee");
  return *name ? module_func(m, name) : NULL;
}

Func *func_new_body(Module *m, const char *path) {
  char *name = arena_printf(m->arena, "_%s", path);
  for (char *c = name; *c; c++)
    if (!isalnum((unsigned char)*c)) *c = '_';
  const char *free = name;
  for (int i = 2; module_func(m, free); i++)
    free = arena_printf(m->arena, "%s_%d", name, i);
  return func_new(m, free);
}

size_t func_index(const Module *m, const Func *f) {
  size_t i = 0;
  while (m->funcs.at[i] != f) i++;
  return i;
}

typedef struct Walk {
  Arena *a;
  const Module *m;
  bool *seen;       /* by position of the function */
  Vec(Func *) order;
} Walk;

static void func_visit(Walk *w, Func *f) {
  size_t at = func_index(w->m, f);
  if (w->seen[at]) return;
  w->seen[at] = true;
  for (size_t i = 0; i < f->nodes.n; i++) {
    Func *to = node_callee(w->m, f->nodes.at[i]);
    if (to) func_visit(w, to);
  }
  vec_push(w->a, &w->order, f);
}

Func **funcs_all(Arena *a, const Module *m, size_t *n) {
  Walk w = {.a = a, .m = m, .seen = arena_array(a, bool, m->funcs.n)};
  for (size_t i = 0; i < m->funcs.n; i++) func_visit(&w, m->funcs.at[i]);
  *n = w.order.n;
  return w.order.at;
}

Func **funcs_bottom_up(Arena *a, const Module *m, size_t *n) {
  Walk w = {.a = a, .m = m, .seen = arena_array(a, bool, m->funcs.n)};
  for (size_t i = 0; i < m->funcs.n; i++)
    if (func_is_entry(m, m->funcs.at[i])) func_visit(&w, m->funcs.at[i]);
  *n = w.order.n;
  return w.order.at;
}

/* ---- workspaces ------------------------------------------------------ */

enum { ALIGN = 64 };

static int64_t aligned(int64_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

int64_t func_arena_bytes(const Func *f) {
  int64_t n = 0;
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Type *t = &f->nodes.at[i]->type;
    int64_t end;
    /* What no memory holds, the verifier faults at its node. */
    if (t->at < 0 || __builtin_add_overflow(t->at, type_bytes(t), &end) ||
        end > INT64_MAX - ALIGN)
      continue;
    if (end > n) n = end;
  }
  return aligned(n);
}

int64_t scan_steps(const Node *n) {
  const Type *x = &n->in[0]->type;
  int64_t axis = attr_int(n, "axis");
  return x->dim[axis < 0 ? axis + x->rank : axis];
}

Workspace node_workspace(const Module *m, const Node *n) {
  const Func *f = node_callee(m, n);
  Workspace w = {0};
  ensure(f && f->outputs.n <= MAX_RESULTS);
  size_t carries = n->op == OP_SCAN ? (size_t)attr_int(n, "carries") : 0;
  w.bytes = func_arena_bytes(f);
  for (size_t i = 0; i < f->outputs.n; i++) {
    w.result[i] = w.bytes;
    w.bytes += aligned(type_rows_bytes(&f->outputs.at[i].node->type));
  }
  for (size_t i = f->outputs.n - carries; i < f->outputs.n; i++) {
    w.carry[i] = w.bytes;
    w.bytes += aligned(type_rows_bytes(&f->outputs.at[i].node->type));
  }
  return w;
}
