/* image.c - PNG and JPEG files as input tensors: decoded, resized,
 * normalised. */
#include "frontend/frontend.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

/* A larger file is taken for a hostile one; no JPEG has a longer side. */
enum { PIXELS_MAX = 1 << 27, SIDE_MAX = 65535 };

/* 8-bit pixels: 4 bytes each, the last one unused. */
typedef struct Pixels {
  int width, height;
  uint8_t *at;         /* from malloc */
} Pixels;

static bool pixels_alloc(Diags *d, const char *path, int64_t width,
                         int64_t height, Pixels *out) {
  if (width < 1 || height < 1 || width > SIDE_MAX || height > SIDE_MAX
      || width * height > PIXELS_MAX)
    return diag_error_at(d, EXIT_FILE, path,
                         "image of %lldx%lld pixels is not supported",
                         (long long)width, (long long)height);
  out->width = (int)width;
  out->height = (int)height;
  out->at = malloc((size_t)(width * height) * 4);
  if (!out->at)
    internal_error(__FILE__, __LINE__, "out of memory");
  return true;
}

/* Transparency is dropped, as most training pipelines do. */
static bool png_decode(Diags *d, const char *path, const Buffer *b,
                       Pixels *out) {
  png_image image = {.version = PNG_IMAGE_VERSION};
  bool ok;

  if (!png_image_begin_read_from_memory(&image, b->data, b->size))
    return diag_error_at(d, EXIT_FILE, path, "PNG: %s", image.message);
  image.format = PNG_FORMAT_RGBA;
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  ok = pixels_alloc(d, path, image.width, image.height, out);
  if (ok && !png_image_finish_read(&image, NULL, out->at, 0, NULL))
    ok = diag_error_at(d, EXIT_FILE, path, "PNG: %s", image.message);
  png_image_free(&image);
  return ok;
}

static bool jpeg_decode(Diags *d, const char *path, const Buffer *b,
                        Pixels *out) {
  tjhandle h = tjInitDecompress();
  int width = 0, height = 0, subsampling = 0, space = 0;
  bool ok;

  if (!h)
    internal_error(__FILE__, __LINE__, "out of memory");
  if (tjDecompressHeader3(h, b->data, (unsigned long)b->size, &width,
                          &height, &subsampling, &space) != 0) {
    ok = diag_error_at(d, EXIT_FILE, path, "JPEG: %s", tjGetErrorStr2(h));
  } else if (width < 1 || height < 1) {
    /* Some releases call a file of tables alone, or one cut short, good. */
    ok = diag_error_at(d, EXIT_FILE, path, "JPEG: there is no picture in it");
  } else if (space == TJCS_CMYK || space == TJCS_YCCK) {
    ok = diag_error_at(d, EXIT_FILE, path, "JPEG: CMYK colours are not "
                       "supported; save it as RGB or grey");
  } else {
    ok = pixels_alloc(d, path, width, height, out);
    /* A warning counts too: it is how a file cut short shows. */
    if (ok && tjDecompress2(h, b->data, (unsigned long)b->size, out->at,
                            width, 0, height, TJPF_RGBX,
                            TJFLAG_ACCURATEDCT) != 0)
      ok = diag_error_at(d, EXIT_FILE, path, "JPEG: %s",
                         tjGetErrorStr2(h));
  }
  tjDestroy(h);
  return ok;
}

/* out->at is set or NULL, also on error. */
static bool image_decode(Diags *d, const char *path, Pixels *out) {
  static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 26, '\n'};
  static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};
  Buffer *b = buffer_map(d, path);
  bool ok;

  *out = (Pixels){0};
  if (!b)
    return false;
  if (b->size >= sizeof png && memcmp(b->data, png, sizeof png) == 0)
    ok = png_decode(d, path, b, out);
  else if (b->size >= sizeof jpeg
           && memcmp(b->data, jpeg, sizeof jpeg) == 0)
    ok = jpeg_decode(d, path, b, out);
  else
    ok = diag_error_at(d, EXIT_FILE, path, "neither a PNG nor a JPEG");
  buffer_unref(b);
  return ok;
}

/* One channel in 0..1; grey is ITU-R 601 luma. */
static void plane_extract(const Pixels *p, int channels, int c, float *out) {
  size_t n = (size_t)p->width * (size_t)p->height;

  for (size_t i = 0; i < n; i++) {
    const uint8_t *q = p->at + 4 * i;

    out[i] = channels == 1
             ? (float)(299 * q[0] + 587 * q[1] + 114 * q[2]) / 255000.0f
             : (float)q[c] / 255.0f;
  }
}

/* Bilinear resize of rows: `count` lines of `from` samples, `step` apart,
 * become `to` samples.  The triangle filter is as wide as the larger of
 * both steps, so that shrinking averages all samples. */
