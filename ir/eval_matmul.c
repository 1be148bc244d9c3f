/* eval_matmul.c - reference evaluation of matmul and attend. */
#include <math.h>

#include "ir/eval.h"

int64_t matrix_of(const Type *t, const Type *y, int64_t i) {
  int64_t at = 0, stride = 1;
  for (int k = 3; k <= y->rank; k++) {
    int64_t size = k <= t->rank ? t->dim[t->rank - k] : 1;
    if (size > 1) at += i % y->dim[y->rank - k] * stride;
    stride *= size;
    i /= y->dim[y->rank - k];
  }
  return at;
}

static void matmul_loops(const MatmulSizes *s, bool ta, bool tb,
                         const double *a, const double *b, double *y) {
  int64_t am = ta ? 1 : s->k, ak = ta ? s->m : 1;
  int64_t bk = tb ? 1 : s->n, bn = tb ? s->k : 1;
  for (int64_t i = 0; i < s->m; i++)
    for (int64_t j = 0; j < s->n; j++) {
      double acc = 0;
      for (int64_t k = 0; k < s->k; k++)
        acc += a[i * am + k * ak] * b[k * bk + j * bn];
      y[i * s->n + j] = acc;
    }
}

void matrix_product(const EvalCtx *c, const MatmulSizes *s, bool ta, bool tb,
                    const double *a, const double *b, double *y) {
  if (!c->o->blas || !matmul_blas(s, ta, tb, a, b, y))
    matmul_loops(s, ta, tb, a, b, y);
}

void eval_matmul(EvalCtx *c) {
  MatmulSizes s = matmul_sizes(c->n);
  bool ta = attr_bool(c->n, "transpose_a");
  bool tb = attr_bool(c->n, "transpose_b");
  const Type *y = &c->n->type;
  if (type_elems(y) == 0) return;
  int64_t count = type_elems(y) / (s.m * s.n);
  for (int64_t i = 0; i < count; i++) {
    const double *a = c->in[0]->v, *b = c->in[1]->v;
    double *to = c->out->v + i * s.m * s.n;
    a += matrix_of(&c->in[0]->type, y, i) * s.m * s.k;
    b += matrix_of(&c->in[1]->type, y, i) * s.k * s.n;
    matrix_product(c, &s, ta, tb, a, b, to);
  }
}

/* ---- attend --------------------------------------------------------- */

/* Scores of matrix i of y, [L,S]: scaled, masked. */
static void attend_mask(const EvalCtx *c, const AttendSizes *z, int64_t i,
                        double *score) {
  const Tensor *mask = eval_operand(c, "mask");
  double scale = attr_float(c->n, "scale");
  bool causal = attr_bool(c->n, "causal");
  int64_t row = 0, column = 0;
  const double *m = NULL;
  if (mask) {
    const Type *t = &mask->type;
    column = t->rank > 0 && t->dim[t->rank - 1] > 1;
    int64_t width = t->rank > 0 ? t->dim[t->rank - 1] : 1;
    int64_t height = t->rank > 1 ? t->dim[t->rank - 2] : 1;
    row = height > 1 ? width : 0;
    m = mask->v + matrix_of(t, &c->n->type, i) * width * height;
  }
  for (int64_t l = 0; l < z->l; l++)
    for (int64_t s = 0; s < z->s; s++) {
      double *x = &score[l * z->s + s];
      *x *= scale;
      if (m) *x += m[l * row + s * column];
      if (causal && s > l) *x = -INFINITY;
    }
}

void eval_attend(EvalCtx *c) {
  AttendSizes z = attend_sizes(c->n);
  const Type *y = &c->n->type;
  const Tensor *q = c->in[0], *k = c->in[1], *v = c->in[2];
  if (type_elems(y) == 0) return;
  int64_t count = type_elems(y) / (z.l * z.v);
  MatmulSizes to_scores = {z.l, z.s, z.e}, to_y = {z.l, z.v, z.s};
  Arena *a = arena_new();
  double *score = arena_array(a, double, (size_t)(z.l * z.s) + 1);
  for (int64_t i = 0; i < count; i++) {
    matrix_product(c, &to_scores, false, attr_bool(c->n, "transpose_k"),
                   q->v + matrix_of(&q->type, y, i) * z.l * z.e,
                   k->v + matrix_of(&k->type, y, i) * z.s * z.e, score);
    attend_mask(c, &z, i, score);
    for (int64_t l = 0; l < z.l; l++)
      softmax_line(score + l * z.s, score + l * z.s, z.s, 1);
    matrix_product(c, &to_y, false, false, score,
                   v->v + matrix_of(&v->type, y, i) * z.s * z.v,
                   c->out->v + i * z.l * z.v);
  }
  arena_free(a);
}
