/* onnx_data.c - tensors of an ONNX file: element types, values inline, raw or
 * in files beside the model. */
#include "frontend/onnx.h"
#include "frontend/weights.h"

#include <stdlib.h>
#include <string.h>

/* ---- element types -------------------------------------------------- */

/* raw: what an element of raw_data is, but that i4 and u4 lie two in a byte;
 * -1: none of ours. */
static const struct { const char *name; int held, raw; } types[] = {
  [OX_FLOAT] = {"float", F32, F32},
  [OX_UINT8] = {"uint8", U8, U8},
  [OX_INT8] = {"int8", I32, I8},
  [OX_UINT16] = {"uint16", I32, U16},
  [OX_INT16] = {"int16", I32, I16},
  [OX_INT32] = {"int32", I32, I32},
  [OX_INT64] = {"int64", I64, I64},
  [OX_STRING] = {"string", -1, -1},
  [OX_BOOL] = {"bool", B1, B1},
  [OX_FLOAT16] = {"float16", F32, F16},
  [OX_DOUBLE] = {"double", F32, F64},
  [OX_UINT32] = {"uint32", I64, U32},
  [OX_UINT64] = {"uint64", I64, U64},
  [OX_COMPLEX64] = {"complex64", -1, -1},
  [OX_COMPLEX128] = {"complex128", -1, -1},
  [OX_BFLOAT16] = {"bfloat16", F32, BF16},
  [17] = {"float8e4m3fn", -1, -1},
  [18] = {"float8e4m3fnuz", -1, -1},
  [19] = {"float8e5m2", -1, -1},
  [20] = {"float8e5m2fnuz", -1, -1},
  [OX_UINT4] = {"uint4", U8, U4},
  [OX_INT4] = {"int4", I32, I4},
  [23] = {"float4e2m1", -1, -1},
};

static bool type_known(int type) {
  return type > 0 && type < (int)(sizeof types / sizeof *types) &&
         types[type].name;
}

const char *ox_type_name(int type) {
  return type_known(type) ? types[type].name : "an unknown type";
}

int ox_held(int type) { return type_known(type) ? types[type].held : -1; }

int ox_stored(int type) {
  switch (type) {
  case OX_INT4: return I8;      /* a byte each */
  case OX_UINT4: return U8;
  default: return type_known(type) ? types[type].raw : -1;
  }
}

int ox_natural(Elem e) {
  for (int i = 1; i < (int)(sizeof types / sizeof *types); i++)
    if (types[i].raw == (int)e) return i;
  unreachable();
}

/* ---- shapes --------------------------------------------------------- */

static bool data_error(Ox *o, const OnnxFile__Tensor *t, const char *fmt,
                       ...) PRINTF_LIKE(3, 4);
static bool data_error(Ox *o, const OnnxFile__Tensor *t, const char *fmt,
                       ...) {
  va_list ap;
  va_start(ap, fmt);
  ox_error(o, EXIT_FILE, "tensor", t->name, fmt, ap);
  va_end(ap);
  return false;
}

static bool dims_read(Ox *o, const OnnxFile__Tensor *t, const int64_t *dim,
                      size_t rank, Elem e, Type *out) {
  if (rank > MAX_RANK)
    return data_error(o, t, "expected at most %d dimensions, found %zu",
                      MAX_RANK, rank);
  for (size_t i = 0; i < rank; i++)
    if (dim[i] < 0)
      return data_error(o, t, "dimension %zu: expected none below 0, found "
                        "%lld", i, (long long)dim[i]);
  *out = type_make(e, (int)rank, dim);
  size_t bytes;
  if (!weight_bytes(out, &bytes) || bytes > INT64_MAX / 16)
    return data_error(o, t, "dimensions overflow");
  return true;
}

/* ---- bytes: in the file, or in one beside it ------------------------ */

static const char *entry(const OnnxFile__Tensor *t, const char *key) {
  for (size_t i = 0; i < t->n_external_data; i++) {
    const OnnxFile__Entry *e = t->external_data[i];
    if (e->key && !strcmp(e->key, key))
      return e->value ? e->value : "";
  }
  return NULL;
}

/* A path that stays in the model's folder. */
static bool location_ok(const char *s) {
  if (!*s || *s == '/' || strchr(s, '\\') || strchr(s, ':'))
    return false;
  for (const char *p = s; p;) {
    size_t n = strcspn(p, "/");
    if (n == 2 && p[0] == '.' && p[1] == '.')
      return false;
    p = p[n] ? p + n + 1 : NULL;
  }
  return true;
}

