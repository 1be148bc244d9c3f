/* target.c - what can be compiled for: triples, CPUs, features, and the
 * choice among them.  The tables are targets.def. */
#include "backend/target.h"

#include <llvm-c/TargetMachine.h>
#include <string.h>

#include "backend/compat.h"
#include "backend/tools.h"

enum {
#define FEATURE(e, ...) FEATURE_##e,
#include "backend/targets.def"
  FEATURE_COUNT
};
#define HAS(f) (1u << FEATURE_##f)

/* The levels of the x86-64 psABI (xsave and sahf are for kernels and
 * compilers of C; code of ours has no use for them). */
#define LEVEL_2 \
  (HAS(SSE3) | HAS(SSSE3) | HAS(SSE41) | HAS(SSE42) | HAS(POPCNT) | HAS(CX16))
#define LEVEL_3                                                        \
  (LEVEL_2 | HAS(AVX) | HAS(F16C) | HAS(FMA) | HAS(MOVBE) | HAS(AVX2) | \
   HAS(BMI) | HAS(BMI2) | HAS(LZCNT))
#define LEVEL_4                                                         \
  (LEVEL_3 | HAS(AVX512F) | HAS(AVX512CD) | HAS(AVX512BW) | HAS(AVX512DQ) | \
   HAS(AVX512VL))
static const uint32_t level_mask[] = { 0, 0, LEVEL_2, LEVEL_3, LEVEL_4 };

static const CpuFeature features[] = {
#define FEATURE(e, name, leaf, sub, reg, bit, needs) \
  { name, leaf, sub, reg, bit, needs },
#include "backend/targets.def"
};

typedef struct CpuRow { const char *name, *arch; int level; } CpuRow;
static const CpuRow cpus[] = {
#define CPU(name, arch, level) { name, arch, level },
#include "backend/targets.def"
};

