/* onnx_interp.c - elements of resized values.  Each axis has a table of
 * positions; where it is one that the IR's `resize` has, that is the result,
 * else nearest elements are looked up, and interpolation is a product with a
 * matrix of weights, nearly all of which are zero. */
#include "frontend/onnx_resize.h"
#include "frontend/onnx_window.h"

#include <math.h>
#include <string.h>

/* ---- positions ------------------------------------------------------ */

/* In floats, as exporters round them. */
static float position(const OxResize *r, const OxAxis *a, int64_t i) {
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

bool ox_positions(Ox *o, OxResize *r) {
  for (int i = 0; i < r->rank; i++) {
    OxAxis *a = &r->axis[i];
    /* ONNX Runtime's antialiasing leaves out an axis that keeps its size,
     * though another one's scale is taken for all. */
    if (a->out == a->in && (a->scale == 1 || r->antialias) && !r->crop)
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

static int64_t nearest(const OxResize *r, const OxAxis *a, int64_t i) {
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
static void fraction(const char *coord, const OxAxis *a, int64_t i,
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

static bool agrees(const OxResize *r, const OxAxis *a, const char *coord) {
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
static const char *ir_coord(const OxResize *r, const Node *x) {
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

static Node *ir_resize(Ox *o, const OxResize *r, Node *x, const char *coord) {
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

static Node *places_along(Ox *o, const OxResize *r, int axis) {
  const OxAxis *a = &r->axis[axis];
  if (!ox_room(o, a->out))
    return NULL;
  int64_t *v = arena_array(o->a, int64_t, (size_t)a->out + 1);
  for (int64_t i = 0; i < a->out; i++)
    v[i] = nearest(r, a, i);
  return ox_list(o, I32, v, (int)a->out);
}

/* A triangle, or cubic convolution (Keys, 1981). */
static double kernel(const OxResize *r, double x) {
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
static void weights(const OxResize *r, const OxAxis *a, int64_t i,
                    float *row) {
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

static Node *matrix(Ox *o, const OxResize *r, const OxAxis *a) {
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

/* An earlier axis that has the same matrix; `axis` itself if none has. */
static int axis_like(const OxResize *r, int axis) {
  const OxAxis *a = &r->axis[axis];
  for (int i = 0; i < axis; i++) {
    const OxAxis *b = &r->axis[i];
    if (b->at && b->in == a->in && b->out == a->out &&
        b->scale == a->scale &&
        !memcmp(b->at, a->at, (size_t)a->out * sizeof *a->at))
      return i;
  }
  return axis;
}

/* The axis is made the last one, as the layer `linear` wants it. */
static Node *linear_along(Ox *o, const OxResize *r, Node *x, int axis,
                          Node *w) {
  int64_t order[MAX_RANK];
  int last = r->rank - 1;
  for (int i = 0; i < r->rank; i++)
    order[i] = i;
  order[axis] = last;
  order[last] = axis;
  return ox_permute(o, ox_op2(o, OP_LINEAR, ox_permute(o, x, order), w),
                    order);
}

/* Elements that lie beyond x have one value; NULL: none do. */
static Node *inside(Ox *o, const OxResize *r, int axis) {
  const OxAxis *a = &r->axis[axis];
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

Node *ox_resized(Ox *o, const OxResize *r, Node *x) {
  bool near = !strcmp(r->mode, "nearest");
  Elem e = x->type.elem;
  const char *coord = ir_coord(r, x);
  if (coord)
    return ir_resize(o, r, x, coord);
  if (!near)
    x = ox_cast(o, x, F32);
  Node *w[MAX_RANK] = {NULL};
  for (int i = 0; x && i < r->rank; i++) {
    if (!r->axis[i].at)
      continue;
    int like = axis_like(r, i);
    if (like == i)
      w[i] = near ? places_along(o, r, i) : matrix(o, r, &r->axis[i]);
    x = near ? ox_gather(o, x, w[like], i)
             : linear_along(o, r, x, i, w[like]);
  }
  for (int i = 0; x && r->crop && i < r->rank; i++) {
    Node *in = r->axis[i].at ? inside(o, r, i) : NULL;
    if (in)
      x = ox_op3(o, OP_WHERE, in, x, ox_scalar(o, x->type.elem, r->outside));
  }
  return near ? x : ox_wrap(o, ox_cast(o, x, e), ox_in_type(o, 0));
}
