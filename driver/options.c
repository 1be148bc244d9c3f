/* options.c - the options of all commands in one table. */
#include "driver/driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
  BUILD = 1, RUN = 2, BENCH = 4, CHECK = 8, SHOW = 16, TARGETS = 32,
  IMPORT = 64, SWEEP = 128,
  ONE = BUILD | RUN | BENCH | CHECK | SHOW,   /* recipe, version */
  MODEL = ONE | SWEEP, ALL = MODEL | TARGETS | IMPORT
};

typedef enum {
  KIND_FLAG, KIND_STR, KIND_DIM, KIND_CONST, KIND_SEED, KIND_IN, KIND_OUT,
  KIND_EXPECT
} OptKind;

typedef struct OptDef {
  const char *name;      /* "--emit", "-o" */
  OptKind kind;
  size_t offset;         /* in Options, of FLAG and STR */
  int commands;
  const char *arg, *help;
  const char *values;    /* "a|b" when only these are taken */
} OptDef;

#define AT(f) offsetof(Options, f)
static const OptDef table[] = {
  {"-o", KIND_STR, AT(out), BUILD | SHOW | IMPORT, "OUT", "output file", NULL},
  {"-o", KIND_STR, AT(out), SWEEP, "DIR",
   "write results.json, table.txt and plot.svg there; what is there already "
   "is not worked out again", NULL},
  {"--sparsity", KIND_STR, AT(sparsities), SWEEP, "LIST",
   "as 0.5,0.6..0.9:0.1: in place of that of each step 'prune'", NULL},
  {"--pattern", KIND_STR, AT(patterns), SWEEP, "LIST",
   "likewise, as unstructured,4x1,2:4", NULL},
  {"--method", KIND_STR, AT(methods), SWEEP, "LIST",
   "likewise, as magnitude,wanda", NULL},
  {"-j", KIND_STR, AT(jobs), SWEEP, "N",
   "so many points at once (default 1)", NULL},
  {"--labels", KIND_STR, AT(labels), SWEEP, "FILE",
   "classes of the samples (IDX, npy): accuracy of the first output's argmax",
   NULL},
  {"--estimate", KIND_FLAG, AT(estimate), SWEEP, NULL,
   "costs alone, by the model of costs: nothing is run", NULL},
  {"--emit", KIND_STR, AT(emit), BUILD, "KIND",
   "so (default), obj, lib, asm, llvm, header or tam",
   "so|obj|lib|asm|llvm|header|tam"},
  {"--target", KIND_STR, AT(target), MODEL, "TRIPLE",
   "target triple (default: this host)", NULL},
  {"--cpu", KIND_STR, AT(cpu), MODEL, "NAME",
   "CPU to compile for (default: native on the host, else the baseline); "
   "build takes A+B: several versions, picked when it is loaded",
   NULL},
  {"--features", KIND_STR, AT(features), MODEL, "+A,-B",
   "CPU features to add or drop", NULL},
  {"-O", KIND_STR, AT(opt), MODEL, "LEVEL", "0, 1, 2 (default), 3 or s",
   "0|1|2|3|s"},
  {"--recipe", KIND_STR, AT(recipe), ONE, "NAME",
   "carry out this recipe of the file", NULL},
  {"--recipe", KIND_STR, AT(recipe), SWEEP, "NAME[,NAME...]",
   "these recipes of the file (default: prune **)", NULL},
  {"--model", KIND_STR, AT(model), MODEL, "NAME",
   "which model, where a file holds several", NULL},
  {"--dim", KIND_DIM, 0, MODEL | IMPORT, "N=SIZE",
   "fix a free dimension; N=LEAST..MOST or N=..MOST: bound it, to be given "
   "at each call", NULL},
  {"--const", KIND_CONST, 0, MODEL | IMPORT, "NAME=FILE",
   "fix an input of an .onnx, which may determine shapes (npy)", NULL},
  {"--weights", KIND_STR, AT(weights), MODEL, "FILE",
   "weights in place of the file's own (safetensors, npz)", NULL},
  {"--random-weights", KIND_SEED, 0, MODEL, "SEED",
   "draw the weights from a seed", NULL},
  {"--sparsity", KIND_STR, AT(sparsity), ONE, "HOW",
   "auto (default), or off: zeros compiled as dense weights", "auto|off"},
  {"--sizes", KIND_STR, AT(sizes), ONE, "HOW",
   "auto (default): versions for small sizes of free dimensions; off: none",
   "auto|off"},
  {"--weight-type", KIND_STR, AT(weight_type), MODEL, "TYPE",
   "store weights as f16 or bf16, rounded; arithmetic stays f32",
   "f16|bf16"},
  {"--code-budget", KIND_STR, AT(code_budget), MODEL, "BYTES",
   "most code for patterns of zeros (k and M are taken; default by --cpu)",
   NULL},
  {"--threads", KIND_FLAG, AT(threads), BUILD, NULL,
   "calls take a pool of threads (see tamis_pool in the header)", NULL},
  {"--threads", KIND_STR, AT(run_threads), RUN | BENCH | CHECK, "N",
   "run on so many threads (default 1)", NULL},
  {"--tune", KIND_FLAG, AT(tune), BUILD, NULL,
   "measure the kernels of each layer on this machine; writes OUT.tuned",
   NULL},
  {"--tuned", KIND_STR, AT(tuned), BUILD, "FILE",
   "take the choices of such a file; with --tune: write them there", NULL},
  {"--prefix", KIND_STR, AT(prefix), BUILD, "NAME",
   "of exported symbols (default: the model's name)", NULL},
  {"--external-weights", KIND_STR, AT(external_weights), BUILD, "FILE",
   "write the weights there; calls take a pointer to them", NULL},
  {"--strip", KIND_FLAG, AT(strip), BUILD, NULL,
   "leave the steps out of the descriptor", NULL},
  {"--report", KIND_STR, AT(report), BUILD, "FILE",
   "write what was done layer by layer, as .json or as a page, .html", NULL},
  {"--data", KIND_STR, AT(data), BUILD | SHOW | SWEEP, "FILE[,OPTION...]",
   "compare outputs with the model before the recipe on these samples "
   "(default: its data=): samples=N, mean=A:B:C, scale=S, order=rgb|bgr",
   NULL},
  {"--measure", KIND_FLAG, AT(measure), BUILD | SHOW | SWEEP, NULL,
   "measure calls, and layers for reports", NULL},
  {"-MD", KIND_FLAG, AT(dep), BUILD, NULL, "write a dependency file",
   NULL},
  {"-MF", KIND_STR, AT(dep_file), BUILD, "FILE",
   "name of the dependency file (default: OUT.d)", NULL},
  {"--time-report", KIND_FLAG, AT(time_report), BUILD | SHOW, NULL,
   "say how long each pass took", NULL},
  {"--roundtrip", KIND_FLAG, AT(roundtrip), MODEL, NULL,
   "after every pass print, parse and go on with that", NULL},
  {"-v", KIND_FLAG, AT(verbose), MODEL, NULL, "say what is chosen", NULL},
  {"--in", KIND_IN, 0, RUN | BENCH | CHECK, "NAME=FILE[,OPTION...]",
   "input: .npy, or .png/.jpg with resize=HxW,mean=A:B:C,scale=S,"
   "order=rgb|bgr", NULL},
  {"--out", KIND_OUT, 0, RUN, "NAME=FILE.npy", "where an output goes",
   NULL},
  {"--engine", KIND_STR, AT(engine), RUN, "WHICH",
   "native (default) or reference", "native|reference"},
  {"--expect", KIND_EXPECT, 0, CHECK, "[NAME=]FILE.npy",
   "compare an output with this in place of the reference", NULL},
  {"--so", KIND_STR, AT(so), CHECK, "FILE",
   "check this artifact, built earlier", NULL},
  {"--seed", KIND_STR, AT(seed), BENCH | CHECK | SWEEP, "N",
   "of inputs that are drawn (default 1)", NULL},
  {"--steps", KIND_STR, AT(steps), CHECK, "N",
   "calls one after the other, for models with a state (default 1)", NULL},
  {"--rtol", KIND_STR, AT(rtol), CHECK, "X",
   "tolerance as a part of max|r| (default 1e-3)", NULL},
  {"--atol", KIND_STR, AT(atol), CHECK, "X",
   "absolute tolerance (default 0)", NULL},
  {"--runs", KIND_STR, AT(runs), BENCH, "N", "measured calls (default 50)",
   NULL},
  {"--warmup", KIND_STR, AT(warmup), BENCH, "N",
   "calls before measuring (default 5)", NULL},
  {"--layers", KIND_FLAG, AT(layers), BENCH, NULL, "profile each layer",
   NULL},
  {"--json", KIND_FLAG, AT(json), BENCH | SHOW, NULL, "print JSON", NULL},
  {"--after", KIND_STR, AT(after), SHOW, "PASS", "the IR after a pass",
   NULL},
  {"--before", KIND_STR, AT(before), SHOW, "PASS", "the IR before a pass",
   NULL},
  {"--diff", KIND_STR, AT(diff), SHOW, "PASS", "what a pass changed", NULL},
  {"--dir", KIND_STR, AT(dir), SHOW, "DIR",
   "numbered dumps of every pass", NULL},
  {"--dot", KIND_FLAG, AT(dot), SHOW, NULL, "the graph for Graphviz", NULL},
  {"--onnx", KIND_FLAG, AT(onnx), SHOW, NULL,
   "the IR as an ONNX file, written to -o", NULL},
  {"--stats", KIND_FLAG, AT(stats), SHOW, NULL,
   "per layer: shape, nonzeros, MACs, bytes, kernel and why", NULL},
  {"--diagnostics", KIND_STR, AT(diagnostics), ALL, "HOW", "text or json",
   "text|json"},
  {"--progress", KIND_STR, AT(progress), MODEL, "HOW",
   "auto (on a terminal), plain or off", "auto|plain|off"},
  {"--help", KIND_FLAG, AT(help), ALL, NULL, "this text", NULL},
};
enum { NTABLE = sizeof table / sizeof *table };

