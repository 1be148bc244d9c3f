/* test_cluster.c - the recipe's verb cluster: centroids worked by hand and
 * against all ways to cut a few values; zeros; indices in memory; weights
 * behind norms. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "passes/cluster.h"
#include "recipe_fix.h"

static void by_hand(void **state) {
  (void)state;
  Arena *a = arena_new();
  double c[8];
  float v[] = {12, 1, 10, 2, 11};
  assert_int_equal(centroids_find(a, v, 5, 2, c), 2);
  assert_true(c[0] == 1.5 && c[1] == 11);
  /* 0 0 0 0 6 | 10: 6 is nearer to 10 than to the many zeros */
  float w[] = {0, 6, 0, 10, 0, 0};
  assert_int_equal(centroids_find(a, w, 6, 2, c), 2);
  assert_true(c[0] == 0 && c[1] == 8);
  float few[] = {3, -1, 3, 3};
  assert_int_equal(centroids_find(a, few, 4, 5, c), 2);
  assert_true(c[0] == -1 && c[1] == 3);
  float one[] = {7};
  assert_int_equal(centroids_find(a, one, 1, 5, c), 1);
  assert_true(c[0] == 7);
  assert_int_equal(centroids_find(a, one, 0, 5, c), 0);
  arena_free(a);
}

static double nearest(const double *c, size_t k, double x) {
  double d = INFINITY;
  for (size_t i = 0; i < k; i++) d = fmin(d, (x - c[i]) * (x - c[i]));
  return d;
}

static double cost(const double *c, size_t k, const float *v, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += nearest(c, k, v[i]);
  return sum;
}

/* The least over all cuts of the rising v into three runs. */
static double best_of_three(const float *v, size_t n) {
  double best = INFINITY;
  for (size_t i = 1; i < n; i++)
    for (size_t j = i + 1; j < n; j++) {
      size_t cut[] = {0, i, j, n};
      double c[3] = {0};
      for (int g = 0; g < 3; g++) {
        for (size_t q = cut[g]; q < cut[g + 1]; q++) c[g] += v[q];
        c[g] /= (double)(cut[g + 1] - cut[g]);
      }
      best = fmin(best, cost(c, 3, v, n));
    }
  return best;
}

static void best_there_are(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 50; seed++) {
    Arena *a = arena_new();
    float v[40];
    double c[3];
    for (uint64_t i = 0; i < 40; i++) {
      double u = random_unit("v", seed, i) - 0.5;
      v[i] = (float)(u * u * u);
    }
    assert_int_equal(centroids_find(a, v, 40, 3, c), 3);
    double got = cost(c, 3, v, 40), want = best_of_three(v, 40);
    assert_true(fabs(got - want) <= 1e-9 * want);
    arena_free(a);
  }
}

/* More values than bins: where Lloyd's steps end each centroid is the mean of
 * those that are nearest to it. */
static void ends_at_means(void **state) {
  (void)state;
  enum { N = 30000, K = 15 };
  Arena *a = arena_new();
  float *v = arena_array(a, float, N);
  double c[K], sum[K] = {0}, count[K] = {0};
  for (uint64_t i = 0; i < N; i++)
    v[i] = (float)(random_unit("a", 1, i) + random_unit("b", 1, i) +
                   random_unit("c", 1, i) - 1.5);
  assert_int_equal(centroids_find(a, v, N, K, c), K);
  for (size_t i = 0; i < N; i++) {
    size_t g = 0;
    for (size_t k = 1; k < K; k++)
      if (fabs(v[i] - c[k]) < fabs(v[i] - c[g])) g = k;
    sum[g] += v[i];
    count[g]++;
  }
  for (size_t k = 0; k < K; k++) {
    assert_true(count[k] > 0);
    assert_true(fabs(sum[k] / count[k] - c[k]) < 1e-9);
  }
  arena_free(a);
}

