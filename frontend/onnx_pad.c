/* onnx_pad.c - operators that put elements around a value, or take some off
 * its edges. */
#include "frontend/onnx_move.h"

#include <string.h>

/* ---- Pad ------------------------------------------------------------ */

typedef struct Pads { int64_t before[MAX_RANK], after[MAX_RANK]; } Pads;

/* The axes that the counts are of: all, or those of operand 3. */
static bool pads_axes(Ox *o, int rank, int *n, int *axis) {
  const int64_t *v = NULL;
  bool some = o->opset >= 18 && ox_has_in(o, 3);
  unsigned seen = 0;
  *n = rank;
  if (some && (*n = ox_const_ints(o, 3, "axes", &v)) < 0)
    return false;
  for (int i = 0; i < *n; i++) {
    int k = i;
    if (some && !ox_axis(o, v[i], rank, &k))
      return false;
    if (seen >> k & 1)
      return ox_malformed(o, "axis %d is named twice", k);
    seen |= 1u << k;
    axis[i] = k;
  }
  return true;
}

static bool pads_read(Ox *o, int rank, Pads *p) {
  const int64_t *v = NULL;
  int axis[MAX_RANK], n, all;
  memset(p, 0, sizeof *p);
  if (o->opset < 11)
    all = ox_ints(o, o->opset < 2 ? "paddings" : "pads", &v);
  else if ((all = ox_const_ints(o, 1, "pads", &v)) < 0)
    return false;
  if (!pads_axes(o, rank, &n, axis))
    return false;
  if (all != 2 * n)
    return ox_malformed(o, "%d pads for %d axes", all < 0 ? 0 : all, n);
  for (int i = 0; i < n; i++) {
    p->before[axis[i]] = v[i];
    p->after[axis[i]] = v[n + i];
    if (v[i] > MAX_WINDOW || v[n + i] > MAX_WINDOW)
      return ox_malformed(o, "more than 2^30 elements are put before or "
                          "behind axis %d", axis[i]);
  }
  return true;
}

/* Negative counts take elements off. */
static Node *crop(Ox *o, Node *x, Pads *p) {
  for (int i = 0; x && i < x->type.rank; i++) {
    int64_t d = x->type.dim[i], a = p->before[i], b = p->after[i];
    if (a >= 0 && b >= 0)
      continue;
    int64_t from = a < 0 ? (a < -d ? d : -a) : 0;
    int64_t to = b < 0 ? (b < -d ? 0 : d + b) : d;
    if (a < -d || b < -d || from > to) {
      ox_malformed(o, "pads of %lld and %lld of an axis of size %lld",
                   (long long)a, (long long)b, (long long)d);
      return NULL;
    }
    x = ox_slice(o, x, i, from, to, 1);
    p->before[i] = a < 0 ? 0 : a;
    p->after[i] = b < 0 ? 0 : b;
  }
  return x;
}

/* What an attribute does not hold, or what is computed, is chosen where no
 * element of x lies. */
static Node *pad_with(Ox *o, Node *x, const Pads *p, Node *value) {
  int rank = x->type.rank;
  Node *inside = ox_filled(o, B1, rank, x->type.dim, 1);
  inside = ox_pad(o, inside, p->before, p->after, 0);
  x = ox_pad(o, x, p->before, p->after, 0);
  return ox_op3(o, OP_WHERE, inside, x, value);
}

static Node *pad_constant(Ox *o, Node *x, const Pads *p) {
  Node *value = o->opset < 11 ? NULL : ox_opt(o, 2);
  if (o->opset >= 11 && ox_has_in(o, 2) && !value)
    return NULL;
  if (!value)
    return ox_pad(o, x, p->before, p->after, ox_float(o, "value", 0));
  if (ox_elems(value) != 1 || value->type.elem != x->type.elem) {
    ox_malformed(o, "a value to pad with of type %s and %lld elements, "
                 "expected one %s", elem_name(value->type.elem),
                 (long long)ox_elems(value), elem_name(x->type.elem));
    return NULL;
  }
  const Tensor *t = ox_known(value) ? ox_values(o, value) : NULL;
  bool real = elem_is_float(x->type.elem);
  if (t && real)
    return ox_pad(o, x, p->before, p->after, t->v[0]);
  if (t && t->i[0] > -(1ll << 53) && t->i[0] < 1ll << 53)
    return ox_pad(o, x, p->before, p->after, (double)t->i[0]);
  return pad_with(o, x, p, ox_reshape(o, value, 0, NULL));
}

