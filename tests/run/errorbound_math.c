/* errorbound_math.c - error bounds of elementwise ops: the slope of each, and
 * where it jumps. */
#include "tests/run/bounder.h"

#include <string.h>

/* ---- elementwise ---------------------------------------------------- */

/* Largest slope, for ops that are not monotone. */
static double steepest(Op op, double v, double e) {
  switch (op) {
    case OP_ABS:
    case OP_SIN:
    case OP_COS: return 1;
    case OP_SQUARE: return 2 * fabs(v) + e;
    case OP_HARDSWISH: return 1.5;
    case OP_SILU:
    case OP_GELU: return 1.13;
    default: return -1;
  }
}

/* What an implementation adds up to get f(x): its own error is LOCAL of
 * it. */
static double summand(Op op, double x, double f, double p) {
  switch (op) {
    case OP_GELU:
    case OP_HARDSWISH: return fabs(x);
    case OP_HARDSIGMOID: return fabs(x) < 6 ? fabs(x) / 6 + 0.5 : 1;
    case OP_ELU: return x < 0 ? fabs(p) : fabs(x);
    case OP_LOG: return fabs(f) + 0.5;
    case OP_ABS:
    case OP_NEG:
    case OP_SIGN:
    case OP_FLOOR:
    case OP_CEIL:
    case OP_ROUND:
    case OP_RELU:
    case OP_RELU6: return 0;
    case OP_CLIP: return f == x ? 0 : fabs(f);  /* lo or hi as a float */
    case OP_EXP: return fabs(f) * (1 + fabs(x) / 8);
    default: return fabs(f);
  }
}

double unary_error(Op op, double p, double q, double v, double e) {
  double f = unary_eval(op, v, p, q), slope = steepest(op, v, e), out;
  if (slope >= 0) {
    out = slope * e;
  } else {
    double up = fabs(unary_eval(op, v + e, p, q) - f);
    double down = fabs(unary_eval(op, v - e, p, q) - f);
    out = isnan(up) || isnan(down) ? INFINITY : fmax(up, down);
  }
  return out + LOCAL * summand(op, v, f, p);
}

/* Integers: an error of none is none; of any other nothing is known. */
static void bound_ints(Bounder *b, const double *ex, const double *ey) {
  int64_t count = type_elems(&b->n->type);
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = ex[i] > 0 || (ey && ey[i] > 0) ? INFINITY : 0;
}

static void bound_unary(Bounder *b) {
  const Node *n = b->n;
  const Bounded *x = bound_operand(b, 0);
  int64_t count = type_elems(&n->type);
  if (!elem_is_float(n->type.elem)) {
    bound_ints(b, x->e, NULL);
    return;
  }
  int nattrs = op_info(n->op)->nattrs;
  double p = nattrs > 0 ? n->attr[0].f : 0, q = nattrs > 1 ? n->attr[1].f : 0;
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = unary_error(n->op, p, q, x->v[i], x->e[i]);
}

static double div_error(double x, double ex, double y, double ey) {
  if (fabs(y) <= ey) return INFINITY;
  double f = x / y;
  return (ex + fabs(f) * ey) / (fabs(y) - ey) + LOCAL * fabs(f);
}

/* pow is monotone in each operand where the base is positive or the exponent
 * an integer: the corners bound it.  Implementations are off by what
 * rounding does to the exponent of e. */
static double pow_error(double x, double ex, double y, double ey) {
  double f = pow(x, y), worst = 0;
  bool whole = ey == 0 && floor(y) == y;
  if (x - ex <= 0 && (!whole || (y < 0 && x + ex >= 0))) return INFINITY;
  for (int i = -1; i <= 1; i++)
    for (int j = -1; j <= 1; j += 2)
      worst = fmax(worst, fabs(pow(x + i * ex, y + j * ey) - f));
  if (x - ex <= 0 && x + ex >= 0) worst = pow(fabs(x) + ex, y) + fabs(f);
  double power = x == 0 ? 0 : fabs(y * log(fabs(x)));
  return worst + LOCAL * fabs(f) * (1 + power / 2);
}

/* A quotient within its error of an integer may fall to the other side. */
static bool floor_certain(double x, double ex, double y, double ey,
                          double *down, double *up) {
  double e = div_error(x, ex, y, ey), q = x / y;
  if (!(e < INFINITY) || isnan(q)) return false;
  *down = floor(q - e), *up = floor(q + e);
  return *down == *up;
}

