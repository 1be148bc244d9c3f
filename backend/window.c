/* window.c - kernels that slide a window over the last two axes: pools, and
 * the plain convolution that takes any shape and any unblocked layouts.
 * Rows of a window are clipped as the code runs.  Columns whose window lies
 * inside are done in vectors, those at the borders one by one.
 *
 * A transposed convolution with stride s is s*s convolutions of stride 1,
 * one for each phase of the result: the pixels at q*s + r read x at q and
 * beside it, through every s-th tap from the last to the first. */
#include <math.h>
#include <string.h>

#include "backend/vmath.h"

typedef struct Win {
  const Node *n, *x, *w, *bias, *r;
  int64_t N, C, H, W, O, OH, OW;
  int64_t kh, kw, sh, sw, dh, dw, top, left, groups;
  int64_t xs[MAX_RANK], ys[MAX_RANK], ws[MAX_RANK], rs[MAX_RANK];
  Elem welem;        /* of the weights, and its bytes */
  int64_t wbytes;
  int64_t wgroup;    /* from the weights of a group to the next, on top */
  bool apart;        /* vectors of results go to places ys[3] apart */
  int share;         /* which of the loops n, o, oh parts share */
  Val xp, yp, wp, bp, rp;
} Win;

/* The cell in the making: addresses for its image, channel and row. */
typedef struct Cell {
  Val x, w, y, r;          /* x: image and (group's first) channel */
  Val bias;                /* scalar, or NULL */
  Val row;                 /* first input row of the window, may be < 0 */
  Val ky0, ky1;            /* rows of the window that lie inside */
  Val kx0, kx1;            /* columns */
  Val col;                 /* first input column of the window */
  int lanes;               /* 0: a scalar */
} Cell;

/* ---- geometry ------------------------------------------------------- */

static void pair(const Node *n, const char *name, int64_t *a, int64_t *b) {
  int count;
  const int64_t *v = attr_ints(n, name, &count);
  ensure(count >= 2);
  *a = v[0], *b = v[1];
}

static void win_begin(Gen *g, const Node *n, Win *v) {
  *v = (Win){ .n = n, .x = n->in[0], .dh = 1, .dw = 1, .groups = 1 };
  const int64_t *xd = v->x->type.dim, *yd = n->type.dim;
  v->N = xd[0], v->C = xd[1], v->H = xd[2], v->W = xd[3];
  v->O = yd[1], v->OH = yd[2], v->OW = yd[3];
  pair(n, "stride", &v->sh, &v->sw);
  pair(n, "pad", &v->top, &v->left);
  value_strides(v->x, v->xs);
  value_strides(n, v->ys);
  v->xp = value_ptr(g, v->x);
  v->yp = value_ptr(g, n);
}

/* The outputs [*lo, *hi) whose window lies inside in the direction of w. */
static void win_inner(const Win *v, int64_t *lo, int64_t *hi) {
  int64_t reach = (v->kw - 1) * v->dw, room = v->W + v->left - reach - 1;
  *lo = v->left > 0 ? (v->left + v->sw - 1) / v->sw : 0;
  *hi = room < 0 ? 0 : room / v->sw + 1;
  if (*hi > v->OW) *hi = v->OW;
  if (*lo > v->OW) *lo = v->OW;
  if (*hi < *lo) *hi = *lo;
}

static Val min64(Gen *g, Val a, Val b) {
  return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, a, b, ""), a,
                         b, "");
}

static Val max64(Gen *g, Val a, Val b) {
  return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, a, b, ""), b,
                         a, "");
}

/* max(0, ceil(a / d)). */
static Val ceil_div(Gen *g, Val a, int64_t d) {
  Val up = max64(g, add64(g, a, k64(g, d - 1)), k64(g, 0));
  return d == 1 ? up : LLVMBuildUDiv(g->b, up, k64(g, d), "");
}

void clip_steps(Gen *g, Val first, int64_t size, int64_t k, int64_t d,
                Val *lo, Val *hi) {
  Val zero = k64(g, 0);
  *lo = ceil_div(g, LLVMBuildNSWSub(g->b, zero, first, ""), d);
  *hi = min64(g, k64(g, k),
              ceil_div(g, LLVMBuildNSWSub(g->b, k64(g, size), first, ""), d));
}

static Val index64(Gen *g, Val iv, int64_t stride, int64_t shift) {
  return add64(g, mul64(g, iv, stride), k64(g, -shift));
}

/* ---- one cell ------------------------------------------------------- */

