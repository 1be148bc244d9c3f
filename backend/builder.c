/* builder.c - the IR-building vocabulary of kernels: constants, addresses,
 * scalar and vector loads and stores, fused multiply-add, shuffles, lane
 * masks and counted loops.  Nothing here knows an op. */
#include "backend/codegen.h"

#include <string.h>

#include "backend/compat.h"

/* ---- constants and addresses ---------------------------------------- */

Val k32(Gen *g, int64_t v) { return LLVMConstInt(g->i32, (uint64_t)v, true); }

Val k64(Gen *g, int64_t v) { return LLVMConstInt(g->i64, (uint64_t)v, true); }

Val kf(Gen *g, double v) { return LLVMConstReal(g->f32, v); }

Val vzero(Gen *g) { return LLVMConstNull(g->vec); }

Val vsplat(Gen *g, Val scalar) { return splat_n(g, scalar, g->t->lanes); }

LLVMTypeRef elem_type(Gen *g, Elem e) {
  switch (e) {
    case F64: return g->f64;
    case F32: return g->f32;
    default: return LLVMIntTypeInContext(g->c, (unsigned)elem_size(e) * 8);
  }
}

LLVMTypeRef elem_vec(Gen *g, Elem e) {
  return LLVMVectorType(elem_type(g, e), (unsigned)g->t->lanes);
}

bool is_vector(Val v) {
  return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

Val const_like(Gen *g, Val like, double v) {
  LLVMTypeRef t = LLVMTypeOf(like);
  LLVMTypeRef e = is_vector(like) ? LLVMGetElementType(t) : t;
  bool real = LLVMGetTypeKind(e) != LLVMIntegerTypeKind;
  Val k = real ? LLVMConstReal(e, v)
               : LLVMConstInt(e, (uint64_t)(int64_t)v, true);
  return is_vector(like) ? splat_n(g, k, (int)LLVMGetVectorSize(t)) : k;
}

Val const_of(Gen *g, const Node *n) {
  LLVMTypeRef t = elem_type(g, n->type.elem);
  ensure(n->op == OP_CONST);
  if (n->free) return const_size(g, n);
  if (n->type.elem == B1) return LLVMConstInt(g->i1, n->ivalue != 0, false);
  if (!elem_is_float(n->type.elem))
    return LLVMConstInt(t, (uint64_t)n->ivalue, true);
  if (n->type.elem == F32 || n->type.elem == F64)
    return LLVMConstReal(t, n->value);
  uint16_t bits;
  elem_store(n->type.elem, &bits, 0, n->value);
  return LLVMConstInt(t, bits, false);
}

/* Whether v is the constant k. */
static bool is_const(Val v, int64_t k) {
  return LLVMIsAConstantInt(v) && LLVMConstIntGetSExtValue(v) == k;
}

Val add64(Gen *g, Val a, Val b) {
  if (is_const(a, 0)) return b;
  if (is_const(b, 0)) return a;
  return LLVMBuildNSWAdd(g->b, a, b, "");
}

Val mul64(Gen *g, Val a, int64_t k) {
  if (k == 1) return a;
  if (k == 0) return k64(g, 0);
  return LLVMBuildNSWMul(g->b, a, k64(g, k), "");
}

Val and64(Gen *g, Val a, int64_t mask) {
  return LLVMBuildAnd(g->b, a, k64(g, mask), "");
}

Val shr64(Gen *g, Val a, int bits) {
  return LLVMBuildLShr(g->b, a, k64(g, bits), "");
}

Val addf(Gen *g, Val a, Val b) { return LLVMBuildFAdd(g->b, a, b, ""); }

Val addr(Gen *g, Val base, Val byte_offset) {
  if (is_const(byte_offset, 0)) return base;
  return LLVMBuildInBoundsGEP2(g->b, g->i8, base, &byte_offset, 1, "");
}

Val addrk(Gen *g, Val base, int64_t byte_offset) {
  return addr(g, base, k64(g, byte_offset));
}

Val addr_at(Gen *g, Val base, Val i, int64_t is) {
  return addr(g, base, mul64(g, i, is));
}

Val addr_in(Gen *g, Val base, Val i, int64_t is, Val j, int64_t js) {
  Val off = mul64(g, i, is);
  return addr(g, base, add64(g, off, mul64(g, j, js)));
}

/* ---- loads and stores ------------------------------------------------ */

static Val load_as(Gen *g, LLVMTypeRef t, Val p, int64_t off, int align) {
  Val v = LLVMBuildLoad2(g->b, t, addrk(g, p, off), "");
  LLVMSetAlignment(v, (unsigned)align);
  return v;
}

Val load_f32(Gen *g, Val p, int64_t off) {
  return load_as(g, g->f32, p, off, 4);
}

Val load_vec(Gen *g, Val p, int64_t off, int align) {
  return load_as(g, g->vec, p, off, align);
}

static void store_as(Gen *g, Val v, Val p, int64_t off, int align) {
  Val s = LLVMBuildStore(g->b, v, addrk(g, p, off));
  LLVMSetAlignment(s, (unsigned)align);
}

void store_f32(Gen *g, Val v, Val p, int64_t off) {
  store_as(g, v, p, off, 4);
}

void store_vec(Gen *g, Val v, Val p, int64_t off, int align) {
  store_as(g, v, p, off, align);
}

Val load_elem(Gen *g, Elem e, Val p, int64_t off) {
  return load_as(g, elem_type(g, e), p, off, (int)elem_size(e));
}

void store_elem(Gen *g, Elem e, Val v, Val p, int64_t off) {
  store_as(g, v, p, off, (int)elem_size(e));
}

Val load_index(Gen *g, Val p, int64_t off, int bytes) {
  LLVMTypeRef t = bytes == 1 ? g->i8 : bytes == 2 ? g->i16 : g->i32;
  ensure(bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8);
  if (bytes == 8) return load_as(g, g->i64, p, off, 1);
  return LLVMBuildZExt(g->b, load_as(g, t, p, off, 1), g->i64, "");
}

/* ---- intrinsics ------------------------------------------------------ */

/* Call an intrinsic that is overloaded on the given types. */
static Val call_overloaded(Gen *g, const char *name, LLVMTypeRef *types,
                           size_t ntypes, Val *args, unsigned nargs) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  ensure(id != 0);
  Val fn = LLVMGetIntrinsicDeclaration(g->m, id, types, ntypes);
  LLVMTypeRef ft = LLVMIntrinsicGetType(g->c, id, types, ntypes);
  return LLVMBuildCall2(g->b, ft, fn, args, nargs, "");
}

