/* tokens.h - what the parts of the recipe's verb `tokens` share. */
#ifndef TAMIS_TOKENS_H
#define TAMIS_TOKENS_H

#include "passes/verb.h"

typedef enum {
  TOKENS_OBJECTNESS, TOKENS_NORM, TOKENS_RANDOM, TOKENS_METHODS
} TokensMethod;

typedef struct TokensArgs {
  int64_t number;        /* of tokens that stay; 0: not given */
  double share;          /* likewise */
  TokensMethod method;
  const int64_t *windows;   /* sides in patches; NULL: not given */
  int nwindows;
  double scale;          /* units of the input in a grey level; 0: not given */
  int64_t seed;
} TokensArgs;

/* ---- tokens_follow.c: values that have the tokens -------------------- */

/* Of an axis with front + all + back entries: `all` tokens, of which some
 * stay, between others, which do; all 0: it has none. */
typedef struct Lot { int64_t front, all, back; } Lot;
/* An axis of outer * (those) * inner. */
typedef struct TokenAxis { Lot lot; int64_t outer, inner; } TokenAxis;
typedef struct TokenShape { TokenAxis axis[MAX_RANK]; } TokenShape;

/* An attribute to come: of n, or of a copy of its operand number `copy`. */
typedef struct Edit {
  Node *n;
  int copy;              /* -1: n itself */
  const char *name;
  bool is_shape;
  Type shape;
  int64_t v;
} Edit;

typedef struct Follow {
  PassCtx *c;
  Arena *a;
  int64_t kept;
  TokenShape **of;       /* by id; NULL: without tokens */
  bool before;           /* all tokens are there: values may have one entry
                            for each */
  bool placed;           /* such a value was met */
  Vec(Edit) edits;
  Vec(Node *) nodes;     /* that have tokens, or read them */
  Text why;              /* against it */
} Follow;

int64_t lot_size(const Lot *l);
/* Is the axis nothing but tokens and what stands beside them? */
bool axis_is_lot(const TokenAxis *t);
/* Of operand k, which may have none. */
const TokenAxis *axis_of(const Follow *w, const Node *n, int k, int axis);
/* What n has of tokens, from its operands; false and text in why when that
 * cannot be said. */
bool follow_node(Follow *w, Node *n);
/* All that reads `from`, whose tokens are known, up to outputs. */
bool follow_all(Follow *w, Func *f, const Node *from);
/* t with the tokens that stay; false: a size is no multiple of theirs. */
bool type_kept(const Follow *w, const Type *t, const TokenShape *s,
               Type *out);
void follow_apply(Follow *w, Func *f);
/* Which axis of the result, or of what is summed, an operand's axis is: a
 * number below LABELS, of which those of the result are its axes, or none,
 * which no tokens may have. */
enum { LABELS = MAX_RANK + 4, LABEL_NONE = -1 };
typedef int Labels[MAX_RANK];            /* by operand */
Labels *labels_new(Follow *w, const Node *n);
bool labels_join(Follow *w, Node *n, const Labels *l, TokenShape *y);
bool follow_why(Follow *w, const Node *n, const char *fmt, ...)
  PRINTF_LIKE(3, 4);
/* A list of sizes, plain[0], lots[0], plain[1], ... in row-major order. */
typedef struct Sizes {
  int n;
  int64_t plain[MAX_RANK + 1];
  Lot lot[MAX_RANK];
} Sizes;
/* Cut into the axes of t; false: an end of one lies among the tokens. */
bool sizes_cut(Sizes *z, const Type *t, TokenShape *out);

/* tokens_views.c: of ops that move values; *known false: n is none. */
bool follow_view(Follow *w, Node *n, TokenShape *y, bool *known);

/* ---- tokens_embed.c: from an image to tokens ------------------------- */

typedef struct Embed {
  Func *f;
  Node *conv;            /* [N,D,h,w] */
  int64_t all;           /* h * w */
  Node *at;              /* the value [N,front + all + back,...] behind which
                            they are taken */
  Lot lot;
} Embed;
/* Of the only weight that s selected; false after an error. */
bool embed_find(PassCtx *c, const RecipeStep *s, Arena *a, Embed *e);

/* ---- tokens_score.c: which of them stay ------------------------------ */

/* Rows and columns that a convolution reads for a patch. */
void conv_reach(const Node *conv, int64_t k[2]);
/* Windows that fit: smaller than the map of patches, at least along one axis,
 * and no larger along the other. */
bool window_fits(const Embed *e, int64_t side);
/* Nodes that take `kept` of the tokens of e->at, before the first that uses
 * it; all uses become that. */
Node *tokens_take(PassCtx *c, const Embed *e, const TokensArgs *t,
                  int64_t kept);

#endif
