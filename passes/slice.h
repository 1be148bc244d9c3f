/* slice.h - inside the pass `slice`. */
#ifndef TAMIS_SLICE_H
#define TAMIS_SLICE_H

#include "passes/couple.h"

/* A round of the pass over one function. */
typedef struct Slice {
  PassCtx *c;
  Func *f;
  Cells *cells;
  /* What all elements with an index are whatever the inputs are, NAN: that is
   * not known; by cell, and of whole nodes by id. */
  double *value, *whole;
  bool *live;             /* by root: the group stays */
  const Held **why;       /* by root: what keeps it */
} Slice;

/* slice.c: keep a group; whether it was not kept before. */
bool slice_keep(Slice *s, uint32_t root, const Node *by, const char *what);
/* slice_blocks.c: keep the others of blocks and runs of which some stay. */
bool slice_keep_blocks(Slice *s);

/* slice_values.c: fill value and whole. */
void slice_values(Slice *s);

/* Weights of a product known in full: output o by input i is `taps` values
 * from o * out + i * in on. */
typedef struct PlainWeight {
  const float *w;
  int64_t outs, ins, out, in, taps;
  const Node *weight;
  int out_axis;           /* of the weight */
  int y_axis;             /* of the result */
} PlainWeight;
/* slice_values.c: false where n is none, or in groups. */
bool slice_matrix(Module *m, const Node *n, PlainWeight *w);

/* slice_fold.c: whether a constant channel of x can go into the bias of n;
 * those that go do, and their columns become zeros; whether any did. */
bool slice_folds(Module *m, const Node *n);
bool slice_fold(Slice *s);
/* The same file: does an output that stays read column i? */
bool slice_reads(const Slice *s, const Node *n, const PlainWeight *w,
                 int64_t i);

/* slice_write.c: take out all that is not live. */
void slice_write(Slice *s);

/* slice_why.c: a note for each layer whose zeros stay. */
void slice_notes(Slice *s);

#endif
