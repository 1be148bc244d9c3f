/* onnx_loop.c - Loop and Scan of ONNX.  A Loop of few turns is unrolled, so
 * that what its body computes of the turn's number is known; one of many, and
 * every Scan, becomes the IR's scan over a function of the body. */
#include "frontend/onnx_move.h"

#include <string.h>

enum { VALUES_MOST = 256, UNROLL_MOST = 64 };

/* ---- functions of bodies -------------------------------------------- */

typedef struct Entered { Func *f; OxBody *body; } Entered;

/* From now on nodes go into a function of their own. */
static Entered body_enter(Ox *o, OxBody *b) {
  Entered before = {o->f, o->body};
  *b = (OxBody){.up = o->body, .around = o->f};
  o->f = func_new_body(o->m, o->node_path);
  o->body = b;
  return before;
}

static void body_leave(Ox *o, Entered before) {
  o->f = before.f;
  o->body = before.body;
}

static OxValue *body_input(Ox *o, const char *wish, Type t, int type) {
  t = type_make(t.elem, t.rank, t.dim);
  OxValue *v = arena_new_of(o->a, OxValue);
  *v = (OxValue){.name = wish, .type = type, .f = o->f};
  v->node = func_input(o->m, o->f, module_fresh_path(o->m, wish), t);
  return v;
}

/* What a scan over axis 0 is made of: the body's results are those that are
 * stacked, then the carries. */
typedef struct Steps {
  Node *in[VALUES_MOST];     /* slices, then what carries begin with */
  int slices, carries, stacked;
  OxValue *out[VALUES_MOST];
} Steps;

static bool body_outputs(Ox *o, Steps *s) {
  for (int i = 0; i < s->stacked + s->carries; i++) {
    Node *n = ox_use(o, s->out[i]);
    if (!n)
      return false;
    func_output(o->m, o->f, arena_printf(o->m->arena, "result_%d", i), n);
  }
  return true;
}

/* A carry is of one type and shape at all steps. */
static bool carries_keep(Ox *o, const Steps *s) {
  for (int i = 0; i < s->carries; i++) {
    const Type *a = &s->in[s->slices + i]->type;
    const Type *b = &o->f->outputs.at[s->stacked + i].node->type;
    if (a->elem != b->elem || !type_same_shape(a, b))
      return ox_refuse(o, "its state %d changes shape or type from step to "
                       "step", i);
  }
  return true;
}

/* The scan node, from outside of its body. */
static Node *scan_node(Ox *o, const Steps *s, const Func *f,
                       const OxBody *b) {
  size_t n = (size_t)(s->slices + s->carries) + b->outer.n;
  Node **in = arena_array(o->a, Node *, n);
  memcpy(in, s->in, (size_t)(s->slices + s->carries) * sizeof *in);
  for (size_t i = 0; i < b->outer.n; i++)
    in[s->slices + s->carries + (int)i] = b->outer.at[i];
  Node *y = ox_begin(o, OP_SCAN, in, (int)n);
  if (!y)
    return NULL;
  attr_set_str(o->m, y, "callee", f->name);
  attr_set_int(y, "slices", s->slices);
  attr_set_int(y, "carries", s->carries);
  return ox_end(o, y);
}

/* ---- Scan ----------------------------------------------------------- */

/* Attribute of one integer for each of n values; `def` where it is absent. */
static bool each_int(Ox *o, const char *name, int n, int64_t def,
                     int64_t *out) {
  const int64_t *v;
  int count = ox_ints(o, name, &v);
  if (count >= 0 && count != n)
    return ox_malformed(o, "%s has %d values, expected %d", name, count, n);
  for (int i = 0; i < n; i++)
    out[i] = count < 0 ? def : v[i];
  return true;
}

