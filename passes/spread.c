/* spread.c - transposed convolutions with constant weights as convolutions of
 * stride 1, one for each phase of the result; part of the pass phases.
 *
 * The pixels q*stride + r of an axis of the result get x[q + shift_u] through
 * the taps u for which r + pad - u*dilation is shift_u*stride.  These taps are
 * evenly spaced, in the weight and in x: each phase is a convolution by its
 * taps from the last to the first, which has the kernels, formats and
 * epilogues of any other, and the maps of all phases are interleaved.
 *
 * requires   fused; weights have their final values
 * preserves  every value up to rounding (sums may be in another order), and
 *            which products there are; zeros, stored types and paths
 * before     y = conv2d_transpose(x, w, b=b, stride=[2,2], act="relu") as u;
 *            (w: [C,O,2,2])
 * after      p = conv2d(x, w.phase0, b=b, act="relu") as u;  ([O,C,1,1])
 *            q = conv2d(x, w.phase1, b=b, act="relu") as u;  (and r, s)
 *            y = interleave(p, q, r, s, step=[2,2]) as u;
 *            With a stride of 1 y is the one convolution.
 * source     Shi et al., 2016 (Is the deconvolution layer the same as a
 *            convolutional layer?) */
#include <math.h>
#include <string.h>

#include "passes/passes.h"

/* Phases of both axes, of which each has a weight and a map of its own. */
enum { PARTS_MOST = 16 };

/* A phase along an axis: `taps` of them, `step` apart in the weight from
 * `last` down and `dil` apart in x from `shift` up; `out` results. */
typedef struct Phase { int64_t taps, last, step, dil, shift, out; } Phase;

typedef struct Spread {
  PassCtx *c;
  Func *f;
  Node *n;                          /* the transposed convolution */
  int64_t stride[2];
  Phase phase[2][PARTS_MOST];       /* of the rows, the columns */
} Spread;

static Phase phase_of(const Node *n, int axis, int64_t stride, int64_t r) {
  int64_t k = n->in[1]->type.dim[2 + axis], size = n->type.dim[2 + axis];
  int64_t dil = attr_ints(n, "dilation", NULL)[axis], first = 0;
  int64_t before = attr_ints(n, "pad", NULL)[axis];
  Phase p = {.step = 1, .dil = 1};
  for (int64_t u = 0; u < k; u++) {
    if ((r + before - u * dil) % stride != 0) continue;
    if (p.taps++ == 0) first = u;
    p.last = u;
  }
  p.shift = (r + before - p.last * dil) / stride;
  if (r < size) p.out = (size - r - 1) / stride + 1;
  if (p.taps < 2) return p;
  p.step = (p.last - first) / (p.taps - 1);
  p.dil = p.step * dil / stride;
  return p;
}

/* ---- which ones ------------------------------------------------------ */

/* Where x is read: [*from, *to), cut off at its ends. */
static void reach(const Phase *p, int64_t size, int64_t *from, int64_t *to) {
  int64_t end = p->shift + p->out + (p->taps - 1) * p->dil;
  *from = p->shift > 0 ? p->shift : 0;
  *to = end < size ? end : size;
}

/* Every phase has taps, results and something of x; the sum over them of
 * taps times results. */
static bool axis_fits(const Spread *s, int axis, int64_t *sum) {
  int64_t size = s->n->in[0]->type.dim[2 + axis];
  *sum = 0;
  for (int64_t r = 0; r < s->stride[axis]; r++) {
    const Phase *p = &s->phase[axis][r];
    int64_t from, to;
    reach(p, size, &from, &to);
    if (p->taps == 0 || p->out == 0 || from >= to) return false;
    *sum += p->taps * p->out;
  }
  return true;
}

/* How many products there may be, with padding, for each of x. */
enum { PADDING_MOST = 20 };

/* Padding times an infinite weight would be a NaN. */
static bool weights_finite(Module *m, const Node *w) {
  const float *v = param_values(m, w->param);
  for (int64_t i = 0; v && i < type_elems(&w->type); i++)
    if (!isfinite(v[i])) return false;
  return v;
}