typedef enum { REFLECT, EDGE, WRAP } PadMode;

/* The element of an axis of size d that place i, which may lie outside,
 * shows. */
static int64_t pad_place(PadMode mode, int64_t i, int64_t d) {
  int64_t period = mode == WRAP ? d : 2 * (d - 1);
  if (mode == EDGE)
    return i < 0 ? 0 : i >= d ? d - 1 : i;
  if (period == 0)
    return 0;
  i %= period;
  i = i < 0 ? i + period : i;
  return i < d ? i : period - i;
}

/* One axis after the other, as what lies there already. */
static Node *pad_mirrored(Ox *o, Node *x, const Pads *p, PadMode mode) {
  for (int axis = 0; x && axis < x->type.rank; axis++) {
    int64_t d = x->type.dim[axis], before = p->before[axis];
    int64_t n = before + d + p->after[axis];
    if (n == d)
      continue;
    if (d == 0 || n > INT32_MAX || !ox_room(o, n)) {
      ox_malformed(o, "pads of %lld and %lld of an axis of size %lld",
                   (long long)before, (long long)p->after[axis],
                   (long long)d);
      return NULL;
    }
    int64_t *place = arena_array(o->a, int64_t, (size_t)n);
    for (int64_t i = 0; i < n; i++)
      place[i] = pad_place(mode, i - before, d);
    x = ox_gather(o, x, ox_list(o, I32, place, (int)n), axis);
  }
  return x;
}

bool ox_write_pad(Ox *o) {
  static const char *const names[] = {"reflect", "edge", "wrap"};
  const char *mode = ox_str(o, "mode", "constant");
  Pads p;
  Node *x = ox_in(o, 0);
  if (!x || !pads_read(o, x->type.rank, &p))
    return false;
  x = crop(o, x, &p);
  if (!x)
    return false;
  if (strcmp(mode, "constant") == 0)
    return ox_give(o, 0, pad_constant(o, x, &p));
  for (int i = REFLECT; i <= WRAP; i++)
    if (strcmp(mode, names[i]) == 0)
      return ox_give(o, 0, pad_mirrored(o, x, &p, (PadMode)i));
  return ox_malformed(o, "mode %s", mode);
}

/* ---- CenterCropPad --------------------------------------------------- */

/* Of an odd difference the greater half lies behind the value. */
bool ox_write_center_crop_pad(Ox *o) {
  const int64_t *want, *axes;
  Pads p = {{0}, {0}};
  Node *x = ox_in(o, 0);
  int n = ox_const_ints(o, 1, "shape", &want);
  int given = ox_ints(o, "axes", &axes);
  if (!x || n < 0)
    return false;
  if (n != (given < 0 ? x->type.rank : given))
    return ox_malformed(o, "%d sizes for %d axes", n,
                        given < 0 ? x->type.rank : given);
  for (int i = 0; x && i < n; i++) {
    int axis = i;
    if (given >= 0 && !ox_axis(o, axes[i], x->type.rank, &axis))
      return false;
    int64_t d = x->type.dim[axis], size = want[i];
    if (size < 0 || size - d > MAX_WINDOW)
      return ox_malformed(o, "size %lld of axis %d", (long long)size, axis);
    if (size < d)
      x = ox_slice(o, x, axis, (d - size) / 2, (d - size) / 2 + size, 1);
    p.before[axis] = size > d ? (size - d) / 2 : 0;
    p.after[axis] = size > d ? size - d - p.before[axis] : 0;
  }
  for (int i = 0; x && i < x->type.rank; i++)
    if (p.before[i] || p.after[i])
      return ox_give(o, 0, ox_pad(o, x, p.before, p.after, 0));
  return ox_give(o, 0, x);
}
