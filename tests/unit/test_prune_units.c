/* test_prune_units.c - the verb prune on nets by hand: rows, channels and
 * what follows them, heads, the criteria, densities, and what is wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "passes/prune.h"
#include "tests/unit/capture.h"

static const Target target = {
  "x86_64-linux-gnu", "x86-64-v3", "", "x86_64", 8, 16, true, true
};

/* ---- a net and its weights ------------------------------------------- */

/* Values of a param; one that is not given has 1, 2, 3, ... */
typedef struct Given { const char *path; const float *v; } Given;

static bool provide(void *ctx, Param *p) {
  const Given *g = ctx;
  size_t n = (size_t)type_elems(&p->type);
  p->data = buffer_new(n * sizeof(float));
  float *v = (float *)(void *)p->data->data;
  while (g && g->path && strcmp(g->path, p->path) != 0) g++;
  for (size_t i = 0; i < n; i++)
    v[i] = g && g->path ? g->v[i] : (float)(i + 1);
  return true;
}

typedef struct Net {
  Diags *d;
  Module *m;
  bool ok;
} Net;

/* The model `body` behind the step; ok: the step was right. */
static Net prune(const char *body, const char *step, const Given *given) {
  Text t = {0};
  Net n = {.d = diags_new()};
  LoadOpts lo = {.recipe = "r", .provide = provide,
                 .provide_ctx = (void *)(uintptr_t)given};
  PipelineOpts o = {.target = &target, .opt = 2, .stop_after = "recipe"};
  text_printf(&t, "model m(%s\nrecipe r for m { prune %s; }\n", body, step);
  n.m = tam_load_text(n.d, "<test>", t.s, t.n, &lo);
  if (!n.m) diags_print(n.d, stderr, false);
  assert_non_null(n.m);
  n.ok = pipeline_run(&n.m, &o, n.d);
  text_free(&t);
  return n;
}

static void net_free(Net *n) {
  module_free(n->m);
  diags_free(n->d);
}

/* Value i of the param is there where `kept` has a 1: "0110". */
static void expect_kept(const Net *n, const char *path, const char *kept) {
  const Param *p = module_param(n->m, path);
  const float *v = param_values(n->m, p);
  if (!n->ok) diags_print(n->d, stderr, false);
  assert_true(n->ok);
  assert_int_equal(type_elems(&p->type), strlen(kept));
  for (size_t i = 0; kept[i]; i++)
    if ((v[i] != 0) != (kept[i] == '1'))
      fail_msg("%s: value %zu is %g, expected %s", path, i, (double)v[i],
               kept);
}

/* ---- criteria -------------------------------------------------------- */

static void squares_differ(void **state) {
  (void)state;
  static const char body[] = "x: f32[1,2]) -> y: f32[1,2] {\n"
                             "  y = x |> linear(2, bias=false) as a; }";
  static const float w[] = {3, 3, 0.5f, -5};   /* sums 6, 5.5; 18, 25.25 */
  const Given given[] = {{"a.weight", w}, {0}};
  Net n = prune(body, "a with pattern=row, sparsity=0.5", given);
  expect_kept(&n, "a.weight", "1100");
  net_free(&n);
  n = prune(body, "a with pattern=row, sparsity=0.5, method=l2", given);
  expect_kept(&n, "a.weight", "0011");
  net_free(&n);
}

static const char conv_norm[] =
  "x: f32[1,2,1,1]) -> y: f32[1,3,1,1] {\n"
  "  y = x |> conv(3, bias=true) as c |> bn as n; }";

static void norm_scales(void **state) {
  (void)state;
  static const float scale[] = {2, -0.5f, 1};
  const Given given[] = {{"n.weight", scale}, {0}};
  Net n = prune(conv_norm, "c with pattern=row, sparsity=0.34, method=bn",
                given);
  expect_kept(&n, "c.weight", "110011");
  net_free(&n);
  n = prune(conv_norm, "c with pattern=channel, sparsity=0.67, method=bn, "
            "coupled=false", given);
  expect_kept(&n, "c.weight", "110000");
  net_free(&n);
}

