/* target.h - inside backend/: instruction sets of a resolved target. */
#ifndef TAMIS_BACKEND_TARGET_H
#define TAMIS_BACKEND_TARGET_H

#include "backend/backend.h"

/* A feature of x86_64 and where cpuid says whether it is there. */
typedef struct CpuFeature {
  const char *name;
  uint32_t leaf, sub;
  int reg, bit;          /* reg 0..3: eax, ebx, ecx, edx */
  uint32_t needs;        /* mask of the features it implies */
} CpuFeature;
const CpuFeature *target_feature(int i);   /* NULL behind the last */
/* The set of features beyond the baseline that code for t may use; bit i is
 * feature i of x86-64, others have none. */
uint32_t target_mask(const Target *t);
/* The same as LLVM takes it: "+sse3,+avx2". */
const char *target_isa(Arena *a, const Target *t);
/* Drop the vendor: x86_64-pc-linux-gnu is x86_64-linux-gnu. */
const char *triple_canonical(Arena *a, const char *triple);
/* Debian's packages that link for it. */
const char *target_packages(const char *triple);
/* Make LLVM ready to compile for it. */
void target_init(const Target *t);

#endif
