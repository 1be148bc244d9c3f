/* elab_op.c - ops called by name or by operator: operands first, then
 * attributes in the order of ops.def, each of them by name as well. */
#include "frontend/elab.h"

#include <ctype.h>
#include <string.h>

static const Value none = {.kind = VAL_NONE};

/* An op call that is being put together. */
typedef struct OpCall {
  Op op;
  const OpInfo *info;
  Vec(Node *) in;
  Vec(const CallArg *) literal;   /* by operand: a number in its place */
  int nattrs;            /* given by position */
  Attr attr[MAX_ATTRS];
  bool given[MAX_ATTRS];
  const char *kernel;
  int tile[2];
} OpCall;

static bool operand_error(Elab *e, const OpCall *c, int slot,
                          const CallArg *arg) {
  elab_error(e, arg->span, "%s: operand '%s': expected a tensor, found %s",
             c->info->name, c->info->operand[slot],
             value_describe(e->a, &arg->v));
  return false;
}

static bool is_operand(const Value *v) {
  return v->kind == VAL_NODE || value_is_literal(v);
}

/* Operand number k, the next one or one whose place is free; what a literal
 * becomes depends on the others. */
static void operand_give(Elab *e, OpCall *c, int k, const CallArg *arg) {
  while (c->in.n <= (size_t)k) {
    vec_push(e->a, &c->in, NULL);
    vec_push(e->a, &c->literal, NULL);
  }
  if (arg->v.kind == VAL_NODE)
    c->in.at[k] = arg->v.node;
  else
    c->literal.at[k] = arg;
}

static bool operand_given(const OpCall *c, int k) {
  return c->in.n > (size_t)k && (c->in.at[k] || c->literal.at[k]);
}

/* The type of a literal among the operands: that of the tensors of class T,
 * an index's or b1 where the op wants one. */
static Elem literal_elem(const OpCall *c, int k) {
  const Value *v = &c->literal.at[k]->v;
  bool wide = v->kind == VAL_INT && (v->i > INT32_MAX || v->i < INT32_MIN);
  if (op_class(c->info, k) == 'b')
    return B1;
  if (op_class(c->info, k) != 'T')
    return op_class(c->info, k) == 'i' ? wide ? I64 : I32
           : op_class(c->info, k) == 'k' ? I32 : F32;
  for (size_t i = 0; i < c->in.n; i++)
    if (c->in.at[i] && op_class(c->info, (int)i) == 'T')
      return c->in.at[i]->type.elem;
  return v->kind == VAL_BOOL ? B1 : F32;
}

static bool literals_place(Elab *e, OpCall *c) {
  Elem *to = arena_array(e->a, Elem, c->in.n + 1);
  for (size_t k = 0; k < c->in.n; k++)
    if (c->literal.at[k])
      to[k] = literal_elem(c, (int)k);
  for (size_t k = 0; k < c->in.n; k++) {
    const CallArg *arg = c->literal.at[k];
    if (!arg)
      continue;
    c->in.at[k] = elab_const(e, to[k], &arg->v, arg->span);
    if (!c->in.at[k])
      return false;
  }
  return true;
}

/* ---- attributes ------------------------------------------------------ */

static const char *attr_kind_text(AttrKind k) {
  static const char *const text[] = {
    "an int", "a list of ints", "a number", "a string", "true or false",
    "an element type"
  };
  return text[k];
}

static bool attr_convert(Elab *e, AttrKind kind, const Value *v, Attr *out) {
  out->kind = kind;
  out->set = true;
  switch (kind) {
  case ATTR_INT: out->i = v->i; return v->kind == VAL_INT;
  case ATTR_BOOL: out->i = v->i; return v->kind == VAL_BOOL;
  case ATTR_STR: out->s = v->s; return v->kind == VAL_STR;
  case ATTR_ELEM: out->i = v->i; return v->kind == VAL_ELEM;
  case ATTR_INTS: return value_ints(e->a, v, &out->ints, &out->n);
  case ATTR_FLOAT:
    out->f = value_is_number(v) ? value_number(v) : 0.0;
    return value_is_number(v);
  }
  unreachable();
}

