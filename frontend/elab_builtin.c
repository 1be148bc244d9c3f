/* elab_builtin.c - functions of the language that make no node: shapes of
 * values, and arithmetic on numbers. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

static const Value none = {.kind = VAL_NONE};

/* min, max, sqrt, ... are ops too: on numbers they are worked out here. */
static const char *const on_numbers[] = {
  "min", "max", "sqrt", "exp", "log", "abs"
};
static const char *const on_shapes[] = {
  "dim", "dims", "rank", "len", "spread"
};

bool builtin_known(const char *name, const CallArgs *args) {
  for (size_t i = 0; i < sizeof on_shapes / sizeof *on_shapes; i++)
    if (!strcmp(name, on_shapes[i]))
      return true;
  for (size_t i = 0; i < sizeof on_numbers / sizeof *on_numbers; i++)
    if (!strcmp(name, on_numbers[i]))
      return args->n && value_is_number(&args->at[0].v);
  return false;
}

static bool args_plain(Elab *e, const char *name, const CallArgs *args,
                       size_t lo, size_t hi, Span at) {
  bool ok = args->n >= lo && args->n <= hi;
  for (size_t i = 0; i < args->n; i++)
    ok &= !args->at[i].name.s;
  if (ok)
    return true;
  if (lo == hi)
    elab_error(e, at, "%s takes %zu argument%s without a name", name, lo,
               lo == 1 ? "" : "s");
  else
    elab_error(e, at, "%s takes %zu to %zu arguments without a name", name,
               lo, hi);
  return false;
}

static const Type *shape_arg(Elab *e, const char *name, const CallArg *arg) {
  if (arg->v.kind == VAL_NODE)
    return &arg->v.node->type;
  elab_error(e, arg->span, "%s: expected a tensor, found %s", name,
             value_describe(e->a, &arg->v));
  return NULL;
}

/* An axis, counted from the end when negative; `end`: one behind counts. */
static bool axis_arg(Elab *e, const char *name, const CallArg *arg, int rank,
                     bool end, int *out) {
  int64_t i = arg->v.i;
  if (arg->v.kind == VAL_INT && i < 0)
    i += rank;
  if (arg->v.kind == VAL_INT && i >= 0 && i < rank + end) {
    *out = (int)i;
    return true;
  }
  elab_error(e, arg->span, "%s: expected an axis of a tensor of rank %d, "
             "found %s", name, rank, value_describe(e->a, &arg->v));
  return false;
}

static Value eval_dims(Elab *e, const CallArgs *args, Span at) {
  int lo = 0, hi;
  if (!args_plain(e, "dims", args, 1, 3, at))
    return none;
  const Type *t = shape_arg(e, "dims", &args->at[0]);
  if (!t)
    return none;
  hi = t->rank;
  if (args->n > 1 && !axis_arg(e, "dims", &args->at[1], hi, true, &lo))
    return none;
  if (args->n > 2 &&
      !axis_arg(e, "dims", &args->at[2], t->rank, true, &hi))
    return none;
  size_t n = hi > lo ? (size_t)(hi - lo) : 0;
  Value *list = arena_array(e->a, Value, n + 1);
  for (size_t i = 0; i < n; i++)
    list[i] = value_int(t->dim[lo + (int)i]);
  return value_list(VAL_LIST, list, n);
}

/* spread(v, n): n ints from one, or from a list whose length divides n. */
static Value eval_spread(Elab *e, const CallArgs *args, Span at) {
  const int64_t *ints;
  int n;
  if (!args_plain(e, "spread", args, 2, 2, at))
    return none;
  const Value *v = &args->at[0].v, *count = &args->at[1].v;
  if (count->kind != VAL_INT || count->i < 1 || count->i > 64)
    return elab_error(e, args->at[1].span, "spread: expected a number from "
                      "1 to 64, found %s", value_describe(e->a, count));
  if (!value_ints(e->a, v, &ints, &n) || n < 1 || count->i % n)
    return elab_error(e, args->at[0].span, "expected an int or %lld of them, "
                      "found %s", (long long)count->i,
                      value_describe(e->a, v));
  Value *list = arena_array(e->a, Value, (size_t)count->i);
  for (int64_t i = 0; i < count->i; i++)
    list[i] = value_int(ints[i % n]);
  return value_list(VAL_LIST, list, (size_t)count->i);
}

static Value eval_shape(Elab *e, const char *name, const CallArgs *args,
                        Span at) {
  if (!strcmp(name, "dims"))
    return eval_dims(e, args, at);
  if (!strcmp(name, "spread"))
    return eval_spread(e, args, at);
  bool two = !strcmp(name, "dim");
  if (!args_plain(e, name, args, 1 + two, 1 + two, at))
    return none;
  if (!strcmp(name, "len")) {
    int64_t n = value_len(&args->at[0].v);
    if (n >= 0)
      return value_int(n);
    return elab_error(e, args->at[0].span, "len: expected a list, found %s",
                      value_describe(e->a, &args->at[0].v));
  }
  const Type *t = shape_arg(e, name, &args->at[0]);
  int axis;
  if (!t)
    return none;
  if (!two)
    return value_int(t->rank);
  if (!axis_arg(e, name, &args->at[1], t->rank, false, &axis))
    return none;
  return value_int(t->dim[axis]);
}

static Value eval_extreme(bool max, const CallArgs *args) {
  Value best = args->at[0].v;
  for (size_t i = 1; i < args->n; i++) {
    const Value *v = &args->at[i].v;
    bool ints = best.kind == VAL_INT && v->kind == VAL_INT;
    bool less = ints ? v->i < best.i
                     : value_number(v) < value_number(&best);
    bool more = ints ? v->i > best.i
                     : value_number(v) > value_number(&best);
    if (max ? more : less)
      best = *v;
  }
  return best;
}

static Value eval_math(const char *name, double x) {
  if (!strcmp(name, "sqrt"))
    return value_float(sqrt(x));
  if (!strcmp(name, "exp"))
    return value_float(exp(x));
  return value_float(log(x));
}

Value elab_builtin(Elab *e, const char *name, const CallArgs *args, Span at) {
  for (size_t i = 0; i < sizeof on_shapes / sizeof *on_shapes; i++)
    if (!strcmp(name, on_shapes[i]))
      return eval_shape(e, name, args, at);
  bool extreme = !strcmp(name, "min") || !strcmp(name, "max");
  if (!args_plain(e, name, args, 1, extreme ? 64 : 1, at))
    return none;
  for (size_t i = 0; i < args->n; i++)
    if (!value_is_number(&args->at[i].v))
      return elab_error(e, args->at[i].span,
                        "%s: expected a number, found %s", name,
                        value_describe(e->a, &args->at[i].v));
  const Value *x = &args->at[0].v;
  if (extreme)
    return eval_extreme(!strcmp(name, "max"), args);
  if (strcmp(name, "abs"))
    return eval_math(name, value_number(x));
  if (x->kind == VAL_FLOAT)
    return value_float(fabs(x->f));
  if (x->i == INT64_MIN)
    return elab_error(e, args->at[0].span, "abs: the result does not fit 64 "
                      "bits");
  return value_int(x->i < 0 ? -x->i : x->i);
}
