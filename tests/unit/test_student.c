/* test_student.c - the recipe's verb student: blocks that go, merge and are
 * copied, in nets whose results are products of whole numbers; channels that
 * stay, in order; what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recipe_fix.h"

/* ---- blocks ---------------------------------------------------------- */

/* Block k multiplies by k + 2. */
static const char gains[] =
  "block gain(x) -> y { y = x + (x |> linear(1, bias=false) as l); }\n"
  "model m(x: f32[1,1]) -> y: f32[1,1] {\n"
  "  repeat body for i in 0..4 { x = x |> gain; }\n"
  "  y = x;\n"
  "}\n";

static bool provide_gains(void *ctx, Param *p) {
  (void)ctx;
  p->data = buffer_new(sizeof(float));
  *(float *)(void *)p->data->data =
    (float)atoi(strchr(p->path, '[') + 1) + 1.0f;
  return true;
}

/* What the net multiplies by, behind the steps. */
static double gain_of(const char *steps) {
  Text t = {0};
  text_printf(&t, "%srecipe r for m { %s; }\n", gains, steps);
  Behind b = behind_ok(t.s, provide_gains);
  double was = behind_run(&b, b.was)->v[0], is = behind_run(&b, b.m)->v[0];
  behind_free(&b);
  text_free(&t);
  assert_true(fabs(was) > 0.1);
  return is / was * 120;
}

static void products_by_hand(void **state) {
  (void)state;
  static const struct { const char *steps; double gain; } cases[] = {
    /* 2 3 4 5 */
    {"student body[*] with method=drop, every=2", 2 * 4},
    {"student body[*] with method=drop, every=3", 2 * 5},
    {"student body with method=drop, keep=[1]", 3},
    {"student body with method=drop, keep=[0,3]", 2 * 5},
    {"student body[2] with method=drop", 2 * 3 * 5},
    {"student body, !body[1] with method=drop", 3},
    {"student body with method=drop", 1},
    {"student **:gain with method=drop, every=2", 2 * 4},
    {"student body[0], body[1] with method=merge", 2.5 * 4 * 5},
    {"student body with method=merge, groups=2", 2.5 * 4.5},
    {"student body with method=merge", 3.5},
    /* w0 + (w1 - w0) and so on: weights 1 2 3 4 */
    {"student body with method=merge, groups=2, init=collapse", 3 * 5},
    {"student body with method=merge, init=collapse", 1 + 1 + 1 + 2 + 3},
    {"student body[1] with method=duplicate", 120 * 3},
    {"student body[1] with method=duplicate, times=3", 120 * 9},
    {"student body[1] with method=duplicate, times=3, share=true", 120 * 9},
    {"student body with method=duplicate", 120 * 120},
    /* later steps see copies, and what is left */
    {"student body[1] with method=duplicate; prune body[1] with sparsity=1.0",
     2 * 4 * 5},
    {"student body[1] with method=duplicate, share=true;\n"
     "prune body[1] with sparsity=1.0", 2 * 4 * 5},
    {"student body[1] with method=duplicate;\n"
     "student body[1] with method=drop", 2 * 4 * 5},
    {"student body with method=drop, every=2;\n"
     "student body with method=drop, every=2", 2},
    {"student body with method=duplicate;\n"
     "student body with method=merge, groups=2", 120},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double gain = gain_of(cases[i].steps);
    if (fabs(gain - cases[i].gain) > 1e-4 * cases[i].gain)
      fail_msg("%s: %g, expected %g", cases[i].steps, gain, cases[i].gain);
  }
}

static void copies_have_names(void **state) {
  (void)state;
  Text t = {0};
  text_printf(&t, "%srecipe r for m {\n"
              "student body[1] with method=duplicate, times=3; }\n", gains);
  Behind b = behind_ok(t.s, provide_gains);
  assert_true(behind_has(&b, "body[1].gain.l.weight"));
  assert_true(behind_has(&b, "body_copy[1].gain.l.weight"));
  assert_true(behind_has(&b, "body_copy2[1].gain.l.weight"));
  assert_int_equal(b.m->params.n, 6);
  behind_free(&b);
  text_free(&t);
}

/* Params of a block that are named otherwise are copied, too, but for those
 * that something else reads. */
