/* quiet.c - see quiet.h.  The probe is plain arithmetic in registers, enough
 * chains of it to fill the units: what slows it is a neighbour on the core
 * or a lower clock, never our data. */
#include "bench/quiet.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/tool.h"

enum { QUIET_MOST = 64 * ROUNDS_MOST };

/* The probe's time on a quiet core, of the samples that are compared. */
static double quiet_ns = INFINITY;

static double probe_ns(void) {
  enum { CHAINS = 8, STEPS = 4000 };
  static double v[CHAINS];      /* kept, so that the work is not left out */
  double u[CHAINS], t = now_ns();
  memcpy(u, v, sizeof u);
  for (int k = 0; k < STEPS; k++)
    for (int i = 0; i < CHAINS; i++) u[i] = u[i] * 0.999 + 0.5;
  memcpy(v, u, sizeof v);
  return now_ns() - t;
}

static bool is_quiet(double slow) { return slow <= 1.1 * quiet_ns; }

/* How often the core was taken away from this thread. */
static long losses(void) {
  struct rusage u;
  getrusage(RUSAGE_THREAD, &u);
  return u.ru_nivcsw;
}

/* A sample, and the probe's time before or after it; infinite if the system
 * took the core away. */
static double sample_ns(Contestant *c, double *slow) {
  if (c->ready) c->ready(c->job);
  c->run(c->job);
  long lost = losses();
  double before = probe_ns(), t = now_ns();
  for (long i = 0; i < c->reps; i++) c->run(c->job);
  t = now_ns() - t;
  *slow = fmax(before, probe_ns());
  if (losses() != lost) *slow = INFINITY;
  return t / (double)c->reps;
}

static void reps_choose(Contestant *c, double sample_ms) {
  double slow;
  c->reps = 1;
  double t = fmin(sample_ns(c, &slow), sample_ns(c, &slow));
  c->reps = 1 + (long)(1e6 * sample_ms / t);
}

static int kept_count(const Contestant *c) {
  int n = 0;
  for (int i = 0; i < c->rounds; i++) n += is_quiet(c->slow[i]);
  return n;
}

/* Without a quiet sample the median of all, of 0 kept. */
static void conclude(Contestant *c) {
  double v[ROUNDS_MOST];
  int n = 0;
  c->kept = kept_count(c);
  for (int i = 0; i < c->rounds; i++)
    if (!c->kept || is_quiet(c->slow[i])) v[n++] = c->ns[i];
  c->median = median_of(v, n);
  c->least = v[0];
}

/* A quiet core: the probe's least time of these samples, but for one in
 * twenty.  The clock of a server wanders over minutes by more than a tenth;
 * who is compared was sampled in turn. */
static void quiet_find(const Contestant *c, int n) {
  static double v[QUIET_MOST];
  int k = 0;
  for (int i = 0; i < n; i++)
    for (int r = 0; c[i].job && r < c[i].rounds && k < QUIET_MOST; r++)
      v[k++] = c[i].slow[r];
  if (k) median_of(v, k);
  quiet_ns = k ? v[k / 20] : INFINITY;
}

void measure(Contestant *c, int n, int rounds) {
  int most = 4 * rounds > ROUNDS_MOST ? ROUNDS_MOST : 4 * rounds;
  for (int i = 0; i < n; i++) {
    c[i].rounds = 0;
    if (c[i].job) reps_choose(&c[i], 1);
  }
  for (int r = 0; r < most; r++) {
    bool enough = r >= rounds;
    if (enough) quiet_find(c, n);
    for (int i = 0; i < n; i++) {
      if (!c[i].job) continue;
      if (r >= rounds && kept_count(&c[i]) >= rounds) continue;
      enough = false;
      c[i].ns[c[i].rounds] = sample_ns(&c[i], &c[i].slow[c[i].rounds]);
      c[i].rounds++;
    }
    if (enough) break;
  }
  quiet_find(c, n);
  for (int i = 0; i < n; i++)
    if (c[i].job) conclude(&c[i]);
}

static double cold_ns(const Contestant *c, double *slow) {
  if (c->ready) c->ready(c->job);
  double before = probe_ns();
  c->flush(c->job, flush_lines);
  flush_wait();
  double t = now_ns();
  c->run(c->job);
  t = now_ns() - t;
  *slow = fmax(before, probe_ns());
  return t;
}

void measure_cold(Contestant *c, int n, int rounds) {
  for (int r = 0; r < rounds; r++)
    for (int i = 0; i < n; i++)
      if (c[i].job && c[i].flush) c[i].ns[r] = cold_ns(&c[i], &c[i].slow[r]);
  for (int i = 0; i < n; i++) {
    Contestant all = c[i];
    if (!c[i].job || !c[i].flush) continue;
    all.rounds = rounds;
    conclude(&all);
    c[i].cold = all.median;
  }
}
