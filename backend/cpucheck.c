/* cpucheck.c - whether the CPU has what the steps use.  On x86-64 that is
 * asked of cpuid, which takes several microseconds under a hypervisor: too
 * long for every call of a small net.  So an indirect function is resolved
 * by the dynamic loader, once, to one that returns 0 or the error; nothing
 * that changes later is stored.  On aarch64 the steps use the baseline
 * alone, and the check is empty.
 *
 * Which of several versions of an artifact is called is decided the same
 * way. */
#include <string.h>

#include "backend/emit.h"
#include "backend/target.h"
#include "runtime/tamis.h"

static Val hidden_begin(Emission *e, const char *name, LLVMTypeRef type) {
  return function_begin(e, symbol_name(e, name, false), type, false);
}

static Val fn_constant(Emission *e, const char *name, LLVMTypeRef type,
                       int value) {
  Val fn = hidden_begin(e, name, type);
  LLVMBuildRet(e->g.b, k32(&e->g, value));
  return fn;
}

static Val asm_call(Gen *g, LLVMTypeRef type, const char *text,
                    const char *constraints, Val *args, unsigned n) {
  Val a = LLVMGetInlineAsm(type, text, strlen(text), constraints,
                           strlen(constraints), true, false,
                           LLVMInlineAsmDialectATT, false);
  return LLVMBuildCall2(g->b, type, a, args, n, "");
}

/* cpuid: struct { eax, ebx, ecx, edx }. */
static Val cpuid(Gen *g, uint32_t leaf, uint32_t sub) {
  LLVMTypeRef r[] = { g->i32, g->i32, g->i32, g->i32 };
  LLVMTypeRef p[] = { g->i32, g->i32 };
  LLVMTypeRef t = LLVMFunctionType(
      LLVMStructTypeInContext(g->c, r, 4, false), p, 2, false);
  Val args[] = { k32(g, (int32_t)leaf), k32(g, (int32_t)sub) };
  return asm_call(g, t, "cpuid", "={ax},={bx},={cx},={dx},0,2", args, 2);
}

/* Low half of the register that says what state the system saves. */
static Val xgetbv(Gen *g) {
  LLVMTypeRef r[] = { g->i32, g->i32 };
  LLVMTypeRef t = LLVMFunctionType(
      LLVMStructTypeInContext(g->c, r, 2, false), &g->i32, 1, false);
  Val zero = k32(g, 0);
  Val v = asm_call(g, t, "xgetbv", "={ax},={dx},{cx}", &zero, 1);
  return LLVMBuildExtractValue(g->b, v, 0, "");
}

/* Go on when all of `bits` are set in v, else to `bad`. */
static void need_bits(Gen *g, Val v, uint32_t bits, LLVMBasicBlockRef bad) {
  Val k = k32(g, (int32_t)bits);
  Val has = LLVMBuildICmp(g->b, LLVMIntEQ, LLVMBuildAnd(g->b, v, k, ""), k,
                          "");
  LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  LLVMBuildCondBr(g->b, has, next, bad);
  LLVMPositionBuilderAtEnd(g->b, next);
}

static void need_leaf(Gen *g, uint32_t leaf, LLVMBasicBlockRef bad) {
  Val top = LLVMBuildExtractValue(g->b, cpuid(g, leaf & 0x80000000u, 0), 0,
                                  "");
  Val has = LLVMBuildICmp(g->b, LLVMIntUGE, top, k32(g, (int32_t)leaf), "");
  LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  LLVMBuildCondBr(g->b, has, next, bad);
  LLVMPositionBuilderAtEnd(g->b, next);
}

/* All features of the mask that one leaf tells. */
static void need_features(Gen *g, uint32_t mask, uint32_t leaf,
                          LLVMBasicBlockRef bad) {
  uint32_t bits[4] = { 0 };
  for (int i = 0; target_feature(i); i++) {
    const CpuFeature *f = target_feature(i);
    if (mask >> i & 1 && f->leaf == leaf) bits[f->reg] |= 1u << f->bit;
  }
  if (!(bits[0] | bits[1] | bits[2] | bits[3])) return;
  need_leaf(g, leaf, bad);
  Val v = cpuid(g, leaf, 0);
  for (unsigned r = 0; r < 4; r++)
    if (bits[r]) need_bits(g, LLVMBuildExtractValue(g->b, v, r, ""), bits[r],
                           bad);
}

static bool mask_has(uint32_t mask, const char *name) {
  for (int i = 0; target_feature(i); i++)
    if (strcmp(target_feature(i)->name, name) == 0) return mask >> i & 1;
  return false;
}

/* Return `good` when the CPU has all features of the mask, else go on. */
static void return_if_runs(Gen *g, uint32_t mask, Val good) {
  enum { OSXSAVE = 1 << 27, STATE_YMM = 0x6, STATE_ZMM = 0xe6 };
  LLVMBasicBlockRef no = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  need_features(g, mask, 1, no);
  if (mask_has(mask, "avx")) {
    /* xgetbv exists where the system uses it. */
    need_bits(g, LLVMBuildExtractValue(g->b, cpuid(g, 1, 0), 2, ""), OSXSAVE,
              no);
    need_bits(g, xgetbv(g),
              mask_has(mask, "avx512f") ? STATE_ZMM : STATE_YMM, no);
  }
  need_features(g, mask, 7, no);
  need_features(g, mask, 0x80000001u, no);
  LLVMBuildRet(g->b, good);
  LLVMMoveBasicBlockAfter(no, LLVMGetInsertBlock(g->b));
  LLVMPositionBuilderAtEnd(g->b, no);
}

Val cpu_pick(Emission *e, const char *name, LLVMTypeRef type,
             const CpuChoice *choice, int n, Val otherwise) {
  Gen *g = &e->g;
  Val fn = hidden_begin(e, arena_printf(g->a, "%s_resolve", name),
                        LLVMFunctionType(g->ptr, NULL, 0, false));
  for (int i = 0; i < n; i++) return_if_runs(g, choice[i].mask, choice[i].fn);
  LLVMBuildRet(g->b, otherwise);
  const char *symbol = symbol_name(e, name, false);
  Val pick = LLVMAddGlobalIFunc(g->m, symbol, strlen(symbol), type, 0, fn);
  LLVMSetVisibility(pick, LLVMHiddenVisibility);
  return pick;
}

Val check_cpu_build(Emission *e, const Target *const *t, int n) {
  Gen *g = &e->g;
  LLVMTypeRef type = LLVMFunctionType(g->i32, NULL, 0, false);
  CpuChoice *any = arena_array(g->a, CpuChoice, (size_t)n);
  for (int i = 0; i < n; i++)
    if (!target_mask(t[i])) return fn_constant(e, "check_cpu", type, TAMIS_OK);
  Val good = fn_constant(e, "cpu_good", type, TAMIS_OK);
  Val bad = fn_constant(e, "cpu_lacks", type, TAMIS_ERR_CPU);
  for (int i = 0; i < n; i++) any[i] = (CpuChoice){ target_mask(t[i]), good };
  Val choice = cpu_pick(e, "cpu", type, any, n, bad);
  Val fn = hidden_begin(e, "check_cpu", type);
  LLVMBuildRet(g->b, LLVMBuildCall2(g->b, type, choice, NULL, 0, ""));
  return fn;
}
