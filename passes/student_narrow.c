/* student_narrow.c - layers with fewer channels: method narrow of the recipe's
 * verb `student`.
 *
 * requires   weights with values
 * preserves  inputs and outputs with their shapes; the weights that stay, as
 *            they were.  A mean or norm over channels goes over fewer
 * before     h = conv2d(x, a.weight) as a;  y = conv2d(relu(h), b.weight) as b;
 * after      the same, with those outputs of a, and inputs of b, whose rows of
 *            a.weight have the largest sums of absolute values
 * source     groups of channels: coupled.c; the choice: Li et al., 2017 */
#include <math.h>
#include <stdlib.h>

#include "passes/prune.h"
#include "passes/slice.h"
#include "passes/student.h"

static bool narrow_open(PruneStep *p, PassCtx *c, const RecipeStep *s,
                        const StudentArgs *a) {
  *p = (PruneStep){.arena = arena_new(), .c = c, .s = s, .student = true};
  p->a = (PruneArgs){.pattern = {.kind = PATTERN_CHANNEL}, .whole = true,
                     .method = criterion_find(a->criterion),
                     .seed = a->seed};
  if (a->width == 0)
    return diag_error(c->d, EXIT_MODEL, s->span, "student: method=narrow: "
                      "expected width=, found none");
  return prune_select(p) && prune_groups(p);
}

bool check_narrow(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  PruneStep p;
  bool ok = narrow_open(&p, c, s, a);
  arena_free(p.arena);
  return ok;
}

/* ---- which channels go ----------------------------------------------- */

typedef struct Ranked { float score; int64_t unit; } Ranked;

static int ranked_compare(const void *a, const void *b) {
  const Ranked *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? 1 : -1;
  return x->unit < y->unit ? -1 : 1;
}

/* All but the share `width` of a group, one at least; of those of one score
 * the last. */
static void group_narrow(PruneStep *p, const Group *g, double width,
                         bool *live) {
  Ranked *r = arena_array(p->arena, Ranked, (size_t)g->units + 1);
  int64_t kept = llround(width * (double)g->units);
  if (kept < 1) kept = 1;
  for (int64_t k = 0; k < g->units; k++) r[k] = (Ranked){g->score[k], k};
  qsort(r, (size_t)g->units, sizeof *r, ranked_compare);
  for (int64_t k = kept; k < g->units; k++) live[g->cell[r[k].unit]] = false;
  verb_note(p->c, p->s, g->path, "%lld of %lld channels stay",
            (long long)kept, (long long)g->units);
}

/* The unit of a group that a cell is of, with its score; false: none is. */
static bool unit_of(const PruneStep *p, uint32_t cell, float *score) {
  for (size_t i = 0; i < p->groups.n; i++)
    for (int64_t k = 0; k < p->groups.at[i].units; k++)
      if (p->groups.at[i].cell[k] == cell) {
        *score = p->groups.at[i].score[k];
        return true;
      }
  return false;
}

/* Of an axis that would be empty the best unit stays. */
static void axis_keep(const PruneStep *p, Slice *s, const Node *n, int axis) {
  int64_t at = cell_at(s->cells, n, axis, 0), best = -1;
  float most = 0, score;
  for (int64_t i = 0; i < n->type.dim[axis]; i++)
    if (s->live[cell_root(s->cells, at + i)]) return;
  for (int64_t i = 0; i < n->type.dim[axis]; i++) {
    uint32_t root = cell_root(s->cells, at + i);
    if (!unit_of(p, root, &score) || (best >= 0 && score <= most)) continue;
    best = root;
    most = score;
  }
  if (best >= 0) s->live[best] = true;
}

static void axes_keep(const PruneStep *p, Slice *s) {
  for (size_t i = 0; i < s->f->nodes.n; i++)
    for (int k = 0; k < s->f->nodes.at[i]->type.rank; k++)
      axis_keep(p, s, s->f->nodes.at[i], k);
}

/* ---- all ------------------------------------------------------------- */

/* Groups of one function, from number `first` on; the next one's first. */
static size_t func_narrow(PruneStep *p, double width, size_t first) {
  Cells *cells = p->groups.at[first].cells;
  Slice s = {.c = p->c, .f = cells->f, .cells = cells};
  size_t i = first;
  s.live = arena_array(p->arena, bool, (size_t)cells->n + 1);
  for (int64_t k = 0; k < cells->n; k++) s.live[k] = true;
  for (; i < p->groups.n && p->groups.at[i].cells == cells; i++)
    group_narrow(p, &p->groups.at[i], width, s.live);
  axes_keep(p, &s);
  slice_write(&s);
  return i;
}

bool student_narrow(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  PruneStep p;
  bool ok = narrow_open(&p, c, s, a);
  if (ok) {
    coupled_warn(&p);
    prune_scores(&p);
    for (size_t i = 0; i < p.groups.n;) i = func_narrow(&p, a->width, i);
  }
  arena_free(p.arena);
  return ok;
}