static bool spread_pays(Spread *s) {
  Node *n = s->n;
  if (n->op != OP_CONV2D_TRANSPOSE || n->in[1]->op != OP_PARAM ||
      type_elems(&n->type) <= 0 || type_elems(&n->in[0]->type) <= 0 ||
      type_elems(&n->in[1]->type) <= 0 ||
      !weights_finite(s->c->m, n->in[1]))
    return false;
  const int64_t *x = n->in[0]->type.dim, *w = n->in[1]->type.dim;
  memcpy(s->stride, attr_ints(n, "stride", NULL), sizeof s->stride);
  if (s->stride[0] > PARTS_MOST || s->stride[1] > PARTS_MOST ||
      s->stride[0] * s->stride[1] > PARTS_MOST)
    return false;
  for (int i = 0; i < 2; i++)
    for (int64_t r = 0; r < s->stride[i]; r++)
      s->phase[i][r] = phase_of(n, i, s->stride[i], r);
  int64_t rows, columns;
  if (!axis_fits(s, 0, &rows) || !axis_fits(s, 1, &columns)) return false;
  double all = (double)rows * (double)columns;
  double own = (double)(x[2] * w[2]) * (double)(x[3] * w[3]);
  return all <= PADDING_MOST * own;
}

/* ---- the rewrite ----------------------------------------------------- */

static Node *add(const Spread *s, Op op, Node *const *in, int nin) {
  Node *n = func_insert(s->c->m, s->f, s->n, op, in, nin);
  n->span = s->n->span;
  n->path = s->n->path;
  return n;
}

/* The taps of a phase, w [C,O/groups,kh,kw] as [O,C/groups,...]. */
static Node *weight(const Spread *s, const Phase *y, const Phase *x,
                    int number) {
  Node *old = s->n->in[1];
  Module *m = s->c->m;
  const float *w = param_values(m, old->param);
  const int64_t *d = old->type.dim;
  int64_t groups = attr_int(s->n, "groups"), each = d[0] / groups;
  int64_t dim[4] = {d[1] * groups, each, y->taps, x->taps};
  Type t = type_make(F32, 4, dim);
  Buffer *b = buffer_new((size_t)type_elems(&t) * sizeof(float));
  float *v = (float *)(void *)b->data;
  for (int64_t i = 0; i < dim[0] * each; i++) {
    int64_t o = i / each, in = o / d[1] * each + i % each;
    const float *from = w + (in * d[1] + o % d[1]) * d[2] * d[3];
    for (int64_t u = 0; u < y->taps; u++)
      for (int64_t k = 0; k < x->taps; k++)
        *v++ = from[(y->last - u * y->step) * d[3] + x->last - k * x->step];
  }
  Elem stored = old->type.stored;
  Node *to = number < 0
    ? func_derive(m, s->f, old, false, t, b)
    : func_values(m, s->f, arena_printf(m->arena, "%s.phase%d",
                                        old->param->path, number), t, b);
  to->param->type.stored = to->type.stored = stored;
  return to;
}

/* What is in front of all windows, or behind them, is cut off. */
static Node *cut(const Spread *s, Node *x, int axis, const Phase *p,
                 int64_t pad[4]) {
  int64_t size = x->type.dim[2 + axis], from, to;
  reach(p, size, &from, &to);
  pad[axis] = from - p->shift;
  pad[2 + axis] = p->shift + p->out + (p->taps - 1) * p->dil - to;
  if (from == 0 && to == size) return x;
  Node *n = add(s, OP_SLICE, &x, 1);
  attr_set_int(n, "axis", 2 + axis);
  attr_set_int(n, "start", from);
  attr_set_int(n, "stop", to);
  node_retype(s->c, n);
  return n;
}

