/* html.h - the page of `--report=FILE.html`: one file that loads nothing.
 *
 *   html.c        the frame, before and after, the table of layers
 *   html_maps.c   a picture of each weight
 *   html_plan.c   the arena over time
 *   html_ir.c     the program, and what each pass changed
 *
 * All that is not ours goes through text_xml. */
#ifndef TAMIS_HTML_H
#define TAMIS_HTML_H

#include "driver/report.h"

/* What passes did, noted while the session is compiled. */
typedef struct PassDiff {
  const char *pass;
  char *text;                /* unified; cut where it is long */
  int64_t added, removed;    /* lines */
  bool cut;
} PassDiff;
typedef struct Page {
  Arena *a;
  Text before, now;
  Vec(PassDiff) diffs;
} Page;

Page *page_new(Arena *a);
/* Session.after; after_ctx is the page. */
bool page_collect(Session *s, const char *pass, double seconds);
void page_free(Page *p);

void html_maps(Session *s, Text *out);
void html_plan(Session *s, Text *out);
void html_ir(const Page *p, Text *out);

/* `cpu` names what the artifact is for; the session has facts. */
bool report_html(Session *s, const Page *p, const char *cpu,
                 const EmitInfo *info, FILE *to);

/* show.c: a unified diff by diff(1) into the open file fd. */
bool text_diff(Session *s, const Text *a, const Text *b, const char *pass,
               int fd);

#endif
