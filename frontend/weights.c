/* weights.c - weight files of any kind: told apart by content, looked up
 * by name, widened to f32. */
#include "frontend/weights.h"

#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weight files are read in place: little-endian hosts only"
#endif

WeightFile *weight_file_new(Arena *a, const char *path) {
  WeightFile *w = arena_new_of(a, WeightFile);

  w->path = arena_strdup(a, path);
  return w;
}

bool weight_bytes(const Type *t, size_t *bytes) {
  size_t n = elem_size(t->elem);
  bool empty = false;

  for (int i = 0; i < t->rank; i++) {
    if (t->dim[i] == 0)
      empty = true;
    else if (__builtin_mul_overflow(n, (uint64_t)t->dim[i], &n))
      return false;
  }
  /* Counts and sizes are int64_t elsewhere. */
  if (n > INT64_MAX)
    return false;
  *bytes = empty ? 0 : n;
  return true;
}

const char *weight_type_name(Arena *a, const Type *t) {
  const char *s = arena_printf(a, "%s[", elem_name(t->elem));

  for (int i = 0; i < t->rank; i++)
    s = arena_printf(a, "%s%s%lld", s, i ? "," : "",
                     (long long)t->dim[i]);
  return arena_printf(a, "%s]", s);
}

bool weight_file_add(Arena *a, Diags *d, WeightFile *w, const char *where,
                     const char *name, Type t, Buffer *buf, size_t offset) {
  WeightTensor wt = {.name = arena_strdup(a, name), .type = t};
  size_t size;

  if (!weight_bytes(&t, &size))
    return diag_error_at(d, EXIT_FILE, where, "dimensions overflow");
  /* A b1 is 0 or 1 in memory, and compiled code counts on it. */
  for (size_t i = 0; t.elem == B1 && i < size; i++)
    if (buf->data[offset + i] > 1)
      return diag_error_at(d, EXIT_FILE, where,
                           "element %zu: expected a boolean 0 or 1, found "
                           "%d", i, buf->data[offset + i]);
  wt.data = buffer_slice(buf, offset, size);
  vec_push(a, &w->tensors, wt);
  return true;
}

void weights_close(WeightFile *w) {
  if (!w)
    return;
  for (size_t i = 0; i < w->tensors.n; i++)
    buffer_unref(w->tensors.at[i].data);
  w->tensors.n = 0;
}

const WeightTensor *weights_find(const WeightFile *w, const char *name) {
  for (size_t i = 0; i < w->tensors.n; i++)
    if (strcmp(w->tensors.at[i].name, name) == 0)
      return &w->tensors.at[i];
  return NULL;
}

static bool starts_with(const Buffer *b, const char *magic, size_t n) {
  return b->size >= n && memcmp(b->data, magic, n) == 0;
}

WeightFile *weights_read(Arena *a, Diags *d, const char *path) {
  Buffer *buf = buffer_map(d, path);
  WeightFile *w;

  if (!buf)
    return NULL;
  if (starts_with(buf, "\x93NUMPY", 6))
    w = npy_parse(a, d, path, buf);
  else if (starts_with(buf, "PK\3\4", 4) || starts_with(buf, "PK\5\6", 4))
    w = npz_parse(a, d, path, buf);
  else if (buf->size >= 8 && memcmp(buf->data + 4, "TFL3", 4) == 0)
    w = tflite_parse(a, d, path, buf);
  else
    w = safetensors_parse(a, d, path, buf);
  buffer_unref(buf);   /* the tensors keep it */
  return w;
}

/* ---- widening ------------------------------------------------------- */

static float f32_of_bits(uint32_t bits) {
  float f;

  memcpy(&f, &bits, sizeof f);
  return f;
}

/* Every f16 is an f32: sign, exponent and mantissa are moved; a subnormal
 * is its mantissa times 2^-24. */
static float widen_f16(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16;
  uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;

  if (exponent == 0) {
    float f = (float)mantissa * 0x1p-24f;

    return sign ? -f : f;
  }
  exponent = exponent == 31 ? 255 : exponent + 112;
  return f32_of_bits(sign | exponent << 23 | mantissa << 13);
}

static float widen_bf16(uint16_t h) {
  return f32_of_bits((uint32_t)h << 16);
}

/* One loop a type; memcpy because the data of a file may be unaligned. */
#define WIDEN(T, expr)                               \
  for (size_t i = 0; i < n; i++) {                   \
    T v;                                             \
    memcpy(&v, p + i * sizeof v, sizeof v);          \
    out[i] = (expr);                                 \
  }                                                  \
  break

static void widen(Elem elem, const uint8_t *p, size_t n, float *out) {
  switch (elem) {
  case F64: WIDEN(double, (float)v);
  case F32: WIDEN(float, v);
  case F16: WIDEN(uint16_t, widen_f16(v));
  case BF16: WIDEN(uint16_t, widen_bf16(v));
  case I64: WIDEN(int64_t, (float)v);
  case I32: WIDEN(int32_t, (float)v);
  case I16: WIDEN(int16_t, (float)v);
  case I8: case I4: WIDEN(int8_t, (float)v);
  case U8: case U4: case B1: WIDEN(uint8_t, (float)v);
  default: unreachable();
  }
}

Buffer *weights_to_f32(const WeightTensor *t) {
  size_t n = t->data->size / elem_size(t->type.elem);
  Buffer *b;

  if (t->type.elem == F32 && (uintptr_t)t->data->data % sizeof(float) == 0)
    return buffer_ref(t->data);
  b = buffer_new(checked_mul(n, sizeof(float)));
  widen(t->type.elem, t->data->data, n, (float *)(void *)b->data);
  return b;
}
