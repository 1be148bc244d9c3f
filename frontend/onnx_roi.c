/* onnx_roi.c - regions of maps brought to one size. */
#include "frontend/onnx_sample.h"

#include <math.h>
#include <string.h>

/* ---- RoiAlign ------------------------------------------------------- */

/* Along one axis: bins of each region, and points in a bin, the most of any
 * region. */
typedef struct Bins {
  int64_t n, points;
  Node *start, *size;        /* of the regions, in pixels [R,1] */
  Node *at;                  /* of all points, in bins [R or 1, n*points] */
  Node *share;               /* of a point in its bin: the same, or scalar */
} Bins;

typedef struct Align {
  int64_t regions, ratio;    /* ratio: points of a bin, 0: as many as pixels */
  double scale, offset;
  bool half_pixel, max;
  Bins bins[2];              /* h, w */
} Align;

static bool align_read(Ox *o, Align *a) {
  const char *mode = ox_str(o, "mode", "avg");
  const char *coord = ox_str(o, "coordinate_transformation_mode",
                             o->opset < 16 ? "output_half_pixel"
                                           : "half_pixel");
  a->half_pixel = !strcmp(coord, "half_pixel");
  a->offset = a->half_pixel ? 0.5 : 0;
  a->scale = ox_float(o, "spatial_scale", 1);
  a->max = !strcmp(mode, "max");
  a->ratio = ox_int(o, "sampling_ratio", 0);
  a->bins[0].n = ox_int(o, "output_height", 1);
  a->bins[1].n = ox_int(o, "output_width", 1);
  if ((!a->max && strcmp(mode, "avg")) ||
      (!a->half_pixel && strcmp(coord, "output_half_pixel")))
    return ox_malformed(o, "mode='%s', coordinate_transformation_mode='%s'",
                        mode, coord);
  for (int i = 0; i < 2; i++)
    if (a->bins[i].n < 1 || a->bins[i].n > 1 << 16)
      return ox_malformed(o, "a result of size %lld",
                          (long long)a->bins[i].n);
  return (a->ratio >= 0 && a->ratio <= 1 << 16) ||
         ox_malformed(o, "sampling_ratio=%lld", (long long)a->ratio);
}

/* Start and size of the regions along an axis from columns `lo` and lo + 2 of
 * rois [R,4]. */
static bool extents(Ox *o, const Align *a, Node *rois, int lo, Bins *b) {
  rois = ox_with(o, OP_MUL, rois, a->scale);
  if (a->offset > 0)
    rois = ox_with(o, OP_SUB, rois, a->offset);
  b->start = ox_slice(o, rois, 1, lo, lo + 1, 1);
  b->size = ox_op2(o, OP_SUB, ox_slice(o, rois, 1, lo + 2, lo + 3, 1),
                   b->start);
  if (!a->half_pixel)
    b->size = ox_with(o, OP_MAXIMUM, b->size, 1);
  return b->size != NULL;
}

/* The same number of points in all bins. */
static bool points_fixed(Ox *o, const Align *a, Bins *b) {
  int64_t n = b->n * a->ratio;
  Type t = type_make(F32, 2, (int64_t[]){1, n});
  if (!ox_room(o, n))
    return false;
  float *v = arena_array(o->a, float, (size_t)n);
  for (int64_t i = 0; i < n; i++)
    v[i] = (float)((double)(i / a->ratio) +
                   ((double)(i % a->ratio) + 0.5) / (double)a->ratio);
  b->points = a->ratio;
  b->at = ox_constant(o, &t, v);
  b->share = ox_scalar(o, F32, 1 / (double)a->ratio);
  return true;
}

/* As many as pixels in a bin, which a region's size tells; smaller regions
 * have their last point several times, the further ones do not count. */
static bool points_adaptive(Ox *o, const Align *a, Bins *b) {
  const Tensor *size = ox_values(o, b->size);
  if (!size)
    return ox_refuse(o, "sampling_ratio=0 with regions that are no "
                     "constants");
  b->points = 1;
  for (int64_t r = 0; r < a->regions; r++) {
    double n = ceil(size->v[r] / (double)b->n);
    if (!(n >= 1 && n <= 1 << 16))
      return ox_refuse(o, "sampling_ratio=0 with a region of size %g",
                       size->v[r]);
    if ((int64_t)n > b->points)
      b->points = (int64_t)n;
  }
  int64_t row = b->n * b->points, all = ox_size_times(row, a->regions);
  if (!ox_room(o, all) || !ox_room(o, all))
    return false;
  float *at = arena_array(o->a, float, (size_t)all + 1);
  float *share = arena_array(o->a, float, (size_t)all + 1);
  for (int64_t i = 0; i < all; i++) {
    double n = ceil(size->v[i / row] / (double)b->n);
    double k = (double)(i % b->points);
    at[i] = (float)((double)(i % row / b->points) +
                    (fmin(k, n - 1) + 0.5) / n);
    share[i] = k < n ? (float)(1 / n) : 0;
  }
  Type t = type_make(F32, 2, (int64_t[]){a->regions, row});
  b->at = ox_constant(o, &t, at);
  b->share = ox_constant(o, &t, share);
  return true;
}

