/* onnx_graph.c - the nodes of an ONNX graph in order: names of values, what
 * is needed of them, the writer of each, functions of the model and
 * subgraphs. */
#include "frontend/foreign_name.h"
#include "frontend/onnx.h"

#include <ctype.h>
#include <string.h>

/* ---- names ---------------------------------------------------------- */

enum { NAME_MOST = 160 };

/* Append [s, s+n) as a name, or as the index of the name before it. */
static void segment_write(Text *out, const char *s, size_t n, bool *indexed) {
  bool digits = n > 0 && n < 7 && (n == 1 || *s != '0');
  for (size_t i = 0; digits && i < n; i++)
    digits = isdigit((unsigned char)s[i]);
  if (digits && out->n && !*indexed) {
    text_printf(out, "[%.*s]", (int)n, s);
    *indexed = true;
    return;
  }
  if (out->n)
    text_putc(out, '.');
  foreign_name_write(out, s, n);
  *indexed = false;
}

/* "/encoder/layer.0/query/MatMul" becomes encoder.layer[0].query.MatMul. */
static const char *path_of(Arena *a, const char *name) {
  size_t len = strlen(name);
  Text out = {0};
  bool indexed = false;
  if (len > NAME_MOST) {
    name += len - NAME_MOST;
    len = NAME_MOST;
  }
  for (size_t i = 0; i < len;) {
    size_t n = 0;
    while (i + n < len && name[i + n] != '/' && name[i + n] != '.')
      n++;
    if (n)
      segment_write(&out, name + i, n, &indexed);
    i += n + 1;
  }
  const char *s = out.n ? arena_strdup(a, out.s) : "_";
  text_free(&out);
  return s;
}

static const char *scoped(Ox *o, const char *name) {
  return arena_printf(o->a, "%s%s", o->scope ? o->scope->prefix : "",
                      path_of(o->a, name));
}

const char *ox_path(Ox *o, const char *name) {
  return module_fresh_path(o->m, scoped(o, name));
}

/* ---- values --------------------------------------------------------- */

OxValue *ox_value(Ox *o, const char *name) {
  for (OxScope *s = o->scope; s; s = s->up) {
    OxValue *v = map_get(&s->values, name);
    if (v)
      return v;
  }
  return NULL;
}

OxValue *ox_value_new(Ox *o, const char *name, int type, Node *n) {
  OxValue *v = arena_new_of(o->a, OxValue);
  *v = (OxValue){.name = name, .type = type, .node = n, .f = o->f};
  map_put(o->a, &o->scope->values, name, v);
  return v;
}

/* A value of the graph around a body, as the body's input. */
static Node *body_take(Ox *o, OxBody *b, Node *outer) {
  for (size_t i = 0; i < b->outer.n; i++)
    if (b->outer.at[i] == outer)
      return b->inner.at[i];
  const char *name = module_fresh_path(o->m, "around");
  Node *in = func_input(o->m, o->f, name,
                        type_make(outer->type.elem, outer->type.rank,
                                  outer->type.dim));
  vec_push(o->a, &b->outer, outer);
  vec_push(o->a, &b->inner, in);
  return in;
}

/* n, which is of `from`, in the function of body b. */
static Node *node_bring(Ox *o, OxBody *b, Func *f, Node *n, Func *from) {
  if (f == from)
    return n;
  if (n->op == OP_PARAM)
    return func_param(o->m, f, n->param);
  if (n->op == OP_CONST)
    return elem_is_float(n->type.elem)
             ? func_const(o->m, f, n->value)
             : func_const_int(o->m, f, n->type.elem, n->ivalue);
  ensure(b);
  Node *outer = node_bring(o, b->up, b->around, n, from);
  Func *now = o->f;
  o->f = f;
  Node *in = body_take(o, b, outer);
  o->f = now;
  return in;
}

