/* test_tflite.c - what tests/cli/tflite.sh does not reach: several calls of
 * models with variables against the oracle, and files that are damaged in
 * every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/frontend.h"
#include "tests/unit/capture.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char dir[] = TEST_SRCDIR "/tflite";

static void fail_with(Diags *d, const char *what) {
  char *s = diags_text(d, false);
  fail_msg("%s: %s", what, s);
}

/* ---- calls ---------------------------------------------------------- */

/* The one tensor of an npy file, whose first axis numbers the calls. */
static WeightFile *calls_read(Arena *a, Diags *d, const char *path) {
  WeightFile *w = weights_read(a, d, path);
  if (!w)
    fail_with(d, path);
  assert_int_equal(w->tensors.n, 1);
  return w;
}

static void call_compare(const char *path, const Tensor *y,
                         const WeightFile *file, int64_t call) {
  const WeightTensor *want = &file->tensors.at[0];
  int64_t n = type_elems(&y->type);
  double top = 0;
  assert_int_equal(type_elems(&want->type), n * want->type.dim[0]);
  for (int64_t i = 0; i < n; i++)
    top = fmax(top, fabs(elem_load(F32, want->data->data,
                                   (size_t)(call * n + i))));
  assert_true(top > 0);
  for (int64_t i = 0; i < n; i++) {
    double r = elem_load(F32, want->data->data, (size_t)(call * n + i));
    if (fabs(y->v[i] - r) > 1e-5 * top)
      fail_msg("%s: call %lld, element %lld: expected %g, found %g", path,
               (long long)call, (long long)i, r, y->v[i]);
  }
}

/* The model's only input call by call; states go from one to the next. */
static void calls_run(Arena *a, const char *name) {
  const LoadOpts o = {0};
  Diags *d = diags_new();
  const char *base = arena_printf(a, "%s/%s", dir, name);
  Module *m = tam_load(d, arena_printf(a, "%s.tflite", base), &o);
  if (!m)
    fail_with(d, name);
  Func *f = m->funcs.at[0];
  WeightFile *given = calls_read(a, d, arena_printf(a, "%s.steps.in.npy",
                                                    base));
  const WeightTensor *x = &given->tensors.at[0];
  Tensor in = tensor_new(a, &f->inputs.at[0]->type);
  Tensor *states = states_reset(a, m);
  assert_int_equal(f->inputs.n, 1);
  assert_true(m->states.n > 0);
  for (int64_t call = 0; call < x->type.dim[0]; call++) {
    EvalOpts e = {.states = states};
    tensor_read(&in, x->data->data + call * type_bytes(&in.type));
    Tensor *y = func_eval(a, m, f, &in, &e, true, d);
    assert_non_null(y);
    for (size_t i = 0; i < f->outputs.n; i++) {
      const char *tag = f->outputs.n == 1
        ? "" : arena_printf(a, ".%s", f->outputs.at[i].name);
      const char *path = arena_printf(a, "%s.steps.out%s.npy", base, tag);
      WeightFile *want = calls_read(a, d, path);
      call_compare(path, &y[f->outputs.at[i].node->id], want, call);
      weights_close(want);
    }
  }
  weights_close(given);
  module_free(m);
  diags_free(d);
}

static void variables_stay_between_calls(void **state) {
  static const char end[] = ".steps.in.npy";
  DIR *files = opendir(dir);
  struct dirent *f;
  int count = 0;
  (void)state;
  assert_non_null(files);
  while ((f = readdir(files))) {
    size_t n = strlen(f->d_name), k = sizeof end - 1;
    if (n <= k || strcmp(f->d_name + n - k, end))
      continue;
    Arena *a = arena_new();
    calls_run(a, arena_strndup(a, f->d_name, n - k));
    arena_free(a);
    count++;
  }
  closedir(files);
  assert_true(count >= 20);
}

/* ---- weights -------------------------------------------------------- */

static WeightFile *weights_parse(Arena *a, const char *name, Buffer **buf) {
  Diags *d = diags_new();
  const char *path = arena_printf(a, "%s/%s.tflite", dir, name);
  *buf = buffer_map(d, path);
  WeightFile *w = *buf ? tflite_parse(a, d, path, *buf) : NULL;
  if (!w)
    fail_with(d, name);
  diags_free(d);
  return w;
}

