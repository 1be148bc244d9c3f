/* layers.c - single layers: artifacts of Tamis beside peers, in turn.
 *
 *   layers --tamis=TAMIS --dir=DIR [--peers=DIR] [--net=NET] [--rounds=15]
 *          [--pattern=P] [--cpu=CPU] [--turn=FILE] [--build=I/N] [--sweep]
 *          SHAPES
 *
 * Each layer of SHAPES (bench/shapes.txt) is timed dense and with zeros, by
 * one thread, without the copies into a kernel's layout, which a net has at
 * its ends alone; peers get the layouts that they prefer.  Outputs are
 * compared with a plain sum in double precision first; who computes
 * something else is reported as wrong.  One JSON object a line.
 * --pattern takes dense weights and one pattern alone.
 * --build makes the artifacts of every Nth layer in DIR and times nothing.
 * --sweep times zeros of all densities against dense weights (sweep.h).
 * --cpu is what Tamis compiles for; under held.c the last line says what its
 * looks found.  A layer is timed with FILE locked: others may do the same. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "bench/ours.h"
#include "bench/quiet.h"
#include "bench/sweep.h"
#include "bench/tool.h"

enum { PEERS_MOST = 16, CONTESTANTS_MOST = 64, VARIANTS_MOST = 16 };

/* Of the largest element of y. */
static const double tolerance = 1e-4;

typedef struct Variant { const char *pattern; int zeros; } Variant;

static const Variant variants[] = {
  {"dense", 0},
  {"unstructured", 70}, {"unstructured", 80}, {"unstructured", 90},
  {"unstructured", 95},
  {"4x1", 70}, {"4x1", 80}, {"4x1", 90}, {"4x1", 95},
  {"2:4", 50},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

typedef struct Options {
  Maker maker;
  const char *peers, *net, *pattern, *shapes;
  int rounds, part, parts, turn;        /* the locked file, or -1 */
  bool sweep;
} Options;

/* ---- peers ----------------------------------------------------------- */

static const char *const libraries[] = {"dnnl", "xnnpack", "openblas",
                                        "xsmm"};

static const Peer *peer[PEERS_MOST];
static int n_peers;

/* What DIR/NAME.why says, which peers.sh wrote. */
static void why_skipped(const char *dir, const char *name, const char *error,
                        char *why, size_t size) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s.why", dir, name);
  FILE *f = fopen(path, "r");
  if (!f || !fgets(why, (int)size, f)) snprintf(why, size, "%s", error);
  if (f) fclose(f);
  why[strcspn(why, "\n\"\\")] = 0;
}

static void peers_open(const char *dir) {
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    char path[512], why[256];
    snprintf(path, sizeof path, "%s/peer_%s.so", dir, libraries[i]);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const Peer *p = handle ? dlsym(handle, "peers") : NULL;
    if (!p) {
      why_skipped(dir, libraries[i], dlerror(), why, sizeof why);
      printf("{\"peer\":\"%s\",\"skipped\":\"%s\"}\n", libraries[i], why);
    }
    for (; p && p->name && n_peers < PEERS_MOST; p++) {
      peer[n_peers++] = p;
      printf("{\"peer\":\"%s\",\"version\":\"%s\"}\n", p->name, p->version());
    }
  }
}

/* ---- one layer ------------------------------------------------------- */

typedef struct Row {
  Contestant c[CONTESTANTS_MOST];
  const Peer *by[CONTESTANTS_MOST];     /* NULL: ours */
  float *w[VARIANTS];
  int n;
} Row;

static bool variant_fits(const Options *o, const Shape *s, const Variant *v) {
  long in = s->c / s->groups;
  if (strcmp(v->pattern, "dense") == 0) return true;
  if (o->pattern && strcmp(v->pattern, o->pattern) != 0) return false;
  if (s->groups > 1) return false;
  return strcmp(v->pattern, "2:4") != 0 || in % 4 == 0;
}

