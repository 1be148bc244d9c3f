/* test_call.c - what holds of every call of an artifact: errors come back
 * as codes, the stack stays below its bound, threads do not meet, and the
 * descriptor tells the truth; and which targets there are. */
#include "tests/unit/backend_net.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

/* ---- tests: the call ------------------------------------------------- */

static void test_call_errors(void **state) {
  (void)state;
  Net *n = net_new();
  Node *x = input(n, "x", shape(1, 64, 0, 0, 0));
  Node *h = node(n, OP_EXP, 1, x, NULL, NULL);
  func_output(n->m, n->f, "y", node(n, OP_LOG, 1, h, NULL, NULL));
  net_infer(n);
  net_load(n);
  Io io = io_new(n->model);
  const tamis_model *m = n->model;
  int (*run)(const float *, float *, void *);
  *(void **)&run = dlsym(n->so, "t_run");
  assert_non_null(*(void **)&run);
  assert_int_equal(m->check_cpu(), TAMIS_OK);
  assert_int_equal(m->run(io.at, io.arena), TAMIS_OK);
  assert_int_equal(run(io.at[0], io.at[1], io.arena), TAMIS_OK);
  assert_int_equal(run(NULL, io.at[1], io.arena), TAMIS_ERR_NULL);
  assert_int_equal(run(io.at[0], NULL, io.arena), TAMIS_ERR_NULL);
  assert_int_equal(run(io.at[0], io.at[1], NULL), TAMIS_ERR_NULL);
  assert_int_equal(run(io.at[0], io.at[1], (char *)io.arena + 4),
                   TAMIS_ERR_ALIGN);
  assert_int_equal(m->run(NULL, io.arena), TAMIS_ERR_NULL);
  assert_int_equal(m->size, sizeof *m);
  assert_int_equal(m->abi, TAMIS_ABI_VERSION);
  assert_int_equal(m->arena_bytes, 256);
  assert_int_equal(m->n_steps, 2);
  assert_string_equal(m->inputs[0].name, "x");
  assert_int_equal(m->inputs[0].bytes, 256);
  assert_int_equal(m->steps[0].out_io, -1);
  assert_int_equal(m->steps[1].out_io, 1);
  m->steps[0].run(io.at, io.arena, m->weights);
  io_free(&io);
  net_free(n);
}

/* ---- tests: the stack and threads ------------------------------------ */

/* A convolution, what a net needs around it, and functions with many live
 * vectors. */
static Net *net_usual(int opt) {
  Net *n = net_new();
  n->opt = opt;
  Node *x = input(n, "x", shape(4, 1, 3, 17, 23));
  Node *in[4] = { x, param(n, "w", shape(4, 8, 3, 3, 3)),
                  param(n, "b", shape(1, 8, 0, 0, 0)), NULL };
  Node *y = func_add(n->m, n->f, OP_CONV2D, in, 3);
  attr_set_str(n->m, y, "act", "gelu");
  ints(n, y, "pad", 4, 1, 1, 1, 1);
  Node *e = node(n, OP_TANH, 1, y, NULL, NULL);
  Node *p = node(n, OP_MEAN, 1, e, NULL, NULL);
  ints(n, p, "axes", 2, 2, 3, 0, 0);
  Node *s = node(n, OP_SOFTMAX, 1, p, NULL, NULL);
  func_output(n->m, n->f, "y", s);
  net_infer(n);
  net_load(n);
  return n;
}

enum { STACK = 1 << 18, PAINT = 0xa5 };
static ucontext_t back, there;
static const tamis_model *stack_model;
static Io *stack_io;
static int stack_result;

static void stack_run(void) {
  stack_result = stack_model->run(stack_io->at, stack_io->arena);
}

/* Bytes of a painted stack that a call leaves touched. */
static size_t stack_used(const tamis_model *m, Io *io) {
  unsigned char *stack = malloc(STACK);
  assert_non_null(stack);
  memset(stack, PAINT, STACK);
  stack_model = m, stack_io = io, stack_result = 1;
  assert_int_equal(getcontext(&there), 0);
  there.uc_stack.ss_sp = stack;
  there.uc_stack.ss_size = STACK;
  there.uc_link = &back;
  makecontext(&there, stack_run, 0);
  assert_int_equal(swapcontext(&back, &there), 0);
  size_t low = 0;
  while (low < STACK && stack[low] == PAINT) low++;
  free(stack);
  assert_int_equal(stack_result, TAMIS_OK);
  return STACK - low;
}

