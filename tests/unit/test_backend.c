/* test_backend.c - modules built by hand go through backend_emit, are
 * loaded, run and compared with the evaluator: every kernel that has no test
 * in test_kernels.c, layouts of all sorts, the errors of a call, and the
 * accuracy of the elementary functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>
#include <dlfcn.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "runtime/tamis.h"

/* ---- the machines compiled for --------------------------------------- */

static const char *const cpu_names[] = { "native", "x86-64-v3", "x86-64" };
static int cpu;      /* index of the one under test */

static bool target_get(Arena *a, Target *t) {
  Diags *d = diags_new();
  bool ok = target_resolve(a, d, NULL, cpu_names[cpu], NULL, t);
  diags_free(d);
  return ok;
}

/* ---- random numbers -------------------------------------------------- */

static uint64_t seed = 1;

static double draw(double lo, double hi) {
  seed = hash_mix(seed + 0x9E3779B97F4A7C15u);
  return lo + (hi - lo) * (double)(seed >> 11) * 0x1p-53;
}

/* ---- a model --------------------------------------------------------- */

static char dir[] = "/tmp/tamis-test-XXXXXX";

typedef struct Net {
  Arena *a;
  Diags *d;
  Module *m;
  Func *f;
  Target t;
  void *so;
  const tamis_model *model;
  EmitInfo info;
  int opt;
} Net;

static Net *net_new(void) {
  Arena *a = arena_new();
  Net *n = arena_new_of(a, Net);
  n->a = a;
  n->d = diags_new();
  n->m = module_new("t");
  n->f = func_new(n->m, "t");
  n->opt = 2;
  if (!target_get(a, &n->t)) skip();
  return n;
}

static Type shape(int rank, int64_t a, int64_t b, int64_t c, int64_t d) {
  return type_make(F32, rank, (int64_t[]){ a, b, c, d });
}

static Node *node(Net *n, Op op, int nin, Node *a, Node *b, Node *c) {
  return func_add(n->m, n->f, op, (Node *[]){ a, b, c }, nin);
}

static Node *input(Net *n, const char *name, Type t) {
  return func_input(n->m, n->f, name, t);
}

static Node *param(Net *n, const char *path, Type t) {
  int64_t count = type_elems(&t);
  Param *old = module_param(n->m, path);
  if (old) return func_param(n->m, n->f, old);
  Buffer *b = buffer_new((size_t)count * 4);
  float *v = (float *)(void *)b->data;
  for (int64_t i = 0; i < count; i++) v[i] = (float)draw(0.25, 2);
  return func_param(n->m, n->f, module_add_param(n->m, path, t, b));
}

static void ints(Net *n, Node *x, const char *name, int count, int64_t a,
                 int64_t b, int64_t c, int64_t d) {
  attr_set_ints(n->m, x, name, (int64_t[]){ a, b, c, d }, count);
}

static const char *kernel_of(Op op) {
  uint32_t flags = op_info(op)->flags;
  if (flags & FLAG_UNARY) return "unary";
  if (flags & FLAG_BINARY) return "binary";
  if (flags & FLAG_REDUCE) return "reduce";
  if (flags & FLAG_VIEW) return "copy";
  switch (op) {
    case OP_CONV2D: return "conv2d_plain";
    case OP_SCALE_SHIFT: case OP_BATCH_NORM: return "scale_shift";
    case OP_MASK: return "mask";
    case OP_SOFTMAX: return "softmax";
    default: return "pool";
  }
}

/* Infer all types; keep layouts that were set before. */
static void net_infer(Net *n) {
  for (size_t i = 0; i < n->f->nodes.n; i++) {
    Node *x = n->f->nodes.at[i];
    if (op_info(x->op)->flags & FLAG_LEAF) continue;
    const Layout *layout = x->type.layout;
    if (!node_infer(n->m, x, n->d)) {
      diags_print(n->d, stderr, false);
      fail();
    }
    x->type.layout = layout;
    x->type.at = -1;
    x->kernel = kernel_of(x->op);
  }
}

