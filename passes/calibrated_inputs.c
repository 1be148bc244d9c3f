/* calibrated_inputs.c - which layers use a weight, and rows of it that read
 * the same columns. */
#include <string.h>

#include "passes/calibrated.h"
#include "passes/prune.h"

int64_t layer_groups(const Node *n) {
  return n->op == OP_LINEAR || n->op == OP_MATMUL ? 1 : attr_int(n, "groups");
}

/* ---- uses ------------------------------------------------------------ */

static bool whole_rows(const Node *slice) {
  int64_t axis = attr_int(slice, "axis");
  return (axis == 0 || axis == -slice->in[0]->type.rank) &&
         attr_int(slice, "step") == 1;
}

/* Is operand x the param, through masks and slices?  Then *first has the row
 * of the param that is its first, unless it lacks columns (-1). */
static bool leads_to(const Node *x, const Param *p, int64_t *first) {
  *first = 0;
  for (; x && (x->op == OP_MASK || x->op == OP_SLICE); x = x->in[0]) {
    if (x->op == OP_MASK || *first < 0) continue;
    int64_t start = attr_int(x, "start");
    if (start < 0) start += x->in[0]->type.dim[0];
    *first = whole_rows(x) ? *first + start : -1;
  }
  return x && x->op == OP_PARAM && strcmp(x->param->path, p->path) == 0;
}

static bool use_add(Arena *a, Node *n, const Param *p, bool model,
                    InputUses *out, Text *why) {
  int64_t first;
  Node *w = layer_weight(n);
  if (!w || !leads_to(w, p, &first)) return true;
  if (!model)
    text_printf(why, "the layer %s lies in a function that is called: "
                "expected layers of the model itself",
                n->path ? n->path : p->path);
  else if (first < 0)
    text_printf(why, "the layer %s has some columns of it: expected whole "
                "rows", n->path ? n->path : p->path);
  if (!model || first < 0) return false;
  bool transposed = layer_is_transposed(n);
  InputUse u = {n, first, w->type.dim[transposed], transposed};
  vec_push(a, out, u);
  if (transposed == out->at[0].transposed) return true;
  text_printf(why, "layers use its rows and its columns: expected the one "
              "or the other");
  return false;
}

bool input_uses(Arena *a, const Module *m, const Param *p, InputUses *out,
                Text *why) {
  for (size_t k = 0; k < m->funcs.n; k++) {
    const Func *f = m->funcs.at[k];
    for (size_t i = 0; i < f->nodes.n; i++)
      if (!use_add(a, f->nodes.at[i], p, k == 0, out, why)) return false;
  }
  if (out->n) return true;
  text_puts(why, "no layer uses it");
  return false;
}

/* ---- the matrix ------------------------------------------------------ */

Matrix matrix_of_weight(const WeightStats *w) {
  const Type *t = &w->param->type;
  int64_t rows = t->rank ? t->dim[w->transposed] : 1;
  return (Matrix){NULL, rows, rows ? type_elems(t) / rows : 0};
}

Buffer *transposed_values(const float *v, int64_t rows, int64_t cols) {
  size_t n = checked_mul((size_t)rows, (size_t)cols);
  Buffer *b = buffer_new(checked_mul(n, sizeof *v));
  float *to = (float *)(void *)b->data;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++) to[c * rows + r] = v[r * cols + c];
  return b;
}

Buffer *matrix_values(Module *m, const WeightStats *w, Matrix *out) {
  const float *v = param_values(m, w->param);
  *out = matrix_of_weight(w);
  Buffer *b;
  if (w->transposed) {
    b = transposed_values(v, out->cols, out->rows);
  } else {
    size_t n = (size_t)(out->rows * out->cols);
    b = buffer_new(checked_mul(n, sizeof *v));
    if (n) memcpy(b->data, v, n * sizeof *v);
  }
  out->v = (float *)(void *)b->data;
  return b;
}

/* ---- rows ------------------------------------------------------------ */

static bool rows_add(Arena *a, WeightStats *w, int64_t lo, int64_t hi,
                     int64_t cols, Text *why) {
  for (size_t i = 0; i < w->inputs.n; i++) {
    const InputStats *x = &w->inputs.at[i];
    if (x->lo == lo && x->hi == hi) return true;
    if (lo >= x->hi || hi <= x->lo) continue;
    text_printf(why, "layers use rows %lld to %lld and rows %lld to %lld: "
                "expected the same rows or others", (long long)x->lo,
                (long long)x->hi - 1, (long long)lo, (long long)hi - 1);
    return false;
  }
  InputStats s = {.lo = lo, .hi = hi, .cols = cols};
  vec_push(a, &w->inputs, s);
  return true;
}

bool weight_stats(Arena *a, const Module *m, Param *p, WeightStats *out,
                  Text *why) {
  InputUses uses = {0};
  *out = (WeightStats){.param = p};
  if (!input_uses(a, m, p, &uses, why)) return false;
  out->transposed = uses.at[0].transposed;
  int64_t cols = matrix_of_weight(out).cols;
  for (size_t i = 0; i < uses.n; i++) {
    int64_t groups = layer_groups(uses.at[i].layer);
    int64_t each = uses.at[i].rows / groups, lo = uses.at[i].first;
    for (int64_t g = 0; g < groups; g++, lo += each)
      if (!rows_add(a, out, lo, lo + each, cols, why)) return false;
  }
  return true;
}
