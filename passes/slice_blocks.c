/* slice_blocks.c - weights that were pruned in blocks of rows or in N of 4
 * columns keep what is left in these: kernels gain more by them than by a few
 * channels.
 *
 * before     rows 0 to 3 of w are blocks of 4x1; row 2 is not read
 * after      the same */
#include "passes/slice.h"

/* A sparse format pays only where most values of what stays are zero. */
static bool is_sparse(const Slice *s, const PlainWeight *w) {
  int64_t rows = cell_at(s->cells, w->weight, w->out_axis, 0);
  int64_t columns = cell_at(s->cells, w->weight, !w->out_axis, 0);
  int64_t all = 0, count = 0;
  for (int64_t o = 0; o < w->outs; o++) {
    if (!s->live[cell_root(s->cells, rows + o)]) continue;
    for (int64_t i = 0; i < w->ins; i++) {
      if (!s->live[cell_root(s->cells, columns + i)]) continue;
      const float *at = w->w + o * w->out + i * w->in;
      for (int64_t t = 0; t < w->taps; t++) count += at[t] != 0;
      all += w->taps;
    }
  }
  return count <= all / 2;
}

/* Have each h rows their zeros in common? */
static bool in_blocks(const PlainWeight *w, int64_t h) {
  if (w->outs % h) return false;
  for (int64_t o = 0; o < w->outs; o++)
    for (int64_t i = 0; o % h && i < w->out; i++)
      if ((w->w[o * w->out + i] == 0) !=
          (w->w[(o - o % h) * w->out + i] == 0))
        return false;
  return true;
}

static int64_t block_height(const PlainWeight *w) {
  for (int64_t h = 16; h > 1; h /= 2)
    if (in_blocks(w, h)) return h;
  return 1;
}

static bool in_runs(const PlainWeight *w) {
  return w->taps == 1 && w->out == w->ins && w->ins % RUN_COLUMNS == 0 &&
         runs_most(w->w, w->outs * w->ins) <= RUN_COLUMNS / 2;
}

/* Where one of `each` neighbours along an axis stays, all do. */
static bool keep_together(Slice *s, const Node *n, int axis, int64_t each,
                          const char *what) {
  bool changed = false;
  int64_t at = cell_at(s->cells, n, axis, 0);
  for (int64_t i = 0; i < n->type.dim[axis]; i += each) {
    bool any = false;
    for (int64_t k = i; k < i + each; k++)
      any |= s->live[cell_root(s->cells, at + k)];
    for (int64_t k = i; any && k < i + each; k++)
      changed |= slice_keep(s, cell_root(s->cells, at + k), n, what);
  }
  return changed;
}

bool slice_keep_blocks(Slice *s) {
  bool changed = false;
  for (size_t i = 0; i < s->cells->cross.n; i++) {
    const Node *n = s->cells->cross.at[i].n;
    PlainWeight w;
    if (n->op == OP_CONV2D_TRANSPOSE || !slice_matrix(s->c->m, n, &w) ||
        !is_sparse(s, &w))
      continue;
    int64_t h = block_height(&w);
    if (h > 1)
      changed |= keep_together(s, w.weight, 0, h, "has rows in blocks");
    if (in_runs(&w))
      changed |= keep_together(s, w.weight, 1, RUN_COLUMNS,
                               "has columns in runs of 4");
  }
  return changed;
}
