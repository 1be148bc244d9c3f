/* elab_param.c - params and states, the names of layers, and what is taken
 * twice.  A param exists from its first use on: one that nothing uses asks
 * for no weights, which is how a layer has an optional bias. */
#include "frontend/elab.h"

#include <string.h>

void layer_add(Elab *e, const char *path, const char *kind, Span at,
               bool has_params) {
  Layer *l = map_get(&e->layer_of, path);
  if (l) {
    l->has_params |= has_params;
    return;
  }
  l = arena_new_of(e->a, Layer);
  *l = (Layer){path, kind, at, has_params};
  vec_push(e->a, &e->layers, l);
  map_put(e->a, &e->layer_of, path, l);
}

/* ---- initialisers ---------------------------------------------------- */

static bool init_number(Elab *e, const Expr *x, double *out) {
  Value v = elab_expr(e, x);
  if (value_is_number(&v)) {
    *out = value_number(&v);
    return true;
  }
  if (v.kind != VAL_NONE)
    elab_error(e, x->span, "expected a number, found %s",
               value_describe(e->a, &v));
  return false;
}

/* he(), uniform(lo, hi), or a number. */
static bool init_read(Elab *e, const Expr *x, Init *out) {
  if (x->kind != EXPR_CALL) {
    if (!init_number(e, x, &out->lo))
      return false;
    *out = (Init){INIT_UNIFORM, out->lo, out->lo};
    return true;
  }
  size_t n = x->args.n;
  if (!strcmp(x->name.s, "he") && n == 0) {
    *out = (Init){INIT_HE, 0, 0};
    return true;
  }
  if (!strcmp(x->name.s, "uniform") && n == 2 && !x->args.at[0].name.s &&
      !x->args.at[1].name.s) {
    out->kind = INIT_UNIFORM;
    return init_number(e, x->args.at[0].value, &out->lo) &&
           init_number(e, x->args.at[1].value, &out->hi);
  }
  elab_error(e, x->span, "expected he(), uniform(lo, hi) or a number");
  return false;
}

static Init init_default(const Type *t) {
  if (!elem_is_float(t->elem))
    return (Init){INIT_UNIFORM, 0, 1};
  if (t->rank >= 2)
    return (Init){INIT_HE, 0, 0};
  return (Init){INIT_UNIFORM, -0.1, 0.1};
}

/* ---- declaration and use --------------------------------------------- */

void elab_param(Elab *e, const Stmt *s) {
  const char *name = elab_path(e, s->path);
  LazyParam *p = arena_new_of(e->a, LazyParam);
  if (!name)
    return;
  Value v = {.kind = VAL_NONE};
  bool ok = elab_type(e, s->type, &p->type);
  p->init = ok ? init_default(&p->type) : (Init){0};
  if (ok && s->value)
    ok = init_read(e, s->value, &p->init);
  Value *old = var_get(e, name);
  if (old && old->kind == VAL_PARAM && old->param->frame == e->frame &&
      old->param->path && !strcmp(old->param->path,
        path_join_scope(e->a, e->frame->scope, name))) {
    elab_also(e, old->param->span);
    elab_error(e, s->path->span, "param '%s' is declared twice", name);
    ok = false;
  }
  if (old && old->kind == VAL_NODE && !e->frame->up &&
      old->node->op == OP_INPUT && !strcmp(old->node->name, name)) {
    elab_error(e, s->path->span, "'%s' is the name of an input", name);
    ok = false;
  }
  p->name = name;
  p->path = path_join_scope(e->a, e->frame->scope, name);
  p->span = elab_user_span(e, s->path->span);
  p->frame = e->frame;
  if (ok)
    v = (Value){.kind = VAL_PARAM, .param = p};
  var_set(e, name, v);
  if (ok && e->dump)
    param_use(e, p);   /* a dump lists them in the module's order */
}

/* The outermost instance around that repeats one with params of its own. */
static const Frame *frame_taken(const Elab *e, const Frame *f) {
  const Frame *found = NULL;
  for (; f && f->up; f = f->up) {
    const Layer *l = map_get(&e->layer_of, f->path);
    if (l && l->has_params)
      found = f;
  }
  return found;
}

