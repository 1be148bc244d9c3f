/* test_base.c - memory, text, diagnostics, buffers and files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/capture.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- arena ---------------------------------------------------------- */

static void test_arena(void **state) {
  Arena *a = arena_new();
  Vec(int) v = {0};

  (void)state;
  for (size_t size = 0; size < 100000; size = size * 3 + 1) {
    unsigned char *p = arena_alloc(a, size);

    assert_int_equal((uintptr_t)p % 16, 0);
    for (size_t i = 0; i < size; i++)
      assert_int_equal(p[i], 0);
    memset(p, 0xff, size);
  }
  for (int i = 0; i < 10000; i++)
    vec_push(a, &v, i);
  assert_int_equal(v.n, 10000);
  for (int i = 0; i < 10000; i++)
    assert_int_equal(v.at[i], i);
  assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
  assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
  assert_string_equal(arena_strdup(a, ""), "");
  arena_free(a);
  arena_free(NULL);
}

/* ---- text ----------------------------------------------------------- */

static void check_float(double v, bool f32, const char *expect) {
  Text t = {0};

  text_float(&t, v, f32);
  assert_string_equal(t.s, expect);
  text_free(&t);
}

static void test_float(void **state) {
  (void)state;
  check_float(0, false, "0.0");
  check_float(-0.0, false, "-0.0");
  check_float(6, false, "6.0");
  check_float(100, false, "100.0");
  check_float(0.1, false, "0.1");
  check_float(0.1f, true, "0.1");
  check_float(0.1f, false, "0.10000000149011612");
  check_float(1e-5, false, "1.0e-5");
  check_float(1.5e-7, false, "1.5e-7");
  check_float(1e22, false, "1.0e22");
  check_float(5e-324, false, "5.0e-324");
  check_float(3.4028234663852886e38, true, "3.4028235e38");
  check_float(123456789012.5, false, "123456789012.5");
  check_float(INFINITY, false, "inf");
  check_float(-INFINITY, true, "-inf");
  check_float(NAN, false, "nan");
}

/* Every double and float reads back, and has digits around its dot. */
static void test_float_reads_back(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 20000; i++) {
    uint64_t bits = hash_mix(i);
    Text t = {0};
    double v;
    float f;
    char *dot;

    memcpy(&v, &bits, sizeof v);
    memcpy(&f, &bits, sizeof f);
    if (isfinite(v)) {
      text_float(&t, v, false);
      assert_true(strtod(t.s, NULL) == v);
      dot = strchr(t.s, '.');
      assert_non_null(dot);
      assert_true(dot > t.s && dot[-1] >= '0' && dot[-1] <= '9');
      assert_true(dot[1] >= '0' && dot[1] <= '9');
    }
    if (isfinite(f)) {
      t.n = 0;
      text_float(&t, f, true);
      assert_true(strtof(t.s, NULL) == f);
    }
    text_free(&t);
  }
}

static void test_quote(void **state) {
  Text t = {0};

  (void)state;
  text_quote(&t, "a\"b\\c\n\t\x01");
  assert_string_equal(t.s, "\"a\\\"b\\\\c\\n\\t\\x01\"");
  t.n = 0;
  text_json(&t, "\xc3\xa9\"\x01\xff\xed\xa0\x80");
  assert_string_equal(t.s, "\"\xc3\xa9\\\"\\u0001"
                           "\\ufffd\\ufffd\\ufffd\\ufffd\"");
  t.n = 0;
  text_xml(&t, "\xc3\xa9<a b='\"'>&\x01\n\xff");
  assert_string_equal(t.s, "\xc3\xa9&#60;a b=&#39;&#34;&#39;&#62;&#38;"
                           "&#xfffd;\n&#xfffd;");
  text_free(&t);
}