/* Make n the convolution of a phase; epilogue attributes are the caller's. */
static void convolve(const Spread *s, Node *n, const Phase *y, const Phase *x,
                     const int64_t pad[4]) {
  Module *m = s->c->m;
  attr_set_ints(m, n, "pad", pad, 4);
  attr_set_ints(m, n, "dilation", (int64_t[]){y->dil, x->dil}, 2);
  attr_set_int(n, "groups", attr_int(s->n, "groups"));
}

static void activate(Module *m, Node *n, const Node *from) {
  attr_set_str(m, n, "act", attr_str(from, "act"));
  attr_set_float(n, "lo", attr_float(from, "lo"));
  attr_set_float(n, "hi", attr_float(from, "hi"));
}

/* A stride of 1: one phase, into which all operands go. */
static void rewrite_flat(const Spread *s) {
  Node *n = s->n;
  Module *m = s->c->m;
  const Phase *y = &s->phase[0][0], *x = &s->phase[1][0];
  int64_t pad[4];
  Node *v = cut(s, n->in[0], 0, y, pad);
  v = cut(s, v, 1, x, pad);
  Node *in[4] = {v, weight(s, y, x, -1), node_in(n, 2), node_in(n, 3)};
  Node *c = add(s, OP_CONV2D, in, 4);
  convolve(s, c, y, x, pad);
  activate(m, c, n);
  attr_set_bool(c, "add_last", attr_bool(n, "add_last"));
  node_absorb(m, n, c);
}

/* The map of a phase, activated where nothing comes in between. */
static Node *part(const Spread *s, int number) {
  Node *n = s->n;
  const Phase *y = &s->phase[0][number / s->stride[1]];
  const Phase *x = &s->phase[1][number % s->stride[1]];
  int64_t pad[4];
  Node *v = cut(s, n->in[0], 0, y, pad);
  v = cut(s, v, 1, x, pad);
  Node *in[4] = {v, weight(s, y, x, number), node_in(n, 2), NULL};
  Node *c = add(s, OP_CONV2D, in, 4);
  convolve(s, c, y, x, pad);
  node_inherit(s->c->m, c, n);
  if (!node_in(n, 3) || attr_bool(n, "add_last")) activate(s->c->m, c, n);
  node_retype(s->c, c);
  return c;
}

/* Residual, and activation unless it came before, as nodes of their own. */
static Node *finish(const Spread *s, Node *y) {
  const char *act = attr_str(s->n, "act");
  y = add(s, OP_ADD, (Node *[]){y, s->n->in[3]}, 2);
  node_retype(s->c, y);
  if (attr_bool(s->n, "add_last") || !act[0]) return y;
  Op op;
  bool known = op_parse(act, &op);
  ensure(known);
  Node *a = add(s, op, &y, 1);
  if (op == OP_LEAKY_RELU) attr_set_float(a, "alpha", attr_float(s->n, "lo"));
  if (op == OP_CLIP) {
    attr_set_float(a, "lo", attr_float(s->n, "lo"));
    attr_set_float(a, "hi", attr_float(s->n, "hi"));
  }
  node_retype(s->c, a);
  return a;
}

static void rewrite(const Spread *s) {
  Module *m = s->c->m;
  Node *maps[PARTS_MOST];
  int parts = (int)(s->stride[0] * s->stride[1]);
  for (int i = 0; i < parts; i++) maps[i] = part(s, i);
  Node *y = add(s, OP_INTERLEAVE, maps, parts);
  attr_set_ints(m, y, "step", s->stride, 2);
  node_retype(s->c, y);
  if (node_in(s->n, 3)) y = finish(s, y);
  node_absorb(m, s->n, y);
}

void spread_phases(PassCtx *c, Func *f) {
  for (size_t k = 0; k < f->nodes.n; k++) {
    Spread s = {.c = c, .f = f, .n = f->nodes.at[k]};
    if (!spread_pays(&s)) continue;
    Type was = s.n->type;
    if (s.stride[0] * s.stride[1] == 1) rewrite_flat(&s);
    else rewrite(&s);
    node_retype(c, s.n);
    ensure(type_same_shape(&was, &s.n->type));
    while (f->nodes.at[k] != s.n) k++;
  }
  func_tidy(c->m, f);
}
