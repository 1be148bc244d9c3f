/* tuned.c - the files that --tune writes and --tuned reads: what each layer
 * shall take, and what was measured.  A layer is known by its path; op, shape
 * and nonzeros say whether it still is the one that was measured. */
#include "driver/driver.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

bool node_has_choice(const Node *n) {
  return (n->op == OP_LINEAR ||
          (n->op == OP_CONV2D && attr_int(n, "groups") == 1)) &&
         n->path && n->in[1]->op == OP_PARAM;
}

const char *node_format(Arena *a, const Node *n) {
  const Sparse *w = n->in[1]->type.sparse;
  if (strstr(n->kernel, "_code")) return "code";
  if (strstr(n->kernel, "_channels")) return "channels";
  if (!w) return "dense";
  if (strstr(n->kernel, "_pair")) return "pair";
  if (w->n) return "nm";
  return w->br == 1 ? "csr" : arena_printf(a, "%dx1", w->br);
}

/* ---- reading --------------------------------------------------------- */

static bool misfit(Diags *d, const char *path, const char *layer,
                   const char *what) {
  return diag_error_at(d, EXIT_FILE, path, "layer '%s': expected %s", layer,
                       what);
}

/* "dense", "channels", "csr", "code", "pair", "nm" or "Rx1". */
static bool format_read(const char *s, Choice *c) {
  int end = 0;
  c->code = strcmp(s, "code") == 0;
  c->height = c->code || strcmp(s, "csr") == 0;
  if (strcmp(s, "nm") == 0) c->height = RUNS;
  if (strcmp(s, "pair") == 0) c->height = PAIRS;
  c->channels = strcmp(s, "channels") == 0;
  if (c->height || c->channels || strcmp(s, "dense") == 0) return true;
  return sscanf(s, "%2dx1%n", &c->height, &end) == 1 && !s[end] &&
         c->height > 1;
}

static bool tile_read(json_t *tile, Choice *c) {
  for (size_t i = 0; i < 2; i++) {
    json_int_t v = json_integer_value(json_array_get(tile, i));
    if (!json_is_integer(json_array_get(tile, i)) || v < 0 ||
        v > TILE_ROWS_MOST)
      return false;
    c->tile[i] = (int)v;
  }
  return c->tile[0] * c->tile[1] <= TILE_SUMS_MOST &&
         c->tile[1] <= TILE_VECTORS_MOST && !c->tile[0] == !c->tile[1];
}