static void zeros_stay(void **state) {
  (void)state;
  enum { N = 1000 };
  Arena *a = arena_new();
  float w[N], out[N], table[16];
  for (uint64_t i = 0; i < N; i++)
    w[i] = i % 3 ? (float)(random_unit("w", 2, i) - 0.5) : i % 2 ? 0 : -0.0f;
  double lost = weight_cluster(a, w, N, 16, out);
  assert_true(lost > 0 && lost < 0.01);
  for (size_t i = 0; i < N; i++) assert_int_equal(out[i] == 0, w[i] == 0);
  assert_int_equal(clusters_of(out, N, 16, table), 16);
  assert_int_equal(clusters_of(w, N, 16, table), -1);
  assert_true(weight_cluster(a, out, N, 16, w) < 1e-13);
  arena_free(a);
}

static void indices(void **state) {
  (void)state;
  static const float v[] = {2, -1, 0, 2, -3};
  float table[16];
  uint8_t at[5], packed[5];
  assert_int_equal(clusters_of(v, 5, 16, table), 4);
  assert_true(table[0] == -3 && table[1] == -1 && table[2] == 0 &&
              table[3] == 2);
  clusters_index(table, 4, v, 5, at);
  assert_memory_equal(at, ((uint8_t[]){3, 1, 2, 3, 0}), 5);
  assert_int_equal(clusters_bytes(U4, 5), 3);
  clusters_pack(U4, at, 5, packed);
  assert_memory_equal(packed, ((uint8_t[]){0x13, 0x32, 0x00}), 3);
  Buffer *b = clusters_expand(U4, table, 4, packed, 5);
  assert_memory_equal(b->data, v, sizeof v);
  buffer_unref(b);
  assert_null(clusters_expand(U4, table, 3, packed, 5));
  clusters_pack(U8, at, 5, packed);
  b = clusters_expand(U8, table, 4, packed, 5);
  assert_memory_equal(b->data, v, sizeof v);
  buffer_unref(b);
}

/* A norm is folded first; a padded convolution of 1x1 and its dump agree. */
static void behind_norms(void **state) {
  (void)state;
  Behind b = behind_ok(
    "model m(x: f32[1,8,5,5]) -> y: f32[1,16,5,5] {\n"
    "  y = x |> conv(16, k=3, pad=1) as c |> bn as n |> relu;\n"
    "  param w: f32[16]; y = y * reshape(w, [1,16,1,1]);\n"
    "}\nrecipe r for m { cluster ** with centroids=256; }\n", NULL);
  const Param *p = module_param(b.m, "c.weight");
  assert_non_null(p);
  assert_int_equal(p->type.stored, U8);
  assert_int_equal(param_bytes(p), 16 * 8 * 9 + 4 * 256);
  assert_false(behind_has(&b, "n.scale"));
  double largest, apart = behind_apart(&b, &largest);
  assert_true(apart > 0 && apart < 0.05 * largest);
  behind_free(&b);
}

static void left_alone(void **state) {
  (void)state;
  Behind b = behind_ok(
    "model m(x: f32[16,16]) -> y: f32[16,16] {\n"
    "  param w: f32[16,16];\n"
    "  y = (x |> linear(4) as a |> linear(16) as b) + linear(x, w)\n"
    "      + w * x;\n"
    "}\nrecipe r for m { cluster w, a with centroids=16;\n"
    "  cluster b with centroids=256; }\n", NULL);
  assert_int_equal(module_param(b.m, "w")->type.stored, 0);
  assert_int_equal(module_param(b.m, "a.weight")->type.stored, U4);
  assert_int_equal(module_param(b.m, "b.weight")->type.stored, 0);
  assert_non_null(strstr(b.notes.s, "cluster: w: left as it is: something "
                         "else reads it, too\n"));
  assert_non_null(strstr(b.notes.s, "cluster: a.weight: 256 to 96 bytes"));
  assert_non_null(strstr(b.notes.s, "cluster: b.weight: left as it is: it "
                         "is too small\n"));
  behind_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(by_hand),
    cmocka_unit_test(best_there_are),
    cmocka_unit_test(ends_at_means),
    cmocka_unit_test(zeros_stay),
    cmocka_unit_test(indices),
    cmocka_unit_test(behind_norms),
    cmocka_unit_test(left_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
