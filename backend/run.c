/* run.c - the functions that callers call: PREFIX_run with one argument a
 * tensor, and PREFIX.run_io with all pointers in an array, which checks them
 * and calls the steps in order.  Compiled for the baseline of the
 * architecture, so that they can say that the CPU lacks something. */
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

/* Number of pointers of a call besides the arena. */
static int io_count(const Emission *e) {
  const Func *f = e->g.func;
  return (int)(f->inputs.n + f->outputs.n) + (e->o->external_weights != NULL);
}

static Val io_slot(Gen *g, Val io, int i) {
  return addrk(g, io, i * (int64_t)sizeof(void *));
}

static Val run_io_build(Emission *e, Val check) {
  Gen *g = &e->g;
  LLVMTypeRef p[] = { g->ptr, g->ptr };
  LLVMTypeRef type = LLVMFunctionType(g->i32, p, 2, false);
  Val fn = LLVMAddFunction(g->m, symbol_name(e, "run_io", false), type);
  LLVMSetVisibility(fn, LLVMHiddenVisibility);
  attrs_baseline(e, fn);
  g->fn = fn;
  LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(g->c, fn, ""));
  Val io = LLVMGetParam(fn, 0), arena = LLVMGetParam(fn, 1);
  Val last = NULL;
  return_if(g, is_null(g, io), TAMIS_ERR_NULL);
  for (int i = 0; i < io_count(e); i++) {
    last = LLVMBuildLoad2(g->b, g->ptr, io_slot(g, io, i), "");
    return_if(g, is_null(g, last), TAMIS_ERR_NULL);
  }
  if (e->info->arena_bytes > 0)
    return_if(g, is_null(g, arena), TAMIS_ERR_NULL);
  Val low = LLVMBuildPtrToInt(g->b, arena, g->i64, "");
  if (e->o->external_weights)
    low = LLVMBuildOr(g->b, low, LLVMBuildPtrToInt(g->b, last, g->i64, ""),
                      "");
  low = LLVMBuildAnd(g->b, low, k64(g, ARENA_ALIGN - 1), "");
  return_if(g, LLVMBuildICmp(g->b, LLVMIntNE, low, k64(g, 0), ""),
            TAMIS_ERR_ALIGN);
  Val lacks = LLVMBuildCall2(g->b, LLVMFunctionType(g->i32, NULL, 0, false),
                             check, NULL, 0, "");
  return_if(g, LLVMBuildICmp(g->b, LLVMIntNE, lacks, k32(g, 0), ""),
            TAMIS_ERR_CPU);
  Val args[] = { io, arena, e->o->external_weights ? last : g->weights };
  for (size_t i = 0; i < e->steps.n; i++)
    LLVMBuildCall2(g->b, e->step_type, e->steps.at[i].fn, args, 3, "");
  LLVMBuildRet(g->b, k32(g, TAMIS_OK));
  return fn;
}

/* int PREFIX_run(inputs, outputs, [weights,] arena) */
static void run_wrap(Emission *e, Val run_io) {
  Gen *g = &e->g;
  int n = io_count(e);
  LLVMTypeRef *p = arena_array(g->a, LLVMTypeRef, (size_t)n + 1);
  for (int i = 0; i <= n; i++) p[i] = g->ptr;
  LLVMTypeRef type = LLVMFunctionType(g->i32, p, (unsigned)n + 1, false);
  Val fn = LLVMAddFunction(g->m, symbol_name(e, "run", true), type);
  attrs_baseline(e, fn);
  g->fn = fn;
  LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(g->c, fn, ""));
  LLVMTypeRef slots = LLVMArrayType2(g->ptr, (uint64_t)(n ? n : 1));
  Val io = LLVMBuildAlloca(g->b, slots, "");
  for (int i = 0; i < n; i++)
    LLVMBuildStore(g->b, LLVMGetParam(fn, (unsigned)i), io_slot(g, io, i));
  Val args[] = { io, LLVMGetParam(fn, (unsigned)n) };
  LLVMTypeRef two[] = { g->ptr, g->ptr };
  Val r = LLVMBuildCall2(g->b, LLVMFunctionType(g->i32, two, 2, false),
                         run_io, args, 2, "");
  LLVMBuildRet(g->b, r);
}

void run_build(Emission *e) {
  Gen *g = &e->g;
  if (!e->o->external_weights) {
    const char *name = symbol_name(e, "weights", true);
    Val w = LLVMAddGlobal(g->m, LLVMArrayType2(g->i8, g->blob.n), name);
    LLVMSetVisibility(w, LLVMHiddenVisibility);
    LLVMSetGlobalConstant(w, true);
    LLVMSetAlignment(w, ARENA_ALIGN);
    g->weights = w;
  }
  run_wrap(e, run_io_build(e, check_cpu_build(e)));
}
