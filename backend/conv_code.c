/* conv_code.c - conv2d_code and linear_code: products with sparse weights as
 * straight code for their pattern, on planes that lie as one line of vectors.
 *
 * A block of code sums up to 28 rows for one vector of pixels, a register
 * each: it loads each column of x that some of the rows use once, and takes
 * each weight as a broadcast operand from memory, in the order in which the
 * code comes.  The code of a block runs for the vectors of a chunk one after
 * the other, so that it stays in the first cache.  Columns beyond what a
 * block holds are another block, which goes on with sums from the stack.
 * The last one finishes and stores them, unless the activation is a function
 * of its own: then a loop does that.
 *
 * Code is read slowly where it is in no near cache: a block that runs for the
 * first time asks for the next one, as data, into the second.
 *
 * The code is text for LLVM's assembler, which takes a twentieth of the time
 * that LLVM takes for the same code from IR, and nothing is spilled.  It is
 * for AVX-512; elsewhere, and where a plane is no line, a table does the same
 * (conv_sparse.c). */
#include <math.h>
#include <string.h>

#include "backend/tiles.h"

/* Vectors a chunk, fewer where sums go over the stack; products of a block:
 * 27 KB of code at most. */
enum { CHUNK = 32, CHUNK_SUMS = 8, BLOCK_PRODUCTS = 2500 };
/* The registers behind the sums. */
enum { X_FIRST = CODE_ROWS, X_COUNT = 4, LOW = CODE_ROWS, HIGH = LOW + 1 };

typedef struct Code {
  const Conv *cv;
  Panels panels;
  const Vectors *v;
  int64_t chunk;
  bool by_chunk;        /* chunks are shared, else panels */
  bool halves;          /* of the plane, and panels in each */
  Val sums;             /* [chunk][CODE_ROWS] vectors on the stack */
  bool ahead_x, ahead_y;   /* ask for those of the next vector */
  bool clamps;          /* the activation, if any, is a clamp */
  double low, high;
} Code;

/* ---- text ------------------------------------------------------------ */

/* What the text of a block calls its operands. */
#define WEIGHTS "$0"   /* moves on */
#define X "$1"
#define SUMS "$2"
#define Y "$3"
#define R "$4"
#define MASK "$5"

typedef struct Writer {
  Text text;
  float *stream;        /* numbers in the order of the code */
  size_t n, begin;      /* of this block: from begin on */
  int64_t base;         /* the number that WEIGHTS stands on */
} Writer;

/* Text to write for the next number of the stream: the displacement of a
 * broadcast has 8 bits, of 4 bytes each. */
static const char *next(Writer *w, float v, char at[32]) {
  enum { REACH = 128 };
  int64_t d = (int64_t)w->n - w->base;
  if (d >= REACH) {
    text_printf(&w->text, "addq $$%d, " WEIGHTS "\n", 8 * REACH);
    w->base += 2 * REACH;
    d -= 2 * REACH;
  }
  w->stream[w->n++] = v;
  snprintf(at, 32, "%lld(" WEIGHTS ")", 4 * (long long)d);
  return at;
}

/* Byte offset in x of a column. */
static int64_t column_offset(const Conv *cv, int64_t column) {
  int64_t taps = cv->kh * cv->kw;
  return 4 * (column / taps) * cv->xs[1] + conv_tap(cv, column % taps);
}

/* The sums begin with the bias, or where the block before left them. */
static void sums_begin(Writer *w, const float *bias, int rows, bool first) {
  char at[32];
  for (int i = 0; i < rows; i++)
    if (!first)
      text_printf(&w->text, "vmovaps %d(" SUMS "), %%zmm%d\n", 64 * i, i);
    else if (bias)
      text_printf(&w->text, "vbroadcastss %s, %%zmm%d\n",
                  next(w, bias[i], at), i);
    else
      text_printf(&w->text, "vxorps %%xmm%d, %%xmm%d, %%xmm%d\n", i, i, i);
}

