/* onnx_norm.c - normalisations by stored statistics, and by those of the
 * values themselves. */
#include "frontend/onnx_norm.h"

#include <string.h>

/* ---- by stored statistics ------------------------------------------- */

static Node *batch_norm(Ox *o, Node *x, Node *gamma, Node *beta, Node *mean,
                        Node *var) {
  Node *n = ox_begin(o, OP_BATCH_NORM,
                     (Node *[]){x, gamma, beta, mean, var}, 5);
  if (n)
    attr_set_float(n, "eps", ox_float(o, "epsilon", 1e-5));
  return ox_end(o, n);
}

/* What runs along becomes a * momentum + now * (1 - momentum). */
static Node *running(Ox *o, Node *a, Node *now, double momentum) {
  return ox_op2(o, OP_ADD, ox_with(o, OP_MUL, a, momentum),
                ox_with(o, OP_MUL, now, 1 - momentum));
}

/* By the statistics of this batch, which then move the stored ones. */
static bool batch_norm_trained(Ox *o, Node *x, Node *const *p) {
  int64_t axes[MAX_RANK], each[MAX_RANK];
  int n = 0;
  double momentum = ox_float(o, "momentum", 0.9);
  for (int i = 0; i < x->type.rank; i++) {
    each[i] = i == 1 ? x->type.dim[1] : 1;
    if (i != 1)
      axes[n++] = i;
  }
  Node *mean = ox_reduce(o, OP_MEAN, x, axes, n, false);
  Node *d = ox_op2(o, OP_SUB, x, ox_reshape(o, mean, x->type.rank, each));
  Node *var = ox_op1(o, OP_SQUARE, d);
  var = ox_reduce(o, OP_MEAN, var, axes, n, false);
  return ox_give(o, 0, batch_norm(o, x, p[0], p[1], mean, var)) &&
         ox_give(o, 1, running(o, p[2], mean, momentum)) &&
         ox_give(o, 2, running(o, p[3], var, momentum));
}

/* Before opset 14 further results ask for training. */
bool ox_write_batch_norm(Ox *o) {
  Node *x = ox_in(o, 0), *p[4];
  for (int i = 0; i < 4; i++)
    p[i] = ox_in(o, 1 + i);
  if (!x || !p[0] || !p[1] || !p[2] || !p[3])
    return false;
  bool trained = o->opset >= 14 && ox_int(o, "training_mode", 0);
  for (int i = 1; i < 5; i++)
    if (ox_wants(o, i) && !trained)
      return ox_refuse(o, "statistics as results, as in training");
  if (o->opset < 7 && !ox_int(o, "is_test", 0))
    return ox_refuse(o, "statistics of the values, as in training");
  if (o->opset < 9 && !ox_int(o, "spatial", 1))
    return ox_refuse(o, "statistics of each pixel (spatial=0)");
  if (trained && x->type.rank > 1)
    return batch_norm_trained(o, x, p);
  if (trained || x->type.rank == 0)
    return ox_refuse(o, "a value of %d dimensions", x->type.rank);
  if (x->type.rank > 1)
    return ox_give(o, 0, batch_norm(o, x, p[0], p[1], p[2], p[3]));
  x = batch_norm(o, ox_unsqueeze(o, x, 1), p[0], p[1], p[2], p[3]);
  return ox_give(o, 0, ox_squeeze(o, x, 1));
}

/* ---- by the values' own --------------------------------------------- */

/* x over its deviation from zero, 1 / sqrt(mean of squares + eps) of which
 * is left in *inv. */
static Node *over_deviation(Ox *o, Node *x, const int64_t *axes, int n,
                            double eps, Node **inv) {
  Node *v = ox_reduce(o, OP_MEAN, ox_op1(o, OP_SQUARE, x), axes, n, true);
  *inv = ox_op1(o, OP_RSQRT, ox_with(o, OP_ADD, v, eps));
  return ox_op2(o, OP_MUL, x, *inv);
}

static Node *centred(Ox *o, Node *x, const int64_t *axes, int n,
                     Node **mean) {
  *mean = ox_reduce(o, OP_MEAN, x, axes, n, true);
  return ox_op2(o, OP_SUB, x, *mean);
}

