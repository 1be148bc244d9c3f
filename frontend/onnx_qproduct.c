/* onnx_qproduct.c - convolutions and matrix products of quantised values.
 * They multiply what is left without zero points, q - zero, in f32: integers,
 * of which a constant weight keeps its zeros, and whose sums are exact below
 * 2^24.  Where the sum itself is the result (ConvInteger, MatMulInteger) it is
 * cut into parts that are, and these are added as i32; where it is scaled and
 * rounded a larger sum has the error of f32, 2^-24 of it. */
#include "frontend/onnx_matmul.h"
#include "frontend/onnx_quant.h"

#include <math.h>

enum { EXACT = 1 << 24 };

/* A factor without its zero point: how large it can be, and what it was
 * quantised by. */
typedef struct Factor { Node *v; double most; Quants q; int type; } Factor;

static bool factor_read(Ox *o, int x, int scale, int zero, int64_t axis,
                        Factor *f) {
  Node *v = ox_in(o, x);
  double lo, hi, z = NAN;
  f->type = ox_in_type(o, x);
  if (!v)
    return false;
  if (!quant_range(f->type, &lo, &hi))
    return ox_refuse(o, "values of type %s", ox_type_name(f->type));
  if (!quant_read(o, v, scale, zero, axis, 0, &f->q))
    return false;
  Quants plain = {.zero = f->q.zero, .axis = f->q.axis};
  f->v = quant_real(o, v, f->type, &plain);
  const Tensor *t = ox_values(o, plain.zero);
  if (!plain.zero)
    z = 0;
  else if (t && type_elems(&t->type) == 1)
    z = (double)t->i[0];
  f->most = isnan(z) ? hi - lo : fmax(hi - z, z - lo);
  return f->v != NULL;
}

/* The scale of a factor in a shape for the product; y: a value of the
 * factor's rank. */
static Node *factor_scale(Ox *o, const Factor *f) {
  return quant_shaped(o, f->v, f->q.scale, &f->q);
}

/* ---- exact sums ----------------------------------------------------- */

/* The weight as `terms` slices, to each of which all `sums` results have
 * `window` products. */
typedef struct Weight {
  const float *w;          /* NULL: not known */
  int64_t terms, term_stride, sums, sum_stride, window;
  double most;
} Weight;

/* Adds to each sum what slice `t` makes at most of it; the greatest. */
static double term_add(const Weight *w, int64_t t, double x_most,
                       double *sum) {
  double most = 0;
  for (int64_t s = 0; s < w->sums; s++) {
    double all = 0;
    for (int64_t i = 0; i < w->window; i++)
      all += fabs((double)w->w[t * w->term_stride + s * w->sum_stride + i]);
    sum[s] += all * x_most;
    most = fmax(most, sum[s]);
  }
  return most;
}

/* How many slices from `from` on have exact sums; 0: not even one. */
static int64_t terms_exact(Ox *o, const Weight *w, int64_t from,
                           double x_most) {
  if (!w->w) {
    double one = (double)w->window * w->most * x_most;
    int64_t n = one < 1 ? w->terms : (int64_t)((EXACT - 1) / one);
    return n < w->terms - from ? n : w->terms - from;
  }
  double *sum = arena_array(o->a, double, (size_t)w->sums + 1);
  int64_t n = 0;
  while (from + n < w->terms && term_add(w, from + n, x_most, sum) < EXACT)
    n++;
  return n;
}

typedef Node *Product(Ox *o, Node *x, Node *w, int64_t from, int64_t to);

/* The product of all slices as i32. */
static Node *exact_product(Ox *o, Node *x, Node *v, const Weight *w,
                           double x_most, Product *product) {
  Node *all = NULL;
  if (w->terms == 0)
    return ox_cast(o, product(o, x, v, 0, 0), I32);
  for (int64_t from = 0, n; from < w->terms; from += n) {
    n = terms_exact(o, w, from, x_most);
    if (n < 1) {
      ox_refuse(o, "sums of more than 2^24");
      return NULL;
    }
    Node *part = ox_cast(o, product(o, x, v, from, from + n), I32);
    all = all ? ox_op2(o, OP_ADD, all, part) : part;
    if (!all)
      return NULL;
  }
  return all;
}

static const float *known_values(Ox *o, const Node *v) {
  return v->op == OP_PARAM ? param_values(o->m, v->param) : NULL;
}

/* ---- matrix products ------------------------------------------------ */

static Node *matmul(Ox *o, Node *a, Node *b) {
  Node *in[] = {a, b};
  return quant_delegate(o, ox_write_matmul, "MatMul", in, 2);
}

