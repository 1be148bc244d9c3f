/* errorbound_attend.c - the error bounds of attend, normalize and rotary. */
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

static void attend_bound(Bounder *b) {
  const Node *n = b->n;
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
}

/* ---- normalize ------------------------------------------------------ */

typedef struct Spread { double mean, mean_e, by, by_e; } Spread;

/* Of a row: its mean and 1 / deviation, with their errors. */
static Spread spread_of(const Node *n, const double *x, const double *e,
                        int64_t size) {
  double count = (double)size, own = products_error(count);
  Spread s = {0, 0, 0, 0};
  for (int64_t i = 0; attr_bool(n, "center") && i < size; i++) {
    s.mean += x[i] / count;
    s.mean_e += (e[i] + own * fabs(x[i])) / count;
  }
  double var = 0, var_e = 0;
  for (int64_t i = 0; i < size; i++) {
    double d = fabs(x[i] - s.mean), de = e[i] + s.mean_e + EPS * d;
    var += d * d / count;
    var_e += (2 * d * de + de * de + own * d * d) / count;
  }
  var += attr_float(n, "eps");
  s.by = 1 / sqrt(var);
  s.by_e = var > var_e ? 1 / sqrt(var - var_e) - s.by + 4 * EPS * s.by
                       : INFINITY;
  return s;
}

static void normalize_bound(Bounder *b) {
  const Bounded *x = bound_operand(b, 0), *gamma = bound_operand(b, 1),
                *beta = bound_operand(b, 2);
  const Type *t = &b->n->type;
  int64_t size = t->dim[t->rank - 1], rows = size ? type_elems(t) / size : 0;
  for (int64_t r = 0; r < rows * size; r += size) {
    Spread s = spread_of(b->n, x->v + r, x->e + r, size);
    for (int64_t c = 0; c < size; c++) {
      int64_t i = r + c;
      double d = fabs(x->v[i] - s.mean), de = x->e[i] + s.mean_e + EPS * d;
      double g = gamma ? fabs(gamma->v[c]) : 1, ge = gamma ? gamma->e[c] : 0;
      double e = de * (s.by + s.by_e) + (d > 0 ? d * s.by_e : 0);
      b->out->e[i] = e * (g + ge) + ge * d * s.by + LOCAL * d * s.by * g;
      if (beta) b->out->e[i] += beta->e[c] + LOCAL * fabs(beta->v[c]);
    }
  }
}

/* ---- rotary --------------------------------------------------------- */

/* What is computed is bilinear: errors go through the op with all signs
 * gone, by sums in place of differences. */
static void rotary_bound(Bounder *b) {
  const Bounded *x = bound_operand(b, 0), *c = bound_operand(b, 1),
                *s = bound_operand(b, 2);
  int64_t n = type_elems(&b->n->type);
  double *ax = bound_sizes(b, x, true), *ac = bound_sizes(b, c, true);
  double *as = bound_sizes(b, s, true);
  /* x' = x cos - y sin, y' = y cos + x sin: the first half of each pair takes
   * sin negated, so both are tried. */
  for (int64_t i = 0; i < n; i++) b->out->e[i] = 0;
  for (int sign = -1; sign <= 1; sign += 2) {
    double *sine[3];
    const double *from[3] = {as, s->e, as};
    int64_t ns = type_elems(&s->type);
    for (int k = 0; k < 3; k++) {
      sine[k] = bound_array(b, ns);
      for (int64_t i = 0; i < ns; i++) sine[k][i] = sign * from[k][i];
    }
    double *xe = bound_apply(b, b->n, (double *[]){x->e, ac, sine[0]});
    double *ae = bound_apply(b, b->n, (double *[]){ax, c->e, sine[1]});
    double *all = bound_apply(b, b->n, (double *[]){ax, ac, sine[2]});
    for (int64_t i = 0; i < n; i++)
      b->out->e[i] = fmax(b->out->e[i], xe[i] + ae[i] + LOCAL * all[i]);
  }
}

bool bound_attend(Bounder *b) {
  switch (b->n->op) {
  case OP_ATTEND: attend_bound(b); return true;
  case OP_NORMALIZE: normalize_bound(b); return true;
  case OP_ROTARY: rotary_bound(b); return true;
  default: return false;
  }
}
