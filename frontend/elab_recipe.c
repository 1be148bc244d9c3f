/* elab_recipe.c - recipes: selectors resolved to the weights of convolution
 * and linear layers, arguments worked out.  What a verb does and takes is
 * the business of the passes. */
#include "frontend/elab_recipe.h"

#include <string.h>

static void prefixes_add(Weights *w, const char *path) {
  Arena *a = w->e->a;
  for (size_t n = strcspn(path, "."); path[n]; n += strcspn(path + n, ".")) {
    const char *prefix = arena_strndup(a, path, n);
    map_put(a, &w->prefixes, prefix, (void *)prefix);
    n++;
  }
}

static void name_add(Weights *w, size_t param, const char *path,
                     const char *op) {
  Arena *a = w->e->a;
  Weight x = {param, path, path_split(a, path), op};
  vec_push(a, &w->names, x);
  for (size_t i = 0; i < x.segs.n; i++)
    map_put(a, &w->known, x.segs.at[i].name, (void *)path);
  prefixes_add(w, path);
  if (op)
    map_put(a, &w->prefixes, path, (void *)path);
}

static void weight_add(Weights *w, Param *p, const Node *n) {
  size_t i = 0;
  while (i < w->params.n && w->params.at[i] != p)
    i++;
  if (i == w->params.n) {
    vec_push(w->e->a, &w->params, p);
    vec_push(w->e->a, &w->parts, (const char *)NULL);
    name_add(w, i, p->path, NULL);
  }
  if (n->path)
    name_add(w, i, n->path, op_info(n->op)->name);
}

/* The param that an operand is, or is part of. */
static Param *weight_param(const Node *x) {
  while (x && (x->op == OP_MASK || x->op == OP_SLICE))
    x = x->in[0];
  return x && x->op == OP_PARAM ? x->param : NULL;
}

/* The weight of a layer, or the matrix that is the second factor of a
 * product; NULL: n has none. */
static const Node *weight_operand(const Node *n) {
  switch (n->op) {
  case OP_CONV1D: case OP_CONV2D: case OP_CONV3D: case OP_LINEAR:
    return node_operand(n, "w");
  case OP_MATMUL: {
    const Node *w = n->in[1];
    return w->type.rank == 2 && w->op != OP_SLICE &&
           !attr_bool(n, "transpose_a") ? w : NULL;
  }
  default:
    return NULL;
  }
}

/* Of the model, and of what it calls and goes through. */
static Weights weights_collect(Elab *e) {
  Weights w = {.e = e};
  for (size_t k = 0; k < e->m->funcs.n; k++) {
    const Func *f = e->m->funcs.at[k];
    for (size_t i = 0; i < f->nodes.n; i++) {
      const Node *n = f->nodes.at[i];
      Param *p = weight_param(weight_operand(n));
      if (p)
        weight_add(&w, p, n);
    }
  }
  return w;
}

/* Param number i, taken apart: its own names, and those of its layers, with
 * the part's behind. */
static void part_add(Weights *w, size_t i, const char *part) {
  Arena *a = w->e->a;
  size_t at = w->params.n, names = w->names.n;
  for (size_t k = 0; k < at; k++)
    if (w->params.at[k] == w->params.at[i] && w->parts.at[k] &&
        !strcmp(w->parts.at[k], part))
      return;
  vec_push(a, &w->params, w->params.at[i]);
  vec_push(a, &w->parts, part);
  for (size_t k = 0; k < names; k++) {
    const Weight x = w->names.at[k];
    if (x.param == i)
      name_add(w, at, x.op ? arena_printf(a, "%s.%s", x.path, part)
                           : path_part(a, x.path, part), x.op);
  }
}

static void parts_add(Weights *w, const Step *s, const bool *on, size_t n) {
  const char *const *part = recipe_parts(s->verb.s, step_method(s));
  for (; part && *part; part++)
    for (size_t i = 0; i < n; i++)
      if (on[i] && !w->parts.at[i])
        part_add(w, i, *part);
}

/* ---- selectors ------------------------------------------------------ */

