/* onnx_norm.h - values over their own statistics, for the writers of operators
 * that have them. */
#ifndef TAMIS_ONNX_NORM_H
#define TAMIS_ONNX_NORM_H

#include "frontend/onnx.h"

/* (x - mean) / sqrt(variance + eps) * scale + shift, over an axis and all
 * behind it (Ba, Kiros and Hinton, 2016); not centred: x over the root of its
 * mean square (Zhang and Sennrich, 2019). */
typedef struct OxNorm {
  Node *x, *scale, *shift;   /* shift: NULL where there is none */
  int axis;
  double eps;
  bool centred;
  Node *mean, *inv;          /* of the result, with axes of size 1; mean: if
                                it is centred */
} OxNorm;

Node *ox_normed(Ox *o, OxNorm *n);

#endif
