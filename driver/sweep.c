/* sweep.c - `tamis sweep`: a recipe over a range of sparsity, pattern and
 * method.  Each point is worked out in a process of its own, whose result is a
 * file that a later call finds again by its key; so a sweep that was stopped
 * goes on. */
#include "driver/sweep.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MOST = 256 };

/* ---- what is asked --------------------------------------------------- */

static bool options_read(Sweep *w) {
  const Options *o = w->o;
  int64_t seed = 1;
  w->jobs = 1;
  if ((o->jobs && !option_int(w->d, "-j", o->jobs, 1, JOBS_MOST, &w->jobs)) ||
      (o->seed && !option_int(w->d, "--seed", o->seed, 0, INT64_MAX, &seed)) ||
      (o->data && !data_option(w->a, w->d, o->data, &w->data)))
    return false;
  w->seed = (uint64_t)seed;
  if (o->measure && w->jobs > 1)
    return diag_error_at(w->d, EXIT_USAGE, "--measure", "expected -j 1: "
                         "points that run at once disturb each other");
  if (o->estimate && (o->measure || o->labels))
    return diag_error_at(w->d, EXIT_USAGE, "--estimate", "runs nothing: "
                         "expected no %s with it",
                         o->measure ? "--measure" : "--labels");
  if (o->labels && !o->data)
    return diag_error_at(w->d, EXIT_USAGE, "--labels",
                         "expected --data with it");
  return true;
}

static bool base_load(Sweep *w, const char *recipe) {
  Base *b = arena_new_of(w->a, Base);
  Session *s = &b->s;
  b->recipe = recipe;
  b->o = *w->o;
  b->o.recipe = recipe;
  b->o.sparsity = NULL;
  vec_push(w->a, &w->bases, b);
  if (!session_open(s, &b->o, w->d, w->a)) return false;
  s->prune_all = !recipe;
  s->text = w->bases.at[0]->s.text;     /* standard input comes once */
  if (!session_load(s)) return false;
  const char *after = s->module->dump.after;
  if (after && strcmp(after, "parse") != 0)
    return diag_error_at(w->d, EXIT_USAGE, "sweep", "the dump %s comes behind "
                         "pass %s: expected a model", w->o->file, after);
  s->module->dump.after = "parse";
  return measure_fits(s);
}

static bool bases_load(Sweep *w) {
  for (size_t i = 0; i < w->points.n; i++) {
    const char *recipe = w->points.at[i].recipe;
    size_t k = 0;
    while (k < w->bases.n && w->bases.at[k]->recipe != recipe) k++;
    if (k == w->bases.n && !base_load(w, recipe)) return false;
  }
  return true;
}

/* The values of which the first output has one a sample's class. */
static int64_t class_count(const Sweep *w, const Samples *data) {
  const Func *f = w->bases.at[0]->s.module->funcs.at[0];
  const Type *t = &f->outputs.at[0].node->type;
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++)
    n *= i == 0 && t->free && axis_is_free(t, i) ? axis_least(t, i)
                                                 : t->dim[i];
  return n / data->each;
}

static bool labels_fit(Sweep *w, const Labels *l, int64_t classes) {
  for (int64_t i = 0; i < l->n; i++)
    if (l->at[i] < 0 || l->at[i] >= classes)
      return diag_error_at(w->d, EXIT_FILE, w->o->labels, "expected labels "
                           "from 0 to %lld, found %lld at sample %lld",
                           (long long)classes - 1, (long long)l->at[i],
                           (long long)i + 1);
  return true;
}

/* Labels are read as samples of whole numbers. */
static bool labels_read(Sweep *w, const Samples *data) {
  int64_t want = data->calls * data->each, *at;
  SampleInput in = {"labels", type_make(I64, 0, NULL)};
  SampleOpts so = {.most = w->data.samples ? want : 0};
  Samples *x = samples_open(w->a, w->d, w->o->labels, &in, 1, &so);
  if (!x) return false;
  bool ok = x->calls == want ||
            diag_error_at(w->d, EXIT_FILE, w->o->labels, "expected a label "
                          "for each of %lld samples, found %lld",
                          (long long)want, (long long)x->calls);
  at = arena_array(w->a, int64_t, (size_t)want + 1);
  for (int64_t i = 0; ok && i < want; i++)
    ok = samples_next(x, w->d, (void *[]){&at[i]});
  samples_close(x);
  w->labels = (Labels){want, at};
  return ok && labels_fit(w, &w->labels, class_count(w, data));
}

