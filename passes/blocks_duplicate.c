/* blocks_duplicate.c - a block stands several times, one behind the other:
 * method duplicate of the recipe's verb `student`.
 *
 * requires   as blocks.c
 * preserves  all outside of the blocks; copies begin with the block's weights,
 *            as params of their own, or share them
 * before     y = add(x, conv2d(x, b.weight)) as b;
 * after      t = add(x, conv2d(x, b.weight)) as b;
 *            y = add(t, conv2d(t, b_copy.weight)) as b_copy; */
#include <string.h>

#include "passes/student.h"

typedef struct Copy {
  PassCtx *c;
  const RecipeStep *s;
  Arena *a;
  Region r;
  const char *path;      /* of the copy */
  const char *suffix;    /* that its name has */
  bool share;
  Node *in;              /* what it reads in place of r.in */
  Node **of;             /* copies of nodes, by id */
  Map params;            /* path -> the copy's Param */
} Copy;

/* ---- names ----------------------------------------------------------- */

static bool block_taken(const Module *m, const char *path) {
  for (size_t i = 0; i < m->params.n; i++)
    if (path_within(m->params.at[i]->path, path)) return true;
  for (size_t k = 0; k < m->funcs.n; k++) {
    const Func *f = m->funcs.at[k];
    for (size_t i = 0; i < f->nodes.n; i++)
      if (f->nodes.at[i]->path && path_within(f->nodes.at[i]->path, path))
        return true;
  }
  return false;
}

/* "body.layer[2]" and "_copy" give "body.layer_copy[2]". */
static const char *path_suffixed(Arena *a, const char *path,
                                 const char *suffix) {
  const char *dot = strrchr(path, '.'), *last = dot ? dot + 1 : path;
  size_t name = (size_t)(last - path) + strcspn(last, "[");
  return arena_printf(a, "%.*s%s%s", (int)name, path, suffix, path + name);
}

/* The path of a copy of the block `of`: with "_copy", then "_copy2". */
static void copy_name(Copy *x, const char *of) {
  Module *m = x->c->m;
  int number = 1;
  do {
    x->suffix = number > 1 ? arena_printf(m->arena, "_copy%d", number)
                           : "_copy";
    x->path = path_suffixed(m->arena, of, x->suffix);
    number++;
  } while (block_taken(m, x->path));
}

/* Of a path of the block, or of a param of its own that is named otherwise:
 * its layer, if it has one, is another. */
static const char *path_moved(const Copy *x, const char *path) {
  Arena *a = x->c->m->arena;
  if (path_within(path, x->r.path))
    return arena_printf(a, "%s%s", x->path, path + strlen(x->r.path));
  const char *dot = strrchr(path, '.');
  if (!dot) return path_suffixed(a, path, x->suffix);
  const char *layer = arena_strndup(x->a, path, (size_t)(dot - path));
  return arena_printf(a, "%s%s", path_suffixed(x->a, layer, x->suffix), dot);
}

/* ---- params and nodes ------------------------------------------------ */

static Buffer *values_copy(const Buffer *b) {
  if (!b) return NULL;
  Buffer *to = buffer_new(b->size);
  if (b->size) memcpy(to->data, b->data, b->size);
  return to;
}

static Param *param_copy(Copy *x, const Param *p) {
  Module *m = x->c->m;
  Param *to = map_get(&x->params, p->path);
  if (to) return to;
  to = module_add_param(m, module_fresh_path(m, path_moved(x, p->path)),
                        p->type, values_copy(p->data));
  to->init = p->init;
  to->trainable = p->trainable;
  to->span = p->span;
  map_put(x->a, &x->params, p->path, to);
  return to;
}

/* Is p the block's, by its path or as nothing else reads it? */
static bool is_own(const Copy *x, const Param *p) {
  if (path_within(p->path, x->r.path)) return true;
  for (size_t k = 0; k < x->c->m->funcs.n; k++) {
    const Func *f = x->c->m->funcs.at[k];
    const Node *n = func_param_node(f, p);
    for (size_t i = 0; n && i < f->nodes.n; i++)
      for (int j = 0; j < f->nodes.at[i]->nin; j++)
        if (f->nodes.at[i]->in[j] == n && !region_has(&x->r, f->nodes.at[i]))
          return false;
  }
  return true;
}

static Node *operand_copy(Copy *x, Node *n) {
  if (!n) return NULL;
  if (n == x->r.in) return x->in;
  if (x->of[n->id]) return x->of[n->id];
  if (x->share || n->op != OP_PARAM) return n;
  if (!map_get(&x->params, n->param->path) && !is_own(x, n->param)) return n;
  return func_param(x->c->m, x->r.f, param_copy(x, n->param));
}

