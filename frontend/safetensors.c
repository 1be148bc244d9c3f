/* safetensors.c - reads and writes the safetensors format: the length of a
 * JSON header (u64, little endian), the header, then the data of all
 * tensors without gaps.  https://github.com/huggingface/safetensors */
#include "frontend/weights.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* No header of a real net comes near; what the reference reader allows. */
enum { HEADER_MAX = 100000000 };

static const struct { const char *name; Elem elem; } dtypes[] = {
  {"F64", F64}, {"F32", F32}, {"F16", F16}, {"BF16", BF16}, {"I64", I64},
  {"I32", I32}, {"I16", I16}, {"I8", I8}, {"U8", U8}, {"BOOL", B1},
  {"U16", U16}, {"U32", U32}, {"U64", U64},
  /* Only written: in memory these are a byte an element. */
  {"I8", I4}, {"U8", U4}
};
enum { NDTYPES = sizeof dtypes / sizeof dtypes[0] };

/* What is being read. */
typedef struct Reader {
  Arena *a;
  Diags *d;
  const char *path;
  Buffer *buf;
  size_t data, data_size;   /* where the tensors' data lie in buf */
} Reader;

/* A tensor's place, to find gaps and overlaps. */
typedef struct Range { size_t begin, end; const char *name; } Range;

static const char *where_byte(const Reader *r, size_t byte) {
  return arena_printf(r->a, "%s: byte %zu", r->path, byte);
}

/* The JSON header, or NULL. */
static json_t *read_header(Reader *r) {
  const Buffer *b = r->buf;
  json_error_t err;
  json_t *root;
  uint64_t n;

  if (b->size < 9 || b->data[8] != '{') {
    diag_error_at(r->d, EXIT_FILE, r->path, "not a weight file: neither "
                  "safetensors nor npz nor npy");
    return NULL;
  }
  memcpy(&n, b->data, 8);
  if (n > HEADER_MAX || n > b->size - 8) {
    diag_error_at(r->d, EXIT_FILE, where_byte(r, 0),
                  "safetensors header of %llu bytes in a file of %zu",
                  (unsigned long long)n, b->size);
    return NULL;
  }
  root = json_loadb((const char *)b->data + 8, (size_t)n,
                    JSON_REJECT_DUPLICATES, &err);
  if (!root) {
    diag_error_at(r->d, EXIT_FILE, where_byte(r, 8 + (size_t)err.position),
                  "safetensors header: %s", err.text);
    return NULL;
  }
  r->data = 8 + (size_t)n;
  r->data_size = b->size - r->data;
  return root;
}

static bool read_dtype(Reader *r, const char *where, const json_t *v,
                       Elem *out) {
  const char *s = json_string_value(v);

  if (!s)
    return diag_error_at(r->d, EXIT_FILE, where,
                         "expected a string as \"dtype\"");
  for (int i = 0; i < NDTYPES; i++)
    if (strcmp(s, dtypes[i].name) == 0) {
      *out = dtypes[i].elem;
      return true;
    }
  return diag_error_at(r->d, EXIT_FILE, where,
                       "dtype \"%s\" is not supported; expected one of "
                       "F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL U16 U32 U64",
                       s);
}

/* An array of non-negative integers; -1 after a diagnostic. */
static int read_sizes(Reader *r, const char *where, const json_t *v,
                      const char *key, int64_t *out, int max) {
  size_t n = json_array_size(v);

  if (!json_is_array(v)) {
    diag_error_at(r->d, EXIT_FILE, where, "expected an array as \"%s\"",
                  key);
    return -1;
  }
  if (n > (size_t)max) {
    diag_error_at(r->d, EXIT_FILE, where,
                  "\"%s\" has %zu entries, expected at most %d", key, n,
                  max);
    return -1;
  }
  for (size_t i = 0; i < n; i++) {
    const json_t *e = json_array_get(v, i);

    if (!json_is_integer(e) || json_integer_value(e) < 0) {
      diag_error_at(r->d, EXIT_FILE, where,
                    "entry %zu of \"%s\" is not a size", i, key);
      return -1;
    }
    out[i] = json_integer_value(e);
  }
  return (int)n;
}

static bool read_tensor(Reader *r, WeightFile *w, const char *name,
                        const json_t *v, Range *range) {
  const char *where = arena_printf(r->a, "%s: tensor '%s'", r->path, name);
  int64_t dim[MAX_RANK] = {0}, at[2];
  size_t size;
  Elem elem = F32;
  Type t;
  int rank;

  if (!json_is_object(v))
    return diag_error_at(r->d, EXIT_FILE, where, "expected an object");
  if (!read_dtype(r, where, json_object_get(v, "dtype"), &elem))
    return false;
  rank = read_sizes(r, where, json_object_get(v, "shape"), "shape", dim,
                    MAX_RANK);
  if (rank < 0)
    return false;
  switch (read_sizes(r, where, json_object_get(v, "data_offsets"),
                     "data_offsets", at, 2)) {
  case -1: return false;
  case 2: break;
  default: return diag_error_at(r->d, EXIT_FILE, where,
                                "expected two \"data_offsets\"");
  }
  if (at[0] > at[1] || (uint64_t)at[1] > r->data_size)
    return diag_error_at(r->d, EXIT_FILE, where,
                         "data_offsets [%lld,%lld] out of range; the file "
                         "has %zu bytes of data", (long long)at[0],
                         (long long)at[1], r->data_size);
  t = type_make(elem, rank, dim);
  if (!weight_bytes(&t, &size))
    return diag_error_at(r->d, EXIT_FILE, where, "dimensions overflow");
  if (size != (uint64_t)(at[1] - at[0]))
    return diag_error_at(r->d, EXIT_FILE, where,
                         "%s takes %zu bytes, data_offsets give %lld",
                         weight_type_name(r->a, &t), size,
                         (long long)(at[1] - at[0]));
  *range = (Range){(size_t)at[0], (size_t)at[1], name};
  return weight_file_add(r->a, r->d, w, where, name, t, r->buf,
                         r->data + (size_t)at[0]);
}

