/* tflite_data.c - values of constants: dense, or floats in the format's
 * sparse encodings, whatever DENSIFY and DEQUANTIZE stand between them and
 * their use. */
#include "frontend/tflite.h"

#include <string.h>

enum {
  CODE_DEQUANTIZE = 6, CODE_DENSIFY = 124,
  MAX_CHAIN = 4,             /* ops between a constant and its use */
  MAX_LEVELS = 2 * MAX_RANK  /* dimensions and blocks */
};

static bool is_float(const TfTensor *x) {
  return x->type == TF_FLOAT32 || x->type == TF_FLOAT16;
}

const TfTensor *tf_const(const Tf *t, const TfTensor *x) {
  for (int i = 0; x && i <= MAX_CHAIN; i++) {
    if (x->data)
      return tf_elem(x) >= 0 && (is_float(x) || !x->sparsity.pos) ? x : NULL;
    if (x->producer < 0 || (size_t)x->producer >= t->ops.n)
      return NULL;
    const TfOp *o = &t->ops.at[x->producer];
    if ((o->code != CODE_DEQUANTIZE && o->code != CODE_DENSIFY) ||
        o->nin != 1 || o->in[0] < 0)
      return NULL;
    const TfTensor *from = &t->tensors.at[o->in[0]];
    if (from->rank != x->rank || tf_elem(from) != tf_elem(x) ||
        memcmp(from->dim, x->dim, sizeof x->dim) != 0)
      return NULL;
    x = from;
  }
  return NULL;
}

/* ---- numbers -------------------------------------------------------- */

static size_t number_size(const TfTensor *x) {
  return x->type == TF_FLOAT16 ? 2 : elem_size((Elem)tf_elem(x));
}

/* The first n numbers of the data; the caller has checked that they are
 * there. */
static void numbers_read(const TfTensor *x, size_t n, uint8_t *out) {
  if (!n)
    return;
  if (x->type == TF_FLOAT16)
    elems_widen(F16, x->data, n, (float *)(void *)out);
  else
    memcpy(out, x->data, n * number_size(x));
  for (size_t i = 0; i < n && x->type == TF_BOOL; i++)
    out[i] = out[i] != 0;
}

bool tf_data_fits(Tf *t, const TfTensor *x) {
  if (!x->data || x->sparsity.pos || tf_elem(x) < 0)
    return true;
  size_t size = (size_t)tf_elems(x) * number_size(x);
  return x->size >= size ||
         tf_error(t, "tensor '%s': expected %zu bytes of data, found %zu",
                  x->name, size, x->size);
}

/* What needs no conversion stays where it lies in the file. */
static Buffer *dense_values(Tf *t, const TfTensor *x) {
  size_t n = (size_t)tf_elems(x), size = n * number_size(x);
  if (x->type != TF_FLOAT16 && x->type != TF_BOOL && !x->folded)
    return buffer_slice(t->buf, (size_t)(x->data - t->buf->data), size);
  Buffer *b = buffer_new(n * elem_size((Elem)tf_elem(x)));
  numbers_read(x, n, b->data);
  return b;
}

/* ---- sparse encodings ----------------------------------------------- */

/* One level of the traversal: which axis it walks along, and the index of
 * an element of a block is what the levels of its axis make together. */
typedef struct Level {
  int axis;
  bool inner, sparse;
  int64_t size;            /* of the axis, in blocks; of the block */
  FlatVec segments, indices;
} Level;
typedef struct Walk {
  Tf *t;
  const TfTensor *x;
  int n;
  Level level[MAX_LEVELS];
  int64_t block[MAX_RANK];   /* 1: not blocked */
  int64_t at[MAX_RANK];      /* index of the element reached */
  const float *from;
  size_t nfrom;
  float *to;
} Walk;

static bool walk_error(Walk *w, const char *what) {
  return tf_error(w->t, "tensor '%s': sparse: %s", w->x->name, what);
}

/* An index vector is a table of int32, uint16 or uint8. */
static FlatVec index_vec(FlatTable tab, int kind_field) {
  static const int bytes[] = {0, 4, 2, 1};
  uint64_t kind = flat_uint(tab, kind_field, 1, 0);
  if (kind < 1 || kind > 3)
    return (FlatVec){.f = tab.f};
  return flat_vec(flat_table(tab, kind_field + 1), 0, bytes[kind]);
}

