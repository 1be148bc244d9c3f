/* onnx.h - inside frontend/: an ONNX file on its way to the IR.  onnx.c makes
 * a module of the graph, node by node; constants are folded as they come, so
 * that shapes which the file computes are known when they are asked for.  Each
 * operator has a writer, named by onnx.def, which asks for its operands and
 * attributes (ox_in, ox_int, ...) and gives its results (ox_give).  Writers
 * report what they cannot do by ox_refuse or ox_malformed, which return
 * false; nodes are NULL behind an error, and all that takes a node takes a
 * NULL and gives one back. */
#ifndef TAMIS_ONNX_H
#define TAMIS_ONNX_H

#include "frontend/frontend.h"
#include "frontend/onnx.pb-c.h"

/* Element types by their numbers in the format. */
enum {
  OX_FLOAT = 1, OX_UINT8 = 2, OX_INT8 = 3, OX_UINT16 = 4, OX_INT16 = 5,
  OX_INT32 = 6, OX_INT64 = 7, OX_STRING = 8, OX_BOOL = 9, OX_FLOAT16 = 10,
  OX_DOUBLE = 11, OX_UINT32 = 12, OX_UINT64 = 13, OX_COMPLEX64 = 14,
  OX_COMPLEX128 = 15, OX_BFLOAT16 = 16, OX_UINT4 = 21, OX_INT4 = 22
};

enum {
  OX_FOLD_MOST = 1 << 16,    /* elements of a constant that is folded here */
  OX_DEPTH_MOST = 32,        /* graphs and functions inside one another */
  OX_STEPS_MOST = 4096,      /* of an unrolled loop */
  OX_NODES_MOST = 1 << 20,   /* of the IR */
  OX_WRITES_MOST = 1 << 16,  /* nodes of the file, at each place again */
  OX_OPSET_NEWEST = 28       /* of the default domain */
};

/* Of an attribute: sums of some fit. */
#define OX_INT_MOST ((int64_t)1 << 60)

typedef OnnxFile__Node OxProto;

/* A value of the graph.  Its node holds float16, bfloat16 and double as f32;
 * int8, int16, uint16 as i32; uint32 and uint64 as i64; the others as they
 * are. */
typedef struct OxValue {
  const char *name;          /* the file's */
  int type;                  /* OX_FLOAT, ... */
  Node *node;                /* NULL: an error was reported */
  Func *f;                   /* that node is in */
  const OnnxFile__Tensor *tensor;   /* an initialiser that was not asked for
                                       so far: node is NULL */
} OxValue;

/* A function of the module that is being made of a subgraph: what it uses of
 * the graph around it becomes an input. */
typedef struct OxBody OxBody;
struct OxBody {
  OxBody *up;
  Func *around;              /* whose values are taken */
  Vec(Node *) outer;         /* of that function, one an input made for it */
  Vec(Node *) inner;
};

/* The names that a graph, a subgraph or a function sees. */
typedef struct OxScope OxScope;
struct OxScope {
  OxScope *up;               /* NULL: the model, or a function */
  Map values;                /* name -> OxValue * */
  const OnnxFile__Function *function;   /* NULL: a graph */
  const OxProto *call;       /* of the function: has its attributes */
  OxScope *caller;           /* of the function */
  const char *prefix;        /* of the paths of its nodes, "" or "a.b." */
  int depth;
  OxProto *const *node;      /* its nodes; number `at` is being written */
  size_t nnodes, at;
};

/* Why nodes of one operator cannot be compiled, or an input, and which. */
typedef struct OxRefusal {
  const char *text;
  const char *where;         /* "in", or "used by" */
  Vec(const char *) nodes;   /* their names, each once */
  Map named;                 /* the same */
} OxRefusal;

