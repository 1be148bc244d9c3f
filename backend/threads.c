/* threads.c - steps in parts: with a pool of threads the function of a step
 * is three,
 *
 *   STEP.part(io, arena, weights, part)   the work of one part
 *   STEP.task(args, part)                 the same, as a pool calls it
 *   STEP(io, arena, weights)              hands the parts to the pool, or
 *                                         without one does them in turn
 *
 * How many parts is decided here, by what the step costs: the same for any
 * number of threads. */
#include <string.h>

#include "backend/emit.h"

/* Cycles of work for which a part pays: what a pool takes to hand out work
 * and to wait for its end is about as much. */
enum { PART_CYCLES = 2500 };

/* Kernels whose parts may run at once. */
static bool kernel_cuts(const char *kernel) {
  static const char *const names[] = {
    "conv2d_dense", "conv2d_channels", "conv2d_depthwise", "conv2d_bsr",
    "conv2d_csr", "conv2d_code", "conv2d_pair", "conv2d_plain",
    "conv2d_transpose", "linear_dense", "linear_bsr", "linear_csr",
    "linear_perm", "linear_nm", "linear_code", "linear_pair", "matmul",
    "attend", "normalize", "rotary", "unary", "binary", "scale_shift",
    "where", "cast", "mask", "reduce", "softmax", "pool", "resize", "copy"
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(kernel, names[i]) == 0) return true;
  return false;
}

int step_parts(Emission *e, const Step *s) {
  Gen *g = &e->g;
  const Node *n = s->node;
  if (node_is_free(n)) return 1;
  if (!g->pool_slot || type_elems(&n->type) == 0 || !kernel_cuts(s->kernel))
    return 1;
  if (e->o->cut_all) return e->o->threads;
  Cost c = node_cost(g->mod, n);
  bool moves = s->output >= 0 || s->state || node_is_alias(n);
  bool table = node_reads_weight(n, 1) && n->in[1]->type.sparse;
  double macs = moves ? 0 : (double)(table ? c.nonzero_macs : c.macs);
  double bytes = moves ? 2 * (double)type_bytes(&n->type) : (double)c.bytes;
  double parts = (macs / g->t->lanes + bytes / 16) / PART_CYCLES;
  int most = e->o->threads;
  return parts < 2 ? 1 : parts > most ? most : (int)parts / 2 * 2;
}

/* ---- the three functions -------------------------------------------- */

/* What a task is given. */
enum { ARG_IO, ARG_ARENA, ARG_WEIGHTS, ARG_COUNT };

static LLVMTypeRef part_type(Gen *g) {
  LLVMTypeRef p[] = { g->ptr, g->ptr, g->ptr, g->i64 };
  return LLVMFunctionType(g->voidt, p, 4, false);
}

static LLVMTypeRef task_type(Gen *g) {
  LLVMTypeRef p[] = { g->ptr, g->i64 };
  return LLVMFunctionType(g->voidt, p, 2, false);
}

static Val task_build(Emission *e, const Step *s, Val part) {
  Gen *g = &e->g;
  Val fn = function_begin(e, arena_printf(g->a, "%s.task", s->symbol),
                          task_type(g), false), args[4];
  for (int i = 0; i < ARG_COUNT; i++)
    args[i] = slot_load(g, LLVMGetParam(fn, 0), i);
  args[3] = LLVMGetParam(fn, 1);
  LLVMBuildCall2(g->b, part_type(g), part, args, 4, "");
  LLVMBuildRetVoid(g->b);
  return fn;
}

/* pool->run(pool->ctx, task, args, parts) */
static void pool_call(Gen *g, Val pool, Val task, Val *in, int parts) {
  LLVMTypeRef p[] = { g->ptr, g->ptr, g->ptr, g->i64 };
  LLVMTypeRef type = LLVMFunctionType(g->voidt, p, 4, false);
  Val run = slot_load(g, pool, 0), ctx = slot_load(g, pool, 1);
  Val args = stack_array(g, g->ptr, ARG_COUNT);
  for (int i = 0; i < ARG_COUNT; i++) slot_store(g, args, i, in[i]);
  LLVMBuildCall2(g->b, type, run, (Val[]){ ctx, task, args, k64(g, parts) },
                 4, "");
}

static void step_wrap(Emission *e, Step *s, Val part, Val task, int parts) {
  Gen *g = &e->g;
  Val fn = function_begin(e, s->symbol, g->step_type, false), in[4];
  s->fn = fn;
  for (unsigned i = 0; i < ARG_COUNT; i++) in[i] = LLVMGetParam(fn, i);
  Val pool = slot_load(g, in[ARG_IO], pool_slot(g, g->func));
  Val null = LLVMConstNull(g->ptr);
  If f;
  if_begin(g, &f, LLVMBuildICmp(g->b, LLVMIntNE, pool, null, ""));
  pool_call(g, pool, task, in, parts);
  LLVMBuildRetVoid(g->b);
  LLVMPositionBuilderAtEnd(g->b, f.next);
  Loop l;
  loop_begin(g, &l, k64(g, 0), k64(g, parts), 1, true, "part");
  in[3] = l.iv;
  LLVMBuildCall2(g->b, part_type(g), part, in, 4, "");
  loop_end(g, &l);
  LLVMBuildRetVoid(g->b);
}

bool step_cut(Emission *e, Step *s, int parts) {
  Gen *g = &e->g;
  Val fn = LLVMAddFunction(g->m, arena_printf(g->a, "%s.part", s->symbol),
                           part_type(g));
  g->parts = parts;
  g->part = LLVMGetParam(fn, 3);
  g->turn = g->divided = false;
  step_body(e, s, fn);
  g->parts = 1;
  if (!g->divided) {
    LLVMDeleteFunction(fn);
    return false;
  }
  step_wrap(e, s, fn, task_build(e, s, fn), parts);
  return true;
}