static bool attr_give(Elab *e, OpCall *c, int i, const CallArg *arg) {
  const char *name = c->info->attr[i];
  if (c->given[i]) {
    elab_error(e, arg->span, "%s: '%s' is given twice", c->info->name, name);
    return false;
  }
  c->given[i] = true;
  AttrKind kind = c->info->def[i].kind;
  if (attr_convert(e, kind, &arg->v, &c->attr[i]))
    return true;
  elab_error(e, arg->span, "%s: '%s': expected %s, found %s", c->info->name,
             name, attr_kind_text(kind), value_describe(e->a, &arg->v));
  return false;
}

/* kernel= and tile=, which only a dump has. */
static bool kernel_give(Elab *e, OpCall *c, const CallArg *arg) {
  const Value *v = &arg->v;
  const int64_t *tile;
  int n;
  if (!strcmp(arg->name.s, "kernel")) {
    if (v->kind == VAL_STR && kernel_info(v->s)) {
      c->kernel = v->s;
      return true;
    }
    elab_error(e, arg->span, "no kernel is called %s",
               value_describe(e->a, v));
    return false;
  }
  if (value_ints(e->a, v, &tile, &n) && n == 2 && tile[0] >= 0 &&
      tile[1] >= 0 && tile[0] <= 1024 && tile[1] <= 1024) {
    c->tile[0] = (int)tile[0];
    c->tile[1] = (int)tile[1];
    return true;
  }
  elab_error(e, arg->span, "expected tile=[rows,vectors], found %s",
             value_describe(e->a, v));
  return false;
}

static bool unknown_name(Elab *e, const OpCall *c, const CallArg *arg) {
  const char *names[MAX_OPERANDS + MAX_ATTRS];
  size_t n = 0;
  for (int i = 0; i < c->info->noperands; i++)
    names[n++] = c->info->operand[i];
  for (int i = 0; i < c->info->nattrs; i++)
    names[n++] = c->info->attr[i];
  const char *near = nearest_name(arg->name.s, names, n);
  elab_error(e, arg->name.span, "%s has no argument '%s'%s%s%s",
             c->info->name, arg->name.s, near ? ", did you mean '" : "",
             near ? near : "", near ? "'?" : "");
  return false;
}

/* ---- sorting arguments ----------------------------------------------- */

static bool give_named(Elab *e, OpCall *c, const CallArg *arg) {
  int i = attr_index(c->op, arg->name.s);
  if (i >= 0)
    return attr_give(e, c, i, arg);
  for (int k = 0; k < c->info->noperands; k++) {
    if (strcmp(c->info->operand[k], arg->name.s))
      continue;
    if (operand_given(c, k)) {
      elab_error(e, arg->span, "%s: '%s' is given twice", c->info->name,
                 arg->name.s);
      return false;
    }
    if (!is_operand(&arg->v))
      return operand_error(e, c, k, arg);
    operand_give(e, c, k, arg);
    return true;
  }
  if (e->dump && (!strcmp(arg->name.s, "kernel") ||
                  !strcmp(arg->name.s, "tile")))
    return kernel_give(e, c, arg);
  return unknown_name(e, c, arg);
}

static bool give_variadic(Elab *e, OpCall *c, const CallArg *arg) {
  int64_t n = value_len(&arg->v);
  for (int64_t i = 0; i < n; i++) {
    CallArg *item = arena_new_of(e->a, CallArg);
    *item = (CallArg){{0}, value_item(&arg->v, i), arg->span};
    if (item->v.kind != VAL_NODE)
      return operand_error(e, c, c->info->noperands - 1, arg);
    operand_give(e, c, (int)c->in.n, item);
  }
  if (n < 0)
    operand_give(e, c, (int)c->in.n, arg);
  return true;
}

