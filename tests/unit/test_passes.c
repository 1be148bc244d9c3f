/* test_passes.c - the passes on random graphs: values stay, modules stay
 * well formed, and a simulated run of the plan never finds bytes that
 * somebody else has overwritten.  Then what a golden text cannot show. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/gen/graphgen.h"
#include "tests/unit/capture.h"

static const Target targets[] = {
  {"x86_64-linux-gnu", "x86-64-v3", "", "x86_64", 8, 16, true, true},
  {"x86_64-linux-gnu", "x86-64-v4", "", "x86_64", 16, 32, true, true},
  {"aarch64-linux-gnu", "generic", "", "aarch64", 4, 32, true, true},
};

/* ---- a run of the plan ---------------------------------------------- */

/* The first byte of each element in the arena remembers which element was
 * stored there: node id and index, ZERO for a halo, NOTHING at first. */
enum { ZERO = -1, NOTHING = -2 };
typedef struct Cell { int64_t node, index; } Cell;
typedef struct Sim {
  Func *f;
  Cell *cell;
  int64_t n;
} Sim;

static bool is_alias(const Node *n) {
  return n->kernel && strcmp(n->kernel, "alias") == 0;
}

static bool in_arena(const Node *n) {
  return n->type.at >= 0;
}

/* The index in its operand of a slice's element. */
static int64_t slice_index(const Node *n, int64_t index) {
  const Type *y = &n->type, *x = &n->in[0]->type;
  int64_t axis = attr_int(n, "axis"), inner = 1;
  for (int i = (int)axis + 1; i < y->rank; i++) inner *= y->dim[i];
  int64_t at = index / inner % y->dim[axis];
  int64_t outer = index / inner / y->dim[axis];
  at = attr_int(n, "start") + at * attr_int(n, "step");
  return (outer * x->dim[axis] + at) * inner + index % inner;
}

/* The element that an element of a view is. */
static Cell element_of(const Node *n, int64_t index) {
  while (is_alias(n)) {
    if (n->op == OP_RESHAPE) {
      n = n->in[0];
      continue;
    }
    if (n->op == OP_SLICE) {
      index = slice_index(n, index);
      n = n->in[0];
      continue;
    }
    /* A concat whose axis is the outermost that is not 1. */
    int k = 0;
    while (index >= type_elems(&n->in[k]->type))
      index -= type_elems(&n->in[k++]->type);
    n = n->in[k];
  }
  return (Cell){n->id, index};
}

/* The cell of an element whose coordinates may lie in the halo. */
static int64_t cell_of(const Node *n, const int64_t *at) {
  int64_t stride[MAX_RANK], origin;
  assert_true(layout_strides(&n->type, stride, &origin));
  int64_t place = origin;
  for (int i = 0; i < n->type.rank; i++) place += at[i] * stride[i];
  return n->type.at + place * (int64_t)elem_size(n->type.elem);
}

typedef void EachCell(Sim *s, const Node *n, int64_t cell, int64_t index);

/* All elements, and all cells of the halo with index -1. */
static void cells_each(Sim *s, const Node *n, EachCell *each) {
  const Type *t = &n->type;
  int32_t none[4] = {0};
  const int32_t *halo = t->layout ? t->layout->halo : none;
  int64_t lo[MAX_RANK] = {0}, hi[MAX_RANK], at[MAX_RANK];
  for (int i = 0; i < t->rank; i++) {
    hi[i] = t->dim[i];
    if (hi[i] == 0) return;
  }
  for (int i = 0; i < 2 && t->layout; i++) {
    lo[t->rank - 2 + i] = -halo[2 * i];
    hi[t->rank - 2 + i] += halo[2 * i + 1];
  }
  memcpy(at, lo, sizeof at);
  for (;;) {
    int64_t index = 0;
    bool inside = true;
    for (int i = 0; i < t->rank; i++) {
      inside = inside && at[i] >= 0 && at[i] < t->dim[i];
      index = index * t->dim[i] + at[i];
    }
    int64_t cell = cell_of(n, at);
    assert_in_range(cell, 0, s->n - 1);
    each(s, n, cell, inside ? index : -1);
    int i = t->rank - 1;
    while (i >= 0 && ++at[i] == hi[i]) {
      at[i] = lo[i];
      i--;
    }
    if (i < 0) return;
  }
}