/* Nor may a link lead out of it. */
static bool location_inside(const char *dir, const char *file) {
  char *d = realpath(dir, NULL), *f = realpath(file, NULL);
  size_t n = d ? strlen(d) : 0;
  bool ok = d && f && !strncmp(d, f, n) && (f[n] == '/' || !strcmp(d, "/"));
  bool missing = !f;     /* buffer_map says that */
  free(d);
  free(f);
  return ok || missing;
}

static Buffer *external_file(Ox *o, const OnnxFile__Tensor *t) {
  const char *where = entry(t, "location");
  if (!where || !location_ok(where)) {
    data_error(o, t, "external data: expected a location inside the model's "
               "folder, found '%s'", where ? where : "");
    return NULL;
  }
  Buffer *b = map_get(&o->external, where);
  if (b)
    return b;
  const char *dir = path_dir(o->a, o->path);
  const char *file = path_join(o->a, dir, where);
  if (!location_inside(dir, file)) {
    data_error(o, t, "external data: '%s' leads out of the model's folder",
               where);
    return NULL;
  }
  b = buffer_map(o->d, file);
  if (b) {
    map_put(o->a, &o->external, arena_strdup(o->a, where), b);
    if (o->o && o->o->on_file)
      o->o->on_file(o->o->on_file_ctx, file);
  }
  return b;
}

static bool count_read(Ox *o, const OnnxFile__Tensor *t, const char *key,
                       uint64_t def, uint64_t *out) {
  const char *s = entry(t, key);
  char *end;
  *out = def;
  if (!s)
    return true;
  *out = strtoull(s, &end, 10);
  return (*s >= '0' && *s <= '9' && !*end) ||
         data_error(o, t, "external data: %s: expected a number, found '%s'",
                    key, s);
}

/* The bytes of the elements, `size` of them. */
static Buffer *external_bytes(Ox *o, const OnnxFile__Tensor *t, size_t size) {
  Buffer *b = external_file(o, t);
  uint64_t at, n;
  if (!b || !count_read(o, t, "offset", 0, &at) ||
      !count_read(o, t, "length", size, &n))
    return NULL;
  if (n != size) {
    data_error(o, t, "external data: its shape takes %zu bytes, its length "
               "is %llu", size, (unsigned long long)n);
    return NULL;
  }
  if (at > b->size || size > b->size - at) {
    data_error(o, t, "external data: %zu bytes from byte %llu on lie outside "
               "the file '%s' of %zu", size, (unsigned long long)at,
               entry(t, "location"), b->size);
    return NULL;
  }
  return buffer_slice(b, (size_t)at, size);
}

static Buffer *raw_bytes(Ox *o, const OnnxFile__Tensor *t, size_t size) {
  if (t->data_size != size) {
    data_error(o, t, "its shape takes %zu bytes, its data have %llu", size,
               (unsigned long long)t->data_size);
    return NULL;
  }
  return buffer_slice(o->buf, (size_t)t->data_at, size);
}

/* ---- values --------------------------------------------------------- */

/* Element i of a field of numbers. */
static double field_number(const OnnxFile__Tensor *t, size_t i) {
  if (t->n_float_data)
    return t->float_data[i];
  return t->double_data[i];
}

static int64_t field_int(const OnnxFile__Tensor *t, size_t i) {
  if (t->n_int32_data)
    return t->int32_data[i];
  if (t->n_uint64_data)
    return (int64_t)t->uint64_data[i];
  return t->int64_data[i];
}

static size_t field_count(const OnnxFile__Tensor *t) {
  return t->n_float_data + t->n_double_data + t->n_int32_data +
         t->n_int64_data + t->n_uint64_data;
}

static size_t fields_used(const OnnxFile__Tensor *t) {
  return (size_t)!!t->n_float_data + (size_t)!!t->n_double_data +
         (size_t)!!t->n_int32_data + (size_t)!!t->n_int64_data +
         (size_t)!!t->n_uint64_data + (size_t)t->has_data_at;
}

/* Whether the values lie in the field that goes with the type. */
static bool field_fits(const OnnxFile__Tensor *t) {
  switch (t->data_type) {
  case OX_FLOAT: return !field_count(t) || t->n_float_data;
  case OX_DOUBLE: return !field_count(t) || t->n_double_data;
  case OX_INT64: return !field_count(t) || t->n_int64_data;
  case OX_UINT32: case OX_UINT64: return !field_count(t) || t->n_uint64_data;
  default: return !field_count(t) || t->n_int32_data;
  }
}

