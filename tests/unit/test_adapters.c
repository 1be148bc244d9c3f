/* test_adapters.c - the recipe's verb fuse_adapters: a fused layer against a
 * graph that computes base and adapter apart, blocks worked by hand, masks,
 * and what a file may lack. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recipe_fix.h"

static double draw(const char *name, int64_t i) {
  return random_unit(name, 1, (uint64_t)i) - 0.5;
}

/* Values of an adapter's tensor; every third of a mask is 0. */
static double adapter(const char *name, int64_t i) {
  if (strstr(name, "mask")) return i % 3 == 1 ? 0 : 1;
  return draw(name, i);
}

typedef struct Row { const char *name; int rank; int64_t dim[3]; } Row;
static const Row rows[] = {
  {"a.up", 2, {12, 3}}, {"a.down", 2, {3, 8}},
  {"a.mask_out", 1, {12}}, {"a.mask_in", 1, {8}},
  {"g.up", 2, {12, 2}}, {"g.down", 2, {2, 4}},
  {"a.adapter", 2, {12, 8}}, {"w.adapter", 2, {5, 8}},
  {"w.mask_in", 1, {8}},
  {"up", 2, {2, 2}}, {"down", 2, {2, 4}}, {"l.positions", 3, {2, 3, 2}},
  {"l.mask", 2, {3, 2}},
  {"short.up", 2, {6, 2}}, {"short.down", 2, {3, 8}},
  {"odd.adapter", 2, {12, 7}},
};
enum { ROWS = sizeof rows / sizeof *rows };

static bool tensors(void *ctx, const char *path, Arena *a, FileTensor **out,
                    size_t *n) {
  (void)ctx;
  assert_string_equal(path, "drawn");
  *out = arena_array(a, FileTensor, ROWS);
  *n = ROWS;
  for (size_t i = 0; i < ROWS; i++) {
    Type t = type_make(F32, rows[i].rank, rows[i].dim);
    float *v = arena_array(a, float, (size_t)type_elems(&t));
    for (int64_t k = 0; k < type_elems(&t); k++)
      v[k] = (float)adapter(rows[i].name, k);
    (*out)[i] = (FileTensor){rows[i].name, t, v};
  }
  return true;
}

/* Params of the graph beside have the values of the file, masks as values. */
static bool provide(void *ctx, Param *p) {
  (void)ctx;
  int64_t n = type_elems(&p->type);
  const char *name = strncmp(p->path, "file.", 5) == 0 ? p->path + 5 : NULL;
  p->data = buffer_new((size_t)n * sizeof(float));
  float *v = (float *)(void *)p->data->data;
  for (int64_t i = 0; i < n; i++)
    v[i] = (float)(name ? adapter(name, i)
                   : strstr(p->path, "weight") || strcmp(p->path, "w") == 0
                     ? draw("weight", i) : draw("bias", i));
  return true;
}

/* The output is the fused layer less base and adapter apart. */
static void same_as_apart(const char *body, const char *with) {
  Text t = {0};
  text_printf(&t, "model m(%s\n}\nrecipe r for m { fuse_adapters %s, "
              "adapters=\"drawn\"; }\n", body, with);
  Behind b = behind_ok(t.s, provide);
  double largest = 0, apart = 0;
  const Func *f = b.m->funcs.at[0];
  assert_int_equal(f->outputs.n, 1);
  /* Without the recipe they differ by what the adapter does: by more. */
  apart = behind_apart(&b, &largest);
  assert_true(largest > 0.05 && apart > 0.05);
  if (!(fabs(apart - largest) < 1e-5 * largest))
    fail_msg("%s: %g of %g", t.s, apart, largest);
  Tensor in = tensor_new(b.a, &f->inputs.at[0]->type);
  for (int64_t i = 0; i < type_elems(&in.type); i++) in.v[i] = draw("x", i);
  EvalOpts o = {0};
  Tensor *all = func_eval(b.a, b.m, b.m->funcs.at[0], &in, &o, true, b.d);
  const Tensor *y = &all[f->outputs.at[0].node->id];
  for (int64_t i = 0; i < type_elems(&y->type); i++)
    assert_true(fabs(y->v[i]) < 1e-5);
  text_free(&t);
  behind_free(&b);
}

