/* ast.h - inside frontend/: what the parser makes of a .tam text.  All of
 * it lives in the arena of the load; every piece knows its place. */
#ifndef TAMIS_AST_H
#define TAMIS_AST_H

#include "frontend/frontend.h"

enum {
  MAX_NESTING = 200,   /* brackets open at once */
  MAX_DEPTH = 1000     /* of an expression tree, chains included */
};

typedef struct Name { const char *s; Span span; } Name;
typedef Vec(Name) Names;

/* ---- expressions ---------------------------------------------------- */

typedef struct Expr Expr;
typedef Vec(Expr *) Exprs;

/* One segment of a path: a name, `*` or `**` (selectors only), with at most
 * one of an index and `[*]`. */
typedef struct Seg {
  const char *name;
  Expr *index;
  bool any;
  Span span;
} Seg;
typedef struct Path { Vec(Seg) segs; Span span; } Path;

typedef struct Arg { Name name; Expr *value; Span span; } Arg;
typedef Vec(Arg) Args;

typedef enum ExprKind {
  EXPR_INT, EXPR_FLOAT, EXPR_BOOL, EXPR_STR, EXPR_TILE, EXPR_RATIO,
  EXPR_ELEM, EXPR_PATH, EXPR_CALL, EXPR_TUPLE, EXPR_LIST, EXPR_UNARY,
  EXPR_BINARY, EXPR_PIPE, EXPR_IF, EXPR_TYPED, EXPR_BAD
} ExprKind;

/* Binary operators by precedence; NEG and NOT are the unary ones. */
typedef enum Oper {
  OPER_OR, OPER_AND, OPER_EQ, OPER_NE, OPER_LE, OPER_GE, OPER_LT, OPER_GT,
  OPER_RANGE, OPER_ADD, OPER_SUB, OPER_MUL, OPER_DIV, OPER_MOD, OPER_NEG,
  OPER_NOT
} Oper;

struct Expr {
  ExprKind kind;
  Span span;
  int depth;
  int64_t i, j;     /* INT, BOOL (i); TILE, RATIO: ixj, i:j */
  double f;         /* FLOAT */
  const char *s;    /* STR */
  Elem elem;
  Path *path;       /* PATH */
  Name name;        /* CALL */
  Args args;
  Path *as;         /* or NULL */
  Oper oper;        /* UNARY, BINARY */
  Span oper_span;
  /* items of LIST and TUPLE; operands of UNARY and BINARY; left side and
   * call of PIPE; condition, then and else of IF; number of TYPED */
  Exprs sub;
};

/* ---- types ---------------------------------------------------------- */

typedef struct Enc { Name name; Expr *value; } Enc;   /* value may be NULL */

/* A tensor type, or the kind of a compile-time parameter (int, ints, ...) */
typedef struct TypeExpr {
  Span span;
  bool is_kind, is_list;
  Name kind;
  Elem elem;
  Exprs dims;
  Vec(Enc) encs;
} TypeExpr;

/* ---- statements and declarations ------------------------------------ */

typedef struct Stmt Stmt;
typedef Vec(Stmt *) Stmts;

typedef struct Bind { Name name; TypeExpr *type; } Bind;   /* type or NULL */
typedef Vec(Bind) Binds;
/* `node`: the parts of its name, strings and what gives an int or one. */
typedef struct FromPlace {
  const char *file;
  Exprs node;
  int64_t line, col;
} FromPlace;
typedef struct Rename { Path *path; const char *to; } Rename;
typedef Vec(Rename) Renames;

typedef enum StmtKind {
  STMT_BIND, STMT_PARAM, STMT_STATE, STMT_WEIGHTS, STMT_NEXT, STMT_REPEAT
} StmtKind;

struct Stmt {
  StmtKind kind;
  Span span;
  Binds binds;             /* BIND */
  Expr *value;             /* BIND, NEXT; PARAM, STATE: initialiser or NULL;
                              REPEAT: what is gone through */
  Vec(FromPlace) from;     /* BIND */
  Path *path;              /* PARAM, STATE, NEXT */
  TypeExpr *type;          /* PARAM, STATE */
  Name file;               /* WEIGHTS */
  Renames renames;
  Name label;              /* REPEAT */
  Names vars;
  bool tuple;              /* vars stood in parentheses */
  Stmts body;
};

