/* onnx_signal.c - Fourier transforms as products with a constant matrix, and
 * the windows and filters that go with them. */
#include "frontend/onnx.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* ---- tables --------------------------------------------------------- */

/* Numbers that the file does not hold; NULL: too many. */
static float *table_new(Ox *o, int64_t rows, int64_t cols, Type *t) {
  int64_t n;
  *t = type_make(F32, 2, (int64_t[]){rows, cols});
  if (__builtin_mul_overflow(rows, cols, &n) || n < 0 || !ox_room(o, n)) {
    if (!o->said)
      ox_refuse(o, "it makes too large constants");
    return NULL;
  }
  return arena_array(o->a, float, (size_t)n + 1);
}

/* A table as result 0, of the type that output_datatype says. */
static bool table_give(Ox *o, const Type *t, const float *v) {
  int type = (int)ox_int(o, "output_datatype", OX_FLOAT);
  if (ox_held(type) < 0)
    return ox_refuse(o, "output_datatype %s", ox_type_name(type));
  Node *n = ox_cast(o, ox_constant(o, t, v), (Elem)ox_held(type));
  return ox_give_as(o, 0, n, type);
}

/* a - b cos(2 pi n / N) + c cos(4 pi n / N) */
bool ox_write_window(Ox *o) {
  double a = 0.5, b = 0.5, c = 0;
  int64_t n;
  Type t;
  if (!ox_const_int(o, 0, "the size", &n))
    return false;
  if (n < 0)
    return ox_malformed(o, "the size is %lld", (long long)n);
  if (o->node->op_type[0] == 'B') {
    a = 0.42, c = 0.08;
  } else if (o->node->op_type[2] == 'm') {
    a = 25.0 / 46.0, b = 21.0 / 46.0;
  }
  double all = (double)(ox_int(o, "periodic", 1) || n < 2 ? n : n - 1);
  float *v = table_new(o, 1, n, &t);
  if (!v)
    return false;
  for (int64_t i = 0; i < n; i++) {
    double at = 2 * pi * (double)i / all;
    v[i] = (float)(n < 2 ? 1 : a - b * cos(at) + c * cos(2 * at));
  }
  t = type_make(F32, 1, &n);
  return table_give(o, &t, v);
}

/* ---- MelWeightMatrix ------------------------------------------------ */

/* Bin of the spectrum where each edge of the bands lies, evenly spaced on
 * the mel scale (O'Shaughnessy, 1987). */
static int64_t *mel_edges(Ox *o, int64_t n, int64_t dft, int64_t rate,
                          double lo, double hi) {
  int64_t *at = arena_array(o->a, int64_t, (size_t)n + 2);
  double from = 2595 * log10(1 + lo / 700);
  double to = 2595 * log10(1 + hi / 700);
  for (int64_t i = 0; i < n + 2; i++) {
    double mel = from + (double)i * (to - from) / (double)(n + 2);
    double hertz = 700 * (pow(10, mel / 2595) - 1);
    double bin = floor((double)(dft + 1) * hertz / (double)rate);
    at[i] = bin > 0 && bin < 1e15 ? (int64_t)bin : 0;
  }
  return at;
}

/* Column i rises from edge i to edge i + 1 and falls to edge i + 2. */
static void mel_fill(float *v, const int64_t *at, int64_t bins, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int64_t lo = at[i], mid = at[i + 1], hi = at[i + 2];
    for (int64_t k = lo; k <= mid && k < bins; k++)
      v[k * n + i] = lo == mid ? 1 : (float)(k - lo) / (float)(mid - lo);
    for (int64_t k = mid; k < hi && k < bins; k++)
      v[k * n + i] = (float)(hi - k) / (float)(hi - mid);
  }
}

bool ox_write_mel_weight_matrix(Ox *o) {
  int64_t n, dft, rate;
  double lo, hi;
  Type t;
  if (!ox_const_int(o, 0, "num_mel_bins", &n) ||
      !ox_const_int(o, 1, "dft_length", &dft) ||
      !ox_const_int(o, 2, "sample_rate", &rate) ||
      !ox_const_float(o, 3, "lower_edge_hertz", &lo) ||
      !ox_const_float(o, 4, "upper_edge_hertz", &hi))
    return false;
  if (n < 1 || dft < 1 || rate < 1 || dft > INT32_MAX || n > INT32_MAX ||
      !(lo >= 0 && hi >= lo))
    return ox_malformed(o, "%lld bins, dft_length %lld, sample_rate %lld, "
                        "from %g to %g hertz", (long long)n, (long long)dft,
                        (long long)rate, lo, hi);
  float *v = table_new(o, dft / 2 + 1, n, &t);
  if (!v)
    return false;
  mel_fill(v, mel_edges(o, n, dft, rate, lo, hi), dft / 2 + 1, n);
  return table_give(o, &t, v);
}

