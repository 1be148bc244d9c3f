/* strips.c - convolutions that follow one another on large maps, by strips of
 * rows.
 *
 * A map that the second cache does not hold is written to a cache further away
 * and read back from there, which for pointwise and depthwise layers takes
 * longer than the arithmetic.  Here a chain of convolutions, each the only
 * reader of the one before, is done strip by strip: some rows of the last
 * result at a time, with the rows of the maps between that they need, which
 * stay near.  Rows that two strips need are computed twice.
 *
 * requires   fused, weights in their final format
 * preserves  every value; rounding too, where a kernel sums in one order for
 *            all pixels
 * before     t = conv2d(x, w);                                (rows 0 to 111)
 *            y = conv2d(t, v, stride=[2,2], pad=[1,1,0,0], groups=96);
 * after      x0 = slice(x, axis=2, start=0, stop=16, step=1);
 *            t0 = conv2d(x0, w);
 *            y0 = conv2d(t0, v, stride=[2,2], pad=[1,1,0,0], groups=96);
 *            x1 = slice(x, axis=2, start=15, stop=32, step=1);
 *            t1 = conv2d(x1, w);
 *            y1 = conv2d(t1, v, stride=[2,2], pad=[0,1,0,0], groups=96);
 *            ...
 *            y = concat(y0, y1, ..., axis=2);
 *            (pass layout makes slices and parts rows of the whole)
 * source     Alwani, Chen, Ferdman, Milder, 2016 ("Fused-layer CNN
 *            accelerators"), with strips in place of pyramids */
#include "passes/passes.h"

enum { CHAIN_MOST = 6, RUN_MOST = 64, STRIPS_MOST = 16, ROWS_LEAST = 4 };

typedef struct Chain {
  Node *n[CHAIN_MOST];
  int count;
  int64_t strips, rows;    /* rows of the last result in each, but the last */
} Chain;

typedef struct Strips {
  PassCtx *c;
  Func *f;
  const Family *family;
  int64_t rows_least;      /* of each map in a strip */
  Node **user;             /* by id: the one node that uses it, or NULL */
  bool *done;              /* by id: in a run */
  Vec(Chain) chains;
} Strips;

/* Rows [lo, hi) of a map. */
typedef struct Rows { int64_t lo, hi; } Rows;

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t height(const Node *n) { return n->type.dim[2]; }

static double map_bytes(const Node *n) {
  return 4.0 * (double)type_elems(&n->type);
}

/* ---- rows ------------------------------------------------------------ */

/* The rows of x under those of a convolution, and how far they reach over
 * the top and the bottom of x. */
static Rows rows_under(const Node *n, Rows y, int64_t over[2]) {
  int count;
  int64_t stride = attr_ints(n, "stride", &count)[0];
  int64_t dilation = attr_ints(n, "dilation", &count)[0];
  int64_t pad = attr_ints(n, "pad", &count)[0];
  int64_t k = n->in[1]->type.dim[2], h = height(n->in[0]);
  int64_t lo = y.lo * stride - pad;
  int64_t hi = (y.hi - 1) * stride - pad + (k - 1) * dilation + 1;
  over[0] = max64(-lo, 0), over[1] = max64(hi - h, 0);
  return (Rows){max64(lo, 0), min64(hi, h)};
}

/* The rows of strip s of the last result. */
static Rows strip_rows(const Chain *t, int64_t s) {
  int64_t h = height(t->n[t->count - 1]);
  return (Rows){s * t->rows, min64((s + 1) * t->rows, h)};
}

/* ---- what it gains --------------------------------------------------- */

/* Bytes of the maps of strip s; -1: they have too few rows. */
static double strip_bytes(const Strips *st, const Chain *t, int64_t s) {
  Rows r = strip_rows(t, s);
  double bytes = 0;
  for (int i = t->count; i-- >= 0;) {
    const Node *n = i < 0 ? t->n[0]->in[0] : t->n[i];
    int64_t over[2];
    bytes += map_bytes(n) / (double)height(n) * (double)(r.hi - r.lo);
    if (i < 0) break;
    r = rows_under(n, r, over);
    if (r.hi - r.lo < st->rows_least) return -1;
  }
  return bytes;
}

