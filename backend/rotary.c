/* rotary.c - pairs of elements of a row turned by angles of their own.  Where
 * rows lie dense, vectors of them: with pairs of halves a vector of each half,
 * with neighbours a vector of both.  Else one row, or as many side by side as
 * have lanes, a pair at a time. */
#include "backend/emit.h"

typedef struct Turn {
  int64_t n;                    /* size of a row */
  int64_t y, x, cos, sin;       /* strides along it */
  bool pairs;
  bool few_cos, few_sin;        /* one for both of a pair */
} Turn;

typedef struct Lane { const Turn *t; Val *p; int n; } Lane;

/* Element i of one of the arguments. */
static Val get(Gen *g, const Lane *w, int arg, Val i, int64_t stride) {
  Val p = addr_at(g, w->p[arg], i, 4 * stride);
  return w->n ? load_lanes(g, p, 0, w->n) : load_f32(g, p, 0);
}

static void put(Gen *g, const Lane *w, Val v, Val i, int64_t stride) {
  Val p = addr_at(g, w->p[0], i, 4 * stride);
  if (w->n) store_lanes(g, v, p, 0, w->n);
  else store_f32(g, v, p, 0);
}

/* Elements a and b of a row, the i-th pair. */
static void turn(Gen *g, const Lane *w, Val i, Val a, Val b) {
  const Turn *t = w->t;
  Val x = get(g, w, 1, a, t->x), z = get(g, w, 1, b, t->x);
  Val ca = get(g, w, 2, t->few_cos ? i : a, t->cos), cb = ca;
  Val sa = get(g, w, 3, t->few_sin ? i : a, t->sin), sb = sa;
  if (!t->few_cos) cb = get(g, w, 2, b, t->cos);
  if (!t->few_sin) sb = get(g, w, 3, b, t->sin);
  Val less = LLVMBuildFNeg(g->b, LLVMBuildFMul(g->b, z, sa, ""), "");
  put(g, w, fma_(g, x, ca, less), a, t->y);
  put(g, w, fma_(g, z, cb, LLVMBuildFMul(g->b, x, sb, "")), b, t->y);
}

/* Halves: elements i and i + n/2, for `size` pairs from i on. */
static void turn_halves(Gen *g, const Turn *t, Val *p, Val i, int size) {
  Lane w = { t, p, size };
  turn(g, &w, i, i, add64(g, i, k64(g, t->n / 2)));
}

/* Neighbours, in vectors: x cos + (the other) (-sin, sin). */
static void turn_neighbours(Gen *g, const Turn *t, Val *p, Val i, int size) {
  Lane w = { t, p, size };
  int lane[64], lanes = g->t->lanes;
  Val sign[64];
  for (int k = 0; k < lanes; k++) {
    lane[k] = k ^ 1;
    sign[k] = kf(g, k & 1 ? 1 : -1);
  }
  Val x = get(g, &w, 1, i, 1), other = vshuffle(g, x, x, lane, lanes);
  Val s = LLVMBuildFMul(g->b, get(g, &w, 3, i, 1),
                        LLVMConstVector(sign, (unsigned)lanes), "");
  Val y = fma_(g, x, get(g, &w, 2, i, 1), LLVMBuildFMul(g->b, other, s, ""));
  put(g, &w, y, i, 1);
}

static bool dense(const Turn *t) {
  return t->y == 1 && t->x == 1 && t->cos == 1 && t->sin == 1;
}

/* A dense row in vectors. */
static void turn_row(Gen *g, const Turn *t, Val *p) {
  int lanes = g->t->lanes;
  int64_t n = t->pairs ? t->n : t->n / 2, whole = n / lanes * lanes;
  void (*some)(Gen *, const Turn *, Val *, Val, int) =
    t->pairs ? turn_neighbours : turn_halves;
  if (whole) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, whole), lanes, true, "turn");
    some(g, t, p, l.iv, lanes);
    loop_end(g, &l);
  }
  if (whole < n) some(g, t, p, k64(g, whole), (int)(n - whole));
}

static bool in_vectors(const Turn *t) {
  return dense(t) && !(t->pairs && (t->few_cos || t->few_sin));
}

static void turn_lines(Gen *g, const void *ctx, Val *p, int n) {
  const Turn *t = ctx;
  if (in_vectors(t)) {
    turn_row(g, t, p);
    return;
  }
  Lane w = { t, p, n };
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, t->n / 2), 1, true, "turn");
  Val a = t->pairs ? mul64(g, l.iv, 2) : l.iv;
  turn(g, &w, l.iv, a, add64(g, a, k64(g, t->pairs ? 1 : t->n / 2)));
  loop_end(g, &l);
}

/* cos or sin; the stride along its rows. */
static int64_t add_angles(Gen *g, Nest *t, const Node *n) {
  int64_t s[MAX_RANK];
  value_strides(n, s);
  nest_add(g, t, n);
  return n->type.dim[n->type.rank - 1] > 1 ? s[n->type.rank - 1] : 1;
}

void emit_rotary(Gen *g, const Node *n) {
  Nest nest;
  int axis = n->type.rank - 1;
  if (type_elems(&n->type) == 0) return;
  nest_over(g, &nest, n);
  nest_add(g, &nest, n->in[0]);
  Turn t = { .n = nest.dim[axis], .y = nest.arg[0].stride[axis],
             .x = nest.arg[1].stride[axis], .pairs = attr_bool(n, "pairs") };
  const Node *c = n->in[1], *s = n->in[2];
  t.few_cos = c->type.dim[c->type.rank - 1] < t.n;
  t.few_sin = s->type.dim[s->type.rank - 1] < t.n;
  t.cos = add_angles(g, &nest, c);
  t.sin = add_angles(g, &nest, s);
  nest_lines(g, &nest, axis, !in_vectors(&t), turn_lines, &t);
  clear_halo(g, n);
}
