/* free.c - dimensions that are free until a call: the sizes at which a graph
 * is looked at, and the expression that sizes at all of them tell.
 *
 * A module with free dimensions is elaborated at their bounds, and again at
 * other sizes, the samples.  What differs between them (dimensions, numbers
 * among the attributes) is kept as the numbers of all samples, through all
 * passes: inference runs at each of them.  An expression is wanted only where
 * code or text is made of it. */
#include <string.h>

#include "ir/infer.h"

/* ---- samples --------------------------------------------------------- */

static void sample_add(FreeDims *f, const int64_t size[FREE_MOST]) {
  for (int k = 0; k < f->nsamples; k++)
    if (!memcmp(f->sample[k], size, sizeof f->sample[k])) return;
  if (f->nsamples < SAMPLES_MOST)
    memcpy(f->sample[f->nsamples++], size, sizeof f->sample[0]);
}

/* Another size than the most, for differences: not 1, which broadcasts, where
 * there is one. */
static int64_t other_size(const FreeDim *d) {
  int64_t half = d->most - (d->most - d->least + 1) / 2;
  return half < 2 && d->most > 2 ? 2 : half < d->least ? d->least : half;
}

/* Sizes of one dimension, the others at their bounds. */
static void line_add(FreeDims *f, int i, int64_t least) {
  int64_t most = f->dim[i].most;
  const int64_t want[] = {most - 1, most - 2, most - 3, most / 2 + 1,
                          most / 3 + 1, least + 1, least};
  int n = f->n == 1 ? 7 : 5;
  for (int k = 0; k < n; k++) {
    int64_t size[FREE_MOST] = {0};
    for (int j = 0; j < f->n; j++) size[j] = f->dim[j].most;
    size[i] = want[k];
    if (want[k] >= least && want[k] <= most) sample_add(f, size);
  }
}

/* The dimensions of more than one size. */
static int free_moving(const FreeDims *f, int at[FREE_MOST]) {
  int n = 0;
  for (int i = 0; i < f->n; i++)
    if (f->dim[i].least < f->dim[i].most) at[n++] = i;
  return n;
}

void free_samples(FreeDims *f) {
  int at[FREE_MOST], n = free_moving(f, at);
  f->nsamples = 0;
  /* Sample 0 is the bound; the corners tell products. */
  for (int k = 0; k < 1 << n; k++) {
    int64_t size[FREE_MOST] = {0};
    for (int i = 0; i < f->n; i++) size[i] = f->dim[i].most;
    for (int i = 0; i < n; i++)
      if (k >> i & 1) size[at[i]] = other_size(&f->dim[at[i]]);
    sample_add(f, size);
  }
  for (int i = 0; i < f->n; i++) {
    int64_t least = f->dim[i].least;
    if (least < 2 && f->dim[i].most > 2) least = 2;
    line_add(f, i, least);
  }
}

/* ---- expressions ----------------------------------------------------- */

/* The product of those that k has. */
static int64_t product_of(const int64_t *size, int64_t k) {
  int64_t v = 1;
  for (int i = 0; i < FREE_MOST; i++)
    if (k >> i & 1) v *= size[i];
  return v;
}

FreeExpr free_number(int64_t v) {
  return (FreeExpr){.c = {v}, .div = 1, .mul = 1};
}

int64_t free_eval(const FreeExpr *e, const int64_t *size) {
  int64_t sum = 0;
  for (int k = 0; k < 1 << FREE_MOST; k++)
    if (e->c[k]) sum += e->c[k] * product_of(size, k);
  sum = sum / e->div - (sum % e->div < 0);
  return sum * e->mul * product_of(size, e->by) + e->add;
}

static bool expr_holds(const FreeDims *f, const int64_t *v, size_t step,
                       const FreeExpr *e) {
  for (int k = 0; k < f->nsamples; k++)
    if (free_eval(e, f->sample[k]) != v[(size_t)k * step]) return false;
  return true;
}

