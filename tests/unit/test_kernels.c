/* test_kernels.c - each convolution and linear kernel against plain loops in
 * double, on random shapes, strides, pads, dilations, groups, densities,
 * layouts and tiles: |y - r| <= (8 + 2 sqrt k) eps sum|a||b|, and equal bit
 * for bit on small integers.  Values end at guard pages, what lies between
 * them and their halo is NaN; halos are checked to be zero afterwards.
 * Some are in parts, as for threads; some weights are stored in 16 bits.
 * TAMIS_QUICK=1 runs a third of the cases, and a build with ASan a third of
 * these, KERNEL_CASES=N runs N a kernel and CPU, KERNEL_SEED=I only case I,
 * KERNEL_VERBOSE=1 names each before it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/run/kernel_jit.h"
#include "tests/unit/kernel_case.h"

/* ---- convolution ----------------------------------------------------- */

typedef struct Shape {
  int64_t n, c, h, w, o, kh, kw, groups;
  int64_t stride[2], pad[4], dil[2];
} Shape;

static int64_t out_size(const Shape *s, int axis) {
  int64_t in = axis ? s->w : s->h, k = axis ? s->kw : s->kh;
  int64_t span = in + s->pad[axis] + s->pad[axis + 2] -
                 (k - 1) * s->dil[axis] - 1;
  return span < 0 ? 0 : span / s->stride[axis] + 1;
}

static int64_t size_pick(void) {
  static const int64_t often[] = { 1, 2, 7, 8, 14, 15, 16, 17, 28, 31, 33 };
  return chance(60) ? often[pick(0, 10)] : pick(1, 40);
}

/* What a net's depthwise layers are like: square maps and kernels, padded,
 * of which some fill a vector and some share one. */
static void depth_pick(Shape *s) {
  static const int64_t size[] = { 7, 7, 14, 14, 28, 4, 15, 16, 56, 31 };
  int64_t k = chance(60) ? 3 : pick(2, 5), stride = pick(1, 2);
  s->h = chance(60) ? size[pick(0, 9)] : pick(1, 36);
  s->w = chance(80) ? s->h : pick(1, 70);
  s->kh = s->kw = k;
  for (int i = 0; i < 2; i++) {
    s->stride[i] = chance(90) ? stride : pick(1, 2);
    s->dil[i] = chance(85) ? 1 : 2;
    s->pad[i] = s->pad[i + 2] = (k - 1) * s->dil[i] / 2;
  }
  s->c = pick(1, 5);
}

static void shape_pick(Shape *s, const char *kernel) {
  static const int64_t k[] = { 1, 1, 1, 3, 3, 5, 2, 4, 7 };
  do {
    s->n = chance(80) ? 1 : 2;
    s->h = size_pick(), s->w = size_pick();
    s->kh = k[pick(0, 8)], s->kw = chance(80) ? s->kh : k[pick(0, 8)];
    bool one = chance(60);
    for (int i = 0; i < 2; i++) {
      s->stride[i] = one ? 1 : pick(1, 3);
      s->dil[i] = chance(80) ? 1 : pick(1, 3);
    }
    for (int i = 0; i < 4; i++)
      s->pad[i] = chance(50) ? (i % 2 ? s->kw : s->kh) / 2 : pick(0, 2);
    s->groups = 1;
    s->c = chance(70) ? pick(1, 9) : pick(1, 70);
    s->o = chance(70) ? pick(1, 9) : pick(1, 70);
    bool depth = strcmp(kernel, "conv2d_depthwise") == 0;
    if (depth && chance(60)) depth_pick(s);
    if (depth)
      s->o = s->groups = s->c;
    else if (chance(20))
      s->groups = pick(1, 3), s->c *= s->groups, s->o *= s->groups;
  } while (out_size(s, 0) < 1 || out_size(s, 1) < 1);
}

static void halo_need(const Shape *s, int64_t oh, int64_t ow,
                      int32_t out[4]) {
  int64_t size[2] = { s->h, s->w }, k[2] = { s->kh, s->kw };
  int64_t o[2] = { oh, ow };
  for (int i = 0; i < 2; i++) {
    int64_t over = (o[i] - 1) * s->stride[i] + (k[i] - 1) * s->dil[i] -
                   s->pad[i] - (size[i] - 1);
    out[2 * i] = (int32_t)s->pad[i];
    out[2 * i + 1] = (int32_t)(over > 0 ? over : 0);
  }
}

