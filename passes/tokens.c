/* tokens.c - the recipe's verb `tokens`: a vision transformer goes on with
 * those of its tokens that look most like an object.
 *
 *   tokens PATCHES with keep=0.5 | keep=64, method=objectness,
 *                       windows=[1,2,4], scale=0.0171;
 *   tokens PATCHES with keep=0.5, method=norm;
 *   tokens PATCHES with keep=0.5, method=random, seed=1;
 *
 * requires   a convolution over an image, whose result becomes a sequence
 * preserves  tokens that stay, with their positions, and all that stands
 *            beside them; values behind have fewer entries
 * before     d = add(concat(cls, b, axis=1), pos);     [N,197,D]
 * after      d = ...;  y = gather(d, best);            [N,99,D]
 * source     doc/language.md; the parts in tokens_embed.c, tokens_score.c,
 *            tokens_follow.c */
#include <math.h>
#include <string.h>

#include "passes/tokens.h"

static const struct { const char *name, *args; } methods[TOKENS_METHODS] = {
  [TOKENS_OBJECTNESS] = {"objectness", "keep windows scale"},
  [TOKENS_NORM] = {"norm", "keep"},
  [TOKENS_RANDOM] = {"random", "keep seed"},
};

/* ---- arguments ------------------------------------------------------- */

static const char *parse_keep(const Attr *v, void *args) {
  TokensArgs *a = args;
  if (v->kind == ATTR_INT) a->number = v->i;
  if (v->kind == ATTR_FLOAT) a->share = v->f;
  bool ok = v->kind == ATTR_INT ? v->i >= 1
                                : v->kind == ATTR_FLOAT && v->f > 0 &&
                                  v->f <= 1;
  return ok ? NULL : "a whole number from 1 on, or a share above 0.0 and up "
                     "to 1.0";
}

static const char *parse_method(const Attr *v, void *args) {
  for (int i = 0; v->kind == ATTR_STR && i < TOKENS_METHODS; i++)
    if (strcmp(v->s, methods[i].name) == 0) {
      ((TokensArgs *)args)->method = (TokensMethod)i;
      return NULL;
    }
  return "objectness, norm or random";
}

static const char *parse_windows(const Attr *v, void *args) {
  TokensArgs *a = args;
  a->windows = v->ints;
  a->nwindows = v->n;
  bool ok = v->kind == ATTR_INTS && v->n > 0;
  for (int i = 0; ok && i < v->n; i++)
    ok = v->ints[i] >= 1 && (i == 0 || v->ints[i] > v->ints[i - 1]);
  return ok ? NULL : "rising sides in patches, as in [1,2,4]";
}

static const char *parse_scale(const Attr *v, void *args) {
  double *scale = &((TokensArgs *)args)->scale;
  return arg_number(v, scale) && *scale > 0 && *scale <= 1e30
           ? NULL : "a number above 0";
}

static const char *parse_seed(const Attr *v, void *args) {
  ((TokensArgs *)args)->seed = v->i;
  return v->kind == ATTR_INT && v->i >= 0 ? NULL : "a whole number from 0 on";
}

static bool tokens_args(PassCtx *c, const RecipeStep *s, TokensArgs *a) {
  static const VerbArg rows[] = {
    {"keep", parse_keep}, {"method", parse_method},
    {"windows", parse_windows}, {"scale", parse_scale}, {"seed", parse_seed},
  };
  *a = (TokensArgs){0};
  if (!verb_args(c, s, rows, sizeof rows / sizeof *rows, a)) return false;
  if (!method_takes(c, s, methods[a->method].name, methods[a->method].args))
    return false;
  return a->number || a->share > 0 ||
         diag_error(c->d, EXIT_MODEL, s->span, "tokens: expected keep=, found "
                    "none");
}

/* ---- what is to be done ---------------------------------------------- */

typedef struct TokensStep {
  PassCtx *c;
  const RecipeStep *s;
  TokensArgs a;
  Arena *arena;
  const char *path;      /* of the weight */
  Embed e;
  int64_t kept;
  Follow w;
} TokensStep;

static bool keep_number(TokensStep *x) {
  int64_t all = x->e.all;
  x->kept = x->a.number;
  if (x->a.share > 0) x->kept = llround(x->a.share * (double)all);
  if (x->kept < 1) x->kept = 1;
  return x->kept <= all ||
         diag_error(x->c->d, EXIT_MODEL, x->s->span, "tokens: %s: keep: "
                    "expected 1 to %lld, as many as there are tokens, found "
                    "%lld", x->path, (long long)all, (long long)x->kept);
}

/* Has each patch a mean? */
static bool pads_fit(const Node *conv) {
  const int64_t *pad = attr_ints(conv, "pad", NULL);
  int64_t k[2];
  conv_reach(conv, k);
  return pad[0] < k[0] && pad[1] < k[1] && pad[2] < k[0] && pad[3] < k[1];
}

