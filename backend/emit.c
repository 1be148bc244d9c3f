/* emit.c - the emission of an artifact: build the code, optimise it, write
 * objects, then what depends on them (descriptor, header), then link. */
#include "backend/emit.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Object.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/target.h"

/* ---- set-up --------------------------------------------------------- */

static bool is_x86(const Target *t) { return !strcmp(t->arch, "x86_64"); }

static LLVMTargetMachineRef machine_new(const Target *t, int opt) {
  static const LLVMCodeGenOptLevel level[] = {
    LLVMCodeGenLevelNone, LLVMCodeGenLevelLess, LLVMCodeGenLevelDefault,
    LLVMCodeGenLevelAggressive, LLVMCodeGenLevelDefault
  };
  char *why = NULL;
  LLVMTargetRef ref;
  target_init(t);
  if (LLVMGetTargetFromTriple(t->triple, &ref, &why))
    internal_error(__FILE__, __LINE__, "%s", why);
  LLVMTargetMachineRef tm = LLVMCreateTargetMachine(
      ref, t->triple, is_x86(t) ? "x86-64" : "generic", "", level[opt],
      LLVMRelocPIC, LLVMCodeModelDefault);
  ensure(tm);
  return tm;
}

static bool name_is(const char *s, const char *name, size_t n) {
  return strlen(s) == n && strncmp(s, name, n) == 0;
}

/* Is the name that of a step, or of a function that does a part of it? */
static bool name_of_step(const Step *s, const char *name, size_t n) {
  size_t own = strlen(s->symbol);
  if (n == own + 5 && (strncmp(name + own, ".part", 5) == 0 ||
                       strncmp(name + own, ".task", 5) == 0))
    n = own;
  return name_is(s->symbol, name, n);
}

/* Where the frame of a function is kept. */
static int64_t *frame_of(Emission *e, const char *name, size_t n) {
  for (size_t i = 0; i < e->steps.n; i++)
    if (name_of_step(&e->steps.at[i], name, n)) return &e->steps.at[i].frame;
  for (size_t i = 0; i < e->funcs.n; i++)
    if (name_is(body_name(e, e->funcs.at[i].func), name, n))
      return &e->funcs.at[i].frame;
  return &e->frame_run;
}

/* LLVM says how large each frame is as a warning about a limit of 0 (see
 * attrs_common): "... stack frame size (N) exceeds limit (0) in function
 * 'NAME'". */
static void on_diagnostic(LLVMDiagnosticInfoRef info, void *ctx) {
  static const char words[] = "stack frame size (";
  Emission *e = ctx;
  LLVMDiagnosticSeverity level = LLVMGetDiagInfoSeverity(info);
  if (level == LLVMDSRemark || level == LLVMDSNote) return;
  char *text = LLVMGetDiagInfoDescription(info);
  if (level == LLVMDSError)
    internal_error(__FILE__, __LINE__, "LLVM: %s", text);
  const char *size = strstr(text, words), *name = strchr(text, '\'');
  if (size && name) {
    int64_t n = strtoll(size + sizeof words - 1, NULL, 10);
    name++;
    *frame_of(e, name, strcspn(name, "'")) += n;
  }
  LLVMDisposeMessage(text);
}

static LLVMModuleRef module_begin(Emission *e) {
  Gen *g = &e->g;
  LLVMModuleRef m = LLVMModuleCreateWithNameInContext(e->prefix, g->c);
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(e->tm);
  LLVMSetTarget(m, g->t->triple);
  LLVMSetModuleDataLayout(m, layout);
  LLVMDisposeTargetData(layout);
  return m;
}

