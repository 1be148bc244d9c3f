/* passes.h - from the parsed graph to fused, laid out and planned kernels.
 * To add a pass: a row in passes.def, pass_<name> in <name>.c with the head
 * comment the others have (`sparse` is in sparsify.c and `layout` in
 * planes.c, because ir/ has files of that name), a golden file in
 * tests/golden/pass/, a line in doc/internals.md. */
#ifndef TAMIS_PASSES_H
#define TAMIS_PASSES_H

#include "ir/ir.h"

/* In place of rows of a block: N of each 4 columns; single values of rows in
 * pairs. */
enum { RUNS = -1, PAIRS = -2 };

/* What a build was told to take for a layer, or (path NULL) for all: rows of
 * the blocks of its weight's table, 1: single values, RUNS, PAIRS, 0: dense;
 * code for the pattern; the register tile of a dense product, 0: as chosen;
 * whether that of a convolution has channels in the lanes. */
typedef struct Choice {
  const char *path;
  int height;
  bool code;
  int tile[2];
  bool channels;
} Choice;
typedef struct Choices { size_t n; const Choice *at; } Choices;
/* choose.c: the choice for a node, or NULL. */
const Choice *choice_of(const Choices *c, const Node *n);

/* What a module would become: the time of a call of the model by the model of
 * costs, and bytes of its weights as they are stored (with those of code for
 * their patterns). */
typedef struct Prediction { double us; int64_t bytes; } Prediction;
/* Predict for m, which stays as it is, by passes up to `select`; `dense`: its
 * zeros count for nothing.  False after an error. */
typedef bool PredictFn(void *ctx, Module *m, bool dense, Prediction *out);

/* ---- calibrated.c: what recipes ask of calibration data -------------- */

/* data= of a step, and how it is read. */
typedef struct DataOpts {
  const char *path;
  int64_t samples;           /* at most; 0: all */
  int nmean, nscale;         /* of images, as --in takes them */
  double mean[4], scale[4];
  bool bgr;
  const char *mask;          /* an input, whose zeros say which vectors of
                                layers do not count (padding); NULL: all do */
} DataOpts;

/* calibrated_args.c: the data that a step names, if it does. */
bool recipe_data(const RecipeStep *s, DataOpts *out);

/* Rows [lo, hi) of a weight, a matrix [dim 0, product of the others], are
 * multiplied with the same columns: of a linear layer and a product what it
 * reads, of a convolution's group the windows. */
typedef struct InputStats {
  int64_t lo, hi, cols;
  const double *square;      /* [cols]: sum of squares of each column */
  const double *gram;        /* [cols][cols]: x' x, the upper triangle; NULL:
                                only the squares are wanted */
} InputStats;
typedef struct WeightStats {
  Param *param;
  bool transposed;           /* the matrix [dim 1, dim 0] */
  Vec(InputStats) inputs;
} WeightStats;

/* Where a weight is used: its rows from `first` on are that of `layer`, or
 * its columns. */
typedef struct InputUse {
  Node *layer;
  int64_t first, rows;
  bool transposed;
} InputUse;
typedef Vec(InputUse) InputUses;
/* All uses of p, in the model's own function; false and text in why when
 * there is one that cannot be observed. */
bool input_uses(Arena *a, const Module *m, const Param *p, InputUses *out,
                Text *why);
/* Groups of a convolution; 1 of a linear layer or a product. */
int64_t layer_groups(const Node *layer);
/* follow.c: is the weight of a layer one [K,M], by which x is multiplied? */
bool layer_is_transposed(const Node *layer);

/* How a pass sees the model run on data; the driver's.  `check` looks at the
 * data alone.  `run` fills the statistics of n weights, in the arena, from
 * what m as it is now gives on all samples.  `say` is progress. */
typedef struct Calibrate {
  bool (*check)(void *ctx, Module *m, const DataOpts *o);
  bool (*run)(void *ctx, Module *m, const DataOpts *o, bool gram,
              WeightStats *stats, size_t n, Arena *a);
  void (*say)(void *ctx, const char *what);
  void *ctx;
} Calibrate;

