/* errorbound_attend.c - the error bound of attend. */
#include "tests/run/bounder.h"

/* Scores that lie so far below the greatest count for nothing. */
enum { FAR = 200 };

typedef struct Row {
  AttendSizes z;
  double *score, *error;   /* of the columns */
  double top, worst, sum;
} Row;

/* Operand i: its matrix of result `matrix`, and strides of a row and a
 * column. */
typedef struct Part { const double *v, *e; int64_t row, column; } Part;

static Part part_of(const Bounder *b, int i, int64_t matrix) {
  const Bounded *x = bound_operand(b, i);
  Part p = {NULL, NULL, 0, 0};
  if (!x) return p;
  const Type *t = &x->type;
  int64_t w = t->rank > 0 ? t->dim[t->rank - 1] : 1;
  int64_t h = t->rank > 1 ? t->dim[t->rank - 2] : 1;
  int64_t at = matrix_of(t, &b->n->type, matrix) * w * h;
  bool spread = i == 3;   /* the mask */
  return (Part){x->v + at, x->e + at, spread && h == 1 ? 0 : w,
                spread && w == 1 ? 0 : 1};
}

static void score_bound(const Bounder *b, const Part *q, const Part *k,
                        const Part *mask, Row *r, int64_t l, int64_t s) {
  double scale = attr_float(b->n, "scale"), v = 0, e = 0, size = 0;
  for (int64_t i = 0; i < r->z.e; i++) {
    int64_t qi = l * q->row + i, ki = s * k->row + i * k->column;
    double a = q->v[qi], c = k->v[ki], ae = q->e[qi], ce = k->e[ki];
    v += a * c;
    e += ae * (fabs(c) + ce) + fabs(a) * ce;
    size += (fabs(a) + ae) * (fabs(c) + ce);
  }
  e = fabs(scale) * (e + products_error((double)r->z.e) * size);
  v *= scale;
  e += 2 * EPS * fabs(v);
  if (mask->v) {
    int64_t at = l * mask->row + s * mask->column;
    e += mask->e[at] + EPS * fabs(mask->v[at]);
    v += mask->v[at];
  }
  if (attr_bool(b->n, "causal") && s > l) v = -INFINITY;
  r->score[s] = v, r->error[s] = e;
}

static void row_sums(Row *r) {
  r->top = -INFINITY, r->worst = r->sum = 0;
  for (int64_t s = 0; s < r->z.s; s++) r->top = fmax(r->top, r->score[s]);
  for (int64_t s = 0; s < r->z.s; s++) {
    r->sum += exp(r->score[s] - r->top);
    if (r->score[s] > r->top - FAR) r->worst = fmax(r->worst, r->error[s]);
  }
}

static double value_bound(const Part *v, const Row *r, int64_t column) {
  double e = 0, n = (double)r->z.s;
  for (int64_t s = 0; s < r->z.s; s++) {
    int64_t at = s * v->row + column;
    double p = exp(r->score[s] - r->top) / r->sum;
    if (p == 0) continue;
    double own = EPS * (12 + 2 * sqrt(n) + r->top - r->score[s]);
    double rel = expm1(2 * r->worst) + own + products_error(n);
    e += p * (rel * (fabs(v->v[at]) + v->e[at]) + v->e[at]);
  }
  return e;
}

bool bound_attend(Bounder *b) {
  const Node *n = b->n;
  if (n->op != OP_ATTEND) return false;
  Row r = {.z = attend_sizes(n)};
  int64_t rows = r.z.v ? type_elems(&n->type) / r.z.v : 0;
  r.score = bound_array(b, r.z.s);
  r.error = bound_array(b, r.z.s);
  for (int64_t i = 0; i < rows; i++) {
    int64_t matrix = i / r.z.l, l = i % r.z.l;
    Part q = part_of(b, 0, matrix), k = part_of(b, 1, matrix),
         v = part_of(b, 2, matrix), mask = part_of(b, 3, matrix);
    if (!attr_bool(n, "transpose_k")) k.column = r.z.s, k.row = 1;
    for (int64_t s = 0; s < r.z.s; s++)
      score_bound(b, &q, &k, &mask, &r, l, s);
    row_sums(&r);
    for (int64_t j = 0; j < r.z.v; j++)
      b->out->e[i * r.z.v + j] = value_bound(&v, &r, j);
  }
  return true;
}
