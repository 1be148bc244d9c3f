/* test_load.c - from text to module: what nodes know of their origin, where
 * params get their values, what is reported of files and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "frontend/frontend.h"
#include "tests/unit/capture.h"

static const char net[] =
  "block cbr(x, c: int) -> y { y = x |> conv(c) |> relu; }\n"
  "model m(x: f32[N,2,4,4]) -> y: f32[N,3,4,4] where N <= 4 {\n"
  "  repeat s for i in 0..2 { x = x |> cbr(2); }\n"
  "  y = x |> conv(3, bias=true) as top;\n"
  "}\n"
  "recipe r for m { prune **:conv with sparsity=0.5, pattern=4x1; }\n";

static const DimArg two = {"N", 2, 0};

static Module *load(Diags *d, const char *text, const LoadOpts *o) {
  return tam_load_text(d, "net.tam", text, strlen(text), o);
}

static Module *load_net(Diags *d, LoadOpts o) {
  o.ndims = 1;
  o.dims = &two;
  Module *m = load(d, net, &o);
  if (!m) {
    char *s = diags_text(d, false);
    fail_msg("%s", s);
  }
  return m;
}

static const Node *node_of(const Module *m, const char *path) {
  const Func *f = m->funcs.at[0];
  for (size_t i = 0; i < f->nodes.n; i++)
    if (f->nodes.at[i]->path && !strcmp(f->nodes.at[i]->path, path))
      return f->nodes.at[i];
  return NULL;
}

static void nodes_know_their_origin(void **state) {
  (void)state;
  Diags *d = diags_new();
  Module *m = load_net(d, (LoadOpts){.no_weights = true});
  const Node *conv = node_of(m, "s[1].cbr.conv");
  assert_non_null(conv);
  assert_int_equal(conv->op, OP_CONV2D);
  assert_int_equal(conv->nfrom, 1);
  assert_string_equal(conv->from[0].file, "net.tam");
  assert_int_equal(conv->from[0].line, 1);
  assert_int_equal(conv->from[0].col, 38);
  assert_int_equal(conv->type.dim[0], 2);
  const Node *relu = node_of(m, "s[1].cbr.relu");
  assert_non_null(relu);
  assert_ptr_equal(relu->in[0], conv);
  const Node *top = node_of(m, "top");
  assert_non_null(top);
  assert_ptr_equal(m->funcs.at[0]->outputs.at[0].node, top);
  assert_string_equal(node_operand(top, "b")->param->path, "top.bias");
  assert_int_equal(m->dump.opt, -1);
  assert_null(m->dump.after);
  module_free(m);
  diags_free(d);
}

static bool give_ones(void *ctx, Param *p) {
  int *count = ctx;
  Buffer *b = buffer_new((size_t)type_bytes(&p->type));
  float *v = (float *)b->data;
  for (int64_t i = 0; i < type_elems(&p->type); i++)
    v[i] = 1.0f;
  param_set_data(p, b);
  ++*count;
  return true;
}

static void params_get_values(void **state) {
  (void)state;
  Diags *d = diags_new();
  int count = 0;
  Module *m = load_net(d, (LoadOpts){.provide = give_ones,
                                     .provide_ctx = &count});
  assert_int_equal(count, 4);
  assert_int_equal(m->params.n, 4);
  assert_float_equal(param_values(m, m->params.at[3])[0], 1.0, 0.0);
  module_free(m);
  m = load_net(d, (LoadOpts){.random_weights = true, .seed = 7});
  Buffer *again = param_random(m->params.at[0], 7);
  assert_int_equal(m->params.at[0]->data->size, again->size);
  assert_memory_equal(m->params.at[0]->data->data, again->data, again->size);
  buffer_unref(again);
  module_free(m);
  m = load_net(d, (LoadOpts){.no_weights = true});
  assert_null(m->params.at[0]->data);
  module_free(m);
  diags_free(d);
}

static void recipes_are_resolved(void **state) {
  (void)state;
  Diags *d = diags_new();
  Module *m = load_net(d, (LoadOpts){.no_weights = true, .recipe = "r"});
  assert_int_equal(m->recipe.n, 1);
  const RecipeStep *s = &m->recipe.at[0];
  assert_string_equal(s->verb, "prune");
  assert_int_equal(s->params.n, 3);
  assert_string_equal(s->params.at[2]->path, "top.weight");
  assert_int_equal(s->args.n, 2);
  assert_int_equal(s->args.at[0].value.kind, ATTR_FLOAT);
  assert_string_equal(s->args.at[1].value.s, "4x1");
  module_free(m);
  diags_free(d);
}

/* A text may be thrown away before its errors are printed. */
static void errors_outlive_the_text(void **state) {
  (void)state;
  Diags *d = diags_new();
  char text[] = "model m(x: f32[1]) -> y: f32[1] { y = rleu(x); }";
  LoadOpts o = {0};
  assert_null(tam_load_text(d, "a.tam", text, strlen(text), &o));
  memset(text, ' ', sizeof text);
  char *s = diags_text(d, false);
  assert_non_null(strstr(s, "a.tam:1:39: error: no block or op is called "
                         "'rleu', did you mean 'relu'?"));
  assert_non_null(strstr(s, "{ y = rleu(x); }"));
  free(s);
  assert_int_equal(diags_exit_code(d), EXIT_MODEL);
  diags_free(d);
}

