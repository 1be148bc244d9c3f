/* npy.c - reads and writes NumPy's npy format, versions 1 to 3: a magic
 * number, the length of the header, the header as a Python dictionary, the
 * data.  (numpy.lib.format in NumPy's manual.) */
#include "frontend/weights.h"

#include <string.h>

static const struct { const char *descr; Elem elem; } descrs[] = {
  {"<f8", F64}, {"<f4", F32}, {"<f2", F16}, {"<i8", I64}, {"<i4", I32},
  {"<i2", I16}, {"|i1", I8}, {"|u1", U8}, {"|b1", B1}, {"<u2", U16},
  {"<u4", U32}, {"<u8", U64},
  {"<V2", BF16},   /* as ml_dtypes' bfloat16 is saved */
  {"|V2", BF16},
  /* Only written: in memory these are a byte an element. */
  {"|i1", I4}, {"|u1", U4}
};
enum { NDESCRS = sizeof descrs / sizeof descrs[0] };

/* The header's text while it is read. */
typedef struct Scan {
  Arena *a;
  Diags *d;
  const char *where;
  const char *text;    /* NUL-terminated copy */
  size_t at, base;     /* base: offset of the text in the file */
} Scan;

static bool scan_error(const Scan *s, const char *message) {
  const char *where = arena_printf(s->a, "%s: byte %zu", s->where,
                                   s->base + s->at);

  return diag_error_at(s->d, EXIT_FILE, where, "npy header: %s", message);
}

static void scan_space(Scan *s) {
  while (s->text[s->at] == ' ' || s->text[s->at] == '\n')
    s->at++;
}

static bool scan_char(Scan *s, char c) {
  scan_space(s);
  if (s->text[s->at] != c)
    return false;
  s->at++;
  return true;
}

static const char *scan_string(Scan *s) {
  const char *p, *end;

  scan_space(s);
  p = s->text + s->at;
  if (*p != '\'' && *p != '"')
    return NULL;
  end = strchr(p + 1, *p);
  if (!end)
    return NULL;
  s->at += (size_t)(end - p) + 1;
  return arena_strndup(s->a, p + 1, (size_t)(end - p) - 1);
}

static bool scan_descr(Scan *s, Elem *elem) {
  size_t start = s->at;
  const char *descr = scan_string(s);

  if (!descr)
    return scan_error(s, "expected a string as 'descr' (structured types "
                         "are not supported)");
  for (int i = 0; i < NDESCRS; i++)
    if (strcmp(descr, descrs[i].descr) == 0) {
      *elem = descrs[i].elem;
      return true;
    }
  s->at = start;
  scan_space(s);
  return scan_error(s, arena_printf(s->a, "type '%s' is not supported; "
                    "expected one of <f8 <f4 <f2 <i8 <i4 <i2 |i1 |u1 "
                    "|b1 <u2 <u4 <u8",
                    descr));
}

static bool scan_order(Scan *s) {
  scan_space(s);
  if (strncmp(s->text + s->at, "False", 5) == 0) {
    s->at += 5;
    return true;
  }
  if (strncmp(s->text + s->at, "True", 4) == 0)
    return scan_error(s, "Fortran order is not supported; save "
                         "numpy.ascontiguousarray(x)");
  return scan_error(s, "expected True or False as 'fortran_order'");
}

static bool scan_size(Scan *s, int64_t *out) {
  int64_t v = 0;
  size_t start = s->at;

  for (; s->text[s->at] >= '0' && s->text[s->at] <= '9'; s->at++)
    if (__builtin_mul_overflow(v, 10, &v)
        || __builtin_add_overflow(v, s->text[s->at] - '0', &v))
      return scan_error(s, "a dimension overflows");
  *out = v;
  return s->at > start || scan_error(s, "expected a dimension");
}

static bool scan_shape(Scan *s, int *rank, int64_t dim[MAX_RANK]) {
  *rank = 0;
  if (!scan_char(s, '('))
    return scan_error(s, "expected a tuple as 'shape'");
  while (!scan_char(s, ')')) {
    if (*rank == MAX_RANK)
      return scan_error(s, arena_printf(s->a, "more than %d dimensions",
                                        MAX_RANK));
    if (!scan_size(s, &dim[(*rank)++]))
      return false;
    if (scan_char(s, ','))
      continue;
    if (!scan_char(s, ')'))
      return scan_error(s, "expected ',' or ')'");
    break;
  }
  return true;
}

