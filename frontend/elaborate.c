/* elaborate.c - from a text to a module: pick the model, fix its free
 * dimensions, run it, then weights and recipe. */
#include "frontend/elab.h"

#include <string.h>

/* ---- which model ---------------------------------------------------- */

typedef struct Models {
  Vec(const char *) names;
  Vec(const Decl *) at;
} Models;

static void models_add(Elab *e, Models *m, const File *f, const char *as) {
  for (size_t i = 0; i < f->decls.n; i++) {
    const Decl *d = f->decls.at[i];
    if (d->kind != DECL_MODEL)
      continue;
    vec_push(e->a, &m->names, as ? as : d->name.s);
    vec_push(e->a, &m->at, d);
  }
}

/* The file's own models; where it has none, those it imports. */
static Models models_of(Elab *e, const File *f) {
  Models m = {0};
  models_add(e, &m, f, NULL);
  for (size_t i = 0; i < f->decls.n && !m.at.n; i++) {
    const Decl *d = f->decls.at[i];
    if (d->kind == DECL_IMPORT && d->imported)
      models_add(e, &m, d->imported, d->name.s);
  }
  return m;
}

static const char *names_text(Elab *e, const char *const *names, size_t n) {
  Text t = {0};
  text_puts(&t, "");
  for (size_t i = 0; i < n; i++)
    text_printf(&t, "%s%s", i ? ", " : "", names[i]);
  char *s = arena_strdup(e->a, t.s);
  text_free(&t);
  return s;
}

static const Decl *model_pick(Elab *e, const File *f) {
  Models m = models_of(e, f);
  const char *all = names_text(e, m.names.at, m.at.n);
  if (!m.at.n) {
    diag_error_at(e->d, EXIT_MODEL, f->src->name,
                  "expected a model, found none");
    return NULL;
  }
  if (!e->o->model && m.at.n == 1)
    return m.at.at[0];
  if (!e->o->model) {
    diag_error_at(e->d, EXIT_USAGE, f->src->name,
                  "the file has %zu models: choose with --model=NAME from "
                  "%s", m.at.n, all);
    return NULL;
  }
  for (size_t i = 0; i < m.at.n; i++)
    if (!strcmp(m.names.at[i], e->o->model))
      return m.at.at[i];
  diag_error_at(e->d, EXIT_USAGE, "--model",
                "%s has no model '%s', only %s", f->src->name, e->o->model,
                all);
  return NULL;
}

/* ---- free dimensions ------------------------------------------------ */

/* The bounds that mention a dimension, as they were written. */
static const char *bound_text(Elab *e, const Decl *d, const char *dim) {
  for (size_t i = 0; i < d->where.n; i++) {
    const Expr *x = d->where.at[i];
    const Expr *l = x->kind == EXPR_BINARY ? x->sub.at[0] : x;
    const char *s = l->kind == EXPR_PATH ? path_single(l->path) : NULL;
    if (s && !strcmp(s, dim))
      return arena_printf(e->a, " (where %s)", span_text(e->a, x->span));
  }
  return "";
}

static bool dim_fix(Elab *e, const Decl *d, const char *name, Span at) {
  const DimArg *o = dim_option(e->o, name);
  bool found;
  if (var_get(e, name))
    return true;
  if (o && !o->least) {
    var_set(e, name, value_int(o->value));
    return true;
  }
  if (!elab_dim_free(e, d, name, at, &found))
    return false;
  if (found)
    return true;
  var_set(e, name, (Value){.kind = VAL_NONE});
  return diag_error(e->d, EXIT_USAGE, at,
                    "the dimension %s is free%s: fix it with --dim %s=..., or "
                    "give its bound with --dim %s=1..MOST",
                    name, bound_text(e, d, name), name, name);
}

bool elab_dims(Elab *e, const Decl *d) {
  bool ok = true;
  for (size_t i = 0; i < d->sig.pars.n; i++) {
    const TypeExpr *t = d->sig.pars.at[i].type;
    for (size_t k = 0; t && k < t->dims.n; k++) {
      const Expr *x = t->dims.at[k];
      const char *s = x->kind == EXPR_PATH ? path_single(x->path) : NULL;
      if (s)
        ok &= dim_fix(e, d, s, x->span);
    }
  }
  return ok;
}

