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
static bool weight_use(const Node *n, int k) {
  if (k != 1) return false;
  return n->op == OP_LINEAR ||
         (n->op == OP_CONV2D && attr_int(n, "groups") == 1);
}

/* How a param is used; op is OP_COUNT where it is no weight. */
typedef struct Use {
  Op op;
  int64_t rows;            /* of x, the most of all uses by linear */
  bool plain;              /* a use wants plain values */
} Use;

static void use_add(Use *u, const Node *n) {
  int64_t outputs = n->in[1]->type.dim[0];
  int64_t rows = outputs ? type_elems(&n->type) / outputs : 0;
  u->op = n->op;
  if (n->op == OP_LINEAR && rows > u->rows) u->rows = rows;
}

/* Note the uses in f, by the params' order. */
static void uses_find(const Func *f, Use *use) {
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    for (int k = 0; k < n->nin; k++) {
      if (!n->in[k] || !n->in[k]->param) continue;
      Use *u = &use[n->in[k]->param->order];
      if (weight_use(n, k)) use_add(u, n);
      else u->plain = true;
    }
  }
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Param *p = f->outputs.at[i].node->param;
    if (p) use[p->order].plain = true;
  }
}

/* Nonzero values, and the values in R x 1 blocks that are not empty. */
static void weight_count(const Param *p, const float *w, int64_t *nonzero,
                         int64_t *blocked) {
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

static void weight_pack(PassCtx *c, const Use *u, Param *p) {
  const float *v = param_values(c->m, p);
  const Type *t = &p->type;
  if (!v || t->sparse || type_elems(t) <= 0 || !sparse_fits(t, 1, 1)) return;
  Weight w = {u->op, 1, u->rows, c->target->lanes, type_elems(t), 0, 0};
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

bool pass_sparse(PassCtx *c) {
  if (c->sparsity_off) return true;
  size_t n = c->m->params.n;
  Use *use = arena_array(c->scratch, Use, n ? n : 1);
  for (size_t i = 0; i < n; i++) {
    c->m->params.at[i]->order = (uint32_t)i;
    use[i].op = OP_COUNT;
  }
  for (size_t i = 0; i < c->m->funcs.n; i++)
    uses_find(c->m->funcs.at[i], use);
  for (size_t i = 0; i < n; i++)
    if (!use[i].plain && use[i].op != OP_COUNT)
      weight_pack(c, &use[i], c->m->params.at[i]);
  return true;
}