/* ---- DFT ------------------------------------------------------------ */

/* y[k] = sum over n of x[n] exp(-2 pi i k n / length), or the inverse. */
typedef struct Dft {
  int64_t length, in, out;       /* in: those that are not zero */
  int in_parts, out_parts;       /* 1: real, 2: real and imaginary */
  bool inverse, onesided;
  const double *window;          /* of each n; NULL: 1 */
} Dft;

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
  float *v = table_new(o, d->out * d->out_parts, cols, &t);
  if (!v)
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

/* x [..., in, parts], with the axis last but one, to [..., out, parts]. */
static Node *dft_write(Ox *o, Node *x, const Dft *d) {
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
  return ox_give(o, 0, axis_swap(o, dft_write(o, x, &d), axis));
}

/* ---- STFT ----------------------------------------------------------- */

/* Frames of a signal: `count` of `length` elements, `step` apart. */
typedef struct Frames { int64_t count, length, step; } Frames;

static int64_t gcd(int64_t a, int64_t b) {
  while (b) {
    int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

/* x [B,L,parts] to [B,count,length,parts], looked up in pieces as long as
 * frames and steps are multiples of them. */
static Node *frames_cut(Ox *o, Node *x, const Frames *f) {
  int64_t b = x->type.dim[0], parts = x->type.dim[2];
  int64_t piece = gcd(f->length, f->step), n = f->length / piece, all;
  int64_t used = (f->count - 1) * f->step + f->length;
  if (__builtin_mul_overflow(f->count, n, &all) || all > INT32_MAX ||
      !ox_room(o, all))
    return NULL;
  int64_t *at = arena_array(o->a, int64_t, (size_t)all);
  for (int64_t i = 0; i < all; i++)
    at[i] = i / n * (f->step / piece) + i % n;
  x = ox_slice(o, x, 1, 0, used, 1);
  x = ox_reshape(o, x, 3, (int64_t[]){b, used / piece, piece * parts});
  x = ox_gather(o, x, ox_list(o, I32, at, (int)all), 1);
  return ox_reshape(o, x, 4, (int64_t[]){b, f->count, f->length, parts});
}

static bool frames_read(Ox *o, const Node *x, const Node *window,
                        Frames *f) {
  const Type *t = &x->type;
  if (t->rank != 3 || t->elem != F32 || t->dim[2] < 1 ||
      t->dim[2] > 2)
    return ox_malformed(o, "a signal of %d dimensions, expected batch, "
                        "length, 1 or 2", t->rank);
  if (!ox_const_int(o, 1, "frame_step", &f->step))
    return false;
  f->length = window ? ox_elems(window) : t->dim[1];
  if (ox_has_in(o, 3) && !ox_const_int(o, 3, "frame_length", &f->length))
    return false;
  if (f->step < 1 || f->length < 1 || f->length > t->dim[1] ||
      (window && (window->type.rank != 1 || ox_elems(window) != f->length)))
    return ox_malformed(o, "frames of %lld elements, %lld apart, of a signal "
                        "of %lld", (long long)f->length, (long long)f->step,
                        (long long)t->dim[1]);
  f->count = (t->dim[1] - f->length) / f->step + 1;
  return true;
}

bool ox_write_stft(Ox *o) {
  Node *x = ox_in(o, 0), *window = ox_opt(o, 2);
  Frames f;
  if (!x || (ox_has_in(o, 2) && !window) || !frames_read(o, x, window, &f))
    return false;
  const Tensor *w = ox_values(o, window);
  bool onesided = ox_int(o, "onesided", 1) != 0;
  Dft d = {.length = f.length, .in = f.length,
           .out = onesided ? f.length / 2 + 1 : f.length,
           .in_parts = (int)x->type.dim[2], .out_parts = 2,
           .onesided = onesided, .window = w ? w->v : NULL};
  x = frames_cut(o, x, &f);
  if (window && !w)
    x = ox_op2(o, OP_MUL, x, ox_unsqueeze(o, window, 1));
  return ox_give(o, 0, dft_write(o, x, &d));
}