static int command_bit(const char *command) {
  static const char *const names[] = {"build", "run", "bench", "check",
                                      "show", "targets", "import", "sweep"};
  for (int i = 0; i < 8; i++)
    if (strcmp(command, names[i]) == 0) return 1 << i;
  unreachable();
}

void options_help(FILE *to, const char *command) {
  int bit = command_bit(command);
  for (int i = 0; i < NTABLE; i++) {
    const OptDef *t = &table[i];
    if (!(t->commands & bit)) continue;
    char left[64];
    const char *eq = t->name[1] == '-' ? "=" : t->name[1] == 'O' ? "" : " ";
    snprintf(left, sizeof left, "%s%s%s", t->name, t->arg ? eq : "",
             t->arg ? t->arg : "");
    if (strlen(left) > 24)
      fprintf(to, "  %s\n  %-24s %s\n", left, "", t->help);
    else
      fprintf(to, "  %-24s %s\n", left, t->help);
  }
}

bool option_int(Diags *d, const char *opt, const char *s, int64_t lo,
                int64_t hi, int64_t *out) {
  char *end;
  errno = 0;
  long long v = strtoll(s, &end, 10);
  if (end == s || *end || errno || v < lo || v > hi)
    return diag_error_at(d, EXIT_USAGE, opt,
                         "expected a whole number from %lld to %lld, "
                         "found '%s'", (long long)lo, (long long)hi, s);
  *out = v;
  return true;
}

