/* slim.c - a convolution becomes Slim-CNN's module: method slim of the
 * recipe's verb `student`.  f channels are `squeeze`; SSE, the separable
 * squeeze-expand, goes to f channels and then to 8 f.
 *
 * requires   weights with values, as check_student asks
 * preserves  the layers' results, projected on f / 2 directions of the input
 *            channels, with 8 directions of the taps for each at most
 * before     y = conv2d(x, c.weight, b=c.bias, pad=[1,1,1,1]) as c;
 * after      h = sse1(x) + conv2d(x, c.skip.weight, b=c.skip.bias);
 *            t = conv2d(sse2(h), c.out.depth.weight, pad=[1,1,1,1],
 *                       groups=128) as c.out.depth;
 *            y = conv2d(t, c.out.point.weight, b=c.bias) as c.out.point;
 *            with sse(x) q = relu(conv2d(x, squeeze));
 *            concat(relu(conv2d(relu(conv2d(q, expand3.depth, groups=16)),
 *                               expand3.point)), relu(conv2d(q, expand1)))
 * source     Sharma and Foroosh, 2019 (arXiv 1907.02157); the values: by
 *            singular values, see doc/language.md */
#include <math.h>
#include <string.h>

#include "passes/student.h"

/* In the order of recipe_parts; those of an SSE are squeeze and what follows
 * it. */
enum {
  SKIP, SQUEEZE1, DEPTH1, POINT1, EXPAND1, SQUEEZE2, DEPTH2, POINT2, EXPAND2,
  OUT_DEPTH, OUT_POINT, SLIM_PARTS
};
enum { COPIES = 8 };     /* of each channel behind the second SSE */

typedef struct Slim {
  Swap *x;
  int64_t f, inputs, outputs, taps;
  int64_t full;          /* the greatest rank of the weight */
  int64_t used;          /* directions of input channels, f / 2 at most */
  double *u, *s, *vt;    /* of the weight as [O taps, C] */
  double all, left;      /* squares: of the weight, of what is left out */
  Param *w[SLIM_PARTS];
  Param *bias[SLIM_PARTS];   /* NULL: it has none */
} Slim;

/* ---- shapes and what they cost --------------------------------------- */

static bool is_depth(int part) {
  return part == DEPTH1 || part == DEPTH2 || part == OUT_DEPTH;
}

static void part_dims(const Slim *l, int part, int64_t *d) {
  int64_t f = l->f, wide = COPIES * f, half = wide / 2;
  const int64_t rows[SLIM_PARTS] = {
    wide, f, f, half, half, f, f, half, half, wide, l->outputs,
  };
  const int64_t cols[SLIM_PARTS] = {
    l->inputs, l->inputs, 1, f, f, wide, 1, f, f, 1, wide,
  };
  d[0] = rows[part];
  d[1] = cols[part];
  d[2] = d[3] = is_depth(part) ? 3 : 1;
  if (part == OUT_DEPTH)
    memcpy(d + 2, l->x->p->type.dim + 2, 2 * sizeof *d);
}

/* Each value of a part's weight is a product at each place: of the input, or
 * of the output behind the last depthwise one. */
static double slim_macs(const Slim *l) {
  double in = 0, out = 0, sum = 0;
  for (int i = 0; i < SLIM_PARTS; i++) {
    int64_t d[4];
    part_dims(l, i, d);
    *(i < OUT_DEPTH ? &in : &out) +=
      (double)d[0] * (double)d[1] * (double)(d[2] * d[3]);
  }
  for (size_t i = 0; i < l->x->uses.n; i++) {
    const Node *n = l->x->uses.at[i].n;
    sum += in * (double)type_elems(&n->in[0]->type) / (double)l->inputs +
           out * (double)type_elems(&n->type) / (double)l->outputs;
  }
  return sum;
}

/* ---- singular values ------------------------------------------------- */

static bool values_none(const Slim *l) {
  return diag_error(l->x->c->d, EXIT_MODEL, l->x->s->span, "student: %s: no "
                    "singular values were found", l->x->p->path);
}

/* Directions of input channels, the strongest first. */
static bool channels_split(Slim *l) {
  Arena *arena = l->x->arena;
  const float *w = param_values(l->x->c->m, l->x->p);
  int64_t rows = l->outputs * l->taps, cols = l->inputs;
  size_t m = (size_t)rows, n = (size_t)cols, full = (size_t)l->full;
  double *a = arena_array(arena, double, checked_mul(m, n));
  for (int64_t i = 0; i < rows * cols; i++)
    a[i] = w[(i / cols / l->taps * cols + i % cols) * l->taps +
             i / cols % l->taps];
  l->u = arena_array(arena, double, checked_mul(m, full));
  l->s = arena_array(arena, double, full);
  l->vt = arena_array(arena, double, checked_mul(full, n));
  if (!svd(a, rows, cols, l->u, l->s, l->vt)) return values_none(l);
  l->used = l->full < l->f / 2 ? l->full : l->f / 2;
  /* Less than the rounding of floats is none. */
  while (l->used > 1 && l->s[l->used - 1] <= 1e-7 * l->s[0]) l->used--;
  for (int64_t r = l->full - 1; r >= 0; r--) {
    l->all += l->s[r] * l->s[r];
    if (r >= l->used) l->left += l->s[r] * l->s[r];
  }
  return true;
}

