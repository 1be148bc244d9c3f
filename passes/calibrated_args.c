/* calibrated_args.c - the arguments of `prune` with method=wanda or obs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/calibrated.h"
#include "passes/prune.h"
#include "passes/verb.h"

/* ---- single arguments: NULL, or what was expected -------------------- */

typedef const char *ParseFn(const Attr *v, Calibrated *o);

static const char *parse_sparsity(const Attr *v, Calibrated *o) {
  bool ok = arg_number(v, &o->sparsity) && o->sparsity >= 0 && o->sparsity <= 1;
  return ok ? NULL : "a number from 0 to 1";
}

static const char *parse_pattern(const Attr *v, Calibrated *o) {
  bool ok = pattern_parse(v, &o->pattern);
  if (ok && o->pattern.kind == PATTERN_CHANNEL && o->obs) return NULL;
  if (ok && o->pattern.kind <= PATTERN_NM) return NULL;
  return o->obs ? "unstructured, channel, a block as 4x1 or N:M as 2:4"
                : "unstructured, a block as 4x1 or N:M as 2:4";
}

static const char *parse_method(const Attr *v, Calibrated *o) {
  o->obs = strcmp(v->s, "obs") == 0;   /* it is one of two words */
  return NULL;
}

static const char *parse_data(const Attr *v, Calibrated *o) {
  o->data.path = v->s;
  return v->kind == ATTR_STR && *v->s ? NULL : "a file or folder";
}

static const char *parse_mask(const Attr *v, Calibrated *o) {
  o->data.mask = v->s;
  return v->kind == ATTR_STR && *v->s ? NULL : "the name of an input";
}

static const char *parse_samples(const Attr *v, Calibrated *o) {
  o->data.samples = v->i;
  return v->kind == ATTR_INT && v->i >= 1 ? NULL : "a whole number from 1 on";
}

static const char *parse_damp(const Attr *v, Calibrated *o) {
  return arg_number(v, &o->damp) && o->damp > 0 ? NULL : "a number above 0";
}

/* A number, or up to four in a string with ':' between. */
static bool numbers(const Attr *v, int *n, double *to) {
  char *end;
  *n = 1;
  if (v->kind != ATTR_STR) return arg_number(v, &to[0]);
  const char *s = v->s;
  for (*n = 0; *n < 4; s = end + 1) {
    to[*n] = strtod(s, &end);
    if (end == s || !isfinite(to[(*n)++])) return false;
    if (!*end) return true;
    if (*end != ':') return false;
  }
  return false;
}

static const char *parse_mean(const Attr *v, Calibrated *o) {
  return numbers(v, &o->data.nmean, o->data.mean)
           ? NULL : "a number, or one to four as \"0.5:0.4:0.4\"";
}

static const char *parse_scale(const Attr *v, Calibrated *o) {
  bool ok = numbers(v, &o->data.nscale, o->data.scale);
  for (int i = 0; ok && i < o->data.nscale; i++) ok = o->data.scale[i] != 0;
  return ok ? NULL : "a number but 0, or one to four as \"0.2:0.3:0.2\"";
}

static const char *parse_order(const Attr *v, Calibrated *o) {
  o->data.bgr = v->kind == ATTR_STR && strcmp(v->s, "bgr") == 0;
  bool rgb = v->kind == ATTR_STR && strcmp(v->s, "rgb") == 0;
  return o->data.bgr || rgb ? NULL : "rgb or bgr";
}

static const char *parse_scope(const Attr *v, Calibrated *o) {
  o->global = v->kind == ATTR_STR && strcmp(v->s, "global") == 0;
  bool uniform = v->kind == ATTR_STR && strcmp(v->s, "uniform") == 0;
  return o->global || uniform ? NULL : "uniform or global";
}

static const struct { const char *name; ParseFn *parse; } args[] = {
  {"method", parse_method}, {"sparsity", parse_sparsity},
  {"pattern", parse_pattern}, {"scope", parse_scope}, {"data", parse_data},
  {"samples", parse_samples}, {"mean", parse_mean}, {"scale", parse_scale},
  {"order", parse_order}, {"mask", parse_mask}, {"damp", parse_damp},
};
enum { ARGS = sizeof args / sizeof *args };

