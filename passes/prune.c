/* prune.c - the recipe's verb `prune`: zeros where least is lost.
 *
 *   prune SELECTORS with sparsity=0.9, pattern=4x1, method=magnitude,
 *                        scope=uniform, seed=0;
 *
 * A weight is the matrix [dim 0, product of the others].  It is cut into
 * units: single values, blocks of R rows by C columns, or (N:M) runs of M
 * columns of which N values stay.  The units with the least score go; the
 * score is the sum of absolute values (Han et al., 2015; for blocks
 * Narang et al., 2017; N:M as Mishra et al., 2021), or with method=random
 * a draw.  Counts are exact: round(sparsity * units), ties by position. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"

typedef struct Prune {
  Pattern pattern;
  double sparsity;
  bool random, global;
  int64_t seed;
} Prune;

/* One unit of a param: `index` counts row-major over the grid of units. */
typedef struct Unit {
  double score;
  int64_t param, index;
} Unit;

/* ---- arguments ------------------------------------------------------ */

static bool pattern_parse(const Attr *v, Pattern *p)
{
  char sep, rest;
  *p = (Pattern){PATTERN_UNSTRUCTURED, 1, 1};
  if (v->kind != ATTR_STR) return false;
  if (strcmp(v->s, "unstructured") == 0) return true;
  if (sscanf(v->s, "%d%c%d%c", &p->a, &sep, &p->b, &rest) != 3) return false;
  if (sep == 'x') p->kind = PATTERN_BLOCK;
  else if (sep == ':') p->kind = PATTERN_NM;
  else return false;
  if (p->a < 1 || p->b < 1) return false;
  return p->kind == PATTERN_BLOCK || p->a <= p->b;
}

/* One of two words. */
static bool word_parse(const Attr *v, const char *no, const char *yes,
                       bool *out)
{
  if (v->kind != ATTR_STR) return false;
  *out = strcmp(v->s, yes) == 0;
  return *out || strcmp(v->s, no) == 0;
}

static bool sparsity_parse(const Attr *v, double *out)
{
  if (v->kind == ATTR_FLOAT) *out = v->f;
  else if (v->kind == ATTR_INT) *out = (double)v->i;
  else return false;
  return *out >= 0 && *out <= 1;
}

/* NULL when the argument is right, else what was expected. */
static const char *arg_parse(const RecipeArg *a, Prune *p)
{
  const Attr *v = &a->value;
  if (strcmp(a->name, "sparsity") == 0)
    return sparsity_parse(v, &p->sparsity) ? NULL : "a number from 0 to 1";
  if (strcmp(a->name, "pattern") == 0)
    return pattern_parse(v, &p->pattern)
             ? NULL : "unstructured, a block as 4x1 or N:M as 2:4";
  if (strcmp(a->name, "method") == 0)
    return word_parse(v, "magnitude", "random", &p->random)
             ? NULL : "magnitude or random";
  if (strcmp(a->name, "scope") == 0)
    return word_parse(v, "uniform", "global", &p->global)
             ? NULL : "uniform or global";
  if (v->kind != ATTR_INT) return "a whole number";
  p->seed = v->i;
  return NULL;
}

static bool args_parse(PassCtx *c, const RecipeStep *s, Prune *p)
{
  static const char *const names[] = {
    "sparsity", "pattern", "method", "scope", "seed"
  };
  const size_t n = sizeof names / sizeof *names;
  bool ok = true;
  *p = (Prune){.pattern = {PATTERN_UNSTRUCTURED, 1, 1}, .sparsity = -1};
  for (size_t i = 0; i < s->args.n; i++) {
    const RecipeArg *a = &s->args.at[i];
    size_t k = 0;
    while (k < n && strcmp(names[k], a->name) != 0) k++;
    const char *expected = k < n ? arg_parse(a, p) : NULL;
    if (k < n && !expected) continue;
    ok = false;
    if (expected) {
      diag_error(c->d, EXIT_MODEL, s->span, "prune: %s must be %s", a->name,
                 expected);
      continue;
    }
    diag_error(c->d, EXIT_MODEL, s->span, "prune: no argument '%s'", a->name);
    const char *near = nearest_name(a->name, names, n);
    if (near) diag_note(c->d, s->span, "did you mean '%s'?", near);
  }
  if (!ok) return false;
  bool nm = p->pattern.kind == PATTERN_NM;
  if (nm && p->sparsity >= 0)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: pattern %d:%d sets the sparsity itself",
                      p->pattern.a, p->pattern.b);
  if (nm && p->global)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: scope=global has no meaning with %d:%d",
                      p->pattern.a, p->pattern.b);
  if (!nm && p->sparsity < 0)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: sparsity=0.0 to 1.0 is missing");
  return true;
}

/* ---- units ---------------------------------------------------------- */

static int64_t rows_of(const Param *p)
{
  return p->type.rank ? p->type.dim[0] : 1;
}

static int64_t cols_of(const Param *p)
{
  int64_t rows = rows_of(p);
  return rows ? type_elems(&p->type) / rows : 0;
}

/* Rows and columns of a unit; an N:M run is a unit of 1 x M here. */
static void unit_size(const Pattern *t, int64_t *r, int64_t *c)
{
  *r = t->kind == PATTERN_BLOCK ? t->a : 1;
  *c = t->kind == PATTERN_UNSTRUCTURED ? 1 : t->b;
}