/* Points further than a pixel outside count nothing, others are brought
 * inside. */
static OxTaps bin_taps(Ox *o, const Align *a, const OxMap *map, int axis) {
  const Bins *b = &a->bins[axis];
  double size = (double)map->size[axis];
  Node *c = ox_with(o, OP_MUL, b->size, 1 / (double)b->n);
  c = ox_op2(o, OP_ADD, b->start, ox_op2(o, OP_MUL, c, b->at));
  Node *far = ox_op1(o, OP_ABS, ox_with(o, OP_SUB, c, (size - 1) / 2));
  far = ox_with(o, OP_LESS_EQUAL, far, (size + 1) / 2);
  Node *share = ox_cast(o, far, F32);
  if (!a->max)
    share = ox_op2(o, OP_MUL, share, b->share);
  OxTaps t = ox_taps(o, map, axis, c);
  if (!share)
    return (OxTaps){0};
  t.weight = ox_op2(o, OP_MUL, t.weight,
                    ox_unsqueeze(o, share, share->type.rank));
  int64_t dim[4] = {a->regions, axis ? 1 : b->n, axis ? b->n : 1,
                    2 * b->points};
  t.at = ox_reshape(o, t.at, 4, dim);
  t.weight = ox_reshape(o, t.weight, 4, dim);
  return t;
}

/* The greatest weighted pixel, as ONNX has it, not the greatest sum. */
static Node *greatest(Ox *o, const OxMap *map, OxTaps t) {
  Node *y = ox_gather(o, map->rows, t.at, 0);
  if (!y || !t.weight)
    return NULL;
  int k = y->type.rank - 2;
  y = ox_op2(o, OP_MUL, y, ox_unsqueeze(o, t.weight, k + 1));
  return ox_reduce(o, OP_MAX, y, (int64_t[]){k}, 1, false);
}

static bool rois_fit(Ox *o, const Node *x, const Node *rois, int columns) {
  if (x->type.rank != 4)
    return ox_malformed(o, "expected 4 dimensions, found %d", x->type.rank);
  return (rois->type.rank == 2 && rois->type.dim[1] == columns) ||
         ox_malformed(o, "expected regions of %d numbers", columns);
}

bool ox_write_roi_align(Ox *o) {
  Node *x = ox_in(o, 0), *rois = ox_in(o, 1), *batch = ox_in(o, 2);
  Align a = {0};
  OxMap map;
  OxTaps axis[2];
  if (!x || !rois || !batch || !rois_fit(o, x, rois, 4) ||
      !align_read(o, &a) || !ox_map(o, x, OX_LINEAR, OX_BORDER, &map))
    return false;
  a.regions = rois->type.dim[0];
  if (batch->type.rank != 1 || batch->type.dim[0] != a.regions)
    return ox_malformed(o, "expected one index of a map for each region");
  for (int i = 0; i < 2; i++) {
    Bins *b = &a.bins[i];
    if (!extents(o, &a, rois, 1 - i, b) ||
        !(a.ratio ? points_fixed(o, &a, b) : points_adaptive(o, &a, b)))
      return false;
    axis[i] = bin_taps(o, &a, &map, i);
  }
  batch = ox_with(o, OP_MUL, ox_cast(o, batch, I32), (double)map.plane);
  batch = ox_reshape(o, batch, 3, (int64_t[]){a.regions, 1, 1});
  OxTaps all = ox_taps_join(o, &map, axis, batch);
  Node *y = a.max ? greatest(o, &map, all) : ox_taps_sum(o, &map, all);
  return ox_give(o, 0, ox_permute(o, y, (int64_t[]){0, 3, 1, 2}));
}

/* ---- MaxRoiPool ----------------------------------------------------- */

/* Pixels [lo, hi) of bin k of n along an axis of that size. */
typedef struct Extent { int64_t lo, hi; } Extent;

static Extent bin_extent(double first, double last, double scale, int64_t k,
                         int64_t n, int64_t size) {
  double from = round(first * scale), to = round(last * scale);
  double each = fmax(to - from + 1, 1) / (double)n;
  double lo = fmin(fmax(floor((double)k * each) + from, 0), (double)size);
  double hi = fmin(fmax(ceil((double)(k + 1) * each) + from, 0),
                   (double)size);
  return (Extent){(int64_t)lo, (int64_t)hi};
}

typedef struct RoiPool {
  int64_t regions, bins[2], size[2], maps, most[2];
  const double *roi;         /* map, x, y, x, y */
  double scale;
} RoiPool;

