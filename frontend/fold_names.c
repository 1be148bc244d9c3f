/* fold_names.c - names that differ in numbers from instance to instance: which
 * ints a block must be given so that it can say all of them. */
#include "frontend/fold.h"

#include <string.h>

uint32_t instance_at(const Block *b, uint32_t begin) {
  uint32_t lo = 0, hi = b->n;
  while (hi - lo > 1) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (b->begin[mid] <= begin)
      lo = mid;
    else
      hi = mid;
  }
  ensure(b->begin[lo] == begin);
  return lo;
}

Str path_inside(const Fold *f, const Block *b, uint32_t instance,
                uint32_t at) {
  const char *s = f->node[b->begin[instance] + at]->path;
  s += b->scope[instance] ? b->scope[instance] + 1 : 0;
  return (Str){s, strlen(s)};
}

Str name_inside(const Fold *f, const Block *b, uint32_t instance,
                uint32_t at) {
  const Node *n = f->node[b->begin[instance] + at];
  const char *s = n->from->node + b->origin[instance];
  return (Str){s, strlen(s)};
}

/* ---- numbers ----------------------------------------------------------- */

/* v[0..n) as a variable of the block and what is added to it. */
static void num_steady(Fold *f, Block *b, const int64_t *v, Num *out) {
  uint32_t n = b->n, i = 1;
  while (i < n && v[i] == v[0])
    i++;
  *out = (Num){.var = -1, .list = -1, .add = v[0]};
  if (i == n)
    return;
  for (size_t k = 0; k < b->vars.n; k++) {
    const int64_t *x = b->vars.at[k].value;
    for (i = 1; i < n && v[i] - v[0] == x[i] - x[0]; i++)
      ;
    if (i < n)
      continue;
    out->var = (int)k;
    out->add = v[0] - x[0];
    return;
  }
  NameVar var = {.value = arena_array(f->a, int64_t, n)};
  memcpy(var.value, v, n * sizeof *v);
  *out = (Num){.var = (int)b->vars.n, .list = -1};
  vec_push(f->a, &b->vars, var);
}

/* Ints that follow no rule, as a variable of the repeat. */
static bool num_listed(Fold *f, const Block *b, const int64_t *all,
                       Loop *loop, Num *out) {
  int64_t *v = arena_array(f->a, int64_t, loop->turns);
  for (uint32_t t = 0; t < loop->turns; t++) {
    v[t] = all[t * b->n];
    for (uint32_t i = 1; i < b->n; i++)
      if (all[t * b->n + i] != v[t])
        return false;
  }
  *out = (Num){.var = -1};
  for (size_t k = 0; k < loop->lists.n; k++) {
    const int64_t *x = loop->lists.at[k].value;
    uint32_t t = 0;
    while (x && t < loop->turns && v[t] - v[0] == x[t] - x[0])
      t++;
    if (t < loop->turns)
      continue;
    out->list = (int)k;
    out->add = v[0] - x[0];
    return true;
  }
  out->list = (int)loop->lists.n;
  vec_push(f->a, &loop->lists, ((LoopVar){.value = v}));
  return true;
}

bool num_of(Fold *f, Block *b, const int64_t *all, Loop *loop, Num *out) {
  uint32_t turns = loop ? loop->turns : 1;
  int64_t step = turns > 1 ? all[b->n] - all[0] : 0;
  for (uint32_t t = 1; t < turns; t++)
    for (uint32_t i = 0; i < b->n; i++)
      if (all[t * b->n + i] - all[(t - 1) * b->n + i] != step)
        return num_listed(f, b, all, loop, out);
  num_steady(f, b, all, out);
  out->mul = step;
  return true;
}

/* ---- names ------------------------------------------------------------- */

static void piece_text(Fold *f, Pieces *out, const char *s, size_t n) {
  Piece *last = out->n ? &out->at[out->n - 1] : NULL;
  if (!n)
    return;
  if (last && last->s)
    *last = (Piece){.s = arena_printf(f->a, "%.*s%.*s", (int)last->n, last->s,
                                      (int)n, s), .n = last->n + n};
  else
    vec_push(f->a, out, ((Piece){.s = s, .n = n}));
}

static void piece_num(Fold *f, Pieces *out, Num num) {
  if (num.mul || num.var >= 0 || num.list >= 0) {
    vec_push(f->a, out, ((Piece){.num = num}));
    return;
  }
  const char *s = arena_printf(f->a, "%lld", (long long)num.add);
  piece_text(f, out, s, strlen(s));
}

/* Letters up to the next digit. */
static size_t text_len(Str s, size_t pos) {
  size_t n = pos;
  while (n < s.n && (s.s[n] < '0' || s.s[n] > '9'))
    n++;
  return n - pos;
}

/* Read the next number of each name, or take over `n` letters that all have;
 * false where neither is possible. */
static bool step_all(const Str *all, size_t count, size_t *pos, size_t *n,
                     int64_t *v) {
  const char *s = all[0].s + pos[0];
  size_t run, digits = number_at(s, all[0].s + all[0].n, &run);
  *n = digits ? 0 : run ? run : text_len(all[0], pos[0]);
  for (size_t i = 0; i < count; i++) {
    const char *at = all[i].s + pos[i], *end = all[i].s + all[i].n;
    size_t mine, got = number_at(at, end, &mine);
    if (!digits != !got || (!digits && (mine != run ||
                            (size_t)(end - at) < *n || memcmp(at, s, *n))))
      return false;
    v[i] = 0;
    for (size_t k = 0; k < got; k++)
      v[i] = 10 * v[i] + (at[k] - '0');
    pos[i] += digits ? got : *n;
  }
  return true;
}

bool name_pieces(Fold *f, Block *b, const Str *all, Loop *loop, Pieces *out) {
  size_t count = (size_t)b->n * (loop ? loop->turns : 1), n;
  Arena *scratch = arena_new();
  size_t *pos = arena_array(scratch, size_t, count);
  int64_t *v = arena_array(scratch, int64_t, count);
  bool ok = true;
  *out = (Pieces){0};
  while (ok && pos[0] < all[0].n) {
    const char *s = all[0].s + pos[0];
    Num num;
    ok = step_all(all, count, pos, &n, v);
    if (ok && n)
      piece_text(f, out, s, n);
    else if (ok && (ok = num_of(f, b, v, loop, &num)))
      piece_num(f, out, num);
  }
  for (size_t i = 0; i < count && ok; i++)
    ok = pos[i] == all[i].n;
  arena_free(scratch);
  return ok;
}

size_t names_vars(Fold *f, Block *b, size_t most) {
  Str *all = arena_array(f->a, Str, b->n);
  Pieces p;
  for (uint32_t at = 0; at < b->len && b->vars.n <= most; at++) {
    for (uint32_t i = 0; i < b->n; i++)
      all[i] = path_inside(f, b, i, at);
    name_pieces(f, b, all, NULL, &p);
    for (uint32_t i = 0; i < b->n; i++)
      all[i] = name_inside(f, b, i, at);
    name_pieces(f, b, all, NULL, &p);
  }
  size_t n = b->vars.n;
  b->vars.n = 0;
  return n;
}
