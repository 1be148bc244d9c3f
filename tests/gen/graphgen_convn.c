/* graphgen_convn.c - random convolutions over one axis and over three,
 * transposed ones, and gradients by weights of all. */
#include <math.h>

#include "tests/gen/graphgen.h"

/* Per axis; out: sizes of the result. */
typedef struct Draw {
  int n;
  int64_t k[3], stride[3], dil[3], pad[6], more[3], out[3], groups;
} Draw;

static int64_t draw_groups(GraphGen *g, int64_t c) {
  if (gen_chance(g, 70)) return 1;
  int64_t n = gen_range(g, 1, c);
  while (c % n) n--;
  return n;
}

/* Kernels of 1 to 5, or to 3 where there are three axes. */
static void draw_axis(GraphGen *g, Draw *d, int i) {
  d->k[i] = gen_range(g, 1, d->n > 1 ? 3 : 5);
  d->stride[i] = gen_chance(g, 60) ? 1 : gen_range(g, 2, 3);
  d->dil[i] = gen_chance(g, 75) ? 1 : gen_range(g, 2, 3);
  for (int side = 0; side < 2; side++)
    d->pad[side * d->n + i] =
        gen_chance(g, 50) ? gen_range(g, 0, (d->k[i] - 1) * d->dil[i] + 1) : 0;
}

static bool draw_conv(GraphGen *g, Draw *d, const GenValue *x) {
  d->n = x->rank - 2;
  d->groups = draw_groups(g, x->dim[1]);
  for (int i = 0; i < d->n; i++) {
    draw_axis(g, d, i);
    int64_t room = x->dim[2 + i] + d->pad[i] + d->pad[d->n + i] -
                   (d->k[i] - 1) * d->dil[i] - 1;
    if (room < 0) return false;
    d->out[i] = room / d->stride[i] + 1;
  }
  return true;
}

/* Now and then with a stride that has more phases than the kernel. */
static bool draw_spread(GraphGen *g, Draw *d, const GenValue *x) {
  d->n = x->rank - 2;
  d->groups = draw_groups(g, x->dim[1]);
  for (int i = 0; i < d->n; i++) {
    draw_axis(g, d, i);
    if (gen_chance(g, 4)) d->stride[i] = gen_range(g, 16, 19);
    d->more[i] = gen_chance(g, 25) ? gen_range(g, 1, 3) : 0;
    d->out[i] = (x->dim[2 + i] - 1) * d->stride[i] +
                (d->k[i] - 1) * d->dil[i] + 1 + d->more[i] - d->pad[i] -
                d->pad[d->n + i];
    if (d->out[i] < 1) return false;
  }
  return true;
}

/* ", name=[...]" unless all are `none`. */
static void print_list(Text *t, const char *name, int n, const int64_t *v,
                       int64_t none) {
  bool plain = true;
  for (int i = 0; i < n; i++) plain = plain && v[i] == none;
  if (plain) return;
  text_printf(t, ", %s=[", name);
  gen_dims(t, n, v);
  text_puts(t, "]");
}

static void print_draw(Text *t, const Draw *d) {
  print_list(t, "stride", d->n, d->stride, 1);
  print_list(t, "pad", 2 * d->n, d->pad, 0);
  print_list(t, "out_pad", d->n, d->more, 0);
  print_list(t, "dilation", d->n, d->dil, 1);
  if (d->groups > 1) text_printf(t, ", groups=%d", (int)d->groups);
}

static int64_t product(int n, const int64_t *v) { return gen_elems(n, v); }

/* A gradient of the convolution drawn, from dy. */
static void gradient(GraphGen *g, const Draw *d, int x, int dy) {
  GenValue v = g->value[x], y = g->value[dy];
  int64_t dim[5] = {y.dim[1], v.dim[1] / d->groups};
  for (int i = 0; i < d->n; i++) dim[2 + i] = d->k[i];
  int64_t sums = v.dim[0] * product(d->n, d->out);
  double bound = v.bound * y.bound * (double)sums;
  int64_t elems = product(d->n + 2, dim);
  if (elems > g->max_elems || elems * sums > g->max_macs ||
      !gen_fits(g, bound))
    return;
  Text t = {0};
  text_puts(&t, "");
  print_list(&t, "k", d->n, d->k, -1);
  print_draw(&t, d);
  gen_value(g, d->n + 2, dim, bound, "conv%dd_weight_grad(%s, %s%s)", d->n,
            gen_use(g, x), gen_use(g, dy), t.s);
  text_free(&t);
}

