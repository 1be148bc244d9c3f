/* draw.c - what the nets of tests/nets are fed: `draw NET.txt DIR` writes
 * DIR/NET.bin, the weights that NET.onnx takes from there, and the inputs
 * DIR/CASE.INPUT.npy.  All is drawn, the same on every machine.
 *
 * Lines of NET.txt that matter here, others are for tests/cli/onnx_nets.sh:
 *   tensor LO HI ZEROS COUNT NAME     the next elements of NET.bin, floats;
 *                                     ZEROS is the part that is zero
 *   case NAME ...                     inputs up to the next belong to it
 *   draw INPUT TYPE SHAPE LO HI       numbers: TYPE is f32 or i64, SHAPE
 *                                     "1,3,224,224"
 *   picture INPUT SHAPE LO HI         patches of three sizes, of [..., H, W]
 */
#include "frontend/frontend.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_MOST = 1024, BLOCK = 1 << 16 };

static void fail(const char *what, const char *which) {
  fprintf(stderr, "draw: %s: %s\n", what, which);
  exit(1);
}

static FILE *open_or_fail(const char *path, const char *mode) {
  FILE *f = fopen(path, mode);
  if (!f) fail("cannot open", path);
  return f;
}

static void close_or_fail(FILE *f, const char *path) {
  if (ferror(f) || fclose(f) != 0) fail("cannot write", path);
}

/* ---- weights -------------------------------------------------------- */

/* The stream of random_unit, whose path is hashed once. */
static double unit(uint64_t key, uint64_t i) {
  uint64_t z = hash_mix(key + (i + 1) * UINT64_C(0x9E3779B97F4A7C15));
  return (double)(z >> 40) * 0x1p-24;
}

static void tensor_draw(FILE *out, const char *name, int64_t n, double lo,
                        double hi, double zeros) {
  uint64_t path = hash_bytes(name, strlen(name));
  uint64_t key = path ^ hash_mix(1), other = path ^ hash_mix(2);
  static float v[BLOCK];
  for (int64_t at = 0, k; at < n; at += k) {
    for (k = 0; k < BLOCK && at + k < n; k++) {
      uint64_t i = (uint64_t)(at + k);
      bool zero = zeros > 0 && unit(other, i) < zeros;
      v[k] = zero ? 0 : (float)(lo + (hi - lo) * unit(key, i));
    }
    fwrite(v, sizeof *v, (size_t)k, out);
  }
}

/* ---- inputs --------------------------------------------------------- */

static Type shape_read(const char *text, Elem e) {
  int64_t dim[MAX_RANK];
  int rank = 0;
  for (char *end; *text && rank < MAX_RANK; text = end + (*end == ',')) {
    dim[rank++] = strtoll(text, &end, 10);
    if (end == text) fail("expected a shape", text);
  }
  return type_make(e, rank, dim);
}

static void numbers_draw(Buffer *b, const Type *t, const char *path,
                         double lo, double hi) {
  for (int64_t i = 0; i < type_elems(t); i++) {
    double u = random_unit(path, 1, (uint64_t)i);
    if (elem_is_float(t->elem))
      elem_store(t->elem, b->data, (size_t)i, lo + (hi - lo) * u);
    else
      elem_store_int(t->elem, b->data, (size_t)i,
                     (int64_t)(lo + (hi - lo + 1) * u));
  }
}

/* Squares of 32, 8 and 1 pixels: half, three and two tenths of the range. */
static void picture_draw(Buffer *b, const Type *t, const char *path,
                         double lo, double hi) {
  static const struct { int64_t side; double part; } patch[] = {
    {32, 0.5}, {8, 0.3}, {1, 0.2}};
  int64_t w = t->dim[t->rank - 1], h = t->dim[t->rank - 2];
  for (int64_t i = 0; i < type_elems(t); i++) {
    int64_t x = i % w, y = i / w % h, plane = i / w / h;
    double v = 0;
    for (uint64_t k = 0; k < 3; k++) {
      int64_t s = patch[k].side;
      int64_t at = (plane * h + y / s) * w + x / s;
      v += patch[k].part * random_unit(path, k + 1, (uint64_t)at);
    }
    elem_store(t->elem, b->data, (size_t)i, lo + (hi - lo) * v);
  }
}

static void input_write(const char *dir, const char *test, const char *name,
                        const Type *t, bool picture, double lo, double hi) {
  Text path = {0};
  text_printf(&path, "%s/%s.%s.npy", dir, test, name);
  Buffer *b = buffer_new((size_t)type_bytes(t));
  (picture ? picture_draw : numbers_draw)(b, t, name, lo, hi);
  FILE *f = open_or_fail(path.s, "wb");
  npy_put(f, t, b->data);
  close_or_fail(f, path.s);
  buffer_unref(b);
  text_free(&path);
}

/* ---- the file ------------------------------------------------------- */

static void line_do(const char *line, FILE *out, const char *dir,
                    char *test) {
  char name[LINE_MOST], type[LINE_MOST], shape[LINE_MOST];
  double lo, hi, zeros;
  long long n;
  if (sscanf(line, "tensor %lf %lf %lf %lld %s", &lo, &hi, &zeros, &n,
             name) == 5)
    tensor_draw(out, name, n, lo, hi, zeros);
  else if (sscanf(line, "draw %s %s %s %lf %lf", name, type, shape, &lo,
                  &hi) == 5) {
    Type t = shape_read(shape, strcmp(type, "i64") == 0 ? I64 : F32);
    input_write(dir, test, name, &t, false, lo, hi);
  } else if (sscanf(line, "picture %s %s %lf %lf", name, shape, &lo,
                    &hi) == 4) {
    Type t = shape_read(shape, F32);
    input_write(dir, test, name, &t, true, lo, hi);
  } else
    sscanf(line, "case %s", test);
}

int main(int argc, char **argv) {
  if (argc != 3) fail("usage", "draw NET.txt DIR");
  const char *base = strrchr(argv[1], '/');
  base = base ? base + 1 : argv[1];
  Text path = {0};
  text_printf(&path, "%s/%.*s.bin", argv[2], (int)strcspn(base, "."), base);
  FILE *in = open_or_fail(argv[1], "r"), *out = open_or_fail(path.s, "wb");
  char line[LINE_MOST], test[LINE_MOST] = "";
  while (fgets(line, sizeof line, in)) line_do(line, out, argv[2], test);
  fclose(in);
  close_or_fail(out, path.s);
  text_free(&path);
  return 0;
}
