/* graphgen_window.c - random convolutions, linear layers and pools, with
 * what often follows them in nets. */
#include <math.h>
#include <string.h>

#include "tests/gen/graphgen.h"

typedef struct WindowDraw {
  int64_t k[2], stride[2], dil[2], pad[4], out[2];
} WindowDraw;

static int64_t draw_kernel(GraphGen *g) {
  static const int64_t sizes[] = {1, 1, 2, 3, 3, 3, 4, 5, 7};
  return sizes[gen_below(g, 9)];
}

/* Outputs along one axis (0 height, 1 width) over `size` elements. */
static bool draw_axis(WindowDraw *w, int axis, int64_t size) {
  int64_t reach = (w->k[axis] - 1) * w->dil[axis];
  int64_t before = w->pad[axis], after = w->pad[2 + axis];
  int64_t room = size + before + after - reach - 1;
  if (room < 0) return false;
  w->out[axis] = room / w->stride[axis] + 1;
  return true;
}

/* A window for planes of h x w.  A pool's pads stay below its kernel, so
 * that every window holds an element. */
static bool draw_window(GraphGen *g, WindowDraw *w, int64_t h, int64_t width,
                        bool pool) {
  bool square = gen_chance(g, 70), same = gen_chance(g, 45);
  for (int i = 0; i < 2; i++) {
    w->k[i] = i && square ? w->k[0] : draw_kernel(g);
    w->stride[i] = i && square          ? w->stride[0]
                   : gen_chance(g, 60) ? 1
                                       : gen_range(g, 2, 3);
    w->dil[i] = pool || gen_chance(g, 80) ? 1 : gen_range(g, 2, 3);
    int64_t reach = (w->k[i] - 1) * w->dil[i];
    for (int side = 0; side < 2; side++) {
      int64_t most = pool               ? w->k[i] - 1
                     : gen_chance(g, 3) ? 3 * reach + 9
                                        : reach + gen_chance(g, 8);
      w->pad[2 * side + i] =
          same ? reach / 2 : gen_chance(g, 40) ? gen_range(g, 0, most) : 0;
    }
  }
  return draw_axis(w, 0, h) && draw_axis(w, 1, width);
}

static void print_pair(Text *t, const char *name, const int64_t v[2],
                       bool always) {
  if (always || v[0] != 1 || v[1] != 1) {
    text_printf(t, ", %s=[", name);
    gen_dims(t, 2, v);
    text_puts(t, "]");
  }
}

static void print_pad(GraphGen *g, Text *t, const int64_t pad[4]) {
  if (pad[0] || pad[1] || pad[2] || pad[3] || gen_chance(g, 20)) {
    text_puts(t, ", pad=[");
    gen_dims(t, 4, pad);
    text_puts(t, "]");
  }
}

/* ---- operands that conv2d and linear share -------------------------- */

/* A weight: a param, one under a mask, or what the caller gives; the bound
 * of its elements over that of a param. */
double gen_weight(GraphGen *g, Text *t, int rank, const int64_t *dim) {
  char w[16], m[16];
  int64_t cols = gen_elems(rank, dim) / dim[0];
  if (gen_chance(g, 5)) {
    text_puts(t, gen_use(g, gen_input(g, F32, rank, dim)));
    return g->ints ? 1.5 : 2 / sqrt(3 / (double)cols);
  }
  gen_param(g, w, "f32", 'w', rank, dim);
  if (gen_chance(g, 8)) {
    gen_param(g, m, "b1", 'k', rank, dim);
    text_printf(t, "mask(%s, %s)", w, m);
  } else {
    text_puts(t, w);
  }
  return 1;
}

/* Activation given as an attribute, as dumps have it; 0 gain: the bound is
 * `add`. */
typedef struct ActForm {
  const char *attrs;
  bool ints;
  double gain, add;
} ActForm;

