/* onnx_rnn.h - what the recurrent operators RNN, GRU and LSTM share.  Their
 * steps are a function that a scan goes through; products of the input, which
 * no step waits for, stand before it as linear layers.  Each gate has weights
 * of its own, so that an activation becomes a part of the product. */
#ifndef TAMIS_ONNX_RNN_H
#define TAMIS_ONNX_RNN_H

#include "frontend/onnx_move.h"

enum { RNN_GATES = 4, RNN_ACTS = 3, RNN_STATES = 2, RNN_EXTRA = 24 };

typedef struct RnnAct { int kind; double alpha, beta; } RnnAct;

/* The layer: shapes with T steps, batch B, I inputs, H units, D directions
 * and G gates. */
typedef struct Rnn {
  Ox *o;
  int gates, acts, states;       /* acts: of a direction; states: h, or h, c */
  const char *const *gate;       /* their names, in the order of the file */
  int64_t steps, batch, inputs, hidden;
  int dirs;
  bool reverse;                  /* the only direction is */
  bool batch_first;
  double clip;                   /* infinity: none */
  RnnAct act[2 * RNN_ACTS];
  Node *x;                       /* [T,B,I] */
  Node *w, *r;                   /* [D,G*H,I], [D,G*H,H] */
  Node *b;                       /* [D,2*G*H], or NULL */
  Node *init[RNN_STATES];        /* [D,B,H] or [B,D,H], or NULL: zeros */
  Node *mask;                    /* b1[T,B,1]: steps within sequence_lens, or
                                    NULL: all of them */
} Rnn;

/* One direction.  The function's inputs are x of each gate, the mask and the
 * states, [B,H]; then what else of the outer values it uses. */
typedef struct RnnDir {
  const Rnn *n;
  int dir;
  Func *outer, *body;
  Node *in[RNN_GATES + 1 + RNN_STATES + RNN_EXTRA];   /* of the scan */
  int nin;
  Node *x[RNN_GATES];            /* x W + bias of each gate, in the step */
  Node *state[RNN_STATES];       /* before the step; h, c */
  Node *mask;                    /* of the step, or NULL */
} RnnDir;

/* ---- onnx_rnn.c ----------------------------------------------------- */

/* Reads operands 0 to 4, but W and R that are there, and the attributes.
 * `acts`: names of the default activations.  False: reported. */
bool rnn_read(Rnn *n, const char *const *acts);
/* Operand i, an initial state, as init[which]. */
bool rnn_init_read(Rnn *n, int i, int which);
/* A new param of this node. */
Node *rnn_param(Ox *o, const char *name, Type t, Buffer *data);

/* ---- onnx_cell.c ---------------------------------------------------- */

/* What the step makes of d->x and d->state: the states after it.  It is
 * written inside of the body. */
typedef bool RnnStep(RnnDir *d, Node **next);
/* Writes all directions and gives the results Y, Y_h and Y_c.  `own`: for
 * which gates the bias of the recurrent product is added by the step. */
bool rnn_write(Rnn *n, RnnStep *step, unsigned own);

/* In the step: elements [at, at+H) of this direction of operand v [D,...], as
 * [H]. */
Node *rnn_row(RnnDir *d, Node *v, int64_t at);
/* h R^T of a gate plus x[gate], or plus the bias that is the step's own; h is
 * [B,H]. */
Node *rnn_sum(RnnDir *d, int gate, Node *h);
Node *rnn_product(RnnDir *d, int gate, Node *h);
/* Activation number i of this direction, behind the clip; without it. */
Node *rnn_act(RnnDir *d, int i, Node *x);
Node *rnn_act_plain(RnnDir *d, int i, Node *x);

/* ---- onnx_rnnact.c -------------------------------------------------- */

/* Activations by their names, with defaults. */
bool rnn_acts_read(Rnn *n, const char *const *acts);
Node *rnn_act_write(Ox *o, const RnnAct *a, Node *x);

#endif
