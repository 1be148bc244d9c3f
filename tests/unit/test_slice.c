/* test_slice.c - the pass slice: on random nets of the layers that channels
 * go through, with rows, columns, filters and scales of zeros, values stay;
 * then small cases worked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "passes/passes.h"

static const Target target = {
  "x86_64-linux-gnu", "x86-64-v3", "", "x86_64", 8, 16, true, true
};

/* ---- random nets ----------------------------------------------------- */

typedef struct Gen { uint64_t seed, at; int nops; } Gen;

static int below(Gen *g, int n) {
  return (int)(random_unit("net", g->seed, g->at++) * n);
}

/* One step on h, a map of C channels; how many it then has. */
static int map_step(Gen *g, Text *t, int c) {
  static const char *const maps[] = {
    "relu", "sigmoid", "silu", "hardswish", "maxpool(3, 1, 1)",
    "avgpool(3, 1, 1)"
  };
  int k = g->nops++, to = 2 * (1 + below(g, 4));
  switch (below(g, 12)) {
  case 0: case 1:
    text_printf(t, "h = h |> conv(%d, k=%d, pad=%d, bias=%s) as l%d;\n", to,
                1 + 2 * (k % 2), k % 2, below(g, 2) ? "true" : "false", k);
    return to;
  case 2:
    text_printf(t, "h = h |> conv(%d, k=1, bias=true) as l%d;\n", to, k);
    return to;
  case 3:
    text_printf(t, "h = h |> conv(%d, k=3, pad=1, groups=%d, bias=true) "
                "as l%d;\n", c, c, k);
    return c;
  case 4:
    text_printf(t, "h = h |> conv(%d, k=1, groups=2) as l%d;\n", 2 * to, k);
    return 2 * to;
  case 5:
    text_printf(t, "h = h + (h |> conv(%d, k=3, pad=1, bias=true) as l%d "
                "|> relu |> conv(%d, k=1) as m%d);\n", to, k, c, k);
    return c;
  case 6:
    text_printf(t, "h = concat(h, h |> conv(%d, k=1) as l%d |> bn as n%d, "
                "axis=1);\n", to, k, k);
    return c + to;
  case 7:
    text_printf(t, "h = h * (mean(h, [2, 3], keep=true) |> conv(%d, k=1, "
                "bias=true) as l%d |> relu |> conv(%d, k=1, bias=true) as "
                "m%d |> sigmoid);\n", to, k, c, k);
    return c;
  case 8:
    text_printf(t, "h = h |> conv(%d, k=1, bias=true) as l%d |> "
                "pixel_shuffle(2) |> avgpool(2, 2);\n", 4 * to, k);
    return to;
  case 9:
    if (c % 4) return c;
    text_printf(t, "h = slice(h, axis=1, start=0, stop=%d) + slice(h, "
                "axis=1, start=%d, stop=%d);\n", c / 2, c - c / 2, c);
    return c / 2;
  case 10:
    text_printf(t, "h = h |> bn as n%d;\n", k);
    return c;
  default:
    text_printf(t, "h = h |> %s;\n", maps[below(g, 6)]);
    return c;
  }
}

static void row_step(Gen *g, Text *t, int *c) {
  int k = g->nops++, to = 4 * (1 + below(g, 3));
  switch (below(g, 4)) {
  case 0:
    text_printf(t, "h = h |> linear(%d) as l%d |> gelu;\n", to, k);
    *c = to;
    break;
  case 1:
    text_printf(t, "h = h + (h |> linear(%d) as l%d |> relu |> linear(%d) as "
                "m%d);\n", to, k, *c, k);
    break;
  case 2:
    text_printf(t, "h = h |> layer_norm as l%d;\n", k);
    break;
  default:
    text_printf(t, "h = h |> linear(%d) as in%d |> self_attention(2) as l%d "
                "|> linear(%d) as v%d;\n", to, k, k, *c, k);
    break;
  }
}

