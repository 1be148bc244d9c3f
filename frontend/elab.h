/* elab.h - inside frontend/: the elaborator, which runs a syntax tree at
 * compile time and leaves a graph behind. */
#ifndef TAMIS_ELAB_H
#define TAMIS_ELAB_H

#include "frontend/ast.h"

enum {
  MAX_EVAL_DEPTH = 2000,       /* of expressions and blocks together */
  MAX_EVAL_STEPS = 4000000,    /* expressions evaluated in one load */
  MAX_LIST = 1 << 16,          /* elements of a list, inner ones as well */
  MAX_PATH_TEXT = 2000         /* letters of a layer's path */
};

/* ---- value.c: what an expression is worth at compile time ----------- */

typedef enum ValueKind {
  VAL_NONE,            /* an error that was reported */
  VAL_INT, VAL_FLOAT, VAL_BOOL, VAL_STR, VAL_TILE, VAL_RATIO, VAL_ELEM,
  VAL_NODE, VAL_LIST, VAL_TUPLE, VAL_RANGE, VAL_PARAM, VAL_STATE
} ValueKind;

typedef struct LazyParam LazyParam;
typedef struct Value Value;
struct Value {
  ValueKind kind;
  int64_t i, j;        /* INT, BOOL, ELEM: i; TILE, RATIO, RANGE: both */
  double f;
  const char *s;
  Node *node;
  LazyParam *param;
  State *state;
  Value *at;           /* LIST, TUPLE: n of them */
  size_t n;
  size_t size;         /* elements, inner ones as well */
};

Value value_int(int64_t i);
Value value_float(double f);
Value value_bool(bool b);
Value value_node(Node *n);
Value value_list(ValueKind kind, Value *at, size_t n);
bool value_is_number(const Value *v);
bool value_is_literal(const Value *v);    /* a number or a boolean */
double value_number(const Value *v);
/* "list of int", "f32[1,8]": for messages. */
const char *value_describe(Arena *a, const Value *v);
void value_print(Text *t, const Value *v);
bool value_equal(const Value *a, const Value *b);
/* Length of a list, tuple or range; -1 for anything else. */
int64_t value_len(const Value *v);
Value value_item(const Value *v, int64_t i);
/* Numbers, booleans and lists of them (element by element, a number against
 * each).  NULL, or what is wrong. */
const char *value_binary(Arena *a, Oper op, const Value *x, const Value *y,
                         Value *out);
const char *value_unary(Arena *a, Oper op, const Value *x, Value *out);
const char *oper_text(Oper op);
/* Flatten an int, list, tuple or range, nested ones as well, into ints. */
bool value_ints(Arena *a, const Value *v, const int64_t **out, int *n);

/* ---- the elaborator's state ----------------------------------------- */

/* One block or model that is being run. */
typedef struct Frame Frame;
struct Frame {
  Frame *up;             /* the caller; NULL: the model */
  const Decl *decl;
  File *file;            /* whose names it sees */
  const char *path;      /* of this instance, "" for the model */
  const char *scope;     /* path and the labels of the repeats around */
  Span label;            /* of the innermost repeat around */
  const char *layer;     /* its name in the caller's scope */
  Map vars;              /* name -> Value * */
  const Place *origin;   /* its node's name stands before those of nodes from
                            the same file; NULL: none */
  Span call;             /* in the caller */
  const Expr *call_expr;
};

/* A declared param; it exists from its first use on. */
struct LazyParam {
  const char *name, *path;
  Type type;
  Init init;
  Span span;
  Frame *frame;          /* NULL: declared by the file */
  Param *param;          /* once used */
};

/* A block instance or repeat label, for selectors and duplicate names. */
typedef struct Layer {
  const char *path, *kind;
  Span span;
  bool has_params;
} Layer;

/* A `func` declaration and what became of it. */
typedef struct FuncUse {
  const Decl *decl;
  Func *f;
  bool open, done, bad;  /* being made; made; with errors */
} FuncUse;

/* A weights statement and the instance it stands in. */
typedef struct WeightsUse {
  const Stmt *stmt;
  const char *prefix, *dir;
  int64_t *index;        /* of its renamings' segments that have one */
} WeightsUse;

/* A file's text and the names it sees. */
typedef struct Unit {
  File *file;
  const char *id;        /* its resolved path */
  Map decls;             /* name -> Decl *: blocks, models, funcs */
  Frame *frame;          /* its file-level params; NULL: not run yet */
} Unit;

/* The places of the statement at hand, for a block that it calls. */
typedef struct Origin {
  const Expr *call;      /* NULL: no node is named */
  const Place *place;
  bool taken;
} Origin;

