/* norms.c - layer norms and rotary embeddings that exporters and the prelude
 * spell out are one node each (pass recognise).
 *
 * before     m = mean(x, axes=[2], keep=true);  d = sub(x, m);
 *            v = mean(square(d), axes=[2], keep=true);
 *            n = div(d, sqrt(v + 0.00001));  y = n * gamma + beta;
 * after      y = normalize(x, gamma=gamma, beta=beta);
 * before     h = concat(neg(slice(x, axis=3, start=8, stop=16)),
 *                       slice(x, axis=3, start=0, stop=8), axis=3);
 *            y = x * c + h * s;
 * after      y = rotary(x, c, s);
 * source     Ba et al., 2016; Zhang and Sennrich, 2019; Su et al., 2021 */
#include <math.h>

#include "passes/passes.h"

typedef struct Norms {
  PassCtx *c;
  Func *f;
  Uses uses;
} Norms;

/* ---- normalize ------------------------------------------------------ */

/* What n is the mean of along the last axis, which is kept; NULL: nothing. */
static Node *mean_of(const Node *n) {
  int count;
  if (n->op != OP_MEAN || !attr_bool(n, "keep")) return NULL;
  const int64_t *axes = attr_ints(n, "axes", &count);
  int rank = n->in[0]->type.rank;
  return count == 1 && axes[0] == rank - 1 ? n->in[0] : NULL;
}

/* The root of mean(square(d)) + eps. */
static bool is_deviation(const Norms *s, const Node *n, const Node *d,
                         double *eps) {
  if (n->op != OP_ADD || !node_scalar(s->c->m, n->in[1], eps) ||
      !(*eps >= 0))
    return false;
  const Node *q = mean_of(n->in[0]);
  if (!q) return false;
  if (q->op == OP_MUL) return q->in[0] == d && q->in[1] == d;
  return q->op == OP_SQUARE && q->in[0] == d;
}

/* n is d over its deviation from 0: what it is divided by. */
static bool divides(const Norms *s, const Node *n, const Node *d,
                    double *eps) {
  double one;
  const Node *by = n->in[n->in[0] == d];
  if (n->op == OP_DIV)
    return n->in[0] == d && by->op == OP_SQRT &&
           is_deviation(s, by->in[0], d, eps);
  if (by->op == OP_RSQRT) return is_deviation(s, by->in[0], d, eps);
  return by->op == OP_DIV && node_scalar(s->c->m, by->in[0], &one) &&
         one == 1 && by->in[1]->op == OP_SQRT &&
         is_deviation(s, by->in[1]->in[0], d, eps);
}

/* x of d = x - mean(x). */
static Node *centred(const Node *d) {
  return d->op == OP_SUB && mean_of(d->in[1]) == d->in[0] ? d->in[0] : NULL;
}

static bool recognise_norm(Norms *s, Node *n) {
  double eps;
  if ((n->op != OP_MUL && n->op != OP_DIV) || n->type.rank == 0) return false;
  for (int i = 0; i < (n->op == OP_MUL ? 2 : 1); i++) {
    Node *d = n->in[i];
    if (!type_same_shape(&d->type, &n->type) || n->in[1 - i]->nin == 0 ||
        !divides(s, n, d, &eps))
      continue;
    Node *x = centred(d);
    node_reset(s->c->m, n, OP_NORMALIZE, x ? &x : &d, 1);
    attr_set_bool(n, "center", x != NULL);
    attr_set_float(n, "eps", eps);
    node_retype(s->c, n);
    return true;
  }
  return false;
}

/* As [C], C being the last size of t; NULL: it is something else. */
static Node *per_column(Norms *s, Node *at, Node *p, const Type *t) {
  int64_t c = t->dim[t->rank - 1];
  if (p->type.rank == 0 || p->type.dim[p->type.rank - 1] != c ||
      type_elems(&p->type) != c || p->type.rank > t->rank)
    return NULL;
  if (p->type.rank == 1) return p;
  return func_insert_list(s->c, s->f, at, OP_RESHAPE, p, "shape", &c, 1);
}

static bool becomes(Norms *s, Node *n, Node *norm, Node *gamma, Node *beta) {
  Module *m = s->c->m;
  const char *path = n->path;
  node_absorb(m, n, norm);
  if (path) n->path = path;
  if (gamma) node_set_in(m, n, 1, gamma);
  if (beta) node_set_in(m, n, 2, beta);
  node_retype(s->c, n);
  return true;
}