static Node *matmul_part(Ox *o, Node *a, Node *b, int64_t from, int64_t to) {
  int axis = b->type.rank > 1 ? b->type.rank - 2 : 0;
  a = ox_slice(o, a, a->type.rank - 1, from, to, 1);
  return matmul(o, a, ox_slice(o, b, axis, from, to, 1));
}

static bool matmul_factors(Ox *o, int a_scale, int a_zero, int b, int b_scale,
                           int b_zero, Factor *x, Factor *w) {
  return factor_read(o, 0, a_scale, a_zero, -2, x) &&
         factor_read(o, b, b_scale, b_zero, -1, w);
}

bool ox_write_matmul_integer(Ox *o) {
  Factor a, b;
  if (!matmul_factors(o, -1, 2, 1, -1, 3, &a, &b))
    return false;
  const Type *t = &b.v->type, *ta = &a.v->type;
  if (t->rank == 0 || ta->rank == 0)
    return ox_malformed(o, "an operand is a scalar");
  Weight w = {.terms = t->dim[t->rank > 1 ? t->rank - 2 : 0], .window = 1,
              .most = b.most};
  if (ta->dim[ta->rank - 1] != w.terms)
    return ox_malformed(o, "A has %lld columns, B has %lld rows",
                        (long long)ta->dim[ta->rank - 1],
                        (long long)w.terms);
  if (t->rank <= 2) {
    w.w = known_values(o, b.v);
    w.sums = t->rank == 2 ? t->dim[1] : 1;
    w.term_stride = w.sums;
    w.sum_stride = 1;
  }
  return ox_give_as(o, 0, exact_product(o, a.v, b.v, &w, a.most, matmul_part),
                    OX_INT32);
}

/* y * scales of both factors. */
static Node *scaled(Ox *o, Node *y, const Factor *a, const Factor *b) {
  return ox_op2(o, OP_MUL, y, ox_op2(o, OP_MUL, factor_scale(o, a),
                                     factor_scale(o, b)));
}

/* The product y of a, quantised; `scale` and the operand behind it: its own,
 * b_scale: the other factor's. */
static bool product_give(Ox *o, Node *y, const Factor *a, Node *b_scale,
                         int scale) {
  int type = ox_in_type(o, ox_has_in(o, scale + 1) ? scale + 1 : 0);
  double lo, hi;
  Quants q, own;
  if (!y || !quant_range(type, &lo, &hi))
    return y && ox_refuse(o, "values of type %s", ox_type_name(type));
  if (!quant_read(o, y, scale, scale + 1, -1, 0, &q))
    return false;
  Node *s = ox_op2(o, OP_MUL, factor_scale(o, a), b_scale);
  s = ox_op2(o, OP_DIV, s, quant_shaped(o, y, q.scale, &q));
  own = (Quants){.zero = q.zero, .axis = q.axis};
  y = ox_op2(o, OP_MUL, y, s);
  return ox_give_as(o, 0, quant_made(o, y, type, &own), type);
}

bool ox_write_qlinear_matmul(Ox *o) {
  Factor a, b;
  return matmul_factors(o, 1, 2, 3, 4, 5, &a, &b) &&
         product_give(o, matmul(o, a.v, b.v), &a,
                      factor_scale(o, &b), 6);
}

/* The scale of B, one number or one for each column, times alpha. */
static Node *column_scale(Ox *o, const Factor *b) {
  Node *s = b->q.scale;
  int64_t n = ox_elems(s);
  s = ox_reshape(o, s, n == 1 ? 0 : 1, &n);
  double alpha = ox_float(o, "alpha", 1);
  return alpha == 1 ? s : ox_with(o, OP_MUL, s, alpha);
}

/* Operands: A and B with scale and zero point each, C in integers of both
 * scales, scale and zero point of the result, which without them is f32. */
bool ox_write_qgemm(Ox *o) {
  Factor a, b;
  Node *c = NULL;
  if (!factor_read(o, 0, 1, 2, -2, &a) ||
      !factor_read(o, 3, 4, 5, ox_int(o, "transB", 0) ? 0 : 1, &b))
    return false;
  if (ox_has_in(o, 6)) {
    c = ox_cast(o, ox_in(o, 6), F32);
    if (!c)
      return false;
  }
  if (ox_has_in(o, 7) != ox_has_in(o, 8))
    return ox_refuse(o, "one of y_scale and y_zero_point without the other");
  if (ox_elems(a.q.scale) != 1)
    return ox_malformed(o, "a_scale has %lld elements, expected one",
                        (long long)ox_elems(a.q.scale));
  Node *y = ox_gemm(o, a.v, b.v, c), *s = column_scale(o, &b);
  if (ox_has_in(o, 7))
    return product_give(o, y, &a, s, 7);
  s = ox_op2(o, OP_MUL, factor_scale(o, &a), s);
  return ox_give_as(o, 0, ox_op2(o, OP_MUL, y, s), OX_FLOAT);
}

