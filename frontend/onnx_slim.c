/* onnx_slim.c - the messages of an ONNX file without the bytes of its
 * tensors.  protobuf-c copies every field; so that a file of gigabytes is not
 * held twice, the wire format is gone through once before, and each tensor's
 * raw_data (or long float_data) becomes two numbers that say where it lies. */
#include "frontend/onnx.h"
#include "frontend/onnx_out.h"

#include <string.h>

/* ---- the messages that lead to tensors ------------------------------ */

typedef enum {
  M_LEAF, M_MODEL, M_GRAPH, M_NODE, M_ATTRIBUTE, M_TENSOR, M_SPARSE,
  M_FUNCTION, M_OPSET, M_ENTRY, M_VALUE, M_TYPE, M_TENSOR_TYPE, M_SHAPE, M_DIM
} Kind;

static const struct { Kind in; uint32_t field; Kind kind; } inner[] = {
  {M_MODEL, 7, M_GRAPH}, {M_MODEL, 25, M_FUNCTION},
  {M_GRAPH, 1, M_NODE}, {M_GRAPH, 5, M_TENSOR}, {M_GRAPH, 15, M_SPARSE},
  {M_FUNCTION, 7, M_NODE}, {M_FUNCTION, 11, M_ATTRIBUTE},
  {M_NODE, 5, M_ATTRIBUTE},
  {M_ATTRIBUTE, 5, M_TENSOR}, {M_ATTRIBUTE, 6, M_GRAPH},
  {M_ATTRIBUTE, 10, M_TENSOR}, {M_ATTRIBUTE, 11, M_GRAPH},
  {M_ATTRIBUTE, 22, M_SPARSE},
  {M_SPARSE, 1, M_TENSOR}, {M_SPARSE, 2, M_TENSOR},
  {M_MODEL, 8, M_OPSET}, {M_FUNCTION, 9, M_OPSET}, {M_TENSOR, 13, M_ENTRY},
  {M_GRAPH, 11, M_VALUE}, {M_GRAPH, 12, M_VALUE}, {M_GRAPH, 13, M_VALUE},
  {M_VALUE, 2, M_TYPE}, {M_TYPE, 1, M_TENSOR_TYPE},
  {M_TENSOR_TYPE, 2, M_SHAPE}, {M_SHAPE, 1, M_DIM},
};

/* Fields that are text, which ends at no zero byte. */
static const struct { Kind in; uint32_t field; } texts[] = {
  {M_MODEL, 2}, {M_GRAPH, 2},
  {M_NODE, 1}, {M_NODE, 2}, {M_NODE, 3}, {M_NODE, 4}, {M_NODE, 7},
  {M_NODE, 8}, {M_ATTRIBUTE, 1}, {M_ATTRIBUTE, 21}, {M_TENSOR, 8},
  {M_FUNCTION, 1}, {M_FUNCTION, 4}, {M_FUNCTION, 5}, {M_FUNCTION, 6},
  {M_FUNCTION, 10}, {M_FUNCTION, 13}, {M_OPSET, 1}, {M_ENTRY, 1},
  {M_ENTRY, 2}, {M_VALUE, 1}, {M_DIM, 2},
};

static bool is_text(Kind in, uint32_t field) {
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (texts[i].in == in && texts[i].field == field)
      return true;
  return false;
}

static Kind inner_kind(Kind in, uint32_t field) {
  for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
    if (inner[i].in == in && inner[i].field == field)
      return inner[i].kind;
  return M_LEAF;
}

/* ---- the wire format ------------------------------------------------ */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { FIELD_FLOATS = 4, FIELD_RAW = 9, FIELD_AT = 1000, FIELD_SIZE = 1001 };
/* Packed floats that are left where they are. */
enum { FLOATS_LEFT = 4096 };

typedef struct Slim {
  const uint8_t *p;
  size_t n;
  const char *bad;       /* what is wrong, NULL: nothing so far */
  size_t at;             /* at which byte */
} Slim;

static bool slim_bad(Slim *s, size_t at, const char *what) {
  if (!s->bad) {
    s->bad = what;
    s->at = at;
  }
  return false;
}

static bool varint_read(Slim *s, size_t *at, size_t end, uint64_t *v) {
  *v = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (*at >= end)
      return slim_bad(s, *at, "a number that its message ends in");
    uint8_t b = s->p[(*at)++];
    if (shift < 64)
      *v |= (uint64_t)(b & 127) << shift;
    if (b < 128)
      return true;
  }
  return slim_bad(s, *at, "a number of more than ten bytes");
}

