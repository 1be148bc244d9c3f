/* onnx_pool.c - pools over one to three axes, and over whole maps.  The IR
 * has windows over two axes; a third one is gone over by itself, as the
 * greatest and the average of a box are those of its lines. */
#include "frontend/onnx_window.h"

#include <math.h>

/* ---- windows as the IR has them ------------------------------------- */

/* What the last window reaches beyond x and the padding in front. */
static int64_t behind(const OxWindow *w, int i) {
  int64_t end = (w->out[i] - 1) * w->stride[i] + ox_window_reach(w, i);
  int64_t more = end - w->in[i] - w->before[i];
  return more > 0 ? more : 0;
}

static bool is_plain(const OxWindow *w, int i) {
  return w->dilation[i] == 1 && w->before[i] < w->k[i] &&
         behind(w, i) < w->k[i];
}

/* Along axis i of a padded x the elements of the windows, side by side. */
static Node *spread(Ox *o, Node *x, OxWindow *w, int i) {
  int64_t n = ox_size_times(w->out[i], w->k[i]);
  if (!ox_room(o, n))
    return NULL;
  int64_t *index = arena_array(o->a, int64_t, (size_t)n);
  for (int64_t k = 0; k < n; k++)
    index[k] = k / w->k[i] * w->stride[i] + k % w->k[i] * w->dilation[i];
  w->in[i] = n;
  w->stride[i] = w->k[i];
  w->dilation[i] = 1;
  return ox_gather(o, x, ox_list(o, I32, index, (int)n), 2 + i);
}

/* Padding written out where it is more than a window, dilated windows made
 * whole. */
static Node *plain_windows(Ox *o, Node *x, OxWindow *w, double value) {
  int64_t before[MAX_RANK] = {0}, after[MAX_RANK] = {0};
  for (int i = 0; i < w->n; i++) {
    if (is_plain(w, i))
      continue;
    after[2 + i] = behind(w, i);
    before[2 + i] = w->before[i];
    w->in[i] += w->before[i] + after[2 + i];
    w->before[i] = 0;
  }
  x = ox_pad(o, x, before, after, value);
  for (int i = 0; i < w->n; i++)
    if (x && w->dilation[i] > 1)
      x = spread(o, x, w, i);
  return x;
}

/* A pool of x seen as dim [N,C,H,W], with the windows of axes h and l of w,
 * -1: of one element. */
static Node *pool_of(Ox *o, Op op, Node *x, const int64_t *dim,
                     const OxWindow *w, int h, int l, bool count_pad) {
  int64_t k[2], stride[2], pad[4];
  for (int i = 0; i < 2; i++) {
    int axis = i ? l : h;
    k[i] = axis < 0 ? 1 : w->k[axis];
    stride[i] = axis < 0 ? 1 : w->stride[axis];
    pad[i] = axis < 0 ? 0 : w->before[axis];
    pad[2 + i] = axis < 0 ? 0 : behind(w, axis);
  }
  x = ox_reshape(o, x, 4, dim);
  Node *n = x ? ox_begin(o, op, &x, 1) : NULL;
  if (n) {
    attr_set_ints(o->m, n, "k", k, 2);
    attr_set_ints(o->m, n, "stride", stride, 2);
    attr_set_ints(o->m, n, "pad", pad, 4);
    if (op == OP_AVG_POOL)
      attr_set_bool(n, "count_pad", count_pad);
  }
  return ox_end(o, n);
}

static Node *pool(Ox *o, Op op, Node *x, const OxWindow *w, bool count_pad) {
  const int64_t *d = x->type.dim;
  int64_t dim[5] = {d[0], d[1]};
  Node *y;
  if (w->n == 1) {
    int64_t line[4] = {d[0], d[1], 1, w->in[0]};
    y = pool_of(o, op, x, line, w, -1, 0, count_pad);
  } else if (w->n == 2) {
    y = pool_of(o, op, x, d, w, 0, 1, count_pad);
  } else {
    int64_t maps[4] = {d[0], ox_size_times(d[1], d[2]), d[3], d[4]};
    int64_t rows[4] = {d[0], d[1], d[2], ox_size_times(w->out[1], w->out[2])};
    y = pool_of(o, op, x, maps, w, 1, 2, count_pad);
    y = pool_of(o, op, y, rows, w, 0, -1, count_pad);
  }
  for (int i = 0; i < w->n; i++)
    dim[2 + i] = w->out[i];
  return ox_reshape(o, y, 2 + w->n, dim);
}

/* ---- greatest ------------------------------------------------------- */

/* Integers of 8 bits are floats exactly. */
static Node *max_pool(Ox *o, Node *x, const OxWindow *w) {
  Elem e = x->type.elem;
  OxWindow v = *w;
  x = plain_windows(o, ox_cast(o, x, F32), &v, -INFINITY);
  return x ? ox_cast(o, pool(o, OP_MAX_POOL, x, &v, false), e) : NULL;
}

/* Where element k of window p lies in a plane, row by row or, with
 * `columns`, with the last axis outermost; -1: in the padding. */
