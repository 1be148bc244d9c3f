/* onnx_const.c - constants of an ONNX graph: what is known of values, new
 * ones, and nodes that are folded as they come. */
#include "frontend/onnx.h"

#include <string.h>

/* ---- constants ------------------------------------------------------ */

int64_t ox_elems(const Node *x) { return type_elems(&x->type); }

static bool is_constant(const Node *n) {
  return n->op == OP_CONST ||
         (n->op == OP_PARAM && n->param->data && n->type.elem != I8);
}

bool ox_known(const Node *n) {
  if (!n || !is_constant(n))
    return false;
  int64_t count = ox_elems(n);
  return count >= 0 && count <= OX_FOLD_MOST;
}

static const Tensor *values_of(Arena *a, const Node *n) {
  Tensor *t = arena_new_of(a, Tensor);
  *t = tensor_new(a, &n->type);
  if (n->op == OP_PARAM)
    tensor_read(t, n->param->data->data);
  else if (elem_is_float(n->type.elem))
    t->v[0] = n->value;
  else
    t->i[0] = n->ivalue;
  return t;
}

const Tensor *ox_values(Ox *o, const Node *n) {
  return ox_known(n) ? values_of(o->a, n) : NULL;
}

static const Tensor *const_operand(Ox *o, int i, const char *what) {
  Node *n = ox_in(o, i);
  if (!n)
    return NULL;
  const Tensor *t = ox_values(o, n);
  if (!t && !o->said)
    ox_refuse(o, "%s ('%s') must be a constant; an input that determines a "
              "shape is fixed with --const NAME=FILE.npy", what,
              o->node->input[i]);
  return t;
}

int ox_const_ints(Ox *o, int i, const char *what, const int64_t **v) {
  const Tensor *t = const_operand(o, i, what);
  if (!t)
    return -1;
  if (elem_is_float(t->type.elem)) {
    ox_malformed(o, "%s: expected integers, found floats", what);
    return -1;
  }
  *v = t->i;
  return (int)type_elems(&t->type);
}

bool ox_const_int(Ox *o, int i, const char *what, int64_t *v) {
  const int64_t *at;
  int n = ox_const_ints(o, i, what, &at);
  if (n < 0)
    return false;
  if (n != 1)
    return ox_malformed(o, "%s: expected one integer, found %d", what, n);
  *v = at[0];
  return true;
}

bool ox_const_float(Ox *o, int i, const char *what, double *v) {
  const Tensor *t = const_operand(o, i, what);
  if (!t)
    return false;
  if (type_elems(&t->type) != 1)
    return ox_malformed(o, "%s: expected one number, found %lld", what,
                        (long long)type_elems(&t->type));
  *v = elem_is_float(t->type.elem) ? t->v[0] : (double)t->i[0];
  return true;
}

/* 16 million, and one for each two bytes of the file. */
bool ox_room(Ox *o, int64_t n) {
  int64_t most = ((int64_t)16 << 20) + (int64_t)(o->buf->size / 2);
  if (n >= 0 && n <= most - o->made) {
    o->made += n;
    return true;
  }
  return ox_refuse(o, "it makes too large constants");
}

Node *ox_held_node(Ox *o, const Type *t, Buffer *b, const char *name) {
  Type plain = type_make(t->elem, t->rank, t->dim);
  /* A literal has no other floats than f32. */
  if (t->rank || (elem_is_float(t->elem) && t->elem != F32))
    return func_param(o->m, o->f, module_add_param(o->m, ox_path(o, name),
                                                   plain, b));
  Node *n = elem_is_float(t->elem)
              ? func_const(o->m, o->f, elem_load(t->elem, b->data, 0))
              : func_const_int(o->m, o->f, t->elem,
                               elem_load_int(t->elem, b->data, 0));
  buffer_unref(b);
  return n;
}

static Node *constant_of(Ox *o, const Type *t, Buffer *b) {
  return ox_held_node(o, t, b, o->node->n_output ? o->node->output[0] : "c");
}

Node *ox_constant(Ox *o, const Type *t, const void *data) {
  size_t n = (size_t)type_elems(t) * elem_size(t->elem);
  Buffer *b = buffer_new(n);
  if (n)
    memcpy(b->data, data, n);
  return constant_of(o, t, b);
}

Node *ox_scalar_int(Ox *o, Elem e, int64_t v) {
  uint8_t at[8];
  if (elem_is_float(e))
    return func_const(o->m, o->f, (double)v);
  elem_store_int(e, at, 0, v);
  if (elem_load_int(e, at, 0) == v)
    return func_const_int(o->m, o->f, e, v);
  ox_refuse(o, "%lld, which %s does not hold", (long long)v, elem_name(e));
  return NULL;
}

Node *ox_scalar(Ox *o, Elem e, double v) {
  uint8_t at[8];
  if (elem_is_float(e))
    return func_const(o->m, o->f, v);
  elem_store(e, at, 0, v);
  return func_const_int(o->m, o->f, e, elem_load_int(e, at, 0));
}

Node *ox_list(Ox *o, Elem e, const int64_t *v, int n) {
  Type t = type_make(e, 1, (int64_t[]){n});
  Buffer *b = buffer_new((size_t)n * elem_size(e));
  for (int i = 0; i < n; i++)
    elem_store_int(e, b->data, (size_t)i, v[i]);
  return constant_of(o, &t, b);
}

Node *ox_filled(Ox *o, Elem e, int rank, const int64_t *dim, double v) {
  Node *x = ox_scalar(o, e, v);
  return rank ? ox_expand(o, x, rank, dim) : x;
}

/* ---- folding -------------------------------------------------------- */

static bool foldable(const Node *n) {
  int64_t count = ox_elems(n);
  if (n->op == OP_CALL || n->op == OP_SCAN || n->op == OP_ITEM ||
      n->op == OP_RANDOM || count < 0 || count > OX_FOLD_MOST)
    return false;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && !ox_known(n->in[i]))
      return false;
  return true;
}

Node *ox_folded(Ox *o, const Node *n) {
  if (!foldable(n))
    return NULL;
  Arena *a = arena_new();
  const Tensor **in = arena_array(a, const Tensor *, (size_t)n->nin + 1);
  EvalOpts round = {.round = true};
  for (int i = 0; i < n->nin; i++)
    in[i] = n->in[i] ? values_of(a, n->in[i]) : NULL;
  Tensor out = tensor_new(a, &n->type);
  node_eval(o->m, n, in, &out, &round);
  Buffer *b = buffer_new((size_t)ox_elems(n) * elem_size(n->type.elem));
  tensor_write(&out, b->data);
  arena_free(a);
  return constant_of(o, &n->type, b);
}
