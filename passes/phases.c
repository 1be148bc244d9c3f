/* phases.c - strided convolutions with sparse weights, and pointwise ones: a
 * map for each phase of the stride, and a convolution of stride 1 over them.
 *
 * A stored value of a sparse weight takes one vector of x; with a stride that
 * is two loads and a shuffle each time.  Here x is taken apart once.  A tap
 * k of an axis reads x at stride*o + k*dilation - pad, which is in phase
 * (k*dilation - pad) mod stride at o + floor((k*dilation - pad) / stride).
 * The weight gets a channel for each channel and phase; taps that a phase
 * has not are zeros, which cost nothing.
 *
 * requires   fused, weights final; groups = 1
 * preserves  every value up to rounding (sums may be in another order)
 * before     y = conv2d(x, w, stride=[2,2], pad=[1,1,1,1]);   (w: [O,C,3,3])
 * after      r = slice(x, axis=2, start=0, stop=H-1, step=2);  (and row 1)
 *            p = slice(r, axis=3, start=0, stop=W-1, step=2);  (...)
 *            q = concat(p, ..., axis=1);
 *            y = conv2d(q, w, stride=[1,1], pad=[1,1,0,0]);   ([O,4C,2,2])
 * source     whether the weight is sparse enough: choose.c */
#include <math.h>
#include <string.h>

#include "passes/passes.h"

/* One axis of a convolution and of its phases. */
typedef struct Axis {
  int64_t stride, k, dilation, pad, size, out;
  bool used[PHASES_MOST];
  int64_t lo, hi;          /* taps of a phase: [lo, hi] */
  int64_t length;          /* of a phase's map */
} Axis;

static int64_t floor_div(int64_t a, int64_t b) {
  return a >= 0 ? a / b : -((b - 1 - a) / b);
}

/* Phase of tap t, and where it lies in it. */
static int64_t tap_phase(const Axis *a, int64_t t, int64_t *at) {
  int64_t off = t * a->dilation - a->pad;
  *at = floor_div(off, a->stride);
  return off - *at * a->stride;
}

static Axis axis_of(const Node *n, int which) {
  int count;
  Axis a = {.k = n->in[1]->type.dim[2 + which]};
  a.stride = attr_ints(n, "stride", &count)[which];
  a.dilation = attr_ints(n, "dilation", &count)[which];
  a.pad = attr_ints(n, "pad", &count)[which];
  a.size = n->in[0]->type.dim[2 + which];
  a.out = n->type.dim[2 + which];
  if (a.stride > PHASES_MOST) return a;
  a.lo = INT64_MAX, a.hi = INT64_MIN;
  for (int64_t t = 0; t < a.k; t++) {
    int64_t at;
    a.used[tap_phase(&a, t, &at)] = true;
    if (at < a.lo) a.lo = at;
    if (at > a.hi) a.hi = at;
  }
  int64_t all = (a.size + a.stride - 1) / a.stride, need = a.out + a.hi;
  a.length = need < all ? need : all;
  return a;
}

static int64_t axis_phases(const Axis *a) {
  int64_t n = 0;
  for (int64_t p = 0; p < a->stride; p++) n += a->used[p];
  return n;
}

/* ---- which ones ------------------------------------------------------ */

/* Taps are all in one phase, as that of a pointwise convolution: there are no
 * more products than before, whatever the weight is. */
static bool one_phase(const Axis axis[2]) {
  return axis_phases(&axis[0]) * axis_phases(&axis[1]) == 1;
}

/* Products that each value of x takes part in, for which taking it apart
 * pays. */
enum { PRODUCTS_LEAST = 16 };

/* Are single values as fast in rows that are paired, which copy what they read
 * of x anyway, without phases? */
static bool pairs_pay(PassCtx *c, const Node *n, const Axis axis[2]) {
  TableWork work, parts;
  int tile[2];
  const float *w = param_values(c->m, n->in[1]->param);
  double pairs = strided_pairs(c->scratch, c->target, n, w, &work);
  parts = work;
  parts.xloads = 1;
  parts.widest = 16;
  parts.vectors = axis[0].out * (axis[1].out + 1) / c->target->lanes + 1;
  CodeWork code = pattern_work(c->target, n, w, &parts);
  parts.channels *= axis_phases(&axis[0]) * axis_phases(&axis[1]);
  parts.taps = (axis[0].hi - axis[0].lo + 1) * (axis[1].hi - axis[1].lo + 1);
  code.channels = parts.channels, code.taps = parts.taps;
  double best = pair_tile(&parts, c->target->vregs, tile);
  table_cross(&parts);
  best = fmin(best, table_tile(&parts, c->target->vregs, tile));
  if (code_size(&code) < patterns_budget(c))
    best = fmin(best, code_time(&code));
  return pairs < best + apart_time(type_elems(&n->in[0]->type));
}

static bool weight_wants(PassCtx *c, const Node *n, const Axis axis[2]) {
  if (c->sparsity_off) return false;
  int height = weight_height(c, n, 0, n->in[1]->param);
  return height > 1 || (height == 1 && !pairs_pay(c, n, axis));
}

static bool phases_pay(PassCtx *c, const Node *n, Axis axis[2]) {
  if (n->op != OP_CONV2D || attr_int(n, "groups") != 1 ||
      n->in[1]->op != OP_PARAM || !conv_takes_planes(n))
    return false;
  const Node *w = n->in[1];
  if (type_elems(&w->type) <= 0 || type_elems(&n->type) <= 0)
    return false;
  int64_t strides = 1, taps = 1;
  for (int i = 0; i < 2; i++) {
    axis[i] = axis_of(n, i);
    if (axis[i].stride > PHASES_MOST || axis[i].length < 1) return false;
    strides *= axis[i].stride, taps *= axis[i].k;
  }
  return strides > 1 && strides <= PHASES_MOST &&
         w->type.dim[0] * taps >= PRODUCTS_LEAST * strides &&
         (one_phase(axis) || weight_wants(c, n, axis));
}

