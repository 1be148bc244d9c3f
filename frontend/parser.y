/* parser.y - the grammar of a .tam text: model source, recipe and dump.
 * doc/language.md gives it in EBNF.  Values live in the arena, so nothing
 * needs a destructor when recovery throws symbols away.  It goes on behind
 * the next `;` or body: a bracket that was never closed would swallow more. */

%define api.pure full
%define api.prefix {tam_yy}
%define api.location.type {Loc}
%define parse.error custom
%define parse.lac full
%locations
%expect 0
%param {void *scanner}
%parse-param {ParseCtx *p}

%code requires {
#include "frontend/ast.h"
}

%code provides {
int tam_yylex(TAM_YYSTYPE *value, TAM_YYLTYPE *loc, void *scanner);
}

%code {
#include <string.h>

#define YYLLOC_DEFAULT(cur, rhs, n)                     \
  ((n) ? ((cur).begin = YYRHSLOC(rhs, 1).begin,         \
          (cur).end = YYRHSLOC(rhs, n).end)             \
       : ((cur).begin = (cur).end = YYRHSLOC(rhs, 0).end))

static void tam_yyerror(Loc *l, void *scanner, ParseCtx *p,
                        const char *msg);

#define PUSH(v, x) vec_push(p->arena, &(v), x)
}

%initial-action { @$.begin = @$.end = 0; (void)yynerrs; }

%union {
  int64_t i;
  double f;
  const char *s;
  Elem elem;
  Expr *expr;
  Exprs exprs;
  Arg arg;
  Args args;
  Path *path;
  Seg seg;
  TypeExpr *type;
  Enc enc;
  Stmt *stmt;
  Stmts stmts;
  Bind bind;
  Binds binds;
  Par par;
  Pars pars;
  Sig sig;
  Sel sel;
  Step *step;
  Steps steps;
  Decl *decl;
  Names names;
  Name name;
  FromPlace place;
  Renames renames;
}

%token <s> ID "name" VARID "name with $" STR "string" TILE "RxC" RATIO "N:M"
%token <i> INT "integer"
%token <f> FLOAT "number"
%token <elem> ELEM "element type"
%token AS "as" BLOCK "block" DUMP "dump" ELSE "else" FALSE "false"
%token FOR "for" FROM "from" FUNC "func" IF "if" IMPORT "import" IN "in"
%token INF "inf" MODEL "model" NAN_ "nan" NEXT "next" PARAM "param"
%token RECIPE "recipe" REPEAT "repeat" STATE "state" THEN "then"
%token TRUE "true" WEIGHTS "weights" WHERE "where" WITH "with"
%token PIPE "|>" ARROW "->" OR "||" AND "&&" EQ "==" NE "!=" LE "<="
%token GE ">=" RANGE ".." STARSTAR "**" ANYINDEX "[*]"
%token YYEOF 0 "end of file"

%left OR
%left AND
%nonassoc EQ NE LE GE '<' '>'
%nonassoc RANGE
%left '+' '-'
%left '*' '/' '%'
%precedence NEG '!'

%type <expr> expr eop op prim call callas layer init_opt
%type <exprs> exprs exprs_opt where_opt
%type <arg> arg kwarg
%type <args> args args_opt kwargs with_opt
%type <path> ipath path as_opt
%type <seg> iseg seg
%type <s> segname isegname
%type <type> type type_opt par_type
%type <enc> enc
%type <stmt> stmt bindstmt param state weights next repeat
%type <type> encs enc_list
%type <stmts> stmts body
%type <bind> bind
%type <binds> binds results
%type <par> par
%type <pars> pars pars_opt
%type <sig> sig
%type <sel> sel
%type <step> step sels sel_list
%type <steps> steps
%type <decl> decl
%type <names> vars
%type <name> sel_kind import_as
%type <place> place
%type <exprs> node
%type <expr> nodepart
%type <stmt> places
%type <renames> renames

%%

file: decls ;

decls: %empty
  | decls decl { if ($decl) PUSH(p->file->decls, $decl); }
  ;

/* A dump's line counts as a declaration here, so that the parser needs no
 * token to get to where it can recover from an error in the first one. */
