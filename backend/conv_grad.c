/* conv_grad.c - conv2d_weight_grad: the gradient of a convolution by its
 * weight, for any layouts.
 *
 * dw[o,c,u,v] is the sum over images and positions (i,j) of dy[n,o,i,j] times
 * x[n,c, i*sh + u*dh - top, j*sw + v*dw - left]: for each tap a product of
 * rows of dy with rows of x.  A register tile of R channels of dy and Q of x
 * adds up vectors along j, whose lanes are summed at the end. */
#include "backend/emit.h"

typedef struct Grad {
  const Node *n;
  int64_t batch, h, w, oh, ow, kh, kw;
  int64_t sh, sw, dh, dw, top, left;
  int64_t xs[MAX_RANK], ds[MAX_RANK], ys[MAX_RANK];   /* of x, dy, result */
  int side;                                            /* of a tile */
} Grad;

/* Addresses for the first channels of a tile; rows of dy, columns of x. */
typedef struct Tile { Val x, dy, out; int rows, cols; } Tile;

static void pair(const Node *n, const char *name, int64_t *a, int64_t *b) {
  int count;
  const int64_t *v = attr_ints(n, name, &count);
  ensure(count >= 2);
  *a = v[0], *b = v[1];
}

static void grad_init(const Gen *g, const Node *n, Grad *t) {
  const int64_t *x = n->in[0]->type.dim, *dy = n->in[1]->type.dim;
  *t = (Grad){ .n = n, .batch = x[0], .h = x[2], .w = x[3], .oh = dy[2],
               .ow = dy[3], .side = g->t->vregs >= 32 ? 4 : 3 };
  pair(n, "k", &t->kh, &t->kw);
  pair(n, "stride", &t->sh, &t->sw);
  pair(n, "dilation", &t->dh, &t->dw);
  pair(n, "pad", &t->top, &t->left);
  value_strides(n->in[0], t->xs);
  value_strides(n->in[1], t->ds);
  value_strides(n, t->ys);
}

/* ---- rows ------------------------------------------------------------ */

/* acc += one vector of each row; mask: the lanes that count, NULL for all. */
static void add_vectors(Gen *g, const Grad *t, const Tile *s, Val x, Val dy,
                        Val mask, Val *acc) {
  Val xv[4];
  for (int c = 0; c < s->cols; c++)
    xv[c] = load_where(g, addrk(g, x, 4 * c * t->xs[1]), t->sw * t->xs[3],
                       mask);
  for (int r = 0; r < s->rows; r++) {
    Val d = load_where(g, addrk(g, dy, 4 * r * t->ds[1]), t->ds[3], mask);
    for (int c = 0; c < s->cols; c++)
      acc[r * s->cols + c] = fma_(g, d, xv[c], acc[r * s->cols + c]);
  }
}

static void carry_all(Gen *g, Loop *l, const Tile *s, Val *acc) {
  for (int i = 0; i < s->rows * s->cols; i++) loop_carry(g, l, &acc[i]);
}

/* acc += the positions [lo, hi) of a row; x and dy are where those of
 * position 0 lie. */
static void add_row(Gen *g, const Grad *t, const Tile *s, Val x, Val dy,
                    Val lo, Val hi, Val *acc) {
  int lanes = g->t->lanes;
  Val count = LLVMBuildNSWSub(g->b, hi, lo, "");
  Val whole = LLVMBuildAnd(g->b, count, k64(g, -(int64_t)lanes), "");
  int64_t xstep = 4 * t->sw * t->xs[3], dstep = 4 * t->ds[3];
  x = addr_at(g, x, lo, xstep);
  dy = addr_at(g, dy, lo, dstep);
  Loop l;
  loop_begin(g, &l, k64(g, 0), whole, lanes, false, "j");
  carry_all(g, &l, s, acc);
  Val at = addr_at(g, x, l.iv, xstep);
  add_vectors(g, t, s, at, addr_at(g, dy, l.iv, dstep), NULL, acc);
  loop_end(g, &l);
  Val mask = lanes_below(g, LLVMBuildNSWSub(g->b, count, whole, ""));
  at = addr_at(g, x, whole, xstep);
  add_vectors(g, t, s, at, addr_at(g, dy, whole, dstep), mask, acc);
}

/* ---- taps ------------------------------------------------------------ */

