/* test_ir.c - the op table, graphs, inference and its messages, printing,
 * the verifier, sparse packing, costs and random params. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/ir.h"
#include "tests/unit/capture.h"

/* ---- building ------------------------------------------------------- */

#define DIMS(...) ((const int64_t[]){__VA_ARGS__}), \
  (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

typedef struct Fix {
  Module *m;
  Func *f;
  Diags *d;
} Fix;

static int fix_up(void **state) {
  static Fix x;
  x.m = module_new("m");
  x.f = func_new(x.m, "m");
  x.d = diags_new();
  *state = &x;
  return 0;
}

static int fix_down(void **state) {
  Fix *x = *state;
  module_free(x->m);
  diags_free(x->d);
  return 0;
}

static Node *input(Fix *x, const char *name, const int64_t *dim, int rank) {
  return func_input(x->m, x->f, name, type_make(F32, rank, dim));
}

static Node *param(Fix *x, const char *path, const int64_t *dim, int rank,
                   const float *v) {
  Type t = type_make(F32, rank, dim);
  size_t n = (size_t)type_elems(&t) * sizeof(float);
  Buffer *b = buffer_new(n);
  if (v && n) memcpy(b->data, v, n);
  return func_param(x->m, x->f, module_add_param(x->m, path, t, b));
}

static Node *add(Fix *x, Op op, int nin, ...) {
  Node *in[MAX_OPERANDS];
  va_list ap;
  va_start(ap, nin);
  for (int i = 0; i < nin; i++) in[i] = va_arg(ap, Node *);
  va_end(ap);
  return func_add(x->m, x->f, op, in, nin);
}

static void infer_ok(Fix *x, Node *n, const int64_t *dim, int rank) {
  if (!node_infer(x->m, n, x->d)) {
    diags_print(x->d, stderr, false);
    fail();
  }
  Type want = type_make(F32, rank, dim);
  assert_true(type_same_shape(&n->type, &want));
}

/* Inference fails with exactly one error that has this text. */
static void infer_bad(Fix *x, Node *n, const char *text) {
  Diags *d = diags_new();
  assert_false(node_infer(x->m, n, d));
  assert_int_equal(diags_errors(d), 1);
  char *s = diags_text(d, false);
  if (!strstr(s, text)) fail_msg("expected '%s' in: %s", text, s);
  free(s);
  diags_free(d);
}

/* ---- the op table --------------------------------------------------- */

static void test_table(void **state) {
  (void)state;
  const OpInfo *c = op_info(OP_CONV2D);
  assert_string_equal(c->name, "conv2d");
  assert_int_equal(c->noperands, 4);
  assert_int_equal(c->nrequired, 2);
  assert_string_equal(c->operand[3], "r");
  assert_int_equal(c->nattrs, 8);
  assert_int_equal(c->def[1].n, 4);
  assert_int_equal(c->def[3].i, 1);
  assert_string_equal(c->def[4].s, "");
  assert_true(op_info(OP_CONCAT)->variadic);
  assert_false(op_info(OP_CLIP)->def[0].set);
  assert_true(op_info(OP_BATCH_NORM)->def[0].f == 0.00001);
  assert_int_equal(op_elems(op_info(OP_MASK), 0), 1u << F32);
  assert_int_equal(op_elems(op_info(OP_MASK), 1), 1u << F32 | 1u << B1);
  assert_int_equal(op_elems(op_info(OP_CONCAT), 7),
                   op_info(OP_CONCAT)->elems);
  assert_int_equal(op_info(OP_ADD)->flags, FLAG_BINARY | FLAG_COMM);
  Op op;
  assert_true(op_parse("max_pool", &op));
  assert_int_equal(op, OP_MAX_POOL);
  assert_false(op_parse("conv4d", &op));
  size_t n;
  assert_string_equal(op_names(&n)[OP_PAD], "pad");
  assert_int_equal(n, OP_COUNT);
  assert_non_null(kernel_info("conv2d_bsr"));
  assert_null(kernel_info("conv2d_magic"));
}

/* ---- inference ------------------------------------------------------ */

static void test_infer_conv(void **state) {
  Fix *x = *state;
  Node *in = input(x, "x", DIMS(1, 144, 10, 10));
  Node *w = param(x, "w", DIMS(64, 144, 3, 3), NULL);
  Node *n = add(x, OP_CONV2D, 2, in, w);
  infer_ok(x, n, DIMS(1, 64, 8, 8));
  assert_int_equal(n->nin, 4);
  attr_set_ints(x->m, n, "stride", DIMS(2, 3));
  attr_set_ints(x->m, n, "pad", DIMS(1, 0, 0, 2));
  attr_set_ints(x->m, n, "dilation", DIMS(2, 1));
  infer_ok(x, n, DIMS(1, 64, 4, 4));
  attr_set_int(n, "groups", 96);
  infer_bad(x, n, "conv2d: groups=96 does not divide input channels 144");
  attr_set_int(n, "groups", 9);
  infer_bad(x, n, "groups=9 does not divide output channels 64");
  attr_set_int(n, "groups", 0);
  infer_bad(x, n, "groups=0, expected at least 1");
  attr_set_int(n, "groups", 2);
  infer_bad(x, n, "conv2d: weight has 144 input channels, expected 72 (input "
            "channels 144 / groups 2)");
  attr_set_int(n, "groups", 1);
  attr_set_ints(x->m, n, "pad", DIMS(1, 1));
  infer_bad(x, n, "pad=[1,1] has 2 numbers, expected 4");
  attr_set_ints(x->m, n, "pad", DIMS(0, 0, 0, -1));
  infer_bad(x, n, "pad=[0,0,0,-1]: -1 is less than 0");
  attr_set_ints(x->m, n, "pad", DIMS(0, 0, 0, 0));
  attr_set_ints(x->m, n, "stride", DIMS(0, 1));
  infer_bad(x, n, "stride=[0,1]: 0 is less than 1");
  attr_set_ints(x->m, n, "stride", DIMS(1, 1));
  attr_set_ints(x->m, n, "dilation", DIMS(1, 5));
  infer_bad(x, n, "kernel reaches over 11 along w, the padded input has only "
            "10 (size 10)");
  attr_set_ints(x->m, n, "dilation", DIMS(1, 1 << 30));
  infer_bad(x, n, "kernel reaches over 2147483649 along w");
  attr_set_ints(x->m, n, "dilation", DIMS(1, 1));
  n->in[2] = param(x, "b", DIMS(63), NULL);
  infer_bad(x, n, "b has shape [63], expected [64]");
  n->in[2] = NULL;
  n->in[3] = in;
  infer_bad(x, n, "r has shape [1,144,10,10], expected [1,64,8,8]");
  n->in[3] = NULL;
  attr_set_str(x->m, n, "act", "rely");
  infer_bad(x, n, "act=\"rely\" is not an activation, did you mean \"relu\"?");
  attr_set_str(x->m, n, "act", "elu");
  infer_bad(x, n, "act=\"elu\" is not an activation");
  attr_set_str(x->m, n, "act", "gelu");
  infer_ok(x, n, DIMS(1, 64, 8, 8));
  infer_bad(x, add(x, OP_CONV2D, 1, in), "conv2d: operand w is missing");
  infer_bad(x, add(x, OP_CONV2D, 2, n, w), "weight has 144 input channels, "
            "expected 64 (input channels 64 / groups 1)");
}

static void test_infer_window(void **state) {
  Fix *x = *state;
  Node *in = input(x, "x", DIMS(1, 0, 7, 0));
  Node *w = param(x, "w", DIMS(2, 0, 1, 1), NULL);
  infer_ok(x, add(x, OP_CONV2D, 2, in, w), DIMS(1, 2, 7, 0));
  Node *p = add(x, OP_MAX_POOL, 1, input(x, "y", DIMS(2, 3, 7, 8)));
  infer_bad(x, p, "max_pool: attribute k is missing");
  attr_set_ints(x->m, p, "k", DIMS(3, 2));
  attr_set_ints(x->m, p, "stride", DIMS(2, 2));
  infer_ok(x, p, DIMS(2, 3, 3, 4));
  attr_set_ints(x->m, p, "pad", DIMS(0, 2, 0, 0));
  infer_bad(x, p, "windows of 2 lie in the padding along w");
  infer_bad(x, add(x, OP_MAX_POOL, 1, w), "attribute k is missing");
}

static void test_infer_transpose(void **state) {
  Fix *x = *state;
  Node *in = input(x, "x", DIMS(2, 4, 3, 5));
  Node *w = param(x, "w", DIMS(4, 3, 2, 2), NULL);
  Node *n = add(x, OP_CONV2D_TRANSPOSE, 2, in, w);
  infer_ok(x, n, DIMS(2, 3, 4, 6));
  attr_set_ints(x->m, n, "stride", DIMS(2, 3));
  attr_set_ints(x->m, n, "out_pad", DIMS(1, 0));
  attr_set_ints(x->m, n, "pad", DIMS(0, 1, 1, 2));
  infer_ok(x, n, DIMS(2, 3, 6, 11));
  attr_set_ints(x->m, n, "pad", DIMS(4, 0, 5, 0));
  infer_bad(x, n, "the padding cuts 9 off along h, there are only 7");
  attr_set_ints(x->m, n, "stride", DIMS(17, 1));
  infer_ok(x, n, DIMS(2, 3, 28, 6));
  n = add(x, OP_CONV2D_TRANSPOSE, 2, in, param(x, "v", DIMS(5, 3, 2, 2),
                                               NULL));
  infer_bad(x, n, "weight has 5 input channels, expected 4");
  n = add(x, OP_CONV2D_TRANSPOSE, 2, in, w);
  attr_set_int(n, "groups", 3);
  infer_bad(x, n, "groups=3 does not divide input channels 4");
}

static void test_infer_convn(void **state) {
  Fix *x = *state;
  Node *in = input(x, "x", DIMS(2, 4, 9)), *v = input(x, "v",
                                                     DIMS(1, 2, 5, 6, 7));
  Node *w = param(x, "w", DIMS(6, 2, 3), NULL);
  Node *n = add(x, OP_CONV1D, 2, in, w);
  infer_bad(x, n, "conv1d: weight has 2 input channels, expected 4 (input "
            "channels 4 / groups 1)");
  attr_set_int(n, "groups", 2);
  infer_ok(x, n, DIMS(2, 6, 7));
  attr_set_ints(x->m, n, "dilation", DIMS(5));
  infer_bad(x, n, "kernel reaches over 11 along l, the padded input has only "
            "9 (size 9)");
  attr_set_ints(x->m, n, "pad", DIMS(1, 1, 1, 1));
  infer_bad(x, n, "pad=[1,1,1,1] has 4 numbers, expected 2");
  infer_bad(x, add(x, OP_CONV1D, 2, v, w), "x has rank 5 (shape "
            "[1,2,5,6,7]), expected rank 3");
  Node *k = param(x, "k", DIMS(3, 2, 7, 2, 2), NULL);
  n = add(x, OP_CONV3D, 2, v, k);
  infer_bad(x, n, "conv3d: kernel reaches over 7 along d, the padded input "
            "has only 5 (size 5)");
  attr_set_ints(x->m, n, "pad", DIMS(2, 0, 1, 1, 0, 0));
  infer_ok(x, n, DIMS(1, 3, 2, 5, 7));
  Node *t = add(x, OP_CONV3D_TRANSPOSE, 2, n, k);
  infer_ok(x, t, DIMS(1, 2, 8, 6, 8));
  attr_set_ints(x->m, t, "out_pad", DIMS(1, 0));
  infer_bad(x, t, "out_pad=[1,0] has 2 numbers, expected 3");
}

static void test_infer_grads(void **state) {
  Fix *x = *state;
  Node *in = input(x, "x", DIMS(2, 4, 9, 8)), *dy = input(x, "dy",
                                                         DIMS(2, 6, 4, 8));
  Node *n = add(x, OP_CONV2D_WEIGHT_GRAD, 2, in, dy);
  infer_bad(x, n, "conv2d_weight_grad: attribute k is missing");
  attr_set_ints(x->m, n, "k", DIMS(3, 1));
  infer_bad(x, n, "dy has shape [2,6,4,8], expected [2,6,7,8]");
  attr_set_ints(x->m, n, "stride", DIMS(2, 1));
  infer_ok(x, n, DIMS(6, 4, 3, 1));
  attr_set_int(n, "groups", 4);
  infer_bad(x, n, "groups=4 does not divide output channels 6");
  attr_set_ints(x->m, n, "k", DIMS(0, 1));
  infer_bad(x, n, "k=[0,1]: 0 is less than 1");
}

static void test_infer_matmul(void **state) {
  Fix *x = *state;
  Node *a = input(x, "a", DIMS(2, 1, 3, 5));
  Node *b = input(x, "b", DIMS(4, 5, 7)), *v = input(x, "v", DIMS(5));
  infer_ok(x, add(x, OP_MATMUL, 2, a, b), DIMS(2, 4, 3, 7));
  infer_ok(x, add(x, OP_MATMUL, 2, a, input(x, "e", DIMS(0, 5, 0))),
           DIMS(2, 0, 3, 0));
  infer_bad(x, add(x, OP_MATMUL, 2, a, v), "matmul: b has rank 1 (shape [5]),"
            " expected rank 2 or more");
  infer_bad(x, add(x, OP_MATMUL, 2, v, a), "a has rank 1 (shape [5])");
  Node *n = add(x, OP_MATMUL, 2, b, a);
  infer_bad(x, n, "a has 7 columns, b has 3 rows, expected equal (shapes "
            "[4,5,7] and [2,1,3,5])");
  attr_set_bool(n, "transpose_a", true);
  attr_set_bool(n, "transpose_b", true);
  infer_ok(x, n, DIMS(2, 4, 7, 3));
  n = add(x, OP_MATMUL, 2, b, input(x, "c", DIMS(3, 5, 7)));
  attr_set_bool(n, "transpose_b", true);
  infer_bad(x, n, "matmul: batch axis -3 has 4 and 3, expected equal or 1 "
            "(shapes [4,5,7] and [3,5,7] transposed)");
}

static void test_infer_resize(void **state) {
  Fix *x = *state;
  Node *r = add(x, OP_RESIZE, 1, input(x, "y", DIMS(2, 3, 7, 8)));
  infer_bad(x, r, "resize: attribute size is missing");
  attr_set_ints(x->m, r, "size", DIMS(3, 20));
  infer_ok(x, r, DIMS(2, 3, 3, 20));
  attr_set_str(x->m, r, "mode", "cubic");
  infer_bad(x, r, "mode=\"cubic\", expected \"nearest\" or \"bilinear\"");
  attr_set_str(x->m, r, "mode", "bilinear");
  attr_set_str(x->m, r, "coord", "corners");
  infer_bad(x, r, "coord=\"corners\", expected \"half_pixel\", "
            "\"align_corners\" or \"asymmetric\"");
  r = add(x, OP_RESIZE, 1, input(x, "z", DIMS(2, 3, 0, 8)));
  attr_set_ints(x->m, r, "size", DIMS(1, 8));
  infer_bad(x, r, "size 0 along h, expected 1 to 2^30");
  attr_set_ints(x->m, r, "size", DIMS(0, 8));
  infer_ok(x, r, DIMS(2, 3, 0, 8));
}

static void test_infer_rows(void **state) {
  Fix *x = *state;
  Node *a = input(x, "a", DIMS(2, 3, 5));
  Node *w = param(x, "w", DIMS(7, 5), NULL);
  infer_ok(x, add(x, OP_LINEAR, 2, a, w), DIMS(2, 3, 7));
  infer_bad(x, add(x, OP_LINEAR, 2, a, a), "w has rank 3 (shape [2,3,5]), "
            "expected rank 2");
  Node *v = param(x, "v", DIMS(7, 6), NULL);
  infer_bad(x, add(x, OP_LINEAR, 2, a, v), "weight has 6 input features, "
            "expected 5 (x has shape [2,3,5])");
  Node *s = add(x, OP_SOFTMAX, 1, a);
  infer_ok(x, s, DIMS(2, 3, 5));
  attr_set_int(s, "axis", 3);
  infer_bad(x, s, "softmax: axis 3 is out of range, expected -3..2");
  attr_set_int(s, "axis", -4);
  infer_bad(x, s, "axis -4 is out of range");
  Node *r = add(x, OP_MEAN, 1, a);
  attr_set_ints(x->m, r, "axes", DIMS(-1, 0));
  infer_ok(x, r, DIMS(3));
  attr_set_bool(r, "keep", true);
  infer_ok(x, r, DIMS(1, 3, 1));
  attr_set_ints(x->m, r, "axes", DIMS(2, -1));
  infer_bad(x, r, "axis -1 is named twice");
  attr_set_ints(x->m, r, "axes", NULL, 0);
  infer_ok(x, r, DIMS(1, 1, 1));
  Node *b = add(x, OP_ADD, 2, a, input(x, "b", DIMS(4, 1, 3, 1)));
  infer_ok(x, b, DIMS(4, 2, 3, 5));
  infer_bad(x, add(x, OP_ADD, 2, a, w), "add: shapes [2,3,5] and [7,5] do "
            "not broadcast: axis -2 has 3 and 7, expected equal or 1");
  Node *half = input(x, "h", DIMS(1));
  half->type.elem = F16;
  infer_bad(x, add(x, OP_ADD, 2, a, half), "b has element type f16, expected "
            "f32");
  Node *bn = add(x, OP_BATCH_NORM, 5, a, w, w, w, w);
  infer_bad(x, bn, "gamma has shape [7,5], expected [3]");
  Node *ss = add(x, OP_SCALE_SHIFT, 3, a, half, half);
  infer_bad(x, ss, "scale has element type f16");
}

static void test_infer_moves(void **state) {
  Fix *x = *state;
  Node *a = input(x, "a", DIMS(2, 3, 4));
  Node *n = add(x, OP_RESHAPE, 1, a);
  attr_set_ints(x->m, n, "shape", DIMS(-1, 6));
  infer_ok(x, n, DIMS(4, 6));
  attr_set_ints(x->m, n, "shape", DIMS(-1, 5));
  infer_bad(x, n, "shape=[-1,5]: no size for -1 gives the 24 elements of x");
  attr_set_ints(x->m, n, "shape", DIMS(5, 5));
  infer_bad(x, n, "shape=[5,5] has 25 elements, x [2,3,4] has 24");
  attr_set_ints(x->m, n, "shape", DIMS(-1, -1));
  infer_bad(x, n, "at most one -1");
  n = add(x, OP_PERMUTE, 1, a);
  attr_set_ints(x->m, n, "order", DIMS(2, 0, 1));
  infer_ok(x, n, DIMS(4, 2, 3));
  attr_set_ints(x->m, n, "order", DIMS(2, 0, 2));
  infer_bad(x, n, "order=[2,0,2] names axis 2 twice");
  n = add(x, OP_EXPAND, 1, a);
  attr_set_ints(x->m, n, "shape", DIMS(5, 2, 3, 8));
  infer_bad(x, n, "axis -1 has 4, expected 8 or 1");
  n = add(x, OP_CONCAT, 2, a, a);
  attr_set_int(n, "axis", -1);
  infer_ok(x, n, DIMS(2, 3, 8));
  Node *other = input(x, "o", DIMS(2, 2, 4));
  n = add(x, OP_CONCAT, 2, a, other);
  attr_set_int(n, "axis", 0);
  infer_bad(x, n, "concat: operand 2 has shape [2,2,4], the first [2,3,4]: "
            "axis 1 has 2, expected 3");
  infer_bad(x, add(x, OP_CONCAT, 0), "operand 1 is missing");
  n = add(x, OP_SLICE, 1, a);
  attr_set_int(n, "axis", 2);
  attr_set_int(n, "start", -3);
  attr_set_int(n, "stop", 4);
  attr_set_int(n, "step", 2);
  infer_ok(x, n, DIMS(2, 3, 2));
  attr_set_int(n, "stop", 5);
  infer_bad(x, n, "start=-3, stop=5 is no range of axis 2, which has size 4");
  n = add(x, OP_SELECT, 1, a);
  attr_set_int(n, "axis", 1);
  attr_set_int(n, "index", -3);
  infer_ok(x, n, DIMS(2, 4));
  attr_set_int(n, "index", 3);
  infer_bad(x, n, "index=3 is out of range of axis 1, which has size 3");
  n = add(x, OP_PAD, 1, a);
  attr_set_ints(x->m, n, "before", DIMS(1, 0, 0));
  attr_set_ints(x->m, n, "after", DIMS(0, 0, 2));
  infer_ok(x, n, DIMS(3, 3, 6));
  attr_set_ints(x->m, n, "before", DIMS(1 << 30, 1 << 30, 0));
  infer_bad(x, n, "more than 2^40 elements");
}

/* ---- printing ------------------------------------------------------- */

static void prints(Fix *x, const char *weights, const char *want) {
  Text t = {0}, why = {0};
  for (size_t i = 0; i < x->m->funcs.n; i++)
    func_tidy(x->m, x->m->funcs.at[i]);
  if (!module_verify(x->m, &why)) fail_msg("%s", why.s);
  module_print(&t, x->m, weights);
  assert_string_equal(t.s, want);
  text_free(&t);
}

static void test_print(void **state) {
  Fix *x = *state;
  Node *in = input(x, "x", DIMS(1, 2, 4, 4));
  Node *b = param(x, "c.bias", DIMS(4), NULL);
  Node *w = param(x, "c.weight", DIMS(4, 2, 1, 1), NULL);
  Node *dead = add(x, OP_RELU, 1, in);
  infer_ok(x, dead, DIMS(1, 2, 4, 4));
  Node *c = add(x, OP_CONV2D, 3, in, w, b);
  c->name = "c";
  c->path = "stage[0].c";
  Place from[] = {{"m.tam", 4, 12, NULL}, {"m.onnx", 0, 0, "Conv \"1\""}};
  c->from = from;
  c->nfrom = 2;
  attr_set_str(x->m, c, "act", "clip");
  attr_set_float(c, "hi", 6);
  infer_ok(x, c, DIMS(1, 4, 4, 4));
  Node *a = add(x, OP_ADD, 2, c, func_const(x->m, x->f, 0.5));
  a->name = "relu";
  infer_ok(x, a, DIMS(1, 4, 4, 4));
  Node *k = add(x, OP_CONCAT, 3, c, a, c);
  attr_set_int(k, "axis", 1);
  infer_ok(x, k, DIMS(1, 12, 4, 4));
  k->kernel = "copy";
  k->tile[0] = 2;
  func_output(x->m, x->f, "y", k);
  func_output(x->m, x->f, "z", a);
  x->m->dump = (DumpInfo){.after = "select", .target = "aarch64-linux-gnu",
                          .opt = 2, .sparsity = "auto", .arena_bytes = 640};
  prints(x, "m.safetensors",
    "dump after=\"select\", target=\"aarch64-linux-gnu\", opt=2, "
    "sparsity=\"auto\", arena=640;\n"
    "model m(x: f32[1,2,4,4]) -> y: f32[1,12,4,4], z: f32[1,4,4,4] {\n"
    "  param c.weight: f32[4,2,1,1];\n"
    "  param c.bias: f32[4];\n"
    "  c_2: f32[1,4,4,4] = conv2d(x, c.weight, b=c.bias, act=\"clip\", "
    "hi=6.0) as stage[0].c from \"m.tam\" 4:12, \"m.onnx\" "
    "\"Conv \\\"1\\\"\";\n"
    "  z: f32[1,4,4,4] = add(c_2, 0.5);\n"
    "  y: f32[1,12,4,4] = concat(c_2, z, c_2, axis=1, kernel=\"copy\", "
    "tile=[2,0]);\n"
    "  weights \"m.safetensors\";\n"
    "}\n");
}

/* Outputs that are an input, a param, a literal, or one node twice, and
 * names that take one another's place. */
static void test_print_outputs(void **state) {
  Fix *x = *state;
  Node *a = input(x, "a", DIMS(2));
  Node *b = input(x, "b", DIMS(2));
  Node *p = param(x, "p", DIMS(2), NULL);
  Node *r = add(x, OP_RELU, 1, a);
  infer_ok(x, r, DIMS(2));
  r->name = "3 odd.name";
  func_output(x->m, x->f, "b", a);
  func_output(x->m, x->f, "a", b);
  func_output(x->m, x->f, "p", r);
  func_output(x->m, x->f, "q", p);
  func_output(x->m, x->f, "s", r);
  func_output(x->m, x->f, "t", r);
  func_output(x->m, x->f, "u", func_const(x->m, x->f, -0.0));
  prints(x, NULL,
    "model m(a: f32[2], b: f32[2]) -> b: f32[2], a: f32[2], p: f32[2], "
    "q: f32[2], s: f32[2], t: f32[2], u: f32[] {\n"
    "  param p: f32[2];\n"
    "  s: f32[2] = relu(a);\n"
    "  b_2: f32[2] = b;\n"
    "  p_2: f32[2] = p;\n"
    "  b: f32[2] = a;\n"
    "  a: f32[2] = b_2;\n"
    "  p: f32[2] = s;\n"
    "  q: f32[2] = p_2;\n"
    "  t: f32[2] = s;\n"
    "  u: f32[] = -0.0;\n"
    "}\n");
}

static void test_print_types(void **state) {
  Fix *x = *state;
  Type t = type_make(F32, 4, (const int64_t[]){1, 64, 28, 28});
  Text s = {0};
  const int32_t halo[4] = {1, 1, 1, 1};
  t.layout = layout_planes(x->m->arena, &t, 16, halo);
  t.at = 4096;
  type_print(&s, &t);
  assert_string_equal(s.s, "f32[1,64,28,28] <layout=\"n,c:880,h:29,w\", "
                      "origin=32, size=56416, halo=[1,1,1,1], at=4096>");
  text_free(&s);
  Sparse sp = {4, 1, 308, U8};
  Quant q = {0.5, -3, 1};
  t = type_make(I8, 2, (const int64_t[]){8, 77});
  t.sparse = &sp;
  t.quant = &q;
  type_print(&s, &t);
  assert_string_equal(s.s, "i8[8,77] <bsr 4x1, nnz=308, index=u8, scale=0.5, "
                      "zero=-3, axis=1>");
  text_free(&s);
  sp = (Sparse){1, 1, 0, I16};
  t.quant = NULL;
  type_print(&s, &t);
  assert_string_equal(s.s, "i8[8,77] <csr, nnz=0, index=i16>");
  text_free(&s);
}

/* ---- graphs --------------------------------------------------------- */

static void test_tidy(void **state) {
  Fix *x = *state;
  Node *a = input(x, "a", DIMS(2));
  Node *n = add(x, OP_NEG, 1, a);
  Node *late = add(x, OP_ADD, 2, a, func_const(x->m, x->f, 2.0));
  Node *m = add(x, OP_MUL, 2, late, func_const(x->m, x->f, 2.0));
  n->in[0] = m;   /* now needs what stands behind it */
  param(x, "gone", DIMS(3), NULL);
  Node *used = param(x, "used", DIMS(2), NULL);
  Node *e = add(x, OP_SUB, 2, n, used);
  func_output(x->m, x->f, "y", n);
  func_output(x->m, x->f, "z", e);
  func_tidy(x->m, x->f);
  Node *want[] = {a, used, late->in[1], late, m, n, e};
  assert_int_equal(x->f->nodes.n, 7);
  for (uint32_t i = 0; i < 7; i++) {
    assert_ptr_equal(x->f->nodes.at[i], want[i]);
    assert_int_equal(want[i]->id, i);
  }
  assert_ptr_equal(late->in[1], m->in[1]);
  assert_int_equal(x->m->params.n, 1);
  int *uses = func_uses(x->m->arena, x->f);
  assert_int_equal(uses[n->id], 2);
  assert_int_equal(uses[late->in[1]->id], 2);
  func_replace(x->f, n, a);
  assert_ptr_equal(x->f->outputs.at[0].node, a);
  assert_ptr_equal(e->in[0], a);
}

static void test_inherit(void **state) {
  Fix *x = *state;
  Node *a = add(x, OP_RELU, 1, input(x, "x", DIMS(1)));
  Node *b = add(x, OP_RELU, 1, a);
  Place pa[] = {{"f", 1, 2, NULL}}, pb[] = {{"f", 1, 2, NULL},
                                            {"f", 3, 4, NULL}};
  a->from = pa;
  a->nfrom = 1;
  b->from = pb;
  b->nfrom = 2;
  b->path = "b";
  node_inherit(x->m, a, b);
  assert_int_equal(a->nfrom, 2);
  assert_int_equal(a->from[1].line, 3);
  assert_string_equal(a->path, "b");
  assert_string_equal(module_fresh_path(x->m, "w"), "w");
  param(x, "w", DIMS(1), NULL);
  assert_string_equal(module_fresh_path(x->m, "w"), "w_2");
  param(x, "w[0]", DIMS(1), NULL);
  assert_string_equal(module_fresh_path(x->m, "w[0]"), "w[0].v2");
}

/* A path that func_tidy drops is free again, its suffixes too, and neither
 * the param nor its node is found any more. */
static void test_paths(void **state) {
  Fix *x = *state;
  Node *n = add(x, OP_RELU, 1, input(x, "a", DIMS(1)));
  func_output(x->m, x->f, "y", n);
  for (int i = 0; i < 100; i++)
    param(x, module_fresh_path(x->m, "w"), DIMS(1), NULL);
  assert_string_equal(module_fresh_path(x->m, "w"), "w_101");
  Param *p = module_param(x->m, "w_7");
  assert_ptr_equal(func_param(x->m, x->f, p), func_param_node(x->f, p));
  func_tidy(x->m, x->f);
  assert_null(module_param(x->m, "w_7"));
  assert_null(func_param_node(x->f, p));
  Node *w = param(x, module_fresh_path(x->m, "w"), DIMS(1), NULL);
  assert_string_equal(w->param->path, "w");
  assert_ptr_equal(module_param(x->m, "w"), w->param);
  assert_ptr_equal(func_param(x->m, x->f, w->param), w);
  assert_string_equal(module_fresh_path(x->m, "w"), "w_2");
}

static void faulty(Fix *x, const char *text) {
  Text why = {0};
  assert_false(module_verify(x->m, &why));
  if (!strstr(why.s, text)) fail_msg("expected '%s' in: %s", text, why.s);
  text_free(&why);
}

static void test_verify(void **state) {
  Fix *x = *state;
  Node *a = input(x, "a", DIMS(1, 2, 3, 4));
  faulty(x, "no output");
  Node *n = add(x, OP_RELU, 1, a);
  infer_ok(x, n, DIMS(1, 2, 3, 4));
  func_output(x->m, x->f, "y", n);
  func_tidy(x->m, x->f);
  Text why = {0};
  assert_true(module_verify(x->m, &why));
  n->type.dim[3] = 5;
  faulty(x, "type is f32[1,2,3,5], inference gives f32[1,2,3,4]");
  n->type.dim[3] = 4;
  n->kernel = "pool";
  faulty(x, "kernel pool does not compute this op");
  n->kernel = "poodle";
  faulty(x, "no kernel is named 'poodle'");
  n->kernel = "unary";
  Layout *l = layout_planes(x->m->arena, &n->type, 4,
                            (const int32_t[]){0, 0, 0, 0});
  n->type.layout = l;
  assert_true(module_verify(x->m, &why));
  l->size = l->term[1].stride;
  faulty(x, "layout reaches from 0 to");
  n->type.layout = NULL;
  n->type.at = 64;
  x->m->dump.arena_bytes = 100;
  faulty(x, "outside the arena of 100");
  x->m->dump.arena_bytes = 160;
  assert_true(module_verify(x->m, &why));
  n->path = "a..b";
  faulty(x, "'a..b' is no path");
  n->path = NULL;
  n->in[0] = n;
  faulty(x, "operand 0 stands behind its user");
  n->in[0] = NULL;
  faulty(x, "operand 0 is missing");
  n->in[0] = a;
  func_output(x->m, x->f, "y", a);
  faulty(x, "two outputs are named y");
}

/* Offsets of a = relu(x), b = relu(a), c = a + b, d = c + b, y = relu(d):
 * what may share bytes and what may not. */
static void test_verify_arena(void **state) {
  Fix *x = *state;
  Node *in = input(x, "x", DIMS(16));
  Node *a = add(x, OP_RELU, 1, in), *b = add(x, OP_RELU, 1, a);
  Node *c = add(x, OP_ADD, 2, a, b), *d = add(x, OP_ADD, 2, c, b);
  Node *y = add(x, OP_RELU, 1, d), *all[] = {a, b, c, d, y};
  for (size_t i = 0; i < 5; i++) infer_ok(x, all[i], DIMS(16));
  func_output(x->m, x->f, "y", y);
  func_tidy(x->m, x->f);
  x->m->dump.arena_bytes = 192;
  static const struct { int at[4]; const char *fault; } plans[] = {
    {{0, 64, 128, 0}, NULL},
    {{0, 64, 0, 128}, NULL},                 /* c over a, its last use */
    {{0, 64, 0, 64}, NULL},                  /* d over b as well */
    {{0, 0, 64, 128}, "node 2 at=0 lies over node 1 at=0, which node 3"},
    {{0, 64, 64, 128}, "node 3 at=64 lies over node 2 at=64, which node 4"},
    {{0, 64, 32, 128}, "node 3 at=32 lies over"},
    {{0, 64, 128, 160}, "outside the arena"},
  };
  for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
    for (int k = 0; k < 4; k++) all[k]->type.at = plans[i].at[k];
    Text why = {0};
    if (plans[i].fault)
      faulty(x, plans[i].fault);
    else if (!module_verify(x->m, &why))
      fail_msg("plan %zu: %s", i, why.s);
  }
}

