/* graphgen_types.c - random casts, and arithmetic on integers and bits. */
#include <math.h>
#include <string.h>

#include "tests/gen/graphgen.h"

/* ---- casts ----------------------------------------------------------- */

/* The bound of a value cast to e; above what may go on where it cannot. */
static double cast_bound(const GraphGen *g, double bound, Elem e) {
  switch (e) {
    case B1: return 1;
    case I8: return fmin(bound, 128);
    case U8: return fmin(bound, 255);
    case I16: return fmin(bound, 32768);
    case U16: return fmin(bound, 65535);
    case F16: return bound <= (g->ints ? 2048 : 60000) ? bound : INFINITY;
    case BF16: return bound <= (g->ints ? 256 : 1e9) ? bound : INFINITY;
    case F64: case F32: return gen_fits(g, bound) ? bound : INFINITY;
    default: return bound <= 1e9 ? bound : INFINITY;
  }
}

static const Elem cast_to[] = {
  F32, F32, F32, F32, F32, I32, I32, I32, I64, I64, U8, B1, F16, BF16, F64,
  I16, I8, U16, U32, U64
};

/* A negative number is no unsigned one: from another integer it wraps. */
static bool wraps(Elem from, Elem to) {
  return !elem_is_float(from) && !elem_is_unsigned(from) &&
         elem_is_unsigned(to) && to != B1;
}

bool gen_cast(GraphGen *g) {
  int x = gen_pick_of(g, op_info(OP_CAST)->elems, -1, 0);
  GenValue v = g->value[x];
  Elem e = cast_to[gen_below(g, sizeof cast_to / sizeof *cast_to)];
  double most = wraps(v.elem, e) ? ldexp(1, elem_bits(e)) : v.bound;
  double bound = cast_bound(g, most, e);
  if (isinf(bound) || (e == v.elem && gen_chance(g, 80))) return false;
  gen_value_of(g, e, v.rank, v.dim, bound, "cast(%s, %s)", gen_use(g, x),
               elem_name(e));
  return true;
}

/* A param of another type than is computed in, and moved so or computed
 * with. */
bool gen_storage(GraphGen *g) {
  int like = gen_pick(g, -1, 0);
  GenValue v = g->value[like];
  char p[16];
  static const Elem kinds[] = {F16, F16, BF16, BF16, F64, I8, I16, U16};
  Elem e = kinds[gen_below(g, sizeof kinds / sizeof *kinds)];
  double bound = elem_is_float(e) ? 3 : 18;
  int64_t dim[MAX_RANK];
  for (int i = 0; i < v.rank; i++) dim[i] = gen_chance(g, 20) ? 1 : v.dim[i];
  gen_param(g, p, elem_name(e), 'b', v.rank, dim);
  if (gen_chance(g, 50)) {
    gen_value(g, v.rank, dim, bound, "cast(%s, f32)", p);
    return true;
  }
  Text t = {0};
  gen_dims(&t, v.rank, v.dim);
  gen_value_of(g, e, v.rank, v.dim, bound, "expand(%s, shape=[%s])", p,
               v.rank ? t.s : "");
  text_free(&t);
  return true;
}

/* ---- integers -------------------------------------------------------- */

static const uint32_t INTS = 1u << I32 | 1u << I64;

bool gen_int_unary(GraphGen *g) {
  static const char *const name[] = {"neg", "abs", "square", "sign"};
  int x = gen_pick_of(g, INTS, -1, 0);
  if (x < 0) return false;
  GenValue v = g->value[x];
  int64_t op = gen_below(g, 4);
  double bound = op == 2 ? v.bound * v.bound : v.bound;
  if (bound > 1e9) return false;
  gen_value_of(g, v.elem, v.rank, v.dim, bound, "%s(%s)", name[op],
               gen_use(g, x));
  return true;
}

