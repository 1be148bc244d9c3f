/* ir.h - the tensor IR: types with encodings, ops, nodes, functions,
 * modules; inference, verifier, printer, reference evaluator, costs.
 * doc/ir.md describes it with examples. */
#ifndef TAMIS_IR_H
#define TAMIS_IR_H

#include "base/base.h"

enum { MAX_RANK = 8 };

/* ---- type.c: element types, layouts, encodings ---------------------- */

typedef enum Elem {
#define ELEM(e, name, bits) e,
#include "ir/types.def"
#undef ELEM
  ELEM_COUNT
} Elem;

const char *elem_name(Elem e);
bool elem_parse(const char *s, Elem *out);
int elem_bits(Elem e);
size_t elem_size(Elem e);  /* bytes in memory; i4 and u4 count 1 */
bool elem_is_float(Elem e);
bool elem_is_unsigned(Elem e);   /* b1 among them */
/* Element i of row-major memory as a number; floats exactly, integers of
 * magnitude up to 2^53. */
double elem_load(Elem e, const void *at, size_t i);
/* Store a number as element i: floats to nearest, ties to even; integers of
 * a fraction towards zero, those out of range the nearest in it, NaN 0; b1
 * is v != 0. */
void elem_store(Elem e, void *at, size_t i, double v);
/* n elements as f32. */
void elems_widen(Elem e, const void *from, size_t n, float *to);
/* n elements of f32 as elem_store rounds them to f16 or bf16; how many of
 * them, from the first on, are that already. */
void elems_narrow(Elem e, const float *from, size_t n, void *to);
size_t elems_exact(Elem e, const float *v, size_t n);
/* elem_load and elem_store for integers, which wrap; not for elements that
 * are floats.  A u64 is its bits. */
int64_t elem_load_int(Elem e, const void *at, size_t i);
void elem_store_int(Elem e, void *at, size_t i, int64_t v);

/* A layout is data: where each element of a tensor lies.  Terms go from the
 * outermost to the innermost.  A term speaks of axes [axis, axis+naxes),
 * merged row-major; with block > 0 of their index divided by `block` (outer
 * term) or modulo it (inner term).  stride counts elements.  As text
 * "n,c:912,h:29,w": letters n c h w for axes 0..3 of rank 4, else a b d e...
 * by position ("a0" .. "a7"); `/16` outer, leading `16` inner, `:S` stride
 * where it is not the product of the terms to the right.  NULL in a Type
 * stands for row-major without gaps.  Element 0 lies at `origin`; `size` is
 * how many elements the buffer has, slack for vector reads included.
 * halo [top, bottom, left, right]: so far outside the last two axes, reading
 * by the same strides gives zeros; whoever writes the value writes them. */
typedef struct LayoutTerm {
  uint8_t axis, naxes;
  bool inner;
  int32_t block;
  int64_t stride;
} LayoutTerm;
typedef struct Layout {
  int nterms;
  LayoutTerm term[2 * MAX_RANK];
  int64_t origin, size;
  int32_t halo[4];
} Layout;

/* Sparse format of a constant matrix: w viewed as [rows = dim 0, cols = the
 * product of the others].  Blocks of br x bc (1x1: CSR).  Packed as values
 * (nblocks * br * bc elements, block by block, column-major in the block),
 * and index: per block row a count (u32 little endian, rows/br of them),
 * then the block columns of each block row ascending, as `index` elements
 * (u8 U8, u16 I16, u32 I32: stored unsigned).  nnz counts stored values.
 * With n > 0 instead `n` values of each run of 4 columns (br, bc are 1),
 * run by run, zeros among them where a run has fewer; index then has the
 * columns within their runs, ascending, 2 bits each, the lowest first. */
typedef struct Sparse {
  int br, bc;
  int64_t nnz;
  Elem index;
  int n;
} Sparse;
enum { RUN_COLUMNS = 4 };

/* scale*(q-zero); per channel along axis when axis >= 0. */
typedef struct Quant { double scale; int64_t zero; int axis; } Quant;

/* Dimensions that are free until a call, each from least to most.  A graph
 * stands for all sizes; it is looked at with some of them, the samples, of
 * which the first has all at their most. */
enum { FREE_MOST = 3, SAMPLES_MOST = 24 };
typedef struct FreeDim {
  const char *name;    /* a name of the language */
  const char *given;   /* as --dim calls it */
  int64_t least, most;
  int64_t from;        /* code is called with so many at least, others have
                          code of their own; 0: with the least */
} FreeDim;
typedef struct FreeDims {
  int n, nsamples;
  bool onnx;             /* an ONNX file is read anew at each sample */
  FreeDim dim[FREE_MOST];
  int64_t sample[SAMPLES_MOST][FREE_MOST];
} FreeDims;
/* Dimensions at each sample. */
typedef struct FreeShape {
  const FreeDims *of;
  int64_t dim[][MAX_RANK];
} FreeShape;
/* Numbers at each sample, one after the other. */
typedef struct FreeInts {
  const FreeDims *of;
  int64_t v[];
} FreeInts;

