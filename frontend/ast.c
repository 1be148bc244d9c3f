/* ast.c - constructors for the parser's actions. */
#include "frontend/ast.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

Span parse_span(const ParseCtx *p, Loc l) {
  return (Span){p->src, l.begin, l.end};
}

Name parse_name(const ParseCtx *p, const char *s, Loc l) {
  return (Name){s, parse_span(p, l)};
}

Expr *expr_new(ParseCtx *p, ExprKind kind, Loc l) {
  Expr *e = arena_new_of(p->arena, Expr);
  e->kind = kind;
  e->span = parse_span(p, l);
  e->depth = 1;
  return e;
}

/* Make `sub` a child of e.  Trees too deep for the stack of a recursive
 * walk are cut off here, with one message. */
static void expr_adopt(ParseCtx *p, Expr *e, Expr *sub) {
  if (sub->depth >= e->depth)
    e->depth = sub->depth + 1;
  if (e->depth > MAX_DEPTH) {
    if (!p->too_deep)
      diag_error(p->diags, EXIT_MODEL,
                 (Span){p->src, sub->span.end - 1, sub->span.end},
                 "this expression has more than %d levels", MAX_DEPTH);
    p->too_deep = true;
    sub = arena_new_of(p->arena, Expr);
    sub->kind = EXPR_BAD;
    sub->span = e->span;
    sub->depth = 1;
    e->depth = 2;
  }
  vec_push(p->arena, &e->sub, sub);
}

Expr *expr_int(ParseCtx *p, int64_t v, Loc l) {
  Expr *e = expr_new(p, EXPR_INT, l);
  e->i = v;
  return e;
}

bool pair_read(ParseCtx *p, const char *text, char sep, Loc l, int64_t *a,
               int64_t *b) {
  errno = 0;
  *a = strtoll(text, NULL, 10);
  *b = strtoll(strchr(text, sep) + 1, NULL, 10);
  if (errno == 0 && *a <= INT32_MAX && *b <= INT32_MAX)
    return true;
  *a = *b = 1;
  return diag_error(p->diags, EXIT_MODEL, parse_span(p, l),
                    "the numbers of '%s' do not fit 32 bits", text);
}

Expr *expr_pair(ParseCtx *p, ExprKind kind, const char *text, char sep,
                Loc l) {
  Expr *e = expr_new(p, kind, l);
  pair_read(p, text, sep, l, &e->i, &e->j);
  return e;
}

Expr *expr_op(ParseCtx *p, Oper op, Expr *a, Expr *b, Loc at, Loc l) {
  Expr *e = expr_new(p, b ? EXPR_BINARY : EXPR_UNARY, l);
  e->oper = op;
  e->oper_span = parse_span(p, at);
  expr_adopt(p, e, a);
  if (b)
    expr_adopt(p, e, b);
  return e;
}

Expr *expr_if(ParseCtx *p, Expr *c, Expr *a, Expr *b, Loc l) {
  Expr *e = expr_new(p, EXPR_IF, l);
  expr_adopt(p, e, c);
  expr_adopt(p, e, a);
  expr_adopt(p, e, b);
  return e;
}

Expr *expr_pipe(ParseCtx *p, Expr *x, Expr *call, Loc l) {
  if (call->kind == EXPR_BAD)
    return call;
  Expr *e = expr_new(p, EXPR_PIPE, l);
  expr_adopt(p, e, x);
  expr_adopt(p, e, call);
  return e;
}

Expr *expr_call(ParseCtx *p, Name name, Args args, Loc l) {
  Expr *e = expr_new(p, EXPR_CALL, l);
  e->name = name;
  e->args = args;
  for (size_t i = 0; i < args.n; i++) {
    expr_adopt(p, e, args.at[i].value);
    e->args.at[i].value = e->sub.at[i];
  }
  return e;
}

/* Indices are expressions of their own: their depth counts as well. */
Expr *expr_path(ParseCtx *p, Path *path, Loc l) {
  Expr *e = expr_new(p, EXPR_PATH, l);
  e->path = path;
  for (size_t i = 0; i < path->segs.n; i++) {
    Seg *s = &path->segs.at[i];
    if (s->index) {
      expr_adopt(p, e, s->index);
      s->index = e->sub.at[e->sub.n - 1];
    }
  }
  return e;
}

Expr *expr_typed(ParseCtx *p, Elem elem, Expr *number, Loc l) {
  Expr *e = expr_new(p, EXPR_TYPED, l);
  e->elem = elem;
  expr_adopt(p, e, number);
  return e;
}

Expr *expr_items(ParseCtx *p, ExprKind kind, Exprs items, Loc l) {
  Expr *e = expr_new(p, kind, l);
  for (size_t i = 0; i < items.n; i++)
    expr_adopt(p, e, items.at[i]);
  return e;
}

Path *path_new(ParseCtx *p, Seg first, Loc l) {
  Path *path = arena_new_of(p->arena, Path);
  vec_push(p->arena, &path->segs, first);
  path->span = parse_span(p, l);
  return path;
}

Path *path_append(ParseCtx *p, Path *path, Seg seg, Loc l) {
  vec_push(p->arena, &path->segs, seg);
  path->span = parse_span(p, l);
  return path;
}

Stmt *stmt_new(ParseCtx *p, StmtKind kind, Loc l) {
  Stmt *s = arena_new_of(p->arena, Stmt);
  s->kind = kind;
  s->span = parse_span(p, l);
  return s;
}

Decl *decl_new(ParseCtx *p, DeclKind kind, Name name, Loc l) {
  Decl *d = arena_new_of(p->arena, Decl);
  d->kind = kind;
  d->name = name;
  d->span = parse_span(p, l);
  d->file = p->file;
  return d;
}

const char *path_single(const Path *path) {
  if (path->segs.n != 1)
    return NULL;
  const Seg *s = &path->segs.at[0];
  return s->index || s->any ? NULL : s->name;
}

const char *span_text(Arena *a, Span s) {
  return s.src ? arena_strndup(a, s.src->text + s.begin, s.end - s.begin)
               : "";
}
