/* sparse.c - packing of constant matrices into blocks and back, in the form
 * that Sparse in ir.h describes. */
#include "ir/ir.h"

#include <string.h>

/* A weight as a matrix of rows = dim 0 and cols = the others' product. */
typedef struct Matrix { int64_t rows, cols; } Matrix;

static Matrix matrix_of(const Type *t) {
  ensure(t->rank >= 1);
  Matrix m = {t->dim[0], 1};
  for (int i = 1; i < t->rank; i++) m.cols *= t->dim[i];
  return m;
}

static bool block_is_zero(const float *w, Matrix m, int64_t row, int64_t col,
                          int br, int bc) {
  for (int r = 0; r < br; r++)
    for (int c = 0; c < bc; c++)
      if (w[(row + r) * m.cols + col + c] != 0.0f) return false;
  return true;
}

static int64_t blocks_count(const float *w, Matrix m, int br, int bc) {
  int64_t n = 0;
  for (int64_t i = 0; i < m.rows; i += br)
    for (int64_t k = 0; k < m.cols; k += bc)
      n += !block_is_zero(w, m, i, k, br, bc);
  return n;
}

/* The smallest word that holds every block column. */
static Elem index_elem(int64_t ncols) {
  return ncols <= 1 << 8 ? U8 : ncols <= 1 << 16 ? I16 : I32;
}

static void index_put(uint8_t *at, Elem e, int64_t i, uint32_t v) {
  size_t size = elem_size(e);
  for (size_t k = 0; k < size; k++)
    at[(size_t)i * size + k] = (uint8_t)(v >> (8 * k));
}

static uint32_t index_get(const uint8_t *at, Elem e, int64_t i) {
  size_t size = elem_size(e);
  uint32_t v = 0;
  for (size_t k = 0; k < size; k++)
    v |= (uint32_t)at[(size_t)i * size + k] << (8 * k);
  return v;
}

/* One row of blocks; `b` blocks lie before it.  Returns how many it has. */
static uint32_t row_pack(const float *w, Matrix m, int64_t row,
                         const Sparse *s, int64_t b, float *values,
                         uint8_t *cols) {
  uint32_t count = 0;
  for (int64_t k = 0; k < m.cols; k += s->bc) {
    if (block_is_zero(w, m, row, k, s->br, s->bc)) continue;
    float *to = values + (b + count) * s->br * s->bc;
    for (int c = 0; c < s->bc; c++)
      for (int r = 0; r < s->br; r++)
        *to++ = w[(row + r) * m.cols + k + c];
    index_put(cols, s->index, b + count, (uint32_t)(k / s->bc));
    count++;
  }
  return count;
}

void param_retype(Module *m, const Param *p) {
  for (size_t i = 0; i < m->funcs.n; i++) {
    Node *n = func_param_node(m->funcs.at[i], p);
    if (n) n->type = p->type;
  }
}

bool sparse_fits(const Type *t, int br, int bc) {
  if (t->elem != F32 || t->rank < 2 || br < 1 || bc < 1) return false;
  if (type_elems(t) < 0) return false;
  Matrix m = matrix_of(t);
  return m.rows % br == 0 && m.cols % bc == 0 && m.cols / bc <= UINT32_MAX;
}

void sparse_pack(Module *m, Param *p, int br, int bc) {
  ensure(!p->type.sparse && sparse_fits(&p->type, br, bc));
  const float *w = param_values(m, p);
  ensure(w);
  Matrix mat = matrix_of(&p->type);
  Sparse *s = arena_new_of(m->arena, Sparse);
  *s = (Sparse){br, bc, 0, index_elem(mat.cols / bc), 0};
  int64_t n = blocks_count(w, mat, br, bc), b = 0;
  s->nnz = n * br * bc;
  size_t heads = (size_t)(mat.rows / br) * 4;
  Buffer *values = buffer_new((size_t)s->nnz * sizeof(float));
  Buffer *index = buffer_new(heads + (size_t)n * elem_size(s->index));
  for (int64_t i = 0; i < mat.rows; i += br) {
    uint32_t count = row_pack(w, mat, i, s, b, (float *)(void *)values->data,
                              index->data + heads);
    index_put(index->data, I32, i / br, count);
    b += count;
  }
  ensure(b == n);
  param_set_data(p, NULL);
  p->values = values;
  p->index = index;
  p->type.sparse = s;
  param_retype(m, p);
}

