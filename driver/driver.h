/* driver.h - the command: options, one function per command, and what the
 * commands share.  cmd_* return an exit code. */
#ifndef TAMIS_DRIVER_H
#define TAMIS_DRIVER_H

#include "backend/backend.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "runtime/tamis.h"

/* ---- options.c ------------------------------------------------------ */

/* `NAME=VALUE` of --in, --out and --expect; name "" when there was none. */
typedef struct Binding { const char *name, *value; } Binding;

typedef struct Options {
  const char *command, *file;
  /* the model */
  Vec(DimArg) dims;
  Vec(ConstArg) consts;
  const char *model, *recipe, *weights;
  bool random_weights;
  uint64_t random_seed;
  /* the target */
  const char *target, *cpu, *features, *opt, *sparsity, *sizes, *code_budget,
             *weight_type;
  /* build */
  const char *out, *emit, *prefix, *report, *tuned, *external_weights,
             *dep_file;
  bool dep, strip, verbose, time_report, roundtrip, threads, tune;
  /* run, bench, check */
  Vec(Binding) in, outs, expect;
  const char *data;
  bool measure;
  /* sweep */
  const char *sparsities, *patterns, *methods, *labels, *jobs;
  bool estimate;
  const char *run_threads, *engine, *so, *rtol, *atol, *seed, *runs, *warmup,
    *steps;
  bool layers, json;
  /* show */
  const char *after, *before, *diff, *dir;
  bool dot, stats, onnx;
  /* all */
  const char *diagnostics, *progress;
  bool help, version;
} Options;

/* Fill `o` from the arguments behind the command; usage errors go to d. */
bool options_parse(Arena *a, Options *o, int argc, char **argv, Diags *d);
/* The options of one command, for --help. */
void options_help(FILE *to, const char *command);
/* A whole number or a decimal of an option, else a usage error. */
bool option_int(Diags *d, const char *opt, const char *s, int64_t lo,
                int64_t hi, int64_t *out);
bool option_float(Diags *d, const char *opt, const char *s, double *out);
bool option_bytes(Diags *d, const char *opt, const char *s, int64_t *out);

/* ---- session.c: from options to a planned module -------------------- */

typedef struct Session {
  Arena *arena;
  Diags *diags;
  const Options *o;
  Target target;
  int opt;                  /* 0..3, 4 = s */
  bool sparsity_off;
  Module *module;
  const Source *text;       /* of the file, once it was read */
  const tamis_model *like;  /* an artifact whose CPU is taken where none is
                               named, or NULL */
  Vec(const char *) files;  /* read, for dependency files */
  /* Set before session_compile: called with each pass as PipelineOpts.after
   * is; may be NULL. */
  bool (*after)(struct Session *, const char *pass, double seconds);
  void *after_ctx;
  const char *stop_after, *stop_before;
  const Choices *choices;   /* of a tuned build, or NULL */
  bool keep_dense;          /* session_compile makes the next two, where
                               there is a recipe */
  Module *dense, *pruned;   /* before and behind it */
  DataOpts data;            /* of the first step that has some; or no path */
  struct Facts *facts;      /* for reports, or NULL */
  bool keep_source;         /* session_compile makes `source` */
  Module *source;           /* as that pass left it; NULL behind a
                               dump of a later pass */
  bool prune_all;           /* before session_load: a recipe `prune **` */
  bool whole;               /* no versions for sizes */
  struct Session *sized;    /* those there were, when code has been made */
  bool several;             /* one of the CPUs of an artifact */
  int nsized;
  struct json_t *layers;    /* of such a version, for reports */
  Diags *own;               /* of such a version */
  Vec(const char *) notes;  /* what passes had to say */
} Session;