/* Sizes are those of the bounds where dimensions are free. */
typedef struct Type {
  Elem elem;
  int rank;
  int64_t dim[MAX_RANK];
  const FreeShape *free;   /* NULL: all are fixed */
  const Layout *layout;
  const Sparse *sparse;
  const Quant *quant;
  Elem stored;  /* of an f32 param: F16 or BF16, which hold its values and
                   are what the artifact has; U4 or U8: it has indices into
                   the values, at most 16 or 256; 0: it has them as they are */
  int64_t at;   /* byte offset in the arena, -1: none */
} Type;

Type type_make(Elem e, int rank, const int64_t *dim);
/* At the bounds of free dimensions; at all sizes. */
bool type_same_dims(const Type *a, const Type *b);
bool type_same_shape(const Type *a, const Type *b);
bool type_equal(const Type *a, const Type *b);  /* encodings included */
/* Number of elements; -1 when a dimension is symbolic or it overflows. */
int64_t type_elems(const Type *t);
/* Bytes the value takes in memory, layout (its size) included. */
int64_t type_bytes(const Type *t);
/* The type of its elements in the artifact. */
Elem type_stored(const Type *t);
/* Row-major without gaps, whatever the layout. */
int64_t type_rows_bytes(const Type *t);
void type_print(Text *out, const Type *t);  /* "f32[1,8] <...>" */

/* Row-major strides of a shape. */
void strides_dense(const Type *t, int64_t stride[MAX_RANK]);
/* Element strides and origin of a value whose layout is unblocked (NULL
 * included); false when it is blocked. */
bool layout_strides(const Type *t, int64_t stride[MAX_RANK],
                    int64_t *origin);
/* An unblocked layout in the order of axes; size must cover it. */
Layout *layout_strided(Arena *a, const Type *t, const int64_t *stride,
                       int64_t origin, int64_t size,
                       const int32_t halo[4]);
/* Planes for a rank-4 f32 value on `lanes`-wide vectors: rows of pitch
 * W + max(left,right) one after the other, halo rows above and below, plane
 * stride an odd number of vectors, element (0,0,0,0) aligned to a vector,
 * slack of 4 vectors behind. */
Layout *layout_planes(Arena *a, const Type *t, int lanes,
                      const int32_t halo[4]);
/* Of t, which is each `step`th row from `start` on of `whole`, a value in
 * planes: where they lie there.  The halo above is that of the first rows, the
 * one below that of the last; rows that lie apart have none. */
Layout *layout_rows(Arena *a, const Type *t, const Type *whole,
                    int64_t start, int64_t step);
/* Whether t lies like that. */
bool type_is_rows(const Type *t, const Type *whole, int64_t start,
                  int64_t step);
/* The vectors along the last axis [.., K] as K planes: tokens, which the
 * axes before it count, lie side by side, a plane is an odd number of
 * vectors apart from the next one. */
Layout *layout_tokens(Arena *a, const Type *t, int lanes);
/* Whether t lies like that, and how far apart its planes are. */
bool type_is_tokens(const Type *t, int64_t *plane);
/* The terms of a layout's text; a stride that is not given is -1 until
 * layout_complete sets it to extent times stride of the term to the right.
 * layout_complete also sets a size of 0 to what the terms reach. */
bool layout_parse(Arena *a, const char *s, int rank, Layout *out);
bool layout_complete(Layout *l, const Type *t);
/* Whether a layout speaks of each axis once and all it reaches, halo
 * included, lies within its size; else text in why. */
bool layout_check(const Layout *l, const Type *t, Text *why);
void layout_print(Text *out, const Layout *l, const Type *t);
bool layout_equal(const Layout *a, const Layout *b);

/* ---- op.c: the op table --------------------------------------------- */

typedef enum Op {
#define OP(e, ...) OP_##e,
#include "ir/ops.def"
#undef OP
  OP_COUNT
} Op;

enum {
  FLAG_UNARY = 1, FLAG_BINARY = 2, FLAG_COMM = 4, FLAG_VIEW = 8,
  FLAG_REDUCE = 16, FLAG_LEAF = 32
};

