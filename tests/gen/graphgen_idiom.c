/* graphgen_idiom.c - expressions that passes know by their looks: gates,
 * neutral operands, normalisations, literals in odd places. */
#include <string.h>

#include "tests/gen/graphgen.h"

/* `expr` with $ for the value; the bound that comes of it is
 * gain * bound + add, or `add` alone where gain is 0. */
typedef struct Idiom {
  const char *expr;
  bool ints;
  double gain, add;
} Idiom;

static const Idiom idioms[] = {
    {"$ * sigmoid($)", false, 1, 0},
    {"hardsigmoid($) * $", false, 1, 0},
    {"$ * clip($ + 3.0, lo=0.0, hi=6.0) / 6.0", false, 1, 0},
    {"clip($, lo=0.0, hi=6.0)", true, 0, 6},
    {"clip($, lo=0.0, hi=inf)", true, 1, 0},
    {"maximum($, 0.0)", true, 1, 0},
    {"minimum(maximum($, -1.0), 1.0)", true, 0, 1},
    {"relu(relu6($))", true, 0, 6},
    {"relu6(relu($))", true, 0, 6},
    {"relu(relu($))", true, 1, 0},
    {"abs(abs($))", true, 1, 0},
    {"neg(neg($))", true, 1, 0},
    {"$ * 1.0", true, 1, 0},
    {"$ * 0.0", true, 1, 0},
    {"$ + 0.0", true, 1, 0},
    {"$ - 0.0", true, 1, 0},
    {"0.0 - $", true, 1, 0},
    {"$ / 1.0", true, 1, 0},
    {"$ - $", true, 2, 0},
    {"$ + $", true, 2, 0},
    {"($ + 2.0) * 3.0", true, 3, 6},
    {"($ * 2.0 + 1.0) * 2.0 - 1.0", true, 4, 3},
    {"$ / 3.0", false, 1, 0},
    {"2.5 / (abs($) + 1.5)", false, 0, 2},
    {"$ + relu(-2.0)", true, 1, 0},
    {"$ + exp(0.5)", false, 1, 2},
    {"convert(convert($))", true, 1, 0},
    {"tanh($) + sigmoid($)", false, 0, 2},
    {"elu(relu($))", false, 1, 0},
};

static bool plain_idiom(GraphGen *g) {
  int x = gen_pick(g, -1, 0);
  GenValue v = g->value[x];
  const Idiom *i = &idioms[gen_below(g, sizeof idioms / sizeof *idioms)];
  double bound = i->gain * v.bound + i->add;
  if ((g->ints && !i->ints) || !gen_fits(g, bound)) return false;
  Text t = {0};
  for (const char *s = i->expr; *s; s++)
    if (*s == '$') text_puts(&t, gen_use(g, x));
    else text_putc(&t, *s);
  gen_value(g, v.rank, v.dim, bound, "%s", t.s);
  text_free(&t);
  return true;
}

/* A literal spread over a shape, alone or behind other values. */
static bool filled(GraphGen *g) {
  int x = gen_pick(g, -1, 1);
  if (x < 0) return false;
  GenValue v = g->value[x];
  char number[32];
  double k = gen_number(g, number);
  Text t = {0};
  gen_dims(&t, v.rank, v.dim);
  gen_value(g, v.rank, v.dim, k, "expand(%s, shape=[%s])", number, t.s);
  text_free(&t);
  return true;
}

/* (x - mean) / sqrt(variance + eps) along the last axis. */
static bool layer_norm(GraphGen *g) {
  int x = gen_pick(g, -1, 1);
  if (g->ints || x < 0) return false;
  GenValue v = g->value[x], stat = v;
  if (v.bound > 50) return false;
  stat.dim[v.rank - 1] = 1;
  int m = gen_value(g, v.rank, stat.dim, v.bound,
                    "mean(%s, axes=[-1], keep=true)", gen_use(g, x));
  int d = gen_value(g, v.rank, v.dim, 2 * v.bound, "%s - %s", gen_use(g, x),
                    gen_use(g, m));
  int s = gen_value(g, v.rank, stat.dim, 4 * v.bound * v.bound + 1,
                    "mean(%s * %s, axes=[-1], keep=true)", gen_use(g, d),
                    gen_use(g, d));
  gen_value(g, v.rank, v.dim, 7 * v.bound, "%s / sqrt(%s + 0.1)",
            gen_use(g, d), gen_use(g, s));
  return true;
}

/* gamma or beta of x's rows. */
static void affine_param(GraphGen *g, const GenValue *v, char name[16]) {
  gen_param(g, name, "f32", 'w', 1, &v->dim[v->rank - 1]);
}

