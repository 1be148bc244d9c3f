/* session.c - from options to a planned module: target, loading, the
 * pipeline and the round trip through text. */
#include "driver/report.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>

static int opt_level(const char *s) {
  if (!s) return 2;
  return *s == 's' ? 4 : *s - '0';
}

bool session_open(Session *s, const Options *o, Diags *d, Arena *a) {
  *s = (Session){.arena = a, .diags = d, .o = o};
  s->opt = opt_level(o->opt);
  s->whole = o->sizes && strcmp(o->sizes, "off") == 0;
  s->sparsity_off = o->sparsity && strcmp(o->sparsity, "off") == 0;
  if (o->weights && o->random_weights)
    return diag_error_at(d, EXIT_USAGE, "--weights",
                         "contradicts --random-weights: give one of them");
  return true;
}

/* A file that holds both model and weights is read twice. */
static void note_file(void *ctx, const char *path) {
  Session *s = ctx;
  for (size_t i = 0; i < s->files.n; i++)
    if (strcmp(s->files.at[i], path) == 0) return;
  vec_push(s->arena, &s->files, arena_strdup(s->arena, path));
}

void session_note_file(Session *s, const char *path) { note_file(s, path); }

static LoadOpts load_opts(Session *s) {
  const Options *o = s->o;
  return (LoadOpts){
    .ndims = o->dims.n, .dims = o->dims.at, .nconsts = o->consts.n,
    .consts = o->consts.at, .model = o->model,
    .recipe = o->recipe, .weights = o->weights,
    .random_weights = o->random_weights, .seed = o->random_seed,
    .on_file = note_file, .on_file_ctx = s, .source = &s->text,
    .again = s->text != NULL, .prune_all = s->prune_all,
  };
}

/* An option that says other than the dump's first line. */
static bool contradicts(Session *s, const char *opt, const char *given,
                        const char *key, const char *dumped) {
  if (!given || !dumped || strcmp(given, dumped) == 0) return true;
  return diag_error_at(s->diags, EXIT_USAGE, opt,
                       "'%s' contradicts the dump %s, whose first line says "
                       "%s=\"%s\"", given, s->o->file, key, dumped);
}

/* A dump that a target-dependent pass wrote fixes target and CPU. */
static bool dump_options(Session *s) {
  const Options *o = s->o;
  DumpInfo *i = &s->module->dump;
  if (!i->after) return true;
  bool ok = contradicts(s, "--sparsity", o->sparsity, "sparsity",
                        i->sparsity);
  if (i->sparsity) s->sparsity_off = strcmp(i->sparsity, "off") == 0;
  if (i->opt >= 0) {
    if (o->opt && opt_level(o->opt) != i->opt)
      ok = diag_error_at(s->diags, EXIT_USAGE, "-O",
                         "'%s' contradicts the dump %s, whose first line "
                         "says opt=%d", o->opt, o->file, i->opt);
    s->opt = i->opt;
  }
  if (o->recipe)
    ok = diag_error_at(s->diags, EXIT_USAGE, "--recipe",
                       "'%s' contradicts the dump %s, which comes behind "
                       "the recipe", o->recipe, o->file);
  return ok;
}

/* --code-budget, into the module; a dump's first line may say it too. */
static bool set_budget(Session *s) {
  const char *given = s->o->code_budget;
  int64_t *in = &s->module->dump.code_budget, bytes;
  if (!given) return true;
  if (!option_bytes(s->diags, "--code-budget", given, &bytes)) return false;
  if (bytes == 0) bytes = -1;
  if (*in && *in != bytes)
    return diag_error_at(s->diags, EXIT_USAGE, "--code-budget",
                         "'%s' contradicts the dump %s, whose first line "
                         "says code_budget=%lld", given, s->o->file,
                         *in < 0 ? 0 : (long long)*in);
  *in = bytes;
  return true;
}

