/* test_backend.c - every kernel that has no test in test_kernels.c, from and
 * to layouts of all sorts, against the evaluator; and the accuracy of the
 * elementary functions. */
#include "ir/eval.h"
#include "tests/unit/backend_net.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- layouts --------------------------------------------------------- */

/* What a value may look like in the arena. */
typedef enum { AS_DENSE, AS_PLANES, AS_CHANNELS_LAST, AS_COUNT } As;

/* Give a rank-4 value a layout. */
static void lay_out(Net *n, Node *x, As as) {
  static const int32_t halo[4] = { 1, 2, 2, 1 };
  const int64_t *d = x->type.dim;
  if (as == AS_PLANES)
    x->type.layout = layout_planes(n->a, &x->type, n->t.lanes, halo);
  if (as != AS_CHANNELS_LAST) return;
  int64_t s[] = { d[1] * d[2] * d[3], 1, d[3] * d[1], d[1] };
  static const int32_t none[4] = { 0 };
  x->type.layout = layout_strided(n->a, &x->type, s, 0,
                                  d[0] * d[1] * d[2] * d[3], none);
}

/* convert(x) in a layout. */
static Node *laid(Net *n, Node *x, As as) {
  Node *c = node(n, OP_CONVERT, 1, x, NULL, NULL);
  assert_true(node_infer(n->m, c, n->d));
  lay_out(n, c, as);
  return c;
}

/* The same op with its operand and its result in each layout. */
typedef Node *(*Builder)(Net *n, Node *x, int variant);

/* One output for each pair of layouts. */
static void layouts_check(Builder build, int variant, Type t, double lo,
                          double hi, double tol) {
  Net *n = net_new();
  Node *in = input(n, "x", t);
  for (int k = 0; k < AS_COUNT * AS_COUNT; k++) {
    Node *x = laid(n, in, (As)(k / AS_COUNT));
    Node *y = build(n, x, variant);
    assert_true(node_infer(n->m, y, n->d));
    if (y->type.rank == 4) lay_out(n, y, (As)(k % AS_COUNT));
    Node *z = node(n, OP_CONVERT, 1, y, NULL, NULL);
    func_output(n->m, n->f, arena_printf(n->a, "y%d", k), z);
  }
  net_infer(n);
  net_load(n);
  net_check(n, lo, hi, tol);
  net_free(n);
}

/* ---- tests: maps and moves ------------------------------------------- */

enum { UNARY_COUNT = 22 };
static const Op unary_ops[UNARY_COUNT] = {
  OP_NEG, OP_ABS, OP_SQUARE, OP_SQRT, OP_EXP, OP_LOG, OP_TANH, OP_ERF,
  OP_SIGMOID, OP_RELU, OP_RELU6, OP_LEAKY_RELU, OP_ELU, OP_HARDSIGMOID,
  OP_HARDSWISH, OP_SILU, OP_GELU, OP_CLIP, OP_RSQRT, OP_FLOOR, OP_CEIL,
  OP_ROUND
};

static void attrs_give(Node *x) {
  if (x->op == OP_CLIP) {
    attr_set_float(x, "lo", -1.5);
    attr_set_float(x, "hi", 2);
  }
}

static void test_unary(void **state) {
  (void)state;
  for (int first = 0; first < UNARY_COUNT; first += 11) {
    Net *n = net_new();
    Node *x = input(n, "x", shape(2, 3, 37, 0, 0));
    for (int i = first; i < first + 11; i++) {
      Node *y = node(n, unary_ops[i], 1, x, NULL, NULL);
      attrs_give(y);
      func_output(n->m, n->f, arena_printf(n->a, "y%d", i), y);
    }
    net_infer(n);
    net_load(n);
    net_check(n, -4, 4, 1e-6);
    net_free(n);
  }
}

static Node *build_unary(Net *n, Node *x, int v) {
  Node *y = node(n, unary_ops[v], 1, x, NULL, NULL);
  attrs_give(y);
  return y;
}

