/* layout.c - layouts: strides, text, completeness, and the strided layouts
 * that passes make. */
#include "ir/ir.h"

#include <ctype.h>
#include <string.h>

void strides_dense(const Type *t, int64_t stride[MAX_RANK]) {
  int64_t s = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    stride[i] = s;
    if (__builtin_mul_overflow(s, t->dim[i], &s)) s = INT64_MAX;
  }
}

bool layout_strides(const Type *t, int64_t stride[MAX_RANK], int64_t *origin) {
  *origin = t->layout ? t->layout->origin : 0;
  if (!t->layout) {
    strides_dense(t, stride);
    return true;
  }
  for (int i = 0; i < t->layout->nterms; i++) {
    const LayoutTerm *e = &t->layout->term[i];
    if (e->block) return false;
    int64_t s = e->stride;
    for (int k = e->naxes - 1; k >= 0; k--) {
      stride[e->axis + k] = s;
      s *= t->dim[e->axis + k];
    }
  }
  return true;
}

/* Number of index values of a term; -1 on overflow. */
static int64_t term_extent(const LayoutTerm *e, const Type *t) {
  if (e->inner) return e->block;
  Type axes = type_make(t->elem, e->naxes, t->dim + e->axis);
  int64_t n = type_elems(&axes);
  return e->block && n > 0 ? (n - 1) / e->block + 1 : n;
}

/* ---- making --------------------------------------------------------- */

Layout *layout_strided(Arena *a, const Type *t, const int64_t *stride,
                       int64_t origin, int64_t size, const int32_t halo[4]) {
  Layout *l = arena_new_of(a, Layout);
  l->nterms = t->rank;
  for (int i = 0; i < t->rank; i++)
    l->term[i] = (LayoutTerm){(uint8_t)i, 1, false, 0, stride[i]};
  l->origin = origin;
  l->size = size;
  for (int i = 0; halo && i < 4; i++) l->halo[i] = halo[i];
  return l;
}

static int64_t mul_checked(int64_t a, int64_t b) {
  int64_t c;
  ensure(!__builtin_mul_overflow(a, b, &c));
  return c;
}

static int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

/* One gap of max(left, right) between two rows serves both: the column left
 * of row h is the gap behind row h-1.  The stride of a plane is an odd
 * number of vectors, so that equal pixels of neighbouring channels fall into
 * different cache sets; planes share no element, halo included. */
Layout *layout_planes(Arena *a, const Type *t, int lanes,
                      const int32_t halo[4]) {
  ensure(t->rank == 4 && lanes > 0);
  int64_t top = halo[0], bottom = halo[1], left = halo[2], right = halo[3];
  int64_t pitch = t->dim[3] + (left > right ? left : right);
  int64_t rows = top + t->dim[2] + bottom;
  int64_t vectors = (mul_checked(rows, pitch) + left + lanes - 1) / lanes;
  int64_t plane = (vectors | 1) * lanes;
  int64_t image = mul_checked(t->dim[1], plane);
  int64_t stride[4] = {image, plane, pitch, 1};
  int64_t origin = round_up(mul_checked(top, pitch) + left, lanes);
  int64_t size = origin + mul_checked(t->dim[0], image) + 4 * (int64_t)lanes;
  return layout_strided(a, t, stride, origin, size, halo);
}

Layout *layout_rows(Arena *a, const Type *t, const Type *whole,
                    int64_t start, int64_t step) {
  const Layout *l = whole->layout;
  int64_t stride[MAX_RANK], origin;
  ensure(t->rank == 4 && l && layout_strides(whole, stride, &origin));
  int32_t halo[4] = {start == 0 ? l->halo[0] : 0,
                     start + t->dim[2] == whole->dim[2] ? l->halo[1] : 0,
                     l->halo[2], l->halo[3]};
  origin += start * stride[2];
  stride[2] *= step;
  return layout_strided(a, t, stride, origin, l->size,
                        step == 1 ? halo : NULL);
}

bool type_is_rows(const Type *t, const Type *whole, int64_t start,
                  int64_t step) {
  int64_t ts[MAX_RANK], ws[MAX_RANK], at, from;
  if (t->rank != 4 || whole->rank != 4 || !t->layout || !whole->layout ||
      start < 0 || step < 1 || t->dim[2] < 1 ||
      start + (t->dim[2] - 1) * step >= whole->dim[2] ||
      t->layout->size != whole->layout->size ||
      !layout_strides(t, ts, &at) || !layout_strides(whole, ws, &from))
    return false;
  for (int i = 0; i < 4; i++)
    if (ts[i] != ws[i] * (i == 2 ? step : 1) ||
        (i != 2 && t->dim[i] != whole->dim[i]))
      return false;
  return at == from + start * ws[2];
}