/* What operators share is there once; what keeps its order is not copied. */
static void weights_lie_in_the_file(void **state) {
  Arena *a = arena_new();
  Buffer *buf;
  WeightFile *w = weights_parse(a, "shared", &buf);
  (void)state;
  assert_int_equal(w->tensors.n, 3);
  for (size_t i = 0; i < w->tensors.n; i++) {
    const WeightTensor *x = &w->tensors.at[i];
    assert_true((x->data->parent == buf) == (x->type.rank != 4));
  }
  weights_close(w);
  buffer_unref(buf);
  arena_free(a);
}

/* ---- damage --------------------------------------------------------- */

static char scratch[] = "/tmp/test_tfliteXXXXXX";

/* The exit code of loading these bytes as a file, weights and all; what is
 * wrong is always said. */
static int load_bytes(const uint8_t *p, size_t n) {
  const LoadOpts o = {0};
  char path[64];
  Diags *d = diags_new();
  snprintf(path, sizeof path, "%s/x.tflite", scratch);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(p, 1, n, f), n);
  fclose(f);
  Module *m = tam_load(d, path, &o);
  int code = m ? EXIT_OK : diags_exit_code(d);
  assert_true((m != NULL) == (diags_errors(d) == 0));
  assert_true(m || *diags_last(d));
  if (m)
    module_free(m);
  diags_free(d);
  return code;
}

static Buffer *model_read(const char *name) {
  Diags *d = diags_new();
  char path[256];
  snprintf(path, sizeof path, "%s/%s.tflite", dir, name);
  Buffer *b = buffer_map(d, path);
  assert_non_null(b);
  diags_free(d);
  assert_int_equal(load_bytes(b->data, b->size), EXIT_OK);
  return b;
}

static const char *const models[] = {
  "sparse_rows", "tile", "gather_nd", "sequence_rnn_1", "folded"
};
enum { NMODELS = sizeof models / sizeof *models };

static bool is_refusal(int code) {
  return code == EXIT_FILE || code == EXIT_UNSUPPORTED;
}

/* Quick runs take one place of so many, not always of the same parity. */
static size_t stride(void) {
  const char *quick = getenv("TAMIS_QUICK");
  return quick && *quick ? 3 : 1;
}

/* What is cut off may be padding, but not half of the file. */
static void files_cut_short(void **state) {
  (void)state;
  for (int i = 0; i < NMODELS; i++) {
    Buffer *b = model_read(models[i]);
    for (size_t n = 0; n < b->size; n += stride()) {
      int code = load_bytes(b->data, n);
      if (!is_refusal(code) && (code != EXIT_OK || n < b->size / 2))
        fail_msg("%s, %zu bytes: exit code %d", models[i], n, code);
    }
    buffer_unref(b);
  }
}

/* Each word in turn is another number: offsets that lead nowhere or in a
 * circle, lengths of vectors, shapes, numbers of tensors and types. */
static void words_overwritten(void **state) {
  static const uint32_t wrong[] = {
    0, 1, 4, 0x10001, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff
  };
  (void)state;
  for (int i = 0; i < NMODELS; i++) {
    Buffer *b = model_read(models[i]);
    uint8_t *p = malloc(b->size);
    for (size_t at = 0; at + 4 <= b->size; at += 2 * stride())
      for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        memcpy(p, b->data, b->size);
        memcpy(p + at, &wrong[k], 4);
        int code = load_bytes(p, b->size);
        if (code != EXIT_OK && !is_refusal(code))
          fail_msg("%s, byte %zu, %#x: exit code %d", models[i], at,
                   wrong[k], code);
      }
    free(p);
    buffer_unref(b);
  }
}

static int scratch_make(void **state) {
  (void)state;
  return mkdtemp(scratch) ? 0 : -1;
}

static int scratch_remove(void **state) {
  char path[64];
  (void)state;
  snprintf(path, sizeof path, "%s/x.tflite", scratch);
  unlink(path);
  return rmdir(scratch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(variables_stay_between_calls),
    cmocka_unit_test(weights_lie_in_the_file),
    cmocka_unit_test(files_cut_short),
    cmocka_unit_test(words_overwritten),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
