/* onnx_move.h - what the writers of operators that move and look up values
 * share: onnx_shape.c, onnx_move.c, onnx_pad.c, onnx_place.c, onnx_index.c,
 * onnx_scatter.c. */
#ifndef TAMIS_ONNX_MOVE_H
#define TAMIS_ONNX_MOVE_H

#include "frontend/onnx.h"

/* ---- onnx_shape.c --------------------------------------------------- */

/* A report when it is more than MAX_RANK. */
bool ox_rank_fits(Ox *o, int rank);
/* Product of dim[from], ..., dim[to - 1]; -1 on overflow. */
int64_t ox_span(const int64_t *dim, int from, int to);
/* x and the axis that the attribute names, or all of x as one axis. */
Node *ox_axis_or_flat(Ox *o, Node *x, int *axis);

/* ---- onnx_place.c: places, integers that are computed ---------------- */

/* What holds places among n elements: i32 where that suffices. */
Elem ox_place_elem(int64_t n);
/* Each element's place along an axis; the other sizes are 1 as a rule. */
Node *ox_iota(Ox *o, Elem e, int rank, const int64_t *dim, int axis);
/* The same, [..,1,n,1,..] of that rank. */
Node *ox_ruler(Ox *o, Elem e, int rank, int axis, int64_t n);
/* x * by and a + b, without a node where by is 1 or an operand is NULL: no
 * error stands behind such a NULL. */
Node *ox_times(Ox *o, Node *x, int64_t by);
Node *ox_plus(Ox *o, Node *a, Node *b);
/* Places -size..size-1 along an axis of that size as 0..size-1, of type e;
 * constants out of range are reported. */
Node *ox_places(Ox *o, Node *index, int64_t size, Elem e);
/* Flat places in x, [count], of what index, of x's rank, names along the
 * axis and its own places along the others.  Neither has no elements. */
Node *ox_element_places(Ox *o, const Node *x, Node *index, int axis);
/* Flat places, [count], among the k sizes of dim of tuples [..,k]. */
Node *ox_tuple_places(Ox *o, Node *index, const int64_t *dim, int k, Elem e);

/* ---- onnx_scatter.c -------------------------------------------------- */

/* x with updates at the places that index names along an axis, as the IR's
 * scatter_add has them; mode: "set", "add", "mul", "max", "min". */
Node *ox_scatter(Ox *o, Node *x, Node *index, Node *updates, int axis,
                 const char *mode);

#endif
