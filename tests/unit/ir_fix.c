/* ir_fix.c - see ir_fix.h. */
#include "tests/unit/ir_fix.h"

#include <string.h>

int fix_up(void **state) {
  static Fix x;
  x.m = module_new("m");
  x.f = func_new(x.m, "m");
  x.d = diags_new();
  *state = &x;
  return 0;
}

int fix_down(void **state) {
  Fix *x = *state;
  module_free(x->m);
  diags_free(x->d);
  return 0;
}

Node *input(Fix *x, const char *name, const int64_t *dim, int rank) {
  return func_input(x->m, x->f, name, type_make(F32, rank, dim));
}

Node *param(Fix *x, const char *path, const int64_t *dim, int rank,
            const float *v) {
  Type t = type_make(F32, rank, dim);
  size_t n = (size_t)type_elems(&t) * sizeof(float);
  Buffer *b = buffer_new(n);
  if (v && n) memcpy(b->data, v, n);
  return func_param(x->m, x->f, module_add_param(x->m, path, t, b));
}

Node *add(Fix *x, Op op, int nin, ...) {
  Node *in[MAX_OPERANDS];
  va_list ap;
  va_start(ap, nin);
  for (int i = 0; i < nin; i++) in[i] = va_arg(ap, Node *);
  va_end(ap);
  return func_add(x->m, x->f, op, in, nin);
}

void infer_ok(Fix *x, Node *n, const int64_t *dim, int rank) {
  if (!node_infer(x->m, n, x->d)) {
    diags_print(x->d, stderr, false);
    fail();
  }
  Type want = type_make(F32, rank, dim);
  assert_true(type_same_shape(&n->type, &want));
}
