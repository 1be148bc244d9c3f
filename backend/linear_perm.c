/* linear_perm.c - linear_perm: y = x w' for a few rows of x and unstructured
 * weights, outputs in the lanes of a vector.
 *
 * A step takes one nonzero of each of the outputs in a chunk of columns: as
 * many weights as lanes, and their columns, by which it picks values of x.
 * With AVX-512 a chunk is 64 columns of x in four registers, columns are
 * bytes, and two permutations and a blend pick 16 values; with AVX2 it is a
 * whole row of x, if columns fit two bytes, and 8 values are gathered.  An
 * output with fewer nonzeros in the chunk than the others goes on with zeros,
 * at columns where its weight is zero.  Outputs with as many nonzeros lie
 * together. */
#include <stdlib.h>
#include <string.h>

#include "backend/linear.h"

enum { LANES_MOST = 16, PARTS = 4, UNROLL = 2 };
enum { ROWS_MOST = 4 };     /* of x at once: their chunks are in registers */

typedef struct Perm {
  int lanes;
  bool gathers;            /* else it permutes */
  int64_t chunk;           /* its columns */
  int64_t groups, chunks;
  int64_t values, index;   /* blob offsets: a step takes a vector of each */
  int64_t counts;          /* pairs of steps, u16 [groups][chunks] */
  int64_t outputs, bias;   /* [groups][lanes], as they are sorted */
  int64_t starts;          /* of parts: u32 group, steps; -1: none */
  Elem elem;               /* of values */
} Perm;

/* ---- packing --------------------------------------------------------- */

typedef struct Row { int64_t row, count; } Row;

static int by_count(const void *pa, const void *pb) {
  const Row *a = pa, *b = pb;
  if (a->count != b->count) return a->count > b->count ? -1 : 1;
  return a->row < b->row ? -1 : a->row > b->row;
}

static Row *rows_sort(Gen *g, const Linear *l, const float *w) {
  Row *r = arena_array(g->a, Row, (size_t)l->m);
  for (int64_t i = 0; i < l->m; i++) {
    r[i].row = i;
    for (int64_t k = 0; k < l->k; k++) r[i].count += w[i * l->k + k] != 0;
  }
  qsort(r, (size_t)l->m, sizeof *r, by_count);
  return r;
}

typedef struct Packer {
  const Perm *p;
  const Linear *l;
  const float *w;
  float *values;
  uint16_t *index;
  int64_t steps;
} Packer;

/* Nonzeros of a row in a chunk of `width` columns. */
static int chunk_count(const float *w, int64_t width) {
  int n = 0;
  for (int64_t k = 0; k < width; k++) n += w[k] != 0;
  return n;
}

/* One lane of `steps` steps: the nonzeros, then zeros at a column that has
 * one. */
static void lane_pack(Packer *p, int lane, const float *w, int64_t width,
                      int steps) {
  int64_t at = p->steps * p->p->lanes + lane, k = 0, empty = 0;
  while (empty + 1 < width && w[empty] != 0) empty++;
  for (int i = 0; i < steps; i++, at += p->p->lanes) {
    while (k < width && w[k] == 0) k++;
    bool set = k < width;
    p->values[at] = set ? w[k] : 0;
    p->index[at] = (uint16_t)(set ? k++ : empty);
  }
}

static int64_t chunk_width(const Perm *p, const Linear *l, int64_t first) {
  return l->k - first < p->chunk ? l->k - first : p->chunk;
}

/* How many steps, by UNROLL, a group takes in the chunk from `first` on. */
static int group_count(const Perm *p, const Linear *l, const float *w,
                       const Row *r, int rows, int64_t first) {
  int most = 0;
  for (int i = 0; i < rows; i++) {
    int n = chunk_count(w + r[i].row * l->k + first,
                        chunk_width(p, l, first));
    if (n > most) most = n;
  }
  return (most + UNROLL - 1) / UNROLL;
}

static void group_pack(Packer *p, const Row *r, int rows, int64_t first,
                       int steps) {
  const Linear *l = p->l;
  for (int i = 0; i < rows; i++)
    lane_pack(p, i, p->w + r[i].row * l->k + first,
              chunk_width(p->p, l, first), steps);
  p->steps += steps;
}

/* Outputs of a group: the last one may have fewer. */
static int group_rows(const Perm *p, const Linear *l, int64_t q) {
  int64_t left = l->m - q * p->lanes;
  return left < p->lanes ? (int)left : p->lanes;
}

/* Steps, by UNROLL, of each group and chunk; returns their sum. */
static int64_t counts_find(const Perm *p, const Linear *l, const float *w,
                           const Row *rows, uint16_t *counts) {
  int64_t all = 0;
  for (int64_t q = 0; q < p->groups; q++)
    for (int64_t c = 0; c < p->chunks; c++) {
      int n = group_count(p, l, w, rows + q * p->lanes, group_rows(p, l, q),
                          c * p->chunk);
      counts[q * p->chunks + c] = (uint16_t)n;
      all += n;
    }
  return all;
}