typedef struct Elab {
  Arena *a;
  Diags *d;
  const LoadOpts *o;
  Module *m;
  Func *f;
  Vec(Unit *) units;     /* [0] is the prelude, [1] what was asked for */
  Frame *frame;
  Origin origin;
  bool dump;
  size_t base;           /* errors that were there before */
  bool outer;            /* errors are the caller's: about arguments */
  Span also;             /* what the next error underlines as well */
  bool stop;             /* a limit was hit: nothing more is evaluated */
  int depth;
  int64_t steps;
  Vec(FuncUse) funcs;
  Map params;            /* path -> LazyParam * that was used */
  Map consts;            /* text of the number -> Node * */
  Vec(SourceLines *) lines;  /* of the texts that nodes come from */
  Vec(Layer *) layers;
  Map layer_of;          /* path -> Layer * */
  Vec(WeightsUse) weights;
  Vec(Span) said;        /* where an error stands already */
  FreeDims free;         /* dimensions that stay free, so far */
} Elab;

typedef struct CallArg { Name name; Value v; Span span; } CallArg;
typedef Vec(CallArg) CallArgs;
typedef Vec(Value) Values;

/* A scan that is being put together: what is gone through, what the first
 * step finds, and the operands. */
typedef struct Scan {
  Values xs, init;
  size_t slices, carries;
  int64_t axis;
  bool reverse;
  Vec(Node *) in;
  const char *layer;     /* path of a block's instance */
} Scan;

/* ---- elab_diag.c ---------------------------------------------------- */

/* Report an error of the model at a place of the text that runs.  A place
 * in the prelude becomes the place of the layer that led there.  Returns
 * VAL_NONE. */