static int64_t place(const OxWindow *w, int64_t p, int64_t k, bool columns) {
  int64_t at[OX_AXES_MOST], y = 0;
  for (int i = w->n - 1; i >= 0; i--) {
    at[i] = p % w->out[i] * w->stride[i] + k % w->k[i] * w->dilation[i] -
            w->before[i];
    if (at[i] < 0 || at[i] >= w->in[i])
      return -1;
    p /= w->out[i];
    k /= w->k[i];
  }
  for (int i = 0; i < w->n; i++) {
    int axis = columns ? w->n - 1 - i : i;
    y = y * w->in[axis] + at[axis];
  }
  return y;
}

/* The places [P,K] of all windows' elements, padding replaced by the first
 * element that is none: the first greatest stays the same. */
static Node *places(Ox *o, const OxWindow *w, int64_t n, int64_t k,
                    bool columns) {
  Type t = type_make(I64, 2, (int64_t[]){n, k});
  int64_t *v = arena_array(o->a, int64_t, (size_t)(n * k));
  for (int64_t p = 0; p < n; p++) {
    int64_t first = -1;
    for (int64_t i = 0; i < k && first < 0; i++)
      first = place(w, p, i, columns);
    if (first < 0) {
      ox_refuse(o, "places in windows of padding alone");
      return NULL;
    }
    for (int64_t i = 0; i < k; i++) {
      int64_t at = place(w, p, i, columns);
      v[p * k + i] = at < 0 ? first : at;
    }
  }
  return ox_constant(o, &t, v);
}

/* first, first + step, ... in a column [n,1] or a row [1,n]. */
static Node *steps(Ox *o, int64_t n, int64_t step, bool column) {
  int64_t *v = arena_array(o->a, int64_t, (size_t)n);
  for (int64_t i = 0; i < n; i++)
    v[i] = i * step;
  Type t = type_make(I64, 2, (int64_t[]){column ? n : 1, column ? 1 : n});
  return ox_constant(o, &t, v);
}

/* Of each window the place of its greatest element in all of x. */
static Node *max_places(Ox *o, Node *x, const OxWindow *w) {
  const int64_t *d = x->type.dim;
  int64_t plane = 1, n = 1, k = 1, dim[5] = {d[0], d[1]};
  int64_t planes = ox_size_times(d[0], d[1]);
  for (int i = 0; i < w->n; i++) {
    dim[2 + i] = w->out[i];
    plane = ox_size_times(plane, w->in[i]);
    n = ox_size_times(n, w->out[i]);
    k = ox_size_times(k, w->k[i]);
  }
  int64_t all = ox_size_times(n, k);
  if (!ox_room(o, all) || !ox_room(o, all) || !ox_room(o, planes))
    return NULL;
  Node *from = places(o, w, n, k, false);
  Node *to = ox_int(o, "storage_order", 0) ? places(o, w, n, k, true) : from;
  x = ox_reshape(o, x, 2, (int64_t[]){planes, plane});
  Node *at = ox_gather(o, x, from, 1);
  if (!at || !to)
    return NULL;
  Node *arg = ox_begin(o, OP_ARGMAX, &at, 1);
  if (arg)
    attr_set_int(arg, "axis", 2);
  arg = ox_cast(o, ox_end(o, arg), I64);
  arg = ox_op2(o, OP_ADD, arg, steps(o, n, k, false));
  at = ox_gather(o, ox_reshape(o, to, 1, &all), arg, 0);
  at = ox_op2(o, OP_ADD, at, steps(o, planes, plane, true));
  return ox_reshape(o, at, 2 + w->n, dim);
}

static bool max_window(Ox *o, const Node *x, OxWindow *w) {
  return x && !o->said && ox_window_read(o, x, NULL, w) &&
         ox_window_fit(o, w, ox_int(o, "ceil_mode", 0) != 0);
}

bool ox_write_max_pool(Ox *o) {
  Node *x = ox_in(o, 0);
  OxWindow w;
  if (!max_window(o, x, &w) || !ox_give(o, 0, max_pool(o, x, &w)))
    return false;
  return !ox_wants(o, 1) ||
         ox_give_as(o, 1, max_places(o, x, &w), OX_INT64);
}

/* ONNX Runtime's, of x [N,H,W,C]. */
bool ox_write_nhwc_max_pool(Ox *o) {
  static const int64_t to[] = {0, 3, 1, 2}, back[] = {0, 2, 3, 1};
  Node *x = ox_in(o, 0);
  OxWindow w;
  if (x && x->type.rank != 4)
    return ox_refuse(o, "a value of %d dimensions", x->type.rank);
  x = ox_permute(o, x, to);
  if (!max_window(o, x, &w))
    return false;
  return ox_give(o, 0, ox_permute(o, max_pool(o, x, &w), back));
}

/* ---- averages ------------------------------------------------------- */

typedef enum { COUNT_INSIDE, COUNT_PADDED, COUNT_ALL } Count;