/* ---- values ---------------------------------------------------------- */

/* Drawn weights are for training: nothing reads what they make, or what
 * reads it has the weight 0. */
static void parts_make(Slim *l) {
  const char *const *part = verb_parts(l->x->s);
  for (int i = 0; i < SLIM_PARTS; i++) {
    int64_t d[4];
    part_dims(l, i, d);
    l->w[i] = swap_part(l->x, part[i], 4, d);
    bool drawn = i <= EXPAND1 || i == OUT_DEPTH;
    if (drawn)
      param_set_data(l->w[i], param_random(l->w[i],
                                           (uint64_t)l->x->a->seed));
    if (i == SKIP || i == POINT1) l->bias[i] = swap_bias(l->x, l->w[i]);
  }
}

/* The first f channels behind the sum are u, then -u: the first SSE gives 1
 * there, so that its ReLU is at work, and `skip` takes it away. */
static void sum_fill(Slim *l) {
  float *skip = swap_values(l->w[SKIP]), *point = swap_values(l->w[POINT1]);
  int64_t half = l->f / 2, C = l->inputs;
  for (int64_t r = 0; r < half; r++)
    for (int64_t c = 0; c < C; c++) {
      if (r < l->used) skip[r * C + c] = (float)l->vt[r * C + c];
      skip[(half + r) * C + c] = -skip[r * C + c];
    }
  for (int64_t q = 0; q < l->f; q++) {
    swap_values(l->bias[SKIP])[q] = -1;
    swap_values(l->bias[POINT1])[q] = 1;
    for (int64_t k = 0; k < l->f; k++) point[q * l->f + k] = 0;
  }
}

/* The second SSE: u+ and u-, then copies of each, number j of channel q at
 * j f + q. */
static void copies_fill(Slim *l) {
  int64_t f = l->f;
  for (int64_t q = 0; q < f; q++) {
    swap_values(l->w[SQUEEZE2])[q * COPIES * f + q] = 1;
    swap_values(l->w[DEPTH2])[q * 9 + 4] = 1;
    for (int64_t j = 0; j < COPIES / 2; j++) {
      swap_values(l->w[POINT2])[(j * f + q) * f + q] = 1;
      swap_values(l->w[EXPAND2])[(j * f + q) * f + q] = 1;
    }
  }
}

/* The last two layers, on copies of direction r: its filters [O,taps]. */
static bool out_fill(Slim *l, int64_t r, double *a, double *u, double *s,
                     double *vt) {
  int64_t O = l->outputs, n = l->taps, f = l->f, full = O < n ? O : n;
  float *depth = swap_values(l->w[OUT_DEPTH]);
  float *point = swap_values(l->w[OUT_POINT]);
  for (int64_t i = 0; i < O * n; i++) a[i] = l->u[i * l->full + r] * l->s[r];
  if (!svd(a, O, n, u, s, vt)) return values_none(l);
  for (int64_t j = 0; j < full && j < COPIES; j++)
    for (int k = 0; k < 2; k++) {
      int64_t at = j * f + k * (f / 2) + r;
      double root = sqrt(s[j]), sign = k ? -1 : 1;
      for (int64_t t = 0; t < n; t++)
        depth[at * n + t] = (float)(vt[j * n + t] * root);
      for (int64_t o = 0; o < O; o++)
        point[o * COPIES * f + at] = (float)(sign * u[o * full + j] * root);
    }
  for (int64_t j = full - 1; j >= COPIES; j--) l->left += s[j] * s[j];
  return true;
}

static bool parts_fill(Slim *l) {
  size_t O = (size_t)l->outputs, n = (size_t)l->taps, full = O < n ? O : n;
  Arena *arena = l->x->arena;
  double *a = arena_array(arena, double, checked_mul(O, n));
  double *u = arena_array(arena, double, checked_mul(O, full));
  double *s = arena_array(arena, double, full);
  double *vt = arena_array(arena, double, checked_mul(full, n));
  parts_make(l);
  sum_fill(l);
  copies_fill(l);
  bool ok = true;
  for (int64_t r = 0; ok && r < l->used; r++)
    ok = out_fill(l, r, a, u, s, vt);
  return ok;
}

/* ---- layers ---------------------------------------------------------- */

