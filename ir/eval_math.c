/* eval_math.c - reference evaluation of the elementwise ops: unary, binary
 * with broadcasting, per-channel affine, mask, and the fused epilogue. */
#include "ir/eval.h"

#include <math.h>

static double clamp(double x, double lo, double hi) {
  return x < lo ? lo : x > hi ? hi : x;
}

/* 1/(1+e^-x) without overflow on either side. */
static double sigmoid(double x) {
  if (x >= 0) return 1 / (1 + exp(-x));
  double e = exp(x);
  return e / (1 + e);
}

double unary_eval(Op op, double x, double p, double q) {
  switch (op) {
    case OP_NEG: return -x;
    case OP_ABS: return fabs(x);
    case OP_SIGN: return x > 0 ? 1 : x < 0 ? -1 : x;
    case OP_SQUARE: return x * x;
    case OP_SQRT: return sqrt(x);
    case OP_RSQRT: return 1 / sqrt(x);
    case OP_FLOOR: return floor(x);
    case OP_CEIL: return ceil(x);
    case OP_ROUND: return nearbyint(x);
    case OP_EXP: return exp(x);
    case OP_LOG: return log(x);
    case OP_SIN: return sin(x);
    case OP_COS: return cos(x);
    case OP_TANH: return tanh(x);
    case OP_ERF: return erf(x);
    case OP_SIGMOID: return sigmoid(x);
    case OP_RELU: return x < 0 ? 0 : x;
    case OP_RELU6: return clamp(x, 0, 6);
    case OP_LEAKY_RELU: return x < 0 ? p * x : x;
    case OP_ELU: return x < 0 ? p * expm1(x) : x;
    case OP_HARDSIGMOID: return clamp(x / 6 + 0.5, 0, 1);
    case OP_HARDSWISH: return x * clamp(x / 6 + 0.5, 0, 1);
    case OP_SILU: return x * sigmoid(x);
    case OP_GELU: return x / 2 * erfc(-x / sqrt(2.0));
    case OP_CLIP: return clamp(x, p, q);
    default: unreachable();
  }
}

