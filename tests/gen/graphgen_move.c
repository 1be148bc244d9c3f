/* graphgen_move.c - random ops that move values, and resize. */
#include <string.h>

#include "tests/gen/graphgen.h"

#define ELEM_ANY (op_info(OP_RESHAPE)->elems)

bool gen_convert(GraphGen *g) {
  int x = gen_pick_of(g, ELEM_ANY, -1, 0);
  GenValue v = g->value[x];
  gen_value_of(g, v.elem, v.rank, v.dim, v.bound, "convert(%s)",
               gen_use(g, x));
  return true;
}

/* Any factors of the number of elements; one of them written as -1. */
bool gen_reshape(GraphGen *g) {
  int x = gen_pick_of(g, ELEM_ANY, -1, 0);
  GenValue v = g->value[x];
  int64_t rest = gen_elems(v.rank, v.dim), dim[MAX_RANK];
  int rank = (int)gen_range(g, 1, 4);
  for (int i = 0; i < rank - 1; i++) {
    int64_t d = gen_range(g, 1, rest < 40 ? rest : 40);
    while (rest % d) d--;
    dim[i] = d;
    rest /= d;
  }
  dim[rank - 1] = rest;
  int64_t said[MAX_RANK];
  memcpy(said, dim, sizeof said);
  if (gen_chance(g, 40)) said[gen_below(g, rank)] = -1;
  Text t = {0};
  gen_dims(&t, rank, said);
  gen_value_of(g, v.elem, rank, dim, v.bound, "reshape(%s, shape=[%s])",
               gen_use(g, x), t.s);
  text_free(&t);
  return true;
}

bool gen_permute(GraphGen *g) {
  int x = gen_pick_of(g, ELEM_ANY, -1, 2);
  if (x < 0) return false;
  GenValue v = g->value[x];
  int64_t order[MAX_RANK], dim[MAX_RANK];
  for (int i = 0; i < v.rank; i++) order[i] = i;
  for (int i = v.rank - 1; i > 0; i--) {
    int64_t k = gen_below(g, i + 1), t = order[k];
    order[k] = order[i], order[i] = t;
  }
  for (int i = 0; i < v.rank; i++) dim[i] = v.dim[order[i]];
  Text t = {0};
  gen_dims(&t, v.rank, order);
  gen_value_of(g, v.elem, v.rank, dim, v.bound, "permute(%s, order=[%s])",
            gen_use(g, x), t.s);
  text_free(&t);
  return true;
}

bool gen_expand(GraphGen *g) {
  int x = gen_pick_of(g, ELEM_ANY, -1, 0);
  GenValue v = g->value[x];
  int lead = v.rank < 4 && gen_chance(g, 50) ? 1 : 0;
  int64_t dim[MAX_RANK] = {gen_range(g, 1, 4)};
  for (int i = 0; i < v.rank; i++)
    dim[lead + i] = v.dim[i] == 1 ? gen_size(g, 9) : v.dim[i];
  if (gen_elems(lead + v.rank, dim) > g->max_elems || lead + v.rank == 0)
    return false;
  Text t = {0};
  gen_dims(&t, lead + v.rank, dim);
  gen_value_of(g, v.elem, lead + v.rank, dim, v.bound,
               "expand(%s, shape=[%s])", gen_use(g, x), t.s);
  text_free(&t);
  return true;
}

/* Equal but along the axis. */
static bool joins(const GenValue *a, const GenValue *b, int axis) {
  if (a->rank != b->rank || a->elem != b->elem) return false;
  for (int i = 0; i < a->rank; i++)
    if (i != axis && a->dim[i] != b->dim[i]) return false;
  return true;
}

bool gen_concat(GraphGen *g) {
  int x = gen_pick_of(g, ELEM_ANY, -1, 1), parts = 1;
  if (x < 0) return false;
  GenValue out = g->value[x];
  int axis = out.rank > 1 && gen_chance(g, 60) ? 1
                                               : (int)gen_below(g, out.rank);
  Text t = {0};
  text_puts(&t, out.name);
  int used[4] = {x};
  for (int i = 0; i < 6 && parts < 4; i++) {
    int y = (int)gen_below(g, g->nvalues);
    const GenValue *v = &g->value[y];
    if (!joins(&out, v, axis) || (y == x && gen_chance(g, 70))) continue;
    text_printf(&t, ", %s", v->name);
    out.dim[axis] += v->dim[axis];
    if (v->bound > out.bound) out.bound = v->bound;
    used[parts++] = y;
  }
  bool ok = gen_elems(out.rank, out.dim) <= g->max_elems;
  ok = ok && (parts > 1 || gen_chance(g, 5));
  for (int i = 0; ok && i < parts; i++) gen_use(g, used[i]);
  if (ok)
    gen_value_of(g, out.elem, out.rank, out.dim, out.bound,
                 "concat(%s, axis=%d)", t.s, axis);
  text_free(&t);
  return ok;
}

