/* stream.c - arrays read piece by piece: npy, members of an npz, IDX (as the
 * MNIST data sets are, gzipped or not; LeCun's description of it). */
#include "frontend/samples.h"
#include "frontend/weights.h"

#include <limits.h>
#include <string.h>
#include <zip.h>
#include <zlib.h>

void streams_close(Streams *s) {
  for (size_t i = 0; i < s->n; i++) {
    if (s->at[i].close) s->at[i].close(&s->at[i]);
    buffer_unref(s->at[i].buffer);
  }
  s->n = 0;
}

/* ---- npy ------------------------------------------------------------ */

static bool buffer_read(Stream *s, void *to, size_t n) {
  if (n > s->buffer->size - s->at) return false;
  if (n) memcpy(to, s->buffer->data + s->at, n);
  s->at += n;
  return true;
}

bool npy_stream(Arena *a, Diags *d, const char *path, Buffer *file,
                Streams *out) {
  Stream s = {.where = path, .name = "", .read = buffer_read};
  if (!npy_header(a, d, path, file, &s.type, &s.at)) return false;
  s.buffer = buffer_ref(file);
  vec_push(a, out, s);
  return true;
}

/* ---- npz ------------------------------------------------------------ */

/* Of the file, closed with its last member. */
typedef struct Archive { zip_t *zip; int open; } Archive;
typedef struct Member { Archive *of; zip_file_t *file; } Member;

static bool member_read(Stream *s, void *to, size_t n) {
  Member *m = s->handle;
  zip_int64_t got;
  for (size_t at = 0; at < n; at += (size_t)got) {
    got = zip_fread(m->file, (uint8_t *)to + at, n - at);
    if (got <= 0) return false;
  }
  return true;
}

static void member_close(Stream *s) {
  Member *m = s->handle;
  if (m->file) zip_fclose(m->file);
  if (--m->of->open == 0) zip_discard(m->of->zip);
}

enum { HEADER_MOST = 1 << 20 };

/* The header of an npy lies in its first bytes; the rest is not read yet. */
static bool member_header(Arena *a, Diags *d, Stream *s, uint64_t size) {
  uint8_t begin[12] = {0};
  size_t n = size < sizeof begin ? (size_t)size : sizeof begin, offset;
  bool ok = member_read(s, begin, n);
  size_t len = begin[8] | (size_t)begin[9] << 8;
  bool longer = n == sizeof begin && begin[6] > 1;
  if (longer) len |= (size_t)begin[10] << 16 | (size_t)begin[11] << 24;
  len += longer ? 12 : 10;
  if (!ok || len < n || len > size || len > HEADER_MOST)
    return diag_error_at(d, EXIT_FILE, s->where, "not an npy member");
  Buffer *b = buffer_new(len);
  memcpy(b->data, begin, n);
  ok = member_read(s, b->data + n, len - n);
  if (!ok) diag_error_at(d, EXIT_FILE, s->where, "damaged or cut short");
  ok = ok && npy_header_of(a, d, s->where, b, size, &s->type, &offset);
  buffer_unref(b);
  return ok;
}

static bool member_open(Arena *a, Diags *d, const char *path, Archive *z,
                        uint64_t i, Streams *out) {
  zip_stat_t st;
  zip_stat_init(&st);
  if (zip_stat_index(z->zip, i, 0, &st) != 0 || !(st.valid & ZIP_STAT_NAME) ||
      !(st.valid & ZIP_STAT_SIZE))
    return diag_error_at(d, EXIT_FILE, path, "npz: member %llu has no name "
                         "or size", (unsigned long long)i);
  size_t len = strlen(st.name);
  Stream s = {.read = member_read, .close = member_close};
  s.where = arena_printf(a, "%s: member '%s'", path, st.name);
  if (len < 4 || strcmp(st.name + len - 4, ".npy") != 0)
    return diag_error_at(d, EXIT_FILE, s.where, "not an npy member");
  s.name = arena_strndup(a, st.name, len - 4);
  Member *m = s.handle = arena_new_of(a, Member);
  m->of = z;
  m->file = zip_fopen_index(z->zip, i, 0);
  if (!m->file)
    return diag_error_at(d, EXIT_FILE, s.where, "%s", zip_strerror(z->zip));
  z->open++;
  vec_push(a, out, s);
  return member_header(a, d, &out->at[out->n - 1], st.size);
}