static void widen_halo(int32_t h[4]) {
  for (int i = 0; i < 4; i++) h[i] += (int32_t)pick(0, 2);
}

/* Some rows of a larger map, with others above where the halo needs none, and
 * below: how many there are above. */
static int64_t larger_map(Arena *a, Node *n, const Target *t,
                          const int32_t h[4]) {
  int64_t above = h[0] ? 0 : pick(0, 3), below = h[1] ? 0 : pick(0, 3);
  Type whole = n->type;
  whole.dim[2] += above + below;
  whole.layout = layout_planes(a, &whole, t->lanes, h);
  n->type.layout = layout_rows(a, &n->type, &whole, above, 1);
  return above;
}

/* Layouts: x with what is needed or more, or rows of a larger map; y and r
 * like x, wider, a slice, such rows, or in order. */
static void conv_layouts(Case *c, const Shape *s, const Target *t) {
  int32_t h[4], none[4] = { 0 };
  Arena *a = c->m->arena;
  halo_need(s, c->y->type.dim[2], c->y->type.dim[3], h);
  bool needs = h[0] || h[1] || h[2] || h[3];
  if (chance(20)) widen_halo(h);
  if (needs || chance(80))
    c->x->type.layout = layout_planes(a, &c->x->type, t->lanes, h);
  if (needs && chance(30)) larger_map(a, c->x, t, h);
  int how = (int)pick(0, 6);
  if (how == 1) widen_halo(h);
  if (how < 3)
    c->y->type.layout = layout_planes(a, &c->y->type, t->lanes,
                                      how == 2 ? none : h);
  if (how == 4) {
    const int64_t *d = c->y->type.dim, map = d[2] * d[3];
    int64_t image = (d[1] + 2) * map, stride[4] = { image, map, d[3], 1 };
    c->y->type.layout = layout_strided(a, &c->y->type, stride, map,
                                       d[0] * image, NULL);
    c->slice = true;
  }
  if (how > 4) {
    for (int i = 0; i < 2; i++) h[i] *= (int32_t)pick(0, 1);
    c->above = larger_map(a, c->y, t, how == 5 ? h : none);
  }
  if (!c->r) return;
  if (chance(70)) c->r->type.layout = c->y->type.layout;
  else if (chance(50))
    c->r->type.layout = layout_planes(a, &c->r->type, t->lanes, none);
  c->in_place = c->r->type.layout == c->y->type.layout && chance(50);
}

/* Rows above y were computed before. */
static void above_check(const Case *c) {
  const int64_t *d = c->y->type.dim;
  int64_t i[4];
  for (i[0] = 0; i[0] < d[0]; i[0]++)
    for (i[1] = 0; i[1] < d[1]; i[1]++)
      for (i[2] = -c->above; i[2] < 0; i[2]++)
        for (i[3] = 0; i[3] < d[3]; i[3]++)
          assert_true(isnan(*value_at(&c->vy, i)));
}

static void conv_check(Case *c, const Shape *s, const float *before) {
  Value was = c->vr;
  if (c->r) was.base = (float *)(uintptr_t)before;
  const float *w = param_values(c->m, c->w->param);
  const float *b = c->b ? param_values(c->m, c->b->param) : NULL;
  int64_t cg = s->c / s->groups, og = s->o / s->groups, i[4];
  for (int64_t k = 0; k < type_elems(&c->y->type); k++) {
    type_index(&c->y->type, k, i);
    Sum sum = { 0, 0 };
    for (int64_t q = 0; q < cg * s->kh * s->kw; q++) {
      int64_t ch = q / (s->kh * s->kw), ky = q / s->kw % s->kh;
      int64_t kx = q % s->kw;
      int64_t at[4] = { i[0], i[1] / og * cg + ch,
                        i[2] * s->stride[0] - s->pad[0] + ky * s->dil[0],
                        i[3] * s->stride[1] - s->pad[1] + kx * s->dil[1] };
      if (at[2] < 0 || at[2] >= s->h || at[3] < 0 || at[3] >= s->w) continue;
      sum_add(&sum, *value_at(&c->vx, at), w[i[1] * cg * s->kh * s->kw + q]);
    }
    case_compare(c, sum, b ? b[i[1]] : 0, c->r ? *value_at(&was, i) : 0,
            *value_at(&c->vy, i));
  }
  value_halo(&c->vy, true);
  above_check(c);
  const int64_t *d = c->y->type.dim, map = d[2] * d[3];
  for (int64_t k = 0; c->slice && !c->in_place && k < d[0] * map; k++) {
    /* The channels before and behind belong to somebody else. */
    const float *image = c->vy.base + k / map * (d[1] + 2) * map + k % map;
    assert_true(isnan(image[0]) && isnan(image[(d[1] + 1) * map]));
  }
}

