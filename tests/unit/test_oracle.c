/* test_oracle.c - each op against PyTorch's values (tests/oracle/make_ops.py
 * and make_ops2.py): the evaluator, one case after the other, and compiled
 * code, a batch of cases as one model, between pages that cannot be
 * touched. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "runtime/tamis.h"
#include "tests/run/remote.h"

/* ---- the cases ------------------------------------------------------- */

/* Operands in the order of the file; y is the value. */
typedef struct Case {
  const char *name, *expr;
  int n;
  const char *operand[MAX_OPERANDS];
  Tensor in[MAX_OPERANDS], y;
} Case;

typedef struct Cases {
  Arena *a;
  Diags *d;
  WeightFile *w;
  Vec(Case) all;
} Cases;

static Tensor tensor_of(Arena *a, const WeightTensor *t) {
  Tensor v = tensor_new(a, &t->type);
  tensor_read(&v, t->data->data);
  return v;
}

/* A case's tensors stand together, its y last. */
static size_t case_read(Cases *c, Case *k, size_t at) {
  size_t len = strlen(k->name);
  for (; at < c->w->tensors.n; at++) {
    const WeightTensor *t = &c->w->tensors.at[at];
    assert_true(strncmp(t->name, k->name, len) == 0 && t->name[len] == '.');
    Tensor v = tensor_of(c->a, t);
    if (strcmp(t->name + len, ".y") == 0) {
      k->y = v;
      return at + 1;
    }
    assert_true(k->n < MAX_OPERANDS);
    k->operand[k->n] = t->name + len + 1;
    k->in[k->n++] = v;
  }
  fail_msg("%s: no value", k->name);
  return at;
}

static Cases cases_read(const char *stem) {
  Cases c = {.a = arena_new(), .d = diags_new()};
  char *base = arena_printf(c.a, "%s/oracle/%s", TEST_SRCDIR, stem);
  c.w = weights_read(c.a, c.d, arena_printf(c.a, "%s.safetensors", base));
  Source *list = source_read(c.a, c.d, arena_printf(c.a, "%s.txt", base));
  if (!c.w || !list) diags_print(c.d, stderr, false);
  assert_non_null(c.w);
  assert_non_null(list);
  char *line = arena_strdup(c.a, list->text);
  size_t at = 0;
  for (char *end; (end = strchr(line, '\n')); line = end + 1) {
    *end = 0;
    char *expr = strchr(line, ' ');
    assert_non_null(expr);
    *expr++ = 0;
    Case k = {.name = line, .expr = expr};
    at = case_read(&c, &k, at);
    vec_push(c.a, &c.all, k);
  }
  assert_int_equal(at, c.w->tensors.n);
  return c;
}

static void cases_free(Cases *c) {
  weights_close(c->w);
  arena_free(c->a);
  diags_free(c->d);
}

/* ---- a model of some cases ------------------------------------------- */

/* Case i is block case_<i>; its operands are the model's inputs i<i>_<name>,
 * its value the output y<i>. */
static void batch_text(Text *t, const Case *c, size_t n) {
  for (size_t i = 0; i < n; i++) {
    text_printf(t, "block case_%zu(", i);
    for (int k = 0; k < c[i].n; k++)
      text_printf(t, "%s%s", k ? ", " : "", c[i].operand[k]);
    text_printf(t, ") -> y { y = %s; }\n", c[i].expr);
  }
  text_puts(t, "model m(");
  for (size_t i = 0; i < n; i++)
    for (int k = 0; k < c[i].n; k++) {
      text_printf(t, "%si%zu_%s: ", i || k ? ", " : "", i, c[i].operand[k]);
      type_print(t, &c[i].in[k].type);
    }
  text_puts(t, ") -> ");
  for (size_t i = 0; i < n; i++) text_printf(t, "%sy%zu", i ? ", " : "", i);
  text_puts(t, " {\n");
  for (size_t i = 0; i < n; i++) {
    text_printf(t, "  y%zu = case_%zu(", i, i);
    for (int k = 0; k < c[i].n; k++)
      text_printf(t, "%si%zu_%s", k ? ", " : "", i, c[i].operand[k]);
    text_puts(t, ");\n");
  }
  text_puts(t, "}\n");
}

static Module *batch_load(Diags *d, const Case *c, size_t n) {
  Text t = {0};
  LoadOpts lo = {0};
  batch_text(&t, c, n);
  Module *m = tam_load_text(d, "<cases>", t.s, t.n, &lo);
  if (!m) {
    diags_print(d, stderr, false);
    fail_msg("does not load:\n%s", t.s);
  }
  text_free(&t);
  return m;
}

/* ---- comparing ------------------------------------------------------- */

