/* vmath.c - exp, log, tanh, erf, sigmoid, gelu, pow and rounding on scalars
 * and vectors of f32, as plain LLVM IR: no call, no table, no branch, and
 * every lane right for infinities, NaN, denormals and arguments of any size.
 *
 * The polynomials are minimax fits of our own (iteratively reweighted least
 * squares at Chebyshev nodes, in 30 digits, then rounded to f32).  Largest
 * errors, measured against double over all exponents by
 * tests/unit/test_backend.c, in units in the last place of a result that is
 * no denormal: exp 1.1, log 1, tanh 2, erf 2, sigmoid 2.5, gelu 6; of what is
 * built on them, silu 3, elu 1.
 *
 * Reduction of exp: Cody and Waite, 1980.  erfc(a) = exp(-a^2) f(t) / (1+2a),
 * t = (a-2)/(a+2): Shepherd and Laframboise, 1981. */
#include <math.h>
#include <string.h>

#include "backend/vmath.h"

/* ---- small vocabulary ----------------------------------------------- */

static Val add(Gen *g, Val a, Val b) { return LLVMBuildFAdd(g->b, a, b, ""); }
static Val sub(Gen *g, Val a, Val b) { return LLVMBuildFSub(g->b, a, b, ""); }
static Val mul(Gen *g, Val a, Val b) { return LLVMBuildFMul(g->b, a, b, ""); }
static Val dvd(Gen *g, Val a, Val b) { return LLVMBuildFDiv(g->b, a, b, ""); }
static Val neg(Gen *g, Val a) { return LLVMBuildFNeg(g->b, a, ""); }

static Val bits_of(Gen *g, Val x) {
  return LLVMBuildBitCast(g->b, x,
                          LLVMTypeOf(x) == g->vec ? g->veci : g->i32, "");
}

static Val bits_to(Gen *g, Val i) {
  return LLVMBuildBitCast(g->b, i,
                          LLVMTypeOf(i) == g->veci ? g->vec : g->f32, "");
}

/* An integer constant of the type of `like`. */
static Val iconst(Gen *g, Val like, uint32_t v) {
  Val lane[64], k = LLVMConstInt(g->i32, v, false);
  if (LLVMTypeOf(like) != g->veci) return k;
  for (int i = 0; i < g->t->lanes; i++) lane[i] = k;
  return LLVMConstVector(lane, (unsigned)g->t->lanes);
}

static Val intrinsic1(Gen *g, const char *name, Val x) {
  LLVMTypeRef t = LLVMTypeOf(x);
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  ensure(id != 0);
  Val fn = LLVMGetIntrinsicDeclaration(g->m, id, &t, 1);
  return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->c, id, &t, 1), fn, &x,
                        1, "");
}

Val vm_select(Gen *g, LLVMRealPredicate p, Val a, Val b, Val yes, Val no) {
  return LLVMBuildSelect(g->b, LLVMBuildFCmp(g->b, p, a, b, ""), yes, no, "");
}

Val vm_clamp(Gen *g, Val x, double lo, double hi) {
  Val l = const_like(g, x, lo), h = const_like(g, x, hi);
  Val up = vm_select(g, LLVMRealOLT, x, l, l, x);
  return vm_select(g, LLVMRealOGT, up, h, h, up);
}

Val vm_abs(Gen *g, Val x) { return intrinsic1(g, "llvm.fabs", x); }
Val vm_sqrt(Gen *g, Val x) { return intrinsic1(g, "llvm.sqrt", x); }

/* x, which is positive or has the sign of s already, with the sign of s: a
 * sum of zeros loses theirs. */
Val vm_with_sign(Gen *g, Val x, Val s) {
  Val top = bits_of(g, s);
  top = LLVMBuildAnd(g->b, top, iconst(g, top, 0x80000000u), "");
  return bits_to(g, LLVMBuildOr(g->b, bits_of(g, x), top, ""));
}

/* c[0] + c[1] x + ... by Horner's rule. */
Val vm_poly(Gen *g, Val x, const float *c, int n) {
  Val v = const_like(g, x, (double)c[n - 1]);
  for (int i = n - 2; i >= 0; i--)
    v = fma_(g, v, x, const_like(g, x, (double)c[i]));
  return v;
}
#define POLY(g, x, c) vm_poly(g, x, c, (int)(sizeof(c) / sizeof *(c)))

