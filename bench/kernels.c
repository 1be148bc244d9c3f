/* kernels.c - time single kernels on the layers of bench/shapes.txt.
 *
 *   make bench/kernels
 *   bench/kernels [--cpu=C] [--net=N] [--kernel=K] [--zeros=90] [--block=4]
 *                 [--drawn=R|N:M] [--tile=RxT] [--form=rows] [--rounds=15]
 *                 [--asm=FILE] [--model] SHAPES
 *
 * Each layer is built by the IR's interface with the layouts that the layout
 * pass gives (planes, one pitch for x and y), compiled in process and run in
 * interleaved rounds; printed are the least and the median time of a run,
 * and what follows from the median.  The peak is what the dense kernel gets
 * from L1, measured first; sparse kernels count the products of nonzeros.
 * Zeros fall on the blocks of bsr, or with --drawn=1 on single values, which
 * are then stored in such blocks, or N values of each M columns.
 * --form=rows leaves linear layers on rows where planes of tokens are thought
 * to be faster, --form=tokens the other way.  `dense x` is how much faster
 * than the dense kernel of the same layer.  --model prints the least time
 * beside what reports predict, how far apart they are for each kernel, and
 * what it costs to take the kernel with the least predicted time, which wants
 * the same zeros for all: --drawn. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/ours.h"
#include "bench/tool.h"
#include "passes/passes.h"
#include "tests/run/kernel_jit.h"

typedef struct Options {
  const char *cpu, *net, *kernel, *assembly, *shapes, *form;
  int zeros, block, drawn, of, rounds, tile[2];
  bool model;
} Options;

typedef struct Layer {
  Shape s;
  const char *kernel;
  Module *m;
  Func *f;
  Node *y;
  KernelJit jit;
  char *arena;
  void *io[2];
  double flops;           /* of one run */
  int reps;
  double *ns, median;     /* of each round, sorted */
} Layer;

enum { LAYERS_MAX = 400, KERNELS_MOST = 16 };

static uint64_t seed = 1;

static double draw(void) {
  seed = hash_mix(seed + 0x9E3779B97F4A7C15u);
  return (double)(seed >> 40) * 0x1p-24;
}

/* ---- layers ---------------------------------------------------------- */

/* Keep `n` of each `of` columns. */
static void runs_draw(float *v, int64_t count, int n, int of) {
  for (int64_t i = 0; i + of <= count; i += of)
    for (int left = of; left > n; left--) {
      int64_t k = (int64_t)(draw() * of);
      while (v[i + k] == 0) k = (k + 1) % of;
      v[i + k] = 0;
    }
}

static Node *weights(Layer *l, Type t, int zeros, int block, int of) {
  int64_t n = type_elems(&t), cols = n / t.dim[0], stored = 0;
  int few = block;
  if (of) zeros = 0, block = 1;
  Buffer *b = buffer_new((size_t)n * 4);
  float *v = (float *)(void *)b->data;
  for (int64_t i = 0; i < t.dim[0]; i += block)
    for (int64_t k = 0; k < cols; k++) {
      if (draw() * 100 < zeros) continue;
      for (int64_t j = i; j < i + block && j < t.dim[0]; j++) {
        v[j * cols + k] = (float)(draw() - 0.5) / 8;
        stored++;
      }
    }
  if (of) runs_draw(v, n, few, of), stored = n * few / of;
  l->flops = 2.0 * (double)stored;
  return func_param(l->m, l->f, module_add_param(l->m, "w", t, b));
}

