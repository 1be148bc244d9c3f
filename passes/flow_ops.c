/* flow_ops.c - what flows through ops without weights of their own
 * (flow.h). */
#include <math.h>
#include <string.h>

#include "passes/flow.h"

static bool operand_flows(const Flow *fl, const Node *n, int k) {
  return k < n->nin && n->in[k] && fl->flows[n->in[k]->id];
}

/* ---- element by element ---------------------------------------------- */

/* Element of an operand of type t that element i of y is made of, as NumPy
 * broadcasts. */
static int64_t broadcast_index(const Type *t, const Type *y, int64_t i) {
  int64_t at = 0, step = 1;
  for (int a = y->rank - 1, k = t->rank - 1; a >= 0; a--, k--) {
    int64_t x = i % y->dim[a];
    i /= y->dim[a];
    if (k < 0) continue;
    if (t->dim[k] > 1) at += x * step;
    step *= t->dim[k];
  }
  return at;
}

static void factors_by_axis(double *to, const Type *y, int axis,
                            const float *v, const float *var, double eps) {
  int64_t inner = 1;
  for (int i = axis + 1; i < y->rank; i++) inner *= y->dim[i];
  for (int64_t i = 0; i < type_elems(y); i++) {
    int64_t c = i / inner % y->dim[axis];
    to[i] = v ? fabs((double)v[c]) : 1;
    if (var) to[i] /= sqrt(fabs((double)var[c]) + eps);
  }
}

/* Of a product or quotient of what flows and a constant. */
static void factors_of_constant(const Flow *fl, double *to, const Node *n) {
  int k = operand_flows(fl, n, 0);
  const float *v = node_values(fl->s->c->m, n->in[k]);
  for (int64_t i = 0; i < type_elems(&n->type); i++) {
    double f = n->in[k]->op == OP_CONST ? n->in[k]->value
               : v ? (double)v[broadcast_index(&n->in[k]->type, &n->type, i)]
                   : 1;
    to[i] = n->op == OP_MUL ? fabs(f) : f != 0 ? 1 / fabs(f) : 0;
  }
}

/* What a node multiplies its operands by, for each element of y. */
static double *factors(Flow *fl, const Node *n) {
  Module *m = fl->s->c->m;
  double **to = &fl->aside[n->id];
  int64_t count = type_elems(&n->type);
  if (*to) return *to;
  *to = arena_array(fl->a, double, (size_t)count + 1);
  if (n->op == OP_BATCH_NORM)
    factors_by_axis(*to, &n->type, 1, node_values(m, n->in[1]),
                    node_values(m, n->in[4]), attr_float(n, "eps"));
  else if (n->op == OP_SCALE_SHIFT)
    factors_by_axis(*to, &n->type,
                    eval_axis(attr_int(n, "axis"), n->type.rank),
                    node_values(m, n->in[1]), NULL, 0);
  else if (n->op == OP_NORMALIZE)
    factors_by_axis(*to, &n->type, n->type.rank - 1,
                    n->in[1] ? node_values(m, n->in[1]) : NULL, NULL, 0);
  else if ((n->op == OP_MUL || n->op == OP_DIV) &&
           operand_flows(fl, n, 0) != operand_flows(fl, n, 1))
    factors_of_constant(fl, *to, n);
  else
    for (int64_t i = 0; i < count; i++) (*to)[i] = 1;
  return *to;
}

static void each_go(Flow *fl, const Node *n, bool back) {
  const double *f = factors(fl, n);
  for (int k = 0; k < n->nin; k++) {
    if (!operand_flows(fl, n, k)) continue;
    const Node *x = n->in[k];
    bool same = type_same_dims(&x->type, &n->type);
    for (int64_t i = 0; i < type_elems(&n->type); i++) {
      int64_t at = same ? i : broadcast_index(&x->type, &n->type, i);
      if (back) fl->g[x->id][at] += f[i] * fl->g[n->id][i];
      else fl->v[n->id][i] += f[i] * fl->v[x->id][at];
    }
  }
}

static void each_forward(Flow *fl, const Node *n) { each_go(fl, n, false); }
static void each_backward(Flow *fl, const Node *n) { each_go(fl, n, true); }
static const FlowRule each = {each_forward, each_backward};

/* ---- views ----------------------------------------------------------- */

/* Elements are numbered from here on: no value of a pad is such a number. */
static const double numbers = 1e12;

/* Which element of all operands, one behind the other, each of y is; what is
 * none of them is less than 0. */
static double *view_map(Flow *fl, const Node *n) {
  double **to = &fl->aside[n->id];
  if (*to) return *to;
  const Tensor **in = arena_array(fl->a, const Tensor *, (size_t)n->nin + 1);
  double next = numbers;
  for (int k = 0; k < n->nin; k++) {
    Tensor *t = arena_new_of(fl->a, Tensor);
    *t = tensor_new(fl->a, &n->in[k]->type);
    for (int64_t i = 0; i < type_elems(&t->type); i++) t->v[i] = next++;
    in[k] = t;
  }
  Tensor y = tensor_new(fl->a, &n->type);
  const EvalOpts o = {0};
  node_eval(fl->s->c->m, n, in, &y, &o);
  for (int64_t i = 0; i < type_elems(&n->type); i++) y.v[i] -= numbers;
  return *to = y.v;
}

