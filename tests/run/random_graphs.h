/* random_graphs.h - the parts of tests/run/random_graphs. */
#ifndef TAMIS_RANDOM_GRAPHS_H
#define TAMIS_RANDOM_GRAPHS_H

#include "ir/ir.h"
#include "runtime/tamis.h"

typedef struct GraphOpts {
  uint64_t seed, count, batch, jobs;
  const char *cpu;     /* NULL: native, or the target's baseline */
  const char *target, *runner;    /* NULL: this machine, in this process */
  Elem weight_type;    /* of all models; 0: drawn */
  bool keep, verbose;
} GraphOpts;

typedef struct GraphStats {
  uint64_t models, integral, outputs, elements, unbounded, entries, states;
  double worst;        /* largest error by its bound */
  double load, passes, emit, link, reference, run;   /* seconds */
} GraphStats;

/* Said when the process dies. */
void progress(uint64_t seed, const char *what);

/* graphbuild.c: build the models of n seeds into one shared object, whose
 * symbols begin g<seed>_; run and compare each.  False when one fails. */
bool batch_check(const GraphOpts *o, uint64_t seed, uint64_t n,
                 GraphStats *s);

/* graphbuild.c: most models as users build them; some without optimisation,
 * some with zeros compiled as dense weights, some with weights of 16 bits. */
typedef struct Variant {
  int opt;
  bool sparsity_off;
  Elem weight_type;
} Variant;
Variant graph_variant(const GraphOpts *o, uint64_t seed);

/* A runner on another machine (remote.h). */
typedef struct Remote Remote;

/* graphcheck.c: run one built model on its inputs, in this process or (model
 * NULL) on a runner, and compare it with the evaluator; says on standard
 * error what differs. */
bool graph_check(const GraphOpts *o, uint64_t seed,
                 const tamis_model *model, Remote *remote, GraphStats *s);

double seconds_now(void);

/* fence.c: memory of `bytes` behind which no access is allowed.  Its start
 * is aligned as its size is. */
typedef struct Fence {
  unsigned char *map, *at;
  size_t mapped, bytes;
} Fence;
Fence fence_new(size_t bytes);
bool fence_intact(const Fence *f);   /* nothing written in front of it */
void fence_free(Fence *f);

#endif