static void conv_build(Layer *l, const Target *t, int zeros, int block,
                       int of) {
  const Shape *s = &l->s;
  int64_t p = s->k / 2, o = s->stride > 1 ? 0 : p;
  int32_t hx[4] = { (int32_t)p, (int32_t)p, (int32_t)p, (int32_t)p };
  int32_t hy[4] = { (int32_t)o, (int32_t)o, (int32_t)o, (int32_t)o };
  Node *x = func_input(l->m, l->f, "x", type_make(F32, 4, (int64_t[]){
      1, s->c, s->h, s->w }));
  Node *w = weights(l, type_make(F32, 4, (int64_t[]){
      s->o, s->c / s->groups, s->k, s->k }), zeros, block, of);
  Type bt = type_make(F32, 1, (int64_t[]){ s->o });
  Node *b = func_param(l->m, l->f,
                       module_add_param(l->m, "b", bt,
                                        buffer_new((size_t)s->o * 4)));
  l->y = func_add(l->m, l->f, OP_CONV2D, (Node *[]){ x, w, b, NULL }, 4);
  attr_set_ints(l->m, l->y, "stride", (int64_t[]){ s->stride, s->stride }, 2);
  attr_set_ints(l->m, l->y, "pad", (int64_t[]){ p, p, p, p }, 4);
  attr_set_int(l->y, "groups", s->groups);
  attr_set_str(l->m, l->y, "act", "relu6");
  Diags *d = diags_new();
  ensure(node_infer(l->m, l->y, d));
  diags_free(d);
  x->type.layout = layout_planes(l->m->arena, &x->type, t->lanes, hx);
  l->y->type.layout = layout_planes(l->m->arena, &l->y->type, t->lanes, hy);
  l->flops *= (double)(l->y->type.dim[2] * l->y->type.dim[3]);
}

static void linear_build(Layer *l, int zeros, int block, int of) {
  const Shape *s = &l->s;
  Node *x = func_input(l->m, l->f, "x",
                       type_make(F32, 2, (int64_t[]){ s->h, s->c }));
  Node *w = weights(l, type_make(F32, 2, (int64_t[]){ s->o, s->c }), zeros,
                    block, of);
  l->y = func_add(l->m, l->f, OP_LINEAR, (Node *[]){ x, w, NULL, NULL }, 4);
  Diags *d = diags_new();
  ensure(node_infer(l->m, l->y, d));
  diags_free(d);
  l->flops *= (double)s->h;
}

static void layer_build(Layer *l, const Target *t, const Options *o) {
  bool code = strstr(l->kernel, "code") != NULL;
  bool perm = strstr(l->kernel, "perm") != NULL;
  bool runs = strstr(l->kernel, "nm") != NULL;
  bool pair = strstr(l->kernel, "pair") != NULL;
  bool sparse = strstr(l->kernel, "sr") || code || perm || runs || pair;
  int block = strstr(l->kernel, "bsr") ? o->block : 1;
  int drawn = o->drawn && sparse ? o->drawn : block;
  int of = sparse ? o->of : 0;
  l->m = module_new("bench");
  l->f = func_new(l->m, "main");
  if (strcmp(l->s.op, "conv") == 0)
    conv_build(l, t, sparse ? o->zeros : 0, drawn, of);
  else
    linear_build(l, sparse ? o->zeros : 0, drawn, of);
  func_output(l->m, l->f, "y", l->y);
  if (runs) runs_pack(l->m, l->y->in[1]->param, o->drawn);
  else if (sparse) sparse_pack(l->m, l->y->in[1]->param, block, 1);
  bool tokens = o->form ? strcmp(o->form, "tokens") == 0
                        : linear_takes_tokens(l->y, t->lanes);
  tokens = code || pair || (!perm && !runs && tokens);
  if (l->y->op == OP_LINEAR && sparse && tokens)
    for (int i = 0; i < 2; i++) {
      Node *n = i ? l->y : l->y->in[0];
      n->type.layout = layout_tokens(l->m->arena, &n->type, t->lanes);
    }
  node_select(l->m->arena, t, l->y);
  if (strcmp(l->kernel, "conv2d_dense") == 0 ||
      strcmp(l->kernel, "conv2d_channels") == 0)
    dense_tile(t, l->y, l->kernel, l->y->tile);
  l->y->kernel = l->kernel;
  TableWork work;
  bool flat;
  if (runs) l->y->tile[0] = l->y->tile[1] = 0;
  bool one = pair || strstr(l->kernel, "csr");
  if (one && node_table(l->m->arena, t, l->y, &work, &flat))
    (pair ? pair_tile : table_tile)(&work, t->vregs, l->y->tile);
  if (o->tile[1]) l->y->tile[0] = o->tile[0], l->y->tile[1] = o->tile[1];
  Node *x = l->y->in[0];
  size_t xb = (size_t)type_bytes(&x->type) + 256;
  size_t yb = (size_t)type_bytes(&l->y->type) + 256;
  size_t huge = (size_t)2 << 20;
  l->arena = aligned_alloc(huge, (yb + huge) / huge * huge);
  l->io[0] = aligned_alloc(huge, (xb + huge) / huge * huge);
  memset(l->arena, 0, yb);
  for (size_t i = 0; i < xb / 4; i++)
    ((float *)l->io[0])[i] = (float)(draw() - 0.5);
  l->y->type.at = 0;
  kernel_compile(&l->jit, l->m, l->f, l->y, t, o->assembly);
  l->ns = calloc((size_t)o->rounds, sizeof *l->ns);
}