/* The data fit, before any work. */
static bool data_check(Sweep *w) {
  Session *s = &w->bases.at[0]->s;
  if (!w->data.path) return true;
  Samples *x = data_open(s, w->a, s->module, &w->data);
  bool ok = x && (!w->o->labels || labels_read(w, x));
  samples_close(x);
  return ok;
}

/* ---- results that are there ------------------------------------------ */

static bool folder_make(Sweep *w, const char *path) {
  return mkdir(path, 0777) == 0 || errno == EEXIST ||
         diag_error_at(w->d, EXIT_FILE, path, "cannot make the folder: %s",
                       strerror(errno));
}

static bool folders_make(Sweep *w) {
  w->dir = w->o->out;
  if (!w->dir) {
    w->results = folder_temporary(w->a, w->d);
    return w->results != NULL;
  }
  w->results = path_join(w->a, w->dir, "points");
  return folder_make(w, w->dir) && folder_make(w, w->results);
}

static char *result_path(const Sweep *w, const Point *p) {
  return path_join(w->a, w->results,
                   arena_printf(w->a, "%s.json", key_text(w, p)));
}

/* Is it the point's own?  Not a reason that lies in the machine, as a full
 * disk. */
static bool result_lasts(const json_t *j) {
  return !json_object_get(j, "reason") ||
         json_integer_value(json_object_get(j, "exit")) == EXIT_MODEL;
}

/* What was written for another key is none of this point's. */
static bool result_read(const Sweep *w, Point *p) {
  json_t *j = json_load_file(result_path(w, p), 0, NULL);
  const char *of = json_string_value(json_object_get(j, "key"));
  if (of && strcmp(of, key_text(w, p)) == 0) p->result = j;
  else json_decref(j);
  return p->result != NULL;
}

/* That of an earlier call. */
static bool result_find(const Sweep *w, Point *p) {
  if (result_read(w, p) && !result_lasts(p->result)) {
    json_decref(p->result);
    p->result = NULL;
  }
  return p->result != NULL;
}

/* Points with one key have one result, which is kept if it lasts. */
static bool result_take(Sweep *w, Point *p) {
  if (!result_read(w, p)) return false;
  for (size_t i = 0; i < w->points.n; i++) {
    Point *q = &w->points.at[i];
    if (q->key == p->key && !q->result) q->result = json_incref(p->result);
  }
  if (!result_lasts(p->result)) temporary_remove(result_path(w, p));
  return true;
}

static bool json_put(Diags *d, const char *path, const json_t *j) {
  OutFile f = {0};
  if (!outfile_open(&f, d, path)) return false;
  bool ok = json_dumpf(j, f.f, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0;
  fputc('\n', f.f);
  if (ok) return outfile_commit(&f, d);
  outfile_abort(&f);
  return diag_error_at(d, EXIT_FILE, path, "cannot be written");
}

/* ---- processes ------------------------------------------------------- */

typedef struct Job { pid_t pid; Point *point; } Job;

/* In the child: it ends with the sweep, whose temporary files are not its. */
NORETURN static void child(const Sweep *w, const Point *p) {
  Diags *d = diags_new();
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != w->pid) _exit(EXIT_INTERNAL);   /* it has ended already */
  if (!w->dir) temporary_forget(w->results);
  json_t *j = point_compute(w, p);
  json_object_set_new(j, "key", json_string(key_text(w, p)));
  bool ok = json_put(d, result_path(w, p), j);
  diags_print(d, stderr, false);
  json_decref(j);
  diags_free(d);
  fflush(stdout);
  _exit(ok ? EXIT_OK : EXIT_FILE);
}

static bool job_start(Sweep *w, Job *job, Point *p) {
  fflush(stdout);
  fflush(stderr);
  w->pid = getpid();
  pid_t pid = fork();
  if (pid == 0) child(w, p);
  *job = (Job){pid, p};
  return pid > 0 || diag_error_at(w->d, EXIT_FILE, "sweep", "cannot start a "
                                  "process: %s", strerror(errno));
}

