/* infer_matmul.c - the type of a matrix product. */
#include "ir/infer.h"

#include <string.h>

MatmulSizes matmul_sizes(const Node *n) {
  const Type *a = &n->in[0]->type, *b = &n->in[1]->type;
  bool ta = attr_bool(n, "transpose_a"), tb = attr_bool(n, "transpose_b");
  return (MatmulSizes){a->dim[a->rank - 2 + ta], b->dim[b->rank - 1 - tb],
                       a->dim[a->rank - 1 - ta]};
}

/* "[2,5]", with " transposed" behind it where it is read so. */
static const char *shapes_text(InferCtx *c, char *buf, size_t size) {
  const Type *a = infer_in(c, 0), *b = infer_in(c, 1);
  snprintf(buf, size, "(shapes %s%s and %s%s)", shape_text(a->rank, a->dim),
           attr_bool(c->n, "transpose_a") ? " transposed" : "",
           shape_text(b->rank, b->dim),
           attr_bool(c->n, "transpose_b") ? " transposed" : "");
  return buf;
}

/* Size of batch axis k, counted from the end of the batch. */
static int64_t batch_size(const Type *t, int k) {
  int i = t->rank - 3 - k;
  return i < 0 ? 1 : t->dim[i];
}

bool infer_matmul(InferCtx *c) {
  const Type *a = infer_in(c, 0), *b = infer_in(c, 1);
  char shapes[512];
  for (int i = 0; i < 2; i++) {
    const Type *t = infer_in(c, i);
    if (t->rank < 2)
      return infer_error(c, "%s has rank %d (shape %s), expected rank 2 or "
                         "more", i ? "b" : "a", t->rank,
                         shape_text(t->rank, t->dim));
  }
  MatmulSizes s = matmul_sizes(c->n);
  int64_t rows = b->dim[b->rank - 2 + attr_bool(c->n, "transpose_b")];
  if (s.k != rows)
    return infer_error(c, "a has %lld columns, b has %lld rows, expected "
                       "equal %s", (long long)s.k, (long long)rows,
                       shapes_text(c, shapes, sizeof shapes));
  int rank = a->rank > b->rank ? a->rank : b->rank;
  int64_t y[MAX_RANK];
  for (int k = 0; k < rank - 2; k++) {
    int64_t da = batch_size(a, k), db = batch_size(b, k);
    if (da != db && da != 1 && db != 1)
      return infer_error(c, "batch axis %d has %lld and %lld, expected equal "
                         "or 1 %s", -3 - k, (long long)da, (long long)db,
                         shapes_text(c, shapes, sizeof shapes));
    y[rank - 3 - k] = da == 1 ? db : da;
  }
  y[rank - 2] = s.m;
  y[rank - 1] = s.n;
  return infer_out(c, rank, y);
}