decl:
    "dump" kwargs ';' {
      if (p->file->has_dump || p->file->decls.n)
        diag_error(p->diags, EXIT_MODEL, parse_span(p, @1),
                   "'dump' stands only at the beginning of a text");
      p->file->has_dump = true;
      p->file->dump = $kwargs;
      p->file->dump_span = parse_span(p, @1);
      $$ = NULL;
    }
  | "import" STR import_as ';' {
      $$ = decl_new(p, DECL_IMPORT, $import_as, @1);
      $$->path = parse_name(p, $STR, @STR);
    }
  | "block" sig body {
      $$ = decl_new(p, DECL_BLOCK, $sig.name, @1);
      $$->sig = $sig; $$->body = $body;
    }
  | "func" sig body {
      $$ = decl_new(p, DECL_FUNC, $sig.name, @1);
      $$->sig = $sig; $$->body = $body;
    }
  | "model" sig where_opt body {
      $$ = decl_new(p, DECL_MODEL, $sig.name, @1);
      $$->sig = $sig; $$->where = $where_opt; $$->body = $body;
    }
  | param   { $$ = decl_new(p, DECL_STMT, (Name){0}, @1); $$->stmt = $1; }
  | state   { $$ = decl_new(p, DECL_STMT, (Name){0}, @1); $$->stmt = $1; }
  | weights { $$ = decl_new(p, DECL_STMT, (Name){0}, @1); $$->stmt = $1; }
  | "recipe" ID[name] "for" ID[of] '{' steps '}' {
      $$ = decl_new(p, DECL_RECIPE, parse_name(p, $name, @name), @1);
      $$->model = parse_name(p, $of, @of);
      $$->steps = $steps;
    }
  | error ';' { $$ = NULL; }
  | error body { $$ = NULL; }
  | error '}' { $$ = NULL; }
  ;

import_as: %empty { $$ = (Name){0}; }
  | "as" ID { $$ = parse_name(p, $ID, @ID); }
  ;

where_opt: %empty { $$ = (Exprs){0}; }
  | "where" exprs { $$ = $exprs; }
  ;

sig:
    ID '(' pars_opt ')' "->" results {
      $$ = (Sig){.name = parse_name(p, $ID, @ID), .pars = $pars_opt,
                 .results = $results};
    }
  ;

pars_opt: %empty { $$ = (Pars){0}; } | pars ;
pars: par { $$ = (Pars){0}; PUSH($$, $par); }
  | pars ',' par { $$ = $1; PUSH($$, $par); }
  ;
par: ID par_type init_opt {
      $$ = (Par){parse_name(p, $ID, @ID), $par_type, $init_opt};
    }
  ;
par_type: %empty { $$ = NULL; }
  | ':' type { $$ = $type; }
  | ':' ID {
      $$ = arena_new_of(p->arena, TypeExpr);
      $$->span = parse_span(p, @ID);
      $$->is_kind = true;
      $$->kind = parse_name(p, $ID, @ID);
    }
  | ':' ID '[' ']' {
      $$ = arena_new_of(p->arena, TypeExpr);
      $$->span = parse_span(p, @ID);
      $$->is_kind = $$->is_list = true;
      $$->kind = parse_name(p, $ID, @ID);
    }
  ;
init_opt: %empty { $$ = NULL; } | '=' expr { $$ = $expr; } ;
results: bind { $$ = (Binds){0}; PUSH($$, $bind); }
  | results ',' bind { $$ = $1; PUSH($$, $bind); }
  ;

type: ELEM '[' exprs_opt ']' encs {
      $$ = $encs;
      $$->span = parse_span(p, @$);
      $$->elem = $ELEM;
      $$->dims = $exprs_opt;
    }
  ;
encs: %empty { $$ = arena_new_of(p->arena, TypeExpr); }
  | '<' enc_list '>' { $$ = $enc_list; }
  ;
enc_list:
    enc {
      $$ = arena_new_of(p->arena, TypeExpr);
      PUSH($$->encs, $enc);
    }
  | enc_list ',' enc { $$ = $1; PUSH($$->encs, $enc); }
  ;
enc: ID { $$ = (Enc){parse_name(p, $ID, @ID), NULL}; }
  | ID prim { $$ = (Enc){parse_name(p, $ID, @ID), $prim}; }
  | ID '=' prim { $$ = (Enc){parse_name(p, $ID, @ID), $prim}; }
  | ID '=' '-' prim {
      $$ = (Enc){parse_name(p, $ID, @ID),
                 expr_op(p, OPER_NEG, $prim, NULL, @3, @$)};
    }
  ;

