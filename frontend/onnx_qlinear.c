/* onnx_qlinear.c - operators on quantised values that give quantised values,
 * except products: each dequantises what it reads, computes, and quantises
 * what it gives. */
#include "frontend/onnx_quant.h"

/* Operand x with its scale and zero point as real numbers. */
static Node *real_operand(Ox *o, int x, int scale, int zero) {
  Node *v = ox_in(o, x);
  Quants q;
  return quant_read(o, v, scale, zero, 0, 0, &q)
           ? quant_real(o, v, ox_in_type(o, x), &q)
           : NULL;
}

/* Result 0 with the scale and zero point of two operands; its type is the
 * zero point's, else that of operand `like`. */
static bool quant_give(Ox *o, Node *y, int like, int scale, int zero) {
  int type = ox_in_type(o, ox_has_in(o, zero) ? zero : like);
  double lo, hi;
  Quants q;
  if (!quant_range(type, &lo, &hi))
    return ox_refuse(o, "values of type %s", ox_type_name(type));
  return quant_read(o, y, scale, zero, 0, 0, &q) &&
         ox_give_as(o, 0, quant_made(o, y, type, &q), type);
}

/* Operands: A, its scale and zero point, B and its, those of the result. */
bool ox_write_qlinear_binary(Ox *o) {
  Node *a = real_operand(o, 0, 1, 2), *b = real_operand(o, 3, 4, 5);
  Op op = o->node->op_type[7] == 'A' ? OP_ADD : OP_MUL;
  return quant_give(o, ox_op2(o, op, a, b), 0, 6, 7);
}

bool ox_write_qlinear_leaky_relu(Ox *o) {
  Node *y = ox_op_float(o, OP_LEAKY_RELU, real_operand(o, 0, 1, 2), "alpha",
                        ox_float(o, "alpha", 0.01));
  return quant_give(o, y, 0, 3, 4);
}

bool ox_write_qlinear_sigmoid(Ox *o) {
  return quant_give(o, ox_op1(o, OP_SIGMOID, real_operand(o, 0, 1, 2)), 0, 3,
                    4);
}

/* The version of Softmax that it was made of is an attribute. */
bool ox_write_qlinear_softmax(Ox *o) {
  int64_t opset = ox_int(o, "opset", 0);
  if (opset < 1 || opset > INT32_MAX)
    return ox_malformed(o, "opset=%lld, expected that of a Softmax",
                        (long long)opset);
  Node *y = ox_softmax(o, real_operand(o, 0, 1, 2), (int)opset);
  return quant_give(o, y, 0, 3, 4);
}

/* Operands: scale and zero point of the result, then three each. */
bool ox_write_qlinear_concat(Ox *o) {
  int n = (ox_nin(o) - 2) / 3, axis;
  if (ox_nin(o) < 5 || (ox_nin(o) - 2) % 3)
    return ox_malformed(o, "%d operands, expected two and three each",
                        ox_nin(o));
  Node **x = arena_array(o->a, Node *, (size_t)n);
  for (int i = 0; i < n; i++) {
    x[i] = real_operand(o, 2 + 3 * i, 3 + 3 * i, 4 + 3 * i);
    if (!x[i])
      return false;
  }
  return ox_axis(o, ox_int(o, "axis", 0), x[0]->type.rank, &axis) &&
         quant_give(o, ox_concat(o, x, n, axis), 2, 0, 1);
}

/* ---- pools ---------------------------------------------------------- */

/* x [N,...,C] as [N,C,...], or back. */
static Node *channels_move(Ox *o, Node *x, bool back) {
  int64_t order[MAX_RANK];
  if (!x)
    return NULL;
  int rank = x->type.rank;
  for (int i = 0; i < rank; i++)
    order[i] = i == 0 ? 0 : back ? i + 1 : i - 1;
  if (rank > 1)
    order[back ? rank - 1 : 1] = back ? 1 : rank - 1;
  return ox_permute(o, x, order);
}

bool ox_write_qlinear_average_pool(Ox *o) {
  bool last = ox_int(o, "channels_last", 0) != 0;
  Node *x = real_operand(o, 0, 1, 2);
  if (last)
    x = channels_move(o, x, false);
  Node *y = quant_delegate(o, ox_write_average_pool, "AveragePool", &x, 1);
  if (last)
    y = channels_move(o, y, true);
  return quant_give(o, y, 0, 3, 4);
}

bool ox_write_qlinear_global_average_pool(Ox *o) {
  bool last = ox_int(o, "channels_last", 0) != 0;
  Node *x = real_operand(o, 0, 1, 2);
  int64_t axes[MAX_RANK];
  if (!x)
    return false;
  if (x->type.rank < 3)
    return ox_malformed(o, "an input of %d dimensions", x->type.rank);
  int n = x->type.rank - 2;
  for (int i = 0; i < n; i++)
    axes[i] = last ? i + 1 : i + 2;
  return quant_give(o, ox_reduce(o, OP_MEAN, x, axes, n, true), 0, 3, 4);
}