/* The type of the value is the file's, where f64 stands for f32. */
static void type_check(const Case *c, const Type *have) {
  Type want = c->y.type;
  if (want.elem == F64) want.elem = F32;
  if (want.elem == have->elem && type_same_shape(&want, have)) return;
  Text h = {0}, w = {0};
  type_print(&h, have);
  type_print(&w, &want);
  fail_msg("%s: %s has type %s, expected %s", c->name, c->expr, h.s, w.s);
}

/* The number of elements that differ; says the first.  Integers and what is
 * only moved are equal; `tol` is relative to 1 + |y|. */
static int differ(const Case *c, const Tensor *have, double tol) {
  int64_t n = type_elems(&c->y.type);
  int bad = 0;
  for (int64_t i = 0; i < n; i++) {
    bool real = elem_is_float(c->y.type.elem);
    double y = real ? have->v[i] : (double)have->i[i];
    double r = real ? c->y.v[i] : (double)c->y.i[i];
    if (!real && have->i[i] == c->y.i[i]) continue;
    if (real && (y == r || (isnan(y) && isnan(r)))) continue;
    double gap = fabs(y - r) / (1 + fabs(r));
    if (real && c->y.type.elem == F64 && gap <= tol) continue;
    if (bad++ == 0)
      print_error("%s: %s: element %lld of %lld is %.9g, expected %.9g\n",
                  c->name, c->expr, (long long)i, (long long)n, y, r);
  }
  return bad;
}

/* ---- the evaluator --------------------------------------------------- */

static int evaluate(const Case *c, bool blas) {
  Diags *d = diags_new();
  Arena *a = arena_new();
  Module *m = batch_load(d, c, 1);
  Func *f = m->funcs.at[0];
  EvalOpts o = {.blas = blas};
  Tensor *all = func_eval(a, m, f, c->in, &o, false, d);
  assert_non_null(all);
  const Tensor *y = &all[f->outputs.at[0].node->id];
  type_check(c, &y->type);
  /* Literals are f32, PyTorch's eps is a double. */
  int bad = differ(c, y, strstr(c->expr, "_norm(") ? 1e-9 : 1e-13);
  module_free(m);
  arena_free(a);
  diags_free(d);
  return bad;
}

static void evaluator(const char *stem, size_t least) {
  Cases c = cases_read(stem);
  int bad = 0;
  assert_true(c.all.n >= least);
  for (size_t i = 0; i < c.all.n; i++)
    bad += !!evaluate(&c.all.at[i], false) + !!evaluate(&c.all.at[i], true);
  assert_int_equal(bad, 0);
  cases_free(&c);
}

/* ---- compiled code --------------------------------------------------- */

enum { BATCH = 48 };
static char dir[] = "/tmp/tamis-oracle-XXXXXX";

/* What the compiled code should give: f32 has no more than f32 holds. */
static void narrow(Tensor *y) {
  for (int64_t i = 0; y->type.elem == F64 && i < type_elems(&y->type); i++)
    y->v[i] = (double)(float)y->v[i];
}

/* What is compiled for, and the command that runs it elsewhere (NULL: this
 * process does). */
typedef struct Machine {
  const char *target, *cpu, *runner;
  int opt;
} Machine;

static Type value_type(const Case *c) {
  Type t = c->y.type;
  if (t.elem == F64) t.elem = F32;
  return t;
}

/* A call's buffers: inputs of all cases, then outputs. */
typedef struct Buffers {
  size_t n, inputs;
  Fence *fence;
  void **io;
} Buffers;

static Buffers buffers_new(Arena *a, const Case *c, size_t n) {
  Buffers b = {0};
  for (size_t i = 0; i < n; i++) b.inputs += (size_t)c[i].n;
  b.fence = arena_array(a, Fence, b.inputs + n);
  b.io = arena_array(a, void *, b.inputs + n);
  for (size_t i = 0; i < n; i++)
    for (int k = 0; k < c[i].n; k++, b.n++) {
      b.fence[b.n] = fence_new((size_t)type_bytes(&c[i].in[k].type));
      tensor_write(&c[i].in[k], b.io[b.n] = b.fence[b.n].at);
    }
  for (size_t i = 0; i < n; i++, b.n++) {
    Type t = value_type(&c[i]);
    b.fence[b.n] = fence_new((size_t)type_bytes(&t));
    b.io[b.n] = b.fence[b.n].at;
  }
  return b;
}

/* Cases whose value is not what it should be. */
static int buffers_check(Arena *a, const Buffers *b, Case *c, size_t n) {
  int bad = 0;
  for (size_t i = 0; i < n; i++) {
    Type t = value_type(&c[i]);
    Tensor y = tensor_new(a, &t);
    tensor_read(&y, b->io[b->inputs + i]);
    narrow(&c[i].y);
    bad += !!differ(&c[i], &y, 1e-5);
  }
  for (size_t i = 0; i < b->n; i++) {
    assert_true(fence_intact(&b->fence[i]));
    fence_free(&b->fence[i]);
  }
  return bad;
}