/* An image of one row has no differences along the other axis. */
static bool image_fits(const TokensStep *x) {
  const Type *t = &x->e.conv->in[0]->type;
  const Type *y = &x->e.conv->type;
  if (x->a.method != TOKENS_OBJECTNESS) return true;
  if (t->dim[2] < 3 || t->dim[3] < 3)
    return diag_error(x->c->d, EXIT_MODEL, x->s->span, "tokens: %s: expected "
                      "an image of 3 by 3 pixels or more, found %lld by %lld",
                      x->path, (long long)t->dim[2], (long long)t->dim[3]);
  if (!pads_fit(x->e.conv))
    return diag_error(x->c->d, EXIT_MODEL, x->s->span, "tokens: %s: expected "
                      "patches that reach into the image, found padding as "
                      "wide as a patch", x->path);
  for (int i = 0; i < x->a.nwindows; i++)
    if (!window_fits(&x->e, x->a.windows[i]))
      return diag_error(x->c->d, EXIT_MODEL, x->s->span, "tokens: %s: "
                        "windows: expected sides that leave a surround in "
                        "%lld by %lld patches, found %lld", x->path,
                        (long long)y->dim[2], (long long)y->dim[3],
                        (long long)x->a.windows[i]);
  return true;
}

/* All that reads the tokens that stay. */
static bool net_follows(TokensStep *x) {
  const Node *at = x->e.at;
  TokenShape *s = arena_new_of(x->arena, TokenShape);
  x->w = (Follow){.c = x->c, .a = x->arena, .kept = x->kept};
  x->w.of = arena_array(x->arena, TokenShape *, x->e.f->nodes.n + 1);
  *s = (TokenShape){0};
  s->axis[1] = (TokenAxis){x->e.lot, 1, 1};
  x->w.of[at->id] = s;
  return follow_all(&x->w, x->e.f, at) ||
         diag_error(x->c->d, EXIT_MODEL, x->s->span, "tokens: %s: %s",
                    x->path, x->w.why.s);
}

static bool step_plan(TokensStep *x, PassCtx *c, const RecipeStep *s) {
  *x = (TokensStep){.c = c, .s = s, .arena = c->scratch};
  if (!tokens_args(c, s, &x->a) ||
      !embed_find(c, s, x->arena, &x->e))
    return false;
  x->path = s->params.at[0]->path;
  return keep_number(x) && image_fits(x) &&
         (x->kept == x->e.all || net_follows(x));
}

static void step_end(TokensStep *x) { text_free(&x->w.why); }

bool check_tokens(PassCtx *c, const RecipeStep *s) {
  TokensStep x;
  bool ok = step_plan(&x, c, s);
  step_end(&x);
  return ok;
}

/* ---- doing it -------------------------------------------------------- */

static double func_macs(Module *m, const Func *f) {
  double macs = 0;
  for (size_t i = 0; i < f->nodes.n; i++)
    macs += (double)node_cost(m, f->nodes.at[i]).macs;
  return macs;
}

/* Outputs that have the tokens have fewer entries. */
static void outputs_note(TokensStep *x) {
  const Func *f = x->e.f;
  for (size_t i = 0; i < f->outputs.n; i++) {
    const Node *n = f->outputs.at[i].node;
    if (n != x->e.at && !x->w.of[n->id]) continue;
    Type was = n->type, now;
    Text t = {0};
    ensure(type_kept(&x->w, &was, x->w.of[n->id], &now));
    was.at = now.at = -1;
    type_print(&t, &was);
    text_puts(&t, " becomes ");
    type_print(&t, &now);
    verb_note(x->c, x->s, x->path, "output %s: %s", f->outputs.at[i].name,
              t.s);
    text_free(&t);
  }
}

static void step_run(TokensStep *x) {
  Module *m = x->c->m;
  Func *f = x->e.f;
  double macs = func_macs(m, f);
  outputs_note(x);
  tokens_take(x->c, &x->e, &x->a, x->kept);
  follow_apply(&x->w, f);
  func_tidy(m, f);
  verb_note(x->c, x->s, x->path, "%lld of %lld tokens stay by %s, %lld beside "
            "them: %.0f of %.0f multiply-accumulates", (long long)x->kept,
            (long long)x->e.all, methods[x->a.method].name,
            (long long)(x->e.lot.front + x->e.lot.back), func_macs(m, f),
            macs);
}

bool verb_tokens(PassCtx *c, const RecipeStep *s) {
  TokensStep x;
  bool ok = step_plan(&x, c, s);
  if (ok && x.kept == x.e.all) verb_note(c, s, x.path, "all tokens stay");
  else if (ok) step_run(&x);
  step_end(&x);
  return ok;
}
