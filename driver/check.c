/* check.c - `tamis check`: native code against the reference evaluator in
 * double, step by step, or outputs against given ones. */
#include "driver/driver.h"

#include <math.h>
#include <string.h>

typedef struct Tolerance { double rtol, atol; } Tolerance;

/* How far native values lie from reference ones. */
typedef struct Diff {
  double abs, rel;       /* largest |y-r|, and that over max|r| */
  double limit;          /* what abs may be */
  bool nan;              /* NaN where the reference has none */
} Diff;

/* Element i (row-major) of a value that lies behind strides. */
static int64_t place(const Type *t, const int64_t *stride, int64_t origin,
                     int64_t i) {
  for (int k = t->rank - 1; k >= 0; k--) {
    origin += i % t->dim[k] * stride[k];
    i /= t->dim[k];
  }
  return origin;
}

/* Integers may differ by less than doubles tell apart. */
static void int_add(Diff *d, int64_t v, int64_t r, double *top) {
  double diff = (double)(v > r ? (uint64_t)v - (uint64_t)r
                               : (uint64_t)r - (uint64_t)v);
  *top = fmax(*top, fabs((double)r));
  d->abs = fmax(d->abs, diff);
}

/* Integers and bits are to be equal. */
static Diff compare(const Type *t, const void *y, const int64_t *stride,
                    int64_t origin, const Tensor *ref, Tolerance tol) {
  Diff d = {0};
  double top = 0;
  int64_t n = type_elems(t);
  bool real = elem_is_float(t->elem);
  for (int64_t i = 0; i < n; i++) {
    size_t at = (size_t)place(t, stride, origin, i);
    if (!real) {
      int_add(&d, elem_load_int(t->elem, y, at), ref->i[i], &top);
      continue;
    }
    double v = elem_load(t->elem, y, at), r = ref->v[i];
    if (isnan(r) && isnan(v)) continue;
    if (isinf(r) && v == r) continue;
    if (isnan(v) || isnan(r) || isinf(r) || isinf(v)) {
      d.nan = true;
      continue;
    }
    if (fabs(r) > top) top = fabs(r);
    if (fabs(v - r) > d.abs) d.abs = fabs(v - r);
  }
  d.rel = top > 0 ? d.abs / top : d.abs > 0 ? INFINITY : 0;
  d.limit = tol.atol + (real ? tol.rtol * top : 0);
  return d;
}

static bool diff_ok(const Diff *d) { return !d->nan && d->abs <= d->limit; }

/* What the report says of one value: the worst of all calls. */
typedef struct Line { bool seen; Diff worst; } Line;

static void line_add(Line *l, const Diff *d) {
  bool worse = d->abs * l->worst.limit > l->worst.abs * d->limit;
  if (diff_ok(d) != diff_ok(&l->worst)) worse = !diff_ok(d);
  if (!l->seen || worse) l->worst = *d;
  l->seen = true;
}

static bool report(const char *what, const char *kernel, const Diff *d) {
  bool ok = diff_ok(d);
  printf("%-4s %-32s %-20s abs %.3e rel %.3e%s\n", ok ? "ok" : "BAD", what,
         kernel, d->abs, d->rel, d->nan ? " (NaN or infinity differs)" : "");
  return ok;
}

static bool names_of(Arena *a, const tamis_model *m, const char ***in,
                     const char ***out) {
  *in = arena_array(a, const char *, m->n_inputs + 1);
  *out = arena_array(a, const char *, m->n_outputs + 1);
  for (uint32_t i = 0; i < m->n_inputs; i++) (*in)[i] = m->inputs[i].name;
  for (uint32_t i = 0; i < m->n_outputs; i++)
    (*out)[i] = m->outputs[i].name;
  return true;
}