/* From a field of numbers: 16-bit floats are bit patterns there. */
static Buffer *field_values(const OnnxFile__Tensor *t, const Type *to) {
  size_t n = field_count(t);
  Elem raw = (Elem)types[t->data_type].raw;
  Buffer *b = buffer_new(checked_mul(n, elem_size(to->elem)));
  for (size_t i = 0; i < n; i++) {
    uint64_t bits = 0;
    if (raw == F16 || raw == BF16) {
      elem_store_int(U16, &bits, 0, field_int(t, i));
      elem_store(to->elem, b->data, i, elem_load(raw, &bits, 0));
    } else if (elem_is_float(to->elem)) {
      elem_store(to->elem, b->data, i, field_number(t, i));
    } else {
      elem_store_int(raw, &bits, 0, field_int(t, i));
      elem_store_int(to->elem, b->data, i, elem_load_int(raw, &bits, 0));
    }
  }
  return b;
}

/* Four bits each, the lower half of a byte first. */
static int64_t nibble(Elem e, const uint8_t *p, size_t i) {
  int v = p[i / 2] >> (i % 2 * 4) & 15;
  return e == I4 && v > 7 ? v - 16 : v;
}

static Buffer *raw_widen(Elem raw, const uint8_t *p, size_t n, Elem to) {
  Buffer *b = buffer_new(checked_mul(n, elem_size(to)));
  for (size_t i = 0; i < n; i++)
    if (elem_is_float(to))
      elem_store(to, b->data, i, elem_load(raw, p, i));
    else if (elem_bits(raw) < 8)
      elem_store_int(to, b->data, i, nibble(raw, p, i));
    else
      elem_store_int(to, b->data, i, elem_load_int(raw, p, i));
  return b;
}

/* In place where memory allows: most files' values lie at odd addresses, and
 * weights, which are not read here, may stay there. */
static Buffer *raw_values(const OnnxFile__Tensor *t, Buffer *raw,
                          const Type *to, size_t n) {
  Elem kind = (Elem)types[t->data_type].raw;
  bool same = kind == to->elem && kind != B1;
  bool aligned = (uintptr_t)raw->data % elem_size(kind) == 0;
  if (same && (aligned || (kind == F32 && n > OX_FOLD_MOST)))
    return raw;
  Buffer *b = same ? buffer_new(raw->size)
                   : raw_widen(kind, raw->data, n, to->elem);
  if (same && raw->size)
    memcpy(b->data, raw->data, raw->size);
  buffer_unref(raw);
  return b;
}

static bool type_is_packed(int type) {
  return elem_bits((Elem)types[type].raw) < 8;
}

static size_t raw_size(const OnnxFile__Tensor *t, size_t n) {
  Elem raw = (Elem)types[t->data_type].raw;
  return type_is_packed(t->data_type) ? n / 2 + n % 2 : n * elem_size(raw);
}

/* From a field of numbers: each is a byte, two values. */
static Buffer *field_packed(Ox *o, const OnnxFile__Tensor *t, const Type *to,
                            size_t n) {
  size_t count = field_count(t);
  uint8_t *p = arena_array(o->a, uint8_t, count + 1);
  for (size_t i = 0; i < count; i++) {
    int64_t v = field_int(t, i);
    if (v < 0 || v > 255) {
      data_error(o, t, "byte %zu of its values: expected 0 to 255, found %lld",
                 i, (long long)v);
      return NULL;
    }
    p[i] = (uint8_t)v;
  }
  return raw_widen((Elem)types[t->data_type].raw, p, n, to->elem);
}

static Buffer *values_read(Ox *o, const OnnxFile__Tensor *t, const Type *to,
                           size_t n) {
  if (fields_used(t) > 1) {
    data_error(o, t, "expected its values in one field, found several");
    return NULL;
  }
  if (t->data_location == 1 || t->has_data_at) {
    Buffer *raw = t->data_location == 1 ? external_bytes(o, t, raw_size(t, n))
                                        : raw_bytes(o, t, raw_size(t, n));
    return raw ? raw_values(t, raw, to, n) : NULL;
  }
  if (!field_fits(t)) {
    data_error(o, t, "values of type %s in a field of another type",
               ox_type_name(t->data_type));
    return NULL;
  }
  bool packed = type_is_packed(t->data_type);
  size_t want = packed ? raw_size(t, n) : n;
  if (field_count(t) != want) {
    data_error(o, t, "expected %zu %s, found %zu", want,
               packed ? "bytes of two values" : "values", field_count(t));
    return NULL;
  }
  if (packed)
    return field_packed(o, t, to, n);
  return field_values(t, to);
}

