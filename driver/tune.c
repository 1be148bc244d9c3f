/* tune.c - --tune: the model is compiled several times, each time with one
 * kind of kernel wherever it can be taken, and all are run in turn, step by
 * step; each layer takes the kind that was fastest for it.  --tuned takes
 * what an earlier run wrote. */
#include "driver/driver.h"

#include <jansson.h>
#include <string.h>
#include <time.h>

enum { CANDIDATES = 8, ROUNDS = 15, LAYERS_MOST = 4096 };

/* A kind of kernel, for all layers at once. */
typedef struct Candidate { const char *name; Choice choice; } Candidate;

/* Tiles of dense products: those that are best by turns (choose.c). */
static const Candidate wide[CANDIDATES] = {
  {"dense", {NULL, 0, false, {0, 0}}},
  {"dense", {NULL, 0, false, {9, 3}}},
  {"dense", {NULL, 0, false, {14, 2}}},
  {"dense", {NULL, 0, false, {6, 4}}},
  {"csr", {NULL, 1, false, {0, 0}}},
  {"code", {NULL, 1, true, {0, 0}}},
  {"2x1", {NULL, 2, false, {0, 0}}},
  {"4x1", {NULL, 4, false, {0, 0}}},
};

/* A layer that has a choice: what each candidate takes for it. */
typedef struct Layer {
  const char *path;
  double us[CANDIDATES + 1];       /* the last: as chosen by the model */
  const char *kernel[CANDIDATES + 1];
  int tile[CANDIDATES + 1][2], height[CANDIDATES + 1];
  int64_t nonzeros;
  int best;
} Layer;

typedef struct Tune {
  Session *s;
  Vec(Layer) layers;
  Loaded built[CANDIDATES + 1];
  bool opened[CANDIDATES + 1];
  char *dir;
} Tune;

/* ---- layers ---------------------------------------------------------- */

static bool has_choice(const Node *n) {
  return (n->op == OP_LINEAR ||
          (n->op == OP_CONV2D && attr_int(n, "groups") == 1)) &&
         n->path && n->in[1]->op == OP_PARAM;
}

static Layer *layer_find(Tune *t, const char *path) {
  for (size_t i = 0; i < t->layers.n; i++)
    if (strcmp(t->layers.at[i].path, path) == 0) return &t->layers.at[i];
  return NULL;
}

/* What candidate k has for each layer. */
static void layers_note(Tune *t, Session *s, int k) {
  for (size_t f = 0; f < s->module->funcs.n; f++)
    for (size_t i = 0; i < s->module->funcs.at[f]->nodes.n; i++) {
      const Node *n = s->module->funcs.at[f]->nodes.at[i];
      if (!has_choice(n) || !n->kernel) continue;
      Layer *l = layer_find(t, n->path);
      if (!l && t->layers.n < LAYERS_MOST) {
        Layer new = {.path = arena_strdup(t->s->arena, n->path)};
        vec_push(t->s->arena, &t->layers, new);
        l = layer_find(t, n->path);
      }
      if (!l) continue;
      const Sparse *w = n->in[1]->type.sparse;
      l->kernel[k] = arena_strdup(t->s->arena, n->kernel);
      l->height[k] = !w ? 0 : w->n ? RUNS : w->br;
      memcpy(l->tile[k], n->tile, sizeof l->tile[k]);
      l->nonzeros = param_nonzeros(s->module, n->in[1]->param);
    }
}

/* ---- building -------------------------------------------------------- */

