/* tflite_type.c - element types of a TensorFlow Lite file, and which of them
 * an operator takes. */
#include "frontend/tflite.h"

#include <string.h>

const char *tf_type_name(int type) {
  static const char *const names[] = {
    "float32", "float16", "int32", "uint8", "int64", "string", "bool",
    "int16", "complex64", "int8", "float64", "complex128", "uint64",
    "resource", "variant", "uint32", "uint16", "int4", "bfloat16"
  };
  size_t n = sizeof names / sizeof *names;
  return type >= 0 && (size_t)type < n ? names[type] : "an unknown type";
}

/* A half exists in constants alone, which are widened. */
int tf_elem(const TfTensor *x) {
  if (x->quantised && x->type != TF_FLOAT32 && x->type != TF_FLOAT16)
    return -1;
  switch (x->type) {
  case TF_FLOAT32: case TF_FLOAT16: return F32;
  case TF_INT32: return I32;
  case TF_INT64: return I64;
  case TF_UINT8: return U8;
  case TF_BOOL: return B1;
  default: return -1;
  }
}

static bool looks_quantised(const TfTensor *x) {
  return x->quantised || x->type == 7 || x->type == 9 || x->type == 17;
}

static bool type_refuse(Tf *t, const char *what, const TfTensor *x) {
  return tf_refuse(t, "%s of type %s%s", what, tf_type_name(x->type),
                   looks_quantised(x)
                     ? " (quantised computation is not supported)" : "");
}

/* The element types that a letter of tflite.def stands for, a bit each. */
static unsigned letter_elems(char letter) {
  unsigned f = 1u << F32, i = 1u << I32 | 1u << I64, b = 1u << B1;
  switch (letter) {
  case 'f': return f;
  case 'n': return f | i;
  case 'b': return b;
  case 'i': return i;
  default: return f | i | b | 1u << U8;
  }
}

/* One operand or result; *shared: the type of those before that have one
 * together, -1: none yet. */
static bool type_ok(Tf *t, const char *what, const TfTensor *x, char letter,
                    int *shared) {
  int e = tf_elem(x);
  bool computed = !tf_const(t, x);
  if (letter == '-')
    return true;
  if (e < 0 || (computed && x->type == TF_FLOAT16) ||
      !(letter_elems(letter) >> e & 1))
    return type_refuse(t, what, x);
  if (!strchr("fnma", letter))
    return true;
  if (*shared >= 0 && *shared != e)
    return tf_refuse(t, "operands and results of types %s and %s",
                     elem_name((Elem)*shared), elem_name((Elem)e));
  *shared = e;
  return true;
}

/* Whether there are as many as the letters up to a colon say. */
static bool count_ok(Tf *t, const char *what, const char *letters, int n) {
  int all = (int)strcspn(letters, ":*"), least = (int)strcspn(letters, "?:*");
  int most = all - (least < all);   /* without the mark */
  bool any = letters[all] == '*';
  if (n >= least && (any || n <= most))
    return true;
  const char *more = most > least
    ? arena_printf(t->a, " or %d", most) : "";
  return tf_refuse(t, "expected %s%d%s %s%s, found %d",
                   any ? "at least " : "", least, more, what,
                   most == 1 ? "" : "s", n);
}

/* The letter of the next one. */
static const char *letter_next(const char *at) {
  if (at[1] == '*')
    return at;
  return at[1] == '?' ? at + 2 : at + 1;
}

bool tf_types_ok(Tf *t, const char *types) {
  int shared = -1;
  const char *at = types, *results = strchr(types, ':') + 1;
  if (!count_ok(t, "operand", at, t->op->nin) ||
      !count_ok(t, "result", results, t->op->nout))
    return false;
  for (int i = 0; i < t->op->nin; i++, at = letter_next(at)) {
    const TfTensor *x = tf_in(t, i);
    if (x && !type_ok(t, "an operand", x, *at, &shared))
      return false;
  }
  for (int i = 0; i < t->op->nout; i++, results = letter_next(results))
    if (!type_ok(t, "a result", tf_out(t, i), *results, &shared))
      return false;
  return true;
}