/* ---- params --------------------------------------------------------- */

static void sparse_trip(Fix *x, int rows, int cols, int br, int bc,
                        double density) {
  char path[64];
  snprintf(path, sizeof path, "w%dx%d_%dx%d_%d", rows, cols, br, bc,
           (int)(density * 1e6));
  Node *n = param(x, path, DIMS(rows, cols), NULL);
  Param *p = n->param;
  size_t count = (size_t)rows * (size_t)cols, size = count * sizeof(float);
  float *v = (float *)(void *)p->data->data;
  for (size_t i = 0; i < count; i++)
    if (random_unit(path, 1, i) < density)
      v[i] = (float)random_unit(path, 2, i) - 0.5f;
  Buffer *keep = buffer_ref(p->data);
  int64_t nonzero = param_nonzeros(x->m, p);
  sparse_pack(x->m, p, br, bc);
  Text why = {0};
  assert_true(sparse_check(p, &why));
  assert_null(p->data);
  assert_ptr_equal(n->type.sparse, p->type.sparse);
  assert_int_equal(p->type.sparse->nnz * 4, p->values->size);
  assert_int_equal(param_bytes(p), p->values->size + p->index->size);
  assert_int_equal(param_nonzeros(x->m, p), nonzero);
  assert_memory_equal(param_values(x->m, p), keep->data, size);
  if (sparse_blocks(p) > 0) {   /* a broken index is found */
    uint8_t *index = p->index->data, *last = index + p->index->size - 1;
    uint8_t was = *last;
    *last = 0xff;
    if (p->type.sparse->index != U8 || cols / bc < 256)
      assert_false(sparse_check(p, &why));
    *last = was;
    index[0]++;
    assert_false(sparse_check(p, &why));
    index[0]--;
    assert_true(sparse_check(p, &why));
    text_free(&why);
    sparse_unpack(x->m, p);
    assert_null(p->type.sparse);
    assert_memory_equal(p->data->data, keep->data, size);
  }
  buffer_unref(keep);
}

