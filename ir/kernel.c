/* kernel.c - the table of kernels that can be chosen. */
#include "ir/ir.h"

#include <string.h>

static const KernelInfo kernels[] = {
#define KERNEL(name, ops, what) {#name, ops, what},
#include "ir/kernels.def"
#undef KERNEL
};

const KernelInfo *kernel_table(size_t *n) {
  *n = sizeof kernels / sizeof *kernels;
  return kernels;
}

const KernelInfo *kernel_info(const char *name) {
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
    if (strcmp(kernels[i].name, name) == 0) return &kernels[i];
  return NULL;
}

bool node_is_alias(const Node *n) {
  return n->kernel && strcmp(n->kernel, "alias") == 0;
}

bool node_reads_weight(const Node *n, int k) {
  return k == 1 && (n->op == OP_CONV2D || n->op == OP_LINEAR ||
                    n->op == OP_CONV2D_TRANSPOSE);
}

bool linear_permutes(const Target *t, const Node *n) {
  const Node *b = n->nin > 2 ? n->in[2] : NULL;
  int64_t k = n->in[1]->type.dim[1];
  return strcmp(t->arch, "x86_64") == 0 &&
         (t->lanes == 16 ||
          (t->lanes == 8 && k >= PERM_WINDOW && k <= UINT16_MAX)) &&
         !n->in[0]->type.layout && (!b || b->op == OP_PARAM);
}

/* Blocks of columns pay for adding up lanes: of one row of x, whose other form
 * waits for loads, and of many, which share them. */
enum { DOTS_BLOCKS = 8, DOTS_BLOCKS_MANY = 32 };

bool linear_dots(const Target *t, int64_t rows, int64_t outputs,
                 int64_t columns) {
  int64_t blocks = rows > 1 ? DOTS_BLOCKS_MANY : DOTS_BLOCKS;
  return outputs < 2 * t->lanes && outputs % t->lanes != 0 &&
         outputs + 3 <= t->vregs && columns >= blocks * t->lanes;
}

static bool op_reads_in_step(const Node *n, int k) {
  uint32_t flags = op_info(n->op)->flags;
  if (flags & (FLAG_UNARY | FLAG_BINARY)) return true;
  if (n->op == OP_WHERE || n->op == OP_CAST) return true;
  if (n->op == OP_SCALE_SHIFT || n->op == OP_BATCH_NORM ||
      n->op == OP_NORMALIZE)
    return k == 0;
  return n->op == OP_CONV2D && k == 3;
}

bool node_reads_in_step(const Node *n, int k) {
  const Type *x = &n->in[k]->type;
  return op_reads_in_step(n, k) && type_same_shape(&n->type, x) &&
         n->type.elem == x->elem && layout_equal(n->type.layout, x->layout);
}
