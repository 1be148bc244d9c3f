/* tflite_conv3d.c - convolutions over three axes, [N,D,H,W,C] in the file,
 * and their transposes. */
#include "frontend/tflite.h"

enum { AXES = 3 };

typedef struct Window3 {
  int64_t in[AXES], out[AXES], k[AXES];
  int64_t stride[AXES], dilation[AXES], pad[2 * AXES];
} Window3;

/* Fields: padding, strides d w h, activation, dilations d w h.  SAME divides
 * what is missing so that the greater half comes behind. */
static bool window_read(Tf *t, const TfTensor *x, const TfTensor *f,
                        const TfTensor *y, Window3 *w) {
  static const int field[AXES] = {0, 2, 1};   /* of d, h, w */
  FlatTable o = t->op->options;
  int64_t padding = flat_int(o, 0, 1, 0);
  if (padding != 0 && padding != 1)
    return tf_refuse(t, "padding %lld, expected 0 or 1", (long long)padding);
  for (int i = 0; i < AXES; i++) {
    w->in[i] = x->dim[1 + i];
    w->out[i] = y->dim[1 + i];
    w->k[i] = f->dim[i];
    w->stride[i] = flat_int(o, 1 + field[i], 4, 0);
    w->dilation[i] = flat_int(o, 5 + field[i], 4, 1);
    if (!tf_extent_ok(t, "stride", w->stride[i]) ||
        !tf_extent_ok(t, "dilation", w->dilation[i]) ||
        !tf_extent_ok(t, "window", w->k[i]))
      return false;
    int64_t steps = (w->in[i] + w->stride[i] - 1) / w->stride[i];
    int64_t all = (steps - 1) * w->stride[i] +
                  (w->k[i] - 1) * w->dilation[i] + 1 - w->in[i];
    if (padding == 1 || all < 0)
      all = 0;
    w->pad[i] = all / 2;
    w->pad[AXES + i] = all - all / 2;
  }
  return true;
}

static bool rank5(Tf *t, const TfTensor *x) {
  if (!x)
    return tf_refuse(t, "expected an operand of rank 5, found none");
  return x->rank == 5 ||
         tf_refuse(t, "expected operands of rank 5, found %d", x->rank);
}

static bool filter_refuse(Tf *t, const TfTensor *f, const TfTensor *x) {
  return tf_refuse(t, "a filter of shape %s, an input of %lld channels",
                   tf_list(t, f->dim, 5), (long long)x->dim[4]);
}

/* [kd,kh,kw,a,b] becomes [b,a,kd,kh,kw]. */
static const char *filter_of(Tf *t, TfTensor *f) {
  static const int order[] = {4, 3, 0, 1, 2};
  Type view = type_make(F32, 5, f->dim), type = view;
  for (int i = 0; i < 5; i++)
    type.dim[i] = view.dim[order[i]];
  if (tf_const(t, f))
    return tf_param(t, "weight", f, &view, order, &type);
  return tf_temp(t, "permute(%s, order=[4,3,0,1,2])",
                 tf_value(t, f, FORM_FILE));
}

/* op(x, filter, bias, window) with channels in front, and back. */
static bool conv_give(Tf *t, const char *op, TfTensor *x, TfTensor *f,
                      int bias, const Window3 *w, const char *more) {
  const char *v = tf_temp(t, "permute(%s, order=[0,4,1,2,3])",
                          tf_value(t, x, FORM_FILE));
  const char *fs = filter_of(t, f), *bs = tf_bias(t, bias);
  v = tf_temp(t, "%s(%s, %s%s, stride=%s, pad=%s, dilation=%s%s)", op, v, fs,
              bs, tf_list(t, w->stride, AXES),
              tf_list(t, w->pad, 2 * AXES), tf_list(t, w->dilation, AXES),
              more);
  return tf_give_act(t, FORM_FILE, (int)flat_int(t->op->options, 4, 1, 0),
                     "permute(%s, order=[0,2,3,4,1])", v);
}

bool tf_write_conv_3d(Tf *t) {
  TfTensor *x = tf_in(t, 0), *f = tf_in(t, 1), *y = tf_out(t, 0);
  Window3 w;
  if (!rank5(t, x) || !rank5(t, f) || !rank5(t, y) ||
      !window_read(t, x, f, y, &w))
    return false;
  if (f->dim[3] < 1 || x->dim[4] % f->dim[3])
    return filter_refuse(t, f, x);
  return conv_give(t, "conv3d", x, f, 2, &w,
                   arena_printf(t->a, ", groups=%lld",
                                (long long)(x->dim[4] / f->dim[3])));
}

/* The gradient of a convolution from the size of the result to that of the
 * input, whose padding it has.  Operands: size, filter, input, bias. */
bool tf_write_conv_3d_transpose(Tf *t) {
  TfTensor *f = tf_in(t, 1), *x = tf_in(t, 2), *y = tf_out(t, 0);
  int64_t more[AXES];
  Window3 w;
  if (!rank5(t, x) || !rank5(t, f) || !rank5(t, y) ||
      !window_read(t, y, f, x, &w))
    return false;
  if (f->dim[4] != x->dim[4])
    return filter_refuse(t, f, x);
  for (int i = 0; i < AXES; i++) {
    int64_t reach = (x->dim[1 + i] - 1) * w.stride[i] +
                    (w.k[i] - 1) * w.dilation[i] + 1;
    int64_t after = reach - w.pad[i] - y->dim[1 + i];
    w.pad[AXES + i] = after > 0 ? after : 0;
    more[i] = after < 0 ? -after : 0;
  }
  return conv_give(t, "conv3d_transpose", x, f, 3, &w,
                   arena_printf(t->a, ", out_pad=%s",
                                tf_list(t, more, AXES)));
}
