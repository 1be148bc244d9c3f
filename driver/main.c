/* main.c - the tamis command: finds the command, its options, and turns
 * what went wrong into messages and an exit code. */
#include "driver/driver.h"

#include <string.h>

typedef struct Command {
  const char *name;
  int (*run)(const Options *, Diags *, Arena *);
  const char *what;
  bool file;             /* takes a FILE */
} Command;

static const Command commands[] = {
  {"build", cmd_build, "compile a model", true},
  {"run", cmd_run, "run a model or a built .so on data", true},
  {"bench", cmd_bench, "measure the latency of a model or a .so", true},
  {"check", cmd_check, "compare native code with the reference", true},
  {"import", cmd_import, "make a .tam and weights of an .onnx or .tflite",
   true},
  {"show", cmd_show, "show the IR before and after each pass", true},
  {"sweep", cmd_sweep, "a recipe over sparsity, pattern and method", true},
  {"targets", cmd_targets, "list targets and CPUs", false},
};
enum { NCOMMANDS = sizeof commands / sizeof *commands };

static void usage(FILE *to) {
  fputs("usage: tamis COMMAND [OPTIONS] FILE\n\n"
        "Compiles sparse neural networks to native code.\n\n", to);
  for (int i = 0; i < NCOMMANDS; i++)
    fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].what);
  fputs("\nFILE is a .tam ('-': standard input), an .onnx or a .tflite; run, "
        "bench and\ncheck take a built .so too.\n"
        "'tamis COMMAND --help' lists the options of a command.\n", to);
}

static void command_help(const Command *c) {
  printf("usage: tamis %s [OPTIONS]%s\n\n%s\n\n", c->name,
         c->file ? " FILE" : "", c->what);
  options_help(stdout, c->name);
}

static const Command *command_find(const char *name, Diags *d) {
  const char *names[NCOMMANDS];
  for (int i = 0; i < NCOMMANDS; i++) {
    if (strcmp(commands[i].name, name) == 0) return &commands[i];
    names[i] = commands[i].name;
  }
  const char *near = nearest_name(name, names, NCOMMANDS);
  diag_error_at(d, EXIT_USAGE, "tamis", "unknown command '%s'%s%s%s", name,
                near ? "; did you mean '" : "", near ? near : "",
                near ? "'?" : "");
  return NULL;
}

static int dispatch(int argc, char **argv, Diags *d, Arena *a,
                    Options *o) {
  const Command *c = command_find(argv[1], d);
  if (!c) return EXIT_USAGE;
  o->command = c->name;
  if (!options_parse(a, o, argc - 2, argv + 2, d)) return EXIT_USAGE;
  if (o->help) {
    command_help(c);
    return EXIT_OK;
  }
  if (c->file && !o->file) {
    diag_error_at(d, EXIT_USAGE, "tamis",
                  "%s: no file given; expected a .tam, .onnx or .tflite",
                  c->name);
    return EXIT_USAGE;
  }
  return c->run(o, d, a);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    usage(stderr);
    return EXIT_USAGE;
  }
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
      strcmp(argv[1], "help") == 0) {
    usage(stdout);
    return EXIT_OK;
  }
  if (strcmp(argv[1], "--version") == 0) {
    printf("tamis %s (LLVM %s)\n", TAMIS_VERSION, backend_llvm_version());
    return EXIT_OK;
  }
  Arena *a = arena_new();
  Diags *d = diags_new();
  Options o = {0};
  int code = dispatch(argc, argv, d, a, &o);
  bool json = o.diagnostics && strcmp(o.diagnostics, "json") == 0;
  diags_print(d, stderr, json);
  if (diags_errors(d) && code == EXIT_OK) code = diags_exit_code(d);
  if (fflush(stdout) != 0 && code == EXIT_OK) {
    fputs("tamis: standard output: write error\n", stderr);
    code = EXIT_FILE;
  }
  diags_free(d);
  arena_free(a);
  return code;
}
