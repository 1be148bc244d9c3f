/* run.c - the functions that callers call: PREFIX_run with one argument a
 * tensor, and PREFIX.run_io with all pointers in an array, which checks them
 * and calls the steps in order; the same two for each entry beside the model,
 * and PREFIX_reset.  Compiled for the baseline of the architecture, so that
 * they can say that the CPU lacks something. */
#include <string.h>

#include "backend/emit.h"
#include "runtime/tamis.h"

static void return_if(Gen *g, Val bad, int code) {
  LLVMBasicBlockRef no = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  LLVMBasicBlockRef yes = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  LLVMBuildCondBr(g->b, bad, no, yes);
  LLVMPositionBuilderAtEnd(g->b, no);
  LLVMBuildRet(g->b, k32(g, code));
  LLVMPositionBuilderAtEnd(g->b, yes);
}

static Val is_null(Gen *g, Val p) {
  return LLVMBuildICmp(g->b, LLVMIntEQ, p, LLVMConstNull(g->ptr), "");
}

/* ---- names ---------------------------------------------------------- */

static bool is_model(const Emission *e, const Func *f) {
  return f == e->g.mod->funcs.at[0];
}

const char *entry_name(const Emission *e, const Func *f) {
  if (!is_model(e, f)) return f->name;
  return e->g.mod->states.n ? "step" : "run";
}

const char *entry_io_name(Emission *e, const Func *f) {
  const char *name = arena_printf(e->g.a, "io.%s", f->name);
  return symbol_name(e, is_model(e, f) ? "run_io" : name, false);
}

/* ---- run ------------------------------------------------------------ */

Val function_begin(Emission *e, const char *name, LLVMTypeRef type,
                   bool exported) {
  Gen *g = &e->g;
  g->fn = LLVMAddFunction(g->m, name, type);
  if (!exported) LLVMSetVisibility(g->fn, LLVMHiddenVisibility);
  attrs_baseline(e, g->fn);
  LLVMPositionBuilderAtEnd(g->b,
                           LLVMAppendBasicBlockInContext(g->c, g->fn, ""));
  return g->fn;
}

/* The bits of p that an aligned pointer has not. */
static Val low_bits(Gen *g, Val p) {
  Val n = LLVMBuildPtrToInt(g->b, p, g->i64, "");
  return LLVMBuildAnd(g->b, n, k64(g, ARENA_ALIGN - 1), "");
}

int64_t dim_least(const Emission *e, const FreeDim *d) {
  return e->is_version ? dim_from(d) : d->least;
}

Val dim_outside(Gen *g, Val dims, int i, int64_t least, int64_t most) {
  Val v = LLVMBuildLoad2(g->b, g->i64, addrk(g, dims, 8 * i), "");
  Val off = LLVMBuildSub(g->b, v, k64(g, least), "");
  return LLVMBuildICmp(g->b, LLVMIntUGT, off, k64(g, most - least), "");
}

/* Each size is one of its range. */
static void dims_check(const Emission *e, Gen *g, const Func *f, Val io) {
  const FreeDims *free = g->mod->free;
  if (!free) return;
  Val dims = slot_load(g, io, dims_slot(f));
  for (int i = 0; i < free->n; i++) {
    const FreeDim *d = &free->dim[i];
    return_if(g, dim_outside(g, dims, i, dim_least(e, d), d->most),
              TAMIS_ERR_DIM);
  }
}

static Val run_io_build(Emission *e, const FuncCode *c, Val check) {
  Gen *g = &e->g;
  LLVMTypeRef p[] = { g->ptr, g->ptr };
  Val fn = function_begin(e, entry_io_name(e, c->func),
                          LLVMFunctionType(g->i32, p, 2, false), false);
  Val io = LLVMGetParam(fn, 0), arena = LLVMGetParam(fn, 1);
  Val low = low_bits(g, arena), weights = g->weights;
  int tensors = dims_slot(c->func) + (g->mod->free != NULL);
  return_if(g, is_null(g, io), TAMIS_ERR_NULL);
  for (int i = 0; i < io_slots(g, c->func); i++) {
    if (g->pool_slot && i == pool_slot(g, c->func)) continue;
    Val v = slot_load(g, io, i);
    return_if(g, is_null(g, v), TAMIS_ERR_NULL);
    if (i == tensors && g->weights_slot) weights = v;
    if (i >= tensors) low = LLVMBuildOr(g->b, low, low_bits(g, v), "");
  }
  if (e->info->arena_bytes > 0)
    return_if(g, is_null(g, arena), TAMIS_ERR_NULL);
  return_if(g, LLVMBuildICmp(g->b, LLVMIntNE, low, k64(g, 0), ""),
            TAMIS_ERR_ALIGN);
  Val lacks = LLVMBuildCall2(g->b, LLVMFunctionType(g->i32, NULL, 0, false),
                             check, NULL, 0, "");
  return_if(g, LLVMBuildICmp(g->b, LLVMIntNE, lacks, k32(g, 0), ""),
            TAMIS_ERR_CPU);
  dims_check(e, g, c->func, io);
  steps_call(e, c, io, arena, weights);
  LLVMBuildRet(g->b, k32(g, TAMIS_OK));
  return fn;
}

