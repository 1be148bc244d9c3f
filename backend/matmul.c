/* matmul.c - products of matrices that the graph computes, in any layout:
 * nothing is packed.
 *
 * Where b is dense along its columns (or a along its rows: then the product
 * is taken transposed), a register tile of R rows times T vectors of columns
 * adds up one outer product for each k.  Where both are dense along k, a
 * tile of R x C dot products adds up vectors of k, whose lanes are summed at
 * the end.  Batch dimensions are loops around it, by a stride of 0 where an
 * operand has them not. */
#include "backend/matmul.h"

/* ---- geometry -------------------------------------------------------- */

static void mat_strides(const Node *n, Mat *t) {
  const Node *a = n->in[0], *b = n->in[1];
  int64_t s[MAX_RANK];
  int last = n->type.rank - 1, la = a->type.rank - 1, lb = b->type.rank - 1;
  bool ta = attr_bool(n, "transpose_a"), tb = attr_bool(n, "transpose_b");
  value_strides(n, s);
  t->ym = s[last - 1], t->yn = s[last];
  t->nbatch = last - 1;
  for (int i = 0; i < t->nbatch; i++) {
    t->batch[i].dim = n->type.dim[i];
    t->batch[i].y = s[i];
  }
  value_strides(a, s);
  t->am = s[la - !ta], t->ak = s[la - ta];
  for (int i = 0; i < la - 1; i++)
    t->batch[i + last - la].a = a->type.dim[i] == 1 ? 0 : s[i];
  value_strides(b, s);
  t->bk = s[lb - !tb], t->bn = s[lb - tb];
  for (int i = 0; i < lb - 1; i++)
    t->batch[i + last - lb].b = b->type.dim[i] == 1 ? 0 : s[i];
}

/* Batch axes with one b, side by side in a and y, are more rows. */
static void batch_to_rows(Gen *g, Mat *t) {
  while (t->nbatch > 0) {
    int i = t->nbatch - 1;
    Val count = t->batch[i].count;
    if (t->batch[i].dim != 1 || count) {
      if (t->mc || t->batch[i].b != 0 || t->batch[i].a != t->m * t->am ||
          t->batch[i].y != t->m * t->ym)
        return;
      if (count) t->mc = mul64(g, count, t->m);
      t->m *= t->batch[i].dim;
    }
    t->nbatch--;
  }
}

static void mat_transpose(Mat *t) {
  Mat was = *t;
  t->m = was.n, t->n = was.m;
  t->mc = was.nc, t->nc = was.mc;
  t->em = was.en, t->en = was.em;
  t->turned = !was.turned;
  t->am = was.bn, t->ak = was.bk, t->bk = was.ak, t->bn = was.am;
  t->ym = was.yn, t->yn = was.ym;
  for (int i = 0; i < t->nbatch; i++)
    t->batch[i].a = was.batch[i].b, t->batch[i].b = was.batch[i].a;
}

static void mat_counts(Gen *g, const Node *n, Mat *t) {
  const Type *a = &n->in[0]->type;
  int last = n->type.rank - 1, la = a->rank - 1;
  t->mc = axis_count(g, &n->type, last - 1);
  t->nc = axis_count(g, &n->type, last);
  t->kc = axis_count(g, a, la - attr_bool(n, "transpose_a"));
  for (int i = 0; i < t->nbatch; i++)
    t->batch[i].count = axis_count(g, &n->type, i);
}

static void mat_init(Gen *g, const Node *n, Mat *t) {
  MatmulSizes s = matmul_sizes(n);
  *t = (Mat){ .m = s.m, .n = s.n, .k = s.k };
  mat_strides(n, t);
  mat_counts(g, n, t);
  batch_to_rows(g, t);
}

/* Dot products?  Else vectors run along the columns, after the product has
 * been transposed where the rows suit better. */
