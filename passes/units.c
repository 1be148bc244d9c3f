/* units.c - how a pattern cuts weights into the units that `prune` drops.
 *
 * before     prune c with pattern=row of c.weight [2, 3]
 * after      a group of 2 units, each 1 row by 3 columns */
#include "passes/prune.h"

/* ---- weights --------------------------------------------------------- */

/* Is p a second factor of products, and nothing but that? */
static bool is_transposed(const Module *m, const Param *p) {
  bool any = false;
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++) {
      const Node *n = f->nodes.at[k];
      if (!layer_uses(n, p)) continue;
      if (!layer_is_transposed(n)) return false;
      any = true;
    }
  }
  return any;
}

PruneWeight *prune_weight(PruneStep *s, Param *p) {
  for (size_t i = 0; i < s->weights.n; i++)
    if (s->weights.at[i]->p == p) return s->weights.at[i];
  PruneWeight *w = arena_new_of(s->arena, PruneWeight);
  int64_t all = type_elems(&p->type);
  w->p = p;
  w->rows = p->type.rank ? p->type.dim[0] : 1;
  w->cols = w->rows ? all / w->rows : 0;
  w->row_step = w->cols;
  w->col_step = 1;
  if (is_transposed(s->c->m, p)) {
    w->rows = w->cols;
    w->cols = p->type.dim[0];
    w->row_step = 1;
    w->col_step = w->rows;
  }
  w->old = param_values(s->c->m, p);
  vec_push(s->arena, &s->weights, w);
  return w;
}

/* ---- units ----------------------------------------------------------- */

int64_t part_offset(const Part *p, int64_t k) {
  if (p->first) return p->first[k];
  int64_t row = p->row + k / p->across * p->rows;
  int64_t col = p->col + k % p->across * p->cols;
  return row * p->w->row_step + col * p->w->col_step;
}

int64_t unit_values(const Group *g, int64_t k) {
  int64_t n = 0;
  for (size_t i = 0; i < g->parts.n; i++)
    if (!g->parts.at[i].follows && part_offset(&g->parts.at[i], k) >= 0)
      n += g->parts.at[i].rows * g->parts.at[i].cols;
  return n;
}

bool units_differ(const Pattern *p) {
  return p->kind != PATTERN_UNSTRUCTURED && p->kind != PATTERN_BLOCK &&
         p->kind != PATTERN_NM;
}

void unit_clear(const Group *g, int64_t k) {
  for (size_t i = 0; i < g->parts.n; i++) {
    const Part *p = &g->parts.at[i];
    int64_t first = part_offset(p, k);
    float *at = p->w->v + (first < 0 ? 0 : first);
    for (int64_t r = 0; first >= 0 && r < p->rows; r++)
      for (int64_t c = 0; c < p->cols; c++)
        at[r * p->w->row_step + c * p->w->col_step] = 0;
  }
}

/* ---- patterns -------------------------------------------------------- */

/* Rows and columns of a unit of w. */
static void unit_size(const Pattern *t, const PruneWeight *w, int64_t *r,
                      int64_t *c) {
  *r = *c = 1;
  if (t->kind == PATTERN_BLOCK) *r = t->a, *c = t->b;
  if (t->kind == PATTERN_COLUMN) *r = w->rows;
  if (t->kind == PATTERN_ROW || t->kind == PATTERN_CHANNEL) *c = w->cols;
}

static bool weight_divides(PruneStep *s, const PruneWeight *w) {
  const Pattern *t = &s->a.pattern;
  int64_t r, c;
  unit_size(t, w, &r, &c);
  if (t->kind == PATTERN_NM) c = t->b;
  if (w->rows == 0 || w->cols == 0 ||
      (w->rows % r == 0 && w->cols % c == 0))
    return true;
  Text name = {0};
  pattern_print(&name, t);
  diag_error(s->c->d, EXIT_MODEL, s->s->span,
             "prune: pattern %s does not divide %s: expected a multiple of "
             "%lldx%lld, found %lldx%lld", name.s, w->p->path, (long long)r,
             (long long)c, (long long)w->rows, (long long)w->cols);
  text_free(&name);
  return false;
}

static void weight_cut(PruneStep *s, PruneWeight *w) {
  Group g = {.path = w->p->path};
  Part p = {.w = w};
  unit_size(&s->a.pattern, w, &p.rows, &p.cols);
  p.across = p.cols ? w->cols / p.cols : 0;
  if (w->rows && w->cols) g.units = w->rows / p.rows * p.across;
  vec_push(s->arena, &g.parts, p);
  if (s->a.pattern.kind == PATTERN_CHANNEL) channel_follow(s, &g);
  vec_push(s->arena, &s->groups, g);
}

bool prune_groups(PruneStep *s) {
  bool ok = true;
  if (s->a.pattern.kind == PATTERN_HEAD) return head_groups(s);
  if (s->a.whole) return coupled_groups(s);
  for (size_t i = 0; i < s->nselected; i++)
    ok &= weight_divides(s, s->weights.at[i]);
  for (size_t i = 0; ok && i < s->nselected; i++)
    weight_cut(s, s->weights.at[i]);
  return ok;
}
