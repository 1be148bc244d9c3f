/* fuzz_npz.c - libFuzzer entry: the npz reader on hostile bytes. */
#include "tests/fuzz/fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_weights(npz_parse, data, size);
}
