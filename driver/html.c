/* html.c - a report as a page: what the recipe gained, and the layers in a
 * table that sorts by any column. */
#include "driver/html.h"

#include <stdlib.h>
#include <string.h>

static const char head[] =
  "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
  "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
  "<meta name=\"viewport\" content=\"width=device-width\">\n"
  "<meta name=\"color-scheme\" content=\"light dark\">\n"
  "<link rel=\"icon\" href=\"data:,\">\n";

static const char style[] =
  "<style>\n"
  ":root { color-scheme: light dark; --ink: #1d2226; --ground: #fff;\n"
  "  --line: #d5dade; --soft: #f3f5f6; --ours: #1b7f79; --was: #8a949c;\n"
  "  --plus: #d9f2e3; --minus: #fbe0e0 }\n"
  "@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ea;\n"
  "  --ground: #16191b; --line: #3a4146; --soft: #202529; --ours: #4fb3ab;\n"
  "  --was: #8a949c; --plus: #173c2a; --minus: #4a2020 } }\n"
  "body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink);\n"
  "  background: var(--ground); margin: 1.5rem; max-width: 100rem }\n"
  "h1 { margin-bottom: 0 } h2 { margin-top: 2rem }\n"
  "table { border-collapse: collapse } .wide { overflow-x: auto }\n"
  "th, td { padding: .2rem .55rem; border-bottom: 1px solid var(--line);\n"
  "  text-align: left; white-space: nowrap }\n"
  "td.n { text-align: right; font-variant-numeric: tabular-nums }\n"
  "thead th { background: var(--soft); position: sticky; top: 0 }\n"
  "th button { font: inherit; font-weight: 600; color: inherit; border: 0;\n"
  "  background: none; padding: 0; cursor: pointer }\n"
  "th button:focus-visible { outline: 2px solid var(--ours) }\n"
  "th[aria-sort=ascending] button::after { content: \" \\25b2\" }\n"
  "th[aria-sort=descending] button::after { content: \" \\25bc\" }\n"
  ".bar { width: 14rem; height: .7rem; display: block }\n"
  ".bar rect { fill: var(--ours) } .bar rect.was { fill: var(--was) }\n"
  ".maps { display: flex; flex-wrap: wrap; gap: 1rem }\n"
  "figure { margin: 0 } figcaption { font-size: .8rem }\n"
  "figure img { image-rendering: pixelated; border: 1px solid var(--line) }\n"
  ".plan { width: 100%; height: 20rem; background: var(--soft) }\n"
  ".plan rect { stroke: var(--ground); stroke-width: .5; opacity: .8 }\n"
  ".v0 { fill: #1b8f88 } .v1 { fill: #d1495b } .v2 { fill: #6a7fdb }\n"
  ".v3 { fill: #d99a2b }\n"
  "pre { background: var(--soft); padding: .6rem; overflow-x: auto;\n"
  "  font-size: .8rem } ins, del { text-decoration: none }\n"
  "ins { background: var(--plus) } del { background: var(--minus) }\n"
  "summary { cursor: pointer; padding: .2rem 0 }\n"
  "</style>\n";

/* Values that are not known come last. */
static const char script[] =
  "<script>\n\"use strict\";\n"
  "for (const b of document.querySelectorAll(\"#layers th button\"))\n"
  "  b.addEventListener(\"click\", () => {\n"
  "    const th = b.parentElement, i = th.cellIndex;\n"
  "    const body = document.querySelector(\"#layers tbody\");\n"
  "    const up = th.getAttribute(\"aria-sort\") !== \"ascending\";\n"
  "    const key = r => {\n"
  "      const c = r.cells[i], v = c.dataset.v;\n"
  "      return v === undefined ? c.textContent : v === \"\" ? null : +v;\n"
  "    };\n"
  "    const rows = [...body.rows].map(r => [key(r), r]);\n"
  "    rows.sort(([a], [b]) => a === b ? 0 : a === null ? 1\n"
  "      : b === null ? -1 : (a < b ? -1 : 1) * (up ? 1 : -1));\n"
  "    for (const o of th.parentElement.children)\n"
  "      o.removeAttribute(\"aria-sort\");\n"
  "    th.setAttribute(\"aria-sort\", up ? \"ascending\" : \"descending\");\n"
  "    body.append(...rows.map(([, r]) => r));\n"
  "  });\n"
  "</script>\n";

