/* test_swap.c - the recipe's verb student with the methods that swap
 * convolutions: layers worked by hand, what the swap loses against singular
 * values, that what can be exact is, and which layers stay. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recipe_fix.h"

static double draw(int64_t i) {
  return random_unit("w", 5, (uint64_t)i) - 0.5;
}

static Behind swapped(const char *sig, const char *body, const char *steps,
                      ProvideFn *provide) {
  Text t = {0};
  text_printf(&t, "model m(%s {\n%s\n}\nrecipe r for m { %s; }\n", sig, body,
              steps);
  Behind b = behind_ok(t.s, provide);
  text_free(&t);
  return b;
}

static void says(const Behind *b, const char *text) {
  if (!b->notes.s || !strstr(b->notes.s, text))
    fail_msg("expected %s, found %s", text, b->notes.s);
}

/* ---- depthwise_separable --------------------------------------------- */

/* Filters of each input channel are multiples of one. */
static bool provide_separable(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, draw);
  const Type *t = &p->type;
  if (t->rank < 3) return true;
  float *v = (float *)(void *)p->data->data;
  int64_t n = type_elems(t), taps = n / (t->dim[0] * t->dim[1]);
  /* Groups are told by the path: g has 2, all others 1. */
  int64_t half = p->path[0] == 'g' ? t->dim[0] / 2 : t->dim[0];
  for (int64_t i = 0; i < n; i++) {
    int64_t o = i / taps / t->dim[1], c = i / taps % t->dim[1];
    c += o / half * t->dim[1];
    v[i] = (float)(draw(1000 + c * taps + i % taps) *
                   draw(5000 + o * 97 + c));
  }
  return true;
}

static void separable_is_exact(void **state) {
  (void)state;
  static const struct { const char *sig, *body, *part; int64_t dim[5]; }
  cases[] = {
    {"x: f32[2,8,9,7]) -> y: f32[2,16,9,7]",
     "y = x |> conv(16, k=3, pad=1, bias=true) as a |> relu;",
     "a.depthwise.weight", {8, 1, 3, 3}},
    {"x: f32[1,8,9,8]) -> y: f32[1,16,4,8]",
     "param c: f32[16,8,3,3]; param b: f32[16];\n"
     "y = conv2d(x, c, b=b, stride=[2,1], pad=[1,2,0,2], dilation=[1,2], "
     "act=\"relu\");", "c.depthwise", {8, 1, 3, 3}},
    {"x: f32[1,8,9,9]) -> y: f32[1,16,5,5]",
     "y = x |> conv(16, k=3, s=2, pad=1, groups=2, bias=true) as g;",
     "g.depthwise.weight", {8, 1, 3, 3}},
    {"x: f32[2,12,30]) -> y: f32[2,16,15]",
     "param c: f32[16,12,5];\n"
     "y = conv1d(x, c, stride=[2], pad=[2,2]);", "c.depthwise", {12, 1, 5}},
    {"x: f32[1,6,5,6,4]) -> y: f32[1,8,5,6,2]",
     "param c: f32[8,6,3,1,3];\n"
     "y = conv3d(x, c, stride=[1,1,2], pad=[1,0,1,1,0,0]);",
     "c.depthwise", {6, 1, 3, 1, 3}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Behind b = swapped(cases[i].sig, cases[i].body,
                       "student ** with method=depthwise_separable",
                       provide_separable);
    double largest, apart = behind_apart(&b, &largest);
    assert_true(largest > 0.01);
    if (!(apart < 1e-5 * largest)) fail_msg("%s: %g", cases[i].body, apart);
    const Param *p = module_param(b.m, cases[i].part);
    if (!p) fail_msg("%s: %s", cases[i].body, b.notes.s);
    for (int k = 0; k < p->type.rank; k++)
      assert_int_equal(p->type.dim[k], cases[i].dim[k]);
    behind_free(&b);
  }
}

/* Two channels of filters [4,3].  The first one's have columns (3,0,4,0) and
 * (0,6,0,0): singular values 5 and 6.  The second one's are all (1,2,3), of
 * rank 1 with the value 2 sqrt(14). */
static const float by_hand[] = {
  3, 0, 0, 1, 2, 3,   0, 6, 0, 1, 2, 3,   4, 0, 0, 1, 2, 3,
  0, 0, 0, 1, 2, 3,
};

static bool provide_by_hand(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, draw);
  if (type_elems(&p->type) == 24)
    memcpy(p->data->data, by_hand, sizeof by_hand);
  return true;
}