const char *path_prefix(Arena *a, const char *path, size_t nsegs) {
  size_t n = 0;
  for (size_t i = 0; i < nsegs; i++) {
    n += i ? 1 : 0;
    n += strcspn(path + n, ".");
  }
  return arena_strndup(a, path, n);
}

/* The pattern matches the param, its layer or a block around it, which has
 * to be of the kind that is asked for: a block's name, or the op's. */
static bool sel_matches(const Weights *w, const Sel *s, const PathPattern *p,
                        const Weight *x) {
  bool *hit = pattern_prefixes(w->e->a, p, &x->segs);
  for (size_t j = 1; j <= x->segs.n; j++) {
    if (!hit[j])
      continue;
    if (!s->kind.s)
      return true;
    const Layer *l = map_get(&w->e->layer_of,
                             path_prefix(w->e->a, x->path, j));
    if (l && l->kind && !strcmp(l->kind, s->kind.s))
      return true;
    if (x->op && j == x->segs.n && !strcmp(x->op, s->kind.s))
      return true;
  }
  return false;
}

/* Whether it matches any layer at all, with weights to select or not. */
static bool layer_matches(Elab *e, const Sel *s, const PathPattern *p) {
  for (size_t i = 0; i < e->layers.n; i++) {
    const Layer *l = e->layers.at[i];
    PathSegs segs = path_split(e->a, l->path);
    if (s->kind.s && (!l->kind || strcmp(l->kind, s->kind.s)))
      continue;
    if (pattern_prefixes(e->a, p, &segs)[segs.n])
      return true;
  }
  return false;
}

static const char *kind_nearest(const Weights *w, const char *kind) {
  Elab *e = w->e;
  Map kinds = {0};
  for (size_t i = 0; i < w->names.n; i++)
    if (w->names.at[i].op)
      map_put(e->a, &kinds, w->names.at[i].op, (void *)w->names.at[i].op);
  if (map_get(&kinds, kind))
    return NULL;
  for (size_t i = 0; i < e->layers.n; i++)
    if (e->layers.at[i]->kind) {
      if (!strcmp(e->layers.at[i]->kind, kind))
        return NULL;
      map_put(e->a, &kinds, e->layers.at[i]->kind, e->layers.at[i]);
    }
  return map_nearest(e->a, &kinds, kind);
}

/* What the user may have meant: a kind, a path, or a segment in place of
 * one that no path has. */
static const char *sel_nearest(const Weights *w, const Sel *s,
                               const PathPattern *p, bool *kind) {
  Elab *e = w->e;
  const char *near = NULL;
  *kind = false;
  if (s->kind.s && (near = kind_nearest(w, s->kind.s)) != NULL) {
    *kind = true;
    return near;
  }
  near = map_nearest(e->a, &w->prefixes, span_text(e->a, s->path->span));
  for (size_t i = 0; i < p->n && !near; i++)
    if (p->at[i].name[0] != '*' && !map_get(&w->known, p->at[i].name))
      near = map_nearest(e->a, &w->known, p->at[i].name);
  return near;
}

void sel_unmatched(const Weights *w, const Sel *s, const PathPattern *p) {
  Elab *e = w->e;
  const char *text = span_text(e->a, s->span);
  bool kind;
  const char *near = sel_nearest(w, s, p, &kind);
  elab_error(e, s->span, "no layer is matched by '%s'%s%s%s%s", text,
             near ? ", nearest is '" : "", kind && near ? ":" : "",
             near ? near : "", near ? "'" : "");
}

/* Add or take away what a selector matches. */
static bool sel_apply(const Weights *w, const Sel *s, bool *on) {
  PathPattern p = {0};
  bool any = false;
  if (!pattern_read(w->e, s->path, &p))
    return false;
  for (size_t i = 0; i < w->names.n; i++)
    if (sel_matches(w, s, &p, &w->names.at[i])) {
      on[w->names.at[i].param] = !s->negated;
      any = true;
    }
  if (any)
    return true;
  if (layer_matches(w->e, s, &p))
    elab_error(w->e, s->span, "'%s' has no weights of a convolution or a "
               "linear layer", span_text(w->e->a, s->span));
  else
    sel_unmatched(w, s, &p);
  return false;
}