static int density_pick(void) {
  static const int d[] = { 0, 5, 10, 30, 60, 100 };
  return d[pick(0, 5)];
}

/* A tile that fits the registers of every target. */
static void tile_pick(Node *n, const char *kernel, const Target *t) {
  int most = t->vregs >= 32 ? 28 : 12;
  const Sparse *s = n->in[1]->type.sparse;
  int h = s ? sparse_height(s) : 1;
  if (s && s->n) return;
  if (strstr(kernel, "pair")) {
    if (chance(80)) n->tile[0] = 2, n->tile[1] = (int)pick(1, PAIR_TILE_MOST);
    return;
  }
  while (h > 4 && chance(50)) h /= 2;
  while (h > most) h /= 2;
  int widest = s ? most / h : 4;
  n->tile[1] = (int)pick(1, widest > 16 ? 16 : widest);
  n->tile[0] = h * (int)pick(1, most / (h * n->tile[1]));
  if (strstr(kernel, "linear") && s && !n->type.layout)
    n->tile[0] = (int)pick(1, 6);
  if (chance(20)) n->tile[0] = n->tile[1] = 0;
}

/* Rows of a block of this kernel's weights. */
static int block_pick(const char *kernel) {
  static const int rows[] = { 2, 2, 4, 4, 3, 8, 8, 16, 16, 24 };
  return strstr(kernel, "bsr") ? rows[pick(0, 9)] : 1;
}

/* Pack 1 to 3 values of each run of 4, of those that are there. */
static void runs_keep(Case *c, Param *p) {
  int n = (int)pick(1, 3);
  float *v = (float *)(void *)p->data->data;
  for (int64_t i = 0; i < type_elems(&p->type); i += RUN_COLUMNS)
    for (int left = RUN_COLUMNS; left > n; left--) {
      int64_t k = pick(0, RUN_COLUMNS - 1);
      while (isnan(v[i + k])) k = (k + 1) % RUN_COLUMNS;
      v[i + k] = NAN;
    }
  for (int64_t i = 0; i < type_elems(&p->type); i++)
    if (isnan(v[i])) v[i] = 0;
  runs_pack(c->m, p, n);
}

/* Round the weight to what it is stored as. */
static void weight_narrow(Case *c, Node *w, Elem e) {
  Param *p = w->param;
  Buffer *b = p->type.sparse ? p->values : p->data;
  size_t n = b->size / sizeof(float);
  float *v = (float *)(void *)b->data;
  Buffer *words = buffer_new(n * 2);
  elems_narrow(e, v, n, words->data);
  elems_widen(e, words->data, n, v);
  buffer_unref(words);
  p->type.stored = e;
  param_retype(c->m, p);
}

/* The weight of a sparse kernel, with zeros in blocks or without order. */
static Node *weight_node(Case *c, Type t, int block) {
  bool sparse = strstr(c->kernel, "sr") || strstr(c->kernel, "code") ||
                strstr(c->kernel, "perm") || strstr(c->kernel, "pair");
  Node *w = param_node(c, "w", t, density_pick(), chance(70) ? block : 1);
  bool runs = strstr(c->kernel, "pair") && runs_fit(&t, 1) && chance(30);
  if (runs || strstr(c->kernel, "nm")) runs_keep(c, w->param);
  else if (sparse) sparse_pack(c->m, w->param, block, 1);
  if (chance(35) && !strstr(c->kernel, "code"))
    weight_narrow(c, w, chance(50) ? F16 : BF16);
  return w;
}

