/* fuzz_npy.c - libFuzzer entry: the npy reader on hostile bytes. */
#include "tests/fuzz/fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_weights(npy_parse, data, size);
}
