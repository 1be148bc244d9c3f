/* flow_products.c - what flows through layers with weights (flow.h).
 *
 * A layer is a convolution of maps: lines have one row, and a linear layer,
 * or a product with a matrix, is one of a map of 1x1 for each of its rows.
 * Weights that are zero are left out, so that a net takes the less the more
 * of it is gone. */
#include <math.h>

#include "passes/flow.h"

/* Sizes, and steps in the weight from an output, and from a channel, to the
 * next. */
typedef struct Product {
  Window s;
  int64_t by_output, by_channel;
} Product;

const float *flow_weight(const Flow *fl, const Node *n, double **dw) {
  const Param *p = layer_weight(n)->param;
  if (dw) *dw = NULL;
  for (size_t i = 0; i < fl->s->weights.n; i++) {
    const PruneWeight *w = fl->s->weights.at[i];
    if (w->p != p) continue;
    if (dw) *dw = fl->dw[i];
    return w->v ? w->v : w->old;
  }
  return param_values(fl->s->c->m, p);
}

static Window line_window(const Node *n) {
  const Type *x = &n->in[0]->type, *w = &n->in[1]->type, *y = &n->type;
  return (Window){
    .n = x->dim[0], .c = x->dim[1], .h = 1, .w = x->dim[2],
    .o = y->dim[1], .oh = 1, .ow = y->dim[2], .kh = 1, .kw = w->dim[2],
    .sh = 1, .sw = attr_ints(n, "stride", NULL)[0], .dh = 1,
    .dw = attr_ints(n, "dilation", NULL)[0],
    .left = attr_ints(n, "pad", NULL)[0], .groups = attr_int(n, "groups"),
  };
}

/* A row of x is all there is of an image. */
static Window row_window(const Node *n) {
  int64_t outputs = n->type.dim[n->type.rank - 1];
  int64_t rows = outputs ? type_elems(&n->type) / outputs : 0;
  return (Window){
    .n = rows, .c = rows ? type_elems(&n->in[0]->type) / rows : 0, .h = 1,
    .w = 1, .o = outputs, .oh = 1, .ow = 1, .kh = 1, .kw = 1, .sh = 1,
    .sw = 1, .dh = 1, .dw = 1, .groups = 1,
  };
}

static Product product_of(const Node *n) {
  Product p = {.s = n->op == OP_CONV2D
                      ? window_of(n, &n->in[0]->type, &n->type)
                    : n->op == OP_CONV1D ? line_window(n) : row_window(n)};
  p.by_channel = p.s.kh * p.s.kw;
  p.by_output = p.s.c / p.s.groups * p.by_channel;
  if (n->op == OP_MATMUL && !attr_bool(n, "transpose_b")) {
    p.by_channel = p.s.o;
    p.by_output = 1;
  }
  return p;
}

/* A tap of one weight: where it goes on its planes. */
typedef struct Tap {
  const Window *s;
  int64_t y0, y1, x0, x1, dy, dx;
} Tap;

static Tap tap_of(const Window *s, int64_t k) {
  Tap t = {.s = s, .dy = k / s->kw * s->dh - s->top,
           .dx = k % s->kw * s->dw - s->left};
  window_clip(s->h, s->oh, s->sh, t.dy, &t.y0, &t.y1);
  window_clip(s->w, s->ow, s->sw, t.dx, &t.x0, &t.x1);
  return t;
}

static void tap_forward(const Tap *t, double w, const double *x, double *y) {
  for (int64_t oy = t->y0; oy < t->y1; oy++) {
    const double *row = x + (oy * t->s->sh + t->dy) * t->s->w + t->dx;
    double *to = y + oy * t->s->ow;
    for (int64_t i = t->x0; i < t->x1; i++) to[i] += w * row[i * t->s->sw];
  }
}

/* gx += w * gy; the sum of x * gy. */
static double tap_backward(const Tap *t, double w, const double *x,
                           double *gx, const double *gy) {
  double sum = 0;
  for (int64_t oy = t->y0; oy < t->y1; oy++) {
    int64_t at = (oy * t->s->sh + t->dy) * t->s->w + t->dx;
    const double *from = gy + oy * t->s->ow;
    for (int64_t i = t->x0; i < t->x1; i++) {
      sum += x[at + i * t->s->sw] * from[i];
      gx[at + i * t->s->sw] += w * from[i];
    }
  }
  return sum;
}

/* All weights between one output channel of an image and its inputs: dw NULL
 * forward, else backward. */
static void channel_go(const Flow *fl, const Node *n, const Product *p,
                       int64_t image, int64_t o, const float *w,
                       double *dw, bool back) {
  const Window *s = &p->s;
  int64_t cg = s->c / s->groups, first = o / (s->o / s->groups) * cg;
  int64_t x = (image * s->c + first) * s->h * s->w;
  int64_t y = (image * s->o + o) * s->oh * s->ow;
  double *in = fl->v[n->in[0]->id], *gin = fl->g[n->in[0]->id];
  for (int64_t i = 0; i < cg * s->kh * s->kw; i++) {
    int64_t c = i / (s->kh * s->kw), k = i % (s->kh * s->kw);
    int64_t at = o * p->by_output + c * p->by_channel + k;
    int64_t plane = x + c * s->h * s->w;
    double v = fabs((double)w[at]);
    if (v == 0) continue;
    Tap t = tap_of(s, k);
    if (!back) {
      tap_forward(&t, v, in + plane, fl->v[n->id] + y);
      continue;
    }
    double sum = tap_backward(&t, v, in + plane, gin + plane,
                              fl->g[n->id] + y);
    if (dw) dw[at] += sum;
  }
}

static void product_go(Flow *fl, const Node *n, bool back) {
  double *dw;
  const float *w = flow_weight(fl, n, &dw);
  Product p = product_of(n);
  for (int64_t i = 0; i < p.s.n; i++)
    for (int64_t o = 0; o < p.s.o; o++)
      channel_go(fl, n, &p, i, o, w, dw, back);
}

/* What is added behind the product, if it flows. */
static void residual_go(Flow *fl, const Node *n, bool back) {
  const Node *r = n->op == OP_MATMUL || n->op == OP_CONV1D
                    ? NULL : node_operand(n, "r");
  if (!r || !fl->flows[r->id]) return;
  for (int64_t i = 0; i < type_elems(&n->type); i++)
    if (back) fl->g[r->id][i] += fl->g[n->id][i];
    else fl->v[n->id][i] += fl->v[r->id][i];
}

static void product_forward(Flow *fl, const Node *n) {
  if (fl->flows[n->in[0]->id]) product_go(fl, n, false);
  residual_go(fl, n, false);
}

static void product_backward(Flow *fl, const Node *n) {
  if (fl->flows[n->in[0]->id]) product_go(fl, n, true);
  residual_go(fl, n, true);
}

const FlowRule flow_product = {product_forward, product_backward};