/* Sums of products, from the corners by differences. */
static bool expr_products(const FreeDims *f, const int64_t *v, size_t step,
                          FreeExpr *e) {
  int dim[FREE_MOST], n = free_moving(f, dim);
  int64_t c[1 << FREE_MOST];
  *e = free_number(0);
  for (int k = 0; k < 1 << n; k++) c[k] = v[(size_t)k * step];
  for (int i = 0; i < n; i++) {
    int64_t at = f->sample[0][dim[i]], to = f->sample[1 << i][dim[i]];
    for (int k = 0; k < 1 << n; k++) {
      if (k >> i & 1) continue;
      int64_t d = c[k] - c[k | 1 << i];
      if (d % (at - to)) return false;
      c[k | 1 << i] = d / (at - to);
      c[k] -= c[k | 1 << i] * at;
    }
  }
  for (int k = 0; k < 1 << n; k++) {
    int of = 0;
    for (int i = 0; i < n; i++) of |= (k >> i & 1) << dim[i];
    e->c[of] = c[k];
  }
  return expr_holds(f, v, step, e);
}

/* The greatest number that divides all differences. */
static int64_t step_of(const int64_t *v, int n) {
  int64_t g = 0;
  for (int k = 1; k < n; k++)
    g = gcd(g, v[k] - v[0] < 0 ? v[0] - v[k] : v[k] - v[0]);
  return g;
}

/* floor((a N + b) / div) of dimension i, times e->mul and e->by. */
static bool expr_quotient(const FreeDims *f, const int64_t *v, int i,
                          FreeExpr *e) {
  enum { DIV_MOST = 64, FACTOR_MOST = 4 };
  const FreeExpr outer = *e;
  for (int64_t div = 2; div <= DIV_MOST; div++)
    for (int64_t a = 1; a <= FACTOR_MOST; a++)
      for (int64_t b = 0; b < div; b++) {
        *e = outer;
        e->div = div;
        e->c[0] = b;
        e->c[1 << i] = a;
        e->add = v[0] - free_eval(e, f->sample[0]);
        if ((!e->add || !e->by) && expr_holds(f, v, 1, e)) return true;
      }
  return false;
}

/* The same of any dimension, by others and a number, as strides and what
 * merges dimensions leave it. */
static bool expr_quotients(const FreeDims *f, const int64_t *v, size_t step,
                           FreeExpr *e) {
  int64_t own[SAMPLES_MOST], rest[SAMPLES_MOST];
  for (int k = 0; k < f->nsamples; k++) own[k] = v[(size_t)k * step];
  for (int by = 0; by < 1 << f->n; by++)
    for (int i = 0; i < f->n; i++) {
      bool whole = !(by >> i & 1);
      for (int k = 0; whole && k < f->nsamples; k++) {
        int64_t p = product_of(f->sample[k], by);
        whole = own[k] % p == 0;
        rest[k] = own[k] / p;
      }
      if (!whole) continue;
      int64_t mul = step_of(rest, f->nsamples);
      for (; mul > 0; mul = mul > 1 ? 1 : 0) {
        *e = free_number(0);
        e->mul = mul;
        e->by = by;
        if (expr_quotient(f, own, i, e)) return true;
      }
    }
  return false;
}

bool free_expr(const FreeDims *f, const int64_t *v, size_t step,
               FreeExpr *e) {
  return expr_products(f, v, step, e) || expr_quotients(f, v, step, e);
}

/* Terms of most factors first. */
static void sum_print(Text *out, const FreeDims *f, const FreeExpr *e) {
  const char *sep = "";
  for (int n = f->n; n >= 0; n--)
    for (int k = 0; k < 1 << f->n; k++) {
      int64_t c = e->c[k];
      if (!c || __builtin_popcount((unsigned)k) != n) continue;
      text_puts(out, c < 0 ? "-" : sep);
      if (c < 0) c = -c;
      const char *times = "";
      for (int i = 0; i < f->n; i++) {
        if (!(k >> i & 1)) continue;
        text_printf(out, "%s%s", times, f->dim[i].name);
        times = "*";
      }
      if (n == 0 || c != 1) text_printf(out, "%s%lld", times, (long long)c);
      sep = "+";
    }
  if (!*sep) text_puts(out, "0");
}

void free_expr_print(Text *out, const FreeDims *f, const FreeExpr *e) {
  int terms = 0;
  for (int k = 0; k < 1 << f->n; k++) terms += e->c[k] != 0;
  if (e->div == 1) {
    sum_print(out, f, e);
    return;
  }
  if (terms > 1) text_putc(out, '(');
  sum_print(out, f, e);
  if (terms > 1) text_putc(out, ')');
  text_printf(out, "/%lld", (long long)e->div);
  for (int i = 0; i < f->n; i++)
    if (e->by >> i & 1) text_printf(out, "*%s", f->dim[i].name);
  if (e->mul != 1) text_printf(out, "*%lld", (long long)e->mul);
  if (e->add) text_printf(out, "%+lld", (long long)e->add);
}

