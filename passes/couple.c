/* couple.c - coupling groups of a function, by union-find over the indices of
 * axes (Cells in couple.h).
 *
 * source     Fang et al., 2023 (DepGraph): dependencies between layers as
 *            groups that go or stay as a whole */
#include "passes/couple.h"

/* ---- cells ----------------------------------------------------------- */

/* Four bytes each, and what passes keep of them. */
enum { CELLS_MOST = 1 << 27 };

int64_t cell_at(const Cells *c, const Node *n, int axis, int64_t i) {
  int64_t at = c->first[n->id];
  for (int k = 0; k < axis; k++) at += n->type.dim[k];
  return at + i;
}

uint32_t cell_root(Cells *c, int64_t cell) {
  uint32_t i = (uint32_t)cell;
  while (c->parent[i] != i) {
    c->parent[i] = c->parent[c->parent[i]];
    i = c->parent[i];
  }
  return i;
}

static void cells_join(Cells *c, int64_t a, int64_t b) {
  uint32_t x = cell_root(c, a), y = cell_root(c, b);
  if (x == y) return;
  if (y < x) {
    uint32_t t = x;
    x = y;
    y = t;
  }
  c->parent[y] = x;
  if (!c->held[x]) c->held[x] = c->held[y];
}

static void tie_join(Cells *c, const Node *n, int k, int64_t x, int64_t y) {
  (void)n, (void)k;
  cells_join(c, x, y);
}

/* ---- what ops say ---------------------------------------------------- */

const Node *cells_node(const Node *n, int k) {
  return k == RESULT ? n : n->in[k];
}

static void see(Cells *c, int k, int axis) {
  c->seen[(k + 1) * MAX_RANK + axis] = true;
}

void cells_free(Cells *c, const Node *n, int k, int axis) {
  (void)n;
  see(c, k, axis);
}

void cells_tie(Cells *c, const Node *n, int k, int x, int64_t i, int y,
               int64_t j) {
  see(c, k, x);
  see(c, RESULT, y);
  c->tie(c, n, k, cell_at(c, n->in[k], x, i), cell_at(c, n, y, j));
}

void cells_tie_axis(Cells *c, const Node *n, int k, int x, int y) {
  int64_t from = cell_at(c, n->in[k], x, 0), to = cell_at(c, n, y, 0);
  ensure(n->in[k]->type.dim[x] == n->type.dim[y]);
  see(c, k, x);
  see(c, RESULT, y);
  for (int64_t i = 0; i < n->type.dim[y]; i++)
    c->tie(c, n, k, from + i, to + i);
}

void cells_pair(Cells *c, const Node *n, int k, int x, int64_t i, int l,
                int y, int64_t j) {
  see(c, k, x);
  see(c, l, y);
  if (!c->quiet)
    cells_join(c, cell_at(c, n->in[k], x, i), cell_at(c, n->in[l], y, j));
}

void cells_pair_axis(Cells *c, const Node *n, int k, int x, int l, int y) {
  ensure(n->in[k]->type.dim[x] == n->in[l]->type.dim[y]);
  see(c, k, x);
  see(c, l, y);
  for (int64_t i = 0; i < n->in[k]->type.dim[x]; i++)
    cells_pair(c, n, k, x, i, l, y, i);
}

void cells_cross(Cells *c, Node *n, int k, int x, int l, int y) {
  cells_pair_axis(c, n, k, x, l, y);
  if (!c->quiet)
    vec_push(c->a, &c->cross, ((Cross){n, {k, l}, {x, y}}));
}

void cells_hold(Cells *c, const Node *n, int k, int axis, const Held *h) {
  const Node *x = cells_node(n, k);
  int64_t at = cell_at(c, x, axis, 0);
  see(c, k, axis);
  for (int64_t i = 0; !c->quiet && i < x->type.dim[axis]; i++) {
    uint32_t root = cell_root(c, at + i);
    if (!c->held[root]) c->held[root] = h;
  }
}

void cells_hold_one(Cells *c, const Node *n, int k, int axis) {
  static const Held h = {NULL, "there is only one, for all of another value"};
  cells_hold(c, n, k, axis, &h);
}

