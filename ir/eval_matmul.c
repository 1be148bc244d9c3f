/* eval_matmul.c - reference evaluation of matmul. */
#include "ir/eval.h"

/* Which matrix of an operand belongs to matrix `i` of y. */
static int64_t matrix_of(const Type *t, const Type *y, int64_t i) {
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
    if (!c->o->blas || !matmul_blas(&s, ta, tb, a, b, to))
      matmul_loops(&s, ta, tb, a, b, to);
  }
}