/* ---- shapes ---------------------------------------------------------- */

bool axis_is_free(const Type *t, int axis) {
  if (!t->free) return false;
  for (int k = 0; k < t->free->of->nsamples; k++)
    if (t->free->dim[k][axis] != t->dim[axis]) return true;
  return false;
}

/* Behind its outermost dimension, is one free? */
bool type_packs(const Type *t) {
  int i = 0;
  while (i < t->rank && t->dim[i] == 1 && !axis_is_free(t, i)) i++;
  for (i++; i < t->rank; i++)
    if (axis_is_free(t, i)) return true;
  return false;
}

bool axes_equal(const Type *a, int i, const Type *b, int j) {
  const FreeShape *f = a->free ? a->free : b->free;
  if (a->dim[i] != b->dim[j]) return false;
  for (int k = 0; f && k < f->of->nsamples; k++)
    if (type_dim_at(a, i, k) != type_dim_at(b, j, k)) return false;
  return true;
}

int64_t type_dim_at(const Type *t, int axis, int sample) {
  return t->free ? t->free->dim[sample][axis] : t->dim[axis];
}

bool axis_expr(const Type *t, int axis, FreeExpr *e) {
  return free_expr(t->free->of, &t->free->dim[0][axis], MAX_RANK, e);
}

int64_t dim_from(const FreeDim *d) { return d->from ? d->from : d->least; }

int64_t axis_least(const Type *t, int axis) {
  FreeExpr e;
  const FreeDims *f = t->free->of;
  int64_t size[FREE_MOST] = {0};
  if (!axis_expr(t, axis, &e)) return 0;
  for (int k = 1; k < 1 << FREE_MOST; k++)
    if (e.c[k] < 0 || e.mul < 0) return 0;
  for (int i = 0; i < f->n; i++) size[i] = dim_from(&f->dim[i]);
  return free_eval(&e, size);
}

bool node_is_free(const Node *n) {
  if (n->type.free || n->free) return true;
  for (int i = 0; i < op_info(n->op)->nattrs; i++)
    if (n->attr[i].free) return true;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && (n->in[i]->type.free || n->in[i]->free)) return true;
  return false;
}

/* NULL where all samples have the same dimensions. */
const FreeShape *free_shape(Module *m, const Type *t,
                            const int64_t (*dim)[MAX_RANK]) {
  size_t n = (size_t)m->free->nsamples;
  bool differs = false;
  for (size_t k = 0; k < n; k++)
    for (int i = 0; i < t->rank; i++) differs |= dim[k][i] != t->dim[i];
  if (!differs) return NULL;
  FreeShape *s = arena_alloc(m->arena, sizeof *s + n * sizeof *dim);
  s->of = m->free;
  memcpy(s->dim, dim, n * sizeof *dim);
  return s;
}

Type type_regroup(Module *m, const Type *t, int rank, const int (*axes)[2]) {
  int64_t dim[SAMPLES_MOST][MAX_RANK] = {{0}};
  int count = t->free ? t->free->of->nsamples : 1;
  for (int k = 0; k < count; k++)
    for (int i = 0; i < rank; i++) {
      dim[k][i] = 1;
      for (int j = 0; j < 2; j++)
        if (axes[i][j] >= 0) dim[k][i] *= type_dim_at(t, axes[i][j], k);
    }
  Type out = type_make(t->elem, rank, dim[0]);
  if (t->free)
    out.free = free_shape(m, &out, (const int64_t (*)[MAX_RANK])dim);
  return out;
}

/* ---- inference at the samples ---------------------------------------- */

static void type_at(Type *t, int k) {
  if (!t->free) return;
  for (int i = 0; i < t->rank; i++) t->dim[i] = t->free->dim[k][i];
  t->free = NULL;
}

