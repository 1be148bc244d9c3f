/* backend_net.c - the harness of the backend's tests. */
#include "tests/unit/backend_net.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- the machines compiled for --------------------------------------- */

const char *const net_cpus[] = { "native", "x86-64-v3", "x86-64" };
int net_cpu;

static bool target_get(Arena *a, Target *t) {
  Diags *d = diags_new();
  bool ok = target_resolve(a, d, NULL, net_cpus[net_cpu], NULL, t);
  diags_free(d);
  return ok;
}

/* ---- random numbers -------------------------------------------------- */

static uint64_t seed = 1;

double draw(double lo, double hi) {
  seed = hash_mix(seed + 0x9E3779B97F4A7C15u);
  return lo + (hi - lo) * (double)(seed >> 11) * 0x1p-53;
}

/* ---- a model --------------------------------------------------------- */

static char dir[] = "/tmp/tamis-test-XXXXXX";

Net *net_new(void) {
  Arena *a = arena_new();
  Net *n = arena_new_of(a, Net);
  n->a = a;
  n->d = diags_new();
  n->m = module_new("t");
  n->f = func_new(n->m, "t");
  n->opt = 2;
  if (!target_get(a, &n->t)) skip();
  return n;
}

Type shape(int rank, int64_t a, int64_t b, int64_t c, int64_t d) {
  return type_make(F32, rank, (int64_t[]){ a, b, c, d });
}

Node *node(Net *n, Op op, int nin, Node *a, Node *b, Node *c) {
  return func_add(n->m, n->f, op, (Node *[]){ a, b, c }, nin);
}

Node *input(Net *n, const char *name, Type t) {
  return func_input(n->m, n->f, name, t);
}

Node *param(Net *n, const char *path, Type t) {
  int64_t count = type_elems(&t);
  Param *old = module_param(n->m, path);
  if (old) return func_param(n->m, n->f, old);
  Buffer *b = buffer_new((size_t)count * 4);
  float *v = (float *)(void *)b->data;
  for (int64_t i = 0; i < count; i++) v[i] = (float)draw(0.25, 2);
  return func_param(n->m, n->f, module_add_param(n->m, path, t, b));
}

void ints(Net *n, Node *x, const char *name, int count, int64_t a,
                 int64_t b, int64_t c, int64_t d) {
  attr_set_ints(n->m, x, name, (int64_t[]){ a, b, c, d }, count);
}

static const char *kernel_of(Op op) {
  uint32_t flags = op_info(op)->flags;
  if (flags & FLAG_UNARY) return "unary";
  if (flags & FLAG_BINARY) return "binary";
  if (flags & FLAG_REDUCE) return "reduce";
  if (flags & FLAG_VIEW) return "copy";
  switch (op) {
    case OP_CONV2D: return "conv2d_plain";
    case OP_SCALE_SHIFT: case OP_BATCH_NORM: return "scale_shift";
    case OP_MASK: return "mask";
    case OP_SOFTMAX: return "softmax";
    case OP_RESIZE: return "resize";
    case OP_MATMUL: return "matmul";
    case OP_ATTEND: return "attend";
    case OP_NORMALIZE: return "normalize";
    case OP_ROTARY: return "rotary";
    case OP_CONV2D_WEIGHT_GRAD: return "conv2d_weight_grad";
    case OP_CONV2D_TRANSPOSE: return "conv2d_transpose";
    default: return "pool";
  }
}

/* Infer all types; keep layouts that were set before. */
void net_infer(Net *n) {
  for (size_t i = 0; i < n->f->nodes.n; i++) {
    Node *x = n->f->nodes.at[i];
    if (op_info(x->op)->flags & FLAG_LEAF) continue;
    const Layout *layout = x->type.layout;
    if (!node_infer(n->m, x, n->d)) {
      diags_print(n->d, stderr, false);
      fail();
    }
    x->type.layout = layout;
    x->type.at = -1;
    x->kernel = kernel_of(x->op);
  }
}

static bool is_output(const Net *n, const Node *x) {
  for (size_t i = 0; i < n->f->outputs.n; i++)
    if (n->f->outputs.at[i].node == x) return true;
  return false;
}