typedef enum {
  ATTR_INT, ATTR_INTS, ATTR_FLOAT, ATTR_STR, ATTR_BOOL, ATTR_ELEM
} AttrKind;
typedef struct Attr {
  AttrKind kind;
  bool set;          /* given or defaulted */
  int64_t i;         /* INT, BOOL; ELEM: an Elem */
  double f;
  const char *s;
  int n;             /* INTS */
  const int64_t *ints;
  const FreeInts *free;   /* of INT and INTS; NULL: the same at all sizes */
} Attr;

enum { MAX_OPERANDS = 8, MAX_ATTRS = 12 };
typedef struct OpInfo {
  const char *name;
  int noperands, nrequired;
  bool variadic;     /* the last operand repeats */
  const char *operand[MAX_OPERANDS];
  char operand_class[MAX_OPERANDS];   /* see ops.def; 'T' by default */
  int nattrs;
  const char *attr[MAX_ATTRS];
  Attr def[MAX_ATTRS];   /* kind, and the default where .set */
  uint32_t elems;        /* of operands of class T: mask of 1u << Elem */
  uint32_t flags;
} OpInfo;

const OpInfo *op_info(Op op);
bool op_parse(const char *name, Op *out);
const char *const *op_names(size_t *n);
/* Class of operand number i, and the element types it may have. */
char op_class(const OpInfo *info, int i);
uint32_t op_elems(const OpInfo *info, int i);

/* ---- graph.c: nodes, functions, modules ----------------------------- */

/* Where a node came from: file and line:column, or file and the original
 * node's name. */
typedef struct Place {
  const char *file;
  int line, col;
  const char *node;    /* NULL: line and col count */
} Place;
/* What a node keeps of those it inherits. */
enum { MAX_PLACES = 256 };

/* How a param is drawn under --random-weights (and later for training). */
typedef enum { INIT_HE, INIT_UNIFORM } InitKind;
typedef struct Init { InitKind kind; double lo, hi; } Init;

/* Weights.  data: row-major values of type.elem; NULL before weights are
 * read.  With type.sparse: values and index instead (see Sparse). */
typedef struct Param {
  const char *path;
  Type type;
  Init init;
  bool trainable;
  Buffer *data, *values, *index;
  Span span;
  Buffer *wide;        /* cache of param_values, for param.c alone */
  uint32_t order;      /* position in module.params after func_tidy */
} Param;

/* What is kept from one call of the artifact to the next: `value` in every
 * element at first and after a reset. */
typedef struct State {
  const char *path;
  Type type;           /* no encodings: row-major */
  double value;        /* of a float type */
  int64_t ivalue;      /* of any other */
  Span span;
  uint32_t order;      /* position in module.states */
} State;

typedef struct Node Node;
struct Node {
  Op op;
  uint32_t id;         /* position in its function after func_renumber */
  Type type;
  int nin;
  Node **in;           /* nin operands; absent optional ones are NULL */
  Attr *attr;          /* one per op_info(op)->attr */
  const char *name;    /* of the value, for printing; may be NULL */
  const char *path;    /* layer path (`as`), or NULL */
  int nfrom;
  Place *from;
  Span span;           /* in the text that was parsed, for carets */
  const char *kernel;  /* row of kernels.def, NULL before selection */
  int tile[2];         /* rows x vectors of the kernel, 0 when it has none */
  const char *why;     /* why this kernel; for reports, not printed */
  Param *param;        /* OP_PARAM */
  State *state;        /* OP_STATE: its value before this call */
  double value;        /* OP_CONST: a scalar literal, of a float type */
  int64_t ivalue;      /* of any other type */
  const FreeInts *free;   /* OP_CONST of whole numbers: at the samples */
};

typedef struct Output { const char *name; Node *node; } Output;
/* The value that a state has after the call. */
typedef struct Next { State *state; Node *node; } Next;

/* Nodes in topological order; INPUT, PARAM, STATE and CONST leaves are among
 * them.  Each Param has at most one PARAM node in a function, each State at
 * most one STATE node and one Next.  The first function of a module is the
 * model; any other is an entry of the artifact too, unless its name begins
 * with _ .  Only a function that no other calls has nexts. */
typedef struct Func {
  const char *name;
  Vec(Node *) nodes;
  Map param_node;       /* path -> its PARAM node, for func_param */
  Map state_node;       /* path -> its STATE node */
  Vec(Node *) inputs;   /* OP_INPUT, in the order of the signature */
  Vec(Output) outputs;
  Vec(Next) nexts;
} Func;

/* First line of a dump. */
typedef struct DumpInfo {
  const char *after;    /* pass name, NULL: this is source */
  const char *target, *cpu, *features;
  int opt;              /* -O level, 4 = s, -1: not said */
  const char *sparsity; /* "auto" or "off" */
  int64_t code_budget;  /* bytes of code for patterns; 0: not said, -1: none */
  Elem weight_type;     /* F16 or BF16; 0: weights are stored as f32 */
  int64_t arena_bytes;  /* known after plan, else 0 */
} DumpInfo;