static int range_order(const void *x, const void *y) {
  const Range *a = x, *b = y;

  if (a->begin != b->begin)
    return a->begin < b->begin ? -1 : 1;
  return a->end < b->end ? -1 : a->end > b->end;
}

/* The tensors must cover the data, each byte once: bytes that belong to
 * nobody could hide another file. */
static bool check_cover(Reader *r, Range *range, size_t n) {
  size_t end = 0;

  if (n > 0)
    qsort(range, n, sizeof *range, range_order);
  for (size_t i = 0; i < n; i++) {
    if (range[i].begin < end)
      return diag_error_at(r->d, EXIT_FILE,
                           where_byte(r, r->data + range[i].begin),
                           "tensors '%s' and '%s' overlap",
                           range[i - 1].name, range[i].name);
    if (range[i].begin > end)
      break;
    end = range[i].end;
  }
  if (end == r->data_size)
    return true;
  return diag_error_at(r->d, EXIT_FILE, where_byte(r, r->data + end),
                       "data that belong to no tensor");
}

static bool check_metadata(Reader *r, const json_t *v) {
  const char *where = arena_printf(r->a, "%s: __metadata__", r->path);
  const char *key;
  json_t *e;

  if (!json_is_object(v))
    return diag_error_at(r->d, EXIT_FILE, where, "expected an object");
  json_object_foreach((json_t *)(uintptr_t)v, key, e)
    if (!json_is_string(e))
      return diag_error_at(r->d, EXIT_FILE, where,
                           "expected a string as \"%s\"", key);
  return true;
}

static bool read_tensors(Reader *r, WeightFile *w, json_t *root) {
  Range *range = arena_array(r->a, Range, json_object_size(root));
  bool ok = true;
  size_t n = 0;
  const char *key;
  json_t *v;

  json_object_foreach(root, key, v) {
    if (strcmp(key, "__metadata__") == 0)
      ok = check_metadata(r, v) && ok;
    else
      ok = read_tensor(r, w, key, v, &range[n++]) && ok;
  }
  return ok && check_cover(r, range, n);
}

WeightFile *safetensors_parse(Arena *a, Diags *d, const char *path,
                              Buffer *buf) {
  Reader r = {.a = a, .d = d, .path = path, .buf = buf};
  json_t *root = read_header(&r);
  WeightFile *w;

  if (!root)
    return NULL;
  w = weight_file_new(a, path);
  if (!read_tensors(&r, w, root)) {
    weights_close(w);
    w = NULL;
  }
  json_decref(root);
  return w;
}

/* ---- writing -------------------------------------------------------- */

static const char *dtype_name(Elem elem) {
  for (int i = 0; i < NDTYPES; i++)
    if (dtypes[i].elem == elem)
      return dtypes[i].name;
  unreachable();
}

void safetensors_put(FILE *f, const WeightTensor *t, size_t n) {
  size_t offset = 0;
  uint64_t header;
  Text s = {0};

  text_putc(&s, '{');
  for (size_t i = 0; i < n; i++) {
    size_t size;

    ensure(weight_bytes(&t[i].type, &size) && size == t[i].data->size);
    text_puts(&s, i ? "," : "");
    text_json(&s, t[i].name);
    text_printf(&s, ":{\"dtype\":\"%s\",\"shape\":[",
                dtype_name(t[i].type.elem));
    for (int k = 0; k < t[i].type.rank; k++)
      text_printf(&s, "%s%lld", k ? "," : "", (long long)t[i].type.dim[k]);
    text_printf(&s, "],\"data_offsets\":[%zu,%zu]}", offset, offset + size);
    offset += size;
  }
  text_putc(&s, '}');
  while ((s.n + 8) % 64 != 0)
    text_putc(&s, ' ');
  header = s.n;
  fwrite(&header, 1, 8, f);
  fwrite(s.s, 1, s.n, f);
  for (size_t i = 0; i < n; i++)
    if (t[i].data->size > 0)
      fwrite(t[i].data->data, 1, t[i].data->size, f);
  text_free(&s);
}

bool safetensors_write(Diags *d, const char *path, const WeightTensor *t,
                       size_t n) {
  OutFile o;
  if (!outfile_open(&o, d, path))
    return false;
  safetensors_put(o.f, t, n);
  return outfile_commit(&o, d);   /* sees a failed write */
}
