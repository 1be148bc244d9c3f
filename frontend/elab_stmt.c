/* elab_stmt.c - statements: bindings, repeat, and what declares things. */
#include "frontend/elab.h"

#include <string.h>

Value *var_get(const Elab *e, const char *name) {
  if (!e->frame)
    return NULL;
  Value *v = map_get(&e->frame->vars, name);
  if (v)
    return v;
  Unit *u = unit_of(e, e->frame->file);
  return u && u->frame ? map_get(&u->frame->vars, name) : NULL;
}

void var_set(Elab *e, const char *name, Value v) {
  Value *p = arena_new_of(e->a, Value);
  *p = v;
  map_put(e->a, &e->frame->vars, name, p);
}

/* ---- bindings -------------------------------------------------------- */

static bool same_shape_elem(const Type *a, const Type *b) {
  return a->elem == b->elem && type_same_shape(a, b);
}

/* The declared type of a binding against what inference found; in a dump
 * the encodings are taken over, they cannot be inferred. */
static bool bind_type(Elab *e, const Bind *b, Value *v, bool fresh, Span at) {
  Type want;
  if (!elab_type(e, b->type, &want))
    return false;
  if (value_is_literal(v)) {
    Node *n = elab_const(e, want.elem, v, at);
    if (!n)
      return false;
    *v = value_node(n);
  }
  if (v->kind != VAL_NODE) {
    elab_error(e, at, "'%s': expected a tensor, found %s", b->name.s,
               value_describe(e->a, v));
    return false;
  }
  Type *found = &v->node->type;
  bool same = e->dump && !fresh ? type_equal(&want, found)
                                : same_shape_elem(&want, found);
  if (same) {
    if (e->dump && fresh)
      *found = want;
    return true;
  }
  /* The workspace of a call is that of the bounds. */
  if ((e->o->sample || e->o->ndims) && node_callee(e->m, v->node))
    return true;
  Text t = {0};
  type_print(&t, &want);
  text_puts(&t, ", found ");
  type_print(&t, found);
  elab_also(e, at);
  elab_error(e, b->type->span, "'%s': expected %s", b->name.s, t.s);
  text_free(&t);
  return false;
}

/* The place of the expression's last call or operator, for carets. */
static Span value_span(const Expr *x) {
  if (x->kind == EXPR_PIPE)
    x = x->sub.at[1];
  if (x->kind == EXPR_CALL)
    return x->name.span;
  return x->kind == EXPR_BINARY ? x->oper_span : x->span;
}

/* One part of a node's name. */
static bool node_part(Elab *e, const Expr *x, Text *t) {
  if (x->kind == EXPR_STR) {
    text_puts(t, x->s);
    return true;
  }
  Value v = elab_expr(e, x);
  if (v.kind == VAL_INT)
    text_printf(t, "%lld", (long long)v.i);
  else if (v.kind == VAL_STR)
    text_puts(t, v.s);
  else if (v.kind != VAL_NONE)
    elab_error(e, x->span, "a part of a node's name: expected a string or an "
               "int, found %s", value_describe(e->a, &v));
  return v.kind == VAL_INT || v.kind == VAL_STR;
}

/* A node's name, behind what the call of this block puts in front of names
 * in that file; NULL when there is none. */
static const char *node_name(Elab *e, const FromPlace *p) {
  const Place *before = e->frame->origin;
  Text t = {0};
  bool ok = p->node.n > 0;
  if (ok && before && !strcmp(before->file, p->file))
    text_puts(&t, before->node);
  for (size_t i = 0; i < p->node.n && ok; i++)
    ok = node_part(e, p->node.at[i], &t);
  const char *name = ok ? arena_strdup(e->a, t.s) : NULL;
  text_free(&t);
  return name;
}

static Place *places_eval(Elab *e, const Stmt *s) {
  Place *from = s->from.n ? arena_array(e->a, Place, s->from.n) : NULL;
  for (size_t i = 0; i < s->from.n; i++) {
    const FromPlace *p = &s->from.at[i];
    from[i] = (Place){p->file, (int)p->line, (int)p->col, node_name(e, p)};
  }
  return from;
}