body: '{' stmts '}' { $$ = $stmts; }
  | '{' stmts error '}' { $$ = $stmts; }
  ;
stmts: %empty { $$ = (Stmts){0}; }
  | stmts stmt { $$ = $1; if ($stmt) PUSH($$, $stmt); }
  ;

stmt: bindstmt | param | state | weights | next | repeat
  | error ';' { $$ = NULL; }
  ;

bindstmt:
    binds '=' expr ';' {
      $$ = stmt_new(p, STMT_BIND, @$);
      $$->binds = $binds; $$->value = $expr;
    }
  | binds '=' expr "from" places ';' {
      $$ = $places;
      $$->span = parse_span(p, @$);
      $$->binds = $binds; $$->value = $expr;
    }
  ;
places: place { $$ = stmt_new(p, STMT_BIND, @$); PUSH($$->from, $place); }
  | places ',' place { $$ = $1; PUSH($$->from, $place); }
  ;
place: STR { $$ = (FromPlace){.file = $STR}; }
  | STR RATIO {
      $$ = (FromPlace){.file = $STR};
      pair_read(p, $RATIO, ':', @RATIO, &$$.line, &$$.col);
    }
  | STR node { $$ = (FromPlace){.file = $STR, .node = $node}; }
  ;
node: nodepart { $$ = (Exprs){0}; PUSH($$, $nodepart); }
  | node nodepart { $$ = $1; PUSH($$, $nodepart); }
  ;
nodepart: STR { $$ = expr_new(p, EXPR_STR, @$); $$->s = $STR; }
  | ID {
      Seg s = {.name = $ID, .span = parse_span(p, @$)};
      $$ = expr_path(p, path_new(p, s, @$), @$);
    }
  | '(' expr ')' { $$ = $expr; }
  ;
binds: bind { $$ = (Binds){0}; PUSH($$, $bind); }
  | binds ',' bind { $$ = $1; PUSH($$, $bind); }
  ;
bind: ID type_opt { $$ = (Bind){parse_name(p, $ID, @ID), $type_opt}; } ;
type_opt: %empty { $$ = NULL; } | ':' type { $$ = $type; } ;

param: "param" ipath ':' type init_opt ';' {
      $$ = stmt_new(p, STMT_PARAM, @$);
      $$->path = $ipath; $$->type = $type; $$->value = $init_opt;
    }
  ;
state: "state" ipath ':' type '=' expr ';' {
      $$ = stmt_new(p, STMT_STATE, @1);
      $$->path = $ipath; $$->type = $type; $$->value = $expr;
    }
  ;
next: "next" ipath '=' expr ';' {
      $$ = stmt_new(p, STMT_NEXT, @1);
      $$->path = $ipath; $$->value = $expr;
    }
  ;
weights:
    "weights" STR ';' {
      $$ = stmt_new(p, STMT_WEIGHTS, @$);
      $$->file = parse_name(p, $STR, @STR);
    }
  | "weights" STR '{' renames '}' {
      $$ = stmt_new(p, STMT_WEIGHTS, @$);
      $$->file = parse_name(p, $STR, @STR);
      $$->renames = $renames;
    }
  ;
renames: %empty { $$ = (Renames){0}; }
  | renames path '=' STR ';' {
      $$ = $1; PUSH($$, ((Rename){$path, $STR}));
    }
  | renames error ';' { $$ = $1; }
  ;
repeat:
    "repeat" ID[label] "for" ID[var] "in" expr body {
      $$ = stmt_new(p, STMT_REPEAT, @1);
      $$->label = parse_name(p, $label, @label);
      PUSH($$->vars, parse_name(p, $var, @var));
      $$->value = $expr; $$->body = $body;
    }
  | "repeat" ID[label] "for" '(' vars ')' "in" expr body {
      $$ = stmt_new(p, STMT_REPEAT, @1);
      $$->label = parse_name(p, $label, @label);
      $$->vars = $vars; $$->tuple = true;
      $$->value = $expr; $$->body = $body;
    }
  ;
vars: ID { $$ = (Names){0}; PUSH($$, parse_name(p, $ID, @ID)); }
  | vars ',' ID { $$ = $1; PUSH($$, parse_name(p, $ID, @ID)); }
  ;