/* Two tables of kernels: what a layer can take. */
static int kernels_of(const Shape *s, const char *const **out) {
  static const char *const conv[] = { "conv2d_dense", "conv2d_channels",
                                      "conv2d_bsr", "conv2d_csr",
                                      "conv2d_code", "conv2d_pair" };
  static const char *const depth[] = { "conv2d_depthwise" };
  static const char *const lin[] = { "linear_dense", "linear_bsr",
                                     "linear_csr", "linear_code",
                                     "linear_perm", "linear_nm",
                                     "linear_pair" };
  *out = strcmp(s->op, "linear") == 0 ? lin : s->groups > 1 ? depth : conv;
  return *out == depth ? 1 : *out == lin ? 7 : 6;
}

/* ---- timing ---------------------------------------------------------- */

static void layer_run(Layer *l) {
  l->jit.run(l->io, l->arena, l->jit.weights);
}

static double round_ns(Layer *l) {
  double t = now_ns();
  for (int i = 0; i < l->reps; i++) layer_run(l);
  return (now_ns() - t) / l->reps;
}

/* GFLOP/s of independent multiply-adds: a dense layer that lives in L1. */
static double peak(const Target *t, const Options *o) {
  Options best = *o;
  best.assembly = NULL;
  best.tile[0] = t->vregs >= 32 ? 28 : 12, best.tile[1] = 1;
  Layer l = { .s = { "peak", "conv", 128, 1, t->lanes, 28, 1, 1, 1 },
              .kernel = "conv2d_dense" };
  if (t->vregs < 32) l.s.o = 12;
  double top = 0;
  layer_build(&l, t, &best);
  for (int i = 0; i < 200; i++) {
    l.reps = 20;
    double rate = l.flops / round_ns(&l);
    if (rate > top) top = rate;
  }
  return top;
}

static void measure(Layer *l, int n, int rounds) {
  for (int i = 0; i < n; i++) {
    l[i].reps = 1;
    layer_run(&l[i]);
    double t = round_ns(&l[i]);
    l[i].reps = 1 + (int)(2e6 / t);
  }
  for (int r = 0; r < rounds; r++)
    for (int i = 0; i < n; i++) l[i].ns[r] = round_ns(&l[i]);
  for (int i = 0; i < n; i++) l[i].median = median_of(l[i].ns, rounds);
}

static void shape_text(char *to, size_t size, const Shape *s) {
  snprintf(to, size, "%ldx%ldx%ld->%ld k%ld s%ld", s->c, s->h, s->w, s->o,
           s->k, s->stride);
}