/* Products from column *from on, as many columns as a block holds; `ahead`:
 * each asks for the x of the next vector. */
static void products(Writer *w, const Conv *cv, const float *row, int rows,
                     int64_t *from, bool ahead) {
  int64_t columns = cv->cg * cv->kh * cv->kw;
  size_t begin = w->n;
  char at[32];
  int x = X_FIRST;
  for (; *from < columns && w->n - begin < BLOCK_PRODUCTS; ++*from) {
    bool loaded = false;
    for (int i = 0; i < rows; i++) {
      float v = row[i * columns + *from];
      if (v == 0) continue;
      if (!loaded)
        text_printf(&w->text, "vmovups %lld(" X "), %%zmm%d\n",
                    (long long)column_offset(cv, *from), x);
      if (!loaded && ahead)
        text_printf(&w->text, "prefetcht0 %lld(" X ")\n",
                    (long long)column_offset(cv, *from) + 64);
      loaded = true;
      text_printf(&w->text, "vfmadd231ps %s{1to16}, %%zmm%d, %%zmm%d\n",
                  next(w, v, at), x, i);
    }
    if (loaded && ++x == X_FIRST + X_COUNT) x = X_FIRST;
  }
}

static void sums_leave(Writer *w, int rows) {
  for (int i = 0; i < rows; i++)
    text_printf(&w->text, "vmovaps %%zmm%d, %d(" SUMS ")\n", i, 64 * i);
}

/* max and min give their first operand (the last in this syntax but one)
 * where it is larger or smaller, else the second: NaN and zeros stay. */
static void sums_store(Writer *w, const Code *d, int rows) {
  const Conv *cv = d->cv;
  bool last = cv->r && attr_bool(cv->n, "add_last");
  char at[32];
  Text *t = &w->text;
  if (d->clamps) {
    text_printf(t, "vbroadcastss %s, %%zmm%d\n",
                next(w, (float)d->low, at), LOW);
    text_printf(t, "vbroadcastss %s, %%zmm%d\n",
                next(w, (float)d->high, at), HIGH);
  }
  if (d->v->mask >= 0) text_puts(t, "kmovw (" MASK "), %k1\n");
  for (int i = 0; i < rows; i++) {
    long long r = 4LL * i * cv->rs[1], y = 4LL * i * cv->ys[1];
    if (cv->r && !last)
      text_printf(t, "vaddps %lld(" R "), %%zmm%d, %%zmm%d\n", r, i, i);
    if (d->clamps)
      text_printf(t, "vmaxps %%zmm%d, %%zmm%d, %%zmm%d\n"
                  "vminps %%zmm%d, %%zmm%d, %%zmm%d\n", i, LOW, i, i, HIGH,
                  i);
    if (last)
      text_printf(t, "vaddps %lld(" R "), %%zmm%d, %%zmm%d\n", r, i, i);
    if (d->v->mask >= 0)
      text_printf(t, "vmovaps %%zmm%d, %%zmm%d{%%k1}{z}\n", i, i);
    text_printf(t, "vmovups %%zmm%d, %lld(" Y ")\n", i, y);
    if (d->ahead_y) text_printf(t, "prefetchw %lld(" Y ")\n", y + 64);
  }
}

/* ---- blocks ---------------------------------------------------------- */

/* Where a block finds x and so on. */
typedef struct Operands { Val weights, x, sums, y, r, mask; } Operands;

