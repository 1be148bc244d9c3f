/* cast.c - kernel cast: from one element type to another, as elem_store of
 * the evaluator does it.  Narrow floats are words in memory; they become f32
 * and back by integer arithmetic, the same on every CPU. */
#include <string.h>

#include "backend/vmath.h"

/* ---- words ----------------------------------------------------------- */

/* i32, or a vector of them, for a scalar or vector of any type. */
static LLVMTypeRef as_vector(Gen *g, Val like, LLVMTypeRef scalar) {
  if (!is_vector(like)) return scalar;
  (void)g;
  return LLVMVectorType(scalar, LLVMGetVectorSize(LLVMTypeOf(like)));
}

static Val iand(Gen *g, Val a, uint32_t k) {
  return LLVMBuildAnd(g->b, a, const_like(g, a, k), "");
}

static Val iadd(Gen *g, Val a, uint32_t k) {
  return LLVMBuildAdd(g->b, a, const_like(g, a, k), "");
}

static Val shl(Gen *g, Val a, int n) {
  return LLVMBuildShl(g->b, a, const_like(g, a, n), "");
}

static Val shr(Gen *g, Val a, int n) {
  return LLVMBuildLShr(g->b, a, const_like(g, a, n), "");
}

static Val below(Gen *g, Val a, uint32_t k) {
  return LLVMBuildICmp(g->b, LLVMIntULT, a, const_like(g, a, k), "");
}

static Val pick(Gen *g, Val c, Val yes, Val no) {
  return LLVMBuildSelect(g->b, c, yes, no, "");
}

static Val to_float(Gen *g, Val bits) {
  return LLVMBuildBitCast(g->b, bits, as_vector(g, bits, g->f32), "");
}

static Val to_bits(Gen *g, Val f) {
  return LLVMBuildBitCast(g->b, f, as_vector(g, f, g->i32), "");
}

/* ---- narrow floats --------------------------------------------------- */

/* Exponents move by 112; those of infinity and NaN go from 31 to 255.  A
 * subnormal's mantissa is put behind the point of 2^-14, which is then
 * subtracted: no denormal f32 is met. */
static Val half_widen(Gen *g, Val word) {
  Val w = LLVMBuildZExt(g->b, word, as_vector(g, word, g->i32), "");
  Val sign = shl(g, iand(g, w, 0x8000), 16);
  Val em = shl(g, iand(g, w, 0x7fff), 13);
  Val small = to_float(g, iadd(g, em, 113u << 23));
  small = LLVMBuildFSub(g->b, small, const_like(g, small, 0x1p-14), "");
  Val real = iadd(g, em, 112u << 23), other = iadd(g, em, 224u << 23);
  Val bits = pick(g, below(g, em, 31u << 23), real, other);
  small = to_bits(g, small);
  bits = pick(g, below(g, em, 1u << 23), small, bits);
  return to_float(g, LLVMBuildOr(g->b, bits, sign, ""));
}

/* Nearest, ties to even.  Below 2^-14 adding 1/2 rounds to multiples of
 * 2^-24; else half a unit and the last bit that stays are added. */
static Val half_narrow(Gen *g, Val f) {
  Val bits = to_bits(g, f);
  Val sign = iand(g, shr(g, bits, 16), 0x8000), a = iand(g, bits, 0x7fffffff);
  Val tiny = to_float(g, a);
  tiny = LLVMBuildFAdd(g->b, tiny, const_like(g, tiny, 0.5), "");
  tiny = iadd(g, to_bits(g, tiny), 0u - 0x3f000000u);
  Val h = iadd(g, a, 0xc8000fffu);
  h = shr(g, LLVMBuildAdd(g->b, h, iand(g, shr(g, a, 13), 1), ""), 13);
  h = pick(g, below(g, a, 0x38800000), tiny, h);
  h = pick(g, below(g, a, 0x47800000), h, const_like(g, a, 0x7c00));
  h = pick(g, below(g, a, 0x7f800001), h, const_like(g, a, 0x7e00));
  h = LLVMBuildOr(g->b, h, sign, "");
  return LLVMBuildTrunc(g->b, h, as_vector(g, h, g->i16), "");
}

static Val bf16_widen(Gen *g, Val word) {
  Val w = LLVMBuildZExt(g->b, word, as_vector(g, word, g->i32), "");
  return to_float(g, shl(g, w, 16));
}

static Val bf16_narrow(Gen *g, Val f) {
  Val bits = to_bits(g, f), up = shr(g, bits, 16);
  Val r = iadd(g, bits, 0x7fff);
  r = LLVMBuildAdd(g->b, r, iand(g, up, 1), "");
  Val quiet = LLVMBuildOr(g->b, up, const_like(g, up, 0x40), "");
  Val real = below(g, iand(g, bits, 0x7fffffff), 0x7f800001);
  r = pick(g, real, shr(g, r, 16), quiet);
  return LLVMBuildTrunc(g->b, r, as_vector(g, r, g->i16), "");
}

