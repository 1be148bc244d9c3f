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

SourceLines *lines_new(Arena *a, const Source *s) {
  SourceLines *l = arena_new_of(a, SourceLines);
  l->src = s;
  vec_push(a, &l->start, 0);
  for (size_t i = 0; i < s->len; i++)
    if (s->text[i] == '\n')
      vec_push(a, &l->start, (uint32_t)i + 1);
  return l;
}

void lines_find(const SourceLines *l, uint32_t off, int *line, int *col) {
  size_t low = 0, high = l->start.n;   /* the line is in [low, high) */
  if (off > l->src->len)
    off = (uint32_t)l->src->len;
  while (high - low > 1) {
    size_t mid = low + (high - low) / 2;
    if (l->start.at[mid] <= off)
      low = mid;
    else
      high = mid;
  }
  *line = (int)low + 1;
  *col = (int)(off - l->start.at[low]) + 1;
}