static double floor_div_error(double x, double ex, double y, double ey) {
  double f = floor(x / y), down = -INFINITY, up = INFINITY;
  if (!floor_certain(x, ex, y, ey, &down, &up) && isinf(up)) return INFINITY;
  return fmax(fabs(up - f), fabs(down - f)) + LOCAL * fabs(f);
}

static double floor_mod_error(double x, double ex, double y, double ey) {
  double down, up;
  if (!floor_certain(x, ex, y, ey, &down, &up)) return INFINITY;
  return ex + fabs(up) * ey + LOCAL * (fabs(y) + ex + fabs(up) * ey);
}

/* The angle turns by what moves across the line of sight; across the left
 * half of the axis it jumps. */
static double atan2_error(double y, double ey, double x, double ex) {
  double r2 = x * x + y * y, move = fabs(x) * ey + fabs(y) * ex + ex * ey;
  if (ex == 0 && ey == 0) return LOCAL * fabs(atan2(y, x));
  if (fabs(x) <= 2 * ex && fabs(y) <= 2 * ey) return INFINITY;
  if (x - ex < 0 && fabs(y) <= ey) return INFINITY;
  return 4 * move / r2 + LOCAL * fabs(atan2(y, x));
}

static double binary_error(Op op, double x, double ex, double y, double ey) {
  switch (op) {
    case OP_ADD:
    case OP_SUB: return ex + ey + LOCAL * (fabs(x) + fabs(y));
    case OP_MUL:
      return fabs(x) * ey + fabs(y) * ex + ex * ey + LOCAL * fabs(x * y);
    case OP_DIV: return div_error(x, ex, y, ey);
    case OP_POW: return pow_error(x, ex, y, ey);
    case OP_FLOOR_DIV: return floor_div_error(x, ex, y, ey);
    case OP_FLOOR_MOD: return floor_mod_error(x, ex, y, ey);
    case OP_ATAN2: return atan2_error(x, ex, y, ey);
    default: return fmax(ex, ey);
  }
}

/* An operand's array, in the broadcast shape of the result. */
static double *spread(Bounder *b, const Bounded *x, const double *from) {
  const Type *t = &b->n->type;
  int64_t own[MAX_RANK], to[MAX_RANK], stride[MAX_RANK];
  int lead = t->rank - x->type.rank;
  strides_dense(&x->type, own);
  strides_dense(t, to);
  for (int i = 0; i < t->rank; i++)
    stride[i] = i < lead || x->type.dim[i - lead] == 1 ? 0 : own[i - lead];
  double *out = bound_array(b, type_elems(t));
  strided_move(t->rank, t->dim, out, to, from, stride);
  return out;
}

static void bound_binary(Bounder *b) {
  const Bounded *x = bound_operand(b, 0), *y = bound_operand(b, 1);
  int64_t count = type_elems(&b->n->type);
  double *xv = spread(b, x, x->v), *xe = spread(b, x, x->e);
  double *yv = spread(b, y, y->v), *ye = spread(b, y, y->e);
  if (!elem_is_float(x->type.elem)) {
    bound_ints(b, xe, ye);
    return;
  }
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = binary_error(b->n->op, xv[i], xe[i], yv[i], ye[i]);
}

static bool compares(Op op) {
  return op == OP_EQUAL || op == OP_NOT_EQUAL || op == OP_LESS ||
         op == OP_LESS_EQUAL || op == OP_GREATER || op == OP_GREATER_EQUAL;
}

/* What lies within the errors may come out either way. */
static void bound_compare(Bounder *b) {
  const Bounded *x = bound_operand(b, 0), *y = bound_operand(b, 1);
  int64_t count = type_elems(&b->n->type);
  double *xv = spread(b, x, x->v), *xe = spread(b, x, x->e);
  double *yv = spread(b, y, y->v), *ye = spread(b, y, y->e);
  for (int64_t i = 0; i < count; i++) {
    double e = xe[i] + ye[i];
    bool near = !(fabs(xv[i] - yv[i]) > e) && !(isnan(xv[i] + yv[i]) && e < 1);
    b->out->e[i] = e > 0 && near ? 1 : 0;
  }
}

static void bound_where(Bounder *b) {
  const Bounded *c = bound_operand(b, 0), *x = bound_operand(b, 1);
  const Bounded *y = bound_operand(b, 2);
  int64_t count = type_elems(&b->n->type);
  double *cv = spread(b, c, c->v), *ce = spread(b, c, c->e);
  double *xv = spread(b, x, x->v), *xe = spread(b, x, x->e);
  double *yv = spread(b, y, y->v), *ye = spread(b, y, y->e);
  for (int64_t i = 0; i < count; i++)
    if (ce[i] > 0)
      b->out->e[i] = fabs(xv[i] - yv[i]) + fmax(xe[i], ye[i]);
    else
      b->out->e[i] = cv[i] != 0 ? xe[i] : ye[i];
}

