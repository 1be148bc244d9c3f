/* onnx_image.c - maps looked up at the points of a grid, and grids of affine
 * transformations. */
#include "frontend/onnx_sample.h"

#include <string.h>

/* ---- GridSample ----------------------------------------------------- */

static bool sampling(Ox *o, OxSampling *s, OxOutside *out, bool corners) {
  static const char *const names[] = {"nearest", "linear", "cubic"};
  static const char *const old[] = {"nearest", "bilinear", "bicubic"};
  const char *mode = ox_str(o, "mode", o->opset < 20 ? "bilinear" : "linear");
  const char *pad = ox_str(o, "padding_mode", "zeros");
  int k = 0;
  while (k < 3 && strcmp(mode, names[k]) && strcmp(mode, old[k]))
    k++;
  if (k == 3)
    return ox_malformed(o, "mode='%s'", mode);
  *s = (OxSampling)k;
  if (!strcmp(pad, "zeros"))
    *out = OX_ZEROS;
  else if (!strcmp(pad, "border"))
    *out = OX_BORDER;
  else if (!strcmp(pad, "reflection"))
    *out = corners ? OX_MIRROR_CENTRES : OX_MIRROR_EDGES;
  else
    return ox_malformed(o, "padding_mode='%s'", pad);
  return true;
}

static bool grid_fits(Ox *o, const Node *x, const Node *grid) {
  int rank = x->type.rank;
  if (rank < 3 || rank > OX_AXES_MOST + 2)
    return ox_refuse(o, "a map of %d dimensions", rank);
  if (grid->type.rank != rank || grid->type.dim[rank - 1] != rank - 2 ||
      grid->type.dim[0] != x->type.dim[0])
    return ox_malformed(o, "the grid has not a point of %d numbers for each "
                        "pixel", rank - 2);
  return true;
}

/* Places in pixels of a grid [N,P,n], whose -1 and 1 are the centres of the
 * outermost pixels or their edges; the last axis comes first. */
static Node *places(Ox *o, const OxMap *map, Node *grid, bool corners) {
  float half[OX_AXES_MOST], edge[OX_AXES_MOST];
  Type t = type_make(F32, 1, (int64_t[]){map->n});
  for (int i = 0; i < map->n; i++) {
    int64_t size = map->size[map->n - 1 - i];
    half[i] = (float)(size - corners) / 2;
    edge[i] = -0.5f;
  }
  grid = ox_with(o, OP_ADD, grid, 1);
  if (corners)
    return ox_op2(o, OP_MUL, grid, ox_constant(o, &t, half));
  Node *n = !grid ? NULL
                  : ox_begin(o, OP_SCALE_SHIFT,
                             (Node *[]){grid, ox_constant(o, &t, half),
                                        ox_constant(o, &t, edge)}, 3);
  if (n)
    attr_set_int(n, "axis", 2);
  return ox_end(o, n);
}

bool ox_write_grid_sample(Ox *o) {
  Node *x = ox_in(o, 0), *grid = ox_in(o, 1);
  bool corners = ox_int(o, "align_corners", 0) != 0;
  int64_t dim[MAX_RANK], points = 1;
  OxSampling s = OX_LINEAR;
  OxOutside out = OX_ZEROS;
  OxMap map;
  OxTaps axis[OX_AXES_MOST];
  if (!x || !grid || !grid_fits(o, x, grid) ||
      !sampling(o, &s, &out, corners))
    return false;
  Elem e = x->type.elem;
  if (s != OX_NEAREST)
    x = ox_cast(o, x, F32);
  if (!x || !ox_map(o, x, s, out, &map))
    return false;
  memcpy(dim, x->type.dim, sizeof dim);
  for (int i = 0; i < map.n; i++) {
    dim[2 + i] = grid->type.dim[1 + i];
    points = ox_size_times(points, dim[2 + i]);
  }
  grid = ox_reshape(o, grid, 3, (int64_t[]){dim[0], points, map.n});
  grid = places(o, &map, grid, corners);
  for (int i = 0; i < map.n; i++) {
    int k = map.n - 1 - i;
    axis[i] = ox_taps(o, &map, i,
                      ox_squeeze(o, ox_slice(o, grid, 2, k, k + 1, 1), 2));
  }
  Node *base = dim[0] > 1 ? ox_map_first(o, &map, dim[0], 2) : NULL;
  x = ox_taps_sum(o, &map, ox_taps_join(o, &map, axis, base));
  x = ox_reshape(o, ox_permute(o, x, (int64_t[]){0, 2, 1}), 2 + map.n, dim);
  return ox_give(o, 0, ox_cast(o, x, e));
}

/* ---- AffineGrid ----------------------------------------------------- */

/* The points (x, y, 1) or (x, y, z, 1) of all pixels. */
static Node *unit_grid(Ox *o, int n, const int64_t *size, bool corners) {
  int64_t all = 1;
  for (int i = 0; i < n; i++) {
    all = ox_size_times(all, size[i]);
    if (corners && size[i] == 1) {
      ox_refuse(o, "align_corners=1 with an axis of size 1");
      return NULL;
    }
  }
  if (!ox_room(o, ox_size_times(all, n + 1)))
    return NULL;
  float *v = arena_array(o->a, float, (size_t)(all * (n + 1)) + 1);
  for (int64_t p = 0; p < all; p++) {
    int64_t rest = p;
    for (int i = n - 1; i >= 0; i--) {
      int64_t k = rest % size[i], s = size[i];
      rest /= size[i];
      double at = corners ? 2.0 * (double)k / (double)(s - 1)
                          : (double)(2 * k + 1) / (double)s;
      v[p * (n + 1) + n - 1 - i] = (float)(at - 1);
    }
    v[p * (n + 1) + n] = 1;
  }
  Type t = type_make(F32, 2, (int64_t[]){all, n + 1});
  return ox_constant(o, &t, v);
}

bool ox_write_affine_grid(Ox *o) {
  Node *theta = ox_in(o, 0);
  const int64_t *size;
  int64_t dim[MAX_RANK];
  int n = ox_const_ints(o, 1, "size", &size);
  if (!theta || n < 0)
    return false;
  if (n != 4 && n != 5)
    return ox_malformed(o, "%d sizes, expected 4 or 5", n);
  const Type *t = &theta->type;
  if (t->rank != 3 || t->dim[1] != n - 2 || t->dim[2] != n - 1 ||
      t->dim[0] != size[0])
    return ox_malformed(o, "no transformation of %d by %d numbers for each "
                        "map", n - 2, n - 1);
  for (int i = 0; i < n; i++)
    if (size[i] < 1 || size[i] > MAX_WINDOW)
      return ox_malformed(o, "a size of %lld", (long long)size[i]);
  Node *grid = unit_grid(o, n - 2, size + 2,
                         ox_int(o, "align_corners", 0) != 0);
  if (!grid)
    return false;
  Node *y = ox_begin(o, OP_MATMUL, (Node *[]){grid, theta}, 2);
  if (y)
    attr_set_bool(y, "transpose_b", true);
  dim[0] = size[0];
  memcpy(dim + 1, size + 2, (size_t)(n - 2) * sizeof *size);
  dim[n - 1] = n - 2;
  return ox_give(o, 0, ox_reshape(o, ox_end(o, y), n, dim));
}
