/* effects.c - what a recipe did to a network: errors of weights, and of
 * outputs on data, against the model before it.  Layers are matched by path.
 * Both run on this machine, a call of one after that of the other, with values
 * of layers as outputs (watch.c). */
#include "driver/report.h"

#include <math.h>
#include <string.h>

/* Bytes of the values that a run watches in one of the two; more layers take
 * several runs. */
enum { WATCHED_MOST = 256 << 20 };
static const Gap unknown = {0, -1};

double gap_error(const Gap *g) {
  if (!isfinite(g->norm) || !isfinite(g->diff) || g->norm < 0) return -1;
  if (g->norm == 0) return g->diff > 0 ? -1 : 0;
  double e = sqrt(g->diff / g->norm);
  return isfinite(e) ? e : -1;
}

static void gap_sum(Gap *to, const Gap *g) {
  to->diff += g->diff;
  to->norm += g->norm;
}

/* Values of a type from both, r the dense network's. */
static Gap gap_of(Elem e, const void *v, const void *r, int64_t n) {
  Gap g = {0, 0};
  for (size_t i = 0; i < (size_t)n; i++) {
    double x = elem_load(e, v, i), y = elem_load(e, r, i);
    g.diff += (x - y) * (x - y);
    g.norm += y * y;
  }
  return g;
}

/* ---- weights --------------------------------------------------------- */

/* A node of the dense module by function, path, op and how many such came
 * before it. */
static const char *node_key(Arena *a, Map *count, const Func *f,
                            const Node *n) {
  const char *key = arena_printf(a, "%s/%s/%s", f->name, n->path,
                                 op_info(n->op)->name);
  size_t k = (size_t)(uintptr_t)map_get(count, key);
  map_put(a, count, key, (void *)(uintptr_t)(k + 1));
  return arena_printf(a, "%s/%zu", key, k);
}

static Map nodes_by_key(Arena *a, const Module *m) {
  Map all = {0}, count = {0};
  for (size_t k = 0; k < m->funcs.n; k++) {
    const Func *f = m->funcs.at[k];
    for (size_t i = 0; i < f->nodes.n; i++)
      if (f->nodes.at[i]->path)
        map_put(a, &all, node_key(a, &count, f, f->nodes.at[i]),
                f->nodes.at[i]);
  }
  return all;
}

/* The weight that an operand is, of two axes or more. */
static Param *weight_in(const Node *n, int i) {
  const Node *x = i < n->nin ? n->in[i] : NULL;
  if (x && x->op == OP_MASK) x = x->in[0];
  return x && x->op == OP_PARAM && x->type.rank >= 2 &&
         elem_is_float(x->type.elem) ? x->param : NULL;
}

static Gap weight_gap(Module *dense, Module *pruned, const Param *p,
                      const Param *was) {
  if (!was || !type_same_dims(&p->type, &was->type)) return unknown;
  const float *v = param_values(pruned, p), *r = param_values(dense, was);
  return v && r ? gap_of(F32, v, r, type_elems(&p->type)) : unknown;
}

static LayerGap *layer_of(Effects *e, Arena *a, const char *path) {
  LayerGap *g = map_get(&e->of, path);
  if (g) return g;
  g = arena_new_of(a, LayerGap);
  *g = (LayerGap){arena_strdup(a, path), unknown, unknown, false};
  map_put(a, &e->of, g->path, g);
  return g;
}

/* Weights that the dense layer does not have make the whole unknown. */
static void node_weights(Effects *e, Arena *a, Module *dense, Module *pruned,
                         const Node *n, const Node *was) {
  for (int i = 0; i < n->nin; i++) {
    const Param *p = weight_in(n, i);
    if (!p) continue;
    LayerGap *l = layer_of(e, a, n->path);
    Gap g = weight_gap(dense, pruned, p, was ? weight_in(was, i) : NULL);
    l->lost |= g.norm < 0;
    if (l->lost) l->weight = unknown;
    else if (l->weight.norm < 0) l->weight = g;
    else gap_sum(&l->weight, &g);
  }
}

