/* profile.c - how long calls of artifacts take, and the steps in them. */
#include "driver/report.h"

#include <stdlib.h>
#include <time.h>

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double median(double *v, size_t n) {
  qsort(v, n, sizeof *v, by_value);
  return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

Times times_new(Arena *a, const Loaded *l, size_t runs, bool layers) {
  Times t = {.runs = runs, .total = arena_array(a, double, runs)};
  if (layers)
    t.layer = arena_array(a, double, checked_mul(runs,
                                                 l->version->n_steps + 1));
  return t;
}

/* One call, number k of t unless it is of the warm-up. */
static void call(const Loaded *l, Times *t, bool warm, size_t k) {
  const tamis_model *v = l->version;
  double begin = now_ms();
  if (!t->layer) {
    l->model->run(l->io, l->arena);
  } else {
    double last = begin;
    for (uint32_t i = 0; i < v->n_steps; i++) {
      v->steps[i].run(l->io, l->arena, v->weights);
      double end = now_ms();
      if (!warm) t->layer[i * t->runs + k] = end - last;
      last = end;
    }
  }
  if (!warm) t->total[k] = now_ms() - begin;
}

void times_measure(const Loaded *l, size_t warmup, Times *t) {
  for (size_t r = 0; r < warmup + t->runs; r++)
    call(l, t, r < warmup, r - warmup);
}

void times_interleave(const Loaded *x, Times *tx, const Loaded *y, Times *ty,
                      size_t warmup) {
  for (size_t r = 0; r < warmup + tx->runs; r++) {
    call(x, tx, r < warmup, r - warmup);
    call(y, ty, r < warmup, r - warmup);
  }
}

bool artifact_inputs(Arena *a, Diags *d, const Options *o, const Loaded *l,
                     uint64_t seed) {
  const tamis_model *m = l->model;
  const char **names = arena_array(a, const char *, m->n_inputs + 1);
  for (uint32_t i = 0; i < m->n_inputs; i++) names[i] = m->inputs[i].name;
  bool ok = bindings_check(d, "--in", o->in.at, o->in.n, names,
                           m->n_inputs);
  for (uint32_t i = 0; ok && i < m->n_inputs; i++) {
    Type t = artifact_type(l, &m->inputs[i]);
    ok = input_read(a, d, o, names[i], i, m->n_inputs, &t, &seed, l->io[i]);
  }
  return ok;
}