static void test_unary_layouts(void **state) {
  (void)state;
  layouts_check(build_unary, 16, shape(4, 2, 3, 5, 19), -4, 4, 1e-6);
  layouts_check(build_unary, 17, shape(4, 1, 3, 2, 1), -4, 4, 1e-6);
}

static Node *build_binary(Net *n, Node *x, int v) {
  static const Op op[] = { OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MAXIMUM,
                           OP_MINIMUM };
  const int64_t *d = x->type.dim;
  Type t[] = { x->type, shape(1, d[3], 0, 0, 0), shape(3, d[1], 1, 1, 0),
               shape(4, 1, 1, d[2], d[3]), shape(2, d[2], 1, 0, 0) };
  t[0].layout = NULL;
  Node *b = v % 6 == 5 ? func_const(n->m, n->f, 1.25)
                       : param(n, "b", t[v % 6]);
  return v & 1 ? node(n, op[v % 6], 2, b, x, NULL)
               : node(n, op[v % 6], 2, x, b, NULL);
}

static void test_binary(void **state) {
  (void)state;
  for (int v = 0; v < 6; v++)
    layouts_check(build_binary, v, shape(4, 2, 3, 4, 18), 0.5, 4, 1e-6);
}

static void test_broadcast_grows(void **state) {
  (void)state;
  Net *n = net_new();
  Node *a = input(n, "a", shape(3, 5, 1, 7, 0));
  Node *b = input(n, "b", shape(2, 3, 1, 0, 0));
  net_finish(n, node(n, OP_ADD, 2, a, b, NULL), -1, 1, 1e-7);
}

static Node *build_channel(Net *n, Node *x, int v) {
  Type t = shape(1, x->type.dim[v ? v : 1], 0, 0, 0);
  Node *p[5] = { x };
  for (int i = 1; i < 5; i++) p[i] = param(n, arena_printf(n->a, "p%d", i), t);
  Node *y = func_add(n->m, n->f, v ? OP_SCALE_SHIFT : OP_BATCH_NORM, p,
                     v ? 3 : 5);
  if (v) attr_set_int(y, "axis", v);
  return y;
}

static void test_channel(void **state) {
  (void)state;
  for (int v = 0; v < 4; v++)
    layouts_check(build_channel, v, shape(4, 2, 5, 3, 17), -2, 2, 3e-6);
}

static void test_mask(void **state) {
  (void)state;
  Net *n = net_new();
  Type t = shape(2, 5, 23, 0, 0), tm = t;
  tm.elem = B1;
  Buffer *b = buffer_new(115);
  for (int i = 0; i < 115; i++) b->data[i] = i % 3 == 0;
  Node *m = func_param(n->m, n->f, module_add_param(n->m, "m", tm, b));
  net_finish(n, node(n, OP_MASK, 2, input(n, "x", t), m, NULL), -1, 1, 0);
}

static Node *build_move(Net *n, Node *x, int v) {
  static const Op op[] = { OP_RESHAPE, OP_RESHAPE, OP_PERMUTE, OP_EXPAND,
                           OP_SLICE, OP_SELECT, OP_PAD, OP_CONCAT,
                           OP_RESHAPE, OP_INTERLEAVE };
  Node *y = op[v] == OP_CONCAT || op[v] == OP_INTERLEAVE
              ? node(n, op[v], 3, x, x, x)
              : node(n, op[v], 1, x, NULL, NULL);
  const int64_t *d = x->type.dim;
  switch (v) {
    case 0: ints(n, y, "shape", 2, d[0] * d[1], -1, 0, 0); break;
    case 1: ints(n, y, "shape", 4, d[3], d[2], d[1], d[0]); break;
    case 2: ints(n, y, "order", 4, 2, 0, 3, 1); break;
    case 3: ints(n, y, "shape", 4, d[0], d[1], d[2], d[3]); break;
    case 4:
      attr_set_int(y, "axis", 3), attr_set_int(y, "start", -7);
      attr_set_int(y, "stop", d[3]), attr_set_int(y, "step", 3);
      break;
    case 5: attr_set_int(y, "axis", 1), attr_set_int(y, "index", -1); break;
    case 6:
      ints(n, y, "before", 4, 0, 1, 2, 3);
      ints(n, y, "after", 4, 1, 0, 3, 17);
      attr_set_float(y, "value", -2.5);
      break;
    case 7: attr_set_int(y, "axis", 1); break;
    case 8: ints(n, y, "shape", 4, 1, d[0], d[1] * d[2], d[3]); break;
    case 9: ints(n, y, "step", 2, 1, 3, 0, 0); break;
  }
  return y;
}

