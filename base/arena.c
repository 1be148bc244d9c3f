/* arena.c - memory that is freed all at once.  Small objects are cut from
 * chunks; with TAMIS_ASAN each is its own malloc, so that the checker sees
 * every overrun. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGN = 16, CHUNK_BYTES = 64 * 1024 };

/* The header of one malloc; the objects follow it. */
typedef struct Chunk {
  struct Chunk *next;
  size_t used, size;   /* bytes behind the header */
} Chunk;

struct Arena {
  Chunk *chunks;       /* the first one is being filled */
};

enum {
  HEADER_BYTES = (sizeof(Chunk) + ARENA_ALIGN - 1) / ARENA_ALIGN
                 * ARENA_ALIGN
};

static void *zalloc(size_t size) {
  void *p = calloc(1, size);

  if (!p)
    internal_error(__FILE__, __LINE__, "out of memory (%zu bytes)", size);
  return p;
}

size_t checked_mul(size_t a, size_t b) {
  ensure(b == 0 || a <= SIZE_MAX / b);
  return a * b;
}

Arena *arena_new(void) {
  return zalloc(sizeof(Arena));
}

void arena_free(Arena *a) {
  Chunk *next;

  if (!a)
    return;
  for (Chunk *c = a->chunks; c; c = next) {
    next = c->next;
    free(c);
  }
  free(a);
}

/* A chunk with room for `size` bytes, put behind the first one when it is
 * full at once, so that the first keeps its free rest. */
static Chunk *chunk_add(Arena *a, size_t size, bool full) {
  Chunk *c;

  ensure(size <= SIZE_MAX - HEADER_BYTES);
  c = zalloc(HEADER_BYTES + size);
  c->size = size;
  if (full && a->chunks) {
    c->next = a->chunks->next;
    a->chunks->next = c;
  } else {
    c->next = a->chunks;
    a->chunks = c;
  }
  return c;
}

void *arena_alloc(Arena *a, size_t size) {
  Chunk *c = a->chunks;
  char *p;

#ifdef TAMIS_ASAN
  c = chunk_add(a, size, true);
#else
  ensure(size <= SIZE_MAX - ARENA_ALIGN);
  size = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
  if (size > CHUNK_BYTES / 4)
    c = chunk_add(a, size, true);
  else if (!c || c->size - c->used < size)
    c = chunk_add(a, CHUNK_BYTES, false);
#endif
  p = (char *)c + HEADER_BYTES + c->used;
  c->used += size;
  return p;
}

void *arena_grow(Arena *a, void *p, size_t n, size_t *cap, size_t elem) {
  size_t want = *cap < 8 ? 8 : checked_mul(*cap, 2);
  void *q;

  if (want <= n)
    want = n + 1;
  q = arena_alloc(a, checked_mul(want, elem));
  if (n > 0)
    memcpy(q, p, n * elem);
  *cap = want;
  return q;
}

char *arena_strndup(Arena *a, const char *s, size_t n) {
  char *p;

  ensure(n < SIZE_MAX);
  p = arena_alloc(a, n + 1);
  if (n > 0)
    memcpy(p, s, n);
  return p;
}

char *arena_strdup(Arena *a, const char *s) {
  return arena_strndup(a, s, strlen(s));
}

char *arena_printf(Arena *a, const char *fmt, ...) {
  va_list ap, again;
  char *p;
  int n;

  va_start(ap, fmt);
  va_copy(again, ap);
  n = vsnprintf(NULL, 0, fmt, ap);
  ensure(n >= 0);
  p = arena_alloc(a, (size_t)n + 1);
  vsnprintf(p, (size_t)n + 1, fmt, again);
  va_end(again);
  va_end(ap);
  return p;
}
