/* eval_index.c - reference evaluation of ops that count, order and look up
 * elements, and of what is made of their numbers alone. */
#include "ir/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements along one axis: `outer` times `inner` lines of n elements that
 * are `inner` apart. */
typedef struct Lines { int64_t outer, n, inner; } Lines;

static Lines lines_of(const EvalCtx *c, const Type *t) {
  int axis = eval_axis(attr_int(c->n, "axis"), t->rank);
  Lines l = {1, t->dim[axis], 1};
  for (int i = 0; i < axis; i++) l.outer *= t->dim[i];
  for (int i = axis + 1; i < t->rank; i++) l.inner *= t->dim[i];
  return l;
}

/* ---- the greatest, the least ----------------------------------------- */

/* The first of equals; 0 where all are NaN. */
static int64_t arg_line(const Tensor *x, int64_t from, int64_t n, int64_t step,
                        bool max) {
  int64_t at = 0, best_int = x->i[from];
  double best = NAN;
  for (int64_t i = 0; i < n; i++) {
    if (elem_is_float(x->type.elem)) {
      double v = x->v[from + i * step];
      if (isnan(v)) continue;
      if (isnan(best) || (max ? best < v : v < best)) best = v, at = i;
    } else {
      int64_t v = x->i[from + i * step];
      if (max ? best_int < v : v < best_int) best_int = v, at = i;
    }
  }
  return at;
}

void eval_arg(EvalCtx *c) {
  Lines l = lines_of(c, &c->in[0]->type);
  for (int64_t o = 0; o < l.outer; o++)
    for (int64_t i = 0; i < l.inner; i++)
      c->out->i[o * l.inner + i] =
          arg_line(c->in[0], o * l.n * l.inner + i, l.n, l.inner,
                   c->n->op == OP_ARGMAX);
}

/* ---- order ----------------------------------------------------------- */

typedef struct Key { double v; int64_t i, at; bool real, descends; } Key;

/* A NaN is greater than all else; equals keep their order. */
static int key_order(const void *pa, const void *pb) {
  const Key *a = pa, *b = pb;
  int order;
  if (!a->real) order = (a->i > b->i) - (a->i < b->i);
  else if (isnan(a->v) || isnan(b->v)) order = !!isnan(a->v) - !!isnan(b->v);
  else order = (a->v > b->v) - (a->v < b->v);
  if (order) return a->descends ? -order : order;
  return (a->at > b->at) - (a->at < b->at);
}

void eval_argsort(EvalCtx *c) {
  const Tensor *x = c->in[0];
  Lines l = lines_of(c, &x->type), to = lines_of(c, &c->n->type);
  Buffer *b = buffer_new(checked_mul((size_t)l.n + 1, sizeof(Key)));
  Key *key = (Key *)(void *)b->data;
  bool real = elem_is_float(x->type.elem);
  for (int64_t line = 0; line < l.outer * l.inner; line++) {
    int64_t o = line / l.inner, i = line % l.inner;
    for (int64_t k = 0; k < l.n; k++) {
      int64_t at = (o * l.n + k) * l.inner + i;
      key[k] = (Key){.at = k, .real = real,
                     .descends = attr_bool(c->n, "descending")};
      if (real) key[k].v = x->v[at];
      else key[k].i = x->i[at];
    }
    qsort(key, (size_t)l.n, sizeof *key, key_order);
    for (int64_t k = 0; k < to.n; k++)
      c->out->i[(o * to.n + k) * l.inner + i] = key[k].at;
  }
  buffer_unref(b);
}

/* ---- running sums ---------------------------------------------------- */

void eval_cumsum(EvalCtx *c) {
  const Tensor *x = c->in[0];
  Lines l = lines_of(c, &x->type);
  bool exclusive = attr_bool(c->n, "exclusive");
  bool reverse = attr_bool(c->n, "reverse");
  for (int64_t line = 0; line < l.outer * l.inner; line++) {
    int64_t base = line / l.inner * l.n * l.inner + line % l.inner, whole = 0;
    double sum = 0;
    for (int64_t k = 0; k < l.n; k++) {
      int64_t at = base + (reverse ? l.n - 1 - k : k) * l.inner;
      double before = sum;
      int64_t before_int = whole;
      if (elem_is_float(x->type.elem)) {
        sum += x->v[at];
        c->out->v[at] = exclusive ? before : sum;
      } else {
        whole = binary_eval_int(OP_ADD, whole, x->i[at]);
        c->out->i[at] = exclusive ? before_int : whole;
      }
    }
  }
}

