/* fuzz_tflite.c - libFuzzer entry: TensorFlow Lite files of hostile bytes,
 * their weights, and the text that comes of them. */
#include "frontend/frontend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void weights_try(Buffer *buf) {
  Arena *a = arena_new();
  Diags *d = diags_new();
  WeightFile *w = tflite_parse(a, d, "fuzz.tflite", buf);

  ensure((w != NULL) == (diags_errors(d) == 0));
  ensure(w || diags_exit_code(d) == EXIT_FILE ||
         diags_exit_code(d) == EXIT_UNSUPPORTED);
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

/* Shapes may still lie, which the elaborator says. */
static void text_try(Buffer *buf) {
  const LoadOpts o = {.no_weights = true};
  Diags *d = diags_new();
  Text text = {0};

  if (tflite_text(d, "fuzz.tflite", buf, &text)) {
    Module *m = tam_load_text(d, "fuzz.tflite", text.s, text.n, &o);

    if (m)
      module_free(m);
    ensure((m != NULL) == (diags_errors(d) == 0));
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