static bool is_output(const Net *n, const Node *x) {
  for (size_t i = 0; i < n->f->outputs.n; i++)
    if (n->f->outputs.at[i].node == x) return true;
  return false;
}

/* Every value that is no output after the one before. */
static void net_plan(Net *n) {
  int64_t at = 0;
  for (size_t i = 0; i < n->f->nodes.n; i++) {
    Node *x = n->f->nodes.at[i];
    x->id = (uint32_t)i;
    if ((op_info(x->op)->flags & FLAG_LEAF) || x->type.at >= 0) continue;
    if (is_output(n, x) && !x->type.layout) continue;
    x->type.at = at;
    at = (at + type_bytes(&x->type) + 63) / 64 * 64;
  }
}

static void net_load(Net *n) {
  /* A name of its own: a test that failed leaves its artifact loaded. */
  static int count;
  char *out = path_join(n->a, dir, arena_printf(n->a, "t%d.so", count++));
  EmitOpts o = { .target = &n->t, .kind = EMIT_SO, .out = out, .prefix = "t",
                 .opt = n->opt };
  net_plan(n);
  if (!backend_emit(n->m, &o, &n->info, n->d)) {
    diags_print(n->d, stderr, false);
    fail();
  }
  n->so = dlopen(out, RTLD_NOW | RTLD_LOCAL);
  if (!n->so) fail_msg("%s", dlerror());
  unlink(out);
  n->model = dlsym(n->so, "t_model");
  assert_non_null(n->model);
}

static void net_free(Net *n) {
  if (n->so) dlclose(n->so);
  module_free(n->m);
  diags_free(n->d);
  arena_free(n->a);
}

/* ---- running and comparing ------------------------------------------- */

typedef struct Io { void *at[16]; size_t n; void *arena; } Io;

static Io io_new(Net *n) {
  const tamis_model *m = n->model;
  Io io = { .n = m->n_inputs + m->n_outputs };
  for (size_t i = 0; i < io.n; i++) {
    const tamis_tensor *t = i < m->n_inputs ? &m->inputs[i]
                                            : &m->outputs[i - m->n_inputs];
    io.at[i] = calloc(1, t->bytes + 64);
    assert_non_null(io.at[i]);
  }
  io.arena = aligned_alloc(64, m->arena_bytes + 64);
  assert_non_null(io.arena);
  memset(io.arena, 0xff, m->arena_bytes);
  return io;
}

static void io_free(Io *io) {
  for (size_t i = 0; i < io->n; i++) free(io->at[i]);
  free(io->arena);
}

/* Fill the inputs, run both, compare every output. */
static void net_check(Net *n, double lo, double hi, double tol) {
  Io io = io_new(n);
  Tensor in[8];
  size_t nin = n->f->inputs.n;
  for (size_t i = 0; i < nin; i++) {
    Type t = n->f->inputs.at[i]->type;
    int64_t count = type_elems(&t);
    in[i] = (Tensor){ t, arena_array(n->a, double, (size_t)count + 1) };
    for (int64_t k = 0; k < count; k++) {
      float v = (float)draw(lo, hi);
      ((float *)io.at[i])[k] = v;
      in[i].v[k] = (double)v;
    }
  }
  EvalOpts o = { 0 };
  Tensor *want = func_eval(n->a, n->m, n->f, in, &o, true, n->d);
  assert_non_null(want);
  assert_int_equal(n->model->run(io.at, io.arena), TAMIS_OK);
  for (size_t i = 0; i < n->f->outputs.n; i++) {
    const Node *x = n->f->outputs.at[i].node;
    const float *have = io.at[nin + i];
    for (int64_t k = 0; k < type_elems(&x->type); k++) {
      double r = want[x->id].v[k], y = (double)have[k];
      if (fabs(y - r) <= tol * fmax(1, fabs(r)) || (isnan(y) && isnan(r)))
        continue;
      fail_msg("%s (%s): output %zu[%lld] is %.9g, should be %.9g",
               op_info(x->op)->name, n->t.cpu, i, (long long)k, y, r);
    }
  }
  io_free(&io);
}