Val fma_(Gen *g, Val a, Val b, Val c) {
  if (!g->t->fma)
    return LLVMBuildFAdd(g->b, LLVMBuildFMul(g->b, a, b, ""), c, "");
  LLVMTypeRef t = LLVMTypeOf(c);
  return call_overloaded(g, "llvm.fma", &t, 1, (Val[]){ a, b, c }, 3);
}

void prefetch(Gen *g, Val p, int64_t off, bool write) {
  Val args[] = { addrk(g, p, off), k32(g, write), k32(g, 3), k32(g, 1) };
  call_overloaded(g, "llvm.prefetch", &g->ptr, 1, args, 4);
}

void prefetch_lines(Gen *g, Val p, int64_t from, int64_t to, bool write) {
  enum { LINE = 64 };
  for (int64_t i = from; i < to; i += LINE) prefetch(g, p, i, write);
}

void prefetch_second(Gen *g, Val p, int64_t off) {
  Val at = k64(g, off);
  p = LLVMBuildGEP2(g->b, g->i8, p, &at, 1, "");
  call_overloaded(g, "llvm.prefetch", &g->ptr, 1,
                  (Val[]){ p, k32(g, 0), k32(g, 2), k32(g, 1) }, 4);
}

/* <lanes x i1> with the lanes of those bits set. */
static Val mask_const(Gen *g, uint64_t bits) {
  Val bit[64];
  ensure(g->t->lanes <= 64);
  for (int i = 0; i < g->t->lanes; i++)
    bit[i] = LLVMConstInt(g->i1, bits >> i & 1, false);
  return LLVMConstVector(bit, (unsigned)g->t->lanes);
}