/* --weight-type, likewise: behind pass narrow it cannot be chosen. */
static bool set_weight_type(Session *s) {
  const char *given = s->o->weight_type;
  DumpInfo *i = &s->module->dump;
  const PassInfo *last = i->after ? pass_find(i->after) : NULL;
  if (!given) return true;
  if (!i->weight_type && last && last >= pass_find("narrow"))
    return diag_error_at(s->diags, EXIT_USAGE, "--weight-type",
                         "'%s' contradicts the dump %s, which comes behind "
                         "pass narrow with weights of f32", given,
                         s->o->file);
  if (i->weight_type)
    return contradicts(s, "--weight-type", given, "weight_type",
                       elem_name(i->weight_type));
  return elem_parse(given, &i->weight_type);
}

/* What the user chose stands in every dump, so that building it needs no
 * option again; what was left open stands there once a pass has used it. */
static void record_choices(Session *s) {
  const Options *o = s->o;
  Module *m = s->module;
  DumpInfo *i = &m->dump;
  if (o->target) i->target = arena_strdup(m->arena, s->target.triple);
  if (o->cpu) i->cpu = arena_strdup(m->arena, s->target.cpu);
  if (o->features) i->features = arena_strdup(m->arena, o->features);
  if (o->sparsity) i->sparsity = arena_strdup(m->arena, o->sparsity);
  if (o->opt) i->opt = s->opt;
}

/* Resolve the target from the options and the dump, compare the two. */
static bool set_target(Session *s) {
  const Options *o = s->o;
  DumpInfo *i = &s->module->dump;
  const char *triple = o->target ? o->target : i->target;
  const char *cpu = o->cpu ? o->cpu : i->cpu;
  const char *features = o->features ? o->features : i->features;
  if (!cpu && s->like) {
    cpu = s->like->cpu;
    if (!features) features = s->like->features;
  }
  if (!target_resolve(s->arena, s->diags, triple, cpu, features,
                      &s->target))
    return false;
  bool ok = true;
  if (o->target)
    ok &= contradicts(s, "--target", s->target.triple, "target", i->target);
  if (o->cpu) ok &= contradicts(s, "--cpu", s->target.cpu, "cpu", i->cpu);
  if (o->features)
    ok &= contradicts(s, "--features", o->features, "features", i->features);
  if (o->verbose)
    fprintf(stderr, "tamis: target %s, cpu %s, %d lanes, %d registers, costs "
            "of %s\n", s->target.triple, s->target.cpu, s->target.lanes,
            s->target.vregs, family_of(&s->target)->name);
  if (ok && !i->after) record_choices(s);
  return ok;
}

bool session_load(Session *s) {
  LoadOpts l = load_opts(s);
  if (artifact_is(s->o->file))
    return diag_error_at(s->diags, EXIT_FILE, s->o->file,
                         "expected a .tam, found a built object");
  if (versions_wanted(s->o))
    return diag_error_at(s->diags, EXIT_USAGE, "--cpu", "expected one CPU, "
                         "found '%s': several go into what 'tamis build' "
                         "makes", s->o->cpu);
  s->module = tam_load(s->diags, s->o->file, &l);
  if (!s->module) return false;
  return dump_options(s) && set_budget(s) && set_weight_type(s) &&
         set_target(s);
}

/* A copy of a module through its text, which t takes; NULL after an error. */
static Module *text_copy(Session *s, Module *m, Text *t) {
  module_print(t, m, NULL);
  LoadOpts l = {.provide = param_provide, .provide_ctx = m};
  Module *copy = tam_load_text(s->diags, m->file, t->s, t->n, &l);
  if (!copy) fputs(t->s, stderr);
  return copy;
}

Module *module_copy(Session *s, Module *m) {
  Text t = {0};
  Module *copy = text_copy(s, m, &t);
  text_free(&t);
  return copy;
}

bool session_copy(Session *s, Session *from) {
  s->module = module_copy(from, from->module);
  s->target = from->target;
  s->opt = from->opt;
  s->sparsity_off = from->sparsity_off;
  return s->module != NULL;
}

