/* samples.h - streams of samples: what the readers of each format share. */
#ifndef TAMIS_SAMPLES_H
#define TAMIS_SAMPLES_H

#include "frontend/frontend.h"

/* An array of a file whose first axis counts the samples; its elements come
 * in order. */
typedef struct Stream Stream;
struct Stream {
  const char *where;     /* for messages */
  const char *name;      /* of an npz member, else "" */
  Type type;
  bool big_endian;
  bool picture;          /* bytes stand for 0..1, axes of 1 do not count */
  /* The next n bytes; false: there are fewer, or they are damaged. */
  bool (*read)(Stream *s, void *to, size_t n);
  /* Whether so many bytes can be read from here on; NULL: they can. */
  bool (*has)(Stream *s, size_t n);
  void (*close)(Stream *s);
  void *handle;          /* of the reader */
  Buffer *buffer;
  size_t at;
};
typedef Vec(Stream) Streams;

/* Open all arrays of a file of that format.  False after an error. */
bool npy_stream(Arena *a, Diags *d, const char *path, Buffer *file,
                Streams *out);
bool npz_streams(Arena *a, Diags *d, const char *path, Streams *out);
bool idx_stream(Arena *a, Diags *d, const char *path, Streams *out);
void streams_close(Streams *s);

#endif
