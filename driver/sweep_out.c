/* sweep_out.c - what a sweep found: fronts, the table, JSON. */
#include "driver/sweep.h"

#include <jansson.h>
#include <string.h>

double point_number(const Point *p, const char *key) {
  const json_t *v = p->result ? json_object_get(p->result, key) : NULL;
  return v && json_is_number(v) ? json_number_value(v) : -1;
}

double point_error(const Sweep *w, const Point *p) {
  double accuracy = point_number(p, "accuracy");
  if (w->labels.n) return accuracy < 0 ? -1 : 1 - accuracy;
  return point_number(p, "output_error");
}

double point_latency(const Sweep *w, const Point *p) {
  return point_number(p, w->o->measure ? "measured_us" : "predicted_us");
}

/* ---- fronts ---------------------------------------------------------- */

static bool less_of_both(const Sweep *w, const Point *x, const Point *y,
                         bool latency) {
  double ex = point_error(w, x), ey = point_error(w, y);
  double cx = latency ? point_latency(w, x) : point_number(x, "bytes");
  double cy = latency ? point_latency(w, y) : point_number(y, "bytes");
  return ex >= 0 && cx >= 0 && ex <= ey && cx <= cy && (ex < ey || cx < cy);
}

static bool on_front(const Sweep *w, const Point *p, bool latency) {
  if (point_error(w, p) < 0) return false;
  for (size_t i = 0; i < w->points.n; i++)
    if (less_of_both(w, &w->points.at[i], p, latency)) return false;
  return true;
}

void sweep_fronts(Sweep *w) {
  for (size_t i = 0; i < w->points.n; i++) {
    Point *p = &w->points.at[i];
    p->fast = on_front(w, p, true);
    p->small = on_front(w, p, false);
  }
}

/* ---- table ----------------------------------------------------------- */

static const char *reason(const Point *p) {
  return json_string_value(json_object_get(p->result, "reason"));
}

static void cell(FILE *to, int width, const char *form, double v) {
  char text[32] = "-";
  if (v >= 0) snprintf(text, sizeof text, form, v);
  fprintf(to, " %*s", width, text);
}

static void point_row(const Sweep *w, const Point *p, FILE *to) {
  double weights = point_number(p, "weights");
  fprintf(to, "%-14s %-10s %-13s", p->dense ? "(dense)" : p->recipe
                                     ? p->recipe : "prune **",
          p->method ? p->method : "-", p->pattern ? p->pattern : "-");
  cell(to, 8, "%.4g", p->sparsity);
  if (reason(p)) {
    fprintf(to, "  %s\n", reason(p));
    return;
  }
  cell(to, 8, "%.4f", weights > 0 ? point_number(p, "nonzeros") / weights
                                  : -1);
  cell(to, 12, "%.5g", point_number(p, "output_error"));
  cell(to, 9, "%.4f", point_number(p, "accuracy"));
  cell(to, 12, "%.4g", point_number(p, "predicted_us"));
  if (w->o->measure) cell(to, 12, "%.4g", point_number(p, "measured_us"));
  cell(to, 12, "%.0f", point_number(p, "bytes"));
  cell(to, 14, "%.0f", point_number(p, "nonzero_macs"));
  fprintf(to, "%s%s%s\n", p->fast || p->small ? "  " : "",
          p->fast ? "fast" : "",
          p->small ? p->fast ? ", small" : "small" : "");
}

void sweep_table(const Sweep *w, FILE *to) {
  fprintf(to, "%-14s %-10s %-13s %8s %8s %12s %9s %12s", "recipe", "method",
          "pattern", "sparsity", "density", "output error", "accuracy",
          "predicted us");
  if (w->o->measure) fprintf(to, " %12s", "measured us");
  fprintf(to, " %12s %14s  %s\n", "bytes", "nonzero MACs", "front");
  for (size_t i = 0; i < w->points.n; i++)
    point_row(w, &w->points.at[i], to);
}

/* ---- JSON ------------------------------------------------------------ */

static json_t *word(const char *s) {
  return s ? json_text(s) : json_null();
}

static json_t *point_json(const Sweep *w, const Point *p) {
  json_t *j = json_pack(
    "{s:o, s:b, s:o, s:o, s:o, s:s, s:b, s:b}", "recipe", word(p->recipe),
    "dense", p->dense, "method", word(p->method), "pattern",
    word(p->pattern), "sparsity",
    p->sparsity < 0 ? json_null() : json_real(p->sparsity), "key",
    key_text(w, p),
    "fast", p->fast, "small", p->small);
  ensure(j);
  json_object_update(j, p->result);
  return j;
}

json_t *sweep_json(const Sweep *w) {
  const Session *s = &w->bases.at[0]->s;
  json_t *points = json_array();
  for (size_t i = 0; i < w->points.n; i++)
    json_array_append_new(points, point_json(w, &w->points.at[i]));
  json_t *j = json_pack(
    "{s:s, s:s, s:s, s:o, s:I, s:b, s:b, s:o}", "model", s->module->name,
    "target", s->target.triple, "cpu", s->target.cpu, "data",
    word(w->data.path), "labels", (json_int_t)w->labels.n, "measured",
    w->o->measure, "estimate", w->o->estimate, "points", points);
  ensure(j);
  return j;
}
