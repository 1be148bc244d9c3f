/* value.c - compile-time values: numbers, lists, nodes, and arithmetic. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

Value value_int(int64_t i) { return (Value){.kind = VAL_INT, .i = i}; }
Value value_float(double f) { return (Value){.kind = VAL_FLOAT, .f = f}; }
Value value_bool(bool b) { return (Value){.kind = VAL_BOOL, .i = b}; }
Value value_node(Node *n) { return (Value){.kind = VAL_NODE, .node = n}; }

Value value_list(ValueKind kind, Value *at, size_t n) {
  Value v = {.kind = kind, .at = at, .n = n, .size = n};
  for (size_t i = 0; i < n; i++)
    v.size += at[i].size;
  return v;
}

bool value_is_number(const Value *v) {
  return v->kind == VAL_INT || v->kind == VAL_FLOAT;
}

bool value_is_literal(const Value *v) {
  return value_is_number(v) || v->kind == VAL_BOOL;
}

double value_number(const Value *v) {
  return v->kind == VAL_INT ? (double)v->i : v->f;
}

int64_t value_len(const Value *v) {
  switch (v->kind) {
  case VAL_LIST: case VAL_TUPLE: return (int64_t)v->n;
  case VAL_RANGE: return v->j > v->i ? v->j - v->i : 0;
  default: return -1;
  }
}

Value value_item(const Value *v, int64_t i) {
  ensure(i >= 0 && i < value_len(v));
  return v->kind == VAL_RANGE ? value_int(v->i + i) : v->at[i];
}

void value_print(Text *t, const Value *v) {
  switch (v->kind) {
  case VAL_INT: text_printf(t, "%lld", (long long)v->i); break;
  case VAL_FLOAT: text_float(t, v->f, false); break;
  case VAL_BOOL: text_puts(t, v->i ? "true" : "false"); break;
  case VAL_STR: text_quote(t, v->s); break;
  case VAL_ELEM: text_puts(t, elem_name((Elem)v->i)); break;
  case VAL_TILE:
    text_printf(t, "%lldx%lld", (long long)v->i, (long long)v->j);
    break;
  case VAL_RATIO:
    text_printf(t, "%lld:%lld", (long long)v->i, (long long)v->j);
    break;
  case VAL_RANGE:
    text_printf(t, "%lld..%lld", (long long)v->i, (long long)v->j);
    break;
  case VAL_NODE: type_print(t, &v->node->type); break;
  case VAL_PARAM: type_print(t, &v->param->type); break;
  case VAL_STATE: type_print(t, &v->state->type); break;
  case VAL_NONE: text_puts(t, "nothing"); break;
  case VAL_LIST: case VAL_TUPLE:
    text_putc(t, v->kind == VAL_LIST ? '[' : '(');
    for (size_t i = 0; i < v->n; i++) {
      text_puts(t, i ? "," : "");
      value_print(t, &v->at[i]);
    }
    text_putc(t, v->kind == VAL_LIST ? ']' : ')');
  }
}

const char *value_describe(Arena *a, const Value *v) {
  static const char *const kinds[] = {
    "nothing", "int ", "float ", "bool ", "string ", "pattern ", "pattern ",
    "element type ", "tensor ", "list ", "tuple ", "range ", "tensor ",
    "state "
  };
  Text t = {0};
  text_puts(&t, kinds[v->kind]);
  if (v->kind != VAL_NONE && value_len(v) <= 8)
    value_print(&t, v);
  else if (v->kind != VAL_NONE)
    text_printf(&t, "of %lld", (long long)value_len(v));
  char *s = arena_strdup(a, t.s);
  text_free(&t);
  return s;
}

bool value_equal(const Value *x, const Value *y) {
  if (value_is_number(x) && value_is_number(y))
    return x->kind == VAL_INT && y->kind == VAL_INT
      ? x->i == y->i : value_number(x) == value_number(y);
  int64_t n = value_len(x);
  if (x->kind == VAL_RANGE && y->kind == VAL_RANGE)
    return n == value_len(y) && (n == 0 || x->i == y->i);
  if (n >= 0) {
    if (n != value_len(y))
      return false;
    for (int64_t i = 0; i < n; i++) {
      Value a = value_item(x, i), b = value_item(y, i);
      if (!value_equal(&a, &b))
        return false;
    }
    return true;
  }
  if (x->kind != y->kind)
    return false;
  switch (x->kind) {
  case VAL_STR: return !strcmp(x->s, y->s);
  case VAL_NODE: return x->node == y->node;
  default: return x->i == y->i && x->j == y->j;
  }
}

typedef Vec(int64_t) Ints;

static bool ints_add(Arena *a, const Value *v, Ints *to) {
  int64_t n = value_len(v);
  if (v->kind == VAL_INT) {
    vec_push(a, to, v->i);
    return to->n <= MAX_LIST;
  }
  if (n < 0 || n > MAX_LIST)
    return false;
  for (int64_t i = 0; i < n; i++) {
    Value item = value_item(v, i);
    if (!ints_add(a, &item, to))
      return false;
  }
  return true;
}

bool value_ints(Arena *a, const Value *v, const int64_t **out, int *n) {
  Ints flat = {0};
  if (!ints_add(a, v, &flat))
    return false;
  *out = flat.at;
  *n = (int)flat.n;
  return true;
}

/* ---- arithmetic ----------------------------------------------------- */