static bool candidate_build(Tune *t, int k) {
  Session s;
  Options o = *t->s->o;
  Diags *d = t->s->diags;
  Arena *a = t->s->arena;
  Choices all = {1, k < CANDIDATES ? &wide[k].choice : NULL};
  EmitInfo info = {0};
  o.threads = false;
  o.external_weights = NULL;
  o.strip = false;
  bool ok = session_open(&s, &o, d, a);
  s.text = t->s->text;
  if (k < CANDIDATES) s.choices = &all;
  ok = ok && session_load(&s) && session_compile(&s);
  if (!ok) {
    session_close(&s);
    return false;
  }
  layers_note(t, &s, k);
  char *so = folder_file(a, t->dir, arena_printf(a, "lib%d.so", k));
  char *header = folder_file(a, t->dir, arena_printf(a, "%s.h",
                                                     session_prefix(&s)));
  ok = session_emit(&s, EMIT_SO, so, &info);
  t->opened[k] = ok && artifact_open(&t->built[k], d, so);
  temporary_remove(so);
  temporary_remove(header);
  session_close(&s);
  return t->opened[k];
}

/* Registers and the kind of code rule some out. */
static bool candidate_fits(const Session *s, int k) {
  if (k == CANDIDATES) return true;
  const Choice *c = &wide[k].choice;
  if (c->code && !family_of(&s->target)->code_budget) return false;
  return c->tile[0] * c->tile[1] + c->tile[1] + 1 <= s->target.vregs;
}

/* ---- measuring ------------------------------------------------------- */

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* The steps of a layer are its kernel and the copies made for it. */
static void times_add(Tune *t, int k, double *sum) {
  const Loaded *l = &t->built[k];
  const tamis_model *m = l->model;
  m->run(l->io, l->arena);
  for (uint32_t i = 0; i < m->n_steps; i++) {
    double from = now_us();
    m->steps[i].run(l->io, l->arena, m->weights);
    double us = now_us() - from;
    Layer *x = layer_find(t, m->steps[i].path);
    if (x) sum[x - t->layers.at] += us;
  }
}

static void measure(Tune *t) {
  double *sum = arena_array(t->s->arena, double, t->layers.n + 1);
  for (int r = 0; r < ROUNDS; r++)
    for (int k = 0; k <= CANDIDATES; k++) {
      if (!t->opened[k]) continue;
      memset(sum, 0, t->layers.n * sizeof *sum);
      times_add(t, k, sum);
      for (size_t i = 0; i < t->layers.n; i++) {
        double *us = &t->layers.at[i].us[k];
        if (r == 0 || sum[i] < *us) *us = sum[i];
      }
    }
}

static bool inputs_draw(Tune *t, int k) {
  Options none = {0};
  uint64_t seed = 1;
  const Loaded *l = &t->built[k];
  for (uint32_t i = 0; i < l->model->n_inputs; i++) {
    Type type = artifact_type(&l->model->inputs[i]);
    if (!input_read(t->s->arena, t->s->diags, &none, l->model->inputs[i].name,
                    i, l->model->n_inputs, &type, &seed, l->io[i]))
      return false;
  }
  return true;
}

/* ---- choosing -------------------------------------------------------- */

/* Bytes of code a product of a pattern takes, with what goes around it. */
enum { CODE_BYTES = 10 };

/* The fastest; what the model would take unless another gains 3 %. */
static void layer_choose(Tune *t, Layer *l, int64_t *code_left) {
  double bar = 0.97 * l->us[CANDIDATES];
  l->best = CANDIDATES;
  for (int k = 0; k < CANDIDATES; k++) {
    bool code = t->opened[k] && l->kernel[k] &&
                strstr(l->kernel[k], "_code");
    if (!t->opened[k] || !l->kernel[k] || l->us[k] >= bar) continue;
    if (code && l->nonzeros * CODE_BYTES > *code_left) continue;
    bar = l->us[k];
    l->best = k;
  }
  if (strstr(l->kernel[l->best], "_code"))
    *code_left -= l->nonzeros * CODE_BYTES;
}

static const char *format_name(const Layer *l, int k) {
  static char name[16];
  if (strstr(l->kernel[k], "_code")) return "code";
  if (l->height[k] == 0) return "dense";
  if (l->height[k] == 1) return "csr";
  if (l->height[k] == RUNS) return "nm";
  snprintf(name, sizeof name, "%dx1", l->height[k]);
  return name;
}

