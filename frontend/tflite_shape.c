/* tflite_shape.c - operators that move values. */
#include "frontend/tflite.h"

#include <string.h>

/* All that only gives another shape; the file says which. */
bool tf_write_reshape(Tf *t) {
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  if (!tf_arity(t, 1))
    return false;
  if (tf_elems(x) != tf_elems(y) && tf_in(t, 1) && !tf_const(t, tf_in(t, 1)))
    return tf_refuse(t, "operand 1 is computed");
  if (tf_elems(x) != tf_elems(y))
    return tf_malformed(t, "expected a result of %lld elements, found %lld",
                        (long long)tf_elems(x), (long long)tf_elems(y));
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)",
                 tf_value(t, x, FORM_FILE), tf_list(t, y->dim, y->rank));
}

/* Nothing moves twice: from planes, the order is composed. */
bool tf_write_transpose(Tf *t) {
  int64_t order[MAX_RANK];
  if (!tf_arity(t, 2))
    return false;
  TfTensor *x = tf_in(t, 0);
  int n = tf_ints(t, 1, "order", order, x->rank, x->rank);
  if (n < 0)
    return false;
  Form f = tf_held(x);
  for (int i = 0; i < n; i++) {
    int axis = tf_axis(x, order[i], f);
    if (axis < 0)
      return tf_refuse(t, "axis %lld of rank %d", (long long)order[i],
                       x->rank);
    order[i] = axis;
  }
  return tf_give(t, 0, FORM_FILE, "permute(%s, order=%s)",
                 tf_value(t, x, f), tf_list(t, order, n));
}

/* ---- joining and cutting -------------------------------------------- */

bool tf_write_concat(Tf *t) {
  TfTensor *y = tf_out(t, 0);
  int64_t axis = flat_int(t->op->options, 0, 4, 0);
  Form f = tf_form(t);
  Text s = {0};
  if (!tf_arity(t, t->op->nin ? t->op->nin : 1))
    return false;
  if (tf_axis(y, axis, f) < 0)
    return tf_refuse(t, "axis %lld of rank %d", (long long)axis, y->rank);
  for (int i = 0; i < t->op->nin; i++)
    if (tf_in(t, i)->rank != y->rank)
      return tf_refuse(t, "operand %d of rank %d, expected %d", i,
                       tf_in(t, i)->rank, y->rank);
  for (int i = 0; i < t->op->nin; i++)
    text_printf(&s, "%s%s", i ? ", " : "", tf_value(t, tf_in(t, i), f));
  const char *all = arena_strdup(t->a, s.s);
  text_free(&s);
  return tf_give_act(t, f, (int)flat_int(t->op->options, 1, 1, 0),
                     "concat(%s, axis=%d)", all, tf_axis(y, axis, f));
}

bool tf_write_pack(Tf *t) {
  TfTensor *y = tf_out(t, 0);
  int64_t one[MAX_RANK];
  int64_t given = flat_int(t->op->options, 1, 4, 0);
  int axis = tf_axis(y, given, FORM_FILE);
  if (!tf_arity(t, t->op->nin ? t->op->nin : 1))
    return false;
  if (axis < 0)
    return tf_refuse(t, "axis %lld of a result of rank %d", (long long)given,
                     y->rank);
  memcpy(one, y->dim, sizeof one);
  one[axis] = 1;
  Text s = {0};
  text_puts(&s, "");
  for (int i = 0; i < t->op->nin; i++) {
    TfTensor *x = tf_in(t, i);
    const char *v = tf_value(t, x, FORM_FILE);
    text_printf(&s, "%s%s", i ? ", " : "",
                tf_temp(t, "reshape(%s, shape=%s)", v,
                        tf_list(t, one, y->rank)));
  }
  tf_give(t, 0, FORM_FILE, "concat(%s, axis=%d)", s.s, axis);
  text_free(&s);
  return true;
}

bool tf_write_unpack(Tf *t) {
  int64_t given = flat_int(t->op->options, 1, 4, 0);
  if (!tf_arity(t, 1))
    return false;
  TfTensor *x = tf_in(t, 0);
  int axis = tf_axis(x, given, FORM_FILE);
  if (axis < 0)
    return tf_refuse(t, "axis %lld of rank %d", (long long)given, x->rank);
  if (t->op->nout != x->dim[axis])
    return tf_refuse(t, "%d results of an axis of size %lld", t->op->nout,
                     (long long)x->dim[axis]);
  const char *v = tf_value(t, x, FORM_FILE);
  for (int i = 0; i < t->op->nout; i++)
    tf_give(t, i, FORM_FILE, "select(%s, index=%d, axis=%d)", v, i, axis);
  return true;
}

/* ---- padding and blocks --------------------------------------------- */

/* What an attribute does not hold, or what is computed, is chosen where no
 * element of x lies. */
