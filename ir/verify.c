/* verify.c - what holds between any two passes.  A fault found here is ours,
 * so the first one is described and that is all. */
#include "ir/names.h"

#include <stdlib.h>
#include <string.h>

typedef struct Check {
  Module *m;
  Func *f;
  const Node *n;
  Text *why;
} Check;

static bool fault(Check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool fault(Check *c, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(c->why, fmt, ap);
  va_end(ap);
  if (c->n) {
    text_printf(c->why, " (node %u", c->n->id);
    if (c->n->name) text_printf(c->why, " '%s'", c->n->name);
    text_printf(c->why, ", %s", op_info(c->n->op)->name);
    if (c->n->path) text_printf(c->why, " as %s", c->n->path);
    text_putc(c->why, ')');
  }
  return false;
}

/* ---- nodes ---------------------------------------------------------- */

/* A call's own value: bytes that are none outside of it. */
static bool is_workspace(const Check *c, const Node *n) {
  return node_callee(c->m, n) != NULL;
}

/* Arity, and operands before their users. */
static bool operands_verify(Check *c) {
  const Node *n = c->n;
  const OpInfo *info = op_info(n->op);
  if (n->nin < info->noperands || (n->nin > info->noperands &&
                                   !info->variadic))
    return fault(c, "%d operand slots, expected %d", n->nin,
                 info->noperands);
  for (int i = 0; i < n->nin; i++) {
    const Node *x = n->in[i];
    if (!x && (i < info->nrequired || info->variadic))
      return fault(c, "operand %d is missing", i);
    if (!x) continue;
    if (x->id >= c->f->nodes.n || c->f->nodes.at[x->id] != x)
      return fault(c, "operand %d is no node of the function", i);
    if (x->id >= n->id)
      return fault(c, "operand %d stands behind its user", i);
    if (is_workspace(c, x) && n->op != OP_ITEM)
      return fault(c, "operand %d is a workspace, which items alone read", i);
    if (x->type.stored && !node_reads_weight(n, i))
      return fault(c, "operand %d is stored as %s, which weights alone are",
                   i, elem_name(x->type.stored));
  }
  return true;
}

static bool attrs_verify(Check *c) {
  const OpInfo *info = op_info(c->n->op);
  for (int i = 0; i < info->nattrs; i++) {
    const Attr *a = &c->n->attr[i];
    if (a->kind != info->def[i].kind || !a->set)
      return fault(c, "attribute %s is not set to its kind", info->attr[i]);
    if (a->kind == ATTR_INTS && a->n && !a->ints)
      return fault(c, "attribute %s has no list", info->attr[i]);
    if (a->kind == ATTR_STR && !a->s)
      return fault(c, "attribute %s has no string", info->attr[i]);
  }
  return true;
}

/* Infer a copy of the node and compare. */
static bool type_verify(Check *c) {
  Node copy = *c->n;
  Diags *d = diags_new();
  bool ok = node_infer(c->m, &copy, d);
  if (!ok) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    ensure(f);
    diags_print(d, f, false);
    fclose(f);
    while (size && text[size - 1] == '\n') text[--size] = 0;
    fault(c, "%s", text);
    free(text);
  }
  diags_free(d);
  if (!ok) return false;
  if (copy.type.elem == c->n->type.elem &&
      type_same_shape(&copy.type, &c->n->type))
    return true;
  Text found = {0}, want = {0};
  type_print(&found, &c->n->type);
  type_print(&want, &copy.type);
  fault(c, "type is %s, inference gives %s", found.s, want.s);
  text_free(&found);
  text_free(&want);
  return false;
}

static bool layout_verify(Check *c) {
  const Type *t = &c->n->type;
  Text why = {0};
  bool ok = true;
  if (t->layout && !layout_check(t->layout, t, &why))
    ok = fault(c, "%s", why.s);
  text_free(&why);
  if (!ok) return false;
  if (t->layout && (c->n->op == OP_INPUT || c->n->op == OP_STATE))
    return fault(c, "a layout on what is not computed");
  return true;
}

