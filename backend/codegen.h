/* codegen.h - inside backend/: the one context struct of code generation,
 * the IR-building vocabulary, and what a kernel emitter is. */
#ifndef TAMIS_CODEGEN_H
#define TAMIS_CODEGEN_H

#include <llvm-c/Core.h>

#include "backend/backend.h"

typedef LLVMValueRef Val;

/* Packed weights and tables of the whole artifact, in one read-only
 * section; kernels append and get the offset. */
enum { BLOB_KNOWN = 8192 };
typedef struct Piece { size_t offset, size; } Piece;
typedef struct Blob {
  uint8_t *at;
  size_t n, cap;
  Piece known[BLOB_KNOWN];   /* by a hash, four of one */
} Blob;

/* A node of which code is made in place of another one, of which it is a
 * part. */
enum { VIEWS_MOST = 64 };
typedef struct View {
  const Node *view, *of;
  Val offset;                 /* bytes */
} View;

typedef struct Gen {
  LLVMContextRef c;
  LLVMModuleRef m;
  LLVMBuilderRef b;
  LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr, voidt;
  LLVMTypeRef vec, veci;      /* <lanes x f32>, <lanes x i32> */
  const Target *t;
  int opt;
  Module *mod;
  const Func *func;           /* whose step is being built */
  Val *body;                  /* by position: `void (io, arena, weights)` that
                                 runs all steps of a function that is called */
  LLVMTypeRef step_type;      /* of steps and bodies */
  bool weights_slot;          /* io has a slot for the weights */
  bool pool_slot;             /* and one for a pool of threads */
  int64_t *state_at, state_bytes;   /* where states lie, by their order */
  Arena *a;                   /* scratch of this emission */
  Diags *d;
  Blob blob;
  int64_t *param_at;          /* offset of each param's values, -1: not yet */
  /* The step function being built: its LLVM function and arguments. */
  Val fn, io, arena, weights;
  /* The values of the weight at hand, where it is stored as indices of them
   * (weight.c): how many, and their blob offset. */
  const float *clusters;
  int nclusters;
  int64_t clusters_at;
  /* Parts of that step (parts.c): how many (1: it is not cut) and which one
   * the code is for; whether the code is inside a loop that is shared, some
   * loop was, and which parts get more of the next. */
  int parts;
  Val part;
  bool in_part, divided, turn;
  int64_t blocks;             /* of code (conv_code.c) so far */
  Val size[FREE_MOST];        /* of the free dimensions, in this call */
  int nviews;                 /* of nodes at an index of an axis (sizes.c) */
  View view[VIEWS_MOST];
} Gen;

/* ---- builder.c: loops, loads, arithmetic ---------------------------- */

Val k32(Gen *g, int64_t v);            /* constants */
Val k64(Gen *g, int64_t v);
Val kf(Gen *g, double v);
Val vsplat(Gen *g, Val scalar);        /* to <lanes x its type> */
/* An element as it lies in memory: floats narrower than f32 as words. */
LLVMTypeRef elem_type(Gen *g, Elem e);
LLVMTypeRef elem_vec(Gen *g, Elem e);  /* lanes of them */
bool is_vector(Val v);
/* A scalar or vector constant of the type of `like`. */
Val const_like(Gen *g, Val like, double v);
/* The value of a literal, as elements are computed with: b1 as i1. */
Val const_of(Gen *g, const Node *n);
Val add64(Gen *g, Val a, Val b);       /* nsw; folds constants */
Val mul64(Gen *g, Val a, int64_t k);
Val addr(Gen *g, Val base, Val byte_offset);        /* i8 gep, inbounds */
Val addrk(Gen *g, Val base, int64_t byte_offset);
/* base + i is bytes, and base + (i is + j js). */
Val addr_at(Gen *g, Val base, Val i, int64_t is);
Val addr_in(Gen *g, Val base, Val i, int64_t is, Val j, int64_t js);
/* f32 loads and stores with a byte offset known now; align in bytes. */
Val load_f32(Gen *g, Val p, int64_t off);
Val load_vec(Gen *g, Val p, int64_t off, int align);
void store_f32(Gen *g, Val v, Val p, int64_t off);
void store_vec(Gen *g, Val v, Val p, int64_t off, int align);
/* Elements and vectors of any type; fewer than all lanes only of 4 bytes. */
Val load_elem(Gen *g, Elem e, Val p, int64_t off);
void store_elem(Gen *g, Elem e, Val v, Val p, int64_t off);
Val load_lanes_of(Gen *g, Elem e, Val p, int64_t off, int n);
void store_lanes_of(Gen *g, Elem e, Val v, Val p, int64_t off, int n);
/* Only the first n lanes (0 < n < lanes), n known now; the others of a
 * load are 0 and nothing behind is touched. */
