/* onnx_ops.c - each op of the IR as nodes of ONNX. */
#include "frontend/onnx_out.h"

#include <string.h>

bool out_unsupported(Out *w, const Node *n, const char *why) {
  return diag_error(w->d, EXIT_UNSUPPORTED, n->span, "ONNX has nothing like "
                    "the op '%s'%s%s", op_info(n->op)->name, *why ? ": " : "",
                    why);
}

const char *out_in(const Out *w, const Node *n, int i) {
  if (i >= n->nin || !n->in[i])
    return "";
  return w->frame->value[n->in[i]->id];
}

const Type *out_in_type(const Node *n, int i) { return &n->in[i]->type; }

static const char *operand(const Out *w, const Node *n, const char *name) {
  const Node *x = node_operand(n, name);
  return x ? w->frame->value[x->id] : "";
}

/* ---- elementwise ---------------------------------------------------- */

static const struct { Op op; const char *name; } plain[] = {
  {OP_CONVERT, "Identity"}, {OP_STOP_GRADIENT, "Identity"},
  {OP_NEG, "Neg"}, {OP_ABS, "Abs"}, {OP_SIGN, "Sign"}, {OP_SQRT, "Sqrt"},
  {OP_EXP, "Exp"}, {OP_LOG, "Log"}, {OP_SIN, "Sin"}, {OP_COS, "Cos"},
  {OP_TANH, "Tanh"}, {OP_ERF, "Erf"}, {OP_FLOOR, "Floor"},
  {OP_CEIL, "Ceil"}, {OP_ROUND, "Round"}, {OP_SIGMOID, "Sigmoid"},
  {OP_RELU, "Relu"}, {OP_HARDSWISH, "HardSwish"}, {OP_ADD, "Add"},
  {OP_SUB, "Sub"}, {OP_MUL, "Mul"}, {OP_DIV, "Div"}, {OP_POW, "Pow"},
  {OP_WHERE, "Where"},
};

static const char *plain_name(Op op) {
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (plain[i].op == op)
      return plain[i].name;
  return NULL;
}

static void clip_write(Out *w, const char *to, const char *x, double lo,
                       double hi) {
  out_op(w, to, "Clip", x, out_scalar(w, F32, lo), out_scalar(w, F32, hi),
         NULL);
}

/* x/2 (1 + erf(x/sqrt 2)) */
static void gelu_write(Out *w, const char *to, const char *x) {
  const char *half = out_scalar(w, F32, 0.7071067811865476);
  const char *e = out_op(w, NULL, "Mul", x, half, NULL);
  e = out_op(w, NULL, "Erf", e, NULL);
  e = out_op(w, NULL, "Add", e, out_scalar(w, F32, 1.0), NULL);
  e = out_op(w, NULL, "Mul", x, e, NULL);
  out_op(w, to, "Mul", e, out_scalar(w, F32, 0.5), NULL);
}

/* A unary op by its name, as an epilogue names it; false: none of them. */
static bool unary_write(Out *w, Op op, const char *to, const char *x,
                        Elem e, double lo, double hi) {
  const char *name = plain_name(op);
  if (name) {
    out_op(w, to, name, x, NULL);
    return true;
  }
  switch (op) {
  case OP_SQUARE:
    out_op(w, to, "Mul", x, x, NULL);
    return true;
  case OP_RSQRT:
    out_op(w, to, "Reciprocal", out_op(w, NULL, "Sqrt", x, NULL), NULL);
    return true;
  case OP_RELU6:
    clip_write(w, to, x, 0.0, 6.0);
    return true;
  case OP_CLIP:
    if (e != F32)
      return false;
    clip_write(w, to, x, lo, hi);
    return true;
  case OP_LEAKY_RELU: case OP_ELU:
    out_float(w, "alpha", lo);
    out_op(w, to, op == OP_ELU ? "Elu" : "LeakyRelu", x, NULL);
    return true;
  case OP_HARDSIGMOID:
    out_float(w, "alpha", 1.0 / 6);
    out_op(w, to, "HardSigmoid", x, NULL);
    return true;
  case OP_SILU:
    out_op(w, to, "Mul", x, out_op(w, NULL, "Sigmoid", x, NULL), NULL);
    return true;
  case OP_GELU:
    gelu_write(w, to, x);
    return true;
  default:
    return false;
  }
}

