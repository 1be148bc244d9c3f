/* verb.c - arguments and weights of the verbs of recipes. */
#include "passes/verb.h"
#include "passes/prune.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* ---- arguments ------------------------------------------------------- */

static void value_print(Text *out, const Attr *v) {
  if (v->kind == ATTR_FLOAT) text_float(out, v->f, false);
  else if (v->kind == ATTR_STR) text_puts(out, v->s);
  else if (v->kind == ATTR_BOOL) text_puts(out, v->i ? "true" : "false");
  else if (v->kind == ATTR_INT) text_printf(out, "%lld", (long long)v->i);
  else text_puts(out, "a list");
}

void arg_wrong(PassCtx *c, const RecipeStep *s, const RecipeArg *a,
               const char *expected) {
  Text found = {0};
  value_print(&found, &a->value);
  diag_error(c->d, EXIT_MODEL, s->span, "%s: %s: expected %s, found %s",
             s->verb, a->name, expected, found.s);
  text_free(&found);
}

bool arg_number(const Attr *v, double *out) {
  *out = v->kind == ATTR_FLOAT ? v->f : v->kind == ATTR_INT ? (double)v->i
                                                            : NAN;
  return isfinite(*out);
}

static bool word_among(const char *words, const char *word) {
  size_t n = strlen(word);
  for (const char *at = words; (at = strstr(at, word)) != NULL; at += n)
    if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0))
      return true;
  return false;
}

bool method_takes(PassCtx *c, const RecipeStep *s, const char *method,
                  const char *words) {
  for (size_t i = 0; i < s->args.n; i++) {
    const char *name = s->args.at[i].name;
    if (strcmp(name, "method") != 0 && !word_among(words, name))
      return diag_error(c->d, EXIT_MODEL, s->span, "%s: method=%s takes no "
                        "%s=", s->verb, method, name);
  }
  return true;
}

static bool arg_unknown(PassCtx *c, const RecipeStep *s, const char *name,
                        const VerbArg *rows, size_t n) {
  const char **names = arena_array(c->scratch, const char *, n);
  for (size_t i = 0; i < n; i++) names[i] = rows[i].name;
  diag_error(c->d, EXIT_MODEL, s->span, "%s: no argument '%s'", s->verb,
             name);
  const char *near = nearest_name(name, names, n);
  if (near) diag_note(c->d, s->span, "did you mean '%s'?", near);
  return false;
}

bool verb_args(PassCtx *c, const RecipeStep *s, const VerbArg *rows,
               size_t n, void *args) {
  bool ok = true;
  for (size_t i = 0; i < s->args.n; i++) {
    const RecipeArg *a = &s->args.at[i];
    size_t k = 0;
    while (k < n && strcmp(rows[k].name, a->name) != 0) k++;
    if (k == n) {
      ok = arg_unknown(c, s, a->name, rows, n);
      continue;
    }
    const char *expected = rows[k].parse(&a->value, args);
    if (expected) arg_wrong(c, s, a, expected);
    ok &= !expected;
  }
  return ok;
}

/* ---- weights --------------------------------------------------------- */

bool param_finite(PassCtx *c, const RecipeStep *s, const Param *p) {
  const float *v = param_values(c->m, p);
  int64_t n = type_elems(&p->type), k = 0;
  if (!v)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "%s: %s has no values to look at", s->verb, p->path);
  while (k < n && isfinite(v[k])) k++;
  return k == n ||
         diag_error(c->d, EXIT_MODEL, s->span, "%s: %s: expected finite "
                    "values, found %s at number %lld", s->verb, p->path,
                    isnan(v[k]) ? "NaN" : "inf", (long long)k);
}

Param *const *step_params(PassCtx *c, const RecipeStep *s) {
  size_t n = s->params.n;
  Param **p = arena_array(c->scratch, Param *, n + 1);
  if (n) memcpy(p, s->params.at, n * sizeof *p);
  return p;
}

bool step_finite(PassCtx *c, const RecipeStep *s) {
  bool ok = true;
  for (size_t i = 0; i < s->params.n; i++)
    ok &= param_finite(c, s, s->params.at[i]);
  return ok;
}