static bool encoding_verify(Check *c) {
  const Type *t = &c->n->type;
  int64_t bytes = type_bytes(t);
  if (bytes < 0 || t->at > INT64_MAX / 2 - bytes)
    return fault(c, "the value or its offset is larger than any memory");
  if (t->sparse && c->n->op != OP_PARAM)
    return fault(c, "a sparse encoding on a value that is no param");
  if (t->stored && c->n->op != OP_PARAM)
    return fault(c, "stored=%s on a value that is no param",
                 elem_name(t->stored));
  if (t->at < -1)
    return fault(c, "arena offset %lld", (long long)t->at);
  if (t->at >= 0 && c->m->dump.arena_bytes > 0 &&
      c->f == c->m->funcs.at[0] && bytes > c->m->dump.arena_bytes - t->at)
    return fault(c, "at=%lld and %lld bytes lie outside the arena of %lld",
                 (long long)t->at, (long long)bytes,
                 (long long)c->m->dump.arena_bytes);
  return true;
}

/* Whether a name is among those of a list with blanks between. */
static bool list_has(const char *list, const char *name) {
  size_t n = strlen(name);
  for (const char *s = list; (s = strstr(s, name)) != NULL; s += n)
    if ((s == list || s[-1] == ' ') && (s[n] == ' ' || s[n] == 0))
      return true;
  return false;
}

static bool kernel_verify(Check *c) {
  const Node *n = c->n;
  if (n->tile[0] < 0 || n->tile[1] < 0)
    return fault(c, "tile [%d,%d]", n->tile[0], n->tile[1]);
  if (!n->kernel) return true;
  const KernelInfo *k = kernel_info(n->kernel);
  if (!k) return fault(c, "no kernel is named '%s'", n->kernel);
  if (*k->ops && !list_has(k->ops, op_info(n->op)->name))
    return fault(c, "kernel %s does not compute this op", k->name);
  if (node_is_alias(n) && !alias_lies(n))
    return fault(c, "alias, but it is no reshape or slice that lies as "
                 "its operand does, nor a concat that its operands lie in");
  return true;
}

static bool node_verify(Check *c) {
  const Node *n = c->n;
  if (n->op == OP_PARAM && !n->param) return fault(c, "no param");
  if (n->op != OP_PARAM && n->param) return fault(c, "a param");
  if (!n->state != (n->op != OP_STATE)) return fault(c, "a state, or none");
  if (n->op == OP_PARAM && !type_equal(&n->type, &n->param->type))
    return fault(c, "type is not that of param %s", n->param->path);
  if (n->path && !path_is_valid(n->path))
    return fault(c, "'%s' is no path", n->path);
  return operands_verify(c) && attrs_verify(c) && type_verify(c) &&
         layout_verify(c) && encoding_verify(c) && kernel_verify(c);
}

/* ---- functions and params ------------------------------------------- */

static bool output_verify(Check *c, size_t i) {
  const Func *f = c->f;
  const Output *o = &f->outputs.at[i];
  if (!o->node || o->node->id >= f->nodes.n ||
      f->nodes.at[o->node->id] != o->node)
    return fault(c, "output %s is no node of the function", o->name);
  if (is_workspace(c, o->node))
    return fault(c, "output %s is a workspace", o->name);
  if (o->node->type.layout)
    return fault(c, "output %s has a layout", o->name);
  if (o->node->type.stored)
    return fault(c, "output %s is a param stored as %s", o->name,
                 elem_name(o->node->type.stored));
  if (!o->name || !name_is_valid(o->name))
    return fault(c, "output %zu has no valid name", i);
  return true;
}

static bool outputs_verify(Check *c) {
  const Func *f = c->f;
  Arena *a = arena_new();
  Map seen = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < f->outputs.n; i++) {
    const Output *o = &f->outputs.at[i];
    ok = output_verify(c, i);
    if (ok && map_get(&seen, o->name))
      ok = fault(c, "two outputs are named %s", o->name);
    if (ok) map_put(a, &seen, o->name, o->node);
  }
  arena_free(a);
  if (!ok || f->outputs.n) return ok;
  return fault(c, "function %s has no output", f->name);
}

/* A name stands for one thing where it is used: a function other than the
 * model may have an input called like a param that it does not use. */
static bool input_is_leaf(const Check *c, const char *name) {
  if (c->f == c->m->funcs.at[0])
    return module_param(c->m, name) || module_state(c->m, name);
  return map_get(&c->f->param_node, name) || map_get(&c->f->state_node, name);
}

static bool input_verify(Check *c, size_t i) {
  if (c->n->op != OP_INPUT) return fault(c, "input %zu is none", i);
  if (!c->n->name || !name_is_valid(c->n->name))
    return fault(c, "input %zu has no valid name", i);
  if (c->n->id >= c->f->nodes.n || c->f->nodes.at[c->n->id] != c->n)
    return fault(c, "input %zu is no node of the function", i);
  if (input_is_leaf(c, c->n->name))
    return fault(c, "input %s is named like a param or a state", c->n->name);
  return true;
}

