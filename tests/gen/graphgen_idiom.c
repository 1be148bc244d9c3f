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
  switch (gen_below(g, 10)) {
    case 0: return filled(g);
    case 1: return layer_norm(g);
    case 2: return squeeze(g);
    default: return plain_idiom(g);
  }
}
