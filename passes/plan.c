/* plan.c - an arena offset for each value.
 *
 * requires   kernels are selected; outputs are rows with a value each
 * preserves  values: bytes are shared only by values whose lives do not
 *            meet, by a value and the one computed over it in place, and by
 *            views and what they show
 * before     c: f32[1,8,4,4] <layout=...> = concat(a, b, axis=1,
 *                                                  kernel="copy");
 * after      a: f32[1,4,4,4] <layout=..., at=0> = ...;
 *            b: f32[1,4,4,4] <layout=..., at=576> = ...;
 *            c: f32[1,8,4,4] <layout=..., at=0> = concat(a, b, axis=1,
 *                                                  kernel="alias");
 * source     greedy by size, best fit: Pisarchyk and Lee, 2020 ("Efficient
 *            memory management for deep neural net inference"), section 4
 *
 * Outputs are written into the caller's buffers and inputs read from them:
 * neither has an offset.  A value is alive from the node that computes it
 * to its last use; a node's result never overlaps its operands unless it is
 * computed in place. */
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"

enum { ALIGN = 64 };

/* Bytes that several values may share in turn. */
typedef struct Unit {
  int64_t size, at;
  int64_t first, last;   /* ids of the nodes between which it is alive */
} Unit;

typedef struct Planner {
  PassCtx *c;
  Func *f;
  int64_t *last;         /* by id: the last node that uses the value */
  bool *outside;         /* by id: lies in a buffer of the caller */
  Node **inside;         /* by id: the concat whose buffer it is part of */
  int64_t *part;         /* by id: byte offset in there */
  int *unit;             /* by id: index of its unit, -1: none */
  int64_t *offset;       /* by id: byte offset in its unit */
  Vec(Unit) units;
} Planner;

/* ---- lives ---------------------------------------------------------- */

static Node *root_of(Node *n) {
  while (node_is_alias(n) && n->op == OP_RESHAPE) n = n->in[0];
  return n;
}

static void lives_find(Planner *p) {
  for (size_t i = 0; i < p->f->nodes.n; i++) {
    const Node *n = p->f->nodes.at[i];
    p->last[i] = (int64_t)i;
    for (int k = 0; k < n->nin; k++)
      if (n->in[k]) p->last[n->in[k]->id] = (int64_t)i;
  }
  for (size_t i = 0; i < p->f->inputs.n; i++)
    p->outside[p->f->inputs.at[i]->id] = true;
  for (size_t i = 0; i < p->f->outputs.n; i++) {
    Node *n = p->f->outputs.at[i].node;
    p->outside[n->id] = p->outside[root_of(n)->id] = true;
  }
  for (size_t i = 0; i < p->f->nexts.n; i++)
    p->last[p->f->nexts.at[i].node->id] = (int64_t)p->f->nodes.n;
}

/* ---- concat without a copy ------------------------------------------ */

/* Does operand k lie in the result as it would lie alone? */
static bool part_fits(const Planner *p, const Node *n, int k, int64_t index) {
  const Node *x = n->in[k];
  int axis = (int)attr_int(n, "axis");
  int64_t ns[MAX_RANK], xs[MAX_RANK], at, from;
  if (node_is_leaf(x) || node_is_alias(x) || p->outside[x->id] ||
      p->inside[x->id])
    return false;
  for (int i = 0; i < k; i++)
    if (n->in[i] == x) return false;
  if (!layout_strides(&n->type, ns, &at) ||
      !layout_strides(&x->type, xs, &from) || at != from)
    return false;
  if (!n->type.layout != !x->type.layout) return false;
  for (int i = axis; i < n->type.rank; i++)
    if (ns[i] != xs[i]) return false;
  int64_t align = n->type.layout ? p->c->target->lanes * 4 : ALIGN;
  int64_t part = index * ns[axis] * (int64_t)elem_size(n->type.elem);
  return part % align == 0 &&
         part + type_bytes(&x->type) <= type_bytes(&n->type);
}

/* Do the operands lie as rows of the result (pass layout made them so)? */
static bool rows_fit(const Planner *p, const Node *n) {
  int64_t step;
  if (node_rows(n, 0, &step) < 0) return false;
  for (int k = 0; k < n->nin; k++) {
    const Node *x = n->in[k];
    if (node_is_leaf(x) || node_is_alias(x) || p->outside[x->id] ||
        p->inside[x->id] || (k > 0 && x->id <= n->in[k - 1]->id) ||
        !type_is_rows(&x->type, &n->type, node_rows(n, k, &step), step))
      return false;
  }
  return true;
}

