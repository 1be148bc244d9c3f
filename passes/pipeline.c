/* pipeline.c - the one place where passes are run, verified and timed. */
#include <string.h>
#include <time.h>

#include "passes/passes.h"

static const PassInfo passes[] = {
#define PASS(name, what) {#name, what, pass_##name},
#include "passes/passes.def"
#undef PASS
};

const PassInfo *pass_table(size_t *n) {
  *n = sizeof passes / sizeof *passes;
  return passes;
}

const PassInfo *pass_find(const char *name) {
  for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
    if (strcmp(passes[i].name, name) == 0) return &passes[i];
  return NULL;
}

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The first line of a dump names an option once a pass has looked at it;
 * from then on it cannot be chosen otherwise.  (The driver has compared the
 * options with the line of a dump that it read.) */
static void dump_fill(DumpInfo *d, const PassInfo *p, const PipelineOpts *o,
                      Arena *a) {
  if (strcmp(p->name, "bnfold") == 0) d->opt = o->opt;
  if (strcmp(p->name, "narrow") == 0) d->weight_type = o->weight_type;
  if (strcmp(p->name, "slice") == 0)
    d->sparsity = o->sparsity_off ? "off" : "auto";
  if (strcmp(p->name, "phases") != 0) return;
  d->target = arena_strdup(a, o->target->triple);
  d->cpu = arena_strdup(a, o->target->cpu);
  d->features = o->target->features ? arena_strdup(a, o->target->features)
                                    : NULL;
}

/* Passes write well-formed modules; anything else is our own error. */
static void module_expect(Module *m, const char *pass) {
  Text why = {0};
  if (!module_verify(m, &why))
    internal_error(__FILE__, __LINE__, "after pass %s: %s", pass,
                   why.s ? why.s : "malformed");
  text_free(&why);
}

/* Does m come behind this pass, or a later one? */
static bool is_behind(const Module *m, const char *pass) {
  const PassInfo *last = m->dump.after ? pass_find(m->dump.after) : NULL;
  return last && last >= pass_find(pass);
}

/* Is what the passes that m comes behind leave there? */
static bool dump_accept(const Module *m, Diags *d) {
  bool ok = true, planned = is_behind(m, "plan");
  if (planned != (m->dump.arena_bytes > 0))
    return diag_error_at(d, EXIT_MODEL, m->file ? m->file : "module",
                         "after=\"%s\": expected %s, found arena=%lld",
                         m->dump.after ? m->dump.after : "parse",
                         planned ? "arena=BYTES" : "no arena",
                         (long long)m->dump.arena_bytes);
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    if (is_behind(m, "select")) ok &= kernels_fit(f, d);
    ok &= planned ? places_fit(f, d) : places_open(f, d);
  }
  return ok;
}

/* What was read may have been written by hand. */
static bool module_accept(Module *m, Diags *d) {
  Text why = {0};
  bool ok = module_verify(m, &why);
  if (!ok)
    diag_error_at(d, EXIT_MODEL, m->file ? m->file : "module", "%s",
                  why.s ? why.s : "malformed");
  text_free(&why);
  return ok && dump_accept(m, d);
}

/* How the outputs depend on the free dimensions. */
static const FreeShape **outputs_free(const Module *m, Arena *a) {
  const Func *f = m->funcs.at[0];
  const FreeShape **s = arena_array(a, const FreeShape *, f->outputs.n + 1);
  for (size_t i = 0; i < f->outputs.n; i++)
    s[i] = f->outputs.at[i].node->type.free;
  return s;
}

/* A size that is not free may be another one behind a recipe. */
static bool axes_kept(const Type *t, const FreeShape *was) {
  bool ok = true;
  for (int i = 0; i < t->rank; i++) {
    bool moves = axis_is_free(t, i);
    for (int k = 0; was && k < was->of->nsamples; k++)
      moves |= was->dim[k][i] != was->dim[0][i];
    ok &= !moves || was;
    for (int k = 0; was && moves && k < was->of->nsamples; k++)
      ok &= was->dim[k][i] == type_dim_at(t, i, k);
  }
  return ok;
}

