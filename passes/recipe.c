/* recipe.c - carry out the steps of the chosen recipe.
 *
 * requires   the elaborator resolved selectors to params, which have data
 * preserves  the graph; a verb may change params; no steps are left behind
 * before     recipe half: prune c.conv.weight with sparsity=0.5;
 *            weight of c.conv: 1 -2 3 4
 * after      no recipe; weight of c.conv: 0 0 3 4
 * source     the table of verbs below: a new verb is a row and a function */
#include <string.h>

#include "passes/passes.h"

static const Verb verbs[] = {
  {"prune", check_prune, verb_prune},
  {"factor", check_factor, verb_factor},
  {"cluster", check_cluster, verb_cluster},
  {"fuse_adapters", check_adapters, verb_adapters},
  {"student", check_student, verb_student},
  {"tokens", check_tokens, verb_tokens},
  {"smartexchange", check_smartexchange, verb_smartexchange},
};

const Verb *verb_find(const char *name) {
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
  return NULL;
}

static bool verb_unknown(PassCtx *c, const RecipeStep *s) {
  const char *names[sizeof verbs / sizeof *verbs];
  size_t n = sizeof verbs / sizeof *verbs;
  for (size_t i = 0; i < n; i++) names[i] = verbs[i].name;
  diag_error(c->d, EXIT_MODEL, s->span, "recipe: no step is called '%s'",
             s->verb);
  const char *near = nearest_name(s->verb, names, n);
  if (near) diag_note(c->d, s->span, "did you mean '%s'?", near);
  return false;
}

/* Values that a step made of clustered ones may be more than were. */
static void clusters_drop(PassCtx *c) {
  for (size_t i = 0; i < c->m->params.n; i++) {
    Param *p = c->m->params.at[i];
    if (!elem_clusters(p->type.stored) || !p->data ||
        clusters_hold(p->type.stored, p->data))
      continue;
    p->type.stored = 0;
    param_retype(c->m, p);
    module_note(c->m, "cluster: %s has more values behind a later step: "
                "stored as f32", p->path);
  }
}

bool pass_recipe(PassCtx *c) {
  bool ok = true;
  for (size_t i = 0; i < c->m->recipe.n; i++) {
    const RecipeStep *s = &c->m->recipe.at[i];
    const Verb *v = verb_find(s->verb);
    ok &= v ? v->check(c, s) : verb_unknown(c, s);
  }
  for (size_t i = 0; ok && i < c->m->recipe.n; i++) {
    const RecipeStep *s = &c->m->recipe.at[i];
    /* What it selected may be gone, or not be taken apart. */
    if (s->params.n || s->blocks.n) ok = verb_find(s->verb)->run(c, s);
    clusters_drop(c);
  }
  if (ok) c->m->recipe.n = 0;
  return ok;
}
