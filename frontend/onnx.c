/* onnx.c - an ONNX file becomes a text of the language and the weights that
 * the text mentions.  Both come from one run over the graph, so that they
 * agree. */
#include "frontend/foreign_name.h"
#include "frontend/onnx.h"
#include "frontend/weights.h"

#include <string.h>

/* ---- inputs --------------------------------------------------------- */

static bool input_error(Ox *o, int exit, const OnnxFile__ValueInfo *v,
                        const char *fmt, ...) PRINTF_LIKE(4, 5);
static bool input_error(Ox *o, int exit, const OnnxFile__ValueInfo *v,
                        const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  ox_error(o, exit, "input", v->name, fmt, ap);
  va_end(ap);
  return false;
}

static bool uses(Ox *o, const OxProto *n, const char *name) {
  Map need = {0};
  ox_names_needed(o, &need, n);
  return map_get(&need, name) != NULL;
}

/* Why an input cannot be one of an artifact, with the nodes that use it; what
 * else is not supported is said as well. */
static bool input_refuse(Ox *o, const OnnxFile__ValueInfo *v, const char *fmt,
                         ...) PRINTF_LIKE(3, 4);
static bool input_refuse(Ox *o, const OnnxFile__ValueInfo *v, const char *fmt,
                         ...) {
  const OnnxFile__Graph *g = o->model->graph;
  Text s = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&s, fmt, ap);
  va_end(ap);
  OxRefusal *r = ox_refusal(o, arena_printf(o->a, "input '%s': %s", v->name,
                                            s.s), "used by");
  text_free(&s);
  for (size_t i = 0; i < g->n_node; i++)
    if (uses(o, g->node[i], v->name)) {
      o->node = g->node[i];
      ox_refusal_of(o, r);
    }
  return false;
}

static const char *fresh_name(Ox *o, Map *taken, const char *name) {
  Text t = {0};
  foreign_name_write(&t, name, strlen(name));
  const char *s = arena_strdup(o->a, t.s);
  text_free(&t);
  const char *one = s;
  for (int i = 2; map_get(taken, one); i++)
    one = arena_printf(o->a, "%s_%d", s, i);
  map_put(o->a, taken, one, taken);
  return one;
}

static bool dim_given(const Ox *o, const char *name, int64_t *out) {
  for (size_t i = 0; o->o && i < o->o->ndims; i++)
    if (!strcmp(o->o->dims[i].name, name)) {
      *out = o->o->dims[i].value;
      return true;
    }
  return false;
}

/* A dimension without a number, which some write as -1, has the name
 * that the file gives it, or that of the input with the position behind it. */
static const char *dim_name(Arena *a, const OnnxFile__ValueInfo *v, size_t i) {
  const char *name = v->type->tensor_type->shape->dim[i]->dim_param;
  return name && *name ? arena_strdup(a, name)
                       : arena_printf(a, "%s_%zu", v->name, i);
}

static bool dim_read(Ox *o, const OnnxFile__ValueInfo *v, size_t i,
                     int64_t *out) {
  const OnnxFile__Dim *d = v->type->tensor_type->shape->dim[i];
  *out = d->dim_value;
  if (d->has_dim_value && d->dim_value >= 0)
    return true;
  if (d->has_dim_value && d->dim_value < -1)
    return input_error(o, EXIT_FILE, v, "dimension %zu: expected -1 or more, "
                       "found %lld", i, (long long)d->dim_value);
  const char *name = dim_name(o->a, v, i);
  return dim_given(o, name, out) ||
         input_error(o, EXIT_USAGE, v, "the dimension '%s' is free: fix it "
                     "with --dim '%s=...', or give its bound with "
                     "--dim '%s=1..MOST'", name, name, name);
}

static bool input_type(Ox *o, const OnnxFile__ValueInfo *v, Type *out) {
  const OnnxFile__TensorType *t = v->type ? v->type->tensor_type : NULL;
  int64_t dim[MAX_RANK];
  if (!t)
    return input_refuse(o, v, "it is no tensor, which is not supported");
  if (ox_stored(t->elem_type) < 0)
    return input_refuse(o, v, "type %s is not supported",
                        ox_type_name(t->elem_type));
  if (!t->shape)
    return input_refuse(o, v, "its rank is not known");
  size_t rank = t->shape->n_dim;
  if (rank > MAX_RANK)
    return input_refuse(o, v, "expected at most %d dimensions, found %zu",
                        MAX_RANK, rank);
  bool ok = true;
  for (size_t i = 0; i < rank; i++)
    ok &= dim_read(o, v, i, &dim[i]);
  if (!ok)
    return false;
  *out = type_make((Elem)ox_stored(t->elem_type), (int)rank, dim);
  int64_t n = type_elems(out);
  return (n >= 0 && n <= (int64_t)1 << 40) ||
         input_error(o, EXIT_FILE, v, "dimensions overflow");
}