static void rows_place(Planner *p, Node *n) {
  for (int k = 0; k < n->nin; k++) p->inside[n->in[k]->id] = n;
  n->kernel = "alias";
}

static void concat_place(Planner *p, Node *n) {
  int axis = (int)attr_int(n, "axis");
  if (p->outside[n->id]) return;
  for (int k = 0; k < n->nin; k++)
    if (axis_is_free(&n->in[k]->type, axis)) return;
  if (rows_fit(p, n)) {
    rows_place(p, n);
    return;
  }
  for (int i = 0; i < axis; i++)
    if (n->type.dim[i] != 1) return;
  int64_t index = 0, stride[MAX_RANK], at;
  for (int k = 0; k < n->nin; k++) {
    if (!part_fits(p, n, k, index)) return;
    index += n->in[k]->type.dim[axis];
  }
  layout_strides(&n->type, stride, &at);
  index = 0;
  for (int k = 0; k < n->nin; k++) {
    Node *x = n->in[k];
    p->inside[x->id] = n;
    p->part[x->id] =
      index * stride[axis] * (int64_t)elem_size(n->type.elem);
    index += x->type.dim[axis];
  }
  n->kernel = "alias";
}

/* Does a slice show rows of what lies in the arena? */
static bool slice_fits(const Planner *p, const Node *n) {
  if (n->op != OP_SLICE || p->outside[n->id] || p->outside[n->in[0]->id] ||
      node_is_leaf(n->in[0]))
    return false;
  int64_t step, start = node_rows(n, 0, &step);
  return start >= 0 &&
         type_is_rows(&n->type, &n->in[0]->type, start, step);
}

/* ---- units ---------------------------------------------------------- */

static void unit_join(Planner *p, const Node *n, int unit, int64_t offset) {
  Unit *u = &p->units.at[unit];
  p->unit[n->id] = unit;
  p->offset[n->id] = offset;
  if (p->last[n->id] > u->last) u->last = p->last[n->id];
}

static void unit_add(Planner *p, const Node *n, int64_t first) {
  int64_t bytes = (type_bytes(&n->type) + ALIGN - 1) / ALIGN * ALIGN;
  Unit u = {bytes, 0, first, p->last[n->id]};
  vec_push(p->c->scratch, &p->units, u);
  unit_join(p, n, (int)p->units.n - 1, 0);
}

/* May the result take over the bytes of operand k? */
static bool operand_yields(const Planner *p, const Node *n, int k) {
  const Node *x = n->in[k];
  if (!x || p->unit[x->id] < 0 || !node_reads_in_step(n, k)) return false;
  const Unit *u = &p->units.at[p->unit[x->id]];
  if (u->last != (int64_t)n->id) return false;
  for (int i = 0; i < n->nin; i++) {
    const Node *y = n->in[i];
    if (i == k || !y || p->unit[y->id] != p->unit[x->id]) continue;
    if (y != x || !node_reads_in_step(n, i)) return false;
  }
  return true;
}

/* When the first byte of it is written: a concat's unit lives from its first
 * part on, a result from the call that gives it. */
static int64_t first_part(const Planner *p, const Node *n) {
  int64_t first = n->op == OP_ITEM ? n->in[0]->id : n->id;
  if (!node_is_alias(n) || n->op != OP_CONCAT) return first;
  for (int k = 0; k < n->nin; k++) {
    int64_t at = first_part(p, n->in[k]);
    if (at < first) first = at;
  }
  return first;
}

static void node_place(Planner *p, Node *n) {
  if (p->unit[n->id] >= 0 || p->outside[n->id] || node_is_leaf(n)) return;
  if (p->inside[n->id]) {
    Node *whole = p->inside[n->id];
    node_place(p, whole);
    unit_join(p, n, p->unit[whole->id],
              p->offset[whole->id] + p->part[n->id]);
    return;
  }
  if (node_is_alias(n) && n->op != OP_CONCAT) {
    int u = p->unit[n->in[0]->id];
    if (u >= 0) unit_join(p, n, u, p->offset[n->in[0]->id]);
    return;
  }
  for (int k = 0; k < n->nin; k++)
    if (operand_yields(p, n, k)) {
      unit_join(p, n, p->unit[n->in[k]->id], p->offset[n->in[k]->id]);
      return;
    }
  unit_add(p, n, first_part(p, n));
}

