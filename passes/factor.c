/* factor.c - the recipe's verb `factor`: a layer becomes two with fewer
 * multiply-accumulates, by the singular values of its weight.
 *
 *   factor SELECTORS with rank=16 | rank=0.25 | energy=0.95, scheme=auto,
 *                         multiple=1;
 *
 * requires   weights with values, as check_factor asks
 * preserves  the layers' results, to the singular values that are left out
 * before     y = conv2d(x, c.weight, b=c.bias, pad=[1,1,1,1]) as c;
 * after      t = conv2d(x, c.down.weight, pad=[1,1,1,1]) as c.down;
 *            y = conv2d(t, c.up.weight, b=c.bias) as c.up;
 *            or, with scheme=spatial,
 *            t = conv2d(x, c.down.weight, pad=[1,0,1,0]) as c.down;
 *            y = conv2d(t, c.up.weight, b=c.bias, pad=[0,1,0,1]) as c.up;
 * source     Eckart and Young, 1936; convolutions: Jaderberg et al., 2014 */
#include <math.h>
#include <string.h>

#include "passes/verb.h"

typedef enum { SCHEME_AUTO, SCHEME_CHANNEL, SCHEME_SPATIAL } Scheme;

typedef struct FactorArgs {
  int64_t rank;          /* 0: not given */
  int64_t multiple;      /* ranks are rounded up to one */
  double share, energy;  /* likewise */
  Scheme scheme;
} FactorArgs;

/* ---- arguments ------------------------------------------------------- */

static const char *parse_rank(const Attr *v, void *args) {
  FactorArgs *a = args;
  if (v->kind == ATTR_INT) a->rank = v->i;
  if (v->kind == ATTR_FLOAT) a->share = v->f;
  bool ok = v->kind == ATTR_INT ? v->i >= 1
                                : v->kind == ATTR_FLOAT && v->f > 0 &&
                                  v->f < 1;
  return ok ? NULL : "a whole number from 1 on, or a share between 0.0 and "
                     "1.0";
}

static const char *parse_energy(const Attr *v, void *args) {
  FactorArgs *a = args;
  bool ok = arg_number(v, &a->energy) && a->energy > 0 && a->energy <= 1;
  return ok ? NULL : "a number above 0 and up to 1";
}

static const char *parse_multiple(const Attr *v, void *args) {
  ((FactorArgs *)args)->multiple = v->i;
  return v->kind == ATTR_INT && v->i >= 1 && v->i <= SVD_MOST
           ? NULL : "a whole number from 1 to 8192";
}

static const char *parse_scheme(const Attr *v, void *args) {
  static const char *const names[] = {
    [SCHEME_AUTO] = "auto", [SCHEME_CHANNEL] = "channel",
    [SCHEME_SPATIAL] = "spatial",
  };
  for (int i = 0; v->kind == ATTR_STR && i < 3; i++)
    if (strcmp(v->s, names[i]) == 0) {
      ((FactorArgs *)args)->scheme = (Scheme)i;
      return NULL;
    }
  return "auto, channel or spatial";
}

static bool factor_args(PassCtx *c, const RecipeStep *s, FactorArgs *a) {
  static const VerbArg rows[] = {
    {"rank", parse_rank}, {"energy", parse_energy}, {"scheme", parse_scheme},
    {"multiple", parse_multiple},
  };
  *a = (FactorArgs){.multiple = 1};
  if (!verb_args(c, s, rows, sizeof rows / sizeof *rows, a)) return false;
  int given = (a->rank > 0) + (a->share > 0) + (a->energy > 0);
  return given == 1 ||
         diag_error(c->d, EXIT_MODEL, s->span, "factor: expected one of "
                    "rank= and energy=, found %s", given ? "both" : "none");
}

bool check_factor(PassCtx *c, const RecipeStep *s) {
  FactorArgs a;
  return factor_args(c, s, &a) && step_finite(c, s);
}

/* ---- a weight as matrices -------------------------------------------- */

/* A way to take a weight apart: for each group of a convolution a matrix
 * [rows][cols], [O, C kh kw] of the group or, spatial, [C kh, kw O]. */
typedef struct Split {
  bool spatial;
  int64_t groups, rows, cols, full;   /* full: the greatest rank */
  int64_t rank;
  double macs;               /* of both layers, with that rank */
  double **u, **s, **vt;     /* of each group; NULL: not worked out */
} Split;