/* normalize as an op, or spelled out, centred or not, with an affine end. */
static bool normalised(GraphGen *g) {
  int x = gen_pick(g, -1, 1);
  if (g->ints || x < 0) return false;
  GenValue v = g->value[x];
  char gamma[16], beta[16];
  if (v.bound > 50 || !gen_elems(v.rank, v.dim)) return false;
  affine_param(g, &v, gamma);
  affine_param(g, &v, beta);
  const char *center = gen_chance(g, 50) ? "true" : "false";
  double bound = 20 * v.bound + 2;
  switch (gen_below(g, 4)) {
    case 0:
      gen_value(g, v.rank, v.dim, bound,
                "normalize(%s, gamma=%s, beta=%s, eps=0.1, center=%s)",
                gen_use(g, x), gamma, beta, center);
      return true;
    case 1:
      gen_value(g, v.rank, v.dim, bound, "normalize(%s, eps=0.1, center=%s)",
                gen_use(g, x), center);
      return true;
    case 2:
      gen_value(g, v.rank, v.dim, bound,
                "%s * rsqrt(mean(square(%s), axes=[-1], keep=true) + 0.1) * %s",
                gen_use(g, x), gen_use(g, x), gamma);
      return true;
    default:
      gen_value(g, v.rank, v.dim, bound,
                "%s + %s * (%s / sqrt(mean(%s * %s, axes=[-1], keep=true) + "
                "0.1))", beta, gamma, gen_use(g, x), gen_use(g, x),
                gen_use(g, x));
      return true;
  }
}

/* Angles for x's rows of `size`; batch sizes of x or 1. */
static void angle_param(GraphGen *g, const GenValue *v, int64_t size,
                        char name[16]) {
  int64_t dim[MAX_RANK];
  for (int i = 0; i < v->rank - 1; i++)
    dim[i] = gen_chance(g, 60) ? v->dim[i] : 1;
  dim[v->rank - 1] = size;
  gen_param(g, name, "f32", 'w', v->rank, dim);
}

/* rotary as an op, or spelled out. */
static bool turned(GraphGen *g) {
  int x = gen_pick(g, -1, 1);
  if (g->ints || x < 0) return false;
  GenValue v = g->value[x];
  int64_t n = v.dim[v.rank - 1];
  char c[16], s[16];
  if (n % 2 || n == 0 || v.bound > 50) return false;
  bool spelled = gen_chance(g, 40);
  angle_param(g, &v, spelled || gen_chance(g, 50) ? n : n / 2, c);
  angle_param(g, &v, spelled || gen_chance(g, 50) ? n : n / 2, s);
  if (!spelled) {
    gen_value(g, v.rank, v.dim, 4 * v.bound, "rotary(%s, %s, %s, pairs=%s)",
              gen_use(g, x), c, s, gen_chance(g, 50) ? "true" : "false");
    return true;
  }
  gen_value(g, v.rank, v.dim, 4 * v.bound,
            "%s * %s + concat(neg(slice(%s, axis=-1, start=%d, stop=%d)), "
            "slice(%s, axis=-1, start=0, stop=%d), axis=-1) * %s",
            gen_use(g, x), c, gen_use(g, x), (int)n / 2, (int)n,
            gen_use(g, x), (int)n / 2, s);
  return true;
}

/* x weighed by what pooling it gives (Hu et al., 2018). */
static bool squeeze(GraphGen *g) {
  int x = gen_pick(g, 4, 4);
  if (g->ints || x < 0) return false;
  GenValue v = g->value[x];
  int64_t w[4] = {v.dim[1], v.dim[1], 1, 1};
  int64_t one[4] = {v.dim[0], v.dim[1], 1, 1};
  char p[16];
  gen_param(g, p, "f32", 'w', 4, w);
  int m = gen_value(g, 4, one, v.bound, "mean(%s, axes=[2,3], keep=true)",
                    gen_use(g, x));
  int c = gen_value(g, 4, one, 1, "sigmoid(conv2d(%s, %s))", gen_use(g, m),
                    p);
  gen_value(g, 4, v.dim, v.bound, "%s * %s", gen_use(g, x), gen_use(g, c));
  return true;
}

bool gen_idiom(GraphGen *g) {
  if (g->nvalues + 6 >= GEN_MAX_VALUES) return false;
  switch (gen_below(g, 12)) {
    case 0: return filled(g);
    case 1: return layer_norm(g);
    case 2: return squeeze(g);
    case 3: return normalised(g);
    case 4: return turned(g);
    default: return plain_idiom(g);
  }
}
