/* built.h - artifacts of whole nets, named after their files. */
#ifndef BENCH_BUILT_H
#define BENCH_BUILT_H

#include "runtime/tamis.h"

typedef struct Built {
  const char *path;
  const tamis_model *m;
  void **io, **pool, *arena;    /* the pool is NULL: one thread */
} Built;

/* NAME.so or libNAME.so, which has NAME_model, with inputs of some values.
 * Who cannot be opened ends the program. */
Built built_open(const char *path);
/* The time of a call, in ns. */
double built_call(const Built *b);
/* What does not work, and that it is the end. */
_Noreturn void die(const char *name, const char *what);

#endif
