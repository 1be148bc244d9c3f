/* onnx_deform.c - deformable convolution (Dai et al., 2017; Zhu et al.,
 * 2019): the pixels under each window are looked up at offsets of their own,
 * then it is a convolution of 1x1. */
#include "frontend/onnx_sample.h"

typedef struct Deform {
  OxWindow w;
  int64_t n, c, k, points;   /* maps, channels, places of a window, windows */
  int64_t groups;            /* of channels with offsets of their own */
} Deform;

/* Where element k of each window lies along an axis without an offset,
 * [K,P]. */
static Node *regular(Ox *o, const Deform *d, int axis) {
  const OxWindow *w = &d->w;
  int64_t n = ox_size_times(d->k, d->points);
  Type t = type_make(F32, 2, (int64_t[]){d->k, d->points});
  if (!ox_room(o, n))
    return NULL;
  float *v = arena_array(o->a, float, (size_t)n + 1);
  for (int64_t i = 0; i < n; i++) {
    int64_t k = i / d->points, p = i % d->points;
    k = axis ? k % w->k[1] : k / w->k[1];
    p = axis ? p % w->out[1] : p / w->out[1];
    v[i] = (float)(p * w->stride[axis] + k * w->dilation[axis] -
                   w->before[axis]);
  }
  return ox_constant(o, &t, v);
}

/* x [N,C,...] with the channels of a group of offsets as a map. */
static bool deform_map(Ox *o, const Deform *d, Node *x, OxMap *map) {
  x = ox_reshape(o, x, 4, (int64_t[]){ox_size_times(d->n, d->groups),
                                      d->c / d->groups, d->w.in[0],
                                      d->w.in[1]});
  return x && ox_map(o, x, OX_LINEAR, OX_ZEROS, map);
}

/* All pixels under the windows, [N,C*K,OH,OW]. */
static Node *columns(Ox *o, const Deform *d, Node *x, Node *offset,
                     Node *mask) {
  OxMap map;
  OxTaps axis[2];
  int64_t maps = ox_size_times(d->n, d->groups);
  if (!deform_map(o, d, x, &map))
    return NULL;
  offset = ox_reshape(o, offset, 4,
                      (int64_t[]){maps, d->k, 2, d->points});
  for (int i = 0; i < 2; i++) {
    Node *c = ox_squeeze(o, ox_slice(o, offset, 2, i, i + 1, 1), 2);
    axis[i] = ox_taps(o, &map, i, ox_op2(o, OP_ADD, c, regular(o, d, i)));
  }
  OxTaps t = ox_taps_join(o, &map, axis, ox_map_first(o, &map, maps, 3));
  if (mask) {
    mask = ox_reshape(o, mask, 4, (int64_t[]){maps, d->k, d->points, 1});
    t.weight = ox_op2(o, OP_MUL, t.weight, mask);
  }
  x = ox_taps_sum(o, &map, t);
  x = ox_permute(o, x, (int64_t[]){0, 3, 1, 2});
  return ox_reshape(o, x, 4, (int64_t[]){d->n, ox_size_times(d->c, d->k),
                                         d->w.out[0], d->w.out[1]});
}

static bool has_shape(Ox *o, const Node *x, const char *what, int64_t n,
                      int64_t c, const OxWindow *w) {
  const int64_t *d = x->type.dim;
  return (x->type.rank == 4 && d[0] == n && d[1] == c &&
          d[2] == w->out[0] && d[3] == w->out[1]) ||
         ox_malformed(o, "%s: expected shape [%lld,%lld,%lld,%lld]", what,
                      (long long)n, (long long)c, (long long)w->out[0],
                      (long long)w->out[1]);
}

static bool deform_read(Ox *o, Node *const *in, Deform *d) {
  const Type *x = &in[0]->type, *w = &in[1]->type;
  if (x->rank != 4 || w->rank != 4)
    return ox_refuse(o, "a convolution over %d axes", x->rank - 2);
  if (!ox_window_read(o, in[0], w->dim + 2, &d->w) ||
      !ox_window_fit(o, &d->w, false))
    return false;
  d->n = x->dim[0];
  d->c = x->dim[1];
  d->k = ox_size_times(d->w.k[0], d->w.k[1]);
  d->points = ox_size_times(d->w.out[0], d->w.out[1]);
  d->groups = ox_int(o, "offset_group", 1);
  if (d->groups < 1 || d->c % d->groups)
    return ox_malformed(o, "offset_group=%lld of %lld channels",
                        (long long)d->groups, (long long)d->c);
  int64_t each = ox_size_times(d->groups, d->k);
  return has_shape(o, in[2], "offset", d->n, ox_size_times(2, each), &d->w) &&
         (!in[4] || has_shape(o, in[4], "mask", d->n, each, &d->w));
}

bool ox_write_deform_conv(Ox *o) {
  Node *in[5] = {ox_in(o, 0), ox_in(o, 1), ox_in(o, 2), ox_opt(o, 3),
                 ox_opt(o, 4)};
  Deform d;
  if (!in[0] || !in[1] || !in[2] || o->said || !deform_read(o, in, &d))
    return false;
  const int64_t *w = in[1]->type.dim;
  Node *x = columns(o, &d, in[0], in[2], in[4]);
  Node *f = ox_reshape(o, in[1], 4,
                       (int64_t[]){w[0], ox_size_times(w[1], d.k), 1, 1});
  if (!x || !f)
    return false;
  Node *n = ox_begin(o, OP_CONV2D, (Node *[]){x, f, in[3]}, 3);
  if (n)
    attr_set_int(n, "groups", ox_int(o, "group", 1));
  return ox_give(o, 0, ox_end(o, n));
}