uint64_t lanes_mask(int n) {
  return n < 64 ? ((uint64_t)1 << n) - 1 : ~(uint64_t)0;
}

/* A masked access to a vector of type t: `value` for a store, `other` (the
 * lanes that are off) for a load. */
static Val masked_at(Gen *g, const char *name, LLVMTypeRef t, Val value,
                     Val p, Val mask, Val other) {
  Val args[4];
  unsigned nargs = 0;
  if (value) args[nargs++] = value;
  args[nargs++] = p;
  if (MASKED_ALIGN_OPERAND) args[nargs++] = k32(g, 4);
  args[nargs++] = mask;
  if (other) args[nargs++] = other;
  LLVMTypeRef types[] = { t, g->ptr };
  return call_overloaded(g, name, types, 2, args, nargs);
}

/* Elements [i, i + n) of v, n a power of 2, at p. */
static void store_piece(Gen *g, Val v, Val p, int i, int n) {
  Val part;
  if (n == 1) {
    part = LLVMBuildExtractElement(g->b, v, k64(g, i), "");
  } else {
    Val lane[64];
    for (int k = 0; k < n; k++) lane[k] = k32(g, i + k);
    part = LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(LLVMTypeOf(v)),
                                  LLVMConstVector(lane, (unsigned)n), "");
  }
  LLVMSetAlignment(LLVMBuildStore(g->b, part, addrk(g, p, 4 * i)), 4);
}

/* The lanes of v, of 4 bytes, whose bits are set.  Only AVX-512 has masks
 * that cost nothing: vmaskmovps takes some 40 operations on Zen 3, other
 * targets a branch a lane; so 4, 2 and 1 elements at a time. */
static void store_bits(Gen *g, Val v, Val p, uint64_t bits) {
  int lanes = g->t->lanes;
  if (lanes == 16) {
    masked_at(g, "llvm.masked.store", LLVMTypeOf(v), v, p,
              mask_const(g, bits), NULL);
    return;
  }
  for (int n = 4, i = 0; i < lanes;) {
    uint64_t all = lanes_mask(n) << i;
    if (i % n == 0 && (bits & all) == all) {
      store_piece(g, v, p, i, n);
      i += n, n = 4;
    } else if (n > 1) {
      n /= 2;
    } else {
      i++, n = 4;
    }
  }
}

static Val load_part_as(Gen *g, LLVMTypeRef t, Val p, int64_t off, int n) {
  ensure(n > 0 && n < g->t->lanes);
  return masked_at(g, "llvm.masked.load", t, NULL, addrk(g, p, off),
                   mask_const(g, lanes_mask(n)), LLVMConstNull(t));
}

Val load_part(Gen *g, Val p, int64_t off, int n) {
  return load_part_as(g, g->vec, p, off, n);
}

void store_part(Gen *g, Val v, Val p, int64_t off, int n) {
  ensure(n > 0 && n < g->t->lanes);
  store_bits(g, v, addrk(g, p, off), lanes_mask(n));
}

Val load_lanes_of(Gen *g, Elem e, Val p, int64_t off, int n) {
  LLVMTypeRef t = elem_vec(g, e);
  if (n == g->t->lanes) return load_as(g, t, p, off, (int)elem_size(e));
  ensure(elem_size(e) == 4);
  return load_part_as(g, t, p, off, n);
}

void store_lanes_of(Gen *g, Elem e, Val v, Val p, int64_t off, int n) {
  if (n == g->t->lanes) {
    store_as(g, v, p, off, (int)elem_size(e));
    return;
  }
  ensure(elem_size(e) == 4);
  store_part(g, v, p, off, n);
}

Val load_veci(Gen *g, Val p) { return load_as(g, g->veci, p, 0, 4); }

/* Elements at a vector of addresses. */
static Val gather_at(Gen *g, Val at, Val mask, Val other) {
  LLVMTypeRef ptrs = LLVMTypeOf(at);
  Val args[4];
  unsigned n = 0;
  args[n++] = at;
  if (MASKED_ALIGN_OPERAND) args[n++] = k32(g, 4);
  args[n++] = mask;
  args[n++] = other;
  return call_overloaded(g, "llvm.masked.gather",
                         (LLVMTypeRef[]){ g->vec, ptrs }, 2, args, n);
}

