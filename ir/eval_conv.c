/* eval_conv.c - reference evaluation of conv2d, linear and the pools. */
#include "ir/eval.h"

#include <math.h>
#include <string.h>

static void ints_pair(const Node *n, const char *name, int64_t *a,
                      int64_t *b) {
  int count;
  const int64_t *v = attr_ints(n, name, &count);
  ensure(count >= 2);
  *a = v[0], *b = v[1];
}

Window window_of(const Node *n, const Type *x, const Type *y) {
  ensure(x->rank == 4 && y->rank == 4);
  Window s = {.n = x->dim[0], .c = x->dim[1], .h = x->dim[2], .w = x->dim[3],
              .o = y->dim[1], .oh = y->dim[2], .ow = y->dim[3],
              .dh = 1, .dw = 1, .groups = 1};
  ints_pair(n, "stride", &s.sh, &s.sw);
  ints_pair(n, "pad", &s.top, &s.left);
  if (n->op == OP_CONV2D || n->op == OP_CONV2D_TRANSPOSE) {
    const Type *w = &node_operand(n, "w")->type;
    s.kh = w->dim[2], s.kw = w->dim[3];
    ints_pair(n, "dilation", &s.dh, &s.dw);
    s.groups = attr_int(n, "groups");
  } else {
    ints_pair(n, "k", &s.kh, &s.kw);
  }
  return s;
}

void window_clip(int64_t size, int64_t outputs, int64_t stride,
                 int64_t shift, int64_t *lo, int64_t *hi) {
  int64_t first = shift < 0 ? (-shift + stride - 1) / stride : 0;
  int64_t end = size > shift ? (size - shift + stride - 1) / stride : 0;
  *lo = first;
  *hi = end < outputs ? end : outputs;
}

/* y += v * x over the outputs that the tap (ky, kx) reaches, one plane. */
static void conv_tap(const Window *s, double v, const double *x, double *y,
                     int64_t ky, int64_t kx) {
  int64_t y0, y1, x0, x1, dy = ky * s->dh - s->top, dx = kx * s->dw - s->left;
  window_clip(s->h, s->oh, s->sh, dy, &y0, &y1);
  window_clip(s->w, s->ow, s->sw, dx, &x0, &x1);
  for (int64_t oy = y0; oy < y1; oy++) {
    const double *row = x + (oy * s->sh + dy) * s->w;
    double *to = y + oy * s->ow;
    for (int64_t ox = x0; ox < x1; ox++) to[ox] += v * row[ox * s->sw + dx];
  }
}

/* Channel by channel, tap by tap: the order in which each output sums. */
static void conv2d_loops(const Window *s, const double *x, const double *w,
                         double *y) {
  int64_t cg = s->c / s->groups, og = s->o / s->groups;
  memset(y, 0, (size_t)(s->n * s->o * s->oh * s->ow) * sizeof(double));
  for (int64_t no = 0; no < s->n * s->o; no++) {
    int64_t n = no / s->o, o = no % s->o, first = n * s->c + o / og * cg;
    for (int64_t c = 0; c < cg; c++)
      for (int64_t k = 0; k < s->kh * s->kw; k++)
        conv_tap(s, w[(o * cg + c) * s->kh * s->kw + k],
                 x + (first + c) * s->h * s->w, y + no * s->oh * s->ow,
                 k / s->kw, k % s->kw);
  }
}

/* Bias, residual and activation on the sums in c->out; a channel's elements
 * are `inner` long, `channels` of them repeat. */
static void finish(EvalCtx *c, int64_t inner, int64_t channels) {
  const Tensor *b = eval_operand(c, "b"), *r = eval_operand(c, "r");
  Epilogue e = epilogue_of(c->n);
  int64_t count = type_elems(&c->n->type);
  for (int64_t i = 0; i < count; i++) {
    double acc = c->out->v[i];
    if (b) acc += b->v[i / inner % channels];
    c->out->v[i] = epilogue_eval(&e, acc, r ? r->v[i] : 0);
  }
}

