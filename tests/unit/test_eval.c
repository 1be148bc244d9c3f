/* test_eval.c - the reference evaluator: each op against values worked by
 * hand (test_oracle.c has PyTorch's), and its BLAS path against its plain
 * loops. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "ir/eval.h"

/* ---- running one expression ----------------------------------------- */

/* A model under test: loaded text, its result once run. */
typedef struct Case {
  Diags *d;
  Arena *a;
  Module *m;
  const Tensor *y;
} Case;

static void case_load(Case *c, const char *text) {
  LoadOpts lo = {0};
  c->d = diags_new();
  c->a = arena_new();
  c->m = tam_load_text(c->d, "<case>", text, strlen(text), &lo);
  if (!c->m) {
    diags_print(c->d, stderr, false);
    fail_msg("does not load:\n%s", text);
  }
}

static void case_run(Case *c, const double *const *in, bool round,
                     bool blas) {
  Func *f = c->m->funcs.at[0];
  Tensor t[MAX_OPERANDS];
  for (size_t i = 0; i < f->inputs.n; i++) {
    union { const double *c; double *v; } p = {in[i]};
    t[i] = (Tensor){f->inputs.at[i]->type, {p.v}};
  }
  EvalOpts o = {round, blas, NULL};
  Tensor *all = func_eval(c->a, c->m, f, t, &o, false, c->d);
  assert_non_null(all);
  c->y = &all[f->outputs.at[0].node->id];
  assert_non_null(c->y->v);
}

static void case_free(Case *c) {
  module_free(c->m);
  arena_free(c->a);
  diags_free(c->d);
}

static double gap(const double *a, const double *b, int64_t n) {
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) continue;
    double e = fabs(a[i] - b[i]) / (1 + fabs(b[i]));
    if (!(e <= worst)) worst = e;
  }
  return worst;
}

/* ---- by hand -------------------------------------------------------- */

enum { MAX_VALUES = 24 };
typedef struct Hand {
  const char *sig, *expr;
  double x[MAX_VALUES], z[MAX_VALUES];
  int n;
  double y[MAX_VALUES];
} Hand;

