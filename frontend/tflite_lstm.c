/* tflite_lstm.c - long short-term memory (Hochreiter and Schmidhuber, 1997;
 * Gers, Schmidhuber and Cummins, 2000): one step, sequences, and both
 * directions; with what may be there besides: a coupled input gate,
 * peepholes, a projection, layer norms. */
#include "frontend/tflite.h"

enum { INPUT, FORGET, CELL, OUTPUT, NGATES };

typedef struct Gate {
  TfTensor *w, *r;       /* NULL: coupled to the forget gate */
  TfTensor *peephole, *bias, *norm;   /* NULL: none */
} Gate;

typedef struct Lstm {
  Gate gate[NGATES];
  TfTensor *project, *project_bias;   /* NULL: none */
  TfTensor *h, *c;       /* variables */
  int act;
  float cell_clip, project_clip;      /* 0: none */
} Lstm;

static const char *const gate_names[] = {"input", "forget", "cell", "output"};

/* ---- operands ------------------------------------------------------- */

/* 17 operands in the order of the format, from `at`. */
static bool lstm_read(Tf *t, int at, int h, Lstm *l) {
  for (int i = 0; i < NGATES; i++) {
    Gate *g = &l->gate[i];
    g->w = tf_in(t, at + i);
    g->r = tf_in(t, at + 4 + i);
    g->bias = tf_in(t, at + 11 + i);
  }
  l->gate[INPUT].peephole = tf_in(t, at + 8);
  l->gate[FORGET].peephole = tf_in(t, at + 9);
  l->gate[OUTPUT].peephole = tf_in(t, at + 10);
  l->project = tf_in(t, at + 15);
  l->project_bias = tf_in(t, at + 16);
  l->h = tf_variable(t, h);
  l->c = tf_variable(t, h + 1);
  if (!l->h || !l->c)
    return false;
  for (int i = 0; i < NGATES; i++) {
    const Gate *g = &l->gate[i];
    bool coupled = i == INPUT && !g->w && !g->r && !g->bias;
    if (!coupled && (!g->w || !g->r || !g->bias))
      return tf_refuse(t, "the %s gate has not all of its weights",
                       gate_names[i]);
  }
  return true;
}

/* Layer norms are operands 20 to 23. */
static void norms_read(Tf *t, Lstm *l) {
  for (int i = 0; i < NGATES; i++)
    l->gate[i].norm = tf_in(t, 20 + i);
}

/* ---- one step ------------------------------------------------------- */

/* What comes before a gate's activation; `c` is for its peephole. */
static const char *gate_write(Tf *t, Cell *to, const Lstm *l, int which,
                              const char *x, const char *h, const char *c) {
  const Gate *g = &l->gate[which];
  const char *name = gate_names[which];
  const char *v = tf_cell_linear(t, to, arena_printf(t->a, "%s.x", name), x,
                                 g->w, g->norm ? NULL : g->bias);
  v = tf_cell_op(t, to, "add(%s, %s)", v,
                 tf_cell_linear(t, to, arena_printf(t->a, "%s.h", name), h,
                                g->r, NULL));
  if (g->peephole) {
    const char *p = tf_cell_param(
      t, to, arena_printf(t->a, "%s.peephole", name), g->peephole);
    v = tf_cell_op(t, to, "add(%s, mul(%s, %s))", v, c, p);
  }
  if (!g->norm)
    return v;
  v = tf_cell_op(t, to, "sub(%s, mean(%s, axes=[1], keep=true))", v, v);
  const char *var = tf_cell_op(t, to, "mean(square(%s), axes=[1], "
                               "keep=true)", v);
  v = tf_cell_op(t, to, "mul(%s, rsqrt(add(%s, 1.0e-8)))", v, var);
  v = tf_cell_op(t, to, "mul(%s, %s)", v,
                 tf_cell_param(t, to, arena_printf(t->a, "%s.norm", name),
                               g->norm));
  return tf_cell_op(t, to, "add(%s, %s)", v,
                    tf_cell_param(t, to,
                                  arena_printf(t->a, "%s.bias", name),
                                  g->bias));
}