static bool step_select(const Weights *w, const Step *s, bool *on) {
  bool ok = true;
  for (size_t i = 0; i < w->params.n; i++)
    on[i] = s->sels.n && s->sels.at[0].negated;
  for (size_t i = 0; i < s->sels.n; i++)
    if (!s->sels.at[i].to)
      ok &= sel_apply(w, &s->sels.at[i], on);
  return ok;
}

/* ---- arguments ------------------------------------------------------ */

static bool arg_value(Elab *e, const Arg *arg, Attr *out) {
  const Expr *x = arg->value;
  const char *word = x->kind == EXPR_PATH ? path_single(x->path) : NULL;
  *out = (Attr){.kind = ATTR_STR, .set = true, .s = word};
  if (word)
    return true;
  if (x->kind == EXPR_CALL) {
    elab_later(e, x->span, "a schedule in a recipe");
    return false;
  }
  Value v = elab_expr(e, x);
  switch (v.kind) {
  case VAL_NONE: return false;
  case VAL_INT: out->kind = ATTR_INT; out->i = v.i; return true;
  case VAL_BOOL: out->kind = ATTR_BOOL; out->i = v.i; return true;
  case VAL_FLOAT: out->kind = ATTR_FLOAT; out->f = v.f; return true;
  case VAL_STR: out->s = v.s; return true;
  case VAL_TILE: case VAL_RATIO: case VAL_ELEM:
    out->s = value_describe(e->a, &v);
    out->s = strrchr(out->s, ' ') + 1;
    return true;
  default: break;
  }
  out->kind = ATTR_INTS;
  if (value_ints(e->a, &v, &out->ints, &out->n))
    return true;
  elab_error(e, x->span, "argument '%s': expected a number, a word or a "
             "string, found %s", arg->name.s, value_describe(e->a, &v));
  return false;
}

/* Data are looked for beside the file that names them; a dump has the path
 * that this gave. */
static const char *data_path(const Weights *w, const Arg *arg,
                             const char *path) {
  const Source *src = arg->span.src;
  if (!src || !path)
    return path;
  const char *dir = path_dir(w->e->a, src->name);
  return strcmp(dir, ".") ? path_join(w->e->a, dir, path) : path;
}

/* What the step selected, its weights by `on`. */
static bool step_take(const Weights *w, const Step *s, const bool *on,
                      RecipeStep *r) {
  Elab *e = w->e;
  bool ok = true;
  if (step_on_blocks(s)) {
    ok = blocks_select(w, s, &r->blocks);
  } else {
    for (size_t i = 0; i < w->params.n; i++)
      if (on[i] && w->parts.at[i])
        vec_push(e->a, &r->parts,
                 ((RecipePart){w->params.at[i], w->parts.at[i]}));
      else if (on[i])
        vec_push(e->a, &r->params, w->params.at[i]);
  }
  if (!ok || r->params.n || r->parts.n || r->blocks.n)
    return ok;
  elab_error(e, s->verb.span, s->sels.n
               ? "%s: the selectors leave nothing to work on"
               : "%s: expected a selector, found none", r->verb);
  return false;
}

static bool step_resolve(const Weights *w, const Step *s, const bool *on) {
  Elab *e = w->e;
  RecipeStep r = {.verb = s->verb.s, .span = s->verb.span};
  bool ok;
  if (s->nested || (s->sels.n && s->sels.at[0].to)) {
    elab_later(e, s->verb.span, s->nested ? "a recipe step with steps inside"
                                          : "a recipe step with '->'");
    return false;
  }
  ok = step_take(w, s, on, &r);
  for (size_t i = 0; i < s->args.n; i++) {
    RecipeArg a = {.name = s->args.at[i].name.s};
    for (size_t k = 0; k < i; k++)
      if (!strcmp(a.name, s->args.at[k].name.s)) {
        elab_error(e, s->args.at[i].span, "'%s' is given twice", a.name);
        ok = false;
      }
    ok &= arg_value(e, &s->args.at[i], &a.value);
    bool file = !strcmp(a.name, "data") || !strcmp(a.name, "adapters");
    if (file && !e->dump && a.value.kind == ATTR_STR)
      a.value.s = data_path(w, &s->args.at[i], a.value.s);
    vec_push(e->a, &r.args, a);
  }
  vec_push(e->a, &e->m->recipe, r);
  return ok;
}

