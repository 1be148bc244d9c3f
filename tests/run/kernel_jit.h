/* kernel_jit.h - one kernel of the backend, compiled into this process: for
 * the tests of kernels and for bench/kernels.c. */
#ifndef TAMIS_KERNEL_JIT_H
#define TAMIS_KERNEL_JIT_H

#include "backend/codegen.h"

#include <llvm-c/ExecutionEngine.h>

typedef struct KernelJit {
  void (*run)(void *const *io, char *arena, const char *weights);
  char *weights;              /* the packed blob */
  size_t weight_bytes;
  double seconds;             /* to build and compile it */
  LLVMContextRef c;
  LLVMExecutionEngineRef e;
} KernelJit;

/* Compile the kernel of node n, whose operands lie in the arena at their
 * types' `at`.  asm_path, if not NULL: write the assembly there. */
void kernel_compile(KernelJit *k, Module *m, Func *f, const Node *n,
                    const Target *t, const char *asm_path);
/* The same in so many parts (1: in one piece), which come from the last to
 * the first. */
void kernel_compile_parts(KernelJit *k, Module *m, Func *f, const Node *n,
                          const Target *t, int parts, const char *asm_path);
void kernel_free(KernelJit *k);

#endif