/* How many elements window j along axis i counts. */
static int64_t counted(const OxWindow *w, int i, int64_t j, Count count) {
  int64_t n = 0, end = w->in[i] + (count == COUNT_PADDED ? w->after[i] : 0);
  if (count == COUNT_ALL)
    return w->k[i];
  int64_t first = j * w->stride[i] - w->before[i], step = w->dilation[i];
  int64_t lo = count == COUNT_PADDED || first >= 0 ? 0
                                                   : (step - 1 - first) / step;
  if (end > first)
    n = (end - first + step - 1) / step;
  if (n > w->k[i])
    n = w->k[i];
  return n > lo ? n - lo : 0;
}

/* Those between the first and the last count as many as these or more. */
static bool counts_all(const OxWindow *w, Count count) {
  for (int i = 0; i < w->n; i++)
    if (counted(w, i, 0, count) != w->k[i] ||
        counted(w, i, w->out[i] - 1, count) != w->k[i])
      return false;
  return true;
}

/* By what averages of whole windows are multiplied, [out...]. */
static Node *count_factors(Ox *o, const OxWindow *w, Count count) {
  Type t = type_make(F32, w->n, w->out);
  int64_t n = type_elems(&t);
  if (!ox_room(o, n))
    return NULL;
  float *v = arena_array(o->a, float, (size_t)n);
  for (int64_t p = 0; p < n; p++) {
    double f = 1;
    int64_t rest = p;
    for (int i = w->n - 1; i >= 0; i--) {
      f *= (double)w->k[i] /
           (double)counted(w, i, rest % w->out[i], count);
      rest /= w->out[i];
    }
    v[p] = (float)f;
  }
  return ox_constant(o, &t, v);
}

/* The IR counts what is inside, or all. */
static Node *mean_pool(Ox *o, Node *x, const OxWindow *w, Count count) {
  OxWindow v = *w;
  bool plain = true;
  for (int i = 0; i < w->n; i++)
    plain = plain && is_plain(w, i);
  if (count == COUNT_INSIDE && plain)
    return pool(o, OP_AVG_POOL, x, w, false);
  x = plain_windows(o, x, &v, 0);
  if (!x)
    return NULL;
  Node *y = pool(o, OP_AVG_POOL, x, &v, true);
  if (counts_all(w, count))
    return y;
  return ox_op2(o, OP_MUL, y, count_factors(o, w, count));
}

bool ox_write_average_pool(Ox *o) {
  Node *x = ox_in(o, 0);
  OxWindow w;
  if (!max_window(o, x, &w))
    return false;
  Count count = ox_int(o, "count_include_pad", 0) ? COUNT_PADDED
                                                  : COUNT_INSIDE;
  return ox_give(o, 0, mean_pool(o, x, &w, count));
}

/* ---- roots of sums of powers ---------------------------------------- */

/* |x|^p, and back from a sum of those. */
static Node *power(Ox *o, Node *x, int64_t p) {
  if (p == 2)
    return ox_op1(o, OP_SQUARE, x);
  x = ox_op1(o, OP_ABS, x);
  return p == 1 ? x : ox_with(o, OP_POW, x, (double)p);
}

static Node *root(Ox *o, Node *x, int64_t p) {
  if (p == 2)
    return ox_op1(o, OP_SQRT, x);
  return p == 1 ? x : ox_with(o, OP_POW, x, 1.0 / (double)p);
}

static bool exponent(Ox *o, int64_t *p) {
  double v = o->opset < 2 ? ox_float(o, "p", 2) : (double)ox_int(o, "p", 2);
  if (!(v >= 1 && v <= 1 << 20))
    return ox_malformed(o, "p=%g, expected 1 or more", v);
  *p = (int64_t)v;
  return true;
}

bool ox_write_lp_pool(Ox *o) {
  Node *x = ox_in(o, 0);
  OxWindow w;
  int64_t p;
  double size = 1;
  if (!max_window(o, x, &w) || !exponent(o, &p))
    return false;
  for (int i = 0; i < w.n; i++)
    size *= (double)w.k[i];
  x = power(o, x, p);
  if (!x)
    return false;
  x = ox_with(o, OP_MUL, mean_pool(o, x, &w, COUNT_ALL), size);
  return ox_give(o, 0, root(o, x, p));
}

/* ---- whole maps ----------------------------------------------------- */

static Node *whole(Ox *o, Op op, Node *x) {
  int64_t axes[MAX_RANK];
  if (!x)
    return NULL;
  int n = x->type.rank - 2;
  if (n < 1) {
    ox_malformed(o, "expected 3 or more dimensions, found %d", x->type.rank);
    return NULL;
  }
  for (int i = 0; i < n; i++)
    axes[i] = 2 + i;
  return ox_reduce(o, op, x, axes, n, true);
}

bool ox_write_global_average_pool(Ox *o) {
  return ox_give(o, 0, whole(o, OP_MEAN, ox_in(o, 0)));
}

bool ox_write_global_max_pool(Ox *o) {
  return ox_give(o, 0, whole(o, OP_MAX, ox_in(o, 0)));
}

bool ox_write_global_lp_pool(Ox *o) {
  Node *x = ox_in(o, 0);
  int64_t p;
  if (!x || !exponent(o, &p))
    return false;
  return ox_give(o, 0, root(o, whole(o, OP_SUM, power(o, x, p)), p));
}
