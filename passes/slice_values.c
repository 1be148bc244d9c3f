/* slice_values.c - which channels are the same whatever the inputs are, by
 * values that go from params through the ops of a function.
 *
 * What is computed is taken for finite: a weight or factor of 0 gives 0. */
#include <math.h>

#include "passes/slice.h"

/* ---- cells of one node ----------------------------------------------- */

static double *values_of(const Slice *s, const Node *n, int axis) {
  return s->value + cell_at(s->cells, n, axis, 0);
}

static void forget(const Slice *s, const Node *n) {
  double *v = s->value + s->cells->first[n->id];
  for (int k = 0; k < n->type.rank; k++)
    for (int64_t i = 0; i < n->type.dim[k]; i++) *v++ = NAN;
  s->whole[n->id] = NAN;
}

/* A node whose channels are all one value is that value. */
static void set_whole(const Slice *s, const Node *n) {
  for (int k = 0; k < n->type.rank; k++) {
    const double *v = values_of(s, n, k);
    int64_t i = 1, size = n->type.dim[k];
    while (i < size && v[i] == v[0]) i++;
    if (size > 0 && i == size && !isnan(v[0])) s->whole[n->id] = v[0];
  }
  for (int k = 0; k < n->type.rank && !isnan(s->whole[n->id]); k++)
    for (int64_t i = 0; i < n->type.dim[k]; i++)
      values_of(s, n, k)[i] = s->whole[n->id];
}

static bool known(double v) { return isfinite(v); }

/* ---- params ---------------------------------------------------------- */

/* The value of all elements with index i of an axis; NAN: they differ. */
static double slab_value(const float *v, const Type *t, int axis, int64_t i) {
  int64_t outer = 1, inner = 1, size = t->dim[axis];
  for (int k = 0; k < axis; k++) outer *= t->dim[k];
  for (int k = axis + 1; k < t->rank; k++) inner *= t->dim[k];
  if (outer * inner == 0) return NAN;
  double first = v[i * inner];
  for (int64_t o = 0; o < outer; o++)
    for (int64_t k = 0; k < inner; k++)
      if (v[(o * size + i) * inner + k] != first) return NAN;
  return known(first) ? first : NAN;
}

static void value_param(const Slice *s, const Node *n) {
  const float *v = node_values(s->c->m, n);
  if (!v || n->type.elem != F32) return;
  if (n->type.rank == 0) s->whole[n->id] = known(v[0]) ? v[0] : NAN;
  for (int k = 0; k < n->type.rank; k++)
    for (int64_t i = 0; i < n->type.dim[k]; i++)
      values_of(s, n, k)[i] = slab_value(v, &n->type, k, i);
}

/* ---- elementwise ----------------------------------------------------- */

/* Of operand k where the result has an index of an axis. */
static double operand_value(const Slice *s, const Node *n, int k, int axis,
                            int64_t i) {
  const Node *x = n->in[k];
  int at = axis - (n->type.rank - x->type.rank);
  if (at < 0 || x->type.dim[at] != n->type.dim[axis])
    return s->whole[x->id];
  return values_of(s, x, at)[i];
}

static bool is_map(const Node *n) {
  return op_info(n->op)->flags & (FLAG_UNARY | FLAG_BINARY) &&
         n->type.elem == F32 && n->in[0]->type.elem == F32;
}

/* n on `count` values of each operand. */
static void map_eval(const Slice *s, const Node *n, double *const *in,
                     double *out, int64_t count) {
  Node like = *n;
  Tensor y = {.v = out}, x[2];
  const Tensor *xs[2] = {&x[0], &x[1]};
  like.type = type_make(F32, 1, &count);
  for (int k = 0; k < n->nin && k < 2; k++)
    x[k] = (Tensor){.type = like.type, .v = in[k]};
  node_eval(s->c->m, &like, xs, &y, &(EvalOpts){.round = true});
}

static void value_map(const Slice *s, const Node *n, int axis) {
  int64_t count = n->type.dim[axis];
  double *in[2], *out = values_of(s, n, axis);
  for (int k = 0; k < n->nin; k++) {
    in[k] = arena_array(s->c->scratch, double, (size_t)count + 1);
    for (int64_t i = 0; i < count; i++)
      in[k][i] = operand_value(s, n, k, axis, i);
  }
  map_eval(s, n, in, out, count);
  for (int64_t i = 0; i < count; i++) {
    bool all = known(in[0][i]) && (n->nin < 2 || known(in[1][i]));
    if (!all || !known(out[i])) out[i] = NAN;
    if (n->op == OP_MUL && (in[0][i] == 0 || in[1][i] == 0)) out[i] = 0;
  }
}

/* ---- norms ----------------------------------------------------------- */

/* y = x * scale + shift of channel i; x may be unknown. */
static double affine(double x, double scale, double shift) {
  double y = scale == 0 ? shift : x * scale + shift;
  return known(y) ? (double)(float)y : NAN;
}