static Contestant *row_add(Row *r, const Variant *v, const char *who,
                           const Peer *by) {
  Contestant *c = &r->c[r->n];
  memset(c, 0, sizeof *c);
  c->who = who;
  c->pattern = v->pattern;
  c->zeros = v->zeros;
  r->by[r->n++] = by;
  return c;
}

static void ours_add(Row *r, const Options *o, const Shape *s,
                     const Variant *v, const float *x) {
  Contestant *c = row_add(r, v, "Tamis", NULL);
  Ours *l = ours_open(&o->maker, s, v->pattern, v->zeros, false, x);
  c->job = l;
  c->ready = ours_ready;
  c->run = ours_run;
  c->flush = ours_flush;
  if (l) snprintf(c->kernel, sizeof c->kernel, "%s", l->kernel);
  else snprintf(c->why, sizeof c->why, "does not compile");
}

static void peer_add(Row *r, const Peer *p, const Shape *s, const Variant *v,
                     const float *w, const float *x) {
  const char *why = "";
  Contestant *c = row_add(r, v, p->name, p);
  c->job = p->prepare(s, w, x, &why);
  c->run = p->run;
  c->flush = p->flush;
  snprintf(c->why, sizeof c->why, "%s", why);
}

static void contestant_close(Contestant *c, const Peer *by) {
  if (c->job) (by ? by->release : ours_close)(c->job);
  c->job = NULL;
}

static void check(Row *r, int from, const Shape *s, const float *want) {
  float *y = calloc((size_t)y_count(s), sizeof *y);
  for (int i = from; i < r->n; i++) {
    Contestant *c = &r->c[i];
    if (!c->job) continue;
    c->run(c->job);
    (r->by[i] ? r->by[i]->result : ours_result)(c->job, y);
    c->error = error_of(y, want, y_count(s));
    if (c->error <= tolerance) continue;
    snprintf(c->why, sizeof c->why, "wrong: off by %.2g", c->error);
    contestant_close(c, r->by[i]);
  }
  free(y);
}

static void print(const Shape *s, const Contestant *c) {
  printf("{\"net\":\"%s\",\"op\":\"%s\",\"c\":%ld,\"h\":%ld,\"w\":%ld,"
         "\"o\":%ld,\"k\":%ld,\"stride\":%ld,\"groups\":%ld,\"who\":\"%s\","
         "\"pattern\":\"%s\",\"zeros\":%d", s->net, s->op, s->c, s->h, s->w,
         s->o, s->k, s->stride, s->groups, c->who, c->pattern, c->zeros);
  if (!c->job) {
    printf(",\"skipped\":\"%s\"}\n", c->why);
    return;
  }
  if (c->kernel[0]) printf(",\"kernel\":\"%s\"", c->kernel);
  printf(",\"us\":%.3f,\"least_us\":%.3f,\"kept\":%d,\"rounds\":%d,"
         "\"error\":%.2g", c->median / 1e3, c->least / 1e3, c->kept,
         c->rounds, c->error);
  if (c->cold > 0) printf(",\"cold_us\":%.3f", c->cold / 1e3);
  printf("}\n");
}

static void turn_take(const Options *o, int how) {
  if (o->turn >= 0 && flock(o->turn, how) != 0) perror("layers: --turn");
}

static void layer(const Options *o, const Shape *s) {
  static Row r;
  float *x = x_draw(s);
  r.n = 0;
  for (int v = 0; v < VARIANTS; v++) {
    r.w[v] = NULL;
    if (!variant_fits(o, s, &variants[v])) continue;
    bool dense = variants[v].zeros == 0;
    bool drawn = strcmp(variants[v].pattern, "unstructured") == 0;
    int from = r.n;
    r.w[v] = weights_draw(s, variants[v].pattern, variants[v].zeros);
    ours_add(&r, o, s, &variants[v], x);
    for (int i = 0; i < n_peers; i++)
      if (peer[i]->sparse ? drawn : dense)
        peer_add(&r, peer[i], s, &variants[v], r.w[v], x);
    float *want = reference(s, r.w[v], x);
    check(&r, from, s, want);
    free(want);
  }
  turn_take(o, LOCK_EX);
  measure(r.c, r.n, o->rounds);
  if (is_linear(s) && s->h == 1) measure_cold(r.c, r.n, o->rounds);
  turn_take(o, LOCK_UN);
  for (int i = 0; i < r.n; i++) {
    print(s, &r.c[i]);
    contestant_close(&r.c[i], r.by[i]);
  }
  for (int v = 0; v < VARIANTS; v++) free(r.w[v]);
  free(x);
  fflush(stdout);
}

