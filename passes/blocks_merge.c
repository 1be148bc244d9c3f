/* blocks_merge.c - consecutive blocks of one structure become one, whose
 * weights are made of theirs: method merge of the recipe's verb `student`.
 *
 * requires   blocks of the same operations, each reading the one before
 * preserves  all outside of the blocks
 * before     y = add(x, f(x, w0)) as b[0]; z = add(y, f(y, w1)) as b[1];
 * after      z = add(x, f(x, w)) as b[0];
 *            init=mean: w = (w0 + w1) / 2; init=collapse: w = w0 + (w1 - w0)
 * source     collapse: LaCo (Yang, Cao and Zhao, 2024) */
#include <string.h>

#include "passes/student.h"

typedef struct Merge {
  PassCtx *c;
  const RecipeStep *s;
  Arena *a;
  const Region *r;       /* [n], the first stays */
  size_t n;
  StudentInit init;
  Map number;            /* path of a param of the first -> its place + 1 */
  Vec(Param **) params;  /* [place][n] */
  Vec(bool) spread;      /* whether it is a variance */
} Merge;

/* ---- the same structure ---------------------------------------------- */

static size_t number_in(const Region *r, const Node *n) {
  size_t i = 0;
  while (i < r->nodes.n && r->nodes.at[i] != n) i++;
  return i;
}

static bool params_pair(Merge *x, size_t k, const Node *user, int operand,
                        Param *p, Param *q) {
  uintptr_t at = (uintptr_t)map_get(&x->number, p->path);
  if (p->type.elem != q->type.elem || !type_same_shape(&p->type, &q->type))
    return false;
  if (!at) {
    Param **of = arena_array(x->a, Param *, x->n);
    of[0] = p;
    vec_push(x->a, &x->params, of);
    vec_push(x->a, &x->spread, user->op == OP_BATCH_NORM && operand == 4);
    at = x->params.n;
    map_put(x->a, &x->number, p->path, (void *)at);
  }
  Param **of = x->params.at[at - 1];
  if (!of[k]) of[k] = q;
  return of[k] == q;
}

/* Operand `operand` of node `user` of the first, and of its like in block k. */
static bool operands_pair(Merge *x, size_t k, const Node *user, int operand,
                          const Node *p, const Node *q) {
  const Region *a = &x->r[0], *b = &x->r[k];
  if (!p || !q) return p == q;
  if (p == a->in) return q == b->in;
  if (region_has(a, p))
    return region_has(b, q) && number_in(a, p) == number_in(b, q);
  if (p->op == OP_PARAM && q->op == OP_PARAM)
    return params_pair(x, k, user, operand, p->param, q->param);
  if (p->op == OP_CONST && q->op == OP_CONST)
    return p->type.elem == q->type.elem && p->ivalue == q->ivalue &&
           p->free == q->free && memcmp(&p->value, &q->value,
                                        sizeof p->value) == 0;
  return p == q;
}

static bool nodes_pair(Merge *x, size_t k, const Node *p, const Node *q) {
  if (p->op != q->op || p->nin != q->nin) return false;
  for (int i = 0; i < op_info(p->op)->nattrs; i++)
    if (!attr_equal(&p->attr[i], &q->attr[i])) return false;
  for (int i = 0; i < p->nin; i++)
    if (!operands_pair(x, k, p, i, p->in[i], q->in[i])) return false;
  return true;
}

static bool block_pairs(Merge *x, size_t k) {
  const Region *a = &x->r[0], *b = &x->r[k];
  bool same = a->nodes.n == b->nodes.n;
  for (size_t i = 0; same && i < a->nodes.n; i++)
    same = nodes_pair(x, k, a->nodes.at[i], b->nodes.at[i]);
  if (same && b->in == x->r[k - 1].out) return true;
  return diag_error(x->c->d, EXIT_MODEL, x->s->span, "student: %s: expected "
                    "%s %s, found %s", b->path,
                    same ? "a block that adds to" : "the operations of",
                    x->r[same ? k - 1 : 0].path,
                    same ? "another one" : "others");
}

/* ---- weights --------------------------------------------------------- */

static bool param_differs(const Merge *x, size_t at) {
  Param *const *of = x->params.at[at];
  for (size_t k = 1; k < x->n; k++)
    if (of[k] != of[0]) return true;
  return false;
}

/* Do all blocks have the same values, of any type? */
static bool values_equal(const Merge *x, Param *const *of) {
  const void *first = param_data(of[0]);
  size_t bytes = (size_t)type_bytes(&of[0]->type);
  bool equal = first != NULL;
  for (size_t k = 1; equal && k < x->n; k++) {
    const void *v = param_data(of[k]);
    equal = v && memcmp(first, v, bytes) == 0;
  }
  return equal;
}

