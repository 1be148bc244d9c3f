/* slice.c - channels that give nothing are taken out of all that has them.
 *
 * requires   canonical forms; constants are folded
 * preserves  values up to rounding, where what is computed is finite; inputs,
 *            outputs and states with their shapes; at least one channel of
 *            each axis.  Nothing is done with trainable params, nor with
 *            --sparsity=off, which asks for zeros as dense weights
 * before     a = conv2d(x, a.w, b=a.b) as a;   (row 1 of a.w is zero)
 *            y = conv2d(relu(a), b.w) as b;
 * after      the same, where a.w is f32[3,..], a.b f32[3] and b.w f32[..,3,..]
 *            of 4 channels; what relu(a.b[1]) gave is in the bias of b
 * source     coupling groups (couple.c); a group stays where an output that
 *            stays reads it, and it is neither 0 nor a constant that goes to
 *            a bias: found from the outputs backwards, so that what only dead
 *            channels read is dead too
 *
 * A constant that is not 0 stays where a window also reaches padding, and a
 * weight in blocks of rows or N of 4 columns loses whole ones alone. */
#include <math.h>

#include "passes/slice.h"

/* ---- what stays ------------------------------------------------------ */

bool slice_keep(Slice *s, uint32_t root, const Node *by,
                const char *what) {
  if (s->live[root]) return false;
  Held *h = arena_new_of(s->c->scratch, Held);
  *h = (Held){by, what};
  s->live[root] = true;
  s->why[root] = h;
  return true;
}

/* What keeps channel i that n sums over, or NULL. */
static const char *wanted(Slice *s, const Cross *x, const PlainWeight *w,
                          int64_t i) {
  double v[2];
  for (int k = 0; k < 2; k++)
    v[k] = s->value[cell_at(s->cells, x->n->in[x->k[k]], x->axis[k], i)];
  if (v[0] == 0 || v[1] == 0) return NULL;
  if (!w) return "reads them";
  if (!slice_reads(s, x->n, w, i)) return NULL;
  if (isnan(v[0])) return "reads them";
  return slice_folds(s->c->m, x->n) ? NULL
         : "reads a constant of them that is not 0, beside padding or without "
           "a bias of its own";
}

static bool cross_keep(Slice *s, const Cross *x) {
  const Node *a = x->n->in[x->k[0]];
  bool changed = false;
  PlainWeight w;
  const PlainWeight *known = slice_matrix(s->c->m, x->n, &w) ? &w : NULL;
  int64_t at = cell_at(s->cells, a, x->axis[0], 0);
  for (int64_t i = 0; i < a->type.dim[x->axis[0]]; i++) {
    uint32_t root = cell_root(s->cells, at + i);
    if (s->live[root]) continue;
    const char *what = wanted(s, x, known, i);
    if (what) changed |= slice_keep(s, root, x->n, what);
  }
  return changed;
}

/* Each axis keeps a channel. */
static bool axes_keep(Slice *s) {
  bool changed = false;
  for (size_t i = 0; i < s->f->nodes.n; i++) {
    const Node *n = s->f->nodes.at[i];
    for (int k = 0; k < n->type.rank; k++) {
      int64_t at = cell_at(s->cells, n, k, 0), j = 0, size = n->type.dim[k];
      while (j < size && !s->live[cell_root(s->cells, at + j)]) j++;
      if (size > 0 && j == size)
        changed |= slice_keep(s, cell_root(s->cells, at), NULL,
                              "one channel of a layer stays");
    }
  }
  return changed;
}

static void find_live(Slice *s) {
  Cells *cells = s->cells;
  s->live = arena_array(s->c->scratch, bool, (size_t)cells->n + 1);
  s->why = arena_array(s->c->scratch, const Held *, (size_t)cells->n + 1);
  for (int64_t i = 0; i < cells->n; i++) {
    uint32_t root = cell_root(cells, i);
    if (!cells->held[root]) continue;
    s->live[root] = true;
    s->why[root] = cells->held[root];
  }
  bool changed = true;
  while (changed) {
    changed = false;
    for (size_t i = cells->cross.n; i-- > 0;)
      changed |= cross_keep(s, &cells->cross.at[i]);
    if (!changed) changed = slice_keep_blocks(s);
  }
  while (axes_keep(s)) {}
}

/* ---- rounds ---------------------------------------------------------- */

static bool any_dead(Slice *s) {
  for (int64_t i = 0; i < s->cells->n; i++)
    if (!s->live[cell_root(s->cells, i)]) return true;
  return false;
}

/* One round; whether there may be more to do.  What is folded into biases
 * leaves columns of zeros, which the next round takes out. */
static bool slice_round(PassCtx *c, Func *f) {
  PassCtx own = *c;
  own.scratch = arena_new();
  func_tidy(c->m, f);
  Slice s = {.c = &own, .f = f};
  s.cells = cells_new(own.scratch, c->m, f);
  bool more = false;
  if (s.cells) {
    slice_values(&s);
    find_live(&s);
    more = slice_fold(&s);
    if (!more && any_dead(&s)) {
      slice_write(&s);
      more = true;
    }
    if (!more) slice_notes(&s);
  }
  arena_free(own.scratch);
  return more;
}

static bool may_slice(const PassCtx *c) {
  if (c->sparsity_off) return false;
  for (size_t i = 0; i < c->m->params.n; i++)
    if (c->m->params.at[i]->trainable) return false;
  return true;
}

bool pass_slice(PassCtx *c) {
  for (size_t i = 0; may_slice(c) && i < c->m->funcs.n; i++)
    while (slice_round(c, c->m->funcs.at[i])) {}
  cse_params(c);
  return true;
}
