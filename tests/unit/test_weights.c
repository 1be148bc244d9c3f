/* test_weights.c - safetensors, npy and npz: what is written reads back,
 * what other tools wrote is read, what is malformed is refused with a
 * message that says where and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/fuzz/fuzz_weights.h"
#include "tests/unit/capture.h"

#include <dirent.h>
#include <math.h>
#include <unistd.h>
#include <zip.h>

/* A directory of the test's own, and one file in it. */
static char dir[] = "/tmp/tamis-test-weights-XXXXXX";
static char file[sizeof dir + 8];

static int make_dir(void **state) {
  (void)state;
  if (!mkdtemp(dir))
    return -1;
  snprintf(file, sizeof file, "%s/w", dir);
  return 0;
}

static int remove_dir(void **state) {
  (void)state;
  unlink(file);
  return rmdir(dir);
}

/* Read the file; with `expect`, the part of the message that says why it
 * can't be. */
static WeightFile *read_file(Arena *a, const char *path, const char *expect) {
  Diags *d = diags_new();
  WeightFile *w = weights_read(a, d, path);
  char *s = diags_text(d, false);

  if (!expect && !w)
    fail_msg("%s", s);
  if (expect) {
    assert_null(w);
    assert_int_equal(diags_exit_code(d), EXIT_FILE);
    assert_memory_equal(s, path, strlen(path));
    if (!strstr(s, expect))
      fail_msg("expected \"%s\" in \"%s\"", expect, s);
  }
  free(s);
  diags_free(d);
  return w;
}

static void refuse(const void *bytes, size_t n, const char *expect) {
  Arena *a = arena_new();
  Diags *d = diags_new();

  assert_true(file_write(d, file, bytes, n));
  read_file(a, file, expect);
  diags_free(d);
  arena_free(a);
}

/* ---- widening ------------------------------------------------------- */

static float widened(Elem elem, const void *bytes) {
  WeightTensor t = {.name = "", .type = type_make(elem, 0, NULL)};
  Buffer *f;
  float v;

  t.data = buffer_new(elem_size(elem));
  memcpy(t.data->data, bytes, t.data->size);
  f = weights_to_f32(&t);
  assert_int_equal(f->size, sizeof v);
  memcpy(&v, f->data, sizeof v);
  buffer_unref(f);
  buffer_unref(t.data);
  return v;
}

/* The value of an f16 by its definition. */
static double f16_value(unsigned h) {
  int exponent = (int)(h >> 10 & 31), mantissa = (int)(h & 1023);
  double v = exponent == 0 ? ldexp(mantissa, -24)
             : exponent < 31 ? ldexp(1024 + mantissa, exponent - 25)
             : mantissa ? NAN : INFINITY;

  return h >> 15 ? -v : v;
}

static void test_widen_half(void **state) {
  (void)state;
  for (unsigned h = 0; h < 65536; h++) {
    uint16_t bits = (uint16_t)h;
    uint32_t wide = (uint32_t)h << 16;
    double v = f16_value(h);
    float f = widened(F16, &bits), b = widened(BF16, &bits), e;

    if (isnan(v)) {
      assert_true(isnan(f));
    } else {
      assert_true(f == v);
      assert_int_equal(!!signbit(f), !!signbit(v));
    }
    memcpy(&e, &wide, sizeof e);
    assert_memory_equal(&b, &e, sizeof e);
  }
}

