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
  if (layer_is_transposed(n)) {
    p.by_channel = p.s.o;
    p.by_output = 1;
  }
  return p;
}

/* ---- rows ------------------------------------------------------------ */

/* Sums by eights, in an order that is the same on all machines. */
enum { LANES = 8 };

/* y += w * x */
static void row_add(int64_t n, double w, const double *restrict x,
                    double *restrict y) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) y[i + k] += w * x[i + k];
  for (; i < n; i++) y[i] += w * x[i];
}

static double row_dot(int64_t n, const double *restrict x,
                      const double *restrict y) {
  double part[LANES] = {0}, sum = 0;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) part[k] += x[i + k] * y[i + k];
  for (; i < n; i++) sum += x[i] * y[i];
  for (int k = 0; k < LANES; k++) sum += part[k];
  return sum;
}

/* ---- maps ------------------------------------------------------------ */

/* Where a tap of a window goes: `rows` rows of n elements, from x + in and
 * y + out on; in the rows of x every `step`th. */
typedef struct Tap {
  int64_t rows, n, in, out, in_row, out_row, step;
} Tap;

static Tap tap_of(const Window *s, int64_t k) {
  int64_t y0, y1, x0, x1;
  int64_t dy = k / s->kw * s->dh - s->top, dx = k % s->kw * s->dw - s->left;
  window_clip(s->h, s->oh, s->sh, dy, &y0, &y1);
  window_clip(s->w, s->ow, s->sw, dx, &x0, &x1);
  if (y1 <= y0 || x1 <= x0) return (Tap){0};
  Tap t = {.rows = y1 - y0, .n = x1 - x0, .step = s->sw,
           .in = (y0 * s->sh + dy) * s->w + x0 * s->sw + dx,
           .out = y0 * s->ow + x0, .in_row = s->sh * s->w,
           .out_row = s->ow};
  if (t.step == 1 && t.n == t.out_row && t.n == t.in_row) {
    t.n *= t.rows;           /* one row of all */
    t.rows = 1;
  }
  return t;
}

static void tap_forward(const Tap *t, double w, const double *x, double *y) {
  for (int64_t r = 0; r < t->rows; r++) {
    const double *from = x + t->in + r * t->in_row;
    double *to = y + t->out + r * t->out_row;
    if (t->step == 1) row_add(t->n, w, from, to);
    else
      for (int64_t i = 0; i < t->n; i++) to[i] += w * from[i * t->step];
  }
}

/* gx += w * gy; the sum of x * gy. */
static double tap_backward(const Tap *t, double w, const double *x,
                           double *gx, const double *gy) {
  double sum = 0;
  for (int64_t r = 0; r < t->rows; r++) {
    int64_t at = t->in + r * t->in_row;
    const double *from = gy + t->out + r * t->out_row;
    if (t->step == 1) {
      sum += row_dot(t->n, x + at, from);
      row_add(t->n, w, from, gx + at);
      continue;
    }
    for (int64_t i = 0; i < t->n; i++) {
      sum += x[at + i * t->step] * from[i];
      gx[at + i * t->step] += w * from[i];
    }
  }
  return sum;
}

/* All weights between output channel o of an image and its inputs. */
static void channel_go(const Flow *fl, const Node *n, const Product *p,
                       const Tap *taps, int64_t image, int64_t o,
                       const float *w, double *dw, bool back) {
  const Window *s = &p->s;
  int64_t all = s->kh * s->kw;
  int64_t cg = s->c / s->groups, first = o / (s->o / s->groups) * cg;
  int64_t x = (image * s->c + first) * s->h * s->w;
  int64_t y = (image * s->o + o) * s->oh * s->ow;
  const double *in = fl->v[n->in[0]->id] + x;
  double *gin = fl->g[n->in[0]->id] + x;
  for (int64_t c = 0; c < cg; c++)
    for (int64_t k = 0; k < all; k++) {
      int64_t at = o * p->by_output + c * p->by_channel + k;
      int64_t plane = c * s->h * s->w;
      double v = fabs((double)w[at]);
      if (v == 0) continue;
      if (!back) {
        tap_forward(&taps[k], v, in + plane, fl->v[n->id] + y);
        continue;
      }
      double sum = tap_backward(&taps[k], v, in + plane, gin + plane,
                                fl->g[n->id] + y);
      if (dw) dw[at] += sum;
    }
}

