/* check.c - errors of our own: print the place and exit with 70. */
#include "base/base.h"

#include <stdlib.h>

void internal_error(const char *file, int line, const char *fmt, ...) {
  va_list ap;

  fprintf(stderr, "tamis: internal error: %s:%d: ", file, line);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputc('\n', stderr);
  temporaries_remove();
  exit(EXIT_INTERNAL);
}
