/* picture.c - a grid of images with their predicted classes, as PNG. */
#include "fashion.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

const char *const class_names[CLASSES] = {
  "t-shirt", "trouser", "pullover", "dress", "coat",
  "sandal", "shirt", "sneaker", "bag", "boot",
};

/* The letters the names need, 5 x 7, one row a byte. */
typedef struct Glyph { char c; uint8_t row[7]; } Glyph;
static const Glyph font[] = {
  {'-', {0, 0, 0, 14, 0, 0, 0}},
  {'a', {0, 0, 14, 1, 15, 17, 15}},
  {'b', {16, 16, 30, 17, 17, 17, 30}},
  {'c', {0, 0, 15, 16, 16, 16, 15}},
  {'d', {1, 1, 15, 17, 17, 17, 15}},
  {'e', {0, 0, 14, 17, 31, 16, 14}},
  {'g', {0, 0, 15, 17, 15, 1, 14}},
  {'h', {16, 16, 30, 17, 17, 17, 17}},
  {'i', {4, 0, 12, 4, 4, 4, 14}},
  {'k', {16, 16, 18, 20, 24, 20, 18}},
  {'l', {12, 4, 4, 4, 4, 4, 14}},
  {'n', {0, 0, 30, 17, 17, 17, 17}},
  {'o', {0, 0, 14, 17, 17, 17, 14}},
  {'p', {0, 0, 30, 17, 30, 16, 16}},
  {'r', {0, 0, 22, 25, 16, 16, 16}},
  {'s', {0, 0, 15, 16, 14, 1, 30}},
  {'t', {4, 4, 31, 4, 4, 4, 3}},
  {'u', {0, 0, 17, 17, 17, 17, 15}},
  {'v', {0, 0, 17, 17, 17, 10, 4}},
};

enum { ZOOM = 2, TEXT = 12, GAP = 4,
       CELL_W = SIDE * ZOOM + GAP, CELL_H = SIDE * ZOOM + TEXT + GAP };

typedef struct Canvas { int w, h; uint8_t *rgb; } Canvas;

static void dot(Canvas *c, int x, int y, const uint8_t rgb[3]) {
  if (x >= 0 && y >= 0 && x < c->w && y < c->h)
    memcpy(c->rgb + 3 * ((size_t)y * (size_t)c->w + (size_t)x), rgb, 3);
}

static void letter(Canvas *c, int x, int y, char ch, const uint8_t rgb[3]) {
  for (size_t i = 0; i < sizeof font / sizeof *font; i++) {
    if (font[i].c != ch) continue;
    for (int r = 0; r < 7; r++)
      for (int b = 0; b < 5; b++)
        if (font[i].row[r] >> (4 - b) & 1) dot(c, x + b, y + r, rgb);
  }
}

static void cell(Canvas *c, int x, int y, const uint8_t *pixels,
                 const char *name, int right) {
  static const uint8_t ink[2][3] = {{200, 30, 30}, {20, 110, 40}};
  for (int i = 0; i < SIDE * ZOOM; i++)
    for (int j = 0; j < SIDE * ZOOM; j++) {
      uint8_t v = (uint8_t)(255 - pixels[i / ZOOM * SIDE + j / ZOOM]);
      dot(c, x + j, y + i, (uint8_t[3]){v, v, v});
    }
  int left = x + (SIDE * ZOOM - 6 * (int)strlen(name)) / 2;
  for (int i = 0; name[i]; i++)
    letter(c, left + 6 * i, y + SIDE * ZOOM + 3, name[i], ink[right]);
}

int picture_write(const char *path, const Dataset *d,
                  const uint8_t *predicted, int columns, int rows) {
  Canvas c = {columns * CELL_W + GAP, rows * CELL_H + GAP, NULL};
  size_t bytes = 3 * (size_t)c.w * (size_t)c.h;
  c.rgb = malloc(bytes);
  if (!c.rgb) return 0;
  memset(c.rgb, 255, bytes);
  for (int i = 0; i < columns * rows; i++)
    cell(&c, GAP + i % columns * CELL_W, GAP + i / columns * CELL_H,
         d->pixels + (size_t)i * PIXELS, class_names[predicted[i]],
         predicted[i] == d->labels[i]);
  png_image image = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)c.w,
                     .height = (png_uint_32)c.h,
                     .format = PNG_FORMAT_RGB};
  int ok = png_image_write_to_file(&image, path, 0, c.rgb, 0, NULL);
  free(c.rgb);
  return ok;
}
