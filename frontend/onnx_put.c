/* onnx_put.c - what an ONNX file is written of: fields of protobuf messages,
 * nodes, constants. */
#include "frontend/onnx_out.h"

#include <string.h>

/* ---- the wire format ------------------------------------------------ */

static void varint(Text *to, uint64_t v) {
  for (; v > 127; v >>= 7)
    text_putc(to, (char)(v | 128));
  text_putc(to, (char)v);
}

void put_key(Text *to, int field, uint64_t bytes) {
  varint(to, (uint64_t)field << 3 | 2);
  varint(to, bytes);
}

void put_int(Text *to, int field, int64_t v) {
  varint(to, (uint64_t)field << 3);
  varint(to, (uint64_t)v);
}

void put_float(Text *to, int field, float v) {
  varint(to, (uint64_t)field << 3 | 5);
  text_write(to, &v, sizeof v);
}

void put_bytes(Text *to, int field, const void *p, size_t n) {
  put_key(to, field, n);
  if (n)
    text_write(to, p, n);
}

void put_str(Text *to, int field, const char *s) {
  put_bytes(to, field, s, strlen(s));
}

void put_message(Text *to, int field, Text *t) {
  put_bytes(to, field, t->s, t->n);
  text_free(t);
}

int onnx_type(Elem e) {
  switch (e) {
  case F32: return 1;
  case U8: return 2;
  case U16: return 4;
  case U32: return 12;
  case U64: return 13;
  case I8: return 3;
  case I16: return 5;
  case I32: return 6;
  case I64: return 7;
  case B1: return 9;
  case F16: return 10;
  case F64: return 11;
  case BF16: return 16;
  default: return 0;
  }
}

/* The free dimension that an axis is itself, by the name of the file that it
 * comes from, or NULL. */
static const char *dim_name(const Type *t, int axis) {
  const FreeDims *f = t->free ? t->free->of : NULL;
  for (int i = 0; f && i < f->n; i++) {
    bool is = axis_is_free(t, axis);
    for (int k = 0; k < f->nsamples && is; k++)
      is = t->free->dim[k][axis] == f->sample[k][i];
    if (is)
      return f->dim[i].given ? f->dim[i].given : f->dim[i].name;
  }
  return NULL;
}

/* ValueInfo: name 1, type 2 {tensor_type 1 {elem_type 1, shape 2 {dim 1
 * {dim_value 1, dim_param 2}}}}. */
void put_value(Text *to, int field, const char *name, const Type *t) {
  Text v = {0}, type = {0}, tensor = {0}, shape = {0};
  for (int i = 0; i < t->rank; i++) {
    Text dim = {0};
    const char *free = dim_name(t, i);
    if (free)
      put_str(&dim, 2, free);
    else
      put_int(&dim, 1, t->dim[i]);
    put_message(&shape, 1, &dim);
  }
  put_int(&tensor, 1, onnx_type(t->elem));
  put_message(&tensor, 2, &shape);
  put_message(&type, 1, &tensor);
  put_str(&v, 1, name);
  put_message(&v, 2, &type);
  put_message(to, field, &v);
}

/* ---- attributes ----------------------------------------------------- */

enum { A_FLOAT = 1, A_INT = 2, A_STRING = 3, A_GRAPH = 5, A_INTS = 7 };

static void attr_put(Out *w, const char *name, Text *value, int type) {
  Text a = {0};
  put_str(&a, 1, name);
  text_write(&a, value->n ? value->s : "", value->n);
  put_int(&a, 20, type);
  text_free(value);
  put_message(&w->attrs, 5, &a);
}

void out_int(Out *w, const char *name, int64_t v) {
  Text t = {0};
  put_int(&t, 3, v);
  attr_put(w, name, &t, A_INT);
}

void out_float(Out *w, const char *name, double v) {
  Text t = {0};
  put_float(&t, 2, (float)v);
  attr_put(w, name, &t, A_FLOAT);
}

void out_str(Out *w, const char *name, const char *s) {
  Text t = {0};
  put_str(&t, 4, s);
  attr_put(w, name, &t, A_STRING);
}

void out_ints(Out *w, const char *name, const int64_t *v, int n) {
  Text t = {0};
  for (int i = 0; i < n; i++)
    put_int(&t, 8, v[i]);
  attr_put(w, name, &t, A_INTS);
}

void out_graph(Out *w, const char *name, Text *graph) {
  Text t = {0};
  put_message(&t, 6, graph);
  attr_put(w, name, &t, A_GRAPH);
}

/* ---- nodes ---------------------------------------------------------- */

const char *out_temp(Out *w) {
  return arena_printf(w->a, "%s/%u",
                      w->node && w->node->path ? w->node->path : "value",
                      w->temps++);
}

/* What the node was called in the file it comes from, else its layer. */
static const char *node_label(const Out *w, const char *to) {
  const Node *n = w->node;
  if (n && n->nfrom == 1 && n->from[0].node && *n->from[0].node)
    return n->from[0].node;
  return n && n->path ? n->path : to;
}

const char *out_node(Out *w, const char *const *to, int nto, const char *op,
                     const char *const *in, int nin) {
  Text n = {0};
  for (int i = 0; i < nin; i++)
    put_str(&n, 1, in[i]);
  for (int i = 0; i < nto; i++)
    put_str(&n, 2, to[i]);
  put_str(&n, 3, arena_printf(w->a, "%s/%s.%u", node_label(w, to[0]), op,
                              w->temps++));
  put_str(&n, 4, op);
  if (w->attrs.n)
    text_write(&n, w->attrs.s, w->attrs.n);
  w->attrs.n = 0;
  put_message(&w->g->nodes, 1, &n);
  return to[0];
}

const char *out_op(Out *w, const char *to, const char *op, ...) {
  const char *in[8], *s;
  int n = 0;
  va_list ap;
  va_start(ap, op);
  while (n < 8 && (s = va_arg(ap, const char *)))
    in[n++] = s;
  va_end(ap);
  if (!to)
    to = out_temp(w);
  return out_node(w, &to, 1, op, in, n);
}

/* ---- constants ------------------------------------------------------ */

/* TensorProto: dims 1, data_type 2, name 8, raw_data 9.  Those of a body stand
 * in its own graph. */
static const char *constant(Out *w, Elem e, int rank, int64_t dim,
                            const void *data, size_t bytes) {
  Text key = {0}, t = {0};
  text_printf(&key, "%u %d %d:", w->g->id, e, rank);
  for (size_t i = 0; i < bytes; i++)
    text_printf(&key, "%02x", ((const uint8_t *)data)[i]);
  const char *name = map_get(&w->known, key.s);
  if (!name) {
    name = arena_printf(w->a, "const/%u", w->temps++);
    map_put(w->a, &w->known, arena_strdup(w->a, key.s), (void *)name);
    if (rank)
      put_int(&t, 1, dim);
    put_int(&t, 2, onnx_type(e));
    put_str(&t, 8, name);
    put_bytes(&t, 9, data, bytes);
    put_message(&w->g->tensors, 5, &t);
  }
  text_free(&key);
  return name;
}

const char *out_list(Out *w, const int64_t *v, int n) {
  return constant(w, I64, 1, n, v, (size_t)n * sizeof *v);
}

const char *out_scalar(Out *w, Elem e, double v) {
  uint8_t at[8] = {0};
  elem_store(e, at, 0, v);
  return constant(w, e, 0, 0, at, elem_size(e));
}

const char *out_scalar_int(Out *w, Elem e, int64_t v) {
  uint8_t at[8] = {0};
  elem_store_int(e, at, 0, v);
  return constant(w, e, 0, 0, at, elem_size(e));
}