typedef struct FactorStep {
  PassCtx *c;
  const RecipeStep *s;
  FactorArgs a;
  Arena *arena;              /* of one weight */
  Param *p;
  LayerUses uses;
  double macs;               /* of all layers with the weight as it is */
} FactorStep;

/* Element (i, k) of group g's matrix, in the weight. */
static int64_t element(const FactorStep *x, const Split *s, int64_t g,
                       int64_t i, int64_t k) {
  const int64_t *d = x->p->type.dim;
  if (layer_is_transposed(x->uses.at[0].n)) return k * s->rows + i;
  if (!s->spatial) return (g * s->rows + i) * s->cols + k;
  int64_t o = g * (d[0] / s->groups) + k / d[3];
  return ((o * d[1] + i / d[2]) * d[2] + i % d[2]) * d[3] + k % d[3];
}

static bool split_factor(FactorStep *x, Split *s) {
  const float *w = param_values(x->c->m, x->p);
  size_t rows = (size_t)s->rows, cols = (size_t)s->cols;
  size_t full = (size_t)s->full, n = (size_t)s->groups;
  s->u = arena_array(x->arena, double *, n);
  s->s = arena_array(x->arena, double *, n);
  s->vt = arena_array(x->arena, double *, n);
  double *a = arena_array(x->arena, double, checked_mul(rows, cols));
  for (size_t g = 0; g < n; g++) {
    for (size_t i = 0; i < rows * cols; i++)
      a[i] = w[element(x, s, (int64_t)g, (int64_t)(i / cols),
                       (int64_t)(i % cols))];
    s->u[g] = arena_array(x->arena, double, checked_mul(rows, full));
    s->s[g] = arena_array(x->arena, double, full);
    s->vt[g] = arena_array(x->arena, double, checked_mul(full, cols));
    if (!svd(a, s->rows, s->cols, s->u[g], s->s[g], s->vt[g]))
      return diag_error(x->c->d, EXIT_MODEL, x->s->span, "factor: %s: no "
                        "singular values were found", x->p->path);
  }
  return true;
}

/* Squares of all groups' singular values from the rank on. */
static double squares_from(const Split *s, int64_t rank) {
  double sum = 0;
  for (int64_t g = 0; g < s->groups; g++)
    for (int64_t i = s->full - 1; i >= rank; i--)
      sum += s->s[g][i] * s->s[g][i];
  return sum;
}

/* The least rank that keeps so much; floats hold the weight, so what is less
 * than their rounding counts as nothing. */
static int64_t rank_of_energy(const Split *s, double energy) {
  double all = squares_from(s, 0), may = (1 - energy) * all + 1e-12 * all;
  int64_t rank = s->full;
  while (rank > 1 && squares_from(s, rank - 1) <= may) rank--;
  return rank;
}

/* ---- what it costs --------------------------------------------------- */

/* Multiply-accumulates of the two layers in place of n. */
static double use_macs(const FactorStep *x, const Split *s, const Node *n) {
  const int64_t *d = x->p->type.dim;
  double r = (double)s->rank;
  double outputs = (double)(layer_is_transposed(n) ? d[1] : d[0]);
  double at = outputs > 0 ? (double)type_elems(&n->type) / outputs : 0;
  if (!s->spatial)
    return at * r * (double)(s->groups * s->cols) + at * outputs * r;
  const Type *in = &n->in[0]->type;
  double between = (double)in->dim[0] * (double)n->type.dim[2] *
                   (double)in->dim[3];
  return between * r * (double)(s->groups * s->rows) +
         at * outputs * r * (double)d[3];
}

static void split_cost(const FactorStep *x, Split *s) {
  s->macs = 0;
  for (size_t i = 0; i < x->uses.n; i++)
    s->macs += use_macs(x, s, x->uses.at[i].n);
}

/* Set the rank, and what it costs. */
static bool split_rank(FactorStep *x, Split *s) {
  const FactorArgs *a = &x->a;
  if (a->energy > 0 && !split_factor(x, s)) return false;
  s->rank = a->energy > 0 ? rank_of_energy(s, a->energy)
            : a->rank > 0 ? a->rank : llround(a->share * (double)s->full);
  if (s->rank < 1) s->rank = 1;
  if (s->rank < s->full)
    s->rank = (s->rank + a->multiple - 1) / a->multiple * a->multiple;
  if (s->rank > s->full) s->rank = s->full;
  split_cost(x, s);
  return true;
}