static void lines_resize(const float *in, int from, float *out, int to,
                         int count, int in_line, int in_step, int out_line,
                         int out_step) {
  double scale = (double)from / to, radius = scale > 1 ? scale : 1;

  for (int x = 0; x < to; x++) {
    double centre = (x + 0.5) * scale;
    int first = (int)fmax(floor(centre - radius), 0);
    int last = (int)fmin(ceil(centre + radius), from);

    for (int y = 0; y < count; y++) {
      const float *line = in + (size_t)y * (size_t)in_line;
      double sum = 0, total = 0;

      for (int i = first; i < last; i++) {
        double w = 1 - fabs(i + 0.5 - centre) / radius;

        if (w <= 0)
          continue;
        sum += w * line[(size_t)i * (size_t)in_step];
        total += w;
      }
      out[(size_t)y * (size_t)out_line + (size_t)x * (size_t)out_step] =
        (float)(sum / total);
    }
  }
}

/* One channel of the image into a plane of height x width. */
static void plane_fill(const Pixels *p, int channels, int c, int height,
                       int width, float *out) {
  size_t n = (size_t)p->width * (size_t)p->height;
  float *plane = malloc(n * sizeof *plane);
  /* Along the width first, unless what is between gets larger than a
   * picture may be; along the height first it is then smaller. */
  int64_t wide = (int64_t)p->height * width, tall = (int64_t)height * p->width;
  bool first = wide <= PIXELS_MAX;
  float *between = malloc((size_t)(first ? wide : tall) * sizeof *between);

  if (!plane || !between)
    internal_error(__FILE__, __LINE__, "out of memory");
  plane_extract(p, channels, c, plane);
  if (first) {
    lines_resize(plane, p->width, between, width, p->height, p->width, 1,
                 width, 1);
    lines_resize(between, p->height, out, height, width, 1, width, 1, width);
  } else {
    lines_resize(plane, p->height, between, height, p->width, 1, p->width, 1,
                 p->width);
    lines_resize(between, p->width, out, width, height, p->width, 1, width,
                 1);
  }
  free(plane);
  free(between);
}

static bool check_input(Diags *d, const char *path, const Type *t,
                        const ImageOpts *o) {
  Text s = {0};
  bool ok = true;
  int64_t c = t->rank == 4 ? t->dim[1] : 0;

  type_print(&s, t);
  if (t->elem != F32 || t->rank != 4 || t->dim[0] != 1
      || (c != 1 && c != 3) || t->dim[2] < 1 || t->dim[3] < 1
      || t->dim[2] > SIDE_MAX || t->dim[3] > SIDE_MAX
      || t->dim[2] * t->dim[3] > PIXELS_MAX)
    ok = diag_error_at(d, EXIT_USAGE, path, "an image is an input "
                       "f32[1,1,H,W] or f32[1,3,H,W], not %s", s.s);
  else if ((o->height || o->width)
           && (o->height != t->dim[2] || o->width != t->dim[3]))
    ok = diag_error_at(d, EXIT_USAGE, path, "resize=%dx%d does not give "
                       "the input %s", o->height, o->width, s.s);
  else if ((o->nmean > 1 && o->nmean != c)
           || (o->nscale > 1 && o->nscale != c))
    ok = diag_error_at(d, EXIT_USAGE, path, "mean= and scale= take 1 or "
                       "%lld numbers for %s", (long long)c, s.s);
  for (int i = 0; ok && i < o->nscale; i++)
    if (o->scale[i] == 0)
      ok = diag_error_at(d, EXIT_USAGE, path, "scale=0");
  text_free(&s);
  return ok;
}

float *image_read(Arena *a, Diags *d, const char *path, const Type *t,
                  const ImageOpts *o) {
  float *out = NULL;
  Pixels p = {0};

  if (check_input(d, path, t, o) && image_decode(d, path, &p)) {
    int channels = (int)t->dim[1];
    size_t n = (size_t)t->dim[2] * (size_t)t->dim[3];

    out = arena_array(a, float, checked_mul(n, (size_t)channels));
    for (int c = 0; c < channels; c++) {
      double mean = o->nmean ? o->mean[o->nmean > 1 ? c : 0] : 0;
      double scale = o->nscale ? o->scale[o->nscale > 1 ? c : 0] : 1;
      float *plane = out + (size_t)c * n;

      plane_fill(&p, channels, o->bgr ? channels - 1 - c : c,
                 (int)t->dim[2], (int)t->dim[3], plane);
      for (size_t i = 0; i < n; i++)
        plane[i] = (float)((plane[i] - mean) / scale);
    }
  }
  free(p.at);
  return out;
}
