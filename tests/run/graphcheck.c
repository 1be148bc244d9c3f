/* graphcheck.c - one built random model on its inputs, against the reference
 * evaluator on the model as it was read, or with its weights rounded. */
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/gen/graphgen.h"
#include "tests/run/errorbound.h"
#include "tests/run/remote.h"

static bool says(uint64_t seed, const char *what) {
  fprintf(stderr, "random_graphs: --seed=%llu: %s\n",
          (unsigned long long)seed, what);
  return false;
}

/* ---- what can be called ---------------------------------------------- */

/* A function of the artifact, the model or another. */
typedef struct Callee {
  const tamis_model *m;
  tamis_entry e;
} Callee;

static Callee callee_model(const tamis_model *m) {
  Callee c = {m, {m->name, m->n_inputs, m->n_outputs, m->inputs, m->outputs,
                  m->run}};
  return c;
}

static const tamis_tensor *tensor_at(const Callee *c, size_t i) {
  size_t in = c->e.n_inputs;
  return i < in ? &c->e.inputs[i] : &c->e.outputs[i - in];
}

static const Type *type_at(const Func *f, size_t i) {
  size_t in = f->inputs.n;
  return i < in ? &f->inputs.at[i]->type : &f->outputs.at[i - in].node->type;
}

static bool interface_fits(const Callee *c, const Func *f) {
  if (c->e.n_inputs != f->inputs.n || c->e.n_outputs != f->outputs.n)
    return false;
  for (size_t i = 0; i < f->inputs.n + f->outputs.n; i++) {
    const tamis_tensor *t = tensor_at(c, i);
    const Type *want = type_at(f, i);
    if (t->rank != want->rank || t->elem != (int)want->elem) return false;
    for (int k = 0; k < t->rank; k++)
      if (t->dims[k] != want->dim[k]) return false;
  }
  return true;
}

/* What it is called with: buffers aligned as their elements are and no more,
 * an arena and a state of just the size that the model asks for. */
typedef struct Call {
  Fence arena, *buffer;    /* inputs, then outputs, then the state */
  void **io;
  size_t n;
} Call;

/* Parts may come in any order. */
static void pool_run(void *ctx, void (*task)(void *, size_t), void *arg,
                     size_t n) {
  (void)ctx;
  for (size_t i = n; i-- > 0;) task(arg, i);
}

static tamis_pool pool = { pool_run, NULL };

static Call call_new(Arena *a, const Callee *c) {
  size_t tensors = c->e.n_inputs + c->e.n_outputs;
  Call to = {.n = tensors + (c->m->state_bytes > 0)};
  to.buffer = arena_array(a, Fence, to.n + 1);
  to.io = arena_array(a, void *, to.n + 2);
  /* NULL in place of a pool: parts in turn. */
  if (c->m->threads % 2) to.io[to.n] = &pool;
  to.arena = fence_new(c->m->arena_bytes);
  for (size_t i = 0; i < to.n; i++) {
    to.buffer[i] = fence_new(i < tensors ? tensor_at(c, i)->bytes
                                         : c->m->state_bytes);
    to.io[i] = to.buffer[i].at;
  }
  return to;
}

static void call_free(Call *c) {
  fence_free(&c->arena);
  for (size_t i = 0; i < c->n; i++) fence_free(&c->buffer[i]);
}

static bool call_run(Call *c, uint64_t seed, const Callee *to) {
  if (to->m->check_cpu && to->m->check_cpu() != 0)
    return says(seed, "this CPU cannot run it");
  progress(seed, "running");
  if (to->e.run(c->io, c->arena.at) != TAMIS_OK)
    return says(seed, "run does not return 0");
  if (!fence_intact(&c->arena))
    return says(seed, "writes in front of the arena");
  for (size_t i = 0; i < c->n; i++)
    if (!fence_intact(&c->buffer[i]))
      return says(seed, "writes in front of a buffer");
  return true;
}

/* ---- comparing ------------------------------------------------------- */

typedef struct Check {
  const GraphOpts *o;
  uint64_t seed;
  GraphStats *s;
  bool exact;
  Arena *a;
  Diags *d;
  Module *m;
} Check;

