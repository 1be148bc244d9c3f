/* elab_file.c - files: parsed once each, with what they import, and the
 * names that each of them sees. */
#include "frontend/elab.h"

#include <stdlib.h>
#include <string.h>

Unit *unit_of(const Elab *e, const File *f) {
  for (size_t i = 0; i < e->units.n; i++)
    if (e->units.at[i]->file == f)
      return e->units.at[i];
  return NULL;
}

const Decl *unit_decl(const Elab *e, const File *f, const char *name) {
  const Decl *d = map_get(&unit_of(e, f)->decls, name);
  return d ? d : map_get(&e->units.at[0]->decls, name);
}

static void name_add(Elab *e, Unit *u, const char *name, const Decl *d,
                     Span at) {
  const Decl *old = map_get(&u->decls, name);
  if (old == d)
    return;
  if (!old) {
    map_put(e->a, &u->decls, name, (void *)d);
    return;
  }
  diag_error(e->d, EXIT_MODEL, at, "'%s' is defined twice", name);
  diag_note(e->d, old->name.span, "the other '%s'", name);
}

static bool is_callee(const Decl *d) {
  return d->kind == DECL_BLOCK || d->kind == DECL_MODEL ||
         d->kind == DECL_FUNC;
}

static const Decl *sole_model(const File *f, size_t *n) {
  const Decl *found = NULL;
  *n = 0;
  for (size_t i = 0; i < f->decls.n; i++)
    if (f->decls.at[i]->kind == DECL_MODEL) {
      found = f->decls.at[i];
      ++*n;
    }
  return found;
}

/* `import "f.tam" as net` gives f's model a name; without `as` all that f
 * defines is visible. */
static void names_import(Elab *e, Unit *u, const Decl *d) {
  size_t n;
  if (!d->imported)
    return;
  if (!d->name.s) {
    for (size_t i = 0; i < d->imported->decls.n; i++) {
      const Decl *x = d->imported->decls.at[i];
      if (is_callee(x))
        name_add(e, u, x->name.s, x, d->path.span);
    }
    return;
  }
  const Decl *model = sole_model(d->imported, &n);
  if (n != 1)
    diag_error(e->d, EXIT_MODEL, d->path.span,
               "'as' names the model of a file: expected one model, found "
               "%zu", n);
  else
    name_add(e, u, d->name.s, model, d->name.span);
}

/* `name` is one of the parameters or results that are in seen. */
static void sig_name(Elab *e, Map *seen, const Name *name, const char *what) {
  if (map_get(seen, name->s))
    diag_error(e->d, EXIT_MODEL, name->span, "the %s '%s' is declared twice",
               what, name->s);
  map_put(e->a, seen, name->s, seen);
}

/* Parameters and results have names of their own. */
static void sig_check(Elab *e, const Sig *s) {
  Map pars = {0}, results = {0};
  for (size_t i = 0; i < s->pars.n; i++)
    sig_name(e, &pars, &s->pars.at[i].name, "parameter");
  for (size_t i = 0; i < s->results.n; i++)
    sig_name(e, &results, &s->results.at[i].name, "result");
}

static void names_collect(Elab *e, Unit *u) {
  for (size_t i = 0; i < u->file->decls.n; i++) {
    const Decl *d = u->file->decls.at[i];
    if (is_callee(d)) {
      name_add(e, u, d->name.s, d, d->name.span);
      sig_check(e, &d->sig);
    } else if (d->kind == DECL_IMPORT) {
      names_import(e, u, d);
    }
  }
}

/* A file is one whatever way leads to it: a ring of imports ends. */
static const char *path_identity(Elab *e, const char *path) {
  char *real = realpath(path, NULL);
  const char *id = arena_strdup(e->a, real ? real : path);
  free(real);
  return id;
}

static Unit *unit_find(Elab *e, const char *path) {
  const char *id = path_identity(e, path);
  for (size_t i = 1; i < e->units.n; i++)
    if (!strcmp(e->units.at[i]->id, id))
      return e->units.at[i];
  return NULL;
}

static Unit *unit_add(Elab *e, const char *path, const Source *src) {
  Unit *u = arena_new_of(e->a, Unit);
  u->id = path_identity(e, path);
  u->file = tam_parse(e->a, e->d, src);
  if (!u->file)
    return NULL;
  u->file->dir = path_dir(e->a, path);
  vec_push(e->a, &e->units, u);
  return u;
}

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n >= k && !strcmp(s + n - k, end);
}

const Source *model_source(Diags *d, const char *path, const LoadOpts *o) {
  Arena *a = diags_arena(d);
  if (path_is_onnx(path))
    return onnx_source(a, d, path, o);
  return path_is_tflite(path) ? tflite_source(a, d, path)
                              : source_read(a, d, path);
}

static void import_read(Elab *e, const File *from, Decl *d) {
  const char *path = path_join(e->a, from->dir, d->path.s);
  if (!ends_with(path, ".tam") && !path_is_tflite(path) &&
      !path_is_onnx(path)) {
    elab_error(e, d->path.span,
               "expected a .tam, .onnx or .tflite file, found \"%s\"",
               d->path.s);
    return;
  }
  Unit *u = unit_find(e, path);
  if (!u) {
    const Source *src = model_source(e->d, path, e->o);
    if (!src) {
      diag_note(e->d, d->path.span, "imported here");
      return;
    }
    if (e->o->on_file)
      e->o->on_file(e->o->on_file_ctx, path);
    u = unit_add(e, path, src);
  }
  d->imported = u ? u->file : NULL;
}

/* Parsed once for all loads, which do not change it. */
static File *prelude_file(Diags *d) {
  static Source src = {.name = "prelude.tam", .text = prelude_tam};
  static Arena *volatile arena;   /* never freed; leak checkers find it here */
  static File *file;
  if (file)
    return file;
  src.len = prelude_tam_len;
  arena = arena_new();
  file = tam_parse(arena, d, &src);
  ensure(file);
  file->dir = ".";
  file->prelude = true;
  return file;
}

static void prelude_add(Elab *e) {
  Unit *u = arena_new_of(e->a, Unit);
  u->id = "";
  u->file = prelude_file(e->d);
  ensure(diags_errors(e->d) == e->base);
  vec_push(e->a, &e->units, u);
  names_collect(e, u);
}

bool units_load(Elab *e, const char *path, const Source *src) {
  prelude_add(e);
  if (!unit_add(e, path, src))
    return false;
  for (size_t i = 1; i < e->units.n; i++) {
    File *f = e->units.at[i]->file;
    for (size_t k = 0; k < f->decls.n; k++)
      if (f->decls.at[k]->kind == DECL_IMPORT)
        import_read(e, f, f->decls.at[k]);
  }
  for (size_t i = 1; i < e->units.n; i++)
    names_collect(e, e->units.at[i]);
  return diags_errors(e->d) == e->base;
}
