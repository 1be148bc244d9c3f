/* diag.c - what is wrong with the user's input: collected, then printed
 * with the source line and carets, or as JSON. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

enum {
  DIAG_LIMIT = 100,      /* of each of errors and warnings */
  LINE_WIDTH = 160,      /* a longer source line is shown in part */
  LINE_BEFORE = 60       /* how much of it before the caret */
};

typedef struct Diag {
  DiagLevel level;
  Span at;
  const char *where;     /* in place of the span, or NULL */
  const char *message;
  Vec(Span) also;
} Diag;

struct Diags {
  Arena *arena;
  Vec(Diag) list;
  size_t errors, warnings;
  int exit_code;
  bool dropping;         /* the latest, and its notes: see diag_add */
};

Diags *diags_new(void) {
  Diags *d = calloc(1, sizeof *d);

  if (!d)
    internal_error(__FILE__, __LINE__, "out of memory");
  d->arena = arena_new();
  return d;
}

void diags_free(Diags *d) {
  if (!d)
    return;
  arena_free(d->arena);
  free(d);
}

size_t diags_errors(const Diags *d) {
  return d->errors;
}

int diags_exit_code(const Diags *d) {
  return d->exit_code;
}

Arena *diags_arena(Diags *d) {
  return d->arena;
}

const char *diags_last(const Diags *d) {
  for (size_t i = d->list.n; i-- > 0;)
    if (d->list.at[i].level == DIAG_ERROR)
      return d->list.at[i].message;
  return "";
}

bool diags_full(const Diags *d) { return d->errors >= DIAG_LIMIT; }

/* Whether g was there: a file may be read more than once. */
static bool warned_before(const Diags *d, const Diag *g) {
  for (size_t i = 0; i < d->list.n; i++) {
    const Diag *o = &d->list.at[i];
    if (o->level == DIAG_WARNING && o->at.src == g->at.src &&
        o->at.begin == g->at.begin && !strcmp(o->message, g->message))
      return true;
  }
  return false;
}

static void diag_add(Diags *d, DiagLevel level, Span at, const char *where,
                     const char *fmt, va_list ap) {
  Diag g = {.level = level, .at = at};
  Text t = {0};

  if (level == DIAG_ERROR)
    d->dropping = d->errors++ >= DIAG_LIMIT;
  else if (level == DIAG_WARNING)
    d->dropping = d->warnings++ >= DIAG_LIMIT;
  if (d->dropping)
    return;
  text_vprintf(&t, fmt, ap);
  /* Names out of binary files reach the terminal: no control characters. */
  for (size_t i = 0; i < t.n; i++)
    if (((unsigned char)t.s[i] < 0x20 && t.s[i] != '\n') || t.s[i] == 0x7f)
      t.s[i] = '?';
  g.message = arena_strdup(d->arena, t.s);
  text_free(&t);
  d->dropping = level == DIAG_WARNING && warned_before(d, &g);
  if (d->dropping) {
    d->warnings--;
    return;
  }
  if (where)
    g.where = arena_strdup(d->arena, where);
  vec_push(d->arena, &d->list, g);
}

bool diag_error(Diags *d, int exit_class, Span at, const char *fmt, ...) {
  va_list ap;

  if (exit_class == EXIT_MODEL && at.src && at.src->foreign)
    exit_class = EXIT_FILE;
  if (d->errors == 0)
    d->exit_code = exit_class;
  va_start(ap, fmt);
  diag_add(d, DIAG_ERROR, at, NULL, fmt, ap);
  va_end(ap);
  return false;
}

bool diag_error_at(Diags *d, int exit_class, const char *where,
                   const char *fmt, ...) {
  va_list ap;

  if (d->errors == 0)
    d->exit_code = exit_class;
  va_start(ap, fmt);
  diag_add(d, DIAG_ERROR, (Span){0}, where, fmt, ap);
  va_end(ap);
  return false;
}

void diag_warning(Diags *d, Span at, const char *fmt, ...) {
  va_list ap;

  va_start(ap, fmt);
  diag_add(d, DIAG_WARNING, at, NULL, fmt, ap);
  va_end(ap);
}

void diag_note(Diags *d, Span at, const char *fmt, ...) {
  va_list ap;

  va_start(ap, fmt);
  diag_add(d, DIAG_NOTE, at, NULL, fmt, ap);
  va_end(ap);
}

void diag_also(Diags *d, Span at) {
  if (d->dropping || d->list.n == 0 || !at.src)
    return;
  vec_push(d->arena, &d->list.at[d->list.n - 1].also, at);
}

static const char *level_name(DiagLevel level) {
  return level == DIAG_ERROR ? "error"
         : level == DIAG_WARNING ? "warning" : "note";
}

/* Where the line that holds `off` begins and ends. */
static void line_range(const Source *s, size_t off, size_t *begin,
                       size_t *end) {
  *begin = off < s->len ? off : s->len;
  *end = *begin;
  while (*begin > 0 && s->text[*begin - 1] != '\n')
    --*begin;
  while (*end < s->len && s->text[*end] != '\n')
    ++*end;
}

