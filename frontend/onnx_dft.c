/* onnx_dft.c - the discrete Fourier transform: a product with a constant
 * matrix, or for long ones two of them with short ones (Cooley and Tukey,
 * 1965). */
#include "frontend/onnx_signal.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* ---- one matrix ----------------------------------------------------- */

/* How often x[n] counts: with its conjugate, where that is left out. */
static double dft_weight(const Dft *d, int64_t n) {
  double w = d->window ? d->window[n] : 1;
  if (!d->inverse)
    return w;
  bool twice = d->onesided && n > 0 && 2 * n != d->length;
  return (twice ? 2 : 1) * w / (double)d->length;
}

/* [out*parts, in*parts] */
static Node *dft_matrix(Ox *o, const Dft *d) {
  Type t;
  int64_t cols = d->in * d->in_parts;
  float *v = signal_table(o, d->out * d->out_parts, cols, &t);
  if (!v || !ox_room(o, 2 * d->length))
    return NULL;
  double *turn = arena_array(o->a, double, (size_t)d->length * 2);
  for (int64_t i = 0; i < d->length; i++) {
    double at = 2 * pi * (double)i / (double)d->length;
    turn[2 * i] = cos(at);
    turn[2 * i + 1] = d->inverse ? sin(at) : -sin(at);
  }
  for (int64_t k = 0; k < d->out; k++)
    for (int64_t n = 0; n < d->in; n++) {
      double w = dft_weight(d, n);
      const double *e = &turn[2 * (k * n % d->length)];
      float *at = v + k * d->out_parts * cols + n * d->in_parts;
      at[0] = (float)(w * e[0]);
      if (d->in_parts == 2)
        at[1] = (float)(-w * e[1]);
      if (d->out_parts == 2)
        at[cols] = (float)(w * e[1]);
      if (d->in_parts == 2 && d->out_parts == 2)
        at[cols + 1] = (float)(w * e[0]);
    }
  return ox_constant(o, &t, v);
}

static Node *dft_direct(Ox *o, Node *x, const Dft *d) {
  int64_t dim[MAX_RANK];
  if (!x)
    return NULL;
  int rank = x->type.rank;
  for (int i = 0; i < rank; i++)
    dim[i] = x->type.dim[i];
  dim[rank - 2] = d->in * d->in_parts;
  x = ox_reshape(o, x, rank - 1, dim);
  x = ox_op2(o, OP_LINEAR, x, dft_matrix(o, d));
  dim[rank - 2] = d->out;
  dim[rank - 1] = d->out_parts;
  return ox_reshape(o, x, rank, dim);
}

/* ---- two of them ---------------------------------------------------- */

/* Exchanges an axis with the last but one. */
static Node *axis_swap(Ox *o, Node *x, int axis) {
  int64_t order[MAX_RANK];
  if (!x)
    return NULL;
  for (int i = 0; i < x->type.rank; i++)
    order[i] = i;
  order[axis] = x->type.rank - 2;
  order[x->type.rank - 2] = axis;
  return ox_permute(o, x, order);
}

/* From so long on it is two, if it has factors that are long enough. */
enum { SPLIT_LENGTH = 1024, SPLIT_FACTOR = 8 };

/* The factor of n next below its root; 1: none. */
static int64_t factor_of(int64_t n) {
  int64_t best = 1;
  for (int64_t k = 2; k <= n / k; k++)
    if (n % k == 0)
      best = k;
  return best;
}

/* x [..., n2, k1, 2] times exp(-+2 pi i n2 k1 / length). */
static Node *turned(Ox *o, Node *x, const Dft *d, int64_t n2, int64_t k1) {
  Type t;
  float *re = signal_table(o, n2, k1, &t);
  float *im = signal_table(o, n2, 2 * k1, &t);
  if (!x || !re || !im)
    return NULL;
  for (int64_t n = 0; n < n2; n++)
    for (int64_t k = 0; k < k1; k++) {
      double at = 2 * pi * (double)(n * k) / (double)d->length;
      float s = (float)(d->inverse ? sin(at) : -sin(at));
      re[n * k1 + k] = (float)cos(at);
      im[2 * (n * k1 + k)] = -s;
      im[2 * (n * k1 + k) + 1] = s;
    }
  t = type_make(F32, 3, (int64_t[]){n2, k1, 1});
  Node *c = ox_constant(o, &t, re);
  t = type_make(F32, 3, (int64_t[]){n2, k1, 2});
  Node *s = ox_constant(o, &t, im);
  Node *other = ox_flip(o, x, x->type.rank - 1);
  return ox_op2(o, OP_ADD, ox_op2(o, OP_MUL, x, c),
                ox_op2(o, OP_MUL, other, s));
}

