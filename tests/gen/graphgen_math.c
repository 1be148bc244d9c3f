/* graphgen_math.c - random elementwise ops, affine ones, reductions. */
#include <math.h>
#include <string.h>

#include "tests/gen/graphgen.h"

/* ---- unary ---------------------------------------------------------- */

/* `expr` with %s for the operand (once); out bound = gain * bound + add,
 * or `add` alone where gain is 0; max: largest operand bound. */
typedef struct UnaryForm {
  const char *expr;
  bool ints;
  double gain, add, max;
} UnaryForm;

static const UnaryForm unaries[] = {
    {"neg(%s)", true, 1, 0, 1e30},
    {"-%s", true, 1, 0, 1e30},
    {"abs(%s)", true, 1, 0, 1e30},
    {"relu(%s)", true, 1, 0, 1e30},
    {"relu(%s)", true, 1, 0, 1e30},
    {"relu6(%s)", true, 0, 6, 1e30},
    {"relu6(%s)", true, 0, 6, 1e30},
    {"clip(%s, lo=-4.0, hi=9.0)", true, 0, 9, 1e30},
    {"clip(%s, lo=0.0, hi=3.0)", true, 0, 3, 1e30},
    {"sqrt(abs(%s))", false, 1, 1, 1e30},
    {"sqrt(%s)", false, 1, 1, 1e30},
    {"rsqrt(abs(%s) + 0.25)", false, 0, 2, 1e30},
    {"rsqrt(%s)", false, 0, 1e6, 1e30},
    {"floor(%s)", true, 1, 1, 1e30},
    {"ceil(%s)", true, 1, 1, 1e30},
    {"round(%s)", true, 1, 1, 1e30},
    {"pow(%s, 2.0)", false, 0, 900, 30},
    {"pow(%s, 3.0)", false, 0, 27000, 30},
    {"pow(abs(%s) + 0.5, -1.25)", false, 0, 2.5, 1e30},
    {"pow(1.75, clip(%s, lo=-20.0, hi=9.0))", false, 0, 160, 1e30},
    {"exp(%s)", false, 0, 3e6, 15},
    {"exp(clip(%s, lo=-30.0, hi=1.0))", false, 0, 3, 1e30},
    {"log(abs(%s) + 0.25)", false, 1, 2, 1e30},
    {"sign(%s)", true, 0, 1, 1e30},
    {"sin(%s)", false, 0, 1, 1e30},
    {"cos(%s)", false, 0, 1, 1e30},
    {"stop_gradient(%s)", true, 1, 0, 1e30},
    {"tanh(%s)", false, 0, 1, 1e30},
    {"erf(%s)", false, 0, 1, 1e30},
    {"sigmoid(%s)", false, 0, 1, 1e30},
    {"leaky_relu(%s)", false, 1, 0, 1e30},
    {"leaky_relu(%s, alpha=0.2)", false, 1, 0, 1e30},
    {"leaky_relu(%s, alpha=2.0)", true, 2, 0, 1e30},
    {"elu(%s)", false, 1, 1, 1e30},
    {"elu(%s, alpha=0.7)", false, 1, 1, 1e30},
    {"hardsigmoid(%s)", false, 0, 1, 1e30},
    {"hardswish(%s)", false, 1, 0, 1e30},
    {"silu(%s)", false, 1, 0, 1e30},
    {"gelu(%s)", false, 1, 0, 1e30},
};

bool gen_unary(GraphGen *g) {
  int x = gen_pick(g, -1, 0);
  const GenValue *v = &g->value[x];
  if (gen_chance(g, 6) && gen_fits(g, v->bound * v->bound)) {
    gen_value(g, v->rank, v->dim, v->bound * v->bound, "square(%s)",
              gen_use(g, x));
    return true;
  }
  const UnaryForm *u =
      &unaries[gen_below(g, sizeof unaries / sizeof *unaries)];
  double bound = u->gain * v->bound + u->add;
  if ((g->ints && !u->ints) || v->bound > u->max || !gen_fits(g, bound))
    return false;
  const char *mark = strstr(u->expr, "%s");
  gen_value(g, v->rank, v->dim, bound, "%.*s%s%s", (int)(mark - u->expr),
            u->expr, gen_use(g, x), mark + 2);
  return true;
}

/* ---- binary --------------------------------------------------------- */

typedef enum {
  B_ADD, B_SUB, B_MUL, B_MAX, B_MIN, B_DIV, B_POW, B_FLOOR_DIV, B_FLOOR_MOD,
  B_ATAN2, B_COUNT
} Binary;

static double binary_bound(Binary op, double a, double b) {
  switch (op) {
    case B_ADD:
    case B_SUB: return a + b;
    case B_MUL: return a * b;
    case B_POW: return fmax(a + 0.5, 2);
    case B_FLOOR_DIV: return a + 1;
    case B_FLOOR_MOD: return b + 1;
    case B_ATAN2: return 3.2;
    default: return fmax(a, b);
  }
}