#define SIX {1, 2, 3, 4, 5, 6}
static const Hand hands[] = {
    {"x: f32[2,3]", "sum(x, axes=[1])", SIX, {0}, 2, {6, 15}},
    {"x: f32[2,3]", "sum(x, axes=[])", SIX, {0}, 1, {21}},
    {"x: f32[2,3]", "mean(x, axes=[-2])", SIX, {0}, 3, {2.5, 3.5, 4.5}},
    {"x: f32[2,3]", "max(x, axes=[0,1], keep=true)", SIX, {0}, 1, {6}},
    {"x: f32[2,3]", "min(x, axes=[1])", SIX, {0}, 2, {1, 4}},
    {"x: f32[3]", "softmax(x)", {0, 0, 0}, {0}, 3,
     {1.0 / 3, 1.0 / 3, 1.0 / 3}},
    {"x: f32[1,2]", "softmax(x, axis=0)", {7, -900}, {0}, 2, {1, 1}},
    {"x: f32[2]", "softmax(x)", {1000, 1000}, {0}, 2, {0.5, 0.5}},
    {"x: f32[2,2], z: f32[2]",
     "normalize(x, gamma=z, beta=z, eps=0.0)", {1, 3, 8, 4}, {10, 20}, 4,
     {0, 40, 20, 0}},
    {"x: f32[1,2]", "normalize(x, eps=7.0, center=false)", {3, 1}, {0}, 2,
     {0.86602540378443865, 0.28867513459481288}},
    {"x: f32[1,4], z: f32[2]", "rotary(x, z, z)", {1, 2, 3, 4}, {1, 10}, 4,
     {-2, -20, 4, 60}},
    {"x: f32[1,4], z: f32[4]", "rotary(x, z, z, pairs=true)", {1, 2, 3, 4},
     {1, 2, 3, 4}, 4, {-1, 6, -3, 28}},
    {"x: f32[2,1], z: f32[2,2]", "attend(x, x, z)", {0, 0}, {1, 2, 3, 6}, 4,
     {2, 4, 2, 4}},
    {"x: f32[2,1], z: f32[2,1]", "attend(x, x, z, causal=true)", {1, 0},
     {8, 4}, 2, {8, 6}},
    {"x: f32[1,1], z: f32[1,2]",
     "attend(x, z, permute(z, order=[1,0]), transpose_k=false, scale=1000.0)",
     {1}, {3, 5}, 1, {5}},
    {"x: f32[2,1], z: f32[2]", "attend(x, x, x, mask=z)", {0, 4},
     {-INFINITY, 0}, 2, {4, 4}},
    {"x: f32[2,3]", "permute(x, order=[1,0])", SIX, {0}, 6,
     {1, 4, 2, 5, 3, 6}},
    {"x: f32[2,1]", "expand(x, shape=[2,3])", {1, 2}, {0}, 6,
     {1, 1, 1, 2, 2, 2}},
    {"x: f32[2,3]", "reshape(x, shape=[3,2])", SIX, {0}, 6, SIX},
    {"x: f32[2,3]", "convert(x)", SIX, {0}, 6, SIX},
    {"x: f32[1,2], z: f32[1,1]", "concat(x, z, axis=1)", {1, 2}, {9}, 3,
     {1, 2, 9}},
    {"x: f32[1,2], z: f32[2,2]", "concat(x, z, axis=0)", {1, 2},
     {3, 4, 5, 6}, 6, SIX},
    {"x: f32[1,1,1,2], z: f32[1,1,1,1]", "interleave(x, z, step=[1,2])",
     {1, 2}, {9}, 3, {1, 9, 2}},
    {"x: f32[1,1,2,1], z: f32[1,1,2,1]", "interleave(x, z, step=[2,1])",
     {1, 2}, {3, 4}, 4, {1, 3, 2, 4}},
    {"x: f32[6]", "slice(x, axis=0, start=1, stop=6, step=2)", SIX, {0}, 3,
     {2, 4, 6}},
    {"x: f32[6]", "slice(x, axis=0, start=-3, stop=-1)", SIX, {0}, 2,
     {4, 5}},
    {"x: f32[2,3]", "select(x, index=1, axis=0)", SIX, {0}, 3, {4, 5, 6}},
    {"x: f32[2]", "pad(x, before=[1], after=[2], value=-1.0)", {5, 6}, {0},
     5, {-1, 5, 6, -1, -1}},
    {"x: f32[2,1], z: f32[2]", "sub(x, z)", {10, 20}, {1, 2}, 4,
     {9, 8, 19, 18}},
    {"x: f32[2], z: f32[2]", "maximum(x, z)", {1, 5}, {3, 4}, 2, {3, 5}},
    {"x: f32[2], z: f32[2]", "minimum(x, z)", {1, 5}, {3, 4}, 2, {1, 4}},
    {"x: f32[2], z: f32[2]", "div(x, z)", {1, 5}, {4, 2}, 2, {0.25, 2.5}},
    {"x: f32[4], z: f32[4]", "mask(x, z)", {1, 2, 3, 4}, {1, 0, 0, 1}, 4,
     {1, 0, 0, 4}},
    {"x: f32[1,2,1,2], z: f32[2]", "scale_shift(x, z, z)", {1, 2, 3, 4},
     {10, 100}, 4, {20, 30, 400, 500}},
    {"x: f32[2,2], z: f32[2]", "scale_shift(x, z, z, axis=0)",
     {1, 2, 3, 4}, {10, 100}, 4, {20, 30, 400, 500}},
    {"x: f32[5]", "leaky_relu(x, alpha=0.5)", {-4, -1, 0, 1, 2}, {0}, 5,
     {-2, -0.5, 0, 1, 2}},
    {"x: f32[5]", "hardswish(x)", {-4, -3, 0, 3, 8}, {0}, 5,
     {0, 0, 0, 3, 8}},
    {"x: f32[3]", "hardsigmoid(x)", {-4, 0, 4}, {0}, 3, {0, 0.5, 1}},
    {"x: f32[3]", "gelu(x)", {-40, 0, 40}, {0}, 3, {0, 0, 40}},
    {"x: f32[3]", "sigmoid(x)", {-800, 0, 800}, {0}, 3, {0, 0.5, 1}},
    {"x: f32[3]", "clip(x, lo=-1.0, hi=2.0)", {-4, 0, 4}, {0}, 3,
     {-1, 0, 2}},
    {"x: f32[1,1,3,3]", "max_pool(x, k=[2,2], stride=[2,2], pad=[0,0,1,1])",
     {-1, -2, -3, -4, -5, -6, -7, -8, -9}, {0}, 4, {-1, -3, -7, -9}},
    {"x: f32[1,1,2,2]", "avg_pool(x, k=[2,2], pad=[1,0,0,0])",
     {2, 4, 6, 8}, {0}, 2, {3, 5}},
    {"x: f32[1,1,2,2]", "avg_pool(x, k=[2,2], pad=[1,0,0,0], "
     "count_pad=true)", {2, 4, 6, 8}, {0}, 2, {1.5, 5}},
    {"x: f32[1,1,1,2]", "resize(x, size=[1,4], mode=\"bilinear\", "
     "coord=\"asymmetric\")", {2, 4}, {0}, 4, {2, 3, 4, 4}},
    {"x: f32[1,1,1,3]", "resize(x, size=[1,5], coord=\"align_corners\")",
     {1, 2, 3}, {0}, 5, {1, 2, 2, 3, 3}},
    /* 1x1 image, window larger than it: one tap counts. */
    {"x: f32[1,1,1,1], z: f32[1,1,3,3]", "conv2d(x, z, pad=[1,1,1,1])",
     {2}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, 1, {10}},
    {"x: f32[1,1,1,4], z: f32[1,1,1,2]",
     "conv2d(x, z, stride=[1,2], dilation=[1,2], pad=[0,1,0,0])",
     {1, 2, 3, 4}, {1, 10}, 2, {20, 42}},
    {"x: f32[1,2,1,2], z: f32[2,1,1,1]", "conv2d(x, z, groups=2)",
     {1, 2, 3, 4}, {10, 100}, 4, {10, 20, 300, 400}},
    {"x: f32[2], z: f32[3,2]", "linear(x, z, act=\"relu\")", {1, 2},
     {1, 1, -1, 0, 0, 1}, 3, {3, 0, 2}},
    {"x: f32[1,1,4], z: f32[1,1,2]",
     "conv1d(x, z, stride=[2], dilation=[2], pad=[1,0])", {1, 2, 3, 4},
     {1, 10}, 2, {20, 42}},
    {"x: f32[1,1,2], z: f32[1,1,3]",
     "conv1d_transpose(x, z, stride=[3], pad=[1,0], out_pad=[1])", {1, 10},
     {1, 2, 3}, 6, {2, 3, 10, 20, 30, 0}},
    {"x: f32[1,1,4], z: f32[1,1,3]", "conv1d_weight_grad(x, z, k=[2])",
     {1, 2, 3, 4}, {1, 10, 100}, 2, {321, 432}},
    {"x: f32[1,1,2,2,1], z: f32[1,1,2,1,1]",
     "conv3d(x, z, pad=[1,0,0,0,0,0])", {1, 2, 3, 4}, {1, 10}, 4,
     {10, 20, 31, 42}},
    {"x: f32[1,1,2,1,1], z: f32[1,2,2,1,1]",
     "conv3d_transpose(x, z, stride=[2,1,1])", {1, 2}, {1, 10, 3, 5}, 8,
     {1, 10, 2, 20, 3, 5, 6, 10}},
    {"x: f32[1,1,1,2,2], z: f32[1,1,1,2,2]",
     "conv3d_weight_grad(x, z, k=[1,1,2], pad=[0,0,1,0,0,0])",
     {1, 2, 3, 4}, {1, 10, 100, 1000}, 2, {3010, 4321}},
    {"x: f32[1,1,2,2], z: f32[1,1,1,2]", "conv2d_weight_grad(x, z, k=[2,1])",
     {1, 2, 3, 4}, {1, 10}, 2, {21, 43}},
    {"x: f32[2,3], z: f32[3,2]", "matmul(x, z)", SIX, {1, 0, 0, 1, 1, 1}, 4,
     {4, 5, 10, 11}},
    {"x: f32[3,2], z: f32[2,3]", "matmul(x, z, transpose_a=true, "
     "transpose_b=true)", SIX, {1, 0, 0, 0, 1, 1}, 4, {1, 8, 2, 10}},
    {"x: f32[2,1,2], z: f32[2,3]", "matmul(x, z)", {1, 2, 3, 4}, SIX, 6,
     {9, 12, 15, 19, 26, 33}},
    {"x: f32[1,2], z: f32[3,1,1]", "matmul(x, z, transpose_a=true)", {1, 2},
     {1, 10, 100}, 6, {1, 2, 10, 20, 100, 200}},
    {"x: f32[2,0], z: f32[0,2]", "matmul(x, z)", {0}, {0}, 4, {0, 0, 0, 0}},
};

