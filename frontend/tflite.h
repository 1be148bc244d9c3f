/* tflite.h - inside frontend/: a TensorFlow Lite file on its way to a text
 * of the language. */
#ifndef TAMIS_TFLITE_H
#define TAMIS_TFLITE_H

#include "frontend/elab.h"
#include "frontend/flatbuf.h"
#include "frontend/frontend.h"
#include "frontend/weights.h"

/* Element types by their numbers in the format. */
enum {
  TF_FLOAT32 = 0, TF_FLOAT16 = 1, TF_INT32 = 2, TF_UINT8 = 3, TF_INT64 = 4,
  TF_BOOL = 6
};

/* How a value is held: as the file says, or rank 4 with the last axis
 * brought behind the first, which is what convolutions work on. */
typedef enum { FORM_FILE, FORM_PLANES } Form;

typedef struct TfTensor {
  const char *name;      /* the file's */
  const char *path;      /* what becomes of it in the language */
  int type, rank;
  bool quantised;        /* its integers stand for floats */
  bool variable;         /* stays from call to call: a state */
  int64_t dim[MAX_RANK];
  const uint8_t *data;   /* NULL: computed when the net runs */
  size_t size;
  bool folded;           /* the data do not lie in the file */
  FlatTable sparsity;    /* pos 0: none */
  int producer;          /* number of its op, -1: none */
  const char *value[2];  /* by Form; NULL: not held so */
} TfTensor;

typedef struct TfOp {
  int code, version;
  const char *custom;    /* name of a custom op */
  int nin, nout;
  const int *in, *out;   /* numbers of tensors, -1: absent */
  FlatTable options;
  FlatVec custom_options;  /* bytes */
  bool live;
} TfOp;

/* A tensor of weights that the text mentions: the values of src, seen as
 * `view`, with axes in the order `order`, and then as the shape `type`. */
typedef struct TfParam {
  const char *path;
  bool inner;            /* declared by a block */
  const TfTensor *src;
  Type view, type;
  int order[MAX_RANK];
} TfParam;

typedef struct Tf {
  Arena *a;
  Diags *d;
  size_t errors;         /* of d before */
  const char *path;      /* of the file */
  Buffer *buf;           /* the file */
  FlatBuf flat;
  int64_t made;          /* elements of constants that the file lacks */
  Vec(TfTensor) tensors;
  Vec(TfOp) ops;
  Vec(int) inputs;
  Vec(int) outputs;
  const TfOp *op;        /* that is being written */
  Text text;
  Text blocks;           /* what stands before the model */
  Text states;           /* of the model */
  Map names, paths;      /* that are taken */
  Vec(TfParam) params;
  Map known;             /* paths of those outside of blocks, by content */
  Vec(const char *) refused;
  Map said;              /* reasons in it, without places */
} Tf;

/* ---- tflite.c ------------------------------------------------------- */

const char *tf_model_name(Tf *t);

/* ---- tflite_model.c: tables of the file ----------------------------- */