/* n elements, `stride` apart; nothing else is touched. */
static Val load_apart(Gen *g, Val p, int64_t stride, int n) {
  int lanes = g->t->lanes, even[64];
  if (n == 0) return load_f32(g, p, 0);
  if (stride == 1) return load_lanes(g, p, 0, n);
  if (stride == 2) {
    int first = 2 * n - 1 < lanes ? 2 * n - 1 : lanes;
    int second = 2 * n - 1 - first;
    Val a = load_lanes(g, p, 0, first);
    Val b = second ? load_lanes(g, p, 4 * lanes, second) : a;
    for (int i = 0; i < lanes; i++) even[i] = 2 * i;
    return vshuffle(g, a, b, even, lanes);
  }
  Val v = vzero(g);
  for (int i = 0; i < n; i++)
    v = vinsert(g, v, load_f32(g, p, 4 * i * stride), i);
  return v;
}

typedef Val (*CellTap)(Gen *g, const Win *v, Val x, Val w, Val acc);

/* Fold the taps of one input plane into acc. */
static Val cell_plane(Gen *g, const Win *v, const Cell *c, Val x, Val w,
                      CellTap tap, Val acc) {
  Loop ly, lx;
  loop_begin(g, &ly, c->ky0, c->ky1, 1, false, "ky");
  loop_carry(g, &ly, &acc);
  Val row = add64(g, c->row, mul64(g, ly.iv, v->dh));
  Val line = addr_at(g, x, row, 4 * v->xs[2]);
  loop_begin(g, &lx, c->kx0, c->kx1, 1, false, "kx");
  loop_carry(g, &lx, &acc);
  Val col = add64(g, c->col, mul64(g, lx.iv, v->dw));
  Val p = addr_at(g, line, col, 4 * v->xs[3]);
  Val k = NULL;
  if (w) {
    Val at = addr_in(g, w, ly.iv, v->wbytes * v->ws[2], lx.iv,
                     v->wbytes * v->ws[3]);
    k = load_weight(g, v->welem, at, 0);
    if (c->lanes) k = vsplat(g, k);
  }
  acc = tap(g, v, load_apart(g, p, v->sw * v->xs[3], c->lanes), k, acc);
  loop_end(g, &lx);
  loop_end(g, &ly);
  return acc;
}

static Val tap_conv(Gen *g, const Win *v, Val x, Val w, Val acc) {
  (void)v;
  return fma_(g, x, w, acc);
}

static Val tap_pool(Gen *g, const Win *v, Val x, Val w, Val acc) {
  (void)w;
  if (v->n->op == OP_MAX_POOL)
    return vm_select(g, LLVMRealOLT, acc, x, x, acc);
  return LLVMBuildFAdd(g->b, acc, x, "");
}

static Val cell_scalar(Gen *g, const Cell *c, Val s) {
  return c->lanes ? vsplat(g, s) : s;
}

/* Elements that an average is over. */
static Val pool_count(Gen *g, const Win *v, const Cell *c) {
  if (attr_bool(v->n, "count_pad")) return kf(g, (double)(v->kh * v->kw));
  Val none = k64(g, 0);
  Val rows = max64(g, LLVMBuildSub(g->b, c->ky1, c->ky0, ""), none);
  Val cols = max64(g, LLVMBuildSub(g->b, c->kx1, c->kx0, ""), none);
  return LLVMBuildSIToFP(g->b, LLVMBuildMul(g->b, rows, cols, ""), g->f32,
                         "");
}

static Val cell_pool(Gen *g, const Win *v, const Cell *c) {
  bool max = v->n->op == OP_MAX_POOL;
  Val acc = cell_scalar(g, c, kf(g, max ? (double)-INFINITY : 0));
  acc = cell_plane(g, v, c, c->x, NULL, tap_pool, acc);
  if (max) return acc;
  return LLVMBuildFDiv(g->b, acc, cell_scalar(g, c, pool_count(g, v, c)), "");
}

static Val cell_conv(Gen *g, const Win *v, const Cell *c) {
  Val acc = cell_scalar(g, c, c->bias ? c->bias : kf(g, 0));
  Loop l;
  int64_t count = v->C / v->groups;
  loop_begin(g, &l, k64(g, 0), k64(g, count), 1, count > 0, "c");
  loop_carry(g, &l, &acc);
  Val x = addr_at(g, c->x, l.iv, 4 * v->xs[1]);
  acc = cell_plane(g, v, c, x, addr_at(g, c->w, l.iv, v->wbytes * v->ws[1]),
                   tap_conv, acc);
  loop_end(g, &l);
  return acc;
}

