/* onnx_rnn.c - recurrent layers: their operands; and RNN itself (Elman,
 * 1990). */
#include "frontend/onnx_rnn.h"

#include <math.h>
#include <string.h>

/* ---- weights -------------------------------------------------------- */

enum { CONST_DEPTH = 12, CONST_GROWTH = 4 };

/* How many elements the constants have that n is computed of, to see that
 * computing it takes no more memory than the file accounts for; -1: it is
 * none, or too large. */
static int64_t const_elems(const Node *n, int depth) {
  int64_t sum = 0, all = ox_elems(n);
  if (n->op == OP_CONST || (n->op == OP_PARAM && param_data(n->param)))
    return all;
  if (!n->nin || depth == 0 || n->op == OP_CALL || n->op == OP_SCAN)
    return -1;
  for (int i = 0; i < n->nin; i++) {
    int64_t k = n->in[i] ? const_elems(n->in[i], depth - 1) : 0;
    if (k < 0 || __builtin_add_overflow(sum, k, &sum))
      return -1;
  }
  return all < 0 || all / CONST_GROWTH > sum ? -1 : sum;
}

static Tensor *const_eval(Ox *o, Arena *a, const Node *n) {
  const Tensor **in = arena_array(a, const Tensor *, (size_t)n->nin + 1);
  Tensor *out = arena_new_of(a, Tensor);
  for (int i = 0; i < n->nin; i++)
    in[i] = n->in[i] ? const_eval(o, a, n->in[i]) : NULL;
  *out = tensor_new(a, &n->type);
  node_eval(o->m, n, in, out, &(EvalOpts){.round = true});
  return out;
}

Node *rnn_param(Ox *o, const char *name, Type t, Buffer *data) {
  const char *path = module_fresh_path(
    o->m, arena_printf(o->m->arena, "%s.%s", o->node_path, name));
  return func_param(o->m, o->f, module_add_param(o->m, path, t, data));
}

/* A weight that the file computes of constants (a transposed or a quantised
 * one) as a param, however large: inside of a function nothing is known of
 * what its caller computes. */
static Node *weight_fold(Ox *o, const char *name, Node *n) {
  if (!n || n->op == OP_PARAM || const_elems(n, CONST_DEPTH) < 0)
    return n;
  Arena *a = arena_new();
  Tensor *t = const_eval(o, a, n);
  Buffer *b = buffer_new((size_t)type_bytes(&n->type));
  tensor_write(t, b->data);
  arena_free(a);
  return rnn_param(o, name, n->type, b);
}

/* ---- operands ------------------------------------------------------- */

static bool shape_is(Ox *o, const Node *v, const char *what, int rank,
                     const int64_t *dim) {
  Type want = type_make(F32, rank, dim);
  if (!v)
    return true;
  if (v->type.elem == F32 && type_same_shape(&v->type, &want))
    return true;
  Text w = {0}, h = {0};
  type_print(&w, &want);
  type_print(&h, &v->type);
  ox_malformed(o, "%s is %s, expected %s", what, h.s, w.s);
  text_free(&w);
  text_free(&h);
  return false;
}

static bool direction_read(Rnn *n) {
  const char *s = ox_str(n->o, "direction", "forward");
  n->dirs = strcmp(s, "bidirectional") ? 1 : 2;
  n->reverse = !strcmp(s, "reverse");
  return n->dirs == 2 || n->reverse || !strcmp(s, "forward") ||
         ox_malformed(n->o, "direction=\"%s\"", s);
}

/* Sizes, by those of X and R. */
static bool sizes_read(Rnn *n, const Node *x) {
  Ox *o = n->o;
  int64_t rows;
  if (x->type.rank != 3 || n->r->type.rank != 3)
    return ox_malformed(o, "X and R have ranks %d and %d, expected 3",
                        x->type.rank, n->r->type.rank);
  n->steps = x->type.dim[n->batch_first ? 1 : 0];
  n->batch = x->type.dim[n->batch_first ? 0 : 1];
  n->inputs = x->type.dim[2];
  n->hidden = n->r->type.dim[2];
  if (ox_int(o, "hidden_size", n->hidden) != n->hidden || n->hidden < 1)
    return ox_malformed(o, "hidden_size is not %lld, which R has",
                        (long long)n->hidden);
  if (__builtin_mul_overflow(n->hidden, n->gates * 2, &rows))
    return ox_malformed(o, "R has too many columns");
  int64_t w[] = {n->dirs, rows / 2, n->inputs};
  int64_t r[] = {n->dirs, rows / 2, n->hidden};
  int64_t b[] = {n->dirs, rows};
  return shape_is(o, n->w, "W", 3, w) && shape_is(o, n->r, "R", 3, r) &&
         shape_is(o, n->b, "B", 2, b);
}

