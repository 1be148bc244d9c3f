/* elab_scan.c - the loop at run time: scan(f, xs, init), where f is a func, or
 * a block that becomes one. */
#include "frontend/elab.h"

#include <string.h>

static const Value none = {.kind = VAL_NONE};

/* Tensors or numbers, alone or in a list or tuple. */
static bool list_take(const Value *v, Values *to, Arena *a) {
  int64_t n = value_len(v);
  for (int64_t i = 0; i < n; i++) {
    Value item = value_item(v, i);
    if (item.kind != VAL_NODE && !value_is_literal(&item))
      return false;
    vec_push(a, to, item);
  }
  if (n < 0)
    vec_push(a, to, *v);
  return n >= 0 || v->kind == VAL_NODE || value_is_literal(v);
}

/* scan's own arguments; the others are for the function. */
static bool scan_args(Elab *e, const Expr *call, Scan *s, CallArgs *rest) {
  size_t place = 0;
  for (size_t i = 1; i < call->args.n; i++) {
    const Arg *arg = &call->args.at[i];
    Value v = elab_expr(e, arg->value);
    const char *name = arg->name.s;
    if (v.kind == VAL_NONE)
      return false;
    bool ok = true;
    if (!name && place < 2) {
      ok = list_take(&v, place++ ? &s->init : &s->xs, e->a);
    } else if (name && !strcmp(name, "axis")) {
      ok = v.kind == VAL_INT;
      s->axis = v.i;
    } else if (name && !strcmp(name, "reverse")) {
      ok = v.kind == VAL_BOOL;
      s->reverse = v.i != 0;
    } else {
      vec_push(e->a, rest, ((CallArg){arg->name, v, arg->span}));
    }
    if (!ok) {
      elab_error(e, arg->span, "scan: expected %s, found %s",
                 !name ? "tensors" : *name == 'a' ? "axis=INT"
                                                  : "reverse=true or false",
                 value_describe(e->a, &v));
      return false;
    }
  }
  if (place == 2 && s->xs.n)
    return true;
  elab_error(e, call->name.span, "scan(f, xs, init) needs what is gone "
             "through (xs) and what the first step finds (init)");
  return false;
}

/* What a step sees of operand x. */
static bool slice_type(Elab *e, const Scan *s, const Value *x, Span at,
                       Type *out) {
  int64_t axis = s->axis;
  if (x->kind != VAL_NODE) {
    elab_error(e, at, "scan: expected tensors to go through, found %s",
               value_describe(e->a, x));
    return false;
  }
  const Type *t = &x->node->type;
  if (axis < 0)
    axis += t->rank;
  if (axis < 0 || axis >= t->rank) {
    elab_error(e, at, "scan: axis %lld is out of range of a tensor of rank "
               "%d", (long long)s->axis, t->rank);
    return false;
  }
  *out = type_make(t->elem, t->rank, t->dim);
  for (int k = (int)axis; k + 1 < t->rank; k++)
    out->dim[k] = t->dim[k + 1];
  out->rank--;
  return true;
}

/* The body's own node for a value of its caller: params, states and numbers
 * are the same everywhere, anything else becomes an input. */
static Node *carried_over(Elab *e, Func *f, const char *name, Node *n,
                          Scan *s) {
  Node *own;
  switch (n->op) {
  case OP_PARAM: return func_param(e->m, f, n->param);
  case OP_STATE: return func_state(e->m, f, n->state);
  case OP_CONST:
    own = func_const(e->m, f, n->value);
    own->ivalue = n->ivalue;
    own->type = n->type;
    return own;
  default:
    vec_push(e->a, &s->in, n);
    return func_input(e->m, f, name,
                      type_make(n->type.elem, n->type.rank, n->type.dim));
  }
}

/* Parameter i of the block, bound to an argument. */
static bool body_par(Elab *e, const Par *p, const char *what, Value v,
                     Span at) {
  bool ok = elab_par_check(e, p, what, at, &v);
  if (ok)
    var_set(e, p->name.s, v);
  return ok;
}

static bool body_pars(Elab *e, const Decl *d, const CallArg **given, Func *f,
                      Scan *s, Span at) {
  size_t fixed = s->slices + s->carries;
  for (size_t i = 0; i < d->sig.pars.n; i++) {
    const Par *p = &d->sig.pars.at[i];
    const char *what = arena_printf(e->a, "argument '%s' of '%s'", p->name.s,
                                    d->name.s);
    Value v = none;
    Type t;
    if (i < s->slices) {
      if (!slice_type(e, s, &s->xs.at[i], at, &t))
        return false;
      vec_push(e->a, &s->in, s->xs.at[i].node);
      v = value_node(func_input(e->m, f, p->name.s, t));
    } else if (i < fixed) {
      const Value *x = &s->init.at[i - s->slices];
      if (x->kind != VAL_NODE) {
        elab_error(e, at, "scan: expected a tensor to begin '%s' with, found "
                   "%s", p->name.s, value_describe(e->a, x));
        return false;
      }
      t = type_make(x->node->type.elem, x->node->type.rank,
                    x->node->type.dim);
      vec_push(e->a, &s->in, x->node);
      v = value_node(func_input(e->m, f, p->name.s, t));
    } else if (given[i]) {
      v = given[i]->v;
      if (v.kind == VAL_NODE)
        v = value_node(carried_over(e, f, p->name.s, v.node, s));
    } else {
      v = elab_expr(e, p->def);
    }
    if (v.kind == VAL_NONE || !body_par(e, p, what, v, at))
      return false;
  }
  return true;
}