/* y + operand i, where there is one. */
static bool biased_give(Ox *o, Node *y, int i) {
  if (ox_has_in(o, i))
    y = ox_op2(o, OP_ADD, y, ox_in(o, i));
  return ox_give_as(o, 0, y, OX_FLOAT);
}

/* Operands: A, B, their scales, their zero points, bias. */
bool ox_write_matmul_integer_to_float(Ox *o) {
  Factor a, b;
  return matmul_factors(o, 2, 4, 1, 3, 5, &a, &b) &&
         biased_give(o, scaled(o, matmul(o, a.v, b.v), &a, &b), 6);
}

/* Operands: A in f32, B, its scale and zero point, bias. */
bool ox_write_dynamic_quantize_matmul(Ox *o) {
  Node *x = ox_in(o, 0), *y;
  Factor a = {0}, b;
  if (!x || x->type.elem != F32)
    return x && ox_malformed(o, "A is no tensor of floats");
  if (!factor_read(o, 1, 2, 3, -1, &b) ||
      !quant_dynamic(o, x, &y, &a.q.scale, &a.q.zero))
    return false;
  Quants plain = {.zero = a.q.zero};
  a.v = quant_real(o, y, OX_UINT8, &plain);
  return a.v && biased_give(o, scaled(o, matmul(o, a.v, b.v), &a, &b),
                            4);
}

/* ---- convolutions --------------------------------------------------- */

static Node *conv(Ox *o, Node *x, Node *w, Node *bias) {
  Node *in[] = {x, w, bias};
  return quant_delegate(o, ox_write_conv, "Conv", in, bias ? 3 : 2);
}

static Node *conv_part(Ox *o, Node *x, Node *w, int64_t from, int64_t to) {
  if (ox_int(o, "group", 1) == 1)
    x = ox_slice(o, x, 1, from, to, 1);
  return conv(o, x, ox_slice(o, w, 1, from, to, 1), NULL);
}

bool ox_write_conv_integer(Ox *o) {
  Factor x, k;
  if (!factor_read(o, 0, -1, 2, 1, &x) || !factor_read(o, 1, -1, 3, 0, &k))
    return false;
  const Type *t = &k.v->type, *tx = &x.v->type;
  if (t->rank < 3 || t->rank != tx->rank)
    return ox_malformed(o, "an input of %d dimensions, a weight of %d",
                        tx->rank, t->rank);
  Weight w = {.w = known_values(o, k.v), .terms = t->dim[1],
              .sums = t->dim[0], .window = 1, .most = k.most};
  bool groups = ox_int(o, "group", 1) != 1;
  if (!groups && tx->dim[1] != t->dim[1])
    return ox_malformed(o, "%lld input channels, the weight has %lld",
                        (long long)tx->dim[1], (long long)t->dim[1]);
  for (int i = 2; i < t->rank; i++)
    w.window *= t->dim[i];
  w.term_stride = w.window;
  w.sum_stride = w.window * w.terms;
  if (groups && terms_exact(o, &w, 0, x.most) < w.terms)
    return ox_refuse(o, "sums of more than 2^24 in groups");
  return ox_give_as(o, 0, exact_product(o, x.v, k.v, &w, x.most, conv_part),
                    OX_INT32);
}

/* Operands: x, w and y with scale and zero point each, bias. */
bool ox_write_qlinear_conv(Ox *o) {
  Factor x, w;
  Node *bias = NULL, *scale;
  if (!factor_read(o, 0, 1, 2, 1, &x) || !factor_read(o, 3, 4, 5, 0, &w))
    return false;
  if (ox_has_in(o, 8)) {
    bias = ox_cast(o, ox_in(o, 8), F32);
    if (!bias)
      return false;
  }
  scale = w.q.scale;
  if (ox_elems(scale) == 1) {
    scale = ox_reshape(o, scale, 0, NULL);
  } else {
    int64_t dim[MAX_RANK] = {ox_elems(scale), 1, 1, 1, 1, 1, 1, 1};
    scale = ox_reshape(o, scale, w.v->type.rank - 1, dim);
  }
  return product_give(o, conv(o, x.v, w.v, bias), &x, scale, 6);
}
