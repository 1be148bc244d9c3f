/* onnx_lstm.c - LSTM: long short-term memory (Hochreiter and Schmidhuber,
 * 1997), with peepholes (Gers, Schmidhuber and Cummins, 2000) and a forget
 * gate that the input gate may take the place of. */
#include "frontend/onnx_quant.h"
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

static const char *const acts[] = {"Sigmoid", "Tanh", "Tanh"};
static const char *const gates[] = {"input", "output", "forget", "cell"};

static Lstm lstm_of(Ox *o) {
  return (Lstm){.n = {.o = o, .gates = 4, .acts = 3, .states = 2,
                      .gate = gates}};
}

static bool lstm_write(Lstm *l) {
  Ox *o = l->n.o;
  if (!rnn_read(&l->n, acts) || !rnn_init_read(&l->n, 5, 0) ||
      !rnn_init_read(&l->n, 6, 1))
    return false;
  l->p = ox_opt(o, 7);
  l->coupled = ox_int(o, "input_forget", 0) != 0;
  if (ox_has_in(o, 7) && !l->p)
    return false;
  if (l->p && (l->p->type.rank != 2 || l->p->type.dim[0] != l->n.dirs ||
               l->p->type.dim[1] != 3 * l->n.hidden ||
               l->p->type.elem != F32))
    return ox_malformed(o, "P has not the shape [%d,%lld]", l->n.dirs,
                        (long long)(3 * l->n.hidden));
  return rnn_write(&l->n, lstm_step, 0);
}

bool ox_write_lstm(Ox *o) {
  Lstm l = lstm_of(o);
  return lstm_write(&l);
}

/* ---- DynamicQuantizeLSTM -------------------------------------------- */

/* A scale or zero point, [D] or [D,4*H], as one block for each column of x
 * [D,K,4*H]. */
static bool column_blocks(Ox *o, const Node *x, int i, Node **out) {
  Node *v = ox_opt(o, i);
  int64_t d = x->type.dim[0], cols = x->type.dim[2];
  *out = NULL;
  if (!v)
    return !ox_has_in(o, i);
  int64_t n = ox_elems(v) == d ? 1 : cols;
  if (ox_elems(v) != d * n)
    return ox_malformed(o, "operand %d has %lld elements, expected %lld or "
                        "%lld", i, (long long)ox_elems(v), (long long)d,
                        (long long)(d * cols));
  v = ox_reshape(o, v, 3, (int64_t[]){d, 1, n});
  *out = ox_expand(o, v, 3, (int64_t[]){d, 1, cols});
  return *out != NULL;
}

/* [D,K,4*H], quantised, as [D,4*H,K]. */
static Node *quantised_weight(Ox *o, int i, int scale) {
  Node *x = ox_in(o, i);
  int type = ox_in_type(o, i);
  if (!x)
    return NULL;
  Quants q = {.axis = 1, .block = x->type.rank == 3 ? x->type.dim[1] : 0};
  if (q.block < 1 || (type != OX_INT8 && type != OX_UINT8)) {
    ox_malformed(o, "operand %d is no tensor of three dimensions of 8-bit "
                 "integers", i);
    return NULL;
  }
  if (!column_blocks(o, x, scale, &q.scale) ||
      !column_blocks(o, x, scale + 1, &q.zero))
    return NULL;
  return ox_permute(o, quant_real(o, x, type, &q), (int64_t[]){0, 2, 1});
}

/* An LSTM whose weights are 8-bit integers.  The input and the state, which
 * other runtimes quantise at each product, stay as they are. */
bool ox_write_dynamic_quantize_lstm(Ox *o) {
  Lstm l = lstm_of(o);
  l.n.w = quantised_weight(o, 1, 8);
  l.n.r = quantised_weight(o, 2, 10);
  return l.n.w && l.n.r && lstm_write(&l);
}
