/* tune.c - --tune: the model is compiled several times, each time with one
 * kind of kernel wherever it can be taken, and all are run in turn, step by
 * step; each layer takes the kind that was fastest for it, code for patterns
 * within its budget.  What was chosen is then compiled as a whole and run in
 * turn with what the model takes: neighbours change layouts, and the least of
 * many times is often luck.  A layer that is slower there takes what the model
 * does.  tuned.c writes and reads what was chosen. */
#include "driver/driver.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MODEL = 0, CANDIDATES = 18, LAYERS_MOST = 4096 };
/* What was chosen, and the model's measured again beside it. */
enum { CHOSEN = CANDIDATES, AGAIN, SLOTS };
/* Rounds take half a second, within these. */
enum { ROUNDS_LEAST = 15, ROUNDS_MOST = 400, ROUNDS_US = 500000 };
enum { ATTEMPTS = 3 };

/* A kind of kernel, for all layers at once; the first is what the cost model
 * takes.  Tiles of dense products are those that are best by turns: three for
 * 32 registers, two for 16. */
static const Choice wide[CANDIDATES] = {
  [MODEL] = {0},
  {NULL, 0, false, {0, 0}, false}, {NULL, 0, false, {9, 3}, false},
  {NULL, 0, false, {14, 2}, false}, {NULL, 0, false, {6, 4}, false},
  {NULL, 0, false, {6, 2}, false}, {NULL, 0, false, {4, 3}, false},
  {NULL, 0, false, {0, 0}, true}, {NULL, 0, false, {7, 3}, true},
  {NULL, 0, false, {4, 3}, true},
  {NULL, 1, false, {0, 0}, false}, {NULL, 1, true, {0, 0}, false},
  {NULL, 2, false, {0, 0}, false}, {NULL, 4, false, {0, 0}, false},
  {NULL, 8, false, {0, 0}, false}, {NULL, 16, false, {0, 0}, false},
  {NULL, RUNS, false, {0, 0}, false}, {NULL, PAIRS, false, {0, 0}, false},
};

/* What a layer takes of a candidate; kernel NULL: nothing. */
typedef struct Taken {
  const char *format, *kernel;
  int tile[2];
  double us;                       /* the least of all rounds */
} Taken;

/* A layer that has a choice. */
typedef struct Layer {
  const char *path, *op;
  Type shape;
  int64_t nonzeros, code_bytes;    /* of its code, where it is taken */
  bool measured;                   /* it is a step of its own */
  Taken of[SLOTS];
  int plain, code, best;           /* the fastest; code -1: there is none */
} Layer;

typedef struct Tune {
  Session *s;
  Vec(Layer) layers;
  Loaded built[SLOTS];
  bool opened[SLOTS];
  double whole[SLOTS];             /* all steps, the least in us */
  int64_t budget;                  /* for code */
  Tuning *chosen;
  char *dir;
} Tune;

/* ---- layers ---------------------------------------------------------- */

static Layer *layer_find(Tune *t, const char *path) {
  for (size_t i = 0; i < t->layers.n; i++)
    if (strcmp(t->layers.at[i].path, path) == 0) return &t->layers.at[i];
  return NULL;
}

static Layer *layer_add(Tune *t, Module *m, const Node *n) {
  Arena *a = t->s->arena;
  if (t->layers.n == LAYERS_MOST) return NULL;
  Layer l = {.path = arena_strdup(a, n->path), .op = op_info(n->op)->name};
  l.shape = type_make(n->type.elem, n->type.rank, n->type.dim);
  l.nonzeros = param_nonzeros(m, n->in[1]->param);
  vec_push(a, &t->layers, l);
  return &t->layers.at[t->layers.n - 1];
}

/* What candidate k has for each layer. */
static void layers_note(Tune *t, Session *s, int k) {
  Arena *a = t->s->arena;
  for (size_t f = 0; f < s->module->funcs.n; f++)
    for (size_t i = 0; i < s->module->funcs.at[f]->nodes.n; i++) {
      const Node *n = s->module->funcs.at[f]->nodes.at[i];
      if (!node_has_choice(n) || !n->kernel) continue;
      Layer *l = layer_find(t, n->path);
      if (!l) l = layer_add(t, s->module, n);
      if (!l) continue;
      int64_t bytes = node_code_bytes(s->module, &s->target, n);
      if (bytes) l->code_bytes = bytes;
      l->of[k] = (Taken){node_format(a, n), arena_strdup(a, n->kernel),
                         {n->tile[0], n->tile[1]}, 0};
    }
}