/* The tap at (u, v) for the channels of a tile. */
static void tap_build(Gen *g, const Grad *t, const Tile *s, Val u, Val v) {
  Val acc[16], lo, hi, jlo, jhi;
  Val top = add64(g, mul64(g, u, t->dh), k64(g, -t->top));
  Val left = add64(g, mul64(g, v, t->dw), k64(g, -t->left));
  ensure(s->rows * s->cols <= 16);
  for (int i = 0; i < s->rows * s->cols; i++) acc[i] = vzero(g);
  clip_steps(g, top, t->h, t->oh, t->sh, &lo, &hi);
  clip_steps(g, left, t->w, t->ow, t->sw, &jlo, &jhi);
  /* No position at all: no row is gone through. */
  Val some = LLVMBuildICmp(g->b, LLVMIntSLT, jlo, jhi, "");
  hi = LLVMBuildSelect(g->b, some, hi, lo, "");
  Loop n, i;
  loop_begin(g, &n, k64(g, 0), k64(g, t->batch), 1, t->batch > 0, "n");
  carry_all(g, &n, s, acc);
  loop_begin(g, &i, lo, hi, 1, false, "i");
  carry_all(g, &i, s, acc);
  Val row = add64(g, mul64(g, i.iv, t->sh), top);
  Val x = addr_in(g, s->x, n.iv, 4 * t->xs[0], row, 4 * t->xs[2]);
  Val dy = addr_in(g, s->dy, n.iv, 4 * t->ds[0], i.iv, 4 * t->ds[2]);
  add_row(g, t, s, addr_at(g, x, left, 4 * t->xs[3]), dy, jlo, jhi,
          acc);
  loop_end(g, &i);
  loop_end(g, &n);
  Val out = addr_in(g, s->out, u, 4 * t->ys[2], v, 4 * t->ys[3]);
  for (int r = 0; r < s->rows; r++)
    for (int c = 0; c < s->cols; c++)
      store_f32(g, vsum(g, acc[r * s->cols + c]), out,
                4 * (r * t->ys[0] + c * t->ys[1]));
}

static void tile_build(Gen *g, const Grad *t, const Tile *s) {
  Loop u, v;
  loop_begin(g, &u, k64(g, 0), k64(g, t->kh), 1, true, "u");
  loop_begin(g, &v, k64(g, 0), k64(g, t->kw), 1, true, "v");
  tap_build(g, t, s, u.iv, v.iv);
  loop_end(g, &v);
  loop_end(g, &u);
}

/* ---- channels -------------------------------------------------------- */

/* All input channels of the group against the rows of the tile. */
static void each_cols(Gen *g, const Grad *t, Tile s, int64_t count) {
  int64_t whole = count / t->side * t->side;
  Tile at = s;
  if (whole) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, whole), t->side, true, "c");
    at.x = addr_at(g, s.x, l.iv, 4 * t->xs[1]);
    at.out = addr_at(g, s.out, l.iv, 4 * t->ys[1]);
    at.cols = t->side;
    tile_build(g, t, &at);
    loop_end(g, &l);
  }
  if (whole == count) return;
  at.x = addrk(g, s.x, 4 * whole * t->xs[1]);
  at.out = addrk(g, s.out, 4 * whole * t->ys[1]);
  at.cols = (int)(count - whole);
  tile_build(g, t, &at);
}

/* All output channels of a group. */
static void each_rows(Gen *g, const Grad *t, Tile s, int64_t count,
                      int64_t cols) {
  int64_t whole = count / t->side * t->side;
  Tile at = s;
  if (whole) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, whole), t->side, true, "o");
    at.dy = addr_at(g, s.dy, l.iv, 4 * t->ds[1]);
    at.out = addr_at(g, s.out, l.iv, 4 * t->ys[0]);
    at.rows = t->side;
    each_cols(g, t, at, cols);
    loop_end(g, &l);
  }
  if (whole == count) return;
  at.dy = addrk(g, s.dy, 4 * whole * t->ds[1]);
  at.out = addrk(g, s.out, 4 * whole * t->ys[0]);
  at.rows = (int)(count - whole);
  each_cols(g, t, at, cols);
}

void emit_conv2d_weight_grad(Gen *g, const Node *n) {
  Grad t;
  int64_t groups = attr_int(n, "groups"), og = n->type.dim[0] / groups;
  if (type_elems(&n->type) == 0) return;
  grad_init(g, n, &t);
  Tile s = { value_ptr(g, n->in[0]), value_ptr(g, n->in[1]),
             value_ptr(g, n), 0, 0 };
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, groups), 1, true, "group");
  int64_t cg = n->type.dim[1];
  s.x = addr_at(g, s.x, l.iv, 4 * cg * t.xs[1]);
  s.dy = addr_at(g, s.dy, l.iv, 4 * og * t.ds[1]);
  s.out = addr_at(g, s.out, l.iv, 4 * og * t.ys[0]);
  each_rows(g, &t, s, og, cg);
  loop_end(g, &l);
  clear_halo(g, n);
}
