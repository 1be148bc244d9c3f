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

/* Integers and bits are to be equal. */
static Diff compare(const Type *t, const void *y, const int64_t *stride,
                    int64_t origin, const Tensor *ref, Tolerance tol) {
  Diff d = {0};
  double top = 0;
  int64_t n = type_elems(t);
  bool real = elem_is_float(t->elem);
  for (int64_t i = 0; i < n; i++) {
    double v = elem_load(t->elem, y, (size_t)place(t, stride, origin, i));
    double r = real ? ref->v[i] : (double)ref->i[i];
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

static bool report(const char *what, const char *kernel, const Diff *d) {
  bool ok = !d->nan && d->abs <= d->limit;
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
    Type t = artifact_type(&m->outputs[i]);
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

/* Each step right after it ran, since the arena is used again. */
static void check_steps(const Loaded *l, const Func *f, const Tensor *ref,
                        Tolerance tol, bool *same) {
  const tamis_model *m = l->model;
  for (uint32_t i = 0; i < m->n_steps; i++) {
    const tamis_step *s = &m->steps[i];
    s->run(l->io, l->arena, m->weights);
    if (s->value < 0 || (size_t)s->value >= f->nodes.n) continue;
    const Type t = type_make((Elem)s->elem, s->rank, s->dims);
    if (!type_same_shape(&t, &ref[s->value].type) ||
        t.elem != ref[s->value].type.elem) {
      printf("BAD  %-32s shape differs from the model's\n", s->path);
      *same = false;
      continue;
    }
    const char *base = s->out_io >= 0 ? l->io[s->out_io]
                                      : (char *)l->arena + s->out_offset;
    Diff d = compare(&t, base, s->out_strides, s->out_origin, &ref[s->value],
                     tol);
    *same &= report(*s->path ? s->path : s->origin, s->kernel, &d);
  }
}

/* Outputs of one call of the whole net. */
static void check_outputs(const Loaded *l, const Func *f, const Tensor *ref,
                          Tolerance tol, bool *same) {
  const tamis_model *m = l->model;
  int code = m->run(l->io, l->arena);
  if (code != 0) internal_error(__FILE__, __LINE__, "run gave %d", code);
  for (uint32_t i = 0; i < m->n_outputs; i++) {
    const Tensor *r = &ref[f->outputs.at[i].node->id];
    int64_t stride[MAX_RANK];
    strides_dense(&r->type, stride);
    Diff d = compare(&r->type, l->io[m->n_inputs + i], stride, 0, r, tol);
    *same &= report(m->outputs[i].name, "(output)", &d);
  }
}

static bool check_reference(Session *s, Diags *d, Arena *a, const Loaded *l,
                            Tolerance tol, bool *same) {
  Func *f = s->module->funcs.at[0];
  const tamis_model *m = l->model;
  if (f->inputs.n != m->n_inputs || f->outputs.n != m->n_outputs)
    return diag_error_at(d, EXIT_USAGE, "--so",
                         "expected an artifact with %zu inputs and %zu "
                         "outputs, found %u and %u", f->inputs.n,
                         f->outputs.n, m->n_inputs, m->n_outputs);
  Tensor *in = arena_array(a, Tensor, f->inputs.n + 1);
  for (size_t i = 0; i < f->inputs.n; i++) {
    const Type *own = &f->inputs.at[i]->type;
    Type t = type_make(own->elem, own->rank, own->dim);
    Type have = artifact_type(&m->inputs[i]);
    if (!type_same_shape(&t, &have) || t.elem != have.elem)
      return diag_error_at(d, EXIT_USAGE, "--so",
                           "input '%s' has another type than the model's",
                           m->inputs[i].name);
    in[i] = tensor_new(a, &t);
    tensor_read(&in[i], l->io[i]);
  }
  EvalOpts e = {.blas = true};
  Tensor *ref = func_eval(a, s->module, f, in, &e, true, d);
  if (!ref) return false;
  if (m->steps) check_steps(l, f, ref, tol, same);
  check_outputs(l, f, ref, tol, same);
  return true;
}

static bool check(const Options *o, Diags *d, Arena *a, Loaded *l,
                  Session *s, bool *same) {
  Tolerance tol = {1e-3, 0};
  int64_t seed = 1;
  if ((o->rtol && !option_float(d, "--rtol", o->rtol, &tol.rtol)) ||
      (o->atol && !option_float(d, "--atol", o->atol, &tol.atol)) ||
      (o->seed && !option_int(d, "--seed", o->seed, 0, INT64_MAX, &seed)))
    return false;
  bool so = artifact_is(o->file);
  if (so && !o->expect.n)
    return diag_error_at(d, EXIT_USAGE, "check", "%s is built: expected "
                         "--expect, or the model with --so=%s", o->file,
                         o->file);
  if (o->so) {
    if (!session_open(s, o, d, a) || !session_load(s) ||
        !session_compile(s) || !artifact_open(l, d, o->so))
      return false;
  } else if (!artifact_of(l, s, o, d, a)) {
    return false;
  }
  const char **in, **out;
  names_of(a, l->model, &in, &out);
  if (!bindings_check(d, "--in", o->in.at, o->in.n, in,
                      l->model->n_inputs) ||
      !bindings_check(d, "--expect", o->expect.at, o->expect.n, out,
                      l->model->n_outputs))
    return false;
  uint64_t drawn = (uint64_t)seed;
  for (uint32_t i = 0; i < l->model->n_inputs; i++) {
    Type t = artifact_type(&l->model->inputs[i]);
    if (!input_read(a, d, o, in[i], i, l->model->n_inputs, &t, &drawn,
                     l->io[i]))
      return false;
  }
  printf("tolerance: %g max|r| + %g\n", tol.rtol, tol.atol);
  *same = true;
  return o->expect.n ? check_expected(o, d, a, l, out, tol, same)
                     : check_reference(s, d, a, l, tol, same);
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