bool npz_streams(Arena *a, Diags *d, const char *path, Streams *out) {
  int code = 0;
  Archive *z = arena_new_of(a, Archive);
  z->zip = zip_open(path, ZIP_RDONLY, &code);
  if (!z->zip) {
    zip_error_t err;
    zip_error_init_with_code(&err, code);
    diag_error_at(d, EXIT_FILE, path, "npz: %s", zip_error_strerror(&err));
    zip_error_fini(&err);
    return false;
  }
  zip_int64_t n = zip_get_num_entries(z->zip, 0);
  bool ok = true;
  for (zip_int64_t i = 0; i < n && ok; i++)
    ok = member_open(a, d, path, z, (uint64_t)i, out);
  if (z->open == 0) zip_discard(z->zip);
  return ok;
}

/* ---- IDX ------------------------------------------------------------ */

static bool gz_read(Stream *s, void *to, size_t n) {
  while (n > 0) {
    unsigned piece = n > INT_MAX ? INT_MAX : (unsigned)n;
    int got = gzread(s->handle, to, piece);
    if (got <= 0) return false;
    to = (uint8_t *)to + got;
    n -= (size_t)got;
  }
  return true;
}

/* Of a file that is cut short that shows before anything is done with it. */
static bool gz_has(Stream *s, size_t bytes) {
  enum { PIECE = 1 << 16 };
  z_off_t at = gztell(s->handle);
  Buffer *b = buffer_new(PIECE);
  bool ok = true;
  while (bytes > 0 && ok) {
    size_t n = bytes < PIECE ? bytes : PIECE;
    ok = gz_read(s, b->data, n);
    bytes -= n;
  }
  buffer_unref(b);
  return ok && gzseek(s->handle, at, SEEK_SET) == at;
}

static void gz_close(Stream *s) { gzclose(s->handle); }

static bool idx_elem(uint8_t code, Elem *e) {
  static const struct { uint8_t code; Elem elem; } codes[] = {
    {0x08, U8}, {0x09, I8}, {0x0b, I16}, {0x0c, I32}, {0x0d, F32},
    {0x0e, F64},
  };
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (codes[i].code == code) {
      *e = codes[i].elem;
      return true;
    }
  return false;
}

/* Two zeros, element type, number of axes, sizes of 32 bits. */
static bool idx_header(Diags *d, Stream *s) {
  uint8_t h[4], size[4];
  int64_t dim[MAX_RANK];
  Elem e;
  size_t bytes;
  if (!s->read(s, h, 4) || h[0] || h[1] || !idx_elem(h[2], &e))
    return diag_error_at(d, EXIT_FILE, s->where, "expected an npz, an npy, "
                         "IDX (gzipped or not) or a folder of images, found "
                         "none of them");
  if (h[3] < 1 || h[3] > MAX_RANK)
    return diag_error_at(d, EXIT_FILE, s->where, "IDX: expected 1 to %d axes, "
                         "found %d", MAX_RANK, h[3]);
  for (int i = 0; i < h[3]; i++) {
    if (!s->read(s, size, 4))
      return diag_error_at(d, EXIT_FILE, s->where, "IDX: cut short in its "
                           "header");
    dim[i] = (int64_t)size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
  }
  s->type = type_make(e, h[3], dim);
  return weight_bytes(&s->type, &bytes) ||
         diag_error_at(d, EXIT_FILE, s->where, "IDX: dimensions overflow");
}

bool idx_stream(Arena *a, Diags *d, const char *path, Streams *out) {
  Stream s = {.where = path, .name = "", .read = gz_read, .has = gz_has,
              .close = gz_close, .big_endian = true};
  s.handle = gzopen(path, "rb");
  if (!s.handle)
    return diag_error_at(d, EXIT_FILE, path, "cannot open");
  bool ok = idx_header(d, &s);
  s.picture = s.type.elem == U8;
  vec_push(a, out, s);
  return ok;
}
