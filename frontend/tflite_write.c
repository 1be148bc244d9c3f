/* tflite_write.c - the text of a model: names, statements, and tensors in
 * the form that an op wants them in. */
#include "frontend/tflite.h"
#include "frontend/tflite_name.h"

#include <string.h>

/* ---- names ---------------------------------------------------------- */

/* A wish that is taken gets _2, _3, ... */
static const char *unique(Tf *t, Map *map, const char *wish) {
  uintptr_t n = (uintptr_t)map_get(map, wish);
  const char *s = wish;
  if (n) {
    while (n++, s = arena_printf(t->a, "%s_%llu", wish,
                                 (unsigned long long)n),
           map_get(map, s))
      ;
    map_put(t->a, map, wish, (void *)n);
  }
  map_put(t->a, map, s, (void *)(uintptr_t)1);
  return s;
}

const char *tf_fresh(Tf *t, const char *wish) {
  return unique(t, &t->names, wish);
}

/* Values have no name that a path begins with, so that no path is taken
 * for a value. */
void tf_names(Tf *t) {
  for (size_t i = 0; i < t->tensors.n; i++) {
    TfTensor *x = &t->tensors.at[i];
    x->path = unique(t, &t->paths, tflite_path(t->a, x->name));
    size_t n = strcspn(x->path, ".");
    if (x->path[n] == 0)
      continue;
    map_put(t->a, &t->names, arena_strndup(t->a, x->path, n),
            (void *)(uintptr_t)1);
  }
}

/* ---- operands ------------------------------------------------------- */

int64_t tf_elems(const TfTensor *x) {
  int64_t n = 1;
  for (int i = 0; i < x->rank; i++)
    n *= x->dim[i];
  return n;
}

TfTensor *tf_in(Tf *t, int i) {
  if (i >= t->op->nin || t->op->in[i] < 0)
    return NULL;
  return &t->tensors.at[t->op->in[i]];
}

TfTensor *tf_out(Tf *t, int i) {
  return i < t->op->nout ? &t->tensors.at[t->op->out[i]] : NULL;
}

bool tf_refuse(Tf *t, const char *fmt, ...) {
  Text s = {0};
  const char *name = tf_op_name(t->op);
  va_list ap;
  if (name)
    text_puts(&s, name);
  else
    text_printf(&s, "operator number %d", t->op->code);
  text_puts(&s, ": ");
  va_start(ap, fmt);
  text_vprintf(&s, fmt, ap);
  va_end(ap);
  if (s.n > 2 && s.s[s.n - 2] == ':' && s.s[s.n - 1] == ' ')
    s.s[s.n -= 2] = 0;
  bool said = false;
  for (size_t i = 0; i < t->refused.n && !said; i++)
    said = !strcmp(t->refused.at[i], s.s);
  if (!said)
    vec_push(t->a, &t->refused, arena_strdup(t->a, s.s));
  text_free(&s);
  return false;
}

const char *tf_list(Tf *t, const int64_t *v, int n) {
  Text s = {0};
  text_putc(&s, '[');
  for (int i = 0; i < n; i++)
    text_printf(&s, "%s%lld", i ? "," : "", (long long)v[i]);
  text_putc(&s, ']');
  const char *r = arena_strdup(t->a, s.s);
  text_free(&s);
  return r;
}

int tf_axis(const TfTensor *x, int64_t i, Form f) {
  static const int planes[] = {0, 2, 3, 1};
  if (i < 0)
    i += x->rank;
  if (i < 0 || i >= x->rank)
    return -1;
  return f == FORM_PLANES ? planes[i] : (int)i;
}

static Type form_type(const TfTensor *x, Form f) {
  Type t = type_make(F32, x->rank, x->dim);
  for (int i = 0; i < x->rank && f == FORM_PLANES; i++)
    t.dim[tf_axis(x, i, f)] = x->dim[i];
  return t;
}

/* ---- params --------------------------------------------------------- */

static const char *param_add(Tf *t, TfParam p) {
  vec_push(t->a, &t->params, p);
  return p.path;
}

const char *tf_param(Tf *t, const char *name, const TfTensor *x,
                     const Type *view, const int *order, const Type *type) {
  const TfTensor *c = tf_const(t, x);
  ensure(c && type_elems(view) == type_elems(type));
  TfParam p = {.src = c, .view = *view, .type = *type};
  for (int i = 0; i < view->rank; i++)
    p.order[i] = order ? order[i] : i;
  p.path = unique(t, &t->paths, name
                  ? arena_printf(t->a, "%s.%s", tf_out(t, 0)->path, name)
                  : arena_printf(t->a, "%s.value", x->path));
  if (!name) {
    size_t n = strcspn(p.path, ".");
    map_put(t->a, &t->names, arena_strndup(t->a, p.path, n),
            (void *)(uintptr_t)1);
  }
  return param_add(t, p);
}