static Val mask_all(Gen *g) {
  return LLVMConstAllOnes(LLVMVectorType(g->i1, (unsigned)g->t->lanes));
}

Val gather_f32(Gen *g, Val p, Val index, int64_t stride) {
  LLVMTypeRef step = LLVMArrayType2(g->i8, (uint64_t)stride * 4);
  Val at = LLVMBuildInBoundsGEP2(g->b, step, p, &index, 1, "");
  return gather_at(g, at, mask_all(g), LLVMGetPoison(g->vec));
}

/* 0, 1, 2, ... as 64 bits each. */
static Val lane_numbers(Gen *g) {
  Val at[64];
  for (int i = 0; i < g->t->lanes; i++) at[i] = k64(g, i);
  return LLVMConstVector(at, (unsigned)g->t->lanes);
}

Val lanes_below(Gen *g, Val n) {
  return LLVMBuildICmp(g->b, LLVMIntSLT, lane_numbers(g), vsplat(g, n), "");
}

Val load_where(Gen *g, Val p, int64_t stride, Val mask) {
  if (stride != 1) {
    Val by = vsplat(g, k64(g, 4 * stride)), lane = lane_numbers(g);
    Val off = LLVMBuildMul(g->b, lane, by, "");
    Val at = LLVMBuildGEP2(g->b, g->i8, p, &off, 1, "");
    return gather_at(g, at, mask ? mask : mask_all(g), vzero(g));
  }
  if (!mask) return load_vec(g, p, 0, 4);
  return masked_at(g, "llvm.masked.load", g->vec, NULL, p, mask, vzero(g));
}

Val load_words(Gen *g, Elem e, Val p, Val mask) {
  LLVMTypeRef t = elem_vec(g, e);
  ensure(elem_size(e) == 4);
  return masked_at(g, "llvm.masked.load", t, NULL, p, mask, LLVMConstNull(t));
}

void store_words(Gen *g, Val v, Val p, Val mask) {
  masked_at(g, "llvm.masked.store", LLVMTypeOf(v), v, p, mask, NULL);
}

Val load_lanes(Gen *g, Val p, int64_t off, int n) {
  return n == g->t->lanes ? load_vec(g, p, off, 4) : load_part(g, p, off, n);
}

Val load_mask(Gen *g, Val p, int64_t off, uint64_t bits) {
  if (bits == lanes_mask(g->t->lanes)) return load_vec(g, p, off, 4);
  return masked_at(g, "llvm.masked.load", g->vec, NULL, addrk(g, p, off),
                   mask_const(g, bits), vzero(g));
}

void store_mask(Gen *g, Val v, Val p, int64_t off, uint64_t bits) {
  if (bits == lanes_mask(g->t->lanes)) {
    store_vec(g, v, p, off, 4);
    return;
  }
  store_bits(g, v, addrk(g, p, off), bits);
}

void store_lanes(Gen *g, Val v, Val p, int64_t off, int n) {
  if (n == g->t->lanes) store_vec(g, v, p, off, 4);
  else store_part(g, v, p, off, n);
}

Val vsum(Gen *g, Val v) {
  int lane[64], lanes = g->t->lanes;
  for (int w = lanes / 2; w >= 1; w /= 2) {
    for (int i = 0; i < lanes; i++) lane[i] = i < w ? i + w : -1;
    v = addf(g, v, vshuffle(g, v, v, lane, lanes));
  }
  return vlane(g, v, 0);
}

/* ---- vectors of any width -------------------------------------------- */

static LLVMTypeRef f32_n(Gen *g, int n) {
  return n == 1 ? g->f32 : LLVMVectorType(g->f32, (unsigned)n);
}

Val zero_n(Gen *g, int n) { return LLVMConstNull(f32_n(g, n)); }

