/* tflite_model.c - the tables of a TensorFlow Lite file: tensors, operators
 * and the graph's inputs and outputs, all references checked. */
#include "frontend/tflite.h"

#include <string.h>

enum { MAX_TENSORS = 1 << 20, MAX_ARGS = 4096 };

bool tf_error(Tf *t, const char *fmt, ...) {
  Text s = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&s, fmt, ap);
  va_end(ap);
  diag_error_at(t->d, EXIT_FILE, t->path, "tflite: %s", s.s);
  text_free(&s);
  return false;
}

static bool flat_ok(Tf *t) {
  return !t->flat.bad ||
         tf_error(t, "byte %zu: %s", t->flat.at, t->flat.bad);
}

static const char *const op_names_of[] = {
#define TFOP(code, name, writer, types) [code] = #name,
#define TFNO(code, name) [code] = #name,
#include "frontend/tflite.def"
#undef TFOP
#undef TFNO
};

const char *tf_op_name(const TfOp *o) {
  enum { N = sizeof op_names_of / sizeof *op_names_of };
  if (o->custom && *o->custom)
    return o->custom;
  if (o->code >= 0 && o->code < N && op_names_of[o->code])
    return op_names_of[o->code];
  return NULL;
}

/* ---- tensors -------------------------------------------------------- */

static bool tensor_shape(Tf *t, TfTensor *x, FlatTable tab) {
  FlatVec v = flat_vec(tab, 0, 4);
  if (v.n > MAX_RANK)
    return tf_error(t, "tensor '%s': expected a rank of at most %d, found "
                    "%zu", x->name, MAX_RANK, v.n);
  x->rank = (int)v.n;
  int64_t n = 1;
  for (int i = 0; i < x->rank; i++) {
    x->dim[i] = flat_vec_int(v, (size_t)i);
    int64_t d = x->dim[i] ? x->dim[i] : 1;   /* others stay bounded */
    if (d < 0 || __builtin_mul_overflow(n, d, &n) || n > (int64_t)1 << 40)
      return tf_error(t, "tensor '%s': dimension %d is %lld", x->name, i,
                      (long long)x->dim[i]);
  }
  return true;
}

/* Data of a file of over 2 GB lie behind the tables. */
static bool tensor_data(Tf *t, TfTensor *x, FlatVec buffers, uint64_t index) {
  if (index == 0)
    return true;
  if (index >= buffers.n)
    return tf_error(t, "tensor '%s': buffer %llu of %zu", x->name,
                    (unsigned long long)index, buffers.n);
  FlatTable b = flat_vec_table(buffers, (size_t)index);
  FlatVec v = flat_vec(b, 0, 1);
  uint64_t off = flat_uint(b, 1, 8, 0), size = flat_uint(b, 2, 8, 0);
  if (v.n) {
    x->data = t->flat.p + v.pos;
    x->size = v.n;
  } else if (off > 1) {
    if (off > t->flat.n || size > t->flat.n - off)
      return tf_error(t, "tensor '%s': its buffer lies outside of the file",
                      x->name);
    x->data = t->flat.p + off;
    x->size = (size_t)size;
  }
  return true;
}

static bool tensors_read(Tf *t, FlatTable graph, FlatVec buffers) {
  FlatVec v = flat_vec(graph, 0, 4);
  if (v.n > MAX_TENSORS)
    return tf_error(t, "%zu tensors are too many", v.n);
  for (size_t i = 0; i < v.n; i++) {
    FlatTable tab = flat_vec_table(v, i);
    TfTensor x = {.producer = -1};
    x.name = flat_string(t->a, tab, 3);
    x.type = (int)flat_int(tab, 1, 1, 0);
    x.sparsity = flat_table(tab, 6);
    x.quantised = flat_vec(flat_table(tab, 4), 2, 4).n > 0;
    x.variable = flat_bool(tab, 5);
    uint64_t buffer = flat_uint(tab, 2, 4, 0);
    if (!flat_ok(t) || !tensor_shape(t, &x, tab) ||
        !tensor_data(t, &x, buffers, buffer) || !flat_ok(t))
      return false;
    if (x.variable && x.data)
      return tf_error(t, "variable '%s' has data of its own", x.name);
    vec_push(t->a, &t->tensors, x);
  }
  return flat_ok(t);
}

/* ---- operators ------------------------------------------------------ */

/* Numbers of tensors; op -1: of the graph. */
static bool refs_read(Tf *t, FlatVec v, int op, bool optional,
                      const int **out, int *n) {
  const char *who = op < 0 ? "the graph"
                    : arena_printf(t->a, "operator %d", op);
  if (v.n > MAX_ARGS)
    return tf_error(t, "%s: expected at most %d tensors, found %zu", who,
                    MAX_ARGS, v.n);
  int *at = arena_array(t->a, int, v.n + 1);
  for (size_t i = 0; i < v.n; i++) {
    int64_t k = flat_vec_int(v, i);
    if (k >= (int64_t)t->tensors.n || k < (optional ? -1 : 0))
      return tf_error(t, "%s: expected a tensor below %zu, found %lld", who,
                      t->tensors.n, (long long)k);
    at[i] = (int)k;
  }
  *out = at;
  *n = (int)v.n;
  return flat_ok(t);
}