/* ---- exp ------------------------------------------------------------ */

/* ln 2 in two parts; the first has 9 bits, so that k times it is exact. */
static const double ln2_hi = 0.693359375, ln2_lo = -2.12194440054690583e-4;
/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2. */
static const float exp_poly[] = { 0.5f, 0.166665182f, 0.041666206f,
                                  0.00836895313f, 0.0013950601f };

/* Adding 1.5 * 2^23 leaves the nearest integer in the low bits. */
static const double exp_magic = 12582912;

/* x = k ln 2 + r.  Gives e^r - 1, and the bits of k + magic.  NaN stays NaN
 * and makes some k. */
static Val exp_parts(Gen *g, Val x, double magic, Val *k) {
  Val m = const_like(g, x, magic);
  Val t = fma_(g, x, const_like(g, x, 1.44269504088896341), m);
  *k = bits_of(g, t);
  Val n = sub(g, t, m);
  Val r = fma_(g, n, const_like(g, x, -ln2_hi), x);
  r = fma_(g, n, const_like(g, x, -ln2_lo), r);
  Val rr = mul(g, r, r);
  return fma_(g, rr, POLY(g, r, exp_poly), r);
}

/* The same with k as an integer. */
static Val exp_reduce(Gen *g, Val x, Val *k) {
  Val em1 = exp_parts(g, x, exp_magic, k);
  Val m = bits_of(g, const_like(g, x, exp_magic));
  *k = LLVMBuildSub(g->b, *k, m, "");
  return em1;
}

/* 2^k for -126 <= k <= 127. */
static Val exp2_int(Gen *g, Val k) {
  Val e = LLVMBuildAdd(g->b, k, iconst(g, k, 127), "");
  return bits_to(g, LLVMBuildShl(g->b, e, iconst(g, k, 23), ""));
}

Val vm_exp(Gen *g, Val x) {
  Val k, em1 = exp_reduce(g, vm_clamp(g, x, -104, 89), &k);
  Val e = add(g, em1, const_like(g, x, 1));
  /* In two factors: 2^k itself may be no float. */
  Val half = LLVMBuildAShr(g->b, k, iconst(g, k, 1), "");
  Val rest = LLVMBuildSub(g->b, k, half, "");
  e = mul(g, e, exp2_int(g, half));
  return mul(g, e, exp2_int(g, rest));
}

Val vm_exp_neg(Gen *g, Val x) {
  Val lo = const_like(g, x, -87.3365), k;
  Val in = vm_select(g, LLVMRealOLT, x, lo, lo, x);
  /* The low bits of k + magic + 127 are an exponent. */
  Val em1 = exp_parts(g, in, exp_magic + 127, &k);
  Val s = bits_to(g, LLVMBuildShl(g->b, k, iconst(g, k, 23), ""));
  Val e = fma_(g, s, em1, s);
  return vm_select(g, LLVMRealOLT, x, lo, const_like(g, x, 0), e);
}

Val vm_expm1_neg(Gen *g, Val x) {
  Val k, em1 = exp_reduce(g, vm_clamp(g, x, -30, 0), &k);
  Val s = exp2_int(g, k);
  return fma_(g, s, em1, sub(g, s, const_like(g, x, 1)));
}

/* ---- log ------------------------------------------------------------ */

/* (log(1+f) - 2s) / s^3 in s^2, s = f/(2+f). */
static const float log_poly[] = { 0.666666627f, 0.400003344f, 0.285373092f,
                                  0.235821515f };

