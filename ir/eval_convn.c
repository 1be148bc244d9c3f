/* eval_convn.c - reference evaluation of convolutions over 1 to 3 axes,
 * transposed ones, and gradients by their weights.
 *
 * All of them are about the same triples: position p of the small map, tap t
 * and position p*stride + t*dilation - pad of the big map.  A convolution
 * sums big * weight into the small map, its transpose small * weight into
 * the big one, the gradient big * small into the weight. */
#include <string.h>

#include "ir/eval.h"

/* Axes that an op does not have are 1 long. */
typedef struct Corr {
  int64_t n, small, big, groups;              /* batch, channels */
  int64_t at[3], from[3], k[3];               /* small map, big map, taps */
  int64_t stride[3], dilation[3], pad[3];
} Corr;

typedef enum { TO_SMALL, TO_BIG, TO_WEIGHT } Sum;

static int64_t product(const int64_t v[3]) { return v[0] * v[1] * v[2]; }

/* The last axes of v, what is in front 1. */
static void last_axes(int64_t to[3], const int64_t *v, int n, int64_t none) {
  for (int i = 0; i < 3; i++) to[i] = i < 3 - n ? none : v[i - 3 + n];
}

static Corr corr_of(const Node *n, const Type *small, const Type *big,
                    const int64_t *k) {
  Corr s = {.n = small->dim[0], .small = small->dim[1], .big = big->dim[1]};
  int axes = small->rank - 2;
  ensure(axes >= 1 && axes <= 3 && big->rank == small->rank);
  s.groups = attr_int(n, "groups");
  last_axes(s.at, &small->dim[2], axes, 1);
  last_axes(s.from, &big->dim[2], axes, 1);
  last_axes(s.k, k, axes, 1);
  last_axes(s.stride, attr_ints(n, "stride", NULL), axes, 1);
  last_axes(s.dilation, attr_ints(n, "dilation", NULL), axes, 1);
  last_axes(s.pad, attr_ints(n, "pad", NULL), axes, 0);
  return s;
}

/* One row of the small map against one of the big map. */
static void corr_row(Sum to, int64_t count, int64_t stride, double *small,
                     double *big, double *w) {
  double acc = 0;
  for (int64_t i = 0; i < count; i++) {
    if (to == TO_SMALL) small[i] += *w * big[i * stride];
    else if (to == TO_BIG) big[i * stride] += *w * small[i];
    else acc += small[i] * big[i * stride];
  }
  if (to == TO_WEIGHT) *w += acc;
}

/* One plane of each, one tap. */
static void corr_tap(const Corr *s, Sum to, int64_t tap, double *small,
                     double *big, double *w) {
  int64_t lo[3], hi[3], shift[3];
  for (int i = 2; i >= 0; i--) {
    shift[i] = tap % s->k[i] * s->dilation[i] - s->pad[i];
    tap /= s->k[i];
    window_clip(s->from[i], s->at[i], s->stride[i], shift[i], &lo[i],
                &hi[i]);
    if (lo[i] >= hi[i]) return;
  }
  for (int64_t d = lo[0]; d < hi[0]; d++)
    for (int64_t h = lo[1]; h < hi[1]; h++) {
      int64_t row = (d * s->stride[0] + shift[0]) * s->from[1] +
                    h * s->stride[1] + shift[1];
      corr_row(to, hi[2] - lo[2], s->stride[2],
               small + (d * s->at[1] + h) * s->at[2] + lo[2],
               big + row * s->from[2] + lo[2] * s->stride[2] + shift[2], w);
    }
}

static void correlate(const Corr *s, Sum to, double *small, double *big,
                      double *w) {
  int64_t ng = s->small / s->groups, bg = s->big / s->groups;
  int64_t taps = product(s->k), at = product(s->at), from = product(s->from);
  for (int64_t no = 0; no < s->n * s->small; no++) {
    int64_t n = no / s->small, o = no % s->small, group = o / ng;
    for (int64_t c = 0; c < bg; c++)
      for (int64_t t = 0; t < taps; t++)
        corr_tap(s, to, t, small + no * at,
                 big + (n * s->big + group * bg + c) * from,
                 w + (o * bg + c) * taps + t);
  }
}

/* Operand values, which correlate leaves alone when it sums into another. */
static double *values(const EvalCtx *c, int i) {
  union { const double *c; double *v; } p = {c->in[i]->v};
  return p.v;
}

static void clear(EvalCtx *c) {
  int64_t n = type_elems(&c->n->type);
  if (n) memset(c->out->v, 0, (size_t)n * sizeof(double));
}

static void bias_add(EvalCtx *c) {
  const Tensor *b = eval_operand(c, "b");
  const Type *y = &c->n->type;
  int64_t inner = 1, count = type_elems(y);
  for (int i = 2; i < y->rank; i++) inner *= y->dim[i];
  for (int64_t i = 0; b && i < count; i++)
    c->out->v[i] += b->v[i / inner % y->dim[1]];
}

void eval_convn(EvalCtx *c) {
  Corr s = corr_of(c->n, &c->n->type, &c->in[0]->type,
                   &c->in[1]->type.dim[2]);
  clear(c);
  correlate(&s, TO_SMALL, c->out->v, values(c, 0), values(c, 1));
  bias_add(c);
}

void eval_convn_transpose(EvalCtx *c) {
  Corr s = corr_of(c->n, &c->in[0]->type, &c->n->type,
                   &c->in[1]->type.dim[2]);
  clear(c);
  correlate(&s, TO_BIG, values(c, 0), c->out->v, values(c, 1));
  bias_add(c);
}

void eval_convn_weight_grad(EvalCtx *c) {
  Corr s = corr_of(c->n, &c->in[1]->type, &c->in[0]->type,
                   &c->n->type.dim[2]);
  clear(c);
  correlate(&s, TO_WEIGHT, values(c, 1), values(c, 0), c->out->v);
}
