/* onnx_cell.c - a recurrent layer's step as a function, the scan that goes
 * through it, and what it leaves. */
#include "frontend/onnx_rnn.h"

#include <math.h>

/* ---- weights -------------------------------------------------------- */

/* Rows of one gate of v [D,G*H,K], as [H,K]: a param where v is one, which
 * shares its bytes. */
static Node *gate_rows(RnnDir *d, Node *v, int gate, const char *what) {
  const Rnn *n = d->n;
  int64_t k = v->type.dim[2], at = (d->dir * n->gates + gate) * n->hidden;
  Type t = type_make(F32, 2, (int64_t[]){n->hidden, k});
  if (v->op != OP_PARAM || !param_data(v->param)) {
    v = ox_reshape(n->o, v, 2, (int64_t[]){v->type.dim[0] * v->type.dim[1],
                                           k});
    return ox_slice(n->o, v, 0, at, at + n->hidden, 1);
  }
  Buffer *b = buffer_slice(v->param->data, (size_t)(at * k) * sizeof(float),
                           (size_t)(n->hidden * k) * sizeof(float));
  const char *name = arena_printf(
    n->o->a, "%s%s.%s", n->dirs < 2 ? "" : d->dir ? "backward." : "forward.",
    n->gate[gate], what);
  return rnn_param(n->o, name, t, b);
}

/* Elements [at, at+H) of this direction of v [D,K]. */
static Node *flat_row(RnnDir *d, Node *v, int64_t at) {
  const Rnn *n = d->n;
  int64_t k = v->type.dim[1];
  Node *flat = ox_reshape(n->o, v, 1, (int64_t[]){v->type.dim[0] * k});
  at += d->dir * k;
  return ox_slice(n->o, flat, 0, at, at + n->hidden, 1);
}

static Node *linear(Ox *o, Node *x, Node *w, Node *b) {
  Node *in[] = {x, w, b};
  return ox_end(o, ox_begin(o, OP_LINEAR, in, b ? 3 : 2));
}

/* ---- what the step calls -------------------------------------------- */

/* The body's own node for a value outside. */
static Node *inner(RnnDir *d, Node *v) {
  Ox *o = d->n->o;
  if (!v)
    return NULL;
  if (v->op == OP_PARAM)
    return func_param(o->m, d->body, v->param);
  ensure(d->nin < (int)(sizeof d->in / sizeof *d->in));
  d->in[d->nin] = v;
  const char *name = arena_printf(o->a, "in%d", d->nin++);
  return func_input(o->m, d->body, name,
                    type_make(v->type.elem, v->type.rank, v->type.dim));
}

static Node *recurrent(RnnDir *d, int gate) {
  Ox *o = d->n->o;
  o->f = d->outer;
  Node *w = gate_rows(d, d->n->r, gate, "recurrent");
  o->f = d->body;
  return inner(d, w);
}

Node *rnn_row(RnnDir *d, Node *v, int64_t at) {
  Ox *o = d->n->o;
  o->f = d->outer;
  v = flat_row(d, v, at);
  o->f = d->body;
  return inner(d, v);
}

Node *rnn_sum(RnnDir *d, int gate, Node *h) {
  Node *y = linear(d->n->o, h, recurrent(d, gate), NULL);
  return ox_op2(d->n->o, OP_ADD, y, d->x[gate]);
}

Node *rnn_product(RnnDir *d, int gate, Node *h) {
  const Rnn *n = d->n;
  Node *w = recurrent(d, gate);
  Node *b = n->b ? rnn_row(d, n->b, (n->gates + gate) * n->hidden) : NULL;
  return linear(n->o, h, w, b);
}

Node *rnn_act_plain(RnnDir *d, int i, Node *x) {
  const Rnn *n = d->n;
  return x ? rnn_act_write(n->o, &n->act[d->dir * n->acts + i], x) : NULL;
}

Node *rnn_act(RnnDir *d, int i, Node *x) {
  double most = d->n->clip;
  if (isfinite(most))
    x = ox_clipped(d->n->o, x, -most, most);
  return rnn_act_plain(d, i, x);
}

/* ---- the scan ------------------------------------------------------- */

/* An operand of the scan, and the step's input for it. */
static Node *body_input(RnnDir *d, const char *name, Node *v, int64_t last) {
  const Rnn *n = d->n;
  d->in[d->nin++] = v;
  return func_input(n->o->m, d->body, name,
                    type_make(v->type.elem, 2, (int64_t[]){n->batch, last}));
}

/* x W^T + bias of a gate for all steps: [T,B,H]. */
static Node *gate_input(RnnDir *d, int gate, bool own) {
  const Rnn *n = d->n;
  Node *w = gate_rows(d, n->w, gate, "input");
  if (!n->b)
    return linear(n->o, n->x, w, NULL);
  Node *b = flat_row(d, n->b, gate * n->hidden);
  if (!own)
    b = ox_op2(n->o, OP_ADD, b,
               flat_row(d, n->b, (n->gates + gate) * n->hidden));
  return linear(n->o, n->x, w, b);
}

/* What a state is before the first step: [B,H]. */
static Node *state_init(RnnDir *d, int which) {
  const Rnn *n = d->n;
  Node *v = n->init[which];
  int64_t dim[] = {n->batch, n->hidden};
  if (!v)
    return ox_filled(n->o, F32, 2, dim, 0);
  if (n->dirs > 1)
    v = ox_slice(n->o, v, n->batch_first ? 1 : 0, d->dir, d->dir + 1, 1);
  return ox_reshape(n->o, v, 2, dim);
}

