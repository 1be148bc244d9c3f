/* graphbuild.c - a batch of random models: each through the pipeline, with
 * a round trip behind a pass, to an object; all into one .so. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/backend.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/gen/graphgen.h"
#include "tests/run/remote.h"

double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the round trip -------------------------------------------------- */

/* Go on with what the printed module reads back as; it must print the same
 * again. */
static bool round_trip(Diags *d, const char *pass, Module **m) {
  Text t = {0}, again = {0};
  module_print(&t, *m, NULL);
  LoadOpts lo = {.provide = param_provide, .provide_ctx = *m};
  Module *read = tam_load_text(d, "dump", t.s, t.n, &lo);
  if (read) module_print(&again, read, NULL);
  bool ok = read && strcmp(t.s, again.s) == 0;
  if (!ok) {
    diags_print(d, stderr, false);
    fprintf(stderr, "round trip after %s:\n%s", pass, t.s);
    if (read) fprintf(stderr, "--- became ---\n%s", again.s);
    exit(1);
  }
  text_free(&t);
  text_free(&again);
  module_free(*m);
  *m = read;
  return true;
}

/* Behind which passes: all of them, or number `at` alone. */
typedef struct Trip {
  Diags *d;
  bool on, all;
  uint64_t at, done;
} Trip;

static Trip trip_new(Diags *d, bool on, uint64_t seed) {
  uint64_t r = hash_mix(seed ^ 0x7219);
  return (Trip){.d = d, .on = on, .all = seed % 4 == 0, .at = r % 16};
}

static bool after_pass(void *ctx, const char *pass, Module **m,
                       double seconds) {
  Trip *t = ctx;
  (void)seconds;
  bool due = t->on && (t->all || t->done == t->at);
  t->done++;
  return !due || round_trip(t->d, pass, m);
}

/* ---- one model ------------------------------------------------------- */

typedef struct Builder {
  const GraphOpts *o;
  GraphStats *s;
  Arena *a;
  Diags *d;
  Target target;
  const char *dir;
} Builder;

Variant graph_variant(const GraphOpts *o, uint64_t seed) {
  uint64_t r = hash_mix(seed ^ 0x5eed) % 10;
  uint64_t w = hash_mix(seed ^ 0x16b175) % 8;
  Variant v = {.opt = r == 0 ? 0 : r == 1 ? 3 : 2, .sparsity_off = r == 2};
  v.weight_type = o->weight_type ? o->weight_type
                  : w == 0 ? F16 : w == 1 ? BF16 : 0;
  return v;
}

/* Some have all their steps in parts. */
static void options_set(const GraphOpts *o, uint64_t seed, PipelineOpts *p,
                        EmitOpts *e) {
  uint64_t r = hash_mix(seed ^ 0x5eed) % 10;
  Variant v = graph_variant(o, seed);
  p->opt = e->opt = v.opt;
  p->sparsity_off = v.sparsity_off;
  p->weight_type = v.weight_type;
  p->strips_all = hash_mix(seed ^ 0x57219) % 2 == 0;
  e->threads = r < 6 ? 0 : (int)(2 + seed % 6);
  e->cut_all = true;
}

static bool compile(Builder *b, uint64_t seed, bool trip, const char *out) {
  Text text = {0};
  graph_generate(&text, seed);
  LoadOpts lo = {.provide = graph_provide, .provide_ctx = &seed};
  char *name = arena_printf(b->a, "g%llu", (unsigned long long)seed);
  double t0 = seconds_now();
  progress(seed, "loading");
  Module *m = tam_load_text(b->d, name, text.s, text.n, &lo);
  double t1 = seconds_now(), t2 = t1;
  bool ok = m != NULL;
  Trip round = trip_new(b->d, trip, seed);
  PipelineOpts p = {.target = &b->target, .after = after_pass,
                    .ctx = &round};
  EmitOpts e = {.target = &b->target, .kind = EMIT_OBJ, .out = out,
                .prefix = name};
  options_set(b->o, seed, &p, &e);
  progress(seed, "in the passes");
  if (ok) {
    ok = pipeline_run(&m, &p, b->d);
    t2 = seconds_now();
  }
  progress(seed, "in the backend");
  if (ok) {
    EmitInfo info = {0};
    ok = backend_emit(m, &e, &info, b->d);
  }
  b->s->load += t1 - t0, b->s->passes += t2 - t1;
  b->s->emit += seconds_now() - t2;
  if (!ok) {
    diags_print(b->d, stderr, false);
    fprintf(stderr, "random_graphs: --seed=%llu does not compile:\n%s",
            (unsigned long long)seed, text.s);
  }
  if (m) module_free(m);
  text_free(&text);
  return ok;
}

