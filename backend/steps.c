/* steps.c - one function for each kernel call of the planned graph, named
 * so that a profile can be read: net.conv2d_dense.stage_2_expand. */
#include <string.h>

#include "backend/emit.h"

/* ---- attributes ----------------------------------------------------- */

void attr_text(Gen *g, Val fn, const char *name, const char *value) {
  LLVMAttributeRef a = LLVMCreateStringAttribute(
      g->c, name, (unsigned)strlen(name), value, (unsigned)strlen(value));
  LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

static void attr_enum(Gen *g, Val fn, LLVMAttributeIndex at,
                      const char *name) {
  unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  ensure(kind != 0);
  LLVMAddAttributeAtIndex(fn, at, LLVMCreateEnumAttribute(g->c, kind, 0));
}

/* Common to all: no unwinding, and the size of the frame is reported. */
static void attrs_common(Emission *e, Val fn) {
  Gen *g = &e->g;
  attr_enum(g, fn, LLVMAttributeFunctionIndex, "nounwind");
  attr_enum(g, fn, LLVMAttributeFunctionIndex, "noinline");
  attr_text(g, fn, "warn-stack-size", "0");
  if (g->opt == 4) attr_enum(g, fn, LLVMAttributeFunctionIndex, "optsize");
}

void attrs_baseline(Emission *e, Val fn) {
  attrs_common(e, fn);
  bool x86 = strcmp(e->g.t->arch, "x86_64") == 0;
  attr_text(&e->g, fn, "target-cpu", x86 ? "x86-64" : "generic");
}

void attrs_step(Emission *e, Val fn) {
  Gen *g = &e->g;
  attrs_baseline(e, fn);
  if (*e->isa) attr_text(g, fn, "target-features", e->isa);
  attr_text(g, fn, "tune-cpu", g->t->cpu);
  attr_text(g, fn, "prefer-vector-width",
            g->t->lanes == 16 ? "512" : g->t->lanes == 8 ? "256" : "128");
  /* The arena, the weights and the caller's buffers do not overlap. */
  attr_enum(g, fn, 1, "readonly");
  for (unsigned i = 2; i <= 3; i++) attr_enum(g, fn, i, "noalias");
  attr_enum(g, fn, 3, "readonly");
}

/* ---- names ---------------------------------------------------------- */

const char *weights_name(Emission *e) {
  return arena_printf(e->g.a, "%s_weights", e->o->prefix);
}

const char *symbol_name(Emission *e, const char *name, bool exported) {
  return arena_printf(e->g.a, "%s%c%s", e->prefix, exported ? '_' : '.', name);
}

/* Letters, digits and _ stay. */
static const char *symbol_clean(Arena *a, const char *s) {
  char *t = arena_strdup(a, s);
  for (char *p = t; *p; p++)
    if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
          (*p >= '0' && *p <= '9')))
      *p = '_';
  return t;
}

static bool symbol_taken(const Emission *e, const char *s) {
  for (size_t i = 0; i < e->steps.n; i++)
    if (strcmp(e->steps.at[i].symbol, s) == 0) return true;
  return false;
}

/* Names of a step.  Names of values are left out: a printed program gives
 * names to values that had none, and must build to the same bytes. */
static void step_name(Emission *e, Step *s) {
  Gen *g = &e->g;
  const Node *n = s->node;
  bool moves = s->output >= 0 || s->state;
  s->op = moves ? "convert" : op_info(n->op)->name;
  s->kernel = moves ? "copy" : n->kernel;
  s->path = s->output >= 0 ? g->func->outputs.at[s->output].name
            : s->state     ? s->state->path
            : n->path      ? n->path
                           : s->op;
  bool model = g->func == g->mod->funcs.at[0];
  const char *stem = arena_printf(
      g->a, "%s.%s%s%s.%s", e->prefix, model ? "" : g->func->name,
      model ? "" : ".", s->kernel, symbol_clean(g->a, s->path));
  s->symbol = stem;
  for (int i = 2; symbol_taken(e, s->symbol); i++)
    s->symbol = arena_printf(g->a, "%s.%d", stem, i);
}

