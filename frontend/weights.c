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

Buffer *weights_round(const WeightTensor *t, Elem e) {
  size_t n = t->data->size / elem_size(t->type.elem);
  Buffer *b = buffer_new(checked_mul(n, elem_size(e)));
  for (size_t i = 0; i < n; i++)
    elem_store(e, b->data, i, elem_load(t->type.elem, t->data->data, i));
  return b;
}

Buffer *weights_to_f32(const WeightTensor *t) {
  size_t n = t->data->size / elem_size(t->type.elem);
  Buffer *b;

  if (t->type.elem == F32 && (uintptr_t)t->data->data % sizeof(float) == 0)
    return buffer_ref(t->data);
  b = buffer_new(checked_mul(n, sizeof(float)));
  elems_widen(t->type.elem, t->data->data, n, (float *)(void *)b->data);
  buffer_forget(t->data);
  return b;
}
