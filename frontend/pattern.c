/* pattern.c - paths of layers taken apart, and patterns that match them:
 * `*` one segment, `**` any number of them, `name[*]` any index. */
#include "frontend/elab.h"

#include <stdlib.h>
#include <string.h>

PathSegs path_split(Arena *a, const char *path) {
  PathSegs out = {0};
  while (*path) {
    size_t n = strcspn(path, ".");
    const char *open = memchr(path, '[', n);
    PathSeg s = {NULL, -1};
    s.name = arena_strndup(a, path, open ? (size_t)(open - path) : n);
    if (open)
      s.index = strtoll(open + 1, NULL, 10);
    vec_push(a, &out, s);
    path += n + (path[n] == '.');
  }
  return out;
}

bool pattern_read(Elab *e, const Path *p, PathPattern *out) {
  for (size_t i = 0; i < p->segs.n; i++) {
    const Seg *s = &p->segs.at[i];
    PatSeg x = {s->name, -1, s->any};
    if (s->index && !elab_int(e, s->index, &x.index))
      return false;
    if (s->index && x.index < 0) {
      elab_error(e, s->span, "expected an index of at least 0, found %lld",
                 (long long)x.index);
      return false;
    }
    vec_push(e->a, out, x);
  }
  return true;
}

static bool seg_match(const PatSeg *p, const PathSeg *s) {
  if (strcmp(p->name, "*") && strcmp(p->name, s->name))
    return false;
  if (p->any)
    return s->index >= 0;
  return p->index < 0 || p->index == s->index;
}

/* One row of the table per segment of the pattern, each from the last. */
bool *pattern_prefixes(Arena *a, const PathPattern *p, const PathSegs *s) {
  bool *hit = arena_array(a, bool, s->n + 1);
  hit[0] = true;
  for (size_t i = 0; i < p->n; i++) {
    bool *next = arena_array(a, bool, s->n + 1);
    bool many = !strcmp(p->at[i].name, "**");
    next[0] = many && hit[0];
    for (size_t j = 1; j <= s->n; j++)
      next[j] = many ? hit[j] || next[j - 1]
                     : hit[j - 1] && seg_match(&p->at[i], &s->at[j - 1]);
    hit = next;
  }
  return hit;
}