Node *ox_use(Ox *o, OxValue *v) {
  if (!v->node && v->tensor) {
    const OnnxFile__Tensor *t = v->tensor;
    v->tensor = NULL;
    v->node = ox_tensor(o, t, v->name);
    v->f = o->f;
  }
  return v->node ? node_bring(o, o->body, o->f, v->node, v->f) : NULL;
}

/* ---- what is needed ------------------------------------------------- */

static void names_need(Ox *o, Map *need, const OxProto *n, int depth);

static void graph_needs(Ox *o, Map *need, const OnnxFile__Graph *g,
                        int depth) {
  if (!g || depth > OX_DEPTH_MOST)
    return;
  for (size_t i = 0; i < g->n_node; i++)
    names_need(o, need, g->node[i], depth);
  for (size_t i = 0; i < g->n_output; i++)
    if (g->output[i]->name)
      map_put(o->a, need, g->output[i]->name, need);
}

static void names_need(Ox *o, Map *need, const OxProto *n, int depth) {
  for (size_t i = 0; i < n->n_input; i++)
    map_put(o->a, need, n->input[i], need);
  for (size_t i = 0; i < n->n_attribute; i++) {
    const OnnxFile__Attribute *a = n->attribute[i];
    graph_needs(o, need, a->g, depth + 1);
    for (size_t k = 0; k < a->n_graphs; k++)
      graph_needs(o, need, a->graphs[k], depth + 1);
  }
}

void ox_names_needed(Ox *o, Map *need, const OxProto *n) {
  names_need(o, need, n, 0);
}

/* Which of the nodes any of the outputs, in `need`, comes from. */
static bool *nodes_live(Ox *o, OxProto *const *node, size_t n, Map *need) {
  bool *live = arena_array(o->a, bool, n + 1);
  for (size_t i = n; i-- > 0;) {
    for (size_t k = 0; k < node[i]->n_output && !live[i]; k++)
      live[i] = *node[i]->output[k] && map_get(need, node[i]->output[k]);
    if (live[i])
      names_need(o, need, node[i], 0);
  }
  return live;
}

/* ---- one node ------------------------------------------------------- */

static const struct { const char *domain, *name; OxWriter *write; } table[] = {
#define ONNX(domain, name, writer) {domain, #name, ox_write_##writer},
#include "frontend/onnx.def"
#undef ONNX
};

static const char *domain_of(const char *s) {
  return !s || !strcmp(s, "ai.onnx") ? "" : s;
}

static OxWriter *writer_of(const char *domain, const char *op) {
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (!strcmp(table[i].name, op) && !strcmp(table[i].domain, domain))
      return table[i].write;
  return NULL;
}

static const OnnxFile__Function *function_of(const Ox *o, const OxProto *n) {
  const char *overload = n->overload ? n->overload : "";
  for (size_t i = 0; i < o->model->n_functions; i++) {
    const OnnxFile__Function *f = o->model->functions[i];
    if (f->name && !strcmp(f->name, n->op_type) &&
        !strcmp(domain_of(f->domain), domain_of(n->domain)) &&
        !strcmp(f->overload ? f->overload : "", overload))
      return f;
  }
  return NULL;
}

/* Version of a domain as the function or the model says; 0: it does not. */
static int opset_of(const Ox *o, const char *domain) {
  for (const OxScope *s = o->scope; s; s = s->up) {
    for (size_t i = 0; s->function && i < s->function->n_opset_import; i++) {
      const OnnxFile__Opset *x = s->function->opset_import[i];
      if (!strcmp(domain_of(x->domain), domain))
        return x->version > 0 && x->version < 1000 ? (int)x->version : 0;
    }
  }
  return (int)(uintptr_t)map_get(&o->opsets, domain);
}

static bool function_write(Ox *o, const OnnxFile__Function *f);

/* ---- operators inside a node that is not written --------------------- */

static void survey(Ox *o, int depth);