const char *oper_text(Oper op) {
  static const char *const text[] = {
    "||", "&&", "==", "!=", "<=", ">=", "<", ">", "..", "+", "-", "*", "/",
    "%", "-", "!"
  };
  return text[op];
}

static const char *int_binary(Oper op, int64_t x, int64_t y, int64_t *out) {
  static const char *const over = "the result does not fit 64 bits";
  switch (op) {
  case OPER_ADD: return __builtin_add_overflow(x, y, out) ? over : NULL;
  case OPER_SUB: return __builtin_sub_overflow(x, y, out) ? over : NULL;
  case OPER_MUL: return __builtin_mul_overflow(x, y, out) ? over : NULL;
  case OPER_DIV: case OPER_MOD:
    if (y == 0)
      return "division by zero";
    if (x == INT64_MIN && y == -1)
      return over;
    /* Floor: the remainder has the sign of the divisor. */
    *out = x % y;
    if (*out != 0 && (*out < 0) != (y < 0))
      *out += y;
    if (op == OPER_DIV)
      *out = (x - *out) / y;
    return NULL;
  default: unreachable();
  }
}

static double float_binary(Oper op, double x, double y) {
  switch (op) {
  case OPER_ADD: return x + y;
  case OPER_SUB: return x - y;
  case OPER_MUL: return x * y;
  case OPER_DIV: return x / y;
  case OPER_MOD: return x - y * floor(x / y);
  default: unreachable();
  }
}

static bool number_compare(Oper op, const Value *x, const Value *y) {
  bool ints = x->kind == VAL_INT && y->kind == VAL_INT;
  double a = value_number(x), b = value_number(y);
  bool lt = ints ? x->i < y->i : a < b, gt = ints ? x->i > y->i : a > b;
  bool eq = ints ? x->i == y->i : a == b;
  switch (op) {
  case OPER_LT: return lt;
  case OPER_GT: return gt;
  case OPER_LE: return lt || eq;
  case OPER_GE: return gt || eq;
  default: unreachable();
  }
}

/* Element by element; a number goes with each element of a list. */
static const char *list_binary(Arena *a, Oper op, const Value *x,
                               const Value *y, Value *out) {
  int64_t nx = value_len(x), ny = value_len(y), n = nx >= 0 ? nx : ny;
  if (nx >= 0 && ny >= 0 && nx != ny)
    return "the lists differ in length";
  if (n > MAX_LIST)
    return "a list of this length is too long for arithmetic";
  Value *at = arena_array(a, Value, (size_t)n + 1);
  for (int64_t i = 0; i < n; i++) {
    Value p = nx >= 0 ? value_item(x, i) : *x;
    Value q = ny >= 0 ? value_item(y, i) : *y;
    if (value_len(&p) >= 0 || value_len(&q) >= 0)
      return "a list inside a list takes no part in arithmetic";
    const char *why = value_binary(a, op, &p, &q, &at[i]);
    if (why)
      return why;
  }
  *out = value_list(VAL_LIST, at, (size_t)n);
  return NULL;
}

const char *value_binary(Arena *a, Oper op, const Value *x, const Value *y,
                         Value *out) {
  bool numbers = value_is_number(x) && value_is_number(y);
  if (op == OPER_EQ || op == OPER_NE) {
    *out = value_bool(value_equal(x, y) == (op == OPER_EQ));
    return NULL;
  }
  if (op == OPER_RANGE) {
    if (x->kind != VAL_INT || y->kind != VAL_INT)
      return "'..' takes two ints";
    int64_t len;
    if (__builtin_sub_overflow(y->i, x->i, &len))
      return "this range is too long";
    *out = (Value){.kind = VAL_RANGE, .i = x->i, .j = y->i};
    return NULL;
  }
  if (op >= OPER_LE && op <= OPER_GT) {
    if (!numbers)
      return "only numbers can be compared";
    *out = value_bool(number_compare(op, x, y));
    return NULL;
  }
  ensure(op >= OPER_ADD && op <= OPER_MOD);
  if (value_len(x) >= 0 || value_len(y) >= 0)
    return list_binary(a, op, x, y, out);
  if (!numbers)
    return "the operator takes numbers, lists of them or tensors";
  if (x->kind == VAL_INT && y->kind == VAL_INT) {
    *out = value_int(0);
    return int_binary(op, x->i, y->i, &out->i);
  }
  *out = value_float(float_binary(op, value_number(x), value_number(y)));
  return NULL;
}

const char *value_unary(Arena *a, Oper op, const Value *x, Value *out) {
  if (op == OPER_NOT) {
    if (x->kind != VAL_BOOL)
      return "'!' takes a bool";
    *out = value_bool(!x->i);
    return NULL;
  }
  if (x->kind == VAL_FLOAT) {
    *out = value_float(-x->f);
    return NULL;
  }
  Value zero = value_int(0);
  return value_binary(a, OPER_SUB, &zero, x, out);
}