static void held_print(void) {
  const unsigned long *n = dlsym(RTLD_DEFAULT, "held_samples");
  if (n) printf("{\"held\":[%lu,%lu]}\n", n[0], n[1]);
}

static bool layer_build(const Options *o, const Shape *s) {
  bool ok = true;
  for (int v = 0; v < VARIANTS; v++)
    if (variant_fits(o, s, &variants[v]))
      ok &= ours_build(&o->maker, s, variants[v].pattern, variants[v].zeros,
                       false);
  return ok;
}

static bool build(const Options *o, const Shape *s) {
  return o->sweep ? sweep(&o->maker, s, o->rounds, true) : layer_build(o, s);
}

static bool times(const Options *o, const Shape *s) {
  fprintf(stderr, "%s %s %ldx%ldx%ld to %ld k%ld s%ld\n", s->net, s->op,
          s->c, s->h, s->w, s->o, s->k, s->stride);
  if (!o->sweep) {
    layer(o, s);
    return true;
  }
  turn_take(o, LOCK_EX);
  bool ok = sweep(&o->maker, s, o->rounds, false);
  turn_take(o, LOCK_UN);
  return ok;
}

/* ---- command line ---------------------------------------------------- */

static bool options_read(Options *o, int argc, char **argv) {
  *o = (Options){.rounds = 15, .turn = -1};
  for (int i = 1; i < argc; i++) {
    const char *v;
    if ((v = option(argv[i], "--tamis="))) o->maker.tamis = v;
    else if ((v = option(argv[i], "--dir="))) o->maker.dir = v;
    else if ((v = option(argv[i], "--peers="))) o->peers = v;
    else if ((v = option(argv[i], "--net="))) o->net = v;
    else if ((v = option(argv[i], "--pattern="))) o->pattern = v;
    else if ((v = option(argv[i], "--rounds="))) o->rounds = atoi(v);
    else if ((v = option(argv[i], "--cpu="))) o->maker.cpu = v;
    else if ((v = option(argv[i], "--turn=")))
      o->turn = open(v, O_RDONLY | O_CREAT | O_CLOEXEC, 0666);
    else if ((v = option(argv[i], "--build=")))
      sscanf(v, "%d/%d", &o->part, &o->parts);
    else if (strcmp(argv[i], "--sweep") == 0) o->sweep = true;
    else o->shapes = argv[i];
  }
  return o->shapes && o->maker.tamis && o->maker.dir && o->rounds > 0 &&
         o->rounds <= ROUNDS_MOST;
}

int main(int argc, char **argv) {
  Options o;
  Shape s;
  bool ok = true;
  if (!options_read(&o, argc, argv)) {
    fprintf(stderr, "usage: layers [options] SHAPES (see layers.c)\n");
    return 2;
  }
  FILE *f = fopen(o.shapes, "r");
  if (!f) return 3;
  setenv("OMP_NUM_THREADS", "1", 1);
  if (o.peers && !o.sweep && !o.parts) peers_open(o.peers);
  for (int i = 0; shape_read(f, &s); i++) {
    if (o.net && strcmp(o.net, s.net) != 0) continue;
    if (o.parts && i % o.parts != o.part) continue;
    ok &= o.parts ? build(&o, &s) : times(&o, &s);
  }
  fclose(f);
  held_print();
  return ok ? 0 : 1;
}
