/* fold.h - inside frontend/: a flat program told as blocks that are called.
 * A function's nodes stand in one row, leaves left out.  A block is a part of
 * that row that comes again: its instances are parts of the same length. */
#ifndef TAMIS_FOLD_H
#define TAMIS_FOLD_H

#include "frontend/frontend.h"
#include "ir/names.h"

typedef struct Block Block;
enum { ARGS_MOST = 12 };   /* tensors that a block takes, or gives */
/* A statement of a body: a node, or the call of a block whose first node lies
 * so far behind the body's. */
typedef struct Part { uint32_t at; Block *call; } Part;

/* An int that the names inside depend on, and what each instance gives. */
typedef struct NameVar { const char *name; int64_t *value; } NameVar;

struct Block {
  const char *name;
  uint32_t id, len;
  Vec(Part) parts;
  bool *taken;           /* by part: in a block of this round */
  Block **starts;        /* by part: the block of this round that begins */
  /* By instance, in their order: its first node; how many letters of its
   * nodes' paths and names its call says for all. */
  uint32_t n;
  uint32_t *begin, *scope, *origin;
  bool scoped;           /* else called `as _` */
  Vec(uint32_t) args;    /* the first operand that takes it, see Fold.slot */
  int32_t *arg_of;       /* by operand: which, or -1 */
  Vec(uint32_t) results; /* nodes that others outside use */
  const char **arg_name;
  Vec(NameVar) vars;
  bool printed;
};

typedef struct Fold {
  Arena *a;
  Module *m;
  Func *f;
  Node **node;           /* the row */
  uint32_t n;
  uint32_t *at;          /* by id: place in the row; n: a leaf */
  uint32_t *slot;        /* by place: number of its first operand */
  uint32_t *last;        /* by place: its last user; n: outputs and nexts */
  /* By a param's order: first operand that is it, first and last user. */
  uint32_t *param_slot, *param_first, *param_last;
  /* Letters that paths and names of i-1 and i share, whole segments. */
  uint32_t *path_share, *name_share;
  bool *regular;         /* by place: may stand in a block */
  Block *main;
  Vec(Block *) blocks;
} Fold;

/* Parts [from, to) of a body. */
typedef struct Window {
  Block *body;
  uint32_t from, to;
  bool bare;             /* to be called `as _` */
  uint64_t key;
} Window;
typedef Vec(Window) Windows;

/* ---- fold_key.c -------------------------------------------------------- */

/* Digits at s that print as they stand, or 0; *run: all digits. */
size_t number_at(const char *s, const char *end, size_t *run);
uint32_t path_shared(const char *a, const char *b);
uint32_t name_shared(const char *a, const char *b);
uint32_t window_begin(const Window *w, uint32_t instance);
uint32_t window_len(const Window *w);
/* Letters of path and node's name that all nodes of the row's part share. */
uint32_t row_scope(const Fold *f, uint32_t begin, uint32_t len);
uint32_t row_origin(const Fold *f, uint32_t begin, uint32_t len);
/* The place of the node that an operand belongs to; its value. */
uint32_t slot_place(const Fold *f, uint32_t slot);
Node *slot_value(const Fold *f, uint32_t slot);
bool param_within(const Fold *f, const Param *p, uint32_t begin,
                  uint32_t len);
/* All that must be equal for two windows to be instances of one block, as
 * bytes; false: it cannot be one. */
bool window_key(const Fold *f, const Window *w, uint32_t instance, Text *t);

/* ---- fold_modules.c, fold_runs.c --------------------------------------- */

/* Windows that may come again, with their keys: modules by their names, and
 * equal runs of statements whatever they are called. */
void find_modules(Fold *f, Windows *out);
void find_runs(Fold *f, Windows *out);

/* ---- fold_names.c ------------------------------------------------------ */

typedef struct Str { const char *s; size_t n; } Str;
/* mul * turn + var + add; var -1: none; list >= 0: that variable of the
 * repeat instead. */
typedef struct Num { int64_t mul, add; int var, list; } Num;
/* Of a name: text, or where s is NULL a number. */
typedef struct Piece { const char *s; size_t n; Num num; } Piece;
typedef Vec(Piece) Pieces;
/* A variable of a repeat that goes through a list. */
typedef struct LoopVar {
  const char *name;
  const char **ref;      /* values by turn, or NULL */
  int64_t *value;        /* ints by turn */
} LoopVar;
typedef struct Loop {
  uint32_t turns;
  const char *var;
  int64_t first;         /* value of var in the first turn */
  bool fixed, used;      /* first is chosen; var is used */
  Vec(LoopVar) lists;
  Text helpers;
} Loop;

/* A name that stands in all instances of b, turn by turn ([turn * b->n +
 * instance]), taken apart; false: they differ in more than numbers, or these
 * cannot be said.  May add to b->vars and to the repeat's lists. */
bool name_pieces(Fold *f, Block *b, const Str *all, Loop *loop, Pieces *out);
bool num_of(Fold *f, Block *b, const int64_t *all, Loop *loop, Num *out);
/* How many variables b's names need; any number above `most` if more. */
size_t names_vars(Fold *f, Block *b, size_t most);
/* The path and node's name of place `at` of each instance, behind what its
 * call says. */
Str path_inside(const Fold *f, const Block *b, uint32_t instance,
                uint32_t at);
Str name_inside(const Fold *f, const Block *b, uint32_t instance,
                uint32_t at);
/* Which instance of b begins there. */
uint32_t instance_at(const Block *b, uint32_t begin);

/* ---- fold_print.c ------------------------------------------------------ */

/* The program; key[order] is set to what a param is called in it. */
void fold_print(Fold *f, Text *out, const char *weights, const char **key);

#endif