static void asm_call(Gen *g, const Text *code, const Operands *o) {
  enum { COUNT = 6 };
  Val in[COUNT] = { o->x, o->sums, o->y, o->r ? o->r : o->y,
                    o->mask ? o->mask : o->y, o->weights };
  LLVMTypeRef types[COUNT];
  Text bound = {0};
  for (int i = 0; i < COUNT; i++) types[i] = g->ptr;
  LLVMTypeRef type = LLVMFunctionType(g->ptr, types, COUNT, false);
  text_puts(&bound, "=r,r,r,r,r,r,0,~{memory},~{flags},~{k1}");
  for (int i = 0; i < 32; i++) text_printf(&bound, ",~{zmm%d}", i);
  Val a = LLVMGetInlineAsm(type, code->s, code->n, bound.s, bound.n, true,
                           false, LLVMInlineAsmDialectATT, false);
  Val call = LLVMBuildCall2(g->b, type, a, in, COUNT, "");
  /* LLVM takes the text for an instruction, and might unroll loops of it. */
  unsigned kind = LLVMGetEnumAttributeKindForName("noduplicate", 11);
  LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex,
                           LLVMCreateEnumAttribute(g->c, kind, 0));
  text_free(&bound);
}

/* The labels where block number k begins and ends. */
static void label(Text *t, int64_t k, const char *end) {
  text_printf(t, ".Ltamis_block%lld%s", (long long)k, end);
}

/* Ask for the code of a block. */
static void block_fetch(Gen *g, int64_t k) {
  static const char bound[] = "=&r,=&r,~{memory},~{flags}";
  LLVMTypeRef r[] = { g->ptr, g->ptr };
  LLVMTypeRef type = LLVMFunctionType(
      LLVMStructTypeInContext(g->c, r, 2, false), NULL, 0, false);
  Text t = {0};
  text_puts(&t, "leaq ");
  label(&t, k, "");
  text_puts(&t, "(%rip), $0\nleaq ");
  label(&t, k, "_end");
  text_puts(&t, "(%rip), $1\n1:\nprefetcht1 ($0)\naddq $$64, $0\n"
            "cmpq $1, $0\njb 1b\n");
  Val a = LLVMGetInlineAsm(type, t.s, t.n, bound, sizeof bound - 1, true,
                           false, LLVMInlineAsmDialectATT, false);
  LLVMBuildCall2(g->b, type, a, NULL, 0, "");
  text_free(&t);
}

/* In the first chunk, at the first block this one and then always the next,
 * when there is one. */
static void blocks_fetch(Gen *g, Val first, bool begins, bool more) {
  If once;
  if_begin(g, &once, LLVMBuildICmp(g->b, LLVMIntEQ, first, k64(g, 0), ""));
  if (begins) block_fetch(g, g->blocks);
  if (more) block_fetch(g, g->blocks + 1);
  if_end(g, &once);
}

/* The vectors of a chunk: numbers [first, end). */
typedef struct Chunk { Val first, end, x, y, r; } Chunk;

/* Run a block, which stores rows from `row` on, for each vector. */
static void block_run(Gen *g, const Code *d, const Chunk *c, const Writer *w,
                      int64_t row) {
  const Conv *cv = d->cv;
  size_t bytes = (w->n - w->begin) * sizeof *w->stream;
  int64_t at = blob_add(g, w->stream + w->begin, bytes, 64);
  Loop tile;
  Spots s;
  loop_begin(g, &tile, c->first, c->end, 1, true, "vector");
  conv_spots(g, cv, d->v, tile.iv, 1, c->x, c->y, c->r, &s);
  Val nth = LLVMBuildSub(g->b, tile.iv, c->first, "");
  Operands o = { .weights = blob_ptr(g, at + 512), .x = s.x[0] };
  o.sums = addr_at(g, d->sums, nth, 64 * CODE_ROWS);
  o.y = addrk(g, s.y[0], 4 * row * cv->ys[1]);
  if (cv->r) o.r = addrk(g, s.r[0], 4 * row * cv->rs[1]);
  o.mask = s.mask;
  asm_call(g, &w->text, &o);
  loop_end(g, &tile);
}