static Node *normalised(Ox *o, Node *x, const int64_t *axes, int n,
                        double eps) {
  Node *mean, *inv;
  return over_deviation(o, centred(o, x, axes, n, &mean), axes, n, eps,
                        &inv);
}

/* scale and shift, one for each index along axis. */
static Node *affine(Ox *o, Node *x, Node *scale, Node *shift, int axis) {
  Node *n = x ? ox_begin(o, OP_SCALE_SHIFT, (Node *[]){x, scale, shift}, 3)
              : NULL;
  if (n)
    attr_set_int(n, "axis", axis);
  return ox_end(o, n);
}

/* Axes first, first + 1, ... of x; how many. */
static int axes_from(const Node *x, int first, int64_t *axes) {
  int n = 0;
  for (int i = first; i < x->type.rank; i++)
    axes[n++] = i;
  return n;
}

static bool has_rank(Ox *o, const Node *x, int least) {
  return x->type.rank >= least ||
         ox_malformed(o, "expected %d or more dimensions, found %d", least,
                      x->type.rank);
}

bool ox_write_instance_norm(Ox *o) {
  Node *x = ox_in(o, 0), *scale = ox_in(o, 1), *shift = ox_in(o, 2);
  int64_t axes[MAX_RANK];
  if (!x || !scale || !shift || !has_rank(o, x, 3))
    return false;
  int n = axes_from(x, 2, axes);
  x = normalised(o, x, axes, n, ox_float(o, "epsilon", 1e-5));
  return ox_give(o, 0, affine(o, x, scale, shift, 1));
}

/* Operands that broadcast; one number for each index of the last axis is
 * what layers have. */
static Node *scaled(Ox *o, Node *x, Node *scale, Node *shift) {
  if (!x || !scale)
    return NULL;
  int last = x->type.rank - 1;
  if (shift && scale->type.rank == 1 && shift->type.rank == 1 &&
      scale->type.dim[0] == x->type.dim[last] &&
      type_same_shape(&scale->type, &shift->type))
    return affine(o, x, scale, shift, last);
  int64_t dim[MAX_RANK];
  memcpy(dim, x->type.dim, sizeof dim);
  x = ox_op2(o, OP_MUL, x, scale);
  if (shift)
    x = ox_op2(o, OP_ADD, x, shift);
  if (x && (x->type.rank != last + 1 ||
            memcmp(dim, x->type.dim, (size_t)(last + 1) * sizeof *dim))) {
    ox_malformed(o, "the scale or the bias has a greater shape than x");
    return NULL;
  }
  return x;
}

Node *ox_normed(Ox *o, OxNorm *n) {
  int64_t axes[MAX_RANK];
  if (!n->x || !n->scale)
    return NULL;
  Node *x = n->x;
  int count = axes_from(x, n->axis, axes);
  if (n->centred)
    x = centred(o, x, axes, count, &n->mean);
  x = over_deviation(o, x, axes, count, n->eps, &n->inv);
  return scaled(o, x, n->scale, n->shift);
}

/* Arithmetic is in float32, whatever stash_type says. */
static bool trailing_axes(Ox *o, OxNorm *n) {
  int64_t stash = ox_int(o, "stash_type", OX_FLOAT);
  if (!n->x || !n->scale || o->said)
    return false;
  if (stash != OX_FLOAT && stash != OX_FLOAT16 && stash != OX_BFLOAT16)
    return ox_refuse(o, "stash_type=%lld", (long long)stash);
  n->eps = ox_float(o, "epsilon", 1e-5);
  return ox_axis(o, ox_int(o, "axis", -1), n->x->type.rank, &n->axis);
}

bool ox_write_layer_norm(Ox *o) {
  OxNorm n = {.x = ox_in(o, 0), .scale = ox_in(o, 1), .shift = ox_opt(o, 2),
              .centred = true};
  return trailing_axes(o, &n) && ox_give(o, 0, ox_normed(o, &n)) &&
         ox_give_as(o, 1, n.mean, OX_FLOAT) &&
         ox_give_as(o, 2, n.inv, OX_FLOAT);
}

