/* fence.c - buffers that end where memory ends: reading or writing behind
 * them is a fault, writing close before them is found afterwards. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/run/random_graphs.h"

enum { FILL = 0xff };   /* as f32 a NaN: what was never written shows */

Fence fence_new(size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t inside = (bytes + 64 + page - 1) / page * page;
  Fence f = {.mapped = inside + page, .bytes = bytes};
  f.map = mmap(NULL, f.mapped, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ensure(f.map != MAP_FAILED);
  ensure(mprotect(f.map + inside, page, PROT_NONE) == 0);
  memset(f.map, FILL, inside);
  f.at = f.map + inside - bytes;
  return f;
}

bool fence_intact(const Fence *f) {
  for (const unsigned char *p = f->map; p < f->at; p++)
    if (*p != FILL) return false;
  return true;
}

void fence_free(Fence *f) {
  if (f->map) munmap(f->map, f->mapped);
  f->map = NULL;
}
