/* errorbound.c - a running error bound beside the reference evaluator. */
#include "tests/run/errorbound.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "ir/eval.h"

static const double EPS = FLT_EPSILON;
static const double LOCAL = 10 * FLT_EPSILON;
static const double TINY = 1e-36;    /* f32 underflow, flushed or not */

typedef struct Bounder {
  Arena *a;
  Module *m;
  const Node *n;
  const Tensor *exact;   /* by id */
  Bounded *all;
  Bounded *out;
} Bounder;

static double products_error(double k) { return (8 + 2 * sqrt(k)) * EPS; }

static const Bounded *operand(const Bounder *b, int i) {
  if (i >= b->n->nin || !b->n->in[i]) return NULL;
  return &b->all[b->n->in[i]->id];
}

static double *array_new(Bounder *b, int64_t n) {
  return arena_array(b->a, double, (size_t)n + 1);
}

/* As a type of doubles, whatever the elements are. */
static Type real_type(const Type *t) { return type_make(F32, t->rank, t->dim); }

/* node_eval on other operand values than the exact ones, numbers of any
 * type being doubles; indices, conditions and keys stay what they are. */
static double *apply(Bounder *b, const Node *n, double *const *values) {
  Tensor t[MAX_OPERANDS], out;
  const Tensor **in = arena_array(b->a, const Tensor *, (size_t)n->nin + 1);
  Tensor *many = n->nin <= MAX_OPERANDS
                     ? t
                     : arena_array(b->a, Tensor, (size_t)n->nin);
  Node real = *n;
  real.type = real_type(&n->type);
  for (int i = 0; i < n->nin; i++) {
    if (!n->in[i]) continue;
    char class = op_class(op_info(n->op), i);
    if (class != 'T' && class != 'm') {
      in[i] = &b->exact[n->in[i]->id];
      continue;
    }
    many[i].type = real_type(&n->in[i]->type);
    many[i].v = values[i];
    in[i] = &many[i];
  }
  out = tensor_new(b->a, &real.type);
  node_eval(b->m, &real, in, &out, &(EvalOpts){0});
  return out.v;
}

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

static double unary_error(Op op, double p, double q, double v, double e) {
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
  const Bounded *x = operand(b, 0);
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
  double *out = array_new(b, type_elems(t));
  strided_move(t->rank, t->dim, out, to, from, stride);
  return out;
}