static Node *op_put(const Slim *l, const LayerUse *use, Op op,
                    Node *const *in, int nin, const char *part) {
  Node *y = func_insert(l->x->c->m, use->f, use->n, op, in, nin);
  node_inherit(l->x->c->m, y, use->n);
  if (part) y->path = swap_path(l->x, use->n, part);
  return y;
}

static Node *conv_put(const Slim *l, const LayerUse *use, Node *x, int part) {
  static const int64_t same[] = {1, 1, 1, 1};
  Module *m = l->x->c->m;
  Param *b = l->bias[part];
  Node *in[3] = {x, func_param(m, use->f, l->w[part])};
  if (b) in[2] = func_param(m, use->f, b);
  Node *y = op_put(l, use, OP_CONV2D, in, b ? 3 : 2,
                   verb_parts(l->x->s)[part]);
  if (is_depth(part)) attr_set_int(y, "groups", l->w[part]->type.dim[0]);
  if (part == OUT_DEPTH) {
    attr_take(y, use->n, "stride");
    attr_take(y, use->n, "pad");
    attr_take(y, use->n, "dilation");
  } else if (is_depth(part)) {
    attr_set_ints(m, y, "pad", same, 4);
  }
  node_retype(l->x->c, y);
  return y;
}

static Node *conv_relu(const Slim *l, const LayerUse *use, Node *x, int part,
                       const char *block) {
  Node *y = conv_put(l, use, x, part);
  y = op_put(l, use, OP_RELU, &y, 1, block);
  node_retype(l->x->c, y);
  return y;
}

static Node *sse_put(const Slim *l, const LayerUse *use, Node *x, int first,
                     const char *block) {
  Node *q = conv_relu(l, use, x, first, block);
  Node *depth = conv_relu(l, use, q, first + 1, block);
  Node *both[2];
  both[0] = conv_relu(l, use, depth, first + 2, block);
  both[1] = conv_relu(l, use, q, first + 3, block);
  Node *y = op_put(l, use, OP_CONCAT, both, 2, block);
  attr_set_int(y, "axis", 1);
  node_retype(l->x->c, y);
  return y;
}

static void use_swap(const Slim *l, const LayerUse *use) {
  Module *m = l->x->c->m;
  Node *n = use->n, *x = n->in[0], *sum[2];
  sum[0] = sse_put(l, use, x, SQUEEZE1, "sse1");
  sum[1] = conv_put(l, use, x, SKIP);
  Node *y = op_put(l, use, OP_ADD, sum, 2, NULL);
  node_retype(l->x->c, y);
  y = sse_put(l, use, y, SQUEEZE2, "sse2");
  y = conv_put(l, use, y, OUT_DEPTH);
  attr_reset(n, "stride");
  attr_reset(n, "pad");
  attr_reset(n, "dilation");
  n->path = swap_path(l->x, n, verb_parts(l->x->s)[OUT_POINT]);
  node_set_in(m, n, 0, y);
  node_set_in(m, n, 1, func_param(m, use->f, l->w[OUT_POINT]));
  node_retype(l->x->c, n);
}

/* ---- all ------------------------------------------------------------- */

/* The greatest even number up to a third of the outputs, as in the paper. */
static int64_t squeeze_of(const Swap *x) {
  if (x->a->squeeze) return x->a->squeeze;
  int64_t f = x->p->type.dim[0] / 3 / 2 * 2;
  return f < 2 ? 2 : f;
}

static bool weight_slim(Swap *x) {
  const int64_t *d = x->p->type.dim;
  if (x->uses.at[0].n->op != OP_CONV2D)
    return swap_leave(x, "it is of no conv2d");
  if (x->groups != 1) return swap_leave(x, "it has groups");
  Slim l = {.x = x, .f = squeeze_of(x), .inputs = d[1], .outputs = d[0],
            .taps = x->taps};
  l.full = d[0] * x->taps < d[1] ? d[0] * x->taps : d[1];
  double macs = slim_macs(&l);
  if (!swap_pays(x, macs)) return true;
  if (l.full > SVD_MOST || (d[0] > SVD_MOST && x->taps > SVD_MOST))
    return swap_leave(x, "it is too large");
  if (!channels_split(&l) || !parts_fill(&l)) return false;
  verb_note(x->c, x->s, x->p->path, "slim module of %lld channels, %.0f of "
            "%.0f multiply-accumulates, relative error %.4g", (long long)l.f,
            macs, x->macs, sqrt(l.left / l.all));
  for (size_t i = 0; i < x->uses.n; i++) use_swap(&l, &x->uses.at[i]);
  steps_redirect(x->c->m, x->s, x->p, l.w);
  for (size_t i = 0; i < x->uses.n; i++)
    func_tidy(x->c->m, x->uses.at[i].f);
  return true;
}

bool student_slim(PassCtx *c, const RecipeStep *s, const StudentArgs *a) {
  return swap_each(c, s, a, weight_slim);
}
