/* tflite_shape.c - operators that move values. */
#include "frontend/tflite.h"

#include <string.h>

/* All that only gives another shape; the file says which. */
bool tf_write_reshape(Tf *t) {
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  if (!x || !y || tf_elems(x) != tf_elems(y))
    return tf_refuse(t, "a shape that is computed");
  return tf_give(t, 0, FORM_FILE, "reshape(%s, shape=%s)",
                 tf_value(t, x, FORM_FILE), tf_list(t, y->dim, y->rank));
}

/* Nothing moves twice: from planes, the order is composed. */
bool tf_write_transpose(Tf *t) {
  int64_t order[MAX_RANK];
  TfTensor *x = tf_in(t, 0);
  int n = tf_ints(t, tf_in(t, 1), order, MAX_RANK);
  if (!x || n != x->rank)
    return tf_refuse(t, "an order that is computed");
  Form f = tf_form(t);
  for (int i = 0; i < n; i++) {
    int axis = tf_axis(x, order[i], f);
    if (axis < 0)
      return tf_refuse(t, "axis %lld", (long long)order[i]);
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
  int n = 0;
  if (!y || !t->op->nin || tf_axis(y, axis, f) < 0)
    return tf_refuse(t, "axis %lld", (long long)axis);
  for (int i = 0; i < t->op->nin; i++) {
    TfTensor *x = tf_in(t, i);
    if (!x || x->rank != y->rank)
      continue;
    text_printf(&s, "%s%s", n++ ? ", " : "", tf_value(t, x, f));
  }
  const char *all = arena_strdup(t->a, s.s ? s.s : "");
  text_free(&s);
  if (n != t->op->nin)
    return tf_refuse(t, "operands of another rank");
  return tf_give_act(t, f, (int)flat_int(t->op->options, 1, 1, 0),
                     "concat(%s, axis=%d)", all, tf_axis(y, axis, f));
}

static const char *slice_call(Tf *t, const char *v, int axis, int64_t start,
                              int64_t stop, int64_t step) {
  const char *by = step == 1
    ? "" : arena_printf(t->a, ", step=%lld", (long long)step);
  return arena_printf(t->a, "slice(%s, axis=%d, start=%lld, stop=%lld%s)",
                      v, axis, (long long)start, (long long)stop, by);
}

/* [start,stop) by step along each axis of the file; axes in `drop` have one
 * index, and leave the shape. */
static bool slices_write(Tf *t, const int64_t *start, const int64_t *stop,
                         const int64_t *step, unsigned drop) {
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  Form f = drop ? FORM_FILE : tf_form(t);
  const char *v = tf_value(t, x, f), *call = NULL;
  for (int i = 0; i < x->rank; i++) {
    if (start[i] == 0 && stop[i] == x->dim[i] && step[i] == 1)
      continue;
    if (call)
      v = tf_temp(t, "%s", call);
    call = slice_call(t, v, tf_axis(x, i, f), start[i], stop[i], step[i]);
  }
  if (drop) {
    if (call)
      v = tf_temp(t, "%s", call);
    call = arena_printf(t->a, "reshape(%s, shape=%s)", v,
                        tf_list(t, y->dim, y->rank));
  }
  if (call)
    return tf_give(t, 0, f, "%s", call);
  y->value[f] = v;
  return true;
}

bool tf_write_slice(Tf *t) {
  int64_t start[MAX_RANK], stop[MAX_RANK], step[MAX_RANK];
  TfTensor *x = tf_in(t, 0);
  if (!x || !tf_out(t, 0) ||
      tf_ints(t, tf_in(t, 1), start, MAX_RANK) != x->rank ||
      tf_ints(t, tf_in(t, 2), stop, MAX_RANK) != x->rank)
    return tf_refuse(t, "bounds that are computed");
  for (int i = 0; i < x->rank; i++) {
    if (start[i] < 0 || start[i] > x->dim[i] || stop[i] < -1 ||
        stop[i] > x->dim[i] - start[i])
      return tf_refuse(t, "bounds out of range");
    stop[i] = stop[i] < 0 ? x->dim[i] : start[i] + stop[i];
    step[i] = 1;
  }
  return slices_write(t, start, stop, step, 0);
}

static int64_t clamp(int64_t v, int64_t size) {
  if (v < 0)
    v += size;
  return v < 0 ? 0 : v > size ? size : v;
}

/* Masks, a bit an axis: begin and end that do not count, an ellipsis, new
 * axes, axes that go. */
bool tf_write_strided_slice(Tf *t) {
  int64_t start[MAX_RANK], stop[MAX_RANK], step[MAX_RANK];
  FlatTable o = t->op->options;
  TfTensor *x = tf_in(t, 0);
  int n = tf_ints(t, tf_in(t, 1), start, MAX_RANK);
  if (!x || !tf_out(t, 0) || n < 0 || n > x->rank ||
      tf_ints(t, tf_in(t, 2), stop, MAX_RANK) != n ||
      tf_ints(t, tf_in(t, 3), step, MAX_RANK) != n)
    return tf_refuse(t, "bounds that are computed");
  uint64_t begin = flat_uint(o, 0, 4, 0), end = flat_uint(o, 1, 4, 0);
  uint64_t drop = flat_uint(o, 4, 4, 0) & ((1u << n) - 1);
  if (flat_uint(o, 2, 4, 0) || flat_uint(o, 3, 4, 0) || flat_bool(o, 5))
    return tf_refuse(t, "an ellipsis, a new axis or ends as sizes");
  for (int i = 0; i < x->rank; i++) {
    int64_t d = x->dim[i];
    bool given = i < n;
    if (given && step[i] < 1)
      return tf_refuse(t, "a step below 1");
    step[i] = given ? step[i] : 1;
    start[i] = given && !(begin >> i & 1) ? clamp(start[i], d) : 0;
    stop[i] = given && !(end >> i & 1) ? clamp(stop[i], d) : d;
    if (drop >> i & 1)
      stop[i] = start[i] + 1;
    if (stop[i] > d || stop[i] <= start[i])
      return tf_refuse(t, "bounds without an element between");
  }
  return slices_write(t, start, stop, step, (unsigned)drop);
}

/* The axis comes first in SPLIT and last in SPLIT_V. */
static bool split_write(Tf *t, TfTensor *x, TfTensor *at) {
  int64_t axis, from = 0;
  Form f = x && x->rank == 4 && !x->value[FORM_FILE] &&
           x->value[FORM_PLANES] ? FORM_PLANES : FORM_FILE;
  if (!x || tf_ints(t, at, &axis, 1) != 1 ||
      tf_axis(x, axis, FORM_FILE) < 0)
    return tf_refuse(t, "an axis that is computed");
  int k = tf_axis(x, axis, FORM_FILE);
  const char *v = tf_value(t, x, f);
  for (int i = 0; i < t->op->nout; i++) {
    const TfTensor *y = tf_out(t, i);
    if (y->rank != x->rank || y->dim[k] > x->dim[k] - from)
      return tf_refuse(t, "parts that do not fit");
    tf_give(t, i, f, "%s", slice_call(t, v, tf_axis(x, axis, f), from,
                                      from + y->dim[k], 1));
    from += y->dim[k];
  }
  return true;
}

bool tf_write_split(Tf *t) {
  return split_write(t, tf_in(t, 1), tf_in(t, 0));
}

bool tf_write_split_v(Tf *t) {
  return split_write(t, tf_in(t, 0), tf_in(t, 2));
}

bool tf_write_pack(Tf *t) {
  TfTensor *y = tf_out(t, 0);
  int64_t one[MAX_RANK];
  int axis = y ? tf_axis(y, flat_int(t->op->options, 1, 4, 0), FORM_FILE)
               : -1;
  if (axis < 0 || !t->op->nin)
    return tf_refuse(t, "an axis that the result does not have");
  memcpy(one, y->dim, sizeof one);
  one[axis] = 1;
  Text s = {0};
  text_puts(&s, "");
  for (int i = 0; i < t->op->nin; i++) {
    TfTensor *x = tf_in(t, i);
    const char *v = x ? tf_value(t, x, FORM_FILE) : "0.0";
    text_printf(&s, "%s%s", i ? ", " : "",
                tf_temp(t, "reshape(%s, shape=%s)", v,
                        tf_list(t, one, y->rank)));
  }
  tf_give(t, 0, FORM_FILE, "concat(%s, axis=%d)", s.s, axis);
  text_free(&s);
  return true;
}

bool tf_write_unpack(Tf *t) {
  TfTensor *x = tf_in(t, 0);
  int axis = x ? tf_axis(x, flat_int(t->op->options, 1, 4, 0), FORM_FILE)
               : -1;
  if (axis < 0 || t->op->nout != x->dim[axis])
    return tf_refuse(t, "an axis that the operand does not have");
  const char *v = tf_value(t, x, FORM_FILE);
  for (int i = 0; i < t->op->nout; i++)
    tf_give(t, i, FORM_FILE, "select(%s, index=%d, axis=%d)", v, i, axis);
  return true;
}

/* ---- padding and blocks --------------------------------------------- */

bool tf_write_pad(Tf *t) {
  int64_t by[2 * MAX_RANK], before[MAX_RANK], after[MAX_RANK];
  double value = 0;
  TfTensor *x = tf_in(t, 0);
  if (!x || !tf_out(t, 0) ||
      tf_ints(t, tf_in(t, 1), by, 2 * MAX_RANK) != 2 * x->rank)
    return tf_refuse(t, "sizes that are computed");
  if (tf_in(t, 2) && !tf_number(t, tf_in(t, 2), &value))
    return tf_refuse(t, "a value that is computed");
  /* Planes that grow are there for a window. */
  bool planes = x->rank == 4 && !by[0] && !by[1] && !by[6] && !by[7];
  Form f = planes ? FORM_PLANES : tf_form(t);
  for (int i = 0; i < x->rank; i++) {
    before[tf_axis(x, i, f)] = by[2 * i];
    after[tf_axis(x, i, f)] = by[2 * i + 1];
  }
  Text s = {0};
  text_puts(&s, "");
  if (value != 0) {
    text_puts(&s, ", value=");
    text_float(&s, value, true);
  }
  tf_give(t, 0, f, "pad(%s, before=%s, after=%s%s)", tf_value(t, x, f),
          tf_list(t, before, x->rank), tf_list(t, after, x->rank), s.s);
  text_free(&s);
  return true;
}

/* Channels are [row of the block, column of the block, rest]. */
bool tf_write_depth_to_space(Tf *t) {
  TfTensor *x = tf_in(t, 0), *y = tf_out(t, 0);
  int64_t b = flat_int(t->op->options, 0, 4, 0);
  if (!x || !y || x->rank != 4 || y->rank != 4 || b < 1 || b > 1 << 15 ||
      x->dim[3] % (b * b))
    return tf_refuse(t, "blocks that do not divide the channels");
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
    return tf_refuse(t, "blocks that do not divide the planes");
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
