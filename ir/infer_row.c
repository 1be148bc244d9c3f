/* infer_row.c - types of ops on rows along the last axis. */
#include "ir/infer.h"

static bool has_rows(InferCtx *c) {
  const Type *x = infer_in(c, 0);
  return x->rank > 0 ||
         infer_error(c, "x has rank 0, expected rank 1 or more");
}

bool infer_normalize(InferCtx *c) {
  if (!has_rows(c)) return false;
  const Type *x = infer_in(c, 0);
  for (int i = 1; i < c->n->nin; i++)
    if (c->n->in[i] && !infer_shape(c, i, 1, &x->dim[x->rank - 1]))
      return false;
  return infer_out(c, x->rank, x->dim);
}

/* Angles: of x's shape or one that broadcasts to it, in rows of E or E/2. */
static bool angles_fit(InferCtx *c, int i, const char *name) {
  const Type *x = infer_in(c, 0), *a = infer_in(c, i);
  int64_t e = x->dim[x->rank - 1];
  bool fits = a->rank > 0 && a->rank <= x->rank;
  for (int k = 1; fits && k <= a->rank; k++) {
    int64_t size = a->dim[a->rank - k], want = x->dim[x->rank - k];
    fits = k == 1 ? size == e || 2 * size == e : size == want || size == 1;
  }
  return fits || infer_error(c, "%s has shape %s, which is not that of x %s "
                             "or broadcasts to it, the last size %lld or %lld",
                             name, shape_text(a->rank, a->dim),
                             shape_text(x->rank, x->dim), (long long)e,
                             (long long)e / 2);
}

bool infer_rotary(InferCtx *c) {
  if (!has_rows(c)) return false;
  const Type *x = infer_in(c, 0);
  if (x->dim[x->rank - 1] % 2)
    return infer_error(c, "x has rows of %lld, expected an even number",
                       (long long)x->dim[x->rank - 1]);
  return angles_fit(c, 1, "cos") && angles_fit(c, 2, "sin") &&
         infer_out(c, x->rank, x->dim);
}
