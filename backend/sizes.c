/* sizes.c - free dimensions in code: their sizes, which a call gives, and
 * steps over views of a node.
 *
 * Strides are those of the bounds, so that values lie in the arena where they
 * lie at any size; only the caller's buffers are row-major at the sizes of the
 * call.  Kernels whose loops can go to an end that is known at run time ask
 * axis_count for it.  For the others, where each index of an axis is computed
 * by itself, a loop goes over the axis, around the kernel for one index. */
#include <string.h>

#include "backend/emit.h"

/* ---- sizes ----------------------------------------------------------- */

void sizes_load(Gen *g) {
  const FreeDims *f = g->mod->free;
  if (!f) return;
  Val dims = slot_load(g, g->io, dims_slot(g->func));
  for (int i = 0; i < f->n; i++)
    g->size[i] = LLVMBuildLoad2(g->b, g->i64, addrk(g, dims, 8 * i), "");
}

/* v times the sizes that k has. */
static Val times(Gen *g, Val v, int64_t k) {
  for (int i = 0; i < FREE_MOST; i++)
    if (k >> i & 1) v = LLVMBuildNSWMul(g->b, v, g->size[i], "");
  return v;
}

static Val expr_val(Gen *g, const FreeExpr *e) {
  Val sum = k64(g, 0);
  for (int k = 0; k < 1 << FREE_MOST; k++)
    if (e->c[k]) sum = add64(g, sum, times(g, k64(g, e->c[k]), k));
  if (e->div != 1) sum = LLVMBuildUDiv(g->b, sum, k64(g, e->div), "");
  return add64(g, times(g, mul64(g, sum, e->mul), e->by), k64(g, e->add));
}

Val axis_count(Gen *g, const Type *t, int axis) {
  FreeExpr e;
  if (!axis_is_free(t, axis)) return NULL;
  bool known = axis_expr(t, axis, &e);
  ensure(known);
  return expr_val(g, &e);
}

Val axis_size(Gen *g, const Type *t, int axis) {
  Val v = axis_count(g, t, axis);
  return v ? v : k64(g, t->dim[axis]);
}

Val count_rows(Gen *g, const Type *t, int64_t *least) {
  int64_t inner = 1;
  for (int i = t->rank - 2; i >= 0; i--) {
    Val count = axis_count(g, t, i);
    if (count && least) *least = inner * axis_least(t, i);
    if (count) return mul64(g, count, inner);
    inner *= t->dim[i];
  }
  return NULL;
}

/* Number i of n a sample. */
static Val ints_val(Gen *g, const FreeInts *f, int i, int n) {
  FreeExpr e;
  bool known = free_expr(f->of, &f->v[i], (size_t)n, &e);
  ensure(known);
  return expr_val(g, &e);
}

Val attr_size(Gen *g, const Node *n, const char *name) {
  const Attr *a = &n->attr[attr_index(n->op, name)];
  return a->free ? ints_val(g, a->free, 0, 1) : k64(g, a->i);
}

Val const_size(Gen *g, const Node *n) {
  Val v = ints_val(g, n->free, 0, 1);
  if (n->type.elem == F32) return LLVMBuildSIToFP(g->b, v, g->f32, "");
  ensure(n->type.elem == I32 || n->type.elem == I64);
  return n->type.elem == I64 ? v : LLVMBuildTrunc(g->b, v, g->i32, "");
}

/* ---- the caller's buffers --------------------------------------------- */

bool value_packs(Gen *g, const Node *n) {
  if (!n->type.free || !func_is_entry(g->mod, g->func)) return false;
  Spot s = value_spot(g, n);
  return s.kind == SPOT_IO && s.io < dims_slot(g->func) &&
         type_packs(&n->type);
}

void packed_strides(Gen *g, const Type *t, Val *stride) {
  Val s = k64(g, 1);
  for (int i = t->rank - 1; i >= 0; i--) {
    stride[i] = s;
    s = LLVMBuildNSWMul(g->b, s, axis_size(g, t, i), "");
  }
}