bool tf_read(Tf *t);
/* An error about the file. */
bool tf_error(Tf *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *tf_op_name(const TfOp *o);

/* ---- tflite_type.c: element types ----------------------------------- */

const char *tf_type_name(int type);
/* What a value of the tensor is in the language; -1: nothing. */
int tf_elem(const TfTensor *x);
/* Whether operands and results are what `types` of tflite.def says. */
bool tf_types_ok(Tf *t, const char *types);

/* ---- tflite_data.c: values of constants ----------------------------- */

/* The tensor that holds the values of x, behind DENSIFY and DEQUANTIZE;
 * NULL when x is computed or is no constant. */
const TfTensor *tf_const(const Tf *t, const TfTensor *x);
/* The values, row-major, of type tf_elem(x); NULL after an error. */
Buffer *tf_values(Tf *t, const TfTensor *x);
/* Whether n elements more may be made that the file does not hold: a small
 * file cannot ask for much memory. */
bool tf_room(Tf *t, int64_t n);
/* Operand i, which is the op's `what`, as a constant list of min to max
 * integers; how many; -1: it is none, which was said. */
int tf_ints(Tf *t, int i, const char *what, int64_t *out, int min, int max);
/* Whether a dense constant has the bytes that its type says; more do not
 * matter. */
bool tf_data_fits(Tf *t, const TfTensor *x);
/* One constant number, which a double holds. */
bool tf_number(Tf *t, const TfTensor *x, double *out);
bool tf_integer(Tf *t, const TfTensor *x, int64_t *out);
Buffer *tf_param_data(Tf *t, const TfParam *p);
/* A computed tensor turns out to be a constant; `data` stays the arena's. */
void tf_fold(TfTensor *x, const void *data, size_t size);

/* ---- tflite_write.c: names and statements --------------------------- */

/* Paths for all tensors, names kept clear of their first segments. */
void tf_names(Tf *t);
/* A name that no value has; a path that no param has. */
const char *tf_fresh(Tf *t, const char *wish);
const char *tf_fresh_path(Tf *t, const char *wish);
const char *tf_last_name(const char *path);
TfTensor *tf_in(Tf *t, int i);
TfTensor *tf_out(Tf *t, int i);
/* Say why the op is not supported, each reason once, of the first that has
 * it; false. */
bool tf_refuse(Tf *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* An error about the op, which no reader of the file could carry out. */
bool tf_malformed(Tf *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Whether either was said, or another error. */
bool tf_failed(const Tf *t);
/* One statement that gives an unnamed value; its name. */
const char *tf_temp(Tf *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same as a layer of another path than the op's. */
const char *tf_layer(Tf *t, const char *path, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* The statement that gives result `i`. */
bool tf_give(Tf *t, int i, Form f, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same, with a fused activation behind it. */
bool tf_give_act(Tf *t, Form f, int act, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* Result `i` is a value that there is, if it has the type. */
bool tf_bind(Tf *t, int i, Form f, const char *value);
/* "[1,2]" */
const char *tf_list(Tf *t, const int64_t *v, int n);
/* ---- tflite_value.c: operands --------------------------------------- */

/* Text that stands for a tensor held in a form: a param or a value, written
 * first where need be; only a scalar may be a number. */
const char *tf_value(Tf *t, TfTensor *x, Form f);
/* The same for an op that broadcasts: any one constant is a number. */
const char *tf_operand(Tf *t, TfTensor *x, Form f);
/* A number as a scalar of an element type, "0.5" or "i32(5)". */
const char *tf_scalar(Tf *t, Elem e, double v);
/* PLANES when x, of rank 4, is held only so. */
Form tf_held(const TfTensor *x);
/* The form of an op that keeps the axes: PLANES when operand 0 and result 0
 * have rank 4 and an operand is held only so. */
Form tf_form(Tf *t);
int64_t tf_elems(const TfTensor *x);
/* Where axis `i` of the file (may be negative) lies in a form; -1: x has no
 * such axis.  Only what has rank 4 is held in planes. */
int tf_axis(const TfTensor *x, int64_t i, Form f);
/* The type of a tensor in a form. */
Type tf_form_type(const TfTensor *x, Form f);
/* A param of these values, with a path like the one wished for; outside of
 * blocks the one that there is, if it is the same. */
const char *tf_param_add(Tf *t, TfParam p, const char *wish);
/* A param of the op, "weight", from the values of a constant. */
const char *tf_param(Tf *t, const char *name, const TfTensor *x,
                     const Type *view, const int *order, const Type *type);
/* The value seen as another shape; nothing is written where it is that. */
const char *tf_reshape(Tf *t, const char *v, const TfTensor *x,
                       const int64_t *dim, int rank);
/* Whether places in x are i32, as they are worked out; else the op is
 * refused. */
bool tf_fits_i32(Tf *t, const TfTensor *x);
/* A value of places as i32, the nearest where it does not fit. */
const char *tf_places(Tf *t, TfTensor *x);
/* ", b=..." of operand i as one axis, a param where it is constant; "":
 * absent. */
const char *tf_bias(Tf *t, int i);
/* The product of the sizes of axes [from,to). */
int64_t tf_product(const int64_t *dim, int from, int to);
/* Whether the op has n operands and a result; else it is refused. */
bool tf_arity(Tf *t, int n);
/* Whether a stride, dilation or window has a size that makes sense; else the
 * op is refused. */
bool tf_extent_ok(Tf *t, const char *what, int64_t v);
/* The form of an elementwise op whose operands broadcast. */
Form tf_broadcast_form(Tf *t);
/* Operand `i` as constant axes of x, each once, none negative; -1: they are
 * not, which was said. */
int tf_axes(Tf *t, int i, const TfTensor *x, int64_t *axes);

/* ---- tflite_cell.c: steps of recurrent layers ----------------------- */

/* One step, written where the model stands or as the block of a scan. */
typedef struct Cell {
  const char *path;      /* of the layer */
  const char *prefix;    /* of the paths in the step: "PATH." or "" */
  bool block;
  Text params, outer;    /* of a block; the text around it */
} Cell;
Cell tf_cell(Tf *t, const char *path, bool block);
/* A constant as a param of the step; what a text calls it. */
const char *tf_cell_param(Tf *t, Cell *c, const char *name, TfTensor *x);
/* x times the weights, named NAME.weight, and a bias, which may be NULL. */
const char *tf_cell_linear(Tf *t, Cell *c, const char *name, const char *x,
                           TfTensor *w, TfTensor *bias);
const char *tf_cell_op(Tf *t, Cell *c, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* An activation by its number in the format; NULL when it is refused. */
const char *tf_cell_act(Tf *t, Cell *c, int act, const char *x);
/* The block that was a step is gone through along an axis of x: from `in`
 * (the names of a slice and of n carries) to `out` (what a step gives, and
 * the next carries); init becomes the last carries.  The stacked values. */
const char *tf_cell_scan(Tf *t, Cell *c, const char *x, int axis,
                         bool reverse, int n, const char *const *in,
                         const char *const *out, const char **init);
/* Operand i, a variable of floats; NULL: it is none, which was said. */
TfTensor *tf_variable(Tf *t, int i);
/* What it shall be at the next call. */
void tf_next(TfTensor *x, const char *value);

/* ---- the other tflite_*.c: operators -------------------------------- */

/* Write the op; false when it is refused, which was said. */
typedef bool TfWriter(Tf *t);
#define TFOP(code, name, writer, types) TfWriter tf_write_##writer;
#define TFNO(code, name)
#include "frontend/tflite.def"
#undef TFOP
#undef TFNO
TfWriter *tf_custom_writer(const char *name);

#endif