static void cell_write(Sim *s, const Node *n, int64_t cell, int64_t index) {
  for (size_t i = 0; i < elem_size(n->type.elem); i++)
    s->cell[cell + (int64_t)i] = (Cell){NOTHING, 0};
  s->cell[cell] = index < 0 ? (Cell){ZERO, 0} : (Cell){n->id, index};
}

static void cell_read(Sim *s, const Node *n, int64_t cell, int64_t index) {
  Cell want = index < 0 ? (Cell){ZERO, 0} : element_of(n, index);
  Cell found = s->cell[cell];
  if (found.node == want.node && found.index == want.index) return;
  fail_msg("node %u (%s): element %lld is that of node %lld, %lld", n->id,
           op_info(n->op)->name, (long long)index, (long long)found.node,
           (long long)found.index);
}

static void plan_simulate(Module *m) {
  Func *f = m->funcs.at[0];
  Sim s = {f, NULL, m->dump.arena_bytes};
  s.cell = malloc((size_t)s.n * sizeof *s.cell);
  for (int64_t i = 0; i < s.n; i++) s.cell[i] = (Cell){NOTHING, 0};
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    if (node_is_leaf(n) || is_alias(n)) continue;
    for (int k = 0; k < n->nin; k++)
      if (n->in[k] && in_arena(n->in[k])) cells_each(&s, n->in[k], cell_read);
    if (in_arena(n)) cells_each(&s, n, cell_write);
  }
  free(s.cell);
}

/* Values outside the arena are inputs, params, outputs and their views. */
static void places_check(const Module *m) {
  const Func *f = m->funcs.at[0];
  assert_true(m->dump.arena_bytes > 0 && m->dump.arena_bytes % 64 == 0);
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Node *n = f->outputs.at[i].node;
    assert_int_equal(n->type.at, -1);
    assert_null(n->type.layout);
    assert_false(node_is_leaf(n));
    for (size_t k = 0; k < i; k++)
      assert_ptr_not_equal(f->outputs.at[k].node, n);
  }
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    assert_int_equal(node_is_leaf(n), n->kernel == NULL);
    if (node_is_leaf(n)) assert_int_equal(n->type.at, -1);
  }
}

/* ---- values stay ---------------------------------------------------- */

typedef struct Watch {
  uint64_t seed;
  Arena *a;
  Diags *d;
  Tensor in[16], want[16];
  const char *pass;
} Watch;

static void inputs_draw(Watch *w, const Func *f) {
  for (size_t i = 0; i < f->inputs.n; i++) {
    const Type *t = &f->inputs.at[i]->type;
    w->in[i] = graph_input_tensor(w->a, w->seed, i, t);
  }
}

static Tensor *module_run(Watch *w, Module *m) {
  static const EvalOpts o = {.blas = false};
  Tensor *all = func_eval(w->a, m, m->funcs.at[0], w->in, &o, true, w->d);
  assert_non_null(all);
  return all;
}

static void outputs_compare(Watch *w, Module *m, const char *pass) {
  Tensor *all = module_run(w, m);
  const Func *f = m->funcs.at[0];
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Tensor *y = &all[f->outputs.at[i].node->id], *r = &w->want[i];
    int64_t n = type_elems(&r->type);
    double top = 1e-3;
    assert_true(type_same_shape(&y->type, &r->type));
    assert_int_equal(y->type.elem, r->type.elem);
    if (!elem_is_float(r->type.elem)) {
      assert_memory_equal(y->i, r->i, (size_t)n * sizeof *r->i);
      continue;
    }
    for (int64_t k = 0; k < n; k++)
      if (isfinite(r->v[k])) top = fmax(top, fabs(r->v[k]));
    for (int64_t k = 0; k < n; k++) {
      if (!isfinite(r->v[k]) || fabs(y->v[k] - r->v[k]) <= 1e-4 * top)
        continue;
      fail_msg("seed %llu after %s: output %zu element %lld is %g, was %g",
               (unsigned long long)w->seed, pass, i, (long long)k, y->v[k],
               r->v[k]);
    }
  }
}

static bool watch_after(void *ctx, const char *pass, Module **m,
                        double seconds) {
  Watch *w = ctx;
  assert_true(seconds >= 0);
  if (strcmp(pass, "parse") != 0) {
    outputs_compare(w, *m, pass);
    return true;
  }
  inputs_draw(w, (*m)->funcs.at[0]);
  Tensor *all = module_run(w, *m);
  for (size_t i = 0; i < (*m)->funcs.at[0]->outputs.n; i++)
    w->want[i] = all[(*m)->funcs.at[0]->outputs.at[i].node->id];
  return true;
}

