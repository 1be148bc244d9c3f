/* sizegen.c - random models whose dimensions are free.  A shape is a list of
 * dimensions, each a product of N, T (+ what concat and pad have added) and a
 * number, which is all that the ops drawn here must know of it. */
#include "tests/run/random_sizes.h"

#include <string.h>

enum { VALUES_MOST = 48, RANK_MOST = 5 };

/* n times N (if by_n) times (T + more) (if by_t). */
typedef struct Dim { int n, more; bool by_n, by_t; } Dim;
typedef struct Value { int rank; Dim dim[RANK_MOST]; } Value;

typedef struct Draw {
  Text *out;
  uint64_t seed, count;
  Value value[VALUES_MOST];
  int nvalues, nparams;
  bool length;           /* the model has T */
} Draw;

static int draw(Draw *d, int n) {
  return (int)(hash_mix(d->seed * 0x9e3779b97f4a7c15u + d->count++) %
               (uint64_t)n);
}

static bool is_free(const Dim *x) { return x->by_n || x->by_t; }

static bool dim_equal(const Dim *a, const Dim *b) {
  return a->n == b->n && a->more == b->more && a->by_n == b->by_n &&
         a->by_t == b->by_t;
}

static void dim_print(Text *t, const Dim *x) {
  text_printf(t, "%d", x->n);
  if (x->by_n) text_puts(t, "*N");
  if (x->by_t && x->more) text_printf(t, "*(T+%d)", x->more);
  else if (x->by_t) text_puts(t, "*T");
}

static void shape_print(Text *t, const Value *v) {
  text_putc(t, '[');
  for (int i = 0; i < v->rank; i++) {
    text_puts(t, i ? "," : "");
    dim_print(t, &v->dim[i]);
  }
  text_putc(t, ']');
}

/* Elements at the bounds, about. */
static double size_of(const Value *v) {
  double n = 1;
  for (int i = 0; i < v->rank; i++)
    n *= v->dim[i].n * (v->dim[i].by_n ? 4 : 1) * (v->dim[i].by_t ? 22 : 1);
  return n;
}

static int pick(Draw *d) {
  /* The latest more often. */
  int back = draw(d, d->nvalues < 6 ? d->nvalues : 6);
  return draw(d, 4) ? d->nvalues - 1 - back : draw(d, d->nvalues);
}

/* A statement begins; its result is v<number>. */
static void begin(Draw *d) {
  text_printf(d->out, "  v%d = ", d->nvalues);
}

static void end(Draw *d, Value v) {
  text_puts(d->out, ";\n");
  d->value[d->nvalues++] = v;
}

/* ---- ops: false where they do not suit what was drawn ----------------- */

static bool op_unary(Draw *d, int x) {
  static const char *const names[] = {
    "relu", "tanh", "sigmoid", "neg", "gelu", "square", "hardswish", "abs"
  };
  begin(d);
  text_printf(d->out, "%s(v%d)", names[draw(d, 8)], x);
  end(d, d->value[x]);
  return true;
}

static bool op_binary(Draw *d, int x) {
  static const char *const names[] = {"add", "sub", "mul", "maximum"};
  const Value *a = &d->value[x];
  for (int y = d->nvalues - 1; y >= 0; y--) {
    const Value *b = &d->value[y];
    bool fits = b->rank <= a->rank && y != x;
    for (int i = 0; fits && i < b->rank; i++) {
      const Dim *bd = &b->dim[i], *ad = &a->dim[i + a->rank - b->rank];
      fits = dim_equal(ad, bd) || (bd->n == 1 && !is_free(bd));
    }
    if (!fits) continue;
    begin(d);
    text_printf(d->out, "%s(v%d, v%d)", names[draw(d, 4)], x, y);
    end(d, *a);
    return true;
  }
  return false;
}

static bool op_linear(Draw *d, int x) {
  Value v = d->value[x];
  if (v.rank < 2 || is_free(&v.dim[v.rank - 1])) return false;
  static const int sizes[] = {1, 3, 8, 16, 19, 40};
  begin(d);
  v.dim[v.rank - 1] = (Dim){.n = sizes[draw(d, 6)]};
  text_printf(d->out, "linear(v%d, %d, bias=%s) as l%d", x,
              v.dim[v.rank - 1].n, draw(d, 2) ? "true" : "false",
              d->nparams++);
  end(d, v);
  return true;
}