bool session_recipe(Session *s) {
  s->stop_after = "recipe";
  bool ok = session_compile(s);
  s->stop_after = NULL;
  return ok;
}

/* Print, parse and go on with what was read. */
static bool roundtrip(Session *s, Module **m) {
  Text t = {0}, again = {0};
  Module *read = text_copy(s, *m, &t);
  if (read) module_print(&again, read, NULL);
  if (read && strcmp(t.s, again.s) != 0)
    internal_error(__FILE__, __LINE__,
                   "round trip changed the text:\n%s\n--- became ---\n%s",
                   t.s, again.s);
  text_free(&t);
  text_free(&again);
  if (!read) return false;
  module_free(*m);
  *m = read;
  return true;
}

/* What is under way, on standard error: a line that the next one replaces
 * on a terminal, lines of their own with --progress=plain; NULL: done. */
void session_progress(const Session *s, const char *what) {
  const char *how = s->o->progress ? s->o->progress : "auto";
  if (strcmp(how, "plain") == 0) {
    if (what) fprintf(stderr, "tamis: %s\n", what);
  } else if (strcmp(how, "auto") == 0 && isatty(STDERR_FILENO) &&
             !s->o->verbose && !s->o->time_report) {
    fprintf(stderr, "\r\033[K%s", what ? what : "");
    fflush(stderr);
  }
}

const char *session_source_pass(const Session *s) {
  return s->module->dump.weight_type ? "narrow" : "recipe";
}

/* A copy of m without what is left of the recipe. */
static Module *module_bare(Session *s, Module *m) {
  size_t steps = m->recipe.n;
  m->recipe.n = 0;
  Module *copy = module_copy(s, m);
  m->recipe.n = steps;
  return copy;
}

/* What the recipe begins with, and the first data that it names. */
static bool dense_keep(Session *s, Module *m) {
  for (size_t i = 0; i < m->recipe.n && !s->data.path; i++)
    recipe_data(&m->recipe.at[i], &s->data);
  if (s->data.path) s->data.path = arena_strdup(s->arena, s->data.path);
  return (s->dense = module_bare(s, m)) != NULL;
}

static bool models_keep(Session *s, const char *pass, Module *m) {
  if (strcmp(pass, "parse") == 0 && m->recipe.n) return dense_keep(s, m);
  if (strcmp(pass, "recipe") != 0 || !s->dense || s->pruned) return true;
  return (s->pruned = module_bare(s, m)) != NULL;
}

/* What passes had to say outlives the module, which a round trip replaces. */
static void notes_keep(Session *s, Module *m) {
  for (size_t i = 0; s->o->verbose && !s->own && i < m->notes.n; i++)
    fprintf(stderr, "tamis: %s\n", m->notes.at[i]);
  for (size_t i = 0; i < m->notes.n; i++)
    vec_push(s->arena, &s->notes, arena_strdup(s->arena, m->notes.at[i]));
  m->notes.n = 0;
}

static bool after_pass(void *ctx, const char *pass, Module **m,
                       double seconds) {
  Session *s = ctx;
  s->module = *m;
  session_progress(s, pass);
  if (s->o->time_report)
    fprintf(stderr, "%-10s %8.3f ms\n", pass, seconds * 1e3);
  notes_keep(s, *m);
  if (s->after && !s->after(s, pass, seconds)) return false;
  if (s->keep_dense && !models_keep(s, pass, *m)) return false;
  if (s->keep_source && strcmp(pass, session_source_pass(s)) == 0) {
    s->source = module_copy(s, *m);
    if (!s->source) return false;
  }
  /* The text of a single size says nothing of its dimension. */
  if (s->o->roundtrip && !s->own) {
    if (!roundtrip(s, m)) return false;
    s->module = *m;
  }
  return true;
}

static PipelineOpts pipeline_opts(Session *s, const Module *m) {
  return (PipelineOpts){
    .code_budget = m->dump.code_budget, .choices = s->choices,
    .weight_type = m->dump.weight_type,
    .target = &s->target, .sparsity_off = s->sparsity_off, .opt = s->opt,
  };
}