/* The file of --const for an input; NULL: none. */
static const char *const_file(const Ox *o, const char *name) {
  for (size_t i = 0; o->o && i < o->o->nconsts; i++)
    if (!strcmp(o->o->consts[i].name, name))
      return o->o->consts[i].file;
  return NULL;
}

static bool const_fits(Ox *o, const OnnxFile__ValueInfo *v, const Type *t,
                       const char *file) {
  const OnnxFile__TensorType *x = v->type ? v->type->tensor_type : NULL;
  if (!x || ox_stored(x->elem_type) != (int)t->elem)
    return diag_error_at(o->d, EXIT_USAGE, "--const", "%s: the input '%s' is "
                         "%s, found %s", file, v->name,
                         x ? ox_type_name(x->elem_type) : "no tensor",
                         elem_name(t->elem));
  for (size_t i = 0; x->shape && i < x->shape->n_dim; i++) {
    const OnnxFile__Dim *d = x->shape->dim[i];
    if (x->shape->n_dim == (size_t)t->rank &&
        (!d->has_dim_value || d->dim_value == t->dim[i]))
      continue;
    return diag_error_at(o->d, EXIT_USAGE, "--const", "%s: its shape is not "
                         "that of the input '%s'", file, v->name);
  }
  return true;
}

/* An input becomes a constant, so that shapes may depend on it. */
static bool input_fix(Ox *o, const OnnxFile__ValueInfo *v, const char *file) {
  WeightFile *w = weights_read(o->a, o->d, file);
  if (!w)
    return false;
  bool ok = w->tensors.n == 1 ||
            diag_error_at(o->d, EXIT_USAGE, "--const", "%s: expected one "
                          "tensor, found %zu", file, w->tensors.n);
  if (ok && o->o->on_file)
    o->o->on_file(o->o->on_file_ctx, file);
  const WeightTensor *t = w->tensors.at;
  if (ok && const_fits(o, v, &t->type, file)) {
    int type = v->type->tensor_type->elem_type;
    ox_edge(o, "input", v->name, "const");
    Node *n = ox_constant(o, &t->type, t->data->data);
    n = ox_cast(o, n, (Elem)ox_held(type));
    ok = n != NULL;
    ox_value_new(o, v->name, type, n);
  } else {
    ok = false;
  }
  weights_close(w);
  return ok;
}

static bool consts_known(Ox *o, const OnnxFile__Graph *g) {
  bool ok = true;
  for (size_t i = 0; o->o && i < o->o->nconsts; i++) {
    const char *name = o->o->consts[i].name;
    bool found = false;
    for (size_t k = 0; k < g->n_input && !found; k++)
      found = g->input[k]->name && !strcmp(g->input[k]->name, name);
    if (!found)
      ok = diag_error_at(o->d, EXIT_USAGE, "--const",
                         "the model has no input '%s'", name);
  }
  return ok;
}

static bool input_make(Ox *o, const OnnxFile__ValueInfo *v, Map *taken) {
  Type t;
  if (!input_type(o, v, &t))
    return false;
  int type = v->type->tensor_type->elem_type;
  if (type == OX_DOUBLE)
    diag_warning(o->d, (Span){0}, "%s: onnx: input '%s': double is computed "
                 "as float32", o->path, v->name);
  Node *n = func_input(o->m, o->f, fresh_name(o, taken, v->name), t);
  ox_edge(o, "input", v->name, n->name);
  n = ox_cast(o, n, (Elem)ox_held(type));
  ox_value_new(o, v->name, type, n);
  return true;
}

static bool inputs_named(Ox *o, const OnnxFile__Graph *g) {
  Map known = {0};
  for (size_t i = 0; i < g->n_input; i++) {
    const char *name = g->input[i]->name;
    if (!name || !*name || map_get(&known, name))
      return diag_error_at(o->d, EXIT_FILE, o->path, "onnx: input %zu: "
                           "expected a name of its own, found '%s'", i,
                           name ? name : "");
    map_put(o->a, &known, name, &known);
  }
  return true;
}

/* An input that has an initialiser as well is a constant.  One that cannot be
 * made has no node: what needs it says nothing. */
static bool inputs_make(Ox *o, const OnnxFile__Graph *g, Map *taken) {
  bool ok = consts_known(o, g);
  for (size_t i = 0; i < g->n_input; i++) {
    const OnnxFile__ValueInfo *v = g->input[i];
    const char *file = const_file(o, v->name);
    if (map_get(&o->scope->values, v->name) && !file)
      continue;
    if (file ? input_fix(o, v, file) : input_make(o, v, taken))
      continue;
    ok = false;
    ox_value_new(o, v->name, OX_FLOAT, NULL);
  }
  return ok;
}