/* Activation and the rest of `rows` rows from `first` on, from the stack. */
static void rows_finish(Gen *g, const Code *d, const Chunk *c, int64_t first,
                        int rows) {
  Loop row, tile;
  Spots s;
  loop_begin(g, &row, k64(g, 0), k64(g, rows), 1, true, "row");
  Val plane = add64(g, row.iv, k64(g, first));
  Val from = addr_at(g, d->sums, row.iv, 64);
  loop_begin(g, &tile, c->first, c->end, 1, true, "vector");
  conv_spots(g, d->cv, d->v, tile.iv, 1, c->x, c->y, c->r, &s);
  Val nth = LLVMBuildSub(g->b, tile.iv, c->first, "");
  Val v = load_vec(g, addr_at(g, from, nth, 64 * CODE_ROWS), 0, 64);
  spot_store(g, d->cv, &s, 0, v, plane);
  loop_end(g, &tile);
  loop_end(g, &row);
}

/* ---- all of it ------------------------------------------------------- */

/* Does the code finish its sums itself? */
static bool finishes(const Code *d) {
  return d->clamps || !attr_str(d->cv->n, "act")[0];
}

static void emit_panel(Gen *g, const Code *d, const Chunk *c, int64_t first,
                       int rows) {
  const Conv *cv = d->cv;
  int64_t columns = cv->cg * cv->kh * cv->kw, from = 0;
  const float *w = operand_values(g, cv->w) + first * columns;
  const float *bias = cv->b ? operand_values(g, cv->b) + first : NULL;
  /* Weights, biases, the bounds of a clamp. */
  size_t room = (size_t)(rows * columns + rows + 2);
  Writer to = { .stream = arena_array(g->a, float, room) };
  do {
    bool begins = from == 0;
    to.text.n = 0;
    to.begin = to.n;
    to.base = (int64_t)to.n + 128;
    label(&to.text, g->blocks, ":\n");
    sums_begin(&to, bias, rows, begins);
    products(&to, cv, w, rows, &from, d->ahead_x && first == 0);
    if (from < columns || !finishes(d)) sums_leave(&to, rows);
    else sums_store(&to, d, rows);
    label(&to.text, g->blocks, "_end:\n");
    bool more = from < columns || first + rows < cv->o;
    blocks_fetch(g, c->first, begins && first == 0, more);
    block_run(g, d, c, &to, first);
    g->blocks++;
  } while (from < columns);
  text_free(&to.text);
  if (!finishes(d)) rows_finish(g, d, c, first, rows);
}

static void emit_chunk(Gen *g, const Code *d, const Chunk *c) {
  int64_t first = 0;
  int64_t all = d->panels.n[0] + d->panels.n[1], nth = 0;
  for (int z = 0; z < 2; z++)
    for (int64_t i = 0; i < d->panels.n[z]; i++, nth++) {
      Once one;
      part_begin(g, &one, nth * g->parts / all);
      emit_panel(g, d, c, first, d->panels.size[z]);
      once_end(g, &one);
      first += d->panels.size[z];
    }
}

/* The vectors of the half that the part at hand belongs to: the code is the
 * same for both. */
static void half_take(Gen *g, const Code *d, Val *first, Val *end) {
  Val half = k64(g, g->parts / 2), middle = k64(g, d->v->count / 2);
  Val low = LLVMBuildICmp(g->b, LLVMIntSLT, g->part, half, "");
  *first = LLVMBuildSelect(g->b, low, k64(g, 0), middle, "");
  *end = LLVMBuildSelect(g->b, low, middle, *end, "");
  g->part = LLVMBuildSelect(g->b, low, g->part,
                            LLVMBuildNSWSub(g->b, g->part, half, ""), "");
  g->parts /= 2;
  g->divided = true;
}

