/* fold_key.c - what makes two parts of a program instances of one block: the
 * same ops, attributes, types and wiring; names that differ in numbers, or in
 * what the call can say for all. */
#include "frontend/fold.h"

#include <ctype.h>
#include <string.h>

/* ---- names ------------------------------------------------------------- */

enum { DIGITS_MOST = 9 };

size_t number_at(const char *s, const char *end, size_t *run) {
  size_t n = 0;
  while (s + n < end && isdigit((unsigned char)s[n]))
    n++;
  *run = n;
  return n <= DIGITS_MOST && (n == 1 || *s != '0') ? n : 0;
}

static void int_write(Text *t, int64_t v) {
  text_write(t, &v, sizeof v);
}

/* The name with its numbers left out, a 0 byte for each, and its length. */
static void skeleton_write(Text *t, const char *s, size_t n) {
  const char *end = s + n, *text = s;
  size_t begin = t->n;
  while (s < end) {
    size_t run = 1;
    bool digit = *s >= '0' && *s <= '9';
    if (digit && number_at(s, end, &run)) {
      text_write(t, text, (size_t)(s - text) + 1);
      t->s[t->n - 1] = 0;
      text = s + run;
    }
    s += run;
  }
  text_write(t, text, (size_t)(s - text));
  int_write(t, (int64_t)(t->n - begin));
}

/* Length of the path of the module that a layer lies in. */
static size_t module_len(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot ? (size_t)(dot - path) : 0;
}

uint32_t path_shared(const char *a, const char *b) {
  size_t na = module_len(a), nb = module_len(b), best = 0;
  for (size_t i = 0; i <= na && i <= nb; i++) {
    bool ends = (i == na || a[i] == '.') && (i == nb || b[i] == '.');
    if (ends)
      best = i;
    if (i == na || i == nb || a[i] != b[i])
      break;
  }
  return (uint32_t)best;
}

uint32_t name_shared(const char *a, const char *b) {
  char sep = strchr(a, '/') || strchr(b, '/') ? '/' : '.';
  size_t best = 0;
  for (size_t i = 0; a[i] && a[i] == b[i]; i++)
    if (a[i] == sep)
      best = i + 1;
  return (uint32_t)best;
}

static uint32_t least(const uint32_t *share, uint32_t begin, uint32_t len) {
  uint32_t best = len > 1 ? share[begin + 1] : 0;
  for (uint32_t i = begin + 2; i < begin + len; i++)
    best = share[i] < best ? share[i] : best;
  return best;
}

uint32_t row_scope(const Fold *f, uint32_t begin, uint32_t len) {
  return least(f->path_share, begin, len);
}

uint32_t row_origin(const Fold *f, uint32_t begin, uint32_t len) {
  return least(f->name_share, begin, len);
}

/* ---- windows ----------------------------------------------------------- */

uint32_t window_begin(const Window *w, uint32_t instance) {
  return w->body->begin[instance] + w->body->parts.at[w->from].at;
}

uint32_t window_len(const Window *w) {
  const Block *b = w->body;
  uint32_t end = w->to < b->parts.n ? b->parts.at[w->to].at : b->len;
  return end - b->parts.at[w->from].at;
}