static Module *text_load(Diags *d, const char *text, LoadOpts *lo) {
  Module *m = tam_load_text(d, "<test>", text, strlen(text), lo);
  if (!m) {
    diags_print(d, stderr, false);
    fail_msg("does not load:\n%s", text);
  }
  return m;
}

static void graph_check(uint64_t seed, const Target *t, int opt) {
  Text text = {0};
  Watch w = {.seed = seed, .a = arena_new(), .d = diags_new()};
  LoadOpts lo = {.provide = graph_provide, .provide_ctx = &seed};
  graph_generate(&text, seed);
  Module *m = text_load(w.d, text.s, &lo);
  PipelineOpts o = {.target = t, .opt = opt, .after = watch_after, .ctx = &w};
  if (!pipeline_run(&m, &o, w.d)) {
    diags_print(w.d, stderr, false);
    fail_msg("seed %llu", (unsigned long long)seed);
  }
  places_check(m);
  plan_simulate(m);
  module_free(m);
  text_free(&text);
  diags_free(w.d);
  arena_free(w.a);
}

static void random_graphs(void **state) {
  (void)state;
  const char *env = getenv("TAMIS_GRAPHS");
  uint64_t n = env ? strtoull(env, NULL, 10) : 400;
  for (uint64_t seed = 1; seed <= n; seed++) {
    const Target *t = &targets[seed % 3];
    graph_check(seed, t, seed % 5 == 0 ? 0 : 2);
  }
}

/* ---- trainable params ------------------------------------------------ */

/* What will still change is neither folded nor packed; a bias that is given
 * by an add may become an operand. */
static void trainable_stays(void **state) {
  (void)state;
  static const char text[] =
    "model m(x: f32[1,4,4,4]) -> y: f32[1,3] {\n"
    "  param b: f32[3];\n"
    "  h = x |> conv(4, k=3) as c |> bn;\n"
    "  y = 2.0 * (mean(h, [2,3]) |> linear(3, bias=false) as l) + b;\n"
    "}\n";
  Diags *d = diags_new();
  LoadOpts lo = {.random_weights = true, .seed = 1};
  Module *m = text_load(d, text, &lo);
  const Param *w = module_param(m, "c.weight");
  Buffer *before = w->data;
  for (size_t i = 0; i < m->params.n; i++) m->params.at[i]->trainable = true;
  PipelineOpts o = {.target = &targets[0], .opt = 2, .stop_after = "sparse"};
  assert_true(pipeline_run(&m, &o, d));
  const Func *f = m->funcs.at[0];
  int norms = 0, muls = 0;
  for (size_t i = 0; i < f->nodes.n; i++) {
    norms += f->nodes.at[i]->op == OP_BATCH_NORM;
    muls += f->nodes.at[i]->op == OP_MUL;
  }
  assert_int_equal(norms, 1);
  assert_int_equal(muls, 1);
  assert_ptr_equal(module_param(m, "c.weight")->data, before);
  module_free(m);
  diags_free(d);
}

/* ---- folding -------------------------------------------------------- */

/* Small whole numbers; powers of two for the params "a" and "s", which
 * scale: nothing is rounded. */
static bool exact_provide(void *ctx, Param *p) {
  (void)ctx;
  int64_t n = type_elems(&p->type);
  bool scales = strchr("as", p->path[0]);
  Buffer *data = buffer_new((size_t)n * sizeof(float));
  for (int64_t i = 0; i < n; i++)
    elem_store(F32, data->data, (size_t)i,
               scales ? ldexp(1, (int)(i * 5 % 7) - 3)
                      : (double)(i * 37 % 19 - 9));
  param_set_data(p, data);
  return true;
}