static void conv_case(const char *kernel, const Target *t) {
  Case c = { .m = module_new("m"), .kernel = kernel };
  Shape s = { 0 };
  Diags *d = diags_new();
  shape_pick(&s, kernel);
  int block = block_pick(kernel);
  while (s.o % block) s.o += s.groups;
  if (strstr(kernel, "pair")) s.groups = 1;
  c.whole = chance(40);
  c.f = func_new(c.m, "main");
  c.x = func_input(c.m, c.f, "x", type_make(F32, 4, (int64_t[]){
      s.n, s.c, s.h, s.w }));
  Type wt = type_make(F32, 4, (int64_t[]){ s.o, s.c / s.groups, s.kh,
                                           s.kw });
  c.w = weight_node(&c, wt, block);
  if (chance(70))
    c.b = param_node(&c, "b", type_make(F32, 1, &s.o), 100, 1);
  if (chance(30))
    c.r = func_input(c.m, c.f, "r", type_make(F32, 4, (int64_t[]){
        s.n, s.o, out_size(&s, 0), out_size(&s, 1) }));
  Node *in[] = { c.x, c.w, c.b, c.r };
  c.y = func_add(c.m, c.f, OP_CONV2D, in, 4);
  attr_set_ints(c.m, c.y, "stride", s.stride, 2);
  attr_set_ints(c.m, c.y, "pad", s.pad, 4);
  attr_set_ints(c.m, c.y, "dilation", s.dil, 2);
  attr_set_int(c.y, "groups", s.groups);
  assert_true(node_infer(c.m, c.y, d));
  epilogue_attrs(&c);
  func_output(c.m, c.f, "y", c.y);
  conv_layouts(&c, &s, t);
  tile_pick(c.y, kernel, t);
  c.k = s.c / s.groups * s.kh * s.kw;
  Space sp = space_new((size_t)1 << 26);
  value_place(&sp, c.x, &c.vx);
  value_fill(&c.vx, c.whole);
  if (c.r) value_place(&sp, c.r, &c.vr), value_fill(&c.vr, c.whole);
  if (c.in_place) c.y->type.at = c.r->type.at;
  else value_place(&sp, c.y, &c.vy);
  float *before = case_run(&c, &sp, t);
  conv_check(&c, &s, before);
  free(before);
  munmap(sp.at, sp.size);
  module_free(c.m);
  diags_free(d);
}

/* ---- linear ---------------------------------------------------------- */

static void linear_check(Case *c, const float *before) {
  Value was = c->vr;
  if (c->r) was.base = (float *)(uintptr_t)before;
  const float *w = param_values(c->m, c->w->param);
  const float *b = c->b ? param_values(c->m, c->b->param) : NULL;
  int64_t i[MAX_RANK], x[MAX_RANK];
  int last = c->y->type.rank - 1;
  for (int64_t k = 0; k < type_elems(&c->y->type); k++) {
    type_index(&c->y->type, k, i);
    memcpy(x, i, sizeof x);
    Sum sum = { 0, 0 };
    for (int64_t q = 0; q < c->k; q++) {
      x[last] = q;
      sum_add(&sum, *value_at(&c->vx, x), w[i[last] * c->k + q]);
    }
    case_compare(c, sum, b ? b[i[last]] : 0, c->r ? *value_at(&was, i) : 0,
            *value_at(&c->vy, i));
  }
}

/* Planes of tokens throughout, or of x alone. */
static void tokens_case(Case *c, int lanes) {
  Node *all[] = { c->x, c->y, c->r };
  bool code = strstr(c->kernel, "code") != NULL;
  bool pair = strstr(c->kernel, "pair") != NULL;
  bool rows = strstr(c->kernel, "perm") || strstr(c->kernel, "nm");
  bool whole = c->w->type.sparse && !rows && (code || pair || chance(80));
  for (int i = 0; i < (whole ? 3 : 1); i++)
    if (all[i])
      all[i]->type.layout = layout_tokens(c->m->arena, &all[i]->type, lanes);
}

static bool tokens_only(const char *kernel) {
  return strstr(kernel, "code") || strstr(kernel, "pair");
}

/* x as it comes from a pooled map on planes: K has a stride. */
static void linear_layout(Case *c, int lanes) {
  Type *t = &c->x->type;
  if (t->rank > 1 && (chance(50) || tokens_only(c->kernel))) {
    tokens_case(c, lanes);
    return;
  }
  if (t->rank != 2 || t->dim[0] != 1 || !chance(40)) return;
  int64_t stride[2] = { t->dim[1] * 16, 16 };
  t->layout = layout_strided(c->m->arena, t, stride, 0, stride[0], NULL);
}