/* The code stands in one byte in old files. */
static bool op_code(Tf *t, TfOp *o, FlatVec codes, uint64_t index) {
  if (index >= codes.n)
    return tf_error(t, "operator code %llu of %zu",
                    (unsigned long long)index, codes.n);
  FlatTable c = flat_vec_table(codes, (size_t)index);
  int64_t old = flat_int(c, 0, 1, 0), now = flat_int(c, 3, 4, 0);
  o->code = (int)(now > old ? now : old);
  o->custom = flat_string(t->a, c, 1);
  o->version = (int)flat_int(c, 2, 4, 1);
  return flat_ok(t);
}

static bool op_read(Tf *t, FlatTable tab, FlatVec codes, int number) {
  TfOp o = {0};
  if (!op_code(t, &o, codes, flat_uint(tab, 0, 4, 0)) ||
      !refs_read(t, flat_vec(tab, 1, 4), number, true, &o.in, &o.nin) ||
      !refs_read(t, flat_vec(tab, 2, 4), number, false, &o.out, &o.nout))
    return false;
  o.options = flat_table(tab, 4);
  o.custom_options = flat_vec(tab, 5, 1);
  for (int i = 0; i < o.nin; i++) {
    const TfTensor *x = o.in[i] < 0 ? NULL : &t->tensors.at[o.in[i]];
    bool input = false;
    for (size_t k = 0; x && k < t->inputs.n; k++)
      input |= t->inputs.at[k] == o.in[i];
    if (x && !x->data && x->producer < 0 && !input && !x->variable &&
        x->rank && tf_elems(x) > 0)
      return tf_error(t, "operator %d reads tensor '%s', which nothing "
                      "before it gives", number, x->name);
  }
  for (int i = 0; i < o.nout; i++) {
    TfTensor *x = &t->tensors.at[o.out[i]];
    if (x->producer >= 0 || x->data || x->variable)
      return tf_error(t, "operator %d gives tensor '%s', which has a value "
                      "already", number, x->name);
    x->producer = number;
  }
  vec_push(t->a, &t->ops, o);
  return flat_ok(t);
}

static void copy_refs(Tf *t, const int *from, int n, bool in) {
  for (int i = 0; i < n; i++)
    if (in)
      vec_push(t->a, &t->inputs, from[i]);
    else
      vec_push(t->a, &t->outputs, from[i]);
}

/* What has no elements and nobody gives is a constant all the same. */
static void empty_fill(Tf *t) {
  for (size_t i = 0; i < t->tensors.n; i++) {
    TfTensor *x = &t->tensors.at[i];
    if (!x->data && x->producer < 0 && !x->variable && tf_elems(x) == 0)
      x->data = t->flat.p;
  }
  for (size_t i = 0; i < t->inputs.n; i++)
    if (!t->tensors.at[t->inputs.at[i]].size)
      t->tensors.at[t->inputs.at[i]].data = NULL;
}

static bool graph_read(Tf *t, FlatTable graph, FlatVec codes,
                       FlatVec buffers) {
  const int *refs;
  int n;
  if (!tensors_read(t, graph, buffers) ||
      !refs_read(t, flat_vec(graph, 1, 4), -1, false, &refs, &n))
    return false;
  copy_refs(t, refs, n, true);
  if (!refs_read(t, flat_vec(graph, 2, 4), -1, false, &refs, &n))
    return false;
  copy_refs(t, refs, n, false);
  FlatVec ops = flat_vec(graph, 3, 4);
  for (size_t i = 0; i < ops.n; i++)
    if (!op_read(t, flat_vec_table(ops, i), codes, (int)i))
      return false;
  if (!t->outputs.n)
    return tf_error(t, "the graph has no outputs");
  empty_fill(t);
  for (size_t i = 0; i < t->tensors.n; i++)
    if (!tf_data_fits(t, &t->tensors.at[i]))
      return false;
  return flat_ok(t);
}

bool tf_read(Tf *t) {
  FlatTable root = flat_root(&t->flat, "TFL3");
  if (!flat_ok(t))
    return false;
  uint64_t version = flat_uint(root, 0, 4, 0);
  if (version != 3)
    return tf_error(t, "expected version 3, found %llu",
                    (unsigned long long)version);
  FlatVec codes = flat_vec(root, 1, 4), graphs = flat_vec(root, 2, 4);
  FlatVec buffers = flat_vec(root, 4, 4);
  if (!flat_ok(t))
    return false;
  if (!graphs.n)
    return tf_error(t, "the file has no graph");
  return graph_read(t, flat_vec_table(graphs, 0), codes, buffers);
}
