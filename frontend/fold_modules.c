/* fold_modules.c - where to look for what comes again: modules, which are runs
 * of nodes whose paths begin alike. */
#include "frontend/fold.h"

enum { PARTS_LEAST = 2 };

static void window_add(Fold *f, Windows *out, Window w, Text *key) {
  key->n = 0;
  if (w.to - w.from < PARTS_LEAST || !window_key(f, &w, 0, key))
    return;
  w.key = hash_bytes(key->s, key->n);
  vec_push(f->a, out, w);
}

/* A run of parts that share `depth` letters of their paths, still open. */
typedef struct Run { uint32_t from, depth; } Run;

static void body_modules(Fold *f, Block *b, Windows *out, Text *key) {
  Vec(Run) open = {0};
  uint32_t n = (uint32_t)b->parts.n;
  for (uint32_t i = 1; i <= n; i++) {
    uint32_t depth =
      i < n ? f->path_share[b->begin[0] + b->parts.at[i].at] : 0;
    uint32_t from = i - 1;
    while (open.n && open.at[open.n - 1].depth > depth) {
      Run r = open.at[--open.n];
      window_add(f, out, (Window){.body = b, .from = r.from, .to = i}, key);
      from = r.from;
    }
    if (depth > b->scope[0] && (!open.n || open.at[open.n - 1].depth < depth))
      vec_push(f->a, &open, ((Run){from, depth}));
  }
}

void find_modules(Fold *f, Windows *out) {
  Text key = {0};
  text_puts(&key, "");
  body_modules(f, f->main, out, &key);
  for (size_t i = 0; i < f->blocks.n; i++)
    body_modules(f, f->blocks.at[i], out, &key);
  text_free(&key);
}