/* Axis `from` brought to `to`. */
static Node *axis_move(Ox *o, Node *x, int from, int to) {
  int64_t order[MAX_RANK];
  if (!x)
    return NULL;
  for (int i = 0, k = 0; i < x->type.rank; i++) {
    k += k == from;
    order[i] = i == to ? from : k++;
  }
  return ox_permute(o, x, order);
}

/* Operand i, with its scan axis first. */
static Node *scan_operand(Ox *o, int i, int64_t axis, int64_t reverse) {
  Node *x = ox_in(o, i);
  int at;
  if (!x || !ox_axis(o, axis, x->type.rank, &at))
    return NULL;
  x = axis_move(o, x, at, 0);
  return reverse ? ox_flip(o, x, 0) : x;
}

static bool scan_body(Ox *o, const OnnxFile__Graph *g, Steps *s) {
  OxValue *in[VALUES_MOST], *out[VALUES_MOST];
  int states = s->carries, all = states + s->slices;
  for (int i = 0; i < s->slices; i++) {
    Type t = s->in[i]->type;
    for (int k = 1; k < t.rank; k++)
      t.dim[k - 1] = t.dim[k];
    t.rank--;
    in[states + i] = body_input(o, "slice", t, ox_in_type(o, states + i));
  }
  for (int i = 0; i < states; i++)
    in[i] = body_input(o, "carry", s->in[s->slices + i]->type,
                       ox_in_type(o, i));
  if (!ox_subgraph(o, g, o->node->name ? o->node->name : "scan", in, all, out,
                   states + s->stacked))
    return false;
  for (int i = 0; i < s->stacked; i++)
    s->out[i] = out[states + i];
  for (int i = 0; i < states; i++)
    s->out[s->stacked + i] = out[i];
  return body_outputs(o, s) && carries_keep(o, s);
}

static bool scan_results(Ox *o, const Steps *s, Node *scan) {
  int64_t axis[VALUES_MOST], back[VALUES_MOST];
  if (!scan || !each_int(o, "scan_output_axes", s->stacked, 0, axis) ||
      !each_int(o, "scan_output_directions", s->stacked, 0, back))
    return false;
  for (int i = 0; i < s->carries; i++)
    if (ox_wants(o, i) &&
        !ox_give_as(o, i, ox_item(o, scan, s->stacked + i),
                    s->out[s->stacked + i]->type))
      return false;
  for (int i = 0; i < s->stacked; i++) {
    int at;
    if (!ox_wants(o, s->carries + i))
      continue;
    Node *y = ox_item(o, scan, i);
    if (!y || !ox_axis(o, axis[i], y->type.rank, &at))
      return false;
    y = axis_move(o, back[i] ? ox_flip(o, y, 0) : y, 0, at);
    if (!ox_give_as(o, s->carries + i, y, s->out[i]->type))
      return false;
  }
  return true;
}

bool ox_write_scan(Ox *o) {
  Steps s = {0};
  OxBody b;
  const OnnxFile__Graph *g = ox_graph_attr(o, "body");
  int64_t n = ox_int(o, "num_scan_inputs", 0);
  int64_t axis[VALUES_MOST], back[VALUES_MOST];
  if (o->opset < 9)
    return ox_refuse(o, "the form with a batch axis; expected opset 9");
  if (!g || n < 1 || n > ox_nin(o) || ox_nin(o) > VALUES_MOST ||
      g->n_output > VALUES_MOST || (int64_t)g->n_output < ox_nin(o) - n)
    return ox_malformed(o, "its body, num_scan_inputs and operands do not go "
                        "together");
  s.slices = (int)n;
  s.carries = ox_nin(o) - s.slices;
  s.stacked = (int)g->n_output - s.carries;
  if (!each_int(o, "scan_input_axes", s.slices, 0, axis) ||
      !each_int(o, "scan_input_directions", s.slices, 0, back))
    return false;
  for (int i = 0; i < s.slices; i++)
    if (!(s.in[i] = scan_operand(o, s.carries + i, axis[i], back[i])))
      return false;
  for (int i = 0; i < s.carries; i++)
    if (!(s.in[s.slices + i] = ox_in(o, i)))
      return false;
  Entered before = body_enter(o, &b);
  Func *f = o->f;
  bool ok = scan_body(o, g, &s);
  body_leave(o, before);
  return ok && scan_results(o, &s, scan_node(o, &s, f, &b));
}

