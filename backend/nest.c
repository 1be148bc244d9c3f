/* nest.c - loop nests over a logical index with strides, vectorised along
 * the axis where the result is dense; tails are parts of a vector. */
#include <string.h>

#include "backend/emit.h"

/* ---- building a nest ------------------------------------------------ */

static int64_t arg_size(const NestArg *a) {
  return (int64_t)elem_size(a->elem);
}

void nest_over(Gen *g, Nest *nest, const Node *n) {
  memset(nest, 0, sizeof *nest);
  nest->nargs = 1;
  nest_space(g, nest, &n->type);
  nest->arg[0].at = value_ptr(g, n);
  nest->arg[0].elem = n->type.elem;
  value_strides(n, nest->arg[0].stride);
  if (value_packs(g, n)) packed_strides(g, &n->type, nest->arg[0].packed);
}

void nest_space(Gen *g, Nest *nest, const Type *t) {
  nest->rank = t->rank;
  for (int i = 0; i < t->rank; i++) {
    nest->dim[i] = t->dim[i];
    nest->count[i] = axis_count(g, t, i);
  }
}

void nest_add(Gen *g, Nest *nest, const Node *x) {
  NestArg *a = &nest->arg[nest->nargs++];
  int64_t own[MAX_RANK];
  int lead = nest->rank - x->type.rank;
  ensure(nest->nargs <= NEST_ARGS && lead >= 0);
  a->elem = x->type.elem;
  if (x->op == OP_CONST) {
    a->scalar = const_of(g, x);
    return;
  }
  a->at = value_ptr(g, x);
  value_strides(x, own);
  Val packed[MAX_RANK] = { NULL };
  if (value_packs(g, x)) packed_strides(g, &x->type, packed);
  for (int i = lead; i < nest->rank; i++) {
    int k = i - lead;
    bool one = x->type.dim[k] == 1 && !axis_is_free(&x->type, k);
    a->stride[i] = one ? 0 : own[k];
    a->packed[i] = one ? NULL : packed[k];
  }
}

void nest_add_axis(Gen *g, Nest *nest, const Node *x, int axis) {
  NestArg *a = &nest->arg[nest->nargs++];
  int64_t own[MAX_RANK];
  ensure(nest->nargs <= NEST_ARGS && x->type.rank == 1);
  a->at = value_ptr(g, x);
  a->elem = x->type.elem;
  value_strides(x, own);
  a->stride[axis] = own[0];
}

/* ---- simplifying ---------------------------------------------------- */

static void dim_swap(Nest *n, int i, int j) {
  int64_t d = n->dim[i];
  Val c = n->count[i];
  n->dim[i] = n->dim[j], n->dim[j] = d;
  n->count[i] = n->count[j], n->count[j] = c;
  for (int k = 0; k < n->nargs; k++) {
    int64_t *s = n->arg[k].stride, t = s[i];
    Val *p = n->arg[k].packed, q = p[i];
    s[i] = s[j], s[j] = t;
    p[i] = p[j], p[j] = q;
  }
}

static void dim_drop(Nest *n, int i) {
  for (; i + 1 < n->rank; i++) dim_swap(n, i, i + 1);
  n->rank--;
}

/* Whether axes i and i+1 are one axis for every argument. */
static bool dims_merge(const Nest *n, int i) {
  if (n->count[i + 1]) return false;
  for (int k = 0; k < n->nargs; k++) {
    const int64_t *s = n->arg[k].stride;
    const Val *packed = n->arg[k].packed;
    if (s[i] != s[i + 1] * n->dim[i + 1] || packed[i] || packed[i + 1])
      return false;
  }
  return true;
}