static void test_widen_others(void **state) {
  int64_t i64 = -((int64_t)1 << 40);
  int32_t i32 = -7;
  int16_t i16 = -300;
  int8_t i8 = -128;
  uint8_t u8 = 255, b1 = 1;
  uint16_t u16 = UINT16_MAX;
  uint32_t u32 = UINT32_MAX;
  uint64_t u64 = UINT64_MAX;
  double f64 = 0.1;
  float f32 = -0.0f;

  (void)state;
  assert_true(widened(I64, &i64) == -0x1p40f);
  assert_true(widened(I32, &i32) == -7);
  assert_true(widened(I16, &i16) == -300);
  assert_true(widened(I8, &i8) == -128);
  assert_true(widened(U8, &u8) == 255);
  assert_true(widened(B1, &b1) == 1);
  assert_true(widened(F64, &f64) == 0.1f);
  assert_true(widened(U16, &u16) == 65535);
  assert_true(widened(U32, &u32) == 4294967296);
  assert_true(widened(U64, &u64) == 0x1p64f);
  i64 = ((int64_t)1 << 60) + ((int64_t)1 << 36) + 1;   /* rounded once */
  assert_true(widened(I64, &i64) == 0x1.000002p60f);
  assert_true(signbit(widened(F32, &f32)));
}

/* ---- safetensors ---------------------------------------------------- */

/* A safetensors with this header and `n` zero bytes of data. */
static void refuse_header(const char *header, size_t n, const char *expect) {
  Text t = {0};
  uint64_t len = strlen(header);

  text_write(&t, &len, 8);
  text_puts(&t, header);
  for (size_t i = 0; i < n; i++)
    text_putc(&t, '\0');
  refuse(t.s, t.n, expect);
  text_free(&t);
}

static void test_safetensors_file(void **state) {

  (void)state;
  refuse("", 0, "not a weight file: neither safetensors nor npz nor npy");
  refuse("PK", 2, "not a weight file");
  refuse("\2\0\0\0\0\0\0\0", 8, "not a weight file");
  refuse("\2\0\0\0\0\0\0\0[]", 10, "not a weight file");
  refuse("\377\377\377\377\377\377\377\377{}", 10, "byte 0: error: "
         "safetensors header of 18446744073709551615 bytes in a file of 10");
  refuse("\3\0\0\0\0\0\0\0{}", 10,
         "safetensors header of 3 bytes in a file of 10");
  refuse("\0\0\0\0\0\0\0\0{}", 10, "safetensors header: ");
  refuse_header("{", 0, "safetensors header: ");
  refuse_header("{} x", 0, "safetensors header: ");
  refuse_header("{\"a\\u0000\":{}}", 0, "safetensors header: ");
  refuse_header("{\"a\":{},\"a\":{}}", 0, "duplicate object key");
  refuse_header("{\"__metadata__\":[]}", 0, "__metadata__: error: ");
  refuse_header("{\"__metadata__\":{\"k\":1}}", 0,
                "__metadata__: error: expected a string as \"k\"");
  refuse_header("{}", 3, "byte 10: error: data that belong to no tensor");
}

#define T(dtype, shape, offsets) \
  "{\"dtype\":\"" dtype "\",\"shape\":" shape \
  ",\"data_offsets\":" offsets "}"
#define A(dtype, shape, offsets) "{\"a\":" T(dtype, shape, offsets) "}"