static void separable_by_hand(void **state) {
  (void)state;
  Behind b = swapped("x: f32[1,2,7]) -> y: f32[1,4,5]",
                     "param c: f32[4,2,3]; y = conv1d(x, c);",
                     "student c with method=depthwise_separable",
                     provide_by_hand);
  /* 15 values are not 0; 2 times 3, and 4 times 2; what is lost is 5 of
   * sqrt(25 + 36 + 56). */
  assert_string_equal(b.notes.s, "student: c: depthwise separable, 70 of 75 "
                      "multiply-accumulates, relative error 0.4623\n");
  const float *d = behind_values(&b, "c.depthwise");
  const float *p = behind_values(&b, "c.pointwise");
  for (int o = 0; o < 4; o++)
    for (int k = 0; k < 3; k++) {
      double first = o == 1 && k == 1 ? 6 : 0;
      assert_true(fabs((double)p[o * 2] * d[k] - first) < 1e-5);
      assert_true(fabs((double)p[o * 2 + 1] * d[3 + k] - (k + 1)) < 1e-5);
    }
  /* The roots of the values are on both sides. */
  double norm[2] = {0};
  for (int k = 0; k < 6; k++) norm[k / 3] += (double)d[k] * d[k];
  assert_true(fabs(norm[0] - 6) < 1e-4);
  assert_true(fabs(norm[1] - 2 * sqrt(14)) < 1e-4);
  behind_free(&b);
}

static void separable_stays(void **state) {
  (void)state;
  static const struct { const char *body, *note; } cases[] = {
    {"y = x |> conv(8, k=3, pad=1, groups=8) as a;", "it is depthwise"},
    {"y = x |> conv(8) as a;", "its kernel has one tap"},
    {"y = x |> linear(6) as a;", "it is no convolution"},
    {"param a: f32[8,8,3,3];\n"
     "y = conv2d(x, a, pad=[1,1,1,1]) + sum(a, axes=[0,1,2,3]);",
     "it is read by more than layers"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Behind b = swapped("x: f32[1,8,6,6]) -> y", cases[i].body,
                       "student a with method=depthwise_separable", NULL);
    says(&b, "left as it is: ");
    says(&b, cases[i].note);
    behind_free(&b);
  }
  /* One output: 9 products for each of 8 channels, and 8 more. */
  Behind b = swapped("x: f32[1,8,6,6]) -> y: f32[1,1,4,4]",
                     "y = x |> conv(1, k=3) as a;",
                     "student a with method=depthwise_separable", NULL);
  assert_string_equal(b.notes.s, "student: a.weight: left as it is: it would "
                      "take 1280 multiply-accumulates, and takes 1152\n");
  behind_free(&b);
}

static void later_steps_take_parts(void **state) {
  (void)state;
  static const struct { const char *sel; int depth, point; } cases[] = {
    {"a", 0, 0}, {"a.pointwise", 72, 0}, {"a, !a.pointwise", 0, 128},
    {"a.depthwise.weight", 0, 128},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Text t = {0};
    text_printf(&t, "student a with method=\"depthwise_separable\"; "
                "prune %s with sparsity=1.0", cases[i].sel);
    Behind b = swapped("x: f32[1,8,6,6]) -> y: f32[1,16,6,6]",
                       "y = x |> conv(16, k=3, pad=1) as a;", t.s,
                       provide_separable);
    Module *m = b.m;
    Param *d = module_param(m, "a.depthwise.weight");
    Param *p = module_param(m, "a.pointwise.weight");
    assert_int_equal(d ? param_nonzeros(m, d) : 0, cases[i].depth);
    assert_int_equal(p ? param_nonzeros(m, p) : 0, cases[i].point);
    text_free(&t);
    behind_free(&b);
  }
}

/* ---- slim ------------------------------------------------------------ */

/* A weight has two directions of input channels. */
static bool provide_two(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, draw);
  const Type *t = &p->type;
  if (t->rank < 3) return true;
  float *v = (float *)(void *)p->data->data;
  int64_t n = type_elems(t), taps = n / (t->dim[0] * t->dim[1]);
  for (int64_t i = 0; i < n; i++) {
    int64_t at = i / taps / t->dim[1] * taps + i % taps;
    int64_t c = i / taps % t->dim[1];
    v[i] = (float)(draw(1000 + c) * draw(2000 + at) +
                   draw(5000 + c) * draw(6000 + at));
  }
  return true;
}

