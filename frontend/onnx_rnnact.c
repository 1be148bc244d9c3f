/* onnx_rnnact.c - the activations of recurrent operators, which are named by
 * strings, each with its alpha and beta. */
#include "frontend/onnx_rnn.h"

#include <math.h>
#include <strings.h>

enum {
  ACT_SIGMOID, ACT_TANH, ACT_RELU, ACT_AFFINE, ACT_LEAKY_RELU,
  ACT_THRESHOLDED_RELU, ACT_SCALED_TANH, ACT_HARD_SIGMOID, ACT_ELU,
  ACT_SOFTSIGN, ACT_SOFTPLUS
};

/* What stands for a number that is not given; NAN: it takes none. */
static const struct { const char *name; double alpha, beta; } table[] = {
  [ACT_SIGMOID] = {"Sigmoid", NAN, NAN},
  [ACT_TANH] = {"Tanh", NAN, NAN},
  [ACT_RELU] = {"Relu", NAN, NAN},
  [ACT_AFFINE] = {"Affine", 1, 0},
  [ACT_LEAKY_RELU] = {"LeakyRelu", 0.01, NAN},
  [ACT_THRESHOLDED_RELU] = {"ThresholdedRelu", 1, NAN},
  [ACT_SCALED_TANH] = {"ScaledTanh", 1, 1},
  [ACT_HARD_SIGMOID] = {"HardSigmoid", 0.2, 0.5},
  [ACT_ELU] = {"Elu", 1, NAN},
  [ACT_SOFTSIGN] = {"Softsign", NAN, NAN},
  [ACT_SOFTPLUS] = {"Softplus", NAN, NAN},
};

enum { NACTS = sizeof table / sizeof *table };

/* ---- attributes ----------------------------------------------------- */

/* Numbers that activations take in turn. */
typedef struct Numbers { const double *v; int n, next; } Numbers;

static double number_take(Numbers *from, double def) {
  if (isnan(def))
    return 0;
  return from->next < from->n ? from->v[from->next++] : def;
}

static bool act_read(Ox *o, const char *name, Numbers *alpha, Numbers *beta,
                     RnnAct *out) {
  int kind = 0;
  while (kind < NACTS && strcasecmp(table[kind].name, name))
    kind++;
  if (kind == NACTS)
    return ox_malformed(o, "\"%s\" is no activation", name);
  out->kind = kind;
  out->alpha = number_take(alpha, table[kind].alpha);
  out->beta = number_take(beta, table[kind].beta);
  return true;
}

bool rnn_acts_read(Rnn *n, const char *const *acts) {
  Ox *o = n->o;
  Numbers alpha = {0}, beta = {0};
  const OnnxFile__Attribute *at = ox_attr(o, "activations");
  int want = n->dirs * n->acts;
  alpha.n = ox_floats(o, "activation_alpha", &alpha.v);
  beta.n = ox_floats(o, "activation_beta", &beta.v);
  if (at && at->n_strings != (size_t)want)
    return ox_malformed(o, "%zu activations, expected %d", at->n_strings,
                        want);
  for (int i = 0; i < want; i++) {
    const char *name = acts[i % n->acts];
    if (at)
      name = arena_strndup(o->a, (const char *)at->strings[i].data,
                           at->strings[i].len);
    if (!act_read(o, name, &alpha, &beta, &n->act[i]))
      return false;
  }
  return true;
}

/* ---- nodes ---------------------------------------------------------- */

static Node *thresholded(Ox *o, Node *x, double alpha) {
  Node *c = ox_op2(o, OP_GREATER, x, ox_scalar(o, F32, alpha));
  return ox_op3(o, OP_WHERE, c, x, ox_scalar(o, F32, 0));
}

static Node *affine(Ox *o, Node *x, double alpha, double beta) {
  x = alpha == 1 ? x : ox_with(o, OP_MUL, x, alpha);
  return beta == 0 ? x : ox_with(o, OP_ADD, x, beta);
}

Node *rnn_act_write(Ox *o, const RnnAct *a, Node *x) {
  switch (a->kind) {
  case ACT_SIGMOID: return ox_op1(o, OP_SIGMOID, x);
  case ACT_TANH: return ox_op1(o, OP_TANH, x);
  case ACT_RELU: return ox_op1(o, OP_RELU, x);
  case ACT_AFFINE: return affine(o, x, a->alpha, a->beta);
  case ACT_LEAKY_RELU:
    return ox_op_float(o, OP_LEAKY_RELU, x, "alpha", a->alpha);
  case ACT_THRESHOLDED_RELU: return thresholded(o, x, a->alpha);
  case ACT_SCALED_TANH:
    x = ox_op1(o, OP_TANH, affine(o, x, a->beta, 0));
    return affine(o, x, a->alpha, 0);
  case ACT_HARD_SIGMOID:
    return ox_clipped(o, affine(o, x, a->alpha, a->beta), 0, 1);
  case ACT_ELU: return ox_op_float(o, OP_ELU, x, "alpha", a->alpha);
  case ACT_SOFTSIGN:
    return ox_op2(o, OP_DIV, x,
                  ox_with(o, OP_ADD, ox_op1(o, OP_ABS, x), 1));
  case ACT_SOFTPLUS: return ox_softplus(o, x);
  }
  unreachable();
}
