/* upscale.c - makes a picture larger with a compiled network.
 *
 *   upscale IN.png OUT.png [EXPECTED.png]
 *
 * The net was built with --prefix=net for pictures of one size and is linked
 * in; its descriptor knows both sizes. With EXPECTED.png the result is
 * compared to it: exit code 1 when a value is off by more than one. */
#include "net.h"
#include "tamis.h"

#include <math.h>
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 3, TOLERANCE = 1 };

typedef struct Picture {
  int width, height;
  uint8_t *rgba;       /* from malloc */
} Picture;

/* A picture as large as a tensor [1,3,H,W]. */
static Picture picture_make(const tamis_tensor *t) {
  Picture p = {(int)t->dims[3], (int)t->dims[2], NULL};
  p.rgba = malloc((size_t)p.width * (size_t)p.height * 4);
  return p;
}

/* Reads a picture that has to be as large; transparency is dropped. */
static int picture_read(const char *path, const tamis_tensor *t,
                        Picture *p) {
  png_image image = {.version = PNG_IMAGE_VERSION};
  *p = picture_make(t);
  if (!p->rgba || !png_image_begin_read_from_file(&image, path)) {
    fprintf(stderr, "%s: %s\n", path,
            p->rgba ? image.message : "out of memory");
    return 0;
  }
  image.format = PNG_FORMAT_RGBA;
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  int w = (int)image.width, h = (int)image.height;
  int fits = w == p->width && h == p->height;
  int ok = fits && png_image_finish_read(&image, NULL, p->rgba, 0, NULL);
  if (!fits)
    fprintf(stderr, "%s: expected %dx%d pixels for this net, found %dx%d\n",
            path, p->width, p->height, w, h);
  else if (!ok)
    fprintf(stderr, "%s: %s\n", path, image.message);
  png_image_free(&image);
  return ok;
}

static int picture_write(const char *path, const Picture *p) {
  png_image image = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)p->width,
                     .height = (png_uint_32)p->height,
                     .format = PNG_FORMAT_RGBA};
  int ok = png_image_write_to_file(&image, path, 0, p->rgba, 0, NULL);
  if (!ok) fprintf(stderr, "%s: %s\n", path, image.message);
  return ok;
}

/* The net takes and gives one channel after the other. */
static void to_planes(const Picture *p, float *x) {
  size_t n = (size_t)p->width * (size_t)p->height;
  for (size_t c = 0; c < CHANNELS; c++)
    for (size_t i = 0; i < n; i++) x[c * n + i] = p->rgba[4 * i + c];
}

static void from_planes(const float *y, Picture *p) {
  size_t n = (size_t)p->width * (size_t)p->height;
  memset(p->rgba, 255, 4 * n);       /* opaque */
  for (size_t c = 0; c < CHANNELS; c++)
    for (size_t i = 0; i < n; i++)
      p->rgba[4 * i + c] =
        (uint8_t)lrintf(fminf(fmaxf(y[c * n + i], 0), 255));
}

static int upscale(const Picture *in, Picture *out) {
  float *x = malloc(net_model.inputs[0].bytes);
  float *y = malloc(net_model.outputs[0].bytes);
  void *arena = aligned_alloc(NET_ALIGN, NET_ARENA_BYTES);
  int ok = x && y && arena && out->rgba;
  if (!ok) fputs("upscale: out of memory\n", stderr);
  if (ok) {
    to_planes(in, x);
    int code = net_run(x, y, arena);
    ok = code == 0;
    if (ok) from_planes(y, out);
    else fprintf(stderr, "upscale: the net gave %d\n", code);
  }
  free(x);
  free(y);
  free(arena);
  return ok;
}

static int compare(const Picture *a, const Picture *b) {
  size_t n = (size_t)a->width * (size_t)a->height;
  size_t differ = 0;
  int largest = 0;
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t c = 0; c < CHANNELS; c++) {
      int d = abs(a->rgba[4 * i + c] - b->rgba[4 * i + c]);
      if (d > largest) largest = d;
      differ += d > 0;
      sum += d;
    }
  printf("%zu of %zu values differ; largest difference %d, mean %.2g\n",
         differ, CHANNELS * n, largest, sum / (double)(CHANNELS * n));
  return largest <= TOLERANCE;
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 4) {
    fputs("usage: upscale IN.png OUT.png [EXPECTED.png]\n", stderr);
    return 2;
  }
  const tamis_tensor *result = &net_model.outputs[0];
  Picture in = {0}, out = picture_make(result), expected = {0};
  int ok = picture_read(argv[1], &net_model.inputs[0], &in) &&
           upscale(&in, &out) && picture_write(argv[2], &out);
  if (ok)
    printf("%s: %dx%d, %s: %dx%d\n", argv[1], in.width, in.height, argv[2],
           out.width, out.height);
  if (ok && argc == 4)
    ok = picture_read(argv[3], result, &expected) && compare(&out, &expected);
  free(in.rgba);
  free(out.rgba);
  free(expected.rgba);
  return ok ? 0 : 1;
}
