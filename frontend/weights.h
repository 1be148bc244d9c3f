/* weights.h - what the readers of weight files share. */
#ifndef TAMIS_WEIGHTS_H
#define TAMIS_WEIGHTS_H

#include "frontend/frontend.h"

/* weights.c */
WeightFile *weight_file_new(Arena *a, const char *path);
/* Bytes that a tensor takes in a file; false when its dimensions, zeros
 * left out, overflow. */
bool weight_bytes(const Type *t, size_t *bytes);
/* Add a tensor whose data are the bytes [offset, offset + its size) of buf.
 * The caller has checked the range.  `where` names it in messages. */
bool weight_file_add(Arena *a, Diags *d, WeightFile *w, const char *where,
                     const char *name, Type t, Buffer *buf, size_t offset);
/* "f32[2,3]", for messages. */
const char *weight_type_name(Arena *a, const Type *t);

/* npy.c: the header of an npy in memory: its type and where its data
 * begin.  Data fill the rest of the buffer exactly. */
bool npy_header(Arena *a, Diags *d, const char *where, const Buffer *buf,
                Type *t, size_t *offset);
/* The same where buf holds the header of a file of `whole` bytes. */
bool npy_header_of(Arena *a, Diags *d, const char *where, const Buffer *buf,
                   uint64_t whole, Type *t, size_t *offset);

#endif
