/* onnx_loss.c - losses of an ONNX file, and what it draws at random, which a
 * run does not. */
#include "frontend/onnx_move.h"

#include <string.h>

/* ---- negative log likelihood ---------------------------------------- */

typedef struct Loss {
  Node *x;               /* [N,C,...], logarithms of probabilities */
  Node *target;          /* [N,...] */
  Node *weight;          /* [C], or NULL */
  Node *ignored;         /* [N,...], bool; NULL: none is */
} Loss;

static bool shapes_fit(Ox *o, const Loss *l) {
  const Type *x = &l->x->type, *t = &l->target->type;
  bool ok = x->rank >= 2 && t->rank == x->rank - 1;
  for (int i = 0; ok && i < t->rank; i++)
    ok = t->dim[i] == x->dim[i ? i + 1 : 0];
  if (ok && l->weight)
    ok = l->weight->type.rank == 1 && l->weight->type.dim[0] == x->dim[1];
  if (!ok)
    return ox_malformed(o, "expected a target [N,...] and a weight [C] of "
                        "an operand [N,C,...]");
  return t->elem == I32 || t->elem == I64 ||
         ox_malformed(o, "the target is of type %s, expected integers",
                      ox_type_name(ox_in_type(o, 1)));
}

/* -x[n,target[n],...], by comparison with the number of each class. */
static Node *picked(Ox *o, const Loss *l) {
  int64_t classes = 1;
  Node *number = ox_ruler(o, I32, l->x->type.rank, 1, l->x->type.dim[1]);
  Node *target = ox_unsqueeze(o, l->target, 1);
  number = ox_cast(o, number, l->target->type.elem);
  Node *hit = ox_op2(o, OP_EQUAL, target, number);
  Node *y = ox_op3(o, OP_WHERE, hit, ox_op1(o, OP_NEG, l->x),
                   ox_scalar(o, F32, 0));
  return ox_reduce(o, OP_SUM, y, &classes, 1, false);
}

/* What each of the losses counts in their mean; NULL: all are 1. */
static Node *counts(Ox *o, const Loss *l, Node *weight) {
  if (!l->ignored)
    return weight;
  return ox_op3(o, OP_WHERE, l->ignored, ox_scalar(o, F32, 0),
                weight ? weight : ox_scalar(o, F32, 1));
}

static Node *losses(Ox *o, const Loss *l, Node *weight) {
  Node *y = picked(o, l);
  if (weight)
    y = ox_op2(o, OP_MUL, y, weight);
  if (l->ignored)
    y = ox_op3(o, OP_WHERE, l->ignored, ox_scalar(o, F32, 0), y);
  return y;
}

/* The loss by `reduction`; a mean is by the sum of weights. */
static Node *loss(Ox *o, Loss *l) {
  const char *how = ox_str(o, "reduction", "mean");
  bool none = !strcmp(how, "none"), mean = !strcmp(how, "mean");
  if (!none && !mean && strcmp(how, "sum")) {
    ox_malformed(o, "reduction \"%s\", expected none, mean or sum", how);
    return NULL;
  }
  if (ox_has(o, "ignore_index")) {
    int64_t ignored = ox_int_any(o, "ignore_index", 0);
    /* Compared as i64: it may be none of the targets' numbers. */
    bool wide = ignored < INT32_MIN || ignored > INT32_MAX;
    Node *t = wide ? ox_cast(o, l->target, I64) : l->target;
    l->ignored = t ? ox_op2(o, OP_EQUAL, t,
                            ox_scalar_int(o, t->type.elem, ignored)) : NULL;
  }
  Node *w = l->weight ? ox_gather(o, l->weight, l->target, 0) : NULL;
  Node *y = losses(o, l, w), *count = counts(o, l, w);
  if (none)
    return y;
  if (mean && !count)
    return ox_reduce(o, OP_MEAN, y, NULL, 0, false);
  y = ox_reduce(o, OP_SUM, y, NULL, 0, false);
  if (!mean)
    return y;
  return ox_op2(o, OP_DIV, y, ox_reduce(o, OP_SUM, count, NULL, 0, false));
}

static bool loss_operands(Ox *o, Loss *l) {
  l->x = ox_in(o, 0);
  l->target = ox_in(o, 1);
  l->weight = ox_opt(o, 2);
  return l->x && l->target && (l->weight || !ox_has_in(o, 2)) &&
         shapes_fit(o, l);
}

bool ox_write_nll_loss(Ox *o) {
  Loss l = {0};
  return loss_operands(o, &l) &&
         ox_give_as(o, 0, loss(o, &l), ox_in_type(o, 0));
}

bool ox_write_cross_entropy(Ox *o) {
  int type = ox_in_type(o, 0);
  Loss l = {0};
  if (!loss_operands(o, &l))
    return false;
  l.x = ox_log_softmax(o, l.x, 1);
  return l.x && ox_give_as(o, 1, l.x, type) &&
         ox_give_as(o, 0, loss(o, &l), type);
}

/* ---- random --------------------------------------------------------- */

bool ox_write_random(Ox *o) {
  return ox_refuse(o, "it draws numbers at random");
}

/* Whether the ratio may be other than 0 in training, which is what an
 * inference must not be. */
static bool dropout_acts(Ox *o) {
  int64_t training = 0;
  double ratio = 0.5;
  if (o->opset < 12 || !ox_has_in(o, 2))
    return false;
  if (!ox_const_int(o, 2, "training_mode", &training))
    return true;
  if (!training || (ox_has_in(o, 1) &&
                    ox_const_float(o, 1, "ratio", &ratio) && ratio == 0))
    return false;
  if (!o->said)
    ox_refuse(o, "training_mode");
  return true;
}

/* x itself.  The mask, all ones, is of x's type before opset 10. */
bool ox_write_dropout(Ox *o) {
  Node *x = ox_in(o, 0);
  int type = ox_in_type(o, 0);
  if (!x || dropout_acts(o))
    return false;
  if (ox_wants(o, 1)) {
    int mask = o->opset < 10 ? type : OX_BOOL;
    Node *ones = ox_filled(o, o->opset < 10 ? x->type.elem : B1,
                           x->type.rank, x->type.dim, 1);
    if (!ox_give_as(o, 1, ones, mask))
      return false;
  }
  return ox_give_as(o, 0, x, type);
}
