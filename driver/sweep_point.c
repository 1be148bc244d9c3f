/* sweep_point.c - one point of a sweep: its key, a hash of all that the result
 * depends on, and the result. */
#include "driver/sweep.h"

#include <jansson.h>
#include <string.h>

/* Calls of both models on drawn inputs, where there are no data; calls that
 * are measured. */
enum { DRAWS = 4, REPEATS = 30, WARMUP = 3 };

Session *point_base(const Sweep *w, const Point *p) {
  for (size_t i = 0; i < w->bases.n; i++) {
    Base *b = w->bases.at[i];
    if (p->recipe ? b->recipe && strcmp(b->recipe, p->recipe) == 0
                  : !b->recipe)
      return &b->s;
  }
  unreachable();
}

/* ---- keys ------------------------------------------------------------ */

const char *key_text(const Sweep *w, const Point *p) {
  return arena_printf(w->a, "%016llx", (unsigned long long)p->key);
}

static void hash_add(uint64_t *h, const void *p, size_t n) {
  *h = hash_mix(*h ^ hash_bytes(p, n)) + n;
}

static void hash_text(uint64_t *h, const char *s) {
  hash_add(h, s ? s : "-", s ? strlen(s) : 1);
}

static void weights_hash(uint64_t *h, const Module *m) {
  for (size_t i = 0; i < m->params.n; i++) {
    const Param *p = m->params.at[i];
    const Buffer *of[] = {p->data, p->values, p->index};
    hash_text(h, p->path);
    for (int k = 0; k < 3; k++)
      if (of[k]) hash_add(h, of[k]->data, of[k]->size);
  }
}

/* Samples as they are read, whatever the file is. */
static bool data_hash(Session *s, const DataOpts *o, uint64_t *h) {
  Arena *a = arena_new();
  Samples *x = data_open(s, a, s->module, o);
  void **to = arena_array(a, void *, x ? x->n + 1 : 1);
  for (size_t i = 0; x && i < x->n; i++)
    to[i] = arena_alloc(a, (size_t)type_bytes(&x->type[i]) + 8);
  bool ok = x != NULL;
  for (int64_t k = 0; ok && k < x->calls; k++) {
    ok = samples_next(x, s->diags, to);
    for (size_t i = 0; ok && i < x->n; i++)
      hash_add(h, to[i], (size_t)type_bytes(&x->type[i]));
  }
  samples_close(x);
  arena_free(a);
  return ok;
}

static bool names_file(const RecipeArg *a) {
  return a->value.kind == ATTR_STR &&
         (!strcmp(a->name, "data") || !strcmp(a->name, "adapters"));
}

static void adapters_hash(Diags *d, const RecipeStep *s, uint64_t *h) {
  for (size_t i = 0; i < s->args.n; i++) {
    const RecipeArg *a = &s->args.at[i];
    if (strcmp(a->name, "adapters") != 0 || !names_file(a)) continue;
    Buffer *b = buffer_map(d, a->value.s);
    if (b) hash_add(h, b->data, b->size);
    buffer_unref(b);
  }
}

/* Files of the recipe's steps, beside those of --data: what cannot be read is
 * the point's own error. */
static void steps_hash(Session *s, uint64_t *h) {
  Diags *d = diags_new(), *own = s->diags;
  s->diags = d;
  for (size_t i = 0; i < s->module->recipe.n; i++) {
    const RecipeStep *r = &s->module->recipe.at[i];
    DataOpts o;
    if (recipe_data(r, &o)) data_hash(s, &o, h);
    adapters_hash(d, r, h);
  }
  s->diags = own;
  diags_free(d);
}

