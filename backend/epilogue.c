/* epilogue.c - elementwise arithmetic as the evaluator defines it
 * (ir/eval_math.c), the fused epilogue, and the zeros around a tensor. */
#include <string.h>

#include "backend/vmath.h"

/* Below zero 0, NaN stays. */
static Val relu(Gen *g, Val x) {
  Val zero = const_like(g, x, 0);
  return vm_select(g, LLVMRealOLT, x, zero, zero, x);
}

static Val negative_part(Gen *g, Val x, Val below) {
  return vm_select(g, LLVMRealOLT, x, const_like(g, x, 0), below, x);
}

/* (x + 3) / 6 within 0..1: right to the last bit for small integers. */
static Val hardsigmoid(Gen *g, Val x) {
  Val three = const_like(g, x, 3), six = const_like(g, x, 6);
  Val c = vm_clamp(g, LLVMBuildFAdd(g->b, x, three, ""), 0, 6);
  return LLVMBuildFDiv(g->b, c, six, "");
}

static Val hardswish(Gen *g, Val x) {
  Val three = const_like(g, x, 3), six = const_like(g, x, 6);
  Val c = vm_clamp(g, LLVMBuildFAdd(g->b, x, three, ""), 0, 6);
  Val v = LLVMBuildFDiv(g->b, LLVMBuildFMul(g->b, x, c, ""), six, "");
  /* x * 6 may overflow where the result is x. */
  return vm_select(g, LLVMRealOGE, x, three, x, v);
}

/* Zeros and NaN stay. */
static Val sign(Gen *g, Val x) {
  Val zero = const_like(g, x, 0);
  Val v = vm_select(g, LLVMRealOGT, x, zero, const_like(g, x, 1), x);
  return vm_select(g, LLVMRealOLT, x, zero, const_like(g, x, -1), v);
}

Val unary_math(Gen *g, Op op, Val x, double p, double q) {
  switch (op) {
    case OP_NEG: return LLVMBuildFNeg(g->b, x, "");
    case OP_ABS: return vm_abs(g, x);
    case OP_SIGN: return sign(g, x);
    case OP_SQUARE: return LLVMBuildFMul(g->b, x, x, "");
    case OP_SQRT: return vm_sqrt(g, x);
    case OP_RSQRT:
      return LLVMBuildFDiv(g->b, const_like(g, x, 1), vm_sqrt(g, x), "");
    case OP_FLOOR: return vm_floor(g, x);
    case OP_CEIL: return vm_ceil(g, x);
    case OP_ROUND: return vm_round(g, x);
    case OP_EXP: return vm_exp(g, x);
    case OP_LOG: return vm_log(g, x);
    case OP_SIN: return vm_sin(g, x);
    case OP_COS: return vm_cos(g, x);
    case OP_TANH: return vm_tanh(g, x);
    case OP_ERF: return vm_erf(g, x);
    case OP_SIGMOID: return vm_sigmoid(g, x);
    case OP_RELU: return relu(g, x);
    case OP_RELU6: return vm_clamp(g, x, 0, 6);
    case OP_LEAKY_RELU:
      return negative_part(
          g, x, LLVMBuildFMul(g->b, x, const_like(g, x, p), ""));
    case OP_ELU:
      return negative_part(g, x, LLVMBuildFMul(g->b, vm_expm1_neg(g, x),
                                               const_like(g, x, p), ""));
    case OP_HARDSIGMOID: return hardsigmoid(g, x);
    case OP_HARDSWISH: return hardswish(g, x);
    case OP_SILU: return LLVMBuildFMul(g->b, x, vm_sigmoid(g, x), "");
    case OP_GELU: return vm_gelu(g, x);
    case OP_CLIP: return vm_clamp(g, x, p, q);
    default: unreachable();
  }
}