static void test_safetensors_tensor(void **state) {
  static const struct { const char *header, *expect; } rows[] = {
    {"{\"a\":3}", "tensor 'a': error: expected an object"},
    {"{\"a\":{}}", "expected a string as \"dtype\""},
    {A("F8_E4M3", "[4]", "[0,8]"), "dtype \"F8_E4M3\" is not supported"},
    {"{\"a\":{\"dtype\":\"F32\"}}", "expected an array as \"shape\""},
    {A("F32", "[-1]", "[0,8]"), "entry 0 of \"shape\" is not a size"},
    {A("F32", "[2.0]", "[0,8]"), "entry 0 of \"shape\" is not a size"},
    {A("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"),
     "\"shape\" has 9 entries, expected at most 8"},
    {A("F32", "[2]", "[0]"), "expected two \"data_offsets\""},
    {A("F32", "[2]", "[0,8,9]"), "\"data_offsets\" has 3 entries"},
    {A("F32", "[2]", "[8,0]"), "data_offsets [8,0] out of range"},
    {A("F32", "[2]", "[0,16]"), "data_offsets [0,16] out of range; the "
     "file has 8 bytes of data"},
    {A("F32", "[3]", "[0,8]"), "f32[3] takes 12 bytes, data_offsets give 8"},
    {A("F32", "[4611686018427387904,4]", "[0,0]"), "dimensions overflow"},
    {A("F32", "[0,9223372036854775807,9]", "[0,0]"), "dimensions overflow"},
    {A("I64", "[9223372036854775808]", "[0,8]"), "safetensors header: "},
    {A("I8", "[7]", "[0,7]"), "data that belong to no tensor"},
    {A("I8", "[7]", "[1,8]"), "data that belong to no tensor"},
    {"{\"a\":" T("I8", "[6]", "[0,6]") ",\"b\":" T("I8", "[4]", "[4,8]")
     "}", "tensors 'a' and 'b' overlap"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    refuse_header(rows[i].header, 8, rows[i].expect);
}

static void test_safetensors_nesting(void **state) {
  Text t = {0};

  (void)state;
  text_puts(&t, "{\"a\":");
  for (int i = 0; i < 100000; i++)
    text_putc(&t, '[');
  refuse_header(t.s, 0, "safetensors header: ");
  text_free(&t);
}

static WeightTensor tensor(const char *name, Elem elem, int rank,
                           const int64_t *dim) {
  WeightTensor t = {.name = name, .type = type_make(elem, rank, dim)};

  t.data = buffer_new((size_t)type_elems(&t.type) * elem_size(elem));
  for (size_t i = 0; i < t.data->size; i++)
    t.data->data[i] = elem == B1 ? i % 2 : (uint8_t)(i * 37 + 1);
  return t;
}

static void check_tensor(const WeightFile *w, const WeightTensor *t) {
  const WeightTensor *r = weights_find(w, t->name);

  assert_non_null(r);
  assert_true(type_equal(&r->type, &t->type));
  assert_int_equal(r->data->size, t->data->size);
  assert_memory_equal(r->data->data, t->data->data, t->data->size);
}

static void test_safetensors_write(void **state) {
  static const int64_t dim[] = {2, 3, 0, 5};
  WeightTensor t[] = {
    tensor("f64", F64, 2, dim), tensor("f32", F32, 2, dim),
    tensor("f16", F16, 2, dim), tensor("bf16", BF16, 1, dim),
    tensor("i64", I64, 2, dim), tensor("i32", I32, 2, dim),
    tensor("i16", I16, 1, dim), tensor("i8", I8, 1, dim),
    tensor("u8", U8, 1, dim), tensor("b1", B1, 1, dim),
    tensor("u16", U16, 1, dim), tensor("u32", U32, 2, dim),
    tensor("u64", U64, 1, dim),
    tensor("none", F32, 4, dim), tensor("scalar", F32, 0, dim),
    tensor("quote\"d \xc3\xa9", F32, 1, dim)
  };
  size_t n = sizeof t / sizeof t[0];
  Arena *a = arena_new();
  Diags *d = diags_new();
  WeightFile *w;

  (void)state;
  assert_true(safetensors_write(d, file, t, n));
  w = read_file(a, file, NULL);
  assert_int_equal(w->tensors.n, n);
  for (size_t i = 0; i < n; i++) {
    check_tensor(w, &t[i]);
    assert_string_equal(w->tensors.at[i].name, t[i].name);
  }
  /* Mapped, and the first tensor lies at a multiple of 64. */
  assert_true(w->tensors.at[0].data->parent->mapped);
  assert_int_equal((uintptr_t)w->tensors.at[0].data->data % 64, 0);
  assert_null(weights_find(w, "f3"));
  weights_close(w);
  assert_true(safetensors_write(d, file, NULL, 0));
  w = read_file(a, file, NULL);
  assert_int_equal(w->tensors.n, 0);
  weights_close(w);
  for (size_t i = 0; i < n; i++)
    buffer_unref(t[i].data);
  diags_free(d);
  arena_free(a);
}

/* f32 of a mapped file is used where it lies. */
static void test_no_copy(void **state) {
  static const int64_t dim[] = {1 << 18};
  WeightTensor t = tensor("w", F32, 1, dim);
  Arena *a = arena_new();
  Diags *d = diags_new();
  WeightFile *w;
  Buffer *b;

  (void)state;
  assert_true(safetensors_write(d, file, &t, 1));
  w = read_file(a, file, NULL);
  b = weights_to_f32(&w->tensors.at[0]);
  assert_ptr_equal(b, w->tensors.at[0].data);
  weights_close(w);   /* b keeps the mapping */
  assert_true(b->parent->mapped);
  assert_memory_equal(b->data, t.data->data, t.data->size);
  buffer_unref(b);
  buffer_unref(t.data);
  diags_free(d);
  arena_free(a);
}

/* ---- npy ------------------------------------------------------------ */

static void refuse_npy(const char *dict, size_t n, const char *expect) {
  Text t = {0};
  size_t len = strlen(dict);

  text_write(&t, "\x93NUMPY\1\0", 8);
  text_putc(&t, (char)(len & 255));
  text_putc(&t, (char)(len >> 8));
  text_puts(&t, dict);
  for (size_t i = 0; i < n; i++)
    text_putc(&t, '\2');
  refuse(t.s, t.n, expect);
  text_free(&t);
}

#define N(descr, order, shape) \
  "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"

static void test_npy_malformed(void **state) {
  static const struct { const char *dict, *expect; } rows[] = {
    {"", "expected '{'"},
    {"{}", "'descr', 'fortran_order' or 'shape' is missing"},
    {"{'descr': '<f4', 'descr': '<f4'}", "once each"},
    {"{'other': 3}", "byte 18: error: npy header: expected 'descr'"},
    {"{'descr' '<f4'}", "once each"},
    {"{'descr': '<f4' 'shape': (2,)}", "expected ',' or '}'"},
    {"{'descr: 3}", "once each"},
    {N("'>f4'", "False", "(2,)"), "byte 20: error: npy header: type '>f4' "
     "is not supported; expected one of <f8"},
    {N("[('a', '<f4')]", "False", "(2,)"), "structured types"},
    {N("'<f4'", "True", "(2,)"), "Fortran order is not supported"},
    {N("'<f4'", "0", "(2,)"), "expected True or False"},
    {N("'<f4'", "False", "2"), "expected a tuple"},
    {N("'<f4'", "False", "(-2,)"), "expected a dimension"},
    {N("'<f4'", "False", "(2 3)"), "expected ',' or ')'"},
    {N("'<f4'", "False", "(2,,)"), "expected a dimension"},
    {N("'<f4'", "False", "(9223372036854775808,)"), "a dimension overflows"},
    {N("'<f4'", "False", "(9223372036854775807,2)"), "dimensions overflow"},
    {N("'<f4'", "False", "(1,1,1,1,1,1,1,1,2)"), "more than 8 dimensions"},
    {N("'<f4'", "False", "(3,)"), "f32[3] takes 12 bytes of data, found 8"},
    {N("'<f4'", "False", "(1,)"), "f32[1] takes 4 bytes of data, found 8"},
    {N("'|b1'", "False", "(8,)"), "expected a boolean 0 or 1, found 2"},
    {N("'<f4'", "False", "(2,)") "x", "text behind the dictionary"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    refuse_npy(rows[i].dict, 8, rows[i].expect);
  refuse("\x93NUMPY\1", 7, "not an npy file");
  refuse("\x93NUMPY\4\0\0\0", 10, "npy version 4.0; expected 1 to 3");
  refuse("\x93NUMPY\1\0\1\0", 10, "npy header of 1 bytes in a file of 10");
  refuse("\x93NUMPY\2\0\0\0", 10, "npy header of 0 bytes in a file of 10");
  refuse("\x93NUMPY\1\0\2\0{\0", 12, "byte 11: error: npy header: NUL byte");
}

static void test_npy_write(void **state) {
  static const Elem elems[] = {
    F64, F32, F16, BF16, I64, I32, I16, I8, U8, B1, U16, U32, U64
  };
  static const int64_t dim[] = {2, 1, 3};
  Arena *a = arena_new();
  Diags *d = diags_new();

  (void)state;
  for (size_t i = 0; i < sizeof elems / sizeof elems[0]; i++)
    for (int rank = 0; rank <= 3; rank++) {
      WeightTensor t = tensor("", elems[i], rank, dim);
      WeightFile *w;

      assert_true(npy_write(d, file, &t.type, t.data->data));
      w = read_file(a, file, NULL);
      check_tensor(w, &t);
      weights_close(w);
      buffer_unref(t.data);
    }
  diags_free(d);
  arena_free(a);
}

/* ---- npz ------------------------------------------------------------ */

static const char npy_bytes[] =
  "\x93NUMPY\1\0\x3e\0"
  "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }    \n"
  "\1\2\3";

/* Write a zip of one member and read it back as bytes. */
static void make_npz(Text *out, const char *member, bool deflate,
                     size_t keep) {
  zip_t *z = zip_open(file, ZIP_CREATE | ZIP_TRUNCATE, NULL);
  zip_source_t *s;
  zip_int64_t i;
  Buffer *b;
  Diags *d = diags_new();

  assert_non_null(z);
  s = zip_source_buffer(z, npy_bytes, keep, 0);
  i = zip_file_add(z, member, s, 0);
  assert_true(i >= 0);
  zip_set_file_compression(z, (zip_uint64_t)i,
                           deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
  assert_int_equal(zip_close(z), 0);
  b = buffer_map(d, file);
  assert_non_null(b);
  out->n = 0;
  text_write(out, b->data, b->size);
  buffer_unref(b);
  diags_free(d);
}

/* Where the central directory's entry begins. */
static size_t central_entry(const Text *t) {
  for (size_t i = 0; i + 4 < t->n; i++)
    if (memcmp(t->s + i, "PK\1\2", 4) == 0)
      return i;
  fail_msg("no central directory");
  return 0;
}

static void test_npz(void **state) {
  size_t n = sizeof npy_bytes - 1;
  Arena *a = arena_new();
  Text t = {0};

  (void)state;
  for (int deflate = 0; deflate < 2; deflate++) {
    WeightFile *w;
    const WeightTensor *x;

    make_npz(&t, "layer.weight.npy", deflate, n);
    w = read_file(a, file, NULL);
    assert_int_equal(w->tensors.n, 1);
    x = weights_find(w, "layer.weight");
    assert_non_null(x);
    assert_memory_equal(x->data->data, "\1\2\3", 3);
    weights_close(w);
  }
  text_free(&t);
  arena_free(a);
}

static void test_npz_malformed(void **state) {
  size_t n = sizeof npy_bytes - 1, at;
  Text t = {0};

  (void)state;
  make_npz(&t, "notes.txt", false, n);
  refuse(t.s, t.n, "member 'notes.txt': error: not an npy member");
  make_npz(&t, "a.npy", false, n - 1);
  refuse(t.s, t.n, "member 'a.npy': error: u8[3] takes 3 bytes of data, "
         "found 2");
  make_npz(&t, "a.npy", false, 30);
  refuse(t.s, t.n, "member 'a.npy': error: npy header of 62 bytes in a "
         "file of 30");
  make_npz(&t, "a.npy", true, n);
  refuse(t.s, t.n - 10, "error: npz: ");
  refuse(t.s, 30, "error: npz: ");
  at = central_entry(&t);
  memcpy(t.s + at + 24, "\xff\xff\xff\x7f", 4);
  refuse(t.s, t.n, "2147483647 bytes cannot come from a file of this size");
  make_npz(&t, "a.npy", false, n);
  for (size_t i = 0; i + 3 < t.n; i++)
    if (memcmp(t.s + i, "\1\2\3", 3) == 0) {
      t.s[i] = 9;
      break;
    }
  refuse(t.s, t.n, "member 'a.npy': error: damaged");
  make_npz(&t, "a.npy", false, n);
  t.s[central_entry(&t) + 10] = 12;   /* bzip2 */
  refuse(t.s, t.n, "expected a member that is stored or deflated");
  text_free(&t);
}

/* ---- files of other tools ------------------------------------------- */

static const char *corpus(Arena *a, const char *name) {
  return arena_printf(a, "%s/fuzz/corpus/%s", TEST_SRCDIR, name);
}

static void check_x(Arena *a, const char *path, const char *name, Elem elem) {
  static const float expect[] = {0, -0.0f, 1.5f, 0x1p-24f, 65504, INFINITY};
  WeightFile *w = read_file(a, corpus(a, path), NULL);
  const WeightTensor *t = weights_find(w, name);
  Buffer *b;

  assert_non_null(t);
  assert_int_equal(t->type.elem, elem);
  assert_int_equal(t->type.rank, 2);
  assert_int_equal(t->type.dim[0], 2);
  assert_int_equal(t->type.dim[1], 3);
  b = weights_to_f32(t);
  assert_memory_equal(b->data, expect, sizeof expect);
  buffer_unref(b);
  weights_close(w);
}

/* By NumPy 2.4 and safetensors 0.8 for Python. */
static void test_foreign(void **state) {
  Arena *a = arena_new();

  (void)state;
  check_x(a, "npy/f32.npy", "", F32);
  check_x(a, "npy/f16.npy", "", F16);
  check_x(a, "npy/f64.npy", "", F64);
  check_x(a, "npy/v2.npy", "", F32);
  check_x(a, "npy/v3.npy", "", F32);
  check_x(a, "npz/stored.npz", "a", F32);
  check_x(a, "npz/deflated.npz", "layer.0.w", F16);
  check_x(a, "safetensors/mixed.safetensors", "a", F32);
  check_x(a, "safetensors/mixed.safetensors", "h", F16);
  weights_close(read_file(a, corpus(a, "npz/empty.npz"), NULL));
  weights_close(read_file(a, corpus(a, "npy/scalar.npy"), NULL));
  weights_close(read_file(a, corpus(a, "npy/empty.npy"), NULL));
  read_file(a, corpus(a, "npy/fortran.npy"), "Fortran order");
  read_file(a, corpus(a, "npz/bzip2.npz"), "stored or deflated");
  arena_free(a);
}

/* The fuzzers' corpora, so that what they found stays found. */
static void test_corpora(void **state) {
  static const struct { const char *dir; WeightParser *parse; } kinds[] = {
    {"safetensors", safetensors_parse}, {"npz", npz_parse},
    {"npy", npy_parse}
  };
  Arena *a = arena_new();
  Diags *d = diags_new();

  (void)state;
  for (size_t k = 0; k < 3; k++) {
    const char *path = corpus(a, kinds[k].dir);
    DIR *files = opendir(path);
    struct dirent *e;
    int n = 0;

    assert_non_null(files);
    while ((e = readdir(files)) != NULL) {
      Buffer *b;

      if (e->d_name[0] == '.')
        continue;
      b = buffer_map(d, path_join(a, path, e->d_name));
      assert_non_null(b);
      fuzz_weights(kinds[k].parse, b->data, b->size);
      buffer_unref(b);
      n++;
    }
    closedir(files);
    assert_true(n > 3);
  }
  diags_free(d);
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_widen_half),
    cmocka_unit_test(test_widen_others),
    cmocka_unit_test(test_safetensors_file),
    cmocka_unit_test(test_safetensors_tensor),
    cmocka_unit_test(test_safetensors_nesting),
    cmocka_unit_test(test_safetensors_write),
    cmocka_unit_test(test_no_copy),
    cmocka_unit_test(test_npy_malformed),
    cmocka_unit_test(test_npy_write),
    cmocka_unit_test(test_npz),
    cmocka_unit_test(test_npz_malformed),
    cmocka_unit_test(test_foreign),
    cmocka_unit_test(test_corpora),
  };

  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
