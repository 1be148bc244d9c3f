/* test_ir.c - the op table, inference and its messages. */
#include "tests/unit/ir_fix.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/capture.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_table),
    FIXED(test_infer_conv), FIXED(test_infer_window),
    FIXED(test_infer_resize), FIXED(test_infer_matmul),
    FIXED(test_infer_convn), FIXED(test_infer_grads),
    FIXED(test_infer_transpose),
    FIXED(test_infer_rows), FIXED(test_infer_moves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
