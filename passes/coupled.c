/* coupled.c - channels that go together, as units of `prune`: so that they
 * can be taken out of all layers that have them (pass `slice`).
 *
 * before     a = conv2d(x, w); b = conv2d(relu(a), u); y = a + b;
 *            z = conv2d(y, v)
 * after      a unit a channel: rows of w and u, which are scored; columns of
 *            u and v, and biases and norms on the way, which follow
 *
 * Layers whose results are added lose the same channels, so all of them have
 * to be selected.  Depthwise filters follow unless they are.
 * source     Li et al., 2017, section 3.3 (filters of residual stages); Fang
 *            et al., 2023 (groups) */
#include <string.h>

#include "passes/couple.h"
#include "passes/prune.h"

/* Values of a param with one index of an axis, as a rectangle. */
typedef struct Slab {
  PruneWeight *w;
  int64_t first, rows, cols;
  bool follows, reads;
} Slab;
typedef struct Unit {
  Vec(Slab) slabs;
  const char *why;         /* it stays */
  size_t component;
  uint32_t cell;           /* root of the group */
} Unit;

typedef struct Coupled {
  PruneStep *s;
  Func *f;
  Cells *cells;
  int64_t *unit;           /* by root: number of its unit, less 1: none yet */
  Vec(Unit) units;
  bool *summed;            /* by node and axis: of params */
} Coupled;

/* ---- roles of axes --------------------------------------------------- */

/* The param behind views that an operand is, whose axis *axis it then is; or
 * NULL. */
static const Node *param_behind(const Node *n, int *axis) {
  int count;
  while (n->op == OP_MASK || n->op == OP_SLICE || n->op == OP_CAST ||
         n->op == OP_CONVERT || n->op == OP_STOP_GRADIENT ||
         n->op == OP_PERMUTE) {
    if (n->op == OP_PERMUTE)
      *axis = (int)attr_ints(n, "order", &count)[*axis];
    n = n->in[0];
  }
  return n->op == OP_PARAM ? n : NULL;
}

static void find_summed(Coupled *c) {
  c->summed = arena_array(c->s->arena, bool, c->f->nodes.n * MAX_RANK);
  for (size_t i = 0; i < c->cells->cross.n; i++) {
    const Cross *x = &c->cells->cross.at[i];
    for (int k = 0; k < 2; k++) {
      int axis = x->axis[k];
      const Node *p = param_behind(x->n->in[x->k[k]], &axis);
      if (p) c->summed[p->id * MAX_RANK + (size_t)axis] = true;
    }
  }
}

static bool is_turned(const Node *n) {
  return n->op == OP_CONV1D_TRANSPOSE || n->op == OP_CONV2D_TRANSPOSE ||
         n->op == OP_CONV3D_TRANSPOSE;
}

/* The axis of p that has the channels of a layer; -1: no layer has p. */
static int row_axis(const Coupled *c, const Param *p) {
  for (size_t i = 0; i < c->f->nodes.n; i++) {
    const Node *n = c->f->nodes.at[i];
    if (is_turned(n) && operand_param(n->in[1]) == p)
      return attr_int(n, "groups") == 1;
    if (layer_uses(n, p))
      return layer_is_transposed(n);
  }
  return -1;
}

/* Does one value a channel lie in it? */
static bool is_vector(const Type *t) {
  int wide = 0;
  for (int i = 0; i < t->rank; i++) wide += t->dim[i] != 1;
  return wide <= 1;
}

static bool is_product(const Node *n) {
  return layer_weight(n) || is_turned(n);
}

/* Has every use of p, a vector, a channel at zero where it is zero there? */
static bool gives_zero(const Coupled *c, const Node *p) {
  for (size_t i = 0; i < c->f->nodes.n; i++) {
    const Node *n = c->f->nodes.at[i];
    for (int k = 0; k < n->nin; k++) {
      if (n->in[k] != p) continue;
      bool norm = n->op == OP_BATCH_NORM || n->op == OP_SCALE_SHIFT;
      bool sum = n->op == OP_ADD || n->op == OP_SUB || n->op == OP_MUL;
      if (norm ? k > 2 : !sum && !is_product(n)) return false;
    }
  }
  return true;
}

/* Do groups of a convolution have rows of p, as depthwise filters do? */
static bool in_groups(const Coupled *c, const Param *p) {
  for (size_t i = 0; i < c->f->nodes.n; i++) {
    const Node *n = c->f->nodes.at[i];
    if (layer_uses(n, p) && n->op != OP_LINEAR && n->op != OP_MATMUL)
      return attr_int(n, "groups") > 1;
  }
  return false;
}

/* ---- units ----------------------------------------------------------- */

static const char *text_of(PruneStep *s, const Held *h) {
  Text t = {0};
  held_print(&t, h);
  const char *all = arena_strdup(s->arena, t.s);
  text_free(&t);
  return all;
}

static Unit *unit_at(Coupled *c, uint32_t root) {
  return c->unit[root] ? &c->units.at[c->unit[root] - 1] : NULL;
}

