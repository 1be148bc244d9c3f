/* fold_call.c - calls of blocks: the layer that each is, what stands before the
 * names of the nodes inside, and the ints that the rest needs. */
#include "frontend/fold_print.h"

static Str between(const char *s, size_t from, size_t to) {
  return (Str){s + from, to - from};
}

/* Of instance i of the body, `at` behind its begin. */
Str call_scope(const Body *w, const Block *c, uint32_t at,
                      uint32_t i) {
  uint32_t begin = w->b->begin[i] + at;
  size_t from = w->b->scope[i], to = c->scope[instance_at(c, begin)];
  return between(w->p->f->node[begin]->path, from + (from && to > from), to);
}

Str call_origin(const Body *w, const Block *c, uint32_t at,
                       uint32_t i) {
  uint32_t begin = w->b->begin[i] + at;
  return between(w->p->f->node[begin]->from->node, w->b->origin[i],
                 c->origin[instance_at(c, begin)]);
}

static void said_settle(Body *w, Loop *loop, Said *s) {
  for (int k = 0; k < 2; k++) {
    Pieces *p = k ? &s->from : &s->as;
    for (size_t i = 0; i < p->n; i++)
      if (!p->at[i].s)
        num_settle(w, loop, &p->at[i].num);
  }
  for (size_t i = 0; i < s->vars.n; i++)
    num_settle(w, loop, &s->vars.at[i]);
}

/* The repeat counts as the first number does that it counts. */
static void loop_first(Loop *loop, const Said *s) {
  enum { FIRST_MOST = 1000000 };
  for (int k = 0; k < 2; k++) {
    const Pieces *p = k ? &s->from : &s->as;
    for (size_t i = 0; i < p->n && !loop->fixed; i++)
      if (!p->at[i].s && p->at[i].num.mul == 1 && p->at[i].num.var < 0 &&
          p->at[i].num.add <= FIRST_MOST) {
        loop->first = p->at[i].num.add;
        loop->fixed = true;
      }
  }
}

/* at[turn]: where the calls stand in the body. */
bool call_say(Body *w, const Block *c, const uint32_t *at, Loop *loop,
                     Said *s) {
  Fold *f = w->p->f;
  uint32_t turns = loop ? loop->turns : 1, n = w->b->n;
  Str *as = arena_array(f->a, Str, (size_t)turns * n);
  Str *from = arena_array(f->a, Str, (size_t)turns * n);
  int64_t *v = arena_array(f->a, int64_t, (size_t)turns * n);
  for (uint32_t t = 0; t < turns; t++)
    for (uint32_t i = 0; i < n; i++) {
      as[t * n + i] = call_scope(w, c, at[t], i);
      from[t * n + i] = call_origin(w, c, at[t], i);
    }
  if (!name_pieces(f, w->b, as, loop, &s->as) ||
      !name_pieces(f, w->b, from, loop, &s->from))
    return false;
  for (size_t k = 0; k < c->vars.n; k++) {
    Num x;
    for (uint32_t t = 0; t < turns; t++)
      for (uint32_t i = 0; i < n; i++)
        v[t * n + i] =
          c->vars.at[k].value[instance_at(c, w->b->begin[i] + at[t])];
    if (!num_of(f, w->b, v, loop, &x))
      return false;
    vec_push(f->a, &s->vars, x);
  }
  if (loop)
    loop_first(loop, s);
  said_settle(w, loop, s);
  return true;
}

/* BINDS = BLOCK(ARGS) as LAYER from FILE NAME; */
void call_print(Body *w, const Block *c, uint32_t at, Loop *loop,
                       const Said *s, const char *const *arg,
                       const char *const *result) {
  const Fold *f = w->p->f;
  const Node *first = f->node[w->b->begin[0] + at];
  Text *t = &w->text;
  const char *sep = "";
  for (size_t k = 0; k < c->results.n; k++)
    text_printf(t, "%s%s", k ? ", " : loop ? "    " : "  ", result[k]);
  text_printf(t, " = %s(", c->name);
  for (size_t k = 0; k < c->args.n; k++, sep = ", ")
    text_printf(t, "%s%s", sep, arg[k]);
  for (size_t k = 0; k < s->vars.n; k++, sep = ", ") {
    text_puts(t, sep);
    num_print(w, loop, s->vars.at[k], t);
  }
  for (int k = 0; f->m->free && k < f->m->free->n; k++, sep = ", ")
    text_printf(t, "%s%s", sep, f->m->free->dim[k].name);
  text_puts(t, ") as ");
  if (s->as.n)
    path_print(w, loop, &s->as, t);
  else
    text_putc(t, '_');
  if (s->from.n)
    place_print(w, loop, first->from->file, &s->from, t);
  text_puts(t, ";\n");
}

const char **call_args(Body *w, const Block *c, uint32_t at) {
  Fold *f = w->p->f;
  const char **arg = arena_array(f->a, const char *, c->args.n + 1);
  uint32_t base = f->slot[w->b->begin[0] + at];
  for (size_t k = 0; k < c->args.n; k++)
    arg[k] = ref_text(w, base + c->args.at[k]);
  return arg;
}

void call_statement(Body *w, const Part *p) {
  Fold *f = w->p->f;
  const Block *c = p->call;
  Said s = {0};
  const char **arg = call_args(w, c, p->at);
  const char **result = arena_array(f->a, const char *, c->results.n + 1);
  ensure(call_say(w, c, &p->at, NULL, &s));
  for (size_t k = 0; k < c->results.n; k++) {
    uint32_t at = w->b->begin[0] + p->at + c->results.at[k];
    result[k] = w->p->label[at] = value_name(w, at);
  }
  call_print(w, c, p->at, NULL, &s, arg, result);
}