/* The statement's value.  The places of a call of the text's own blocks are
 * for the nodes inside: *from becomes NULL. */
static Value value_from(Elab *e, const Stmt *s, Place **from) {
  Origin around = e->origin;
  const Expr *call = s->value;
  if (call->kind == EXPR_PIPE)
    call = call->sub.at[1];
  *from = places_eval(e, s);
  e->origin = (Origin){.call = *from && (*from)->node ? call : NULL,
                       .place = *from};
  Value v = elab_expr(e, s->value);
  if (e->origin.taken)
    *from = NULL;
  e->origin = around;
  return v;
}

static void bind_one(Elab *e, const Stmt *s, const Bind *b, Value v,
                     size_t before, Place *from) {
  bool fresh = false;
  Node *n = v.kind == VAL_NODE ? v.node : NULL;
  for (size_t i = before; n && i < e->f->nodes.n && !fresh; i++)
    fresh = e->f->nodes.at[i] == n && !(op_info(n->op)->flags & FLAG_LEAF);
  if (fresh && !n->name && !e->frame->file->prelude)
    n->name = b->name.s;
  if (fresh && from) {
    n->from = from;
    n->nfrom = (int)s->from.n;
  }
  if (v.kind != VAL_NONE && b->type &&
      !bind_type(e, b, &v, fresh, value_span(s->value)))
    v.kind = VAL_NONE;
  var_set(e, b->name.s, v);
}

static void stmt_bind(Elab *e, const Stmt *s) {
  size_t before = e->f->nodes.n;
  Place *from;
  Value v = value_from(e, s, &from);
  if (s->binds.n == 1) {
    bind_one(e, s, &s->binds.at[0], v, before, from);
    return;
  }
  int64_t n = value_len(&v);
  bool ok = n == (int64_t)s->binds.n;
  if (!ok && v.kind != VAL_NONE)
    elab_error(e, value_span(s->value), "expected %zu results, found %s",
               s->binds.n, n < 0 ? value_describe(e->a, &v)
                                 : arena_printf(e->a, "%lld", (long long)n));
  for (size_t i = 0; i < s->binds.n; i++) {
    Value item = ok ? value_item(&v, (int64_t)i)
                    : (Value){.kind = VAL_NONE};
    bind_one(e, s, &s->binds.at[i], item, before, from);
  }
}

/* ---- repeat ----------------------------------------------------------- */

static bool loop_vars(Elab *e, const Stmt *s, Value item) {
  if (!s->tuple) {
    var_set(e, s->vars.at[0].s, item);
    return true;
  }
  int64_t n = value_len(&item);
  if (n != (int64_t)s->vars.n) {
    elab_error(e, s->value->span, "expected tuples of %zu, found %s",
               s->vars.n, value_describe(e->a, &item));
    return false;
  }
  for (size_t i = 0; i < s->vars.n; i++)
    var_set(e, s->vars.at[i].s, value_item(&item, (int64_t)i));
  return true;
}

/* Unrolled.  Names of layers get the label and the number of the round, but
 * with the label `_`; values flow on.  Loop variables mean again what they
 * meant before. */
static void stmt_repeat(Elab *e, const Stmt *s) {
  Value over = elab_expr(e, s->value);
  int64_t n = value_len(&over);
  if (over.kind == VAL_NONE)
    return;
  if (n < 0) {
    elab_error(e, s->value->span, "'repeat' goes through a list or a range, "
               "found %s", value_describe(e->a, &over));
    return;
  }
  Vec(Value *) saved = {0};
  for (size_t i = 0; i < s->vars.n; i++)
    vec_push(e->a, &saved, map_get(&e->frame->vars, s->vars.at[i].s));
  const char *scope = e->frame->scope;
  bool scoped = strcmp(s->label.s, "_");
  Span label = e->frame->label;
  if (scoped)
    e->frame->label = s->label.span;
  size_t errors = diags_errors(e->d);
  for (int64_t i = 0; i < n && diags_errors(e->d) == errors; i++) {
    if (!elab_charge(e, 8, s->span))
      break;
    const char *label =
      arena_printf(e->a, "%s[%lld]", s->label.s, (long long)i);
    if (scoped)
      e->frame->scope = path_join_scope(e->a, scope, label);
    if (!elab_path_fits(e, e->frame->scope, s->label.span))
      break;
    if (loop_vars(e, s, value_item(&over, i)) && elab_deeper(e, s->span)) {
      elab_stmts(e, &s->body);
      e->depth--;
    }
  }
  e->frame->scope = scope;
  e->frame->label = label;
  for (size_t i = 0; i < s->vars.n; i++)
    map_put(e->a, &e->frame->vars, s->vars.at[i].s, saved.at[i]);
}