int64_t sparse_blocks(const Param *p) {
  const Sparse *s = p->type.sparse;
  return s->nnz / ((int64_t)s->br * s->bc);
}

int sparse_tile_height(const Sparse *s, int rows) {
  static const int heights[] = {16, 8, 4, 3, 2, 1};
  const int *h = heights;
  /* Without a tile none of more than 4 rows, which few registers hold. */
  if (!rows) rows = 12;
  while (s->br % *h || rows % *h) h++;
  return *h;
}

int sparse_height(const Sparse *s) {
  return sparse_tile_height(s, 48);
}

PairStep pair_step(int64_t nonzeros, int64_t all) {
  if (8 * nonzeros > 3 * all) return (PairStep){1, 1};
  return 5 * nonzeros > all ? (PairStep){1, 3} : (PairStep){0, 2};
}

uint32_t sparse_row_count(const Param *p, int64_t block_row) {
  const Sparse *s = p->type.sparse;
  if (s->n) return (uint32_t)(s->nnz / p->type.dim[0]);
  return index_get(p->index->data, I32, block_row);
}

uint32_t sparse_col(const Param *p, int64_t block) {
  Matrix m = matrix_of(&p->type);
  const Sparse *s = p->type.sparse;
  const uint8_t *cols = p->index->data + m.rows / s->br * 4;
  return index_get(cols, s->index, block);
}

bool sparse_check(const Param *p, Text *why) {
  const Sparse *s = p->type.sparse;
  if (s->n) return runs_check(p, why);
  if (!sparse_fits(&p->type, s->br, s->bc) ||
      (s->index != U8 && s->index != I16 && s->index != I32)) {
    text_puts(why, "sparse format does not fit the type");
    return false;
  }
  Matrix m = matrix_of(&p->type);
  int64_t n = sparse_blocks(p), b = 0, rows = m.rows / s->br;
  size_t isize = elem_size(s->index);
  if (s->nnz < 0 || s->nnz > m.rows * m.cols ||
      s->nnz % ((int64_t)s->br * s->bc) ||
      p->values->size != (size_t)s->nnz * sizeof(float) ||
      p->index->size != (size_t)rows * 4 + (size_t)n * isize) {
    text_printf(why, "nnz=%lld does not fit values and index",
                (long long)s->nnz);
    return false;
  }
  for (int64_t i = 0; i < rows; i++) {
    int64_t count = sparse_row_count(p, i), last = -1;
    if (count > n - b) count = n - b + 1;
    for (int64_t k = 0; k < count; k++, b++) {
      int64_t col = b < n ? (int64_t)sparse_col(p, b) : -1;
      if (col <= last || col >= m.cols / s->bc) {
        text_printf(why, "index of block row %lld is not ascending below "
                    "%lld", (long long)i, (long long)(m.cols / s->bc));
        return false;
      }
      last = col;
    }
  }
  if (b == n) return true;
  text_printf(why, "row counts give %lld blocks, expected %lld",
              (long long)b, (long long)n);
  return false;
}

Buffer *sparse_expand(const Param *p) {
  const Sparse *s = p->type.sparse;
  Matrix m = matrix_of(&p->type);
  Buffer *out = buffer_new((size_t)(m.rows * m.cols) * sizeof(float));
  float *w = (float *)(void *)out->data;
  if (s->n) {
    runs_expand(p, w);
    return out;
  }
  const float *v = (const float *)(const void *)p->values->data;
  int64_t b = 0;
  for (int64_t i = 0; i < m.rows; i += s->br) {
    int64_t end = b + sparse_row_count(p, i / s->br);
    for (; b < end; b++) {
      int64_t col = (int64_t)sparse_col(p, b) * s->bc;
      for (int c = 0; c < s->bc; c++)
        for (int r = 0; r < s->br; r++)
          memcpy(&w[(i + r) * m.cols + col + c], v++, sizeof *v);
    }
  }
  return out;
}

void sparse_unpack(Module *m, Param *p) {
  ensure(p->type.sparse && p->values && p->index);
  Buffer *data = sparse_expand(p);
  param_set_data(p, NULL);
  p->type.sparse = NULL;
  p->data = data;
  param_retype(m, p);
}