bool option_bytes(Diags *d, const char *opt, const char *s, int64_t *out) {
  char *end;
  errno = 0;
  long long v = strtoll(s, &end, 10), unit = 1;
  if (end != s && strcmp(end, "k") == 0) unit = 1 << 10, end++;
  else if (end != s && strcmp(end, "M") == 0) unit = 1 << 20, end++;
  if (end == s || *end || errno || v < 0 || v > (1LL << 40) / unit)
    return diag_error_at(d, EXIT_USAGE, opt, "expected a number of bytes, "
                         "as 200k or 4M, found '%s'", s);
  *out = v * unit;
  return true;
}

bool option_float(Diags *d, const char *opt, const char *s, double *out) {
  char *end;
  double v = strtod(s, &end);
  if (end == s || *end || !(v >= 0) || v > 1e30)
    return diag_error_at(d, EXIT_USAGE, opt,
                         "expected a number of at least 0, found '%s'", s);
  *out = v;
  return true;
}

/* `arg` names t when it is t's name, with the value behind '=' (long
 * options) or right behind it (-O2, -j4). */
static bool matches(const OptDef *t, const char *arg, const char **value) {
  size_t n = strlen(t->name);
  *value = NULL;
  if (strncmp(arg, t->name, n) != 0) return false;
  if (arg[n] == 0) return true;
  if (t->kind == KIND_FLAG) return false;
  if (t->name[1] == '-' ? arg[n] == '='
                        : t->name[1] == 'O' || t->name[1] == 'j') {
    *value = arg + n + (arg[n] == '=');
    return true;
  }
  return false;
}

static bool one_of(const char *values, const char *v) {
  size_t n = strlen(v);
  for (const char *p = values; p; p = strchr(p, '|')) {
    if (*p == '|') p++;
    if (strncmp(p, v, n) == 0 && (p[n] == '|' || p[n] == 0)) return true;
  }
  return false;
}

static Binding binding(Arena *a, const char *v) {
  const char *eq = strchr(v, '=');
  const char *comma = strchr(v, ',');
  if (!eq || (comma && comma < eq)) return (Binding){"", v};
  return (Binding){arena_strndup(a, v, (size_t)(eq - v)), eq + 1};
}

/* SIZE, LEAST..MOST or ..MOST. */
static bool dim_size(Arena *a, const char *v, DimArg *out, Diags *d) {
  const char *dots = strstr(v, "..");
  out->least = 0;
  if (!dots)
    return option_int(d, "--dim", v, 0, (int64_t)1 << 32, &out->value);
  const char *least = arena_strndup(a, v, (size_t)(dots - v));
  return option_int(d, "--dim", *least ? least : "1", 1, 1 << 30,
                    &out->least) &&
         option_int(d, "--dim", dots + 2, out->least, 1 << 30, &out->value) &&
         (out->least < out->value || !(out->least = 0));   /* one size */
}