static bool same(const Taken *a, const Taken *b) {
  return a->kernel && b->kernel && strcmp(a->format, b->format) == 0 &&
         strcmp(a->kernel, b->kernel) == 0 && a->tile[0] == b->tile[0] &&
         a->tile[1] == b->tile[1];
}

/* Forget what candidates before k had too; is there anything left? */
static bool layers_new(Tune *t, int k) {
  bool any = false;
  for (size_t i = 0; i < t->layers.n; i++) {
    Taken *now = &t->layers.at[i].of[k];
    for (int j = 0; j < k; j++)
      if (same(now, &t->layers.at[i].of[j])) now->kernel = NULL;
    any |= now->kernel != NULL;
  }
  return any;
}

/* ---- building -------------------------------------------------------- */

static bool candidate_emit(Tune *t, Session *s, int k) {
  Arena *a = t->s->arena;
  EmitInfo info = {0};
  char *so = folder_file(a, t->dir, arena_printf(a, "lib%d.so", k));
  char *header = folder_file(a, t->dir, arena_printf(a, "%s.h",
                                                     session_prefix(s)));
  bool ok = session_emit(s, EMIT_SO, so, &info);
  t->opened[k] = ok && artifact_open(&t->built[k], s->diags, so);
  temporary_remove(so);
  temporary_remove(header);
  return t->opened[k];
}

static bool inputs_draw(Tune *t, int k) {
  Options none = {0};
  uint64_t seed = 1;
  const Loaded *l = &t->built[k];
  for (uint32_t i = 0; i < l->model->n_inputs; i++) {
    Type type = artifact_type(l, &l->model->inputs[i]);
    if (!input_read(t->s->arena, t->s->diags, &none, l->model->inputs[i].name,
                    i, l->model->n_inputs, &type, &seed, l->io[i]))
      return false;
  }
  return true;
}

/* The choices of candidate k; NULL: the model's. */
static const Choices *choices_for(const Tune *t, int k, Choices *all) {
  if (k == MODEL) return NULL;
  if (k == CHOSEN) return &t->chosen->choices;
  *all = (Choices){1, &wide[k]};
  return all;
}

static bool candidate_build(Tune *t, int k) {
  Session s;
  Options o = *t->s->o;
  Choices all;
  o.threads = o.strip = o.verbose = o.time_report = false;
  o.external_weights = NULL;
  o.progress = "off";
  bool ok = session_open(&s, &o, t->s->diags, t->s->arena);
  s.whole = true;
  s.choices = choices_for(t, k, &all);
  ok = ok && session_copy(&s, t->s) && session_compile(&s);
  if (ok) layers_note(t, &s, k);
  if (ok && (k == MODEL || k == CHOSEN || layers_new(t, k)))
    ok = candidate_emit(t, &s, k);
  session_close(&s);
  return ok && (!t->opened[k] || inputs_draw(t, k));
}

/* Registers and the kind of code rule some out. */
static bool candidate_fits(const Session *s, int k) {
  const Choice *c = &wide[k];
  int sums = c->tile[0] * c->tile[1], vregs = s->target.vregs;
  if (c->code && !family_of(&s->target)->code_budget) return false;
  if (c->height != 0 && s->sparsity_off) return false;
  return !sums || (sums + c->tile[1] + 1 <= vregs && 2 * sums > vregs);
}

static bool candidates_build(Tune *t) {
  for (int k = 0; k < CANDIDATES; k++) {
    if (!candidate_fits(t->s, k)) continue;
    session_progress(t->s, arena_printf(t->s->arena, "tune: kernels %d of %d",
                                        k + 1, CANDIDATES));
    if (!candidate_build(t, k)) return false;
  }
  return true;
}

