/* fold_runs.c - what comes again whatever it is called: equal runs of
 * statements, found in the suffix array of all bodies one behind the other
 * (Manber and Myers, 1990; the lengths by Kasai et al., 2001). */
#include "frontend/fold.h"

#include <stdlib.h>
#include <string.h>

enum {
  RUN_LEAST = 2,         /* statements */
  /* Statements looked at: for each one there is, and besides. */
  WORK_EACH = 8, WORK_BESIDES = 400000,
  CUTS_TRIED = 3
};

/* The bodies as one string.  A letter stands for what a statement is, its
 * operands' values and names left out. */
typedef struct Runs {
  Fold *f;
  Arena *a;
  uint32_t n;
  uint32_t *letter;
  Block **body;          /* by place in the string; NULL: an end */
  uint32_t *part;
  uint32_t *order, *rank;    /* suffixes in order, and the way back */
  uint32_t *share;       /* letters that order[i - 1] and order[i] share */
  uint32_t *cost;        /* of a cut before the letter */
  uint32_t *period, *until;  /* of a run that was seen, by place */
  Map seen;              /* of what was proposed */
  int64_t work;
} Runs;

/* ---- letters ----------------------------------------------------------- */

typedef struct Letter { uint64_t hash; uint32_t at; } Letter;

static uint64_t hash_more(uint64_t h, uint64_t x) {
  return hash_mix(h ^ hash_mix(x + 1));
}

static uint64_t type_hash(uint64_t h, const Type *t) {
  h = hash_more(h, t->elem);
  for (int i = 0; i < t->rank; i++)
    h = hash_more(h, (uint64_t)t->dim[i]);
  return hash_more(h, (uint64_t)t->rank);
}

static uint64_t attr_hash(uint64_t h, const Attr *a) {
  h = hash_more(h, a->set);
  if (!a->set)
    return h;
  if (a->kind == ATTR_STR)
    return hash_more(h, a->s ? hash_bytes(a->s, strlen(a->s)) : 0);
  if (a->kind == ATTR_FLOAT)
    return hash_more(h, hash_bytes(&a->f, sizeof a->f));
  if (a->kind != ATTR_INTS)
    return hash_more(h, (uint64_t)a->i);
  for (int i = 0; i < a->n; i++)
    h = hash_more(h, (uint64_t)a->ints[i]);
  return hash_more(h, (uint64_t)a->n);
}

static uint64_t node_hash(const Node *n) {
  uint64_t h = type_hash(hash_more(1, n->op), &n->type);
  for (int i = 0; i < op_info(n->op)->nattrs; i++)
    h = attr_hash(h, &n->attr[i]);
  for (int i = 0; i < n->nin; i++) {
    const Node *x = n->in[i];
    h = hash_more(h, !x ? 0 : x->op == OP_CONST ? 1 : x->op == OP_PARAM ? 2
                                                                        : 3);
    if (x)
      h = type_hash(h, &x->type);
    if (x && x->op == OP_CONST)
      h = hash_more(hash_more(h, (uint64_t)x->ivalue),
                    hash_bytes(&x->value, sizeof x->value));
  }
  return h;
}

static int letter_order(const void *a, const void *b) {
  const Letter *x = a, *y = b;
  if (x->hash != y->hash)
    return x->hash < y->hash ? -1 : 1;
  return (x->at > y->at) - (x->at < y->at);
}

/* Statements that may stand in no block, and ends, are like no other. */
static uint64_t letter_hash(const Runs *r, uint32_t at) {
  const Fold *f = r->f;
  const Block *b = r->body[at];
  if (!b)
    return hash_more(2, at);
  const Part *p = &b->parts.at[r->part[at]];
  if (p->call)
    return hash_more(3, p->call->id);
  uint32_t place = b->begin[0] + p->at;
  return f->regular[place] ? node_hash(f->node[place])
                           : hash_more(4, place);
}