/* Outputs against --expect files. */
static bool check_expected(const Options *o, Diags *d, Arena *a,
                           const Loaded *l, const char **out, Tolerance tol,
                           bool *same) {
  const tamis_model *m = l->model;
  int code = m->run(l->io, l->arena);
  if (code != 0) internal_error(__FILE__, __LINE__, "run gave %d", code);
  for (uint32_t i = 0; i < m->n_outputs; i++) {
    const Binding *b = binding_find(o->expect.at, o->expect.n, out[i],
                                    m->n_outputs == 1 ? 0 : 1);
    if (!b) continue;
    Type t = artifact_type(l, &m->outputs[i]);
    void *want = arena_alloc(a, (size_t)type_bytes(&t) + 8);
    Options file = {0};
    vec_push(a, &file.in, ((Binding){out[i], b->value}));
    if (!input_read(a, d, &file, out[i], 0, 2, &t, NULL, want))
      return false;
    Tensor r = tensor_new(a, &t);
    tensor_read(&r, want);
    int64_t stride[MAX_RANK];
    strides_dense(&t, stride);
    Diff diff = compare(&t, l->io[m->n_inputs + i], stride, 0, &r, tol);
    *same &= report(out[i], "(output)", &diff);
  }
  return true;
}

/* ---- against the evaluator ------------------------------------------ */

/* All calls, with a line for each step and then for each output. */
typedef struct Calls {
  const Loaded *l;
  Session *s;
  Func *f;
  Tolerance tol;
  Line *line;
  Tensor *in, *states;    /* as the evaluator takes them */
  bool stepwise;          /* each step as well as the outputs */
  Module *source;         /* for the outputs: before the passes */
  Tensor *source_states;
} Calls;

/* Is n, which may be NULL, what the step writes?  A step that moves a value
 * bears the name of where it goes. */
static bool step_is_of(const tamis_step *s, const Node *n) {
  const Type t = type_make((Elem)s->elem, s->rank, s->dims);
  return n && type_same_dims(&t, &n->type) && t.elem == n->type.elem &&
         (strcmp(s->op, "convert") == 0 ||
          (strcmp(s->op, op_info(n->op)->name) == 0 &&
           (!n->path || strcmp(s->path, n->path) == 0)));
}

/* Nodes that a step computes. */
static size_t steps_of(const Func *f) {
  size_t n = 0;
  for (size_t i = 0; i < f->nodes.n; i++)
    n += f->nodes.at[i]->kernel && !node_is_alias(f->nodes.at[i]);
  return n;
}

/* Does each step write what the node of that number gives?  Not where --tune
 * or other options than those of now planned the artifact, nor where one for
 * all sizes fuses more or less than one for these. */
static bool steps_fit(const Calls *c) {
  const tamis_model *m = c->l->version;
  if (m->n_free && steps_of(c->f) != m->n_steps) return false;
  for (uint32_t i = 0; i < m->n_steps; i++) {
    const tamis_step *s = &m->steps[i];
    if (s->value >= 0 &&
        !step_is_of(s, (size_t)s->value < c->f->nodes.n
                           ? c->f->nodes.at[s->value] : NULL))
      return false;
  }
  return true;
}

/* Each step right after it ran, since the arena is used again. */
static void check_steps(const Calls *c, const Tensor *ref) {
  const Loaded *l = c->l;
  const tamis_model *m = l->version;
  for (uint32_t i = 0; i < m->n_steps; i++) {
    const tamis_step *s = &m->steps[i];
    s->run(l->io, l->arena, m->weights);
    if (s->value < 0) continue;
    const Type t = type_make((Elem)s->elem, s->rank, s->dims);
    const char *base = s->out_io >= 0 ? l->io[s->out_io]
                                      : (char *)l->arena + s->out_offset;
    Diff d = compare(&t, base, s->out_strides, s->out_origin, &ref[s->value],
                     c->tol);
    line_add(&c->line[i], &d);
  }
}