static void report(const Layer *l, int n, double top) {
  printf("%-7s %-5s %-28s %-17s %5s %9s %9s %8s %5s %7s %6s %6s\n", "net",
         "op", "shape", "kernel", "tile", "least us", "us", "GFLOP/s", "%",
         "dense x", "kB", "ms cc");
  double dense = 0;
  for (int i = 0; i < n; i++) {
    const Shape *s = &l[i].s;
    double ns = l[i].median, rate = l[i].flops / ns;
    char shape[64], tile[24], times[16] = "";
    shape_text(shape, sizeof shape, s);
    snprintf(tile, sizeof tile, "%dx%d", l[i].y->tile[0],
             l[i].y->tile[1]);
    if (strstr(l[i].kernel, "dense")) dense = ns;
    else if (strstr(l[i].kernel, "sr") && dense > 0)
      snprintf(times, sizeof times, "%.2f", dense / ns);
    printf("%-7s %-5s %-28s %-17s %5s %9.2f %9.2f %8.1f %5.1f %7s %6.0f "
           "%6.1f\n", s->net, s->op, shape, l[i].kernel, tile,
           l[i].ns[0] / 1e3, ns / 1e3, rate, 100 * rate / top, times,
           (double)l[i].jit.weight_bytes / 1024, 1e3 * l[i].jit.seconds);
  }
}

/* ---- the model ------------------------------------------------------- */

/* What reports predict for the layer's kernel, in ns. */
static double predicted(const Layer *l, const Target *t) {
  Alternative all[ALTERNATIVES_MOST];
  Arena *scratch = arena_new();
  double us = node_us(l->m, t, l->y);
  int n = node_alternatives(scratch, l->m, t, NULL, l->y, all);
  for (int i = 0; i < n; i++)
    if (all[i].taken) us = all[i].us;
  arena_free(scratch);
  return 1e3 * us;
}

/* Measured against predicted times. */
typedef struct Ratios { int n; double logs, least, most; } Ratios;

static void ratio_add(Ratios *r, double ratio) {
  if (r->n == 0 || ratio < r->least) r->least = ratio;
  if (r->n == 0 || ratio > r->most) r->most = ratio;
  r->logs += log(ratio);
  r->n++;
}

static void ratios_print(const char *of, const Ratios *r) {
  if (r->n)
    printf("%-17s %3d layers: mean %.2f, from %.2f to %.2f\n", of, r->n,
           exp(r->logs / r->n), r->least, r->most);
}

/* The kernels l..l+n of one layer: what is lost by the model's. */
static double loss(const Layer *l, int n, const Target *t) {
  int told = 0, best = 0;
  for (int i = 1; i < n; i++) {
    if (predicted(&l[i], t) < predicted(&l[told], t)) told = i;
    if (l[i].ns[0] < l[best].ns[0]) best = i;
  }
  double lost = l[told].ns[0] / l[best].ns[0];
  if (told != best)
    printf("%-54s %s instead of %s: %.2f\n", "", l[told].kernel,
           l[best].kernel, lost);
  return lost;
}

static int same_shape(const Layer *l, int n) {
  int i = 1;
  while (i < n && memcmp(&l[i].s, &l->s, sizeof l->s) == 0) i++;
  return i;
}

static void model_report(const Layer *l, int n, const Target *t) {
  Ratios of[KERNELS_MOST] = {0}, all = {0}, lost = {0};
  const char *name[KERNELS_MOST] = {0};
  printf("%-7s %-5s %-28s %-17s %9s %9s %8s\n", "net", "op", "shape",
         "kernel", "predicted", "least us", "ratio");
  for (int i = 0, each; i < n; i += each) {
    each = same_shape(l + i, n - i);
    for (int k = i; k < i + each; k++) {
      char shape[64];
      double us = predicted(&l[k], t), ratio = l[k].ns[0] / us;
      int slot = 0;
      while (name[slot] && strcmp(name[slot], l[k].kernel) != 0) slot++;
      name[slot] = l[k].kernel;
      shape_text(shape, sizeof shape, &l[k].s);
      printf("%-7s %-5s %-28s %-17s %9.2f %9.2f %8.2f\n", l[k].s.net,
             l[k].s.op, shape, l[k].kernel, us / 1e3, l[k].ns[0] / 1e3,
             ratio);
      ratio_add(&of[slot], ratio);
      ratio_add(&all, ratio);
    }
    ratio_add(&lost, loss(l + i, each, t));
  }
  for (int i = 0; i < KERNELS_MOST; i++) ratios_print(name[i], &of[i]);
  ratios_print("all", &all);
  ratios_print("lost by its choice", &lost);
}

