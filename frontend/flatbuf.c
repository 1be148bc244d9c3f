/* flatbuf.c - the parts of a flatbuffer: little-endian fields found through
 * a vtable, vectors, strings and tables found through relative offsets. */
#include "frontend/flatbuf.h"

#include <string.h>

/* Strings are names; a longer one is cut. */
enum { MAX_STRING = 1000 };

void flat_fail(FlatBuf *f, size_t at, const char *what) {
  if (f->bad)
    return;
  f->bad = what;
  f->at = at;
}

static uint64_t bits_at(const uint8_t *p, int bytes) {
  uint64_t v = 0;

  for (int i = 0; i < bytes; i++)
    v |= (uint64_t)p[i] << (8 * i);
  return v;
}

static int64_t sign_extend(uint64_t v, int bytes) {
  uint64_t top = (uint64_t)1 << (8 * bytes - 1);

  return (int64_t)((v ^ top) - top);
}

static bool range_ok(FlatBuf *f, size_t at, size_t len) {
  if (f->bad)
    return false;
  if (at <= f->n && len <= f->n - at)
    return true;
  flat_fail(f, at < f->n ? at : f->n, "an offset leads out of the file");
  return false;
}

/* Follow the offset that stands at `at`; 0 after an error. */
static size_t offset_follow(FlatBuf *f, size_t at) {
  uint64_t off;

  if (!range_ok(f, at, 4))
    return 0;
  off = bits_at(f->p + at, 4);
  if (off == 0 || off >= f->n - at) {
    flat_fail(f, at, "an offset leads out of the file");
    return 0;
  }
  return at + (size_t)off;
}

static FlatTable table_at(FlatBuf *f, size_t pos) {
  FlatTable none = {.f = f}, t = {.f = f, .pos = pos};
  int64_t vtable;
  size_t bytes;

  if (!pos || !range_ok(f, pos, 4))
    return none;
  vtable = (int64_t)pos - sign_extend(bits_at(f->p + pos, 4), 4);
  if (vtable < 0 || (size_t)vtable >= f->n) {
    flat_fail(f, pos, "a vtable lies outside of the file");
    return none;
  }
  t.vtable = (size_t)vtable;
  if (!range_ok(f, t.vtable, 4))
    return none;
  bytes = (size_t)bits_at(f->p + t.vtable, 2);
  t.size = (uint32_t)bits_at(f->p + t.vtable + 2, 2);
  if (bytes < 4 || bytes % 2 || t.size < 4) {
    flat_fail(f, t.vtable, "a vtable is malformed");
    return none;
  }
  if (!range_ok(f, t.vtable, bytes) || !range_ok(f, pos, t.size))
    return none;
  t.nfields = (uint32_t)(bytes - 4) / 2;
  return t;
}

FlatTable flat_root(FlatBuf *f, const char *id) {
  f->budget = 4 * f->n + 4096;
  if (f->n < 8 || memcmp(f->p + 4, id, 4) != 0) {
    flat_fail(f, 0, "the identifier of the format is missing");
    return (FlatTable){.f = f};
  }
  return table_at(f, offset_follow(f, 0));
}

/* Where a field of `bytes` lies; 0 when it is absent. */
static size_t field_at(FlatTable t, int field, int bytes) {
  size_t off;

  if (!t.pos || t.f->bad || (uint32_t)field >= t.nfields)
    return 0;
  off = (size_t)bits_at(t.f->p + t.vtable + 4 + 2 * (size_t)field, 2);
  if (off == 0)
    return 0;
  if (off < 4 || off + (size_t)bytes > t.size) {
    flat_fail(t.f, t.pos, "a field lies outside of its table");
    return 0;
  }
  return t.pos + off;
}

bool flat_has(FlatTable t, int field) {
  return field_at(t, field, 1) != 0;
}

uint64_t flat_uint(FlatTable t, int field, int bytes, uint64_t def) {
  size_t at = field_at(t, field, bytes);

  return at ? bits_at(t.f->p + at, bytes) : def;
}

int64_t flat_int(FlatTable t, int field, int bytes, int64_t def) {
  size_t at = field_at(t, field, bytes);

  return at ? sign_extend(bits_at(t.f->p + at, bytes), bytes) : def;
}

float flat_float(FlatTable t, int field, float def) {
  size_t at = field_at(t, field, 4);
  uint32_t bits;

  if (!at)
    return def;
  bits = (uint32_t)bits_at(t.f->p + at, 4);
  memcpy(&def, &bits, sizeof def);
  return def;
}

bool flat_bool(FlatTable t, int field) {
  return flat_uint(t, field, 1, 0) != 0;
}

FlatTable flat_table(FlatTable t, int field) {
  size_t at = field_at(t, field, 4);

  return at ? table_at(t.f, offset_follow(t.f, at)) : (FlatTable){.f = t.f};
}

/* Vectors may share bytes, but a file in which they do so over and over is
 * made to keep its reader busy.  Those of bytes count where they are read,
 * as strings. */
static bool budget_take(FlatBuf *f, size_t at, size_t bytes) {
  if (bytes > f->budget) {
    flat_fail(f, at, "vectors overlap too often");
    return false;
  }
  f->budget -= bytes;
  return true;
}

FlatVec flat_vec(FlatTable t, int field, int elem) {
  FlatVec none = {.f = t.f}, v = {.f = t.f, .elem = (size_t)elem};
  size_t at = field_at(t, field, 4);
  size_t pos = at ? offset_follow(t.f, at) : 0;

  if (!pos || !range_ok(t.f, pos, 4))
    return none;
  v.n = (size_t)bits_at(t.f->p + pos, 4);
  v.pos = pos + 4;
  if (v.n > (t.f->n - v.pos) / v.elem) {
    flat_fail(t.f, pos, "a vector is longer than the file");
    return none;
  }
  return elem == 1 || budget_take(t.f, pos, v.n * v.elem) ? v : none;
}

FlatTable flat_vec_table(FlatVec v, size_t i) {
  ensure(i < v.n && v.elem == 4);
  return table_at(v.f, offset_follow(v.f, v.pos + 4 * i));
}

uint64_t flat_vec_uint(FlatVec v, size_t i) {
  ensure(i < v.n);
  return bits_at(v.f->p + v.pos + v.elem * i, (int)v.elem);
}

int64_t flat_vec_int(FlatVec v, size_t i) {
  return sign_extend(flat_vec_uint(v, i), (int)v.elem);
}

const char *flat_string(Arena *a, FlatTable t, int field) {
  FlatVec v = flat_vec(t, field, 1);
  size_t n = v.n < MAX_STRING ? v.n : MAX_STRING, k = 0;

  if (!budget_take(v.f, v.pos, n))
    n = 0;
  char *s = arena_alloc(a, n + 1);
  for (size_t i = 0; i < n; i++)
    if (v.f->p[v.pos + i] >= ' ' && v.f->p[v.pos + i] != 127)
      s[k++] = (char)v.f->p[v.pos + i];
  return s;
}