Layout *layout_tokens(Arena *a, const Type *t, int lanes) {
  int last = t->rank - 1;
  ensure(last > 0 && lanes > 0);
  int64_t stride[MAX_RANK], tokens = 1;
  for (int i = last - 1; i >= 0; i--) {
    stride[i] = tokens;
    tokens = mul_checked(tokens, t->dim[i]);
  }
  stride[last] = ((round_up(tokens, lanes) / lanes) | 1) * lanes;
  int64_t size = mul_checked(t->dim[last], stride[last]) + 4 * (int64_t)lanes;
  return layout_strided(a, t, stride, 0, size, NULL);
}

bool type_is_tokens(const Type *t, int64_t *plane) {
  int64_t stride[MAX_RANK], at, tokens = 1;
  int last = t->rank - 1;
  if (!t->layout || last < 1 || !layout_strides(t, stride, &at)) return false;
  for (int i = last - 1; i >= 0; i--) {
    if (stride[i] != tokens && t->dim[i] > 1) return false;
    tokens *= t->dim[i];
  }
  *plane = stride[last];
  return stride[last] >= tokens;
}

/* ---- completeness --------------------------------------------------- */

/* Every axis stands in exactly one unblocked term, or in an outer and an
 * inner term of the same axes and block, the outer first. */
static bool terms_cover(const Layout *l, int rank) {
  int seen[MAX_RANK] = {0}, block[MAX_RANK] = {0}, group[MAX_RANK] = {0};
  for (int i = 0; i < l->nterms; i++) {
    const LayoutTerm *e = &l->term[i];
    if (e->naxes < 1 || e->axis + e->naxes > rank || e->block < 0)
      return false;
    for (int k = e->axis; k < e->axis + e->naxes; k++) {
      int want = e->inner ? 1 : 0, id = e->axis * 16 + e->naxes;
      if (seen[k] != want || (e->inner && e->block < 1)) return false;
      if (e->inner && (block[k] != e->block || group[k] != id)) return false;
      block[k] = e->block;
      group[k] = id;
      seen[k] = e->inner ? 3 : e->block ? 1 : 2;
    }
  }
  for (int k = 0; k < rank; k++)
    if (seen[k] < 2) return false;
  return true;
}

/* Largest index that an element has, relative to the origin; -1 when there
 * is none; false on overflow. */
static bool layout_reach(const Layout *l, const Type *t, int64_t *out) {
  int64_t reach = 0;
  for (int i = 0; i < l->nterms; i++) {
    int64_t n = term_extent(&l->term[i], t), step;
    if (n == 0) {
      *out = -1;
      return true;
    }
    if (n < 0 || __builtin_mul_overflow(n - 1, l->term[i].stride, &step) ||
        __builtin_add_overflow(reach, step, &reach))
      return false;
  }
  *out = reach;
  return true;
}

bool layout_complete(Layout *l, const Type *t) {
  if (!terms_cover(l, t->rank)) return false;
  int64_t next = 1, reach;
  for (int i = l->nterms - 1; i >= 0; i--) {
    LayoutTerm *e = &l->term[i];
    int64_t n = term_extent(e, t);
    if (e->stride < 0) e->stride = next;
    if (n < 0 || __builtin_mul_overflow(n, e->stride, &next)) return false;
  }
  if (!layout_reach(l, t, &reach)) return false;
  if (l->size == 0) l->size = l->origin + reach + 1;
  return true;
}

/* No two elements lie in one place: a term steps over all that the terms of
 * smaller strides reach. */
static bool layout_apart(const Layout *l, const Type *t) {
  for (int i = 0; i < l->nterms; i++) {
    int64_t n = term_extent(&l->term[i], t), stride = l->term[i].stride;
    int64_t reach = 0;
    if (n == 0) return true;
    for (int k = 0; n > 1 && k < l->nterms; k++) {
      int64_t m = term_extent(&l->term[k], t), s = l->term[k].stride;
      if (k != i && (s < stride || (s == stride && k > i)) && m > 1)
        reach += (m - 1) * s;
    }
    if (n > 1 && stride <= reach) return false;
  }
  return true;
}

bool layout_check(const Layout *l, const Type *t, Text *why) {
  int64_t reach;
  for (int i = 0; i < l->nterms; i++)
    if (l->term[i].stride < 0) {
      text_puts(why, "layout has a term without stride");
      return false;
    }
  if (!terms_cover(l, t->rank) || !layout_reach(l, t, &reach)) {
    text_puts(why, "layout does not speak of every axis once");
    return false;
  }
  if (reach >= 0 && !layout_apart(l, t)) {
    text_puts(why, "layout puts two elements in one place");
    return false;
  }
  int64_t before = 0, after = 0, stride[MAX_RANK], origin;
  const int32_t *halo = l->halo;
  Type u = *t;
  u.layout = l;
  bool any = halo[0] || halo[1] || halo[2] || halo[3];
  if (any) {
    int r = t->rank;
    if (r < 2 || !layout_strides(&u, stride, &origin)) {
      text_puts(why, "only an unblocked layout of rank 2 or more has a halo");
      return false;
    }
    for (int i = 0; i < 4; i++) {
      int64_t *sum = i % 2 ? &after : &before, reach_i;
      if (halo[i] < 0 ||
          __builtin_mul_overflow(halo[i], stride[r - 2 + i / 2], &reach_i) ||
          __builtin_add_overflow(*sum, reach_i, sum)) {
        text_puts(why, "halo is not sane");
        return false;
      }
    }
  }
  if (reach < 0) before = after = 0;   /* no element, no neighbour of one */
  if (l->origin >= before && l->size >= l->origin &&
      reach < l->size - l->origin - after)
    return true;
  text_printf(why, "layout reaches from %lld to %lld, size is %lld",
              (long long)(l->origin - before),
              (long long)(l->origin + reach + after), (long long)l->size);
  return false;
}

