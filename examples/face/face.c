/* face.c - finds faces on a photograph with a compiled network.
 *
 *   face [--net sparse|dense] PHOTO.{png,jpg} OUT.png
 *
 * Prints a line for each face and draws its box and six points. */
#include "dense.h"
#include "face.h"
#include "sparse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the headers of the two nets declare, side by side. */
typedef struct Net {
  const char *name;
  int (*run)(const float *x, float *boxes, float *logits, void *arena);
  size_t align, arena_bytes;
} Net;

static const Net nets[] = {
  {"sparse", sparse_run, SPARSE_ALIGN, SPARSE_ARENA_BYTES},
  {"dense", dense_run, DENSE_ALIGN, DENSE_ARENA_BYTES},
};

static const Net *net_find(const char *name) {
  for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
    if (strcmp(nets[i].name, name) == 0) return &nets[i];
  return NULL;
}

/* The number of faces, or -1 after a message. */
static int detect(const Net *net, const Photo *p, Face *faces) {
  static float x[SIDE * SIDE * 3], boxes[ANCHORS * VALUES], logits[ANCHORS];
  Letterbox l = letterbox(p, x);
  void *arena = aligned_alloc(net->align, net->arena_bytes);
  int code = arena ? net->run(x, boxes, logits, arena) : -1;
  free(arena);
  if (code != 0) {
    fprintf(stderr, "face: the net gave %d\n", code);
    return -1;
  }
  return faces_find(boxes, logits, &l, faces);
}

static void draw(Photo *p, const Face *f) {
  static const uint8_t green[3] = {0, 230, 80}, red[3] = {255, 60, 60};
  int size = p->width > p->height ? p->width : p->height;
  photo_box(p, f->box, size / 400 + 1, green);
  for (int i = 0; i < POINTS; i++)
    photo_disc(p, f->point[i][0], f->point[i][1], size / 300 + 1, red);
}

static int run(const Net *net, const char *in, const char *out) {
  static Face faces[ANCHORS];
  Photo p = {0};
  int n = photo_read(in, &p) ? detect(net, &p, faces) : -1;
  if (n >= 0)
    printf("%s: %dx%d, %s net, %d face%s\n", in, p.width, p.height, net->name,
           n, n == 1 ? "" : "s");
  for (int i = 0; i < n; i++) {
    const double *b = faces[i].box;
    printf("  box %.0f,%.0f to %.0f,%.0f score %.2f\n", b[0], b[1], b[2],
           b[3], faces[i].score);
    draw(&p, &faces[i]);
  }
  int ok = n >= 0 && photo_write_png(out, &p);
  free(p.rgb);
  return ok;
}

int main(int argc, char **argv) {
  const Net *net = &nets[0];
  if (argc == 5 && strcmp(argv[1], "--net") == 0) {
    net = net_find(argv[2]);
    argv += 2;
    argc -= 2;
  }
  if (argc != 3 || !net) {
    fputs("usage: face [--net sparse|dense] PHOTO.{png,jpg} OUT.png\n",
          stderr);
    return 2;
  }
  return run(net, argv[1], argv[2]) ? 0 : 1;
}