/* Can each layer be one of columns, then one of rows? */
static bool splits_in_space(const FactorStep *x) {
  const Type *t = &x->p->type;
  bool ok = x->uses.at[0].n->op == OP_CONV2D && t->dim[2] > 1 &&
            t->dim[3] > 1;
  for (size_t i = 0; ok && i < x->uses.n; i++)
    ok = !node_pad_is_free(x->uses.at[i].n);
  return ok;
}

static Split split_shape(const FactorStep *x, bool spatial) {
  const Type *t = &x->p->type;
  const Node *n = x->uses.at[0].n;
  Split s = {.spatial = spatial, .groups = layer_groups(n)};
  bool transposed = layer_is_transposed(n);
  s.rows = transposed ? t->dim[1] : t->dim[0] / s.groups;
  s.cols = transposed ? t->dim[0] : type_elems(t) / t->dim[0];
  if (spatial) {
    s.cols = s.rows * t->dim[3];
    s.rows = t->dim[1] * t->dim[2];
  }
  s.full = s.rows < s.cols ? s.rows : s.cols;
  return s;
}

/* ---- the two weights ------------------------------------------------- */

static Param *part_add(const FactorStep *x, const char *part, int rank,
                       const int64_t *dim, Buffer *data) {
  Module *m = x->c->m;
  const char *wish = path_part(m->arena, x->p->path, part);
  return module_add_param(m, module_fresh_path(m, wish),
                          type_make(F32, rank, dim), data);
}

/* The roots of the singular values go to either side. */
static double left_at(const Split *s, int64_t g, int64_t i, int64_t r) {
  return s->u[g][i * s->full + r] * sqrt(s->s[g][r]);
}

static double right_at(const Split *s, int64_t g, int64_t r, int64_t k) {
  return s->vt[g][r * s->cols + k] * sqrt(s->s[g][r]);
}

static Param *down_make(const FactorStep *x, const Split *s) {
  const Type *t = &x->p->type;
  int64_t d[MAX_RANK], R = s->groups * s->rank;
  int64_t each = s->spatial ? s->rows : s->cols;
  bool transposed = layer_is_transposed(x->uses.at[0].n);
  memcpy(d, t->dim, sizeof d);
  d[transposed] = R;
  if (s->spatial) d[3] = 1;
  Buffer *b = buffer_new(checked_mul((size_t)(R * each), sizeof(float)));
  float *v = (float *)(void *)b->data;
  for (int64_t q = 0; q < R; q++)
    for (int64_t k = 0; k < each; k++) {
      int64_t g = q / s->rank, r = q % s->rank;
      double a = s->spatial ? left_at(s, g, k, r) : right_at(s, g, r, k);
      v[transposed ? k * R + q : q * each + k] = (float)a;
    }
  return part_add(x, "down", t->rank, d, b);
}

static Param *up_make(const FactorStep *x, const Split *s) {
  const Type *t = &x->p->type;
  bool transposed = layer_is_transposed(x->uses.at[0].n);
  int64_t d[MAX_RANK], outputs = t->dim[transposed];
  int64_t taps = s->spatial ? t->dim[3] : 1, each = outputs / s->groups;
  for (int i = 0; i < MAX_RANK; i++) d[i] = 1;
  d[transposed] = outputs;
  d[!transposed] = s->rank;
  if (s->spatial) d[3] = taps;
  Buffer *b = buffer_new(checked_mul((size_t)(outputs * s->rank * taps),
                                     sizeof(float)));
  float *v = (float *)(void *)b->data;
  for (int64_t o = 0; o < outputs; o++)
    for (int64_t r = 0; r < s->rank; r++)
      for (int64_t j = 0; j < taps; j++) {
        int64_t g = o / each, i = o % each;
        double a = s->spatial ? right_at(s, g, r, i * taps + j)
                              : left_at(s, g, i, r);
        v[transposed ? r * outputs + o : (o * s->rank + r) * taps + j] =
          (float)a;
      }
  return part_add(x, "up", t->rank, d, b);
}

/* ---- the two layers -------------------------------------------------- */

/* Rows of a list stay with `down`, columns with `up`. */
static void list_split(Module *m, Node *down, Node *up, const char *name,
                       int64_t none) {
  int n;
  const int64_t *v = attr_ints(up, name, &n);
  int64_t rows[4], cols[4];
  for (int i = 0; i < n; i++) {
    rows[i] = i % 2 ? none : v[i];
    cols[i] = i % 2 ? v[i] : none;
  }
  attr_set_ints(m, down, name, rows, n);
  attr_set_ints(m, up, name, cols, n);
}

