/* regroup.c - reshapes of free dimensions that split some and merge others:
 * in two steps, over a shape that is finer than both.
 *
 * before     y: f32[197*N,192] = reshape(x, shape=[197*N,192]);
 * after      a: f32[197,N,3,64] = reshape(x, shape=[197,N,3,64]);
 *            y: f32[197*N,192] = reshape(a, shape=[197*N,192]);
 *            (x: f32[197,N*3,64]) */
#include "passes/passes.h"

/* Sizes at the samples, what is left of a dimension. */
typedef int64_t Sizes[SAMPLES_MOST];

typedef struct Finer {
  const FreeDims *of;
  const Type *x, *y;
  int at[2];                    /* next axis of each */
  Sizes left[2];
  int rank;
  int64_t dim[SAMPLES_MOST][MAX_RANK];
} Finer;

static bool all_one(const Finer *s, const int64_t *v) {
  for (int k = 0; k < s->of->nsamples; k++)
    if (v[k] != 1) return false;
  return true;
}

/* What is left of a dimension of x or y, or the next one; false: nothing. */
static bool next(Finer *s, int side) {
  const Type *t = side ? s->y : s->x;
  while (all_one(s, s->left[side])) {
    if (s->at[side] == t->rank) return false;
    for (int k = 0; k < s->of->nsamples; k++)
      s->left[side][k] = type_dim_at(t, s->at[side], k);
    s->at[side]++;
  }
  return true;
}

/* The greatest dimension that begins what is left of both. */
static bool piece(Finer *s) {
  Sizes v;
  for (int k = 0; k < s->of->nsamples; k++) {
    if (s->left[0][k] < 1 || s->left[1][k] < 1) return false;
    v[k] = gcd(s->left[0][k], s->left[1][k]);
    s->left[0][k] /= v[k];
    s->left[1][k] /= v[k];
  }
  if (all_one(s, v) || s->rank == MAX_RANK) return false;
  for (int k = 0; k < s->of->nsamples; k++) s->dim[k][s->rank] = v[k];
  s->rank++;
  return true;
}

static bool finer(Finer *s) {
  for (int k = 0; k < SAMPLES_MOST; k++) s->left[0][k] = s->left[1][k] = 1;
  for (;;) {
    bool x = next(s, 0), y = next(s, 1);
    if (!x || !y) return !x && !y;
    if (!piece(s)) return false;
  }
}

static bool cuts(const Node *n, Node *x, const Type *to) {
  Node copy = *n;
  copy.in = &x;
  copy.type = *to;
  return reshape_cuts(&copy);
}

bool reshapes_join(const Node *n, const Node *x) {
  return cuts(n, x->in[0], &n->type);
}

Node *reshape_regroup(Module *m, Func *f, Node *n) {
  Node *x = n->in[0];
  if (reshape_cuts(n)) return NULL;
  const FreeShape *free = n->type.free ? n->type.free : x->type.free;
  if (!free) return NULL;
  Finer s = {.of = free->of, .x = &x->type, .y = &n->type};
  if (!finer(&s)) return NULL;
  Type t = type_make(n->type.elem, s.rank, s.dim[0]);
  t.free = free_shape(m, &t, (const int64_t (*)[MAX_RANK])s.dim);
  Node mid = *n, *in = &mid;
  mid.type = t;
  if (!cuts(n, x, &t) || !cuts(n, in, &n->type)) return NULL;
  Node *made = func_copy(m, f, n, n, &x, 1);
  attr_set_shape(m, made, "shape", &t);
  made->type = t;
  n->in[0] = made;
  return made;
}