static Held *held_new(Cells *c, const Node *by, const char *what) {
  Held *h = arena_new_of(c->a, Held);
  *h = (Held){by, what};
  return h;
}

void held_print(Text *out, const Held *h) {
  if (!h->by) {
    text_puts(out, h->what);
    return;
  }
  text_puts(out, op_info(h->by->op)->name);
  if (h->by->path) text_printf(out, " of %s", h->by->path);
  text_printf(out, " %s", h->what);
}

/* ---- leaves ---------------------------------------------------------- */

static void hold_all(Cells *c, const Node *n, const char *what) {
  const Held *h = held_new(c, NULL, what);
  for (int i = 0; i < n->type.rank; i++) cells_hold(c, n, RESULT, i, h);
}

static bool used_elsewhere(const Cells *c, const Param *p) {
  for (size_t i = 0; i < c->m->funcs.n; i++)
    if (c->m->funcs.at[i] != c->f &&
        func_param_node(c->m->funcs.at[i], p))
      return true;
  return false;
}

static void hold_leaf(Cells *c, const Node *n) {
  const Param *p = n->param;
  switch (n->op) {
  case OP_INPUT:
    hold_all(c, n, "an input has them");
    break;
  case OP_STATE:
    hold_all(c, n, "a state has them");
    break;
  case OP_PARAM:
    if (p->trainable || !param_data(p) || elem_bits(p->type.elem) < 8)
      hold_all(c, n, "a param has them that cannot be changed");
    else if (used_elsewhere(c, p))
      hold_all(c, n, "another function uses their param");
    break;
  default:
    break;
  }
}

static void hold_results(Cells *c) {
  Func *f = c->f;
  for (size_t i = 0; i < f->outputs.n; i++)
    hold_all(c, f->outputs.at[i].node, "an output has them");
  for (size_t i = 0; i < f->nexts.n; i++)
    hold_all(c, f->nexts.at[i].node, "a state has them");
}

/* ---- ops ------------------------------------------------------------- */

void couple_broadcast(Cells *c, const Node *n, int k, int axes) {
  const Type *x = &n->in[k]->type;
  int skip = n->type.rank - x->rank;
  for (int i = 0; i < x->rank && i + skip < axes; i++)
    if (x->dim[i] == n->type.dim[i + skip])
      cells_tie_axis(c, n, k, i, i + skip);
    else cells_hold_one(c, n, k, i);
}

/* Operands and result are the same index by index, but for one axis (-1:
 * for none). */
static void couple_but(Cells *c, const Node *n, int axis) {
  for (int i = 0; i < n->type.rank; i++)
    if (i != axis) cells_tie_axis(c, n, 0, i, i);
}

static void couple_channels(Cells *c, const Node *n, int axis) {
  couple_but(c, n, -1);
  for (int k = 1; k < n->nin; k++) cells_tie_axis(c, n, k, 0, axis);
}

static void couple_reduce(Cells *c, const Node *n, const int64_t *axes,
                          int count) {
  bool gone[MAX_RANK] = {false}, keep = attr_bool(n, "keep");
  int rank = n->in[0]->type.rank, y = 0;
  for (int i = 0; i < rank && count == 0; i++) gone[i] = true;
  for (int i = 0; i < count; i++)
    gone[axes[i] < 0 ? axes[i] + rank : axes[i]] = true;
  for (int i = 0; i < rank; i++) {
    if (!gone[i]) cells_tie_axis(c, n, 0, i, y);
    else if (c->student && n->op == OP_MEAN) cells_free(c, n, 0, i);
    y += keep || !gone[i];
  }
}

static void couple_gather(Cells *c, const Node *n) {
  int axis = node_axis(n, n->in[0]->type.rank), wide = n->in[1]->type.rank;
  for (int i = 0; i < n->in[0]->type.rank; i++)
    if (i != axis) cells_tie_axis(c, n, 0, i, i < axis ? i : i + wide - 1);
  for (int i = 0; i < wide; i++) cells_tie_axis(c, n, 1, i, axis + i);
}

static void couple_maps(Cells *c, const Node *n) {
  for (int k = 0; k < n->nin; k++)
    for (int i = 0; i < 2; i++) cells_tie_axis(c, n, k, i, i);
}

