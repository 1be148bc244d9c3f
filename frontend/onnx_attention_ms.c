/* onnx_attention_ms.c - attention as the optimiser of ONNX Runtime writes it:
 * with the projections, paddings as lengths, and keys and values so far. */
#include "frontend/onnx_attention.h"
#include "frontend/onnx_matmul.h"

#include <math.h>
#include <string.h>

/* ---- parts of operands ---------------------------------------------- */

/* x, without axis 3 of [B,S,H,N,D], as [B,S,H*D]. */
static Node *unpacked(Ox *o, Node *x, int64_t index) {
  const int64_t *d = x->type.dim;
  int64_t dim[3] = {d[0], d[1], d[2] * d[4]};
  return ox_reshape(o, ox_select(o, x, index, 3), 3, dim);
}

static double scale_of(Ox *o, int64_t size) {
  double scale = ox_float(o, "scale", 0);
  return scale != 0 ? scale : 1 / sqrt(size ? (double)size : 1);
}

static bool heads_fit(Ox *o, int64_t heads, int64_t size) {
  return (heads > 0 && size % heads == 0) ||
         ox_malformed(o, "%lld heads of a size of %lld", (long long)heads,
                      (long long)size);
}

/* ---- masks ---------------------------------------------------------- */

/* Lengths [n*B] from `at` on as [B,1,1,1]. */
static Node *lengths(Ox *o, Node *x, int64_t at, int64_t batch) {
  x = ox_slice(o, x, 0, at, at + batch, 1);
  return ox_reshape(o, ox_cast(o, x, I32), 4, (int64_t[]){batch, 1, 1, 1});
}

/* Which keys are no padding: their number for each of the batch, with the
 * first of them behind; or one by one for all queries or each. */
static Node *unpadded(Ox *o, Node *m, const int64_t dim[4]) {
  int r = m->type.rank;
  const int64_t *d = m->type.dim, b = dim[0];
  if (r == 1 && (d[0] == b || d[0] == 2 * b)) {
    Node *key = ox_ruler(o, I32, 4, 3, dim[3]);
    Node *y = ox_op2(o, OP_LESS, key, lengths(o, m, 0, b));
    if (d[0] == b)
      return y;
    return ox_both(o, y, ox_op2(o, OP_GREATER_EQUAL, key,
                                lengths(o, m, b, b)));
  }
  if (r == 2 && d[0] == b && d[1] == dim[3])
    m = ox_reshape(o, m, 4, (int64_t[]){b, 1, 1, d[1]});
  else if (r == 3 && d[0] == b && d[1] == dim[2] && d[2] == dim[3])
    m = ox_reshape(o, m, 4, (int64_t[]){b, 1, d[1], d[2]});
  else
    m = (ox_refuse(o, "a mask of rank %d of another shape than [B], [2B], "
                   "[B,T] and [B,S,T]", r), NULL);
  return m && m->type.elem == B1 ? m : ox_with(o, OP_GREATER, m, 0);
}

/* Operands `mask` and `bias` are added to the scores. */
static bool masks_read(Ox *o, Attention *t, int mask, int bias,
                       const int64_t dim[4]) {
  double filter = ox_float(o, "mask_filter_value", -10000);
  if (ox_has_in(o, mask)) {
    Node *m = ox_in(o, mask);
    m = m ? unpadded(o, m, dim) : NULL;
    t->bias = ox_op3(o, OP_WHERE, m, ox_scalar(o, F32, 0),
                     ox_scalar(o, F32, filter));
    if (!t->bias)
      return false;
  }
  if (!ox_has_in(o, bias))
    return true;
  Node *x = ox_in(o, bias);
  if (!x || !ox_mask_fits(o, "attention_bias", x, dim))
    return false;
  t->bias = ox_plus(o, t->bias, x);
  return t->bias != NULL;
}

/* Behind the keys so far, each query sees those up to its own. */
static bool causal_mask(Ox *o, Attention *t, const int64_t dim[4]) {
  Window w = {dim[2], dim[3], dim[3] - dim[2], NULL, -1, 0};
  if (!ox_int(o, "unidirectional", 0))
    return true;
  t->allowed = ox_window(o, &w);
  return t->allowed != NULL;
}

