/* elab_diag.c - errors of a program that runs at compile time: reported
 * where the user can act, once a place, with the instance they arose in. */
#include "frontend/elab.h"

#include <stdarg.h>
#include <string.h>

/* The innermost instance whose text the user wrote, and the place there. */
static const Frame *user_frame(const Elab *e, Span *at) {
  const Frame *f = e->outer ? e->frame->up : e->frame;
  while (f && f->up && f->file->prelude) {
    *at = f->call;
    f = f->up;
  }
  return f;
}

Span elab_user_span(const Elab *e, Span at) {
  user_frame(e, &at);
  return at;
}

bool elab_said(Elab *e, Span at) {
  for (size_t i = 0; i < e->said.n; i++)
    if (e->said.at[i].src == at.src && e->said.at[i].begin == at.begin &&
        e->said.at[i].end == at.end)
      return true;
  vec_push(e->a, &e->said, at);
  return false;
}

void elab_also(Elab *e, Span at) {
  e->also = at;
}

/* A path, its middle left out when it is long. */
static const char *path_short(Elab *e, const char *path) {
  enum { HEAD = 40, TAIL = 20 };
  size_t n = strlen(path);
  if (n <= HEAD + TAIL + 3)
    return path;
  return arena_printf(e->a, "%.*s...%s", HEAD, path, path + n - TAIL);
}

void elab_chain(Elab *e) {
  Span at = {0};
  const Frame *f = user_frame(e, &at);
  if (!f)
    return;
  if (!f->up) {
    if (*f->scope)
      diag_note(e->d, f->label, "in %s", path_short(e, f->scope));
    return;
  }
  if (*f->up->scope)
    diag_note(e->d, f->call, "in '%s', from %s", f->layer,
              path_short(e, f->up->scope));
  else
    diag_note(e->d, f->call, "in '%s'", f->layer);
}

/* The layer of the prelude in which we are, as the user called it. */
static const char *prelude_layer(const Elab *e) {
  const char *name = NULL;
  const Frame *f = e->outer ? e->frame->up : e->frame;
  for (; f && f->file->prelude; f = f->up)
    name = f->decl->name.s;
  return name;
}

static void say(Elab *e, int exit_class, Span at, const char *fmt,
                va_list ap) {
  Text t = {0};
  Span also = e->also.src ? elab_user_span(e, e->also) : e->also;
  e->also = (Span){0};
  at = elab_user_span(e, at);
  if (at.src && elab_said(e, at))
    return;
  if (prelude_layer(e))
    text_printf(&t, "%s: ", prelude_layer(e));
  text_vprintf(&t, fmt, ap);
  diag_error(e->d, exit_class, at, "%s", t.s);
  text_free(&t);
  diag_also(e->d, also);
  elab_chain(e);
}

Value elab_error(Elab *e, Span at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say(e, EXIT_MODEL, at, fmt, ap);
  va_end(ap);
  return (Value){.kind = VAL_NONE};
}

static void say_later(Elab *e, Span at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say(e, EXIT_UNSUPPORTED, at, fmt, ap);
  va_end(ap);
}

Value elab_later(Elab *e, Span at, const char *what) {
  say_later(e, at, "%s cannot be compiled by this release", what);
  return (Value){.kind = VAL_NONE};
}