/* Renamings are read where they stand, once. */
static void stmt_weights(Elab *e, const Stmt *s) {
  Vec(int64_t) index = {0};
  for (size_t i = 0; i < s->renames.n; i++) {
    const Path *p = s->renames.at[i].path;
    for (size_t k = 0; k < p->segs.n; k++) {
      int64_t v;
      if (!p->segs.at[k].index)
        continue;
      if (!elab_int(e, p->segs.at[k].index, &v))
        return;
      vec_push(e->a, &index, v);
    }
  }
  WeightsUse w = {s, e->frame->scope, e->frame->file->dir, index.at};
  vec_push(e->a, &e->weights, w);
}

void elab_stmts(Elab *e, const Stmts *body) {
  for (size_t i = 0; i < body->n && !e->stop; i++) {
    const Stmt *s = body->at[i];
    switch (s->kind) {
    case STMT_BIND: stmt_bind(e, s); break;
    case STMT_PARAM: elab_param(e, s); break;
    case STMT_REPEAT: stmt_repeat(e, s); break;
    case STMT_WEIGHTS: stmt_weights(e, s); break;
    case STMT_STATE: elab_state(e, s); break;
    case STMT_NEXT: elab_next(e, s); break;
    }
  }
}

/* ---- results ----------------------------------------------------------- */

static Value result_get(Elab *e, const Bind *b) {
  Value *p = map_get(&e->frame->vars, b->name.s);
  Value v = {.kind = VAL_NONE};
  if (!p)
    return elab_error(e, b->name.span, "the result '%s' is never assigned",
                      b->name.s);
  v = *p;
  if (v.kind == VAL_PARAM)
    v = value_node(param_use(e, v.param));
  if (v.kind == VAL_STATE)
    v = value_node(func_state(e->m, e->f, v.state));
  Type want;
  if (v.kind == VAL_NONE || !b->type)
    return v;
  if (!elab_type(e, b->type, &want))
    return (Value){.kind = VAL_NONE};
  if (value_is_literal(&v)) {
    Node *n = elab_const(e, want.elem, &v, b->name.span);
    if (!n)
      return (Value){.kind = VAL_NONE};
    v = value_node(n);
  }
  if (v.kind == VAL_NODE && same_shape_elem(&want, &v.node->type))
    return v;
  Text t = {0};
  type_print(&t, &want);
  elab_error(e, b->name.span, "result '%s': expected %s, found %s",
             b->name.s, t.s, value_describe(e->a, &v));
  text_free(&t);
  if (v.kind == VAL_NODE && v.node->span.src)
    diag_note(e->d, v.node->span, "the value comes from here");
  return (Value){.kind = VAL_NONE};
}

Value elab_results(Elab *e, const Decl *d) {
  const Binds *r = &d->sig.results;
  Value *all = arena_array(e->a, Value, r->n + 1);
  bool ok = !e->stop;
  for (size_t i = 0; i < r->n && !e->stop; i++) {
    all[i] = result_get(e, &r->at[i]);
    ok &= all[i].kind != VAL_NONE;
  }
  if (!ok)
    return (Value){.kind = VAL_NONE};
  return r->n == 1 ? all[0] : value_list(VAL_TUPLE, all, r->n);
}