/* All of it goes into two products, which have the bits of before. */
static void transposed_folds(void **state) {
  (void)state;
  static const char text[] =
    "model m(x: f32[1,4,3,5]) -> y: f32[1,6,8,10] {\n"
    "  param a: f32[4,1,1];  param s: f32[6,1,1];  param t: f32[6,1,1];\n"
    "  param v: f32[4,3,4,2];  param w: f32[6,6,3,3];  param b: f32[6];\n"
    "  h = conv2d_transpose(x * a, v, stride=[2,2], groups=2);\n"
    "  y = conv2d_transpose(h * s + t, w, b=b, pad=[1,1,1,1]) * s + t;\n"
    "}\n";
  Watch w = {.a = arena_new(), .d = diags_new()};
  LoadOpts lo = {.provide = exact_provide};
  Module *m = text_load(w.d, text, &lo);
  Type in = m->funcs.at[0]->inputs.at[0]->type;
  w.in[0] = tensor_new(w.a, &in);
  for (int64_t i = 0; i < type_elems(&in); i++)
    w.in[0].v[i] = (double)(i * 11 % 23 - 8);
  Tensor want = module_run(&w, m)[m->funcs.at[0]->outputs.at[0].node->id];
  PipelineOpts o = {.target = &targets[0], .opt = 2, .stop_after = "bnfold"};
  assert_true(pipeline_run(&m, &o, w.d));
  const Func *f = m->funcs.at[0];
  const Node *y = f->outputs.at[0].node;
  assert_int_equal(y->op, OP_CONV2D_TRANSPOSE);
  assert_int_equal(y->in[0]->op, OP_CONV2D_TRANSPOSE);
  assert_ptr_equal(y->in[0]->in[0], f->inputs.at[0]);
  assert_memory_equal(module_run(&w, m)[y->id].v, want.v,
                      (size_t)type_elems(&y->type) * sizeof *want.v);
  module_free(m);
  diags_free(w.d);
  arena_free(w.a);
}

/* ---- choices -------------------------------------------------------- */

static void tiles_fit(void **state) {
  (void)state;
  for (int64_t rows = 1; rows < 70; rows++)
    for (int64_t vectors = 1; vectors < 40; vectors++)
      for (int regs = 16; regs <= 32; regs += 16) {
        int t[2] = {0, 0};
        TileWork w = {rows, vectors, 1 + (int)(rows & 2)};
        tile_choose(&w, regs, t);
        assert_in_range(t[0], 1, rows);
        assert_in_range(t[1], 1, vectors);
        assert_true(t[0] * t[1] + t[1] + 1 <= regs);
      }
}

static const Family *family(const char *arch, const char *cpu, int lanes) {
  Target t = {.arch = arch, .cpu = cpu, .lanes = lanes};
  return family_of(&t);
}

/* Names come before vectors, which features may have made shorter. */
static void families_by_name(void **state) {
  (void)state;
  const Family *zen = family("x86_64", "znver5", 16);
  const Family *any = family("x86_64", "x86-64-v4", 16);
  assert_ptr_equal(family("x86_64", "znver4", 16), zen);
  assert_ptr_not_equal(any, zen);
  assert_ptr_equal(family("x86_64", "znver", 16), any);
  assert_ptr_equal(family("x86_64", "graniterapids-d", 16),
                   family("x86_64", "sapphirerapids", 16));
  assert_ptr_equal(family("x86_64", "icelake-server", 16),
                   family("x86_64", "skylake-avx512", 16));
  assert_ptr_not_equal(family("x86_64", "skylake-avx512", 16), any);
  assert_ptr_equal(family("x86_64", "znver5", 8),
                   family("x86_64", "haswell", 8));
  assert_int_equal(family("x86_64", "znver5", 8)->code_budget, 0);
  assert_true(any->code_budget > 0);
  assert_string_equal(family("aarch64", "generic", 4)->name, "NEON");
}

/* Tiles of tables fit registers, rows and vectors; what comes from memory
 * takes none. */
static void table_tiles_fit(void **state) {
  (void)state;
  int64_t blocks[32];
  for (int i = 0; i < 4000; i++) {
    int height = 1 << i % 5, regs = i % 2 ? 32 : 16, t[2] = {0, 0};
    if (height == 16 && regs == 16) height = 8;
    TableWork w = {height, 8, 1 + 2 * (i % 7 == 0), 16, i % 4, 1 + i % 31,
                   1 + i % 1000, 1 + i % 5 * 4, 1 + i % 61, i % 9, blocks,
                   family("x86_64", "haswell", 8)};
    for (int k = 0; k < 32; k++)
      blocks[k] = w.channels * w.taps * (i % 11) / 10 / (1 + k * (i % 13));
    table_tile(&w, regs, t);
    assert_int_equal(t[0] % height, 0);
    assert_in_range(t[0], height, w.units * height);
    assert_in_range(t[1], 1, w.vectors < 16 ? w.vectors : 16);
    int x = height > 1 || !w.folds ? t[1] : 0;
    assert_true(t[0] * t[1] + x + 1 <= regs);
  }
}

