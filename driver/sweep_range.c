/* sweep_range.c - the points of a sweep: every recipe with every method, every
 * pattern and every sparsity; and what they put into the recipe. */
#include "driver/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/calibrated.h"
#include "passes/prune.h"

enum { POINTS_MOST = 10000 };

typedef Vec(const char *) Words;
typedef Vec(double) Numbers;

/* ---- lists ----------------------------------------------------------- */

/* The items between commas; none of them is empty or comes twice. */
static bool words_read(Sweep *w, const char *opt, const char *s, Words *out) {
  char *save, *list = arena_strdup(w->a, s);
  size_t commas = 0;
  for (const char *c = s; *c; c++) commas += *c == ',';
  for (char *x = strtok_r(list, ",", &save); x;
       x = strtok_r(NULL, ",", &save)) {
    for (size_t i = 0; i < out->n; i++)
      if (strcmp(out->at[i], x) == 0)
        return diag_error_at(w->d, EXIT_USAGE, opt, "'%s' is given twice", x);
    vec_push(w->a, out, x);
  }
  return out->n == commas + 1 ||
         diag_error_at(w->d, EXIT_USAGE, opt, "expected items between commas, "
                       "found '%s'", s);
}

/* "0..1" begins with 0, not with "0.". */
static bool share_read(const char *s, const char **end, double *out) {
  char text[32];
  const char *dots = strstr(s, "..");
  size_t n = dots ? (size_t)(dots - s) : strcspn(s, ":");
  if (n == 0 || n >= sizeof text || strspn(s, "0123456789.e-") < n)
    return false;
  memcpy(text, s, n);
  text[n] = 0;
  char *last;
  *out = strtod(text, &last);
  *end = s + n;
  return !*last && *out >= 0 && *out <= 1;
}

/* 0.5 or 0.6..0.9:0.1, both ends included. */
static bool range_read(Sweep *w, const char *s, Numbers *out) {
  double from, to, step = 0;
  const char *end;
  char *last = "";
  bool ok = share_read(s, &end, &from);
  to = from;
  if (ok && *end == '.') {
    ok = share_read(end + 2, &end, &to) && to >= from && *end == ':';
    if (ok) step = strtod(end + 1, &last);
    ok = ok && step > 0 && isfinite(step) && (to - from) / step < POINTS_MOST;
  } else if (ok) {
    ok = !*end;
  }
  if (!ok || *last)
    return diag_error_at(w->d, EXIT_USAGE, "--sparsity", "expected numbers "
                         "from 0 to 1 or ranges as 0.5..0.9:0.1 of at most "
                         "%d, found '%s'", POINTS_MOST, s);
  for (int i = 0; from + i * step <= to + 1e-9; i++) {
    char text[32];           /* 0.7, not 0.7000000000000001 */
    snprintf(text, sizeof text, "%.10g", from + i * step);
    double v = strtod(text, NULL);
    bool there = false;
    for (size_t k = 0; k < out->n; k++) there |= out->at[k] == v;
    if (!there) vec_push(w->a, out, v);
    if (step == 0) break;
  }
  return true;
}

static bool sparsities_read(Sweep *w, Numbers *out) {
  Words items = {0};
  const char *s = w->o->sparsities;
  if (!s) {
    vec_push(w->a, out, -1);
    return true;
  }
  if (!words_read(w, "--sparsity", s, &items)) return false;
  for (size_t i = 0; i < items.n; i++)
    if (!range_read(w, items.at[i], out)) return false;
  return true;
}

static bool patterns_read(Sweep *w, Words *out) {
  const char *s = w->o->patterns;
  Pattern p;
  if (s && !words_read(w, "--pattern", s, out)) return false;
  for (size_t i = 0; i < out->n; i++)
    if (!pattern_parse(&(Attr){.kind = ATTR_STR, .s = out->at[i]}, &p))
      return diag_error_at(w->d, EXIT_USAGE, "--pattern", "expected "
                           "unstructured, row, column, channel, head, blocks "
                           "as 4x1 or N:M as 2:4, found '%s'", out->at[i]);
  if (!s) vec_push(w->a, out, NULL);
  return true;
}

static bool is_calibrated(const char *method) {
  return method && method_is_calibrated(method);
}

static bool methods_read(Sweep *w, Words *out) {
  const char *s = w->o->methods;
  if (s && !words_read(w, "--method", s, out)) return false;
  for (size_t i = 0; i < out->n; i++)
    if (!is_calibrated(out->at[i]) && !criterion_find(out->at[i]))
      return diag_error_at(w->d, EXIT_USAGE, "--method", "expected %s, found "
                           "'%s'", criterion_names(w->a), out->at[i]);
  if (!s) vec_push(w->a, out, NULL);
  return true;
}

