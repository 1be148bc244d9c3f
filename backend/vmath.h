/* vmath.h - inside backend/: elementary functions on scalars and vectors of
 * f32, as plain LLVM IR. */
#ifndef TAMIS_VMATH_H
#define TAMIS_VMATH_H

#include "backend/emit.h"

/* x may be a float or a vector of floats; c is a constant. */
Val vm_select(Gen *g, LLVMRealPredicate p, Val a, Val b, Val yes, Val no);
Val vm_clamp(Gen *g, Val x, double lo, double hi);  /* NaN stays */
Val vm_abs(Gen *g, Val x);
Val vm_sqrt(Gen *g, Val x);
Val vm_exp(Gen *g, Val x);
Val vm_exp_neg(Gen *g, Val x);    /* for x <= 0; 0 for what is no normal float */
Val vm_expm1_neg(Gen *g, Val x);  /* for x <= 0; 0 above */
Val vm_log(Gen *g, Val x);
Val vm_tanh(Gen *g, Val x);
Val vm_erf(Gen *g, Val x);
Val vm_sigmoid(Gen *g, Val x);
Val vm_gelu(Gen *g, Val x);
Val vm_round(Gen *g, Val x);      /* halves to the even integer */
Val vm_floor(Gen *g, Val x);
Val vm_ceil(Gen *g, Val x);
Val vm_pow(Gen *g, Val x, Val y);
/* x, of no sign or that of s, with the sign of s; c[0] + c[1] x + ... */
Val vm_with_sign(Gen *g, Val x, Val s);
Val vm_poly(Gen *g, Val x, const float *c, int n);
/* vtrig.c */
Val vm_sin(Gen *g, Val x);
Val vm_cos(Gen *g, Val x);
Val vm_atan2(Gen *g, Val y, Val x);

#endif