static void test_moves(void **state) {
  (void)state;
  for (int v = 0; v < 10; v++)
    layouts_check(build_move, v, shape(4, 2, 3, 4, 9), -1, 1, 0);
}

/* ---- tests: folds and windows ---------------------------------------- */

static Node *build_reduce(Net *n, Node *x, int v) {
  static const Op op[] = { OP_SUM, OP_MEAN, OP_MAX, OP_MIN };
  Node *y = node(n, op[v % 4], 1, x, NULL, NULL);
  attr_set_bool(y, "keep", v & 1);
  switch (v / 4) {
    case 0: ints(n, y, "axes", 2, 2, 3, 0, 0); break;
    case 1: ints(n, y, "axes", 1, 1, 0, 0, 0); break;
    case 2: ints(n, y, "axes", 0, 0, 0, 0, 0); break;
    case 3: ints(n, y, "axes", 2, 0, -1, 0, 0); break;
    case 4: ints(n, y, "axes", 3, 0, 2, 1, 0); break;
  }
  return y;
}

static void test_reduce(void **state) {
  (void)state;
  for (int v = 0; v < 20; v++)
    layouts_check(build_reduce, v, shape(4, 2, 5, 3, 21), -1, 1, 1e-5);
}

static void test_reduce_long(void **state) {
  (void)state;
  for (int v = 0; v < 4; v++) {
    Net *n = net_new();
    Node *x = input(n, "x", shape(2, 3, 1003, 0, 0));
    Node *y = build_reduce(n, x, v);
    ints(n, y, "axes", 1, 1, 0, 0, 0);
    net_finish(n, y, -1, 1, 3e-5);
  }
}

static Node *build_softmax(Net *n, Node *x, int v) {
  Node *y = node(n, OP_SOFTMAX, 1, x, NULL, NULL);
  attr_set_int(y, "axis", v);
  return y;
}

static void test_softmax(void **state) {
  (void)state;
  for (int v = -1; v < 3; v++)
    layouts_check(build_softmax, v, shape(4, 2, 5, 3, 21), -50, 50, 1e-6);
}

static Node *build_pool(Net *n, Node *x, int v) {
  Node *y = node(n, v & 1 ? OP_AVG_POOL : OP_MAX_POOL, 1, x, NULL, NULL);
  if (v & 1) attr_set_bool(y, "count_pad", v & 2);
  switch (v / 2) {
    case 0: ints(n, y, "k", 2, 2, 2, 0, 0);
            ints(n, y, "stride", 2, 2, 2, 0, 0); break;
    case 1: ints(n, y, "k", 2, 3, 3, 0, 0);
            ints(n, y, "pad", 4, 1, 1, 1, 1); break;
    case 2: ints(n, y, "k", 2, 3, 4, 0, 0);
            ints(n, y, "stride", 2, 1, 3, 0, 0);
            ints(n, y, "pad", 4, 0, 2, 1, 3); break;
    case 3: ints(n, y, "k", 2, 7, 21, 0, 0); break;
  }
  return y;
}

static void test_pool(void **state) {
  (void)state;
  for (int v = 0; v < 8; v++)
    layouts_check(build_pool, v, shape(4, 2, 3, 7, 21), -1, 1, 1e-5);
}