/* The cell (or `lanes` of them) at output column `ow`. */
static void cell_build(Gen *g, const Win *v, Cell c, Val ow, bool inside) {
  c.col = index64(g, ow, v->sw, v->left);
  c.kx0 = k64(g, 0), c.kx1 = k64(g, v->kw);
  if (!inside) clip_steps(g, c.col, v->W, v->kw, v->dw, &c.kx0, &c.kx1);
  Val y = addr_at(g, c.y, ow, 4 * v->ys[3]);
  Val out;
  if (v->w) {
    Val r = NULL, acc = cell_conv(g, v, &c);
    if (v->r)
      r = load_apart(g, addr_at(g, c.r, ow, 4 * v->rs[3]), v->rs[3],
                     c.lanes);
    out = epilogue(g, v->n, acc, r);
  } else {
    out = cell_pool(g, v, &c);
  }
  if (!c.lanes) store_f32(g, out, y, 0);
  else if (v->ys[3] == 1) store_lanes(g, out, y, 0, c.lanes);
  else
    for (int i = 0; i < c.lanes; i++)
      store_f32(g, vlane(g, out, i), y, 4 * i * v->ys[3]);
}

/* ---- rows and planes ------------------------------------------------ */

static void cell_loop(Gen *g, const Win *v, Cell c, int64_t lo, int64_t hi,
                      bool inside) {
  Loop l;
  if (lo >= hi) return;
  loop_begin(g, &l, k64(g, lo), k64(g, hi), c.lanes ? c.lanes : 1, true,
             "ow");
  cell_build(g, v, c, l.iv, inside);
  loop_end(g, &l);
}

static void row_build(Gen *g, const Win *v, Cell c) {
  int64_t lo, hi;
  int lanes = g->t->lanes;
  win_inner(v, &lo, &hi);
  c.lanes = 0;
  cell_loop(g, v, c, 0, lo, false);
  cell_loop(g, v, c, hi, v->OW, false);
  if ((v->ys[3] != 1 && !v->apart) || hi - lo < 2) {
    cell_loop(g, v, c, lo, hi, true);
    return;
  }
  int64_t full = lo + (hi - lo) / lanes * lanes;
  c.lanes = lanes;
  cell_loop(g, v, c, lo, full, true);
  c.lanes = (int)(hi - full);
  if (c.lanes) cell_build(g, v, c, k64(g, full), true);
}

/* All rows of one output plane; c has the addresses of its planes. */
static void plane_build(Gen *g, const Win *v, Cell c) {
  Loop l;
  loop_either(g, &l, v->share == 2, 0, v->OH, 1, "oh");
  c.row = index64(g, l.iv, v->sh, v->top);
  clip_steps(g, c.row, v->H, v->kh, v->dh, &c.ky0, &c.ky1);
  c.y = addr_at(g, c.y, l.iv, 4 * v->ys[2]);
  if (v->r) c.r = addr_at(g, c.r, l.iv, 4 * v->rs[2]);
  row_build(g, v, c);
  loop_end(g, &l);
}

/* The planes of output channel `o` of image `i`. */
static Cell planes_at(Gen *g, const Win *v, Val i, Val o) {
  Cell c = { 0 };
  Val ch = o;
  if (v->w) {
    /* The first channel of o's group. */
    int64_t each = v->O / v->groups;
    Val group = each == 1 ? o : LLVMBuildUDiv(g->b, o, k64(g, each), "");
    ch = mul64(g, group, v->C / v->groups);
    c.w = addr_in(g, v->wp, o, v->wbytes * v->ws[0], group,
                  v->wbytes * v->wgroup);
    if (v->bias) c.bias = load_f32(g, addr_at(g, v->bp, o, 4), 0);
  }
  c.x = addr_in(g, v->xp, i, 4 * v->xs[0], ch, 4 * v->xs[1]);
  c.y = addr_in(g, v->yp, i, 4 * v->ys[0], o, 4 * v->ys[1]);
  if (v->r)
    c.r = addr_in(g, v->rp, i, 4 * v->rs[0], o, 4 * v->rs[1]);
  return c;
}

static void win_build(Gen *g, Win *v) {
  Loop li, lo;
  if (type_elems(&v->n->type) == 0) return;
  v->share = parts_level(g, (int64_t[]){ v->N, v->O, v->OH }, 3);
  loop_either(g, &li, v->share == 0, 0, v->N, 1, "n");
  loop_either(g, &lo, v->share == 1, 0, v->O, 1, "o");
  plane_build(g, v, planes_at(g, v, li.iv, lo.iv));
  loop_end(g, &lo);
  loop_end(g, &li);
}