static bool unary_node(Out *w, const Node *n, const char *to) {
  double lo = 0, hi = 0;
  if (n->op == OP_CLIP)
    lo = attr_float(n, "lo"), hi = attr_float(n, "hi");
  if (n->op == OP_LEAKY_RELU || n->op == OP_ELU)
    lo = attr_float(n, "alpha");
  return unary_write(w, n->op, to, out_in(w, n, 0), n->type.elem, lo, hi) ||
         out_unsupported(w, n, "");
}

const char *out_cast(Out *w, const char *to, const char *x, Elem e) {
  out_int(w, "to", onnx_type(e));
  return out_op(w, to, "Cast", x, NULL);
}

/* Comparisons, minima and maxima of types that runtimes compare in i32. */
static const char *wide_in(Out *w, const Node *n, int i) {
  Elem e = out_in_type(n, i)->elem;
  const char *x = out_in(w, n, i);
  return e == U8 || e == B1 ? out_cast(w, NULL, x, I32) : x;
}

static bool compare_node(Out *w, const Node *n, const char *to) {
  const char *a = wide_in(w, n, 0), *b = wide_in(w, n, 1);
  switch (n->op) {
  case OP_EQUAL: out_op(w, to, "Equal", a, b, NULL); break;
  case OP_NOT_EQUAL:
    out_op(w, to, "Not", out_op(w, NULL, "Equal", a, b, NULL), NULL);
    break;
  case OP_LESS: out_op(w, to, "Less", a, b, NULL); break;
  case OP_LESS_EQUAL: out_op(w, to, "LessOrEqual", a, b, NULL); break;
  case OP_GREATER: out_op(w, to, "Greater", a, b, NULL); break;
  default: out_op(w, to, "GreaterOrEqual", a, b, NULL); break;
  }
  return true;
}

static bool extreme_node(Out *w, const Node *n, const char *to) {
  const char *op = n->op == OP_MAXIMUM ? "Max" : "Min";
  Elem e = n->type.elem;
  const char *a = wide_in(w, n, 0), *b = wide_in(w, n, 1);
  if (e != U8 && e != B1)
    out_op(w, to, op, a, b, NULL);
  else
    out_cast(w, to, out_op(w, NULL, op, a, b, NULL), e);
  return true;
}

/* Mod of integers has the sign of the divisor, as floor_mod has. */
static bool floor_node(Out *w, const Node *n, const char *to) {
  const char *a = out_in(w, n, 0), *b = out_in(w, n, 1);
  bool div = n->op == OP_FLOOR_DIV;
  if (elem_is_float(n->type.elem)) {
    const char *q = out_op(w, NULL, "Div", a, b, NULL);
    q = out_op(w, div ? to : NULL, "Floor", q, NULL);
    if (!div)
      out_op(w, to, "Sub", a, out_op(w, NULL, "Mul", q, b, NULL), NULL);
    return true;
  }
  const char *m = out_op(w, div ? NULL : to, "Mod", a, b, NULL);
  if (div)
    out_op(w, to, "Div", out_op(w, NULL, "Sub", a, m, NULL), b, NULL);
  return true;
}

/* Whether y is below 0, or -0: a turn goes that way. */
static const char *below_zero(Out *w, const char *y) {
  const char *zero = out_scalar(w, F32, 0.0);
  const char *over = out_op(w, NULL, "Reciprocal", y, NULL);
  return out_op(w, NULL, "Or", out_op(w, NULL, "Less", y, zero, NULL),
                out_op(w, NULL, "Less", over, zero, NULL), NULL);
}