/* ---- views ------------------------------------------------------------ */

const Node *view_base(const Gen *g, const Node *n) {
  for (int i = 0; i < g->nviews; i++)
    if (g->view[i].view == n) return g->view[i].of;
  return n;
}

Val view_offset(const Gen *g, const Node *n) {
  for (int i = 0; i < g->nviews; i++)
    if (g->view[i].view == n) return g->view[i].offset;
  return NULL;
}

/* Explicit strides, which do not change with the dimensions. */
static const Layout *layout_fixed(Gen *g, const Type *t) {
  int64_t s[MAX_RANK];
  static const int32_t none[4];
  if (t->layout) return t->layout;
  strides_dense(t, s);
  return layout_strided(g->a, t, s, 0, type_elems(t), none);
}

/* x at one index of an axis. */
static Node *view_new(Gen *g, Node *x, int axis, Val index) {
  int64_t s[MAX_RANK];
  Node *v = arena_new_of(g->a, Node);
  *v = *x;
  value_strides(x, s);
  bool first = true;
  for (int i = 0; i < axis; i++) first &= x->type.dim[i] == 1;
  if (!first) v->type.layout = layout_fixed(g, &x->type);
  v->type.dim[axis] = 1;
  if (v->type.free) {
    FreeShape *f = arena_alloc(g->a, sizeof *f + SAMPLES_MOST *
                                         sizeof *f->dim);
    f->of = x->type.free->of;
    for (int k = 0; k < f->of->nsamples; k++) {
      memcpy(f->dim[k], x->type.free->dim[k], sizeof f->dim[k]);
      f->dim[k][axis] = 1;
    }
    v->type.free = f;
  }
  /* Planes of a map are those of the others. */
  const Layout *l = x->type.layout;
  if (axis == 0 && x->type.layout && x->type.rank == 4 &&
      x->type.elem == F32) {
    Type own = type_make(F32, 4, v->type.dim);
    Layout *p = layout_planes(g->a, &own, g->t->lanes, l->halo);
    int64_t ps[MAX_RANK], at;
    own.layout = p;
    if (layout_strides(&own, ps, &at) && at == l->origin &&
        !memcmp(ps + 1, s + 1, 3 * sizeof *s))
      v->type.layout = p;
  }
  int64_t bytes = s[axis] * (int64_t)elem_size(x->type.elem);
  Val off = mul64(g, index, bytes), old = view_offset(g, x);
  if (old) off = add64(g, off, old);
  ensure(g->nviews < VIEWS_MOST);
  g->view[g->nviews++] = (View){ v, view_base(g, x), off };
  return v;
}

void node_at(Gen *g, const Node *n, int axis, Val index, Node *out) {
  Node *self = view_new(g, (Node *)n, axis, index);
  *out = *self;
  g->view[g->nviews - 1].view = out;
  out->in = arena_array(g->a, Node *, (size_t)n->nin + 1);
  for (int k = 0; k < n->nin; k++) {
    int along = n->in[k] ? node_along(n, axis, k) : ALONG_NONE;
    ensure(along != ALONG_MIXED);
    out->in[k] = n->in[k];
    if (along >= 0) out->in[k] = view_new(g, n->in[k], along, index);
  }
}

/* ---- planes of tokens -------------------------------------------------- */

/* x, planes of tokens, at `tokens` of them from number `first` on. */
static Node *tokens_view(Gen *g, Node *x, Val first, int64_t tokens) {
  int64_t plane;
  bool lies = type_is_tokens(&x->type, &plane);
  ensure(lies && g->nviews < VIEWS_MOST);
  Node *v = arena_new_of(g->a, Node);
  *v = *x;
  int64_t dim[] = { tokens, x->type.dim[x->type.rank - 1] };
  int64_t stride[] = { 1, plane };
  v->type = type_make(F32, 2, dim);
  v->type.layout = layout_strided(g->a, &v->type, stride, 0,
                                  x->type.layout->size, NULL);
  Val off = mul64(g, first, 4), old = view_offset(g, x);
  if (old) off = add64(g, off, old);
  g->view[g->nviews++] = (View){ v, view_base(g, x), off };
  return v;
}