static bool outputs_kept(const Module *m, const FreeShape **was,
                         const char *pass, Diags *d) {
  const Func *f = m->funcs.at[0];
  bool ok = true;
  for (size_t i = 0; m->free && i < f->outputs.n; i++) {
    const Node *n = f->outputs.at[i].node;
    if (!axes_kept(&n->type, was[i]))
      ok = diag_error(d, EXIT_UNSUPPORTED, n->span, "pass %s cannot keep the "
                      "dimensions of '%s' free: fix one with --dim", pass,
                      f->outputs.at[i].name);
  }
  return ok;
}

static bool pass_run(Module *m, const PassInfo *p, const PipelineOpts *o,
                     Diags *d) {
  PassCtx c = {
    .m = m, .d = d, .scratch = arena_new(), .target = o->target,
    .sparsity_off = o->sparsity_off, .opt = o->opt,
    .strips_all = o->strips_all,
    .code_budget = o->code_budget, .weight_type = o->weight_type,
    .choices = o->choices, .calibrate = o->calibrate,
    .predict = o->predict, .predict_ctx = o->predict_ctx,
    .tensors = o->tensors, .tensors_ctx = o->tensors_ctx,
  };
  dump_fill(&m->dump, p, o, m->arena);
  const FreeShape **outs = outputs_free(m, c.scratch);
  bool ok = p->run(&c) && diags_errors(d) == 0 && module_infer_free(m, d) &&
            outputs_kept(m, outs, p->name, d);
  arena_free(c.scratch);
  if (!ok) return false;
  m->dump.after = p->name;
  module_expect(m, p->name);
  return true;
}

/* A dump by hand may say that it comes behind anything. */
static bool after_known(const Module *m, Diags *d) {
  enum { N = sizeof passes / sizeof *passes };
  const char *names[N + 1] = {"parse"}, *after = m->dump.after;
  if (!after || strcmp(after, "parse") == 0 || pass_find(after)) return true;
  for (size_t i = 0; i < N; i++) names[i + 1] = passes[i].name;
  const char *near = nearest_name(after, names, N + 1);
  return diag_error_at(d, EXIT_MODEL, m->file ? m->file : "module",
                       "after=\"%s\": no pass has that name%s%s%s", after,
                       near ? ", nearest is '" : "", near ? near : "",
                       near ? "'" : "");
}

/* Index of the first pass to run, behind the one a dump came from. */
static size_t pipeline_start(const Module *m) {
  const PassInfo *last = pass_find(m->dump.after);
  return last ? (size_t)(last - passes) + 1 : 0;
}

static bool name_is(const char *a, const char *b) {
  return a && strcmp(a, b) == 0;
}

static bool passes_run(Module **m, const PipelineOpts *o, Diags *d) {
  size_t i = pipeline_start(*m);
  if (name_is(o->stop_after, "parse") ||     /* as it was read */
      name_is(o->stop_after, (*m)->dump.after))
    return true;
  for (; i < sizeof passes / sizeof *passes; i++) {
    const PassInfo *p = &passes[i];
    if (name_is(o->stop_before, p->name)) return true;
    double start = seconds_now();
    if (!pass_run(*m, p, o, d)) return false;
    double spent = seconds_now() - start;
    if (o->after && !o->after(o->ctx, p->name, m, spent)) return false;
    if (name_is(o->stop_after, p->name)) return true;
  }
  return true;
}

bool pipeline_run(Module **m, const PipelineOpts *o, Diags *d) {
  if (!after_known(*m, d) || !module_accept(*m, d)) return false;
  if (!(*m)->dump.after) (*m)->dump.after = "parse";
  if (o->after && !o->after(o->ctx, (*m)->dump.after, m, 0)) return false;
  if (!passes_run(m, o, d)) return false;
  module_why(*m);
  return true;
}
