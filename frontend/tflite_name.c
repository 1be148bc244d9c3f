/* tflite_name.c - names of tensors as paths of the language. */
#include "frontend/tflite_name.h"

#include "ir/names.h"

#include <ctype.h>
#include <string.h>

enum { MAX_NAME = 120 };

/* Append [s, s+n) as a name. */
static void name_write(Text *out, const char *s, size_t n) {
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

/* "net/conv1/Conv2D;net/bn" becomes net.conv1.Conv2D. */
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
      name_write(&out, name + i, n);
    }
    i += n + 1;
  }
  const char *s = arena_strdup(a, out.s);
  text_free(&out);
  return s;
}
