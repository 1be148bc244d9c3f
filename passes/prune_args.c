/* prune_args.c - the arguments of a step `prune`, and what contradicts. */
#include <string.h>

#include "passes/prune.h"
#include "passes/verb.h"

/* ---- patterns -------------------------------------------------------- */

static const struct { const char *name; PatternKind kind; } words[] = {
  {"unstructured", PATTERN_UNSTRUCTURED}, {"row", PATTERN_ROW},
  {"column", PATTERN_COLUMN}, {"channel", PATTERN_CHANNEL},
  {"head", PATTERN_HEAD},
};
enum { WORDS = sizeof words / sizeof *words };

bool pattern_parse(const Attr *v, Pattern *p) {
  char sep, rest;
  *p = (Pattern){PATTERN_UNSTRUCTURED, 1, 1};
  if (v->kind != ATTR_STR) return false;
  for (size_t i = 0; i < WORDS; i++)
    if (strcmp(v->s, words[i].name) == 0) {
      p->kind = words[i].kind;
      return true;
    }
  if (sscanf(v->s, "%d%c%d%c", &p->a, &sep, &p->b, &rest) != 3) return false;
  if (sep == 'x') p->kind = PATTERN_BLOCK;
  else if (sep == ':') p->kind = PATTERN_NM;
  else return false;
  if (p->a < 1 || p->b < 1) return false;
  return p->kind == PATTERN_BLOCK || p->a <= p->b;
}

void pattern_print(Text *out, const Pattern *p) {
  for (size_t i = 0; i < WORDS; i++)
    if (words[i].kind == p->kind) text_puts(out, words[i].name);
  if (p->kind == PATTERN_BLOCK) text_printf(out, "%dx%d", p->a, p->b);
  if (p->kind == PATTERN_NM) text_printf(out, "%d:%d", p->a, p->b);
}

enum { ROUNDS_MOST = 10000 };

/* ---- single arguments ------------------------------------------------ */

/* Each gives NULL when the value is right, else what was expected. */
typedef const char *ParseFn(PassCtx *c, const Attr *v, PruneArgs *a);

static const char *parse_sparsity(PassCtx *c, const Attr *v, PruneArgs *a) {
  (void)c;
  a->sparsity = v->kind == ATTR_FLOAT ? v->f
                : v->kind == ATTR_INT ? (double)v->i : -1;
  return a->sparsity >= 0 && a->sparsity <= 1 ? NULL : "a number from 0 to 1";
}

static const char *parse_pattern(PassCtx *c, const Attr *v, PruneArgs *a) {
  (void)c;
  return pattern_parse(v, &a->pattern)
           ? NULL : "unstructured, row, column, channel, head, a block as "
                    "4x1 or N:M as 2:4";
}

static const char *parse_method(PassCtx *c, const Attr *v, PruneArgs *a) {
  a->method = v->kind == ATTR_STR ? criterion_find(v->s) : NULL;
  return a->method ? NULL : criterion_names(c->scratch);
}

static const char *parse_scope(PassCtx *c, const Attr *v, PruneArgs *a) {
  static const char *const names[] = {
    [SCOPE_UNIFORM] = "uniform", [SCOPE_GLOBAL] = "global",
    [SCOPE_ERK] = "erk",
  };
  (void)c;
  for (size_t i = 0; v->kind == ATTR_STR && i < 3; i++)
    if (strcmp(v->s, names[i]) == 0) {
      a->scope = (Scope)i;
      a->scoped = true;
      return NULL;
    }
  return "uniform, global or erk";
}

static const char *parse_rounds(PassCtx *c, const Attr *v, PruneArgs *a) {
  (void)c;
  a->rounds = v->i;
  return v->kind == ATTR_INT && v->i >= 1 && v->i <= ROUNDS_MOST
           ? NULL : "a whole number from 1 to 10000";
}

static const char *parse_coupled(PassCtx *c, const Attr *v, PruneArgs *a) {
  (void)c;
  a->coupled_given = true;
  a->whole = v->i != 0;
  return v->kind == ATTR_BOOL ? NULL : "true or false";
}

static const char *parse_seed(PassCtx *c, const Attr *v, PruneArgs *a) {
  (void)c;
  a->seed = v->i;
  return v->kind == ATTR_INT ? NULL : "a whole number";
}

const char *budget_name(Budget b) {
  static const char *const names[] = {"", "macs", "bytes", "latency"};
  return names[b];
}

/* Two budgets are one too many: `twice` is the first then. */
static void budget_set(PruneArgs *a, Budget b, const Attr *v) {
  if (a->budget) a->twice = a->budget;
  a->budget = b;
  a->limit = v->kind == ATTR_FLOAT ? v->f
             : v->kind == ATTR_INT ? (double)v->i : -1;
}

static const char *parse_macs(PassCtx *c, const Attr *v, PruneArgs *a) {
  (void)c;
  budget_set(a, BUDGET_MACS, v);
  return a->limit > 0 && a->limit <= 1
           ? NULL : "a share of the dense net's, above 0 and up to 1";
}

