/* cluster.c - the recipe's verb `cluster`: weights of at most 16 or 256
 * values, which the artifact has as indices.
 *
 *   cluster SELECTORS with centroids=16;
 *
 * requires   weights with values, as check_cluster asks
 * preserves  zeros, and which values are zeros.  Batch norms and constants
 *            are folded first (passes lower, canon, fold, bnfold), because
 *            each output would get values of its own else.  A weight that
 *            something else reads, or that is trained, stays as it is
 * before     param c.weight: f32[8,8,3,3];
 * after      param c.weight: f32[8,8,3,3] <cluster 16>;
 * source     Lloyd, 1982, from the best centroids of a histogram, found by
 *            Bellman's recursion (Wang and Song, 2011); Han et al., 2016, for
 *            weights */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/cluster.h"
#include "passes/verb.h"

/* ---- centroids ------------------------------------------------------- */

enum { BINS = 2048, LLOYD_MOST = 1000 };

/* Rising values, and what runs of them sum to: of the i first ones. */
typedef struct Runs {
  size_t n;
  const double *count, *sum, *square;
} Runs;

/* Of squares of distances from their mean, of values [i, j). */
static double scatter(const Runs *r, size_t i, size_t j) {
  double n = r->count[j] - r->count[i], s = r->sum[j] - r->sum[i];
  double all = n > 0 ? r->square[j] - r->square[i] - s * s / n : 0;
  return all > 0 ? all : 0;
}

/* best[j] is the least of some groups of the first j, before[j] that of one
 * group less; from[j] where the last of them begins, which never falls as j
 * grows. */
static void split_row(const Runs *r, const double *before, double *best,
                      uint16_t *from, size_t lo, size_t hi, size_t first,
                      size_t last) {
  if (lo > hi) return;
  size_t mid = (lo + hi) / 2, end = last < mid ? last : mid - 1;
  best[mid] = INFINITY;
  for (size_t i = first; i <= end; i++) {
    double d = before[i] + scatter(r, i, mid);
    if (d >= best[mid]) continue;
    best[mid] = d;
    from[mid] = (uint16_t)i;
  }
  if (mid > lo)
    split_row(r, before, best, from, lo, mid - 1, first, from[mid]);
  split_row(r, before, best, from, mid + 1, hi, from[mid], last);
}

/* cut[0..k] bounds the k groups of all values with the least scatter. */
static void best_cuts(Arena *a, const Runs *r, size_t k, size_t *cut) {
  size_t n = r->n;
  double *before = arena_array(a, double, n + 1);
  double *best = arena_array(a, double, n + 1);
  uint16_t *from = arena_array(a, uint16_t, (n + 1) * k);
  for (size_t j = 0; j <= n; j++) before[j] = scatter(r, 0, j);
  for (size_t g = 1; g < k; g++) {
    uint16_t *row = from + g * (n + 1);
    split_row(r, before, best, row, g + 1, n, g, n - 1);
    double *t = before;
    before = best, best = t;
  }
  cut[k] = n;
  for (size_t g = k; g > 0; g--) cut[g - 1] = from[(g - 1) * (n + 1) + cut[g]];
}

static Runs runs_new(Arena *a, const double *count, const double *sum,
                     const double *square, size_t n) {
  double *v[3];
  const double *of[] = {count, sum, square};
  for (int q = 0; q < 3; q++) {
    v[q] = arena_array(a, double, n + 1);
    for (size_t i = 0; i < n; i++) v[q][i + 1] = v[q][i] + of[q][i];
  }
  return (Runs){n, v[0], v[1], v[2]};
}

/* Each value that is there, if these are few, else bins of equal width;
 * v rises. */
static size_t bins_fill(const float *v, size_t n, double *count, double *sum,
                        double *square) {
  size_t used = 0, values = 1;
  for (size_t i = 1; i < n; i++) values += v[i] != v[i - 1];
  double width = ((double)v[n - 1] - v[0]) / BINS;
  double last = -1;
  for (size_t i = 0; i < n; i++) {
    double x = v[i], bin = values <= BINS ? x : floor((x - v[0]) / width);
    if (values > BINS && bin > BINS - 1) bin = BINS - 1;
    if (i == 0 || bin != last) count[used] = sum[used] = square[used] = 0,
                               used++;
    last = bin;
    count[used - 1] += 1;
    sum[used - 1] += x;
    square[used - 1] += x * x;
  }
  return used;
}