/* Scores of rows against rows, and back. */
static bool op_matmul(Draw *d, int x) {
  Value v = d->value[x];
  int r = v.rank;
  if (r < 2 || size_of(&v) > 6000) return false;
  begin(d);
  if (draw(d, 2)) {
    text_printf(d->out, "matmul(v%d, v%d, transpose_b=true) * 0.1", x, x);
    v.dim[r - 1] = v.dim[r - 2];
  } else {
    text_printf(d->out, "matmul(v%d, v%d, transpose_a=true) * 0.1", x, x);
    v.dim[r - 2] = v.dim[r - 1];
  }
  end(d, v);
  return true;
}

static bool op_permute(Draw *d, int x) {
  Value v = d->value[x], to = v;
  int order[RANK_MOST];
  if (v.rank < 2) return false;
  for (int i = 0; i < v.rank; i++) order[i] = i;
  for (int i = v.rank - 1; i > 0; i--) {
    int k = draw(d, i + 1), t = order[i];
    order[i] = order[k], order[k] = t;
  }
  begin(d);
  text_printf(d->out, "permute(v%d, order=[", x);
  for (int i = 0; i < v.rank; i++) {
    text_printf(d->out, "%s%d", i ? "," : "", order[i]);
    to.dim[i] = v.dim[order[i]];
  }
  text_puts(d->out, "])");
  end(d, to);
  return true;
}

/* Two dimensions become one. */
static bool op_merge(Draw *d, int x) {
  Value v = d->value[x];
  if (v.rank < 2) return false;
  int i = draw(d, v.rank - 1);
  Dim *a = &v.dim[i], *b = &v.dim[i + 1];
  if ((a->by_n && b->by_n) || (a->by_t && b->by_t)) return false;
  *a = (Dim){a->n * b->n, a->more + b->more, a->by_n || b->by_n,
             a->by_t || b->by_t};
  v.rank--;
  memmove(b, b + 1, sizeof *b * (size_t)(v.rank - i - 1));
  begin(d);
  text_printf(d->out, "reshape(v%d, shape=", x);
  shape_print(d->out, &v);
  text_puts(d->out, ")");
  end(d, v);
  return true;
}

/* One becomes two: its parts, or a factor of its number. */
static bool op_split(Draw *d, int x) {
  Value v = d->value[x];
  int i = draw(d, v.rank);
  Dim *a = &v.dim[i], one = {.n = 1}, two = *a;
  if (v.rank == RANK_MOST) return false;
  if (a->by_n && a->by_t) {
    one.by_n = true;
    two.by_n = false;
  } else if (a->n % 2 == 0) {
    one.n = 2;
    two.n /= 2;
  } else if (is_free(a) && a->n > 1) {
    one = (Dim){.n = a->n};
    two.n = 1;
  }
  if (draw(d, 2)) {
    Dim t = one;
    one = two, two = t;
  }
  memmove(a + 1, a, sizeof *a * (size_t)(v.rank++ - i));
  a[0] = one, a[1] = two;
  begin(d);
  text_printf(d->out, "reshape(v%d, shape=", x);
  shape_print(d->out, &v);
  text_puts(d->out, ")");
  end(d, v);
  return true;
}

/* name(v, ...axis...), of the same type. */
static bool along(Draw *d, int x, const char *format) {
  begin(d);
  text_printf(d->out, format, x, draw(d, d->value[x].rank));
  end(d, d->value[x]);
  return true;
}

static bool op_softmax(Draw *d, int x) {
  return along(d, x, "softmax(v%d, axis=%d)");
}

static bool op_reduce(Draw *d, int x) {
  static const char *const names[] = {"mean", "max", "min", "mean"};
  Value v = d->value[x];
  int i = draw(d, v.rank);
  bool keep = draw(d, 2);
  if (v.rank == 1 && !keep) return false;
  if (keep) v.dim[i] = (Dim){.n = 1};
  else memmove(v.dim + i, v.dim + i + 1,
               sizeof *v.dim * (size_t)(--v.rank - i));
  begin(d);
  text_printf(d->out, "%s(v%d, axes=[%d], keep=%s)", names[draw(d, 4)], x, i,
              keep ? "true" : "false");
  end(d, v);
  return true;
}

static bool op_cumsum(Draw *d, int x) {
  static const char *const names[] = {
    "", ", reverse=true", ", exclusive=true", ", exclusive=true, reverse=true"
  };
  begin(d);
  text_printf(d->out, "cumsum(v%d, axis=%d%s) * 0.1", x,
              draw(d, d->value[x].rank), names[draw(d, 4)]);
  end(d, d->value[x]);
  return true;
}