/* frem is exact (fmodf of libm); the sign of b. */
static Val floor_mod(Gen *g, Val a, Val b) {
  Val r = LLVMBuildFRem(g->b, a, b, ""), zero = const_like(g, a, 0);
  Val left = LLVMBuildFCmp(g->b, LLVMRealOLT, r, zero, "");
  Val right = LLVMBuildFCmp(g->b, LLVMRealOLT, b, zero, "");
  Val other = LLVMBuildXor(g->b, left, right, "");
  Val some = LLVMBuildFCmp(g->b, LLVMRealUNE, r, zero, "");
  Val sum = LLVMBuildFAdd(g->b, r, b, "");
  return LLVMBuildSelect(g->b, LLVMBuildAnd(g->b, other, some, ""), sum, r,
                         "");
}

/* The quotient of two f32 has its floor exactly in f64 (up to 2^53), and so
 * floor_div(a, b) * b + floor_mod(a, b) is a.  No intrinsic: see vm_round. */
static Val floor_div(Gen *g, Val a, Val b) {
  LLVMTypeRef narrow = LLVMTypeOf(a), wide = g->f64;
  if (is_vector(a))
    wide = LLVMVectorType(wide, LLVMGetVectorSize(narrow));
  a = LLVMBuildFPExt(g->b, a, wide, "");
  b = LLVMBuildFPExt(g->b, b, wide, "");
  Val q = LLVMBuildFDiv(g->b, a, b, "");
  /* Adding 1.5 * 2^52 leaves an integer. */
  Val magic = const_like(g, q, 0x1.8p52), one = const_like(g, q, 1);
  Val near = LLVMBuildFAdd(g->b, q, magic, "");
  near = LLVMBuildFSub(g->b, near, magic, "");
  Val less = LLVMBuildFSub(g->b, near, one, "");
  Val down = vm_select(g, LLVMRealOGT, near, q, less, near);
  Val most = const_like(g, q, 0x1p51);
  down = vm_select(g, LLVMRealOLT, vm_abs(g, q), most, down, q);
  return vm_with_sign(g, LLVMBuildFPTrunc(g->b, down, narrow, ""),
                      LLVMBuildFPTrunc(g->b, q, narrow, ""));
}

Val binary_math(Gen *g, Op op, Val a, Val b) {
  switch (op) {
    case OP_ADD: return LLVMBuildFAdd(g->b, a, b, "");
    case OP_SUB: return LLVMBuildFSub(g->b, a, b, "");
    case OP_MUL: return LLVMBuildFMul(g->b, a, b, "");
    case OP_DIV: return LLVMBuildFDiv(g->b, a, b, "");
    case OP_FLOOR_DIV: return floor_div(g, a, b);
    case OP_FLOOR_MOD: return floor_mod(g, a, b);
    case OP_ATAN2: return vm_atan2(g, a, b);
    case OP_POW: return vm_pow(g, a, b);
    case OP_MAXIMUM: return vm_select(g, LLVMRealOLT, a, b, b, a);
    case OP_MINIMUM: return vm_select(g, LLVMRealOLT, b, a, b, a);
    default: unreachable();
  }
}

bool epilogue_is_long(const Node *n) {
  static const char *const brief[] = {
    "", "relu", "relu6", "clip", "leaky_relu", "abs", "neg", "square"
  };
  const char *act = attr_str(n, "act");
  for (size_t i = 0; i < sizeof brief / sizeof *brief; i++)
    if (!act || strcmp(act, brief[i]) == 0) return false;
  return true;
}

Val epilogue(Gen *g, const Node *n, Val acc, Val r) {
  const char *act = attr_str(n, "act");
  bool last = attr_bool(n, "add_last");
  if (r && !last) acc = LLVMBuildFAdd(g->b, acc, r, "");
  if (act && *act) {
    Op op;
    ensure(op_parse(act, &op) && (op_info(op)->flags & FLAG_UNARY));
    acc = unary_math(g, op, acc, attr_float(n, "lo"), attr_float(n, "hi"));
  }
  return r && last ? LLVMBuildFAdd(g->b, acc, r, "") : acc;
}
