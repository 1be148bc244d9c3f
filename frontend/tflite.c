/* tflite.c - a TensorFlow Lite file becomes a text of the language and the
 * weights that the text mentions.  Both come from one run over the graph,
 * so that they agree. */
#include "frontend/tflite.h"
#include "frontend/foreign_name.h"

#include <string.h>

enum { CODE_CUSTOM = 32 };

/* ---- operators ------------------------------------------------------ */

static const struct { TfWriter *write; const char *types; } table[] = {
#define TFOP(code, name, writer, types) [code] = {tf_write_##writer, types},
#define TFNO(code, name)
#include "frontend/tflite.def"
#undef TFOP
#undef TFNO
};

static void op_write(Tf *t) {
  enum { N = sizeof table / sizeof *table };
  int code = t->op->code;
  TfWriter *w = NULL;
  const char *types = "ff?f:f";
  if (code == CODE_CUSTOM) {
    w = tf_custom_writer(t->op->custom);
  } else if (code >= 0 && code < N) {
    w = table[code].write;
    types = table[code].types;
  }
  if (!w)
    tf_refuse(t, "%s", "");
  else if (tf_types_ok(t, types))
    w(t);
}

/* DEQUANTIZE and DENSIFY of constants are taken away by tf_const. */
bool tf_write_constant(Tf *t) {
  return tf_const(t, tf_out(t, 0)) ||
         tf_refuse(t, "values that are no constant floats (quantised "
                   "computation is not supported)");
}

/* What no output needs is not written. */
static void live_mark(Tf *t) {
  bool *need = arena_array(t->a, bool, t->tensors.n + 1);
  for (size_t i = 0; i < t->outputs.n; i++)
    need[t->outputs.at[i]] = true;
  for (size_t i = t->ops.n; i-- > 0;) {
    TfOp *o = &t->ops.at[i];
    for (int k = 0; k < o->nout; k++)
      o->live |= need[o->out[k]];
    for (int k = 0; k < o->nin && o->live; k++)
      if (o->in[k] >= 0)
        need[o->in[k]] = true;
  }
}

static bool refused_report(Tf *t) {
  Text s = {0};
  if (!t->refused.n)
    return true;
  for (size_t i = 0; i < t->refused.n; i++)
    text_printf(&s, "%s%s", i ? "; " : "", t->refused.at[i]);
  diag_error_at(t->d, EXIT_UNSUPPORTED, t->path,
                "tflite: not supported: %s", s.s);
  text_free(&s);
  return false;
}

/* ---- the model ------------------------------------------------------ */

static void type_write(Text *to, const TfTensor *x) {
  Type t = type_make((Elem)tf_elem(x), x->rank, x->dim);
  type_print(to, &t);
}

static bool inputs_name(Tf *t, Text *head) {
  for (size_t i = 0; i < t->inputs.n; i++) {
    TfTensor *x = &t->tensors.at[t->inputs.at[i]];
    if (tf_elem(x) < 0 || x->type == TF_FLOAT16)
      return diag_error_at(t->d, EXIT_UNSUPPORTED, t->path,
                           "tflite: input '%s' is of type %s%s; expected "
                           "float32, int32, int64, uint8 or bool", x->name,
                           x->quantised ? "quantised " : "",
                           tf_type_name(x->type));
    if (x->value[FORM_FILE] || x->data || x->producer >= 0 || x->variable)
      return tf_error(t, "input '%s' has a value already", x->name);
    const char *dot = strrchr(x->path, '.');
    x->value[FORM_FILE] = tf_fresh(t, dot ? dot + 1 : x->path);
    text_printf(head, "%s%s: ", i ? ", " : "", x->value[FORM_FILE]);
    type_write(head, x);
  }
  return true;
}

/* Outputs have names of their own, the last word of the tensor's; those of
 * other types are named among what is refused. */
static void outputs_name(Tf *t, Text *head, const char **names) {
  for (size_t i = 0; i < t->outputs.n; i++) {
    const TfTensor *x = &t->tensors.at[t->outputs.at[i]];
    const char *dot = strrchr(x->path, '.');
    names[i] = tf_fresh(t, dot ? dot + 1 : x->path);
    if (tf_elem(x) < 0)
      continue;
    text_printf(head, "%s%s: ", i ? ", " : "", names[i]);
    type_write(head, x);
  }
}

/* A constant or an input that is an output is given as it is. */
static void outputs_write(Tf *t, const char **names) {
  for (size_t i = 0; i < t->outputs.n; i++) {
    TfTensor *x = &t->tensors.at[t->outputs.at[i]];
    TfOp none = {.custom = "the graph", .nout = 1, .out = &t->outputs.at[i]};
    t->op = x->producer >= 0 ? &t->ops.at[x->producer] : &none;
    if (tf_elem(x) < 0 && !tf_failed(t))
      tf_refuse(t, "an output of type %s", tf_type_name(x->type));
    if (tf_failed(t))
      continue;
    const char *v = tf_value(t, x, FORM_FILE);
    text_printf(&t->text, "  %s = %s;\n", names[i], v);
  }
}

