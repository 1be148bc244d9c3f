/* smartexchange.c - the recipe's verb `smartexchange`: weights that are sparse
 * powers of two times small bases.
 *
 *   smartexchange SELECTORS with powers=7, threshold=0.004, fold=4, norm=0.0;
 *
 * requires   weights with values, as check_smartexchange asks
 * preserves  the graph; a filter [C,kh,kw] is the matrix [C kh, kw], an
 *            output of any other layer [K / fold, fold], with zeros behind,
 *            and becomes the product of the two (exchange.c); where rows of
 *            the first are 0 there are zeros next to each other
 * source     Zhao et al., 2020 (SmartExchange), steps 1 to 4 */
#include <math.h>
#include <string.h>

#include "passes/exchange.h"
#include "passes/prune.h"
#include "passes/verb.h"

typedef struct ExchangeArgs {
  int64_t powers, fold;
  double threshold, norm;
} ExchangeArgs;

/* ---- arguments ------------------------------------------------------- */

static const char *parse_powers(const Attr *v, void *args) {
  ((ExchangeArgs *)args)->powers = v->i;
  return v->kind == ATTR_INT && v->i >= 1 && v->i <= 31
           ? NULL : "a whole number from 1 to 31";
}

static const char *parse_fold(const Attr *v, void *args) {
  ((ExchangeArgs *)args)->fold = v->i;
  return v->kind == ATTR_INT && v->i >= 2 && v->i <= EXCHANGE_MOST
           ? NULL : "a whole number from 2 to 8";
}

static const char *parse_threshold(const Attr *v, void *args) {
  double *to = &((ExchangeArgs *)args)->threshold;
  return arg_number(v, to) && *to >= 0 && *to < 1
           ? NULL : "a number from 0 on, below 1";
}

static const char *parse_norm(const Attr *v, void *args) {
  double *to = &((ExchangeArgs *)args)->norm;
  return arg_number(v, to) && *to >= 0 ? NULL : "a number from 0 on";
}

static bool exchange_args(PassCtx *c, const RecipeStep *s, ExchangeArgs *a) {
  static const VerbArg rows[] = {
    {"powers", parse_powers}, {"fold", parse_fold},
    {"threshold", parse_threshold}, {"norm", parse_norm},
  };
  *a = (ExchangeArgs){.powers = 7, .fold = 4, .threshold = 0.004};
  return verb_args(c, s, rows, sizeof rows / sizeof *rows, a);
}

bool check_smartexchange(PassCtx *c, const RecipeStep *s) {
  ExchangeArgs a;
  return exchange_args(c, s, &a) && step_finite(c, s);
}

/* ---- a weight -------------------------------------------------------- */

typedef struct Exchange {
  ExchangeOpts o;
  const Param *p;
  const float *w, *scale;    /* of the norm behind it, or NULL */
  float *to;
  int64_t outputs, each, width;
  bool transposed;
  int64_t bits;
  double lost, all;
} Exchange;

static int64_t value_at(const Exchange *x, int64_t o, int64_t i) {
  return x->transposed ? i * x->outputs + o : o * x->each + i;
}

/* All values of an output: [rows, width], zeros behind. */
static void output_exchange(Exchange *x, int64_t o, bool dead) {
  Arena *a = arena_new();
  int64_t n = x->width, m = (x->each + n - 1) / n;
  double *w = arena_array(a, double, (size_t)(m * n));
  double *c = arena_array(a, double, (size_t)(m * n));
  double *b = arena_array(a, double, (size_t)(n * n));
  for (int64_t i = 0; i < x->each && !dead; i++)
    w[i] = x->w[value_at(x, o, i)];
  x->bits += exchange(a, &x->o, w, m, n, c, b);
  for (int64_t i = 0; i < x->each; i++) {
    double sum = 0, was = x->w[value_at(x, o, i)];
    for (int64_t r = 0; r < n; r++) sum += c[i / n * n + r] * b[r * n + i % n];
    x->to[value_at(x, o, i)] = (float)sum;
    x->lost += (was - (float)sum) * (was - (float)sum);
    x->all += was * was;
  }
  arena_free(a);
}

/* Columns of a basis: of a kernel of several, else as args say. */
static int64_t width_of(const Type *t, int64_t fold) {
  int64_t kw = t->rank > 2 ? t->dim[t->rank - 1] : 1;
  return kw > 1 ? kw : fold;
}

static void weight_exchange(PassCtx *c, const RecipeStep *s, Param *p,
                            const ExchangeArgs *args) {
  LayerUses uses;
  const char *why = layer_uses_of(c->scratch, c->m, p, &uses);
  int64_t all = type_elems(&p->type);
  Exchange x = {.o = {(int)args->powers, args->threshold, NULL, NULL},
                .p = p, .w = param_values(c->m, p)};
  x.width = width_of(&p->type, args->fold);
  if (!why && all == 0) why = "it has no elements";
  if (!why && x.width > EXCHANGE_MOST) why = "its kernel is wider than 8";
  if (why) {
    verb_note(c, s, p->path, "left as it is: %s", why);
    return;
  }
  x.transposed = layer_is_transposed(uses.at[0].n);
  x.outputs = p->type.dim[x.transposed];
  x.each = all / x.outputs;
  const Param *norm = args->norm > 0 ? norm_scale(c->m, p) : NULL;
  x.scale = norm ? param_values(c->m, norm) : NULL;
  Buffer *to = buffer_new(checked_mul((size_t)all, sizeof(float)));
  x.to = (float *)(void *)to->data;
  for (int64_t o = 0; o < x.outputs; o++)
    output_exchange(&x, o, x.scale && fabs((double)x.scale[o]) < args->norm);
  param_set_data(p, to);
  verb_note(c, s, p->path, "%lld bits as powers of two, bases and an index, of "
            "%lld, relative error %.4g", (long long)x.bits,
            (long long)(32 * all), x.all > 0 ? sqrt(x.lost / x.all) : 0);
}

bool verb_smartexchange(PassCtx *c, const RecipeStep *s) {
  ExchangeArgs a;
  if (!exchange_args(c, s, &a) || !step_finite(c, s)) return false;
  for (size_t i = 0; i < s->params.n; i++)
    weight_exchange(c, s, s->params.at[i], &a);
  return true;
}
