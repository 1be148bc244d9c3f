/* graphgen_index.c - random ops that count, order and look up elements. */
#include <string.h>

#include "tests/gen/graphgen.h"

static int pick_of(GraphGen *g, Op op, int min_rank) {
  return gen_pick_of(g, op_info(op)->elems, -1, min_rank);
}

/* An axis, counted from either end. */
static int axis_text(GraphGen *g, int rank, char text[8]) {
  int axis = (int)gen_below(g, rank);
  snprintf(text, 8, "%d", gen_chance(g, 30) ? axis - rank : axis);
  return axis;
}

bool gen_arg(GraphGen *g) {
  int x = pick_of(g, OP_ARGMAX, 1), rank = 0;
  if (x < 0) return false;
  GenValue v = g->value[x];
  char axis[8];
  int64_t dim[MAX_RANK];
  int a = axis_text(g, v.rank, axis);
  bool keep = gen_chance(g, 30);
  for (int i = 0; i < v.rank; i++)
    if (i != a || keep) dim[rank++] = i == a ? 1 : v.dim[i];
  gen_value_of(g, I32, rank, dim, (double)v.dim[a], "%s(%s, axis=%s%s)",
               gen_chance(g, 50) ? "argmax" : "argmin", gen_use(g, x), axis,
               keep ? ", keep=true" : "");
  return true;
}

bool gen_argsort(GraphGen *g) {
  int x = pick_of(g, OP_ARGSORT, 1);
  if (x < 0) return false;
  GenValue v = g->value[x];
  char axis[8], count[32] = "";
  int a = axis_text(g, v.rank, axis);
  double bound = (double)v.dim[a];
  if (v.dim[a] > 300) return false;   /* the bounds compare all pairs */
  if (gen_chance(g, 60)) {
    v.dim[a] = gen_range(g, 0, v.dim[a]);
    if (v.dim[a] == 0) v.dim[a] = 1;
    snprintf(count, sizeof count, ", count=%d", (int)v.dim[a]);
  }
  gen_value_of(g, I32, v.rank, v.dim, bound, "argsort(%s, axis=%s%s%s)",
               gen_use(g, x), axis, count,
               gen_chance(g, 50) ? ", descending=true" : "");
  return true;
}

bool gen_cumsum(GraphGen *g) {
  int x = pick_of(g, OP_CUMSUM, 1);
  if (x < 0) return false;
  GenValue v = g->value[x];
  char axis[8];
  double bound = v.bound * (double)v.dim[axis_text(g, v.rank, axis)];
  if (!gen_fits(g, bound)) return false;
  gen_value_of(g, v.elem, v.rank, v.dim, bound, "cumsum(%s, axis=%s%s%s)",
               gen_use(g, x), axis,
               gen_chance(g, 40) ? ", exclusive=true" : "",
               gen_chance(g, 40) ? ", reverse=true" : "");
  return true;
}

bool gen_flip(GraphGen *g) {
  int x = pick_of(g, OP_FLIP, 1);
  if (x < 0) return false;
  GenValue v = g->value[x];
  Text axes = {0};
  text_puts(&axes, "");
  for (int i = 0; i < v.rank; i++)
    if (gen_chance(g, 50))
      text_printf(&axes, "%s%d", axes.n ? "," : "",
                  gen_chance(g, 30) ? i - v.rank : i);
  gen_value_of(g, v.elem, v.rank, v.dim, v.bound, "flip(%s, axes=[%s])",
               gen_use(g, x), axes.s);
  text_free(&axes);
  return true;
}

/* ---- looking up ------------------------------------------------------ */

/* Integers of some shape: a value, a param of small ones, a number. */
static int index_text(GraphGen *g, int max_rank, char text[16],
                      int64_t dim[MAX_RANK]) {
  int k = gen_pick_of(g, 1u << I32 | 1u << I64, -1, 0);
  if (k >= 0 && g->value[k].rank <= max_rank && gen_chance(g, 60) &&
      gen_elems(g->value[k].rank, g->value[k].dim) <= 100) {
    strcpy(text, gen_use(g, k));
    memcpy(dim, g->value[k].dim, sizeof g->value[k].dim);
    return g->value[k].rank;
  }
  if (gen_chance(g, 20)) {
    snprintf(text, 16, "%d", (int)gen_range(g, -1, 4));
    return 0;
  }
  int rank = (int)gen_range(g, 0, max_rank < 2 ? max_rank : 2);
  for (int i = 0; i < rank; i++) dim[i] = gen_size(g, 6);
  gen_param(g, text, gen_chance(g, 50) ? "i32" : "i64", 'i', rank, dim);
  return rank;
}