static void copies_have_weights(void **state) {
  (void)state;
  Behind b = behind_ok(
    "block fed(x, w, v) -> y { y = x + linear(linear(x, w), v); }\n"
    "model m(x: f32[1,4]) -> y: f32[1,4] {\n"
    "  param w: f32[4,4] = he(); param v: f32[4,4] = he();\n"
    "  param o.weight: f32[4,4] = he();\n"
    "  y = x |> fed(w, v) as a |> fed(o.weight, v) as b;\n"
    "}\n"
    "recipe r for m { student a, b with method=duplicate; }\n", NULL);
  static const char *const there[] = {"w", "w_copy", "v", "o.weight",
                                      "o_copy.weight"};
  for (size_t i = 0; i < sizeof there / sizeof *there; i++)
    if (!behind_has(&b, there[i])) fail_msg("no param %s", there[i]);
  assert_int_equal(b.m->params.n, 5);
  behind_free(&b);
}

/* Blocks of a copy stand behind those of the block. */
static void copies_keep_their_order(void **state) {
  (void)state;
  Behind b = behind_ok(
    "block one(x) -> y { y = x + (x |> linear(4) as l); }\n"
    "block two(x) -> y { y = x |> one as a |> one as c; }\n"
    "model m(x: f32[1,4]) -> y: f32[1,4] { y = x |> two as b; }\n"
    "recipe r for m {\n"
    "  student b with method=duplicate;\n"
    "  student b.a, b.c with method=drop, every=2;\n"
    "}\n", NULL);
  assert_true(behind_has(&b, "b.a.l.weight"));
  assert_true(behind_has(&b, "b_copy.a.l.weight"));
  assert_int_equal(b.m->params.n, 4);
  behind_free(&b);
}

/* What a block adds to: through norms, activations and gates, not through
 * products; else the one value of its type. */
static void finds_what_it_adds_to(void **state) {
  (void)state;
  static const char *const bodies[] = {
    "a = x |> linear(4) as q; b = x |> linear(4) as k;\n"
    "y = x + layer_norm(a |> attend2(b) as at)",
    "a = x |> linear(4) as q; b = x |> linear(4) as k;\n"
    "z = (x + (b |> attend2(a) as at)) |> layer_norm as n;\n"
    "y = relu(z) |> mul(sigmoid(z)) |> layer_norm as o",
    "a = x |> linear(4) as q; y = x |> linear(4) as at",
  };
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    Text t = {0};
    text_printf(&t, "block attend2(x, z) -> y { y = x + z |> linear(4); }\n"
                "block layer(x) -> y {\n%s;\n}\n"
                "model m(x: f32[2,4]) -> y: f32[2,4] {\n"
                "  y = x |> linear(4) as first |> layer as b |> linear(4);\n"
                "}\n"
                "recipe r for m { student b with method=drop; }\n", bodies[i]);
    Behind b = behind_ok(t.s, NULL);
    const Func *f = b.m->funcs.at[0];
    const Node *y = f->outputs.at[0].node;
    assert_int_equal(y->op, OP_LINEAR);
    assert_string_equal(y->in[0]->path, "first");
    behind_free(&b);
    text_free(&t);
  }
}

/* ---- channels -------------------------------------------------------- */

/* Weights of a: rows 1 -4 2 3; of b: columns 1 2 3 4; biases as numbers. */
static bool provide_rows(void *ctx, Param *p) {
  static const float rows[] = {1, -4, 2, 3};
  int64_t n = type_elems(&p->type);
  (void)ctx;
  p->data = buffer_new((size_t)n * sizeof(float));
  float *v = (float *)(void *)p->data->data;
  for (int64_t i = 0; i < n; i++)
    v[i] = strcmp(p->path, "a.weight") == 0 ? rows[i * 4 / n]
                                            : (float)i + 1;
  return true;
}

static void expect_values(const Behind *b, const char *path, int n,
                          const float *want) {
  const float *v = behind_values(b, path);
  assert_int_equal(type_elems(&module_param(b->m, path)->type), n);
  for (int i = 0; i < n; i++)
    if (v[i] != want[i])
      fail_msg("%s: number %d is %g, expected %g", path, i, (double)v[i],
               (double)want[i]);
}