static bool choose_form(Mat *t, int lanes) {
  bool cols = t->bn == 1, rows = t->am == 1;
  bool dots = t->ak == 1 && t->bk == 1 && t->k > 1;
  if (cols && t->n >= lanes) return false;
  if (!(rows && t->m >= lanes)) {
    if (dots && t->k >= lanes) return true;
    if (cols && t->n > 1) return false;
    if (!(rows && t->m > 1)) return dots;
  }
  mat_transpose(t);
  return false;
}

/* ---- blocks ---------------------------------------------------------- */

typedef void BlockBody(Gen *g, const Mat *t, const At *at, int n, void *ctx);

typedef struct Block {
  int64_t total, a, b, y, e; /* elements; bytes from one to the next */
  int size;
  bool share;                /* by the parts of the step */
  Val count;                 /* in place of total, where it is free */
} Block;

static At at_moved(Gen *g, const At *at, const Block *b, Val i) {
  At r;
  r.a = addr_at(g, at->a, i, b->a);
  r.b = addr_at(g, at->b, i, b->b);
  r.y = addr_at(g, at->y, i, b->y);
  r.e = at->e ? addr_at(g, at->e, i, b->e) : NULL;
  return r;
}

/* The same of an axis whose size is known at run time. */
typedef struct Counted {
  const Mat *t;
  const At *at;
  const Block *b;
  BlockBody *body;
  void *ctx;
} Counted;

static void counted_block(Gen *g, Val first, int n, const void *ctx) {
  const Counted *c = ctx;
  At in = at_moved(g, c->at, c->b, first);
  c->body(g, c->t, &in, n, c->ctx);
}

/* Run body for all of an axis, `size` at a time, and for what is left. */
static void each_block(Gen *g, const Mat *t, const At *at, const Block *b,
                       BlockBody *body, void *ctx) {
  int64_t whole = b->total / b->size * b->size;
  if (b->count) {
    Counted c = { t, at, b, body, ctx };
    Val done = counted_whole(g, b->count, b->size, counted_block, &c);
    counted_rest(g, b->count, done, b->size, counted_block, &c);
    return;
  }
  if (whole) {
    Loop l;
    loop_either(g, &l, b->share, 0, whole, b->size, "block");
    At in = at_moved(g, at, b, l.iv);
    body(g, t, &in, b->size, ctx);
    loop_end(g, &l);
  }
  if (whole == b->total) return;
  Once last;
  once_either(g, &last, b->share);
  At in = at_moved(g, at, b, k64(g, whole));
  body(g, t, &in, (int)(b->total - whole), ctx);
  once_end(g, &last);
}

/* ---- vectors of columns ---------------------------------------------- */

enum { TILE_VECTORS = 8 };

/* A panel of columns: vectors, and the lanes of the last of them, which a mask
 * may tell. */
typedef struct Cols { int t, last; Val mask; } Cols;

static int lanes_of(const Gen *g, const Cols *c, int i) {
  return i + 1 < c->t ? g->t->lanes : c->last;
}

/* n elements `stride` apart, or those side by side that the mask has. */
static Val run_load(Gen *g, Val p, int64_t off, int64_t stride, int n,
                    Val mask) {
  if (n == 0) return load_f32(g, p, off);
  if (stride == 0) return vsplat(g, load_f32(g, p, off));
  if (mask) return load_words(g, F32, addrk(g, p, off), mask);
  if (stride == 1) return load_lanes(g, p, off, n);
  Val v = vzero(g);
  for (int i = 0; i < n; i++)
    v = vinsert(g, v, load_f32(g, p, off + 4 * i * stride), i);
  return v;
}

Val mat_beside(Gen *g, const MatSpot *s, int64_t stride) {
  return run_load(g, s->e, s->eoff, stride, s->n, s->mask);
}