/* atan(y/x), half a turn further where x < 0, 0 where both are. */
static bool atan2_node(Out *w, const Node *n, const char *to) {
  const char *y = out_in(w, n, 0), *x = out_in(w, n, 1);
  const char *zero = out_scalar(w, F32, 0.0);
  const double pi = 3.141592653589793;
  const char *a = out_op(w, NULL, "Atan", out_op(w, NULL, "Div", y, x, NULL),
                         NULL);
  const char *below = below_zero(w, y);
  const char *turn = out_op(w, NULL, "Where", below, out_scalar(w, F32, -pi),
                            out_scalar(w, F32, pi), NULL);
  const char *left = out_op(w, NULL, "Less", x, zero, NULL);
  turn = out_op(w, NULL, "Where", left, turn, zero, NULL);
  a = out_op(w, NULL, "Add", a, turn, NULL);
  const char *none = out_op(w, NULL, "And",
                            out_op(w, NULL, "Equal", x, zero, NULL),
                            out_op(w, NULL, "Equal", y, zero, NULL), NULL);
  out_op(w, to, "Where", none, zero, a, NULL);
  return true;
}

/* ---- layers --------------------------------------------------------- */

/* Attributes of a window over `n` axes; the IR's pads of two axes are top,
 * left, bottom, right, as ONNX has them. */
static void window_attrs(Out *w, const Node *n, bool conv) {
  int count;
  const int64_t *v = attr_ints(n, "stride", &count);
  out_ints(w, "strides", v, count);
  v = attr_ints(n, "pad", &count);
  out_ints(w, "pads", v, count);
  if (!conv)
    return;
  v = attr_ints(n, "dilation", &count);
  out_ints(w, "dilations", v, count);
  out_int(w, "group", attr_int(n, "groups"));
}

/* act(y + r), or act(y) + r, behind a layer. */
static bool epilogue(Out *w, const Node *n, const char *y, const char *to) {
  const char *r = operand(w, n, "r"), *act = attr_str(n, "act");
  bool last = attr_bool(n, "add_last");
  Op op = OP_RELU;
  if (*r && !last)
    y = out_op(w, *act ? NULL : to, "Add", y, r, NULL);
  if (*act) {
    const char *a = *r && last ? out_temp(w) : to;
    if (!op_parse(act, &op) ||
        !unary_write(w, op, a, y, F32, attr_float(n, "lo"),
                     attr_float(n, "hi")))
      return out_unsupported(w, n, act);
    y = a;
  }
  if (*r && last)
    out_op(w, to, "Add", y, r, NULL);
  return true;
}

static bool has_epilogue(const Node *n) {
  return node_operand(n, "r") || *attr_str(n, "act");
}

static bool conv_node(Out *w, const Node *n, const char *to, const char *op) {
  bool fused = attr_index(n->op, "act") >= 0 && has_epilogue(n);
  const char *b = operand(w, n, "b");
  int count;
  window_attrs(w, n, true);
  if (attr_index(n->op, "out_pad") >= 0) {
    const int64_t *v = attr_ints(n, "out_pad", &count);
    out_ints(w, "output_padding", v, count);
  }
  const char *y = out_op(w, fused ? NULL : to, op, out_in(w, n, 0),
                         out_in(w, n, 1), *b ? b : NULL, NULL);
  return !fused || epilogue(w, n, y, to);
}

const char *out_transposed(Out *w, const char *x, int rank) {
  int64_t order[MAX_RANK];
  for (int i = 0; i < rank; i++)
    order[i] = i;
  order[rank - 1] = rank - 2;
  order[rank - 2] = rank - 1;
  out_ints(w, "perm", order, rank);
  return out_op(w, NULL, "Transpose", x, NULL);
}

static bool linear_node(Out *w, const Node *n, const char *to) {
  bool fused = has_epilogue(n);
  const char *b = operand(w, n, "b"), *x = out_in(w, n, 0), *y;
  if (out_in_type(n, 0)->rank == 2) {
    out_int(w, "transB", 1);
    y = out_op(w, fused ? NULL : to, "Gemm", x, out_in(w, n, 1),
               *b ? b : NULL, NULL);
  } else {
    const char *t = out_transposed(w, out_in(w, n, 1), 2);
    y = out_op(w, fused || *b ? NULL : to, "MatMul", x, t, NULL);
    if (*b)
      y = out_op(w, fused ? NULL : to, "Add", y, b, NULL);
  }
  return !fused || epilogue(w, n, y, to);
}

