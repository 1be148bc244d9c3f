/* calibrated_share.c - scope=global of method=obs: how much of each weight
 * goes.  What is lost of a weight's outputs is worked out for some shares of
 * its units; the sum over all weights of the lost part of their outputs is
 * then made least: units go step by step along the convex hull of each curve,
 * where the next ones cost least. */
#include <math.h>

#include "passes/calibrated.h"

/* A weight on its way: corners of the hull, ascending, and the next. */
typedef struct Way {
  double units;
  int n, at;
  double share[CURVE], lost[CURVE];
} Way;

static double units_of(const Calibrated *o, const Param *p) {
  const Pattern *t = &o->pattern;
  int64_t each = t->kind == PATTERN_BLOCK ? (int64_t)t->a * t->b : 1;
  return (double)(type_elems(&p->type) / each);
}

/* Units that cost so much each from corner i to corner k. */
static double slope(const Way *w, int i, int k) {
  return (w->lost[k] - w->lost[i]) /
         ((w->share[k] - w->share[i]) * w->units);
}

static void hull(Way *w, const Curve *c) {
  for (int i = 0; i < CURVE; i++) {
    w->share[w->n] = c->share[i];
    w->lost[w->n] = c->energy > 0 ? c->lost[i] / c->energy : 0;
    while (w->n >= 2 &&
           slope(w, w->n - 2, w->n - 1) >= slope(w, w->n - 1, w->n)) {
      w->share[w->n - 1] = w->share[w->n];
      w->lost[w->n - 1] = w->lost[w->n];
      w->n--;
    }
    w->n++;
  }
}

/* w H w' of a row, with the upper triangle of H. */
static double row_energy(const double *gram, const float *w, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    double line = gram[i * n + i] * w[i];
    for (int64_t k = i + 1; k < n; k++) line += 2 * gram[i * n + k] * w[k];
    sum += line * w[i];
  }
  return sum;
}

/* What all rows give, and what of it is lost. */
static bool curve_fill(const Calibrated *o, const WeightStats *s, Matrix x,
                       Curve *c) {
  for (size_t i = 0; i < s->inputs.n; i++)
    for (int64_t r = s->inputs.at[i].lo; r < s->inputs.at[i].hi; r++)
      c->energy += row_energy(s->inputs.at[i].gram, x.v + r * x.cols, x.cols);
  if (obs_is_exact(o, s)) return exact_curve(o, s, x, c);
  bool ok = true;
  for (size_t i = 0; ok && i < s->inputs.n; i++) {
    Arena *a = arena_new();
    ok = obs_curve(a, o, &s->inputs.at[i], x, c);
    arena_free(a);
  }
  return ok;
}

/* From nothing to all; shares whose rest is 3/4 of that before. */
static bool way_make(Module *m, const Calibrated *o, const WeightStats *s,
                     Way *w) {
  Curve c = {0};
  double rest = 1;
  Matrix x;
  Buffer *b = matrix_values(m, s, &x);
  for (int i = 0; i < CURVE; i++, rest *= 0.75)
    c.share[i] = i == CURVE - 1 ? 1 : 1 - rest;
  bool ok = curve_fill(o, s, x, &c);
  buffer_unref(b);
  if (!ok) return false;
  *w = (Way){.units = units_of(o, s->param)};
  hull(w, &c);
  return true;
}

/* The way whose next units cost least, NULL: all are at their end. */
static Way *cheapest(Way *w, size_t n) {
  Way *best = NULL;
  double least = INFINITY;
  for (size_t i = 0; i < n; i++) {
    if (w[i].at + 1 >= w[i].n || w[i].units == 0) continue;
    double s = slope(&w[i], w[i].at, w[i].at + 1);
    if (best && s >= least) continue;
    best = &w[i];
    least = s;
  }
  return best;
}

/* Let so many units go; the last step is part of one. */
static void ways_go(Way *w, size_t n, double drop) {
  for (Way *x; drop > 0 && (x = cheapest(w, n)) != NULL;) {
    double units = (x->share[x->at + 1] - x->share[x->at]) * x->units;
    if (units > drop) {
      x->share[x->at] += drop / x->units;
      return;
    }
    drop -= units;
    x->at++;
  }
}

/* Whole units, which add up to those that are asked for. */
static void counts_round(const Way *w, size_t n, double *share) {
  double sum = 0;
  int64_t before = 0;
  for (size_t i = 0; i < n; i++) {
    sum += w[i].share[w[i].at] * w[i].units;
    int64_t count = llround(sum) - before;
    before += count;
    share[i] = w[i].units > 0 ? (double)count / w[i].units : 0;
  }
}

bool global_shares(Arena *a, Module *m, const Calibrated *o,
                   const WeightStats *s, size_t n, double *share,
                   size_t *failed) {
  Way *w = arena_array(a, Way, n + 1);
  double all = 0;
  for (size_t i = 0; i < n; i++) {
    *failed = i;
    if (!way_make(m, o, &s[i], &w[i])) return false;
    all += w[i].units;
  }
  ways_go(w, n, o->sparsity * all);
  counts_round(w, n, share);
  return true;
}