/* recipe: that prunes channels. */
static void net_generate(Gen *g, Text *t, bool recipe) {
  int c = 4, maps = 2 + below(g, 6), rows = below(g, 4);
  text_puts(t, "model m(x: f32[1,4,4,4]) -> y: f32[1,3], z: f32[1,4,3] {\n"
            "h = x |> conv(4, k=3, pad=1, bias=true) as first;\n");
  for (int i = 0; i < maps; i++) c = map_step(g, t, c < 2 ? 2 : c);
  text_puts(t, "y = h |> flatten |> linear(3) as flat;\n"
            "h = h |> conv(8, k=1) as wide |> relu;\n"
            "h = permute(reshape(h, [1, 8, 16]), [0, 2, 1]);\n"
            "h = slice(h, axis=1, start=0, stop=4);\n");
  c = 8;
  for (int i = 0; i < rows; i++) row_step(g, t, &c);
  text_puts(t, "z = h |> linear(3) as head;\n}\n");
  if (recipe)
    text_puts(t, "recipe r for m { prune ** with pattern=channel, "
              "sparsity=0.4; }\n");
}

/* Values of a stream; of each param rows, columns or all may be 0. */
typedef struct Weights { uint64_t seed; bool zeros; } Weights;
static bool net_provide(void *ctx, Param *p) {
  const Weights *from = ctx;
  uint64_t seed = from->seed, at = 0;
  int64_t n = type_elems(&p->type), rows = p->type.dim[0];
  int64_t cols = rows ? n / rows : 0, taps = 1;
  for (int i = 2; i < p->type.rank; i++) taps *= p->type.dim[i];
  Buffer *b = buffer_new((size_t)n * sizeof(float));
  float *v = (float *)(void *)b->data;
  bool var = strstr(p->path, "running_var") != NULL;
  double dead = from->zeros ? 0.6 * random_unit(p->path, seed, 1 << 20) : 0;
  for (int64_t i = 0; i < n; i++) {
    uint64_t row = (uint64_t)(i / cols), col = (uint64_t)(i % cols / taps);
    bool zero = random_unit(p->path, seed, (1 << 21) + row) < dead ||
                (p->type.rank > 1 &&
                 random_unit(p->path, seed, (1 << 22) + col) < dead / 2);
    v[i] = zero && !var ? 0 : (float)random_unit(p->path, seed, at) - 0.4f;
    if (var) v[i] = fabsf(v[i]) + 0.5f;
    at++;
  }
  param_set_data(p, b);
  return true;
}

typedef struct Seen {
  uint64_t seed;
  Arena *a;
  Diags *d;
  Tensor in;
  Tensor *want;
  int64_t before, after;   /* values of params */
  int64_t nonzero, left;   /* multiply-accumulates of weights that are not
                              zero, and all behind slice */
  bool empty;              /* a weight is zero, which keeps one channel */
} Seen;

static int64_t params_size(const Module *m) {
  int64_t n = 0;
  for (size_t i = 0; i < m->params.n; i++)
    n += type_elems(&m->params.at[i]->type);
  return n;
}

static Cost net_cost(Module *m) {
  Cost all = {0, 0, 0};
  const Func *f = m->funcs.at[0];
  for (size_t i = 0; i < f->nodes.n; i++) {
    Cost c = node_cost(m, f->nodes.at[i]);
    if (f->nodes.at[i]->op == OP_SCALE_SHIFT) continue;
    all.macs += c.macs;
    all.nonzero_macs += c.nonzero_macs;
  }
  return all;
}

static Tensor *outputs_eval(Seen *w, Module *m) {
  const Func *f = m->funcs.at[0];
  Tensor *all = func_eval(w->a, m, m->funcs.at[0], &w->in,
                          &(EvalOpts){.blas = false}, true, w->d);
  Tensor *out = arena_array(w->a, Tensor, f->outputs.n);
  assert_non_null(all);
  for (size_t i = 0; i < f->outputs.n; i++)
    out[i] = all[f->outputs.at[i].node->id];
  return out;
}

static void outputs_same(Seen *w, Module *m) {
  const Func *f = m->funcs.at[0];
  Tensor *got = outputs_eval(w, m);
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Tensor *y = &got[i], *r = &w->want[i];
    double top = 1e-3;
    assert_true(type_same_shape(&y->type, &r->type));
    for (int64_t k = 0; k < type_elems(&r->type); k++)
      top = fmax(top, fabs(r->v[k]));
    for (int64_t k = 0; k < type_elems(&r->type); k++)
      if (!(fabs(y->v[k] - r->v[k]) <= 1e-5 * top))
        fail_msg("seed %llu: output %zu element %lld is %g, was %g",
                 (unsigned long long)w->seed, i, (long long)k, y->v[k],
                 r->v[k]);
  }
}

