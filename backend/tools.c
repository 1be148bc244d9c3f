/* tools.c - the programs of the system that link, for the target at hand.
 * For the host that is $CC or cc, $OBJCOPY or objcopy, $AR or ar.  For
 * another target $CC counts when it says with -dumpmachine that it compiles
 * for that one, and $OBJCOPY and $AR along with it; else the programs are
 * those that begin with the triple, as Debian's cross compilers do. */
#include "backend/tools.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/target.h"

extern char **environ;

/* ---- running -------------------------------------------------------- */

bool program_run(Diags *d, const char *const *argv, bool verbose) {
  pid_t pid;
  int status;
  if (verbose)
    for (int i = 0; argv[i]; i++)
      fprintf(stderr, "%s%s", argv[i], argv[i + 1] ? " " : "\n");
  int err = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv,
                         environ);
  if (err)
    return diag_error_at(d, EXIT_FILE, argv[0], "cannot be run: %s",
                         strerror(err));
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return false;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  return diag_error_at(d, EXIT_FILE, argv[0], "failed");
}

void arg(Args *x, const char *s) { vec_push(x->a, &x->v, s); }

/* Words of a variable of the environment, which may bring arguments. */
static void args_split(Args *x, const char *s) {
  for (s = s ? s : ""; *s;) {
    size_t n = strcspn(s, " \t");
    if (n) arg(x, arena_strndup(x->a, s, n));
    s += n + strspn(s + n, " \t");
  }
}

/* ---- finding -------------------------------------------------------- */

/* Is there such a program on PATH? */
static bool program_found(Arena *a, const char *name) {
  if (strchr(name, '/')) return access(name, X_OK) == 0;
  const char *path = getenv("PATH");
  for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
    size_t n = strcspn(p, ":");
    if (n && access(arena_printf(a, "%.*s/%s", (int)n, p, name), X_OK) == 0)
      return true;
    p += n + (p[n] == ':');
  }
  return false;
}

/* What the program prints on its first line, "" when it fails. */
static const char *first_line(Args *x) {
  int fd[2], status;
  pid_t pid;
  char line[128] = "";
  posix_spawn_file_actions_t f;
  if (pipe(fd) != 0) return "";
  posix_spawn_file_actions_init(&f);
  posix_spawn_file_actions_adddup2(&f, fd[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&f, fd[0]);
  posix_spawn_file_actions_addclose(&f, fd[1]);
  posix_spawn_file_actions_addopen(&f, STDERR_FILENO, "/dev/null", 1, 0);
  arg(x, NULL);
  int err = posix_spawnp(&pid, x->v.at[0], &f, NULL,
                         (char *const *)x->v.at, environ);
  posix_spawn_file_actions_destroy(&f);
  close(fd[1]);
  FILE *from = fdopen(fd[0], "r");
  if (!from) close(fd[0]);
  if (from && !err && !fgets(line, sizeof line, from)) *line = 0;
  if (from) fclose(from);
  if (err) return "";
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return "";
  line[strcspn(line, "\n")] = 0;
  return arena_strdup(x->a, line);
}

/* Does $CC compile for the target? */
static bool cc_fits(Arena *a, const char *triple) {
  Args x = { .a = a };
  args_split(&x, getenv("CC"));
  if (!x.v.n) return false;
  arg(&x, "-dumpmachine");
  return strcmp(triple_canonical(a, first_line(&x)), triple) == 0;
}

bool tools_find(Arena *a, const char *triple, Tools *to) {
  static const char *const variable[] = { "CC", "OBJCOPY", "AR" };
  static const char *const host[] = { "cc", "objcopy", "ar" };
  static const char *const cross[] = { "gcc", "objcopy", "ar" };
  bool native = target_is_host(triple);
  bool environment = native || cc_fits(a, triple);
  *to = (Tools){ 0 };
  for (int i = 0; i < TOOL_COUNT; i++) {
    Args *x = &to->tool[i];
    x->a = a;
    if (environment) args_split(x, getenv(variable[i]));
    if (!x->v.n)
      arg(x, native ? host[i] : arena_printf(a, "%s-%s", triple, cross[i]));
    if (!program_found(a, x->v.at[0])) {
      to->missing = x->v.at[0];
      return false;
    }
  }
  return true;
}

void tool_args(Args *x, const Tools *t, Tool tool) {
  for (size_t i = 0; i < t->tool[tool].v.n; i++)
    arg(x, t->tool[tool].v.at[i]);
}
