/* student.h - what the methods of the recipe's verb `student` share. */
#ifndef TAMIS_STUDENT_H
#define TAMIS_STUDENT_H

#include "passes/verb.h"

typedef enum {
  STUDENT_DROP, STUDENT_MERGE, STUDENT_DUPLICATE, STUDENT_NARROW,
  STUDENT_SEPARABLE, STUDENT_SLIM, STUDENT_METHODS
} StudentMethod;

/* How one block's weights come from those of several. */
typedef enum { INIT_MEAN, INIT_COLLAPSE } StudentInit;

typedef struct StudentArgs {
  int method;            /* a StudentMethod; -1: not given */
  int64_t every;         /* keep one of so many; 0: not given */
  int64_t groups;        /* merge so many into one; 0: all */
  int64_t times;         /* a repeated block stands so often */
  const int64_t *keep;   /* numbers of blocks that stay */
  int64_t squeeze;       /* channels of a slim module; 0: not given */
  int nkeep;             /* -1: not given */
  StudentInit init;
  bool share;            /* copies have the block's own params */
  double width;          /* share of the channels that stay; 0: not given */
  const char *criterion;
  int64_t seed;          /* of criterion=random, and of drawn weights */
} StudentArgs;

/* A block of a function: the nodes whose paths are its own or begin with it. */
typedef struct Region {
  const char *path;
  Func *f;
  Vec(Node *) nodes;     /* in the order of f, no leaves */
  Node *out;             /* the one value that others use */
  Node *in;              /* what takes its place where the block goes: of the
                            same type, see region_find */
  bool adds;             /* out is reached from it without a product */
} Region;

/* blocks.c.  Find a block and its result; false after an error.  `in` is the
 * value from outside of the type of `out` that `out` is reached from without
 * a product (a residual path), or else the only one of that type that the
 * block reads. */
bool region_find(PassCtx *c, const RecipeStep *s, Arena *a, const char *path,
                 Region *r);
bool region_has(const Region *r, const Node *n);
/* Is n a value, not a weight or a literal? */
bool node_is_value(const Node *n);
/* Do steps before s change which blocks it has? */
bool blocks_may_change(const Module *m, const RecipeStep *s);
/* Take a block out: `in` for `out`.  Later steps forget it.  Does it add to
 * `in`?  (NULL: no matter.) */
bool region_drop(PassCtx *c, const RecipeStep *s, const char *path,
                 bool *adds);
bool block_error(PassCtx *c, const RecipeStep *s, const char *path,
                 const char *what);

/* The methods on blocks; a check comes before all steps. */
bool check_drop(PassCtx *c, const RecipeStep *s, const StudentArgs *a);
bool check_merge(PassCtx *c, const RecipeStep *s, const StudentArgs *a);
bool check_duplicate(PassCtx *c, const RecipeStep *s, const StudentArgs *a);
bool student_drop(PassCtx *c, const RecipeStep *s, const StudentArgs *a);
bool student_merge(PassCtx *c, const RecipeStep *s, const StudentArgs *a);
bool student_duplicate(PassCtx *c, const RecipeStep *s, const StudentArgs *a);

/* student_narrow.c */
bool check_narrow(PassCtx *c, const RecipeStep *s, const StudentArgs *a);
bool student_narrow(PassCtx *c, const RecipeStep *s, const StudentArgs *a);

/* A weight whose convolutions a method swaps for smaller ones. */
typedef struct Swap {
  PassCtx *c;
  const RecipeStep *s;
  const StudentArgs *a;
  Arena *arena;          /* of this weight */
  Param *p;              /* [O,C/groups,k..], with values */
  LayerUses uses;        /* convolutions, of the same groups */
  int64_t groups, taps;
  double macs;           /* of all of them; zeros of p do not count */
} Swap;
/* swap.c.  Do `run` for each weight of the step that is one of convolutions
 * with more than one tap; -v says of others why they stay. */
bool swap_each(PassCtx *c, const RecipeStep *s, const StudentArgs *a,
               bool (*run)(Swap *));
/* -v: why a weight stays.  Gives true, as what `run` gives. */
bool swap_leave(const Swap *x, const char *why);
/* Does it pay to take so many multiply-accumulates?  If not, -v says so. */
bool swap_pays(const Swap *x, double macs);
/* A new weight for a part, of [dim], with room for its values. */
Param *swap_part(const Swap *x, const char *part, int rank,
                 const int64_t *dim);
float *swap_values(const Param *p);
/* A new bias beside a weight of swap_part, of zeros: "a.skip.weight" gives
 * "a.skip.bias", "w.skip" gives "w.skip_bias". */
Param *swap_bias(const Swap *x, const Param *w);
/* The name of a part of a layer; NULL where it has none. */
const char *swap_path(const Swap *x, const Node *layer, const char *part);

/* The methods on weights. */
bool student_separable(PassCtx *c, const RecipeStep *s, const StudentArgs *a);
bool student_slim(PassCtx *c, const RecipeStep *s, const StudentArgs *a);

#endif