static void store_row(Gen *g, const Mat *t, Val v, const MatSpot *s) {
  if (s->mask) {
    store_words(g, v, addrk(g, s->y, s->yoff), s->mask);
    return;
  }
  if (t->yn == 1) {
    store_lanes(g, v, s->y, s->yoff, s->n);
    return;
  }
  for (int i = 0; i < s->n; i++)
    store_f32(g, vlane(g, v, i), s->y, s->yoff + 4 * i * t->yn);
}

static MatSpot spot_of(const Mat *t, const At *at, int64_t row, int64_t col,
                       int n, Val mask) {
  return (MatSpot){ at->y, at->e, 4 * (row * t->ym + col * t->yn),
                    4 * (row * t->em + col * t->en), n, mask };
}

static Val sum_first(Gen *g, const Mat *t, const MatSpot *s) {
  if (t->first) return t->first(g, t, s);
  return s->n ? vzero(g) : kf(g, 0);
}

static Val sum_last(Gen *g, const Mat *t, const MatSpot *s, Val sum) {
  return t->last ? t->last(g, t, s, sum) : sum;
}

static void outer_tile(Gen *g, const Mat *t, const At *at, int rows,
                       void *ctx) {
  const Cols *c = ctx;
  Val acc[LOOP_CARRY_MAX], x[TILE_VECTORS], a = at->a, b = at->b;
  int lanes = g->t->lanes;
  ensure(rows * c->t + 2 <= LOOP_CARRY_MAX && c->t <= TILE_VECTORS);
  for (int r = 0; r < rows; r++)
    for (int i = 0; i < c->t; i++) {
      MatSpot s = spot_of(t, at, r, i * lanes, lanes_of(g, c, i), c->mask);
      acc[r * c->t + i] = sum_first(g, t, &s);
    }
  Loop k;
  loop_begin(g, &k, k64(g, 0), t->kc ? t->kc : k64(g, t->k), 1,
             t->k > 0 && !t->kc, "k");
  loop_carry(g, &k, &a);
  loop_carry(g, &k, &b);
  for (int i = 0; i < rows * c->t; i++) loop_carry(g, &k, &acc[i]);
  for (int i = 0; i < c->t; i++)
    x[i] = run_load(g, b, 4 * i * lanes * t->bn, t->bn, lanes_of(g, c, i),
                    c->mask);
  for (int r = 0; r < rows; r++) {
    Val s = vsplat(g, load_f32(g, a, 4 * r * t->am));
    for (int i = 0; i < c->t; i++)
      acc[r * c->t + i] = fma_(g, s, x[i], acc[r * c->t + i]);
  }
  a = addrk(g, a, 4 * t->ak);
  b = addrk(g, b, 4 * t->bk);
  loop_end(g, &k);
  for (int r = 0; r < rows; r++)
    for (int i = 0; i < c->t; i++) {
      MatSpot s = spot_of(t, at, r, i * lanes, lanes_of(g, c, i), c->mask);
      store_row(g, t, sum_last(g, t, &s, acc[r * c->t + i]), &s);
    }
}

static bool shares_rows(const Mat *t) { return t->share > t->nbatch; }

static bool shares_cols(const Mat *t) { return t->share == t->nbatch; }

static void outer_panel(Gen *g, const Mat *t, const At *at, int n,
                        void *ctx) {
  int lanes = g->t->lanes, regs = g->t->vregs >= 32 ? 27 : 12;
  Cols c = { (n + lanes - 1) / lanes, (n - 1) % lanes + 1, ctx };
  Block rows = { t->m, 4 * t->am, 0, 4 * t->ym, 4 * t->em, regs / c.t,
                 shares_rows(t), t->mc };
  if (rows.size > 12) rows.size = 12;
  if (rows.size > t->m) rows.size = (int)t->m;
  each_block(g, t, at, &rows, outer_tile, &c);
}

/* Columns that are counted at run time: tiles, vectors, and the lanes of the
 * last one. */
