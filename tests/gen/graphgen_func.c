/* graphgen_func.c - functions that are called, loops at run time, states. */
#include <string.h>

#include "tests/gen/graphgen.h"

enum { MAX_OUT = 3, MAX_DEPTH = 2 };

/* ---- a body ---------------------------------------------------------- */

/* The body of a function of `g`, in a generator of its own. */
static GraphGen body_begin(GraphGen *g, int64_t steps) {
  GraphGen s = {.ints = g->ints, .depth = g->depth + 1, .funcs = g->funcs};
  s.state = hash_mix(g->state);
  s.nparams = g->nparams;
  s.nfuncs = g->nfuncs;
  s.max_elems = g->max_elems / 2;
  s.max_macs = g->max_macs / (2 * steps + 1);
  text_puts(&s.params, "");
  text_puts(&s.body, "");
  return s;
}

/* A body without a result is none. */
static void body_drop(GraphGen *g, GraphGen *s) {
  g->funcs = s->funcs;
  text_free(&s->params);
  text_free(&s->body);
}

/* What it declared counts on; its text goes in front of the model. */
static void body_end(GraphGen *g, GraphGen *s, const char *head,
                     const char *tail) {
  g->funcs = s->funcs;
  text_printf(&g->funcs, "%s {\n%s%s%s}\n", head, s->params.s, s->body.s,
              tail);
  g->nparams = s->nparams;
  g->nfuncs = s->nfuncs;
  g->state = hash_mix(g->state + 1);
  text_free(&s->params);
  text_free(&s->body);
}

/* An input for values as large as v, and as those that a caller from
 * outside may give. */
static int input_like(GraphGen *s, const GenValue *v, int rank,
                      const int64_t *dim) {
  int x = gen_input(s, v->elem, rank, dim);
  if (v->bound > s->value[x].bound) s->value[x].bound = v->bound;
  return x;
}

static bool same_shape(const GenValue *a, const GenValue *b) {
  bool same = a->elem == b->elem && a->rank == b->rank;
  for (int i = 0; same && i < a->rank; i++) same = a->dim[i] == b->dim[i];
  return same;
}

/* Most ops need an f32 value. */
static void body_ops(GraphGen *s) {
  s->closed = true;
  const GenValue *x = &s->value[0];
  if (gen_pick(s, -1, 0) < 0)
    gen_value(s, x->rank, x->dim, x->bound, "cast(%s, f32)", x->name);
  int n = (int)gen_range(s, 1, 4);
  int until = s->nvalues + n;
  while (s->nvalues < until && s->nvalues < GEN_MAX_VALUES / 2) gen_op(s);
  const GenValue last = s->value[s->nvalues - 1];
  if (last.leaf || last.state)
    gen_value_of(s, last.elem, last.rank, last.dim, last.bound,
                 "stop_gradient(%s)", gen_use(s, s->nvalues - 1));
}

static void print_inputs(const GraphGen *s, Text *t, bool types) {
  const char *between = "";
  for (int i = 0; i < s->nvalues && s->value[i].leaf; i++) {
    text_printf(t, "%s%s", between, s->value[i].name);
    if (types) {
      text_puts(t, ": ");
      gen_type(t, &s->value[i]);
    }
    between = ", ";
  }
}

/* Some values that are computed, the last one among them. */
static int results_choose(GraphGen *s, int min_rank, int max_rank,
                          int64_t elems, int out[MAX_OUT]) {
  int n = 0;
  for (int i = s->nvalues - 1; i >= 0 && n < MAX_OUT; i--) {
    const GenValue *v = &s->value[i];
    if (v->leaf || v->state || v->rank < min_rank || v->rank > max_rank ||
        gen_elems(v->rank, v->dim) > elems)
      continue;
    if (n == 0 || gen_chance(s, v->uses ? 15 : 60)) out[n++] = i;
  }
  return n;
}

/* ---- calls ----------------------------------------------------------- */

/* `  v4, v5 = ` with the values of the right side. */
static void bind(GraphGen *g, const GenValue *r, int n) {
  for (int i = 0; i < n; i++) {
    int v = gen_result(g, &r[i]);
    text_printf(&g->body, "%s%s", i ? ", " : "  ", g->value[v].name);
  }
  text_puts(&g->body, " = ");
}