/* The artifact must not depend on the round trip. */
static bool same_files(const char *a, const char *b) {
  Diags *d = diags_new();
  Buffer *x = buffer_map(d, a), *y = buffer_map(d, b);
  bool same = x && y && x->size == y->size &&
              memcmp(x->data, y->data, x->size) == 0;
  buffer_unref(x);
  buffer_unref(y);
  diags_free(d);
  return same;
}

static bool build_one(Builder *b, uint64_t seed) {
  char *obj = arena_printf(b->a, "%s/g%llu.o", b->dir,
                           (unsigned long long)seed);
  if (!compile(b, seed, true, obj)) return false;
  if (seed % 16 != 0) return true;
  char *plain = arena_printf(b->a, "%s/plain.o", b->dir);
  bool ok = compile(b, seed, false, plain);
  if (ok && !same_files(obj, plain)) {
    fprintf(stderr, "random_graphs: --seed=%llu: the object's bytes change "
            "with the round trip\n", (unsigned long long)seed);
    ok = false;
  }
  unlink(plain);
  return ok;
}

/* ---- a batch --------------------------------------------------------- */

static char *link_batch(Builder *b, const bool *built, uint64_t seed,
                        uint64_t n) {
  char *so = arena_printf(b->a, "%s/batch.so", b->dir);
  const char *cc = getenv("CC");
  Text cmd = {0};
  double t = seconds_now();
  if (b->o->target) cc = arena_printf(b->a, "%s-gcc", b->target.triple);
  text_printf(&cmd, "cd %s && %s -shared -o batch.so", b->dir,
              cc && *cc ? cc : "cc");
  for (uint64_t i = 0; i < n; i++)
    if (built[i])
      text_printf(&cmd, " g%llu.o", (unsigned long long)(seed + i));
  text_puts(&cmd, " -lm");
  progress(seed, "linking");
  if (system(cmd.s) != 0) {
    fprintf(stderr, "random_graphs: failed: %s\n", cmd.s);
    so = NULL;
  }
  text_free(&cmd);
  b->s->link += seconds_now() - t;
  return so;
}

static bool run_batch(Builder *b, const char *so, const bool *built,
                      uint64_t seed, uint64_t n) {
  void *handle = dlopen(so, RTLD_NOW | RTLD_LOCAL);
  bool ok = true;
  if (!handle) {
    fprintf(stderr, "random_graphs: %s\n", dlerror());
    return false;
  }
  for (uint64_t i = 0; i < n; i++) {
    if (!built[i]) continue;
    char name[64];
    snprintf(name, sizeof name, "g%llu_model",
             (unsigned long long)(seed + i));
    const tamis_model *model = dlsym(handle, name);
    if (!model) fprintf(stderr, "random_graphs: no symbol %s\n", name);
    ok = model && graph_check(b->o, seed + i, model, NULL, b->s) && ok;
  }
  dlclose(handle);
  return ok;
}

/* The same by the runner, until one fails. */
static bool run_remote(Builder *b, const char *so, const bool *built,
                       uint64_t seed, uint64_t n) {
  Remote *r = remote_open(b->a, b->o->runner, so);
  bool ok = true;
  for (uint64_t i = 0; ok && i < n; i++)
    if (built[i]) ok = graph_check(b->o, seed + i, NULL, r, b->s);
  return remote_close(r) && ok;
}

bool batch_check(const GraphOpts *o, uint64_t seed, uint64_t n,
                 GraphStats *s) {
  char dir[] = "/tmp/tamis-graphs-XXXXXX";
  ensure(mkdtemp(dir));
  Builder b = {.o = o, .s = s, .a = arena_new(), .d = diags_new(),
               .dir = dir};
  bool ok = target_resolve(b.a, b.d, o->target, o->cpu, NULL, &b.target);
  if (!ok) diags_print(b.d, stderr, false);
  bool *built = arena_array(b.a, bool, (size_t)n), any = false;
  for (uint64_t i = 0; ok && i < n; i++) {
    built[i] = build_one(&b, seed + i);
    any = any || built[i];
    diags_free(b.d);
    b.d = diags_new();
  }
  for (uint64_t i = 0; i < n; i++) ok = ok && built[i];
  char *so = any ? link_batch(&b, built, seed, n) : NULL;
  bool (*run)(Builder *, const char *, const bool *, uint64_t, uint64_t) =
      o->runner ? run_remote : run_batch;
  ok = so && run(&b, so, built, seed, n) && ok;
  if (o->keep) {
    fprintf(stderr, "random_graphs: kept %s\n", dir);
  } else {
    char *rm = arena_printf(b.a, "rm -rf %s", dir);
    ok = system(rm) == 0 && ok;
  }
  diags_free(b.d);
  arena_free(b.a);
  return ok;
}