void nest_simplify(Gen *g, Nest *n) {
  for (int i = n->rank - 1; i >= 0; i--)
    if (n->dim[i] == 1 && !n->count[i]) dim_drop(n, i);
  for (int i = 1; i < n->rank; i++)
    for (int j = i; j > 0; j--) {
      if (n->arg[0].stride[j - 1] >= n->arg[0].stride[j]) break;
      dim_swap(n, j - 1, j);
    }
  for (int i = n->rank - 2; i >= 0; i--) {
    if (!dims_merge(n, i)) continue;
    if (n->count[i]) n->count[i] = mul64(g, n->count[i], n->dim[i + 1]);
    n->dim[i] *= n->dim[i + 1];
    for (int k = 0; k < n->nargs; k++)
      n->arg[k].stride[i] = n->arg[k].stride[i + 1];
    for (int j = i + 1; j + 1 < n->rank; j++) dim_swap(n, j, j + 1);
    n->rank--;
  }
}

/* ---- elements ------------------------------------------------------- */

/* A b1 in memory is a byte. */
static Val bit_of(Gen *g, Elem e, Val v) {
  if (e != B1) return v;
  return LLVMBuildICmp(g->b, LLVMIntNE, v, const_like(g, v, 0), "");
}

static Val byte_of(Gen *g, Elem e, Val v) {
  if (e != B1) return v;
  LLVMTypeRef t = is_vector(v) ? elem_vec(g, e) : elem_type(g, e);
  return LLVMBuildZExt(g->b, v, t, "");
}

static Val load_scalar(Gen *g, const NestArg *a, Val p) {
  if (a->scalar) return a->scalar;
  return bit_of(g, a->elem, load_elem(g, a->elem, p, 0));
}

/* Every second one of 2n - 1 elements: nothing behind the last is read. */
static Val load_pairs(Gen *g, const NestArg *a, Val p, int n) {
  int lane[64], lanes = g->t->lanes;
  Val low = load_lanes_of(g, a->elem, p, 0, n);
  Val high = load_lanes_of(g, a->elem, p, (n - 1) * arg_size(a), n);
  for (int i = 0; i < lanes; i++)
    lane[i] = i >= n ? i : 2 * i < n ? 2 * i : lanes + 2 * i - (n - 1);
  return bit_of(g, a->elem, vshuffle(g, low, high, lane, lanes));
}

/* n elements of an argument from p on, along a stride. */
static Val load_run(Gen *g, const NestArg *a, Val p, int64_t stride, int n) {
  if (stride == 1)
    return bit_of(g, a->elem, load_lanes_of(g, a->elem, p, 0, n));
  if (stride == -1 && n == g->t->lanes) {
    int lane[64];
    for (int i = 0; i < n; i++) lane[i] = n - 1 - i;
    Val v = load_lanes_of(g, a->elem, p, (1 - n) * arg_size(a), n);
    return bit_of(g, a->elem, vshuffle(g, v, v, lane, n));
  }
  if (stride == 2) return load_pairs(g, a, p, n);
  Val v = LLVMConstNull(elem_vec(g, a->elem));
  for (int i = 0; i < n; i++) {
    Val e = load_elem(g, a->elem, p, i * stride * arg_size(a));
    v = vinsert(g, v, e, i);
  }
  return bit_of(g, a->elem, v);
}

typedef struct Walk {
  const Nest *nest;
  NestBody body;
  const void *ctx;
  int share;           /* the axis that parts of the step share */
} Walk;

/* Turns of the loops of a nest; vectors or squares where those are. */
static int nest_share(const Gen *g, const Nest *t, int across) {
  int64_t count[MAX_RANK];
  int last = t->rank - 1, lanes = g->t->lanes;
  for (int i = 0; i < t->rank; i++) {
    bool wide = i == across || (i == last && t->arg[0].stride[i] == 1);
    count[i] = t->dim[i] / (wide ? lanes : 1);
  }
  return parts_level(g, count, t->rank);
}

static Val arg_at(Gen *g, const NestArg *a, Val base, Val i, int axis) {
  if (a->packed[axis]) {
    i = LLVMBuildNSWMul(g->b, i, a->packed[axis], "");
    return addr_at(g, base, i, arg_size(a));
  }
  return addr_at(g, base, i, a->stride[axis] * arg_size(a));
}

