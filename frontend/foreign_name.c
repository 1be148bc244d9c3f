/* foreign_name.c - names of other formats' files as names of the language. */
#include "frontend/foreign_name.h"

#include "frontend/frontend.h"
#include "ir/names.h"

#include <ctype.h>
#include <string.h>

enum { MAX_NAME = 120 };

void foreign_name_write(Text *out, const char *s, size_t n) {
  Text one = {0};
  if (!n || isdigit((unsigned char)*s))
    text_putc(&one, '_');
  for (size_t i = 0; i < n; i++)
    text_putc(&one, isalnum((unsigned char)s[i]) ? s[i] : '_');
  if (!name_is_valid(one.s))
    text_putc(&one, '_');
  text_puts(out, one.s);
  text_free(&one);
}

const char *foreign_model_name(Arena *a, const char *path) {
  const char *base = path_base(path);
  size_t n = strcspn(base, ".;");
  Text t = {0};
  foreign_name_write(&t, base, n < MAX_NAME ? n : MAX_NAME);
  const char *s = arena_strdup(a, t.s);
  text_free(&t);
  const char *block = arena_printf(a, "block %s(", s);
  Op op;
  bool taken = op_parse(s, &op) || strstr(prelude_tam, block);
  return taken ? arena_printf(a, "%s_net", s) : s;
}

const char *tflite_path(Arena *a, const char *name) {
  size_t len = strcspn(name, ";");
  Text out = {0};
  if (len > MAX_NAME) {
    name += len - MAX_NAME;
    len = MAX_NAME;
  }
  for (size_t i = 0; i <= len;) {
    size_t n = 0;
    while (i + n < len && name[i + n] != '/')
      n++;
    if (n || (!out.n && i + n >= len)) {
      if (out.n)
        text_putc(&out, '.');
      foreign_name_write(&out, name + i, n);
    }
    i += n + 1;
  }
  const char *s = arena_strdup(a, out.s);
  text_free(&out);
  return s;
}
