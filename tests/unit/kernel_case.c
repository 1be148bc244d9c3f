/* kernel_case.c - see kernel_case.h. */
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
#include <unistd.h>

#include "tests/run/kernel_jit.h"
#include "tests/unit/kernel_case.h"

/* ---- random numbers -------------------------------------------------- */

static uint64_t seed;

void draw_seed(uint64_t s) { seed = s; }

int64_t pick(int64_t lo, int64_t hi) {   /* both included */
  seed = hash_mix(seed + 0x9E3779B97F4A7C15u);
  return lo + (int64_t)(seed % (uint64_t)(hi - lo + 1));
}

bool chance(int percent) { return pick(1, 100) <= percent; }

float draw_value(bool whole) {
  if (whole) return (float)pick(-3, 3);
  return (float)pick(-1000, 1000) / 512.0f;
}

/* ---- values that end at a guard page --------------------------------- */

static size_t pages(size_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return (n + page - 1) / page * page;
}

Space space_new(size_t size) {
  Space s = { NULL, size, 0 };
  s.at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(s.at != MAP_FAILED);
  return s;
}

static Value value_of(Node *n, float *base, size_t bytes) {
  Value v = {.n = n, .base = base, .bytes = bytes};
  v.strided = layout_strides(&n->type, v.strides, &v.first);
  return v;
}

/* Give n a place in the space; everything is NaN but the halo. */
void value_place(Space *s, Node *n, Value *v) {
  size_t bytes = (size_t)type_bytes(&n->type), whole = pages(bytes);
  assert_true(s->used + whole + pages(1) <= s->size);
  char *at = s->at + s->used;
  assert_int_equal(mprotect(at, whole, PROT_READ | PROT_WRITE), 0);
  s->used += whole + pages(1);
  n->type.at = (int64_t)(at - s->at) + (int64_t)(whole - bytes);
  *v = value_of(n, (float *)(void *)(s->at + n->type.at), bytes);
  for (size_t i = 0; i < bytes / 4; i++) v->base[i] = NAN;
}

/* The element at index i of a tensor of rank 4 or less; halo positions
 * count as well. */
float *value_at(const Value *v, const int64_t *i) {
  int64_t at = v->first;
  assert_true(v->strided);
  for (int k = 0; k < v->n->type.rank; k++) at += i[k] * v->strides[k];
  assert_true(at >= 0 && (size_t)at < v->bytes / 4);
  return &v->base[at];
}

/* Zero the halo, or check that it is zero. */
void value_halo(const Value *v, bool check) {
  const Type *t = &v->n->type;
  const Layout *l = t->layout;
  if (!l || t->rank != 4) return;
  int64_t i[4], h = t->dim[2], w = t->dim[3];
  for (i[0] = 0; i[0] < t->dim[0]; i[0]++)
    for (i[1] = 0; i[1] < t->dim[1]; i[1]++)
      for (i[2] = -l->halo[0]; i[2] < h + l->halo[1]; i[2]++)
        for (i[3] = -l->halo[2]; i[3] < w + l->halo[3]; i[3]++) {
          if (i[2] >= 0 && i[2] < h && i[3] >= 0 && i[3] < w) continue;
          if (check) assert_true(*value_at(v, i) == 0);
          else *value_at(v, i) = 0;
        }
}

/* Index number k of a shape, row-major. */
void type_index(const Type *t, int64_t k, int64_t *i) {
  for (int a = t->rank - 1; a >= 0; a--) {
    i[a] = k % t->dim[a];
    k /= t->dim[a];
  }
}

void value_fill(const Value *v, bool whole) {
  int64_t i[MAX_RANK], n = type_elems(&v->n->type);
  value_halo(v, false);
  for (int64_t k = 0; k < n; k++) {
    type_index(&v->n->type, k, i);
    *value_at(v, i) = draw_value(whole);
  }
}

/* ---- building a case ------------------------------------------------- */

Node *param_node(Case *c, const char *name, Type t, int density,
                        int block) {
  int64_t n = type_elems(&t), cols = n / t.dim[0];
  Buffer *buf = buffer_new((size_t)n * 4 + 4);
  buf->size = (size_t)n * 4;
  float *v = (float *)(void *)buf->data;
  for (int64_t i = 0; i < t.dim[0]; i += block)
    for (int64_t k = 0; k < cols; k++) {
      bool on = chance(density);
      for (int64_t j = i; j < i + block && j < t.dim[0]; j++)
        v[j * cols + k] = on ? draw_value(c->whole) : 0;
    }
  return func_param(c->m, c->f, module_add_param(c->m, name, t, buf));
}

void epilogue_attrs(Case *c) {
  static const char *const acts[] = { "", "relu", "relu6", "clip",
                                      "leaky_relu" };
  const char *act = acts[pick(0, 4)];
  attr_set_str(c->m, c->y, "act", act);
  if (strcmp(act, "clip") == 0) {
    attr_set_float(c->y, "lo", -2);
    attr_set_float(c->y, "hi", 5);
  } else if (strcmp(act, "leaky_relu") == 0) {
    attr_set_float(c->y, "lo", 0.25);
  }
  attr_set_bool(c->y, "add_last", chance(50));
}

static double act_of(const Node *n, double v) {
  const char *act = attr_str(n, "act");
  double lo = attr_float(n, "lo"), hi = attr_float(n, "hi");
  if (strcmp(act, "relu") == 0) return v < 0 ? 0 : v;
  if (strcmp(act, "relu6") == 0) return v < 0 ? 0 : v > 6 ? 6 : v;
  if (strcmp(act, "clip") == 0) return v < lo ? lo : v > hi ? hi : v;
  if (strcmp(act, "leaky_relu") == 0) return v < 0 ? v * lo : v;
  return v;
}

void sum_add(Sum *s, double a, double b) {
  s->v += a * b;
  s->mag += fabs(a * b);
}

/* Bias, residual and activation; compare with what the kernel gave. */
void case_compare(const Case *c, Sum s, double bias, double r, float got) {
  bool last = attr_bool(c->y, "add_last");
  sum_add(&s, bias, 1);
  if (!last) s.v += r;
  s.mag += fabs(r);
  double want = act_of(c->y, s.v) + (last ? r : 0);
  double bound = (8 + 2 * sqrt((double)c->k)) * FLT_EPSILON * s.mag;
  if (c->whole) bound = 0;
  if (fabs(got - want) <= bound) return;
  Text t = { 0 };
  node_print(&t, c->m, c->f, c->y);
  fail_msg("%s: got %.9g, expected %.9g +- %.3g\n%s", c->kernel, got, want,
           bound, t.s);
}

/* Run the kernel of c->y and hand over the residual as it was before. */
float *case_run(Case *c, Space *s, const Target *t) {
  size_t n = c->r ? c->vr.bytes : 4;
  float *before = malloc(n);
  if (c->r) memcpy(before, c->vr.base, n);
  if (c->in_place) c->vy = value_of(c->y, c->vr.base, c->vr.bytes);
  c->y->kernel = c->kernel;
  KernelJit k;
  int parts = chance(60) ? 1 : (int)pick(2, 17);
  kernel_compile_parts(&k, c->m, c->f, c->y, t, parts, NULL);
  /* In the order of the inputs: x, then r, then a weight. */
  void *io[3] = { c->vx.base };
  int n_io = 1;
  if (c->r) io[n_io++] = c->vr.base;
  if (c->computed)
    io[n_io] = (void *)(uintptr_t)param_values(c->m, c->w->param);
  k.run(io, s->at, k.weights);
  kernel_free(&k);
  return before;
}