static bool sizes(Ox *o, const Attention *t, int64_t dim[4]) {
  const int64_t *q = t->q->type.dim, *k = t->k->type.dim;
  const int64_t *v = t->v->type.dim;
  if (q[0] != k[0] || q[0] != v[0] || k[1] != v[1] || k[2] != v[2] ||
      q[3] != k[3] || k[1] < 1 || q[1] % k[1])
    return ox_malformed(o, "queries, keys and values that do not fit");
  memcpy(dim, q, 3 * sizeof *dim);
  dim[3] = k[2];
  return true;
}

/* ---- Attention ------------------------------------------------------ */

typedef struct Projection {
  Node *x, *w, *bias;      /* bias: NULL where there is none */
} Projection;

/* x times columns of w. */
static Node *projected(Ox *o, const Projection *p, int64_t from, int64_t n) {
  Node *w = ox_slice(o, p->w, 1, from, from + n, 1), *b = NULL;
  if (p->bias)
    b = ox_slice(o, p->bias, 0, from, from + n, 1);
  if (!ox_is_stored(p->w) || (b && !ox_is_stored(p->bias))) {
    Node *y = ox_matmul(o, p->x, w, false, false);
    return b ? ox_op2(o, OP_ADD, y, b) : y;
  }
  return ox_linear(o, p->x, ox_permute(o, w, (int64_t[]){1, 0}), b);
}

static bool projection_read(Ox *o, Projection *p) {
  *p = (Projection){ox_in(o, 0), ox_in(o, 1), NULL};
  if (!p->x || !p->w)
    return false;
  if (ox_has_in(o, 2) && !(p->bias = ox_in(o, 2)))
    return false;
  if (p->x->type.rank != 3 || p->w->type.rank != 2)
    return ox_malformed(o, "operands of rank %d and %d, expected 3 and 2",
                        p->x->type.rank, p->w->type.rank);
  if (p->bias && (p->bias->type.rank != 1 ||
                  p->bias->type.dim[0] != p->w->type.dim[1]))
    return ox_malformed(o, "a bias that does not fit the weights");
  return true;
}

/* Sizes of q, k and v. */
static bool hidden_sizes(Ox *o, const Projection *p, int64_t heads,
                         int64_t n[3]) {
  const int64_t *given;
  int64_t all = p->w->type.dim[1];
  int count = ox_ints(o, "qkv_hidden_sizes", &given);
  for (int i = 0; i < 3; i++) {
    n[i] = count == 3 ? given[i] : all / 3;
    if (n[i] < 0 || n[i] > all || !heads_fit(o, heads, n[i]))
      return ox_malformed(o, "a size of %lld", (long long)n[i]);
  }
  return n[0] + n[1] + n[2] == all ||
         ox_malformed(o, "sizes that do not add up to %lld", (long long)all);
}

/* past [2,B,H,P,D] before k and v; the same of all as the second result. */
static bool past_both(Ox *o, Attention *t) {
  if (ox_has_in(o, 4)) {
    Node *past = ox_in(o, 4);
    if (!past)
      return false;
    if (past->type.rank != 5 || past->type.dim[0] != 2)
      return ox_malformed(o, "past is not [2,B,H,P,D]");
    t->k = ox_concat(o, (Node *[]){ox_select(o, past, 0, 0), t->k}, 2, 2);
    t->v = ox_concat(o, (Node *[]){ox_select(o, past, 1, 0), t->v}, 2, 2);
  }
  if (!t->k || !t->v || !ox_wants(o, 1))
    return t->k && t->v;
  Node *both[2] = {ox_unsqueeze(o, t->k, 0), ox_unsqueeze(o, t->v, 0)};
  return ox_give(o, 1, ox_concat(o, both, 2, 0));
}

bool ox_write_ms_attention(Ox *o) {
  Projection p;
  Attention t = {0};
  int64_t n[3], dim[4], heads = ox_int(o, "num_heads", 0);
  if (ox_int(o, "do_rotary", 0) || ox_int(o, "past_present_share_buffer", 0))
    return ox_refuse(o, "rotation, or a shared buffer");
  if (!projection_read(o, &p) || !hidden_sizes(o, &p, heads, n))
    return false;
  Node *q = projected(o, &p, 0, n[0]);
  q = ox_with(o, OP_MUL, q, scale_of(o, n[0] / heads));
  t.q = ox_heads_split(o, q, heads);
  t.k = ox_heads_split(o, projected(o, &p, n[0], n[1]), heads);
  t.v = ox_heads_split(o, projected(o, &p, n[0] + n[1], n[2]), heads);
  if (!t.q || !t.k || !t.v || !past_both(o, &t) || !sizes(o, &t, dim) ||
      !masks_read(o, &t, 3, 5, dim) || !causal_mask(o, &t, dim))
    return false;
  return ox_give(o, 0, ox_heads_join(o, ox_attend(o, &t)));
}

