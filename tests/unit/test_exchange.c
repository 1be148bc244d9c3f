/* test_exchange.c - the recipe's verb smartexchange: matrices that are a
 * product already, elements that are powers of two, fits after which no error
 * is larger, rows that go, bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "passes/exchange.h"
#include "recipe_fix.h"

enum { M = 24, N = 3 };

typedef struct Seen {
  double last;
  int fits;
  bool rose;
} Seen;

/* "round" is the error before a fit of the basis. */
static void seen(void *ctx, const char *step, double error) {
  Seen *s = ctx;
  if (strcmp(step, "round") != 0) {
    s->fits++;
    s->rose |= error > s->last * (1 + 1e-9) + 1e-12;
  }
  s->last = error;
}

static int exponents(const double *c, int64_t n, int *least, int *most) {
  int count = 0;
  *least = 1000, *most = -1000;
  for (int64_t i = 0; i < n; i++) {
    int e;
    if (c[i] == 0) continue;
    /* 0.5 times a power of two, exactly */
    assert_true(fabs(frexp(c[i], &e)) == 0.5);
    if (e < *least) *least = e;
    if (e > *most) *most = e;
    count++;
  }
  return count;
}

static void fits_never_rise(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 20; seed++) {
    Arena *a = arena_new();
    Seen s = {0};
    ExchangeOpts o = {4, 0.05, seen, &s};
    double w[M * N], c[M * N], b[N * N], lost = 0, all = 0;
    for (uint64_t i = 0; i < M * N; i++)
      w[i] = random_unit("w", seed, i) - 0.5;
    exchange(a, &o, w, M, N, c, b);
    int least, most;
    assert_true(exponents(c, M * N, &least, &most) > 0);
    assert_true(most - least < 4);
    assert_true(s.fits >= 3);
    assert_false(s.rose);
    for (int i = 0; i < M; i++)
      for (int k = 0; k < N; k++) {
        double d = w[i * N + k];
        for (int r = 0; r < N; r++) d -= c[i * N + r] * b[r * N + k];
        lost += d * d;
        all += w[i * N + k] * w[i * N + k];
      }
    assert_true(lost < 0.1 * all);
    arena_free(a);
  }
}

static void keeps_a_product(void **state) {
  (void)state;
  /* Columns of 4, 1, 1 and 2, and 8 and 8: powers of two after scaling, too */
  static const double w[] = {4, 1, 0, 4, -1, 8, 4, 1, 0, 4, 1, -8};
  Arena *a = arena_new();
  ExchangeOpts o = {7, 0, NULL, NULL};
  double c[12], b[9];
  int64_t bits = exchange(a, &o, w, 4, 3, c, b);
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < 3; k++) {
      double sum = 0;
      for (int r = 0; r < 3; r++) sum += c[i * 3 + r] * b[r * 3 + k];
      assert_true(fabs(sum - w[i * 3 + k]) <= 16.0 / 127 / 2 * 8);
    }
  /* 12 elements of 4 bits, a bit a row, exponent, basis, unit */
  assert_int_equal(bits, 12 * 4 + 4 + 8 + 72 + 32);
  arena_free(a);
}

static void small_rows_go(void **state) {
  (void)state;
  double w[] = {1, 0, 0, 1, 0.001, 0.001, -1, 1}, c[8], b[4];
  Arena *a = arena_new();
  ExchangeOpts o = {7, 0.01, NULL, NULL};
  int64_t bits = exchange(a, &o, w, 4, 2, c, b);
  assert_true(c[4] == 0 && c[5] == 0);
  assert_true(c[0] != 0 && c[3] != 0 && c[6] != 0 && c[7] != 0);
  assert_int_equal(bits, 3 * 2 * 4 + 4 + 8 + 32 + 32);
  memset(w, 0, sizeof w);
  exchange(a, &o, w, 4, 2, c, b);
  for (int i = 0; i < 8; i++) assert_true(c[i] == 0);
  arena_free(a);
}

static double draw(int64_t i) { return random_unit("w", 9, (uint64_t)i) - 0.5; }

static bool provide(void *ctx, Param *p) {
  (void)ctx;
  param_fill(p, draw);
  float *v = (float *)(void *)p->data->data;
  if (strcmp(p->path, "n.gamma") == 0) v[2] = 1e-4f;
  if (strstr(p->path, "var"))
    for (int64_t i = 0; i < type_elems(&p->type); i++) v[i] = 1;
  return true;
}

static void in_a_recipe(void **state) {
  (void)state;
  Behind b = behind_ok(
    "model m(x: f32[2,8,6,6]) -> y: f32[2,10] {\n"
    "  param n.gamma: f32[12]; param n.beta: f32[12];\n"
    "  param n.mean: f32[12]; param n.var: f32[12];\n"
    "  h = x |> conv(12, k=3, pad=1) as c;\n"
    "  h = batch_norm(h, n.gamma, n.beta, n.mean, n.var) as n;\n"
    "  param w: f32[12,7];\n"
    "  y = matmul(mean(h, [2,3]), w) |> linear(10) as l;\n"
    "}\nrecipe r for m {\n"
    "  smartexchange ** with powers=7, fold=3, norm=0.001; }\n", provide);
  double largest, apart = behind_apart(&b, &largest);
  assert_true(apart > 0 && apart < 0.2 * largest);
  const float *c = behind_values(&b, "c.weight");
  for (int i = 0; i < 8 * 9; i++) {
    assert_true(c[2 * 72 + i] == 0);
    assert_true(fabs((double)c[3 * 72 + i] - draw(3 * 72 + i)) < 0.25);
  }
  const float *w = behind_values(&b, "w");
  for (int i = 0; i < 12 * 7; i++)
    assert_true(fabs((double)w[i] - draw(i)) < 0.25);
  assert_non_null(strstr(b.notes.s, "smartexchange: w: "));
  behind_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(fits_never_rise),
    cmocka_unit_test(keeps_a_product),
    cmocka_unit_test(small_rows_go),
    cmocka_unit_test(in_a_recipe),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
