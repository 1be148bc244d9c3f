/* recognise.c - activations that exporters spell out become ops, and
 * attention (attention.c), layer norms and rotary embeddings (norms.c).
 *
 * requires   canonical forms
 * preserves  values up to rounding, where the numbers of the spelling are
 *            those of the function to one part in 50,000
 * before     a = div(x, 1.41421354);  b = erf(a);  c = add(b, 1.0);
 *            d = mul(x, c);           y = mul(d, 0.5);
 * after      y = gelu(x);
 * source     gelu: Hendrycks and Gimpel, 2016; hardswish: Howard et al.,
 *            2019.  A product is matched by its factors and what is behind a
 *            gate as a line in x, so that order and places of constants do
 *            not matter */
#include <math.h>

#include "passes/passes.h"

/* Ops between a product and its factors, and inside of a gate. */
enum { DEPTH_MOST = 4, CANDIDATES_MOST = 16 };

static bool near(double v, double want) {
  return fabs(v - want) <= 2e-5 * fabs(want);
}

/* ---- lines ---------------------------------------------------------- */

/* shift + scale x */
typedef struct Line { double shift, scale; } Line;

static bool line_times(const Line *a, const Line *b, Line *y) {
  if (a->scale != 0 && b->scale != 0) return false;
  *y = (Line){a->shift * b->shift, a->shift * b->scale + a->scale * b->shift};
  return true;
}

/* n as a line in x. */
static bool line_of(Module *m, const Node *n, const Node *x, int depth,
                    Line *y) {
  double v;
  Line a, b;
  if (n == x) return *y = (Line){0, 1}, true;
  if (node_scalar(m, n, &v)) return *y = (Line){v, 0}, isfinite(v);
  if (depth == 0 || n->nin != 2 || !line_of(m, n->in[0], x, depth - 1, &a))
    return false;
  if (n->op == OP_DIV) {
    if (!node_scalar(m, n->in[1], &v) || v == 0) return false;
    b = (Line){1 / v, 0};
    return line_times(&a, &b, y);
  }
  if (!line_of(m, n->in[1], x, depth - 1, &b)) return false;
  if (n->op == OP_MUL) return line_times(&a, &b, y);
  if (n->op != OP_ADD && n->op != OP_SUB) return false;
  double sign = n->op == OP_SUB ? -1 : 1;
  *y = (Line){a.shift + sign * b.shift, a.scale + sign * b.scale};
  return true;
}

static bool line_is(const Line *a, double shift, double scale) {
  return near(a->shift, shift) && near(a->scale, scale);
}

/* ---- gates ---------------------------------------------------------- */

/* What a product multiplies x by: scale * (op(of) + 1), or without the 1. */
typedef struct Gate {
  const Node *at, *of;
  Op op;
  double scale;
} Gate;

/* scale * op(of) + scale, for erf. */
static bool gate_shifted(Module *m, const Node *n, Gate *g) {
  double v, scale = 1;
  if (n->op != OP_ADD || !node_scalar(m, n->in[1], &v)) return false;
  const Node *t = n->in[0];
  if (t->op == OP_MUL && node_scalar(m, t->in[1], &scale)) t = t->in[0];
  if (t->op != OP_ERF || !near(v, scale)) return false;
  *g = (Gate){n, t->in[0], t->op, scale};
  return true;
}

/* Between 0 and 6. */
static bool gate_clamped(Module *m, const Node *n, Gate *g) {
  double v;
  const Node *t = n;
  if (n->op == OP_MINIMUM && node_scalar(m, n->in[1], &v) && v == 6)
    t = n->in[0]->op == OP_RELU ? n->in[0] : n;
  if (n->op != OP_RELU6 && t == n) return false;
  *g = (Gate){n, t->in[0], OP_RELU6, 1};
  return true;
}

static bool gate_is(Module *m, const Node *n, Gate *g) {
  return gate_shifted(m, n, g) || gate_clamped(m, n, g);
}

/* ---- products ------------------------------------------------------- */

typedef struct Product {
  Module *m;
  Gate gate;               /* at NULL: none so far */
  const Node *part[CANDIDATES_MOST];   /* what is multiplied, also in steps */
  int nparts;
} Product;