static bool is_plain(const Norms *s, const Node *n, bool gamma) {
  return n->op == OP_NORMALIZE && used_once(&s->uses, n) && !node_in(n, 2) &&
         !(gamma && node_in(n, 1));
}

/* What a norm is multiplied by, or what is added, goes into it. */
static bool absorb_affine(Norms *s, Node *n) {
  Node *p;
  if (n->op == OP_SCALE_SHIFT && is_plain(s, n->in[0], true) &&
      attr_int(n, "axis") == n->type.rank - 1)
    return becomes(s, n, n->in[0], n->in[1], n->in[2]);
  if (n->op != OP_MUL && n->op != OP_ADD) return false;
  for (int i = 0; i < 2; i++) {
    Node *norm = n->in[i];
    if (!is_plain(s, norm, n->op == OP_MUL) ||
        !type_same_shape(&n->type, &norm->type) ||
        !(p = per_column(s, n, n->in[1 - i], &n->type)))
      continue;
    return n->op == OP_MUL ? becomes(s, n, norm, p, NULL)
                           : becomes(s, n, norm, NULL, p);
  }
  return false;
}

/* ---- rotary --------------------------------------------------------- */

/* The half of x's rows from `start` on. */
static bool is_half(const Node *n, const Node *x, int64_t start) {
  int last = x->type.rank - 1;
  int64_t half = x->type.dim[last] / 2;
  return n->op == OP_SLICE && n->in[0] == x && attr_int(n, "axis") == last &&
         attr_int(n, "step") == 1 && attr_int(n, "start") == start &&
         n->type.dim[last] == half;
}

/* concat(-second half, first half) of what; NULL: it is something else. */
static Node *halves_turned(const Node *n) {
  if (n->op != OP_CONCAT || n->nin != 2 || n->in[0]->op != OP_NEG ||
      n->in[0]->in[0]->nin != 1 || n->type.rank == 0 ||
      attr_int(n, "axis") != n->type.rank - 1)
    return NULL;
  Node *second = n->in[0]->in[0], *x = second->in[0];
  int64_t size = n->type.dim[n->type.rank - 1];
  if (!type_same_shape(&x->type, &n->type) || size % 2) return NULL;
  return is_half(second, x, size / 2) && is_half(n->in[1], x, 0) ? x : NULL;
}

/* The angle of both halves, where it is the same. */
static Node *angle(Node *n) {
  bool twice = n->op == OP_CONCAT && n->nin == 2 && n->in[0] == n->in[1] &&
               attr_int(n, "axis") == n->type.rank - 1;
  return twice ? n->in[0] : n;
}

/* n is a times b, of which one is `of`: the other. */
static Node *factor(const Node *n, const Node *of) {
  if (n->op != OP_MUL) return NULL;
  return n->in[0] == of ? n->in[1] : n->in[1] == of ? n->in[0] : NULL;
}

static bool recognise_rotary(Norms *s, Node *n) {
  if (n->op != OP_ADD) return false;
  for (int i = 0; i < 4; i++) {
    const Node *turned = n->in[i & 1], *plain = n->in[1 - (i & 1)];
    if (turned->op != OP_MUL || !used_once(&s->uses, turned) ||
        !used_once(&s->uses, plain))
      continue;
    Node *x = halves_turned(turned->in[i >> 1]);
    Node *cos = x ? factor(plain, x) : NULL, *sin = turned->in[1 - (i >> 1)];
    if (!cos || !type_same_shape(&n->type, &x->type)) continue;
    int64_t size = x->type.dim[x->type.rank - 1];
    if (cos->type.rank == 0 || sin->type.rank == 0 ||
        cos->type.dim[cos->type.rank - 1] != size ||
        sin->type.dim[sin->type.rank - 1] != size)
      continue;
    Node *in[3] = {x, angle(cos), angle(sin)};
    node_reset(s->c->m, n, OP_ROTARY, in, 3);
    node_retype(s->c, n);
    return true;
  }
  return false;
}

/* ---- all ------------------------------------------------------------ */

void norms_recognise(PassCtx *c, Func *f) {
  func_tidy(c->m, f);
  Norms s = {c, f, uses_new(c->scratch, f)};
  bool found = false;
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *n = f->nodes.at[i];
    if (n->type.elem != F32 || node_is_leaf(n)) continue;
    found |= recognise_norm(&s, n) || recognise_rotary(&s, n) ||
             absorb_affine(&s, n);
  }
  if (found) func_tidy(c->m, f);
}
