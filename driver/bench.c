/* bench.c - `tamis bench`: latency of one call, as a whole or layer by
 * layer. */
#include "driver/report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Results of calls are there already: no layers. */
static bool is_layer(const tamis_step *s) {
  return strcmp(s->op, "item") != 0;
}

/* Path of the layer, with the place it came from when it has none. */
static const char *layer_name(const tamis_step *s) {
  return *s->path ? s->path : s->origin;
}

/* The first step of the same layer and kernel: a layer that is done by strips
 * of rows has several. */
static uint32_t layer_first(const tamis_model *m, uint32_t i) {
  const tamis_step *s = &m->steps[i];
  for (uint32_t k = 0; k < i && *s->path; k++)
    if (strcmp(m->steps[k].path, s->path) == 0 &&
        strcmp(m->steps[k].op, s->op) == 0 &&
        strcmp(m->steps[k].kernel, s->kernel) == 0)
      return k;
  return i;
}

/* By the first step of a layer: the medians of all its steps, in ms. */
static double *layers_ms(const tamis_model *m, Times *t) {
  double *ms = calloc(m->n_steps + 1, sizeof *ms);
  ensure(ms);
  for (uint32_t i = 0; i < m->n_steps; i++)
    ms[layer_first(m, i)] += median(t->layer + i * t->runs, t->runs);
  return ms;
}

static bool is_shown(const tamis_model *m, uint32_t i) {
  return is_layer(&m->steps[i]) && layer_first(m, i) == i;
}

static void print_json(const tamis_model *m, Times *t, double med,
                       bool layers) {
  json_t *j = json_pack("{s:s, s:f, s:f, s:f, s:I}", "model", m->name,
                        "median_ms", med, "min_ms", t->total[0], "max_ms",
                        t->total[t->runs - 1], "runs", (json_int_t)t->runs);
  if (layers) {
    json_t *list = json_array();
    double *ms = layers_ms(m, t);
    for (uint32_t i = 0; i < m->n_steps; i++)
      if (is_shown(m, i)) json_array_append_new(list, json_pack(
        "{s:o, s:s, s:f}", "name", json_text(layer_name(&m->steps[i])),
        "kernel", m->steps[i].kernel, "ms", ms[i]));
    free(ms);
    json_object_set_new(j, "layers", list);
  }
  json_dumpf(j, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
  putchar('\n');
  json_decref(j);
}

static void print_text(const tamis_model *m, Times *t, double med,
                       bool layers) {
  printf("%s: median %.4f ms, min %.4f, max %.4f, %zu runs\n", m->name, med,
         t->total[0], t->total[t->runs - 1], t->runs);
  if (!layers) return;
  double sum = 0, *ms = layers_ms(m, t);
  for (uint32_t i = 0; i < m->n_steps; i++) sum += ms[i];
  printf("%10s %6s  %-24s %s\n", "ms", "share", "kernel", "layer");
  for (uint32_t i = 0; i < m->n_steps; i++)
    if (is_shown(m, i)) printf("%10.4f %5.1f%%  %-24s %s\n", ms[i],
           sum > 0 ? 100 * ms[i] / sum : 0, m->steps[i].kernel,
           layer_name(&m->steps[i]));
  free(ms);
}

static bool bench(const Options *o, Diags *d, Arena *a) {
  int64_t runs = 50, warmup = 5, seed = 1;
  if ((o->runs && !option_int(d, "--runs", o->runs, 1, 1000000, &runs)) ||
      (o->warmup &&
       !option_int(d, "--warmup", o->warmup, 0, 1000000, &warmup)) ||
      (o->seed && !option_int(d, "--seed", o->seed, 0, INT64_MAX, &seed)))
    return false;
  Loaded l = {0};
  Session s;
  bool ok = artifact_of(&l, &s, o, d, a, false) &&
            artifact_inputs(a, d, o, &l, (uint64_t)seed);
  if (ok && o->layers && !l.version->steps)
    ok = diag_error_at(d, EXIT_USAGE, "--layers",
                       "%s was built with --strip: it has no steps", o->file);
  if (ok) {
    Times t = times_new(a, &l, (size_t)runs, o->layers);
    times_measure(&l, (size_t)warmup, &t);
    double med = median(t.total, t.runs);
    (o->json ? print_json : print_text)(l.version, &t, med, o->layers);
  }
  artifact_close(&l);
  session_close(&s);
  return ok;
}

int cmd_bench(const Options *o, Diags *d, Arena *a) {
  bench(o, d, a);
  return diags_exit_code(d);
}