/* ---- before and after ------------------------------------------------ */

static void bar_put(Text *out, const char *class, double part) {
  text_printf(out, "<svg class=\"bar\" viewBox=\"0 0 100 5\" "
              "preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect%s "
              "width=\"%.2f\" height=\"5\"/></svg>", class, 100 * part);
}

static void quantity_cell(Text *out, double v) {
  text_printf(out, v >= 1000 ? "<td class=\"n\">%.0f</td>"
                             : "<td class=\"n\">%.4g</td>", v);
}

/* A quantity of both builds; nothing is known where it is less than 0. */
static void gain_put(Text *out, const char *what, double was, double now) {
  double top = was > now ? was : now;
  if (now < 0) return;
  text_printf(out, "<tr><th scope=\"row\">%s</th>", what);
  if (was >= 0) quantity_cell(out, was);
  quantity_cell(out, now);
  if (was >= 0) {
    if (was > 0) text_printf(out, "<td class=\"n\">%.3f</td><td>", now / was);
    else text_puts(out, "<td class=\"n\">\xe2\x80\x93</td><td>");
    bar_put(out, " class=\"was\"", top > 0 ? was / top : 0);
    bar_put(out, "", top > 0 ? now / top : 0);
    text_puts(out, "</td>");
  }
  text_puts(out, "</tr>\n");
}

static void gains_put(Text *out, const Session *s, const Totals *sum,
                      const EmitInfo *info) {
  const Facts *f = s->facts;
  const EmitInfo *was = &f->base_info;
  double no = f->compared ? 0 : -1;      /* unknown unless it was built */
#define WAS(v) (no < 0 ? -1 : (double)(v))
  text_puts(out, f->compared ? "<h2>Before and after the recipe</h2>\n"
                             : "<h2>The model</h2>\n");
  text_puts(out, "<table id=\"gains\"><thead><tr><td></td>");
  text_puts(out, f->compared
    ? "<th scope=\"col\">before</th><th scope=\"col\">after</th>"
      "<th scope=\"col\">ratio</th><td></td></tr></thead>\n<tbody>\n"
    : "<th scope=\"col\">now</th></tr></thead>\n<tbody>\n");
  gain_put(out, "latency, predicted, \xc2\xb5s", WAS(f->base_predicted.us),
           f->predicted.us);
  gain_put(out, "latency, measured, \xc2\xb5s", f->base_measured_us,
           f->measured_us);
  gain_put(out, "multiply-accumulates", WAS(f->base_cost.macs),
           (double)sum->cost.macs);
  gain_put(out, "of nonzero weights", WAS(f->base_cost.nonzero_macs),
           (double)sum->cost.nonzero_macs);
  gain_put(out, "bytes of weights", WAS(was->weight_bytes),
           (double)info->weight_bytes);
  gain_put(out, "bytes of code", WAS(was->code_bytes),
           (double)info->code_bytes);
  gain_put(out, "bytes of the arena", WAS(was->arena_bytes),
           (double)info->arena_bytes);
#undef WAS
  text_puts(out, "</tbody></table>\n");
}

static void error_put(Text *out, const char *what, double v) {
  if (v >= 0) text_printf(out, "%s %.4g. ", what, v);
  else text_printf(out, "%s unknown. ", what);
}

static void errors_put(Text *out, const Facts *f) {
  if (!f->compared) return;
  text_puts(out, "<p id=\"errors\">Errors against the dense network, relative "
                 "by Frobenius norms: ");
  error_put(out, "weights", gap_error(&f->effects.weights));
  if (f->data) {
    error_put(out, "Outputs", gap_error(&f->effects.output));
    text_printf(out, "On %lld samples of ", (long long)f->effects.samples);
    text_xml(out, f->data);
    text_puts(out, ".");
  }
  text_puts(out, "</p>\n");
}

/* ---- layers ---------------------------------------------------------- */

static const char *const columns[] = {
  "step", "layer", "op", "shape", "kernel", "pattern", "weights", "sparsity",
  "fill", "MACs", "nonzero MACs", "bytes", "predicted \xc2\xb5s",
  "dense \xc2\xb5s", "measured \xc2\xb5s", "weight error", "output error",
  "why", "from",
};

static void text_cell(Text *out, const char *s) {
  text_puts(out, "<td>");
  text_xml(out, s);
  text_puts(out, "</td>");
}