static void map_go(const Flow *fl, const Node *n, const Product *p,
                   const float *w, double *dw, bool back) {
  Arena *a = arena_new();
  int64_t all = p->s.kh * p->s.kw;
  Tap *taps = arena_array(a, Tap, (size_t)all + 1);
  for (int64_t k = 0; k < all; k++) taps[k] = tap_of(&p->s, k);
  for (int64_t i = 0; i < p->s.n; i++)
    for (int64_t o = 0; o < p->s.o; o++)
      channel_go(fl, n, p, taps, i, o, w, dw, back);
  arena_free(a);
}

/* ---- rows of x alone ------------------------------------------------- */

/* An output of a row: the weight's values lie p->by_channel apart. */
static void output_go(const Product *p, const float *w, double *dw,
                      const double *x, double *gx, double *y,
                      const double *gy) {
  int64_t step = p->by_channel;
  double sum = 0;
  if (!gx) {
    for (int64_t c = 0; c < p->s.c; c++)
      sum += fabs((double)w[c * step]) * x[c];
    *y += sum;
    return;
  }
  for (int64_t c = 0; c < p->s.c; c++) {
    gx[c] += fabs((double)w[c * step]) * *gy;
    if (dw) dw[c * step] += x[c] * *gy;
  }
}

static void rows_go(const Flow *fl, const Node *n, const Product *p,
                    const float *w, double *dw, bool back) {
  int64_t x = n->in[0]->id, y = n->id;
  for (int64_t i = 0; i < p->s.n; i++)
    for (int64_t o = 0; o < p->s.o; o++)
      output_go(p, w + o * p->by_output, dw ? dw + o * p->by_output : NULL,
                fl->v[x] + i * p->s.c, back ? fl->g[x] + i * p->s.c : NULL,
                fl->v[y] + i * p->s.o + o, fl->g[y] + i * p->s.o + o);
}

/* ---- both ------------------------------------------------------------ */

static void product_go(Flow *fl, const Node *n, bool back) {
  double *dw;
  const float *w = flow_weight(fl, n, &dw);
  Product p = product_of(n);
  if (n->op == OP_LINEAR || n->op == OP_MATMUL)
    rows_go(fl, n, &p, w, dw, back);
  else
    map_go(fl, n, &p, w, dw, back);
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

/* ---- products of two values of the net ------------------------------- */

/* Both are handed on: of a the mean of a row, of b that of a column. */

/* Step r of line `line` of an operand: of a along its row, of b its column. */
static int64_t line_index(const Node *n, int side, const MatmulSizes *s,
                          int64_t matrix, int64_t line, int64_t r) {
  bool swap = attr_bool(n, side ? "transpose_b" : "transpose_a");
  int64_t lines = side ? s->n : s->m, at = matrix * s->k * lines;
  /* a [m,k] has lines as rows, b [k,n] as columns. */
  return (side == 0) != swap ? at + line * s->k + r : at + r * lines + line;
}

static void side_go(Flow *fl, const Node *n, int side, bool back) {
  const Node *x = n->in[side];
  MatmulSizes s = matmul_sizes(n);
  int64_t each = s.m * s.n, count = each ? type_elems(&n->type) / each : 0;
  int64_t lines = side ? s.n : s.m, others = side ? s.m : s.n;
  for (int64_t i = 0; i < count; i++)
    for (int64_t l = 0; l < lines; l++) {
      int64_t matrix = matrix_of(&x->type, &n->type, i);
      double sum = 0;
      for (int64_t r = 0; !back && r < s.k; r++)
        sum += fl->v[x->id][line_index(n, side, &s, matrix, l, r)];
      for (int64_t o = 0; o < others; o++) {
        int64_t y = i * each + (side ? o * s.n + l : l * s.n + o);
        if (back) sum += fl->g[n->id][y];
        else fl->v[n->id][y] += sum / (double)s.k;
      }
      for (int64_t r = 0; back && r < s.k; r++)
        fl->g[x->id][line_index(n, side, &s, matrix, l, r)] +=
          sum / (double)s.k;
    }
}

static void sides_go(Flow *fl, const Node *n, bool back) {
  for (int side = 0; side < 2; side++)
    if (fl->flows[n->in[side]->id]) side_go(fl, n, side, back);
}

static void sides_forward(Flow *fl, const Node *n) { sides_go(fl, n, false); }
static void sides_backward(Flow *fl, const Node *n) { sides_go(fl, n, true); }
const FlowRule flow_sides = {sides_forward, sides_backward};