Value elab_error(Elab *e, Span at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same for what a later release brings (EXIT_UNSUPPORTED). */
Value elab_later(Elab *e, Span at, const char *what);
Span elab_user_span(const Elab *e, Span at);
bool elab_said(Elab *e, Span at);     /* and notes that it now is */
/* Underline one more range in the error that comes next. */
void elab_also(Elab *e, Span at);
/* Notes that name the instance in which the latest error arose. */
void elab_chain(Elab *e);

/* ---- elab_file.c ---------------------------------------------------- */

/* A model's text: read, or made from a .tflite or .onnx.  NULL on error. */
const Source *model_source(Diags *d, const char *path, const LoadOpts *o);
/* Parse the prelude and a file with all it imports. */
bool units_load(Elab *e, const char *path, const Source *src);
Unit *unit_of(const Elab *e, const File *f);
/* A block or model that `f` can name, or NULL. */
const Decl *unit_decl(const Elab *e, const File *f, const char *name);

/* ---- elab_type.c ---------------------------------------------------- */

bool elab_type(Elab *e, const TypeExpr *t, Type *out);
/* Bind the free names among t's dimensions from a value's shape, and check
 * the rest against it. */
bool elab_type_match(Elab *e, const TypeExpr *t, const Type *found,
                     const char *what, Span at);
/* Check a compile-time value against `int`, `ints`, `float[]`, ...; may
 * widen an int to a float. */
bool elab_kind_check(Elab *e, const TypeExpr *t, Value *v, const char *name,
                     Span at);

/* ---- elab_free.c ----------------------------------------------------- */

const DimArg *dim_option(const LoadOpts *o, const char *name);
/* Leave a dimension of d free, where it has a bound or has been left so:
 * *found, and its variable is the bound. */
bool elab_dim_free(Elab *e, const Decl *d, const char *name, Span at,
                   bool *found);
/* All functions of a dump know the model's free dimensions. */
void elab_dims_set(Elab *e);
/* The module gets its free dimensions. */
bool elab_free_finish(Elab *e, const Decl *model);
/* Whether a name is that of a dimension of an ONNX file that is read, of an
 * input (SOURCE_INPUT) or not (SOURCE_OTHER), and of which file; or 0. */
uintptr_t elab_foreign_dim(const Elab *e, const char *name,
                           const File **file);
bool elab_reads_onnx(const Elab *e);
/* Load at the samples, too, and settle what differs. */
bool free_load(Diags *d, const char *path, const Source *src, Module *m,
               const LoadOpts *o);
/* elaborate.c: a load of a text, its free dimensions at their bounds. */
Module *load_at(Diags *d, const char *path, const Source *src,
                const LoadOpts *o);

/* ---- elab_expr.c ---------------------------------------------------- */

Value elab_expr(Elab *e, const Expr *x);
bool elab_int(Elab *e, const Expr *x, int64_t *out);
/* A path as text, indices evaluated; NULL after an error. */
const char *elab_path(Elab *e, const Path *p);
const char *path_join_scope(Arena *a, const char *scope, const char *name);
/* A scalar literal of type `to` from a number, or for b1 from a boolean;
 * NULL, with an error, when it is none. */
Node *elab_const(Elab *e, Elem to, const Value *v, Span at);

/* ---- elab_call.c, elab_op.c, elab_builtin.c ------------------------- */

/* What a name calls: itself, or what a string of that name says, which is
 * looked up in the files of the callers as well; the block or func, or
 * NULL. */
const char *elab_callee(Elab *e, const char *name, const Decl **d);
/* A call; `piped` is the value from the left of |>, or NULL. */
Value elab_call(Elab *e, const Expr *call, const Value *piped, Span piped_at);
/* Make a node.  `at`: the name or operator in the text. */
Value elab_op(Elab *e, Op op, const CallArgs *args, const Expr *call,
              Span at);
/* Sort arguments to the parameters from number `first` on; given[i] NULL:
 * take the default.  NULL after an error. */
const CallArg **elab_args_sort(Elab *e, const Sig *s, const CallArgs *args,
                               size_t first, Span at);
bool elab_par_check(Elab *e, const Par *p, const char *what, Span at,
                    Value *v);
/* Place, path and type of a new node; false after an error. */
bool elab_node_finish(Elab *e, Node *n, const Expr *call, Span at);
bool builtin_known(const char *name, const CallArgs *args);
Value elab_builtin(Elab *e, const char *name, const CallArgs *args, Span at);

/* ---- elab_func.c ----------------------------------------------------- */

/* Declare the results of the function being made as its outputs. */
bool func_outputs(Elab *e, const Decl *d, const Value *v);
/* The function of a `func` declaration; NULL after an error. */
Func *func_instance(Elab *e, const Decl *d);
void funcs_declare(Elab *e, const File *f);     /* of a dump */
void funcs_finish(Elab *e, const File *f);      /* those that nothing calls */
/* Make the function of that name, if it is declared, before it is called. */
bool func_ready(Elab *e, const char *name);
Value func_call(Elab *e, const Decl *d, const CallArg **given,
                const Expr *call);
/* Whether each state is set, and by whom it may. */
bool states_check(Elab *e);
/* Does a param or state that the function uses have that path?  Where it was
 * declared. */
bool func_names(const Func *f, const char *path, Span *at);
/* Whether no input has the path of a param or state. */
bool inputs_check(Elab *e);
/* A call or scan, as the values of its results. */
Value func_call_node(Elab *e, Op op, Node *const *in, size_t nin,
                     const Func *f, const Expr *call, const Scan *s);
/* A value as input i of f: a number fills a tensor. */
Node *func_operand(Elab *e, const Func *f, size_t i, const Value *v, Span at);

/* What is put aside while another function is made. */
typedef struct Context {
  Func *f;
  Map consts;
  Frame *frame;
} Context;
Context elab_enter(Elab *e, Func *f, Frame *frame);
void elab_leave(Elab *e, Context c);

/* ---- elab_scan.c ----------------------------------------------------- */

Value elab_scan(Elab *e, const Expr *call, bool piped);

/* ---- elab_stmt.c, elab_param.c -------------------------------------- */

void elab_stmts(Elab *e, const Stmts *body);
/* What a block or model gives: its results as one value or a tuple. */
Value elab_results(Elab *e, const Decl *d);
Value *var_get(const Elab *e, const char *name);
void var_set(Elab *e, const char *name, Value v);
/* Count work; false, with an error, when it is more than any model needs. */
bool elab_charge(Elab *e, int64_t steps, Span at);
/* One level deeper, unless that is too deep; e->depth-- leaves it. */
bool elab_deeper(Elab *e, Span at);
bool elab_path_fits(Elab *e, const char *path, Span at);
void elab_param(Elab *e, const Stmt *s);
void elab_state(Elab *e, const Stmt *s);
void elab_next(Elab *e, const Stmt *s);
Node *param_use(Elab *e, LazyParam *p);
void layer_add(Elab *e, const char *path, const char *kind, Span at,
               bool has_params);

/* ---- elaborate.c ---------------------------------------------------- */

Frame *frame_new(Elab *e, const Decl *d, File *f);
/* Fix the free dimensions of a signature. */
bool elab_dims(Elab *e, const Decl *d);
/* Make an input of the function at hand. */
bool elab_input(Elab *e, const Par *p);
/* Whether the bounds of a model's free dimensions hold. */
bool elab_bounds(Elab *e, const Decl *d);

/* ---- elab_dump.c ---------------------------------------------------- */

bool elab_dump_read(Elab *e, const File *f);
bool elab_dump_verify(Elab *e, const File *f);

/* ---- elab_weights.c, elab_recipe.c ---------------------------------- */

bool elab_weights(Elab *e);
bool elab_recipes(Elab *e, const File *f, const Decl *model);

/* ---- pattern.c: paths taken apart, and patterns of them ------------- */

typedef struct PathSeg { const char *name; int64_t index; } PathSeg;
typedef Vec(PathSeg) PathSegs;    /* index -1: none */
/* One segment of a pattern: `any`: [*]; index -1: none. */
typedef struct PatSeg { const char *name; int64_t index; bool any; } PatSeg;
typedef Vec(PatSeg) PathPattern;

PathSegs path_split(Arena *a, const char *path);
bool pattern_read(Elab *e, const Path *p, PathPattern *out);
/* hit[j]: whether the pattern matches the first j segments of the path
 * (j up to s->n).  A segment without an index matches every index. */
bool *pattern_prefixes(Arena *a, const PathPattern *p, const PathSegs *s);

#endif