/* A dimension of T alone grows; others too where they are numbers. */
static bool op_concat(Draw *d, int x) {
  Value v = d->value[x];
  int i = draw(d, v.rank);
  Dim *a = &v.dim[i];
  if (a->by_n || (a->by_t && a->n > 1) || a->n > 20) return false;
  begin(d);
  bool front = draw(d, 2);
  text_puts(d->out, "concat(");
  if (!front) text_printf(d->out, "v%d, ", x);
  text_printf(d->out, "slice(v%d, axis=%d, start=0, stop=1), ", x, i);
  if (front) text_printf(d->out, "v%d, ", x);
  text_printf(d->out, "axis=%d)", i);
  if (a->by_t) a->more++;
  else a->n++;
  end(d, v);
  return true;
}

static bool op_pad(Draw *d, int x) {
  Value v = d->value[x];
  int i = draw(d, v.rank), before = draw(d, 3), after = draw(d, 3);
  Dim *a = &v.dim[i];
  if (a->by_n || (a->by_t && a->n > 1) || a->n > 20) return false;
  begin(d);
  text_printf(d->out, "pad(v%d", x);
  for (int side = 0; side < 2; side++) {
    text_printf(d->out, ", %s=[", side ? "after" : "before");
    for (int k = 0; k < v.rank; k++)
      text_printf(d->out, "%s%d", k ? "," : "",
                  k != i ? 0 : side ? after : before);
    text_puts(d->out, "]");
  }
  text_printf(d->out, ", value=%d.5)", draw(d, 3));
  if (a->by_t) a->more += before + after;
  else a->n += before + after;
  end(d, v);
  return true;
}

/* The first or the last, or all but what has been added. */
static bool op_slice(Draw *d, int x) {
  Value v = d->value[x];
  int i = draw(d, v.rank);
  Dim *a = &v.dim[i];
  begin(d);
  if (a->by_t && !a->by_n && a->n == 1 && a->more) {
    int from = draw(d, a->more + 1);
    text_printf(d->out, "slice(v%d, axis=%d, start=%d, stop=%d+T)", x, i,
                from, from);
    a->more = 0;
  } else {
    if (draw(d, 2))
      text_printf(d->out, "slice(v%d, axis=%d, start=0, stop=1)", x, i);
    else
      text_printf(d->out, "slice(v%d, axis=%d, start=-1, stop=dim(v%d, %d))",
                  x, i, x, i);
    *a = (Dim){.n = 1};
  }
  end(d, v);
  return true;
}

static bool op_select(Draw *d, int x) {
  Value v = d->value[x];
  int i = draw(d, v.rank);
  if (v.rank < 2) return false;
  memmove(v.dim + i, v.dim + i + 1, sizeof *v.dim * (size_t)(--v.rank - i));
  begin(d);
  text_printf(d->out, "select(v%d, %d, axis=%d)", x, -draw(d, 2), i);
  end(d, v);
  return true;
}

static bool op_flip(Draw *d, int x) {
  return along(d, x, "flip(v%d, axes=[%d])");
}

static bool op_norm(Draw *d, int x) {
  const Value *v = &d->value[x];
  if (v->rank < 2 || is_free(&v->dim[v->rank - 1])) return false;
  begin(d);
  text_printf(d->out, "layer_norm(v%d, eps=0.1) as n%d", x, d->nparams++);
  end(d, *v);
  return true;
}

/* Rows of the value, looked up by their places from the end. */
static bool op_gather(Draw *d, int x) {
  Value v = d->value[x];
  int i = draw(d, v.rank);
  begin(d);
  text_printf(d->out, "gather(v%d, iota(shape=[", x);
  dim_print(d->out, &v.dim[i]);
  text_printf(d->out, "]) * 2 + %d, axis=%d)", -draw(d, 3), i);
  end(d, v);
  return true;
}

static bool op_lstm(Draw *d, int x) {
  Value v = d->value[x];
  if (v.rank != 3 || is_free(&v.dim[2]) || size_of(&v) > 3000) return false;
  begin(d);
  text_printf(d->out, "first_of(gru(v%d, 5, reverse=%s) as r%d)", x,
              draw(d, 2) ? "true" : "false", d->nparams++);
  v.dim[2] = (Dim){.n = 5};
  end(d, v);
  return true;
}

