/* infer_conv.c - the types of linear, pools and normalisation; windows and
 * epilogues. */
#include "ir/infer.h"

#include <string.h>

bool infer_window(InferCtx *c, const char *axis, int64_t in, int64_t before,
                  int64_t after, int64_t k, int64_t stride, int64_t dilation,
                  int64_t *out) {
  int64_t padded = in + before + after, reach;
  if (__builtin_mul_overflow(k - 1, dilation, &reach)) reach = INT64_MAX - 1;
  reach++;
  if (k < 1)
    return infer_error(c, "kernel size %lld along %s, expected at least 1",
                       (long long)k, axis);
  if (padded == 0) {
    *out = 0;
    return true;
  }
  if (reach > padded)
    return infer_error(c, "kernel reaches over %lld along %s, the padded "
                       "input has only %lld (size %lld)", (long long)reach,
                       axis, (long long)padded, (long long)in);
  *out = (padded - reach) / stride + 1;
  return true;
}

/* Ops that act= may name: unary ones without attributes, and those whose
 * attributes lo and hi stand for. */
static bool act_known(const char *s) {
  Op op;
  if (!*s || strcmp(s, "clip") == 0 || strcmp(s, "leaky_relu") == 0)
    return true;
  return op_parse(s, &op) && (op_info(op)->flags & FLAG_UNARY) &&
         op_info(op)->nattrs == 0;
}

static bool act_error(InferCtx *c, const char *act) {
  const char *known[OP_COUNT];
  size_t n = 0;
  for (int i = 0; i < OP_COUNT; i++) {
    const char *name = op_info((Op)i)->name;
    if (act_known(name)) known[n++] = name;
  }
  const char *near = nearest_name(act, known, n);
  return infer_error(c, "act=\"%s\" is not an activation%s%s%s", act,
                     near ? ", did you mean \"" : "", near ? near : "",
                     near ? "\"?" : "");
}

bool infer_epilogue(InferCtx *c) {
  const char *act = attr_str(c->n, "act");
  if (!act_known(act)) return act_error(c, act);
  if (strcmp(act, "clip") == 0 &&
      !(attr_float(c->n, "lo") <= attr_float(c->n, "hi")))
    return infer_error(c, "act=\"clip\" wants lo <= hi, found lo=%g, hi=%g",
                       attr_float(c->n, "lo"), attr_float(c->n, "hi"));
  if (!node_operand(c->n, "r")) return true;
  return infer_shape(c, 3, c->out.rank, c->out.dim);
}

bool infer_linear(InferCtx *c) {
  const Type *x = infer_in(c, 0), *w = infer_in(c, 1);
  if (x->rank < 1)
    return infer_error(c, "x is a scalar, expected rank 1 or more");
  if (!infer_rank(c, 1, 2)) return false;
  if (w->dim[1] != x->dim[x->rank - 1])
    return infer_error(c, "weight has %lld input features, expected %lld "
                       "(x has shape %s)", (long long)w->dim[1],
                       (long long)x->dim[x->rank - 1],
                       shape_text(x->rank, x->dim));
  if (node_operand(c->n, "b") && !infer_shape(c, 2, 1, &w->dim[0]))
    return false;
  int64_t y[MAX_RANK];
  memcpy(y, x->dim, sizeof y);
  y[x->rank - 1] = w->dim[0];
  return infer_out(c, x->rank, y) && infer_epilogue(c);
}

bool infer_batch_norm(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  if (x->rank < 2)
    return infer_error(c, "x has rank %d, expected 2 or more", x->rank);
  for (int i = 1; i <= 4; i++)
    if (!infer_shape(c, i, 1, &x->dim[1])) return false;
  if (!(attr_float(c->n, "eps") >= 0))
    return infer_error(c, "eps=%g, expected 0 or more",
                       attr_float(c->n, "eps"));
  return infer_out(c, x->rank, x->dim);
}

bool infer_scale_shift(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  int axis;
  if (!infer_axis(c, attr_int(c->n, "axis"), x->rank, &axis)) return false;
  for (int i = 1; i <= 2; i++)
    if (!infer_shape(c, i, 1, &x->dim[axis])) return false;
  return infer_out(c, x->rank, x->dim);
}

static bool one_of(InferCtx *c, const char *name, const char *const *known,
                   size_t n) {
  const char *s = attr_str(c->n, name);
  Text all = {0};
  for (size_t i = 0; i < n; i++) {
    if (strcmp(s, known[i]) == 0) {
      text_free(&all);
      return true;
    }
    text_printf(&all, "%s\"%s\"", i ? i + 1 < n ? ", " : " or " : "",
                known[i]);
  }
  infer_error(c, "%s=\"%s\", expected %s", name, s, all.s);
  text_free(&all);
  return false;
}

bool infer_resize(InferCtx *c) {
  static const char *const modes[] = {"nearest", "bilinear"};
  static const char *const coords[] = {"half_pixel", "align_corners",
                                       "asymmetric"};
  const int64_t *size;
  if (!infer_rank(c, 0, 4) || !one_of(c, "mode", modes, 2) ||
      !one_of(c, "coord", coords, 3) ||
      !infer_list(c, "size", 2, 0, MAX_WINDOW, &size))
    return false;
  const Type *x = infer_in(c, 0);
  for (int i = 0; i < 2; i++)
    if (x->dim[i + 2] > MAX_WINDOW || (size[i] > 0 && x->dim[i + 2] == 0))
      return infer_error(c, "size %lld along %s, expected 1 to 2^30",
                         (long long)x->dim[i + 2], i ? "w" : "h");
  return infer_out(c, 4, (int64_t[]){x->dim[0], x->dim[1], size[0], size[1]});
}

/* Every window has to meet the tensor: a maximum over padding alone, or an
 * average that counts none, has no value. */
bool infer_pool(InferCtx *c) {
  if (!infer_rank(c, 0, 4)) return false;
  const Type *x = infer_in(c, 0);
  const int64_t *k, *s, *p;
  if (!infer_list(c, "k", 2, 1, MAX_WINDOW, &k) ||
      !infer_list(c, "stride", 2, 1, MAX_WINDOW, &s) ||
      !infer_list(c, "pad", 4, 0, MAX_WINDOW, &p))
    return false;
  int64_t y[4] = {x->dim[0], x->dim[1], 0, 0};
  for (int i = 0; i < 2; i++) {
    const char *axis = i ? "w" : "h";
    if (p[i] >= k[i] || p[i + 2] >= k[i])
      return infer_error(c, "pad=%s: windows of %lld lie in the padding "
                         "along %s, expected less than k", shape_text(4, p),
                         (long long)k[i], axis);
    if (!infer_window(c, axis, x->dim[i + 2], p[i], p[i + 2], k[i], s[i], 1,
                      &y[i + 2]))
      return false;
    if (x->dim[i + 2] == 0 && y[i + 2] > 0)
      return infer_error(c, "size 0 along %s, expected 1 or more", axis);
  }
  return infer_out(c, 4, y);
}
