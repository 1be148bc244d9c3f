/* tflite_value.c - tensors in the form that an op wants them in: params,
 * numbers, values and their permutations. */
#include "frontend/tflite.h"

#include <string.h>

int tf_axis(const TfTensor *x, int64_t i, Form f) {
  static const int planes[] = {0, 2, 3, 1};
  if (i < 0)
    i += x->rank;
  if (i < 0 || i >= x->rank)
    return -1;
  ensure(f == FORM_FILE || x->rank == 4);
  return f == FORM_PLANES ? planes[i] : (int)i;
}

Type tf_form_type(const TfTensor *x, Form f) {
  Type t = type_make((Elem)tf_elem(x), x->rank, x->dim);
  for (int i = 0; i < x->rank && f == FORM_PLANES; i++)
    t.dim[tf_axis(x, i, f)] = x->dim[i];
  return t;
}

/* ---- params --------------------------------------------------------- */

static const char *param_key(Tf *t, const TfParam *p) {
  Text s = {0};
  text_printf(&s, "%p %zu %d %zu", (const void *)p->src->data, p->src->size,
              p->src->type, p->src->sparsity.pos);
  type_print(&s, &p->view);
  type_print(&s, &p->type);
  for (int i = 0; i < p->view.rank; i++)
    text_printf(&s, "%d", p->order[i]);
  const char *key = arena_strdup(t->a, s.s);
  text_free(&s);
  return key;
}

const char *tf_param_add(Tf *t, TfParam p, const char *wish) {
  const char *key = param_key(t, &p);
  const char *path = p.inner ? NULL : map_get(&t->known, key);
  if (path)
    return path;
  p.path = tf_fresh_path(t, wish);
  vec_push(t->a, &t->params, p);
  if (!p.inner)
    map_put(t->a, &t->known, key, (void *)(uintptr_t)p.path);
  return p.path;
}

const char *tf_param(Tf *t, const char *name, const TfTensor *x,
                     const Type *view, const int *order, const Type *type) {
  const TfTensor *c = tf_const(t, x);
  ensure(c && type_elems(view) == type_elems(type));
  TfParam p = {.src = c, .view = *view, .type = *type};
  for (int i = 0; i < view->rank; i++)
    p.order[i] = order ? order[i] : i;
  return tf_param_add(t, p, name
                      ? arena_printf(t->a, "%s.%s", tf_out(t, 0)->path, name)
                      : arena_printf(t->a, "%s.value", x->path));
}

/* A constant of lower rank is seen as rank 4 before its axes move. */
static const char *const_param(Tf *t, const TfTensor *x, Form f) {
  Type view = type_make((Elem)tf_elem(x), x->rank, x->dim), type = view;
  static const int planes[] = {0, 3, 1, 2};
  if (f == FORM_FILE)
    return tf_param(t, NULL, x, &view, NULL, &type);
  ensure(x->rank <= 4);
  view.rank = type.rank = 4;
  for (int i = 0; i < 4; i++)
    view.dim[i] = i < 4 - x->rank ? 1 : x->dim[i - (4 - x->rank)];
  for (int i = 0; i < 4; i++)
    type.dim[i] = view.dim[planes[i]];
  return tf_param(t, NULL, x, &view, planes, &type);
}

/* ---- forms ---------------------------------------------------------- */

Form tf_held(const TfTensor *x) {
  return x->rank == 4 && !x->value[FORM_FILE] && x->value[FORM_PLANES]
         ? FORM_PLANES : FORM_FILE;
}

static Form any_held(Tf *t) {
  for (int i = 0; i < t->op->nin; i++) {
    const TfTensor *x = tf_in(t, i);
    if (x && tf_held(x) == FORM_PLANES)
      return FORM_PLANES;
  }
  return FORM_FILE;
}

Form tf_form(Tf *t) {
  const TfTensor *x = tf_in(t, 0);
  return x && x->rank == 4 && tf_out(t, 0)->rank == 4 ? any_held(t)
                                                      : FORM_FILE;
}

/* Where one of the axes that change places has only one index, nothing
 * moves. */