static bool holds_nodes(const Value *v) {
  if (v->kind != VAL_LIST && v->kind != VAL_TUPLE)
    return v->kind == VAL_NODE;
  return v->n > 0 && v->at[0].kind == VAL_NODE;
}

/* Among operands of any number a literal is one where it cannot be the first
 * attribute. */
static bool joins_variadic(const OpCall *c, const Value *v) {
  return holds_nodes(v) ||
         (value_is_literal(v) && c->info->def[0].kind == ATTR_STR);
}

static bool give_positional(Elab *e, OpCall *c, const CallArg *arg) {
  const OpInfo *info = c->info;
  int slot = (int)c->in.n;
  bool tensor = arg->v.kind == VAL_NODE;
  if (c->nattrs == 0 && info->variadic && slot >= info->noperands - 1 &&
      joins_variadic(c, &arg->v))
    return give_variadic(e, c, arg);
  if (c->nattrs == 0 && slot < info->nrequired) {
    if (!is_operand(&arg->v))
      return operand_error(e, c, slot, arg);
    operand_give(e, c, slot, arg);
    return true;
  }
  if (c->nattrs == 0 && tensor && slot < info->noperands) {
    operand_give(e, c, slot, arg);
    return true;
  }
  if (c->nattrs < info->nattrs)
    return attr_give(e, c, c->nattrs++, arg);
  elab_error(e, arg->span, "%s: one argument too many, found %s",
             info->name, value_describe(e->a, &arg->v));
  return false;
}

static bool call_complete(Elab *e, const OpCall *c, Span at) {
  bool ok = true;
  for (int i = 0; i < c->info->nrequired; i++)
    if (!operand_given(c, i)) {
      elab_error(e, at, "%s needs an operand '%s'", c->info->name,
                 c->info->operand[i]);
      ok = false;
    }
  for (int i = 0; i < c->info->nattrs; i++)
    if (!c->given[i] && !c->info->def[i].set) {
      elab_error(e, at, "%s needs an argument '%s'", c->info->name,
                 c->info->attr[i]);
      ok = false;
    }
  return ok;
}

/* ---- the node -------------------------------------------------------- */

static const SourceLines *lines_of(Elab *e, const Source *s) {
  for (size_t i = 0; i < e->lines.n; i++)
    if (e->lines.at[i]->src == s)
      return e->lines.at[i];
  SourceLines *l = lines_new(e->a, s);
  vec_push(e->a, &e->lines, l);
  return l;
}

static void node_place(Elab *e, Node *n, Span at) {
  Place *p = arena_new_of(e->a, Place);
  n->span = elab_user_span(e, at);
  if (e->dump || !n->span.src)
    return;
  p->file = n->span.src->name;
  lines_find(lines_of(e, n->span.src), n->span.begin, &p->line, &p->col);
  n->from = p;
  n->nfrom = 1;
}

/* An op that uses a param of this very instance, or stands in the prelude,
 * is the layer; any other is a part of it, named after the op. */
static const char *node_path(Elab *e, const Node *n, const Expr *call) {
  const Frame *f = e->frame;
  if (call->kind == EXPR_CALL && call->as) {
    const char *as = elab_path(e, call->as);
    return as ? path_join_scope(e->a, f->scope, as) : NULL;
  }
  if (e->dump)
    return NULL;
  bool own = f->file->prelude;
  size_t len = strlen(f->scope);
  for (int i = 0; i < n->nin && !own; i++) {
    const Node *x = n->in[i];
    const char *p = x && x->op == OP_PARAM ? x->param->path : "";
    own = len && !strncmp(p, f->scope, len) && p[len] == '.' &&
          !strchr(p + len + 1, '.');
  }
  if (own && *f->scope)
    return f->scope;
  /* A path has no keyword in it. */
  const char *name = n->op == OP_WHERE ? "where_" : op_info(n->op)->name;
  return path_join_scope(e->a, f->scope, name);
}

