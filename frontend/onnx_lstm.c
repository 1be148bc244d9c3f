/* onnx_lstm.c - LSTM: long short-term memory (Hochreiter and Schmidhuber,
 * 1997), with peepholes (Gers, Schmidhuber and Cummins, 2000) and a forget
 * gate that the input gate may take the place of. */
#include "frontend/onnx_rnn.h"

enum { INPUT, OUTPUT, FORGET, CELL };
enum { ACT_F, ACT_G, ACT_H };

typedef struct Lstm {
  Rnn n;
  Node *p;             /* peepholes [D,3*H]: input, output, forget; or NULL */
  bool coupled;        /* forget = 1 - input */
} Lstm;

/* A gate behind its activation; `c` is for its peephole. */
static Node *gate_write(RnnDir *d, int gate, Node *c) {
  const Lstm *l = (const Lstm *)d->n;
  Ox *o = l->n.o;
  Node *v = rnn_sum(d, gate, d->state[0]);
  if (l->p && gate != CELL)
    v = ox_op2(o, OP_ADD, v,
               ox_op2(o, OP_MUL, c, rnn_row(d, l->p, gate * l->n.hidden)));
  return rnn_act(d, gate == CELL ? ACT_G : ACT_F, v);
}

static bool lstm_step(RnnDir *d, Node **next) {
  const Lstm *l = (const Lstm *)d->n;
  Ox *o = l->n.o;
  Node *c = d->state[1];
  Node *i = gate_write(d, INPUT, c);
  Node *f = l->coupled ? ox_op2(o, OP_SUB, ox_scalar(o, F32, 1), i)
                       : gate_write(d, FORGET, c);
  Node *g = gate_write(d, CELL, c);
  c = ox_op2(o, OP_ADD, ox_op2(o, OP_MUL, f, c), ox_op2(o, OP_MUL, i, g));
  Node *out = gate_write(d, OUTPUT, c);
  next[0] = ox_op2(o, OP_MUL, out, rnn_act_plain(d, ACT_H, c));
  next[1] = c;
  return next[0] != NULL;
}

bool ox_write_lstm(Ox *o) {
  static const char *const acts[] = {"Sigmoid", "Tanh", "Tanh"};
  static const char *const gate[] = {"input", "output", "forget", "cell"};
  Lstm l = {.n = {.o = o, .gates = 4, .acts = 3, .states = 2, .gate = gate}};
  if (!rnn_read(&l.n, acts) || !rnn_init_read(&l.n, 5, 0) ||
      !rnn_init_read(&l.n, 6, 1))
    return false;
  l.p = ox_opt(o, 7);
  l.coupled = ox_int(o, "input_forget", 0) != 0;
  if (ox_has_in(o, 7) && !l.p)
    return false;
  if (l.p && (l.p->type.rank != 2 || l.p->type.dim[0] != l.n.dirs ||
              l.p->type.dim[1] != 3 * l.n.hidden || l.p->type.elem != F32))
    return ox_malformed(o, "P has not the shape [%d,%lld]", l.n.dirs,
                        (long long)(3 * l.n.hidden));
  return rnn_write(&l.n, lstm_step, 0);
}