static bool strips_fit(const Strips *st, const Chain *t) {
  for (int64_t s = 0; s < t->strips; s++)
    if (strip_bytes(st, t, s) < 0) return false;
  return true;
}

/* Cycles of products that strips do more than once. */
static double repeated(const Strips *st, const Chain *t) {
  double cycles = 0;
  for (int64_t s = 0; s < t->strips; s++) {
    Rows r = strip_rows(t, s);
    for (int i = t->count; i-- > 0;) {
      const Node *n = t->n[i];
      int64_t over[2];
      double rows = (double)(r.hi - r.lo) / (double)height(n) -
                    1 / (double)t->strips;
      cycles += rows * (double)node_cost(st->c->m, n).nonzero_macs;
      r = rows_under(n, r, over);
    }
  }
  return cycles / st->c->target->lanes;
}

/* What of a map would not stay near. */
static double far_bytes(const Strips *st, const Node *n) {
  if (st->c->strips_all) return 1;
  double far = map_bytes(n) - (double)st->family->second_bytes / 2;
  return far > 0 ? far : 0;
}

/* Cycles that the maps between take to go away and to come back. */
static double saved(const Strips *st, const Chain *t) {
  double bytes = 0;
  for (int i = 0; i + 1 < t->count; i++) bytes += far_bytes(st, t->n[i]);
  return bytes / st->family->stream;
}

/* A step of a strip, besides its work. */
static const double step_cycles = 600;

/* The cycles that a chain gains in as few strips as fit the second cache, with
 * all else that goes through it; 0: none. */
static double strips_gain(const Strips *st, Chain *t) {
  double room = (double)st->family->second_bytes / 2;
  int64_t h = height(t->n[t->count - 1]);
  int64_t least = st->c->strips_all ? 2 + h % 3 : 2;
  for (int64_t parts = least; parts <= STRIPS_MOST; parts++) {
    t->rows = (h + parts - 1) / parts;
    t->strips = (h + t->rows - 1) / t->rows;
    double bytes = strip_bytes(st, t, t->strips / 2);
    if (bytes < 0 || t->rows < st->rows_least || t->strips < 2) return 0;
    if (st->c->strips_all) return strips_fit(st, t) ? t->count : 0;
    if (bytes > room) continue;
    double steps = step_cycles * (double)((t->strips - 1) * t->count);
    double gain = saved(st, t) - 2 * repeated(st, t) - steps;
    return gain > 0 && strips_fit(st, t) ? gain : 0;
  }
  return 0;
}

/* ---- chains ---------------------------------------------------------- */

static bool is_link(const Node *n) {
  return n->op == OP_CONV2D && conv_takes_planes(n) &&
         type_elems(&n->type) > 0;
}

/* The convolution behind a map that would not stay near, its one reader. */
static Node *next_link(const Strips *st, const Node *n) {
  Node *u = st->user[n->id];
  if (!u || !is_link(u) || u->in[0] != n) return NULL;
  return far_bytes(st, n) > 0 ? u : NULL;
}

static void users_find(Strips *st) {
  Func *f = st->f;
  Node *several = f->nodes.n ? f->nodes.at[0] : NULL;   /* no convolution */
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *n = f->nodes.at[i];
    for (int k = 0; k < n->nin; k++) {
      if (!n->in[k]) continue;
      Node **u = &st->user[n->in[k]->id];
      *u = *u ? several : n;
    }
  }
  for (size_t i = 0; i < f->outputs.n; i++)
    st->user[f->outputs.at[i].node->id] = several;
  for (size_t i = 0; i < f->nexts.n; i++)
    st->user[f->nexts.at[i].node->id] = several;
}

/* Take a run of convolutions apart into the chains that gain most. */
static void run_cut(Strips *st, Node *const *run, int n) {
  double best[RUN_MOST + 1] = {0};
  Chain from[RUN_MOST];
  for (int i = n; i-- > 0;) {
    Chain t = {0};
    best[i] = best[i + 1];
    from[i].count = 1;
    for (int k = i; k < n && t.count < CHAIN_MOST; k++) {
      t.n[t.count++] = run[k];
      double gain = t.count > 1 ? strips_gain(st, &t) : 0;
      if (gain <= 0 || gain + best[k + 1] <= best[i]) continue;
      best[i] = gain + best[k + 1];
      from[i] = t;
    }
  }
  for (int i = 0; i < n; i += from[i].count)
    if (from[i].count > 1) vec_push(st->c->scratch, &st->chains, from[i]);
}