static Buffer *tensor_values(Ox *o, const OnnxFile__Tensor *t, Type *type) {
  int held = ox_held(t->data_type);
  if (held < 0) {
    diag_error_at(o->d, EXIT_UNSUPPORTED, o->path, "onnx: tensor '%s' is of "
                  "type %s, which is not supported", t->name ? t->name : "",
                  ox_type_name(t->data_type));
    return NULL;
  }
  return dims_read(o, t, t->dims, t->n_dims, (Elem)held, type)
           ? values_read(o, t, type, (size_t)type_elems(type)) : NULL;
}

/* The node of values that were read; else they were reported. */
static Node *node_of(Ox *o, const Type *type, Buffer *b, const char *name) {
  o->said |= b == NULL;
  return b ? ox_held_node(o, type, b, name) : NULL;
}

Node *ox_tensor(Ox *o, const OnnxFile__Tensor *t, const char *name) {
  Type type;
  Buffer *b = tensor_values(o, t, &type);
  return node_of(o, &type, b, name);
}

/* ---- sparse initialisers: coordinates and values -------------------- */

/* Where value i lies in the dense tensor; -1: its index is out of range. */
static int64_t sparse_place(const Type *t, const int64_t *index, bool flat,
                            size_t i) {
  if (flat)
    return index[i] >= 0 && index[i] < type_elems(t) ? index[i] : -1;
  int64_t at = 0;
  for (int k = 0; k < t->rank; k++) {
    int64_t v = index[i * (size_t)t->rank + (size_t)k];
    if (v < 0 || v >= t->dim[k])
      return -1;
    at = at * t->dim[k] + v;
  }
  return at;
}

static Buffer *sparse_dense(Ox *o, const OnnxFile__SparseTensor *s,
                            const Type *t, const Buffer *values, size_t n,
                            const Buffer *index, bool flat) {
  size_t size = elem_size(t->elem);
  Buffer *b = buffer_new(checked_mul((size_t)type_elems(t), size));
  for (size_t i = 0; i < n; i++) {
    int64_t at = sparse_place(t, (const int64_t *)(const void *)index->data,
                              flat, i);
    if (at < 0) {
      data_error(o, s->values, "the index of value %zu is out of range", i);
      buffer_unref(b);
      return NULL;
    }
    memcpy(b->data + (size_t)at * size, values->data + i * size, size);
  }
  return b;
}

static Buffer *sparse_values(Ox *o, const OnnxFile__SparseTensor *s,
                             Type *type) {
  const OnnxFile__Tensor *v = s->values, *x = s->indices;
  Type vt, xt;
  if (!v || !x || ox_held(v->data_type) < 0 || x->data_type != OX_INT64 ||
      v->n_dims != 1 || x->n_dims < 1 || x->n_dims > 2) {
    diag_error_at(o->d, EXIT_FILE, o->path, "onnx: a sparse tensor: expected "
                  "values [n] and indices int64 [n] or [n,rank]");
    return NULL;
  }
  Elem e = (Elem)ox_held(v->data_type);
  if (!dims_read(o, v, s->dims, s->n_dims, e, type) ||
      !dims_read(o, v, v->dims, 1, e, &vt) ||
      !dims_read(o, x, x->dims, x->n_dims, I64, &xt))
    return NULL;
  bool flat = x->n_dims == 1;
  if (x->dims[0] != v->dims[0] ||
      (!flat && x->dims[1] != (int64_t)s->n_dims) || type->rank == 0) {
    data_error(o, v, "sparse: the shapes of values, indices and dims differ");
    return NULL;
  }
  int64_t n = type_elems(type);   /* most of them are zeros, soon made */
  if (!ox_room(o, n < 0 ? n : n / 4))
    return NULL;
  Buffer *values = values_read(o, v, &vt, (size_t)type_elems(&vt));
  Buffer *index = values ? values_read(o, x, &xt, (size_t)type_elems(&xt))
                         : NULL;
  Buffer *b = index ? sparse_dense(o, s, type, values,
                                   (size_t)type_elems(&vt), index, flat)
                    : NULL;
  buffer_unref(values);
  buffer_unref(index);
  return b;
}

Node *ox_sparse_tensor(Ox *o, const OnnxFile__SparseTensor *s,
                       const char *name) {
  Type type;
  Buffer *b = sparse_values(o, s, &type);
  return node_of(o, &type, b, name);
}
