/* calibrated.c - `prune` by what layers do on data:
 *
 *   prune SELECTORS with method=obs, sparsity=0.5, data="calib.npz";
 *
 * requires   a driver that runs the model (PassCtx.calibrate)
 * preserves  the graph, weights' shapes
 * The weights are the matrices of prune.c. */
#include "passes/calibrated.h"
#include "passes/verb.h"

#include <math.h>
#include <string.h>

/* Bytes of all Gram matrices of a step, and those that solving has beside
 * them. */
static const double gram_most = 6e9;

bool method_is_calibrated(const char *name) {
  return strcmp(name, "wanda") == 0 || strcmp(name, "obs") == 0;
}

bool step_is_calibrated(const RecipeStep *s) {
  for (size_t i = 0; i < s->args.n; i++) {
    const RecipeArg *a = &s->args.at[i];
    if (strcmp(a->name, "method") == 0 && a->value.kind == ATTR_STR)
      return method_is_calibrated(a->value.s);
  }
  return false;
}

/* ---- what can be said before ----------------------------------------- */

/* A step that is carried out; the arena has all of it. */
typedef struct CalibratedStep {
  PassCtx *c;
  const RecipeStep *s;
  Arena *arena;
  Calibrated o;
  WeightStats *stats;    /* one a param */
} CalibratedStep;

static bool pattern_fits(const CalibratedStep *x, const WeightStats *w) {
  const Pattern *p = &x->o.pattern;
  Matrix m = matrix_of_weight(w);
  int64_t height = p->kind == PATTERN_BLOCK ? p->a : 1;
  int64_t width = p->kind == PATTERN_UNSTRUCTURED ? 1 : p->b;
  char sep = p->kind == PATTERN_NM ? ':' : 'x';
  if (m.rows % height || m.cols % width)
    return diag_error(x->c->d, EXIT_MODEL, x->s->span, "prune: pattern "
                      "%d%c%d does not divide %s: expected a multiple of "
                      "%lldx%lld, found %lldx%lld", p->a, sep, p->b,
                      w->param->path, (long long)height, (long long)width,
                      (long long)m.rows, (long long)m.cols);
  for (size_t i = 0; i < w->inputs.n && x->o.obs; i++) {
    const InputStats *in = &w->inputs.at[i];
    if (in->lo % height || in->hi % height)
      return diag_error(x->c->d, EXIT_MODEL, x->s->span, "prune: pattern "
                        "%dx%d does not divide the groups of %s: expected "
                        "rows that are a multiple of %lld, found %lld",
                        p->a, p->b, w->param->path, (long long)height,
                        (long long)(in->hi - in->lo));
  }
  return true;
}

static bool room_fits(const CalibratedStep *x) {
  double sum = 0, most = 0;
  const char *largest = "";
  for (size_t i = 0; i < x->s->params.n; i++)
    for (size_t k = 0; k < x->stats[i].inputs.n; k++) {
      double n = (double)x->stats[i].inputs.at[k].cols, bytes = 8 * n * n;
      sum += bytes;
      if (bytes > most) {
        most = bytes;
        largest = x->stats[i].param->path;
      }
    }
  sum += 3 * most;
  if (!x->o.obs || sum <= gram_most) return true;
  return diag_error(x->c->d, EXIT_MODEL, x->s->span, "prune: method=obs "
                    "would take %.1f GB for products of columns, most of it "
                    "for weights such as %s: expected %.1f at most; take "
                    "fewer layers in a step, or method=wanda", sum / 1e9,
                    largest, gram_most / 1e9);
}

/* Fill x->stats, without numbers. */
static bool stats_make(CalibratedStep *x) {
  size_t n = x->s->params.n;
  bool ok = true;
  x->stats = arena_array(x->arena, WeightStats, n + 1);
  for (size_t i = 0; i < n; i++) {
    Param *p = x->s->params.at[i];
    Text why = {0};
    if (!weight_stats(x->arena, x->c->m, p, &x->stats[i], &why))
      ok = diag_error(x->c->d, EXIT_MODEL, x->s->span, "prune: %s: %s",
                      p->path, why.s);
    text_free(&why);
  }
  return ok;
}

static bool step_check(CalibratedStep *x) {
  PassCtx *c = x->c;
  if (!c->calibrate)
    return diag_error(c->d, EXIT_UNSUPPORTED, x->s->span, "prune: "
                      "method=%s: nothing here runs the model on data",
                      x->o.obs ? "obs" : "wanda");
  bool ok = stats_make(x);
  for (size_t i = 0; ok && i < x->s->params.n; i++)
    ok = param_finite(c, x->s, x->s->params.at[i]) &&
         pattern_fits(x, &x->stats[i]);
  return ok && room_fits(x) &&
         c->calibrate->check(c->calibrate->ctx, c->m, &x->o.data);
}

