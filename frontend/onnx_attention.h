/* onnx_attention.h - attention by scaled dot products (Vaswani et al., 2017),
 * for the writers of its operators. */
#ifndef TAMIS_ONNX_ATTENTION_H
#define TAMIS_ONNX_ATTENTION_H

#include "frontend/onnx_move.h"

/* Stages of the scores of queries against keys, [B,H,S,T]. */
enum { SCORES_PLAIN, SCORES_CAPPED, SCORES_MASKED, SCORES_SOFTMAX,
       SCORES_COUNT };

typedef struct Attention {
  Node *q, *k, *v;         /* [B,H,S,D], [B,G,T,D] and [B,G,T,E]; G divides H:
                              H/G heads of q in a row share one of k and v.
                              q is scaled */
  double softcap;          /* scores become softcap tanh(scores / softcap);
                              0: they stay */
  Node *bias;              /* is added to them, or NULL */
  Node *allowed;           /* b1: elsewhere they are -infinity; NULL: all */
  Node *sink;              /* [1|B,H,S,1]: one more score of each query, whose
                              key has no value; NULL: none */
  Node *scores[SCORES_COUNT];
} Attention;

/* ---- onnx_attention.c ----------------------------------------------- */

/* [B,H,S,E]; rows of queries that may attend to nothing are 0. */
Node *ox_attend(Ox *o, Attention *t);
/* [B,S,H*D] as [B,H,S,D], and back. */
Node *ox_heads_split(Ox *o, Node *x, int64_t heads);
Node *ox_heads_join(Ox *o, Node *x);
/* Which keys queries 0 to s - 1 see, b1: those from `left` behind the query's
 * own place up to `right` beyond it (-1: all).  Query i stands at place
 * i + offset, or i + first, [B,1,1,1], where that is there. */
typedef struct Window {
  int64_t s, t;            /* queries, keys */
  int64_t offset;
  Node *first;
  int64_t left, right;
} Window;
Node *ox_window(Ox *o, const Window *w);
/* Both of two masks; NULL is a mask of all. */
Node *ox_both(Ox *o, Node *a, Node *b);
/* Whether x broadcasts to [b,h,s,t]; else it is malformed. */
bool ox_mask_fits(Ox *o, const char *what, const Node *x,
                  const int64_t dim[4]);

/* ---- onnx_rotary.c -------------------------------------------------- */

typedef struct Rotary {
  Node *cos, *sin;         /* [B|1,S,R/2] */
  bool interleaved;        /* pairs side by side, else in two halves */
} Rotary;

/* The first R of the last axis of x, turned: [B,S,H,D], or by `heads_first`
 * [B,H,S,D] (Su et al., 2021). */
Node *ox_rotate(Ox *o, Node *x, const Rotary *r, bool heads_first);

#endif