bool session_open(Session *s, const Options *o, Diags *d, Arena *a);
/* Read the file into s->module. */
bool session_load(Session *s);
/* In place of that: the module and target of another session. */
bool session_copy(Session *s, Session *from);
/* A copy of a module, with its weights shared; NULL after an error. */
Module *module_copy(Session *s, Module *m);
/* Run the pipeline on s->module. */
bool session_compile(Session *s);
/* The same up to pass recipe; session_compile goes on from there. */
bool session_recipe(Session *s);
/* The pass behind which the module, loaded, is what a reference computes:
 * recipe, or narrow where weights are rounded. */
const char *session_source_pass(const Session *s);
/* Options of the backend for an artifact. */
EmitOpts session_emit_opts(const Session *s, EmitKind kind, const char *out);
/* Build an artifact of s->module, which is planned. */
bool session_emit(Session *s, EmitKind kind, const char *out,
                  EmitInfo *info);
void session_close(Session *s);
/* Say what is under way (NULL: done), as --progress wants it. */
void session_progress(const Session *s, const char *what);
/* The prefix of exported symbols: --prefix, else the model's name. */
const char *session_prefix(const Session *s);

/* Note a file that was read, for dependency files. */
void session_note_file(Session *s, const char *path);

/* ---- calibrate.c: recipes that ask for data ------------------------- */

/* Runs the session's model on data for its recipe. */
Calibrate calibrate_by(Session *s);

/* ---- columns.c: what layers multiply their weights with ------------- */

/* As rows of a matrix of `cols` columns: vectors of a linear layer; windows
 * of a convolution's group, of up to three axes (those it does not have are
 * 1 long). */
typedef struct Columns {
  Node *node;                /* that is read */
  bool linear;
  int64_t groups, cols, channels;
  int64_t from[3], at[3], k[3], stride[3], dilation[3], pad[3];
} Columns;
Columns columns_of(const Node *layer);
bool columns_equal(const Columns *a, const Columns *b);
/* Of a group: sums of products [cols][cols] (the upper triangle); where gram
 * is NULL those of squares alone, [cols]. */
typedef struct Sums { double *square, *gram; } Sums;
/* Vectors of a linear layer in a value of type t; 0: it is none. */
int64_t columns_rows(const Columns *c, const Type *t);
/* Add those of a value of f32 of type t to s[groups]; of a linear layer only
 * the vectors r where counts[r] is set, unless it is NULL. */
void columns_add(const Columns *c, const Sums *s, const float *x,
                 const Type *t, const uint8_t *counts);

/* ---- tuned.c: the files of --tune and --tuned ----------------------- */

/* Choices for the layers of a model, from a file or from measuring; the
 * strings lie in `file`. */
typedef struct Tuning { Choices choices; struct json_t *file; } Tuning;
/* Does a convolution or linear layer have kernels to choose among? */
bool node_has_choice(const Node *n);
/* How its weight is stored, with a kernel: "dense", "csr", "code", "nm" or
 * blocks as "4x1". */
const char *node_format(Arena *a, const Node *n);
/* Read FILE of --tuned for the loaded session. */
bool tuning_read(Tuning *t, Session *s, const char *path);
/* The same of what --tune found: `layers` as in such a file, which is taken
 * over. */
bool tuning_make(Tuning *t, Session *s, struct json_t *layers);
void tuning_write(const Tuning *t, FILE *to);
/* Did the compiled session take all choices, and are its layers those that
 * were measured?  An error about `path` if not. */
bool tuning_taken(const Tuning *t, Session *s, const char *path);
void tuning_free(Tuning *t);

/* ---- tune.c: --tune ------------------------------------------------- */

/* Measure the candidates for each layer on this machine. */
bool tuning_measure(Tuning *t, Session *s);

/* ---- versions.c: --cpu=A+B ------------------------------------------ */