static void weights_compare(Effects *e, Arena *a, Module *dense,
                            Module *pruned) {
  Map was = nodes_by_key(a, dense), count = {0};
  for (size_t k = 0; k < pruned->funcs.n; k++) {
    const Func *f = pruned->funcs.at[k];
    for (size_t i = 0; i < f->nodes.n; i++) {
      const Node *n = f->nodes.at[i];
      if (!n->path) continue;
      const char *key = node_key(a, &count, f, n);
      node_weights(e, a, dense, pruned, n, map_get(&was, key));
    }
  }
  e->weights = unknown;
  for (size_t i = 0; i < pruned->params.n; i++) {
    const Param *p = pruned->params.at[i];
    if (p->type.rank < 2 || !elem_is_float(p->type.elem)) continue;
    Gap g = weight_gap(dense, pruned, p, module_param(dense, p->path));
    if (e->weights.norm < 0) e->weights = g;
    else if (!(g.norm < 0)) gap_sum(&e->weights, &g);
  }
}

/* ---- outputs --------------------------------------------------------- */

/* A run over the data. */
typedef struct Compare {
  Effects *e;
  Session *s;
  Arena *keep, *a;           /* of the effects; of this run */
  Watch dense, pruned;
  const EffectOpts *o;
  Samples *samples;          /* NULL: drawn */
  size_t from, to, layers;   /* those that this run watches; all there are */
  LayerGap **gap;            /* of output `at` of both, number k */
  size_t (*at)[2], n;
} Compare;

/* The last node of each path, in the model's own function. */
static Map last_nodes(Arena *a, const Module *m) {
  const Func *f = m->funcs.at[0];
  Map all = {0};
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *n = f->nodes.at[i];
    if (n->path && !(op_info(n->op)->flags & FLAG_LEAF))
      map_put(a, &all, n->path, n);
  }
  return all;
}

/* The same value in the dense network, if it has one. */
static Node *counterpart(const Map *was, const Map *now, const Node *n) {
  if (!n->path || map_get(now, n->path) != n) return NULL;
  Node *r = map_get(was, n->path);
  return r && type_same_dims(&r->type, &n->type) &&
         r->type.elem == n->type.elem ? r : NULL;
}

/* Watch layers from number `from` on, while there is room. */
static void layers_watch(Compare *c) {
  Map was = last_nodes(c->a, c->dense.session.module);
  Map now = last_nodes(c->a, c->pruned.session.module);
  const Func *f = c->pruned.session.module->funcs.at[0];
  int64_t bytes = 0;
  c->gap = arena_array(c->a, LayerGap *, f->nodes.n + 1);
  c->at = arena_alloc(c->a, checked_mul(f->nodes.n + 1, sizeof *c->at));
  c->to = c->from;
  for (size_t i = 0; i < f->nodes.n && c->o->layers; i++) {
    Node *n = f->nodes.at[i], *r = counterpart(&was, &now, n);
    if (!r || c->layers++ < c->from) continue;
    bytes += type_bytes(&n->type);
    if (c->to < c->layers - 1 || (c->n && bytes > WATCHED_MOST)) continue;
    c->to = c->layers;
    c->gap[c->n] = layer_of(c->e, c->keep, n->path);
    c->at[c->n][0] = watch_output(&c->dense, r);
    c->at[c->n++][1] = watch_output(&c->pruned, n);
  }
}

/* Do both take and give the same?  A recipe may make another model. */
static bool calls_match(const Compare *c) {
  const Func *x = c->dense.session.module->funcs.at[0];
  const Func *y = c->pruned.session.module->funcs.at[0];
  bool same = x->inputs.n == y->inputs.n &&
              c->dense.noutputs == c->pruned.noutputs;
  for (size_t i = 0; same && i < x->inputs.n; i++) {
    const Type *s = &x->inputs.at[i]->type, *t = &y->inputs.at[i]->type;
    same = type_same_dims(s, t) && s->elem == t->elem;
  }
  for (size_t i = 0; same && i < c->dense.noutputs; i++) {
    const Type *s = &x->outputs.at[i].node->type;
    const Type *t = &y->outputs.at[i].node->type;
    same = type_same_dims(s, t) && s->elem == t->elem;
  }
  return same;
}

static bool inputs_next(Compare *c, int64_t k) {
  Loaded *l = &c->dense.built;
  const tamis_model *m = l->model;
  const Options none = {0};
  if (c->samples
        ? !samples_next(c->samples, c->s->diags, l->io)
        : !artifact_inputs(c->a, c->s->diags, &none, l,
                           c->o->seed + (uint64_t)k))
    return false;
  for (uint32_t i = 0; i < m->n_inputs; i++)
    memcpy(c->pruned.built.io[i], l->io[i], m->inputs[i].bytes);
  return true;
}