static void bound_binary(Bounder *b) {
  const Bounded *x = operand(b, 0), *y = operand(b, 1);
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
  const Bounded *x = operand(b, 0), *y = operand(b, 1);
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
  const Bounded *c = operand(b, 0), *x = operand(b, 1), *y = operand(b, 2);
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
  const Bounded *x = operand(b, 0);
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

static int64_t channel(const Type *t, int axis, int64_t i) {
  for (int k = axis + 1; k < t->rank; k++) i /= t->dim[k];
  return i % t->dim[axis];
}

static void bound_scale_shift(Bounder *b) {
  const Type *t = &b->n->type;
  int axis = eval_axis(attr_int(b->n, "axis"), t->rank);
  const Bounded *x = operand(b, 0), *s = operand(b, 1), *h = operand(b, 2);
  int64_t count = type_elems(t);
  for (int64_t i = 0; i < count; i++) {
    int64_t c = channel(t, axis, i);
    double own = fabs(x->v[i] * s->v[c]) + fabs(h->v[c]);
    b->out->e[i] = fabs(x->v[i]) * s->e[c] +
                   (fabs(s->v[c]) + s->e[c]) * x->e[i] + h->e[c] +
                   LOCAL * own;
  }
}

/* gamma / sqrt(var + eps) and its error. */
static double norm_scale(const Bounder *b, int64_t c, double *e) {
  const Bounded *gamma = operand(b, 1), *var = operand(b, 4);
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
  const Bounded *x = operand(b, 0), *beta = operand(b, 2),
                *mean = operand(b, 3);
  int64_t count = type_elems(t);
  for (int64_t i = 0; i < count; i++) {
    int64_t c = channel(t, 1, i);
    double es, s = norm_scale(b, c, &es), ed = x->e[i] + mean->e[c];
    double own = fabs(x->v[i] * s) + fabs(mean->v[c] * s) +
                 fabs(beta->v[c]);
    b->out->e[i] = fabs(s) * ed + es * (fabs(x->v[i] - mean->v[c]) + ed) +
                   beta->e[c] + LOCAL * own;
  }
}

static void bound_mask(Bounder *b) {
  const Bounded *w = operand(b, 0), *m = operand(b, 1);
  int64_t count = type_elems(&b->n->type);
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = m->e[i] > 0 ? INFINITY : m->v[i] != 0 ? w->e[i] : 0;
}

/* ---- sums of products ----------------------------------------------- */

/* The node without what comes after the products. */
static Node *products_only(Bounder *b, const Node *n) {
  Node *to = arena_new_of(b->a, Node);
  size_t nattrs = (size_t)op_info(n->op)->nattrs;
  *to = *n;
  to->nin = 2;
  to->attr = arena_array(b->a, Attr, nattrs + 1);
  memcpy(to->attr, n->attr, nattrs * sizeof(Attr));
  attr_set_str(b->m, to, "act", "");
  return to;
}

static double *combine(Bounder *b, const Bounded *x, bool add_error) {
  int64_t n = type_elems(&x->type);
  double *out = array_new(b, n);
  for (int64_t i = 0; i < n; i++)
    out[i] = fabs(x->v[i]) + (add_error ? x->e[i] : 0);
  return out;
}

static double row_nonzeros(const Bounded *w, int64_t row) {
  int64_t cols = type_elems(&w->type) / w->type.dim[0], k = 0;
  for (int64_t i = 0; i < cols; i++) k += w->v[row * cols + i] != 0;
  return (double)k;
}

/* Through activation and a residual that comes behind it. */
static double epilogue_error(const Node *n, double acc, double e, double r,
                             double er) {
  const char *act = attr_str(n, "act");
  bool last = attr_bool(n, "add_last");
  double y = epilogue_eval(n, acc, last ? 0 : r);
  if (!last) acc += r;
  if (act && *act) {
    Op op;
    ensure(op_parse(act, &op));
    e = unary_error(op, attr_float(n, "lo"), attr_float(n, "hi"), acc, e);
  }
  return last ? e + er + LOCAL * (fabs(y) + fabs(r)) : e;
}

/* Element i of an optional operand, per output channel when it is b. */
typedef struct Extra { double v, e; } Extra;
static Extra extra(const Bounder *b, int i, int64_t at) {
  const Bounded *x = operand(b, i);
  return x ? (Extra){x->v[at], x->e[at]} : (Extra){0, 0};
}

static void bound_products(Bounder *b) {
  const Bounded *x = operand(b, 0), *w = operand(b, 1);
  const Type *t = &b->n->type;
  bool spread_out = b->n->op == OP_CONV2D_TRANSPOSE;
  int axis = b->n->op == OP_LINEAR ? t->rank - 1 : 1;
  Node *n = products_only(b, b->n);
  double *ax = combine(b, x, false);
  double *bx = combine(b, x, true), *bw = combine(b, w, true);
  union { const double *c; double *v; } xv = {x->v}, wv = {w->v};
  double *acc = apply(b, n, (double *[]){xv.v, wv.v});
  double *from_x = apply(b, n, (double *[]){x->e, bw});
  double *from_w = apply(b, n, (double *[]){ax, w->e});
  double *sum = apply(b, n, (double *[]){bx, bw});
  int64_t count = type_elems(t);
  int64_t rows = spread_out ? t->dim[1] : w->type.dim[0];
  double *own = array_new(b, rows);
  for (int64_t i = 0; i < rows; i++)
    own[i] = products_error(
        spread_out ? (double)type_elems(&w->type) : row_nonzeros(w, i));
  bool last = attr_bool(b->n, "add_last");
  for (int64_t i = 0; i < count; i++) {
    int64_t c = channel(t, axis, i);
    Extra bias = extra(b, 2, c), r = extra(b, 3, i);
    double e = from_x[i] + from_w[i] + bias.e + (last ? 0 : r.e);
    double size = sum[i] + fabs(bias.v) + (last ? 0 : fabs(r.v));
    b->out->e[i] = epilogue_error(b->n, acc[i] + bias.v, e + own[c] * size,
                                  r.v, r.e);
  }
}

/* ---- folds ---------------------------------------------------------- */

/* Factors grow by their errors, and each multiplication rounds. */
static void bound_prod(Bounder *b) {
  const Bounded *x = operand(b, 0);
  int64_t count = type_elems(&b->n->type);
  double k = (double)(type_elems(&x->type) / (count ? count : 1));
  double *most = apply(b, b->n, (double *[]){combine(b, x, true)});
  double *size = apply(b, b->n, (double *[]){combine(b, x, false)});
  bool real = elem_is_float(x->type.elem);
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = most[i] - size[i] + (real ? (1 + k) * EPS * most[i] : 0);
}

/* The fold of the errors, and for sums of the sizes. */
static void bound_fold(Bounder *b) {
  const Node *n = b->n;
  const Bounded *x = operand(b, 0);
  int64_t count = type_elems(&n->type);
  bool sum = n->op == OP_SUM || n->op == OP_MEAN || n->op == OP_AVG_POOL;
  Node by_max = *n;
  if (n->op == OP_MIN) by_max.op = OP_MAX;
  double *e = apply(b, &by_max, (double *[]){x->e});
  if (n->op == OP_PROD) {
    bound_prod(b);
    return;
  }
  double *size = sum ? apply(b, n, (double *[]){combine(b, x, true)}) : NULL;
  int64_t k = type_elems(&x->type) / (count ? count : 1) + 1;
  if (n->op == OP_AVG_POOL) {
    const int64_t *window = attr_ints(n, "k", &(int){0});
    k = window[0] * window[1];
  }
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] =
        e[i] + (size ? products_error((double)k) * size[i] : 0);
}

