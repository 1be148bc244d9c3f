/* table.c - nonzero blocks of a constant matrix as tables for loop kernels,
 * and the code that reads them. */
#include "backend/tiles.h"

#include <stdlib.h>
#include <string.h>

/* A row of blocks and how many it has. */
typedef struct Unit { int64_t row, count; } Unit;

typedef struct Packer {
  const float *w;        /* of the group at hand */
  int64_t cols;
  float *values;
  uint8_t *index, *heads;
  int64_t nvalues, nindex, nheads;
} Packer;

/* The first column from c on with a nonzero in one of h rows at w. */
static int64_t column_next(const float *w, int64_t cols, int h, int64_t c) {
  for (; c < cols; c++)
    for (int i = 0; i < h; i++)
      if (w[i * cols + c] != 0) return c;
  return cols;
}

static int64_t columns_in(const float *w, int64_t cols, int h) {
  int64_t n = 0;
  for (int64_t c = -1; (c = column_next(w, cols, h, c + 1)) < cols;) n++;
  return n;
}

static int by_count(const void *pa, const void *pb) {
  const Unit *a = pa, *b = pb;
  if (a->count != b->count) return a->count > b->count ? -1 : 1;
  return a->row < b->row ? -1 : a->row > b->row;
}

static void put(uint8_t *at, int bytes, int64_t i, int64_t v) {
  for (int k = 0; k < bytes; k++)
    at[i * bytes + k] = (uint8_t)(v >> (8 * k));
}

/* The first column where all h rows are zero. */
static int64_t column_empty(const float *w, int64_t cols, int h) {
  int64_t c = 0;
  while (column_next(w, cols, h, c) == c) c++;
  return c;
}

/* One head and its blocks: n units of h rows, the fullest first.  A unit
 * with fewer blocks goes on with zeros, at a column where its weights are
 * zero: what x holds there gets no weight it did not have. */
static void pack_head(Packer *p, const Table *t, const Unit *u, int n,
                      int h) {
  int64_t at[TABLE_ROWS_MAX];
  put(p->heads, t->hbytes, p->nheads++, u->count);
  for (int i = 0; i < n; i++) {
    put(p->heads, t->hbytes, p->nheads++, u[i].row);
    at[i] = -1;
  }
  for (int64_t k = 0; k < u->count; k++)
    for (int i = 0; i < n; i++) {
      const float *w = p->w + u[i].row * t->height * p->cols;
      if (k < u[i].count) at[i] = column_next(w, p->cols, h, at[i] + 1);
      else if (k == u[i].count) at[i] = column_empty(w, p->cols, h);
      put(p->index, t->ibytes, p->nindex++, at[i]);
      for (int j = 0; j < h; j++)
        p->values[p->nvalues++] = w[j * p->cols + at[i]];
    }
}

/* The units of the group at w, the fullest first; a lower one behind. */
static void units_find(const Table *t, const float *w, int64_t cols,
                       Unit *u) {
  int64_t n = t->heads * t->units + t->left;
  for (int64_t i = 0; i < n; i++) {
    const float *at = w + i * t->height * cols;
    u[i] = (Unit){ i, columns_in(at, cols, t->height) };
  }
  qsort(u, (size_t)n, sizeof *u, by_count);
  const float *at = w + n * t->height * cols;
  u[n] = (Unit){ n, columns_in(at, cols, t->low) };
}

/* How many blocks the heads of a group take, filled up. */
static int64_t blocks_needed(const Table *t, const Unit *u) {
  int64_t n = 0, i = 0;
  for (; i < t->heads; i++) n += t->units * u[i * t->units].count;
  i *= t->units;
  if (t->left) n += t->left * u[i].count;
  return n + u[i + t->left].count;
}

static void pack_group(Packer *p, const Table *t, const Unit *u) {
  for (int64_t i = 0; i < t->heads; i++, u += t->units)
    pack_head(p, t, u, t->units, t->height);
  if (t->left) pack_head(p, t, u, t->left, t->height);
  if (t->low) pack_head(p, t, u + t->left, 1, t->low);
}

/* Where the heads of each part begin: the number of the first, and where
 * its values, columns and heads lie, in bytes. */
enum { START_HEAD, START_VALUE, START_INDEX, START_HEADS, START_COUNT };
/* What a head costs besides its blocks, in blocks. */
enum { HEAD_COST = 6 };

static int64_t starts_pack(Gen *g, const Table *t, const Unit *u) {
  size_t n = (size_t)t->heads, parts = (size_t)g->parts;
  int64_t *cost = arena_array(g->a, int64_t, n + 1), rest = 0, blocks = 0;
  int64_t *bound = arena_array(g->a, int64_t, parts + 1);
  uint32_t *at = arena_array(g->a, uint32_t, (parts + 1) * START_COUNT);
  for (size_t i = 0; i < n; i++)
    cost[i] = u[i * (size_t)t->units].count + HEAD_COST;
  if (t->left) rest += u[n * (size_t)t->units].count + HEAD_COST;
  if (t->low) rest += u[n * (size_t)t->units + (size_t)t->left].count;
  parts_cut(g, cost, t->heads, rest, bound);
  for (size_t p = 0, i = 0; p <= parts; p++, at += START_COUNT) {
    for (; (int64_t)i < bound[p]; i++)
      blocks += t->units * (cost[i] - HEAD_COST);
    at[START_HEAD] = (uint32_t)i;
    at[START_VALUE] = (uint32_t)(t->vbytes * blocks * t->height);
    at[START_INDEX] = (uint32_t)(blocks * t->ibytes);
    at[START_HEADS] = (uint32_t)(i * (size_t)((1 + t->units) * t->hbytes));
  }
  at -= (parts + 1) * START_COUNT;
  return blob_add(g, at, (parts + 1) * START_COUNT * sizeof *at, 16);
}