/* Whether another input than i has the name. */
static bool input_named(const Func *f, size_t i, const char *name) {
  for (size_t k = 0; k < f->inputs.n; k++)
    if (k != i && !strcmp(f->inputs.at[k]->name, name))
      return true;
  return false;
}

/* Inputs of a body are called as the block calls them, unless a param or
 * state that it uses has that path. */
static void inputs_rename(Elab *e, Func *f) {
  Span at;
  for (size_t i = 0; i < f->inputs.n; i++) {
    const char *wish = f->inputs.at[i]->name, *name = wish;
    for (int n = 2; func_names(f, name, &at) || input_named(f, i, name); n++)
      name = arena_printf(e->m->arena, "%s_%d", wish, n);
    f->inputs.at[i]->name = name;
  }
}

static const CallArg **rest_sort(Elab *e, const Decl *d, const Scan *s,
                                 const CallArgs *rest, Span at) {
  size_t fixed = s->slices + s->carries;
  if (d->sig.pars.n < fixed || d->sig.results.n < s->carries) {
    elab_error(e, at, "scan: '%s' takes %zu arguments and gives %zu results, "
               "expected at least %zu (xs and init) and %zu (one for each "
               "init)", d->name.s, d->sig.pars.n, d->sig.results.n, fixed,
               s->carries);
    return NULL;
  }
  return elab_args_sort(e, &d->sig, rest, fixed, at);
}

static Value scan_block(Elab *e, const Decl *d, const Expr *call, Scan *s,
                        const CallArgs *rest) {
  Span at = call->name.span;
  const CallArg **given = rest_sort(e, d, s, rest, at);
  const char *layer = call->as ? elab_path(e, call->as) : d->name.s;
  if (!given || !layer)
    return none;
  Frame *fr = frame_new(e, d, d->file);
  fr->up = e->frame;
  fr->layer = layer;
  fr->path = fr->scope = path_join_scope(e->a, e->frame->scope, layer);
  fr->call = at;
  fr->call_expr = call;
  if (!elab_path_fits(e, fr->path, at) || !elab_charge(e, 4, at))
    return none;
  Func *f = func_new_body(e->m, fr->path);
  s->layer = fr->path;
  size_t params = e->m->params.n;
  Context c = elab_enter(e, f, fr);
  bool ok = body_pars(e, d, given, f, s, at);
  if (ok)
    elab_stmts(e, &d->body);
  Value v = ok ? elab_results(e, d) : none;
  ok = v.kind != VAL_NONE && func_outputs(e, d, &v);
  inputs_rename(e, f);
  elab_leave(e, c);
  layer_add(e, fr->path, d->name.s, elab_user_span(e, at),
            e->m->params.n > params);
  if (!ok)
    return none;
  return func_call_node(e, OP_SCAN, s->in.at, s->in.n, f, call, s);
}

static Value scan_func(Elab *e, const Decl *d, const Expr *call, Scan *s,
                       const CallArgs *rest) {
  const Func *f = func_instance(e, d);
  size_t fixed = s->slices + s->carries;
  const CallArg **given =
    f ? rest_sort(e, d, s, rest, call->name.span) : NULL;
  for (size_t i = 0; given && i < d->sig.pars.n; i++) {
    const Value *v = i < s->slices ? &s->xs.at[i]
                     : i < fixed ? &s->init.at[i - s->slices]
                                 : &given[i]->v;
    Node *n = func_operand(e, f, i, v, call->name.span);
    if (!n)
      return none;
    vec_push(e->a, &s->in, n);
  }
  if (!given)
    return none;
  return func_call_node(e, OP_SCAN, s->in.at, s->in.n, f, call, s);
}

Value elab_scan(Elab *e, const Expr *call, bool piped) {
  Scan s = {0};
  CallArgs rest = {0};
  const Expr *x = call->args.n ? call->args.at[0].value : NULL;
  const char *name =
    x && x->kind == EXPR_PATH ? path_single(x->path) : NULL;
  const Decl *d = NULL;
  if (name)
    elab_callee(e, name, &d);
  if (piped)
    return elab_error(e, call->name.span, "scan stands in no pipe: write "
                      "scan(f, xs, init)");
  if (!d || d->kind == DECL_MODEL)
    return elab_error(e, x ? x->span : call->name.span, "scan(f, xs, init): "
                      "expected the name of a func or block, found %s",
                      x ? span_text(e->a, x->span) : "nothing");
  if (!scan_args(e, call, &s, &rest))
    return none;
  s.slices = s.xs.n;
  s.carries = s.init.n;
  return (d->kind == DECL_FUNC ? scan_func : scan_block)(e, d, call, &s,
                                                         &rest);
}