/* ---- channels -------------------------------------------------------- */

static void rows_leave_biases(void **state) {
  (void)state;
  Net n = prune(conv_norm, "c with pattern=row, sparsity=0.34", NULL);
  expect_kept(&n, "c.weight", "001111");
  expect_kept(&n, "c.bias", "111");
  expect_kept(&n, "n.weight", "111");
  net_free(&n);
}

/* The output of channel 0 is 0, whatever x is. */
static void channels_are_zero(void **state) {
  (void)state;
  Net n = prune(conv_norm, "c with pattern=channel, sparsity=0.34, "
                "coupled=false", NULL);
  expect_kept(&n, "c.weight", "001111");
  expect_kept(&n, "c.bias", "011");
  expect_kept(&n, "n.weight", "011");
  expect_kept(&n, "n.bias", "011");
  expect_kept(&n, "n.running_mean", "111");
  Arena *a = arena_new();
  Func *f = n.m->funcs.at[0];
  const EvalOpts o = {0};
  Tensor x = tensor_new(a, &f->inputs.at[0]->type);
  x.v[0] = 3, x.v[1] = -7;
  Tensor *all = func_eval(a, n.m, f, &x, &o, true, n.d);
  assert_non_null(all);
  const double *y = all[f->outputs.at[0].node->id].v;
  assert_true(y[0] == 0 && y[1] != 0 && y[2] != 0);
  arena_free(a);
  net_free(&n);
}

/* A bias that something else reads stays. */
static void shared_biases_stay(void **state) {
  (void)state;
  Net n = prune("x: f32[1,2]) -> y: f32[1,2] {\n"
                "  param w: f32[2,2]; param b: f32[2];\n"
                "  y = linear(x, w, b=b) * b; }",
                "w with pattern=channel, sparsity=0.5, coupled=false", NULL);
  expect_kept(&n, "w", "0011");
  expect_kept(&n, "b", "11");
  net_free(&n);
}

/* Of x times a matrix [K,M] the rows are columns, and the bias is added. */
static void products_have_channels(void **state) {
  (void)state;
  Net n = prune("x: f32[1,2]) -> y: f32[1,3] {\n"
                "  param w: f32[2,3]; param b: f32[3];\n"
                "  y = relu(matmul(x, w) + b); }",
                "w with pattern=channel, sparsity=0.34, "
                "coupled=false", NULL);
  expect_kept(&n, "w", "011011");
  expect_kept(&n, "b", "011");
  net_free(&n);
  n = prune("x: f32[1,4]) -> y: f32[1,2] {\n"
            "  param w: f32[4,2]; y = matmul(x, w); }",
            "w with pattern=2:4", NULL);
  expect_kept(&n, "w", "00001111");
  net_free(&n);
}

/* ---- coupled channels ------------------------------------------------ */

static const char stage[] =
  "x: f32[1,2,1,1]) -> y: f32[1,1,1,1] {\n"
  "  h = x |> conv(2) as a |> bn as n;\n"
  "  h = h + (h |> relu |> conv(2) as b);\n"
  "  y = h |> conv(1) as c; }";

/* What is added loses the same channel, and so does all that reads it. */
static void stages_lose_channels(void **state) {
  (void)state;
  Net n = prune(stage, "a, b with pattern=channel, sparsity=0.5", NULL);
  expect_kept(&n, "a.weight", "0011");
  expect_kept(&n, "n.weight", "01");
  expect_kept(&n, "n.bias", "01");
  expect_kept(&n, "n.running_mean", "11");
  expect_kept(&n, "b.weight", "0001");
  expect_kept(&n, "c.weight", "01");
  net_free(&n);
}

