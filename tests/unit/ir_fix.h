/* ir_fix.h - a module under test, for the tests of ir/. */
#ifndef TAMIS_IR_FIX_H
#define TAMIS_IR_FIX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>

#include "ir/ir.h"

/* A shape and its rank, as two arguments. */
#define DIMS(...) ((const int64_t[]){__VA_ARGS__}), \
  (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

typedef struct Fix {
  Module *m;
  Func *f;
  Diags *d;
} Fix;

int fix_up(void **state);
int fix_down(void **state);
#define FIXED(f) cmocka_unit_test_setup_teardown(f, fix_up, fix_down)

Node *input(Fix *x, const char *name, const int64_t *dim, int rank);
/* Of f32; v may be NULL. */
Node *param(Fix *x, const char *path, const int64_t *dim, int rank,
            const float *v);
/* An op on nin nodes. */
Node *add(Fix *x, Op op, int nin, ...);
/* Inference gives this shape. */
void infer_ok(Fix *x, Node *n, const int64_t *dim, int rank);

#endif
