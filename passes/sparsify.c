/* sparsify.c - pass `sparse`: the format of each weight from its measured
 * density.  (File names are unique in the tree; ir/sparse.c packs.)
 *
 * requires   constants folded and fused: a weight is final here
 * preserves  values: zeros are left out, everything else stays
 * before     param c.w: f32[8,8,1,1];             (10 % of the 4x1 blocks
 *            y = conv2d(x, c.w);                   hold all nonzeros)
 * after      param c.w: f32[8,8,1,1] <bsr 4x1, nnz=8, index=u8>;
 *            y = conv2d(x, c.w);
 * source     costs and the choice: choose.c */
#include "passes/passes.h"

enum { BLOCK_ROWS = 4 };   /* R of the kernels conv2d_bsr and linear_bsr */

/* Is operand k of n a weight that has sparse kernels? */
static bool weight_use(const Node *n, int k)
{
  if (k != 1) return false;
  return n->op == OP_LINEAR ||
         (n->op == OP_CONV2D && attr_int(n, "groups") == 1);
}

/* Look at the uses of p in f; false when one wants plain values.  *op
 * becomes the op of a use as a weight. */
static bool uses_suit(const Func *f, const Param *p, Op *op)
{
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    for (int k = 0; k < n->nin; k++) {
      if (!n->in[k] || n->in[k]->param != p) continue;
      if (!weight_use(n, k)) return false;
      *op = n->op;
    }
  }
  for (size_t i = 0; i < f->outputs.n; i++)
    if (f->outputs.at[i].node->param == p) return false;
  return true;
}

/* Nonzero values, and the values in R x 1 blocks that are not empty. */
static void weight_count(const Param *p, const float *w, int64_t *nonzero,
                         int64_t *blocked)
{
  int64_t rows = p->type.dim[0], cols = type_elems(&p->type) / rows;
  *nonzero = *blocked = 0;
  for (int64_t k = 0; k < cols; k++) {
    bool filled = false;
    for (int64_t i = 0; i < rows; i++) {
      bool set = w[i * cols + k] != 0;
      *nonzero += set;
      filled = (filled && i % BLOCK_ROWS) || set;
      if (filled && i % BLOCK_ROWS == BLOCK_ROWS - 1) *blocked += BLOCK_ROWS;
    }
  }
}

static void weight_pack(PassCtx *c, Op op, Param *p)
{
  const float *v = param_values(c->m, p);
  const Type *t = &p->type;
  if (!v || t->sparse || type_elems(t) <= 0 || !sparse_fits(t, 1, 1)) return;
  Weight w = {op, 1, c->target->lanes, type_elems(t), 0, 0};
  for (int i = 2; i < t->rank; i++) w.taps *= t->dim[i];
  weight_count(p, v, &w.nonzero, &w.blocked);
  if (!sparse_fits(t, BLOCK_ROWS, 1)) w.blocked = -1;
  switch (format_choose(&w)) {
  case FORMAT_BSR:
    sparse_pack(c->m, p, BLOCK_ROWS, 1);
    return;
  case FORMAT_CSR:
    sparse_pack(c->m, p, 1, 1);
    return;
  case FORMAT_DENSE:
    return;
  }
}

bool pass_sparse(PassCtx *c)
{
  if (c->sparsity_off) return true;
  for (size_t i = 0; i < c->m->params.n; i++) {
    Param *p = c->m->params.at[i];
    Op op = OP_COUNT;
    bool suits = true;
    for (size_t k = 0; suits && k < c->m->funcs.n; k++)
      suits = uses_suit(c->m->funcs.at[k], p, &op);
    if (suits && op != OP_COUNT) weight_pack(c, op, p);
  }
  return true;
}