static void test_nearest(void **state) {
  static const char *const names[] = {"relu", "relu6", "conv2d", "softmax"};

  (void)state;
  assert_string_equal(nearest_name("rleu", names, 4), "relu");
  assert_string_equal(nearest_name("relu7", names, 4), "relu");
  assert_string_equal(nearest_name("conv", names, 4), "conv2d");
  assert_null(nearest_name("batchnorm", names, 4));
  assert_null(nearest_name("x", names, 4));
  assert_null(nearest_name("", names, 4));
}

static void test_hash(void **state) {
  (void)state;
  assert_true(hash_bytes("", 0) == 0xcbf29ce484222325u);
  assert_true(hash_bytes("a", 1) == 0xaf63dc4c8601ec8cu);
  assert_true(hash_bytes("foobar", 6) == 0x85944171f73967e8u);
  /* the first number of splitmix64 from state 0 */
  assert_true(hash_mix(0x9E3779B97F4A7C15u) == 0xE220A8397B1DCDAFu);
}

/* ---- source and diagnostics ----------------------------------------- */

static const char program[] =
  "model m {\n"
  "\ty = conv(x, groups=9);   # f\xc3\xbcr\n"
  "}\n";
static const Source source = {
  "m.tam", program, sizeof program - 1, false, NULL
};

static Span span_of(const char *word) {
  const char *p = strstr(program, word);

  assert_non_null(p);
  return (Span){&source, (uint32_t)(p - program),
                (uint32_t)(p - program + (ptrdiff_t)strlen(word))};
}

static void test_line_col(void **state) {
  int line, col;

  (void)state;
  source_line_col(&source, 0, &line, &col);
  assert_int_equal(line * 100 + col, 101);
  source_line_col(&source, span_of("conv").begin, &line, &col);
  assert_int_equal(line * 100 + col, 206);
  source_line_col(&source, 100000, &line, &col);
  assert_int_equal(line * 100 + col, 401);
}

static void test_diags(void **state) {
  Diags *d = diags_new();
  char *s;

  (void)state;
  assert_int_equal(diags_exit_code(d), EXIT_OK);
  diag_warning(d, (Span){0}, "slow");
  assert_int_equal(diags_exit_code(d), EXIT_OK);
  assert_false(diag_error(d, EXIT_MODEL, span_of("conv"), "bad %d", 9));
  diag_also(d, span_of("groups=9"));
  diag_also(d, span_of("model"));
  diag_note(d, span_of("m {\n\ty"), "in 'm'");
  assert_false(diag_error_at(d, EXIT_FILE, "w.npy: byte 7", "a\x1b\"b"));
  assert_int_equal(diags_errors(d), 2);
  assert_int_equal(diags_exit_code(d), EXIT_MODEL);
  s = diags_text(d, false);
  assert_string_equal(s,
    "tamis: warning: slow\n"
    "m.tam:2:6: error: bad 9\n"
    "  \ty = conv(x, groups=9);   # f\xc3\xbcr\n"
    "  \t    ^~~~    ~~~~~~~~\n"
    "  model m {\n"
    "  ~~~~~\n"
    "m.tam:1:7: note: in 'm'\n"
    "  model m {\n"
    "        ^~~\n"
    "w.npy: byte 7: error: a?\"b\n");
  free(s);
  s = diags_text(d, true);
  assert_string_equal(s,
    "{\"level\":\"warning\",\"file\":null,\"line\":null,\"column\":null,"
    "\"message\":\"slow\",\"notes\":[]}\n"
    "{\"level\":\"error\",\"file\":\"m.tam\",\"line\":2,\"column\":6,"
    "\"message\":\"bad 9\",\"notes\":[{\"level\":\"note\",\"file\":"
    "\"m.tam\",\"line\":1,\"column\":7,\"message\":\"in 'm'\"}]}\n"
    "{\"level\":\"error\",\"file\":\"w.npy: byte 7\",\"line\":null,"
    "\"column\":null,\"message\":\"a?\\\"b\",\"notes\":[]}\n");
  free(s);
  diags_free(d);
}

