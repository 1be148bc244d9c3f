/* slice_fold.c - channels of x that are a constant go into the bias of the
 * convolution or linear layer that reads them.
 *
 * before     y = linear(x, w);   (x[.., 2] is 0.5 at every call)
 * after      y = linear(x, w, b=w.bias);   (column 2 of w is zero, and
 *            w.bias has 0.5 times what it was) */
#include <math.h>
#include <string.h>

#include "passes/slice.h"

/* Have all sums the same terms, whatever the place? */
bool slice_folds(Module *m, const Node *n) {
  const Node *b = node_in(n, 2);
  int count;
  if (b && !node_is_const(m, b)) return false;
  if (n->op == OP_LINEAR) return true;
  if (n->op != OP_CONV2D) return false;
  if (node_pad_is_free(n)) return false;
  const int64_t *pad = attr_ints(n, "pad", &count);
  for (int i = 0; i < count; i++)
    if (pad[i]) return false;
  return true;
}

bool slice_reads(const Slice *s, const Node *n, const PlainWeight *w,
                 int64_t i) {
  int64_t at = cell_at(s->cells, n, w->y_axis, 0);
  for (int64_t o = 0; o < w->outs; o++) {
    if (!s->live[cell_root(s->cells, at + o)]) continue;
    for (int64_t t = 0; t < w->taps; t++)
      if (w->w[o * w->out + i * w->in + t] != 0) return true;
  }
  return false;
}

/* Column i of w, times v, goes to the bias. */
static void column_fold(const PlainWeight *w, int64_t i, double v, float *to,
                        double *bias) {
  for (int64_t o = 0; o < w->outs; o++)
    for (int64_t t = 0; t < w->taps; t++) {
      int64_t at = o * w->out + i * w->in + t;
      bias[o] += v * to[at];
      to[at] = 0;
    }
}

static void product_write(Slice *s, Node *n, Buffer *w, const double *bias,
                          int64_t outs) {
  Module *m = s->c->m;
  Node *old_w = n->in[1], *old_b = node_in(n, 2), *b;
  Buffer *to = buffer_new(checked_mul((size_t)outs, sizeof(float)));
  Type t = type_make(F32, 1, &outs);
  float *v = (float *)(void *)to->data;
  for (int64_t o = 0; o < outs; o++) v[o] = (float)bias[o];
  n->in[1] = func_derive(m, s->f, old_w, false, old_w->type, w);
  if (old_b) b = func_derive(m, s->f, old_b, false, t, to);
  else
    b = func_values(m, s->f, path_beside(m, old_w->param->path, "bias"), t,
                    to);
  node_set_in(m, n, 2, b);
}

static bool product_fold(Slice *s, Node *n, const PlainWeight *w) {
  const Node *x = n->in[0];
  int axis = n->op == OP_LINEAR ? x->type.rank - 1 : 1;
  int64_t at = cell_at(s->cells, x, axis, 0);
  const float *b = node_in(n, 2) ? node_values(s->c->m, n->in[2]) : NULL;
  double *bias = arena_array(s->c->scratch, double, (size_t)w->outs + 1);
  Buffer *to = NULL;
  for (int64_t o = 0; b && o < w->outs; o++) bias[o] = (double)b[o];
  for (int64_t i = 0; i < w->ins; i++) {
    double v = s->value[at + i];
    if (v == 0 || isnan(v) || s->live[cell_root(s->cells, at + i)] ||
        !slice_reads(s, n, w, i))
      continue;
    if (!to) {
      size_t bytes = (size_t)type_bytes(&n->in[1]->type);
      to = buffer_new(bytes);
      memcpy(to->data, w->w, bytes);
    }
    column_fold(w, i, v, (float *)(void *)to->data, bias);
  }
  if (to) product_write(s, n, to, bias, w->outs);
  return to != NULL;
}

bool slice_fold(Slice *s) {
  bool any = false;
  for (size_t i = 0; i < s->cells->cross.n; i++) {
    Node *n = s->cells->cross.at[i].n;
    PlainWeight w;
    if (slice_folds(s->c->m, n) && slice_matrix(s->c->m, n, &w))
      any |= product_fold(s, n, &w);
  }
  return any;
}
