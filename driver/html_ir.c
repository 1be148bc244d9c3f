/* html_ir.c - what each pass changed, as `show --diff=PASS` has it, and the
 * program behind the last one. */
#include "driver/html.h"

#include <string.h>
#include <unistd.h>

/* Bytes of a diff, of all, and of the program. */
enum { DIFF_MOST = 64 << 10, DIFFS_MOST = 512 << 10, IR_MOST = 256 << 10 };

Page *page_new(Arena *a) {
  Page *p = arena_new_of(a, Page);
  p->a = a;
  return p;
}

void page_free(Page *p) {
  text_free(&p->before);
  text_free(&p->now);
}

/* Lines that begin with + and -, behind the two of names. */
static void lines_count(PassDiff *d, const char *s) {
  for (int line = 0; s && *s; line++) {
    if (line > 1) d->added += *s == '+', d->removed += *s == '-';
    s = strchr(s, '\n');
    if (s) s++;
  }
}

/* Whole lines of at most so many bytes. */
static size_t cut_at(const char *s, size_t n, size_t most) {
  if (n <= most) return n;
  while (most && s[most - 1] != '\n') most--;
  return most;
}

static bool diff_make(Session *s, Page *p, PassDiff *out) {
  char *dir = folder_temporary(s->arena, s->diags);
  if (!dir) return false;
  char *path = folder_file(s->arena, dir, "diff");
  FILE *f = fopen(path, "w+");
  bool ok = f != NULL ||
            diag_error_at(s->diags, EXIT_FILE, path, "cannot be written");
  ok = ok && text_diff(s, &p->before, &p->now, out->pass, fileno(f));
  if (f) fclose(f);
  Buffer *b = ok ? buffer_map(s->diags, path) : NULL;
  ok = b != NULL;
  if (ok) {
    char *all = arena_strndup(p->a, b->size ? (const char *)b->data : "",
                              b->size);
    lines_count(out, all);
    size_t n = cut_at(all, b->size, DIFF_MOST);
    out->cut = n < b->size;
    all[n] = 0;
    out->text = all;
    buffer_unref(b);
  }
  temporary_remove(path);
  temporary_remove(dir);
  return ok;
}

bool page_collect(Session *s, const char *pass, double seconds) {
  Page *p = s->after_ctx;
  (void)seconds;
  Text t = p->before;
  p->before = p->now;
  p->now = t;
  p->now.n = 0;
  module_print(&p->now, s->module, NULL);
  if (!p->before.n) return true;
  PassDiff d = {.pass = arena_strdup(p->a, pass)};
  if (!diff_make(s, p, &d)) return false;
  vec_push(p->a, &p->diffs, d);
  return true;
}

/* ---- the page -------------------------------------------------------- */

static void line_put(Text *out, const char *from, size_t n) {
  char kind = from[0];
  const char *tag = kind == '+' ? "ins" : kind == '-' ? "del" : NULL;
  Text line = {0};
  text_write(&line, from, n);
  text_putc(&line, 0);
  if (tag) text_printf(out, "<%s>", tag);
  text_xml(out, line.s);
  if (tag) text_printf(out, "</%s>", tag);
  text_putc(out, '\n');
  text_free(&line);
}

static void diff_put(Text *out, const PassDiff *d, size_t *left) {
  size_t all = strlen(d->text), n = cut_at(d->text, all, *left);
  const PassInfo *info = pass_find(d->pass);
  text_puts(out, "<details><summary><b>");
  text_xml(out, d->pass);
  text_printf(out, "</b> <span>+%lld \xe2\x88\x92%lld</span> ",
              (long long)d->added, (long long)d->removed);
  text_xml(out, info ? info->what : "");
  text_puts(out, "</summary>\n");
  if (!all) text_puts(out, "<p>Nothing changed.</p>\n");
  else text_puts(out, "<pre>");
  for (const char *s = d->text, *end = s + n; s < end;) {
    size_t k = strcspn(s, "\n");
    line_put(out, s, k);
    s += k + (s[k] == '\n');
  }
  if (all) text_puts(out, "</pre>\n");
  if (d->cut || n < all)
    text_puts(out, "<p>Cut here: <code>tamis show --diff</code> has all."
                   "</p>\n");
  text_puts(out, "</details>\n");
  *left -= n;
}

void html_ir(const Page *p, Text *out) {
  size_t left = DIFFS_MOST;
  for (size_t i = 0; i < p->diffs.n; i++)
    diff_put(out, &p->diffs.at[i], &left);
  size_t n = cut_at(p->now.s ? p->now.s : "", p->now.n, IR_MOST);
  Text ir = {0};
  text_write(&ir, p->now.s ? p->now.s : "", n);
  text_putc(&ir, 0);
  text_puts(out, "<details><summary><b>The program</b> as it is compiled"
                 "</summary>\n<pre>");
  text_xml(out, ir.s);
  text_puts(out, "</pre>\n");
  if (n < p->now.n)
    text_puts(out, "<p>Cut here: <code>tamis show</code> has all.</p>\n");
  text_puts(out, "</details>\n");
  text_free(&ir);
}
