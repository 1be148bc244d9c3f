/* fold_text.c - names of a folded program's bodies, and how numbers that differ
 * from instance to instance are said in them. */
#include "frontend/fold_print.h"

#include <ctype.h>
#include <string.h>

bool body_is_main(const Body *w) {
  return w->b == w->p->f->main;
}

/* ---- names ------------------------------------------------------------- */

bool name_is_free(const Body *w, const char *s) {
  Op op;
  const FreeDims *f = w->p->f->m->free;
  for (int i = 0; f && i < f->n; i++)
    if (!strcmp(s, f->dim[i].name))
      return false;
  for (size_t i = 0; i < w->begins.n; i++) {
    size_t n = strlen(w->begins.at[i]);
    if (!strncmp(s, w->begins.at[i], n) && isdigit((unsigned char)s[n]))
      return false;
  }
  return name_is_valid(s) && !op_parse(s, &op) && !map_get(&w->taken, s) &&
         !map_get(&w->p->blocks, s);
}

/* A new name in the body. */
const char *name_fresh(Body *w, const char *wish) {
  enum { TRIES = 100 };
  Fold *f = w->p->f;
  if (body_is_main(w)) {
    const char *s = names_fresh(w->p->names, wish);
    while (map_get(&w->p->blocks, s))
      s = names_fresh(w->p->names, wish);
    return s;
  }
  size_t i = (size_t)(uintptr_t)map_get(&w->next, wish), tries = 0;
  const char *s = wish, *before = "";
  i = i ? i : 2;
  for (; !name_is_free(w, s); i++) {
    s = arena_printf(f->a, "%s%s_%zu", before, wish, i);
    /* Where all that begins so is taken. */
    if (++tries % TRIES == 0)
      before = arena_printf(f->a, "v%s", before);
  }
  s = arena_strdup(f->a, s);
  map_put(f->a, &w->next, arena_strdup(f->a, wish), (void *)(uintptr_t)i);
  map_put(f->a, &w->taken, s, w);
  return s;
}

/* Everything strange made `_`, as names of values are. */
static char *cleaned(Arena *a, const char *s, size_t n) {
  char *t = arena_strndup(a, s, n);
  for (char *c = t; *c; c++)
    if (!isalnum((unsigned char)*c))
      *c = '_';
  return t;
}

/* x without the numbers that y has otherwise. */
static const char *numbers_drop(Fold *f, const char *x, const char *y) {
  Text t = {0};
  const char *whole = x, *s = NULL;
  text_puts(&t, "");
  while (*x && *y) {
    size_t nx, ny;
    number_at(x, x + strlen(x), &nx);
    number_at(y, y + strlen(y), &ny);
    if (!nx != !ny || (!nx && *x != *y))
      break;
    if (!nx)
      text_putc(&t, *x);
    else if (nx == ny && !memcmp(x, y, nx))
      text_write(&t, x, nx);
    else if (t.n > 1 && t.s[t.n - 1] == '_')
      t.s[--t.n] = 0;
    x += nx ? nx : 1;
    y += ny ? ny : 1;
  }
  if (!*x && !*y && t.n)
    s = arena_strdup(f->a, t.s);
  text_free(&t);
  return s ? s : whole;
}

static const char *as_name(Fold *f, const char *s) {
  while (*s == '_' && s[1] && !isdigit((unsigned char)s[1]))
    s++;
  if (!*s)
    return "v";
  return isdigit((unsigned char)*s) ? arena_printf(f->a, "_%s", s) : s;
}

/* What the model calls instance i's value, less what the call says for all. */
static const char *value_inside(const Body *w, uint32_t i, uint32_t at) {
  Fold *f = w->p->f;
  const Node *x = f->node[w->b->begin[i] + at - w->b->begin[0]];
  const char *s = names_of(w->p->names, x);
  const char *before = cleaned(f->a, x->from->node, w->b->origin[i]);
  size_t n = strlen(before);
  return n && !strncmp(s, before, n) && s[n] ? s + n : s;
}

/* What to call a value in the body: the same without the numbers that tell
 * instances apart. */
const char *value_name(Body *w, uint32_t at) {
  Fold *f = w->p->f;
  if (body_is_main(w))
    return names_of(w->p->names, f->node[at]);
  const char *s = value_inside(w, 0, at);
  if (w->b->n > 1)
    s = numbers_drop(f, s, value_inside(w, 1, at));
  return name_fresh(w, as_name(f, s));
}

/* An argument that is one value for all instances is called so; inputs keep
 * what their names have in common. */
static const char *arg_wish(Body *w, uint32_t arg) {
  Fold *f = w->p->f;
  const Block *b = w->b;
  const Node *x = slot_value(f, f->slot[b->begin[0]] + arg);
  const Node *y = slot_value(f, f->slot[b->begin[1]] + arg);
  bool same = true;
  for (uint32_t i = 1; i < b->n && same; i++)
    same = slot_value(f, f->slot[b->begin[i]] + arg) == x;
  if (same && f->at[x->id] < f->n)
    return as_name(f, names_of(w->p->names, x));
  if (x->op == OP_INPUT && y->op == OP_INPUT)
    return as_name(f, numbers_drop(f, x->name, y->name));
  return "x";
}