static void run_here(const char *so, const Buffers *b, size_t n) {
  void *handle = dlopen(so, RTLD_NOW | RTLD_LOCAL);
  if (!handle) fail_msg("%s", dlerror());
  const tamis_model *model = dlsym(handle, "g0_model");
  assert_non_null(model);
  assert_int_equal(model->n_inputs, b->inputs);
  assert_int_equal(model->n_outputs, n);
  Fence arena = fence_new(model->arena_bytes);
  assert_int_equal(model->run(b->io, arena.at), TAMIS_OK);
  assert_true(fence_intact(&arena));
  fence_free(&arena);
  dlclose(handle);
}

static void run_there(Arena *a, const char *runner, const char *so,
                      const Func *f, const Buffers *b) {
  Remote *r = remote_open(a, runner, so);
  remote_begin(r, 0, f, 0, 1);
  bool ok = remote_call(r, f, true, b->io);
  assert_true(remote_close(r) && ok);
}

static int compile_batch(Case *c, size_t n, const Machine *to) {
  static int count;   /* a name of its own for each */
  Diags *d = diags_new();
  Arena *a = arena_new();
  Target t;
  char *out = arena_printf(a, "%s/b%d.so", dir, count++);
  Module *m = batch_load(d, c, n);
  bool ok = target_resolve(a, d, to->target, to->cpu, NULL, &t);
  PipelineOpts p = {.target = &t, .opt = to->opt};
  ok = ok && pipeline_run(&m, &p, d);
  EmitOpts e = {.target = &t, .kind = EMIT_SO, .out = out, .prefix = "g0",
                .opt = to->opt};
  EmitInfo info = {0};
  ok = ok && backend_emit(m, &e, &info, d);
  if (!ok) diags_print(d, stderr, false);
  assert_true(ok);
  Buffers b = buffers_new(a, c, n);
  if (to->runner) run_there(a, to->runner, out, m->funcs.at[0], &b);
  else run_here(out, &b, n);
  int bad = buffers_check(a, &b, c, n);
  unlink(out);
  module_free(m);
  arena_free(a);
  diags_free(d);
  return bad;
}

/* ORACLE_CASE=NAME compiles that case alone. */
static int compile_all(const char *stem, const Machine *to) {
  const char *only = getenv("ORACLE_CASE");
  Cases c = cases_read(stem);
  int bad = 0;
  for (size_t i = 0; i < c.all.n;) {
    size_t n = only ? 1 : c.all.n - i < BATCH ? c.all.n - i : BATCH;
    if (!only || strcmp(only, c.all.at[i].name) == 0)
      bad += compile_batch(&c.all.at[i], n, to);
    i += n;
  }
  cases_free(&c);
  return bad;
}

static bool level_runs(const char *cpu) {
#if defined(__x86_64__)
  return strcmp(cpu, "x86-64-v3") != 0 || (__builtin_cpu_supports("avx2") &&
                                           __builtin_cpu_supports("fma"));
#else
  return cpu == NULL;
#endif
}

/* The host's CPU, and on x86-64 the levels that it includes, unless
 * TAMIS_QUICK=1.  With ORACLE_TARGET and ORACLE_RUNNER those instead. */
static void compiled(const char *stem) {
  const char *target = getenv("ORACLE_TARGET"), *quick = getenv("TAMIS_QUICK");
  Machine other = {target, NULL, getenv("ORACLE_RUNNER"), 2};
  Machine here = {.opt = 2}, v3 = {.cpu = "x86-64-v3"};
  Machine least = {.cpu = "x86-64", .opt = 2};
  if (target) {
    assert_non_null(other.runner);
    assert_int_equal(compile_all(stem, &other), 0);
    return;
  }
  int bad = compile_all(stem, &here);
  if (!(quick && *quick) && level_runs("x86-64")) {
    bad += level_runs(v3.cpu) ? compile_all(stem, &v3) : 0;
    bad += compile_all(stem, &least);
  }
  assert_int_equal(bad, 0);
}

/* ---- the runs -------------------------------------------------------- */

static void evaluator_ops(void **state) {
  (void)state;
  evaluator("ops", 80);
}

static void evaluator_ops2(void **state) {
  (void)state;
  evaluator("ops2", 1400);
}

static void compiled_ops(void **state) {
  (void)state;
  compiled("ops");
}

static void compiled_ops2(void **state) {
  (void)state;
  compiled("ops2");
}

static int dir_make(void **state) {
  (void)state;
  return mkdtemp(dir) ? 0 : -1;
}

static int dir_remove(void **state) {
  char header[64];
  (void)state;
  snprintf(header, sizeof header, "%s/g0.h", dir);
  unlink(header);
  return rmdir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(evaluator_ops), cmocka_unit_test(evaluator_ops2),
    cmocka_unit_test(compiled_ops), cmocka_unit_test(compiled_ops2),
  };
  return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
