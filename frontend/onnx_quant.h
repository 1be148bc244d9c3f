/* onnx_quant.h - what the operators on quantised values share.  A quantised
 * value q stands for scale * (q - zero); all is computed in f32, where
 * integers below 2^24 are exact, and rounded where the operator rounds.  A
 * scale or a zero point is one number, a list of them along an axis, or one
 * for each block of elements along it. */
#ifndef TAMIS_ONNX_QUANT_H
#define TAMIS_ONNX_QUANT_H

#include "frontend/onnx.h"

typedef struct Quants {
  Node *scale;         /* f32; NULL: 1 */
  Node *zero;          /* of the integers' type; NULL: 0 */
  int axis;            /* of a list */
  int64_t block;       /* 0: none */
} Quants;

/* Least and greatest value of a quantised ONNX type; false: it is none. */
bool quant_range(int type, double *lo, double *hi);

/* Operands `scale` and `zero` (-1, or an absent one: none); the axis and the
 * block are for values of shape x.  False: reported. */
bool quant_read(Ox *o, Node *x, int scale, int zero, int64_t axis,
                int64_t block, Quants *out);
/* A scale or zero point in a shape that broadcasts with x. */
Node *quant_shaped(Ox *o, const Node *x, Node *v, const Quants *q);
/* scale * (x - zero); a constant of any size stays one. */
Node *quant_real(Ox *o, Node *x, int type, const Quants *q);
/* round(x / scale) + zero, saturated, as the type is held. */
Node *quant_made(Ox *o, Node *x, int type, const Quants *q);

/* What DynamicQuantizeLinear makes of x: u8, and its scale and zero point. */
bool quant_dynamic(Ox *o, Node *x, Node **y, Node **scale, Node **zero);

/* What the writer of another operator makes of f32 operands, with this node's
 * attributes. */
Node *quant_delegate(Ox *o, OxWriter *write, const char *op, Node *const *in,
                     int nin);

#endif