static const char *clipped(Tf *t, Cell *to, const char *v, float by) {
  return by > 0 ? tf_cell_op(t, to, "clip(%s, lo=%s, hi=%s)", v,
                             tf_scalar(t, F32, -by), tf_scalar(t, F32, by))
                : v;
}

/* From x and state[h, c] to the next of both. */
static void lstm_step(Tf *t, Cell *to, const Lstm *l, const char *x,
                      const char *state[2]) {
  const char *h = state[0], *c = state[1], *i;
  const char *f = gate_write(t, to, l, FORGET, x, h, c);
  f = tf_cell_op(t, to, "sigmoid(%s)", f);
  if (l->gate[INPUT].w)
    i = tf_cell_op(t, to, "sigmoid(%s)",
                   gate_write(t, to, l, INPUT, x, h, c));
  else
    i = tf_cell_op(t, to, "sub(1.0, %s)", f);
  const char *g = tf_cell_act(t, to, l->act,
                              gate_write(t, to, l, CELL, x, h, c));
  c = tf_cell_op(t, to, "add(mul(%s, %s), mul(%s, %s))", f, c, i, g);
  c = clipped(t, to, c, l->cell_clip);
  const char *o = tf_cell_op(t, to, "sigmoid(%s)",
                             gate_write(t, to, l, OUTPUT, x, h, c));
  h = tf_cell_op(t, to, "mul(%s, %s)", o, tf_cell_act(t, to, l->act, c));
  if (l->project) {
    h = tf_cell_linear(t, to, "project", h, l->project, l->project_bias);
    h = clipped(t, to, h, l->project_clip);
  }
  state[0] = h;
  state[1] = c;
}

/* ---- the kernel of four operands ------------------------------------ */

/* Gates are columns of one product of [x,h]: input, cell, forget, output. */
static bool basic_write(Tf *t) {
  if (!tf_arity(t, 5))
    return false;
  if (t->op->nout < 4)
    return tf_refuse(t, "expected 4 results, found %d", t->op->nout);
  TfTensor *w = tf_in(t, 2), *h = tf_variable(t, 1), *c = tf_variable(t, 4);
  int64_t n = w->dim[0] / 4;
  if (!h || !c)
    return false;
  if (w->rank != 2 || w->dim[0] % 4)
    return tf_refuse(t, "weights of shape %s, expected rows of four gates",
                     tf_list(t, w->dim, w->rank));
  Cell to = tf_cell(t, tf_out(t, 0)->path, false);
  const char *x = tf_cell_op(t, &to, "concat(%s, %s, axis=1)",
                             tf_value(t, tf_in(t, 0), FORM_FILE),
                             tf_value(t, h, FORM_FILE));
  const char *all = tf_cell_linear(t, &to, "gates", x, w, tf_in(t, 3));
  const char *g[NGATES];
  for (int i = 0; i < NGATES; i++) {
    g[i] = tf_cell_op(t, &to, "slice(%s, axis=1, start=%lld, stop=%lld)",
                      all, (long long)(i * n), (long long)((i + 1) * n));
    g[i] = tf_cell_op(t, &to, "%s(%s)", i == 1 ? "tanh" : "sigmoid", g[i]);
  }
  const char *s = tf_cell_op(t, &to, "add(mul(%s, %s), mul(%s, %s))", g[0],
                             g[1], g[2], tf_value(t, c, FORM_FILE));
  const char *y = tf_cell_op(t, &to, "mul(%s, tanh(%s))", g[3], s);
  const char *results[] = {y, s, x, all};
  for (int i = 0; i < 4; i++)
    tf_bind(t, i, FORM_FILE, results[i]);
  tf_next(h, y);
  tf_next(c, s);
  return true;
}

/* ---- operators ------------------------------------------------------ */

