/* rewrite.c - the few operations with which passes change a graph. */
#include <string.h>

#include "passes/passes.h"

bool node_is_const(Module *m, const Node *n) {
  if (n->op == OP_CONST) return !n->free;
  return n->op == OP_PARAM &&
         (param_values(m, n->param) || param_data(n->param));
}

const float *node_values(Module *m, const Node *n) {
  if (n->op == OP_PARAM) return param_values(m, n->param);
  if (n->op != OP_CONST || n->free || !elem_is_float(n->type.elem))
    return NULL;
  float *v = arena_new_of(m->arena, float);
  *v = (float)n->value;
  return v;
}

bool node_scalar(Module *m, const Node *n, double *v) {
  Elem e = n->type.elem;
  if (n->op == OP_CONST) {
    if (n->free) return false;
    *v = elem_is_float(e) ? n->value : (double)n->ivalue;
    return true;
  }
  if (n->op != OP_PARAM || type_elems(&n->type) != 1) return false;
  const float *p = param_values(m, n->param);
  const void *data = param_data(n->param);
  if (p) *v = *p;
  else if (data) *v = elem_load(e, data, 0);
  return p || data;
}

bool node_gated(const Node *n, Op *op, Node **x) {
  for (int i = 0; i < 2 && n->op == OP_MUL; i++) {
    const Node *gate = n->in[1 - i];
    if (gate->op != OP_SIGMOID && gate->op != OP_HARDSIGMOID) continue;
    if (gate->in[0] != n->in[i]) continue;
    *op = gate->op == OP_SIGMOID ? OP_SILU : OP_HARDSWISH;
    *x = n->in[i];
    return true;
  }
  return false;
}

Node *func_values(Module *m, Func *f, const char *wish, Type t, Buffer *data) {
  t.layout = NULL;
  t.sparse = NULL;
  t.quant = NULL;
  t.stored = 0;
  t.at = -1;
  Param *p = module_add_param(m, module_fresh_path(m, wish), t, data);
  return func_param(m, f, p);
}

/* Uses in all functions; nodes that were replaced use nothing any more. */
static int param_uses(const Module *m, const Param *p) {
  int uses = 0;
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++) {
      const Node *n = f->nodes.at[k];
      for (int o = 0; o < n->nin; o++)
        uses += n->in[o] && n->in[o]->param == p;
    }
    for (size_t k = 0; k < f->outputs.n; k++)
      uses += f->outputs.at[k].node->param == p;
    for (size_t k = 0; k < f->nexts.n; k++)
      uses += f->nexts.at[k].node->param == p;
  }
  return uses;
}

bool node_pad_is_free(const Node *n) {
  return n->attr[attr_index(n->op, "pad")].free != NULL;
}

static bool used_elsewhere(const Module *m, const Func *f, const Param *p) {
  for (size_t i = 0; i < m->funcs.n; i++)
    if (m->funcs.at[i] != f && func_param_node(m->funcs.at[i], p))
      return true;
  return false;
}

/* Values that are as few as those they were made of are stored so, too. */
static Elem stored_kept(const Type *t, const Type *from, const Buffer *data) {
  bool few = t->elem == F32 && elem_clusters(from->stored) > 0;
  return few && clusters_hold(from->stored, data) ? from->stored : 0;
}

/* Steps of a recipe that selected p also work on what was made of it. */
static void steps_extend(Module *m, const Param *p, Param *to) {
  for (size_t i = 0; i < m->recipe.n; i++) {
    RecipeStep *s = &m->recipe.at[i];
    bool selected = false;
    for (size_t k = 0; k < s->params.n; k++)
      selected |= s->params.at[k] == p;
    if (selected) vec_push(m->arena, &s->params, to);
  }
}

Node *func_derive(Module *m, Func *f, Node *from, bool once, Type t,
                  Buffer *data) {
  const char *path = from->op == OP_PARAM ? from->param->path : "constant";
  bool own = from->op == OP_PARAM &&
             (once ? !used_elsewhere(m, f, from->param)
                   : param_uses(m, from->param) == 1);
  if (!own) {
    path = arena_printf(m->arena, "%s.folded", path);
    Node *to = func_values(m, f, path, t, data);
    to->type.stored = stored_kept(&t, &from->type, data);
    to->param->type.stored = to->type.stored;
    if (from->op == OP_PARAM) steps_extend(m, from->param, to->param);
    return to;
  }
  t.layout = NULL;
  t.sparse = NULL;
  t.quant = NULL;
  t.stored = stored_kept(&t, &from->type, data);
  t.at = -1;
  param_set_data(from->param, data);
  from->param->type = from->type = t;
  return from;
}

const char *path_beside(Module *m, const char *path, const char *leaf) {
  const char *dot = strrchr(path, '.');
  int len = dot ? (int)(dot - path) + 1 : 0;
  return arena_printf(m->arena, "%.*s%s", len, path, leaf);
}

void node_reset(Module *m, Node *n, Op op, Node *const *in, int nin) {
  const OpInfo *info = op_info(op);
  int room = nin > info->noperands ? nin : info->noperands;
  Node **to = arena_array(m->arena, Node *, room ? room : 1);
  for (int i = 0; i < nin; i++) to[i] = in[i];
  n->op = op;
  n->in = to;
  n->nin = info->variadic ? nin : info->noperands;
  n->attr = arena_array(m->arena, Attr, info->nattrs ? info->nattrs : 1);
  for (int i = 0; i < info->nattrs; i++) n->attr[i] = info->def[i];
}