/* The means of both rows count: (4+4+1+1)/4 and (1+1+9+9)/4. */
static void rows_score_together(void **state) {
  (void)state;
  static const float a[] = {4, 4, 1, 1}, b[] = {1, 1, 9, 9};
  const Given given[] = {{"a.weight", a}, {"b.weight", b}, {0}};
  Net n = prune(stage, "a, b with pattern=channel, sparsity=0.5", given);
  expect_kept(&n, "a.weight", "0011");
  expect_kept(&n, "b.weight", "0001");
  net_free(&n);
  /* half of the products: 2 of a, 1 of b and 1 of c of 10 are left */
  n = prune(stage, "a, b with pattern=channel, macs=0.5", given);
  expect_kept(&n, "a.weight", "0011");
  net_free(&n);
}

static void channels_move(void **state) {
  (void)state;
  Net n = prune("x: f32[1,1,1,2]) -> y: f32[1,1] {\n"
                "  h = concat(x, x |> conv(2) as a |> relu, axis=1);\n"
                "  y = h |> flatten |> linear(1) as b; }",
                "a with pattern=channel, sparsity=0.5", NULL);
  expect_kept(&n, "a.weight", "01");
  expect_kept(&n, "b.weight", "110011");
  net_free(&n);
  n = prune("x: f32[1,1,1,1]) -> y: f32[1,1,2,2] {\n"
            "  y = x |> conv(8) as a |> pixel_shuffle(2) |> conv(1) as b; }",
            "a with pattern=channel, sparsity=0.5", NULL);
  expect_kept(&n, "a.weight", "00001111");
  expect_kept(&n, "b.weight", "01");
  net_free(&n);
}

static void filters_follow(void **state) {
  (void)state;
  Net n = prune("x: f32[1,2,1,1]) -> y: f32[1,1,1,1] {\n"
                "  y = x |> conv(2) as a |> conv(2, groups=2, bias=true) as d"
                " |> relu |> conv(1) as c; }",
                "a with pattern=channel, sparsity=0.5", NULL);
  expect_kept(&n, "a.weight", "0011");
  expect_kept(&n, "d.weight", "01");
  expect_kept(&n, "d.bias", "01");
  expect_kept(&n, "c.weight", "01");
  net_free(&n);
  n = prune("x: f32[1,2]) -> y: f32[1,1] {\n"
            "  param w: f32[2,2]; param b: f32[2]; param u: f32[2,1];\n"
            "  y = matmul(relu(matmul(x, w) + b), u); }",
            "w with pattern=channel, sparsity=0.5", NULL);
  expect_kept(&n, "w", "0101");
  expect_kept(&n, "b", "01");
  expect_kept(&n, "u", "01");
  net_free(&n);
}

static void some_channels_stay(void **state) {
  (void)state;
  Net n = prune(stage, "** with pattern=channel, sparsity=0.5", NULL);
  char *text = diags_text(n.d, false);
  expect_kept(&n, "c.weight", "01");
  assert_non_null(strstr(text, "warning: prune: 1 of 1 channels of c.weight "
                               "stay: an output has them"));
  free(text);
  net_free(&n);
}

/* ---- heads ----------------------------------------------------------- */

/* Two heads of two: the first has the least values. */
static void heads_of_a_layer(void **state) {
  (void)state;
  Net n = prune("x: f32[2,3,4]) -> y: f32[2,3,4] {\n"
                "  y = x |> self_attention(2) as att; }",
                "att with pattern=head, sparsity=0.5", NULL);
  expect_kept(&n, "att.in_proj_weight",
              "00000000" "11111111" "00000000" "11111111"
              "00000000" "11111111");
  expect_kept(&n, "att.in_proj_bias", "001100110011");
  expect_kept(&n, "att.out_proj.weight", "0011001100110011");
  expect_kept(&n, "att.out_proj.bias", "1111");
  net_free(&n);
  n = prune("x: f32[2,3,4], z: f32[2,5,4]) -> y: f32[2,3,4] {\n"
            "  y = x |> cross_attention(z, 2) as att; }",
            "att with pattern=head, sparsity=0.5", NULL);
  expect_kept(&n, "att.in_proj_bias", "001100110011");
  expect_kept(&n, "att.out_proj.weight", "0011001100110011");
  net_free(&n);
}

