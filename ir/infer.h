/* infer.h - inside ir/infer*.c: the context of one inference, and the rule
 * of each row of ops.def. */
#ifndef TAMIS_INFER_H
#define TAMIS_INFER_H

#include "ir/ir.h"

typedef struct InferCtx {
  const char *op;      /* name, for messages */
  const Module *m;
  const Node *n;
  Diags *d;
  Type out;            /* what the rule finds */
} InferCtx;

/* node_infer at the bounds of free dimensions alone. */
bool node_infer_plain(const Module *m, Node *n, Diags *d);
/* Report "op: message" at the node and return false. */
bool infer_error(InferCtx *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Type of operand i; the rule knows that it is there. */
const Type *infer_in(const InferCtx *c, int i);
/* Check rank, shape ("b has shape [3], expected [4]") or element type. */
bool infer_rank(InferCtx *c, int i, int rank);
bool infer_shape(InferCtx *c, int i, int rank, const int64_t *dim);
bool infer_elem(InferCtx *c, int i, Elem e);
/* The element type that all operands of class T have; F32 without any. */
Elem infer_elem_of(const InferCtx *c);
/* out = shape, with that element type. */
bool infer_out(InferCtx *c, int rank, const int64_t *dim);
/* A list attribute of n elements, each in lo..hi. */
bool infer_list(InferCtx *c, const char *name, int n, int64_t lo, int64_t hi,
                const int64_t **out);
/* An axis of a value of that rank, negative ones counted from the end. */
bool infer_axis(InferCtx *c, int64_t axis, int rank, int *out);
/* Positions of a window (size k, dilated) along an axis. */
bool infer_window(InferCtx *c, const char *axis, int64_t in, int64_t before,
                  int64_t after, int64_t k, int64_t stride,
                  int64_t dilation, int64_t *out);
/* act, lo, hi and operand r of conv2d and linear. */
bool infer_epilogue(InferCtx *c);
/* "f32, i64 or i32", for messages. */
const char *elems_text(uint32_t mask);
/* "[1,2]" in a rotating buffer, for messages. */
const char *shape_text(int rank, const int64_t *dim);

#define OP(e, name, operands, attrs, elems, infer, eval, flags) \
  bool infer_##infer(InferCtx *c);
#include "ir/ops.def"
#undef OP

#endif