static void path_taken(Elab *e, const LazyParam *p) {
  const Frame *f = frame_taken(e, p->frame);
  Frame *saved = e->frame;
  if (!f) {
    elab_error(e, p->span, "a param or state '%s' exists already", p->path);
    return;
  }
  const Layer *l = map_get(&e->layer_of, f->path);
  e->frame = f->up;
  Span at = elab_user_span(e, f->call);
  if (!elab_said(e, at)) {
    diag_error(e->d, EXIT_MODEL, at,
               "a layer with parameters is called '%s' here already: add "
               "`as NAME` to one of them", f->layer);
    elab_chain(e);
    diag_note(e->d, l->span, "the other '%s'", f->layer);
  }
  e->frame = saved;
}

Node *param_use(Elab *e, LazyParam *p) {
  if (p->param)
    return func_param(e->m, e->f, p->param);
  const char *path = p->path;
  if (map_get(&e->params, path) || module_state(e->m, path)) {
    path_taken(e, p);
    path = module_fresh_path(e->m, path);
  }
  Param *q = module_add_param(e->m, path, p->type, NULL);
  q->init = p->init;
  q->span = p->span;
  p->param = q;
  Node *n = func_param(e->m, e->f, q);
  n->span = p->span;
  Type t = n->type;
  node_infer(e->m, n, e->d);
  n->type = t;
  map_put(e->a, &e->params, q->path, p);
  return n;
}

/* ---- states ---------------------------------------------------------- */

static bool state_value(Elab *e, const Expr *x, State *s) {
  Value v = elab_expr(e, x);
  if (v.kind == VAL_NONE)
    return false;
  bool ok = value_is_literal(&v);
  if (v.kind == VAL_NODE && v.node->op == OP_CONST &&
      v.node->type.elem == s->type.elem) {   /* i32(3) */
    s->value = v.node->value;
    s->ivalue = v.node->ivalue;
    return true;
  }
  Node *n = ok ? elab_const(e, s->type.elem, &v, x->span) : NULL;
  if (n) {
    s->value = n->value;
    s->ivalue = n->ivalue;
    return true;
  }
  if (!ok)
    elab_error(e, x->span, "a state begins as a number, found %s",
               value_describe(e->a, &v));
  return false;
}

void elab_state(Elab *e, const Stmt *s) {
  const char *name = elab_path(e, s->path);
  Value v = {.kind = VAL_NONE};
  Type t;
  if (!name)
    return;
  if (elab_type(e, s->type, &t)) {
    const char *path = path_join_scope(e->a, e->frame->scope, name);
    const State *old = module_state(e->m, path);
    if (old || map_get(&e->params, path)) {
      if (old)
        elab_also(e, old->span);
      elab_error(e, s->path->span, "a %s '%s' exists already: add `as NAME` "
                 "to one of the layers", old ? "state" : "param", path);
    } else {
      v.state = module_add_state(e->m, path, t);
      v.state->span = elab_user_span(e, s->path->span);
      if (state_value(e, s->value, v.state))
        v.kind = VAL_STATE;
    }
  }
  var_set(e, name, v);
}

/* The state of this scope, of the file, or in a dump of that path. */
static State *state_find(Elab *e, const char *name) {
  Value *v = var_get(e, name);
  if (v && v->kind == VAL_STATE)
    return v->state;
  return e->dump ? module_state(e->m, name) : NULL;
}

void elab_next(Elab *e, const Stmt *s) {
  const char *name = elab_path(e, s->path);
  if (!name)
    return;
  Value v = elab_expr(e, s->value);
  State *state = state_find(e, name);
  Value *var = var_get(e, name);
  if (v.kind == VAL_NONE || (var && var->kind == VAL_NONE))
    return;
  if (!state) {
    elab_error(e, s->path->span, "'%s' is no state, which `next` sets", name);
    return;
  }
  if (value_is_literal(&v) && state->type.rank == 0) {
    Node *n = elab_const(e, state->type.elem, &v, s->value->span);
    if (!n)
      return;
    v = value_node(n);
  }
  if (v.kind != VAL_NODE || v.node->type.elem != state->type.elem ||
      !type_same_shape(&v.node->type, &state->type)) {
    Text t = {0};
    type_print(&t, &state->type);
    elab_error(e, s->value->span, "next '%s': expected %s, found %s", name,
               t.s, value_describe(e->a, &v));
    text_free(&t);
    return;
  }
  for (size_t i = 0; i < e->f->nexts.n; i++)
    if (e->f->nexts.at[i].state == state) {
      elab_error(e, s->path->span, "the next '%s' is given twice", name);
      return;
    }
  func_next(e->m, e->f, state, v.node);
}
