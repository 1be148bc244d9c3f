/* tflite_window.c - convolutions and their transposes, pools, linear
 * layers, resizing. */
#include "frontend/tflite.h"

#include <string.h>

typedef struct Window {
  int64_t in[2], out[2], k[2], stride[2], dilation[2], pad[4];
} Window;

/* SAME divides what is missing so that the greater half comes behind. */
static bool window_fit(Tf *t, Window *w, const TfTensor *x, const TfTensor *y,
                       int64_t padding) {
  if (padding != 0 && padding != 1)
    return tf_refuse(t, "padding %lld, expected 0 or 1", (long long)padding);
  for (int i = 0; i < 2; i++) {
    w->in[i] = x->dim[1 + i];
    w->out[i] = y->dim[1 + i];
    if (!tf_extent_ok(t, "stride", w->stride[i]) ||
        !tf_extent_ok(t, "dilation", w->dilation[i]) ||
        !tf_extent_ok(t, "window", w->k[i]))
      return false;
    w->pad[i] = w->pad[2 + i] = 0;
    if (padding == 1)
      continue;
    int64_t out = (w->in[i] + w->stride[i] - 1) / w->stride[i];
    int64_t all = (out - 1) * w->stride[i] + (w->k[i] - 1) * w->dilation[i]
                  + 1 - w->in[i];
    if (all < 0)
      all = 0;
    w->pad[i] = all / 2;
    w->pad[2 + i] = all - all / 2;
  }
  return true;
}

static bool rank4(Tf *t, const TfTensor *x) {
  if (!x)
    return tf_refuse(t, "expected an operand of rank 4, found none");
  return x->rank == 4 ||
         tf_refuse(t, "expected operands of rank 4, found %d", x->rank);
}

/* Arguments that are not what the op takes without them. */
static const char *window_args(Tf *t, const Window *w, bool dilated) {
  Text s = {0};
  text_puts(&s, "");
  if (w->stride[0] != 1 || w->stride[1] != 1)
    text_printf(&s, ", stride=%s", tf_list(t, w->stride, 2));
  if (w->pad[0] || w->pad[1] || w->pad[2] || w->pad[3])
    text_printf(&s, ", pad=%s", tf_list(t, w->pad, 4));
  if (dilated && (w->dilation[0] != 1 || w->dilation[1] != 1))
    text_printf(&s, ", dilation=%s", tf_list(t, w->dilation, 2));
  const char *r = arena_strdup(t->a, s.s);
  text_free(&s);
  return r;
}

/* [O,kh,kw,I] becomes [O,I,kh,kw]; with `last` the last axis comes first:
 * [1,kh,kw,O] of a depthwise convolution becomes [O,1,kh,kw], and
 * [O,kh,kw,I] of a transposed one [I,O,kh,kw]. */
static const char *filter_of(Tf *t, TfTensor *w, bool last) {
  static const int usual[] = {0, 3, 1, 2}, moved[] = {3, 0, 1, 2};
  const int *order = last ? moved : usual;
  Type view = type_make(F32, 4, w->dim), type = view;
  for (int i = 0; i < 4; i++)
    type.dim[i] = view.dim[order[i]];
  if (tf_const(t, w))
    return tf_param(t, "weight", w, &view, order, &type);
  return tf_temp(t, "permute(%s, order=%s)", tf_value(t, w, FORM_FILE),
                 last ? "[3,0,1,2]" : "[0,3,1,2]");
}

/* Fields: padding, strides w h, [multiplier,] activation, dilations w h. */
static bool conv_write(Tf *t, bool depthwise) {
  FlatTable o = t->op->options;
  TfTensor *x = tf_in(t, 0), *f = tf_in(t, 1), *y = tf_out(t, 0);
  int k = depthwise ? 4 : 3;
  if (!rank4(t, x) || !rank4(t, f) || !rank4(t, y))
    return false;
  Window w = {
    .k = {f->dim[1], f->dim[2]},
    .stride = {flat_int(o, 2, 4, 0), flat_int(o, 1, 4, 0)},
    .dilation = {flat_int(o, k + 2, 4, 1), flat_int(o, k + 1, 4, 1)},
  };
  if (!window_fit(t, &w, x, y, flat_int(o, 0, 1, 0)))
    return false;
  int64_t groups = depthwise ? x->dim[3]
                   : f->dim[3] ? x->dim[3] / f->dim[3] : 0;
  if (groups < 1 || (depthwise && f->dim[0] != 1))
    return tf_refuse(t, "a filter of shape %s, an input of %lld channels",
                     tf_list(t, f->dim, 4), (long long)x->dim[3]);
  const char *xs = tf_value(t, x, FORM_PLANES);
  const char *ws = filter_of(t, f, depthwise), *bs = tf_bias(t, 2);
  const char *gs = groups == 1
    ? "" : arena_printf(t->a, ", groups=%lld", (long long)groups);
  return tf_give_act(t, FORM_PLANES, (int)flat_int(o, k, 1, 0),
                     "conv2d(%s, %s%s%s%s)", xs, ws, bs,
                     window_args(t, &w, true), gs);
}

