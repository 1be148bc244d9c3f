/* file.c - reading texts, writing files whole or not at all, paths. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Positions are 32-bit offsets; no text of ours comes near. */
enum { TEXT_MAX = 1 << 30 };

/* All of f; false with errno set. */
static bool read_all(FILE *f, Text *t) {
  char part[16384];
  size_t n;

  errno = 0;
  while ((n = fread(part, 1, sizeof part, f)) > 0) {
    text_write(t, part, n);
    if (t->n > TEXT_MAX) {
      errno = EFBIG;
      return false;
    }
  }
  return !ferror(f);
}

static bool read_path(const char *path, Text *t) {
  FILE *f;
  bool ok;
  int err;

  if (strcmp(path, "-") == 0)
    return read_all(stdin, t);
  f = fopen(path, "rb");
  if (!f)
    return false;
  ok = read_all(f, t);
  err = errno;
  fclose(f);
  errno = err;
  return ok;
}

Source *source_read(Arena *a, Diags *d, const char *path) {
  const char *name = strcmp(path, "-") == 0 ? "<stdin>" : path;
  const char *nul;
  Source *s = NULL;
  Text t = {0};

  if (!read_path(path, &t)) {
    diag_error_at(d, EXIT_FILE, name, "cannot read: %s",
                  strerror(errno ? errno : EIO));
  } else if (t.n > 0 && (nul = memchr(t.s, '\0', t.n)) != NULL) {
    diag_error_at(d, EXIT_FILE, name, "NUL byte at offset %zu",
                  (size_t)(nul - t.s));
  } else {
    s = arena_new_of(a, Source);
    s->name = arena_strdup(a, name);
    s->text = arena_strndup(a, t.s, t.n);
    s->len = t.n;
  }
  text_free(&t);
  return s;
}

static char *path_copy(const char *path, const char *end) {
  Text t = {0};

  text_puts(&t, path);
  text_puts(&t, end);
  return t.s;
}

bool path_in_place(const char *path) {
  struct stat st;

  return strcmp(path, "-") == 0 ||
         (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

bool path_same(const char *p, const char *q) {
  struct stat a, b;

  return stat(p, &a) == 0 && stat(q, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

static void outfile_clear(OutFile *o) {
  if (o->tmp)
    temporary_forget(o->tmp);
  free(o->path);
  free(o->tmp);
  *o = (OutFile){0};
}

static bool outfile_fail(OutFile *o, Diags *d, int err) {
  diag_error_at(d, EXIT_FILE, o->path, "cannot write: %s", strerror(err));
  if (o->tmp)
    unlink(o->tmp);
  outfile_clear(o);
  return false;
}

/* A new file beside the path, with the rights a plain open would give. */
static int open_temporary(OutFile *o) {
  mode_t mask = umask(0);
  int fd, err;

  umask(mask);
  o->tmp = path_copy(o->path, ".XXXXXX");
  fd = mkstemp(o->tmp);
  if (fd < 0) {
    err = errno;
    free(o->tmp);
    o->tmp = NULL;
    errno = err;
    return fd;
  }
  temporary_add(o->tmp);
  fchmod(fd, 0666 & ~mask);
  return fd;
}

bool outfile_open(OutFile *o, Diags *d, const char *path) {
  int fd;

  *o = (OutFile){0};
  o->path = path_copy(path, "");
  if (strcmp(path, "-") == 0) {
    o->f = stdout;
    return true;
  }
  fd = path_in_place(path) ? open(path, O_WRONLY | O_CLOEXEC)
                           : open_temporary(o);
  if (fd < 0)
    return outfile_fail(o, d, errno);
  o->f = fdopen(fd, "wb");
  if (!o->f) {
    int err = errno;

    close(fd);
    return outfile_fail(o, d, err);
  }
  return true;
}

bool outfile_made(OutFile *o, Diags *d, const char *path, const char *tmp) {
  Buffer *b;

  if (!path_in_place(path)) {
    *o = (OutFile){NULL, path_copy(path, ""), path_copy(tmp, "")};
    return true;
  }
  b = buffer_map(d, tmp);
  if (!b || !outfile_open(o, d, path)) {
    buffer_unref(b);
    return false;
  }
  fwrite(b->data, 1, b->size, o->f);   /* outfile_commit sees the error */
  buffer_unref(b);
  return true;
}

static bool outfile_close(OutFile *o, Diags *d) {
  bool ok;

  if (!ferror(o->f))
    errno = 0;    /* else that of the write which failed */
  ok = fflush(o->f) == 0 && !ferror(o->f);
  if (o->f != stdout) {
    int err = errno;

    if (fclose(o->f) != 0)
      ok = false;
    else
      errno = err;
  }
  o->f = NULL;
  return ok || outfile_fail(o, d, errno ? errno : EIO);
}

bool outfiles_commit(OutFile *o, size_t n, Diags *d) {
  bool ok = true;

  for (size_t i = 0; i < n; i++)
    if (o[i].f)
      ok = outfile_close(&o[i], d) && ok;
  for (size_t i = 0; i < n && ok; i++)
    if (o[i].tmp && rename(o[i].tmp, o[i].path) != 0)
      ok = outfile_fail(&o[i], d, errno);
    else
      outfile_clear(&o[i]);
  for (size_t i = 0; i < n; i++)
    outfile_abort(&o[i]);
  return ok;
}

bool outfile_commit(OutFile *o, Diags *d) {
  return outfiles_commit(o, 1, d);
}

void outfile_abort(OutFile *o) {
  if (o->f && o->f != stdout)
    fclose(o->f);
  if (o->tmp)
    unlink(o->tmp);
  outfile_clear(o);
}

bool file_write(Diags *d, const char *path, const void *p, size_t n) {
  OutFile o;

  if (!outfile_open(&o, d, path))
    return false;
  if (n > 0)
    fwrite(p, 1, n, o.f);   /* outfile_commit sees the error */
  return outfile_commit(&o, d);
}

char *path_dir(Arena *a, const char *path) {
  const char *slash = strrchr(path, '/');

  if (!slash)
    return arena_strdup(a, ".");
  return arena_strndup(a, path, slash == path ? 1 : (size_t)(slash - path));
}

char *path_join(Arena *a, const char *dir, const char *rel) {
  size_t n = strlen(dir);

  if (rel[0] == '/' || n == 0 || strcmp(dir, ".") == 0)
    return arena_strdup(a, rel);
  return arena_printf(a, dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, rel);
}

const char *path_base(const char *path) {
  const char *slash = strrchr(path, '/');

  return slash ? slash + 1 : path;
}

char *path_with_ext(Arena *a, const char *path, const char *ext) {
  const char *base = path_base(path), *dot = strrchr(base, '.');
  size_t n = dot && dot != base ? (size_t)(dot - path) : strlen(path);

  return arena_printf(a, "%.*s%s", (int)n, path, ext);
}
