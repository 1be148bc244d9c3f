/* prune.h - inside the verb `prune`: what the parts of a step share.
 *
 *   selectors  -> weights    prune.c     PruneWeight: a matrix of each
 *   pattern    -> groups     units.c     Group: the units that may go
 *   criterion  -> scores     criteria.c  one a unit
 *   scope      -> counts     share.c     how many units of each group go
 *   budget     -> sparsity   budget.c    where no sparsity is given
 *
 * A new criterion is a row of the table in criteria.c. */
#ifndef TAMIS_PRUNE_H
#define TAMIS_PRUNE_H

#include "passes/passes.h"

typedef struct PruneStep PruneStep;
typedef struct Group Group;

/* A row of the table of criteria.  `check` (or NULL) says what is wrong with
 * a step before any step of the recipe is carried out, and takes no time;
 * `prepare` (or NULL) works out what `unit` needs, as PruneWeight.score.
 * `unit` is the score of unit k, not negative; the least go first. */
typedef struct Criterion {
  const char *name;
  bool (*check)(PruneStep *s);
  bool (*prepare)(PruneStep *s);
  double (*unit)(const PruneStep *s, const Group *g, int64_t k);
} Criterion;
const Criterion *criterion_find(const char *name);   /* or NULL */
/* "magnitude, l2 or random". */
const char *criterion_names(Arena *a);

typedef enum { SCOPE_UNIFORM, SCOPE_GLOBAL, SCOPE_ERK } Scope;

typedef enum {
  BUDGET_NONE, BUDGET_MACS, BUDGET_BYTES, BUDGET_LATENCY
} Budget;

/* The arguments of a step (prune_args.c). */
typedef struct PruneArgs {
  Pattern pattern;
  const Criterion *method;
  Scope scope;
  bool scoped;           /* it was given */
  double sparsity;       /* less than 0: not given */
  Budget budget;         /* in its place; BUDGET_NONE: there is none */
  double limit;          /* of it */
  Budget twice;          /* another one that was given too */
  bool whole;            /* of channels: units are coupling groups */
  bool coupled_given;
  int64_t seed, rounds;  /* of random; of synflow */
} PruneArgs;
bool prune_args(PassCtx *c, const RecipeStep *s, PruneArgs *out);
/* "4x1", "2:4", "row". */
void pattern_print(Text *out, const Pattern *p);

/* A param that a step changes, as the matrix [dim 0, product of the others];
 * one [K,M] that is the second factor of a product is that matrix [M,K]
 * transposed.  Value (r, c) is v[r * row_step + c * col_step]. */
typedef struct PruneWeight {
  Param *p;
  int64_t rows, cols, row_step, col_step;
  const float *old;      /* the values behind the step before */
  float *v;              /* those that this step makes */
  Buffer *to;            /* which hold v; NULL: no unit has a part of it */
  double *score;         /* of each value, by criteria that fill it */
  const float *norm;     /* scales of the batch norm behind, likewise */
  const char *why;       /* heads.c: its heads are not known; coupled.c: why
                            channels stay */
  int64_t channels;      /* coupled.c: all, those in a unit, the groups that */
  int64_t going;         /* have them, from 1 */
  size_t component;
  bool selected;         /* by the step; else it only follows such a one */
} PruneWeight;

/* Unit k of a group is one rectangle of each part: `rows` by `cols` values,
 * from row + k / across * rows and col + k % across * cols on, or from value
 * first[k] on (-1: the unit has none there).  Parts that follow (biases,
 * norms, columns that read a channel) go with the unit and have no score. */
typedef struct Part {
  PruneWeight *w;
  int64_t row, col, rows, cols, across;
  const int64_t *first;
  bool follows, reads;       /* reads: columns that read the unit's channel */
} Part;
struct Group {
  const char *path;      /* of its first weight, for messages */
  Vec(Part) parts;
  int64_t units;
  float *score;          /* one a unit */
  struct Cells *cells;   /* coupled.c: of its function; a cell of each unit */
  uint32_t *cell;
};

struct PruneStep {
  Arena *arena;          /* of this step */
  PassCtx *c;
  const RecipeStep *s;
  PruneArgs a;
  Vec(PruneWeight *) weights;   /* the selected ones first */
  size_t nselected;
  Vec(Group) groups;
  bool student;          /* channels are to be taken out, whatever reads them */
};

