/* fold_repeat.c - calls in a row, each of what the one before gave, as a
 * repeat. */
#include "frontend/fold_print.h"

#include <string.h>

/* How an argument of calls in a row comes about. */
typedef enum { ARG_SAME, ARG_CARRIED, ARG_LISTED } ArgKind;
typedef struct LoopArg { ArgKind kind; size_t result; } LoopArg;

/* Calls of one block in a row, from the body's part `first` on. */
typedef struct Chain {
  const Block *c;
  size_t first, turns;
  uint32_t begin;        /* of the first call in the row */
  LoopArg arg[ARGS_MOST];
} Chain;

static uint32_t chain_at(const Body *w, const Chain *h, size_t turn) {
  return w->b->parts.at[h->first + turn].at;
}

static const Node *chain_value(const Body *w, const Chain *h, size_t turn,
                               size_t k) {
  const Fold *f = w->p->f;
  uint32_t base = f->slot[w->b->begin[0] + chain_at(w, h, turn)];
  return slot_value(f, base + h->c->args.at[k]);
}

/* Is an argument what another one is, in all instances of the body? */
static bool chain_same(const Body *w, const Chain *h, size_t turn, size_t k,
                       size_t other_turn, size_t other) {
  const Fold *f = w->p->f;
  const Block *b = w->b;
  uint32_t base = f->slot[b->begin[0]];
  uint32_t s = f->slot[b->begin[0] + chain_at(w, h, turn)] - base +
               h->c->args.at[k];
  uint32_t t = f->slot[b->begin[0] + chain_at(w, h, other_turn)] - base +
               h->c->args.at[other];
  if (body_is_main(w) || (b->arg_of[s] < 0 && b->arg_of[t] < 0))
    return chain_value(w, h, turn, k) == chain_value(w, h, other_turn, other);
  return b->arg_of[s] == b->arg_of[t];
}

/* Which result of the call before is argument k of this one. */
static bool chain_carries(const Body *w, const Chain *h, size_t turn,
                          size_t k, size_t *result) {
  const Fold *f = w->p->f;
  const Node *x = chain_value(w, h, turn, k);
  uint32_t base = w->b->begin[0] + chain_at(w, h, turn - 1);
  for (size_t r = 0; r < h->c->results.n; r++)
    if (x == f->node[base + h->c->results.at[r]]) {
      *result = r;
      return true;
    }
  return false;
}

/* What stands outside of the calls. */
static bool chain_outer(const Body *w, const Chain *h, const Node *x) {
  uint32_t at = w->p->f->at[x->id];
  return at == w->p->f->n || at < h->begin;
}

static bool chain_arg(const Body *w, Chain *h, size_t turn, size_t k) {
  const Node *x = chain_value(w, h, turn, k);
  bool same = chain_same(w, h, turn, k, turn - 1, k);
  LoopArg *a = &h->arg[k];
  size_t r;
  bool carried = chain_carries(w, h, turn, k, &r);
  if (turn == 1)
    *a = carried ? (LoopArg){ARG_CARRIED, r}
                 : (LoopArg){same ? ARG_SAME : ARG_LISTED, 0};
  if (a->kind == ARG_CARRIED)
    return carried && r == a->result;
  return chain_outer(w, h, x) && (a->kind == ARG_LISTED || same);
}

/* A result is one variable, which has one value at first. */
static bool chain_starts(const Body *w, const Chain *h) {
  for (size_t k = 0; k < h->c->args.n; k++)
    for (size_t j = 0; j < k; j++)
      if (h->arg[k].kind == ARG_CARRIED && h->arg[j].kind == ARG_CARRIED &&
          h->arg[k].result == h->arg[j].result &&
          !chain_same(w, h, 0, k, 0, j))
        return false;
  return true;
}

