/* fold_blocks.c - a program of another format written in blocks: what comes
 * again in it is one block, called as often.
 *
 * The function's nodes stand in a row, in their order, and a block is a part
 * of the row that comes again, so that the program reads back to the same
 * nodes in the same order.  In rounds the largest such parts become blocks:
 * first those of the model, then those within blocks, or made of calls. */
#include "frontend/fold.h"

#include <stdlib.h>
#include <string.h>

enum {
  ROUNDS_MOST = 24,
  VARS_MOST = 3,         /* ints in the names */
  GAIN_LEAST = 4,        /* lines */
  PART_GAIN_LEAST = 12,  /* the same of a block that is no whole module */
  PART_LEAST = 4         /* statements of one */
};

/* ---- the row ----------------------------------------------------------- */

static bool is_leaf(const Node *n) {
  return op_info(n->op)->flags & FLAG_LEAF;
}

/* From the file, by one node of it, and as no pass has touched it. */
static bool is_regular(const Node *n) {
  const Type *t = &n->type;
  return n->path && n->nfrom == 1 && n->from->node && n->from->file &&
         !n->kernel && !t->layout && !t->sparse && !t->quant && t->at < 0;
}

static void row_fill(Fold *f) {
  Func *fn = f->f;
  for (size_t i = 0; i < fn->nodes.n; i++)
    fn->nodes.at[i]->id = (uint32_t)i;
  f->node = arena_array(f->a, Node *, fn->nodes.n + 1);
  f->at = arena_array(f->a, uint32_t, fn->nodes.n + 1);
  for (size_t i = 0; i < fn->nodes.n; i++)
    if (!is_leaf(fn->nodes.at[i]))
      f->node[f->n++] = fn->nodes.at[i];
  for (size_t i = 0; i < fn->nodes.n; i++)
    f->at[i] = f->n;
  for (uint32_t i = 0; i < f->n; i++)
    f->at[f->node[i]->id] = i;
  f->slot = arena_array(f->a, uint32_t, f->n + 1);
  f->regular = arena_array(f->a, bool, f->n + 1);
  for (uint32_t i = 0; i < f->n; i++) {
    f->slot[i + 1] = f->slot[i] + (uint32_t)f->node[i]->nin;
    f->regular[i] = is_regular(f->node[i]);
  }
}

static void use_note(Fold *f, const Node *x, uint32_t user, uint32_t slot) {
  if (x->op == OP_PARAM) {
    uint32_t p = x->param->order;
    if (f->param_first[p] == UINT32_MAX) {
      f->param_first[p] = user;
      f->param_slot[p] = slot;
    }
    f->param_last[p] = user;
  } else if (f->at[x->id] < f->n) {
    f->last[f->at[x->id]] = user;
  }
}

static void uses_fill(Fold *f) {
  size_t np = f->m->params.n + 1;
  f->last = arena_array(f->a, uint32_t, f->n + 1);
  f->param_slot = arena_array(f->a, uint32_t, np);
  f->param_first = arena_array(f->a, uint32_t, np);
  f->param_last = arena_array(f->a, uint32_t, np);
  for (size_t i = 0; i < f->m->params.n; i++) {
    f->m->params.at[i]->order = (uint32_t)i;
    f->param_first[i] = UINT32_MAX;
  }
  for (uint32_t i = 0; i < f->n; i++)
    for (int k = 0; k < f->node[i]->nin; k++)
      if (f->node[i]->in[k])
        use_note(f, f->node[i]->in[k], i, f->slot[i] + (uint32_t)k);
  for (size_t i = 0; i < f->f->outputs.n; i++)
    use_note(f, f->f->outputs.at[i].node, f->n, 0);
  for (size_t i = 0; i < f->f->nexts.n; i++)
    use_note(f, f->f->nexts.at[i].node, f->n, 0);
}

/* A node that may stand in no block shares nothing with its neighbours. */
static void shares_fill(Fold *f) {
  f->path_share = arena_array(f->a, uint32_t, f->n + 1);
  f->name_share = arena_array(f->a, uint32_t, f->n + 1);
  for (uint32_t i = 1; i < f->n; i++) {
    const Node *x = f->node[i - 1], *y = f->node[i];
    if (!f->regular[i - 1] || !f->regular[i] ||
        strcmp(x->from->file, y->from->file))
      continue;
    f->path_share[i] = path_shared(x->path, y->path);
    f->name_share[i] = name_shared(x->from->node, y->from->node);
  }
}

