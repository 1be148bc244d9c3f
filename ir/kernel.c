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
