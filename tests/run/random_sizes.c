/* random_sizes.c - random models with free dimensions, built once each and called at
 * sizes from 1 to the bounds, against the reference evaluator on the model
 * that is made for these sizes:
 *   random_sizes [--seed=S] [--count=N] [--cpu=NAME] [--every] [-v]
 * --every: at all sizes, else at some.  Buffers and arena end where memory
 * ends, and hold NaN. */
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/run/errorbound.h"
#include "tests/run/random_graphs.h"
#include "tests/run/random_sizes.h"

void progress(uint64_t seed, const char *what) { (void)seed, (void)what; }

typedef struct Tests {
  uint64_t seed, count;
  const char *cpu;
  bool every, verbose;
  Arena *a;
  Target target;
  char *dir;
  uint64_t calls, refused;
} Tests;

/* ---- one model -------------------------------------------------------- */

static Module *load(const Text *t, const FreeDims *f, const int64_t *at,
                    Diags *d) {
  DimArg dims[FREE_MOST];
  LoadOpts o = {.random_weights = true, .seed = 7, .dims = dims};
  for (int i = 0; f && i < f->n; i++)
    dims[o.ndims++] = (DimArg){f->dim[i].name, at[i], 0};
  return tam_load_text(d, "sizes", t->s, t->n, &o);
}

static bool roundtrip(void *ctx, const char *pass, Module **m, double s) {
  Text t = {0}, again = {0};
  (void)s;
  module_print(&t, *m, NULL);
  LoadOpts lo = {.provide = param_provide, .provide_ctx = *m};
  Module *read = tam_load_text(ctx, "dump", t.s, t.n, &lo);
  if (read) module_print(&again, read, NULL);
  bool same = read && !strcmp(t.s, again.s);
  if (!same) {
    diags_print(ctx, stderr, false);
    fprintf(stderr, "behind %s the text\n%s--- became ---\n%s", pass, t.s,
            read ? again.s : "");
    exit(1);
  }
  text_free(&t);
  text_free(&again);
  module_free(*m);
  *m = read;
  return true;
}

/* The shared object of a model; NULL: an error, which may be that an op
 * cannot be computed at all sizes. */
static char *build(Tests *c, uint64_t seed, Module **m, Diags *d) {
  char *so = arena_printf(c->a, "%s/m%llu.so", c->dir,
                          (unsigned long long)seed);
  int opt = seed % 7 == 0 ? 0 : 2;
  PipelineOpts p = {.target = &c->target, .opt = opt};
  EmitOpts e = {.target = &c->target, .kind = EMIT_SO, .out = so,
                .prefix = "m", .opt = opt};
  EmitInfo info = {0};
  if (seed % 5 == 0) p.after = roundtrip, p.ctx = d;
  e.threads = seed % 3 == 0 ? 4 : 0;
  e.cut_all = true;
  return pipeline_run(m, &p, d) && backend_emit(*m, &e, &info, d) ? so : NULL;
}

/* Parts may come in any order. */
static void pool_run(void *ctx, void (*task)(void *, size_t), void *arg,
                     size_t n) {
  (void)ctx;
  for (size_t i = n; i-- > 0;) task(arg, i);
}

static int64_t bytes_of(const Type *t) { return type_rows_bytes(t); }

static bool output_ok(const Bounded *r, const void *y) {
  int64_t n = type_elems(&r->type);
  for (int64_t i = 0; i < n; i++) {
    double v = elem_load(r->type.elem, y, (size_t)i);
    if (isinf(r->e[i]) || v == r->v[i]) continue;
    if (fabs(v - r->v[i]) <= r->e[i]) continue;
    fprintf(stderr, "  [%lld] is %.9g, expected %.9g within %.3g\n",
            (long long)i, v, r->v[i], r->e[i]);
    return false;
  }
  return true;
}

/* One call at sizes `at`. */
static bool call(Tests *c, const Text *text, const tamis_model *built,
                 const FreeDims *f, const int64_t *at, Diags *d) {
  Arena *a = arena_new();
  Module *m = load(text, f, at, d);
  if (!m) {
    arena_free(a);
    return false;
  }
  static tamis_pool pool = {pool_run, NULL};
  Func *fn = m->funcs.at[0];
  size_t nin = fn->inputs.n, n = nin + fn->outputs.n;
  Fence *b = arena_array(a, Fence, n + 1);
  void **io = arena_array(a, void *, n + 3);
  Tensor *in = arena_array(a, Tensor, nin + 1);
  for (size_t i = 0; i < n; i++) {
    const Type *t = i < nin ? &fn->inputs.at[i]->type
                            : &fn->outputs.at[i - nin].node->type;
    b[i] = fence_new((size_t)bytes_of(t));
    io[i] = b[i].at;
    if (i >= nin) continue;
    for (int64_t k = 0; k < type_elems(t); k++)
      elem_store(t->elem, io[i], (size_t)k,
                 2 * random_unit(fn->inputs.at[i]->name, 3, (uint64_t)k) - 1);
    in[i] = tensor_new(a, t);
    tensor_read(&in[i], io[i]);
  }
  io[n] = (void *)at;
  io[n + 1] = built->threads ? &pool : NULL;
  Fence arena = fence_new(built->arena_bytes);
  int code = built->run(io, arena.at);
  bool ok = code == TAMIS_OK && fence_intact(&arena);
  for (size_t i = 0; i < n; i++) ok &= fence_intact(&b[i]);
  if (!ok) fprintf(stderr, "  gives %d, or writes in front of memory\n", code);
  const Bounded *all = bound_eval(a, m, fn, in, NULL, NULL, d);
  for (size_t i = 0; ok && i < fn->outputs.n; i++)
    ok = output_ok(&all[fn->outputs.at[i].node->id], io[nin + i]);
  c->calls++;
  for (size_t i = 0; i < n; i++) fence_free(&b[i]);
  fence_free(&arena);
  module_free(m);
  arena_free(a);
  return ok;
}