/* ---- command line ---------------------------------------------------- */

static bool options_read(Options *o, int argc, char **argv) {
  *o = (Options){ .zeros = 90, .block = 4, .rounds = 15 };
  for (int i = 1; i < argc; i++) {
    const char *v;
    if ((v = option(argv[i], "--cpu="))) o->cpu = v;
    else if ((v = option(argv[i], "--net="))) o->net = v;
    else if ((v = option(argv[i], "--kernel="))) o->kernel = v;
    else if ((v = option(argv[i], "--zeros="))) o->zeros = atoi(v);
    else if ((v = option(argv[i], "--block="))) o->block = atoi(v);
    else if ((v = option(argv[i], "--drawn=")))
      sscanf(v, "%d:%d", &o->drawn, &o->of);
    else if ((v = option(argv[i], "--form="))) o->form = v;
    else if ((v = option(argv[i], "--rounds="))) o->rounds = atoi(v);
    else if ((v = option(argv[i], "--asm="))) o->assembly = v;
    else if (strcmp(argv[i], "--model") == 0) o->model = true;
    else if ((v = option(argv[i], "--tile=")))
      sscanf(v, "%dx%d", &o->tile[0], &o->tile[1]);
    else o->shapes = argv[i];
  }
  return o->shapes != NULL && o->rounds > 0;
}

static bool takes(const char *kernel, const Shape *s, const Target *t,
                  const Options *o) {
  if (o->kernel && !strstr(kernel, o->kernel)) return false;
  if (strstr(kernel, "bsr") && s->o % o->block) return false;
  if (strstr(kernel, "code") && t->lanes != 16) return false;
  if (strstr(kernel, "perm") && t->lanes < 8) return false;
  return !strstr(kernel, "nm") || o->of == RUN_COLUMNS;
}

/* Layers n.. of the shape, one for each kernel; returns how many there are. */
static int layers_build(Layer *l, int n, const Shape *s, const Target *t,
                        const Options *o) {
  const char *const *kernel;
  int count = kernels_of(s, &kernel);
  for (int i = 0; i < count && n < LAYERS_MAX; i++) {
    if (!takes(kernel[i], s, t, o)) continue;
    l[n] = (Layer){ .s = *s, .kernel = kernel[i] };
    layer_build(&l[n++], t, o);
  }
  return n;
}

int main(int argc, char **argv) {
  static Layer layers[LAYERS_MAX];
  Options o;
  Target t;
  if (!options_read(&o, argc, argv)) {
    fprintf(stderr, "usage: kernels [options] SHAPES (see kernels.c)\n");
    return 2;
  }
  Diags *d = diags_new();
  if (!target_resolve(arena_new(), d, NULL, o.cpu, NULL, &t)) {
    diags_print(d, stderr, false);
    return 4;
  }
  FILE *f = fopen(o.shapes, "r");
  Shape s;
  int n = 0;
  if (!f) return 3;
  while (shape_read(f, &s))
    if (!is_transposed(&s) && (!o.net || strcmp(o.net, s.net) == 0))
      n = layers_build(layers, n, &s, &t, &o);
  fclose(f);
  double top = peak(&t, &o);
  printf("%s: %.0f GFLOP/s peak, %d lanes, %d registers; %d %% zeros\n",
         t.cpu, top, t.lanes, t.vregs, o.zeros);
  measure(layers, n, o.rounds);
  if (o.model) model_report(layers, n, &t);
  else report(layers, n, top);
  return 0;
}
