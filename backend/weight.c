/* weight.c - weights as the artifact has them: f32, f16 or bf16, of which
 * kernels make f32 as they load them. */
#include "backend/tiles.h"

const float *operand_values(Gen *g, const Node *param) {
  ensure(param->op == OP_PARAM);
  const float *v = param_values(g->mod, param->param);
  ensure(v);
  return v;
}

int64_t blob_weights(Gen *g, Elem e, const float *v, size_t n, int align) {
  if (e == F32) return blob_add(g, v, n * sizeof *v, align);
  uint16_t *to = arena_array(g->a, uint16_t, n + 1);
  elems_narrow(e, v, n, to);
  return blob_add(g, to, n * sizeof *to, align);
}

static LLVMTypeRef vector_of(LLVMTypeRef t, int n) {
  return n > 1 ? LLVMVectorType(t, (unsigned)n) : t;
}

/* The instruction for halves where there is one, else integers. */
static Val widen(Gen *g, Elem e, Val words, int n) {
  if (e != F16 || !g->t->f16) return elem_convert(g, words, e, F32);
  LLVMTypeRef half = vector_of(LLVMHalfTypeInContext(g->c), n);
  Val v = LLVMBuildBitCast(g->b, words, half, "");
  return LLVMBuildFPExt(g->b, v, vector_of(g->f32, n), "");
}

Val load_weights(Gen *g, Elem e, Val p, int64_t off, int n) {
  LLVMTypeRef t = vector_of(elem_type(g, e), n);
  Val v = LLVMBuildLoad2(g->b, t, addrk(g, p, off), "");
  LLVMSetAlignment(v, (unsigned)elem_size(e));
  return e == F32 ? v : widen(g, e, v, n);
}

Val load_weight(Gen *g, Elem e, Val p, int64_t off) {
  return load_weights(g, e, p, off, 1);
}

void store_weights(Gen *g, Elem e, Val p, int n, Val slot) {
  Val v = LLVMBuildStore(g->b, load_weights(g, e, p, 0, n), slot);
  LLVMSetAlignment(v, 64);
  /* Else LLVM would take the values apart in registers. */
  LLVMSetVolatile(v, true);
}
