/* versions.c - one artifact for several CPUs: the module was planned for each,
 * and each is compiled in whole, with hidden symbols that begin with
 * PREFIX.CPU.  What callers see is built once more, for the baseline: it
 * calls one of the versions, which the dynamic loader chooses. */
#include <ctype.h>
#include <string.h>

#include "backend/emit.h"
#include "backend/target.h"

const char *version_prefix(Emission *e, int i) {
  char *cpu = arena_strdup(e->g.a, e->versions[i].target->cpu);
  for (char *p = cpu; *p; p++)
    if (!isalnum((unsigned char)*p)) *p = '_';
  return arena_printf(e->g.a, "%s.%s", e->o->prefix, cpu);
}

/* What version i has for PREFIX.run_io, or that of another entry. */
static Val version_entry(Emission *e, const Func *f, LLVMTypeRef type,
                         int i) {
  const char *own = e->prefix;
  e->prefix = version_prefix(e, i);
  Val fn = LLVMAddFunction(e->g.m, entry_io_name(e, f), type);
  LLVMSetVisibility(fn, LLVMHiddenVisibility);
  e->prefix = own;
  return fn;
}

/* An entry that calls the first version that the CPU runs; the last one
 * says that it cannot. */
static void entry_dispatch(Emission *e, const Func *f) {
  Gen *g = &e->g;
  int n = e->nversions;
  LLVMTypeRef two[] = { g->ptr, g->ptr };
  LLVMTypeRef type = LLVMFunctionType(g->i32, two, 2, false);
  CpuChoice *any = arena_array(g->a, CpuChoice, (size_t)n);
  for (int i = 0; i < n; i++)
    any[i] = (CpuChoice){ target_mask(e->versions[i].target),
                          version_entry(e, f, type, i) };
  const char *name = entry_io_name(e, f) + strlen(e->prefix) + 1;
  run_wrap(e, f, cpu_pick(e, name, type, any, n, any[n - 1].fn));
}

static void dispatch_build(Emission *e) {
  Gen *g = &e->g;
  int n = e->nversions;
  const Target **t = arena_array(g->a, const Target *, (size_t)n);
  for (int i = 0; i < n; i++) t[i] = e->versions[i].target;
  check_cpu_build(e, t, n);
  for (size_t i = 0; i < g->mod->funcs.n; i++)
    if (func_is_entry(g->mod, g->mod->funcs.at[i]))
      entry_dispatch(e, g->mod->funcs.at[i]);
  if (g->mod->states.n) reset_build(e);
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static void blob_move(Blob *to, Blob *from) {
  *to = *from;
  *from = (Blob){ 0 };
}

/* Version i as two objects in the folder of e.  Its weights go behind those
 * of the versions before it; what is the same lies there once. */
static bool version_emit(Emission *e, int i) {
  const Version *v = &e->versions[i];
  EmitOpts o = *e->o;
  EmitInfo info = { 0 }, *all = e->info;
  o.target = v->target;
  Emission own = { .o = &o, .info = &info, .dir = e->dir,
                   .prefix = version_prefix(e, i), .is_version = true };
  emission_open(&own, v->m, &o, e->g.d);
  blob_move(&own.g.blob, &e->g.blob);
  code_build(&own);
  bool ok = objects_write(&own, object_name(e, "code", i),
                          object_name(e, "weights", i));
  blob_move(&e->g.blob, &own.g.blob);
  emission_close(&own);
  all->arena_bytes = most(all->arena_bytes, info.arena_bytes);
  all->stack_bytes = most(all->stack_bytes, info.stack_bytes);
  ensure(i == 0 || all->state_bytes == info.state_bytes);
  all->state_bytes = info.state_bytes;
  all->weight_bytes = info.weight_bytes;
  all->code_bytes += info.code_bytes;
  return ok;
}

static bool versions_emit(Emission *e) {
  for (int i = 0; i < e->nversions; i++)
    if (!version_emit(e, i)) return false;
  dispatch_build(e);
  return objects_write(e, "code.o", "weights.o") && emission_link(e);
}

bool backend_emit_versions(const Version *v, int n, const EmitOpts *o,
                           EmitInfo *info, Diags *d) {
  Emission e = { .versions = v, .nversions = n };
  ensure(n > 1);
  return emission_run(&e, v[n - 1].m, o, info, d, versions_emit);
}
