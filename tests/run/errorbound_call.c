/* errorbound_call.c - the error bounds of calls: those of the function's
 * nodes, with the errors of what it is called with. */
#include <string.h>

#include "tests/run/bounder.h"

/* A value as the evaluator takes it. */
static Tensor tensor_of(Arena *a, const Type *t, const double *v) {
  Tensor x = tensor_new(a, t);
  int64_t n = type_elems(t);
  for (int64_t i = 0; i < n; i++)
    if (elem_is_float(t->elem)) x.v[i] = v[i];
    else x.i[i] = (int64_t)v[i];
  return x;
}

typedef struct Args {
  Tensor *in;
  double **e;
} Args;

static Args args_new(Arena *a, size_t n) {
  return (Args){arena_array(a, Tensor, n + 1),
                arena_array(a, double *, n + 1)};
}

/* Argument i is this value. */
static void arg_set(Args *s, Arena *a, size_t i, const Bounded *x) {
  s->in[i] = tensor_of(a, &x->type, x->v);
  s->e[i] = x->e;
}

static const Bounded *callee_bound(Bounder *b, Func *f, const Args *s) {
  Bounded *states = (Bounded *)b->states;
  return bound_eval(b->a, b->m, f, s->in, s->e, states, b->d);
}

/* Slice t of x along an axis, or (back) into it. */
static void slice_copy(double *whole, const Type *t, int axis, int64_t at,
                       double *part, bool back) {
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; i++) outer *= t->dim[i];
  for (int i = axis + 1; i < t->rank; i++) inner *= t->dim[i];
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < inner; i++) {
      double *w = &whole[(o * t->dim[axis] + at) * inner + i];
      double *p = &part[o * inner + i];
      if (back) *w = *p;
      else *p = *w;
    }
}

static Bounded slice_of(Bounder *b, const Bounded *x, int axis, int64_t at) {
  Type t = type_make(x->type.elem, 0, NULL);
  for (int k = 0; k < x->type.rank; k++)
    if (k != axis) t.dim[t.rank++] = x->type.dim[k];
  double *v = bound_array(b, type_elems(&t));
  double *e = bound_array(b, type_elems(&t));
  slice_copy((double *)x->v, &x->type, axis, at, v, false);
  slice_copy(x->e, &x->type, axis, at, e, false);
  return (Bounded){t, v, e};
}

/* A result with room for all steps. */
static Bounded stack_of(Bounder *b, const Type *t, int64_t axis,
                        int64_t steps) {
  Type y = type_make(t->elem, 0, NULL);
  int rank = t->rank + 1, at = eval_axis(axis, rank);
  y.rank = rank;
  for (int k = 0, from = 0; k < rank; k++)
    y.dim[k] = k == at ? steps : t->dim[from++];
  int64_t n = type_elems(&y);
  return (Bounded){y, bound_array(b, n), bound_array(b, n)};
}

static bool scan_bound(Bounder *b, Func *f, Bounded *out) {
  const Node *n = b->n;
  size_t slices = (size_t)attr_int(n, "slices");
  size_t carries = (size_t)attr_int(n, "carries");
  size_t stacked = f->outputs.n - carries;
  int64_t steps = scan_steps(n), axis = attr_int(n, "axis");
  Args s = args_new(b->a, f->inputs.n);
  for (size_t i = slices; i < f->inputs.n; i++)
    arg_set(&s, b->a, i, bound_operand(b, (int)i));
  for (size_t i = 0; i < stacked; i++)
    out[i] = stack_of(b, &f->outputs.at[i].node->type, axis, steps);
  for (size_t i = 0; i < carries; i++)
    out[stacked + i] = *bound_operand(b, (int)(slices + i));
  for (int64_t k = 0; k < steps; k++) {
    int64_t t = attr_bool(n, "reverse") ? steps - 1 - k : k;
    for (size_t i = 0; i < slices; i++) {
      const Bounded *x = bound_operand(b, (int)i);
      Bounded part = slice_of(b, x, eval_axis(axis, x->type.rank), t);
      arg_set(&s, b->a, i, &part);
    }
    const Bounded *all = callee_bound(b, f, &s);
    if (!all) return false;
    for (size_t i = 0; i < f->outputs.n; i++) {
      const Bounded *y = &all[f->outputs.at[i].node->id];
      if (i >= stacked) {
        out[i] = *y;
        arg_set(&s, b->a, slices + i - stacked, y);
        continue;
      }
      int at = eval_axis(axis, out[i].type.rank);
      slice_copy((double *)out[i].v, &out[i].type, at, t, (double *)y->v,
                 true);
      slice_copy(out[i].e, &out[i].type, at, t, y->e, true);
    }
  }
  return true;
}

static bool call_bound(Bounder *b, Func *f, Bounded *out) {
  Args s = args_new(b->a, f->inputs.n);
  for (size_t i = 0; i < f->inputs.n; i++)
    arg_set(&s, b->a, i, bound_operand(b, (int)i));
  const Bounded *all = callee_bound(b, f, &s);
  for (size_t i = 0; all && i < f->outputs.n; i++)
    out[i] = all[f->outputs.at[i].node->id];
  return all != NULL;
}

bool bound_call(Bounder *b) {
  if (b->n->op == OP_ITEM) {
    const Bounded *r = b->results[b->n->in[0]->id];
    b->out->e = r[attr_int(b->n, "index")].e;
    return true;
  }
  Func *f = node_callee(b->m, b->n);
  if (!f) return false;
  Bounded *out = arena_array(b->a, Bounded, f->outputs.n + 1);
  b->results[b->n->id] = out;
  return b->n->op == OP_CALL ? call_bound(b, f, out) : scan_bound(b, f, out);
}
