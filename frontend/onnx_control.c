/* onnx_control.c - ONNX operators with graphs inside: If. */
#include "frontend/onnx.h"

/* ---- If ------------------------------------------------------------- */

enum { RESULTS_MOST = 64 };

static bool branch_write(Ox *o, const char *name, OxValue **out) {
  const OnnxFile__Graph *g = ox_graph_attr(o, name);
  if (!g)
    return ox_malformed(o, "the graph '%s' is missing", name);
  return ox_subgraph(o, g, name, NULL, 0, out, ox_nout(o));
}

static bool same_type(const OxValue *a, const OxValue *b) {
  return a->type == b->type && type_same_shape(&a->node->type, &b->node->type);
}

/* A condition that only a run knows chooses between the results of both. */
static bool if_both(Ox *o, Node *cond) {
  OxValue *yes[RESULTS_MOST], *no[RESULTS_MOST];
  bool ok = branch_write(o, "then_branch", yes);
  ok &= branch_write(o, "else_branch", no);
  if (!ok)
    return false;
  for (int i = 0; i < ox_nout(o); i++) {
    Node *a = ox_use(o, yes[i]), *b = ox_use(o, no[i]);
    if (!ox_wants(o, i))
      continue;
    if (!same_type(yes[i], no[i]))
      return ox_refuse(o, "its condition is not constant, and result %d has "
                       "one shape or type in one branch and another in the "
                       "other", i);
    Node *y = a == b ? a : ox_op3(o, OP_WHERE, cond, a, b);
    if (!ox_give_as(o, i, y, yes[i]->type))
      return false;
  }
  return true;
}

bool ox_write_if(Ox *o) {
  OxValue *out[RESULTS_MOST];
  Node *cond = ox_in(o, 0);
  if (!cond)
    return false;
  if (cond->type.elem != B1 || ox_elems(cond) != 1)
    return ox_malformed(o, "expected one boolean as condition");
  if (ox_nout(o) > RESULTS_MOST)
    return ox_refuse(o, "more than %d results", RESULTS_MOST);
  cond = ox_reshape(o, cond, 0, NULL);
  const Tensor *t = ox_values(o, cond);
  if (!t)
    return if_both(o, cond);
  if (!branch_write(o, t->i[0] ? "then_branch" : "else_branch", out))
    return false;
  for (int i = 0; i < ox_nout(o); i++)
    if (!ox_give_as(o, i, ox_use(o, out[i]), out[i]->type))
      return false;
  return true;
}