/* ---- the kernels ---------------------------------------------------- */

void emit_pool(Gen *g, const Node *n) {
  Win v;
  win_begin(g, n, &v);
  pair(n, "k", &v.kh, &v.kw);
  win_build(g, &v);
  clear_halo(g, n);
}

/* Weights, bias and residual. */
static void win_operands(Gen *g, const Node *n, Win *v) {
  win_begin(g, n, v);
  v->w = node_operand(n, "w");
  v->bias = node_operand(n, "b");
  v->r = node_operand(n, "r");
  v->kh = v->w->type.dim[2], v->kw = v->w->type.dim[3];
  v->groups = attr_int(n, "groups");
  pair(n, "dilation", &v->dh, &v->dw);
  value_strides(v->w, v->ws);
  v->wp = value_ptr(g, v->w);
  v->welem = weight_elem(g, v->w, false);
  v->wbytes = (int64_t)elem_size(v->welem);
  if (v->bias) v->bp = value_ptr(g, v->bias);
  if (v->r) value_strides(v->r, v->rs), v->rp = value_ptr(g, v->r);
}

void emit_conv2d_plain(Gen *g, const Node *n) {
  Win v;
  win_operands(g, n, &v);
  win_build(g, &v);
  clear_halo(g, n);
}

/* ---- transposed ----------------------------------------------------- */

/* The taps that results of one phase read, from the last to the first:
 * `step` apart in the weight, `dil` apart in x, from `shift` on. */
typedef struct Phase { int64_t taps, last, step, dil, shift; } Phase;

static Phase phase_of(int64_t r, int64_t k, int64_t stride, int64_t dil,
                      int64_t before) {
  Phase p = { 0, 0, 1, 1, 0 };
  int64_t first = 0;
  for (int64_t u = 0; u < k; u++) {
    if ((r + before - u * dil) % stride != 0) continue;
    if (p.taps++ == 0) first = u;
    p.last = u;
  }
  p.shift = (r + before - p.last * dil) / stride;
  if (p.taps < 2) return p;
  p.step = (p.last - first) / (p.taps - 1);
  p.dil = p.step * dil / stride;
  return p;
}

/* The results at (q*sh + ry, p*sw + rx) as a convolution of stride 1. */
static void phase_build(Gen *g, const Win *whole, int64_t ry, int64_t rx) {
  Win v = *whole;
  Phase y = phase_of(ry, v.kh, v.sh, v.dh, v.top);
  Phase x = phase_of(rx, v.kw, v.sw, v.dw, v.left);
  if (ry >= v.OH || rx >= v.OW) return;
  v.yp = addrk(g, v.yp, 4 * (ry * v.ys[2] + rx * v.ys[3]));
  if (v.r) v.rp = addrk(g, v.rp, 4 * (ry * v.rs[2] + rx * v.rs[3]));
  v.wp = addrk(g, v.wp, v.wbytes * (y.last * v.ws[2] + x.last * v.ws[3]));
  v.OH = (v.OH - ry + v.sh - 1) / v.sh, v.OW = (v.OW - rx + v.sw - 1) / v.sw;
  v.ys[2] *= v.sh, v.ys[3] *= v.sw;
  v.rs[2] *= v.sh, v.rs[3] *= v.sw;
  v.ws[2] *= -y.step, v.ws[3] *= -x.step;
  v.kh = x.taps ? y.taps : 0, v.kw = x.taps ? x.taps : 1;
  v.dh = y.dil, v.dw = x.dil;
  v.top = -y.shift, v.left = x.taps ? -x.shift : 0;
  v.sh = v.sw = 1;
  v.apart = true;
  win_build(g, &v);
}

void emit_conv2d_transpose(Gen *g, const Node *n) {
  Win v;
  win_operands(g, n, &v);
  /* w is [C,O/groups,...]: the first two strides change places. */
  int64_t input = v.ws[0], each = v.O / v.groups;
  v.ws[0] = v.ws[1], v.ws[1] = input;
  v.wgroup = v.C / v.groups * input - each * v.ws[0];
  for (int64_t ry = 0; ry < v.sh; ry++)
    for (int64_t rx = 0; rx < v.sw; rx++) phase_build(g, &v, ry, rx);
  clear_halo(g, n);
}
