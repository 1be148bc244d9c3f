/* calibrated_inputs.c - which layers use a weight, and rows of it that read
 * the same columns. */
#include <string.h>

#include "passes/calibrated.h"

static bool is_layer(const Node *n) {
  return n->op == OP_CONV1D || n->op == OP_CONV2D || n->op == OP_CONV3D ||
         n->op == OP_LINEAR;
}

int64_t layer_groups(const Node *n) {
  return n->op == OP_LINEAR ? 1 : attr_int(n, "groups");
}

/* ---- uses ------------------------------------------------------------ */

static bool whole_rows(const Node *slice) {
  int64_t axis = attr_int(slice, "axis");
  return (axis == 0 || axis == -slice->in[0]->type.rank) &&
         attr_int(slice, "step") == 1;
}

/* Is operand x the param, through masks and slices?  Then *first has the row
 * of the param that is its first, unless it lacks columns (-1). */
static bool leads_to(const Node *x, const Param *p, int64_t *first) {
  *first = 0;
  for (; x && (x->op == OP_MASK || x->op == OP_SLICE); x = x->in[0]) {
    if (x->op == OP_MASK || *first < 0) continue;
    int64_t start = attr_int(x, "start");
    if (start < 0) start += x->in[0]->type.dim[0];
    *first = whole_rows(x) ? *first + start : -1;
  }
  return x && x->op == OP_PARAM && strcmp(x->param->path, p->path) == 0;
}

static bool use_add(Arena *a, Node *n, const Param *p, bool model,
                    InputUses *out, Text *why) {
  int64_t first;
  if (!is_layer(n) || !leads_to(node_operand(n, "w"), p, &first)) return true;
  if (!model)
    text_printf(why, "the layer %s lies in a function that is called: "
                "expected layers of the model itself",
                n->path ? n->path : p->path);
  else if (first < 0)
    text_printf(why, "the layer %s has some columns of it: expected whole "
                "rows", n->path ? n->path : p->path);
  if (!model || first < 0) return false;
  InputUse u = {n, first, node_operand(n, "w")->type.dim[0]};
  vec_push(a, out, u);
  return true;
}

bool input_uses(Arena *a, const Module *m, const Param *p, InputUses *out,
                Text *why) {
  for (size_t k = 0; k < m->funcs.n; k++) {
    const Func *f = m->funcs.at[k];
    for (size_t i = 0; i < f->nodes.n; i++)
      if (!use_add(a, f->nodes.at[i], p, k == 0, out, why)) return false;
  }
  if (out->n) return true;
  text_puts(why, "no layer uses it");
  return false;
}

/* ---- rows ------------------------------------------------------------ */

static bool rows_add(Arena *a, WeightStats *w, int64_t lo, int64_t hi,
                     int64_t cols, Text *why) {
  for (size_t i = 0; i < w->inputs.n; i++) {
    const InputStats *x = &w->inputs.at[i];
    if (x->lo == lo && x->hi == hi) return true;
    if (lo >= x->hi || hi <= x->lo) continue;
    text_printf(why, "layers use rows %lld to %lld and rows %lld to %lld: "
                "expected the same rows or others", (long long)x->lo,
                (long long)x->hi - 1, (long long)lo, (long long)hi - 1);
    return false;
  }
  InputStats s = {.lo = lo, .hi = hi, .cols = cols};
  vec_push(a, &w->inputs, s);
  return true;
}

bool weight_stats(Arena *a, const Module *m, Param *p, WeightStats *out,
                  Text *why) {
  InputUses uses = {0};
  *out = (WeightStats){.param = p};
  if (!input_uses(a, m, p, &uses, why)) return false;
  int64_t cols = p->type.dim[0] ? type_elems(&p->type) / p->type.dim[0] : 0;
  for (size_t i = 0; i < uses.n; i++) {
    int64_t groups = layer_groups(uses.at[i].layer);
    int64_t each = uses.at[i].rows / groups, lo = uses.at[i].first;
    for (int64_t g = 0; g < groups; g++, lo += each)
      if (!rows_add(a, out, lo, lo + each, cols, why)) return false;
  }
  return true;
}