enum { VERSIONS_MOST = 8 };
/* Does --cpu name several? */
bool versions_wanted(const Options *o);
/* A session for each CPU, the most demanding first, loaded; o is copied. */
typedef struct Versions {
  int n;
  Session at[VERSIONS_MOST];
  Options o[VERSIONS_MOST];
  const char *cpus;         /* all names, in order: "a+b" */
} Versions;
bool versions_load(Versions *v, const Options *o, Diags *d, Arena *a);
/* Is one of the names that of the version m?  Errors in them go to d. */
bool versions_have(const Options *o, const tamis_model *m, Diags *d,
                   Arena *a);
bool versions_compile(Versions *v);
bool versions_emit(Versions *v, EmitKind kind, const char *out,
                   EmitInfo *info);
void versions_close(Versions *v);

/* ---- sized.c: versions for sizes ------------------------------------- */

enum { SIZED_MOST = 8 };
/* Shall a session that is compiled have versions for sizes as well? */
bool sized_wanted(const Session *s);
/* Emit n compiled sessions, one a CPU, with their versions for sizes where the
 * kind of artifact can have several. */
bool sessions_emit(Session *s, int n, const EmitOpts *o, EmitInfo *info);

/* ---- outputs.c ------------------------------------------------------ */

/* Option and path of each file that will be written. */
typedef Vec(Binding) Outputs;
void output_add(Session *s, Outputs *to, const char *opt, const char *path);
/* A usage error when one was read (s->files) or comes twice. */
bool outputs_check(Session *s, const Outputs *all);
/* A usage error when the header would have the name of another one, or a
 * function that of a macro. */
bool header_name_ok(Session *s);
/* A new folder in $TMPDIR or /tmp, its path in a; NULL after an error. */
char *folder_temporary(Arena *a, Diags *d);
/* The path of a file in it, which goes with it when a signal comes. */
char *folder_file(Arena *a, const char *dir, const char *name);

/* ---- dumps.c -------------------------------------------------------- */

/* The module as a program into `path` and its weights beside it as
 * path.safetensors; without them where it is NULL or "-" (standard output)
 * or something that cannot be replaced (dump_has_weights). */
bool dump_has_weights(const char *path);
bool dump_write(Diags *d, Module *m, const char *path);
/* The same of a model as it was read, in blocks where parts of it repeat. */
bool program_write(Diags *d, Module *m, const char *path);
/* A folder of numbered dumps that store each distinct tensor once. */
typedef struct DumpDir DumpDir;
DumpDir *dumpdir_new(Arena *a, const char *dir);
bool dumpdir_add(DumpDir *dd, Diags *d, Module *m, const char *pass);
bool dumpdir_finish(DumpDir *dd, Diags *d);   /* writes the weights */

/* ---- artifact.c: a built .so ---------------------------------------- */

typedef struct Loaded {
  void *handle;
  const tamis_model *model;
  const tamis_model *version;  /* of the model, which calls of those sizes
                                  take: it knows CPU and steps */
  void *arena;
  void **io;           /* inputs, outputs, dims, state; buffers owned here;
                          the pool */
  void *state;         /* as after a reset; NULL: there is none */
  tamis_pool pool;     /* run NULL: no threads besides the caller's */
  int64_t dims[FREE_MOST];   /* sizes of free dimensions in the next call */
} Loaded;
bool artifact_open(Loaded *l, Diags *d, const char *path);
void artifact_close(Loaded *l);
/* Set l->version, when l->dims has changed. */
void artifact_version(Loaded *l);
/* Give calls the threads of --threads=N. */
bool artifact_threads(Loaded *l, Diags *d, const Options *o);
/* Does the file look like an ELF object? */
bool artifact_is(const char *path);
/* Open o->file: a .so as it is, a model built into a temporary folder
 * first.  With `keep`, the planned session stays open for the caller. */
bool artifact_of(Loaded *l, Session *keep, const Options *o, Diags *d,
                 Arena *a, bool keep_source);
/* At the sizes of the next call. */
Type artifact_type(const Loaded *l, const tamis_tensor *t);

/* ---- watch.c: what lies inside -------------------------------------- */