static void net_finish(Net *n, Node *out, double lo, double hi, double tol) {
  func_output(n->m, n->f, "y", out);
  net_infer(n);
  net_load(n);
  net_check(n, lo, hi, tol);
  net_free(n);
}

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

static const Op unary_ops[] = {
  OP_NEG, OP_ABS, OP_SQUARE, OP_SQRT, OP_EXP, OP_LOG, OP_TANH, OP_ERF,
  OP_SIGMOID, OP_RELU, OP_RELU6, OP_LEAKY_RELU, OP_ELU, OP_HARDSIGMOID,
  OP_HARDSWISH, OP_SILU, OP_GELU, OP_CLIP
};
enum { UNARY_COUNT = sizeof unary_ops / sizeof *unary_ops };

static void attrs_give(Node *x) {
  if (x->op == OP_CLIP) {
    attr_set_float(x, "lo", -1.5);
    attr_set_float(x, "hi", 2);
  }
}

static void test_unary(void **state) {
  (void)state;
  Net *n = net_new();
  Node *x = input(n, "x", shape(2, 3, 37, 0, 0));
  for (int i = 0; i < 12; i++) {
    Node *y = node(n, unary_ops[i], 1, x, NULL, NULL);
    attrs_give(y);
    func_output(n->m, n->f, arena_printf(n->a, "y%d", i), y);
  }
  net_infer(n);
  net_load(n);
  net_check(n, -4, 4, 1e-6);
  net_free(n);
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
                           OP_RESHAPE };
  Node *y = op[v] == OP_CONCAT ? node(n, OP_CONCAT, 3, x, x, x)
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
  }
  return y;
}

