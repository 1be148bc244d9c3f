/* obs_channels.c - method=obs with pattern=channel: channels go whose columns
 * the layers that read them miss least, and the other columns change to make
 * up for it.
 *
 * Of a weight with the damped Gram matrix H of what it reads, clearing the
 * columns P costs the sum over rows w of w[P] inv(inv(H)[P][P]) w[P]', the
 * best change of the others is -w[P] inv(inv(H)[P][P]) inv(H)[P], and what
 * is left of inv(H) loses inv(H)[.][P] inv(inv(H)[P][P]) inv(H)[P].  One
 * channel goes after the other, each time the one with the least cost, as a
 * share of the outputs, over all layers that read it.
 *
 * before   w 1 1, columns of two channels that are the same
 * after    w 0 2, and the rows that gave the first are zero
 * source   E. Kurtic, E. Frantar, D. Alistarh: ZipLM, 2023, section 3.1; here
 *          for coupling groups (coupled.c) */
#include <float.h>
#include <math.h>
#include <string.h>

#include "passes/calibrated.h"
#include "passes/prune.h"

/* Rows of a weight that read the same columns. */
typedef struct Reader {
  PruneWeight *w;
  const InputStats *in;
  int64_t rows, cols;
  double *inv, *v;       /* [cols][cols]; [rows][cols], as changed so far */
  double energy;         /* of its outputs squared */
  double *squares;       /* no unit has more than one column: the sum over
                            rows of v squared, by column; else NULL.  Of inv
                            the upper triangle alone is then kept */
} Reader;

typedef struct Channels {
  PruneStep s;
  const Calibrated *o;
  WeightStats *stats;    /* of weights that read channels */
  size_t nstats;
  Vec(Reader) readers;
  bool **gone;           /* by group and unit */
  double **loss;
} Channels;

/* ---- what there is --------------------------------------------------- */

/* Bytes of all Gram matrices and inverses. */
static const double room_most = 6e9;

static bool stats_known(const Channels *x, const Param *p) {
  for (size_t i = 0; i < x->nstats; i++)
    if (x->stats[i].param == p) return true;
  return false;
}

static bool stats_add(Channels *x, const Part *p) {
  PruneStep *s = &x->s;
  Text why = {0};
  if (!p->reads || stats_known(x, p->w->p)) return true;
  bool ok = weight_stats(s->arena, s->c->m, p->w->p,
                         &x->stats[x->nstats++], &why);
  if (!ok)
    diag_error(s->c->d, EXIT_MODEL, s->s->span, "prune: method=obs: %s reads "
               "the channels: %s", p->w->p->path, why.s);
  text_free(&why);
  return ok;
}

static bool room_fits(const Channels *x) {
  double sum = 0;
  for (size_t i = 0; i < x->nstats; i++)
    for (size_t k = 0; k < x->stats[i].inputs.n; k++) {
      double n = (double)x->stats[i].inputs.at[k].cols;
      sum += 16 * n * n;
    }
  return sum <= room_most ||
         diag_error(x->s.c->d, EXIT_MODEL, x->s.s->span,
                    "prune: method=obs would take %.1f GB for products of "
                    "columns: expected %.1f at most; take fewer layers in a "
                    "step", sum / 1e9, room_most / 1e9);
}

static bool weights_finite(const Channels *x) {
  bool ok = true;
  for (size_t i = 0; i < x->s.weights.n; i++) {
    const PruneWeight *w = x->s.weights.at[i];
    for (int64_t k = 0; ok && k < w->rows * w->cols; k++)
      if (!w->old || !isfinite(w->old[k]))
        ok = diag_error(x->s.c->d, EXIT_MODEL, x->s.s->span,
                        "prune: %s: expected finite values", w->p->path);
  }
  return ok;
}