/* n elements at index i of the last axis; fixed[k] is the value of an
 * argument that does not move along it. */
static void walk_run(Gen *g, const Walk *w, const Val *p, Val *fixed, Val i,
                     int n) {
  const Nest *t = w->nest;
  int axis = t->rank - 1;
  Val in[NEST_ARGS];
  for (int k = 1; k < t->nargs; k++) {
    const NestArg *a = &t->arg[k];
    Val at = fixed[k] ? NULL : arg_at(g, a, p[k], i, axis);
    in[k - 1] = at ? load_run(g, a, at, a->stride[axis], n) : fixed[k];
  }
  Val v = byte_of(g, t->arg[0].elem, w->body(g, w->ctx, in));
  store_lanes_of(g, t->arg[0].elem, v,
                 addr_at(g, p[0], i, arg_size(&t->arg[0])), 0, n);
}

static void walk_scalar(Gen *g, const Walk *w, const Val *p) {
  Val in[NEST_ARGS];
  const NestArg *to = &w->nest->arg[0];
  for (int k = 1; k < w->nest->nargs; k++)
    in[k - 1] = load_scalar(g, &w->nest->arg[k], p[k]);
  store_elem(g, to->elem, byte_of(g, to->elem, w->body(g, w->ctx, in)), p[0],
             0);
}

/* A loop over all of an axis. */
static void axis_loop(Gen *g, Loop *l, const Nest *t, int axis, bool share,
                      int64_t step, const char *name) {
  if (t->count[axis])
    loop_begin(g, l, k64(g, 0), t->count[axis], step, false, name);
  else
    loop_either(g, l, share, 0, t->dim[axis], step, name);
}

/* Elements of the axis from index `from` on, one by one. */
static void walk_each(Gen *g, const Walk *w, int axis, const Val *base,
                      int64_t from,
                      void (*then)(Gen *, const Walk *, int, const Val *)) {
  const Nest *t = w->nest;
  Val p[NEST_ARGS];
  Loop l;
  if (from)
    loop_either(g, &l, axis == w->share, from, t->dim[axis], 1, "i");
  else
    axis_loop(g, &l, t, axis, axis == w->share, 1, "i");
  for (int k = 0; k < t->nargs; k++)
    p[k] = t->arg[k].scalar ? base[k]
                            : arg_at(g, &t->arg[k], base[k], l.iv, axis);
  then(g, w, axis + 1, p);
  loop_end(g, &l);
}

/* Only vectors of words are accessed in part. */
static bool all_words(const Nest *t) {
  for (int k = 0; k < t->nargs; k++)
    if (!t->arg[k].scalar && arg_size(&t->arg[k]) != 4) return false;
  return true;
}

static void walk_axis(Gen *g, const Walk *w, int axis, const Val *base);

/* The same of an axis whose size is known at run time: what fills no vector
 * goes one by one. */
static void walk_counted(Gen *g, const Walk *w, const Val *p, Val *fixed) {
  const Nest *t = w->nest;
  int axis = t->rank - 1, lanes = g->t->lanes;
  Val full = and64(g, t->count[axis], -lanes), at[NEST_ARGS];
  Loop l;
  loop_begin(g, &l, k64(g, 0), full, lanes, false, "v");
  walk_run(g, w, p, fixed, l.iv, lanes);
  loop_end(g, &l);
  loop_begin(g, &l, full, t->count[axis], 1, false, "i");
  for (int k = 0; k < t->nargs; k++)
    at[k] = t->arg[k].scalar ? p[k]
                             : arg_at(g, &t->arg[k], p[k], l.iv, axis);
  walk_scalar(g, w, at);
  loop_end(g, &l);
}

