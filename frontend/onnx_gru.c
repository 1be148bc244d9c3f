/* onnx_gru.c - GRU: the gated recurrent unit (Cho et al., 2014), whose reset
 * gate is applied to the state before its product, or with
 * linear_before_reset to the product, as cuDNN and PyTorch do. */
#include "frontend/onnx_rnn.h"

enum { UPDATE, RESET, NEW };
enum { ACT_F, ACT_G };

typedef struct Gru {
  Rnn n;
  bool linear_first;
} Gru;

static bool gru_step(RnnDir *d, Node **next) {
  const Gru *g = (const Gru *)d->n;
  Ox *o = g->n.o;
  Node *h = d->state[0], *v;
  Node *z = rnn_act(d, ACT_F, rnn_sum(d, UPDATE, h));
  Node *r = rnn_act(d, ACT_F, rnn_sum(d, RESET, h));
  if (g->linear_first) {
    v = ox_op2(o, OP_MUL, r, rnn_product(d, NEW, h));
    v = ox_op2(o, OP_ADD, v, d->x[NEW]);
  } else {
    v = rnn_sum(d, NEW, ox_op2(o, OP_MUL, r, h));
  }
  v = rnn_act(d, ACT_G, v);
  /* (1 - z) v + z h */
  next[0] = ox_op2(o, OP_ADD, v,
                   ox_op2(o, OP_MUL, z, ox_op2(o, OP_SUB, h, v)));
  return next[0] != NULL;
}

bool ox_write_gru(Ox *o) {
  static const char *const acts[] = {"Sigmoid", "Tanh"};
  static const char *const gate[] = {"update", "reset", "new"};
  Gru g = {.n = {.o = o, .gates = 3, .acts = 2, .states = 1, .gate = gate}};
  g.linear_first = ox_int(o, "linear_before_reset", 0) != 0;
  return rnn_read(&g.n, acts) && rnn_init_read(&g.n, 5, 0) &&
         rnn_write(&g.n, gru_step, g.linear_first ? 1u << NEW : 0);
}
