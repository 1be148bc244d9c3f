/* elab_type.c - types: dimensions worked out, encodings of a dump read. */
#include "frontend/elab.h"

#include <string.h>

static bool type_dim(Elab *e, const Expr *x, int64_t *out) {
  if (!elab_int(e, x, out))
    return false;
  if (*out >= 0)
    return true;
  elab_error(e, x->span, "expected a dimension of at least 0, found %lld",
             (long long)*out);
  return false;
}

static bool type_rank(Elab *e, const TypeExpr *t) {
  ensure(!t->is_kind);
  if (t->dims.n <= MAX_RANK)
    return true;
  elab_error(e, t->span, "expected at most %d dimensions, found %zu",
             MAX_RANK, t->dims.n);
  return false;
}

/* ---- encodings: <bsr 4x1, nnz=308, index=u8, layout="...", at=64> ---- */

typedef struct Encs {
  bool sparse, quant, layout;
  Sparse s;
  Quant q;
  const char *text;      /* of the layout */
  int64_t origin, size;
  int32_t halo[4];
} Encs;

static bool enc_int(Elab *e, const Enc *c, int64_t lo, int64_t hi,
                    int64_t *out) {
  Value v = {.kind = VAL_NONE};
  if (c->value)
    v = elab_expr(e, c->value);
  if (v.kind == VAL_INT && v.i >= lo && v.i <= hi) {
    *out = v.i;
    return true;
  }
  elab_error(e, c->name.span, "expected %s=INTEGER from %lld to %lld",
             c->name.s, (long long)lo, (long long)hi);
  return false;
}

static bool enc_halo(Elab *e, const Enc *c, int32_t halo[4]) {
  const int64_t *at = NULL;
  int n = 0;
  Value v = {.kind = VAL_NONE};
  if (c->value)
    v = elab_expr(e, c->value);
  bool ok = value_ints(e->a, &v, &at, &n) && n == 4;
  for (int i = 0; ok && i < 4; i++) {
    ok = at[i] >= 0 && at[i] <= INT32_MAX;
    halo[i] = (int32_t)at[i];
  }
  if (!ok)
    elab_error(e, c->name.span,
               "expected halo=[top,bottom,left,right], none negative");
  return ok;
}

static bool enc_sparse(Elab *e, const Enc *c, Encs *out) {
  out->sparse = true;
  out->s.br = out->s.bc = 1;
  if (!strcmp(c->name.s, "csr") && !c->value)
    return true;
  if (!strcmp(c->name.s, "bsr") && c->value && c->value->kind == EXPR_TILE &&
      c->value->i >= 1 && c->value->j >= 1) {
    out->s.br = (int)c->value->i;
    out->s.bc = (int)c->value->j;
    return true;
  }
  if (!strcmp(c->name.s, "nm") && c->value &&
      c->value->kind == EXPR_RATIO && c->value->i >= 1 &&
      c->value->i < RUN_COLUMNS && c->value->j == RUN_COLUMNS) {
    out->s.n = (int)c->value->i;
    return true;
  }
  elab_error(e, c->name.span, "expected 'csr', 'bsr RxC' or 'nm N:%d', N "
             "from 1 to %d", RUN_COLUMNS, RUN_COLUMNS - 1);
  return false;
}

static bool enc_index(Elab *e, const Enc *c, Elem *out) {
  const Expr *x = c->value;
  if (x && x->kind == EXPR_ELEM &&
      (x->elem == U8 || x->elem == I16 || x->elem == I32)) {
    *out = x->elem;
    return true;
  }
  elab_error(e, c->name.span, "expected index=u8, i16 or i32");
  return false;
}

static bool enc_stored(Elab *e, const Enc *c, Elem *out) {
  const Expr *x = c->value;
  if (x && x->kind == EXPR_ELEM && (x->elem == F16 || x->elem == BF16)) {
    *out = x->elem;
    return true;
  }
  elab_error(e, c->name.span, "expected stored=f16 or bf16");
  return false;
}