/* ---- recipes -------------------------------------------------------- */

static bool steps_run(Weights *w, const Steps *steps, bool chosen) {
  bool ok = true;
  for (size_t i = 0; i < steps->n; i++) {
    const Step *s = steps->at[i];
    size_t n = w->params.n;
    bool *on = arena_array(w->e->a, bool, n + 1);
    bool fine = step_on_blocks(s) ? chosen || blocks_select(w, s, NULL)
                                  : step_select(w, s, on);
    if (fine && chosen)
      fine = step_resolve(w, s, on);
    if (s->nested && !chosen)
      fine &= steps_run(w, &s->body, false);
    parts_add(w, s, on, n);
    ok &= fine;
  }
  return ok;
}

static bool recipe_unknown(Elab *e, const File *f, const Decl *model) {
  Vec(const char *) names = {0};
  for (size_t i = 0; i < f->decls.n; i++) {
    const Decl *r = f->decls.at[i];
    if (r->kind != DECL_RECIPE)
      continue;
    if (strcmp(r->name.s, e->o->recipe) == 0)
      return diag_error_at(e->d, EXIT_USAGE, "--recipe",
                           "'%s' of %s is for the model '%s', expected one "
                           "for '%s'", r->name.s, f->src->name, r->model.s,
                           model->name.s);
    vec_push(e->a, &names, r->name.s);
  }
  const char *near = nearest_name(e->o->recipe, names.at, names.n);
  return diag_error_at(e->d, EXIT_USAGE, "--recipe",
                       "%s has no recipe '%s' for the model '%s'%s%s%s",
                       f->src->name, e->o->recipe, model->name.s,
                       near ? ", nearest is '" : "", near ? near : "",
                       near ? "'" : "");
}

/* Whether a recipe is for this model, by its name or that of its import. */
static bool recipe_for(Elab *e, const File *f, const Decl *r,
                       const Decl *model) {
  const Decl *d = unit_decl(e, f, r->model.s);
  if (d && d->kind == DECL_MODEL)
    return d == model;
  elab_error(e, r->model.span, "no model is called '%s'", r->model.s);
  return false;
}

/* A step for all that can be selected, at the model's place. */
static bool prune_all(const Weights *w, const Decl *model) {
  Elab *e = w->e;
  RecipeStep r = {.verb = "prune", .span = model->name.span};
  for (size_t i = 0; i < w->params.n; i++)
    vec_push(e->a, &r.params, w->params.at[i]);
  if (!r.params.n)
    elab_error(e, r.span, "prune: the model has no weights of a convolution "
               "or a linear layer");
  vec_push(e->a, &e->m->recipe, r);
  return r.params.n > 0;
}

bool elab_recipes(Elab *e, const File *f, const Decl *model) {
  Weights w = weights_collect(e);
  const char *want = e->dump ? "pending" : e->o->recipe;
  bool ok = true, found = false;
  for (size_t i = 0; i < f->decls.n; i++) {
    const Decl *r = f->decls.at[i];
    if (r->kind != DECL_RECIPE)
      continue;
    size_t errors = diags_errors(e->d);
    if (recipe_for(e, f, r, model)) {
      bool chosen = want && !strcmp(want, r->name.s);
      found |= chosen;
      size_t params = w.params.n, names = w.names.n;
      ok &= steps_run(&w, &r->steps, chosen);
      w.params.n = w.parts.n = params;
      w.names.n = names;
    }
    ok &= diags_errors(e->d) == errors;
  }
  if (e->o->recipe && !found)
    return recipe_unknown(e, f, model);
  return ok && (!e->o->prune_all || e->dump || prune_all(&w, model));
}
