/* kernel_jit.c - see kernel_jit.h. */
#include "tests/run/kernel_jit.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void gen_types(Gen *g) {
  LLVMContextRef c = g->c;
  g->i1 = LLVMInt1TypeInContext(c);
  g->i8 = LLVMInt8TypeInContext(c);
  g->i16 = LLVMInt16TypeInContext(c);
  g->i32 = LLVMInt32TypeInContext(c);
  g->i64 = LLVMInt64TypeInContext(c);
  g->f32 = LLVMFloatTypeInContext(c);
  g->f64 = LLVMDoubleTypeInContext(c);
  g->ptr = LLVMPointerTypeInContext(c, 0);
  g->voidt = LLVMVoidTypeInContext(c);
  g->vec = LLVMVectorType(g->f32, (unsigned)g->t->lanes);
  g->veci = LLVMVectorType(g->i32, (unsigned)g->t->lanes);
}

static void emit_node(Gen *g, const Node *n) {
#define KERNEL(name, ops, what) \
  if (strcmp(n->kernel, #name) == 0) { emit_##name(g, n); return; }
#include "ir/kernels.def"
#undef KERNEL
  unreachable();
}

static void set_attr(Gen *g, const char *key, const char *value) {
  LLVMAttributeRef a = LLVMCreateStringAttribute(
      g->c, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
  LLVMAddAttributeAtIndex(g->fn, LLVMAttributeFunctionIndex, a);
}

static Val function_begin(Gen *g, const char *name, LLVMTypeRef type,
                          const Target *t) {
  g->fn = LLVMAddFunction(g->m, name, type);
  set_attr(g, "target-cpu", t->cpu);
  set_attr(g, "target-features", t->features);
  g->io = LLVMGetParam(g->fn, 0);
  g->arena = LLVMGetParam(g->fn, 1);
  g->weights = LLVMGetParam(g->fn, 2);
  LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  LLVMPositionBuilderAtEnd(g->b, entry);
  return g->fn;
}

static void build(Gen *g, const Node *n, const Target *t) {
  LLVMTypeRef arg[] = { g->ptr, g->ptr, g->ptr, g->i64 };
  LLVMTypeRef whole = LLVMFunctionType(g->voidt, arg, 3, false);
  LLVMTypeRef one = LLVMFunctionType(g->voidt, arg, 4, false);
  bool cut = g->parts > 1;
  Val part = function_begin(g, cut ? "part" : "kernel", cut ? one : whole, t);
  if (cut) g->part = LLVMGetParam(part, 3);
  emit_node(g, n);
  LLVMBuildRetVoid(g->b);
  if (!cut) return;
  /* What shares no loop is done by the last part alone. */
  int first = g->divided ? 0 : g->parts - 1;
  function_begin(g, "kernel", whole, t);
  Val args[] = { g->io, g->arena, g->weights, NULL };
  for (int i = g->parts; i-- > first;) {
    args[3] = k64(g, i);
    LLVMBuildCall2(g->b, one, part, args, 4, "");
  }
  LLVMBuildRetVoid(g->b);
}

static void write_asm(LLVMModuleRef m, const Target *t, const char *path) {
  char *err = NULL;
  LLVMTargetRef tr;
  ensure(!LLVMGetTargetFromTriple(t->triple, &tr, &err));
  LLVMTargetMachineRef tm = LLVMCreateTargetMachine(
      tr, t->triple, t->cpu, t->features, LLVMCodeGenLevelDefault,
      LLVMRelocPIC, LLVMCodeModelDefault);
  LLVMModuleRef copy = LLVMCloneModule(m);
  ensure(!LLVMTargetMachineEmitToFile(tm, copy, (char *)(uintptr_t)path,
                                      LLVMAssemblyFile, &err));
  LLVMDisposeModule(copy);
  LLVMDisposeTargetMachine(tm);
}

void kernel_compile(KernelJit *k, Module *m, Func *f, const Node *n,
                    const Target *t, const char *asm_path) {
  kernel_compile_parts(k, m, f, n, t, 1, asm_path);
}

void kernel_compile_parts(KernelJit *k, Module *m, Func *f, const Node *n,
                          const Target *t, int parts, const char *asm_path) {
  double start = now();
  char *err = NULL;
  LLVMLinkInMCJIT();
  LLVMInitializeNativeTarget();
  LLVMInitializeNativeAsmPrinter();
  LLVMInitializeNativeAsmParser();
  Gen g = { .t = t, .opt = 2, .mod = m, .func = f, .a = arena_new(),
            .parts = parts };
  g.c = LLVMContextCreate();
  g.m = LLVMModuleCreateWithNameInContext("kernel", g.c);
  g.b = LLVMCreateBuilderInContext(g.c);
  g.param_at = arena_array(g.a, int64_t, m->params.n + 1);
  for (size_t i = 0; i < m->params.n; i++) g.param_at[i] = -1;
  gen_types(&g);
  build(&g, n, t);
  if (LLVMVerifyModule(g.m, LLVMReturnStatusAction, &err))
    internal_error(__FILE__, __LINE__, "%s", err);
  LLVMDisposeMessage(err);
  LLVMDisposeBuilder(g.b);
  if (asm_path) write_asm(g.m, t, asm_path);
  struct LLVMMCJITCompilerOptions o;
  LLVMInitializeMCJITCompilerOptions(&o, sizeof o);
  o.OptLevel = 2;
  k->c = g.c;
  if (LLVMCreateMCJITCompilerForModule(&k->e, g.m, &o, sizeof o, &err))
    internal_error(__FILE__, __LINE__, "%s", err);
  k->run = (void (*)(void *const *, char *, const char *))
      LLVMGetFunctionAddress(k->e, "kernel");
  k->weight_bytes = g.blob.n;
  k->weights = aligned_alloc(64, (g.blob.n + 64) / 64 * 64);
  if (g.blob.n) memcpy(k->weights, g.blob.at, g.blob.n);
  free(g.blob.at);
  arena_free(g.a);
  k->seconds = now() - start;
}

void kernel_free(KernelJit *k) {
  LLVMDisposeExecutionEngine(k->e);
  LLVMContextDispose(k->c);
  free(k->weights);
}
