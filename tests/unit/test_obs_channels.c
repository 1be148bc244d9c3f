/* test_obs_channels.c - prune with method=obs and pattern=channel: which
 * channels go, and what the layer behind then has, against normal equations
 * that are solved here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "passes/calibrated.h"

static const Target target = {
  "x86_64-linux-gnu", "x86-64-v3", "", "x86_64", 8, 16, true, true
};

enum { ROWS = 64, K = 8, OUT = 4 };

/* ---- a model and what its layers read -------------------------------- */

static Tensor *values(Arena *a, Module *m) {
  Diags *d = diags_new();
  Func *f = m->funcs.at[0];
  Tensor in = tensor_new(a, &f->inputs.at[0]->type);
  for (int64_t i = 0; i < type_elems(&in.type); i++)
    in.v[i] = random_unit("x", 5, (uint64_t)i) - 0.4;
  Tensor *all = func_eval(a, m, f, &in, &(EvalOpts){0}, true, d);
  assert_non_null(all);
  diags_free(d);
  return all;
}

static bool check(void *ctx, Module *m, const DataOpts *o) {
  (void)ctx, (void)m;
  return strcmp(o->path, "drawn") == 0;
}

/* Products of the columns of a linear layer's input. */
static bool run(void *ctx, Module *m, const DataOpts *o, bool gram,
                WeightStats *stats, size_t n, Arena *a) {
  Tensor *all = values(a, m);
  (void)ctx, (void)o;
  assert_true(gram);
  for (size_t w = 0; w < n; w++) {
    InputUses uses = {0};
    Text why = {0};
    assert_true(input_uses(a, m, stats[w].param, &uses, &why));
    const Tensor *x = &all[uses.at[0].layer->in[0]->id];
    InputStats *in = &stats[w].inputs.at[0];
    int64_t k = in->cols, rows = type_elems(&x->type) / k;
    double *g = arena_array(a, double, (size_t)(k * k));
    double *square = arena_array(a, double, (size_t)k);
    gram_add(g, k, x->v, rows);
    for (int64_t i = 0; i < k; i++) square[i] = g[i * k + i];
    in->gram = g;
    in->square = square;
  }
  return true;
}

static void say(void *ctx, const char *what) { (void)ctx, (void)what; }

typedef struct Given { const char *path; const float *v; } Given;

/* Values by path, others drawn. */
static bool provide(void *ctx, Param *p) {
  const Given *g = ctx;
  size_t n = (size_t)type_elems(&p->type);
  Buffer *b = buffer_new(n * sizeof(float));
  float *v = (float *)(void *)b->data;
  while (g->path && strcmp(g->path, p->path) != 0) g++;
  for (size_t i = 0; i < n; i++)
    v[i] = g->path ? g->v[i] : (float)random_unit(p->path, 1, i) - 0.5f;
  param_set_data(p, b);
  return true;
}

static const Given drawn[] = {{0}};

/* The model behind `prune a with STEP`; NULL: as it was. */
static Module *pruned(const char *body, const char *step, const Given *g) {
  Text t = {0};
  Diags *d = diags_new();
  Calibrate c = {check, run, say, NULL};
  LoadOpts lo = {.recipe = step ? "r" : NULL, .provide = provide,
                 .provide_ctx = (void *)(uintptr_t)g};
  PipelineOpts o = {.target = &target, .opt = 2, .stop_after = "recipe",
                    .calibrate = &c};
  text_printf(&t, "model m(%s\nrecipe r for m { prune %s; }\n", body,
              step ? step : "a with sparsity=0.0");
  Module *m = tam_load_text(d, "<test>", t.s, t.n, &lo);
  if (!m || !pipeline_run(&m, &o, d)) {
    diags_print(d, stderr, false);
    fail_msg("%s", t.s);
  }
  text_free(&t);
  diags_free(d);
  return m;
}

static const float *values_of(Module *m, const char *path) {
  return param_values(m, module_param(m, path));
}

/* ---- by hand --------------------------------------------------------- */

/* Channels 0 and 2 are the same, and 1 and 3: one of each goes, and the other
 * takes its part. */
static void twins_merge(void **state) {
  static const float a[] = {1, 0, 0, 1, 1, 0, 0, 1}, c[] = {1, 2, 3, 4};
  const Given given[] = {{"a.weight", a}, {"c.weight", c}, {0}};
  (void)state;
  Module *m = pruned("x: f32[64,2]) -> y: f32[64,1] {\n"
                     "  y = x |> linear(4, bias=false) as a\n"
                     "        |> linear(1, bias=false) as c; }",
                     "a with method=obs, pattern=channel, sparsity=0.5, "
                     "data=drawn, damp=0.000000001", given);
  const float *v = values_of(m, "c.weight"), *w = values_of(m, "a.weight");
  for (int i = 0; i < 2; i++) {
    assert_float_equal(v[i] + v[i + 2], i ? 6 : 4, 1e-3);
    assert_true((v[i] == 0) != (v[i + 2] == 0));
  }
  for (int i = 0; i < 4; i++)
    assert_int_equal(v[i] == 0, w[2 * i] == 0 && w[2 * i + 1] == 0);
  module_free(m);
}

/* ---- weights as exporters write them --------------------------------- */

enum { HIDDEN = 6 };