static const ActForm acts[] = {
    {", act=\"relu\"", true, 1, 0},
    {", act=\"relu6\"", true, 0, 6},
    {", act=\"clip\", lo=-2.0, hi=5.0", true, 0, 5},
    {", act=\"leaky_relu\", lo=0.125", false, 1, 0},
    {", act=\"hardswish\"", false, 1, 0},
    {", act=\"silu\"", false, 1, 0},
    {", act=\"gelu\"", false, 1, 0},
    {", act=\"tanh\"", false, 0, 1},
    {", act=\"sigmoid\"", false, 0, 1},
};

static int same_shape(GraphGen *g, int rank, const int64_t *dim) {
  for (int i = g->nvalues - 1; i >= 0; i--) {
    const GenValue *v = &g->value[i];
    if (v->elem != F32 || v->rank != rank) continue;
    if (rank && gen_chance(g, 20)) continue;
    if (memcmp(v->dim, dim, (size_t)rank * sizeof *dim) == 0) return i;
  }
  return -1;
}

/* ", b=p3_b, r=v2, act=..." and the bound that comes of it. */
static double draw_epilogue(GraphGen *g, Text *t, int64_t channels, int rank,
                            const int64_t *dim, double bound) {
  if (gen_chance(g, 60)) {
    char b[16];
    gen_param(g, b, "f32", 'b', 1, &channels);
    text_printf(t, ", b=%s", b);
    bound += 2;
  }
  if (!gen_chance(g, 25)) return bound;
  int r = gen_chance(g, 50) ? same_shape(g, rank, dim) : -1;
  bool last = r >= 0 && gen_chance(g, 50);
  double extra = r >= 0 ? g->value[r].bound : 0;
  if (r >= 0) text_printf(t, ", r=%s", gen_use(g, r));
  if (!last) bound += extra;
  const ActForm *a = &acts[gen_below(g, sizeof acts / sizeof *acts)];
  if (gen_chance(g, 80) && (a->ints || !g->ints)) {
    text_puts(t, a->attrs);
    bound = a->gain * bound + a->add;
  }
  if (last) text_puts(t, ", add_last=true");
  return last ? bound + extra : bound;
}

/* Affine, activation, residual: what fusion looks for.  The ops are written
 * on the newest value, whose channels lie along `axis`. */
void gen_follow(GraphGen *g, int v, int axis) {
  GenValue x = g->value[v];
  double b = x.bound;
  if (gen_chance(g, 35) && gen_fits(g, 3 * b + 4)) {
    char p[4][16];
    bool bn = !g->ints && gen_chance(g, 50);
    static const char roles[] = {'g', 'b', 'm', 'v'};
    for (int i = 0; i < (bn && x.rank > 1 && axis == 1 ? 4 : 2); i++)
      gen_param(g, p[i], "f32", bn ? roles[i] : i ? 'b' : 's', 1,
                &x.dim[axis]);
    if (bn && axis == 1)
      v = gen_value(g, x.rank, x.dim, b = 3 * b + 4,
                    "batch_norm(%s, %s, %s, %s, %s)", gen_use(g, v), p[0],
                    p[1], p[2], p[3]);
    else
      v = gen_value(g, x.rank, x.dim, b = 2 * b + 2,
                    "scale_shift(%s, %s, %s, axis=%d)", gen_use(g, v), p[0],
                    p[1], axis);
  }
  static const char *const act[] = {"relu", "relu6", "silu", "hardswish",
                                    "gelu"};
  int64_t a = gen_below(g, g->ints ? 2 : 5);
  bool act_first = gen_chance(g, 50), add = gen_chance(g, 35);
  for (int i = 0; i < 2; i++) {
    if ((i == 0) == act_first && gen_chance(g, 60))
      v = gen_value(g, x.rank, x.dim, b = a == 1 ? 6 : b, "%s(%s)", act[a],
                    gen_use(g, v));
    int r = same_shape(g, x.rank, x.dim);
    if ((i == 0) != act_first && add && r >= 0 && r != v &&
        gen_fits(g, b + g->value[r].bound)) {
      b += g->value[r].bound;
      const char *other = gen_use(g, r);
      v = gen_value(g, x.rank, x.dim, b, "%s + %s", gen_use(g, v), other);
    }
  }
}