static void fused_is_unfused(void **state) {
  (void)state;
  behind_tensors = tensors;
  same_as_apart(
    "x: f32[2,8,7,6]) -> y: f32[2,12,4,6] {\n"
    "  param a.weight: f32[12,8,3,3]; param a.bias: f32[12];\n"
    "  param base.weight: f32[12,8,3,3]; param base.bias: f32[12];\n"
    "  param file.a.up: f32[12,3]; param file.a.down: f32[3,8];\n"
    "  param file.a.mask_out: f32[12]; param file.a.mask_in: f32[8];\n"
    "  y = conv2d(x, a.weight, b=a.bias, stride=[2,1], pad=[1,1,1,1]);\n"
    "  x = x * reshape(file.a.mask_in, [1,8,1,1]);\n"
    "  z = conv2d(x, base.weight, b=base.bias, stride=[2,1],\n"
    "             pad=[1,1,1,1]);\n"
    "  d = conv2d(x, reshape(file.a.down, [3,8,1,1]), stride=[2,1]);\n"
    "  z = z + conv2d(d, reshape(file.a.up, [12,3,1,1]));\n"
    "  y = y - z * reshape(file.a.mask_out, [1,12,1,1]);",
    "a.weight with method=splora");
  same_as_apart(
    "x: f32[3,8]) -> y: f32[3,12] {\n"
    "  param a.weight: f32[12,8]; param base.weight: f32[12,8];\n"
    "  param file.a.adapter: f32[12,8];\n"
    "  param file.a.mask_out: f32[12]; param file.a.mask_in: f32[8];\n"
    "  y = linear(x, a.weight);\n"
    "  x = x * file.a.mask_in;\n"
    "  y = y - (linear(x, base.weight) + linear(x, file.a.adapter)) *\n"
    "      file.a.mask_out;",
    "a.weight with method=sppara");
  same_as_apart(
    "x: f32[1,8,5,5]) -> y: f32[1,12,5,5] {\n"
    "  param g.weight: f32[12,4,5,3]; param base.weight: f32[12,4,5,3];\n"
    "  param file.g.up: f32[12,2]; param file.g.down: f32[2,4];\n"
    "  y = conv2d(x, g.weight, pad=[2,1,2,1], groups=2);\n"
    "  z = conv2d(x, base.weight, pad=[2,1,2,1], groups=2);\n"
    "  e = reshape(matmul(file.g.up, file.g.down), [12,4,1,1]);\n"
    "  y = y - z - conv2d(x, e, groups=2);",
    "g.weight with method=splora");
}

/* [K,M] as a factor: masks of K, adapters [M,K]. */
static void factors(void **state) {
  (void)state;
  behind_tensors = tensors;
  Behind b = behind_ok("model m(x: f32[2,8]) -> y: f32[2,5] {\n"
                       "  param w: f32[8,5]; y = matmul(x, w); }\n"
                       "recipe r for m { fuse_adapters w with method=sppara, "
                       "adapters=\"drawn\"; }\n", provide);
  const float *w = behind_values(&b, "w");
  for (int k = 0; k < 8; k++)
    for (int m = 0; m < 5; m++) {
      double want = draw("weight", k * 5 + m) + adapter("w.adapter", m * 8 + k);
      assert_true(fabs(w[k * 5 + m] - (k % 3 == 1 ? 0 : want)) < 1e-6);
    }
  behind_free(&b);
}

static void blocks(void **state) {
  (void)state;
  behind_tensors = tensors;
  Behind b = behind_ok("model m(x: f32[2,8]) -> y: f32[2,6] {\n"
                       "  y = x |> linear(6, bias=false) as l; }\n"
                       "recipe r for m { fuse_adapters l with method=splopa, "
                       "adapters=\"drawn\"; }\n", provide);
  const float *w = behind_values(&b, "l.weight");
  for (int r = 0; r < 6; r++)
    for (int c = 0; c < 8; c++) {
      int block = r / 2 * 2 + c / 4;
      double want = draw("weight", r * 8 + c);
      for (int i = 0; i < 2; i++)
        want += adapter("l.positions", i * 6 + block) *
                adapter("up", i * 2 + r % 2) * adapter("down", i * 4 + c % 4);
      if (block % 3 == 1) want = 0;
      assert_true(fabs(w[r * 8 + c] - want) < 1e-6);
    }
  behind_free(&b);
}

static void refused(void **state) {
  (void)state;
  static const struct { const char *layer, *with, *error; } cases[] = {
    {"linear(6) as short", "method=splora, adapters=\"drawn\"",
     "short.weight: expected 'short.down' f32[2,8] in drawn, found f32[3,8]"},
    {"linear(6) as none", "method=splora, adapters=\"drawn\"",
     "none.weight: expected 'none.up' f32[6,?] in drawn, found none"},
    {"linear(12) as odd", "method=sppara, adapters=\"drawn\"",
     "odd.weight: expected 'odd.adapter' f32[12,8] in drawn, found "
     "f32[12,7]"},
    {"linear(7) as l", "method=splopa, adapters=\"drawn\"",
     "l.weight: expected a multiple of 2x4, found 7x8"},
    {"linear(6) as l", "method=splopa", "expected adapters="},
    {"linear(6) as l", "adapters=\"drawn\"", "expected method=splora"},
    {"linear(6) as l", "method=lora, adapters=\"drawn\"",
     "method: expected splora, sppara or splopa, found lora"},
  };
  behind_tensors = tensors;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Text t = {0};
    text_printf(&t, "model m(x: f32[2,8]) -> y: f32[2,%s] {\n"
                "  y = x |> %s;\n}\nrecipe r for m { fuse_adapters ** with "
                "%s; }\n", strstr(cases[i].layer, "12") ? "12" :
                strstr(cases[i].layer, "7") ? "7" : "6", cases[i].layer,
                cases[i].with);
    Behind b = behind(t.s, provide);
    assert_null(b.m);
    if (!strstr(b.error, cases[i].error)) fail_msg("%s", b.error);
    text_free(&t);
    behind_free(&b);
  }
  Behind b = behind("model m(x: f32[2,8,4,4]) -> y: f32[2,12,3,3] {\n"
                    "  y = x |> conv(12, k=2) as a; }\n"
                    "recipe r for m { fuse_adapters a with method=splora, "
                    "adapters=\"drawn\"; }\n", provide);
  assert_non_null(strstr(b.error, "a.weight: its kernel has no centre"));
  behind_free(&b);
  behind_tensors = NULL;
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(fused_is_unfused),
    cmocka_unit_test(factors),
    cmocka_unit_test(blocks),
    cmocka_unit_test(refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