int64_t aligned(int64_t n) {
  return (n + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

void emission_open(Emission *e, Module *m, const EmitOpts *o, Diags *d) {
  Gen *g = &e->g;
  LLVMContextRef c = LLVMContextCreate();
  g->c = c;
  g->b = LLVMCreateBuilderInContext(c);
  g->i1 = LLVMInt1TypeInContext(c);
  g->i8 = LLVMInt8TypeInContext(c);
  g->i16 = LLVMInt16TypeInContext(c);
  g->i32 = LLVMInt32TypeInContext(c);
  g->i64 = LLVMInt64TypeInContext(c);
  g->f32 = LLVMFloatTypeInContext(c);
  g->f64 = LLVMDoubleTypeInContext(c);
  g->ptr = LLVMPointerTypeInContext(c, 0);
  g->voidt = LLVMVoidTypeInContext(c);
  g->t = o->target;
  g->vec = LLVMVectorType(g->f32, (unsigned)g->t->lanes);
  g->veci = LLVMVectorType(g->i32, (unsigned)g->t->lanes);
  g->opt = o->opt;
  g->mod = m;
  g->func = m->funcs.at[0];
  g->weights_slot = o->external_weights != NULL;
  g->pool_slot = o->threads > 0;
  g->parts = 1;
  g->a = arena_new();
  g->body = arena_array(g->a, Val, m->funcs.n);
  g->d = d;
  g->param_at = arena_array(g->a, int64_t, m->params.n + 1);
  for (size_t i = 0; i < m->params.n; i++) g->param_at[i] = -1;
  g->state_at = arena_array(g->a, int64_t, m->states.n + 1);
  for (size_t i = 0; i < m->states.n; i++) {
    g->state_at[i] = g->state_bytes;
    g->state_bytes += aligned(type_bytes(&m->states.at[i]->type));
  }
  LLVMContextSetDiagnosticHandler(c, on_diagnostic, e);
  e->tm = machine_new(o->target, o->opt);
  g->m = module_begin(e);
}

void emission_close(Emission *e) {
  Gen *g = &e->g;
  LLVMDisposeBuilder(g->b);
  LLVMDisposeModule(g->m);
  LLVMDisposeTargetMachine(e->tm);
  LLVMContextDispose(g->c);
  free(g->blob.at);
  arena_free(g->a);
}

/* ---- code ----------------------------------------------------------- */

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void time_report(Emission *e, const char *what, double *since) {
  double now = seconds_now();
  if (e->o->time_report)
    fprintf(stderr, "%8.1f ms  %s\n", (now - *since) * 1e3, what);
  *since = now;
}

/* The kernels come vectorised and unrolled: what is left to do is common
 * addresses and constants out of loops.  LLVM's default pipelines cost
 * several times as much and undo register tiles. */
static const char *pass_pipeline(int opt) {
  if (opt == 0) return NULL;
  if (opt == 1) return "function(early-cse,simplifycfg)";
  return "function(early-cse<memssa>,instcombine<no-verify-fixpoint>,"
         "loop-mssa(licm),early-cse<memssa>,simplifycfg,dce)";
}

static void code_check(LLVMModuleRef m) {
  char *why = NULL;
  if (LLVMVerifyModule(m, LLVMReturnStatusAction, &why))
    internal_error(__FILE__, __LINE__, "LLVM's verifier: %s", why);
  LLVMDisposeMessage(why);
}

static void passes_run(Emission *e, const char *pipeline) {
  LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
  LLVMErrorRef err = LLVMRunPasses(e->g.m, pipeline, e->tm, o);
  LLVMDisposePassBuilderOptions(o);
  if (err) internal_error(__FILE__, __LINE__, "%s", LLVMGetErrorMessage(err));
}

static void code_optimise(Emission *e) {
  const char *pipeline = pass_pipeline(e->o->opt);
  double t = seconds_now();
  code_check(e->g.m);
  if (pipeline) passes_run(e, pipeline);
  time_report(e, "LLVM passes", &t);
}

static LLVMMemoryBufferRef code_generate(Emission *e,
                                         LLVMCodeGenFileType type) {
  char *why = NULL;
  LLVMMemoryBufferRef out;
  double t = seconds_now();
  if (LLVMTargetMachineEmitToMemoryBuffer(e->tm, e->g.m, type, &why, &out))
    internal_error(__FILE__, __LINE__, "LLVM: %s", why);
  time_report(e, "LLVM code generation", &t);
  return out;
}

/* Bytes of the sections of an object that hold code. */
static int64_t object_code_bytes(LLVMMemoryBufferRef o) {
  char *why = NULL;
  int64_t n = 0;
  LLVMBinaryRef b = LLVMCreateBinary(o, NULL, &why);
  ensure(b);
  LLVMSectionIteratorRef s = LLVMObjectFileCopySectionIterator(b);
  for (; !LLVMObjectFileIsSectionIteratorAtEnd(b, s);
       LLVMMoveToNextSection(s)) {
    const char *name = LLVMGetSectionName(s);   /* the first has none */
    if (name && strncmp(name, ".text", 5) == 0)
      n += (int64_t)LLVMGetSectionSize(s);
  }
  LLVMDisposeSectionIterator(s);
  LLVMDisposeBinary(b);
  return n;
}

/* What the steps of a function take, and those of functions they call, whose
 * own is known. */
static int64_t steps_stack(const Emission *e, const FuncCode *c) {
  int64_t most = 0;
  for (size_t i = c->first; i < c->end; i++) {
    const Step *s = &e->steps.at[i];
    const Func *to = node_callee(e->g.mod, s->node);
    const FuncCode *f = to ? func_code(e, to) : NULL;
    int64_t n = s->frame + CALL_BYTES;
    if (e->g.pool_slot) n += 2 * CALL_BYTES;
    if (f) n += f->frame + CALL_BYTES + f->stack;
    if (n > most) most = n;
  }
  return most;
}

/* What a call takes of the stack at most: the frames of the run functions
 * and of the steps that nest; and a page for the functions of libc that move
 * memory, and the loader's first call of one. */
static int64_t stack_bytes(Emission *e) {
  /* PREFIX_run has a frame at least: that LLVM said so is certain. */
  ensure(e->frame_run > 0 || e->is_version);
  int64_t most = 0;
  for (size_t i = 0; i < e->funcs.n; i++) {
    FuncCode *c = &e->funcs.at[i];
    c->stack = steps_stack(e, c);
    if (c->stack > most) most = c->stack;
  }
  return aligned(e->frame_run + most + 2 * CALL_BYTES + 4096);
}

/* The largest of the entries'; the model's may be more by its first line. */
static int64_t arena_bytes(const Gen *g) {
  int64_t most = aligned(g->mod->dump.arena_bytes);
  for (size_t i = 0; i < g->mod->funcs.n; i++) {
    const Func *f = g->mod->funcs.at[i];
    int64_t n = func_is_entry(g->mod, f) ? func_arena_bytes(f) : 0;
    if (n > most) most = n;
  }
  return most;
}

void code_build(Emission *e) {
  Gen *g = &e->g;
  double t = seconds_now();
  e->isa = target_isa(g->a, g->t);
  e->info->arena_bytes = arena_bytes(g);
  e->info->state_bytes = g->state_bytes;
  steps_build(e);
  /* Reads of whole vectors at the end of the weights stay inside. */
  static const char slack[ARENA_ALIGN];
  blob_append(g, slack, sizeof slack, 4);
  e->info->weight_bytes = (int64_t)g->blob.n;
  run_build(e);
  time_report(e, "code as LLVM IR", &t);
}

/* ---- files ---------------------------------------------------------- */

static bool buffer_write(Emission *e, LLVMMemoryBufferRef b, const char *to) {
  bool ok = file_write(e->g.d, to, LLVMGetBufferStart(b),
                       LLVMGetBufferSize(b));
  LLVMDisposeMemoryBuffer(b);
  return ok;
}

/* An output, which gets its name when all of them are there. */
static bool output_write(Emission *e, const char *to, const void *p,
                         size_t n) {
  OutFile *o = &e->outputs[e->noutputs];
  ensure(e->noutputs < OUTPUTS_MAX);
  if (!outfile_open(o, e->g.d, to)) return false;
  if (n) fwrite(p, 1, n, o->f);   /* outfiles_commit sees the error */
  e->noutputs++;
  return true;
}

bool output_made(Emission *e, const char *from, const char *to) {
  ensure(e->noutputs < OUTPUTS_MAX);
  if (!outfile_made(&e->outputs[e->noutputs], e->g.d, to, from))
    return false;
  e->noutputs++;
  return true;
}

/* All or none. */
static bool outputs_finish(Emission *e, bool ok) {
  if (ok) return outfiles_commit(e->outputs, e->noutputs, e->g.d);
  for (size_t i = 0; i < e->noutputs; i++) outfile_abort(&e->outputs[i]);
  return false;
}

/* The weights as they lie in memory, then gone from ours. */
static bool blob_write(Emission *e, const char *external) {
  Blob *b = &e->g.blob;
  bool ok = external ? output_write(e, external, b->at, b->n)
                     : file_write(e->g.d, temp_path(e, "weights.bin"), b->at,
                                  b->n);
  free(b->at);
  *b = (Blob){ 0 };
  return ok;
}

/* The assembler maps the file: nothing of LLVM copies it more than once. */
static void weights_include(Emission *e, LLVMModuleRef m, const char *file,
                            size_t size) {
  const char *w = weights_name(e);
  Text t = { 0 };
  /* Large data lie behind all else, out of the way of short references. */
  bool large = is_x86(e->g.t) && size > (size_t)1 << 30;
  text_printf(&t, "\t.section %s.%s,\"%s\",%%progbits\n",
              large ? ".lrodata" : ".rodata", w, large ? "al" : "a");
  text_printf(&t, "\t.globl %s\n\t.hidden %s\n\t.type %s,%%object\n", w, w, w);
  text_printf(&t, "\t.balign %d\n%s:\n\t.incbin \"", ARENA_ALIGN, w);
  for (const char *p = file; *p; p++)
    text_printf(&t, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
  text_printf(&t, "\"\n\t.size %s,%zu\n", w, size);
  LLVMSetModuleInlineAsm2(m, t.s, t.n);
  text_free(&t);
}

/* weights.o: descriptor and weights, which a version leaves to the whole. */
static bool data_write(Emission *e, const char *to) {
  LLVMModuleRef m = module_begin(e);
  size_t size = e->g.blob.n;
  const char *external = e->o->external_weights;
  descriptor_build(e, m);
  code_check(m);
  bool ok = e->is_version || blob_write(e, external);
  if (ok && !external && !e->is_version)
    weights_include(e, m, temp_path(e, "weights.bin"), size);
  /* Straight into the file: a buffer would be one more copy. */
  char *why = NULL;
  if (ok && LLVMTargetMachineEmitToFile(e->tm, m, (char *)to, LLVMObjectFile,
                                        &why))
    ok = diag_error_at(e->g.d, EXIT_FILE, to, "cannot be written: %s", why);
  LLVMDisposeMessage(why);
  LLVMDisposeModule(m);
  return ok;
}

static bool header_write(Emission *e, const char *to) {
  Text t = { 0 };
  header_print(e, &t);
  bool ok = output_write(e, to, t.s, t.n);
  text_free(&t);
  return ok;
}

/* Beside OUT, where that is a file. */
static bool header_beside(Emission *e) {
  Arena *a = e->g.a;
  if (path_in_place(e->o->out)) return true;
  return header_write(e, path_join(a, path_dir(a, e->o->out),
                                   arena_printf(a, "%s.h", e->prefix)));
}

/* ---- the whole ------------------------------------------------------ */

/* --emit=llvm and asm: the code as text, descriptor and weights beside it
 * as OUT.weights.o. */
static bool emit_text(Emission *e, LLVMMemoryBufferRef code, char *llvm) {
  const char *out = e->o->out;
  bool ok;
  if (llvm) ok = output_write(e, out, llvm, strlen(llvm));
  else ok = output_write(e, out, LLVMGetBufferStart(code),
                         LLVMGetBufferSize(code));
  LLVMDisposeMemoryBuffer(code);
  if (!ok || path_in_place(out)) return ok;
  if (!data_write(e, temp_path(e, "weights.o"))) return false;
  return header_beside(e) &&
         output_made(e, temp_path(e, "weights.o"),
                     arena_printf(e->g.a, "%s.weights.o", out));
}

bool objects_write(Emission *e, const char *code, const char *data) {
  code_optimise(e);
  LLVMMemoryBufferRef object = code_generate(e, LLVMObjectFile);
  e->info->code_bytes += object_code_bytes(object);
  if (!e->nversions) e->info->stack_bytes = stack_bytes(e);
  else e->info->stack_bytes += aligned(e->frame_run + CALL_BYTES);
  if (e->o->kind == EMIT_HEADER) {   /* it names sizes, nothing else */
    LLVMDisposeMemoryBuffer(object);
    return true;
  }
  double t = seconds_now();
  if (!buffer_write(e, object, temp_path(e, code))) return false;
  bool ok = data_write(e, temp_path(e, data));
  time_report(e, "weights", &t);
  return ok;
}

bool emission_link(Emission *e) {
  double t = seconds_now();
  if (e->o->kind == EMIT_HEADER) return header_write(e, e->o->out);
  bool ok = header_beside(e) && artifact_link(e);
  time_report(e, "link", &t);
  return ok;
}

/* The code as text, without the attribute that is there for on_diagnostic:
 * whoever compiles the text would get a warning a function. */
static char *llvm_text(Emission *e) {
  static const char attr[] = "warn-stack-size";
  LLVMValueRef f = LLVMGetFirstFunction(e->g.m);
  for (; f; f = LLVMGetNextFunction(f))
    LLVMRemoveStringAttributeAtIndex(f, LLVMAttributeFunctionIndex, attr,
                                     sizeof attr - 1);
  char *text = LLVMPrintModuleToString(e->g.m);
  for (f = LLVMGetFirstFunction(e->g.m); f; f = LLVMGetNextFunction(f))
    attr_text(&e->g, f, attr, "0");
  return text;
}

static bool emit_as_text(Emission *e) {
  bool text = e->o->kind == EMIT_LLVM;
  code_optimise(e);
  char *llvm = text ? llvm_text(e) : NULL;
  LLVMMemoryBufferRef code = code_generate(
      e, text ? LLVMObjectFile : LLVMAssemblyFile);
  e->info->stack_bytes = stack_bytes(e);
  bool ok = emit_text(e, code, llvm);
  LLVMDisposeMessage(llvm);
  return ok;
}

static bool whole_emit(Emission *e) {
  EmitKind kind = e->o->kind;
  code_build(e);
  if (kind == EMIT_ASM || kind == EMIT_LLVM) return emit_as_text(e);
  return objects_write(e, "code.o", "weights.o") && emission_link(e);
}

/* Before the work: what shall be linked needs the programs for it. */
static bool linker_find(Emission *e) {
  EmitKind kind = e->o->kind;
  const char *triple = e->g.t->triple;
  if (kind != EMIT_SO && kind != EMIT_OBJ && kind != EMIT_LIB) return true;
  if (tools_find(e->g.a, triple, &e->tools)) return true;
  return diag_error_at(e->g.d, EXIT_UNSUPPORTED, "--target",
                       "linking for %s needs %s: install Debian's packages "
                       "%s, or set CC to a compiler for it", triple,
                       e->tools.missing, target_packages(triple));
}

bool emission_run(Emission *e, Module *m, const EmitOpts *o, EmitInfo *info,
                  Diags *d, bool (*work)(Emission *)) {
  e->o = o;
  e->info = info;
  e->prefix = o->prefix;
  *info = (EmitInfo){ 0 };
  ensure(m->funcs.n > 0 && o->target);
  emission_open(e, m, o, d);
  bool ok = linker_find(e) && temp_make(e) && work(e);
  ok = outputs_finish(e, ok);
  temp_remove(e);
  emission_close(e);
  return ok;
}

bool backend_emit(Module *m, const EmitOpts *o, EmitInfo *info, Diags *d) {
  Emission e = { 0 };
  return emission_run(&e, m, o, info, d, whole_emit);
}