static bool param_fits(PassCtx *c, const RecipeStep *s, const Param *p,
                       const Pattern *t)
{
  int64_t r, w;
  unit_size(t, &r, &w);
  if (!param_values(c->m, p))
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: %s has no values to look at", p->path);
  if (rows_of(p) % r == 0 && cols_of(p) % w == 0) return true;
  char sep = t->kind == PATTERN_NM ? ':' : 'x';
  return diag_error(
    c->d, EXIT_MODEL, s->span,
    "prune: pattern %d%c%d does not divide %s: expected multiples of %lld "
    "rows and %lld columns, found %lld and %lld",
    t->a, sep, t->b, p->path, (long long)r, (long long)w,
    (long long)rows_of(p), (long long)cols_of(p));
}

static double unit_score(const Prune *o, const Param *p, const float *v,
                         int64_t r, int64_t w, int64_t index)
{
  if (o->random) return random_unit(p->path, o->seed, index);
  int64_t cols = cols_of(p), across = cols / w;
  const float *at = v + index / across * r * cols + index % across * w;
  double sum = 0;
  for (int64_t i = 0; i < r; i++)
    for (int64_t k = 0; k < w; k++) sum += fabs(at[i * cols + k]);
  return sum;
}

static void unit_clear(const Prune *o, const Param *p, float *v,
                       int64_t index)
{
  int64_t r, w;
  unit_size(&o->pattern, &r, &w);
  int64_t cols = cols_of(p), across = cols / w;
  float *at = v + index / across * r * cols + index % across * w;
  for (int64_t i = 0; i < r; i++)
    memset(at + i * cols, 0, w * sizeof *at);
}

static int unit_compare(const void *a, const void *b)
{
  const Unit *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? -1 : 1;
  if (x->param != y->param) return x->param < y->param ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

/* ---- carrying it out ------------------------------------------------ */

/* A copy of the values that may be written. */
static float *param_copy(PassCtx *c, const Param *p, Buffer **b)
{
  size_t bytes = checked_mul(type_elems(&p->type), sizeof(float));
  *b = buffer_new(bytes);
  if (bytes) memcpy((*b)->data, param_values(c->m, p), bytes);
  return (float *)(*b)->data;
}

/* Drop the least of the units of params [lo, hi) of the step. */
static void prune_units(PassCtx *c, const RecipeStep *s, const Prune *o,
                        Buffer **to, size_t lo, size_t hi)
{
  int64_t r, w;
  unit_size(&o->pattern, &r, &w);
  Vec(Unit) units = {0};
  for (size_t i = lo; i < hi; i++) {
    const Param *p = s->params.at[i];
    const float *v = (const float *)to[i]->data;
    int64_t n = type_elems(&p->type) / (r * w);
    for (int64_t k = 0; k < n; k++) {
      Unit u = {unit_score(o, p, v, r, w, k), (int64_t)i, k};
      vec_push(c->scratch, &units, u);
    }
  }
  if (!units.n) return;
  qsort(units.at, units.n, sizeof *units.at, unit_compare);
  int64_t drop = llround(o->sparsity * (double)units.n);
  for (int64_t k = 0; k < drop; k++) {
    const Unit *u = &units.at[k];
    const Param *p = s->params.at[u->param];
    unit_clear(o, p, (float *)to[u->param]->data, u->index);
  }
}

/* Keep a of each b values along the columns. */
static void prune_nm(PassCtx *c, const Param *p, const Prune *o, float *v)
{
  int keep = o->pattern.a, of = o->pattern.b;
  int64_t runs = type_elems(&p->type) / of;
  Unit *u = arena_array(c->scratch, Unit, of);
  for (int64_t i = 0; i < runs; i++) {
    for (int k = 0; k < of; k++) {
      int64_t at = i * of + k;
      double score = o->random ? random_unit(p->path, o->seed, at)
                               : fabs(v[at]);
      u[k] = (Unit){score, 0, at};
    }
    qsort(u, of, sizeof *u, unit_compare);
    for (int k = 0; k < of - keep; k++) v[u[k].index] = 0;
  }
}

bool verb_prune(PassCtx *c, const RecipeStep *s)
{
  Prune o;
  bool ok = args_parse(c, s, &o);
  for (size_t i = 0; ok && i < s->params.n; i++)
    if (!param_fits(c, s, s->params.at[i], &o.pattern)) ok = false;
  if (!ok) return false;
  size_t n = s->params.n;
  Buffer **to = arena_array(c->scratch, Buffer *, n ? n : 1);
  for (size_t i = 0; i < n; i++) {
    float *v = param_copy(c, s->params.at[i], &to[i]);
    if (o.pattern.kind == PATTERN_NM) prune_nm(c, s->params.at[i], &o, v);
    else if (!o.global) prune_units(c, s, &o, to, i, i + 1);
  }
  if (o.pattern.kind != PATTERN_NM && o.global)
    prune_units(c, s, &o, to, 0, n);
  for (size_t i = 0; i < n; i++) {
    s->params.at[i]->type.elem = F32;
    param_set_data(s->params.at[i], to[i]);
  }
  return true;
}