/* As exporters write them: products with matrices [K,M], heads first, keys
 * of former calls before those of this one. */
static const char exported[] =
  "x: f32[3,4], past: f32[2,2,2]) -> y: f32[3,4], keys: f32[2,2,5] {\n"
  "  param q: f32[4,4]; param k: f32[4,4]; param v: f32[4,4];\n"
  "  param o: f32[4,4];\n"
  "  a = permute(reshape(matmul(x, q) * 0.7, [3,2,2]), [1,0,2]);\n"
  "  b = permute(reshape(matmul(x, k), [3,2,2]), [1,2,0]);\n"
  "  c = permute(reshape(matmul(x, v), [3,2,2]), [1,0,2]);\n"
  "  keys = concat(past, b, axis=2);\n"
  "  values = concat(past, c, axis=1);\n"
  "  p = matmul(softmax(matmul(a, keys)), values);\n"
  "  y = matmul(reshape(permute(p, [1,0,2]), [3,4]), o);\n}";

static void heads_of_exporters(void **state) {
  (void)state;
  Net n = prune(exported, "** with pattern=head, sparsity=0.5", NULL);
  expect_kept(&n, "q", "0011001100110011");
  expect_kept(&n, "k", "0011001100110011");
  expect_kept(&n, "v", "0011001100110011");
  expect_kept(&n, "o", "0000000011111111");
  net_free(&n);
}

/* ---- densities ------------------------------------------------------- */

static void erk_by_hand(void **state) {
  (void)state;
  const int64_t dims[][4] = {{64, 3, 3, 3}, {128, 64, 3, 3}, {10, 128}};
  const int ranks[] = {4, 4, 2};
  const Type *t[3];
  Type types[3];
  double d[3];
  for (int i = 0; i < 3; i++) {
    types[i] = type_make(F32, ranks[i], dims[i]);
    t[i] = &types[i];
  }
  assert_true(fabs(erk_raw(t[0]) - 73.0 / 1728) < 1e-15);
  assert_true(fabs(erk_raw(t[1]) - 198.0 / 73728) < 1e-15);
  assert_true(fabs(erk_raw(t[2]) - 138.0 / 1280) < 1e-15);
  /* 0.2 of 76736 values; the first and the last would have more than all. */
  erk_densities(t, 3, 0.2, d);
  assert_true(d[0] == 1 && d[2] == 1);
  assert_true(fabs(d[1] - (0.2 * 76736 - 1728 - 1280) / 73728) < 1e-12);
  /* 0.01: none is clipped; epsilon is 767.36 / (73 + 198 + 138). */
  erk_densities(t, 3, 0.01, d);
  for (int i = 0; i < 3; i++)
    assert_true(fabs(d[i] - 767.36 / 409 * erk_raw(t[i])) < 1e-12);
  erk_densities(t, 3, 1, d);
  assert_true(d[0] == 1 && d[1] == 1 && d[2] == 1);
  erk_densities(t, 3, 0, d);
  assert_true(d[0] == 0 && d[1] == 0 && d[2] == 0);
}

static int64_t kept_count(const Net *n, const char *path) {
  return param_nonzeros(n->m, module_param(n->m, path));
}

/* a [8,4]: raw 12/32; b [2,8]: 10/16; 24 of 48 stay: epsilon 24/22. */
static void erk_counts(void **state) {
  (void)state;
  Net n = prune("x: f32[1,4]) -> y: f32[1,2] {\n"
                "  y = x |> linear(8, bias=false) as a\n"
                "        |> linear(2, bias=false) as b; }",
                "** with sparsity=0.5, scope=erk", NULL);
  assert_int_equal(kept_count(&n, "a.weight"), 13);   /* 13.09 */
  assert_int_equal(kept_count(&n, "b.weight"), 11);   /* 10.91 */
  net_free(&n);
}