static void chains_find(Strips *st) {
  size_t n = st->f->nodes.n;
  for (size_t i = 0; i < n; i++) {
    Node *run[RUN_MOST], *x = st->f->nodes.at[i];
    int count = 0;
    if (st->done[i] || !is_link(x)) continue;
    for (; x && count < RUN_MOST; x = next_link(st, x)) {
      st->done[x->id] = true;
      run[count++] = x;
    }
    run_cut(st, run, count);
  }
}

/* ---- the rewrite ----------------------------------------------------- */

/* Rows of what link i reads. */
static Node *rows_of(const Strips *st, const Chain *t, int i, Node *x,
                     Rows r) {
  if (r.lo == 0 && r.hi == height(x)) return x;
  Node *n = func_insert(st->c->m, st->f, t->n[t->count - 1], OP_SLICE, &x, 1);
  node_inherit(st->c->m, n, t->n[i]);
  attr_set_int(n, "axis", 2);
  attr_set_int(n, "start", r.lo);
  attr_set_int(n, "stop", r.hi);
  attr_set_int(n, "step", 1);
  node_retype(st->c, n);
  return n;
}

/* Convolution i of a chain over `x`, which has the rows that its strip
 * needs; `y` are the rows of its result. */
static Node *link_copy(const Strips *st, const Chain *t, int i, Node *x,
                       Rows y, const int64_t over[2]) {
  Node *old = t->n[i], *at = t->n[t->count - 1], *in[4];
  int count;
  const int64_t *pad = attr_ints(old, "pad", &count);
  for (int k = 0; k < 4; k++) in[k] = node_in(old, k);
  in[0] = x;
  if (in[3]) in[3] = rows_of(st, t, i, in[3], y);
  Node *n = func_copy(st->c->m, st->f, at, old, in, 4);
  attr_set_ints(st->c->m, n, "pad",
                (int64_t[]){over[0], pad[1], over[1], pad[3]}, 4);
  node_retype(st->c, n);
  ensure(height(n) == y.hi - y.lo);
  return n;
}

static Node *strip_build(const Strips *st, const Chain *t, int64_t s) {
  Rows y[CHAIN_MOST], x = strip_rows(t, s);
  int64_t over[CHAIN_MOST][2];
  for (int i = t->count; i-- > 0;) {
    y[i] = x;
    x = rows_under(t->n[i], x, over[i]);
  }
  Node *n = rows_of(st, t, 0, t->n[0]->in[0], x);
  for (int i = 0; i < t->count; i++)
    n = link_copy(st, t, i, n, y[i], over[i]);
  return n;
}

static void chain_rewrite(const Strips *st, const Chain *t) {
  Node *part[STRIPS_MOST], *last = t->n[t->count - 1];
  Type was = last->type;
  for (int64_t s = 0; s < t->strips; s++) part[s] = strip_build(st, t, s);
  for (int i = 0; i + 1 < t->count; i++) node_drop(t->n[i]);
  node_reset(st->c->m, last, OP_CONCAT, part, (int)t->strips);
  attr_set_int(last, "axis", 2);
  node_retype(st->c, last);
  ensure(type_same_shape(&was, &last->type));
}

static void strips_func(PassCtx *c, Func *f) {
  func_tidy(c->m, f);
  size_t n = f->nodes.n;
  Strips st = {.c = c, .f = f, .family = family_of(c->target)};
  st.rows_least = c->strips_all ? 1 : ROWS_LEAST;
  st.user = arena_array(c->scratch, Node *, n + 1);
  st.done = arena_array(c->scratch, bool, n + 1);
  users_find(&st);
  chains_find(&st);
  for (size_t i = 0; i < st.chains.n; i++)
    chain_rewrite(&st, &st.chains.at[i]);
  func_tidy(c->m, f);
}

bool pass_strips(PassCtx *c) {
  if (c->opt == 0 || c->opt == 4) return true;
  for (size_t i = 0; i < c->m->funcs.n; i++)
    strips_func(c, c->m->funcs.at[i]);
  return true;
}
