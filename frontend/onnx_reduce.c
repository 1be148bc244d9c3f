/* onnx_reduce.c - operators of an ONNX file that fold axes, and
 * determinants. */
#include "frontend/onnx.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- axes ----------------------------------------------------------- */

/* The axes as they stand in the file, an operand's or an attribute's; 0: all
 * or none; -1: they are not known, which was said. */
static int axes_given(Ox *o, const int64_t **v) {
  Node *n = ox_opt(o, 1);
  if (n && ox_elems(n) == 0)
    return 0;
  if (n)
    return ox_const_ints(o, 1, "axes", v);
  int count = ox_has_in(o, 1) ? -1 : ox_ints(o, "axes", v);
  return count < 0 && !ox_has_in(o, 1) && !o->said ? 0 : count;
}

/* Those that are folded, none negative, each once. */
static int axes_folded(Ox *o, const Node *x, int64_t axes[MAX_RANK]) {
  const int64_t *v = NULL;
  int n = axes_given(o, &v), k;
  unsigned seen = 0;
  if (n == 0 && !ox_int(o, "noop_with_empty_axes", 0)) {
    for (; n < x->type.rank; n++)
      axes[n] = n;
    return n;
  }
  for (int i = 0; i < n; i++) {
    if (!ox_axis(o, v[i], x->type.rank, &k))
      return -1;
    if (seen >> k & 1) {
      ox_malformed(o, "axis %d is named twice", k);
      return -1;
    }
    seen |= 1u << k;
    axes[i] = k;
  }
  return n;
}

/* ---- folds ---------------------------------------------------------- */

typedef struct Fold {
  Ox *o;
  int type;
  int n;
  int64_t axes[MAX_RANK];
  int64_t count;         /* of elements that become one */
  bool keep;
} Fold;

static Node *fold(const Fold *f, Op op, Node *x) {
  return f->n ? ox_reduce(f->o, op, x, f->axes, f->n, f->keep) : x;
}

/* The least of a narrow type is not that of what holds it, which is what the
 * IR makes of no elements. */
static Node *extreme(const Fold *f, Op op, Node *x) {
  int bits = ox_bits(f->type);
  bool sign = !ox_unsigned(f->type);
  Node *y = fold(f, op, ox_ordered(f->o, x, f->type));
  y = ox_ordered(f->o, y, f->type);
  if (!y || f->count || !bits || bits == elem_bits(y->type.elem))
    return y;
  double most = ldexp(1, bits - sign) - 1;
  return op == OP_MAX ? ox_with(f->o, OP_MAXIMUM, y, sign ? -most - 1 : 0)
                      : ox_with(f->o, OP_MINIMUM, y, most);
}

static Node *mean(const Fold *f, Node *x) {
  if (x->type.elem == F32)
    return fold(f, OP_MEAN, x);
  if (f->count == 0) {
    ox_refuse(f->o, "no elements of type %s", ox_type_name(f->type));
    return NULL;
  }
  Node *count = ox_scalar_int(f->o, x->type.elem, f->count);
  return ox_quotient(f->o, fold(f, OP_SUM, x), count, f->type);
}

/* log(sum(exp(x - m))) + m, m being the greatest, or the nearest finite
 * number. */
static Node *log_sum_exp(const Fold *f, Node *x) {
  Ox *o = f->o;
  if (f->n == 0)
    return x;
  Node *m = ox_reduce(o, OP_MAX, x, f->axes, f->n, true);
  m = ox_clipped(o, m, -(double)FLT_MAX, FLT_MAX);
  Node *y = ox_op1(o, OP_EXP, ox_op2(o, OP_SUB, x, m));
  y = ox_reduce(o, OP_SUM, y, f->axes, f->n, true);
  y = ox_op2(o, OP_ADD, ox_op1(o, OP_LOG, y), m);
  for (int i = 0, gone = 0; i < x->type.rank && !f->keep; i++)
    for (int k = 0; k < f->n; k++)
      if (f->axes[k] == i)
        y = ox_squeeze(o, y, i - gone++);
  return y;
}

/* Of integers, the root is that of a float. */
static Node *length(const Fold *f, Node *x) {
  Node *y = fold(f, OP_SUM, ox_op1(f->o, OP_SQUARE, x));
  return ox_cast(f->o, ox_op1(f->o, OP_SQRT, ox_cast(f->o, y, F32)),
                 x->type.elem);
}