/* Few channels let a tile be wide; many let it have rows, which share what
 * comes from the second cache, unless one row is all there is. */
static void table_tiles_near(void **state) {
  (void)state;
  int64_t blocks[256];
  int near[2], far[2], one[2];
  TableWork w = {1, 16, 1, 16, true, 256, 32, 1, 49, 0, blocks,
                 family("x86_64", "x86-64-v4", 16)};
  for (int i = 0; i < 256; i++) blocks[i] = 10;
  table_tile(&w, 32, near);
  assert_true(near[1] >= 8);
  w.channels = 512;
  for (int i = 0; i < 256; i++) blocks[i] = 150;
  table_tile(&w, 32, far);
  assert_true(far[1] < 8 && far[0] > 4);
  for (int i = 1; i < 256; i++) blocks[i] = 0;
  w.units = 8;
  table_tile(&w, 32, one);
  assert_int_equal(one[0], 1);
}

/* A weight of 1000 values, so many of them in blocks of 1, 2 and 4 rows. */
static int format_of(Op op, int64_t one, int64_t two, int64_t four) {
  Weight w = {.op = op, .taps = 1, .rows = 1, .outputs = 8, .lanes = 8,
              .all = 1000, .stored = {one, two, four, -1, -1}, .idle = 1};
  return format_choose(&w);
}

static int format_of_rows(int64_t rows, int64_t stored) {
  Weight w = {.op = OP_LINEAR, .taps = 1, .rows = rows, .outputs = 8,
              .lanes = 8, .all = 1000,
              .stored = {stored, stored, stored, -1, -1}, .idle = 1};
  return format_choose(&w);
}

/* So many values in blocks of 4, 8 and 16 rows. */
static int format_of_high(Op op, int64_t four, int64_t eight,
                          int64_t sixteen) {
  Weight w = {.op = op, .taps = 1, .rows = 1, .outputs = 16, .lanes = 16,
              .all = 1000, .stored = {-1, -1, four, eight, sixteen},
              .idle = 1};
  return format_choose(&w);
}

/* What dense does else, or rows in pairs. */
static void formats_by_kernel(void) {
  /* Writes that few products hide bind blocks. */
  Weight w = {.op = OP_CONV2D, .taps = 1, .outputs = 96, .lanes = 16,
              .all = 1000, .stored = {-1, -1, 600, -1, -1}, .idle = 1};
  w.writes = 560;
  assert_int_equal(format_choose(&w), 4);
  w.stored[2] = 650;
  assert_int_equal(format_choose(&w), 0);
  w.writes = 400;
  assert_int_equal(format_choose(&w), 4);
  /* Rows of as many nonzeros are in pairs on small maps too. */
  w = (Weight){.op = OP_CONV2D, .taps = 1, .outputs = 1024, .lanes = 16,
               .all = 1000, .stored = {500, 1000, 1000, -1, -1}, .gain = 1.5,
               .idle = 1};
  assert_int_equal(format_choose(&w), 0);
  w.even = true;
  assert_int_equal(format_choose(&w), 1);
  w.stored[0] = 650;
  assert_int_equal(format_choose(&w), 0);
  /* Few outputs of one row, in dots. */
  w = (Weight){.op = OP_LINEAR, .taps = 1, .rows = 1, .outputs = 5,
               .lanes = 8, .all = 1000, .stored = {90, -1, -1, -1, -1}};
  assert_int_equal(format_choose(&w), 1);
  w.dots = true;
  assert_int_equal(format_choose(&w), 0);
  w.stored[0] = 30;
  assert_int_equal(format_choose(&w), 1);
  w.stored[0] = w.runs = 500;
  assert_int_equal(format_choose(&w), 0);
}