/* The traversal order names each axis once, then each block once. */
static bool order_read(Walk *w, FlatVec order, FlatVec map) {
  const TfTensor *x = w->x;
  bool seen[MAX_LEVELS] = {false}, blocked[MAX_RANK] = {false};
  w->n = x->rank + (int)map.n;
  if (map.n > (size_t)x->rank || order.n != (size_t)w->n)
    return walk_error(w, "expected one level an axis and block");
  for (int i = 0; i < w->n; i++) {
    int64_t k = flat_vec_int(order, (size_t)i);
    if (k < 0 || k >= w->n || seen[k])
      return walk_error(w, "the traversal order is no order of the levels");
    seen[k] = true;
    w->level[i].inner = k >= x->rank;
    int64_t axis = k;
    if (k >= x->rank)
      axis = flat_vec_int(map, (size_t)(k - x->rank));
    if (axis < 0 || axis >= x->rank ||
        (w->level[i].inner && blocked[axis]))
      return walk_error(w, "the block map names no axis");
    blocked[axis] |= w->level[i].inner;
    w->level[i].axis = (int)axis;
  }
  return true;
}

static bool level_read(Walk *w, Level *l, FlatTable meta) {
  l->sparse = flat_uint(meta, 0, 1, 0) != 0;
  l->size = flat_int(meta, 1, 4, 0);
  if (flat_uint(meta, 0, 1, 0) > 1)
    return walk_error(w, "a dimension is neither dense nor CSR");
  if (!l->sparse && l->size < 0)
    return walk_error(w, "a dense dimension has a negative size");
  if (!l->sparse)
    return true;
  l->segments = index_vec(meta, 2);
  l->indices = index_vec(meta, 4);
  if (l->segments.n < 1)
    return walk_error(w, "a CSR dimension has no segments");
  return true;
}

/* Sizes of blocks; outer levels count blocks. */
static bool levels_fit(Walk *w) {
  const TfTensor *x = w->x;
  for (int i = 0; i < x->rank; i++)
    w->block[i] = 1;
  for (int i = 0; i < w->n; i++) {
    Level *l = &w->level[i];
    if (!l->inner)
      continue;
    if (l->sparse || l->size < 1 || x->dim[l->axis] % l->size)
      return walk_error(w, "a block does not divide its axis");
    w->block[l->axis] = l->size;
  }
  for (int i = 0; i < w->n; i++) {
    Level *l = &w->level[i];
    if (l->inner)
      continue;
    int64_t size = x->dim[l->axis] / w->block[l->axis];
    if (!l->sparse && l->size != size)
      return walk_error(w, "a dense dimension differs from the shape");
    l->size = size;
  }
  return true;
}

static bool walk_leaf(Walk *w, uint64_t pos) {
  int64_t to = 0;
  if (pos >= w->nfrom)
    return walk_error(w, "more indices than values");
  for (int i = 0; i < w->x->rank; i++)
    to = to * w->x->dim[i] + w->at[i];
  w->to[to] = w->from[pos];
  return true;
}

/* `pos` numbers the places of the levels before. */
static bool walk_level(Walk *w, int i, uint64_t pos) {
  if (i == w->n)
    return walk_leaf(w, pos);
  const Level *l = &w->level[i];
  uint64_t first = pos * (uint64_t)l->size, last = first + (uint64_t)l->size;
  if (l->sparse) {
    if (pos + 1 >= l->segments.n)
      return walk_error(w, "a segment is missing");
    first = flat_vec_uint(l->segments, pos);
    last = flat_vec_uint(l->segments, pos + 1);
    if (first > last || last > l->indices.n)
      return walk_error(w, "a segment lies outside of the indices");
  }
  int64_t step = l->inner ? 1 : w->block[l->axis];
  int64_t base = w->at[l->axis], before = -1;
  for (uint64_t k = first; k < last; k++) {
    int64_t index = l->sparse ? (int64_t)flat_vec_uint(l->indices, k)
                              : (int64_t)(k - first);
    if (index <= before || index >= l->size)
      return walk_error(w, "indices do not ascend within the dimension");
    before = index;
    w->at[l->axis] = base + index * step;
    if (!walk_level(w, i + 1, k))
      return false;
  }
  w->at[l->axis] = base;
  return true;
}

static bool walk_setup(Walk *w) {
  const TfTensor *x = w->x;
  FlatVec meta = flat_vec(x->sparsity, 2, 4);
  if (!order_read(w, flat_vec(x->sparsity, 0, 4),
                  flat_vec(x->sparsity, 1, 4)))
    return false;
  if (meta.n != (size_t)w->n)
    return walk_error(w, "expected metadata of each level");
  for (int i = 0; i < w->n; i++)
    if (!level_read(w, &w->level[i], flat_vec_table(meta, (size_t)i)))
      return false;
  if (w->t->flat.bad)
    return walk_error(w, w->t->flat.bad);
  return levels_fit(w);
}