/* ---- Loop ----------------------------------------------------------- */

typedef struct Turns {
  const OnnxFile__Graph *body;
  int64_t count;             /* at most so many */
  int states, stacked;
  OxValue *state[VALUES_MOST];
  Node *going;               /* b1[]: NULL while that is known to be true */
  Vec(Node *) rows[VALUES_MOST];
  int type[VALUES_MOST];     /* of what is stacked */
} Turns;

static OxValue *turn_value(Ox *o, Node *n, int type) {
  OxValue *v = arena_new_of(o->a, OxValue);
  *v = (OxValue){.name = "turn", .type = type, .node = n, .f = o->f};
  return v;
}

static bool state_keep(Ox *o, Turns *t, int i, OxValue *next) {
  Node *old = ox_use(o, t->state[i]), *new = ox_use(o, next);
  if (!old || !new)
    return false;
  if (!t->going) {
    t->state[i] = next;
    return true;
  }
  if (old->type.elem != new->type.elem ||
      !type_same_shape(&old->type, &new->type))
    return ox_refuse(o, "how often it runs is known at run time only, and "
                     "state %d changes its shape", i);
  Node *n = ox_op3(o, OP_WHERE, t->going, new, old);
  t->state[i] = turn_value(o, n, next->type);
  return n != NULL;
}

/* Whether to go on behind a turn, whose body said `next`. */
static bool going_on(Ox *o, Turns *t, Node *next, bool *more) {
  next = ox_reshape(o, next, 0, NULL);
  const Tensor *v = ox_values(o, next);
  if (!next)
    return false;
  *more = !v || v->i[0];
  if (!v && t->stacked)
    return ox_refuse(o, "how often it runs is known at run time only, and it "
                     "stacks results");
  if (!v)
    t->going = t->going ? ox_op2(o, OP_MINIMUM, t->going, next) : next;
  return v || t->going;
}

static bool turn(Ox *o, Turns *t, int64_t i, bool *more) {
  OxValue *in[VALUES_MOST], *out[VALUES_MOST];
  const char *name = o->node->name && *o->node->name ? o->node->name : "loop";
  in[0] = turn_value(o, ox_scalar_int(o, I64, i), OX_INT64);
  in[1] = turn_value(o, ox_scalar_int(o, B1, 1), OX_BOOL);
  memcpy(in + 2, t->state, (size_t)t->states * sizeof *in);
  if (!ox_subgraph(o, t->body, arena_printf(o->a, "%s.%lld", name,
                                            (long long)i),
                   in, t->states + 2, out, 1 + t->states + t->stacked))
    return false;
  for (int k = 0; k < t->stacked; k++) {
    OxValue *x = out[1 + t->states + k];
    Node *row = ox_unsqueeze(o, ox_use(o, x), 0);
    if (!row)
      return false;
    vec_push(o->a, &t->rows[k], row);
    t->type[k] = x->type;
  }
  for (int k = 0; k < t->states; k++)
    if (!state_keep(o, t, k, out[1 + k]))
      return false;
  return going_on(o, t, ox_use(o, out[0]), more);
}