/* A tensor of a file of weights, as f32. */
typedef struct FileTensor {
  const char *name;
  Type type;
  const float *v;
} FileTensor;
/* All of a file, in the arena; false after an error.  The driver's. */
typedef bool TensorsFn(void *ctx, const char *path, Arena *a,
                       FileTensor **out, size_t *n);

typedef struct PassCtx {
  Module *m;
  Diags *d;
  Arena *scratch;        /* of this pass, freed behind it */
  const Target *target;
  bool sparsity_off;     /* --sparsity=off */
  int opt;               /* -O level; 0 fuses nothing, 4 is -Os */
  int64_t code_budget;   /* as in PipelineOpts */
  Elem weight_type;      /* likewise */
  const Choices *choices;
  bool strips_all;       /* likewise */
  PredictFn *predict;    /* likewise */
  void *predict_ctx;
  const Calibrate *calibrate;   /* likewise */
  TensorsFn *tensors;    /* likewise */
  void *tensors_ctx;
} PassCtx;

#define PASS(name, what) bool pass_##name(PassCtx *);
#include "passes/passes.def"
#undef PASS

typedef struct PassInfo {
  const char *name, *what;
  bool (*run)(PassCtx *);
} PassInfo;
const PassInfo *pass_table(size_t *n);
const PassInfo *pass_find(const char *name);

typedef struct PipelineOpts {
  const Target *target;
  bool sparsity_off;
  int opt;
  int64_t code_budget;       /* bytes of code for patterns; 0: as much as
                                the target has, less than 0: none */
  Elem weight_type;          /* weights are stored so: F16, BF16; 0: f32 */
  const Choices *choices;    /* or NULL */
  bool strips_all;           /* by strips whatever it gains (tests) */
  PredictFn *predict;        /* for recipes with a budget; NULL: none can */
  void *predict_ctx;
  const Calibrate *calibrate;   /* NULL: recipes cannot ask for data */
  TensorsFn *tensors;        /* NULL: recipes cannot ask for files */
  void *tensors_ctx;
  const char *stop_after;    /* NULL: run all */
  const char *stop_before;
  /* Called with "parse" first and after every pass that ran; false stops
   * (the callback said why).  It may return another module in *m (the round
   * trip), which is gone on with. */
  bool (*after)(void *ctx, const char *pass, Module **m, double seconds);
  void *ctx;
} PipelineOpts;

/* Run all passes behind m->dump.after (all, when it is NULL), verify after
 * each, set m->dump.after.  *m may be replaced by the callback.  False when
 * d has an error. */
bool pipeline_run(Module **m, const PipelineOpts *o, Diags *d);

/* Phases of a transposed convolution, along an axis, that its kernel has
 * parts for. */
enum { PHASES_MOST = 16 };

/* select.c: set kernel and tile of a node by its types and weights. */
void node_select(Arena *scratch, const Target *t, Node *n);
/* The same file: set why of every node that has a kernel, for reports. */
void module_why(Module *m);

/* ---- fits.c: what a dump by hand may get wrong ---------------------- */

/* Whether a kernel can compute each node: behind select there is one, that
 * takes its layouts, formats and tile; else errors at the nodes. */
bool kernels_fit(const Func *f, Diags *d);
/* Whether each value lies somewhere (behind plan), or none does. */
bool places_fit(const Func *f, Diags *d);
bool places_open(const Func *f, Diags *d);
/* Do x, y and the residual of a convolution lie in planes, x with a halo of
 * zeros wherever a window reaches, and is its weight a param? */
bool conv_on_planes(const Node *n);
/* Elements of an image that pass `layout` gives planes; with a wider halo
 * than it counts on they may become twice as many, which is what tables of
 * kernels can hold the offsets of, 32 bits of bytes. */
enum { IMAGE_MOST = 1 << 29 };
/* Do x, y and the residual of a linear layer lie in planes of tokens? */
bool linear_on_tokens(const Node *n);
/* select.c: does linear_perm compute the node, with single values? */
bool perm_takes(const Target *t, const Node *n);

/* ---- spread.c ------------------------------------------------------- */