static bool room_for_more(const GraphGen *g) {
  return g->nvalues + 6 < GEN_MAX_VALUES;
}

/* ---- conv2d --------------------------------------------------------- */

static int64_t draw_groups(GraphGen *g, int64_t c, bool *depthwise) {
  *depthwise = c > 1 && gen_chance(g, 25);
  if (*depthwise) return c;
  if (!gen_chance(g, 15)) return 1;
  int64_t n = gen_range(g, 1, c);
  while (c % n) n--;
  return n;
}

/* A pad op of zeros in front, which fusion takes into the window. */
static int pad_before(GraphGen *g, int x) {
  GenValue v = g->value[x];
  int64_t n[4];
  for (int i = 0; i < 4; i++) n[i] = gen_range(g, 0, 2);
  int64_t dim[4] = {v.dim[0], v.dim[1], v.dim[2] + n[0] + n[2],
                    v.dim[3] + n[1] + n[3]};
  if (gen_elems(4, dim) > g->max_elems) return x;
  return gen_value(g, 4, dim, v.bound,
                   "pad(%s, before=[0,0,%d,%d], after=[0,0,%d,%d])",
                   gen_use(g, x), (int)n[0], (int)n[1], (int)n[2],
                   (int)n[3]);
}

/* Another convolution with the same weight, which no fold may spoil; t has
 * the operands behind x. */
static void twin(GraphGen *g, int x, const Text *t, const int64_t *dim,
                 double bound) {
  GenValue v = g->value[x];
  int other = same_shape(g, 4, v.dim);
  if (other < 0 || g->value[other].bound > v.bound) other = x;
  gen_value(g, 4, dim, bound, "conv2d(%s, %s)", gen_use(g, other), t->s);
}

static bool conv_of(GraphGen *g, int x) {
  GenValue v = g->value[x];
  WindowDraw w;
  bool depthwise;
  int64_t groups = draw_groups(g, v.dim[1], &depthwise);
  int64_t per = depthwise ? (gen_chance(g, 85) ? 1 : 2)
                          : gen_size(g, groups > 1 ? 5 : 33);
  if (!draw_window(g, &w, v.dim[2], v.dim[3], false)) return false;
  int64_t wd[4] = {groups * per, v.dim[1] / groups, w.k[0], w.k[1]};
  int64_t dim[4] = {v.dim[0], wd[0], w.out[0], w.out[1]};
  int64_t k = wd[1] * wd[2] * wd[3];
  double bound = 2 * v.bound * (double)k;
  if (!g->ints) bound = v.bound * sqrt(3.0 * (double)k);
  if (gen_elems(4, dim) > g->max_elems ||
      gen_elems(4, dim) * k > g->max_macs || !gen_fits(g, 4 * bound + 16))
    return false;
  Text t = {0};
  bound *= gen_weight(g, &t, 4, wd);
  print_pair(&t, "stride", w.stride, gen_chance(g, 20));
  print_pair(&t, "dilation", w.dil, false);
  print_pad(g, &t, w.pad);
  if (groups > 1) text_printf(&t, ", groups=%d", (int)groups);
  Text plain = {0};
  text_puts(&plain, t.s);
  double before = bound;
  bound = draw_epilogue(g, &t, wd[0], 4, dim, bound);
  bool ok = gen_fits(g, bound);
  int y = ok ? gen_value(g, 4, dim, bound, "conv2d(%s, %s)", gen_use(g, x),
                         t.s) : 0;
  if (ok) gen_follow(g, y, 1);
  if (ok && gen_chance(g, 6)) twin(g, x, &plain, dim, before);
  text_free(&t);
  text_free(&plain);
  return ok;
}

bool gen_conv(GraphGen *g) {
  int x = gen_pick(g, 4, 4);
  if (x < 0 || !room_for_more(g)) return false;
  if (gen_chance(g, 10)) x = pad_before(g, x);
  return conv_of(g, x);
}

