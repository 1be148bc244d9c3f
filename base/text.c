/* text.c - growing strings, numbers and names as text, hashes. */
#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Room for n more bytes and the NUL. */
static void text_reserve(Text *t, size_t n) {
  size_t cap = t->cap;

  ensure(n < SIZE_MAX / 2 && t->n < SIZE_MAX / 2);
  if (t->n + n + 1 <= cap)
    return;
  cap = cap < 64 ? 64 : cap * 2;
  if (cap < t->n + n + 1)
    cap = t->n + n + 1;
  t->s = realloc(t->s, cap);
  if (!t->s)
    internal_error(__FILE__, __LINE__, "out of memory (%zu bytes)", cap);
  t->cap = cap;
}

void text_write(Text *t, const void *p, size_t n) {
  text_reserve(t, n);
  if (n > 0)
    memcpy(t->s + t->n, p, n);
  t->n += n;
  t->s[t->n] = '\0';
}

void text_putc(Text *t, char c) {
  text_write(t, &c, 1);
}

void text_puts(Text *t, const char *s) {
  text_write(t, s, strlen(s));
}

void text_vprintf(Text *t, const char *fmt, va_list ap) {
  va_list again;
  int n;

  va_copy(again, ap);
  n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  ensure(n >= 0);
  text_reserve(t, (size_t)n);
  vsnprintf(t->s + t->n, (size_t)n + 1, fmt, ap);
  t->n += (size_t)n;
}

void text_printf(Text *t, const char *fmt, ...) {
  va_list ap;

  va_start(ap, fmt);
  text_vprintf(t, fmt, ap);
  va_end(ap);
}

void text_free(Text *t) {
  free(t->s);
  *t = (Text){0};
}

void text_float(Text *t, double v, bool f32) {
  char s[40];
  int digits = 1, exponent;
  size_t mantissa;

  if (isnan(v) || isinf(v)) {
    text_puts(t, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
    return;
  }
  for (; digits <= 17; digits++) {
    snprintf(s, sizeof s, "%.*e", digits - 1, v);
    if (f32 ? strtof(s, NULL) == (float)v : strtod(s, NULL) == v)
      break;
  }
  mantissa = strcspn(s, "e");
  exponent = atoi(s + mantissa + 1);
  if (exponent >= -4 && exponent < 15) {
    int decimals = digits - 1 - exponent;

    text_printf(t, "%.*f", decimals < 1 ? 1 : decimals, v);
    return;
  }
  text_write(t, s, mantissa);
  text_printf(t, digits == 1 ? ".0e%d" : "e%d", exponent);
}

void text_quote(Text *t, const char *s) {
  text_putc(t, '"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;

    if (c == '"' || c == '\\')
      text_printf(t, "\\%c", c);
    else if (c == '\n')
      text_puts(t, "\\n");
    else if (c == '\t')
      text_puts(t, "\\t");
    else if (c < 0x20 || c == 0x7f)
      text_printf(t, "\\x%02x", c);
    else
      text_putc(t, (char)c);
  }
  text_putc(t, '"');
}

/* Bytes of the UTF-8 sequence at s, 0 when it is none. */
static int utf8_length(const char *s) {
  const unsigned char *u = (const unsigned char *)s;
  int n = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2
          : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;

  for (int i = 1; i < n; i++)
    if ((u[i] & 0xc0) != 0x80)
      return 0;
  /* overlong forms, surrogates, beyond U+10FFFF */
  if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f)
      || (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
    return 0;
  return n;
}

void text_json(Text *t, const char *s) {
  text_putc(t, '"');
  while (*s) {
    unsigned char c = (unsigned char)*s;
    int n = utf8_length(s);

    if (n == 0) {
      text_puts(t, "\\ufffd");   /* not UTF-8: JSON must be */
      n = 1;
    } else if (c == '"' || c == '\\') {
      text_printf(t, "\\%c", c);
    } else if (c == '\n') {
      text_puts(t, "\\n");
    } else if (c == '\t') {
      text_puts(t, "\\t");
    } else if (c < 0x20) {
      text_printf(t, "\\u%04x", c);
    } else {
      text_write(t, s, (size_t)n);
    }
    s += n;
  }
  text_putc(t, '"');
}

/* Control characters are none of XML's. */
void text_xml(Text *t, const char *s) {
  while (*s) {
    unsigned char c = (unsigned char)*s;
    int n = utf8_length(s);

    if (n == 0 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
      text_puts(t, "&#xfffd;");
    else if (strchr("<>&\"'", c))
      text_printf(t, "&#%d;", c);
    else
      text_write(t, s, (size_t)n);
    s += n ? n : 1;
  }
}

/* Levenshtein distance, by one row of the table at a time. */
static size_t edit_distance(const char *a, const char *b, size_t *row) {
  size_t na = strlen(a), nb = strlen(b);

  for (size_t j = 0; j <= nb; j++)
    row[j] = j;
  for (size_t i = 1; i <= na; i++) {
    size_t diagonal = row[0];

    row[0] = i;
    for (size_t j = 1; j <= nb; j++) {
      size_t best = diagonal + (a[i - 1] != b[j - 1]);

      diagonal = row[j];
      if (row[j] + 1 < best)
        best = row[j] + 1;
      if (row[j - 1] + 1 < best)
        best = row[j - 1] + 1;
      row[j] = best;
    }
  }
  return row[nb];
}

const char *nearest_name(const char *s, const char *const *names, size_t n) {
  enum { LONGEST = 200 };   /* longer names are not worth the time */
  size_t row[LONGEST + 1], len = strlen(s), best = SIZE_MAX;
  const char *found = NULL;

  if (len > LONGEST)
    return NULL;
  for (size_t i = 0; i < n; i++) {
    size_t d;

    if (!names[i] || strlen(names[i]) > LONGEST)
      continue;
    d = edit_distance(s, names[i], row);
    if (d < best) {
      best = d;
      found = names[i];
    }
  }
  /* One edit in three letters still reads as a slip of the pen. */
  return found && best <= (len + 2) / 3 && best < len ? found : NULL;
}

uint64_t hash_bytes(const void *p, size_t n) {
  const uint8_t *b = p;
  uint64_t h = 0xcbf29ce484222325u;

  for (size_t i = 0; i < n; i++)
    h = (h ^ b[i]) * 0x100000001b3u;
  return h;
}

uint64_t hash_sample(const void *p, size_t n) {
  enum { PART = 64 };
  const uint8_t *b = p;

  if (n <= 3 * PART)
    return hash_mix(n ^ hash_bytes(p, n));
  uint64_t h = hash_bytes(b, PART);
  h = hash_mix(h ^ hash_bytes(b + (n - PART) / 2, PART));
  return hash_mix(n ^ h ^ hash_bytes(b + n - PART, PART));
}

uint64_t hash_mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
