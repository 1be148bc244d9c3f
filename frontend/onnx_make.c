/* onnx_make.c - operators that make values of next to nothing: constants,
 * ranges, masks. */
#include "frontend/onnx_move.h"

#include <math.h>
#include <string.h>

/* ---- Constant, ConstantOfShape --------------------------------------- */

static Node *floats_node(Ox *o, const double *v, int n) {
  float *f = arena_array(o->a, float, (size_t)n + 1);
  for (int i = 0; i < n; i++)
    f[i] = (float)v[i];
  Type t = type_make(F32, 1, (int64_t[]){n});
  return ox_constant(o, &t, f);
}

static bool give_tensor(Ox *o, const OnnxFile__Tensor *t) {
  Node *n = ox_tensor(o, t, o->node->output[0]);
  return ox_give_as(o, 0, n, t->data_type);
}

bool ox_write_constant(Ox *o) {
  const OnnxFile__Attribute *a = ox_attr(o, "sparse_value");
  const OnnxFile__Tensor *t = ox_tensor_attr(o, "value");
  const int64_t *ints;
  const double *floats;
  int n;
  if (!ox_wants(o, 0))
    return true;
  if (t)
    return give_tensor(o, t);
  if (ox_has(o, "value_float"))
    return ox_give(o, 0, ox_scalar(o, F32, ox_float(o, "value_float", 0)));
  if (ox_has(o, "value_int"))
    return ox_give(o, 0, ox_scalar_int(o, I64, ox_int(o, "value_int", 0)));
  if ((n = ox_floats(o, "value_floats", &floats)) >= 0)
    return ox_give(o, 0, floats_node(o, floats, n));
  if ((n = ox_ints(o, "value_ints", &ints)) >= 0)
    return ox_give(o, 0, ox_list(o, I64, ints, n));
  if (ox_has(o, "value_string") || ox_has(o, "value_strings"))
    return ox_refuse(o, "strings");
  if (!a || !a->sparse_tensor || !a->sparse_tensor->values)
    return ox_malformed(o, "expected a value");
  Node *x = ox_sparse_tensor(o, a->sparse_tensor, o->node->output[0]);
  return ox_give_as(o, 0, x, a->sparse_tensor->values->data_type);
}

/* A float 0 where no value is given. */
bool ox_write_constant_of_shape(Ox *o) {
  const int64_t *dim;
  const OnnxFile__Tensor *t = ox_tensor_attr(o, "value");
  int n = ox_const_ints(o, 0, "shape", &dim);
  if (n < 0 || !ox_rank_fits(o, n))
    return false;
  if (!t)
    return ox_give_as(o, 0, ox_filled(o, F32, n, dim, 0), OX_FLOAT);
  Node *v = ox_tensor(o, t, o->node->output[0]);
  if (v && ox_elems(v) != 1)
    return ox_malformed(o, "a value of %lld elements, expected 1",
                        (long long)ox_elems(v));
  v = ox_expand(o, ox_reshape(o, v, 0, NULL), n, dim);
  return ox_give_as(o, 0, v, t->data_type);
}

/* ---- Range ----------------------------------------------------------- */

/* How many steps lead from start to before the limit; at most INT64_MAX. */
static int64_t steps_ints(int64_t start, int64_t limit, int64_t by) {
  bool down = by < 0;
  if (down ? limit >= start : limit <= start)
    return 0;
  uint64_t far = down ? (uint64_t)start - (uint64_t)limit
                      : (uint64_t)limit - (uint64_t)start;
  uint64_t each = down ? -(uint64_t)by : (uint64_t)by;
  uint64_t n = (far - 1) / each;
  return n < INT64_MAX ? (int64_t)n + 1 : INT64_MAX;
}

static int64_t steps_floats(double start, double limit, double by) {
  double n = ceil((limit - start) / by);
  return !(n > 0) ? 0 : n < 0x1p62 ? (int64_t)n : INT64_MAX;
}

static const Tensor *range_bound(Ox *o, int i, Elem e) {
  static const char *const what[] = {"start", "limit", "delta"};
  Node *n = ox_in(o, i);
  const Tensor *t = n ? ox_values(o, n) : NULL;
  if (n && !t)
    ox_refuse(o, "%s ('%s') must be a constant; an input that determines a "
              "shape is fixed with --const NAME=FILE.npy", what[i],
              o->node->input[i]);
  else if (t && (ox_elems(n) != 1 || n->type.elem != e)) {
    ox_malformed(o, "%s: expected one number of type %s", what[i],
                 elem_name(e));
    return NULL;
  }
  return t;
}

