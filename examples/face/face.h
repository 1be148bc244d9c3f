/* face.h - what the parts of the face detector share. */
#ifndef FACE_H
#define FACE_H

#include <stdint.h>

/* ---- photo.c: photographs ------------------------------------------- */

typedef struct Photo {
  int width, height;
  uint8_t *rgb;          /* 3 bytes a pixel, rows from the top; malloc */
} Photo;

/* PNG or JPEG, told apart by content.  0 after a message. */
int photo_read(const char *path, Photo *p);
int photo_write_png(const char *path, const Photo *p);
/* The outline of a rectangle and a filled disc, cut off at the border. */
void photo_box(Photo *p, const double box[4], int thick,
               const uint8_t rgb[3]);
void photo_disc(Photo *p, double x, double y, int radius,
                const uint8_t rgb[3]);

/* ---- detect.c: from a photograph to the net and back ---------------- */

enum {
  SIDE = 192,            /* the net's input is SIDE x SIDE pixels */
  STRIDE = 4,            /* with one anchor every STRIDE pixels */
  CELLS = SIDE / STRIDE,
  ANCHORS = CELLS * CELLS,
  POINTS = 6,            /* eyes, nose, mouth, ears */
  VALUES = 4 + 2 * POINTS
};

typedef struct Face {
  double score;          /* 0..1 */
  double box[4];         /* left, top, right, bottom */
  double point[POINTS][2];
} Face;

/* Where a photograph lies in the net's square: pixel x of it is
 * x * scale + left there. */
typedef struct Letterbox {
  double scale, left, top;
} Letterbox;

/* x [SIDE][SIDE][3] in -1..1. */
Letterbox letterbox(const Photo *p, float *x);
/* boxes [ANCHORS][VALUES] and logits [ANCHORS] become faces in pixels of
 * the photograph, the best first; their number. */
int faces_find(const float *boxes, const float *logits, const Letterbox *l,
               Face *out);

#endif