bool layout_equal(const Layout *a, const Layout *b) {
  if (!a || !b) return a == b;
  if (a->nterms != b->nterms || a->origin != b->origin ||
      a->size != b->size || memcmp(a->halo, b->halo, sizeof a->halo))
    return false;
  for (int i = 0; i < a->nterms; i++) {
    const LayoutTerm *x = &a->term[i], *y = &b->term[i];
    if (x->axis != y->axis || x->naxes != y->naxes ||
        x->inner != y->inner || x->block != y->block ||
        x->stride != y->stride)
      return false;
  }
  return true;
}

/* ---- text ----------------------------------------------------------- */

static const char letters[] = "nchw";

void layout_print(Text *out, const Layout *l, const Type *t) {
  int64_t fallback[2 * MAX_RANK], next = 1;
  for (int i = l->nterms - 1; i >= 0; i--) {
    fallback[i] = next;
    int64_t n = term_extent(&l->term[i], t);
    if (__builtin_mul_overflow(n, l->term[i].stride, &next)) next = -1;
  }
  for (int i = 0; i < l->nterms; i++) {
    const LayoutTerm *e = &l->term[i];
    if (i) text_putc(out, ',');
    if (e->inner) text_printf(out, "%d", e->block);
    for (int k = e->axis; k < e->axis + e->naxes; k++) {
      if (t->rank == 4)
        text_putc(out, letters[k]);
      else
        text_printf(out, "a%d", k);
    }
    if (e->block && !e->inner) text_printf(out, "/%d", e->block);
    if (e->stride != fallback[i])
      text_printf(out, ":%lld", (long long)e->stride);
  }
}

/* A number of at most `max`; false when there is none. */
static bool number_parse(const char **s, int64_t max, int64_t *out) {
  int64_t v = 0;
  if (!isdigit((unsigned char)**s)) return false;
  while (isdigit((unsigned char)**s)) {
    int digit = *(*s)++ - '0';
    if (v > (max - digit) / 10) return false;
    v = 10 * v + digit;
  }
  *out = v;
  return true;
}

/* An axis: a letter of nchw at rank 4, or a0 to a7. */
static int axis_parse(const char **s, int rank) {
  const char *at = **s ? strchr(letters, **s) : NULL;
  int axis = -1;
  if (rank == 4 && at) {
    axis = (int)(at - letters);
    *s += 1;
  } else if (**s == 'a' && (*s)[1] >= '0' && (*s)[1] < '0' + MAX_RANK) {
    axis = (*s)[1] - '0';
    *s += 2;
  }
  return axis < rank ? axis : -1;
}

static bool term_parse(const char **s, int rank, LayoutTerm *e) {
  int64_t block = 0;
  *e = (LayoutTerm){.stride = -1};
  if (isdigit((unsigned char)**s)) {
    if (!number_parse(s, INT32_MAX, &block) || block < 1) return false;
    e->inner = true;
  }
  int axis = axis_parse(s, rank);
  if (axis < 0) return false;
  e->axis = (uint8_t)axis;
  e->naxes = 1;
  while (**s && **s != ',' && **s != '/' && **s != ':') {
    if (axis_parse(s, rank) != e->axis + e->naxes) return false;
    e->naxes++;
  }
  if (**s == '/') {
    ++*s;
    if (e->inner || !number_parse(s, INT32_MAX, &block) || block < 1)
      return false;
  }
  e->block = (int32_t)block;
  if (**s != ':') return true;
  ++*s;
  return number_parse(s, INT64_MAX, &e->stride);
}

bool layout_parse(Arena *a, const char *s, int rank, Layout *out) {
  (void)a;
  Layout l = {0};
  if (strcmp(s, "nhwc") == 0) s = "n,h,w,c";
  while (*s) {
    if (l.nterms == 2 * MAX_RANK) return false;
    if (!term_parse(&s, rank, &l.term[l.nterms++])) return false;
    if (*s == ',') {
      s++;
      if (!*s) return false;
    } else if (*s) {
      return false;
    }
  }
  *out = l;
  return true;
}
