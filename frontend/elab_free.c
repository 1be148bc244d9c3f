/* elab_free.c - dimensions that are left free: their bounds, and what a model
 * is at other sizes than these.
 *
 * The elaborator computes with numbers.  So it runs at the bounds, and again
 * at each sample; the graphs must be the same but for dimensions and numbers
 * among the attributes, which the module then has for all samples. */
#include "frontend/elab.h"
#include "frontend/foreign_name.h"

#include <math.h>
#include <string.h>

enum { BOUND_MOST = 1 << 30 };

/* ---- bounds ---------------------------------------------------------- */

const DimArg *dim_option(const LoadOpts *o, const char *name) {
  for (size_t i = 0; i < o->ndims; i++)
    if (!strcmp(o->dims[i].name, name))
      return &o->dims[i];
  return NULL;
}

/* The integer that a bound compares the dimension with. */
static bool bound_value(Elab *e, const Expr *x, const char *name,
                        int64_t *out) {
  const Expr *l = x->kind == EXPR_BINARY ? x->sub.at[0] : NULL;
  const char *s = l && l->kind == EXPR_PATH ? path_single(l->path) : NULL;
  if (!s || strcmp(s, name))
    return false;
  const Expr *r = x->sub.at[1];
  if (r->kind != EXPR_INT)
    return false;
  *out = r->i;
  (void)e;
  return true;
}

/* What the bounds of a model say of a dimension; most 0: nothing. */
static FreeDim bounds_of(Elab *e, const Decl *d, const char *name) {
  FreeDim f = {name, name, 1, 0, 0};
  int64_t v;
  for (size_t i = 0; i < d->where.n; i++) {
    const Expr *x = d->where.at[i];
    if (!bound_value(e, x, name, &v))
      continue;
    int64_t most = x->oper == OPER_LE ? v : x->oper == OPER_LT ? v - 1 : 0;
    int64_t least = x->oper == OPER_GE ? v : x->oper == OPER_GT ? v + 1 : 1;
    if (most > 0 && (!f.most || most < f.most))
      f.most = most;
    if (least > f.least)
      f.least = least;
  }
  return f;
}

static bool free_add(Elab *e, const FreeDim *d, Span at) {
  FreeDims *f = &e->free;
  if (f->n == FREE_MOST)
    return diag_error(e->d, EXIT_UNSUPPORTED, at, "the dimension %s is one "
                      "too many: at most %d can be free, fix one with "
                      "--dim", d->name, FREE_MOST);
  if (d->most > BOUND_MOST)
    return diag_error(e->d, EXIT_USAGE, at, "the dimension %s is free up to "
                      "%lld, expected a bound of at most %d", d->name,
                      (long long)d->most, BOUND_MOST);
  f->dim[f->n++] = *d;
  return true;
}

bool elab_dim_free(Elab *e, const Decl *d, const char *name, Span at,
                   bool *found) {
  const DimArg *o = dim_option(e->o, name);
  FreeDim f = {name, name, 1, 0, 0};
  *found = false;
  for (int i = 0; i < e->free.n; i++)
    if (!strcmp(e->free.dim[i].name, name))
      f = e->free.dim[i];
  bool known = f.most > 0;
  if (!known)
    f = bounds_of(e, d, name);
  if (!known && o) {
    if (o->least < f.least)
      return diag_error(e->d, EXIT_USAGE, at, "--dim %s=%lld..%lld: expected "
                        "at least %lld", name, (long long)o->least,
                        (long long)o->value, (long long)f.least);
    f.least = o->least, f.most = o->value;
  }
  if (f.most < f.least)
    return true;
  *found = true;
  var_set(e, name, value_int(f.most));
  if (known || (f.least == f.most && !e->o->keep_dims))
    return true;
  return free_add(e, &f, at);
}

void elab_dims_set(Elab *e) {
  for (size_t i = 0; i < e->o->ndims; i++)
    if (!e->o->dims[i].least)
      var_set(e, e->o->dims[i].name, value_int(e->o->dims[i].value));
  for (int i = 0; i < e->free.n; i++)
    var_set(e, e->free.dim[i].name, value_int(e->free.dim[i].most));
}

/* ---- those of another format ----------------------------------------- */

static bool name_is_taken(const Module *m, const char *name) {
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->inputs.n; k++)
      if (!strcmp(f->inputs.at[k]->name, name))
        return true;
    for (size_t k = 0; k < f->outputs.n; k++)
      if (!strcmp(f->outputs.at[k].name, name))
        return true;
  }
  for (size_t i = 0; i < m->params.n; i++) {
    size_t n = strlen(name);
    const char *p = m->params.at[i]->path;
    if (!strncmp(p, name, n) && (!p[n] || p[n] == '.' || p[n] == '['))
      return true;
  }
  return module_state(m, name) != NULL;
}

