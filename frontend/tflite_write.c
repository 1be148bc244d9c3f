/* tflite_write.c - the text of a model: names and statements. */
#include "frontend/tflite.h"
#include "frontend/foreign_name.h"

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

const char *tf_fresh_path(Tf *t, const char *wish) {
  const char *path = unique(t, &t->paths, wish);
  map_put(t->a, &t->names, arena_strndup(t->a, path, strcspn(path, ".")),
          (void *)(uintptr_t)1);
  return path;
}

/* Values have no name that a path begins with, so that no path is taken
 * for a value. */
void tf_names(Tf *t) {
  for (size_t i = 0; i < t->tensors.n; i++) {
    TfTensor *x = &t->tensors.at[i];
    x->path = unique(t, &t->paths, tflite_path(t->a, x->name));
    size_t n = strcspn(x->path, ".");
    if (x->path[n] == 0 && !x->variable)
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

/* ---- what is wrong -------------------------------------------------- */

static const char *op_name(Tf *t) {
  const char *name = tf_op_name(t->op);
  return name ? name : arena_printf(t->a, "operator code %d", t->op->code);
}

/* " in 'y'", by result 0; an op without one has no place. */
static const char *op_place(Tf *t) {
  return t->op->nout ? arena_printf(t->a, " in '%s'", tf_out(t, 0)->name)
                     : "";
}

bool tf_refuse(Tf *t, const char *fmt, ...) {
  Text s = {0};
  const char *name = op_name(t);
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&s, fmt, ap);
  va_end(ap);
  const char *what = s.n ? arena_printf(t->a, ": %s", s.s) : "";
  const char *kind = arena_printf(t->a, "%s%s", name, what);
  text_free(&s);
  if (map_get(&t->said, kind))
    return false;
  map_put(t->a, &t->said, kind, (void *)kind);
  vec_push(t->a, &t->refused,
           arena_printf(t->a, "%s%s%s", name, op_place(t), what));
  return false;
}

bool tf_malformed(Tf *t, const char *fmt, ...) {
  Text s = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&s, fmt, ap);
  va_end(ap);
  tf_error(t, "%s%s: %s", op_name(t), op_place(t), s.s);
  text_free(&s);
  return false;
}

bool tf_failed(const Tf *t) {
  return t->refused.n || diags_errors(t->d) > t->errors;
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

const char *tf_last_name(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot ? dot + 1 : path;
}

static const char *layer(Tf *t, const char *path, const char *fmt,
                         va_list ap) {
  const char *name = tf_fresh(t, tf_last_name(path));
  statement(t, name, NULL, path, fmt, ap);
  return name;
}

const char *tf_layer(Tf *t, const char *path, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  const char *name = layer(t, path, fmt, ap);
  va_end(ap);
  return name;
}

const char *tf_temp(Tf *t, const char *fmt, ...) {
  const char *path = t->op->nout ? tf_out(t, 0)->path : "output";
  va_list ap;
  va_start(ap, fmt);
  const char *name = layer(t, path, fmt, ap);
  va_end(ap);
  return name;
}

static const char *give(Tf *t, TfTensor *x, Form f, const char *path,
                        const char *fmt, va_list ap) {
  Type type = tf_form_type(x, f);
  x->value[f] = tf_fresh(t, tf_last_name(x->path));
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

bool tf_bind(Tf *t, int i, Form f, const char *value) {
  TfTensor *x = tf_out(t, i);
  Type type = tf_form_type(x, f);
  x->value[f] = tf_fresh(t, tf_last_name(x->path));
  text_printf(&t->text, "  %s: ", x->value[f]);
  type_print(&t->text, &type);
  text_printf(&t->text, " = %s;\n", value);
  return true;
}

/* The format has a tanh as well, which its own runtime leaves out. */
static const char *act_text(int act) {
  static const char *const text[] = {
    NULL, "relu(%s)", "clip(%s, lo=-1.0, hi=1.0)", "relu6(%s)"
  };
  return act > 0 && act < 4 ? text[act] : NULL;
}

/* The same bounds of integers. */
static bool act_ints(Tf *t, Form f, int act, const char *v) {
  Elem e = (Elem)tf_elem(tf_out(t, 0));
  const char *lo = tf_scalar(t, e, act == 2 ? -1 : 0);
  if (act == 1)
    return tf_give(t, 0, f, "maximum(%s, %s)", v, lo);
  v = tf_temp(t, "maximum(%s, %s)", v, lo);
  return tf_give(t, 0, f, "minimum(%s, %s)", v,
                 tf_scalar(t, e, act == 2 ? 1 : 6));
}

bool tf_give_act(Tf *t, Form f, int act, const char *fmt, ...) {
  TfTensor *x = tf_out(t, 0);
  const char *after = act_text(act);
  va_list ap;
  if (act && (!after || tf_elem(x) == U8 || tf_elem(x) == B1))
    return tf_refuse(t, "fused activation %d of %s", act,
                     tf_type_name(x->type));
  va_start(ap, fmt);
  const char *name = give(t, x, f, x->path, fmt, ap);
  va_end(ap);
  if (!act)
    return true;
  if (tf_elem(x) != F32)
    return act_ints(t, f, act, name);
  char call[64];
  const char *mark = strstr(after, "%s");
  snprintf(call, sizeof call, "%.*s", (int)(mark - after), after);
  return tf_give(t, 0, f, "%s%s%s", call, name, mark + 2);
}