static void formats_by_density(void **state) {
  (void)state;
  assert_int_equal(format_of(OP_CONV2D, 1000, 1000, 1000), 0);
  assert_int_equal(format_of(OP_CONV2D, 700, 1000, 1000), 0);
  assert_int_equal(format_of(OP_CONV2D, 100, 100, 100), 4);
  assert_int_equal(format_of(OP_CONV2D, 100, 100, 200), 2);
  assert_int_equal(format_of(OP_CONV2D, 100, 100, -1), 2);
  assert_int_equal(format_of(OP_CONV2D, 300, 510, 760), 1);
  assert_int_equal(format_of(OP_CONV2D, 100, -1, -1), 1);
  assert_int_equal(format_of(OP_LINEAR, 0, 0, 0), 4);
  assert_int_equal(format_of(OP_LINEAR, 200, -1, -1), 0);
  assert_int_equal(format_of(OP_LINEAR, 100, 105, 400), 1);
  assert_int_equal(format_of_rows(1, 150), 4);
  assert_int_equal(format_of_rows(128, 250), 4);
  assert_int_equal(format_of_rows(128, 800), 0);
  /* Of equal ones the highest; on one row of x those that pad a little. */
  assert_int_equal(format_of_high(OP_CONV2D, 100, 100, 100), 16);
  assert_int_equal(format_of_high(OP_CONV2D, 100, 100, 101), 8);
  assert_int_equal(format_of_high(OP_CONV2D, 100, 120, 200), 4);
  assert_int_equal(format_of_high(OP_LINEAR, 100, 150, 190), 16);
  assert_int_equal(format_of_high(OP_LINEAR, 100, 180, 400), 8);
  assert_int_equal(format_of_high(OP_LINEAR, 100, 300, 600), 4);
  /* A few of each run on rows of x; single values in pairs on maps and many
   * tokens, with outputs to share a copy of x. */
  Weight r = {.op = OP_LINEAR, .taps = 1, .rows = 1, .outputs = 100,
              .lanes = 16, .all = 1000, .stored = {500, -1, -1, -1, -1},
              .runs = 500, .idle = 1};
  assert_int_equal(format_choose(&r), RUNS);
  r.rows = 128;
  assert_int_equal(format_choose(&r), 1);
  r.op = OP_CONV2D, r.rows = 0, r.runs = 0;
  assert_int_equal(format_choose(&r), 1);
  r.outputs = 4;
  assert_int_equal(format_choose(&r), 0);
  /* Single values pay sooner where they may become code. */
  Weight w = {.op = OP_CONV2D, .taps = 1, .outputs = 16, .lanes = 16,
              .all = 1000, .stored = {600, -1, -1, -1, -1}, .idle = 1};
  assert_int_equal(format_choose(&w), 0);
  w.code = true;
  assert_int_equal(format_choose(&w), 1);
  /* Taking x apart is a cost of its own; rows in pairs do without. */
  Weight strided = {.op = OP_CONV2D, .taps = 9, .outputs = 128, .lanes = 16,
                    .all = 1000, .stored = {400, -1, 500, -1, -1},
                    .apart = 0.1 * 1000, .idle = 1};
  assert_int_equal(format_choose(&strided), 1);
  strided.idle = 2;
  assert_int_equal(format_choose(&strided), 4);
  strided.apart = 0.4 * 1000;
  assert_int_equal(format_choose(&strided), 0);
  formats_by_kernel();
  /* A few rows leave lanes of a plane idle. */
  assert_false(tokens_pay(0, 16, 1));
  assert_false(tokens_pay(1, 16, 1));
  assert_false(tokens_pay(2, 8, 4));
  assert_true(tokens_pay(8, 8, 4));
  assert_true(tokens_pay(128, 16, 1));
}

/* Code gains where many vectors run it, and loses beyond the caches. */
static void code_times(void **state) {
  (void)state;
  const Family *f = family("x86_64", "x86-64-v4", 16);
  CodeWork w = {16, 6554, 2400, 0, 256, 256, 1, 49, 0, f};
  double many = code_time(&w) / 49;
  assert_true(code_size(&w) > 60000 && code_size(&w) < 100000);
  w.vectors = 2;
  assert_true(code_time(&w) / 2 > 1.15 * many);
  w = (CodeWork){16, 104858, 35000, 0, 1024, 1024, 1, 4, 0, f};
  double large = code_time(&w) / 104858;
  w = (CodeWork){16, 52429, 17500, 0, 512, 1024, 1, 4, 0, f};
  assert_true(large > 1.2 * code_time(&w) / 52429);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(tiles_fit),
    cmocka_unit_test(families_by_name),
    cmocka_unit_test(table_tiles_fit),
    cmocka_unit_test(table_tiles_near),
    cmocka_unit_test(code_times),
    cmocka_unit_test(formats_by_density),
    cmocka_unit_test(transposed_folds),
    cmocka_unit_test(trainable_stays),
    cmocka_unit_test(random_graphs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
