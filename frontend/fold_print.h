/* fold_print.h - inside frontend/: what prints a folded program.  A body is
 * printed once, with what its first instance has; where others have something
 * else there are arguments. */
#ifndef TAMIS_FOLD_PRINT_H
#define TAMIS_FOLD_PRINT_H

#include "frontend/fold.h"

typedef struct Printer {
  Fold *f;
  Text *out;
  Names *names;          /* of the model */
  const char **key;      /* by a param's order */
  Map keys, blocks;      /* taken */
  const char **label;    /* by place: its name in the body at hand */
  const char **local;    /* by a param's order: the same */
} Printer;

/* The body that is being printed. */
typedef struct Body {
  Printer *p;
  Block *b;
  Map taken;             /* names in it */
  Map next;              /* wish -> the number to try next */
  Vec(const char *) begins;  /* what names with `$` begin with */
  Text head, text;       /* names made of others; statements */
  Vec(Num) nums;         /* that have such a name */
  Vec(const char *) num_name;
  Map words;             /* text -> the name that has it as a value */
} Body;

/* ---- fold_text.c: names, and numbers in them --------------------------- */

bool body_is_main(const Body *w);
bool name_is_free(const Body *w, const char *s);
/* A new name in the body. */
const char *name_fresh(Body *w, const char *wish);
/* What values and arguments are called in the body: as in the model, less what
 * the call says for all and the numbers that tell instances apart. */
const char *value_name(Body *w, uint32_t at);
const char *arg_name(Body *w, uint32_t arg);
void num_print(const Body *w, const Loop *loop, Num x, Text *t);
/* Give the variables that the number needs their names. */
void num_settle(Body *w, Loop *loop, Num *x);
void path_print(Body *w, Loop *loop, const Pieces *p, Text *t);
void place_print(const Body *w, const Loop *loop, const char *file,
                 const Pieces *p, Text *t);
/* A name of all instances of the body, which the key made alike. */
Pieces name_split(Body *w, const Str *all);

/* ---- fold_param.c ------------------------------------------------------ */

/* Declare the body's own params; their keys are set. */
void params_print(Body *w, Text *decls);

/* ---- fold_call.c, fold_repeat.c, fold_print.c -------------------------- */

/* What a call, or one of each turn of a repeat, says: its layer, names of
 * nodes, ints. */
typedef struct Said { Pieces as, from; Vec(Num) vars; } Said;
/* Of the call of c, `at` behind the begin of the body's instance i. */
Str call_scope(const Body *w, const Block *c, uint32_t at, uint32_t i);
Str call_origin(const Body *w, const Block *c, uint32_t at, uint32_t i);
/* at[turn]: where the calls stand in the body. */
bool call_say(Body *w, const Block *c, const uint32_t *at, Loop *loop,
              Said *s);
const char **call_args(Body *w, const Block *c, uint32_t at);
void call_print(Body *w, const Block *c, uint32_t at, Loop *loop,
                const Said *s, const char *const *arg,
                const char *const *result);
void call_statement(Body *w, const Part *p);
/* What stands for an operand in the body. */
const char *ref_text(Body *w, uint32_t slot);
/* The calls from part i on that are turns of one repeat, as one if they are
 * many, else one by one; how many. */
size_t calls_print(Body *w, size_t i);

#endif