/* ---- prune_args.c, for calibrated_args.c too -------------------------- */

bool pattern_parse(const Attr *v, Pattern *p);

/* ---- prune.c --------------------------------------------------------- */

/* The selected weights, which must have finite values. */
bool prune_select(PruneStep *s);

/* Copies of all weights that units have a part of, to be written; put in
 * their place; or let go. */
void prune_copy(PruneStep *s);
void prune_store(PruneStep *s);
void prune_drop(PruneStep *s);

/* ---- units.c --------------------------------------------------------- */

/* Cut the selected weights into units: fill s->groups.  Every weight that
 * the pattern does not fit is an error that names it. */
bool prune_groups(PruneStep *s);
/* The weight of a param, added where the step has none. */
PruneWeight *prune_weight(PruneStep *s, Param *p);
/* The first value of unit k of a part, in v; -1: it has none. */
int64_t part_offset(const Part *p, int64_t k);
/* Values of unit k that have scores. */
int64_t unit_values(const Group *g, int64_t k);
/* Are units of this pattern of different sizes in different weights?  They
 * are then compared by their means. */
bool units_differ(const Pattern *p);
void unit_clear(const Group *g, int64_t k);

/* ---- follow.c: what belongs to an output channel --------------------- */

/* The param that an operand is, or is part of: through masks and slices. */
Param *operand_param(const Node *x);
/* The weight of a layer: of a convolution or a linear layer, or the matrix
 * [K,M] that is a param by which x is multiplied; NULL: n is none. */
Node *layer_weight(const Node *n);
/* Is n a layer whose weight is p, or part of it? */
bool layer_uses(const Node *n, const Param *p);
/* The bias of such a layer, where row i of p has element i and nothing else
 * reads it; or NULL. */
Param *layer_bias(const Module *m, const Func *f, const Node *n,
                  const Param *p);
/* The only user of n in f; NULL: there are others, or it is an output. */
const Node *only_user(const Func *f, const Node *n);
/* Add the biases and norms of the channels of the group's only weight. */
void channel_follow(PruneStep *s, Group *g);
/* The scale of the batch norm behind the layer of p, one a channel; NULL:
 * there is none. */
Param *norm_scale(Module *m, const Param *p);

/* ---- coupled.c ------------------------------------------------------- */

/* The groups of pattern=channel: a unit is a coupling group, with the rows of
 * all layers that give it, their biases and norms, and the columns that read
 * it.  An error where no channel of the step can go. */
bool coupled_groups(PruneStep *s);
/* A warning for each weight with channels that stay. */
void coupled_warn(const PruneStep *s);

/* ---- heads.c --------------------------------------------------------- */

/* The groups of pattern=head: a unit has rows of q, k and v and columns of o;
 * an error for each weight whose heads are not known. */
bool head_groups(PruneStep *s);

/* ---- criteria.c ------------------------------------------------------ */

/* Fill the scores of all groups. */
void prune_scores(PruneStep *s);

/* ---- synflow.c ------------------------------------------------------- */

bool check_synflow(PruneStep *s);
bool prepare_synflow(PruneStep *s);
double unit_synflow(const PruneStep *s, const Group *g, int64_t k);

/* ---- share.c --------------------------------------------------------- */

/* (Sum of the dimensions) / (their product): for a convolution
 * (n_in + n_out + w + h) / (n_in n_out w h) of Evci et al., 2020. */
double erk_raw(const Type *t);
/* Densities epsilon * erk_raw, of which those above 1 are 1, such that the
 * share `density` of all values of the n weights stays. */
void erk_densities(const Type *const *t, size_t n, double density,
                   double *out);

/* Write into every v the values of old. */
void prune_restore(PruneStep *s);
/* Write into every v what is left when so large a share of the units goes,
 * as the scope says; the scores are there. */
void prune_share(PruneStep *s, double sparsity);
/* The same for N:M patterns. */
void prune_runs(PruneStep *s);

/* ---- budget.c -------------------------------------------------------- */

/* "macs" */
const char *budget_name(Budget b);
/* The least sparsity that keeps to the step's budget; an error, which says
 * what is the best possible, where none does.  The scores are there. */
bool budget_sparsity(PruneStep *s, double *sparsity);

#endif
