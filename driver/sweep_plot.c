/* sweep_plot.c - the points of a sweep as SVG: error against latency and
 * against size; those of a method and pattern have a colour, the front is a
 * line. */
#include "driver/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEFT = 70, TOP = 40, WIDE = 380, HIGH = 280, GAP = 90, COLOURS = 8 };
static const char *const colours[COLOURS] = {
  "#1b7f79", "#d1495b", "#6a4c93", "#e07b39", "#2e6fbb", "#7a8b1f", "#8d5524",
  "#5c677d",
};

/* A panel: what lies to the right, up to `most`. */
typedef struct Panel {
  const Sweep *w;
  Text *out;
  bool latency;
  double x0, most, top;
} Panel;

static double across(const Panel *a, const Point *p) {
  return a->latency ? point_latency(a->w, p) : point_number(p, "bytes");
}

static double px(const Panel *a, double v) {
  return a->x0 + WIDE * v / a->most;
}

static double py(const Panel *a, double v) {
  return TOP + HIGH - HIGH * v / a->top;
}

/* 1, 2 or 5 times a power of ten, of which about five reach `most`. */
static double tick_step(double most) {
  double unit = pow(10, floor(log10(most / 5))), part = most / 5 / unit;
  return unit * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static void label(Text *out, double x, double y, const char *anchor,
                  const char *s) {
  text_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y,
              anchor);
  text_xml(out, s);
  text_puts(out, "</text>\n");
}

static void line(Text *out, double x1, double y1, double x2, double y2,
                 const char *class) {
  text_printf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
              "y2=\"%.1f\"/>\n", class, x1, y1, x2, y2);
}

static void axes(const Panel *a) {
  char text[32];
  double bottom = TOP + HIGH, step = tick_step(a->most);
  for (double v = 0; v <= a->most * 1.0001; v += step) {
    snprintf(text, sizeof text, "%g", v);
    line(a->out, px(a, v), TOP, px(a, v), bottom, "grid");
    label(a->out, px(a, v), bottom + 16, "middle", text);
  }
  step = tick_step(a->top);
  for (double v = 0; v <= a->top * 1.0001; v += step) {
    snprintf(text, sizeof text, "%g", v);
    line(a->out, a->x0, py(a, v), a->x0 + WIDE, py(a, v), "grid");
    label(a->out, a->x0 - 6, py(a, v) + 4, "end", text);
  }
  label(a->out, a->x0 + WIDE / 2, bottom + 36, "middle",
        !a->latency ? "bytes of weights"
        : a->w->o->measure ? "latency, measured, \xc2\xb5s"
                           : "latency, predicted, \xc2\xb5s");
  label(a->out, a->x0, TOP - 12, "start",
        a->w->labels.n ? "1 - accuracy" : "output error");
}

/* ---- points ---------------------------------------------------------- */

/* Points of one recipe, method and pattern. */
static const char *series_name(const Sweep *w, const Point *p) {
  if (p->dense) return "dense";
  return arena_printf(w->a, "%s%s%s%s%s", p->recipe ? p->recipe : "prune **",
                      p->method ? ", " : "", p->method ? p->method : "",
                      p->pattern ? ", " : "", p->pattern ? p->pattern : "");
}

typedef Vec(const char *) Names;

static Names series_all(const Sweep *w) {
  Names all = {0};
  for (size_t i = 0; i < w->points.n; i++) {
    const char *name = series_name(w, &w->points.at[i]);
    size_t k = 0;
    while (k < all.n && strcmp(all.at[k], name) != 0) k++;
    if (k == all.n && point_error(w, &w->points.at[i]) >= 0)
      vec_push(w->a, &all, name);
  }
  return all;
}

static const char *colour_of(const Names *all, const char *name) {
  size_t k = 0;
  while (k < all->n && strcmp(all->at[k], name) != 0) k++;
  return colours[k % COLOURS];
}