/* A unit for each group that has a channel of w. */
static void units_open(Coupled *c, PruneWeight *w) {
  const Node *p = func_param_node(c->f, w->p);
  int axis = p ? row_axis(c, w->p) : -1;
  if (axis < 0) return;
  for (int64_t i = 0; i < p->type.dim[axis]; i++) {
    uint32_t root = cell_root(c->cells, cell_at(c->cells, p, axis, i));
    const Held *h = c->cells->held[root];
    if (h && !w->why) w->why = text_of(c->s, h);
    if (h || c->unit[root]) continue;
    vec_push(c->s->arena, &c->units, (Unit){.cell = root});
    c->unit[root] = (int64_t)c->units.n;
  }
}

/* Index i of an axis as a rectangle of the param's matrix; false: it is
 * none. */
static bool slab_cut(PruneWeight *w, int axis, int64_t i, Slab *out) {
  const Type *t = &w->p->type;
  int64_t between = 1, inner = 1;
  for (int k = 1; k < axis; k++) between *= t->dim[k];
  for (int k = axis + 1; k < t->rank; k++) inner *= t->dim[k];
  bool turned = w->rows != t->dim[0] ||
                (w->row_step == 1 && w->col_step != 1);
  *out = (Slab){.w = w, .first = i * inner};
  if (axis == 0) {
    out->rows = turned ? w->rows : 1;
    out->cols = turned ? 1 : w->cols;
    return true;
  }
  out->rows = turned ? 1 : w->rows;
  out->cols = turned ? w->cols : inner;
  return between == 1;
}

static const char *not_selected(Coupled *c, const PruneWeight *w) {
  return arena_printf(c->s->arena, "they are also those of %s, which is not "
                      "selected", w->p->path);
}

/* Of a student: rows are scored; all else that has the channel goes with it,
 * rows of another layer excepted. */
static void slab_of_student(Coupled *c, Unit *u, const Node *p, int axis,
                            int64_t i) {
  Slab slab;
  if (axis != row_axis(c, p->param)) return;
  PruneWeight *w = prune_weight(c->s, p->param);
  if (w->selected && slab_cut(w, axis, i, &slab))
    vec_push(c->s->arena, &u->slabs, slab);
  else if (!in_groups(c, p->param)) u->why = not_selected(c, w);
}

static void slab_add(Coupled *c, Unit *u, const Node *p, int axis,
                     int64_t i) {
  PruneStep *s = c->s;
  bool vector = is_vector(&p->type);
  bool column = c->summed[p->id * MAX_RANK + (size_t)axis];
  if (vector && !column && !gives_zero(c, p)) return;
  PruneWeight *w = prune_weight(s, p->param);
  Slab slab;
  if (!w->old || !slab_cut(w, axis, i, &slab)) {
    u->why = arena_printf(s->arena, "%s has them too", w->p->path);
    return;
  }
  bool own = w->selected && axis == row_axis(c, w->p);
  slab.follows = column || !own;
  slab.reads = column;
  vec_push(s->arena, &u->slabs, slab);
  if (slab.follows && !vector && !column && !in_groups(c, w->p))
    u->why = not_selected(c, w);
}

static void units_fill(Coupled *c) {
  for (size_t k = 0; k < c->f->nodes.n; k++) {
    const Node *p = c->f->nodes.at[k];
    if (p->op != OP_PARAM) continue;
    for (int axis = 0; axis < p->type.rank; axis++)
      for (int64_t i = 0; i < p->type.dim[axis]; i++) {
        Unit *u = unit_at(c, cell_root(c->cells,
                                       cell_at(c->cells, p, axis, i)));
        if (!u || u->why) continue;
        if (c->s->student) slab_of_student(c, u, p, axis, i);
        else slab_add(c, u, p, axis, i);
      }
  }
}

/* Of an axis that would be empty without it, a unit stays: q, k and v of one
 * weight, which is then cut into three. */
static void units_keep(Coupled *c) {
  for (size_t k = 0; k < c->f->nodes.n; k++) {
    const Node *n = c->f->nodes.at[k];
    for (int axis = 0; axis < n->type.rank; axis++) {
      int64_t size = n->type.dim[axis], i = 1;
      if (size == 0) continue;
      uint32_t root = cell_root(c->cells, cell_at(c->cells, n, axis, 0));
      while (i < size && cell_root(c->cells, cell_at(c->cells, n, axis, i)) ==
                           root)
        i++;
      Unit *u = i == size ? unit_at(c, root) : NULL;
      if (u && !u->why) u->why = "they are all that there is";
    }
  }
}

/* ---- groups ---------------------------------------------------------- */

/* Units that have rows of one weight belong to one group; so do those that
 * a third one joins. */
static void units_join(Coupled *c) {
  bool changed = true;
  for (size_t i = 0; i < c->units.n; i++) c->units.at[i].component = i + 1;
  while (changed) {
    changed = false;
    for (size_t i = 0; i < c->units.n; i++) {
      Unit *u = &c->units.at[i];
      for (size_t k = 0; !u->why && k < u->slabs.n; k++) {
        PruneWeight *w = u->slabs.at[k].w;
        if (u->slabs.at[k].follows || w->component == u->component) continue;
        changed = true;
        if (!w->component || u->component < w->component)
          w->component = u->component;
        else u->component = w->component;
      }
    }
  }
}