bool ox_write_range(Ox *o) {
  const Tensor *t[3];
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  Elem e = x->type.elem;
  for (int i = 0; i < 3; i++)
    if (!(t[i] = range_bound(o, i, e)))
      return false;
  bool real = elem_is_float(e);
  if (e != F32 && e != I32 && e != I64)
    return ox_malformed(o, "a range of type %s", elem_name(e));
  if (real ? t[2]->v[0] == 0 : t[2]->i[0] == 0)
    return ox_malformed(o, "a delta of 0");
  int64_t n = real ? steps_floats(t[0]->v[0], t[1]->v[0], t[2]->v[0])
                   : steps_ints(t[0]->i[0], t[1]->i[0], t[2]->i[0]);
  if (n > INT32_MAX)
    return ox_refuse(o, "a range of more than 2^31 - 1 elements");
  Node *y = ox_ruler(o, e, 1, 0, n);
  if (real ? t[2]->v[0] != 1 : t[2]->i[0] != 1)
    y = ox_op2(o, OP_MUL, y, ox_reshape(o, ox_in(o, 2), 0, NULL));
  if (real ? t[0]->v[0] != 0 : t[0]->i[0] != 0)
    y = ox_op2(o, OP_ADD, y, ox_reshape(o, x, 0, NULL));
  return ox_give(o, 0, y);
}

/* ---- EyeLike, Trilu -------------------------------------------------- */

/* Column minus row less k, [m,n], compared with 0; k is a number or a node
 * of no axes. */
static Node *diagonal(Ox *o, Op op, int64_t m, int64_t n, Node *k) {
  Node *row = ox_ruler(o, I32, 2, 0, m), *column = ox_ruler(o, I32, 2, 1, n);
  return ox_op2(o, op, column, ox_plus(o, row, k));
}

/* A diagonal outside is as far outside as any. */
static Node *diagonal_number(Ox *o, int64_t k, int64_t m, int64_t n) {
  return ox_scalar_int(o, I32, k < -m ? -m : k > n ? n : k);
}

/* Sums of rows and diagonals have room in an i32. */
static bool diagonal_fits(Ox *o, int64_t m, int64_t n) {
  return (m <= MAX_WINDOW && n <= MAX_WINDOW) ||
         ox_refuse(o, "a matrix of %lld rows and %lld columns", (long long)m,
                   (long long)n);
}

bool ox_write_eye_like(Ox *o) {
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  int64_t dtype = ox_int(o, "dtype", ox_in_type(o, 0));
  const int64_t *d = x->type.dim;
  if (x->type.rank != 2)
    return ox_malformed(o, "a value of rank %d, expected 2", x->type.rank);
  if (dtype < 0 || dtype > INT32_MAX || ox_held((int)dtype) < 0)
    return ox_refuse(o, "values of type %s", ox_type_name((int)dtype));
  if (!diagonal_fits(o, d[0], d[1]))
    return false;
  Node *k = diagonal_number(o, ox_int(o, "k", 0), d[0], d[1]);
  Node *y = ox_cast(o, diagonal(o, OP_EQUAL, d[0], d[1], k),
                    (Elem)ox_held((int)dtype));
  return ox_give_as(o, 0, y, (int)dtype);
}

/* k that is computed, within -m..n. */
static Node *diagonal_computed(Ox *o, Node *k, int64_t m, int64_t n) {
  k = ox_reshape(o, ox_cast(o, k, I64), 0, NULL);
  k = ox_op2(o, OP_MAXIMUM, k, ox_scalar_int(o, I64, -m));
  k = ox_op2(o, OP_MINIMUM, k, ox_scalar_int(o, I64, n));
  return ox_cast(o, k, I32);
}

bool ox_write_trilu(Ox *o) {
  Node *x = ox_in(o, 0), *k = ox_opt(o, 1);
  bool upper = ox_int(o, "upper", 1) != 0;
  if (!x || (ox_has_in(o, 1) && !k))
    return false;
  int rank = x->type.rank;
  if (rank < 2 || (k && (ox_elems(k) != 1 || elem_is_float(k->type.elem))))
    return ox_malformed(o, "a value of rank %d with %lld diagonals", rank,
                        k ? (long long)ox_elems(k) : 1);
  int64_t m = x->type.dim[rank - 2], n = x->type.dim[rank - 1];
  if (!diagonal_fits(o, m, n))
    return false;
  k = k ? diagonal_computed(o, k, m, n) : ox_scalar_int(o, I32, 0);
  Node *in = diagonal(o, upper ? OP_GREATER_EQUAL : OP_LESS_EQUAL, m, n, k);
  return ox_give(o, 0, ox_op3(o, OP_WHERE, in, x,
                              ox_scalar(o, x->type.elem, 0)));
}