static void test_stack(void **state) {
  (void)state;
  for (int opt = 0; opt <= 4; opt++) {
    Net *n = net_usual(opt);
    Io io = io_new(n->model);
    size_t used = stack_used(n->model, &io);
    print_message("-O%c: %zu bytes of stack, bound %llu\n", "0123s"[opt], used,
                  (unsigned long long)n->model->stack_bytes);
    /* 4096 of it are for functions of libc, which this net does not call. */
    assert_true(used + 4096 <= n->model->stack_bytes);
    assert_int_equal(n->model->stack_bytes, n->info.stack_bytes);
    io_free(&io);
    net_check(n, -1, 1, 1e-5);
    net_free(n);
  }
}

typedef struct Runner { const tamis_model *m; Io io; int bad; } Runner;

static void *runner(void *ctx) {
  Runner *r = ctx;
  for (int i = 0; i < 200; i++) r->bad |= r->m->run(r->io.at, r->io.arena);
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  Net *n = net_usual(2);
  Runner r[3];
  pthread_t id[2];
  size_t bytes = n->model->inputs[0].bytes, out = n->model->outputs[0].bytes;
  for (int i = 0; i < 3; i++) {
    r[i] = (Runner){ n->model, io_new(n->model), 0 };
    float *x = r[i].io.at[0];
    for (size_t k = 0; k < bytes / 4; k++)
      x[k] = (float)((k * 7 + (size_t)(i & 1) * 3) % 11) - 5;
  }
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&id[i], NULL, runner, &r[i]), 0);
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(id[i], NULL), 0);
  runner(&r[2]);
  assert_int_equal(r[0].bad | r[1].bad | r[2].bad, 0);
  assert_memory_equal(r[0].io.at[1], r[2].io.at[1], out);
  assert_memory_not_equal(r[0].io.at[1], r[1].io.at[1], out);
  for (int i = 0; i < 3; i++) io_free(&r[i].io);
  net_free(n);
}

/* ---- tests: targets -------------------------------------------------- */

static void test_targets(void **state) {
  (void)state;
  Arena *a = arena_new();
  Diags *d = diags_new();
  Target t, again;
  assert_true(target_resolve(a, d, "x86_64-pc-linux-gnu", "znver4", NULL, &t));
  assert_int_equal(t.lanes, 16);
  assert_string_equal(t.triple, "x86_64-linux-gnu");
  assert_true(target_resolve(a, d, "x86_64-linux-gnu", "znver4", "-avx512vl",
                             &t));
  assert_int_equal(t.lanes, 8);
  assert_true(target_resolve(a, d, t.triple, t.cpu, t.features, &again));
  assert_string_equal(again.features, t.features);
  assert_true(target_resolve(a, d, "x86_64-linux-gnu", "x86-64", "+avx512vl",
                             &t));
  assert_int_equal(t.lanes, 8);
  assert_false(target_resolve(a, d, "x86_64-linux-gnu", "znver44", NULL, &t));
  assert_int_equal(diags_exit_code(d), EXIT_UNSUPPORTED);
  assert_false(target_resolve(a, d, "vax-dec-ultrix", NULL, NULL, &t));
  assert_false(target_resolve(a, d, "x86_64-linux-gnu", NULL, "+mmx9", &t));
  assert_int_equal(diags_errors(d), 3);
  diags_free(d);
  arena_free(a);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(test_call_errors), cmocka_unit_test(test_stack),
  cmocka_unit_test(test_threads)
};
static const struct CMUnitTest once[] = { cmocka_unit_test(test_targets) };

int main(void) {
  if (!net_dir_make()) return 1;
  int bad = cmocka_run_group_tests_name("targets", once, NULL, NULL);
  for (net_cpu = 0; net_cpu < NET_CPUS; net_cpu++)
    bad += cmocka_run_group_tests_name(net_cpus[net_cpu], tests, NULL, NULL);
  net_dir_remove();
  return bad != 0;
}