static bool channels_open(Channels *x, PassCtx *c, const RecipeStep *step,
                          const Calibrated *o) {
  PruneStep *s = &x->s;
  *x = (Channels){.o = o,
                  .s = {.arena = arena_new(), .c = c, .s = step}};
  s->a.pattern = o->pattern;
  s->a.whole = true;
  if (!c->calibrate)
    return diag_error(c->d, EXIT_UNSUPPORTED, step->span, "prune: "
                      "method=obs: nothing here runs the model on data");
  for (size_t i = 0; i < step->params.n; i++)
    prune_weight(s, step->params.at[i])->selected = true;
  s->nselected = s->weights.n;
  bool ok = weights_finite(x) && coupled_groups(s) && weights_finite(x);
  x->stats = arena_array(s->arena, WeightStats, s->weights.n + 1);
  for (size_t i = 0; ok && i < s->groups.n; i++)
    for (size_t k = 0; ok && k < s->groups.at[i].parts.n; k++)
      ok = stats_add(x, &s->groups.at[i].parts.at[k]);
  return ok && room_fits(x);
}

bool check_channels(PassCtx *c, const RecipeStep *step, const Calibrated *o) {
  Channels x;
  bool ok = channels_open(&x, c, step, o) &&
            c->calibrate->check(c->calibrate->ctx, c->m, &o->data);
  arena_free(x.s.arena);
  return ok;
}

/* ---- readers --------------------------------------------------------- */

/* Where a weight has a value of a reader's v. */
static int64_t value_at(const Reader *r, int64_t row, int64_t col) {
  return (r->in->lo + row) * r->w->row_step + col * r->w->col_step;
}

/* The sum of w H w' over all rows. */
static double outputs_energy(Arena *a, const Reader *r, const double *h) {
  size_t n = checked_mul((size_t)r->rows, (size_t)r->cols);
  double *t = arena_array(a, double, n + 1), sum = 0;
  product_subtract(t, r->cols, r->v, r->cols, h, r->cols, r->rows, r->cols,
                   r->cols);
  for (size_t i = 0; i < n; i++) sum -= t[i] * r->v[i];
  return sum;
}

static bool reader_add(Channels *x, const WeightStats *w,
                       const InputStats *in) {
  Arena *a = arena_new(), *keep = x->s.arena;
  int64_t n = in->cols;
  Reader r = {.w = prune_weight(&x->s, w->param), .in = in, .cols = n,
              .rows = in->hi - in->lo};
  size_t values = checked_mul((size_t)r.rows, (size_t)n);
  r.v = arena_array(keep, double, values + 1);
  for (int64_t i = 0; i < (int64_t)values; i++)
    r.v[i] = (double)r.w->old[value_at(&r, i / n, i % n)];
  double *h = gram_damped(a, in, x->o->damp);
  r.energy = outputs_energy(a, &r, h);
  bool ok = cholesky(h, n) && cholesky_inverse(h, n);
  r.inv = arena_array(keep, double, checked_mul((size_t)n, (size_t)n) + 1);
  for (int64_t i = 0; ok && i < n; i++)
    for (int64_t k = i; k < n; k++)
      r.inv[i * n + k] = r.inv[k * n + i] = h[i * n + k];
  arena_free(a);
  if (ok) vec_push(keep, &x->readers, r);
  return ok || diag_error(x->s.c->d, EXIT_MODEL, x->s.s->span, "prune: %s: "
                          "the products of its inputs on %s have no Cholesky "
                          "factor: expected a larger damp=, found %g",
                          w->param->path, x->o->data.path, x->o->damp);
}

static bool inputs_finite(const Channels *x, const WeightStats *w,
                          const InputStats *in) {
  for (int64_t k = 0; k < in->cols; k++)
    if (!isfinite(in->square[k]))
      return diag_error(x->s.c->d, EXIT_FILE, x->s.s->span, "prune: %s: "
                        "expected finite inputs on %s, found %s in column "
                        "%lld", w->param->path, x->o->data.path,
                        isnan(in->square[k]) ? "NaN" : "inf", (long long)k);
  return true;
}

static bool readers_make(Channels *x) {
  bool ok = true;
  for (size_t i = 0; ok && i < x->nstats; i++)
    for (size_t k = 0; ok && k < x->stats[i].inputs.n; k++) {
      const InputStats *in = &x->stats[i].inputs.at[k];
      ok = inputs_finite(x, &x->stats[i], in) &&
           reader_add(x, &x->stats[i], in);
    }
  return ok;
}