bool tf_write_conv(Tf *t) {
  return conv_write(t, false);
}

bool tf_write_depthwise(Tf *t) {
  return conv_write(t, true);
}

/* ---- transposed convolutions ---------------------------------------- */

/* Strides and the padding in front are given; what comes behind follows
 * from the size of the result, which may be greater than what the windows
 * reach. */
static bool transpose_write(Tf *t, TfTensor *x, TfTensor *f, Window *w,
                            int bias, int act) {
  const TfTensor *y = tf_out(t, 0);
  int64_t more[2] = {0, 0};
  if (f->dim[3] != x->dim[3])
    return tf_refuse(t, "a filter of shape %s, an input of %lld channels",
                     tf_list(t, f->dim, 4), (long long)x->dim[3]);
  for (int i = 0; i < 2; i++) {
    int64_t reach = (x->dim[1 + i] - 1) * w->stride[i] + w->k[i];
    int64_t after = reach - w->pad[i] - y->dim[1 + i];
    w->pad[2 + i] = after > 0 ? after : 0;
    more[i] = after < 0 ? -after : 0;
  }
  const char *ms = more[0] || more[1]
    ? arena_printf(t->a, ", out_pad=%s", tf_list(t, more, 2)) : "";
  const char *xs = tf_value(t, x, FORM_PLANES);
  const char *fs = filter_of(t, f, true), *bs = tf_bias(t, bias);
  return tf_give_act(t, FORM_PLANES, act, "conv2d_transpose(%s, %s%s%s%s)",
                     xs, fs, bs, window_args(t, w, false), ms);
}

/* It is the gradient of a convolution from the size of the result to the
 * size of the input, whose padding it has.  Operands: size, filter, input,
 * bias; fields: padding, strides w h, activation. */
bool tf_write_transpose_conv(Tf *t) {
  FlatTable o = t->op->options;
  TfTensor *f = tf_in(t, 1), *x = tf_in(t, 2), *y = tf_out(t, 0);
  if (!rank4(t, x) || !rank4(t, f) || !rank4(t, y))
    return false;
  Window w = {
    .k = {f->dim[1], f->dim[2]},
    .stride = {flat_int(o, 2, 4, 0), flat_int(o, 1, 4, 0)},
    .dilation = {1, 1},
  };
  return window_fit(t, &w, y, x, flat_int(o, 0, 1, 0)) &&
         transpose_write(t, x, f, &w, 3, (int)flat_int(o, 3, 1, 0));
}

/* Number i of a custom operator's options that are plain int32s. */
static int64_t custom_int(const TfOp *o, size_t i) {
  uint32_t v = 0;
  for (size_t k = 4; k-- > 0;)
    v = v << 8 | (uint32_t)flat_vec_uint(o->custom_options, 4 * i + k);
  return (int32_t)v;
}

/* MediaPipe's operator.  Operands: input, filter, bias; options: padding (1
 * same, 2 valid), strides w h; the size of the result follows from them. */
static bool write_transpose_conv_bias(Tf *t) {
  TfTensor *x = tf_in(t, 0), *f = tf_in(t, 1), *y = tf_out(t, 0);
  if (!rank4(t, x) || !rank4(t, f) || !rank4(t, y))
    return false;
  if (t->op->custom_options.n < 12)
    return tf_refuse(t, "expected 12 bytes of options, found %zu",
                     t->op->custom_options.n);
  Window w = {
    .k = {f->dim[1], f->dim[2]},
    .stride = {custom_int(t->op, 2), custom_int(t->op, 1)},
    .dilation = {1, 1},
  };
  int64_t padding = custom_int(t->op, 0);
  if (padding != 1 && padding != 2)
    return tf_refuse(t, "padding %lld, expected 1 or 2", (long long)padding);
  if (!window_fit(t, &w, y, x, padding - 1))
    return false;
  for (int i = 0; i < 2; i++) {
    int64_t last = (x->dim[1 + i] - 1) * w.stride[i];
    int64_t cut = w.k[i] - (x->dim[1 + i] - 1) % w.stride[i] - 1;
    if (padding == 2 || cut < 0)
      cut = 0;
    if (y->dim[1 + i] != last + w.k[i] - cut)
      return tf_refuse(t, "a result of size %lld, expected %lld",
                       (long long)y->dim[1 + i],
                       (long long)(last + w.k[i] - cut));
  }
  return transpose_write(t, x, f, &w, 2, 0);
}

