/* onnx_ops_row.c - attention, norms and rotary embeddings as nodes of ONNX. */
#include "frontend/onnx_out.h"

#include <math.h>

/* As ONNX knew it before it had the op. */
bool out_attend(Out *w, const Node *n, const char *to) {
  AttendSizes z = attend_sizes(n);
  const char *k = out_in(w, n, 1);
  if (attr_bool(n, "transpose_k"))
    k = out_transposed(w, k, out_in_type(n, 1)->rank);
  const char *x = out_op(w, NULL, "MatMul", out_in(w, n, 0), k, NULL);
  double scale = attr_float(n, "scale");
  if (scale != 1)
    x = out_op(w, NULL, "Mul", x, out_scalar(w, F32, scale), NULL);
  if (n->nin > 3 && n->in[3])
    x = out_op(w, NULL, "Add", x, out_in(w, n, 3), NULL);
  if (attr_bool(n, "causal")) {
    int64_t shape[2] = {z.l, z.s};
    const char *all = out_op(w, NULL, "Expand", out_scalar(w, F32, 1),
                             out_list(w, shape, 2), NULL);
    out_int(w, "upper", 0);
    all = out_op(w, NULL, "Trilu", all, NULL);
    all = out_cast(w, NULL, all, B1);
    x = out_op(w, NULL, "Where", all, x, out_scalar(w, F32, -INFINITY), NULL);
  }
  out_int(w, "axis", -1);
  x = out_op(w, NULL, "Softmax", x, NULL);
  out_op(w, to, "MatMul", x, out_in(w, n, 2), NULL);
  return true;
}

bool out_normalize(Out *w, const Node *n, const char *to) {
  const Type *t = out_in_type(n, 0);
  int64_t last = t->rank - 1;
  const char *x = out_in(w, n, 0), *v = x, *axes = out_list(w, &last, 1);
  if (attr_bool(n, "center")) {
    out_int(w, "keepdims", 1);
    x = out_op(w, NULL, "Sub", x,
               out_op(w, NULL, "ReduceMean", x, axes, NULL), NULL);
  }
  v = out_op(w, NULL, "Mul", x, x, NULL);
  out_int(w, "keepdims", 1);
  v = out_op(w, NULL, "ReduceMean", v, axes, NULL);
  v = out_op(w, NULL, "Add", v, out_scalar(w, F32, attr_float(n, "eps")),
             NULL);
  const char *gamma = n->nin > 1 && n->in[1] ? out_in(w, n, 1) : NULL;
  const char *beta = n->nin > 2 && n->in[2] ? out_in(w, n, 2) : NULL;
  x = out_op(w, gamma || beta ? NULL : to, "Div", x,
             out_op(w, NULL, "Sqrt", v, NULL), NULL);
  if (gamma) x = out_op(w, beta ? NULL : to, "Mul", x, gamma, NULL);
  if (beta) out_op(w, to, "Add", x, beta, NULL);
  return true;
}

/* Elements from `first` on, each step-th, of x along its last axis. */
static const char *part_of(Out *w, const Type *t, const char *x,
                           int64_t first, int64_t last, int64_t step) {
  int64_t axis = t->rank - 1;
  return out_op(w, NULL, "Slice", x, out_list(w, &first, 1),
                out_list(w, &last, 1), out_list(w, &axis, 1),
                out_list(w, &step, 1), NULL);
}

/* By the first and second of all pairs; of pairs of neighbours the results
 * are put side by side and reshaped. */
bool out_rotary(Out *w, const Node *n, const char *to) {
  const Type *t = out_in_type(n, 0);
  int64_t size = t->dim[t->rank - 1], half = size / 2;
  bool pairs = attr_bool(n, "pairs");
  const char *p[3][2];
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 2; k++) {
      const char *x = out_in(w, n, i);
      const Type *own = out_in_type(n, i);
      if (own->dim[own->rank - 1] != size) p[i][k] = x;
      else if (pairs) p[i][k] = part_of(w, own, x, k, size, 2);
      else p[i][k] = part_of(w, own, x, k * half, k ? size : half, 1);
    }
  const char *y[2];
  for (int k = 0; k < 2; k++)
    y[k] = out_op(w, NULL, k ? "Add" : "Sub",
                  out_op(w, NULL, "Mul", p[0][k], p[1][k], NULL),
                  out_op(w, NULL, "Mul", p[0][1 - k], p[2][k], NULL), NULL);
  int64_t rank = t->rank;
  for (int k = 0; k < 2 && pairs; k++)
    y[k] = out_op(w, NULL, "Unsqueeze", y[k], out_list(w, &rank, 1), NULL);
  out_int(w, "axis", pairs ? rank : rank - 1);
  const char *all = out_op(w, pairs ? NULL : to, "Concat", y[0], y[1], NULL);
  if (pairs) out_reshaped(w, to, all, t->dim, t->rank);
  return true;
}