/* The last axis in vectors. */
static void walk_vectors(Gen *g, const Walk *w, const Val *p) {
  const Nest *t = w->nest;
  int axis = t->rank - 1, lanes = g->t->lanes;
  int64_t full = t->dim[axis] / lanes * lanes, rest = t->dim[axis] - full;
  Val fixed[NEST_ARGS] = { NULL };
  for (int k = 1; k < t->nargs; k++)
    if (t->arg[k].stride[axis] == 0)
      fixed[k] = vsplat(g, load_scalar(g, &t->arg[k], p[k]));
  if (t->count[axis]) {
    walk_counted(g, w, p, fixed);
    return;
  }
  if (full > lanes) {
    Loop l;
    loop_either(g, &l, axis == w->share, 0, full, lanes, "v");
    walk_run(g, w, p, fixed, l.iv, lanes);
    loop_end(g, &l);
  }
  if (full > lanes && !rest) return;
  Once last;
  once_begin(g, &last);
  if (full == lanes) walk_run(g, w, p, fixed, k64(g, 0), lanes);
  if (rest && all_words(t))
    walk_run(g, w, p, fixed, k64(g, full), (int)rest);
  else if (rest)
    walk_each(g, w, axis, p, full, walk_axis);
  once_end(g, &last);
}

/* Of no argument is the stride along an axis one of the call; but the result's
 * is 1 there. */
static bool strides_known(const Nest *t, int axis) {
  for (int k = 0; k < t->nargs; k++)
    if (t->arg[k].packed[axis] && t->arg[k].stride[axis] != 1) return false;
  return true;
}

static void walk_axis(Gen *g, const Walk *w, int axis, const Val *base) {
  const Nest *t = w->nest;
  if (axis == t->rank) {
    Once one;
    once_begin(g, &one);
    walk_scalar(g, w, base);
    once_end(g, &one);
  } else if (axis == t->rank - 1 && t->arg[0].stride[axis] == 1 &&
             strides_known(t, axis))
    walk_vectors(g, w, base);
  else
    walk_each(g, w, axis, base, 0, walk_axis);
}

static void walk_all(Gen *g, const Nest *t, NestBody body, const void *ctx) {
  Val base[NEST_ARGS];
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i] == 0) return;
  for (int k = 0; k < t->nargs; k++) base[k] = t->arg[k].at;
  walk_axis(g, &(Walk){ t, body, ctx, nest_share(g, t, -1) }, 0, base);
}

/* ---- tiles ----------------------------------------------------------- */

/* Where an operand is dense along another axis than the result, squares of
 * vectors are transposed in registers: single elements would be gathered. */
typedef struct Tiles {
  const Walk *w;
  int across;                  /* the axis they are dense along */
  Val square[NEST_ARGS];       /* on the stack: where they lie transposed */
} Tiles;

static bool is_across(const Nest *t, int k, int axis) {
  const NestArg *a = &t->arg[k];
  int64_t along = a->stride[t->rank - 1];
  return k && !a->scalar && a->stride[axis] == 1 && along != 0 &&
         along != 1 && arg_size(a) == 4;
}

/* The axis, or -1. */
static int axis_across(const Nest *t, int lanes) {
  int last = t->rank - 1;
  if (t->rank < 2 || t->arg[0].stride[last] != 1 || t->dim[last] < lanes)
    return -1;
  if (t->count[last]) return -1;
  for (int axis = 0; axis < last; axis++)
    for (int k = 1; k < t->nargs; k++)
      if (t->dim[axis] >= lanes && !t->count[axis] &&
          is_across(t, k, axis))
        return axis;
  return -1;
}

/* Argument k of the square at p, to `to` with rows `stride` bytes apart. */
static void square_move(Gen *g, const Nest *t, int k, Val p, Val to,
                        int64_t stride) {
  Val v[64];
  Elem e = t->arg[k].elem;
  int lanes = g->t->lanes;
  for (int i = 0; i < lanes; i++)
    v[i] = load_lanes_of(g, e, p, 4 * i * t->arg[k].stride[t->rank - 1],
                         lanes);
  vtranspose(g, v);
  for (int i = 0; i < lanes; i++)
    store_lanes_of(g, e, v[i], to, i * stride, lanes);
}

static Val body_copy(Gen *g, const void *ctx, Val *in) {
  (void)g, (void)ctx;
  return in[0];
}

