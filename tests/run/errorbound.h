/* errorbound.h - what a right implementation in f32 may differ from the
 * evaluator's doubles, element by element. */
#ifndef TAMIS_ERRORBOUND_H
#define TAMIS_ERRORBOUND_H

#include "ir/ir.h"

/* Exact values and bounds on |computed - exact|; infinite where nothing can
 * be said (a logarithm of what may be negative). */
typedef struct Bounded {
  Type type;
  const double *v;
  double *e;
} Bounded;

/* Evaluate f on inputs whose error is e[i], or exact ones where e is NULL;
 * one result a node, by id, in `a`.  states: what each state holds, by its
 * order, and then what the call leaves; NULL where f reads none.  A sum of k
 * products may be off by (8 + 2 sqrt k) eps sum|a||b| of its own, an
 * elementwise op by 10 eps of what it adds up; errors of operands go on
 * through each op's slope.  NULL on error. */
Bounded *bound_eval(Arena *a, Module *m, Func *f, const Tensor *in,
                    double *const *e, Bounded *states, Diags *d);
/* All states after a reset. */
Bounded *bound_reset(Arena *a, const Module *m);

#endif