/* Whether nobody but the call of the next turn wants what this one gives. */
static bool chain_keeps(const Body *w, const Chain *h, size_t turn) {
  const Fold *f = w->p->f;
  uint32_t at = chain_at(w, h, turn), begin = w->b->begin[0];
  uint32_t end = begin + chain_at(w, h, turn + 1) + h->c->len;
  for (size_t r = 0; r < h->c->results.n; r++) {
    if (f->last[begin + at + h->c->results.at[r]] >= end)
      return false;
    for (size_t k = 0; k < w->b->results.n; k++)
      if (w->b->results.at[k] == at + h->c->results.at[r])
        return false;
  }
  return true;
}

/* The calls' layers and nodes are called alike but for numbers. */
static bool chain_named(Body *w, const Chain *h, size_t turn) {
  Fold *f = w->p->f;
  uint32_t a = chain_at(w, h, turn - 1), b = chain_at(w, h, turn);
  Loop two = {.turns = 2};
  Str *as = arena_array(f->a, Str, 2 * (size_t)w->b->n);
  Str *from = arena_array(f->a, Str, 2 * (size_t)w->b->n);
  size_t vars = w->b->vars.n;
  Pieces p;
  for (uint32_t i = 0; i < w->b->n; i++) {
    as[i] = call_scope(w, h->c, a, i);
    as[w->b->n + i] = call_scope(w, h->c, b, i);
    from[i] = call_origin(w, h->c, a, i);
    from[w->b->n + i] = call_origin(w, h->c, b, i);
  }
  bool ok = name_pieces(f, w->b, as, &two, &p) &&
            name_pieces(f, w->b, from, &two, &p);
  w->b->vars.n = vars;
  return ok;
}

static bool chain_extends(Body *w, Chain *h) {
  const Block *b = w->b;
  size_t turn = h->turns;
  if (h->first + turn >= b->parts.n ||
      b->parts.at[h->first + turn].call != h->c ||
      !chain_keeps(w, h, turn - 1) || !chain_named(w, h, turn))
    return false;
  for (size_t k = 0; k < h->c->args.n; k++)
    if (!chain_arg(w, h, turn, k))
      return false;
  return turn > 1 || chain_starts(w, h);
}

/* A variable of the repeat that goes through the values of argument k. */
static const char *chain_list(Body *w, const Chain *h, Loop *loop,
                              size_t k) {
  Fold *f = w->p->f;
  LoopVar v = {.name = name_fresh(w, h->c->arg_name[k]),
               .ref = arena_array(f->a, const char *, h->turns)};
  for (size_t t = 0; t < h->turns; t++)
    v.ref[t] = call_args(w, h->c, chain_at(w, h, t))[k];
  vec_push(f->a, &loop->lists, v);
  return v.name;
}

static void loop_head(Body *w, const Loop *loop) {
  Text *t = &w->text;
  size_t n = loop->lists.n + loop->used;
  const char *sep = "";
  text_printf(t, "  repeat _ for %s", n > 1 ? "(" : "");
  if (loop->used || !n) {
    text_puts(t, loop->var);
    sep = ", ";
  }
  for (size_t k = 0; k < loop->lists.n; k++, sep = ", ")
    text_printf(t, "%s%s", sep, loop->lists.at[k].name);
  text_printf(t, "%s in ", n > 1 ? ")" : "");
  if (!loop->lists.n) {
    text_printf(t, "%lld..%lld {\n", (long long)loop->first,
                (long long)(loop->first + loop->turns));
    return;
  }
  for (uint32_t i = 0; i < loop->turns; i++) {
    text_printf(t, "%s%s", i ? ", " : "[", n > 1 ? "(" : "");
    if (loop->used)
      text_printf(t, "%lld, ", (long long)(loop->first + i));
    for (size_t k = 0; k < loop->lists.n; k++) {
      const LoopVar *v = &loop->lists.at[k];
      text_puts(t, k ? ", " : "");
      if (v->ref)
        text_puts(t, v->ref[i]);
      else
        text_printf(t, "%lld", (long long)v->value[i]);
    }
    text_puts(t, n > 1 ? ")" : "");
  }
  text_puts(t, "] {\n");
}