/* ---- columns of a unit ------------------------------------------------ */

/* Columns of a reader that have a unit, and what is solved for them. */
typedef struct Columns {
  int64_t n, *at;
  double *square, *rows;   /* [n][n]; [count][n] */
} Columns;

static bool columns_of(Arena *a, const Group *g, int64_t unit,
                       const Reader *r, Columns *c) {
  c->n = 0;
  c->at = arena_array(a, int64_t, (size_t)r->cols + 1);
  for (size_t i = 0; i < g->parts.n; i++) {
    const Part *p = &g->parts.at[i];
    int64_t first = part_offset(p, unit);
    if (!p->reads || p->w != r->w || first < 0) continue;
    first /= r->w->col_step;
    for (int64_t k = 0; k < p->cols; k++) c->at[c->n++] = first + k;
  }
  return c->n > 0;
}

/* rows = inv(inv(H)[P][P]) times the columns P of `count` rows of m. */
static bool columns_solve(Arena *a, Columns *c, const Reader *r,
                          const double *m, int64_t count) {
  c->square = arena_array(a, double, checked_mul((size_t)c->n,
                                                 (size_t)c->n));
  c->rows = arena_array(a, double, checked_mul((size_t)count + 1,
                                               (size_t)c->n));
  for (int64_t i = 0; i < c->n; i++)
    for (int64_t k = 0; k < c->n; k++)
      c->square[i * c->n + k] = r->inv[c->at[i] * r->cols + c->at[k]];
  for (int64_t i = 0; i < count; i++)
    for (int64_t k = 0; k < c->n; k++)
      c->rows[i * c->n + k] = m[i * r->cols + c->at[k]];
  return symmetric_solve(c->square, c->n, c->rows, count);
}

/* ---- units of one column --------------------------------------------- */

/* Has no unit more than one of the reader's columns? */
static bool columns_are_single(const Channels *x, const Reader *r) {
  for (size_t i = 0; i < x->s.groups.n; i++) {
    const Group *g = &x->s.groups.at[i];
    for (int64_t k = 0; k < g->units; k++) {
      int64_t n = 0;
      for (size_t j = 0; j < g->parts.n; j++) {
        const Part *p = &g->parts.at[j];
        if (p->reads && p->w == r->w && part_offset(p, k) >= 0) n += p->cols;
      }
      if (n > 1) return false;
    }
  }
  return true;
}

static void squares_make(Channels *x, Reader *r) {
  if (!columns_are_single(x, r)) return;
  r->squares = arena_array(x->s.arena, double, (size_t)r->cols + 1);
  for (int64_t i = 0; i < r->rows; i++)
    for (int64_t k = 0; k < r->cols; k++)
      r->squares[k] += r->v[i * r->cols + k] * r->v[i * r->cols + k];
}

/* The column of a unit; -1: it has none here. */
static int64_t column_of(const Group *g, int64_t unit, const Reader *r) {
  for (size_t i = 0; i < g->parts.n; i++) {
    const Part *p = &g->parts.at[i];
    int64_t first = part_offset(p, unit);
    if (p->reads && p->w == r->w && first >= 0)
      return first / r->w->col_step;
  }
  return -1;
}

/* to[k] -= factor * from[k] */
static void row_subtract(double *restrict to, const double *restrict from,
                         double factor, int64_t n) {
  for (int64_t k = 0; k < n; k++) to[k] -= factor * from[k];
}

static bool column_drop(Arena *a, Reader *r, int64_t p) {
  int64_t n = r->cols;
  double d = r->inv[p * n + p], *row = arena_array(a, double, (size_t)n + 1);
  if (!(d > 0)) return false;
  for (int64_t k = 0; k < n; k++)
    row[k] = r->inv[k < p ? k * n + p : p * n + k];
  for (int64_t k = 0; k < n; k++) r->squares[k] = 0;
  for (int64_t i = 0; i < r->rows; i++) {
    double *v = r->v + i * n;
    if (v[p] != 0) row_subtract(v, row, v[p] / d, n);
    v[p] = 0;
    for (int64_t k = 0; k < n; k++) r->squares[k] += v[k] * v[k];
  }
  for (int64_t i = 0; i < n; i++)
    if (i != p && row[i] != 0)
      row_subtract(r->inv + i * n + i, row + i, row[i] / d, n - i);
  for (int64_t k = 0; k < n; k++) r->inv[k < p ? k * n + p : p * n + k] = 0;
  r->inv[p * n + p] = 1;
  return true;
}

