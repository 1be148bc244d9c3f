/* test_image.c - PNG and JPEG as input tensors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/frontend.h"
#include "tests/unit/capture.h"

#include <math.h>
#include <png.h>
#include <turbojpeg.h>
#include <unistd.h>

enum { WIDTH = 5, HEIGHT = 4 };

static char file[] = "/tmp/tamis-test-image-XXXXXX";

static int make_file(void **state) {
  int fd = mkstemp(file);

  (void)state;
  return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state) {
  (void)state;
  return unlink(file);
}

/* Channel c of pixel (y, x) of the picture all tests use. */
static int sample(int y, int x, int c) {
  return c == 0 ? 50 * x : c == 1 ? 80 * y : 255 - 10 * x * y;
}

static void write_png(uint32_t format) {
  png_image image = {.version = PNG_IMAGE_VERSION};
  uint8_t bytes[HEIGHT * WIDTH * 4];
  int n = (int)PNG_IMAGE_SAMPLE_CHANNELS(format);

  for (int i = 0; i < HEIGHT * WIDTH; i++)
    for (int c = 0; c < n; c++)
      bytes[i * n + c] =
        c == 3 ? 9 : (uint8_t)sample(i / WIDTH, i % WIDTH, c);
  image.width = WIDTH;
  image.height = HEIGHT;
  image.format = format;
  assert_true(png_image_write_to_file(&image, file, 0, bytes, 0, NULL));
}

/* One colour, which JPEG keeps nearly. */
static void write_jpeg(int red, int green, int blue) {
  tjhandle h = tjInitCompress();
  uint8_t bytes[HEIGHT * WIDTH * 3];
  unsigned char *out = NULL;
  unsigned long size = 0;
  Diags *d = diags_new();

  for (int i = 0; i < HEIGHT * WIDTH; i++) {
    bytes[i * 3] = (uint8_t)red;
    bytes[i * 3 + 1] = (uint8_t)green;
    bytes[i * 3 + 2] = (uint8_t)blue;
  }
  assert_non_null(h);
  assert_int_equal(tjCompress2(h, bytes, WIDTH, 0, HEIGHT, TJPF_RGB, &out,
                               &size, TJSAMP_444, 95, 0), 0);
  assert_true(file_write(d, file, out, size));
  tjFree(out);
  tjDestroy(h);
  diags_free(d);
}

static Type input(int channels, int height, int width) {
  return type_make(F32, 4, (int64_t[]){1, channels, height, width});
}

static float *read_image(Arena *a, Type t, const ImageOpts *o) {
  Diags *d = diags_new();
  float *f = image_read(a, d, file, &t, o);
  char *s = diags_text(d, false);

  if (!f)
    fail_msg("%s", s);
  free(s);
  diags_free(d);
  return f;
}

static void refuse(Type t, const ImageOpts *o, int code, const char *expect) {
  Arena *a = arena_new();
  Diags *d = diags_new();
  char *s;

  assert_null(image_read(a, d, file, &t, o));
  assert_int_equal(diags_exit_code(d), code);
  s = diags_text(d, false);
  if (!strstr(s, expect))
    fail_msg("expected \"%s\" in \"%s\"", expect, s);
  free(s);
  diags_free(d);
  arena_free(a);
}

static void close_to(float v, double expect, double tolerance) {
  if (!(fabs(v - expect) <= tolerance))
    fail_msg("expected %g, found %g", expect, v);
}

static void check_rgb(const float *f, bool bgr, double mean, double scale) {
  for (int c = 0; c < 3; c++)
    for (int y = 0; y < HEIGHT; y++)
      for (int x = 0; x < WIDTH; x++)
        close_to(f[(c * HEIGHT + y) * WIDTH + x],
                 (sample(y, x, bgr ? 2 - c : c) / 255.0 - mean) / scale,
                 1e-6);
}

static void test_png(void **state) {
  Arena *a = arena_new();
  ImageOpts o = {0};
  const float *f;

  (void)state;
  write_png(PNG_FORMAT_RGB);
  check_rgb(read_image(a, input(3, HEIGHT, WIDTH), &o), false, 0, 1);
  o = (ImageOpts){.nmean = 1, .mean = {0.5}, .nscale = 3,
                  .scale = {2, 2, 2}, .bgr = true, .height = HEIGHT,
                  .width = WIDTH};
  check_rgb(read_image(a, input(3, HEIGHT, WIDTH), &o), true, 0.5, 2);
  o = (ImageOpts){0};
  f = read_image(a, input(1, HEIGHT, WIDTH), &o);
  close_to(f[2 * WIDTH + 3], (0.299 * 150 + 0.587 * 160 + 0.114 * 195) / 255,
           1e-6);
  write_png(PNG_FORMAT_RGBA);   /* transparency does not count */
  check_rgb(read_image(a, input(3, HEIGHT, WIDTH), &o), false, 0, 1);
  write_png(PNG_FORMAT_GRAY);
  f = read_image(a, input(3, HEIGHT, WIDTH), &o);
  for (int c = 0; c < 3; c++)
    close_to(f[c * HEIGHT * WIDTH + 4], 200 / 255.0, 1e-6);
  arena_free(a);
}