static bool matmul_node(Out *w, const Node *n, const char *to) {
  const char *a = out_in(w, n, 0), *b = out_in(w, n, 1);
  if (attr_bool(n, "transpose_a"))
    a = out_transposed(w, a, out_in_type(n, 0)->rank);
  if (attr_bool(n, "transpose_b"))
    b = out_transposed(w, b, out_in_type(n, 1)->rank);
  out_op(w, to, "MatMul", a, b, NULL);
  return true;
}

const char *out_reshaped(Out *w, const char *to, const char *x,
                         const int64_t *dim, int rank) {
  out_int(w, "allowzero", 1);
  return out_op(w, to, "Reshape", x, out_list(w, dim, rank), NULL);
}

static bool scale_shift_node(Out *w, const Node *n, const char *to) {
  int rank = n->type.rank;
  int64_t axis = attr_int(n, "axis"), dim[MAX_RANK];
  axis += axis < 0 ? rank : 0;
  for (int i = 0; i < rank; i++)
    dim[i] = i == axis ? n->type.dim[i] : 1;
  const char *s = out_reshaped(w, NULL, out_in(w, n, 1), dim, rank);
  const char *b = out_reshaped(w, NULL, out_in(w, n, 2), dim, rank);
  out_op(w, to, "Add", out_op(w, NULL, "Mul", out_in(w, n, 0), s, NULL), b,
         NULL);
  return true;
}

static bool batch_norm_node(Out *w, const Node *n, const char *to) {
  out_float(w, "epsilon", attr_float(n, "eps"));
  out_op(w, to, "BatchNormalization", out_in(w, n, 0), out_in(w, n, 1),
         out_in(w, n, 2), out_in(w, n, 3), out_in(w, n, 4), NULL);
  return true;
}

static bool mask_node(Out *w, const Node *n, const char *to) {
  const char *m = out_in(w, n, 1);
  if (out_in_type(n, 1)->elem != B1)
    m = out_cast(w, NULL, m, B1);
  out_op(w, to, "Where", m, out_in(w, n, 0), out_scalar(w, F32, 0.0), NULL);
  return true;
}

static bool pool_node(Out *w, const Node *n, const char *to) {
  int count;
  const int64_t *k = attr_ints(n, "k", &count);
  out_ints(w, "kernel_shape", k, count);
  window_attrs(w, n, false);
  if (n->op == OP_AVG_POOL)
    out_int(w, "count_include_pad", attr_bool(n, "count_pad"));
  out_op(w, to, n->op == OP_AVG_POOL ? "AveragePool" : "MaxPool",
         out_in(w, n, 0), NULL);
  return true;
}

static bool resize_node(Out *w, const Node *n, const char *to) {
  bool nearest = !strcmp(attr_str(n, "mode"), "nearest");
  out_str(w, "mode", nearest ? "nearest" : "linear");
  out_str(w, "coordinate_transformation_mode", attr_str(n, "coord"));
  if (nearest)
    out_str(w, "nearest_mode",
            strcmp(attr_str(n, "coord"), "asymmetric") ? "round_prefer_ceil"
                                                       : "floor");
  out_op(w, to, "Resize", out_in(w, n, 0), "", "",
         out_list(w, n->type.dim, n->type.rank), NULL);
  return true;
}

/* ---- reductions and orders ------------------------------------------ */