/* The kernel for so many tokens. */
static void tokens_emit(Gen *g, const Node *n, Val first, int64_t tokens,
                        void (*emit)(Gen *, const Node *)) {
  int views = g->nviews;
  Node *v = tokens_view(g, (Node *)n, first, tokens);
  v->in = arena_array(g->a, Node *, (size_t)n->nin + 1);
  for (int k = 0; k < n->nin; k++) {
    bool rows = n->in[k] && node_along(n, 0, k) >= 0;
    v->in[k] = rows ? tokens_view(g, n->in[k], first, tokens) : n->in[k];
  }
  emit(g, v);
  g->nviews = views;
}

typedef struct Tokens {
  const Node *n;
  void (*emit)(Gen *, const Node *);
} Tokens;

static void tokens_block(Gen *g, Val first, int n, const void *ctx) {
  const Tokens *t = ctx;
  tokens_emit(g, t->n, mul64(g, first, g->t->lanes),
              (int64_t)n * g->t->lanes, t->emit);
}

static void tokens_share(Gen *g, const Share *s, const void *ctx) {
  tokens_block(g, s->first, s->n, ctx);
}

/* Whole vectors of tokens in tiles; where code is made for a pattern, a tile
 * at a time and then one by one. */
static void tokens_counted(Gen *g, const Node *n, Val count, int64_t least,
                           void (*emit)(Gen *, const Node *)) {
  int64_t lanes = g->t->lanes;
  Tokens t = { n, emit };
  Shares s = { .size = n->tile[1] > 0 ? n->tile[1] : 4 };
  Val all = add64(g, count, k64(g, lanes - 1));
  all = LLVMBuildUDiv(g->b, all, k64(g, lanes), "");
  if (strcmp(n->kernel, "linear_code")) {
    shares_add(&s, (least + lanes - 1) / lanes,
               (linear_tokens(n) + lanes - 1) / lanes);
    shares_emit(g, &s, all, tokens_share, &t);
    return;
  }
  Loop l;
  Val done = counted_whole(g, all, s.size, tokens_block, &t);
  loop_begin(g, &l, done, all, 1, false, "tokens");
  tokens_block(g, l.iv, 1, &t);
  loop_end(g, &l);
}

/* How many tokens a linear layer in planes of them has, NULL: it is none, or
 * they are known; how many at least. */
static Val tokens_count(Gen *g, const Node *n, int64_t *least) {
  int64_t plane;
  if (n->op != OP_LINEAR || !n->type.free || !type_is_tokens(&n->type, &plane))
    return NULL;
  return count_rows(g, &n->type, least);
}

/* ---- steps ------------------------------------------------------------ */

/* The first axis over which a loop goes, or -1. */
static int axis_looped(const Node *n) {
  for (int i = 0; i < n->type.rank; i++)
    if (kernel_loops(n, i)) return i;
  return -1;
}

void emit_sized(Gen *g, const Node *n, void (*emit)(Gen *, const Node *)) {
  int axis = axis_looped(n), views = g->nviews;
  int64_t least;
  Val tokens = axis < 0 ? tokens_count(g, n, &least) : NULL;
  if (tokens) tokens_counted(g, n, tokens, least, emit);
  else if (axis < 0) emit(g, n);
  if (axis < 0) return;
  Loop l;
  Node at;
  loop_begin(g, &l, k64(g, 0), axis_size(g, &n->type, axis), 1, false,
             "index");
  node_at(g, n, axis, l.iv, &at);
  emit_sized(g, &at, emit);
  loop_end(g, &l);
  g->nviews = views;
}