/* NULL after an error. */
Samples *data_open(Session *s, Arena *a, Module *m, const DataOpts *o);
/* A copy of a model, for this machine. */
typedef struct Watch {
  Arena *arena;
  Session session;
  const Session *progress;   /* whose --progress counts */
  Options o;
  Loaded built;
  size_t noutputs;           /* of the model itself */
} Watch;
/* Load a copy of m, which comes behind the recipe or goes without; free
 * dimensions are as the samples have them, at their most where x is NULL. */
bool watch_load(Watch *w, Session *s, Arena *a, Module *m, const Samples *x);
/* The number of the output that is node n of the copy, a new one if there is
 * none. */
size_t watch_output(Watch *w, Node *n);
bool watch_build(Watch *w);
/* Call it as call number k, from 0 on, behind a reset. */
bool watch_call(Watch *w, int64_t k);
void watch_close(Watch *w);

/* ---- callsizes.c: free dimensions ------------------------------------ */

int64_t size_at(const tamis_size *s, const int64_t *dims);
/* An input of a file's shape; size NULL: all dimensions are fixed. */
typedef struct SizedInput {
  const char *name;
  int rank;
  const tamis_size *size;
} SizedInput;
/* What --dim is about: the model that was compiled; what is built; or a model
 * and what was built of it. */
typedef enum { SIZES_COMPILED, SIZES_BUILT, SIZES_BOTH } SizesFrom;
bool sizes_choose(Arena *a, Diags *d, const Options *o, const FreeDims *f,
                  const SizedInput *in, size_t nin, SizesFrom from,
                  int64_t *at);
/* Into l->dims; into at[], of the loaded module. */
bool artifact_sizes(Loaded *l, Diags *d, const Options *o, Arena *a,
                    SizesFrom from);
bool module_sizes(Session *s, int64_t *at);
/* o with the free dimensions fixed. */
const Options *options_at(Arena *a, const Options *o, const FreeDims *f,
                          const int64_t *at);

/* ---- tensorio.c ----------------------------------------------------- */

/* Fill an input of type t from --in or, if `seed` is not NULL and there is
 * no binding for it, with random numbers: floats in -1..1, integers 0..9. */
bool input_read(Arena *a, Diags *d, const Options *o, const char *name,
                size_t index, size_t count, const Type *t,
                const uint64_t *seed, void *to);
/* Every --in must name an input; likewise --out and --expect outputs. */
bool bindings_check(Diags *d, const char *opt, const Binding *b, size_t nb,
                    const char *const *names, size_t n);
const Binding *binding_find(const Binding *b, size_t nb, const char *name,
                            size_t index);

/* An integer of type e in decimal. */
const char *int_text(char out[24], Elem e, int64_t v);

/* ---- report.c ------------------------------------------------------- */

/* Ends in .json or .html? */
bool report_name_ok(Diags *d, const char *path);
bool report_is_html(const char *path);
void report_table(Session *s, FILE *to);
/* `s` and the n - 1 behind it are the versions of one artifact for `cpu`. */
bool report_json(Session *s, int n, const char *cpu, const EmitInfo *info,
                 FILE *to);
/* CPU, sizes of free dimensions and layers of a version. */
struct json_t *report_version(Session *s);
/* A JSON string of any bytes: those that are no UTF-8 are replaced. */
struct json_t *json_text(const char *s);
struct json_t *json_shape(const Type *t);

/* ---- one file per command ------------------------------------------- */

int cmd_build(const Options *o, Diags *d, Arena *a);
int cmd_run(const Options *o, Diags *d, Arena *a);
int cmd_bench(const Options *o, Diags *d, Arena *a);
int cmd_check(const Options *o, Diags *d, Arena *a);
int cmd_import(const Options *o, Diags *d, Arena *a);
int cmd_show(const Options *o, Diags *d, Arena *a);
int cmd_sweep(const Options *o, Diags *d, Arena *a);
int cmd_targets(const Options *o, Diags *d, Arena *a);

#endif