static bool reduce_node(Out *w, const Node *n, const char *to) {
  static const struct { Op op; const char *name; } names[] = {
    {OP_SUM, "ReduceSum"}, {OP_MEAN, "ReduceMean"}, {OP_PROD, "ReduceProd"},
    {OP_MAX, "ReduceMax"}, {OP_MIN, "ReduceMin"}};
  int count, rank = out_in_type(n, 0)->rank;
  const int64_t *axes = attr_ints(n, "axes", &count);
  int64_t all[MAX_RANK];
  const char *op = "", *x = out_in(w, n, 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].op == n->op)
      op = names[i].name;
  if (rank == 0) {
    out_op(w, to, "Identity", x, NULL);
    return true;
  }
  for (int i = 0; !count && i < rank; i++)
    all[i] = i;
  const char *which = out_list(w, count ? axes : all, count ? count : rank);
  Elem e = n->type.elem;
  if (e == B1 || e == U8)
    x = out_cast(w, NULL, x, I32);
  out_int(w, "keepdims", attr_bool(n, "keep"));
  if (e == B1 || e == U8)
    out_cast(w, to, out_op(w, NULL, op, x, which, NULL), e);
  else
    out_op(w, to, op, x, which, NULL);
  return true;
}

static bool arg_node(Out *w, const Node *n, const char *to) {
  const char *x = out_in(w, n, 0);
  out_int(w, "axis", attr_int(n, "axis"));
  out_int(w, "keepdims", attr_bool(n, "keep"));
  const char *y = out_op(w, NULL, n->op == OP_ARGMAX ? "ArgMax" : "ArgMin", x,
                         NULL);
  out_cast(w, to, y, I32);
  return true;
}

static bool argsort_node(Out *w, const Node *n, const char *to) {
  int64_t axis = attr_int(n, "axis");
  int64_t count = n->type.dim[axis < 0 ? axis + n->type.rank : axis];
  out_int(w, "axis", axis);
  out_int(w, "largest", attr_bool(n, "descending"));
  const char *names[] = {out_temp(w), out_temp(w)};
  const char *in[] = {out_in(w, n, 0), out_list(w, &count, 1)};
  out_node(w, names, 2, "TopK", in, 2);
  out_cast(w, to, names[1], I32);
  return true;
}

static bool cumsum_node(Out *w, const Node *n, const char *to) {
  int64_t axis = attr_int(n, "axis");
  out_int(w, "exclusive", attr_bool(n, "exclusive"));
  out_int(w, "reverse", attr_bool(n, "reverse"));
  out_op(w, to, "CumSum", out_in(w, n, 0), out_scalar_int(w, I64, axis),
         NULL);
  return true;
}

/* ---- moving --------------------------------------------------------- */

static bool slice_node(Out *w, const Node *n, const char *to) {
  int64_t axis = attr_int(n, "axis"), start = attr_int(n, "start"),
          stop = attr_int(n, "stop"), step = attr_int(n, "step");
  out_op(w, to, "Slice", out_in(w, n, 0), out_list(w, &start, 1),
         out_list(w, &stop, 1), out_list(w, &axis, 1), out_list(w, &step, 1),
         NULL);
  return true;
}

static bool flip_node(Out *w, const Node *n, const char *to) {
  int count;
  const int64_t *axes = attr_ints(n, "axes", &count);
  int64_t start[MAX_RANK], stop[MAX_RANK], step[MAX_RANK];
  for (int i = 0; i < count; i++)
    start[i] = -1, stop[i] = INT64_MIN, step[i] = -1;
  out_op(w, to, "Slice", out_in(w, n, 0), out_list(w, start, count),
         out_list(w, stop, count), out_list(w, axes, count),
         out_list(w, step, count), NULL);
  return true;
}

static bool select_node(Out *w, const Node *n, const char *to) {
  out_int(w, "axis", attr_int(n, "axis"));
  out_op(w, to, "Gather", out_in(w, n, 0),
         out_scalar_int(w, I64, attr_int(n, "index")), NULL);
  return true;
}

/* An index out of range means the nearest in it. */
static bool gather_node(Out *w, const Node *n, const char *to) {
  int64_t axis = attr_int(n, "axis");
  const Type *x = out_in_type(n, 0);
  int64_t size = x->dim[axis < 0 ? axis + x->rank : axis];
  Elem e = out_in_type(n, 1)->elem;
  const char *i = out_op(w, NULL, "Max", out_in(w, n, 1),
                         out_scalar_int(w, e, 0), NULL);
  i = out_op(w, NULL, "Min", i, out_scalar_int(w, e, size - 1), NULL);
  out_int(w, "axis", axis);
  out_op(w, to, "Gather", out_in(w, n, 0), i, NULL);
  return true;
}

