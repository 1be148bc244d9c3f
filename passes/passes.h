/* passes.h - from the parsed graph to fused, laid out and planned kernels.
 * To add a pass: a row in passes.def, pass_<name> in <name>.c with the head
 * comment the others have, a golden file in tests/golden/pass/, a line in
 * doc/internals.md. */
#ifndef TAMIS_PASSES_H
#define TAMIS_PASSES_H

#include "ir/ir.h"

typedef struct PassCtx {
  Module *m;
  Diags *d;
  Arena *scratch;        /* of this pass, freed behind it */
  const Target *target;
  bool sparsity_off;     /* --sparsity=off */
  int opt;               /* -O level; 0 fuses nothing, 4 is -Os */
} PassCtx;

#define PASS(name, what) bool pass_##name(PassCtx *);
#include "passes/passes.def"
#undef PASS

typedef struct PassInfo {
  const char *name, *what;
  bool (*run)(PassCtx *);
} PassInfo;
const PassInfo *pass_table(size_t *n);
const PassInfo *pass_find(const char *name);

typedef struct PipelineOpts {
  const Target *target;
  bool sparsity_off;
  int opt;
  const char *stop_after;    /* NULL: run all */
  const char *stop_before;
  /* Called with "parse" first and after every pass that ran; false stops
   * (the callback said why).  It may return another module in *m (the round
   * trip), which is gone on with. */
  bool (*after)(void *ctx, const char *pass, Module **m, double seconds);
  void *ctx;
} PipelineOpts;

/* Run all passes behind m->dump.after (all, when it is NULL), verify after
 * each, set m->dump.after.  *m may be replaced by the callback.  False when
 * d has an error. */
bool pipeline_run(Module **m, const PipelineOpts *o, Diags *d);

/* ---- prune.c: the recipe verb --------------------------------------- */

typedef enum { PATTERN_UNSTRUCTURED, PATTERN_BLOCK, PATTERN_NM } PatternKind;
typedef struct Pattern { PatternKind kind; int a, b; } Pattern;

/* A row of the table of verbs. */
typedef struct Verb {
  const char *name;
  bool (*run)(PassCtx *, const RecipeStep *);
} Verb;
const Verb *verb_find(const char *name);

#endif