static bool choice_read(Session *s, const char *path, json_t *j, Choice *c) {
  Diags *d = s->diags;
  const char *layer = json_string_value(json_object_get(j, "layer"));
  const char *format = json_string_value(json_object_get(j, "format"));
  if (!layer) return misfit(d, path, "?", "its name as \"layer\"");
  *c = (Choice){.path = layer};
  if (!json_is_string(json_object_get(j, "op")))
    return misfit(d, path, layer, "its \"op\"");
  if (!json_is_array(json_object_get(j, "shape")))
    return misfit(d, path, layer, "its \"shape\", as [1,8]");
  if (!json_is_integer(json_object_get(j, "nonzeros")))
    return misfit(d, path, layer, "\"nonzeros\" to be a whole number");
  if (!format || !format_read(format, c))
    return misfit(d, path, layer, "\"format\" to be dense, channels, csr, "
                  "code, pair, nm or a block as 4x1");
  if (!tile_read(json_object_get(j, "tile"), c))
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
  for (size_t i = 0; i < n; i++) {
    if (!choice_read(s, path, json_array_get(layers, i), &c[i])) return false;
    for (size_t k = 0; k < i; k++)
      if (strcmp(c[k].path, c[i].path) == 0)
        return misfit(s->diags, path, c[i].path, "one entry, found two");
  }
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

/* ---- writing --------------------------------------------------------- */

bool tuning_make(Tuning *t, Session *s, json_t *layers) {
  t->file = json_pack("{s:i, s:s, s:s, s:s, s:s, s:o}", "tuned", 1, "model",
                      s->module->name, "target", s->target.triple, "cpu",
                      s->target.cpu, "features",
                      s->target.features ? s->target.features : "", "layers",
                      layers);
  ensure(t->file);
  return choices_read(t, s, "--tune");
}

void tuning_write(const Tuning *t, FILE *to) {
  json_dumpf(t->file, to, JSON_INDENT(1) | JSON_REAL_PRECISION(4));
  fputc('\n', to);
}

void tuning_free(Tuning *t) { json_decref(t->file); }

/* ---- what a build made of it ----------------------------------------- */

static Node *node_find(const Module *m, const char *path) {
  for (size_t f = 0; f < m->funcs.n; f++)
    for (size_t i = 0; i < m->funcs.at[f]->nodes.n; i++) {
      Node *n = m->funcs.at[f]->nodes.at[i];
      if (node_has_choice(n) && strcmp(n->path, path) == 0) return n;
    }
  return NULL;
}

static char *json_line(json_t *j) {
  char *text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
  ensure(text);
  return text;
}

/* Is it the layer that was measured?  Other zeros may want other kernels. */
static bool layer_fits(Session *s, const char *path, json_t *j,
                       const Node *n) {
  const char *op = json_string_value(json_object_get(j, "op"));
  json_int_t was = json_integer_value(json_object_get(j, "nonzeros"));
  json_t *shape = json_object_get(j, "shape"), *now = json_shape(&n->type);
  bool ok = strcmp(op, op_info(n->op)->name) == 0 && json_equal(shape, now);
  int64_t nonzeros = param_nonzeros(s->module, n->in[1]->param);
  if (!ok) {
    char *a = json_line(now), *b = json_line(shape);
    diag_error_at(s->diags, EXIT_USAGE, "--tuned", "%s: layer '%s' was "
                  "measured as %s %s, expected %s %s", path, n->path, op, b,
                  op_info(n->op)->name, a);
    free(a);
    free(b);
  } else if (nonzeros != was) {
    diag_warning(s->diags, n->span, "layer '%s' was measured with %lld "
                 "nonzeros, and has %lld: other kernels may be faster",
                 n->path, (long long)was, (long long)nonzeros);
  }
  json_decref(now);
  return ok;
}

static bool choice_taken(Session *s, const char *path, const Choice *c,
                         const Node *n) {
  const Sparse *w = n->in[1]->type.sparse;
  bool code = strstr(n->kernel, "_code") != NULL;
  bool pair = strstr(n->kernel, "_pair") != NULL;
  int height = !w ? 0 : pair ? PAIRS : w->n ? RUNS : w->br;
  if (height == c->height && code == c->code) return true;
  if (c->code)
    return diag_error_at(s->diags, EXIT_USAGE, "--tuned", "%s: layer '%s' "
                         "cannot be code for its pattern, which was measured: "
                         "the target, its place or --code-budget rule it out",
                         path, c->path);
  return diag_error_at(s->diags, EXIT_USAGE, "--tuned", "%s: layer '%s' "
                       "cannot take what was measured: its weights or its "
                       "place are others", path, c->path);
}

bool tuning_taken(const Tuning *t, Session *s, const char *path) {
  json_t *layers = json_object_get(t->file, "layers");
  for (size_t i = 0; i < t->choices.n; i++) {
    const Choice *c = &t->choices.at[i];
    Node *n = node_find(s->module, c->path);
    if (!n)
      return diag_error_at(s->diags, EXIT_USAGE, "--tuned", "%s: the model "
                           "has no layer '%s' that has a choice", path,
                           c->path);
    if (!layer_fits(s, path, json_array_get(layers, i), n) ||
        !choice_taken(s, path, c, n))
      return false;
    if (n->why)
      n->why = arena_printf(s->module->arena, "tuned: %s", n->why);
  }
  return true;
}