static Extent pool_extent(const RoiPool *p, int64_t r, int axis, int64_t k) {
  const double *v = p->roi + 5 * r;
  return bin_extent(v[2 - axis], v[4 - axis], p->scale, k, p->bins[axis],
                    p->size[axis]);
}

static bool pool_read(Ox *o, const Node *x, const Node *rois, RoiPool *p) {
  const int64_t *shape;
  const Tensor *t = ox_values(o, rois);
  if (!t)
    return ox_refuse(o, "regions that are no constants");
  if (ox_ints(o, "pooled_shape", &shape) != 2 || shape[0] < 1 ||
      shape[1] < 1 || shape[0] > 1 << 16 || shape[1] > 1 << 16)
    return ox_malformed(o, "pooled_shape, expected two sizes");
  *p = (RoiPool){.regions = rois->type.dim[0], .roi = t->v,
                 .scale = ox_float(o, "spatial_scale", 1),
                 .maps = x->type.dim[0], .most = {1, 1}};
  for (int i = 0; i < 2; i++) {
    p->bins[i] = shape[i];
    p->size[i] = x->type.dim[2 + i];
  }
  for (int64_t i = 0; i < 5 * p->regions; i++)
    if (!(fabs(t->v[i] * p->scale) < 1 << 30))
      return ox_malformed(o, "a region at %g", t->v[i]);
  for (int64_t r = 0; r < p->regions; r++) {
    if (t->v[5 * r] < 0 || t->v[5 * r] >= (double)p->maps)
      return ox_malformed(o, "a region of map %g", t->v[5 * r]);
    for (int i = 0; i < 2; i++)
      for (int64_t k = 0; k < p->bins[i]; k++) {
        Extent e = pool_extent(p, r, i, k);
        if (e.hi - e.lo > p->most[i])
          p->most[i] = e.hi - e.lo;
      }
  }
  return true;
}

/* Row `row` of the places of pixels: bin (h, w) of a region; whether it has
 * any.  Smaller bins have their last pixels several times. */
static bool pool_places(const RoiPool *p, int64_t r, int64_t h, int64_t w,
                        int64_t *row) {
  Extent y = pool_extent(p, r, 0, h), x = pool_extent(p, r, 1, w);
  bool any = y.lo < y.hi && x.lo < x.hi;
  int64_t map = (int64_t)p->roi[5 * r] * p->size[0];
  for (int64_t i = 0; any && i < p->most[0] * p->most[1]; i++) {
    int64_t iy = y.lo + i / p->most[1], ix = x.lo + i % p->most[1];
    iy = iy < y.hi ? iy : y.hi - 1;
    ix = ix < x.hi ? ix : x.hi - 1;
    row[i] = (map + iy) * p->size[1] + ix;
  }
  return any;
}

bool ox_write_max_roi_pool(Ox *o) {
  Node *x = ox_in(o, 0), *rois = ox_in(o, 1);
  RoiPool p;
  if (!x || !rois || !rois_fit(o, x, rois, 5) || !pool_read(o, x, rois, &p))
    return false;
  int64_t bins = ox_size_times(p.regions, p.bins[0] * p.bins[1]);
  int64_t k = ox_size_times(p.most[0], p.most[1]), c = x->type.dim[1];
  int64_t all = ox_size_times(bins, k);
  int64_t pixels = ox_size_times(p.maps, ox_size_times(p.size[0], p.size[1]));
  if (!ox_room(o, all) || !ox_room(o, bins) || pixels > INT32_MAX)
    return o->said ? false : ox_refuse(o, "maps of more than 2^31 pixels");
  int64_t *at = arena_array(o->a, int64_t, (size_t)all + 1);
  uint8_t *any = arena_array(o->a, uint8_t, (size_t)bins + 1);
  bool full = true;
  for (int64_t i = 0; i < bins; i++) {
    int64_t bin = i % (p.bins[0] * p.bins[1]);
    any[i] = pool_places(&p, i / (p.bins[0] * p.bins[1]), bin / p.bins[1],
                         bin % p.bins[1], at + i * k);
    full = full && any[i];
  }
  Node *index = ox_reshape(o, ox_list(o, I32, at, (int)all), 2,
                           (int64_t[]){bins, k});
  x = ox_permute(o, x, (int64_t[]){0, 2, 3, 1});
  x = ox_gather(o, ox_reshape(o, x, 2, (int64_t[]){pixels, c}), index, 0);
  x = ox_reduce(o, OP_MAX, x, (int64_t[]){1}, 1, false);
  Type t = type_make(B1, 2, (int64_t[]){bins, 1});
  if (!full && x)
    x = ox_op3(o, OP_WHERE, ox_constant(o, &t, any), x,
               ox_scalar(o, F32, 0));
  x = ox_reshape(o, x, 4, (int64_t[]){p.regions, p.bins[0], p.bins[1], c});
  return ox_give(o, 0, ox_permute(o, x, (int64_t[]){0, 3, 1, 2}));
}