Val vm_log(Gen *g, Val x) {
  Val one = const_like(g, x, 1), zero = const_like(g, x, 0);
  Val tiny = const_like(g, x, 1.17549435e-38);
  /* Denormals are scaled up by 2^23. */
  Val up = mul(g, x, const_like(g, x, 8388608));
  Val y = vm_select(g, LLVMRealOLT, x, tiny, up, x);
  Val shift = vm_select(g, LLVMRealOLT, x, tiny, const_like(g, x, -23), zero);
  /* y = 2^e m with m in [sqrt 1/2, sqrt 2). */
  Val b = bits_of(g, y), root = iconst(g, b, 0x3f3504f3u);
  Val e = LLVMBuildAShr(g->b, LLVMBuildSub(g->b, b, root, ""),
                        iconst(g, b, 23), "");
  Val m = bits_to(g, LLVMBuildSub(
      g->b, b, LLVMBuildShl(g->b, e, iconst(g, b, 23), ""), ""));
  Val n = add(g, LLVMBuildSIToFP(g->b, e, LLVMTypeOf(x), ""), shift);
  Val f = sub(g, m, one);
  Val s = dvd(g, f, add(g, f, const_like(g, x, 2)));
  Val z = mul(g, s, s);
  Val h = mul(g, mul(g, f, f), const_like(g, x, 0.5));
  Val tail = fma_(g, z, POLY(g, z, log_poly), h);
  /* log(1+f) = f - (f^2/2 - s (f^2/2 + z P(z))). */
  Val low = fma_(g, n, const_like(g, x, ln2_lo), mul(g, s, tail));
  Val v = fma_(g, n, const_like(g, x, ln2_hi), sub(g, f, sub(g, h, low)));
  Val inf = const_like(g, x, INFINITY);
  v = vm_select(g, LLVMRealOEQ, x, inf, inf, v);
  v = vm_select(g, LLVMRealOEQ, x, zero, neg(g, inf), v);
  return vm_select(g, LLVMRealUGE, x, zero,
                   vm_select(g, LLVMRealUNO, x, x, x, v),
                   const_like(g, x, (double)NAN));
}

/* ---- tanh, sigmoid --------------------------------------------------- */

/* (tanh(x)/x - 1) / x^2 in x^2, for |x| < 0.55. */
static const float tanh_poly[] = { -0.333333194f, 0.133326024f,
                                   -0.0538538583f, 0.0210777577f,
                                   -0.00628247298f };

Val vm_tanh(Gen *g, Val x) {
  Val a = vm_abs(g, x), one = const_like(g, x, 1);
  Val z = mul(g, x, x);
  Val xz = mul(g, x, z), small = fma_(g, xz, POLY(g, z, tanh_poly), x);
  Val e = vm_exp(g, add(g, a, a));
  Val q = dvd(g, const_like(g, x, 2), add(g, e, one));
  Val v = vm_select(g, LLVMRealOLT, a, const_like(g, x, 0.55), small,
                    sub(g, one, q));
  return vm_with_sign(g, v, x);   /* also of -0 */
}

Val vm_sigmoid(Gen *g, Val x) {
  Val one = const_like(g, x, 1);
  Val e = vm_exp(g, neg(g, vm_abs(g, x)));
  Val top = vm_select(g, LLVMRealOLT, x, const_like(g, x, 0), e, one);
  return dvd(g, top, add(g, e, one));
}

/* ---- erf, gelu ------------------------------------------------------ */

/* erf(x)/x - 1 in x^2, for |x| < 0.85. */
static const float erf_poly[] = { 0.128379226f, -0.376126379f, 0.112837493f,
                                  -0.0268626269f, 0.00520968204f,
                                  -0.00082489755f, 8.85775953e-05f };
/* (1+2a) exp(a^2) erfc(a) in t = (a-2)/(a+2), for 0.83 < a < 10.3. */
static const float erfc_poly[] = {
  1.27697837f, -0.0927638113f, -0.166030183f, 0.164050087f, -0.0542254709f,
  -0.00801163819f, 0.00876271445f, 0.00110423355f, -0.00151008647f
};
static const double erf_split = 0.85;

/* erf of a small argument. */
static Val erf_small(Gen *g, Val x) {
  return fma_(g, x, POLY(g, mul(g, x, x), erf_poly), x);
}

/* u*u - hi without rounding, hi being the rounded product. */
static Val square_rest(Gen *g, Val u, Val hi) {
  if (g->t->fma) return fma_(g, u, u, neg(g, hi));
  /* Dekker, 1971: products of halves are exact. */
  Val b = bits_of(g, u);
  Val h = bits_to(g, LLVMBuildAnd(g->b, b, iconst(g, b, 0xfffff000u), ""));
  Val l = sub(g, u, h);
  Val v = sub(g, mul(g, h, h), hi);
  v = add(g, v, mul(g, add(g, h, h), l));
  return add(g, v, mul(g, l, l));
}

