/* elab_expr.c - expressions, run at compile time. */
#include "frontend/elab.h"

#include <string.h>

static const Value none = {.kind = VAL_NONE};

const char *path_join_scope(Arena *a, const char *scope, const char *name) {
  return *scope ? arena_printf(a, "%s.%s", scope, name) : name;
}

bool elab_int(Elab *e, const Expr *x, int64_t *out) {
  Value v = elab_expr(e, x);
  if (v.kind == VAL_INT) {
    *out = v.i;
    return true;
  }
  if (v.kind != VAL_NONE)
    elab_error(e, x->span, "expected an int, found %s",
               value_describe(e->a, &v));
  return false;
}

/* The value of one name in weight_l$k, its `$` taken off. */
static bool seg_part(Elab *e, const Seg *s, const char *name, Text *t) {
  Value *v = var_get(e, name);
  if (v && v->kind == VAL_INT && v->i >= 0) {
    text_printf(t, "%lld", (long long)v->i);
    return true;
  }
  if (v && v->kind == VAL_STR) {
    text_puts(t, v->s);
    return true;
  }
  if (!v || v->kind != VAL_NONE)
    elab_error(e, s->span, "'$%s': expected a string or an int of at least "
               "0, found %s", name,
               v ? value_describe(e->a, v) : "no such name");
  return false;
}

/* The name of a segment: what stands behind each `$` is replaced by its
 * value. */
static const char *seg_name(Elab *e, const Seg *s) {
  if (!strchr(s->name, '$'))
    return s->name;
  Text t = {0};
  const char *at = s->name;
  size_t n = strcspn(at, "$");
  bool ok = true;
  text_write(&t, at, n);
  for (at += n; ok && *at == '$'; at += n) {
    n = strcspn(++at, "$");
    ok = seg_part(e, s, arena_strndup(e->a, at, n), &t);
  }
  const char *name = ok ? arena_strdup(e->a, t.s) : NULL;
  text_free(&t);
  if (!name || name_is_valid(name))
    return name;
  elab_error(e, s->span, "'%s' gives '%s', which is no name", s->name, name);
  return NULL;
}

const char *elab_path(Elab *e, const Path *p) {
  Text t = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < p->segs.n; i++) {
    const Seg *s = &p->segs.at[i];
    const char *name = seg_name(e, s);
    if (!name) {
      ok = false;
      break;
    }
    text_printf(&t, "%s%s", i ? "." : "", name);
    if (s->index) {
      int64_t index = 0;
      ok = elab_int(e, s->index, &index);
      text_printf(&t, "[%lld]", (long long)index);
    }
  }
  const char *path = ok ? arena_strdup(e->a, t.s) : NULL;
  text_free(&t);
  return path;
}

static bool literal_fits(Elem to, const Value *v) {
  uint8_t room[8] = {0};
  if (v->kind == VAL_BOOL || to == B1) return v->kind == VAL_BOOL && to == B1;
  if (elem_is_float(to)) return true;
  if (v->kind != VAL_INT) return false;
  elem_store_int(to, room, 0, v->i);
  return elem_load_int(to, room, 0) == v->i;
}

/* One node for equal numbers, so that a dump, in which they stand as
 * literals, gives the graph it was printed from. */
Node *elab_const(Elab *e, Elem to, const Value *v, Span at) {
  Text t = {0};
  if (!literal_fits(to, v)) {
    elab_error(e, at, "expected a number of type %s, found %s",
               elem_name(to), value_describe(e->a, v));
    return NULL;
  }
  bool real = elem_is_float(to);
  text_puts(&t, elem_name(to));
  if (real)
    text_float(&t, value_number(v), false);
  else
    text_printf(&t, "%lld", (long long)v->i);
  Node *n = map_get(&e->consts, t.s);
  if (!n) {
    if (real) {
      n = func_const(e->m, e->f, value_number(v));
      n->type.elem = to;
    } else {
      n = func_const_int(e->m, e->f, to, v->i);
    }
    map_put(e->a, &e->consts, arena_strdup(e->a, t.s), n);
  }
  text_free(&t);
  return n;
}

/* ---- names ---------------------------------------------------------- */

static Value read_var(Elab *e, const Value *v) {
  if (v->kind == VAL_PARAM)
    return value_node(param_use(e, v->param));
  if (v->kind == VAL_STATE)
    return value_node(func_state(e->m, e->f, v->state));
  return *v;
}

static Value index_value(Elab *e, Value v, const Expr *index) {
  int64_t i;
  if (v.kind == VAL_NONE || !elab_int(e, index, &i))
    return none;
  int64_t n = value_len(&v);
  if (n < 0)
    return elab_error(e, index->span, "only a list can be indexed, found %s",
                      value_describe(e->a, &v));
  if (i < 0)
    i += n;
  if (i < 0 || i >= n)
    return elab_error(e, index->span,
                      "expected an index below %lld, found %lld",
                      (long long)n, (long long)(i < 0 ? i - n : i));
  return value_item(&v, i);
}