static void value_scale(const Slice *s, const Node *n) {
  int axis = n->op == OP_BATCH_NORM ? 1 : node_axis(n, n->type.rank);
  const double *x = values_of(s, n->in[0], axis);
  const double *a = values_of(s, n->in[1], 0);
  const double *b = values_of(s, n->in[2], 0);
  double *y = values_of(s, n, axis);
  for (int64_t i = 0; i < n->type.dim[axis]; i++) {
    double scale = a[i], shift = b[i];
    if (n->op == OP_BATCH_NORM && scale != 0) {
      scale /= sqrt(values_of(s, n->in[4], 0)[i] + attr_float(n, "eps"));
      shift -= values_of(s, n->in[3], 0)[i] * scale;
    }
    y[i] = affine(x[i], scale, shift);
  }
}

/* ---- products -------------------------------------------------------- */

bool slice_matrix(Module *m, const Node *n, PlainWeight *w) {
  bool conv = n->op == OP_CONV2D, turned = n->op == OP_CONV2D_TRANSPOSE;
  if (!conv && !turned && n->op != OP_LINEAR) return false;
  if (n->op != OP_LINEAR && attr_int(n, "groups") != 1) return false;
  const Node *p = n->in[1];
  *w = (PlainWeight){.weight = p, .out_axis = turned, .taps = 1};
  if (p->op != OP_PARAM || !(w->w = param_values(m, p->param))) return false;
  for (int k = 2; k < p->type.rank; k++) w->taps *= p->type.dim[k];
  w->outs = p->type.dim[turned];
  w->ins = p->type.dim[!turned];
  w->out = turned ? w->taps : w->ins * w->taps;
  w->in = turned ? w->outs * w->taps : w->taps;
  w->y_axis = n->op == OP_LINEAR ? n->type.rank - 1 : 1;
  return true;
}

/* What the taps of output o by input i sum up to; *any: one is not 0. */
static double taps_sum(const PlainWeight *w, int64_t o, int64_t i, bool *any) {
  const float *at = w->w + o * w->out + i * w->in;
  double sum = 0;
  for (int64_t t = 0; t < w->taps; t++) {
    sum += at[t];
    *any |= at[t] != 0;
  }
  return sum;
}

/* The sum of output o, where nothing of it depends on the inputs. */
static double matrix_value(const Slice *s, const Node *n, const PlainWeight *w,
                           int64_t o) {
  const double *x = values_of(s, n->in[0], n->op == OP_LINEAR
                                             ? n->in[0]->type.rank - 1 : 1);
  double sum = 0;
  for (int64_t i = 0; i < w->ins; i++) {
    bool any = false;
    if (x[i] == 0) continue;
    double part = taps_sum(w, o, i, &any);
    if (!any) continue;
    if (isnan(x[i]) || !slice_folds(s->c->m, n)) return NAN;
    sum += x[i] * part;
  }
  return sum;
}

/* Sum, bias and epilogue of channel o. */
static double product_value(const Slice *s, const Node *n, int64_t o,
                            double sum) {
  double b = node_in(n, 2) ? values_of(s, n->in[2], 0)[o] : 0;
  if (node_in(n, 3) || attr_str(n, "act")[0] || !known(sum + b)) return NAN;
  return (double)(float)(sum + b);
}

/* The sum of output o where weights are computed, or in groups: of zeros. */
static double group_value(const Slice *s, const Node *n, int64_t o) {
  bool rows = n->op != OP_CONV2D_TRANSPOSE;
  if (rows && values_of(s, n->in[1], 0)[o] == 0) return 0;
  if (n->op == OP_LINEAR) return NAN;
  int64_t groups = attr_int(n, "groups");
  int64_t ins = n->in[0]->type.dim[1] / groups;
  int64_t each = n->type.dim[1] / groups;
  const double *x = values_of(s, n->in[0], 1) + o / each * ins;
  for (int64_t i = 0; i < ins; i++)
    if (x[i] != 0) return NAN;
  return 0;
}

static void value_product(const Slice *s, const Node *n) {
  PlainWeight w;
  bool linear = n->op == OP_LINEAR;
  if (!linear && n->op != OP_CONV2D && n->op != OP_CONV2D_TRANSPOSE) return;
  int axis = linear ? n->type.rank - 1 : 1;
  double *y = values_of(s, n, axis);
  bool plain = slice_matrix(s->c->m, n, &w);
  for (int64_t o = 0; o < n->type.dim[axis]; o++)
    y[o] = product_value(s, n, o, plain ? matrix_value(s, n, &w, o)
                                        : group_value(s, n, o));
}

static void zeros_pass(const Slice *s, const Node *x, int from, const Node *y,
                       int to) {
  const double *v = values_of(s, x, from);
  double *w = values_of(s, y, to);
  for (int64_t i = 0; i < y->type.dim[to]; i++)
    if (v[i] == 0) w[i] = 0;
}

/* Along all axes but the last two: a head without values, and the like. */
static void batch_zeros(const Slice *s, const Node *x, const Node *y) {
  int skip = y->type.rank - x->type.rank;
  for (int i = 0; i < x->type.rank - 2; i++)
    if (x->type.dim[i] == y->type.dim[i + skip])
      zeros_pass(s, x, i, y, i + skip);
}

