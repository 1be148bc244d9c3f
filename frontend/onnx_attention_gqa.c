/* onnx_attention_gqa.c - attention whose heads share keys and values (Ainslie
 * et al., 2023), with a cache of those so far, as ONNX Runtime has it. */
#include "frontend/onnx_attention.h"

#include <math.h>
#include <string.h>

enum { QUERY, KEY, VALUE, PAST_KEY, PAST_VALUE, SEQLENS, TOTAL, COS, SIN,
       POSITIONS, BIAS, SINK, OTHERS };

typedef struct Grouped {
  int64_t heads, groups;   /* of q; of k and v */
  int64_t s, past, total;  /* queries, which are new keys; keys so far; both */
  Node *x[3];              /* [B,S,H,D] */
} Grouped;

/* ---- operands ------------------------------------------------------- */

static bool options_fit(Ox *o) {
  for (int i = OTHERS; i < ox_nin(o); i++)
    if (ox_has_in(o, i))
      return ox_refuse(o, "operand %d", i);
  if (ox_int(o, "sliding_window_cache", 0))
    return ox_refuse(o, "a cache of a window");
  if (ox_int(o, "qk_output", 0))
    return ox_refuse(o, "scores as a result");
  return !strcmp(ox_str(o, "k_quant_type", "NONE"), "NONE") ||
         ox_refuse(o, "a cache of integers");
}

/* q, k and v, which may come in one. */
static bool operands_read(Ox *o, Grouped *g) {
  Node *q = ox_in(o, QUERY);
  bool packed = !ox_has_in(o, KEY);
  g->heads = ox_int(o, "num_heads", 0);
  g->groups = ox_int(o, "kv_num_heads", 0);
  if (!q)
    return false;
  if (q->type.rank != 3 || g->heads < 1 || g->groups < 1 ||
      g->heads > INT32_MAX || g->heads % g->groups)
    return ox_malformed(o, "%lld heads of queries, %lld of keys",
                        (long long)g->heads, (long long)g->groups);
  int64_t all = packed ? g->heads + 2 * g->groups : g->heads, at = 0;
  int64_t size = q->type.dim[2] / all;
  g->s = q->type.dim[1];
  for (int i = 0; i < 3; i++) {
    int64_t n = i ? g->groups : g->heads;
    Node *x = packed ? ox_slice(o, q, 2, at, at + n * size, 1) : ox_in(o, i);
    int64_t dim[4] = {q->type.dim[0], g->s, n, size};
    if (x && (x->type.rank != 3 || x->type.dim[0] != dim[0] ||
              x->type.dim[1] != g->s || x->type.dim[2] != n * size))
      return ox_malformed(o, "queries, keys and values that do not fit");
    g->x[i] = ox_reshape(o, x, 4, dim);
    at += n * size;
  }
  return g->x[0] && g->x[1] && g->x[2];
}

/* How many keys there are so far has to be known, the same for all of a
 * batch: a prompt has none; of one sample it is what is not new. */
static bool lengths_read(Ox *o, Grouped *g) {
  if (!ox_const_int(o, TOTAL, "total_sequence_length", &g->total))
    return false;
  if (g->total < g->s || g->total > INT32_MAX)
    return ox_malformed(o, "%lld keys in all, %lld of them new",
                        (long long)g->total, (long long)g->s);
  g->past = g->total - g->s;
  if (g->past == 0 || g->x[0]->type.dim[0] == 1)
    return true;
  Node *n = ox_in(o, SEQLENS);
  const Tensor *known = n && n->type.elem == I32 ? ox_values(o, n) : NULL;
  for (int64_t i = 0; known && i < ox_elems(n); i++)
    if (known->i[i] != g->total - 1)
      known = NULL;
  return known || ox_refuse(o, "samples with different numbers of keys");
}

/* ---- rotation ------------------------------------------------------- */

/* Rows of a cache for the places of the queries. */
static Node *angles(Ox *o, int i, const Grouped *g) {
  Node *x = ox_in(o, i);
  if (!x)
    return NULL;
  if (x->type.rank != 2 || 2 * x->type.dim[1] > g->x[0]->type.dim[3]) {
    ox_malformed(o, "a cache of angles that does not fit");
    return NULL;
  }
  if (ox_has_in(o, POSITIONS))
    return ox_gather(o, x, ox_in(o, POSITIONS), 0);
  if (x->type.dim[0] < g->total) {
    ox_malformed(o, "angles for %lld places, expected %lld",
                 (long long)x->type.dim[0], (long long)g->total);
    return NULL;
  }
  return ox_unsqueeze(o, ox_slice(o, x, 0, g->past, g->total, 1), 0);
}

