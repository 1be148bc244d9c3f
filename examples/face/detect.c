/* detect.c - a photograph made ready for MediaPipe's full-range face nets,
 * and what they give read as faces.  Sizes, scales and thresholds are those
 * that MediaPipe runs the nets with. */
#include "face.h"

#include <math.h>
#include <stdlib.h>

static const double MIN_SCORE = 0.6;      /* less is no face */
static const double MAX_LOGIT = 100;      /* logits are cut off there */
static const double SAME_FACE = 0.3;      /* overlap of boxes of one face */

/* ---- into the net --------------------------------------------------- */

/* The mean around (x, y), weights falling to 0 at distance r along each
 * axis: what a pixel of the smaller picture sees, or for r = 1 bilinear
 * interpolation. */
static void sample(const Photo *p, double x, double y, double r,
                   float rgb[3]) {
  double sum[3] = {0}, total = 0;
  int left = (int)fmax(ceil(x - r), 0), top = (int)fmax(ceil(y - r), 0);
  int right = (int)fmin(floor(x + r), p->width - 1);
  int bottom = (int)fmin(floor(y + r), p->height - 1);
  for (int i = top; i <= bottom; i++)
    for (int j = left; j <= right; j++) {
      double w = (1 - fabs(i - y) / r) * (1 - fabs(j - x) / r);
      const uint8_t *at =
        p->rgb + 3 * ((size_t)i * (size_t)p->width + (size_t)j);
      for (int k = 0; k < 3; k++) sum[k] += w * at[k];
      total += w;
    }
  for (int k = 0; k < 3; k++)
    rgb[k] = (float)(total > 0 ? sum[k] / total / 127.5 - 1 : -1);
}

/* The longer side fills the square, the photograph lies in the middle, and
 * what is left is black. */
Letterbox letterbox(const Photo *p, float *x) {
  Letterbox l;
  double longer = p->width > p->height ? p->width : p->height;
  l.scale = SIDE / longer;
  l.left = (SIDE - p->width * l.scale) / 2;
  l.top = (SIDE - p->height * l.scale) / 2;
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      float *rgb = x + 3 * (i * SIDE + j);
      /* Pixels are squares with their values in the middle. */
      double px = (j + 0.5 - l.left) / l.scale;
      double py = (i + 0.5 - l.top) / l.scale;
      if (px < 0 || py < 0 || px >= p->width || py >= p->height)
        rgb[0] = rgb[1] = rgb[2] = -1;
      else
        sample(p, px - 0.5, py - 0.5, fmax(1 / l.scale, 1), rgb);
    }
  return l;
}

/* ---- out of the net ------------------------------------------------- */

static double sigmoid(double x) {
  return 1 / (1 + exp(-fmin(fmax(x, -MAX_LOGIT), MAX_LOGIT)));
}

/* An anchor has a place and no size: the net gives the offset of the box's
 * centre from it, the box's width and height, and the offsets of the points,
 * in pixels of its input. */
static Face decode(const float *v, int anchor, double score,
                   const Letterbox *l) {
  double cx = (anchor % CELLS + 0.5) * STRIDE - l->left;
  double cy = (anchor / CELLS + 0.5) * STRIDE - l->top;
  Face f = {.score = score};
  f.box[0] = (cx + v[0] - v[2] / 2) / l->scale;
  f.box[1] = (cy + v[1] - v[3] / 2) / l->scale;
  f.box[2] = (cx + v[0] + v[2] / 2) / l->scale;
  f.box[3] = (cy + v[1] + v[3] / 2) / l->scale;
  for (int i = 0; i < POINTS; i++) {
    f.point[i][0] = (cx + v[4 + 2 * i]) / l->scale;
    f.point[i][1] = (cy + v[5 + 2 * i]) / l->scale;
  }
  return f;
}

static double area(const double b[4]) {
  return fmax(b[2] - b[0], 0) * fmax(b[3] - b[1], 0);
}

/* Intersection over union. */
static double overlap(const double a[4], const double b[4]) {
  double both[4] = {fmax(a[0], b[0]), fmax(a[1], b[1]), fmin(a[2], b[2]),
                    fmin(a[3], b[3])};
  double all = area(a) + area(b) - area(both);
  return all > 0 ? area(both) / all : 0;
}

static void face_add(Face *sum, const Face *f, double weight) {
  for (int i = 0; i < 4; i++) sum->box[i] += weight * f->box[i];
  for (int i = 0; i < POINTS; i++)
    for (int k = 0; k < 2; k++)
      sum->point[i][k] += weight * f->point[i][k];
}

static int by_score(const void *a, const void *b) {
  const Face *x = a, *y = b;
  return (x->score < y->score) - (x->score > y->score);
}

/* Neighbouring anchors see the same face.  Each time the best one that is
 * left takes all that overlap it, and lies at their mean, weighted by their
 * scores.  f is sorted; the number of faces that remain, in front. */
static int merge(Face *f, int n) {
  int faces = 0;
  while (n > faces) {
    Face best = f[faces], sum = {0};
    int kept = faces + 1;
    double total = 0;
    for (int i = faces; i < n; i++) {
      if (i > faces && overlap(f[i].box, best.box) <= SAME_FACE) {
        f[kept++] = f[i];
        continue;
      }
      face_add(&sum, &f[i], f[i].score);
      total += f[i].score;
    }
    f[faces] = (Face){.score = best.score};
    face_add(&f[faces], &sum, 1 / total);
    faces++;
    n = kept;
  }
  return faces;
}

int faces_find(const float *boxes, const float *logits, const Letterbox *l,
               Face *out) {
  int n = 0;
  for (int i = 0; i < ANCHORS; i++) {
    double score = sigmoid(logits[i]);
    if (score >= MIN_SCORE)
      out[n++] = decode(boxes + i * VALUES, i, score, l);
  }
  qsort(out, (size_t)n, sizeof *out, by_score);
  return merge(out, n);
}
