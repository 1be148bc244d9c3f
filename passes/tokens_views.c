/* tokens_views.c - tokens through ops that move values, for
 * passes/tokens_follow.c.  A cut along the token axis takes all tokens or
 * none of them: what one token alone is asked for may go. */
#include <string.h>

#include "passes/tokens.h"

static void edit_int(Follow *w, Node *n, const char *name, int64_t v) {
  Edit e = {.n = n, .copy = -1, .name = name, .v = v};
  vec_push(w->a, &w->edits, e);
}

static bool edit_shape(Follow *w, Node *n, const TokenShape *y) {
  Edit e = {.n = n, .copy = -1, .name = "shape", .is_shape = true};
  if (!type_kept(w, &n->type, y, &e.shape))
    return follow_why(w, n, "a size is no multiple of that of the tokens");
  vec_push(w->a, &w->edits, e);
  return true;
}

/* Where an entry that stays is found among fewer; -1: it is a token. */
static int64_t entry_kept(const Follow *w, const Lot *l, int64_t i) {
  if (i < l->front) return i;
  return i >= l->front + l->all ? i - l->all + w->kept : -1;
}

static bool not_alone(Follow *w, const Node *n) {
  return follow_why(w, n, "expected an axis of tokens alone, found them "
                    "merged with another one");
}

/* ---- reshape, permute, expand ---------------------------------------- */

static bool follow_reshape(Follow *w, Node *n, TokenShape *y) {
  const Type *x = &n->in[0]->type;
  Sizes z = {.n = 0, .plain = {1}};
  if (type_elems(x) <= 0) return follow_why(w, n, "it has no elements");
  for (int i = 0; i < x->rank; i++) {
    const TokenAxis *t = axis_of(w, n, 0, i);
    if (!t->lot.all) {
      z.plain[z.n] *= x->dim[i];
      continue;
    }
    z.plain[z.n] *= t->outer;
    z.lot[z.n++] = t->lot;
    z.plain[z.n] = t->inner;
  }
  if (!sizes_cut(&z, &n->type, y))
    return follow_why(w, n, "it takes the tokens apart, or two lots of them "
                      "together");
  return edit_shape(w, n, y);
}

static bool follow_permute(Follow *w, Node *n, TokenShape *y) {
  const int64_t *order = attr_ints(n, "order", NULL);
  for (int i = 0; i < n->type.rank; i++)
    y->axis[i] = *axis_of(w, n, 0, (int)order[i]);
  return true;
}

static bool follow_expand(Follow *w, Node *n, TokenShape *y) {
  int skip = n->type.rank - n->in[0]->type.rank;
  for (int i = skip; i < n->type.rank; i++)
    y->axis[i] = *axis_of(w, n, 0, i - skip);
  return edit_shape(w, n, y);
}

/* ---- along an axis --------------------------------------------------- */

/* Beside the tokens of one operand lie the others. */
static bool concat_axis(Follow *w, const Node *n, int axis, TokenAxis *y) {
  int64_t size = 0;
  *y = (TokenAxis){{0, 0, 0}, 1, 1};
  for (int k = 0; k < n->nin; k++) {
    const TokenAxis *t = axis_of(w, n, k, axis);
    int64_t dim = n->in[k]->type.dim[axis];
    if (!t->lot.all) {
      size += dim;
      if (y->lot.all) y->lot.back += dim;
      continue;
    }
    if (y->lot.all)
      return follow_why(w, n, "two lots of tokens lie side by side");
    if (!axis_is_lot(t)) return not_alone(w, n);
    y->lot = t->lot;
    y->lot.front += size;
  }
  return true;
}

static bool follow_concat(Follow *w, Node *n, TokenShape *y) {
  int axis = node_axis(n, n->type.rank);
  Labels *l = labels_new(w, n);
  TokenAxis t;
  for (int k = 0; k < n->nin; k++)
    for (int i = 0; i < n->type.rank; i++)
      l[k][i] = i != axis ? i
                : axis_of(w, n, k, i)->lot.all ? LABELS - 1 : LABEL_NONE;
  if (!concat_axis(w, n, axis, &t) || !labels_join(w, n, l, y)) return false;
  y->axis[axis] = t;
  return true;
}