/* ---- what is wrong --------------------------------------------------- */

static void expect_error(const char *body, const char *step,
                         const Given *given, const char *message) {
  Net n = prune(body, step, given);
  assert_false(n.ok);
  if (!strstr(diags_last(n.d), message))
    fail_msg("'%s', expected '%s'", diags_last(n.d), message);
  net_free(&n);
}

static void errors_name_weights(void **state) {
  (void)state;
  static const char two[] = "x: f32[1,2]) -> y: f32[1,2] {\n"
                            "  y = x |> linear(2) as a |> linear(2) as b; }";
  static const float bad[] = {1, 2, NAN, 4}, big[] = {1, INFINITY, 3, 4};
  const Given nan[] = {{"b.weight", bad}, {0}};
  const Given inf[] = {{"b.weight", big}, {0}};
  expect_error(two, "** with sparsity=0.5", nan,
               "b.weight: expected finite values, found NaN in row 1, "
               "column 0");
  expect_error(two, "** with sparsity=0.5", inf, "found inf in row 0");
  expect_error(two, "** with sparsity=0.5, pattern=channel, method=bn", NULL,
               "a batch norm right behind the layer of a.weight, found none");
  expect_error(stage, "a with sparsity=0.5, pattern=channel", NULL,
               "channels of a.weight cannot go: they are also those of "
               "b.weight, which is not selected");
  expect_error(two, "b with sparsity=0.5, pattern=channel", NULL,
               "channels of b.weight cannot go: an output has them");
  expect_error(two, "a with sparsity=0.5, pattern=row, coupled=true", NULL,
               "coupled goes with pattern=channel");
  expect_error(two, "a with sparsity=0.5, pattern=channel, coupled=1", NULL,
               "coupled: expected true or false, found 1");
  expect_error(two, "** with sparsity=0.5, pattern=2x1, method=bn", NULL,
               "expected pattern=channel or row, found 2x1");
  expect_error(two, "** with sparsity=0.5, pattern=head", NULL,
               "the heads of b.weight are not known");
  expect_error(exported, "** , !o with sparsity=0.5, pattern=head", NULL,
               "found none for its o: select o too");
  expect_error(two, "a with macs=0.4", NULL,
               "macs=0.4 is out of reach: expected 0.5 at least");
  expect_error(two, "a with bytes=8", NULL, "nothing predicts it here");
  expect_error(two, "** with sparsity=0.5, pattern=head, scope=erk", NULL,
               "scope=erk has no meaning with heads");
}

/* The second step is wrong: the first is not carried out. */
static void nothing_by_halves(void **state) {
  (void)state;
  Net n = prune("x: f32[1,2]) -> y: f32[1,2] {\n"
                "  y = x |> linear(2) as a; }",
                "a with sparsity=1.0; prune a with sparsity=2", NULL);
  assert_false(n.ok);
  assert_int_equal(kept_count(&n, "a.weight"), 4);
  net_free(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(squares_differ),
    cmocka_unit_test(norm_scales),
    cmocka_unit_test(rows_leave_biases),
    cmocka_unit_test(channels_are_zero),
    cmocka_unit_test(shared_biases_stay),
    cmocka_unit_test(products_have_channels),
    cmocka_unit_test(stages_lose_channels),
    cmocka_unit_test(rows_score_together),
    cmocka_unit_test(channels_move),
    cmocka_unit_test(filters_follow),
    cmocka_unit_test(some_channels_stay),
    cmocka_unit_test(heads_of_a_layer),
    cmocka_unit_test(heads_of_exporters),
    cmocka_unit_test(erk_by_hand),
    cmocka_unit_test(erk_counts),
    cmocka_unit_test(errors_name_weights),
    cmocka_unit_test(nothing_by_halves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
