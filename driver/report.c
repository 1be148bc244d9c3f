/* report.c - what was done layer by layer, as a table or as JSON. */
#include "driver/report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void row_print(Session *s, const Row *r, FILE *to) {
  char shape[64];
  const Node *n = r->n;
  row_shape(shape, sizeof shape, &r->shape);
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

/* What is known of a layer's weight, outputs and time. */
static void detail_print(const Row *r, FILE *to) {
  double weight = r->gap ? gap_error(&r->gap->weight) : -1;
  double output = r->gap ? gap_error(&r->gap->output) : -1;
  if (!r->w && output < 0 && r->measured_us < 0) return;
  fprintf(to, "%-28s", "");
  if (r->w) fprintf(to, " sparsity %.4g, fill %.4g", r->sparsity, r->fill);
  if (r->w && weight >= 0) fprintf(to, ", weight error %.4g", weight);
  if (output >= 0)
    fprintf(to, "%s output error %.4g", r->w ? "," : "", output);
  if (r->measured_us >= 0)
    fprintf(to, "%s measured us %.3g", r->w || output >= 0 ? "," : "",
            r->measured_us);
  fputc('\n', to);
}

static void error_print(const char *what, const Gap *g, FILE *to) {
  double e = gap_error(g);
  if (e < 0) fprintf(to, "%s error: unknown", what);
  else fprintf(to, "%s error: %.4g", what, e);
}

/* The model beside itself before the recipe. */
static void facts_print(const Session *s, FILE *to) {
  const Facts *f = s->facts;
  if (!f) return;
  fprintf(to, "predicted: %.4g us, %lld bytes of weights", f->predicted.us,
          (long long)f->predicted.bytes);
  if (f->measured_us >= 0) fprintf(to, "; measured: %.4g us", f->measured_us);
  if (f->compared) {
    fprintf(to, "\nwithout the recipe: %.4g us, %lld bytes",
            f->base_predicted.us, (long long)f->base_predicted.bytes);
    if (f->base_measured_us >= 0)
      fprintf(to, "; measured: %.4g us", f->base_measured_us);
    error_print("\nweight", &f->effects.weights, to);
    if (f->data) {
      error_print("; output", &f->effects.output, to);
      fprintf(to, ", on %lld samples of %s", (long long)f->effects.samples,
              f->data);
    }
  }
  fputc('\n', to);
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
      detail_print(&rows.at[i], to);
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
  facts_print(s, to);
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

/* A number that is not known is null. */
static json_t *number_json(double v) {
  return v < 0 ? json_null() : json_real(v);
}

static json_t *gap_json(const Gap *g) {
  return number_json(g ? gap_error(g) : -1);
}

static void row_add(json_t *j, const Row *r) {
  const LayerGap *g = r->gap;
  json_object_set_new(j, "sparsity", number_json(r->sparsity));
  json_object_set_new(j, "fill", number_json(r->fill));
  json_object_set_new(j, "weight_error",
                      gap_json(g && r->w ? &g->weight : NULL));
  json_object_set_new(j, "output_error", gap_json(g ? &g->output : NULL));
  json_object_set_new(j, "measured_us", number_json(r->measured_us));
}

static json_t *row_json(Session *s, const Func *f, const Row *r) {
  const Node *n = r->n;
  json_t *j = json_pack(
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
  ensure(j);
  row_add(j, r);
  return j;
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

/* The model without the recipe. */
static json_t *base_json(const Facts *f) {
  Cost c = f->base_cost;
  return json_pack(
    "{s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "macs", (json_int_t)c.macs,
    "nonzero_macs", (json_int_t)c.nonzero_macs, "weight_bytes",
    (json_int_t)f->base_info.weight_bytes, "code_bytes",
    (json_int_t)f->base_info.code_bytes, "arena_bytes",
    (json_int_t)f->base_info.arena_bytes, "predicted_us",
    f->base_predicted.us, "measured_us", number_json(f->base_measured_us));
}

static void facts_add(json_t *j, const Session *s, const Totals *sum) {
  const Facts *f = s->facts;
  if (!f) return;
  json_object_set_new(j, "macs", json_integer(sum->cost.macs));
  json_object_set_new(j, "nonzero_macs", json_integer(sum->cost.nonzero_macs));
  json_object_set_new(j, "predicted_us", json_real(f->predicted.us));
  json_object_set_new(j, "measured_us", number_json(f->measured_us));
  if (!f->compared) return;
  const Effects *e = &f->effects;
  json_object_set_new(j, "dense", base_json(f));
  json_object_set_new(j, "weight_error", gap_json(&e->weights));
  json_object_set_new(j, "output_error", gap_json(&e->output));
  if (!f->data) return;
  json_t *outs = json_array();
  for (size_t i = 0; i < e->outputs.n; i++)
    json_array_append_new(outs, json_pack(
        "{s:o, s:o}", "name", json_text(e->outputs.at[i].name), "error",
        gap_json(&e->outputs.at[i].gap)));
  json_object_set_new(j, "outputs", outs);
  json_object_set_new(j, "data", json_text(f->data));
  json_object_set_new(j, "samples", json_integer(e->samples));
}

json_t *report_object(Session *s, int n, const char *cpu,
                      const EmitInfo *info) {
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
  facts_add(j, s, &sum);
  return j;
}

bool report_json(Session *s, int n, const char *cpu, const EmitInfo *info,
                 FILE *to) {
  json_t *j = report_object(s, n, cpu, info);
  bool ok = json_dumpf(j, to, JSON_INDENT(1) | JSON_REAL_PRECISION(4)) == 0;
  fputc('\n', to);
  json_decref(j);
  return ok;
}

bool report_is_html(const char *path) {
  size_t n = strlen(path);
  return n >= 5 && strcmp(path + n - 5, ".html") == 0;
}

bool report_name_ok(Diags *d, const char *path) {
  size_t n = strlen(path);
  if (n >= 5 && strcmp(path + n - 5, ".json") == 0) return true;
  if (report_is_html(path)) return true;
  return diag_error_at(d, EXIT_USAGE, "--report", "expected a name that ends "
                       "in .json or .html, found '%s'", path);
}