const char *arg_name(Body *w, uint32_t arg) {
  return name_fresh(w, arg_wish(w, arg));
}

/* ---- numbers and names made of them ------------------------------------ */

void num_print(const Body *w, const Loop *loop, Num x, Text *t) {
  const char *sep = "";
  if (x.list >= 0) {
    text_puts(t, loop->lists.at[x.list].name);
    sep = " + ";
  }
  if (x.mul) {
    if (x.mul != 1)
      text_printf(t, "%lld*", (long long)x.mul);
    text_puts(t, loop->var);
    sep = " + ";
  }
  if (x.var >= 0) {
    text_printf(t, "%s%s", sep, w->b->vars.at[x.var].name);
    sep = " + ";
  }
  if (!*sep)
    text_printf(t, "%lld", (long long)x.add);
  else if (x.add)
    text_printf(t, " %c %lld", x.add < 0 ? '-' : '+',
                (long long)(x.add < 0 ? -x.add : x.add));
}

/* Variables get their names when they are first printed. */
void num_settle(Body *w, Loop *loop, Num *x) {
  if (x->var >= 0 && !w->b->vars.at[x->var].name)
    w->b->vars.at[x->var].name = name_fresh(w, "n");
  if (loop && x->list >= 0 && !loop->lists.at[x->list].name)
    loop->lists.at[x->list].name = name_fresh(w, "k");
  if (!loop || !x->mul)
    return;
  loop->used = true;
  x->add -= x->mul * loop->first;
}

static bool num_is_name(Num x) {
  return (x.mul == 1) + (x.var >= 0) + (x.list >= 0) == 1 && !x.add &&
         (x.mul == 0 || x.mul == 1);
}

/* A name for the number, which may stand behind `$`. */
static const char *num_name(Body *w, Loop *loop, Num x) {
  Text t = {0};
  num_print(w, loop, x, &t);
  const char *s = arena_strdup(w->p->f->a, t.s), *name;
  text_free(&t);
  if (num_is_name(x))
    return s;
  bool turns = x.mul || x.list >= 0;
  for (size_t i = 0; i < w->nums.n && !turns; i++)
    if (w->nums.at[i].var == x.var && w->nums.at[i].add == x.add)
      return w->num_name.at[i];
  name = name_fresh(w, "n");
  if (!turns) {
    vec_push(w->p->f->a, &w->nums, x);
    vec_push(w->p->f->a, &w->num_name, name);
  }
  text_printf(turns ? &loop->helpers : &w->head, "%s%s = %s;\n",
              turns ? "    " : "  ", name, s);
  return name;
}

/* Letters behind a number, as the name of a string. */
static const char *word_name(Body *w, const char *s, size_t n) {
  Fold *f = w->p->f;
  const char *word = arena_strndup(f->a, s, n);
  const char *name = map_get(&w->words, word);
  if (name)
    return name;
  name = name_fresh(w, "word");
  map_put(f->a, &w->words, word, (void *)name);
  text_printf(&w->head, "  %s = \"%s\";\n", name, word);
  return name;
}

void path_print(Body *w, Loop *loop, const Pieces *p, Text *t) {
  bool behind = false;
  for (size_t i = 0; i < p->n; i++) {
    const Piece *x = &p->at[i];
    if (x->s) {
      size_t n = 0;
      while (behind && n < x->n && (isalnum((unsigned char)x->s[n]) ||
                                    x->s[n] == '_'))
        n++;
      if (n)
        text_printf(t, "$%s", word_name(w, x->s, n));
      text_write(t, x->s + n, x->n - n);
      behind = false;
    } else if (t->n && t->s[t->n - 1] == '[') {
      num_print(w, loop, x->num, t);
    } else {
      text_printf(t, "$%s", num_name(w, loop, x->num));
      behind = true;
    }
  }
}

void place_print(const Body *w, const Loop *loop, const char *file,
                        const Pieces *p, Text *t) {
  text_puts(t, " from ");
  text_quote(t, file);
  if (!p->n)
    text_puts(t, " \"\"");
  for (size_t i = 0; i < p->n; i++) {
    const Piece *x = &p->at[i];
    text_putc(t, ' ');
    if (x->s) {
      text_quote(t, arena_strndup(w->p->f->a, x->s, x->n));
    } else if (num_is_name(x->num)) {
      num_print(w, loop, x->num, t);
    } else {
      text_putc(t, '(');
      num_print(w, loop, x->num, t);
      text_putc(t, ')');
    }
  }
}

/* A name of all instances of the body, which the key made alike. */
Pieces name_split(Body *w, const Str *all) {
  Pieces p;
  ensure(name_pieces(w->p->f, w->b, all, NULL, &p));
  for (size_t i = 0; i < p.n; i++)
    if (!p.at[i].s)
      num_settle(w, NULL, &p.at[i].num);
  return p;
}

