/* test_calibrated.c - prune with method=wanda and method=obs, on models of
 * one layer whose inputs are drawn: against what wanda's definition and
 * normal equations, solved here, give; and what obs loses of the outputs
 * against magnitude, on every kind of layer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/driver.h"
#include "passes/calibrated.h"

static const Target target = {
  "x86_64-linux-gnu", "x86-64-v3", "", "x86_64", 8, 16, true, true
};

/* ---- a model and its inputs ------------------------------------------ */

/* Elements of the input; neighbours are much alike, and every seventh
 * channel or feature is small. */
typedef struct Data { float *x; Type type; bool dead; } Data;

static Data data;

static void data_draw(const Module *m) {
  const Type *t = &m->funcs.at[0]->inputs.at[0]->type;
  int64_t n = type_elems(t), last = t->dim[t->rank - 1];
  data.type = *t;
  data.x = realloc(data.x, (size_t)n * sizeof(float));
  for (int64_t i = 0; i < n; i++) {
    double u = random_unit("x", 1, (uint64_t)i) - 0.5;
    double before = i % last ? data.x[i - 1] : 0;
    data.x[i] = (float)(i % 7 == 3 ? 0.1 * u : 0.8 * before + u);
    if (data.dead && i % last == 2) data.x[i] = 0;
  }
}

static bool check(void *ctx, Module *m, const DataOpts *o) {
  (void)ctx;
  (void)m;
  return strcmp(o->path, "drawn") == 0;
}

static bool run(void *ctx, Module *m, const DataOpts *o, bool gram,
                WeightStats *stats, size_t n, Arena *a) {
  (void)ctx;
  (void)o;
  assert_int_equal(n, 1);
  InputUses uses = {0};
  Text why = {0};
  assert_true(input_uses(a, m, stats->param, &uses, &why));
  assert_int_equal(uses.n, 1);
  Columns c = columns_of(uses.at[0].layer);
  Sums *s = arena_array(a, Sums, (size_t)c.groups);
  size_t k = (size_t)c.cols;
  assert_int_equal(stats->inputs.n, c.groups);
  for (int64_t g = 0; g < c.groups; g++) {
    s[g].square = arena_array(a, double, k);
    if (gram) s[g].gram = arena_array(a, double, k * k);
  }
  columns_add(&c, s, data.x, &data.type, NULL);
  for (int64_t g = 0; g < c.groups; g++) {
    stats->inputs.at[g].square = s[g].square;
    stats->inputs.at[g].gram = s[g].gram;
  }
  return true;
}

static void say(void *ctx, const char *what) {
  (void)ctx;
  (void)what;
}

static Module *load(const char *model, const char *with, Diags *d) {
  Text t = {0};
  LoadOpts lo = {.recipe = "r", .random_weights = true, .seed = 3};
  text_printf(&t, "%s\nrecipe r for m { prune ** with %s; }\n", model, with);
  Module *m = tam_load_text(d, "<test>", t.s, t.n, &lo);
  text_free(&t);
  return m;
}

/* The model behind the recipe; NULL after an error. */
static Module *pruned(const char *model, const char *with, Diags *d) {
  Calibrate c = {check, run, say, NULL};
  PipelineOpts o = {.target = &target, .opt = 2, .stop_after = "recipe",
                    .calibrate = &c};
  Module *m = load(model, with, d);
  if (!m) return NULL;
  data_draw(m);
  if (pipeline_run(&m, &o, d)) return m;
  module_free(m);
  return NULL;
}

static Module *pruned_ok(const char *model, const char *with) {
  Diags *d = diags_new();
  Module *m = pruned(model, with, d);
  if (!m) {
    diags_print(d, stderr, false);
    fail_msg("%s", with);
  }
  diags_free(d);
  return m;
}

static const float *weights(Module *m) {
  return param_values(m, module_param(m, "c.weight"));
}

static int64_t weight_count(Module *m) {
  return type_elems(&module_param(m, "c.weight")->type);
}

static int64_t zeros(Module *m) {
  return weight_count(m) - param_nonzeros(m, module_param(m, "c.weight"));
}

static Module *dense(const char *model) {
  return pruned_ok(model, "sparsity=0.0");
}

/* ---- output error ---------------------------------------------------- */