/* With itself, a literal, a param or one of its own sums. */
bool gen_int_binary(GraphGen *g) {
  static const char *const op[] = {"%s + %s", "%s - %s", "%s * %s",
                                   "%s / %s", "floor_mod(%s, %s)",
                                   "maximum(%s, %s)", "minimum(%s, %s)"};
  int x = gen_pick_of(g, INTS | 1u << U8 | 1u << B1, -1, 0);
  if (x < 0) return false;
  GenValue v = g->value[x];
  char right[16];
  int64_t k = INTS >> v.elem & 1 ? gen_below(g, 7) : gen_range(g, 5, 6);
  double other = 6;
  if (gen_chance(g, 30)) {
    strcpy(right, gen_use(g, x));
    other = v.bound;
  } else if (gen_chance(g, 50)) {
    gen_param(g, right, elem_name(v.elem), 'i', v.rank, v.dim);
  } else {
    snprintf(right, sizeof right, v.elem == B1 ? "true" : "%d",
             (int)gen_range(g, v.elem == U8 ? 0 : -6, 6));
  }
  double bound = k == 2 ? v.bound * other : v.bound + other;
  if (bound > 1e9) return false;
  const char *second = strrchr(op[k], '%');
  gen_value_of(g, v.elem, v.rank, v.dim, bound, "%.*s%s%.*s%s%s",
               (int)(strchr(op[k], '%') - op[k]), op[k], gen_use(g, x),
               (int)(second - strchr(op[k], '%') - 2),
               strchr(op[k], '%') + 2, right, second + 2);
  return true;
}

/* One more input that is no f32. */
bool gen_typed_input(GraphGen *g) {
  static const Elem to[] = {
    I32, I32, I32, I64, I64, U8, U8, B1, B1, F16, BF16, F64, I16, I8, U16,
    U32, U64
  };
  int like = gen_pick_of(g, op_info(OP_CAST)->elems, -1, 0);
  GenValue v = g->value[like];
  gen_input(g, to[gen_below(g, sizeof to / sizeof *to)], v.rank, v.dim);
  return true;
}

/* ---- conditions ------------------------------------------------------ */

/* The right side of an operator on values of x's type and shape: a literal,
 * a param with some axes of size 1, or x itself. */
static void same_type(GraphGen *g, int x, char text[16]) {
  GenValue v = g->value[x];
  int64_t dim[MAX_RANK];
  bool real = elem_is_float(v.elem);
  int64_t kind = gen_below(g, 10);
  for (int i = 0; i < v.rank; i++)
    dim[i] = gen_chance(g, 30) ? 1 : v.dim[i];
  if (kind < 1) strcpy(text, gen_use(g, x));
  else if (kind < 5 && v.elem != F16 && v.elem != BF16)
    gen_param(g, text, elem_name(v.elem), 'i', v.rank, dim);
  else if (real) snprintf(text, 16, "%d.0", (int)gen_range(g, -2, 2));
  else
    snprintf(text, 16, v.elem == B1 ? "true" : "%d",
             (int)gen_range(g, elem_is_unsigned(v.elem) ? 0 : -2, 3));
}

bool gen_compare(GraphGen *g) {
  static const char *const infix[] = {"==", "!=", "<", "<=", ">", ">="};
  int x = gen_pick_of(g, op_info(OP_LESS)->elems, -1, 0);
  if (x < 0) return false;
  GenValue v = g->value[x];
  char right[16];
  same_type(g, x, right);
  gen_value_of(g, B1, v.rank, v.dim, 1, "%s %s %s", gen_use(g, x),
               infix[gen_below(g, 6)], right);
  return true;
}

/* A value or another, by a condition of its shape. */
bool gen_where(GraphGen *g) {
  int x = gen_pick_of(g, op_info(OP_WHERE)->elems, -1, 0), c = -1;
  GenValue v = g->value[x];
  char other[16], cond[16];
  for (int i = g->nvalues - 1; i >= 0 && c < 0; i--)
    if (g->value[i].elem == B1 && g->value[i].rank == v.rank &&
        !memcmp(g->value[i].dim, v.dim, sizeof v.dim[0] * (size_t)v.rank))
      c = i;
  if (c < 0 && !gen_chance(g, 30)) return false;
  if (c < 0) gen_param(g, cond, "b1", 'i', v.rank, v.dim);
  else strcpy(cond, gen_use(g, c));
  same_type(g, x, other);
  bool first = gen_chance(g, 50);
  const char *own = gen_use(g, x);
  gen_value_of(g, v.elem, v.rank, v.dim, v.bound > 6 ? v.bound : 6,
               "where(%s, %s, %s)", cond, first ? own : other,
               first ? other : own);
  return true;
}