/* The dictionary: three keys, once each, in any order. */
static bool scan_dict(Scan *s, Type *t) {
  enum { DESCR = 1, ORDER = 2, SHAPE = 4, ALL = 7 };
  int64_t dim[MAX_RANK] = {0};
  int seen = 0, rank = 0;
  Elem elem = F32;

  if (!scan_char(s, '{'))
    return scan_error(s, "expected '{'");
  while (!scan_char(s, '}')) {
    const char *key = scan_string(s);
    int bit = !key ? 0 : strcmp(key, "descr") == 0 ? DESCR
              : strcmp(key, "fortran_order") == 0 ? ORDER
              : strcmp(key, "shape") == 0 ? SHAPE : 0;

    if (!bit || (seen & bit) || !scan_char(s, ':'))
      return scan_error(s, "expected 'descr', 'fortran_order' and 'shape', "
                           "once each");
    seen |= bit;
    if (!(bit == DESCR ? scan_descr(s, &elem)
          : bit == ORDER ? scan_order(s) : scan_shape(s, &rank, dim)))
      return false;
    if (scan_char(s, ','))
      continue;
    if (!scan_char(s, '}'))
      return scan_error(s, "expected ',' or '}'");
    break;
  }
  scan_space(s);
  if (seen != ALL)
    return scan_error(s, "'descr', 'fortran_order' or 'shape' is missing");
  if (s->text[s->at] != '\0')
    return scan_error(s, "text behind the dictionary");
  *t = type_make(elem, rank, dim);
  return true;
}

/* Where the header's text lies. */
static bool npy_preamble(Diags *d, const char *where, const Buffer *buf,
                         size_t *begin, size_t *len) {
  const uint8_t *p = buf->data;

  if (buf->size < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
    return diag_error_at(d, EXIT_FILE, where, "not an npy file");
  if (p[6] < 1 || p[6] > 3)
    return diag_error_at(d, EXIT_FILE, where,
                         "npy version %d.%d; expected 1 to 3", p[6], p[7]);
  *begin = p[6] == 1 ? 10 : 12;
  *len = p[8] | (size_t)p[9] << 8;
  if (p[6] > 1 && buf->size >= 12)
    *len |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
  if (buf->size < *begin || *len > buf->size - *begin)
    return diag_error_at(d, EXIT_FILE, where,
                         "npy header of %zu bytes in a file of %zu", *len,
                         buf->size);
  return true;
}

bool npy_header(Arena *a, Diags *d, const char *where, const Buffer *buf,
                Type *t, size_t *offset) {
  return npy_header_of(a, d, where, buf, buf->size, t, offset);
}

bool npy_header_of(Arena *a, Diags *d, const char *where, const Buffer *buf,
                   uint64_t whole, Type *t, size_t *offset) {
  Scan s = {.a = a, .d = d, .where = where};
  size_t len = 0, size;

  if (!npy_preamble(d, where, buf, &s.base, &len))
    return false;
  s.text = arena_strndup(a, (const char *)buf->data + s.base, len);
  if (strlen(s.text) != len) {
    s.at = strlen(s.text);
    return scan_error(&s, "NUL byte");
  }
  if (!scan_dict(&s, t))
    return false;
  *offset = s.base + len;
  if (!weight_bytes(t, &size))
    return diag_error_at(d, EXIT_FILE, where, "dimensions overflow");
  if (size != whole - *offset)
    return diag_error_at(d, EXIT_FILE, where,
                         "%s takes %zu bytes of data, found %llu",
                         weight_type_name(a, t), size,
                         (unsigned long long)(whole - *offset));
  return true;
}

WeightFile *npy_parse(Arena *a, Diags *d, const char *path, Buffer *buf) {
  WeightFile *w;
  size_t offset;
  Type t;

  if (!npy_header(a, d, path, buf, &t, &offset))
    return NULL;
  w = weight_file_new(a, path);
  return weight_file_add(a, d, w, path, "", t, buf, offset) ? w : NULL;
}

void npy_put(FILE *f, const Type *t, const void *data) {
  const char *descr = NULL;
  size_t size;
  Text s = {0};

  for (int i = NDESCRS - 1; i >= 0; i--)
    if (descrs[i].elem == t->elem)
      descr = descrs[i].descr;
  ensure(descr && weight_bytes(t, &size));
  text_write(&s, "\x93NUMPY\1\0\0\0", 10);
  text_printf(&s, "{'descr': '%s', 'fortran_order': False, 'shape': (",
              descr);
  for (int i = 0; i < t->rank; i++)
    text_printf(&s, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
  text_puts(&s, t->rank == 1 ? ",), }" : "), }");
  while ((s.n + 1) % 64 != 0)
    text_putc(&s, ' ');
  text_putc(&s, '\n');
  s.s[8] = (char)((s.n - 10) & 255);
  s.s[9] = (char)((s.n - 10) >> 8);
  fwrite(s.s, 1, s.n, f);
  if (size > 0)
    fwrite(data, 1, size, f);
  text_free(&s);
}

bool npy_write(Diags *d, const char *path, const Type *t, const void *data) {
  OutFile o;
  if (!outfile_open(&o, d, path))
    return false;
  npy_put(o.f, t, data);
  return outfile_commit(&o, d);   /* sees a failed write */
}