static Tensor outputs(Arena *a, Module *m) {
  Diags *d = diags_new();
  Func *f = m->funcs.at[0];
  Tensor in = tensor_new(a, &data.type);
  EvalOpts o = {0};
  tensor_read(&in, data.x);
  Tensor *all = func_eval(a, m, f, &in, &o, true, d);
  assert_non_null(all);
  diags_free(d);
  return all[f->outputs.at[0].node->id];
}

/* Squared distance of the outputs from those of the dense model, over theirs
 * squared. */
static double output_error(const char *model, Module *m) {
  Arena *a = arena_new();
  Module *old = dense(model);
  Tensor y = outputs(a, m), r = outputs(a, old);
  double sum = 0, all = 0;
  for (int64_t i = 0; i < type_elems(&y.type); i++) {
    sum += (y.v[i] - r.v[i]) * (y.v[i] - r.v[i]);
    all += r.v[i] * r.v[i];
  }
  module_free(old);
  arena_free(a);
  return sum / all;
}

static double error_with(const char *model, const char *with) {
  Module *m = pruned_ok(model, with);
  double e = output_error(model, m);
  module_free(m);
  return e;
}

/* ---- wanda ----------------------------------------------------------- */

static const char linear[] =
  "model m(x: f32[64,12]) -> y: f32[64,5] { "
  "y = x |> linear(5, bias=false) as c; }";

/* In every row the values with the least |w| times norm are gone, the others
 * are what they were. */
static void wanda_rows(void **state) {
  (void)state;
  Module *m = pruned_ok(linear, "method=wanda, sparsity=0.5, data=drawn");
  Module *old = dense(linear);
  const float *v = weights(m), *w = weights(old);
  for (int r = 0; r < 5; r++) {
    double most_gone = 0, least_kept = INFINITY;
    int gone = 0;
    for (int c = 0; c < 12; c++) {
      double square = 0;
      for (int i = 0; i < 64; i++)
        square += (double)data.x[i * 12 + c] * data.x[i * 12 + c];
      double score = fabs(w[r * 12 + c]) * sqrt(square);
      gone += v[r * 12 + c] == 0;
      if (v[r * 12 + c] == 0) most_gone = fmax(most_gone, score);
      else assert_true(v[r * 12 + c] == w[r * 12 + c]);
      if (v[r * 12 + c] != 0) least_kept = fmin(least_kept, score);
    }
    assert_int_equal(gone, 6);
    assert_true(most_gone < least_kept);
  }
  module_free(m);
  module_free(old);
}

/* Nonzeros in each run of `of` are at most n. */
static void runs_hold(Module *m, int n, int of) {
  const float *v = weights(m);
  for (int64_t i = 0; i < weight_count(m); i += of) {
    int kept = 0;
    for (int k = 0; k < of; k++) kept += v[i + k] != 0;
    assert_int_equal(kept, n);
  }
}

static void blocks_hold(Module *m, int64_t cols, int height) {
  const float *v = weights(m);
  for (int64_t i = 0; i < weight_count(m); i++)
    if (i / cols % height == 0)
      for (int k = 1; k < height; k++)
        assert_int_equal(v[i] == 0, v[i + k * cols] == 0);
}

/* Several blocks of columns, and a last one that is not full. */
static const char wide[] =
  "model m(x: f32[400,300]) -> y: f32[400,24] { "
  "y = x |> linear(24, bias=false) as c; }";

static void patterns(void **state) {
  (void)state;
  static const char *const methods[] = {"wanda", "obs"};
  for (int i = 0; i < 2; i++) {
    char with[128];
    snprintf(with, sizeof with, "method=%s, pattern=2:4, data=drawn",
             methods[i]);
    Module *m = pruned_ok(wide, with);
    runs_hold(m, 2, 4);
    module_free(m);
    snprintf(with, sizeof with, "method=%s, pattern=4x1, sparsity=0.7, "
             "data=drawn", methods[i]);
    m = pruned_ok(wide, with);
    blocks_hold(m, 300, 4);
    assert_int_equal(zeros(m), 24 * 300 * 7 / 10);
    module_free(m);
    snprintf(with, sizeof with, "method=%s, sparsity=0.37, data=drawn",
             methods[i]);
    m = pruned_ok(wide, with);
    assert_int_equal(zeros(m), 24 * 300 * 37 / 100);
    module_free(m);
  }
}

