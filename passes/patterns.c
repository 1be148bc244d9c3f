/* patterns.c - which tables of single values become code for their pattern:
 * those that gain most for their bytes, while the budget lasts.  A table that
 * was only made for that and did not get its code is dense again.
 *
 * Code is more bytes than a table, and what falls out of the caches is read
 * at the pace of memory.  So the code of the whole module is bounded, and
 * layers whose vectors are many, which run each block of code most often,
 * come first.
 * Code takes its weights as f32.
 * source     times and sizes: choose.c */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"

typedef struct Candidate {
  Node *n;
  double dense, table, pairs, code;   /* times in half cycles */
  int64_t bytes;               /* of code */
  bool can;                    /* code takes it */
  bool even;                   /* all rows have as many nonzeros */
  const Choice *told;
  size_t order;                /* of functions and nodes */
} Candidate;

/* Does any of `rows` rows use column k? */
static bool column_used(const float *w, int64_t rows, int64_t columns,
                        int64_t k) {
  for (int64_t i = 0; i < rows; i++)
    if (w[i * columns + k] != 0) return true;
  return false;
}

/* Rows are cut into panels as evenly as can be. */
CodeWork pattern_work(const Target *t, const Node *n, const float *w,
                      const TableWork *table) {
  int64_t columns = table->channels * table->taps, first = 0;
  int64_t panels = (table->units + CODE_ROWS - 1) / CODE_ROWS;
  CodeWork c = {.lanes = t->lanes, .rows = table->units};
  c.family = table->family;
  c.channels = table->channels;
  c.taps = table->taps;
  c.vectors = table->vectors;
  c.span = table->span;
  for (int64_t i = 0; i < table->units * columns; i++) c.products += w[i] != 0;
  for (int64_t p = 0; p < panels; p++) {
    int64_t rows = table->units / panels + (p < table->units % panels);
    for (int64_t k = 0; k < columns; k++)
      c.columns += column_used(w + first * columns, rows, columns, k);
    first += rows;
  }
  if (n->op == OP_CONV2D && table->taps > 1) c.across = c.columns;
  return c;
}

static bool candidate(PassCtx *c, Node *n, Candidate *to) {
  TableWork table;
  bool flat;
  int tile[2];
  const Node *b = node_in(n, 2);
  if (!node_table(c->scratch, c->target, n, &table, &flat)) return false;
  if (table.height > 1 || !table.units) return false;
  if (n->in[1]->type.stored) return false;
  const float *w = param_values(c->m, n->in[1]->param);
  ensure(w);
  double pairs = pair_tile(&table, c->target->vregs, tile);
  table_cross(&table);
  CodeWork code = pattern_work(c->target, n, w, &table);
  double gain = node_gain(c->target, n);
  *to = (Candidate){.n = n, .dense = dense_time(&table) / gain};
  to->pairs = pairs;
  to->table = table_tile(&table, c->target->vregs, tile);
  to->code = code_time(&code);
  to->bytes = code_size(&code);
  to->even = table.blocks[0] == table.blocks[table.units - 1];
  to->can = flat && (!b || b->op == OP_PARAM);
  to->told = choice_of(c->choices, n);
  return true;
}

static double without(const Candidate *c) {
  return fmin(c->dense, fmin(c->table, c->pairs));
}

static int by_gain(const void *pa, const void *pb) {
  const Candidate *a = pa, *b = pb;
  if (!a->told != !b->told) return a->told ? -1 : 1;
  double x = (without(a) - a->code) * (double)b->bytes;
  double y = (without(b) - b->code) * (double)a->bytes;
  if (x != y) return x > y ? -1 : 1;
  return a->order < b->order ? -1 : a->order > b->order;
}

int64_t patterns_budget(const PassCtx *c) {
  int64_t own = c->code_budget, most = family_of(c->target)->code_budget;
  if (!most || c->opt == 0 || c->opt == 4) return 0;
  return own > 0 ? own : own < 0 ? 0 : most;
}

/* Do only nodes use the weight of n that are strips of one layer (or n
 * alone)?  With `again` they are selected anew. */
static bool weight_users(PassCtx *c, const Node *n, bool again) {
  const Param *p = n->in[1]->param;
  for (size_t i = 0; i < c->m->funcs.n; i++)
    for (size_t k = 0; k < c->m->funcs.at[i]->nodes.n; k++) {
      Node *u = c->m->funcs.at[i]->nodes.at[k];
      for (int o = 0; o < u->nin; o++) {
        if (!u->in[o] || u->in[o]->param != p) continue;
        if (u != n && (o != 1 || u->op != n->op || !u->path || !n->path ||
                       strcmp(u->path, n->path) != 0))
          return false;
        if (again) node_select(c->scratch, c->target, u);
      }
    }
  return true;
}

/* A choice for all layers, which is made to measure them, has no budget.
 * Times of code and of rows in pairs are known well beside each other. */
static bool pattern_pays(const Candidate *x, int64_t left) {
  if (!x->can || (x->told && !x->told->code)) return false;
  if (x->told && !x->told->path) return true;
  double gain = CODE_GAIN * fmin(x->dense, x->table);
  return x->bytes <= left && (x->told || x->code < fmin(gain, x->pairs));
}

/* Is the table, or are the pairs if they are faster, no clear gain? */
static bool is_slow(const Candidate *x) {
  double pair = x->even ? CODE_GAIN : PAIR_GAIN;
  return x->pairs < x->table ? x->pairs > pair * x->dense
                             : x->table > CODE_GAIN * x->dense;
}

static void pattern_take(PassCtx *c, const Candidate *x, int64_t *left) {
  Node *n = x->n;
  if (!n->in[1]->type.sparse) return;   /* unpacked with another strip */
  if (pattern_pays(x, *left)) {
    *left -= x->bytes;
    n->kernel = n->op == OP_LINEAR ? "linear_code" : "conv2d_code";
    n->tile[0] = n->tile[1] = 0;
  } else if (!x->told && is_slow(x) && weight_users(c, n, false)) {
    sparse_unpack(c->m, n->in[1]->param);
    weight_users(c, n, true);
  }
}

void patterns_select(PassCtx *c) {
  Vec(Candidate) all = {0};
  int64_t left = patterns_budget(c);
  for (size_t i = 0; left && i < c->m->funcs.n; i++)
    for (size_t k = 0; k < c->m->funcs.at[i]->nodes.n; k++) {
      Candidate x;
      if (!candidate(c, c->m->funcs.at[i]->nodes.at[k], &x)) continue;
      x.order = all.n;
      vec_push(c->scratch, &all, x);
    }
  if (all.n) qsort(all.at, all.n, sizeof *all.at, by_gain);
  for (size_t i = 0; i < all.n; i++) pattern_take(c, &all.at[i], &left);
}