static Node *windowed(Ox *o, Node *x, const Dft *d) {
  if (!d->window || !x)
    return x;
  Type t;
  float *v = signal_table(o, d->in, 1, &t);
  for (int64_t i = 0; v && i < d->in; i++)
    v[i] = (float)d->window[i];
  return v ? ox_op2(o, OP_MUL, x, ox_constant(o, &t, v)) : NULL;
}

/* With n = n2 + m2 n1 and k = k1 + m1 k2, of lengths m1 and m2. */
static Node *dft_split(Ox *o, Node *x, const Dft *d, int64_t m1) {
  int64_t m2 = d->length / m1, dim[MAX_RANK];
  int rank = x->type.rank;
  Dft one = {.length = m1, .in = m1, .out = m1, .in_parts = d->in_parts,
             .out_parts = 2, .inverse = d->inverse};
  Dft two = {.length = m2, .in = m2, .out = m2, .in_parts = 2,
             .out_parts = 2, .inverse = d->inverse};
  for (int i = 0; i < rank; i++)
    dim[i] = x->type.dim[i];
  x = windowed(o, x, d);
  dim[rank - 2] = m1;
  dim[rank - 1] = m2;
  dim[rank] = d->in_parts;
  x = axis_swap(o, ox_reshape(o, x, rank + 1, dim), rank - 2);
  x = turned(o, dft_direct(o, x, &one), d, m2, m1);
  x = axis_swap(o, x, rank - 2);
  x = axis_swap(o, dft_direct(o, x, &two), rank - 2);
  dim[rank - 2] = d->length;
  dim[rank - 1] = 2;
  return ox_slice(o, ox_reshape(o, x, rank, dim), rank - 2, 0, d->out, 1);
}

Node *signal_dft(Ox *o, Node *x, const Dft *d) {
  int64_t m1 = d->length < SPLIT_LENGTH ? 1 : factor_of(d->length);
  if (!x || m1 < SPLIT_FACTOR || x->type.rank == MAX_RANK ||
      d->in != d->length || d->out_parts == 1)
    return dft_direct(o, x, d);
  return dft_split(o, x, d, m1);
}

/* ---- DFT ------------------------------------------------------------ */

/* The axis: an attribute once, an operand since. */
static bool dft_axis(Ox *o, const Node *x, int *axis) {
  int64_t at = o->opset < 20 ? ox_int(o, "axis", 1) : -2;
  if (o->opset >= 20 && ox_has_in(o, 2) &&
      !ox_const_int(o, 2, "the axis", &at))
    return false;
  if (x->type.rank < 2 || x->type.elem != F32)
    return ox_malformed(o, "an input of type %s and %d dimensions",
                        elem_name(x->type.elem), x->type.rank);
  if (!ox_axis(o, at, x->type.rank, axis))
    return false;
  return *axis < x->type.rank - 1 ||
         ox_malformed(o, "the axis is that of real and imaginary parts");
}

static bool dft_lengths(Ox *o, const Node *x, int axis, Dft *d) {
  int64_t have = x->type.dim[axis], parts = x->type.dim[x->type.rank - 1];
  bool back = d->inverse && d->onesided;
  d->length = back ? 2 * (have - 1) : have;
  if (ox_has_in(o, 1) && !ox_const_int(o, 1, "dft_length", &d->length))
    return false;
  if (d->length < 1 || d->length > INT32_MAX)
    return ox_malformed(o, "a length of %lld", (long long)d->length);
  if (parts != 1 && parts != 2)
    return ox_malformed(o, "the last dimension is %lld, expected 1 or 2",
                        (long long)parts);
  int64_t half = d->length / 2 + 1;
  d->in_parts = (int)parts;
  d->out_parts = back ? 1 : 2;
  d->out = d->onesided && !back ? half : d->length;
  d->in = back ? half : d->length;
  if (d->in > have)
    d->in = have;
  return true;
}

bool ox_write_dft(Ox *o) {
  Node *x = ox_in(o, 0);
  Dft d = {.inverse = ox_int(o, "inverse", 0) != 0,
           .onesided = ox_int(o, "onesided", 0) != 0};
  int axis;
  if (!x || !dft_axis(o, x, &axis) || !dft_lengths(o, x, axis, &d))
    return false;
  x = axis_swap(o, ox_slice(o, x, axis, 0, d.in, 1), axis);
  return ox_give(o, 0, axis_swap(o, signal_dft(o, x, &d), axis));
}