bool check_calibrated(PassCtx *c, const RecipeStep *s) {
  CalibratedStep x = {.c = c, .s = s, .arena = arena_new()};
  bool ok = calibrated_args(c, s, &x.o);
  if (ok && x.o.pattern.kind == PATTERN_CHANNEL)
    ok = check_channels(c, s, &x.o);
  else ok = ok && step_check(&x);
  arena_free(x.arena);
  return ok;
}

/* ---- carrying it out ------------------------------------------------- */

/* Sums of squares are where a value that is no number shows. */
static bool stats_finite(const CalibratedStep *x, const WeightStats *w) {
  for (size_t i = 0; i < w->inputs.n; i++) {
    const InputStats *in = &w->inputs.at[i];
    for (int64_t k = 0; k < in->cols; k++)
      if (!isfinite(in->square[k]))
        return diag_error(x->c->d, EXIT_FILE, x->s->span, "prune: %s: "
                          "expected finite inputs on %s, found %s in column "
                          "%lld", w->param->path, x->o.data.path,
                          isnan(in->square[k]) ? "NaN" : "inf",
                          (long long)k);
  }
  return true;
}

static bool no_factor(const CalibratedStep *x, const WeightStats *w) {
  return diag_error(x->c->d, EXIT_MODEL, x->s->span, "prune: %s: the products "
                    "of its inputs on %s have no Cholesky factor: expected a "
                    "larger damp=, found %g", w->param->path, x->o.data.path,
                    x->o.damp);
}

static bool obs_weight(const CalibratedStep *x, const Calibrated *o,
                       const WeightStats *w, Matrix m) {
  int64_t done = 0, gone = 0;
  bool ok = true;
  if (obs_is_exact(o, w))
    return exact_prune(x->arena, o, w, m) || no_factor(x, w);
  for (size_t i = 0; ok && i < w->inputs.n; i++) {
    Arena *a = arena_new();
    ok = obs_prune(a, o, &w->inputs.at[i], m, &done, &gone);
    arena_free(a);
  }
  return ok || no_factor(x, w);
}

static bool weight_prune(const CalibratedStep *x, const Calibrated *o,
                         const WeightStats *w) {
  Matrix m;
  Buffer *b = matrix_values(x->c->m, w, &m);
  bool ok = true;
  if (o->obs) ok = obs_weight(x, o, w, m);
  else wanda_prune(x->arena, o, w, m);
  if (ok && w->transposed) {
    Buffer *back = transposed_values(m.v, m.rows, m.cols);
    buffer_unref(b);
    b = back;
  }
  if (ok) param_set_data(w->param, b);
  else buffer_unref(b);
  return ok;
}

/* The share of each weight that goes. */
static bool shares(const CalibratedStep *x, double *share) {
  size_t n = x->s->params.n, failed;
  bool ok = true;
  for (size_t i = 0; i < n; i++) {
    share[i] = x->o.sparsity;
    ok = stats_finite(x, &x->stats[i]) && ok;
  }
  if (!ok || !x->o.global) return ok;
  return global_shares(x->arena, x->c->m, &x->o, x->stats, n, share,
                       &failed) || no_factor(x, &x->stats[failed]);
}

static bool step_run(CalibratedStep *x) {
  const Calibrate *k = x->c->calibrate;
  size_t n = x->s->params.n;
  double *share = arena_array(x->arena, double, n + 1);
  if (!stats_make(x) || !k->run(k->ctx, x->c->m, &x->o.data, x->o.obs,
                                x->stats, n, x->arena) ||
      !shares(x, share))
    return false;
  for (size_t i = 0; i < n; i++) {
    Calibrated o = x->o;
    o.sparsity = share[i];
    k->say(k->ctx, arena_printf(x->arena, "prune: weight %zu of %zu", i + 1,
                                n));
    if (!weight_prune(x, &o, &x->stats[i])) return false;
  }
  return true;
}

bool prune_calibrated(PassCtx *c, const RecipeStep *s) {
  CalibratedStep x = {.c = c, .s = s, .arena = arena_new()};
  bool ok = calibrated_args(c, s, &x.o);
  if (ok && x.o.pattern.kind == PATTERN_CHANNEL)
    ok = prune_channels(c, s, &x.o);
  else ok = ok && step_run(&x);
  arena_free(x.arena);
  return ok;
}