expr: op
  | expr[x] "|>" layer { $$ = expr_pipe(p, $x, $layer, @$); }
  | "if" expr[c] "then" expr[a] "else" eop[b] {
      $$ = expr_if(p, $c, $a, $b, @$);
    }
  ;
eop: op
  | "if" expr[c] "then" expr[a] "else" eop[b] {
      $$ = expr_if(p, $c, $a, $b, @$);
    }
  ;

op: prim
  | op[a] "||" op[b] { $$ = expr_op(p, OPER_OR, $a, $b, @2, @$); }
  | op[a] "&&" op[b] { $$ = expr_op(p, OPER_AND, $a, $b, @2, @$); }
  | op[a] "==" op[b] { $$ = expr_op(p, OPER_EQ, $a, $b, @2, @$); }
  | op[a] "!=" op[b] { $$ = expr_op(p, OPER_NE, $a, $b, @2, @$); }
  | op[a] "<=" op[b] { $$ = expr_op(p, OPER_LE, $a, $b, @2, @$); }
  | op[a] ">=" op[b] { $$ = expr_op(p, OPER_GE, $a, $b, @2, @$); }
  | op[a] '<' op[b]  { $$ = expr_op(p, OPER_LT, $a, $b, @2, @$); }
  | op[a] '>' op[b]  { $$ = expr_op(p, OPER_GT, $a, $b, @2, @$); }
  | op[a] ".." op[b] { $$ = expr_op(p, OPER_RANGE, $a, $b, @2, @$); }
  | op[a] '+' op[b]  { $$ = expr_op(p, OPER_ADD, $a, $b, @2, @$); }
  | op[a] '-' op[b]  { $$ = expr_op(p, OPER_SUB, $a, $b, @2, @$); }
  | op[a] '*' op[b]  { $$ = expr_op(p, OPER_MUL, $a, $b, @2, @$); }
  | op[a] '/' op[b]  { $$ = expr_op(p, OPER_DIV, $a, $b, @2, @$); }
  | op[a] '%' op[b]  { $$ = expr_op(p, OPER_MOD, $a, $b, @2, @$); }
  | '-' op[a] %prec NEG { $$ = expr_op(p, OPER_NEG, $a, NULL, @1, @$); }
  | '!' op[a] { $$ = expr_op(p, OPER_NOT, $a, NULL, @1, @$); }
  ;

prim:
    INT   { $$ = expr_int(p, $INT, @$); }
  | FLOAT { $$ = expr_new(p, EXPR_FLOAT, @$); $$->f = $FLOAT; }
  | "inf" { $$ = expr_new(p, EXPR_FLOAT, @$); $$->f = 1.0 / 0.0; }
  | "nan" { $$ = expr_new(p, EXPR_FLOAT, @$); $$->f = 0.0 / 0.0; }
  | "true"  { $$ = expr_new(p, EXPR_BOOL, @$); $$->i = 1; }
  | "false" { $$ = expr_new(p, EXPR_BOOL, @$); }
  | STR   { $$ = expr_new(p, EXPR_STR, @$); $$->s = $STR; }
  | TILE  { $$ = expr_pair(p, EXPR_TILE, $TILE, 'x', @$); }
  | RATIO { $$ = expr_pair(p, EXPR_RATIO, $RATIO, ':', @$); }
  | ELEM  { $$ = expr_new(p, EXPR_ELEM, @$); $$->elem = $ELEM; }
  | ELEM '(' expr ')' { $$ = expr_typed(p, $ELEM, $expr, @$); }
  | ipath { $$ = expr_path(p, $ipath, @$); }
  | callas
  | '(' exprs ')' {
      $$ = $exprs.n == 1 ? $exprs.at[0]
                         : expr_items(p, EXPR_TUPLE, $exprs, @$);
    }
  | '[' exprs_opt ']' { $$ = expr_items(p, EXPR_LIST, $exprs_opt, @$); }
  ;

callas: call as_opt { $$ = $call; $$->as = $as_opt; } ;
layer: callas
  | ID as_opt {
      $$ = expr_call(p, parse_name(p, $ID, @ID), (Args){0}, @ID);
      $$->as = $as_opt;
    }
  ;
as_opt: %empty { $$ = NULL; } | "as" ipath { $$ = $ipath; } ;