/* ---- outputs -------------------------------------------------------- */

/* The file says what type an output has, or nothing. */
static bool output_fits(Ox *o, const OnnxFile__ValueInfo *v,
                        const OxValue *x) {
  const OnnxFile__TensorType *t = v->type ? v->type->tensor_type : NULL;
  if (!v->type || (t && (!t->elem_type || t->elem_type == x->type)))
    return true;
  return diag_error_at(o->d, EXIT_FILE, o->path, "onnx: output '%s': it is "
                       "declared as %s, and the graph computes %s", v->name,
                       t ? ox_type_name(t->elem_type) : "no tensor",
                       ox_type_name(x->type));
}

static bool output_make(Ox *o, const OnnxFile__ValueInfo *v, Map *taken) {
  OxValue *x = v->name ? ox_value(o, v->name) : NULL;
  if (!x)
    return o->refused.n ? false
                        : diag_error_at(o->d, EXIT_FILE, o->path, "onnx: "
                                        "nothing computes the output '%s'",
                                        v->name ? v->name : "");
  Node *n = ox_use(o, x);
  if (!n)
    return false;
  int stored = ox_stored(x->type);
  if (stored < 0)
    return diag_error_at(o->d, EXIT_UNSUPPORTED, o->path, "onnx: output "
                         "'%s': type %s is not supported", v->name,
                         ox_type_name(x->type));
  if (!output_fits(o, v, x))
    return false;
  const char *name = arena_strdup(o->m->arena,
                                  fresh_name(o, taken, v->name));
  ox_edge(o, "output", v->name, name);
  n = ox_cast(o, n, (Elem)stored);
  if (n)
    func_output(o->m, o->f, name, n);
  return n != NULL;
}

/* ---- the model ------------------------------------------------------ */

static bool refused_report(Ox *o) {
  for (size_t i = 0; i < o->refused.n; i++) {
    const OxRefusal *r = o->refused.at[i];
    Text s = {0};
    for (size_t k = 0; k < r->nodes.n; k++)
      text_printf(&s, "%s'%s'", k ? ", " : "", r->nodes.at[k]);
    if (r->nodes.n)
      diag_error_at(o->d, EXIT_UNSUPPORTED, o->path, "onnx: %s, %s node%s %s",
                    r->text, r->where, r->nodes.n > 1 ? "s" : "", s.s);
    else
      diag_error_at(o->d, EXIT_UNSUPPORTED, o->path, "onnx: %s", r->text);
    text_free(&s);
  }
  return !o->refused.n;
}

static const char *domain_of(const OnnxFile__Opset *x) {
  return !x->domain || !strcmp(x->domain, "ai.onnx") ? "" : x->domain;
}

static bool opset_known(Ox *o, const OnnxFile__Opset *x) {
  return *domain_of(x) || x->version <= OX_OPSET_NEWEST ||
         diag_error_at(o->d, EXIT_UNSUPPORTED, o->path, "onnx: opset %lld is "
                       "not supported: the newest that is known is %d",
                       (long long)x->version, OX_OPSET_NEWEST);
}

/* A model of now imports its opsets; the first files did not. */
static bool opsets_read(Ox *o) {
  for (size_t i = 0; i < o->model->n_opset_import; i++) {
    const OnnxFile__Opset *x = o->model->opset_import[i];
    if (!opset_known(o, x))
      return false;
    if (x->version < 1 || x->version > 999)
      return diag_error_at(o->d, EXIT_FILE, o->path, "onnx: opset %lld of "
                           "domain '%s'", (long long)x->version,
                           domain_of(x));
    map_put(o->a, &o->opsets, domain_of(x), (void *)(uintptr_t)x->version);
  }
  bool ok = true;
  for (size_t i = 0; i < o->model->n_functions; i++)
    for (size_t k = 0; k < o->model->functions[i]->n_opset_import; k++)
      ok &= opset_known(o, o->model->functions[i]->opset_import[k]);
  return ok;
}

static bool graph_make(Ox *o) {
  const OnnxFile__Graph *g = o->model->graph;
  OxScope top = {.prefix = ""};
  Map taken = {0};
  if (!g || !g->n_output)
    return diag_error_at(o->d, EXIT_FILE, o->path, "onnx: expected a graph "
                         "with outputs, found none");
  o->scope = &top;
  bool ok = opsets_read(o) && ox_graph_begin(o, g) && inputs_named(o, g);
  if (ok) {
    ok = inputs_make(o, g, &taken);
    ox_graph(o, g);
    for (size_t i = 0; i < g->n_output; i++)
      ok &= output_make(o, g->output[i], &taken);
  }
  ok &= refused_report(o);
  o->scope = NULL;
  return ok && diags_errors(o->d) == o->errors;
}

