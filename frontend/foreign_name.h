/* foreign_name.h - names of other formats' files as names of the language. */
#ifndef TAMIS_FOREIGN_NAME_H
#define TAMIS_FOREIGN_NAME_H

#include "base/base.h"

/* Append [s, s+n) as a name: what cannot stand in one becomes _. */
void foreign_name_write(Text *out, const char *s, size_t n);
/* The model of a file: its base name up to the first dot.  A model is called
 * like an op, so that it must not have the name of one, nor of a block of the
 * prelude. */
const char *foreign_model_name(Arena *a, const char *path);
/* "net/conv1/Conv2D;net/bn" becomes net.conv1.Conv2D. */
const char *tflite_path(Arena *a, const char *name);

#endif
