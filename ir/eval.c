/* eval.c - the reference evaluator: one node, and a whole function.  The
 * oracle for folding, for the tests and for `tamis check`, so it is written
 * to be read: double arithmetic, one element after the other. */
#include "ir/eval.h"

#include <string.h>

typedef void EvalFn(EvalCtx *);

static EvalFn *const eval_table[OP_COUNT] = {
#define OP(e, name, operands, attrs, elems, infer, eval, flags) \
  [OP_##e] = eval_##eval,
#include "ir/ops.def"
#undef OP
};

const Tensor *eval_operand(const EvalCtx *c, const char *name) {
  const OpInfo *info = op_info(c->n->op);
  for (int i = 0; i < info->noperands && i < c->n->nin; i++)
    if (strcmp(info->operand[i], name) == 0) return c->in[i];
  return NULL;
}

int eval_axis(int64_t axis, int rank) {
  if (axis < 0) axis += rank;
  ensure(axis >= 0 && axis < rank);
  return (int)axis;
}

/* ---- rounding ------------------------------------------------------- */

double elem_round(Elem e, double v) {
  double at;
  if (e == F64) return v;
  elem_store(e, &at, 0, v);
  return elem_load(e, &at, 0);
}

int64_t elem_wrap(Elem e, int64_t v) {
  int64_t at;
  elem_store_int(e, &at, 0, v);
  return elem_load_int(e, &at, 0);
}

/* ---- one node ------------------------------------------------------- */

void eval_leaf(EvalCtx *c) {
  const Node *n = c->n;
  int64_t count = type_elems(&n->type);
  ensure(n->op != OP_INPUT);
  if (n->op == OP_CONST) {
    for (int64_t i = 0; i < count; i++)
      if (elem_is_float(n->type.elem)) c->out->v[i] = n->value;
      else c->out->i[i] = n->ivalue;
    return;
  }
  if (!elem_is_float(n->type.elem)) {
    const void *data = param_data(n->param);
    ensure(data);
    tensor_read(c->out, data);
    return;
  }
  const float *v = param_values(c->m, n->param);
  ensure(v);
  for (int64_t i = 0; i < count; i++) c->out->v[i] = (double)v[i];
}

void eval_copy(EvalCtx *c) {
  int64_t count = type_elems(&c->n->type);
  ensure(count == type_elems(&c->in[0]->type));
  if (count > 0)
    memcpy(c->out->v, c->in[0]->v, (size_t)count * sizeof(double));
}

void node_eval(Module *m, const Node *n, const Tensor *const *in,
               Tensor *out, const EvalOpts *o) {
  EvalCtx c = {m, n, in, out, o};
  int64_t count = type_elems(&n->type);
  ensure(count >= 0);
  out->type = n->type;
  eval_table[n->op](&c);
  Elem e = n->type.elem;
  if (!elem_is_float(e))
    for (int64_t i = 0; i < count; i++) out->i[i] = elem_wrap(e, out->i[i]);
  else if (o->round || elem_size(e) < elem_size(F32))
    for (int64_t i = 0; i < count; i++)
      out->v[i] = elem_round(e, out->v[i]);
}

/* ---- a function ----------------------------------------------------- */

/* A run of a function: what each node gave, and how many uses of it are
 * still to come.  own: heap buffers of values that do not stay. */
typedef struct Run {
  Module *m;
  Func *f;
  const EvalOpts *o;
  Arena *a;
  Tensor *value;
  int *uses;
  Buffer **own;
  bool keep;
} Run;

static bool params_present(Run *r, Diags *d) {
  bool ok = true;
  for (size_t i = 0; i < r->f->nodes.n; i++) {
    const Node *n = r->f->nodes.at[i];
    if (n->op != OP_PARAM || param_values(r->m, n->param) ||
        param_data(n->param))
      continue;
    ok = diag_error(d, EXIT_MODEL, n->param->span,
                    "param %s has no values to evaluate with",
                    n->param->path);
  }
  return ok;
}

static void release(Run *r, const Node *n) {
  if (--r->uses[n->id] > 0) return;
  buffer_unref(r->own[n->id]);
  r->own[n->id] = NULL;
}

static void run_node(Run *r, const Node *n, const bool *is_output) {
  size_t bytes = checked_mul((size_t)type_elems(&n->type), sizeof(double));
  Tensor *out = &r->value[n->id];
  if (r->keep || is_output[n->id]) {
    out->v = arena_alloc(r->a, bytes ? bytes : sizeof(double));
  } else {
    r->own[n->id] = buffer_new(bytes ? bytes : sizeof(double));
    out->v = (double *)(void *)r->own[n->id]->data;
  }
  const Tensor **in = arena_array(r->a, const Tensor *, (size_t)n->nin + 1);
  for (int i = 0; i < n->nin; i++)
    in[i] = n->in[i] ? &r->value[n->in[i]->id] : NULL;
  node_eval(r->m, n, in, out, r->o);
  for (int i = 0; i < n->nin; i++)
    if (n->in[i]) release(r, n->in[i]);
}

/* An input's value: the caller's tensor itself, which must fit. */
static void bind_inputs(Run *r, const Tensor *in) {
  for (size_t i = 0; i < r->f->inputs.n; i++) {
    const Node *n = r->f->inputs.at[i];
    ensure(type_elems(&in[i].type) == type_elems(&n->type));
    ensure(elem_is_float(in[i].type.elem) == elem_is_float(n->type.elem));
    r->value[n->id] = in[i];
    r->value[n->id].type = n->type;
  }
}

Tensor *func_eval(Arena *a, Module *m, Func *f, const Tensor *in,
                  const EvalOpts *o, bool keep, Diags *d) {
  size_t n = f->nodes.n;
  Run r = {m, f, o, a, arena_array(a, Tensor, n + 1), NULL,
           arena_array(a, Buffer *, n + 1), keep};
  for (size_t i = 0; i < n; i++) f->nodes.at[i]->id = (uint32_t)i;
  if (!params_present(&r, d)) return NULL;
  r.uses = func_uses(a, f);
  bool *is_output = arena_array(a, bool, n + 1);
  for (size_t i = 0; i < f->outputs.n; i++)
    is_output[f->outputs.at[i].node->id] = true;
  bind_inputs(&r, in);
  for (size_t i = 0; i < n; i++) {
    const Node *node = f->nodes.at[i];
    if (node->op != OP_INPUT) run_node(&r, node, is_output);
    if (r.uses[i] == 0) buffer_unref(r.own[i]), r.own[i] = NULL;
  }
  if (!keep)
    for (size_t i = 0; i < n; i++)
      if (!is_output[i]) r.value[i].v = NULL;
  return r.value;
}