/* NumPy's rule; false when the shapes do not go together. */
static bool broadcast(const GraphGen *g, const GenValue *a, int rank,
                      const int64_t *dim, GenValue *out) {
  out->rank = a->rank > rank ? a->rank : rank;
  for (int i = 1; i <= out->rank; i++) {
    int64_t da = i <= a->rank ? a->dim[a->rank - i] : 1;
    int64_t db = i <= rank ? dim[rank - i] : 1;
    if (da != db && da != 1 && db != 1) return false;
    out->dim[out->rank - i] = da == 1 ? db : da;
  }
  return gen_elems(out->rank, out->dim) <= g->max_elems;
}

/* The right operand: its text in `name`, its shape in `b`. */
static bool binary_right(GraphGen *g, int x, GenValue *b, int *used) {
  const GenValue *a = &g->value[x];
  int64_t kind = gen_below(g, 100);
  *used = -1;
  if (kind < 20) {
    char number[32];
    *b = (GenValue){.bound = gen_number(g, number)};
    memcpy(b->name, number, sizeof b->name);
    return true;
  }
  if (kind < 45) {       /* a param of a's shape, axes dropped or 1 */
    int drop = (int)gen_below(g, a->rank + 1) * gen_chance(g, 50);
    *b = (GenValue){.rank = a->rank - drop, .bound = 2};
    for (int i = 0; i < b->rank; i++)
      b->dim[i] = gen_chance(g, 30) ? 1 : a->dim[i + drop];
    gen_param(g, b->name, "f32", 'a', b->rank, b->dim);
    return true;
  }
  GenValue ignored;
  for (int tries = 0; tries < 12; tries++) {
    int y = (int)gen_below(g, g->nvalues);
    if (g->value[y].elem != F32) continue;
    if (kind < 80 && tries < 8 && y == x) continue;
    *b = g->value[y];
    *used = y;
    if (broadcast(g, a, b->rank, b->dim, &ignored)) return true;
  }
  return false;
}

bool gen_binary(GraphGen *g) {
  static const char *const call[] = {
      "add(%s, %s)",     "sub(%s, %s)",     "mul(%s, %s)",
      "maximum(%s, %s)", "minimum(%s, %s)", "%s / (abs(%s) + 1.0)",
      "pow(abs(%s) + 0.5, tanh(%s))", "floor_div(%s, abs(%s) + 1.0)",
      "floor_mod(%s, abs(%s) + 1.0)", "atan2(%s, %s)"};
  static const char *const infix[] = {"%s + %s", "%s - %s", "%s * %s"};
  int x = gen_pick(g, -1, 0), y;
  GenValue a = g->value[x], b, out;
  Binary op = gen_chance(g, 45) ? B_ADD : (Binary)gen_below(g, B_COUNT);
  if (g->ints && op >= B_DIV) op = B_SUB;
  if (!binary_right(g, x, &b, &y)) return false;
  if (!broadcast(g, &a, b.rank, b.dim, &out)) return false;
  if (op >= B_DIV && y < 0) op = B_SUB;      /* abs() wants a tensor */
  double bound = binary_bound(op, a.bound, b.bound);
  if (!gen_fits(g, bound)) return false;
  const char *left = gen_use(g, x), *right = y < 0 ? b.name : gen_use(g, y);
  if (op < B_DIV && gen_chance(g, 40)) {
    const char *t = left;
    left = right, right = t;
  }
  const char *form = op <= B_MUL && gen_chance(g, 50) ? infix[op] : call[op];
  const char *first = strstr(form, "%s"), *second = strstr(first + 2, "%s");
  gen_value(g, out.rank, out.dim, bound, "%.*s%s%.*s%s%s",
            (int)(first - form), form, left, (int)(second - first - 2),
            first + 2, right, second + 2);
  return true;
}

/* ---- per channel ---------------------------------------------------- */

bool gen_affine(GraphGen *g) {
  int x = gen_pick(g, -1, 1);
  if (x < 0) return false;
  GenValue v = g->value[x];
  bool by_default = v.rank > 1 && gen_chance(g, 60);
  int axis = by_default ? 1 : (int)gen_below(g, v.rank);
  double bound = 2 * v.bound + 2;
  if (!gen_fits(g, bound)) return false;
  char scale[16], shift[16], tail[32] = "";
  gen_param(g, shift, "f32", 'b', 1, &v.dim[axis]);
  if (gen_chance(g, 10) && gen_fits(g, 3 * v.bound + 2)) {
    bound = 3 * v.bound + 2;
    strcpy(scale, gen_use(g, gen_input(g, F32, 1, &v.dim[axis])));
  } else {
    gen_param(g, scale, "f32", 's', 1, &v.dim[axis]);
  }
  if (!by_default) snprintf(tail, sizeof tail, ", axis=%d", axis);
  gen_value(g, v.rank, v.dim, bound, "scale_shift(%s, %s, %s%s)",
            gen_use(g, x), scale, shift, tail);
  return true;
}