/* Outputs of one call of the whole net. */
static void check_outputs(const Calls *c, const Func *f,
                          const Tensor *ref) {
  const Loaded *l = c->l;
  const tamis_model *m = l->model;
  int code = m->run(l->io, l->arena);
  if (code != 0) internal_error(__FILE__, __LINE__, "run gave %d", code);
  for (uint32_t i = 0; i < m->n_outputs; i++) {
    const Tensor *r = &ref[f->outputs.at[i].node->id];
    int64_t stride[MAX_RANK];
    strides_dense(&r->type, stride);
    Diff d = compare(&r->type, l->io[m->n_inputs + i], stride, 0, r, c->tol);
    line_add(&c->line[l->version->n_steps + i], &d);
  }
}

/* One call, step by step and then as a whole from the same state. */
static bool check_call(const Calls *c, Diags *d) {
  Func *source = c->source->funcs.at[0];
  const Loaded *l = c->l;
  const tamis_model *m = l->model;
  Arena *a = arena_new();
  for (size_t i = 0; i < c->f->inputs.n; i++)
    tensor_read(&c->in[i], l->io[i]);
  EvalOpts e = {.blas = true, .states = c->states};
  Tensor *ref = func_eval(a, c->s->module, c->f, c->in, &e, true, d);
  void *before = arena_alloc(a, m->state_bytes + 1);
  if (l->state) memcpy(before, l->state, m->state_bytes);
  if (ref && c->stepwise) check_steps(c, ref);
  if (l->state) memcpy(l->state, before, m->state_bytes);
  if (ref && c->source != c->s->module) {
    EvalOpts whole = {.blas = true, .states = c->source_states};
    ref = func_eval(a, c->source, source, c->in, &whole, false, d);
  }
  if (ref) check_outputs(c, source, ref);
  arena_free(a);
  return ref != NULL;
}

static bool calls_begin(Calls *c, Diags *d, Arena *a) {
  const Func *f = c->f;
  const tamis_model *m = c->l->model;
  size_t nsteps = c->l->version->n_steps;
  if (f->inputs.n != m->n_inputs || f->outputs.n != m->n_outputs)
    return diag_error_at(d, EXIT_USAGE, "--so",
                         "expected an artifact with %zu inputs and %zu "
                         "outputs, found %u and %u", f->inputs.n,
                         f->outputs.n, m->n_inputs, m->n_outputs);
  c->line = arena_array(a, Line, nsteps + m->n_outputs + 1);
  c->in = arena_array(a, Tensor, f->inputs.n + 1);
  c->states = states_reset(a, c->s->module);
  c->source_states = states_reset(a, c->source);
  for (size_t i = 0; i < f->inputs.n; i++) {
    const Type *own = &f->inputs.at[i]->type;
    Type t = type_make(own->elem, own->rank, own->dim);
    Type have = artifact_type(c->l, &m->inputs[i]);
    if (!type_same_shape(&t, &have) || t.elem != have.elem)
      return diag_error_at(d, EXIT_USAGE, "--so",
                           "input '%s' has another type than the model's",
                           m->inputs[i].name);
    c->in[i] = tensor_new(a, &t);
  }
  return true;
}

static bool lines_report(const Calls *c) {
  const tamis_model *m = c->l->version;
  bool same = true;
  for (uint32_t i = 0; i < m->n_steps; i++) {
    const tamis_step *s = &m->steps[i];
    if (c->line[i].seen)
      same &= report(*s->path ? s->path : s->origin, s->kernel,
                     &c->line[i].worst);
  }
  for (uint32_t i = 0; i < m->n_outputs; i++)
    same &= report(m->outputs[i].name, "(output)",
                   &c->line[m->n_steps + i].worst);
  return same;
}

static bool inputs_fill(const Options *o, Diags *d, Arena *a, const Loaded *l,
                        const char **in, uint64_t seed) {
  const tamis_model *m = l->model;
  for (uint32_t i = 0; i < m->n_inputs; i++) {
    Type t = artifact_type(l, &m->inputs[i]);
    if (!input_read(a, d, o, in[i], i, m->n_inputs, &t, &seed, l->io[i]))
      return false;
  }
  return true;
}

