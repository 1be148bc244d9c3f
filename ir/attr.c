/* attr.c - attributes and operands of a node by their names in ops.def. */
#include "ir/ir.h"

#include <string.h>

int attr_index(Op op, const char *name) {
  const OpInfo *info = op_info(op);
  for (int i = 0; i < info->nattrs; i++)
    if (strcmp(info->attr[i], name) == 0) return i;
  return -1;
}

static Attr *attr_of(const Node *n, const char *name, AttrKind kind) {
  int i = attr_index(n->op, name);
  ensure(i >= 0 && n->attr[i].kind == kind);
  return &n->attr[i];
}

int64_t attr_int(const Node *n, const char *name) {
  return attr_of(n, name, ATTR_INT)->i;
}

bool attr_bool(const Node *n, const char *name) {
  return attr_of(n, name, ATTR_BOOL)->i != 0;
}

double attr_float(const Node *n, const char *name) {
  return attr_of(n, name, ATTR_FLOAT)->f;
}

const char *attr_str(const Node *n, const char *name) {
  const char *s = attr_of(n, name, ATTR_STR)->s;
  return s ? s : "";
}

const int64_t *attr_ints(const Node *n, const char *name, int *count) {
  const Attr *a = attr_of(n, name, ATTR_INTS);
  if (count) *count = a->n;
  return a->ints;
}

Elem attr_elem(const Node *n, const char *name) {
  return (Elem)attr_of(n, name, ATTR_ELEM)->i;
}

void attr_set_elem(Node *n, const char *name, Elem e) {
  Attr *a = attr_of(n, name, ATTR_ELEM);
  a->set = true;
  a->i = e;
}

void attr_set_int(Node *n, const char *name, int64_t v) {
  Attr *a = attr_of(n, name, ATTR_INT);
  a->set = true;
  a->i = v;
  a->free = NULL;
}

void attr_set_bool(Node *n, const char *name, bool v) {
  Attr *a = attr_of(n, name, ATTR_BOOL);
  a->set = true;
  a->i = v;
}

void attr_set_float(Node *n, const char *name, double v) {
  Attr *a = attr_of(n, name, ATTR_FLOAT);
  a->set = true;
  a->f = v;
}

void attr_set_str(Module *m, Node *n, const char *name, const char *v) {
  Attr *a = attr_of(n, name, ATTR_STR);
  a->set = true;
  a->s = arena_strdup(m->arena, v);
}

void attr_set_ints(Module *m, Node *n, const char *name, const int64_t *v,
                   int count) {
  Attr *a = attr_of(n, name, ATTR_INTS);
  int64_t *copy = arena_array(m->arena, int64_t, (size_t)count);
  if (count) memcpy(copy, v, (size_t)count * sizeof *v);
  a->set = true;
  a->n = count;
  a->ints = copy;
  a->free = NULL;
}

void attr_set_shape(Module *m, Node *n, const char *name, const Type *t) {
  attr_set_ints(m, n, name, t->dim, t->rank);
  if (!t->free) return;
  size_t count = (size_t)t->free->of->nsamples, rank = (size_t)t->rank;
  FreeInts *f = arena_alloc(m->arena,
                            sizeof *f + count * rank * sizeof *f->v);
  f->of = t->free->of;
  for (size_t k = 0; k < count; k++)
    memcpy(f->v + k * rank, t->free->dim[k], rank * sizeof *f->v);
  attr_of(n, name, ATTR_INTS)->free = f;
}

static bool free_equal(const FreeInts *a, const FreeInts *b, int n) {
  if (!a || !b) return a == b;
  size_t count = (size_t)a->of->nsamples * (size_t)n;
  return a->of == b->of && !memcmp(a->v, b->v, count * sizeof *a->v);
}

bool attr_equal(const Attr *a, const Attr *b) {
  if (a->kind != b->kind || a->set != b->set) return false;
  switch (a->kind) {
  case ATTR_INT:
    return a->i == b->i && free_equal(a->free, b->free, 1);
  case ATTR_ELEM:
    return a->i == b->i;
  case ATTR_BOOL:
    return !a->i == !b->i;
  case ATTR_FLOAT:   /* tells -0.0 from 0.0, and a nan is itself */
    return memcmp(&a->f, &b->f, sizeof a->f) == 0;
  case ATTR_STR:
    return strcmp(a->s ? a->s : "", b->s ? b->s : "") == 0;
  case ATTR_INTS:
    for (int i = 0; i < a->n && i < b->n; i++)
      if (a->ints[i] != b->ints[i]) return false;
    return a->n == b->n && free_equal(a->free, b->free, a->n);
  }
  unreachable();
}

Node *node_operand(const Node *n, const char *name) {
  const OpInfo *info = op_info(n->op);
  for (int i = 0; i < info->noperands; i++)
    if (strcmp(info->operand[i], name) == 0)
      return i < n->nin ? n->in[i] : NULL;
  return NULL;
}