/* The same net as linear layers and as products with matrices [K,M]. */
static void products_as_linear(void **state) {
  float a[HIDDEN * K], b[OUT * HIDDEN], at[K * HIDDEN], bt[HIDDEN * OUT];
  const Given given[] = {{"a.weight", a}, {"b.weight", b},
                         {"wa", at}, {"wb", bt}, {0}};
  (void)state;
  for (int o = 0; o < HIDDEN; o++)
    for (int k = 0; k < K; k++)
      a[o * K + k] = at[k * HIDDEN + o] =
        (float)random_unit("a", 1, (uint64_t)(o * K + k)) - 0.5f;
  for (int o = 0; o < OUT; o++)
    for (int k = 0; k < HIDDEN; k++)
      b[o * HIDDEN + k] = bt[k * OUT + o] =
        (float)random_unit("b", 1, (uint64_t)(o * HIDDEN + k)) - 0.5f;
  Module *m = pruned("x: f32[64,8]) -> y: f32[64,4] {\n"
                     "  y = x |> linear(6, bias=false) as a |> relu\n"
                     "        |> linear(4, bias=false) as b; }",
                     "a with method=obs, pattern=channel, sparsity=0.5, "
                     "data=drawn", given);
  Module *n = pruned("x: f32[64,8]) -> y: f32[64,4] {\n"
                     "  param wa: f32[8,6]; param wb: f32[6,4];\n"
                     "  y = matmul(relu(matmul(x, wa)), wb); }",
                     "wa with method=obs, pattern=channel, sparsity=0.5, "
                     "data=drawn", given);
  int zeros = 0;
  for (int o = 0; o < OUT; o++)
    for (int k = 0; k < HIDDEN; k++) {
      float v = values_of(m, "b.weight")[o * HIDDEN + k];
      assert_float_equal(v, values_of(n, "wb")[k * OUT + o], 1e-5);
      zeros += v == 0;
    }
  assert_int_equal(zeros, OUT * HIDDEN / 2);
  for (int o = 0; o < HIDDEN; o++)
    for (int k = 0; k < K; k++)
      assert_float_equal(values_of(m, "a.weight")[o * K + k],
                         values_of(n, "wa")[k * HIDDEN + o], 0);
  module_free(m);
  module_free(n);
}

/* ---- normal equations ------------------------------------------------ */

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

/* The best row where only channels that are left may differ from 0. */
static void best_row(double h[K][K], const float *w, const bool *left,
                     double *best) {
  double a[K][K], b[K];
  int kept[K], n = 0;
  for (int i = 0; i < K; i++)
    if (left[i]) kept[n++] = i;
  for (int i = 0; i < n; i++) {
    b[i] = 0;
    for (int k = 0; k < K; k++) b[i] += h[kept[i]][k] * w[k];
    for (int k = 0; k < n; k++) a[i][k] = h[kept[i]][kept[k]];
  }
  eliminate(a, b, n);
  memset(best, 0, K * sizeof *best);
  for (int i = 0; i < n; i++) best[kept[i]] = b[i];
}

static double loss_with(double h[K][K], const float *w, const bool *left) {
  double best[K], sum = 0;
  for (int r = 0; r < OUT; r++) {
    best_row(h, w + r * K, left, best);
    for (int i = 0; i < K; i++)
      for (int k = 0; k < K; k++)
        sum += (best[i] - w[r * K + i]) * h[i][k] * (best[k] - w[r * K + k]);
  }
  return sum;
}

/* Of what c reads in the dense model. */
static void damped_gram(Module *m, double h[K][K], double damp) {
  Arena *a = arena_new();
  Tensor *all = values(a, m);
  const Func *f = m->funcs.at[0];
  const Node *x = f->outputs.at[0].node->in[0];
  const double *v = all[x->id].v;
  double mean = 0;
  for (int i = 0; i < K; i++)
    for (int k = 0; k < K; k++) {
      h[i][k] = 0;
      for (int r = 0; r < ROWS; r++) h[i][k] += v[r * K + i] * v[r * K + k];
      if (i == k) mean += h[i][k] / K;
    }
  for (int i = 0; i < K; i++) h[i][i] += damp * mean;
  arena_free(a);
}

static const char net[] =
  "x: f32[64,5]) -> y: f32[64,4] {\n"
  "  y = x |> linear(8) as a |> relu |> linear(4, bias=false) as c; }";

/* Each time the channel goes that costs the least then; what is left of c is
 * the exact solution, a's rows and biases that are gone are zero and the
 * others as they were. */
static void least_goes(void **state) {
  double h[K][K];
  Module *old = pruned(net, NULL, drawn);
  const float *w = values_of(old, "c.weight");
  bool left[K] = {1, 1, 1, 1, 1, 1, 1, 1};
  (void)state;
  damped_gram(old, h, 0.02);
  for (int gone = 1; gone <= 5; gone++) {
    char step[128];
    int best = -1;
    double least = INFINITY, row[K];
    for (int p = 0; p < K; p++) {
      if (!left[p]) continue;
      left[p] = false;
      double loss = loss_with(h, w, left);
      left[p] = true;
      if (loss < least) least = loss, best = p;
    }
    left[best] = false;
    snprintf(step, sizeof step, "a with method=obs, pattern=channel, "
             "sparsity=%g, data=drawn, damp=0.02", gone / 8.0);
    Module *m = pruned(net, step, drawn);
    for (int r = 0; r < OUT; r++) {
      best_row(h, w + r * K, left, row);
      for (int i = 0; i < K; i++)
        assert_float_equal(values_of(m, "c.weight")[r * K + i], row[i], 1e-5);
    }
    for (int i = 0; i < K * 5; i++)
      assert_true(values_of(m, "a.weight")[i] ==
                  (left[i / 5] ? values_of(old, "a.weight")[i] : 0));
    for (int i = 0; i < K; i++)
      assert_true(values_of(m, "a.bias")[i] ==
                  (left[i] ? values_of(old, "a.bias")[i] : 0));
    module_free(m);
  }
  module_free(old);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(twins_merge),
    cmocka_unit_test(products_as_linear),
    cmocka_unit_test(least_goes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