/* ---- measuring ------------------------------------------------------- */

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* The steps of a layer are its kernel and the copies made for it. */
static double times_add(Tune *t, int k, double *sum) {
  const Loaded *l = &t->built[k];
  const tamis_model *m = l->model;
  double whole = 0;
  m->run(l->io, l->arena);
  for (uint32_t i = 0; i < m->n_steps; i++) {
    double from = now_us();
    m->steps[i].run(l->io, l->arena, m->weights);
    double us = now_us() - from;
    Layer *x = layer_find(t, m->steps[i].path);
    whole += us;
    if (!x) continue;
    x->measured = true;
    sum[x - t->layers.at] += us;
  }
  return whole;
}

/* A round of artifact k; its times go to `slot`. */
static void round_run(Tune *t, int k, int slot, bool first, double *sum) {
  memset(sum, 0, t->layers.n * sizeof *sum);
  double whole = times_add(t, k, sum);
  if (first || whole < t->whole[slot]) t->whole[slot] = whole;
  for (size_t i = 0; i < t->layers.n; i++) {
    double *us = &t->layers.at[i].of[slot].us;
    if (first || sum[i] < *us) *us = sum[i];
  }
}

/* The n artifacts in turn; the times of which[i] go to slot[i]. */
static void measure(Tune *t, const int *which, const int *slot, int n) {
  double *sum = arena_array(t->s->arena, double, t->layers.n + 1);
  double begin = now_us();
  for (int r = 0; r < ROUNDS_MOST; r++) {
    if (r >= ROUNDS_LEAST && now_us() - begin > ROUNDS_US) break;
    session_progress(t->s, arena_printf(t->s->arena, "tune: round %d",
                                        r + 1));
    for (int i = 0; i < n; i++) round_run(t, which[i], slot[i], r == 0, sum);
  }
}

static void candidates_measure(Tune *t) {
  int which[CANDIDATES], n = 0;
  for (int k = 0; k < CANDIDATES; k++)
    if (t->opened[k]) which[n++] = k;
  measure(t, which, which, n);
}

/* ---- choosing -------------------------------------------------------- */

/* What the model takes has an advantage: another must gain 3 %. */
static double weighed(const Layer *l, int k) {
  return k == MODEL ? 0.97 * l->of[k].us : l->of[k].us;
}

/* The fastest that is code, or is not; -1: there is none. */
static int fastest(const Layer *l, bool code) {
  int best = -1;
  for (int k = 0; k < CANDIDATES; k++) {
    const Taken *x = &l->of[k];
    if (!x->kernel || (strcmp(x->format, "code") == 0) != code) continue;
    if (best < 0 || weighed(l, k) < weighed(l, best)) best = k;
  }
  return best;
}

/* What its code saves by the byte. */
static double code_gain(const Layer *l) {
  if (l->code < 0 || !l->code_bytes) return 0;
  return (weighed(l, l->plain) - weighed(l, l->code)) /
         (double)l->code_bytes;
}

static int by_gain(const void *pa, const void *pb) {
  const Layer *a = *(Layer *const *)pa, *b = *(Layer *const *)pb;
  double x = code_gain(a), y = code_gain(b);
  if (x != y) return x > y ? -1 : 1;
  return a < b ? -1 : a > b;
}

/* As pass select does: code where it saves most, while the budget lasts. */
static void layers_choose(Tune *t) {
  size_t n = t->layers.n;
  Layer **order = arena_array(t->s->arena, Layer *, n + 1);
  for (size_t i = 0; i < n; i++) {
    Layer *l = order[i] = &t->layers.at[i];
    l->plain = fastest(l, false);
    l->code = fastest(l, true);
    if (l->plain < 0) l->plain = l->code;
  }
  qsort(order, n, sizeof *order, by_gain);
  for (size_t i = 0; i < n; i++) {
    Layer *l = order[i];
    bool take = code_gain(l) > 0 && l->code_bytes <= t->budget;
    l->best = take ? l->code : l->plain;
    if (take) t->budget -= l->code_bytes;
  }
}