static const char *scatter_mode(const Node *n) {
  const char *mode = n->op == OP_SCATTER ? attr_str(n, "mode") : "add";
  return strcmp(mode, "set") ? mode : "none";
}

/* One row longer, where all that is out of range goes; the axes of the index
 * as one. */
static bool scatter_node(Out *w, const Node *n, const char *to) {
  const Type *x = out_in_type(n, 0), *index = out_in_type(n, 1);
  int64_t axis = attr_int(n, "axis"), dim[MAX_RANK], ones[MAX_RANK],
          pads[2 * MAX_RANK] = {0};
  axis += axis < 0 ? x->rank : 0;
  Elem e = index->elem;
  for (int k = 0; k < x->rank; k++) {
    dim[k] = k == axis ? type_elems(index) : x->dim[k];
    ones[k] = k == axis ? dim[k] : 1;
  }
  const char *i = out_in(w, n, 1), *size = out_scalar_int(w, e, x->dim[axis]);
  const char *low = out_op(w, NULL, "Less", i, out_scalar_int(w, e, 0), NULL);
  i = out_op(w, NULL, "Where", low, size, i, NULL);
  i = out_op(w, NULL, "Min", i, size, NULL);
  i = out_reshaped(w, NULL, i, ones, x->rank);
  i = out_op(w, NULL, "Expand", i, out_list(w, dim, x->rank), NULL);
  const char *u = out_reshaped(w, NULL, out_in(w, n, 2), dim, x->rank);
  pads[x->rank + axis] = 1;
  const char *y = out_op(w, NULL, "Pad", out_in(w, n, 0),
                         out_list(w, pads, 2 * x->rank), NULL);
  out_int(w, "axis", axis);
  out_str(w, "reduction", scatter_mode(n));
  y = out_op(w, NULL, "ScatterElements", y, i, u, NULL);
  int64_t from = 0, till = x->dim[axis];
  out_op(w, to, "Slice", y, out_list(w, &from, 1), out_list(w, &till, 1),
         out_list(w, &axis, 1), NULL);
  return true;
}

static bool iota_node(Out *w, const Node *n, const char *to) {
  int64_t axis = attr_int(n, "axis"), dim[MAX_RANK];
  axis += axis < 0 ? n->type.rank : 0;
  for (int i = 0; i < n->type.rank; i++)
    dim[i] = i == axis ? n->type.dim[i] : 1;
  const char *x = out_op(w, NULL, "Range", out_scalar_int(w, I32, 0),
                         out_scalar_int(w, I32, n->type.dim[axis]),
                         out_scalar_int(w, I32, 1), NULL);
  x = out_reshaped(w, NULL, x, dim, n->type.rank);
  out_op(w, to, "Expand", x, out_list(w, n->type.dim, n->type.rank), NULL);
  return true;
}

static bool pad_node(Out *w, const Node *n, const char *to) {
  int64_t pads[2 * MAX_RANK];
  int rank;
  const int64_t *v = attr_ints(n, "before", &rank);
  memcpy(pads, v, (size_t)rank * sizeof *v);
  v = attr_ints(n, "after", &rank);
  memcpy(pads + rank, v, (size_t)rank * sizeof *v);
  out_op(w, to, "Pad", out_in(w, n, 0), out_list(w, pads, 2 * rank),
         out_scalar(w, n->type.elem, attr_float(n, "value")), NULL);
  return true;
}

static bool concat_node(Out *w, const Node *n, const char *to) {
  const char **in = arena_array(w->a, const char *, (size_t)n->nin);
  for (int i = 0; i < n->nin; i++)
    in[i] = out_in(w, n, i);
  out_int(w, "axis", attr_int(n, "axis"));
  out_node(w, &to, 1, "Concat", in, n->nin);
  return true;
}