/* Of inputs that hold numbers of f32, where the precision decides. */
static const Hand fine[] = {
    {"x: f32[1]", "cast(equal(x, 0.1), to=f32)", {(double)0.1f}, {0}, 1, {1}},
    {"x: f32[2], z: f32[2]", "floor_div(x, z)", {1, (double)-0.1f},
     {(double)0.1f, 3}, 2, {9, -1}},
    {"x: f32[3]", "cast(argmax(x, axis=0), to=f32)",
     {NAN, -INFINITY, NAN}, {0}, 1, {1}},
    {"x: f32[3]", "cast(argmin(x, axis=0), to=f32)",
     {NAN, NAN, INFINITY}, {0}, 1, {2}},
    {"x: f32[3]", "cast(argmax(x, axis=0), to=f32)",
     {NAN, NAN, NAN}, {0}, 1, {0}},
    /* By way of f32, where the integer is a tie of bf16. */
    {"x: f32[1]", "cast(cast(cast(x, to=i32) + 33685505, to=bf16), to=f32)",
     {0}, {0}, 1, {33554432}},
};

static void hands_check(const Hand *hand, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const Hand *h = &hand[i];
    char text[512];
    snprintf(text, sizeof text, "model m(%s) -> y { y = %s; }\n", h->sig,
             h->expr);
    Case c;
    case_load(&c, text);
    case_run(&c, (const double *const[]){h->x, h->z}, false, false);
    if (type_elems(&c.y->type) != h->n || gap(c.y->v, h->y, h->n) > 1e-15)
      fail_msg("%s: got %g, %g, ... expected %g, %g, ...", h->expr,
               c.y->v[0], c.y->v[h->n > 1], h->y[0], h->y[h->n > 1]);
    case_free(&c);
  }
}