static Node *build_conv(Net *n, Node *x, int v) {
  int64_t c = x->type.dim[1], groups = v == 2 ? c : 1;
  Node *in[4] = { x, param(n, "w", shape(4, 6, c / groups, 3, v == 3 ? 1 : 3)),
                  param(n, "b", shape(1, 6, 0, 0, 0)), NULL };
  Node *y = func_add(n->m, n->f, OP_CONV2D, in, v == 1 ? 2 : 3);
  attr_set_int(y, "groups", groups);
  switch (v) {
    case 0: ints(n, y, "pad", 4, 1, 1, 1, 1); break;
    case 1: ints(n, y, "stride", 2, 2, 2, 0, 0);
            ints(n, y, "pad", 4, 0, 1, 1, 0); break;
    case 2: ints(n, y, "dilation", 2, 2, 3, 0, 0);
            ints(n, y, "pad", 4, 2, 3, 1, 5); break;
    case 3: ints(n, y, "stride", 2, 1, 3, 0, 0);
            attr_set_str(n->m, y, "act", "silu"); break;
  }
  return y;
}

static void test_conv(void **state) {
  (void)state;
  for (int v = 0; v < 4; v++)
    layouts_check(build_conv, v, shape(4, 2, 3, 7, 22), -1, 1, 1e-5);
}

static void test_conv_residual(void **state) {
  (void)state;
  for (int last = 0; last < 2; last++) {
    Net *n = net_new();
    Node *x = input(n, "x", shape(4, 1, 4, 5, 20));
    Node *in[4] = { x, param(n, "w", shape(4, 4, 4, 1, 1)), NULL, x };
    Node *y = func_add(n->m, n->f, OP_CONV2D, in, 4);
    attr_set_str(n->m, y, "act", "relu6");
    attr_set_bool(y, "add_last", last);
    net_finish(n, y, -4, 4, 1e-5);
  }
}

/* ---- tests: outputs -------------------------------------------------- */

/* Inputs and params as outputs, one value as two outputs, aliases. */
static void test_outputs(void **state) {
  (void)state;
  Net *n = net_new();
  Type t = shape(2, 3, 7, 0, 0);
  Node *x = input(n, "x", t), *y = node(n, OP_NEG, 1, x, NULL, NULL);
  Node *r = node(n, OP_RESHAPE, 1, y, NULL, NULL);
  Node *v = node(n, OP_RESHAPE, 1, x, NULL, NULL);
  ints(n, r, "shape", 1, 21, 0, 0, 0);
  ints(n, v, "shape", 1, 21, 0, 0, 0);
  func_output(n->m, n->f, "x", x);
  func_output(n->m, n->f, "p", param(n, "p", t));
  func_output(n->m, n->f, "y", y);
  func_output(n->m, n->f, "y2", y);
  func_output(n->m, n->f, "r", r);
  func_output(n->m, n->f, "v", v);
  net_infer(n);
  r->kernel = v->kernel = "alias";
  net_load(n);
  net_check(n, -1, 1, 0);
  net_free(n);
}

/* ---- tests: accuracy ------------------------------------------------- */

/* Distance in units in the last place of r. */
static double ulps(float y, double r) {
  if (isnan(y) && isnan(r)) return 0;
  if ((double)y == r || (isinf(y) && fabs(r) > FLT_MAX && (y > 0) == (r > 0)))
    return 0;
  double unit = ldexp(1, (int)fmax(ilogb(r), -126) - 23);
  return fabs((double)y - r) / unit;
}

typedef struct Accuracy { Op op; double lo, hi, most; } Accuracy;
/* What doc/abi.md and vmath.c promise. */
static const Accuracy accuracy[] = {
  { OP_EXP, -110, 95, 1.5 },     { OP_LOG, 0, 3e38, 1.5 },
  { OP_TANH, -12, 12, 2.5 },     { OP_ERF, -6, 6, 2.5 },
  { OP_SIGMOID, -110, 110, 3 }, { OP_GELU, -13, 13, 8 },
  { OP_SILU, -85, 85, 4 },     { OP_ELU, -95, 5, 3 },
  { OP_RSQRT, 0, 3e38, 1.5 },    { OP_FLOOR, -9, 9, 0 },
  { OP_CEIL, -9, 9, 0 },         { OP_ROUND, -8.5, 8.5, 0 }
};