static void options_hash(const Sweep *w, const Session *s, uint64_t *h) {
  const Target *t = &s->target;
  const char *const texts[] = {
    "tamis sweep 1 " TAMIS_VERSION, t->triple, t->cpu, t->features,
    w->o->weight_type, w->o->code_budget, w->o->measure ? "measure" : NULL,
    w->o->estimate ? "estimate" : NULL, w->data.path ? "data" : NULL,
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    hash_text(h, texts[i]);
  int64_t numbers[] = {s->opt, (int64_t)w->seed, w->labels.n};
  hash_add(h, numbers, sizeof numbers);
  hash_add(h, w->labels.at, (size_t)w->labels.n * sizeof *w->labels.at);
}

/* What is in files counts, not where they are. */
static void paths_clear(Module *m) {
  for (size_t i = 0; i < m->recipe.n; i++) {
    RecipeStep *s = &m->recipe.at[i];
    for (size_t k = 0; k < s->args.n; k++)
      if (names_file(&s->args.at[k])) s->args.at[k].value.s = "";
  }
}

static uint64_t point_key(const Sweep *w, const Point *p, Session *s,
                          uint64_t base) {
  Module *m = module_copy(s, s->module);
  const char *why = "";
  Text t = {0};
  if (!m) return 0;
  hash_text(&base, point_apply(w, p, m, &why) ? "" : why);
  paths_clear(m);
  module_print(&t, m, NULL);
  hash_add(&base, t.s, t.n);
  text_free(&t);
  module_free(m);
  return base;
}

bool sweep_keys(Sweep *w) {
  uint64_t data = 0;
  Session *first = &w->bases.at[0]->s;
  if (w->data.path && !w->o->estimate && !data_hash(first, &w->data, &data))
    return false;
  for (size_t i = 0; i < w->bases.n; i++) {
    Session *s = &w->bases.at[i]->s;
    uint64_t base = data;
    weights_hash(&base, s->module);
    options_hash(w, s, &base);
    steps_hash(s, &base);
    for (size_t k = 0; k < w->points.n; k++) {
      Point *p = &w->points.at[k];
      if (point_base(w, p) == s) p->key = point_key(w, p, s, base);
    }
  }
  return diags_errors(w->d) == 0;
}

/* ---- results --------------------------------------------------------- */

static void number_set(json_t *j, const char *key, double v) {
  json_object_set_new(j, key, v < 0 ? json_null() : json_real(v));
}

static void costs_set(json_t *j, Session *s) {
  Totals t = totals_make(s);
  Prediction p = module_predict(s->module, &s->target, NULL);
  json_object_set_new(j, "weights", json_integer(t.weights));
  json_object_set_new(j, "nonzeros", json_integer(t.nonzeros));
  json_object_set_new(j, "macs", json_integer(t.cost.macs));
  json_object_set_new(j, "nonzero_macs", json_integer(t.cost.nonzero_macs));
  json_object_set_new(j, "bytes", json_integer(p.bytes));
  number_set(j, "predicted_us", p.us);
}

static bool errors_set(json_t *j, const Sweep *w, Session *s, Module *dense,
                       Module *pruned, bool is_dense) {
  Effects e;
  EffectOpts o = {.draws = DRAWS, .seed = w->seed,
                  .labels = w->labels.n ? &w->labels : NULL};
  if (w->data.path) o.data = &w->data;
  if (!effects_make(&e, s, dense, pruned, &o)) return false;
  number_set(j, "weight_error", gap_error(&e.weights));
  number_set(j, "output_error", gap_error(&e.output));
  number_set(j, "accuracy", e.classed ? (double)e.hits[!is_dense] /
                                          (double)e.classed : -1);
  return true;
}

/* Calls of the dense build and of this one in turn. */
static bool measure_set(json_t *j, Session *s, Session *dense) {
  Loaded l = {0}, x = {0};
  EmitInfo info, was;
  const Options none = {0};
  bool ok = session_run(s, &l, &info) && session_run(dense, &x, &was) &&
            artifact_inputs(s->arena, s->diags, &none, &l, 1) &&
            artifact_inputs(s->arena, s->diags, &none, &x, 1);
  if (ok) {
    Times t = times_new(s->arena, &l, REPEATS, false);
    Times u = times_new(s->arena, &x, REPEATS, false);
    times_interleave(&x, &u, &l, &t, WARMUP);
    number_set(j, "measured_us", 1e3 * median(t.total, REPEATS));
    number_set(j, "dense_measured_us", 1e3 * median(u.total, REPEATS));
    json_object_set_new(j, "artifact_bytes", json_integer(
        info.code_bytes + info.weight_bytes));
  }
  artifact_close(&l);
  artifact_close(&x);
  return ok;
}

/* A session of its own on a copy of the base's module. */
static bool copy_open(Session *from, Diags *d, Session *s) {
  if (!session_open(s, from->o, d, from->arena)) return false;
  s->whole = true;
  return session_copy(s, from);
}

static bool compute(json_t *j, const Sweep *w, const Point *p, Session *s,
                    Session *dense) {
  const char *why = "";
  if (!point_apply(w, p, s->module, &why))
    return diag_error_at(s->diags, EXIT_MODEL, "sweep", "%s", why);
  s->keep_dense = true;
  if (w->o->estimate) s->stop_after = "select";
  Module *bare = p->dense ? module_copy(s, s->module) : NULL;
  s->dense = bare;
  if ((p->dense && !bare) || !session_compile(s)) return false;
  costs_set(j, s);
  if (w->o->estimate) return true;
  dense->module->recipe.n = 0;
  return errors_set(j, w, s, s->dense, s->pruned ? s->pruned : s->dense,
                    p->dense) &&
         (!w->o->measure ||
          (session_compile(dense) && measure_set(j, s, dense)));
}

json_t *point_compute(const Sweep *w, const Point *p) {
  Session s = {0}, dense = {0}, *base = point_base(w, p);
  Diags *d = diags_new();
  json_t *j = json_object();
  bool ok = copy_open(base, d, &s) && copy_open(base, d, &dense) &&
            compute(j, w, p, &s, &dense);
  if (!ok) {
    json_object_clear(j);
    json_object_set_new(j, "reason", json_text(diags_last(d)));
    json_object_set_new(j, "exit", json_integer(diags_exit_code(d)));
  }
  session_close(&s);
  session_close(&dense);
  diags_free(d);
  return j;
}