/* fmod is exact. */
static double floor_mod(double a, double b) {
  double r = fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

double binary_eval(Op op, double a, double b) {
  switch (op) {
    case OP_ADD: return a + b;
    case OP_SUB: return a - b;
    case OP_MUL: return a * b;
    case OP_DIV: return a / b;
    case OP_FLOOR_DIV: return floor(a / b);
    case OP_FLOOR_MOD: return floor_mod(a, b);
    case OP_ATAN2: return atan2(a, b);
    case OP_POW: return pow(a, b);
    case OP_MAXIMUM: return a < b ? b : a;
    case OP_MINIMUM: return b < a ? b : a;
    default: unreachable();
  }
}

/* Sums and products wrap as those of unsigned words do. */
int64_t unary_eval_int(Op op, int64_t x) {
  switch (op) {
    case OP_NEG: return (int64_t)(0 - (uint64_t)x);
    case OP_ABS: return x < 0 ? (int64_t)(0 - (uint64_t)x) : x;
    case OP_SIGN: return (x > 0) - (x < 0);
    case OP_SQUARE: return (int64_t)((uint64_t)x * (uint64_t)x);
    default: unreachable();
  }
}

static int64_t int_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return (int64_t)(0 - (uint64_t)a);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t int_mod(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

int64_t binary_eval_int(Op op, int64_t a, int64_t b) {
  uint64_t x = (uint64_t)a, y = (uint64_t)b;
  switch (op) {
    case OP_ADD: return (int64_t)(x + y);
    case OP_SUB: return (int64_t)(x - y);
    case OP_MUL: return (int64_t)(x * y);
    case OP_FLOOR_DIV: return int_div(a, b);
    case OP_FLOOR_MOD: return int_mod(a, b);
    case OP_MAXIMUM: return a < b ? b : a;
    case OP_MINIMUM: return b < a ? b : a;
    default: unreachable();
  }
}

Epilogue epilogue_of(const Node *n) {
  const char *act = attr_str(n, "act");
  Epilogue e = {.act = *act, .last = attr_bool(n, "add_last"),
                .lo = attr_float(n, "lo"), .hi = attr_float(n, "hi")};
  if (e.act)
    ensure(op_parse(act, &e.op) && (op_info(e.op)->flags & FLAG_UNARY));
  return e;
}

double epilogue_eval(const Epilogue *e, double acc, double r) {
  if (!e->last) acc += r;
  if (e->act) acc = unary_eval(e->op, acc, e->lo, e->hi);
  return e->last ? acc + r : acc;
}

void eval_unary(EvalCtx *c) {
  const Node *n = c->n;
  int64_t count = type_elems(&n->type);
  int nattrs = op_info(n->op)->nattrs;
  double p = nattrs > 0 ? n->attr[0].f : 0, q = nattrs > 1 ? n->attr[1].f : 0;
  for (int64_t i = 0; i < count; i++)
    if (elem_is_float(n->type.elem))
      c->out->v[i] = unary_eval(n->op, c->in[0]->v[i], p, q);
    else
      c->out->i[i] = unary_eval_int(n->op, c->in[0]->i[i]);
}

/* ---- element types --------------------------------------------------- */

static int64_t float_to_int(Elem to, double v) {
  int64_t at;
  elem_store(to, &at, 0, v);
  return elem_load_int(to, &at, 0);
}

/* To f32 first, but for an f64. */
static double int_to_float(Elem from, Elem to, int64_t v) {
  uint64_t bits = (uint64_t)v;
  if (to == F64) return from == U64 ? (double)bits : (double)v;
  return (double)(from == U64 ? (float)bits : (float)v);
}

/* What is no f64 is rounded although results may not be: a double would
 * stay one. */
static double float_to_float(Elem from, Elem to, double v) {
  return from == F64 ? elem_round(to, v) : v;
}

void eval_cast(EvalCtx *c) {
  const Tensor *x = c->in[0];
  Elem from = x->type.elem, to = c->n->type.elem;
  int64_t count = type_elems(&c->n->type);
  for (int64_t i = 0; i < count; i++)
    if (elem_is_float(from) && elem_is_float(to))
      c->out->v[i] = float_to_float(from, to, x->v[i]);
    else if (elem_is_float(from)) c->out->i[i] = float_to_int(to, x->v[i]);
    else if (elem_is_float(to))
      c->out->v[i] = int_to_float(from, to, x->i[i]);
    else c->out->i[i] = to == B1 ? x->i[i] != 0 : x->i[i];
}

/* ---- with broadcasting ---------------------------------------------- */

bool compare_eval(Op op, double a, double b) {
  switch (op) {
    case OP_EQUAL: return a == b;
    case OP_NOT_EQUAL: return a != b;
    case OP_LESS: return a < b;
    case OP_LESS_EQUAL: return a <= b;
    case OP_GREATER: return a > b;
    case OP_GREATER_EQUAL: return a >= b;
    default: unreachable();
  }
}

static bool compare_int(Op op, int64_t a, int64_t b) {
  double order = a < b ? -1 : a > b;
  return compare_eval(op, order, 0);
}

/* Strides of `t` seen in the shape of `out`: axes are aligned at the right,
 * size 1 repeats. */
static void broadcast_strides(const Type *t, const Type *out,
                              int64_t stride[MAX_RANK]) {
  int64_t own[MAX_RANK];
  strides_dense(t, own);
  int lead = out->rank - t->rank;
  ensure(lead >= 0);
  for (int i = 0; i < out->rank; i++) {
    bool repeats = i < lead || t->dim[i - lead] == 1;
    stride[i] = repeats ? 0 : own[i - lead];
  }
}

/* Element i of the result from elements at[k] of the operands. */
typedef void EachElement(EvalCtx *c, int64_t i, const int64_t *at);

static void broadcast_walk(EvalCtx *c, EachElement *each) {
  const Type *t = &c->n->type;
  int64_t stride[3][MAX_RANK], index[MAX_RANK] = {0}, at[3] = {0};
  int64_t count = type_elems(t);
  ensure(c->n->nin <= 3);
  for (int k = 0; k < c->n->nin; k++)
    broadcast_strides(&c->in[k]->type, t, stride[k]);
  for (int64_t i = 0; i < count; i++) {
    each(c, i, at);
    for (int d = t->rank - 1; d >= 0; d--) {
      bool wraps = ++index[d] == t->dim[d];
      for (int k = 0; k < c->n->nin; k++)
        at[k] += (wraps ? 1 - index[d] : 1) * stride[k][d];
      if (!wraps) break;
      index[d] = 0;
    }
  }
}

static void binary_each(EvalCtx *c, int64_t i, const int64_t *at) {
  const Tensor *a = c->in[0], *b = c->in[1];
  Op op = c->n->op;
  if (elem_is_float(a->type.elem))
    c->out->v[i] = binary_eval(op, a->v[at[0]], b->v[at[1]]);
  else
    c->out->i[i] = binary_eval_int(op, a->i[at[0]], b->i[at[1]]);
}

void eval_binary(EvalCtx *c) { broadcast_walk(c, binary_each); }

static void compare_each(EvalCtx *c, int64_t i, const int64_t *at) {
  const Tensor *a = c->in[0], *b = c->in[1];
  Op op = c->n->op;
  if (elem_is_float(a->type.elem))
    c->out->i[i] = compare_eval(op, a->v[at[0]], b->v[at[1]]);
  else
    c->out->i[i] = compare_int(op, a->i[at[0]], b->i[at[1]]);
}

void eval_compare(EvalCtx *c) { broadcast_walk(c, compare_each); }

static void where_each(EvalCtx *c, int64_t i, const int64_t *at) {
  const Tensor *from = c->in[c->in[0]->i[at[0]] ? 1 : 2];
  int64_t k = at[c->in[0]->i[at[0]] ? 1 : 2];
  if (elem_is_float(c->n->type.elem)) c->out->v[i] = from->v[k];
  else c->out->i[i] = from->i[k];
}

void eval_where(EvalCtx *c) { broadcast_walk(c, where_each); }

/* ---- per channel ---------------------------------------------------- */

/* How many elements follow one another in a channel along `axis`. */
static int64_t inner_size(const Type *t, int axis) {
  int64_t n = 1;
  for (int i = axis + 1; i < t->rank; i++) n *= t->dim[i];
  return n;
}

void eval_batch_norm(EvalCtx *c) {
  const Type *t = &c->n->type;
  int64_t count = type_elems(t), inner = inner_size(t, 1);
  double eps = attr_float(c->n, "eps");
  const double *x = c->in[0]->v, *gamma = c->in[1]->v, *beta = c->in[2]->v,
               *mean = c->in[3]->v, *var = c->in[4]->v;
  for (int64_t i = 0; i < count; i++) {
    int64_t ch = i / inner % t->dim[1];
    c->out->v[i] =
        (x[i] - mean[ch]) / sqrt(var[ch] + eps) * gamma[ch] + beta[ch];
  }
}

void eval_scale_shift(EvalCtx *c) {
  const Type *t = &c->n->type;
  int axis = eval_axis(attr_int(c->n, "axis"), t->rank);
  int64_t count = type_elems(t), inner = inner_size(t, axis);
  for (int64_t i = 0; i < count; i++) {
    int64_t ch = i / inner % t->dim[axis];
    c->out->v[i] = c->in[0]->v[i] * c->in[1]->v[ch] + c->in[2]->v[ch];
  }
}

void eval_mask(EvalCtx *c) {
  int64_t count = type_elems(&c->n->type);
  const Tensor *m = c->in[1];
  bool b1 = m->type.elem == B1;
  for (int64_t i = 0; i < count; i++) {
    bool set = b1 ? m->i[i] != 0 : m->v[i] != 0;
    c->out->v[i] = set ? c->in[0]->v[i] : 0;
  }
}