static bool calls(Tests *c, uint64_t seed, const Text *text,
                  const tamis_model *built, const FreeDims *f, Diags *d) {
  int64_t at[FREE_MOST] = {0}, step = c->every ? 1 : 3;
  int64_t last = f->n > 1 ? f->dim[1].most : 1;
  for (at[0] = 1; at[0] <= f->dim[0].most; at[0]++)
    for (at[1] = 1; at[1] <= last;
         at[1] += at[1] + step > last && at[1] < last ? last - at[1] : step) {
      if (call(c, text, built, f, at, d)) continue;
      fprintf(stderr, "random_sizes: --seed=%llu fails with %lld, %lld\n%s",
              (unsigned long long)seed, (long long)at[0], (long long)at[1],
              text->s);
      diags_print(d, stderr, false);
      return false;
    }
  /* What is out of its range is refused. */
  void *io[16] = {0};
  for (int i = 0; i < 16; i++) io[i] = io;
  for (int k = 0; k < 2 * f->n; k++) {
    for (int i = 0; i < f->n; i++) at[i] = f->dim[i].most;
    at[k / 2] = k % 2 ? f->dim[k / 2].most + 1 : 0;
    io[built->n_inputs + built->n_outputs] = at;
    void *arena = aligned_alloc(64, built->arena_bytes + 64);
    int code = built->run(io, arena);
    free(arena);
    if (code == TAMIS_ERR_DIM) continue;
    fprintf(stderr, "random_sizes: --seed=%llu takes a size out of its range\n",
            (unsigned long long)seed);
    return false;
  }
  return true;
}

static bool model_check(Tests *c, uint64_t seed) {
  Text text = {0};
  Diags *d = diags_new();
  sizes_generate(&text, seed);
  if (c->verbose) fputs(text.s, stderr);
  Module *m = load(&text, NULL, NULL, d);
  char *so = m ? build(c, seed, &m, d) : NULL;
  bool ok = so != NULL;
  if (!ok && m && diags_exit_code(d) == EXIT_UNSUPPORTED) {
    c->refused++;
    ok = true;
    if (c->verbose) diags_print(d, stderr, false);
  } else if (!ok) {
    fprintf(stderr, "random_sizes: --seed=%llu does not compile\n%s",
            (unsigned long long)seed, text.s);
    diags_print(d, stderr, false);
  }
  void *handle = so ? dlopen(so, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (so) {
    const tamis_model *built = dlsym(handle, "m_model");
    ok = calls(c, seed, &text, built, m->free, d);
    dlclose(handle);
    unlink(so);
  }
  if (m) module_free(m);
  diags_free(d);
  text_free(&text);
  return ok;
}

/* ---- all --------------------------------------------------------------- */

static bool number(const char *arg, const char *name, uint64_t *to) {
  size_t n = strlen(name);
  if (strncmp(arg, name, n)) return false;
  *to = strtoull(arg + n, NULL, 10);
  return true;
}

int main(int argc, char **argv) {
  Tests c = {.seed = 1, .count = 40, .a = arena_new()};
  char dir[] = "/tmp/tamis-sizes-XXXXXX";
  for (int i = 1; i < argc; i++) {
    if (number(argv[i], "--seed=", &c.seed) ||
        number(argv[i], "--count=", &c.count))
      continue;
    if (!strncmp(argv[i], "--cpu=", 6)) c.cpu = argv[i] + 6;
    else if (!strcmp(argv[i], "--every")) c.every = true;
    else if (!strcmp(argv[i], "-v")) c.verbose = true;
    else return EXIT_USAGE;
  }
  ensure(mkdtemp(dir));
  c.dir = dir;
  Diags *d = diags_new();
  bool ok = target_resolve(c.a, d, NULL, c.cpu, NULL, &c.target);
  if (!ok) diags_print(d, stderr, false);
  for (uint64_t i = 0; ok && i < c.count; i++)
    ok = model_check(&c, c.seed + i);
  char *rm = arena_printf(c.a, "rm -rf %s", dir);
  ok = system(rm) == 0 && ok;
  printf("%llu models, %llu of them refused, %llu calls\n",
         (unsigned long long)c.count, (unsigned long long)c.refused,
         (unsigned long long)c.calls);
  diags_free(d);
  arena_free(c.a);
  return ok ? 0 : 1;
}
