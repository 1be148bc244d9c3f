/* onnx_attention.c - attention by scaled dot products (Vaswani et al., 2017)
 * of an ONNX file. */
#include "frontend/onnx_attention.h"
#include "frontend/onnx_matmul.h"

#include <math.h>

/* ---- heads ---------------------------------------------------------- */

static const int64_t heads_order[4] = {0, 2, 1, 3};

Node *ox_heads_split(Ox *o, Node *x, int64_t heads) {
  if (!x)
    return NULL;
  const int64_t *d = x->type.dim;
  int64_t dim[4] = {d[0], d[1], heads, d[2] / heads};
  return ox_permute(o, ox_reshape(o, x, 4, dim), heads_order);
}

Node *ox_heads_join(Ox *o, Node *x) {
  if (!x)
    return NULL;
  const int64_t *d = x->type.dim;
  int64_t dim[3] = {d[0], d[2], d[1] * d[3]};
  return ox_reshape(o, ox_permute(o, x, heads_order), 3, dim);
}

/* ---- masks ---------------------------------------------------------- */

Node *ox_both(Ox *o, Node *a, Node *b) {
  return a && b ? ox_op2(o, OP_MINIMUM, a, b) : a ? a : b;
}

/* Keys are compared with the places of queries, moved by the width. */
Node *ox_window(Ox *o, const Window *w) {
  if (w->left < 0 && w->right < 0)
    return NULL;
  int rank = w->first ? 4 : 2;
  Node *key = ox_ruler(o, I32, rank, rank - 1, w->t), *seen = NULL;
  Node *query = ox_ruler(o, I32, rank, rank - 2, w->s);
  if (w->first)
    query = ox_op2(o, OP_ADD, query, w->first);
  else if (w->offset)
    query = ox_with(o, OP_ADD, query, (double)w->offset);
  if (w->right >= 0) {
    Node *to = w->right ? ox_with(o, OP_ADD, query, (double)w->right) : query;
    seen = ox_op2(o, OP_LESS_EQUAL, key, to);
  }
  if (w->left >= 0) {
    Node *from = ox_with(o, OP_SUB, query, (double)w->left);
    seen = ox_both(o, seen, ox_op2(o, OP_GREATER_EQUAL, key, from));
  }
  return seen;
}

bool ox_mask_fits(Ox *o, const char *what, const Node *x,
                  const int64_t dim[4]) {
  int r = x->type.rank;
  bool fits = r <= 4;
  for (int i = 0; fits && i < r; i++) {
    int64_t d = x->type.dim[i];
    fits = d == 1 || d == dim[4 - r + i];
  }
  return fits ||
         ox_malformed(o, "%s does not broadcast to [%lld,%lld,%lld,%lld]",
                      what, (long long)dim[0], (long long)dim[1],
                      (long long)dim[2], (long long)dim[3]);
}

/* Which queries may attend to anything, [...,1]; NULL: all do. */
static Node *alive(Ox *o, const Attention *t) {
  Node *x = t->allowed;
  if (t->sink)
    return NULL;
  if (t->bias)
    x = !x ? t->bias
           : ox_op3(o, OP_WHERE, x, t->bias, ox_scalar(o, F32, -INFINITY));
  if (!x || !x->type.rank)
    return NULL;
  int64_t last = x->type.rank - 1;
  x = ox_reduce(o, OP_MAX, x, &last, 1, true);
  if (x && t->bias)
    x = ox_with(o, OP_GREATER, x, -INFINITY);
  const Tensor *known = ox_values(o, x);
  for (int64_t i = 0, n = known ? ox_elems(x) : 0; i < n; i++)
    if (!known->i[i])
      return x;
  return known ? NULL : x;
}

/* ---- scores and their sums ------------------------------------------ */

static Node *capped(Ox *o, Node *x, double cap) {
  if (!(cap > 0))
    return x;
  x = ox_op1(o, OP_TANH, ox_with(o, OP_MUL, x, 1 / cap));
  return ox_with(o, OP_MUL, x, cap);
}

/* Heads that share a key count as so many times the queries. */
static Node *grouped(Ox *o, Node *x, int64_t groups) {
  if (!x || x->type.dim[1] == groups)
    return x;
  const int64_t *d = x->type.dim;
  int64_t dim[4] = {d[0], groups, groups ? d[1] / groups * d[2] : 0, d[3]};
  return ox_reshape(o, x, 4, dim);
}

