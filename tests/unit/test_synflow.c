/* test_synflow.c - sums over the paths of a net, and pruning by them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "passes/flow.h"

static const Target target = {
  "x86_64-linux-gnu", "x86-64-v3", "", "x86_64", 8, 16, true, true
};

/* Drawn from -1 to 1; layers `b...` are a tenth of that, small nets are by
 * hand: 1, -2, 3, -4, ... */
static bool by_hand;

static bool provide(void *ctx, Param *p) {
  (void)ctx;
  size_t n = (size_t)type_elems(&p->type);
  p->data = buffer_new(n * sizeof(float));
  float *v = (float *)(void *)p->data->data;
  double scale = p->path[0] == 'b' ? 0.1 : 1;
  for (size_t i = 0; i < n; i++)
    v[i] = by_hand ? (float)(i + 1) * (i % 2 ? -1 : 1)
           : (float)(scale * (2 * random_unit(p->path, 1, i) - 1));
  return true;
}

/* ---- one run --------------------------------------------------------- */

typedef struct Net {
  Diags *d;
  Module *m;
  PassCtx c;
  PruneStep s;
  Flow fl;
} Net;

static Module *load(Diags *d, const char *body, const char *steps) {
  Text t = {0};
  LoadOpts lo = {.recipe = *steps ? "r" : NULL, .provide = provide};
  text_printf(&t, "model m(%s\n%s", body, steps);
  Module *m = tam_load_text(d, "<test>", t.s, t.n, &lo);
  if (!m) diags_print(d, stderr, false);
  assert_non_null(m);
  text_free(&t);
  return m;
}

/* All params of layers are weights of the step. */
static Net *open_net(const char *body) {
  Net *n = calloc(1, sizeof *n);
  n->d = diags_new();
  n->m = load(n->d, body, "");
  n->c = (PassCtx){.m = n->m, .d = n->d};
  n->s = (PruneStep){.arena = arena_new(), .c = &n->c,
                     .s = arena_new_of(n->m->arena, RecipeStep)};
  const Func *f = n->m->funcs.at[0];
  for (size_t i = 0; i < f->nodes.n; i++)
    if (layer_weight(f->nodes.at[i]))
      prune_weight(&n->s, operand_param(layer_weight(f->nodes.at[i])));
  n->s.nselected = n->s.weights.n;
  if (!flow_open(&n->fl, &n->s)) diags_print(n->d, stderr, false);
  return n;
}

static void close_net(Net *n) {
  flow_free(&n->fl);
  arena_free(n->s.arena);
  module_free(n->m);
  diags_free(n->d);
  free(n);
}

