/* emit.h - inside backend/, between the files that are no kernels: spots,
 * loop nests over logical indices, and the stages of an emission. */
#ifndef TAMIS_EMIT_H
#define TAMIS_EMIT_H

#include <llvm-c/TargetMachine.h>

#include "backend/codegen.h"
#include "backend/tools.h"

/* ---- operand.c ------------------------------------------------------ */

/* Where a value's buffer begins. */
typedef enum { SPOT_ARENA, SPOT_IO, SPOT_WEIGHTS } SpotKind;
typedef struct Spot {
  SpotKind kind;
  int io;           /* index among the slots of io, -1 */
  int64_t offset;   /* bytes from where that begins */
} Spot;
Spot value_spot(Gen *g, const Node *n);
Spot state_spot(const Gen *g, const State *s);
Val spot_ptr(Gen *g, Spot s);
/* Pointer i of an array of them. */
Val slot_load(Gen *g, Val array, int i);
void slot_store(Gen *g, Val array, int i, Val p);
/* Index of element 0,0,... in its buffer. */
int64_t value_origin(const Node *n);

/* ---- sizes.c --------------------------------------------------------- */

/* In the function of a step: the sizes that the call gives. */
void sizes_load(Gen *g);
/* Does n lie in a caller's buffer that is packed (type_packs)? */
bool value_packs(Gen *g, const Node *n);
/* Strides in elements of a row-major buffer. */
void packed_strides(Gen *g, const Type *t, Val *stride);
/* The kernel, in loops over free axes that it has no ends for. */
void emit_sized(Gen *g, const Node *n, void (*emit)(Gen *, const Node *));

/* ---- nest.c: loops over a logical index ----------------------------- */

/* A map over an index space: args[0] is written, the others are read, each
 * by its own strides (elements; 0 repeats). */
enum { NEST_ARGS = 6 };
typedef struct NestArg {
  Val at;                       /* address at index 0 */
  Val scalar;                   /* a value in place of memory, or NULL */
  Elem elem;
  int64_t stride[MAX_RANK];
  Val packed[MAX_RANK];         /* in place of stride, or NULL */
} NestArg;
typedef struct Nest {
  int rank, nargs;
  int64_t dim[MAX_RANK];
  Val count[MAX_RANK];          /* sizes known at run time, of at most dim;
                                   NULL: dim */
  NestArg arg[NEST_ARGS];
} Nest;
/* in[0..nargs-2] are scalars or all vectors, of the type that their elements
 * have in memory, but b1 as i1; the result likewise. */
typedef Val (*NestBody)(Gen *g, const void *ctx, Val *in);
/* Build the loops.  Vectors run along the axis where the result is dense. */
void nest_map(Gen *g, const Nest *nest, NestBody body, const void *ctx);
/* The index space of a value, which becomes arg 0. */
void nest_over(Gen *g, Nest *nest, const Node *n);
/* The index space of a type. */
void nest_space(Gen *g, Nest *nest, const Type *t);
/* Add an operand that broadcasts to the space as in NumPy. */
void nest_add(Gen *g, Nest *nest, const Node *operand);
/* Add a 1-dimensional operand along one axis. */
void nest_add_axis(Gen *g, Nest *nest, const Node *operand, int axis);
/* No axes of size 1, the densest of the result last, neighbours merged where
 * every argument allows it. */
void nest_simplify(Gen *g, Nest *nest);
/* For each line along `axis`: p[k] is the address of its first element in
 * argument k.  n lines at once side by side, where `vectors` are allowed and
 * every argument is dense across; 0: one line. */
typedef void (*NestLine)(Gen *g, const void *ctx, Val *p, int n);
void nest_lines(Gen *g, const Nest *nest, int axis, bool vectors,
                NestLine line, const void *ctx);
void nest_fill(Gen *g, const Nest *nest, double value);
/* Bytes are copied as they are, whatever they stand for. */
void nest_copy(Gen *g, const Nest *nest);

/* ---- interleave.c ---------------------------------------------------- */

/* Maps of phases to the map that they are phases of. */
void copy_interleave(Gen *g, const Node *n);

/* ---- window.c -------------------------------------------------------- */

/* The steps [*lo, *hi) of k, d apart from `first` on, inside 0..size-1. */
void clip_steps(Gen *g, Val first, int64_t size, int64_t k, int64_t d,
                Val *lo, Val *hi);

/* ---- steps.c: one function a kernel call ---------------------------- */

typedef struct Step {
  const Node *node;      /* whose value it writes */
  int output;            /* >= 0: copies the value to this output */
  const State *state;    /* copies the value to this state */
  const char *symbol, *path, *op, *kernel;
  Val fn;
  int64_t frame;         /* bytes of stack */
} Step;

/* A function of the module and its steps, [first, end) of the emission's. */
typedef struct FuncCode {
  const Func *func;
  size_t first, end;
  int64_t frame;         /* of its body */
  int64_t stack;         /* of its steps and what they call */
} FuncCode;

/* The artifact, its header, its descriptor, weights beside it. */
enum { OUTPUTS_MAX = 4 };

/* Everything about one emission. */
typedef struct Emission {
  Gen g;
  const EmitOpts *o;
  EmitInfo *info;
  const char *prefix;          /* of symbols; of a version with its CPU */
  const char *isa;             /* features of steps, as LLVM takes them */
  LLVMTargetMachineRef tm;
  Vec(Step) steps;
  Vec(FuncCode) funcs;         /* those that are called first */
  int64_t frame_run;           /* stack frames of all else, bytes */
  char *dir;                   /* of temporary files */
  Version *versions;           /* of this artifact; or one of them: NULL */
  const VersionCalls *calls;
  int nversions;               /* 0: it is whole */
  bool is_version;
  Tools tools;                 /* that link, where something is linked */
  OutFile outputs[OUTPUTS_MAX];
  size_t noutputs;
} Emission;

