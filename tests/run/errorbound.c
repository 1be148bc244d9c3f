/* errorbound.c - a running error bound beside the reference evaluator: sums
 * of products, folds and moves, and the walk over all nodes. */
#include "tests/run/bounder.h"

#include <string.h>

double products_error(double k) { return (8 + 2 * sqrt(k)) * EPS; }

const Bounded *bound_operand(const Bounder *b, int i) {
  if (i >= b->n->nin || !b->n->in[i]) return NULL;
  return &b->all[b->n->in[i]->id];
}

double *bound_array(Bounder *b, int64_t n) {
  return arena_array(b->a, double, (size_t)n + 1);
}

/* As a type of doubles, whatever the elements are. */
static Type real_type(const Type *t) {
  return type_make(F32, t->rank, t->dim);
}

double *bound_apply(Bounder *b, const Node *n, double *const *values) {
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

double *bound_sizes(Bounder *b, const Bounded *x, bool add_error) {
  int64_t n = type_elems(&x->type);
  double *out = bound_array(b, n);
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
static double epilogue_error(const Epilogue *p, double acc, double e,
                             double r, double er) {
  double y = epilogue_eval(p, acc, p->last ? 0 : r);
  if (!p->last) acc += r;
  if (p->act) e = unary_error(p->op, p->lo, p->hi, acc, e);
  return p->last ? e + er + LOCAL * (fabs(y) + fabs(r)) : e;
}

/* Element i of an optional operand, per output channel when it is b. */
typedef struct Extra { double v, e; } Extra;
static Extra extra(const Bounder *b, int i, int64_t at) {
  const Bounded *x = bound_operand(b, i);
  return x ? (Extra){x->v[at], x->e[at]} : (Extra){0, 0};
}

static void bound_products(Bounder *b) {
  const Bounded *x = bound_operand(b, 0), *w = bound_operand(b, 1);
  const Type *t = &b->n->type;
  bool spread_out = b->n->op == OP_CONV2D_TRANSPOSE;
  int axis = b->n->op == OP_LINEAR ? t->rank - 1 : 1;
  Node *n = products_only(b, b->n);
  double *ax = bound_sizes(b, x, false);
  double *bx = bound_sizes(b, x, true), *bw = bound_sizes(b, w, true);
  union { const double *c; double *v; } xv = {x->v}, wv = {w->v};
  double *acc = bound_apply(b, n, (double *[]){xv.v, wv.v});
  double *from_x = bound_apply(b, n, (double *[]){x->e, bw});
  double *from_w = bound_apply(b, n, (double *[]){ax, w->e});
  double *sum = bound_apply(b, n, (double *[]){bx, bw});
  int64_t count = type_elems(t);
  int64_t rows = spread_out ? t->dim[1] : w->type.dim[0];
  double *own = bound_array(b, rows);
  for (int64_t i = 0; i < rows; i++)
    own[i] = products_error(
        spread_out ? (double)type_elems(&w->type) : row_nonzeros(w, i));
  Epilogue p = epilogue_of(b->n);
  for (int64_t i = 0; i < count; i++) {
    int64_t c = bound_channel(t, axis, i);
    Extra bias = extra(b, 2, c), r = extra(b, 3, i);
    double e = from_x[i] + from_w[i] + bias.e + (p.last ? 0 : r.e);
    double size = sum[i] + fabs(bias.v) + (p.last ? 0 : fabs(r.v));
    b->out->e[i] = epilogue_error(&p, acc[i] + bias.v, e + own[c] * size,
                                  r.v, r.e);
  }
}

/* Terms that add up to an element of the result, at most. */
static double terms_of(const Node *n) {
  const Type *x = &n->in[0]->type, *w = &n->in[1]->type;
  switch (n->op) {
    case OP_MATMUL: return (double)matmul_sizes(n).k;
    case OP_CONV1D:
    case OP_CONV3D: return (double)type_elems(w) / (double)w->dim[0];
    case OP_CONV1D_TRANSPOSE:
    case OP_CONV3D_TRANSPOSE: return (double)type_elems(w);
    default: return (double)type_elems(x) / (double)x->dim[1];
  }
}

/* Sums of products with nothing behind but a bias. */
static void bound_bilinear(Bounder *b) {
  const Bounded *x = bound_operand(b, 0), *w = bound_operand(b, 1);
  const Bounded *bias = bound_operand(b, 2);
  Node n = *b->n;
  n.nin = 2;
  double *ax = bound_sizes(b, x, false);
  double *bx = bound_sizes(b, x, true), *bw = bound_sizes(b, w, true);
  double *from_x = bound_apply(b, &n, (double *[]){x->e, bw});
  double *from_w = bound_apply(b, &n, (double *[]){ax, w->e});
  double *sum = bound_apply(b, &n, (double *[]){bx, bw});
  int64_t count = type_elems(&n.type);
  double own = products_error(count ? terms_of(&n) : 0);
  for (int64_t i = 0; i < count; i++) {
    int64_t c = bias ? bound_channel(&n.type, 1, i) : 0;
    double e = bias ? bias->e[c] : 0, size = bias ? fabs(bias->v[c]) : 0;
    b->out->e[i] = from_x[i] + from_w[i] + e + own * (sum[i] + size);
  }
}

/* Whether bound_bilinear knows the op. */
static bool bilinear(Op op) {
  switch (op) {
    case OP_MATMUL:
    case OP_CONV1D:
    case OP_CONV3D:
    case OP_CONV1D_TRANSPOSE:
    case OP_CONV3D_TRANSPOSE:
    case OP_CONV1D_WEIGHT_GRAD:
    case OP_CONV2D_WEIGHT_GRAD:
    case OP_CONV3D_WEIGHT_GRAD: return true;
    default: return false;
  }
}

/* ---- folds ---------------------------------------------------------- */

/* Factors grow by their errors, and each multiplication rounds. */
static void bound_prod(Bounder *b) {
  const Bounded *x = bound_operand(b, 0);
  int64_t count = type_elems(&b->n->type);
  double k = (double)(type_elems(&x->type) / (count ? count : 1));
  double *most = bound_apply(b, b->n, (double *[]){bound_sizes(b, x, true)});
  double *size = bound_apply(b, b->n, (double *[]){bound_sizes(b, x, false)});
  bool real = elem_is_float(x->type.elem);
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = most[i] - size[i] + (real ? (1 + k) * EPS * most[i] : 0);
}

/* The fold of the errors, and for sums of the sizes. */
static void bound_fold(Bounder *b) {
  const Node *n = b->n;
  const Bounded *x = bound_operand(b, 0);
  int64_t count = type_elems(&n->type);
  bool sum = n->op == OP_SUM || n->op == OP_MEAN || n->op == OP_AVG_POOL;
  Node by_max = *n;
  if (n->op == OP_MIN) by_max.op = OP_MAX;
  double *e = bound_apply(b, &by_max, (double *[]){x->e});
  if (n->op == OP_PROD) {
    bound_prod(b);
    return;
  }
  double *size = sum ? bound_apply(b, n, (double *[]){
                                            bound_sizes(b, x, true)}) : NULL;
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
  const Bounded *x = bound_operand(b, 0);
  int64_t count = type_elems(&b->n->type);
  double *e = bound_apply(b, b->n, (double *[]){x->e});
  bool blend = strcmp(attr_str(b->n, "mode"), "bilinear") == 0;
  double *size = bound_apply(b, b->n, (double *[]){bound_sizes(b, x, true)});
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = e[i] + (blend ? LOCAL * size[i] : 0);
}

/* y changes by a factor within e^(2 worst); exponents are rounded at the
 * size of x - max. */
static void bound_softmax(Bounder *b) {
  const Type *t = &b->n->type;
  const Bounded *x = bound_operand(b, 0);
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
  for (int i = 0; i < b->n->nin; i++) e[i] = bound_operand(b, i)->e;
  Node n = *b->n;
  if (n.op == OP_PAD) {
    size_t nattrs = (size_t)op_info(n.op)->nattrs;
    n.attr = arena_array(b->a, Attr, nattrs);
    memcpy(n.attr, b->n->attr, nattrs * sizeof(Attr));
    attr_set_float(&n, "value", EPS * fabs(attr_float(&n, "value")));
  }
  b->out->e = bound_apply(b, &n, e);
}

/* ---- all nodes ------------------------------------------------------ */

static void bound_node(Bounder *b) {
  uint32_t flags = op_info(b->n->op)->flags;
  Op op = b->n->op;
  if (op == OP_CONST && elem_is_float(b->n->type.elem))
    b->out->e[0] = EPS * fabs(b->n->value);
  if (op == OP_STATE) b->out->e = b->states[b->n->state->order].e;
  if (flags & FLAG_LEAF || bound_call(b)) return;   /* others are exact */
  if (flags & FLAG_VIEW) bound_move(b);
  else if (bound_math(b) || bound_index(b) || bound_attend(b)) return;
  else if (flags & FLAG_REDUCE) bound_fold(b);
  else if (op == OP_MAX_POOL || op == OP_AVG_POOL) bound_fold(b);
  else if (op == OP_CONV2D || op == OP_CONV2D_TRANSPOSE || op == OP_LINEAR)
    bound_products(b);
  else if (bilinear(op)) bound_bilinear(b);
  else if (op == OP_SOFTMAX) bound_softmax(b);
  else if (op == OP_RESIZE) bound_resize(b);
  else unreachable();
}

/* The values as doubles. */
static const double *numbers(Bounder *b, const Tensor *t) {
  if (elem_is_float(t->type.elem)) return t->v;
  int64_t n = type_elems(&t->type);
  double *v = bound_array(b, n);
  for (int64_t i = 0; i < n; i++) v[i] = (double)t->i[i];
  return v;
}

static Tensor *states_exact(Arena *a, const Module *m, const Bounded *s) {
  Tensor *all = states_reset(a, m);
  for (size_t i = 0; i < m->states.n; i++) {
    int64_t n = type_elems(&s[i].type);
    for (int64_t k = 0; k < n; k++)
      if (elem_is_float(s[i].type.elem)) all[i].v[k] = s[i].v[k];
      else all[i].i[k] = (int64_t)s[i].v[k];
  }
  return all;
}

/* What cannot be said or is too large is infinite; results may underflow. */
static void error_limit(const Bounder *b) {
  const Node *n = b->n;
  int64_t count = type_elems(&n->type);
  for (int64_t k = 0; k < count; k++) {
    double v = fabs(b->out->v[k]);
    if (!(v <= FLT_MAX) || isnan(b->out->e[k])) b->out->e[k] = INFINITY;
    else if (elem_is_float(n->type.elem) &&
             !(op_info(n->op)->flags & (FLAG_LEAF | FLAG_VIEW)))
      b->out->e[k] += TINY;
  }
}

static void nexts_keep(const Func *f, const Bounded *all, Bounded *states) {
  for (size_t i = 0; i < f->nexts.n; i++) {
    const Next *x = &f->nexts.at[i];
    states[x->state->order] = all[x->node->id];
  }
}

static int input_index(const Func *f, const Node *n) {
  for (size_t i = 0; i < f->inputs.n; i++)
    if (f->inputs.at[i] == n) return (int)i;
  unreachable();
}

Bounded *bound_eval(Arena *a, Module *m, Func *f, const Tensor *in,
                    double *const *e, Bounded *states, Diags *d) {
  EvalOpts o = {.states = states ? states_exact(a, m, states) : NULL};
  Tensor *exact = func_eval(a, m, f, in, &o, true, d);
  if (!exact) return NULL;
  size_t nodes = f->nodes.n;
  Bounded *all = arena_array(a, Bounded, nodes + 1);
  Bounded **results = arena_array(a, Bounded *, nodes + 1);
  for (size_t i = 0; i < nodes; i++) {
    const Node *n = f->nodes.at[i];
    Bounder b = {a, m, n, exact, all, &all[i], states, results, d};
    if (n->op == OP_CALL || n->op == OP_SCAN) {
      if (!bound_call(&b)) return NULL;
      continue;
    }
    all[i] = (Bounded){n->type, numbers(&b, &exact[i]),
                       bound_array(&b, type_elems(&n->type))};
    if (n->op == OP_INPUT && e) all[i].e = e[input_index(f, n)];
    bound_node(&b);
    error_limit(&b);
  }
  nexts_keep(f, all, states);
  return all;
}

Bounded *bound_reset(Arena *a, const Module *m) {
  Tensor *start = states_reset(a, m);
  Bounded *all = arena_array(a, Bounded, m->states.n + 1);
  Bounder b = {.a = a};
  for (size_t i = 0; i < m->states.n; i++) {
    int64_t n = type_elems(&start[i].type);
    all[i] = (Bounded){start[i].type, numbers(&b, &start[i]),
                       bound_array(&b, n)};
  }
  return all;
}