Val load_part(Gen *g, Val p, int64_t off, int n);
void store_part(Gen *g, Val v, Val p, int64_t off, int n);
Val fma_(Gen *g, Val a, Val b, Val c);  /* a*b + c, scalar or vector; one
                                           instruction where t->fma */
/* Let a line come into L1, to be written or read; any address will do. */
void prefetch(Gen *g, Val p, int64_t off, bool write);
/* A line to be read comes into the second cache. */
/* Of bytes [from, to), a line each. */
void prefetch_lines(Gen *g, Val p, int64_t from, int64_t to, bool write);
void prefetch_second(Gen *g, Val p, int64_t off);
Val load_index(Gen *g, Val p, int64_t off, int bytes);  /* 1 to 8 -> i64 */
Val vzero(Gen *g);
Val load_veci(Gen *g, Val p);            /* a vector of i32 */
/* Elements p[index * stride] for a vector of i32 indices. */
Val gather_f32(Gen *g, Val p, Val index, int64_t stride);
/* A vector of elements `stride` apart, where the mask (NULL: all set) is
 * set, else 0; nothing else is touched.  The mask of the lanes below n. */
Val load_where(Gen *g, Val p, int64_t stride, Val mask);
Val lanes_below(Gen *g, Val n);
/* Elements of 4 bytes, those whose lane the mask has; the others are 0. */
Val load_words(Gen *g, Elem e, Val p, Val mask);
void store_words(Gen *g, Val v, Val p, Val mask);
/* n lanes, 0 < n <= lanes: the whole vector or the part. */
Val load_lanes(Gen *g, Val p, int64_t off, int n);
void store_lanes(Gen *g, Val v, Val p, int64_t off, int n);
/* The lanes whose bit is set, known now; nothing else is touched. */
uint64_t lanes_mask(int n);              /* the first n */
Val load_mask(Gen *g, Val p, int64_t off, uint64_t bits);
void store_mask(Gen *g, Val v, Val p, int64_t off, uint64_t bits);
/* A vector of elements `stride` apart; the first n lanes count.  Stride 1
 * reads `lanes` elements, 2 at most 2*lanes, others only what is wanted. */
Val load_stride(Gen *g, Val p, int64_t off, int stride, int n);
/* The same with vectors of n lanes whatever the target has (1: a scalar);
 * splat_n takes scalars of any type. */
Val splat_n(Gen *g, Val scalar, int n);
Val load_n(Gen *g, Val p, int64_t off, int n);
Val zero_n(Gen *g, int n);
Val addf(Gen *g, Val a, Val b);          /* fadd */
Val vsum(Gen *g, Val v);                 /* of all lanes, a scalar */
Val and64(Gen *g, Val a, int64_t mask);
Val shr64(Gen *g, Val a, int bits);
/* Lanes of a (0..lanes-1) and b (lanes..): lane[i] for i < n; -1: any. */
Val vshuffle(Gen *g, Val a, Val b, const int *lane, int n);
/* Lane i of v[j] becomes lane j of v[i], for as many vectors as lanes. */
void vtranspose(Gen *g, Val *v);
/* Room for n elements while the function runs, aligned to 64 bytes. */
Val stack_array(Gen *g, LLVMTypeRef t, int64_t n);
Val vlane(Gen *g, Val v, int lane);
Val vinsert(Gen *g, Val v, Val scalar, int lane);
/* v where the lane's bit of the mask at p+off is set, else 0; a mask takes
 * mask_bytes (1 or 2), little endian, lane 0 the lowest bit. */
int mask_bytes(const Gen *g);
Val vmask(Gen *g, Val p, int64_t off, Val v);

/* A counted loop `for (iv = lo; iv < hi; iv += step)`, with values carried
 * around it.  lo < hi is known when `nonempty`.  Usage:
 *   Loop l; loop_begin(g, &l, k64(g,0), n, 1, true, "k");
 *   loop_carry(g, &l, &x) before the body for each carried value...
 *   ... body uses l.iv and updated x ...; loop_end(g, &l);
 * loop_carry registers &x: on entry its value becomes the phi, loop_end
 * takes *(&x) as the next value, and after it x is the final one. */
enum { LOOP_CARRY_MAX = 64 };
typedef struct Loop {
  LLVMBasicBlockRef head, body, exit, pre;
  Val iv, hi;
  int64_t step;
  bool nonempty, shared;
  int ncarry;
  Val *slot[LOOP_CARRY_MAX], phi[LOOP_CARRY_MAX];
} Loop;
void loop_begin(Gen *g, Loop *l, Val lo, Val hi, int64_t step, bool nonempty,
                const char *name);
