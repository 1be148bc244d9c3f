/* separable.c - a convolution becomes a depthwise one and a pointwise one:
 * method depthwise_separable of the recipe's verb `student`.
 *
 * requires   weights with values, as check_student asks
 * preserves  the layers' results, to what is lost of each input channel's
 *            filters, [O/groups, taps], by the best rank 1
 * before     y = conv2d(x, c.weight, b=c.bias, pad=[1,1,1,1]) as c;
 * after      t = conv2d(x, c.depthwise.weight, pad=[1,1,1,1], groups=16)
 *                as c.depthwise;
 *            y = conv2d(t, c.pointwise.weight, b=c.bias) as c.pointwise;
 * source     the layers: MobileNet (Howard et al., 2017); the values: Eckart
 *            and Young, 1936 */
#include <math.h>
#include <string.h>

#include "passes/student.h"

static double separable_macs(const Swap *x) {
  const int64_t *d = x->p->type.dim;
  double each = (double)(x->groups * d[1] * x->taps) +
                (double)d[0] * (double)d[1], sum = 0;
  for (size_t i = 0; i < x->uses.n; i++)
    sum += (double)type_elems(&x->uses.at[i].n->type) / (double)d[0] * each;
  return sum;
}

/* ---- the two weights ------------------------------------------------- */

/* Room for the filters of one input channel and what they come apart in. */
typedef struct Filters {
  int64_t rows, full;    /* O/groups; the greatest rank */
  double *a, *u, *s, *vt;
} Filters;

static Filters filters_new(const Swap *x) {
  Filters f = {.rows = x->p->type.dim[0] / x->groups};
  f.full = f.rows < x->taps ? f.rows : x->taps;
  size_t rows = (size_t)f.rows, full = (size_t)f.full, n = (size_t)x->taps;
  f.a = arena_array(x->arena, double, checked_mul(rows, n));
  f.u = arena_array(x->arena, double, checked_mul(rows, full));
  f.s = arena_array(x->arena, double, full);
  f.vt = arena_array(x->arena, double, checked_mul(full, n));
  return f;
}

/* Those of channel i of group g, as [rows][taps]. */
static bool filters_split(const Swap *x, Filters *f, int64_t g, int64_t i) {
  const float *w = param_values(x->c->m, x->p);
  for (int64_t o = 0; o < f->rows; o++)
    for (int64_t k = 0; k < x->taps; k++)
      f->a[o * x->taps + k] =
        w[((g * f->rows + o) * x->p->type.dim[1] + i) * x->taps + k];
  return svd(f->a, f->rows, x->taps, f->u, f->s, f->vt) ||
         diag_error(x->c->d, EXIT_MODEL, x->s->span, "student: %s: no "
                    "singular values were found", x->p->path);
}

/* Fill both; `lost` is the relative error. */
static bool values_fill(const Swap *x, Param *const *to, double *lost) {
  float *depth = swap_values(to[0]), *point = swap_values(to[1]);
  int64_t inputs = x->p->type.dim[1];
  Filters f = filters_new(x);
  double all = 0, left = 0;
  for (int64_t c = 0; c < x->groups * inputs; c++) {
    int64_t g = c / inputs, i = c % inputs;
    if (!filters_split(x, &f, g, i)) return false;
    double root = sqrt(f.s[0]);
    for (int64_t k = 0; k < x->taps; k++)
      depth[c * x->taps + k] = (float)(f.vt[k] * root);
    for (int64_t o = 0; o < f.rows; o++)
      point[(g * f.rows + o) * inputs + i] =
        (float)(f.u[o * f.full] * root);
    for (int64_t r = f.full - 1; r > 0; r--) left += f.s[r] * f.s[r];
    all += f.s[0] * f.s[0];
  }
  *lost = sqrt(left / (all + left));
  return true;
}

static bool weights_make(const Swap *x, Param **to, double *lost) {
  const char *const *part = verb_parts(x->s);
  const Type *t = &x->p->type;
  int64_t d[MAX_RANK];
  memcpy(d, t->dim, sizeof d);
  d[0] = x->groups * t->dim[1];
  d[1] = 1;
  to[0] = swap_part(x, part[0], t->rank, d);
  for (int i = 2; i < t->rank; i++) d[i] = 1;
  d[0] = t->dim[0];
  d[1] = t->dim[1];
  to[1] = swap_part(x, part[1], t->rank, d);
  return values_fill(x, to, lost);
}

/* ---- the two layers -------------------------------------------------- */

static void use_swap(const Swap *x, const LayerUse *use, Param *const *to) {
  static const char *const window[] = {"stride", "pad", "dilation"};
  const char *const *part = verb_parts(x->s);
  Module *m = x->c->m;
  Node *n = use->n;
  Node *in[] = {n->in[0], func_param(m, use->f, to[0])};
  Node *second = func_param(m, use->f, to[1]);
  Node *first = func_insert(m, use->f, n, n->op, in, 2);
  for (int i = 0; i < 3; i++) {
    attr_take(first, n, window[i]);
    attr_reset(n, window[i]);
  }
  attr_set_int(first, "groups", to[0]->type.dim[0]);
  node_inherit(m, first, n);
  first->path = swap_path(x, n, part[0]);
  n->path = swap_path(x, n, part[1]);
  node_retype(x->c, first);
  node_set_in(m, n, 0, first);
  node_set_in(m, n, 1, second);
  node_retype(x->c, n);
}

static bool weight_separable(Swap *x) {
  if (x->p->type.dim[1] == 1) return swap_leave(x, "it is depthwise");
  double macs = separable_macs(x), lost;
  if (!swap_pays(x, macs)) return true;
  int64_t rows = x->p->type.dim[0] / x->groups;
  if (rows > SVD_MOST && x->taps > SVD_MOST)
    return swap_leave(x, "it is too large");
  Param *to[2];
  if (!weights_make(x, to, &lost)) return false;
  verb_note(x->c, x->s, x->p->path, "depthwise separable, %.0f of %.0f "
            "multiply-accumulates, relative error %.4g", macs, x->macs,
            lost);
  for (size_t i = 0; i < x->uses.n; i++) use_swap(x, &x->uses.at[i], to);
  steps_redirect(x->c->m, x->s, x->p, to);
  for (size_t i = 0; i < x->uses.n; i++)
    func_tidy(x->c->m, x->uses.at[i].f);
  return true;
}

bool student_separable(PassCtx *c, const RecipeStep *s,
                       const StudentArgs *a) {
  return swap_each(c, s, a, weight_separable);
}