/* The type of n at sample k, whose operands have theirs. */
static bool infer_at(Module *m, const Node *n, int k, Type *out, Diags *d) {
  Attr attr[MAX_ATTRS];
  Node copy = *n;
  int count = op_info(n->op)->nattrs;
  if (op_info(n->op)->flags & FLAG_LEAF) {
    *out = n->type;
    type_at(out, k);
    return true;
  }
  for (int i = 0; i < count; i++) {
    attr[i] = n->attr[i];
    if (!attr[i].free) continue;
    if (attr[i].kind == ATTR_INT) attr[i].i = attr[i].free->v[k];
    else attr[i].ints = attr[i].free->v + (size_t)k * (size_t)attr[i].n;
    attr[i].free = NULL;
  }
  copy.attr = attr;
  if (!node_infer_plain(m, &copy, d)) return false;
  *out = copy.type;
  return true;
}

/* What the type of n depends on. */
typedef struct Near {
  Arena *a;
  Vec(Node *) nodes;
  Vec(Type) types;
  bool free;
} Near;

static void near_add(Near *s, Node *n) {
  if (!n) return;
  for (size_t i = 0; i < s->nodes.n; i++)
    if (s->nodes.at[i] == n) return;
  vec_push(s->a, &s->nodes, n);
  vec_push(s->a, &s->types, n->type);
  s->free |= n->type.free != NULL;
}

static void near_find(Near *s, const Module *m, const Node *n) {
  const Node *call = n->op == OP_ITEM ? n->in[0] : n;
  const Func *f = node_callee(m, call);
  for (int i = 0; i < n->nin; i++) near_add(s, n->in[i]);
  if (call != n)
    for (int i = 0; i < call->nin; i++) near_add(s, call->in[i]);
  for (size_t i = 0; f && i < f->inputs.n; i++)
    near_add(s, f->inputs.at[i]);
  for (size_t i = 0; f && i < f->outputs.n; i++)
    near_add(s, f->outputs.at[i].node);
  for (int i = 0; i < op_info(n->op)->nattrs; i++)
    s->free |= n->attr[i].free != NULL;
}

void node_infer_free(Module *m, Node *n) {
  if (node_callee(m, n) || !m->free || !m->free->nsamples) return;
  Near s = {.a = arena_new()};
  near_find(&s, m, n);
  int count = m->free->nsamples;
  bool ok = true;
  if (s.free) {
    int64_t (*dim)[MAX_RANK] =
      arena_alloc(s.a, (size_t)count * sizeof *dim);
    Diags *quiet = diags_new();
    for (int k = 0; ok && k < count; k++) {
      Type t;
      for (size_t i = 0; i < s.nodes.n; i++)
        type_at(&s.nodes.at[i]->type, k);
      ok = infer_at(m, n, k, &t, quiet) && t.rank == n->type.rank;
      if (ok) memcpy(dim[k], t.dim, sizeof dim[k]);
      for (size_t i = 0; i < s.nodes.n; i++)
        s.nodes.at[i]->type = s.types.at[i];
    }
    diags_free(quiet);
    n->type.free = ok ? free_shape(m, &n->type,
                                   (const int64_t (*)[MAX_RANK])dim) : NULL;
  }
  arena_free(s.a);
}

/* ---- a whole module -------------------------------------------------- */

/* "N = 3, T = 5". */
static void sizes_print(Text *t, const FreeDims *f, int k) {
  for (int i = 0; i < f->n; i++)
    text_printf(t, "%s%s = %lld", i ? ", " : "", f->dim[i].name,
                (long long)f->sample[k][i]);
}

/* Dimensions of all nodes of a function at all samples. */
typedef struct FuncSizes {
  Func *f;
  Type *keep;                       /* by id, as they are */
  int64_t (*dim)[MAX_RANK];         /* by sample and id */
} FuncSizes;

static bool func_at(Module *m, FuncSizes *s, int k, Diags *d) {
  for (size_t i = 0; i < s->f->nodes.n; i++) {
    Node *n = s->f->nodes.at[i];
    Type t = n->type;
    if (!node_callee(m, n) && !infer_at(m, n, k, &t, d)) {
      Text at = {0};
      sizes_print(&at, m->free, k);
      diag_note(d, n->span, "with %s; --dim fixes a dimension or narrows its "
                "bound", at.s);
      text_free(&at);
      return false;
    }
    if (t.rank != n->type.rank)
      return diag_error(d, EXIT_UNSUPPORTED, n->span, "%s: its rank changes "
                        "with the free dimensions", op_info(n->op)->name);
    type_at(&n->type, k);
    for (int j = 0; j < t.rank; j++) n->type.dim[j] = t.dim[j];
    memcpy(s->dim[(size_t)k * s->f->nodes.n + i], t.dim, sizeof t.dim);
  }
  return true;
}