/* One field from its key on; [from, *at) is all of it, [body, *at) its
 * value. */
typedef struct Field {
  uint32_t number, wire;
  size_t from, body;
} Field;

static bool field_read(Slim *s, size_t *at, size_t end, Field *f) {
  uint64_t v;
  f->from = *at;
  if (!varint_read(s, at, end, &v))
    return false;
  f->wire = v & 7;
  if (v >> 3 == 0 || v >> 3 > (1u << 29) - 1)
    return slim_bad(s, f->from, "a field number out of range");
  f->number = (uint32_t)(v >> 3);
  f->body = *at;
  switch (f->wire) {
  case WIRE_VARINT:
    return varint_read(s, at, end, &v);
  case WIRE_64:
    v = 8;
    break;
  case WIRE_32:
    v = 4;
    break;
  case WIRE_BYTES:
    if (!varint_read(s, at, end, &v))
      return false;
    f->body = *at;
    break;
  default:
    return slim_bad(s, f->from, "a field of an unknown wire type");
  }
  if (v > end - *at)
    return slim_bad(s, f->from, "a field longer than its message");
  *at += v;
  return true;
}

/* ---- messages ------------------------------------------------------- */

static bool message_copy(Slim *s, Kind kind, size_t at, size_t end, int depth,
                         Text *out);

static bool is_data(Kind kind, const Field *f, size_t bytes) {
  return kind == M_TENSOR && f->wire == WIRE_BYTES &&
         (f->number == FIELD_RAW ||
          (f->number == FIELD_FLOATS && bytes > FLOATS_LEFT));
}

static bool field_copy(Slim *s, Kind kind, const Field *f, size_t end,
                       int depth, Text *out) {
  Kind k = f->wire == WIRE_BYTES ? inner_kind(kind, f->number) : M_LEAF;
  if (kind == M_TENSOR && (f->number == FIELD_AT || f->number == FIELD_SIZE))
    return true;      /* no file has a say in these */
  if (is_data(kind, f, end - f->body)) {
    put_int(out, FIELD_AT, (int64_t)f->body);
    put_int(out, FIELD_SIZE, (int64_t)(end - f->body));
    return true;
  }
  if (k == M_LEAF && f->wire == WIRE_BYTES && is_text(kind, f->number)) {
    const uint8_t *zero = memchr(s->p + f->body, 0, end - f->body);
    if (zero)
      return slim_bad(s, (size_t)(zero - s->p), "a zero byte in a text");
  }
  if (k == M_LEAF) {
    text_write(out, s->p + f->from, end - f->from);
    return true;
  }
  Text t = {0};
  bool ok = message_copy(s, k, f->body, end, depth + 1, &t);
  if (ok)
    put_message(out, (int)f->number, &t);
  else
    text_free(&t);
  return ok;
}

static bool message_copy(Slim *s, Kind kind, size_t at, size_t end, int depth,
                         Text *out) {
  if (depth > 4 * OX_DEPTH_MOST)
    return slim_bad(s, at, "graphs too deep inside one another");
  while (at < end) {
    Field f;
    if (!field_read(s, &at, end, &f) ||
        !field_copy(s, kind, &f, at, depth, out))
      return false;
  }
  return true;
}

/* ---- unpacking ------------------------------------------------------ */

static void *arena_of_unpack(void *a, size_t n) {
  return arena_alloc(a, n ? n : 1);
}

static void arena_keeps(void *a, void *p) {
  (void)a, (void)p;
}

OnnxFile__Model *onnx_unpack(Arena *a, Diags *d, const char *path,
                             const Buffer *buf) {
  Slim s = {.p = buf->data, .n = buf->size};
  Text t = {0};
  ProtobufCAllocator from = {arena_of_unpack, arena_keeps, a};
  OnnxFile__Model *m = NULL;
  if (!message_copy(&s, M_MODEL, 0, buf->size, 0, &t))
    diag_error_at(d, EXIT_FILE, path, "onnx: byte %zu: expected a field of "
                  "a protobuf message, found %s", s.at, s.bad);
  else if (!(m = onnx_file__model__unpack(&from, t.n, (uint8_t *)t.s)))
    diag_error_at(d, EXIT_FILE, path, "onnx: expected a model of onnx.proto, "
                  "found a message with other fields");
  text_free(&t);
  return m;
}