void loop_carry(Gen *g, Loop *l, Val *x);
void loop_end(Gen *g, Loop *l);

/* Items [0, count), as many as a call has: `size` at a time, then what is left
 * by powers of 2.  The first alone gives where those that are left begin. */
typedef void CountedBody(Gen *g, Val first, int n, const void *ctx);
Val counted_whole(Gen *g, Val count, int size, CountedBody *body,
                  const void *ctx);
void counted_rest(Gen *g, Val count, Val done, int size, CountedBody *body,
                  const void *ctx);

/* shares.c: of a count that is known at run time even shares of at most
 * `size`. */
enum { SHARE_MOST = 32 };
typedef struct Shares { int size; bool may[SHARE_MOST + 2]; } Shares;
/* The count may be any of these. */
void shares_add(Shares *s, int64_t least, int64_t most);
/* n from number `first` on, share `turn` of `of`. */
typedef struct Share { int n; Val first, turn, of; } Share;
/* The body for each number that a share may have. */
typedef void SharesBody(Gen *g, const Share *s, const void *ctx);
void shares_emit(Gen *g, const Shares *s, Val count, SharesBody *body,
                 const void *ctx);

/* What stands between runs only where the condition holds:
 *   If f; if_begin(g, &f, c); ... if_end(g, &f); */
typedef struct If { LLVMBasicBlockRef next; } If;
void if_begin(Gen *g, If *f, Val condition);
void if_end(Gen *g, If *f);

/* ---- parts.c: what threads share ------------------------------------- */

/* The loop over [lo, hi) by `step`, lo < hi, of whose independent turns each
 * part of the step takes its own; inside another one all of them. */
void loop_share(Gen *g, Loop *l, int64_t lo, int64_t hi, int64_t step,
                const char *name);
/* The same, or where it shall not be shared a plain loop. */
void loop_either(Gen *g, Loop *l, bool share, int64_t lo, int64_t hi,
                 int64_t step, const char *name);
/* A shared loop whose bounds are those of g->part; where the step is cut. */
void loop_range(Gen *g, Loop *l, Val lo, Val hi, int64_t step,
                const char *name);
/* What stands between is done by one part, the last one or that number (or,
 * where that is not wanted, as if this were not there):
 *   Once o; once_begin(g, &o); ... once_end(g, &o); */
typedef struct Once { bool cut; If only; } Once;
void once_begin(Gen *g, Once *o);
void once_either(Gen *g, Once *o, bool wanted);
void part_begin(Gen *g, Once *o, int64_t part);
void once_end(Gen *g, Once *o);
/* What stands between is for the first half of the parts (0) or the second,
 * which are all the parts there are in it, or for all (-1).  A half takes one
 * half of a plane in every kernel, so that what a thread reads is mostly what
 * it wrote:
 *   Half h; half_begin(g, &h, 0); ... half_end(g, &h); */
typedef struct Half { bool cut; If only; int parts; Val part; } Half;
bool has_halves(const Gen *g);
void half_begin(Gen *g, Half *h, int which);
void half_end(Gen *g, Half *h);
/* Which of n nested loops of so many turns is best shared. */
int parts_level(const Gen *g, const int64_t *count, int n);
/* Cut n items into g->parts runs of about the same cost, with `rest` behind
 * the last: those of part p are [bound[p], bound[p + 1]). */
void parts_cut(const Gen *g, const int64_t *cost, int64_t n, int64_t rest,
               int64_t *bound);

/* ---- weight.c: weights of any type they are stored as ------------------ */

/* Values of a constant operand, row-major. */
const float *operand_values(Gen *g, const Node *param);
/* How a kernel's weight is stored, of which it goes on to load elements: F32,
 * F16, BF16, or U8, indices.  `halves`: U4 as well, two indices a byte, where
 * the kernel counts in weights_bytes and loads even numbers of them. */
Elem weight_elem(Gen *g, const Node *w, bool halves);
Elem param_elem(Gen *g, const Param *p, bool halves);
/* Bytes of n elements. */
int64_t weights_bytes(Elem e, int64_t n);
/* Put n of them into the blob as elements of e; their offset. */
int64_t blob_weights(Gen *g, Elem e, const float *v, size_t n, int align);
/* A weight stored as e, as f32; n of them, as a vector (1: a scalar). */
Val load_weight(Gen *g, Elem e, Val p, int64_t off);
Val load_weights(Gen *g, Elem e, Val p, int64_t off, int n);
/* n of them to a slot on the stack, from where a load spreads each of them
 * over a vector, which is cheaper than from a lane. */