call: ID '(' args_opt ')' {
      $$ = expr_call(p, parse_name(p, $ID, @ID), $args_opt, @$);
    }
  | "where" '(' args_opt ')' {   /* an op as well as a keyword */
      $$ = expr_call(p, parse_name(p, "where", @1), $args_opt, @$);
    }
  ;
args_opt: %empty { $$ = (Args){0}; } | args ;
args: arg { $$ = (Args){0}; PUSH($$, $arg); }
  | args ',' arg { $$ = $1; PUSH($$, $arg); }
  ;
arg: expr { $$ = (Arg){{0}, $expr, parse_span(p, @$)}; } | kwarg ;
kwarg: ID '=' expr {
      $$ = (Arg){parse_name(p, $ID, @ID), $expr, parse_span(p, @$)};
    }
  ;
kwargs: kwarg { $$ = (Args){0}; PUSH($$, $kwarg); }
  | kwargs ',' kwarg { $$ = $1; PUSH($$, $kwarg); }
  ;
exprs_opt: %empty { $$ = (Exprs){0}; } | exprs ;
exprs: expr { $$ = (Exprs){0}; PUSH($$, $expr); }
  | exprs ',' expr { $$ = $1; PUSH($$, $expr); }
  ;

ipath: iseg { $$ = path_new(p, $iseg, @$); }
  | ipath[a] '.' iseg { $$ = path_append(p, $a, $iseg, @$); }
  ;
iseg: isegname { $$ = (Seg){.name = $isegname, .span = parse_span(p, @$)}; }
  | isegname '[' expr ']' {
      $$ = (Seg){.name = $isegname, .index = $expr,
                 .span = parse_span(p, @$)};
    }
  ;
isegname: ID | VARID ;

path: seg { $$ = path_new(p, $seg, @$); }
  | path[a] '.' seg { $$ = path_append(p, $a, $seg, @$); }
  ;
seg: segname { $$ = (Seg){.name = $segname, .span = parse_span(p, @$)}; }
  | segname "[*]" {
      $$ = (Seg){.name = $segname, .any = true, .span = parse_span(p, @$)};
    }
  | segname '[' expr ']' {
      $$ = (Seg){.name = $segname, .index = $expr,
                 .span = parse_span(p, @$)};
    }
  ;
segname: ID | '*' { $$ = "*"; } | "**" { $$ = "**"; } ;

steps: %empty { $$ = (Steps){0}; }
  | steps step { $$ = $1; if ($step) PUSH($$, $step); }
  ;
step:
    ID sels with_opt ';' {
      $$ = $sels;
      $$->verb = parse_name(p, $ID, @ID);
      $$->args = $with_opt;
    }
  | ID sels with_opt '{' steps '}' {
      $$ = $sels;
      $$->verb = parse_name(p, $ID, @ID);
      $$->args = $with_opt; $$->nested = true; $$->body = $5;
    }
  | error ';' { $$ = NULL; }
  ;
sels: %empty { $$ = arena_new_of(p->arena, Step); }
  | sel_list
  ;
sel_list:
    sel {
      $$ = arena_new_of(p->arena, Step);
      PUSH($$->sels, $sel);
    }
  | sel_list ',' sel { $$ = $1; PUSH($$->sels, $sel); }
  ;
sel: path sel_kind {
      $$ = (Sel){.span = parse_span(p, @$), .path = $path,
                 .kind = $sel_kind};
    }
  | '!' path sel_kind {
      $$ = (Sel){.span = parse_span(p, @$), .path = $path,
                 .kind = $sel_kind, .negated = true};
    }
  | path[a] "->" path[b] {
      $$ = (Sel){.span = parse_span(p, @$), .path = $a, .to = $b};
    }
  ;
sel_kind: %empty { $$ = (Name){0}; }
  | ':' ID { $$ = parse_name(p, $ID, @ID); }
  ;
with_opt: %empty { $$ = (Args){0}; } | "with" kwargs { $$ = $kwargs; } ;

%%

/* A token as it stands in a message: 'text' for what the user types, a
 * bare word for a class of tokens. */