/* Call k draws its inputs from seed + k. */
static bool check_reference(Calls *c, const Options *o, Diags *d, Arena *a,
                            const char **in, uint64_t seed, int64_t count,
                            bool *same) {
  const tamis_model *m = c->l->model;
  if (!calls_begin(c, d, a)) return false;
  c->stepwise = steps_fit(c);
  ensure(c->stepwise || o->so || m->n_free);
  if (!c->stepwise && o->so && !m->n_free)
    printf("outputs alone: the steps of %s were planned with other options\n",
           o->so);
  for (int64_t k = 0; k < count; k++)
    if (!inputs_fill(o, d, a, c->l, in, seed + (uint64_t)k) ||
        !check_call(c, d))
      return false;
  *same = lines_report(c);
  return true;
}

/* --so: the model is planned as the version that runs here was. */
static bool open_built(const Options *o, Diags *d, Arena *a, Loaded *l,
                       Session *s) {
  Options *own = arena_new_of(a, Options);
  *own = *o;
  if (!artifact_open(l, d, o->so)) return false;
  if (versions_wanted(o)) {
    if (!versions_have(o, l->version, d, a)) return false;
    own->cpu = NULL;
  }
  if (!session_open(s, own, d, a)) return false;
  s->like = l->version;
  s->keep_source = true;
  return session_load(s) && session_compile(s) && artifact_threads(l, d, o) &&
         artifact_sizes(l, d, o, a, SIZES_BOTH);
}

/* ---- free dimensions ------------------------------------------------- */

/* What a check of one artifact takes. */
typedef struct Checked {
  const Options *o;
  Diags *d;
  Arena *a;
  Loaded *l;
  Session *s;              /* of the model, at the bounds */
  Tolerance tol;
  const char **in;
  uint64_t seed;
  int64_t count;
} Checked;

static void sizes_print(const tamis_model *m, const int64_t *at) {
  printf("with ");
  for (uint32_t i = 0; i < m->n_free; i++)
    printf("%s%s = %lld", i ? ", " : "", m->free[i].name, (long long)at[i]);
  putchar('\n');
}

/* Outputs at some sizes, against the model that is made for these. */
static bool check_at(const Checked *k, const int64_t *at, bool *same) {
  Session s = {0};
  Loaded *l = k->l;
  Options own = *options_at(k->a, k->o, k->s->module->free, at);
  if (versions_wanted(&own)) own.cpu = NULL;   /* no pass here knows it */
  memcpy(l->dims, at, sizeof l->dims);
  artifact_version(l);
  if (l->state) l->model->reset(l->state);
  sizes_print(l->model, at);
  bool ok = session_open(&s, &own, k->d, k->a) && session_load(&s);
  if (ok) s.stop_after = session_source_pass(&s);
  ok = ok && session_compile(&s);
  if (ok) {
    Func *f = s.module->funcs.at[0];
    func_tidy(s.module, f);
    Calls c = {.l = l, .s = &s, .f = f, .tol = k->tol, .source = s.module};
    bool equal = true;
    ok = check_reference(&c, k->o, k->d, k->a, k->in, k->seed, k->count,
                         &equal);
    *same &= equal;
  }
  session_close(&s);
  return ok;
}

/* Each version for sizes at its least and at its most; that for all was looked
 * at where it is most. */
static bool check_versions(const Checked *k, bool *same) {
  const tamis_model *m = k->l->model;
  for (uint32_t i = 0; i < m->n_versions; i++) {
    const tamis_model *v = m->versions[i];
    int64_t least[FREE_MOST] = {0}, most[FREE_MOST] = {0};
    bool all = true, one = true;
    for (uint32_t j = 0; j < v->n_free; j++) {
      least[j] = v->free[j].least;
      most[j] = v->free[j].most;
      one &= least[j] == most[j];
      all &= most[j] == m->free[j].most;
    }
    if (v->check_cpu() != 0) continue;
    if ((!one && !check_at(k, least, same)) ||
        (!all && !check_at(k, most, same)))
      return false;
  }
  return true;
}