/* Where the outputs of the groups go, and their biases. */
static void outputs_pack(Gen *g, Perm *p, const Linear *l, const Row *rows) {
  size_t n = (size_t)(p->groups * p->lanes);
  uint32_t *out = arena_array(g->a, uint32_t, n);
  float *bias = arena_array(g->a, float, n);
  const float *b = l->b ? operand_values(g, l->b) : NULL;
  for (int64_t i = 0; i < l->m; i++) {
    out[i] = (uint32_t)rows[i].row;
    bias[i] = b ? b[rows[i].row] : 0;
  }
  p->outputs = blob_add(g, out, n * sizeof *out, 64);
  p->bias = b ? blob_add(g, bias, n * sizeof *bias, 64) : 0;
}

/* With which group each part begins, and how many steps lie before it. */
static int64_t starts_pack(Gen *g, const Perm *p, const Linear *l,
                           const uint16_t *counts) {
  int64_t whole = l->m / p->lanes;
  int64_t *cost = arena_array(g->a, int64_t, (size_t)p->groups + 1);
  int64_t *bound = arena_array(g->a, int64_t, (size_t)g->parts + 1);
  uint32_t *at = arena_array(g->a, uint32_t, 2 * (size_t)g->parts + 2);
  for (int64_t i = 0; i < p->groups * p->chunks; i++)
    cost[i / p->chunks] += UNROLL * counts[i];
  parts_cut(g, cost, whole, whole < p->groups ? cost[whole] : 0, bound);
  int64_t steps = 0, i = 0;
  for (int n = 0; n <= g->parts; n++) {
    for (; i < bound[n]; i++) steps += cost[i];
    at[2 * n] = (uint32_t)i, at[2 * n + 1] = (uint32_t)steps;
  }
  return blob_add(g, at, (2 * (size_t)g->parts + 2) * sizeof *at, 8);
}

/* Columns of a step, as they are stored: two bytes, or one where a chunk is in
 * registers. */
static int64_t index_pack(Gen *g, const Perm *p, const uint16_t *index,
                          size_t n) {
  if (p->gathers) return blob_add(g, index, n * sizeof *index, 16);
  uint8_t *bytes = arena_array(g->a, uint8_t, n + 1);
  for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)index[i];
  return blob_add(g, bytes, n, 16);
}

static Perm perm_pack(Gen *g, const Linear *l) {
  Perm p = { .lanes = g->t->lanes, .gathers = g->t->lanes == 8 };
  p.chunk = !p.gathers ? p.lanes * PARTS : l->k > 0 ? l->k : 1;
  p.groups = (l->m + p.lanes - 1) / p.lanes;
  p.chunks = (l->k + p.chunk - 1) / p.chunk;
  Packer to = { .p = &p, .l = l, .w = operand_values(g, l->w) };
  size_t cells = (size_t)(p.groups * p.chunks);
  uint16_t *counts = arena_array(g->a, uint16_t, cells + 1);
  const Row *rows = rows_sort(g, l, to.w);
  int64_t steps = counts_find(&p, l, to.w, rows, counts) * UNROLL;
  size_t n = (size_t)(steps * p.lanes);
  to.values = arena_array(g->a, float, n + 1);
  to.index = arena_array(g->a, uint16_t, n + 1);
  for (int64_t i = 0; i < p.groups * p.chunks; i++) {
    int64_t q = i / p.chunks, c = i % p.chunks;
    group_pack(&to, rows + q * p.lanes, group_rows(&p, l, q), c * p.chunk,
               counts[i] * UNROLL);
  }
  p.elem = type_stored(&l->w->type);
  p.values = blob_weights(g, p.elem, to.values, n, 64);
  p.index = index_pack(g, &p, to.index, n);
  p.counts = blob_add(g, counts, cells * sizeof *counts, 16);
  outputs_pack(g, &p, l, rows);
  p.starts = g->parts > 1 ? starts_pack(g, &p, l, counts) : -1;
  return p;
}

/* ---- code ------------------------------------------------------------ */

/* Lane i: element index[i] mod 32 of a and b. */
static Val permute2(Gen *g, Val a, Val index, Val b) {
  static const char name[] = "llvm.x86.avx512.vpermi2var.ps.512";
  LLVMTypeRef in[] = { g->vec, g->veci, g->vec };
  LLVMTypeRef type = LLVMFunctionType(g->vec, in, 3, false);
  Val fn = LLVMGetNamedFunction(g->m, name);
  if (!fn) fn = LLVMAddFunction(g->m, name, type);
  return LLVMBuildCall2(g->b, type, fn, (Val[]){ a, index, b }, 3, "");
}

