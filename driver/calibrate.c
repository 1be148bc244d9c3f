/* calibrate.c - recipes that ask for data: a copy of the model whose outputs
 * are what the layers in question read is built for this machine, whatever
 * the target is, and run on all samples; the sums that the pass wants are made
 * as it goes, so that no more than one call's values are in memory. */
#include "driver/driver.h"

#include <math.h>
#include <string.h>

/* The columns that layers read and their sums, one of a group. */
typedef struct Observed {
  Columns columns;
  size_t output;         /* number among the copy's outputs */
  Sums *sums;
} Observed;

/* The layers of a weight, and what is observed of each. */
typedef struct Seen {
  InputUses uses;
  size_t *observed;
} Seen;

typedef struct Run {
  Session *s;            /* that of the recipe */
  Diags *d;
  Arena *arena, *keep;   /* of the run; of its results */
  bool gram;
  Watch copy;
  Samples *samples;
  int mask;              /* number of the input that is one; -1: none */
  int64_t nmask;         /* its values, and which are not zero */
  uint8_t *counts;
  bool any;              /* one was not zero in some call */
  Vec(Observed) observed;
} Run;

/* ---- what is observed ------------------------------------------------ */

static Sums sums_new(Arena *a, int64_t cols, bool gram) {
  size_t n = (size_t)cols;
  Sums s = {arena_array(a, double, n + 1), NULL};
  if (gram) s.gram = arena_array(a, double, checked_mul(n, n) + 1);
  return s;
}

/* Layers that read the same are observed once. */
static size_t observed_of(Run *r, const Columns *c) {
  for (size_t i = 0; i < r->observed.n; i++)
    if (columns_equal(&r->observed.at[i].columns, c)) return i;
  Observed o = {.columns = *c, .output = watch_output(&r->copy, c->node)};
  o.sums = arena_array(r->keep, Sums, (size_t)c->groups + 1);
  for (int64_t g = 0; g < c->groups; g++)
    o.sums[g] = sums_new(r->keep, c->cols, r->gram);
  vec_push(r->arena, &r->observed, o);
  return r->observed.n - 1;
}

/* Where in the copy the weight is used, and which columns that are. */
static void weight_observe(Run *r, const WeightStats *w, Seen *seen) {
  Module *m = r->copy.session.module;
  Text why = {0};
  *seen = (Seen){{0}, NULL};
  if (!input_uses(r->arena, m, w->param, &seen->uses, &why))
    internal_error(__FILE__, __LINE__, "%s", why.s);
  seen->observed = arena_array(r->arena, size_t, seen->uses.n + 1);
  for (size_t i = 0; i < seen->uses.n; i++) {
    Columns c = columns_of(seen->uses.at[i].layer);
    seen->observed[i] = observed_of(r, &c);
  }
}

static void sums_add(Sums *to, const Sums *from, int64_t cols) {
  for (int64_t i = 0; i < cols; i++) to->square[i] += from->square[i];
  for (int64_t i = 0; to->gram && i < cols * cols; i++)
    to->gram[i] += from->gram[i];
}

/* The statistics of rows: the sums of their only use, or those of all. */
static void input_fill(Run *r, const Seen *seen, InputStats *in) {
  Sums total = {NULL, NULL};
  bool own = false;
  for (size_t i = 0; i < seen->uses.n; i++) {
    const InputUse *u = &seen->uses.at[i];
    const Observed *o = &r->observed.at[seen->observed[i]];
    int64_t each = in->hi - in->lo;
    if (in->lo < u->first || in->hi > u->first + u->rows || each == 0)
      continue;
    Sums *s = &o->sums[(in->lo - u->first) / each];
    if (!total.square) {
      total = *s;
      continue;
    }
    if (!own) {
      Sums sum = sums_new(r->keep, in->cols, r->gram);
      sums_add(&sum, &total, in->cols);
      total = sum;
      own = true;
    }
    sums_add(&total, s, in->cols);
  }
  if (!total.square) total = sums_new(r->keep, in->cols, r->gram);
  for (int64_t i = 0; total.gram && i < in->cols; i++)
    total.square[i] = total.gram[i * in->cols + i];
  in->square = total.square;
  in->gram = total.gram;
}

/* ---- padding --------------------------------------------------------- */

/* The number of the input that mask= names, -1: none; false: no such one. */
static bool mask_find(Session *s, const Module *m, const DataOpts *o,
                      int *out) {
  const Func *f = m->funcs.at[0];
  Vec(const char *) names = {0};
  *out = -1;
  for (size_t i = 0; o->mask && i < f->inputs.n; i++) {
    if (strcmp(f->inputs.at[i]->name, o->mask) == 0) *out = (int)i;
    vec_push(m->arena, &names, f->inputs.at[i]->name);
  }
  if (!o->mask || *out >= 0) return true;
  const char *near = nearest_name(o->mask, names.at, names.n);
  return diag_error_at(s->diags, EXIT_MODEL, "mask=", "expected an input of "
                       "the model, found '%s'%s%s%s", o->mask,
                       near ? ", nearest is '" : "", near ? near : "",
                       near ? "'" : "");
}