/* What lies within the error of a float may become another integer. */
static void bound_cast(Bounder *b) {
  const Bounded *x = bound_operand(b, 0);
  Elem from = x->type.elem, to = b->n->type.elem;
  int64_t count = type_elems(&b->n->type);
  for (int64_t i = 0; i < count; i++) {
    double v = x->v[i], e = x->e[i], up, down, at;
    if (!elem_is_float(from) || isinf(e)) {
      b->out->e[i] = e > 0 ? INFINITY : to == F32 ? EPS * fabs(v) : 0;
      continue;
    }
    elem_store(to, &at, 0, v + e), up = elem_load(to, &at, 0);
    elem_store(to, &at, 0, v - e), down = elem_load(to, &at, 0);
    bool crosses = to == B1 && e > 0 && fabs(v) <= e;
    b->out->e[i] = fmax(fabs(up - b->out->v[i]), fabs(down - b->out->v[i]));
    if (crosses) b->out->e[i] = 1;
    if (isnan(b->out->e[i])) b->out->e[i] = INFINITY;
  }
}

/* ---- per channel ---------------------------------------------------- */

int64_t bound_channel(const Type *t, int axis, int64_t i) {
  for (int k = axis + 1; k < t->rank; k++) i /= t->dim[k];
  return i % t->dim[axis];
}

static void bound_scale_shift(Bounder *b) {
  const Type *t = &b->n->type;
  int axis = eval_axis(attr_int(b->n, "axis"), t->rank);
  const Bounded *x = bound_operand(b, 0), *s = bound_operand(b, 1);
  const Bounded *h = bound_operand(b, 2);
  int64_t count = type_elems(t);
  for (int64_t i = 0; i < count; i++) {
    int64_t c = bound_channel(t, axis, i);
    double own = fabs(x->v[i] * s->v[c]) + fabs(h->v[c]);
    b->out->e[i] = fabs(x->v[i]) * s->e[c] +
                   (fabs(s->v[c]) + s->e[c]) * x->e[i] + h->e[c] +
                   LOCAL * own;
  }
}

/* gamma / sqrt(var + eps) and its error. */
static double norm_scale(const Bounder *b, int64_t c, double *e) {
  const Bounded *gamma = bound_operand(b, 1), *var = bound_operand(b, 4);
  double v = var->v[c] + attr_float(b->n, "eps");
  double least = v - var->e[c] - LOCAL * fabs(v), root = sqrt(v);
  if (!(least > 0)) *e = var->e[c] > 0 || v < 0 ? INFINITY : 0;
  else
    *e = gamma->e[c] / sqrt(least) +
         fabs(gamma->v[c]) * (1 / sqrt(least) - 1 / root);
  return gamma->v[c] / root;
}

static void bound_batch_norm(Bounder *b) {
  const Type *t = &b->n->type;
  const Bounded *x = bound_operand(b, 0), *beta = bound_operand(b, 2),
                *mean = bound_operand(b, 3);
  int64_t count = type_elems(t);
  for (int64_t i = 0; i < count; i++) {
    int64_t c = bound_channel(t, 1, i);
    double es, s = norm_scale(b, c, &es), ed = x->e[i] + mean->e[c];
    double own = fabs(x->v[i] * s) + fabs(mean->v[c] * s) +
                 fabs(beta->v[c]);
    b->out->e[i] = fabs(s) * ed + es * (fabs(x->v[i] - mean->v[c]) + ed) +
                   beta->e[c] + LOCAL * own;
  }
}

static void bound_mask(Bounder *b) {
  const Bounded *w = bound_operand(b, 0), *m = bound_operand(b, 1);
  int64_t count = type_elems(&b->n->type);
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = m->e[i] > 0 ? INFINITY : m->v[i] != 0 ? w->e[i] : 0;
}

bool bound_math(Bounder *b) {
  uint32_t flags = op_info(b->n->op)->flags;
  Op op = b->n->op;
  if (flags & FLAG_UNARY) bound_unary(b);
  else if (compares(op)) bound_compare(b);
  else if (flags & FLAG_BINARY) bound_binary(b);
  else if (op == OP_WHERE) bound_where(b);
  else if (op == OP_SCALE_SHIFT) bound_scale_shift(b);
  else if (op == OP_BATCH_NORM) bound_batch_norm(b);
  else if (op == OP_CAST) bound_cast(b);
  else if (op == OP_MASK) bound_mask(b);
  else return false;
  return true;
}