uint32_t slot_place(const Fold *f, uint32_t slot) {
  uint32_t lo = 0, hi = f->n;    /* slot[lo] <= slot < slot[hi] */
  while (hi - lo > 1) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (f->slot[mid] <= slot)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

Node *slot_value(const Fold *f, uint32_t slot) {
  uint32_t at = slot_place(f, slot);
  return f->node[at]->in[slot - f->slot[at]];
}

bool param_within(const Fold *f, const Param *p, uint32_t begin,
                  uint32_t len) {
  return f->param_first[p->order] >= begin &&
         f->param_last[p->order] < begin + len;
}

/* ---- the key ----------------------------------------------------------- */

typedef struct Key {
  const Fold *f;
  const Window *w;
  Text *t;
  uint32_t begin, len, scope, origin;
} Key;

static void type_write(Text *t, const Type *x) {
  int_write(t, x->elem);
  int_write(t, x->rank);
  for (int i = 0; i < x->rank; i++)
    int_write(t, x->dim[i]);
}

static void attr_write(Text *t, const Attr *a) {
  text_putc(t, a->set);
  if (!a->set)
    return;
  switch (a->kind) {
  case ATTR_INT: case ATTR_BOOL: case ATTR_ELEM:
    int_write(t, a->i);
    return;
  case ATTR_FLOAT:
    text_write(t, &a->f, sizeof a->f);
    return;
  case ATTR_STR:
    text_write(t, a->s ? a->s : "", a->s ? strlen(a->s) + 1 : 1);
    return;
  case ATTR_INTS:
    int_write(t, a->n);
    for (int i = 0; i < a->n; i++)
      int_write(t, a->ints[i]);
    return;
  }
  unreachable();
}

/* A weight of the block's own.  Under `as _` it keeps its path. */
static void param_write(const Key *k, const Param *p) {
  const Fold *f = k->f;
  const char *path = p->path;
  text_putc(k->t, 'p');
  int_write(k->t, f->param_slot[p->order] - f->slot[k->begin]);
  type_write(k->t, &p->type);
  if (!k->w->bare)
    return;
  const char *near = f->node[k->begin]->path;
  bool inside = k->scope && !strncmp(path, near, k->scope) &&
                path[k->scope] == '.';
  text_putc(k->t, inside);
  path += inside ? k->scope + 1 : 0;
  skeleton_write(k->t, path, strlen(path));
}

static void operand_write(const Key *k, const Node *x) {
  uint32_t at = x ? k->f->at[x->id] : 0;
  if (!x) {
    text_putc(k->t, '-');
  } else if (x->op == OP_CONST) {
    text_putc(k->t, 'c');
    int_write(k->t, x->type.elem);
    text_write(k->t, &x->value, sizeof x->value);
    int_write(k->t, x->ivalue);
  } else if (at != k->f->n && at >= k->begin && at < k->begin + k->len) {
    text_putc(k->t, 'v');
    int_write(k->t, at - k->begin);
  } else if (x->op == OP_PARAM &&
             param_within(k->f, x->param, k->begin, k->len)) {
    param_write(k, x->param);
  } else {
    text_putc(k->t, 'x');
    type_write(k->t, &x->type);
  }
}

static void node_write(const Key *k, const Node *n) {
  const OpInfo *info = op_info(n->op);
  uint32_t from = k->scope ? k->scope + 1 : 0;
  text_putc(k->t, 'n');
  int_write(k->t, n->op);
  type_write(k->t, &n->type);
  int_write(k->t, n->nin);
  for (int i = 0; i < n->nin; i++)
    operand_write(k, n->in[i]);
  for (int i = 0; i < info->nattrs; i++)
    attr_write(k->t, &n->attr[i]);
  skeleton_write(k->t, n->path + from, strlen(n->path + from));
  const char *name = n->from->node + k->origin;
  skeleton_write(k->t, name, strlen(name));
}

/* What a call says of names lies between the scopes. */
static bool call_write(const Key *k, const Block *c, uint32_t begin) {
  const Fold *f = k->f;
  uint32_t i = instance_at(c, begin);
  const Node *first = f->node[begin];
  if (!c->scoped && !k->w->bare)
    return false;
  text_putc(k->t, 'b');
  int_write(k->t, c->id);
  for (size_t j = 0; j < c->args.n; j++)
    operand_write(k, slot_value(f, f->slot[begin] + c->args.at[j]));
  skeleton_write(k->t, first->path + k->scope, c->scope[i] - k->scope);
  skeleton_write(k->t, first->from->node + k->origin,
                 c->origin[i] - k->origin);
  return true;
}

bool window_key(const Fold *f, const Window *w, uint32_t instance, Text *t) {
  const Block *b = w->body;
  Key k = {.f = f, .w = w, .t = t, .begin = window_begin(w, instance),
           .len = window_len(w)};
  k.scope = w->bare ? b->scope[instance] : row_scope(f, k.begin, k.len);
  k.origin = row_origin(f, k.begin, k.len);
  if (!w->bare && k.scope <= b->scope[instance])
    return false;
  text_putc(t, w->bare);
  text_puts(t, f->node[k.begin]->from->file);
  for (uint32_t i = w->from; i < w->to; i++) {
    const Part *p = &b->parts.at[i];
    uint32_t at = b->begin[instance] + p->at;
    if (!p->call && !f->regular[at])
      return false;
    if (!p->call)
      node_write(&k, f->node[at]);
    else if (!call_write(&k, p->call, at))
      return false;
  }
  return true;
}
