/* buffer.c - reference-counted tensor data: allocated, mapped from a file,
 * or a slice of another buffer. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DATA_ALIGN = 64 };

static Buffer *buffer_make(uint8_t *data, size_t size) {
  Buffer *b = calloc(1, sizeof *b);

  if (!b)
    internal_error(__FILE__, __LINE__, "out of memory");
  b->data = data;
  b->size = size;
  b->refs = 1;
  return b;
}

Buffer *buffer_new(size_t size) {
  size_t rounded;
  uint8_t *p;

  ensure(size <= SIZE_MAX - DATA_ALIGN);
  rounded = (size + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
  p = aligned_alloc(DATA_ALIGN, rounded ? rounded : DATA_ALIGN);
  if (!p)
    internal_error(__FILE__, __LINE__, "out of memory (%zu bytes)", size);
  memset(p, 0, rounded);
  return buffer_make(p, size);
}

Buffer *buffer_slice(Buffer *parent, size_t offset, size_t size) {
  Buffer *b;

  ensure(offset <= parent->size && size <= parent->size - offset);
  b = buffer_make(parent->data ? parent->data + offset : NULL, size);
  b->parent = buffer_ref(parent);
  return b;
}

Buffer *buffer_ref(Buffer *b) {
  if (b)
    b->refs++;
  return b;
}

void buffer_unref(Buffer *b) {
  if (!b || --b->refs > 0)
    return;
  ensure(b->refs == 0);
  if (b->parent)
    buffer_unref(b->parent);
  else if (b->mapped)
    munmap(b->data, b->size);
  else
    free(b->data);
  free(b);
}

void buffer_forget(const Buffer *b) {
  const Buffer *root = b;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  while (root->parent)
    root = root->parent;
  uintptr_t from = ((uintptr_t)b->data + page - 1) / page * page;
  uintptr_t till = ((uintptr_t)b->data + b->size) / page * page;
  if (root->mapped && till > from)
    madvise((void *)from, till - from, MADV_DONTNEED);
}

/* Map the open file; NULL with errno set when it can't be. */
static Buffer *map_open_file(int fd) {
  struct stat st;
  Buffer *b;
  void *p;

  if (fstat(fd, &st) != 0)
    return NULL;
  if (!S_ISREG(st.st_mode)) {
    errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    return NULL;
  }
  if (st.st_size == 0)
    return buffer_new(0);
  if ((uintmax_t)st.st_size > SIZE_MAX / 2) {
    errno = EFBIG;
    return NULL;
  }
  p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (p == MAP_FAILED)
    return NULL;
  b = buffer_make(p, (size_t)st.st_size);
  b->mapped = true;
  return b;
}

Buffer *buffer_map(Diags *d, const char *path) {
  /* O_NONBLOCK: a FIFO is refused below instead of waited for. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  Buffer *b = fd < 0 ? NULL : map_open_file(fd);
  int err = errno;

  if (fd >= 0)
    close(fd);
  if (!b)
    diag_error_at(d, EXIT_FILE, path, "cannot read: %s",
                  err == EINVAL ? "not a regular file" : strerror(err));
  return b;
}
