/* bounder.h - inside the error bounds of tests: one node at a time. */
#ifndef TAMIS_BOUNDER_H
#define TAMIS_BOUNDER_H

#include <float.h>
#include <math.h>

#include "ir/eval.h"
#include "tests/run/errorbound.h"

/* Rounding of f32; what an elementwise op may be off by of its own; f32
 * underflow, flushed or not. */
#define EPS ((double)FLT_EPSILON)
#define LOCAL (10 * EPS)
#define TINY 1e-36

typedef struct Bounder {
  Arena *a;
  Module *m;
  const Node *n;
  const Tensor *exact;   /* by id */
  Bounded *all;
  Bounded *out;
  const Bounded *states;
  Bounded **results;     /* by id: of calls */
  Diags *d;
} Bounder;

/* errorbound.c */
/* Operand i, NULL where it is absent. */
const Bounded *bound_operand(const Bounder *b, int i);
double *bound_array(Bounder *b, int64_t n);
/* node_eval on other operand values than the exact ones, numbers of any
 * type being doubles; indices, conditions and keys stay what they are. */
double *bound_apply(Bounder *b, const Node *n, double *const *values);
/* |x|, its error added or not. */
double *bound_sizes(Bounder *b, const Bounded *x, bool add_error);
/* Error of a sum of k products, relative to the sum of their sizes. */
double products_error(double k);

/* errorbound_math.c: elementwise ops; false when the node is none. */
bool bound_math(Bounder *b);
double unary_error(Op op, double p, double q, double v, double e);
/* Index along `axis` of element i. */
int64_t bound_channel(const Type *t, int axis, int64_t i);

/* errorbound_attend.c: attend, normalize and rotary; likewise. */
bool bound_attend(Bounder *b);

/* errorbound_call.c: calls, scans and their results; likewise. */
bool bound_call(Bounder *b);

/* errorbound_index.c: ops that count, order and look up; likewise. */
bool bound_index(Bounder *b);

#endif