static void number_cell(Text *out, const char *form, double v) {
  if (v < 0) {
    text_puts(out, "<td class=\"n\" data-v=\"\">\xe2\x80\x93</td>");
    return;
  }
  text_printf(out, "<td class=\"n\" data-v=\"%.17g\">", v);
  text_printf(out, strcmp(form, "%g") == 0 ? "%.4g" : "%.0f", v);
  text_puts(out, "</td>");
}

static void from_cell(Text *out, const Node *n) {
  text_puts(out, "<td>");
  for (int i = 0; i < n->nfrom && i < 4; i++) {
    const Place *p = &n->from[i];
    if (i) text_puts(out, ", ");
    text_xml(out, p->node ? p->node : path_base(p->file ? p->file : ""));
    if (!p->node) text_printf(out, " %d:%d", p->line, p->col);
  }
  text_puts(out, n->nfrom > 4 ? ", \xe2\x80\xa6</td>" : "</td>");
}

static void row_put(Text *out, Session *s, const Row *r, size_t step) {
  char shape[64];
  const Node *n = r->n;
  row_shape(shape, sizeof shape, &r->shape);
  text_puts(out, "<tr>");
  number_cell(out, "%d", (double)step);
  text_cell(out, r->name);
  text_cell(out, op_info(n->op)->name);
  text_cell(out, shape);
  text_cell(out, n->kernel ? n->kernel : "");
  text_cell(out, r->pattern);
  number_cell(out, "%d", (double)r->weights);
  number_cell(out, "%g", r->sparsity);
  number_cell(out, "%g", r->fill);
  number_cell(out, "%d", (double)r->cost.macs);
  number_cell(out, "%d", (double)r->cost.nonzero_macs);
  number_cell(out, "%d", (double)r->cost.bytes);
  number_cell(out, "%g", r->us);
  number_cell(out, "%g", r->dense_us);
  number_cell(out, "%g", r->measured_us);
  number_cell(out, "%g", r->gap && r->w ? gap_error(&r->gap->weight) : -1);
  number_cell(out, "%g", r->gap ? gap_error(&r->gap->output) : -1);
  text_cell(out, row_why(s, r));
  from_cell(out, n);
  text_puts(out, "</tr>\n");
}

static void layers_put(Text *out, Session *s) {
  size_t step = 0;
  text_puts(out, "<h2>Layers</h2>\n<div class=\"wide\"><table id=\"layers\">"
                 "<thead><tr>");
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
    text_printf(out, "<th scope=\"col\"><button type=\"button\">%s</button>"
                "</th>", columns[i]);
  text_puts(out, "</tr></thead>\n<tbody>\n");
  for (size_t k = 0; k < s->module->funcs.n; k++) {
    Rows rows = rows_make(s, s->module->funcs.at[k]);
    for (size_t i = 0; i < rows.n; i++)
      row_put(out, s, &rows.at[i], ++step);
  }
  text_puts(out, "</tbody></table></div>\n");
}

bool report_html(Session *s, const Page *p, const char *cpu,
                 const EmitInfo *info, FILE *to) {
  Text t = {0};
  Totals sum = totals_make(s);
  text_puts(&t, head);
  text_puts(&t, "<title>");
  text_xml(&t, s->module->name);
  text_puts(&t, ": report</title>\n");
  text_puts(&t, style);
  text_puts(&t, "</head>\n<body>\n<h1>");
  text_xml(&t, s->module->name);
  text_puts(&t, "</h1>\n<p>");
  text_xml(&t, s->target.triple);
  text_puts(&t, ", ");
  text_xml(&t, cpu);
  text_puts(&t, "; Tamis " TAMIS_VERSION "</p>\n");
  gains_put(&t, s, &sum, info);
  errors_put(&t, s->facts);
  layers_put(&t, s);
  text_puts(&t, "<h2>Weights</h2>\n");
  html_maps(s, &t);
  text_puts(&t, "<h2>The arena over time</h2>\n");
  html_plan(s, &t);
  text_puts(&t, "<h2>Passes</h2>\n");
  html_ir(p, &t);
  text_puts(&t, script);
  text_puts(&t, "</body>\n</html>\n");
  bool ok = fwrite(t.s, 1, t.n, to) == t.n;
  text_free(&t);
  return ok;
}