Val splat_n(Gen *g, Val scalar, int n) {
  if (n == 1) return scalar;
  Val poison = LLVMGetPoison(LLVMVectorType(LLVMTypeOf(scalar), (unsigned)n));
  Val v = LLVMBuildInsertElement(g->b, poison, scalar, k64(g, 0), "");
  LLVMTypeRef mask = LLVMVectorType(g->i32, (unsigned)n);
  return LLVMBuildShuffleVector(g->b, v, poison, LLVMConstNull(mask), "");
}

Val load_n(Gen *g, Val p, int64_t off, int n) {
  return load_as(g, f32_n(g, n), p, off, 4);
}

/* ---- shuffles and masks ---------------------------------------------- */

Val vshuffle(Gen *g, Val a, Val b, const int *lane, int n) {
  Val at[64];
  ensure(n <= 64);
  for (int i = 0; i < n; i++)
    at[i] = lane[i] < 0 ? LLVMGetPoison(g->i32) : k32(g, lane[i]);
  return LLVMBuildShuffleVector(g->b, a, b, LLVMConstVector(at, (unsigned)n),
                                "");
}

void vtranspose(Gen *g, Val *v) {
  int lanes = g->t->lanes, low[64], high[64];
  for (int h = lanes / 2; h; h /= 2) {
    for (int i = 0; i < lanes; i++) {
      low[i] = i & h ? lanes + i - h : i;
      high[i] = i & h ? lanes + i : i + h;
    }
    /* Squares of half the size change places, then those in each. */
    for (int i = 0; i < lanes; i++) {
      if (i & h) continue;
      Val a = v[i], b = v[i + h];
      v[i] = vshuffle(g, a, b, low, lanes);
      v[i + h] = vshuffle(g, a, b, high, lanes);
    }
  }
}

Val stack_array(Gen *g, LLVMTypeRef t, int64_t n) {
  LLVMBasicBlockRef now = LLVMGetInsertBlock(g->b);
  LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(g->fn);
  Val first = LLVMGetFirstInstruction(entry);
  if (first) LLVMPositionBuilderBefore(g->b, first);
  else LLVMPositionBuilderAtEnd(g->b, entry);
  Val v = LLVMBuildAlloca(g->b, LLVMArrayType2(t, (uint64_t)n), "");
  LLVMSetAlignment(v, 64);
  LLVMPositionBuilderAtEnd(g->b, now);
  return v;
}

Val vlane(Gen *g, Val v, int lane) {
  return LLVMBuildExtractElement(g->b, v, k64(g, lane), "");
}

Val vinsert(Gen *g, Val v, Val scalar, int lane) {
  return LLVMBuildInsertElement(g->b, v, scalar, k64(g, lane), "");
}

Val load_stride(Gen *g, Val p, int64_t off, int stride, int n) {
  int lanes = g->t->lanes;
  if (stride == 1) return load_vec(g, p, off, 4);
  if (stride == 2) {
    int even[64];
    for (int i = 0; i < lanes; i++) even[i] = 2 * i;
    Val a = load_vec(g, p, off, 4);
    /* With few lanes wanted nothing of the second vector is needed. */
    Val b = 2 * n <= lanes ? a : load_vec(g, p, off + 4 * lanes, 4);
    return vshuffle(g, a, b, even, lanes);
  }
  Val v = vzero(g);
  for (int i = 0; i < n; i++)
    v = vinsert(g, v, load_f32(g, p, off + 4 * (int64_t)i * stride), i);
  return v;
}

int mask_bytes(const Gen *g) { return g->t->lanes > 8 ? 2 : 1; }

Val vmask(Gen *g, Val p, int64_t off, Val v) {
  unsigned lanes = (unsigned)g->t->lanes;
  Val bits = load_as(g, mask_bytes(g) == 2 ? g->i16 : g->i8, p, off,
                     mask_bytes(g));
  if (lanes < 8)
    bits = LLVMBuildTrunc(g->b, bits, LLVMIntTypeInContext(g->c, lanes), "");
  Val m = LLVMBuildBitCast(g->b, bits, LLVMVectorType(g->i1, lanes), "");
  return LLVMBuildSelect(g->b, m, v, vzero(g), "");
}

/* ---- loops ----------------------------------------------------------- */

