/* sweep.h - `tamis sweep`: a recipe at points of a range.
 *
 *   options -> points   sweep_range.c   lists of sparsity, pattern, method
 *   point   -> result   sweep_point.c   in a process of its own
 *   results -> files    sweep_out.c     table and JSON; sweep_plot.c, SVG
 *   all                 sweep.c         processes, and what is there already
 */
#ifndef TAMIS_SWEEP_H
#define TAMIS_SWEEP_H

#include <sys/types.h>

#include "driver/report.h"

/* What replaces the arguments of a recipe's prune steps; NULL and less than 0:
 * they stay. */
typedef struct Point {
  const char *recipe;        /* NULL: `prune **` alone */
  bool dense;                /* the model without a recipe */
  double sparsity;
  const char *pattern, *method;
  uint64_t key;              /* of all that the result depends on */
  struct json_t *result;     /* NULL: none yet */
  bool fast, small;          /* on the front of error against latency, size */
} Point;
typedef Vec(Point) Points;

/* The model with a recipe (or none). */
typedef struct Base {
  const char *recipe;
  Session s;
  Options o;
} Base;

typedef struct Sweep {
  const Options *o;
  pid_t pid;                 /* of the process that starts the others */
  Diags *d;
  Arena *a;
  Vec(Base *) bases;
  Points points;             /* the dense one first */
  DataOpts data;             /* no path: drawn inputs */
  Labels labels;
  uint64_t seed;
  int64_t jobs;
  const char *dir, *results; /* -o, and the folder in it */
} Sweep;

/* Fill w->points of --recipe, --sparsity, --pattern and --method. */
bool sweep_points(Sweep *w);
/* Put a point's arguments into the steps of m.  False: it cannot be, *why
 * says so. */
bool point_apply(const Sweep *w, const Point *p, Module *m,
                 const char **why);
/* The keys of all points, and how one is written. */
bool sweep_keys(Sweep *w);
const char *key_text(const Sweep *w, const Point *p);
/* A point's result; of one that cannot be its `reason`. */
struct json_t *point_compute(const Sweep *w, const Point *p);
/* The session of a point's recipe. */
Session *point_base(const Sweep *w, const Point *p);

/* A number of a result, less than 0: there is none. */
double point_number(const Point *p, const char *key);
/* What the plot has upwards: 1 - accuracy with labels, else output_error. */
double point_error(const Sweep *w, const Point *p);
/* Measured where it was, else predicted; in us. */
double point_latency(const Sweep *w, const Point *p);
/* Mark the points of which no other one has less of both. */
void sweep_fronts(Sweep *w);
void sweep_table(const Sweep *w, FILE *to);
struct json_t *sweep_json(const Sweep *w);
/* Error against latency and against size, the fronts as lines. */
void sweep_plot(const Sweep *w, FILE *to);

#endif
