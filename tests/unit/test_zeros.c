/* test_zeros.c - zeros of weights stay zeros through every pass: on random
 * graphs place by place, and on a pruned net with all that folds into
 * weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/gen/graphgen.h"

static const Target target = {
  "x86_64-linux-gnu", "x86-64-v3", "", "x86_64", 8, 16, true, true
};

/* ---- weights --------------------------------------------------------- */

typedef struct Values {
  const char *path;
  Type type;
  float *v;
} Values;

typedef struct Watch {
  Arena *a;
  Vec(Values) was;        /* behind the pass before */
  int compared, zeros;    /* weights, their zeros */
  uint64_t seed;
} Watch;

static bool is_product(Op op) {
  return op == OP_CONV2D || op == OP_CONV2D_TRANSPOSE || op == OP_LINEAR;
}

typedef void EachWeight(Watch *w, Module *m, const Param *p,
                        const char *pass);

/* Each weight of a product, once. */
static void weights_each(Watch *w, Module *m, const char *pass,
                         EachWeight *each) {
  for (size_t k = 0; k < m->params.n; k++) {
    const Param *p = m->params.at[k];
    bool used = false;
    for (size_t i = 0; i < m->funcs.n; i++) {
      const Func *f = m->funcs.at[i];
      for (size_t j = 0; j < f->nodes.n; j++) {
        const Node *n = f->nodes.at[j];
        used |= is_product(n->op) && n->in[1]->param == p;
      }
    }
    if (used && p->type.elem == F32) each(w, m, p, pass);
  }
}

/* Is `path` that of the weight, or of one that was made of it: with
 * ".folded" or a number behind? */
static bool comes_from(const char *path, const char *of) {
  static const char digits[] = "0123456789";
  size_t n = strlen(of);
  if (strncmp(path, of, n) != 0) return false;
  const char *rest = path + n;
  for (;;) {
    if (strncmp(rest, ".folded", 7) == 0) rest += 7;
    else if (strncmp(rest, ".v", 2) == 0) rest += 2 + strspn(rest + 2, digits);
    else if (*rest == '_') rest += 1 + strspn(rest + 1, digits);
    else return *rest == 0;
  }
}

static const Values *weight_before(const Watch *w, const Param *p) {
  const Values *best = NULL;
  for (size_t i = 0; i < w->was.n; i++) {
    const Values *k = &w->was.at[i];
    if (comes_from(p->path, k->path) &&
        (!best || strlen(k->path) > strlen(best->path)))
      best = k;
  }
  return best;
}

static int64_t zeros_of(const float *v, int64_t n) {
  int64_t zeros = 0;
  for (int64_t i = 0; i < n; i++) zeros += v[i] == 0;
  return zeros;
}

static void weight_compare(Watch *w, Module *m, const Param *p,
                           const char *pass) {
  const Values *was = weight_before(w, p);
  const float *v = param_values(m, p);
  assert_non_null(v);
  if (!was || !type_same_shape(&was->type, &p->type)) return;
  int64_t n = type_elems(&p->type);
  w->compared++;
  if (strcmp(pass, "phases") == 0) {   /* where values change places */
    assert_true(zeros_of(v, n) >= zeros_of(was->v, n));
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    if (was->v[i] != 0) continue;
    w->zeros++;
    if (v[i] != 0)
      fail_msg("seed %llu: after %s, element %lld of %s is %g, was 0",
               (unsigned long long)w->seed, pass, (long long)i, p->path,
               (double)v[i]);
  }
}

static void weight_keep(Watch *w, Module *m, const Param *p,
                        const char *pass) {
  size_t n = (size_t)type_elems(&p->type);
  Values k = {arena_strdup(w->a, p->path), p->type, NULL};
  (void)pass;
  k.v = arena_array(w->a, float, n + 1);
  if (n) memcpy(k.v, param_values(m, p), n * sizeof *k.v);
  vec_push(w->a, &w->was, k);
}

/* What fold computes of a weight may be anything. */
static bool watch_after(void *ctx, const char *pass, Module **m,
                        double seconds) {
  Watch *w = ctx;
  (void)seconds;
  if (strcmp(pass, "parse") != 0 && strcmp(pass, "fold") != 0)
    weights_each(w, *m, pass, weight_compare);
  w->was.n = 0;
  weights_each(w, *m, pass, weight_keep);
  return true;
}

/* ---- random graphs --------------------------------------------------- */

