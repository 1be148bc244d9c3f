/* random_graphs.c - random models, compiled and run, against the reference
 * evaluator:
 *   random_graphs [--seed=S] [--count=N] [--batch=B] [--cpu=NAME]
 *                 [--target=TRIPLE --runner=COMMAND] [--jobs=J]
 *                 [--weight-type=TYPE] [--keep] [-v]
 * checks the models of seeds S .. S+N-1 (tests/gen).  Each goes through all
 * passes, with a round trip through text behind one of them (every fourth
 * model: behind each); a batch of them is linked into one shared object.  Integral models must agree bit for
 * bit, others within the error bound of errorbound.h.  Models for another
 * target are called by the runner (runner.c), which COMMAND starts. */
#include "tests/run/random_graphs.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void usage(const char *found) {
  fprintf(stderr, "random_graphs: expected --seed=S, --count=N, --batch=B, "
          "--cpu=NAME, --target=TRIPLE, --runner=COMMAND, --jobs=J, "
          "--weight-type=f16 or bf16, --keep or -v, found %s\n", found);
  exit(EXIT_USAGE);
}

static bool number(const char *arg, const char *name, uint64_t *to) {
  size_t n = strlen(name);
  if (strncmp(arg, name, n) != 0) return false;
  char *end;
  *to = strtoull(arg + n, &end, 10);
  if (!arg[n] || *end) usage(arg);
  return true;
}

static void options_read(GraphOpts *o, int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *arg = argv[i];
    if (number(arg, "--seed=", &o->seed) ||
        number(arg, "--count=", &o->count) ||
        number(arg, "--batch=", &o->batch) ||
        number(arg, "--jobs=", &o->jobs))
      continue;
    if (strncmp(arg, "--cpu=", 6) == 0) o->cpu = arg + 6;
    else if (strncmp(arg, "--target=", 9) == 0) o->target = arg + 9;
    else if (strncmp(arg, "--runner=", 9) == 0) o->runner = arg + 9;
    else if (strcmp(arg, "--weight-type=f16") == 0) o->weight_type = F16;
    else if (strcmp(arg, "--weight-type=bf16") == 0) o->weight_type = BF16;
    else if (strcmp(arg, "--keep") == 0) o->keep = true;
    else if (strcmp(arg, "-v") == 0) o->verbose = true;
    else usage(arg);
  }
  if (o->batch == 0 || o->jobs == 0) usage("0");
  if (o->target && !o->runner) usage("--target without --runner");
}

/* ---- which model failed, when the compiler or its code does ---------- */

static volatile uint64_t current;   /* the seed at work */
static const char *volatile doing = "starting";

void progress(uint64_t seed, const char *what) {
  current = seed;
  doing = what;
}

static void tell(void) {
  char line[128];
  int n = snprintf(line, sizeof line, "random_graphs: died at --seed=%llu, "
                   "%s\n", (unsigned long long)current, doing);
  if (write(2, line, (size_t)n) < 0) _exit(1);
}

static void on_signal(int sig) {
  tell();
  signal(sig, SIG_DFL);
  raise(sig);
}

static void on_exit_(void) {
  if (doing) tell();
}

/* ---- batches --------------------------------------------------------- */

/* Every jobs-th batch, beginning with number `job`. */
static bool work(const GraphOpts *o, uint64_t job) {
  GraphStats s = {0};
  bool ok = true;
  atexit(on_exit_);
  for (uint64_t at = job * o->batch; at < o->count; at += o->jobs * o->batch) {
    uint64_t left = o->count - at;
    uint64_t n = left < o->batch ? left : o->batch;
    ok = batch_check(o, o->seed + at, n, &s) && ok;
  }
  doing = NULL;
  printf("%llu models (%llu integral) with %llu functions and %llu states, "
         "%llu outputs, %llu of %llu elements "
         "without a bound; worst error %.2f of its bound\n"
         "seconds: load %.1f passes %.1f emit %.1f link %.1f reference %.1f "
         "run %.2f\n",
         (unsigned long long)s.models, (unsigned long long)s.integral,
         (unsigned long long)(s.entries - s.models),
         (unsigned long long)s.states,
         (unsigned long long)s.outputs, (unsigned long long)s.unbounded,
         (unsigned long long)s.elements, s.worst, s.load, s.passes, s.emit,
         s.link, s.reference, s.run);
  fflush(stdout);
  return ok;
}

/* One process a job; all must end well. */
static bool fork_jobs(const GraphOpts *o) {
  bool ok = true;
  for (uint64_t j = 0; j < o->jobs; j++) {
    pid_t pid = fork();
    if (pid < 0) perror("random_graphs: fork");
    if (pid == 0) exit(work(o, j) ? 0 : 1);
    ok = ok && pid > 0;
  }
  int status;
  while (wait(&status) > 0)
    ok = ok && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return ok;
}

int main(int argc, char **argv) {
  GraphOpts o = {.seed = 1, .count = 100, .batch = 50, .jobs = 1};
  options_read(&o, argc, argv);
  static const int deaths[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
  for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++)
    signal(deaths[i], on_signal);
  bool ok = o.jobs > 1 ? fork_jobs(&o) : work(&o, 0);
  return ok ? 0 : 1;
}
