/* build.c - `tamis build`. */
#include "driver/html.h"

#include <ctype.h>
#include <string.h>

typedef struct Kind { const char *name, *ext; EmitKind kind; } Kind;
static const Kind kinds[] = {
  {"so", ".so", EMIT_SO}, {"obj", ".o", EMIT_OBJ}, {"lib", ".a", EMIT_LIB},
  {"asm", ".s", EMIT_ASM}, {"llvm", ".ll", EMIT_LLVM},
  {"header", ".h", EMIT_HEADER}, {"tam", ".tam", EMIT_SO},
};
enum { TAM = sizeof kinds / sizeof *kinds - 1 };   /* no code: a dump */

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

static void print_deps(const Session *s, const char *out, FILE *f) {
  dep_name(f, out);
  fputc(':', f);
  for (size_t i = 0; i < s->files.n; i++) {
    if (strcmp(s->files.at[i], "-") == 0) continue;
    fputs(" \\\n  ", f);
    dep_name(f, s->files.at[i]);
  }
  fputc('\n', f);
  for (size_t i = 0; i < s->files.n; i++) {
    if (strcmp(s->files.at[i], "-") == 0) continue;
    fputc('\n', f);
    dep_name(f, s->files.at[i]);
    fputs(":\n", f);
  }
}

/* Where everything goes.  The report and the dependencies are opened before
 * and renamed behind the artifact: what cannot be written leaves nothing. */
typedef struct Build {
  const Kind *kind;
  const char *out, *dep_path;   /* dep_path: NULL without dependencies */
  OutFile report, deps, tuned;
  const char *tuned_path;       /* --tune: where the choices go */
  Tuning tuning;
  Page *page;                   /* NULL: the report is none */
} Build;

static const char *default_out(Session *s, const Kind *k) {
  bool lib = k->kind == EMIT_SO || k->kind == EMIT_LIB;
  if (k == &kinds[TAM])
    return arena_printf(s->arena, "%s.tam", s->module->name);
  return arena_printf(s->arena, "%s%s%s", lib ? "lib" : "",
                      session_prefix(s), k->ext);
}

static bool build_outputs(Session *s, Build *b) {
  const Options *o = s->o;
  Outputs all = {0};
  EmitKind kind = b->kind->kind;
  bool tam = b->kind == &kinds[TAM];
  output_add(s, &all, "-o", b->out);
  if (tam) {
    if (dump_has_weights(b->out))
      output_add(s, &all, "-o", path_with_ext(s->arena, b->out,
                                              ".safetensors"));
  } else if (!path_in_place(b->out)) {
    if (!header_name_ok(s)) return false;
    if (kind != EMIT_HEADER)
      output_add(s, &all, "the header",
                 path_join(s->arena, path_dir(s->arena, b->out),
                           arena_printf(s->arena, "%s.h",
                                        session_prefix(s))));
    if (kind == EMIT_ASM || kind == EMIT_LLVM)
      output_add(s, &all, "the weights",
                 arena_printf(s->arena, "%s.weights.o", b->out));
  }
  if (o->external_weights)
    output_add(s, &all, "--external-weights", o->external_weights);
  if (o->report) output_add(s, &all, "--report", o->report);
  if (b->tuned_path) output_add(s, &all, "--tuned", b->tuned_path);
  if (b->dep_path) output_add(s, &all, "-MF", b->dep_path);
  return outputs_check(s, &all) &&
         (!o->report || outfile_open(&b->report, s->diags, o->report)) &&
         (!b->tuned_path ||
          outfile_open(&b->tuned, s->diags, b->tuned_path)) &&
         (!b->dep_path || outfile_open(&b->deps, s->diags, b->dep_path));
}

/* v: the versions that s is the first of, or NULL. */
static bool emit(Session *s, Versions *v, Build *b) {
  EmitInfo info = {0};
  const Options *o = s->o;
  EmitKind kind = b->kind->kind;
  if (b->kind == &kinds[TAM]) {
    if (!dump_write(s->diags, s->module, b->out)) return false;
  } else if (!(v ? versions_emit(v, kind, b->out, &info)
                 : session_emit(s, kind, b->out, &info))) {
    return false;
  } else if (o->verbose) {
    fprintf(stderr, "tamis: %s: code %lld, weights %lld, arena %lld bytes\n",
            b->out, (long long)info.code_bytes, (long long)info.weight_bytes,
            (long long)info.arena_bytes);
  }
  if (b->page)
    report_html(s, b->page, v ? v->cpus : s->target.cpu, &info, b->report.f);
  else if (o->report)
    report_json(s, v ? v->n : 1, v ? v->cpus : s->target.cpu, &info,
                b->report.f);
  if (b->dep_path) print_deps(s, b->out, b->deps.f);
  if (b->tuned_path) tuning_write(&b->tuning, b->tuned.f);
  bool ok = !o->report || outfile_commit(&b->report, s->diags);
  ok = (!b->tuned_path || outfile_commit(&b->tuned, s->diags)) && ok;
  return (!b->dep_path || outfile_commit(&b->deps, s->diags)) && ok;
}

