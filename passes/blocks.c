/* blocks.c - blocks of a net, and those that go: method drop of the recipe's
 * verb `student`.
 *
 * requires   blocks with one result, which has the type of one of the values
 *            that they read
 * preserves  all outside of the blocks
 * before     y = add(x, f(x)) as layer[0]; z = add(y, f(y)) as layer[1];
 * after      z = add(x, f(x)) as layer[1];
 * source     DistilBERT (Sanh et al., 2019) */
#include <string.h>

#include "passes/student.h"

/* ---- a block --------------------------------------------------------- */

bool region_has(const Region *r, const Node *n) {
  if (!n || node_is_leaf(n)) return false;
  if (n->op == OP_ITEM) return region_has(r, n->in[0]);
  return n->path && path_within(n->path, r->path);
}

bool node_is_value(const Node *n) {
  return n && n->op != OP_PARAM && n->op != OP_CONST;
}

bool block_error(PassCtx *c, const RecipeStep *s, const char *path,
                 const char *what) {
  return diag_error(c->d, EXIT_MODEL, s->span, "student: %s: %s", path, what);
}

static bool out_is(PassCtx *c, const RecipeStep *s, Region *r, Node *n) {
  if (r->out && r->out != n)
    return block_error(c, s, r->path, "expected one value that is used "
                       "outside of the block, found several");
  r->out = n;
  return true;
}

static bool region_out(PassCtx *c, const RecipeStep *s, Region *r) {
  Func *f = r->f;
  bool ok = true;
  for (size_t i = 0; ok && i < f->nexts.n; i++)
    if (region_has(r, f->nexts.at[i].node))
      return block_error(c, s, r->path, "a state becomes what it computes");
  for (size_t i = 0; ok && i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    for (int k = 0; ok && k < n->nin; k++)
      if (region_has(r, n->in[k]) && !region_has(r, n))
        ok = out_is(c, s, r, n->in[k]);
  }
  for (size_t i = 0; ok && i < f->outputs.n; i++)
    if (region_has(r, f->outputs.at[i].node))
      ok = out_is(c, s, r, f->outputs.at[i].node);
  if (ok && !r->out) return block_error(c, s, r->path, "nothing uses it");
  return ok;
}

/* ---- what it adds to ------------------------------------------------- */

/* Does an operand of n go on in its result, value by value? */
static bool passes_on(const Node *n) {
  unsigned flags = op_info(n->op)->flags;
  return (flags & (FLAG_UNARY | FLAG_BINARY | FLAG_REDUCE)) ||
         n->op == OP_BATCH_NORM || n->op == OP_NORMALIZE ||
         n->op == OP_SCALE_SHIFT || n->op == OP_MASK || n->op == OP_CAST ||
         n->op == OP_RESHAPE || n->op == OP_PERMUTE;
}

typedef struct Inputs {
  Arena *a;
  const Region *r;
  Vec(Node *) list;
  bool *seen;            /* by id */
} Inputs;

static bool value_fits(const Region *r, const Node *n) {
  return node_is_value(n) && n->type.elem == r->out->type.elem &&
         type_same_shape(&n->type, &r->out->type);
}

static void input_add(Inputs *in, Node *n) {
  for (size_t i = 0; i < in->list.n; i++)
    if (in->list.at[i] == n) return;
  vec_push(in->a, &in->list, n);
}

/* From n back, through what passes on. */
static void inputs_behind(Inputs *in, Node *root) {
  Vec(Node *) stack = {0};
  vec_push(in->a, &stack, root);
  while (stack.n) {
    Node *n = stack.at[--stack.n];
    if (!n || in->seen[n->id]) continue;
    in->seen[n->id] = true;
    if (!region_has(in->r, n)) {
      if (value_fits(in->r, n)) input_add(in, n);
    } else if (passes_on(n)) {
      for (int k = 0; k < n->nin; k++) vec_push(in->a, &stack, n->in[k]);
    }
  }
}

static void inputs_all(Inputs *in) {
  for (size_t i = 0; i < in->r->nodes.n; i++) {
    const Node *n = in->r->nodes.at[i];
    for (int k = 0; k < n->nin; k++)
      if (!region_has(in->r, n->in[k]) && value_fits(in->r, n->in[k]))
        input_add(in, n->in[k]);
  }
}

static bool region_in(PassCtx *c, const RecipeStep *s, Arena *a, Region *r) {
  Inputs in = {a, r, {0}, arena_array(a, bool, r->f->nodes.n + 1)};
  inputs_behind(&in, r->out);
  r->adds = in.list.n > 0;
  if (!r->adds) inputs_all(&in);
  if (in.list.n == 1) {
    r->in = in.list.at[0];
    return true;
  }
  Text t = {0};
  type_print(&t, &r->out->type);
  bool ok = in.list.n
              ? diag_error(c->d, EXIT_MODEL, s->span, "student: %s: expected "
                           "one value of its result's type, %s, that it "
                           "reads, found %zu", r->path, t.s, in.list.n)
              : diag_error(c->d, EXIT_MODEL, s->span, "student: %s: expected a "
                           "block whose result has the type of what it reads, "
                           "found a result %s and nothing like it before",
                           r->path, t.s);
  text_free(&t);
  return ok;
}