typedef struct Ox {
  Arena *a;
  Diags *d;
  size_t errors;             /* of d before */
  const char *path;          /* of the file */
  const LoadOpts *o;
  Buffer *buf;               /* the file */
  OnnxFile__Model *model;
  Module *m;
  Func *f;
  OxScope *scope;
  OxBody *body;              /* NULL: f is the model */
  const OxProto *node;       /* that is being written */
  OxProto edge;              /* stands for it where that is no node */
  char *edge_name;
  const char *node_path;     /* its path in the language */
  int opset;                 /* version of the node's domain */
  bool said;                 /* node was refused, or is malformed */
  Vec(OxRefusal *) refused;
  Map reasons;               /* the text of each -> OxRefusal * */
  Map opsets;                /* domain -> version, by uintptr_t */
  Map paths;                 /* of nodes and params that are taken */
  Map external;              /* files of tensors -> Buffer * */
  size_t written;            /* nodes of the file, at each place again */
  Map failed;                /* functions whose operators were refused */
  int64_t made;              /* elements of constants that the file lacks */
} Ox;

typedef bool OxWriter(Ox *o);

/* ---- onnx_slim.c ---------------------------------------------------- */

/* The file without the bytes of tensors, which become data_at and data_size;
 * NULL and an error when it is no well-formed message. */
OnnxFile__Model *onnx_unpack(Arena *a, Diags *d, const char *path,
                             const Buffer *buf);

/* ---- onnx_data.c: tensors of the file ------------------------------- */

const char *ox_type_name(int type);        /* "float16" */
/* What a node that holds the type is of; -1: nothing can hold it. */
int ox_held(int type);
/* What an input or output of the artifact of that type is; -1: none. */
int ox_stored(int type);
/* The ONNX type of a node of that element type, where nothing else is said. */
int ox_natural(Elem e);
/* The values of a tensor as a node that holds them.  `name`: of the param in
 * the file, for one that is no scalar. */
Node *ox_tensor(Ox *o, const OnnxFile__Tensor *t, const char *name);
Node *ox_sparse_tensor(Ox *o, const OnnxFile__SparseTensor *t,
                       const char *name);

/* ---- onnx_node.c: what writers call --------------------------------- */