typedef struct TargetRow {
  const char *triple, *arch, *llvm, *what, *packages;
} TargetRow;
static const TargetRow targets[] = {
#define TARGET(triple, arch, llvm, what, packages) \
  { triple, arch, llvm, what, packages },
#include "backend/targets.def"
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

#if defined(__x86_64__)
static const char host_triple[] = "x86_64-linux-gnu";
#elif defined(__aarch64__)
static const char host_triple[] = "aarch64-linux-gnu";
#else
static const char host_triple[] = "";
#endif

const char *backend_llvm_version(void) { return LLVM_VERSION_TEXT; }

/* ---- look-up -------------------------------------------------------- */

/* The rows whose backend this LLVM has. */
static bool target_usable(const TargetRow *t) {
#define LLVM_TARGET(name) if (strcmp(t->llvm, #name) == 0) return true;
#include <llvm/Config/Targets.def>
  return false;
}

const char *triple_canonical(Arena *a, const char *triple) {
  const char *dash = strchr(triple, '-');
  if (!dash) return triple;
  static const char *const vendors[] = { "-pc-", "-unknown-" };
  for (size_t i = 0; i < COUNT(vendors); i++)
    if (strncmp(dash, vendors[i], strlen(vendors[i])) == 0)
      return arena_printf(a, "%.*s-%s", (int)(dash - triple), triple,
                          dash + strlen(vendors[i]));
  return triple;
}

static const TargetRow *target_find(const char *triple) {
  for (size_t i = 0; i < COUNT(targets); i++)
    if (target_usable(&targets[i]) && strcmp(targets[i].triple, triple) == 0)
      return &targets[i];
  return NULL;
}

bool target_is_host(const char *triple) {
  return strcmp(triple, host_triple) == 0;
}

const char *target_packages(const char *triple) {
  const TargetRow *t = target_find(triple);
  ensure(t);
  return target_is_host(triple) ? "gcc and binutils" : t->packages;
}

void target_init(const Target *target) {
  const TargetRow *t = target_find(target->triple);
  ensure(t);
#define LLVM_TARGET(name)                   \
  if (strcmp(t->llvm, #name) == 0) {        \
    LLVMInitialize##name##TargetInfo();     \
    LLVMInitialize##name##Target();         \
    LLVMInitialize##name##TargetMC();       \
  }
#include <llvm/Config/Targets.def>
#define LLVM_ASM_PRINTER(name) \
  if (strcmp(t->llvm, #name) == 0) LLVMInitialize##name##AsmPrinter();
#include <llvm/Config/AsmPrinters.def>
#define LLVM_ASM_PARSER(name) \
  if (strcmp(t->llvm, #name) == 0) LLVMInitialize##name##AsmParser();
#include <llvm/Config/AsmParsers.def>
}

static const CpuRow *cpu_find(const char *arch, const char *name) {
  for (size_t i = 0; i < COUNT(cpus); i++)
    if (strcmp(cpus[i].arch, arch) == 0 && strcmp(cpus[i].name, name) == 0)
      return &cpus[i];
  return NULL;
}

static uint32_t cpu_mask(const CpuRow *c) {
  return strcmp(c->arch, "x86_64") == 0 ? level_mask[c->level] : 0;
}

static bool unknown_name(Diags *d, const char *kind, const char *name,
                         const char *const *names, size_t n) {
  const char *near = nearest_name(name, names, n);
  if (near)
    return diag_error_at(d, EXIT_UNSUPPORTED, kind,
                         "'%s' is not known; did you mean '%s'?", name, near);
  return diag_error_at(d, EXIT_UNSUPPORTED, kind,
                       "'%s' is not known; 'tamis targets' lists what is",
                       name);
}

static bool unknown_cpu(Diags *d, const char *arch, const char *name) {
  const char *names[COUNT(cpus)];
  size_t n = 0;
  for (size_t i = 0; i < COUNT(cpus); i++)
    if (strcmp(cpus[i].arch, arch) == 0) names[n++] = cpus[i].name;
  return unknown_name(d, "--cpu", name, names, n);
}

static bool unknown_target(Diags *d, const char *name) {
  const char *names[COUNT(targets)];
  size_t n = 0;
  for (size_t i = 0; i < COUNT(targets); i++)
    if (target_usable(&targets[i])) names[n++] = targets[i].triple;
  return unknown_name(d, "--target", name, names, n);
}

/* ---- features ------------------------------------------------------- */

/* Everything that the features of the set imply as well. */
static uint32_t mask_close(uint32_t mask) {
  for (int i = FEATURE_COUNT - 1; i >= 0; i--)
    if (mask >> i & 1) mask |= features[i].needs;
  return mask;
}

/* Without feature i and whatever needs it. */
static uint32_t mask_without(uint32_t mask, int f) {
  mask &= ~(1u << f);
  for (int i = f + 1; i < FEATURE_COUNT; i++)
    if (mask_close(features[i].needs) >> f & 1) mask &= ~(1u << i);
  return mask;
}

static int feature_find(const char *name, size_t n) {
  for (int i = 0; i < FEATURE_COUNT; i++)
    if (strlen(features[i].name) == n && !strncmp(features[i].name, name, n))
      return i;
  return -1;
}

static bool unknown_feature(Diags *d, Arena *a, const char *name, size_t n) {
  const char *names[FEATURE_COUNT];
  for (int i = 0; i < FEATURE_COUNT; i++) names[i] = features[i].name;
  return unknown_name(d, "--features", arena_strndup(a, name, n), names,
                      FEATURE_COUNT);
}

/* Apply "+a,-b" to a set. */
static bool mask_apply(Diags *d, Arena *a, bool x86, const char *text,
                       uint32_t *mask) {
  for (const char *p = text; *p;) {
    size_t n = strcspn(p, ",");
    if (n < 2 || (*p != '+' && *p != '-'))
      return diag_error_at(d, EXIT_USAGE, "--features",
                           "'%.*s' is neither +NAME nor -NAME", (int)n, p);
    int f = x86 ? feature_find(p + 1, n - 1) : -1;
    if (f < 0) return unknown_feature(d, a, p + 1, n - 1);
    if (*p == '+') *mask = mask_close(*mask | 1u << f);
    else *mask = mask_without(*mask, f);
    p += n + (p[n] == ',');
  }
  return true;
}

/* A set as changes to another: "+a,-b" in the order of the table. */
static const char *mask_text(Arena *a, uint32_t mask, uint32_t from) {
  const char *s = "";
  for (int i = 0; i < FEATURE_COUNT; i++)
    if ((mask ^ from) >> i & 1)
      s = arena_printf(a, "%s%s%c%s", s, *s ? "," : "",
                       mask >> i & 1 ? '+' : '-', features[i].name);
  return s;
}

/* ---- the host ------------------------------------------------------- */

/* The features that this machine's CPU has. */
static uint32_t host_mask(void) {
  uint32_t mask = 0;
  char *text = LLVMGetHostCPUFeatures();
  for (const char *p = text; *p;) {
    size_t n = strcspn(p, ",");
    int f = n > 1 && *p == '+' ? feature_find(p + 1, n - 1) : -1;
    if (f >= 0) mask |= 1u << f;
    p += n + (p[n] == ',');
  }
  LLVMDisposeMessage(text);
  /* A hypervisor may hide what another feature needs. */
  for (int i = 0; i < FEATURE_COUNT; i++)
    if ((mask & features[i].needs) != features[i].needs) mask &= ~(1u << i);
  return mask;
}

/* The row of this machine's CPU; one that the table lacks becomes the
 * highest level that it has all of. */
static const CpuRow *host_cpu(const char *arch, uint32_t mask) {
  char *name = LLVMGetHostCPUName();
  const CpuRow *c = cpu_find(arch, name);
  LLVMDisposeMessage(name);
  if (c) return c;
  if (strcmp(arch, "x86_64") != 0) return cpu_find(arch, "generic");
  static const char *const level[] = { "", "x86-64", "x86-64-v2",
                                       "x86-64-v3", "x86-64-v4" };
  int l = 4;
  while (l > 1 && (mask & level_mask[l]) != level_mask[l]) l--;
  return cpu_find(arch, level[l]);
}

/* ---- resolution ----------------------------------------------------- */

static void vector_shape(Target *t, uint32_t mask) {
  if (strcmp(t->arch, "aarch64") == 0) {
    t->lanes = 4, t->vregs = 32, t->fma = t->f16 = true;
    return;
  }
  t->fma = mask & HAS(FMA);
  t->f16 = mask & HAS(F16C);
  /* 512-bit code of ours also needs masks of single registers (VL, DQ). */
  if ((mask & LEVEL_4) == LEVEL_4) t->lanes = 16, t->vregs = 32;
  else if (mask & HAS(AVX2) && t->fma) t->lanes = 8, t->vregs = 16;
  else t->lanes = 4, t->vregs = 16;
}

bool target_resolve(Arena *a, Diags *d, const char *triple, const char *cpu,
                    const char *features_text, Target *out) {
  triple = triple ? triple_canonical(a, triple) : host_triple;
  const TargetRow *t = target_find(triple);
  if (!t) return unknown_target(d, triple);
  bool host = target_is_host(t->triple);
  bool x86 = strcmp(t->arch, "x86_64") == 0;
  uint32_t mask;
  const CpuRow *row;
  if (cpu ? strcmp(cpu, "native") == 0 : host) {
    if (!host)
      return diag_error_at(d, EXIT_UNSUPPORTED, "--cpu",
                           "'native' is this machine, not %s", t->triple);
    mask = x86 ? host_mask() : 0;
    row = host_cpu(t->arch, mask);
    /* What is beyond the row's level is left alone, so that machines of one
     * kind give the same code. */
    mask &= cpu_mask(row);
  } else {
    row = cpu_find(t->arch, cpu ? cpu : x86 ? "x86-64" : "generic");
    if (!row) return unknown_cpu(d, t->arch, cpu);
    mask = cpu_mask(row);
  }
  if (features_text && !mask_apply(d, a, x86, features_text, &mask))
    return false;
  out->triple = t->triple;
  out->arch = t->arch;
  out->cpu = row->name;
  out->features = mask_text(a, mask, cpu_mask(row));
  vector_shape(out, mask);
  return true;
}

uint32_t target_mask(const Target *t) {
  const CpuRow *row = cpu_find(t->arch, t->cpu);
  ensure(row);
  uint32_t mask = cpu_mask(row);
  Diags *d = diags_new();
  Arena *a = arena_new();
  bool x86 = strcmp(t->arch, "x86_64") == 0;
  ensure(mask_apply(d, a, x86, t->features ? t->features : "", &mask));
  arena_free(a);
  diags_free(d);
  return mask;
}

const char *target_isa(Arena *a, const Target *t) {
  return mask_text(a, target_mask(t), 0);
}

bool target_covers(const Target *more, const Target *less) {
  return !(target_mask(less) & ~target_mask(more));
}

int target_demands(const Target *t) {
  return __builtin_popcount(target_mask(t));
}

const CpuFeature *target_feature(int i) {
  return i < FEATURE_COUNT ? &features[i] : NULL;
}

/* ---- tamis targets -------------------------------------------------- */

static void cpus_print(FILE *to, const char *arch, int level) {
  int col = 0;
  for (size_t i = 0; i < COUNT(cpus); i++) {
    const CpuRow *c = &cpus[i];
    if (strcmp(c->arch, arch) != 0 || c->level != level) continue;
    int n = (int)strlen(c->name) + 1;
    if (col == 0 || col + n > 72)
      col = fprintf(to, "%s     ", col ? "\n" : "");
    col += fprintf(to, " %s", c->name);
  }
  fprintf(to, "\n");
}

/* What --cpu is when it is not given. */
static void choice_print(FILE *to, Arena *a, Diags *d, const TargetRow *t) {
  Target now;
  if (!target_resolve(a, d, t->triple, NULL, NULL, &now)) return;
  fprintf(to, "  %s: --cpu=%s%s%s\n",
          target_is_host(t->triple) ? "native" : "default", now.cpu,
          *now.features ? " --features=" : "", now.features);
}

static void linker_print(FILE *to, Arena *a, const TargetRow *t) {
  Tools tools;
  if (tools_find(a, t->triple, &tools)) {
    fprintf(to, "  linked by:");
    const Args *cc = &tools.tool[TOOL_CC];
    for (size_t i = 0; i < cc->v.n; i++) fprintf(to, " %s", cc->v.at[i]);
    fprintf(to, "\n");
  } else {
    fprintf(to, "  --emit=asm and llvm; so, obj and lib need %s\n"
            "  (Debian's packages %s)\n", tools.missing,
            target_packages(t->triple));
  }
}

void targets_print(FILE *to) {
  Arena *a = arena_new();
  Diags *d = diags_new();
  for (size_t i = 0; i < COUNT(targets); i++) {
    const TargetRow *t = &targets[i];
    if (!target_usable(t)) continue;
    bool x86 = strcmp(t->arch, "x86_64") == 0;
    fprintf(to, "%s  %s%s\n", t->triple, t->what,
            target_is_host(t->triple) ? " (this machine)" : "");
    for (int level = 1; level <= (x86 ? 4 : 1); level++) {
      Target v = { .arch = t->arch };
      vector_shape(&v, x86 ? level_mask[level] : 0);
      fprintf(to, "  %d f32 lanes, %d vector registers%s:\n", v.lanes,
              v.vregs, v.fma ? ", fused multiply-add" : "");
      cpus_print(to, t->arch, level);
    }
    if (x86)
      fprintf(to, "  features: %s\n", mask_text(a, mask_close(~0u), 0));
    choice_print(to, a, d, t);
    linker_print(to, a, t);
  }
  fprintf(to, "LLVM %s\n", LLVM_VERSION_TEXT);
  diags_free(d);
  arena_free(a);
}