void gen_chain(GraphGen *g) {
  int want = (int)gen_range(g, 2, 5);
  for (int tries = 0; want && tries < 50 && room_for_more(g); tries++)
    want -= conv_of(g, g->nvalues - 1);
}

/* Strides up to more than the kernel, so that some results have no tap. */
bool gen_transpose(GraphGen *g) {
  int x = gen_pick(g, 4, 4);
  if (x < 0 || !room_for_more(g)) return false;
  GenValue v = g->value[x];
  WindowDraw w;
  bool depthwise;
  int64_t groups = draw_groups(g, v.dim[1], &depthwise), more[2];
  int64_t wd[4] = {v.dim[1], gen_size(g, groups > 1 ? 3 : 17)};
  int64_t dim[4] = {v.dim[0], groups * wd[1]};
  for (int i = 0; i < 2; i++) {
    wd[2 + i] = w.k[i] = draw_kernel(g);
    w.stride[i] = gen_chance(g, 60) ? 2 : gen_range(g, 1, 4);
    if (gen_chance(g, 2)) w.stride[i] = gen_range(g, 16, 19);
    w.dil[i] = gen_chance(g, 80) ? 1 : gen_range(g, 2, 3);
    more[i] = gen_chance(g, 20) ? gen_range(g, 1, 3) : 0;
    int64_t full = (v.dim[2 + i] - 1) * w.stride[i] +
                   (w.k[i] - 1) * w.dil[i] + 1 + more[i];
    for (int side = 0; side < 2; side++)
      w.pad[2 * side + i] =
          gen_chance(g, 50) ? gen_range(g, 0, (w.k[i] - 1) * w.dil[i]) : 0;
    dim[2 + i] = full - w.pad[i] - w.pad[2 + i];
    if (dim[2 + i] < 1) return false;
  }
  int64_t k = v.dim[1] / groups * w.k[0] * w.k[1];
  double bound = 2 * v.bound * (double)k;
  if (gen_elems(4, dim) > g->max_elems ||
      gen_elems(4, dim) * k > g->max_macs || !gen_fits(g, 4 * bound + 16))
    return false;
  Text t = {0};
  bound *= gen_weight(g, &t, 4, wd);
  print_pair(&t, "stride", w.stride, false);
  print_pair(&t, "dilation", w.dil, false);
  print_pad(g, &t, w.pad);
  if (more[0] || more[1]) print_pair(&t, "out_pad", more, true);
  if (groups > 1) text_printf(&t, ", groups=%d", (int)groups);
  bound = draw_epilogue(g, &t, dim[1], 4, dim, bound);
  bool ok = gen_fits(g, bound);
  int y = ok ? gen_value(g, 4, dim, bound, "conv2d_transpose(%s, %s)",
                         gen_use(g, x), t.s) : 0;
  if (ok) gen_follow(g, y, 1);
  text_free(&t);
  return ok;
}

/* ---- linear --------------------------------------------------------- */

bool gen_linear(GraphGen *g) {
  int x = gen_pick(g, -1, 1);
  if (x < 0 || !room_for_more(g)) return false;
  GenValue v = g->value[x], out = v;
  int64_t k = v.dim[v.rank - 1], m = gen_size(g, 48);
  int64_t wd[2] = {m, k};
  out.dim[out.rank - 1] = m;
  double bound = 2 * v.bound * (double)k;
  if (!g->ints) bound = v.bound * sqrt(3.0 * (double)k);
  int64_t elems = gen_elems(out.rank, out.dim);
  if (elems > g->max_elems || elems * k > g->max_macs ||
      !gen_fits(g, 4 * bound + 16))
    return false;
  Text t = {0};
  bound *= gen_weight(g, &t, 2, wd);
  bound = draw_epilogue(g, &t, m, out.rank, out.dim, bound);
  bool ok = gen_fits(g, bound);
  int y = ok ? gen_value(g, out.rank, out.dim, bound, "linear(%s, %s)",
                         gen_use(g, x), t.s) : 0;
  text_free(&t);
  if (ok) gen_follow(g, y, out.rank == 4 ? 1 : out.rank - 1);
  return ok;
}

