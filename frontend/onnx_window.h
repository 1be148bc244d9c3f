/* onnx_window.h - inside frontend/: windows that ONNX's convolutions and
 * pools move over the axes behind batch and channels. */
#ifndef TAMIS_ONNX_WINDOW_H
#define TAMIS_ONNX_WINDOW_H

#include "frontend/onnx.h"

enum { OX_AXES_MOST = 3 };

/* a * b of sizes; the greatest integer where that is too much. */
int64_t ox_size_times(int64_t a, int64_t b);

typedef enum { OX_PAD_GIVEN, OX_PAD_UPPER, OX_PAD_LOWER, OX_PAD_VALID }
    OxAutoPad;

/* One number an axis. */
typedef struct OxWindow {
  int n;                     /* axes, 1 to 3 */
  OxAutoPad pad;
  int64_t in[OX_AXES_MOST], out[OX_AXES_MOST];
  int64_t k[OX_AXES_MOST], stride[OX_AXES_MOST], dilation[OX_AXES_MOST];
  int64_t before[OX_AXES_MOST], after[OX_AXES_MOST];
} OxWindow;

/* Attributes of windows over the axes of x [N,C,...].  k: the sizes that a
 * weight has, which kernel_shape may repeat; NULL: kernel_shape says them. */
bool ox_window_read(Ox *o, const Node *x, const int64_t *k, OxWindow *w);
/* What automatic padding comes to, and how many windows there are; with
 * `ceil` the last one may reach beyond the padding, if it does not begin
 * there. */
bool ox_window_fit(Ox *o, OxWindow *w, bool ceil);
/* Elements from the first to the last of a window along axis i. */
int64_t ox_window_reach(const OxWindow *w, int i);
/* stride, pad, dilation of an op of the IR. */
void ox_window_set(Ox *o, const OxWindow *w, Node *n);
/* A list of one number an axis, at least `lo`; absent ones are `def`. */
bool ox_axis_list(Ox *o, const char *name, int n, int64_t lo, int64_t def,
                  int64_t *to);

#endif
