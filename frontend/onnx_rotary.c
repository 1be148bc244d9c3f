/* onnx_rotary.c - rotary position embeddings of an ONNX file (Su et al.,
 * 2021). */
#include "frontend/onnx_attention.h"

/* ---- turning -------------------------------------------------------- */

/* [..., R/2] as [..., R]: each number for both of two neighbours. */
static Node *paired(Ox *o, Node *a) {
  if (!a)
    return NULL;
  int r = a->type.rank;
  int64_t dim[MAX_RANK];
  for (int i = 0; i < r; i++)
    dim[i] = a->type.dim[i];
  dim[r - 1] *= 2;
  a = ox_unsqueeze(o, a, r);
  return ox_reshape(o, ox_concat(o, (Node *[]){a, a}, 2, r), r, dim);
}

Node *ox_rotate(Ox *o, Node *x, const Rotary *r, bool heads_first) {
  if (!x || !r->cos || !r->sin)
    return NULL;
  int axis = heads_first ? 1 : 2, last = x->type.rank - 1;
  int64_t turned = 2 * r->cos->type.dim[2], size = x->type.dim[last];
  Node *c = ox_unsqueeze(o, r->cos, axis), *s = ox_unsqueeze(o, r->sin, axis);
  if (r->interleaved)
    c = paired(o, c), s = paired(o, s);
  Node *rest = turned < size ? ox_slice(o, x, last, turned, size, 1) : NULL;
  x = ox_slice(o, x, last, 0, turned, 1);
  if (!x || !c || !s)
    return NULL;
  Node *y = ox_begin(o, OP_ROTARY, (Node *[]){x, c, s}, 3);
  if (y)
    attr_set_bool(y, "pairs", r->interleaved);
  y = ox_end(o, y);
  if (turned == size)
    return y;
  return ox_concat(o, (Node *[]){y, rest}, 2, last);
}

/* ---- RotaryEmbedding ------------------------------------------------ */

typedef struct Operands {
  Node *x, *cos, *sin, *ids;    /* ids: NULL where there are none */
  int64_t heads, turned;
} Operands;

/* Sizes of x as [B,S,H,D]. */
static bool sizes(Ox *o, const Operands *p, int64_t dim[4]) {
  const Type *t = &p->x->type;
  if (t->rank == 4) {
    for (int i = 0; i < 4; i++)
      dim[i] = t->dim[i == 1 ? 2 : i == 2 ? 1 : i];
    return true;
  }
  if (t->rank != 3)
    return ox_malformed(o, "an input of rank %d, expected 3 or 4", t->rank);
  if (p->heads < 1 || t->dim[2] % p->heads)
    return ox_malformed(o, "num_heads=%lld of a size of %lld",
                        (long long)p->heads, (long long)t->dim[2]);
  dim[0] = t->dim[0];
  dim[1] = t->dim[1];
  dim[2] = p->heads;
  dim[3] = t->dim[2] / p->heads;
  return true;
}

/* [B|1,S,R/2] of a cache, looked up where there are places. */
static Node *angles(Ox *o, Node *cache, Node *ids, const int64_t dim[4],
                    int64_t turned) {
  int rank = ids ? 2 : 3;
  if (!cache)
    return NULL;
  const Type *t = &cache->type;
  if (t->rank != rank || 2 * t->dim[rank - 1] != turned) {
    ox_malformed(o, "a cache that does not fit %lld turned numbers",
                 (long long)turned);
    return NULL;
  }
  Node *y = ids ? ox_gather(o, cache, ids, 0) : cache;
  if (y && ((y->type.dim[0] != dim[0] && y->type.dim[0] != 1) ||
            y->type.dim[1] != dim[1])) {
    ox_malformed(o, "positions that do not fit [%lld,%lld]",
                 (long long)dim[0], (long long)dim[1]);
    return NULL;
  }
  return y;
}

static bool rotary_write(Ox *o, const Operands *p) {
  int64_t dim[4];
  if (!sizes(o, p, dim))
    return false;
  int64_t turned = p->turned ? p->turned : dim[3];
  if (turned < 0 || turned > dim[3] || turned % 2)
    return ox_malformed(o, "%lld of %lld numbers turned", (long long)turned,
                        (long long)dim[3]);
  if (p->ids && p->ids->type.rank != 2)
    return ox_malformed(o, "positions of rank %d, expected 2",
                        p->ids->type.rank);
  Rotary r = {angles(o, p->cos, p->ids, dim, turned),
              angles(o, p->sin, p->ids, dim, turned),
              ox_int(o, "interleaved", 0)};
  bool split = p->x->type.rank == 4;
  Node *x = split ? p->x : ox_reshape(o, p->x, 4, dim);
  Node *y = ox_rotate(o, x, &r, split);
  return ox_give(o, 0, ox_reshape(o, y, p->x->type.rank, p->x->type.dim));
}

bool ox_write_rotary(Ox *o) {
  Operands p = {ox_in(o, 0), ox_in(o, 1), ox_in(o, 2), NULL,
                ox_int(o, "num_heads", 0),
                ox_int(o, "rotary_embedding_dim", 0)};
  if (!p.x || !p.cos || !p.sin)
    return false;
  if (ox_has_in(o, 3) && !(p.ids = ox_in(o, 3)))
    return false;
  return rotary_write(o, &p);
}

/* Places from the first on, where the operand is one number. */
static Node *ms_places(Ox *o, Node *ids, int64_t s) {
  if (!ids || ids->type.rank == 2)
    return ids;
  if (ids->type.rank != 1 || ids->type.dim[0] != 1) {
    ox_malformed(o, "positions of rank %d", ids->type.rank);
    return NULL;
  }
  Node *from = ox_cast(o, ids, I32);
  return ox_op2(o, OP_ADD, ox_ruler(o, I32, 2, 1, s), from);
}

/* Sizes that are not given come from the caches. */
bool ox_write_ms_rotary(Ox *o) {
  Operands p = {ox_in(o, 0), ox_in(o, 2), ox_in(o, 3), NULL,
                ox_int(o, "num_heads", 0),
                ox_int(o, "rotary_embedding_dim", 0)};
  if (!p.x || !p.cos || !p.sin)
    return false;
  if (ox_int(o, "is_packed_batching", 0))
    return ox_refuse(o, "packed batches");
  if (ox_float(o, "scale", 1) != 1)
    return ox_refuse(o, "a scale of %g", ox_float(o, "scale", 1));
  const Type *t = &p.x->type;
  if (t->rank < 3 || p.cos->type.rank != 2)
    return ox_malformed(o, "operands of rank %d and %d", t->rank,
                        p.cos->type.rank);
  int64_t size = 2 * p.cos->type.dim[1];
  if (t->rank == 3 && p.heads == 0 && size)
    p.heads = t->dim[2] / size;
  p.ids = ms_places(o, ox_in(o, 1), t->dim[t->rank - 2]);
  return p.ids && rotary_write(o, &p);
}