/* A constant of lower rank is seen as rank 4 before its axes move. */
static const char *const_param(Tf *t, const TfTensor *x, Form f) {
  Type view = type_make(F32, x->rank, x->dim), type = view;
  static const int planes[] = {0, 3, 1, 2};
  if (f == FORM_FILE)
    return tf_param(t, NULL, x, &view, NULL, &type);
  view.rank = type.rank = 4;
  for (int i = 0; i < 4; i++)
    view.dim[i] = i < 4 - x->rank ? 1 : x->dim[i - (4 - x->rank)];
  for (int i = 0; i < 4; i++)
    type.dim[i] = view.dim[planes[i]];
  return tf_param(t, NULL, x, &view, planes, &type);
}

/* ---- statements ----------------------------------------------------- */

static void place_write(Tf *t) {
  text_puts(&t->text, " from ");
  text_quote(&t->text, path_base(t->path));
  text_putc(&t->text, ' ');
  text_quote(&t->text, t->op && t->op->nout ? tf_out(t, 0)->name : "");
  text_puts(&t->text, ";\n");
}

static void statement(Tf *t, const char *name, const Type *type,
                      const char *path, const char *fmt, va_list ap) {
  text_printf(&t->text, "  %s", name);
  if (type) {
    text_puts(&t->text, ": ");
    type_print(&t->text, type);
  }
  text_puts(&t->text, " = ");
  text_vprintf(&t->text, fmt, ap);
  text_printf(&t->text, " as %s", path);
  place_write(t);
}

static const char *last_name(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot ? dot + 1 : path;
}

const char *tf_temp(Tf *t, const char *fmt, ...) {
  const char *path = tf_out(t, 0)->path;
  const char *name = tf_fresh(t, last_name(path));
  va_list ap;
  va_start(ap, fmt);
  statement(t, name, NULL, path, fmt, ap);
  va_end(ap);
  return name;
}

static const char *give(Tf *t, TfTensor *x, Form f, const char *path,
                        const char *fmt, va_list ap) {
  Type type = form_type(x, f);
  x->value[f] = tf_fresh(t, last_name(x->path));
  statement(t, x->value[f], &type, path, fmt, ap);
  return x->value[f];
}

bool tf_give(Tf *t, int i, Form f, const char *fmt, ...) {
  TfTensor *x = tf_out(t, i);
  va_list ap;
  va_start(ap, fmt);
  give(t, x, f, x->path, fmt, ap);
  va_end(ap);
  return true;
}

/* The format has a tanh as well, which its own runtime leaves out. */
static const char *act_text(int act) {
  static const char *const text[] = {
    NULL, "relu(%s)", "clip(%s, lo=-1.0, hi=1.0)", "relu6(%s)"
  };
  return act > 0 && act < 4 ? text[act] : NULL;
}

bool tf_give_act(Tf *t, Form f, int act, const char *fmt, ...) {
  TfTensor *x = tf_out(t, 0);
  const char *after = act_text(act);
  va_list ap;
  if (act && !after)
    return tf_refuse(t, "fused activation %d", act);
  va_start(ap, fmt);
  const char *name = give(t, x, f, x->path, fmt, ap);
  va_end(ap);
  if (!act)
    return true;
  char call[64];
  const char *mark = strstr(after, "%s");
  snprintf(call, sizeof call, "%.*s", (int)(mark - after), after);
  return tf_give(t, 0, f, "%s%s%s", call, name, mark + 2);
}

/* ---- forms ---------------------------------------------------------- */

Form tf_form(Tf *t) {
  for (int i = 0; i < t->op->nin; i++) {
    const TfTensor *x = tf_in(t, i);
    if (x && x->rank == 4 && !x->value[FORM_FILE] && x->value[FORM_PLANES])
      return FORM_PLANES;
  }
  return FORM_FILE;
}

/* Where one of the axes that change places has only one index, nothing
 * moves. */
static const char *convert(Tf *t, TfTensor *x, Form f) {
  Type type = form_type(x, f);
  const char *name = tf_fresh(t, last_name(x->path));
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

const char *tf_value(Tf *t, TfTensor *x, Form f) {
  double v;
  if (x->value[f])
    return x->value[f];
  if (tf_const(t, x)) {
    if (tf_number(t, x, &v)) {
      Text s = {0};
      text_float(&s, v, true);
      x->value[f] = arena_strdup(t->a, s.s);
      text_free(&s);
    } else {
      x->value[f] = const_param(t, x, f);
    }
  } else if (x->rank == 4 && x->value[!f]) {
    x->value[f] = convert(t, x, f);
  } else {
    /* What a refused op was to give is not refused again. */
    if (x->producer < 0 || !t->refused.n)
      tf_refuse(t, "an operand has no value that can be used");
    return "0.0";
  }
  return x->value[f];
}