/* Every value that is no output after the one before. */
static void net_plan(Net *n) {
  int64_t at = 0;
  for (size_t i = 0; i < n->f->nodes.n; i++) {
    Node *x = n->f->nodes.at[i];
    x->id = (uint32_t)i;
    if ((op_info(x->op)->flags & FLAG_LEAF) || x->type.at >= 0) continue;
    if (is_output(n, x) && !x->type.layout) continue;
    x->type.at = at;
    at = (at + type_bytes(&x->type) + 63) / 64 * 64;
  }
}

void net_load(Net *n) {
  /* A name of its own: a test that failed leaves its artifact loaded. */
  static int count;
  char *out = path_join(n->a, dir, arena_printf(n->a, "t%d.so", count++));
  EmitOpts o = { .target = &n->t, .kind = EMIT_SO, .out = out, .prefix = "t",
                 .opt = n->opt };
  net_plan(n);
  if (!backend_emit(n->m, &o, &n->info, n->d)) {
    diags_print(n->d, stderr, false);
    fail();
  }
  n->so = dlopen(out, RTLD_NOW | RTLD_LOCAL);
  if (!n->so) fail_msg("%s", dlerror());
  unlink(out);
  n->model = dlsym(n->so, "t_model");
  assert_non_null(n->model);
}

void net_free(Net *n) {
  if (n->so) dlclose(n->so);
  module_free(n->m);
  diags_free(n->d);
  arena_free(n->a);
}

/* ---- running and comparing ------------------------------------------- */

static size_t pages(size_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return (n + page - 1) / page * page;
}

/* n bytes before a guard page. */
static void *guarded(Io *io, int i, size_t n) {
  size_t whole = pages(n + 1), page = pages(1);
  char *p = mmap(NULL, whole + page, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(p != MAP_FAILED);
  assert_int_equal(mprotect(p + whole, page, PROT_NONE), 0);
  io->map[i] = p, io->size[i] = whole + page;
  return p + whole - n;
}

Io io_new(const tamis_model *m) {
  Io io = { .n = m->n_inputs + m->n_outputs };
  for (size_t i = 0; i < io.n; i++) {
    const tamis_tensor *t = i < m->n_inputs ? &m->inputs[i]
                                            : &m->outputs[i - m->n_inputs];
    io.at[i] = guarded(&io, (int)i, t->bytes);
  }
  io.arena = guarded(&io, 16, m->arena_bytes);
  memset(io.arena, 0xff, m->arena_bytes);
  return io;
}

void io_free(Io *io) {
  for (int i = 0; i < 17; i++)
    if (io->map[i]) munmap(io->map[i], io->size[i]);
}

/* Fill the inputs, run both, compare every output. */
void net_check(Net *n, double lo, double hi, double tol) {
  Io io = io_new(n->model);
  Tensor in[8];
  size_t nin = n->f->inputs.n;
  for (size_t i = 0; i < nin; i++) {
    Type t = n->f->inputs.at[i]->type;
    int64_t count = type_elems(&t);
    in[i] = tensor_new(n->a, &t);
    for (int64_t k = 0; k < count; k++) {
      float v = (float)draw(lo, hi);
      ((float *)io.at[i])[k] = v;
      in[i].v[k] = (double)v;
    }
  }
  EvalOpts o = { 0 };
  Tensor *want = func_eval(n->a, n->m, n->f, in, &o, true, n->d);
  assert_non_null(want);
  assert_int_equal(n->model->run(io.at, io.arena), TAMIS_OK);
  for (size_t i = 0; i < n->f->outputs.n; i++) {
    const Node *x = n->f->outputs.at[i].node;
    const float *have = io.at[nin + i];
    for (int64_t k = 0; k < type_elems(&x->type); k++) {
      double r = want[x->id].v[k], y = (double)have[k];
      if (fabs(y - r) <= tol * fmax(1, fabs(r)) || (isnan(y) && isnan(r)))
        continue;
      fail_msg("%s (%s): output %zu[%lld] is %.9g, should be %.9g",
               op_info(x->op)->name, n->t.cpu, i, (long long)k, y, r);
    }
  }
  io_free(&io);
}

void net_finish(Net *n, Node *out, double lo, double hi, double tol) {
  func_output(n->m, n->f, "y", out);
  net_infer(n);
  net_load(n);
  net_check(n, lo, hi, tol);
  net_free(n);
}

/* ---- the folder ------------------------------------------------------ */

bool net_dir_make(void) { return mkdtemp(dir); }

void net_dir_remove(void) {
  char path[64];
  snprintf(path, sizeof path, "%s/t.h", dir);
  unlink(path);
  rmdir(dir);
}