/* A param by its path: of this instance, or of the whole model. */
static LazyParam *find_param(Elab *e, const char *path) {
  LazyParam *p = NULL;
  if (e->frame)
    p = map_get(&e->params, path_join_scope(e->a, e->frame->scope, path));
  return p ? p : map_get(&e->params, path);
}

static Value unknown_name(Elab *e, const char *name, Span at) {
  const char *near = diags_full(e->d)
    ? NULL : map_nearest(e->a, &e->frame->vars, name);
  if (near)
    return elab_error(e, at, "'%s' is not defined, did you mean '%s'?", name,
                      near);
  return elab_error(e, at, "'%s' is not defined", name);
}

static Value eval_path(Elab *e, const Expr *x) {
  const Seg *first = &x->path->segs.at[0];
  Value *v = var_get(e, first->name);
  if (v && x->path->segs.n == 1)
    return first->index
      ? index_value(e, read_var(e, v), first->index)
      : read_var(e, v);
  const char *path = elab_path(e, x->path);
  if (!path)
    return none;
  /* A declared param of several segments lies among the names as well. */
  v = var_get(e, path);
  if (v)
    return read_var(e, v);
  LazyParam *p = find_param(e, path);
  if (p)
    return value_node(param_use(e, p));
  State *state = e->dump ? module_state(e->m, path) : NULL;
  if (state)
    return value_node(func_state(e->m, e->f, state));
  return unknown_name(e, path, x->span);
}

/* ---- operators ------------------------------------------------------- */

static Value eval_tensor_binary(Elab *e, const Expr *x, Value a, Value b) {
  static const Op ops[] = {
    [OPER_EQ] = OP_EQUAL, [OPER_NE] = OP_NOT_EQUAL,
    [OPER_LE] = OP_LESS_EQUAL, [OPER_GE] = OP_GREATER_EQUAL,
    [OPER_LT] = OP_LESS, [OPER_GT] = OP_GREATER,
    [OPER_ADD] = OP_ADD, [OPER_SUB] = OP_SUB, [OPER_MUL] = OP_MUL,
    [OPER_DIV] = OP_DIV, [OPER_MOD] = OP_FLOOR_MOD
  };
  bool orders = x->oper >= OPER_EQ && x->oper <= OPER_GT;
  const Node *t = a.kind == VAL_NODE ? a.node : b.node;
  Op op = ops[x->oper];
  if (x->oper == OPER_DIV && !elem_is_float(t->type.elem))
    op = OP_FLOOR_DIV;   /* as on integers known at compile time */
  if (!orders && (x->oper < OPER_ADD || x->oper > OPER_MOD))
    return elab_error(e, x->oper_span, "'%s' is not defined for tensors: "
                      "found %s and %s", oper_text(x->oper),
                      value_describe(e->a, &a), value_describe(e->a, &b));
  CallArgs args = {0};
  vec_push(e->a, &args, ((CallArg){{0}, a, x->sub.at[0]->span}));
  vec_push(e->a, &args, ((CallArg){{0}, b, x->sub.at[1]->span}));
  return elab_op(e, op, &args, x, x->oper_span);
}

/* && and || leave the right side alone when the left one decides. */
static Value eval_logic(Elab *e, const Expr *x) {
  for (int i = 0; i < 2; i++) {
    Value v = elab_expr(e, x->sub.at[i]);
    if (v.kind == VAL_NONE)
      return v;
    if (v.kind != VAL_BOOL)
      return elab_error(e, x->sub.at[i]->span,
                        "'%s' takes bools, found %s", oper_text(x->oper),
                        value_describe(e->a, &v));
    if ((v.i != 0) == (x->oper == OPER_OR))
      return v;
  }
  return value_bool(x->oper == OPER_AND);
}

static Value eval_binary(Elab *e, const Expr *x) {
  if (x->oper == OPER_AND || x->oper == OPER_OR)
    return eval_logic(e, x);
  Value a = elab_expr(e, x->sub.at[0]), b = elab_expr(e, x->sub.at[1]), r;
  if (a.kind == VAL_NONE || b.kind == VAL_NONE)
    return none;
  if (a.kind == VAL_NODE || b.kind == VAL_NODE)
    return eval_tensor_binary(e, x, a, b);
  const char *why = value_binary(e->a, x->oper, &a, &b, &r);
  if (!why)
    return r;
  return elab_error(e, x->oper_span, "'%s': %s, found %s and %s",
                    oper_text(x->oper), why, value_describe(e->a, &a),
                    value_describe(e->a, &b));
}

static Value eval_unary(Elab *e, const Expr *x) {
  Value a = elab_expr(e, x->sub.at[0]), r;
  if (a.kind == VAL_NONE)
    return a;
  if (a.kind == VAL_NODE && x->oper == OPER_NEG) {
    CallArgs args = {0};
    vec_push(e->a, &args, ((CallArg){{0}, a, x->sub.at[0]->span}));
    return elab_op(e, OP_NEG, &args, x, x->oper_span);
  }
  if (a.kind == VAL_NODE && a.node->type.elem == B1) {   /* !a */
    CallArgs args = {0};
    vec_push(e->a, &args, ((CallArg){{0}, a, x->sub.at[0]->span}));
    vec_push(e->a, &args, ((CallArg){{0}, value_bool(false), x->span}));
    return elab_op(e, OP_EQUAL, &args, x, x->oper_span);
  }
  const char *why = value_unary(e->a, x->oper, &a, &r);
  if (!why)
    return r;
  return elab_error(e, x->oper_span, "%s, found %s", why,
                    value_describe(e->a, &a));
}