bool ox_write_rms_norm(Ox *o) {
  OxNorm n = {.x = ox_in(o, 0), .scale = ox_in(o, 1)};
  return trailing_axes(o, &n) && ox_give(o, 0, ox_normed(o, &n));
}

/* In opset 18 the scale and the bias are a group's, later a channel's. */
bool ox_write_group_norm(Ox *o) {
  Node *x = ox_in(o, 0), *scale = ox_in(o, 1), *shift = ox_in(o, 2);
  int64_t groups = ox_int(o, "num_groups", 0), dim[MAX_RANK];
  if (!x || !scale || !shift || !has_rank(o, x, 2))
    return false;
  int rank = x->type.rank;
  memcpy(dim, x->type.dim, sizeof dim);
  if (groups < 1 || dim[1] % groups)
    return ox_malformed(o, "%lld groups of %lld channels", (long long)groups,
                        (long long)dim[1]);
  int64_t all = ox_elems(x), parts[3] = {dim[0], groups, 0};
  if (all > 0)
    parts[2] = all / dim[0] / groups;
  x = ox_reshape(o, x, 3, parts);
  x = normalised(o, x, (int64_t[]){2}, 1, ox_float(o, "epsilon", 1e-5));
  if (o->opset < 21)
    x = affine(o, x, scale, shift, 1);
  x = ox_reshape(o, x, rank, dim);
  return ox_give(o, 0,
                 o->opset < 21 ? x : affine(o, x, scale, shift, 1));
}

bool ox_write_mean_variance_norm(Ox *o) {
  Node *x = ox_in(o, 0), *mean;
  const int64_t usual[] = {0, 2, 3}, *given;
  int64_t axes[MAX_RANK];
  int n = ox_ints(o, "axes", &given), axis;
  if (!x || n > MAX_RANK)
    return x && ox_malformed(o, "%d axes", n);
  if (n <= 0)
    given = usual, n = 3;
  for (int i = 0; i < n; i++) {
    if (!ox_axis(o, given[i], x->type.rank, &axis))
      return false;
    axes[i] = axis;
  }
  Node *d = centred(o, x, axes, n, &mean);
  Node *v = ox_reduce(o, OP_MEAN, ox_op1(o, OP_SQUARE, d), axes, n, true);
  v = ox_with(o, OP_ADD, ox_op1(o, OP_SQRT, v), 1e-9);
  return ox_give(o, 0, ox_op2(o, OP_DIV, d, v));
}

/* x / (bias + alpha m)^beta, m the mean of squares of `size` neighbouring
 * channels, absent ones counted as zeros (Krizhevsky, Sutskever and Hinton,
 * 2012). */
bool ox_write_lrn(Ox *o) {
  Node *x = ox_in(o, 0);
  int64_t size = ox_int(o, "size", 0);
  if (!x || !has_rank(o, x, 2))
    return false;
  if (size < 1 || size > MAX_WINDOW)
    return ox_malformed(o, "size=%lld, expected 1 to 2^30", (long long)size);
  const int64_t *d = x->type.dim, before = (size - 1) / 2;
  int64_t dim[4] = {d[0], 1, d[1], 0}, all = ox_elems(x);
  if (all == 0)
    return ox_give(o, 0, x);
  dim[3] = all / d[0] / d[1];
  Node *m = ox_reshape(o, ox_op1(o, OP_SQUARE, x), 4, dim);
  m = m ? ox_begin(o, OP_AVG_POOL, &m, 1) : NULL;
  if (m) {
    attr_set_ints(o->m, m, "k", (int64_t[]){size, 1}, 2);
    attr_set_ints(o->m, m, "pad", (int64_t[]){before, 0, size - 1 - before, 0},
                  4);
    attr_set_bool(m, "count_pad", true);
  }
  m = ox_reshape(o, ox_end(o, m), x->type.rank, d);
  m = ox_with(o, OP_MUL, m, ox_float(o, "alpha", 1e-4));
  m = ox_with(o, OP_ADD, m, ox_float(o, "bias", 1));
  m = ox_with(o, OP_POW, m, ox_float(o, "beta", 0.75));
  return ox_give(o, 0, ox_op2(o, OP_DIV, x, m));
}