/* First of the rising v[n] that is nearer to b than to a. */
static size_t border(const float *v, size_t n, double a, double b) {
  double middle = (a + b) / 2;
  size_t lo = 0, hi = n;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (v[mid] <= middle) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/* Means of the groups between borders, and borders between means, in turn
 * until nothing moves. */
static void lloyd(const float *v, const Runs *all, double *c, size_t k) {
  size_t cut[257] = {0};
  bool moved = true;
  for (int turn = 0; moved && turn < LLOYD_MOST; turn++) {
    moved = turn == 0;
    cut[k] = all->n;
    for (size_t g = 1; g < k; g++) {
      size_t at = border(v, all->n, c[g - 1], c[g]);
      moved |= at != cut[g];
      cut[g] = at;
    }
    for (size_t g = 0; g < k; g++) {
      double n = (double)cut[g + 1] - (double)cut[g];
      if (n > 0) c[g] = (all->sum[cut[g + 1]] - all->sum[cut[g]]) / n;
    }
  }
}

static Runs runs_of_values(Arena *a, const float *v, size_t n) {
  double *sum = arena_array(a, double, n + 1);
  for (size_t i = 0; i < n; i++) sum[i + 1] = sum[i] + v[i];
  return (Runs){n, NULL, sum, NULL};
}

static int float_order(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

size_t centroids_find(Arena *a, float *v, size_t n, size_t k, double *c) {
  if (n == 0) return 0;
  qsort(v, n, sizeof *v, float_order);
  size_t room = n < BINS ? n : BINS;
  double *count = arena_array(a, double, room);
  double *sum = arena_array(a, double, room);
  double *square = arena_array(a, double, room);
  size_t bins = bins_fill(v, n, count, sum, square), cut[257];
  if (k > bins) k = bins;
  Runs r = runs_new(a, count, sum, square, bins);
  best_cuts(a, &r, k, cut);
  for (size_t g = 0; g < k; g++)
    c[g] = (r.sum[cut[g + 1]] - r.sum[cut[g]]) /
           (r.count[cut[g + 1]] - r.count[cut[g]]);
  Runs all = runs_of_values(a, v, n);
  lloyd(v, &all, c, k);
  return k;
}

/* ---- a weight -------------------------------------------------------- */

/* Each nonzero becomes its nearest centroid; the share of the squares that
 * is lost. */
static double values_round(const double *c, size_t k, const float *w,
                           size_t n, float *out) {
  double lost = 0, all = 0;
  for (size_t i = 0; i < n; i++) {
    size_t g = 0, hi = k - 1;
    out[i] = 0;
    if (w[i] == 0) continue;
    while (g < hi) {
      size_t mid = (g + hi) / 2;
      if (w[i] <= (c[mid] + c[mid + 1]) / 2) hi = mid;
      else g = mid + 1;
    }
    out[i] = (float)c[g] + 0.0f;
    lost += ((double)w[i] - out[i]) * ((double)w[i] - out[i]);
    all += (double)w[i] * w[i];
  }
  return all > 0 ? lost / all : 0;
}

double weight_cluster(Arena *a, const float *w, size_t n, int most,
                      float *out) {
  float *sorted = arena_array(a, float, n + 1);
  size_t nonzeros = 0;
  double c[256] = {0};
  for (size_t i = 0; i < n; i++)
    if (w[i] != 0) sorted[nonzeros++] = w[i];
  size_t k = centroids_find(a, sorted, nonzeros, (size_t)most - 1, c);
  return values_round(c, k ? k : 1, w, n, out);
}

/* ---- the verb -------------------------------------------------------- */

static const char *parse_centroids(const Attr *v, void *args) {
  *(int *)args = (int)v->i;
  return v->kind == ATTR_INT && (v->i == 16 || v->i == 256) ? NULL
                                                            : "16 or 256";
}

static bool cluster_args(PassCtx *c, const RecipeStep *s, int *most) {
  static const VerbArg rows[] = {{"centroids", parse_centroids}};
  *most = 0;
  if (!verb_args(c, s, rows, sizeof rows / sizeof *rows, most)) return false;
  return *most ||
         diag_error(c->d, EXIT_MODEL, s->span, "cluster: expected "
                    "centroids=16 or centroids=256");
}

bool check_cluster(PassCtx *c, const RecipeStep *s) {
  int most;
  return cluster_args(c, s, &most) && step_finite(c, s);
}

/* Is p read as weights alone are that kernels look up? */
typedef struct Use { const Param *p; bool weight, other; } Use;

static void use_note(void *ctx, const Param *p, const Node *n, int k) {
  Use *u = ctx;
  if (p != u->p) return;
  if (n && node_reads_weight(n, k)) u->weight = true;
  else u->other = true;
}

static const char *param_why(const PassCtx *c, const Param *p, int most) {
  Use u = {.p = p};
  for (size_t i = 0; i < c->m->funcs.n; i++)
    params_walk(c->m->funcs.at[i], use_note, &u);
  if (!u.weight) return "no convolution or linear layer reads it";
  if (u.other) return "something else reads it, too";
  if (p->type.sparse) return "it is packed";
  Param few = *p;
  few.type.stored = most == 16 ? U4 : U8;
  return param_bytes(&few) < param_bytes(p) ? NULL : "it is too small";
}

static void param_cluster(PassCtx *c, const RecipeStep *s, Param *p,
                          int most) {
  const char *why = param_why(c, p, most);
  const float *w = param_values(c->m, p);
  if (why || !w) {
    verb_note(c, s, p->path, "left as it is: %s", why ? why : "no values");
    return;
  }
  size_t n = (size_t)type_elems(&p->type);
  Arena *a = arena_new();
  Buffer *b = buffer_new(checked_mul(n, sizeof(float)));
  double lost = weight_cluster(a, w, n, most, (float *)(void *)b->data);
  arena_free(a);
  param_set_data(p, b);
  p->type.stored = most == 16 ? U4 : U8;
  param_retype(c->m, p);
  verb_note(c, s, p->path, "%lld to %lld bytes, relative error %.4g",
            (long long)type_bytes(&p->type), (long long)param_bytes(p),
            sqrt(lost));
}

bool verb_cluster(PassCtx *c, const RecipeStep *s) {
  int most;
  if (!cluster_args(c, s, &most) || !step_finite(c, s)) return false;
  if (!pass_lower(c) || !pass_canon(c) || !pass_fold(c) || !pass_bnfold(c))
    return false;
  /* The step forgets params that nothing uses any more. */
  for (size_t i = 0; i < s->params.n; i++)
    param_cluster(c, s, s->params.at[i], most);
  return true;
}