/* Whether all sequences have all steps, as a constant. */
static bool lens_full(Rnn *n, Node *lens, bool *full) {
  const Tensor *t = ox_known(lens) ? ox_values(n->o, lens) : NULL;
  *full = t != NULL;
  for (int64_t i = 0; t && i < n->batch; i++) {
    if (t->i[i] < 0 || t->i[i] > n->steps)
      return ox_malformed(n->o, "sequence_lens has %lld, X has %lld steps",
                          (long long)t->i[i], (long long)n->steps);
    *full &= t->i[i] == n->steps;
  }
  return true;
}

static bool mask_read(Rnn *n) {
  Ox *o = n->o;
  Node *lens = ox_opt(o, 4);
  bool full;
  if (!lens)
    return !ox_has_in(o, 4);
  if (lens->type.rank != 1 || lens->type.dim[0] != n->batch ||
      elem_is_float(lens->type.elem))
    return ox_malformed(o, "sequence_lens is no list of %lld integers",
                        (long long)n->batch);
  if (!lens_full(n, lens, &full))
    return false;
  if (full)
    return true;
  Node *at = ox_ruler(o, I32, 3, 0, n->steps);
  lens = ox_reshape(o, ox_cast(o, lens, I32), 3, (int64_t[]){1, n->batch, 1});
  n->mask = ox_op2(o, OP_LESS, at, lens);
  return n->mask != NULL;
}

/* [B,T,K] as [T,B,K]. */
static Node *time_first(Rnn *n, Node *x) {
  if (!n->batch_first)
    return x;
  if (n->batch == 1 || n->steps == 1)
    return ox_reshape(n->o, x, 3,
                      (int64_t[]){n->steps, n->batch, n->inputs});
  return ox_permute(n->o, x, (int64_t[]){1, 0, 2});
}

bool rnn_read(Rnn *n, const char *const *acts) {
  Ox *o = n->o;
  Node *x = ox_in(o, 0);
  n->w = weight_fold(o, "W", n->w ? n->w : ox_in(o, 1));
  n->r = weight_fold(o, "R", n->r ? n->r : ox_in(o, 2));
  n->b = ox_opt(o, 3);
  n->batch_first = ox_int(o, "layout", 0) != 0;
  n->clip = ox_float(o, "clip", INFINITY);
  if (!x || !n->w || !n->r || (ox_has_in(o, 3) && !n->b))
    return false;
  if (x->type.elem != F32)
    return ox_malformed(o, "X has element type %s", elem_name(x->type.elem));
  if (n->clip < 0)
    return ox_malformed(o, "clip is less than 0");
  if (!direction_read(n) || !sizes_read(n, x) || !rnn_acts_read(n, acts) ||
      !mask_read(n))
    return false;
  n->x = time_first(n, x);
  return n->x != NULL;
}

bool rnn_init_read(Rnn *n, int i, int which) {
  Node *v = ox_opt(n->o, i);
  int64_t dim[] = {n->dirs, n->batch, n->hidden};
  if (n->batch_first) {
    dim[0] = n->batch;
    dim[1] = n->dirs;
  }
  n->init[which] = v;
  return !ox_has_in(n->o, i) ||
         (v && shape_is(n->o, v, which ? "initial_c" : "initial_h", 3, dim));
}

/* ---- RNN ------------------------------------------------------------ */

static bool simple_step(RnnDir *d, Node **next) {
  next[0] = rnn_act(d, 0, rnn_sum(d, 0, d->state[0]));
  return next[0] != NULL;
}

bool ox_write_rnn(Ox *o) {
  static const char *const acts[] = {"Tanh"}, *const gate[] = {"unit"};
  Rnn n = {.o = o, .gates = 1, .acts = 1, .states = 1, .gate = gate};
  return rnn_read(&n, acts) && rnn_init_read(&n, 5, 0) &&
         rnn_write(&n, simple_step, 0);
}