/* The module of a file, whose arena is o->a; NULL after an error. */
static Module *module_make(Ox *o) {
  o->model = onnx_unpack(o->a, o->d, o->path, o->buf);
  if (!o->model)
    return NULL;
  o->m = module_new(foreign_model_name(o->a, o->path));
  o->f = func_new(o->m, o->m->name);
  if (!graph_make(o)) {
    module_free(o->m);
    return NULL;
  }
  for (size_t i = 0; i < o->m->funcs.n; i++)
    func_tidy(o->m, o->m->funcs.at[i]);
  /* The function of a scan is spelt in a dump alone. */
  if (o->m->funcs.n > 1)
    o->m->dump.after = "parse";
  return o->m;
}

static Ox onnx_open(Arena *a, Diags *d, const char *path, Buffer *buf,
                    const LoadOpts *o) {
  return (Ox){.a = a, .d = d, .path = path, .buf = buf, .o = o,
              .errors = diags_errors(d)};
}

static void onnx_close(Ox *o) {
  for (size_t i = 0; i < o->external.cap; i++)
    if (o->external.key && o->external.key[i])
      buffer_unref(o->external.val[i]);
}

/* ---- what others call ----------------------------------------------- */

bool path_is_onnx(const char *path) {
  size_t n = strlen(path);
  return n > 5 && !strcmp(path + n - 5, ".onnx");
}

/* Names of dimensions of some values. */
static void dims_note(Arena *a, OnnxFile__ValueInfo **v, size_t n,
                      uintptr_t what, Map *dims) {
  for (size_t i = 0; i < n; i++) {
    const OnnxFile__TensorType *t = v[i]->type ? v[i]->type->tensor_type
                                               : NULL;
    for (size_t k = 0; t && t->shape && k < t->shape->n_dim; k++) {
      const OnnxFile__Dim *d = t->shape->dim[k];
      if (d->has_dim_value && d->dim_value >= 0)
        continue;
      const char *name = dim_name(a, v[i], k);
      if (!map_get(dims, name))
        map_put(a, dims, name, (void *)what);
    }
  }
}

/* dims, if it is wanted, with its names in `to`. */
static bool text_make(Diags *d, const char *path, Buffer *buf,
                      const LoadOpts *opts, Text *out, Arena *to, Map *dims) {
  Arena *a = arena_new();
  Ox o = onnx_open(a, d, path, buf, opts);
  Module *m = module_make(&o);
  if (m)
    module_print(out, m, m->params.n ? path_base(path) : NULL);
  if (m && dims) {
    const OnnxFile__Graph *g = o.model->graph;
    dims_note(to, g->input, g->n_input, SOURCE_INPUT, dims);
    dims_note(to, g->output, g->n_output, SOURCE_OTHER, dims);
    dims_note(to, g->value_info, g->n_value_info, SOURCE_OTHER, dims);
  }
  module_free(m);
  onnx_close(&o);
  arena_free(a);
  return m != NULL;
}

bool onnx_text(Diags *d, const char *path, Buffer *buf, const LoadOpts *opts,
               Text *out) {
  return text_make(d, path, buf, opts, out, NULL, NULL);
}

Source *onnx_source(Arena *a, Diags *d, const char *path, const LoadOpts *o) {
  Buffer *buf = buffer_map(d, path);
  Source *s = NULL;
  Text text = {0};
  Map *dims = arena_new_of(a, Map);
  if (buf && text_make(d, path, buf, o, &text, a, dims)) {
    s = arena_new_of(a, Source);
    *s = (Source){.name = arena_strdup(a, path), .len = text.n,
                  .text = arena_strndup(a, text.s, text.n), .foreign = true,
                  .dims = dims};
  }
  text_free(&text);
  buffer_unref(buf);
  return s;
}

WeightFile *onnx_parse(Arena *a, Diags *d, const char *path, Buffer *buf,
                       const LoadOpts *opts) {
  Arena *own = arena_new();
  Ox o = onnx_open(own, d, path, buf, opts);
  WeightFile *w = NULL;
  Module *m = module_make(&o);
  if (m) {
    w = weight_file_new(a, path);
    for (size_t i = 0; i < m->params.n; i++) {
      const Param *p = m->params.at[i];
      WeightTensor t = {arena_strdup(a, p->path), p->type,
                        buffer_ref(p->data)};
      vec_push(a, &w->tensors, t);
    }
  }
  module_free(m);
  onnx_close(&o);
  arena_free(own);
  return w;
}