static json_t *layer_json(const Tune *t, const Layer *l) {
  json_t *us = json_object();
  for (int k = 0; k <= CANDIDATES; k++) {
    if (!t->opened[k] || !l->kernel[k]) continue;
    char key[64];
    snprintf(key, sizeof key, "%s %s %dx%d", format_name(l, k), l->kernel[k],
             l->tile[k][0], l->tile[k][1]);
    double old = json_real_value(json_object_get(us, key));
    if (old > 0 && old < l->us[k]) continue;
    json_object_set_new(us, key, json_real(l->us[k]));
  }
  return json_pack("{s:o, s:s, s:[ii], s:o}", "layer", json_text(l->path),
                   "format", format_name(l, l->best), "tile",
                   l->tile[l->best][0], l->tile[l->best][1], "us", us);
}

static json_t *tuning_json(const Session *s, json_t *layers) {
  return json_pack("{s:i, s:s, s:s, s:s, s:s, s:o}", "tuned", 1, "model",
                   s->module->name, "target", s->target.triple, "cpu",
                   s->target.cpu, "features",
                   s->target.features ? s->target.features : "", "layers",
                   layers);
}

/* ---- from and to files ----------------------------------------------- */

static bool misfit(Diags *d, const char *path, const char *layer,
                   const char *what) {
  return diag_error_at(d, EXIT_FILE, path, "layer '%s': expected %s", layer,
                       what);
}

/* "dense", "csr", "code", "nm" or "Rx1". */
static bool format_read(const char *s, Choice *c) {
  int end = 0;
  c->code = strcmp(s, "code") == 0;
  c->height = c->code || strcmp(s, "csr") == 0;
  if (strcmp(s, "nm") == 0) c->height = RUNS;
  if (c->height || strcmp(s, "dense") == 0) return true;
  return sscanf(s, "%2dx1%n", &c->height, &end) == 1 && !s[end] &&
         c->height > 1;
}

static bool choice_read(Session *s, const char *path, json_t *j, Choice *c) {
  Diags *d = s->diags;
  const char *layer = json_string_value(json_object_get(j, "layer"));
  const char *format = json_string_value(json_object_get(j, "format"));
  json_t *tile = json_object_get(j, "tile");
  if (!layer) return misfit(d, path, "?", "its name as \"layer\"");
  *c = (Choice){.path = layer};
  if (!format || !format_read(format, c))
    return misfit(d, path, layer, "\"format\" to be dense, csr, code or a "
                  "block as 4x1");
  for (int i = 0; i < 2; i++) {
    json_int_t v = json_integer_value(json_array_get(tile, (size_t)i));
    bool ok = json_is_integer(json_array_get(tile, (size_t)i)) && v >= 0 &&
              v <= TILE_ROWS_MOST;
    if (!ok) return misfit(d, path, layer, "\"tile\" to be two numbers");
    c->tile[i] = (int)v;
  }
  if (c->tile[0] * c->tile[1] > TILE_SUMS_MOST ||
      c->tile[1] > TILE_VECTORS_MOST || !c->tile[0] != !c->tile[1])
    return misfit(d, path, layer, "\"tile\" to be rows and vectors that "
                  "kernels have");
  return true;
}

/* What was measured for another machine is no guide. */
static bool origin_fits(Session *s, const char *path, json_t *j) {
  const struct { const char *key, *have; } t[] = {
    {"model", s->module->name}, {"target", s->target.triple},
    {"cpu", s->target.cpu},
    {"features", s->target.features ? s->target.features : ""},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    const char *v = json_string_value(json_object_get(j, t[i].key));
    if (!v)
      return diag_error_at(s->diags, EXIT_FILE, path,
                           "expected \"%s\", found none", t[i].key);
    if (strcmp(v, t[i].have) != 0)
      return diag_error_at(s->diags, EXIT_USAGE, "--tuned",
                           "%s was measured for %s '%s', expected '%s'", path,
                           t[i].key, v, t[i].have);
  }
  return true;
}