static void largest_channels_stay(void **state) {
  (void)state;
  Behind b = behind_ok(
    "model m(x: f32[3,1]) -> y: f32[3,1] {\n"
    "  y = x |> linear(4) as a |> layer_norm as n |> relu\n"
    "        |> linear(1) as b;\n"
    "}\n"
    "recipe r for m { student a with method=narrow, width=0.5; }\n",
    provide_rows);
  expect_values(&b, "a.weight", 2, (const float[]){-4, 3});
  expect_values(&b, "a.bias", 2, (const float[]){2, 4});
  expect_values(&b, "n.weight", 2, (const float[]){2, 4});
  expect_values(&b, "b.weight", 2, (const float[]){2, 4});
  expect_values(&b, "b.bias", 1, (const float[]){1});
  assert_string_equal(b.notes.s,
                      "student: a.weight: 2 of 4 channels stay\n");
  behind_free(&b);
}

/* The dimensions of a param. */
static void expect_dims(const Behind *b, const char *path, int rank,
                        const int64_t *dim) {
  const Param *p = module_param(b->m, path);
  if (!p) fail_msg("no param %s", path);
  assert_int_equal(p->type.rank, rank);
  for (int i = 0; i < rank; i++)
    if (p->type.dim[i] != dim[i])
      fail_msg("%s: dimension %d is %lld, expected %lld", path, i,
               (long long)p->type.dim[i], (long long)dim[i]);
}

static void layers_become_narrow(void **state) {
  (void)state;
  Behind b = behind_ok(
    "model m(x: f32[1,3,8,8], t: f32[1,6,16]) -> y: f32[1,5], z: f32[1,16] {\n"
    "  s = x |> conv(8, k=3, pad=1) as stem |> bn |> relu6;\n"
    "  s = s + (s |> conv(16) as up |> depthwise(k=3) as dw |> bn as nd\n"
    "             |> relu6 |> conv(8) as down);\n"
    "  y = s |> mean([2,3]) |> linear(5) as head;\n"
    "  param pos: f32[1,6,16] = uniform(-1, 1);\n"
    "  u = t |> linear(16) as e;\n"
    "  u = u + pos;\n"
    "  u = u + (u |> layer_norm as n1 |> self_attention(4) as at);\n"
    "  u = u |> layer_norm as n2;\n"
    "  z = u |> mean([1]) |> linear(16) as last;\n"
    "}\n"
    "recipe r for m { student ** with method=narrow, width=0.25; }\n", NULL);
  expect_dims(&b, "stem.weight", 4, (const int64_t[]){2, 3, 3, 3});
  expect_dims(&b, "up.weight", 4, (const int64_t[]){4, 2, 1, 1});
  expect_dims(&b, "dw.weight", 4, (const int64_t[]){4, 1, 3, 3});
  expect_dims(&b, "nd.running_var", 1, (const int64_t[]){4});
  expect_dims(&b, "down.weight", 4, (const int64_t[]){2, 4, 1, 1});
  expect_dims(&b, "head.weight", 2, (const int64_t[]){5, 2});
  expect_dims(&b, "e.weight", 2, (const int64_t[]){4, 16});
  expect_dims(&b, "pos", 3, (const int64_t[]){1, 6, 4});
  /* one of 4 heads of 4 */
  expect_dims(&b, "at.in_proj_weight", 2, (const int64_t[]){12, 4});
  expect_dims(&b, "at.out_proj.weight", 2, (const int64_t[]){4, 4});
  expect_dims(&b, "last.weight", 2, (const int64_t[]){16, 4});
  double largest;
  const Tensor *y = behind_run(&b, b.m);
  assert_int_equal(y->type.dim[1], 5);
  largest = fabs(y->v[0]);
  assert_true(isfinite(largest) && largest > 0);
  behind_free(&b);
}

/* All of the large channels are in one of two branches: the other one keeps
 * its best. */
static bool provide_branches(void *ctx, Param *p) {
  int64_t n = type_elems(&p->type);
  (void)ctx;
  p->data = buffer_new((size_t)n * sizeof(float));
  float *v = (float *)(void *)p->data->data;
  for (int64_t i = 0; i < n; i++)
    v[i] = p->path[0] == 'a' ? 100 + (float)i
                             : (float)random_unit(p->path, 1, (uint64_t)i);
  return true;
}

