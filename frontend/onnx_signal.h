/* onnx_signal.h - Fourier transforms, for the writers of operators that have
 * them. */
#ifndef TAMIS_ONNX_SIGNAL_H
#define TAMIS_ONNX_SIGNAL_H

#include "frontend/onnx.h"

/* y[k] = sum over n of x[n] exp(-2 pi i k n / length), or the inverse. */
typedef struct Dft {
  int64_t length, in, out;       /* in: those that are not zero */
  int in_parts, out_parts;       /* 1: real, 2: real and imaginary */
  bool inverse, onesided;
  const double *window;          /* of each n; NULL: 1 */
} Dft;

/* x [..., in, parts], with the axis last but one, to [..., out, parts]. */
Node *signal_dft(Ox *o, Node *x, const Dft *d);
/* Numbers of a matrix that the file does not hold; NULL: too many. */
float *signal_table(Ox *o, int64_t rows, int64_t cols, Type *t);

#endif