/* ---- offsets -------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
  const Unit *x = *(Unit *const *)a, *y = *(Unit *const *)b;
  if (x->size != y->size) return x->size > y->size ? -1 : 1;
  if (x->first != y->first) return x->first < y->first ? -1 : 1;
  return (x > y) - (x < y);
}

/* Put u into the smallest gap between the placed units (ascending by
 * offset) that are alive with it; returns its end. */
static int64_t unit_fit(Unit *u, Unit *const *placed, size_t n) {
  int64_t end = 0, best = -1, best_gap = 0;
  for (size_t i = 0; i < n; i++) {
    const Unit *v = placed[i];
    if (v->first > u->last || v->last < u->first) continue;
    int64_t gap = v->at - end;
    if (gap >= u->size && (best < 0 || gap < best_gap)) {
      best = end;
      best_gap = gap;
    }
    if (v->at + v->size > end) end = v->at + v->size;
  }
  u->at = best >= 0 ? best : end;
  return u->at + u->size;
}

static int64_t units_fit(Planner *p) {
  size_t n = p->units.n;
  Unit **order = arena_array(p->c->scratch, Unit *, n ? n : 1);
  Unit **placed = arena_array(p->c->scratch, Unit *, n ? n : 1);
  int64_t total = ALIGN;   /* an arena is never empty */
  for (size_t i = 0; i < n; i++) order[i] = &p->units.at[i];
  if (n) qsort(order, n, sizeof *order, by_size);
  for (size_t i = 0; i < n; i++) {
    int64_t end = unit_fit(order[i], placed, i);
    if (end > total) total = end;
    size_t k = i;
    for (; k > 0 && placed[k - 1]->at > order[i]->at; k--)
      placed[k] = placed[k - 1];
    placed[k] = order[i];
  }
  return total;
}

/* What calls take is known once the functions that they call are planned;
 * it may be too large. */
static bool workspaces_size(PassCtx *c, Func *f) {
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *n = f->nodes.at[i];
    if (node_callee(c->m, n) && !node_infer(c->m, n, c->d)) return false;
  }
  return true;
}

/* Bytes of f's arena, -1 after an error. */
static int64_t plan_func(PassCtx *c, Func *f) {
  func_tidy(c->m, f);
  if (!workspaces_size(c, f)) return -1;
  size_t n = f->nodes.n, room = n ? n : 1;
  Planner p = {.c = c, .f = f};
  p.last = arena_array(c->scratch, int64_t, room);
  p.outside = arena_array(c->scratch, bool, room);
  p.inside = arena_array(c->scratch, Node *, room);
  p.part = arena_array(c->scratch, int64_t, room);
  p.unit = arena_array(c->scratch, int, room);
  p.offset = arena_array(c->scratch, int64_t, room);
  for (size_t i = 0; i < n; i++) p.unit[i] = -1;
  lives_find(&p);
  /* From the end, so that a concat is inside another before its parts. */
  for (size_t i = n; i-- > 0;)
    if (f->nodes.at[i]->op == OP_CONCAT) concat_place(&p, f->nodes.at[i]);
  for (size_t i = 0; i < n; i++)
    if (slice_fits(&p, f->nodes.at[i])) f->nodes.at[i]->kernel = "alias";
  for (size_t i = 0; i < n; i++) node_place(&p, f->nodes.at[i]);
  int64_t total = units_fit(&p);
  for (size_t i = 0; i < n; i++) {
    int u = p.unit[i];
    f->nodes.at[i]->type.at = u < 0 ? -1 : p.units.at[u].at + p.offset[i];
  }
  return total;
}

bool pass_plan(PassCtx *c) {
  int64_t model = 0;
  c->m->dump.arena_bytes = 0;
  size_t n;
  Func **f = funcs_bottom_up(c->scratch, c->m, &n);
  for (size_t i = 0; i < n; i++) {
    int64_t bytes = plan_func(c, f[i]);
    if (bytes < 0 || !places_fit(f[i], c->d)) return false;
    if (f[i] == c->m->funcs.at[0]) model = bytes;
  }
  c->m->dump.arena_bytes = model;
  return true;
}
