/* fashion.h - what the demonstration's three files share. */
#ifndef FASHION_H
#define FASHION_H

#include <stddef.h>
#include <stdint.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10 };

/* Grey images, SIDE x SIDE bytes each, and their classes. */
typedef struct Dataset {
  size_t n;
  uint8_t *pixels, *labels;
} Dataset;

/* dataset.c: from two .npy files, or from the two IDX files of the data set
 * (gzip).  Prints what is wrong and gives 0. */
int dataset_npy(Dataset *d, const char *images, const char *labels);
int dataset_idx(Dataset *d, const char *images, const char *labels);
/* n x CLASSES floats of a .npy file; NULL when it is something else. */
float *logits_npy(const char *path, size_t n);
void dataset_free(Dataset *d);

/* picture.c: a PNG with the first columns*rows images, each above the name
 * of its predicted class; wrong ones in red.  Gives 0 on failure. */
int picture_write(const char *path, const Dataset *d, const uint8_t *predicted,
                  int columns, int rows);
extern const char *const class_names[CLASSES];

#endif