/* Weights are none below zero and add up to one. */
static void bound_resize(Bounder *b) {
  const Bounded *x = operand(b, 0);
  int64_t count = type_elems(&b->n->type);
  double *e = apply(b, b->n, (double *[]){x->e});
  bool blend = strcmp(attr_str(b->n, "mode"), "bilinear") == 0;
  double *size = apply(b, b->n, (double *[]){combine(b, x, true)});
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = e[i] + (blend ? LOCAL * size[i] : 0);
}

/* y changes by a factor within e^(2 worst); exponents are rounded at the
 * size of x - max. */
static void bound_softmax(Bounder *b) {
  const Type *t = &b->n->type;
  const Bounded *x = operand(b, 0);
  int axis = eval_axis(attr_int(b->n, "axis"), t->rank);
  int64_t n = t->dim[axis], inner = 1, count = type_elems(t);
  for (int i = axis + 1; i < t->rank; i++) inner *= t->dim[i];
  for (int64_t i = 0; i < count; i++) {
    if (i / inner % n != 0) continue;
    double worst = 0, top = -INFINITY;
    for (int64_t k = 0; k < n; k++) {
      worst = fmax(worst, x->e[i + k * inner]);
      top = fmax(top, x->v[i + k * inner]);
    }
    for (int64_t k = 0; k < n; k++) {
      int64_t at = i + k * inner;
      double own = EPS * (10 + 2 * sqrt((double)n) + top - x->v[at]);
      b->out->e[at] = b->out->v[at] * (expm1(2 * worst) + own);
    }
  }
}

/* ---- moves ---------------------------------------------------------- */

static void bound_move(Bounder *b) {
  double **e = arena_array(b->a, double *, (size_t)b->n->nin + 1);
  for (int i = 0; i < b->n->nin; i++) e[i] = operand(b, i)->e;
  Node n = *b->n;
  if (n.op == OP_PAD) {
    size_t nattrs = (size_t)op_info(n.op)->nattrs;
    n.attr = arena_array(b->a, Attr, nattrs);
    memcpy(n.attr, b->n->attr, nattrs * sizeof(Attr));
    attr_set_float(&n, "value", EPS * fabs(attr_float(&n, "value")));
  }
  b->out->e = apply(b, &n, e);
}

/* ---- all nodes ------------------------------------------------------ */

static void bound_node(Bounder *b) {
  uint32_t flags = op_info(b->n->op)->flags;
  Op op = b->n->op;
  if (op == OP_CONST && elem_is_float(b->n->type.elem))
    b->out->e[0] = EPS * fabs(b->n->value);
  if (flags & FLAG_LEAF) return;       /* the others are exact */
  if (flags & FLAG_VIEW) bound_move(b);
  else if (flags & FLAG_UNARY) bound_unary(b);
  else if (compares(op)) bound_compare(b);
  else if (flags & FLAG_BINARY) bound_binary(b);
  else if (op == OP_WHERE) bound_where(b);
  else if (flags & FLAG_REDUCE) bound_fold(b);
  else if (op == OP_MAX_POOL || op == OP_AVG_POOL) bound_fold(b);
  else if (op == OP_CONV2D || op == OP_CONV2D_TRANSPOSE || op == OP_LINEAR)
    bound_products(b);
  else if (op == OP_SCALE_SHIFT) bound_scale_shift(b);
  else if (op == OP_BATCH_NORM) bound_batch_norm(b);
  else if (op == OP_CAST) bound_cast(b);
  else if (op == OP_MASK) bound_mask(b);
  else if (op == OP_SOFTMAX) bound_softmax(b);
  else if (op == OP_RESIZE) bound_resize(b);
  else unreachable();
}

/* The values as doubles. */
static const double *numbers(Bounder *b, const Tensor *t) {
  if (elem_is_float(t->type.elem)) return t->v;
  int64_t n = type_elems(&t->type);
  double *v = array_new(b, n);
  for (int64_t i = 0; i < n; i++) v[i] = (double)t->i[i];
  return v;
}

Bounded *bound_eval(Arena *a, Module *m, Func *f, const Tensor *in,
                    Diags *d) {
  Tensor *exact = func_eval(a, m, f, in, &(EvalOpts){0}, true, d);
  if (!exact) return NULL;
  Bounded *all = arena_array(a, Bounded, f->nodes.n + 1);
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    int64_t count = type_elems(&n->type);
    Bounder b = {a, m, n, exact, all, &all[i]};
    all[i] = (Bounded){n->type, numbers(&b, &exact[i]),
                       array_new(&b, count)};
    bound_node(&b);
    for (int64_t k = 0; k < count; k++) {
      double v = fabs(all[i].v[k]);
      if (!(v <= FLT_MAX) || isnan(all[i].e[k])) all[i].e[k] = INFINITY;
      else if (elem_is_float(n->type.elem) &&
               !(op_info(n->op)->flags & (FLAG_LEAF | FLAG_VIEW)))
        all[i].e[k] += TINY;
    }
  }
  return all;
}