static const Kind *kind_of(const char *name) {
  for (int i = 0; i <= TAM; i++)
    if (strcmp(name, kinds[i].name) == 0) return &kinds[i];
  unreachable();
}

/* Options that contradict one another. */
static bool options_fit(const Options *o, const Kind *kind, Diags *d) {
  bool several = versions_wanted(o), asm_ = kind->kind == EMIT_ASM;
  if ((o->data || o->measure) && !o->report)
    return diag_error_at(d, EXIT_USAGE, o->data ? "--data" : "--measure",
                         "expected --report with it");
  if (o->prefix && !prefix_ok(o->prefix, d)) return false;
  const char *of_code = o->report ? "--report"
                        : o->external_weights ? "--external-weights"
                        : o->prefix ? "--prefix"
                        : o->strip ? "--strip" : NULL;
  if (of_code && kind == &kinds[TAM])
    return diag_error_at(d, EXIT_USAGE, of_code,
                         "contradicts --emit=tam, which makes no code");
  if (several && (asm_ || kind->kind == EMIT_LLVM || kind == &kinds[TAM]))
    return diag_error_at(d, EXIT_USAGE, "--cpu", "'%s' are several: expected "
                         "one with --emit=%s", o->cpu, kind->name);
  if (several && (o->tune || o->tuned))
    return diag_error_at(d, EXIT_USAGE, o->tune ? "--tune" : "--tuned",
                         "expected one CPU, found '%s'", o->cpu);
  return !o->report || report_name_ok(d, o->report);
}

/* --tune or --tuned: what the layers of s shall take. */
static bool tune(Session *s, Build *b) {
  const Options *o = s->o;
  const char *after = s->module->dump.after;
  if (!o->tune && !o->tuned) return true;
  if (after && strcmp(after, "parse") != 0 && strcmp(after, "recipe") != 0)
    return diag_error_at(s->diags, EXIT_USAGE, o->tune ? "--tune" : "--tuned",
                         "the dump %s comes behind pass %s: expected a "
                         "model, or a dump behind recipe", o->file, after);
  if (!(o->tune ? tuning_measure(&b->tuning, s)
                : tuning_read(&b->tuning, s, o->tuned)))
    return false;
  s->choices = &b->tuning.choices;
  return true;
}

static bool build(Session *s, Versions *v, const Kind *kind) {
  const Options *o = s->o;
  Build b = {.kind = kind};
  b.out = o->out ? o->out : default_out(s, b.kind);
  if (o->dep_file) b.dep_path = o->dep_file;
  else if (o->dep) b.dep_path = path_with_ext(s->arena, b.out, ".d");
  if (o->tuned && !o->tune) vec_push(s->arena, &s->files, o->tuned);
  if (o->tune)
    b.tuned_path = o->tuned ? o->tuned
                            : arena_printf(s->arena, "%s.tuned", b.out);
  s->keep_dense = o->report != NULL;
  s->several |= v != NULL;
  if (o->report && report_is_html(o->report)) {
    s->after_ctx = b.page = page_new(s->arena);
    s->after = page_collect;
  }
  bool ok = (!o->report || facts_check(s)) &&
            build_outputs(s, &b) && tune(s, &b) &&
            (v ? versions_compile(v) : session_compile(s)) &&
            (!s->choices || tuning_taken(&b.tuning, s, o->tuned
                                         ? o->tuned : "--tune")) &&
            (!o->report || facts_gather(s)) && emit(s, v, &b);
  tuning_free(&b.tuning);
  if (b.page) page_free(b.page);
  outfile_abort(&b.tuned);
  outfile_abort(&b.report);
  outfile_abort(&b.deps);
  return ok;
}

static void build_versions(const Options *o, Diags *d, Arena *a,
                           const Kind *kind) {
  Versions *v = arena_new_of(a, Versions);
  if (versions_load(v, o, d, a)) build(&v->at[0], v, kind);
  versions_close(v);
}

int cmd_build(const Options *o, Diags *d, Arena *a) {
  const Kind *kind = kind_of(o->emit ? o->emit : "so");
  Session s = {0};
  if (!options_fit(o, kind, d)) return diags_exit_code(d);
  if (versions_wanted(o)) build_versions(o, d, a, kind);
  else if (session_open(&s, o, d, a) && session_load(&s))
    build(&s, NULL, kind);
  session_close(&s);
  return diags_exit_code(d);
}