/* Put `mark` under the part of the span on line [begin, end). */
static void mark_span(char *marks, size_t begin, size_t end, Span at,
                      char first) {
  size_t from = at.begin, to = at.end > at.begin ? at.end : at.begin + 1;

  if (from > end || to <= begin)
    return;
  if (from < begin) {
    from = begin;
    first = '~';
  }
  for (size_t i = from; i < to && (i < end || i == from); i++)
    if (marks[i - begin] != '^')
      marks[i - begin] = i == from ? first : '~';
}

/* One source line and the marks under it.  A tab is repeated below itself
 * and the later bytes of a UTF-8 character take no column. */
static void print_marked(FILE *to, const char *line, const char *marks,
                         size_t n) {
  size_t last = 0;

  fputs("  ", to);
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)line[i];

    if (c != '\r' || i + 1 < n)
      fputc((c < 0x20 && c != '\t') || c == 0x7f ? ' ' : c, to);
  }
  fputs("\n  ", to);
  for (size_t i = 0; i <= n; i++)
    if (marks[i] != ' ')
      last = i;
  for (size_t i = 0; i <= last; i++) {
    bool inside = i < n && ((unsigned char)line[i] & 0xc0) == 0x80;

    if (!inside)
      fputc(i < n && line[i] == '\t' ? '\t' : marks[i], to);
  }
  fputc('\n', to);
}

/* The line of `at` with all the diagnostic's ranges that lie on it. */
static void print_line(FILE *to, const Diag *g, Span at) {
  const Source *s = at.src;
  size_t begin, end, n, skip = 0;
  char *marks;

  line_range(s, at.begin, &begin, &end);
  n = end - begin;
  marks = malloc(n + 1);
  if (!marks)
    internal_error(__FILE__, __LINE__, "out of memory");
  memset(marks, ' ', n + 1);
  mark_span(marks, begin, end, g->at, '^');
  for (size_t i = 0; i < g->also.n; i++)
    if (g->also.at[i].src == s)
      mark_span(marks, begin, end, g->also.at[i], '~');
  if (n > LINE_WIDTH) {
    size_t col = at.begin > begin ? at.begin - begin : 0;

    skip = col > LINE_BEFORE ? col - LINE_BEFORE : 0;
    while (skip > 0 && ((unsigned char)s->text[begin + skip] & 0xc0) == 0x80)
      skip--;
    n = n - skip < LINE_WIDTH ? n - skip : LINE_WIDTH;
  }
  print_marked(to, s->text + begin + skip, marks + skip, n);
  free(marks);
}

static bool same_line(const Span *a, const Span *b) {
  size_t a0, a1, b0, b1;

  if (a->src != b->src)
    return false;
  line_range(a->src, a->begin, &a0, &a1);
  line_range(b->src, b->begin, &b0, &b1);
  return a0 == b0;
}

static void print_text(FILE *to, const Diag *g) {
  int line, col;

  if (g->at.src) {
    source_line_col(g->at.src, g->at.begin, &line, &col);
    fprintf(to, "%s:%d:%d: ", g->at.src->name, line, col);
  } else if (g->where) {
    fprintf(to, "%s: ", g->where);
  } else if (g->level != DIAG_NOTE) {
    fputs("tamis: ", to);
  }
  fprintf(to, "%s: %s\n", level_name(g->level), g->message);
  if (!g->at.src)
    return;
  print_line(to, g, g->at);
  for (size_t i = 0; i < g->also.n; i++) {
    bool shown = same_line(&g->at, &g->also.at[i]);

    for (size_t j = 0; j < i && !shown; j++)
      shown = same_line(&g->also.at[j], &g->also.at[i]);
    if (!shown)
      print_line(to, g, g->also.at[i]);
  }
}

/* The members that a diagnostic and a note share, without braces. */
static void json_members(Text *t, const Diag *g) {
  int line, col;

  text_printf(t, "\"level\":\"%s\",\"file\":", level_name(g->level));
  if (g->at.src) {
    source_line_col(g->at.src, g->at.begin, &line, &col);
    text_json(t, g->at.src->name);
    text_printf(t, ",\"line\":%d,\"column\":%d", line, col);
  } else {
    if (g->where)
      text_json(t, g->where);
    else
      text_puts(t, "null");
    text_puts(t, ",\"line\":null,\"column\":null");
  }
  text_puts(t, ",\"message\":");
  text_json(t, g->message);
}

/* Diagnostic i and its notes; returns the index behind them. */
static size_t print_json(FILE *to, const Diags *d, size_t i) {
  Text t = {0};
  const char *comma = "";

  text_putc(&t, '{');
  json_members(&t, &d->list.at[i]);
  text_puts(&t, ",\"notes\":[");
  for (i++; i < d->list.n && d->list.at[i].level == DIAG_NOTE; i++) {
    text_printf(&t, "%s{", comma);
    json_members(&t, &d->list.at[i]);
    text_putc(&t, '}');
    comma = ",";
  }
  text_puts(&t, "]}\n");
  fwrite(t.s, 1, t.n, to);
  text_free(&t);
  return i;
}

void diags_print(const Diags *d, FILE *to, bool json) {
  size_t i = 0;

  while (i < d->list.n)
    if (json)
      i = print_json(to, d, i);
    else
      print_text(to, &d->list.at[i++]);
  if (!json && d->errors > DIAG_LIMIT)
    fprintf(to, "tamis: %zu more errors\n", d->errors - DIAG_LIMIT);
}