static json_t *layer_json(const Layer *l) {
  json_t *us = json_object();
  const Taken *best = &l->of[l->best];
  for (int k = 0; k < CANDIDATES; k++) {
    const Taken *x = &l->of[k];
    char key[64];
    if (!x->kernel) continue;
    snprintf(key, sizeof key, "%s %s %dx%d", x->format, x->kernel, x->tile[0],
             x->tile[1]);
    json_object_set_new(us, key, json_real(x->us));
  }
  return json_pack("{s:o, s:s, s:o, s:I, s:s, s:[ii], s:o}", "layer",
                   json_text(l->path), "op", l->op, "shape",
                   json_shape(&l->shape), "nonzeros", (json_int_t)l->nonzeros,
                   "format", best->format, "tile", best->tile[0],
                   best->tile[1], "us", us);
}

/* Layers of functions that are called are no steps: they stay as the model
 * has them. */
static json_t *layers_json(const Tune *t) {
  json_t *layers = json_array();
  for (size_t i = 0; i < t->layers.n; i++)
    if (t->layers.at[i].measured)
      json_array_append_new(layers, layer_json(&t->layers.at[i]));
  return layers;
}

/* ---- all together ---------------------------------------------------- */

static bool is_code(const Layer *l, int k) {
  return strcmp(l->of[k].format, "code") == 0;
}

/* A layer takes what the model does, if the budget has room for it. */
static bool layer_revert(Tune *t, Layer *l) {
  int64_t more = (is_code(l, MODEL) ? l->code_bytes : 0) -
                 (is_code(l, l->best) ? l->code_bytes : 0);
  if (l->best == MODEL || !l->of[MODEL].kernel || more > t->budget)
    return false;
  t->budget -= more;
  l->best = MODEL;
  return true;
}

/* Revert what is slower among the others, or all; was there any? */
static bool layers_revert(Tune *t, bool all) {
  bool any = false;
  for (size_t i = 0; i < t->layers.n; i++) {
    Layer *l = &t->layers.at[i];
    if (all || l->of[CHOSEN].us > l->of[AGAIN].us)
      any |= layer_revert(t, l);
  }
  return any;
}

static bool chosen_make(Tune *t) {
  tuning_free(t->chosen);
  *t->chosen = (Tuning){0};
  return tuning_make(t->chosen, t->s, layers_json(t));
}

/* Build and measure what was chosen until nothing in it is slower than what
 * the model takes; if the whole still is, take that. */
static bool chosen_check(Tune *t) {
  const int which[] = {MODEL, CHOSEN}, slot[] = {AGAIN, CHOSEN};
  bool slower = true;
  for (int i = 0; i < ATTEMPTS && slower; i++) {
    bool ok = chosen_make(t) && candidate_build(t, CHOSEN);
    if (ok) measure(t, which, slot, 2);
    if (t->opened[CHOSEN]) artifact_close(&t->built[CHOSEN]);
    t->opened[CHOSEN] = false;
    if (!ok) return false;
    slower = layers_revert(t, false);
  }
  if (t->whole[CHOSEN] > t->whole[AGAIN]) layers_revert(t, true);
  return chosen_make(t);
}

/* ---- the whole ------------------------------------------------------- */

/* The recipe is carried out once, for all that is built. */
static bool tune_run(Tune *t) {
  if (!session_recipe(t->s)) return false;
  t->dir = folder_temporary(t->s->arena, t->s->diags);
  if (!t->dir || !candidates_build(t)) return false;
  candidates_measure(t);
  layers_choose(t);
  return chosen_check(t);
}

bool tuning_measure(Tuning *t, Session *s) {
  Tune all = {.s = s, .chosen = t};
  all.budget = s->module->dump.code_budget;
  if (all.budget == 0) all.budget = family_of(&s->target)->code_budget;
  *t = (Tuning){0};
  if (!target_is_host(s->target.triple))
    return diag_error_at(s->diags, EXIT_UNSUPPORTED, "--tune", "measures on "
                         "this machine, which cannot run code for %s",
                         s->target.triple);
  bool ok = tune_run(&all);
  session_progress(s, NULL);
  for (int k = 0; k < SLOTS; k++)
    if (all.opened[k]) artifact_close(&all.built[k]);
  if (all.dir) temporary_remove(all.dir);
  return ok;
}