bool sweep_points(Sweep *w) {
  const Options *o = w->o;
  Words recipes = {0}, patterns = {0}, methods = {0};
  Numbers sparsities = {0};
  if (o->recipe ? !words_read(w, "--recipe", o->recipe, &recipes)
                : !o->sparsities && !o->patterns)
    return diags_errors(w->d) ? false
      : diag_error_at(w->d, EXIT_USAGE, "sweep", "expected --recipe, or "
                      "--sparsity or --pattern for all layers");
  if (!o->recipe) vec_push(w->a, &recipes, NULL);
  if (!sparsities_read(w, &sparsities) || !patterns_read(w, &patterns) ||
      !methods_read(w, &methods))
    return false;
  size_t count = checked_mul(recipes.n * patterns.n,
                             methods.n * sparsities.n);
  if (count > POINTS_MOST)
    return diag_error_at(w->d, EXIT_USAGE, "sweep", "expected at most %d "
                         "points, found %zu", POINTS_MOST, count);
  vec_push(w->a, &w->points, ((Point){.recipe = recipes.at[0], .dense = true,
                                      .sparsity = -1}));
  for (size_t r = 0; r < recipes.n; r++)
    for (size_t m = 0; m < methods.n; m++)
      for (size_t p = 0; p < patterns.n; p++)
        for (size_t i = 0; i < sparsities.n; i++)
          vec_push(w->a, &w->points,
                   ((Point){.recipe = recipes.at[r], .method = methods.at[m],
                            .pattern = patterns.at[p],
                            .sparsity = sparsities.at[i]}));
  return true;
}

/* ---- into the recipe ------------------------------------------------- */

static RecipeArg *arg_find(RecipeStep *s, const char *name) {
  for (size_t i = 0; i < s->args.n; i++)
    if (strcmp(s->args.at[i].name, name) == 0) return &s->args.at[i];
  return NULL;
}

static void arg_drop(RecipeStep *s, const char *name) {
  RecipeArg *a = arg_find(s, name);
  if (a) *a = s->args.at[--s->args.n];
}

static void args_drop(RecipeStep *s, const char *const *names) {
  for (; *names; names++) arg_drop(s, *names);
}

static void arg_set(Module *m, RecipeStep *s, const char *name, Attr v) {
  RecipeArg *a = arg_find(s, name);
  v.set = true;
  if (a) a->value = v;
  else vec_push(m->arena, &s->args, ((RecipeArg){name, v}));
}

static void word_set(Module *m, RecipeStep *s, const char *name,
                     const char *word) {
  arg_set(m, s, name, (Attr){.kind = ATTR_STR, .s = word});
}

static const char *numbers_text(Arena *a, const double *v, int n) {
  Text t = {0};
  for (int i = 0; i < n; i++)
    text_printf(&t, "%s%.17g", i ? ":" : "", v[i]);
  const char *s = arena_strdup(a, t.n ? t.s : "");
  text_free(&t);
  return s;
}

/* Calibration data are the recipe's, else those of --data. */
static void data_set(const DataOpts *o, Module *m, RecipeStep *s) {
  if (!o->path || arg_find(s, "data")) return;
  word_set(m, s, "data", o->path);
  if (o->samples)
    arg_set(m, s, "samples", (Attr){.kind = ATTR_INT, .i = o->samples});
  if (o->nmean)
    word_set(m, s, "mean", numbers_text(m->arena, o->mean, o->nmean));
  if (o->nscale)
    word_set(m, s, "scale", numbers_text(m->arena, o->scale, o->nscale));
  if (o->bgr) word_set(m, s, "order", "bgr");
}

/* Arguments that other methods do not have go. */
static void method_set(const Sweep *w, Module *m, RecipeStep *s,
                       const char *method) {
  static const char *const calibrated[] = {"data", "samples", "mean", "scale",
                                           "order", "mask", "damp", NULL};
  static const char *const plain[] = {"seed", "rounds", "coupled", NULL};
  const RecipeArg *had = arg_find(s, "method");
  const char *now = method ? method
                    : had && had->value.kind == ATTR_STR ? had->value.s : NULL;
  if (w->o->estimate && is_calibrated(now)) now = method = "magnitude";
  if (method) word_set(m, s, "method", method);
  if (is_calibrated(now)) {
    data_set(&w->data, m, s);
    args_drop(s, plain);
    if (strcmp(now, "obs") != 0) arg_drop(s, "damp");
  } else if (method) {
    args_drop(s, calibrated);
    if (strcmp(now, "synflow") != 0) arg_drop(s, "rounds");
  }
}

/* N:M has its own sparsity, which may be given. */
static void shares_set(Module *m, RecipeStep *s, const Point *p) {
  static const char *const budgets[] = {"macs", "bytes", "latency", NULL};
  Pattern x = {0};
  if (p->pattern) word_set(m, s, "pattern", p->pattern);
  if (p->sparsity >= 0) {
    args_drop(s, budgets);
    arg_set(m, s, "sparsity", (Attr){.kind = ATTR_FLOAT, .f = p->sparsity});
  }
  const RecipeArg *a = arg_find(s, "pattern");
  if (p->pattern && strcmp(p->pattern, "channel") != 0)
    arg_drop(s, "coupled");
  if (a && pattern_parse(&a->value, &x) && x.kind == PATTERN_NM &&
      p->sparsity >= 0 && fabs(p->sparsity - 1 + (double)x.a / x.b) < 1e-9)
    arg_drop(s, "sparsity");
}

bool point_apply(const Sweep *w, const Point *p, Module *m,
                 const char **why) {
  bool any = false;
  if (p->dense) {
    m->recipe.n = 0;
    return true;
  }
  for (size_t i = 0; i < m->recipe.n; i++) {
    RecipeStep *s = &m->recipe.at[i];
    if (strcmp(s->verb, "prune") != 0) continue;
    any = true;
    shares_set(m, s, p);
    method_set(w, m, s, p->method);
  }
  *why = "the recipe has no step 'prune' to change";
  return any || (!p->pattern && !p->method && p->sparsity < 0);
}
