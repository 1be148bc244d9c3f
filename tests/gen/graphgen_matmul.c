/* graphgen_matmul.c - random products of matrices: with another value, with
 * themselves, with a param, with a new input; attention, as one op or spelled
 * out. */
#include "tests/gen/graphgen.h"

static void swap(int64_t *a, int64_t *b) {
  int64_t t = *a;
  *a = *b, *b = t;
}

/* Shape of a second operand for v, its matrix [K,N] as it is read: a batch
 * of its own, the same, or sizes of 1 where v has more. */
static int draw_second(GraphGen *g, const GenValue *v, int64_t k,
                       int64_t dim[MAX_RANK]) {
  int rank = (int)gen_range(g, 2, v->rank < 5 ? v->rank + 1 : v->rank);
  for (int i = 0; i < rank - 2; i++) {
    int at = v->rank - rank + i;
    int64_t size = at < 0 ? 1 : v->dim[at];
    dim[i] = size == 1 ? gen_range(g, 1, 3) : gen_chance(g, 60) ? size : 1;
  }
  dim[rank - 2] = k;
  dim[rank - 1] = gen_size(g, 40);
  return rank;
}

/* An f32 value that may stand on the right of v, whose last size is k; -1:
 * none was found. */
static int find_second(GraphGen *g, const GenValue *v, int64_t k, bool tb) {
  for (int i = g->nvalues - 1; i >= 0; i--) {
    const GenValue *b = &g->value[i];
    if (b->elem != F32 || b->rank < 2) continue;
    bool fits = b->dim[b->rank - (tb ? 1 : 2)] == k;
    for (int n = 3; n <= b->rank && n <= v->rank; n++) {
      int64_t da = v->dim[v->rank - n], db = b->dim[b->rank - n];
      fits = fits && (da == db || da == 1 || db == 1);
    }
    if (fits && gen_chance(g, 70)) return i;
  }
  return -1;
}

/* The name of the second operand, its shape and bound in *b. */
static void second_operand(GraphGen *g, const GenValue *v, int64_t k, bool tb,
                           GenValue *b, char name[16]) {
  int found = gen_chance(g, 50) ? find_second(g, v, k, tb) : -1;
  if (found >= 0) {
    *b = g->value[found];
    snprintf(name, 16, "%s", gen_use(g, found));
    return;
  }
  b->rank = draw_second(g, v, k, b->dim);
  if (tb) swap(&b->dim[b->rank - 1], &b->dim[b->rank - 2]);
  b->bound = g->ints ? 3 : 2;
  if (gen_elems(b->rank, b->dim) > g->max_elems) return;
  if (gen_chance(g, 60))
    gen_param(g, name, "f32", gen_chance(g, 70) ? 'w' : 's', b->rank, b->dim);
  else
    snprintf(name, 16, "%s", gen_use(g, gen_input(g, F32, b->rank, b->dim)));
}

bool gen_matmul(GraphGen *g) {
  int x = gen_pick(g, -1, 2);
  if (x < 0 || g->nvalues + 3 >= GEN_MAX_VALUES) return false;
  GenValue v = g->value[x], b = {.rank = 0};
  bool ta = gen_chance(g, 30), tb = gen_chance(g, 40);
  int64_t k = v.dim[v.rank - (ta ? 2 : 1)], dim[MAX_RANK];
  int64_t m = v.dim[v.rank - (ta ? 1 : 2)];
  char name[16] = "";
  second_operand(g, &v, k, tb, &b, name);
  int rank = v.rank > b.rank ? v.rank : b.rank;
  for (int n = 3; n <= rank; n++) {
    int64_t da = n <= v.rank ? v.dim[v.rank - n] : 1;
    int64_t db = n <= b.rank ? b.dim[b.rank - n] : 1;
    dim[rank - n] = da == 1 ? db : da;
  }
  dim[rank - 2] = m;
  dim[rank - 1] = b.dim[b.rank - (tb ? 2 : 1)];
  double bound = v.bound * b.bound * (double)k;
  int64_t elems = gen_elems(rank, dim);
  if (!*name || elems > g->max_elems || elems * k > g->max_macs ||
      !gen_fits(g, bound))
    return false;
  gen_value(g, rank, dim, bound, "matmul(%s, %s%s%s)", gen_use(g, x), name,
            ta ? ", transpose_a=true" : "", tb ? ", transpose_b=true" : "");
  return true;
}