/* All that is multiplied, up to the gate. */
static void parts_walk(Product *p, const Node *n, int depth) {
  double v;
  if (!p->gate.at && gate_is(p->m, n, &p->gate)) return;
  if (node_scalar(p->m, n, &v) || p->nparts == CANDIDATES_MOST) return;
  p->part[p->nparts++] = n;
  if (depth == 0 || (n->op != OP_MUL && n->op != OP_DIV)) return;
  parts_walk(p, n->in[0], depth - 1);
  if (n->op == OP_MUL) parts_walk(p, n->in[1], depth - 1);
}

typedef struct Factors { int x, gate; double scale; } Factors;

/* Counts them in n, all else being numbers. */
static bool factors_count(const Product *p, const Node *n, const Node *x,
                          int depth, Factors *f) {
  double v;
  if (n == x) return f->x++, true;
  if (n == p->gate.at) return f->gate++, true;
  if (node_scalar(p->m, n, &v)) return f->scale *= v, true;
  if (depth == 0 || (n->op != OP_MUL && n->op != OP_DIV)) return false;
  if (!factors_count(p, n->in[0], x, depth - 1, f)) return false;
  if (n->op == OP_MUL)
    return factors_count(p, n->in[1], x, depth - 1, f);
  return node_scalar(p->m, n->in[1], &v) && (f->scale /= v, true);
}

/* The op that n is of x; -1: none. */
static int activation_of(const Product *p, const Node *n, const Node *x) {
  Factors f = {0, 0, p->gate.scale};
  Line of;
  if (!factors_count(p, n, x, DEPTH_MOST, &f) || f.x != 1 || f.gate != 1 ||
      !line_of(p->m, p->gate.of, x, DEPTH_MOST, &of))
    return -1;
  if (p->gate.op == OP_ERF)
    return near(f.scale, 0.5) && line_is(&of, 0, 0.70710678118654752)
             ? OP_GELU : -1;
  return near(f.scale, 1.0 / 6) && line_is(&of, 3, 1) ? OP_HARDSWISH : -1;
}

/* A clamped line by itself. */
static bool is_hardsigmoid(Module *m, const Node *n, const Node **x) {
  double v;
  Gate g;
  Line of;
  bool by = (n->op == OP_MUL || n->op == OP_DIV) && n->in[0]->nin > 0 &&
            node_scalar(m, n->in[1], &v);
  if (!by || !near(n->op == OP_DIV ? 1 / v : v, 1.0 / 6)) return false;
  if (!gate_clamped(m, n->in[0], &g) || g.of->op != OP_ADD) return false;
  *x = g.of->in[0];
  return line_of(m, g.of, *x, 1, &of) && line_is(&of, 3, 1);
}

/* ---- the pass ------------------------------------------------------- */

static void become(PassCtx *c, Node *n, Op op, const Node *x) {
  Node *in = (Node *)x;
  node_reset(c->m, n, op, &in, 1);
  node_retype(c, n);
}

static void recognise_node(PassCtx *c, Node *n) {
  Product p = {.m = c->m};
  const Node *x;
  Node *gated;
  Op named;
  if (n->type.elem != F32 || (n->op != OP_MUL && n->op != OP_DIV)) return;
  if (node_gated(n, &named, &gated)) {   /* a gate recognised just before */
    become(c, n, named, gated);
    return;
  }
  if (is_hardsigmoid(c->m, n, &x) && type_same_shape(&n->type, &x->type)) {
    become(c, n, OP_HARDSIGMOID, x);
    return;
  }
  parts_walk(&p, n, DEPTH_MOST);
  for (int i = 1; p.gate.at && i < p.nparts; i++) {
    if (!type_same_shape(&n->type, &p.part[i]->type)) continue;
    int op = activation_of(&p, n, p.part[i]);
    if (op < 0) continue;
    become(c, n, (Op)op, p.part[i]);
    return;
  }
}

bool pass_recognise(PassCtx *c) {
  for (size_t i = 0; i < c->m->funcs.n; i++) {
    Func *f = c->m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++)
      recognise_node(c, f->nodes.at[k]);
    func_tidy(c->m, f);
    norms_recognise(c, f);
    attention_recognise(c, f);
  }
  return true;
}