/* ---- pools, linear layers, resizing --------------------------------- */

/* Padding does not count in an average. */
static bool pool_write(Tf *t, const char *op, bool l2) {
  FlatTable o = t->op->options;
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  if (!rank4(t, x) || !rank4(t, y))
    return false;
  Window w = {
    .k = {flat_int(o, 4, 4, 0), flat_int(o, 3, 4, 0)},
    .stride = {flat_int(o, 2, 4, 0), flat_int(o, 1, 4, 0)},
    .dilation = {1, 1},
  };
  if (!window_fit(t, &w, x, y, flat_int(o, 0, 1, 0)))
    return false;
  const char *xs = tf_value(t, x, FORM_PLANES);
  if (l2)
    xs = tf_temp(t, "square(%s)", xs);
  const char *call = arena_printf(t->a, "%s(%s, k=%s%s)", op, xs,
                                  tf_list(t, w.k, 2),
                                  window_args(t, &w, false));
  int act = (int)flat_int(o, 5, 1, 0);
  if (l2)
    return tf_give_act(t, FORM_PLANES, act, "sqrt(%s)",
                       tf_temp(t, "%s", call));
  return tf_give_act(t, FORM_PLANES, act, "%s", call);
}

bool tf_write_avg_pool(Tf *t) {
  return pool_write(t, "avg_pool", false);
}

bool tf_write_max_pool(Tf *t) {
  return pool_write(t, "max_pool", false);
}

bool tf_write_l2_pool(Tf *t) {
  return pool_write(t, "avg_pool", true);
}

/* The input is a matrix, or keeps its rank where its last axis is the
 * weights'. */
bool tf_write_linear(Tf *t) {
  FlatTable o = t->op->options;
  TfTensor *x = tf_in(t, 0), *w = tf_in(t, 1), *y = tf_out(t, 0);
  if (!x || !w || !y || w->rank != 2 || w->dim[1] < 1 || x->rank < 1)
    return tf_refuse(t, "expected a matrix of weights");
  if (flat_int(o, 1, 1, 0) != 0)
    return tf_refuse(t, "shuffled weights");
  const char *xs = tf_value(t, x, FORM_FILE), *ws;
  int64_t rows = tf_elems(x) / w->dim[1];
  if (x->rank != y->rank || x->dim[x->rank - 1] != w->dim[1])
    xs = tf_temp(t, "reshape(%s, shape=%s)", xs,
                 tf_list(t, (int64_t[]){rows, w->dim[1]}, 2));
  Type v = type_make(F32, 2, w->dim);
  ws = tf_const(t, w) ? tf_param(t, "weight", w, &v, NULL, &v)
                      : tf_value(t, w, FORM_FILE);
  return tf_give_act(t, FORM_FILE, (int)flat_int(o, 0, 1, 0),
                     "linear(%s, %s%s)", xs, ws, tf_bias(t, 2));
}

/* Batch axes broadcast. */
bool tf_write_batch_matmul(Tf *t) {
  FlatTable o = t->op->options;
  if (!tf_arity(t, 2))
    return false;
  const char *x = tf_value(t, tf_in(t, 0), FORM_FILE);
  return tf_give(t, 0, FORM_FILE, "matmul(%s, %s, transpose_a=%s, "
                 "transpose_b=%s)", x, tf_value(t, tf_in(t, 1), FORM_FILE),
                 flat_bool(o, 0) ? "true" : "false",
                 flat_bool(o, 1) ? "true" : "false");
}

static bool resize_write(Tf *t, const char *mode, int first) {
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  if (!rank4(t, x) || !rank4(t, y))
    return false;
  bool align = flat_bool(t->op->options, first);
  bool half = flat_bool(t->op->options, first + 1);
  if (align && half)
    return tf_refuse(t, "aligned corners with half pixels");
  return tf_give(t, 0, FORM_PLANES,
                 "resize(%s, size=%s, mode=\"%s\", coord=\"%s\")",
                 tf_value(t, x, FORM_PLANES), tf_list(t, y->dim + 1, 2),
                 mode, align ? "align_corners"
                       : half ? "half_pixel" : "asymmetric");
}

bool tf_write_resize_bilinear(Tf *t) {
  return resize_write(t, "bilinear", 2);
}

bool tf_write_resize_nearest(Tf *t) {
  return resize_write(t, "nearest", 0);
}

TfWriter *tf_custom_writer(const char *name) {
  return strcmp(name, "Convolution2DTransposeBias") == 0
         ? write_transpose_conv_bias : NULL;
}
