/* type.c - element types, shapes and their text. */
#include "ir/ir.h"

#include <string.h>

static const struct { const char *name; int bits; } elems[ELEM_COUNT] = {
#define ELEM(e, name, bits) {name, bits},
#include "ir/types.def"
#undef ELEM
};

const char *elem_name(Elem e) {
  ensure((unsigned)e < ELEM_COUNT);
  return elems[e].name;
}

bool elem_parse(const char *s, Elem *out) {
  for (int i = 0; i < ELEM_COUNT; i++) {
    if (strcmp(elems[i].name, s) == 0) {
      *out = (Elem)i;
      return true;
    }
  }
  return false;
}

int elem_bits(Elem e) {
  ensure((unsigned)e < ELEM_COUNT);
  return elems[e].bits;
}

size_t elem_size(Elem e) {
  return (size_t)(elem_bits(e) + 7) / 8;
}

Type type_make(Elem e, int rank, const int64_t *dim) {
  ensure(rank >= 0 && rank <= MAX_RANK);
  Type t = {.elem = e, .rank = rank, .at = -1};
  for (int i = 0; i < rank; i++) t.dim[i] = dim[i];
  return t;
}

bool type_same_dims(const Type *a, const Type *b) {
  if (a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->dim[i] != b->dim[i]) return false;
  return true;
}

bool type_same_shape(const Type *a, const Type *b) {
  if (a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (!axes_equal(a, i, b, i)) return false;
  return true;
}

static bool sparse_equal(const Sparse *a, const Sparse *b) {
  if (!a || !b) return a == b;
  return a->br == b->br && a->bc == b->bc && a->nnz == b->nnz &&
         a->index == b->index && a->n == b->n;
}

static bool quant_equal(const Quant *a, const Quant *b) {
  if (!a || !b) return a == b;
  return memcmp(&a->scale, &b->scale, sizeof a->scale) == 0 &&
         a->zero == b->zero && a->axis == b->axis;
}

bool type_equal(const Type *a, const Type *b) {
  return a->elem == b->elem && type_same_shape(a, b) &&
         layout_equal(a->layout, b->layout) &&
         sparse_equal(a->sparse, b->sparse) &&
         quant_equal(a->quant, b->quant) && a->stored == b->stored &&
         a->at == b->at;
}

Elem type_stored(const Type *t) { return t->stored ? t->stored : t->elem; }

int64_t type_elems(const Type *t) {
  int64_t n = 1;
  bool overflow = false, zero = false;
  for (int i = 0; i < t->rank; i++) {
    if (t->dim[i] < 0) return -1;
    zero |= t->dim[i] == 0;
    overflow |= t->dim[i] && __builtin_mul_overflow(n, t->dim[i], &n);
  }
  return overflow ? -1 : zero ? 0 : n;
}

int64_t type_bytes(const Type *t) {
  int64_t n = t->layout ? t->layout->size : type_elems(t), bytes;
  if (n < 0 || __builtin_mul_overflow(n, (int64_t)elem_size(t->elem), &bytes))
    return -1;
  return bytes;
}

int64_t type_rows_bytes(const Type *t) {
  return type_elems(t) * (int64_t)elem_size(t->elem);
}

static void shape_print(Text *out, const Type *t) {
  text_puts(out, elem_name(t->elem));
  text_putc(out, '[');
  for (int i = 0; i < t->rank; i++) {
    FreeExpr e;
    if (i) text_putc(out, ',');
    if (axis_is_free(t, i) && axis_expr(t, i, &e))
      free_expr_print(out, t->free->of, &e);
    else
      text_printf(out, "%lld", (long long)t->dim[i]);
  }
  text_putc(out, ']');
}

static void sparse_print(Text *out, const Sparse *s) {
  if (s->n) {
    text_printf(out, "nm %d:%d, nnz=%lld", s->n, RUN_COLUMNS,
                (long long)s->nnz);
    return;
  }
  if (s->br == 1 && s->bc == 1)
    text_puts(out, "csr");
  else
    text_printf(out, "bsr %dx%d", s->br, s->bc);
  text_printf(out, ", nnz=%lld, index=", (long long)s->nnz);
  /* i16 and i32 in Sparse.index mean unsigned words of that width. */
  text_puts(out, elem_name(s->index));
}

static void quant_print(Text *out, const Quant *q) {
  text_puts(out, "scale=");
  text_float(out, q->scale, false);
  text_printf(out, ", zero=%lld", (long long)q->zero);
  if (q->axis >= 0) text_printf(out, ", axis=%d", q->axis);
}

static void layout_enc_print(Text *out, const Layout *l, const Type *t) {
  text_puts(out, "layout=\"");
  layout_print(out, l, t);
  text_putc(out, '"');
  if (l->origin) text_printf(out, ", origin=%lld", (long long)l->origin);
  text_printf(out, ", size=%lld", (long long)l->size);
  if (l->halo[0] || l->halo[1] || l->halo[2] || l->halo[3])
    text_printf(out, ", halo=[%d,%d,%d,%d]", l->halo[0], l->halo[1],
                l->halo[2], l->halo[3]);
}

void type_print(Text *out, const Type *t) {
  shape_print(out, t);
  const char *sep = " <";
  if (t->sparse) {
    text_puts(out, sep);
    sparse_print(out, t->sparse);
    sep = ", ";
  }
  if (t->quant) {
    text_puts(out, sep);
    quant_print(out, t->quant);
    sep = ", ";
  }
  if (t->stored) {
    text_puts(out, sep);
    if (elem_clusters(t->stored))
      text_printf(out, "cluster %d", elem_clusters(t->stored));
    else
      text_printf(out, "stored=%s", elem_name(t->stored));
    sep = ", ";
  }
  if (t->layout) {
    text_puts(out, sep);
    layout_enc_print(out, t->layout, t);
    sep = ", ";
  }
  if (t->at >= 0) {
    text_printf(out, "%sat=%lld", sep, (long long)t->at);
    sep = ", ";
  }
  if (*sep == ',') text_putc(out, '>');
}
