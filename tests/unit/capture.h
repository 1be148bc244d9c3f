/* capture.h - diagnostics as a string, for the unit tests. */
#ifndef TAMIS_CAPTURE_H
#define TAMIS_CAPTURE_H

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

/* What diags_print prints; the caller frees it. */
static inline char *
diags_text(const Diags *d, bool json)
{
  char *s = NULL;
  size_t n;
  FILE *f = open_memstream(&s, &n);

  ensure(f);
  diags_print(d, f, json);
  fclose(f);
  return s;
}

#endif