static void axes_are_not_empty(void **state) {
  (void)state;
  Behind b = behind_ok(
    "model m(x: f32[1,4]) -> y: f32[1,2] {\n"
    "  h = concat(x |> linear(4) as a, x |> linear(4) as b, axis=1);\n"
    "  h = h + (x |> linear(8) as c);\n"
    "  y = h |> relu |> linear(2) as d;\n"
    "}\n"
    "recipe r for m { student a, b, c with method=narrow, width=0.25; }\n",
    provide_branches);
  expect_dims(&b, "a.weight", 2, (const int64_t[]){2, 4});
  expect_dims(&b, "b.weight", 2, (const int64_t[]){1, 4});
  expect_dims(&b, "c.weight", 2, (const int64_t[]){3, 4});
  behind_free(&b);
  b = behind_ok(
    "model m(x: f32[1,4]) -> z: f32[1,1], y: f32[1,2] {\n"
    "  h = x |> linear(8) as a;\n"
    "  z = mean(slice(h, axis=1, start=0, stop=2), [1], keep=true);\n"
    "  y = slice(h, axis=1, start=2, stop=8) |> linear(2) as d;\n"
    "}\n"
    "recipe r for m { student a with method=narrow, width=0.125; }\n",
    provide_branches);
  expect_dims(&b, "a.weight", 2, (const int64_t[]){2, 4});
  expect_dims(&b, "d.weight", 2, (const int64_t[]){2, 1});
  assert_true(isfinite(behind_run(&b, b.m)->v[0]));
  behind_free(&b);
}

/* ---- what is refused ------------------------------------------------- */

static void refuses(void **state) {
  (void)state;
  static const struct { const char *body, *step, *error; } cases[] = {
    {"p, q = x |> two as b; y = p * q",
     "student b with method=drop",
     "student: b: expected one value that is used outside of the block, found "
     "several"},
    {"y = x |> linear(3) as b |> linear(4)", "student b with method=drop",
     "student: b: expected a block whose result has the type of what it "
     "reads, found a result f32[2,3] and nothing like it before"},
    {"z = sigmoid(x); y = both(x, z) as b", "student b with method=drop",
     "student: b: expected one value of its result's type, f32[2,4], that it "
     "reads, found 2"},
    {"a = x |> linear(4) as b[0]; y = a |> linear(4, bias=false) as b[1]",
     "student b with method=merge",
     "student: b[1]: expected the operations of b[0], found others"},
    {"a = x |> linear(4) as b[0] |> relu; y = a |> linear(4) as b[1]",
     "student b with method=merge",
     "student: b[1]: expected a block that adds to b[0], found another one"},
    {"y = x |> linear(4) as b", "student b with method=merge",
     "student: method=merge: expected a multiple of 2 blocks, found 1"},
    {"y = x |> linear(4) as b", "student b with method=drop, keep=[1]",
     "student: keep: expected numbers below 1"},
    {"y = x |> linear(4) as b", "student b with method=narrow, width=0.5",
     "student: channels of b.weight cannot go: an output has them"},
    {"param w: f32[4,4]; param v: f32[4,4];\n"
     "y = linear(x |> plus(w) as b[0] |> plus(v) as b[1], w)",
     "student b with method=merge", "student: w is read outside of b[0], too"},
    {"param w: f16[4]; param v: f16[4];\n"
     "y = x |> half(w) as b[0] |> half(v) as b[1]",
     "student b with method=merge",
     "student: w: expected values of f32 to merge, found f16"},
    {"y = x |> linear(4) as b |> linear(4) as c",
     "student b, !c with method=drop",
     "'!c' leaves out no block that was selected before it"},
    {"y = x |> linear(4) as b", "student b with method=narrow",
     "student: method=narrow: expected width=, found none"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Text t = {0};
    text_printf(&t, "block two(x) -> p, q {\n"
                "  p = x |> linear(4) as l; q = x |> linear(4) as k; }\n"
                "block both(x, z) -> y { y = x + z; }\n"
                "block plus(x, w) -> y { y = x + linear(x, w); }\n"
                "block half(x, w) -> y { y = x + cast(w, f32); }\n"
                "model m(x: f32[2,4]) -> y: f32[2,4] {\n%s;\n}\n"
                "recipe r for m { %s; }\n", cases[i].body, cases[i].step);
    Behind b = behind(t.s, NULL);
    if (!b.error || !strstr(b.error, cases[i].error))
      fail_msg("%s: %s", t.s, b.error ? b.error : "no error");
    behind_free(&b);
    text_free(&t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(products_by_hand), cmocka_unit_test(copies_have_names),
    cmocka_unit_test(copies_have_weights),
    cmocka_unit_test(copies_keep_their_order),
    cmocka_unit_test(axes_are_not_empty),
    cmocka_unit_test(finds_what_it_adds_to),
    cmocka_unit_test(largest_channels_stay),
    cmocka_unit_test(layers_become_narrow), cmocka_unit_test(refuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