static Block *block_new(Fold *f, uint32_t instances, uint32_t len) {
  Block *b = arena_new_of(f->a, Block);
  b->n = instances;
  b->len = len;
  b->begin = arena_array(f->a, uint32_t, instances);
  b->scope = arena_array(f->a, uint32_t, instances);
  b->origin = arena_array(f->a, uint32_t, instances);
  return b;
}

static Fold fold_new(Arena *a, Module *m) {
  Fold f = {.a = a, .m = m, .f = m->funcs.at[0]};
  row_fill(&f);
  uses_fill(&f);
  shares_fill(&f);
  f.main = block_new(&f, 1, f.n);
  for (uint32_t i = 0; i < f.n; i++)
    vec_push(a, &f.main->parts, ((Part){.at = i}));
  return f;
}

/* ---- what a block takes and gives -------------------------------------- */

/* Whether an operand of the instance comes from outside. */
static bool is_outer(const Fold *f, const Block *b, uint32_t i,
                     const Node *x) {
  if (!x || x->op == OP_CONST)
    return false;
  if (x->op == OP_PARAM)
    return !param_within(f, x->param, b->begin[i], b->len);
  uint32_t at = f->at[x->id];
  return at == f->n || at < b->begin[i];
}

static uint64_t outer_hash(const Fold *f, const Block *b, uint32_t slot) {
  uint64_t h = 0;
  for (uint32_t i = 0; i < b->n; i++)
    h = hash_mix(h + slot_value(f, f->slot[b->begin[i]] + slot)->id + 1);
  return h;
}

static bool outer_same(const Fold *f, const Block *b, uint32_t s,
                       uint32_t t) {
  for (uint32_t i = 0; i < b->n; i++) {
    uint32_t base = f->slot[b->begin[i]];
    if (slot_value(f, base + s) != slot_value(f, base + t))
      return false;
  }
  return true;
}

/* Operands that have one value in each instance are one argument. */
static bool args_find(Fold *f, Block *b) {
  uint32_t base = f->slot[b->begin[0]];
  uint32_t n = f->slot[b->begin[0] + b->len] - base;
  uint64_t hash[ARGS_MOST];
  b->arg_of = arena_array(f->a, int32_t, n + 1);
  for (uint32_t s = 0; s < n; s++) {
    b->arg_of[s] = -1;
    if (!is_outer(f, b, 0, slot_value(f, base + s)))
      continue;
    uint64_t h = outer_hash(f, b, s);
    size_t k = 0;
    while (k < b->args.n &&
           (hash[k] != h || !outer_same(f, b, b->args.at[k], s)))
      k++;
    if (k == ARGS_MOST)
      return false;
    if (k == b->args.n) {
      hash[k] = h;
      vec_push(f->a, &b->args, s);
    }
    b->arg_of[s] = (int32_t)k;
  }
  return true;
}

static bool results_find(Fold *f, Block *b) {
  for (uint32_t at = 0; at < b->len; at++) {
    bool used = false;
    for (uint32_t i = 0; i < b->n && !used; i++)
      used = f->last[b->begin[i] + at] >= b->begin[i] + b->len;
    if (used)
      vec_push(f->a, &b->results, at);
  }
  return b->results.n <= ARGS_MOST;
}

/* ---- one block --------------------------------------------------------- */

typedef struct Instance { uint32_t begin, scope, origin; } Instance;
typedef Vec(Instance) Instances;

static int instance_order(const void *a, const void *b) {
  const Instance *x = a, *y = b;
  return (x->begin > y->begin) - (x->begin < y->begin);
}

static void instances_add(Fold *f, const Window *w, Instances *to) {
  for (uint32_t i = 0; i < w->body->n; i++) {
    uint32_t begin = window_begin(w, i), len = window_len(w);
    Instance x = {begin, w->bare ? w->body->scope[i] : row_scope(f, begin, len),
                  row_origin(f, begin, len)};
    vec_push(f->a, to, x);
  }
}