/* ---- which steps there are ------------------------------------------ */

bool value_is_dense(const Node *n) {
  int64_t have[MAX_RANK], want[MAX_RANK], origin;
  if (!layout_strides(&n->type, have, &origin) || origin != 0) return false;
  strides_dense(&n->type, want);
  for (int i = 0; i < n->type.rank; i++)
    if (n->type.dim[i] > 1 && have[i] != want[i]) return false;
  return true;
}

static bool spot_same(Spot a, Spot b) {
  return a.kind == b.kind && a.io == b.io && a.offset == b.offset;
}

/* Whether an alias lies elsewhere than its operand after all (an input
 * that is also an output, say), so that its value must be moved. */
static bool alias_moves(Gen *g, const Node *n) {
  return n->nin == 1 &&
         !spot_same(value_spot(g, n), value_spot(g, n->in[0]));
}

static bool is_leaf(const Node *n) {
  return op_info(n->op)->flags & FLAG_LEAF;
}

static void step_add(Emission *e, Step s) {
  step_name(e, &s);
  vec_push(e->g.a, &e->steps, s);
}

/* The steps of g->func. */
static void steps_collect(Emission *e) {
  Gen *g = &e->g;
  const Func *f = g->func;
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    if (is_leaf(n)) continue;
    if (!n->kernel)
      internal_error(__FILE__, __LINE__, "a node (%s) has no kernel",
                     op_info(n->op)->name);
    if (node_is_alias(n) && !alias_moves(g, n)) continue;
    step_add(e, (Step){ .node = n, .output = -1 });
  }
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Node *n = f->outputs.at[i].node;
    Spot want = { SPOT_IO, (int)(f->inputs.n + i), 0 };
    if (n->op != OP_CONST && spot_same(value_spot(g, n), want) &&
        value_is_dense(n))
      continue;
    step_add(e, (Step){ .node = n, .output = (int)i });
  }
  /* Last, when nothing reads what the states were. */
  for (size_t i = 0; i < f->nexts.n; i++) {
    const Next *x = &f->nexts.at[i];
    if (spot_same(value_spot(g, x->node), state_spot(g, x->state))) continue;
    step_add(e, (Step){ .node = x->node, .output = -1, .state = x->state });
  }
}

/* ---- building ------------------------------------------------------- */

typedef struct KernelRow {
  const char *name;
  void (*emit)(Gen *g, const Node *n);
} KernelRow;

static const KernelRow kernels[] = {
#define KERNEL(name, ops, what) { #name, emit_##name },
#include "ir/kernels.def"
#undef KERNEL
};

static void kernel_emit(Gen *g, const Node *n) {
  /* The loops of the kernels run at least once. */
  if (type_elems(&n->type) == 0) return;
  /* An alias that moves is a copy. */
  const char *name = node_is_alias(n) ? "copy" : n->kernel;
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    if (strcmp(kernels[i].name, name) != 0) continue;
    emit_sized(g, n, kernels[i].emit);
    return;
  }
  internal_error(__FILE__, __LINE__, "no kernel '%s'", n->kernel);
}

Spot step_spot(Gen *g, const Step *s) {
  if (s->state) return state_spot(g, s->state);
  if (s->output < 0) return value_spot(g, s->node);
  return (Spot){ SPOT_IO, (int)g->func->inputs.n + s->output, 0 };
}

/* Row-major into the caller's buffer. */
static void value_copy(Gen *g, const Step *s) {
  Nest t = { .nargs = 1 };
  nest_space(g, &t, &s->node->type);
  strides_dense(&s->node->type, t.arg[0].stride);
  if (!s->state && type_packs(&s->node->type) &&
      func_is_entry(g->mod, g->func))
    packed_strides(g, &s->node->type, t.arg[0].packed);
  t.arg[0].at = spot_ptr(g, step_spot(g, s));
  t.arg[0].elem = s->node->type.elem;
  nest_add(g, &t, s->node);
  nest_copy(g, &t);
}