void loop_begin(Gen *g, Loop *l, Val lo, Val hi, int64_t step, bool nonempty,
                const char *name) {
  memset(l, 0, sizeof *l);
  l->pre = LLVMGetInsertBlock(g->b);
  l->body = LLVMAppendBasicBlockInContext(g->c, g->fn, name);
  l->head = l->body;
  l->exit = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  l->hi = hi;
  l->step = step;
  l->nonempty = nonempty;
  if (nonempty) {
    LLVMBuildBr(g->b, l->body);
  } else {
    Val some = LLVMBuildICmp(g->b, LLVMIntSLT, lo, hi, "");
    LLVMBuildCondBr(g->b, some, l->body, l->exit);
  }
  LLVMPositionBuilderAtEnd(g->b, l->body);
  l->iv = LLVMBuildPhi(g->b, g->i64, name);
  LLVMAddIncoming(l->iv, &lo, &l->pre, 1);
}

void loop_carry(Gen *g, Loop *l, Val *x) {
  ensure(l->ncarry < LOOP_CARRY_MAX);
  Val phi = LLVMBuildPhi(g->b, LLVMTypeOf(*x), "");
  LLVMAddIncoming(phi, x, &l->pre, 1);
  l->slot[l->ncarry] = x;
  l->phi[l->ncarry++] = phi;
  *x = phi;
}

void loop_end(Gen *g, Loop *l) {
  LLVMBasicBlockRef latch = LLVMGetInsertBlock(g->b);
  LLVMMoveBasicBlockAfter(l->exit, latch);
  Val next = LLVMBuildNSWAdd(g->b, l->iv, k64(g, l->step), "");
  Val more = LLVMBuildICmp(g->b, LLVMIntSLT, next, l->hi, "");
  LLVMBuildCondBr(g->b, more, l->head, l->exit);
  LLVMAddIncoming(l->iv, &next, &latch, 1);
  LLVMPositionBuilderAtEnd(g->b, l->exit);
  for (int i = 0; i < l->ncarry; i++) {
    Val first = LLVMGetIncomingValue(l->phi[i], 0), last = *l->slot[i];
    LLVMAddIncoming(l->phi[i], &last, &latch, 1);
    if (l->nonempty) continue;
    /* The body may not have run: the value is the one before the loop. */
    Val out = LLVMBuildPhi(g->b, LLVMTypeOf(last), "");
    LLVMAddIncoming(out, (Val[]){ first, last },
                    (LLVMBasicBlockRef[]){ l->pre, latch }, 2);
    *l->slot[i] = out;
  }
  if (l->shared) g->in_part = false;
}

/* ---- conditions ------------------------------------------------------ */

void if_begin(Gen *g, If *f, Val condition) {
  LLVMBasicBlockRef yes = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  f->next = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  LLVMBuildCondBr(g->b, condition, yes, f->next);
  LLVMPositionBuilderAtEnd(g->b, yes);
}

void if_end(Gen *g, If *f) {
  LLVMMoveBasicBlockAfter(f->next, LLVMGetInsertBlock(g->b));
  LLVMBuildBr(g->b, f->next);
  LLVMPositionBuilderAtEnd(g->b, f->next);
}

/* ---- as many as a call has ------------------------------------------- */

Val counted_whole(Gen *g, Val count, int size, CountedBody *body,
                  const void *ctx) {
  Val done = LLVMBuildUDiv(g->b, count, k64(g, size), "");
  done = mul64(g, done, size);
  Loop l;
  loop_begin(g, &l, k64(g, 0), done, size, false, "block");
  body(g, l.iv, size, ctx);
  loop_end(g, &l);
  return done;
}

void counted_rest(Gen *g, Val count, Val done, int size, CountedBody *body,
                  const void *ctx) {
  int n = 1;
  while (2 * n < size) n *= 2;
  for (; n > 0 && size > 1; n /= 2) {
    Val some = and64(g, LLVMBuildNSWSub(g->b, count, done, ""), n);
    Val next = add64(g, done, some);
    If f;
    if_begin(g, &f, LLVMBuildICmp(g->b, LLVMIntNE, some, k64(g, 0), ""));
    body(g, done, n, ctx);
    if_end(g, &f);
    done = next;
  }
}
