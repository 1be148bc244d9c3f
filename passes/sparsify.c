/* sparsify.c - pass `sparse`: the format of each weight from its measured
 * density.  (File names are unique in the tree; ir/sparse.c packs.)
 *
 * requires   constants folded and fused: a weight is final here
 * preserves  values: zeros are left out, everything else stays
 * before     param c.w: f32[8,8,1,1];             (10 % of the 4x1 blocks
 *            y = conv2d(x, c.w);                   hold all nonzeros)
 * after      param c.w: f32[8,8,1,1] <bsr 4x1, nnz=8, index=u8>;
 *            y = conv2d(x, c.w);
 * source     costs and the choice: choose.c */
#include "passes/passes.h"

/* Is operand k of n a weight that has sparse kernels? */
static bool weight_use(const Node *n, int k) {
  if (k != 1) return false;
  return n->op == OP_LINEAR ||
         (n->op == OP_CONV2D && attr_int(n, "groups") == 1 &&
          conv_takes_planes(n));
}

/* How a param is used; op is OP_COUNT where it is no weight. */
typedef struct Use {
  Op op;
  const Node *node;        /* one that uses it as a weight */
  int64_t rows;            /* of x, the most of all uses by linear */
  bool plain;              /* a use wants plain values */
} Use;

static void use_add(Use *u, const Node *n) {
  int64_t outputs = n->in[1]->type.dim[0];
  int64_t rows = outputs ? type_elems(&n->type) / outputs : 0;
  u->op = n->op;
  u->node = n;
  if (n->op == OP_LINEAR && rows > u->rows) u->rows = rows;
}

static void use_note(void *ctx, const Param *p, const Node *n, int k) {
  Use *u = (Use *)ctx + p->order;
  if (n && weight_use(n, k)) use_add(u, n);
  else u->plain = true;
}

/* Values in blocks of h rows that are not empty; h divides the rows. */
static int64_t stored_values(const Type *t, const float *w, int h) {
  int64_t rows = t->dim[0], cols = type_elems(t) / rows, n = 0;
  for (int64_t i = 0; i < rows; i += h)
    for (int64_t k = 0; k < cols; k++) {
      int r = 0;
      while (r < h && w[(i + r) * cols + k] == 0) r++;
      if (r < h) n += h;
    }
  return n;
}

/* How many values of each 4 columns there are at most; 0: too many to gain
 * by it, or the target has no kernel for that. */
static int runs_of(const PassCtx *c, const Type *t, const float *v) {
  if (c->target->lanes < 8 || !runs_fit(t, 1)) return 0;
  int n = runs_most(v, type_elems(t));
  return n < 1 ? 1 : n < 3 ? n : 0;
}

/* Blocks of the height that was asked for, if the weight has zeros enough
 * for a table of them at all. */
static bool height_told(const PassCtx *c, const Node *n, const Weight *w,
                        int *height) {
  const Choice *told = choice_of(c->choices, n);
  if (!told) return false;
  *height = told->height;
  if (told->height == 0) return true;
  if (told->height == RUNS) return w->runs > 0;
  if (told->height == PAIRS) *height = 1;
  for (int i = 0; i < BLOCK_HEIGHTS; i++)
    if (block_heights[i] == *height && w->stored[i] >= 0 &&
        20 * w->stored[i] <= 19 * w->all)
      return true;
  return false;
}

/* Of a value with `more` bytes beside its own, of so many, until it has come:
 * against 1 of dense from the second cache. */
static double value_comes(const Family *f, double bytes, double more,
                          int64_t values) {
  double all = (double)values, near = bytes * all * weights_cycles(f, 1);
  return values > 0 ? weights_cycles(f, (bytes + more) * all) / near : 0;
}

/* Weights that a row of x or two are multiplied by, by where they are read
 * from. */
static void far_weigh(const PassCtx *c, const Type *t, Weight *w) {
  const Family *f = family_of(c->target);
  double bytes = (double)elem_size(type_stored(t));
  if (w->op != OP_LINEAR || w->rows > 2) return;
  w->far = value_comes(f, bytes, 0, w->all);
  for (int i = 0; i < BLOCK_HEIGHTS; i++)
    w->least[i] = value_comes(f, bytes, 2.0 / block_heights[i],
                              w->stored[i]);
  w->least_runs = value_comes(f, bytes, 0.25, w->runs);
}

/* By what a sparse convolution is slower for its stride, if its taps lie in
 * several phases (phases.c). */