/* Lane i: element index[i] of x. */
static Val gather(Gen *g, Val x, Val index) {
  static const char name[] = "llvm.x86.avx2.gather.d.ps.256";
  LLVMTypeRef in[] = { g->vec, g->ptr, g->veci, g->vec, g->i8 };
  LLVMTypeRef type = LLVMFunctionType(g->vec, in, 5, false);
  Val fn = LLVMGetNamedFunction(g->m, name);
  if (!fn) fn = LLVMAddFunction(g->m, name, type);
  Val all = LLVMConstBitCast(LLVMConstAllOnes(g->veci), g->vec);
  Val args[] = { vzero(g), x, index, all, LLVMConstInt(g->i8, 4, false) };
  return LLVMBuildCall2(g->b, type, fn, args, 5, "");
}

/* Where the reading of the steps has got to. */
typedef struct At { Val value, index; } At;

static int index_bytes(const Perm *p) { return p->lanes * (1 + p->gathers); }

/* The columns of a step, as i32. */
static Val step_index(Gen *g, const Perm *p, const At *at, int i) {
  int bytes = index_bytes(p);
  LLVMTypeRef t = LLVMVectorType(p->gathers ? g->i16 : g->i8,
                                 (unsigned)p->lanes);
  Val v = LLVMBuildLoad2(g->b, t, addrk(g, at->index, i * bytes), "");
  LLVMSetAlignment(v, (unsigned)bytes);
  return LLVMBuildZExt(g->b, v, g->veci, "");
}

/* sum += weights times the values of x, in x[PARTS] or from x[0] on, at the
 * columns. */
static Val step_sum(Gen *g, const Perm *p, Val index, Val weights,
                    const Val *x, Val sum) {
  if (p->gathers) return fma_(g, weights, gather(g, x[0], index), sum);
  Val low = permute2(g, x[0], index, x[1]);
  Val high = permute2(g, x[2], index, x[3]);
  Val bit = LLVMBuildAnd(g->b, index, const_like(g, index, 32), "");
  bit = LLVMBuildICmp(g->b, LLVMIntNE, bit, const_like(g, index, 0), "");
  return fma_(g, weights, LLVMBuildSelect(g->b, bit, high, low, ""), sum);
}

/* The chunk from byte offset `from` on of a row: in registers, `width`
 * columns of it are there, or its address. */
static void chunk_load(Gen *g, const Perm *p, Val row, Val from,
                       int64_t width, Val *x) {
  x[0] = addr(g, row, from);
  for (int i = PARTS; !p->gathers && i-- > 0;) {
    int64_t n = width - i * p->lanes;
    x[i] = n <= 0 ? vzero(g)
                  : load_lanes(g, addr(g, row, from), 4 * i * p->lanes,
                               (int)(n < p->lanes ? n : p->lanes));
  }
}

/* What the body for some rows of x needs. */
typedef struct Body {
  const Linear *l;
  const Perm *p;
  Val row[ROWS_MOST];     /* of x */
  int n;
} Body;

/* The steps of a chunk, for all rows of x; UNROLL sums a row. */
static void chunk_sum(Gen *g, const Body *b, Val count, Val from,
                      int64_t width, At *at, Val *sum) {
  Val x[ROWS_MOST * PARTS];
  const Perm *p = b->p;
  int bytes = (int)elem_size(p->elem) * p->lanes;   /* of weights, a step */
  Loop l;
  for (int r = 0; r < b->n; r++)
    chunk_load(g, p, b->row[r], from, width, x + r * PARTS);
  loop_begin(g, &l, k64(g, 0), count, 1, false, "step");
  loop_carry(g, &l, &at->value);
  loop_carry(g, &l, &at->index);
  for (int i = 0; i < UNROLL * b->n; i++) loop_carry(g, &l, &sum[i]);
  for (int i = 0; i < UNROLL; i++) {
    Val index = step_index(g, p, at, i);
    Val w = load_weights(g, p->elem, at->value, i * bytes, p->lanes);
    for (int r = 0; r < b->n; r++)
      sum[UNROLL * r + i] = step_sum(g, p, index, w, x + r * PARTS,
                                     sum[UNROLL * r + i]);
  }
  at->value = addrk(g, at->value, UNROLL * bytes);
  at->index = addrk(g, at->index, UNROLL * index_bytes(p));
  loop_end(g, &l);
}