/* A name of the language for one of ONNX. */
static const char *foreign_dim(const Module *m, const char *given) {
  Text t = {0};
  foreign_name_write(&t, given, strlen(given));
  const char *s = arena_strdup(m->arena, t.s), *name = s;
  text_free(&t);
  for (int i = 2; name_is_taken(m, name) || !name_is_valid(name); i++)
    name = arena_printf(m->arena, "%s_%d", s, i);
  return name;
}

uintptr_t elab_foreign_dim(const Elab *e, const char *name,
                           const File **file) {
  uintptr_t found = 0;
  for (size_t i = 1; i < e->units.n; i++) {
    const File *f = e->units.at[i]->file;
    uintptr_t of = f->src->dims ? (uintptr_t)map_get(f->src->dims, name) : 0;
    if (of > found)
      found = of, *file = f;
  }
  return found;
}

bool elab_reads_onnx(const Elab *e) {
  for (size_t i = 1; i < e->units.n; i++)
    if (e->units.at[i]->file->src->dims)
      return true;
  return false;
}

/* Those of the model's own file, where that is ONNX; those of outputs follow
 * from those of inputs. */
static bool foreign_dims(Elab *e, const Decl *model) {
  const Map *dims = model->file->src->dims;
  bool ok = true;
  for (size_t i = 0; dims && i < e->o->ndims; i++) {
    const DimArg *o = &e->o->dims[i];
    if (!o->least || (uintptr_t)map_get(dims, o->name) != SOURCE_INPUT)
      continue;
    FreeDim d = {foreign_dim(e->m, o->name), o->name, o->least, o->value, 0};
    ok &= free_add(e, &d, (Span){0});
  }
  return ok;
}

bool elab_free_finish(Elab *e, const Decl *model) {
  if (!foreign_dims(e, model))
    return false;
  if (!e->free.n)
    return true;
  FreeDims *f = arena_new_of(e->a, FreeDims);
  *f = e->free;
  f->onnx = elab_reads_onnx(e);
  for (int i = 0; i < f->n; i++) {
    f->dim[i].name = arena_strdup(e->a, f->dim[i].name);
    f->dim[i].given = arena_strdup(e->a, f->dim[i].given);
  }
  e->m->free = f;
  return true;
}

/* ---- samples --------------------------------------------------------- */

/* What differs between the module and what was loaded at a sample. */
typedef struct Match {
  Module *m;
  FreeDims *f;
  const Module *other;
  int k;                        /* the sample */
  Diags *d;
  Map shapes;                   /* path of a param -> FreeShape * */
} Match;

static bool unlike(Match *s, const Node *n, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
static bool unlike(Match *s, const Node *n, const char *fmt, ...) {
  Text t = {0}, at = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&t, fmt, ap);
  va_end(ap);
  for (int i = 0; i < s->f->n; i++)
    text_printf(&at, "%s%s = %lld", i ? ", " : "", s->f->dim[i].name,
                (long long)s->f->sample[s->k][i]);
  diag_error(s->d, EXIT_UNSUPPORTED, n ? n->span : (Span){0},
             "%s%s%s with %s: fix a free dimension with --dim",
             n ? op_info(n->op)->name : "the model", n ? ": " : " ", t.s,
             at.s);
  text_free(&t);
  text_free(&at);
  return false;
}

/* n numbers a sample, all as they are at the bounds until said otherwise. */
static int64_t *ints_at(Match *s, const FreeInts **in, const int64_t *v,
                        int n) {
  size_t all = (size_t)s->f->nsamples, count = (size_t)n;
  if (!*in) {
    FreeInts *f = arena_alloc(s->m->arena,
                              sizeof *f + all * count * sizeof *f->v);
    f->of = s->f;
    for (size_t k = 0; k < all; k++)
      memcpy(f->v + k * count, v, count * sizeof *v);
    *in = f;
  }
  return (int64_t *)(*in)->v + (size_t)s->k * count;
}

static bool attr_match(Match *s, const Node *n, const char *name, Attr *a,
                       const Attr *b) {
  Attr plain = *a;
  plain.free = NULL;
  if (attr_equal(&plain, b))
    return true;
  if (a->kind == ATTR_INT) {
    *ints_at(s, &a->free, &a->i, 1) = b->i;
    return true;
  }
  if (a->kind == ATTR_INTS && a->n == b->n) {
    memcpy(ints_at(s, &a->free, a->ints, a->n), b->ints,
           (size_t)a->n * sizeof *b->ints);
    return true;
  }
  return unlike(s, n, "%s is another one", name);
}