static double expect(Op op, double x) {
  switch (op) {
    case OP_EXP: return exp(x);
    case OP_LOG: return log(x);
    case OP_RSQRT: return 1 / sqrt(x);
    case OP_FLOOR: return floor(x);
    case OP_CEIL: return ceil(x);
    case OP_ROUND: return nearbyint(x);
    case OP_TANH: return tanh(x);
    case OP_ERF: return erf(x);
    case OP_SIGMOID: return 1 / (1 + exp(-x));
    case OP_GELU: return x / 2 * erfc(-x / sqrt(2));
    case OP_SILU: return x / (1 + exp(-x));
    default: return x < 0 ? expm1(x) : x;
  }
}

/* Half evenly over the range, half over all exponents. */
static float sample(const Accuracy *c, int64_t i, int64_t count) {
  if (i < count / 2)
    return (float)(c->lo + (c->hi - c->lo) * (double)i / (double)(count / 2));
  uint32_t bits = (uint32_t)(hash_mix((uint64_t)i) >> 32);
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

static void accuracy_check(const Accuracy *c) {
  enum { COUNT = 1 << 20 };
  Net *n = net_new();
  Node *x = input(n, "x", shape(1, COUNT, 0, 0, 0));
  Node *y = node(n, c->op, 1, x, NULL, NULL);
  if (c->op == OP_ELU) attr_set_float(y, "alpha", 1);
  func_output(n->m, n->f, "y", y);
  net_infer(n);
  net_load(n);
  Io io = io_new(n->model);
  float *from = io.at[0], *to = io.at[1];
  for (int64_t i = 0; i < COUNT; i++) from[i] = sample(c, i, COUNT);
  from[0] = INFINITY, from[1] = -INFINITY, from[2] = NAN, from[3] = -0.0f;
  assert_int_equal(n->model->run(io.at, io.arena), TAMIS_OK);
  double most = 0;
  int64_t worst = 0;
  for (int64_t i = 0; i < COUNT; i++) {
    double r = expect(c->op, (double)from[i]), u = ulps(to[i], r);
    if (r == 0 && !signbit(to[i]) != !signbit(r))
      fail_msg("%s: a zero of the other sign", op_info(c->op)->name);
    /* Below the normal range a unit is large for the value. */
    if (fabs(r) < (c->op == OP_SILU ? 1e-35 : (double)FLT_MIN))
      u = fabs((double)to[i] - r) > 1e-42 ? u : 0;
    if (!(u <= most)) most = u, worst = i;
  }
  print_message("%-8s %-10s %.2f ulp at %.9g\n", op_info(c->op)->name,
                n->t.cpu, most, (double)from[worst]);
  if (!(most <= c->most))
    fail_msg("%s: %.9g became %.9g, should be %.9g", op_info(c->op)->name,
             (double)from[worst], (double)to[worst],
             expect(c->op, (double)from[worst]));
  io_free(&io);
  net_free(n);
}

/* Of a zero's sign each unary op makes what the evaluator does. */
static void zero_signs_check(Op op) {
  enum { COUNT = 21 };
  const double lo = -0.5, hi = 0.25;
  Net *n = net_new();
  Node *x = input(n, "x", shape(1, COUNT, 0, 0, 0));
  Node *y = node(n, op, 1, x, NULL, NULL);
  if (op == OP_CLIP) attr_set_float(y, "lo", lo), attr_set_float(y, "hi", hi);
  func_output(n->m, n->f, "y", y);
  net_infer(n);
  net_load(n);
  Io io = io_new(n->model);
  float *from = io.at[0], *to = io.at[1];
  for (int i = 0; i < COUNT; i++) from[i] = i % 5 == 3 ? 0.0f : -0.0f;
  assert_int_equal(n->model->run(io.at, io.arena), TAMIS_OK);
  for (int i = 0; i < COUNT; i++) {
    double r = unary_eval(op, (double)from[i], lo, hi);
    if (!signbit(to[i]) != !signbit(r))
      fail_msg("%s(%g) became %g, should be %g", op_info(op)->name,
               (double)from[i], (double)to[i], r);
  }
  io_free(&io);
  net_free(n);
}

static void test_zero_signs(void **state) {
  (void)state;
  for (Op op = 0; op < OP_COUNT; op++)
    if (op_info(op)->flags & FLAG_UNARY) zero_signs_check(op);
}

/* Every pair of these, and what C says of it. */
static const float powers[] = {
  0.0f, -0.0f, 1, -1, 2, -2, 3, -3, 0.5f, -0.5f, 1.5f, 1e-40f, 1e30f, -1e30f,
  16777217.0f, INFINITY, -INFINITY, NAN
};

static void test_pow(void **state) {
  (void)state;
  enum { COUNT = sizeof powers / sizeof *powers };
  Net *n = net_new();
  Node *x = input(n, "x", shape(2, COUNT, 1, 0, 0));
  Node *y = input(n, "y", shape(1, COUNT, 0, 0, 0));
  func_output(n->m, n->f, "p", node(n, OP_POW, 2, x, y, NULL));
  net_infer(n);
  net_load(n);
  Io io = io_new(n->model);
  memcpy(io.at[0], powers, sizeof powers);
  memcpy(io.at[1], powers, sizeof powers);
  assert_int_equal(n->model->run(io.at, io.arena), TAMIS_OK);
  const float *p = io.at[2];
  for (int i = 0; i < COUNT * COUNT; i++) {
    double a = (double)powers[i / COUNT], b = (double)powers[i % COUNT];
    double r = pow(a, b), most = fabs(b * log(fabs(a)));
    bool exact = isnan(r) || a == 0 || isinf(a) || isinf(b) || b == 0 ||
                 fabs(a) == 1;
    if (!isnan(r) && !signbit(p[i]) != !signbit(r))
      fail_msg("pow(%g, %g) has the other sign: %g", a, b, (double)p[i]);
    if (!(ulps(p[i], r) <= (exact ? 0 : 4 + 4 * most)))
      fail_msg("pow(%g, %g) became %g", a, b, (double)p[i]);
  }
  io_free(&io);
  net_free(n);
}

static Node *build_transpose(Net *n, Node *x, int v) {
  int64_t c = x->type.dim[1], groups = v == 2 ? c : 1;
  Node *w = param(n, "w", shape(4, c, 2, v == 3 ? 1 : 3, 2 + (v & 1)));
  Node *b = param(n, "b", shape(1, 2 * groups, 0, 0, 0));
  Node *y = node(n, OP_CONV2D_TRANSPOSE, 3, x, w, b);
  ints(n, y, "stride", 2, v ? 2 : 1, v == 3 ? 4 : v ? 2 : 1, 0, 0);
  if (v & 1) ints(n, y, "pad", 4, 1, 0, 0, 2);
  if (v == 1) ints(n, y, "dilation", 2, 2, 3, 0, 0);
  if (v == 2) ints(n, y, "out_pad", 2, 1, 0, 0, 0);
  attr_set_int(y, "groups", groups);
  attr_set_str(n->m, y, "act", v & 1 ? "relu" : "");
  return y;
}

static void test_transpose(void **state) {
  (void)state;
  for (int v = 0; v < 4; v++)
    layouts_check(build_transpose, v, shape(4, 2, 3, 4, 19), -1, 1, 1e-5);
}

/* x against a gradient, which is laid out as x is. */
static Node *build_grad(Net *n, Node *x, int v) {
  int64_t groups = v == 2 ? 3 : 1, o = v == 1 ? 5 : 3 * groups;
  Node *w = param(n, "w", shape(4, o, x->type.dim[1] / groups, 2, 3));
  Node *dy = node(n, OP_CONV2D, 2, x, w, NULL);
  Node *y;
  attr_set_int(dy, "groups", groups);
  ints(n, dy, "stride", 2, 1 + v / 2, v == 3 ? 3 : 1 + (v & 1), 0, 0);
  ints(n, dy, "pad", 4, v, 0, 1, v & 2);
  ints(n, dy, "dilation", 2, 1, 1 + (v & 1), 0, 0);
  assert_true(node_infer(n->m, dy, n->d));
  dy->type.layout = x->type.layout ? layout_planes(
      n->a, &dy->type, n->t.lanes, (int32_t[]){ 1, 0, 0, 1 }) : NULL;
  y = node(n, OP_CONV2D_WEIGHT_GRAD, 2, x, dy, NULL);
  attr_set_ints(n->m, y, "k", (int64_t[]){ 2, 3 }, 2);
  for (int i = 0; i < op_info(y->op)->nattrs; i++) {
    int at = attr_index(OP_CONV2D, op_info(y->op)->attr[i]);
    if (at >= 0) y->attr[i] = dy->attr[at];
  }
  return y;
}

static void test_grad(void **state) {
  (void)state;
  for (int v = 0; v < 4; v++)
    layouts_check(build_grad, v, shape(4, 2, 6, 5, 40), -1, 1, 2e-5);
}

/* x by a stored matrix, one a batch or one for all, and by itself. */
static Node *build_matmul(Net *n, Node *x, int v) {
  bool tb = v & 1, ta = v & 2, one = v & 8;
  int64_t k = x->type.dim[ta ? 2 : 3], cols = v & 4 ? 39 : 2;
  int64_t r = tb ? cols : k, c = tb ? k : cols;
  Node *b = v >= 16 ? x
            : param(n, "b", one ? shape(2, r, c, 0, 0) : shape(3, 3, r, c, 0));
  Node *y = node(n, OP_MATMUL, 2, x, b, NULL);
  attr_set_bool(y, "transpose_a", ta);
  attr_set_bool(y, "transpose_b", tb);
  return y;
}

static void test_matmul(void **state) {
  (void)state;
  for (int v = 0; v < 18; v++)
    layouts_check(build_matmul, v + (v > 15), shape(4, 2, 3, 5, 37), -1, 1,
                  1e-5);
}

/* x of some layout as queries, as keys (transposed or not), as values, with
 * one block of columns or several. */
static Node *build_attend(Net *n, Node *x, int v) {
  bool turned = v & 1;
  int64_t rows = x->type.dim[2], e = x->type.dim[3], s = v & 4 ? 300 : 7;
  Node *k = param(n, turned ? "k" : "kt",
                  turned ? shape(3, 3, s, e, 0) : shape(3, 3, e, s, 0));
  Node *q = param(n, "q", shape(4, 2, 1, 21, e));
  Node *values = param(n, "v", shape(2, s, 9, 0, 0));
  Node *mask = param(n, "m", shape(2, v & 2 ? rows : 1, s, 0, 0));
  Node *in[4] = {x, k, values, v & 2 ? mask : NULL};
  if (v & 8) {   /* x as keys and values */
    in[0] = q, in[1] = in[2] = x, in[3] = NULL;
    turned = true;
  }
  Node *y = func_add(n->m, n->f, OP_ATTEND, in, in[3] ? 4 : 3);
  attr_set_bool(y, "transpose_k", turned);
  attr_set_bool(y, "causal", v & 16);
  attr_set_float(y, "scale", 0.125);
  return y;
}

static void test_attend(void **state) {
  (void)state;
  for (int v = 0; v < 32; v += 3)
    layouts_check(build_attend, v, shape(4, 2, 3, 5, 37), -1, 1, 1e-5);
}

static Node *build_norm(Net *n, Node *x, int v) {
  Type t = shape(1, x->type.dim[3], 0, 0, 0);
  Node *in[3] = {x, v & 1 ? param(n, "g", t) : NULL,
                 v & 2 ? param(n, "b", t) : NULL};
  Node *y = func_add(n->m, n->f, OP_NORMALIZE, in, v & 2 ? 3 : v & 1 ? 2 : 1);
  attr_set_bool(y, "center", v & 4);
  return y;
}

static void test_norm(void **state) {
  (void)state;
  for (int v = 0; v < 8; v++)
    layouts_check(build_norm, v, shape(4, 2, 3, 5, v & 1 ? 21 : 70), -2, 2,
                  1e-5);
}

static Node *build_rotary(Net *n, Node *x, int v) {
  int64_t e = x->type.dim[3];
  Node *c = param(n, "c", shape(2, 5, v & 1 ? e : e / 2, 0, 0));
  Node *s = param(n, "s", shape(3, 3, 1, v & 2 ? e : e / 2, 0));
  Node *y = node(n, OP_ROTARY, 3, x, c, s);
  attr_set_bool(y, "pairs", v & 4);
  return y;
}

static void test_rotary(void **state) {
  (void)state;
  for (int v = 0; v < 8; v++)
    layouts_check(build_rotary, v, shape(4, 2, 3, 5, 38), -2, 2, 1e-5);
}

static Node *build_resize(Net *n, Node *x, int v) {
  static const char *const coords[] = { "half_pixel", "align_corners",
                                        "asymmetric" };
  static const int64_t sizes[][2] = { { 8, 38 }, { 3, 7 }, { 9, 33 } };
  Node *y = node(n, OP_RESIZE, 1, x, NULL, NULL);
  attr_set_ints(n->m, y, "size", sizes[v / 2 % 3], 2);
  attr_set_str(n->m, y, "mode", v & 1 ? "bilinear" : "nearest");
  attr_set_str(n->m, y, "coord", coords[v / 6]);
  return y;
}

static void test_resize(void **state) {
  (void)state;
  for (int v = 0; v < 18; v++)
    layouts_check(build_resize, v, shape(4, 2, 3, 4, 19), -2, 2, 1e-6);
}

static void test_accuracy(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof accuracy / sizeof *accuracy; i++)
    accuracy_check(&accuracy[i]);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(test_pow),           cmocka_unit_test(test_resize),
  cmocka_unit_test(test_transpose),     cmocka_unit_test(test_matmul),
  cmocka_unit_test(test_attend),        cmocka_unit_test(test_norm),
  cmocka_unit_test(test_rotary),
  cmocka_unit_test(test_grad),
  cmocka_unit_test(test_unary),         cmocka_unit_test(test_unary_layouts),
  cmocka_unit_test(test_binary),        cmocka_unit_test(test_broadcast_grows),
  cmocka_unit_test(test_channel),       cmocka_unit_test(test_mask),
  cmocka_unit_test(test_moves),         cmocka_unit_test(test_reduce),
  cmocka_unit_test(test_reduce_long),   cmocka_unit_test(test_softmax),
  cmocka_unit_test(test_pool),          cmocka_unit_test(test_conv),
  cmocka_unit_test(test_conv_residual), cmocka_unit_test(test_outputs),
  cmocka_unit_test(test_zero_signs),
  cmocka_unit_test(test_accuracy)
};

int main(void) {
  const char *quick = getenv("TAMIS_QUICK");
  const char *asan = getenv("ASAN");
  int bad = 0, cpus = quick && *quick ? NET_CPUS - 1 : NET_CPUS;
  if (asan && *asan) cpus = 1;
  if (!net_dir_make()) return 1;
  for (net_cpu = 0; net_cpu < cpus; net_cpu++)
    bad += cmocka_run_group_tests_name(net_cpus[net_cpu], tests, NULL, NULL);
  net_dir_remove();
  return bad != 0;
}