static void nodes_survey(Ox *o, OxProto *const *node, size_t n, Map *need,
                         int depth) {
  const OxProto *outer = o->node;
  int opset = o->opset;
  const bool *live = nodes_live(o, node, n, need);
  for (size_t i = 0; i < n; i++) {
    const char *domain = domain_of(node[i]->domain);
    if (!live[i] || !node[i]->op_type)
      continue;
    o->node = node[i];
    o->opset = opset_of(o, domain);
    if (function_of(o, node[i]) || writer_of(domain, node[i]->op_type))
      survey(o, depth + 1);
    else
      ox_refuse(o, "%s", "");
  }
  o->node = outer;
  o->opset = opset;
}

static void graph_survey(Ox *o, const OnnxFile__Graph *g, int depth) {
  Map need = {0};
  for (size_t i = 0; i < g->n_output; i++)
    if (g->output[i]->name)
      map_put(o->a, &need, g->output[i]->name, &need);
  nodes_survey(o, g->node, g->n_node, &need, depth);
}

/* Whether a call of f gave no results, for what is in f.  It is not looked
 * into again: calls of calls may be many. */
static bool function_failed(Ox *o, const OnnxFile__Function *f) {
  return map_get(&o->failed, arena_printf(o->a, "%p", (const void *)f));
}

static void function_fail(Ox *o, const OnnxFile__Function *f) {
  map_put(o->a, &o->failed, arena_printf(o->a, "%p", (const void *)f), o);
}

static void function_survey(Ox *o, const OnnxFile__Function *f, int depth) {
  OxScope s = {.function = f}, *before = o->scope;
  Map need = {0};
  if (function_failed(o, f))
    return;
  function_fail(o, f);
  for (size_t i = 0; i < f->n_output; i++)
    map_put(o->a, &need, f->output[i], &need);
  o->scope = &s;
  nodes_survey(o, f->node, f->n_node, &need, depth);
  o->scope = before;
}

/* Refuses the operators in the node's graphs and function that nothing here
 * computes. */
static void survey(Ox *o, int depth) {
  const OxProto *n = o->node;
  const OnnxFile__Function *f = function_of(o, n);
  if (depth > OX_DEPTH_MOST)
    return;
  for (size_t i = 0; i < n->n_attribute; i++)
    if (n->attribute[i]->g)
      graph_survey(o, n->attribute[i]->g, depth);
  if (f)
    function_survey(o, f, depth);
}

/* Results that a refused node lacks: what needs them says nothing. */
static void results_fail(Ox *o) {
  for (int i = 0; i < ox_nout(o); i++)
    if (ox_wants(o, i) && !map_get(&o->scope->values, o->node->output[i]))
      ox_value_new(o, o->node->output[i], OX_FLOAT, NULL);
}

/* Behind an operand that was not to be had nothing is said any more. */
static bool operands_there(Ox *o) {
  for (int i = 0; i < ox_nin(o); i++) {
    OxValue *v = ox_in_value(o, i);
    if (ox_has_in(o, i) && (!v || (!v->node && !v->tensor)))
      return false;
  }
  return true;
}

static bool results_new(Ox *o) {
  for (int i = 0; i < ox_nout(o); i++)
    if (ox_wants(o, i) && map_get(&o->scope->values, o->node->output[i]))
      return ox_malformed(o, "a value '%s' was there before",
                          o->node->output[i]);
  return true;
}

static bool results_given(Ox *o) {
  for (int i = 0; i < ox_nout(o); i++)
    if (ox_wants(o, i) && !map_get(&o->scope->values, o->node->output[i]))
      return ox_malformed(o, "it has no result %d ('%s')", i,
                          o->node->output[i]);
  return true;
}

static bool node_write(Ox *o) {
  const OxProto *n = o->node;
  const char *domain = domain_of(n->domain);
  const OnnxFile__Function *f = function_of(o, n);
  OxWriter *write = f ? NULL : writer_of(domain, n->op_type);
  o->opset = opset_of(o, domain);
  if (!f && !write)
    return ox_refuse(o, "%s", "");
  if (!results_new(o))
    return false;
  if (!operands_there(o)) {
    survey(o, 0);
    return false;
  }
  if (f)
    return function_write(o, f);
  if (!*domain && !o->opset)
    return ox_malformed(o, "the model imports no opset of the operator's "
                        "domain");
  return write(o);
}