static void emit_image(Gen *g, void *ctx, Val x, Val y, Val r) {
  const Code *d = ctx;
  Val all = k64(g, d->v->count), first = k64(g, 0), part = g->part;
  Loop l;
  if (d->halves) half_take(g, d, &first, &all);
  if (d->by_chunk)
    loop_share(g, &l, 0, d->v->count, d->chunk, "chunk");
  else
    loop_begin(g, &l, first, all, d->chunk, true, "chunk");
  Val end = add64(g, l.iv, k64(g, d->chunk));
  Val over = LLVMBuildICmp(g->b, LLVMIntSGT, end, all, "");
  end = LLVMBuildSelect(g->b, over, all, end, "");
  emit_chunk(g, d, &(Chunk){ l.iv, end, x, y, r });
  loop_end(g, &l);
  if (!d->halves) return;
  g->parts *= 2;
  g->part = part;
}

/* Of any 28 rows, no fewer than a panel has. */
static int64_t most_products(Gen *g, const Conv *cv) {
  int64_t columns = cv->cg * cv->kh * cv->kw, most = 0, n = 0;
  const float *w = operand_values(g, cv->w);
  for (int64_t i = 0; i < cv->o; i++) {
    for (int64_t k = 0; k < columns; k++) n += w[i * columns + k] != 0;
    if (i >= CODE_ROWS)
      for (int64_t k = 0; k < columns; k++)
        n -= w[(i - CODE_ROWS) * columns + k] != 0;
    if (n > most) most = n;
  }
  return most;
}

/* relu and the like as bounds. */
static bool clamp_of(const Node *n, double *low, double *high) {
  const char *act = attr_str(n, "act");
  bool clip = strcmp(act, "clip") == 0, six = strcmp(act, "relu6") == 0;
  *low = clip ? attr_float(n, "lo") : 0;
  *high = clip ? attr_float(n, "hi") : six ? 6 : INFINITY;
  return clip || six || strcmp(act, "relu") == 0;
}

/* What parts share: chunks, as many as four threads have in common, or where
 * the plane is too small for that, its halves and panels. */
static void share(const Gen *g, Code *d) {
  int64_t chunks = (d->v->count + d->chunk - 1) / d->chunk;
  d->by_chunk = g->parts <= 1 || 2 * chunks > d->panels.n[0] + d->panels.n[1];
  d->halves = !d->by_chunk && has_halves(g) && d->v->count > 3;
  if (g->parts <= 1 || !d->by_chunk) return;
  chunks = (chunks + 3) / 4 * 4;
  d->chunk = (d->v->count + chunks - 1) / chunks;
}

void conv_emit_code(Gen *g, const Conv *cv) {
  Vectors v[2];
  bool code = g->t->lanes == 16 && strcmp(g->t->arch, "x86_64") == 0;
  bool bias = !cv->b || cv->b->op == OP_PARAM;
  if (!code || !bias || !cv->flat || cv->groups > 1 ||
      conv_vectors(g, cv, v) > 1 || v[0].lanes < 16) {
    conv_emit_table(g, cv, 1);
    return;
  }
  Code d = { .cv = cv, .panels = panels_cut(cv->o, CODE_ROWS), .v = &v[0] };
  d.clamps = clamp_of(cv->n, &d.low, &d.high);
  bool once = finishes(&d) && most_products(g, cv) <= BLOCK_PRODUCTS;
  d.chunk = once ? CHUNK : CHUNK_SUMS;
  int64_t xbytes = conv_x_bytes(cv), ybytes = conv_y_bytes(cv);
  d.ahead_x = xbytes > FAR_BYTES;
  d.ahead_y = xbytes + ybytes > FAR_BYTES && 2 * ybytes >= xbytes;
  share(g, &d);
  d.sums = once ? value_ptr(g, cv->n)
                : stack_array(g, g->vec, CHUNK_SUMS * CODE_ROWS);
  conv_clear(g, cv);
  conv_images(g, cv, emit_image, &d);
}

void emit_conv2d_code(Gen *g, const Node *n) {
  Conv cv;
  conv_init(g, n, &cv);
  conv_emit_code(g, &cv);
}

void emit_linear_code(Gen *g, const Node *n) {
  Conv cv;
  conv_init_tokens(g, n, &cv);
  conv_emit_code(g, &cv);
}