static void slim_is_exact(void **state) {
  (void)state;
  static const struct { const char *sig, *body, *part; } cases[] = {
    {"x: f32[2,32,9,7]) -> y: f32[2,32,9,7]",
     "y = x |> conv(32, k=[1,7], pad=[0,3,0,3], bias=true) as a |> relu;",
     "a.out.depth.weight"},
    {"x: f32[1,40,9,8]) -> y: f32[1,32,6,7]",
     "param c: f32[32,40,2,2]; param b: f32[32];\n"
     "y = conv2d(x, c, b=b, stride=[2,1], pad=[2,1,1,0], dilation=[1,2], "
     "act=\"relu\");", "c.out.depth"},
    /* Nine taps, but filters [8,9] of rank 8 at most. */
    {"x: f32[1,48,5,6]) -> y: f32[1,8,5,6]",
     "y = x |> conv(8, k=3, pad=1) as a;", "a.out.depth.weight"},
    /* Two layers with one weight. */
    {"x: f32[1,64,6,6]) -> y: f32[1,64,6,6]",
     "param c: f32[64,64,2,2];\n"
     "y = conv2d(x, c, pad=[1,1,0,0]) + conv2d(x, c, pad=[0,0,1,1]);",
     "c.out.depth"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Behind b = swapped(cases[i].sig, cases[i].body,
                       "student ** with method=slim, squeeze=4",
                       provide_two);
    if (!behind_has(&b, cases[i].part))
      fail_msg("%s: %s", cases[i].body, b.notes.s);
    double largest, apart = behind_apart(&b, &largest);
    assert_true(largest > 0.01);
    if (!(apart < 1e-5 * fmax(largest, 1)))
      fail_msg("%s: %g of %g", cases[i].body, apart, largest);
    behind_free(&b);
  }
}

/* [16,8,3,3]: the sum over r of strength r times direction r of channels,
 * orthonormal, times filters [16,9] with 9 singular values of 1, orthogonal
 * to those of other r. */
static const double strength[] = {8, 7, 6, 5, 4, 3, 2, 0.5};

static double sign_at(int64_t i, int64_t k) {
  return __builtin_parityll((unsigned long long)(i & k)) ? -1 : 1;
}

static double orthogonal(int64_t i) {
  int64_t t = i % 9, c = i / 9 % 8, o = i / 72;
  double sum = 0;
  for (int r = 0; r < 8; r++)
    sum += strength[r] * sign_at(r, c) / sqrt(8) * sign_at(o, t ^ r) / 4;
  return sum;
}

static bool provide_orthogonal(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, orthogonal);
  return true;
}

static void slim_loses_what_it_leaves_out(void **state) {
  (void)state;
  Behind b = swapped("x: f32[1,8,5,5]) -> y: f32[1,16,5,5]",
                     "y = x |> conv(16, k=3, pad=1) as a;",
                     "student a with method=slim, squeeze=2",
                     provide_orthogonal);
  /* 203.25 are the squares of strengths: of 9 times that it keeps 8 times
   * 64.  Of 676 products at each of 25 places 276 are before `out`. */
  assert_string_equal(b.notes.s, "student: a.weight: slim module of 2 "
                      "channels, 16900 of 28800 multiply-accumulates, "
                      "relative error 0.8486\n");
  const float *skip = behind_values(&b, "a.skip.weight");
  const float *depth = behind_values(&b, "a.out.depth.weight");
  const float *point = behind_values(&b, "a.out.point.weight");
  for (int k = 0; k < 2; k++) {
    double lost = 0;
    for (int i = 0; i < 16 * 8 * 9; i++) {
      double w = orthogonal(i);
      for (int j = 0; j < 8; j++)
        w -= (double)point[i / 72 * 16 + 2 * j + k] *
             depth[(2 * j + k) * 9 + i % 9] * skip[k * 8 + i / 9 % 8];
      lost += w * w;
    }
    assert_true(fabs(lost - (9 * 203.25 - 8 * 64)) < 1e-2);
  }
  behind_free(&b);
}

static void slim_draws_by_seed(void **state) {
  (void)state;
  static const char *const seeds[] = {"", ", seed=0", ", seed=1"};
  Behind b[3];
  for (int i = 0; i < 3; i++) {
    Text t = {0};
    text_printf(&t, "student a with method=slim, squeeze=4%s", seeds[i]);
    b[i] = swapped("x: f32[1,48,5,5]) -> y: f32[1,8,5,5]",
                   "y = x |> conv(8, k=3, pad=1) as a;", t.s, provide_two);
    text_free(&t);
    double largest, apart = behind_apart(&b[i], &largest);
    assert_true(apart < 1e-5);
  }
  size_t n = 4 * 48 * sizeof(float);
  const float *first = behind_values(&b[0], "a.sse1.squeeze.weight");
  const float *same = behind_values(&b[1], "a.sse1.squeeze.weight");
  const float *other = behind_values(&b[2], "a.sse1.squeeze.weight");
  assert_memory_equal(first, same, n);
  assert_memory_not_equal(first, other, n);
  for (int i = 0; i < 3; i++) behind_free(&b[i]);
}

