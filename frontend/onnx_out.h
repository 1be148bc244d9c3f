/* onnx_out.h - inside frontend/onnx_*.c: the IR as an ONNX file. */
#ifndef TAMIS_ONNX_OUT_H
#define TAMIS_ONNX_OUT_H

#include "frontend/frontend.h"
#include "ir/names.h"

/* The opset that is written: the first in which reductions take axes as an
 * operand. */
enum { OUT_OPSET = 18, OUT_IR_VERSION = 8 };

/* A graph that is being written: its parts as fields of GraphProto. */
typedef struct OutGraph {
  Text nodes, tensors;
  unsigned id;               /* of the file's graphs */
} OutGraph;

/* Values of one function at one of its calls. */
typedef struct OutFrame OutFrame;
struct OutFrame {
  Func *f;
  Names *names;
  const char *prefix;
  const char **value;        /* by node id: its name in the file */
  const char ***items;       /* by node id, of calls and scans: MAX_RESULTS
                                names each */
};

typedef struct Out {
  Arena *a;
  Diags *d;
  Module *m;
  OutGraph *g;
  OutFrame *frame;
  const Node *node;          /* that is being written */
  Text attrs;                /* of the next ONNX node */
  Map known;                 /* constants that were written, by content */
  unsigned temps, graphs;
  int depth;                 /* of calls and scans */
} Out;

/* ---- onnx_put.c: the wire format ------------------------------------ */

void put_int(Text *to, int field, int64_t v);
void put_float(Text *to, int field, float v);
void put_bytes(Text *to, int field, const void *p, size_t n);
void put_str(Text *to, int field, const char *s);
void put_message(Text *to, int field, Text *t);   /* and frees t */
void put_key(Text *to, int field, uint64_t bytes);
/* A ValueInfo as `field`. */
void put_value(Text *to, int field, const char *name, const Type *t);
int onnx_type(Elem e);       /* 0: it has none */

/* Attributes of the node that comes next. */
void out_int(Out *w, const char *name, int64_t v);
void out_float(Out *w, const char *name, double v);
void out_str(Out *w, const char *name, const char *s);
void out_ints(Out *w, const char *name, const int64_t *v, int n);
void out_graph(Out *w, const char *name, Text *graph);
/* One node with one result; operands up to NULL, "" for an absent one.
 * Returns `to`, or a name made for it where that is NULL. */
const char *out_op(Out *w, const char *to, const char *op, ...);
/* The same with operands in an array. */
const char *out_node(Out *w, const char *const *to, int nto, const char *op,
                     const char *const *in, int nin);
const char *out_temp(Out *w);

/* Constants, each written once. */
const char *out_list(Out *w, const int64_t *v, int n);       /* int64 [n] */
const char *out_scalar(Out *w, Elem e, double v);
const char *out_scalar_int(Out *w, Elem e, int64_t v);

/* ---- onnx_ops.c: the ops -------------------------------------------- */

/* Write the node that gives n's value under the name `to`; false and an
 * error where ONNX has nothing like it. */
bool out_write(Out *w, const Node *n, const char *to);
const char *out_in(const Out *w, const Node *n, int i);  /* "": absent */
const Type *out_in_type(const Node *n, int i);
bool out_unsupported(Out *w, const Node *n, const char *why);
const char *out_cast(Out *w, const char *to, const char *x, Elem e);
/* The last two axes of rank many change places. */
const char *out_transposed(Out *w, const char *x, int rank);
const char *out_reshaped(Out *w, const char *to, const char *x,
                         const int64_t *dim, int rank);

/* ---- onnx_ops_row.c: ops of rows ------------------------------------- */

bool out_attend(Out *w, const Node *n, const char *to);
bool out_normalize(Out *w, const Node *n, const char *to);
bool out_rotary(Out *w, const Node *n, const char *to);

/* ---- onnx_write.c: functions, the file ------------------------------- */

bool out_call(Out *w, const Node *n);

#endif