Table table_pack(Gen *g, const Node *weight, int64_t groups, int64_t rows,
                 int64_t cols, int height, int units) {
  ensure(height * units <= TABLE_ROWS_MAX);
  const float *w = operand_values(g, weight);
  int64_t all = rows / height, blocks = 0;
  Table t = { .height = height, .units = units, .starts = -1 };
  t.heads = all / units;
  t.left = (int)(all % units);
  t.low = (int)(rows % height);
  t.elem = weight_elem(g, weight, false);
  t.vbytes = (int)elem_size(t.elem);
  t.ibytes = cols <= 256 ? 1 : cols <= 65536 ? 2 : 4;
  t.hbytes = cols < 65536 && rows < 65536 ? 2 : 4;
  Unit *u = arena_array(g->a, Unit, (size_t)(groups * (all + 1)));
  for (int64_t q = 0; q < groups; q++) {
    units_find(&t, w + q * rows * cols, cols, u + q * (all + 1));
    blocks += blocks_needed(&t, u + q * (all + 1));
  }
  size_t heads = (size_t)(groups * (t.heads + all + 3));
  Packer p = { .cols = cols };
  p.values = arena_array(g->a, float, (size_t)(blocks * height) + 1);
  p.index = arena_array(g->a, uint8_t, (size_t)(blocks * t.ibytes) + 1);
  p.heads = arena_array(g->a, uint8_t, heads * (size_t)t.hbytes);
  for (int64_t q = 0; q < groups; q++) {
    p.w = w + q * rows * cols;
    pack_group(&p, &t, u + q * (all + 1));
  }
  size_t vsize = (size_t)p.nvalues * (size_t)t.vbytes;
  t.values = blob_weights(g, t.elem, p.values, (size_t)p.nvalues, 64);
  t.index = blob_add(g, p.index, (size_t)(p.nindex * t.ibytes), 16);
  t.head = blob_add(g, p.heads, (size_t)(p.nheads * t.hbytes), 16);
  if (g->parts > 1 && groups == 1 && vsize < UINT32_MAX)
    t.starts = starts_pack(g, &t, u);
  return t;
}

/* ---- reading --------------------------------------------------------- */

Cursor table_begin(Gen *g, const Table *t) {
  return (Cursor){ blob_ptr(g, t->values), blob_ptr(g, t->index),
                   blob_ptr(g, t->head) };
}

void cursor_carry(Gen *g, Loop *l, Cursor *c) {
  loop_carry(g, l, &c->value);
  loop_carry(g, l, &c->index);
  loop_carry(g, l, &c->head);
}

Val table_head(Gen *g, const Table *t, Cursor *c, int units, Val *row) {
  Val count = load_index(g, c->head, 0, t->hbytes);
  for (int i = 0; i < units; i++) {
    Val unit = load_index(g, c->head, (i + 1) * t->hbytes, t->hbytes);
    row[i] = mul64(g, unit, t->height);
  }
  c->head = addrk(g, c->head, (1 + units) * t->hbytes);
  return count;
}

void table_columns(Gen *g, const Table *t, const Cursor *c, int units,
                   Val *column) {
  int each = t->ibytes, n;
  for (int i = 0; i < units; i += n) {
    /* A load takes as many columns as there are, up to 8 bytes. */
    for (n = 8 / each; n > units - i;) n /= 2;
    Val word = load_index(g, c->index, i * each, n * each);
    for (int k = 0; k < n; k++) {
      Val v = k ? shr64(g, word, 8 * each * k) : word;
      column[i + k] = k + 1 < n ? and64(g, v, (1LL << 8 * each) - 1) : v;
    }
  }
}

void table_next(Gen *g, const Table *t, Cursor *c, int units, int height) {
  c->value = addrk(g, c->value, t->vbytes * units * height);
  c->index = addrk(g, c->index, units * t->ibytes);
}

/* The loop over the heads of the part at hand, and the cursor at the first. */
static void heads_share(Gen *g, Loop *l, const Table *t, Cursor *c) {
  Val at = blob_ptr(g, t->starts);
  at = addr_at(g, at, g->part, 4 * START_COUNT);
  c->value = addr(g, c->value, load_index(g, at, 4 * START_VALUE, 4));
  c->index = addr(g, c->index, load_index(g, at, 4 * START_INDEX, 4));
  c->head = addr(g, c->head, load_index(g, at, 4 * START_HEADS, 4));
  Val first = load_index(g, at, 4 * START_HEAD, 4);
  Val end = load_index(g, at, 4 * (START_COUNT + START_HEAD), 4);
  loop_range(g, l, first, end, 1, "head");
}

void table_walk(Gen *g, const Table *t, Cursor *c, TableBody *body,
                const void *ctx) {
  bool share = t->starts >= 0 && !g->in_part;
  if (t->heads) {
    Loop l;
    if (share) heads_share(g, &l, t, c);
    else loop_begin(g, &l, k64(g, 0), k64(g, t->heads), 1, true, "head");
    cursor_carry(g, &l, c);
    body(g, ctx, t->units, t->height, c);
    loop_end(g, &l);
  }
  Once last;
  once_begin(g, &last);
  if (t->left) body(g, ctx, t->left, t->height, c);
  if (t->low) body(g, ctx, 1, t->low, c);
  once_end(g, &last);
}