/* One dimension at its least, all, and about the middle of all. */
static bool check_sizes(const Checked *k, bool *same) {
  const FreeDims *f = k->s->module->free;
  for (int i = 0; i <= f->n + 1; i++) {
    int64_t at[FREE_MOST] = {0};
    if (i == f->n && f->n == 1) continue;    /* the one at its least */
    for (int j = 0; j < f->n; j++) {
      const FreeDim *x = &f->dim[j];
      at[j] = i == j || i == f->n ? x->least
              : i < f->n ? x->most : (x->least + x->most) / 2;
    }
    if (!check_at(k, at, same)) return false;
  }
  return check_versions(k, same);
}

static bool at_most(const Loaded *l) {
  for (uint32_t i = 0; i < l->model->n_free; i++)
    if (l->dims[i] < l->model->free[i].most) return false;
  return true;
}

static bool check(const Options *o, Diags *d, Arena *a, Loaded *l,
                  Session *s, bool *same) {
  Tolerance tol = {1e-3, 0};
  int64_t seed = 1, count = 1;
  if ((o->rtol && !option_float(d, "--rtol", o->rtol, &tol.rtol)) ||
      (o->atol && !option_float(d, "--atol", o->atol, &tol.atol)) ||
      (o->steps && !option_int(d, "--steps", o->steps, 1, 1 << 30, &count)) ||
      (o->seed && !option_int(d, "--seed", o->seed, 0, INT64_MAX, &seed)))
    return false;
  if (o->steps && o->expect.n)
    return diag_error_at(d, EXIT_USAGE, "--steps", "compares with the "
                         "reference: expected no --expect");
  bool so = artifact_is(o->file);
  if (so && !o->expect.n)
    return diag_error_at(d, EXIT_USAGE, "check", "%s is built: expected "
                         "--expect, or the model with --so=%s", o->file,
                         o->file);
  if (o->so) {
    if (!open_built(o, d, a, l, s)) return false;
  } else if (!artifact_of(l, s, o, d, a, !o->expect.n)) {
    return false;
  }
  const char **in, **out;
  names_of(a, l->model, &in, &out);
  if (!bindings_check(d, "--in", o->in.at, o->in.n, in,
                      l->model->n_inputs) ||
      !bindings_check(d, "--expect", o->expect.at, o->expect.n, out,
                      l->model->n_outputs))
    return false;
  printf("tolerance: %g max|r| + %g\n", tol.rtol, tol.atol);
  *same = true;
  if (o->expect.n)
    return inputs_fill(o, d, a, l, in, (uint64_t)seed) &&
           check_expected(o, d, a, l, out, tol, same);
  Checked k = {o, d, a, l, s, tol, in, (uint64_t)seed, count};
  bool free = s->module->free && l->model->n_free;
  if (free && !at_most(l)) {
    int64_t at[FREE_MOST];
    memcpy(at, l->dims, sizeof at);
    return check_at(&k, at, same);
  }
  if (free) sizes_print(l->model, l->dims);
  Calls c = {.l = l, .s = s, .f = s->module->funcs.at[0], .tol = tol,
             .source = s->source ? s->source : s->module};
  return check_reference(&c, o, d, a, in, (uint64_t)seed, count, same) &&
         (!free || o->in.n || check_sizes(&k, same));
}

int cmd_check(const Options *o, Diags *d, Arena *a) {
  Loaded l = {0};
  Session s = {0};
  bool same = false;
  bool ran = check(o, d, a, &l, &s, &same);
  artifact_close(&l);
  session_close(&s);
  if (!ran) return diags_exit_code(d);
  puts(same ? "all within tolerance" : "MISMATCH");
  return same ? EXIT_OK : EXIT_MISMATCH;
}