typedef Vec(const char *) Paths;

/* A step of a recipe that is still to be carried out: verb, the params it
 * selected and its arguments.  (The elaborator has resolved selectors.) */
typedef struct RecipeArg { const char *name; Attr value; } RecipeArg;
/* What a step before makes of a param, one of recipe_parts. */
typedef struct RecipePart { Param *of; const char *part; } RecipePart;
typedef struct RecipeStep {
  const char *verb;
  Span span;
  Vec(Param *) params;
  Vec(RecipePart) parts;
  Paths blocks;               /* paths, in their order in the graph; of steps
                                 of recipe_on_blocks, which have no others */
  Vec(RecipeArg) args;
} RecipeStep;

typedef struct Module {
  Arena *arena;
  const char *name;     /* the model's */
  Vec(Func *) funcs;    /* [0] is the model */
  Vec(Param *) params;
  Vec(State *) states;
  Map param_of;         /* path -> Param *, for module_param */
  Map state_of;         /* path -> State *, for module_state */
  Map next_suffix;      /* wish -> first that may be free, for fresh paths */
  Vec(RecipeStep) recipe;
  DumpInfo dump;
  const FreeDims *free; /* NULL: no dimension is */
  const char *file;     /* what was read, for messages */
  Vec(const char *) notes;   /* what passes have to say, for -v and reports */
} Module;

Module *module_new(const char *name);
void module_free(Module *m);   /* drops its buffers, frees its arena */
/* Add to its notes. */
void module_note(Module *m, const char *fmt, ...) PRINTF_LIKE(2, 3);
Param *module_param(Module *m, const char *path);   /* by path, or NULL */
/* Add a param; its path must be new (module_fresh_path makes one). Takes
 * over the reference to `data`. */
Param *module_add_param(Module *m, const char *path, Type t, Buffer *data);
const char *module_fresh_path(Module *m, const char *wish);
/* "a.weight" and "down" give "a.down.weight", "w" gives "w.down". */
const char *path_part(Arena *a, const char *path, const char *part);
/* Is a path that of a block, or of something in it? */
bool path_within(const char *path, const char *block);
/* The parts that a verb, with that argument `method` (NULL: none), may take a
 * layer apart in, as "down" and "up", with a NULL behind; NULL: it does
 * not. */
const char *const *recipe_parts(const char *verb, const char *method);
/* Does a verb, with that argument `method` (NULL: none), work on blocks as a
 * whole?  Its selectors then mean these. */
bool recipe_on_blocks(const char *verb, const char *method);
/* Letters, digits and _, no digit first, and no keyword. */
bool name_is_valid(const char *s);
/* The one way to a param's values: row-major f32 (unpacked where sparse,
 * widened where narrow), from the module's arena or the buffer itself.
 * NULL when it has no data, is trainable or holds integers. */
const float *param_values(Module *m, const Param *p);
/* Values of any element type, row-major, as type.elem lies in memory; NULL
 * when there are none, the param is trainable or its values are packed. */
const void *param_data(const Param *p);
void param_set_data(Param *p, Buffer *data);   /* takes the reference */
/* Give p the values, dense or packed, of its namesake in `module` (a Module),
 * shared; false when there is none.  For a module that was printed and read
 * back. */
bool param_provide(void *module, Param *p);
/* Whether p's values are those of the type it is to be stored as; else text
 * in why. */
bool param_stored_check(const Param *p, Text *why);
/* Bytes of the weights as they are stored: dense data, or values and
 * index. */
int64_t param_bytes(const Param *p);

/* ---- cluster.c: params that are stored as indices of values ----------- */

/* The most values that one stored so has, 0.0 among them: 16 of U4, 256 of
 * U8; 0: it is not. */
int elem_clusters(Elem stored);
/* The values of v[n] and 0.0, each once, rising (floats as they are told apart
 * by their bits); how many, or -1: more than `most`, which table holds. */
int clusters_of(const float *v, size_t n, int most, float *table);
/* Where each stands in the table. */
void clusters_index(const float *table, int count, const float *v, size_t n,
                    uint8_t *out);
/* Indices in memory: a byte each, or two of U4 in one, the lower half first. */
size_t clusters_bytes(Elem stored, size_t n);
void clusters_pack(Elem stored, const uint8_t *index, size_t n, uint8_t *to);
/* The values; NULL: an index is beyond the table. */
Buffer *clusters_expand(Elem stored, const float *table, int count,
                        const uint8_t *packed, size_t n);