bool gen_gather(GraphGen *g) {
  int x = pick_of(g, OP_GATHER, 1), rank = 0;
  if (x < 0) return false;
  GenValue v = g->value[x];
  char axis[8], index[16];
  int64_t dim[MAX_RANK], at[MAX_RANK];
  int a = axis_text(g, v.rank, axis);
  int wide = index_text(g, 6 - v.rank, index, at);
  for (int i = 0; i < a; i++) dim[rank++] = v.dim[i];
  for (int i = 0; i < wide; i++) dim[rank++] = at[i];
  for (int i = a + 1; i < v.rank; i++) dim[rank++] = v.dim[i];
  if (gen_elems(rank, dim) > g->max_elems) return false;
  gen_value_of(g, v.elem, rank, dim, v.bound, "gather(%s, %s, axis=%s)",
               gen_use(g, x), index, axis);
  return true;
}

/* What comes to the value is from a lookup in the value itself. */
static bool gen_scatter_as(GraphGen *g, Op op, const char *name,
                           const char *mode) {
  int x = pick_of(g, op, 1);
  if (x < 0 || g->nvalues + 2 >= GEN_MAX_VALUES) return false;
  GenValue v = g->value[x], up = {.elem = v.elem};
  char axis[8], index[16];
  int64_t at[MAX_RANK];
  int a = axis_text(g, v.rank, axis);
  int wide = index_text(g, 6 - v.rank, index, at);
  for (int i = 0; i < a; i++) up.dim[up.rank++] = v.dim[i];
  for (int i = 0; i < wide; i++) up.dim[up.rank++] = at[i];
  for (int i = a + 1; i < v.rank; i++) up.dim[up.rank++] = v.dim[i];
  double bound = v.bound;
  if (op == OP_SCATTER_ADD) bound *= (double)(1 + gen_elems(wide, at));
  if (gen_elems(up.rank, up.dim) > g->max_elems || !gen_fits(g, bound))
    return false;
  int u = gen_value_of(g, v.elem, up.rank, up.dim, v.bound,
                       "gather(%s, %s, axis=%s)", gen_use(g, x), index, axis);
  gen_value_of(g, v.elem, v.rank, v.dim, bound,
               "%s(%s, %s, %s, axis=%s%s)", name, gen_use(g, x), index,
               gen_use(g, u), axis, mode);
  return true;
}

bool gen_scatter_add(GraphGen *g) {
  return gen_scatter_as(g, OP_SCATTER_ADD, "scatter_add", "");
}

bool gen_scatter(GraphGen *g) {
  if (gen_chance(g, 60)) return gen_scatter_as(g, OP_SCATTER, "scatter", "");
  bool max = gen_chance(g, 50);
  return gen_scatter_as(g, OP_MAXIMUM, "scatter",
                        max ? ", mode=\"max\"" : ", mode=\"min\"");
}

/* ---- of numbers alone ------------------------------------------------ */

bool gen_iota(GraphGen *g) {
  int like = gen_pick_of(g, op_info(OP_CAST)->elems, -1, 1);
  if (like < 0) return false;
  GenValue v = g->value[like];
  char axis[8];
  int a = axis_text(g, v.rank, axis);
  Text t = {0};
  gen_dims(&t, v.rank, v.dim);
  gen_value_of(g, I32, v.rank, v.dim, (double)v.dim[a],
               "iota(shape=[%s], axis=%s)", t.s, axis);
  text_free(&t);
  return true;
}

bool gen_random(GraphGen *g) {
  int like = gen_pick(g, -1, 0);
  if (like < 0 || g->ints) return false;
  GenValue v = g->value[like];
  int64_t two = 2;
  char key[16];
  Text t = {0};
  text_puts(&t, "");
  gen_dims(&t, v.rank, v.dim);
  gen_param(g, key, "i32", 'i', 1, &two);
  gen_value(g, v.rank, v.dim, 1, "random(%s, shape=[%s])", key, t.s);
  text_free(&t);
  return true;
}