/* Bias and the rest, then each lane to its place. */
static void group_store(Gen *g, const Body *b, const Rows *rows, Val group,
                        int lanes, const Val *sum) {
  const Linear *l = b->l;
  int64_t bytes = 4 * b->p->lanes;
  Val out = addr_at(g, blob_ptr(g, b->p->outputs), group, bytes);
  Val to[LANES_MOST], bias = NULL;
  for (int i = 0; i < lanes; i++)
    to[i] = mul64(g, load_index(g, out, 4 * i, 4), 4);
  if (l->b)
    bias = load_vec(g, addr_at(g, blob_ptr(g, b->p->bias), group, bytes), 0,
                    (int)bytes);
  for (int r = 0; r < rows->n; r++) {
    Val v = addf(g, sum[UNROLL * r], sum[UNROLL * r + 1]), other = NULL;
    if (bias) v = addf(g, v, bias);
    if (rows->r) {
      other = vzero(g);
      for (int i = 0; i < lanes; i++)
        other = vinsert(g, other, load_f32(g, addr(g, rows->r, to[i]),
                                           4 * r * l->rrow), i);
    }
    v = epilogue(g, l->n, v, other);
    for (int i = 0; i < lanes; i++)
      store_f32(g, vlane(g, v, i), addr(g, rows->y, to[i]), 4 * r * l->yrow);
  }
}

/* A group of `lanes` outputs, whose steps begin at *at. */
static void group_emit(Gen *g, const Body *b, const Rows *rows, Val group,
                       int lanes, At *at) {
  const Linear *l = b->l;
  int64_t chunk = b->p->chunk, whole = l->k / chunk, rest = l->k % chunk;
  Val counts = addr_at(g, blob_ptr(g, b->p->counts), group,
                       2 * b->p->chunks);
  Val sum[ROWS_MOST * UNROLL];
  for (int i = 0; i < UNROLL * b->n; i++) sum[i] = vzero(g);
  Loop c;
  if (whole) {
    loop_begin(g, &c, k64(g, 0), k64(g, whole), 1, true, "chunk");
    loop_carry(g, &c, &at->value);
    loop_carry(g, &c, &at->index);
    for (int i = 0; i < UNROLL * b->n; i++) loop_carry(g, &c, &sum[i]);
    Val count = load_index(g, addr_at(g, counts, c.iv, 2), 0, 2);
    chunk_sum(g, b, count, mul64(g, c.iv, 4 * chunk), chunk, at, sum);
    loop_end(g, &c);
  }
  if (rest) {
    Val count = load_index(g, addrk(g, counts, 2 * whole), 0, 2);
    chunk_sum(g, b, count, k64(g, whole * 4 * chunk), rest, at, sum);
  }
  group_store(g, b, rows, group, lanes, sum);
}

/* The loop over the groups of the part at hand, whose steps begin at *at. */
static void groups_share(Gen *g, Loop *l, const Perm *p, At *at) {
  Val start = addr_at(g, blob_ptr(g, p->starts), g->part, 8);
  Val steps = load_index(g, start, 4, 4);
  at->value = addr_at(g, at->value, steps,
                      (int64_t)elem_size(p->elem) * p->lanes);
  at->index = addr_at(g, at->index, steps, index_bytes(p));
  loop_range(g, l, load_index(g, start, 0, 4), load_index(g, start, 8, 4), 1,
             "group");
}

static void rows_emit(Gen *g, const Linear *l, const void *ctx,
                      const Rows *rows) {
  Body b = { .l = l, .p = ctx, .n = rows->n };
  int lanes = b.p->lanes, rest = (int)(l->m % lanes);
  int64_t whole = l->m / lanes;
  for (int r = 0; r < rows->n; r++)
    b.row[r] = addrk(g, rows->x, 4 * r * l->xrow);
  At at = { blob_ptr(g, b.p->values), blob_ptr(g, b.p->index) };
  if (whole) {
    Loop group;
    if (b.p->starts >= 0)
      groups_share(g, &group, b.p, &at);
    else
      loop_begin(g, &group, k64(g, 0), k64(g, whole), 1, true, "group");
    loop_carry(g, &group, &at.value);
    loop_carry(g, &group, &at.index);
    group_emit(g, &b, rows, group.iv, lanes, &at);
    loop_end(g, &group);
  }
  if (!rest) return;
  Once last;
  once_begin(g, &last);
  group_emit(g, &b, rows, k64(g, whole), rest, &at);
  once_end(g, &last);
}

void emit_linear_perm(Gen *g, const Node *n) {
  Linear l = { 0 };
  linear_init(n, &l, ROWS_MOST);
  int lanes = g->t->lanes;
  bool perm = strcmp(g->t->arch, "x86_64") == 0 &&
              (lanes == 16 || (lanes == 8 && l.k <= UINT16_MAX));
  if (!perm || l.xk != 1 || (l.b && l.b->op != OP_PARAM)) {
    emit_linear_csr(g, n);
    return;
  }
  Perm p = perm_pack(g, &l);
  linear_rows(g, &l, rows_emit, &p);
}
