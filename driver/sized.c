/* sized.c - versions for sizes: kernels for 128 rows and for one are others,
 * so a model with free dimensions is compiled once more for its least sizes.
 * Each version begins with what the pass behind the recipe left, and shares
 * its weights. */
#include "driver/driver.h"

#include <string.h>

/* ---- which sizes ----------------------------------------------------- */

/* Of the dimension that goes farthest: one size up to the first of these, and
 * so on.  Beyond the last, kernels for the bound lose little (a transformer of
 * BERT's kind, AVX2: doc/internals.md). */
static const int64_t cuts[] = {1, 2, 4, 8, 32};

/* Products whose rows are those of a free dimension have kernels by their
 * number; where there are few, maps of a batch go by one by one. */
static const double rows_share = 0.1;

typedef struct Range { int64_t least, most; } Range;
typedef struct Box { Range dim[FREE_MOST]; } Box;

static bool by_rows(const Node *n) {
  return n->type.free &&
         (n->op == OP_LINEAR || n->op == OP_MATMUL || n->op == OP_ATTEND);
}

static bool rows_matter(Module *m) {
  double rows = 0, all = 0;
  for (size_t i = 0; i < m->funcs.n; i++) {
    const Func *f = m->funcs.at[i];
    for (size_t k = 0; k < f->nodes.n; k++) {
      double macs = (double)node_cost(m, f->nodes.at[k]).macs;
      all += macs;
      if (by_rows(f->nodes.at[k])) rows += macs;
    }
  }
  return rows > rows_share * all;
}

static int farthest(const FreeDims *f) {
  int d = 0;
  for (int i = 1; i < f->n; i++)
    if (f->dim[i].most >= f->dim[d].most) d = i;
  return d;
}

/* The others at their least; what is left is for the whole. */
static int boxes(Module *m, Box box[SIZED_MOST]) {
  const FreeDims *f = m->free;
  int n = 0, d = farthest(f);
  int64_t from = f->dim[d].least, most = f->dim[d].most;
  size_t count = rows_matter(m) ? sizeof cuts / sizeof *cuts : 1;
  Box all = {0};
  bool others = false;
  for (int i = 0; i < f->n; i++) {
    all.dim[i] = (Range){f->dim[i].least, f->dim[i].least};
    others |= i != d && f->dim[i].least < f->dim[i].most;
  }
  for (size_t i = 0; i < count; i++) {
    if (cuts[i] < from || cuts[i] >= most) continue;
    box[n] = all;
    box[n++].dim[d] = (Range){from, cuts[i]};
    from = cuts[i] + 1;
  }
  if (!others) return n;
  box[n] = all;
  box[n++].dim[d] = (Range){from, most};
  return n;
}

/* ---- sessions -------------------------------------------------------- */

bool sized_wanted(const Session *s) {
  return s->module->free && s->opt >= 2 && s->opt <= 3 && !s->whole &&
         !s->choices && !s->stop_after && !s->stop_before;
}

/* What a version is made of. */
typedef struct Sized {
  Session *of, *own;
  Box box;
  int number;            /* of the versions of that session, from 1 on */
  bool last;
} Sized;

/* The program behind the recipe at the sizes of a box. */
static Module *sized_load(Session *s, const Box *b, Diags *d) {
  const FreeDims *f = s->module->free;
  Text t = {0};
  DimArg dims[FREE_MOST];
  for (int i = 0; i < f->n; i++)
    dims[i] = (DimArg){f->dim[i].name, b->dim[i].most, b->dim[i].least};
  LoadOpts l = {.ndims = (size_t)f->n, .dims = dims, .keep_dims = true,
                .provide = param_provide, .provide_ctx = s->source};
  module_print(&t, s->source, NULL);
  Module *m = tam_load_text(d, s->module->file, t.s, t.n, &l);
  text_free(&t);
  return m;
}

/* Of a single dimension, the whole is called with what no other is for. */
static void rest_set(const Sized *z) {
  FreeDims *f = (FreeDims *)z->of->module->free;
  if (f->n == 1 && z->last && z->of->nsized == z->number)
    f->dim[0].from = z->box.dim[0].most + 1;
}

/* -v says what is left out. */
static void said(const Session *of, const Sized *z, const Diags *d) {
  const FreeDims *f = of->module->free;
  fprintf(stderr, "tamis: no version for");
  for (int i = 0; i < f->n; i++)
    fprintf(stderr, " %s=%lld..%lld", f->dim[i].name,
            (long long)z->box.dim[i].least, (long long)z->box.dim[i].most);
  fputs(":\n", stderr);
  diags_print(d, stderr, false);
}

/* One that cannot be is left to the whole: a graph may be another one at a
 * single size. */
static bool sized_open(Version *v) {
  Sized *z = v->of;
  Session *of = z->of, *s = z->own = &of->sized[of->nsized];
  *s = *of;
  s->whole = true;
  s->keep_source = false;
  s->source = NULL;
  s->keep_dense = false;
  s->dense = s->pruned = NULL;
  s->facts = NULL;
  s->sized = NULL;
  s->nsized = 0;
  s->after = NULL;
  s->diags = s->own = diags_new();
  s->module = sized_load(of, &z->box, s->diags);
  if (!s->module || !session_compile(s)) {
    if (of->o->verbose) said(of, z, s->diags);
    session_close(s);
    return false;
  }
  v->m = s->module;
  of->nsized++;
  rest_set(z);
  return true;
}

static void sized_close(Version *v) {
  Sized *z = v->of;
  if (z->own->o->report || z->own->o->stats)
    z->own->layers = report_version(z->own);
  module_free(z->own->module);
  z->own->module = NULL;
}

/* A version for each box of s, and the whole. */
static int versions_add(Session *s, Version *v, bool several) {
  Box box[SIZED_MOST];
  int n = several && s->source && sized_wanted(s) ? boxes(s->source, box) : 0;
  Sized *z = arena_array(s->arena, Sized, (size_t)n + 1);
  s->sized = arena_array(s->arena, Session, (size_t)n + 1);
  for (int i = 0; i < n; i++) {
    z[i] = (Sized){s, NULL, box[i], i + 1, i + 1 == n};
    v[i] = (Version){&s->target, NULL, NULL, &z[i]};
  }
  v[n] = (Version){&s->target, NULL, s->module, NULL};
  return n + 1;
}

bool sessions_emit(Session *s, int n, const EmitOpts *o, EmitInfo *info) {
  static const VersionCalls calls = {sized_open, sized_close};
  Version *all = arena_array(s->arena, Version,
                             (size_t)(n * (SIZED_MOST + 1)));
  bool several = o->kind != EMIT_ASM && o->kind != EMIT_LLVM;
  int count = 0;
  for (int i = 0; i < n; i++)
    count += versions_add(&s[i], all + count, several);
  session_progress(s, "generating code");
  bool ok = count > 1
            ? backend_emit_versions(all, count, &calls, o, info, s->diags)
            : backend_emit(s->module, o, info, s->diags);
  session_progress(s, NULL);
  return ok;
}