/* Statistics are params, now and then those of this very batch. */
bool gen_batch_norm(GraphGen *g) {
  int x = gen_pick(g, -1, 2);
  if (g->ints || x < 0) return false;
  GenValue v = g->value[x];
  double bound = 2.5 * v.bound + 4;
  if (!gen_fits(g, bound * 4)) return false;
  static const char roles[] = {'g', 'b', 'm', 'v'};
  char p[4][16];
  for (int i = 0; i < 4; i++)
    gen_param(g, p[i], "f32", roles[i], 1, &v.dim[1]);
  if (v.rank == 4 && v.bound < 100 && gen_chance(g, 10)) {
    int m = gen_value(g, 1, &v.dim[1], v.bound, "mean(%s, axes=[0,2,3])",
                      gen_use(g, x));
    strcpy(p[2], gen_use(g, m));
    int s = gen_value(g, 1, &v.dim[1], v.bound * v.bound + 1,
                      "mean(square(%s), axes=[0,2,3]) + 0.5", v.name);
    strcpy(p[3], gen_use(g, s));
    bound = 3 * v.bound + 4;
  }
  gen_value(g, v.rank, v.dim, bound, "batch_norm(%s, %s, %s, %s, %s%s)",
            gen_use(g, x), p[0], p[1], p[2], p[3],
            gen_chance(g, 30) ? ", eps=0.01" : "");
  return true;
}

bool gen_mask(GraphGen *g) {
  int x = gen_pick(g, -1, 1);
  if (x < 0) return false;
  GenValue v = g->value[x];
  char m[16];
  gen_param(g, m, gen_chance(g, 50) ? "b1" : "f32", 'k', v.rank, v.dim);
  gen_value(g, v.rank, v.dim, v.bound, "mask(%s, %s)", gen_use(g, x), m);
  return true;
}

/* A value that folding can find: params and numbers only. */
bool gen_constant(GraphGen *g) {
  int like = gen_pick(g, -1, 0);
  GenValue v = g->value[like];
  char p[16], q[16], number[32];
  double k = gen_number(g, number);
  gen_param(g, p, "f32", 'a', v.rank, v.dim);
  gen_param(g, q, "f32", 'a', v.rank, v.dim);
  gen_value(g, v.rank, v.dim, 4 + k, "mul(%s, %s) + %s", p, q, number);
  return true;
}

/* ---- reductions ----------------------------------------------------- */

bool gen_reduce(GraphGen *g) {
  static const char *const name[] = {"max", "min", "sum", "mean", "prod"};
  int x = gen_pick_of(g, op_info(OP_MAX)->elems, -1, 1);
  if (x < 0) return false;
  GenValue v = g->value[x], out = {0};
  bool sums = op_info(OP_SUM)->elems >> v.elem & 1;
  int64_t op = gen_below(g, !sums ? 2 : g->ints || v.elem != F32 ? 3 : 5);
  bool all = gen_chance(g, 10), keep = gen_chance(g, 40);
  Text axes = {0};
  text_puts(&axes, "");
  int64_t folded = 1;
  for (int i = 0; i < v.rank; i++) {
    bool gone = all || gen_chance(g, v.rank > 2 ? 40 : 60);
    bool minus = gen_chance(g, 25);
    if (gone && !all)
      text_printf(&axes, "%s%d", axes.n ? "," : "", minus ? i - v.rank : i);
    if (gone) folded *= v.dim[i];
    if (!gone || keep) out.dim[out.rank++] = gone ? 1 : v.dim[i];
  }
  double bound = op == 2   ? v.bound * (double)folded
                 : op == 4 ? pow(fmax(v.bound, 1), (double)folded)
                           : v.bound;
  bool ok = (all || axes.n > 0) && gen_fits(g, bound);
  if (ok)
    gen_value_of(g, v.elem, out.rank, out.dim, bound, "%s(%s, axes=[%s]%s)",
                 name[op], gen_use(g, x), axes.s, keep ? ", keep=true" : "");
  text_free(&axes);
  return ok;
}

bool gen_softmax(GraphGen *g) {
  int x = gen_pick(g, -1, 1);
  if (g->ints || x < 0) return false;
  GenValue v = g->value[x];
  char tail[32] = "";
  if (gen_chance(g, 50))
    snprintf(tail, sizeof tail, ", axis=%d", (int)gen_below(g, v.rank));
  gen_value(g, v.rank, v.dim, 1, "softmax(%s%s)", gen_use(g, x), tail);
  return true;
}
