/* watch.c - copies of a model that show what lies inside: values of nodes are
 * outputs beside its own, and it is built for this machine, whatever the
 * target is.  And the data that such copies are run on. */
#include "driver/driver.h"

#include <string.h>

/* ---- data ------------------------------------------------------------ */

Samples *data_open(Session *s, Arena *a, Module *m, const DataOpts *o) {
  const Func *f = m->funcs.at[0];
  SampleInput *in = arena_array(a, SampleInput, f->inputs.n + 1);
  SampleOpts so = {.most = o->samples};
  for (size_t i = 0; i < f->inputs.n; i++) {
    const Node *n = f->inputs.at[i];
    in[i] = (SampleInput){n->name, n->type};
  }
  so.image.nmean = o->nmean;
  so.image.nscale = o->nscale;
  so.image.bgr = o->bgr;
  memcpy(so.image.mean, o->mean, sizeof o->mean);
  memcpy(so.image.scale, o->scale, sizeof o->scale);
  return samples_open(a, s->diags, o->path, in, f->inputs.n, &so);
}

/* ---- free dimensions ------------------------------------------------- */

/* The dimension that an axis is, -1: it is an expression of some. */
static int axis_dim(const FreeDims *f, const Type *t, int axis) {
  FreeExpr e;
  if (!axis_expr(t, axis, &e)) return -1;
  for (int k = 0; k < f->n; k++) {
    bool is = true;
    for (int64_t i = 0; i < f->nsamples && is; i++)
      is = type_dim_at(t, axis, (int)i) == f->sample[i][k];
    if (is) return k;
  }
  return -1;
}

/* Sizes as the samples have them; two that differ are an error. */
static bool dim_set(Diags *d, const char *input, const FreeDims *f, int k,
                    int64_t size, DimArg *dims) {
  if (dims[k].value && dims[k].value != size)
    return diag_error_at(d, EXIT_FILE, "data=", "expected %s=%lld for the "
                         "input '%s' as for others, found %lld",
                         f->dim[k].given, (long long)dims[k].value, input,
                         (long long)size);
  dims[k] = (DimArg){f->dim[k].name, size, 0};
  return true;
}

/* Without samples dimensions are at their most. */
static bool dims_fix(Diags *d, const Module *m, const Samples *x,
                     DimArg *dims) {
  const FreeDims *f = m->free;
  const Func *main = m->funcs.at[0];
  for (size_t i = 0; f && x && i < main->inputs.n; i++) {
    const Node *n = main->inputs.at[i];
    for (int k = 0; k < n->type.rank; k++) {
      if (!axis_is_free(&n->type, k)) continue;
      int of = axis_dim(f, &n->type, k);
      if (of >= 0 && !dim_set(d, n->name, f, of, x->type[i].dim[k], dims))
        return false;
    }
  }
  for (int k = 0; f && k < f->n; k++)
    if (!dims[k].value)
      dims[k] = (DimArg){f->dim[k].name,
                         x ? f->dim[k].least : f->dim[k].most, 0};
  return true;
}

/* ---- the copy -------------------------------------------------------- */

/* It is built for this machine and its options are those of no other use. */
static void options_make(Watch *w, const Options *o) {
  w->o = (Options){.command = o->command, .file = o->file,
                   .progress = "off", .opt = "1", .sizes = "off"};
}

bool watch_load(Watch *w, Session *s, Arena *a, Module *m,
                const Samples *x) {
  DimArg dims[FREE_MOST] = {0};
  *w = (Watch){.arena = a, .progress = s};
  if (!dims_fix(s->diags, m, x, dims)) return false;
  LoadOpts l = {.provide = param_provide, .provide_ctx = m,
                .ndims = m->free ? (size_t)m->free->n : 0, .dims = dims};
  Text t = {0};
  module_print(&t, m, NULL);
  options_make(w, s->o);
  bool ok = session_open(&w->session, &w->o, s->diags, a);
  w->session.module = tam_load_text(s->diags, m->file, t.s, t.n, &l);
  text_free(&t);
  if (!ok || !w->session.module) return false;
  m = w->session.module;
  m->recipe.n = 0;
  m->dump = (DumpInfo){.after = "recipe", .opt = -1};
  w->noutputs = m->funcs.at[0]->outputs.n;
  return target_resolve(a, s->diags, NULL, NULL, NULL, &w->session.target);
}

static bool output_name_free(const Func *f, const char *name) {
  for (size_t i = 0; i < f->outputs.n; i++)
    if (strcmp(f->outputs.at[i].name, name) == 0) return false;
  for (size_t i = 0; i < f->inputs.n; i++)
    if (strcmp(f->inputs.at[i]->name, name) == 0) return false;
  return true;
}

size_t watch_output(Watch *w, Node *n) {
  Module *m = w->session.module;
  Func *f = m->funcs.at[0];
  for (size_t i = w->noutputs; i < f->outputs.n; i++)
    if (f->outputs.at[i].node == n) return i;
  const char *name;
  for (size_t k = f->outputs.n;; k++) {
    name = arena_printf(m->arena, "observed_%zu", k);
    if (output_name_free(f, name)) break;
  }
  func_output(m, f, name, n);
  return f->outputs.n - 1;
}

bool watch_build(Watch *w) {
  Session *s = &w->session;
  EmitInfo info = {0};
  Diags *d = s->diags;
  func_tidy(s->module, s->module->funcs.at[0]);
  char *dir = folder_temporary(w->arena, d);
  if (!dir) return false;
  char *so = folder_file(w->arena, dir, "libobserved.so");
  char *header = folder_file(w->arena, dir,
                             arena_printf(w->arena, "%s.h",
                                          session_prefix(s)));
  session_progress(w->progress, "calibrate: building");
  bool ok = session_compile(s) && session_emit(s, EMIT_SO, so, &info) &&
            artifact_open(&w->built, d, so);
  temporary_remove(so);
  temporary_remove(header);
  temporary_remove(dir);
  return ok;
}

bool watch_call(Watch *w, int64_t k) {
  Loaded *l = &w->built;
  const tamis_model *m = l->model;
  if (m->reset) m->reset(l->state);
  int code = m->run(l->io, l->arena);
  return !code ||
         diag_error_at(w->session.diags, EXIT_FILE, "data=", "sample %lld: "
                       "the model gives error %d", (long long)k + 1, code);
}

void watch_close(Watch *w) {
  artifact_close(&w->built);
  session_close(&w->session);
}
