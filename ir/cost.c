/* cost.c - what a node costs: multiply-accumulates, those whose weight is
 * not zero, and bytes moved. */
#include "ir/ir.h"

#include <string.h>

int64_t param_nonzeros(Module *m, const Param *p) {
  int64_t n = type_elems(&p->type), found = 0;
  const float *v;
  if (p->type.sparse && p->values) {   /* no need to unpack */
    n = (int64_t)(p->values->size / sizeof(float));
    v = (const float *)(const void *)p->values->data;
  } else {
    v = param_values(m, p);
  }
  if (!v) return type_elems(&p->type);
  for (int64_t i = 0; i < n; i++) found += v[i] != 0.0f;
  return found;
}

static int64_t mul_capped(int64_t a, int64_t b) {
  int64_t c;
  return __builtin_mul_overflow(a, b, &c) ? INT64_MAX : c;
}

/* Multiply-accumulates of one element of the result. */
static int64_t macs_each(const Node *n) {
  switch (n->op) {
  case OP_CONV1D:
  case OP_CONV2D:
  case OP_CONV3D:
  case OP_LINEAR: {
    const Type *w = &n->in[1]->type;
    int64_t k = 1;
    for (int i = 1; i < w->rank; i++) k = mul_capped(k, w->dim[i]);
    return k;
  }
  case OP_MATMUL:
    return matmul_sizes(n).k;
  case OP_AVG_POOL:
  case OP_MAX_POOL: {
    const int64_t *k = attr_ints(n, "k", NULL);
    return mul_capped(k[0], k[1]);
  }
  case OP_BATCH_NORM:
  case OP_SCALE_SHIFT:
    return 1;
  default:
    return 0;
  }
}

/* Of scores and of values by them. */
static int64_t attend_macs(const Node *n) {
  AttendSizes s = attend_sizes(n);
  int64_t rows = s.v ? type_elems(&n->type) / s.v : 0;
  return mul_capped(rows, mul_capped(s.s, s.e + s.v));
}

/* Axis of outputs of a weight whose zeros count as such, [O,...] or a matrix
 * that is a factor; -1: n has none. */
static int weight_axis(const Node *n) {
  switch (n->op) {
  case OP_CONV1D: case OP_CONV2D: case OP_CONV3D: case OP_LINEAR:
    return 0;
  case OP_MATMUL:
    return n->in[1]->type.rank == 2 ? !attr_bool(n, "transpose_b") : -1;
  default:
    return -1;
  }
}

/* Products of values of which each goes to a window: pixels of a transposed
 * convolution's x, of dy of a gradient. */
static bool spreads(const Node *n, const Type **small, const Type **weight) {
  switch (n->op) {
  case OP_CONV1D_TRANSPOSE:
  case OP_CONV2D_TRANSPOSE:
  case OP_CONV3D_TRANSPOSE:
    *small = &n->in[0]->type, *weight = &n->in[1]->type;
    return true;
  case OP_CONV1D_WEIGHT_GRAD:
  case OP_CONV2D_WEIGHT_GRAD:
  case OP_CONV3D_WEIGHT_GRAD:
    *small = &n->in[1]->type, *weight = &n->type;
    return true;
  default:
    return false;
  }
}

static int64_t nonzero_macs(Module *m, const Node *n, int64_t macs) {
  int axis = weight_axis(n);
  if (axis < 0) return macs;
  const Node *w = n->in[1];
  int64_t rows = w->type.dim[axis];
  if (w->op != OP_PARAM || rows == 0) return macs;
  /* Each row of the weight takes part in elems / rows results. */
  int64_t each = type_elems(&n->type) / rows;
  return mul_capped(param_nonzeros(m, w->param), each);
}

/* Rows of a map that lie in the whole count as if they lay alone. */
static int64_t map_bytes(const Node *n) {
  int64_t stride[MAX_RANK], origin, all = type_bytes(&n->type);
  const Layout *l = n->type.layout;
  if (n->type.rank != 4 || !l || !layout_strides(&n->type, stride, &origin))
    return all;
  int64_t rows = n->type.dim[2] + l->halo[0] + l->halo[1] + 1;
  int64_t own = mul_capped(n->type.dim[0] * n->type.dim[1], rows * stride[2]);
  own = mul_capped(own, (int64_t)elem_size(n->type.elem));
  return own < all / 2 ? own : all;
}

static int64_t bytes_of(const Node *n) {
  if (n->op == OP_PARAM) return param_bytes(n->param);
  return n->op == OP_CONST ? 0 : map_bytes(n);
}

static int64_t add_capped(int64_t a, int64_t b) {
  int64_t c;
  return __builtin_add_overflow(a, b, &c) ? INT64_MAX : c;
}

static void cost_add(Cost *to, const Cost *c, int64_t times) {
  to->macs = add_capped(to->macs, mul_capped(c->macs, times));
  to->nonzero_macs =
    add_capped(to->nonzero_macs, mul_capped(c->nonzero_macs, times));
  to->bytes = add_capped(to->bytes, mul_capped(c->bytes, times));
}

/* All of a function and what it calls. */
static Cost func_cost(Module *m, const Func *f) {
  Arena *a = arena_new();
  size_t n;
  Func **order = funcs_bottom_up(a, m, &n);
  Cost *cost = arena_array(a, Cost, m->funcs.n);
  for (size_t k = 0; k < n; k++) {
    Cost *c = &cost[func_index(m, order[k])];
    for (size_t i = 0; i < order[k]->nodes.n; i++) {
      const Node *x = order[k]->nodes.at[i];
      const Func *to = node_callee(m, x);
      Cost own = to ? cost[func_index(m, to)] : node_cost(m, x);
      cost_add(c, &own, x->op == OP_SCAN ? scan_steps(x) : 1);
    }
  }
  Cost all = cost[func_index(m, f)];
  arena_free(a);
  return all;
}

Cost node_cost(Module *m, const Node *n) {
  Cost c = {0, 0, 0};
  const Func *to = node_callee(m, n);
  if (op_info(n->op)->flags & FLAG_LEAF || n->op == OP_ITEM) return c;
  if (to) {
    Cost each = func_cost(m, to);
    cost_add(&c, &each, n->op == OP_SCAN ? scan_steps(n) : 1);
    return c;
  }
  c.macs = mul_capped(type_elems(&n->type), macs_each(n));
  const Type *small, *w;
  if (spreads(n, &small, &w)) {
    c.macs = type_elems(small);
    for (int i = 1; i < w->rank; i++) c.macs = mul_capped(c.macs, w->dim[i]);
  }
  if (n->op == OP_ATTEND) c.macs = attend_macs(n);
  c.nonzero_macs = nonzero_macs(m, n, c.macs);
  if (node_is_alias(n)) return c;
  c.bytes = bytes_of(n);
  for (int i = 0; i < n->nin; i++) {
    bool again = false;
    for (int k = 0; k < i; k++) again |= n->in[k] == n->in[i];
    if (n->in[i] && !again) c.bytes += bytes_of(n->in[i]);
  }
  return c;
}
