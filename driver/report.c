/* report.c - what was done layer by layer, as a table or as JSON. */
#include "driver/driver.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* One row of a report. */
typedef struct Row {
  const Node *n;           /* the first, where there are several */
  int steps;               /* of a layer that is done by strips of rows */
  Type shape;              /* with the rows of all strips */
  const char *name;
  int64_t weights, nonzeros;
  char pattern[24];
  Cost cost;
  int count;               /* kernels that could compute it */
  Alternative all[ALTERNATIVES_MOST];
  double us, dense_us;     /* predicted */
} Row;

static const Param *weight_of(const Node *n) {
  const Node *w = n->op == OP_CONV2D || n->op == OP_LINEAR
                    ? node_operand(n, "w") : NULL;
  return w && w->op == OP_PARAM ? w->param : NULL;
}

static Row row_of(Session *s, const Node *n) {
  Row r = {.n = n, .name = n->path ? n->path : n->name ? n->name
                                            : op_info(n->op)->name};
  r.steps = 1;
  r.shape = n->type;
  r.cost = node_cost(s->module, n);
  for (int i = 0; i < n->nin; i++) {
    if (!n->in[i] || n->in[i]->op != OP_PARAM) continue;
    r.weights += type_elems(&n->in[i]->param->type);
    r.nonzeros += param_nonzeros(s->module, n->in[i]->param);
  }
  Arena *scratch = arena_new();
  r.count = n->kernel ? node_alternatives(scratch, s->module, &s->target,
                                          s->choices, n, r.all) : 0;
  arena_free(scratch);
  r.us = r.dense_us = node_us(s->module, &s->target, n);
  for (int i = 0; i < r.count; i++) {
    if (i == 0) r.dense_us = r.all[i].us;
    if (r.all[i].taken) r.us = r.all[i].us;
  }
  const Param *w = weight_of(n);
  if (!w) return r;
  const Sparse *sp = w->type.sparse;
  if (!sp)
    snprintf(r.pattern, sizeof r.pattern, "dense");
  else if (sp->n)
    snprintf(r.pattern, sizeof r.pattern, "%d:%d", sp->n, RUN_COLUMNS);
  else if (sp->br * sp->bc == 1)
    snprintf(r.pattern, sizeof r.pattern, "unstructured");
  else
    snprintf(r.pattern, sizeof r.pattern, "%dx%d", sp->br, sp->bc);
  return r;
}

static bool is_layer(const Node *n) {
  return !(op_info(n->op)->flags & FLAG_LEAF) && n->op != OP_ITEM;
}

typedef Vec(Row) Rows;

/* Are both strips of one layer?  Rows that two strips need count in both. */
static bool rows_match(const Row *a, const Row *b) {
  const Node *x = a->n, *y = b->n;
  const Param *w = weight_of(x);
  bool same = x->op == y->op && x->path && y->path &&
              strcmp(x->path, y->path) == 0 && a->count == b->count;
  int64_t step;
  bool part = w ? w == weight_of(y)
                : x->op == OP_SLICE && node_rows(x, 0, &step) >= 0 &&
                    step == 1;
  return same && part && !x->kernel == !y->kernel &&
         (!x->kernel || strcmp(x->kernel, y->kernel) == 0);
}

static void row_join(Row *to, const Row *r) {
  to->steps++;
  to->shape.dim[2] += r->shape.dim[2];
  to->cost.macs += r->cost.macs;
  to->cost.nonzero_macs += r->cost.nonzero_macs;
  to->cost.bytes += r->cost.bytes;
  to->us += r->us, to->dense_us += r->dense_us;
  for (int i = 0; i < to->count; i++) to->all[i].us += r->all[i].us;
}

/* A row for each layer of a function. */
static Rows rows_make(Session *s, const Func *f) {
  Rows rows = {0};
  for (size_t i = 0; i < f->nodes.n; i++) {
    if (!is_layer(f->nodes.at[i])) continue;
    Row r = row_of(s, f->nodes.at[i]);
    size_t k = 0;
    while (k < rows.n && !rows_match(&rows.at[k], &r)) k++;
    if (k < rows.n) row_join(&rows.at[k], &r);
    else vec_push(s->arena, &rows, r);
  }
  return rows;
}

/* Why this kernel, and in how many steps. */
static const char *row_why(Session *s, const Row *r) {
  const char *why = r->n->why ? r->n->why : "";
  if (r->steps == 1) return why;
  return arena_printf(s->arena, "%s%sin %d strips", why, *why ? "; " : "",
                      r->steps);
}