static void slim_stays(void **state) {
  (void)state;
  static const struct { const char *sig, *body, *note; } cases[] = {
    {"x: f32[1,8,6,6]) -> y", "y = x |> conv(8, k=3, groups=2) as a;",
     "it has groups"},
    {"x: f32[1,8,6,6]) -> y", "y = x |> conv(8) as a;",
     "its kernel has one tap"},
    {"x: f32[1,8,6]) -> y", "y = x |> conv1d(8, k=3) as a;",
     "it is of no conv2d"},
    {"x: f32[1,8]) -> y", "y = x |> linear(8) as a;",
     "it is no convolution"},
    /* 16 x 8 and 148 more at 36 places, 16 x 9 + 16 x 2 at 16 */
    {"x: f32[1,8,6,6]) -> y", "y = x |> conv(2, k=3) as a;",
     "it would take 12752 multiply-accumulates, and takes 2304"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Behind b = swapped(cases[i].sig, cases[i].body,
                       "student a with method=slim", NULL);
    says(&b, "student: a.weight: left as it is: ");
    says(&b, cases[i].note);
    assert_true(behind_has(&b, "a.weight"));
    behind_free(&b);
  }
}

static void later_steps_take_slim_parts(void **state) {
  (void)state;
  static const struct { const char *sel; bool skip, squeeze, out; } cases[] = {
    {"a", false, false, false}, {"a.sse2.squeeze", true, false, true},
    {"a.sse2", true, false, true}, {"a, !a.out", false, false, true},
    {"a.out.point.weight, a.skip", false, true, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Text t = {0};
    text_printf(&t, "student a with method=slim, squeeze=4; "
                "prune %s with sparsity=1.0", cases[i].sel);
    Behind b = swapped("x: f32[1,48,6,6]) -> y: f32[1,8,6,6]",
                       "y = x |> conv(8, k=3, pad=1) as a;", t.s,
                       provide_two);
    static const char *const path[] = {
      "a.skip.weight", "a.sse2.squeeze.weight", "a.out.point.weight",
    };
    bool want[] = {cases[i].skip, cases[i].squeeze, cases[i].out};
    for (int k = 0; k < 3; k++) {
      Param *p = module_param(b.m, path[k]);
      assert_int_equal(p && param_nonzeros(b.m, p) > 0, want[k]);
    }
    text_free(&t);
    behind_free(&b);
  }
}

/* ---- both ------------------------------------------------------------ */

static bool provide_inf(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, draw);
  ((float *)(void *)p->data->data)[7] = INFINITY;
  return true;
}

static void refused(void **state) {
  (void)state;
  static const char *const methods[] = {"depthwise_separable", "slim"};
  for (int i = 0; i < 2; i++) {
    Text t = {0};
    text_printf(&t, "model m(x: f32[1,8,6,6]) -> y {\n"
                "  y = x |> conv(8, k=3) as a; }\n"
                "recipe r for m { student a with method=%s; }\n",
                methods[i]);
    Behind b = behind(t.s, provide_inf);
    assert_null(b.m);
    assert_non_null(strstr(b.error, "student: a.weight: expected finite "
                           "values, found inf at number 7"));
    text_free(&t);
    behind_free(&b);
  }
}

/* Parts of parts: a layer that factor took apart is swapped. */
static void behind_factor(void **state) {
  (void)state;
  Behind b = swapped("x: f32[1,32,6,6]) -> y: f32[1,32,6,6]",
                     "y = x |> conv(32, k=3, pad=1) as a;",
                     "factor a with rank=8, scheme=channel; "
                     "student a with method=depthwise_separable; "
                     "prune a with sparsity=0.5", provide_two);
  static const char *const path[] = {
    "a.up.weight", "a.down.depthwise.weight", "a.down.pointwise.weight",
  };
  static const int64_t kept[] = {128, 144, 128};
  for (int i = 0; i < 3; i++) {
    Param *p = module_param(b.m, path[i]);
    if (!p) fail_msg("%s: %s", path[i], b.notes.s);
    assert_int_equal(param_nonzeros(b.m, p), kept[i]);
  }
  behind_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(separable_is_exact),
    cmocka_unit_test(separable_by_hand),
    cmocka_unit_test(separable_stays),
    cmocka_unit_test(later_steps_take_parts),
    cmocka_unit_test(slim_is_exact),
    cmocka_unit_test(slim_loses_what_it_leaves_out),
    cmocka_unit_test(slim_draws_by_seed),
    cmocka_unit_test(slim_stays),
    cmocka_unit_test(later_steps_take_slim_parts),
    cmocka_unit_test(refused),
    cmocka_unit_test(behind_factor),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