/* Are the f32 of a buffer so few values? */
bool clusters_hold(Elem stored, const Buffer *b);

/* sparse.c.  Whether an f32 type divides into br x bc blocks; pack a param
 * that has data (sets values, index, type.sparse, and the type of its PARAM
 * nodes; data is let go), and the way back. */
bool sparse_fits(const Type *t, int br, int bc);
void sparse_pack(Module *m, Param *p, int br, int bc);
void sparse_unpack(Module *m, Param *p);
/* runs.c: the same for n values of each 4 columns.  The most nonzeros that a
 * run of w [all / 4][4] has. */
bool runs_fit(const Type *t, int n);
int runs_most(const float *w, int64_t all);
void runs_pack(Module *m, Param *p, int n);
/* Column, in its run, of stored value number i. */
int runs_column(const Param *p, int64_t i);
bool runs_check(const Param *p, Text *why);
void runs_expand(const Param *p, float *w);
/* PARAM nodes carry their param's type. */
void param_retype(Module *m, const Param *p);
/* A fresh row-major buffer of the values of a packed param. */
Buffer *sparse_expand(const Param *p);
int64_t sparse_blocks(const Param *p);
/* Rows that kernels can take as one block: 16, 8, 4, 3 or 2, the most that
 * divide the rows of a stored block; else 1.  In tiles of so many rows the
 * most that divide these as well; 0: the kernel has no tile. */
int sparse_height(const Sparse *s);
int sparse_tile_height(const Sparse *s, int rows);
/* Blocks in a block row; block column (absolute) of block number `block`. */
uint32_t sparse_row_count(const Param *p, int64_t block_row);
uint32_t sparse_col(const Param *p, int64_t block);
/* Whether values and index hold what the type says; else text in why. */
bool sparse_check(const Param *p, Text *why);

/* States, in the order in which they were added. */
State *module_state(const Module *m, const char *path);   /* or NULL */
State *module_add_state(Module *m, const char *path, Type t);
Func *module_func(const Module *m, const char *name);     /* or NULL */
/* Position in module.funcs. */
size_t func_index(const Module *m, const Func *f);
/* Whether callers of the artifact can call it. */
bool func_is_entry(const Module *m, const Func *f);
/* Entries and all that they call, those that are called first. */
Func **funcs_bottom_up(Arena *a, const Module *m, size_t *n);
/* The same of all functions. */
Func **funcs_all(Arena *a, const Module *m, size_t *n);

Func *func_new(Module *m, const char *name);
/* The body of a scan at a layer's path: _path, which is no entry. */
Func *func_new_body(Module *m, const char *path);
/* Append a node with all-default attributes; type not inferred yet.  n->in
 * gets a slot for every operand of the op, NULL behind the nin given. */
Node *func_add(Module *m, Func *f, Op op, Node *const *in, int nin);
Node *func_input(Module *m, Func *f, const char *name, Type t);
Node *func_param(Module *m, Func *f, Param *p);   /* existing or new */
Node *func_param_node(const Func *f, const Param *p);   /* or NULL */
Node *func_state(Module *m, Func *f, State *s);   /* existing or new */
/* The state gets the value of n when the call ends. */
void func_next(Module *m, Func *f, State *s, Node *n);
Node *func_const(Module *m, Func *f, double v);   /* of type f32 */
/* A literal of any type that is no float. */
Node *func_const_int(Module *m, Func *f, Elem e, int64_t v);
void func_output(Module *m, Func *f, const char *name, Node *n);
/* Every use of `old` (outputs too) becomes `to`; the outputs and nexts. */
void func_replace(Func *f, Node *old, Node *to);
void func_results_replace(Func *f, const Node *old, Node *to);
/* Stable topological order (nodes keep their order where they may), dead
 * nodes dropped (inputs stay), params no function uses dropped, ids set. */
void func_tidy(Module *m, Func *f);
/* uses[id]: number of uses of each node, outputs counted; in the arena. */
int *func_uses(Arena *a, const Func *f);
/* Copy path and places of `from` onto `to` (places are appended once). */
void node_inherit(Module *m, Node *to, const Node *from);

int attr_index(Op op, const char *name);   /* -1: the op has none such */
int64_t attr_int(const Node *n, const char *name);
bool attr_bool(const Node *n, const char *name);
double attr_float(const Node *n, const char *name);
const char *attr_str(const Node *n, const char *name);
const int64_t *attr_ints(const Node *n, const char *name, int *count);
Elem attr_elem(const Node *n, const char *name);
void attr_set_elem(Node *n, const char *name, Elem e);
void attr_set_int(Node *n, const char *name, int64_t v);
void attr_set_bool(Node *n, const char *name, bool v);
void attr_set_float(Node *n, const char *name, double v);
void attr_set_str(Module *m, Node *n, const char *name, const char *v);
void attr_set_ints(Module *m, Node *n, const char *name, const int64_t *v,
                   int count);