static bool loop_unroll(Ox *o, Turns *t) {
  bool more = true;
  for (int64_t i = 0; i < t->count && more; i++) {
    if (i >= OX_STEPS_MOST)
      return ox_refuse(o, "more than %d turns", OX_STEPS_MOST);
    if (!turn(o, t, i, &more))
      return false;
  }
  for (int i = 0; i < t->states; i++)
    if (ox_wants(o, i) &&
        !ox_give_as(o, i, ox_use(o, t->state[i]), t->state[i]->type))
      return false;
  for (int i = 0; i < t->stacked; i++) {
    if (!ox_wants(o, t->states + i))
      continue;
    if (!t->rows[i].n)
      return ox_refuse(o, "it has no turn, so that the shape of result %d is "
                       "not known", t->states + i);
    Node *y = ox_concat(o, t->rows[i].at, (int)t->rows[i].n, 0);
    if (!ox_give_as(o, t->states + i, y, t->type[i]))
      return false;
  }
  return true;
}

static bool loop_body(Ox *o, Turns *t, Steps *s) {
  OxValue *in[VALUES_MOST], *out[VALUES_MOST];
  in[0] = body_input(o, "turn", type_make(I64, 0, NULL), OX_INT64);
  in[1] = turn_value(o, ox_scalar_int(o, B1, 1), OX_BOOL);
  for (int i = 0; i < t->states; i++)
    in[2 + i] = body_input(o, "carry", s->in[1 + i]->type, t->state[i]->type);
  if (!ox_subgraph(o, t->body, o->node->name ? o->node->name : "loop", in,
                   t->states + 2, out, 1 + t->states + t->stacked))
    return false;
  const Tensor *v = ox_values(o, ox_use(o, out[0]));
  if (!v || !v->i[0])
    return ox_refuse(o, "a loop of %lld turns whose condition is computed",
                     (long long)t->count);
  for (int i = 0; i < t->stacked; i++)
    s->out[i] = out[1 + t->states + i];
  for (int i = 0; i < t->states; i++)
    s->out[t->stacked + i] = out[1 + i];
  return body_outputs(o, s) && carries_keep(o, s);
}

/* Its turns as a scan over their numbers. */
static bool loop_scan(Ox *o, Turns *t) {
  Steps s = {.slices = 1, .carries = t->states, .stacked = t->stacked};
  OxBody b;
  if (!(s.in[0] = ox_ruler(o, I64, 1, 0, t->count)))
    return false;
  for (int i = 0; i < t->states; i++)
    if (!(s.in[1 + i] = ox_use(o, t->state[i])))
      return false;
  Entered before = body_enter(o, &b);
  Func *f = o->f;
  bool ok = loop_body(o, t, &s);
  body_leave(o, before);
  return ok && scan_results(o, &s, scan_node(o, &s, f, &b));
}

static bool loop_count(Ox *o, Turns *t) {
  t->count = INT64_MAX;
  if (ox_has_in(o, 0) && !ox_const_int(o, 0, "the number of turns", &t->count))
    return false;
  if (!ox_has_in(o, 1))
    return true;
  Node *cond = ox_reshape(o, ox_in(o, 1), 0, NULL);
  bool more;
  if (!cond || cond->type.elem != B1)
    return ox_malformed(o, "expected one boolean as condition");
  if (!going_on(o, t, cond, &more))
    return false;
  if (!more)
    t->count = 0;
  return true;
}

bool ox_write_loop(Ox *o) {
  Turns t = {.body = ox_graph_attr(o, "body")};
  if (!t.body || ox_nin(o) < 2 || ox_nin(o) > VALUES_MOST - 2 ||
      t.body->n_output > VALUES_MOST ||
      (int)t.body->n_output < 1 + ox_nin(o) - 2)
    return ox_malformed(o, "its body and operands do not go together");
  t.states = ox_nin(o) - 2;
  t.stacked = (int)t.body->n_output - 1 - t.states;
  for (int i = 0; i < t.states; i++)
    if (!(t.state[i] = ox_in_value(o, 2 + i)))
      return ox_malformed(o, "state %d is missing", i);
  if (!loop_count(o, &t))
    return false;
  if (t.count > UNROLL_MOST && t.count != INT64_MAX && !t.going)
    return loop_scan(o, &t);
  return loop_unroll(o, &t);
}
