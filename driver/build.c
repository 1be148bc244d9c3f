/* build.c - `tamis build`. */
#include "driver/driver.h"

#include <ctype.h>
#include <string.h>

static const struct { const char *name, *ext; EmitKind kind; } kinds[] = {
  {"so", ".so", EMIT_SO}, {"obj", ".o", EMIT_OBJ}, {"lib", ".a", EMIT_LIB},
  {"asm", ".s", EMIT_ASM}, {"llvm", ".ll", EMIT_LLVM},
  {"header", ".h", EMIT_HEADER},
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

static bool prefix_ok(const char *p, Diags *d) {
  bool ok = isalpha((unsigned char)*p) || *p == '_';
  for (const char *c = p; *c; c++)
    ok &= isalnum((unsigned char)*c) || *c == '_';
  if (ok) return true;
  return diag_error_at(d, EXIT_USAGE, "--prefix",
                       "expected a C identifier, found '%s'", p);
}

/* Escape what make would take apart. */
static void dep_name(FILE *f, const char *s) {
  for (; *s; s++) {
    if (*s == ' ' || *s == '#' || *s == '\\') fputc('\\', f);
    if (*s == '$') fputc('$', f);
    fputc(*s, f);
  }
}

static bool write_deps(Session *s, const char *out) {
  const Options *o = s->o;
  const char *path = o->dep_file ? o->dep_file
                                 : path_with_ext(s->arena, out, ".d");
  OutFile f;
  if (!outfile_open(&f, s->diags, path)) return false;
  dep_name(f.f, out);
  fputc(':', f.f);
  for (size_t i = 0; i < s->files.n; i++) {
    if (strcmp(s->files.at[i], "-") == 0) continue;
    fputs(" \\\n  ", f.f);
    dep_name(f.f, s->files.at[i]);
  }
  fputc('\n', f.f);
  for (size_t i = 0; i < s->files.n; i++) {
    if (strcmp(s->files.at[i], "-") == 0) continue;
    fputc('\n', f.f);
    dep_name(f.f, s->files.at[i]);
    fputs(":\n", f.f);
  }
  return outfile_commit(&f, s->diags);
}

static const char *default_out(Session *s, const char *ext, EmitKind k) {
  const char *name = session_prefix(s);
  bool lib = k == EMIT_SO || k == EMIT_LIB;
  return arena_printf(s->arena, "%s%s%s", lib ? "lib" : "", name, ext);
}

static bool emit(Session *s, EmitInfo *info, const char **out) {
  const char *want = s->o->emit ? s->o->emit : "so";
  if (strcmp(want, "tam") == 0) {
    *out = s->o->out ? s->o->out
                     : arena_printf(s->arena, "%s.tam", s->module->name);
    return dump_write(s->diags, s->module, *out);
  }
  for (int i = 0; i < NKINDS; i++) {
    if (strcmp(want, kinds[i].name) != 0) continue;
    *out = s->o->out ? s->o->out
                     : default_out(s, kinds[i].ext, kinds[i].kind);
    return session_emit(s, kinds[i].kind, *out, info);
  }
  unreachable();
}

static bool build(Session *s) {
  const Options *o = s->o;
  if (o->prefix && !prefix_ok(o->prefix, s->diags)) return false;
  if (o->report && o->emit && strcmp(o->emit, "tam") == 0)
    return diag_error_at(s->diags, EXIT_USAGE, "--report",
                         "contradicts --emit=tam, which makes no code");
  if (o->report && !report_name_ok(s->diags, o->report)) return false;
  if (!session_load(s) || !session_compile(s)) return false;
  EmitInfo info = {0};
  const char *out;
  if (!emit(s, &info, &out)) return false;
  if ((o->dep || o->dep_file) && !write_deps(s, out)) return false;
  if (o->verbose)
    fprintf(stderr, "tamis: %s: code %lld, weights %lld, arena %lld bytes\n",
            out, (long long)info.code_bytes, (long long)info.weight_bytes,
            (long long)info.arena_bytes);
  return !o->report || report_write(s, &info, o->report);
}

int cmd_build(const Options *o, Diags *d, Arena *a) {
  Session s;
  if (session_open(&s, o, d, a)) build(&s);
  session_close(&s);
  return diags_exit_code(d);
}