/* The dimensions of a type, free ones too. */
void attr_set_shape(Module *m, Node *n, const char *name, const Type *t);
bool attr_equal(const Attr *a, const Attr *b);
/* The function that a call or scan calls; NULL for any other node. */
Func *node_callee(const Module *m, const Node *n);
/* Bytes of arena that a call of f takes, once offsets are planned. */
int64_t func_arena_bytes(const Func *f);
/* The workspace of a call or scan: the callee's arena, then room for each of
 * its results, then for each carry once more; offsets are multiples of 64. */
typedef struct Workspace {
  int64_t bytes;
  int64_t result[64], carry[64];    /* offsets */
} Workspace;
enum { MAX_RESULTS = 64 };
Workspace node_workspace(const Module *m, const Node *n);
/* Steps of a scan. */
int64_t scan_steps(const Node *n);
/* Operand by its name in ops.def ("b"), NULL when absent. */
Node *node_operand(const Node *n, const char *name);

/* ---- infer.c, verify.c ---------------------------------------------- */

/* Set n->type (shape and element type; encodings are left clear) from its
 * operands and attributes.  On an error: false, one diagnostic at n->span
 * that says expected and found. */
bool node_infer(Module *m, Node *n, Diags *d);
/* infer_index.c: the binary op that a mode of scatter stands for; false:
 * none, as of "set". */
bool scatter_op(const char *mode, Op *op);
/* Largest size of a kernel, a stride, a dilation or a padding. */
enum { MAX_WINDOW = 1 << 30 };
/* Largest step of an interleave. */
enum { STEP_MOST = 16 };
/* infer_matmul.c: m x k times k x n, of a matmul node's operands. */
typedef struct MatmulSizes { int64_t m, n, k; } MatmulSizes;
MatmulSizes matmul_sizes(const Node *n);
/* Sizes of an attend: rows of q and of k, columns of q and of v. */
typedef struct AttendSizes { int64_t l, s, e, v; } AttendSizes;
AttendSizes attend_sizes(const Node *n);
/* Check the whole module: order, arity, attribute kinds, types equal to
 * what inference gives, encodings sane, params with data unless absent by
 * design.  Messages are internal errors of a pass: text in `why`. */
bool module_verify(Module *m, Text *why);

/* ---- free.c: free dimensions ----------------------------------------- */

/* floor((the sum of c[k] times the dimensions whose bits k has) / div), times
 * mul and the dimensions whose bits `by` has, plus add; a dividend that is
 * divided is not negative. */
typedef struct FreeExpr {
  int64_t c[1 << FREE_MOST], div, mul, by, add;
} FreeExpr;
/* A number that depends on no dimension. */
FreeExpr free_number(int64_t v);
/* Choose the samples. */
void free_samples(FreeDims *f);
int64_t free_eval(const FreeExpr *e, const int64_t *size);
/* The expression that is v[k * step] at sample k; false: none is known. */
bool free_expr(const FreeDims *f, const int64_t *v, size_t step, FreeExpr *e);
void free_expr_print(Text *out, const FreeDims *f, const FreeExpr *e);
bool axis_is_free(const Type *t, int axis);
/* Is an axis free behind the outermost one?  Row-major, it then lies otherwise
 * at each size. */
bool type_packs(const Type *t);
/* Whether two dimensions are the same at all sizes. */
bool axes_equal(const Type *a, int i, const Type *b, int j);
/* Whether the node's sizes or attributes are free, or those of an operand. */
bool node_is_free(const Node *n);
int64_t type_dim_at(const Type *t, int axis, int sample);
/* Of a free axis. */
bool axis_expr(const Type *t, int axis, FreeExpr *e);
/* The least size that code is called with; how long it then finds an axis at
 * least. */
int64_t dim_from(const FreeDim *d);
int64_t axis_least(const Type *t, int axis);
/* A type of t's elements whose dimension i is the product of t's axes
 * axes[i][0] and axes[i][1], which are left out where negative. */
Type type_regroup(Module *m, const Type *t, int rank, const int (*axes)[2]);
/* The shape of a type that has dim[k] at sample k; NULL where they are those
 * of the type everywhere. */
const FreeShape *free_shape(Module *m, const Type *t,
                            const int64_t (*dim)[MAX_RANK]);
/* Sizes of an inferred node at the samples, from those of its operands; lost
 * where inference fails there. */