static void by_hand(void **state) {
  (void)state;
  hands_check(hands, sizeof hands / sizeof *hands);
  hands_check(fine, sizeof fine / sizeof *fine);
}

/* ---- BLAS against the loops ----------------------------------------- */

static const char *const products[] = {
    "x: f32[2,24,20,21], w: f32[16,24,3,3]) -> y { "
    "y = conv2d(x, w, pad=[1,2,0,1], stride=[2,1], dilation=[1,2]); }",
    "x: f32[1,32,19,23], w: f32[40,8,1,1]) -> y { "
    "y = conv2d(x, w, groups=4); }",
    /* more than one im2col block */
    "x: f32[1,40,33,35], w: f32[3,40,5,5]) -> y { "
    "y = conv2d(x, w, pad=[2,2,2,2]); }",
    "x: f32[3,5,64], w: f32[96,64]) -> y { y = linear(x, w); }",
    "x: f32[3,40,33], w: f32[3,33,48]) -> y { y = matmul(x, w); }",
    "x: f32[3,33,40], w: f32[48,33]) -> y { "
    "y = matmul(x, w, transpose_a=true, transpose_b=true); }",
};

static double *random_values(Arena *a, const char *stream, int64_t n) {
  double *v = arena_array(a, double, (size_t)n);
  for (int64_t i = 0; i < n; i++)
    v[i] = random_unit(stream, 1, (uint64_t)i) - 0.5;
  return v;
}

static void blas_equals_loops(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
    char text[512];
    snprintf(text, sizeof text, "model m(%s\n", products[i]);
    Case c;
    case_load(&c, text);
    Func *f = c.m->funcs.at[0];
    const double *in[2];
    for (int k = 0; k < 2; k++)
      in[k] = random_values(c.a, k ? "w" : "x",
                            type_elems(&f->inputs.at[k]->type));
    case_run(&c, in, false, false);
    const Tensor *plain = c.y;
    case_run(&c, in, false, true);
    assert_true(plain->v != c.y->v);
    double e = gap(c.y->v, plain->v, type_elems(&plain->type));
    if (e > 1e-12) fail_msg("product %zu: off by %g", i, e);
    case_free(&c);
  }
}

