/* elab_blocks.c - selectors of steps that work on blocks as a whole: paths of
 * layers and of blocks around them, with weights or not. */
#include "frontend/elab_recipe.h"

#include <string.h>

const char *step_method(const Step *s) {
  const char *method = NULL;
  for (size_t i = 0; i < s->args.n; i++) {
    const Expr *x = s->args.at[i].value;
    if (!strcmp(s->args.at[i].name.s, "method"))
      method = x->kind == EXPR_PATH ? path_single(x->path)
               : x->kind == EXPR_STR ? x->s : NULL;
  }
  return method;
}

bool step_on_blocks(const Step *s) {
  return recipe_on_blocks(s->verb.s, step_method(s));
}

/* A block that is selected, and where it begins; the op that it is, or NULL:
 * several. */
typedef struct Block {
  const char *path, *op;
  size_t at;
  bool on;
} Block;
typedef struct Blocks {
  const Weights *w;
  Vec(Block) list;
  size_t at;             /* nodes seen */
} Blocks;

/* The outermost block around a layer that the pattern matches, of the kind
 * that is asked for; NULL: none. */
static const char *block_matched(const Weights *w, const Sel *s,
                                 const PathPattern *p, const char *path,
                                 const char *op) {
  Elab *e = w->e;
  PathSegs segs = path_split(e->a, path);
  bool *hit = pattern_prefixes(e->a, p, &segs);
  for (size_t j = 1; j <= segs.n; j++) {
    if (!hit[j])
      continue;
    const char *prefix = path_prefix(e->a, path, j);
    const Layer *l = map_get(&e->layer_of, prefix);
    if (!s->kind.s || (l && l->kind && !strcmp(l->kind, s->kind.s)) ||
        (op && j == segs.n && !strcmp(op, s->kind.s)))
      return prefix;
  }
  return NULL;
}

static void block_on(Blocks *b, const char *path, const char *op) {
  for (size_t i = 0; i < b->list.n; i++)
    if (b->list.at[i].on && path_within(path, b->list.at[i].path))
      return;
  for (size_t i = 0; i < b->list.n; i++)
    if (path_within(b->list.at[i].path, path))
      b->list.at[i].on = false;
  vec_push(b->w->e->a, &b->list, ((Block){path, op, b->at, true}));
}

/* Blocks that the pattern matches go; it has to match one. */
static bool sel_takes_away(Blocks *b, const Sel *s, const PathPattern *p) {
  bool any = false;
  for (size_t i = 0; i < b->list.n; i++) {
    Block *x = &b->list.at[i];
    if (!x->on || !block_matched(b->w, s, p, x->path, x->op))
      continue;
    x->on = false;
    any = true;
  }
  if (!any)
    elab_error(b->w->e, s->span, "'%s' leaves out no block that was selected "
               "before it", span_text(b->w->e->a, s->span));
  return any;
}

static bool sel_blocks(Blocks *b, const Sel *s, const PathPattern *p) {
  const Weights *w = b->w;
  bool any = false;
  b->at = 0;
  for (size_t k = 0; k < w->e->m->funcs.n; k++) {
    const Func *f = w->e->m->funcs.at[k];
    for (size_t i = 0; i < f->nodes.n; i++, b->at++) {
      const Node *n = f->nodes.at[i];
      const char *op = op_info(n->op)->name;
      const char *path = n->path ? block_matched(w, s, p, n->path, op) : NULL;
      any |= path != NULL;
      if (path && !s->negated)
        block_on(b, path, strlen(path) == strlen(n->path) ? op : NULL);
    }
  }
  if (!any)
    sel_unmatched(w, s, p);
  return any && (!s->negated || sel_takes_away(b, s, p));
}

bool blocks_select(const Weights *w, const Step *s, Paths *out) {
  Elab *e = w->e;
  Blocks b = {.w = w};
  bool ok = true;
  for (size_t i = 0; i < s->sels.n; i++) {
    PathPattern p = {0};
    if (i == 0 && s->sels.at[0].negated) {
      elab_error(e, s->sels.at[0].span, "expected blocks to begin with, found "
                 "some to leave out");
      return false;
    }
    if (!s->sels.at[i].to)
      ok &= pattern_read(e, s->sels.at[i].path, &p) &&
            sel_blocks(&b, &s->sels.at[i], &p);
  }
  /* Few blocks: in order by looking for the next one. */
  for (size_t done = 0; out && done < b.list.n; done++) {
    Block *next = NULL;
    for (size_t i = 0; i < b.list.n; i++)
      if (b.list.at[i].on && (!next || b.list.at[i].at < next->at))
        next = &b.list.at[i];
    if (!next)
      break;
    vec_push(e->a, out, next->path);
    next->on = false;
  }
  return ok;
}