static void outer_counted(Gen *g, const Mat *t, const At *at, int tile) {
  int lanes = g->t->lanes;
  bool dense = t->bn == 1 && t->yn == 1 && (t->en == 0 || t->en == 1);
  Block b = { 0, 0, 4 * t->bn, 4 * t->yn, 4 * t->en, tile * lanes, false,
              NULL };
  Val from = k64(g, 0), to;
  Loop l;
  for (int n = tile * lanes; n > 0; n = n > lanes ? lanes
                                        : n > 1 && !dense ? 1 : 0) {
    to = LLVMBuildUDiv(g->b, t->nc, k64(g, n), "");
    to = mul64(g, to, n);
    loop_begin(g, &l, from, to, n, false, "cols");
    At in = at_moved(g, at, &b, l.iv);
    outer_panel(g, t, &in, n, NULL);
    loop_end(g, &l);
    from = to;
  }
  if (!dense) return;
  If f;
  Val left = LLVMBuildNSWSub(g->b, t->nc, from, "");
  if_begin(g, &f, LLVMBuildICmp(g->b, LLVMIntSGT, left, k64(g, 0), ""));
  At in = at_moved(g, at, &b, from);
  outer_panel(g, t, &in, lanes, lanes_below(g, left));
  if_end(g, &f);
}

/* A single row takes more vectors, or its sums would wait for one another. */
static void emit_outer(Gen *g, const Mat *t, const At *at) {
  int tile = t->m == 1 ? TILE_VECTORS : g->t->vregs >= 32 ? 3 : 2;
  if (t->nc) {
    outer_counted(g, t, at, tile);
    return;
  }
  Block cols = { t->n, 0, 4 * t->bn, 4 * t->yn, 4 * t->en,
                 tile * g->t->lanes, shares_cols(t), NULL };
  each_block(g, t, at, &cols, outer_panel, NULL);
}

/* ---- dot products ---------------------------------------------------- */

/* n elements, or those of the mask. */
static Val load_dot(Gen *g, Val p, int64_t off, int n, Val mask) {
  return mask ? load_words(g, F32, addrk(g, p, off), mask)
              : load_lanes(g, p, off, n);
}

/* acc += n elements from k on, of all pairs of a row and a column. */
static void dot_step(Gen *g, const Mat *t, const At *at, int rows, int cols,
                     int n, Val mask, Val *acc) {
  Val b[TILE_VECTORS];
  for (int c = 0; c < cols; c++)
    b[c] = load_dot(g, at->b, 4 * c * t->bn, n, mask);
  for (int r = 0; r < rows; r++) {
    Val a = load_dot(g, at->a, 4 * r * t->am, n, mask);
    for (int c = 0; c < cols; c++)
      acc[r * cols + c] = fma_(g, a, b[c], acc[r * cols + c]);
  }
}

static void dot_tile(Gen *g, const Mat *t, const At *at, int rows,
                     void *ctx) {
  int cols = *(const int *)ctx, lanes = g->t->lanes;
  int64_t whole = t->k / lanes * lanes;
  Val acc[LOOP_CARRY_MAX];
  At in = *at;
  ensure(rows * cols + 2 <= LOOP_CARRY_MAX && cols <= TILE_VECTORS);
  for (int i = 0; i < rows * cols; i++) acc[i] = vzero(g);
  Loop k;
  Val end = t->kc ? and64(g, t->kc, -lanes) : k64(g, whole);
  loop_begin(g, &k, k64(g, 0), end, lanes, whole > 0 && !t->kc, "k");
  loop_carry(g, &k, &in.a);
  loop_carry(g, &k, &in.b);
  for (int i = 0; i < rows * cols; i++) loop_carry(g, &k, &acc[i]);
  dot_step(g, t, &in, rows, cols, lanes, NULL, acc);
  in.a = addrk(g, in.a, 4 * lanes);
  in.b = addrk(g, in.b, 4 * lanes);
  loop_end(g, &k);
  Val left = t->kc ? LLVMBuildNSWSub(g->b, t->kc, end, "") : NULL;
  if (left)
    dot_step(g, t, &in, rows, cols, lanes, lanes_below(g, left), acc);
  else if (whole < t->k)
    dot_step(g, t, &in, rows, cols, (int)(t->k - whole), NULL, acc);
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < cols; c++) {
      MatSpot s = spot_of(t, at, r, c, 0, NULL);
      Val sum = vsum(g, acc[r * cols + c]);
      if (t->first) sum = addf(g, sum, sum_first(g, t, &s));
      store_f32(g, sum_last(g, t, &s, sum), at->y, s.yoff);
    }
}

