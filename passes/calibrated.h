/* calibrated.h - the criteria of `prune` that look at activations: what their
 * parts share.
 *
 *   arguments     calibrated_args.c
 *   inputs        calibrated_inputs.c   rows of a weight and what they read
 *   method=wanda  wanda.c
 *   method=obs    obs.c, or obs_exact.c on small weights; obs_solve.c;
 *                 calibrated_share.c for scope=global; obs_channels.c for
 *                 channels
 *
 * and calibrated.c, which puts them together. */
#ifndef TAMIS_CALIBRATED_H
#define TAMIS_CALIBRATED_H

#include "passes/passes.h"

/* A step; damp is the share of the mean of a Gram matrix's diagonal that is
 * added to it. */
typedef struct Calibrated {
  Pattern pattern;
  bool obs, global;
  double sparsity;           /* of N:M what it says */
  double damp;
  DataOpts data;
} Calibrated;

/* A weight as the matrix [dim 0, product of the others], or transposed where
 * its columns are the outputs. */
typedef struct Matrix { float *v; int64_t rows, cols; } Matrix;
Matrix matrix_of_weight(const WeightStats *w);   /* v is NULL */
/* A copy of its values, which out->v points to. */
Buffer *matrix_values(Module *m, const WeightStats *w, Matrix *out);
/* Of a matrix [rows][cols] the one [cols][rows]. */
Buffer *transposed_values(const float *v, int64_t rows, int64_t cols);

bool method_is_calibrated(const char *name);   /* wanda or obs */
/* Is it a step with such a method? */
bool step_is_calibrated(const RecipeStep *s);
bool check_calibrated(PassCtx *c, const RecipeStep *s);
bool prune_calibrated(PassCtx *c, const RecipeStep *s);

/* obs_channels.c: those with pattern=channel. */
bool check_channels(PassCtx *c, const RecipeStep *s, const Calibrated *o);
bool prune_channels(PassCtx *c, const RecipeStep *s, const Calibrated *o);

bool calibrated_args(PassCtx *c, const RecipeStep *s, Calibrated *out);

/* The rows of a weight by what they read, without numbers; false and text in
 * why when a use cannot be observed. */
bool weight_stats(Arena *a, const Module *m, Param *p, WeightStats *out,
                  Text *why);

/* Clear the units with the least sum of |w| times the norm of the column it
 * is multiplied with, in each row (or row of blocks) alike (Sun et al.,
 * 2023). */
void wanda_prune(Arena *a, const Calibrated *o, const WeightStats *stats,
                 Matrix w);
/* Clear what the outputs miss least and change what stays to make up for it
 * (obs.c says how), from row in->lo to in->hi.  *done counts units that were
 * seen and *gone those cleared, over the calls for one weight.  False: the
 * Gram matrix has no Cholesky factor. */
bool obs_prune(Arena *a, const Calibrated *o, const InputStats *in, Matrix w,
               int64_t *done, int64_t *gone);
/* obs_exact.c: the same of whole weights, one value after the other, where
 * that does not take long (obs_is_exact). */
bool obs_is_exact(const Calibrated *o, const WeightStats *s);
bool exact_prune(Arena *a, const Calibrated *o, const WeightStats *s,
                 Matrix w);

/* A Gram matrix, both triangles, with damp times the mean of its diagonal
 * added to that. */
double *gram_damped(Arena *a, const InputStats *in, double damp);
/* obs_solve.c: write into v, which has the values before, 0 where gone[i] is
 * set and elsewhere those with the least change of the outputs; w[i] where
 * that takes too long.  Runs of `height` rows have what goes in common. */
bool rows_solve(Arena *a, const double *h, int64_t cols, const uint8_t *gone,
                int64_t height, int64_t rows, double *w, float *v);

/* What is lost of a weight's outputs squared, of `energy`, when a share of its
 * units goes, at some shares.  obs_curve adds those of in's rows; done and
 * gone are as in obs_prune.  exact_curve has those of the whole weight. */
enum { CURVE = 18 };
typedef struct Curve {
  double share[CURVE], lost[CURVE], energy;
  int64_t done[CURVE], gone[CURVE];
} Curve;
bool obs_curve(Arena *a, const Calibrated *o, const InputStats *in, Matrix w,
               Curve *out);
bool exact_curve(const Calibrated *o, const WeightStats *s, Matrix w,
                 Curve *out);

/* calibrated_share.c: with scope=global, the share of each of n weights that
 * goes so that o->sparsity of all units do.  False as obs_prune: *failed is
 * the weight's number. */
bool global_shares(Arena *a, Module *m, const Calibrated *o,
                   const WeightStats *w, size_t n, double *share,
                   size_t *failed);

#endif