static void stride_weigh(const Target *t, const Node *n, Weight *w) {
  int count;
  if (n->op != OP_CONV2D) return;
  const int64_t *s = attr_ints(n, "stride", &count);
  const int64_t *k = &n->in[1]->type.dim[2], *y = &n->type.dim[2];
  int64_t lanes = t->lanes, vectors = (y[0] * y[1] + lanes - 1) / lanes;
  if (s[0] * s[1] == 1 || k[0] * k[1] == 1 || vectors == 0) return;
  w->apart = apart_time(type_elems(&n->in[0]->type)) / (double)vectors;
  w->idle = (double)((y[1] + lanes - 1) / lanes * lanes) / (double)y[1];
}

/* Whether a convolution reads the result of n: pass strips may do the two
 * without writing all of it. */
static bool is_chained(const PassCtx *c, const Node *n) {
  for (size_t i = 0; i < c->m->funcs.n; i++)
    for (size_t k = 0; k < c->m->funcs.at[i]->nodes.n; k++) {
      const Node *u = c->m->funcs.at[i]->nodes.at[k];
      if (u->op == OP_CONV2D && u->in[0] == n) return true;
    }
  return false;
}

static void writes_weigh(const PassCtx *c, const Node *n, Weight *w) {
  int64_t lanes = c->target->lanes;
  double bytes = (double)type_bytes(&n->type);
  double cycles = far_cycles(family_of(c->target), bytes);
  if (n->op != OP_CONV2D || cycles <= 0 || is_chained(c, n)) return;
  int64_t vectors = (n->type.dim[2] * n->type.dim[3] + lanes - 1) / lanes;
  w->writes = 2 * cycles / (double)vectors;
}

/* Have all rows as many nonzeros, and not most of all? */
static bool rows_even(const PassCtx *c, const Type *t, const float *v) {
  int64_t rows = t->dim[0], columns = type_elems(t) / rows;
  int64_t *each = arena_array(c->scratch, int64_t, (size_t)rows);
  unit_counts(v, rows, columns, 1, each);
  return each[0] == each[rows - 1] && 2 * each[0] <= columns;
}

int weight_height(PassCtx *c, const Node *n, int64_t rows, Param *p) {
  const float *v = param_values(c->m, p);
  const Type *t = &p->type;
  if (!v || t->sparse || type_elems(t) <= 0 || !sparse_fits(t, 1, 1))
    return 0;
  Weight w = {.op = n->op, .taps = 1, .rows = rows};
  w.lanes = c->target->lanes;
  w.all = type_elems(t);
  for (int i = 2; i < t->rank; i++) w.taps *= t->dim[i];
  for (int i = 0; i < BLOCK_HEIGHTS; i++) {
    int h = block_heights[i];
    w.stored[i] = sparse_fits(t, h, 1) ? stored_values(t, v, h) : -1;
  }
  w.outputs = t->dim[0];
  int64_t code = code_size(&(CodeWork){.products = w.stored[0]});
  w.code = !t->stored && code < patterns_budget(c);
  w.dots = n->op == OP_LINEAR &&
           linear_dots(c->target, rows, w.outputs, w.all / w.outputs);
  if (n->op == OP_LINEAR) w.runs = w.all / RUN_COLUMNS * runs_of(c, t, v);
  w.gain = node_gain(c->target, n);
  writes_weigh(c, n, &w);
  far_weigh(c, t, &w);
  stride_weigh(c->target, n, &w);
  w.even = patterns_budget(c) > 0 && w.apart == 0 && rows_even(c, t, v);
  int told;
  return height_told(c, n, &w, &told) ? told : format_choose(&w);
}

static void weight_pack(PassCtx *c, const Use *u, Param *p) {
  int height = weight_height(c, u->node, u->rows, p);
  if (height == RUNS)
    runs_pack(c->m, p, runs_of(c, &p->type, param_values(c->m, p)));
  else if (height)
    sparse_pack(c->m, p, height, 1);
}

bool pass_sparse(PassCtx *c) {
  if (c->sparsity_off) return true;
  size_t n = c->m->params.n;
  Use *use = arena_array(c->scratch, Use, n ? n : 1);
  for (size_t i = 0; i < n; i++) {
    c->m->params.at[i]->order = (uint32_t)i;
    use[i].op = OP_COUNT;
  }
  for (size_t i = 0; i < c->m->funcs.n; i++)
    params_walk(c->m->funcs.at[i], use_note, use);
  for (size_t i = 0; i < n; i++)
    if (!use[i].plain && use[i].op != OP_COUNT)
      weight_pack(c, &use[i], c->m->params.at[i]);
  return true;
}
