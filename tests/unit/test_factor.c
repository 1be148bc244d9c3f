/* test_factor.c - the recipe's verb factor: singular values worked by hand,
 * that what is lost are those left out, that both layers compute what one
 * did, and which layers stay. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recipe_fix.h"

static void values_by_hand(void **state) {
  (void)state;
  /* a a' = [[9, 12], [12, 41]]: eigenvalues 45 and 5 */
  double a[] = {3, 0, 4, 5}, u[4], s[2], vt[4];
  assert_true(svd(a, 2, 2, u, s, vt));
  assert_true(fabs(s[0] - sqrt(45)) < 1e-12);
  assert_true(fabs(s[1] - sqrt(5)) < 1e-12);
  /* [2][3]: rows (1, 1, 0) and (0, 0, 2) are orthogonal */
  double b[] = {1, 1, 0, 0, 0, 2}, vb[6];
  assert_true(svd(b, 2, 3, u, s, vb));
  assert_true(fabs(s[0] - 2) < 1e-12 && fabs(s[1] - sqrt(2)) < 1e-12);
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < 3; k++) {
      double sum = u[i * 2] * s[0] * vb[k] + u[i * 2 + 1] * s[1] * vb[3 + k];
      double want = i == 0 ? k < 2 : k == 2 ? 2 : 0;
      assert_true(fabs(sum - want) < 1e-12);
    }
}

/* ---- Eckart and Young ------------------------------------------------ */

/* Entry of the 8 x 8 Hadamard matrix. */
static int hadamard(int64_t i, int64_t k) {
  return __builtin_parityll((unsigned long long)(i & k)) ? -1 : 1;
}

/* Singular values 8, 7, ... 1; entries are multiples of 1/8, none is 0. */
static double falling(int64_t i) {
  static const int values[] = {8, 7, 6, 5, 4, 2, 1, 3};
  double sum = 0;
  for (int r = 0; r < 8; r++)
    sum += values[r] * hadamard(i / 8, r) * hadamard(r, (i % 8) ^ 3) / 8.0;
  return sum;
}

static bool provide_falling(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, falling);
  return true;
}

/* The square of what is lost of the 8 x 8 weight, whose parts are [r,8] and
 * [8,r], or as they are by which something is multiplied. */
static double lost(const Behind *b, const char *down, const char *up, int r,
                   bool transposed) {
  const float *d = behind_values(b, down), *u = behind_values(b, up);
  double sum = 0;
  for (int o = 0; o < 8; o++)
    for (int k = 0; k < 8; k++) {
      double w = falling(transposed ? k * 8 + o : o * 8 + k);
      for (int i = 0; i < r; i++)
        w -= transposed ? (double)d[k * r + i] * u[i * 8 + o]
                        : (double)u[o * r + i] * d[i * 8 + k];
      sum += w * w;
    }
  return sum;
}

static Behind eight(const char *layer, const char *with) {
  Text t = {0};
  text_printf(&t, "model m(x: f32[2,8]) -> y: f32[2,8] {\n"
              "  %s;\n}\nrecipe r for m { factor ** with %s; }\n", layer,
              with);
  Behind b = behind_ok(t.s, provide_falling);
  text_free(&t);
  return b;
}

static void loses_what_it_leaves_out(void **state) {
  (void)state;
  static const struct { const char *with; int rank; double lost; } cases[] = {
    {"rank=1", 1, 140}, {"rank=2", 2, 91}, {"rank=3", 3, 55},
    /* of 204: 64 + 49 are over a half, 64 + 49 + 36 over 0.7 */
    {"energy=0.5", 2, 91}, {"energy=0.7", 3, 55}, {"energy=0.3", 1, 140},
    {"rank=0.25", 2, 91}, {"rank=0.01", 1, 140},
    {"energy=0.3, multiple=2", 2, 91}, {"rank=1, multiple=3", 3, 55},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Behind b = eight("y = x |> linear(8, bias=false) as a", cases[i].with);
    const Param *p = module_param(b.m, "a.down.weight");
    assert_non_null(p);
    assert_int_equal(p->type.dim[0], cases[i].rank);
    assert_true(fabs(lost(&b, "a.down.weight", "a.up.weight", cases[i].rank,
                          false) - cases[i].lost) < 1e-3);
    behind_free(&b);
  }
  Behind b = eight("param w: f32[8,8]; y = matmul(x, w)", "rank=3");
  assert_true(fabs(lost(&b, "w.down", "w.up", 3, true) - 55) < 1e-3);
  behind_free(&b);
}

