/* couple.h - coupling groups: channels that have to go together.
 *
 * Each index of each axis of each node is a cell.  Two cells belong to one
 * group where an op computes the one from the other: channel i of a
 * convolution's result, row i of its weight, element i of its bias, scale i
 * of the norm behind, channel i of what is added.  A group ends where its
 * values are summed over (a Cross), and is held where an op looks at an axis
 * as a whole, as a softmax does. */
#ifndef TAMIS_COUPLE_H
#define TAMIS_COUPLE_H

#include "passes/passes.h"

/* Why a group cannot go; by: the node that wants it, or NULL. */
typedef struct Held { const Node *by; const char *what; } Held;

/* n sums products over axis[0] of operand k[0] and axis[1] of k[1]. */
typedef struct Cross { Node *n; int k[2], axis[2]; } Cross;

typedef struct Cells Cells;
struct Cells {
  Arena *a;
  Module *m;
  Func *f;                /* tidied */
  int64_t *first;         /* by node: its first cell */
  int64_t n;
  uint32_t *parent;       /* by cell, of the union-find */
  const Held **held;      /* by root */
  Vec(Cross) cross;       /* in the order of nodes */
  /* Where the ties of one node go: a cell of operand k, one of the result. */
  void (*tie)(Cells *c, const Node *n, int k, int64_t x, int64_t y);
  void *ctx;              /* of tie */
  bool *seen;             /* axes that the node at hand spoke of */
  bool quiet;             /* ties alone are wanted */
  bool student;           /* means and norms may go over fewer channels */
};

/* Groups of f, all in `a`; NULL: there are too many cells. */
Cells *cells_new(Arena *a, Module *m, Func *f);
/* The same where results need not be those of before: a mean or a norm over
 * channels does not keep them. */
Cells *cells_of_student(Arena *a, Module *m, Func *f);
int64_t cell_at(const Cells *c, const Node *n, int axis, int64_t i);
uint32_t cell_root(Cells *c, int64_t cell);
/* "softmax of att.scores goes over them". */
void held_print(Text *out, const Held *h);

/* ---- inside couple*.c ------------------------------------------------ */

enum { RESULT = -1 };     /* in place of an operand's number */
/* Operand k of n, or n itself. */
const Node *cells_node(const Node *n, int k);
/* Index i of axis x of operand k and index j of axis y of the result. */
void cells_tie(Cells *c, const Node *n, int k, int x, int64_t i, int y,
               int64_t j);
/* All indices of both axes, which are as many. */
void cells_tie_axis(Cells *c, const Node *n, int k, int x, int y);
/* The same of axes of two operands. */
void cells_pair(Cells *c, const Node *n, int k, int x, int64_t i, int l,
                int y, int64_t j);
void cells_pair_axis(Cells *c, const Node *n, int k, int x, int l, int y);
void cells_cross(Cells *c, Node *n, int k, int x, int l, int y);
/* What nobody speaks of is held; this axis need not be. */
void cells_free(Cells *c, const Node *n, int k, int axis);
void cells_hold(Cells *c, const Node *n, int k, int axis, const Held *h);
/* An axis of one index, that all indices of the result read. */
void cells_hold_one(Cells *c, const Node *n, int k, int axis);

/* couple_products.c, couple_views.c: the ties of a node; false: the op is
 * none of theirs. */
bool couple_product(Cells *c, Node *n);
bool couple_view(Cells *c, const Node *n);
/* Axes of operand k and of the result that are one by one each other's, the
 * last ones side by side. */
void couple_broadcast(Cells *c, const Node *n, int k, int axes);
/* All ties of n go to c->tie. */
void couple_node(Cells *c, Node *n);

#endif