static bool enc_cluster(Elab *e, const Enc *c, Elem *out) {
  Value v = {.kind = VAL_NONE};
  if (c->value)
    v = elab_expr(e, c->value);
  if (v.kind == VAL_INT && (v.i == 16 || v.i == 256)) {
    *out = v.i == 16 ? U4 : U8;
    return true;
  }
  elab_error(e, c->name.span, "expected cluster 16 or cluster 256");
  return false;
}

static bool enc_scale(Elab *e, const Enc *c, double *out) {
  Value v = {.kind = VAL_NONE};
  if (c->value)
    v = elab_expr(e, c->value);
  if (!value_is_number(&v)) {
    elab_error(e, c->name.span, "expected scale=NUMBER");
    return false;
  }
  *out = value_number(&v);
  return true;
}

/* A string, or one of the two orders that have a name of their own. */
static bool enc_layout(Elab *e, const Enc *c, Encs *out) {
  const Expr *x = c->value;
  const char *s = x && x->kind == EXPR_PATH ? path_single(x->path) : NULL;
  if (x && x->kind == EXPR_STR)
    out->text = x->s;
  else if (s && !strcmp(s, "nchw"))
    return true;
  else if (s && !strcmp(s, "nhwc"))
    out->text = "n,h,w,c";
  else {
    elab_error(e, c->name.span,
               "expected layout=\"...\", layout=nchw or layout=nhwc");
    return false;
  }
  out->layout = true;
  return true;
}

static bool enc_read(Elab *e, const Enc *c, Encs *out, Type *t) {
  static const char *const names[] = {
    "csr", "bsr", "nm", "nnz", "index", "scale", "zero", "axis", "layout",
    "origin", "size", "halo", "at", "stored", "cluster"
  };
  enum { CSR, BSR, NM, NNZ, INDEX, SCALE, ZERO, AXIS, LAYOUT, ORIGIN, SIZE,
         HALO, AT, STORED, CLUSTER, COUNT };
  int64_t v;
  int k = 0;
  while (k < COUNT && strcmp(c->name.s, names[k]))
    k++;
  switch (k) {
  case CSR: case BSR: case NM: return enc_sparse(e, c, out);
  case NNZ: return enc_int(e, c, 0, INT64_MAX, &out->s.nnz);
  case INDEX: return enc_index(e, c, &out->s.index);
  case SCALE: out->quant = true; return enc_scale(e, c, &out->q.scale);
  case ZERO: return enc_int(e, c, INT32_MIN, INT32_MAX, &out->q.zero);
  case AXIS:
    if (!enc_int(e, c, 0, MAX_RANK - 1, &v))
      return false;
    out->q.axis = (int)v;
    return true;
  case LAYOUT: return enc_layout(e, c, out);
  case ORIGIN: return enc_int(e, c, 0, INT64_MAX, &out->origin);
  case SIZE: return enc_int(e, c, 0, INT64_MAX, &out->size);
  case HALO: return enc_halo(e, c, out->halo);
  case AT: return enc_int(e, c, 0, INT64_MAX, &t->at);
  case STORED: return enc_stored(e, c, &t->stored);
  case CLUSTER: return enc_cluster(e, c, &t->stored);
  default: break;
  }
  const char *near = nearest_name(c->name.s, names, COUNT);
  elab_error(e, c->name.span, "unknown encoding '%s'%s%s%s", c->name.s,
             near ? ", did you mean '" : "", near ? near : "",
             near ? "'?" : "");
  return false;
}