static void stays(void **state) {
  (void)state;
  /* rank 4 takes 4 * (8 + 8), as many as the layer */
  Behind b = eight("y = x |> linear(8, bias=false) as a", "rank=4");
  assert_true(behind_has(&b, "a.weight"));
  assert_string_equal(b.notes.s,
                      "factor: a.weight: left as it is: rank 4 takes 128 "
                      "multiply-accumulates, the layer 128\n");
  behind_free(&b);
  b = eight("y = x |> linear(8, bias=false) as a", "rank=3");
  assert_string_equal(b.notes.s,
                      "factor: a.weight: rank 3 of 8, through channels, 96 "
                      "of 128 multiply-accumulates, relative error 0.5192\n");
  behind_free(&b);
  b = eight("param w: f32[8,8];\n"
            "y = matmul(x, w) + slice(w, axis=0, start=0, stop=2)",
            "rank=1");
  assert_string_equal(b.notes.s, "factor: w: left as it is: layers read "
                      "parts of it\n");
  behind_free(&b);
}

/* Zeros are no products that could be saved. */
static double diagonal(int64_t i) { return i % 9 == 0 ? 1.0 + (double)i : 0; }

static bool provide_diagonal(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, diagonal);
  return true;
}

static void sparse_stays(void **state) {
  (void)state;
  Behind b = behind_ok("model m(x: f32[2,8]) -> y: f32[2,8] {\n"
                       "  y = x |> linear(8, bias=false) as a; }\n"
                       "recipe r for m { factor a with rank=1; }\n",
                       provide_diagonal);
  assert_true(behind_has(&b, "a.weight"));
  behind_free(&b);
}

/* ---- both layers are the one ----------------------------------------- */

static double draw(int64_t i) { return random_unit("w", 5, (uint64_t)i) - 0.5; }

/* Biases are drawn; a weight [O,C,...] is of rank 2 as [O, all others], with
 * an s first of rank 1 as [C kh, kw O], with a g first each group of 4
 * outputs is of rank 1. */
static bool provide_low(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, draw);
  const Type *t = &p->type;
  if (t->rank < 2) return true;
  float *v = (float *)(void *)p->data->data;
  int64_t n = type_elems(t), cols = n / t->dim[0];
  for (int64_t i = 0; i < n; i++) {
    int64_t o = i / cols, k = i % cols, kw = t->dim[t->rank - 1];
    if (p->path[0] == 's')
      v[i] = (float)(draw(1000 + k / kw) * draw(2000 + o * kw + k % kw));
    else if (p->path[0] == 'g')
      v[i] = (float)(draw(1000 + o / 4 * cols + k) * draw(2000 + o));
    else
      v[i] = (float)(draw(1000 + k) * draw(2000 + o) +
                     draw(3000 + k) * draw(4000 + o));
  }
  return true;
}

