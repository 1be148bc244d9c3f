/* intmath.c - elementwise arithmetic on integers and bits, scalars and
 * vectors, as ir/eval_math.c defines it: modulo 2^bits. */
#include "backend/vmath.h"

static Val less(Gen *g, Elem e, Val a, Val b) {
  bool is_unsigned = e == U8 || e == B1;
  return LLVMBuildICmp(g->b, is_unsigned ? LLVMIntULT : LLVMIntSLT, a, b, "");
}

/* a / b rounded down, or what is left; no division that traps is made. */
static Val floor_divide(Gen *g, bool rest, Val a, Val b) {
  Val zero = const_like(g, a, 0), one = const_like(g, a, 1);
  Val minus = const_like(g, a, -1);
  Val none = LLVMBuildICmp(g->b, LLVMIntEQ, b, zero, "");
  Val negates = LLVMBuildICmp(g->b, LLVMIntEQ, b, minus, "");
  Val odd = LLVMBuildOr(g->b, none, negates, "");
  Val safe = LLVMBuildSelect(g->b, odd, one, b, "");
  Val q = LLVMBuildSDiv(g->b, a, safe, "");
  Val r = LLVMBuildSub(g->b, a, LLVMBuildMul(g->b, q, safe, ""), "");
  Val sign = LLVMBuildICmp(g->b, LLVMIntSLT, LLVMBuildXor(g->b, r, safe, ""),
                           zero, "");
  Val down = LLVMBuildAnd(
      g->b, sign, LLVMBuildICmp(g->b, LLVMIntNE, r, zero, ""), "");
  if (rest)
    return LLVMBuildSelect(g->b, down, LLVMBuildAdd(g->b, r, safe, ""), r,
                           "");
  q = LLVMBuildSelect(g->b, down, LLVMBuildSub(g->b, q, one, ""), q, "");
  q = LLVMBuildSelect(g->b, negates, LLVMBuildNeg(g->b, a, ""), q, "");
  return LLVMBuildSelect(g->b, none, zero, q, "");
}

static Val sign_int(Gen *g, Val x) {
  Val zero = const_like(g, x, 0), one = const_like(g, x, 1);
  Val v = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, x, zero, ""),
                          one, zero, "");
  return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, x, zero, ""),
                         const_like(g, x, -1), v, "");
}

Val unary_int(Gen *g, Op op, Elem e, Val x) {
  Val v;
  switch (op) {
    case OP_NEG: return LLVMBuildNeg(g->b, x, "");
    case OP_ABS:
      v = LLVMBuildNeg(g->b, x, "");
      return LLVMBuildSelect(g->b, less(g, e, x, const_like(g, x, 0)), v, x,
                             "");
    case OP_SIGN: return sign_int(g, x);
    case OP_SQUARE: return LLVMBuildMul(g->b, x, x, "");
    default: unreachable();
  }
}

Val binary_int(Gen *g, Op op, Elem e, Val a, Val b) {
  switch (op) {
    case OP_ADD: return LLVMBuildAdd(g->b, a, b, "");
    case OP_SUB: return LLVMBuildSub(g->b, a, b, "");
    case OP_MUL: return LLVMBuildMul(g->b, a, b, "");
    case OP_FLOOR_DIV: return floor_divide(g, false, a, b);
    case OP_FLOOR_MOD: return floor_divide(g, true, a, b);
    case OP_MAXIMUM:
      return LLVMBuildSelect(g->b, less(g, e, a, b), b, a, "");
    case OP_MINIMUM:
      return LLVMBuildSelect(g->b, less(g, e, b, a), b, a, "");
    default: unreachable();
  }
}

/* ---- comparisons ----------------------------------------------------- */

static LLVMRealPredicate float_order(Op op) {
  switch (op) {
    case OP_EQUAL: return LLVMRealOEQ;
    case OP_NOT_EQUAL: return LLVMRealUNE;
    case OP_LESS: return LLVMRealOLT;
    case OP_LESS_EQUAL: return LLVMRealOLE;
    case OP_GREATER: return LLVMRealOGT;
    case OP_GREATER_EQUAL: return LLVMRealOGE;
    default: unreachable();
  }
}

static LLVMIntPredicate int_order(Op op, bool is_unsigned) {
  switch (op) {
    case OP_EQUAL: return LLVMIntEQ;
    case OP_NOT_EQUAL: return LLVMIntNE;
    case OP_LESS: return is_unsigned ? LLVMIntULT : LLVMIntSLT;
    case OP_LESS_EQUAL: return is_unsigned ? LLVMIntULE : LLVMIntSLE;
    case OP_GREATER: return is_unsigned ? LLVMIntUGT : LLVMIntSGT;
    case OP_GREATER_EQUAL: return is_unsigned ? LLVMIntUGE : LLVMIntSGE;
    default: unreachable();
  }
}

bool op_compares(Op op) {
  return op == OP_EQUAL || op == OP_NOT_EQUAL || op == OP_LESS ||
         op == OP_LESS_EQUAL || op == OP_GREATER || op == OP_GREATER_EQUAL;
}

Val compare_elems(Gen *g, Op op, Elem e, Val a, Val b) {
  if (elem_is_float(e)) return LLVMBuildFCmp(g->b, float_order(op), a, b, "");
  bool is_unsigned = e == U8 || e == B1;
  return LLVMBuildICmp(g->b, int_order(op, is_unsigned), a, b, "");
}
