/* elab_func.c - functions that are called when the model runs: `func`
 * declarations, made once each.  They see the params and states of the file,
 * and no values of who calls them. */
#include "frontend/elab.h"

#include <string.h>

static const Value none = {.kind = VAL_NONE};

Context elab_enter(Elab *e, Func *f, Frame *frame) {
  Context c = {e->f, e->consts, e->frame};
  e->f = f;
  e->consts = (Map){0};
  e->frame = frame;
  return c;
}

void elab_leave(Elab *e, Context c) {
  e->f = c.f;
  e->consts = c.consts;
  e->frame = c.frame;
}

bool func_outputs(Elab *e, const Decl *d, const Value *v) {
  bool ok = true;
  for (size_t i = 0; i < d->sig.results.n; i++) {
    const Bind *b = &d->sig.results.at[i];
    Value item = d->sig.results.n == 1 ? *v : v->at[i];
    if (value_is_number(&item))
      item = value_node(elab_const(e, F32, &item, b->name.span));
    if (item.kind == VAL_NODE) {
      func_output(e->m, e->f, b->name.s, item.node);
      continue;
    }
    elab_error(e, b->name.span, "result '%s': expected a tensor, found %s",
               b->name.s, value_describe(e->a, &item));
    ok = false;
  }
  return ok;
}

/* ---- func ------------------------------------------------------------ */

static FuncUse *func_use(Elab *e, const Decl *d) {
  for (size_t i = 0; i < e->funcs.n; i++)
    if (e->funcs.at[i].decl == d)
      return &e->funcs.at[i];
  FuncUse use = {.decl = d};
  vec_push(e->a, &e->funcs, use);
  return &e->funcs.at[e->funcs.n - 1];
}

/* Names that the artifact's own functions have. */
static bool name_reserved(const char *s) {
  static const char *const names[] = {"run", "step", "reset", "model",
                                      "weights"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(s, names[i]))
      return true;
  return false;
}

static bool name_ok(Elab *e, const Decl *d) {
  Op op;
  if (name_reserved(d->name.s)) {
    elab_error(e, d->name.span, "a func cannot be called '%s': the artifact "
               "has a function of that name", d->name.s);
    return false;
  }
  if (op_parse(d->name.s, &op)) {
    elab_error(e, d->name.span, "a func cannot be called '%s', which is an "
               "op", d->name.s);
    return false;
  }
  if (!module_func(e->m, d->name.s))
    return true;
  elab_error(e, d->name.span, "two functions are called '%s'", d->name.s);
  return false;
}

static bool func_inputs(Elab *e, const Decl *d) {
  bool ok = d->sig.pars.n > 0;
  if (!ok)
    elab_error(e, d->name.span, "a func needs an input");
  for (size_t i = 0; i < d->sig.pars.n; i++) {
    const Par *p = &d->sig.pars.at[i];
    bool tensor = p->type && !p->type->is_kind && !p->def;
    if (!tensor)
      elab_error(e, p->name.span, "the input '%s' of a func needs a type like "
                 "f32[1,8], and no default", p->name.s);
    if (!tensor || !elab_input(e, p)) {
      var_set(e, p->name.s, none);
      ok = false;
    }
  }
  return ok;
}

/* A dump declares all its functions before any is made, in the order of the
 * text. */
void funcs_declare(Elab *e, const File *f) {
  for (size_t i = 0; i < f->decls.n; i++)
    if (f->decls.at[i]->kind == DECL_FUNC && name_ok(e, f->decls.at[i]))
      func_use(e, f->decls.at[i])->f =
        func_new(e->m, f->decls.at[i]->name.s);
}

static bool func_body(Elab *e, const Decl *d) {
  if (e->dump)
    elab_dims_set(e);
  if (!elab_dims(e, d) || !func_inputs(e, d))
    return false;
  elab_stmts(e, &d->body);
  Value v = elab_results(e, d);
  return v.kind != VAL_NONE && func_outputs(e, d, &v);
}

Func *func_instance(Elab *e, const Decl *d) {
  FuncUse *u = func_use(e, d);
  if (u->done)
    return u->bad ? NULL : u->f;
  if (u->open) {
    elab_error(e, d->name.span, "the func '%s' calls itself", d->name.s);
    u->bad = true;
    return NULL;
  }
  u->open = true;
  if (!u->f && !name_ok(e, d))
    u->bad = true;
  if (!u->f && !u->bad)
    u->f = func_new(e->m, d->name.s);
  Func *f = u->f;
  if (!u->bad) {
    Frame *fr = frame_new(e, d, d->file);
    if (!e->dump)
      fr->path = fr->scope = fr->layer = d->name.s;
    Context c = elab_enter(e, f, fr);
    bool ok = func_body(e, d);
    elab_leave(e, c);
    u = func_use(e, d);   /* the list may have moved */
    u->bad |= !ok;
  }
  u->done = true;
  return u->bad ? NULL : u->f;
}

void funcs_finish(Elab *e, const File *f) {
  for (size_t i = 0; i < f->decls.n; i++)
    if (f->decls.at[i]->kind == DECL_FUNC)
      func_instance(e, f->decls.at[i]);
}

bool func_ready(Elab *e, const char *name) {
  for (size_t i = 0; i < e->funcs.n; i++)
    if (!strcmp(e->funcs.at[i].decl->name.s, name))
      return func_instance(e, e->funcs.at[i].decl) != NULL;
  return true;    /* inference says that there is none */
}

/* ---- states at the end ----------------------------------------------- */