static void couple_other(Cells *c, const Node *n) {
  int64_t axis;
  int count;
  const int64_t *axes;
  switch (n->op) {
  case OP_BATCH_NORM:
    couple_channels(c, n, 1);
    break;
  case OP_SCALE_SHIFT:
    couple_channels(c, n, node_axis(n, n->type.rank));
    break;
  case OP_CAST: case OP_CONVERT: case OP_STOP_GRADIENT: case OP_MASK:
    for (int k = 0; k < n->nin; k++)
      couple_broadcast(c, n, k, n->type.rank);
    break;
  case OP_NORMALIZE:
    for (int k = 0; k < n->nin; k++)
      if (n->in[k])
        couple_broadcast(c, n, k, n->type.rank - !c->student);
    break;
  case OP_ROTARY:
    for (int k = 0; k < 3; k++)
      couple_broadcast(c, n, k, n->type.rank - 1);
    break;
  case OP_SOFTMAX: case OP_CUMSUM: case OP_ARGSORT:
    couple_but(c, n, node_axis(n, n->type.rank));
    break;
  case OP_ARGMAX: case OP_ARGMIN:
    axis = attr_int(n, "axis");
    couple_reduce(c, n, &axis, 1);
    break;
  case OP_SUM: case OP_MEAN: case OP_PROD: case OP_MAX: case OP_MIN:
    axes = attr_ints(n, "axes", &count);
    couple_reduce(c, n, axes, count);
    break;
  case OP_GATHER:
    couple_gather(c, n);
    break;
  case OP_MAX_POOL: case OP_AVG_POOL: case OP_RESIZE: case OP_INTERLEAVE:
    couple_maps(c, n);
    break;
  default:
    break;
  }
}

void couple_node(Cells *c, Node *n) {
  if (op_info(n->op)->flags & (FLAG_UNARY | FLAG_BINARY) ||
      n->op == OP_WHERE)
    for (int k = 0; k < n->nin; k++)
      couple_broadcast(c, n, k, n->type.rank);
  else if (!couple_product(c, n) && !couple_view(c, n))
    couple_other(c, n);
}

/* ---- functions ------------------------------------------------------- */

/* Axes that nothing was said of, and those of free sizes. */
static void hold_rest(Cells *c, const Node *n) {
  const Held *h = NULL;
  for (int k = RESULT; k < n->nin; k++) {
    const Node *x = cells_node(n, k);
    for (int i = 0; x && i < x->type.rank; i++) {
      if (c->seen[(k + 1) * MAX_RANK + i] && !axis_is_free(&x->type, i))
        continue;
      if (!h) h = held_new(c, n, "goes over them");
      cells_hold(c, n, k, i, h);
    }
  }
}

static void couple_all(Cells *c) {
  for (size_t i = 0; i < c->f->nodes.n; i++) {
    Node *n = c->f->nodes.at[i];
    c->seen = arena_array(c->a, bool, (size_t)(n->nin + 1) * MAX_RANK);
    if (op_info(n->op)->flags & FLAG_LEAF) {
      hold_leaf(c, n);
      continue;
    }
    couple_node(c, n);
    hold_rest(c, n);
  }
  hold_results(c);
}

static Cells *cells_make(Arena *a, Module *m, Func *f, bool student) {
  Cells *c = arena_new_of(a, Cells);
  *c = (Cells){.a = a, .m = m, .f = f, .tie = tie_join, .student = student};
  c->first = arena_array(a, int64_t, f->nodes.n + 1);
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Type *t = &f->nodes.at[i]->type;
    c->first[i] = c->n;
    for (int k = 0; k < t->rank && c->n <= CELLS_MOST; k++)
      c->n += t->dim[k];
    if (c->n > CELLS_MOST) return NULL;
  }
  c->parent = arena_array(a, uint32_t, (size_t)c->n + 1);
  c->held = arena_array(a, const Held *, (size_t)c->n + 1);
  for (int64_t i = 0; i < c->n; i++) c->parent[i] = (uint32_t)i;
  couple_all(c);
  return c;
}

Cells *cells_new(Arena *a, Module *m, Func *f) {
  return cells_make(a, m, f, false);
}

Cells *cells_of_student(Arena *a, Module *m, Func *f) {
  return cells_make(a, m, f, true);
}