/* ---- MultiHeadAttention --------------------------------------------- */

/* [B,S,H*D] of q, k and v; k and v may be there as [B,H,T,D] already. */
static bool operands_read(Ox *o, Node *x[3]) {
  x[0] = ox_in(o, 0);
  x[1] = x[0] && ox_has_in(o, 1) ? ox_in(o, 1) : NULL;
  x[2] = x[0] && ox_has_in(o, 2) ? ox_in(o, 2) : NULL;
  if (!x[0])
    return false;
  Node *packed = x[1] ? x[1] : x[0];
  int first = x[1] ? 1 : 0;
  if (!x[2] && packed->type.rank == 5 &&
      packed->type.dim[3] == 3 - first)
    for (int i = first; i < 3; i++)
      x[i] = unpacked(o, packed, i - first);
  if (!x[0] || !x[1] || !x[2])
    return ox_malformed(o, "no keys or values");
  bool split = x[1]->type.rank == 4 && x[2]->type.rank == 4;
  bool rows = x[1]->type.rank == 3 && x[2]->type.rank == 3;
  return (x[0]->type.rank == 3 && (split || rows)) ||
         ox_malformed(o, "operands of rank %d, %d and %d", x[0]->type.rank,
                      x[1]->type.rank, x[2]->type.rank);
}

/* Its part for each operand that is no cache. */
static bool bias_added(Ox *o, Node *x[3]) {
  Node *b = ox_opt(o, 3);
  if (!ox_has_in(o, 3))
    return true;
  int64_t hidden = x[0]->type.dim[2], at = 0;
  if (!b || b->type.rank != 1 || b->type.dim[0] < 2 * hidden)
    return ox_malformed(o, "a bias of another size");
  int64_t n[3] = {hidden, hidden, b->type.dim[0] - 2 * hidden};
  for (int i = 0; i < 3; at += n[i++])
    if (x[i] && x[i]->type.rank == 3)
      x[i] = ox_op2(o, OP_ADD, x[i], ox_slice(o, b, 0, at, at + n[i], 1));
  return x[0] && x[1] && x[2];
}

static bool past_each(Ox *o, Attention *t, int at) {
  if (ox_has_in(o, at) != ox_has_in(o, at + 1))
    return ox_malformed(o, "one of past_key and past_value");
  if (!ox_has_in(o, at))
    return true;
  Node *k = ox_in(o, at), *v = ox_in(o, at + 1);
  t->k = ox_concat(o, (Node *[]){k, t->k}, 2, 2);
  t->v = ox_concat(o, (Node *[]){v, t->v}, 2, 2);
  return t->k && t->v;
}

bool ox_write_ms_multi_head(Ox *o) {
  Attention t = {0};
  Node *x[3];
  int64_t dim[4], heads = ox_int(o, "num_heads", 0);
  if (ox_has_in(o, 8) || ox_has_in(o, 9))
    return ox_refuse(o, "a shared buffer");
  if (!operands_read(o, x) || !bias_added(o, x))
    return false;
  for (int i = 0; i < 3; i++)
    if (x[i]->type.rank == 3 && !heads_fit(o, heads, x[i]->type.dim[2]))
      return false;
  double scale = scale_of(o, x[0]->type.dim[2] / heads);
  x[0] = ox_with(o, OP_MUL, x[0], scale);
  for (int i = 0; i < 3; i++)
    if (x[i] && x[i]->type.rank == 3)
      x[i] = ox_heads_split(o, x[i], heads);
  t.q = x[0];
  t.k = x[1];
  t.v = x[2];
  if (!t.q || !t.k || !t.v || !past_each(o, &t, 6) || !sizes(o, &t, dim) ||
      !masks_read(o, &t, 4, 5, dim) || !causal_mask(o, &t, dim))
    return false;
  Node *y = ox_attend(o, &t);
  if (!y)
    return false;
  ox_give(o, 1, t.k);
  ox_give(o, 2, t.v);
  ox_give(o, 3, t.scores[SCORES_MASKED]);
  return ox_give(o, 0, ox_heads_join(o, y));
}
