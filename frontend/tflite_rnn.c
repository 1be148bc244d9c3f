/* tflite_rnn.c - simple recurrent layers, and SVDF. */
#include "frontend/tflite.h"

/* Input weights, recurrent weights, bias, hidden state: operands `at` and
 * following. */
typedef struct Rnn { TfTensor *w, *r, *bias, *h; int act; } Rnn;

static bool rnn_read(Tf *t, int at, int act, Rnn *n) {
  n->w = tf_in(t, at);
  n->r = tf_in(t, at + 1);
  n->bias = tf_in(t, at + 2);
  n->act = act;
  n->h = tf_variable(t, at + 3);
  if (!n->h)
    return false;
  return (n->w && n->r && n->bias) || tf_refuse(t, "weights are absent");
}

/* act(W x + b + R h) */
static const char *rnn_step(Tf *t, Cell *c, const Rnn *n, const char *x,
                            const char *h) {
  const char *a = tf_cell_linear(t, c, "input", x, n->w, n->bias);
  const char *b = tf_cell_linear(t, c, "recurrent", h, n->r, NULL);
  return tf_cell_act(t, c, n->act, tf_cell_op(t, c, "add(%s, %s)", a, b));
}

bool tf_write_rnn(Tf *t) {
  Rnn n;
  if (!tf_arity(t, 5) ||
      !rnn_read(t, 1, (int)flat_int(t->op->options, 0, 1, 0), &n))
    return false;
  Cell c = tf_cell(t, tf_out(t, 0)->path, false);
  const char *x = tf_value(t, tf_in(t, 0), FORM_FILE);
  const char *y = rnn_step(t, &c, &n, x, tf_value(t, n.h, FORM_FILE));
  tf_next(n.h, y);
  return tf_bind(t, 0, FORM_FILE, y);
}

/* The stacked values of one direction; NULL: refused. */
static const char *rnn_scan(Tf *t, const char *path, const Rnn *n,
                            bool time_major, bool reverse) {
  const char *x = tf_value(t, tf_in(t, 0), FORM_FILE);
  const char *init[] = {tf_value(t, n->h, FORM_FILE)};
  const char *in[] = {tf_fresh(t, "x"), tf_fresh(t, "h")};
  Cell c = tf_cell(t, path, true);
  const char *y = rnn_step(t, &c, n, in[0], in[1]);
  const char *out[] = {y, y};
  y = tf_cell_scan(t, &c, x, time_major ? 0 : 1, reverse, 1, in, out, init);
  tf_next(n->h, init[0]);
  return y;
}

static bool sequence_ok(Tf *t) {
  return tf_in(t, 0)->rank == 3 ||
         tf_refuse(t, "an input of rank %d", tf_in(t, 0)->rank);
}

bool tf_write_sequence_rnn(Tf *t) {
  FlatTable o = t->op->options;
  Rnn n;
  if (!tf_arity(t, 5) || !sequence_ok(t) ||
      !rnn_read(t, 1, (int)flat_int(o, 1, 1, 0), &n))
    return false;
  return tf_bind(t, 0, FORM_FILE, rnn_scan(t, tf_out(t, 0)->path, &n,
                                           flat_bool(o, 0), false));
}

/* The second direction goes from the last step to the first. */
bool tf_write_bidirectional_rnn(Tf *t) {
  FlatTable o = t->op->options;
  Rnn n[2];
  int act = (int)flat_int(o, 1, 1, 0);
  bool time_major = flat_bool(o, 0), merge = flat_bool(o, 2);
  if (!tf_arity(t, 9) || !sequence_ok(t) || !rnn_read(t, 1, act, &n[0]) ||
      !rnn_read(t, 5, act, &n[1]))
    return false;
  for (int i = 9; i < 12; i++)
    if (tf_in(t, i))
      return tf_refuse(t, "auxiliary operand %d", i);
  if (!merge && !tf_out(t, 1))
    return tf_refuse(t, "expected two results, found one");
  const char *path = tf_out(t, 0)->path;
  const char *y = rnn_scan(t, arena_printf(t->a, "%s.forward", path), &n[0],
                           time_major, false);
  const char *z = rnn_scan(t, arena_printf(t->a, "%s.backward", path), &n[1],
                           time_major, true);
  if (merge)
    return tf_give(t, 0, FORM_FILE, "concat(%s, %s, axis=2)", y, z);
  return tf_bind(t, 0, FORM_FILE, y) && tf_bind(t, 1, FORM_FILE, z);
}

/* ---- SVDF ----------------------------------------------------------- */

/* Nakkiran et al., 2015: each of F filters gives a number a call, of which
 * the last M stay, [B,F,M]; they are weighed along time, and `rank` filters
 * make a unit. */
static bool svdf_write(Tf *t, TfTensor *state, int64_t rank) {
  TfTensor *x = tf_in(t, 0), *wf = tf_in(t, 1), *wt = tf_in(t, 2);
  TfTensor *bias = tf_in(t, 3), *y = tf_out(t, 0);
  int64_t batch = x->dim[0], f = wf->dim[0], m = wt->dim[1];
  Cell c = tf_cell(t, y->path, false);
  const char *v = tf_cell_linear(t, &c, "feature",
                                 tf_value(t, x, FORM_FILE), wf, NULL);
  v = tf_cell_op(t, &c, "reshape(%s, shape=[%lld,%lld,1])", v,
                 (long long)batch, (long long)f);
  const char *s = tf_cell_op(t, &c, "reshape(%s, shape=[%lld,%lld,%lld])",
                             tf_value(t, state, FORM_FILE), (long long)batch,
                             (long long)f, (long long)m);
  s = tf_cell_op(t, &c, "slice(%s, axis=2, start=1, stop=%lld)", s,
                 (long long)m);
  s = tf_cell_op(t, &c, "concat(%s, %s, axis=2)", s, v);
  tf_next(state, tf_cell_op(t, &c, "reshape(%s, shape=%s)", s,
                            tf_list(t, state->dim, state->rank)));
  v = tf_cell_op(t, &c, "mul(%s, %s)", s,
                 tf_cell_param(t, &c, "time", wt));
  v = tf_cell_op(t, &c, "sum(%s, axes=[2])", v);
  v = tf_cell_op(t, &c, "reshape(%s, shape=[%lld,%lld,%lld])", v,
                 (long long)batch, (long long)(f / rank), (long long)rank);
  v = tf_cell_op(t, &c, "sum(%s, axes=[2])", v);
  if (bias)
    v = tf_cell_op(t, &c, "add(%s, %s)", v,
                   tf_cell_param(t, &c, "bias", bias));
  int act = (int)flat_int(t->op->options, 1, 1, 0);
  return tf_bind(t, 0, FORM_FILE, tf_cell_act(t, &c, act, v));
}

bool tf_write_svdf(Tf *t) {
  if (!tf_arity(t, 3))
    return false;
  const TfTensor *x = tf_in(t, 0), *wf = tf_in(t, 1), *wt = tf_in(t, 2);
  TfTensor *state = tf_variable(t, 4);
  int64_t rank = flat_int(t->op->options, 0, 4, 0);
  if (!state)
    return false;
  int64_t n;
  if (x->rank != 2 || wf->rank != 2 || wt->rank != 2 || rank < 1 ||
      wf->dim[0] % rank || wt->dim[0] != wf->dim[0] || wt->dim[1] < 1 ||
      __builtin_mul_overflow(x->dim[0], tf_elems(wt), &n) ||
      tf_elems(state) != n)
    return tf_refuse(t, "weights that do not fit rank %lld",
                     (long long)rank);
  return svdf_write(t, state, rank);
}
