/* onnx_resize.h - inside frontend/: values resized along their axes. */
#ifndef TAMIS_ONNX_RESIZE_H
#define TAMIS_ONNX_RESIZE_H

#include "frontend/onnx.h"

typedef struct OxAxis {
  int64_t in, out;
  float scale;               /* by which positions are divided */
  float length;              /* of the result, maybe with a fraction */
  float start, end;          /* of the region that is resized */
  float *at;                 /* where each element of the result lies in x;
                                NULL: in its own place */
} OxAxis;

typedef struct OxResize {
  int rank;
  OxAxis axis[MAX_RANK];
  const char *mode, *coord, *nearest;
  bool crop;                 /* coord is tf_crop_and_resize */
  bool antialias, exclude;
  double cubic, outside;     /* coefficient; value beyond a cropped x */
} OxResize;

/* onnx_interp.c: set `at` of all axes, then resize x by that. */
bool ox_positions(Ox *o, OxResize *r);
Node *ox_resized(Ox *o, const OxResize *r, Node *x);

#endif