const char *tf_model_name(Tf *t) { return foreign_model_name(t->a, t->path); }

static void text_finish(Tf *t, const Text *head, Text *out) {
  if (t->blocks.n)
    text_write(out, t->blocks.s, t->blocks.n);
  text_printf(out, "model %s(%s {\n", tf_model_name(t), head->s);
  for (size_t i = 0; i < t->params.n; i++) {
    if (t->params.at[i].inner)
      continue;
    text_printf(out, "  param %s: ", t->params.at[i].path);
    type_print(out, &t->params.at[i].type);
    text_puts(out, ";\n");
  }
  if (t->states.n)
    text_write(out, t->states.s, t->states.n);
  if (t->text.n)
    text_write(out, t->text.s, t->text.n);
  for (size_t i = 0; i < t->tensors.n; i++)
    if (t->tensors.at[i].variable && t->tensors.at[i].value[FORM_FILE])
      text_printf(out, "  next %s = %s;\n", t->tensors.at[i].path,
                  t->tensors.at[i].value[FORM_FILE]);
  if (t->params.n) {
    text_puts(out, "  weights ");
    text_quote(out, path_base(t->path));
    text_puts(out, ";\n");
  }
  text_puts(out, "}\n");
}

static bool model_write(Tf *t, Text *out) {
  Text head = {0};
  if (!tf_read(t))
    return false;
  tf_names(t);
  live_mark(t);
  const char **names = arena_array(t->a, const char *, t->outputs.n);
  bool ok = inputs_name(t, &head);
  if (ok) {
    text_puts(&head, ") -> ");
    outputs_name(t, &head, names);
    for (size_t i = 0; i < t->ops.n; i++) {
      t->op = &t->ops.at[i];
      if (t->op->live)
        op_write(t);
    }
    outputs_write(t, names);
    ok = refused_report(t) && !tf_failed(t);
    if (ok && t->flat.bad)
      ok = tf_error(t, "byte %zu: %s", t->flat.at, t->flat.bad);
  }
  if (ok)
    text_finish(t, &head, out);
  text_free(&head);
  return ok;
}

static Tf tf_open(Arena *a, Diags *d, const char *path, Buffer *buf) {
  return (Tf){.a = a, .d = d, .path = path, .buf = buf,
              .errors = diags_errors(d),
              .flat = {.p = buf->data, .n = buf->size}};
}

static void tf_close(Tf *t) {
  text_free(&t->text);
  text_free(&t->blocks);
  text_free(&t->states);
}

/* ---- what others call ----------------------------------------------- */

bool path_is_tflite(const char *path) {
  size_t n = strlen(path);
  return n > 7 && !strcmp(path + n - 7, ".tflite");
}

bool tflite_text(Diags *d, const char *path, Buffer *buf, Text *out) {
  Arena *a = arena_new();
  Tf t = tf_open(a, d, path, buf);
  bool ok = model_write(&t, out);
  tf_close(&t);
  arena_free(a);
  return ok;
}

Source *tflite_source(Arena *a, Diags *d, const char *path) {
  Buffer *buf = buffer_map(d, path);
  Source *s = NULL;
  Text text = {0};
  if (buf && tflite_text(d, path, buf, &text)) {
    s = arena_new_of(a, Source);
    *s = (Source){.name = arena_strdup(a, path), .len = text.n,
                  .text = arena_strndup(a, text.s, text.n), .foreign = true};
  }
  text_free(&text);
  buffer_unref(buf);
  return s;
}

static bool params_add(Tf *t, Arena *a, WeightFile *w) {
  for (size_t i = 0; i < t->params.n; i++) {
    const TfParam *p = &t->params.at[i];
    Buffer *b = tf_param_data(t, p);
    if (!b)
      return false;
    WeightTensor x = {arena_strdup(a, p->path), p->type, b};
    vec_push(a, &w->tensors, x);
  }
  return true;
}

WeightFile *tflite_parse(Arena *a, Diags *d, const char *path, Buffer *buf) {
  Arena *own = arena_new();
  Tf t = tf_open(own, d, path, buf);
  Text text = {0};
  WeightFile *w = weight_file_new(a, path);
  bool ok = model_write(&t, &text) && params_add(&t, a, w);
  text_free(&text);
  tf_close(&t);
  arena_free(own);
  if (ok)
    return w;
  weights_close(w);
  return NULL;
}
