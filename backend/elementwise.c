/* elementwise.c - kernels that map each element by itself: unary, binary,
 * where, scale_shift (batch_norm too) and mask. */
#include "backend/vmath.h"

/* ---- unary and binary ------------------------------------------------ */

static Val body_unary(Gen *g, const void *ctx, Val *in) {
  const Node *n = ctx;
  int attrs = op_info(n->op)->nattrs;
  double p = attrs > 0 ? n->attr[0].f : 0, q = attrs > 1 ? n->attr[1].f : 0;
  if (!elem_is_float(n->type.elem))
    return unary_int(g, n->op, n->type.elem, in[0]);
  return unary_math(g, n->op, in[0], p, q);
}

void emit_unary(Gen *g, const Node *n) {
  Nest t;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  nest_map(g, &t, body_unary, n);
  clear_halo(g, n);
}

static Val body_binary(Gen *g, const void *ctx, Val *in) {
  const Node *n = ctx;
  Elem e = n->in[0]->type.elem;
  if (op_compares(n->op)) return compare_elems(g, n->op, e, in[0], in[1]);
  if (!elem_is_float(e)) return binary_int(g, n->op, e, in[0], in[1]);
  return binary_math(g, n->op, in[0], in[1]);
}

void emit_binary(Gen *g, const Node *n) {
  Nest t;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  nest_add(g, &t, n->in[1]);
  nest_map(g, &t, body_binary, n);
  clear_halo(g, n);
}

static Val body_where(Gen *g, const void *ctx, Val *in) {
  (void)ctx;
  return LLVMBuildSelect(g->b, in[0], in[1], in[2], "");
}

void emit_where(Gen *g, const Node *n) {
  Nest t;
  nest_over(g, &t, n);
  for (int i = 0; i < 3; i++) nest_add(g, &t, n->in[i]);
  nest_map(g, &t, body_where, n);
  clear_halo(g, n);
}

/* ---- per channel ---------------------------------------------------- */

static Val body_scale(Gen *g, const void *ctx, Val *in) {
  (void)ctx;
  return fma_(g, in[0], in[1], in[2]);
}

/* in: x, gamma, beta, mean, var. */
static Val body_norm(Gen *g, const void *ctx, Val *in) {
  const Node *n = ctx;
  Val eps = const_like(g, in[0], attr_float(n, "eps"));
  Val dev = vm_sqrt(g, LLVMBuildFAdd(g->b, in[4], eps, ""));
  Val x = LLVMBuildFSub(g->b, in[0], in[3], "");
  return fma_(g, LLVMBuildFDiv(g->b, x, dev, ""), in[1], in[2]);
}

void emit_scale_shift(Gen *g, const Node *n) {
  Nest t;
  bool norm = n->op == OP_BATCH_NORM;
  int axis = norm ? 1 : (int)attr_int(n, "axis");
  if (axis < 0) axis += n->type.rank;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  for (int i = 1; i < (norm ? 5 : 3); i++)
    nest_add_axis(g, &t, n->in[i], axis);
  nest_map(g, &t, norm ? body_norm : body_scale, n);
  clear_halo(g, n);
}

/* ---- mask ----------------------------------------------------------- */

static Val body_mask(Gen *g, const void *ctx, Val *in) {
  (void)ctx;
  Val zero = const_like(g, in[0], 0), set = in[1];
  if (LLVMTypeOf(set) == LLVMTypeOf(in[0]))
    set = LLVMBuildFCmp(g->b, LLVMRealUNE, set, zero, "");
  return LLVMBuildSelect(g->b, set, in[0], zero, "");
}

void emit_mask(Gen *g, const Node *n) {
  Nest t;
  nest_over(g, &t, n);
  nest_add(g, &t, n->in[0]);
  nest_add(g, &t, n->in[1]);
  nest_map(g, &t, body_mask, n);
  clear_halo(g, n);
}