/* Several blocks of columns, for several chunks of x. */
static void linear_deep(Case *c, int64_t *rows, int64_t *outputs) {
  c->k = pick(1000, 4000);
  *rows = pick(1, 100);
  *outputs = pick(1, 80);
}

/* Few outputs, with columns in the lanes. */
static void linear_few(const Target *t, Case *c, int64_t *outputs) {
  c->k = pick(4 * t->lanes, 40 * t->lanes);
  *outputs = pick(1, 2 * t->lanes);
}

static void linear_case(const char *kernel, const Target *t) {
  Case c = { .m = module_new("m"), .kernel = kernel };
  Diags *d = diags_new();
  c.whole = chance(40);
  c.f = func_new(c.m, "main");
  int rank = (int)pick(tokens_only(kernel) ? 2 : 1, 3);
  int64_t dim[3] = { pick(1, 3), chance(50) ? 1 : pick(1, 50), 0 };
  int64_t m = chance(50) ? pick(1, 40) : pick(1, 300);
  int block = block_pick(kernel);
  m += (block - m % block) % block;
  c.k = chance(50) ? pick(1, 20) : pick(1, 200);
  /* Blocks of columns, and those of the last block. */
  if (strstr(kernel, "pair") && chance(30)) c.k = pick(200, 800);
  if (strstr(kernel, "nm")) c.k = (c.k + 3) / 4 * 4;
  if (strstr(kernel, "dense") && chance(15)) linear_deep(&c, &dim[1], &m);
  else if (strstr(kernel, "dense") && chance(30)) linear_few(t, &c, &m);
  if (rank == 2) dim[0] = dim[1];
  dim[rank - 1] = c.k;
  c.x = func_input(c.m, c.f, "x", type_make(F32, rank, dim));
  Type wt = type_make(F32, 2, (int64_t[]){ m, c.k });
  c.w = weight_node(&c, wt, block);
  c.computed = strstr(kernel, "dense") && chance(15);
  if (chance(70)) c.b = param_node(&c, "b", type_make(F32, 1, &m), 100, 1);
  dim[rank - 1] = m;
  if (chance(30)) c.r = func_input(c.m, c.f, "r", type_make(F32, rank, dim));
  if (c.computed) c.given = func_input(c.m, c.f, "w2", wt);
  Node *in[] = { c.x, c.computed ? c.given : c.w, c.b, c.r };
  c.y = func_add(c.m, c.f, OP_LINEAR, in, 4);
  assert_true(node_infer(c.m, c.y, d));
  epilogue_attrs(&c);
  func_output(c.m, c.f, "y", c.y);
  linear_layout(&c, t->lanes);
  tile_pick(c.y, kernel, t);
  Space sp = space_new((size_t)1 << 26);
  value_place(&sp, c.x, &c.vx);
  value_fill(&c.vx, c.whole);
  if (c.r) value_place(&sp, c.r, &c.vr), value_fill(&c.vr, c.whole);
  c.in_place = c.r && c.r->type.layout == c.y->type.layout && chance(50);
  if (c.in_place) c.y->type.at = c.r->type.at;
  else value_place(&sp, c.y, &c.vy);
  float *before = case_run(&c, &sp, t);
  linear_check(&c, before);
  free(before);
  munmap(sp.at, sp.size);
  module_free(c.m);
  diags_free(d);
}

/* ---- the runs -------------------------------------------------------- */

typedef void RunCase(const char *kernel, const Target *t);

/* The host's CPU, and on x86-64 the levels that it includes. */
static bool cpu_runs(int i, const char **cpu) {
  static const char *const names[] = { NULL, "x86-64-v3", "x86-64" };
  *cpu = names[i];
#if defined(__x86_64__)
  return i != 1 || (__builtin_cpu_supports("avx2") &&
                    __builtin_cpu_supports("fma"));
#else
  return i == 0;
#endif
}

static void run_cases(RunCase *one, const char *kernel, int count) {
  const char *only = getenv("KERNEL_SEED"), *more = getenv("KERNEL_CASES");
  const char *quick = getenv("TAMIS_QUICK"), *asan = getenv("ASAN");
  const char *cpu;
  if (quick && *quick) count = (count + 2) / 3;
  if (asan && *asan) count = (count + 2) / 3;
  if (more) count = atoi(more);
  for (int i = 0; i < 3; i++) {
    if (!cpu_runs(i, &cpu)) continue;
    Arena *a = arena_new();
    Diags *d = diags_new();
    Target t;
    assert_true(target_resolve(a, d, NULL, cpu, NULL, &t));
    for (int k = 0; k < count; k++) {
      draw_seed(hash_mix((uint64_t)k) ^
                hash_bytes(kernel, strlen(kernel)));
      if (only && k != atoi(only)) continue;
      if (getenv("KERNEL_VERBOSE"))
        print_message("%s %s case %d\n", kernel, cpu ? cpu : "native", k);
      one(kernel, &t);
    }
    diags_free(d);
    arena_free(a);
  }
}

