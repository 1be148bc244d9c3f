/* onnx_missing.c - why an operand of an ONNX node has no value: it comes from
 * the node itself, or from one that stands behind it, or from nowhere. */
#include "frontend/onnx.h"

/* Name of each value that nodes of the scope make -> number of the node,
 * from 1. */
static Map makers_of(Ox *o, const OxScope *s) {
  Map m = {0};
  for (size_t i = 0; i < s->nnodes; i++)
    for (size_t k = 0; k < s->node[i]->n_output; k++)
      if (*s->node[i]->output[k])
        map_put(o->a, &m, s->node[i]->output[k], (void *)(uintptr_t)(i + 1));
  return m;
}

/* Whether node `from` of the scope needs the one that is being written. */
static bool leads_back(Ox *o, const OxScope *s, const Map *makers,
                       size_t from) {
  bool *seen = arena_array(o->a, bool, s->nnodes);
  size_t *todo = arena_array(o->a, size_t, s->nnodes), n = 0;
  todo[n++] = from;
  seen[from] = true;
  while (n) {
    size_t at = todo[--n];
    Map need = {0};
    if (at == s->at)
      return true;
    ox_names_needed(o, &need, s->node[at]);
    for (size_t i = 0; i < need.cap; i++) {
      size_t k = need.key[i] ? (uintptr_t)map_get(makers, need.key[i]) : 0;
      if (!k || seen[k - 1])
        continue;
      seen[k - 1] = true;
      todo[n++] = k - 1;
    }
  }
  return false;
}

bool ox_missing(Ox *o, int i) {
  const char *name = o->node->input[i];
  for (OxScope *s = o->scope; s; s = s->up) {
    Map makers = makers_of(o, s);
    size_t k = (uintptr_t)map_get(&makers, name);
    if (!k)
      continue;
    const OxProto *n = s->node[k - 1];
    const char *from = n->name && *n->name ? n->name : n->output[0];
    if (leads_back(o, s, &makers, k - 1))
      return ox_malformed(o, "operand %d: '%s' comes from this node itself: "
                          "a cycle through node '%s'", i, name, from);
    if (k - 1 > s->at)
      return ox_malformed(o, "operand %d: '%s' comes from node '%s', which "
                          "stands behind it: expected nodes in the order of "
                          "their values", i, name, from);
  }
  return ox_malformed(o, "operand %d: no value is named '%s' here", i, name);
}
