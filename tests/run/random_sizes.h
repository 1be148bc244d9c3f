/* random_sizes.h - the parts of tests/run/random_sizes. */
#ifndef TAMIS_RANDOM_SIZES_H
#define TAMIS_RANDOM_SIZES_H

#include "base/base.h"

/* sizegen.c: the text of random model number `seed`, with free dimensions N
 * and, in most, T. */
void sizes_generate(Text *out, uint64_t seed);

#endif