/* x by a weight of shape wd to dim; -1: too large. */
static int convolve(GraphGen *g, const Draw *d, int x, const int64_t *wd,
                    const int64_t *dim, const char *op) {
  GenValue v = g->value[x];
  int64_t k = v.dim[1] / d->groups * product(d->n, d->k);
  double bound = 2 * v.bound * (double)k;
  if (gen_elems(d->n + 2, dim) > g->max_elems ||
      gen_elems(d->n + 2, dim) * k > g->max_macs ||
      !gen_fits(g, 4 * bound + 16))
    return -1;
  Text t = {0};
  bound *= gen_weight(g, &t, d->n + 2, wd);
  print_draw(&t, d);
  if (gen_chance(g, 50)) {
    char b[16];
    gen_param(g, b, "f32", 'b', 1, &dim[1]);
    text_printf(&t, ", b=%s", b);
    bound += 2;
  }
  int y = gen_fits(g, bound)
              ? gen_value(g, d->n + 2, dim, bound, "conv%dd%s(%s, %s)", d->n,
                          op, gen_use(g, x), t.s)
              : -1;
  text_free(&t);
  return y;
}

/* A value of rank 3 or 5, of rank 4 too where `all`; a new input when there
 * is none. */
static int pick_map(GraphGen *g, bool all) {
  int rank = gen_chance(g, 50) ? 3 : all && gen_chance(g, 40) ? 4 : 5;
  int x = gen_pick(g, rank, rank);
  if (x >= 0) return x;
  int64_t dim[5] = {gen_range(g, 1, 2), gen_size(g, 8)};
  for (int i = 2; i < rank; i++) dim[i] = gen_size(g, rank == 3 ? 40 : 7);
  if (gen_elems(rank, dim) > g->max_elems / 2) return -1;
  return gen_input(g, F32, rank, dim);
}

bool gen_convn(GraphGen *g) {
  if (g->nvalues + 9 >= GEN_MAX_VALUES) return false;
  bool grad = gen_chance(g, 35);
  int x = pick_map(g, grad), y = -1;
  if (x < 0) return false;
  GenValue v = g->value[x];
  Draw d = {0};
  if (!draw_conv(g, &d, &v)) return false;
  int64_t per = gen_size(g, d.groups > 1 ? 4 : 12);
  int64_t wd[5] = {d.groups * per, v.dim[1] / d.groups};
  int64_t dim[5] = {v.dim[0], wd[0]};
  for (int i = 0; i < d.n; i++) wd[2 + i] = d.k[i], dim[2 + i] = d.out[i];
  if (gen_elems(d.n + 2, dim) > g->max_elems) return false;
  if (!grad || gen_chance(g, 50)) {
    y = convolve(g, &d, x, wd, dim, "");
    if (y >= 0 && !grad) gen_follow(g, y, 1);
  } else {
    y = gen_input(g, F32, d.n + 2, dim);
  }
  if (y >= 0 && grad) gradient(g, &d, x, y);
  return y >= 0;
}

bool gen_convn_transpose(GraphGen *g) {
  if (g->nvalues + 9 >= GEN_MAX_VALUES) return false;
  int x = pick_map(g, false);
  if (x < 0) return false;
  GenValue v = g->value[x];
  Draw d = {0};
  if (!draw_spread(g, &d, &v)) return false;
  int64_t wd[5] = {v.dim[1], gen_size(g, d.groups > 1 ? 3 : 9)};
  int64_t dim[5] = {v.dim[0], d.groups * wd[1]};
  for (int i = 0; i < d.n; i++) wd[2 + i] = d.k[i], dim[2 + i] = d.out[i];
  int y = convolve(g, &d, x, wd, dim, "_transpose");
  if (y >= 0) gen_follow(g, y, 1);
  return y >= 0;
}