static void shape_text(char *to, size_t size, const Type *t) {
  size_t n = 0;
  *to = 0;
  for (int i = 0; i < t->rank && n < size; i++)
    n += (size_t)snprintf(to + n, size - n, "%s%lld", i ? "x" : "",
                          (long long)t->dim[i]);
}

/* Sums of a table: all weights, and the work of the model, which counts
 * what it calls. */
typedef struct Totals {
  int64_t weights, nonzeros, converts, convert_bytes;
  Cost cost;
} Totals;

static void totals_add(Totals *t, const Row *r, bool model) {
  t->weights += r->weights;
  t->nonzeros += r->nonzeros;
  if (r->n->op == OP_CONVERT) {
    t->converts++;
    t->convert_bytes += r->cost.bytes;
  }
  if (!model) return;
  t->cost.macs += r->cost.macs;
  t->cost.nonzero_macs += r->cost.nonzero_macs;
  t->cost.bytes += r->cost.bytes;
}

static void row_print(Session *s, const Row *r, FILE *to) {
  char shape[64];
  const Node *n = r->n;
  shape_text(shape, sizeof shape, &r->shape);
  fprintf(to, "%-28s %-14s %9lld %9lld %11lld %11lld %9lld  %-18s %s\n",
          r->name, shape, (long long)r->weights, (long long)r->nonzeros,
          (long long)r->cost.macs, (long long)r->cost.nonzero_macs,
          (long long)r->cost.bytes, n->kernel ? n->kernel : "-",
          row_why(s, r));
  if (r->count) fprintf(to, "%-28s predicted us:", "");
  for (int i = 0; i < r->count; i++)
    fprintf(to, " %s %.3g%s", r->all[i].kernel, r->all[i].us,
            r->all[i].taken ? " (taken)" : "");
  for (int i = 0; i < r->count; i++)
    if (r->all[i].why_not && strcmp(r->all[i].why_not, "slower") != 0)
      fprintf(to, "; %s: %s", r->all[i].kernel, r->all[i].why_not);
  if (r->count) fputc('\n', to);
}

void report_table(Session *s, FILE *to) {
  const Module *m = s->module;
  Totals sum = {0};
  fprintf(to, "%-28s %-14s %9s %9s %11s %11s %9s  %-18s %s\n", "layer",
          "shape", "weights", "nonzeros", "MACs", "nz MACs", "bytes",
          "kernel", "why");
  for (size_t k = 0; k < m->funcs.n; k++) {
    const Func *f = m->funcs.at[k];
    if (k) fprintf(to, "%s:\n", f->name);
    Rows rows = rows_make(s, f);
    for (size_t i = 0; i < rows.n; i++) {
      row_print(s, &rows.at[i], to);
      totals_add(&sum, &rows.at[i], k == 0);
    }
  }
  fprintf(to, "%-28s %-14s %9lld %9lld %11lld %11lld %9lld\n", "total", "",
          (long long)sum.weights, (long long)sum.nonzeros,
          (long long)sum.cost.macs, (long long)sum.cost.nonzero_macs,
          (long long)sum.cost.bytes);
  fprintf(to, "converts: %lld of %lld bytes; arena: %lld bytes\n",
          (long long)sum.converts, (long long)sum.convert_bytes,
          (long long)m->dump.arena_bytes);
}

/* The same of the whole module. */
static Totals totals_make(Session *s) {
  Totals sum = {0};
  for (size_t k = 0; k < s->module->funcs.n; k++) {
    Rows rows = rows_make(s, s->module->funcs.at[k]);
    for (size_t i = 0; i < rows.n; i++) totals_add(&sum, &rows.at[i], k == 0);
  }
  return sum;
}

json_t *json_shape(const Type *t) {
  json_t *j = json_array();
  for (int i = 0; i < t->rank; i++)
    json_array_append_new(j, json_integer(t->dim[i]));
  return j;
}

json_t *json_text(const char *s) {
  Text t = {0};
  text_json(&t, s);
  json_t *j = json_loads(t.s, JSON_DECODE_ANY, NULL);
  ensure(j);
  text_free(&t);
  return j;
}

static json_t *origins_json(const Node *n) {
  json_t *j = json_array();
  for (int i = 0; i < n->nfrom; i++) {
    const Place *p = &n->from[i];
    json_array_append_new(j, p->node
      ? json_pack("{s:o, s:o}", "file", json_text(p->file), "node",
                  json_text(p->node))
      : json_pack("{s:o, s:i, s:i}", "file", json_text(p->file), "line",
                  p->line, "column", p->col));
  }
  return j;
}