static void computes_the_same(void **state) {
  (void)state;
  static const struct {
    const char *sig, *body, *down;
    int64_t dim[4];
  } cases[] = {
    {"x: f32[3,20]) -> y: f32[3,24]", "y = x |> linear(24) as l;",
     "l.down.weight", {2, 20}},
    {"x: f32[2,12,5,6]) -> y: f32[2,16,5,6]",
     "y = x |> conv(16, bias=true) as c;", "c.down.weight", {2, 12, 1, 1}},
    {"x: f32[1,12,9,8]) -> y: f32[1,16,4,8]",
     "param c: f32[16,12,3,3];\n"
     "y = conv2d(x, c, stride=[2,1], pad=[1,2,0,2], dilation=[1,2]);",
     "c.down", {2, 12, 3, 3}},
    {"x: f32[1,6,9,8]) -> y: f32[1,16,4,8]",
     "param s: f32[16,6,3,3]; param b: f32[16];\n"
     "y = conv2d(x, s, b=b, stride=[2,1], pad=[1,2,0,2], dilation=[1,2], "
     "act=\"relu\");", "s.down", {1, 6, 3, 1}},
    {"x: f32[1,8,9,9]) -> y: f32[1,8,9,9]",
     "y = x |> conv(8, k=3, pad=1, groups=2, bias=true) as g;",
     "g.down.weight", {2, 4, 3, 3}},
    {"x: f32[2,12,30]) -> y: f32[2,16,15]",
     "param c: f32[16,12,5];\n"
     "y = conv1d(x, c, stride=[2], pad=[2,2]);", "c.down", {2, 12, 5}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Text t = {0};
    text_printf(&t, "model m(%s {\n%s\n}\n"
                "recipe r for m { factor ** with energy=1.0; }\n",
                cases[i].sig, cases[i].body);
    Behind b = behind_ok(t.s, provide_low);
    double largest, apart = behind_apart(&b, &largest);
    assert_true(largest > 0.01);
    if (!(apart < 1e-5 * largest)) fail_msg("%s: %g", t.s, apart);
    const Param *p = module_param(b.m, cases[i].down);
    if (!p) fail_msg("%s: %s", t.s, b.notes.s);
    for (int k = 0; k < p->type.rank; k++)
      assert_int_equal(p->type.dim[k], cases[i].dim[k]);
    text_free(&t);
    behind_free(&b);
  }
}

/* ---- steps behind it ------------------------------------------------- */

static void later_steps_take_both(void **state) {
  (void)state;
  Behind b = eight("y = x |> linear(8, bias=false) as a",
                   "rank=2; prune a with sparsity=0.5");
  const float *d = behind_values(&b, "a.down.weight");
  const float *u = behind_values(&b, "a.up.weight");
  int zeros[2] = {0};
  for (int i = 0; i < 16; i++) {
    zeros[0] += d[i] == 0;
    zeros[1] += u[i] == 0;
  }
  assert_int_equal(zeros[0], 8);
  assert_int_equal(zeros[1], 8);
  behind_free(&b);
  static const char *const selectors[] = {
    "a.up", "a, !a.down", "a.up.weight", "**, !**.down",
  };
  for (size_t k = 0; k < sizeof selectors / sizeof *selectors; k++) {
    Text t = {0};
    text_printf(&t, "rank=2; prune %s with sparsity=1.0", selectors[k]);
    b = eight("y = x |> linear(8, bias=false) as a", t.s);
    d = behind_values(&b, "a.down.weight");
    u = behind_values(&b, "a.up.weight");
    for (int i = 0; i < 16; i++) assert_true(d[i] != 0 && u[i] == 0);
    text_free(&t);
    behind_free(&b);
  }
  /* It is left as it is: there is no such part. */
  b = eight("y = x |> linear(8, bias=false) as a",
            "rank=4; prune a.up with sparsity=1.0");
  d = behind_values(&b, "a.weight");
  for (int i = 0; i < 64; i++) assert_true(d[i] != 0);
  behind_free(&b);
}

static bool provide_nan(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, draw);
  ((float *)(void *)p->data->data)[5] = NAN;
  return true;
}

static void refused(void **state) {
  (void)state;
  Behind b = behind("model m(x: f32[2,8]) -> y: f32[2,8] {\n"
                    "  y = x |> linear(8, bias=false) as a; }\n"
                    "recipe r for m { factor a with rank=1; }\n",
                    provide_nan);
  assert_null(b.m);
  assert_non_null(strstr(b.error, "factor: a.weight: expected finite "
                         "values, found NaN at number 5"));
  behind_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(values_by_hand),
    cmocka_unit_test(loses_what_it_leaves_out),
    cmocka_unit_test(stays),
    cmocka_unit_test(sparse_stays),
    cmocka_unit_test(computes_the_same),
    cmocka_unit_test(later_steps_take_both),
    cmocka_unit_test(refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