/* ---- one unit and one reader ----------------------------------------- */

/* What is lost of the reader's outputs without the unit. */
static double reader_loss(const Group *g, int64_t unit, const Reader *r) {
  if (r->squares) {
    int64_t p = column_of(g, unit, r);
    double loss = p < 0 ? 0 : r->squares[p] / r->inv[p * r->cols + p];
    return r->energy > 0 ? loss / r->energy : loss;
  }
  Arena *a = arena_new();
  Columns c;
  double sum = 0;
  if (columns_of(a, g, unit, r, &c)) {
    if (!columns_solve(a, &c, r, r->v, r->rows)) sum = DBL_MAX;
    for (int64_t i = 0; sum < DBL_MAX && i < r->rows; i++)
      for (int64_t k = 0; k < c.n; k++)
        sum += c.rows[i * c.n + k] * r->v[i * r->cols + c.at[k]];
  }
  arena_free(a);
  return sum < DBL_MAX && r->energy > 0 ? sum / r->energy : sum;
}

/* m, of `count` rows, less its columns P times inv(inv(H)[P][P]) inv(H)[P]. */
static bool columns_subtract(Arena *a, Columns *c, const Reader *r,
                             const double *right, double *m,
                             int64_t count) {
  if (!columns_solve(a, c, r, m, count)) return false;
  product_subtract(m, r->cols, c->rows, c->n, right, r->cols, count,
                   r->cols, c->n);
  return true;
}

static bool reader_drop(const Group *g, int64_t unit, Reader *r) {
  Arena *a = arena_new();
  Columns c;
  bool ok = true;
  if (r->squares) {
    int64_t p = column_of(g, unit, r);
    ok = p < 0 || column_drop(a, r, p);
  } else if (columns_of(a, g, unit, r, &c)) {
    size_t wide = (size_t)r->cols * sizeof(double);
    double *right = arena_alloc(a, checked_mul((size_t)c.n, wide));
    for (int64_t i = 0; i < c.n; i++)
      memcpy(right + i * r->cols, r->inv + c.at[i] * r->cols, wide);
    ok = columns_subtract(a, &c, r, right, r->v, r->rows) &&
         columns_subtract(a, &c, r, right, r->inv, r->cols);
    for (int64_t i = 0; ok && i < c.n; i++) {
      for (int64_t k = 0; k < r->rows; k++) r->v[k * r->cols + c.at[i]] = 0;
      for (int64_t k = 0; k < r->cols; k++)
        r->inv[k * r->cols + c.at[i]] = r->inv[c.at[i] * r->cols + k] = 0;
      r->inv[c.at[i] * r->cols + c.at[i]] = 1;
    }
  }
  arena_free(a);
  return ok;
}

/* ---- what goes ------------------------------------------------------- */

static bool reads_group(const Reader *r, const Group *g) {
  for (size_t i = 0; i < g->parts.n; i++)
    if (g->parts.at[i].reads && g->parts.at[i].w == r->w) return true;
  return false;
}

static void group_losses(Channels *x, size_t i) {
  const Group *g = &x->s.groups.at[i];
  for (int64_t k = 0; k < g->units; k++) {
    x->loss[i][k] = 0;
    for (size_t r = 0; !x->gone[i][k] && r < x->readers.n; r++)
      if (reads_group(&x->readers.at[r], g))
        x->loss[i][k] += reader_loss(g, k, &x->readers.at[r]);
  }
}

