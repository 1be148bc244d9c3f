/* vtrig.c - sine, cosine and the angle of a vector on scalars and vectors of
 * f32; see vmath.c for how the polynomials were made.  Largest errors in
 * units in the last place: sin 1, cos 1, atan2 3.
 *
 * Reduction: k pi/2 is subtracted in two parts in double (Cody and Waite,
 * 1980); where an argument is too large for that, libm's sinf and cosf. */
#include <math.h>
#include <string.h>

#include "backend/vmath.h"

/* sin(r)/r - 1 over r^2, cos(r) - 1 + r^2/2 over r^4, in r^2, |r| <= pi/4. */
static const float sin_poly[] = { -0.166666552f, 0.00833217613f,
                                  -0.00019516972f };
static const float cos_poly[] = { 0.0416666456f, -0.00138873642f,
                                  2.44380808e-05f };
/* pi/2: its first 33 bits, so that k times it is exact, and the rest. */
static const double half_pi_hi = 0x1.921fb544p+0;
static const double half_pi_lo = 0x1.0b4611a626331p-34;
static const double most = 32768;     /* of |x|, for that reduction */

static Val mul(Gen *g, Val a, Val b) { return LLVMBuildFMul(g->b, a, b, ""); }
static Val sub(Gen *g, Val a, Val b) { return LLVMBuildFSub(g->b, a, b, ""); }

static LLVMTypeRef like(Val v, LLVMTypeRef scalar) {
  if (!is_vector(v)) return scalar;
  return LLVMVectorType(scalar, LLVMGetVectorSize(LLVMTypeOf(v)));
}

/* r in -pi/4..pi/4 and the quarter that x lies in (modulo 4). */
static Val quarter_reduce(Gen *g, Val x, Val *quarter) {
  Val d = LLVMBuildFPExt(g->b, x, like(x, g->f64), "");
  /* Adding 1.5 * 2^52 leaves the nearest integer in the low bits. */
  Val magic = const_like(g, d, 6755399441055744.0);
  Val t = mul(g, d, const_like(g, d, 0.63661977236758134));
  t = LLVMBuildFAdd(g->b, t, magic, "");
  Val bits = LLVMBuildBitCast(g->b, t, like(x, g->i64), "");
  *quarter = LLVMBuildTrunc(g->b, bits, like(x, g->i32), "");
  Val k = sub(g, t, magic);
  Val r = sub(g, d, mul(g, k, const_like(g, d, half_pi_hi)));
  r = sub(g, r, mul(g, k, const_like(g, d, half_pi_lo)));
  return LLVMBuildFPTrunc(g->b, r, like(x, g->f32), "");
}

static Val int_is(Gen *g, Val v, int bit) {
  Val one = LLVMBuildAnd(g->b, v, const_like(g, v, bit), "");
  return LLVMBuildICmp(g->b, LLVMIntNE, one, const_like(g, v, 0), "");
}

/* sin, or with `shift` 1 cos, of what is not too large. */
static Val wave_small(Gen *g, Val x, int shift) {
  Val q, r = quarter_reduce(g, x, &q);
  q = LLVMBuildAdd(g->b, q, const_like(g, q, shift), "");
  Val z = mul(g, r, r), one = const_like(g, x, 1);
  Val rz = mul(g, r, z), zz = mul(g, z, z);
  Val s = vm_with_sign(g, fma_(g, rz, vm_poly(g, z, sin_poly, 3), r), r);
  Val c = fma_(g, z, const_like(g, z, -0.5), one);
  c = fma_(g, zz, vm_poly(g, z, cos_poly, 3), c);
  Val v = LLVMBuildSelect(g->b, int_is(g, q, 1), c, s, "");
  Val minus = LLVMBuildFNeg(g->b, v, "");
  return LLVMBuildSelect(g->b, int_is(g, q, 2), minus, v, "");
}

/* Lane by lane from libm. */
static Val wave_libm(Gen *g, Val x, const char *name) {
  LLVMTypeRef t = LLVMFunctionType(g->f32, &g->f32, 1, false);
  Val fn = LLVMGetNamedFunction(g->m, name);
  if (!fn) fn = LLVMAddFunction(g->m, name, t);
  if (!is_vector(x)) return LLVMBuildCall2(g->b, t, fn, &x, 1, "");
  Val v = LLVMGetPoison(LLVMTypeOf(x));
  for (int i = 0; i < (int)LLVMGetVectorSize(LLVMTypeOf(x)); i++) {
    Val lane = vlane(g, x, i);
    v = vinsert(g, v, LLVMBuildCall2(g->b, t, fn, &lane, 1, ""), i);
  }
  return v;
}