/* Transposed convolutions become ones of stride 1, a phase each; part of the
 * pass phases. */
void spread_phases(PassCtx *c, Func *f);

/* ---- attention.c ---------------------------------------------------- */

/* Products of softmaxes become attend nodes; part of the pass recognise. */
void attention_recognise(PassCtx *c, Func *f);

/* ---- norms.c --------------------------------------------------------- */

/* Layer norms and rotary embeddings become nodes; of the pass recognise. */
void norms_recognise(PassCtx *c, Func *f);

/* ---- calls.c: functions that call others ---------------------------- */

/* Forget functions that are no entries and that nothing calls. */
void funcs_drop_unused(PassCtx *c);
/* Make a scan go along axis 0 of its operands and results; the function is
 * to be tidied behind it. */
void scan_to_first_axis(PassCtx *c, Func *f, Node *scan);

/* planes.c: how far the windows of a convolution reach outside x: top,
 * bottom, left, right. */
void window_reach(const Node *n, int32_t halo[4]);
/* The same file: does a convolution's kernel go over planes?  One that does
 * not wants plain weights. */
bool conv_takes_planes(const Node *n);
/* sparsify.c: rows of the blocks that a weight is packed in, RUNS, or 0: it
 * stays dense; `rows` of x where n, which uses it, is a linear layer. */
int weight_height(PassCtx *c, const Node *n, int64_t rows, Param *p);
/* Does a linear layer's kernel go over planes of tokens? */
bool linear_takes_tokens(const Node *n, int lanes);

/* ---- prune.c: the recipe's verbs -------------------------------------- */

/* Of weights as matrices (doc/language.md, "Recipes"); a and b are those of
 * blocks and N:M. */
typedef enum {
  PATTERN_UNSTRUCTURED, PATTERN_BLOCK, PATTERN_NM, PATTERN_ROW,
  PATTERN_COLUMN, PATTERN_CHANNEL, PATTERN_HEAD
} PatternKind;
typedef struct Pattern { PatternKind kind; int a, b; } Pattern;

/* A row of the table of verbs.  `check` says what is wrong with a step; those
 * of all steps come before the first is carried out. */
typedef struct Verb {
  const char *name;
  bool (*check)(PassCtx *, const RecipeStep *);
  bool (*run)(PassCtx *, const RecipeStep *);
} Verb;
const Verb *verb_find(const char *name);
bool check_prune(PassCtx *c, const RecipeStep *s);
bool verb_prune(PassCtx *c, const RecipeStep *s);
bool check_factor(PassCtx *c, const RecipeStep *s);
bool verb_factor(PassCtx *c, const RecipeStep *s);
bool check_cluster(PassCtx *c, const RecipeStep *s);
bool verb_cluster(PassCtx *c, const RecipeStep *s);
bool check_smartexchange(PassCtx *c, const RecipeStep *s);
bool verb_smartexchange(PassCtx *c, const RecipeStep *s);
bool check_student(PassCtx *c, const RecipeStep *s);
bool verb_student(PassCtx *c, const RecipeStep *s);
bool check_tokens(PassCtx *c, const RecipeStep *s);
bool verb_tokens(PassCtx *c, const RecipeStep *s);
bool check_adapters(PassCtx *c, const RecipeStep *s);
bool verb_adapters(PassCtx *c, const RecipeStep *s);

/* ---- cse.c ------------------------------------------------------------ */

/* Equal weights are one param, and what is computed with them alike. */
void cse_params(PassCtx *c);

/* ---- rewrite.c: what the passes change graphs with ------------------ */

static inline bool node_is_leaf(const Node *n)
{
  return op_info(n->op)->flags & FLAG_LEAF;
}
static inline Node *node_in(const Node *n, int i)
{
  return i < n->nin ? n->in[i] : NULL;
}
/* A param whose values passes may read, or a literal. */
bool node_is_const(Module *m, const Node *n);
/* Row-major values of a constant of floats, NULL when it is none. */
const float *node_values(Module *m, const Node *n);
/* Does the attribute pad depend on a free dimension? */
bool node_pad_is_free(const Node *n);
/* The one value of a literal or of a constant with a single element. */
bool node_scalar(Module *m, const Node *n, double *v);
/* Whether n is x * sigmoid(x) or x * hardsigmoid(x), and which op that is. */
bool node_gated(const Node *n, Op *op, Node **x);
/* Every use of a param in f: operand k of a node, or (NULL) an output or what
 * a state gets. */