static void dot_panel(Gen *g, const Mat *t, const At *at, int n, void *ctx) {
  Block rows = { t->m, 4 * t->am, 0, 4 * t->ym, 4 * t->em,
                 *(const int *)ctx, shares_rows(t), t->mc };
  each_block(g, t, at, &rows, dot_tile, &n);
}

static void emit_dots(Gen *g, const Mat *t, const At *at) {
  int side = g->t->vregs >= 32 ? 4 : 3;
  Block cols = { t->n, 0, 4 * t->bn, 4 * t->yn, 4 * t->en, side,
                 shares_cols(t), t->nc };
  each_block(g, t, at, &cols, dot_panel, &side);
}

/* ---- batches --------------------------------------------------------- */

static void emit_batch(Gen *g, const Mat *t, bool dots, int axis, At at) {
  if (axis == t->nbatch) {
    if (dots) emit_dots(g, t, &at);
    else emit_outer(g, t, &at);
    return;
  }
  Loop l;
  Block b = { t->batch[axis].dim, 4 * t->batch[axis].a,
              4 * t->batch[axis].b, 4 * t->batch[axis].y, 0, 1,
              t->share == axis, t->batch[axis].count };
  if (b.count) loop_begin(g, &l, k64(g, 0), b.count, 1, false, "batch");
  else loop_either(g, &l, b.share, 0, b.total, 1, "batch");
  emit_batch(g, t, dots, axis + 1, at_moved(g, &at, &b, l.iv));
  loop_end(g, &l);
}

/* Columns go in tiles of some vectors, rows in some of a tile. */
static int share_level(const Gen *g, const Mat *t, bool dots) {
  int64_t count[MAX_RANK + 2];
  for (int i = 0; i < t->nbatch; i++) count[i] = t->batch[i].dim;
  count[t->nbatch] = t->n / (dots ? 4 : 3 * g->t->lanes);
  count[t->nbatch + 1] = t->m / (dots ? 4 : 9);
  return parts_level(g, count, t->nbatch + 2);
}

/* What is not stepped along may count as dense; dot products? */
static bool form_of(Gen *g, Mat *t) {
  if (t->m == 1 && !t->mc) t->am = t->ym = 1;
  if (t->n == 1 && !t->nc) t->bn = t->yn = 1;
  if (t->k == 1 && !t->kc) t->ak = t->bk = 1;
  return choose_form(t, g->t->lanes);
}

static void mat_build(Gen *g, const Mat *t, bool dots, At at) {
  if (t->turned) {
    Val a = at.a;
    at.a = at.b, at.b = a;
  }
  emit_batch(g, t, dots, 0, at);
}

void mat_emit(Gen *g, Mat *t, At at) {
  bool dots = form_of(g, t);
  mat_build(g, t, dots, at);
}

void emit_matmul(Gen *g, const Node *n) {
  Mat t;
  if (type_elems(&n->type) == 0) return;
  mat_init(g, n, &t);
  bool dots = form_of(g, &t);
  t.share = share_level(g, &t, dots);
  At at = { value_ptr(g, n->in[0]), value_ptr(g, n->in[1]),
            value_ptr(g, n), NULL };
  mat_build(g, &t, dots, at);
  clear_halo(g, n);
}