/* Two instances of one path would have weights of one name. */
static bool scopes_differ(Fold *f, const Block *b) {
  Map seen = {0};
  for (uint32_t i = 0; i < b->n; i++) {
    const char *s = arena_strndup(f->a, f->node[b->begin[i]]->path,
                                  b->scope[i]);
    if (map_get(&seen, s))
      return false;
    map_put(f->a, &seen, s, f);
  }
  return true;
}

static bool owns_params(const Fold *f, const Block *b) {
  uint32_t base = f->slot[b->begin[0]];
  uint32_t end = f->slot[b->begin[0] + b->len];
  for (uint32_t s = base; s < end; s++) {
    const Node *x = slot_value(f, s);
    if (x && x->op == OP_PARAM &&
        param_within(f, x->param, b->begin[0], b->len))
      return true;
  }
  return false;
}

static Block *block_make(Fold *f, const Windows *ws) {
  const Window *first = &ws->at[0];
  Instances all = {0};
  for (size_t i = 0; i < ws->n; i++)
    instances_add(f, &ws->at[i], &all);
  qsort(all.at, all.n, sizeof *all.at, instance_order);
  Block *b = block_new(f, (uint32_t)all.n, window_len(first));
  for (uint32_t i = 0; i < b->n; i++) {
    b->begin[i] = all.at[i].begin;
    b->scope[i] = all.at[i].scope;
    b->origin[i] = all.at[i].origin;
  }
  b->scoped = !first->bare;
  for (uint32_t i = first->from; i < first->to; i++) {
    Part p = first->body->parts.at[i];
    p.at -= first->body->parts.at[first->from].at;
    vec_push(f->a, &b->parts, p);
  }
  bool ok = args_find(f, b) && results_find(f, b) &&
            (!b->scoped || !owns_params(f, b) || scopes_differ(f, b)) &&
            names_vars(f, b, VARS_MOST) <= VARS_MOST;
  return ok ? b : NULL;
}

/* ---- which windows become a block -------------------------------------- */

/* Windows [from, to) of the list have one key. */
typedef struct Group {
  size_t from, to;
  int64_t gain;
  uint32_t begin, len;   /* of the first one, in the row */
} Group;

/* Statements and params of a window that is a block. */
static int64_t window_lines(const Fold *f, const Window *w) {
  uint32_t begin = window_begin(w, 0), len = window_len(w);
  int64_t n = w->to - w->from;
  for (uint32_t i = w->from; i < w->to; i++) {
    const Part *p = &w->body->parts.at[i];
    const Node *x = f->node[w->body->begin[0] + p->at];
    for (int k = 0; !p->call && k < x->nin; k++)
      n += x->in[k] && x->in[k]->op == OP_PARAM &&
           param_within(f, x->in[k]->param, begin, len);
  }
  return n;
}

/* Lines saved: a block has its first and its last one, and each call. */
static int64_t gain(const Fold *f, const Window *w, size_t times) {
  enum { FRAME = 3 };
  return ((int64_t)times - 1) * window_lines(f, w) - (int64_t)times - FRAME;
}

static int window_order(const void *a, const void *b) {
  const Window *x = a, *y = b;
  if (x->key != y->key)
    return x->key < y->key ? -1 : 1;
  if (x->body != y->body)
    return x->body->id < y->body->id ? -1 : 1;
  return (x->from > y->from) - (x->from < y->from);
}

static int group_order(const void *a, const void *b) {
  const Group *x = a, *y = b;
  if (x->gain != y->gain)
    return x->gain > y->gain ? -1 : 1;
  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  if (x->len != y->len)
    return x->len > y->len ? -1 : 1;
  return (x->from > y->from) - (x->from < y->from);
}

static bool window_free(const Window *w) {
  for (uint32_t i = w->from; i < w->to; i++)
    if (w->body->taken[i])
      return false;
  return true;
}

static void window_take(const Window *w, Block *b) {
  memset(w->body->taken + w->from, 1, w->to - w->from);
  w->body->starts[w->from] = b;
}

/* Whether the nodes beside it lie in other modules. */
static bool is_module(const Fold *f, const Window *w) {
  uint32_t begin = window_begin(w, 0), end = begin + window_len(w);
  uint32_t scope = row_scope(f, begin, end - begin);
  return !w->bare && f->path_share[begin] < scope &&
         (end == f->n || f->path_share[end] < scope);
}

