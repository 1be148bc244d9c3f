/* sweep.c - see sweep.h. */
#include "bench/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "bench/quiet.h"
#include "bench/tool.h"

static Contestant pair[2];              /* dense, sparse */

static double ratio(int rounds) {
  measure(pair, 2, rounds);
  return pair[1].median / pair[0].median;
}

static void contestant(Contestant *c, Ours *l) {
  memset(c, 0, sizeof *c);
  c->job = l;
  c->ready = ours_ready;
  c->run = ours_run;
}

static bool cell(const Maker *b, const Shape *s, const char *pattern,
                 int density, int rounds, const float *x) {
  double v[4];
  int n = 1;
  Ours *l = ours_open(b, s, pattern, 100 - density, false, x);
  if (!l) return false;
  contestant(&pair[1], l);
  v[0] = ratio(rounds);
  if (v[0] > 1.05)
    for (; n < 4; n++) v[n] = ratio(rounds);
  printf("{\"sweep\":\"%s\",\"net\":\"%s\",\"op\":\"%s\",\"c\":%ld,"
         "\"h\":%ld,\"w\":%ld,\"o\":%ld,\"k\":%ld,\"stride\":%ld,"
         "\"density\":%d,\"kernel\":\"%s\",\"ratio\":%.3f,\"times\":%d,"
         "\"kept\":%d}\n", pattern, s->net, s->op, s->c, s->h, s->w, s->o,
         s->k, s->stride, density, l->kernel, median_of(v, n), n,
         pair[0].kept < pair[1].kept ? pair[0].kept : pair[1].kept);
  ours_close(l);
  fflush(stdout);
  return true;
}

bool sweep(const Maker *b, const Shape *s, int rounds, bool build_only) {
  static const char *const patterns[] = {"unstructured", "4x1"};
  if (s->groups > 1) return true;
  bool ok = ours_build(b, s, "dense", 0, true);
  float *x = x_draw(s);
  Ours *dense = build_only || !ok ? NULL
                                  : ours_open(b, s, "dense", 0, true, x);
  ok &= build_only || dense;
  if (dense) contestant(&pair[0], dense);
  for (int p = 0; ok && p < 2; p++)
    for (int density = 5; density <= 100; density += 5)
      ok &= build_only ? ours_build(b, s, patterns[p], 100 - density, false)
                       : cell(b, s, patterns[p], density, rounds, x);
  if (dense) ours_close(dense);
  free(x);
  return ok;
}