void store_weights(Gen *g, Elem e, Val p, int n, Val slot);

/* ---- sizes.c: free dimensions ---------------------------------------- */

/* The size of an axis in this call; NULL: it is not free. */
Val axis_count(Gen *g, const Type *t, int axis);
Val axis_size(Gen *g, const Type *t, int axis);
/* Rows of the last axis, from the innermost axis on that is free: how many a
 * call has, and at least (NULL: not wanted); NULL: none is free. */
Val count_rows(Gen *g, const Type *t, int64_t *least);
/* An attribute of one number; a literal that is free. */
Val attr_size(Gen *g, const Node *n, const char *name);
Val const_size(Gen *g, const Node *n);
/* n, and its operands along it, at one index of an axis. */
void node_at(Gen *g, const Node *n, int axis, Val index, Node *out);
/* The node that a view is of, or n; where it begins, NULL: n is none. */
const Node *view_base(const Gen *g, const Node *n);
Val view_offset(const Gen *g, const Node *n);

/* ---- operand.c: where values lie ------------------------------------ */

/* Address of element index 0,0,... (its layout's origin) of a value: in the
 * arena, in the caller's buffer, or (a dense PARAM) in the weights blob. */
Val value_ptr(Gen *g, const Node *n);
/* Address of the first byte of its buffer (before origin and halo). */
Val buffer_ptr(Gen *g, const Node *n);
/* Slots of io that point to the sizes, the states and to the pool; how many
 * slots io has. */
int dims_slot(const Func *f);
int state_slot(const Gen *g, const Func *f);
int pool_slot(const Gen *g, const Func *f);
int io_slots(const Gen *g, const Func *f);
/* Append bytes to the weights blob; returns the offset, aligned. */
int64_t blob_append(Gen *g, const void *p, size_t size, int align);
/* The same, or the offset of equal bytes that are there: what several
 * kernels share is stored once. */
int64_t blob_add(Gen *g, const void *p, size_t size, int align);
Val blob_ptr(Gen *g, int64_t offset);
/* Strides (elements) of a value; ensures that it is unblocked. */
void value_strides(const Node *n, int64_t stride[MAX_RANK]);

/* ---- epilogue.c ----------------------------------------------------- */

/* y = act(acc + r) or act(acc) + r as n's attributes say (bias is already
 * in acc); scalar or vector f32; r NULL when there is none. */
Val epilogue(Gen *g, const Node *n, Val acc, Val r);
/* Is that much more than an instruction or two? */
bool epilogue_is_long(const Node *n);
/* A unary op on a scalar or vector f32 value. */
Val unary_math(Gen *g, Op op, Val x, double alpha_or_lo, double hi);
Val binary_math(Gen *g, Op op, Val a, Val b);
/* intmath.c: the same on elements of a type that is no float. */
Val unary_int(Gen *g, Op op, Elem e, Val x);
Val binary_int(Gen *g, Op op, Elem e, Val a, Val b);
/* A comparison of elements of any type, as i1. */
bool op_compares(Op op);
Val compare_elems(Gen *g, Op op, Elem e, Val a, Val b);
/* cast.c: an element, or a vector of them, as one of another type. */
Val elem_convert(Gen *g, Val v, Elem from, Elem to);
/* halo.c: zero what lies outside the tensor but inside its halo (pad columns
 * and halo rows of planes), for kernels that do not write it as they go, and
 * what vectors load behind each plane. */
void clear_halo(Gen *g, const Node *n);
/* Where that ends, counted from element 0 of a plane: of each plane, and
 * behind the last.  False where n does not lie in planes as layout_planes
 * has them, between which there is nothing of another value. */
typedef struct PlaneEnd { int64_t own, last; } PlaneEnd;
bool plane_end(const Gen *g, const Node *n, PlaneEnd *e);
/* Zero what vectors load behind the last plane. */
void clear_tail(Gen *g, const Node *n, const PlaneEnd *e);
/* Zero elements [from, to) of a plane. */
void clear_run(Gen *g, Val plane, int64_t from, int64_t to);

/* ---- the kernels, one per row of ir/kernels.def --------------------- */

/* Builds the body of the step's function at the builder's position; the
 * caller adds entry block and return.  Everything about shapes is known. */
#define KERNEL(name, ops, what) void emit_##name(Gen *g, const Node *n);
#include "ir/kernels.def"
#undef KERNEL

#endif
