/* along.c - axes along which results are computed one by one, and what kernels
 * do about those that are free. */
#include <string.h>

#include "ir/ir.h"

int node_axis(const Node *n, int rank) {
  int64_t axis = attr_int(n, "axis");
  return (int)(axis < 0 ? axis + rank : axis);
}

/* Dimensions broadcast: those of the last axes belong together. */
static int broadcast_along(const Node *n, int axis, int k) {
  const Type *x = &n->in[k]->type;
  int i = axis - (n->type.rank - x->rank);
  if (i < 0 || (x->dim[i] == 1 && !axis_is_free(x, i))) return ALONG_NONE;
  return i;
}

static int gather_along(const Node *n, int axis, int k) {
  int at = node_axis(n, n->in[0]->type.rank), wide = n->in[1]->type.rank;
  bool looked = axis >= at && axis < at + wide;
  if (k == 1) return looked ? axis - at : ALONG_NONE;
  return looked ? ALONG_NONE : axis < at ? axis : axis - wide + 1;
}

/* The axis of x that a reduction leaves as axis of the result. */
static int reduce_along(const Node *n, int axis, const bool *gone) {
  int rank = n->in[0]->type.rank, at = 0;
  if (n->type.rank == rank) return gone[axis] ? ALONG_NONE : axis;
  for (int i = 0; i < rank; i++)
    if (!gone[i] && at++ == axis) return i;
  unreachable();
}

int node_along(const Node *n, int axis, int k) {
  bool gone[MAX_RANK] = {false};
  const OpInfo *info = op_info(n->op);
  if (info->flags & (FLAG_UNARY | FLAG_BINARY) || n->op == OP_WHERE ||
      n->op == OP_CAST || n->op == OP_MASK || n->op == OP_CONVERT)
    return broadcast_along(n, axis, k);
  switch (n->op) {
  case OP_CONV2D:
  case OP_CONV2D_TRANSPOSE:
    if (axis != 0) return ALONG_MIXED;
    return k == 0 || k == 3 ? 0 : ALONG_NONE;
  case OP_MAX_POOL:
  case OP_AVG_POOL:
  case OP_RESIZE:
  case OP_INTERLEAVE:
    return axis < 2 ? axis : ALONG_MIXED;
  case OP_LINEAR:
    if (axis == n->type.rank - 1) return ALONG_MIXED;
    return k == 0 || k == 3 ? axis : ALONG_NONE;
  case OP_SOFTMAX:
  case OP_CUMSUM:
  case OP_ARGSORT:
    return axis == node_axis(n, n->type.rank) ? ALONG_MIXED : axis;
  case OP_ARGMAX:
  case OP_ARGMIN:
    gone[node_axis(n, n->in[0]->type.rank)] = true;
    return reduce_along(n, axis, gone);
  case OP_GATHER:
    return gather_along(n, axis, k);
  default:
    return ALONG_MIXED;
  }
}

/* ---- kernels --------------------------------------------------------- */

/* Those whose own loops end where the sizes of a call say. */
static bool kernel_has_ends(const char *kernel) {
  static const char *const names[] = {
    "alias", "attend", "binary", "call", "cast", "copy", "cumsum", "gather",
    "iota", "item", "mask", "matmul", "normalize", "reduce", "rotary",
    "scale_shift", "scan", "scatter", "scatter_add", "softmax", "unary",
    "where"
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(kernel, names[i]) == 0) return true;
  return false;
}

static bool is_linear(const Node *n) { return n->op == OP_LINEAR; }

/* Rows of a linear layer lie side by side from this axis on, whatever the
 * sizes: behind the last one that is free nothing has gaps. */
static int linear_rows_axis(const Node *n) {
  int axis = n->type.rank - 2;
  while (axis > 0 && !axis_is_free(&n->type, axis)) axis--;
  return axis;
}

int64_t linear_tokens(const Node *n) {
  int64_t tokens = 1;
  for (int i = linear_rows_axis(n); i < n->type.rank - 1; i++)
    tokens *= n->type.dim[i];
  return tokens;
}

bool kernel_loops(const Node *n, int axis) {
  bool free = axis_is_free(&n->type, axis);
  if (kernel_has_ends(n->kernel)) return false;
  if (is_linear(n))
    return axis < linear_rows_axis(n) && (free || n->type.dim[axis] > 1);
  return free;
}

/* Is each free axis of operand k one of the result's? */
static bool operand_follows(const Node *n, int k) {
  const Type *x = &n->in[k]->type;
  for (int i = 0; i < x->rank; i++) {
    bool found = !axis_is_free(x, i);
    for (int j = 0; !found && j < n->type.rank; j++)
      found = axis_is_free(&n->type, j) && node_along(n, j, k) == i;
    if (!found) return false;
  }
  return true;
}

/* What a literal or an attribute may be where it is free. */
static bool numbers_known(const Node *n, const char **what) {
  const OpInfo *info = op_info(n->op);
  for (int i = 0; i < n->nin; i++) {
    const Node *x = n->in[i];
    if (!x || !x->free) continue;
    *what = "a literal";
    if (!(info->flags & FLAG_BINARY)) return false;
    if (x->type.elem != F32 && x->type.elem != I32 && x->type.elem != I64)
      return false;
  }
  for (int i = 0; i < info->nattrs; i++) {
    *what = info->attr[i];
    if (!n->attr[i].free || n->op == OP_RESHAPE || n->op == OP_EXPAND ||
        n->op == OP_SLICE || n->op == OP_SELECT || n->op == OP_IOTA)
      continue;
    return false;
  }
  return true;
}