/* Keys, values or a mask for q: the last two sizes are given, batch sizes
 * are those of q or 1. */
static bool attend_operand(GraphGen *g, const GenValue *q, int64_t rows,
                           int64_t columns, char name[16]) {
  int64_t dim[MAX_RANK];
  for (int i = 0; i < q->rank - 2; i++)
    dim[i] = gen_chance(g, 75) ? q->dim[i] : 1;
  dim[q->rank - 2] = rows;
  dim[q->rank - 1] = columns;
  if (gen_elems(q->rank, dim) > g->max_elems) return false;
  if (gen_chance(g, 30)) gen_param(g, name, "f32", 'w', q->rank, dim);
  else
    snprintf(name, 16, "%s", gen_use(g, gen_input(g, F32, q->rank, dim)));
  return true;
}

/* attend, or what the pass `recognise` makes one of. */
static void attend_text(GraphGen *g, Text *t, const char *q, char name[3][16],
                        bool side, bool masked, bool causal, double scale) {
  if (gen_chance(g, 60)) {
    text_printf(t, "attend(%s, %s, %s%s%s, transpose_k=%s, scale=%.4f%s)", q,
                name[0], name[1], masked ? ", mask=" : "",
                masked ? name[2] : "", side ? "true" : "false", scale,
                causal ? ", causal=true" : "");
    return;
  }
  text_printf(t, "matmul(softmax(");
  if (masked && gen_chance(g, 50)) text_printf(t, "%s + ", name[2]);
  else if (masked) text_printf(t, "%s * 0.5 + ", name[2]);
  text_printf(t, "matmul(%s * %.4f, %s%s) / 1.5), %s)", q, scale, name[0],
              side ? ", transpose_b=true" : "", name[1]);
}

bool gen_attend(GraphGen *g) {
  int x = gen_pick(g, -1, 2);
  if (g->ints || x < 0 || g->nvalues + 5 >= GEN_MAX_VALUES) return false;
  GenValue q = g->value[x];
  if (q.rank < 2 || q.elem != F32) return false;
  int64_t e = q.dim[q.rank - 1], l = q.dim[q.rank - 2], dim[MAX_RANK];
  int64_t s = gen_chance(g, 15) ? gen_range(g, 1, 600) : gen_size(g, 40);
  int64_t v = gen_size(g, 40), rows = gen_elems(q.rank - 1, q.dim);
  bool side = gen_chance(g, 50), masked = gen_chance(g, 40);
  bool causal = gen_chance(g, 30);
  char name[3][16];
  if (s == 0 || rows * v > g->max_elems ||
      rows * s * (e + v) > g->max_macs ||
      !attend_operand(g, &q, side ? s : e, side ? e : s, name[0]) ||
      !attend_operand(g, &q, s, v, name[1]))
    return false;
  if (masked && !attend_operand(g, &q, gen_chance(g, 50) ? l : 1,
                                gen_chance(g, 80) ? s : 1, name[2]))
    return false;
  for (int i = 0; i < q.rank; i++) dim[i] = q.dim[i];
  dim[q.rank - 1] = v;
  double scale = 4 / (1 + (double)e * (q.bound + 1));
  Text t = {0};
  attend_text(g, &t, gen_use(g, x), name, side, masked, causal, scale);
  gen_value(g, q.rank, dim, 2, "%s", t.s);
  text_free(&t);
  return true;
}
