/* names.c - names of values: valid, unique, and the same on every run. */
#include "ir/names.h"

#include <ctype.h>
#include <string.h>

/* Open addressing; next: the suffix to try when the name is wanted again. */
typedef struct Slot { const char *name; int next; } Slot;

struct Names {
  Arena *arena;
  size_t nslots, used;
  Slot *slot;
  const char **of;        /* by node id */
  bool *binds;            /* by output */
};

static const char *const keywords[] = {
  "as", "block", "dump", "else", "false", "for", "from", "func", "if",
  "import", "in", "inf", "model", "nan", "next", "param", "recipe",
  "repeat", "state", "then", "true", "weights", "where", "with"
};

static size_t ident_len(const char *s) {
  size_t n = 0;
  if (isdigit((unsigned char)*s)) return 0;
  while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
  return n;
}

/* Whether the first n letters of s are a word of the language. */
static bool is_reserved(const char *s, size_t n) {
  for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
    if (strncmp(s, keywords[i], n) == 0 && keywords[i][n] == 0) return true;
  for (int i = 0; i < ELEM_COUNT; i++) {
    const char *elem = elem_name((Elem)i);
    if (strncmp(s, elem, n) == 0 && elem[n] == 0) return true;
  }
  return false;
}

bool name_is_valid(const char *s) {
  size_t n = ident_len(s);
  return n > 0 && s[n] == 0 && !is_reserved(s, n);
}

bool path_is_valid(const char *s) {
  for (;;) {
    size_t n = ident_len(s);
    if (n == 0 || is_reserved(s, n)) return false;
    s += n;
    if (*s == '[') {
      n = strspn(s + 1, "0123456789");
      if (n == 0 || s[n + 1] != ']') return false;
      s += n + 2;
    }
    if (*s == 0) return true;
    if (*s++ != '.') return false;
  }
}

/* ---- the set -------------------------------------------------------- */

static Slot *slot_find(const Names *s, const char *name) {
  size_t i = hash_bytes(name, strlen(name)) & (s->nslots - 1);
  while (s->slot[i].name && strcmp(s->slot[i].name, name))
    i = (i + 1) & (s->nslots - 1);
  return &s->slot[i];
}

static void slots_grow(Names *s) {
  Slot *old = s->slot;
  size_t n = s->nslots;
  s->nslots = n ? 2 * n : 64;
  s->slot = arena_array(s->arena, Slot, s->nslots);
  for (size_t i = 0; i < n; i++)
    if (old[i].name) *slot_find(s, old[i].name) = old[i];
}

/* Take a name; what is taken already stays so. */
static void name_take(Names *s, const char *name) {
  if (2 * (s->used + 1) > s->nslots) slots_grow(s);
  Slot *at = slot_find(s, name);
  if (at->name) return;
  *at = (Slot){arena_strdup(s->arena, name), 2};
  s->used++;
}

const char *names_fresh(Names *s, const char *wish) {
  Slot *at = slot_find(s, wish);
  const char *name = wish;
  if (at->name) {
    int next = at->next;
    do {
      name = arena_printf(s->arena, "%s_%d", wish, next++);
    } while (slot_find(s, name)->name);
    at->next = next;
  }
  name_take(s, name);
  return slot_find(s, name)->name;
}

/* ---- names of a function -------------------------------------------- */

/* Names that a value must not have: those of the language, of ops, of
 * inputs and functions, and the first words of params' and states' paths. */
static void names_reserve(Names *s, const Module *m, const Func *f) {
  size_t n;
  const char *const *ops = op_names(&n);
  for (size_t i = 0; i < n; i++) name_take(s, ops[i]);
  for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
    name_take(s, keywords[i]);
  for (int i = 0; i < ELEM_COUNT; i++) name_take(s, elem_name((Elem)i));
  for (size_t i = 0; i < m->params.n; i++) {
    const char *path = m->params.at[i]->path;
    name_take(s, arena_strndup(s->arena, path, ident_len(path)));
  }
  for (size_t i = 0; i < m->states.n; i++) {
    const char *path = m->states.at[i]->path;
    name_take(s, arena_strndup(s->arena, path, ident_len(path)));
  }
  for (size_t i = 0; i < f->inputs.n; i++)
    name_take(s, f->inputs.at[i]->name);
  for (size_t i = 0; i < m->funcs.n; i++) name_take(s, m->funcs.at[i]->name);
  for (int i = 0; m->free && i < m->free->n; i++)
    name_take(s, m->free->dim[i].name);
}

/* The author's name with everything strange made `_`; without one the last
 * word of the layer path, else "v". */
static const char *name_wish(Arena *a, const Node *n) {
  const char *from = n->name;
  if (!from && n->path) {
    const char *dot = strrchr(n->path, '.');
    from = dot ? dot + 1 : n->path;
  }
  if (!from || !*from) return "v";
  char *s = arena_printf(a, "%s%s", isdigit((unsigned char)*from) ? "_" : "",
                         from);
  size_t len = strlen(s);
  while (len > 1 && s[len - 1] == ']') s[--len] = 0;
  for (char *p = s; *p; p++)
    if (!isalnum((unsigned char)*p)) *p = '_';
  return s;
}

/* An output whose name is an input's or a param's is bound last, when
 * nothing needs that any more; all names of outputs are taken. */
static void outputs_bind(Names *s, const Module *m, const Func *f) {
  Map inputs = {0};
  for (size_t i = 0; i < f->inputs.n; i++)
    map_put(s->arena, &inputs, f->inputs.at[i]->name, f->inputs.at[i]);
  s->binds = arena_array(s->arena, bool, f->outputs.n);
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Output *o = &f->outputs.at[i];
    bool leaf = op_info(o->node->op)->flags & FLAG_LEAF;
    bool taken = map_get(&inputs, o->name) ||
                 map_get(&m->param_of, o->name) || module_state(m, o->name);
    if (!leaf && !taken && !s->of[o->node->id]) {
      s->of[o->node->id] = o->name;
      s->binds[i] = true;
    }
    name_take(s, o->name);
  }
}

Names *names_new(const Module *m, const Func *f) {
  Arena *a = arena_new();
  Names *s = arena_new_of(a, Names);
  s->arena = a;
  slots_grow(s);
  s->of = arena_array(a, const char *, f->nodes.n);
  for (size_t i = 0; i < f->nodes.n; i++) f->nodes.at[i]->id = (uint32_t)i;
  names_reserve(s, m, f);
  outputs_bind(s, m, f);
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    if (n->op == OP_INPUT)
      s->of[i] = n->name;
    else if (!(op_info(n->op)->flags & FLAG_LEAF) && !s->of[i])
      s->of[i] = names_fresh(s, name_wish(a, n));
  }
  return s;
}

void names_free(Names *s) {
  if (s) arena_free(s->arena);
}

const char *names_of(const Names *s, const Node *n) {
  ensure(s->of[n->id]);
  return s->of[n->id];
}

bool names_binds_output(const Names *s, const Func *f, size_t i) {
  ensure(i < f->outputs.n);
  return s->binds[i];
}