static const char *parse_latency(PassCtx *c, const Attr *v, PruneArgs *a) {
  (void)c;
  budget_set(a, BUDGET_LATENCY, v);
  return a->limit > 0 && a->limit <= 1
           ? NULL : "a share of the dense net's, above 0 and up to 1";
}

static const char *parse_bytes(PassCtx *c, const Attr *v, PruneArgs *a) {
  (void)c;
  budget_set(a, BUDGET_BYTES, v);
  return v->kind == ATTR_INT && v->i > 0
           ? NULL : "a number of bytes, as 200k or 4M";
}

static const struct { const char *name; ParseFn *parse; } args[] = {
  {"sparsity", parse_sparsity}, {"macs", parse_macs}, {"bytes", parse_bytes},
  {"latency", parse_latency}, {"pattern", parse_pattern},
  {"method", parse_method}, {"scope", parse_scope}, {"seed", parse_seed},
  {"rounds", parse_rounds}, {"coupled", parse_coupled},
};
enum { ARGS = sizeof args / sizeof *args };

/* ---- errors ---------------------------------------------------------- */

static void arg_unknown(PassCtx *c, const RecipeStep *s, const char *name) {
  const char *names[ARGS];
  for (size_t i = 0; i < ARGS; i++) names[i] = args[i].name;
  diag_error(c->d, EXIT_MODEL, s->span, "prune: no argument '%s'", name);
  const char *near = nearest_name(name, names, ARGS);
  if (near) diag_note(c->d, s->span, "did you mean '%s'?", near);
}

/* ---- all ------------------------------------------------------------- */

static bool arg_parse(PassCtx *c, const RecipeStep *s, const RecipeArg *a,
                      PruneArgs *out) {
  for (size_t k = 0; k < ARGS; k++) {
    if (strcmp(args[k].name, a->name) != 0) continue;
    const char *expected = args[k].parse(c, &a->value, out);
    if (expected) arg_wrong(c, s, a, expected);
    return !expected;
  }
  arg_unknown(c, s, a->name);
  return false;
}

/* N:M says how many values stay, and where. */
static bool runs_agree(PassCtx *c, const RecipeStep *s, const PruneArgs *a) {
  const Pattern *p = &a->pattern;
  if (a->sparsity >= 0 || a->budget)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: pattern %d:%d sets the sparsity itself", p->a,
                      p->b);
  if (a->scope != SCOPE_UNIFORM)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: scope=%s has no meaning with %d:%d",
                      a->scope == SCOPE_ERK ? "erk" : "global", p->a, p->b);
  return true;
}

static bool args_agree(PassCtx *c, const RecipeStep *s, const PruneArgs *a) {
  if (a->pattern.kind == PATTERN_NM) return runs_agree(c, s, a);
  if (a->sparsity < 0 && !a->budget)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: expected sparsity=, from 0 to 1, or a budget, "
                      "macs=, bytes= or latency=");
  if (a->twice || (a->sparsity >= 0 && a->budget))
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: expected one of sparsity, macs, bytes and "
                      "latency, found %s and %s",
                      a->twice ? budget_name(a->twice) : "sparsity",
                      budget_name(a->budget));
  if (a->budget > BUDGET_MACS && !c->predict)
    return diag_error(c->d, EXIT_UNSUPPORTED, s->span,
                      "prune: %s: nothing predicts it here",
                      budget_name(a->budget));
  if (a->pattern.kind == PATTERN_HEAD && a->scope == SCOPE_ERK)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: scope=erk has no meaning with heads, which lie "
                      "in several weights");
  return true;
}

/* Channels are coupled unless it is said that they are not. */
static bool coupled_agrees(PassCtx *c, const RecipeStep *s, PruneArgs *a) {
  bool channels = a->pattern.kind == PATTERN_CHANNEL;
  if (a->coupled_given && !channels)
    return diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: coupled goes with pattern=channel");
  if (!a->coupled_given) a->whole = channels;
  return true;
}

/* What SynFlow takes by default: its paper's rounds, over the whole net. */
static bool rounds_agree(PassCtx *c, const RecipeStep *s, PruneArgs *a) {
  if (strcmp(a->method->name, "synflow") != 0)
    return !a->rounds ||
           diag_error(c->d, EXIT_MODEL, s->span,
                      "prune: rounds has no meaning with method=%s",
                      a->method->name);
  if (!a->rounds) a->rounds = 100;
  if (!a->scoped && a->pattern.kind != PATTERN_NM) a->scope = SCOPE_GLOBAL;
  return true;
}

bool prune_args(PassCtx *c, const RecipeStep *s, PruneArgs *out) {
  bool ok = true;
  *out = (PruneArgs){.pattern = {PATTERN_UNSTRUCTURED, 1, 1}, .sparsity = -1};
  out->method = criterion_find("magnitude");
  for (size_t i = 0; i < s->args.n; i++)
    ok &= arg_parse(c, s, &s->args.at[i], out);
  return ok && coupled_agrees(c, s, out) && rounds_agree(c, s, out) &&
         args_agree(c, s, out);
}