void node_infer_free(Module *m, Node *n);
/* The same of all nodes, from the inputs on; an error where that fails, or no
 * expression is known. */
bool module_infer_free(Module *m, Diags *d);

/* ---- along.c: axes that are computed index by index ------------------- */

/* The axis of operand k of which index i alone index i of the result's axis
 * depends on; or that it does not depend on an index, or on several. */
enum { ALONG_NONE = -1, ALONG_MIXED = -2 };
int node_along(const Node *n, int axis, int k);
/* The attribute `axis`, counted from the first of so many. */
int node_axis(const Node *n, int rank);
/* Whether code for n is a loop over an axis around its kernel. */
bool kernel_loops(const Node *n, int axis);
/* Of a linear layer with free rows: those that lie side by side, at most,
 * around which such loops go. */
int64_t linear_tokens(const Node *n);
/* Whether n's kernel computes it at all sizes of free dimensions; else text in
 * why. */
bool node_takes_sizes(const Node *n, Text *why);
/* The least axes [from[0], to[0]) of x, from `from` on, of which [from[1],
 * to[1]) of y are the elements at all sizes; false: there are none. */
bool reshape_group(const Type *x, const Type *y, int from[2], int to[2]);
/* Whether a reshape's elements lie where they did, at all sizes; whether it
 * only merges or splits a dimension at a time that is free. */
bool reshape_lies(const Node *n);
bool reshape_cuts(const Node *n);

/* ---- print.c -------------------------------------------------------- */

/* The module as a flat program that parses back to the same module.
 * `weights`: name of the safetensors file to mention, NULL: none. */
void module_print(Text *out, const Module *m, const char *weights);
/* One node as a statement, for diffs and reports. */
void node_print(Text *out, const Module *m, const Func *f, const Node *n);

/* ---- eval.c: the reference evaluator -------------------------------- */

/* A tensor of the evaluator, row-major in logical order: doubles, or where
 * the element type is no float integers in `i` (b1: 0 or 1). */
typedef struct Tensor {
  Type type;
  union { double *v; int64_t *i; };
} Tensor;
/* Room for all elements, zeroed. */
Tensor tensor_new(Arena *a, const Type *t);
/* From and to row-major memory as type.elem lies there. */
void tensor_read(Tensor *t, const void *from);
void tensor_write(const Tensor *t, void *to);
typedef struct EvalOpts {
  bool round;    /* round each op's result to its element type (folding);
                    f16 and bf16 always are */
  bool blas;     /* OpenBLAS for large products; never when folding */
  Tensor *states;   /* one a state: read, and written when a function ends;
                       NULL: as after a reset, and gone afterwards */
} EvalOpts;
/* All states as they are after a reset. */
Tensor *states_reset(Arena *a, const Module *m);
/* One node from its operands' tensors (NULL where absent) into `out`, which
 * the caller allocated; out->type is n->type. Double arithmetic (integers:
 * modulo 2^bits), plain loops in a fixed order. */
void node_eval(Module *m, const Node *n, const Tensor *const *in,
               Tensor *out, const EvalOpts *o);
/* Run a function; `in` one tensor per input.  Results: one per node, by
 * id (allocated in `a`; `keep` false frees what is no longer needed, and
 * only outputs remain).  NULL on error (a param without data). */
Tensor *func_eval(Arena *a, Module *m, Func *f, const Tensor *in,
                  const EvalOpts *o, bool keep, Diags *d);

/* What pixel i of a resize's result is along axis 2 or 3: pixel lo of x, and
 * in bilinear mode (1 - part) of it and part of pixel hi. */
typedef struct Sample { int64_t lo, hi; double part; } Sample;
Sample resize_sample(const Node *n, int axis, int64_t i);

/* ---- linalg.c: row-major matrices of doubles, through OpenBLAS ------- */

/* Of symmetric matrices the upper triangle is read and written. */
/* g[n][n] += x' x, of x[rows][n]. */
void gram_add(double *g, int64_t n, const double *x, int64_t rows);
/* c[m][n] -= a[m][k] b[k][n], with so many elements from row to row. */
void product_subtract(double *c, int64_t ldc, const double *a, int64_t lda,
                      const double *b, int64_t ldb, int64_t m, int64_t n,
                      int64_t k);
/* a[n][n] = u' u, u upper, in its place; false: a is not positive definite.
 * Then u becomes the inverse of a. */
bool cholesky(double *a, int64_t n);
bool cholesky_inverse(double *a, int64_t n);
/* Solve a x = b for `count` vectors b, one after the other, in their place; a
 * is lost.  False: it is not positive definite. */
