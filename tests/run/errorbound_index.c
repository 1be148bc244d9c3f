/* errorbound_index.c - error bounds of ops that count, order and look up: what
 * is decided by numbers closer than their errors may come out otherwise. */
#include <string.h>

#include "tests/run/bounder.h"

typedef struct Lines { int64_t outer, n, inner; } Lines;

static Lines lines_of(const Node *n, const Type *t) {
  int axis = eval_axis(attr_int(n, "axis"), t->rank);
  Lines l = {1, t->dim[axis], 1};
  for (int i = 0; i < axis; i++) l.outer *= t->dim[i];
  for (int i = axis + 1; i < t->rank; i++) l.inner *= t->dim[i];
  return l;
}

/* Whether another element might be the one. */
static void bound_arg(Bounder *b) {
  const Bounded *x = bound_operand(b, 0);
  Lines l = lines_of(b->n, &x->type);
  for (int64_t line = 0; line < l.outer * l.inner; line++) {
    int64_t base = line / l.inner * l.n * l.inner + line % l.inner;
    int64_t won = base + (int64_t)b->out->v[line] * l.inner;
    b->out->e[line] = 0;
    for (int64_t k = 0; k < l.n; k++) {
      int64_t at = base + k * l.inner;
      double e = x->e[at] + x->e[won], gap = fabs(x->v[at] - x->v[won]);
      if (at != won && e > 0 && !(gap > e)) b->out->e[line] = INFINITY;
    }
  }
}

/* A place in the order is certain when its element is clear of all others. */
static void bound_argsort(Bounder *b) {
  const Bounded *x = bound_operand(b, 0);
  Lines l = lines_of(b->n, &x->type), to = lines_of(b->n, &b->n->type);
  for (int64_t line = 0; line < l.outer * l.inner; line++) {
    int64_t o = line / l.inner, i = line % l.inner;
    bool sure = true;
    for (int64_t k = 0; k < l.n; k++)
      for (int64_t j = 0; j < k && sure; j++) {
        int64_t p = (o * l.n + k) * l.inner + i;
        int64_t q = (o * l.n + j) * l.inner + i;
        double e = x->e[p] + x->e[q];
        sure = e == 0 || fabs(x->v[p] - x->v[q]) > e;
      }
    for (int64_t k = 0; k < to.n; k++)
      b->out->e[(o * to.n + k) * l.inner + i] = sure ? 0 : INFINITY;
  }
}

static void bound_cumsum(Bounder *b) {
  const Bounded *x = bound_operand(b, 0);
  int64_t count = type_elems(&b->n->type);
  double k = (double)lines_of(b->n, &x->type).n;
  bool real = elem_is_float(x->type.elem);
  double *e = bound_apply(b, b->n, (double *[]){x->e});
  double *size = bound_apply(b, b->n,
                             (double *[]){bound_sizes(b, x, true)});
  for (int64_t i = 0; i < count; i++)
    b->out->e[i] = e[i] + (real ? k * EPS * size[i] : 0);
}

/* An index that is not certain may lead anywhere. */
static bool index_certain(const Bounder *b) {
  const Bounded *index = bound_operand(b, 1);
  int64_t n = type_elems(&index->type);
  for (int64_t i = 0; i < n; i++)
    if (index->e[i] > 0) return false;
  return true;
}

static void bound_lookup(Bounder *b) {
  const Bounded *x = bound_operand(b, 0), *up = bound_operand(b, 2);
  int64_t count = type_elems(&b->n->type);
  Node worst = *b->n;
  Attr attr[2];
  if (b->n->op == OP_SCATTER) {    /* the greatest error, whatever is kept */
    memcpy(attr, b->n->attr, sizeof attr);
    worst.attr = attr;
    if (strcmp(attr_str(b->n, "mode"), "set") != 0)
      attr_set_str(b->m, &worst, "mode", "max");
  }
  double *e = bound_apply(b, &worst, (double *[]){x->e, NULL,
                                                  up ? up->e : NULL});
  double *size = NULL;
  if (b->n->op == OP_SCATTER_ADD)
    size = bound_apply(b, b->n, (double *[]){bound_sizes(b, x, true), NULL,
                                             bound_sizes(b, up, true)});
  bool real = elem_is_float(x->type.elem), sure = index_certain(b);
  double k = (double)type_elems(&bound_operand(b, 1)->type);
  for (int64_t i = 0; i < count; i++) {
    b->out->e[i] = e[i] + (real && size ? k * EPS * size[i] : 0);
    if (!sure) b->out->e[i] = INFINITY;
  }
}

bool bound_index(Bounder *b) {
  switch (b->n->op) {
    case OP_ARGMAX:
    case OP_ARGMIN: bound_arg(b); return true;
    case OP_ARGSORT: bound_argsort(b); return true;
    case OP_CUMSUM: bound_cumsum(b); return true;
    case OP_GATHER:
    case OP_SCATTER:
    case OP_SCATTER_ADD: bound_lookup(b); return true;
    case OP_IOTA:
    case OP_RANDOM: return true;      /* exact */
    default: return false;
  }
}
