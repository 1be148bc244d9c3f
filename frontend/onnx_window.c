/* onnx_window.c - attributes of ONNX's windows: sizes, strides, dilations,
 * padding that is given or follows from the sizes. */
#include "frontend/onnx_window.h"

#include <string.h>

int64_t ox_size_times(int64_t a, int64_t b) {
  int64_t y;
  return __builtin_mul_overflow(a, b, &y) ? INT64_MAX : y;
}

bool ox_axis_list(Ox *o, const char *name, int n, int64_t lo, int64_t def,
                  int64_t *to) {
  const int64_t *v;
  int count = ox_ints(o, name, &v);
  if (count > 0 && count != n)
    return ox_malformed(o, "attribute '%s': expected %d integers, found %d",
                        name, n, count);
  for (int i = 0; i < n; i++) {
    to[i] = count > 0 ? v[i] : def;
    if (to[i] < lo || to[i] > MAX_WINDOW)
      return ox_malformed(o, "attribute '%s': %lld, expected %lld to 2^30",
                          name, (long long)to[i], (long long)lo);
  }
  return !o->said;
}

static bool auto_pad(Ox *o, OxAutoPad *to) {
  static const char *const name[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER",
                                     "VALID"};
  const char *s = ox_str(o, "auto_pad", "");
  for (int i = 0; i < 4; i++)
    if (!*s || !strcmp(s, name[i])) {
      *to = (OxAutoPad)i;
      return true;
    }
  return ox_malformed(o, "auto_pad='%s', expected NOTSET, SAME_UPPER, "
                      "SAME_LOWER or VALID", s);
}

/* Numbers in front of all axes, then those behind them. */
static bool pads_read(Ox *o, OxWindow *w) {
  int64_t pad[2 * OX_AXES_MOST];
  const int64_t *v;
  int n = ox_ints(o, "pads", &v);
  for (int i = 0; i < n; i++)
    if (v[i] < 0)
      return ox_refuse(o, "negative pads");
  if (!ox_axis_list(o, "pads", 2 * w->n, 0, 0, pad))
    return false;
  for (int i = 0; i < w->n; i++) {
    w->before[i] = w->pad == OX_PAD_GIVEN ? pad[i] : 0;
    w->after[i] = w->pad == OX_PAD_GIVEN ? pad[w->n + i] : 0;
  }
  return true;
}

/* As the attribute says, or as the weight has it; both if both do. */
static bool sizes_read(Ox *o, const int64_t *k, OxWindow *w) {
  const int64_t *v;
  bool given = ox_ints(o, "kernel_shape", &v) > 0;
  if (!k && !given && !o->said)
    return ox_malformed(o, "attribute 'kernel_shape' is missing");
  if (given && !ox_axis_list(o, "kernel_shape", w->n, 1, 1, w->k))
    return false;
  for (int i = 0; k && i < w->n; i++) {
    if (given && w->k[i] != k[i])
      return ox_malformed(o, "kernel_shape has %lld, the weight %lld",
                          (long long)w->k[i], (long long)k[i]);
    w->k[i] = k[i];
    if (k[i] < 1 || k[i] > MAX_WINDOW)
      return ox_malformed(o, "a weight of size %lld, expected 1 to 2^30",
                          (long long)k[i]);
  }
  return !o->said;
}

bool ox_window_read(Ox *o, const Node *x, const int64_t *k, OxWindow *w) {
  const Type *t = &x->type;
  *w = (OxWindow){.n = t->rank - 2};
  if (w->n < 1)
    return ox_malformed(o, "expected 3 or more dimensions, found %d",
                        t->rank);
  if (w->n > OX_AXES_MOST)
    return ox_refuse(o, "windows over %d axes", w->n);
  for (int i = 0; i < w->n; i++) {
    w->in[i] = t->dim[2 + i];
    if (w->in[i] > MAX_WINDOW)
      return ox_refuse(o, "an axis of more than 2^30");
  }
  return sizes_read(o, k, w) &&
         ox_axis_list(o, "strides", w->n, 1, 1, w->stride) &&
         ox_axis_list(o, "dilations", w->n, 1, 1, w->dilation) &&
         auto_pad(o, &w->pad) && pads_read(o, w);
}

int64_t ox_window_reach(const OxWindow *w, int i) {
  return (w->k[i] - 1) * w->dilation[i] + 1;
}

/* As many windows as strides begin in x; what is missing for them is divided
 * evenly, an odd one comes behind, with LOWER in front. */
static void fit_same(OxWindow *w, int i) {
  w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
  int64_t all = (w->out[i] - 1) * w->stride[i] + ox_window_reach(w, i) -
                w->in[i];
  if (all < 0)
    all = 0;
  w->before[i] = (all + (w->pad == OX_PAD_LOWER)) / 2;
  w->after[i] = all - w->before[i];
}

/* How many windows begin at a stride and end within the padding; with `ceil`
 * one more that ends beyond, if it begins before the padding behind. */
static bool fit_given(Ox *o, OxWindow *w, int i, bool ceil) {
  int64_t padded = w->in[i] + w->before[i] + w->after[i];
  int64_t reach = ox_window_reach(w, i), span = padded - reach;
  w->out[i] = span < 0 ? 0 : span / w->stride[i] + 1;
  if (padded == 0)
    return true;
  bool more = span < 0 ? span > -w->stride[i] : span % w->stride[i] > 0;
  if (ceil && more && w->out[i] * w->stride[i] < w->in[i] + w->before[i])
    w->out[i]++;
  return w->out[i] > 0 ||
         ox_malformed(o, "a window reaches over %lld, the padded input has "
                      "only %lld", (long long)reach, (long long)padded);
}

bool ox_window_fit(Ox *o, OxWindow *w, bool ceil) {
  for (int i = 0; i < w->n; i++) {
    if (w->pad == OX_PAD_UPPER || w->pad == OX_PAD_LOWER)
      fit_same(w, i);
    else if (!fit_given(o, w, i, ceil))
      return false;
  }
  return true;
}

void ox_window_set(Ox *o, const OxWindow *w, Node *n) {
  int64_t pad[2 * OX_AXES_MOST];
  if (!n)
    return;
  for (int i = 0; i < w->n; i++) {
    pad[i] = w->before[i];
    pad[w->n + i] = w->after[i];
  }
  attr_set_ints(o->m, n, "stride", w->stride, w->n);
  attr_set_ints(o->m, n, "dilation", w->dilation, w->n);
  attr_set_ints(o->m, n, "pad", pad, 2 * w->n);
}