void eval_conv2d(EvalCtx *c) {
  Window s = window_of(c->n, &c->in[0]->type, &c->n->type);
  const double *x = c->in[0]->v, *w = c->in[1]->v;
  if (!c->o->blas || !conv2d_blas(&s, x, w, c->out->v))
    conv2d_loops(&s, x, w, c->out->v);
  finish(c, s.oh * s.ow, s.o);
}

/* y += v * x, the pixels of x spread by the stride. */
static void transpose_tap(const Window *s, double v, const double *x,
                          double *y, int64_t ky, int64_t kx) {
  for (int64_t iy = 0; iy < s->h; iy++) {
    int64_t oy = iy * s->sh + ky * s->dh - s->top;
    if (oy < 0 || oy >= s->oh) continue;
    for (int64_t ix = 0; ix < s->w; ix++) {
      int64_t ox = ix * s->sw + kx * s->dw - s->left;
      if (ox >= 0 && ox < s->ow) y[oy * s->ow + ox] += v * x[iy * s->w + ix];
    }
  }
}

void eval_conv2d_transpose(EvalCtx *c) {
  Window s = window_of(c->n, &c->in[0]->type, &c->n->type);
  int64_t cg = s.c / s.groups, og = s.o / s.groups, k = s.kh * s.kw;
  memset(c->out->v, 0,
         (size_t)(s.n * s.o * s.oh * s.ow) * sizeof(double));
  for (int64_t no = 0; no < s.n * s.o; no++) {
    int64_t o = no % s.o, first = o / og * cg;
    for (int64_t ch = first; ch < first + cg; ch++)
      for (int64_t t = 0; t < k; t++)
        transpose_tap(&s, c->in[1]->v[(ch * og + o % og) * k + t],
                      c->in[0]->v + (no / s.o * s.c + ch) * s.h * s.w,
                      c->out->v + no * s.oh * s.ow, t / s.kw, t % s.kw);
  }
  finish(c, s.oh * s.ow, s.o);
}

void eval_linear(EvalCtx *c) {
  const Type *x = &c->in[0]->type, *w = &c->in[1]->type;
  int64_t m = w->dim[0], k = w->dim[1], rows = 1;
  for (int i = 0; i < x->rank - 1; i++) rows *= x->dim[i];
  const double *xv = c->in[0]->v, *wv = c->in[1]->v;
  if (!c->o->blas || !linear_blas(rows, k, m, xv, wv, c->out->v))
    for (int64_t i = 0; i < rows * m; i++) {
      double acc = 0;
      for (int64_t j = 0; j < k; j++)
        acc += xv[i / m * k + j] * wv[i % m * k + j];
      c->out->v[i] = acc;
    }
  finish(c, 1, m);
}

/* ---- pools ---------------------------------------------------------- */

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* One window over a plane x, its corner at (y0, x0) (maybe outside). */
static double pool_window(const Window *s, const double *x, int64_t y0,
                          int64_t x0, bool max, bool count_pad) {
  double acc = max ? -INFINITY : 0;
  int64_t count = 0;
  for (int64_t iy = max64(y0, 0); iy < min64(y0 + s->kh, s->h); iy++)
    for (int64_t ix = max64(x0, 0); ix < min64(x0 + s->kw, s->w); ix++) {
      double v = x[iy * s->w + ix];
      if (!max) acc += v;
      else if (acc < v) acc = v;
      count++;
    }
  if (max) return acc;
  return acc / (double)(count_pad ? s->kh * s->kw : count);
}

void eval_pool(EvalCtx *c) {
  Window s = window_of(c->n, &c->in[0]->type, &c->n->type);
  bool max = c->n->op == OP_MAX_POOL;
  bool count_pad = !max && attr_bool(c->n, "count_pad");
  double *to = c->out->v;
  for (int64_t p = 0; p < s.n * s.c; p++)
    for (int64_t oy = 0; oy < s.oh; oy++)
      for (int64_t ox = 0; ox < s.ow; ox++)
        *to++ = pool_window(&s, c->in[0]->v + p * s.h * s.w,
                            oy * s.sh - s.top, ox * s.sw - s.left, max,
                            count_pad);
}
