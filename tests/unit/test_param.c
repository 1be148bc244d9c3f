/* test_param.c - params: sparse packing, values, random draws; costs. */
#include "tests/unit/ir_fix.h"

#include <math.h>
#include <string.h>

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

static float rounded(Elem e, float v) {
  uint16_t word;
  float w;
  elems_narrow(e, &v, 1, &word);
  elems_widen(e, &word, 1, &w);
  assert_int_equal(elems_exact(e, &w, 1), 1);
  assert_int_equal(elems_exact(e, &v, 1), v == w || isnan(v));
  return w;
}

/* Nearest, ties to even, subnormals and both ends. */
static void test_narrow(void **state) {
  (void)state;
  static const struct { Elem e; float v, want; } known[] = {
    {F16, 0.1f, 0x1.998p-4f}, {F16, 1 + 0x1p-11f, 1},
    {F16, 1 + 0x3p-11f, 1 + 0x1p-9f}, {F16, 1 + 0x1.002p-11f, 1 + 0x1p-10f},
    {F16, 0x1p-14f, 0x1p-14f}, {F16, 0x1.ffap-15f, 0x1.ff8p-15f},
    {F16, 0x1.ffcp-15f, 0x1p-14f}, {F16, 0x1p-24f, 0x1p-24f},
    {F16, 0x1p-25f, 0}, {F16, -0x1.8p-24f, -0x1p-23f},
    {F16, 0x1.000002p-25f, 0x1p-24f}, {F16, -0x1p-30f, -0.0f},
    {F16, 65504, 65504}, {F16, 65519, 65504}, {F16, -65520, -INFINITY},
    {F16, 1e-45f, 0}, {F16, INFINITY, INFINITY},
    {BF16, 0.1f, 0x1.9ap-4f}, {BF16, 1 + 0x1p-8f, 1},
    {BF16, 1 + 0x3p-8f, 1 + 0x1p-6f}, {BF16, -0x1.010002p0f, -0x1.02p0f},
    {BF16, 0x1p-133f, 0x1p-133f}, {BF16, 0x1p-134f, 0},
    {BF16, 0x1.8p-133f, 0x1p-132f}, {BF16, 0x1.fep127f, 0x1.fep127f},
    {BF16, 0x1.fefffep127f, 0x1.fep127f}, {BF16, 0x1.ffp127f, INFINITY},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    float w = rounded(known[i].e, known[i].v);
    if (w != known[i].want || signbit(w) != signbit(known[i].want))
      fail_msg("%s of %a: expected %a, found %a", elem_name(known[i].e),
               (double)known[i].v, (double)known[i].want, (double)w);
  }
  assert_true(isnan(rounded(F16, NAN)) && isnan(rounded(BF16, NAN)));
}

static void test_stored(void **state) {
  Fix *x = *state;
  const float v[] = {1, 0, 0.5f, 0, 0, 0, 0, 257};
  Node *n = param(x, "s", DIMS(2, 4), v);
  Param *p = n->param;
  Text why = {0};
  assert_int_equal(param_bytes(p), 32);
  p->type.stored = F16;
  assert_int_equal(param_bytes(p), 16);
  assert_true(param_stored_check(p, &why));
  sparse_pack(x->m, p, 1, 1);
  assert_int_equal(n->type.stored, F16);
  assert_int_equal(param_bytes(p), 2 * 3 + 2 * 4 + 3);
  p->type.stored = BF16;
  assert_false(param_stored_check(p, &why));
  assert_string_equal(why.s, "value 2 is 257, which bf16 does not hold");
  text_free(&why);
  p->type.stored = I16;
  assert_false(param_stored_check(p, &why));
  assert_string_equal(why.s, "elements of f32 cannot be stored as i16");
  text_free(&why);
  p->type.stored = 0;
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

int main(void) {
  const struct CMUnitTest tests[] = {
    FIXED(test_sparse), FIXED(test_values), FIXED(test_narrow),
    FIXED(test_stored), FIXED(test_random), FIXED(test_cost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
