/* infer_matmul.c - the types of products of matrices that the graph computes,
 * and of attend. */
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

AttendSizes attend_sizes(const Node *n) {
  const Type *q = &n->in[0]->type, *k = &n->in[1]->type, *v = &n->in[2]->type;
  return (AttendSizes){
    q->dim[q->rank - 2], k->dim[k->rank - 1 - attr_bool(n, "transpose_k")],
    q->dim[q->rank - 1], v->dim[v->rank - 1]};
}

/* Batch sizes of q, k and v, as they broadcast. */
static bool attend_batch(InferCtx *c, int rank, int64_t *y) {
  static const char *const names[] = {"q", "k", "v"};
  for (int b = 0; b < rank - 2; b++) {
    int64_t *to = &y[rank - 3 - b];
    *to = 1;
    for (int i = 0; i < 3; i++) {
      int64_t size = batch_size(infer_in(c, i), b);
      if (size != *to && size != 1 && *to != 1)
        return infer_error(c, "batch axis %d of %s is %lld, expected %lld or "
                           "1", -3 - b, names[i], (long long)size,
                           (long long)*to);
      if (size != 1) *to = size;
    }
  }
  return true;
}

/* The mask broadcasts to the scores, whose batch is that of y. */
static bool attend_mask(InferCtx *c, int rank, const int64_t *score) {
  const Type *m = infer_in(c, 3);
  for (int i = 1; i <= m->rank; i++) {
    int64_t size = m->dim[m->rank - i], want = i <= rank ? score[rank - i] : 1;
    if (size != 1 && size != want)
      return infer_error(c, "mask has shape %s, which does not broadcast to "
                         "the scores %s", shape_text(m->rank, m->dim),
                         shape_text(rank, score));
  }
  return m->rank <= rank ||
         infer_error(c, "mask has rank %d, expected %d or less", m->rank, rank);
}

bool infer_attend(InferCtx *c) {
  static const char *const names[] = {"q", "k", "v"};
  int rank = 0;
  int64_t y[MAX_RANK];
  for (int i = 0; i < 3; i++) {
    const Type *t = infer_in(c, i);
    if (t->rank < 2)
      return infer_error(c, "%s has rank %d (shape %s), expected rank 2 or "
                         "more", names[i], t->rank,
                         shape_text(t->rank, t->dim));
    if (t->rank > rank) rank = t->rank;
  }
  const Type *k = infer_in(c, 1), *v = infer_in(c, 2);
  AttendSizes s = attend_sizes(c->n);
  int64_t ke = k->dim[k->rank - 2 + attr_bool(c->n, "transpose_k")];
  if (ke != s.e)
    return infer_error(c, "q has %lld columns, k %lld, expected equal",
                       (long long)s.e, (long long)ke);
  if (v->dim[v->rank - 2] != s.s)
    return infer_error(c, "k has %lld rows, v %lld, expected equal",
                       (long long)s.s, (long long)v->dim[v->rank - 2]);
  if (!attend_batch(c, rank, y)) return false;
  y[rank - 2] = s.l;
  y[rank - 1] = s.s;
  if (c->n->nin > 3 && c->n->in[3] && !attend_mask(c, rank, y)) return false;
  y[rank - 1] = s.v;
  return infer_out(c, rank, y);
}