/* Why this node cannot be compiled; false. */
bool ox_refuse(Ox *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The refusal of that text, a new one where there is none; a node of it. */
OxRefusal *ox_refusal(Ox *o, const char *text, const char *where);
void ox_refusal_of(Ox *o, OxRefusal *r);
/* An error of that exit code about a part of the file, "tensor 'k'"; false. */
bool ox_error(Ox *o, int exit, const char *what, const char *name,
              const char *fmt, va_list ap);
/* What no reader of the file could carry out; false. */
bool ox_malformed(Ox *o, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The node's name, or that of its first result. */
const char *ox_node_name(const Ox *o);

/* Operands, absent ones among them. */
int ox_nin(const Ox *o);
int ox_nout(const Ox *o);
bool ox_has_in(const Ox *o, int i);
bool ox_wants(const Ox *o, int i);         /* whether result i has a name */
/* Operand i.  ox_in: NULL and an error when it is absent; ox_opt: NULL. */
OxValue *ox_in_value(Ox *o, int i);        /* NULL: absent */
Node *ox_in(Ox *o, int i);
Node *ox_opt(Ox *o, int i);
/* Its ONNX type; 0 when it is absent. */
int ox_in_type(Ox *o, int i);
/* Result i.  ONNX type: that of the first operand which is held as the node
 * is, else the natural one.  False when n is NULL. */
bool ox_give(Ox *o, int i, Node *n);
bool ox_give_as(Ox *o, int i, Node *n, int type);

/* Attributes, of the function's caller where the node refers to those. */
bool ox_has(Ox *o, const char *name);
int64_t ox_int(Ox *o, const char *name, int64_t def);   /* to OX_INT_MOST */
int64_t ox_int_any(Ox *o, const char *name, int64_t def);
double ox_float(Ox *o, const char *name, double def);
/* Lives in the arena; NULL stays NULL. */
const char *ox_str(Ox *o, const char *name, const char *def);
/* How many; -1: it is not there.  *v lives in the arena. */
int ox_ints(Ox *o, const char *name, const int64_t **v);
int ox_floats(Ox *o, const char *name, const double **v);
const OnnxFile__Tensor *ox_tensor_attr(Ox *o, const char *name);
const OnnxFile__Graph *ox_graph_attr(Ox *o, const char *name);
const OnnxFile__Attribute *ox_attr(Ox *o, const char *name);

/* ---- onnx_const.c: constants ---------------------------------------- */

/* Whether n's values are known and no more than OX_FOLD_MOST;
 * NULL: no.  The tensor lives in the arena. */
bool ox_known(const Node *n);
const Tensor *ox_values(Ox *o, const Node *n);
/* Operand i, which is the operator's `what`, as constant integers: how many;
 * -1 and a report when it is none. */
int ox_const_ints(Ox *o, int i, const char *what, const int64_t **v);
bool ox_const_int(Ox *o, int i, const char *what, int64_t *v);
bool ox_const_float(Ox *o, int i, const char *what, double *v);

/* The value of n, whose type is inferred, where it can be computed now and is
 * no more than OX_FOLD_MOST; else NULL. */
Node *ox_folded(Ox *o, const Node *n);
/* Elements as lie in b, which is taken over. */
Node *ox_held_node(Ox *o, const Type *t, Buffer *b, const char *name);
/* New constants.  `data` is row-major, as t->elem lies in memory. */
Node *ox_constant(Ox *o, const Type *t, const void *data);
Node *ox_scalar(Ox *o, Elem e, double v);
Node *ox_scalar_int(Ox *o, Elem e, int64_t v);   /* refused out of range */
Node *ox_list(Ox *o, Elem e, const int64_t *v, int n);    /* [n] */
/* All elements v, without as much memory: an expand of a scalar. */
Node *ox_filled(Ox *o, Elem e, int rank, const int64_t *dim, double v);
/* Whether n elements more may be made that the file does not hold: a small
 * file cannot ask for much memory. */
bool ox_room(Ox *o, int64_t n);

/* ---- onnx_node.c: nodes --------------------------------------------- */

/* ox_begin adds one whose attributes are then set by attr_set_*,
 * ox_end infers its type and folds it; what inference finds wrong is
 * reported as malformed. */
Node *ox_begin(Ox *o, Op op, Node *const *in, int nin);
Node *ox_end(Ox *o, Node *n);
Node *ox_op1(Ox *o, Op op, Node *x);
Node *ox_op2(Ox *o, Op op, Node *a, Node *b);
Node *ox_op3(Ox *o, Op op, Node *a, Node *b, Node *c);
Node *ox_cast(Ox *o, Node *x, Elem to);
Node *ox_reshape(Ox *o, Node *x, int rank, const int64_t *dim);
Node *ox_permute(Ox *o, Node *x, const int64_t *order);   /* rank of x */
Node *ox_expand(Ox *o, Node *x, int rank, const int64_t *dim);
Node *ox_slice(Ox *o, Node *x, int axis, int64_t start, int64_t stop,
               int64_t step);                             /* step >= 1 */
Node *ox_concat(Ox *o, Node *const *xs, int n, int axis);
Node *ox_reduce(Ox *o, Op op, Node *x, const int64_t *axes, int n,
                bool keep);
Node *ox_pad(Ox *o, Node *x, const int64_t *before, const int64_t *after,
             double value);
Node *ox_gather(Ox *o, Node *x, Node *index, int axis);
Node *ox_select(Ox *o, Node *x, int64_t index, int axis);
Node *ox_flip(Ox *o, Node *x, int axis);
/* An op of x with one attribute besides, a float. */
Node *ox_op_float(Ox *o, Op op, Node *x, const char *attr, double v);
/* x op (scalar v of x's type). */
Node *ox_with(Ox *o, Op op, Node *x, double v);
/* With a dimension of 1 before axis 0..rank; without dimension `axis`. */
Node *ox_unsqueeze(Ox *o, Node *x, int axis);
Node *ox_squeeze(Ox *o, Node *x, int axis);
/* An axis of a value of that rank, negative ones from the end; false and a
 * report when it is out of range. */
bool ox_axis(Ox *o, int64_t axis, int rank, int *out);
/* An integer result brought into the range of a narrower ONNX type, modulo
 * its size; other types stay. */
Node *ox_wrap(Ox *o, Node *x, int type);
/* Elements; -1: too many. */
int64_t ox_elems(const Node *x);
/* Result number i of a scan. */
Node *ox_item(Ox *o, Node *scan, int i);

/* ---- onnx_graph.c: nodes in order, subgraphs, functions ------------- */

/* From now on no node is written but an "input", "output" or "initialiser" of
 * that name; `path` is that of what is made for it. */
void ox_edge(Ox *o, char *what, char *name, const char *path);
/* The model's graph: its initialisers, and then what its outputs need. */
bool ox_graph_begin(Ox *o, const OnnxFile__Graph *g);
void ox_graph(Ox *o, const OnnxFile__Graph *g);
/* Write the nodes of a subgraph with values for its inputs; its outputs. */
bool ox_subgraph(Ox *o, const OnnxFile__Graph *g, const char *name,
                 OxValue *const *in, int nin, OxValue **out, int nout);
OxValue *ox_value(Ox *o, const char *name);     /* by the scope; or NULL */
OxValue *ox_value_new(Ox *o, const char *name, int type, Node *n);
/* Names that a node takes, in graphs inside it too: keys of `need`. */
void ox_names_needed(Ox *o, Map *need, const OxProto *n);
/* The value's node in the function being made; NULL after an error. */
Node *ox_use(Ox *o, OxValue *v);
/* A path of the language that nothing has, from a name of the file. */
const char *ox_path(Ox *o, const char *name);

/* ---- onnx_missing.c ------------------------------------------------- */

/* Operand i has a name that no value has so far: says why; false. */
bool ox_missing(Ox *o, int i);

/* ---- onnx_math.c, onnx_int.c, onnx_cast.c: elementwise -------------- */

/* Operand i as arithmetic takes it: an u8 becomes i32. */
Node *ox_number(Ox *o, int i);
/* Result 0 in the type of operand 0, an i32 where that is held as u8. */
bool ox_give_number(Ox *o, Node *n);
/* An uint64 as an i64 of the same order, and back; other types stay. */
Node *ox_ordered(Ox *o, Node *x, int type);
/* Bits of an integer type, 0: it is none; whether it has no sign, as has
 * bool. */
int ox_bits(int type);
bool ox_unsigned(int type);
/* a / b towards zero; integers. */
Node *ox_quotient(Ox *o, Node *a, Node *b, int type);
/* A value of ONNX type `from` as one of `to`, both held. */
Node *ox_converted(Ox *o, Node *x, int from, int to);
/* log(1 + exp(x)) */
Node *ox_softplus(Ox *o, Node *x);
/* Between two numbers, which may be infinite. */
Node *ox_clipped(Ox *o, Node *x, double lo, double hi);
/* The product of x and tanh(softplus(x)), in whichever order; NULL: they are
 * others. */
Node *ox_mish(Ox *o, Node *a, Node *b);

/* ---- onnx_softmax.c: along an axis ---------------------------------- */

Node *ox_log_softmax(Ox *o, Node *x, int axis);
/* Softmax of x by the node's axis, as that version of the operator has it. */
Node *ox_softmax(Ox *o, Node *x, int opset);

/* ---- writers: onnx.def ---------------------------------------------- */

#define ONNX(domain, name, writer) OxWriter ox_write_##writer;
#include "frontend/onnx.def"
#undef ONNX

#endif