/* The last fields of the options come in an order of their own. */
static Lstm options_read(const Tf *t) {
  FlatTable o = t->op->options;
  return (Lstm){.act = (int)flat_int(o, 0, 1, 0),
                .cell_clip = flat_float(o, 1, 0),
                .project_clip = flat_float(o, 2, 0)};
}

bool tf_write_lstm(Tf *t) {
  Lstm l = options_read(t);
  if (flat_int(t->op->options, 3, 1, 0) == 1)
    return basic_write(t);
  if (!tf_arity(t, 1) || !lstm_read(t, 1, 18, &l))
    return false;
  norms_read(t, &l);
  Cell to = tf_cell(t, tf_out(t, 0)->path, false);
  const char *x = tf_value(t, tf_in(t, 0), FORM_FILE);
  const char *state[] = {tf_value(t, l.h, FORM_FILE),
                         tf_value(t, l.c, FORM_FILE)};
  lstm_step(t, &to, &l, x, state);
  tf_next(l.h, state[0]);
  tf_next(l.c, state[1]);
  return tf_bind(t, 0, FORM_FILE, state[0]);
}

/* The stacked values of one direction. */
static const char *lstm_scan(Tf *t, const char *path, const Lstm *l,
                             bool time_major, bool reverse) {
  const char *x = tf_value(t, tf_in(t, 0), FORM_FILE);
  const char *init[] = {tf_value(t, l->h, FORM_FILE),
                        tf_value(t, l->c, FORM_FILE)};
  const char *in[] = {tf_fresh(t, "x"), tf_fresh(t, "h"), tf_fresh(t, "c")};
  const char *state[] = {in[1], in[2]};
  Cell to = tf_cell(t, path, true);
  lstm_step(t, &to, l, in[0], state);
  const char *out[] = {state[0], state[0], state[1]};
  const char *y = tf_cell_scan(t, &to, x, time_major ? 0 : 1, reverse, 2, in,
                               out, init);
  tf_next(l->h, init[0]);
  tf_next(l->c, init[1]);
  return y;
}

static bool sequence_ok(Tf *t) {
  return tf_arity(t, 1) &&
         (tf_in(t, 0)->rank == 3 ||
          tf_refuse(t, "expected an input of rank 3, found %d",
                    tf_in(t, 0)->rank));
}

bool tf_write_sequence_lstm(Tf *t) {
  FlatTable o = t->op->options;
  Lstm l = options_read(t);
  if (!sequence_ok(t) || !lstm_read(t, 1, 18, &l))
    return false;
  if (flat_bool(o, 5))
    return tf_refuse(t, "diagonal recurrent weights");
  norms_read(t, &l);
  return tf_bind(t, 0, FORM_FILE, lstm_scan(t, tf_out(t, 0)->path, &l,
                                            flat_bool(o, 3), false));
}

/* The second direction goes from the last step to the first. */
bool tf_write_bidirectional_lstm(Tf *t) {
  FlatTable o = t->op->options;
  Lstm l[2] = {options_read(t), options_read(t)};
  bool merge = flat_bool(o, 3), time_major = flat_uint(o, 4, 1, 1) != 0;
  if (!sequence_ok(t) || !lstm_read(t, 1, 35, &l[0]) ||
      !lstm_read(t, 18, 37, &l[1]))
    return false;
  for (int i = 39; i < 48; i++)
    if (tf_in(t, i))
      return tf_refuse(t, "auxiliary operand %d", i);
  if (!merge && !tf_out(t, 1))
    return tf_refuse(t, "expected two results, found one");
  const char *path = tf_out(t, 0)->path;
  const char *y = lstm_scan(t, arena_printf(t->a, "%s.forward", path), &l[0],
                            time_major, false);
  const char *z = lstm_scan(t, arena_printf(t->a, "%s.backward", path), &l[1],
                            time_major, true);
  if (merge)
    return tf_give(t, 0, FORM_FILE, "concat(%s, %s, axis=2)", y, z);
  return tf_bind(t, 0, FORM_FILE, y) && tf_bind(t, 1, FORM_FILE, z);
}
