/* test_graph.c - graphs, the printer and the verifier. */
#include "tests/unit/ir_fix.h"

#include <string.h>

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
  Sparse sp = {.br = 4, .bc = 1, .nnz = 308, .index = U8};
  Quant q = {0.5, -3, 1};
  t = type_make(I8, 2, (const int64_t[]){8, 77});
  t.sparse = &sp;
  t.quant = &q;
  type_print(&s, &t);
  assert_string_equal(s.s, "i8[8,77] <bsr 4x1, nnz=308, index=u8, scale=0.5, "
                      "zero=-3, axis=1>");
  text_free(&s);
  sp = (Sparse){.br = 1, .bc = 1, .index = I16};
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
  input(x, "bias", DIMS(1));
  assert_string_equal(module_fresh_path(x->m, "bias"), "bias_2");
  module_add_state(x->m, "literal", type_make(F32, 0, NULL));
  assert_string_equal(module_fresh_path(x->m, "literal"), "literal_2");
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
  Node *n = add(x, OP_RELU, 1, a), *y = add(x, OP_CONVERT, 1, n);
  infer_ok(x, n, DIMS(1, 2, 3, 4));
  infer_ok(x, y, DIMS(1, 2, 3, 4));
  func_output(x->m, x->f, "y", y);
  func_tidy(x->m, x->f);
  Text why = {0};
  assert_true(module_verify(x->m, &why));
  a->name = "w";
  param(x, "w", DIMS(1), NULL);
  faulty(x, "input w is named like a param or a state");
  a->name = "a";
  module_add_state(x->m, "w", type_make(F32, 0, NULL));
  faulty(x, "a param and a state have the path w");
  x->m->states.n = 0;
  func_tidy(x->m, x->f);
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
  l->size = (int64_t)1 << 62;
  faulty(x, "larger than any memory");
  l->term[1].stride = 1;
  faulty(x, "layout puts two elements in one place");
  n->type.layout = NULL;
  y->type.layout = a->type.layout = layout_planes(
    x->m->arena, &n->type, 4, (const int32_t[]){0, 0, 0, 0});
  faulty(x, "output y has a layout");
  y->type.layout = NULL;
  faulty(x, "a layout on what is not computed");
  a->type.layout = NULL;
  n->kernel = "alias";
  faulty(x, "alias, but it is no reshape");
  n->kernel = "unary";
  n->type.at = INT64_MAX - 7;
  faulty(x, "larger than any memory");
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

/* In place only where operands are read as results are written, and an alias
 * only where bytes lie as they should. */
static void test_verify_views(void **state) {
  Fix *x = *state;
  Node *in = input(x, "x", DIMS(4, 4)), *a = add(x, OP_RELU, 1, in);
  Node *p = add(x, OP_PERMUTE, 1, a), *r = add(x, OP_RESHAPE, 1, p);
  Node *c = add(x, OP_CONCAT, 2, r, r), *y = add(x, OP_RELU, 1, c);
  attr_set_ints(x->m, p, "order", (const int64_t[]){1, 0}, 2);
  attr_set_ints(x->m, r, "shape", (const int64_t[]){1, 16}, 2);
  attr_set_int(c, "axis", 0);
  infer_ok(x, a, DIMS(4, 4));
  infer_ok(x, p, DIMS(4, 4));
  infer_ok(x, r, DIMS(1, 16));
  infer_ok(x, c, DIMS(2, 16));
  infer_ok(x, y, DIMS(2, 16));
  func_output(x->m, x->f, "y", y);
  func_tidy(x->m, x->f);
  x->m->dump.arena_bytes = 256;
  r->kernel = "alias";
  a->type.at = 0, p->type.at = r->type.at = 64, c->type.at = 128;
  Text why = {0};
  if (!module_verify(x->m, &why)) fail_msg("%s", why.s);
  p->type.at = r->type.at = 0;
  faulty(x, "node 2 at=0 lies over node 1 at=0");
  p->type.at = 64;
  faulty(x, "alias, but");
  r->type.at = 64;
  c->kernel = "alias";
  faulty(x, "nor a concat that its operands lie in");
}

/* What a call gives are its items; its own bytes are nobody's. */
static void test_verify_calls(void **state) {
  Fix *x = *state;
  Func *f = func_new(x->m, "f");
  Type t = type_make(F32, 1, (const int64_t[]){16});
  Node *in = func_input(x->m, f, "x", t);
  Node *relu = func_add(x->m, f, OP_RELU, &in, 1);
  infer_ok(x, relu, DIMS(16));
  func_output(x->m, f, "y", relu);
  func_tidy(x->m, f);
  Node *call = add(x, OP_CALL, 1, input(x, "x", DIMS(16)));
  attr_set_str(x->m, call, "callee", "f");
  infer_ok(x, call, DIMS(64));
  Node *c = add(x, OP_CONVERT, 1, call);
  infer_ok(x, c, DIMS(64));
  func_output(x->m, x->f, "y", c);
  func_tidy(x->m, x->f);
  faulty(x, "operand 0 is a workspace, which items alone read");
  x->f->outputs.at[0].node = call;
  func_tidy(x->m, x->f);
  faulty(x, "output y is a workspace");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    FIXED(test_print), FIXED(test_print_outputs), FIXED(test_print_types),
    FIXED(test_tidy), FIXED(test_inherit), FIXED(test_paths),
    FIXED(test_verify), FIXED(test_verify_arena),
    FIXED(test_verify_views), FIXED(test_verify_calls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
