/* nest.c - loop nests over a logical index with strides, vectorised along
 * the axis where the result is dense; tails are parts of a vector. */
#include <string.h>

#include "backend/emit.h"

Val const_like(Gen *g, Val like, double v) {
  return LLVMTypeOf(like) == g->vec ? vsplat(g, kf(g, v)) : kf(g, v);
}

/* ---- building a nest ------------------------------------------------ */

static int64_t arg_size(const NestArg *a) { return a->elem == B1 ? 1 : 4; }

static Elem value_elem(const Node *n) {
  return n->type.elem == B1 ? B1 : F32;
}

void nest_over(Gen *g, Nest *nest, const Node *n) {
  memset(nest, 0, sizeof *nest);
  nest->rank = n->type.rank;
  nest->nargs = 1;
  for (int i = 0; i < nest->rank; i++) nest->dim[i] = n->type.dim[i];
  nest->arg[0].at = value_ptr(g, n);
  nest->arg[0].elem = value_elem(n);
  value_strides(n, nest->arg[0].stride);
}

void nest_add(Gen *g, Nest *nest, const Node *x) {
  NestArg *a = &nest->arg[nest->nargs++];
  int64_t own[MAX_RANK];
  int lead = nest->rank - x->type.rank;
  ensure(nest->nargs <= NEST_ARGS && lead >= 0);
  a->elem = value_elem(x);
  if (x->op == OP_CONST) {
    a->scalar = kf(g, x->value);
    return;
  }
  a->at = value_ptr(g, x);
  value_strides(x, own);
  for (int i = lead; i < nest->rank; i++)
    a->stride[i] = x->type.dim[i - lead] == 1 ? 0 : own[i - lead];
}

void nest_add_axis(Gen *g, Nest *nest, const Node *x, int axis) {
  NestArg *a = &nest->arg[nest->nargs++];
  int64_t own[MAX_RANK];
  ensure(nest->nargs <= NEST_ARGS && x->type.rank == 1);
  a->at = value_ptr(g, x);
  a->elem = value_elem(x);
  value_strides(x, own);
  a->stride[axis] = own[0];
}

/* ---- simplifying ---------------------------------------------------- */

static void dim_swap(Nest *n, int i, int j) {
  int64_t d = n->dim[i];
  n->dim[i] = n->dim[j], n->dim[j] = d;
  for (int k = 0; k < n->nargs; k++) {
    int64_t *s = n->arg[k].stride, t = s[i];
    s[i] = s[j], s[j] = t;
  }
}

static void dim_drop(Nest *n, int i) {
  for (; i + 1 < n->rank; i++) dim_swap(n, i, i + 1);
  n->rank--;
}

/* Whether axes i and i+1 are one axis for every argument. */
static bool dims_merge(const Nest *n, int i) {
  for (int k = 0; k < n->nargs; k++) {
    const int64_t *s = n->arg[k].stride;
    if (s[i] != s[i + 1] * n->dim[i + 1]) return false;
  }
  return true;
}

void nest_simplify(Nest *n) {
  for (int i = n->rank - 1; i >= 0; i--)
    if (n->dim[i] == 1) dim_drop(n, i);
  for (int i = 1; i < n->rank; i++)
    for (int j = i; j > 0; j--) {
      if (n->arg[0].stride[j - 1] >= n->arg[0].stride[j]) break;
      dim_swap(n, j - 1, j);
    }
  for (int i = n->rank - 2; i >= 0; i--) {
    if (!dims_merge(n, i)) continue;
    n->dim[i] *= n->dim[i + 1];
    for (int k = 0; k < n->nargs; k++)
      n->arg[k].stride[i] = n->arg[k].stride[i + 1];
    for (int j = i + 1; j + 1 < n->rank; j++) dim_swap(n, j, j + 1);
    n->rank--;
  }
}

/* ---- elements ------------------------------------------------------- */

static Val load_scalar(Gen *g, const NestArg *a, Val p) {
  if (a->scalar) return a->scalar;
  if (a->elem != B1) return load_f32(g, p, 0);
  Val set = LLVMBuildICmp(g->b, LLVMIntNE, load_index(g, p, 0, 1),
                          k64(g, 0), "");
  return LLVMBuildSelect(g->b, set, kf(g, 1), kf(g, 0), "");
}

