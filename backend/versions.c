/* versions.c - one artifact for several CPUs, and for several sizes of free
 * dimensions: the module was planned for each, and each is compiled in whole,
 * with hidden symbols that begin with PREFIX.CPU.  What callers see is built
 * once more, for the baseline: it calls the first version that the sizes lie
 * within, of those that the dynamic loader chooses. */
#include <ctype.h>
#include <string.h>

#include "backend/emit.h"
#include "backend/target.h"

static bool dims_equal(const FreeDims *a, const FreeDims *b) {
  for (int i = 0; a && i < a->n; i++)
    if (a->dim[i].least != b->dim[i].least || a->dim[i].most != b->dim[i].most)
      return false;
  return true;
}

/* Is version i for some sizes alone? */
static bool is_sized(const Emission *e, int i) {
  return !dims_equal(e->versions[i].sizes, e->g.mod->free);
}

const char *version_prefix(Emission *e, int i) {
  char *cpu = arena_strdup(e->g.a, e->versions[i].target->cpu);
  for (char *p = cpu; *p; p++)
    if (!isalnum((unsigned char)*p)) *p = '_';
  const char *s = arena_printf(e->g.a, "%s.%s", e->o->prefix, cpu);
  return is_sized(e, i) ? arena_printf(e->g.a, "%s.%d", s, i) : s;
}

/* What version i has for PREFIX.run_io, or that of another entry. */
static Val version_entry(Emission *e, const Func *f, LLVMTypeRef type,
                         int i) {
  const char *own = e->prefix;
  e->prefix = version_prefix(e, i);
  const char *name = entry_io_name(e, f);
  Val fn = LLVMGetNamedFunction(e->g.m, name);
  if (!fn) fn = LLVMAddFunction(e->g.m, name, type);
  LLVMSetVisibility(fn, LLVMHiddenVisibility);
  e->prefix = own;
  return fn;
}

/* Behind version i and the others for its CPU, the last of which is for all
 * sizes. */
static int cpu_end(const Emission *e, int i) {
  const Target *t = e->versions[i].target;
  while (i < e->nversions && e->versions[i].target == t) i++;
  return i;
}

/* What is called where the sizes are those of version `of`: by the CPU, the
 * first that it runs; the last one says that it cannot. */
static Val sizes_entry(Emission *e, const Func *f, const char *name,
                       LLVMTypeRef type, int of) {
  Gen *g = &e->g;
  CpuChoice *any = arena_array(g->a, CpuChoice, (size_t)e->nversions);
  int n = 0;
  for (int i = 0, end; i < e->nversions; i = end) {
    end = cpu_end(e, i);
    int take = end - 1;
    for (int k = i; k < end; k++)
      if (dims_equal(e->versions[k].sizes, e->versions[of].sizes))
        take = k;
    any[n++] = (CpuChoice){ target_mask(e->versions[take].target),
                            version_entry(e, f, type, take) };
  }
  return n > 1 ? cpu_pick(e, name, type, any, n, any[n - 1].fn) : any[0].fn;
}

/* Is one of the sizes at `dims` none of f's? */
static Val outside(Gen *g, const FreeDims *f, Val dims) {
  Val any = NULL;
  for (int i = 0; i < f->n; i++) {
    Val one = dim_outside(g, dims, i, f->dim[i].least, f->dim[i].most);
    any = any ? LLVMBuildOr(g->b, any, one, "") : one;
  }
  return any;
}

/* Return what fn returns, if yes; go on if not. */
static void call_if(Gen *g, Val yes, LLVMTypeRef type, Val fn, Val args[2]) {
  LLVMBasicBlockRef call = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
  LLVMBuildCondBr(g->b, yes, call, next);
  LLVMPositionBuilderAtEnd(g->b, call);
  LLVMBuildRet(g->b, LLVMBuildCall2(g->b, type, fn, args, 2, ""));
  LLVMPositionBuilderAtEnd(g->b, next);
}

