/* cse.c - one node for equal computations; and, behind pass slice (two layers
 * with one param lose channels together), one param for equal weights.
 *
 * requires   a typed graph, operands of commutative ops in canonical order
 * preserves  values exactly; the first of equal nodes stays, with its name
 *            and path and the places of all.  A param that layers read as a
 *            weight, and nothing else, is one with such ones alone: it can
 *            be stored in fewer bits
 * before     a = relu(x) from "m.tam" 3:7;  b = relu(x) from "m.tam" 4:7;
 *            y = add(a, b);
 * after      a = relu(x) from "m.tam" 3:7, "m.tam" 4:7;  y = add(a, a);
 * source     value numbering over a DAG by a hash of op, operands and
 *            attributes; ops are pure, so equal means interchangeable */
#include <string.h>

#include "passes/passes.h"

/* ---- params ---------------------------------------------------------- */

typedef struct Shared {
  Param *first;       /* the one that stands for it */
  bool weight, other; /* how it is read */
} Shared;

static void use_note(void *ctx, const Param *p, const Node *n, int k) {
  Shared *s = (Shared *)ctx + p->order;
  if (n && node_reads_weight(n, k)) s->weight = true;
  else s->other = true;
}

static bool param_equal(const Shared *of, const Param *a, const Param *b) {
  const Shared *x = &of[a->order], *y = &of[b->order];
  size_t size = (size_t)type_bytes(&a->type);
  return type_equal(&a->type, &b->type) && x->weight == y->weight &&
         x->other == y->other &&
         !memcmp(param_data(a), param_data(b), size);
}

/* The first of the params equal to each; those without values are alone. */
static Shared *params_share(PassCtx *c) {
  Module *m = c->m;
  size_t n = m->params.n, room = 64;
  while (room < 2 * n) room *= 2;
  Shared *of = arena_array(c->scratch, Shared, n + 1);
  Param **table = arena_array(c->scratch, Param *, room);
  for (size_t i = 0; i < n; i++) m->params.at[i]->order = (uint32_t)i;
  for (size_t i = 0; i < m->funcs.n; i++)
    params_walk(m->funcs.at[i], use_note, of);
  for (size_t i = 0; i < n; i++) {
    Param *p = of[i].first = m->params.at[i];
    const void *data = param_data(p);
    if (!data) continue;
    size_t h = hash_sample(data, (size_t)type_bytes(&p->type)) & (room - 1);
    while (table[h] && !param_equal(of, table[h], p)) h = (h + 1) & (room - 1);
    if (!table[h]) table[h] = p;
    of[i].first = table[h];
  }
  return of;
}

static void params_replace(PassCtx *c, Func *f, const Shared *of) {
  size_t n = f->nodes.n;
  for (size_t i = 0; i < n; i++) {
    Node *p = f->nodes.at[i];
    if (p->op != OP_PARAM || of[p->param->order].first == p->param) continue;
    func_replace(f, p, func_param(c->m, f, of[p->param->order].first));
  }
}

/* ---- nodes ----------------------------------------------------------- */

static bool node_equal(const Node *a, const Node *b) {
  if (a->op != b->op || a->nin != b->nin) return false;
  if (a->op == OP_CONST)
    return a->type.elem == b->type.elem && a->ivalue == b->ivalue &&
           memcmp(&a->value, &b->value, sizeof a->value) == 0 &&
           a->free == b->free;
  if (node_is_leaf(a)) return false;
  for (int i = 0; i < a->nin; i++)
    if (a->in[i] != b->in[i]) return false;
  for (int i = 0; i < op_info(a->op)->nattrs; i++)
    if (!attr_equal(&a->attr[i], &b->attr[i])) return false;
  return type_equal(&a->type, &b->type);
}

/* Attributes are left to node_equal: few nodes share op and operands. */
static uint64_t node_hash(const Node *n) {
  uint64_t h = hash_mix((uint64_t)n->op + 1);
  if (n->op == OP_CONST)
    h = hash_mix(h ^ hash_bytes(&n->value, 8) ^ (uint64_t)n->ivalue);
  for (int i = 0; i < n->nin; i++)
    h = hash_mix(h ^ (n->in[i] ? n->in[i]->id + 1 : 0));
  return h;
}

/* stands[id] is the first of the nodes equal to a node; operands come
 * before their users, so theirs is known. */
static void cse_func(PassCtx *c, Func *f) {
  func_tidy(c->m, f);   /* ids are what is hashed */
  size_t room = 64;
  while (room < 2 * f->nodes.n) room *= 2;
  Node **table = arena_array(c->scratch, Node *, room);
  Node **stands = arena_array(c->scratch, Node *, room);
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *n = f->nodes.at[i];
    for (int k = 0; k < n->nin; k++)
      if (n->in[k]) n->in[k] = stands[n->in[k]->id];
    stands[i] = n;
    if (node_is_leaf(n) && n->op != OP_CONST) continue;
    size_t h = node_hash(n) & (room - 1);
    while (table[h] && !node_equal(table[h], n)) h = (h + 1) & (room - 1);
    if (!table[h]) table[h] = n;
    stands[i] = table[h];
    if (table[h] == n) continue;
    const char *path = table[h]->path;
    node_inherit(c->m, table[h], n);
    if (path) table[h]->path = path;
  }
  for (size_t i = 0; i < f->outputs.n; i++)
    f->outputs.at[i].node = stands[f->outputs.at[i].node->id];
  for (size_t i = 0; i < f->nexts.n; i++)
    f->nexts.at[i].node = stands[f->nexts.at[i].node->id];
  func_tidy(c->m, f);
}

bool pass_cse(PassCtx *c) {
  for (size_t i = 0; i < c->m->funcs.n; i++) cse_func(c, c->m->funcs.at[i]);
  return true;
}

void cse_params(PassCtx *c) {
  const Shared *of = params_share(c);
  for (size_t i = 0; i < c->m->funcs.n; i++)
    params_replace(c, c->m->funcs.at[i], of);
  pass_cse(c);
}