typedef struct Par { Name name; TypeExpr *type; Expr *def; } Par;
typedef Vec(Par) Pars;
typedef struct Sig { Name name; Pars pars; Binds results; } Sig;

typedef struct Sel {
  Span span;
  bool negated;
  Path *path;
  Name kind;               /* s NULL: any */
  Path *to;                /* of `a -> b`, or NULL */
} Sel;
typedef struct Step Step;
typedef Vec(Step *) Steps;
struct Step {
  Name verb;
  Vec(Sel) sels;
  Args args;
  bool nested;
  Steps body;
};

typedef enum DeclKind {
  DECL_IMPORT, DECL_BLOCK, DECL_FUNC, DECL_MODEL, DECL_STMT, DECL_RECIPE
} DeclKind;

struct File;
typedef struct Decl {
  DeclKind kind;
  Span span;
  struct File *file;
  Name name;               /* BLOCK, FUNC, MODEL, RECIPE; IMPORT: `as` */
  Sig sig;                 /* BLOCK, FUNC, MODEL */
  Exprs where;             /* MODEL */
  Stmts body;
  Stmt *stmt;              /* STMT: param, state or weights */
  Name model;              /* RECIPE */
  Steps steps;
  Name path;               /* IMPORT */
  struct File *imported;   /* IMPORT, once it was read */
} Decl;

typedef struct File {
  const Source *src;
  const char *dir;
  bool prelude, has_dump;
  Args dump;
  Span dump_span;
  Vec(Decl *) decls;
} File;

/* ---- ast.c ---------------------------------------------------------- */

/* What lexer, parser and the actions share. */
typedef struct ParseCtx {
  Arena *arena;
  Diags *diags;
  const Source *src;
  File *file;
  uint32_t pos;         /* of the lexer */
  uint32_t str_begin;   /* of the string being read */
  Text str;
  int nesting;
  bool too_deep;        /* said so already */
} ParseCtx;

/* Offsets only: line and column are worked out when printed. */
typedef struct Loc { uint32_t begin, end; } Loc;

Span parse_span(const ParseCtx *p, Loc l);
Name parse_name(const ParseCtx *p, const char *s, Loc l);
Expr *expr_new(ParseCtx *p, ExprKind kind, Loc l);
Expr *expr_int(ParseCtx *p, int64_t v, Loc l);
Expr *expr_pair(ParseCtx *p, ExprKind kind, const char *text, char sep,
                Loc l);
Expr *expr_op(ParseCtx *p, Oper op, Expr *a, Expr *b, Loc at, Loc l);
Expr *expr_if(ParseCtx *p, Expr *c, Expr *a, Expr *b, Loc l);
Expr *expr_pipe(ParseCtx *p, Expr *x, Expr *call, Loc l);
Expr *expr_call(ParseCtx *p, Name name, Args args, Loc l);
Expr *expr_path(ParseCtx *p, Path *path, Loc l);
Expr *expr_typed(ParseCtx *p, Elem elem, Expr *number, Loc l);
Expr *expr_items(ParseCtx *p, ExprKind kind, Exprs items, Loc l);
Path *path_new(ParseCtx *p, Seg first, Loc l);
Path *path_append(ParseCtx *p, Path *path, Seg seg, Loc l);
Stmt *stmt_new(ParseCtx *p, StmtKind kind, Loc l);
Decl *decl_new(ParseCtx *p, DeclKind kind, Name name, Loc l);
/* "12:7" -> 12, 7; an error and false when it does not fit. */
bool pair_read(ParseCtx *p, const char *text, char sep, Loc l, int64_t *a,
               int64_t *b);
/* The name of a path of one plain segment, else NULL. */
const char *path_single(const Path *path);
/* As the user wrote it. */
const char *span_text(Arena *a, Span s);

/* Parse one source; NULL only when nothing could be made of it.  Errors go
 * to d; what was understood is in the File. */
File *tam_parse(Arena *a, Diags *d, const Source *src);

#endif
