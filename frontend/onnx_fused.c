/* onnx_fused.c - what optimisers of transformers make of several operators:
 * embeddings, normalisations of rows, activations with a bias. */
#include "frontend/onnx_norm.h"

/* ---- normalisation of rows ------------------------------------------- */

static bool norm_axis(Ox *o, OxNorm *n) {
  if (!n->x || !n->scale)
    return false;
  return ox_axis(o, ox_int(o, "axis", -1), n->x->type.rank, &n->axis);
}

/* LayerNormalization outside of the standard: results are the rows, means
 * and the reciprocals of deviations. */
bool ox_write_ms_layer_norm(Ox *o) {
  OxNorm n = {.x = ox_in(o, 0), .scale = ox_in(o, 1), .shift = ox_opt(o, 2),
            .eps = ox_float(o, "epsilon", 1e-5), .centred = true};
  if (!norm_axis(o, &n) || !ox_give(o, 0, ox_normed(o, &n)))
    return false;
  return (!ox_wants(o, 1) || ox_give(o, 1, n.mean)) &&
         (!ox_wants(o, 2) || ox_give(o, 2, n.inv));
}

bool ox_write_simplified_norm(Ox *o) {
  OxNorm n = {.x = ox_in(o, 0), .scale = ox_in(o, 1),
            .eps = ox_float(o, "epsilon", 1e-5)};
  if (!norm_axis(o, &n) || !ox_give(o, 0, ox_normed(o, &n)))
    return false;
  return !ox_wants(o, 1) || ox_give(o, 1, n.inv);
}

/* Rows of the sum of two, and of a bias. */
static bool skip_write(Ox *o, OxNorm *n, int bias) {
  Node *x = ox_in(o, 0), *skip = ox_in(o, 1), *b = ox_opt(o, bias);
  if (!x || !skip || !n->scale)
    return false;
  n->x = ox_op2(o, OP_ADD, x, skip);
  n->x = b ? ox_op2(o, OP_ADD, n->x, b) : n->x;
  if (!n->x)
    return false;
  if (!x->type.rank || !type_same_shape(&n->x->type, &x->type))
    return ox_malformed(o, "operands that do not broadcast to the input");
  n->axis = x->type.rank - 1;
  if (!ox_give(o, 0, ox_normed(o, n)))
    return false;
  return (!ox_wants(o, 1) || !n->mean || ox_give(o, 1, n->mean)) &&
         (!ox_wants(o, 2) || ox_give(o, 2, n->inv)) &&
         (!ox_wants(o, 3) || ox_give(o, 3, n->x));
}

bool ox_write_skip_layer_norm(Ox *o) {
  OxNorm n = {.scale = ox_in(o, 2), .shift = ox_opt(o, 3),
            .eps = ox_float(o, "epsilon", 1e-12), .centred = true};
  return skip_write(o, &n, 4);
}

bool ox_write_skip_simplified_norm(Ox *o) {
  OxNorm n = {.scale = ox_in(o, 2), .eps = ox_float(o, "epsilon", 1e-12)};
  return skip_write(o, &n, 3);
}

/* ---- embeddings ----------------------------------------------------- */

/* The rows of a table that operand `ids` names. */
static Node *looked_up(Ox *o, int ids, int table) {
  return ox_gather(o, ox_in(o, table), ox_in(o, ids), 0);
}

/* How many tokens are no padding. */
static bool mask_index(Ox *o, const Node *ids) {
  if (!ox_wants(o, 1))
    return true;
  Elem e = ids->type.elem;
  if (!ox_has_in(o, 7))
    return ox_give(o, 1, ox_filled(o, e, 1, ids->type.dim, 0));
  Node *m = ox_in(o, 7);
  m = ox_cast(o, ox_with(o, OP_EQUAL, m, 1), e);
  int64_t axis = 1;
  if (m && m->type.rank != 2)
    return ox_malformed(o, "a mask of rank %d, expected 2", m->type.rank);
  return ox_give(o, 1, ox_reduce(o, OP_SUM, m, &axis, 1, false));
}