/* Whether any lane of a condition is set. */
static Val any(Gen *g, Val c) {
  if (!is_vector(c)) return c;
  unsigned n = LLVMGetVectorSize(LLVMTypeOf(c));
  LLVMTypeRef t = LLVMIntTypeInContext(g->c, n);
  Val bits = LLVMBuildBitCast(g->b, c, t, "");
  return LLVMBuildICmp(g->b, LLVMIntNE, bits, LLVMConstNull(t), "");
}

/* NaN stays with the small ones. */
static Val wave(Gen *g, Val x, int shift, const char *name) {
  Val small = wave_small(g, x, shift);
  Val large = LLVMBuildFCmp(g->b, LLVMRealOGT, vm_abs(g, x),
                            const_like(g, x, most), "");
  LLVMBasicBlockRef from = LLVMGetInsertBlock(g->b);
  LLVMBasicBlockRef call = LLVMAppendBasicBlockInContext(g->c, g->fn, "far");
  LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  LLVMBuildCondBr(g->b, any(g, large), call, next);
  LLVMPositionBuilderAtEnd(g->b, call);
  Val far = LLVMBuildSelect(g->b, large, wave_libm(g, x, name), small, "");
  LLVMBuildBr(g->b, next);
  LLVMPositionBuilderAtEnd(g->b, next);
  Val v = LLVMBuildPhi(g->b, LLVMTypeOf(x), "");
  LLVMAddIncoming(v, (Val[]){ small, far },
                  (LLVMBasicBlockRef[]){ from, call }, 2);
  return v;
}

Val vm_sin(Gen *g, Val x) { return wave(g, x, 0, "sinf"); }

Val vm_cos(Gen *g, Val x) { return wave(g, x, 1, "cosf"); }

/* ---- atan2 ----------------------------------------------------------- */

/* (atan(t)/t - 1) / t^2 in t^2, for 0 <= t <= 1. */
static const float atan_poly[] = {
  -0.333331674f, 0.199941352f, -0.142141938f, 0.106788754f, -0.0758043751f,
  0.0435518436f, -0.0165801253f, 0.002974323f
};

/* The angle of min/max of the magnitudes, then reflected into its octant;
 * zeros and infinities have the angles that C gives them. */
Val vm_atan2(Gen *g, Val y, Val x) {
  Val ay = vm_abs(g, y), ax = vm_abs(g, x);
  Val zero = const_like(g, x, 0), inf = const_like(g, x, INFINITY);
  Val steep = LLVMBuildFCmp(g->b, LLVMRealOGT, ay, ax, "");
  Val lo = LLVMBuildSelect(g->b, steep, ax, ay, "");
  Val hi = LLVMBuildSelect(g->b, steep, ay, ax, "");
  Val t = LLVMBuildFDiv(g->b, lo, hi, "");
  t = vm_select(g, LLVMRealOEQ, hi, zero, zero, t);
  t = vm_select(g, LLVMRealOEQ, lo, inf, const_like(g, x, 1), t);
  Val z = mul(g, t, t);
  Val tz = mul(g, t, z), a = fma_(g, tz, vm_poly(g, z, atan_poly, 8), t);
  a = LLVMBuildSelect(g->b, steep, sub(g, const_like(g, x, M_PI_2), a), a,
                      "");
  Val left = LLVMBuildBitCast(g->b, x, like(x, g->i32), "");
  left = LLVMBuildICmp(g->b, LLVMIntSLT, left, const_like(g, left, 0), "");
  a = LLVMBuildSelect(g->b, left, sub(g, const_like(g, x, M_PI), a), a, "");
  a = vm_with_sign(g, a, y);
  /* A comparison above may have lost a NaN. */
  Val sum = LLVMBuildFAdd(g->b, x, y, "");
  a = vm_select(g, LLVMRealUNO, x, x, sum, a);
  return vm_select(g, LLVMRealUNO, y, y, sum, a);
}