/* The first version of all with the sizes of version i. */
static bool sizes_first(const Emission *e, int i) {
  for (int k = 0; k < i; k++)
    if (dims_equal(e->versions[k].sizes, e->versions[i].sizes)) return false;
  return true;
}

/* The versions by sizes.  Errors are found by the one for all, which is called
 * last: at sizes that no other is for on any CPU. */
static Val sizes_dispatch(Emission *e, const Func *f, LLVMTypeRef type) {
  Gen *g = &e->g;
  int n = e->nversions, last = n - 1;
  const char *name = entry_io_name(e, f);
  Val *fn = arena_array(g->a, Val, (size_t)n);
  for (int i = 0; i < n; i++) {
    const char *own = arena_printf(g->a, "%s.%d", name + strlen(e->prefix) + 1,
                                   i);
    if (i == last || (is_sized(e, i) && sizes_first(e, i)))
      fn[i] = sizes_entry(e, f, own, type, i);
  }
  Val own = function_begin(e, name, type, false);
  Val args[] = { LLVMGetParam(own, 0), LLVMGetParam(own, 1) };
  Val none = LLVMConstNull(g->ptr);
  call_if(g, LLVMBuildICmp(g->b, LLVMIntEQ, args[0], none, ""), type, fn[last],
          args);
  Val dims = slot_load(g, args[0], dims_slot(f));
  call_if(g, LLVMBuildICmp(g->b, LLVMIntEQ, dims, none, ""), type, fn[last],
          args);
  for (int i = 0; i < last; i++)
    if (fn[i])
      call_if(g, LLVMBuildNot(g->b, outside(g, e->versions[i].sizes, dims), ""),
              type, fn[i], args);
  LLVMBuildRet(g->b, LLVMBuildCall2(g->b, type, fn[last], args, 2, ""));
  return own;
}

static void entry_dispatch(Emission *e, const Func *f) {
  Gen *g = &e->g;
  LLVMTypeRef two[] = { g->ptr, g->ptr };
  LLVMTypeRef type = LLVMFunctionType(g->i32, two, 2, false);
  const char *name = entry_io_name(e, f) + strlen(e->prefix) + 1;
  bool sizes = cpu_end(e, 0) > 1 || e->nversions == 1;
  run_wrap(e, f, sizes ? sizes_dispatch(e, f, type)
                       : sizes_entry(e, f, name, type, 0));
}

static void dispatch_build(Emission *e) {
  Gen *g = &e->g;
  const Target **t = arena_array(g->a, const Target *,
                                 (size_t)e->nversions);
  int n = 0;
  for (int i = 0; i < e->nversions; i = cpu_end(e, i))
    t[n++] = e->versions[i].target;
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

static const FreeDims *dims_copy(Arena *a, const FreeDims *f) {
  FreeDims *own = f ? arena_new_of(a, FreeDims) : NULL;
  if (own) *own = *f;
  return own;
}

/* One after the other, so that no two modules with their weights are there at
 * a time. */
static bool versions_emit(Emission *e) {
  for (int i = 0; i < e->nversions; i++) {
    Version *v = &e->versions[i];
    bool there = v->m != NULL;
    if (!there && !e->calls->open(v)) {
      e->nversions--;
      memmove(v, v + 1, (size_t)(e->nversions - i) * sizeof *v);
      i--;
      continue;
    }
    v->sizes = dims_copy(e->g.a, v->m->free);
    bool ok = version_emit(e, i);
    if (!there) e->calls->close(v), v->m = NULL;
    if (!ok) return false;
  }
  dispatch_build(e);
  return objects_write(e, "code.o", "weights.o") && emission_link(e);
}

bool backend_emit_versions(Version *v, int n, const VersionCalls *calls,
                           const EmitOpts *o, EmitInfo *info, Diags *d) {
  Emission e = { .versions = v, .nversions = n, .calls = calls };
  ensure(n > 1);
  return emission_run(&e, v[n - 1].m, o, info, d, versions_emit);
}