static void letters_fill(Runs *r) {
  Letter *all = arena_array(r->a, Letter, r->n);
  for (uint32_t i = 0; i < r->n; i++)
    all[i] = (Letter){letter_hash(r, i), i};
  qsort(all, r->n, sizeof *all, letter_order);
  uint32_t letter = 0;
  for (uint32_t i = 0; i < r->n; i++) {
    letter += i && all[i].hash != all[i - 1].hash;
    r->letter[all[i].at] = letter;
  }
}

/* ---- the suffix array -------------------------------------------------- */

/* Sort `from` into `to` by key[], which is less than n. */
static void sort_by(const uint32_t *from, uint32_t *to, uint32_t n,
                    const uint32_t *key, uint32_t shift, uint32_t *count) {
  memset(count, 0, (n + 2) * sizeof *count);
  for (uint32_t i = 0; i < n; i++)
    count[(from[i] + shift < n ? key[from[i] + shift] + 1 : 0) + 1]++;
  for (uint32_t i = 1; i < n + 2; i++)
    count[i] += count[i - 1];
  for (uint32_t i = 0; i < n; i++)
    to[count[from[i] + shift < n ? key[from[i] + shift] + 1 : 0]++] = from[i];
}

static bool pair_same(const Runs *r, uint32_t a, uint32_t b, uint32_t k) {
  if (r->rank[a] != r->rank[b])
    return false;
  bool ea = a + k >= r->n, eb = b + k >= r->n;
  return ea || eb ? ea && eb : r->rank[a + k] == r->rank[b + k];
}

static void suffixes_sort(Runs *r) {
  uint32_t n = r->n;
  uint32_t *tmp = arena_array(r->a, uint32_t, n);
  uint32_t *count = arena_array(r->a, uint32_t, n + 2);
  memcpy(r->rank, r->letter, n * sizeof *r->rank);
  for (uint32_t i = 0; i < n; i++)
    tmp[i] = i;
  sort_by(tmp, r->order, n, r->rank, 0, count);
  for (uint32_t k = 1; k < n; k *= 2) {
    sort_by(r->order, tmp, n, r->rank, k, count);
    sort_by(tmp, r->order, n, r->rank, 0, count);
    uint32_t next = 0;
    tmp[r->order[0]] = 0;
    for (uint32_t i = 1; i < n; i++) {
      next += !pair_same(r, r->order[i - 1], r->order[i], k);
      tmp[r->order[i]] = next;
    }
    memcpy(r->rank, tmp, n * sizeof *r->rank);
    if (next == n - 1)
      break;
  }
}

static void shares_fill(Runs *r) {
  uint32_t len = 0;
  for (uint32_t i = 0; i < r->n; i++) {
    if (!r->rank[i]) {
      len = 0;
      continue;
    }
    uint32_t j = r->order[r->rank[i] - 1];
    while (i + len < r->n && j + len < r->n &&
           r->letter[i + len] == r->letter[j + len])
      len++;
    r->share[r->rank[i]] = len;
    len -= len > 0;
  }
}

/* ---- where to cut ------------------------------------------------------ */

/* A cut between modules, that few values cross, makes the better block. */
static void costs_fill(Runs *r) {
  const Fold *f = r->f;
  int32_t *live = arena_array(r->a, int32_t, f->n + 2);
  for (uint32_t i = 0; i < f->n; i++) {
    live[i + 1]++;
    live[(f->last[i] < f->n ? f->last[i] : f->n) + 1]--;
  }
  for (uint32_t i = 1; i <= f->n; i++)
    live[i] += live[i - 1];
  for (uint32_t i = 0; i < r->n; i++) {
    const Block *b = r->body[i];
    if (!b)
      continue;
    uint32_t place = b->begin[0] + b->parts.at[r->part[i]].at;
    uint32_t depth = f->path_share[place] > 0;
    for (uint32_t k = 0; k < f->path_share[place]; k++)
      depth += f->node[place]->path[k] == '.';
    r->cost[i] = 2 * (uint32_t)live[place] + depth;
  }
}

