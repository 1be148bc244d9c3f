/* flatbuf.h - reads flatbuffers that may lie: every offset is checked
 * against the file.  After an error all that is read is empty or the
 * default; the first error stays in the FlatBuf. */
#ifndef TAMIS_FLATBUF_H
#define TAMIS_FLATBUF_H

#include "base/base.h"

typedef struct FlatBuf {
  const uint8_t *p;
  size_t n;
  size_t budget;      /* bytes of vectors that may still be visited */
  const char *bad;    /* what is wrong, NULL: nothing so far */
  size_t at;          /* where */
} FlatBuf;

/* pos 0: absent, every field has its default. */
typedef struct FlatTable {
  FlatBuf *f;
  size_t pos, vtable;
  uint32_t nfields;   /* that the vtable has */
  uint32_t size;      /* of the table's own bytes */
} FlatTable;
typedef struct FlatVec { FlatBuf *f; size_t pos, n, elem; } FlatVec;

/* The root table of a file with the identifier `id` (4 letters). */
FlatTable flat_root(FlatBuf *f, const char *id);
/* Fields count from 0, in the order of the schema. */
int64_t flat_int(FlatTable t, int field, int bytes, int64_t def);
uint64_t flat_uint(FlatTable t, int field, int bytes, uint64_t def);
float flat_float(FlatTable t, int field, float def);
bool flat_bool(FlatTable t, int field);
FlatTable flat_table(FlatTable t, int field);
/* A vector of `elem` bytes each (4 for tables and strings); n 0: absent. */
FlatVec flat_vec(FlatTable t, int field, int elem);
bool flat_has(FlatTable t, int field);
FlatTable flat_vec_table(FlatVec v, size_t i);
int64_t flat_vec_int(FlatVec v, size_t i);      /* sign-extended */
uint64_t flat_vec_uint(FlatVec v, size_t i);
/* A string, copied, control characters left out; "" when absent. */
const char *flat_string(Arena *a, FlatTable t, int field);
void flat_fail(FlatBuf *f, size_t at, const char *what);

#endif