static bool permute_node(Out *w, const Node *n, const char *to) {
  int count;
  const int64_t *v = attr_ints(n, "order", &count);
  out_ints(w, "perm", v, count);
  out_op(w, to, "Transpose", out_in(w, n, 0), NULL);
  return true;
}

/* ---- all ------------------------------------------------------------ */

bool out_write(Out *w, const Node *n, const char *to) {
  switch (n->op) {
  case OP_CAST:
    out_cast(w, to, out_in(w, n, 0), n->type.elem);
    return true;
  case OP_CONV1D: case OP_CONV2D: case OP_CONV3D:
    return conv_node(w, n, to, "Conv");
  case OP_CONV1D_TRANSPOSE: case OP_CONV2D_TRANSPOSE:
  case OP_CONV3D_TRANSPOSE:
    return conv_node(w, n, to, "ConvTranspose");
  case OP_LINEAR: return linear_node(w, n, to);
  case OP_MATMUL: return matmul_node(w, n, to);
  case OP_ATTEND: return out_attend(w, n, to);
  case OP_NORMALIZE: return out_normalize(w, n, to);
  case OP_ROTARY: return out_rotary(w, n, to);
  case OP_BATCH_NORM: return batch_norm_node(w, n, to);
  case OP_SCALE_SHIFT: return scale_shift_node(w, n, to);
  case OP_MASK: return mask_node(w, n, to);
  case OP_FLOOR_DIV: case OP_FLOOR_MOD: return floor_node(w, n, to);
  case OP_ATAN2: return atan2_node(w, n, to);
  case OP_MAXIMUM: case OP_MINIMUM: return extreme_node(w, n, to);
  case OP_EQUAL: case OP_NOT_EQUAL: case OP_LESS: case OP_LESS_EQUAL:
  case OP_GREATER: case OP_GREATER_EQUAL:
    return compare_node(w, n, to);
  case OP_SUM: case OP_MEAN: case OP_PROD: case OP_MAX: case OP_MIN:
    return reduce_node(w, n, to);
  case OP_SOFTMAX:
    out_int(w, "axis", attr_int(n, "axis"));
    out_op(w, to, "Softmax", out_in(w, n, 0), NULL);
    return true;
  case OP_ARGMAX: case OP_ARGMIN: return arg_node(w, n, to);
  case OP_ARGSORT: return argsort_node(w, n, to);
  case OP_CUMSUM: return cumsum_node(w, n, to);
  case OP_MAX_POOL: case OP_AVG_POOL: return pool_node(w, n, to);
  case OP_RESIZE: return resize_node(w, n, to);
  case OP_RESHAPE:
    out_reshaped(w, to, out_in(w, n, 0), n->type.dim, n->type.rank);
    return true;
  case OP_PERMUTE: return permute_node(w, n, to);
  case OP_EXPAND:
    out_op(w, to, "Expand", out_in(w, n, 0),
           out_list(w, n->type.dim, n->type.rank), NULL);
    return true;
  case OP_CONCAT: return concat_node(w, n, to);
  case OP_SLICE: return slice_node(w, n, to);
  case OP_SELECT: return select_node(w, n, to);
  case OP_FLIP: return flip_node(w, n, to);
  case OP_GATHER: return gather_node(w, n, to);
  case OP_SCATTER: case OP_SCATTER_ADD: return scatter_node(w, n, to);
  case OP_IOTA: return iota_node(w, n, to);
  case OP_PAD: return pad_node(w, n, to);
  default: break;
  }
  if (op_info(n->op)->flags & FLAG_UNARY)
    return unary_node(w, n, to);
  if (!plain_name(n->op))
    return out_unsupported(w, n, "");
  out_op(w, to, plain_name(n->op), out_in(w, n, 0),
         n->nin > 1 ? out_in(w, n, 1) : NULL,
         n->nin > 2 ? out_in(w, n, 2) : NULL, NULL);
  return true;
}
