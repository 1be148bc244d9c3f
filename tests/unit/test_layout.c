/* test_layout.c - layouts: text there and back, what planes promise for odd
 * shapes and halos, and what the check refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/ir.h"

static Type type4(int64_t n, int64_t c, int64_t h, int64_t w) {
  return type_make(F32, 4, (const int64_t[]){n, c, h, w});
}

/* ---- text ----------------------------------------------------------- */

/* Parse, complete, print: `want` (NULL: the same text). */
static void trip(const char *s, const Type *t, const char *want) {
  Arena *a = arena_new();
  Layout l, again;
  Text out = {0};
  assert_true(layout_parse(a, s, t->rank, &l));
  if (!layout_complete(&l, t)) fail_msg("%s is not complete", s);
  layout_print(&out, &l, t);
  assert_string_equal(out.s ? out.s : "", want ? want : s);
  assert_true(layout_parse(a, out.s ? out.s : "", t->rank, &again));
  assert_true(layout_complete(&again, t));
  again.size = l.size;
  assert_true(layout_equal(&l, &again));
  text_free(&out);
  assert_true(layout_check(&l, t, &out));
  text_free(&out);
  arena_free(a);
}

static void test_text(void **state) {
  (void)state;
  Type t = type4(1, 32, 7, 9);
  trip("n,c,h,w", &t, NULL);
  trip("n,c:912,h:29,w", &t, NULL);
  trip("n:100000,c:912,h:29,w", &t, NULL);
  trip("n,c:63,h:9,w:1", &t, "n,c,h,w");
  trip("n,hw/16,c,16hw", &t, NULL);
  trip("n,hw/16:600,c,16hw", &t, NULL);
  trip("nchw", &t, NULL);
  trip("nhwc", &t, "n,h,w,c");
  trip("n,c:70,hw", &t, NULL);
  trip("n,c/4,h,w,4c", &t, NULL);
  trip("a0,a1,a2,a3", &t, "n,c,h,w");
  t = type_make(F32, 3, (const int64_t[]){2, 5, 7});
  trip("a0,a1,a2", &t, NULL);
  trip("a2,a0a1", &t, NULL);
  t = type_make(F32, 0, NULL);
  trip("", &t, NULL);
  t = type4(2, 0, 3, 4);
  trip("n,c:20,h:5,w", &t, NULL);
}