static Node *ungrouped(Ox *o, Node *x, int64_t heads) {
  if (!x || x->type.dim[1] == heads)
    return x;
  const int64_t *d = x->type.dim;
  int64_t dim[4] = {d[0], heads, heads ? d[1] * d[2] / heads : 0, d[3]};
  return ox_reshape(o, x, 4, dim);
}

/* Along the keys, and the sink, which is not kept. */
static Node *weighed(Ox *o, Node *x, Node *sink) {
  if (!x)
    return NULL;
  int64_t t = x->type.dim[3];
  if (sink) {
    const int64_t *d = x->type.dim;
    sink = ox_expand(o, sink, 4, (int64_t[]){d[0], d[1], d[2], 1});
    x = ox_concat(o, (Node *[]){x, sink}, 2, 3);
  }
  x = ox_op1(o, OP_SOFTMAX, x);
  return sink ? ox_slice(o, x, 3, 0, t, 1) : x;
}

Node *ox_attend(Ox *o, Attention *t) {
  if (!t->q || !t->k || !t->v)
    return NULL;
  int64_t heads = t->q->type.dim[1], groups = t->k->type.dim[1];
  Node *x = ox_matmul(o, grouped(o, t->q, groups), t->k, false, true);
  Node **s = t->scores, *live = alive(o, t);
  s[SCORES_PLAIN] = ungrouped(o, x, heads);
  s[SCORES_CAPPED] = capped(o, s[SCORES_PLAIN], t->softcap);
  x = s[SCORES_CAPPED];
  if (t->bias)
    x = ox_op2(o, OP_ADD, x, t->bias);
  if (t->allowed)
    x = ox_op3(o, OP_WHERE, t->allowed, x, ox_scalar(o, F32, -INFINITY));
  s[SCORES_MASKED] = x;
  x = weighed(o, x, t->sink);
  s[SCORES_SOFTMAX] = x;
  if (live)
    s[SCORES_SOFTMAX] = ox_op3(o, OP_WHERE, live, x, ox_scalar(o, F32, 0));
  x = ox_matmul(o, grouped(o, x, groups), t->v, false, false);
  x = ungrouped(o, x, heads);
  return live ? ox_op3(o, OP_WHERE, live, x, ox_scalar(o, F32, 0)) : x;
}

/* ---- Attention ------------------------------------------------------ */

/* Operands as [B,H,S,D], q scaled; 3: they come as [B,S,H*D]. */
static bool attention_heads(Ox *o, Attention *t, int *rank) {
  Node *x[3] = {ox_in(o, 0), ox_in(o, 1), ox_in(o, 2)};
  int64_t heads[3] = {ox_int(o, "q_num_heads", 0),
                      ox_int(o, "kv_num_heads", 0)};
  heads[2] = heads[1];
  if (!x[0] || !x[1] || !x[2])
    return false;
  *rank = x[0]->type.rank;
  for (int i = 0; i < 3; i++) {
    if (x[i]->type.rank != *rank || (*rank != 3 && *rank != 4))
      return ox_malformed(o, "operand %d has rank %d, expected 3 or 4, and "
                          "all the same", i, x[i]->type.rank);
    int64_t last = x[i]->type.dim[*rank - 1];
    if (*rank == 3 && (heads[i] < 1 || last % heads[i]))
      return ox_malformed(o, "operand %d: %lld heads of a size of %lld", i,
                          (long long)heads[i], (long long)last);
  }
  int64_t size = x[0]->type.dim[*rank - 1];
  size = *rank == 3 ? size / heads[0] : size;
  double scale = ox_float(o, "scale", 1 / sqrt(size ? (double)size : 1));
  x[0] = ox_with(o, OP_MUL, x[0], scale);
  for (int i = 0; i < 3 && *rank == 3; i++)
    x[i] = ox_heads_split(o, x[i], heads[i]);
  t->q = x[0];
  t->k = x[1];
  t->v = x[2];
  return t->q && t->k && t->v;
}

/* The keys and values so far come first. */
static bool attention_past(Ox *o, Attention *t, int64_t *past) {
  *past = 0;
  if (ox_has_in(o, 4) != ox_has_in(o, 5))
    return ox_malformed(o, "one of past_key and past_value");
  if (ox_has_in(o, 4)) {
    Node *k = ox_in(o, 4), *v = ox_in(o, 5);
    if (!k || !v)
      return false;
    t->k = ox_concat(o, (Node *[]){k, t->k}, 2, 2);
    t->v = ox_concat(o, (Node *[]){v, t->v}, 2, 2);
    *past = k->type.rank > 2 ? k->type.dim[2] : 0;
  }
  return t->k && t->v;
}

