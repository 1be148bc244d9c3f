/* fuzz_safetensors.c - libFuzzer entry: the safetensors reader on hostile
 * bytes. */
#include "tests/fuzz/fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_weights(safetensors_parse, data, size);
}