static Node *folded(const Fold *f, const char *what, Node *x) {
  if (!strcmp(what, "Sum"))
    return fold(f, OP_SUM, x);
  if (!strcmp(what, "Mean"))
    return mean(f, x);
  if (!strcmp(what, "Prod"))
    return fold(f, OP_PROD, x);
  if (!strcmp(what, "L1"))
    return fold(f, OP_SUM, ox_unsigned(f->type) ? x
                                                : ox_op1(f->o, OP_ABS, x));
  if (!strcmp(what, "L2"))
    return length(f, x);
  if (!strcmp(what, "SumSquare"))
    return fold(f, OP_SUM, ox_op1(f->o, OP_SQUARE, x));
  if (!strcmp(what, "LogSum"))
    return ox_op1(f->o, OP_LOG, fold(f, OP_SUM, x));
  return log_sum_exp(f, x);
}

bool ox_write_reduce(Ox *o) {
  const char *what = o->node->op_type + strlen("Reduce");
  Fold f = {.o = o, .type = ox_in_type(o, 0), .count = 1};
  Node *x = ox_in(o, 0);
  f.keep = ox_int(o, "keepdims", 1);
  f.n = x ? axes_folded(o, x, f.axes) : -1;
  if (f.n < 0)
    return false;
  for (int i = 0; i < f.n; i++)
    f.count *= x->type.dim[f.axes[i]];
  if (!strcmp(what, "Max") || !strcmp(what, "Min"))
    return ox_give_as(o, 0, extreme(&f, *what == 'M' && what[1] == 'a'
                                          ? OP_MAX : OP_MIN, x), f.type);
  if (!strncmp(what, "Log", 3) && x->type.elem != F32)
    return ox_refuse(o, "an operand of type %s", ox_type_name(f.type));
  x = ox_number(o, 0);
  Node *y = x ? folded(&f, what, x) : NULL;
  return ox_give_number(o, ox_wrap(o, y, f.type));
}

/* ---- determinants --------------------------------------------------- */

enum { DET_MOST = 6 };

static bool next_order(int *p, int n) {
  int i = n - 2, k = n - 1;
  while (i >= 0 && p[i] > p[i + 1])
    i--;
  if (i < 0)
    return false;
  while (p[k] < p[i])
    k--;
  int t = p[i];
  p[i] = p[k], p[k] = t;
  for (int a = i + 1, b = n - 1; a < b; a++, b--)
    t = p[a], p[a] = p[b], p[b] = t;
  return true;
}

static int sign_of(const int *p, int n) {
  int sign = 1;
  for (int i = 0; i < n; i++)
    for (int k = i + 1; k < n; k++)
      if (p[k] < p[i])
        sign = -sign;
  return sign;
}

/* The sum over all orders p of their signs times x[0,p[0]] x[1,p[1]] ...
 * (Leibniz), the elements looked up by one gather. */
static Node *det(Ox *o, Node *x, int n) {
  int p[DET_MOST], rank = x->type.rank - 2, terms = 1, axis = rank + 1;
  for (int i = 0; i < n; i++)
    p[i] = i, terms *= i + 1;
  int64_t dim[MAX_RANK], all[1] = {(int64_t)terms * n};
  int32_t *at = arena_array(o->a, int32_t, (size_t)all[0] + 1);
  float *sign = arena_array(o->a, float, (size_t)terms);
  for (int t = 0; t < terms; t++, next_order(p, n)) {
    sign[t] = (float)sign_of(p, n);
    for (int i = 0; i < n; i++)
      at[t * n + i] = i * n + p[i];
  }
  memcpy(dim, x->type.dim, sizeof dim);
  dim[rank] = (int64_t)n * n;
  x = ox_reshape(o, x, rank + 1, dim);
  Type index = type_make(I32, 2, (int64_t[]){terms, n});
  Type signs = type_make(F32, 1, (int64_t[]){terms});
  Node *y = ox_gather(o, x, ox_constant(o, &index, at), rank);
  y = ox_reduce(o, OP_PROD, y, (int64_t[]){axis}, 1, false);
  y = ox_op2(o, OP_MUL, y, ox_constant(o, &signs, sign));
  return ox_reduce(o, OP_SUM, y, (int64_t[]){rank}, 1, false);
}

bool ox_write_det(Ox *o) {
  Node *x = ox_in(o, 0);
  if (!x)
    return false;
  int rank = x->type.rank;
  if (rank < 2 || x->type.dim[rank - 1] != x->type.dim[rank - 2])
    return ox_malformed(o, "expected square matrices");
  int64_t n = x->type.dim[rank - 1];
  if (n > DET_MOST)
    return ox_refuse(o, "matrices of %lld rows, at most %d are supported",
                     (long long)n, DET_MOST);
  if (n == 0)
    return ox_give(o, 0, ox_filled(o, F32, rank - 2, x->type.dim, 1));
  return ox_give(o, 0, det(o, x, (int)n));
}
