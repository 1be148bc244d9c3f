/* onnx_resize.c - operators that resize: their sizes, scales, regions and
 * modes. */
#include "frontend/onnx_resize.h"

#include <math.h>
#include <string.h>

/* ---- sizes ---------------------------------------------------------- */

/* Operand i as floats, *n of them; NULL where it is empty or absent. */
static const double *floats_in(Ox *o, int i, const char *what, int *n) {
  *n = 0;
  Node *x = ox_opt(o, i);
  if (!x || ox_elems(x) == 0)
    return NULL;
  const Tensor *t = ox_values(o, x);
  if (!t || x->type.elem != F32) {
    if (!t)
      ox_refuse(o, "%s ('%s') must be a constant; an input that determines "
                "a shape is fixed with --const NAME=FILE.npy", what,
                o->node->input[i]);
    else
      ox_malformed(o, "%s: expected floats", what);
    return NULL;
  }
  *n = (int)ox_elems(x);
  return t->v;
}

/* The axes that sizes and scales speak of; how many, -1: a report. */
static int axes_of(Ox *o, int rank, int *axes) {
  const int64_t *v;
  int n = ox_ints(o, "axes", &v);
  bool named[MAX_RANK] = {false};
  if (n <= 0) {
    for (int i = 0; i < rank; i++)
      axes[i] = i;
    return rank;
  }
  for (int i = 0; i < n; i++) {
    if (i == MAX_RANK || !ox_axis(o, v[i], rank, &axes[i]))
      return -1;
    if (named[axes[i]])
      return ox_malformed(o, "axis %d is named twice", axes[i]) - 1;
    named[axes[i]] = true;
  }
  return n;
}

static bool scaled_by(Ox *o, OxAxis *a, double scale, bool crop) {
  if (!(scale > 0 && scale < 1 << 30))
    return ox_malformed(o, "a scale of %g", scale);
  float part = crop ? a->end - a->start : 1;
  a->scale = (float)scale;
  a->length = (float)a->in * part * (float)scale;
  if (!(a->length >= 0 && a->length < 1 << 30))
    return ox_malformed(o, "a result of size %g", (double)a->length);
  a->out = (int64_t)a->length;
  if (crop)
    a->length = (float)a->out;
  return true;
}

static bool sized(Ox *o, OxAxis *a, int64_t size) {
  if (size < 0 || size > 1 << 30)
    return ox_malformed(o, "a result of size %lld", (long long)size);
  a->out = size;
  a->length = (float)size;
  a->scale = a->in ? (float)size / (float)a->in : 1;
  return true;
}

/* One scale for all named axes, so that none becomes larger, or none smaller,
 * than asked for. */
static bool keep_ratio(Ox *o, OxResize *r, const int *axes, int n,
                       bool larger) {
  float scale = r->axis[axes[0]].scale;
  for (int i = 1; i < n; i++) {
    float s = r->axis[axes[i]].scale;
    if (larger ? s > scale : s < scale)
      scale = s;
  }
  for (int i = 0; i < n; i++) {
    OxAxis *a = &r->axis[axes[i]];
    if (!sized(o, a, (int64_t)floorf(scale * (float)a->in + 0.5f)))
      return false;
    a->scale = scale;
  }
  return true;
}

static bool policy(Ox *o, OxResize *r, const int *axes, int n) {
  const char *s = ox_str(o, "keep_aspect_ratio_policy", "stretch");
  if (!strcmp(s, "stretch") || n == 0)
    return true;
  if (!strcmp(s, "not_larger") || !strcmp(s, "not_smaller"))
    return keep_ratio(o, r, axes, n, !strcmp(s, "not_smaller"));
  return ox_malformed(o, "keep_aspect_ratio_policy='%s'", s);
}

static bool region_read(Ox *o, OxResize *r, int roi, const int *axes, int n) {
  int count;
  const double *v = floats_in(o, roi, "roi", &count);
  if (count != 2 * n)
    return !o->said && ox_malformed(o, "roi has %d numbers, expected %d",
                                    count, 2 * n);
  for (int i = 0; i < n; i++) {
    r->axis[axes[i]].start = (float)v[i];
    r->axis[axes[i]].end = (float)v[n + i];
  }
  return true;
}