/* Arguments and results by the names that they have in each turn; in front of
 * the repeat what is carried gets its first value. */
static void chain_values(Body *w, const Chain *h, Loop *loop,
                         const char **arg, const char **result) {
  const char **first = call_args(w, h->c, chain_at(w, h, 0));
  for (size_t k = 0; k < h->c->args.n; k++) {
    LoopArg a = h->arg[k];
    arg[k] = first[k];
    if (a.kind == ARG_LISTED)
      arg[k] = chain_list(w, h, loop, k);
    if (a.kind != ARG_CARRIED)
      continue;
    if (!result[a.result]) {
      result[a.result] = name_fresh(w, h->c->arg_name[k]);
      text_printf(&w->text, "  %s = %s;\n", result[a.result], first[k]);
    }
    arg[k] = result[a.result];
  }
  for (size_t r = 0; r < h->c->results.n; r++)
    if (!result[r])
      result[r] = value_name(w, w->b->begin[0] +
                                  chain_at(w, h, h->turns - 1) +
                                  h->c->results.at[r]);
}

static bool is_output(const Fold *f, const Node *n) {
  for (size_t i = 0; i < f->f->outputs.n; i++)
    if (f->f->outputs.at[i].node == n)
      return true;
  for (size_t i = 0; i < f->f->nexts.n; i++)
    if (f->f->nexts.at[i].node == n)
      return true;
  return false;
}

/* Behind the repeat its results are what the last call gave. */
static void chain_results(Body *w, const Chain *h,
                          const char *const *result) {
  const Fold *f = w->p->f;
  for (size_t r = 0; r < h->c->results.n; r++) {
    uint32_t at = w->b->begin[0] + chain_at(w, h, h->turns - 1) +
                  h->c->results.at[r];
    const char *name = result[r];
    if (body_is_main(w) && is_output(f, f->node[at]) &&
        strcmp(name, names_of(w->p->names, f->node[at]))) {
      name = names_of(w->p->names, f->node[at]);
      text_printf(&w->text, "  %s = %s;\n", name, result[r]);
    }
    w->p->label[at] = name;
  }
}

static bool chain_print(Body *w, const Chain *h) {
  Fold *f = w->p->f;
  const Block *c = h->c;
  Loop loop = {.turns = (uint32_t)h->turns};
  Said s = {0};
  uint32_t *at = arena_array(f->a, uint32_t, h->turns);
  const char **arg = arena_array(f->a, const char *, c->args.n + 1);
  const char **result = arena_array(f->a, const char *, c->results.n + 1);
  size_t vars = w->b->vars.n;
  for (size_t t = 0; t < h->turns; t++)
    at[t] = chain_at(w, h, t);
  loop.var = name_fresh(w, "i");
  if (!call_say(w, c, at, &loop, &s)) {
    w->b->vars.n = vars;
    return false;
  }
  chain_values(w, h, &loop, arg, result);
  loop_head(w, &loop);
  Text before = w->text;
  w->text = (Text){0};
  call_print(w, c, at[0], &loop, &s, arg, result);
  Text call = w->text;
  w->text = before;
  text_write(&w->text, loop.helpers.s, loop.helpers.n);
  text_write(&w->text, call.s, call.n);
  text_puts(&w->text, "  }\n");
  text_free(&call);
  text_free(&loop.helpers);
  chain_results(w, h, result);
  return true;
}

enum { TURNS_LEAST = 3, TURNS_MOST = 4096 };

size_t calls_print(Body *w, size_t i) {
  const Part *p = &w->b->parts.at[i];
  Chain h = {.c = p->call, .first = i, .turns = 1,
             .begin = w->b->begin[0] + p->at};
  while (h.turns < TURNS_MOST && chain_extends(w, &h))
    h.turns++;
  if (h.turns < TURNS_LEAST || !chain_print(w, &h))
    for (size_t k = 0; k < h.turns; k++)
      call_statement(w, p + k);
  return h.turns;
}
