/* parts.c - parts of a step, which threads take.
 *
 * With a pool a step may be cut into parts that are known when it is
 * compiled: its function takes the number of a part, and a loop whose turns
 * do not depend on one another (loop_share) takes the turns that belong to
 * it.  Each result is computed by one part, as it would be without parts:
 * the same bits for any number of threads.  What lies outside such a loop is
 * done by every part, unless once_begin says that one of them does it.
 *
 * Without a pool, and inside a loop that is shared, all of this is the plain
 * loop. */
#include "backend/codegen.h"

static bool is_cut(const Gen *g) { return g->parts > 1 && !g->in_part; }

/* Turns [*lo, *hi) of n for this part.  Which parts get one more than others
 * changes from loop to loop. */
static void turns(Gen *g, int64_t n, Val *lo, Val *hi) {
  Val bound[2], parts = k64(g, g->parts);
  int64_t up = g->turn ? 0 : g->parts - 1;
  for (int i = 0; i < 2; i++) {
    Val at = add64(g, g->part, k64(g, i));
    at = add64(g, mul64(g, at, n), k64(g, up));
    bound[i] = LLVMBuildUDiv(g->b, at, parts, "");
  }
  g->turn = !g->turn;
  *lo = bound[0], *hi = bound[1];
}

void loop_share(Gen *g, Loop *l, int64_t lo, int64_t hi, int64_t step,
                const char *name) {
  if (!is_cut(g)) {
    loop_begin(g, l, k64(g, lo), k64(g, hi), step, true, name);
    return;
  }
  Val from, to;
  turns(g, (hi - lo + step - 1) / step, &from, &to);
  from = add64(g, mul64(g, from, step), k64(g, lo));
  to = add64(g, mul64(g, to, step), k64(g, lo));
  loop_range(g, l, from, to, step, name);
}

void loop_either(Gen *g, Loop *l, bool share, int64_t lo, int64_t hi,
                 int64_t step, const char *name) {
  if (share) loop_share(g, l, lo, hi, step, name);
  else loop_begin(g, l, k64(g, lo), k64(g, hi), step, true, name);
}

void loop_range(Gen *g, Loop *l, Val lo, Val hi, int64_t step,
                const char *name) {
  ensure(is_cut(g));
  loop_begin(g, l, lo, hi, step, false, name);
  l->shared = g->in_part = g->divided = true;
}

static void part_if(Gen *g, Once *o, bool wanted, int64_t part) {
  o->cut = wanted && is_cut(g);
  if (!o->cut) return;
  if_begin(g, &o->only,
           LLVMBuildICmp(g->b, LLVMIntEQ, g->part, k64(g, part), ""));
  g->in_part = true;
}

void part_begin(Gen *g, Once *o, int64_t part) {
  part_if(g, o, true, part);
  g->divided |= o->cut;
}

void once_begin(Gen *g, Once *o) { once_either(g, o, true); }

void once_either(Gen *g, Once *o, bool wanted) {
  part_if(g, o, wanted, g->parts - 1);
}

void once_end(Gen *g, Once *o) {
  if (!o->cut) return;
  if_end(g, &o->only);
  g->in_part = false;
}

bool has_halves(const Gen *g) { return is_cut(g) && g->parts % 2 == 0; }

void half_begin(Gen *g, Half *h, int which) {
  bool cut = which >= 0 && has_halves(g);
  *h = (Half){ .cut = cut, .parts = g->parts, .part = g->part };
  if (!h->cut) return;
  Val half = k64(g, g->parts / 2);
  if_begin(g, &h->only, LLVMBuildICmp(g->b, which ? LLVMIntSGE : LLVMIntSLT,
                                      g->part, half, ""));
  g->parts /= 2;
  if (which) g->part = LLVMBuildNSWSub(g->b, g->part, half, "");
  g->divided = true;
}

void half_end(Gen *g, Half *h) {
  if (!h->cut) return;
  if_end(g, &h->only);
  g->parts = h->parts, g->part = h->part;
}

int parts_level(const Gen *g, const int64_t *count, int n) {
  int best = 0;
  for (int i = 0; i < n; i++) {
    if (count[i] >= 2 * g->parts) return i;
    if (count[i] > count[best]) best = i;
  }
  return best;
}

void parts_cut(const Gen *g, const int64_t *cost, int64_t n, int64_t rest,
               int64_t *bound) {
  int64_t all = rest, done = 0, i = 0;
  for (int64_t k = 0; k < n; k++) all += cost[k];
  for (int p = 0; p < g->parts; p++) {
    bound[p] = i;
    /* Half of what lies over the end still belongs to the part. */
    while (i < n && (done + cost[i] / 2) * g->parts < all * (p + 1))
      done += cost[i++];
  }
  bound[g->parts] = n;
}