bool gen_slice(GraphGen *g) {
  int x = gen_pick_of(g, ELEM_ANY, -1, 1);
  if (x < 0) return false;
  GenValue v = g->value[x];
  int axis = (int)gen_below(g, v.rank);
  int64_t d = v.dim[axis], start = gen_below(g, d);
  int64_t stop = gen_range(g, start + 1, d);
  int64_t step = gen_chance(g, 70) ? 1 : gen_range(g, 2, 3);
  int64_t dim[MAX_RANK];
  memcpy(dim, v.dim, sizeof dim);
  dim[axis] = (stop - start + step - 1) / step;
  if (gen_chance(g, 25)) start -= d;
  if (stop < d && gen_chance(g, 25)) stop -= d;
  char tail[32] = "";
  if (step > 1) snprintf(tail, sizeof tail, ", step=%d", (int)step);
  gen_value_of(g, v.elem, v.rank, dim, v.bound,
               "slice(%s, axis=%d, start=%d, stop=%d%s)", gen_use(g, x),
               axis, (int)start, (int)stop, tail);
  return true;
}

bool gen_select(GraphGen *g) {
  int x = gen_pick_of(g, ELEM_ANY, -1, 1);
  if (x < 0) return false;
  GenValue v = g->value[x];
  int axis = (int)gen_below(g, v.rank);
  int64_t index = gen_below(g, v.dim[axis]), dim[MAX_RANK];
  for (int i = 0, to = 0; i < v.rank; i++)
    if (i != axis) dim[to++] = v.dim[i];
  gen_value_of(g, v.elem, v.rank - 1, dim, v.bound,
               "select(%s, index=%d, axis=%d)", gen_use(g, x), (int)index,
               axis);
  return true;
}

bool gen_pad(GraphGen *g) {
  int x = gen_pick_of(g, ELEM_ANY, -1, 1);
  if (x < 0) return false;
  GenValue v = g->value[x];
  int64_t before[MAX_RANK], after[MAX_RANK], dim[MAX_RANK];
  for (int i = 0; i < v.rank; i++) {
    before[i] = gen_chance(g, 40) ? gen_range(g, 0, 2) : 0;
    after[i] = gen_chance(g, 40) ? gen_range(g, 0, 2) : 0;
    dim[i] = v.dim[i] + before[i] + after[i];
  }
  if (gen_elems(v.rank, dim) > g->max_elems) return false;
  Text t = {0};
  text_puts(&t, "before=[");
  gen_dims(&t, v.rank, before);
  text_puts(&t, "], after=[");
  gen_dims(&t, v.rank, after);
  text_puts(&t, "]");
  double bound = v.bound;
  if (gen_chance(g, 30)) {
    char number[32];
    double k = v.elem == F32 ? gen_number(g, number) : 1;
    text_printf(&t, ", value=%s", v.elem == F32 ? number : "1.0");
    if (k > bound) bound = k;
  }
  gen_value_of(g, v.elem, v.rank, dim, bound, "pad(%s, %s)",
               gen_use(g, x), t.s);
  text_free(&t);
  return true;
}

/* Several maps of one size side by side, or some a row or column shorter. */
bool gen_interleave(GraphGen *g) {
  int x = gen_pick(g, 4, 2);
  if (x < 0) return false;
  GenValue v = g->value[x];
  int64_t step[2] = {gen_range(g, 1, 3), gen_range(g, 1, 4)};
  int64_t less[2] = {0, 0}, dim[4] = {v.dim[0], v.dim[1]};
  for (int i = 0; i < 2; i++) {
    if (v.dim[2 + i] > 1 && gen_chance(g, 50))
      less[i] = gen_below(g, step[i]);
    dim[2 + i] = v.dim[2 + i] * step[i] - less[i];
  }
  if (gen_elems(4, dim) > g->max_elems) return false;
  Text t = {0};
  for (int64_t k = 0; k < step[0] * step[1]; k++) {
    bool low = k / step[1] >= step[0] - less[0];
    bool thin = k % step[1] >= step[1] - less[1];
    const char *name = gen_use(g, x);
    text_puts(&t, low ? "slice(" : "");
    text_puts(&t, thin ? "slice(" : "");
    text_puts(&t, name);
    if (thin) text_printf(&t, ", axis=3, start=1, stop=%d)", (int)v.dim[3]);
    if (low) text_printf(&t, ", axis=2, start=1, stop=%d)", (int)v.dim[2]);
    text_puts(&t, ", ");
  }
  gen_value(g, 4, dim, v.bound, "interleave(%sstep=[%d,%d])", t.s,
            (int)step[0], (int)step[1]);
  text_free(&t);
  return true;
}

/* ---- resize --------------------------------------------------------- */

bool gen_resize(GraphGen *g) {
  static const char *const coords[] = {"half_pixel", "align_corners",
                                       "asymmetric"};
  int x = gen_pick(g, 4, 4);
  if (x < 0) return false;
  GenValue v = g->value[x];
  bool twice = gen_chance(g, 40);
  int64_t dim[4] = {v.dim[0], v.dim[1]};
  for (int i = 2; i < 4; i++)
    dim[i] = twice ? 2 * v.dim[i] : gen_size(g, 40);
  if (gen_elems(4, dim) > g->max_elems) return false;
  bool blend = !g->ints && gen_chance(g, 60);
  Text t = {0};
  gen_dims(&t, 2, dim + 2);
  const char *tail = gen_chance(g, 30) ? NULL : coords[gen_below(g, 3)];
  gen_value(g, 4, dim, v.bound, "resize(%s, size=[%s]%s%s%s%s)",
            gen_use(g, x), t.s, blend ? ", mode=\"bilinear\"" : "",
            tail ? ", coord=\"" : "", tail ? tail : "", tail ? "\"" : "");
  text_free(&t);
  return true;
}