/* The choices of t->file. */
static bool choices_read(Tuning *t, Session *s, const char *path) {
  json_t *layers = json_object_get(t->file, "layers");
  if (json_integer_value(json_object_get(t->file, "tuned")) != 1 ||
      !json_is_array(layers))
    return diag_error_at(s->diags, EXIT_FILE, path, "expected a file of "
                         "--tune (\"tuned\": 1, \"layers\": [...])");
  size_t n = json_array_size(layers);
  Choice *c = arena_array(s->arena, Choice, n + 1);
  for (size_t i = 0; i < n; i++)
    if (!choice_read(s, path, json_array_get(layers, i), &c[i])) return false;
  t->choices = (Choices){n, c};
  return origin_fits(s, path, t->file);
}

bool tuning_read(Tuning *t, Session *s, const char *path) {
  json_error_t e;
  Buffer *b = buffer_map(s->diags, path);
  *t = (Tuning){0};
  if (!b) return false;
  t->file = json_loadb((const char *)b->data, b->size, JSON_REJECT_DUPLICATES,
                       &e);
  buffer_unref(b);
  if (!t->file)
    return diag_error_at(s->diags, EXIT_FILE, path, "line %d, column %d: %s",
                         e.line, e.column, e.text);
  return choices_read(t, s, path);
}

void tuning_write(const Tuning *t, FILE *to) {
  json_dumpf(t->file, to, JSON_INDENT(1) | JSON_REAL_PRECISION(4));
  fputc('\n', to);
}

void tuning_free(Tuning *t) { json_decref(t->file); }

/* ---- the whole ------------------------------------------------------- */

bool tuning_measure(Tuning *t, Session *s) {
  Tune all = {.s = s};
  int64_t budget = s->module->dump.code_budget;
  if (budget == 0) budget = family_of(&s->target)->code_budget;
  *t = (Tuning){0};
  if (!target_is_host(s->target.triple))
    return diag_error_at(s->diags, EXIT_UNSUPPORTED, "--tune", "measures on "
                         "this machine, which cannot run code for %s",
                         s->target.triple);
  all.dir = folder_temporary(s->arena, s->diags);
  bool ok = all.dir != NULL;
  for (int k = 0; ok && k <= CANDIDATES; k++)
    if (candidate_fits(s, k))
      ok = candidate_build(&all, k) && inputs_draw(&all, k);
  if (ok) measure(&all);
  json_t *layers = json_array();
  for (size_t i = 0; ok && i < all.layers.n; i++) {
    layer_choose(&all, &all.layers.at[i], &budget);
    json_array_append_new(layers, layer_json(&all, &all.layers.at[i]));
  }
  for (int k = 0; k <= CANDIDATES; k++)
    if (all.opened[k]) artifact_close(&all.built[k]);
  if (all.dir) temporary_remove(all.dir);
  t->file = tuning_json(s, layers);
  return ok && choices_read(t, s, "--tune");
}

bool tuning_taken(const Tuning *t, Session *s, const char *path) {
  Tune now = {.s = s};
  layers_note(&now, s, 0);
  for (size_t i = 0; i < t->choices.n; i++) {
    const Choice *c = &t->choices.at[i];
    const Layer *l = layer_find(&now, c->path);
    if (!l)
      return diag_error_at(s->diags, EXIT_USAGE, "--tuned", "%s: the model "
                           "has no layer '%s' that has a choice", path,
                           c->path);
    bool same = l->height[0] == c->height &&
                c->code == (strstr(l->kernel[0], "_code") != NULL);
    if (!same)
      return diag_error_at(s->diags, EXIT_USAGE, "--tuned", "%s: layer '%s' "
                           "cannot take what was measured: its weights or "
                           "its place are others", path, c->path);
  }
  for (size_t f = 0; f < s->module->funcs.n; f++)
    for (size_t i = 0; i < s->module->funcs.at[f]->nodes.n; i++) {
      Node *n = s->module->funcs.at[f]->nodes.at[i];
      if (has_choice(n) && n->why && choice_of(&t->choices, n))
        n->why = arena_printf(s->module->arena, "tuned: %s", n->why);
    }
  return true;
}