/* Do two groups have a reader in common? */
static bool groups_meet(const Channels *x, const Group *a, const Group *b) {
  for (size_t r = 0; r < x->readers.n; r++)
    if (reads_group(&x->readers.at[r], a) &&
        reads_group(&x->readers.at[r], b))
      return true;
  return false;
}

static bool unit_drop(Channels *x, size_t i, int64_t unit) {
  const Group *g = &x->s.groups.at[i];
  x->gone[i][unit] = true;
  for (size_t r = 0; r < x->readers.n; r++)
    if (reads_group(&x->readers.at[r], g) &&
        !reader_drop(g, unit, &x->readers.at[r]))
      return diag_error(x->s.c->d, EXIT_MODEL, x->s.s->span, "prune: %s: "
                        "nothing makes up for a channel: expected a larger "
                        "damp=, found %g", g->path, x->o->damp);
  return true;
}

/* Drop so many units of groups [lo, hi), the least of all each time. */
static bool groups_drop(Channels *x, size_t lo, size_t hi, int64_t count) {
  for (; count > 0; count--) {
    size_t group = lo;
    int64_t unit = -1;
    for (size_t i = lo; i < hi; i++)
      for (int64_t k = 0; k < x->s.groups.at[i].units; k++)
        if (!x->gone[i][k] &&
            (unit < 0 || x->loss[i][k] < x->loss[group][unit])) {
          group = i;
          unit = k;
        }
    if (!unit_drop(x, group, unit)) return false;
    for (size_t i = 0; i < x->s.groups.n; i++)
      if (groups_meet(x, &x->s.groups.at[i], &x->s.groups.at[group]))
        group_losses(x, i);
  }
  return true;
}

static bool channels_drop(Channels *x) {
  const Calibrate *say = x->s.c->calibrate;
  size_t n = x->s.groups.n;
  int64_t all = 0;
  bool ok = true;
  for (size_t i = 0; i < n; i++) {
    all += x->s.groups.at[i].units;
    group_losses(x, i);
  }
  if (x->o->global)
    return groups_drop(x, 0, n, llround(x->o->sparsity * (double)all));
  for (size_t i = 0; ok && i < n; i++) {
    double units = (double)x->s.groups.at[i].units;
    say->say(say->ctx, arena_printf(x->s.arena, "prune: group %zu of %zu",
                                    i + 1, n));
    ok = groups_drop(x, i, i + 1, llround(x->o->sparsity * units));
  }
  return ok;
}

/* ---- the whole ------------------------------------------------------- */

static void channels_write(Channels *x) {
  prune_copy(&x->s);
  prune_restore(&x->s);
  for (size_t i = 0; i < x->readers.n; i++) {
    const Reader *r = &x->readers.at[i];
    for (int64_t k = 0; k < r->rows * r->cols; k++)
      r->w->v[value_at(r, k / r->cols, k % r->cols)] = (float)r->v[k];
  }
  for (size_t i = 0; i < x->s.groups.n; i++)
    for (int64_t k = 0; k < x->s.groups.at[i].units; k++)
      if (x->gone[i][k]) unit_clear(&x->s.groups.at[i], k);
  prune_store(&x->s);
}

bool prune_channels(PassCtx *c, const RecipeStep *step, const Calibrated *o) {
  Channels x;
  bool ok = channels_open(&x, c, step, o);
  size_t n = x.s.groups.n;
  Arena *a = x.s.arena;
  x.gone = arena_array(a, bool *, n + 1);
  x.loss = arena_array(a, double *, n + 1);
  for (size_t i = 0; i < n; i++) {
    size_t units = (size_t)x.s.groups.at[i].units;
    x.gone[i] = arena_array(a, bool, units + 1);
    x.loss[i] = arena_array(a, double, units + 1);
  }
  if (ok) coupled_warn(&x.s);
  ok = ok && c->calibrate->run(c->calibrate->ctx, c->m, &o->data, true,
                               x.stats, x.nstats, a) &&
       readers_make(&x);
  for (size_t i = 0; ok && i < x.readers.n; i++)
    squares_make(&x, &x.readers.at[i]);
  ok = ok && channels_drop(&x);
  if (ok) channels_write(&x);
  arena_free(a);
  return ok;
}
