/* fold_print.c - blocks and the model that calls them, as text. */
#include "frontend/fold.h"

#include <ctype.h>
#include <string.h>

/* The body that is being printed. */
typedef struct Body {
  struct Printer *p;
  Block *b;
  Map taken;             /* names in it */
  Text head, text;       /* names made of others; statements */
  Vec(Num) nums;         /* that have such a name */
  Vec(const char *) num_name;
  Map words;             /* text -> the name that has it as a value */
} Body;

typedef struct Printer {
  Fold *f;
  Text *out;
  Names *names;          /* of the model */
  const char **key;      /* by a param's order */
  Map keys, blocks;      /* taken */
  const char **label;    /* by place: its name in the body at hand */
  const char **local;    /* by a param's order: the same */
} Printer;

static bool is_main(const Body *w) {
  return w->b == w->p->f->main;
}

/* ---- names ------------------------------------------------------------- */

static bool name_is_free(const Body *w, const char *s) {
  Op op;
  return name_is_valid(s) && !op_parse(s, &op) && !map_get(&w->taken, s) &&
         !map_get(&w->p->blocks, s);
}

/* A new name in the body. */
static const char *fresh(Body *w, const char *wish) {
  Fold *f = w->p->f;
  if (is_main(w))
    return names_fresh(w->p->names, wish);
  const char *s = wish;
  for (int i = 2; !name_is_free(w, s); i++)
    s = arena_printf(f->a, "%s_%d", wish, i);
  s = arena_strdup(f->a, s);
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
static const char *value_name(Body *w, uint32_t at) {
  Fold *f = w->p->f;
  if (is_main(w))
    return names_of(w->p->names, f->node[at]);
  const char *s = value_inside(w, 0, at);
  if (w->b->n > 1)
    s = numbers_drop(f, s, value_inside(w, 1, at));
  return fresh(w, as_name(f, s));
}

/* ---- numbers and names made of them ------------------------------------ */

static void num_print(const Body *w, const Loop *loop, Num x, Text *t) {
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
static void num_settle(Body *w, Loop *loop, Num *x) {
  if (x->var >= 0 && !w->b->vars.at[x->var].name)
    w->b->vars.at[x->var].name = fresh(w, "n");
  if (loop && x->list >= 0 && !loop->lists.at[x->list].name)
    loop->lists.at[x->list].name = fresh(w, "k");
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
  name = fresh(w, "n");
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
  name = fresh(w, "word");
  map_put(f->a, &w->words, word, (void *)name);
  text_printf(&w->head, "  %s = \"%s\";\n", name, word);
  return name;
}

static void path_print(Body *w, Loop *loop, const Pieces *p, Text *t) {
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

static void place_print(const Body *w, const Loop *loop, const char *file,
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
static Pieces name_split(Body *w, const Str *all) {
  Pieces p;
  ensure(name_pieces(w->p->f, w->b, all, NULL, &p));
  for (size_t i = 0; i < p.n; i++)
    if (!p.at[i].s)
      num_settle(w, NULL, &p.at[i].num);
  return p;
}

/* ---- params ------------------------------------------------------------- */

static const Param *param_at(const Body *w, uint32_t i, uint32_t slot) {
  const Fold *f = w->p->f;
  return slot_value(f, f->slot[w->b->begin[i]] + slot)->param;
}

/* p's path behind the scope of instance i, NULL when it lies elsewhere. */
static const char *param_inside(const Body *w, uint32_t i, const Param *p) {
  size_t n = w->b->scope[i];
  const char *scope = w->p->f->node[w->b->begin[i]]->path;
  if (!n)
    return p->path;
  return !strncmp(p->path, scope, n) && p->path[n] == '.' ? p->path + n + 1
                                                           : NULL;
}

static const char *params_all_inside(const Body *w, uint32_t slot) {
  const char *same = param_inside(w, 0, param_at(w, 0, slot));
  for (uint32_t i = 1; i < w->b->n && same; i++) {
    const char *s = param_inside(w, i, param_at(w, i, slot));
    if (!s || strcmp(s, same))
      return NULL;
  }
  return same;
}

/* The segments that all end with; NULL: none. */
static const char *params_common_end(const Body *w, uint32_t slot) {
  const char *path = param_at(w, 0, slot)->path;
  size_t len = strlen(path), n = len;
  for (uint32_t i = 1; i < w->b->n; i++) {
    const char *s = param_at(w, i, slot)->path;
    size_t m = strlen(s), k = 0;
    while (k < n && k < m && path[len - 1 - k] == s[m - 1 - k])
      k++;
    /* Back to the beginning of a segment in both. */
    while (k && !((k == len || path[len - 1 - k] == '.') &&
                  (k == m || s[m - 1 - k] == '.')))
      k--;
    n = k;
  }
  const char *s = path + len - n;
  size_t block = strlen(w->b->name);
  if (!strncmp(s, w->b->name, block) && s[block] == '.')
    s += block + 1;
  return n && w->b->n > 1 ? s : NULL;
}

/* What a param is to the op that uses it. */
static const char *param_role(const Node *n, uint32_t k) {
  const OpInfo *info = op_info(n->op);
  bool last = info->variadic && (int)k >= info->noperands;
  const char *s = info->operand[last ? info->noperands - 1 : (int)k];
  if (!strcmp(s, "w") || n->op == OP_MATMUL)
    return "weight";
  if (!strcmp(s, "b") && info->noperands > 2)
    return "bias";
  return "value";
}

/* Named after the layer of instance i that uses it. */
static const char *param_by_layer(const Body *w, uint32_t i, uint32_t slot) {
  Fold *f = w->p->f;
  uint32_t base = f->slot[w->b->begin[i]] + slot;
  uint32_t at = slot_place(f, base);
  const char *role = param_role(f->node[at], base - f->slot[at]);
  Str s = path_inside(f, w->b, i, at - w->b->begin[i]);
  const char *dot = strrchr(s.s, '.');
  return arena_printf(f->a, "%.*s.%s", (int)(dot ? dot - s.s : (int)s.n), s.s,
                      role);
}

/* Its name in instance i: behind the scope as it was, or what the names in all
 * instances end with, or one made up. */
static const char *param_local(const Body *w, uint32_t i, uint32_t slot) {
  const Param *p = param_at(w, i, slot);
  const char *s = w->b->scoped ? params_all_inside(w, slot)
                               : param_inside(w, i, p);
  if (!s)
    s = w->b->scoped ? params_common_end(w, slot) : p->path;
  return s ? s : param_by_layer(w, i, slot);
}

static bool keys_free(const Body *w, const char *const *key) {
  for (uint32_t i = 0; i < w->b->n; i++)
    if (map_get(&w->p->keys, key[i]))
      return false;
  return true;
}

/* The param's name in the body, and its key in each instance. */
static void param_name(Body *w, uint32_t slot, Text *out) {
  Fold *f = w->p->f;
  const Block *b = w->b;
  Str *all = arena_array(f->a, Str, b->n);
  const char **key = arena_array(f->a, const char *, b->n);
  for (int n = 1; n == 1 || !keys_free(w, key); n++) {
    const char *more = n > 1 ? arena_printf(f->a, ".value_%d", n) : "";
    for (uint32_t i = 0; i < b->n; i++) {
      const char *s = param_local(w, i, slot);
      s = arena_printf(f->a, "%s%s", s, more);
      all[i] = (Str){s, strlen(s)};
      key[i] = arena_printf(f->a, "%.*s%s%s", (int)b->scope[i],
                            f->node[b->begin[i]]->path,
                            b->scope[i] ? "." : "", s);
    }
  }
  for (uint32_t i = 0; i < b->n; i++) {
    const char *s = arena_strdup(f->m->arena, key[i]);
    map_put(f->a, &w->p->keys, s, w);
    w->p->key[param_at(w, i, slot)->order] = s;
  }
  Pieces p = name_split(w, all);
  path_print(w, NULL, &p, out);
}

/* An operand of a statement of the body: a param of the body's own is
 * declared. */
static void param_see(Body *w, uint32_t slot, Text *decls) {
  Fold *f = w->p->f;
  const Node *x = slot_value(f, slot);
  if (!x || x->op != OP_PARAM || w->p->local[x->param->order] ||
      !param_within(f, x->param, w->b->begin[0], w->b->len))
    return;
  Text name = {0};
  text_puts(&name, "");
  param_name(w, slot - f->slot[w->b->begin[0]], &name);
  w->p->local[x->param->order] = arena_strdup(f->a, name.s);
  map_put(f->a, &w->taken,
          arena_strndup(f->a, name.s, strcspn(name.s, ".[$")), w);
  text_printf(decls, "  param %s: ", name.s);
  type_print(decls, &x->param->type);
  text_puts(decls, ";\n");
  text_free(&name);
}

static void params_print(Body *w, Text *decls) {
  Fold *f = w->p->f;
  uint32_t begin = w->b->begin[0];
  for (size_t i = 0; i < w->b->parts.n; i++) {
    const Part *p = &w->b->parts.at[i];
    uint32_t base = f->slot[begin + p->at];
    for (int k = 0; !p->call && k < f->node[begin + p->at]->nin; k++)
      param_see(w, base + (uint32_t)k, decls);
    for (size_t k = 0; p->call && k < p->call->args.n; k++)
      param_see(w, base + p->call->args.at[k], decls);
  }
}

/* ---- statements ----------------------------------------------------------- */

/* What stands for an operand. */
static const char *ref_text(Body *w, uint32_t slot) {
  Fold *f = w->p->f;
  const Node *x = slot_value(f, slot);
  uint32_t begin = w->b->begin[0], at = f->at[x->id];
  if (at < f->n && at >= begin)
    return w->p->label[at];
  if (x->op == OP_PARAM && w->p->local[x->param->order] &&
      (is_main(w) || param_within(f, x->param, begin, w->b->len)))
    return w->p->local[x->param->order];
  if (is_main(w))
    return x->op == OP_STATE ? x->state->path : x->name;
  return w->b->arg_name[w->b->arg_of[slot - f->slot[begin]]];
}

static void operand_print(Text *out, void *body, const Node *n, int i) {
  Body *w = body;
  const Fold *f = w->p->f;
  if (n->in[i]->op == OP_CONST)
    literal_print(out, n->in[i]);
  else
    text_puts(out, ref_text(w, f->slot[f->at[n->id]] + (uint32_t)i));
}

static void node_statement(Body *w, uint32_t at) {
  Fold *f = w->p->f;
  const Block *b = w->b;
  const Node *n = f->node[b->begin[0] + at];
  Str *all = arena_array(f->a, Str, b->n);
  Text *t = &w->text;
  w->p->label[b->begin[0] + at] = value_name(w, b->begin[0] + at);
  text_puts(t, "  ");
  binding_print(t, w->p->label[b->begin[0] + at], &n->type);
  op_call_print(t, n, operand_print, w);
  if (n->path) {
    for (uint32_t i = 0; i < b->n; i++)
      all[i] = path_inside(f, b, i, at);
    Pieces p = name_split(w, all);
    text_puts(t, " as ");
    path_print(w, NULL, &p, t);
  }
  if (n->nfrom == 1 && n->from->node) {
    for (uint32_t i = 0; i < b->n; i++)
      all[i] = name_inside(f, b, i, at);
    Pieces p = name_split(w, all);
    place_print(w, NULL, n->from->file ? n->from->file : "", &p, t);
  } else {
    places_print(t, n);
  }
  text_puts(t, ";\n");
}

/* ---- calls ------------------------------------------------------------------ */

/* What a call, or one of each turn of a repeat, says: its layer, names of
 * nodes, ints. */
typedef struct Said { Pieces as, from; Vec(Num) vars; } Said;

static Str between(const char *s, size_t from, size_t to) {
  return (Str){s + from, to - from};
}

/* Of instance i of the body, `at` behind its begin. */
static Str call_scope(const Body *w, const Block *c, uint32_t at,
                      uint32_t i) {
  uint32_t begin = w->b->begin[i] + at;
  size_t from = w->b->scope[i], to = c->scope[instance_at(c, begin)];
  return between(w->p->f->node[begin]->path, from + (from && to > from), to);
}

static Str call_origin(const Body *w, const Block *c, uint32_t at,
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
  for (int k = 0; k < 2; k++) {
    const Pieces *p = k ? &s->from : &s->as;
    for (size_t i = 0; i < p->n && !loop->fixed; i++)
      if (!p->at[i].s && p->at[i].num.mul == 1 && p->at[i].num.var < 0) {
        loop->first = p->at[i].num.add;
        loop->fixed = true;
      }
  }
}

/* at[turn]: where the calls stand in the body. */
static bool call_say(Body *w, const Block *c, const uint32_t *at, Loop *loop,
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
static void call_print(Body *w, const Block *c, uint32_t at, Loop *loop,
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
  text_puts(t, ") as ");
  if (s->as.n)
    path_print(w, loop, &s->as, t);
  else
    text_putc(t, '_');
  if (s->from.n)
    place_print(w, loop, first->from->file, &s->from, t);
  text_puts(t, ";\n");
}

static const char **call_args(Body *w, const Block *c, uint32_t at) {
  Fold *f = w->p->f;
  const char **arg = arena_array(f->a, const char *, c->args.n + 1);
  uint32_t base = f->slot[w->b->begin[0] + at];
  for (size_t k = 0; k < c->args.n; k++)
    arg[k] = ref_text(w, base + c->args.at[k]);
  return arg;
}

static void call_statement(Body *w, const Part *p) {
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

/* ---- repeats ---------------------------------------------------------------- */

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
  const Node *before = chain_value(w, h, turn - 1, k);
  LoopArg *a = &h->arg[k];
  size_t r;
  bool carried = chain_carries(w, h, turn, k, &r);
  if (turn == 1)
    *a = carried ? (LoopArg){ARG_CARRIED, r}
                 : (LoopArg){x == before ? ARG_SAME : ARG_LISTED, 0};
  if (a->kind == ARG_CARRIED)
    return carried && r == a->result;
  return chain_outer(w, h, x) && (a->kind == ARG_LISTED || x == before);
}

/* A result is one variable, which has one value at first. */
static bool chain_starts(const Body *w, const Chain *h) {
  for (size_t k = 0; k < h->c->args.n; k++)
    for (size_t j = 0; j < k; j++)
      if (h->arg[k].kind == ARG_CARRIED && h->arg[j].kind == ARG_CARRIED &&
          h->arg[k].result == h->arg[j].result &&
          chain_value(w, h, 0, k) != chain_value(w, h, 0, j))
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
  LoopVar v = {.name = fresh(w, h->c->arg_name[k]),
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
      result[a.result] = fresh(w, h->c->arg_name[k]);
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
    if (is_main(w) && is_output(f, f->node[at]) &&
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
  loop.var = fresh(w, "i");
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

/* ---- the whole -------------------------------------------------------------- */

enum { TURNS_LEAST = 3, TURNS_MOST = 10000 };

/* The statement of part *i, or the repeat of it and others. */
static void part_print(Body *w, size_t *i) {
  const Part *p = &w->b->parts.at[*i];
  Chain h = {.c = p->call, .first = *i, .turns = 1,
             .begin = w->b->begin[0] + p->at};
  while (p->call && h.turns < TURNS_MOST && chain_extends(w, &h))
    h.turns++;
  *i += h.turns;
  if (!p->call)
    node_statement(w, p->at);
  else if (h.turns < TURNS_LEAST || !chain_print(w, &h))
    for (size_t k = 0; k < h.turns; k++)
      call_statement(w, p + k);
}

/* The last word of the scope that begins with a letter, numbers behind it
 * left out. */
static const char *block_wish(Fold *f, const Block *b) {
  const char *path = f->node[b->begin[0]]->path;
  size_t end = b->scoped ? b->scope[0] : 0;
  while (end) {
    size_t from = end, n;
    while (from && path[from - 1] != '.')
      from--;
    n = strcspn(path + from, ".[");
    if (n > end - from)
      n = end - from;
    while (n && (isdigit((unsigned char)path[from + n - 1]) ||
                 path[from + n - 1] == '_'))
      n--;
    if (n)
      return arena_strndup(f->a, path + from, n);
    end = from ? from - 1 : 0;
  }
  return "part";
}

static void block_name(Printer *p, Block *b) {
  const char *wish = block_wish(p->f, b);
  Body none = {.p = p};
  b->name = wish;
  for (int i = 2; !name_is_free(&none, b->name); i++)
    b->name = arena_printf(p->f->a, "%s_%d", wish, i);
  map_put(p->f->a, &p->blocks, b->name, b);
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

static void args_name(Body *w) {
  Block *b = w->b;
  b->arg_name = arena_array(w->p->f->a, const char *, b->args.n + 1);
  for (size_t k = 0; k < b->args.n; k++)
    b->arg_name[k] = fresh(w, arg_wish(w, b->args.at[k]));
}

static void signature(Body *w, Text *out) {
  const Fold *f = w->p->f;
  const Block *b = w->b;
  const char *sep = "";
  text_printf(out, "block %s(", b->name);
  for (size_t k = 0; k < b->args.n; k++, sep = ", ") {
    Type t = slot_value(f, f->slot[b->begin[0]] + b->args.at[k])->type;
    t = type_make(t.elem, t.rank, t.dim);
    text_printf(out, "%s%s: ", sep, b->arg_name[k]);
    type_print(out, &t);
  }
  for (size_t k = 0; k < b->vars.n; k++, sep = ", ")
    text_printf(out, "%s%s: int", sep, b->vars.at[k].name);
  text_puts(out, ") -> ");
  for (size_t k = 0; k < b->results.n; k++) {
    uint32_t at = b->begin[0] + b->results.at[k];
    text_printf(out, "%s%s: ", k ? ", " : "", w->p->label[at]);
    type_print(out, &f->node[at]->type);
  }
  text_puts(out, " {\n");
}

static void block_print(Printer *p, Block *b) {
  if (b->printed)
    return;
  b->printed = true;
  for (size_t i = 0; i < b->parts.n; i++)
    if (b->parts.at[i].call)
      block_print(p, b->parts.at[i].call);
  Body w = {.p = p, .b = b};
  Text decls = {0};
  memset(p->local, 0, (p->f->m->params.n + 1) * sizeof *p->local);
  text_puts(&decls, "");
  params_print(&w, &decls);
  args_name(&w);
  for (size_t i = 0; i < b->parts.n;)
    part_print(&w, &i);
  signature(&w, p->out);
  text_write(p->out, w.head.s, w.head.n);
  text_write(p->out, decls.s, decls.n);
  text_write(p->out, w.text.s, w.text.n);
  text_puts(p->out, "}\n\n");
  text_free(&decls);
  text_free(&w.head);
  text_free(&w.text);
}

/* Params of the model itself keep their paths. */
static void model_params(Printer *p) {
  const Fold *f = p->f;
  for (size_t i = 0; i < f->m->params.n; i++) {
    const Param *x = f->m->params.at[i];
    p->local[i] = p->key[i] ? NULL : x->path;
    if (p->key[i])
      continue;
    p->key[i] = x->path;
    text_printf(p->out, "  param %s: ", x->path);
    type_print(p->out, &x->type);
    text_puts(p->out, ";\n");
  }
}

static void model_nexts(Body *w) {
  const Fold *f = w->p->f;
  for (size_t i = 0; i < f->f->nexts.n; i++) {
    const Next *x = &f->f->nexts.at[i];
    text_printf(w->p->out, "  next %s = ", x->state->path);
    if (x->node->op == OP_CONST)
      literal_print(w->p->out, x->node);
    else if (x->node->op == OP_PARAM)
      text_puts(w->p->out, x->node->param->path);
    else if (x->node->op == OP_STATE)
      text_puts(w->p->out, x->node->state->path);
    else
      text_puts(w->p->out, names_of(w->p->names, x->node));
    text_puts(w->p->out, ";\n");
  }
}

static void model_print(Printer *p, const char *weights) {
  Fold *f = p->f;
  Body w = {.p = p, .b = f->main};
  text_puts(p->out, "model ");
  signature_print(p->out, f->f);
  model_params(p);
  for (size_t i = 0; i < f->m->states.n; i++)
    state_print(p->out, f->m->states.at[i]);
  for (size_t i = 0; i < f->main->parts.n;)
    part_print(&w, &i);
  text_write(p->out, w.head.s, w.head.n);
  text_write(p->out, w.text.s, w.text.n);
  model_nexts(&w);
  aliases_print(p->out, p->names, f->f);
  if (weights) {
    text_puts(p->out, "  weights ");
    text_quote(p->out, weights);
    text_puts(p->out, ";\n");
  }
  text_puts(p->out, "}\n");
  text_free(&w.head);
  text_free(&w.text);
}

/* Paths that stay: params of the model itself, states. */
static void keys_keep(Printer *p) {
  const Fold *f = p->f;
  bool *owned = arena_array(f->a, bool, f->m->params.n + 1);
  for (size_t k = 0; k < f->blocks.n; k++) {
    const Block *b = f->blocks.at[k];
    for (uint32_t i = 0; i < b->n; i++)
      for (uint32_t s = f->slot[b->begin[i]];
           s < f->slot[b->begin[i] + b->len]; s++) {
        const Node *x = slot_value(f, s);
        if (x && x->op == OP_PARAM &&
            param_within(f, x->param, b->begin[i], b->len))
          owned[x->param->order] = true;
      }
  }
  for (size_t i = 0; i < f->m->params.n; i++)
    if (!owned[i])
      map_put(f->a, &p->keys, f->m->params.at[i]->path, p);
  for (size_t i = 0; i < f->m->states.n; i++)
    map_put(f->a, &p->keys, f->m->states.at[i]->path, p);
}

void fold_print(Fold *f, Text *out, const char *weights, const char **key) {
  Printer p = {.f = f, .out = out, .key = key,
               .names = names_new(f->m, f->f)};
  p.label = arena_array(f->a, const char *, f->n + 1);
  p.local = arena_array(f->a, const char *, f->m->params.n + 1);
  keys_keep(&p);
  map_put(f->a, &p.blocks, f->f->name, f);
  for (size_t i = 0; i < f->blocks.n; i++)
    block_name(&p, f->blocks.at[i]);
  for (size_t i = 0; i < f->blocks.n; i++)
    block_print(&p, f->blocks.at[i]);
  model_print(&p, weights);
  names_free(p.names);
}
