/* source.c - positions in a text that was read. */
#include "base/base.h"

void source_line_col(const Source *s, uint32_t off, int *line, int *col) {
  size_t start = 0;

  *line = 1;
  if (off > s->len)
    off = (uint32_t)s->len;
  for (size_t i = 0; i < off; i++)
    if (s->text[i] == '\n') {
      ++*line;
      start = i + 1;
    }
  *col = (int)(off - start) + 1;
}