static bool is_near(double a, double b) {
  return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

/* ---- by hand --------------------------------------------------------- */

/* 5 (1 + 2) + 6 (3 + 4) = 57, with what each weight has of it. */
static void two_layers(void **state) {
  (void)state;
  static const float w1[] = {1, -2, 3, 4}, w2[] = {5, -6};
  static const double a[] = {5, 10, 18, 24}, b[] = {15, 42};
  Net *n = open_net("x: f32[1,2]) -> y: f32[1,1] {\n"
                    "  y = x |> linear(2) as a |> relu |> linear(1) as b; }");
  n->s.weights.at[0]->old = w1;
  n->s.weights.at[1]->old = w2;
  assert_true(flow_run(&n->fl));
  assert_true(n->fl.sum == 57);
  for (int i = 0; i < 4; i++)
    assert_true(is_near(n->s.weights.at[0]->score[i], a[i] / 57));
  for (int i = 0; i < 2; i++)
    assert_true(is_near(n->s.weights.at[1]->score[i], b[i] / 57));
  close_net(n);
}

static void expect_sum(const char *body, double sum) {
  Net *n = open_net(body);
  assert_int_equal(diags_errors(n->d), 0);
  assert_true(flow_run(&n->fl));
  if (!is_near(n->fl.sum, sum))
    fail_msg("%s: %.17g, expected %.17g", body, n->fl.sum, sum);
  close_net(n);
}

/* Each rule with a sum that is worked out on paper. */
static void rules_by_hand(void **state) {
  (void)state;
  by_hand = true;
  /* 1 + 2 + 3 + 4, and twice what a scale of -2 makes of it */
  expect_sum("x: f32[1,2]) -> y: f32[1,2] {\n"
             "  y = (x |> linear(2) as a) * -2.0 + 7.0; }", 20);
  /* as much again around it: 2 */
  expect_sum("x: f32[1,2]) -> y: f32[1,2] {\n"
             "  y = x + (x |> linear(2) as a); }", 12);
  /* a gate hands on both */
  expect_sum("x: f32[1,2]) -> y: f32[1,2] {\n"
             "  h = x |> linear(2) as a; y = h * sigmoid(h); }", 20);
  /* 4 of 2x2 by 3x3: 1 to 9 at taps; inside, all taps lie in the map */
  expect_sum("x: f32[1,1,4,4]) -> y: f32[1,1,2,2] {\n"
             "  y = x |> conv(1, k=3) as a; }", 4 * 45);
  /* padded, strided: tap rows 1..2, 0..2 by the same of columns */
  expect_sum("x: f32[1,1,4,4]) -> y: f32[1,1,2,2] {\n"
             "  y = x |> conv(1, k=3, s=2, pad=1) as a; }",
             (5 + 6 + 8 + 9) + (4 + 5 + 6 + 7 + 8 + 9) +
             (2 + 3 + 5 + 6 + 8 + 9) + 45);
  /* the mean over a window of ones is one; then 1 + 2 + 3 + 4 */
  expect_sum("x: f32[1,1,4,4]) -> y: f32[1,1] {\n"
             "  y = x |> maxpool(2) |> flatten |> linear(1) as a; }", 10);
  expect_sum("x: f32[1,4]) -> y: f32[1] {\n"
             "  y = mean(x |> linear(2) as a, [1]); }", 18);
  /* a matrix [K,M], twice: its columns are 1 + 3, 2 + 4; all in all
   * 1*3 + 2*7 + 3*3 + 4*7 */
  expect_sum("x: f32[1,2]) -> y: f32[1,2] {\n"
             "  param w: f32[2,2]; y = matmul(matmul(x, w), w); }",
             4 * 3 + 6 * 7);
  /* means of rows of a and of columns of b, both 1 and 7/2: a row of a is
   * (1 + 2, 3 + 4), a column of its transpose the same: twice 5 for each of
   * four */
  expect_sum("x: f32[2,2]) -> y: f32[2,2] {\n"
             "  h = x |> linear(2) as a; y = matmul(h, h, transpose_b=true); }",
             4 * (5 + 5));
  by_hand = false;
}

/* A norm multiplies by |scale| / sqrt(var + eps). */
static void norms_scale(void **state) {
  (void)state;
  by_hand = true;
  expect_sum("x: f32[1,1,1,1]) -> y: f32[1,2,1,1] {\n"
             "  y = x |> conv(2) as a |> bn(eps=0.0); }",
             1 * 1 / sqrt(1) + 2 * 2 / sqrt(2));
  by_hand = false;
}

/* ---- derivatives ----------------------------------------------------- */

/* The sum is linear in each weight: without it, it is less by its score. */
static void expect_lost(const char *body, size_t weights) {
  Net *n = open_net(body);
  assert_int_equal(diags_errors(n->d), 0);
  assert_int_equal(n->s.weights.n, weights);
  assert_true(flow_run(&n->fl));
  double whole = n->fl.sum;
  for (size_t i = 0; i < n->s.weights.n; i++) {
    PruneWeight *w = n->s.weights.at[i];
    int64_t all = w->rows * w->cols;
    double *was = malloc((size_t)all * sizeof *was);
    assert_true(flow_run(&n->fl));
    w->v = malloc((size_t)all * sizeof *w->v);
    memcpy(was, w->score, (size_t)all * sizeof *was);
    for (int64_t k = 0; k < all; k += 5) {
      memcpy(w->v, w->old, (size_t)all * sizeof *w->v);
      w->v[k] = 0;
      assert_true(flow_run(&n->fl));
      if (fabs(whole - n->fl.sum - was[k] * whole) > 1e-9 * whole)
        fail_msg("%s, value %d: the sum loses %g, its score is %g",
                 w->p->path, (int)k, 1 - n->fl.sum / whole, was[k]);
    }
    free(w->v);
    w->v = NULL;
    free(was);
  }
  close_net(n);
}

static void scores_are_what_is_lost(void **state) {
  (void)state;
  expect_lost(
    "x: f32[2,4,9,7]) -> y: f32[2,3], z: f32[2,5,4] {\n"
    "  h = x |> conv(4, k=3, s=2, pad=1, groups=2) as a |> bn |> relu;\n"
    "  k = h |> conv(6, k=[2,3], pad=[0,1,1,1], dilation=[2,1]) as c;\n"
    "  l = slice(k, axis=1, start=1, stop=5) |> avgpool(2, s=1, pad=1);\n"
    "  h = concat(h |> maxpool(2), slice(slice(l, axis=2, start=0, stop=2),\n"
    "             axis=3, start=0, stop=2), axis=1);\n"
    "  h = h * sigmoid(mean(h, [2,3], keep=true) |> conv(8) as gate);\n"
    "  y = h |> flatten |> linear(3) as head;\n"
    "  t = permute(reshape(h, [2,8,4]), [0,2,1]);\n"
    "  z = permute(t, [0,2,1]) |> conv1d(5, k=3, pad=1) as line; }", 5);
  /* Attention with a mask. */
  expect_lost(
    "x: f32[2,3,4]) -> y: f32[2,3,4] {\n"
    "  y = x + (x |> layer_norm as ln\n"
    "             |> self_attention(2, causal=true) as att); }", 2);
}

/* ---- what SynFlow promises ------------------------------------------- */

/* Every path goes through every layer of a chain. */
static void layers_have_equal_sums(void **state) {
  (void)state;
  Net *n = open_net(
    "x: f32[1,3,8,8]) -> y: f32[1,10] {\n"
    "  x = x |> conv(8, k=3, pad=1) as a |> relu |> conv(4, s=2) as b;\n"
    "  x = x |> gelu |> conv(6, k=3, groups=2) as c |> maxpool(2);\n"
    "  y = x |> flatten |> linear(12, bias=false) as d |> tanh\n"
    "        |> linear(10, bias=false) as e; }");
  assert_true(flow_run(&n->fl));
  assert_int_equal(n->s.weights.n, 5);
  for (size_t i = 0; i < n->s.weights.n; i++) {
    const PruneWeight *w = n->s.weights.at[i];
    double sum = 0;
    for (int64_t k = 0; k < w->rows * w->cols; k++) sum += w->score[k];
    assert_true(is_near(sum, 1));
  }
  close_net(n);
}

/* Weights that stay of the layers of a deep chain, the fewest of a layer. */
static int64_t fewest_kept(const char *with, int64_t *all) {
  Text body = {0}, step = {0};
  Diags *d = diags_new();
  PipelineOpts o = {.target = &target, .opt = 2, .stop_after = "recipe"};
  text_puts(&body, "x: f32[1,48]) -> y: f32[1,48] {\n");
  for (int i = 0; i < 20; i++)
    text_printf(&body, "  x = x |> linear(48, bias=false) as %s%d |> relu;\n",
                i % 4 == 1 ? "below" : "at", i);
  text_puts(&body, "  y = x; }\n");
  text_printf(&step, "recipe r for m { prune ** with %s; }\n", with);
  Module *m = load(d, body.s, step.s);
  assert_true(pipeline_run(&m, &o, d));
  int64_t least = INT64_MAX;
  *all = 0;
  for (size_t i = 0; i < m->params.n; i++) {
    int64_t n = param_nonzeros(m, m->params.at[i]);
    *all += n;
    if (n < least) least = n;
  }
  module_free(m);
  diags_free(d);
  text_free(&body);
  text_free(&step);
  return least;
}

/* 46 of 46080 weights stay.  The smallest weights lie in a few layers, which
 * magnitude empties; so does a single round. */
static void no_layer_is_emptied(void **state) {
  (void)state;
  int64_t all;
  assert_int_equal(fewest_kept("sparsity=0.999, scope=global", &all), 0);
  assert_int_equal(all, 46);
  assert_int_equal(
    fewest_kept("sparsity=0.999, method=synflow, rounds=1", &all), 0);
  assert_true(fewest_kept("sparsity=0.999, method=synflow", &all) > 0);
  assert_int_equal(all, 46);
}

/* ---- what is wrong --------------------------------------------------- */

static void expect_error(const char *body, const char *with,
                         const char *message) {
  Text step = {0};
  Diags *d = diags_new();
  PipelineOpts o = {.target = &target, .opt = 2, .stop_after = "recipe"};
  text_printf(&step, "recipe r for m { prune ** with %s; }\n", with);
  Module *m = load(d, body, step.s);
  assert_false(pipeline_run(&m, &o, d));
  if (!strstr(diags_last(d), message))
    fail_msg("'%s', expected '%s'", diags_last(d), message);
  module_free(m);
  diags_free(d);
  text_free(&step);
}

static void errors_say_why(void **state) {
  (void)state;
  static const char one[] = "x: f32[1,2]) -> y: f32[1,2] {\n"
                            "  y = x |> linear(2) as a; }";
  expect_error("x: f32[1,2,4,4]) -> y: f32[1,2,8,8] {\n"
               "  y = x |> conv(2) as a |> conv_transpose(2) as up; }",
               "sparsity=0.5, method=synflow",
               "no rule for the op 'conv2d_transpose' of up");
  expect_error(one, "sparsity=0.5, rounds=3",
               "rounds has no meaning with method=magnitude");
  expect_error(one, "sparsity=0.5, method=synflow, rounds=0",
               "expected a whole number from 1 to 10000, found 0");
  expect_error(one, "macs=0.5, method=synflow",
               "expected sparsity=, found macs");
  expect_error("x: f32[1,2]) -> y: f32[1,2] {\n"
               "  y = (x |> linear(2) as a) * 0.0; }",
               "sparsity=0.5, method=synflow", "above 0 and finite, found 0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(two_layers),
    cmocka_unit_test(rules_by_hand),
    cmocka_unit_test(norms_scale),
    cmocka_unit_test(scores_are_what_is_lost),
    cmocka_unit_test(layers_have_equal_sums),
    cmocka_unit_test(no_layer_is_emptied),
    cmocka_unit_test(errors_say_why),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