static bool rotate(Ox *o, Grouped *g) {
  if (!ox_int(o, "do_rotary", 0))
    return true;
  Rotary r = {angles(o, COS, g), angles(o, SIN, g),
              ox_int(o, "rotary_interleaved", 0)};
  if (!r.cos || !r.sin)
    return false;
  const int64_t *d = r.cos->type.dim;
  if (r.cos->type.rank != 3 || !type_same_shape(&r.cos->type, &r.sin->type) ||
      (d[0] != 1 && d[0] != g->x[0]->type.dim[0]) || d[1] != g->s)
    return ox_malformed(o, "positions that do not fit");
  for (int i = 0; i < 2; i++)
    g->x[i] = ox_rotate(o, g->x[i], &r, false);
  return g->x[0] && g->x[1];
}

/* ---- the cache ------------------------------------------------------ */

/* All keys, behind those of the cache that are older; the cache with them is
 * result `result`. */
static Node *cached(Ox *o, const Grouped *g, int in, int result, Node *x) {
  Node *all = x;
  if (!ox_has_in(o, in)) {
    if (g->past) {
      ox_malformed(o, "no cache of %lld keys", (long long)g->past);
      return NULL;
    }
    return ox_give(o, result, x) ? x : NULL;
  }
  Node *past = ox_in(o, in);
  if (!x || !past || past->type.rank != 4 || past->type.dim[2] < g->past) {
    ox_malformed(o, "a cache of less than %lld keys", (long long)g->past);
    return NULL;
  }
  int64_t room = past->type.dim[2];
  if (g->past)
    all = ox_concat(o, (Node *[]){ox_slice(o, past, 2, 0, g->past, 1), x}, 2,
                    2);
  Node *rest = room > g->total ? ox_slice(o, past, 2, g->total, room, 1)
                               : NULL;
  Node *full = rest ? ox_concat(o, (Node *[]){all, rest}, 2, 2) : all;
  return ox_give(o, result, full) ? all : NULL;
}

/* ---- GroupQueryAttention -------------------------------------------- */

/* A query sees `local_window_size` keys, its own the last of them. */
static bool masks_read(Ox *o, const Grouped *g, Attention *t) {
  int64_t local = ox_int(o, "local_window_size", -1);
  const int64_t dim[4] = {t->q->type.dim[0], g->heads, g->s, g->total};
  Window w = {g->s, g->total, g->past, NULL, local < 1 ? -1 : local - 1, 0};
  if (local > INT32_MAX / 4)
    return ox_malformed(o, "a window of %lld", (long long)local);
  if (ox_int(o, "causal", 1))
    t->allowed = ox_window(o, &w);
  if (ox_has_in(o, BIAS)) {
    t->bias = ox_in(o, BIAS);
    if (!t->bias || !ox_mask_fits(o, "attention_bias", t->bias, dim))
      return false;
  }
  if (ox_has_in(o, SINK))
    t->sink = ox_reshape(o, ox_in(o, SINK), 4,
                         (int64_t[]){1, g->heads, 1, 1});
  else if (ox_int(o, "smooth_softmax", 0) == 1)
    t->sink = ox_filled(o, F32, 4, (int64_t[]){1, 1, 1, 1}, 0);
  return true;
}

bool ox_write_group_query(Ox *o) {
  Grouped g = {0};
  if (!options_fit(o) || !operands_read(o, &g) || !lengths_read(o, &g) ||
      !rotate(o, &g))
    return false;
  static const int64_t order[4] = {0, 2, 1, 3};
  int64_t size = g.x[0]->type.dim[3];
  double scale = ox_float(o, "scale", 0);
  scale = scale != 0 ? scale : 1 / sqrt(size ? (double)size : 1);
  Attention t = {.softcap = ox_float(o, "softcap", 0)};
  t.q = ox_permute(o, ox_with(o, OP_MUL, g.x[0], scale), order);
  t.k = cached(o, &g, PAST_KEY, 1, ox_permute(o, g.x[1], order));
  t.v = cached(o, &g, PAST_VALUE, 2, ox_permute(o, g.x[2], order));
  if (!t.q || !t.k || !t.v || !masks_read(o, &g, &t))
    return false;
  return ox_give(o, 0, ox_heads_join(o, ox_attend(o, &t)));
}