static bool mentions(const char *msg, const char *name) {
  size_t n = strlen(name);
  for (const char *s = strstr(msg, name); s; s = strstr(s + 1, name)) {
    bool left = s == msg || !(isalnum((unsigned char)s[-1]) || s[-1] == '_');
    bool right = !(isalnum((unsigned char)s[n]) || s[n] == '_');
    if (left && right)
      return true;
  }
  return false;
}

/* Underline the arguments of the user's call that the message names. */
static void blame_args(Elab *e, const Expr *call) {
  const Frame *f = e->frame;
  for (; f->up && f->file->prelude; f = f->up)
    call = f->call_expr;
  if (call->kind != EXPR_CALL)
    return;
  for (size_t i = 0; i < call->args.n; i++) {
    const Arg *arg = &call->args.at[i];
    if (arg->name.s && mentions(diags_last(e->d), arg->name.s))
      diag_also(e->d, arg->span);
  }
}

/* Infer the type; an error is said once a place, so that a faulty layer in
 * a loop does not repeat itself. */
static bool node_typed(Elab *e, Node *n, const Expr *call) {
  if (diags_errors(e->d) != e->base) {
    Diags *quiet = diags_new();
    bool ok = node_infer(e->m, n, quiet);
    diags_free(quiet);
    if (ok)
      return true;
    if (elab_said(e, n->span))
      return false;
    node_infer(e->m, n, e->d);
  } else {
    if (node_infer(e->m, n, e->d))
      return true;
    elab_said(e, n->span);
  }
  blame_args(e, call);
  elab_chain(e);
  return false;
}

/* Whether a kernel computes an op: its row names the op, or its name says
 * which group of ops it is for. */
static bool kernel_takes(const KernelInfo *k, Op op) {
  static const struct { const char *name; uint32_t flag; } groups[] = {
    {"unary", FLAG_UNARY}, {"binary", FLAG_BINARY}, {"reduce", FLAG_REDUCE}
  };
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
    if (!strcmp(k->name, groups[i].name))
      return op_info(op)->flags & groups[i].flag;
  return !*k->ops || mentions(k->ops, op_info(op)->name);
}

static bool node_kernel(Elab *e, Node *n, const OpCall *c, Span at) {
  n->kernel = c->kernel ? kernel_info(c->kernel)->name : NULL;
  n->tile[0] = c->tile[0];
  n->tile[1] = c->tile[1];
  if (!c->kernel || kernel_takes(kernel_info(c->kernel), n->op))
    return true;
  elab_error(e, at, "kernel \"%s\" does not compute %s", c->kernel,
             c->info->name);
  return false;
}

bool elab_node_finish(Elab *e, Node *n, const Expr *call, Span at) {
  node_place(e, n, at);
  n->path = node_path(e, n, call);
  return node_typed(e, n, call);
}

Value elab_op(Elab *e, Op op, const CallArgs *args, const Expr *call,
              Span at) {
  OpCall c = {.op = op, .info = op_info(op)};
  bool ok = true;
  for (size_t i = 0; i < args->n; i++)
    ok &= args->at[i].name.s ? give_named(e, &c, &args->at[i])
                             : give_positional(e, &c, &args->at[i]);
  if (!ok || !call_complete(e, &c, at) || !literals_place(e, &c))
    return none;
  Node *n = func_add(e->m, e->f, op, c.in.at, (int)c.in.n);
  for (int i = 0; i < c.info->nattrs; i++)
    if (c.given[i])
      n->attr[i] = c.attr[i];
  if ((op == OP_CALL || op == OP_SCAN) &&
      !func_ready(e, attr_str(n, "callee")))
    return none;
  if (!elab_node_finish(e, n, call, at) || !node_kernel(e, n, &c, at))
    return none;
  return value_node(n);
}
