/* html_maps.c - where a weight has nonzeros: the matrix [dim 0, product of the
 * others] in cells, the darker the more of a cell is not zero, as a PNG of one
 * colour whose alpha is the density, so that it lies on any ground. */
#include "driver/html.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

/* Cells of a map; maps of a page, the largest weights first. */
enum { ROWS_MOST = 64, COLS_MOST = 96, MAPS_MOST = 256 };

typedef struct Picture {
  int rows, cols;
  uint8_t pixel[ROWS_MOST * COLS_MOST][4];
} Picture;

static void picture_fill(Picture *to, const float *v, int64_t rows,
                         int64_t cols) {
  to->rows = rows < ROWS_MOST ? (int)rows : ROWS_MOST;
  to->cols = cols < COLS_MOST ? (int)cols : COLS_MOST;
  for (int r = 0; r < to->rows; r++)
    for (int c = 0; c < to->cols; c++) {
      int64_t r0 = r * rows / to->rows, r1 = (r + 1) * rows / to->rows;
      int64_t c0 = c * cols / to->cols, c1 = (c + 1) * cols / to->cols;
      int64_t nonzeros = 0, all = (r1 - r0) * (c1 - c0);
      for (int64_t i = r0; i < r1; i++)
        for (int64_t k = c0; k < c1; k++) nonzeros += v[i * cols + k] != 0;
      uint8_t *p = to->pixel[r * to->cols + c];
      p[0] = 0x1b, p[1] = 0x8f, p[2] = 0x88;
      p[3] = (uint8_t)((255 * nonzeros + all - 1) / all);
    }
}

static void base64(Text *out, const uint8_t *p, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16;
    if (i + 1 < n) v |= (uint32_t)p[i + 1] << 8;
    if (i + 2 < n) v |= p[i + 2];
    text_putc(out, digits[v >> 18]);
    text_putc(out, digits[v >> 12 & 63]);
    text_putc(out, i + 1 < n ? digits[v >> 6 & 63] : '=');
    text_putc(out, i + 2 < n ? digits[v & 63] : '=');
  }
}

static void png_put(Text *out, const Picture *m) {
  png_image image = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)m->cols,
                     .height = (png_uint_32)m->rows,
                     .format = PNG_FORMAT_RGBA};
  png_alloc_size_t size = 0;
  ensure(png_image_write_to_memory(&image, NULL, &size, 0, m->pixel, 0,
                                   NULL));
  uint8_t *bytes = malloc(size);
  ensure(bytes && png_image_write_to_memory(&image, bytes, &size, 0, m->pixel,
                                            0, NULL));
  text_puts(out, "data:image/png;base64,");
  base64(out, bytes, size);
  free(bytes);
}

static void picture_put(Text *out, const Picture *m, const char *name,
                        const Row *r) {
  const Type *t = &r->w->type;
  int64_t rows = t->dim[0], cols = type_elems(t) / rows;
  int scale = 192 / m->cols < 6 ? 192 / m->cols : 6;
  text_puts(out, "<figure><img alt=\"Nonzeros of ");
  text_xml(out, name);
  text_printf(out, "\" width=\"%d\" height=\"%d\" src=\"", m->cols * scale,
              m->rows * scale);
  png_put(out, m);
  text_puts(out, "\"><figcaption><b>");
  text_xml(out, name);
  text_printf(out, "</b><br>%lld \xc3\x97 %lld, %.1f %% zeros",
              (long long)rows, (long long)cols, 100 * r->sparsity);
  if (r->w->type.sparse)
    text_printf(out, ", fill %.1f %%", 100 * r->fill);
  text_puts(out, "</figcaption></figure>\n");
}

/* A weight once, with the first layer that has it. */
typedef struct Weights { Vec(Row) rows; } Weights;

static void weights_add(Session *s, Weights *w, const Func *f) {
  Rows rows = rows_make(s, f);
  for (size_t i = 0; i < rows.n; i++) {
    const Row *r = &rows.at[i];
    bool there = !r->w || type_elems(&r->w->type) == 0;
    for (size_t k = 0; k < w->rows.n && !there; k++)
      there = w->rows.at[k].w == r->w;
    if (!there) vec_push(s->arena, &w->rows, *r);
  }
}

static int by_size(const void *pa, const void *pb) {
  int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;
  return (a < b) - (a > b);
}

/* The size from which on weights have a picture. */
static int64_t least_size(Session *s, const Weights *w) {
  if (w->rows.n <= MAPS_MOST) return 0;
  int64_t *size = arena_array(s->arena, int64_t, w->rows.n);
  for (size_t i = 0; i < w->rows.n; i++)
    size[i] = type_elems(&w->rows.at[i].w->type);
  qsort(size, w->rows.n, sizeof *size, by_size);
  return size[MAPS_MOST - 1];
}

void html_maps(Session *s, Text *out) {
  Weights w = {{0}};
  size_t shown = 0;
  for (size_t k = 0; k < s->module->funcs.n; k++)
    weights_add(s, &w, s->module->funcs.at[k]);
  int64_t least = least_size(s, &w);
  text_puts(out, "<div class=\"maps\">\n");
  for (size_t i = 0; i < w.rows.n && shown < MAPS_MOST; i++) {
    const Row *r = &w.rows.at[i];
    const Type *t = &r->w->type;
    const float *v = param_values(s->module, r->w);
    if (!v || type_elems(t) < least) continue;
    Picture m;
    picture_fill(&m, v, t->dim[0], type_elems(t) / t->dim[0]);
    picture_put(out, &m, r->name, r);
    shown++;
  }
  text_puts(out, "</div>\n");
  if (shown < w.rows.n)
    text_printf(out, "<p>%zu smaller weights are not shown.</p>\n",
                w.rows.n - shown);
}