/* A literal; floats where they are whole numbers. */
static bool const_match(Match *s, Node *n, const Node *o) {
  bool real = elem_is_float(n->type.elem);
  if (real && !memcmp(&n->value, &o->value, sizeof n->value))
    return true;
  if (!real && n->ivalue == o->ivalue)
    return true;
  double most = 1 << 24;
  if (real && (n->value != trunc(n->value) || o->value != trunc(o->value) ||
               !(fabs(n->value) < most) || !(fabs(o->value) < most)))
    return unlike(s, n, "a literal is %g, %g at the bounds", o->value,
                  n->value);
  int64_t v = real ? (int64_t)n->value : n->ivalue;
  *ints_at(s, &n->free, &v, 1) = real ? (int64_t)o->value : o->ivalue;
  return true;
}

static FreeShape *shape_new(Match *s, const Type *t) {
  size_t all = (size_t)s->f->nsamples;
  FreeShape *f = arena_alloc(s->m->arena, sizeof *f + all * sizeof *f->dim);
  f->of = s->f;
  for (size_t k = 0; k < all; k++) memcpy(f->dim[k], t->dim, sizeof t->dim);
  return f;
}

static bool input_match(Match *s, Node *n, const Node *o) {
  if (n->type.rank != o->type.rank)
    return unlike(s, n, "its rank is %d", o->type.rank);
  FreeShape *f = (FreeShape *)n->type.free;
  if (!f)
    n->type.free = f = shape_new(s, &n->type);
  memcpy(f->dim[s->k], o->type.dim, sizeof o->type.dim);
  return true;
}

/* ---- constants whose shape depends on a free dimension ---------------- */

/* Are the elements of the smaller one those that the greater has first along
 * each axis? */
static bool data_begins(const Param *p, const Param *o) {
  const char *a = param_data(p), *b = param_data(o);
  size_t size = elem_size(p->type.elem);
  if (!a || !b || p->type.elem != o->type.elem)
    return false;
  int64_t n = type_elems(&o->type);
  for (int64_t i = 0; i < n; i++) {
    int64_t rest = i, at = 0, step = 1;
    for (int k = p->type.rank - 1; k >= 0; k--) {
      at += rest % o->type.dim[k] * step;
      rest /= o->type.dim[k];
      step *= p->type.dim[k];
    }
    if (memcmp(a + (size_t)at * size, b + (size_t)i * size, size))
      return false;
  }
  return true;
}

static bool param_match(Match *s, Node *n, const Node *o) {
  const Param *p = n->param, *q = o->param;
  /* At a size of 1 it may be what is expanded at others. */
  if (strcmp(p->path, q->path) && (!param_data(p) || !param_data(q)))
    return unlike(s, n, "its weight '%s' is '%s'", p->path, q->path);
  bool smaller = p->type.rank == q->type.rank;
  bool same = smaller;
  for (int i = 0; smaller && i < p->type.rank; i++) {
    same &= p->type.dim[i] == q->type.dim[i];
    smaller &= p->type.dim[i] >= q->type.dim[i];
  }
  const void *a = same ? param_data(p) : NULL, *b = a ? param_data(q) : NULL;
  if (same && (!a || !b || a == b ||
               !memcmp(a, b, (size_t)type_bytes(&p->type))))
    return true;
  if (same || !smaller || !data_begins(p, q))
    return unlike(s, n, "the constant '%s' has other values", p->path);
  FreeShape *f = map_get(&s->shapes, p->path);
  if (!f) {
    f = shape_new(s, &p->type);
    map_put(s->m->arena, &s->shapes, p->path, f);
  }
  memcpy(f->dim[s->k], q->type.dim, sizeof q->type.dim);
  return true;
}

/* The part of a constant that counts, by slices of it. */
static void param_cut(Match *s, Func *f, Node *n, const FreeShape *shape) {
  size_t first = f->nodes.n;
  Node *x = n;
  for (int i = 0; i < n->type.rank; i++) {
    bool differs = false;
    for (int k = 0; k < s->f->nsamples; k++)
      differs |= shape->dim[k][i] != n->type.dim[i];
    if (!differs)
      continue;
    x = func_add(s->m, f, OP_SLICE, &x, 1);
    attr_set_int(x, "axis", i);
    attr_set_int(x, "start", 0);
    attr_set_int(x, "stop", n->type.dim[i]);
    x->type = n->type;
    x->type.at = -1;
    x->path = n->param->path;
    x->span = n->span;
    Attr *stop = &x->attr[attr_index(OP_SLICE, "stop")];
    FreeInts *v = arena_alloc(s->m->arena, sizeof *v +
                              (size_t)s->f->nsamples * sizeof *v->v);
    v->of = s->f;
    for (int k = 0; k < s->f->nsamples; k++) v->v[k] = shape->dim[k][i];
    stop->free = v;
  }
  const Node *user = NULL;
  for (size_t i = 0; i < first; i++) {
    Node *u = f->nodes.at[i];
    for (int k = 0; k < u->nin; k++)
      if (u->in[k] == n) {
        u->in[k] = x;
        user = user ? user : u;
      }
  }
  /* They come from what takes them. */
  for (size_t i = first; user && i < f->nodes.n; i++) {
    f->nodes.at[i]->from = user->from;
    f->nodes.at[i]->nfrom = user->nfrom;
  }
  func_results_replace(f, n, x);
}

