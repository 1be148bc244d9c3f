/* linear_perm.c - linear_perm: y = x w' for a few rows of x and unstructured
 * weights, outputs in the lanes of a vector.
 *
 * A step takes one nonzero of each of the outputs in some columns: as many
 * weights as lanes, and their columns of a byte, by which two permutations
 * and a blend pick values of x.  With AVX-512 the columns are chunks of 64,
 * whose x is in four registers.  With AVX2, which has no permutation of two
 * registers, each step has a window of 16 of its own, wherever the outputs
 * have got to, and reads x from memory.  An output that has no nonzero for a
 * step goes on with a zero, at a column where its weight is zero.  Outputs
 * with as many nonzeros lie together. */
#include <stdlib.h>
#include <string.h>

#include "backend/linear.h"

enum { LANES_MOST = 16, PARTS = 4, UNROLL = 2 };
enum { ROWS_MOST = 4 };     /* of x at once: their chunks are in registers */
/* Columns of a window, which begins at a multiple of so many. */
enum { WINDOW_LANES = 8, WINDOW = PERM_WINDOW, WINDOW_STEP = 8 };

typedef struct Perm {
  int lanes;
  bool windows;            /* else chunks */
  int64_t chunk;           /* its columns; all of them for windows */
  int64_t groups, chunks;
  int64_t values, index;   /* blob offsets: a step takes a vector of each */
  int64_t counts;          /* pairs of steps, u16 [groups][chunks] */
  int64_t outputs, bias;   /* [groups][lanes], as they are sorted */
  int64_t starts;          /* of parts: u32 group, counts; -1: none */
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
  uint8_t *index;
  uint16_t *first;         /* of the window of a step */
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
    p->index[at] = (uint8_t)(set ? k++ : empty);
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

/* The next nonzero of a row from column k on; its end if there is none. */
static int64_t next_nonzero(const float *w, int64_t k, int64_t end) {
  while (k < end && w[k] == 0) k++;
  return k;
}

/* A window for outputs whose next nonzeros are in columns `at`, the least of
 * them `least`: one in which outputs that have none there have a zero; any
 * window for none at all.  Returns where it begins; -1 if there is none. */
static int64_t window_find(const Linear *l, const float *w, const Row *r,
                           int rows, const int64_t *at, int64_t least) {
  int64_t s = least / WINDOW_STEP * WINDOW_STEP;
  if (s > l->k - WINDOW) s = l->k - WINDOW;
  for (; s >= 0 && (s + WINDOW > least || least == l->k); s -= WINDOW_STEP) {
    int i = 0;
    for (; i < rows; i++) {
      const float *row = w + r[i].row * l->k;
      if (at[i] >= s + WINDOW && chunk_count(row + s, WINDOW) == WINDOW)
        break;
    }
    if (i == rows) return s;
  }
  return -1;
}

/* One step in the window that begins at `first`: the nonzeros in it, or
 * zeros. */
static void window_pack(Packer *p, const Row *r, int rows, const int64_t *at,
                        int64_t first) {
  int lanes = p->p->lanes;
  p->first[p->steps] = (uint16_t)first;
  for (int i = 0; i < lanes; i++) {
    const float *w = p->w + (i < rows ? r[i].row * p->l->k + first : 0);
    int64_t k = i < rows ? at[i] - first : WINDOW;
    float value = k < WINDOW ? w[k] : 0;
    if (k >= WINDOW)
      for (k = 0; i < rows && k + 1 < WINDOW && w[k] != 0;) k++;
    p->values[p->steps * lanes + i] = value;
    /* The blend looks at the sign. */
    p->index[p->steps * lanes + i] =
      (uint8_t)(k % lanes + (k < lanes ? 0 : 0x80));
  }
  p->steps++;
}

/* A group's steps, which are counted only without p->values: each takes the
 * next nonzero of the outputs that have it in the window of the one that is
 * least far.  Returns how many, by UNROLL; -1 if there is an output without a
 * zero where it has to wait for others. */
static int windows_pack(Packer *p, const Row *r, int rows) {
  const Linear *l = p->l;
  int64_t at[WINDOW_LANES], first = 0;
  int steps = 0;
  for (int i = 0; i < rows; i++)
    at[i] = next_nonzero(p->w + r[i].row * l->k, 0, l->k);
  for (;;) {
    int64_t least = l->k;
    for (int i = 0; i < rows; i++)
      if (at[i] < least) least = at[i];
    if (least == l->k && steps % UNROLL == 0) return steps / UNROLL;
    first = window_find(l, p->w, r, rows, at, least);
    if (first < 0) return -1;
    if (p->values) window_pack(p, r, rows, at, first);
    for (int i = 0; i < rows; i++)
      if (at[i] < first + WINDOW)
        at[i] = next_nonzero(p->w + r[i].row * l->k, at[i] + 1, l->k);
    steps++;
  }
}

/* Steps, by UNROLL, of each group and chunk; returns their sum, -1 if they
 * cannot be made. */
static int64_t counts_find(const Perm *p, const Linear *l, const float *w,
                           const Row *rows, uint16_t *counts) {
  int64_t all = 0;
  Packer only = { .p = p, .l = l, .w = w };
  for (int64_t q = 0; q < p->groups; q++)
    for (int64_t c = 0; c < p->chunks; c++) {
      const Row *r = rows + q * p->lanes;
      int some = group_rows(p, l, q);
      int n = p->windows ? windows_pack(&only, r, some)
                         : group_count(p, l, w, r, some, c * p->chunk);
      if (n < 0) return -1;
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

/* With which group each part begins, and how many steps, by UNROLL, lie before
 * it. */
static int64_t starts_pack(Gen *g, const Perm *p, const Linear *l,
                           const uint16_t *counts) {
  int64_t whole = l->m / p->lanes;
  int64_t *cost = arena_array(g->a, int64_t, (size_t)p->groups + 1);
  int64_t *bound = arena_array(g->a, int64_t, (size_t)g->parts + 1);
  uint32_t *at = arena_array(g->a, uint32_t, 2 * (size_t)g->parts + 2);
  for (int64_t i = 0; i < p->groups * p->chunks; i++)
    cost[i / p->chunks] += counts[i];
  parts_cut(g, cost, whole, whole < p->groups ? cost[whole] : 0, bound);
  int64_t steps = 0, i = 0;
  for (int n = 0; n <= g->parts; n++) {
    for (; i < bound[n]; i++) steps += cost[i];
    at[2 * n] = (uint32_t)i, at[2 * n + 1] = (uint32_t)steps;
  }
  return blob_add(g, at, (2 * (size_t)g->parts + 2) * sizeof *at, 8);
}

/* Columns of UNROLL steps, of windows behind them where each begins. */
static int64_t index_pack(Gen *g, const Packer *to, size_t n) {
  size_t lanes = UNROLL * (size_t)to->p->lanes;
  if (!to->p->windows) return blob_add(g, to->index, n, 16);
  size_t each = lanes + UNROLL * sizeof *to->first, turns = n / lanes;
  uint8_t *bytes = arena_array(g->a, uint8_t, turns * each + 1);
  for (size_t i = 0; i < turns; i++) {
    memcpy(bytes + i * each, to->index + i * lanes, lanes);
    memcpy(bytes + i * each + lanes, to->first + i * UNROLL, each - lanes);
  }
  return blob_add(g, bytes, turns * each, 16);
}

static bool perm_pack(Gen *g, const Linear *l, Perm *out) {
  Perm p = { .lanes = g->t->lanes, .windows = g->t->lanes == WINDOW_LANES };
  p.chunk = p.windows ? l->k : p.lanes * PARTS;
  p.groups = (l->m + p.lanes - 1) / p.lanes;
  p.chunks = (l->k + p.chunk - 1) / p.chunk;
  Packer to = { .p = &p, .l = l, .w = operand_values(g, l->w) };
  size_t cells = (size_t)(p.groups * p.chunks);
  uint16_t *counts = arena_array(g->a, uint16_t, cells + 1);
  const Row *rows = rows_sort(g, l, to.w);
  int64_t steps = counts_find(&p, l, to.w, rows, counts) * UNROLL;
  if (steps < 0) return false;
  size_t n = (size_t)(steps * p.lanes);
  to.values = arena_array(g->a, float, n + 1);
  to.index = arena_array(g->a, uint8_t, n + 1);
  to.first = arena_array(g->a, uint16_t, (size_t)steps + 1);
  for (int64_t i = 0; i < p.groups * p.chunks; i++) {
    int64_t q = i / p.chunks, c = i % p.chunks;
    const Row *r = rows + q * p.lanes;
    if (p.windows)
      windows_pack(&to, r, group_rows(&p, l, q));
    else
      group_pack(&to, r, group_rows(&p, l, q), c * p.chunk,
                 counts[i] * UNROLL);
  }
  p.elem = weight_elem(g, l->w, false);
  p.values = blob_weights(g, p.elem, to.values, n, 64);
  p.index = index_pack(g, &to, n);
  p.counts = blob_add(g, counts, cells * sizeof *counts, 16);
  outputs_pack(g, &p, l, rows);
  p.starts = g->parts > 1 ? starts_pack(g, &p, l, counts) : -1;
  *out = p;
  return true;
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

/* Lane i: element index[i] mod 8 of x. */
static Val permute(Gen *g, Val x, Val index) {
  static const char name[] = "llvm.x86.avx2.permps";
  LLVMTypeRef in[] = { g->vec, g->veci };
  LLVMTypeRef type = LLVMFunctionType(g->vec, in, 2, false);
  Val fn = LLVMGetNamedFunction(g->m, name);
  if (!fn) fn = LLVMAddFunction(g->m, name, type);
  return LLVMBuildCall2(g->b, type, fn, (Val[]){ x, index }, 2, "");
}

/* Where the reading of the steps has got to. */
typedef struct At { Val value, index; } At;

/* Of UNROLL steps. */
static int index_bytes(const Perm *p) {
  return UNROLL * (p->lanes + (p->windows ? (int)sizeof(uint16_t) : 0));
}

/* The columns of step i, as i32. */
static Val step_index(Gen *g, const Perm *p, const At *at, int i) {
  LLVMTypeRef t = LLVMVectorType(g->i8, (unsigned)p->lanes);
  Val v = LLVMBuildLoad2(g->b, t, addrk(g, at->index, i * p->lanes), "");
  LLVMSetAlignment(v, p->windows ? 4 : (unsigned)p->lanes);
  return p->windows ? LLVMBuildSExt(g->b, v, g->veci, "")
                    : LLVMBuildZExt(g->b, v, g->veci, "");
}

/* In bytes, where the window of step i begins. */
static Val step_first(Gen *g, const Perm *p, const At *at, int i) {
  if (!p->windows) return NULL;
  int lies = UNROLL * p->lanes + i * (int)sizeof(uint16_t);
  return mul64(g, load_index(g, at->index, lies, 2), 4);
}

/* sum += weights times the values of x at the columns: in x[PARTS], or in
 * the window that begins at x[0] and `first`. */
static Val step_sum(Gen *g, const Perm *p, Val first, Val index, Val weights,
                    const Val *x, Val sum) {
  Val low, high, bit;
  if (p->windows) {
    Val at = addr(g, x[0], first);
    low = permute(g, load_vec(g, at, 0, 4), index);
    high = permute(g, load_vec(g, at, 4 * p->lanes, 4), index);
    bit = LLVMBuildICmp(g->b, LLVMIntSLT, index, const_like(g, index, 0), "");
  } else {
    low = permute2(g, x[0], index, x[1]);
    high = permute2(g, x[2], index, x[3]);
    bit = LLVMBuildAnd(g->b, index, const_like(g, index, 32), "");
    bit = LLVMBuildICmp(g->b, LLVMIntNE, bit, const_like(g, index, 0), "");
  }
  return fma_(g, weights, LLVMBuildSelect(g->b, bit, high, low, ""), sum);
}

/* The chunk from byte offset `from` on of a row: in registers, `width`
 * columns of it are there, or its address. */
static void chunk_load(Gen *g, const Perm *p, Val row, Val from,
                       int64_t width, Val *x) {
  x[0] = addr(g, row, from);
  for (int i = PARTS; !p->windows && i-- > 0;) {
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
    Val index = step_index(g, p, at, i), first = step_first(g, p, at, i);
    Val w = load_weights(g, p->elem, at->value, i * bytes, p->lanes);
    for (int r = 0; r < b->n; r++)
      sum[UNROLL * r + i] = step_sum(g, p, first, index, w, x + r * PARTS,
                                     sum[UNROLL * r + i]);
  }
  at->value = addrk(g, at->value, UNROLL * bytes);
  at->index = addrk(g, at->index, index_bytes(p));
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
                      (int64_t)elem_size(p->elem) * UNROLL * p->lanes);
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
  Perm p;
  if (!linear_permutes(g->t, n) || !perm_pack(g, &l, &p)) {
    emit_linear_csr(g, n);
    return;
  }
  linear_rows(g, &l, rows_emit, &p);
}
