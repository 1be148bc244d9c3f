/* elab_call.c - calls: who is meant, and blocks, whose bodies run in a frame
 * of their own under the path of the instance. */
#include "frontend/elab.h"

#include <string.h>

static const Value none = {.kind = VAL_NONE};

/* ---- arguments of a block ------------------------------------------- */

static const Par *par_find(const Sig *s, const char *name) {
  for (size_t i = 0; i < s->pars.n; i++)
    if (!strcmp(s->pars.at[i].name.s, name))
      return &s->pars.at[i];
  return NULL;
}

static Value unknown_arg(Elab *e, const Sig *s, const CallArg *arg) {
  Vec(const char *) names = {0};
  for (size_t i = 0; i < s->pars.n; i++)
    vec_push(e->a, &names, s->pars.at[i].name.s);
  const char *near = nearest_name(arg->name.s, names.at, names.n);
  return elab_error(e, arg->name.span, "'%s' has no argument '%s'%s%s%s",
                    s->name.s, arg->name.s, near ? ", did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
}

const CallArg **elab_args_sort(Elab *e, const Sig *s, const CallArgs *args,
                               size_t first, Span at) {
  const CallArg **given = arena_array(e->a, const CallArg *, s->pars.n + 1);
  size_t next = first;
  bool ok = true, named = false;
  for (size_t i = 0; i < args->n; i++) {
    const CallArg *arg = &args->at[i];
    size_t k = next;
    if (arg->name.s) {
      const Par *p = par_find(s, arg->name.s);
      named = true;
      if (!p) {
        unknown_arg(e, s, arg);
        ok = false;
        continue;
      }
      k = (size_t)(p - s->pars.at);
      if (k < first) {
        elab_error(e, arg->span, "'%s': argument '%s' is given by scan",
                   s->name.s, p->name.s);
        return NULL;
      }
    } else if (named || next >= s->pars.n) {
      elab_error(e, arg->span, named
                 ? "'%s': an argument without a name stands behind one with"
                 : "'%s' takes at most %zu arguments", s->name.s,
                 s->pars.n - first);
      return NULL;
    } else {
      next++;
    }
    if (given[k]) {
      elab_error(e, arg->span, "'%s': argument '%s' is given twice",
                 s->name.s, s->pars.at[k].name.s);
      ok = false;
    }
    given[k] = arg;
  }
  for (size_t i = first; i < s->pars.n; i++)
    if (!given[i] && !s->pars.at[i].def) {
      elab_error(e, at, "'%s' needs an argument '%s'", s->name.s,
                 s->pars.at[i].name.s);
      ok = false;
    }
  return ok ? given : NULL;
}

bool elab_par_check(Elab *e, const Par *p, const char *what, Span at,
                    Value *v) {
  if (!p->type)
    return true;
  if (p->type->is_kind)
    return elab_kind_check(e, p->type, v, what, at);
  if (value_is_literal(v)) {
    Node *n = elab_const(e, p->type->elem, v, at);
    if (!n)
      return false;
    *v = value_node(n);
  }
  if (v->kind == VAL_NODE)
    return elab_type_match(e, p->type, &v->node->type, what, at);
  elab_error(e, at, "%s: expected a tensor, found %s", what,
             value_describe(e->a, v));
  return false;
}

/* Check an argument, or work out the default, and make it a variable.  A
 * wrong argument is the caller's error. */
static bool par_bind(Elab *e, const Par *p, const CallArg *arg) {
  Value v = arg ? arg->v : elab_expr(e, p->def);
  var_set(e, p->name.s, none);   /* for the defaults of those behind it */
  if (v.kind == VAL_NONE)
    return false;
  const char *what = arena_printf(e->a, "argument '%s' of '%s'", p->name.s,
                                  e->frame->decl->name.s);
  e->outer = arg != NULL;
  bool ok = elab_par_check(e, p, what, arg ? arg->span : p->name.span, &v);
  e->outer = false;
  if (ok)
    var_set(e, p->name.s, v);
  return ok;
}

/* ---- running a block ------------------------------------------------- */

static bool pars_bind(Elab *e, const Sig *s, const CallArg **given) {
  bool ok = true;
  for (size_t i = 0; i < s->pars.n; i++)
    ok &= par_bind(e, &s->pars.at[i], given[i]);
  return ok;
}

/* `as _`: what is inside lies in the caller's scope. */
static bool scopes_nothing(const Expr *call) {
  const char *as = call->as ? path_single(call->as) : NULL;
  return as && !strcmp(as, "_");
}

static Frame *block_frame(Elab *e, const Decl *d, const Expr *call) {
  bool scoped = !scopes_nothing(call);
  const char *name = scoped && call->as ? elab_path(e, call->as) : d->name.s;
  if (!name)
    return NULL;
  Frame *f = arena_new_of(e->a, Frame);
  f->up = e->frame;
  f->decl = d;
  f->file = d->file;
  f->layer = name;
  f->path = f->scope = scoped ? path_join_scope(e->a, e->frame->scope, name)
                              : e->frame->scope;
  f->call = call->name.span;
  f->call_expr = call;
  f->origin = e->frame->origin;
  if (e->origin.call == call && !d->file->prelude) {
    f->origin = e->origin.place;
    e->origin.taken = true;
  }
  return f;
}

static Value block_run(Elab *e, const Decl *d, const CallArg **given,
                       Frame *f) {
  Value v = none;
  size_t params = e->m->params.n;
  e->frame = f;
  if (pars_bind(e, &d->sig, given) && elab_bounds(e, d)) {
    elab_stmts(e, &d->body);
    v = elab_results(e, d);
  }
  e->frame = f->up;
  if (!scopes_nothing(f->call_expr))
    layer_add(e, f->path, d->name.s, elab_user_span(e, f->call),
              e->m->params.n > params);
  return v;
}

static Value block_call(Elab *e, const Decl *d, const CallArgs *args,
                        const Expr *call) {
  const CallArg **given = elab_args_sort(e, &d->sig, args, 0,
                                         call->name.span);
  if (!given)
    return none;
  if (d->kind == DECL_FUNC)
    return func_call(e, d, given, call);
  Frame *f = block_frame(e, d, call);
  if (!f || !elab_path_fits(e, f->path, f->call) ||
      !elab_charge(e, 4, f->call))
    return none;
  return block_run(e, d, given, f);
}

/* ---- who is meant --------------------------------------------------- */

const char *elab_callee(Elab *e, const char *name, const Decl **d) {
  const Value *v = var_get(e, name);
  *d = NULL;
  if (e->dump)
    return name;
  if (!v || v->kind != VAL_STR) {
    *d = unit_decl(e, e->frame->file, name);
    return name;
  }
  for (const Frame *f = e->frame; f && !*d; f = f->up)
    *d = unit_decl(e, f->file, v->s);
  return v->s;
}

static Value unknown_callee(Elab *e, const Expr *call, const char *name) {
  Vec(const char *) names = {0};
  size_t n;
  const char *const *ops = op_names(&n);
  for (size_t i = 0; i < n; i++)
    vec_push(e->a, &names, ops[i]);
  const File *files[] = {e->frame->file, e->units.at[0]->file};
  for (int k = 0; k < 2 && !e->dump; k++)
    for (size_t i = 0; i < files[k]->decls.n; i++) {
      const Decl *d = files[k]->decls.at[i];
      if (d->kind == DECL_BLOCK || d->kind == DECL_MODEL ||
          d->kind == DECL_FUNC)
        vec_push(e->a, &names, d->name.s);
    }
  const char *near = nearest_name(name, names.at, names.n);
  if (name == call->name.s && var_get(e, name))
    return elab_error(e, call->name.span,
                      "'%s' is a value, it cannot be called", name);
  return elab_error(e, call->name.span, "no block or op is called '%s'%s%s%s",
                    name, near ? ", did you mean '" : "", near ? near : "",
                    near ? "'?" : "");
}

static bool args_eval(Elab *e, const Expr *call, const Value *piped,
                      Span piped_at, CallArgs *out) {
  bool ok = !piped || piped->kind != VAL_NONE;
  if (piped)
    vec_push(e->a, out, ((CallArg){{0}, *piped, piped_at}));
  for (size_t i = 0; i < call->args.n; i++) {
    const Arg *arg = &call->args.at[i];
    Value v = elab_expr(e, arg->value);
    ok &= v.kind != VAL_NONE;
    vec_push(e->a, out, ((CallArg){arg->name, v, arg->span}));
  }
  return ok;
}

/* `linear` is an op and a layer: with a tensor in second place the op. */
static bool means_op(const Decl *d, const CallArgs *args, Op *op) {
  if (!op_parse(d->name.s, op) || !d->file->prelude)
    return false;
  return args->n > 1 && !args->at[1].name.s &&
         args->at[1].v.kind == VAL_NODE;
}

Value elab_call(Elab *e, const Expr *call, const Value *piped, Span piped_at) {
  const Decl *d;
  const char *name = elab_callee(e, call->name.s, &d);
  CallArgs args = {0};
  Op op;
  if (!strcmp(name, "scan") && !e->dump)
    return elab_scan(e, call, piped != NULL);
  bool ok = args_eval(e, call, piped, piped_at, &args);
  bool is_op = op_parse(name, &op) && !(op_info(op)->flags & FLAG_LEAF) &&
               (e->dump || (op != OP_CALL && op != OP_ITEM));
  /* What is wrong with an argument does not hide a wrong name. */
  if (!ok && !d && !is_op && !builtin_known(name, &args))
    return unknown_callee(e, call, name);
  if (!ok)
    return none;
  if (d && !means_op(d, &args, &op))
    return block_call(e, d, &args, call);
  if (builtin_known(name, &args)) {
    if (call->as)
      return elab_error(e, call->as->span,
                        "'%s' makes no layer that 'as' could name", name);
    return elab_builtin(e, name, &args, call->name.span);
  }
  if (is_op)
    return elab_op(e, op, &args, call, call->name.span);
  return unknown_callee(e, call, name);
}