static void nul_is_refused(void **state) {
  (void)state;
  Diags *d = diags_new();
  static const char text[] = "model m\0(x: f32[1]) -> y { y = x; }";
  LoadOpts o = {0};
  assert_null(tam_load_text(d, "a.tam", text, sizeof text - 1, &o));
  char *s = diags_text(d, false);
  assert_non_null(strstr(s, "byte 7 is NUL"));
  free(s);
  diags_free(d);
}

typedef struct Seen { char names[4][256]; int n; } Seen;
static void see_file(void *ctx, const char *path) {
  Seen *s = ctx;
  assert_true(s->n < 4);
  snprintf(s->names[s->n++], sizeof s->names[0], "%s", path);
}

static void files_are_reported(void **state) {
  (void)state;
  Diags *d = diags_new();
  Seen seen = {.n = 0};
  LoadOpts o = {.on_file = see_file, .on_file_ctx = &seen};
  Module *m = tam_load(d, TEST_SRCDIR "/golden/parse/file.tam", &o);
  assert_non_null(m);
  assert_int_equal(seen.n, 2);
  assert_non_null(strstr(seen.names[0], "/golden/parse/file.tam"));
  assert_non_null(strstr(seen.names[1], "/data/weights.safetensors"));
  assert_int_equal(m->params.at[0]->type.elem, F32);   /* f16 in the file */
  module_free(m);
  diags_free(d);
}

/* A file of another float type than the one declared. */
static void floats_are_converted(void **state) {
  (void)state;
  Diags *d = diags_new();
  char path[] = "/tmp/tamis-load-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  float v[] = {0.5f, 1.0f + 0x1p-11f, -3.0f + 0x1p-20f};
  int64_t dim = 3;
  Buffer *b = buffer_new(sizeof v);
  memcpy(b->data, v, sizeof v);
  WeightTensor t = {"w", type_make(F32, 1, &dim), b};
  assert_true(safetensors_write(d, path, &t, 1));
  static const char text[] = "model m(x: f16[3]) -> y: f16[3] {\n"
    "  param w: f16[3];\n  y = where(cast(x, b1), w, x);\n}\n";
  Module *m = load(d, text, &(LoadOpts){.weights = path});
  assert_non_null(m);
  const Param *p = m->params.at[0];
  assert_int_equal(p->type.elem, F16);
  const uint16_t want[] = {0x3800, 0x3c00, 0xc200};
  assert_memory_equal(param_data(p), want, sizeof want);
  module_free(m);
  buffer_unref(b);
  unlink(path);
  diags_free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(nodes_know_their_origin),
    cmocka_unit_test(params_get_values),
    cmocka_unit_test(recipes_are_resolved),
    cmocka_unit_test(errors_outlive_the_text),
    cmocka_unit_test(nul_is_refused),
    cmocka_unit_test(files_are_reported),
    cmocka_unit_test(floats_are_converted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
