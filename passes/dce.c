/* dce.c - drop what no output needs, and functions that nothing calls.
 *
 * requires   a graph
 * preserves  the values of all outputs and states; inputs stay, being the
 *            signature
 * before     a = relu(x);  b = exp(x);  y = neg(a);
 * after      a = relu(x);  y = neg(a);
 * source     reachability from the outputs, in func_tidy of ir/graph.c */
#include "passes/passes.h"

bool pass_dce(PassCtx *c) {
  for (size_t i = 0; i < c->m->funcs.n; i++)
    func_tidy(c->m, c->m->funcs.at[i]);
  funcs_drop_unused(c);
  /* What only those used goes too. */
  for (size_t i = 0; i < c->m->funcs.n; i++)
    func_tidy(c->m, c->m->funcs.at[i]);
  return true;
}