void params_walk(const Func *f,
                 void (*use)(void *ctx, const Param *p, const Node *n, int k),
                 void *ctx);
/* A new constant; `wish` is the path it would like to have. */
Node *func_values(Module *m, Func *f, const char *wish, Type t,
                  Buffer *data);
/* A constant whose values were computed from those of the constant `from`
 * for its use in one node: that param itself, overwritten, when this is its
 * only use (dropped nodes do not count), else a new one beside it.  `once`:
 * the caller knows that it is in f; otherwise the uses are counted. */
Node *func_derive(Module *m, Func *f, Node *from, bool once, Type t,
                  Buffer *data);
/* "a.weight" with "bias" to "a.bias". */
const char *path_beside(Module *m, const char *path, const char *leaf);
/* Make `n` compute `op` of `in` with default attributes; name, path, places
 * and users stay. */
void node_reset(Module *m, Node *n, Op op, Node *const *in, int nin);
/* A node that was replaced, before the next func_tidy: uses nothing. */
void node_drop(Node *n);
/* Make `n`, the only user of `p`, compute what `p` computes; p's path (if
 * any) and places come before its own, and p is dropped. */
void node_absorb(Module *m, Node *n, Node *p);
/* Set operand i, growing the list up to the op's operands. */
void node_set_in(Module *m, Node *n, int i, Node *x);
/* How often each node is used that was there at first, outputs counted. */
typedef struct Uses { int *of; size_t n; } Uses;
Uses uses_new(Arena *a, const Func *f);
bool used_once(const Uses *u, const Node *n);
/* Which nodes use each node of f (tidied; ids are set), for many calls of
 * users_replace: func_replace, where `old` got no users since then. */
typedef struct Users Users;
Users *users_new(Arena *a, Func *f);
void users_replace(Users *u, Node *old, Node *to);
/* Of a node that was there at first: its user, NULL if there are several. */
Node *users_only(const Users *u, const Node *n);
/* A new node right before `at` in the order of the function. */
Node *func_insert(Module *m, Func *f, Node *at, Op op, Node *const *in,
                  int nin);
/* The same of an op of x with a list as attribute: it has its type, and path
 * and places of `at`. */
Node *func_insert_list(PassCtx *c, Func *f, Node *at, Op op, Node *x,
                       const char *name, const int64_t *v, int n);
/* regroup.c: whether n, a reshape of the reshape x, can be one of x's operand;
 * a finer shape before a reshape that no kernel does at once, or NULL. */
bool reshapes_join(const Node *n, const Node *x);
Node *reshape_regroup(Module *m, Func *f, Node *n);
/* A literal as a param of one value. */
Node *func_literal(Module *m, Func *f, const Node *n);
/* The same with the op, attributes, path and places of n; to be typed. */
Node *func_copy(Module *m, Func *f, Node *at, const Node *n,
                Node *const *in, int nin);
/* Infer the type again; what a pass writes is always well typed. */
void node_retype(PassCtx *c, Node *n);
/* What pass `canon` does with one function (canon.c). */
void canon_func(PassCtx *c, Func *f);
/* May channels of a constant be read as one value per index of `axis` of
 * t (or one for all)?  Then v[i * *step] is the one of index i. */
bool node_per_axis(Module *m, const Node *n, const Type *t, int axis,
                   const float **v, int *step);

/* ---- choose.c: the format of a weight ------------------------------- */

/* Rows of the blocks that are tried; 1: single values. */
enum { BLOCK_HEIGHTS = 5 };
extern const int block_heights[BLOCK_HEIGHTS];
/* A weight as the choice sees it: its op, taps a channel (kh*kw), rows of a
 * linear's x, lanes of the target; `all` values, `stored` in blocks of each
 * height that are not empty (-1: such blocks do not fit) and in runs of 4
 * columns of a linear layer (0: none). */
