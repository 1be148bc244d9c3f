/* report.h - what reports and sweeps say of a model beside its dense form:
 * the model before the recipe.
 *
 *   errors     effects.c   of weights and of outputs, on data
 *   times      profile.c   measured; bench.c takes them too
 *   both       facts.c     with sizes and times of the dense build
 *   rows       rows.c      one a layer
 *   files      report.c    a table or JSON; html*.c a page */
#ifndef TAMIS_REPORT_H
#define TAMIS_REPORT_H

#include "driver/driver.h"

/* ---- effects.c: errors against the dense network --------------------- */

/* Sums of squares: of differences from the dense network's values, and of
 * those.  norm < 0: nothing is known. */
typedef struct Gap { double diff, norm; } Gap;
/* The relative Frobenius error sqrt(diff / norm); less than 0: there is none
 * (values that are not finite; other ones than 0 where the dense are 0). */
double gap_error(const Gap *g);

/* Of the layer at a path: all its weights of two axes and more, and what its
 * last node gives, before passes behind the recipe change either. */
typedef struct LayerGap {
  const char *path;
  Gap weight, output;
  bool lost;                 /* a weight that the dense layer does not have */
} LayerGap;
typedef struct OutputGap { const char *name; Gap gap; } OutputGap;
/* Classes of samples, for the argmax of the first output. */
typedef struct Labels { int64_t n; const int64_t *at; } Labels;
typedef struct Effects {
  Map of;                    /* path -> LayerGap * */
  Vec(OutputGap) outputs;    /* of the model; none without data */
  Gap weights, output;       /* of all */
  int64_t samples, classed;  /* seen; with a label */
  int64_t hits[2];           /* of dense and pruned, with labels */
} Effects;
/* How it is worked out.  data NULL: on `draws` inputs drawn from the seed, or
 * weights alone where that is 0. */
typedef struct EffectOpts {
  const DataOpts *data;
  const Labels *labels;      /* or NULL */
  int64_t draws;
  uint64_t seed;
  bool layers;               /* outputs of each layer, too */
} EffectOpts;
bool effects_make(Effects *e, Session *s, Module *dense, Module *pruned,
                  const EffectOpts *o);

/* ---- profile.c: measured times --------------------------------------- */

/* In ms; layer is [step][run], NULL: calls as a whole. */
typedef struct Times {
  size_t runs;
  double *total, *layer;
} Times;
double median(double *v, size_t n);      /* sorts v */
Times times_new(Arena *a, const Loaded *l, size_t runs, bool layers);
void times_measure(const Loaded *l, size_t warmup, Times *t);
/* Calls of two artifacts in turn. */
void times_interleave(const Loaded *x, Times *tx, const Loaded *y, Times *ty,
                      size_t warmup);
/* Inputs by --in or from a seed. */
bool artifact_inputs(Arena *a, Diags *d, const Options *o, const Loaded *l,
                     uint64_t seed);

/* ---- facts.c --------------------------------------------------------- */

typedef struct Facts {
  Effects effects;
  bool compared;             /* there are effects and `base` */
  const char *data;          /* outputs were compared on that, or NULL */
  Prediction predicted, base_predicted;
  Session base;              /* the model without the recipe, planned */
  Cost base_cost;
  EmitInfo base_info;
  double measured_us, base_measured_us;   /* less than 0: not measured */
  double *node_us;           /* of nodes of the model's function, likewise */
} Facts;
/* Whether --data and --measure are all right, before s is compiled. */
bool facts_check(Session *s);
/* Can code for s be measured here, where --measure asks for that? */
bool measure_fits(Session *s);
/* Behind that: fill s->facts. */
bool facts_gather(Session *s);
void facts_free(Facts *f);
/* A shared object of the session in a temporary folder, opened. */
bool session_run(Session *s, Loaded *l, EmitInfo *info);

/* --data=FILE[,samples=N][,mean=A:B:C][,scale=...][,order=rgb|bgr] */
bool data_option(Arena *a, Diags *d, const char *v, DataOpts *out);

/* ---- rows.c: one a layer --------------------------------------------- */

typedef struct Row {
  const Node *n;           /* the first, where there are several */
  int steps;               /* of a layer that is done by strips of rows */
  Type shape;              /* with the rows of all strips */
  const char *name;
  const Param *w;          /* its weight, or NULL */
  int64_t weights, nonzeros;
  char pattern[24];
  double sparsity, fill;   /* of the weight: zeros among all values, nonzeros
                              among those that are stored; without one -1 */
  const LayerGap *gap;     /* or NULL */
  Cost cost;
  int count;               /* kernels that could compute it */
  Alternative all[ALTERNATIVES_MOST];
  double us, dense_us;     /* predicted */
  double measured_us;      /* less than 0: not measured */
} Row;
typedef Vec(Row) Rows;
Rows rows_make(Session *s, const Func *f);
/* Why this kernel, and in how many steps. */
const char *row_why(Session *s, const Row *r);
/* "1x64x56x56" */
void row_shape(char *to, size_t size, const Type *t);
/* Sums of a table: all weights, and the work of the model, which counts
 * what it calls. */
typedef struct Totals {
  int64_t weights, nonzeros, converts, convert_bytes;
  Cost cost;
} Totals;
void totals_add(Totals *t, const Row *r, bool model);
Totals totals_make(Session *s);

/* ---- report.c -------------------------------------------------------- */

struct json_t *report_object(Session *s, int n, const char *cpu,
                             const EmitInfo *info);

#endif
