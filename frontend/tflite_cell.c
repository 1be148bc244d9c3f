/* tflite_cell.c - steps of recurrent layers: written where the model stands,
 * or as a block that a scan goes through; and the variables that they keep,
 * which are states of the language. */
#include "frontend/tflite.h"

#include <string.h>

Cell tf_cell(Tf *t, const char *path, bool block) {
  Cell c = {.path = path, .block = block};
  c.prefix = block ? "" : arena_printf(t->a, "%s.", path);
  if (block) {
    c.outer = t->text;
    t->text = (Text){0};
  }
  return c;
}

/* In a block a param has the rest of its path behind the layer's. */
const char *tf_cell_param(Tf *t, Cell *c, const char *name, TfTensor *x) {
  const TfTensor *from = tf_const(t, x);
  if (!from) {
    tf_refuse(t, "weights that are computed");
    return "0.0";
  }
  Type type = tf_form_type(x, FORM_FILE);
  TfParam p = {.src = from, .view = type, .type = type, .inner = c->block};
  for (int i = 0; i < type.rank; i++)
    p.order[i] = i;
  const char *path = tf_param_add(t, p, arena_printf(t->a, "%s.%s", c->path,
                                                     name));
  if (!c->block)
    return path;
  const char *own = path + strlen(c->path) + 1;
  text_printf(&c->params, "  param %s: ", own);
  type_print(&c->params, &type);
  text_puts(&c->params, ";\n");
  return own;
}

const char *tf_cell_linear(Tf *t, Cell *c, const char *name, const char *x,
                           TfTensor *w, TfTensor *bias) {
  const char *path = arena_printf(t->a, "%s%s", c->prefix, name);
  const char *ws = tf_cell_param(t, c, arena_printf(t->a, "%s.weight", name),
                                 w);
  if (!bias)
    return tf_layer(t, path, "linear(%s, %s)", x, ws);
  const char *bs = tf_cell_param(t, c, arena_printf(t->a, "%s.bias", name),
                                 bias);
  return tf_layer(t, path, "linear(%s, %s, b=%s)", x, ws, bs);
}

const char *tf_cell_op(Tf *t, Cell *c, const char *fmt, ...) {
  Text s = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&s, fmt, ap);
  va_end(ap);
  const char *path = arena_printf(t->a, "%sstep", c->prefix);
  const char *name = tf_layer(t, path, "%s", s.s);
  text_free(&s);
  return name;
}

const char *tf_cell_act(Tf *t, Cell *c, int act, const char *x) {
  switch (act) {
  case 0: return x;
  case 1: return tf_cell_op(t, c, "relu(%s)", x);
  case 2: return tf_cell_op(t, c, "clip(%s, lo=-1.0, hi=1.0)", x);
  case 3: return tf_cell_op(t, c, "relu6(%s)", x);
  case 4: return tf_cell_op(t, c, "tanh(%s)", x);
  default:
    tf_refuse(t, "fused activation %d", act);
    return x;
  }
}

/* ---- blocks --------------------------------------------------------- */

static void names_write(Text *to, int n, const char *const *names) {
  for (int i = 0; i < n; i++)
    text_printf(to, "%s%s", i ? ", " : "", names[i]);
}

/* The text that was written since tf_cell, as the body of a block. */
static const char *block_write(Tf *t, Cell *c, int n, const char *const *in,
                               const char *const *out) {
  const char *name = tf_fresh(t, "cell");
  const char *result[MAX_RANK];
  ensure(n + 1 <= MAX_RANK);
  if (!strcmp(name, tf_model_name(t)))
    name = tf_fresh(t, "cell");
  for (int i = 0; i <= n; i++)
    result[i] = tf_fresh(t, "y");
  text_printf(&t->blocks, "block %s(", name);
  names_write(&t->blocks, n + 1, in);
  text_puts(&t->blocks, ") -> ");
  names_write(&t->blocks, n + 1, result);
  text_puts(&t->blocks, " {\n");
  if (c->params.n)
    text_write(&t->blocks, c->params.s, c->params.n);
  if (t->text.n)
    text_write(&t->blocks, t->text.s, t->text.n);
  for (int i = 0; i <= n; i++)
    text_printf(&t->blocks, "  %s = %s;\n", result[i], out[i]);
  text_puts(&t->blocks, "}\n");
  return name;
}

const char *tf_cell_scan(Tf *t, Cell *c, const char *x, int axis,
                         bool reverse, int n, const char *const *in,
                         const char *const *out, const char **init) {
  const char *name = block_write(t, c, n, in, out);
  const char *all = tf_fresh(t, tf_last_name(c->path));
  text_free(&t->text);
  text_free(&c->params);
  t->text = c->outer;
  text_printf(&t->text, "  %s", all);
  Text from = {0};
  names_write(&from, n, init);
  for (int i = 0; i < n; i++) {
    init[i] = tf_fresh(t, "last");
    text_printf(&t->text, ", %s", init[i]);
  }
  text_printf(&t->text, " = scan(%s, %s, [%s], axis=%d%s) as %s from ", name,
              x, from.s, axis, reverse ? ", reverse=true" : "", c->path);
  text_quote(&t->text, path_base(t->path));
  text_putc(&t->text, ' ');
  text_quote(&t->text, tf_out(t, 0)->name);
  text_puts(&t->text, ";\n");
  text_free(&from);
  return all;
}

/* ---- variables ------------------------------------------------------ */

TfTensor *tf_variable(Tf *t, int i) {
  TfTensor *x = tf_in(t, i);
  if (x && x->variable && tf_elem(x) == F32)
    return x;
  tf_refuse(t, "operand %d is no variable", i);
  return NULL;
}

void tf_next(TfTensor *x, const char *value) {
  x->value[FORM_FILE] = value;
  x->value[FORM_PLANES] = NULL;
}
