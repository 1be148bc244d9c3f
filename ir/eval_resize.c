/* eval_resize.c - where the pixels of a resized map come from, and the
 * reference evaluation.  Positions are exact fractions, so that no rounding
 * decides which pixel is the nearest. */
#include "ir/eval.h"

#include <string.h>

/* Position of pixel i in x as a fraction: *num / *den. */
static void position(const char *coord, int64_t in, int64_t out, int64_t i,
                     int64_t *num, int64_t *den) {
  if (strcmp(coord, "align_corners") == 0) {
    *num = out > 1 ? i * (in - 1) : 0;
    *den = out > 1 ? out - 1 : 1;
  } else if (strcmp(coord, "half_pixel") == 0) {
    *num = (2 * i + 1) * in - out;
    *den = 2 * out;
  } else {
    *num = i * in;
    *den = out;
  }
}

/* The pixel itself: half pixels count from its corner, not its centre, and
 * aligned corners round halves up. */
static int64_t nearest(const char *coord, int64_t num, int64_t den) {
  if (strcmp(coord, "asymmetric") == 0) return num / den;
  return (2 * num + den) / (2 * den);
}

Sample resize_sample(const Node *n, int axis, int64_t i) {
  int64_t in = n->in[0]->type.dim[axis], out = n->type.dim[axis], num, den;
  const char *coord = attr_str(n, "coord");
  position(coord, in, out, i, &num, &den);
  Sample s = {0, 0, 0};
  if (strcmp(attr_str(n, "mode"), "nearest") == 0) {
    s.lo = nearest(coord, num, den);
    if (s.lo > in - 1) s.lo = in - 1;
    s.hi = s.lo;
    return s;
  }
  if (num < 0) num = 0;
  s.lo = num / den;
  s.part = (double)(num % den) / (double)den;
  if (s.lo >= in - 1) s.lo = in - 1, s.part = 0;
  s.hi = s.part > 0 ? s.lo + 1 : s.lo;
  return s;
}

static double blend(double a, double b, double part) {
  return part > 0 ? (1 - part) * a + part * b : a;
}

void eval_resize(EvalCtx *c) {
  const Type *x = &c->in[0]->type, *t = &c->n->type;
  int64_t w = x->dim[3], plane = x->dim[2] * w;
  double *to = c->out->v;
  for (int64_t p = 0; p < t->dim[0] * t->dim[1]; p++)
    for (int64_t oy = 0; oy < t->dim[2]; oy++) {
      Sample v = resize_sample(c->n, 2, oy);
      const double *top = c->in[0]->v + p * plane + v.lo * w;
      const double *low = c->in[0]->v + p * plane + v.hi * w;
      for (int64_t ox = 0; ox < t->dim[3]; ox++) {
        Sample h = resize_sample(c->n, 3, ox);
        double a = blend(top[h.lo], top[h.hi], h.part);
        *to++ = blend(a, blend(low[h.lo], low[h.hi], h.part), v.part);
      }
    }
}