static bool attention_fits(Ox *o, const Attention *t) {
  const int64_t *q = t->q->type.dim, *k = t->k->type.dim;
  const int64_t *v = t->v->type.dim;
  if (q[0] != k[0] || k[0] != v[0] || k[1] != v[1] || k[2] != v[2] ||
      q[3] != k[3])
    return ox_malformed(o, "queries, keys and values that do not fit");
  if (k[1] < 1 || q[1] % k[1])
    return ox_malformed(o, "%lld heads of keys do not divide %lld of queries",
                        (long long)k[1], (long long)q[1]);
  return true;
}

/* A mask of fewer keys allows none of the others. */
static bool attention_mask(Ox *o, Attention *t, const int64_t dim[4]) {
  if (!ox_has_in(o, 3))
    return true;
  Node *m = ox_in(o, 3);
  if (!m)
    return false;
  int r = m->type.rank;
  bool bits = m->type.elem == B1;
  int64_t before[MAX_RANK] = {0}, after[MAX_RANK] = {0};
  if (r > 0 && m->type.dim[r - 1] < dim[3] && m->type.dim[r - 1] != 1) {
    after[r - 1] = dim[3] - m->type.dim[r - 1];
    m = ox_pad(o, m, before, after, bits ? 0 : -INFINITY);
  }
  if (!m || !ox_mask_fits(o, "attn_mask", m, dim))
    return false;
  *(bits ? &t->allowed : &t->bias) = m;
  return true;
}

/* How many keys of each sample count, as [B,1,1,1]; NULL: all do. */
static bool attention_lengths(Ox *o, int64_t batch, Node **n) {
  *n = NULL;
  if (!ox_has_in(o, 6))
    return true;
  Node *x = ox_in(o, 6);
  if (!x)
    return false;
  if (x->type.rank != 1 || x->type.dim[0] != batch)
    return ox_malformed(o, "nonpad_kv_seqlen is not [%lld]",
                        (long long)batch);
  x = ox_cast(o, x, I32);
  *n = ox_reshape(o, x, 4, (int64_t[]){batch, 1, 1, 1});
  return *n != NULL;
}

static bool attention_windows(Ox *o, Attention *t, const int64_t dim[4],
                              int64_t past) {
  Node *lengths;
  if (!attention_lengths(o, dim[0], &lengths))
    return false;
  bool causal = ox_int(o, "is_causal", 0);
  int64_t left = ox_int(o, "left_window_size", -1);
  int64_t right = ox_int(o, "right_window_size", -1);
  if (left < -1 || right < -1 || left > INT32_MAX / 4 ||
      right > INT32_MAX / 4)
    return ox_malformed(o, "windows of %lld and %lld", (long long)left,
                        (long long)right);
  Window w = {dim[2], dim[3], past, NULL, left, causal ? 0 : right};
  if (lengths) {
    Node *key = ox_ruler(o, I32, 4, 3, dim[3]);
    Node *full = ox_op2(o, OP_LESS, key, lengths);
    t->allowed = ox_both(o, t->allowed, full);
    w.first = ox_with(o, OP_SUB, lengths, (double)dim[2]);
    if (!full || !w.first)
      return false;
  }
  if (w.left < 0 && w.right < 0)
    return true;
  Node *seen = ox_window(o, &w);
  t->allowed = ox_both(o, t->allowed, seen);
  return seen != NULL;
}

bool ox_write_attention(Ox *o) {
  Attention t = {.softcap = ox_float(o, "softcap", 0)};
  int rank;
  int64_t past, mode = ox_int(o, "qk_matmul_output_mode", 0);
  if (!attention_heads(o, &t, &rank) || !attention_past(o, &t, &past) ||
      !attention_fits(o, &t))
    return false;
  const int64_t dim[4] = {t.q->type.dim[0], t.q->type.dim[1],
                          t.q->type.dim[2], t.k->type.dim[2]};
  if (!attention_mask(o, &t, dim) || !attention_windows(o, &t, dim, past))
    return false;
  Node *y = ox_attend(o, &t);
  if (!y)
    return false;
  if (mode < 0 || mode >= SCORES_COUNT)
    return ox_malformed(o, "qk_matmul_output_mode=%lld", (long long)mode);
  ox_give(o, 1, t.k);
  ox_give(o, 2, t.v);
  ox_give(o, 3, t.scores[mode]);
  return ox_give(o, 0, rank == 3 ? ox_heads_join(o, y) : y);
}