/* A node without results never goes unsaid. */
static void results_none(Ox *o) {
  if (!o->said && !o->refused.n && diags_errors(o->d) == o->errors)
    ox_refuse(o, "such operands");
}

static void one_node(Ox *o, const OxProto *n) {
  const OxProto *node = o->node;
  const char *path = o->node_path;
  int opset = o->opset;
  bool said = o->said;
  o->node = n;
  o->said = false;
  o->node_path = arena_strdup(o->m->arena, scoped(o, ox_node_name(o)));
  if (!n->op_type || !*n->op_type)
    ox_malformed(o, "it names no operator");
  else if (!node_write(o))
    results_none(o);
  else
    results_given(o);
  results_fail(o);
  o->node = node;
  o->node_path = path;
  o->opset = opset;
  o->said = said;
}

/* False: they became too many, and the rest was left. */
static bool nodes_write(Ox *o, OxProto *const *node, size_t n, Map *need) {
  const bool *live = nodes_live(o, node, n, need);
  OxScope *s = o->scope;
  s->node = node;
  s->nnodes = n;
  for (size_t i = 0; i < n && !diags_full(o->d); i++) {
    if (!live[i])
      continue;
    if (o->written++ >= OX_WRITES_MOST)
      return o->written == OX_WRITES_MOST + 1 &&
             ox_refuse(o, "it becomes more than %d nodes", OX_WRITES_MOST);
    s->at = i;
    one_node(o, node[i]);
  }
  return true;
}

/* ---- initialisers --------------------------------------------------- */

void ox_edge(Ox *o, char *what, char *name, const char *path) {
  o->edge_name = name;
  o->edge = (OxProto){.op_type = what, .n_output = 1, .output = &o->edge_name};
  o->node = &o->edge;
  o->node_path = path;
  o->opset = opset_of(o, "");
  o->said = false;
}

static bool initialisers_read(Ox *o, const OnnxFile__Graph *g) {
  for (size_t i = 0; i < g->n_initializer; i++) {
    const OnnxFile__Tensor *t = g->initializer[i];
    if (!t->name || !*t->name || map_get(&o->scope->values, t->name))
      return diag_error_at(o->d, EXIT_FILE, o->path, "onnx: initialiser %zu: "
                           "expected a name of its own, found '%s'", i,
                           t->name ? t->name : "");
    OxValue *v = ox_value_new(o, t->name, t->data_type, NULL);
    v->tensor = t;
  }
  for (size_t i = 0; i < g->n_sparse_initializer; i++) {
    const OnnxFile__SparseTensor *s = g->sparse_initializer[i];
    char *name = s->values ? s->values->name : NULL;
    if (!name || !*name || map_get(&o->scope->values, name))
      return diag_error_at(o->d, EXIT_FILE, o->path, "onnx: sparse "
                           "initialiser %zu: expected a name of its own", i);
    if (!o->scope->up)
      ox_edge(o, "initialiser", name, "_");
    Node *n = ox_sparse_tensor(o, s, name);
    if (!n)
      return false;
    ox_value_new(o, name, s->values->data_type, n);
  }
  return true;
}

/* ---- graphs inside -------------------------------------------------- */

static bool scope_enter(Ox *o, OxScope *s, const char *name) {
  OxScope *up = o->scope;
  s->depth = up->depth + 1;
  s->prefix = arena_printf(o->a, "%s%s.", up->prefix, path_of(o->a, name));
  if (s->depth > OX_DEPTH_MOST || strlen(s->prefix) > 8 * NAME_MOST)
    return ox_refuse(o, "graphs or functions more than %d deep inside one "
                     "another", OX_DEPTH_MOST);
  o->scope = s;
  return true;
}