/* Whether a func of the file has the dimension. */
static bool func_has_dim(const File *f, const char *name) {
  for (size_t i = 0; i < f->decls.n; i++) {
    const Decl *d = f->decls.at[i];
    for (size_t k = 0; d->kind == DECL_FUNC && k < d->sig.pars.n; k++) {
      const TypeExpr *t = d->sig.pars.at[k].type;
      for (size_t j = 0; t && j < t->dims.n; j++) {
        const Expr *x = t->dims.at[j];
        const char *s = x->kind == EXPR_PATH ? path_single(x->path) : NULL;
        if (s && !strcmp(s, name))
          return true;
      }
    }
  }
  return false;
}

/* An argument of --dim that is not one of the model's own. */
static bool dim_known(Elab *e, const Decl *d, const DimArg *o) {
  const File *of = NULL;
  const Map *dims = d->file->src->dims;
  uintptr_t what = elab_foreign_dim(e, o->name, &of);
  if (what && (of == d->file || !o->least))
    return true;
  if (what)
    return diag_error_at(e->d, EXIT_USAGE, "--dim", "'%s' of %s, which is a "
                         "part of the model: expected a size, found the "
                         "range %lld..%lld", o->name, of->src->name,
                         (long long)o->least, (long long)o->value);
  const char *near = dims ? map_nearest(e->a, dims, o->name) : NULL;
  return diag_error_at(e->d, EXIT_USAGE, "--dim", "the model '%s' has no free "
                       "dimension '%s'%s%s%s", d->name.s, o->name,
                       near ? ", nearest is '" : "", near ? near : "",
                       near ? "'" : "");
}

/* Every --dim must mean something. */
static bool dims_known(Elab *e, const Decl *d) {
  bool ok = true;
  if (e->o->provide || e->o->sample)
    return true;
  if (e->o->nconsts && !elab_reads_onnx(e))
    ok = diag_error_at(e->d, EXIT_USAGE, "--const", "expected an .onnx file, "
                       "found '%s'", e->m->file);
  for (size_t i = 0; i < e->o->ndims; i++)
    if (!map_get(&e->frame->vars, e->o->dims[i].name) &&
        !func_has_dim(d->file, e->o->dims[i].name))
      ok &= dim_known(e, d, &e->o->dims[i]);
  return ok;
}

bool elab_bounds(Elab *e, const Decl *d) {
  bool ok = true;
  for (size_t i = 0; i < d->where.n; i++) {
    const Expr *x = d->where.at[i];
    Value v = elab_expr(e, x);
    if (v.kind == VAL_BOOL && v.i)
      continue;
    ok = false;
    if (v.kind == VAL_NONE)
      continue;
    if (v.kind != VAL_BOOL) {
      elab_error(e, x->span, "expected a bound like N <= 8, found %s",
                 value_describe(e->a, &v));
      continue;
    }
    Value l = {.kind = VAL_NONE};
    if (x->kind == EXPR_BINARY)
      l = elab_expr(e, x->sub.at[0]);
    Text t = {0};
    value_print(&t, &l);
    diag_error(e->d, e->frame->up ? EXIT_MODEL : EXIT_USAGE, x->span,
               "expected %s, found %s = %s",
               span_text(e->a, x->span),
               x->kind == EXPR_BINARY
                 ? span_text(e->a, x->sub.at[0]->span) : "it", t.s);
    text_free(&t);
    elab_chain(e);
  }
  return ok;
}

/* ---- running the model ---------------------------------------------- */

bool elab_input(Elab *e, const Par *p) {
  Type t;
  if (p->type && !p->type->is_kind) {
    if (!elab_type(e, p->type, &t))
      return false;
    Node *n = func_input(e->m, e->f, p->name.s, t);
    n->span = p->name.span;
    if (!node_infer(e->m, n, e->d))
      return false;
    n->type = t;
    var_set(e, p->name.s, value_node(n));
    return true;
  }
  if (!p->def) {
    elab_error(e, p->name.span, "the input '%s' of a model needs a type "
               "like f32[1,8]", p->name.s);
    return false;
  }
  Value v = elab_expr(e, p->def);
  if (v.kind == VAL_NONE ||
      (p->type && !elab_kind_check(e, p->type, &v,
                                  arena_printf(e->a, "input '%s'",
                                               p->name.s), p->def->span)))
    return false;
  var_set(e, p->name.s, v);
  return true;
}

/* The body is looked at even when an input is wrong, for its errors; a
 * dimension that is not fixed leaves nothing to look at. */
