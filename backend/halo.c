/* halo.c - zeros around a tensor and behind its planes.  Readers load whole
 * vectors there; the lanes beside the elements come to nothing, but numbers
 * that an arena still holds may be subnormals, which are slow. */
#include "backend/emit.h"

void clear_run(Gen *g, Val plane, int64_t from, int64_t to) {
  int64_t lanes = g->t->lanes, n = to - from, full = n / lanes;
  if (n <= 0) return;
  if (full > 4) {
    Loop l;
    loop_begin(g, &l, k64(g, 0), k64(g, full * lanes * 4), lanes * 4, true,
               "clear");
    store_vec(g, vzero(g), addr(g, plane, l.iv), from * 4, 4);
    loop_end(g, &l);
  } else {
    for (int64_t i = 0; i < full; i++)
      store_vec(g, vzero(g), plane, (from + i * lanes) * 4, 4);
  }
  int rest = (int)(n % lanes);
  if (rest == 1)
    store_f32(g, kf(g, 0), plane, (to - 1) * 4);
  else if (rest && full)
    store_vec(g, vzero(g), plane, (to - lanes) * 4, 4);
  else if (rest)
    store_part(g, vzero(g), plane, from * 4, rest);
}

/* Zero the box of the last two axes that begins at (row, col). */
static void clear_box(Gen *g, const Node *n, int64_t row, int64_t rows,
                      int64_t col, int64_t cols) {
  Nest t;
  if (rows <= 0 || cols <= 0) return;
  nest_over(g, &t, n);
  int h = t.rank - 2, w = t.rank - 1;
  int64_t off = row * t.arg[0].stride[h] + col * t.arg[0].stride[w];
  t.dim[h] = rows, t.dim[w] = cols;
  t.arg[0].at = addrk(g, t.arg[0].at, 4 * off);
  nest_fill(g, &t, 0);
}

/* ---- behind the planes ----------------------------------------------- */

/* Vectors that the size of such a layout counts behind the last plane, and
 * how many a reader may load behind what it wants. */
enum { TAIL_VECTORS = 4, OVER_VECTORS = 2 };

static bool lies_as(const Gen *g, const Type *t, bool tokens) {
  Type own = type_make(t->elem, t->rank, t->dim);
  const Layout *l = t->layout;
  int lanes = g->t->lanes;
  if (!l || t->elem != F32 || type_elems(t) == 0 ||
      (tokens ? t->rank < 2 : t->rank != 4))
    return false;
  return layout_equal(l, tokens ? layout_tokens(g->a, &own, lanes)
                                : layout_planes(g->a, &own, lanes, l->halo));
}

/* The concat that n lies in as operand *k, or NULL. */
static const Node *whole_of(const Gen *g, const Node *n, int *k) {
  for (size_t i = 0; i < g->func->nodes.n; i++) {
    const Node *u = g->func->nodes.at[i];
    if (u->op != OP_CONCAT || !node_is_alias(u)) continue;
    for (*k = 0; *k < u->nin; ++*k)
      if (u->in[*k] == n) return u;
  }
  return NULL;
}

/* Does nothing of the concats that n lies in follow behind it? */
static bool is_last(const Gen *g, const Node *n) {
  int k;
  const Node *u = whole_of(g, n, &k);
  return !u || (k == u->nin - 1 && is_last(g, u));
}

bool plane_end(const Gen *g, const Node *n, PlaneEnd *e) {
  int k;
  const Node *base = view_base(g, n);
  const Node *map = whole_of(g, base, &k);
  int64_t s[MAX_RANK], step;
  int64_t start = map ? node_rows(map, k, &step) : -1;
  bool rows = start >= 0;
  const Type *t = rows ? &map->type : &n->type;
  if (!lies_as(g, t, false)) return false;
  value_strides(n, s);
  const int32_t *halo = t->layout->halo;
  int64_t from = rows ? start * s[2] : 0, line = n->type.dim[2] * s[2];
  e->own = s[1] - from - halo[0] * s[2] - halo[2];
  e->last = s[1] - from;
  if (rows && start + n->type.dim[2] < t->dim[2]) {
    /* The rows below are computed later. */
    int64_t over = line + halo[3] + OVER_VECTORS * g->t->lanes;
    if (over < e->own) e->own = over;
    e->last = e->own;
  } else if (base == n && is_last(g, rows ? map : n)) {
    /* (Behind a view may lie what is not computed yet.) */
    e->last += TAIL_VECTORS * g->t->lanes;
  }
  return true;
}

void clear_tail(Gen *g, const Node *n, const PlaneEnd *e) {
  int64_t s[MAX_RANK];
  Once once;
  value_strides(n, s);
  int64_t last = (n->type.dim[0] - 1) * s[0] + (n->type.dim[1] - 1) * s[1];
  once_begin(g, &once);
  clear_run(g, addrk(g, value_ptr(g, n), 4 * last), e->own, e->last);
  once_end(g, &once);
}

static void clear_planes_end(Gen *g, const Node *n, const PlaneEnd *e) {
  const int32_t *halo = n->type.layout->halo;
  int64_t s[MAX_RANK], row = n->type.dim[2] + halo[1] - 1;
  value_strides(n, s);
  int64_t col = n->type.dim[3] + halo[3];
  clear_box(g, n, row, 1, col, e->own - row * s[2] - col);
  clear_tail(g, n, e);
}

/* The last vector of each plane of tokens. */
static void clear_tokens_end(Gen *g, const Node *n) {
  int64_t plane, k = n->type.dim[n->type.rank - 1], lanes = g->t->lanes;
  ensure(type_is_tokens(&n->type, &plane));
  int64_t tokens = type_elems(&n->type) / k, rest = tokens % lanes;
  if (!rest) return;
  Nest t = { .rank = 2, .nargs = 1, .dim = { k, lanes - rest } };
  t.arg[0] = (NestArg){ .at = addrk(g, value_ptr(g, n), 4 * tokens),
                        .elem = F32, .stride = { plane, 1 } };
  nest_fill(g, &t, 0);
}

static void clear_pads(Gen *g, const Node *n) {
  const Type *t = &n->type;
  if (!t->layout || t->rank < 2) return;
  const int32_t *halo = t->layout->halo;
  int64_t top = halo[0], bottom = halo[1], left = halo[2], right = halo[3];
  int64_t rows = t->dim[t->rank - 2], cols = t->dim[t->rank - 1];
  int64_t stride[MAX_RANK], wide = left + cols + right;
  value_strides(n, stride);
  clear_box(g, n, -top, top, -left, wide);
  clear_box(g, n, rows, bottom, -left, wide);
  clear_box(g, n, 0, rows, cols, right);
  /* With rows close to one another the left pad of a row is the right pad
   * of the one before, which is done. */
  bool shared = stride[t->rank - 1] == 1 && right >= left &&
                stride[t->rank - 2] == cols + right;
  clear_box(g, n, 0, shared ? 1 : rows, -left, left);
}

void clear_halo(Gen *g, const Node *n) {
  PlaneEnd e;
  clear_pads(g, n);
  if (lies_as(g, &n->type, true)) clear_tokens_end(g, n);
  else if (plane_end(g, n, &e)) clear_planes_end(g, n, &e);
}