static void graph_watch(Watch *total, uint64_t seed) {
  Text text = {0};
  Diags *d = diags_new();
  Watch w = {.a = arena_new(), .seed = seed};
  LoadOpts lo = {.provide = graph_provide, .provide_ctx = &seed};
  graph_generate(&text, seed);
  Module *m = tam_load_text(d, "<graph>", text.s, text.n, &lo);
  assert_non_null(m);
  PipelineOpts o = {.target = &target, .opt = 2, .after = watch_after,
                    .ctx = &w};
  assert_true(pipeline_run(&m, &o, d));
  total->compared += w.compared;
  total->zeros += w.zeros;
  module_free(m);
  text_free(&text);
  diags_free(d);
  arena_free(w.a);
}

static void random_graphs(void **state) {
  (void)state;
  Watch total = {0};
  for (uint64_t seed = 1; seed <= 300; seed++) graph_watch(&total, seed);
  assert_true(total.compared > 1000 && total.zeros > 10000);
}

/* ---- a pruned net ---------------------------------------------------- */

/* Scales in front and behind, finite and not, of zero too; masks, shared and
 * computed weights, groups, channels that slice takes out, and what is a part
 * of conv or linear. */
static const char net[] =
  "model m(x: f32[1,8,6,6]) -> y: f32[1,5], z: f32[1,8,6,6] {\n"
  "  param keep: b1[8,8,1,1];\n"
  "  param w: f32[8,8,1,1];\n"
  "  a = x |> conv(8, k=3, pad=1) as a |> bn as na |> relu;\n"
  "  b = (a * 3.0 - 1.0) |> conv(8, k=3) as b |> bn as nb |> relu6;\n"
  "  c = b |> depthwise(k=3) as c |> bn as nc;\n"
  "  d = c |> bn as nd |> conv(8, groups=2) as d |> hardswish;\n"
  "  e = conv2d(d, mask(w, keep)) / 0.5;\n"
  "  f = conv2d(e, mask(w, keep)) * inf;\n"
  "  g = (f * 0.0) |> conv(8) as g |> bn as ng;\n"
  "  h = (a |> conv(8, k=3, pad=1) as h |> bn as nh) + a;\n"
  "  i = conv2d(h, h.weight, pad=[1,1,1,1]) * 2.0;\n"
  "  j = h |> conv_transpose(8, k=3, s=1, pad=1) as j |> bn as nj;\n"
  "  z = -(i + j);\n"
  "  k = mean(g * inf, [2,3]) |> linear(8) as k;\n"
  "  y = -((k * 2.0) |> linear(5) as l) + 1.0;\n"
  "}\n"
  "recipe slim for m {\n"
  "  prune **, !l with sparsity=0.6, pattern=4x1;\n"
  "  prune l with sparsity=0.6;\n"
  "}\n";

/* A third are zeros at the end: pruned ones are 60 %, of w about half are
 * masked; transposed convolutions are not pruned. */
static void weight_is_sparse(Watch *w, Module *m, const Param *p,
                             const char *pass) {
  const float *v = param_values(m, p);
  int64_t n = type_elems(&p->type), zeros = 0;
  for (int64_t i = 0; i < n; i++) zeros += v[i] == 0;
  if (3 * zeros < n && strcmp(p->path, "j.weight") != 0)
    fail_msg("after %s, %s has %lld zeros of %lld", pass, p->path,
             (long long)zeros, (long long)n);
  w->compared++;
}

static void pruned_net(void **state) {
  (void)state;
  Diags *d = diags_new();
  Watch w = {.a = arena_new()}, end = {0};
  LoadOpts lo = {.random_weights = true, .seed = 1, .recipe = "slim"};
  Module *m = tam_load_text(d, "<net>", net, strlen(net), &lo);
  if (!m) diags_print(d, stderr, false);
  assert_non_null(m);
  PipelineOpts o = {.target = &target, .opt = 2, .after = watch_after,
                    .ctx = &w};
  bool ran = pipeline_run(&m, &o, d);
  if (!ran) diags_print(d, stderr, false);
  assert_true(ran);
  assert_true(w.compared > 60 && w.zeros > 8000);
  weights_each(&end, m, "plan", weight_is_sparse);
  assert_int_equal(end.compared, 10);   /* f * 0 is 0 for slice: both w go */
  module_free(m);
  diags_free(d);
  arena_free(w.a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(pruned_net), cmocka_unit_test(random_graphs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