/* Rows of these lie in vectors whose number is known. */
static bool rows_known(const Node *n, Text *why) {
  int rows = n->op == OP_ATTEND ? 3 : n->op == OP_NORMALIZE ||
             n->op == OP_ROTARY ? 1 : 0;
  for (int k = 0; k < rows; k++) {
    const Type *x = &n->in[k]->type;
    bool across = n->op == OP_ATTEND && k == 1 && !attr_bool(n, "transpose_k");
    if (!axis_is_free(x, x->rank - (across ? 2 : 1))) continue;
    text_printf(why, "rows of operand %d have a free size", k + 1);
    return false;
  }
  return true;
}

bool node_takes_sizes(const Node *n, Text *why) {
  const char *what = "";
  if (!node_is_free(n) || !n->kernel) return true;
  if (!numbers_known(n, &what)) {
    text_printf(why, "%s depends on a free dimension", what);
    return false;
  }
  if (n->op == OP_RESHAPE && !reshape_cuts(n)) {
    text_puts(why, "free dimensions are split or merged with others");
    return false;
  }
  if (!rows_known(n, why)) return false;
  if (kernel_has_ends(n->kernel)) return true;
  for (int i = 0; i < n->type.rank; i++) {
    if (!axis_is_free(&n->type, i)) continue;
    for (int k = 0; k < n->nin; k++)
      if (n->in[k] && node_along(n, i, k) == ALONG_MIXED) {
        text_printf(why, "dimension %d of its result is free", i);
        return false;
      }
    if (n->nin == 0) {
      text_printf(why, "dimension %d of its result is free", i);
      return false;
    }
  }
  for (int k = 0; k < n->nin; k++)
    if (n->in[k] && !operand_follows(n, k)) {
      text_printf(why, "operand %d has a free dimension that the result has "
                  "not", k + 1);
      return false;
    }
  return true;
}

/* ---- reshape --------------------------------------------------------- */

/* The product of axes [from, to) at a sample; sample -1: at the bounds. */
static int64_t product(const Type *t, int from, int to, int sample) {
  int64_t n = 1;
  for (int i = from; i < to; i++)
    n *= sample < 0 ? t->dim[i] : type_dim_at(t, i, sample);
  return n;
}

static bool products_equal(const Type *a, int a0, int a1, const Type *b,
                           int b0, int b1) {
  const FreeShape *f = a->free ? a->free : b->free;
  for (int k = -1; k < (f ? f->of->nsamples : 0); k++)
    if (product(a, a0, a1, k) != product(b, b0, b1, k)) return false;
  return true;
}

bool reshape_group(const Type *x, const Type *y, int from[2], int to[2]) {
  to[0] = from[0], to[1] = from[1];
  if (from[0] == x->rank && from[1] == y->rank) return false;
  do {
    int64_t px = product(x, from[0], to[0], -1);
    int64_t py = product(y, from[1], to[1], -1);
    bool more_x = to[0] < x->rank, more_y = to[1] < y->rank;
    if (!more_x && !more_y) return false;
    if (more_x && (px <= py || !more_y)) to[0]++;
    if (more_y && (py < px || !more_x)) to[1]++;
    if (more_x && more_y && px == py && to[1] == from[1]) to[1]++;
  } while (!products_equal(x, from[0], to[0], y, from[1], to[1]));
  /* Dimensions of 1 belong to either side. */
  while (to[0] < x->rank && x->dim[to[0]] == 1 && !axis_is_free(x, to[0]))
    to[0]++;
  while (to[1] < y->rank && y->dim[to[1]] == 1 && !axis_is_free(y, to[1]))
    to[1]++;
  return true;
}

/* Behind the first dimension of [from, to) that is not 1, is one free? */
static bool has_gaps(const Type *t, int from, int to) {
  while (from < to && t->dim[from] == 1 && !axis_is_free(t, from)) from++;
  for (int i = from + 1; i < to; i++)
    if (axis_is_free(t, i)) return true;
  return false;
}

static int wide(const Type *t, int from, int to) {
  int n = 0;
  for (int i = from; i < to; i++)
    n += t->dim[i] != 1 || axis_is_free(t, i);
  return n;
}

static bool groups_all(const Node *n, bool (*ok)(const Node *n,
                                                 const int *from,
                                                 const int *to)) {
  int from[2] = {0, 0}, to[2];
  const Type *x = &n->in[0]->type, *y = &n->type;
  while (reshape_group(x, y, from, to)) {
    if (!ok(n, from, to)) return false;
    from[0] = to[0], from[1] = to[1];
  }
  return from[0] == x->rank && from[1] == y->rank;
}

static bool group_lies(const Node *n, const int *from, const int *to) {
  return !has_gaps(&n->in[0]->type, from[0], to[0]) &&
         !has_gaps(&n->type, from[1], to[1]);
}

static bool group_cuts(const Node *n, const int *from, const int *to) {
  return group_lies(n, from, to) ||
         wide(&n->in[0]->type, from[0], to[0]) <= 1 ||
         wide(&n->type, from[1], to[1]) <= 1;
}

bool reshape_lies(const Node *n) {
  return !node_is_free(n) || groups_all(n, group_lies);
}

bool reshape_cuts(const Node *n) {
  return !node_is_free(n) || groups_all(n, group_cuts);
}