void node_drop(Node *n) {
  n->nin = 0;
}

void node_absorb(Module *m, Node *n, Node *p) {
  Node own = *n;
  node_reset(m, n, p->op, p->in, p->nin);
  for (int i = 0; i < op_info(p->op)->nattrs; i++) n->attr[i] = p->attr[i];
  n->path = NULL;
  n->nfrom = 0;
  n->from = NULL;
  node_inherit(m, n, p);
  node_inherit(m, n, &own);
  n->path = p->path ? p->path : own.path;
  node_drop(p);
}

void node_set_in(Module *m, Node *n, int i, Node *x) {
  if (i >= n->nin) {
    int room = op_info(n->op)->noperands;
    ensure(i < room);
    Node **to = arena_array(m->arena, Node *, room);
    for (int k = 0; k < n->nin; k++) to[k] = n->in[k];
    n->in = to;
    n->nin = room;
  }
  n->in[i] = x;
}

Uses uses_new(Arena *a, const Func *f) {
  return (Uses){func_uses(a, f), f->nodes.n};
}

bool used_once(const Uses *u, const Node *n) {
  return n->id < u->n && u->of[n->id] == 1;
}

struct Users {
  Arena *arena;
  Func *f;
  size_t n;                /* nodes at first */
  Vec(Node *) *of;         /* by id */
};

Users *users_new(Arena *a, Func *f) {
  Users *u = arena_new_of(a, Users);
  *u = (Users){.arena = a, .f = f, .n = f->nodes.n};
  u->of = arena_alloc(a, checked_mul(u->n + 1, sizeof *u->of));
  for (size_t i = 0; i < u->n; i++) {
    Node *n = f->nodes.at[i];
    for (int k = 0; k < n->nin; k++)
      if (n->in[k]) vec_push(a, &u->of[n->in[k]->id], n);
  }
  return u;
}

void users_replace(Users *u, Node *old, Node *to) {
  if (old->id >= u->n) {
    func_replace(u->f, old, to);
    return;
  }
  for (size_t i = 0; i < u->of[old->id].n; i++) {
    Node *n = u->of[old->id].at[i];
    for (int k = 0; k < n->nin; k++)
      if (n->in[k] == old) n->in[k] = to;
    if (to->id < u->n) vec_push(u->arena, &u->of[to->id], n);
  }
  func_results_replace(u->f, old, to);
}

Node *users_only(const Users *u, const Node *n) {
  if (n->id >= u->n || u->of[n->id].n == 0) return NULL;
  Node *user = u->of[n->id].at[0];
  for (size_t i = 1; i < u->of[n->id].n; i++)
    if (u->of[n->id].at[i] != user) return NULL;
  return user;
}

Node *func_insert(Module *m, Func *f, Node *at, Op op, Node *const *in,
                  int nin) {
  Node *n = func_add(m, f, op, in, nin);
  size_t i = f->nodes.n - 1;
  ensure(f->nodes.at[i] == n);
  for (; i > 0 && f->nodes.at[i] != at; i--)
    f->nodes.at[i] = f->nodes.at[i - 1];
  ensure(f->nodes.at[i] == at);
  f->nodes.at[i] = n;
  return n;
}

Node *func_insert_list(PassCtx *c, Func *f, Node *at, Op op, Node *x,
                       const char *name, const int64_t *v, int n) {
  Node *y = func_insert(c->m, f, at, op, &x, 1);
  attr_set_ints(c->m, y, name, v, n);
  node_inherit(c->m, y, at);
  node_retype(c, y);
  return y;
}

Node *func_literal(Module *m, Func *f, const Node *n) {
  Elem e = n->type.elem;
  Buffer *b = buffer_new(elem_size(e));
  if (elem_is_float(e)) elem_store(e, b->data, 0, n->value);
  else elem_store_int(e, b->data, 0, n->ivalue);
  return func_values(m, f, "literal", n->type, b);
}

void params_walk(const Func *f,
                 void (*use)(void *ctx, const Param *p, const Node *n, int k),
                 void *ctx) {
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    for (int k = 0; k < n->nin; k++)
      if (n->in[k] && n->in[k]->param) use(ctx, n->in[k]->param, n, k);
  }
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Param *p = f->outputs.at[i].node->param;
    if (p) use(ctx, p, NULL, 0);
  }
  for (size_t i = 0; i < f->nexts.n; i++) {
    const Param *p = f->nexts.at[i].node->param;
    if (p) use(ctx, p, NULL, 0);
  }
}

Node *func_copy(Module *m, Func *f, Node *at, const Node *n,
                Node *const *in, int nin) {
  Node *to = func_insert(m, f, at, n->op, in, nin);
  for (int i = 0; i < op_info(n->op)->nattrs; i++) to->attr[i] = n->attr[i];
  node_inherit(m, to, n);
  return to;
}

void node_retype(PassCtx *c, Node *n) {
  bool ok = node_infer(c->m, n, c->d);
  ensure(ok);
}

bool node_per_axis(Module *m, const Node *n, const Type *t, int axis,
                   const float **v, int *step) {
  if (!node_is_const(m, n) || n->type.rank > t->rank) return false;
  int skip = t->rank - n->type.rank;   /* operands align at the last axis */
  *step = 0;
  for (int i = 0; i < n->type.rank; i++) {
    if (n->type.dim[i] == 1) continue;
    if (i + skip != axis || n->type.dim[i] != t->dim[axis]) return false;
    *step = 1;
  }
  *v = node_values(m, n);
  return *v != NULL;
}