static bool seen_after(void *ctx, const char *pass, Module **m, double s) {
  Seen *w = ctx;
  (void)s;
  if (strcmp(pass, "bnfold") == 0) {
    w->want = outputs_eval(w, *m);
    w->before = params_size(*m);
    w->nonzero = net_cost(*m).nonzero_macs;
    for (size_t i = 0; i < (*m)->params.n; i++)
      w->empty |= param_nonzeros(*m, (*m)->params.at[i]) == 0;
  }
  if (strcmp(pass, "slice") != 0) return true;
  w->after = params_size(*m);
  w->left = net_cost(*m).macs;
  outputs_same(w, *m);
  return true;
}

static Module *net_slice(Seen *w, const char *text, LoadOpts *lo, int opt) {
  Module *m = tam_load_text(w->d, "<test>", text, strlen(text), lo);
  if (m) {
    const Type *t = &m->funcs.at[0]->inputs.at[0]->type;
    w->in = tensor_new(w->a, t);
    for (int64_t i = 0; i < type_elems(t); i++)
      w->in.v[i] = random_unit("x", w->seed, (uint64_t)i) - 0.5;
  }
  PipelineOpts o = {.target = &target, .opt = opt, .stop_after = "slice",
                    .after = seen_after, .ctx = w};
  if (m && pipeline_run(&m, &o, w->d)) return m;
  diags_print(w->d, stderr, false);
  fail_msg("seed %llu:\n%s", (unsigned long long)w->seed, text);
  return NULL;
}

static bool random_net(uint64_t seed, bool recipe, int *whole) {
  Gen g = {.seed = seed};
  Weights from = {seed, !recipe};
  Text text = {0};
  Seen w = {.seed = seed, .a = arena_new(), .d = diags_new()};
  LoadOpts lo = {.provide = net_provide, .provide_ctx = &from,
                 .recipe = recipe ? "r" : NULL};
  net_generate(&g, &text, recipe);
  Module *m = net_slice(&w, text.s, &lo, seed % 3 == 0 ? 0 : 2);
  bool smaller = w.after < w.before;
  *whole += !w.empty;
  if (recipe && !w.empty && w.left > w.nonzero)
    fail_msg("seed %llu: %lld products of %lld\n%s",
             (unsigned long long)seed, (long long)w.left,
             (long long)w.nonzero, text.s);
  module_free(m);
  text_free(&text);
  diags_free(w.d);
  arena_free(w.a);
  return smaller;
}

static void random_nets(void **state) {
  int count = getenv("TAMIS_QUICK") ? 300 : 3000, sliced = 0, whole = 0;
  (void)state;
  for (int i = 1; i <= count; i++)
    sliced += random_net((uint64_t)i, false, &whole);
  assert_true(sliced > count * 2 / 3);
}

/* What prune takes for gone is gone behind slice. */
static void pruned_nets(void **state) {
  int count = getenv("TAMIS_QUICK") ? 300 : 2000, sliced = 0, whole = 0;
  (void)state;
  for (int i = 1; i <= count; i++)
    sliced += random_net((uint64_t)i, true, &whole);
  assert_true(sliced > count * 2 / 3 && whole > count / 2);
}

/* ---- by hand --------------------------------------------------------- */

/* Values of params by path. */
typedef struct Given { const char *path; const float *v; } Given;

static bool given_provide(void *ctx, Param *p) {
  for (const Given *g = ctx; g->path; g++) {
    if (strcmp(g->path, p->path) != 0) continue;
    size_t bytes = (size_t)type_elems(&p->type) * sizeof(float);
    Buffer *b = buffer_new(bytes);
    memcpy(b->data, g->v, bytes);
    param_set_data(p, b);
    return true;
  }
  return false;
}

typedef struct Sliced { Seen w; Module *m; } Sliced;

static Sliced hand_slice(const char *text, Given *g) {
  Sliced s = {.w = {.a = arena_new(), .d = diags_new()}};
  LoadOpts lo = {.provide = given_provide, .provide_ctx = g};
  s.m = net_slice(&s.w, text, &lo, 2);
  return s;
}

static void hand_free(Sliced *s) {
  module_free(s->m);
  diags_free(s->w.d);
  arena_free(s->w.a);
}

static void expect_values(const Sliced *s, const char *path, int64_t n,
                          const float *want) {
  const Param *p = module_param(s->m, path);
  assert_non_null(p);
  assert_int_equal(type_elems(&p->type), n);
  const float *v = param_values(s->m, p);
  for (int64_t i = 0; i < n; i++) assert_float_equal(v[i], want[i], 0);
}