/* ---- obs against normal equations ------------------------------------ */

enum { K = 12 };

/* Solve a x = b by elimination, n <= K. */
static void eliminate(double a[K][K], double *b, int n) {
  for (int i = 0; i < n; i++)
    for (int r = i + 1; r < n; r++) {
      double f = a[r][i] / a[i][i];
      for (int k = i; k < n; k++) a[r][k] -= f * a[i][k];
      b[r] -= f * b[i];
    }
  for (int i = n - 1; i >= 0; i--) {
    for (int k = i + 1; k < n; k++) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
}

static void damped_gram(double h[K][K], double damp) {
  double mean = 0;
  for (int i = 0; i < K; i++)
    for (int k = 0; k < K; k++) {
      h[i][k] = 0;
      for (int r = 0; r < 64; r++)
        h[i][k] += (double)data.x[r * K + i] * data.x[r * K + k];
      if (i == k) mean += h[i][k] / K;
    }
  for (int i = 0; i < K; i++) h[i][i] += damp * mean;
}

/* The best that a row w can be where only the values left in v may differ
 * from 0. */
static void best_row(double h[K][K], const float *w, const float *v,
                     double *best) {
  double a[K][K], b[K];
  int kept[K], n = 0;
  for (int i = 0; i < K; i++)
    if (v[i] != 0) kept[n++] = i;
  for (int i = 0; i < n; i++) {
    b[i] = 0;
    for (int k = 0; k < K; k++) b[i] += h[kept[i]][k] * w[k];
    for (int k = 0; k < n; k++) a[i][k] = h[kept[i]][kept[k]];
  }
  eliminate(a, b, n);
  memset(best, 0, K * sizeof *best);
  for (int i = 0; i < n; i++) best[kept[i]] = b[i];
}

/* What the row's outputs lose, damped, at their best without value p. */
static double loss_without(double h[K][K], const float *w, int p) {
  float left[K];
  double best[K], sum = 0;
  for (int i = 0; i < K; i++) left[i] = i != p;
  best_row(h, w, left, best);
  for (int i = 0; i < K; i++)
    for (int k = 0; k < K; k++)
      sum += (best[i] - w[i]) * h[i][k] * (best[k] - w[k]);
  return sum;
}

/* The first that goes is the one of 60 whose loss is least. */
static void obs_takes_the_least(void **state) {
  (void)state;
  Module *m = pruned_ok(linear, "method=obs, sparsity=0.0167, data=drawn");
  Module *old = dense(linear);
  double h[K][K], least = INFINITY;
  int best = -1;
  damped_gram(h, 0.01);
  for (int i = 0; i < 5 * K; i++) {
    double loss = loss_without(h, weights(old) + i / K * K, i % K);
    if (loss < least) {
      least = loss;
      best = i;
    }
  }
  for (int i = 0; i < 5 * K; i++)
    assert_int_equal(weights(m)[i] == 0, i == best);
  module_free(m);
  module_free(old);
}

/* What is left is the exact solution for that choice, with 1 of 60 values
 * gone, half of them, and 5 of 6. */
static void obs_is_best(void **state) {
  (void)state;
  static const struct { const char *share; int zeros; } cases[] = {
    {"0.0167", 1}, {"0.5", 30}, {"0.8333", 50},
  };
  Module *old = dense(linear);
  for (int c = 0; c < 3; c++) {
    char with[128];
    snprintf(with, sizeof with, "method=obs, sparsity=%s, data=drawn, "
             "damp=0.02", cases[c].share);
    Module *m = pruned_ok(linear, with);
    double h[K][K], best[K];
    assert_int_equal(zeros(m), cases[c].zeros);
    damped_gram(h, 0.02);
    for (int r = 0; r < 5; r++) {
      const float *v = weights(m) + r * K;
      best_row(h, weights(old) + r * K, v, best);
      for (int i = 0; i < K; i++) assert_float_equal(v[i], best[i], 1e-5);
    }
    module_free(m);
  }
  module_free(old);
}

/* A column twice the same: one goes and the other takes its part. */
static void obs_moves(void **state) {
  (void)state;
  static const char twice[] =
    "model m(x: f32[64,2]) -> y: f32[64,1] { "
    "y = concat(x, x, axis=1) |> linear(1, bias=false) as c; }";
  Diags *d = diags_new();
  Module *m = load(twice, "sparsity=0.0", d);
  Func *f = m->funcs.at[0];
  InputUses uses = {0};
  Text why = {0};
  assert_true(input_uses(m->arena, m, module_param(m, "c.weight"), &uses,
                         &why));
  data_draw(m);
  Columns c = columns_of(uses.at[0].layer);
  assert_int_equal(c.cols, 4);
  assert_ptr_not_equal(c.node, f->inputs.at[0]);
  double gram[16] = {0};
  float both[64 * 4];
  for (int i = 0; i < 256; i++) both[i] = data.x[i / 4 * 2 + i % 2];
  Sums s = {NULL, gram};
  Type t = type_make(F32, 2, (const int64_t[]){64, 4});
  columns_add(&c, &s, both, &t, NULL);
  InputStats in = {.lo = 0, .hi = 1, .cols = 4, .gram = gram};
  Calibrated o = {.pattern = {PATTERN_UNSTRUCTURED, 1, 1}, .sparsity = 0.5,
                  .damp = 1e-9};
  float v[4] = {1, 2, 3, 4};
  int64_t done = 0, gone = 0;
  assert_true(obs_prune(m->arena, &o, &in, (Matrix){v, 1, 4}, &done, &gone));
  assert_float_equal(v[0] + v[2], 4, 1e-3);
  assert_float_equal(v[1] + v[3], 6, 1e-3);
  assert_true((v[0] == 0) != (v[2] == 0) && (v[1] == 0) != (v[3] == 0));
  module_free(m);
  diags_free(d);
}

/* A column that is always 0 goes first, and hurts nothing. */
static void dead_column(void **state) {
  (void)state;
  data.dead = true;
  Module *m = pruned_ok(linear, "method=obs, sparsity=0.0834, data=drawn");
  for (int r = 0; r < 5; r++)
    for (int c = 0; c < 12; c++) {
      assert_int_equal(weights(m)[r * 12 + c] == 0, c == 2);
      assert_true(isfinite(weights(m)[r * 12 + c]));
    }
  assert_true(output_error(linear, m) < 1e-10);
  module_free(m);
  data.dead = false;
}

/* ---- kinds of layers ------------------------------------------------- */

static void obs_beats_magnitude(void **state) {
  (void)state;
  static const char *const models[] = {
    wide,
    "model m(x: f32[3,16,12,12]) -> y: f32[3,24,12,12] { "
    "y = x |> conv(24, k=3, pad=1) as c; }",
    "model m(x: f32[2,16,15,11]) -> y: f32[2,24,8,6] { "
    "y = x |> conv(24, k=3, s=2, pad=1, groups=4) as c; }",
    "model m(x: f32[2,12,15,11]) -> y: f32[2,12,15,11] { "
    "y = x |> conv(12, k=3, pad=1, groups=12) as c; }",
    "model m(x: f32[2,12,50]) -> y: f32[2,20,48] { "
    "y = x |> conv1d(20, k=3) as c; }",
    "model m(x: f32[1,4,8,9,10]) -> y: f32[1,12,8,9,10] { "
    "y = x |> conv3d(12, k=3, pad=1) as c; }",
  };
  static const char *const shares[] = {"0.3", "0.6", "0.9"};
  for (size_t i = 0; i < sizeof models / sizeof *models; i++)
    for (int k = 0; k < 3; k++) {
      char with[128];
      snprintf(with, sizeof with, "sparsity=%s", shares[k]);
      double magnitude = error_with(models[i], with);
      snprintf(with, sizeof with, "sparsity=%s, method=obs, data=drawn",
               shares[k]);
      double obs = error_with(models[i], with);
      snprintf(with, sizeof with, "sparsity=%s, method=wanda, data=drawn",
               shares[k]);
      double wanda = error_with(models[i], with);
      if (obs >= magnitude || obs >= wanda)
        fail_msg("%s at %s: obs %g, wanda %g, magnitude %g", models[i],
                 shares[k], obs, wanda, magnitude);
    }
}

/* What is too large for one after the other, and patterns. */
static void sweep_beats_magnitude(void **state) {
  (void)state;
  static const char large[] =
    "model m(x: f32[1400,640]) -> y: f32[1400,64] { "
    "y = x |> linear(64, bias=false) as c; }";
  static const char grouped[] =
    "model m(x: f32[2,32,15,11]) -> y: f32[2,48,8,6] { "
    "y = x |> conv(48, k=3, s=2, pad=1, groups=4) as c; }";
  static const struct { const char *model, *how; } cases[] = {
    {large, "sparsity=0.5"}, {large, "sparsity=0.9"},
    {large, "pattern=2:4"}, {large, "pattern=1:4"},
    {large, "pattern=4x1, sparsity=0.6"}, {large, "pattern=8x4, sparsity=0.4"},
    {grouped, "pattern=2:4"}, {grouped, "pattern=4x1, sparsity=0.6"},
    {grouped, "pattern=3x2, sparsity=0.6"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char with[128];
    double magnitude = error_with(cases[i].model, cases[i].how);
    snprintf(with, sizeof with, "%s, method=obs, data=drawn", cases[i].how);
    double obs = error_with(cases[i].model, with);
    if (obs >= magnitude)
      fail_msg("%s with %s: obs %g, magnitude %g", cases[i].model,
               cases[i].how, obs, magnitude);
  }
}

/* The same input gives the same bits. */
static void deterministic(void **state) {
  (void)state;
  const char *with = "method=obs, sparsity=0.6, data=drawn";
  Module *a = pruned_ok(wide, with), *b = pruned_ok(wide, with);
  assert_memory_equal(weights(a), weights(b),
                      (size_t)weight_count(a) * sizeof(float));
  module_free(a);
  module_free(b);
}

/* ---- errors ---------------------------------------------------------- */

static void fails(const char *model, const char *with, const char *message) {
  Diags *d = diags_new();
  Module *m = pruned(model, with, d);
  assert_null(m);
  if (!strstr(diags_last(d), message))
    fail_msg("%s: expected '%s', found '%s'", with, message, diags_last(d));
  diags_free(d);
}

static void errors(void **state) {
  (void)state;
  fails(linear, "method=obs, sparsity=0.5", "expected data=");
  fails(linear, "method=obs, data=drawn", "expected sparsity=");
  fails(linear, "method=obs, data=drawn, sparsity=1.5",
        "sparsity: expected a number from 0 to 1, found 1.5");
  fails(linear, "method=obs, data=drawn, pattern=2:4, sparsity=0.5",
        "sets the sparsity itself");
  fails(linear, "method=wanda, data=drawn, sparsity=0.5, scope=global",
        "expected scope=uniform, found global");
  fails(linear, "method=wanda, data=drawn, sparsity=0.5, damp=0.1",
        "damp goes with method=obs");
  fails(linear, "method=obs, data=drawn, sparsity=0.5, sample=3",
        "no argument 'sample' with method=obs");
  fails(linear, "method=obs, data=drawn, sparsity=0.5, samples=0",
        "samples: expected a whole number from 1 on, found 0");
  fails(linear, "method=obs, data=drawn, sparsity=0.5, mean=\"1:x\"",
        "mean: expected a number");
  fails(linear, "method=obs, data=drawn, pattern=4x1, sparsity=0.5",
        "pattern 4x1 does not divide c.weight: expected a multiple of 4x1, "
        "found 5x12");
  fails("model m(x: f32[1,8,5,5]) -> y: f32[1,8,5,5] { "
        "y = x |> conv(8, k=3, pad=1, groups=4) as c; }",
        "method=obs, data=drawn, pattern=4x1, sparsity=0.5",
        "pattern 4x1 does not divide the groups of c.weight: expected rows "
        "that are a multiple of 4, found 2");
  fails("func f(x: f32[1,8]) -> y: f32[1,8] { y = x |> linear(8) as c; }\n"
        "model m(x: f32[1,8]) -> y: f32[1,8] { y = f(x); }",
        "method=obs, data=drawn, sparsity=0.5",
        "lies in a function that is called");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(wanda_rows), cmocka_unit_test(patterns),
    cmocka_unit_test(obs_is_best), cmocka_unit_test(obs_takes_the_least),
    cmocka_unit_test(obs_moves),
    cmocka_unit_test(dead_column), cmocka_unit_test(obs_beats_magnitude),
    cmocka_unit_test(sweep_beats_magnitude),
    cmocka_unit_test(deterministic), cmocka_unit_test(errors),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  free(data.x);
  return failed;
}