/* Inputs of the body, from what is computed outside. */
static bool dir_open(RnnDir *d, unsigned own) {
  static const char *const x_name[] = {"in0", "in1", "in2", "in3"};
  static const char *const state_name[] = {"hidden", "cell"};
  const Rnn *n = d->n;
  Node *x[RNN_GATES], *s[RNN_STATES];
  for (int i = 0; i < n->gates; i++)
    x[i] = gate_input(d, i, own >> i & 1);
  for (int i = 0; i < n->states; i++)
    s[i] = state_init(d, i);
  d->body = func_new_body(n->o->m, n->o->node_path);
  for (int i = 0; i < n->gates; i++) {
    if (!x[i])
      return false;
    d->x[i] = body_input(d, x_name[i], x[i], n->hidden);
  }
  if (n->mask)
    d->mask = body_input(d, "within", n->mask, 1);
  for (int i = 0; i < n->states; i++) {
    if (!s[i])
      return false;
    d->state[i] = body_input(d, state_name[i], s[i], n->hidden);
  }
  return true;
}

/* Behind the end of its sequence a state stays and the output is 0. */
static bool dir_results(RnnDir *d, Node **next, bool stacked) {
  static const char *const name[] = {"hidden_next", "cell_next"};
  const Rnn *n = d->n;
  Ox *o = n->o;
  Node *y = next[0];
  if (d->mask && stacked)
    y = ox_op3(o, OP_WHERE, d->mask, y, ox_scalar(o, F32, 0));
  for (int i = 0; i < n->states && d->mask; i++)
    next[i] = ox_op3(o, OP_WHERE, d->mask, next[i], d->state[i]);
  if (!y || !next[0] || !next[n->states - 1])
    return false;
  if (stacked)
    func_output(o->m, d->body, "y", y);
  for (int i = 0; i < n->states; i++)
    func_output(o->m, d->body, name[i], next[i]);
  return true;
}

/* Results of one direction: y [T,B,H] (NULL: nobody wants it), states
 * [B,H]. */
static bool dir_write(RnnDir *d, RnnStep *step, unsigned own, Node **y,
                      Node **last) {
  const Rnn *n = d->n;
  Ox *o = n->o;
  bool stacked = ox_wants(o, 0);
  Node *next[RNN_STATES] = {0};
  d->outer = o->f;
  if (!dir_open(d, own))
    return false;
  o->f = d->body;
  bool ok = step(d, next) && dir_results(d, next, stacked);
  o->f = d->outer;
  if (!ok)
    return false;
  Node *scan = ox_begin(o, OP_SCAN, d->in, d->nin);
  if (scan) {
    attr_set_str(o->m, scan, "callee", d->body->name);
    attr_set_int(scan, "slices", n->gates + (n->mask ? 1 : 0));
    attr_set_int(scan, "carries", n->states);
    attr_set_bool(scan, "reverse", n->reverse || d->dir);
  }
  scan = ox_end(o, scan);
  *y = stacked ? ox_item(o, scan, 0) : NULL;
  for (int i = 0; i < n->states; i++)
    last[i] = ox_item(o, scan, i + stacked);
  return scan != NULL;
}

/* ---- results -------------------------------------------------------- */

/* [T,B,H] of each direction as [T,D,B,H] or [B,T,D,H]. */
static Node *all_steps(const Rnn *n, Node **y) {
  Ox *o = n->o;
  int64_t t = n->steps, b = n->batch, d = n->dirs, h = n->hidden;
  if (n->batch_first && b > 1) {
    Node *all = ox_concat(o, y, n->dirs, 2);
    all = ox_permute(o, all, (int64_t[]){1, 0, 2});
    return ox_reshape(o, all, 4, (int64_t[]){b, t, d, h});
  }
  for (int i = 0; i < n->dirs; i++)
    y[i] = ox_reshape(o, y[i], 4, (int64_t[]){t, 1, b, h});
  Node *all = ox_concat(o, y, n->dirs, 1);
  return n->batch_first ? ox_reshape(o, all, 4, (int64_t[]){b, t, d, h})
                        : all;
}

/* [B,H] of each direction as [D,B,H] or [B,D,H]. */
static Node *last_step(const Rnn *n, Node **s) {
  int axis = n->batch_first ? 1 : 0;
  for (int i = 0; i < n->dirs; i++)
    s[i] = ox_unsqueeze(n->o, s[i], axis);
  return ox_concat(n->o, s, n->dirs, axis);
}

bool rnn_write(Rnn *n, RnnStep *step, unsigned own) {
  Node *y[2], *last[2][RNN_STATES], *s[2];
  for (int i = 0; i < n->dirs; i++) {
    RnnDir d = {.n = n, .dir = i};
    if (!dir_write(&d, step, own, &y[i], last[i]))
      return false;
  }
  if (ox_wants(n->o, 0) && !ox_give(n->o, 0, all_steps(n, y)))
    return false;
  for (int i = 0; i < n->states; i++) {
    if (!ox_wants(n->o, 1 + i))
      continue;
    for (int k = 0; k < n->dirs; k++)
      s[k] = last[k][i];
    if (!ox_give(n->o, 1 + i, last_step(n, s)))
      return false;
  }
  return true;
}