static void test_sparse(void **state) {
  Fix *x = *state;
  const double density[] = {0, 0.1, 0.5, 1};
  for (size_t i = 0; i < 4; i++) {
    sparse_trip(x, 8, 12, 4, 1, density[i]);
    sparse_trip(x, 6, 300, 1, 1, density[i]);
    sparse_trip(x, 4, 256, 4, 1, density[i]);
    sparse_trip(x, 4, 70000, 2, 1, density[i] / 100);
    sparse_trip(x, 6, 8, 3, 4, density[i]);
  }
  const float v[] = {0, 1, 0, 0, 2, 0};
  Node *n = param(x, "v", DIMS(2, 3), v);
  sparse_pack(x->m, n->param, 2, 1);
  assert_int_equal(n->type.sparse->nnz, 2);
  const float values[] = {1, 2};
  const uint8_t index[] = {1, 0, 0, 0, 1};
  assert_memory_equal(n->param->values->data, values, sizeof values);
  assert_int_equal(n->param->index->size, sizeof index);
  assert_memory_equal(n->param->index->data, index, sizeof index);
  Type t = type_make(F32, 2, (const int64_t[]){6, 4});
  assert_false(sparse_fits(&t, 4, 1));
  assert_true(sparse_fits(&t, 3, 4));
}