static Value eval_if(Elab *e, const Expr *x) {
  Value c = elab_expr(e, x->sub.at[0]);
  if (c.kind == VAL_NONE)
    return c;
  if (c.kind != VAL_BOOL)
    return elab_error(e, x->sub.at[0]->span,
                      "'if' takes a bool known at compile time, found %s",
                      value_describe(e->a, &c));
  return elab_expr(e, x->sub.at[c.i ? 1 : 2]);
}

static Value eval_items(Elab *e, const Expr *x) {
  Value *at = arena_array(e->a, Value, x->sub.n + 1);
  bool ok = true;
  for (size_t i = 0; i < x->sub.n; i++) {
    at[i] = elab_expr(e, x->sub.at[i]);
    ok &= at[i].kind != VAL_NONE;
  }
  if (!ok)
    return none;
  Value v = value_list(x->kind == EXPR_LIST ? VAL_LIST : VAL_TUPLE, at,
                       x->sub.n);
  if (v.size > MAX_LIST)
    return elab_error(e, x->span, "this list has more than %d elements",
                      MAX_LIST);
  return v;
}

/* i32(3), b1(true): a literal of that type. */
static Value eval_typed(Elab *e, const Expr *x) {
  Value v = elab_expr(e, x->sub.at[0]);
  if (v.kind == VAL_NONE)
    return v;
  if (v.kind == VAL_NODE)
    return elab_error(e, x->span, "%s(...) makes a literal of a number; "
                      "cast(x, %s) converts a tensor", elem_name(x->elem),
                      elem_name(x->elem));
  if (!(op_info(OP_CONST)->elems >> x->elem & 1))
    return elab_error(e, x->span, "there are no literals of type %s",
                      elem_name(x->elem));
  Node *n = elab_const(e, x->elem, &v, x->sub.at[0]->span);
  return n ? value_node(n) : none;
}

static Value eval_pipe(Elab *e, const Expr *x) {
  Value left = elab_expr(e, x->sub.at[0]);
  return elab_call(e, x->sub.at[1], &left, x->sub.at[0]->span);
}

static Value eval_kind(Elab *e, const Expr *x) {
  switch (x->kind) {
  case EXPR_INT: return value_int(x->i);
  case EXPR_FLOAT: return value_float(x->f);
  case EXPR_BOOL: return value_bool(x->i != 0);
  case EXPR_STR: return (Value){.kind = VAL_STR, .s = x->s};
  case EXPR_TILE: return (Value){.kind = VAL_TILE, .i = x->i, .j = x->j};
  case EXPR_RATIO: return (Value){.kind = VAL_RATIO, .i = x->i, .j = x->j};
  case EXPR_ELEM: return (Value){.kind = VAL_ELEM, .i = x->elem};
  case EXPR_PATH: return eval_path(e, x);
  case EXPR_CALL: return elab_call(e, x, NULL, x->span);
  case EXPR_TYPED: return eval_typed(e, x);
  case EXPR_TUPLE: case EXPR_LIST: return eval_items(e, x);
  case EXPR_UNARY: return eval_unary(e, x);
  case EXPR_BINARY: return eval_binary(e, x);
  case EXPR_PIPE: return eval_pipe(e, x);
  case EXPR_IF: return eval_if(e, x);
  case EXPR_BAD: return none;
  }
  unreachable();
}

bool elab_charge(Elab *e, int64_t steps, Span at) {
  e->steps += steps;
  if (e->stop || e->steps < MAX_EVAL_STEPS)
    return !e->stop;
  e->stop = true;
  elab_error(e, at, "this model takes too many steps to elaborate");
  return false;
}

bool elab_path_fits(Elab *e, const char *path, Span at) {
  if (e->stop || strlen(path) <= MAX_PATH_TEXT)
    return !e->stop;
  e->stop = true;
  elab_error(e, at, "the path of a layer gets longer than %d letters here: "
             "does a block call itself?", MAX_PATH_TEXT);
  return false;
}

bool elab_deeper(Elab *e, Span at) {
  if (e->depth < MAX_EVAL_DEPTH) {
    e->depth++;
    return true;
  }
  e->stop = true;
  elab_error(e, at, "blocks and expressions nest too deeply here: does a "
             "block call itself?");
  return false;
}

/* A list costs what handling all of it may. */
Value elab_expr(Elab *e, const Expr *x) {
  if (!elab_charge(e, 1, x->span) || !elab_deeper(e, x->span))
    return none;
  Value v = eval_kind(e, x);
  e->depth--;
  if (v.size && !elab_charge(e, (int64_t)v.size, x->span))
    return none;
  return v;
}