static Gap output_gap(const Compare *c, size_t dense, size_t pruned) {
  const Loaded *x = &c->dense.built, *y = &c->pruned.built;
  const tamis_tensor *t = &x->model->outputs[dense];
  Type type = artifact_type(x, t);
  return gap_of(type.elem, y->io[y->model->n_inputs + pruned],
                x->io[x->model->n_inputs + dense], type_elems(&type));
}

/* -1: one of them is no number. */
static int64_t argmax(Elem e, const void *v, int64_t from, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 0; i < n; i++) {
    double x = elem_load(e, v, (size_t)(from + i));
    if (isnan(x)) return -1;
    if (x > elem_load(e, v, (size_t)(from + best))) best = i;
  }
  return best;
}

static int64_t call_batch(const Compare *c) {
  return c->samples ? c->samples->each : 1;
}

static void classes_compare(Compare *c, int64_t k) {
  const Labels *l = c->o->labels;
  int64_t batch = call_batch(c);
  const Loaded *both[2] = {&c->dense.built, &c->pruned.built};
  for (int i = 0; i < 2; i++) {
    Type t = artifact_type(both[i], &both[i]->model->outputs[0]);
    int64_t each = type_elems(&t) / batch;
    for (int64_t b = 0; b < batch && k * batch + b < l->n; b++)
      c->e->hits[i] += argmax(t.elem, both[i]->io[both[i]->model->n_inputs],
                              b * each, each) == l->at[k * batch + b];
  }
  for (int64_t b = 0; b < batch; b++) c->e->classed += k * batch + b < l->n;
}

/* Each value once, in the first run those of the model too. */
static void call_compare(Compare *c, int64_t k) {
  for (size_t i = 0; i < c->n; i++) {
    Gap g = output_gap(c, c->at[i][0], c->at[i][1]), *to = &c->gap[i]->output;
    if (to->norm < 0) *to = g;
    else gap_sum(to, &g);
  }
  if (c->from) return;
  for (size_t i = 0; i < c->e->outputs.n; i++) {
    Gap g = output_gap(c, i, i);
    gap_sum(&c->e->outputs.at[i].gap, &g);
    gap_sum(&c->e->output, &g);
  }
  c->e->samples += call_batch(c);
  if (c->o->labels) classes_compare(c, k);
}

static void outputs_open(Compare *c) {
  const Func *f = c->dense.session.module->funcs.at[0];
  if (c->from) return;
  c->e->output = (Gap){0, 0};
  for (size_t i = 0; i < f->outputs.n; i++)
    vec_push(c->keep, &c->e->outputs,
             ((OutputGap){arena_strdup(c->keep, f->outputs.at[i].name),
                          {0, 0}}));
}

static bool run(Compare *c, Module *dense, Module *pruned) {
  Session *s = c->s;
  if (c->o->data && !(c->samples = data_open(s, c->a, dense, c->o->data)))
    return false;
  if (!watch_load(&c->dense, s, c->a, dense, c->samples) ||
      !watch_load(&c->pruned, s, c->a, pruned, c->samples))
    return false;
  if (!calls_match(c)) return true;     /* nothing is known of outputs */
  outputs_open(c);
  layers_watch(c);
  if (!watch_build(&c->dense) || !watch_build(&c->pruned)) return false;
  int64_t calls = c->samples ? c->samples->calls : c->o->draws;
  for (int64_t k = 0; k < calls; k++) {
    session_progress(s, arena_printf(c->a, "compare: call %lld of %lld",
                                     (long long)k + 1, (long long)calls));
    if (!inputs_next(c, k) || !watch_call(&c->dense, k) ||
        !watch_call(&c->pruned, k))
      return false;
    call_compare(c, k);
  }
  return true;
}

bool effects_make(Effects *e, Session *s, Module *dense, Module *pruned,
                  const EffectOpts *o) {
  bool ok = true;
  size_t from = 0, layers = 1;
  *e = (Effects){.output = unknown};
  weights_compare(e, s->arena, dense, pruned);
  while (ok && (o->data || o->draws) && from < layers) {
    Compare c = {.e = e, .s = s, .keep = s->arena, .a = arena_new(), .o = o,
                 .from = from};
    ok = run(&c, dense, pruned);
    from = c.to;
    layers = c.layers;
    watch_close(&c.dense);
    watch_close(&c.pruned);
    samples_close(c.samples);
    arena_free(c.a);
  }
  session_progress(s, NULL);
  return ok;
}