/* The blocks have to tile the matrix, else what is packed means nothing. */
static bool sparse_divides(Elab *e, const TypeExpr *t, const Type *type,
                           const Sparse *s) {
  int64_t rows = type->rank ? type->dim[0] : 1;
  int64_t cols = rows ? type_elems(type) / rows : 0, block;
  if (s->n) {
    if (runs_fit(type, s->n) &&
        s->nnz == type_elems(type) / RUN_COLUMNS * s->n)
      return true;
    elab_error(e, t->span, "nm %d:%d with nnz=%lld does not fit a matrix of "
               "%lld x %lld", s->n, RUN_COLUMNS, (long long)s->nnz,
               (long long)rows, (long long)cols);
    return false;
  }
  bool ok = type->rank >= 2 && rows % s->br == 0 && cols % s->bc == 0 &&
            !__builtin_mul_overflow((int64_t)s->br, s->bc, &block) &&
            s->nnz % block == 0 && s->nnz <= type_elems(type);
  if (!ok)
    elab_error(e, t->span,
               "%dx%d blocks with nnz=%lld do not fit a matrix of %lld x "
               "%lld", s->br, s->bc, (long long)s->nnz, (long long)rows,
               (long long)cols);
  return ok;
}

static bool layout_read(Elab *e, const TypeExpr *t, const Encs *c, Type *out) {
  Layout *l = arena_new_of(e->a, Layout);
  if (!layout_parse(e->a, c->text, out->rank, l)) {
    elab_error(e, t->span, "layout \"%s\" does not describe %d dimensions",
               c->text, out->rank);
    return false;
  }
  l->origin = c->origin;
  l->size = c->size;
  memcpy(l->halo, c->halo, sizeof l->halo);
  Text why = {0};
  if (!layout_complete(l, out) || !layout_check(l, out, &why))
    elab_error(e, t->span, "layout \"%s\" does not fit the type%s%s", c->text,
               why.s ? ": " : "", why.s ? why.s : "");
  else
    out->layout = l;
  text_free(&why);
  return out->layout;
}

static bool type_encodings(Elab *e, const TypeExpr *t, Type *out) {
  Encs c = {.s.index = U8, .q = {1.0, 0, -1}};
  if (!t->encs.n || e->o->sample)
    return true;
  if (!e->dump) {
    elab_error(e, t->encs.at[0].name.span,
               "encodings like '%s' stand only in a dump, which begins "
               "with 'dump after=...;'", t->encs.at[0].name.s);
    return false;
  }
  for (size_t i = 0; i < t->encs.n; i++)
    if (!enc_read(e, &t->encs.at[i], &c, out))
      return false;
  if (c.sparse && !sparse_divides(e, t, out, &c.s))
    return false;
  if (c.sparse) {
    Sparse *s = arena_new_of(e->a, Sparse);
    *s = c.s;
    out->sparse = s;
  }
  if (c.quant) {
    Quant *q = arena_new_of(e->a, Quant);
    *q = c.q;
    out->quant = q;
  }
  return !c.layout || layout_read(e, t, &c, out);
}

static bool type_small(Elab *e, const TypeExpr *t, const Type *out) {
  int64_t n = type_elems(out);
  if (n >= 0 && n <= INT64_MAX / 64)
    return true;
  elab_error(e, t->span, "the product of these dimensions does not fit");
  return false;
}

bool elab_type(Elab *e, const TypeExpr *t, Type *out) {
  int64_t dim[MAX_RANK];
  if (!type_rank(e, t))
    return false;
  bool ok = true;
  for (size_t i = 0; i < t->dims.n; i++)
    ok &= type_dim(e, t->dims.at[i], &dim[i]);
  if (!ok)
    return false;
  *out = type_make(t->elem, (int)t->dims.n, dim);
  return type_small(e, t, out) && type_encodings(e, t, out);
}

/* ---- checks against what was found ----------------------------------- */

static const char *type_text(Elab *e, const Type *t) {
  Text s = {0};
  type_print(&s, t);
  char *r = arena_strdup(e->a, s.s);
  text_free(&s);
  return r;
}

