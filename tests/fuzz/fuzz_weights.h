/* fuzz_weights.h - what the fuzzers of weight files share: parse the bytes
 * in place, then touch every value. */
#ifndef TAMIS_FUZZ_WEIGHTS_H
#define TAMIS_FUZZ_WEIGHTS_H

#include "frontend/frontend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef WeightFile *WeightParser(Arena *a, Diags *d, const char *path,
                                 Buffer *buf);

/* Whether each tensor has the bytes of its type, and a b1 is 0 or 1. */
static inline void
fuzz_tensors(const WeightFile *w)
{
  for (size_t i = 0; w && i < w->tensors.n; i++) {
    const WeightTensor *t = &w->tensors.at[i];

    ensure((int64_t)t->data->size ==
           type_elems(&t->type) * (int64_t)elem_size(t->type.elem));
    for (size_t k = 0; t->type.elem == B1 && k < t->data->size; k++)
      ensure(t->data->data[k] <= 1);
  }
}

static inline int
fuzz_weights(WeightParser *parse, const uint8_t *data, size_t size)
{
  /* The fuzzer's own block, so that a read past its end is seen. */
  Buffer buf = {.data = (uint8_t *)(uintptr_t)data, .size = size, .refs = 1};
  Arena *a = arena_new();
  Diags *d = diags_new();
  WeightFile *w = parse(a, d, "fuzz", &buf);

  ensure((w != NULL) == (diags_errors(d) == 0));
  ensure(w || diags_exit_code(d) == EXIT_FILE);
  for (size_t i = 0; w && i < w->tensors.n; i++) {
    const WeightTensor *t = &w->tensors.at[i];
    Buffer *f = weights_to_f32(t);

    ensure((int64_t)(f->size / sizeof(float)) == type_elems(&t->type));
    ensure(weights_find(w, t->name) == t);
    buffer_unref(f);
  }
  weights_close(w);
  ensure(buf.refs == 1);
  diags_free(d);
  arena_free(a);
  return 0;
}

#endif