/* PredictFn for recipes: a copy of m goes through the passes behind the
 * recipe. */
static bool predict(void *ctx, Module *m, bool dense, Prediction *out) {
  Session *s = ctx;
  if (s->several)
    return diag_error_at(s->diags, EXIT_USAGE, "--cpu", "a recipe prunes to "
                         "what the net takes on one CPU: expected one, found "
                         "several");
  Module *copy = module_bare(s, m);
  if (!copy) return false;
  copy->dump.after = "recipe";
  PipelineOpts p = pipeline_opts(s, m);
  p.sparsity_off |= dense;
  if (dense) p.code_budget = -1;
  p.stop_after = "select";
  bool ok = pipeline_run(&copy, &p, s->diags);
  if (ok) *out = module_predict(copy, &s->target, s->choices);
  module_free(copy);
  return ok;
}

/* TensorsFn for recipes. */
static bool file_tensors(void *ctx, const char *path, Arena *a,
                         FileTensor **out, size_t *n) {
  Session *s = ctx;
  session_note_file(s, path);
  WeightFile *w = weights_read(a, s->diags, path);
  if (!w) return false;
  *n = w->tensors.n;
  *out = arena_array(a, FileTensor, *n + 1);
  for (size_t i = 0; i < *n; i++) {
    const WeightTensor *t = &w->tensors.at[i];
    Buffer *wide = weights_to_f32(t);
    float *v = arena_alloc(a, wide->size + sizeof *v);
    if (wide->size) memcpy(v, wide->data, wide->size);
    buffer_unref(wide);
    (*out)[i] = (FileTensor){t->name, t->type, v};
    (*out)[i].type.elem = F32;
  }
  weights_close(w);
  return true;
}

bool session_compile(Session *s) {
  s->keep_source |= sized_wanted(s);
  Calibrate calibrate = calibrate_by(s);
  PipelineOpts p = pipeline_opts(s, s->module);
  p.calibrate = &calibrate;
  p.stop_after = s->stop_after;
  p.stop_before = s->stop_before;
  p.after = after_pass;
  p.ctx = p.predict_ctx = s;
  p.predict = predict;
  p.tensors = file_tensors;
  p.tensors_ctx = s;
  bool ok = pipeline_run(&s->module, &p, s->diags);
  if (!ok && s->module) notes_keep(s, s->module);
  session_progress(s, NULL);
  return ok;
}

const char *session_prefix(const Session *s) {
  return s->o->prefix ? s->o->prefix : s->module->name;
}

EmitOpts session_emit_opts(const Session *s, EmitKind kind,
                           const char *out) {
  return (EmitOpts){
    .target = &s->target, .kind = kind, .out = out,
    .prefix = session_prefix(s), .opt = s->opt, .strip = s->o->strip,
    .external_weights = s->o->external_weights,
    .time_report = s->o->time_report, .verbose = s->o->verbose,
    .threads = s->o->threads || s->o->run_threads ? PARTS_MOST : 0,
  };
}

bool session_emit(Session *s, EmitKind kind, const char *out,
                  EmitInfo *info) {
  EmitOpts e = session_emit_opts(s, kind, out);
  return sessions_emit(s, 1, &e, info);
}

void session_close(Session *s) {
  for (int i = 0; i < s->nsized; i++) session_close(&s->sized[i]);
  if (s->module) module_free(s->module);
  if (s->source) module_free(s->source);
  if (s->dense) module_free(s->dense);
  if (s->pruned) module_free(s->pruned);
  if (s->facts) facts_free(s->facts);
  if (s->own) diags_free(s->own);
  if (s->layers) json_decref(s->layers);
  s->layers = NULL;
  s->module = s->source = s->dense = s->pruned = NULL;
  s->facts = NULL;
  s->own = NULL;
  s->nsized = 0;
}