static void test_dense(void **state) {
  (void)state;
  run_cases(conv_case, "conv2d_dense", 60);
}

static void test_channels(void **state) {
  (void)state;
  run_cases(conv_case, "conv2d_channels", 100);
}

static void test_depthwise(void **state) {
  (void)state;
  run_cases(conv_case, "conv2d_depthwise", 150);
}

static void test_bsr(void **state) {
  (void)state;
  run_cases(conv_case, "conv2d_bsr", 60);
}

static void test_perm(void **state) {
  (void)state;
  run_cases(linear_case, "linear_perm", 60);
}

static void test_code(void **state) {
  (void)state;
  run_cases(conv_case, "conv2d_code", 60);
  run_cases(linear_case, "linear_code", 40);
}

static void test_nm(void **state) {
  (void)state;
  run_cases(linear_case, "linear_nm", 60);
}

static void test_pair(void **state) {
  (void)state;
  run_cases(conv_case, "conv2d_pair", 80);
  run_cases(linear_case, "linear_pair", 80);
}

static void test_csr(void **state) {
  (void)state;
  run_cases(conv_case, "conv2d_csr", 60);
}

/* Rows summed in step differ in length, and what is filled up reads x where
 * the row has no weight: an infinity that has one stays infinite. */
static void infinity_case(const char *kernel, const Target *t) {
  enum { ROWS = 8 };
  Case c = { .m = module_new("m"), .kernel = kernel };
  Diags *d = diags_new();
  c.f = func_new(c.m, "main");
  c.x = func_input(c.m, c.f, "x", type_make(F32, 4, (int64_t[]){
      1, ROWS, 1, 16 }));
  Type wt = type_make(F32, 4, (int64_t[]){ ROWS, ROWS, 1, 1 });
  Buffer *b = buffer_new(ROWS * ROWS * 4);
  float *w = (float *)(void *)b->data;
  for (int i = 0; i < ROWS * ROWS; i++) w[i] = i % ROWS <= i / ROWS;
  c.w = func_param(c.m, c.f, module_add_param(c.m, "w", wt, b));
  sparse_pack(c.m, c.w->param, 1, 1);
  c.y = func_add(c.m, c.f, OP_CONV2D, (Node *[]){ c.x, c.w, NULL, NULL }, 4);
  assert_true(node_infer(c.m, c.y, d));
  func_output(c.m, c.f, "y", c.y);
  c.y->tile[0] = ROWS / 2, c.y->tile[1] = 1;
  Space sp = space_new((size_t)1 << 20);
  value_place(&sp, c.x, &c.vx);
  value_place(&sp, c.y, &c.vy);
  for (int i = 0; i < ROWS * 16; i++)
    c.vx.base[i] = i < 16 ? HUGE_VALF : 1;
  free(case_run(&c, &sp, t));
  for (int i = 0; i < ROWS * 16; i++) assert_true(c.vy.base[i] > FLT_MAX);
  munmap(sp.at, sp.size);
  module_free(c.m);
  diags_free(d);
}

static void test_infinity(void **state) {
  (void)state;
  run_cases(infinity_case, "conv2d_csr", 1);
  run_cases(infinity_case, "conv2d_pair", 1);
}

static void test_linear(void **state) {
  (void)state;
  run_cases(linear_case, "linear_dense", 60);
  run_cases(linear_case, "linear_bsr", 60);
  run_cases(linear_case, "linear_csr", 60);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_dense), cmocka_unit_test(test_channels),
    cmocka_unit_test(test_depthwise),
    cmocka_unit_test(test_bsr), cmocka_unit_test(test_csr),
    cmocka_unit_test(test_code), cmocka_unit_test(test_perm),
    cmocka_unit_test(test_nm), cmocka_unit_test(test_pair),
    cmocka_unit_test(test_infinity), cmocka_unit_test(test_linear),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
