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

static void values_copy(Tensor *to, const Tensor *from) {
  int64_t n = type_elems(&from->type);
  if (n > 0) memcpy(to->v, from->v, (size_t)n * sizeof(double));
}

/* A literal has the precision of its element type. */
static void tensor_fill(Tensor *t, double v, int64_t i) {
  int64_t count = type_elems(&t->type);
  bool real = elem_is_float(t->type.elem);
  if (real) v = elem_round(t->type.elem, v);
  for (int64_t k = 0; k < count; k++)
    if (real) t->v[k] = v;
    else t->i[k] = i;
}

Tensor *states_reset(Arena *a, const Module *m) {
  Tensor *all = arena_array(a, Tensor, m->states.n + 1);
  for (size_t i = 0; i < m->states.n; i++) {
    const State *s = m->states.at[i];
    all[i] = tensor_new(a, &s->type);
    tensor_fill(&all[i], s->value, s->ivalue);
  }
  return all;
}

/* Calls are made by func_eval, which knows their functions. */
void eval_call(EvalCtx *c) {
  (void)c;
  unreachable();
}

void eval_leaf(EvalCtx *c) {
  const Node *n = c->n;
  int64_t count = type_elems(&n->type);
  ensure(n->op != OP_INPUT);
  if (n->op == OP_STATE) {
    ensure(c->o->states);
    values_copy(c->out, &c->o->states[n->state->order]);
    return;
  }
  if (n->op == OP_CONST) {
    tensor_fill(c->out, n->value, n->ivalue);
    return;
  }
  /* param_values would round an f64. */
  if (!elem_is_float(n->type.elem) || n->type.elem == F64) {
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
  Tensor **results;        /* by id: of calls */
  int *uses;
  Buffer **own;
  bool keep;
  Diags *d;
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

/* ---- calls ---------------------------------------------------------- */

/* One call; its results go to out, which has room. */
static bool callee_run(Run *r, Func *f, const Tensor *in, Tensor *out) {
  Arena *a = arena_new();
  Tensor *v = func_eval(a, r->m, f, in, r->o, false, r->d);
  for (size_t i = 0; v && i < f->outputs.n; i++)
    values_copy(&out[i], &v[f->outputs.at[i].node->id]);
  arena_free(a);
  return v != NULL;
}

/* Elements of step t of x, along an axis of n steps: `outer` runs of `inner`
 * elements; to a slice, or (back) from one. */
static void slice_move(Tensor *x, Tensor *slice, int axis, int64_t t,
                       bool back) {
  int64_t outer = 1, inner = 1, n = x->type.dim[axis];
  for (int i = 0; i < axis; i++) outer *= x->type.dim[i];
  for (int i = axis + 1; i < x->type.rank; i++) inner *= x->type.dim[i];
  for (int64_t o = 0; inner > 0 && o < outer; o++) {
    double *whole = x->v + (o * n + t) * inner, *part = slice->v + o * inner;
    memcpy(back ? whole : part, back ? part : whole,
           (size_t)inner * sizeof(double));
  }
}

static int norm_axis(const Node *n, int rank) {
  return eval_axis(attr_int(n, "axis"), rank);
}

/* Step by step: slices in, results stacked, carries handed on. */
static bool scan_run(Run *r, const Node *n, Func *f, Tensor *out) {
  Arena *a = arena_new();
  size_t nin = f->inputs.n, nout = f->outputs.n;
  size_t slices = (size_t)attr_int(n, "slices");
  size_t carries = (size_t)attr_int(n, "carries"), stacked = nout - carries;
  Tensor *in = arena_array(a, Tensor, nin + 1);
  Tensor *step = arena_array(a, Tensor, nout + 1);
  bool ok = true;
  for (size_t i = 0; i < nin; i++) {
    in[i] = tensor_new(a, &f->inputs.at[i]->type);
    if (i >= slices) values_copy(&in[i], &r->value[n->in[i]->id]);
  }
  for (size_t i = 0; i < nout; i++)
    step[i] = tensor_new(a, &f->outputs.at[i].node->type);
  int64_t count = scan_steps(n);
  for (int64_t k = 0; ok && k < count; k++) {
    int64_t t = attr_bool(n, "reverse") ? count - 1 - k : k;
    for (size_t i = 0; i < slices; i++) {
      Tensor *x = &r->value[n->in[i]->id];
      slice_move(x, &in[i], norm_axis(n, x->type.rank), t, false);
    }
    ok = callee_run(r, f, in, step);
    for (size_t i = 0; i < stacked; i++)
      slice_move(&out[i], &step[i], norm_axis(n, out[i].type.rank), t, true);
    for (size_t i = 0; i < carries; i++)
      values_copy(&in[slices + i], &step[stacked + i]);
  }
  for (size_t i = 0; i < carries; i++)
    values_copy(&out[stacked + i], &in[slices + i]);
  arena_free(a);
  return ok;
}

/* The type that item `index` of a call has. */
static Type item_type(const Run *r, const Node *n, int index) {
  Node item = {.op = OP_ITEM, .nin = 1, .in = (Node *[]){(Node *)n}};
  Attr attr = op_info(OP_ITEM)->def[0];
  Diags *d = diags_new();
  item.attr = &attr;
  attr_set_int(&item, "index", index);
  bool ok = node_infer(r->m, &item, d);
  ensure(ok);
  diags_free(d);
  return item.type;
}

static bool run_call(Run *r, const Node *n) {
  Func *f = node_callee(r->m, n);
  Arena *a = arena_new();
  Tensor *out = arena_array(r->a, Tensor, f->outputs.n + 1);
  Tensor *in = arena_array(a, Tensor, (size_t)n->nin + 1);
  for (int i = 0; i < n->nin; i++) in[i] = r->value[n->in[i]->id];
  for (size_t i = 0; i < f->outputs.n; i++) {
    Type t = item_type(r, n, (int)i);
    out[i] = tensor_new(r->a, &t);
  }
  bool ok = n->op == OP_CALL ? callee_run(r, f, in, out)
                             : scan_run(r, n, f, out);
  arena_free(a);
  r->results[n->id] = out;
  r->value[n->id] = (Tensor){n->type, {NULL}};
  for (int i = 0; i < n->nin; i++) release(r, n->in[i]);
  return ok;
}

/* ---- the walk ------------------------------------------------------- */

static bool run_node(Run *r, const Node *n, const bool *is_output) {
  if (n->op == OP_CALL || n->op == OP_SCAN) return run_call(r, n);
  Tensor *out = &r->value[n->id];
  if (n->op == OP_ITEM) {
    *out = r->results[n->in[0]->id][attr_int(n, "index")];
    out->type = n->type;
    release(r, n->in[0]);
    return true;
  }
  size_t bytes = checked_mul((size_t)type_elems(&n->type), sizeof(double));
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
  return true;
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

/* What the states become, all at once. */
static void nexts_store(Run *r, Tensor *states) {
  size_t n = r->f->nexts.n;
  Tensor *new = arena_array(r->a, Tensor, n + 1);
  for (size_t i = 0; i < n; i++) {
    const Next *x = &r->f->nexts.at[i];
    new[i] = tensor_new(r->a, &x->state->type);
    values_copy(&new[i], &r->value[x->node->id]);
  }
  for (size_t i = 0; i < n; i++)
    values_copy(&states[r->f->nexts.at[i].state->order], &new[i]);
}

static bool func_run(Run *r, const Tensor *in) {
  size_t n = r->f->nodes.n;
  for (size_t i = 0; i < n; i++) r->f->nodes.at[i]->id = (uint32_t)i;
  if (!params_present(r, r->d)) return false;
  r->uses = func_uses(r->a, r->f);
  bool *stays = arena_array(r->a, bool, n + 1);
  for (size_t i = 0; i < r->f->outputs.n; i++)
    stays[r->f->outputs.at[i].node->id] = true;
  for (size_t i = 0; i < r->f->nexts.n; i++)
    stays[r->f->nexts.at[i].node->id] = true;
  bind_inputs(r, in);
  for (size_t i = 0; i < n; i++) {
    const Node *node = r->f->nodes.at[i];
    if (node->op != OP_INPUT && !run_node(r, node, stays)) return false;
    if (r->uses[i] == 0) buffer_unref(r->own[i]), r->own[i] = NULL;
  }
  for (size_t i = 0; !r->keep && i < n; i++)
    if (!stays[i]) r->value[i].v = NULL;
  return true;
}

Tensor *func_eval(Arena *a, Module *m, Func *f, const Tensor *in,
                  const EvalOpts *o, bool keep, Diags *d) {
  size_t n = f->nodes.n;
  EvalOpts own = *o;
  if (!own.states) own.states = states_reset(a, m);
  Run r = {.m = m, .f = f, .o = &own, .a = a, .keep = keep, .d = d};
  r.value = arena_array(a, Tensor, n + 1);
  r.results = arena_array(a, Tensor *, n + 1);
  r.own = arena_array(a, Buffer *, n + 1);
  if (!func_run(&r, in)) return NULL;
  nexts_store(&r, own.states);
  return r.value;
}
