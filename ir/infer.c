/* infer.c - node_infer: what holds for every op, and the vocabulary of the
 * rules in infer_conv.c and infer_shape.c. */
#include "ir/infer.h"

#include <string.h>

/* A value of more elements than this is refused. */
#define MAX_ELEMS ((int64_t)1 << 40)

typedef bool InferRule(InferCtx *);

static InferRule *const rules[OP_COUNT] = {
#define OP(e, name, operands, attrs, elems, infer, eval, flags) \
  infer_##infer,
#include "ir/ops.def"
#undef OP
};

bool infer_error(InferCtx *c, const char *fmt, ...) {
  Text t = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&t, fmt, ap);
  va_end(ap);
  diag_error(c->d, EXIT_MODEL, c->n->span, "%s: %s", c->op, t.s);
  text_free(&t);
  return false;
}

const char *shape_text(int rank, const int64_t *dim) {
  static char buf[4][MAX_RANK * 24 + 8];
  static int next;
  char *s = buf[next = (next + 1) % 4];
  size_t n = 0, cap = sizeof buf[0];
  n += (size_t)snprintf(s + n, cap - n, "[");
  for (int i = 0; i < rank; i++)
    n += (size_t)snprintf(s + n, cap - n, "%s%lld", i ? "," : "",
                          (long long)dim[i]);
  snprintf(s + n, cap - n, "]");
  return s;
}

const Type *infer_in(const InferCtx *c, int i) {
  ensure(i < c->n->nin && c->n->in[i]);
  return &c->n->in[i]->type;
}

/* Name of operand i; those of a variadic op are numbered from 1. */
static const char *operand_name(const InferCtx *c, int i) {
  static char buf[32];
  const OpInfo *info = op_info(c->n->op);
  if (info->variadic && i >= info->noperands - 1) {
    snprintf(buf, sizeof buf, "operand %d", i + 1);
    return buf;
  }
  return info->operand[i];
}

bool infer_rank(InferCtx *c, int i, int rank) {
  const Type *t = infer_in(c, i);
  if (t->rank == rank) return true;
  return infer_error(c, "%s has rank %d (shape %s), expected rank %d",
                     operand_name(c, i), t->rank,
                     shape_text(t->rank, t->dim), rank);
}

bool infer_shape(InferCtx *c, int i, int rank, const int64_t *dim) {
  const Type *t = infer_in(c, i);
  Type want = type_make(F32, rank, dim);
  if (type_same_dims(t, &want)) return true;
  return infer_error(c, "%s has shape %s, expected %s", operand_name(c, i),
                     shape_text(t->rank, t->dim), shape_text(rank, dim));
}

bool infer_elem(InferCtx *c, int i, Elem e) {
  Elem found = infer_in(c, i)->elem;
  if (found == e) return true;
  return infer_error(c, "%s has element type %s, expected %s",
                     operand_name(c, i), elem_name(found), elem_name(e));
}

Elem infer_elem_of(const InferCtx *c) {
  const OpInfo *info = op_info(c->n->op);
  for (int i = 0; i < c->n->nin; i++)
    if (c->n->in[i] && op_class(info, i) == 'T') return infer_in(c, i)->elem;
  return F32;
}

bool infer_out(InferCtx *c, int rank, const int64_t *dim) {
  if (rank > MAX_RANK)
    return infer_error(c, "the result has rank %d, at most %d is supported",
                       rank, MAX_RANK);
  c->out = type_make(infer_elem_of(c), rank, dim);
  return true;
}

bool infer_list(InferCtx *c, const char *name, int n, int64_t lo, int64_t hi,
                const int64_t **out) {
  int count;
  const int64_t *v = attr_ints(c->n, name, &count);
  if (count != n)
    return infer_error(c, "%s=%s has %d numbers, expected %d", name,
                       count <= MAX_RANK ? shape_text(count, v) : "[...]",
                       count, n);
  for (int i = 0; i < n; i++) {
    if (v[i] < lo)
      return infer_error(c, "%s=%s: %lld is less than %lld", name,
                         shape_text(n, v), (long long)v[i], (long long)lo);
    if (v[i] > hi)
      return infer_error(c, "%s=%s: %lld is more than %lld", name,
                         shape_text(n, v), (long long)v[i], (long long)hi);
  }
  *out = v;
  return true;
}

