/* fold_param.c - the weights of blocks: what they are called in the body, and
 * the keys that they get with the paths of its instances. */
#include "frontend/fold_print.h"

#include <string.h>

static const Param *param_at(const Body *w, uint32_t i, uint32_t slot) {
  const Fold *f = w->p->f;
  return slot_value(f, f->slot[w->b->begin[i]] + slot)->param;
}

/* p's path behind the scope of instance i, NULL when it lies elsewhere. */
static const char *param_inside(const Body *w, uint32_t i, const Param *p) {
  size_t n = w->b->scope[i];
  const char *scope = w->p->f->node[w->b->begin[i]]->path;
  if (!n)
    return p->path;
  return !strncmp(p->path, scope, n) && p->path[n] == '.' ? p->path + n + 1
                                                           : NULL;
}

static const char *params_all_inside(const Body *w, uint32_t slot) {
  const char *same = param_inside(w, 0, param_at(w, 0, slot));
  for (uint32_t i = 1; i < w->b->n && same; i++) {
    const char *s = param_inside(w, i, param_at(w, i, slot));
    if (!s || strcmp(s, same))
      return NULL;
  }
  return same;
}

/* The segments that all end with; NULL: none. */
static const char *params_common_end(const Body *w, uint32_t slot) {
  const char *path = param_at(w, 0, slot)->path;
  size_t len = strlen(path), n = len;
  for (uint32_t i = 1; i < w->b->n; i++) {
    const char *s = param_at(w, i, slot)->path;
    size_t m = strlen(s), k = 0;
    while (k < n && k < m && path[len - 1 - k] == s[m - 1 - k])
      k++;
    /* Back to the beginning of a segment in both. */
    while (k && !((k == len || path[len - 1 - k] == '.') &&
                  (k == m || s[m - 1 - k] == '.')))
      k--;
    n = k;
  }
  const char *s = path + len - n;
  size_t block = strlen(w->b->name);
  if (!strncmp(s, w->b->name, block) && s[block] == '.')
    s += block + 1;
  return n && w->b->n > 1 ? s : NULL;
}

/* What a param is to the op that uses it. */
static const char *param_role(const Node *n, uint32_t k) {
  const OpInfo *info = op_info(n->op);
  bool last = info->variadic && (int)k >= info->noperands;
  const char *s = info->operand[last ? info->noperands - 1 : (int)k];
  if (!strcmp(s, "w") || n->op == OP_MATMUL)
    return "weight";
  if (!strcmp(s, "b") && info->noperands > 2)
    return "bias";
  return "value";
}

/* Named after the module of instance i that uses it, or after the node. */
static const char *param_by_layer(const Body *w, uint32_t i, uint32_t slot,
                                  bool by_node) {
  Fold *f = w->p->f;
  uint32_t base = f->slot[w->b->begin[i]] + slot;
  uint32_t at = slot_place(f, base);
  const char *role = param_role(f->node[at], base - f->slot[at]);
  Str s = path_inside(f, w->b, i, at - w->b->begin[i]);
  const char *dot = strrchr(s.s, '.');
  if (!by_node && !dot)
    return role;
  return arena_printf(f->a, "%.*s.%s", (int)(by_node ? s.n
                                                     : (size_t)(dot - s.s)),
                      s.s, role);
}

/* Its name in instance i: behind the scope as it was, or what the names in all
 * instances end with, or made up; if that is taken, called after the node. */
static const char *param_local(const Body *w, uint32_t i, uint32_t slot,
                               bool taken) {
  const Param *p = param_at(w, i, slot);
  const char *s;
  if (!w->b->scoped) {
    s = param_inside(w, i, p);
    return s ? s : p->path;
  }
  if (taken)
    return param_by_layer(w, i, slot, true);
  s = params_all_inside(w, slot);
  if (!s)
    s = params_common_end(w, slot);
  return s ? s : param_by_layer(w, i, slot, false);
}

static bool keys_free(const Body *w, const char *const *key) {
  for (uint32_t i = 0; i < w->b->n; i++)
    if (map_get(&w->p->keys, key[i]))
      return false;
  return true;
}

/* The param's name in the body, and its key in each instance. */
static void param_name(Body *w, uint32_t slot, Text *out) {
  Fold *f = w->p->f;
  const Block *b = w->b;
  Str *all = arena_array(f->a, Str, b->n);
  const char **key = arena_array(f->a, const char *, b->n);
  for (int n = 1; n == 1 || !keys_free(w, key); n++) {
    const char *more = n > 2 ? arena_printf(f->a, ".value_%d", n - 1) : "";
    for (uint32_t i = 0; i < b->n; i++) {
      const char *s = param_local(w, i, slot, n > 1);
      s = arena_printf(f->a, "%s%s", s, more);
      all[i] = (Str){s, strlen(s)};
      key[i] = arena_printf(f->a, "%.*s%s%s", (int)b->scope[i],
                            f->node[b->begin[i]]->path,
                            b->scope[i] ? "." : "", s);
    }
  }
  for (uint32_t i = 0; i < b->n; i++) {
    const char *s = arena_strdup(f->m->arena, key[i]);
    map_put(f->a, &w->p->keys, s, w);
    w->p->key[param_at(w, i, slot)->order] = s;
  }
  Pieces p = name_split(w, all);
  path_print(w, NULL, &p, out);
}

/* An operand of a statement of the body: a param of the body's own is
 * declared. */
static void param_see(Body *w, uint32_t slot, Text *decls) {
  Fold *f = w->p->f;
  const Node *x = slot_value(f, slot);
  if (!x || x->op != OP_PARAM || w->p->local[x->param->order] ||
      !param_within(f, x->param, w->b->begin[0], w->b->len))
    return;
  Text name = {0};
  text_puts(&name, "");
  param_name(w, slot - f->slot[w->b->begin[0]], &name);
  w->p->local[x->param->order] = arena_strdup(f->a, name.s);
  const char *word = arena_strndup(f->a, name.s, strcspn(name.s, ".[$"));
  map_put(f->a, &w->taken, word, w);
  if (strchr(name.s, '$') && !strpbrk(name.s, ".["))
    vec_push(f->a, &w->begins, word);
  text_printf(decls, "  param %s: ", name.s);
  type_print(decls, &x->param->type);
  text_puts(decls, ";\n");
  text_free(&name);
}

void params_print(Body *w, Text *decls) {
  Fold *f = w->p->f;
  uint32_t begin = w->b->begin[0];
  for (size_t i = 0; i < w->b->parts.n; i++) {
    const Part *p = &w->b->parts.at[i];
    uint32_t base = f->slot[begin + p->at];
    for (int k = 0; !p->call && k < f->node[begin + p->at]->nin; k++)
      param_see(w, base + (uint32_t)k, decls);
    for (size_t k = 0; p->call && k < p->call->args.n; k++)
      param_see(w, base + p->call->args.at[k], decls);
  }
}

