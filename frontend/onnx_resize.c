/* onnx_resize.c - values resized along their axes.  Each axis has a table of
 * positions; where it is one that the IR's `resize` has, that is the result,
 * else nearest elements are looked up, and interpolation is a product with a
 * matrix of weights, nearly all of which are zero. */
#include "frontend/onnx_window.h"

#include <math.h>
#include <string.h>

typedef struct Axis {
  int64_t in, out;
  float scale;               /* by which positions are divided */
  float length;              /* of the result, maybe with a fraction */
  float start, end;          /* of the region that is resized */
  float *at;                 /* where each element of the result lies in x */
} Axis;

typedef struct Resize {
  int rank;
  Axis axis[MAX_RANK];
  const char *mode, *coord, *nearest;
  bool crop;                 /* coord is tf_crop_and_resize */
  bool antialias, exclude;
  double cubic, outside;     /* coefficient; value beyond a cropped x */
} Resize;

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

static bool scaled_by(Ox *o, Axis *a, double scale, bool crop) {
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

static bool sized(Ox *o, Axis *a, int64_t size) {
  if (size < 0 || size > 1 << 30)
    return ox_malformed(o, "a result of size %lld", (long long)size);
  a->out = size;
  a->length = (float)size;
  a->scale = a->in ? (float)size / (float)a->in : 1;
  return true;
}

/* One scale for all named axes, so that none becomes larger, or none smaller,
 * than asked for. */
static bool keep_ratio(Ox *o, Resize *r, const int *axes, int n, bool larger) {
  float scale = r->axis[axes[0]].scale;
  for (int i = 1; i < n; i++) {
    float s = r->axis[axes[i]].scale;
    if (larger ? s > scale : s < scale)
      scale = s;
  }
  for (int i = 0; i < n; i++) {
    Axis *a = &r->axis[axes[i]];
    if (!sized(o, a, (int64_t)floorf(scale * (float)a->in + 0.5f)))
      return false;
    a->scale = scale;
  }
  return true;
}

static bool policy(Ox *o, Resize *r, const int *axes, int n) {
  const char *s = ox_str(o, "keep_aspect_ratio_policy", "stretch");
  if (!strcmp(s, "stretch") || n == 0)
    return true;
  if (!strcmp(s, "not_larger") || !strcmp(s, "not_smaller"))
    return keep_ratio(o, r, axes, n, !strcmp(s, "not_smaller"));
  return ox_malformed(o, "keep_aspect_ratio_policy='%s'", s);
}

static bool region_read(Ox *o, Resize *r, int roi, const int *axes, int n) {
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
static bool sizes_read(Ox *o, Resize *r, int roi, int scales, int sizes) {
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
    Axis *a = &r->axis[axes[i]];
    if (scale ? !scaled_by(o, a, scale[i], r->crop) : !sized(o, a, size[i]))
      return false;
  }
  return scale || policy(o, r, axes, n);
}

/* ---- positions ------------------------------------------------------ */

/* In floats, as exporters round them. */
static float position(const Resize *r, const Axis *a, int64_t i) {
  float x = (float)i, last = (float)(a->in - 1);
  const char *c = r->coord;
  if (!strcmp(c, "asymmetric"))
    return x / a->scale;
  if (!strcmp(c, "align_corners"))
    return a->length == 1 ? 0 : x * last / (a->length - 1);
  if (!strcmp(c, "tf_half_pixel_for_nn"))
    return (x + 0.5f) / a->scale;
  if (r->crop && a->length > 1)
    return a->start * last +
           x * (a->end - a->start) * last / (a->length - 1);
  if (r->crop)
    return 0.5f * (a->start + a->end) * last;
  if (!strcmp(c, "pytorch_half_pixel") && a->out <= 1)
    return 0;
  float at = (x + 0.5f) / a->scale - 0.5f;
  if (!strcmp(c, "half_pixel_symmetric"))
    at += (float)a->in / 2 * (1 - (float)a->out / (a->scale * (float)a->in));
  return at;
}

static bool positions(Ox *o, Resize *r) {
  for (int i = 0; i < r->rank; i++) {
    Axis *a = &r->axis[i];
    if (a->out == a->in && a->scale == 1 && !r->crop)
      continue;
    if (a->in == 0 && a->out > 0)
      return ox_malformed(o, "an axis of size 0 is resized");
    if (!ox_room(o, a->out))
      return false;
    bool same = a->in == a->out;
    a->at = arena_array(o->a, float, (size_t)a->out + 1);
    for (int64_t k = 0; k < a->out; k++) {
      a->at[k] = position(r, a, k);
      same = same && a->at[k] == (float)k;
      if (!(fabsf(a->at[k]) < 1e10f))
        return ox_malformed(o, "a position of %g", (double)a->at[k]);
    }
    if (same)
      a->at = NULL;
  }
  return true;
}

static int64_t clamped(float v, int64_t size) {
  return v < 0 ? 0 : v >= (float)size ? size - 1 : (int64_t)v;
}

static int64_t nearest(const Resize *r, const Axis *a, int64_t i) {
  float x = a->at[i], low = floorf(x);
  bool smaller = !strcmp(r->nearest, "simple") && a->scale < 1;
  if (!strcmp(r->nearest, "ceil") || smaller)
    return clamped(ceilf(x), a->in);
  if (!strcmp(r->nearest, "floor") || !strcmp(r->nearest, "simple"))
    return clamped(low, a->in);
  bool up = !strcmp(r->nearest, "round_prefer_ceil") ? x - low >= 0.5f
                                                     : x - low > 0.5f;
  return clamped(low + (up ? 1 : 0), a->in);
}

/* ---- the IR's resize ------------------------------------------------ */

/* Position of element i as a fraction num / den, as the IR has it. */
static void fraction(const char *coord, const Axis *a, int64_t i,
                     int64_t *num, int64_t *den) {
  if (!strcmp(coord, "align_corners")) {
    *num = a->out > 1 ? i * (a->in - 1) : 0;
    *den = a->out > 1 ? a->out - 1 : 1;
  } else if (!strcmp(coord, "half_pixel")) {
    *num = (2 * i + 1) * a->in - a->out;
    *den = 2 * a->out;
  } else {
    *num = i * a->in;
    *den = a->out;
  }
}

static bool agrees(const Resize *r, const Axis *a, const char *coord) {
  bool exact = !strcmp(r->mode, "nearest");
  for (int64_t i = 0; a->at && i < a->out; i++) {
    int64_t num, den;
    fraction(coord, a, i, &num, &den);
    if (exact) {
      int64_t k = !strcmp(coord, "asymmetric") ? num / den
                                               : (2 * num + den) / (2 * den);
      if (nearest(r, a, i) != (k < a->in ? k : a->in - 1))
        return false;
      continue;
    }
    double last = (double)(a->in - 1), is = (double)num / (double)den;
    double x = fmin(fmax((double)a->at[i], 0), last);
    if (fabs(fmin(fmax(is, 0), last) - x) > 1e-6 * (1 + last))
      return false;
  }
  return true;
}

/* Its coordinates that give the positions of the last two axes, when no
 * other is resized; NULL: none do. */
static const char *ir_coord(const Resize *r, const Node *x) {
  static const char *const coords[] = {"half_pixel", "asymmetric",
                                       "align_corners"};
  bool linear = !strcmp(r->mode, "linear");
  if (x->type.elem != F32 || r->rank < 2 || r->crop || r->antialias ||
      (!linear && strcmp(r->mode, "nearest")) || (linear && r->exclude))
    return NULL;
  for (int i = 0; i < r->rank - 2; i++)
    if (r->axis[i].at)
      return NULL;
  for (int i = 0; i < 3; i++)
    if (agrees(r, &r->axis[r->rank - 2], coords[i]) &&
        agrees(r, &r->axis[r->rank - 1], coords[i]))
      return coords[i];
  return NULL;
}

static Node *ir_resize(Ox *o, const Resize *r, Node *x, const char *coord) {
  int64_t dim[4] = {1, 1}, out[MAX_RANK];
  for (int i = 0; i < r->rank; i++) {
    int to = i + 4 - r->rank;
    out[i] = r->axis[i].out;
    if (to < 2)
      dim[1] = ox_size_times(dim[1], r->axis[i].in);
    else
      dim[to] = r->axis[i].in;
  }
  if (r->rank == 4)
    dim[0] = r->axis[0].in, dim[1] = r->axis[1].in;
  x = ox_reshape(o, x, 4, dim);
  Node *n = x ? ox_begin(o, OP_RESIZE, &x, 1) : NULL;
  if (n) {
    attr_set_ints(o->m, n, "size", out + r->rank - 2, 2);
    attr_set_str(o->m, n, "mode",
                 !strcmp(r->mode, "linear") ? "bilinear" : "nearest");
    attr_set_str(o->m, n, "coord", coord);
  }
  return ox_reshape(o, ox_end(o, n), r->rank, out);
}

/* ---- axis by axis --------------------------------------------------- */

static Node *nearest_along(Ox *o, const Resize *r, Node *x, int axis) {
  const Axis *a = &r->axis[axis];
  if (!ox_room(o, a->out))
    return NULL;
  int64_t *v = arena_array(o->a, int64_t, (size_t)a->out + 1);
  for (int64_t i = 0; i < a->out; i++)
    v[i] = nearest(r, a, i);
  return ox_gather(o, x, ox_list(o, I32, v, (int)a->out), axis);
}

/* A triangle, or cubic convolution (Keys, 1981). */
static double kernel(const Resize *r, double x) {
  double a = r->cubic;
  x = fabs(x);
  if (!strcmp(r->mode, "linear"))
    return x < 1 ? 1 - x : 0;
  if (x < 1)
    return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* The weights of row i of the matrix: what lies beyond x counts as its first
 * or last element, or not at all.  Where x is made smaller, antialiasing
 * widens the kernel. */
static void weights(const Resize *r, const Axis *a, int64_t i, float *row) {
  double at = (double)a->at[i], s = 1, sum = 0;
  if (r->antialias && a->scale < 1)
    s = (double)a->scale;
  double half = (!strcmp(r->mode, "linear") ? 1 : 2) / s;
  int64_t lo = (int64_t)ceil(at - half), hi = (int64_t)floor(at + half);
  for (int64_t k = lo; k <= hi; k++)
    if (!r->exclude || (k >= 0 && k < a->in))
      sum += kernel(r, ((double)k - at) * s);
  if ((!r->antialias && !r->exclude) || sum == 0)
    sum = 1;
  for (int64_t k = lo; k <= hi; k++) {
    int64_t to = k < 0 ? 0 : k >= a->in ? a->in - 1 : k;
    if (!r->exclude || to == k)
      row[to] += (float)(kernel(r, ((double)k - at) * s) / sum);
  }
}

static Node *matrix(Ox *o, const Resize *r, const Axis *a) {
  int64_t n = ox_size_times(a->out, a->in);
  if (!ox_room(o, n))
    return NULL;
  if (r->antialias && a->scale * (float)a->in < 0.25f) {
    ox_refuse(o, "antialias=1 with so small a scale");
    return NULL;
  }
  float *v = arena_array(o->a, float, (size_t)n + 1);
  for (int64_t i = 0; i < a->out; i++)
    weights(r, a, i, v + i * a->in);
  Type t = type_make(F32, 2, (int64_t[]){a->out, a->in});
  return ox_constant(o, &t, v);
}

/* The axis is made the last one, as the layer `linear` wants it. */
static Node *linear_along(Ox *o, const Resize *r, Node *x, int axis) {
  int64_t order[MAX_RANK];
  int last = r->rank - 1;
  for (int i = 0; i < r->rank; i++)
    order[i] = i;
  order[axis] = last;
  order[last] = axis;
  Node *w = matrix(o, r, &r->axis[axis]);
  return ox_permute(o, ox_op2(o, OP_LINEAR, ox_permute(o, x, order), w),
                    order);
}

/* Elements that lie beyond x have one value; NULL: none do. */
static Node *inside(Ox *o, const Resize *r, int axis) {
  const Axis *a = &r->axis[axis];
  int64_t dim[MAX_RANK];
  bool all = true;
  if (!ox_room(o, a->out))
    return NULL;
  uint8_t *v = arena_array(o->a, uint8_t, (size_t)a->out + 1);
  for (int64_t i = 0; i < a->out; i++) {
    v[i] = a->at[i] >= 0 && a->at[i] <= (float)(a->in - 1);
    all = all && v[i];
  }
  for (int i = 0; i < r->rank; i++)
    dim[i] = i == axis ? a->out : 1;
  Type t = type_make(B1, r->rank, dim);
  return all ? NULL : ox_constant(o, &t, v);
}

static Node *resized(Ox *o, const Resize *r, Node *x) {
  bool near = !strcmp(r->mode, "nearest");
  Elem e = x->type.elem;
  const char *coord = ir_coord(r, x);
  if (coord)
    return ir_resize(o, r, x, coord);
  if (!near)
    x = ox_cast(o, x, F32);
  for (int i = 0; x && i < r->rank; i++)
    if (r->axis[i].at)
      x = near ? nearest_along(o, r, x, i) : linear_along(o, r, x, i);
  for (int i = 0; x && r->crop && i < r->rank; i++) {
    Node *in = r->axis[i].at ? inside(o, r, i) : NULL;
    if (in)
      x = ox_op3(o, OP_WHERE, in, x, ox_scalar(o, x->type.elem, r->outside));
  }
  return near ? x : ox_wrap(o, ox_cast(o, x, e), ox_in_type(o, 0));
}

/* ---- operators ------------------------------------------------------ */

static bool one_of(Ox *o, const char *name, const char *value,
                   const char *const *known) {
  for (; *known; known++)
    if (!strcmp(value, *known))
      return true;
  return ox_malformed(o, "%s='%s'", name, value);
}

static bool attributes(Ox *o, Resize *r) {
  static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
  static const char *const coords[] = {
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
    "align_corners", "asymmetric", "tf_half_pixel_for_nn",
    "tf_crop_and_resize", NULL};
  static const char *const rounds[] = {
    "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
  r->mode = ox_str(o, "mode", "nearest");
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
static bool begin(Ox *o, Resize *r, const Node *x, bool old) {
  if (!x)
    return false;
  *r = (Resize){.rank = x->type.rank};
  for (int i = 0; i < r->rank; i++) {
    int64_t size = x->type.dim[i];
    if (size > MAX_WINDOW)
      return ox_refuse(o, "an axis of more than 2^30");
    r->axis[i] = (Axis){.in = size, .out = size, .scale = 1, .end = 1};
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
  Resize r;
  bool old = o->opset < 11;
  if (!begin(o, &r, x, old) ||
      !sizes_read(o, &r, old ? -1 : 1, old ? 1 : 2, old ? -1 : 3) ||
      !positions(o, &r))
    return false;
  return ox_give(o, 0, resized(o, &r, x));
}

/* Before opset 9 the scales are an attribute. */
bool ox_write_upsample(Ox *o) {
  Node *x = ox_in(o, 0);
  const double *scale;
  Resize r;
  if (!begin(o, &r, x, true))
    return false;
  if (o->opset >= 9) {
    if (!sizes_read(o, &r, -1, 1, -1))
      return false;
  } else {
    int n = ox_floats(o, "scales", &scale);
    if (n != r.rank)
      return ox_malformed(o, "%d scales, expected %d", n < 0 ? 0 : n, r.rank);
    for (int i = 0; i < n; i++)
      if (!scaled_by(o, &r.axis[i], scale[i], false))
        return false;
  }
  return positions(o, &r) && ox_give(o, 0, resized(o, &r, x));
}