/* What differs has values that can be averaged. */
static bool params_ready(const Merge *x) {
  for (size_t i = 0; i < x->params.n; i++) {
    Param *const *of = x->params.at[i];
    for (size_t k = 0; param_differs(x, i) && k < x->n; k++)
      if ((of[k]->type.elem != F32 || !param_values(x->c->m, of[k])) &&
          !values_equal(x, of))
        return diag_error(x->c->d, EXIT_MODEL, x->s->span, "student: %s: "
                          "expected values of f32 to merge, found %s",
                          of[k]->path, of[k]->type.elem == F32
                            ? "none" : elem_name(of[k]->type.elem));
  }
  return true;
}

static void param_merge(Merge *x, size_t at) {
  Param *const *of = x->params.at[at];
  if (!param_differs(x, at) || values_equal(x, of)) return;
  size_t n = (size_t)type_elems(&of[0]->type);
  Buffer *b = buffer_new(checked_mul(n, sizeof(float)));
  float *to = (float *)(void *)b->data;
  bool mean = x->init == INIT_MEAN || x->spread.at[at];
  for (size_t i = 0; i < n; i++) {
    double first = param_values(x->c->m, of[0])[i], sum = first;
    for (size_t k = 1; k < x->n; k++) {
      double w = param_values(x->c->m, of[k])[i];
      sum += mean ? w : w - first;
    }
    to[i] = (float)(mean ? sum / (double)x->n : sum);
  }
  param_set_data(of[0], b);
}

/* Is n in one of the blocks? */
static bool is_inside(const Merge *x, const Node *n) {
  for (size_t k = 0; k < x->n; k++)
    if (region_has(&x->r[k], n)) return true;
  return false;
}

/* Of a weight that changes, where something else reads it. */
static const Param *param_outside(const Merge *x, const Node *n) {
  uintptr_t at = n && n->param ? (uintptr_t)map_get(&x->number,
                                                    n->param->path) : 0;
  bool changes = at && param_differs(x, at - 1) &&
                 x->params.at[at - 1][0] == n->param;
  return changes ? n->param : NULL;
}

static const Param *func_outside(const Merge *x, const Func *f) {
  const Param *p = NULL;
  for (size_t i = 0; !p && i < f->outputs.n; i++)
    p = param_outside(x, f->outputs.at[i].node);
  for (size_t i = 0; !p && i < f->nexts.n; i++)
    p = param_outside(x, f->nexts.at[i].node);
  for (size_t i = 0; !p && i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    if (is_inside(x, n)) continue;
    for (int k = 0; !p && k < n->nin; k++) p = param_outside(x, n->in[k]);
  }
  return p;
}

static bool params_own(const Merge *x) {
  for (size_t i = 0; i < x->c->m->funcs.n; i++) {
    const Param *p = func_outside(x, x->c->m->funcs.at[i]);
    if (p)
      return diag_error(x->c->d, EXIT_MODEL, x->s->span, "student: %s is "
                        "read outside of %s, too", p->path, x->r[0].path);
  }
  return true;
}

/* ---- all ------------------------------------------------------------- */

/* n blocks from path[0] on; false after an error. */
static bool group_open(Merge *x, const char *const *path) {
  Region *r = arena_array(x->a, Region, x->n);
  x->r = r;
  for (size_t k = 0; k < x->n; k++)
    if (!region_find(x->c, x->s, x->a, path[k], &r[k])) return false;
  for (size_t k = 1; k < x->n; k++)
    if (!block_pairs(x, k)) return false;
  return params_ready(x) && params_own(x);
}

static bool group_merge(Merge *x, const char *const *path) {
  if (!group_open(x, path)) return false;
  for (size_t i = 0; i < x->params.n; i++) param_merge(x, i);
  for (size_t k = 1; k < x->n; k++) {
    if (!region_drop(x->c, x->s, path[k], NULL)) return false;
    verb_note(x->c, x->s, path[k], "merged into %s", path[0]);
  }
  return true;
}

/* Each group in turn. */
static bool groups_each(PassCtx *c, const RecipeStep *s, const StudentArgs *a,
                        bool (*one)(Merge *, const char *const *path)) {
  size_t each = a->groups ? (size_t)a->groups : s->blocks.n;
  if (s->blocks.n < 2 || s->blocks.n % each)
    return diag_error(c->d, EXIT_MODEL, s->span, "student: method=merge: "
                      "expected a multiple of %zu blocks, found %zu",
                      s->blocks.n < 2 ? 2 : each, s->blocks.n);
  for (size_t i = 0; i < s->blocks.n; i += each) {
    Merge x = {.c = c, .s = s, .a = arena_new(), .n = each, .init = a->init};
    bool ok = one(&x, s->blocks.at + i);
    arena_free(x.a);
    if (!ok) return false;
  }
  return true;
}

bool check_merge(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  return blocks_may_change(c->m, s) || groups_each(c, s, a, group_open);
}

bool student_merge(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  return groups_each(c, s, a, group_merge);
}