static void use_split(FactorStep *x, const Split *s, const LayerUse *use,
                      Param *down, Param *up) {
  static const char *const window[] = {"stride", "pad", "dilation"};
  Module *m = x->c->m;
  Node *n = use->n;
  Node *in[] = {n->in[0], func_param(m, use->f, down)};
  Node *second = func_param(m, use->f, up);
  Node *first = func_insert(m, use->f, n, n->op, in, 2);
  attr_take(first, n, "groups");
  for (int i = 0; i < 3 && attr_index(n->op, window[i]) >= 0; i++) {
    attr_take(first, n, window[i]);
    if (s->spatial) list_split(m, first, n, window[i], i != 1);
    else attr_reset(n, window[i]);
  }
  attr_take(first, n, "transpose_b");
  node_inherit(m, first, n);
  if (n->path) {
    first->path = arena_printf(m->arena, "%s.down", n->path);
    n->path = arena_printf(m->arena, "%s.up", n->path);
  }
  node_retype(x->c, first);
  node_set_in(m, n, 0, first);
  node_set_in(m, n, 1, second);
  node_retype(x->c, n);
}

static void split_apply(FactorStep *x, const Split *s) {
  Module *m = x->c->m;
  Param *to[] = {down_make(x, s), up_make(x, s)};
  for (size_t i = 0; i < x->uses.n; i++)
    use_split(x, s, &x->uses.at[i], to[0], to[1]);
  steps_redirect(m, x->s, x->p, to);
  for (size_t i = 0; i < x->uses.n; i++) func_tidy(m, x->uses.at[i].f);
}

/* ---- all ------------------------------------------------------------- */

/* What stands against taking the weight apart; NULL: nothing. */
static const char *weight_why(FactorStep *x) {
  const char *why = layer_uses_of(x->arena, x->c->m, x->p, &x->uses);
  if (why) return why;
  if (type_elems(&x->p->type) == 0) return "it has no elements";
  if (param_nonzeros(x->c->m, x->p) == 0) return "it is zero";
  Split s = split_shape(x, false);
  if (s.full > SVD_MOST) return "it is too large";
  for (size_t i = 0; i < x->uses.n; i++)
    x->macs += (double)node_cost(x->c->m, x->uses.at[i].n).nonzero_macs;
  return NULL;
}

/* The scheme that takes least, with its rank. */
static bool split_choose(FactorStep *x, Split *best) {
  Split s = split_shape(x, true);
  bool spatial = x->a.scheme != SCHEME_CHANNEL && splits_in_space(x) &&
                 s.full <= SVD_MOST;
  *best = split_shape(x, false);
  if (x->a.scheme == SCHEME_SPATIAL && spatial) {
    *best = s;
    return split_rank(x, best);
  }
  if (!split_rank(x, best) || (spatial && !split_rank(x, &s))) return false;
  if (spatial && s.macs < best->macs) *best = s;
  return true;
}

static bool weight_factor(FactorStep *x) {
  Split s;
  const char *why = weight_why(x);
  if (!why && x->a.scheme == SCHEME_SPATIAL && !splits_in_space(x))
    why = "it is no convolution of rows and columns";
  if (why) {
    verb_note(x->c, x->s, x->p->path, "left as it is: %s", why);
    return true;
  }
  if (!split_choose(x, &s)) return false;
  if (s.macs >= x->macs) {
    verb_note(x->c, x->s, x->p->path, "left as it is: rank %lld takes %.0f "
              "multiply-accumulates, the layer %.0f", (long long)s.rank,
              s.macs, x->macs);
    return true;
  }
  if (!s.s && !split_factor(x, &s)) return false;
  verb_note(x->c, x->s, x->p->path, "rank %lld of %lld, %s, %.0f of %.0f "
            "multiply-accumulates, relative error %.4g", (long long)s.rank,
            (long long)s.full,
            s.spatial ? "columns then rows" : "through channels", s.macs,
            x->macs, sqrt(squares_from(&s, s.rank) / squares_from(&s, 0)));
  split_apply(x, &s);
  return true;
}

bool verb_factor(PassCtx *c, const RecipeStep *s) {
  FactorStep x = {.c = c, .s = s};
  if (!factor_args(c, s, &x.a) || !step_finite(c, s)) return false;
  size_t n = s->params.n;
  Param *const *p = step_params(c, s);
  for (size_t i = 0; i < n; i++) {
    x.arena = arena_new();
    x.p = p[i];
    x.macs = 0;
    bool ok = weight_factor(&x);
    arena_free(x.arena);
    if (!ok) return false;
  }
  return true;
}
