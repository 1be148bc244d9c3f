/* backend_net.h - for the tests of the backend: a module built by hand, sent
 * through backend_emit, loaded, run between guard pages and compared with
 * the evaluator. */
#ifndef TAMIS_BACKEND_NET_H
#define TAMIS_BACKEND_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>

#include "backend/backend.h"
#include "runtime/tamis.h"

/* The CPU compiled for: nets of one that this machine lacks are skipped. */
extern const char *const net_cpus[];
enum { NET_CPUS = 3 };
extern int net_cpu;

typedef struct Net {
  Arena *a;
  Diags *d;
  Module *m;
  Func *f;
  Target t;
  void *so;
  const tamis_model *model;
  EmitInfo info;
  int opt;
} Net;

double draw(double lo, double hi);
Type shape(int rank, int64_t a, int64_t b, int64_t c, int64_t d);

Net *net_new(void);
void net_free(Net *n);
Node *node(Net *n, Op op, int nin, Node *a, Node *b, Node *c);
Node *input(Net *n, const char *name, Type t);
/* A param with positive values; the same one for the same path. */
Node *param(Net *n, const char *path, Type t);
void ints(Net *n, Node *x, const char *name, int count, int64_t a, int64_t b,
          int64_t c, int64_t d);
/* Infer all types (layouts that were set stay), take the usual kernels. */
void net_infer(Net *n);
/* Plan, emit and load. */
void net_load(Net *n);
/* Fill the inputs, run both, compare every output. */
void net_check(Net *n, double lo, double hi, double tol);
/* infer, load, check, free, with one output. */
void net_finish(Net *n, Node *out, double lo, double hi, double tol);

/* What a call takes; every buffer ends at a page that cannot be touched. */
typedef struct Io {
  void *at[16], *arena;
  void *map[17];
  size_t size[17], n;
} Io;
Io io_new(const tamis_model *m);
void io_free(Io *io);

/* The folder for artifacts, made and removed by main. */
bool net_dir_make(void);
void net_dir_remove(void);

#endif
