/* onnx_einsum.c - sums of products by an equation of ONNX, "bij,bjk->bik":
 * operands are taken together one after the other, each pair by a product of
 * matrices where axes are summed and elementwise where none is. */
#include "frontend/onnx.h"

#include <string.h>

enum {
  LETTERS = 52,
  LABELS = LETTERS + MAX_RANK,   /* behind the letters, axes of "..." */
  TERMS_MOST = 64
};

/* The axes of a value, by their labels. */
typedef struct Term {
  Node *x;
  int n;
  uint8_t label[MAX_RANK];
} Term;

typedef uint64_t Set;            /* of labels */

typedef struct Einsum {
  Ox *o;
  int n;
  Term term[TERMS_MOST], out;
  int64_t dim[LABELS];           /* 0: not seen so far */
  int dots;                      /* most axes of any "..." */
  int type;
} Einsum;

static Set one(int label) { return (Set)1 << label; }

static Set set_of(const Term *t) {
  Set s = 0;
  for (int i = 0; i < t->n; i++)
    s |= one(t->label[i]);
  return s;
}

/* ---- the equation --------------------------------------------------- */

static int letter(char c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  return c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

/* Axes of "..." are numbered from the last one. */
static bool dots_read(Einsum *e, Term *t, int n) {
  if (n < 0 || n > MAX_RANK || t->n + n > MAX_RANK)
    return ox_malformed(e->o, "its operand has too few or too many axes");
  for (int i = n; i-- > 0;)
    t->label[t->n++] = (uint8_t)(LETTERS + i);
  if (n > e->dots)
    e->dots = n;
  return true;
}

/* One term, up to a comma, an arrow or the end. `dots`: how many axes "..."
 * stands for; of the operand of rank `rank` what letters leave. */
static bool term_read(Einsum *e, const char **s, Term *t, int rank) {
  const char *p = *s;
  int letters = 0, at = -1;
  for (const char *q = p; *q && *q != ',' && *q != '-'; q++)
    letters += letter(*q) >= 0;
  for (; *p && *p != ',' && *p != '-'; p++) {
    if (*p == ' ')
      continue;
    if (!strncmp(p, "...", 3) && at < 0) {
      at = t->n;
      if (!dots_read(e, t, rank < 0 ? e->dots : rank - letters))
        return false;
      p += 2;
    } else if (letter(*p) >= 0 && t->n < MAX_RANK) {
      t->label[t->n++] = (uint8_t)letter(*p);
    } else {
      return ox_malformed(e->o, "'%s' is no term of an equation", *s);
    }
  }
  *s = p;
  return rank < 0 || t->n == rank ||
         ox_malformed(e->o, "a term has %d axes, its operand %d", t->n,
                      rank);
}

/* Without an arrow: "..." and then the letters that occur once. */
static void out_implied(Einsum *e) {
  int count[LABELS] = {0};
  for (int k = 0; k < e->n; k++)
    for (int i = 0; i < e->term[k].n; i++)
      count[e->term[k].label[i]]++;
  for (int i = e->dots; i-- > 0;)
    e->out.label[e->out.n++] = (uint8_t)(LETTERS + i);
  for (int l = 0; l < LETTERS && e->out.n < MAX_RANK; l++)
    if (count[l] == 1)
      e->out.label[e->out.n++] = (uint8_t)l;
}

static bool out_read(Einsum *e, const char *s) {
  Set seen = 0, all = 0;
  if (*s) {
    if (strncmp(s, "->", 2))
      return ox_malformed(e->o, "expected \"->\", found '%s'", s);
    s += 2;
    if (!term_read(e, &s, &e->out, -1))
      return false;
    if (*s)
      return ox_malformed(e->o, "expected the end, found '%s'", s);
  } else {
    out_implied(e);
  }
  for (int k = 0; k < e->n; k++)
    all |= set_of(&e->term[k]);
  for (int i = 0; i < e->out.n; i++) {
    Set l = one(e->out.label[i]);
    if (seen & l || !(all & l))
      return ox_malformed(e->o, "an axis of the result is no axis of an "
                          "operand, or is named twice");
    seen |= l;
  }
  return true;
}

/* A size of 1 stretches. */
static bool sizes_read(Einsum *e) {
  for (int l = 0; l < LABELS; l++)
    e->dim[l] = -1;
  for (int k = 0; k < e->n; k++) {
    const Term *t = &e->term[k];
    for (int i = 0; i < t->n; i++) {
      int64_t n = t->x->type.dim[i], *all = &e->dim[t->label[i]];
      if (*all >= 0 && *all != n && *all != 1 && n != 1)
        return ox_malformed(e->o, "an axis has %lld and %lld elements",
                            (long long)*all, (long long)n);
      if (*all < 0 || *all == 1)
        *all = n;
    }
  }
  return true;
}

static bool equation_read(Einsum *e) {
  const char *s = ox_str(e->o, "equation", NULL);
  int nin = ox_nin(e->o);
  if (!s)
    return ox_malformed(e->o, "the attribute 'equation' is missing");
  if (nin < 1 || nin > TERMS_MOST)
    return ox_refuse(e->o, "%d operands", nin);
  for (; e->n < nin; e->n++) {
    Term *t = &e->term[e->n];
    t->x = ox_number(e->o, e->n);
    if (!t->x || !term_read(e, &s, t, t->x->type.rank))
      return false;
    if (e->n + 1 < nin && *s++ != ',')
      return ox_malformed(e->o, "it has fewer terms than operands");
  }
  return out_read(e, s) && sizes_read(e);
}

/* ---- one term ------------------------------------------------------- */

static int place_of(const Term *t, int label) {
  int i = 0;
  while (i < t->n && t->label[i] != label)
    i++;
  return i;
}

/* Its axes in that order. */
static Node *arranged(Einsum *e, const Term *t, const uint8_t *label) {
  int64_t order[MAX_RANK];
  for (int i = 0; i < t->n; i++)
    order[i] = place_of(t, label[i]);
  return ox_permute(e->o, t->x, order);
}

static void term_drop(Term *t, int axis) {
  memmove(t->label + axis, t->label + axis + 1,
          (size_t)(t->n - axis - 1));
  t->n--;
}

/* Of two axes i < k with one label, elements with equal places: every
 * n+1st of both as one. */
static void diagonal(Einsum *e, Term *t, int i, int k) {
  int64_t order[MAX_RANK], dim[MAX_RANK], n = t->x->type.dim[i];
  int label = t->label[i], rank = 0;
  if (n > INT32_MAX) {
    ox_refuse(e->o, "an axis of %lld elements twice", (long long)n);
    t->x = NULL;
    return;
  }
  for (int a = 0; a < t->n; a++)
    if (a != i && a != k)
      dim[rank] = t->x->type.dim[a], order[rank++] = a;
  order[rank] = i, order[rank + 1] = k;
  dim[rank] = n * n;
  Node *y = ox_permute(e->o, t->x, order);
  y = ox_reshape(e->o, y, rank + 1, dim);
  t->x = ox_slice(e->o, y, rank, 0, n * n, n + 1);
  term_drop(t, k);
  term_drop(t, i);
  t->label[t->n++] = (uint8_t)label;
}

static void diagonals(Einsum *e, Term *t) {
  for (int i = 0; i < t->n; i++)
    for (int k = i + 1; k < t->n && t->x; k++) {
      if (t->label[i] == t->label[k]) {
        diagonal(e, t, i, k);
        i = -1;
        break;
      }
    }
}

/* Without the axes of size 1 that others stretch, and those that are in no
 * set of what is needed, summed. */
static void term_sum(Einsum *e, Term *t, Set needed) {
  int64_t axes[MAX_RANK];
  int n = 0;
  for (int i = t->n; t->x && i-- > 0;) {
    if (t->x->type.dim[i] == 1 && e->dim[t->label[i]] != 1) {
      t->x = ox_squeeze(e->o, t->x, i);
      term_drop(t, i);
    }
  }
  Term kept = {.x = t->x};
  for (int i = 0; i < t->n; i++) {
    if (needed & one(t->label[i]))
      kept.label[kept.n++] = t->label[i];
    else
      axes[n++] = i;
  }
  if (n && t->x)
    kept.x = ox_reduce(e->o, OP_SUM, t->x, axes, n, false);
  *t = kept;
}

/* ---- two terms ------------------------------------------------------ */

/* Labels in groups: those of a set, in the order of a term. */
typedef struct Group { int n; uint8_t label[MAX_RANK]; } Group;

static Group group_of(const Term *t, Set s) {
  Group g = {0};
  for (int i = 0; i < t->n; i++)
    if (s & one(t->label[i]))
      g.label[g.n++] = t->label[i];
  return g;
}

static void group_add(Term *t, const Group *g) {
  for (int i = 0; i < g->n; i++)
    t->label[t->n++] = g->label[i];
}

static int64_t group_size(const Einsum *e, const Group *g) {
  int64_t dim[MAX_RANK];
  for (int i = 0; i < g->n; i++)
    dim[i] = e->dim[g->label[i]];
  Type t = type_make(F32, g->n, dim);
  return type_elems(&t);
}

/* The term as matrices [batch,rows,columns], each group one axis, the first
 * only where there is a batch; turned: as they lie, columns before rows. */
static Node *matrices(Einsum *e, const Term *t, const Group *batch,
                      const Group *rows, const Group *cols, bool *turned) {
  Term want = {0}, other = {0};
  group_add(&want, batch), group_add(&want, rows), group_add(&want, cols);
  group_add(&other, batch), group_add(&other, cols), group_add(&other, rows);
  *turned = memcmp(t->label, want.label, (size_t)t->n) &&
            !memcmp(t->label, other.label, (size_t)t->n);
  Node *x = *turned ? t->x : arranged(e, t, want.label);
  int64_t dim[3], b = group_size(e, batch), r = group_size(e, rows);
  int rank = 0;
  int64_t c = group_size(e, cols);
  if (batch->n)
    dim[rank++] = b;
  dim[rank++] = *turned ? c : r;
  dim[rank++] = *turned ? r : c;
  return ox_reshape(e->o, x, rank, dim);
}

/* Integers, which matmul does not take: all products, summed. */
static Node *products(Einsum *e, Node *a, Node *b, bool ta, bool tb) {
  Ox *o = e->o;
  if (!a || !b)
    return NULL;
  int rank = a->type.rank;
  int64_t turn[3] = {0, rank - 1, rank - 2}, last = rank;
  turn[0] = rank == 3 ? 0 : 1;
  if (rank == 2)
    turn[1] = 0;
  if (ta)
    a = ox_permute(o, a, turn);
  if (!tb)
    b = ox_permute(o, b, turn);
  a = ox_unsqueeze(o, a, rank - 1);
  b = ox_unsqueeze(o, b, rank - 2);
  return ox_reduce(o, OP_SUM, ox_op2(o, OP_MUL, a, b), &last, 1, false);
}

/* Sums over what both have and nothing else needs. */
static void contract(Einsum *e, Term *a, const Term *b, Set needed) {
  Ox *o = e->o;
  Set sa = set_of(a), sb = set_of(b);
  Group batch = group_of(a, sa & sb & needed);
  Group sum = group_of(a, sa & sb & ~needed);
  Group rows = group_of(a, sa & ~sb), cols = group_of(b, sb & ~sa);
  Term y = {0};
  if (batch.n + rows.n + cols.n > MAX_RANK) {
    ox_refuse(o, "more than %d axes", MAX_RANK);
    a->x = NULL;
    return;
  }
  bool ta, tb;
  Node *p = matrices(e, a, &batch, &rows, &sum, &ta);
  Node *q = matrices(e, b, &batch, &sum, &cols, &tb);
  if (p && p->type.elem == F32) {
    y.x = ox_begin(o, OP_MATMUL, (Node *[]){p, q}, 2);
    if (y.x) {
      attr_set_bool(y.x, "transpose_a", ta);
      attr_set_bool(y.x, "transpose_b", tb);
    }
    y.x = ox_end(o, y.x);
  } else {
    y.x = products(e, p, q, ta, tb);
  }
  group_add(&y, &batch), group_add(&y, &rows), group_add(&y, &cols);
  int64_t dim[MAX_RANK];
  for (int i = 0; i < y.n; i++)
    dim[i] = e->dim[y.label[i]];
  y.x = ox_reshape(o, y.x, y.n, dim);
  *a = y;
}

/* Elementwise: b's axes stand where a has them, or behind. */
static void multiply(Einsum *e, Term *a, const Term *b) {
  Ox *o = e->o;
  Group more = group_of(b, set_of(b) & ~set_of(a));
  Term y = *a, sorted = {0};
  if (y.n + more.n > MAX_RANK) {
    ox_refuse(o, "more than %d axes", MAX_RANK);
    a->x = NULL;
    return;
  }
  group_add(&y, &more);
  int64_t da[MAX_RANK], db[MAX_RANK];
  for (int i = 0; i < y.n; i++) {
    int l = y.label[i];
    bool in = set_of(b) & one(l);
    da[i] = i < a->n ? e->dim[l] : 1;
    db[i] = in ? e->dim[l] : 1;
    if (in)
      sorted.label[sorted.n++] = (uint8_t)l;
  }
  Node *q = ox_reshape(o, arranged(e, b, sorted.label), y.n, db);
  y.x = ox_op2(o, OP_MUL, ox_reshape(o, a->x, y.n, da), q);
  *a = y;
}

/* ---- all ------------------------------------------------------------ */

static Node *einsum(Einsum *e) {
  Set out = set_of(&e->out), after[TERMS_MOST + 1];
  after[e->n] = out;
  for (int k = e->n; k-- > 0;)
    after[k] = after[k + 1] | set_of(&e->term[k]);
  Set before = 0;
  for (int k = 0; k < e->n; k++) {
    Term *t = &e->term[k];
    diagonals(e, t);
    term_sum(e, t, before | after[k + 1]);
    before |= set_of(t);
  }
  Term *y = &e->term[0];
  for (int k = 1; k < e->n && y->x; k++) {
    const Term *t = &e->term[k];
    Set needed = after[k + 1];
    if (!t->x)
      return NULL;
    if (set_of(y) & set_of(t) & ~needed)
      contract(e, y, t, needed);
    else
      multiply(e, y, t);
    term_sum(e, y, needed);
  }
  return y->x && y->n == e->out.n ? arranged(e, y, e->out.label) : y->x;
}

bool ox_write_einsum(Ox *o) {
  Einsum e = {.o = o, .type = ox_in_type(o, 0)};
  if (!equation_read(&e))
    return false;
  return ox_give_number(o, ox_wrap(o, einsum(&e), e.type));
}