static void call_write(GraphGen *g, const char *name, const int *arg,
                       int nargs, bool turned, const GenValue *r, int n) {
  bind(g, r, n);
  text_printf(&g->body, "%s(", name);
  for (int i = 0; i < nargs; i++)
    text_printf(&g->body, "%s%s", i ? ", " : "",
                gen_use(g, arg[turned ? nargs - 1 - i : i]));
  text_puts(&g->body, ");\n");
}

static int pick_any(GraphGen *g) {
  return gen_pick_of(g, op_info(OP_RESHAPE)->elems, -1, 0);
}

/* A function of some of the values, called once or twice. */
bool gen_call(GraphGen *g) {
  if (g->depth >= MAX_DEPTH || g->nvalues > GEN_MAX_VALUES / 2) return false;
  int arg[3], nargs = (int)gen_range(g, 1, 3), out[MAX_OUT];
  GenValue r[MAX_OUT];
  char name[16];
  GraphGen body = body_begin(g, 2), *s = &body;
  for (int i = 0; i < nargs; i++) {
    arg[i] = i && gen_chance(g, 30) ? arg[0] : pick_any(g);
    const GenValue *v = &g->value[arg[i]];
    input_like(s, v, v->rank, v->dim);
  }
  snprintf(name, sizeof name, "fn%d", s->nfuncs++);
  gen_states_see(g, s);
  body_ops(s);
  int n = results_choose(s, 0, MAX_RANK, g->max_elems, out);
  if (n == 0) {
    body_drop(g, s);
    return false;
  }
  Text head = {0};
  text_printf(&head, "func %s(", name);
  print_inputs(s, &head, true);
  text_puts(&head, ") -> ");
  for (int i = 0; i < n; i++) {
    r[i] = s->value[out[i]];
    text_printf(&head, "%s%s", i ? ", " : "", r[i].name);
  }
  body_end(g, s, head.s, "");
  text_free(&head);
  call_write(g, name, arg, nargs, false, r, n);
  bool turn = nargs < 2 || same_shape(&g->value[arg[0]],
                                      &g->value[arg[nargs - 1]]);
  if (turn && gen_chance(g, 40)) call_write(g, name, arg, nargs, true, r, n);
  return true;
}

/* ---- scan ------------------------------------------------------------ */

typedef struct GenScan {
  int xs[2], nxs, init[2], ninit, more[1], nmore, axis;
  int64_t steps;
  int carry[2];              /* inputs of the body */
  GenValue result[MAX_OUT + 2];
  int stacked;
} GenScan;

static bool scan_args(GraphGen *g, GenScan *s) {
  *s = (GenScan){.nxs = 1};
  s->xs[0] = gen_pick_of(g, op_info(OP_RESHAPE)->elems, -1, 1);
  if (s->xs[0] < 0) return false;
  const GenValue *x = &g->value[s->xs[0]];
  s->axis = (int)(gen_chance(g, 50) ? 0 : gen_below(g, x->rank));
  s->steps = x->dim[s->axis];
  int y = pick_any(g);
  const GenValue *v = &g->value[y];
  if (gen_chance(g, 40) && v->rank > s->axis &&
      v->dim[s->axis] == s->steps)
    s->xs[s->nxs++] = y;
  s->ninit = (int)gen_range(g, 0, 2);
  for (int i = 0; i < s->ninit; i++) {
    s->init[i] = gen_pick_of(g, 1u << F32 | 1u << I32 | 1u << I64, -1, 0);
    v = &g->value[s->init[i]];
    if (gen_elems(v->rank, v->dim) > 600) return false;
  }
  s->nmore = gen_chance(g, 30);
  for (int i = 0; i < s->nmore; i++) s->more[i] = pick_any(g);
  return s->steps <= 200;
}

/* A carry stays within this, step after step. */
static double carry_bound(const GenValue *v) {
  return v->bound < 8 ? 8 : v->bound;
}