static void view_go(Flow *fl, const Node *n, bool back) {
  const double *map = view_map(fl, n);
  double first = 0;
  for (int k = 0; k < n->nin; k++) {
    double count = (double)type_elems(&n->in[k]->type);
    for (int64_t i = 0; operand_flows(fl, n, k) && i < type_elems(&n->type);
         i++) {
      if (map[i] < first || map[i] >= first + count) continue;
      int64_t at = (int64_t)(map[i] - first), x = n->in[k]->id;
      if (back) fl->g[x][at] += fl->g[n->id][i];
      else fl->v[n->id][i] += fl->v[x][at];
    }
    first += count;
  }
}

static void view_forward(Flow *fl, const Node *n) { view_go(fl, n, false); }
static void view_backward(Flow *fl, const Node *n) { view_go(fl, n, true); }
static const FlowRule view = {view_forward, view_backward};

/* ---- pools ----------------------------------------------------------- */

/* One window: the mean of its elements that lie in x. */
static void window_go(const Window *s, double *x, double *y, int64_t top,
                      int64_t left, int64_t count, bool back) {
  int64_t y0 = top < 0 ? 0 : top, x0 = left < 0 ? 0 : left;
  int64_t y1 = top + s->kh < s->h ? top + s->kh : s->h;
  int64_t x1 = left + s->kw < s->w ? left + s->kw : s->w;
  if (!count) count = (y1 - y0) * (x1 - x0);
  for (int64_t i = y0; i < y1; i++)
    for (int64_t k = x0; k < x1; k++)
      if (back) x[i * s->w + k] += *y / (double)count;
      else *y += x[i * s->w + k] / (double)count;
}

static void pool_go(Flow *fl, const Node *n, bool back) {
  Window s = window_of(n, &n->in[0]->type, &n->type);
  bool all = n->op == OP_AVG_POOL && attr_bool(n, "count_pad");
  double *x = back ? fl->g[n->in[0]->id] : fl->v[n->in[0]->id];
  double *y = back ? fl->g[n->id] : fl->v[n->id];
  for (int64_t p = 0; p < s.n * s.c; p++)
    for (int64_t oy = 0; oy < s.oh; oy++)
      for (int64_t ox = 0; ox < s.ow; ox++)
        window_go(&s, x + p * s.h * s.w, y++, oy * s.sh - s.top,
                  ox * s.sw - s.left, all ? s.kh * s.kw : 0, back);
}

static void pool_forward(Flow *fl, const Node *n) { pool_go(fl, n, false); }
static void pool_backward(Flow *fl, const Node *n) { pool_go(fl, n, true); }
static const FlowRule pool = {pool_forward, pool_backward};

/* ---- reductions ------------------------------------------------------ */

/* Is axis a of x folded? */
static bool folded(const Node *n, int a) {
  int count;
  const int64_t *axes = attr_ints(n, "axes", &count);
  for (int i = 0; i < count; i++)
    if (eval_axis(axes[i], n->in[0]->type.rank) == a) return true;
  return false;
}

/* Element of y that element i of x goes to. */
static int64_t reduced_index(const Node *n, int64_t i) {
  const Type *x = &n->in[0]->type;
  int64_t at = 0, step = 1;
  for (int a = x->rank - 1; a >= 0; a--) {
    if (!folded(n, a)) {
      at += i % x->dim[a] * step;
      step *= x->dim[a];
    }
    i /= x->dim[a];
  }
  return at;
}

static void reduce_go(Flow *fl, const Node *n, bool back) {
  int64_t x = n->in[0]->id, all = type_elems(&n->in[0]->type);
  int64_t results = type_elems(&n->type);
  double part = n->op == OP_SUM || !all ? 1 : (double)results / (double)all;
  for (int64_t i = 0; i < all; i++) {
    int64_t at = reduced_index(n, i);
    if (back) fl->g[x][i] += part * fl->g[n->id][at];
    else fl->v[n->id][at] += part * fl->v[x][i];
  }
}

static void reduce_forward(Flow *fl, const Node *n) { reduce_go(fl, n, false); }
static void reduce_backward(Flow *fl, const Node *n) { reduce_go(fl, n, true); }
static const FlowRule reduce = {reduce_forward, reduce_backward};

/* ---- the rules ------------------------------------------------------- */

/* Of a layer whose weight is a param with values, as it is. */
static const FlowRule *layer_rule(const Flow *fl, const Node *n) {
  const Node *w = layer_weight(n);
  if (!w || w->op != OP_PARAM || n->op == OP_CONV3D ||
      !param_values(fl->s->c->m, w->param))
    return NULL;
  return &flow_product;
}

const FlowRule *flow_rule(const Flow *fl, const Node *n) {
  if (layer_weight(n)) return layer_rule(fl, n);
  if (op_info(n->op)->flags & (FLAG_UNARY | FLAG_BINARY)) return &each;
  if (op_info(n->op)->flags & FLAG_VIEW) return &view;
  switch (n->op) {
  case OP_BATCH_NORM: case OP_SCALE_SHIFT: case OP_NORMALIZE:
  case OP_SOFTMAX: case OP_CAST: case OP_WHERE:
    return &each;
  case OP_AVG_POOL: case OP_MAX_POOL:
    return &pool;
  case OP_SUM: case OP_MEAN: case OP_MAX: case OP_MIN:
    return &reduce;
  case OP_MATMUL:
    return n->in[0]->op != OP_PARAM && n->in[1]->op != OP_PARAM &&
           matmul_sizes(n).k > 0 ? &flow_sides : NULL;
  case OP_RESIZE:
    return strcmp(attr_str(n, "mode"), "nearest") ? NULL : &view;
  default:
    return NULL;
  }
}