/* ---- f64 ------------------------------------------------------------- */

static Val float_resize(Gen *g, Val v, Elem to) {
  return LLVMBuildFPCast(g->b, v, as_vector(g, v, elem_type(g, to)), "");
}

/* An f64 as an f32 that f16 is then rounded from as from the f64 itself:
 * towards zero, with the last bit set where bits are lost (Boldo and
 * Melquiond, 2008: rounding to odd). */
static Val round_to_odd(Gen *g, Val v) {
  Val f = float_resize(g, v, F32), back = float_resize(g, f, F64);
  Val exact = LLVMBuildFCmp(g->b, LLVMRealOEQ, back, v, "");
  Val nan = LLVMBuildFCmp(g->b, LLVMRealUNO, v, v, "");
  Val zero = const_like(g, v, 0);
  Val above = LLVMBuildFCmp(g->b, LLVMRealOGT, back, v, "");
  Val positive = LLVMBuildFCmp(g->b, LLVMRealOGT, v, zero, "");
  /* Whether the f32 is farther from zero than v, where they differ. */
  Val out = LLVMBuildICmp(g->b, LLVMIntEQ, above, positive, "");
  Val bits = to_bits(g, f), odd = iadd(g, bits, 0xffffffff);
  odd = pick(g, out, odd, bits);
  odd = LLVMBuildOr(g->b, odd, const_like(g, odd, 1), "");
  Val same = LLVMBuildOr(g->b, exact, nan, "");
  return to_float(g, pick(g, same, bits, odd));
}

/* ---- conversions ----------------------------------------------------- */

/* Towards zero; NaN 0; out of range the nearest. */
static Val float_to_int(Gen *g, Val f, Elem to) {
  const char *name = elem_is_unsigned(to) ? "llvm.fptoui.sat"
                                          : "llvm.fptosi.sat";
  LLVMTypeRef t[] = { as_vector(g, f, elem_type(g, to)), LLVMTypeOf(f) };
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  ensure(id != 0);
  Val fn = LLVMGetIntrinsicDeclaration(g->m, id, t, 2);
  return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->c, id, t, 2), fn, &f, 1,
                        "");
}

static Val not_zero(Gen *g, Val v, Elem e) {
  Val zero = const_like(g, v, 0);
  if (elem_is_float(e)) return LLVMBuildFCmp(g->b, LLVMRealUNE, v, zero, "");
  return e == B1 ? v : LLVMBuildICmp(g->b, LLVMIntNE, v, zero, "");
}

static Val int_to_int(Gen *g, Val v, Elem from, Elem to) {
  LLVMTypeRef t = as_vector(g, v, elem_type(g, to));
  if (from != B1 && elem_size(from) == elem_size(to)) return v;
  bool widens = from == B1 || elem_size(from) < elem_size(to);
  if (!widens) return LLVMBuildTrunc(g->b, v, t, "");
  return elem_is_unsigned(from) ? LLVMBuildZExt(g->b, v, t, "")
                                : LLVMBuildSExt(g->b, v, t, "");
}

/* To f32, or where `to` is one to f64. */
static Val int_to_float(Gen *g, Val v, Elem from, Elem to) {
  LLVMTypeRef t = as_vector(g, v, to == F64 ? g->f64 : g->f32);
  return elem_is_unsigned(from) ? LLVMBuildUIToFP(g->b, v, t, "")
                                : LLVMBuildSIToFP(g->b, v, t, "");
}

/* To a float of an f32 or f64. */
static Val float_to_float(Gen *g, Val v, Elem from, Elem to) {
  if (from == to) return v;
  if (from == F64) v = to == F16 ? round_to_odd(g, v)
                                 : float_resize(g, v, F32);
  switch (to) {
    case F16: return half_narrow(g, v);
    case BF16: return bf16_narrow(g, v);
    case F64: return float_resize(g, v, F64);
    default: return v;
  }
}

Val elem_convert(Gen *g, Val v, Elem from, Elem to) {
  if (from == to) return v;
  if (from == F16) v = half_widen(g, v), from = F32;
  if (from == BF16) v = bf16_widen(g, v), from = F32;
  if (to == B1) return not_zero(g, v, from);
  if (!elem_is_float(to))
    return elem_is_float(from) ? float_to_int(g, v, to)
                               : int_to_int(g, v, from, to);
  if (!elem_is_float(from)) {
    v = int_to_float(g, v, from, to);
    from = to == F64 ? F64 : F32;
  }
  return float_to_float(g, v, from, to);
}

static Val body_cast(Gen *g, const void *ctx, Val *in) {
  const Node *n = ctx;
  return elem_convert(g, in[0], n->in[0]->type.elem, n->type.elem);
}

void emit_cast(Gen *g, const Node *n) {
  Nest t;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  nest_map(g, &t, body_cast, n);
  clear_halo(g, n);
}
