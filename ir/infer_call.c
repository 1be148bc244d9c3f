/* infer_call.c - the types of calls and scans, against the signature of the
 * function that is called. */
#include "ir/infer.h"

#include <string.h>

/* Its name stands in the attribute. */
static Func *callee_of(InferCtx *c) {
  Func *f = node_callee(c->m, c->n);
  if (!f)
    infer_error(c, "no function is called '%s'", attr_str(c->n, "callee"));
  else if (c->n->nin != (int)f->inputs.n)
    infer_error(c, "'%s' has %zu inputs, found %d operands", f->name,
                f->inputs.n, c->n->nin);
  else if (f->outputs.n > MAX_RESULTS)
    infer_error(c, "'%s' has %zu results, expected at most %d", f->name,
                f->outputs.n, MAX_RESULTS);
  else
    return f;
  return NULL;
}

static bool input_fits(InferCtx *c, const Func *f, int i, const Type *found) {
  const Node *want = f->inputs.at[i];
  if (want->type.elem == found->elem && type_same_dims(&want->type, found))
    return true;
  Type plain = type_make(found->elem, found->rank, found->dim);
  Text w = {0}, h = {0};
  type_print(&w, &want->type);
  type_print(&h, &plain);
  infer_error(c, "input '%s' of '%s': expected %s, found %s", want->name,
              f->name, w.s, h.s);
  text_free(&w);
  text_free(&h);
  return false;
}

static bool workspace_out(InferCtx *c) {
  int64_t bytes = node_workspace(c->m, c->n).bytes;
  c->out = type_make(U8, 1, &bytes);
  return true;
}

bool infer_call(InferCtx *c) {
  const Func *f = callee_of(c);
  if (!f) return false;
  for (int i = 0; i < c->n->nin; i++)
    if (!input_fits(c, f, i, infer_in(c, i))) return false;
  return workspace_out(c);
}

/* A step's part of operand i. */
static bool slice_of(InferCtx *c, int i, Type *out) {
  const Type *x = infer_in(c, i), *first = infer_in(c, 0);
  int axis, one;
  if (!infer_axis(c, attr_int(c->n, "axis"), x->rank, &axis) ||
      !infer_axis(c, attr_int(c->n, "axis"), first->rank, &one))
    return false;
  if (x->dim[axis] != first->dim[one])
    return infer_error(c, "operand %d has %lld steps (axis %d of %s), the "
                       "first %lld", i + 1, (long long)x->dim[axis], axis,
                       shape_text(x->rank, x->dim),
                       (long long)first->dim[one]);
  *out = *x;
  for (int k = axis; k + 1 < x->rank; k++) out->dim[k] = x->dim[k + 1];
  out->rank--;
  return true;
}

/* Results that are carries have their input's type, others room for one
 * more axis. */
static bool results_fit(InferCtx *c, const Func *f, int slices, int carries) {
  int stacked = (int)f->outputs.n - carries;
  for (int k = 0; k < carries; k++) {
    const Output *o = &f->outputs.at[stacked + k];
    const Node *in = f->inputs.at[slices + k];
    const Type *have = &o->node->type;
    if (have->elem == in->type.elem && type_same_dims(have, &in->type))
      continue;
    return infer_error(c, "result '%s' of '%s' is carried to input '%s': "
                       "expected %s%s, found %s%s", o->name, f->name, in->name,
                       elem_name(in->type.elem),
                       shape_text(in->type.rank, in->type.dim),
                       elem_name(have->elem),
                       shape_text(have->rank, have->dim));
  }
  for (int k = 0; k < stacked; k++) {
    const Type *t = &f->outputs.at[k].node->type;
    int64_t axis = attr_int(c->n, "axis");
    if (t->rank < MAX_RANK && axis <= t->rank && axis >= -1 - t->rank)
      continue;
    return infer_error(c, "result '%s' of '%s' has shape %s: it cannot be "
                       "stacked along axis %lld", f->outputs.at[k].name,
                       f->name, shape_text(t->rank, t->dim), (long long)axis);
  }
  return true;
}

bool infer_scan(InferCtx *c) {
  const Func *f = callee_of(c);
  if (!f) return false;
  int64_t slices = attr_int(c->n, "slices");
  int64_t carries = attr_int(c->n, "carries");
  if (slices < 1 || carries < 0 || slices + carries > c->n->nin ||
      carries > (int64_t)f->outputs.n)
    return infer_error(c, "slices=%lld, carries=%lld do not fit %d operands "
                       "and %zu results", (long long)slices,
                       (long long)carries, c->n->nin, f->outputs.n);
  for (int i = 0; i < c->n->nin; i++) {
    Type t = *infer_in(c, i);
    if (i < slices && !slice_of(c, i, &t)) return false;
    if (!input_fits(c, f, i, &t)) return false;
  }
  return results_fit(c, f, (int)slices, (int)carries) && workspace_out(c);
}

bool infer_item(InferCtx *c) {
  const Node *of = c->n->in[0];
  const Func *f = node_callee(c->m, of);
  int64_t index = attr_int(c->n, "index");
  if (!f)
    return infer_error(c, "operand is %s, expected a call or scan",
                       op_info(of->op)->name);
  if (index < 0 || index >= (int64_t)f->outputs.n)
    return infer_error(c, "index=%lld, expected one of the %zu results of "
                       "'%s'", (long long)index, f->outputs.n, f->name);
  const Type *t = &f->outputs.at[index].node->type;
  c->out = type_make(t->elem, t->rank, t->dim);
  if (of->op == OP_CALL) return true;
  int64_t stacked = (int64_t)f->outputs.n - attr_int(of, "carries");
  if (index >= stacked) return true;
  int64_t axis = attr_int(of, "axis");
  if (axis < 0) axis += t->rank + 1;
  for (int k = t->rank; k > axis; k--) c->out.dim[k] = c->out.dim[k - 1];
  c->out.dim[axis] = scan_steps(of);
  c->out.rank++;
  return true;
}
