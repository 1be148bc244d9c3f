/* fuzz_tflite.c - libFuzzer entry: TensorFlow Lite files of hostile bytes,
 * their weights, and the text that comes of them. */
#include "tests/fuzz/fuzz_weights.h"


static void weights_try(Buffer *buf) {
  Arena *a = arena_new();
  Diags *d = diags_new();
  WeightFile *w = tflite_parse(a, d, "fuzz.tflite", buf);

  ensure((w != NULL) == (diags_errors(d) == 0));
  ensure(w || diags_exit_code(d) == EXIT_FILE ||
         diags_exit_code(d) == EXIT_UNSUPPORTED);
  fuzz_tensors(w);
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