/* Is it much shorter so? */
static bool pays(const Fold *f, const Window *w, size_t times) {
  bool whole = is_module(f, w);
  return times > 1 && (whole || w->to - w->from >= PART_LEAST) &&
         gain(f, w, times) >= (whole ? GAIN_LEAST : PART_GAIN_LEAST);
}

/* Those of a group that are free, do not overlap and are in all their
 * instances what the first one is. */
static Windows group_pick(Fold *f, const Windows *all, const Group *g) {
  Windows out = {0};
  Text want = {0}, key = {0};
  const Window *last = NULL;
  text_puts(&want, "");
  for (size_t k = g->from; k < g->to; k++) {
    const Window *w = &all->at[k];
    bool ok = window_free(w) &&
              (!last || last->body != w->body || w->from >= last->to);
    for (uint32_t i = 0; i < w->body->n && ok; i++) {
      key.n = 0;
      ok = window_key(f, w, i, &key);
      if (ok && !want.n)
        text_write(&want, key.s, key.n);
      ok = ok && key.n == want.n && !memcmp(key.s, want.s, key.n);
    }
    if (!ok)
      continue;
    vec_push(f->a, &out, *w);
    last = w;
  }
  text_free(&want);
  text_free(&key);
  return out;
}

static bool group_fold(Fold *f, const Windows *all, const Group *g) {
  Windows ws = group_pick(f, all, g);
  if (!ws.n || !pays(f, &ws.at[0], ws.n))
    return false;
  Block *b = block_make(f, &ws);
  if (!b)
    return false;
  vec_push(f->a, &f->blocks, b);
  b->id = (uint32_t)f->blocks.n;
  for (size_t i = 0; i < ws.n; i++)
    window_take(&ws.at[i], b);
  return true;
}

/* ---- rounds ------------------------------------------------------------ */

static void body_open(Fold *f, Block *b) {
  b->taken = arena_array(f->a, bool, b->parts.n + 1);
  b->starts = arena_array(f->a, Block *, b->parts.n + 1);
}

/* Parts that became a block are its call. */
static void body_close(Block *b) {
  size_t n = 0;
  for (size_t i = 0; i < b->parts.n;) {
    Part p = b->parts.at[i];
    Block *c = b->starts[i];
    i += c ? c->parts.n : 1;
    b->parts.at[n++] = c ? (Part){p.at, c} : p;
  }
  b->parts.n = n;
}

static bool windows_fold(Fold *f, Windows *ws) {
  Vec(Group) groups = {0};
  bool any = false;
  if (ws->n)
    qsort(ws->at, ws->n, sizeof *ws->at, window_order);
  for (size_t i = 0, j; i < ws->n; i = j) {
    for (j = i + 1; j < ws->n && ws->at[j].key == ws->at[i].key; j++)
      ;
    const Window *w = &ws->at[i];
    if (pays(f, w, j - i))
      vec_push(f->a, &groups, ((Group){i, j, gain(f, w, j - i),
                                       window_begin(w, 0), window_len(w)}));
  }
  if (groups.n)
    qsort(groups.at, groups.n, sizeof *groups.at, group_order);
  for (size_t i = 0; i < groups.n; i++)
    any |= group_fold(f, ws, &groups.at[i]);
  return any;
}

static bool fold_round(Fold *f) {
  Windows ws = {0};
  size_t old = f->blocks.n;
  body_open(f, f->main);
  for (size_t i = 0; i < old; i++)
    body_open(f, f->blocks.at[i]);
  find_modules(f, &ws);
  find_runs(f, &ws);
  if (!windows_fold(f, &ws))
    return false;
  body_close(f->main);
  for (size_t i = 0; i < old; i++)
    body_close(f->blocks.at[i]);
  return true;
}

void module_print_blocks(Text *out, Module *m, const char *weights,
                         const char **key) {
  Arena *a = arena_new();
  Fold f = fold_new(a, m);
  for (int i = 0; i < ROUNDS_MOST && fold_round(&f); i++)
    ;
  fold_print(&f, out, weights, key);
  arena_free(a);
}
