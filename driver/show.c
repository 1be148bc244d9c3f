/* show.c - `tamis show`: the IR around passes, as text, dumps, a graph or
 * a table. */
#include "driver/html.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Show {
  Text before, now;       /* the text before and after the latest pass */
  DumpDir *dir;
} Show;

/* --after takes "parse" too, before which there is nothing. */
static bool known_pass(Diags *d, const char *opt, const char *pass) {
  bool parse = strcmp(opt, "--after") == 0;
  if (!pass || (parse && strcmp(pass, "parse") == 0) || pass_find(pass))
    return true;
  size_t n;
  const PassInfo *t = pass_table(&n);
  const char **names = calloc(n + 1, sizeof *names);
  ensure(names);
  Text list = {0};
  for (size_t i = 0; i < n; i++) {
    names[i] = t[i].name;
    text_printf(&list, " %s", t[i].name);
  }
  names[n] = "parse";
  const char *near = nearest_name(pass, names, n + parse);
  diag_error_at(d, EXIT_USAGE, opt,
                "no pass '%s'%s%s%s; expected one of%s%s", pass,
                near ? "; did you mean '" : "", near ? near : "",
                near ? "'?" : "", parse ? " parse" : "", list.s);
  text_free(&list);
  free(names);
  return false;
}

/* Position of a pass, 0 for the text as read. */
static size_t pass_position(const char *pass) {
  size_t n;
  const PassInfo *p = pass ? pass_find(pass) : NULL;
  return p ? (size_t)(p - pass_table(&n)) + 1 : 0;
}

/* A dump goes on behind its pass: what came before is not in it ("parse"
 * shows any text as it was read). */
static bool still_ahead(Session *s, const char *opt, const char *pass,
                        bool itself) {
  const char *after = s->module->dump.after;
  if (itself && pass && !pass_position(pass)) return true;
  if (!pass || !after || pass_position(pass) > pass_position(after) ||
      (itself && pass_position(pass) == pass_position(after)))
    return true;
  return diag_error_at(s->diags, EXIT_USAGE, opt,
                       "'%s' contradicts the dump %s, which comes behind "
                       "'%s'", pass, s->o->file, after);
}

static bool collect(Session *s, const char *pass, double seconds) {
  (void)seconds;
  Show *w = s->after_ctx;
  if (w->dir && !dumpdir_add(w->dir, s->diags, s->module, pass))
    return false;
  if (s->o->diff) {
    Text t = w->before;
    w->before = w->now;
    w->now = t;
    w->now.n = 0;
    module_print(&w->now, s->module, NULL);
  }
  return true;
}

static bool spill(const char *path, const Text *t, Diags *d) {
  return file_write(d, path, t->n ? t->s : "", t->n);
}

/* diff(1) is in every Debian. */
bool text_diff(Session *s, const Text *a, const Text *b, const char *pass,
               int fd) {
  char *dir = folder_temporary(s->arena, s->diags);
  if (!dir) return false;
  char *x = folder_file(s->arena, dir, "before");
  char *y = folder_file(s->arena, dir, "after");
  bool ok = spill(x, a, s->diags) && spill(y, b, s->diags);
  if (ok) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
      dup2(fd, STDOUT_FILENO);
      execlp("diff", "diff", "-U2", "--label",
             arena_printf(s->arena, "before %s", pass), "--label",
             arena_printf(s->arena, "after %s", pass), x, y, (char *)NULL);
      _exit(2);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) ||
        WEXITSTATUS(status) > 1)
      ok = diag_error_at(s->diags, EXIT_FILE, "diff",
                         "cannot run diff(1) (Debian package diffutils)");
  }
  temporary_remove(x);
  temporary_remove(y);
  temporary_remove(dir);
  return ok;
}

static void dot_label(Text *t, const Node *n) {
  text_printf(t, "%s", op_info(n->op)->name);
  if (n->path) text_printf(t, "\\n%s", n->path);
  if (n->kernel) text_printf(t, "\\n%s", n->kernel);
  text_puts(t, "\\n");
  Type plain = type_make(n->type.elem, n->type.rank, n->type.dim);
  type_print(t, &plain);
}

static void print_dot(const Session *s) {
  const Func *f = s->module->funcs.at[0];
  printf("digraph \"%s\" {\n  node [shape=box, fontname=\"monospace\"];\n",
         s->module->name);
  for (size_t i = 0; i < f->nodes.n; i++) {
    const Node *n = f->nodes.at[i];
    if (n->op == OP_PARAM || n->op == OP_CONST) continue;
    Text t = {0};
    dot_label(&t, n);
    printf("  n%zu [label=\"%s\"%s];\n", i, t.s,
           n->op == OP_INPUT ? ", style=rounded" : "");
    text_free(&t);
    for (int k = 0; k < n->nin; k++)
      for (size_t j = 0; n->in[k] && j < i; j++)
        if (f->nodes.at[j] == n->in[k] && n->in[k]->op != OP_PARAM &&
            n->in[k]->op != OP_CONST)
          printf("  n%zu -> n%zu;\n", j, i);
  }
  puts("}");
}

