/* photo.c - photographs: read from PNG and JPEG, drawn on, written. */
#include "face.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

static int fail(const char *path, const char *why) {
  fprintf(stderr, "%s: %s\n", path, why);
  return 0;
}

/* ---- files ---------------------------------------------------------- */

static uint8_t *file_read(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  uint8_t *data = NULL;
  long size;
  *n = 0;
  if (f && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > 0) {
    rewind(f);
    data = malloc((size_t)size);
    if (data && fread(data, 1, (size_t)size, f) == (size_t)size)
      *n = (size_t)size;
  }
  if (f) fclose(f);
  if (!*n) perror(path);
  return data;
}

static int png_read(const char *path, const uint8_t *data, size_t n,
                    Photo *p) {
  png_image image = {.version = PNG_IMAGE_VERSION};
  const png_color black = {0, 0, 0};
  if (!png_image_begin_read_from_memory(&image, data, n))
    return fail(path, image.message);
  image.format = PNG_FORMAT_RGB;
  p->width = (int)image.width;
  p->height = (int)image.height;
  p->rgb = malloc(PNG_IMAGE_SIZE(image));
  if (!p->rgb || !png_image_finish_read(&image, &black, p->rgb, 0, NULL)) {
    png_image_free(&image);
    return fail(path, p->rgb ? image.message : "out of memory");
  }
  return 1;
}

static int jpeg_read(const char *path, const uint8_t *data, size_t n,
                     Photo *p) {
  tjhandle h = tjInitDecompress();
  int sampling, space, ok = 0;
  if (h && tjDecompressHeader3(h, data, n, &p->width, &p->height, &sampling,
                               &space) == 0 && p->width > 0) {
    p->rgb = malloc(3 * (size_t)p->width * (size_t)p->height);
    ok = p->rgb && tjDecompress2(h, data, n, p->rgb, p->width, 0, p->height,
                                 TJPF_RGB, TJFLAG_ACCURATEDCT) == 0;
  }
  if (!ok) fail(path, h ? tjGetErrorStr2(h) : "out of memory");
  if (h) tjDestroy(h);
  return ok;
}

int photo_read(const char *path, Photo *p) {
  size_t n;
  uint8_t *data = file_read(path, &n);
  int ok = 0;
  if (n > 8 && memcmp(data, "\x89PNG", 4) == 0)
    ok = png_read(path, data, n, p);
  else if (n > 8 && memcmp(data, "\xff\xd8\xff", 3) == 0)
    ok = jpeg_read(path, data, n, p);
  else if (n)
    fail(path, "expected a PNG or JPEG file");
  free(data);
  return ok;
}

int photo_write_png(const char *path, const Photo *p) {
  png_image image = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)p->width,
                     .height = (png_uint_32)p->height,
                     .format = PNG_FORMAT_RGB};
  return png_image_write_to_file(&image, path, 0, p->rgb, 0, NULL) ||
         fail(path, image.message);
}

/* ---- drawing -------------------------------------------------------- */

static void dot(Photo *p, int x, int y, const uint8_t rgb[3]) {
  if (x >= 0 && y >= 0 && x < p->width && y < p->height)
    memcpy(p->rgb + 3 * ((size_t)y * (size_t)p->width + (size_t)x), rgb, 3);
}

/* A place in pixels as a number that is safe to count from. */
static int place(double v) {
  return (int)lround(fmin(fmax(v, -1e6), 1e6));
}

void photo_box(Photo *p, const double box[4], int thick,
               const uint8_t rgb[3]) {
  int left = place(box[0]), top = place(box[1]);
  int right = place(box[2]), bottom = place(box[3]);
  for (int k = 0; k < thick; k++) {
    for (int x = left; x <= right; x++) {
      dot(p, x, top + k, rgb);
      dot(p, x, bottom - k, rgb);
    }
    for (int y = top; y <= bottom; y++) {
      dot(p, left + k, y, rgb);
      dot(p, right - k, y, rgb);
    }
  }
}

void photo_disc(Photo *p, double x, double y, int radius,
                const uint8_t rgb[3]) {
  for (int i = -radius; i <= radius; i++)
    for (int j = -radius; j <= radius; j++)
      if (i * i + j * j <= radius * radius)
        dot(p, place(x) + j, place(y) + i, rgb);
}
