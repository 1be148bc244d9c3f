/* test_prune.c - the recipe's verb prune: which values go, and how many; and
 * that a dump is gone on with where it was left. */
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

/* a.weight [4,4]: 1 -2 3 -4 ... -16; b.weight [4,4]: 0.5 times that. */
static bool provide(void *ctx, Param *p) {
  (void)ctx;
  int64_t n = type_elems(&p->type);
  double scale = p->path[0] == 'a' ? 1 : 0.5;
  p->data = buffer_new((size_t)n * sizeof(float));
  float *v = (float *)(void *)p->data->data;
  for (int64_t i = 0; i < n; i++)
    v[i] = (float)(scale * (double)(i % 2 ? -(i + 1) : i + 1));
  return true;
}

typedef struct Pruned {
  Diags *d;
  Module *m;
  const float *a, *b;
} Pruned;

static Pruned prune(const char *step) {
  Text t = {0};
  Pruned p = {.d = diags_new()};
  LoadOpts lo = {.recipe = "r", .provide = provide};
  PipelineOpts o = {.target = &target, .opt = 2, .stop_after = "recipe"};
  text_printf(&t,
              "model m(x: f32[1,4]) -> y: f32[1,4] {\n"
              "  y = x |> linear(4, bias=false) as a\n"
              "        |> linear(4, bias=false) as b;\n"
              "}\nrecipe r for m { prune %s; }\n", step);
  p.m = tam_load_text(p.d, "<test>", t.s, t.n, &lo);
  if (!p.m || !pipeline_run(&p.m, &o, p.d)) {
    diags_print(p.d, stderr, false);
    fail_msg("%s", t.s);
  }
  assert_int_equal(p.m->recipe.n, 0);
  p.a = param_values(p.m, module_param(p.m, "a.weight"));
  p.b = param_values(p.m, module_param(p.m, "b.weight"));
  text_free(&t);
  return p;
}

static void pruned_free(Pruned *p) {
  module_free(p->m);
  diags_free(p->d);
}

/* Bit i: value i is there; each that is there is unchanged. */
static unsigned kept(const float *v, double scale) {
  unsigned mask = 0;
  for (int i = 0; i < 16; i++) {
    if (v[i] == 0) continue;
    assert_true(v[i] == (float)(scale * (i % 2 ? -(i + 1) : i + 1)));
    mask |= 1u << i;
  }
  return mask;
}

static void least_go(void **state) {
  (void)state;
  static const struct { const char *step; unsigned a, b; } cases[] = {
    {"a, b with sparsity=0.5", 0xff00, 0xff00},
    {"a with sparsity=0.0", 0xffff, 0xffff},
    {"a with sparsity=1.0", 0, 0xffff},
    /* round(0.1 * 16) = 2 */
    {"a with sparsity=0.1", 0xfffc, 0xffff},
    /* columns of four rows: the sums grow from left to right */
    {"a with sparsity=0.5, pattern=4x1", 0xcccc, 0xffff},
    {"a with sparsity=0.25, pattern=2x2", 0xffcc, 0xffff},
    {"a with sparsity=0.75, pattern=1x4", 0xf000, 0xffff},
    {"a with sparsity=0.5, pattern=row", 0xff00, 0xffff},
    {"a with sparsity=0.25, pattern=column", 0xeeee, 0xffff},
    {"a with sparsity=0.25, pattern=channel, coupled=false",
     0xfff0, 0xffff},
    /* eight rows together: the means of b are half of those of a */
    {"a, b with sparsity=0.5, pattern=row, scope=global", 0xfff0, 0xf000},
    {"a, b with sparsity=0.375, pattern=row, scope=global", 0xfff0, 0xff00},
    /* [4,4] has as many values a row as b: the densities are equal */
    {"a, b with sparsity=0.5, scope=erk", 0xff00, 0xff00},
    /* of 32 products 24 stay, or 16 */
    {"a with macs=0.75", 0xff00, 0xffff},
    {"a, b with macs=0.5, scope=global", 0xffe0, 0xf800},
    {"a, b with macs=1.0", 0xffff, 0xffff},
    {"a with pattern=2:4", 0xcccc, 0xffff},
    {"a with pattern=1:2", 0xaaaa, 0xffff},
    /* b is half of a: of 32 values 16 go, 10 or 11 of them in b */
    {"a, b with sparsity=0.5, scope=global", 0xffe0, 0xf800},
    {"a with sparsity=0.5, method=magnitude, scope=uniform", 0xff00, 0xffff},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Pruned p = prune(cases[i].step);
    assert_int_equal(kept(p.a, 1), cases[i].a);
    assert_int_equal(kept(p.b, 0.5), cases[i].b);
    pruned_free(&p);
  }
}

