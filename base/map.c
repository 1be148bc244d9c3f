/* map.c - strings to pointers: open addressing, in an arena. */
#include "base/base.h"

#include <string.h>

static size_t map_slot(const Map *m, const char *key) {
  size_t i = hash_bytes(key, strlen(key)) & (m->cap - 1);
  while (m->key[i] && strcmp(m->key[i], key))
    i = (i + 1) & (m->cap - 1);
  return i;
}

void *map_get(const Map *m, const char *key) {
  return m->cap ? m->val[map_slot(m, key)] : NULL;
}

static void map_grow(Arena *a, Map *m) {
  Map big = {.cap = m->cap ? 2 * m->cap : 16};
  big.key = arena_array(a, const char *, big.cap);
  big.val = arena_array(a, void *, big.cap);
  for (size_t i = 0; i < m->cap; i++)
    if (m->key[i]) {
      size_t s = map_slot(&big, m->key[i]);
      big.key[s] = m->key[i];
      big.val[s] = m->val[i];
      big.n++;
    }
  *m = big;
}

void map_put(Arena *a, Map *m, const char *key, void *val) {
  if (2 * (m->n + 1) > m->cap)
    map_grow(a, m);
  size_t s = map_slot(m, key);
  if (!m->key[s]) {
    m->key[s] = key;
    m->n++;
  }
  m->val[s] = val;
}

const char *map_nearest(Arena *a, const Map *m, const char *key) {
  Vec(const char *) names = {0};
  for (size_t i = 0; i < m->cap; i++)
    if (m->key[i] && m->val[i])
      vec_push(a, &names, m->key[i]);
  return nearest_name(key, names.at, names.n);
}
