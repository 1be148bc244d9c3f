/* onnx_sample.c - values between the pixels of a map: one gather of all the
 * pixels around all points, and a product with their weights. */
#include "frontend/onnx_sample.h"

#include <string.h>

/* Pixels are numbered in i32, places along an axis are floats. */
enum { AXIS_MOST = 1 << 23 };

/* Zeros outside are one row of them around the map. */
static bool map_sizes(Ox *o, const Node *x, OxMap *map) {
  int64_t ring = map->outside == OX_ZEROS, all = x->type.dim[0];
  map->plane = 1;
  map->first = 0;
  for (int i = map->n - 1; i >= 0; i--) {
    map->size[i] = x->type.dim[2 + i];
    if (map->size[i] < 1 || map->size[i] > AXIS_MOST)
      return ox_refuse(o, "a map of size %lld", (long long)map->size[i]);
    map->stride[i] = map->plane;
    map->first += ring * map->plane;
    map->plane = ox_size_times(map->plane, map->size[i] + 2 * ring);
  }
  return ox_size_times(all, map->plane) <= INT32_MAX ||
         ox_refuse(o, "maps of more than 2^31 pixels");
}

bool ox_map(Ox *o, Node *x, OxSampling sampling, OxOutside outside,
            OxMap *map) {
  int64_t ring[MAX_RANK] = {0}, order[MAX_RANK] = {0};
  int rank = x->type.rank;
  *map = (OxMap){.n = rank - 2, .sampling = sampling, .outside = outside};
  if (!map_sizes(o, x, map))
    return false;
  for (int i = 2; i < rank; i++) {
    ring[i] = outside == OX_ZEROS;
    order[i - 1] = i;
  }
  order[rank - 1] = 1;
  x = ox_permute(o, ox_pad(o, x, ring, ring, 0), order);
  if (!x)
    return false;
  int64_t rows = ox_size_times(x->type.dim[0], map->plane);
  map->rows = ox_reshape(o, x, 2, (int64_t[]){rows, x->type.dim[rank - 1]});
  return map->rows != NULL;
}

/* lo + |span - (|c - lo| mod 2 span)| turned over: there and back. */
static Node *mirrored(Ox *o, Node *c, double lo, double hi) {
  double span = hi - lo;
  if (!(span > 0))
    return ox_clipped(o, c, lo, hi);
  c = ox_op1(o, OP_ABS, ox_with(o, OP_SUB, c, lo));
  c = ox_with(o, OP_FLOOR_MOD, c, 2 * span);
  c = ox_op1(o, OP_ABS, ox_with(o, OP_SUB, c, span));
  return c ? ox_op2(o, OP_SUB, ox_scalar(o, F32, hi), c) : NULL;
}

static Node *brought_inside(Ox *o, const OxMap *map, int axis, Node *c) {
  double last = (double)(map->size[axis] - 1);
  switch (map->outside) {
  case OX_BORDER: return ox_clipped(o, c, 0, last);
  case OX_MIRROR_CENTRES: return mirrored(o, c, 0, last);
  case OX_MIRROR_EDGES: return mirrored(o, c, -0.5, last + 0.5);
  default: return c;
  }
}

static Node *row_of(Ox *o, const float *v, int n) {
  Type t = type_make(F32, 1, (int64_t[]){n});
  return ox_constant(o, &t, v);
}

/* ((a d + b) d + c) d + e of the distances d [...,4] to the pixels around, of
 * which the outer ones are in 1..2 (Keys, 1981, with -3/4). */
static Node *cubic(Ox *o, Node *d) {
  static const float v[4][4] = {
    {-0.75f, 1.25f, 1.25f, -0.75f}, {3.75f, -2.25f, -2.25f, 3.75f},
    {-6, 0, 0, -6}, {3, 1, 1, 3}};
  Node *y = row_of(o, v[0], 4);
  for (int i = 1; i < 4; i++)
    y = ox_op2(o, OP_ADD, ox_op2(o, OP_MUL, y, d), row_of(o, v[i], 4));
  return y;
}

/* Cubic convolution brings inside the pixels around a point, not the point:
 * its weights stay those of where it lies. */
static Node *pixels(Ox *o, const OxMap *map, int axis, Node *c) {
  double last = (double)(map->size[axis] - 1);
  if (map->outside != OX_ZEROS && map->sampling == OX_CUBIC)
    c = brought_inside(o, map, axis, c);
  return ox_cast(o, map->outside == OX_ZEROS ? ox_clipped(o, c, -1, last + 1)
                                             : ox_clipped(o, c, 0, last), I32);
}