/* ---- looking up ------------------------------------------------------ */

/* An index out of range is the nearest in it. */
void eval_gather(EvalCtx *c) {
  const Tensor *x = c->in[0], *index = c->in[1];
  Lines l = lines_of(c, &x->type);
  int64_t count = type_elems(&index->type);
  size_t bytes = (size_t)l.inner * sizeof(double);
  for (int64_t o = 0; o < l.outer; o++)
    for (int64_t k = 0; k < count && l.inner; k++) {
      int64_t i = index->i[k];
      i = i < 0 ? 0 : i >= l.n ? l.n - 1 : i;
      memcpy(c->out->v + (o * count + k) * l.inner,
             x->v + (o * l.n + i) * l.inner, bytes);
    }
}

/* A slice of n updates from element `from` on meets the one at `to`. */
static void slice_set(EvalCtx *c, int64_t to, int64_t from, int64_t n) {
  memcpy(c->out->v + to, c->in[2]->v + from, (size_t)n * sizeof(double));
}

static void slice_fold(EvalCtx *c, Op op, int64_t to, int64_t from,
                       int64_t n) {
  const Tensor *y = c->out, *up = c->in[2];
  for (int64_t e = 0; e < n; e++)
    if (elem_is_float(y->type.elem))
      y->v[to + e] = binary_eval(op, y->v[to + e], up->v[from + e]);
    else
      y->i[to + e] = binary_eval_int(op, y->i[to + e], up->i[from + e]);
}

/* What has an index out of range is left out. */
static void scatter(EvalCtx *c, bool set, Op op) {
  const Tensor *x = c->in[0], *index = c->in[1];
  Lines l = lines_of(c, &x->type);
  int64_t count = type_elems(&index->type), n = type_elems(&x->type);
  if (n) memcpy(c->out->v, x->v, (size_t)n * sizeof(double));
  for (int64_t o = 0; o < l.outer; o++)
    for (int64_t k = 0; k < count; k++) {
      int64_t i = index->i[k];
      if (i < 0 || i >= l.n || l.inner == 0) continue;
      int64_t to = (o * l.n + i) * l.inner, from = (o * count + k) * l.inner;
      if (set) slice_set(c, to, from, l.inner);
      else slice_fold(c, op, to, from, l.inner);
    }
}

void eval_scatter_add(EvalCtx *c) { scatter(c, false, OP_ADD); }

void eval_scatter(EvalCtx *c) {
  Op op = OP_ADD;
  bool folds = scatter_op(attr_str(c->n, "mode"), &op);
  scatter(c, !folds, op);
}

/* ---- made of numbers alone ------------------------------------------- */

void eval_iota(EvalCtx *c) {
  Lines l = lines_of(c, &c->n->type);
  int64_t count = type_elems(&c->n->type);
  for (int64_t i = 0; i < count; i++) c->out->i[i] = i / l.inner % l.n;
}

void philox(const uint32_t key[2], uint32_t c[4]) {
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)PHILOX_M0 * c[0], b = (uint64_t)PHILOX_M1 * c[2];
    uint32_t x = (uint32_t)(b >> 32) ^ c[1] ^ k0;
    uint32_t y = (uint32_t)(a >> 32) ^ c[3] ^ k1;
    c[0] = x, c[1] = (uint32_t)b, c[2] = y, c[3] = (uint32_t)a;
    k0 += PHILOX_W0, k1 += PHILOX_W1;
  }
}

void eval_random(EvalCtx *c) {
  uint32_t key[2], word[4];
  int64_t count = type_elems(&c->n->type);
  for (int k = 0; k < 2; k++) key[k] = (uint32_t)(uint64_t)c->in[0]->i[k];
  for (int64_t i = 0; i < count; i++) {
    uint64_t block = (uint64_t)i / 4;
    if (i % 4 == 0) {
      word[0] = (uint32_t)block, word[1] = (uint32_t)(block >> 32);
      word[2] = word[3] = 0;
      philox(key, word);
    }
    c->out->v[i] = (double)(word[i % 4] >> 8) * 0x1p-24;
  }
}