typedef struct Weight {
  Op op;
  int64_t taps, rows, outputs;
  int lanes;
  bool code;     /* the target takes code for its pattern */
  int64_t all, stored[BLOCK_HEIGHTS], runs;
  double gain;   /* how much faster channels in the lanes are; 0: no matter */
  double far;    /* of one row of x: by how much dense takes longer than from
                    the second cache, 0: no matter; then a stored value takes
                    so much at least, for its bytes, and one of runs */
  double least[BLOCK_HEIGHTS], least_runs;
  double apart;  /* what taking x apart by phases of a stride takes, in values
                    of dense */
  double idle;   /* rows in pairs do without it, with lanes of each row idle:
                    by how much they are slower for that */
  bool dots;     /* dense has columns in the lanes, for few outputs */
  double writes; /* what takes y beyond the second cache, in values of dense */
  bool even;     /* all rows have as many nonzeros, and select compares rows
                    in pairs with dense once more */
} Weight;
/* Rows of a block of the fastest format, RUNS, or 0: dense. */
int format_choose(const Weight *w);
/* Constants of a kind of CPUs (choose.c says what they mean). */
typedef struct Family {
  const char *name, *arch;
  const char *cpus;        /* names with spaces between; NULL: all others */
  int lanes;
  double ghz, stream;
  int64_t near_bytes, second_bytes;
  int64_t code_budget;     /* by default; 0: no code for patterns */
} Family;
const Family *family_of(const Target *t);
/* For what the second cache does not hold of so many bytes. */
double far_cycles(const Family *f, double bytes);
/* Until so many bytes of weights have come, which are read in order, again
 * and again. */
double weights_cycles(const Family *f, double bytes);
/* A stored value of a linear layer on so many rows of x, in blocks of
 * block_heights[height], against 1 of dense. */
double rows_cost(int64_t rows, int lanes, int height);
/* By what that is more where dense has columns in the lanes (linear_dots). */
double dots_cost(int64_t rows, int64_t outputs, int lanes, int height);
/* Whether planes of tokens are faster than rows for a linear layer with so
 * many rows of x and a weight in blocks of `height`. */
bool tokens_pay(int64_t rows, int lanes, int height);
/* A stored value in runs, of a linear layer on rows, against 1 of dense. */
double runs_cost(int64_t rows);
/* The register tile for a dense product of rows x vectors, where a vector
 * of x takes `xloads` loads and shuffles (more than 1 where it is strided). */
typedef struct TileWork { int64_t rows, vectors; int xloads; } TileWork;
/* Its time for a step, of one channel and tap, in 32nds of a cycle. */
int64_t tile_choose(const TileWork *w, int vregs, int tile[2]);
/* A dense convolution: each group as conv2d_dense sees it, which has pixels
 * in the lanes; channels of x and taps that a group sums, rows and columns of
 * the result and its pitch, bytes of a plane of x; registers of vregs that
 * values of x take which are spread over the channels (NEON loads two at once
 * and multiplies by a lane).  The tile and the cycles of that kernel, and
 * those of conv2d_channels: tile is {pixels, vectors}. */
typedef struct DenseWork {
  TileWork pixels;
  int lanes, vregs, xregs;
  int64_t groups, channels, taps, h, w, pitch, plane;
  double unpack;       /* cycles until a vector of weights is f32 */
} DenseWork;
/* Those of a weight of that type: of indices more than none. */
double unpack_cycles(const Target *t, const Type *weight);
double pixels_tile(const DenseWork *w, int tile[2]);
double channels_tile(const DenseWork *w, int tile[2]);
/* The same for a table of nonzero blocks: `units` rows of them, each of
 * `height` rows (1: single values), some of which are summed in step.
 * blocks[i] is how many unit i has, the fullest first; x has so many
 * channels, and a tile's taps reach `span` vectors beyond it.  `widest`: the
 * most vectors of a tile; `folds`: a product may take one from memory. */