static void params_cut(Match *s) {
  if (!s->shapes.n)
    return;
  for (size_t i = 0; i < s->m->funcs.n; i++) {
    Func *f = s->m->funcs.at[i];
    size_t all = f->nodes.n;
    for (size_t k = 0; k < all; k++) {
      Node *n = f->nodes.at[k];
      const FreeShape *shape =
        n->op == OP_PARAM ? map_get(&s->shapes, n->param->path) : NULL;
      if (shape)
        param_cut(s, f, n, shape);
    }
    func_tidy(s->m, f);
  }
}

/* ---- nodes ----------------------------------------------------------- */

static bool node_match(Match *s, Node *n, const Node *o) {
  const OpInfo *info = op_info(n->op);
  if (n->op != o->op || n->nin != o->nin)
    return unlike(s, n, "there is a %s in its place", op_info(o->op)->name);
  for (int i = 0; i < n->nin; i++)
    if (!n->in[i] != !o->in[i] ||
        (n->in[i] && n->in[i]->id != o->in[i]->id))
      return unlike(s, n, "operand %d is another one", i + 1);
  for (int i = 0; i < info->nattrs; i++)
    if (!attr_match(s, n, info->attr[i], &n->attr[i], &o->attr[i]))
      return false;
  switch (n->op) {
  case OP_INPUT: return input_match(s, n, o);
  case OP_PARAM: return param_match(s, n, o);
  case OP_CONST: return const_match(s, n, o);
  case OP_STATE:
    for (int i = 0; i < n->type.rank; i++)
      if (n->type.dim[i] != o->type.dim[i])
        return unlike(s, n, "the state '%s' has another shape",
                      n->state->path);
    return true;
  default: return true;
  }
}

static bool module_match(Match *s) {
  if (s->m->funcs.n != s->other->funcs.n)
    return unlike(s, NULL, "has other functions");
  for (size_t i = 0; i < s->m->funcs.n; i++) {
    Func *f = s->m->funcs.at[i];
    const Func *g = s->other->funcs.at[i];
    size_t n = f->nodes.n < g->nodes.n ? f->nodes.n : g->nodes.n;
    for (size_t k = 0; k < n; k++)
      if (!node_match(s, f->nodes.at[k], g->nodes.at[k]))
        return false;
    if (f->nodes.n != g->nodes.n)
      return unlike(s, NULL, "has %zu nodes, %zu at the bounds,", g->nodes.n,
                    f->nodes.n);
  }
  return true;
}

/* The options of a load at sample k. */
static LoadOpts sample_opts(const LoadOpts *o, Match *s) {
  LoadOpts at = *o;
  DimArg *dims = arena_array(s->m->arena, DimArg,
                             o->ndims + (size_t)s->f->n);
  size_t n = 0;
  for (size_t i = 0; i < o->ndims; i++)
    if (!o->dims[i].least)
      dims[n++] = o->dims[i];
  for (int i = 0; i < s->f->n; i++)
    dims[n++] = (DimArg){s->f->dim[i].given, s->f->sample[s->k][i], 0};
  at.ndims = n;
  at.dims = dims;
  at.recipe = NULL;
  at.on_file = NULL;
  at.source = NULL;
  at.again = at.sample = true;
  at.no_weights = !s->f->onnx;
  return at;
}

bool free_load(Diags *d, const char *path, const Source *src, Module *m,
               const LoadOpts *o) {
  FreeDims *f = (FreeDims *)m->free;
  bool again = path_is_onnx(path) && !o->provide;
  Match s = {.m = m, .f = f, .d = d};
  free_samples(f);
  bool ok = true;
  for (s.k = 1; ok && s.k < f->nsamples; s.k++) {
    LoadOpts at = sample_opts(o, &s);
    Module *other = again ? tam_load(d, path, &at)
                          : load_at(d, path, src, &at);
    s.other = other;
    ok = other && module_match(&s);
    if (!other)
      unlike(&s, NULL, "cannot be read");
    if (other)
      module_free(other);
  }
  if (!ok)
    return false;
  params_cut(&s);
  return module_infer_free(m, d);
}
