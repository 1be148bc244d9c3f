/* graphgen.h - valid random models, a function of their seed alone: text,
 * weights and inputs.  For tests/run/random_graphs and for `graphgen`. */
#ifndef TAMIS_GRAPHGEN_H
#define TAMIS_GRAPHGEN_H

#include "ir/ir.h"

/* Text of a model g<seed> of a few ops on small tensors. */
void graph_generate(Text *out, uint64_t seed);
/* Whether all values of that model are integers that f32 holds exactly, so
 * that any order of summing gives the same bits. */
bool graph_integral(uint64_t seed);
/* Give a param of the model its values; a LoadOpts.provide whose context is
 * a pointer to the seed.  Density goes from none to all, in rows, 4x1 blocks
 * or scattered. */
bool graph_provide(void *seed, Param *p);
/* Values of input number `index`, row-major, as t->elem lies in memory. */
void graph_input(uint64_t seed, size_t index, const Type *t, void *to);
/* The same as the evaluator takes them. */
Tensor graph_input_tensor(Arena *a, uint64_t seed, size_t index,
                          const Type *t);

/* ---- inside the generator ------------------------------------------- */

enum { GEN_MAX_VALUES = 64, GEN_MAX_OUTPUTS = 6, GEN_MAX_STATES = 3 };

/* A value of the model being written.  bound: no element is larger. */
typedef struct GenValue {
  char name[16];
  Elem elem;
  int rank;
  int64_t dim[MAX_RANK];
  double bound;
  int uses;
  bool leaf;         /* an input */
  bool state;        /* what a state or param holds: not its own name */
} GenValue;

typedef struct GraphGen {
  uint64_t state;    /* of the random stream */
  bool ints;
  bool big;                       /* long rows, many channels */
  int64_t max_elems, max_macs;    /* of a value, of an op */
  Text params, body;
  GenValue value[GEN_MAX_VALUES];
  int nvalues, nparams;
  Text funcs;                     /* what stands in front of the model */
  int nfuncs, depth;              /* depth: of functions around this one */
  bool closed;                    /* it takes no more inputs */
  GenValue states[GEN_MAX_STATES];
  int nstates;
} GraphGen;

/* graphgen.c */
int64_t gen_below(GraphGen *g, int64_t n);              /* 0 .. n-1 */
int64_t gen_range(GraphGen *g, int64_t lo, int64_t hi); /* lo .. hi */
bool gen_chance(GraphGen *g, int percent);
/* A dimension up to max: often 1, or near a multiple of a vector. */
int64_t gen_size(GraphGen *g, int64_t max);
/* An f32 value of `rank` (-1: any) and at least `min_rank`, mostly a late
 * one; -1 when there is none. */
int gen_pick(GraphGen *g, int rank, int min_rank);
/* One of any of the element types in a mask of 1u << Elem. */
int gen_pick_of(GraphGen *g, uint32_t elems, int rank, int min_rank);
int64_t gen_elems(int rank, const int64_t *dim);
void gen_dims(Text *t, int rank, const int64_t *dim);   /* "3,4" */
void gen_type(Text *t, const GenValue *v);              /* "f32[3,4]" */
/* Append one op, or a few. */
void gen_op(GraphGen *g);
/* Declare a param p<i>_<role>; its name goes to `name`. */
void gen_param(GraphGen *g, char name[16], const char *elem, char role,
               int rank, const int64_t *dim);
/* Declare one more input; its index.  In the body of a function, whose
 * inputs are what it is called with, a param. */
int gen_input(GraphGen *g, Elem e, int rank, const int64_t *dim);
/* Append `v<i> = expr;` and return the value's index. */
int gen_value(GraphGen *g, int rank, const int64_t *dim, double bound,
              const char *fmt, ...) PRINTF_LIKE(5, 6);
int gen_value_of(GraphGen *g, Elem e, int rank, const int64_t *dim,
                 double bound, const char *fmt, ...) PRINTF_LIKE(6, 7);
/* A value like v, to be written by the caller; its index. */
int gen_result(GraphGen *g, const GenValue *v);
/* Name of a value, counted as used. */
const char *gen_use(GraphGen *g, int v);
/* A number that is an integer in integral models; its magnitude. */
double gen_number(GraphGen *g, char text[32]);
/* Whether a value of this bound may go on. */
bool gen_fits(const GraphGen *g, double bound);

/* graphgen_func.c */
bool gen_call(GraphGen *g);
bool gen_scan(GraphGen *g);
bool gen_state(GraphGen *g);
/* Let a body see the states of g; write what they become. */
void gen_states_see(const GraphGen *g, GraphGen *to);
void gen_nexts(GraphGen *g, Text *out);

/* graphgen_window.c.  A weight: a param, one under a mask, or a new input,
 * appended to the text; the bound of its elements over that of a param. */
double gen_weight(GraphGen *g, Text *t, int rank, const int64_t *dim);
/* What often follows value v, whose channels lie along `axis`. */
void gen_follow(GraphGen *g, int v, int axis);

/* graphgen_types.c, graphgen_index.c, graphgen_math.c, graphgen_idiom.c,
 * graphgen_layers.c, graphgen_window.c, graphgen_convn.c, graphgen_matmul.c,
 * graphgen_move.c:
 * append one or a few ops; false when the values there are do not suit. */
bool gen_cast(GraphGen *g);
bool gen_storage(GraphGen *g);
bool gen_int_unary(GraphGen *g);
bool gen_int_binary(GraphGen *g);
bool gen_typed_input(GraphGen *g);
bool gen_compare(GraphGen *g);
bool gen_where(GraphGen *g);
bool gen_arg(GraphGen *g);
bool gen_argsort(GraphGen *g);
bool gen_cumsum(GraphGen *g);
bool gen_flip(GraphGen *g);
bool gen_gather(GraphGen *g);
bool gen_scatter_add(GraphGen *g);
bool gen_scatter(GraphGen *g);
bool gen_iota(GraphGen *g);
bool gen_random(GraphGen *g);
bool gen_unary(GraphGen *g);
bool gen_binary(GraphGen *g);
bool gen_affine(GraphGen *g);
bool gen_batch_norm(GraphGen *g);
bool gen_mask(GraphGen *g);
bool gen_reduce(GraphGen *g);
bool gen_softmax(GraphGen *g);
bool gen_constant(GraphGen *g);
/* Convolutions that follow one another, from the newest value on. */
void gen_chain(GraphGen *g);
bool gen_idiom(GraphGen *g);
bool gen_recurrent(GraphGen *g);
bool gen_attention(GraphGen *g);
bool gen_conv(GraphGen *g);
bool gen_transpose(GraphGen *g);
bool gen_linear(GraphGen *g);
bool gen_matmul(GraphGen *g);
bool gen_attend(GraphGen *g);
bool gen_convn(GraphGen *g);
bool gen_convn_transpose(GraphGen *g);
bool gen_pool(GraphGen *g);
bool gen_resize(GraphGen *g);
bool gen_interleave(GraphGen *g);
bool gen_layers(GraphGen *g);
bool gen_reshape(GraphGen *g);
bool gen_permute(GraphGen *g);
bool gen_expand(GraphGen *g);
bool gen_concat(GraphGen *g);
bool gen_slice(GraphGen *g);
bool gen_select(GraphGen *g);
bool gen_pad(GraphGen *g);
bool gen_convert(GraphGen *g);

#endif