static void square_run(Gen *g, const Tiles *s, const Val *p) {
  Nest t = *s->w->nest;
  int last = t.rank - 1, lanes = g->t->lanes;
  if (s->w->body == body_copy) {
    square_move(g, &t, 1, p[1], p[0], 4 * t.arg[0].stride[s->across]);
    return;
  }
  Val base[NEST_ARGS];
  for (int k = 0; k < t.nargs; k++) {
    base[k] = p[k];
    if (!is_across(&t, k, s->across)) continue;
    square_move(g, &t, k, p[k], s->square[k], 4 * lanes);
    base[k] = s->square[k];
    t.arg[k].stride[s->across] = lanes;
    t.arg[k].stride[last] = 1;
  }
  t.dim[s->across] = t.dim[last] = lanes;
  for (int i = 0; i < last; i++)
    if (i != s->across) t.dim[i] = 1, t.count[i] = NULL;
  walk_axis(g, &(Walk){ &t, s->w->body, s->w->ctx, -1 }, 0, base);
}

static void tiles_walk(Gen *g, const Tiles *s, int axis, const Val *base) {
  const Nest *t = s->w->nest;
  if (axis == t->rank) {
    square_run(g, s, base);
    return;
  }
  bool side = axis == s->across || axis == t->rank - 1;
  Val p[NEST_ARGS];
  Loop l;
  axis_loop(g, &l, t, axis, axis == s->w->share, side ? g->t->lanes : 1,
            "tile");
  for (int k = 0; k < t->nargs; k++)
    p[k] = t->arg[k].scalar ? base[k]
                            : arg_at(g, &t->arg[k], base[k], l.iv, axis);
  tiles_walk(g, s, axis + 1, p);
  loop_end(g, &l);
}

/* The nest from index `from` to `to` of an axis. */
static Nest nest_part(Gen *g, const Nest *t, int axis, int64_t from,
                      int64_t to) {
  Nest part = *t;
  part.dim[axis] = to - from;
  for (int k = 0; k < t->nargs; k++)
    if (!t->arg[k].scalar)
      part.arg[k].at = arg_at(g, &t->arg[k], t->arg[k].at, k64(g, from), axis);
  return part;
}

/* Whole squares as tiles, then what is left beside and below them. */
static void map_across(Gen *g, const Nest *t, int across, NestBody body,
                       const void *ctx) {
  int last = t->rank - 1, lanes = g->t->lanes;
  int64_t high = t->dim[across] / lanes * lanes;
  int64_t wide = t->dim[last] / lanes * lanes;
  Nest left = nest_part(g, t, last, 0, wide);
  Nest whole = nest_part(g, &left, across, 0, high);
  Walk w = { &whole, body, ctx, nest_share(g, &whole, across) };
  Tiles s = { &w, across, { NULL } };
  Val base[NEST_ARGS];
  for (int k = 0; k < t->nargs; k++) {
    base[k] = whole.arg[k].at;
    if (body != body_copy && is_across(t, k, across))
      s.square[k] = stack_array(g, g->f32, (int64_t)lanes * lanes);
  }
  tiles_walk(g, &s, 0, base);
  Nest below = nest_part(g, &left, across, high, t->dim[across]);
  walk_all(g, &below, body, ctx);
  Nest beside = nest_part(g, t, last, wide, t->dim[last]);
  walk_all(g, &beside, body, ctx);
}

void nest_map(Gen *g, const Nest *nest, NestBody body, const void *ctx) {
  Nest t = *nest;
  for (int i = 0; i < t.rank; i++)
    if (t.dim[i] == 0) return;
  nest_simplify(g, &t);
  int across = axis_across(&t, g->t->lanes);
  if (across < 0) walk_all(g, &t, body, ctx);
  else map_across(g, &t, across, body, ctx);
}

/* ---- lines ---------------------------------------------------------- */

typedef struct Lines {
  const Nest *t;
  bool vectors;
  NestLine line;
  const void *ctx;
  int share;           /* the axis that parts of the step share */
} Lines;

