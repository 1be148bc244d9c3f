/* graphcheck.c - one built random model on its inputs, against the reference
 * evaluator on the model as it was read. */
#include <math.h>

#include "frontend/frontend.h"
#include "tests/gen/graphgen.h"
#include "tests/run/errorbound.h"
#include "tests/run/remote.h"

static bool says(uint64_t seed, const char *what) {
  fprintf(stderr, "random_graphs: --seed=%llu: %s\n",
          (unsigned long long)seed, what);
  return false;
}

static bool interface_fits(const tamis_model *m, const Func *f) {
  if (m->n_inputs != f->inputs.n || m->n_outputs != f->outputs.n)
    return false;
  for (size_t i = 0; i < f->inputs.n + f->outputs.n; i++) {
    const tamis_tensor *t = i < f->inputs.n ? &m->inputs[i]
                                            : &m->outputs[i - f->inputs.n];
    const Type *want = i < f->inputs.n
                           ? &f->inputs.at[i]->type
                           : &f->outputs.at[i - f->inputs.n].node->type;
    if (t->rank != want->rank || t->elem != (int)want->elem) return false;
    for (int k = 0; k < t->rank; k++)
      if (t->dims[k] != want->dim[k]) return false;
  }
  return true;
}

/* What a model is called with: buffers aligned as floats are and no more,
 * an arena of just the size that the model asks for. */
typedef struct Call {
  Fence arena, *buffer;    /* inputs, then outputs */
  void **io;
  size_t n;
} Call;

static Call call_new(Arena *a, const tamis_model *m) {
  Call c = {.n = m->n_inputs + m->n_outputs};
  c.buffer = arena_array(a, Fence, c.n + 1);
  c.io = arena_array(a, void *, c.n + 1);
  c.arena = fence_new(m->arena_bytes);
  for (size_t i = 0; i < c.n; i++) {
    const tamis_tensor *t = i < m->n_inputs ? &m->inputs[i]
                                            : &m->outputs[i - m->n_inputs];
    c.buffer[i] = fence_new(t->bytes);
    c.io[i] = c.buffer[i].at;
  }
  return c;
}

static void call_free(Call *c) {
  fence_free(&c->arena);
  for (size_t i = 0; i < c->n; i++) fence_free(&c->buffer[i]);
}

/* Run it twice: the second call finds what the first left in the arena. */
static bool call_run(Call *c, uint64_t seed, const tamis_model *m) {
  if (m->check_cpu && m->check_cpu() != 0)
    return says(seed, "this CPU cannot run it");
  progress(seed, "running");
  for (int times = 0; times < 2; times++)
    if (m->run(c->io, c->arena.at) != TAMIS_OK)
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

/* The inputs as the evaluator takes them. */
static Tensor *draw_inputs(Arena *a, uint64_t seed, const Func *f) {
  Tensor *in = arena_array(a, Tensor, f->inputs.n + 1);
  for (size_t i = 0; i < f->inputs.n; i++)
    in[i] = graph_input_tensor(a, seed, i, &f->inputs.at[i]->type);
  return in;
}

static void inputs_put(const Func *f, const Tensor *in, void *const *io) {
  for (size_t i = 0; i < f->inputs.n; i++) tensor_write(&in[i], io[i]);
}

/* The runner has fences, checks and the second call of its own. */
static bool remote_and_compare(Check *c, Arena *a, const Func *f,
                               const Tensor *in, const Bounded *want,
                               Remote *remote) {
  size_t n = f->inputs.n + f->outputs.n;
  void **io = arena_array(a, void *, n + 1);
  for (size_t i = 0; i < n; i++) {
    const Type *t = i < f->inputs.n
                        ? &in[i].type
                        : &f->outputs.at[i - f->inputs.n].node->type;
    io[i] = arena_alloc(a, (size_t)type_bytes(t) + 8);
  }
  inputs_put(f, in, io);
  progress(c->seed, "running remotely");
  if (!remote_call(remote, c->seed, f, io))
    return says(c->seed, "the runner died");
  return compare(c, f, io, want);
}

static bool run_and_compare(Check *c, Arena *a, const Func *f,
                            const Tensor *in, const Bounded *want,
                            const tamis_model *model) {
  if (!interface_fits(model, f))
    return says(c->seed, "descriptor and model disagree");
  Call call = call_new(a, model);
  inputs_put(f, in, call.io);
  bool ok = call_run(&call, c->seed, model) && compare(c, f, call.io, want);
  call_free(&call);
  return ok;
}

bool graph_check(const GraphOpts *o, uint64_t seed,
                 const tamis_model *model, Remote *remote, GraphStats *s) {
  Arena *a = arena_new();
  Diags *d = diags_new();
  Text text = {0};
  graph_generate(&text, seed);
  progress(seed, "evaluating");
  double t0 = seconds_now();
  LoadOpts lo = {.provide = graph_provide, .provide_ctx = &seed};
  Module *m = tam_load_text(d, "reference", text.s, text.n, &lo);
  ensure(m);
  Func *f = m->funcs.at[0];
  const Tensor *in = draw_inputs(a, seed, f);
  const Bounded *want = bound_eval(a, m, f, in, d);
  ensure(want);
  double t1 = seconds_now();
  Check c = {o, seed, s, graph_integral(seed)};
  bool ok = model ? run_and_compare(&c, a, f, in, want, model)
                  : remote_and_compare(&c, a, f, in, want, remote);
  s->reference += t1 - t0, s->run += seconds_now() - t1;
  s->models++, s->integral += c.exact;
  if (!ok && o->verbose) fputs(text.s, stderr);
  text_free(&text);
  module_free(m);
  diags_free(d);
  arena_free(a);
  return ok;
}