static const char *convert(Tf *t, TfTensor *x, Form f) {
  Type type = tf_form_type(x, f);
  const char *name = tf_fresh(t, tf_last_name(x->path));
  Text s = {0};
  type_print(&s, &type);
  text_printf(&t->text, "  %s: %s = ", name, s.s);
  text_free(&s);
  if (x->dim[3] == 1 || x->dim[1] * x->dim[2] == 1)
    text_printf(&t->text, "reshape(%s, shape=%s)", x->value[!f],
                tf_list(t, type.dim, 4));
  else
    text_printf(&t->text, "permute(%s, order=%s)", x->value[!f],
                f == FORM_PLANES ? "[0,3,1,2]" : "[0,2,3,1]");
  text_printf(&t->text, " as %s", x->path);
  text_puts(&t->text, " from ");
  text_quote(&t->text, path_base(t->path));
  text_putc(&t->text, ' ');
  text_quote(&t->text, x->name);
  text_puts(&t->text, ";\n");
  return name;
}

/* ---- constants and values ------------------------------------------- */

static const char *scalar_text(Tf *t, Elem e, const char *v) {
  return e == F32 ? arena_strdup(t->a, v)
                  : arena_printf(t->a, "%s(%s)", elem_name(e), v);
}

const char *tf_scalar(Tf *t, Elem e, double v) {
  Text s = {0};
  if (e == B1)
    text_puts(&s, v != 0 ? "true" : "false");
  else if (e == F32)
    text_float(&s, v, true);
  else
    text_printf(&s, "%.0f", v);
  const char *r = scalar_text(t, e, s.s);
  text_free(&s);
  return r;
}

/* A constant of one element as text; NULL: it is none.  The language has no
 * name for the least i64. */
static const char *literal(Tf *t, const TfTensor *x) {
  double v;
  int64_t i;
  Elem e = (Elem)tf_elem(x);
  if (!elem_is_float(e) && e != B1 && tf_integer(t, x, &i))
    return i == INT64_MIN ? NULL
      : scalar_text(t, e, arena_printf(t->a, "%lld", (long long)i));
  return tf_number(t, x, &v) ? tf_scalar(t, e, v) : NULL;
}

/* A number has rank 0: another operand is to give the result its rank. */
static bool rank_given(Tf *t, const TfTensor *x) {
  int rank = tf_out(t, 0)->rank;
  for (int i = 0; i < t->op->nin; i++) {
    const TfTensor *o = tf_in(t, i);
    if (o && o != x && o->rank == rank &&
        (!tf_const(t, o) || tf_elems(o) != 1))
      return true;
  }
  return x->rank == 0;
}

const char *tf_operand(Tf *t, TfTensor *x, Form f) {
  const char *v = x->value[f] || !tf_const(t, x) || !rank_given(t, x)
                  ? NULL : literal(t, x);
  return v ? v : tf_value(t, x, f);
}

/* Values of another shape are written; in planes one element has rank 4. */
static const char *const_value(Tf *t, TfTensor *x, Form f) {
  static const int64_t ones[4] = {1, 1, 1, 1};
  const char *v = literal(t, x);
  if (!v)
    return const_param(t, x, f);
  if (f == FORM_PLANES)
    return tf_temp(t, "reshape(%s, shape=%s)", v, tf_list(t, ones, 4));
  return x->rank == 0 ? v : tf_temp(t, "reshape(%s, shape=%s)", v,
                                    tf_list(t, x->dim, x->rank));
}

/* A state has its path for a name until the op that sets it. */
static void state_declare(Tf *t, TfTensor *x) {
  Type type = tf_form_type(x, FORM_FILE);
  text_printf(&t->states, "  state %s: ", x->path);
  type_print(&t->states, &type);
  text_printf(&t->states, " = %s;\n", tf_scalar(t, (Elem)tf_elem(x), 0));
  x->value[FORM_FILE] = x->path;
}