static int bits(unsigned mask) {
  int n = 0;
  for (; mask; mask >>= 1) n += mask & 1;
  return n;
}

/* A second step meets the zeros of the first: equal scores. */
static void steps_follow(void **state) {
  (void)state;
  Pruned p = prune("a with sparsity=1.0; prune a with sparsity=0.5");
  assert_int_equal(kept(p.a, 1), 0);
  pruned_free(&p);
}

static void random_counts(void **state) {
  (void)state;
  Pruned p = prune("a, b with sparsity=0.75, method=random");
  Pruned q = prune("a, b with sparsity=0.75, method=random, seed=0");
  Pruned r = prune("a, b with sparsity=0.75, method=random, seed=7");
  assert_int_equal(bits(kept(p.a, 1)), 4);
  assert_int_equal(bits(kept(p.b, 0.5)), 4);
  assert_int_equal(kept(p.a, 1), kept(q.a, 1));
  assert_int_not_equal(kept(p.a, 1), kept(r.a, 1));
  pruned_free(&p);
  pruned_free(&q);
  pruned_free(&r);
  p = prune("a with pattern=1:4, method=random");
  unsigned mask = kept(p.a, 1);
  for (int i = 0; i < 4; i++) assert_int_equal(bits(mask >> 4 * i & 15), 1);
  pruned_free(&p);
}

/* ---- resuming -------------------------------------------------------- */

/* Equal but for the names of values: printing names those that had none. */
static void plans_equal(const Module *a, const Module *b) {
  const Func *f = a->funcs.at[0], *g = b->funcs.at[0];
  assert_int_equal(a->dump.arena_bytes, b->dump.arena_bytes);
  assert_int_equal(f->nodes.n, g->nodes.n);
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *x = f->nodes.at[i], *y = g->nodes.at[i];
    assert_int_equal(x->op, y->op);
    assert_true(type_equal(&x->type, &y->type));
    assert_int_equal(x->type.at, y->type.at);
    assert_int_equal(!x->kernel, !y->kernel);
    assert_int_equal(!x->why, !y->why);
    if (x->kernel) assert_string_equal(x->kernel, y->kernel);
    if (x->why) assert_string_equal(x->why, y->why);
    assert_memory_equal(x->tile, y->tile, sizeof x->tile);
    if (x->param) assert_string_equal(x->param->path, y->param->path);
    for (int k = 0; k < x->nin; k++)
      if (x->in[k]) assert_int_equal(x->in[k]->id, y->in[k]->id);
  }
}

/* Load the text, or the values of `from` into the dump of it, and run. */
static Module *run_until(Diags *d, const char *text, Module *from,
                         const char *stop) {
  LoadOpts lo = {.provide = from ? param_provide : provide,
                 .provide_ctx = from};
  PipelineOpts o = {.target = &target, .opt = 2, .stop_after = stop};
  Module *m = tam_load_text(d, "<test>", text, strlen(text), &lo);
  assert_non_null(m);
  assert_true(pipeline_run(&m, &o, d));
  return m;
}

/* Stopping behind each pass, printing, reading and going on gives what a
 * run without a stop gives, the reasons of the kernels too. */
static void resumes_anywhere(void **state) {
  (void)state;
  static const char text[] =
    "model m(x: f32[1,4,6,6]) -> y: f32[1,4] {\n"
    "  h = x |> conv(4, k=3, pad=1) as a |> bn |> relu;\n"
    "  y = mean(h + (h |> conv(4, k=1) as b), [2,3]) |> linear(4) as c;\n"
    "}\n";
  Diags *d = diags_new();
  size_t n;
  const PassInfo *table = pass_table(&n);
  Module *want = run_until(d, text, NULL, NULL);
  for (size_t i = 0; i < n; i++) {
    Text dump = {0};
    Module *part = run_until(d, text, NULL, table[i].name);
    assert_string_equal(part->dump.after, table[i].name);
    module_print(&dump, part, NULL);
    Module *got = run_until(d, dump.s, part, NULL);
    plans_equal(got, want);
    module_free(part);
    module_free(got);
    text_free(&dump);
  }
  module_free(want);
  diags_free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(least_go),
    cmocka_unit_test(steps_follow),
    cmocka_unit_test(random_counts),
    cmocka_unit_test(resumes_anywhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