static bool pad_give(Tf *t, Form f, const char *x, const char *sizes) {
  Type type = tf_form_type(tf_in(t, 0), f);
  TfTensor *value = tf_in(t, 2);
  if (tf_elems(value) != 1)
    return tf_refuse(t, "a value of %lld elements, expected 1",
                     (long long)tf_elems(value));
  const char *v = tf_reshape(t, tf_value(t, value, FORM_FILE), value,
                             (int64_t[1]){0}, 0);
  const char *inside = tf_temp(t, "expand(b1(true), shape=%s)",
                               tf_list(t, type.dim, type.rank));
  inside = tf_temp(t, "pad(%s, %s)", inside, sizes);
  return tf_give(t, 0, f, "where(%s, %s, %s)", inside,
                 tf_temp(t, "pad(%s, %s)", x, sizes), v);
}

bool tf_write_pad(Tf *t) {
  int64_t by[2 * MAX_RANK], before[MAX_RANK], after[MAX_RANK];
  double value = 0;
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  if (!tf_arity(t, 2) ||
      tf_ints(t, 1, "sizes", by, 2 * x->rank, 2 * x->rank) < 0)
    return false;
  bool given = !tf_in(t, 2) || tf_number(t, tf_in(t, 2), &value);
  /* Planes that grow are there for a window. */
  bool planes = x->rank == 4 && y->rank == 4 && !by[0] && !by[1] &&
                !by[6] && !by[7];
  Form f = planes ? FORM_PLANES : tf_form(t);
  for (int i = 0; i < x->rank; i++) {
    before[tf_axis(x, i, f)] = by[2 * i];
    after[tf_axis(x, i, f)] = by[2 * i + 1];
  }
  const char *v = tf_value(t, x, f);
  const char *sizes = arena_printf(t->a, "before=%s, after=%s",
                                   tf_list(t, before, x->rank),
                                   tf_list(t, after, x->rank));
  if (!given)
    return pad_give(t, f, v, sizes);
  Text s = {0};
  text_puts(&s, "");
  if (value != 0) {
    text_puts(&s, ", value=");
    text_float(&s, value, true);
  }
  tf_give(t, 0, f, "pad(%s, %s%s)", v, sizes, s.s);
  text_free(&s);
  return true;
}

static bool blocks_refuse(Tf *t, int64_t b, const TfTensor *x) {
  return tf_refuse(t, "blocks of %lld do not fit an operand of shape %s",
                   (long long)b, x ? tf_list(t, x->dim, x->rank) : "none");
}

/* Channels are [row of the block, column of the block, rest]. */
bool tf_write_depth_to_space(Tf *t) {
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  int64_t b = flat_int(t->op->options, 0, 4, 0);
  if (!x || !y || x->rank != 4 || y->rank != 4 || b < 1 || b > 1 << 15 ||
      x->dim[3] % (b * b))
    return blocks_refuse(t, b, x);
  int64_t n = x->dim[0], h = x->dim[1], w = x->dim[2];
  int64_t c = x->dim[3] / (b * b);
  const char *v = tf_temp(t, "reshape(%s, shape=%s)",
                          tf_value(t, x, FORM_PLANES),
                          tf_list(t, (int64_t[]){n, b, b, c, h, w}, 6));
  v = tf_temp(t, "permute(%s, order=[0,3,4,1,5,2])", v);
  return tf_give(t, 0, FORM_PLANES, "reshape(%s, shape=%s)", v,
                 tf_list(t, (int64_t[]){n, c, h * b, w * b}, 4));
}

bool tf_write_space_to_depth(Tf *t) {
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  int64_t b = flat_int(t->op->options, 0, 4, 0);
  if (!x || !y || x->rank != 4 || y->rank != 4 || b < 1 || b > 1 << 15 ||
      x->dim[1] % b || x->dim[2] % b)
    return blocks_refuse(t, b, x);
  int64_t n = x->dim[0], h = x->dim[1] / b, w = x->dim[2] / b;
  int64_t c = x->dim[3];
  const char *v = tf_temp(t, "reshape(%s, shape=%s)",
                          tf_value(t, x, FORM_PLANES),
                          tf_list(t, (int64_t[]){n, c, h, b, w, b}, 6));
  v = tf_temp(t, "permute(%s, order=[0,3,5,1,2,4])", v);
  return tf_give(t, 0, FORM_PLANES, "reshape(%s, shape=%s)", v,
                 tf_list(t, (int64_t[]){n, b * b * c, h, w}, 4));
}

bool tf_write_broadcast(Tf *t) {
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  if (!x || !y)
    return tf_refuse(t, "expected an operand");
  return tf_give(t, 0, FORM_FILE, "expand(%s, shape=%s)",
                 tf_value(t, x, FORM_FILE), tf_list(t, y->dim, y->rank));
}