bool ox_subgraph(Ox *o, const OnnxFile__Graph *g, const char *name,
                 OxValue *const *in, int nin, OxValue **out, int nout) {
  OxScope s = {.up = o->scope}, *before = o->scope;
  Map need = {0};
  if (!g || (int)g->n_input != nin || (int)g->n_output < nout)
    return ox_malformed(o, "the graph '%s' has %zu inputs and %zu outputs; "
                        "expected %d and %d", name, g ? g->n_input : 0,
                        g ? g->n_output : 0, nin, nout);
  if (!scope_enter(o, &s, name))
    return false;
  for (int i = 0; i < nin; i++)
    if (g->input[i]->name)
      map_put(o->a, &s.values, g->input[i]->name, in[i]);
  for (int i = 0; i < nout; i++)
    if (g->output[i]->name)
      map_put(o->a, &need, g->output[i]->name, &need);
  bool ok = initialisers_read(o, g);
  if (ok)
    ok = nodes_write(o, g->node, g->n_node, &need);
  for (int i = 0; i < nout && ok; i++) {
    out[i] = g->output[i]->name ? ox_value(o, g->output[i]->name) : NULL;
    if (!out[i])
      ok = ox_malformed(o, "the graph '%s' does not compute its output '%s'",
                        name, g->output[i]->name ? g->output[i]->name : "");
    else if (!ox_use(o, out[i]))
      ok = false;
  }
  o->scope = before;
  return ok;
}

/* Whether the graph that is being written lies in a call of f. */
static bool inside_of(const Ox *o, const OnnxFile__Function *f) {
  for (const OxScope *s = o->scope; s; s = s->function ? s->caller : s->up)
    if (s->function == f)
      return true;
  return false;
}

/* An operator that the model defines by other ones. */
static bool function_write(Ox *o, const OnnxFile__Function *f) {
  OxScope s = {.function = f, .call = o->node, .caller = o->scope};
  OxScope *before = o->scope;
  Map need = {0};
  if (ox_nin(o) > (int)f->n_input || ox_nout(o) > (int)f->n_output)
    return ox_malformed(o, "the function has %zu inputs and %zu outputs; "
                        "found %d and %d", f->n_input, f->n_output,
                        ox_nin(o), ox_nout(o));
  if (function_failed(o, f))
    return false;
  if (inside_of(o, f))
    return ox_refuse(o, "a function that calls itself");
  for (int i = 0; i < ox_nin(o); i++)
    if (ox_has_in(o, i))
      map_put(o->a, &s.values, f->input[i], ox_in_value(o, i));
  for (int i = 0; i < ox_nout(o); i++)
    if (ox_wants(o, i))
      map_put(o->a, &need, f->output[i], &need);
  if (!scope_enter(o, &s, ox_node_name(o)))
    return false;
  bool ok = nodes_write(o, f->node, f->n_node, &need);
  o->scope = before;
  if (!ok)
    return false;
  for (int i = 0; i < ox_nout(o); i++) {
    OxValue *v = ox_wants(o, i) ? map_get(&s.values, f->output[i]) : NULL;
    if (ox_wants(o, i) && !v)
      return ox_malformed(o, "the function does not compute its output '%s'",
                          f->output[i]);
    if (v && !v->node && !v->tensor)
      function_fail(o, f);
    if (v)
      map_put(o->a, &before->values, o->node->output[i], v);
  }
  return true;
}

/* ---- the model's graph ---------------------------------------------- */

void ox_graph(Ox *o, const OnnxFile__Graph *g) {
  Map need = {0};
  for (size_t i = 0; i < g->n_output; i++)
    if (g->output[i]->name)
      map_put(o->a, &need, g->output[i]->name, &need);
  nodes_write(o, g->node, g->n_node, &need);
}

bool ox_graph_begin(Ox *o, const OnnxFile__Graph *g) {
  return initialisers_read(o, g);
}