/* Some layer has to read as many vectors as the mask has values. */
static bool mask_fits(Run *r) {
  if (r->mask < 0) return true;
  const Func *f = r->copy.session.module->funcs.at[0];
  int64_t n = r->nmask = type_elems(&f->inputs.at[r->mask]->type);
  Text found = {0};
  for (size_t i = 0; i < r->observed.n; i++) {
    const Columns *c = &r->observed.at[i].columns;
    int64_t rows = columns_rows(c, &c->node->type);
    if (rows == n) {
      text_free(&found);
      r->counts = arena_array(r->arena, uint8_t, (size_t)n + 1);
      return true;
    }
    if (i < 3) text_printf(&found, "%s%lld", i ? ", " : "", (long long)rows);
  }
  diag_error_at(r->d, EXIT_MODEL, "mask=", "'%s' has %lld values: expected "
                "linear layers that read as many vectors, found %s",
                f->inputs.at[r->mask]->name, (long long)n,
                found.n ? found.s : "none");
  text_free(&found);
  return false;
}

static void mask_read(Run *r) {
  const Node *n = r->copy.session.module->funcs.at[0]->inputs.at[r->mask];
  const uint8_t *v = r->copy.built.io[r->mask];
  size_t each = elem_size(n->type.elem);
  static const uint8_t zero[8];
  for (int64_t i = 0; i < r->nmask; i++) {
    r->counts[i] = memcmp(v + (size_t)i * each, zero, each) != 0;
    r->any |= r->counts[i];
  }
}

/* ---- the run --------------------------------------------------------- */

static bool call(Run *r, int64_t k) {
  Loaded *l = &r->copy.built;
  const tamis_model *m = l->model;
  session_progress(r->s, arena_printf(r->arena, "calibrate: call %lld of %lld",
                                      (long long)k + 1,
                                      (long long)r->samples->calls));
  if (!samples_next(r->samples, r->d, l->io) || !watch_call(&r->copy, k))
    return false;
  if (r->counts) mask_read(r);
  for (size_t i = 0; i < r->observed.n; i++) {
    const Observed *o = &r->observed.at[i];
    Type t = artifact_type(l, &m->outputs[o->output]);
    bool masked = r->counts && columns_rows(&o->columns, &t) == r->nmask;
    columns_add(&o->columns, o->sums, l->io[m->n_inputs + o->output], &t,
                masked ? r->counts : NULL);
  }
  return true;
}

static bool run_all(Run *r, Module *m, const DataOpts *o,
                    WeightStats *stats, size_t n) {
  Seen *seen = arena_array(r->arena, Seen, n + 1);
  r->samples = data_open(r->s, r->arena, m, o);
  if (!r->samples || !watch_load(&r->copy, r->s, r->arena, m, r->samples))
    return false;
  for (size_t i = 0; i < n; i++) weight_observe(r, &stats[i], &seen[i]);
  if (!mask_find(r->s, r->copy.session.module, o, &r->mask) ||
      !mask_fits(r) || !watch_build(&r->copy))
    return false;
  for (int64_t k = 0; k < r->samples->calls; k++)
    if (!call(r, k)) return false;
  if (r->counts && !r->any)
    return diag_error_at(r->d, EXIT_MODEL, "mask=", "'%s' is 0 in all samples",
                         o->mask);
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < stats[i].inputs.n; k++)
      input_fill(r, &seen[i], &stats[i].inputs.at[k]);
  return true;
}

static bool check(void *ctx, Module *m, const DataOpts *o) {
  Session *s = ctx;
  int mask;
  if (!mask_find(s, m, o, &mask)) return false;
  Arena *a = arena_new();
  session_note_file(s, o->path);
  Samples *x = data_open(s, a, m, o);
  samples_close(x);
  arena_free(a);
  return x != NULL;
}

static bool run(void *ctx, Module *m, const DataOpts *o, bool gram,
                WeightStats *stats, size_t n, Arena *a) {
  Session *s = ctx;
  Run r = {.s = s, .d = s->diags, .arena = arena_new(), .keep = a,
           .gram = gram};
  bool ok = run_all(&r, m, o, stats, n);
  session_progress(s, NULL);
  watch_close(&r.copy);
  samples_close(r.samples);
  arena_free(r.arena);
  return ok;
}

static void say(void *ctx, const char *what) { session_progress(ctx, what); }

Calibrate calibrate_by(Session *s) {
  return (Calibrate){.check = check, .run = run, .say = say, .ctx = s};
}
