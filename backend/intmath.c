/* intmath.c - elementwise arithmetic on integers and bits, scalars and
 * vectors, as ir/eval_math.c defines it: modulo 2^bits. */
#include "backend/vmath.h"

static Val compare(Gen *g, Elem e, Val a, Val b) {
  bool is_unsigned = e == U8 || e == B1;
  return LLVMBuildICmp(g->b, is_unsigned ? LLVMIntULT : LLVMIntSLT, a, b, "");
}

Val unary_int(Gen *g, Op op, Elem e, Val x) {
  switch (op) {
    case OP_NEG: return LLVMBuildNeg(g->b, x, "");
    case OP_ABS:
      return LLVMBuildSelect(g->b, compare(g, e, x, const_like(g, x, 0)),
                             LLVMBuildNeg(g->b, x, ""), x, "");
    case OP_SQUARE: return LLVMBuildMul(g->b, x, x, "");
    default: unreachable();
  }
}

Val binary_int(Gen *g, Op op, Elem e, Val a, Val b) {
  switch (op) {
    case OP_ADD: return LLVMBuildAdd(g->b, a, b, "");
    case OP_SUB: return LLVMBuildSub(g->b, a, b, "");
    case OP_MUL: return LLVMBuildMul(g->b, a, b, "");
    case OP_MAXIMUM:
      return LLVMBuildSelect(g->b, compare(g, e, a, b), b, a, "");
    case OP_MINIMUM:
      return LLVMBuildSelect(g->b, compare(g, e, b, a), b, a, "");
    default: unreachable();
  }
}
