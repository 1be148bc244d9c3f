/* outputs.c - the files that a command is going to write, looked at before
 * anything is computed: none may be one that was read, no two the same, and
 * a header may not hide one that programs need. */
#include "driver/driver.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void output_add(Session *s, Outputs *to, const char *opt, const char *path) {
  if (strcmp(path, "-") == 0) return;
  path = path_join(s->arena, path_dir(s->arena, path), path_base(path));
  vec_push(s->arena, to, ((Binding){opt, path}));
}

bool outputs_check(Session *s, const Outputs *all) {
  for (size_t i = 0; i < all->n; i++) {
    const Binding *x = &all->at[i];
    for (size_t k = 0; k < s->files.n; k++)
      if (path_same(x->value, s->files.at[k]))
        return diag_error_at(s->diags, EXIT_USAGE, x->name,
                             "%s was read: expected another file to write",
                             x->value);
    for (size_t k = 0; k < i; k++)
      if (strcmp(x->value, all->at[k].value) == 0)
        return diag_error_at(s->diags, EXIT_USAGE, x->name,
                             "%s is written by %s already", x->value,
                             all->at[k].name);
  }
  return true;
}

char *folder_temporary(Arena *a, Diags *d) {
  const char *in = getenv("TMPDIR");
  char *dir = path_join(a, in && *in ? in : "/tmp", "tamis-XXXXXX");
  if (!mkdtemp(dir)) {
    diag_error_at(d, EXIT_FILE, dir, "cannot make a folder: %s",
                  strerror(errno));
    return NULL;
  }
  temporary_add(dir);
  return dir;
}

char *folder_file(Arena *a, const char *dir, const char *name) {
  char *path = path_join(a, dir, name);
  temporary_add(path);
  return path;
}

/* A func of these names is a macro of the header, under a prefix without
 * small letters. */
static bool macro_names_ok(Session *s) {
  static const char *const macros[] = {
    "ALIGN", "ARENA_BYTES", "STACK_BYTES", "STATE_BYTES", "WEIGHT_BYTES"
  };
  const Module *m = s->module;
  const char *prefix = session_prefix(s);
  for (const char *p = prefix; *p; p++)
    if (islower((unsigned char)*p)) return true;
  for (size_t i = 1; i < m->funcs.n; i++)
    for (size_t k = 0; k < sizeof macros / sizeof *macros; k++)
      if (func_is_entry(m, m->funcs.at[i]) &&
          strcmp(m->funcs.at[i]->name, macros[k]) == 0)
        return diag_error_at(s->diags, EXIT_USAGE, "--prefix",
                             "%s_%s is a macro of the header: expected "
                             "another prefix than '%s'", prefix, macros[k],
                             prefix);
  return true;
}

bool header_name_ok(Session *s) {
  static const char *const taken[] = {
    "assert", "complex", "ctype", "dlfcn", "errno", "fcntl", "features",
    "fenv", "float", "inttypes", "iso646", "limits", "locale", "malloc",
    "math", "memory", "pthread", "sched", "semaphore", "setjmp", "signal",
    "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint",
    "stdio", "stdlib", "stdnoreturn", "string", "strings", "tamis", "tgmath",
    "threads", "time", "uchar", "unistd", "wchar", "wctype"
  };
  const char *prefix = session_prefix(s);
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    if (strcmp(prefix, taken[i]) == 0)
      return diag_error_at(s->diags, EXIT_USAGE, "--prefix",
                           "%s.h would hide the header <%s.h>: expected "
                           "another prefix than '%s'", prefix, prefix,
                           prefix);
  return macro_names_ok(s);
}