/* ---- rounding ------------------------------------------------------- */

static void rounds_elements(void **state) {
  (void)state;
  assert_true(elem_round(F32, 0.1) == (double)0.1f);
  assert_true(elem_round(F16, 2049) == 2048);        /* ties to even */
  assert_true(elem_round(F16, 2051) == 2052);
  assert_true(elem_round(F16, 65519) == 65504);
  assert_true(isinf(elem_round(F16, 65520)));
  assert_true(elem_round(F16, 0x1p-25) == 0);
  assert_true(elem_round(F16, 0x1.8p-25) == 0x1p-24);
  assert_true(elem_round(BF16, 257) == 256);
  assert_true(elem_round(BF16, -259) == -260);
  assert_true(elem_round(I8, 127.5) == 127);
  assert_true(elem_round(I8, -2.5) == -2);
  assert_true(elem_round(U8, -3) == 0);
  assert_true(elem_round(B1, 0.25) == 1);
  assert_true(elem_round(F64, 0.1) == 0.1);
  assert_true(elem_round(I16, -1e9) == -32768);
  assert_true(elem_round(U16, 65535.5) == 65535);
  assert_true(elem_round(U16, -1) == 0);
  assert_true(elem_round(U32, 1e10) == 4294967295);
  assert_true(elem_round(U64, 0x1p63) == 0x1p63);
  assert_true(elem_round(U64, -1) == 0);
  assert_true(elem_round(I64, 0x1p70) == 0x1p63);
  assert_true(elem_round(I64, -0x1p70) == -0x1p63);
  uint64_t most = UINT64_MAX;
  assert_int_equal(elem_load_int(U64, &most, 0), -1);
  assert_int_equal(elem_load_int(U32, &most, 0), 4294967295);
  assert_int_equal(elem_load_int(U16, &most, 0), 65535);
}

/* The known answers that Random123 publishes; test_oracle.c has more. */
static void philox_known(void **state) {
  (void)state;
  static const struct { uint32_t key[2], counter[4], want[4]; } known[] = {
    {{0, 0}, {0, 0, 0, 0},
     {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{~0u, ~0u}, {~0u, ~0u, ~0u, ~0u},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0xa4093822, 0x299f31d0},
     {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    uint32_t word[4];
    memcpy(word, known[i].counter, sizeof word);
    philox(known[i].key, word);
    assert_memory_equal(word, known[i].want, sizeof word);
  }
}

static void rounds_results(void **state) {
  (void)state;
  Case c;
  case_load(&c, "model m(x: f32[2]) -> y { h = exp(x); y = h * 3.0; }\n");
  double x[2] = {0.5, 1};
  case_run(&c, (const double *const[]){x}, true, false);
  for (int i = 0; i < 2; i++)
    assert_true(c.y->v[i] == (double)(float)((double)(float)exp(x[i]) * 3));
  case_free(&c);
}

static void keeps_on_request(void **state) {
  (void)state;
  Case c;
  case_load(&c, "model m(x: f32[2]) -> y, z {"
                " h = x + x; y = h * h; z = x; }\n");
  Func *f = c.m->funcs.at[0];
  double x[2] = {1, 2};
  Tensor in = {f->inputs.at[0]->type, {x}};
  EvalOpts o = {0};
  Tensor *all = func_eval(c.a, c.m, f, &in, &o, true, c.d);
  for (size_t i = 0; i < f->nodes.n; i++) assert_non_null(all[i].v);
  assert_true(all[f->outputs.at[0].node->id].v[1] == 16);
  assert_true(all[f->outputs.at[1].node->id].v[1] == 2);
  case_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(by_hand),
      cmocka_unit_test(blas_equals_loops),
      cmocka_unit_test(rounds_elements),
      cmocka_unit_test(rounds_results),
      cmocka_unit_test(philox_known),
      cmocka_unit_test(keeps_on_request),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
