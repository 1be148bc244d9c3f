/* sizes.h - the parts of tests/run/sizes. */
#ifndef TAMIS_TEST_SIZES_H
#define TAMIS_TEST_SIZES_H

#include "base/base.h"

/* sizes_gen.c: the text of random model number `seed`, with free dimensions N
 * and, in most, T. */
void sizes_generate(Text *out, uint64_t seed);

#endif