static void test_moves(void **state) {
  (void)state;
  for (int v = 0; v < 9; v++)
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

/* ---- tests: the call ------------------------------------------------- */

static void test_call_errors(void **state) {
  (void)state;
  Net *n = net_new();
  Node *x = input(n, "x", shape(1, 64, 0, 0, 0));
  Node *h = node(n, OP_EXP, 1, x, NULL, NULL);
  func_output(n->m, n->f, "y", node(n, OP_LOG, 1, h, NULL, NULL));
  net_infer(n);
  net_load(n);
  Io io = io_new(n);
  const tamis_model *m = n->model;
  int (*run)(const float *, float *, void *);
  *(void **)&run = dlsym(n->so, "t_run");
  assert_non_null(*(void **)&run);
  assert_int_equal(m->check_cpu(), TAMIS_OK);
  assert_int_equal(m->run(io.at, io.arena), TAMIS_OK);
  assert_int_equal(run(io.at[0], io.at[1], io.arena), TAMIS_OK);
  assert_int_equal(run(NULL, io.at[1], io.arena), TAMIS_ERR_NULL);
  assert_int_equal(run(io.at[0], NULL, io.arena), TAMIS_ERR_NULL);
  assert_int_equal(run(io.at[0], io.at[1], NULL), TAMIS_ERR_NULL);
  assert_int_equal(run(io.at[0], io.at[1], (char *)io.arena + 4),
                   TAMIS_ERR_ALIGN);
  assert_int_equal(m->run(NULL, io.arena), TAMIS_ERR_NULL);
  assert_int_equal(m->size, sizeof *m);
  assert_int_equal(m->abi, TAMIS_ABI_VERSION);
  assert_int_equal(m->arena_bytes, 256);
  assert_int_equal(m->n_steps, 2);
  assert_string_equal(m->inputs[0].name, "x");
  assert_int_equal(m->inputs[0].bytes, 256);
  assert_int_equal(m->steps[0].out_io, -1);
  assert_int_equal(m->steps[1].out_io, 1);
  m->steps[0].run(io.at, io.arena, m->weights);
  io_free(&io);
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
  { OP_SILU, -85, 85, 4 },     { OP_ELU, -95, 5, 3 }
};

static double expect(Op op, double x) {
  switch (op) {
    case OP_EXP: return exp(x);
    case OP_LOG: return log(x);
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
  Io io = io_new(n);
  float *from = io.at[0], *to = io.at[1];
  for (int64_t i = 0; i < COUNT; i++) from[i] = sample(c, i, COUNT);
  from[0] = INFINITY, from[1] = -INFINITY, from[2] = NAN, from[3] = -0.0f;
  assert_int_equal(n->model->run(io.at, io.arena), TAMIS_OK);
  double most = 0;
  int64_t worst = 0;
  for (int64_t i = 0; i < COUNT; i++) {
    double r = expect(c->op, (double)from[i]), u = ulps(to[i], r);
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

static void test_accuracy(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof accuracy / sizeof *accuracy; i++)
    accuracy_check(&accuracy[i]);
}

/* ---- tests: targets -------------------------------------------------- */

static void test_targets(void **state) {
  (void)state;
  Arena *a = arena_new();
  Diags *d = diags_new();
  Target t, again;
  assert_true(target_resolve(a, d, "x86_64-pc-linux-gnu", "znver4", NULL, &t));
  assert_int_equal(t.lanes, 16);
  assert_string_equal(t.triple, "x86_64-linux-gnu");
  assert_true(target_resolve(a, d, "x86_64-linux-gnu", "znver4", "-avx512vl",
                             &t));
  assert_int_equal(t.lanes, 8);
  assert_true(target_resolve(a, d, t.triple, t.cpu, t.features, &again));
  assert_string_equal(again.features, t.features);
  assert_true(target_resolve(a, d, "x86_64-linux-gnu", "x86-64", "+avx512vl",
                             &t));
  assert_int_equal(t.lanes, 8);
  assert_false(target_resolve(a, d, "x86_64-linux-gnu", "znver44", NULL, &t));
  assert_int_equal(diags_exit_code(d), EXIT_UNSUPPORTED);
  assert_false(target_resolve(a, d, "vax-dec-ultrix", NULL, NULL, &t));
  assert_false(target_resolve(a, d, "x86_64-linux-gnu", NULL, "+mmx9", &t));
  assert_int_equal(diags_errors(d), 3);
  diags_free(d);
  arena_free(a);
}

#define EACH_CPU                                             \
  cmocka_unit_test(test_unary), cmocka_unit_test(test_unary_layouts), \
  cmocka_unit_test(test_binary), cmocka_unit_test(test_broadcast_grows), \
  cmocka_unit_test(test_channel), cmocka_unit_test(test_mask), \
  cmocka_unit_test(test_moves), cmocka_unit_test(test_reduce), \
  cmocka_unit_test(test_reduce_long), cmocka_unit_test(test_softmax), \
  cmocka_unit_test(test_pool), cmocka_unit_test(test_conv), \
  cmocka_unit_test(test_conv_residual), cmocka_unit_test(test_outputs), \
  cmocka_unit_test(test_call_errors), cmocka_unit_test(test_accuracy)

int main(void) {
  const struct CMUnitTest each[] = { EACH_CPU };
  const struct CMUnitTest once[] = { cmocka_unit_test(test_targets) };
  if (!mkdtemp(dir)) return 1;
  int bad = cmocka_run_group_tests_name("targets", once, NULL, NULL);
  for (cpu = 0; cpu < 3; cpu++)
    bad += cmocka_run_group_tests_name(cpu_names[cpu], each, NULL, NULL);
  unlink(strcat(strcpy((char[64]){ 0 }, dir), "/t.h"));
  rmdir(dir);
  return bad != 0;
}