static bool region_function(PassCtx *c, const RecipeStep *s, Region *r) {
  for (size_t k = 0; k < c->m->funcs.n; k++) {
    Func *f = c->m->funcs.at[k];
    for (size_t i = 0; i < f->nodes.n; i++) {
      if (!region_has(r, f->nodes.at[i])) continue;
      if (r->f && r->f != f)
        return block_error(c, s, r->path, "expected a block of one function, "
                           "found a part of it in another one");
      r->f = f;
    }
  }
  return r->f || block_error(c, s, r->path, "a step before has taken it away");
}

bool region_find(PassCtx *c, const RecipeStep *s, Arena *a, const char *path,
                 Region *r) {
  *r = (Region){.path = path};
  if (!region_function(c, s, r)) return false;
  for (size_t i = 0; i < r->f->nodes.n; i++)
    if (region_has(r, r->f->nodes.at[i]))
      vec_push(a, &r->nodes, r->f->nodes.at[i]);
  return region_out(c, s, r) && region_in(c, s, a, r);
}

/* ---- drop ------------------------------------------------------------ */

static bool block_exists(const Module *m, const char *path) {
  Region r = {.path = path};
  for (size_t k = 0; k < m->funcs.n; k++)
    for (size_t i = 0; i < m->funcs.at[k]->nodes.n; i++)
      if (region_has(&r, m->funcs.at[k]->nodes.at[i])) return true;
  return false;
}

/* Later steps do not look for blocks of which nothing is left. */
static void blocks_forget(Module *m, const RecipeStep *s) {
  for (size_t i = 0; i < m->recipe.n; i++) {
    RecipeStep *t = &m->recipe.at[i];
    size_t kept = 0;
    for (size_t k = 0; t > s && k < t->blocks.n; k++)
      if (block_exists(m, t->blocks.at[k]))
        t->blocks.at[kept++] = t->blocks.at[k];
    if (t > s) t->blocks.n = kept;
  }
}

bool blocks_may_change(const Module *m, const RecipeStep *s) {
  for (size_t i = 0; i < m->recipe.n && &m->recipe.at[i] < s; i++)
    if (m->recipe.at[i].blocks.n) return true;
  return false;
}

bool region_drop(PassCtx *c, const RecipeStep *s, const char *path,
                 bool *adds) {
  Arena *a = arena_new();
  Region r;
  bool ok = region_find(c, s, a, path, &r);
  if (ok) {
    if (adds) *adds = r.adds;
    func_replace(r.f, r.out, r.in);
    func_tidy(c->m, r.f);
    blocks_forget(c->m, s);
  }
  arena_free(a);
  return ok;
}

static bool is_kept(const StudentArgs *a, int64_t number) {
  if (a->every) return number % a->every == 0;
  for (int i = 0; i < a->nkeep; i++)
    if (a->keep[i] == number) return true;
  return false;
}

static bool keep_fits(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  int64_t n = (int64_t)s->blocks.n;
  if (a->nkeep < 1 || a->keep[a->nkeep - 1] < n) return true;
  return diag_error(c->d, EXIT_MODEL, s->span, "student: keep: expected "
                    "numbers below %lld, which is how many blocks are "
                    "selected, found %lld", (long long)n,
                    (long long)a->keep[a->nkeep - 1]);
}

bool check_drop(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  int64_t n = (int64_t)s->blocks.n;
  bool ok = true;
  if (!blocks_may_change(c->m, s) && !keep_fits(c, s, a)) return false;
  for (int64_t i = 0; i < n; i++) {
    Arena *arena = arena_new();
    Region r;
    ok &= is_kept(a, i) || region_find(c, s, arena, s->blocks.at[i], &r);
    arena_free(arena);
  }
  return ok;
}

bool student_drop(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  int64_t n = (int64_t)s->blocks.n;
  if (!keep_fits(c, s, a)) return false;
  for (int64_t i = 0; i < n; i++) {
    const char *path = s->blocks.at[i];
    if (is_kept(a, i)) {
      verb_note(c, s, path, "kept with its weights");
      continue;
    }
    bool adds;
    if (!region_drop(c, s, path, &adds)) return false;
    verb_note(c, s, path, adds ? "dropped"
                               : "dropped; it adds to nothing: what it reads "
                                 "takes its place");
  }
  return true;
}