static void test_diag_limit(void **state) {
  Diags *d = diags_new();
  size_t lines = 0;
  char *s;

  (void)state;
  for (int i = 0; i < 130; i++) {
    diag_error(d, EXIT_MODEL, (Span){0}, "error %d", i);
    diag_note(d, (Span){0}, "note %d", i);
  }
  assert_int_equal(diags_errors(d), 130);
  s = diags_text(d, false);
  for (const char *p = s; *p; p++)
    lines += *p == '\n';
  assert_int_equal(lines, 201);
  assert_non_null(strstr(s, "tamis: 30 more errors\n"));
  free(s);
  diags_free(d);
}

/* Empty spans, spans at the end and past it, very long lines. */
static void test_diag_edges(void **state) {
  static char text[5000];
  Source s = {"long", text, 4000, false, NULL};
  Source empty = {"empty", "", 0, false, NULL};
  Diags *d = diags_new();
  char *out;

  (void)state;
  memset(text, 'x', 4000);
  diag_error(d, EXIT_MODEL, (Span){&s, 2000, 2010}, "middle");
  diag_error(d, EXIT_MODEL, (Span){&s, 4000, 4000}, "end");
  diag_error(d, EXIT_MODEL, (Span){&s, 3998, 9000}, "past");
  diag_error(d, EXIT_MODEL, (Span){&empty, 0, 0}, "empty");
  out = diags_text(d, false);
  assert_non_null(strstr(out, " ^~~~~~~~~~\n"));
  assert_non_null(strstr(out, "empty:1:1: error: empty\n  \n  ^\n"));
  assert_true(strlen(out) < 1500);
  free(out);
  diags_free(d);
}

/* ---- buffers -------------------------------------------------------- */

static void test_buffer(void **state) {
  Buffer *b = buffer_new(1000), *s;

  (void)state;
  assert_int_equal((uintptr_t)b->data % 64, 0);
  b->data[10] = 7;
  s = buffer_slice(b, 10, 5);
  buffer_unref(b);
  assert_int_equal(s->data[0], 7);
  assert_ptr_equal(buffer_ref(s), s);
  buffer_unref(s);
  buffer_unref(s);
  assert_null(buffer_ref(NULL));
  buffer_unref(NULL);
  b = buffer_new(0);
  s = buffer_slice(b, 0, 0);
  buffer_unref(s);
  buffer_unref(b);
}

/* ---- files ---------------------------------------------------------- */

/* A directory of the test's own. */
static char dir[] = "/tmp/tamis-test-base-XXXXXX";

static int make_dir(void **state) {
  (void)state;
  return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
  (void)state;
  return rmdir(dir);
}

static void expect_file_error(Diags *d, const char *part) {
  char *s = diags_text(d, false);

  assert_int_equal(diags_exit_code(d), EXIT_FILE);
  if (!strstr(s, part))
    fail_msg("expected \"%s\" in \"%s\"", part, s);
  free(s);
  diags_free(d);
}

static void test_map(void **state) {
  Arena *a = arena_new();
  const char *path = path_join(a, dir, "x");
  Diags *d = diags_new();
  Buffer *b;

  (void)state;
  assert_true(file_write(d, path, "hello", 5));
  b = buffer_map(d, path);
  assert_non_null(b);
  assert_true(b->mapped);
  assert_int_equal(b->size, 5);
  assert_memory_equal(b->data, "hello", 5);
  buffer_unref(b);
  assert_true(file_write(d, path, NULL, 0));
  b = buffer_map(d, path);
  assert_non_null(b);
  assert_int_equal(b->size, 0);
  buffer_unref(b);
  unlink(path);
  assert_int_equal(diags_errors(d), 0);
  assert_null(buffer_map(d, path));
  expect_file_error(d, "x: error: cannot read: No such file");
  d = diags_new();
  assert_null(buffer_map(d, dir));
  expect_file_error(d, "Is a directory");
  d = diags_new();
  assert_null(buffer_map(d, "/dev/null"));
  expect_file_error(d, "not a regular file");
  arena_free(a);
}