static const char *symbol_text(yysymbol_kind_t k) {
  switch (k) {
  case YYSYMBOL_ID: return "a name";
  case YYSYMBOL_VARID: return "a name with $";
  case YYSYMBOL_STR: return "a string";
  case YYSYMBOL_INT: return "an integer";
  case YYSYMBOL_FLOAT: return "a number";
  case YYSYMBOL_TILE: return "RxC";
  case YYSYMBOL_RATIO: return "N:M";
  case YYSYMBOL_ELEM: return "an element type";
  case YYSYMBOL_YYEOF: return "the end of the file";
  default: return NULL;
  }
}

static void symbol_print(Text *t, yysymbol_kind_t k) {
  const char *s = symbol_text(k);
  if (s)
    text_puts(t, s);
  else if (yysymbol_name(k)[0] == '\'')
    text_puts(t, yysymbol_name(k));
  else
    text_printf(t, "'%s'", yysymbol_name(k));
}

/* What may stand between two operands but not behind a layer. */
static bool is_operator(yysymbol_kind_t k) {
  static const char *const ops[] = {
    "||", "&&", "==", "!=", "<=", ">=", "..", "'<'", "'>'", "'+'", "'-'",
    "'*'", "'/'", "'%'"
  };
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (!strcmp(yysymbol_name(k), ops[i]))
      return true;
  return false;
}

static bool wanted(const yysymbol_kind_t *want, int n, yysymbol_kind_t k) {
  for (int i = 0; i < n; i++)
    if (want[i] == k)
      return true;
  return false;
}

/* Behind an operand: what may end the expression, or an operator. */
static void end_print(Text *t, const yysymbol_kind_t *want, int n) {
  for (int i = 0; i < n; i++) {
    const char *s = yysymbol_name(want[i]);
    if (!strcmp(s, "';'") || !strcmp(s, "')'") || !strcmp(s, "']'") ||
        !strcmp(s, "'{'"))
      text_printf(t, "%s or ", s);
  }
  text_puts(t, "an operator");
}

/* What was expected, in the words of the manual where they are many. */
static void expected_print(Text *t, const yysymbol_kind_t *want, int n) {
  enum { MAX_SHOWN = 5 };
  if (wanted(want, n, YYSYMBOL_BLOCK))
    text_puts(t, "a declaration like 'block', 'model' or 'recipe'");
  else if (wanted(want, n, YYSYMBOL_REPEAT))
    text_puts(t, "a statement or '}'");
  else if (wanted(want, n, YYSYMBOL_FLOAT))
    text_puts(t, "an expression");
  else if (wanted(want, n, YYSYMBOL_AND))
    end_print(t, want, n);
  else if (n < 1 || n > MAX_SHOWN)
    text_puts(t, "something else");
  else
    for (int i = 0; i < n; i++) {
      text_puts(t, i == 0 ? "" : i == n - 1 ? " or " : ", ");
      symbol_print(t, want[i]);
    }
}

static int yyreport_syntax_error(const yypcontext_t *ctx, void *scanner,
                                 ParseCtx *p) {
  yysymbol_kind_t want[YYNTOKENS];
  int n = yypcontext_expected_tokens(ctx, want, YYNTOKENS);
  yysymbol_kind_t got = yypcontext_token(ctx);
  Span at = parse_span(p, *yypcontext_location(ctx));
  (void)scanner;
  if (p->too_deep)
    return 0;
  if (wanted(want, n, YYSYMBOL_PIPE) && !wanted(want, n, YYSYMBOL_AND) &&
      is_operator(got)) {
    diag_error(p->diags, EXIT_MODEL, at,
               "the right side of '|>' is a layer, found '%s' behind it: "
               "write parentheses around the whole pipe",
               span_text(p->arena, at));
    return 0;
  }
  Text t = {0};
  text_puts(&t, "expected ");
  expected_print(&t, want, n);
  if (got == YYSYMBOL_YYEOF || got == YYSYMBOL_YYEMPTY)
    text_puts(&t, ", found the end of the file");
  else
    text_printf(&t, ", found '%s'", span_text(p->arena, at));
  diag_error(p->diags, EXIT_MODEL, at, "%s", t.s);
  text_free(&t);
  return 0;
}

/* Only memory exhaustion arrives here: the parser's stack is at its end. */
static void tam_yyerror(Loc *l, void *scanner, ParseCtx *p, const char *msg) {
  (void)scanner;
  (void)msg;
  diag_error(p->diags, EXIT_MODEL, parse_span(p, *l),
             "this text nests too deeply");
}