/* ---- layers of the prelude ----------------------------------------- */

/* x |> conv(...) as l3 |> bn as n3 |> relu, or a linear layer. */
bool gen_layers(GraphGen *g) {
  int x = gen_pick(g, gen_chance(g, 75) ? 4 : -1, 1), id = g->nvalues;
  if (x < 0 || !room_for_more(g)) return false;
  GenValue v = g->value[x], out = v;
  bool image = v.rank == 4, deep = image && gen_chance(g, 30);
  int64_t k = image && gen_chance(g, 60) ? 3 : 1, s = gen_range(g, 1, 2);
  int64_t c = deep ? v.dim[1] : gen_size(g, 24), products;
  if (image) {
    out.dim[1] = c;
    products = deep ? k * k : v.dim[1] * k * k;
    for (int i = 2; i < 4; i++) out.dim[i] = (v.dim[i] - 1) / s + 1;
  } else {
    out.dim[v.rank - 1] = c;
    products = v.dim[v.rank - 1];
  }
  double bound = 2 * v.bound * (double)products + 2;
  if (!g->ints) bound = v.bound * sqrt(3.0 * (double)products) + 2;
  int64_t elems = gen_elems(out.rank, out.dim);
  if (elems > g->max_elems || elems * products > g->max_macs ||
      !gen_fits(g, 4 * bound + 16))
    return false;
  Text t = {0};
  const char *bias = gen_chance(g, 50) ? ", bias=true" : "";
  if (deep)
    text_printf(&t, "depthwise(k=%d, s=%d%s)", (int)k, (int)s, bias);
  else if (image)
    text_printf(&t, "conv(%d, k=%d, s=%d, pad=%d%s)", (int)c, (int)k, (int)s,
                (int)(k / 2), bias);
  else
    text_printf(&t, "linear(%d%s)", (int)c, *bias ? "" : ", bias=false");
  text_printf(&t, " as l%d", id);
  if (!g->ints && out.rank > 1 && gen_chance(g, 50)) {
    text_printf(&t, " |> bn as n%d", id);
    bound = 2.5 * bound + 4;
  }
  if (gen_chance(g, 60))
    text_puts(&t, gen_chance(g, 50) ? " |> relu" : " |> relu6");
  gen_value(g, out.rank, out.dim, bound, "%s |> %s", gen_use(g, x), t.s);
  text_free(&t);
  return true;
}

/* ---- pools ---------------------------------------------------------- */

/* The whole map as one window. */
static void whole_map(WindowDraw *w, const GenValue *v) {
  *w = (WindowDraw){.k = {v->dim[2], v->dim[3]}, .stride = {1, 1},
                    .out = {1, 1}};
}

bool gen_pool(GraphGen *g) {
  int x = gen_pick(g, 4, 4);
  if (x < 0) return false;
  GenValue v = g->value[x];
  WindowDraw w;
  if (gen_chance(g, 12)) whole_map(&w, &v);
  else if (!draw_window(g, &w, v.dim[2], v.dim[3], true)) return false;
  bool max = g->ints || gen_chance(g, 50);
  int64_t dim[4] = {v.dim[0], v.dim[1], w.out[0], w.out[1]};
  Text t = {0};
  print_pair(&t, "k", w.k, true);
  print_pair(&t, "stride", w.stride, false);
  print_pad(g, &t, w.pad);
  if (!max && gen_chance(g, 50)) text_puts(&t, ", count_pad=true");
  bool ok = gen_elems(4, dim) <= g->max_elems;
  if (ok)
    gen_value(g, 4, dim, v.bound, "%s_pool(%s%s)", max ? "max" : "avg",
              gen_use(g, x), t.s);
  text_free(&t);
  return ok;
}