/* The function that sets each state, by its position. */
static const Func **setters_find(const Elab *e) {
  const Func **by = arena_array(e->a, const Func *, e->m->states.n + 1);
  for (size_t i = e->m->funcs.n; i-- > 0;) {
    const Func *f = e->m->funcs.at[i];
    for (size_t k = 0; k < f->nexts.n; k++)
      by[f->nexts.at[k].state->order] = f;
  }
  return by;
}

/* Functions that others call, by name. */
static Map called_find(const Elab *e) {
  Map called = {0};
  for (size_t i = 0; i < e->m->funcs.n; i++) {
    const Func *by = e->m->funcs.at[i];
    for (size_t k = 0; k < by->nodes.n; k++) {
      Func *f = node_callee(e->m, by->nodes.at[k]);
      if (f)
        map_put(e->a, &called, f->name, f);
    }
  }
  return called;
}

bool states_check(Elab *e) {
  bool ok = true;
  const Func **by = setters_find(e);
  Map called = called_find(e);
  for (size_t i = 0; i < e->m->states.n; i++) {
    const State *s = e->m->states.at[i];
    if (!by[i]) {
      ok = diag_error(e->d, EXIT_MODEL, s->span, "the state '%s' never "
                      "changes: expected `next %s = ...;`", s->path, s->path);
    } else if (map_get(&called, by[i]->name)) {
      ok = diag_error(e->d, EXIT_MODEL, s->span, "the state '%s' is set by "
                      "'%s', which is called: only the model and funcs that "
                      "nothing calls can set states", s->path, by[i]->name);
    }
  }
  return ok;
}

/* ---- names at the end ------------------------------------------------ */

bool func_names(const Func *f, const char *path, Span *at) {
  const Node *p = map_get(&f->param_node, path);
  const Node *s = map_get(&f->state_node, path);
  if (p)
    *at = p->param->span;
  else if (s)
    *at = s->state->span;
  return p || s;
}

/* A dump declares all params and states in the model. */
bool inputs_check(Elab *e) {
  bool ok = true;
  for (size_t i = 0; i < e->m->funcs.n; i++) {
    const Func *f = e->m->funcs.at[i];
    for (size_t k = 0; k < f->inputs.n; k++) {
      const char *name = f->inputs.at[k]->name;
      const Param *p = i ? NULL : module_param(e->m, name);
      const State *s = i ? NULL : module_state(e->m, name);
      Span at = p ? p->span : s ? s->span : (Span){0};
      if (!p && !s && !func_names(f, name, &at))
        continue;
      ok = diag_error(e->d, EXIT_MODEL, at, "'%s' is the name of an input "
                      "of '%s'", name, f->name);
    }
  }
  return ok;
}

/* ---- calls ----------------------------------------------------------- */

/* One value for each result. */
static Value results_of(Elab *e, Node *call, const Func *f, Span at) {
  Value *all = arena_array(e->a, Value, f->outputs.n + 1);
  for (size_t i = 0; i < f->outputs.n; i++) {
    Node *n = func_add(e->m, e->f, OP_ITEM, &call, 1);
    attr_set_int(n, "index", (int64_t)i);
    n->path = call->path;
    n->span = call->span;
    n->from = call->from;
    n->nfrom = call->nfrom;
    if (!node_infer(e->m, n, e->d)) {
      elab_said(e, at);
      return none;
    }
    all[i] = value_node(n);
  }
  return f->outputs.n == 1 ? all[0]
                           : value_list(VAL_TUPLE, all, f->outputs.n);
}

Value func_call_node(Elab *e, Op op, Node *const *in, size_t nin,
                     const Func *f, const Expr *call, const Scan *s) {
  Node *n = func_add(e->m, e->f, op, in, (int)nin);
  attr_set_str(e->m, n, "callee", f->name);
  if (s) {
    attr_set_int(n, "slices", (int64_t)s->slices);
    attr_set_int(n, "carries", (int64_t)s->carries);
    attr_set_int(n, "axis", s->axis);
    attr_set_bool(n, "reverse", s->reverse);
  }
  if (!elab_node_finish(e, n, call, call->name.span))
    return none;
  /* Named after what is called. */
  if (!call->as)
    n->path = s && s->layer ? s->layer
                            : path_join_scope(e->a, e->frame->scope, f->name);
  return results_of(e, n, f, call->name.span);
}

/* A number in place of a tensor of a known type. */
static Node *filled(Elab *e, const Type *t, const Value *v, Span at) {
  Node *n = elab_const(e, t->elem, v, at);
  if (!n || t->rank == 0)
    return n;
  n = func_add(e->m, e->f, OP_EXPAND, &n, 1);
  attr_set_ints(e->m, n, "shape", t->dim, t->rank);
  n->span = elab_user_span(e, at);
  return node_infer(e->m, n, e->d) ? n : NULL;
}

Node *func_operand(Elab *e, const Func *f, size_t i, const Value *v, Span at) {
  const Node *in = f->inputs.at[i];
  if (v->kind == VAL_NODE)
    return v->node;
  if (value_is_literal(v))
    return filled(e, &in->type, v, at);
  elab_error(e, at, "input '%s' of '%s': expected a tensor, found %s",
             in->name, f->name, value_describe(e->a, v));
  return NULL;
}

Value func_call(Elab *e, const Decl *d, const CallArg **given,
                const Expr *call) {
  const Func *f = func_instance(e, d);
  size_t n = d->sig.pars.n;
  Node **in = arena_array(e->a, Node *, n + 1);
  if (!f)
    return none;
  for (size_t i = 0; i < n; i++) {
    in[i] = func_operand(e, f, i, &given[i]->v, given[i]->span);
    if (!in[i])
      return none;
  }
  return func_call_node(e, OP_CALL, in, n, f, call, NULL);
}