static bool model_signature(Elab *e, const Decl *d) {
  bool dims = elab_dims(e, d), known = dims_known(e, d);
  if (!dims || !known || !elab_bounds(e, d)) return false;
  for (size_t i = 0; i < d->sig.pars.n; i++) {
    const Par *p = &d->sig.pars.at[i];
    if (!elab_input(e, p))
      var_set(e, p->name.s, (Value){.kind = VAL_NONE});
  }
  return true;
}

Frame *frame_new(Elab *e, const Decl *d, File *f) {
  Frame *fr = arena_new_of(e->a, Frame);
  fr->decl = d;
  fr->file = f;
  fr->path = fr->scope = fr->layer = "";
  return fr;
}

/* Params and weights that stand outside of all models. */
static void units_run(Elab *e) {
  for (size_t i = 1; i < e->units.n; i++) {
    Unit *u = e->units.at[i];
    e->frame = u->frame = frame_new(e, NULL, u->file);
    Stmts all = {0};
    for (size_t k = 0; k < u->file->decls.n; k++) {
      const Decl *d = u->file->decls.at[k];
      if (d->kind == DECL_STMT)
        vec_push(e->a, &all, d->stmt);
    }
    elab_stmts(e, &all);
  }
}

static bool model_run(Elab *e, const Decl *d) {
  e->f = func_new(e->m, d->name.s);
  if (e->dump)
    funcs_declare(e, d->file);
  units_run(e);
  e->frame = frame_new(e, d, d->file);
  if (!model_signature(e, d))
    return false;
  elab_stmts(e, &d->body);
  Value v = elab_results(e, d);
  if (v.kind != VAL_NONE)
    func_outputs(e, d, &v);
  funcs_finish(e, d->file);
  if (diags_errors(e->d) != e->base || !states_check(e) || !inputs_check(e))
    return false;
  for (size_t i = 0; i < e->m->funcs.n; i++)
    func_tidy(e->m, e->m->funcs.at[i]);
  return true;
}

/* ---- loading -------------------------------------------------------- */

static bool load(Elab *e, const char *path, const Source *src) {
  if (!units_load(e, path, src))
    return false;
  File *f = e->units.at[1]->file;
  if (!elab_dump_read(e, f))
    return false;
  const Decl *model = model_pick(e, f);
  if (!model)
    return false;
  e->m->name = model->name.s;
  if (!model_run(e, model))
    return false;
  bool ok = elab_recipes(e, f, model);
  ok &= elab_weights(e);
  return ok && diags_errors(e->d) == e->base && elab_free_finish(e, model) &&
         (e->o->sample || elab_dump_verify(e, f));
}

Module *load_at(Diags *d, const char *path, const Source *src,
                const LoadOpts *o) {
  size_t before = diags_errors(d);
  Module *m = module_new("model");
  Elab e = {.a = m->arena, .d = d, .o = o, .m = m, .base = before};
  m->file = arena_strdup(m->arena, path);
  if (load(&e, m->file, src))
    return m;
  ensure(diags_errors(d) > before);
  module_free(m);
  return NULL;
}

static Module *load_source(Diags *d, const char *path, const Source *src,
                           const LoadOpts *o) {
  Module *m = load_at(d, path, src, o);
  if (!m || !m->free || free_load(d, path, src, m, o))
    return m;
  module_free(m);
  return NULL;
}

Module *tam_load(Diags *d, const char *path, const LoadOpts *o) {
  const Source *src = o->source ? *o->source : NULL;
  if (!src)
    src = model_source(d, path, o);
  if (!src)
    return NULL;
  if (o->source)
    *o->source = src;
  if (o->on_file)
    o->on_file(o->on_file_ctx, path);
  return load_source(d, path, src, o);
}

Module *tam_load_text(Diags *d, const char *path, const char *text, size_t len,
                      const LoadOpts *o) {
  Arena *a = diags_arena(d);
  Source *src = arena_new_of(a, Source);
  const char *nul = memchr(text, 0, len);
  *src = (Source){.name = arena_strdup(a, path), .len = len,
                  .text = arena_strndup(a, text, len)};
  if (nul) {
    diag_error_at(d, EXIT_FILE, path, "byte %zu is NUL",
                  (size_t)(nul - text));
    return NULL;
  }
  return load_source(d, path, src, o);
}
