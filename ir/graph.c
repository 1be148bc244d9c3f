/* graph.c - modules and functions: making nodes, replacing them, counting
 * their uses, and the canonical order that func_tidy gives (tidy.c). */
#include "ir/ir.h"

#include <stdarg.h>
#include <string.h>

Module *module_new(const char *name) {
  Arena *a = arena_new();
  Module *m = arena_new_of(a, Module);
  m->arena = a;
  m->name = arena_strdup(a, name);
  m->dump.opt = -1;
  return m;
}

void module_free(Module *m) {
  if (!m) return;
  for (size_t i = 0; i < m->params.n; i++) {
    Param *p = m->params.at[i];
    buffer_unref(p->data);
    buffer_unref(p->values);
    buffer_unref(p->index);
    buffer_unref(p->wide);
  }
  arena_free(m->arena);
}

void module_note(Module *m, const char *fmt, ...) {
  Text t = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&t, fmt, ap);
  va_end(ap);
  vec_push(m->arena, &m->notes, arena_strdup(m->arena, t.s));
  text_free(&t);
}

Func *func_new(Module *m, const char *name) {
  Func *f = arena_new_of(m->arena, Func);
  f->name = arena_strdup(m->arena, name);
  vec_push(m->arena, &m->funcs, f);
  return f;
}

static Node *node_new(Module *m, Func *f, Op op, int nin) {
  const OpInfo *info = op_info(op);
  Node *n = arena_new_of(m->arena, Node);
  n->op = op;
  n->id = (uint32_t)f->nodes.n;
  n->type = type_make(F32, 0, NULL);
  n->nin = nin;
  n->in = arena_array(m->arena, Node *, (size_t)nin);
  n->attr = arena_array(m->arena, Attr, (size_t)info->nattrs);
  if (info->nattrs)
    memcpy(n->attr, info->def, (size_t)info->nattrs * sizeof *n->attr);
  vec_push(m->arena, &f->nodes, n);
  return n;
}

Node *func_add(Module *m, Func *f, Op op, Node *const *in, int nin) {
  const OpInfo *info = op_info(op);
  ensure(nin >= 0 && (info->variadic || nin <= info->noperands));
  int slots = nin < info->noperands ? info->noperands : nin;
  Node *n = node_new(m, f, op, slots);
  for (int i = 0; i < nin; i++) n->in[i] = in[i];
  return n;
}

Node *func_input(Module *m, Func *f, const char *name, Type t) {
  Node *n = node_new(m, f, OP_INPUT, 0);
  n->name = arena_strdup(m->arena, name);
  n->type = t;
  vec_push(m->arena, &f->inputs, n);
  return n;
}

Node *func_param_node(const Func *f, const Param *p) {
  Node *n = map_get(&f->param_node, p->path);
  return n && n->op == OP_PARAM && n->param == p ? n : NULL;
}

Node *func_param(Module *m, Func *f, Param *p) {
  Node *n = func_param_node(f, p);
  if (n) return n;
  n = node_new(m, f, OP_PARAM, 0);
  n->param = p;
  n->type = p->type;
  map_put(m->arena, &f->param_node, p->path, n);
  return n;
}

Node *func_const(Module *m, Func *f, double v) {
  Node *n = node_new(m, f, OP_CONST, 0);
  n->value = v;
  return n;
}

Node *func_const_int(Module *m, Func *f, Elem e, int64_t v) {
  ensure(!elem_is_float(e));
  Node *n = node_new(m, f, OP_CONST, 0);
  n->type.elem = e;
  n->ivalue = v;
  return n;
}

void func_output(Module *m, Func *f, const char *name, Node *n) {
  Output o = {arena_strdup(m->arena, name), n};
  vec_push(m->arena, &f->outputs, o);
}

void func_results_replace(Func *f, const Node *old, Node *to) {
  for (size_t i = 0; i < f->outputs.n; i++)
    if (f->outputs.at[i].node == old) f->outputs.at[i].node = to;
  for (size_t i = 0; i < f->nexts.n; i++)
    if (f->nexts.at[i].node == old) f->nexts.at[i].node = to;
}

void func_replace(Func *f, Node *old, Node *to) {
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *n = f->nodes.at[i];
    for (int k = 0; k < n->nin; k++)
      if (n->in[k] == old) n->in[k] = to;
  }
  func_results_replace(f, old, to);
}

int *func_uses(Arena *a, const Func *f) {
  int *uses = arena_array(a, int, f->nodes.n);
  for (size_t i = 0; i < f->nodes.n; i++) f->nodes.at[i]->id = (uint32_t)i;
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    for (int k = 0; k < n->nin; k++)
      if (n->in[k]) uses[n->in[k]->id]++;
  }
  for (size_t i = 0; i < f->outputs.n; i++)
    uses[f->outputs.at[i].node->id]++;
  for (size_t i = 0; i < f->nexts.n; i++) uses[f->nexts.at[i].node->id]++;
  return uses;
}

static bool place_equal(const Place *a, const Place *b) {
  if (strcmp(a->file ? a->file : "", b->file ? b->file : "")) return false;
  if (!a->node || !b->node)
    return a->node == b->node && a->line == b->line && a->col == b->col;
  return strcmp(a->node, b->node) == 0;
}

void node_inherit(Module *m, Node *to, const Node *from) {
  if (to == from) return;
  if (!to->path) to->path = from->path;
  if (!to->span.src) to->span = from->span;
  if (from->nfrom == 0) return;
  size_t total = (size_t)to->nfrom + (size_t)from->nfrom;
  Place *all = arena_array(m->arena, Place, total);
  int n = 0;
  for (; n < to->nfrom; n++) all[n] = to->from[n];
  for (int i = 0; i < from->nfrom; i++) {
    bool known = false;
    for (int k = 0; k < n; k++) known |= place_equal(&all[k], &from->from[i]);
    if (!known && n < MAX_PLACES) all[n++] = from->from[i];
  }
  to->from = all;
  to->nfrom = n;
}