/* erfc(a) for a > 0.83, where a^2 = scale * u^2 (scale a power of two).
 * The rounding of u^2 would cost exp many digits: it is made up for. */
static Val erfc_large(Gen *g, Val a, Val u, double scale) {
  Val hi = mul(g, u, u), lo = square_rest(g, u, hi);
  Val minus = const_like(g, a, -scale);
  Val e = vm_exp(g, mul(g, hi, minus));
  e = fma_(g, mul(g, lo, minus), e, e);
  Val two = const_like(g, a, 2);
  Val t = sub(g, a, two);
  t = dvd(g, t, add(g, a, two));
  Val q = POLY(g, t, erfc_poly);
  q = dvd(g, q, fma_(g, a, two, const_like(g, a, 1)));
  return mul(g, e, q);
}

Val vm_erf(Gen *g, Val x) {
  Val a = vm_clamp(g, vm_abs(g, x), 0, 11), one = const_like(g, x, 1);
  Val large = vm_with_sign(g, sub(g, one, erfc_large(g, a, a, 1)), x);
  return vm_select(g, LLVMRealOLT, a, const_like(g, x, erf_split),
                   erf_small(g, x), large);
}

/* x/2 erfc(-x / sqrt 2). */
Val vm_gelu(Gen *g, Val x) {
  Val u = vm_clamp(g, vm_abs(g, x), 0, 15);
  Val root = const_like(g, x, 0.70710678118654752);
  Val a = mul(g, u, root), h = mul(g, x, const_like(g, x, 0.5));
  Val c = erfc_large(g, a, u, 0.5);
  /* Above 0 by u, which is finite: infinity stays. */
  Val over = mul(g, mul(g, u, const_like(g, x, 0.5)), c);
  Val hc = mul(g, h, c), large = sub(g, x, over);
  large = vm_select(g, LLVMRealOLT, x, const_like(g, x, 0), hc, large);
  Val small = fma_(g, h, erf_small(g, mul(g, x, root)), h);
  small = vm_with_sign(g, small, x);   /* also of -0 */
  return vm_select(g, LLVMRealOLT, a, const_like(g, x, erf_split), small,
                   large);
}

/* ---- rounding, pow --------------------------------------------------- */

/* Adding 2^23 to |x| below it leaves an integer; what is larger is one.  No
 * intrinsic: without SSE4.1 that would be a call into libm. */
Val vm_round(Gen *g, Val x) {
  Val a = vm_abs(g, x), big = const_like(g, x, 8388608);
  Val near = sub(g, add(g, a, big), big);
  return vm_with_sign(g, vm_select(g, LLVMRealOLT, a, big, near, a), x);
}

Val vm_floor(Gen *g, Val x) {
  Val r = vm_round(g, x);
  return vm_select(g, LLVMRealOGT, r, x, sub(g, r, const_like(g, x, 1)), r);
}

/* The sign of x also on a zero. */
Val vm_ceil(Gen *g, Val x) {
  Val r = vm_round(g, x), up = add(g, r, const_like(g, x, 1));
  return vm_select(g, LLVMRealOLT, r, x,
                   vm_with_sign(g, vm_abs(g, up), x), r);
}

/* exp(y log|x|), with what C says of zeros, ones, infinities and negative
 * bases.  Its relative error grows with |y log x|. */
Val vm_pow(Gen *g, Val x, Val y) {
  Val zero = const_like(g, x, 0), one = const_like(g, x, 1);
  Val a = vm_abs(g, x), half = mul(g, y, const_like(g, x, 0.5));
  Val m = vm_exp(g, mul(g, y, vm_log(g, a)));
  m = vm_select(g, LLVMRealOEQ, a, one, one, m);
  Val whole = vm_round(g, y), even = vm_round(g, half);
  /* Odd: an integer whose half is none. */
  Val odd = vm_select(g, LLVMRealOEQ, even, half, m, vm_with_sign(g, m, x));
  Val nan = const_like(g, x, (double)NAN);
  Val part = vm_select(g, LLVMRealOLT, x, zero, nan, m);
  part = vm_select(g, LLVMRealOEQ, a, const_like(g, x, INFINITY), m, part);
  Val v = vm_select(g, LLVMRealOEQ, whole, y, odd, part);
  return vm_select(g, LLVMRealOEQ, y, zero, one, v);
}