/* ---- all ------------------------------------------------------------- */

static bool arg_unknown(PassCtx *c, const RecipeStep *s, const char *name,
                        const Calibrated *o) {
  const char *names[ARGS];
  for (size_t i = 0; i < ARGS; i++) names[i] = args[i].name;
  diag_error(c->d, EXIT_MODEL, s->span, "prune: no argument '%s' with "
             "method=%s", name, o->obs ? "obs" : "wanda");
  const char *near = nearest_name(name, names, ARGS);
  if (near) diag_note(c->d, s->span, "did you mean '%s'?", near);
  return false;
}

static bool arg_parse(PassCtx *c, const RecipeStep *s, const RecipeArg *a,
                      Calibrated *o) {
  size_t k = 0;
  while (k < ARGS && strcmp(args[k].name, a->name) != 0) k++;
  if (k == ARGS) return arg_unknown(c, s, a->name, o);
  const char *expected = args[k].parse(&a->value, o);
  if (expected) arg_wrong(c, s, a, expected);
  return !expected;
}

static bool args_agree(PassCtx *c, const RecipeStep *s, Calibrated *o) {
  const Pattern *p = &o->pattern;
  const char *method = o->obs ? "obs" : "wanda";
  if (!o->data.path)
    return diag_error(c->d, EXIT_MODEL, s->span, "prune: method=%s: expected "
                      "data=, a file or folder of samples", method);
  if (p->kind == PATTERN_NM && o->sparsity >= 0)
    return diag_error(c->d, EXIT_MODEL, s->span, "prune: pattern %d:%d sets "
                      "the sparsity itself", p->a, p->b);
  if (p->kind != PATTERN_NM && o->sparsity < 0)
    return diag_error(c->d, EXIT_MODEL, s->span, "prune: expected sparsity=, "
                      "from 0 to 1");
  if (o->global && p->kind == PATTERN_NM)
    return diag_error(c->d, EXIT_MODEL, s->span, "prune: scope=global has no "
                      "meaning with %d:%d", p->a, p->b);
  if (o->global && !o->obs)
    return diag_error(c->d, EXIT_MODEL, s->span, "prune: method=wanda "
                      "compares within each output: expected scope=uniform, "
                      "found global");
  if (o->damp >= 0 && !o->obs)
    return diag_error(c->d, EXIT_MODEL, s->span, "prune: damp goes with "
                      "method=obs, found method=wanda");
  return true;
}

bool calibrated_args(PassCtx *c, const RecipeStep *s, Calibrated *out) {
  bool ok = true;
  *out = (Calibrated){.pattern = {PATTERN_UNSTRUCTURED, 1, 1}, .sparsity = -1,
                      .damp = -1};
  for (size_t i = 0; i < s->args.n; i++)   /* the others' messages have it */
    if (strcmp(s->args.at[i].name, "method") == 0)
      arg_parse(c, s, &s->args.at[i], out);
  for (size_t i = 0; i < s->args.n; i++)
    ok &= arg_parse(c, s, &s->args.at[i], out);
  ok = ok && args_agree(c, s, out);
  if (out->damp < 0) out->damp = 0.01;
  return ok;
}

bool recipe_data(const RecipeStep *s, DataOpts *out) {
  static const char *const names[] = {"data", "samples", "mean", "scale",
                                      "order"};
  Calibrated o = {0};
  bool ok = true;
  for (size_t i = 0; i < s->args.n; i++)
    for (size_t k = 0; k < ARGS; k++)
      for (size_t j = 0; j < sizeof names / sizeof *names; j++)
        if (strcmp(s->args.at[i].name, args[k].name) == 0 &&
            strcmp(names[j], args[k].name) == 0)
          ok &= !args[k].parse(&s->args.at[i].value, &o);
  if (!ok || !o.data.path) return false;   /* the step says what is wrong */
  *out = o.data;
  return true;
}
