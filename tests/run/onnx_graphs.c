/* onnx_graphs.c - random models written as ONNX files and read back:
 *   onnx_graphs [--seed=S] [--count=N]
 * The evaluator must find the same values, but for what constants that are
 * folded lose by rounding, for the models of seeds S .. S+N-1
 * (tests/gen) and for what is read of their files.  Models with ops that ONNX
 * lacks, with states or with 16-bit floats, which the reader computes in 32
 * bits, are counted and left out; most must be left. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/frontend.h"
#include "tests/gen/graphgen.h"

typedef struct Counts { uint64_t same, left, bad; } Counts;

static bool option(const char *arg, const char *name, uint64_t *to) {
  size_t n = strlen(name);
  if (strncmp(arg, name, n) != 0) return false;
  *to = strtoull(arg + n, NULL, 10);
  return true;
}

static bool has_small_floats(const Module *m) {
  for (size_t i = 0; i < m->funcs.n; i++)
    for (size_t k = 0; k < m->funcs.at[i]->nodes.n; k++) {
      Elem e = m->funcs.at[i]->nodes.at[k]->type.elem;
      if (e == F16 || e == BF16 || e == F64) return true;
    }
  return false;
}

static Tensor *evaluate(Arena *a, Diags *d, Module *m, uint64_t seed) {
  Func *f = m->funcs.at[0];
  Tensor *in = arena_array(a, Tensor, f->inputs.n + 1);
  for (size_t i = 0; i < f->inputs.n; i++)
    in[i] = graph_input_tensor(a, seed, i, &f->inputs.at[i]->type);
  EvalOpts o = {0};
  return func_eval(a, m, f, in, &o, true, d);
}

static bool near(double x, double y, double most) {
  if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
  return x == y || fabs(x - y) <= 1e-3 * most;
}

/* What was rounded otherwise may be compared or cut off otherwise. */
static bool ints_near(const Tensor *x, const Tensor *y, int64_t n) {
  int64_t other = 0;
  for (int64_t i = 0; i < n; i++) other += x->i[i] != y->i[i];
  return other <= n / 16;
}

static bool tensors_same(const Tensor *x, const Tensor *y) {
  int64_t n = type_elems(&x->type);
  double most = 1e-6;
  if (x->type.elem != y->type.elem || !type_same_shape(&x->type, &y->type))
    return false;
  if (!elem_is_float(x->type.elem))
    return ints_near(x, y, n);
  for (int64_t i = 0; i < n; i++)
    if (isfinite(y->v[i]) && fabs(y->v[i]) > most) most = fabs(y->v[i]);
  for (int64_t i = 0; i < n; i++)
    if (!near(x->v[i], y->v[i], most)) return false;
  return true;
}

static bool outputs_same(uint64_t seed, const Module *m, const Tensor *x,
                         const Module *n, const Tensor *y) {
  const Func *f = m->funcs.at[0], *g = n->funcs.at[0];
  bool ok = f->outputs.n == g->outputs.n;
  for (size_t i = 0; i < f->outputs.n && ok; i++) {
    ok = tensors_same(&x[f->outputs.at[i].node->id],
                      &y[g->outputs.at[i].node->id]);
    if (!ok)
      fprintf(stderr, "onnx_graphs: --seed=%llu: output %zu differs\n",
              (unsigned long long)seed, i);
  }
  return ok;
}

static void ids_set(Module *m) {
  for (size_t i = 0; i < m->funcs.n; i++)
    for (size_t k = 0; k < m->funcs.at[i]->nodes.n; k++)
      m->funcs.at[i]->nodes.at[k]->id = (uint32_t)k;
}

static void compare(Diags *d, const char *path, Module *m, uint64_t seed,
                    Counts *c) {
  const LoadOpts none = {0};
  Arena *a = arena_new();
  Module *n = tam_load(d, path, &none);
  if (n) {
    ids_set(m);
    ids_set(n);
    const Tensor *x = evaluate(a, d, m, seed);
    const Tensor *y = x ? evaluate(a, d, n, seed) : NULL;
    if (y && outputs_same(seed, m, x, n, y)) c->same++;
    else c->bad++;
    module_free(n);
  } else {
    fprintf(stderr, "onnx_graphs: --seed=%llu: cannot be read back\n",
            (unsigned long long)seed);
    c->bad++;
  }
  arena_free(a);
}

static void one(const char *path, uint64_t seed, Counts *c) {
  Diags *d = diags_new(), *w = diags_new();
  LoadOpts lo = {.provide = graph_provide, .provide_ctx = &seed};
  Text text = {0};
  graph_generate(&text, seed);
  Module *m = tam_load_text(d, "g.tam", text.s, text.n, &lo);
  if (!m || m->states.n || has_small_floats(m)) c->left++;
  else if (onnx_write(w, path, m)) compare(d, path, m, seed, c);
  else if (diags_exit_code(w) == EXIT_UNSUPPORTED) c->left++;
  else c->bad++, diags_print(w, stderr, false);
  diags_print(d, stderr, false);
  if (!m) c->bad++;
  module_free(m);
  text_free(&text);
  diags_free(d);
  diags_free(w);
}

int main(int argc, char **argv) {
  uint64_t seed = 1, count = 200;
  Counts c = {0};
  char dir[] = "/tmp/onnx_graphs.XXXXXX", path[64];
  for (int i = 1; i < argc; i++)
    if (!option(argv[i], "--seed=", &seed) &&
        !option(argv[i], "--count=", &count)) {
      fprintf(stderr, "onnx_graphs: expected --seed=S or --count=N, found "
              "%s\n", argv[i]);
      return EXIT_USAGE;
    }
  if (!mkdtemp(dir)) return EXIT_FILE;
  snprintf(path, sizeof path, "%s/g.onnx", dir);
  for (uint64_t s = seed; s < seed + count; s++) one(path, s, &c);
  unlink(path);
  rmdir(dir);
  printf("%llu the same, %llu left out, %llu not the same\n",
         (unsigned long long)c.same, (unsigned long long)c.left,
         (unsigned long long)c.bad);
  return c.bad || c.same < count / 2;
}
