/* backend.h - from a planned module to native code.  The only folder that
 * includes llvm-c; nothing of LLVM shows here. */
#ifndef TAMIS_BACKEND_H
#define TAMIS_BACKEND_H

#include "ir/ir.h"

/* ---- target.c ------------------------------------------------------- */

/* Resolve --target, --cpu, --features (each may be NULL: host, native or
 * the target's baseline, none).  EXIT_UNSUPPORTED for a target or CPU that
 * is not known, naming the nearest.  Strings lie in `a`. */
bool target_resolve(Arena *a, Diags *d, const char *triple, const char *cpu,
                    const char *features, Target *out);
/* Does this machine run what is compiled for the triple? */
bool target_is_host(const char *triple);
void targets_print(FILE *to);   /* `tamis targets` */
const char *backend_llvm_version(void);

/* ---- emit.c --------------------------------------------------------- */

typedef enum {
  EMIT_SO, EMIT_OBJ, EMIT_LIB, EMIT_ASM, EMIT_LLVM, EMIT_HEADER
} EmitKind;

/* Parts that a step is cut into for threads, at most. */
enum { PARTS_MOST = 16 };

typedef struct EmitOpts {
  const Target *target;
  EmitKind kind;
  const char *out;             /* OUT; the header lies beside it */
  const char *prefix;          /* of every exported symbol */
  int opt;                     /* 0..3, 4 = s */
  bool strip;                  /* no steps in the descriptor */
  const char *external_weights;/* file for the weights, or NULL */
  int threads;                 /* most parts of a step; 0: no pool */
  bool cut_all;                /* into so many, however small (tests) */
  bool time_report, verbose;
} EmitOpts;

/* What was built, for reports. */
typedef struct EmitInfo {
  int64_t arena_bytes, stack_bytes, weight_bytes, code_bytes, state_bytes;
} EmitInfo;

/* Compile funcs[0] of a planned module and write the artifact (and header).
 * Files appear whole or not at all. */
bool backend_emit(Module *m, const EmitOpts *o, EmitInfo *info, Diags *d);

/* A version of an artifact: the module planned for a target and for ranges of
 * sizes. */
typedef struct Version {
  const Target *target;
  const FreeDims *sizes;       /* NULL: no dimension is free */
  Module *m;                   /* NULL: `open` is asked for it */
  void *of;                    /* for `open` and `close` */
} Version;
/* Set v->m and v->sizes, which stay until v is closed; false: there will be no
 * such version.  The last one for each target is there before. */
typedef struct VersionCalls {
  bool (*open)(Version *v);
  void (*close)(Version *v);
} VersionCalls;

/* The same for n versions in one artifact, those of a target side by side,
 * the one for all sizes last; a call takes the first that the CPU runs and the
 * sizes lie in.  info adds them up.  Only for kinds that are linked, or the
 * header. */
bool backend_emit_versions(Version *v, int n, const VersionCalls *calls,
                           const EmitOpts *o, EmitInfo *info, Diags *d);
/* Does every CPU that runs code for `more` run code for `less`?  How many
 * instruction sets code for t may use beyond the baseline. */
bool target_covers(const Target *more, const Target *less);
int target_demands(const Target *t);

#endif