/* How the weight of a node is stored; NULL where it has none. */
static const char *weight_type(const Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && n->in[i]->op == OP_PARAM && node_reads_weight(n, i))
      return elem_name(type_stored(&n->in[i]->type));
  return NULL;
}

static json_t *alternatives_json(const Row *r) {
  json_t *j = json_array();
  for (int i = 0; i < r->count; i++)
    json_array_append_new(j, json_pack(
        "{s:s, s:f, s:b, s:s}", "kernel", r->all[i].kernel, "predicted_us",
        r->all[i].us, "taken", r->all[i].taken, "why_not",
        r->all[i].why_not ? r->all[i].why_not : ""));
  return j;
}

static json_t *row_json(Session *s, const Func *f, const Row *r) {
  const Node *n = r->n;
  return json_pack(
    "{s:s, s:s, s:s, s:o, s:i, s:I, s:I, s:s, s:s*, s:s, s:I, s:I, s:I, s:f, "
    "s:f, s:o, s:s, s:o}",
    "name", r->name, "function", f->name, "op", op_info(n->op)->name,
    "shape", json_shape(&r->shape), "steps", r->steps,
    "weights", (json_int_t)r->weights, "nonzeros", (json_int_t)r->nonzeros,
    "pattern", r->pattern, "weight_type", weight_type(n),
    "kernel", n->kernel ? n->kernel : "", "macs", (json_int_t)r->cost.macs,
    "nonzero_macs", (json_int_t)r->cost.nonzero_macs,
    "bytes", (json_int_t)r->cost.bytes, "predicted_us", r->us,
    "dense_us", r->dense_us, "alternatives", alternatives_json(r),
    "why", row_why(s, r), "from", origins_json(n));
}

static json_t *layers_json(Session *s) {
  json_t *layers = json_array();
  for (size_t k = 0; k < s->module->funcs.n; k++) {
    const Func *f = s->module->funcs.at[k];
    Rows rows = rows_make(s, f);
    for (size_t i = 0; i < rows.n; i++)
      json_array_append_new(layers, row_json(s, f, &rows.at[i]));
  }
  return layers;
}

/* A version: for which CPU, and for which sizes of free dimensions. */
static json_t *notes_json(const Session *s) {
  json_t *notes = json_array();
  for (size_t i = 0; i < s->notes.n; i++)
    json_array_append_new(notes, json_text(s->notes.at[i]));
  return notes;
}

json_t *report_version(Session *s) {
  const FreeDims *f = s->module->free;
  json_t *sizes = json_object();
  for (int i = 0; f && i < f->n; i++)
    json_object_set_new(sizes, f->dim[i].name, json_pack(
        "[I, I]", (json_int_t)dim_from(&f->dim[i]),
        (json_int_t)f->dim[i].most));
  json_t *j = json_pack("{s:s, s:o}", "cpu", s->target.cpu, "layers",
                        layers_json(s));
  if (f) json_object_set(j, "sizes", sizes);
  json_decref(sizes);
  return j;
}

bool report_json(Session *s, int n, const char *cpu, const EmitInfo *info,
                 FILE *to) {
  Totals sum = totals_make(s);
  json_t *j = json_pack(
    "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "model",
    s->module->name, "target", s->target.triple, "cpu", cpu, "arena_bytes",
    (json_int_t)info->arena_bytes, "stack_bytes",
    (json_int_t)info->stack_bytes, "state_bytes",
    (json_int_t)info->state_bytes, "code_bytes",
    (json_int_t)info->code_bytes, "weight_bytes",
    (json_int_t)info->weight_bytes, "converts", (json_int_t)sum.converts,
    "convert_bytes", (json_int_t)sum.convert_bytes, "layers",
    layers_json(s));
  ensure(j);
  json_object_set_new(j, "notes", notes_json(s));
  json_t *all = n > 1 || s->nsized ? json_array() : NULL;
  for (int i = 0; i < n && all; i++) {
    for (int k = 0; k < s[i].nsized; k++)
      json_array_append(all, s[i].sized[k].layers);
    json_array_append_new(all, report_version(&s[i]));
  }
  if (all) json_object_set_new(j, "versions", all);
  bool ok = json_dumpf(j, to, JSON_INDENT(1) | JSON_REAL_PRECISION(4)) == 0;
  fputc('\n', to);
  json_decref(j);
  return ok;
}

bool report_name_ok(Diags *d, const char *path) {
  size_t n = strlen(path);
  if (n >= 5 && strcmp(path + n - 5, ".json") == 0) return true;
  return diag_error_at(d, EXIT_USAGE, "--report",
                       "expected a name that ends in .json, found '%s'",
                       path);
}