/* ---- the rewrite ----------------------------------------------------- */

typedef struct Phases {
  PassCtx *c;
  Func *f;
  Node *n;                 /* the convolution */
} Phases;

static Node *add(const Phases *p, Op op, Node *const *in, int nin) {
  Node *n = func_insert(p->c->m, p->f, p->n, op, in, nin);
  n->span = p->n->span;
  n->path = p->n->path;
  return n;
}

/* Zeros behind x where a phase is shorter than the others. */
static Node *pad_end(const Phases *p, Node *x, const Axis axis[2]) {
  int64_t before[4] = {0}, after[4] = {0};
  for (int i = 0; i < 2; i++) {
    const Axis *a = &axis[i];
    for (int64_t k = 0; k < a->stride; k++) {
      int64_t lacks = k + a->stride * (a->length - 1) + 1 - a->size;
      if (a->used[k] && lacks > after[2 + i]) after[2 + i] = lacks;
    }
  }
  if (!after[2] && !after[3]) return x;
  Node *n = add(p, OP_PAD, &x, 1);
  attr_set_ints(p->c->m, n, "before", before, 4);
  attr_set_ints(p->c->m, n, "after", after, 4);
  node_retype(p->c, n);
  return n;
}

static Node *phase(const Phases *p, Node *x, const Axis *a, int axis,
                   int64_t k) {
  if (a->stride == 1 && a->length == x->type.dim[axis]) return x;
  Node *n = add(p, OP_SLICE, &x, 1);
  attr_set_int(n, "axis", axis);
  attr_set_int(n, "start", k);
  attr_set_int(n, "stop", k + a->stride * (a->length - 1) + 1);
  attr_set_int(n, "step", a->stride);
  node_retype(p->c, n);
  return n;
}

/* The maps of all phases side by side. */
static Node *maps(const Phases *p, const Axis axis[2]) {
  Node *part[PHASES_MOST], *x = pad_end(p, p->n->in[0], axis);
  int n = 0;
  for (int64_t i = 0; i < axis[0].stride; i++) {
    if (!axis[0].used[i]) continue;
    Node *rows = phase(p, x, &axis[0], 2, i);
    for (int64_t j = 0; j < axis[1].stride; j++)
      if (axis[1].used[j]) part[n++] = phase(p, rows, &axis[1], 3, j);
  }
  if (n == 1) return part[0];
  Node *all = add(p, OP_CONCAT, part, n);
  attr_set_int(all, "axis", 1);
  node_retype(p->c, all);
  return all;
}

/* Which of the phases that are used a phase is. */
static int64_t phase_number(const Axis *a, int64_t k) {
  int64_t n = 0;
  for (int64_t i = 0; i < k; i++) n += a->used[i];
  return n;
}

static Node *weight(const Phases *p, const Axis axis[2]) {
  Node *old = p->n->in[1];
  const float *w = param_values(p->c->m, old->param);
  const Axis *y = &axis[0], *x = &axis[1];
  int64_t o = old->type.dim[0], c = old->type.dim[1];
  int64_t nx = axis_phases(x), h = y->hi - y->lo + 1, wd = x->hi - x->lo + 1;
  int64_t dim[4] = {o, axis_phases(y) * nx * c, h, wd};
  Type t = type_make(F32, 4, dim);
  Buffer *b = buffer_new((size_t)type_elems(&t) * sizeof(float));
  float *v = (float *)(void *)b->data;
  memset(v, 0, b->size);
  for (int64_t i = 0; i < o * c * y->k * x->k; i++) {
    int64_t tx = i % x->k, ty = i / x->k % y->k, ay, ax;
    int64_t in = i / (x->k * y->k) % c, row = i / (x->k * y->k) / c;
    int64_t part = phase_number(y, tap_phase(y, ty, &ay)) * nx +
                   phase_number(x, tap_phase(x, tx, &ax));
    int64_t at = (row * dim[1] + part * c + in) * h + ay - y->lo;
    v[at * wd + ax - x->lo] = w[i];
  }
  Elem stored = old->type.stored;
  Node *to = func_derive(p->c->m, p->f, old, false, t, b);
  to->param->type.stored = to->type.stored = stored;
  return to;
}

static void rewrite(const Phases *p, const Axis axis[2]) {
  Node *n = p->n;
  Module *m = p->c->m;
  const Axis *y = &axis[0], *x = &axis[1];
  Node *q = maps(p, axis), *w = weight(p, axis);
  int64_t pad[4] = {-y->lo, -x->lo, y->out + y->hi - y->length,
                    x->out + x->hi - x->length};
  n->in[0] = q, n->in[1] = w;
  attr_set_ints(m, n, "stride", (int64_t[]){1, 1}, 2);
  attr_set_ints(m, n, "dilation", (int64_t[]){1, 1}, 2);
  attr_set_ints(m, n, "pad", pad, 4);
  Type was = n->type;
  node_retype(p->c, n);
  ensure(type_same_shape(&was, &n->type));
}

bool pass_phases(PassCtx *c) {
  if (c->opt == 0) return true;
  for (size_t i = 0; i < c->m->funcs.n; i++) {
    Func *f = c->m->funcs.at[i];
    spread_phases(c, f);
    for (size_t k = 0; k < f->nodes.n; k++) {
      Phases p = {c, f, f->nodes.at[k]};
      Axis axis[2];
      if (!phases_pay(c, p.n, axis)) continue;
      rewrite(&p, axis);
      while (f->nodes.at[k] != p.n) k++;
    }
    func_tidy(c->m, f);
  }
  return true;
}