static Buffer *sparse_values(Tf *t, const TfTensor *x) {
  Walk w = {.t = t, .x = x, .nfrom = x->size / number_size(x)};
  int64_t n = tf_elems(x);
  if (!tf_room(t, n)) {
    walk_error(&w, "its shape is too large for the file");
    return NULL;
  }
  if (!walk_setup(&w))
    return NULL;
  Buffer *from = buffer_new(w.nfrom * sizeof *w.from);
  Buffer *to = buffer_new((size_t)n * sizeof *w.to);
  numbers_read(x, w.nfrom, from->data);
  w.from = (const float *)(void *)from->data;
  w.to = (float *)(void *)to->data;
  bool ok = n == 0 || walk_level(&w, 0, 0);
  buffer_unref(from);
  if (ok)
    return to;
  buffer_unref(to);
  return NULL;
}

bool tf_room(Tf *t, int64_t n) {
  int64_t most = ((int64_t)t->flat.n << 8) + ((int64_t)1 << 24);
  if (n > most - t->made)
    return false;
  t->made += n;
  return true;
}

Buffer *tf_values(Tf *t, const TfTensor *x) {
  return x->sparsity.pos ? sparse_values(t, x) : dense_values(t, x);
}

/* ---- lists and numbers that ops want to know ------------------------ */

static bool ints_refuse(Tf *t, int i, const char *what, const TfTensor *x,
                        int min, int max) {
  const char *to_max = min == max ? "" : arena_printf(t->a, " to %d", max);
  if (!x)
    return tf_refuse(t, "operand %d, the %s, is absent", i, what);
  if (x->type != TF_INT32 && x->type != TF_INT64)
    return tf_refuse(t, "operand %d, the %s, is of type %s", i, what,
                     tf_type_name(x->type));
  if (!tf_const(t, x))
    return tf_refuse(t, "operand %d, the %s, is computed", i, what);
  return tf_malformed(t, "operand %d, the %s, has %lld elements, expected "
                      "%d%s", i, what, (long long)tf_elems(x), min, to_max);
}

int tf_ints(Tf *t, int i, const char *what, int64_t *out, int min, int max) {
  const TfTensor *x = tf_in(t, i), *c = tf_const(t, x);
  int64_t n = c ? tf_elems(c) : -1;
  if (n < min || n > max || (c->type != TF_INT32 && c->type != TF_INT64)) {
    ints_refuse(t, i, what, x, min, max);
    return -1;
  }
  for (int64_t k = 0; k < n; k++)
    out[k] = elem_load_int((Elem)tf_elem(c), c->data, (size_t)k);
  return (int)n;
}

/* x as one dense element that is there; or NULL. */
static const TfTensor *single(Tf *t, const TfTensor *x) {
  const TfTensor *c = tf_const(t, x);
  return c && tf_elems(c) == 1 && !c->sparsity.pos ? c : NULL;
}

bool tf_integer(Tf *t, const TfTensor *x, int64_t *out) {
  const TfTensor *c = single(t, x);
  if (!c || is_float(c))
    return false;
  uint8_t v[8];
  numbers_read(c, 1, v);
  *out = elem_load_int((Elem)tf_elem(c), v, 0);
  return true;
}

bool tf_number(Tf *t, const TfTensor *x, double *out) {
  const TfTensor *c = single(t, x);
  int64_t i;
  if (tf_integer(t, x, &i)) {
    *out = (double)i;
    return i >= -((int64_t)1 << 53) && i <= (int64_t)1 << 53;
  }
  if (!c)
    return false;
  float v;
  numbers_read(c, 1, (uint8_t *)&v);
  *out = v;
  return true;
}

void tf_fold(TfTensor *x, const void *data, size_t size) {
  x->data = data;
  x->size = size;
  x->folded = true;
}

/* ---- params --------------------------------------------------------- */

static void permuted(const TfParam *p, const uint8_t *from, uint8_t *to) {
  int64_t stride[MAX_RANK], at[MAX_RANK] = {0};
  int rank = p->view.rank;
  int64_t n = type_elems(&p->type);
  size_t size = elem_size(p->type.elem);
  strides_dense(&p->view, stride);
  for (int64_t i = 0; i < n; i++) {
    int64_t src = 0;
    for (int k = 0; k < rank; k++)
      src += at[k] * stride[p->order[k]];
    memcpy(to + (size_t)i * size, from + (size_t)src * size, size);
    for (int k = rank - 1; k >= 0; k--) {
      if (++at[k] < p->view.dim[p->order[k]])
        break;
      at[k] = 0;
    }
  }
}

static bool order_moves(const TfParam *p) {
  for (int i = 0; i < p->view.rank; i++)
    if (p->order[i] != i)
      return true;
  return false;
}

Buffer *tf_param_data(Tf *t, const TfParam *p) {
  Buffer *v = tf_values(t, p->src);
  if (!v || !order_moves(p))
    return v;
  Buffer *b = buffer_new(v->size);
  permuted(p, v->data, b->data);
  buffer_unref(v);
  return b;
}