static bool element_ok(Check *c, bool real, double y, double want,
                       double bound) {
  if (c->exact || (bound == 0 && y == want)) return y == want;
  c->s->elements++;
  if (isinf(bound)) {
    c->s->unbounded++;
    return true;
  }
  double off = fabs(y - want);
  if (!(off <= bound)) return false;
  if (real && bound > 0 && off / bound > c->s->worst)
    c->s->worst = off / bound;
  return true;
}

static bool output_ok(Check *c, const char *name, const void *data,
                      const Bounded *r) {
  Elem e = r->type.elem;
  int64_t n = type_elems(&r->type), bad = 0, first = -1, worst = -1;
  double most = 0;
  for (int64_t i = 0; i < n; i++) {
    double y = elem_load(e, data, (size_t)i);
    if (element_ok(c, elem_is_float(e), y, r->v[i], r->e[i])) continue;
    double off = fabs(y - r->v[i]) / (r->e[i] + 1e-300);
    if (bad++ == 0) first = i;
    if (worst < 0 || off > most || isnan(off)) most = off, worst = i;
  }
  c->s->outputs++;
  if (bad == 0) return true;
  fprintf(stderr, "random_graphs: --seed=%llu: output %s: %lld of %lld "
          "differ%s\n", (unsigned long long)c->seed, name, (long long)bad,
          (long long)n, c->exact ? " (integral model)" : "");
  int64_t show[] = {first, worst};
  for (int k = 0; k < 2; k++)
    fprintf(stderr, "  [%lld] %.9g, expected %.9g, bound %.3g\n",
            (long long)show[k], elem_load(e, data, (size_t)show[k]),
            r->v[show[k]], r->e[show[k]]);
  return false;
}

static bool compare(Check *c, const Func *f, void *const *io,
                    const Bounded *all) {
  bool ok = true;
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Output *o = &f->outputs.at[i];
    ok = output_ok(c, o->name, io[f->inputs.n + i], &all[o->node->id]) && ok;
  }
  return ok;
}

/* ---- calls one after the other --------------------------------------- */

/* How often a model with states is called, and one without. */
enum { STEPS = 3 };

/* What a function is called with, and what it gives: first all steps, then
 * the first again, after a reset.  So without states, too, a second call
 * finds what the first left in the arena. */
typedef struct Trace {
  Func *f;
  size_t steps;
  Tensor *in[STEPS];
  const Bounded *want[STEPS];
} Trace;

static void trace_make(Check *c, Func *f, Trace *t) {
  *t = (Trace){.f = f, .steps = c->m->states.n ? STEPS : 1};
  Bounded *states = bound_reset(c->a, c->m);
  for (size_t k = 0; k < t->steps; k++) {
    t->in[k] = arena_array(c->a, Tensor, f->inputs.n + 1);
    for (size_t i = 0; i < f->inputs.n; i++)
      t->in[k][i] = graph_input_tensor(c->a, c->seed, i + 100 * k,
                                       &f->inputs.at[i]->type);
    t->want[k] = bound_eval(c->a, c->m, f, t->in[k], NULL, states, c->d);
    ensure(t->want[k]);
  }
}

static void inputs_put(const Func *f, const Tensor *in, void *const *io) {
  for (size_t i = 0; i < f->inputs.n; i++) tensor_write(&in[i], io[i]);
}

/* Does the first call, with an arena full of such words, compute with
 * subnormals? */
static bool meets_subnormals(const Trace *t, const Callee *to, Call *call,
                             uint32_t word) {
#if defined(__x86_64__)
  enum { DENORMAL = 2 };   /* of the flags of MXCSR: an operand was one */
  for (size_t i = 0; i + 4 <= to->m->arena_bytes; i += 4)
    memcpy((char *)call->arena.at + i, &word, sizeof word);
  if (to->m->reset) to->m->reset(call->io[call->n - 1]);
  inputs_put(t->f, t->in[0], call->io);
  _mm_setcsr(_mm_getcsr() & ~(unsigned)DENORMAL);
  return to->e.run(call->io, call->arena.at) == TAMIS_OK &&
         _mm_getcsr() & DENORMAL;
#else
  (void)t, (void)to, (void)call, (void)word;
  return false;
#endif
}

/* What an arena holds may not reach any arithmetic, not even in lanes that
 * no result comes from: subnormals make that many times slower. */
static bool arena_unread(Check *c, const Trace *t, const Callee *to,
                         Call *call) {
  return meets_subnormals(t, to, call, 0) ||
         !meets_subnormals(t, to, call, 1) ||
         says(c->seed, "computes with what the arena held");
}