/* The part of g that has unit k's slab: the first that is alike and has none
 * of it yet. */
static int64_t *part_of(PruneStep *s, Group *g, const Slab *b, int64_t k) {
  for (size_t i = 0; i < g->parts.n; i++) {
    const Part *p = &g->parts.at[i];
    if (p->w == b->w && p->rows == b->rows && p->cols == b->cols &&
        p->follows == b->follows && p->reads == b->reads &&
        p->first[k] < 0)
      return (int64_t *)p->first;
  }
  int64_t *first = arena_array(s->arena, int64_t, (size_t)g->units + 1);
  for (int64_t i = 0; i < g->units; i++) first[i] = -1;
  vec_push(s->arena, &g->parts,
           ((Part){.w = b->w, .rows = b->rows, .cols = b->cols,
                   .across = 1, .first = first, .follows = b->follows,
                   .reads = b->reads}));
  return first;
}

/* Scored parts come first. */
static void parts_add(PruneStep *s, Group *g, const Unit *u, int64_t k,
                      bool follow) {
  for (size_t i = 0; i < u->slabs.n; i++) {
    const Slab *b = &u->slabs.at[i];
    if (b->follows != follow) continue;
    part_of(s, g, b, k)[k] = b->first;
    if (!follow) b->w->going++;
  }
}

static void group_add(Coupled *c, size_t first) {
  Group g = {0};
  Vec(const Unit *) units = {0};
  for (size_t i = first; i < c->units.n; i++)
    if (!c->units.at[i].why && c->units.at[i].component == first + 1)
      vec_push(c->s->arena, &units, &c->units.at[i]);
  g.units = (int64_t)units.n;
  g.cells = c->cells;
  g.cell = arena_array(c->s->arena, uint32_t, units.n + 1);
  for (size_t i = 0; i < units.n; i++) g.cell[i] = units.at[i]->cell;
  for (int follow = 0; follow < 2; follow++)
    for (size_t i = 0; i < units.n; i++)
      parts_add(c->s, &g, units.at[i], (int64_t)i, follow);
  g.path = g.parts.at[0].w->p->path;
  vec_push(c->s->arena, &c->s->groups, g);
}

/* Why channels of a weight stay that are in no unit. */
static void keep_why(Coupled *c, PruneWeight *w) {
  const Node *p = func_param_node(c->f, w->p);
  int axis = p ? row_axis(c, w->p) : -1;
  if (axis >= 0) w->channels = p->type.dim[axis];
  for (int64_t i = 0; axis >= 0 && i < p->type.dim[axis]; i++) {
    const Unit *u = unit_at(c, cell_root(c->cells,
                                         cell_at(c->cells, p, axis, i)));
    if (u && u->why && !w->why) w->why = u->why;
  }
}

static void func_units(PruneStep *s, Func *f) {
  Coupled c = {.s = s, .f = f};
  func_tidy(s->c->m, f);
  c.cells = s->student ? cells_of_student(s->arena, s->c->m, f)
                       : cells_new(s->arena, s->c->m, f);
  if (!c.cells) return;
  c.unit = arena_array(s->arena, int64_t, (size_t)c.cells->n + 1);
  find_summed(&c);
  for (size_t i = 0; i < s->nselected; i++)
    units_open(&c, s->weights.at[i]);
  if (s->student) units_keep(&c);
  units_fill(&c);
  units_join(&c);
  for (size_t i = 0; i < c.units.n; i++)
    if (!c.units.at[i].why && c.units.at[i].component == i + 1)
      group_add(&c, i);
  for (size_t i = 0; i < s->nselected; i++) keep_why(&c, s->weights.at[i]);
}

/* ---- what cannot go -------------------------------------------------- */

static const char *why_of(const PruneWeight *w) {
  return w->why ? w->why : "what has them is not known";
}

bool coupled_groups(PruneStep *s) {
  const Module *m = s->c->m;
  for (size_t i = 0; i < m->funcs.n; i++) func_units(s, m->funcs.at[i]);
  if (s->groups.n || s->nselected == 0) return true;
  for (size_t i = 0; i < s->nselected; i++)
    diag_error(s->c->d, EXIT_MODEL, s->s->span,
               "%s: channels of %s cannot go: %s%s",
               s->student ? "student" : "prune: pattern channel",
               s->weights.at[i]->p->path, why_of(s->weights.at[i]),
               s->student ? "" : "; coupled=false makes zeros of their rows");
  return false;
}

void coupled_warn(const PruneStep *s) {
  for (size_t i = 0; i < s->nselected; i++) {
    const PruneWeight *w = s->weights.at[i];
    if (w->going >= w->channels) continue;
    diag_warning(s->c->d, s->s->span,
                 "%s: %lld of %lld channels of %s stay: %s", s->s->verb,
                 (long long)(w->channels - w->going), (long long)w->channels,
                 w->p->path, why_of(w));
  }
}