static void test_source_read(void **state) {
  Arena *a = arena_new();
  const char *path = path_join(a, dir, "s.tam");
  Diags *d = diags_new();
  Source *s;

  (void)state;
  assert_true(file_write(d, path, "model", 5));
  s = source_read(a, d, path);
  assert_non_null(s);
  assert_string_equal(s->text, "model");
  assert_string_equal(s->name, path);
  assert_int_equal(s->len, 5);
  assert_true(file_write(d, path, "ab\0c", 4));
  assert_null(source_read(a, d, path));
  expect_file_error(d, "s.tam: error: NUL byte at offset 2");
  unlink(path);
  d = diags_new();
  assert_null(source_read(a, d, dir));
  expect_file_error(d, "Is a directory");
  arena_free(a);
}

/* An output appears only when it is committed. */
static void test_outfile(void **state) {
  Arena *a = arena_new();
  const char *path = path_join(a, dir, "out");
  Diags *d = diags_new();
  struct stat st;
  OutFile o;

  (void)state;
  assert_true(outfile_open(&o, d, path));
  fputs("whole", o.f);
  assert_int_not_equal(access(path, F_OK), 0);
  assert_true(outfile_commit(&o, d));
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_size, 5);
  assert_true((st.st_mode & 0400) != 0);
  assert_true(outfile_open(&o, d, path));
  fputs("half", o.f);
  outfile_abort(&o);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_size, 5);
  unlink(path);
  assert_true(file_write(d, "/dev/null", "x", 1));
  assert_int_equal(diags_errors(d), 0);
  assert_false(file_write(d, path_join(a, path, "deep"), "x", 1));
  expect_file_error(d, "out/deep: error: cannot write: ");
  if (access("/dev/full", W_OK) == 0) {
    d = diags_new();
    assert_false(file_write(d, "/dev/full", "x", 1));
    expect_file_error(d, "cannot write: No space left");
  }
  arena_free(a);
}

static void test_paths(void **state) {
  Arena *a = arena_new();

  (void)state;
  assert_string_equal(path_dir(a, "a/b/c.tam"), "a/b");
  assert_string_equal(path_dir(a, "c.tam"), ".");
  assert_string_equal(path_dir(a, "/c.tam"), "/");
  assert_string_equal(path_join(a, "a", "b"), "a/b");
  assert_string_equal(path_join(a, "/", "b"), "/b");
  assert_string_equal(path_join(a, ".", "b"), "b");
  assert_string_equal(path_join(a, "a", "/b"), "/b");
  assert_string_equal(path_base("a/b.tam"), "b.tam");
  assert_string_equal(path_base("b.tam"), "b.tam");
  assert_string_equal(path_with_ext(a, "a.b/c.tam", ".so"), "a.b/c.so");
  assert_string_equal(path_with_ext(a, "a.b/c", ".so"), "a.b/c.so");
  assert_string_equal(path_with_ext(a, "a/.tam", ".so"), "a/.tam.so");
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_arena),
    cmocka_unit_test(test_float),
    cmocka_unit_test(test_float_reads_back),
    cmocka_unit_test(test_quote),
    cmocka_unit_test(test_nearest),
    cmocka_unit_test(test_hash),
    cmocka_unit_test(test_line_col),
    cmocka_unit_test(test_diags),
    cmocka_unit_test(test_diag_limit),
    cmocka_unit_test(test_diag_edges),
    cmocka_unit_test(test_buffer),
    cmocka_unit_test(test_map),
    cmocka_unit_test(test_source_read),
    cmocka_unit_test(test_outfile),
    cmocka_unit_test(test_paths),
  };

  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
