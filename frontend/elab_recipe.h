/* elab_recipe.h - what the parts of elaborating recipes share. */
#ifndef TAMIS_ELAB_RECIPE_H
#define TAMIS_ELAB_RECIPE_H

#include "frontend/elab.h"

/* A param that can be selected, and a name for it: its own path, or that of
 * an op that it is the weight of. */
typedef struct Weight {
  size_t param;          /* number among the params that can be selected */
  const char *path;
  PathSegs segs;
  const char *op;        /* NULL: the param's own path */
} Weight;
typedef struct Weights {
  Elab *e;
  Vec(Param *) params;
  Vec(const char *) parts;   /* of params[i]: NULL, or what a step makes */
  Vec(Weight) names;
  Map known;             /* names of segments */
  Map prefixes;          /* paths of layers */
} Weights;

/* The first n segments of a path. */
const char *path_prefix(Arena *a, const char *path, size_t nsegs);
/* The error of a selector that matches nothing, with what was meant. */
void sel_unmatched(const Weights *w, const Sel *s, const PathPattern *p);

/* elab_blocks.c: does a step work on blocks?  Its selectors as paths of those,
 * in their order in the graph, none inside another one; out NULL: as a check.
 * False after errors. */
bool step_on_blocks(const Step *s);
/* The argument `method`; NULL: none. */
const char *step_method(const Step *s);
bool blocks_select(const Weights *w, const Step *s, Paths *out);

#endif
