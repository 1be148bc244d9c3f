/* tamis.h - what an artifact built by Tamis and a generic caller share: the
 * descriptor.  Self-contained C99 and C++.  An artifact's own header does
 * not need it; a program that loads artifacts by name does. */
#ifndef TAMIS_H
#define TAMIS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TAMIS_ABI_VERSION 4

/* Element types, as in tamis_tensor.elem. */
enum {
  TAMIS_F64, TAMIS_F32, TAMIS_F16, TAMIS_BF16, TAMIS_I64, TAMIS_I32,
  TAMIS_I16, TAMIS_I8, TAMIS_I4, TAMIS_U8, TAMIS_U4, TAMIS_B1, TAMIS_U16,
  TAMIS_U32, TAMIS_U64
};

/* What a call may return. */
enum {
  TAMIS_OK = 0,
  TAMIS_NO_OUTPUT = 1,        /* streaming: no output at this step */
  TAMIS_ERR_NULL = -1,        /* a pointer is NULL */
  TAMIS_ERR_ALIGN = -2,       /* the arena is not aligned to .align */
  TAMIS_ERR_DIM = -3,         /* a dimension is out of its bound */
  TAMIS_ERR_CPU = -4          /* this CPU lacks a feature */
};

/* Threads of the caller, for artifacts built with --threads: run() calls
 * task(arg, i) once for each i below n, on any threads and in any order, and
 * returns when all have returned. */
#ifndef TAMIS_POOL
#define TAMIS_POOL
typedef struct tamis_pool {
  void (*run)(void *ctx, void (*task)(void *arg, size_t i), void *arg,
              size_t n);
  void *ctx;
} tamis_pool;
#endif

/* A dimension that each call gives, from least to most. */
typedef struct tamis_free {
  const char *name;
  int64_t least, most;
} tamis_free;

/* A size that depends on them.  With P(k) the product of those free dimensions
 * i whose bit 1 << i is in k: the sum of c[k] P(k), divided by div and rounded
 * down, times mul P(by), plus add. */
typedef struct tamis_size {
  int64_t c[8];
  int64_t div, mul, by, add;
} tamis_size;

typedef struct tamis_tensor {
  const char *name;
  int32_t elem;               /* TAMIS_F32, ... */
  int32_t rank;
  const int64_t *dims;        /* where all free dimensions are at their most */
  uint64_t bytes;             /* of a row-major buffer of these */
  double scale;               /* quantised: scale*(q-zero); else 1 and 0 */
  int64_t zero;
  const tamis_size *sizes;    /* one a dimension; NULL: all are fixed */
} tamis_tensor;

/* One kernel call.  io: pointers as for run.  dims and strides: where all free
 * dimensions are at their most.  The result lies in the arena
 * at out_offset, or in io[out_io] when out_io >= 0; the element with index i
 * is at out_origin + sum(i[k] * out_strides[k]), counted in elements.  A
 * result of another function (op "item") was written by the step that called
 * it; its own run does nothing. */
typedef struct tamis_step {
  const char *path;           /* layer path, output's name, or the op */
  const char *origin;         /* original place or node name, or "" */
  const char *op;
  const char *kernel;
  void (*run)(void *const *io, char *arena, const char *weights);
  int32_t out_io;
  int32_t elem;
  uint64_t out_offset;
  int64_t out_origin;
  int32_t rank;
  int32_t value;              /* index of the value among the nodes; -1: the
                                 result is scratch of a call */
  const int64_t *dims;
  const int64_t *out_strides; /* NULL: the layout is no matter of strides */
} tamis_step;

/* A function beside the model that can be called too. */
typedef struct tamis_entry {
  const char *name;
  uint32_t n_inputs, n_outputs;
  const tamis_tensor *inputs;
  const tamis_tensor *outputs;
  int (*run)(void *const *io, void *arena);   /* as the model's */
} tamis_entry;

typedef struct tamis_model {
  uint32_t size;              /* of this struct */
  uint32_t abi;               /* TAMIS_ABI_VERSION */
  const char *name;
  const char *version;        /* of the compiler */
  const char *target;         /* triple */
  const char *cpu;
  const char *features;
  uint64_t arena_bytes, stack_bytes, align, weight_bytes;
  uint32_t n_inputs, n_outputs;
  const tamis_tensor *inputs;
  const tamis_tensor *outputs;
  /* All pointers at once: inputs, then outputs, then (n_free > 0) a const
   * int64_t *, a size for each free dimension, then the weights where they
   * are external, then the state where there is one, then (threads > 0) a
   * const tamis_pool *, which may be NULL: no other threads. */
  int (*run)(void *const *io, void *arena);
  const void *weights;        /* NULL when they are external */
  uint32_t n_steps;
  uint32_t threads;           /* most parts of a step; 0: io has no pool */
  const tamis_step *steps;    /* NULL when stripped */
  int (*check_cpu)(void);     /* 0 or TAMIS_ERR_CPU */
  uint64_t state_bytes;       /* aligned to .align; 0: there is none */
  void (*reset)(void *state); /* before the first call; NULL: no state */
  uint32_t n_entries, reserved_2;
  const tamis_entry *entries;
  /* Compiled for several CPUs (cpu is "a+b"): a descriptor of each version,
   * the most demanding first.  run calls the first whose check_cpu gives 0;
   * steps are those of a version.  All share the weights. */
  uint32_t n_versions, reserved_3;
  const struct tamis_model *const *versions;
  uint32_t n_free, reserved_4;
  const tamis_free *free;     /* dimensions that calls give, in order */
} tamis_model;

#ifdef __cplusplus
}
#endif
#endif