OxTaps ox_taps(Ox *o, const OxMap *map, int axis, Node *c) {
  static const float near[] = {0, 1}, wide[] = {-1, 0, 1, 2};
  OxTaps t = {0};
  if (map->sampling == OX_NEAREST)
    c = ox_op1(o, OP_ROUND, c);
  if (map->sampling != OX_CUBIC)
    c = brought_inside(o, map, axis, c);
  c = c ? ox_unsqueeze(o, c, c->type.rank) : NULL;
  if (map->sampling == OX_NEAREST) {
    t.at = pixels(o, map, axis, c);
    return t;
  }
  bool linear = map->sampling == OX_LINEAR;
  Node *at = ox_op2(o, OP_ADD, ox_op1(o, OP_FLOOR, c),
                    linear ? row_of(o, near, 2) : row_of(o, wide, 4));
  Node *d = ox_op1(o, OP_ABS, ox_op2(o, OP_SUB, c, at));
  t.at = pixels(o, map, axis, at);
  t.weight = linear ? ox_op2(o, OP_SUB, ox_scalar(o, F32, 1), d)
                    : cubic(o, d);
  return t;
}

/* The last axis of x, [...,k], as axis i of n that stand in its place. */
static Node *spread(Ox *o, Node *x, int i, int n) {
  int64_t dim[MAX_RANK];
  if (!x)
    return NULL;
  int rank = x->type.rank - 1;
  if (rank + n > MAX_RANK) {
    ox_refuse(o, "more than %d dimensions", MAX_RANK);
    return NULL;
  }
  memcpy(dim, x->type.dim, sizeof dim);
  for (int k = 0; k < n; k++)
    dim[rank + k] = k == i ? x->type.dim[rank] : 1;
  return ox_reshape(o, x, rank + n, dim);
}

/* The last n axes as one. */
static Node *merged(Ox *o, Node *x, int n) {
  if (!x)
    return NULL;
  int rank = x->type.rank - n;
  int64_t dim[MAX_RANK];
  memcpy(dim, x->type.dim, sizeof dim);
  for (int i = 1; i < n; i++)
    dim[rank] = ox_size_times(dim[rank], dim[rank + i]);
  return ox_reshape(o, x, rank + 1, dim);
}

OxTaps ox_taps_join(Ox *o, const OxMap *map, const OxTaps *axes,
                    Node *base) {
  OxTaps t = {0};
  for (int i = 0; i < map->n; i++) {
    Node *at = spread(o, axes[i].at, i, map->n);
    if (map->stride[i] != 1)
      at = ox_with(o, OP_MUL, at, (double)map->stride[i]);
    t.at = i ? ox_op2(o, OP_ADD, t.at, at) : at;
    if (map->sampling == OX_NEAREST)
      continue;
    Node *w = spread(o, axes[i].weight, i, map->n);
    t.weight = i ? ox_op2(o, OP_MUL, t.weight, w) : w;
  }
  t.at = merged(o, t.at, map->n);
  t.weight = merged(o, t.weight, map->n);
  if (map->first)
    base = base ? ox_with(o, OP_ADD, base, (double)map->first)
                : ox_scalar_int(o, I32, map->first);
  if (base && base->type.rank)
    base = ox_unsqueeze(o, base, base->type.rank);
  if (base)
    t.at = ox_op2(o, OP_ADD, t.at, base);
  return t;
}

/* [...,1,K] times [...,K,C]. */
Node *ox_taps_sum(Ox *o, const OxMap *map, OxTaps t) {
  Node *y = ox_gather(o, map->rows, t.at, 0);
  if (!y)
    return NULL;
  int k = y->type.rank - 2;
  if (map->sampling == OX_NEAREST)
    return ox_squeeze(o, y, k);
  Node *w = t.weight ? ox_unsqueeze(o, t.weight, k) : NULL;
  return ox_squeeze(o, ox_op2(o, OP_MATMUL, w, y), k);
}

Node *ox_map_first(Ox *o, const OxMap *map, int64_t n, int rank) {
  int64_t dim[MAX_RANK] = {n};
  if (!ox_room(o, n))
    return NULL;
  int64_t *v = arena_array(o->a, int64_t, (size_t)n + 1);
  for (int64_t i = 0; i < n; i++)
    v[i] = i * map->plane;
  for (int i = 1; i < rank; i++)
    dim[i] = 1;
  return ox_reshape(o, ox_list(o, I32, v, (int)n), rank, dim);
}
