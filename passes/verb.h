/* verb.h - what the verbs of recipes share. */
#ifndef TAMIS_VERB_H
#define TAMIS_VERB_H

#include "passes/passes.h"

/* An argument of a verb.  `parse` writes into the verb's own struct and gives
 * NULL, or what was expected. */
typedef struct VerbArg {
  const char *name;
  const char *(*parse)(const Attr *v, void *args);
} VerbArg;
/* Read a step's arguments; false after errors that name each wrong one. */
bool verb_args(PassCtx *c, const RecipeStep *s, const VerbArg *rows,
               size_t n, void *args);
/* The error of an argument's value. */
void arg_wrong(PassCtx *c, const RecipeStep *s, const RecipeArg *a,
               const char *expected);
/* Are the step's arguments, `method` aside, among words with spaces between?
 * False after the error of one that is not. */
bool method_takes(PassCtx *c, const RecipeStep *s, const char *method,
                  const char *words);
/* A finite number. */
bool arg_number(const Attr *v, double *out);

/* The params of a step, which forgets those that nothing uses any more. */
Param *const *step_params(PassCtx *c, const RecipeStep *s);
/* Convolutions of 1, 2 or 3 dimensions. */
bool op_is_conv(Op op);
/* Does a weight of the step have values, finite ones? */
bool param_finite(PassCtx *c, const RecipeStep *s, const Param *p);
/* Do all of them? */
bool step_finite(PassCtx *c, const RecipeStep *s);

/* A note, for -v and reports: "factor: a.weight: ..." */
void verb_note(PassCtx *c, const RecipeStep *s, const char *path,
               const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Nodes that have p as their weight, the whole of it. */
typedef struct LayerUse { Func *f; Node *n; } LayerUse;
typedef Vec(LayerUse) LayerUses;
/* All uses of p; NULL, or why that cannot be said: something else reads p, or
 * layers do that are not of one kind (op, groups, factors transposed). */
const char *layer_uses_of(Arena *a, const Module *m, const Param *p,
                          LayerUses *out);

/* An attribute as another node of the same op has it, or as it is by
 * default; nothing where the op has none of that name. */
void attr_take(Node *to, const Node *from, const char *name);
void attr_reset(Node *n, const char *name);

/* The parts that a step takes layers apart in; see recipe_parts. */
const char *const *verb_parts(const RecipeStep *s);
/* Steps behind s that selected p, or parts of it, work on those of to, one
 * for each of the verb's parts. */
void steps_redirect(Module *m, const RecipeStep *s, const Param *p,
                    Param *const *to);

#endif