static void test_text_bad(void **state) {
  (void)state;
  Arena *a = arena_new();
  Layout l;
  const char *bad[] = {
    "n,c,h,w,", ",n", "n c", "x", "n,,c", "cn", "nh", "c/0", "c/", "c:",
    "0c", "16c/4", "c:-1", "c:99999999999999999999", "c/99999999999", "a4",
    "a", "n;", "n,c,h,w,n,c,h,w,n,c,h,w,n,c,h,w,n"
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (layout_parse(a, bad[i], 4, &l)) fail_msg("'%s' parses", bad[i]);
  assert_false(layout_parse(a, "n", 3, &l));
  Type t = type4(1, 32, 7, 9);
  const char *incomplete[] = {
    "", "n,c,h", "n,c,h,w,w", "n,c,hw/16", "n,c,16hw", "n,16c,c/16,h,w",
    "n,c/16,h,w,8c", "n,hw/4,c,4h,w", "n,c/16,16c,16c,h,w",
    "n:9223372036854775807,c:9223372036854775807,h,w"
  };
  for (size_t i = 0; i < sizeof incomplete / sizeof *incomplete; i++) {
    assert_true(layout_parse(a, incomplete[i], 4, &l));
    if (layout_complete(&l, &t)) fail_msg("'%s' completes", incomplete[i]);
  }
  arena_free(a);
}

/* ---- planes --------------------------------------------------------- */

/* No two elements share a place, halo reads hit no element, and all of it
 * lies inside; marks every place once. */
static void planes_hold(const Type *t, int lanes, const int32_t halo[4]) {
  Arena *a = arena_new();
  Type u = *t;
  Layout *l = layout_planes(a, t, lanes, halo);
  u.layout = l;
  int64_t s[MAX_RANK], origin;
  assert_true(layout_strides(&u, s, &origin));
  assert_int_equal(origin, l->origin);
  assert_int_equal(origin % lanes, 0);
  assert_int_equal(s[3], 1);
  assert_int_equal(s[1] % lanes, 0);
  assert_int_equal(s[1] / lanes % 2, 1);
  assert_int_equal(s[0], s[1] * t->dim[1]);
  int64_t wide = halo[2] > halo[3] ? halo[2] : halo[3];
  assert_int_equal(s[2], t->dim[3] + wide);
  Text why = {0};
  if (!layout_check(l, t, &why)) fail_msg("%s", why.s);
  assert_int_equal(type_bytes(&u), l->size * 4);

  uint8_t *seen = arena_alloc(a, (size_t)l->size);
  const int64_t *d = t->dim;
  for (int pass = 0; pass < 2; pass++)
    for (int64_t p = 0; p < d[0] * d[1]; p++)
      for (int64_t h = -halo[0]; h < d[2] + halo[1]; h++)
        for (int64_t w = -halo[2]; w < d[3] + halo[3]; w++) {
          bool in = h >= 0 && h < d[2] && w >= 0 && w < d[3];
          int64_t at = origin + p * s[1] + h * s[2] + w;
          assert_true(at >= 0 && at < l->size);
          if (in && pass == 0) {
            assert_int_equal(seen[at], 0);
            seen[at] = 1;
          }
          if (!in && pass == 1) assert_int_equal(seen[at], 0);
        }
  for (int64_t i = l->size - 4 * lanes; i < l->size; i++)
    assert_int_equal(seen[i], 0);
  arena_free(a);
}

static void test_planes(void **state) {
  (void)state;
  const int64_t shapes[][4] = {
    {1, 1, 1, 1}, {1, 3, 1, 1}, {2, 2, 1, 17}, {1, 4, 17, 1}, {3, 5, 7, 7},
    {1, 2, 16, 16}, {2, 3, 4, 15}, {1, 1, 0, 5}, {1, 1, 5, 0}, {0, 2, 3, 3},
    {2, 0, 3, 3}, {1, 7, 2, 33}, {1, 1, 31, 32}
  };
  const int32_t halos[][4] = {
    {0, 0, 0, 0}, {1, 1, 1, 1}, {0, 1, 0, 1}, {1, 0, 1, 0}, {2, 3, 0, 0},
    {0, 0, 5, 2}, {0, 0, 0, 20}, {3, 3, 3, 3}
  };
  const int lanes[] = {4, 8, 16};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (size_t k = 0; k < sizeof halos / sizeof *halos; k++)
      for (size_t v = 0; v < 3; v++) {
        Type t = type_make(F32, 4, shapes[i]);
        planes_hold(&t, lanes[v], halos[k]);
      }
}

/* Columns are planes; the tokens of the axes before lie side by side. */
static void tokens_hold(int rank, const int64_t *dim, int lanes) {
  Arena *a = arena_new();
  Type t = type_make(F32, rank, dim), rows = t;
  int64_t plane, at[MAX_RANK], origin, n = 1, none;
  t.layout = layout_tokens(a, &t, lanes);
  Text why = {0};
  if (!layout_check(t.layout, &t, &why)) fail_msg("%s", why.s);
  assert_true(type_is_tokens(&t, &plane));
  assert_false(type_is_tokens(&rows, &none));
  assert_true(layout_strides(&t, at, &origin));
  assert_int_equal(origin, 0);
  for (int i = rank - 2; i >= 0; i--) {
    assert_int_equal(at[i], n);
    n *= dim[i];
  }
  assert_int_equal(at[rank - 1], plane);
  assert_true(plane >= n && plane < n + 2 * lanes);
  assert_int_equal(plane / lanes % 2, 1);
  assert_int_equal(plane % lanes, 0);
  arena_free(a);
}

static void test_tokens(void **state) {
  (void)state;
  for (int lanes = 4; lanes <= 16; lanes *= 2) {
    tokens_hold(2, (int64_t[]){1, 7}, lanes);
    tokens_hold(2, (int64_t[]){128, 768}, lanes);
    tokens_hold(3, (int64_t[]){2, 17, 5}, lanes);
    tokens_hold(4, (int64_t[]){3, 1, 5, 2}, lanes);
    tokens_hold(3, (int64_t[]){0, 4, 3}, lanes);
  }
  /* Planes of a map are none of tokens, but for a single row. */
  Arena *a = arena_new();
  int64_t plane;
  Type t = type4(1, 3, 5, 4);
  t.layout = layout_planes(a, &t, 4, (const int32_t[]){0, 0, 0, 0});
  assert_false(type_is_tokens(&t, &plane));
  arena_free(a);
}

/* ---- what else there is --------------------------------------------- */

static void test_strides(void **state) {
  (void)state;
  Arena *a = arena_new();
  Type t = type4(2, 3, 4, 5);
  int64_t s[MAX_RANK], origin;
  assert_true(layout_strides(&t, s, &origin));
  assert_int_equal(s[0], 60);
  assert_int_equal(s[3], 1);
  Layout l;
  assert_true(layout_parse(a, "n,hw:3,c", 4, &l));
  assert_true(layout_complete(&l, &t));
  t.layout = &l;
  assert_true(layout_strides(&t, s, &origin));
  assert_int_equal(s[1], 1);
  assert_int_equal(s[2], 15);
  assert_int_equal(s[3], 3);
  assert_int_equal(l.size, 120);
  assert_true(layout_parse(a, "n,c/4,h,w,4c", 4, &l));
  assert_true(layout_complete(&l, &t));
  assert_false(layout_strides(&t, s, &origin));
  assert_int_equal(l.size, 2 * 20 * 4);
  arena_free(a);
}

static void test_check(void **state) {
  (void)state;
  Arena *a = arena_new();
  Type t = type4(1, 2, 3, 4);
  Text why = {0};
  Layout *l = layout_planes(a, &t, 4, (const int32_t[]){1, 1, 1, 1});
  assert_true(layout_check(l, &t, &why));
  l->origin = 3;
  assert_false(layout_check(l, &t, &why));
  l->origin = 8;
  l->halo[3] = -1;
  assert_false(layout_check(l, &t, &why));
  l->halo[3] = INT32_MAX;
  assert_false(layout_check(l, &t, &why));
  l->halo[3] = 1;
  l->size = 1;
  assert_false(layout_check(l, &t, &why));
  Layout *m = layout_planes(a, &t, 4, (const int32_t[]){1, 1, 1, 1});
  assert_true(layout_check(m, &t, &why));
  m->term[2].stride = -1;
  assert_false(layout_check(m, &t, &why));
  text_free(&why);
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_text), cmocka_unit_test(test_text_bad),
    cmocka_unit_test(test_planes), cmocka_unit_test(test_tokens),
    cmocka_unit_test(test_strides),
    cmocka_unit_test(test_check),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