/* Sizes of code and weights are known only when they have been made. */
static bool stats(Session *s) {
  if (!s->o->json) {
    report_table(s, stdout);
    return true;
  }
  char *dir = folder_temporary(s->arena, s->diags);
  if (!dir) return false;
  char *obj = folder_file(s->arena, dir, "m.o");
  char *header = folder_file(
      s->arena, dir, arena_printf(s->arena, "%s.h", session_prefix(s)));
  EmitInfo info = {0};
  bool ok = session_emit(s, EMIT_OBJ, obj, &info);
  temporary_remove(obj);
  temporary_remove(header);
  temporary_remove(dir);
  return ok && report_json(s, 1, s->target.cpu, &info, stdout);
}

/* One view at a time; -o takes a dump. */
static bool modes_fit(const Options *o, Diags *d) {
  bool text = o->diff || o->dir || o->stats;
  if (o->onnx && (text || o->dot || !o->out))
    return diag_error_at(d, EXIT_USAGE, "--onnx", "expected -o FILE, and at "
                         "most --after or --before, with it");
  if (!!o->after + !!o->before + !!o->diff + !!o->dir + o->stats > 1)
    return diag_error_at(d, EXIT_USAGE, "show", "expected one of --after, "
                         "--before, --diff, --dir, --stats");
  if (o->dot && text)
    return diag_error_at(d, EXIT_USAGE, "--dot", "expected --after or "
                         "--before with it, found %s",
                         o->diff ? "--diff" : o->dir ? "--dir" : "--stats");
  if (o->out && (text || o->dot))
    return diag_error_at(d, EXIT_USAGE, "-o", "expected a dump to write, "
                         "found %s", o->dot ? "--dot" : o->diff ? "--diff"
                         : o->dir ? "--dir" : "--stats");
  if ((o->data || o->measure) && !o->stats)
    return diag_error_at(d, EXIT_USAGE, o->data ? "--data" : "--measure",
                         "expected --stats with it");
  if (o->json && !o->stats)
    return diag_error_at(d, EXIT_USAGE, "--json",
                         "expected --stats with it");
  return true;
}

/* A dump and its weights may not replace what was read. */
static bool show_outputs(Session *s) {
  Outputs all = {0};
  if (s->o->out) {
    output_add(s, &all, "-o", s->o->out);
    if (!s->o->onnx && dump_has_weights(s->o->out))
      output_add(s, &all, "-o", path_with_ext(s->arena, s->o->out,
                                              ".safetensors"));
  }
  if (s->o->dir)
    output_add(s, &all, "--dir", path_join(s->arena, s->o->dir,
                                           "weights.safetensors"));
  return outputs_check(s, &all);
}

static bool show(Session *s, Show *w) {
  const Options *o = s->o;
  if (!known_pass(s->diags, "--after", o->after) ||
      !known_pass(s->diags, "--before", o->before) ||
      !known_pass(s->diags, "--diff", o->diff))
    return false;
  if (!modes_fit(o, s->diags)) return false;
  if (!session_load(s) || !show_outputs(s) ||
      !still_ahead(s, "--after", o->after, true) ||
      !still_ahead(s, "--before", o->before, false) ||
      !still_ahead(s, "--diff", o->diff, false))
    return false;
  s->stop_after = o->after ? o->after : o->diff;
  s->stop_before = o->before;
  s->after = collect;
  s->after_ctx = w;
  s->keep_dense = o->stats;
  if (o->stats && !facts_check(s)) return false;
  if (o->dir) w->dir = dumpdir_new(s->arena, o->dir);
  bool ok = session_compile(s);
  if (w->dir) ok = dumpdir_finish(w->dir, s->diags) && ok;
  if (!ok || o->dir) return ok;
  if (o->diff)
    return text_diff(s, &w->before, &w->now, o->diff, STDOUT_FILENO);
  if (o->stats) return facts_gather(s) && stats(s);
  if (o->dot) {
    print_dot(s);
    return true;
  }
  if (o->onnx) return onnx_write(s->diags, o->out, s->module);
  return dump_write(s->diags, s->module, o->out);
}

int cmd_show(const Options *o, Diags *d, Arena *a) {
  Session s;
  Show w = {0};
  if (session_open(&s, o, d, a)) show(&s, &w);
  session_close(&s);
  text_free(&w.before);
  text_free(&w.now);
  return diags_exit_code(d);
}

int cmd_targets(const Options *o, Diags *d, Arena *a) {
  (void)a;
  if (o->file) {
    diag_error_at(d, EXIT_USAGE, "targets", "expected no file, found '%s'",
                  o->file);
    return EXIT_USAGE;
  }
  targets_print(stdout);
  return EXIT_OK;
}