static void test_jpeg(void **state) {
  Arena *a = arena_new();
  ImageOpts o = {.nmean = 3, .mean = {0.1, 0.2, 0.3}};
  const float *f;

  (void)state;
  write_jpeg(200, 100, 50);
  f = read_image(a, input(3, 2, 9), &o);
  for (int i = 0; i < 18; i++) {
    close_to(f[i], 200 / 255.0 - 0.1, 0.01);
    close_to(f[18 + i], 100 / 255.0 - 0.2, 0.01);
    close_to(f[36 + i], 50 / 255.0 - 0.3, 0.01);
  }
  arena_free(a);
}

/* Halving averages with the weights of a triangle, enlarging interpolates
 * between centres. */
static void test_resize(void **state) {
  static const double weight[] = {0.125, 0.375, 0.375, 0.125};
  Arena *a = arena_new();
  ImageOpts o = {0};
  const float *f;
  double sum = 0;

  (void)state;
  write_png(PNG_FORMAT_GRAY);
  f = read_image(a, input(1, HEIGHT, 10), &o);
  close_to(f[0], 0, 1e-6);
  close_to(f[1], 0.25 * 50 / 255, 1e-6);
  close_to(f[2], 0.75 * 50 / 255, 1e-6);
  close_to(f[9], 200 / 255.0, 1e-6);
  write_png(PNG_FORMAT_RGB);
  f = read_image(a, input(3, 2, WIDTH), &o);
  for (int y = 0; y < 3; y++)   /* row -1 lies outside */
    sum += weight[y + 1] * sample(y, 0, 1);
  close_to(f[2 * WIDTH], sum / (1 - weight[0]) / 255, 1e-6);
  arena_free(a);
}

static void test_refused(void **state) {
  ImageOpts none = {0};
  ImageOpts size = {.height = 8, .width = 8};
  ImageOpts two = {.nmean = 2}, zero = {.nscale = 1};
  Type t = input(3, HEIGHT, WIDTH), other = t;
  Diags *d = diags_new();

  (void)state;
  write_png(PNG_FORMAT_RGB);
  refuse(t, &size, EXIT_USAGE, "resize=8x8 does not give the input "
         "f32[1,3,4,5]");
  refuse(t, &two, EXIT_USAGE, "mean= and scale= take 1 or 3 numbers");
  refuse(t, &zero, EXIT_USAGE, "scale=0");
  refuse(input(2, 4, 4), &none, EXIT_USAGE,
         "f32[1,1,H,W] or f32[1,3,H,W], not f32[1,2,4,4]");
  refuse(input(3, 4, 0), &none, EXIT_USAGE, "not f32[1,3,4,0]");
  other.elem = U8;
  refuse(other, &none, EXIT_USAGE, "not u8[1,3,4,5]");
  refuse(input(3, 100000, 1), &none, EXIT_USAGE, "an image is an input");
  assert_int_equal(truncate(file, 60), 0);
  refuse(t, &none, EXIT_FILE, ": error: PNG: ");
  assert_int_equal(truncate(file, 10), 0);
  refuse(t, &none, EXIT_FILE, ": error: PNG: ");
  write_jpeg(1, 2, 3);
  assert_int_equal(truncate(file, 100), 0);
  refuse(t, &none, EXIT_FILE, ": error: JPEG: ");
  assert_int_equal(truncate(file, 4), 0);
  refuse(t, &none, EXIT_FILE, ": error: JPEG: ");
  assert_int_equal(truncate(file, 0), 0);
  refuse(t, &none, EXIT_FILE, "neither a PNG nor a JPEG");
  /* a PNG that claims 2^31-1 rows and columns */
  assert_true(file_write(d, file, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff"
                         "\xff\xff\x7f\xff\xff\xff\x8\0\0\0\0\0\0\0\0", 33));
  refuse(t, &none, EXIT_FILE, ": error: PNG: ");
  diags_free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_png),
    cmocka_unit_test(test_jpeg),
    cmocka_unit_test(test_resize),
    cmocka_unit_test(test_refused),
  };

  return cmocka_run_group_tests(tests, make_file, remove_file);
}