bool elab_type_match(Elab *e, const TypeExpr *t, const Type *found,
                     const char *what, Span at) {
  if (!type_rank(e, t))
    return false;
  bool ok = t->elem == found->elem && (int)t->dims.n == found->rank;
  for (size_t i = 0; ok && i < t->dims.n; i++) {
    const Expr *x = t->dims.at[i];
    const char *s = x->kind == EXPR_PATH ? path_single(x->path) : NULL;
    if (s && !var_get(e, s)) {
      var_set(e, s, value_int(found->dim[i]));
      continue;
    }
    int64_t want;
    if (!type_dim(e, x, &want))
      return false;
    ok = want == found->dim[i];
  }
  if (ok)
    return true;
  Type want;
  bool known = (int)t->dims.n <= MAX_RANK;
  for (size_t i = 0; known && i < t->dims.n; i++) {
    const Expr *x = t->dims.at[i];
    const char *s = x->kind == EXPR_PATH ? path_single(x->path) : NULL;
    known = !s || var_get(e, s);
  }
  known = known && elab_type(e, t, &want);
  if (!e->frame->file->prelude)
    elab_also(e, t->span);
  elab_error(e, at, "%s: expected %s, found %s", what,
             known ? type_text(e, &want) : span_text(e->a, t->span),
             type_text(e, found));
  return false;
}

static bool kind_fits(const char *kind, const Value *v) {
  static const struct { const char *name; ValueKind kind; } kinds[] = {
    {"int", VAL_INT}, {"float", VAL_FLOAT}, {"bool", VAL_BOOL},
    {"str", VAL_STR}, {"elem", VAL_ELEM}, {"tensor", VAL_NODE},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kind, kinds[i].name))
      return v->kind == kinds[i].kind;
  return false;
}

static bool kind_known(Elab *e, const TypeExpr *t) {
  static const char *const names[] = {
    "int", "ints", "float", "bool", "str", "elem", "tensor"
  };
  size_t n = sizeof names / sizeof *names;
  for (size_t i = 0; i < n; i++)
    if (!strcmp(t->kind.s, names[i]))
      return true;
  const char *near = nearest_name(t->kind.s, names, n);
  elab_error(e, t->span, "unknown kind '%s'%s%s: expected a tensor type, "
             "int, ints, float, bool, str, elem or tensor", t->kind.s,
             near ? ", nearest is " : "", near ? near : "");
  return false;
}

static void value_widen(Value *v) {
  if (v->kind == VAL_INT)
    *v = value_float((double)v->i);
}

/* Items are of one kind; ints become floats where those are wanted. */
static bool list_check(Elab *e, const char *kind, Value *v, Span at) {
  int64_t n = value_len(v);
  bool widen = !strcmp(kind, "float");
  if (n < 0 || (widen && n > MAX_LIST) || !elab_charge(e, n, at))
    return false;
  Value *to = widen ? arena_array(e->a, Value, (size_t)n + 1) : NULL;
  for (int64_t i = 0; i < n; i++) {
    Value item = value_item(v, i);
    if (widen) {
      value_widen(&item);
      to[i] = item;
    }
    if (!kind_fits(kind, &item))
      return false;
  }
  if (widen)
    *v = value_list(VAL_LIST, to, (size_t)n);
  return true;
}

bool elab_kind_check(Elab *e, const TypeExpr *t, Value *v, const char *name,
                     Span at) {
  bool ok;
  if (!kind_known(e, t))
    return false;
  if (!strcmp(t->kind.s, "ints")) {
    const int64_t *ints;
    int n;
    int64_t len = value_len(v);
    if (len > 0 && !elab_charge(e, len, at))
      return false;
    ok = !t->is_list && value_ints(e->a, v, &ints, &n);
  } else if (!t->is_list) {
    if (!strcmp(t->kind.s, "float"))
      value_widen(v);
    ok = kind_fits(t->kind.s, v);
  } else {
    ok = list_check(e, t->kind.s, v, at);
  }
  if (!ok)
    elab_error(e, at, "%s: expected %s%s, found %s", name,
               t->kind.s, t->is_list ? "[]" : "",
               value_describe(e->a, v));
  return ok;
}
