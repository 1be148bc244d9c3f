/* onnx_conv.c - convolutions and their transposes over one to three axes. */
#include "frontend/onnx_window.h"

#include <string.h>

/* ---- convolutions --------------------------------------------------- */

static Op conv_op(int axes) {
  return axes == 1 ? OP_CONV1D : axes == 2 ? OP_CONV2D : OP_CONV3D;
}

static bool same_rank(Ox *o, const Node *x, const Node *w) {
  return x->type.rank == w->type.rank ||
         ox_malformed(o, "an input of %d dimensions, a weight of %d",
                      x->type.rank, w->type.rank);
}

/* Padding that follows from the sizes reaches no further than the windows. */
static Node *conv(Ox *o) {
  Node *in[] = {ox_in(o, 0), ox_in(o, 1), ox_opt(o, 2)};
  OxWindow w;
  if (!in[0] || !in[1] || o->said || !same_rank(o, in[0], in[1]) ||
      !ox_window_read(o, in[0], in[1]->type.dim + 2, &w) ||
      !ox_window_fit(o, &w, false))
    return NULL;
  Node *n = ox_begin(o, conv_op(w.n), in, 3);
  if (n) {
    ox_window_set(o, &w, n);
    attr_set_int(n, "groups", ox_int(o, "group", 1));
  }
  return ox_end(o, n);
}

bool ox_write_conv(Ox *o) {
  return ox_give(o, 0, conv(o));
}

/* ---- with an activation --------------------------------------------- */

/* The parameters are those of the operator of that name, all given. */
static Node *activated(Ox *o, Node *x) {
  const char *act = ox_str(o, "activation", "");
  const double *v;
  int n = ox_floats(o, "activation_params", &v);
  if (!*act || !x)
    return x;
  if (!strcmp(act, "Relu"))
    return ox_op1(o, OP_RELU, x);
  if (!strcmp(act, "Sigmoid"))
    return ox_op1(o, OP_SIGMOID, x);
  if (!strcmp(act, "Tanh"))
    return ox_op1(o, OP_TANH, x);
  if (!strcmp(act, "LeakyRelu") && n == 1)
    return ox_op_float(o, OP_LEAKY_RELU, x, "alpha", v[0]);
  if (!strcmp(act, "Clip") && n == 2)
    return ox_clipped(o, x, v[0], v[1]);
  if (!strcmp(act, "HardSigmoid") && n == 2)
    return ox_clipped(o, ox_with(o, OP_ADD, ox_with(o, OP_MUL, x, v[0]),
                                 v[1]), 0, 1);
  ox_refuse(o, "activation '%s' of %d parameters", act, n < 0 ? 0 : n);
  return NULL;
}

/* ONNX Runtime's: act(conv(x, w, b) + z). */
bool ox_write_fused_conv(Ox *o) {
  Node *y = conv(o), *z = ox_opt(o, 3);
  if (y && z)
    y = ox_op2(o, OP_ADD, y, z);
  return ox_give(o, 0, activated(o, y));
}

/* ---- transposed ----------------------------------------------------- */

static Op transpose_op(int axes) {
  return axes == 1   ? OP_CONV1D_TRANSPOSE
         : axes == 2 ? OP_CONV2D_TRANSPOSE
                     : OP_CONV3D_TRANSPOSE;
}

/* The size of the result is given, or with automatic padding that of the
 * input times the stride.  What the windows reach beyond it is cut off, the
 * greater half in front unless SAME_UPPER is said; what they do not reach is
 * added behind. */
static void transpose_fit(OxWindow *w, int i, int64_t size, int64_t *more) {
  int64_t all = (w->in[i] - 1) * w->stride[i] + ox_window_reach(w, i) +
                *more - size;
  if (all < 0) {
    *more -= all;
    all = 0;
  }
  w->before[i] = w->pad == OX_PAD_UPPER ? all / 2 : all - all / 2;
  w->after[i] = all - w->before[i];
}

static bool transpose_pads(Ox *o, OxWindow *w, int64_t *more) {
  const int64_t *v, *size = NULL;
  int n = ox_ints(o, "output_shape", &v);
  if (n > 0 && n != w->n && n != w->n + 2)
    return ox_malformed(o, "output_shape has %d sizes, expected %d", n, w->n);
  if (n > 0)
    size = v + (n - w->n);
  for (int i = 0; i < w->n; i++) {
    if (size && (size[i] < 1 || size[i] > MAX_WINDOW))
      return ox_malformed(o, "output_shape: %lld, expected 1 to 2^30",
                          (long long)size[i]);
    if (size)
      transpose_fit(w, i, size[i], &more[i]);
    else if (w->pad == OX_PAD_UPPER || w->pad == OX_PAD_LOWER)
      transpose_fit(w, i, w->in[i] * w->stride[i], &more[i]);
  }
  return true;
}

bool ox_write_conv_transpose(Ox *o) {
  Node *in[] = {ox_in(o, 0), ox_in(o, 1), ox_opt(o, 2)};
  OxWindow w;
  int64_t more[OX_AXES_MOST];
  if (!in[0] || !in[1] || o->said || !same_rank(o, in[0], in[1]) ||
      !ox_window_read(o, in[0], in[1]->type.dim + 2, &w) ||
      !ox_axis_list(o, "output_padding", w.n, 0, 0, more) ||
      !transpose_pads(o, &w, more))
    return false;
  Node *n = ox_begin(o, transpose_op(w.n), in, 3);
  if (n) {
    ox_window_set(o, &w, n);
    attr_set_ints(o->m, n, "out_pad", more, w.n);
    attr_set_int(n, "groups", ox_int(o, "group", 1));
  }
  return ox_give(o, 0, ox_end(o, n));
}