static void lines_at(Gen *g, const Lines *w, int axis, const Val *base,
                     Val index, Val *p) {
  for (int k = 0; k < w->t->nargs; k++)
    p[k] = arg_at(g, &w->t->arg[k], base[k], index, axis);
}

static bool lines_dense(const Lines *w, int axis) {
  for (int k = 0; k < w->t->nargs; k++)
    if (w->t->arg[k].stride[axis] != 1) return false;
  return w->vectors;
}

static void lines_walk(Gen *g, const Lines *w, int axis, Val *base);

/* An axis whose size is known at run time. */
static void lines_counted(Gen *g, const Lines *w, int axis, Val *base,
                          bool across) {
  Val p[NEST_ARGS], count = w->t->count[axis], full = k64(g, 0);
  int lanes = g->t->lanes;
  Loop l;
  if (across) {
    full = and64(g, count, -lanes);
    loop_begin(g, &l, k64(g, 0), full, lanes, false, "line");
    lines_at(g, w, axis, base, l.iv, p);
    w->line(g, w->ctx, p, lanes);
    loop_end(g, &l);
  }
  loop_begin(g, &l, full, count, 1, false, "line");
  lines_at(g, w, axis, base, l.iv, p);
  lines_walk(g, w, axis + 1, p);
  loop_end(g, &l);
}

static void lines_walk(Gen *g, const Lines *w, int axis, Val *base) {
  const Nest *t = w->t;
  Val p[NEST_ARGS];
  Loop l;
  Once one;
  if (axis == t->rank) {
    once_begin(g, &one);
    w->line(g, w->ctx, base, 0);
    once_end(g, &one);
    return;
  }
  bool across = axis == t->rank - 1 && lines_dense(w, axis);
  int64_t step = across ? g->t->lanes : 1, full = t->dim[axis] / step * step;
  if (t->count[axis]) {
    lines_counted(g, w, axis, base, across);
    return;
  }
  if (full) {
    loop_either(g, &l, axis == w->share, 0, full, step, "line");
    lines_at(g, w, axis, base, l.iv, p);
    if (across) w->line(g, w->ctx, p, (int)step);
    else lines_walk(g, w, axis + 1, p);
    loop_end(g, &l);
  }
  if (full == t->dim[axis]) return;
  once_begin(g, &one);
  lines_at(g, w, axis, base, k64(g, full), p);
  w->line(g, w->ctx, p, (int)(t->dim[axis] - full));
  once_end(g, &one);
}

void nest_lines(Gen *g, const Nest *nest, int axis, bool vectors,
                NestLine line, const void *ctx) {
  Nest t = *nest;
  Val base[NEST_ARGS];
  for (int i = 0; i < t.rank; i++)
    if (t.dim[i] == 0) return;
  t.dim[axis] = 1;
  t.count[axis] = NULL;
  nest_simplify(g, &t);
  for (int k = 0; k < t.nargs; k++) base[k] = t.arg[k].at;
  lines_walk(g, &(Lines){ &t, vectors, line, ctx, nest_share(g, &t, -1) }, 0,
             base);
}

/* ---- fill and copy -------------------------------------------------- */

void nest_copy(Gen *g, const Nest *nest) {
  Nest t = *nest;
  ensure(t.nargs == 2 && t.arg[0].elem == t.arg[1].elem);
  if (t.arg[0].elem == B1 && !t.arg[1].scalar)
    t.arg[0].elem = t.arg[1].elem = U8;
  nest_map(g, &t, body_copy, NULL);
}

void nest_fill(Gen *g, const Nest *nest, double value) {
  Nest t = *nest;
  Elem e = t.arg[0].elem;
  Node k = { .op = OP_CONST, .type = type_make(e, 0, NULL), .value = value };
  if (!elem_is_float(e)) k.ivalue = (int64_t)value;
  t.nargs = 2;
  t.arg[1] = (NestArg){ .scalar = const_of(g, &k), .elem = e };
  nest_map(g, &t, body_copy, NULL);
}