const char *tf_value(Tf *t, TfTensor *x, Form f) {
  if (x->variable && !x->value[FORM_FILE])
    state_declare(t, x);
  if (x->value[f])
    return x->value[f];
  if (tf_const(t, x)) {
    const char *v = const_value(t, x, f);
    if (tf_elems(x) != 1)
      x->value[f] = v;
    return v;
  }
  if (x->rank == 4 && x->value[!f])
    return x->value[f] = convert(t, x, f);
  /* What a refused op was to give is not refused again. */
  if (x->producer < 0 && !x->data)
    tf_malformed(t, "tensor '%s' has no value", x->name);
  else if (x->producer < 0 || !tf_failed(t))
    tf_refuse(t, "a value that cannot be used");
  return "0.0";
}

const char *tf_reshape(Tf *t, const char *v, const TfTensor *x,
                       const int64_t *dim, int rank) {
  if (rank == x->rank &&
      !memcmp(dim, x->dim, (size_t)rank * sizeof *dim))
    return v;
  return tf_temp(t, "reshape(%s, shape=%s)", v, tf_list(t, dim, rank));
}

/* ---- what many operators ask ---------------------------------------- */

bool tf_arity(Tf *t, int n) {
  if (t->op->nin < n || t->op->nout < 1)
    return tf_refuse(t, "expected %d operands, found %d", n, t->op->nin);
  for (int i = 0; i < n; i++)
    if (!tf_in(t, i))
      return tf_refuse(t, "operand %d is absent", i);
  return true;
}

bool tf_extent_ok(Tf *t, const char *what, int64_t v) {
  enum { MOST = 1 << 20 };
  return (v >= 1 && v <= MOST) ||
         tf_refuse(t, "a %s of %lld, expected 1 to %d", what, (long long)v,
                   MOST);
}

/* Whether all that is computed has rank 4, as constants may get. */
Form tf_broadcast_form(Tf *t) {
  if (tf_out(t, 0)->rank != 4)
    return FORM_FILE;
  for (int i = 0; i < t->op->nin; i++) {
    const TfTensor *x = tf_in(t, i);
    if (x && (x->rank > 4 || (x->rank != 4 && !tf_const(t, x))))
      return FORM_FILE;
  }
  return any_held(t);
}

int tf_axes(Tf *t, int i, const TfTensor *x, int64_t *axes) {
  int64_t given[4 * MAX_RANK];
  unsigned seen = 0;
  int n = tf_ints(t, i, "axes", given, 0, 4 * MAX_RANK), count = 0;
  if (n < 0)
    return -1;
  for (int k = 0; k < n; k++) {
    int axis = tf_axis(x, given[k], FORM_FILE);
    if (axis < 0) {
      tf_refuse(t, "axis %lld of rank %d", (long long)given[k], x->rank);
      return -1;
    }
    if (!(seen >> axis & 1))
      axes[count++] = axis;
    seen |= 1u << axis;
  }
  return count;
}

int64_t tf_product(const int64_t *dim, int from, int to) {
  int64_t n = 1;
  for (int i = from; i < to; i++)
    n *= dim[i];
  return n;
}

bool tf_fits_i32(Tf *t, const TfTensor *x) {
  return tf_elems(x) <= INT32_MAX ||
         tf_refuse(t, "more than 2^31 - 1 elements");
}

const char *tf_places(Tf *t, TfTensor *x) {
  const char *v = tf_value(t, x, FORM_FILE);
  if (tf_elem(x) == I32)
    return v;
  v = tf_temp(t, "maximum(%s, i64(%d))", v, INT32_MIN);
  v = tf_temp(t, "minimum(%s, i64(%d))", v, INT32_MAX);
  return tf_temp(t, "cast(%s, to=i32)", v);
}

const char *tf_bias(Tf *t, int i) {
  TfTensor *b = tf_in(t, i);
  if (!b)
    return "";
  int64_t n = tf_elems(b);
  Type view = type_make(F32, b->rank, b->dim), type = type_make(F32, 1, &n);
  const char *v = tf_const(t, b)
    ? tf_param(t, "bias", b, &view, NULL, &type)
    : tf_reshape(t, tf_value(t, b, FORM_FILE), b, &n, 1);
  return arena_printf(t->a, ", b=%s", v);
}