static void test_values(void **state) {
  Fix *x = *state;
  const uint16_t half[] = {0x3c00, 0xc000, 0x0001, 0x03ff, 0x7c00, 0x8000};
  const float want[] = {1, -2, 0x1p-24f, 0x3ffp-24f, INFINITY, -0.0f};
  Buffer *b = buffer_new(sizeof half);
  memcpy(b->data, half, sizeof half);
  int64_t dim = 6;
  Param *p = module_add_param(x->m, "h", type_make(F16, 1, &dim), b);
  assert_memory_equal(param_values(x->m, p), want, sizeof want);
  p->trainable = true;
  assert_null(param_values(x->m, p));
  Buffer *bf = buffer_new(2);
  memcpy(bf->data, &(uint16_t){0xbf80}, 2);
  dim = 1;
  p = module_add_param(x->m, "bf", type_make(BF16, 1, &dim), bf);
  assert_true(param_values(x->m, p)[0] == -1.0f);
}

static void test_random(void **state) {
  Fix *x = *state;
  /* Worked out by another implementation of splitmix64 and FNV-1a. */
  assert_true(random_unit("a.weight", 1, 0) == 14704460 * 0x1p-24);
  assert_true(random_unit("a.weight", 1, 1) == 13825516 * 0x1p-24);
  assert_true(random_unit("b", 0, 7) == 9433776 * 0x1p-24);
  Node *n = param(x, "a.weight", DIMS(4, 6), NULL);
  n->param->init = (Init){INIT_HE, 0, 0};
  Buffer *b = param_random(n->param, 1);
  const float *v = (const float *)(const void *)b->data;
  assert_true(v[0] == (float)(-1.0 + 14704460 * 0x1p-24 * 2.0));
  for (int i = 0; i < 24; i++) assert_true(v[i] >= -1 && v[i] <= 1);
  buffer_unref(b);
  n->param->type.elem = F16;
  b = param_random(n->param, 1);
  Param half = *n->param;
  half.data = b;
  half.wide = NULL;
  const float *w = param_values(x->m, &half);
  double exact = -1.0 + 14704460 * 0x1p-24 * 2.0;
  assert_true(fabs(w[0] - exact) <= 0x1p-12);
  buffer_unref(half.wide);
  buffer_unref(b);
  n->param->type.elem = F32;
}