bool infer_axis(InferCtx *c, int64_t axis, int rank, int *out) {
  if (axis < -rank || axis >= rank) {
    if (rank == 0)
      return infer_error(c, "axis %lld of a scalar, which has none",
                         (long long)axis);
    return infer_error(c, "axis %lld is out of range, expected %d..%d",
                       (long long)axis, -rank, rank - 1);
  }
  *out = (int)(axis < 0 ? axis + rank : axis);
  return true;
}

/* ---- node_infer ----------------------------------------------------- */

const char *elems_text(uint32_t mask) {
  static char buf[128];
  size_t n = 0;
  buf[0] = 0;
  for (int k = 0; k < ELEM_COUNT; k++) {
    if (!(mask >> k & 1)) continue;
    bool last = mask >> k == 1;
    n += (size_t)snprintf(buf + n, sizeof buf - n, "%s%s",
                          !n ? "" : last ? " or " : ", ",
                          elem_name((Elem)k));
  }
  return buf;
}

static bool elem_check(InferCtx *c, int i) {
  const OpInfo *info = op_info(c->n->op);
  Elem e = infer_in(c, i)->elem;
  uint32_t mask = op_elems(info, i);
  if (!(mask >> e & 1))
    return infer_error(c, "%s has element type %s, expected %s",
                       operand_name(c, i), elem_name(e), elems_text(mask));
  return op_class(info, i) != 'T' || infer_elem(c, i, infer_elem_of(c));
}

static bool operands_check(InferCtx *c) {
  const OpInfo *info = op_info(c->n->op);
  if (!info->variadic && c->n->nin > info->noperands)
    return infer_error(c, "%d operands, expected at most %d", c->n->nin,
                       info->noperands);
  for (int i = 0; i < c->n->nin || i < info->nrequired; i++) {
    if (i < c->n->nin && c->n->in[i]) {
      if (!elem_check(c, i)) return false;
    } else if (i < info->nrequired || info->variadic) {
      return infer_error(c, "operand %s is missing", operand_name(c, i));
    }
  }
  return true;
}

static bool attrs_check(InferCtx *c) {
  const OpInfo *info = op_info(c->n->op);
  for (int i = 0; i < info->nattrs; i++)
    if (!c->n->attr[i].set)
      return infer_error(c, "attribute %s is missing", info->attr[i]);
  return true;
}

static bool size_check(InferCtx *c) {
  for (int i = 0; i < c->out.rank; i++)
    if (c->out.dim[i] < 0)
      return infer_error(c, "the result has shape %s, a negative size",
                         shape_text(c->out.rank, c->out.dim));
  int64_t n = type_elems(&c->out);
  if (n >= 0 && n <= MAX_ELEMS) return true;
  return infer_error(c, "the result has shape %s, more than 2^40 elements",
                     shape_text(c->out.rank, c->out.dim));
}

bool node_infer_plain(const Module *m, Node *n, Diags *d) {
  const OpInfo *info = op_info(n->op);
  InferCtx c = {.op = info->name, .m = m, .n = n, .d = d};
  if (!operands_check(&c) || !attrs_check(&c) || !rules[n->op](&c) ||
      !size_check(&c))
    return false;
  n->type = c.out;
  return true;
}

bool node_infer(Module *m, Node *n, Diags *d) {
  if (!node_infer_plain(m, n, d)) return false;
  if (m->free) node_infer_free(m, n);
  return true;
}

/* Inputs keep the type they were made with, encodings included, as do
 * params, whose type is their Param's. */
bool infer_leaf(InferCtx *c) {
  const Node *n = c->n;
  c->out = n->op == OP_PARAM ? n->param->type
           : n->op == OP_STATE ? n->state->type : n->type;
  if (n->op == OP_INPUT) c->op = n->name ? n->name : c->op;
  if (n->op == OP_PARAM) c->op = n->param->path;
  if (n->op == OP_STATE) c->op = n->state->path;
  uint32_t mask = op_info(n->op)->elems;
  if (mask >> c->out.elem & 1) return true;
  return diag_error(c->d, EXIT_UNSUPPORTED, n->span, "%s: expected element "
                    "type %s, found %s", c->op, elems_text(mask),
                    elem_name(c->out.elem));
}