bool symmetric_solve(double *a, int64_t n, double *b, int64_t count);
/* a[m][n] = u[m][k] diag(s) vt[k][n] with k = min(m, n), at most SVD_MOST, and
 * s falling; a is lost.  False: the iteration found no end. */
enum { SVD_MOST = 8192 };
bool svd(double *a, int64_t m, int64_t n, double *u, double *s, double *vt);

/* ---- cost.c --------------------------------------------------------- */

typedef struct Cost {
  int64_t macs;          /* multiply-accumulates, dense */
  int64_t nonzero_macs;  /* those whose weight is not zero */
  int64_t bytes;         /* activations and stored weights read, written */
} Cost;
Cost node_cost(Module *m, const Node *n);
/* Nonzero values of a param. */
int64_t param_nonzeros(Module *m, const Param *p);

/* ---- target.c: what passes need to know of a machine ---------------- */

typedef struct Target {
  const char *triple, *cpu, *features;   /* as LLVM takes them */
  const char *arch;      /* "x86_64", "aarch64" */
  int lanes;             /* f32 lanes of a vector: 16, 8, 4 */
  int vregs;             /* vector registers: 32, 16 */
  bool fma;
  bool f16;              /* instructions that make f32 of f16 */
} Target;

/* ---- kernel.c ------------------------------------------------------- */

typedef struct KernelInfo { const char *name, *ops, *what; } KernelInfo;
const KernelInfo *kernel_info(const char *name);   /* NULL: none such */
const KernelInfo *kernel_table(size_t *n);
/* Whether a node is a view, without code: its kernel is "alias". */
bool node_is_alias(const Node *n);
/* Of a slice of rows of a map: the first of them in its operand, and its step
 * in *step; of a concat of rows: the first of operand k in the result, and 1;
 * -1: n is neither. */
int64_t node_rows(const Node *n, int k, int64_t *step);
/* Whether the kernel reads element i of operand k, and no later one at i or
 * before, when it writes element i of the result, which lies as it does. */
bool node_reads_in_step(const Node *n, int k);
/* Does n read operand k as a weight, which may be stored in 16 bits? */
bool node_reads_weight(const Node *n, int k);
/* Whether a linear layer's x, K of them in a row, can be permuted by columns
 * of a byte: at once in registers, or in windows of so many, whose begin is
 * two bytes. */
enum { PERM_WINDOW = 16 };
bool linear_permutes(const Target *t, const Node *n);
/* Whether a dense linear layer has so few outputs that columns lie in the
 * lanes, if x is dense along them: their sums, x and a vector of weights are
 * in registers. */
bool linear_dots(const Target *t, int64_t rows, int64_t outputs,
                 int64_t columns);
/* The largest tile that kernels have registers and tables for. */
enum { TILE_ROWS_MOST = 32, TILE_VECTORS_MOST = 16, TILE_SUMS_MOST = 60 };
/* The most weights that dense kernels make f32 of on the stack (64 KiB) for
 * all of their tiles. */
enum { UNPACK_MOST = 1 << 14 };
/* Rows that code for a pattern sums at once. */
enum { CODE_ROWS = 28 };
/* Rows in pairs: bytes of x of a block of columns and of the sums of a panel
 * of rows, the most of each, and vectors of a tile. */
enum { PAIR_X_BYTES = 32 << 10, PAIR_SUM_BYTES = 128 << 10 };
enum { PAIR_COLUMNS_MOST = 255, PAIR_ROWS_MOST = 256, PAIR_TILE_MOST = 8 };
/* What a step of a pair takes where so many of all values are not zero:
 * columns that both rows share, and columns of each alone.  Rows at random
 * share a part of their columns that is the density. */
typedef struct PairStep { int shared, singles; } PairStep;
PairStep pair_step(int64_t nonzeros, int64_t all);

/* Multipliers and key increments of Philox4x32 (Salmon et al., 2011). */
#define PHILOX_M0 UINT32_C(0xD2511F53)
#define PHILOX_M1 UINT32_C(0xCD9E8D57)
#define PHILOX_W0 UINT32_C(0x9E3779B9)
#define PHILOX_W1 UINT32_C(0xBB67AE85)

/* ---- random.c ------------------------------------------------------- */

/* Draw u in [0,1) number i of the stream of `path` and `seed`:
 * mix(fnv1a(path) ^ mix(seed) + (i+1) * 0x9E3779B97F4A7C15) >> 40, times
 * 2^-24 (splitmix64; Steele, Lea and Flood, 2014). */
double random_unit(const char *path, uint64_t seed, uint64_t i);
/* Fill a param from its Init: HE is uniform +-sqrt(6/fan_in), fan_in the
 * product of dimensions 1.. (He et al., 2015). */
Buffer *param_random(const Param *p, uint64_t seed);

#endif