static Node *region_copy(Copy *x) {
  Module *m = x->c->m;
  x->of = arena_array(x->a, Node *, x->r.f->nodes.n + 1);
  for (size_t i = 0; i < x->r.nodes.n; i++) {
    const Node *n = x->r.nodes.at[i];
    Node **in = arena_array(x->a, Node *, (size_t)n->nin + 1);
    for (int k = 0; k < n->nin; k++) in[k] = operand_copy(x, n->in[k]);
    Node *to = func_add(m, x->r.f, n->op, in, n->nin);
    for (int k = 0; k < op_info(n->op)->nattrs; k++) to->attr[k] = n->attr[k];
    node_inherit(m, to, n);
    if (n->path) to->path = path_moved(x, n->path);
    to->type = n->type;
    to->span = n->span;
    x->of[n->id] = to;
  }
  return x->of[x->r.out->id];
}

/* ---- later steps ----------------------------------------------------- */

/* Those that selected something of the block work on the copy's, too. */
static void step_extend(Copy *x, RecipeStep *t) {
  Arena *a = x->c->m->arena;
  size_t n = t->params.n, parts = t->parts.n;
  for (size_t i = 0; i < n; i++) {
    Param *p = map_get(&x->params, t->params.at[i]->path);
    if (p) vec_push(a, &t->params, p);
  }
  for (size_t i = 0; i < parts; i++) {
    RecipePart part = t->parts.at[i];
    part.of = map_get(&x->params, part.of->path);
    if (part.of) vec_push(a, &t->parts, part);
  }
  Paths blocks = {0};
  size_t first = 0;      /* of the block's blocks, which stand together */
  for (size_t i = 0; i < t->blocks.n; i++) {
    const char *path = t->blocks.at[i];
    vec_push(a, &blocks, path);
    if (!path_within(path, x->r.path)) first = i + 1;
    else if (i + 1 == t->blocks.n ||
             !path_within(t->blocks.at[i + 1], x->r.path))
      for (; first <= i; first++)
        vec_push(a, &blocks, path_moved(x, t->blocks.at[first]));
  }
  t->blocks = blocks;
}

/* ---- all ------------------------------------------------------------- */

/* Everything outside of the block that uses `out` uses `to`. */
static void out_replace(const Copy *x, Node *out, Node *to) {
  Func *f = x->r.f;
  for (size_t i = 0; i < f->nodes.n; i++) {
    Node *n = f->nodes.at[i];
    bool own = region_has(&x->r, n) || (n->path && path_within(n->path,
                                                               x->path));
    for (int k = 0; k < n->nin && !own; k++)
      if (n->in[k] == out) n->in[k] = to;
  }
  func_results_replace(f, out, to);
}

static bool copy_open(Copy *x, const char *path) {
  if (!region_find(x->c, x->s, x->a, path, &x->r)) return false;
  for (size_t i = 0; i < x->r.nodes.n; i++) {
    const Node *n = x->r.nodes.at[i];
    for (int k = 0; k < n->nin; k++)
      if (n->in[k] && n->in[k]->op == OP_STATE)
        return block_error(x->c, x->s, path, "it reads a state");
  }
  return true;
}

/* A copy right behind the block `path`, the block `of` or a copy of it; its
 * path, or NULL after an error. */
static const char *block_copy(PassCtx *c, const RecipeStep *s,
                              const StudentArgs *a, const char *of,
                              const char *path) {
  Copy x = {.c = c, .s = s, .a = arena_new(), .share = a->share};
  bool ok = copy_open(&x, path);
  if (ok) {
    copy_name(&x, of);
    x.in = x.r.out;
    Node *to = region_copy(&x);
    out_replace(&x, x.r.out, to);
    for (size_t i = 0; i < c->m->recipe.n; i++)
      if (&c->m->recipe.at[i] > s) step_extend(&x, &c->m->recipe.at[i]);
    verb_note(c, s, path, "%s behind it, with %s", x.path,
                 a->share ? "its weights" : "a copy of its weights");
    func_tidy(c->m, x.r.f);
  }
  arena_free(x.a);
  return ok ? x.path : NULL;
}

bool check_duplicate(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  bool ok = true;
  (void)a;
  for (size_t i = 0; i < s->blocks.n; i++) {
    Copy x = {.c = c, .s = s, .a = arena_new()};
    ok &= copy_open(&x, s->blocks.at[i]);
    arena_free(x.a);
  }
  return ok;
}

bool student_duplicate(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  for (size_t i = 0; i < s->blocks.n; i++) {
    const char *of = s->blocks.at[i], *last = of;
    for (int64_t k = 1; last && k < a->times; k++)
      last = block_copy(c, s, a, of, last);
    if (!last) return false;
  }
  return true;
}