static void point_draw(const Panel *a, const Names *all, const Point *p) {
  const char *name = series_name(a->w, p);
  bool front = a->latency ? p->fast : p->small;
  text_printf(a->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\" "
              "class=\"%s\"><title>", px(a, across(a, p)),
              py(a, point_error(a->w, p)), front ? 6 : 4,
              colour_of(all, name), front ? "front" : "point");
  text_xml(a->out, name);
  if (p->sparsity >= 0) text_printf(a->out, ", sparsity %g", p->sparsity);
  text_printf(a->out, ": %.4g at %.4g", point_error(a->w, p), across(a, p));
  text_puts(a->out, "</title></circle>\n");
}

typedef struct Corner { double x, y; } Corner;

static int by_x(const void *pa, const void *pb) {
  const Corner *a = pa, *b = pb;
  return a->x != b->x ? (a->x > b->x) - (a->x < b->x)
                      : (a->y < b->y) - (a->y > b->y);
}

static void front_draw(const Panel *a) {
  Vec(Corner) at = {0};
  for (size_t i = 0; i < a->w->points.n; i++) {
    const Point *p = &a->w->points.at[i];
    if (a->latency ? p->fast : p->small)
      vec_push(a->w->a, &at,
               ((Corner){px(a, across(a, p)), py(a, point_error(a->w, p))}));
  }
  if (at.n < 2) return;
  qsort(at.at, at.n, sizeof *at.at, by_x);
  text_puts(a->out, "<polyline class=\"line\" points=\"");
  for (size_t i = 0; i < at.n; i++)
    text_printf(a->out, "%s%.1f,%.1f", i ? " " : "", at.at[i].x, at.at[i].y);
  text_puts(a->out, "\"/>\n");
}

static void panel_draw(Panel *a, const Names *all) {
  for (size_t i = 0; i < a->w->points.n; i++) {
    a->most = fmax(a->most, across(a, &a->w->points.at[i]) * 1.05);
    a->top = fmax(a->top, point_error(a->w, &a->w->points.at[i]) * 1.05);
  }
  if (a->most <= 0) a->most = 1;
  if (a->top <= 0) a->top = 1;
  axes(a);
  front_draw(a);
  for (size_t i = 0; i < a->w->points.n; i++)
    if (point_error(a->w, &a->w->points.at[i]) >= 0 &&
        across(a, &a->w->points.at[i]) >= 0)
      point_draw(a, all, &a->w->points.at[i]);
}

void sweep_plot(const Sweep *w, FILE *to) {
  Text t = {0};
  Names all = series_all(w);
  int wide = LEFT + 2 * WIDE + GAP + 20;
  int high = TOP + HIGH + 56 + 18 * (int)all.n;
  text_printf(&t, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
              "height=\"%d\" viewBox=\"0 0 %d %d\" "
              "font-family=\"sans-serif\" font-size=\"12\">\n<title>",
              wide, high, wide, high);
  text_xml(&t, w->bases.at[0]->s.module->name);
  text_puts(&t, ": what recipes cost and gain</title>\n<style>\n"
            "text { fill: #222 } .grid { stroke: #ddd }\n"
            ".line { fill: none; stroke: #222; stroke-dasharray: 4 3 }\n"
            ".front { stroke: #222; stroke-width: 2 }\n</style>\n");
  text_printf(&t, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", wide,
              high);
  Panel fast = {.w = w, .out = &t, .latency = true, .x0 = LEFT};
  Panel small = {.w = w, .out = &t, .x0 = LEFT + WIDE + GAP};
  panel_draw(&fast, &all);
  panel_draw(&small, &all);
  for (size_t i = 0; i < all.n; i++) {
    double y = TOP + HIGH + 56 + 18.0 * (double)i;
    text_printf(&t, "<circle cx=\"%d\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n",
                LEFT, y - 4, colours[i % COLOURS]);
    label(&t, LEFT + 12, y, "start", all.at[i]);
  }
  text_puts(&t, "</svg>\n");
  fputs(t.s, to);
  text_free(&t);
}