static bool follow_slice(Follow *w, Node *n, TokenShape *y) {
  int axis = node_axis(n, n->type.rank);
  const TokenAxis *t = axis_of(w, n, 0, axis);
  for (int i = 0; i < n->type.rank; i++) y->axis[i] = *axis_of(w, n, 0, i);
  if (!t->lot.all) return true;
  if (!axis_is_lot(t)) return not_alone(w, n);
  int64_t size = lot_size(&t->lot), to = t->lot.front + t->lot.all;
  int64_t start = attr_int(n, "start"), stop = attr_int(n, "stop");
  if (start < 0) start += size;
  if (stop < 0) stop += size;
  bool none = stop <= t->lot.front || start >= to;
  bool all = start <= t->lot.front && stop >= to && attr_int(n, "step") == 1;
  if (!none && !all)
    return follow_why(w, n, "it takes some of the tokens, %lld to %lld of "
                      "entries of which %lld to %lld are tokens",
                      (long long)start, (long long)stop,
                      (long long)t->lot.front, (long long)to);
  y->axis[axis] = (TokenAxis){{0, 0, 0}, 1, 1};
  if (all)
    y->axis[axis].lot = (Lot){t->lot.front - start, t->lot.all, stop - to};
  int64_t less = t->lot.all - w->kept;
  edit_int(w, n, "start", start >= to ? start - less : start);
  edit_int(w, n, "stop", stop >= to ? stop - less : stop);
  return true;
}

static bool follow_select(Follow *w, Node *n, TokenShape *y) {
  int rank = n->in[0]->type.rank, axis = node_axis(n, rank);
  const TokenAxis *t = axis_of(w, n, 0, axis);
  int64_t index = attr_int(n, "index");
  for (int i = 0; i < n->type.rank; i++)
    y->axis[i] = *axis_of(w, n, 0, i < axis ? i : i + 1);
  if (!t->lot.all) return true;
  if (!axis_is_lot(t)) return not_alone(w, n);
  if (index < 0) index += lot_size(&t->lot);
  int64_t to = entry_kept(w, &t->lot, index);
  if (to < 0)
    return follow_why(w, n, "it takes token %lld alone, which may be gone",
                      (long long)(index - t->lot.front));
  edit_int(w, n, "index", to);
  return true;
}

/* Below 0 is 0. */
static bool place_in_front(int64_t place, const Lot *l) {
  return (place < 0 ? 0 : place) < l->front;
}

/* Constant places of entries before the tokens stay what they are. */
static bool index_in_front(const Node *index, const Lot *l) {
  const void *v = index->op == OP_PARAM ? param_data(index->param) : NULL;
  if (index->op == OP_CONST && !index->free)
    return place_in_front(index->ivalue, l);
  for (int64_t i = 0; v && i < type_elems(&index->type); i++)
    if (!place_in_front(elem_load_int(index->type.elem, v, (size_t)i), l))
      return false;
  return v != NULL;
}

static bool follow_gather(Follow *w, Node *n, TokenShape *y) {
  int at = node_axis(n, n->in[0]->type.rank), wide = n->in[1]->type.rank;
  const TokenAxis *t = axis_of(w, n, 0, at);
  if (t->lot.all && (!axis_is_lot(t) || !index_in_front(n->in[1], &t->lot)))
    return follow_why(w, n, "it looks tokens up, which may be gone");
  for (int i = 0; i < n->type.rank; i++)
    y->axis[i] = i < at ? *axis_of(w, n, 0, i)
                 : i < at + wide ? *axis_of(w, n, 1, i - at)
                                 : *axis_of(w, n, 0, i - wide + 1);
  return true;
}

static bool follow_pad(Follow *w, Node *n, TokenShape *y) {
  const int64_t *before = attr_ints(n, "before", NULL);
  const int64_t *after = attr_ints(n, "after", NULL);
  for (int i = 0; i < n->type.rank; i++) {
    TokenAxis *t = &y->axis[i];
    *t = *axis_of(w, n, 0, i);
    if (!t->lot.all || (!before[i] && !after[i])) continue;
    if (!axis_is_lot(t)) return not_alone(w, n);
    t->lot.front += before[i];
    t->lot.back += after[i];
  }
  return true;
}

static bool follow_flip(Follow *w, Node *n, TokenShape *y) {
  int count, rank = n->type.rank;
  const int64_t *axes = attr_ints(n, "axes", &count);
  for (int i = 0; i < rank; i++) y->axis[i] = *axis_of(w, n, 0, i);
  for (int i = 0; i < count; i++) {
    TokenAxis *t = &y->axis[axes[i] < 0 ? axes[i] + rank : axes[i]];
    if (!t->lot.all) continue;
    if (!axis_is_lot(t)) return not_alone(w, n);
    t->lot = (Lot){t->lot.back, t->lot.all, t->lot.front};
  }
  return true;
}

bool follow_view(Follow *w, Node *n, TokenShape *y, bool *known) {
  switch (n->op) {
  case OP_RESHAPE: return follow_reshape(w, n, y);
  case OP_PERMUTE: return follow_permute(w, n, y);
  case OP_EXPAND: return follow_expand(w, n, y);
  case OP_CONCAT: return follow_concat(w, n, y);
  case OP_SLICE: return follow_slice(w, n, y);
  case OP_SELECT: return follow_select(w, n, y);
  case OP_GATHER: return follow_gather(w, n, y);
  case OP_PAD: return follow_pad(w, n, y);
  case OP_FLIP: return follow_flip(w, n, y);
  default:
    *known = false;
    return false;
  }
}