/* int PREFIX_run(inputs, outputs, [dims,] [weights,] [state,] [pool,] arena) */
void run_wrap(Emission *e, const Func *f, Val run_io) {
  Gen *g = &e->g;
  int n = io_slots(g, f);
  LLVMTypeRef *p = arena_array(g->a, LLVMTypeRef, (size_t)n + 1);
  for (int i = 0; i <= n; i++) p[i] = g->ptr;
  Val fn = function_begin(e, symbol_name(e, entry_name(e, f), true),
                          LLVMFunctionType(g->i32, p, (unsigned)n + 1, false),
                          true);
  LLVMTypeRef slots = LLVMArrayType2(g->ptr, (uint64_t)(n ? n : 1));
  Val io = LLVMBuildAlloca(g->b, slots, "");
  for (int i = 0; i < n; i++)
    slot_store(g, io, i, LLVMGetParam(fn, (unsigned)i));
  Val args[] = { io, LLVMGetParam(fn, (unsigned)n) };
  LLVMTypeRef two[] = { g->ptr, g->ptr };
  Val r = LLVMBuildCall2(g->b, LLVMFunctionType(g->i32, two, 2, false),
                         run_io, args, 2, "");
  LLVMBuildRet(g->b, r);
}

/* ---- reset ---------------------------------------------------------- */

static void state_fill(Gen *g, const State *s, Val to) {
  int64_t n = type_elems(&s->type);
  Elem e = s->type.elem;
  Node literal = { .op = OP_CONST, .value = s->value, .ivalue = s->ivalue };
  uint64_t bits = 0;
  literal.type = type_make(e, 0, NULL);
  if (elem_is_float(e)) elem_store(e, &bits, 0, s->value);
  else elem_store_int(e, &bits, 0, s->ivalue);
  if (n == 0 || bits == 0) return;
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, n), 1, true, "fill");
  store_elem(g, e, const_of(g, &literal),
             addr_at(g, to, l.iv, (int64_t)elem_size(e)), 0);
  loop_end(g, &l);
}

/* void PREFIX_reset(void *state) */
void reset_build(Emission *e) {
  Gen *g = &e->g;
  Val fn = function_begin(e, symbol_name(e, "reset", true),
                          LLVMFunctionType(g->voidt, &g->ptr, 1, false),
                          !e->is_version);
  Val state = LLVMGetParam(fn, 0);
  If f;
  if_begin(g, &f, LLVMBuildNot(g->b, is_null(g, state), ""));
  LLVMBuildMemSet(g->b, state, LLVMConstInt(g->i8, 0, false),
                  k64(g, g->state_bytes), 1);
  for (size_t i = 0; i < g->mod->states.n; i++)
    state_fill(g, g->mod->states.at[i], addrk(g, state, g->state_at[i]));
  if_end(g, &f);
  LLVMBuildRetVoid(g->b);
}

void run_build(Emission *e) {
  Gen *g = &e->g;
  if (!e->o->external_weights) {
    Val w = LLVMAddGlobal(g->m, LLVMArrayType2(g->i8, g->blob.n),
                          weights_name(e));
    LLVMSetVisibility(w, LLVMHiddenVisibility);
    LLVMSetGlobalConstant(w, true);
    LLVMSetAlignment(w, ARENA_ALIGN);
    g->weights = w;
  }
  Val check = check_cpu_build(e, &g->t, 1);
  for (size_t i = 0; i < e->funcs.n; i++) {
    const FuncCode *c = &e->funcs.at[i];
    if (!func_is_entry(g->mod, c->func)) continue;
    Val run_io = run_io_build(e, c, check);
    if (!e->is_version) run_wrap(e, c->func, run_io);
  }
  if (g->mod->states.n) reset_build(e);
}