/* ---- proposals --------------------------------------------------------- */

static int place_order(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* All places where the `len` letters at `at` stand, ascending. */
static uint32_t *places_of(Runs *r, uint32_t at, uint32_t len,
                           uint32_t *count) {
  uint32_t lo = r->rank[at], hi = lo;
  while (lo > 0 && r->share[lo] >= len)
    lo--;
  while (hi + 1 < r->n && r->share[hi + 1] >= len)
    hi++;
  *count = hi - lo + 1;
  r->work += *count;
  const char *key = arena_printf(r->a, "%u %u", lo, len);
  if (map_get(&r->seen, key))
    return NULL;
  map_put(r->a, &r->seen, key, r);
  uint32_t *all = arena_array(r->a, uint32_t, *count);
  memcpy(all, r->order + lo, *count * sizeof *all);
  qsort(all, *count, sizeof *all, place_order);
  return all;
}

static void window_propose(Runs *r, Windows *out, Window w, Text *key) {
  for (int bare = 0; bare < 2; bare++) {
    w.bare = bare;
    key->n = 0;
    if (!window_key(r->f, &w, 0, key))
      continue;
    w.key = hash_bytes(key->s, key->n);
    vec_push(r->f->a, out, w);
  }
}

static void propose(Runs *r, uint32_t at, uint32_t len, Windows *out,
                    Text *key) {
  uint32_t n, end = 0;
  if (len < RUN_LEAST)
    return;
  const uint32_t *all = places_of(r, at, len, &n);
  for (uint32_t i = 0; all && i < n; i++) {
    if (all[i] < end)
      continue;
    end = all[i] + len;
    r->work += len;
    uint32_t from = r->part[all[i]];
    window_propose(r, out, (Window){.body = r->body[all[i]], .from = from,
                                    .to = from + len}, key);
  }
}

/* The cheapest of cuts [from, to). */
static uint32_t cut_least(const Runs *r, uint32_t from, uint32_t to) {
  uint32_t best = from;
  for (uint32_t i = from + 1; i < to; i++)
    if (r->cost[i] < r->cost[best])
      best = i;
  return best;
}

/* A run that stands in several places: as it is, and less what is left and
 * right of its cheapest cuts. */
static void propose_apart(Runs *r, uint32_t at, uint32_t len, Windows *out,
                          Text *key) {
  uint32_t third = len / 3;
  uint32_t from = cut_least(r, at, at + third + 1);
  uint32_t to = at + len;
  if (r->body[at + len])
    to = cut_least(r, at + len - third, at + len + 1);
  propose(r, at, len, out, key);
  propose(r, from, at + len - from, out, key);
  propose(r, at, to - at, out, key);
  propose(r, from, to - from, out, key);
  r->work += len;
}

static uint32_t cut_sum(const Runs *r, uint32_t at, uint32_t end,
                        uint32_t period) {
  uint32_t sum = 0, n = 0;
  for (; at + period <= end; at += period, n++)
    sum += r->cost[at];
  return sum / (n ? n : 1);
}

/* A run of one period that goes on and on: cut where it is cheapest. */
static void propose_periodic(Runs *r, uint32_t at, uint32_t period,
                             Windows *out, Text *key) {
  uint32_t end = at + period, tried[CUTS_TRIED];
  while (at > 0 && r->letter[at - 1] == r->letter[at - 1 + period])
    at--;
  while (end < r->n && r->letter[end] == r->letter[end - period])
    end++;
  for (uint32_t i = at; i < end; i++) {
    r->period[i] = period;
    r->until[i] = end;
  }
  r->work += end - at;
  for (int k = 0; k < CUTS_TRIED; k++) {
    uint32_t best = UINT32_MAX, least = UINT32_MAX;
    for (uint32_t i = 0; i < period && at + i + 2 * period <= end; i++) {
      bool old = false;
      for (int j = 0; j < k; j++)
        old |= tried[j] == i;
      uint32_t sum = old ? UINT32_MAX : cut_sum(r, at + i, end, period);
      if (sum < least) {
        least = sum;
        best = i;
      }
    }
    if (best == UINT32_MAX)
      return;
    tried[k] = best;
    propose(r, at + best, period, out, key);
  }
}

/* ---- all runs that come again ------------------------------------------ */

/* Suffixes order[from..to] share len letters. */
typedef struct Interval { uint32_t from, to, len; } Interval;

static int interval_order(const void *a, const void *b) {
  const Interval *x = a, *y = b;
  uint64_t nx = (uint64_t)x->len * (x->to - x->from);
  uint64_t ny = (uint64_t)y->len * (y->to - y->from);
  if (nx != ny)
    return nx > ny ? -1 : 1;
  if (x->from != y->from)
    return x->from < y->from ? -1 : 1;
  return (x->len > y->len) - (x->len < y->len);
}

static void interval_propose(Runs *r, const Interval *x, Windows *out,
                             Text *key) {
  uint32_t at = r->order[x->from], n = x->to - x->from + 1;
  if (r->period[at] && x->len >= r->period[at] &&
      at + x->len <= r->until[at])
    return;
  uint32_t *all = arena_array(r->a, uint32_t, n);
  memcpy(all, r->order + x->from, n * sizeof *all);
  qsort(all, n, sizeof *all, place_order);
  r->work += n;
  uint32_t gap = UINT32_MAX;
  for (uint32_t i = 1; i < n; i++)
    if (all[i] - all[i - 1] < gap) {
      gap = all[i] - all[i - 1];
      at = all[i - 1];
    }
  if (gap < x->len)
    propose_periodic(r, at, gap, out, key);
  else
    propose_apart(r, all[0], x->len, out, key);
}

static void intervals_propose(Runs *r, Windows *out, Text *key) {
  Vec(Interval) open = {0}, all = {0};
  for (uint32_t i = 1; i <= r->n; i++) {
    uint32_t len = i < r->n ? r->share[i] : 0, from = i - 1;
    while (open.n && open.at[open.n - 1].len > len) {
      Interval x = open.at[--open.n];
      from = x.from;
      x.to = i - 1;
      vec_push(r->a, &all, x);
    }
    if (len >= RUN_LEAST && (!open.n || open.at[open.n - 1].len < len))
      vec_push(r->a, &open, ((Interval){from, 0, len}));
  }
  if (all.n)
    qsort(all.at, all.n, sizeof *all.at, interval_order);
  for (size_t i = 0; i < all.n; i++) {
    interval_propose(r, &all.at[i], out, key);
    if (r->work > (int64_t)WORK_EACH * r->n + WORK_BESIDES)
      return;
  }
}

static void body_add(Runs *r, Block *b) {
  for (uint32_t i = 0; i < b->parts.n; i++) {
    r->body[r->n] = b;
    r->part[r->n++] = i;
  }
  r->n++;
}

void find_runs(Fold *f, Windows *out) {
  Runs r = {.f = f, .a = arena_new()};
  size_t n = f->main->parts.n + 1;
  Text key = {0};
  for (size_t i = 0; i < f->blocks.n; i++)
    n += f->blocks.at[i]->parts.n + 1;
  uint32_t **const arrays[] = {&r.letter, &r.part, &r.order, &r.rank,
                               &r.share, &r.cost, &r.period, &r.until};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    *arrays[i] = arena_array(r.a, uint32_t, n + 1);
  r.body = arena_array(r.a, Block *, n + 1);
  body_add(&r, f->main);
  for (size_t i = 0; i < f->blocks.n; i++)
    body_add(&r, f->blocks.at[i]);
  text_puts(&key, "");
  letters_fill(&r);
  suffixes_sort(&r);
  shares_fill(&r);
  costs_fill(&r);
  intervals_propose(&r, out, &key);
  text_free(&key);
  arena_free(r.a);
}