/* By scales or sizes, operands of these numbers, -1: the version has none. */
static bool sizes_read(Ox *o, OxResize *r, int roi, int scales, int sizes) {
  int axes[MAX_RANK], n = axes_of(o, r->rank, axes), count;
  if (n < 0 || (r->crop && !region_read(o, r, roi, axes, n)))
    return false;
  const double *scale = floats_in(o, scales, "scales", &count);
  const int64_t *size = NULL;
  if (!scale && !o->said && sizes >= 0 && ox_has_in(o, sizes))
    count = ox_const_ints(o, sizes, "sizes", &size);
  if (o->said)
    return false;
  if ((!scale && !size) || count != n)
    return ox_malformed(o, "%d scales or sizes, expected %d", count, n);
  for (int i = 0; i < n; i++) {
    OxAxis *a = &r->axis[axes[i]];
    if (scale ? !scaled_by(o, a, scale[i], r->crop) : !sized(o, a, size[i]))
      return false;
  }
  return scale || policy(o, r, axes, n);
}

/* ---- operators ------------------------------------------------------ */

static bool one_of(Ox *o, const char *name, const char *value,
                   const char *const *known) {
  for (; *known; known++)
    if (!strcmp(value, *known))
      return true;
  return ox_malformed(o, "%s='%s'", name, value);
}

static bool attributes(Ox *o, OxResize *r) {
  static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
  static const char *const coords[] = {
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
    "align_corners", "asymmetric", "tf_half_pixel_for_nn",
    "tf_crop_and_resize", NULL};
  static const char *const rounds[] = {
    "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
  r->mode = ox_str(o, "mode", "nearest");
  if (o->opset < 7 && !strcmp(r->mode, "bilinear"))
    r->mode = "linear";
  r->coord = ox_str(o, "coordinate_transformation_mode", "half_pixel");
  r->nearest = ox_str(o, "nearest_mode", "round_prefer_floor");
  r->cubic = ox_float(o, "cubic_coeff_a", -0.75);
  r->outside = ox_float(o, "extrapolation_value", 0);
  r->exclude = ox_int(o, "exclude_outside", 0) != 0;
  r->antialias = ox_int(o, "antialias", 0) != 0;
  r->crop = !strcmp(r->coord, "tf_crop_and_resize");
  return one_of(o, "mode", r->mode, modes) &&
         one_of(o, "coordinate_transformation_mode", r->coord, coords) &&
         one_of(o, "nearest_mode", r->nearest, rounds);
}

/* The old operators count from the corner of each element, and take the one
 * behind a position where they make x smaller. */
static bool begin(Ox *o, OxResize *r, const Node *x, bool old) {
  if (!x)
    return false;
  *r = (OxResize){.rank = x->type.rank};
  for (int i = 0; i < r->rank; i++) {
    int64_t size = x->type.dim[i];
    if (size > MAX_WINDOW)
      return ox_refuse(o, "an axis of more than 2^30");
    r->axis[i] = (OxAxis){.in = size, .out = size, .scale = 1, .end = 1};
    r->axis[i].length = (float)size;
  }
  if (!attributes(o, r))
    return false;
  if (old) {
    r->coord = "asymmetric";
    r->nearest = "simple";
    r->crop = false;
  }
  return true;
}

bool ox_write_resize(Ox *o) {
  Node *x = ox_in(o, 0);
  OxResize r;
  bool old = o->opset < 11;
  if (!begin(o, &r, x, old) ||
      !sizes_read(o, &r, old ? -1 : 1, old ? 1 : 2, old ? -1 : 3) ||
      !ox_positions(o, &r))
    return false;
  return ox_give(o, 0, ox_resized(o, &r, x));
}

/* Before opset 7 maps are resized, by two attributes; before opset 9 the
 * scales of all axes are one. */
static bool attribute_scales(Ox *o, OxResize *r) {
  const double *scale;
  double maps[4] = {1, 1, ox_float(o, "height_scale", 1),
                    ox_float(o, "width_scale", 1)};
  int n = ox_floats(o, "scales", &scale);
  if (o->opset < 7 && n < 0) {
    scale = maps;
    n = 4;
  }
  if (n != r->rank)
    return ox_malformed(o, "%d scales, expected %d", n < 0 ? 0 : n, r->rank);
  for (int i = 0; i < n; i++)
    if (!scaled_by(o, &r->axis[i], scale[i], false))
      return false;
  return true;
}

bool ox_write_upsample(Ox *o) {
  Node *x = ox_in(o, 0);
  OxResize r;
  if (!begin(o, &r, x, true) ||
      !(o->opset < 9 ? attribute_scales(o, &r)
                     : sizes_read(o, &r, -1, 1, -1)))
    return false;
  return ox_positions(o, &r) && ox_give(o, 0, ox_resized(o, &r, x));
}