static void scan_inputs(const GraphGen *g, GraphGen *b, GenScan *s) {
  for (int i = 0; i < s->nxs; i++) {
    const GenValue *x = &g->value[s->xs[i]];
    int64_t dim[MAX_RANK];
    int n = 0;
    for (int k = 0; k < x->rank; k++)
      if (k != s->axis) dim[n++] = x->dim[k];
    input_like(b, x, n, dim);
  }
  for (int i = 0; i < s->ninit; i++) {
    const GenValue *x = &g->value[s->init[i]];
    s->carry[i] = input_like(b, x, x->rank, x->dim);
    b->value[s->carry[i]].bound = carry_bound(x);
  }
  for (int i = 0; i < s->nmore; i++) {
    const GenValue *x = &g->value[s->more[i]];
    input_like(b, x, x->rank, x->dim);
  }
}

/* What carry i is left as: it and something else, within its bound. */
static void carry_write(GraphGen *b, const GenScan *s, int i, Text *tail) {
  const GenValue *c = &b->value[s->carry[i]];
  int with = gen_pick_of(b, 1u << c->elem, -1, 0);
  char add[64];
  if (same_shape(c, &b->value[with]))
    snprintf(add, sizeof add, "%s", gen_use(b, with));
  else
    snprintf(add, sizeof add, "max(%s, [])", gen_use(b, with));
  if (c->elem == F32)
    text_printf(tail, "  c%d = clip(%s + %s, -%.1f, %.1f);\n", i, c->name, add,
                c->bound, c->bound);
  else
    text_printf(tail, "  c%d = maximum(minimum(%s + %s, %d), -%d);\n", i,
                c->name, add, (int)c->bound, (int)c->bound);
}

static void scan_head(GraphGen *b, GenScan *s, const int *out, bool block,
                      const char *name, Text *head) {
  text_printf(head, "%s %s(", block ? "block" : "func", name);
  print_inputs(b, head, !block);
  text_puts(head, ") -> ");
  for (int i = 0; i < s->stacked; i++)
    text_printf(head, "%s%s", i ? ", " : "", b->value[out[i]].name);
  for (int i = 0; i < s->ninit; i++)
    text_printf(head, "%sc%d", s->stacked + i ? ", " : "", i);
}

/* Types of the scan's results in the function around it. */
static void scan_results(const GraphGen *g, const GraphGen *b, GenScan *s,
                         const int *out) {
  for (int i = 0; i < s->stacked; i++) {
    GenValue r = b->value[out[i]], y = r;
    y.rank = r.rank + 1;
    for (int k = 0, at = 0; k < y.rank; k++)
      y.dim[k] = k == s->axis ? s->steps : r.dim[at++];
    s->result[i] = y;
  }
  for (int i = 0; i < s->ninit; i++) {
    GenValue y = g->value[s->init[i]];
    y.bound = carry_bound(&y);
    s->result[s->stacked + i] = y;
  }
}

static void names_write(GraphGen *g, const int *v, int n) {
  text_puts(&g->body, "[");
  for (int i = 0; i < n; i++)
    text_printf(&g->body, "%s%s", i ? ", " : "", gen_use(g, v[i]));
  text_puts(&g->body, "]");
}

static void scan_write(GraphGen *g, const GenScan *s, const char *name) {
  int rank = g->value[s->xs[0]].rank;
  bool from_end = s->nxs == 1 && s->stacked == 0 && gen_chance(g, 50);
  bind(g, s->result, s->stacked + s->ninit);
  text_printf(&g->body, "scan(%s, ", name);
  names_write(g, s->xs, s->nxs);
  text_puts(&g->body, ", ");
  names_write(g, s->init, s->ninit);
  for (int i = 0; i < s->nmore; i++)
    text_printf(&g->body, ", %s", gen_use(g, s->more[i]));
  if (s->axis || from_end || gen_chance(g, 20))
    text_printf(&g->body, ", axis=%d", from_end ? s->axis - rank : s->axis);
  if (gen_chance(g, 40)) text_puts(&g->body, ", reverse=true");
  text_puts(&g->body, ");\n");
}