static void test_cost(void **state) {
  Fix *x = *state;
  Node *in = input(x, "x", DIMS(2, 2, 5, 5));
  const float v[] = {1, 0, 0, 2, 3, 0};
  Node *w = param(x, "w", DIMS(3, 2, 1, 1), v);
  Node *c = add(x, OP_CONV2D, 2, in, w);
  infer_ok(x, c, DIMS(2, 3, 5, 5));
  Cost cost = node_cost(x->m, c);
  assert_int_equal(cost.macs, 2 * 3 * 25 * 2);
  assert_int_equal(cost.nonzero_macs, 3 * 2 * 25);
  assert_int_equal(cost.bytes, 4 * (2 * 2 * 25 + 2 * 3 * 25 + 6));
  Node *r = add(x, OP_ADD, 2, c, c);
  infer_ok(x, r, DIMS(2, 3, 5, 5));
  cost = node_cost(x->m, r);
  assert_int_equal(cost.macs, 0);
  assert_int_equal(cost.bytes, 4 * 2 * (2 * 3 * 25));
}

#define FIXED(f) cmocka_unit_test_setup_teardown(f, fix_up, fix_down)

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_table),
    FIXED(test_infer_conv), FIXED(test_infer_window),
    FIXED(test_infer_resize), FIXED(test_infer_matmul), FIXED(test_infer_convn), FIXED(test_infer_grads),
    FIXED(test_infer_transpose),
    FIXED(test_infer_rows), FIXED(test_infer_moves),
    FIXED(test_print), FIXED(test_print_outputs), FIXED(test_print_types),
    FIXED(test_tidy), FIXED(test_inherit), FIXED(test_paths),
    FIXED(test_verify), FIXED(test_verify_arena),
    FIXED(test_sparse), FIXED(test_values), FIXED(test_random),
    FIXED(test_cost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
