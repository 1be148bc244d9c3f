/* npz.c - reads NumPy's npz: a zip whose members NAME.npy are tensors. */
#include "frontend/weights.h"

#include <string.h>
#include <zip.h>

/* Deflate never packs tighter than 1032 to 1, so larger claims are false,
 * and nothing is allocated for them. */
enum { DEFLATE_RATIO = 1032 };

/* What is being read. */
typedef struct Zip {
  Arena *a;
  Diags *d;
  const char *path;
  zip_t *zip;
  uint64_t budget;   /* bytes that members may still unpack to */
} Zip;

static zip_t *zip_open_buffer(Diags *d, const char *path, const Buffer *buf) {
  zip_source_t *source;
  zip_error_t err;
  zip_t *zip = NULL;

  zip_error_init(&err);
  source = zip_source_buffer_create(buf->data, buf->size, 0, &err);
  if (source)
    zip = zip_open_from_source(source, ZIP_RDONLY, &err);
  if (!zip) {
    zip_source_free(source);
    diag_error_at(d, EXIT_FILE, path, "npz: %s", zip_error_strerror(&err));
  }
  zip_error_fini(&err);
  return zip;
}

/* Read the member whole; one read past the end has its checksum compared.
 * NULL on error. */
static Buffer *read_member(zip_t *zip, uint64_t i, size_t size) {
  zip_file_t *f = zip_fopen_index(zip, i, 0);
  Buffer *b = NULL;
  size_t n = 0;
  zip_int64_t got;
  char rest;

  if (!f)
    return NULL;
  b = buffer_new(size);
  while (n < size && (got = zip_fread(f, b->data + n, size - n)) > 0)
    n += (size_t)got;
  if (n < size || zip_fread(f, &rest, 1) != 0) {
    buffer_unref(b);
    b = NULL;
  }
  zip_fclose(f);
  return b;
}

static bool check_member(Zip *z, const char *where, uint64_t i,
                         const zip_stat_t *st) {
  enum { NEED = ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD };

  if (zip_name_locate(z->zip, st->name, 0) != (zip_int64_t)i)
    return diag_error_at(z->d, EXIT_FILE, where, "member given twice");
  if ((st->valid & NEED) != NEED
      || (st->comp_method != ZIP_CM_STORE
          && st->comp_method != ZIP_CM_DEFLATE)
      || ((st->valid & ZIP_STAT_ENCRYPTION_METHOD)
          && st->encryption_method != ZIP_EM_NONE))
    return diag_error_at(z->d, EXIT_FILE, where, "expected a member that "
                         "is stored or deflated and not encrypted");
  if (st->size > z->budget)
    return diag_error_at(z->d, EXIT_FILE, where,
                         "%llu bytes cannot come from a file of this size",
                         (unsigned long long)st->size);
  z->budget -= st->size;
  return true;
}

static bool add_member(Zip *z, WeightFile *w, uint64_t i) {
  const char *where;
  size_t len, offset;
  zip_stat_t st;
  Buffer *b;
  Type t;
  bool ok;

  zip_stat_init(&st);
  if (zip_stat_index(z->zip, i, 0, &st) != 0
      || !(st.valid & ZIP_STAT_NAME))
    return diag_error_at(z->d, EXIT_FILE, z->path,
                         "npz: member %llu has no name",
                         (unsigned long long)i);
  where = arena_printf(z->a, "%s: member '%s'", z->path, st.name);
  len = strlen(st.name);
  if (len < 4 || strcmp(st.name + len - 4, ".npy") != 0)
    return diag_error_at(z->d, EXIT_FILE, where, "not an npy member");
  if (!check_member(z, where, i, &st))
    return false;
  b = read_member(z->zip, i, (size_t)st.size);
  if (!b)
    return diag_error_at(z->d, EXIT_FILE, where,
                         "damaged: its data do not unpack to %llu bytes "
                         "with the right checksum",
                         (unsigned long long)st.size);
  ok = npy_header(z->a, z->d, where, b, &t, &offset)
       && weight_file_add(z->a, z->d, w, where,
                          arena_strndup(z->a, st.name, len - 4), t, b,
                          offset);
  buffer_unref(b);
  return ok;
}

WeightFile *npz_parse(Arena *a, Diags *d, const char *path, Buffer *buf) {
  Zip z = {.a = a, .d = d, .path = path};
  WeightFile *w;
  zip_int64_t n;
  bool ok = true;

  z.zip = zip_open_buffer(d, path, buf);
  if (!z.zip)
    return NULL;
  if (__builtin_mul_overflow((uint64_t)buf->size, DEFLATE_RATIO, &z.budget))
    z.budget = UINT64_MAX;
  w = weight_file_new(a, path);
  n = zip_get_num_entries(z.zip, 0);
  for (zip_int64_t i = 0; i < n; i++)
    ok = add_member(&z, w, (uint64_t)i) && ok;
  zip_discard(z.zip);
  if (!ok) {
    weights_close(w);
    w = NULL;
  }
  return w;
}
