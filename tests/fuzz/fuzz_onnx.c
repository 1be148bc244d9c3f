/* fuzz_onnx.c - libFuzzer entry: ONNX files of hostile bytes, their weights,
 * and the text that comes of them, which has to be a model. */
#include "frontend/frontend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const DimArg dims[] = {
  {"N", 2}, {"batch", 2}, {"batch_size", 1}, {"x_0", 3}
};
static const LoadOpts opts = {
  .ndims = sizeof dims / sizeof *dims, .dims = dims, .no_weights = true
};

/* A file that is no model, an operator that is not compiled, a dimension
 * that is free. */
static bool code_ok(const Diags *d) {
  int code = diags_exit_code(d);
  return code == EXIT_FILE || code == EXIT_UNSUPPORTED || code == EXIT_USAGE;
}

static void weights_try(Buffer *buf) {
  Arena *a = arena_new();
  Diags *d = diags_new();
  WeightFile *w = onnx_parse(a, d, "fuzz.onnx", buf, &opts);

  ensure((w != NULL) == (diags_errors(d) == 0));
  ensure(w || code_ok(d));
  for (size_t i = 0; w && i < w->tensors.n; i++) {
    const WeightTensor *t = &w->tensors.at[i];

    ensure((int64_t)t->data->size ==
           type_elems(&t->type) * (int64_t)elem_size(t->type.elem));
    for (size_t k = 0; t->type.elem == B1 && k < t->data->size; k++)
      ensure(t->data->data[k] <= 1);
  }
  weights_close(w);
  diags_free(d);
  arena_free(a);
}

/* Shapes and types were inferred, so that the text has no errors. */
static void text_try(Buffer *buf) {
  const LoadOpts plain = {.no_weights = true};
  Diags *d = diags_new();
  Text text = {0};
  bool ok = onnx_text(d, "fuzz.onnx", buf, &opts, &text);

  ensure(ok == (diags_errors(d) == 0));
  ensure(ok || code_ok(d));
  if (ok) {
    Module *m = tam_load_text(d, "fuzz.onnx", text.s, text.n, &plain);

    ensure(m && diags_errors(d) == 0);
    module_free(m);
  }
  text_free(&text);
  diags_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Buffer buf = {.data = (uint8_t *)(uintptr_t)data, .size = size, .refs = 1};

  weights_try(&buf);
  text_try(&buf);
  ensure(buf.refs == 1);
  return 0;
}