/* Maps: only their number may be free. */
static bool op_map(Draw *d, int x) {
  Value v = d->value[x];
  if (v.rank != 4) return false;
  for (int i = 1; i < 4; i++)
    if (is_free(&v.dim[i])) return false;
  begin(d);
  int c = v.dim[1].n, k = draw(d, 2) ? 3 : 1;
  switch (draw(d, 4)) {
  case 0:
    text_printf(d->out, "conv(v%d, %d, k=%d, pad=%d, groups=%d) as c%d", x, c,
                k, k / 2, c, d->nparams++);
    break;
  case 1:
    text_printf(d->out, "max_pool(v%d, k=[3,3], pad=[1,1,1,1])", x);
    break;
  case 2:
    text_printf(d->out, "avg_pool(v%d, k=[3,3], pad=[1,1,1,1])", x);
    break;
  default:
    v.dim[1].n = 4 + draw(d, 3) * 5;
    text_printf(d->out, "conv(v%d, %d, k=%d, pad=%d) as c%d", x, v.dim[1].n,
                k, k / 2, d->nparams++);
    break;
  }
  end(d, v);
  return true;
}

static bool (*const ops[])(Draw *, int) = {
  op_unary, op_binary, op_binary, op_linear, op_linear, op_matmul,
  op_permute, op_permute, op_merge, op_split, op_softmax, op_reduce,
  op_cumsum, op_concat, op_pad, op_slice, op_select, op_flip, op_norm,
  op_gather, op_lstm, op_map, op_map, op_map
};

/* ---- models ----------------------------------------------------------- */

static Value input(Draw *d) {
  Value v = {0};
  int kind = draw(d, d->length ? 6 : 2);
  Dim n = {.n = 1, .by_n = true}, t = {.n = 1, .by_t = true};
  Dim c = {.n = 1 + draw(d, 20)};
  switch (kind) {
  case 0: v = (Value){2, {n, c}}; break;
  case 1:
    v = (Value){4, {n, {.n = 1 + draw(d, 6)}, {.n = 3 + draw(d, 8)},
                    {.n = 3 + draw(d, 9)}}};
    break;
  case 2: v = (Value){3, {n, t, c}}; break;
  case 3: v = (Value){3, {t, n, c}}; break;
  case 4: v = (Value){2, {n, t}}; break;
  default: v = (Value){3, {n, c, t}}; break;
  }
  return v;
}

static void signature(Draw *d) {
  int n = 1 + draw(d, 2);
  text_puts(d->out, "model m(");
  for (int i = 0; i < n; i++) {
    Value v = input(d);
    text_printf(d->out, "%sv%d: f32[", i ? ", " : "", i);
    for (int k = 0; k < v.rank; k++) {
      const Dim *x = &v.dim[k];
      if (is_free(x))
        text_printf(d->out, "%s%s", k ? "," : "", x->by_n ? "N" : "T");
      else
        text_printf(d->out, "%s%d", k ? "," : "", x->n);
    }
    text_puts(d->out, "]");
    d->value[d->nvalues++] = v;
  }
}

void sizes_generate(Text *out, uint64_t seed) {
  Draw d = {.out = out, .seed = seed};
  d.length = draw(&d, 4) > 0;
  text_puts(out, "block first_of(x) -> y { y, _ = x; }\n");
  signature(&d);
  int outputs = 1 + draw(&d, 2), wanted = 4 + draw(&d, 12);
  text_puts(out, ") -> ");
  for (int i = 0; i < outputs; i++)
    text_printf(out, "%sy%d", i ? ", " : "", i);
  bool t = false;
  for (int i = 0; i < d.nvalues; i++)
    for (int k = 0; k < d.value[i].rank; k++)
      t |= d.value[i].dim[k].by_t;
  text_printf(out, " where N <= %d", 2 + draw(&d, 3));
  if (t) text_printf(out, ", T <= %d", 2 + draw(&d, 20));
  text_puts(out, " {\n");
  for (int tries = 0; tries < 200 && wanted > 0; tries++) {
    int x = pick(&d);
    if (size_of(&d.value[x]) > 20000) continue;
    if (ops[draw(&d, sizeof ops / sizeof *ops)](&d, x)) wanted--;
  }
  for (int i = 0; i < outputs; i++)
    text_printf(out, "  y%d = v%d;\n", i, d.nvalues - 1 - i);
  text_puts(out, "}\n");
}