static bool inputs_verify(Check *c) {
  Arena *a = arena_new();
  Map seen = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < c->f->inputs.n; i++) {
    Node *n = c->f->inputs.at[i];
    c->n = n;
    ok = input_verify(c, i);
    if (ok && map_get(&seen, n->name))
      ok = fault(c, "two inputs are named %s", n->name);
    if (ok) map_put(a, &seen, n->name, n);
  }
  arena_free(a);
  c->n = NULL;
  return ok;
}

/* One PARAM node a param, one INPUT node an input. */
static bool leaves_verify(Check *c) {
  size_t inputs = 0;
  Arena *a = arena_new();
  bool *seen = arena_array(a, bool, c->m->params.n);
  bool ok = true;
  for (size_t i = 0; ok && i < c->f->nodes.n; i++) {
    c->n = c->f->nodes.at[i];
    inputs += c->n->op == OP_INPUT;
    if (c->n->op != OP_PARAM || !c->n->param) continue;
    const Param *p = c->n->param;
    if (p->order >= c->m->params.n || c->m->params.at[p->order] != p)
      ok = fault(c, "param %s is not of the module", p->path);
    else if (seen[p->order])
      ok = fault(c, "param %s has two nodes", p->path);
    else if (func_param_node(c->f, p) != c->n)
      ok = fault(c, "param %s is not in the index of nodes", p->path);
    else
      seen[p->order] = true;
  }
  arena_free(a);
  c->n = NULL;
  if (ok && inputs != c->f->inputs.n)
    return fault(c, "%zu input nodes, expected %zu", inputs,
                 c->f->inputs.n);
  return ok;
}

/* A result of a call is written to one place. */
static bool items_verify(Check *c) {
  for (size_t i = 0; i < c->f->nodes.n; i++) {
    c->n = c->f->nodes.at[i];
    if (c->n->op != OP_ITEM) continue;
    for (size_t k = i; k-- > c->n->in[0]->id;) {
      const Node *x = c->f->nodes.at[k];
      if (x->op == OP_ITEM && x->in[0] == c->n->in[0] &&
          attr_int(x, "index") == attr_int(c->n, "index"))
        return fault(c, "result %lld is taken twice",
                     (long long)attr_int(x, "index"));
    }
  }
  c->n = NULL;
  return true;
}

static bool has_kernels(const Func *f) {
  for (size_t i = 0; i < f->nodes.n; i++)
    if (f->nodes.at[i]->kernel) return true;
  return false;
}

/* What n lies in: a view is where its operand is. */
static const Node *view_root(const Node *n) {
  while (node_is_alias(n)) n = n->in[0];
  return n;
}

static bool next_verify(Check *c, const Next *x) {
  const Func *f = c->f;
  if (!x->node || x->node->id >= f->nodes.n ||
      f->nodes.at[x->node->id] != x->node)
    return fault(c, "next of %s is no node of the function",
                 x->state->path);
  if (is_workspace(c, x->node))
    return fault(c, "next of %s is a workspace", x->state->path);
  if (x->node->type.stored)
    return fault(c, "next of %s is a param stored as %s", x->state->path,
                 elem_name(x->node->type.stored));
  if (x->node->type.elem != x->state->type.elem ||
      !type_same_shape(&x->node->type, &x->state->type))
    return fault(c, "next of %s has another type", x->state->path);
  const Node *root = view_root(x->node);
  if (root->op == OP_STATE && root->state != x->state && has_kernels(f))
    return fault(c, "next of %s lies in the state %s, which changes",
                 x->state->path, root->state->path);
  return true;
}

static bool nexts_verify(Check *c) {
  const Func *f = c->f;
  Arena *a = arena_new();
  bool *seen = arena_array(a, bool, c->m->states.n);
  bool ok = true;
  for (size_t i = 0; ok && i < f->nexts.n; i++) {
    const State *s = f->nexts.at[i].state;
    ok = next_verify(c, &f->nexts.at[i]);
    if (ok && seen[s->order])
      ok = fault(c, "state %s has two nexts", s->path);
    seen[s->order] = true;
  }
  arena_free(a);
  return ok;
}

/* Calls lead to functions without nexts, and never in a ring. */
enum { FUNC_NEW, FUNC_OPEN, FUNC_DONE };

