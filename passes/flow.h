/* flow.h - the net as a sum over paths: how much a value of 1 in every place
 * of the inputs gives at the outputs, where a path multiplies the absolute
 * weights along it (Tanaka et al., 2020).
 *
 * Weights, scales of norms and constant factors multiply; activations hand
 * on what they get; biases and what else is added count for nothing; pools,
 * means and maxima give means; a product of two values of the net, as of a
 * gate, hands on both. */
#ifndef TAMIS_FLOW_H
#define TAMIS_FLOW_H

#include "ir/eval.h"
#include "passes/prune.h"

typedef struct Flow Flow;

/* What an op does with what flows: y from the operands, and what the operands
 * give to the outputs from what y does. */
typedef struct FlowRule {
  void (*forward)(Flow *, const Node *);
  void (*backward)(Flow *, const Node *);
} FlowRule;

/* Arrays are by the ids of nodes of f, NULL where nothing flows. */
struct Flow {
  PruneStep *s;
  Arena *a;
  const Func *f;
  bool *flows;
  double **v, **g;       /* values, and what 1 more of each gives */
  double **aside;        /* what a rule keeps from its first use on */
  double **dw;           /* of each of s->weights: its g */
  double sum;            /* at the outputs, of the last run */
};

/* Set up for the model of s; every node without a rule is an error that
 * names it.  flow_free in any case. */
bool flow_open(Flow *fl, PruneStep *s);
void flow_free(Flow *fl);
/* Go through once with the values v of the weights (where they have one):
 * fill their scores with |weight| * g, as shares of the sum at the outputs.
 * False when that is 0 or beyond all numbers. */
bool flow_run(Flow *fl);

/* ---- flow_ops.c, flow_products.c ------------------------------------- */

/* The rule of a node that something flows into; NULL: there is none. */
const FlowRule *flow_rule(const Flow *fl, const Node *n);
extern const FlowRule flow_product, flow_sides;
/* The values of a layer's weight, and where its g goes (NULL: nowhere). */
const float *flow_weight(const Flow *fl, const Node *n, double **dw);

#endif