/* emit.c: LLVM's side of an emission, and its end. */
void emission_open(Emission *e, Module *m, const EmitOpts *o, Diags *d);
void emission_close(Emission *e);
/* The same file: all steps and what calls them, into e->g.m. */
void code_build(Emission *e);
/* The same file: e->info->code_bytes and stack_bytes; and, unless a header is
 * all that is asked for, e->g.m as object `code`, the descriptor and the
 * weights as object `data`, both in e->dir. */
bool objects_write(Emission *e, const char *code, const char *data);
int64_t aligned(int64_t n);   /* to ARENA_ALIGN */
/* The same file: link what lies in e->dir, with the header beside it; or the
 * header alone. */
bool emission_link(Emission *e);
/* The same file: all of an emission but the work between its two ends; all
 * outputs, or none. */
bool emission_run(Emission *e, Module *m, const EmitOpts *o, EmitInfo *info,
                  Diags *d, bool (*work)(Emission *));
/* For each call that nests: its return address, realignment, red zone. */
enum { CALL_BYTES = 8 + 64 + 128 };

void steps_build(Emission *e);
/* Call the steps of a function in order. */
void steps_call(Emission *e, const FuncCode *c, Val io, Val arena,
                Val weights);
/* PREFIX.body.FUNC, of a function that is called. */
const char *body_name(Emission *e, const Func *f);
const FuncCode *func_code(const Emission *e, const Func *f);
/* Where a step writes; g->func is its function. */
Spot step_spot(Gen *g, const Step *s);
bool value_is_dense(const Node *n);
/* The body of a step in the function fn (io, arena, weights, ...). */
void step_body(Emission *e, const Step *s, Val fn);

/* ---- threads.c: steps in parts --------------------------------------- */

/* In how many parts a step is cut; 1 without a pool. */
int step_parts(Emission *e, const Step *s);
/* Build the functions of a step in parts, s->fn among them; false when its
 * kernel shares no loop, and nothing is left behind. */
bool step_cut(Emission *e, Step *s, int parts);

/* ---- run.c: what callers call --------------------------------------- */

/* For each entry PREFIX_run (of the model; with states PREFIX_step) or
 * PREFIX_FUNC, and what takes an array; PREFIX.check_cpu, PREFIX_reset. */
void run_build(Emission *e);
/* Begin a function that any CPU of the architecture can run, hidden unless
 * exported; it becomes g->fn. */
Val function_begin(Emission *e, const char *name, LLVMTypeRef type,
                   bool exported);
/* The least size that what is built takes. */
int64_t dim_least(const Emission *e, const FreeDim *d);
/* Is number i of the sizes at `dims` none of a range? */
Val dim_outside(Gen *g, Val dims, int i, int64_t least, int64_t most);
/* PREFIX_run and the like, on what takes an array; PREFIX_reset. */
void run_wrap(Emission *e, const Func *f, Val run_io);
void reset_build(Emission *e);
/* "run", "step" or the function's name. */
const char *entry_name(const Emission *e, const Func *f);
/* The symbol PREFIX.run_io or PREFIX.io.FUNC. */
const char *entry_io_name(Emission *e, const Func *f);
/* Attributes of a function that any CPU of the architecture can run. */
void attrs_baseline(Emission *e, Val fn);
void attrs_step(Emission *e, Val fn);
void attr_text(Gen *g, Val fn, const char *name, const char *value);
/* PREFIX.NAME, or with `exported` PREFIX_NAME. */
const char *symbol_name(Emission *e, const char *name, bool exported);
/* The symbol of the weights, those of all versions. */
const char *weights_name(Emission *e);

/* ---- cpucheck.c ----------------------------------------------------- */

/* `int PREFIX.check_cpu(void)`: can the CPU run what is compiled for one of n
 * targets? */
Val check_cpu_build(Emission *e, const Target *const *t, int n);
/* A function PREFIX.NAME of that type, which is the first of n whose features
 * the CPU has, or `otherwise`; chosen when the artifact is loaded. */
typedef struct CpuChoice { uint32_t mask; Val fn; } CpuChoice;
Val cpu_pick(Emission *e, const char *name, LLVMTypeRef type,
             const CpuChoice *choice, int n, Val otherwise);

/* ---- versions.c ------------------------------------------------------ */

/* PREFIX.CPU, what the symbols of version i begin with. */
const char *version_prefix(Emission *e, int i);

/* ---- descriptor.c, header.c ----------------------------------------- */

/* The tamis_model in module `m` (another one than the code's). */
void descriptor_build(Emission *e, LLVMModuleRef m);
void header_print(Emission *e, Text *t);
enum { ARENA_ALIGN = 64 };

/* ---- link.c --------------------------------------------------------- */

/* A folder for what is written on the way, beside OUT. */
bool temp_make(Emission *e);
void temp_remove(Emission *e);
const char *temp_path(Emission *e, const char *name);
/* Turn code.o and weights.o of e->dir, and those of the versions, into the
 * artifact. */
bool artifact_link(Emission *e);
/* "code.o"; of a version with its number. */
const char *object_name(Emission *e, const char *what, int version);
/* emit.c: a complete file is an output, named with the others. */
bool output_made(Emission *e, const char *from, const char *to);

#endif
