/* table.c - nonzero blocks of a constant matrix as tables for loop kernels,
 * and the code that reads them. */
#include "backend/tiles.h"

#include <stdlib.h>
#include <string.h>

/* One row of blocks of the matrix. */
typedef struct BlockRow { int64_t row, count; } BlockRow;

typedef struct Packer {
  const float *w;
  int64_t cols;
  float *values;
  uint8_t *index, *heads;
  int64_t nvalues, nblocks, nheads;
} Packer;

static bool block_used(const float *w, int64_t cols, int r) {
  for (int i = 0; i < r; i++)
    if (w[i * cols] != 0) return true;
  return false;
}

static int64_t blocks_in(const float *w, int64_t cols, int r) {
  int64_t n = 0;
  for (int64_t c = 0; c < cols; c++) n += block_used(w + c, cols, r);
  return n;
}

static int by_count(const void *pa, const void *pb) {
  const BlockRow *a = pa, *b = pb;
  if (a->count != b->count) return a->count > b->count ? -1 : 1;
  return a->row < b->row ? -1 : a->row > b->row;
}

static void put(uint8_t *at, int bytes, int64_t i, int64_t v) {
  for (int k = 0; k < bytes; k++)
    at[i * bytes + k] = (uint8_t)(v >> (8 * k));
}

static void pack_row(Packer *p, const Table *t, const float *w, int r,
                     BlockRow row) {
  put(p->heads, t->hbytes, p->nheads++, row.count);
  put(p->heads, t->hbytes, p->nheads++, row.row);
  for (int64_t c = 0; c < p->cols; c++) {
    if (!block_used(w + c, p->cols, r)) continue;
    for (int i = 0; i < r; i++)
      p->values[p->nvalues++] = w[i * p->cols + c];
    put(p->index, t->ibytes, p->nblocks++, c);
  }
}

static void pack_group(Gen *g, Packer *p, const Table *t, const float *w) {
  BlockRow *row = arena_array(g->a, BlockRow, (size_t)t->rows + 1);
  for (int64_t i = 0; i < t->rows; i++) {
    const float *at = w + i * t->r * p->cols;
    row[i] = (BlockRow){ i, blocks_in(at, p->cols, t->r) };
  }
  qsort(row, (size_t)t->rows, sizeof *row, by_count);
  for (int64_t i = 0; i < t->rows; i++)
    pack_row(p, t, w + row[i].row * t->r * p->cols, t->r, row[i]);
  if (!t->rest) return;
  const float *at = w + t->rows * t->r * p->cols;
  pack_row(p, t, at, t->rest,
           (BlockRow){ t->rows, blocks_in(at, p->cols, t->rest) });
}

Table table_pack(Gen *g, const float *w, int64_t groups, int64_t rows,
                 int64_t cols, int r) {
  Table t = { .r = r, .rest = (int)(rows % r), .rows = rows / r };
  int64_t heads = groups * (t.rows + (t.rest > 0)), blocks = 0;
  t.ibytes = cols <= 256 ? 1 : cols <= 65536 ? 2 : 4;
  t.hbytes = cols < 65536 && rows < 65536 ? 2 : 4;
  for (int64_t q = 0; q < groups; q++)
    for (int64_t i = 0; i < rows; i += r)
      blocks += blocks_in(w + (q * rows + i) * cols, cols,
                          (int)(i + r > rows ? rows - i : r));
  Packer p = { .w = w, .cols = cols };
  p.values = arena_array(g->a, float, (size_t)(blocks * r) + 1);
  p.index = arena_array(g->a, uint8_t, (size_t)(blocks * t.ibytes) + 1);
  p.heads = arena_array(g->a, uint8_t, (size_t)(heads * 2 * t.hbytes) + 1);
  for (int64_t q = 0; q < groups; q++)
    pack_group(g, &p, &t, w + q * rows * cols);
  size_t vsize = (size_t)p.nvalues * sizeof(float);
  t.values = blob_add(g, p.values, vsize, 64);
  t.index = blob_add(g, p.index, (size_t)(blocks * t.ibytes), 16);
  t.heads = blob_add(g, p.heads, (size_t)(p.nheads * t.hbytes), 16);
  return t;
}

/* ---- reading --------------------------------------------------------- */

Cursor table_begin(Gen *g, const Table *t) {
  return (Cursor){ blob_ptr(g, t->values), blob_ptr(g, t->index),
                   blob_ptr(g, t->heads) };
}

void cursor_carry(Gen *g, Loop *l, Cursor *c) {
  loop_carry(g, l, &c->value);
  loop_carry(g, l, &c->index);
  loop_carry(g, l, &c->head);
}

void table_head(Gen *g, const Table *t, Cursor *c, Val *count, Val *row) {
  *count = load_index(g, c->head, 0, t->hbytes);
  *row = load_index(g, c->head, t->hbytes, t->hbytes);
  c->head = addrk(g, c->head, 2 * t->hbytes);
}

Val table_column(Gen *g, const Table *t, const Cursor *c) {
  return load_index(g, c->index, 0, t->ibytes);
}

void table_next(Gen *g, const Table *t, Cursor *c, int r) {
  c->value = addrk(g, c->value, 4 * r);
  c->index = addrk(g, c->index, t->ibytes);
}