/* The runner has fences and checks of its own. */
static bool remote_and_compare(Check *c, const Trace *t, int entry,
                               Remote *remote) {
  const Func *f = t->f;
  size_t n = f->inputs.n + f->outputs.n;
  void **io = arena_array(c->a, void *, n + 1);
  bool ok = true;
  for (size_t i = 0; i < n; i++)
    io[i] = arena_alloc(c->a, (size_t)type_bytes(type_at(f, i)) + 8);
  progress(c->seed, "running remotely");
  remote_begin(remote, c->seed, f, entry, (uint32_t)t->steps + 1);
  for (size_t i = 0; ok && i <= t->steps; i++) {
    size_t k = i % t->steps;
    inputs_put(f, t->in[k], io);
    if (!remote_call(remote, f, k == 0, io))
      return says(c->seed, "the runner died");
    ok = compare(c, f, io, t->want[k]);
  }
  return ok;
}

static bool run_and_compare(Check *c, const Trace *t, const Callee *to) {
  if (!interface_fits(to, t->f))
    return says(c->seed, "descriptor and model disagree");
  Call call = call_new(c->a, to);
  bool ok = true;
  for (size_t i = 0; ok && i <= t->steps; i++) {
    size_t k = i % t->steps;
    if (k == 0 && to->m->reset) to->m->reset(call.io[call.n - 1]);
    inputs_put(t->f, t->in[k], call.io);
    ok = call_run(&call, c->seed, to) &&
         compare(c, t->f, call.io, t->want[k]);
  }
  ok = ok && arena_unread(c, t, to, &call);
  call_free(&call);
  return ok;
}

/* Function number `entry` of the artifact, 0 the model. */
static bool entry_check(Check *c, Func *f, int entry,
                        const tamis_model *model, Remote *remote) {
  double t0 = seconds_now();
  Trace t;
  progress(c->seed, "evaluating");
  trace_make(c, f, &t);
  double t1 = seconds_now();
  bool ok;
  if (!model) {
    ok = remote_and_compare(c, &t, entry, remote);
  } else {
    Callee to = callee_model(model);
    if (entry > 0) to.e = model->entries[entry - 1];
    ok = strcmp(to.e.name, f->name) == 0
             ? run_and_compare(c, &t, &to)
             : says(c->seed, "an entry has another name");
  }
  c->s->reference += t1 - t0, c->s->run += seconds_now() - t1;
  if (!ok) fprintf(stderr, "  in %s\n", f->name);
  return ok;
}

/* Weights are rounded when they are final. */
static Module *weights_narrow(const GraphOpts *o, uint64_t seed, Module *m,
                              Diags *d) {
  Target none = {.triple = "", .cpu = "", .arch = ""};
  Variant v = graph_variant(o, seed);
  PipelineOpts p = {.target = &none, .opt = v.opt, .stop_after = "narrow",
                    .weight_type = v.weight_type};
  if (p.weight_type) ensure(pipeline_run(&m, &p, d));
  return m;
}

bool graph_check(const GraphOpts *o, uint64_t seed,
                 const tamis_model *model, Remote *remote, GraphStats *s) {
  Arena *a = arena_new();
  Diags *d = diags_new();
  Text text = {0};
  graph_generate(&text, seed);
  LoadOpts lo = {.provide = graph_provide, .provide_ctx = &seed};
  Module *m = tam_load_text(d, "reference", text.s, text.n, &lo);
  ensure(m);
  m = weights_narrow(o, seed, m, d);
  Check c = {o, seed, s, graph_integral(seed), a, d, m};
  bool ok = true;
  int entry = 0;
  for (size_t i = 0; ok && i < m->funcs.n; i++)
    if (func_is_entry(m, m->funcs.at[i]))
      ok = entry_check(&c, m->funcs.at[i], entry++, model, remote);
  if (ok && model && (int)model->n_entries != entry - 1)
    ok = says(seed, "another number of entries");
  s->models++, s->integral += c.exact, s->entries += (uint64_t)entry;
  s->states += m->states.n;
  if (!ok && o->verbose) fputs(text.s, stderr);
  text_free(&text);
  module_free(m);
  diags_free(d);
  arena_free(a);
  return ok;
}
