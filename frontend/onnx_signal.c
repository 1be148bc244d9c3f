/* onnx_signal.c - windows, filters of a spectrum, and Fourier transforms of
 * the frames of a signal. */
#include "frontend/onnx_signal.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* ---- tables --------------------------------------------------------- */

float *signal_table(Ox *o, int64_t rows, int64_t cols, Type *t) {
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
  float *v = signal_table(o, 1, n, &t);
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

enum { MEL_MOST = 1 << 20 };

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
  if (n < 1 || dft < 1 || rate < 1 || dft > INT32_MAX || n > MEL_MOST ||
      !(lo >= 0 && hi >= lo))
    return ox_malformed(o, "%lld bins, dft_length %lld, sample_rate %lld, "
                        "from %g to %g hertz", (long long)n, (long long)dft,
                        (long long)rate, lo, hi);
  float *v = signal_table(o, dft / 2 + 1, n, &t);
  if (!v)
    return false;
  mel_fill(v, mel_edges(o, n, dft, rate, lo, hi), dft / 2 + 1, n);
  return table_give(o, &t, v);
}

/* ---- STFT ----------------------------------------------------------- */

/* Frames of a signal: `count` of `length` elements, `step` apart. */
typedef struct Frames { int64_t count, length, step; } Frames;

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
  return ox_give(o, 0, signal_dft(o, x, &d));
}