static bool calls_verify(Check *c, size_t at, uint8_t *seen) {
  const Func *f = c->m->funcs.at[at];
  if (seen[at] == FUNC_DONE) return true;
  if (seen[at] == FUNC_OPEN)
    return fault(c, "function %s calls itself", f->name);
  seen[at] = FUNC_OPEN;
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Func *to = node_callee(c->m, f->nodes.at[i]);
    if (!to) continue;
    if (to->nexts.n)
      return fault(c, "function %s is called and sets states", to->name);
    if (!calls_verify(c, func_index(c->m, to), seen)) return false;
  }
  seen[at] = FUNC_DONE;
  return true;
}

static bool all_calls_verify(Check *c) {
  size_t n = c->m->funcs.n;
  Arena *a = arena_new();
  uint8_t *seen = arena_array(a, uint8_t, n);
  bool ok = true;
  for (size_t i = 0; ok && i < n; i++) ok = calls_verify(c, i, seen);
  arena_free(a);
  return ok;
}

static bool func_verify(Check *c) {
  Func *f = c->f;
  c->n = NULL;
  for (size_t i = 0; i < f->nodes.n; i++)
    if (f->nodes.at[i]->id != i)
      return fault(c, "node %zu of %s has id %u: call func_tidy", i, f->name,
                   f->nodes.at[i]->id);
  if (!inputs_verify(c) || !outputs_verify(c) || !leaves_verify(c))
    return false;
  for (size_t i = 0; i < f->nodes.n; i++) {
    c->n = f->nodes.at[i];
    if (!node_verify(c)) return false;
  }
  c->n = NULL;
  if (!nexts_verify(c) || !items_verify(c)) return false;
  return c->m->dump.arena_bytes == 0 || arena_verify(f, c->why);
}

/* A type to be stored as that holds the values. */
static bool stored_verify(Check *c, const Param *p) {
  Text why = {0};
  bool ok = !p->type.stored || param_stored_check(p, &why);
  if (!ok) fault(c, "param %s: %s", p->path, why.s);
  text_free(&why);
  return ok;
}

static bool param_verify(Check *c, const Param *p) {
  int64_t n = type_elems(&p->type);
  if (!path_is_valid(p->path))
    return fault(c, "'%s' is no path of a param", p->path);
  if (n < 0) return fault(c, "param %s has no fixed size", p->path);
  if (p->type.layout && p->type.sparse)
    return fault(c, "param %s has a layout and a sparse format", p->path);
  if (!p->type.sparse) {
    size_t want = (size_t)n * elem_size(p->type.elem);
    if (p->values || p->index)
      return fault(c, "dense param %s has packed values", p->path);
    if (p->data && p->data->size != want)
      return fault(c, "param %s has %zu bytes of data, expected %zu", p->path,
                   p->data->size, want);
    return stored_verify(c, p);
  }
  if (p->data) return fault(c, "packed param %s has dense data", p->path);
  if (!p->values != !p->index)
    return fault(c, "param %s has only one of values and index", p->path);
  Text why = {0};
  bool ok = !p->values || sparse_check(p, &why);
  if (!ok) fault(c, "param %s: %s", p->path, why.s);
  text_free(&why);
  return ok && stored_verify(c, p);
}

/* Each path stands once, states' included, and module_param finds it. */
static bool params_verify(Check *c) {
  Module *m = c->m;
  Arena *a = arena_new();
  Map seen = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < m->params.n; i++) {
    Param *p = m->params.at[i];
    p->order = (uint32_t)i;
    ok = param_verify(c, p);
    if (ok && map_get(&seen, p->path))
      ok = fault(c, "two params have the path %s", p->path);
    else if (ok && module_param(m, p->path) != p)
      ok = fault(c, "param %s is not in the index of paths", p->path);
    map_put(a, &seen, p->path, p);
  }
  for (size_t i = 0; ok && i < m->states.n; i++)
    if (module_param(m, m->states.at[i]->path))
      ok = fault(c, "a param and a state have the path %s",
                 m->states.at[i]->path);
  arena_free(a);
  return ok;
}

bool module_verify(Module *m, Text *why) {
  Check c = {.m = m, .why = why};
  if (m->funcs.n == 0) return fault(&c, "the module has no function");
  if (!params_verify(&c)) return false;
  for (size_t i = 0; i < m->funcs.n; i++) {
    c.f = m->funcs.at[i];
    if (module_func(m, c.f->name) != c.f)
      return fault(&c, "two functions are called %s", c.f->name);
    if (!func_verify(&c)) return false;
  }
  return all_calls_verify(&c);
}
