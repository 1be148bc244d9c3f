/* runs.c - packing of constant matrices with a few nonzeros in each run of
 * columns (N:M sparsity, Mishra et al., 2021), in the form that Sparse in
 * ir.h describes. */
#include "ir/ir.h"

enum { RUN = RUN_COLUMNS, BITS = 2, PER_BYTE = 8 / BITS };

bool runs_fit(const Type *t, int n) {
  if (t->elem != F32 || t->rank < 2 || n < 1 || n >= RUN) return false;
  int64_t all = type_elems(t), rows = t->dim[0];
  return all > 0 && all / rows % RUN == 0;
}

int runs_most(const float *w, int64_t all) {
  int most = 0;
  for (int64_t i = 0; i < all; i += RUN) {
    int n = 0;
    for (int k = 0; k < RUN; k++) n += w[i + k] != 0;
    if (n > most) most = n;
  }
  return most;
}

/* The columns of a run that are stored: its nonzeros, then zeros. */
static void columns_find(const float *w, int n, bool *kept) {
  int left = n;
  for (int k = 0; k < RUN; k++) {
    kept[k] = w[k] != 0;
    left -= kept[k];
  }
  ensure(left >= 0);
  for (int k = 0; left; k++) {
    left -= !kept[k];
    kept[k] = true;
  }
}

void runs_pack(Module *m, Param *p, int n) {
  ensure(!p->type.sparse && runs_fit(&p->type, n));
  const float *w = param_values(m, p);
  ensure(w);
  int64_t all = type_elems(&p->type), at = 0;
  Sparse *s = arena_new_of(m->arena, Sparse);
  *s = (Sparse){1, 1, all / RUN * n, U8, n};
  Buffer *values = buffer_new((size_t)s->nnz * sizeof(float));
  Buffer *index = buffer_new((size_t)(s->nnz + PER_BYTE - 1) / PER_BYTE);
  float *v = (float *)(void *)values->data;
  for (int64_t i = 0; i < all; i += RUN) {
    bool kept[RUN];
    columns_find(w + i, n, kept);
    for (int k = 0; k < RUN; k++) {
      if (!kept[k]) continue;
      v[at] = w[i + k];
      index->data[at / PER_BYTE] |= (uint8_t)(k << at % PER_BYTE * BITS);
      at++;
    }
  }
  param_set_data(p, NULL);
  p->values = values;
  p->index = index;
  p->type.sparse = s;
  param_retype(m, p);
}

int runs_column(const Param *p, int64_t i) {
  return p->index->data[i / PER_BYTE] >> i % PER_BYTE * BITS & (RUN - 1);
}

bool runs_check(const Param *p, Text *why) {
  const Sparse *s = p->type.sparse;
  if (!runs_fit(&p->type, s->n) ||
      s->nnz != type_elems(&p->type) / RUN * s->n ||
      p->values->size != (size_t)s->nnz * sizeof(float) ||
      p->index->size != (size_t)(s->nnz + PER_BYTE - 1) / PER_BYTE) {
    text_printf(why, "nm %d:%d with nnz=%lld does not fit the type, values "
                "and index", s->n, RUN, (long long)s->nnz);
    return false;
  }
  for (int64_t i = 1; i < s->nnz; i++) {
    if (i % s->n == 0 || runs_column(p, i) > runs_column(p, i - 1)) continue;
    text_printf(why, "columns of run %lld are not ascending",
                (long long)(i / s->n));
    return false;
  }
  return true;
}

void runs_expand(const Param *p, float *w) {
  const Sparse *s = p->type.sparse;
  const float *v = (const float *)(const void *)p->values->data;
  for (int64_t i = 0; i < s->nnz; i++)
    w[i / s->n * RUN + runs_column(p, i)] = v[i];
}