enum { TABLE_UNITS_MAX = 8 };
typedef struct TableWork {
  int height, lanes, xloads, widest;
  bool folds;
  int64_t units, channels, taps, vectors, span;
  const int64_t *blocks;
  const Family *family;
} TableWork;
/* What a table loads for a vector of x, once its tile is chosen: most taps of
 * several read it over the end of a line. */
void table_cross(TableWork *w);
/* In half cycles for all vectors. */
double table_tile(const TableWork *w, int vregs, int tile[2]);
/* For taking apart a map of so many elements. */
double apart_time(int64_t elems);
/* The same for single values of rows in pairs. */
double pair_tile(const TableWork *w, int vregs, int tile[2]);
/* Code for the pattern of single values: `columns` is how many the panels of
 * rows that are summed at once load in all, `across` how many of those lie
 * over the end of a line.  Its time in half cycles, and its bytes. */
typedef struct CodeWork {
  int lanes;
  int64_t products, columns, across, rows, channels, taps, vectors, span;
  const Family *family;
} CodeWork;
double code_time(const CodeWork *w);
/* The time of a dense product of the same size. */
double dense_time(const TableWork *w);
int64_t code_size(const CodeWork *w);

/* select.c: the tile of one of these kernels for a convolution on planes, and
 * its cycles. */
double dense_tile(const Target *t, const Node *n, const char *kernel,
                  int tile[2]);
/* The same file: how much faster than conv2d_dense conv2d_channels is where x
 * has stride 1, as a table reads it; 1 at least. */
double node_gain(const Target *t, const Node *n);
/* The same file: blocks of h rows that are not empty, of each unit of so many
 * rows, the fullest first, in blocks[rows / h]; all of them. */
int64_t unit_counts(const float *w, int64_t rows, int64_t columns, int h,
                    int64_t *blocks);
/* The same file: a strided convolution with single values, as it is: what is
 * summed, and the time of rows in pairs for that, in half cycles. */
double strided_pairs(Arena *scratch, const Target *t, const Node *n,
                     const float *w, TableWork *work);
/* The same file: what a table of the node's sparse weight would sum; false
 * when the node has no such kernel.  *flat: its vectors are one line. */
bool node_table(Arena *scratch, const Target *t, const Node *n,
                TableWork *work, bool *flat);
/* The same whatever the weight is, without its blocks. */
bool node_shape_work(const Target *t, const Node *n, TableWork *work,
                     bool *flat);
/* patterns.c: tables of single values become code while the budget lasts,
 * and what is no faster than dense is dense again. */
void patterns_select(PassCtx *c);
/* Times are known to a tenth: what stays as it is has that advantage.  Rows in
 * pairs load more than others, and lose more to a neighbour on the core. */
#define CODE_GAIN 0.9
#define PAIR_GAIN 0.75
/* The code for a weight w on what the table would sum. */
CodeWork pattern_work(const Target *t, const Node *n, const float *w,
                      const TableWork *table);
/* Most bytes of such code; 0 where the target takes none. */
int64_t patterns_budget(const PassCtx *c);

/* ---- weigh.c: for reports -------------------------------------------- */

/* A kernel that could compute a layer, with the time that the model gives it,
 * and why it was not taken. */
typedef struct Alternative {
  const char *kernel;
  double us;
  bool taken;
  const char *why_not;     /* NULL: it was */
} Alternative;
enum { ALTERNATIVES_MOST = 7 };
/* Those of a convolution or linear layer behind `select`, the dense one
 * first; 0 for what has one kernel.  `told`: what the build was told, or
 * NULL. */
int node_alternatives(Arena *scratch, Module *m, const Target *t,
                      const Choices *told, const Node *n,
                      Alternative out[ALTERNATIVES_MOST]);
/* Bytes that a node's code for its pattern takes of the budget; 0: it has
 * none. */
int64_t node_code_bytes(Module *m, const Target *t, const Node *n);
/* The time of any node by its products and bytes alone. */
double node_us(Module *m, const Target *t, const Node *n);
/* Of a module behind `select`; times are those that reports give. */
Prediction module_predict(Module *m, const Target *t, const Choices *told);

#endif
