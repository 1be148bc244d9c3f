/* facts.c - what reports say beside the plan itself: errors against the dense
 * network, its build without the recipe, measured times. */
#include "driver/report.h"

#include <math.h>
#include <string.h>

enum { REPEATS = 30, WARMUP = 3 };

/* ---- before ---------------------------------------------------------- */

static bool data_check(Session *s) {
  Arena *a = arena_new();
  DataOpts o;
  bool ok = data_option(s->arena, s->diags, s->o->data, &o);
  if (ok) session_note_file(s, o.path);
  Samples *x = ok ? data_open(s, a, s->module, &o) : NULL;
  samples_close(x);
  arena_free(a);
  return x != NULL;
}

bool measure_fits(Session *s) {
  return !s->o->measure || target_is_host(s->target.triple) ||
         diag_error_at(s->diags, EXIT_UNSUPPORTED, "--measure",
                       "this machine cannot run code for %s",
                       s->target.triple);
}

bool facts_check(Session *s) {
  const Options *o = s->o;
  const char *after = s->module->dump.after;
  if (!measure_fits(s)) return false;
  if (o->measure && s->several)
    return diag_error_at(s->diags, EXIT_USAGE, "--measure",
                         "expected one CPU, found several");
  if (!o->data) return true;
  if (!s->module->recipe.n)
    return diag_error_at(s->diags, EXIT_USAGE, "--data", "compares with the "
                         "model before a recipe: expected %s",
                         after && strcmp(after, "parse") != 0
                           ? "a model, found a dump that comes behind it"
                           : "--recipe with it");
  return data_check(s);
}

/* ---- builds ---------------------------------------------------------- */

/* Make an artifact in a temporary folder; a shared object is opened.  It has
 * no versions for sizes: s has those of its own artifact. */
static bool temporary_build(Session *s, EmitKind kind, Loaded *l,
                            EmitInfo *info) {
  char *dir = folder_temporary(s->arena, s->diags);
  if (!dir) return false;
  char *out = folder_file(s->arena, dir, "built");
  char *header = folder_file(s->arena, dir,
                             arena_printf(s->arena, "%s.h",
                                          session_prefix(s)));
  EmitOpts e = session_emit_opts(s, kind, out);
  e.strip = false;
  e.external_weights = NULL;
  bool whole = s->whole;
  s->whole = true;
  bool ok = sessions_emit(s, 1, &e, info) &&
            (!l || artifact_open(l, s->diags, out));
  s->whole = whole;
  temporary_remove(out);
  temporary_remove(header);
  temporary_remove(dir);
  return ok;
}

bool session_run(Session *s, Loaded *l, EmitInfo *info) {
  return temporary_build(s, EMIT_SO, l, info);
}

/* The model without the recipe, with the options of s. */
static bool base_compile(Session *s, Session *base) {
  if (!session_open(base, s->o, s->diags, s->arena)) return false;
  base->whole = true;
  base->module = module_copy(s, s->dense);
  base->target = s->target;
  base->opt = s->opt;
  base->sparsity_off = s->sparsity_off;
  return base->module && session_compile(base);
}

/* ---- measured -------------------------------------------------------- */

/* By node of the model's function: medians of its step; calls and scans have
 * none, their time is that of what they call. */
static void nodes_fill(Session *s, Facts *f, const Loaded *l, Times *t) {
  size_t n = s->module->funcs.at[0]->nodes.n;
  const tamis_model *v = l->version;
  f->node_us = arena_array(s->arena, double, n + 1);
  for (size_t i = 0; i < n; i++) f->node_us[i] = -1;
  for (uint32_t i = 0; i < v->n_steps; i++) {
    if (v->steps[i].value < 0 || (size_t)v->steps[i].value >= n) continue;
    double *us = &f->node_us[v->steps[i].value];
    *us = fmax(*us, 0) + 1e3 * median(t->layer + i * t->runs, t->runs);
  }
}

/* Whole calls of both in turn, then those of this one step by step. */
static bool measure(Session *s, Facts *f) {
  Loaded l = {0}, dense = {0};
  const Options none = {0};
  Diags *d = s->diags;
  EmitInfo info;
  session_progress(s, "report: measuring");
  bool ok = session_run(s, &l, &info) &&
            artifact_inputs(s->arena, d, &none, &l, 1) &&
            (!f->compared || (session_run(&f->base, &dense, &f->base_info) &&
                              artifact_inputs(s->arena, d, &none, &dense,
                                              1)));
  if (ok) {
    Times t = times_new(s->arena, &l, REPEATS, false), u = {0};
    Times steps = times_new(s->arena, &l, REPEATS, true);
    if (f->compared) {
      u = times_new(s->arena, &dense, REPEATS, false);
      times_interleave(&dense, &u, &l, &t, WARMUP);
      f->base_measured_us = 1e3 * median(u.total, REPEATS);
    } else {
      times_measure(&l, WARMUP, &t);
    }
    f->measured_us = 1e3 * median(t.total, REPEATS);
    times_measure(&l, WARMUP, &steps);
    nodes_fill(s, f, &l, &steps);
  }
  artifact_close(&l);
  artifact_close(&dense);
  session_progress(s, NULL);
  return ok;
}

/* ---- all ------------------------------------------------------------- */

static bool compare(Session *s, Facts *f) {
  EffectOpts o = {.layers = true};
  DataOpts data = s->data;
  if (s->o->data && !data_option(s->arena, s->diags, s->o->data, &data))
    return false;
  if (data.path) {
    o.data = &data;
    f->data = arena_strdup(s->arena, data.path);
  }
  return effects_make(&f->effects, s, s->dense, s->pruned, &o) &&
         base_compile(s, &f->base) &&
         (s->o->measure ||
          temporary_build(&f->base, EMIT_OBJ, NULL, &f->base_info));
}

bool facts_gather(Session *s) {
  Facts *f = s->facts = arena_new_of(s->arena, Facts);
  f->measured_us = f->base_measured_us = -1;
  f->predicted = module_predict(s->module, &s->target, s->choices);
  if (s->dense && s->pruned) {
    f->compared = true;
    if (!compare(s, f)) return false;
    f->base_predicted = module_predict(f->base.module, &s->target, NULL);
    f->base_cost = totals_make(&f->base).cost;
  }
  return !s->o->measure || measure(s, f);
}

void facts_free(Facts *f) { session_close(&f->base); }
