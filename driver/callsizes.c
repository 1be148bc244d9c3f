/* callsizes.c - sizes of free dimensions: those that --dim says of what is
 * built, else those of the files of --in, else the most. */
#include "driver/driver.h"

#include <string.h>
#include <strings.h>

int64_t size_at(const tamis_size *s, const int64_t *dims) {
  FreeExpr e = {.div = s->div, .mul = s->mul, .by = s->by, .add = s->add};
  memcpy(e.c, s->c, sizeof e.c);
  int64_t size[FREE_MOST] = {0};
  for (int k = 0; k < 1 << FREE_MOST; k++)
    for (int i = 0; i < FREE_MOST; i++)
      if ((s->c[k] && k >> i & 1) || s->by >> i & 1) size[i] = dims[i];
  return free_eval(&e, size);
}

/* The free dimension that a size is, or -1. */
static int dim_alone(const tamis_size *s) {
  int found = -1;
  if (s->div != 1 || s->mul != 1 || s->by || s->add) return -1;
  for (int k = 0; k < 1 << FREE_MOST; k++) {
    if (!s->c[k]) continue;
    if (s->c[k] != 1 || found >= 0) return -1;
    for (int i = 0; i < FREE_MOST; i++)
      if (k == 1 << i) found = i;
    if (found < 0) return -1;
  }
  return found;
}

/* --dim, of what is built: which must be free there unless the model had
 * others. */
static bool sizes_given(const Options *o, Diags *d, const FreeDims *f,
                        bool all, int64_t *at) {
  for (size_t k = 0; k < o->dims.n; k++) {
    const DimArg *g = &o->dims.at[k];
    int i = 0;
    while (i < f->n && strcmp(f->dim[i].name, g->name)) i++;
    if (i < f->n && !g->least) at[i] = g->value;
    else if (all)
      return diag_error_at(d, EXIT_USAGE, "--dim", g->least
                           ? "'%s': expected a size for what is built"
                           : "what is built has no free dimension '%s'",
                           g->name);
  }
  return true;
}

static bool is_image(const char *path) {
  static const char *const ends[] = {".png", ".jpg", ".jpeg"};
  size_t n = strcspn(path, ",");
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t m = strlen(ends[i]);
    if (n >= m && strncasecmp(path + n - m, ends[i], m) == 0) return true;
  }
  return false;
}

/* Free dimensions that a file has, and nothing has said yet. */
static bool sizes_read(Arena *a, Diags *d, const Binding *b,
                       const SizedInput *in, int64_t *at) {
  int64_t one = 1;
  WeightFile *w = NULL;
  Type t = type_make(F32, 1, &one);     /* an image is one of a batch */
  if (!is_image(b->value)) {
    w = weights_read(a, d, b->value);
    if (!w) return false;
    const WeightTensor *x = weights_find(w, in->name);
    if (!x && w->tensors.n == 1) x = &w->tensors.at[0];
    t.rank = x && x->type.rank == in->rank ? in->rank : 0;
    if (t.rank) t = x->type;
  }
  for (int i = 0; i < t.rank && i < in->rank; i++) {
    int k = dim_alone(&in->size[i]);
    if (k >= 0 && !at[k]) at[k] = t.dim[i];
  }
  if (w) weights_close(w);
  return true;
}

bool sizes_choose(Arena *a, Diags *d, const Options *o, const FreeDims *f,
                  const SizedInput *in, size_t nin, SizesFrom from,
                  int64_t *at) {
  memset(at, 0, FREE_MOST * sizeof *at);
  if (from != SIZES_COMPILED &&
      !sizes_given(o, d, f, from == SIZES_BUILT, at))
    return false;
  for (size_t i = 0; i < nin; i++) {
    const Binding *b = binding_find(o->in.at, o->in.n, in[i].name,
                                    nin == 1 ? i : 1);
    if (b && in[i].size && !sizes_read(a, d, b, &in[i], at)) return false;
  }
  for (int i = 0; i < f->n; i++) {
    const FreeDim *x = &f->dim[i];
    if (!at[i]) at[i] = x->most;
    if (at[i] < x->least || at[i] > x->most)
      return diag_error_at(d, EXIT_USAGE, "--in", "expected %s from %lld to "
                           "%lld, found %lld", x->name, (long long)x->least,
                           (long long)x->most, (long long)at[i]);
  }
  return true;
}

bool artifact_sizes(Loaded *l, Diags *d, const Options *o, Arena *a,
                    SizesFrom from) {
  const tamis_model *m = l->model;
  FreeDims f = {.n = (int)m->n_free};
  SizedInput *in = arena_array(a, SizedInput, m->n_inputs + 1);
  if (!m->n_free && from != SIZES_BUILT) return true;
  for (uint32_t i = 0; i < m->n_free; i++)
    f.dim[i] = (FreeDim){m->free[i].name, m->free[i].name, m->free[i].least,
                         m->free[i].most, 0};
  for (uint32_t i = 0; i < m->n_inputs; i++)
    in[i] = (SizedInput){m->inputs[i].name, m->inputs[i].rank,
                         m->inputs[i].sizes};
  if (!sizes_choose(a, d, o, &f, in, m->n_inputs, from, l->dims))
    return false;
  artifact_version(l);
  return true;
}

bool module_sizes(Session *s, int64_t *at) {
  const Func *f = s->module->funcs.at[0];
  Arena *a = s->arena;
  SizedInput *in = arena_array(a, SizedInput, f->inputs.n + 1);
  for (size_t i = 0; i < f->inputs.n; i++) {
    const Type *t = &f->inputs.at[i]->type;
    tamis_size *size = arena_array(a, tamis_size, (size_t)t->rank + 1);
    for (int k = 0; k < t->rank; k++) {
      FreeExpr e = free_number(t->dim[k]);
      if (axis_is_free(t, k) && !axis_expr(t, k, &e)) unreachable();
      memcpy(size[k].c, e.c, sizeof e.c);
      size[k].div = e.div;
      size[k].mul = e.mul;
      size[k].by = e.by;
      size[k].add = e.add;
    }
    in[i] = (SizedInput){f->inputs.at[i]->name, t->rank, size};
  }
  return sizes_choose(a, s->diags, s->o, s->module->free, in, f->inputs.n,
                      SIZES_COMPILED, at);
}

const Options *options_at(Arena *a, const Options *o, const FreeDims *f,
                          const int64_t *at) {
  Options *own = arena_new_of(a, Options);
  *own = *o;
  memset(&own->dims, 0, sizeof own->dims);
  for (size_t i = 0; i < o->dims.n; i++)
    if (!o->dims.at[i].least) vec_push(a, &own->dims, o->dims.at[i]);
  for (int i = 0; f && i < f->n; i++)
    vec_push(a, &own->dims, ((DimArg){f->dim[i].given, at[i], 0}));
  return own;
}