static bool set_dim(Arena *a, Options *o, const char *v, Diags *d) {
  Binding b = binding(a, v);
  DimArg dim = {.name = b.name};
  if (!*b.name)
    return diag_error_at(d, EXIT_USAGE, "--dim",
                         "expected NAME=SIZE or NAME=LEAST..MOST, found "
                         "'%s'", v);
  if (!dim_size(a, b.value, &dim, d)) return false;
  for (size_t i = 0; i < o->dims.n; i++)
    if (strcmp(o->dims.at[i].name, b.name) == 0)
      return diag_error_at(d, EXIT_USAGE, "--dim", "'%s' is given twice",
                           b.name);
  vec_push(a, &o->dims, dim);
  return true;
}

static bool set_const(Arena *a, Options *o, const char *v, Diags *d) {
  Binding b = binding(a, v);
  if (!*b.name || !*b.value)
    return diag_error_at(d, EXIT_USAGE, "--const",
                         "expected NAME=FILE, found '%s'", v);
  for (size_t i = 0; i < o->consts.n; i++)
    if (strcmp(o->consts.at[i].name, b.name) == 0)
      return diag_error_at(d, EXIT_USAGE, "--const", "'%s' is given twice",
                           b.name);
  vec_push(a, &o->consts, ((ConstArg){b.name, b.value}));
  return true;
}

static bool set_seed(Options *o, const char *v, Diags *d) {
  int64_t seed;
  if (!option_int(d, "--random-weights", v, 0, INT64_MAX, &seed))
    return false;
  o->random_weights = true;
  o->random_seed = (uint64_t)seed;
  return true;
}

static bool apply(Arena *a, Options *o, const OptDef *t, const char *v,
                  Diags *d) {
  if (t->values && !one_of(t->values, v))
    return diag_error_at(d, EXIT_USAGE, t->name,
                         "expected one of %s, found '%s'", t->values, v);
  switch (t->kind) {
  case KIND_FLAG: *(bool *)((char *)o + t->offset) = true; return true;
  case KIND_STR: *(const char **)((char *)o + t->offset) = v; return true;
  case KIND_DIM: return set_dim(a, o, v, d);
  case KIND_CONST: return set_const(a, o, v, d);
  case KIND_SEED: return set_seed(o, v, d);
  case KIND_IN: vec_push(a, &o->in, binding(a, v)); return true;
  case KIND_OUT: vec_push(a, &o->outs, binding(a, v)); return true;
  case KIND_EXPECT: vec_push(a, &o->expect, binding(a, v)); return true;
  }
  unreachable();
}

static bool unknown(const char *arg, int bit, const char *command,
                    Diags *d) {
  const char *names[NTABLE];
  size_t n = 0;
  for (int i = 0; i < NTABLE; i++)
    if (table[i].commands & bit) names[n++] = table[i].name;
  size_t len = strcspn(arg, "=");
  char head[64];
  snprintf(head, sizeof head, "%.*s", (int)(len < 63 ? len : 63), arg);
  const char *near = nearest_name(head, names, n);
  return diag_error_at(d, EXIT_USAGE, command, "unknown option '%s'%s%s%s",
                       head, near ? "; did you mean '" : "",
                       near ? near : "", near ? "'?" : "");
}

static bool positional(Options *o, const char *arg, Diags *d) {
  if (o->file)
    return diag_error_at(d, EXIT_USAGE, o->command,
                         "expected one file, found '%s' and '%s'", o->file,
                         arg);
  o->file = arg;
  return true;
}

bool options_parse(Arena *a, Options *o, int argc, char **argv, Diags *d) {
  int bit = command_bit(o->command);
  bool ok = true, only_files = false;
  for (int i = 0; i < argc; i++) {
    const char *arg = argv[i], *value = NULL;
    if (only_files || arg[0] != '-' || arg[1] == 0) {
      ok &= positional(o, arg, d);
      continue;
    }
    if (strcmp(arg, "--") == 0) {
      only_files = true;
      continue;
    }
    const OptDef *t = NULL;
    for (int k = 0; k < NTABLE && !t; k++)
      if ((table[k].commands & bit) && matches(&table[k], arg, &value))
        t = &table[k];
    if (!t && strcmp(arg, "-h") == 0) {
      o->help = true;
      continue;
    }
    if (!t) {
      ok = unknown(arg, bit, o->command, d);
      continue;
    }
    if (t->kind != KIND_FLAG && !value) {
      if (i + 1 >= argc) {
        ok = diag_error_at(d, EXIT_USAGE, t->name, "expected %s behind it",
                           t->arg);
        continue;
      }
      value = argv[++i];
    }
    ok &= apply(a, o, t, value, d);
  }
  return ok;
}
