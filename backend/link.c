/* link.c - from two objects to the artifact, by the system's own tools
 * (tools.c): the C compiler's linker driver, objcopy and ar; in a folder of
 * their own. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/emit.h"

static bool args_run(Emission *e, Args *x) {
  arg(x, NULL);
  return program_run(e->g.d, x->v.at, e->o->verbose);
}

/* ---- temporary folder ----------------------------------------------- */

const char *temp_path(Emission *e, const char *name) {
  const char *path = path_join(e->g.a, e->dir, name);
  temporary_add(path);
  return path;
}

/* Beside OUT, so that the result can be renamed to its place. */
bool temp_make(Emission *e) {
  Arena *a = e->g.a;
  const char *out = e->o->out, *tmp = getenv("TMPDIR");
  bool none = path_in_place(out);
  DIR *is_dir = opendir(out);
  if (is_dir) closedir(is_dir);
  if (is_dir || !*path_base(out))
    return diag_error_at(e->g.d, EXIT_FILE, out, "cannot be written: "
                         "expected a file, found a directory");
  const char *base = none ? (tmp && *tmp ? tmp : "/tmp")
                          : path_dir(a, out);
  e->dir = path_join(a, base, ".tamis-XXXXXX");
  /* Programs would take it for an option. */
  if (*e->dir == '-') e->dir = arena_printf(a, "./%s", e->dir);
  if (mkdtemp(e->dir)) {
    temporary_add(e->dir);
    return true;
  }
  e->dir = NULL;
  return diag_error_at(e->g.d, EXIT_FILE, base, "cannot be written to: %s",
                       strerror(errno));
}

void temp_remove(Emission *e) {
  DIR *dir = e->dir ? opendir(e->dir) : NULL;
  if (!dir) return;
  for (struct dirent *f; (f = readdir(dir));)
    if (f->d_name[0] != '.')
      temporary_remove(path_join(e->g.a, e->dir, f->d_name));
  closedir(dir);
  temporary_remove(e->dir);
}

/* ---- artifacts ------------------------------------------------------ */

const char *object_name(Emission *e, const char *what, int version) {
  if (version < 0) return arena_printf(e->g.a, "%s.o", what);
  return arena_printf(e->g.a, "%s-%d.o", what, version);
}

/* Code, descriptor and weights, those of the versions behind. */
static void objects(Emission *e, Args *x) {
  for (int i = -1; i < e->nversions; i++) {
    arg(x, temp_path(e, object_name(e, "code", i)));
    arg(x, temp_path(e, object_name(e, "weights", i)));
  }
}

static bool link_shared(Emission *e, const char *to) {
  Args x = { .a = e->g.a };
  tool_args(&x, &e->tools, TOOL_CC);
  arg(&x, "-shared");
  /* No start files: they would bring a global that changes. */
  arg(&x, "-nostartfiles");
  arg(&x, "-Wl,-z,noexecstack,-z,relro,-z,now,-z,defs");
  arg(&x, "-Wl,--build-id=none,--hash-style=gnu");
  arg(&x, "-o");
  arg(&x, to);
  objects(e, &x);
  arg(&x, "-Wl,--as-needed");
  arg(&x, "-lm");
  return args_run(e, &x);
}

/* One object in which only what is exported is global. */
static bool link_object(Emission *e, const char *to) {
  Args x = { .a = e->g.a }, y = { .a = e->g.a };
  const char *joined = temp_path(e, "joined.o");
  tool_args(&x, &e->tools, TOOL_CC);
  arg(&x, "-r");
  arg(&x, "-nostdlib");
  arg(&x, "-Wl,--build-id=none,--discard-locals");
  arg(&x, "-o");
  arg(&x, joined);
  objects(e, &x);
  if (!args_run(e, &x)) return false;
  tool_args(&y, &e->tools, TOOL_OBJCOPY);
  arg(&y, "--localize-hidden");
  arg(&y, joined);
  arg(&y, to);
  return args_run(e, &y);
}

static bool link_archive(Emission *e, const char *to) {
  const char *object = temp_path(e, arena_printf(e->g.a, "%s.o", e->prefix));
  if (!link_object(e, object)) return false;
  Args x = { .a = e->g.a };
  tool_args(&x, &e->tools, TOOL_AR);
  arg(&x, "rcsD");
  arg(&x, to);
  arg(&x, object);
  return args_run(e, &x);
}

bool artifact_link(Emission *e) {
  const char *to = temp_path(e, "artifact");
  bool ok = e->o->kind == EMIT_SO    ? link_shared(e, to)
            : e->o->kind == EMIT_OBJ ? link_object(e, to)
                                     : link_archive(e, to);
  return ok && output_made(e, to, e->o->out);
}
