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

/* One that cannot be is left to the whole: a graph may be another one at a
 * single size. */
static void sized_add(Session *s, const Text *t, const Box *b) {
  const FreeDims *f = s->module->free;
  Session *v = &s->sized[s->nsized];
  DimArg dims[FREE_MOST];
  for (int i = 0; i < f->n; i++)
    dims[i] = (DimArg){f->dim[i].name, b->dim[i].most, b->dim[i].least};
  LoadOpts l = {.ndims = (size_t)f->n, .dims = dims, .keep_dims = true,
                .provide = param_provide, .provide_ctx = s->source};
  *v = *s;
  v->whole = true;
  v->keep_source = false;
  v->source = NULL;
  v->sized = NULL;
  v->nsized = 0;
  v->after = NULL;
  v->diags = v->own = diags_new();
  v->module = tam_load_text(v->diags, s->module->file, t->s, t->n, &l);
  if (v->module && session_compile(v)) s->nsized++;
  else session_close(v);
}

/* Of a single dimension, the whole is called with what no other is for. */
static void rest_set(Session *s, int n) {
  FreeDims *f = (FreeDims *)s->module->free;
  if (f->n == 1 && n > 0 && s->nsized == n)
    f->dim[0].from = s->sized[n - 1].module->free->dim[0].most + 1;
}

void sized_compile(Session *s) {
  Box box[SIZED_MOST];
  if (!s->source || s->sized || !sized_wanted(s)) return;
  int n = boxes(s->source, box);
  Text t = {0};
  module_print(&t, s->source, NULL);
  s->sized = arena_array(s->arena, Session, (size_t)n + 1);
  for (int i = 0; i < n; i++) sized_add(s, &t, &box[i]);
  text_free(&t);
  rest_set(s, n);
}

bool sessions_emit(Session *s, int n, const EmitOpts *o, EmitInfo *info) {
  Version *all = arena_array(s->arena, Version,
                             (size_t)(n * (SIZED_MOST + 1)));
  int count = 0;
  bool several = o->kind != EMIT_ASM && o->kind != EMIT_LLVM;
  for (int i = 0; i < n; i++) {
    if (several) sized_compile(&s[i]);
    for (int k = 0; several && k < s[i].nsized; k++)
      all[count++] = (Version){s[i].sized[k].module, &s[i].target};
    all[count++] = (Version){s[i].module, &s[i].target};
  }
  session_progress(s, "generating code");
  bool ok = count > 1
            ? backend_emit_versions(all, count, o, info, s->diags)
            : backend_emit(s->module, o, info, s->diags);
  session_progress(s, NULL);
  return ok;
}