void step_body(Emission *e, const Step *s, Val fn) {
  Gen *g = &e->g;
  LLVMSetVisibility(fn, LLVMHiddenVisibility);
  attrs_step(e, fn);
  g->fn = fn;
  g->io = LLVMGetParam(fn, 0);
  g->arena = LLVMGetParam(fn, 1);
  g->weights = LLVMGetParam(fn, 2);
  LLVMPositionBuilderAtEnd(g->b,
                           LLVMAppendBasicBlockInContext(g->c, fn, ""));
  sizes_load(g);
  g->nviews = 0;
  /* What a kernel packs may be as large as the weights: gone after it. */
  Arena *keep = g->a;
  g->a = arena_new();
  if (s->output >= 0 || s->state) value_copy(g, s);
  else kernel_emit(g, s->node);
  arena_free(g->a);
  g->a = keep;
  LLVMBuildRetVoid(g->b);
}

static void step_build(Emission *e, Step *s) {
  int parts = step_parts(e, s);
  if (parts > 1 && step_cut(e, s, parts)) return;
  s->fn = LLVMAddFunction(e->g.m, s->symbol, e->g.step_type);
  step_body(e, s, s->fn);
}

void steps_call(Emission *e, const FuncCode *c, Val io, Val arena,
                Val weights) {
  Val args[] = { io, arena, weights };
  for (size_t i = c->first; i < c->end; i++)
    if (e->steps.at[i].node->op != OP_ITEM || e->steps.at[i].output >= 0 ||
        e->steps.at[i].state)
      LLVMBuildCall2(e->g.b, e->g.step_type, e->steps.at[i].fn, args, 3, "");
}

/* ---- bodies --------------------------------------------------------- */

const char *body_name(Emission *e, const Func *f) {
  return symbol_name(e, arena_printf(e->g.a, "body.%s", f->name), false);
}

const FuncCode *func_code(const Emission *e, const Func *f) {
  for (size_t i = 0; i < e->funcs.n; i++)
    if (e->funcs.at[i].func == f) return &e->funcs.at[i];
  unreachable();
}

static bool is_called(const Emission *e, const Func *f) {
  for (size_t i = 0; i < e->steps.n; i++)
    if (node_callee(e->g.mod, e->steps.at[i].node) == f) return true;
  return false;
}

static void body_build(Emission *e, const FuncCode *c) {
  Gen *g = &e->g;
  Val fn = LLVMAddFunction(g->m, body_name(e, c->func), g->step_type);
  LLVMSetVisibility(fn, LLVMHiddenVisibility);
  attrs_step(e, fn);
  LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(g->c, fn, ""));
  steps_call(e, c, LLVMGetParam(fn, 0), LLVMGetParam(fn, 1),
             LLVMGetParam(fn, 2));
  LLVMBuildRetVoid(g->b);
  g->body[func_index(g->mod, c->func)] = fn;
}

void steps_build(Emission *e) {
  Gen *g = &e->g;
  LLVMTypeRef p[] = { g->ptr, g->ptr, g->ptr };
  size_t n;
  Func **order = funcs_bottom_up(g->a, g->mod, &n);
  g->step_type = LLVMFunctionType(g->voidt, p, 3, false);
  for (size_t i = 0; i < n; i++) {
    FuncCode c = { .func = order[i], .first = e->steps.n };
    g->func = order[i];
    steps_collect(e);
    c.end = e->steps.n;
    vec_push(g->a, &e->funcs, c);
  }
  for (size_t i = 0; i < n; i++) {
    FuncCode *c = &e->funcs.at[i];
    g->func = c->func;
    for (size_t k = c->first; k < c->end; k++) step_build(e, &e->steps.at[k]);
    if (is_called(e, c->func)) body_build(e, c);
  }
  g->func = g->mod->funcs.at[0];
}