static const float in_w[] = {1, 2, 0, 0, 3, 4}, in_b[] = {1, 0.5f, -2};
static const float out_w[] = {1, 4, 2, -1, 2, 3}, out_b[] = {0.25f, 1};

/* Channel 1 is relu(0.5): 4 and 2 times that go to the biases. */
static void constant_folds(void **state) {
  static const float w1[] = {1, 2, 3, 4}, b1[] = {1, -2};
  static const float w2[] = {1, 2, -1, 3}, b2[] = {2.25f, 2};
  Given g[] = {{"a.weight", in_w}, {"a.bias", in_b}, {"b.weight", out_w},
               {"b.bias", out_b}, {0}};
  (void)state;
  Sliced s = hand_slice("model m(x: f32[1,2]) -> y: f32[1,2] {"
                        " y = x |> linear(3) as a |> relu"
                        " |> linear(2) as b; }", g);
  expect_values(&s, "a.weight", 4, w1);
  expect_values(&s, "a.bias", 2, b1);
  expect_values(&s, "b.weight", 4, w2);
  expect_values(&s, "b.bias", 2, b2);
  assert_int_equal(s.m->notes.n, 0);
  hand_free(&s);
}

/* The same constant beside padding stays, with a reason. */
static void constant_stays(void **state) {
  static const float w3[54] = {[4] = 1, [13] = 4, [22] = 2, [31] = -1,
                               [40] = 2, [49] = 3};
  Given g[] = {{"a.weight", in_w}, {"a.bias", in_b}, {"b.weight", w3},
               {"b.bias", out_b}, {0}};
  (void)state;
  Sliced s = hand_slice("model m(x: f32[1,2,3,3]) -> y: f32[1,2,3,3] {"
                        " y = x |> conv(3, k=1, bias=true) as a |> relu"
                        " |> conv(2, k=3, pad=1, bias=true) as b; }", g);
  assert_int_equal(params_size(s.m), 6 + 3 + 54 + 2);
  assert_int_equal(s.m->notes.n, 1);
  assert_string_equal(s.m->notes.at[0],
    "slice: a.weight: 1 of 3 channels are zero and stay: conv2d of b reads a "
    "constant of them that is not 0, beside padding or without a bias of its "
    "own");
  hand_free(&s);
}

/* Nobody reads what column 1 of b would; so it goes, and row 1 of a. */
static void unread_goes(void **state) {
  static const float full[] = {1, 2, 5, 6, 3, 4};
  static const float some[] = {1, 0, 2, -1, 0, 3};
  static const float w1[] = {1, 2, 3, 4}, w2[] = {1, 2, -1, 3};
  Given g[] = {{"a.weight", full}, {"a.bias", in_b}, {"b.weight", some},
               {"b.bias", out_b}, {0}};
  (void)state;
  Sliced s = hand_slice("model m(x: f32[1,2]) -> y: f32[1,2] {"
                        " y = x |> linear(3) as a |> relu"
                        " |> linear(2) as b; }", g);
  expect_values(&s, "a.weight", 4, w1);
  expect_values(&s, "b.weight", 4, w2);
  expect_values(&s, "b.bias", 2, out_b);
  hand_free(&s);
}

/* Two channels that only read each other, through a residual sum, are dead
 * together, though each has a reader. */
static void ring_goes(void **state) {
  static const float first[] = {1, 2, 3, 4, 5, 6};
  static const float ring[] = {1, 0, 0, 2, 3, 4, 5, 6, 7};
  static const float last[] = {2, 0, 0};
  static const float w1[] = {1, 2}, w2[] = {1}, w3[] = {2};
  Given g[] = {{"a.weight", first}, {"r.weight", ring}, {"c.weight", last},
               {0}};
  (void)state;
  Sliced s = hand_slice("model m(x: f32[1,2,1,1]) -> y: f32[1,1,1,1] {"
                        " h = x |> conv(3, k=1) as a;"
                        " h = h + (h |> relu |> conv(3, k=1) as r);"
                        " y = h |> conv(1, k=1) as c; }", g);
  expect_values(&s, "a.weight", 2, w1);
  expect_values(&s, "r.weight", 1, w2);
  expect_values(&s, "c.weight", 1, w3);
  hand_free(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(constant_folds),
    cmocka_unit_test(constant_stays),
    cmocka_unit_test(unread_goes),
    cmocka_unit_test(ring_goes),
    cmocka_unit_test(random_nets),
    cmocka_unit_test(pruned_nets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
