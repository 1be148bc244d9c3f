/* slice_why.c - what is said, with -v and in reports, of layers with channels
 * that are zero and stay. */
#include <string.h>

#include "passes/slice.h"

/* A layer's zero channels that one reason keeps. */
typedef struct Kept { const char *why; int64_t count; } Kept;
typedef Vec(Kept) Kepts;

static void count_kept(Slice *s, Kepts *all, const Held *h) {
  Text t = {0};
  held_print(&t, h);
  size_t i = 0;
  while (i < all->n && strcmp(all->at[i].why, t.s) != 0) i++;
  if (i == all->n)
    vec_push(s->c->scratch, all,
             ((Kept){arena_strdup(s->c->scratch, t.s), 0}));
  all->at[i].count++;
  text_free(&t);
}

static void note_layer(Slice *s, const Node *n, int axis) {
  Module *m = s->c->m;
  const Node *w = n->in[1];
  Kepts all = {0};
  int64_t size = w->type.dim[axis], at = cell_at(s->cells, w, axis, 0);
  for (int64_t i = 0; i < size; i++) {
    uint32_t root = cell_root(s->cells, at + i);
    if (s->value[at + i] == 0 && s->live[root])
      count_kept(s, &all, s->why[root]);
  }
  for (size_t i = 0; i < all.n; i++)
    module_note(m, "slice: %s: %lld of %lld channels are zero and stay: %s",
                w->param ? w->param->path : "a weight",
                (long long)all.at[i].count, (long long)size, all.at[i].why);
}

void slice_notes(Slice *s) {
  for (size_t i = 0; i < s->f->nodes.n; i++) {
    const Node *n = s->f->nodes.at[i];
    if (n->op == OP_CONV2D || n->op == OP_LINEAR) note_layer(s, n, 0);
    if (n->op == OP_CONV2D_TRANSPOSE && attr_int(n, "groups") == 1)
      note_layer(s, n, 1);
  }
}
