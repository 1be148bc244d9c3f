/* linear.h - what the kernels of linear layers on rows share. */
#ifndef TAMIS_LINEAR_H
#define TAMIS_LINEAR_H

#include "backend/tiles.h"

typedef struct Linear {
  const Node *n, *x, *w, *b, *r;
  int64_t rows, k, m;
  int64_t xrow, xk, yrow, rrow;    /* strides in elements */
  int block;                       /* rows of x a tile */
  bool by_rows;                    /* blocks of rows are shared by parts */
} Linear;
/* `block`: the most rows of x a tile. */
void linear_init(const Node *n, Linear *l, int block);

/* Addresses of the rows of a block. */
typedef struct Rows { Val x, y, r; int n; } Rows;
typedef void RowsBody(Gen *g, const Linear *l, const void *ctx,
                      const Rows *rows);
/* How many rows a call has, and the fewest there may be; NULL: l->rows. */
Val rows_count(Gen *g, const Linear *l, int64_t *least);
/* The rows from number i on. */
Rows rows_from(Gen *g, const Linear *l, Val i, int n);
/* Run the body for all rows of x, l->block at a time. */
void linear_rows(Gen *g, const Linear *l, RowsBody *body, const void *ctx);

/* linear_dots.c: a dense layer with columns in the lanes (see linear_dots in
 * ir/ir.h). */
void linear_emit_dots(Gen *g, Linear *l);

#endif