static void func_restore(FuncSizes *s) {
  for (size_t i = 0; i < s->f->nodes.n; i++)
    s->f->nodes.at[i]->type = s->keep[i];
}

static bool node_settle(Module *m, Node *n, const int64_t (*dim)[MAX_RANK],
                        Diags *d) {
  FreeExpr e;
  n->type.free = free_shape(m, &n->type, dim);
  for (int i = 0; i < n->type.rank; i++) {
    if (!axis_is_free(&n->type, i)) continue;
    int64_t least[FREE_MOST];
    if (!axis_expr(&n->type, i, &e))
      return diag_error(d, EXIT_UNSUPPORTED, n->span, "%s: dimension %d of "
                        "its result depends on the free dimensions in a way "
                        "that is not supported: fix one with --dim",
                        op_info(n->op)->name, i);
    for (int k = 0; k < m->free->n; k++) least[k] = m->free->dim[k].least;
    if (free_eval(&e, least) < 0)
      return diag_error(d, EXIT_USAGE, n->span, "%s: dimension %d of its "
                        "result is %lld where the free dimensions are "
                        "least: give a bound with --dim NAME=LEAST..MOST",
                        op_info(n->op)->name, i,
                        (long long)free_eval(&e, least));
  }
  return true;
}

/* Numbers that differ, n a sample, have an expression each. */
static bool ints_known(const FreeInts *f, int n) {
  FreeExpr e;
  for (int i = 0; f && i < n; i++)
    if (!free_expr(f->of, &f->v[i], (size_t)n, &e)) return false;
  return true;
}

static bool numbers_settle(const Node *n, Diags *d) {
  const OpInfo *info = op_info(n->op);
  const char *what = ints_known(n->free, 1) ? NULL : "a literal";
  for (int i = 0; i < info->nattrs; i++) {
    const Attr *a = &n->attr[i];
    if (!ints_known(a->free, a->kind == ATTR_INTS ? a->n : 1))
      what = info->attr[i];
  }
  return !what || diag_error(d, EXIT_UNSUPPORTED, n->span, "%s: %s depends on "
                             "the free dimensions in a way that is not "
                             "supported: fix one with --dim", info->name,
                             what);
}

static bool func_settle(Module *m, FuncSizes *s, Diags *d) {
  size_t count = (size_t)m->free->nsamples, all = s->f->nodes.n;
  Arena *a = arena_new();
  int64_t (*dim)[MAX_RANK] = arena_alloc(a, count * sizeof *dim);
  bool ok = true;
  for (size_t i = 0; ok && i < all; i++) {
    for (size_t k = 0; k < count; k++)
      memcpy(dim[k], s->dim[k * all + i], sizeof dim[k]);
    ok = node_settle(m, s->f->nodes.at[i],
                     (const int64_t (*)[MAX_RANK])dim, d) &&
         numbers_settle(s->f->nodes.at[i], d);
  }
  arena_free(a);
  return ok;
}

bool module_infer_free(Module *m, Diags *d) {
  if (!m->free || !m->free->nsamples) return true;
  Arena *a = arena_new();
  size_t n, count = (size_t)m->free->nsamples;
  Func **order = funcs_all(a, m, &n);
  FuncSizes *s = arena_array(a, FuncSizes, n + 1);
  bool ok = true;
  for (size_t i = 0; i < n; i++) {
    size_t all = order[i]->nodes.n;
    s[i].f = order[i];
    s[i].keep = arena_array(a, Type, all + 1);
    s[i].dim = arena_alloc(a, (count * all + 1) * sizeof *s[i].dim);
    for (size_t k = 0; k < all; k++)
      s[i].keep[k] = order[i]->nodes.at[k]->type;
  }
  for (size_t k = 0; ok && k < count; k++) {
    for (size_t i = 0; ok && i < n; i++) ok = func_at(m, &s[i], (int)k, d);
    for (size_t i = 0; i < n; i++) func_restore(&s[i]);
  }
  for (size_t i = 0; ok && i < n; i++) ok = func_settle(m, &s[i], d);
  arena_free(a);
  return ok;
}