void verb_note(PassCtx *c, const RecipeStep *s, const char *path,
               const char *fmt, ...) {
  Text t = {0};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&t, fmt, ap);
  va_end(ap);
  module_note(c->m, "%s: %s: %s", s->verb, path, t.s);
  text_free(&t);
}

bool op_is_conv(Op op) {
  return op == OP_CONV1D || op == OP_CONV2D || op == OP_CONV3D;
}

static bool same_kind(const Node *a, const Node *b) {
  if (a->op != b->op || layer_is_transposed(a) != layer_is_transposed(b))
    return false;
  return !op_is_conv(a->op) || attr_int(a, "groups") == attr_int(b, "groups");
}

/* Operand k of n, in f, is p. */
static const char *use_add(Arena *a, Func *f, Node *n, int k,
                           LayerUses *out) {
  if (layer_weight(n) != n->in[k] || k != 1)
    return n->op == OP_MASK ? "a mask lies over it"
           : n->op == OP_SLICE ? "layers read parts of it"
                               : "it is read by more than layers";
  if (out->n && !same_kind(out->at[0].n, n))
    return "layers of several kinds read it";
  vec_push(a, out, ((LayerUse){f, n}));
  return NULL;
}

static const char *uses_in(Arena *a, Func *f, const Param *p,
                           LayerUses *out) {
  const char *why = NULL;
  for (size_t i = 0; i < f->nodes.n && !why; i++) {
    Node *n = f->nodes.at[i];
    for (int k = 0; k < n->nin && !why; k++)
      if (n->in[k] && n->in[k]->param == p) why = use_add(a, f, n, k, out);
  }
  for (size_t i = 0; i < f->outputs.n; i++)
    if (f->outputs.at[i].node->param == p) why = "it is an output";
  for (size_t i = 0; i < f->nexts.n; i++)
    if (f->nexts.at[i].node->param == p) why = "a state becomes it";
  return why;
}

const char *layer_uses_of(Arena *a, const Module *m, const Param *p,
                          LayerUses *out) {
  const char *why = NULL;
  *out = (LayerUses){0};
  for (size_t i = 0; i < m->funcs.n && !why; i++)
    why = uses_in(a, m->funcs.at[i], p, out);
  return why || out->n ? why : "no layer reads it";
}

/* ---- later steps ----------------------------------------------------- */

static bool part_listed(const RecipeStep *s, const Param *p,
                        const char *part) {
  for (size_t i = 0; i < s->parts.n; i++)
    if (s->parts.at[i].of == p &&
        (!part || strcmp(s->parts.at[i].part, part) == 0))
      return true;
  return false;
}

/* Without p; was it there? */
static bool param_remove(RecipeStep *s, const Param *p) {
  size_t kept = 0, n = s->params.n;
  for (size_t k = 0; k < n; k++)
    if (s->params.at[k] != p) s->params.at[kept++] = s->params.at[k];
  s->params.n = kept;
  return kept < n;
}

const char *const *verb_parts(const RecipeStep *s) {
  const char *method = NULL;
  for (size_t i = 0; i < s->args.n; i++)
    if (strcmp(s->args.at[i].name, "method") == 0)
      method = s->args.at[i].value.s;
  return recipe_parts(s->verb, method);
}

void attr_take(Node *to, const Node *from, const char *name) {
  int i = attr_index(to->op, name);
  if (i >= 0) to->attr[i] = from->attr[i];
}

void attr_reset(Node *n, const char *name) {
  int i = attr_index(n->op, name);
  if (i >= 0) n->attr[i] = op_info(n->op)->def[i];
}

void steps_redirect(Module *m, const RecipeStep *s, const Param *p,
                    Param *const *to) {
  const char *const *part = verb_parts(s);
  for (size_t i = 0; i < m->recipe.n; i++) {
    RecipeStep *t = &m->recipe.at[i];
    if (t <= s) continue;
    bool whole = param_remove(t, p), listed = part_listed(t, p, NULL);
    for (size_t j = 0; part[j]; j++)
      if (listed ? part_listed(t, p, part[j]) : whole)
        vec_push(m->arena, &t->params, to[j]);
  }
}