/* n elements of an argument from p on, along a stride. */
static Val load_run(Gen *g, const NestArg *a, Val p, int64_t stride, int n) {
  if (a->elem != B1 && stride == 1) return load_lanes(g, p, 0, n);
  Val v = vzero(g);
  for (int i = 0; i < n; i++) {
    Val e = load_scalar(g, a, addrk(g, p, i * stride * arg_size(a)));
    v = vinsert(g, v, e, i);
  }
  return v;
}

typedef struct Walk {
  const Nest *nest;
  NestBody body;
  const void *ctx;
} Walk;

/* n elements at index i of the last axis; fixed[k] is the value of an
 * argument that does not move along it. */
static void walk_run(Gen *g, const Walk *w, Val *p, Val *fixed, Val i, int n) {
  const Nest *t = w->nest;
  int axis = t->rank - 1;
  Val in[NEST_ARGS];
  for (int k = 1; k < t->nargs; k++) {
    const NestArg *a = &t->arg[k];
    int64_t s = a->stride[axis];
    in[k - 1] = fixed[k] ? fixed[k]
                         : load_run(g, a, addr(g, p[k], mul64(g, i, s *
                                    arg_size(a))), s, n);
  }
  Val v = w->body(g, w->ctx, in);
  store_lanes(g, v, addr(g, p[0], mul64(g, i, 4)), 0, n);
}

/* The last axis in vectors. */
static void walk_vectors(Gen *g, const Walk *w, Val *p) {
  const Nest *t = w->nest;
  int axis = t->rank - 1, lanes = g->t->lanes;
  int64_t full = t->dim[axis] / lanes * lanes, rest = t->dim[axis] - full;
  Val fixed[NEST_ARGS] = { NULL };
  for (int k = 1; k < t->nargs; k++)
    if (t->arg[k].stride[axis] == 0)
      fixed[k] = vsplat(g, load_scalar(g, &t->arg[k], p[k]));
  if (full > lanes) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, full), lanes, true, "v");
    walk_run(g, w, p, fixed, l.iv, lanes);
    loop_end(g, &l);
  } else if (full) {
    walk_run(g, w, p, fixed, k64(g, 0), lanes);
  }
  if (rest) walk_run(g, w, p, fixed, k64(g, full), (int)rest);
}

static void walk_scalar(Gen *g, const Walk *w, Val *p) {
  Val in[NEST_ARGS];
  for (int k = 1; k < w->nest->nargs; k++)
    in[k - 1] = load_scalar(g, &w->nest->arg[k], p[k]);
  store_f32(g, w->body(g, w->ctx, in), p[0], 0);
}

static void walk_axis(Gen *g, const Walk *w, int axis, const Val *base) {
  const Nest *t = w->nest;
  Val p[NEST_ARGS];
  for (int k = 0; k < t->nargs; k++) p[k] = base[k];
  if (axis == t->rank) {
    walk_scalar(g, w, p);
    return;
  }
  if (axis == t->rank - 1 && t->arg[0].stride[axis] == 1) {
    walk_vectors(g, w, p);
    return;
  }
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, t->dim[axis]), 1, true, "i");
  for (int k = 0; k < t->nargs; k++)
    if (!t->arg[k].scalar)
      p[k] = addr(g, base[k], mul64(g, l.iv, t->arg[k].stride[axis] *
                                    arg_size(&t->arg[k])));
  walk_axis(g, w, axis + 1, p);
  loop_end(g, &l);
}

void nest_map(Gen *g, const Nest *nest, NestBody body, const void *ctx) {
  Nest t = *nest;
  for (int i = 0; i < t.rank; i++)
    if (t.dim[i] == 0) return;
  ensure(t.arg[0].elem != B1);
  nest_simplify(&t);
  Walk w = { &t, body, ctx };
  Val base[NEST_ARGS];
  for (int k = 0; k < t.nargs; k++) base[k] = t.arg[k].at;
  walk_axis(g, &w, 0, base);
}

/* ---- fill and copy -------------------------------------------------- */

static Val body_copy(Gen *g, const void *ctx, Val *in) {
  (void)g, (void)ctx;
  return in[0];
}

void nest_copy(Gen *g, const Nest *nest) {
  ensure(nest->nargs == 2);
  nest_map(g, nest, body_copy, NULL);
}

void nest_fill(Gen *g, const Nest *nest, double value) {
  Nest t = *nest;
  t.nargs = 2;
  t.arg[1] = (NestArg){ .scalar = kf(g, value), .elem = F32 };
  nest_map(g, &t, body_copy, NULL);
}