/* Wait for one of n jobs, which leaves the list. */
static bool job_end(Sweep *w, Job *jobs, int64_t *n) {
  int status = 0;
  int64_t k = 0;
  pid_t pid;
  while ((pid = waitpid(-1, &status, 0)) < 0 && errno == EINTR) {}
  while (k < *n && jobs[k].pid != pid) k++;
  if (k == *n) return true;
  Point *p = jobs[k].point;
  jobs[k] = jobs[--*n];
  if (!w->dir) temporary_add(result_path(w, p));
  if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK &&
      result_take(w, p))
    return true;
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_INTERNAL;
  return diag_error_at(w->d, code == EXIT_FILE ? EXIT_FILE : EXIT_INTERNAL,
                       "sweep", "the process of a point ended with %s %d",
                       WIFEXITED(status) ? "code" : "signal",
                       WIFEXITED(status) ? code : WTERMSIG(status));
}

/* The rest is ended when one cannot go on. */
static bool points_run(Sweep *w) {
  Job jobs[JOBS_MOST];
  int64_t running = 0;
  bool ok = true;
  for (size_t i = 0; ok && i < w->points.n; i++) {
    Point *p = &w->points.at[i];
    bool again = p->result || result_find(w, p);
    for (size_t k = 0; k < i && !again; k++)    /* the same, under way */
      again = w->points.at[k].key == p->key;
    if (again) continue;
    session_progress(&w->bases.at[0]->s,
                     arena_printf(w->a, "sweep: point %zu of %zu", i + 1,
                                  w->points.n));
    ok = job_start(w, &jobs[running], p);
    running += ok;
    while (ok && running >= w->jobs) ok = job_end(w, jobs, &running);
  }
  for (int64_t k = 0; !ok && k < running; k++) kill(jobs[k].pid, SIGTERM);
  while (running > 0) {
    if (ok) ok = job_end(w, jobs, &running);
    else waitpid(jobs[--running].pid, NULL, 0);
  }
  session_progress(&w->bases.at[0]->s, NULL);
  return ok;
}

/* ---- files ----------------------------------------------------------- */

static bool results_write(Sweep *w) {
  OutFile f[2] = {{0}};
  if (!w->dir) return true;
  json_t *j = sweep_json(w);
  bool ok = json_put(w->d, path_join(w->a, w->dir, "results.json"), j) &&
            outfile_open(&f[0], w->d, path_join(w->a, w->dir, "table.txt"));
  json_decref(j);
  if (ok) sweep_table(w, f[0].f);
  if (ok && !w->o->estimate) {
    ok = outfile_open(&f[1], w->d, path_join(w->a, w->dir, "plot.svg"));
    if (ok) sweep_plot(w, f[1].f);
  }
  else if (ok)               /* that of another run */
    unlink(path_join(w->a, w->dir, "plot.svg"));
  if (ok) return outfiles_commit(f, 2, w->d);
  outfile_abort(&f[0]);
  return false;
}

/* A sweep of which nothing could be done is an error. */
static bool any_done(Sweep *w) {
  const json_t *first = NULL;
  for (size_t i = 1; i < w->points.n; i++) {
    const json_t *r = w->points.at[i].result;
    if (!json_object_get(r, "reason")) return true;
    if (!first) first = r;
  }
  const char *why = json_string_value(json_object_get(first, "reason"));
  int64_t code = json_integer_value(json_object_get(first, "exit"));
  return diag_error_at(w->d, code > 0 ? (int)code : EXIT_MODEL, "sweep",
                       "no point can be: %s", why ? why : "there is none");
}

static void sweep_close(Sweep *w) {
  for (size_t i = 0; i < w->points.n; i++) {
    if (w->results && !w->dir)
      temporary_remove(result_path(w, &w->points.at[i]));
    json_decref(w->points.at[i].result);
  }
  if (w->results && !w->dir) temporary_remove(w->results);
  for (size_t i = 0; i < w->bases.n; i++) session_close(&w->bases.at[i]->s);
}

int cmd_sweep(const Options *o, Diags *d, Arena *a) {
  Sweep w = {.o = o, .d = d, .a = a};
  bool ok = options_read(&w) && sweep_points(&w) && bases_load(&w) &&
            data_check(&w) && sweep_keys(&w) && folders_make(&w) &&
            points_run(&w);
  if (ok) {
    sweep_fronts(&w);
    sweep_table(&w, stdout);
    ok = results_write(&w) && any_done(&w);
  }
  sweep_close(&w);
  return diags_exit_code(d);
}
