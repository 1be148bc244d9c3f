/* cluster.c - weights that the artifact has as indices into the few values
 * that they have. */
#include "ir/ir.h"

#include <stdlib.h>
#include <string.h>

int elem_clusters(Elem stored) {
  return stored == U4 ? 16 : stored == U8 ? 256 : 0;
}

/* Unsigned, in the order of the floats, -0.0 before 0.0. */
static uint32_t key_of(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

/* Where v stands, or would stand, among n rising values. */
static int place_of(const float *table, int n, float v) {
  int lo = 0, hi = n;
  while (lo < hi) {
    int mid = (lo + hi) / 2;
    if (key_of(table[mid]) < key_of(v)) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

int clusters_of(const float *v, size_t n, int most, float *table) {
  int count = 1;
  table[0] = 0;
  for (size_t i = 0; i < n; i++) {
    int at = place_of(table, count, v[i]);
    if (at < count && key_of(table[at]) == key_of(v[i])) continue;
    if (count == most) return -1;
    memmove(table + at + 1, table + at,
            (size_t)(count - at) * sizeof *table);
    table[at] = v[i];
    count++;
  }
  return count;
}

void clusters_index(const float *table, int count, const float *v, size_t n,
                    uint8_t *out) {
  for (size_t i = 0; i < n; i++)
    out[i] = (uint8_t)place_of(table, count, v[i]);
}

size_t clusters_bytes(Elem stored, size_t n) {
  return stored == U4 ? (n + 1) / 2 : n;
}

void clusters_pack(Elem stored, const uint8_t *index, size_t n, uint8_t *to) {
  if (stored != U4) {
    if (n) memcpy(to, index, n);
    return;
  }
  for (size_t i = 0; i < n; i += 2)
    to[i / 2] = (uint8_t)(index[i] | (i + 1 < n ? index[i + 1] << 4 : 0));
}

Buffer *clusters_expand(Elem stored, const float *table, int count,
                        const uint8_t *packed, size_t n) {
  Buffer *b = buffer_new(checked_mul(n, sizeof(float)));
  float *v = (float *)(void *)b->data;
  for (size_t i = 0; i < n; i++) {
    int at = stored == U4 ? packed[i / 2] >> (i % 2 ? 4 : 0) & 15 : packed[i];
    if (at >= count) {
      buffer_unref(b);
      return NULL;
    }
    v[i] = table[at];
  }
  return b;
}

bool clusters_hold(Elem stored, const Buffer *b) {
  float table[256];
  const float *v = (const float *)(const void *)b->data;
  return clusters_of(v, b->size / sizeof *v, elem_clusters(stored),
                     table) > 0;
}