/* A block or function, step by step through one value or two. */
bool gen_scan(GraphGen *g) {
  GenScan s;
  int out[MAX_OUT];
  char name[16];
  if (g->depth >= MAX_DEPTH || g->nvalues > GEN_MAX_VALUES / 2 ||
      !scan_args(g, &s))
    return false;
  bool block = gen_chance(g, 50);
  GraphGen body = body_begin(g, s.steps), *b = &body;
  snprintf(name, sizeof name, "%s%d", block ? "bk" : "fn", b->nfuncs++);
  scan_inputs(g, b, &s);
  gen_states_see(g, b);
  body_ops(b);
  s.stacked = results_choose(b, s.axis, MAX_RANK - 1,
                             g->max_elems / (s.steps + 1), out);
  bool any = s.stacked + s.ninit > 0;
  Text head = {0}, tail = {0};
  text_puts(&tail, "");
  for (int i = 0; i < s.ninit; i++) carry_write(b, &s, i, &tail);
  scan_head(b, &s, out, block, name, &head);
  scan_results(g, b, &s, out);
  if (any) body_end(g, b, head.s, tail.s);
  else body_drop(g, b);
  if (any) scan_write(g, &s, name);
  text_free(&head);
  text_free(&tail);
  return any;
}

/* ---- states ---------------------------------------------------------- */

/* A state like one of the values. */
bool gen_state(GraphGen *g) {
  if (g->depth || g->nstates >= GEN_MAX_STATES) return false;
  int like = pick_any(g);
  GenValue v = g->value[like], *s = &g->states[g->nstates];
  *s = v;
  if (s->bound < 8) s->bound = 8;
  if (v.elem == B1 || v.elem == U8) s->bound = v.elem == B1 ? 1 : 255;
  s->leaf = false;
  s->state = true;
  s->uses = 0;
  snprintf(s->name, sizeof s->name, "s%d", g->nstates++);
  text_printf(&g->funcs, "state %s: ", s->name);
  gen_type(&g->funcs, s);
  const char *start = gen_chance(g, 50) ? "0" : "3";
  if (v.elem == B1) start = gen_chance(g, 50) ? "true" : "false";
  else if (elem_is_float(v.elem)) start = gen_chance(g, 50) ? "0.0" : "-2.0";
  text_printf(&g->funcs, " = %s;\n", start);
  g->value[g->nvalues++] = *s;
  return true;
}

/* A body may read the states that there are. */
void gen_states_see(const GraphGen *g, GraphGen *to) {
  const GraphGen *top = g;
  to->nstates = top->nstates;
  for (int i = 0; i < top->nstates; i++) {
    to->states[i] = top->states[i];
    if (gen_chance(to, 40)) to->value[to->nvalues++] = top->states[i];
  }
}

/* A value of the state's type within its bound, the state itself the last
 * choice of all. */
static void next_write(GraphGen *g, const GenValue *s, Text *out) {
  int like = -1;
  for (int i = 0; i < g->nvalues; i++) {
    const GenValue *v = &g->value[i];
    if (same_shape(v, s) && strcmp(v->name, s->name) != 0 &&
        (like < 0 || gen_chance(g, 50)))
      like = i;
  }
  const char *with = like < 0 ? s->name : gen_use(g, like);
  bool fits = like >= 0 && g->value[like].bound <= s->bound;
  text_printf(out, "  next %s = ", s->name);
  if (fits && gen_chance(g, 60)) text_printf(out, "%s;\n", with);
  else if (s->elem == F32)
    text_printf(out, "clip(%s + %s, -%.1f, %.1f);\n", s->name, with, s->bound,
                s->bound);
  else if (s->elem == I32 || s->elem == I64)
    text_printf(out, "maximum(minimum(%s + %s, %d), -%d);\n", s->name, with,
                (int)s->bound, (int)s->bound);
  else if (fits) text_printf(out, "%s;\n", with);
  else text_printf(out, "%s;\n", s->name);
}

void gen_nexts(GraphGen *g, Text *out) {
  for (int i = 0; i < g->nstates; i++) next_write(g, &g->states[i], out);
}