static void value_matmul(const Slice *s, const Node *n) {
  int y = n->type.rank, b = n->in[1]->type.rank, a = n->in[0]->type.rank;
  if (n->op == OP_ATTEND) {
    batch_zeros(s, n->in[2], n);
    zeros_pass(s, n->in[2], n->in[2]->type.rank - 1, n, y - 1);
    return;
  }
  batch_zeros(s, n->in[0], n);
  batch_zeros(s, n->in[1], n);
  zeros_pass(s, n->in[0], a - (attr_bool(n, "transpose_a") ? 1 : 2), n,
             y - 2);
  zeros_pass(s, n->in[1], b - (attr_bool(n, "transpose_b") ? 2 : 1), n,
             y - 1);
}

/* ---- views, pools and means ------------------------------------------ */

/* Values on their way to a result; there: its cells that got one. */
typedef struct Moved { const Slice *s; bool *there; } Moved;

/* A first value, or one more of the same. */
static void tie_value(Cells *c, const Node *n, int k, int64_t x, int64_t y) {
  const Moved *m = c->ctx;
  double v = m->s->value[x], *to = &m->s->value[y];
  bool *there = &m->there[y - c->first[n->id]];
  (void)k;
  if (!*there) *to = v;
  else if (*to != v) *to = NAN;
  *there = true;
}

static bool hands_on(const Node *n) {
  switch (n->op) {
  case OP_RESHAPE: case OP_PERMUTE: case OP_EXPAND: case OP_CONCAT:
  case OP_SLICE: case OP_SELECT: case OP_FLIP: case OP_PAD: case OP_CONVERT:
  case OP_STOP_GRADIENT: case OP_MAX_POOL: case OP_RESIZE:
  case OP_INTERLEAVE: case OP_MEAN: case OP_MAX: case OP_MIN: case OP_SUM:
  case OP_AVG_POOL: case OP_GATHER:
    return n->type.elem == F32;
  default:
    return false;
  }
}

/* Zeros stay zeros; do other values stay what they are? */
static bool keeps_values(const Node *n) {
  int count;
  if (n->op == OP_SUM) return false;
  if (n->op != OP_AVG_POOL || !attr_bool(n, "count_pad")) return true;
  if (node_pad_is_free(n)) return false;
  const int64_t *pad = attr_ints(n, "pad", &count);
  for (int i = 0; i < count; i++)
    if (pad[i]) return false;
  return true;
}

/* Indices that only padding has are its value; others on no axis but the one
 * that is padded. */
static void value_pad(const Slice *s, const Node *n) {
  int count, padded = 0, rank = n->type.rank;
  const int64_t *before = attr_ints(n, "before", &count);
  const Type *x = &n->in[0]->type;
  double value = attr_float(n, "value");
  for (int k = 0; k < rank; k++) padded += x->dim[k] != n->type.dim[k];
  for (int k = 0; k < rank; k++) {
    double *v = values_of(s, n, k);
    bool others = padded > (x->dim[k] != n->type.dim[k]);
    for (int64_t i = 0; i < n->type.dim[k]; i++)
      if (i < before[k] || i >= before[k] + x->dim[k]) v[i] = value;
      else if (others && v[i] != value) v[i] = NAN;
  }
}

static void value_moved(Slice *s, Node *n) {
  Cells ties = *s->cells;
  int64_t count = 0;
  for (int k = 0; k < n->type.rank; k++) count += n->type.dim[k];
  Arena *a = s->c->scratch;
  Moved moved = {s, arena_array(a, bool, (size_t)count + 1)};
  ties.tie = tie_value;
  ties.ctx = &moved;
  ties.seen = arena_array(a, bool, (size_t)(n->nin + 1) * MAX_RANK);
  ties.quiet = true;
  couple_node(&ties, n);
  double *v = s->value + s->cells->first[n->id];
  for (int64_t i = 0; i < count && !keeps_values(n); i++)
    if (v[i] != 0) v[i] = NAN;
  if (n->op == OP_PAD) value_pad(s, n);
}

/* ---- all ------------------------------------------------------------- */

static void value_node(Slice *s, Node *n) {
  if (n->op == OP_PARAM || n->op == OP_CONST) {
    value_param(s, n);
  } else if (is_map(n)) {
    for (int k = 0; k < n->type.rank; k++) value_map(s, n, k);
  } else if (n->op == OP_SCALE_SHIFT || n->op == OP_BATCH_NORM) {
    value_scale(s, n);
  } else if (n->op == OP_MATMUL || n->op == OP_ATTEND) {
    value_matmul(s, n);
  } else if (hands_on(n)) {
    value_moved(s, n);
  } else {
    value_product(s, n);
  }
}

void slice_values(Slice *s) {
  Arena *a = s->c->scratch;
  s->value = arena_array(a, double, (size_t)s->cells->n + 1);
  s->whole = arena_array(a, double, s->f->nodes.n + 1);
  for (size_t i = 0; i < s->f->nodes.n; i++) {
    Node *n = s->f->nodes.at[i];
    forget(s, n);
    value_node(s, n);
    set_whole(s, n);
  }
}