bool ox_write_embed_norm(Ox *o) {
  enum { IDS, SEGMENTS, WORDS, PLACES, SEGMENT_TABLE, GAMMA, BETA, MASK,
         POSITIONS };
  Node *ids = ox_in(o, IDS), *places = ox_in(o, PLACES);
  Node *x = ids ? looked_up(o, IDS, WORDS) : NULL;
  if (!x || !places)
    return false;
  if (ids->type.rank != 2 || places->type.rank != 2 || x->type.rank != 3)
    return ox_malformed(o, "tokens or tables that are no matrices");
  int64_t s = ids->type.dim[1];
  if (!ox_has_in(o, POSITIONS) && places->type.dim[0] < s)
    return ox_malformed(o, "%lld places for %lld tokens",
                        (long long)places->type.dim[0], (long long)s);
  Type t = x->type;
  x = ox_op2(o, OP_ADD, x,
             ox_has_in(o, POSITIONS) ? looked_up(o, POSITIONS, PLACES)
                                     : ox_slice(o, places, 0, 0, s, 1));
  if (ox_has_in(o, SEGMENTS))
    x = ox_op2(o, OP_ADD, x, looked_up(o, SEGMENTS, SEGMENT_TABLE));
  if (x && !type_same_shape(&x->type, &t))
    return ox_malformed(o, "tables of different sizes");
  OxNorm n = {.x = x, .scale = ox_in(o, GAMMA), .shift = ox_in(o, BETA),
            .axis = 2, .eps = ox_float(o, "epsilon", 1e-12), .centred = true};
  if (!n.scale || !n.shift || !ox_give_as(o, 0, ox_normed(o, &n),
                                         ox_in_type(o, WORDS)))
    return false;
  return mask_index(o, ids) &&
         (!ox_wants(o, 2) || ox_give_as(o, 2, x, ox_in_type(o, WORDS)));
}

/* ---- activations ---------------------------------------------------- */

/* With operand 1, where it is there. */
static Node *with_bias(Ox *o) {
  Node *x = ox_in(o, 0);
  if (!ox_has_in(o, 1))
    return x;
  return ox_op2(o, OP_ADD, x, ox_in(o, 1));
}

bool ox_write_ms_gelu(Ox *o) {
  return ox_give(o, 0, ox_op1(o, OP_GELU, with_bias(o)));
}

/* x/2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3)
 * (Hendrycks and Gimpel, 2016). */
static Node *fast_gelu(Ox *o, Node *x) {
  Node *u = ox_with(o, OP_MUL, ox_op1(o, OP_SQUARE, x), 0.07135481627260025);
  u = ox_op2(o, OP_MUL, ox_with(o, OP_ADD, u, 1.5957691216057308), x);
  return ox_op2(o, OP_MUL, ox_op1(o, OP_SIGMOID, u), x);
}

bool ox_write_fast_gelu(Ox *o) {
  return ox_give(o, 0, fast_gelu(o, with_bias(o)));
}

bool ox_write_quick_gelu(Ox *o) {
  Node *x = ox_in(o, 0);
  double alpha = ox_float(o, "alpha", 1.702);
  Node *u = alpha == 1 ? x : ox_with(o, OP_MUL, x, alpha);
  return ox_give(o, 0, ox_op2(o, OP_MUL, x, ox_op1(o, OP_SIGMOID, u)));
}

/* Half of the last axis, times the activation of the other half. */
bool ox_write_bias_split_gelu(Ox *o) {
  Node *x = with_bias(o);
  if (!x)
    return false;
  int last = x->type.rank - 1;
  if (last < 0 || x->type.dim[last] % 2)
    return ox_malformed(o, "an odd size");
  int64_t n = x->type.dim[last];
  Node *gate = ox_op1(o, OP_GELU, ox_slice(o, x, last, n / 2, n, 1));
  return ox_give(o, 0, ox_op2(o, OP_MUL, ox_slice(o, x, last, 0, n / 2, 1),
                              gate));
}

bool ox_write_bias_add(Ox *o) {
  return ox_give(o, 0, ox_op2(o, OP_ADD, with_bias(o), ox_in(o, 2)));
}

/* Over all axes from `axis` on as one. */
bool ox_write_bias_softmax(Ox *o) {
  Node *x = with_bias(o), *in = ox_in(o, 0);
  int axis;
  if (!x || !ox_axis(o, ox_int(o, "axis", 1), in->type.rank, &axis))
    return false;
  if (!type_same_shape(&x->type, &in->type))
    return ox_malformed(o, "a bias that does not broadcast to the scores");
  Type t = x->type;
  int64_t dim[2] = {1, 1};
  for (int i = 0; i < t.rank; i++)
    dim[i >= axis] *= t.dim[i];
  if (axis < t.rank - 1)
    x = ox_reshape(o, x, 2, dim);
  x = ox_op1(o, OP_SOFTMAX, x);
  return ox_give(o, 0, ox_reshape(o, x, t.rank, t.dim));
}
